"""The future of a pendulum from its past (4.1, problem 2): recurrent networks, many inputs to many outputs. A flat
network, an MLP, reads a window of 50 angles; Elman network, GRU and LSTM read the angles group by group. All predict
the next 50. They are compared with persistence, which repeats the last angle, and with a fit of the physics. The
figures show the error against the number of steps ahead, of angles seen, of parameters and of processor seconds, and
some futures.

An angle is measured every 0.05 s with 0.01 rad of noise, and 5 angles make a group. Every network predicts a group,
takes its prediction as the next input, and so on; it is trained on the error of twenty such angles. Errors are relative
to the true angles, without noise. `--quick` trains nothing: it tests the networks that come with the package. They were
trained and kept by `balancier forecast --seeds 1 --keep experiments/networks`.

S seed, n pendulums, B minibatch, T angles, G groups, H angles predicted.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from envs import datasets
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.estimators import NOISE, least_squares_fit, simulate
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.parallel import Job, ProgressBar, duration, run_parallel
from experiments.common.runs import Metric
from experiments.common.sequences import (
    CHANGE,
    GROUP,
    Flat,
    check_shipped,
    flat_parameters,
    groups,
    keep,
    legend_below,
    load_shipped,
    log_error_axis,
    looks,
    num_parameters,
    recurrent,
    recurrent_parameters,
    same_size,
)
from models import Adam, Linear, fit
from models.fitting import triangle
from models.recurrent import RECURRENT

PAST, FUTURE, LONGER, SHORTEST = 50, 50, 100, 10  # angles: read in training, predicted, read at most, at least
UNROLLED = 20  # predicted angles in the training loss
AHEAD = 20  # angles ahead, 1 s, where errors are compared
FIRST_STARTS = 80  # training windows begin up to this number of angles after the release
SHORTER = 0.25  # share of the training's pasts that have SHORTEST to PAST angles; the others have PAST
EVERY_STEP = 0.3  # weight of the errors of the next group after every group read
FLAT = "mlp"
LARGER = (128, 128, 128)  # hidden layers of a flat network with more parameters
REFERENCES = {"persistence": (plotting.GRAY, ":"), "physics": ("black", "-.")}
PANELS = 3  # pendulums whose futures are drawn
TEST_SEED = 20_000  # seed of the test pendulums


class Budget(NamedTuple):
    """The training of one network."""

    sequences: int
    epochs: int
    batch_size: int
    learning_rate: float
    seconds: float  # of the processor, for one seed


BUDGETS = {
    "elman": Budget(40_000, 16, 128, 2e-3, 32),
    "gru": Budget(40_000, 16, 128, 4e-3, 42),
    "lstm": Budget(40_000, 16, 128, 4e-3, 50),
    FLAT: Budget(40_000, 20, 256, 2e-3, 15),
    "larger": Budget(40_000, 20, 256, 2e-3, 21),
}


@dataclass(frozen=True)
class Forecast(ParallelFlags):
    """The future of a pendulum from its past, by networks and by physics."""

    seeds: Annotated[int, at_least(1)] = 3
    """How many seeds (independent replicas) to train; --quick has the one that ships."""
    sequences: Annotated[int, at_least(1_000)] = 40_000
    """Simulated pasts and futures to train on."""
    hidden: Annotated[int, at_least(1)] = 64
    """Units of the GRU; the other networks get as many parameters."""
    tests: Annotated[int, at_least(10)] = 1_000
    """Test pendulums."""
    physics_tests: Annotated[int, at_least(PANELS)] = 100
    """The first of them: to these, the physics is fitted (at most 30 with --quick)."""
    keep: Path | None = None
    """Folder for the trained networks of the first seed."""

    @property
    def share(self) -> float:
        """Share of the sequences in BUDGETS."""
        return self.sequences / 40_000

    @property
    def trained_seeds(self) -> list[int]:
        return [0] if self.quick else self.all_seeds

    @property
    def physics_tests_to_run(self) -> int:
        return min(self.physics_tests, 30) if self.quick else self.physics_tests


@dataclass(frozen=True)
class Performance:
    """Root mean square errors of one network at each horizon, and where they come from."""

    parameters: int
    seconds: float  # of the processor, for one seed
    curve: np.ndarray  # (epochs, 1 + S): processor seconds for one seed, and errors AHEAD
    by_length: dict[int, np.ndarray]  # number of angles seen -> (S, H)
    unequal: np.ndarray  # (S, H), from a random number of angles of each pendulum
    future: np.ndarray  # (n, H), predicted by the first seed from PAST angles
    weights: dict[str, Tensor]  # of the first seed


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    shipped: bool  # whether the networks are those of the package
    networks: dict[str, Performance]
    references: dict[str, np.ndarray]  # persistence and physics: predicted futures (n or fewer, H)
    past: np.ndarray  # (n, LONGER), measured
    truth: np.ndarray  # (n, H)

    @property
    def error(self) -> dict[str, np.ndarray]:
        """Root mean square error at each horizon (S, H) of networks and references, from PAST angles."""
        errors = {name: network.by_length[PAST] for name, network in self.networks.items()}
        return errors | {
            name: rmse(future[None], self.truth[: len(future)]) for name, future in self.references.items()
        }

    @property
    def unequal(self) -> dict[str, np.ndarray]:
        return {name: network.unequal for name, network in self.networks.items()}

    @property
    def longer(self) -> dict[str, np.ndarray]:
        return {name: network.by_length[LONGER] for name, network in self.networks.items()}

    @property
    def best(self) -> str:
        return min(self.networks, key=lambda name: ahead(self.error)[name].mean())


def ahead(errors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The errors AHEAD, (S,) each."""
    return {name: error[:, AHEAD - 1] for name, error in errors.items()}


def best_recurrent(errors: dict[str, np.ndarray]) -> str:
    """The recurrent network with the smallest error AHEAD."""
    return min(RECURRENT, key=lambda name: ahead(errors)[name].mean())


def flat_over_best(errors: dict[str, np.ndarray]) -> float:
    """Error AHEAD of the flat network over that of the best recurrent one."""
    return float(ahead(errors)[FLAT].mean() / ahead(errors)[best_recurrent(errors)].mean())


# Networks


class WindowMLP(nn.Module):
    """A flat network on the last PAST angles that predicts the changes of the next group: (S, B, T) -> (S, B, H).

    `counts` (S, B) says how many groups, the newest, each past has; None for all.
    """

    def __init__(self, layers: Sequence[int], *, seeds: Any):
        super().__init__()
        self.flat, self.horizon = Flat(PAST // GROUP, layers, GROUP, seeds=seeds), UNROLLED

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        past, longest = x.shape[-1], PAST // GROUP
        counts = torch.full(x.shape[:2], longest) if counts is None else counts
        for predicted in range(self.horizon // GROUP):
            newest, first = x[..., -PAST:], (longest - predicted - counts).clamp(min=0)[..., None]  # (S, B, 1)
            # The first angle seen stands for those before it: a change would give the last of them away.
            newest = torch.where(
                torch.arange(PAST) < first * GROUP, newest.gather(-1, first.clamp(max=longest - 1) * GROUP), newest
            )
            x = torch.cat([x, following(newest, self.flat(newest, torch.arange(longest) >= first))], -1)
        return x[..., past:]


class RecurrentForecaster(nn.Module):
    """A recurrent network that reads group after group, its own predictions too: (S, B, T) -> (S, B, H).

    In training it also predicts the next group after each group that it reads: (S, B, T - GROUP + H).
    """

    def __init__(self, name: str, hidden: int, *, seeds: Sequence[int]):
        super().__init__()
        self.trunk, self.horizon = recurrent(name, hidden, seeds=seeds), UNROLLED
        self.head = Linear(hidden, GROUP, seeds=[seed + 1000 for seed in seeds])

    def forward(self, x: Tensor) -> Tensor:
        outputs, state = self.trunk(groups(x))
        each = following(x.unflatten(-1, (-1, GROUP))[:, :, :-1], self.head(outputs[:, :, :-1]))  # (S, B, G - 1, GROUP)
        predictions, angles = [each.flatten(-2)] if self.training else [], x
        before = x[..., -1:]
        for predicted in range(self.horizon // GROUP):
            if predicted:
                _, state = self.trunk(groups(angles, before), state)
            before = angles[..., -1:]
            angles = following(angles, self.head(state[0]))
            predictions.append(angles)
        return torch.cat(predictions, -1)


def following(angles: Tensor, changes: Tensor) -> Tensor:
    """The angles that follow the last of `angles`, given their changes in units of CHANGE."""
    return angles[..., -1:] + torch.cumsum(CHANGE * changes, -1)


def sizes(flags: Forecast) -> dict[str, tuple[int, ...]]:
    """Units of each network's layers. `mlp` and the recurrent networks have as many parameters as the GRU."""
    wanted = recurrent_parameters("gru", flags.hidden, GROUP)
    found: dict[str, tuple[int, ...]] = {
        name: (same_size(lambda size, name=name: recurrent_parameters(name, size, GROUP), wanted),)
        for name in RECURRENT
    }
    found[FLAT] = (same_size(lambda size: flat_parameters(PAST // GROUP, (size, size), GROUP), wanted),) * 2
    return found | {f"{FLAT}_{flat_parameters(PAST // GROUP, LARGER, GROUP)}": LARGER}


def build(name: str, layers: Sequence[int], seeds: Sequence[int]) -> nn.Module:
    if name in RECURRENT:
        return RecurrentForecaster(name, layers[0], seeds=seeds)
    return WindowMLP(layers, seeds=seeds)


def budget_of(name: str) -> Budget:
    return BUDGETS.get(name, BUDGETS["larger"])


def as_tensor(x: np.ndarray) -> Tensor:
    return torch.tensor(x, dtype=torch.get_default_dtype())


def unseen_pendulums(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Measured pasts (count, LONGER) since the release, and true futures (count, FUTURE)."""
    angles, _ = datasets.swings(count, LONGER + FUTURE, seed=TEST_SEED)
    noise = NOISE * np.random.default_rng(TEST_SEED).standard_normal((count, LONGER))
    return angles[:, :LONGER] + noise, angles[:, LONGER:]


def random_counts(count: int, seed: int) -> Tensor:
    """Numbers of groups (count,), of SHORTEST to PAST angles."""
    return torch.from_numpy(np.random.default_rng(seed).integers(SHORTEST // GROUP, PAST // GROUP + 1, count))


def work(job: Job, report: Callable[[float], None]) -> Performance:
    """Train and test one network with all its seeds, in a process of its own."""
    flags: Forecast = job.settings
    past, truth = unseen_pendulums(flags.tests)
    network = build(job.name, sizes(flags)[job.name], job.seeds)
    if flags.quick:
        weights, notes = load_shipped(f"forecast_{job.name}")
        network.load_state_dict(weights)
        seconds, curve = notes["seconds"], np.array(notes["curve"])
        report(job.cost)
    else:
        seconds, curve = train(network, job, report, past, truth)
    by_length = {}
    for count in range(SHORTEST // GROUP, LONGER // GROUP + 1):
        by_length[count * GROUP] = rmse(futures(job.name, network, past, count), truth)
    return Performance(
        parameters=num_parameters(network),
        seconds=seconds,
        curve=curve,
        by_length=by_length,
        unequal=rmse(futures(job.name, network, past, random_counts(len(past), TEST_SEED)), truth),
        future=futures(job.name, network, past, PAST // GROUP)[0],
        weights={key: tensor[:1].clone() for key, tensor in network.state_dict().items()},
    )


def train(
    network: nn.Module, job: Job, report: Callable[[float], None], past: np.ndarray, truth: np.ndarray
) -> tuple[float, np.ndarray]:
    """Train on noisy pasts; processor seconds for one seed, and the curve of the errors for the test pendulums."""
    flags, budget, first_seed, seeds = job.settings, budget_of(job.name), job.seeds[0], len(job.seeds)
    count, name = round(budget.sequences * flags.share), job.name
    angles, _ = datasets.swings(count, FIRST_STARTS + PAST + UNROLLED, seed=first_seed + 1)
    starts = np.random.default_rng(first_seed).integers(0, FIRST_STARTS + 1, (count, 1))
    series = as_tensor(np.take_along_axis(angles, starts + np.arange(PAST + UNROLLED), 1))
    counts = random_counts(count, first_seed)
    counts[round(SHORTER * count) :] = PAST // GROUP
    inputs = (series[:, :PAST],) if name in RECURRENT else (series[:, :PAST], counts)
    generator = torch.Generator().manual_seed(first_seed)
    torch.manual_seed(first_seed)  # of the noise on the states
    began, curve = time.process_time(), []

    def after_epoch(*_: Any) -> None:
        seconds = (time.process_time() - began) / seeds
        curve.append([seconds, *rmse(futures(name, network, past, PAST // GROUP), truth)[:, AHEAD - 1]])
        report(job.cost / budget.epochs)

    def noisy(x: Tensor, _: float) -> Tensor:
        x = x + NOISE * torch.randn(x.shape, generator=generator)
        # A quarter of the pasts is shorter for all networks; the recurrent ones get them in minibatches of one length.
        if name in RECURRENT and torch.rand((), generator=generator) < SHORTER:
            count = torch.randint(SHORTEST // GROUP, PAST // GROUP + 1, (), generator=generator)
            x = x[..., -int(count) * GROUP :]
        return x

    history = fit(
        network,
        TensorDataset(*inputs, series[:, GROUP:] if name in RECURRENT else series[:, PAST:]),
        every_step_loss if name in RECURRENT else future_loss,
        seeds=job.seeds,
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        optimizer=partial(Adam, max_grad_norm=1.0),
        schedule=triangle(budget.epochs, 0.1),
        augment=noisy,
        callback=after_epoch,
    )
    return history.seconds / seeds, np.array(curve)


def future_loss(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean((1, 2))


def every_step_loss(output: Tensor, target: Tensor) -> Tensor:
    """Error of the future, and of the next group after every group read; after later groups with larger weights."""
    target = target[..., -output.shape[-1] :]
    each = (output - target).square().mean(1)[:, :-UNROLLED]  # (S, T - GROUP)
    weight = torch.linspace(0, 1, each.shape[-1])
    return future_loss(output[..., -UNROLLED:], target[..., -UNROLLED:]) + EVERY_STEP * (
        each * (weight / weight.sum())
    ).sum(-1)


def futures(name: str, network: Any, past: np.ndarray, counts: Tensor | int) -> np.ndarray:
    """Each seed's predictions (S, n, FUTURE) from the newest `counts` (n,) groups of the past (n, LONGER)."""
    x, counts = as_tensor(past), torch.as_tensor(counts).expand(len(past))
    seeds, training = len(next(network.parameters())), network.horizon
    network.eval()
    network.horizon = FUTURE
    result = torch.empty(seeds, len(past), FUTURE)
    with torch.no_grad():
        if name in RECURRENT:
            for count in counts.unique():
                at = counts == count
                result[:, at] = network(x[at, -int(count) * GROUP :].expand(seeds, -1, -1))
        else:
            result = network(x[:, -PAST:].expand(seeds, -1, -1), counts.expand(seeds, -1))
    network.horizon = training
    return result.numpy()


def rmse(future: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Root mean square error at each horizon, (S, H), of futures (S, n, H)."""
    return np.sqrt(((future - truth) ** 2).mean(1))


# The lesson


def plan(flags: Forecast) -> list[Job]:
    """One job for each network, the most expensive first."""

    def cost(name: str) -> float:
        return 0.3 if flags.quick else budget_of(name).seconds * flags.share * flags.seeds

    jobs = [Job(name, tuple(flags.trained_seeds), cost(name), flags) for name in sizes(flags)]
    return sorted(jobs, key=lambda job: -job.cost)


def check(flags: Forecast) -> None:
    if flags.physics_tests > flags.tests:
        raise UsageError(f"--physics-tests: found {flags.physics_tests}, expected at most --tests, {flags.tests}")
    check_shipped(flags)


def measure(flags: Forecast) -> Findings:
    jobs = plan(flags)
    results = run_parallel(work, jobs, 1 if flags.quick else flags.processes)
    by_name = {job.name: result for job, result in zip(jobs, results, strict=True)}
    past, truth = unseen_pendulums(flags.tests)
    with ProgressBar(flags.physics_tests_to_run, "fits of the physics") as progress:
        fits = least_squares_fit(past[: flags.physics_tests_to_run], advance=progress.advance)
    references = {
        "persistence": np.broadcast_to(past[:, -1:], truth.shape),
        "physics": simulate(fits, LONGER + FUTURE)[:, LONGER:],
    }
    networks = {name: by_name[name] for name in sizes(flags)}
    if flags.keep is not None:
        for name, network in networks.items():
            notes = {"seconds": round(network.seconds, 1), "curve": np.round(network.curve[:, :2], 4).tolist()}
            keep(flags.keep, f"forecast_{name}", network.weights, notes)
    return Findings(flags.trained_seeds, flags.quick, networks, references, past, truth)


def forecast(flags: Forecast) -> str:
    processes = 1 if flags.quick else flags.processes
    seconds = sum(job.cost for job in plan(flags)) / processes + 6 + flags.physics_tests_to_run / 20
    shipped = "networks that come with the package, " if flags.quick else ""
    return f"{shipped}about {duration(seconds)}, {processes} process{'es' * (processes > 1)}"


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name in findings.networks:
        for horizon in (1, 5, 10, 20, 50):
            yield horizon, f"{name}/error", findings.error[name][:, horizon - 1], findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    error, best = findings.error, findings.best

    def at(errors: dict[str, np.ndarray], horizon: int) -> dict[str, float]:
        return {name: round(float(e[:, horizon - 1].mean()), 5) for name, e in errors.items()}

    cases = {"equal": error, "unequal": findings.unequal, "longer": findings.longer}
    return {
        "error_at_1": at(error, 1),
        "error_at_20": at(error, AHEAD),
        "error_at_50": at(error, 50),
        "unequal_error_at_20": at(findings.unequal, AHEAD),
        "longer_error_at_20": at(findings.longer, AHEAD),
        "flat_over_best_recurrent": {case: round(flat_over_best(errors), 3) for case, errors in cases.items()},
        "best": best,
        "best_over_persistence_at_20": round(at(error, AHEAD)[best] / at(error, AHEAD)["persistence"], 4),
        "parameters": {name: network.parameters for name, network in findings.networks.items()},
        "train_seconds": {name: round(network.seconds, 1) for name, network in findings.networks.items()},
        "networks": "shipped" if findings.shipped else "trained",
    }


def table(findings: Findings) -> Table:
    title = "Networks that come with the package (one seed)" if findings.shipped else None
    table = Table("forecast", "parameters", "s per seed", title=title)
    for column in ("1 step", "20 steps (1 s)", "50 steps", "20, unequal", "20, past 100", "20, seeds"):
        table.add_column(column, justify="right")
    for name, error in findings.error.items():
        cells = [f"{error[:, h - 1].mean():.4f}" for h in (1, AHEAD, 50)]
        if name in findings.networks:
            network, at = findings.networks[name], error[:, AHEAD - 1]
            cells += [f"{errors[name][:, AHEAD - 1].mean():.4f}" for errors in (findings.unequal, findings.longer)]
            cells = [f"{network.parameters:,}", f"{network.seconds:.0f}", *cells, f"{at.min():.3f}-{at.max():.3f}"]
        else:
            cells = ["", "", *cells]
        table.add_row(name, *cells)
    table.caption = (
        f"Errors in rad. {AHEAD} steps ahead, the error of mlp over that of the best recurrent network is "
        f"{flat_over_best(findings.error):.2f} from {PAST} angles, {flat_over_best(findings.unequal):.2f} from "
        f"{SHORTEST} to {PAST}, {flat_over_best(findings.longer):.2f} from {LONGER}, of which mlp reads the last "
        f"{PAST}."
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "futures": plot_futures(findings),
        "error_against_horizon": plot_errors(findings),
        "lengths": plot_lengths(findings),
        "networks": plot_networks(findings),
        "training": plot_training(findings),
    }


def line_of(name: str) -> str:
    return "-" if name in RECURRENT else "--"


def plot_errors(findings: Findings) -> Figure:
    """Error against horizon, mean and range of the seeds."""
    figure, (panel,) = plotting.new(width=12, height=7)
    error, best = findings.error, findings.best
    for name, (color, _) in looks(findings.networks).items():
        plotting.mean_band(panel, range(1, FUTURE + 1), error[name].T, name, color, linestyle=line_of(name))
    for name, (color, style) in REFERENCES.items():
        panel.plot(range(1, FUTURE + 1), error[name][0], style, color=color, label=name)
    panel.axvspan(UNROLLED, FUTURE, color=plotting.GRAY, alpha=0.12)
    ratio = ahead(error)[best].mean() / error["persistence"][0, AHEAD - 1]
    panel.set(xlabel="steps ahead, 0.05 s each (gray: farther than in training)")
    log_error_axis(panel)
    panel.set_ylabel("error, rad (RMS)")
    panel.set_title(f"{AHEAD} steps ahead, the error of {best} is {ratio:.0%} of persistence")
    legend_below(figure, findings.shipped)
    return figure


def plot_lengths(findings: Findings) -> Figure:
    """Error against the number of angles seen, beyond the training's, too."""
    figure, (panel,) = plotting.new(width=12, height=7)
    for name, network in findings.networks.items():
        color, marker = looks(findings.networks)[name]
        errors = np.stack([error[:, AHEAD - 1] for error in network.by_length.values()])  # (lengths, S)
        style = {"marker": marker, "markersize": 7, "linestyle": line_of(name)}
        plotting.mean_band(panel, list(network.by_length), errors, name, color, **style)
    persistence = findings.error["persistence"][0, AHEAD - 1]
    panel.axhline(persistence, color=plotting.GRAY, linestyle=":", label="persistence")
    panel.axvspan(PAST, LONGER, color=plotting.GRAY, alpha=0.12)
    best = best_recurrent(findings.longer)
    errors = [ahead(findings.longer)[name].mean() for name in (best, FLAT)]
    panel.set(xlabel="angles seen (gray: longer than in training)")
    log_error_axis(panel)
    panel.set_ylabel(f"error {AHEAD} steps ahead, rad (RMS)")
    panel.set_title(f"after {LONGER} angles: {best} {errors[0]:.3f} rad, {FLAT} {errors[1]:.3f} rad")
    legend_below(figure, findings.shipped)
    return figure


def plot_networks(findings: Findings) -> Figure:
    """Error against the number of parameters, for equal, unequal and longer pasts."""
    figure, panels = plotting.new(3, width=5.4, height=8.0, sharey=True)
    cases = {
        f"{PAST} angles": findings.error,
        f"{SHORTEST} to {PAST} angles": findings.unequal,
        f"{LONGER} angles": findings.longer,
    }
    for panel, (words, errors) in zip(panels, cases.items(), strict=True):
        for name, network in findings.networks.items():
            color, marker = looks(findings.networks)[name]
            values = ahead(errors)[name]
            panel.plot([network.parameters] * len(values), values, marker, color=color, markersize=12, label=name)
        panel.set(xscale="log", xlabel="parameters", xlim=(8e3, 1e5))
        log_error_axis(panel)
        ratio, best = flat_over_best(errors), best_recurrent(errors)
        panel.set_title(f"{words}: the error of {FLAT}\nis {ratio:.2f} times that of {best}")
    panels[0].set_ylabel(f"error {AHEAD} steps ahead, rad (RMS)")
    legend_below(figure, findings.shipped)
    return figure


def plot_training(findings: Findings) -> Figure:
    """Error against the processor seconds of training."""
    figure, (panel,) = plotting.new(width=12, height=7)
    for name, network in findings.networks.items():
        color, marker = looks(findings.networks)[name]
        style = {"marker": marker, "markersize": 8, "linestyle": line_of(name)}
        plotting.mean_band(panel, network.curve[:, 0].tolist(), network.curve[:, 1:], name, color, **style)
    best = findings.best
    panel.set(xscale="log", xlabel="training, processor seconds for one seed")
    log_error_axis(panel)
    panel.set_ylabel(f"error {AHEAD} steps ahead, rad (RMS)")
    panel.set_title(f"{PAST} angles: {best} is best, after {findings.networks[best].curve[-1, 0]:.0f} s of training")
    legend_below(figure, findings.shipped)
    return figure


def plot_futures(findings: Findings) -> Figure:
    """The measured past, the true future, and those that LSTM and MLP predict, of three pendulums."""
    figure, panels = plotting.new(PANELS, 2, width=5.0, height=4.4, sharex=True, sharey=True)
    before, after = np.arange(-PAST, 0) * 0.05, np.arange(FUTURE) * 0.05
    drawn = [name for name in ("lstm", FLAT) for _ in range(PANELS)]
    for index, (panel, name) in enumerate(zip(panels, drawn, strict=True)):
        pendulum, (color, _) = index % PANELS, looks(findings.networks)[name]
        panel.plot(before, findings.past[pendulum, -PAST:], ".", color=plotting.GRAY, markersize=4, label="measured")
        panel.plot(after, findings.truth[pendulum], color="black", linewidth=5, alpha=0.3, label="truth")
        panel.plot(after, findings.networks[name].future[pendulum], color=color, label=name)
        panel.axvline(0, color="black", linewidth=1)
        error = np.sqrt(((findings.networks[name].future - findings.truth)[pendulum] ** 2).mean())
        panel.set_title(f"{name}, pendulum {pendulum + 1}: {error:.3f} rad")
    for panel in panels[PANELS:]:
        panel.set_xlabel("time, s")
    for panel in panels[::PANELS]:
        panel.set_ylabel("angle, rad")
    named = {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    errors = [ahead(findings.error)[name].mean() for name in ("lstm", FLAT)]
    figure.suptitle(f"1 s ahead, lstm errs by {errors[0]:.3f} rad and {FLAT} by {errors[1]:.3f} rad", fontsize=18)
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4)
    return figure


PAGE = Page(
    question="Which network predicts a pendulum's next angles best, a flat or a recurrent one?",
    formula=(
        r"sequence in, sequence out: $y_{t+1} = f_2(h_t, x_t)$, $h_{t+1} = f_1(h_t, x_t)$",
        r"each prediction is the next input: $x_{t+1} = \hat{y}_{t+1}$",
        r"flat: $\hat{y}_{t+1} = f(x_{t-49}, \ldots, x_t)$",
        r"Elman: $h_t = \tanh(W_x x_t + W_h h_{t-1} + b_h)$, $\hat{y}_t = W h_t + b_y$",
    ),
    captions={
        "futures": "The gray line is the true future, the dots are the measured past. LSTM (above) and flat network "
        "(below) follow it for about a second and drift off later, because each prediction is the next input.",
        "error_against_horizon": "All networks err far less than persistence, and most beyond the training's 20 "
        "steps. The fit of the physics, which knows the equation, stays below all of them.",
        "lengths": "The flat networks (dashed) read the last 50 angles and leave out older ones, so their lines end "
        "level. They win: the last 50 tell nearly all about the next second, and a recurrent network, which was never "
        "trained to read on, gets slightly worse.",
        "networks": "From 50 angles or fewer, a recurrent network and the flat one of its size are equally good. From "
        "100 angles the flat one is better, and a larger flat one is best everywhere.",
        "training": "A flat network reaches the same error in less processor time. Each point is an epoch, "
        "and the band is the range of the seeds.",
    },
    what_if=(
        ("balancier forecast --sequences 4000", "with a tenth of the data, which network loses most?"),
        ("balancier forecast --hidden 16", "small networks: how far ahead do they still beat persistence?"),
        ("balancier identify", "the same pendulums, but the network tells their length and mass"),
    ),
)

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
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("forecast", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
