"""An agent that dreams (6.1): five small networks learn from few real steps how the pendulum moves. The agent plans in
their predictions (by the cross-entropy method), so that it tries most torques in dreams, not on the pendulum. The
figures show the regret against the real steps, beside that of an agent without a model (SAC), a dreamed future beside
the true one, and plans in the phase plane.

The first episode has random torques. After each episode the networks are trained on all that was seen, and the next
episode is played by planning, as in PETS (arXiv:1805.12114). The five networks, an ensemble, differ in their initial
weights and in the order of their data. Where they disagree, they have seen too little. The pendulum itself is not
random, so the networks predict the next state alone, without the variance that PETS predicts too.

A seed is one independent agent, a whole ensemble. The interquartile mean (IQM) is the mean of the middle half of the
seeds. The regret is the best mean return that is possible from the same starts, minus the mean return.

S seed, E evaluations, M networks of an ensemble, n episodes, K samples of torques, H decisions ahead, D decisions.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator
from rich.table import Table

from agents.evaluation import TEST_SEED, evaluate
from balancier import N_, _, numeral
from envs.physics import wrap
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.dreaming import DECISION, ELITES, FAR, HOLD, STEPS, Dreamer, Settings, learn
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import PENDULUM, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import forecast as training_seconds
from experiments.common.training import make, mean_optimum

EVALUATED = 1, 2, 3, 5, 10, 20, 50  # episodes after which an agent that dreams is evaluated
SAC: dict[str, Any] = {"num_envs": 1, "num_updates": 2}  # for each step, so that it needs few: tuned for this lesson
SAC_EVERY = 500  # steps between two evaluations of SAC
TIMED = 200  # decisions whose time is taken
UPRIGHT = 0.3  # rad from the top
PLANS_SHOWN = 8  # in the phase plane
NAMES = {"dream": N_("dreams (ensemble and planning)"), "sac": N_("SAC"), "sac_late": N_("SAC, all its steps")}
STAGES = "first", "last"
COLORS = plotting.BLUE, plotting.ORANGE


@dataclass(frozen=True)
class Dream(ParallelFlags):
    """An ensemble of networks learns the pendulum from few steps, and an agent plans in its predictions."""

    episodes: Annotated[int, at_least(2)] | None = None
    """Real episodes of each agent, of 200 steps, the first with random torques (default: 5; with --quick 3)."""
    members: Annotated[int, at_least(1)] = 5
    """Networks of an agent's ensemble."""
    hidden: Annotated[tuple[int, ...], at_least(1)] = (32, 32)
    """Sizes of the hidden layers of each network."""
    horizon: Annotated[int, at_least(1)] = 15
    """Decisions (0.1 s each) that the agent plans ahead."""
    samples: Annotated[int, at_least(ELITES)] = 40
    """Sequences of torques that are tried in each of three rounds of planning."""
    sac_steps: Annotated[int, at_least(400)] | None = None
    """Real steps of each SAC agent (default: 5,000; with --quick 1,200)."""
    eval_episodes: Annotated[int, at_least(1)] = 20
    """Test episodes of each evaluation (at most 6 with --quick)."""
    seeds: Annotated[int, at_least(1)] = 10
    """How many independent agents (at most 3 with --quick)."""

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: 3 if self.quick else None]

    @property
    def real_episodes(self) -> int:
        return self.episodes or (3 if self.quick else 5)

    @property
    def steps(self) -> int:
        return STEPS * self.real_episodes

    @property
    def steps_of_sac(self) -> int:
        return self.sac_steps or max(1_200 if self.quick else 5_000, self.steps + SAC_EVERY)

    @property
    def tests(self) -> int:
        return min(self.eval_episodes, 6) if self.quick else self.eval_episodes

    @property
    def evaluated(self) -> list[int]:
        """Episodes after which an agent that dreams is evaluated."""
        numbers = EVALUATED[:1] if self.quick else EVALUATED
        return [*(number for number in numbers if number < self.real_episodes), self.real_episodes]

    @property
    def sac_evaluated(self) -> list[int]:
        """Steps after which SAC is evaluated."""
        return sorted({*range(SAC_EVERY, self.steps_of_sac, SAC_EVERY), self.steps, self.steps_of_sac})


@dataclass(frozen=True)
class ModelFree:
    """What came of the SAC agents."""

    returns: np.ndarray  # (E, S, n), from each test seed
    seconds: np.ndarray  # (E,), of the processor until then, for one seed
    decision: float  # s of the processor


@dataclass(frozen=True)
class Findings:
    flags: Dream
    dreamers: list[Dreamer]
    sac: ModelFree
    optimum: float  # best mean return from the test seeds

    @property
    def errors(self) -> np.ndarray:
        """RMS error of the dreamed angle after the first and after all episodes, (S, 2, FAR)."""
        return np.stack([dreamer.error for dreamer in self.dreamers])

    @property
    def spreads(self) -> np.ndarray:
        """Standard deviation of the networks' angles, as the error."""
        return np.stack([dreamer.spread for dreamer in self.dreamers])

    @property
    def curves(self) -> dict[str, tuple[list[int], np.ndarray]]:
        """Name -> real steps (E,) and regret (E, S)."""
        dream = np.stack([dreamer.returns.mean(1) for dreamer in self.dreamers], 1)
        return {
            "dream": ([STEPS * number for number in self.flags.evaluated], self.optimum - dream),
            "sac": (self.flags.sac_evaluated, self.optimum - self.sac.returns.mean(2)),
        }

    @property
    def sac_needs(self) -> int | None:
        """Real steps after which SAC's regret (IQM) is no larger than that of the agents that dream at their end."""
        (_steps, dream), (steps, sac) = self.curves.values()
        reached = interquartile_mean(sac) <= interquartile_mean(dream[-1])
        return steps[reached.argmax()] if reached.any() else None

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Name -> the test of its agents, and what one of them took."""
        flags, curves, sac = self.flags, self.curves, self.sac
        planning, fitting = (
            np.mean([getattr(x, f"{name}_seconds") for x in self.dreamers]) for name in ("plan", "fit")
        )
        decision = planning / ((flags.real_episodes - 1) * STEPS // HOLD)
        same = flags.sac_evaluated.index(flags.steps)
        entries = {
            "dream": (flags.steps, curves["dream"][1][-1], planning + fitting, decision),
            "sac": (flags.steps, curves["sac"][1][same], sac.seconds[same], sac.decision),
            "sac_late": (flags.steps_of_sac, curves["sac"][1][-1], sac.seconds[-1], sac.decision),
        }
        return {
            name: {
                "steps": steps,
                "real_seconds": steps * DECISION / HOLD,
                "regret": interquartile_mean(regrets),
                "ci95": confidence_interval(regrets),
                "regrets": regrets,
                "seconds": float(seconds),
                "decision_ms": float(1000 * decision),
            }
            for name, (steps, regrets, seconds, decision) in entries.items()
        }


# The lesson


def work(job: Job, report: Callable[[float], None]) -> "Dreamer | ModelFree":
    """Train and test one agent that dreams, or all SAC agents, in a process of their own."""
    flags = job.settings
    if job.name == "sac":
        return train_sac(flags, job, report)
    settings = Settings(
        episodes=flags.real_episodes,
        evaluated=flags.evaluated,
        tests=flags.tests,
        members=flags.members,
        hidden=flags.hidden,
        horizon=flags.horizon,
        samples=flags.samples,
    )
    return learn(job.seeds[0], settings, lambda share: report(job.cost * share))


def train_sac(flags: Dream, job: Job, report: Callable[[float], None]) -> ModelFree:
    """Train SAC, all seeds at once, and evaluate it on the way."""
    agent = make("sac", PENDULUM, job.seeds, tuned("sac", PENDULUM) | SAC)
    starts, seconds, returns = range(TEST_SEED, TEST_SEED + flags.tests), [0.0], []
    for before, steps in pairwise([0, *flags.sac_evaluated]):
        began = time.process_time()
        agent.learn(steps - before)
        seconds.append(seconds[-1] + time.process_time() - began)
        returns.append(evaluate(agent, PENDULUM, starts))
        report(job.cost * (steps - before) / flags.steps_of_sac)
    began, one, obs = time.process_time(), agent[0], np.zeros(3, np.float32)
    for _decision in range(TIMED):
        one.predict(obs, deterministic=True)
    decision = (time.process_time() - began) / TIMED
    return ModelFree(np.stack(returns), np.array(seconds[1:]) / len(job.seeds), decision)


def plan(flags: Dream) -> list[Job]:
    """One job for each agent that dreams, and one for all SAC agents."""
    seeds = tuple(flags.all_seeds)
    size = flags.samples * flags.horizon * flags.members / 3_000
    cost = (0.7 + 0.4 * size) * flags.real_episodes + (0.7 + 0.12 * size * flags.tests) * len(flags.evaluated)
    sac = Job("sac", seeds, 3 * training_seconds("sac", flags.steps_of_sac, len(seeds)), flags)
    return [*(Job("dream", (seed,), cost, flags) for seed in seeds), sac]


def check(flags: Dream) -> None:
    if flags.steps_of_sac < (least := flags.steps + SAC_EVERY):
        expected = f"at least {least}, more than the {flags.steps} real steps of the agents that dream"
        raise UsageError(f"--sac-steps: found {flags.steps_of_sac}, expected {expected}")


def forecast(flags: Dream) -> str:
    return _(
        "{seeds} agents of {members} networks, {steps:,} real steps each, and SAC; about {time}",
        seeds=len(flags.all_seeds),
        members=flags.members,
        steps=flags.steps,
        time=duration(wall_seconds(plan(flags), flags.processes)),
    )


def measure(flags: Dream) -> Findings:
    *dreamers, sac = run_parallel(work, plan(flags), flags.processes, kinds=[Dreamer, ModelFree])
    optimum = mean_optimum(PENDULUM, range(TEST_SEED, TEST_SEED + flags.tests))
    assert optimum is not None
    return Findings(flags, dreamers, sac, optimum)  # type: ignore[arg-type]


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, (steps, regrets) in findings.curves.items():
        for step, values in zip(steps, regrets, strict=True):
            yield int(step), f"{name}/regret", values, findings.flags.all_seeds


def result(findings: Findings) -> dict[str, Any]:
    second = round(1 / DECISION) - 1
    return {
        "steps": findings.flags.steps,
        "seeds": findings.flags.all_seeds,
        "optimum": findings.optimum,
        "agents": findings.rows,
        "sac_steps_for_the_same_regret": findings.sac_needs,
        "angle_error": dict(zip(STAGES, interquartile_mean(findings.errors[..., second], 0), strict=True)),
        "angle_spread": dict(zip(STAGES, interquartile_mean(findings.spreads[..., second], 0), strict=True)),
    }


def table(findings: Findings) -> Table:
    flags = findings.flags
    title = _("{seeds} agents, {tests} test episodes each", seeds=len(flags.all_seeds), tests=flags.tests)
    table = Table(_("agent"), title=title)
    columns = _("real steps"), _("s on the pendulum"), _("regret [95 %]"), _("worst seed")
    for heading in (*columns, _("processor s per seed"), _("ms per decision")):
        table.add_column(heading, justify="right")
    for name, row in findings.rows.items():
        (low, high), worst = row["ci95"], row["regrets"].max()
        regret = f"{row['regret']:.1f} [{low:.1f}, {high:.1f}]"
        costs = f"{row['seconds']:.1f}", f"{row['decision_ms']:.2f}"
        table.add_row(
            _(NAMES[name]), numeral(row["steps"]), f"{row['real_seconds']:.0f}", regret, f"{worst:.1f}", *costs
        )
    table.caption = needs_words(findings)
    return table


def needs_words(findings: Findings) -> str:
    """How many steps SAC needs for what the dreams reach."""
    flags, needed = findings.flags, findings.sac_needs
    if needed is None:
        return _("SAC does not reach the same regret in {steps:,} steps", steps=flags.steps_of_sac)
    times = needed / flags.steps
    return _("SAC needs {steps:,} steps for the same regret, {times:.1f} times as many", steps=needed, times=times)


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"regret": plot_regret(findings), "dream": plot_dream(findings), "plan": plot_plan(findings)}


def plot_regret(findings: Findings) -> Figure:
    """Regret against real steps, on logarithmic axes."""
    rows = findings.rows
    figure, (axes,) = plotting.slide(
        _(
            "After {steps:,} real steps, regret {dream:.1f} with dreams, {sac:.0f} without (IQM);\n{needs}",
            steps=findings.flags.steps,
            dream=rows["dream"]["regret"],
            sac=rows["sac"]["regret"],
            needs=needs_words(findings),
        )
    )
    for (name, (steps, regrets)), color in zip(findings.curves.items(), COLORS, strict=True):
        plotting.iqm_band(axes, steps, regrets, _(NAMES[name]), color, marker="o")
    last = interquartile_mean(findings.curves["dream"][1][-1])
    axes.axhline(last, color=plotting.BLUE, linestyle=":", linewidth=1.8, label=_("level at the end of the dreams"))
    axes.set(xscale="log", yscale="log", xlabel=_("real steps of each agent (0.05 s each)"))
    axes.set_ylabel(_("regret from {count} test starts (IQM, 95 %)", count=findings.flags.tests))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def plot_dream(findings: Findings) -> Figure:
    """Left, a dreamed future beside the true one; right, error and spread against how far the dream goes."""
    flags, second = findings.flags, round(1 / DECISION) - 1
    error, spread = findings.errors, findings.spreads  # (S, 2, FAR)
    (first, last), (first_spread, last_spread) = (interquartile_mean(x[..., second], 0) for x in (error, spread))
    figure, (left, right) = plotting.slide(
        _(
            "One second ahead the dreamed angle is wrong by {first:.2f} rad after 200 real steps, "
            "by {last:.3f} rad after {steps:,};\nthe networks differ by {first_spread:.2f} and {last_spread:.3f} rad",
            first=first,
            last=last,
            steps=flags.steps,
            first_spread=first_spread,
            last_spread=last_spread,
        ),
        2,
    )
    dreamer, ahead = findings.dreamers[0], [DECISION * number for number in range(FAR + 1)]
    for stage, color, zorder in zip(range(2), (plotting.ORANGE, plotting.BLUE), (2, 3), strict=True):
        start = np.broadcast_to(dreamer.truth[0], (flags.members, 1, 2))
        angles = np.concatenate([start, dreamer.dreams[stage]], 1)[..., 0]  # (M, FAR + 1)
        label = _("{count} networks after {steps:,} real steps", count=flags.members, steps=(STEPS, flags.steps)[stage])
        left.plot(ahead, angles.T, color=color, alpha=0.7, linewidth=1.8, zorder=zorder)
        left.plot([], [], color=color, label=label)
        plotting.iqm_band(right, ahead[1:], error[:, stage].T, "", color)
        right.plot(ahead[1:], interquartile_mean(spread[:, stage].T), color=color, linestyle="--")
    left.plot(ahead, dreamer.truth[: FAR + 1, 0], "k", label=_("truth"), zorder=4)
    middle = dreamer.truth[: FAR + 1, 0]
    left.set_ylim(middle.min() - 1.5, middle.max() + 1.5)
    left.set(xlabel=_("seconds ahead"), ylabel=_("angle, rad (upright: 0 or a full turn)"))
    left.set_title(_("one test episode, first seed"))
    right.set(yscale="log", xlabel=_("seconds ahead"), ylabel=_("angle, rad (RMS)"))
    right.set_title(
        _("{tests} test episodes, {seeds} seeds (IQM, 95 %)", tests=flags.tests, seeds=len(findings.dreamers))
    )
    handles, labels = left.get_legend_handles_labels()
    lines = [Line2D([], [], color=plotting.GRAY, linestyle=style) for style in ("-", "--")]
    names = [_("right: error of their mean"), _("right: their spread (standard deviation)")]
    figure.legend([*handles, *lines], [*labels, *names], loc="outside lower center", ncols=3)
    return figure


def plot_plan(findings: Findings) -> Figure:
    """The test episode that starts lowest, in the phase plane, with some of the plans on its way."""
    flags, dreamer = findings.flags, findings.dreamers[0]
    turn = 2 * np.pi * np.round(dreamer.truth[-1, 0] / (2 * np.pi))
    truth, plans = dreamer.truth - [turn, 0], dreamer.plans - [turn, 0]
    up = up_after(truth)
    words = {"ahead": DECISION * flags.horizon, "every": DECISION}
    if up is None:
        title = _("A new plan of {ahead:.1f} s every {every:g} s: the rod does not stay upright", **words)
    else:
        title = _("A new plan of {ahead:.1f} s every {every:g} s: the rod is upright after {up:.1f} s", up=up, **words)
    figure, (axes,) = plotting.slide(title)
    shown = len(truth) if up is None else min(len(truth), round(up / DECISION) + 5)
    axes.plot(*truth[:shown].T, "k", label=_("what happens"), zorder=3)
    axes.plot(*truth[0], "ks", markersize=10, label=_("start"), zorder=4)
    for number, moment in enumerate(range(0, shown - 5, max(1, (shown - 5) // PLANS_SHOWN))):
        path, color = (
            np.concatenate([truth[moment : moment + 1], plans[moment]]),
            (plotting.ORANGE, plotting.SKY)[number % 2],
        )
        label = _("plans, as the networks dream them") if number == 0 else None
        axes.plot(*path.T, color=color, linestyle="--", linewidth=2, label=label)
        axes.plot(*path[0], "o", color=color, zorder=4)
    axes.axvline(0, color=plotting.GRAY, linestyle=":", linewidth=1.8, label=_("upright"))
    axes.set(xlabel=_("angle, rad"), ylabel=_("speed, rad/s"))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def up_after(truth: np.ndarray) -> float | None:
    """Seconds after which the rod stays within UPRIGHT of the top, in states (D + 1, 2); None if it does not."""
    away = np.flatnonzero(np.abs(wrap(truth[:, 0])) > UPRIGHT)
    decision = away[-1] + 1 if len(away) else 0
    return None if decision == len(truth) else float(DECISION * decision)


PAGE = Page(
    question=_("How many real steps does an agent need that learns a model of its world, and plans in it?"),
    formula=(
        _(r"model: $s_{t+1} = s_t + f_{\theta_m}(s_t, u_t)$, $m = 1, \ldots, M$ networks, trained on all real steps"),
        _(r"cost of a plan: $J(u_1, \ldots, u_H) = -\frac{1}{M} \sum_m \sum_h r(s^m_h, u_h)$"),
        _(
            r"cross-entropy method: draw plans from $\mathcal{N}(\mu, \sigma^2)$, keep the cheapest; "
            r"$\mu, \sigma \leftarrow$ their mean and spread; again"
        ),
    ),
    captions={
        "regret": _(
            "Each point is an evaluation without learning; both axes are logarithmic. The agent that dreams needs "
            "fewer real steps, but it pays for every decision with thousands of dreamed ones: see the table."
        ),
        "dream": _(
            "Small errors grow, so a dream leaves the truth with time: the agent plans a short time ahead, and then "
            "anew from what it sees. The spread of the networks grows and falls with their error. At the end it is "
            "smaller: the networks have errors in common, too."
        ),
        "plan": _(
            "Each dashed line is a plan that was made at its dot. Only its first torque acts, then a new plan is made, "
            "so that the errors of the model do not add up."
        ),
    },
    what_if=(
        ("balancier dream --members 1", _("one network has nobody to disagree with: what does the ensemble add?")),
        ("balancier dream --horizon 5", _("half a second is too short to see that swinging back pays")),
        ("balancier dream --episodes 2", _("how good is the agent after 20 s on the pendulum?")),
    ),
)

LESSON = Lesson(
    flags=Dream,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier dream --members 1",
    metrics=metrics,
    check=check,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("dream", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
