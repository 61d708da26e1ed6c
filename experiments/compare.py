"""Our agents and Stable-Baselines3's (SB3's) in the same environments, tested on the same starts. The figures show the
return while they learn, the returns of the test, and the processor time.

A seed is one independent training. Ours train all their seeds at once, in one process; SB3 trains one seed a process.
Both are evaluated forty times during training on the same 20 validation starts, and in the end on the same test starts.
An agent has reached the threshold when three evaluations in a row are at or above it. The interquartile mean (IQM) is
the mean of the middle half of the seeds. The regret is its distance from the return of the optimal controller, where
that is known. Seconds are those of the processor, of the training process, on one thread, without evaluations.

S seed, E evaluations, n test starts.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS, Agent
from agents.common.make_env import find_spec
from agents.evaluation import TEST_SEED
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.baselines import SB3_COST, NormalizedModel, make_baseline, zoo_for_ours
from experiments.common.command import Lesson, launch
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric, machine
from experiments.common.statistics import (
    confidence_interval,
    first_crossing,
    interquartile_mean,
    probability_of_improvement,
)
from experiments.common.training import (
    EvaluationCallback,
    Training,
    budget,
    default_env,
    make,
    summary,
    train_agent,
)
from experiments.common.training import forecast as training_seconds

EVALUATIONS = 40  # of each training
THRESHOLDS = {"balancier/Pendulum-v0": -200.0, "balancier/PendulumDiscrete-v0": -200.0, "Pendulum-v1": -200.0}
LIBRARIES = {"balancier": "Balancier", "sb3": "Stable-Baselines3"}
COLORS = {"balancier": plotting.BLUE, "sb3": plotting.ORANGE}


@dataclass(frozen=True)
class Compare(ParallelFlags):
    """Our agents and Stable-Baselines3's in the same environments, tested on the same starts."""

    agents: Annotated[
        tuple[str, ...],
        tyro.conf.arg(help=f"all, or some of {', '.join(AGENTS)}; an agent that SB3 lacks stands alone."),
    ] = ("sac", "ppo", "dqn")
    env: str | None = None
    """A Gymnasium id for all of them (default: the pendulum; for dqn the one with discrete torques)."""
    steps: Annotated[int, at_least(EVALUATIONS)] | None = None
    """Steps of each seed (default: tuned for each agent)."""
    baseline_seeds: Annotated[int, at_least(0)] = 3
    """Seeds of Stable-Baselines3; 0 leaves it out."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each seed."""
    settings: Literal["own", "zoo"] = "own"
    """Hyper-parameters of our agents: our own, or those of SB3's zoo."""

    @property
    def names(self) -> list[str]:
        """The agents to compare, as they were asked for."""
        return list(AGENTS) if self.agents == ("all",) else list(self.agents)

    @property
    def seeds_of_sb3(self) -> list[int]:
        count = min(self.baseline_seeds, 1) if self.quick else self.baseline_seeds
        return [self.seed + i for i in range(count)]


@dataclass(frozen=True)
class Entry:
    """An agent of one library in one environment, with its budget."""

    package: Literal["balancier", "sb3"]
    agent: str
    env: str
    steps: int  # of each seed
    settings: Literal["own", "zoo"]  # hyper-parameters of ours
    episodes: int  # of the test

    @property
    def starts(self) -> range:
        return range(TEST_SEED, TEST_SEED + self.episodes)

    @property
    def threshold(self) -> float | None:
        """The return that counts as solved: -200 on the pendulum, elsewhere Gymnasium's reward threshold."""
        return THRESHOLDS.get(self.env.rpartition(":")[2], find_spec(self.env).reward_threshold)


@dataclass(frozen=True)
class Row:
    """All seeds of an entry: a row of the table."""

    entry: Entry
    trainings: dict[tuple[int, ...], Training]  # those seeds trained in one process
    optimal: np.ndarray | None  # (n,), return of the optimal controller from each test start; None where not known

    @property
    def seeds(self) -> list[int]:
        return [seed for seeds in self.trainings for seed in seeds]

    @property
    def test_returns(self) -> np.ndarray:
        """(S, n)."""
        return np.concatenate([training.test_returns for training in self.trainings.values()])

    @property
    def returns(self) -> np.ndarray:
        """Mean test return of each seed, (S,)."""
        return self.test_returns.mean(1)

    @property
    def optimum(self) -> float | None:
        return None if self.optimal is None else float(self.optimal.mean())

    @property
    def curves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps (E,), mean seconds (E,) and returns (E, S) of the evaluations that all seeds had."""
        trainings = list(self.trainings.values())
        length = min(len(training.steps) for training in trainings)
        seconds = np.mean([training.seconds[:length] for training in trainings], 0)
        return trainings[0].steps[:length], seconds, np.concatenate([t.curve[:length] for t in trainings], 1)

    def to_threshold(self, unit: Literal["steps", "seconds"]) -> list[Any]:
        """Steps or seconds until each seed reached the threshold; None where it never did."""
        if self.entry.threshold is None:
            return [None] * len(self.seeds)
        values = []
        for training in self.trainings.values():
            axis = getattr(training, unit)
            indices = first_crossing(training.curve, self.entry.threshold)
            values += [None if index < 0 else axis[index] for index in indices]
        return values

    @property
    def train_seconds(self) -> list[float]:
        """Of each process: of all seeds together (ours), or of each (SB3)."""
        return [training.train_seconds for training in self.trainings.values()]

    @property
    def seconds_per_seed(self) -> float:
        return sum(self.train_seconds) / len(self.seeds)

    def result(self) -> dict[str, Any]:
        entry, ours = self.entry, self.entry.package == "balancier"
        return {
            "library": entry.package,
            "agent": entry.agent,
            "env": entry.env,
            "seeds": len(self.seeds),
            "steps": entry.steps,
            "train_seconds": self.train_seconds[0] if ours else self.train_seconds,
            **summary(self.returns, self.optimum),
            "optimum": self.optimum,
            "threshold": entry.threshold,
            "steps_to_threshold": self.to_threshold("steps"),
            "seconds_to_threshold": self.to_threshold("seconds"),
        }


@dataclass(frozen=True)
class Findings:
    """One row for each agent and library: agent by agent, ours first."""

    rows: list[Row]

    @property
    def agents(self) -> list[str]:
        return list(dict.fromkeys(row.entry.agent for row in self.rows))

    def rows_of(self, agent: str) -> list[Row]:
        return [row for row in self.rows if row.entry.agent == agent]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """Ours beside SB3's, for each agent that both have."""
        return [pair(*rows) for rows in map(self.rows_of, self.agents) if len(rows) == 2]


def pair(ours: Row, theirs: Row) -> dict[str, Any]:
    """How much faster a seed of ours trains for as many steps, and how likely its return is higher in the end."""
    return {
        "agent": ours.entry.agent,
        "speedup_per_seed": theirs.seconds_per_seed / ours.seconds_per_seed,
        "probability_of_improvement": probability_of_improvement(ours.returns, theirs.returns),
    }


# Training


def make_ours(entry: Entry, seeds: Sequence[int]) -> Agent:
    """An agent of ours; UsageError if it cannot be made."""
    zoo = entry.settings == "zoo"
    keywords = zoo_for_ours(entry.agent, entry.env, entry.steps) if zoo else tuned(entry.agent, entry.env)
    return make(entry.agent, entry.env, seeds, keywords)


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test the agent of one job: ours with all its seeds, or SB3's with one."""
    entry: Entry = job.settings

    def advance(steps: int, _: np.ndarray) -> None:
        report(job.cost * steps / entry.steps)

    if entry.package == "balancier":
        agent = make_ours(entry, job.seeds)
        return train_agent(agent, entry.env, entry.steps, entry.episodes, advance, EVALUATIONS)
    model = make_baseline(entry.agent, entry.env, job.seeds[0])
    tested = NormalizedModel(model)
    callback = EvaluationCallback(entry.env, entry.steps, advance, EVALUATIONS)

    def after_step(*_: Any) -> bool:
        callback(tested, model.num_timesteps)
        return True

    model.learn(entry.steps, callback=after_step)
    return callback.finish(tested, entry.episodes)


def plan(flags: Compare) -> list[Job]:
    """The jobs, the most expensive first; UsageError for agents that cannot be compared."""
    names = flags.names
    if not names or len(set(names)) < len(names) or not set(names) <= set(AGENTS):
        message = f"found {' '.join(flags.agents) or 'none'}, expected all, or different ones of {', '.join(AGENTS)}"
        raise UsageError(f"--agents: {message}")
    episodes = 20 if flags.quick else flags.eval_episodes
    jobs = []
    for agent in names:
        env = flags.env or default_env(agent)
        steps = budget(agent, env, flags.steps, flags.quick)
        entry = Entry("balancier", agent, env, steps, flags.settings, episodes)
        cost = training_seconds(agent, steps, flags.seeds)
        jobs.append(Job(f"{agent}, ours", tuple(flags.all_seeds), cost, entry))
        if agent in SB3_COST:
            entry = Entry("sb3", agent, env, steps, flags.settings, episodes)
            cost = SB3_COST[agent] * steps / 1000
            jobs += [Job(f"{agent}, SB3's", (seed,), cost, entry) for seed in flags.seeds_of_sb3]
    return sorted(jobs, key=lambda job: -job.cost)


def check(flags: Compare) -> None:
    """Make every agent of ours, with one seed."""
    entries = {job.settings.agent: job.settings for job in plan(flags) if job.settings.package == "balancier"}
    for name in flags.names:
        make_ours(entries[name], (0,))


def measure(flags: Compare) -> Findings:
    jobs = plan(flags)
    trained = dict(zip(jobs, run_parallel(train, jobs, flags.processes), strict=True))
    rows = []
    for name in flags.names:
        for library in LIBRARIES:
            chosen = [job for job in jobs if (job.settings.agent, job.settings.package) == (name, library)]
            if chosen:
                entry = chosen[0].settings
                trainings = {job.seeds: trained[job] for job in sorted(chosen, key=lambda job: job.seeds)}
                rows.append(Row(entry, trainings, optimal_returns(entry.env, entry.starts)))
    return Findings(rows)


# Output


def forecast(flags: Compare) -> str:
    return f"about {duration(wall_seconds(plan(flags), flags.processes))} with {flags.processes} processes"


def metrics(findings: Findings) -> Iterable[Metric]:
    for row in findings.rows:
        for seeds, training in row.trainings.items():
            for step, returns in zip(training.steps, training.curve, strict=True):
                yield int(step), f"{row.entry.package}/{row.entry.agent}/return", returns, seeds


def result(findings: Findings) -> dict[str, Any]:
    return {"machine": machine(), "rows": [row.result() for row in findings.rows], "pairs": findings.pairs}


def median(values: list[Any]) -> float | None:
    """The median, with "never" (None) above every number."""
    middle = float(np.median([np.inf if value is None else value for value in values]))
    return middle if np.isfinite(middle) else None


def table(findings: Findings) -> Table:
    table = Table(title="Tested on the same starts; seconds are of the processor, one thread")
    for name in ("agent", "library", "seeds", "steps", "seconds", "IQM [95 %]", "regret"):
        table.add_column(name, justify="left" if name in ("agent", "library") else "right")
    for name in ("to threshold\n(median) steps", "\nseconds", "speed-up\nper seed"):
        table.add_column(name, justify="right")
    speedups = {pair["agent"]: f"{pair['speedup_per_seed']:.1f}" for pair in findings.pairs}
    for row in findings.rows:
        entry, values = row.entry, row.result()
        steps, seconds = median(values["steps_to_threshold"]), median(values["seconds_to_threshold"])
        table.add_row(
            entry.agent,
            entry.package,
            str(len(row.seeds)),
            f"{entry.steps:,}",
            f"{sum(row.train_seconds):.1f}",
            f"{values['iqm']:.1f} [{values['ci95'][0]:.1f}, {values['ci95'][1]:.1f}]",
            "-" if values["regret"] is None else f"{values['regret']:.1f}",
            "never" if steps is None else f"{steps:,.0f}",
            "never" if seconds is None else f"{seconds:.1f}",
            speedups.get(entry.agent, "") if entry.package == "balancier" else "",
        )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "learning_curves": plot_curves(findings),
        "returns": plot_returns(findings),
        "times": plot_times(findings),
    }


def label(row: Row) -> str:
    seeds = f"{len(row.seeds)} seed" + ("s" if len(row.seeds) > 1 else "")
    return f"{LIBRARIES[row.entry.package]} ({seeds})"


def plot_curves(findings: Findings) -> Figure:
    """Return against steps and against processor seconds, interquartile mean with 95 % interval."""
    count = len(findings.agents)
    figure, axes = plotting.new(count, 2, width=6.5, height=4.4)
    for column, agent in enumerate(findings.agents):
        panels = axes[column], axes[count + column]
        rows = findings.rows_of(agent)
        for row in rows:
            steps, seconds, curve = row.curves
            iqm = [interquartile_mean(returns) for returns in curve]
            low, high = np.array([confidence_interval(returns) for returns in curve]).T
            for panel, x in zip(panels, (steps.tolist(), seconds.tolist()), strict=True):
                plotting.band(panel, x, low, iqm, high, label(row), COLORS[row.entry.package])
        for panel, name in zip(panels, ("steps of each seed", "processor seconds"), strict=True):
            plot_references(panel, rows[0])
            panel.set_xlabel(name)
        panels[0].set_title(f"{agent.upper()} on {rows[0].entry.env.removeprefix('balancier/')}")
        panels[0].legend(loc="lower right")
        panels[1].set_xscale("log")
    axes[0].set_ylabel("mean validation return")
    axes[count].set_ylabel("mean validation return")
    axes[count].set_title("all seeds of ours together, one seed of SB3's", fontsize=13, color=plotting.GRAY)
    return figure


def plot_references(panel: Axes, row: Row) -> None:
    """The threshold and the optimum as lines."""
    if row.entry.threshold is not None:
        panel.axhline(row.entry.threshold, color=plotting.GRAY, linestyle=":", linewidth=1.8, label="threshold")
    if row.optimum is not None:
        panel.axhline(row.optimum, color=plotting.GREEN, linestyle="--", linewidth=1.8, label="optimum")


def plot_violin(panel: Axes, returns: np.ndarray, middle: float, place: int, color: str) -> None:
    """The distribution of returns, and a bar across it."""
    bodies: Any = panel.violinplot([returns], [place], widths=0.8, showextrema=False)["bodies"]
    bodies[0].set(facecolor=color, alpha=0.25)
    panel.plot([place - 0.3, place + 0.3], [middle] * 2, color="black")


def plot_returns(findings: Findings) -> Figure:
    """The returns of the test: a dot for each seed, a shape for all episodes, and the optimum beside them."""
    figure, axes = plotting.new(len(findings.agents), width=6.5, height=5.2)
    for panel, agent in zip(axes, findings.agents, strict=True):
        rows = findings.rows_of(agent)
        ticks = [label(row).replace(" (", "\n(") for row in rows]
        for place, row in enumerate(rows):
            color = COLORS[row.entry.package]
            plot_violin(panel, row.test_returns.ravel(), interquartile_mean(row.returns), place, color)
            spread = np.linspace(-0.12, 0.12, len(row.seeds)) if len(row.seeds) > 1 else np.zeros(1)
            panel.plot(place + spread, row.returns, "o", color=color, markersize=9)
        optimal = rows[0].optimal
        if optimal is not None:
            plot_violin(panel, optimal, optimal.mean(), len(rows), plotting.GREEN)
            panel.axhline(optimal.mean(), color=plotting.GREEN, linestyle="--", linewidth=1.8)
            ticks.append("optimum\n(exact)")
        panel.set_xticks(range(len(ticks)), ticks)
        panel.set_title(f"{agent.upper()} after {rows[0].entry.steps:,} steps")
        panel.grid(axis="x", visible=False)
    axes[0].set_ylabel("return of test episodes")
    figure.supxlabel("dots: seeds    bar: interquartile mean    shape: all episodes", fontsize=13, color=plotting.GRAY)
    return figure


def plot_times(findings: Findings) -> Figure:
    """Processor seconds: for the whole training of a seed, and until the threshold."""
    figure, (whole, until) = plotting.new(2, width=7.5, height=5.2)
    for row in findings.rows:
        ours, color = row.entry.package == "balancier", COLORS[row.entry.package]
        place = findings.agents.index(row.entry.agent) + (-0.2 if ours else 0.2)
        whole.bar(place, row.seconds_per_seed, 0.38, color=color, label=LIBRARIES[row.entry.package])
        whole.text(place, row.seconds_per_seed, f"{row.seconds_per_seed:.1f}", ha="center", va="bottom", fontsize=13)
        seconds = sorted(np.inf if value is None else value for value in row.to_threshold("seconds"))
        ninth = seconds[min(len(seconds), 9) - 1] if ours else float(np.median(seconds))
        if np.isfinite(ninth):
            until.bar(place, ninth, 0.38, color=color)
            until.text(place, ninth, f"{ninth:.1f}", ha="center", va="bottom", fontsize=13)
        else:
            until.text(place, 0, "never", ha="center", va="bottom", fontsize=13, rotation=90, color=color)
    whole.set_title("training, per seed", fontsize=15)
    until.set_title("until the threshold: ours, nine of ten seeds;\nSB3, its median seed alone", fontsize=15)
    for axes in (whole, until):
        axes.set_xticks(range(len(findings.agents)), [agent.upper() for agent in findings.agents])
        axes.set_xlim(-0.5, len(findings.agents) - 0.5)
        axes.grid(axis="x", visible=False)
    whole.set_ylabel("processor seconds")
    handles, labels = whole.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    whole.legend(unique.values(), unique.keys())
    return figure


LESSON = Lesson(
    flags=Compare,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier train, then watch it; balancier compare --help for more",
    metrics=metrics,
    check=check,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("compare", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
