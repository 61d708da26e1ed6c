"""Our agents and Stable-Baselines3's on the same worlds, judged on the same starts.

Ours train all their seeds at once, in one process; SB3 trains one seed a process. Both are evaluated every fortieth of
their budget on the same 20 starts, and in the end on the same judged starts. Seconds are those of the processor, of the
training process, on one thread, without evaluations.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS
from agents.common.make_env import find_spec
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.hyperparams import settings
from experiments.common.parallel import duration, run_parallel
from experiments.common.runs import Run, console
from experiments.common.statistics import (
    confidence_interval,
    first_crossing,
    interquartile_mean,
    probability_of_improvement,
)
from experiments.common.training import COST, DEFAULTS, budget, make

EVALUATIONS, STARTS = 40, 20
THRESHOLDS = {"balancier/Pendulum-v0": -200.0, "balancier/PendulumDiscrete-v0": -200.0, "Pendulum-v1": -200.0}


@dataclass(frozen=True)
class Compare(Flags):
    """Our agents and Stable-Baselines3's on the same worlds, judged on the same starts."""

    agents: tuple[Literal["sac", "ppo", "dqn", "td3", "a2c", "reinforce", "all"], ...] = ("sac", "ppo", "dqn")
    """Which agents to compare; SB3 has no REINFORCE, so ours stands alone."""
    env: str | None = None
    """A Gymnasium id for all of them (default: the pendulum; for dqn the one with discrete torques)."""
    steps: int | None = None
    """Steps of each seed (default: chosen for each agent, so that all takes under four minutes)."""
    baseline_seeds: int = 3
    """Seeds of Stable-Baselines3; 0 leaves it out."""
    eval_episodes: int = 100
    """Judged starts."""
    jobs: int | None = None
    """Processes side by side, each on one thread (default: the number of cores)."""
    settings: Literal["own", "zoo"] = "own"
    """Hyper-parameters of our agents: our own, or those of SB3's zoo."""


@dataclass(frozen=True)
class Task:
    """One process's work: an agent of ours with all its seeds, or one seed of SB3's."""

    package: Literal["balancier", "sb3"]
    agent: str
    env: str
    seeds: tuple[int, ...]
    steps: int
    settings: str
    starts: tuple[int, ...]

    @property
    def cost(self) -> float:
        """Forecast in processor seconds."""
        return COST[self.package, self.agent] * self.steps / 1000


@dataclass(frozen=True)
class Trained:
    """What came of a task; the E evaluations happened every fortieth of the budget."""

    task: Task
    steps: list[int]  # (E,)
    seconds: list[float]  # (E,), of training until then
    curve: np.ndarray  # (E, S), mean return over the watched starts
    judged: np.ndarray  # (S, n), return from each judged start
    train_seconds: float


class Watch:
    """Evaluates every fortieth of the budget and keeps the time that this takes out of the training's."""

    def __init__(self, task: Task, report: Callable[[float], None]):
        self.task, self.report = task, report
        self.every = max(1, task.steps // EVALUATIONS)
        self.steps, self.seconds, self.curve = [], [], []
        self.spent, self.since = 0.0, time.process_time()

    def __call__(self, model: Any, num_timesteps: int) -> None:
        if num_timesteps < self.every * (len(self.steps) + 1) or len(self.steps) == EVALUATIONS:
            return
        self.spent += time.process_time() - self.since
        self.steps.append(num_timesteps)
        self.seconds.append(self.spent)
        self.curve.append(evaluate(model, self.task.env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS)).mean(1))
        self.report(self.task.cost / EVALUATIONS)
        self.since = time.process_time()

    def finish(self, model: Any) -> Trained:
        train_seconds = self.spent + time.process_time() - self.since
        judged = evaluate(model, self.task.env, self.task.starts)
        return Trained(self.task, self.steps, self.seconds, np.array(self.curve), judged, train_seconds)


def train(task: Task, report: Callable[[float], None]) -> Trained:
    """Work through one task, in a process of its own."""
    if task.package == "balancier":
        agent = own_agent(task)
        watch = Watch(task, report)
        agent.learn(task.steps, lambda agent: watch(agent, agent.num_timesteps))
        return watch.finish(agent)
    from stable_baselines3.common.callbacks import BaseCallback

    from experiments.common.baselines import Judged, make_baseline

    class Watching(BaseCallback):
        def _on_step(self) -> bool:
            watch(Judged(self.model), self.num_timesteps)
            return True

    model = make_baseline(task.agent, task.env, task.seeds[0])
    watch = Watch(task, report)
    model.learn(task.steps, callback=Watching())
    return watch.finish(Judged(model))


def own_agent(task: Task) -> Any:
    if task.settings == "zoo":
        from experiments.common.baselines import zoo_for_ours

        return make(task.agent, task.env, task.seeds, zoo_for_ours(task.agent, task.env, task.steps))
    return make(task.agent, task.env, task.seeds, settings(task.agent, task.env))


def plan(flags: Compare) -> list[Task]:
    """The tasks, longest first; UsageError for what cannot be compared, before anything has started."""
    for name, least in (("baseline_seeds", 0), ("eval_episodes", 1)):
        if getattr(flags, name) < least:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag}: found {getattr(flags, name)}, expected at least {least}")
    if flags.steps is not None and flags.steps < EVALUATIONS:
        raise UsageError(f"--steps: found {flags.steps}, expected at least {EVALUATIONS}")
    if flags.jobs is not None and flags.jobs < 1:
        raise UsageError(f"--jobs: found {flags.jobs}, expected at least 1")
    names = list(AGENTS) if flags.agents == ("all",) else list(flags.agents)
    if len(set(names)) < len(names) or not names or "all" in names:
        told = " ".join(flags.agents) or "none"
        raise UsageError(f"--agents: found {told}, expected all, or different ones of {', '.join(AGENTS)}")
    starts = tuple(range(TEST_SEED, TEST_SEED + (20 if flags.quick else flags.eval_episodes)))
    tasks = []
    for agent in names:
        env = flags.env or DEFAULTS[agent][0]
        steps = budget(agent, env, flags.steps, flags.quick)
        ours = Task("balancier", agent, env, tuple(flags.all_seeds), steps, flags.settings, starts)
        own_agent(dataclasses.replace(ours, seeds=(0,)))
        tasks.append(ours)
        baseline_seeds = min(flags.baseline_seeds, 1) if flags.quick else flags.baseline_seeds
        if ("sb3", agent) not in COST:
            baseline_seeds = 0
        tasks += [dataclasses.replace(ours, package="sb3", seeds=(flags.seed + i,)) for i in range(baseline_seeds)]
    return sorted(tasks, key=lambda task: -task.cost)


@dataclass(frozen=True)
class Row:
    """One agent of one library: its seeds side by side."""

    package: str
    agent: str
    env: str
    steps: int
    seeds: list[int]
    trained: list[Trained]
    threshold: float | None
    optimum: float | None

    @property
    def returns(self) -> np.ndarray:
        """Mean return of each seed on the judged starts, (S,)."""
        return self.judged.mean(1)

    @property
    def judged(self) -> np.ndarray:
        return np.concatenate([part.judged for part in self.trained])

    @property
    def curve(self) -> np.ndarray:
        """(E, S); evaluations that all seeds had."""
        length = min(len(part.curve) for part in self.trained)
        return np.concatenate([part.curve[:length] for part in self.trained], 1)

    def to_threshold(self, what: Literal["steps", "seconds"]) -> list[float | None]:
        """What it took each seed to reach the threshold; None where it never did."""
        if self.threshold is None:
            return [None] * len(self.seeds)
        found: list[float | None] = []
        for part in self.trained:
            axis = getattr(part, what)
            crossings = first_crossing(part.curve, self.threshold)
            found += [None if i < 0 else round(axis[i], 2) for i in crossings]
        return found

    @property
    def train_seconds(self) -> float | list[float]:
        """Of all seeds together (ours), or of each (SB3)."""
        seconds = [round(part.train_seconds, 2) for part in self.trained]
        return seconds[0] if self.package == "balancier" else seconds

    @property
    def seconds_per_seed(self) -> float:
        return sum(part.train_seconds for part in self.trained) / len(self.seeds)

    def result(self) -> dict[str, Any]:
        iqm = interquartile_mean(self.returns)
        steps, seconds = self.to_threshold("steps"), self.to_threshold("seconds")
        return {
            "library": self.package,
            "agent": self.agent,
            "env": self.env,
            "seeds": len(self.seeds),
            "steps": self.steps,
            "train_seconds": self.train_seconds,
            "returns": [round(float(value), 3) for value in self.returns],
            "iqm": round(iqm, 3),
            "ci95": [round(end, 3) for end in confidence_interval(self.returns)],
            "optimum": None if self.optimum is None else round(self.optimum, 3),
            "regret": None if self.optimum is None else round(self.optimum - iqm, 3),
            "threshold": self.threshold,
            "steps_to_threshold": [None if step is None else int(step) for step in steps],
            "seconds_to_threshold": seconds,
        }


def threshold_of(env: str) -> float | None:
    """What counts as solved: -200 on the pendulum, elsewhere what Gymnasium says."""
    return THRESHOLDS.get(env.rpartition(":")[2], find_spec(env).reward_threshold)


def gather(trained: list[Trained], order: Sequence[str]) -> list[Row]:
    """One row for each agent and library, ours first."""
    rows = []
    for agent in order:
        for library in "balancier", "sb3":
            parts = [part for part in trained if (part.task.agent, part.task.package) == (agent, library)]
            if parts:
                parts.sort(key=lambda part: part.task.seeds)
                task = parts[0].task
                best = optimal_returns(task.env, task.starts)
                rows.append(
                    Row(
                        library,
                        agent,
                        task.env,
                        task.steps,
                        [seed for part in parts for seed in part.task.seeds],
                        parts,
                        threshold_of(task.env),
                        None if best is None else float(best.mean()),
                    )
                )
    return rows


def pair(ours: Row, theirs: Row) -> dict[str, Any]:
    """How much faster a seed of ours trains for as many steps, and how likely it ends up better."""
    return {
        "agent": ours.agent,
        "speedup_per_seed": round(theirs.seconds_per_seed / ours.seconds_per_seed, 2),
        "probability_of_improvement": round(probability_of_improvement(ours.returns, theirs.returns), 3),
    }


def pairs_of(rows: list[Row]) -> list[tuple[Row, Row]]:
    by_key = {(row.agent, row.package): row for row in rows}
    return [
        (row, by_key[row.agent, "sb3"]) for row in rows if row.package == "balancier" and (row.agent, "sb3") in by_key
    ]


def middle(values: list[float | None]) -> float | None:
    """The median, with "never" above every number."""
    ordered = sorted(np.inf if value is None else value for value in values)
    found = float(np.median(ordered)) if ordered else np.inf
    return found if np.isfinite(found) else None


def table_of(rows: list[Row]) -> Table:
    table = Table(title="Judged on the same starts; seconds are of the processor, one thread")
    for name in ("agent", "library", "seeds", "steps", "seconds", "IQM [95 %]", "regret"):
        table.add_column(name, justify="left" if name in ("agent", "library") else "right")
    table.add_column("to threshold\n(median) steps", justify="right")
    table.add_column("\nseconds", justify="right")
    table.add_column("speed-up\nper seed", justify="right")
    speedups = {ours.agent: pair(ours, theirs)["speedup_per_seed"] for ours, theirs in pairs_of(rows)}
    for row in rows:
        result = row.result()
        total = sum(part.train_seconds for part in row.trained)
        steps, seconds = (middle(result[f"{what}_to_threshold"]) for what in ("steps", "seconds"))
        table.add_row(
            row.agent,
            row.package,
            str(len(row.seeds)),
            f"{row.steps:,}",
            f"{total:.1f}",
            f"{result['iqm']:.1f} [{result['ci95'][0]:.1f}, {result['ci95'][1]:.1f}]",
            "-" if result["regret"] is None else f"{result['regret']:.1f}",
            "never" if steps is None else f"{steps:,.0f}",
            "never" if seconds is None else f"{seconds:.1f}",
            f"{speedups[row.agent]:.1f}" if row.package == "balancier" and row.agent in speedups else "",
        )
    return table


NAMES = {"balancier": "Balancier", "sb3": "Stable-Baselines3"}
LOOKS = {"balancier": plotting.BLUE, "sb3": plotting.ORANGE}


def label(row: Row) -> str:
    seeds = f"{len(row.seeds)} seed" + ("s" if len(row.seeds) > 1 else "")
    return f"{NAMES[row.package]} ({seeds})"


def draw_curves(rows: list[Row]) -> Figure:
    """Return against steps and against processor seconds, interquartile mean with 95 % interval."""
    agents = list(dict.fromkeys(row.agent for row in rows))
    figure, axes = plotting.new(len(agents), 2, width=6.5, height=4.4)
    for column, agent in enumerate(agents):
        for row in (row for row in rows if row.agent == agent):
            curve = row.curve
            iqm = [interquartile_mean(point) for point in curve]
            low, high = np.array([confidence_interval(point) for point in curve]).T
            steps = row.trained[0].steps[: len(curve)]
            seconds = np.mean([part.seconds[: len(curve)] for part in row.trained], 0)
            for panel, x in ((axes[column], steps), (axes[len(agents) + column], seconds)):
                plotting.band(panel, x, low, iqm, high, label(row), LOOKS[row.package])
        for panel, name in ((axes[column], "steps of each seed"), (axes[len(agents) + column], "processor seconds")):
            reference_lines(panel, row)
            panel.set_xlabel(name)
        axes[len(agents) + column].set_xscale("log")
        axes[column].set_title(f"{agent.upper()} on {row.env.removeprefix('balancier/')}")
        axes[column].legend(loc="lower right")
    axes[0].set_ylabel("mean return")
    axes[len(agents)].set_ylabel("mean return")
    axes[len(agents)].set_title("all seeds of ours together, one seed of SB3's", fontsize=13, color=plotting.GRAY)
    return figure


def reference_lines(axes: Any, row: Row) -> None:
    if row.threshold is not None:
        axes.axhline(row.threshold, color=plotting.GRAY, linestyle=":", linewidth=1.8, label="threshold")
    if row.optimum is not None:
        axes.axhline(row.optimum, color=plotting.GREEN, linestyle="--", linewidth=1.8, label="optimum")


def draw_returns(rows: list[Row]) -> Figure:
    """Where the judged episodes ended: every seed a dot, every row a box over all episodes, the optimum beside it."""
    agents = list(dict.fromkeys(row.agent for row in rows))
    figure, axes = plotting.new(len(agents), width=6.5, height=5.2)
    for panel, agent in zip(axes, agents, strict=True):
        mine = [row for row in rows if row.agent == agent]
        for place, row in enumerate(mine):
            trunk = panel.violinplot([row.judged.ravel()], [place], widths=0.8, showextrema=False)["bodies"][0]
            trunk.set_facecolor(LOOKS[row.package])
            trunk.set_alpha(0.25)
            spread = np.linspace(-0.12, 0.12, len(row.seeds)) if len(row.seeds) > 1 else [0.0]
            panel.plot(place + np.array(spread), row.returns, "o", color=LOOKS[row.package], markersize=9)
            panel.plot([place - 0.3, place + 0.3], [interquartile_mean(row.returns)] * 2, color="black")
        ticks = [label(row).replace(" (", "\n(") for row in mine]
        best = optimal_returns(mine[0].env, mine[0].trained[0].task.starts)
        if best is not None:
            place = len(mine)
            trunk = panel.violinplot([best], [place], widths=0.8, showextrema=False)["bodies"][0]
            trunk.set_facecolor(plotting.GREEN)
            trunk.set_alpha(0.3)
            panel.plot([place - 0.3, place + 0.3], [best.mean()] * 2, color="black")
            panel.axhline(best.mean(), color=plotting.GREEN, linestyle="--", linewidth=1.8)
            ticks.append("optimum\n(exact)")
        panel.set_xticks(range(len(ticks)), ticks)
        panel.set_title(f"{agent.upper()} after {mine[0].steps:,} steps")
        panel.grid(axis="x", visible=False)
    axes[0].set_ylabel("return of judged episodes")
    figure.supxlabel(
        "dots: seeds    bar: their interquartile mean    shape: all episodes", fontsize=13, color=plotting.GRAY
    )
    return figure


def draw_times(rows: list[Row]) -> Figure:
    """Processor seconds: for a seed's whole training, and until the threshold."""
    figure, (whole, until) = plotting.new(2, width=7.5, height=5.2)
    agents = list(dict.fromkeys(row.agent for row in rows))
    for row in rows:
        place = agents.index(row.agent) + (-0.2 if row.package == "balancier" else 0.2)
        color = LOOKS[row.package]
        whole.bar(place, row.seconds_per_seed, 0.38, color=color, label=NAMES[row.package])
        whole.text(place, row.seconds_per_seed, f"{row.seconds_per_seed:.1f}", ha="center", va="bottom", fontsize=13)
        seconds = sorted(np.inf if s is None else s for s in row.to_threshold("seconds"))
        ninth = seconds[min(len(seconds), 9) - 1] if row.package == "balancier" else float(np.median(seconds))
        if np.isfinite(ninth):
            until.bar(place, ninth, 0.38, color=color)
            until.text(place, ninth, f"{ninth:.1f}", ha="center", va="bottom", fontsize=13)
        else:
            until.text(place, 0, "never", ha="center", va="bottom", fontsize=13, rotation=90, color=color)
    for axes, title in (
        (whole, "training, per seed"),
        (until, "until the threshold: ours, nine of ten seeds;\nSB3, its median seed alone"),
    ):
        axes.set_xticks(range(len(agents)), [agent.upper() for agent in agents])
        axes.set_title(title, fontsize=15)
        axes.grid(axis="x", visible=False)
    whole.set_ylabel("processor seconds")
    handles, labels = whole.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    whole.legend(unique.values(), unique.keys())
    return figure


def compare(flags: Compare) -> None:
    tasks = plan(flags)
    jobs = flags.jobs or os.cpu_count() or 1
    forecast = max(sum(task.cost for task in tasks) * 1.25 / jobs, tasks[0].cost) + 15
    run = Run("compare", flags)
    console.print(f"compare: about {duration(forecast)} with {jobs} processes", highlight=False)
    trained = run_parallel(train, tasks, jobs, sum(task.cost for task in tasks), "training")
    trained_names = {task.agent for task in tasks}
    rows = gather(trained, [name for name in dict.fromkeys([*flags.agents, *AGENTS]) if name in trained_names])
    for row in rows:
        for part in row.trained:
            for step, point in zip(part.steps, part.curve, strict=True):
                run.log(step, f"{row.package}/{row.agent}/return", point, part.task.seeds)
    run.figure(draw_curves(rows), "learning_curves")
    run.figure(draw_returns(rows), "returns")
    run.figure(draw_times(rows), "times")
    pairs = [pair(*both) for both in pairs_of(rows)]
    run.finish({"machine": run.machine, "rows": [row.result() for row in rows], "pairs": pairs})
    run.close(table_of(rows), "balancier train, then watch it; balancier compare --help for more")


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("compare", Compare, compare, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
