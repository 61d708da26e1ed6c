"""Classical controllers beside learned ones (6.1): how well does a control engineer's pendulum swing up, who knows its
equations and learns nothing? The figures show from where a linear controller balances, a swing-up by each controller,
and what each is worth: its regret, and the time of a decision.

LQR is the best controller of the linearized equations, which are right near the top alone. Energy shaping pumps energy
until the pendulum has as much as at rest at the top. iLQR linearizes along a whole trajectory and improves its torques.
Model predictive control (MPC) plans anew in each step and applies the first torque of the plan. It plans with iLQR or
with the cross-entropy method (CEM), which draws sequences of torques at random and keeps the best. The optimum is
computed on a grid of all states, ahead of time. SAC and PPO know no equations and learn from tries.

The regret is the return of the optimum minus the return from the same start. Of a learned agent, a seed is one
independent training, and the number is the interquartile mean (IQM, the mean of the middle half) of the seeds.

S seed, n starts, T steps.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from rich.table import Table
from scipy import stats

from agents.evaluation import TEST_SEED
from balancier import _
from envs.controllers import LQR, attraction
from envs.optimum import optimal_returns
from envs.pendulum import PendulumVectorEnv
from envs.physics import Pendulum, wrap
from envs.planning import controller
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.comparison import Entry
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.hyperparams import PENDULUM, setting
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.players import CONTROLLERS
from experiments.common.race import make_ours
from experiments.common.runs import Metric
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import Training, train_agent
from experiments.common.training import forecast as training_seconds

PENDULUM_V0 = Pendulum()
DT, STEPS = 0.05, 200  # s, a step; steps of an episode
TIMED = 26  # decisions whose time is taken
SHOWN = 6  # s of a swing-up in its figure
HANGING = (np.pi, 0.0)  # angle and speed of the start that figures and times are from
LEARNED = ("sac", "ppo")
LABELS = CONTROLLERS | {name: name.upper() for name in LEARNED}
COST = {
    "lqr": 0.1,
    "energy": 1,
    "lqr-energy": 1,
    "ilqr": 10,
    "mpc": 10,
    "mpc-cem": 20,
    "optimum": 4,
}  # s, for the forecast
QUICK_SEEDS, QUICK_EPISODES, QUICK_POINTS, QUICK_EVALUATIONS = 2, 10, 61, 4
TOP = 0.1  # rad: closer than this is at the top


@dataclass(frozen=True)
class Control(ParallelFlags):
    """Classical controllers, which know the pendulum, beside agents that learned it."""

    eval_episodes: Annotated[int, at_least(2)] = 100
    """Starts that everybody is tested from (at most 10 with --quick)."""
    points: Annotated[int, at_least(11)] = 181
    """Points of the phase plane along each axis, from which LQR is tried (at most 61 with --quick)."""
    seeds: Annotated[int, at_least(1)] = 10
    """How many seeds of SAC and PPO to train (at most 2 with --quick)."""

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: QUICK_SEEDS if self.quick else None]

    @property
    def starts(self) -> range:
        count = min(self.eval_episodes, QUICK_EPISODES) if self.quick else self.eval_episodes
        return range(TEST_SEED, TEST_SEED + count)

    @property
    def points_to_try(self) -> int:
        return min(self.points, QUICK_POINTS) if self.quick else self.points

    def steps_of(self, agent: str) -> int:
        tuned = setting(agent, PENDULUM)
        return tuned.quick_steps if self.quick else tuned.solved_steps or tuned.steps


@dataclass(frozen=True)
class Performance:
    """What a controller, or an agent of S seeds, has done."""

    returns: np.ndarray  # (S, n), of one controller (1, n)
    torques: np.ndarray  # (T, n), N m; of the middle seed
    swing: np.ndarray  # (T + 1, 2), angle (not wrapped) and speed of an episode that begins hanging
    swing_torques: np.ndarray  # (T,)
    swing_return: float
    decisions: np.ndarray  # (TIMED,), processor seconds of the first decisions of an episode
    training: Training | None = None

    @property
    def effort(self) -> float:
        """Mean of the torque's size, summed over an episode, N m s."""
        return float(np.abs(self.torques).sum(0).mean() * DT)


@dataclass(frozen=True)
class Findings:
    flags: Control
    performances: dict[str, Performance]
    optimal: np.ndarray  # (n,), return of the optimum from each start
    attracted: np.ndarray  # (speeds, angles), where LQR reaches the top
    angles: np.ndarray
    speeds: np.ndarray

    @property
    def rest_angle(self) -> float:
        """The largest angle, rad, from which LQR reaches the top if the pendulum is at rest."""
        at_rest = self.attracted[np.abs(self.speeds).argmin()]
        return float(np.abs(self.angles[at_rest]).max(initial=0))

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {name: row(performance, self.optimal) for name, performance in self.performances.items()}


# Episodes


def play(model: Any, starts: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Episodes from these seeds of `reset`, and a last one from hanging.

    Returns (n + 1,) their returns; (T + 1, n + 1, 2) angle (not wrapped) and speed; (T, n + 1) torques.
    """
    env = PendulumVectorEnv(len(starts) + 1)
    env.reset(seed=[*starts, 0])
    env.state = np.concatenate([env.state[:-1], [HANGING]])  # type: ignore[index]
    obs, returns, states, torques = env.observe(), np.zeros(env.num_envs), [env.state], []
    memory, first = None, np.ones(env.num_envs, np.bool_)
    for __ in range(STEPS):
        action, memory = model.predict(obs, memory, first, deterministic=True)
        obs, rewards, *__ = env.step(action)
        returns += rewards
        states.append(env.state)
        torques.append(env.last_torque)
        first = np.zeros(env.num_envs, np.bool_)
    return returns, np.array(states), np.array(torques)


def decision_times(model: Any) -> np.ndarray:
    """Processor seconds of the first decisions of one episode from hanging, (TIMED,)."""
    env = PendulumVectorEnv(1)
    obs, __ = env.reset(seed=0, options={"state": HANGING})
    memory, seconds = None, []
    for step in range(TIMED):
        began = time.process_time()
        action, memory = model.predict(obs, memory, np.array([step == 0]), deterministic=True)
        seconds.append(time.process_time() - began)
        obs, *__ = env.step(action)
    return np.array(seconds)


def perform(job: Job, report: Callable[[float], None]) -> Performance:
    """Train one agent, if it is one that learns, and test everybody."""
    flags = job.settings
    training, returns, model = None, None, None
    if job.name in LEARNED:
        steps = flags.steps_of(job.name)
        agent = make_ours(Entry("balancier", job.name, PENDULUM, steps, "own", len(flags.starts)), job.seeds)
        advance = lambda done, __: report(job.cost * done / steps)  # noqa: E731
        evaluations = QUICK_EVALUATIONS if flags.quick else None
        training = train_agent(agent, PENDULUM, steps, len(flags.starts), advance, evaluations)
        returns = training.test_returns
        model = agent[int(np.argsort(training.returns)[len(agent) // 2])]
    else:
        model = controller(job.name)
    batch, states, torques = play(model, flags.starts)
    returns = batch[None, :-1] if returns is None else returns
    swing = states[:, -1], torques[:, -1], float(batch[-1])
    return Performance(returns, torques[:, :-1], *swing, decision_times(model), training)


def plan(flags: Control) -> list[Job]:
    """One job for each controller and each agent."""
    seeds, share = tuple(flags.all_seeds), 0.3 + 0.7 * len(flags.starts) / 100
    learned = [
        Job(name, seeds, 3 + training_seconds(name, flags.steps_of(name), len(seeds)), flags) for name in LEARNED
    ]
    return [*(Job(name, (), COST[name] * share, flags) for name in CONTROLLERS), *learned]


def forecast(flags: Control) -> str:
    return _(
        "{controllers} controllers and {agents} agents of {seeds} seeds, {starts} starts, about {time}",
        controllers=len(CONTROLLERS),
        agents=len(LEARNED),
        seeds=len(flags.all_seeds),
        starts=len(flags.starts),
        time=duration(wall_seconds(plan(flags), flags.processes)),
    )


def measure(flags: Control) -> Findings:
    optimal = optimal_returns(PENDULUM, flags.starts)  # computed here, once, and kept for the optimum's own process
    assert optimal is not None
    jobs = plan(flags)
    results = run_parallel(perform, jobs, flags.processes, kinds=[Performance, Training])
    performances = dict(zip([job.name for job in jobs], results, strict=True))
    angles = np.linspace(-np.pi, np.pi, flags.points_to_try)
    speeds = np.linspace(-8, 8, flags.points_to_try)
    attracted = attraction(LQR(PENDULUM_V0), angles, speeds[:, None])
    return Findings(flags, performances, optimal, attracted, angles, speeds)


# Numbers


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """An interval that holds the mean over all possible starts with a probability of 95 %, from values (n,)."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    result = stats.bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0))
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def row(performance: Performance, optimal: np.ndarray) -> dict[str, Any]:
    """Regret: of a controller its mean with the interval over starts; of an agent the IQM with that over seeds."""
    learned, regrets = performance.training is not None, optimal - performance.returns
    values = regrets.mean(1) if learned else regrets[0]
    milliseconds = 1000 * performance.decisions
    return {
        "regret": interquartile_mean(values) if learned else float(values.mean()),
        "ci95": confidence_interval(values) if learned else mean_interval(values),
        "over": "seeds" if learned else "starts",
        "regrets": values,
        "worst": float(values.max()),
        "effort": performance.effort,
        "milliseconds": float(milliseconds[1:].mean()),
        "first_milliseconds": float(milliseconds[0]),
        "hanging_return": performance.swing_return,
        "seconds_to_top": seconds_to_top(performance.swing),
        "train_seconds": performance.training.train_seconds if performance.training else None,
    }


def rounded(number: float) -> str:
    """A number with one decimal; never -0.0."""
    return f"{round(number, 1) + 0.0:.1f}"


def seconds_to_top(states: np.ndarray) -> float | None:
    """When the pendulum comes to the top to stay there, from states (T + 1, 2); None if it does not."""
    away = np.flatnonzero(np.abs(wrap(states[:, 0])) > TOP)
    last = int(away[-1]) + 1 if len(away) else 0
    return last * DT if last < len(states) else None


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, performance in findings.performances.items():
        if performance.training is not None:
            for step, returns in zip(performance.training.steps, performance.training.curve, strict=True):
                yield int(step), f"{name}/return", returns, findings.flags.all_seeds


def result(findings: Findings) -> dict[str, Any]:
    return {
        "starts": len(findings.optimal),
        "optimum": float(findings.optimal.mean()),
        "agents": findings.rows,
        "attracted_share": float(findings.attracted.mean()),
        "attracted_at_rest": findings.rest_angle,
    }


def table(findings: Findings) -> Table:
    flags = findings.flags
    title = _(
        "{starts} starts; {seeds} seeds of the learned agents", starts=len(flags.starts), seeds=len(flags.all_seeds)
    )
    table = Table(_("controller"), title=title)
    columns = (
        _("regret [95 %]"),
        _("worst"),
        _("torque, N m s"),
        _("ms a decision"),
        _("the first"),
        _("s to the top"),
    )
    for heading in columns:
        table.add_column(heading, justify="right")
    for name, row in findings.rows.items():
        (low, high), top = row["ci95"], row["seconds_to_top"]
        regrets = f"{rounded(row['regret'])} [{rounded(low)}, {rounded(high)}]", rounded(row["worst"])
        numbers = *regrets, f"{row['effort']:.1f}"
        times = f"{row['milliseconds']:.2f}", f"{row['first_milliseconds']:.1f}"
        table.add_row(_(LABELS[name]), *numbers, *times, _("never") if top is None else f"{top:.1f}")
    table.caption = _(
        "Interval and worst: of controllers over the starts, of SAC and PPO over the seeds.\n"
        "Times: processor time of a decision, and of the first in an episode; and the swing-up from hanging at rest."
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"region": plot_region(findings), "swing_up": plot_swing_up(findings), "regret": plot_regret(findings)}


def plot_region(findings: Findings) -> Figure:
    """The phase plane: where LQR reaches the top, where it does not, and how energy shaping gets there."""
    title = _(
        "LQR alone reaches the top from {share:.0%} of all states; at rest, from {degrees:.0f} degrees at most.\n"
        "Energy shaping drives the pendulum into that region",
        share=findings.attracted.mean(),
        degrees=np.rad2deg(findings.rest_angle),
    )
    figure, (axes,) = plotting.slide(title)
    colors = ListedColormap(["white", plotting.SKY])
    axes.pcolormesh(np.rad2deg(findings.angles), findings.speeds, findings.attracted, cmap=colors, alpha=0.5)
    axes.plot([], [], "s", color=plotting.SKY, alpha=0.5, markersize=14, label=_("LQR reaches the top from here"))
    for name, color in (("lqr-energy", plotting.BLUE), ("lqr", plotting.ORANGE)):
        angle, speed = findings.performances[name].swing.T
        for turns in (-360, 0, 360):  # a path that leaves the picture on one side enters on the other
            axes.plot(np.rad2deg(angle) + turns, speed, color=color)
        axes.plot([], [], color=color, label=_("{name}, from hanging", name=_(LABELS[name])))
    axes.plot([-180, 180], [0, 0], "s", color="black", markersize=10, clip_on=False, label=_("hanging"))
    axes.plot(0, 0, "*", color="black", markersize=18, label=_("upright"))
    axes.set_xticks(range(-180, 181, 45))
    axes.set(xlabel=_("angle, degrees (0 upright)"), ylabel=_("speed, rad/s"), xlim=(-180, 180), ylim=(-8, 8))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def plot_swing_up(findings: Findings) -> Figure:
    """The height of the tip and the torque over time, of everybody who can swing up, from hanging."""
    names = [name for name in LABELS if name != "lqr"]
    rows = findings.rows
    title = _(
        "From hanging to the top, to stay there:\n"
        "MPC by iLQR {mpc}, optimum {optimum}, energy + LQR {energy}, SAC {sac}",
        mpc=top_words(rows["mpc"]),
        optimum=top_words(rows["optimum"]),
        energy=top_words(rows["lqr-energy"]),
        sac=top_words(rows["sac"]),
    )
    ratios = {"height_ratios": [2, 1] * (len(names) // 4)}
    figure, axes = plotting.slide(title, 4, len(names) // 2, sharex=True, sharey="row", gridspec_kw=ratios)
    panels = np.reshape(axes, (-1, 2, 4))
    for place, name in enumerate(names):
        performance, (height, torque) = findings.performances[name], panels[place // 4, :, place % 4]
        seconds = DT * np.arange(STEPS + 1)
        height.plot(seconds, np.cos(performance.swing[:, 0]), color=color_of(name))
        words = _(
            "{name}: {time}, return {value:.0f}",
            name=_(LABELS[name]),
            time=top_words(rows[name]),
            value=performance.swing_return,
        )
        height.set_title(words, fontsize=12)
        torque.stairs(performance.swing_torques, seconds, color=color_of(name), linewidth=1.2)
        height.set_ylim(-1.1, 1.1)
        torque.set_ylim(-2.3, 2.3)
        torque.set_xlim(0, SHOWN)
    for column in range(4):
        panels[-1, 1, column].set_xlabel(_("time, s"))
    for line in panels:
        line[0, 0].set_ylabel(_("tip, m"))
        line[1, 0].set_ylabel(_("N m"))
    above = _("above: height of the tip over the pivot    below: torque of the motor")
    figure.supxlabel(above, fontsize=13, color=plotting.GRAY)
    return figure


def top_words(row: dict[str, Any]) -> str:
    top = row["seconds_to_top"]
    return _("never") if top is None else _("{seconds:.1f} s", seconds=top)


def color_of(name: str) -> str:
    return plotting.ORANGE if name in LEARNED else "black" if name == "optimum" else plotting.BLUE


def plot_regret(findings: Findings) -> Figure:
    """Regret of everybody with a dot for each start or seed, and the time of a decision."""
    rows = findings.rows
    figure, (regret, times) = plotting.slide(
        _(
            "Regret: energy + LQR {energy:.1f}, MPC by iLQR {mpc}, SAC {sac:.1f}.\n"
            "MPC decides in {planned:.0f} ms, SAC in {learned:.1f} ms",
            energy=rows["lqr-energy"]["regret"],
            mpc=rounded(rows["mpc"]["regret"]),
            sac=rows["sac"]["regret"],
            planned=rows["mpc"]["milliseconds"],
            learned=rows["sac"]["milliseconds"],
        ),
        2,
        sharey=True,
    )
    for place, (name, row) in enumerate(rows.items()):
        color, middle, (low, high) = color_of(name), row["regret"], row["ci95"]
        regret.barh(place, middle, 0.55, color=color, alpha=0.3)
        regret.plot(
            row["regrets"], np.full(len(row["regrets"]), place + 0.38), "o", color=color, alpha=0.4, markersize=4
        )
        error = [[middle - low], [high - middle]]
        regret.errorbar(middle, place, xerr=error, fmt="s", color=color, capsize=5, markersize=5)
        write_number(regret, max(high, 0), place, rounded(middle), color)
        times.barh(place, row["milliseconds"], 0.55, color=color, alpha=0.3)
        times.plot(row["first_milliseconds"], place + 0.38, "D", color=color, alpha=0.6, markersize=6)
        write_number(times, row["milliseconds"], place, f"{row['milliseconds']:.2g}", color)
    regret.set_xscale("symlog", linthresh=1)
    regret.set_xlabel(_("regret (logarithmic beyond 1)"))
    times.set_xscale("log")
    times.set_xlabel(_("processor time of a decision, ms"))
    times.axvline(1000 * DT, color=plotting.GRAY, linestyle="--", linewidth=1.8)
    times.annotate(_("one step of the pendulum"), (1000 * DT, -0.6), (-6, 0), textcoords="offset points", ha="right")
    regret.set_yticks(range(len(rows)), [_(LABELS[name]) for name in rows])
    regret.set_ylim(len(rows) - 0.4, -0.9)
    for axes in (regret, times):
        axes.grid(axis="y", visible=False)
    words = _(
        "dots: starts (of SAC and PPO: seeds)    square: mean (of seeds: IQM) with its 95 % interval    "
        "diamond: first decision"
    )
    figure.supxlabel(words, fontsize=13, color=plotting.GRAY)
    return figure


def write_number(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    """A number to the right of a bar's end."""
    axes.annotate(text, (x, y), (8, 0), textcoords="offset points", ha="left", va="center", fontsize=13, color=color)


PAGE = Page(
    question=_("How do the classical controllers, which know the pendulum's equations, compare with learned agents?"),
    formula=(
        _(r"LQR: $u = -Kx, \quad K = (R + B^T P B)^{-1} B^T P A, \quad P = Q + A^T P (A - B K)$"),
        _(r"energy: $u = u_{max} \, \mathrm{clip}\left(10 \, (1 - E / E_{top})\right) \, \mathrm{sign}(\dot\theta)$"),
        _(
            r"MPC: the first of $u_1, \ldots, u_H$ that minimize "
            r"$\sum_t (\theta_t^2 + 0.1 \, \dot\theta_t^2 + 0.001 \, u_t^2) + x_{H+1}^T P x_{H+1}$"
        ),
    ),
    captions={
        "region": _(
            "The plane shows all states: the angle from left to right, the speed upward. In the blue region the linear "
            "controller alone reaches the top; it is a band around the paths on which the pendulum comes up by itself. "
            "Hanging lies outside, so there energy is pumped until the path enters the band."
        ),
        "swing_up": _(
            "All begin hanging at rest. The motor is too weak to lift the pendulum, so everybody swings first. iLQR "
            "compares several ways to swing before it begins, and takes the cheapest; who pumps energy looks at the "
            "present state alone."
        ),
        "regret": _(
            "On the left is what each loses to the optimum; on the right is the price of a decision. Planning costs "
            "the most time, learning costs its time before. A regret a little below 0 is no mistake: the optimum is "
            "computed on a grid of states and of 41 torques, and iLQR on none."
        ),
    },
    what_if=(
        ("balancier watch optimum lqr-energy ilqr", _("see three of them act side by side")),
        ("balancier compare --with optimum lqr-energy ilqr", _("the same beside all learned agents")),
        ("balancier control --eval-episodes 400", _("how do the intervals shrink with more starts?")),
    ),
)

LESSON = Lesson(
    flags=Control,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier watch optimum lqr-energy ilqr",
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("control", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
