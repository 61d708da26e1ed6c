"""The future of a pendulum from its past (4.1, problem 2): networks running freely, persistence, a fit of the physics.

50 angles of a swinging pendulum, one every 0.05 s with 0.01 rad of noise, are given; the next 50 are asked for. Every
network predicts one step and then reads its own prediction as if it had been measured, on and on; it is trained by
the error of twenty such steps. Errors are against the true angles, without noise.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from envs import datasets
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.estimators import NOISE, least_squares_fit, simulate
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import duration, run_parallel
from experiments.common.runs import Run, console
from models import MLP, Adam, Linear, fit
from models.fitting import triangle
from models.recurrent import RECURRENT

PAST, FUTURE = 50, 50  # steps
UNROLLED = 20  # steps of free running in the training loss
LOOKS = {
    "mlp": plotting.BLUE,
    "elman": plotting.PURPLE,
    "gru": plotting.GREEN,
    "lstm": plotting.YELLOW,
    "persistence": plotting.GRAY,
    "physics": "black",
}
# name -> (sequences, epochs, batch size, learning rate, seconds of one seed)
BUDGETS = {
    "mlp": (40_000, 12, 256, 2e-3, 25),
    "elman": (20_000, 8, 128, 2e-3, 15),
    "gru": (20_000, 8, 128, 4e-3, 38),
    "lstm": (20_000, 8, 128, 4e-3, 45),
}
PANELS = 6  # futures that are drawn
TEST_SEED = 20_000  # seed of the pendulums that are judged


@dataclass(frozen=True)
class Forecast(Flags):
    """The future of a pendulum from its past, by networks and by physics."""

    seeds: int = 3
    """How many seeds (independent replicas) to train."""
    sequences: int = 20_000
    """Simulated pasts and futures that the recurrent networks train on; the MLP takes twice as many."""
    hidden: int = 64
    """Units of the recurrent networks."""
    tests: int = 1_000
    """Fresh pendulums to be judged on."""
    physics_tests: int = 100
    """Those of them that the physics is fitted to."""
    jobs: int | None = None
    """Processes side by side, each on one thread (default: the number of cores)."""


class Window(nn.Module):
    """An MLP on the newest PAST angles, which says how far the next one is: (S, B, PAST) -> (S, B, horizon)."""

    def __init__(self, *, seeds: Any):
        super().__init__()
        self.mlp, self.horizon = MLP(PAST, (128, 128), 1, seeds=seeds), UNROLLED

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.horizon):
            newest = x[..., -PAST:]
            x = torch.cat([x, newest[..., -1:] + self.mlp(newest)], -1)
        return x[..., PAST:]


class RecurrentEncoder(nn.Module):
    """A recurrent network that reads angle after angle, its own predictions too: (S, B, PAST) -> (S, B, horizon)."""

    def __init__(self, name: str, hidden: int, *, seeds: Sequence[int]):
        super().__init__()
        self.trunk, self.horizon = RECURRENT[name](1, hidden, seeds=seeds), UNROLLED
        self.head = Linear(hidden, 1, seeds=[seed + 1000 for seed in seeds])

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.trunk(x[..., None])
        angle, found = x[..., -1:], []
        for step in range(self.horizon):
            if step:
                _, state = self.trunk(angle[..., None], state)
            angle = angle + self.head(state[0])
            found.append(angle)
        return torch.cat(found, -1)


@dataclass(frozen=True)
class Task:
    """One network to train."""

    name: str
    seeds: tuple[int, ...]
    hidden: int
    share: float  # of the sequences and epochs in BUDGETS
    tests: int

    @property
    def cost(self) -> float:
        """Forecast in processor seconds."""
        return BUDGETS[self.name][-1] * self.share**2 * (0.5 + 0.5 * len(self.seeds))


def tests_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Measured pasts (count, PAST) and true futures (count, FUTURE)."""
    angles, _ = datasets.swings(count, PAST + FUTURE, seed=TEST_SEED)
    noise = NOISE * np.random.default_rng(TEST_SEED).standard_normal((count, PAST))
    return angles[:, :PAST] + noise, angles[:, PAST:]


def train(task: Task, report: Callable[[float], None]) -> tuple[np.ndarray, int, float]:
    """Futures (S, tests, FUTURE) that a network foresees after its training, its parameters, and seconds."""
    count, epochs, batch_size, learning_rate, _ = BUDGETS[task.name]
    count, epochs = round(count * task.share), max(3, round(epochs * task.share))
    angles, _ = datasets.swings((count + 1) // 2, PAST + FUTURE, seed=task.seeds[0] + 1)
    # Two pasts of each pendulum: its first swing, and a later, damped one.
    series = datasets.windows(angles, PAST + UNROLLED, stride=FUTURE - UNROLLED)[:count]
    data = TensorDataset(*(torch.tensor(x, dtype=torch.get_default_dtype()) for x in np.split(series, [PAST], 1)))
    generator = torch.Generator().manual_seed(task.seeds[0])
    network = (
        Window(seeds=task.seeds) if task.name == "mlp" else RecurrentEncoder(task.name, task.hidden, seeds=task.seeds)
    )
    history = fit(
        network,
        data,
        seeds=task.seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=partial(Adam, max_grad_norm=1.0),
        schedule=triangle(epochs, 0.1),
        augment=lambda x, _: x + NOISE * torch.randn(x.shape, generator=generator),
        callback=lambda *_: report(task.cost / epochs),
    )
    past = torch.tensor(tests_of(task.tests)[0], dtype=torch.get_default_dtype())
    network.horizon = FUTURE
    with torch.no_grad():
        futures = network(past.expand(len(task.seeds), -1, -1)).numpy()
    return futures, sum(parameter[0].numel() for parameter in network.parameters()), history.seconds


def errors(futures: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Root mean square error at each horizon, (S, FUTURE), of futures (S, n, FUTURE)."""
    return np.sqrt(((futures - truth) ** 2).mean(1))


def plan(flags: Forecast) -> list[Task]:
    for name, least in (("sequences", 1_000), ("hidden", 1), ("tests", 10), ("physics_tests", PANELS)):
        if getattr(flags, name) < least:
            raise UsageError(f"--{name.replace('_', '-')}: found {getattr(flags, name)}, expected at least {least}")
    if flags.physics_tests > flags.tests:
        raise UsageError(f"--physics-tests: found {flags.physics_tests}, expected at most --tests, {flags.tests}")
    if flags.jobs is not None and flags.jobs < 1:
        raise UsageError(f"--jobs: found {flags.jobs}, expected at least 1")
    share = (0.35 if flags.quick else 1.0) * flags.sequences / 20_000
    tasks = [Task(name, tuple(flags.all_seeds), flags.hidden, share, flags.tests) for name in BUDGETS]
    return sorted(tasks, key=lambda task: -task.cost)


def forecast(flags: Forecast) -> None:
    tasks = plan(flags)
    jobs = flags.jobs or os.cpu_count() or 1
    cost = sum(task.cost for task in tasks)
    physics_tests = min(flags.physics_tests, 30) if flags.quick else flags.physics_tests
    run = Run("forecast", flags)
    console.print(
        f"forecast: about {duration(cost / jobs + 10 + physics_tests / 15)}, {jobs} processes", highlight=False
    )
    results = run_parallel(train, tasks, jobs, cost, "training")
    trained = {task.name: result for task, result in zip(tasks, results, strict=True)}
    past, truth = tests_of(flags.tests)
    futures = {name: trained[name][0] for name in BUDGETS}
    futures["persistence"] = np.broadcast_to(past[None, :, -1:], (1, *truth.shape))
    console.print(f"fitting the physics to {physics_tests} pasts", highlight=False)
    fits = least_squares_fit(past[:physics_tests])
    futures["physics"] = simulate(fits, PAST + FUTURE)[None, :, PAST:]
    error = {name: errors(future, truth[: future.shape[1]]) for name, future in futures.items()}
    for name in BUDGETS:
        for horizon in (1, 5, 10, 20, 50):
            run.log(horizon, f"{name}/error", error[name][:, horizon - 1])
    best = min(BUDGETS, key=lambda name: error[name][:, 19].mean())
    run.figure(draw_errors(error, best), "error_against_horizon")
    run.figure(draw_futures(past, truth, futures, best), "futures")
    at = {h: {name: round(float(e[:, h - 1].mean()), 5) for name, e in error.items()} for h in (1, 20, 50)}
    result = {
        "error_at_1": at[1],
        "error_at_20": at[20],
        "error_at_50": at[50],
        "best": best,
        "best_over_persistence_at_20": round(at[20][best] / at[20]["persistence"], 4),
        "parameters": {name: trained[name][1] for name in BUDGETS},
        "train_seconds": {name: round(trained[name][2], 1) for name in BUDGETS},
    }
    run.finish(result)
    table = Table("forecast", "parameters", "seconds", "error at 1 step", "20 steps (1 s)", "50 steps", "seeds at 20")
    for name, e in error.items():
        known = [f"{trained[name][1]:,}", f"{trained[name][2]:.0f}"] if name in trained else ["-", "-"]
        spread = f"{e[:, 19].min():.4f} to {e[:, 19].max():.4f}" if name in trained else "-"
        table.add_row(name, *known, *(f"{at[h][name]:.4f} rad" for h in (1, 20, 50)), spread)
    run.close(table, "balancier identify, which asks the same pendulums for their length and mass")


def draw_errors(error: dict[str, np.ndarray], best: str) -> Any:
    """Error against horizon, mean and range of the seeds."""
    figure, (panel,) = plotting.new(width=10, height=6)
    steps = range(1, FUTURE + 1)
    for name, e in error.items():
        style = {"persistence": ":", "physics": "--"}.get(name, "-")
        plotting.band(panel, steps, e.min(0), e.mean(0), e.max(0), name, LOOKS[name], linestyle=style)
    panel.axvspan(1, UNROLLED, color=plotting.GRAY, alpha=0.1)
    ratio = error[best][:, 19].mean() / error["persistence"][0, 19]
    panel.set(yscale="log", xlabel="steps ahead (0.05 s each; gray: trained on)", ylabel="error, rad (RMS)")
    panel.set_title(f"running freely: 20 steps ahead {best} errs by {ratio:.0%} of persistence")
    panel.legend(ncols=3, loc="lower right")
    return figure


def draw_futures(past: np.ndarray, truth: np.ndarray, futures: dict[str, np.ndarray], best: str) -> Any:
    """Six pendulums: what was measured, what came, and what was foreseen."""
    figure, panels = plotting.new(3, 2, width=5.5, height=3.8, sharex=True)
    before, after = np.arange(-PAST, 0) * 0.05, np.arange(FUTURE) * 0.05
    for row, panel in enumerate(panels):
        panel.plot(before, past[row], ".", color=plotting.GRAY, markersize=4, label="measured")
        panel.plot(after, truth[row], color="black", linewidth=4, alpha=0.35, label="truth")
        panel.plot(after, futures[best][0, row], color=LOOKS[best], label=best)
        panel.plot(after, futures["physics"][0, row], "--", color=plotting.ORANGE, linewidth=1.8, label="physics")
        panel.axvline(0, color="black", linewidth=1)
    for panel in panels[3:]:
        panel.set_xlabel("time, s")
    for panel in panels[::3]:
        panel.set_ylabel("angle, rad")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("forecast", Forecast, forecast, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
