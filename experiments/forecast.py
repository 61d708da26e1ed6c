"""The future of a pendulum from its past (4.1, problem 2): recurrent networks, many inputs to many outputs. An MLP, an
Elman network, a GRU and an LSTM see 50 angles and predict the next 50. They are compared with persistence, which
repeats the last angle, and with a fit of the physics. The figures show the error against the number of steps ahead,
and some predicted futures.

The angles are measured every 0.05 s with 0.01 rad of noise. Every network predicts one step, takes its prediction as
the next input, and so on; it is trained on the error of twenty such steps. Errors are relative to the true angles,
without noise.

S seed, n pendulums, B minibatch.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from envs import datasets
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.estimators import NOISE, least_squares_fit, simulate
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.parallel import Job, ProgressBar, duration, run_parallel
from experiments.common.runs import Metric
from models import MLP, Adam, Linear, fit
from models.fitting import triangle
from models.recurrent import RECURRENT

PAST, FUTURE = 50, 50  # steps
UNROLLED = 20  # predicted steps in the training loss
LOOKS = {
    "mlp": plotting.BLUE,
    "elman": plotting.PURPLE,
    "gru": plotting.GREEN,
    "lstm": plotting.YELLOW,
    "persistence": plotting.GRAY,
    "physics": "black",
}
PANELS = 6  # futures that are drawn
TEST_SEED = 20_000  # seed of the test pendulums


class Budget(NamedTuple):
    """The training of one network."""

    sequences: int
    epochs: int
    batch_size: int
    learning_rate: float
    seconds: float  # of the processor, for one seed


BUDGETS = {
    "mlp": Budget(40_000, 12, 256, 2e-3, 25),
    "elman": Budget(20_000, 8, 128, 2e-3, 15),
    "gru": Budget(20_000, 8, 128, 4e-3, 38),
    "lstm": Budget(20_000, 8, 128, 4e-3, 45),
}


@dataclass(frozen=True)
class Forecast(ParallelFlags):
    """The future of a pendulum from its past, by networks and by physics."""

    seeds: Annotated[int, at_least(1)] = 3
    """How many seeds (independent replicas) to train."""
    sequences: Annotated[int, at_least(1_000)] = 20_000
    """Simulated pasts and futures that the recurrent networks train on; the MLP takes twice as many."""
    hidden: Annotated[int, at_least(1)] = 64
    """Units of the recurrent networks."""
    tests: Annotated[int, at_least(10)] = 1_000
    """Test pendulums."""
    physics_tests: Annotated[int, at_least(PANELS)] = 100
    """The first of them: to these, the physics is fitted."""

    @property
    def share(self) -> float:
        """Share of the sequences and epochs in BUDGETS."""
        return (0.35 if self.quick else 1.0) * self.sequences / 20_000

    @property
    def physics_tests_to_run(self) -> int:
        return min(self.physics_tests, 30) if self.quick else self.physics_tests


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    past: np.ndarray  # (n, PAST), measured
    truth: np.ndarray  # (n, FUTURE)
    futures: dict[str, np.ndarray]  # of networks, persistence and physics: (S or 1, n, FUTURE)
    parameters: dict[str, int]  # of networks
    seconds: dict[str, float]  # of training networks, all seeds

    @cached_property
    def error(self) -> dict[str, np.ndarray]:
        """Root mean square error at each horizon (steps ahead), (S or 1, FUTURE)."""
        return {name: rmse(future, self.truth[: future.shape[1]]) for name, future in self.futures.items()}

    @property
    def best(self) -> str:
        """The network with the smallest error 20 steps ahead."""
        return min(BUDGETS, key=lambda name: self.error[name][:, 19].mean())


# Networks


class WindowMLP(nn.Module):
    """An MLP on the newest PAST angles that predicts the change to the next: (S, B, PAST) -> (S, B, horizon)."""

    def __init__(self, *, seeds: Any):
        super().__init__()
        self.mlp, self.horizon = MLP(PAST, (128, 128), 1, seeds=seeds), UNROLLED

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.horizon):
            newest = x[..., -PAST:]
            x = torch.cat([x, newest[..., -1:] + self.mlp(newest)], -1)
        return x[..., PAST:]


class RecurrentForecaster(nn.Module):
    """A recurrent network that reads angle after angle, its own predictions too: (S, B, PAST) -> (S, B, horizon)."""

    def __init__(self, name: str, hidden: int, *, seeds: Sequence[int]):
        super().__init__()
        self.trunk, self.horizon = RECURRENT[name](1, hidden, seeds=seeds), UNROLLED
        self.head = Linear(hidden, 1, seeds=[seed + 1000 for seed in seeds])

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.trunk(x[..., None])
        angle, predictions = x[..., -1:], []
        for step in range(self.horizon):
            if step:
                _, state = self.trunk(angle[..., None], state)
            angle = angle + self.head(state[0])
            predictions.append(angle)
        return torch.cat(predictions, -1)


def unseen_pendulums(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Measured pasts (count, PAST) and true futures (count, FUTURE)."""
    angles, _ = datasets.swings(count, PAST + FUTURE, seed=TEST_SEED)
    noise = NOISE * np.random.default_rng(TEST_SEED).standard_normal((count, PAST))
    return angles[:, :PAST] + noise, angles[:, PAST:]


def train(job: Job, report: Callable[[float], None]) -> tuple[np.ndarray, int, float]:
    """Train one network; its predicted futures (S, tests, FUTURE), its number of parameters, and seconds."""
    flags, budget, first_seed = job.settings, BUDGETS[job.name], job.seeds[0]
    count, epochs = round(budget.sequences * flags.share), max(3, round(budget.epochs * flags.share))
    angles, _ = datasets.swings((count + 1) // 2, PAST + FUTURE, seed=first_seed + 1)
    # Two pasts of each pendulum: its first swing, and a later, damped one.
    series = datasets.windows(angles, PAST + UNROLLED, stride=FUTURE - UNROLLED)[:count]
    data = TensorDataset(*(torch.tensor(x, dtype=torch.get_default_dtype()) for x in np.split(series, [PAST], 1)))
    generator = torch.Generator().manual_seed(first_seed)
    recurrent = job.name in RECURRENT
    network = RecurrentForecaster(job.name, flags.hidden, seeds=job.seeds) if recurrent else WindowMLP(seeds=job.seeds)
    history = fit(
        network,
        data,
        seeds=job.seeds,
        epochs=epochs,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        optimizer=partial(Adam, max_grad_norm=1.0),
        schedule=triangle(epochs, 0.1),
        augment=lambda x, _: x + NOISE * torch.randn(x.shape, generator=generator),
        callback=lambda *_: report(job.cost / epochs),
    )
    past = torch.tensor(unseen_pendulums(flags.tests)[0], dtype=torch.get_default_dtype())
    network.horizon = FUTURE
    with torch.no_grad():
        futures = network(past.expand(len(job.seeds), -1, -1)).numpy()
    return futures, sum(parameter[0].numel() for parameter in network.parameters()), history.seconds


def rmse(futures: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Root mean square error at each horizon, (S, FUTURE), of futures (S, n, FUTURE)."""
    return np.sqrt(((futures - truth) ** 2).mean(1))


# The lesson


def plan(flags: Forecast) -> list[Job]:
    """One job for each network, the most expensive first."""
    scale = flags.share**2 * (0.5 + 0.5 * flags.seeds)
    jobs = [Job(name, tuple(flags.all_seeds), budget.seconds * scale, flags) for name, budget in BUDGETS.items()]
    return sorted(jobs, key=lambda job: -job.cost)


def check(flags: Forecast) -> None:
    if flags.physics_tests > flags.tests:
        raise UsageError(f"--physics-tests: found {flags.physics_tests}, expected at most --tests, {flags.tests}")


def measure(flags: Forecast) -> Findings:
    jobs = plan(flags)
    results = run_parallel(train, jobs, flags.processes)
    trained = {job.name: result for job, result in zip(jobs, results, strict=True)}
    past, truth = unseen_pendulums(flags.tests)
    futures = {name: trained[name][0] for name in BUDGETS}
    futures["persistence"] = np.broadcast_to(past[None, :, -1:], (1, *truth.shape))
    with ProgressBar(flags.physics_tests_to_run, "fits of the physics") as progress:
        fits = least_squares_fit(past[: flags.physics_tests_to_run], advance=progress.advance)
    futures["physics"] = simulate(fits, PAST + FUTURE)[None, :, PAST:]
    parameters, seconds = {name: trained[name][1] for name in BUDGETS}, {name: trained[name][2] for name in BUDGETS}
    return Findings(flags.all_seeds, past, truth, futures, parameters, seconds)


def forecast(flags: Forecast) -> str:
    processes = flags.processes
    seconds = sum(job.cost for job in plan(flags)) / processes + 10 + flags.physics_tests_to_run / 15
    return f"about {duration(seconds)}, {processes} processes"


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name in BUDGETS:
        for horizon in (1, 5, 10, 20, 50):
            yield horizon, f"{name}/error", findings.error[name][:, horizon - 1], findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    error, best = findings.error, findings.best
    at = {h: {name: round(float(e[:, h - 1].mean()), 5) for name, e in error.items()} for h in (1, 20, 50)}
    return {
        "error_at_1": at[1],
        "error_at_20": at[20],
        "error_at_50": at[50],
        "best": best,
        "best_over_persistence_at_20": round(at[20][best] / at[20]["persistence"], 4),
        "parameters": findings.parameters,
        "train_seconds": {name: round(seconds, 1) for name, seconds in findings.seconds.items()},
    }


def table(findings: Findings) -> Table:
    table = Table("forecast", "parameters", "seconds", "error at 1 step", "20 steps (1 s)", "50 steps", "seeds at 20")
    for name, error in findings.error.items():
        size, seconds, spread = "-", "-", "-"
        if name in BUDGETS:
            size, seconds = f"{findings.parameters[name]:,}", f"{findings.seconds[name]:.0f}"
            spread = f"{error[:, 19].min():.4f} to {error[:, 19].max():.4f}"
        table.add_row(name, size, seconds, *(f"{error[:, h - 1].mean():.4f} rad" for h in (1, 20, 50)), spread)
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"error_against_horizon": plot_errors(findings), "futures": plot_futures(findings)}


def plot_errors(findings: Findings) -> Figure:
    """Error against horizon, mean and range of the seeds."""
    figure, (panel,) = plotting.new(width=10, height=6)
    error, best = findings.error, findings.best
    for name, values in error.items():
        style = {"persistence": ":", "physics": "--"}.get(name, "-")
        plotting.mean_band(panel, range(1, FUTURE + 1), values.T, name, LOOKS[name], linestyle=style)
    panel.axvspan(1, UNROLLED, color=plotting.GRAY, alpha=0.1)
    ratio = error[best][:, 19].mean() / error["persistence"][0, 19]
    panel.set(yscale="log", xlabel="steps ahead (0.05 s each; gray: trained on)", ylabel="error, rad (RMS)")
    panel.set_title(f"20 steps ahead, the error of {best} is {ratio:.0%} of persistence")
    panel.legend(ncols=3, loc="lower right")
    return figure


def plot_futures(findings: Findings) -> Figure:
    """The measured past, the true and the predicted future of six pendulums."""
    figure, panels = plotting.new(3, 2, width=5.5, height=3.8, sharex=True)
    before, after = np.arange(-PAST, 0) * 0.05, np.arange(FUTURE) * 0.05
    best, futures = findings.best, findings.futures
    for index, panel in enumerate(panels):
        panel.plot(before, findings.past[index], ".", color=plotting.GRAY, markersize=4, label="measured")
        panel.plot(after, findings.truth[index], color="black", linewidth=4, alpha=0.35, label="truth")
        panel.plot(after, futures[best][0, index], color=LOOKS[best], label=best)
        panel.plot(after, futures["physics"][0, index], "--", color=plotting.ORANGE, linewidth=1.8, label="physics")
        panel.axvline(0, color="black", linewidth=1)
    for panel in panels[3:]:
        panel.set_xlabel("time, s")
    for panel in panels[::3]:
        panel.set_ylabel("angle, rad")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


LESSON = Lesson(
    flags=Forecast,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier identify, which estimates length and mass of the same pendulums",
    metrics=metrics,
    check=check,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("forecast", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
