"""What is each refinement of deep Q-learning (DQN) worth (6.1)? Plain DQN, DQN with each refinement separately, and DQN
with all four are trained from the same seeds. The figure shows their learning curves, and the test of every seed.

The refinements are double Q-learning (arXiv:1509.06461), dueling values (arXiv:1511.06581), three steps of reward
before the target network's value, and prioritized replay (arXiv:1511.05952). All other hyper-parameters keep the values
that were tuned for DQN with double targets.

A seed is one independent training. The interquartile mean (IQM) is the mean of the middle half of the seeds: neither
the luckiest nor the unluckiest seed decides. The regret is the best mean return that is possible from the same starts,
minus the mean return.

E evaluations, S seeds.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from rich.table import Table

from agents.evaluation import TEST_SEED, VALIDATION_SEED
from balancier import N_, _
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.hyperparams import tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.statistics import confidence_interval, interquartile_mean, probability_of_improvement
from experiments.common.training import (
    EVALUATIONS,
    STARTS,
    Training,
    make,
    mean_optimum,
    summary,
    train_agent,
)
from experiments.common.training import forecast as training_seconds

STEPS = 15_000
QUICK_STEPS, QUICK_SEEDS, QUICK_EVALUATIONS = 8_000, 5, 10
PLAIN: dict[str, Any] = {"double": False, "dueling": False, "n_step": 1, "prioritized": False}
SWITCHES: dict[str, dict[str, Any]] = {
    N_("double"): {"double": True},
    N_("dueling"): {"dueling": True},
    N_("3 steps"): {"n_step": 3},
    N_("prioritized"): {"prioritized": True},
}
ALL = {name: value for switch in SWITCHES.values() for name, value in switch.items()}
VARIANTS: dict[str, dict[str, Any]] = {N_("plain"): {}, **SWITCHES, N_("all four"): ALL}
BANDS = ("plain", "all four")
LINES = "black", plotting.BLUE, plotting.SKY, plotting.PURPLE, plotting.GRAY, plotting.ORANGE
COLORS = dict(zip(VARIANTS, LINES, strict=True))


@dataclass(frozen=True)
class Ablation(ParallelFlags):
    """The return that each refinement of deep Q-learning adds."""

    env: str = "balancier/PendulumDiscrete-v0"
    """A Gymnasium id of an environment with discrete actions."""
    steps: Annotated[int, at_least(EVALUATIONS)] | None = None
    """Steps of each seed (default: 15,000; with --quick 8,000)."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each seed."""
    seeds: Annotated[int, at_least(1)] = 10
    """How many seeds (independent replicas) to train (at most 5 with --quick)."""

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: QUICK_SEEDS if self.quick else None]

    @property
    def steps_to_train(self) -> int:
        return self.steps or (QUICK_STEPS if self.quick else STEPS)


@dataclass(frozen=True)
class Findings:
    flags: Ablation
    trainings: dict[str, Training]  # by variant
    optimum: float | None  # best mean return from the test seeds; None where it is not known
    validation_optimum: float | None  # from the validation seeds

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {name: row(training, self.trainings["plain"], self.optimum) for name, training in self.trainings.items()}


def make_variant(name: str, env: str, seeds: Sequence[int]) -> Any:
    return make("dqn", env, seeds, tuned("dqn", env) | PLAIN | VARIANTS[name])


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test one variant, in a process of its own."""
    flags = job.settings
    steps, evaluations = flags.steps_to_train, QUICK_EVALUATIONS if flags.quick else None
    agent = make_variant(job.name, flags.env, job.seeds)
    advance = lambda done, __: report(job.cost * done / steps)  # noqa: E731
    return train_agent(agent, flags.env, steps, flags.eval_episodes, advance, evaluations)


def plan(flags: Ablation) -> list[Job]:
    """One job for each variant."""
    cost = training_seconds("dqn", flags.steps_to_train, len(flags.all_seeds)) * 1.15
    return [Job(name, tuple(flags.all_seeds), cost, flags) for name in reversed(VARIANTS)]


def check(flags: Ablation) -> None:
    make_variant("plain", flags.env, [0])


def forecast(flags: Ablation) -> str:
    return _(
        "DQN on {env}, {variants} variants x {seeds} seeds, about {time}",
        env=flags.env,
        variants=len(VARIANTS),
        seeds=len(flags.all_seeds),
        time=duration(wall_seconds(plan(flags), flags.processes)),
    )


def measure(flags: Ablation) -> Findings:
    jobs = plan(flags)
    results = run_parallel(train, jobs, flags.processes, kinds=[Training])
    trainings = dict(zip([job.name for job in jobs], results, strict=True))
    optimum = mean_optimum(flags.env, range(TEST_SEED, TEST_SEED + flags.eval_episodes))
    validation_optimum = mean_optimum(flags.env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS))
    return Findings(flags, {name: trainings[name] for name in VARIANTS}, optimum, validation_optimum)


def clearly_better(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The variants whose 95 % interval of the return lies above the plain agent's."""
    return [name for name, row in rows.items() if row["ci95"][0] > rows["plain"]["ci95"][1]]


# Output


def row(training: Training, plain: Training, optimum: float | None) -> dict[str, Any]:
    """Figures of merit of a variant, and the probability that a seed of it is better than one of the plain agent."""
    better = probability_of_improvement(training.returns, plain.returns)
    numbers = {"seconds": training.train_seconds, "probability_of_improvement": better}
    return summary(training.returns, optimum) | numbers


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, training in findings.trainings.items():
        for step, returns in zip(training.steps, training.curve, strict=True):
            yield int(step), f"{name}/return", returns, findings.flags.all_seeds


def result(findings: Findings) -> dict[str, Any]:
    flags = findings.flags
    return {
        "env": flags.env,
        "steps": flags.steps_to_train,
        "seeds": flags.all_seeds,
        "optimum": findings.optimum,
        "variants": findings.rows,
        "clearly_better": clearly_better(findings.rows),
    }


def table(findings: Findings) -> Table:
    flags = findings.flags
    table = Table(
        title=_(
            "DQN on {env}, {steps:,} steps, {seeds} seeds each",
            env=flags.env,
            steps=flags.steps_to_train,
            seeds=len(flags.all_seeds),
        )
    )
    table.add_column(_("variant"))
    for heading in (_("seconds"), _("IQM [95 %]"), _("worst seed"), _("regret"), _("P(better than plain)")):
        table.add_column(heading, justify="right")
    for name, row in findings.rows.items():
        (low, high), regret = row["ci95"], row["regret"]
        numbers = f"{row['seconds']:.1f}", f"{row['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{min(row['returns']):.1f}"
        better = "" if name == "plain" else f"{row['probability_of_improvement']:.2f}"
        table.add_row(_(name), *numbers, "-" if regret is None else f"{regret:.1f}", better)
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"ablation": plot_ablation(findings)}


def plot_ablation(findings: Findings) -> Figure:
    """Learning curves, and the test of every seed; as regret, on logarithmic axes, where the optimum is known."""
    figure, (curves, finals) = plotting.new(2, width=7.2, height=7.2)
    trainings, optimum = findings.trainings, findings.optimum
    for name, training in trainings.items():
        plot_curve(curves, training.steps, merit(training.curve, findings.validation_optimum), name)
    plot_finals(finals, {name: merit(training.returns, optimum) for name, training in trainings.items()})
    label = _("mean return") if optimum is None else _("regret: optimum - mean return")
    curves.set_xlabel(_("steps of each seed"))
    curves.set_ylabel(label)
    curves.set_title(_("{count} validation episodes", count=STARTS))
    finals.set_xlabel(label)
    finals.set_title(_("{count} test episodes", count=findings.flags.eval_episodes))
    if optimum is not None:
        curves.set_yscale("log")
        finals.set_xscale("log")
        for axis in (curves.yaxis, finals.xaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    better = clearly_better(findings.rows)
    figure.suptitle(
        _(
            "Clearly better than plain DQN (intervals lie apart): {names}\n"
            "(DQN on {env}, {steps:,} steps, {seeds} seeds each)",
            names=", ".join(map(_, better)) if better else _("none of the refinements"),
            env=findings.flags.env.removeprefix("balancier/"),
            steps=findings.flags.steps_to_train,
            seeds=len(findings.flags.all_seeds),
        )
    )
    explanation = _("line, square: interquartile mean      band, bar: its 95 % interval      dots: seeds")
    handles, labels = curves.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), title=explanation, title_fontsize=13)
    return figure


def merit(returns: np.ndarray, optimum: float | None) -> np.ndarray:
    """Regret against the optimum of the same starts, or the returns themselves where it is not known."""
    return returns if optimum is None else optimum - returns


def plot_curve(axes: Axes, steps: np.ndarray, values: np.ndarray, name: str) -> None:
    """Interquartile mean of (E, S); a band for two variants only, because six would hide each other."""
    middle, color = [interquartile_mean(returns) for returns in values], COLORS[name]
    axes.plot(steps, middle, color=color, label=_(name))
    if name in BANDS:
        low, high = np.array([confidence_interval(returns) for returns in values]).T
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)


def plot_finals(axes: Axes, finals: dict[str, np.ndarray]) -> None:
    """Every variant a row: seeds as dots, the interquartile mean and its 95 % interval."""
    for place, (name, values) in enumerate(finals.items()):
        middle, (low, high), color = interquartile_mean(values), confidence_interval(values), COLORS[name]
        axes.plot(values, [place + 0.22] * len(values), "o", color=color, alpha=0.4, markersize=7)
        axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="s", color=color, capsize=6)
        axes.annotate(f"{middle:.1f}", (middle, place - 0.15), ha="center", va="bottom", fontsize=13, color=color)
    axes.set_yticks(range(len(finals)), [_(name) for name in finals])
    axes.set_ylim(len(finals) - 0.4, -0.7)
    axes.grid(axis="y", visible=False)


PAGE = Page(
    question=_("What is each refinement of deep Q-learning worth, alone and together?"),
    formula=(
        _(r"plain: $y = r + \gamma \max_a Q_{target}(s', a)$"),
        _(r"double: $y = r + \gamma \, Q_{target}(s', \arg\max_a Q_\theta(s', a))$"),
        _(r"dueling: $Q(s, a) = V(s) + A(s, a) - \bar A(s)$"),
        _(r"three steps: $y = r_t + \gamma r_{t+1} + \gamma^2 r_{t+2} + \gamma^3 \max_a Q_{target}(s_{t+3}, a)$"),
    ),
    captions={
        "ablation": _(
            "Left, learning curves; right, the test of every seed, with its interquartile mean and interval. All "
            "hyper-parameters were tuned for double DQN, so a refinement helps only where intervals lie apart."
        ),
    },
    what_if=(
        ("balancier ablation --env CartPole-v1", _("does the same refinement help in another environment?")),
        ("balancier ablation --steps 30000", _("do the differences stay when there is more time?")),
        ("balancier ablation --seeds 30", _("how do the intervals shrink with more seeds?")),
    ),
)

LESSON = Lesson(
    flags=Ablation,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier ablation --env CartPole-v1",
    metrics=metrics,
    check=check,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("ablation", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
