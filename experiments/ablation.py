"""What each refinement of deep Q-learning is worth: the plain agent, one switch at a time, and all of them together.

The switches are double Q-learning (arXiv:1509.06461), dueling values (arXiv:1511.06581), three steps of reward before
the target network's value, and prioritized replay (arXiv:1511.05952). All other hyper-parameters stay as they are, so
a switch is judged where the plain agent was tuned.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents.evaluation import TEST_SEED, VALIDATION_SEED
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.hyperparams import settings
from experiments.common.parallel import duration, run_parallel
from experiments.common.runs import Run, console
from experiments.common.statistics import confidence_interval, interquartile_mean, probability_of_improvement
from experiments.common.training import STARTS, Learned, check_budget, forecast, learn, make, mean_optimum, summary

STEPS, QUICK_STEPS = 15_000, 4_000
PLAIN: dict[str, Any] = {"double": False, "dueling": False, "n_step": 1, "prioritized": False}
SWITCHES: dict[str, dict[str, Any]] = {
    "double": {"double": True},
    "dueling": {"dueling": True},
    "3 steps": {"n_step": 3},
    "prioritized": {"prioritized": True},
}
ALL = {name: value for switch in SWITCHES.values() for name, value in switch.items()}
VARIANTS: dict[str, dict[str, Any]] = {"plain": {}, **SWITCHES, "all four": ALL}
BANDS = ("plain", "all four")
COLORS = dict(zip(VARIANTS, ["black", *plotting.COLORS[:4], plotting.RED], strict=True))


@dataclass(frozen=True)
class Ablation(Flags):
    """What each refinement of deep Q-learning is worth."""

    env: str = "balancier/PendulumDiscrete-v0"
    """A Gymnasium id of a world with discrete actions."""
    steps: int | None = None
    """Steps of each seed (default: 15,000; with --quick 4,000)."""
    eval_episodes: int = 100
    """Judged starts."""
    jobs: int | None = None
    """Processes side by side, each on one thread (default: the number of cores)."""


@dataclass(frozen=True)
class Task:
    """One variant, all its seeds."""

    variant: str
    env: str
    seeds: tuple[int, ...]
    steps: int
    episodes: int


def train(task: Task, report: Callable[[float], None]) -> Learned:
    """Work through one task, in a process of its own."""
    agent = make("dqn", task.env, task.seeds, settings("dqn", task.env) | PLAIN | VARIANTS[task.variant])
    return learn(agent, task.env, task.steps, task.episodes, lambda done, _: report(done))


def plan(flags: Ablation) -> list[Task]:
    """The tasks, the costliest first; UsageError for what cannot be trained, before anything has started."""
    check_budget(flags.steps, flags.eval_episodes)
    if flags.jobs is not None and flags.jobs < 1:
        raise UsageError(f"--jobs: found {flags.jobs}, expected at least 1")
    steps = flags.steps or (QUICK_STEPS if flags.quick else STEPS)
    make("dqn", flags.env, [0], settings("dqn", flags.env))
    seeds = tuple(flags.all_seeds)
    return [Task(name, flags.env, seeds, steps, flags.eval_episodes) for name in reversed(VARIANTS)]


def ablation(flags: Ablation) -> None:
    tasks = plan(flags)
    jobs = flags.jobs or os.cpu_count() or 1
    run = Run("ablation", flags)
    steps, total = tasks[0].steps, sum(task.steps for task in tasks)
    seconds = forecast("dqn", total, flags.seeds) * 1.4 / jobs + 15
    told = f"DQN on {flags.env}, {len(tasks)} variants x {flags.seeds} seeds"
    console.print(f"ablation: {told}, about {duration(seconds)} with {jobs} processes", highlight=False)
    found = run_parallel(train, tasks, jobs, total, "training")
    by_name = {task.variant: one for task, one in zip(tasks, found, strict=True)}
    learned = {name: by_name[name] for name in VARIANTS}
    for name, one in learned.items():
        for step, returns in zip(one.steps, one.curve, strict=True):
            run.log(int(step), f"{name}/return", returns, flags.all_seeds)
    optimum = mean_optimum(flags.env, range(TEST_SEED, TEST_SEED + flags.eval_episodes))
    watched = mean_optimum(flags.env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS))
    rows = {name: row(one, learned["plain"], optimum) for name, one in learned.items()}
    run.figure(draw(learned, flags.env, optimum, watched), "ablation")
    run.finish({"env": flags.env, "steps": steps, "seeds": flags.all_seeds, "optimum": optimum, "variants": rows})
    table = Table(title=f"DQN on {flags.env}, {steps:,} steps, {flags.seeds} seeds each")
    for heading in ("variant", "seconds", "IQM [95 %]", "worst seed", "regret", "P(better than plain)"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for name, one in rows.items():
        (low, high), regret = one["ci95"], one["regret"]
        numbers = f"{one['seconds']:.1f}", f"{one['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{min(one['returns']):.1f}"
        better = "" if name == "plain" else f"{one['probability_of_improvement']:.2f}"
        table.add_row(name, *numbers, "-" if regret is None else f"{regret:.1f}", better)
    run.close(table, "balancier ablation --env CartPole-v1")


def row(one: Learned, plain: Learned, optimum: float | None) -> dict[str, Any]:
    """Figures of merit of a variant, and how likely a seed of it beats one of the plain agent's."""
    better = probability_of_improvement(one.judged, plain.judged)
    seconds = {"seconds": round(one.seconds, 2), "probability_of_improvement": round(better, 3)}
    return summary(one.judged, optimum) | seconds


def draw(learned: dict[str, Learned], env: str, optimum: float | None, watched: float | None) -> Figure:
    """Learning curves, and where every seed ended; as regret, on logarithmic axes, where the optimum is known."""
    figure, (curves, finals) = plotting.new(2, width=7.2, height=6.6)
    for name, one in learned.items():
        draw_curve(curves, one.steps, merit(one.curve, watched), name)
    draw_finals(finals, {name: merit(one.judged, optimum) for name, one in learned.items()})
    what = "mean return" if optimum is None else "regret: optimum - mean return"
    curves.set_xlabel("steps of each seed")
    curves.set_ylabel(what)
    curves.set_title(f"{STARTS} episodes during training")
    finals.set_xlabel(what)
    finals.set_title("Judged after training")
    if optimum is not None:
        curves.set_yscale("log")
        finals.set_xscale("log")
        for axis in (curves.yaxis, finals.xaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    seeds = len(next(iter(learned.values())).judged)
    figure.suptitle(f"DQN and its refinements on {env.removeprefix('balancier/')}, {seeds} seeds each")
    told = "line, square: interquartile mean      band, bar: its 95 % interval      dots: seeds"
    handles, labels = curves.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), title=told, title_fontsize=13)
    return figure


def merit(returns: np.ndarray, optimum: float | None) -> np.ndarray:
    """Regret against the optimum of the same starts, or the returns themselves where it is not known."""
    return returns if optimum is None else optimum - returns


def draw_curve(axes: Axes, steps: np.ndarray, values: np.ndarray, name: str) -> None:
    """Interquartile mean of (E, S); the band for the plain agent and all switches alone, six would hide each other."""
    middle, color = [interquartile_mean(row) for row in values], COLORS[name]
    axes.plot(steps, middle, color=color, label=name)
    if name in BANDS:
        low, high = np.array([confidence_interval(row) for row in values]).T
        axes.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)


def draw_finals(axes: Axes, finals: dict[str, np.ndarray]) -> None:
    """Every variant a row: seeds as dots, the interquartile mean and its 95 % interval."""
    for place, (name, values) in enumerate(finals.items()):
        middle, (low, high), color = interquartile_mean(values), confidence_interval(values), COLORS[name]
        axes.plot(values, [place + 0.22] * len(values), "o", color=color, alpha=0.4, markersize=7)
        axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="s", color=color, capsize=6)
        axes.annotate(f"{middle:.1f}", (middle, place - 0.15), ha="center", va="bottom", fontsize=13, color=color)
    axes.set_yticks(range(len(finals)), list(finals))
    axes.set_ylim(len(finals) - 0.4, -0.7)
    axes.grid(axis="y", visible=False)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("ablation", Ablation, ablation, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
