"""How fast is it: steps of the batched pendulum beside Gymnasium's SyncVectorEnv, and an update for 1 to 64 seeds."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags
from experiments.common.parallel import ProgressBar
from experiments.common.runs import Run, console
from experiments.common.training import DEFAULTS

SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536)
SYNC_SIZES = (1, 4, 16, 64, 256, 1024)  # beyond, SyncVectorEnv only takes longer to make
SEED_COUNTS = (1, 2, 5, 10, 20, 64)
# Steps of each seed after which every further iteration is typical, and steps that are then timed.
WARM = {"sac": 150, "td3": 150, "ppo": 1024, "a2c": 512, "reinforce": 1600, "dqn": 250}
ITERATIONS = {"sac": 150, "td3": 150, "ppo": 2048, "a2c": 1024, "reinforce": 1600, "dqn": 300}


@dataclass(frozen=True)
class Bench(Flags):
    """Steps of the batched pendulum beside Gymnasium's SyncVectorEnv, and an update for 1 to 64 seeds."""

    seeds: int = 64
    """The largest number of seeds to train together."""
    budget: float = 1.0
    """Processor seconds for each speed of a world."""


def steps_per_second(rows: Any, num_envs: int, budget: float) -> float:
    """Through the public `step`, resets included, random torques."""
    rows.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-2, 2, (20, num_envs, 1)).astype(np.float32)
    rows.step(actions[0])
    steps, began = 0, time.process_time()
    while (spent := time.process_time() - began) < budget or steps < 220:
        rows.step(actions[steps % 20])
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


def update_cost(name: str, first: int, count: int) -> float:
    """Processor milliseconds of learning for a thousand steps of every seed."""
    agent = AGENTS[name](DEFAULTS[name][0], seeds=range(first, first + count))
    agent.learn(WARM[name])
    began = time.process_time()
    agent.learn(ITERATIONS[name])
    return (time.process_time() - began) / ITERATIONS[name] * 1e6


def bench(flags: Bench) -> None:
    run = Run("bench", flags)
    budget = flags.budget / 5 if flags.quick else flags.budget
    counts = [count for count in (SEED_COUNTS[:4] if flags.quick else SEED_COUNTS) if count <= flags.seeds]
    console.print(f"bench: about {'20 s' if flags.quick else '1 min'}; close what else is running", highlight=False)
    measured: dict[str, dict[int, float]] = {"balancier": {}, "sync": {}}
    costs: dict[str, dict[int, float]] = {name: {} for name in AGENTS}
    tasks: list[tuple[dict[int, float], int, Callable[[int], float]]] = []
    tasks += [(measured["balancier"], n, lambda n: steps_per_second(native(n), n, budget)) for n in SIZES]
    tasks += [(measured["sync"], n, lambda n: steps_per_second(sync(n), n, budget)) for n in SYNC_SIZES]
    for name in AGENTS:
        tasks += [(costs[name], n, lambda n, name=name: update_cost(name, flags.seed, n)) for n in counts]
    with ProgressBar(len(tasks), "measuring") as progress:
        for into, size, measure in tasks:
            into[size] = measure(size)
            progress.advance()
    best = max(measured["sync"].values())
    run.figure(draw_worlds(measured), "stepping")
    run.figure(draw_updates(costs), "seeds")
    run.finish(
        {
            "machine": run.machine,
            "steps_per_second": measured,
            "ratio_at_4096": round(measured["balancier"][4096] / best, 1),
            "milliseconds_per_1000_steps": costs,
        }
    )
    console.print(world_table(measured))
    run.close(seed_table(costs), "balancier compare, where this speed is put to use")


def world_table(measured: dict[str, dict[int, float]]) -> Table:
    best = max(measured["sync"].values())
    table = Table(title="Steps per second of the pendulum, one core, resets included")
    for name in ("environments", "Balancier", "SyncVectorEnv", "ratio to its best"):
        table.add_column(name, justify="right")
    for n, speed in measured["balancier"].items():
        theirs = measured["sync"].get(n)
        table.add_row(f"{n:,}", f"{speed:,.0f}", f"{theirs:,.0f}" if theirs else "", f"{speed / best:,.1f}")
    return table


def seed_table(costs: dict[str, dict[int, float]]) -> Table:
    table = Table(title="Processor milliseconds for a thousand steps of every seed, and what one seed of it costs")
    table.add_column("seeds", justify="right")
    for name in costs:
        table.add_column(name, justify="right")
    for seeds in next(iter(costs.values())):
        cells = (f"{cost[seeds]:,.0f} ({cost[seeds] / seeds:,.0f} each)" for cost in costs.values())
        table.add_row(str(seeds), *cells)
    return table


def draw_worlds(measured: dict[str, dict[int, float]]) -> Any:
    figure, (axes,) = plotting.new(width=9, height=5.5)
    for name, label, color in (
        ("balancier", "Balancier's batch", plotting.BLUE),
        ("sync", "Gymnasium's SyncVectorEnv", plotting.ORANGE),
    ):
        axes.loglog(list(measured[name]), list(measured[name].values()), "o-", color=color, label=label)
    axes.set_xlabel("environments")
    axes.set_ylabel("steps per second, one core")
    axes.set_title("Stepping the pendulum")
    axes.legend()
    return figure


def draw_updates(costs: dict[str, dict[int, float]]) -> Any:
    figure, (axes,) = plotting.new(width=9, height=5.5)
    for color, (name, cost) in zip(plotting.COLORS, costs.items(), strict=False):
        seeds = np.array(list(cost))
        axes.loglog(seeds, np.array(list(cost.values())) / cost[1], "o-", color=color, label=name.upper())
    axes.loglog(seeds, seeds, color=plotting.GRAY, linestyle=":", label="one after another")
    axes.set_xticks(seeds, [str(s) for s in seeds])
    axes.minorticks_off()
    axes.set_xlabel("seeds trained together")
    axes.set_ylabel("cost, one seed = 1")
    axes.set_title("What more seeds cost")
    axes.legend()
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("bench", Bench, bench, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
