"""Speed: steps of the batched pendulum beside Gymnasium's SyncVectorEnv, and the cost of training 1 to 64 seeds."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from matplotlib.figure import Figure
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS, Agent
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.hyperparams import tuned
from experiments.common.parallel import ProgressBar
from experiments.common.runs import machine
from experiments.common.training import default_env

SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536)
SYNC_SIZES = (1, 4, 16, 64, 256, 1024)  # beyond, SyncVectorEnv only takes longer to make
SEED_COUNTS = (1, 2, 5, 10, 20, 64)


@dataclass(frozen=True)
class Bench(Flags):
    """Steps of the batched pendulum beside Gymnasium's SyncVectorEnv, and an update for 1 to 64 seeds."""

    seeds: Annotated[int, at_least(1)] = 64
    """The largest number of seeds to train together."""
    budget: Annotated[float, above(0)] = 1.0
    """Processor seconds for each measurement of stepping."""


@dataclass(frozen=True)
class Findings:
    """Speeds by number of environments, and costs of training by number of seeds."""

    steps_per_second: dict[str, dict[int, float]]  # "balancier" or "sync" -> environments -> steps
    costs: dict[str, dict[int, float]]  # agent -> seeds -> processor milliseconds of 1000 steps of every seed


def steps_per_second(batch: Any, num_envs: int, budget: float) -> float:
    """Through the public `step`, resets included, random torques."""
    batch.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-2, 2, (20, num_envs, 1)).astype(np.float32)
    batch.step(actions[0])
    steps, began = 0, time.process_time()
    while (spent := time.process_time() - began) < budget or steps < 220:
        batch.step(actions[steps % 20])
        steps += 1
        if spent > 5 * budget:
            break
    return steps * num_envs / (time.process_time() - began)


def native(num_envs: int) -> Any:
    mode = AutoresetMode.SAME_STEP
    return gym.make_vec("balancier/Pendulum-v0", num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode)


def sync(num_envs: int) -> Any:
    keywords = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gym.make_vec("Pendulum-v1", num_envs, vectorization_mode="sync", vector_kwargs=keywords)


def steps_to_time(agent: Agent) -> tuple[int, int]:
    """Steps of each seed after which further ones are typical, and steps to time: whole rollouts, or updates."""
    rollout = getattr(agent.config, "num_steps", 0) * agent.config.num_envs
    if rollout:
        return -(-512 // rollout) * rollout, -(-1024 // rollout) * rollout
    return getattr(agent.config, "learning_starts", 0) + 50, 200


def update_cost(name: str, first: int, count: int) -> float:
    """Processor milliseconds of learning for a thousand steps of every seed."""
    env = default_env(name)
    agent = AGENTS[name](env, seeds=range(first, first + count), **tuned(name, env))
    warm, steps = steps_to_time(agent)
    agent.learn(warm)
    began = time.process_time()
    agent.learn(steps)
    return (time.process_time() - began) / steps * 1e6


def measure(flags: Bench) -> Findings:
    budget = flags.budget / 5 if flags.quick else flags.budget
    counts = [count for count in (SEED_COUNTS[:4] if flags.quick else SEED_COUNTS) if count <= flags.seeds]
    measured: dict[str, dict[int, float]] = {"balancier": {}, "sync": {}}
    costs: dict[str, dict[int, float]] = {name: {} for name in AGENTS}
    tasks: list[tuple[dict[int, float], int, Callable[[int], float]]] = []
    tasks += [(measured["balancier"], n, lambda n: steps_per_second(native(n), n, budget)) for n in SIZES]
    tasks += [(measured["sync"], n, lambda n: steps_per_second(sync(n), n, budget)) for n in SYNC_SIZES]
    for name in AGENTS:
        tasks += [(costs[name], n, lambda n, name=name: update_cost(name, flags.seed, n)) for n in counts]
    with ProgressBar(len(tasks), "measuring") as progress:
        for numbers, size, measure_one in tasks:
            numbers[size] = measure_one(size)
            progress.advance()
    return Findings(measured, costs)


def result(findings: Findings) -> dict[str, Any]:
    speeds = findings.steps_per_second
    return {
        "machine": machine(),
        "steps_per_second": speeds,
        "ratio_at_4096": speeds["balancier"][4096] / max(speeds["sync"].values()),
        "milliseconds_per_1000_steps": findings.costs,
    }


def figures(findings: Findings) -> dict[str, Figure]:
    return {"stepping": plot_stepping(findings.steps_per_second), "seeds": plot_seeds(findings.costs)}


def table(findings: Findings) -> Table:
    """Both tables, one below the other."""
    both = Table.grid()
    both.add_row(stepping_table(findings.steps_per_second))
    both.add_row(seed_table(findings.costs))
    return both


def stepping_table(measured: dict[str, dict[int, float]]) -> Table:
    best = max(measured["sync"].values())
    table = Table(title="Steps per second of the pendulum, one core, resets included")
    for name in ("environments", "Balancier", "SyncVectorEnv", "ratio to its best"):
        table.add_column(name, justify="right")
    for n, speed in measured["balancier"].items():
        theirs = measured["sync"].get(n)
        table.add_row(f"{n:,}", f"{speed:,.0f}", f"{theirs:,.0f}" if theirs else "", f"{speed / best:,.1f}")
    return table


def seed_table(costs: dict[str, dict[int, float]]) -> Table:
    table = Table(title="Processor milliseconds for a thousand steps of every seed (and the share of each)")
    table.add_column("seeds", justify="right")
    for name in costs:
        table.add_column(name, justify="right")
    for seeds in next(iter(costs.values())):
        cells = (f"{cost[seeds]:,.0f} ({cost[seeds] / seeds:,.0f} each)" for cost in costs.values())
        table.add_row(str(seeds), *cells)
    return table


def plot_stepping(measured: dict[str, dict[int, float]]) -> Figure:
    best = max(measured["balancier"].values()) / max(measured["sync"].values())
    figure, (axes,) = plotting.slide(f"A batch steps up to {best:,.0f} times as many pendulums a second")
    for name, label, color in (
        ("balancier", "Balancier's batch", plotting.BLUE),
        ("sync", "Gymnasium's SyncVectorEnv", plotting.ORANGE),
    ):
        axes.loglog(list(measured[name]), list(measured[name].values()), "o-", color=color, label=label)
    axes.set_xlabel("environments")
    axes.set_ylabel("steps per second, one core")
    axes.legend()
    return figure


def plot_seeds(costs: dict[str, dict[int, float]]) -> Figure:
    most = max(max(cost) for cost in costs.values())
    words = ", ".join(f"{cost[most] / cost[1]:.0f} ({name.upper()})" for name, cost in costs.items())
    figure, (axes,) = plotting.slide(f"{most} seeds together cost as much as {words} alone")
    for color, (name, cost) in zip(plotting.COLORS, costs.items(), strict=False):
        seeds = np.array(list(cost))
        axes.loglog(seeds, np.array(list(cost.values())) / cost[1], "o-", color=color, label=name.upper())
    axes.loglog(seeds, seeds, color=plotting.GRAY, linestyle=":", label="one after another")
    axes.set_xticks(seeds, [str(s) for s in seeds])
    axes.minorticks_off()
    axes.set_xlabel("seeds trained together")
    axes.set_ylabel("cost, one seed = 1")
    axes.legend()
    return figure


PAGE = Page(
    question="How much faster is one program for many pendulums, or many seeds, than one after another?",
    formula=(r"speed $=$ steps / processor seconds", r"cost of $S$ seeds $=$ time together / time of one"),
    captions={
        "stepping": "A batch of pendulums is stepped by the same few array operations, however many there are. "
        "SyncVectorEnv steps one after another, so its speed hardly grows.",
        "seeds": "The dotted line is the cost of one training after another. Trainings that share their operations "
        "cost far less, as long as the operations are small.",
    },
    what_if=(
        ("balancier bench --quick", "are the ratios the same in a shorter run?"),
        ("balancier compare", "what does that speed do for the time to the threshold?"),
        ("balancier train --seeds 1", "how long does one seed take, and how long do ten?"),
    ),
)

LESSON = Lesson(
    flags=Bench,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=lambda flags: f"about {'20 s' if flags.quick else '1 min'}; close all other programs",
    next_command="balancier compare, where this speed is put to use",
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("bench", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
