"""Length and mass of a pendulum from its angles (4.1, problem 1): recurrent networks, many inputs to one output. A flat
MLP reads all 100 angles at once; Elman network, GRU and LSTM read them one by one and answer after every step. They
are compared with a least-squares fit of the physics and with the posterior mean, the limit for every estimator. The
figures show the errors, their decrease with the number of angles, the gradients through time, and the estimates.

A hanging, damped pendulum swings freely. 100 angles, one every 0.05 s, are measured with 0.01 rad of noise.

S seed, n pendulums, B minibatch, T steps.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
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
from experiments.common.estimators import HIGH, LOW, NOISE, PRIOR_STD, cramer_rao, least_squares_fit, posterior
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.parallel import Job, ProgressBar, duration, run_parallel
from experiments.common.runs import Metric
from models import LSTM, MLP, Adam, Readout, fit, replica
from models.fitting import triangle
from models.recurrent import RECURRENT

STEPS = 100
SHORTEST = 20  # steps of the shortest sequence where lengths differ
MIDDLE, HALF = (HIGH + LOW)[:2] / 2, (HIGH - LOW)[:2] / 2  # the networks estimate values in [-1, 1]
TARGETS = ("length", "mass")
UNITS = ("m", "kg")
DAMPING = 0.2
TEST_SEED = 10_000  # seed of the test pendulums; training takes the first seeds
FLAT, ANY_LENGTH = "mlp", "mlp, any length"
LOOKS = {
    FLAT: (plotting.BLUE, "o"),
    ANY_LENGTH: (plotting.SKY, "s"),
    "elman": (plotting.PURPLE, "^"),
    "gru": (plotting.GREEN, "D"),
    "lstm": (plotting.YELLOW, "v"),
}


class Budget(NamedTuple):
    """The training of one network."""

    pendulums: int
    epochs: int
    batch_size: int
    learning_rate: float
    seconds: float  # of the processor, for one seed


BUDGETS = {
    FLAT: Budget(200_000, 17, 512, 2e-3, 50),
    ANY_LENGTH: Budget(100_000, 16, 512, 2e-3, 25),
    "elman": Budget(16_000, 8, 128, 2e-3, 16),
    "gru": Budget(16_000, 8, 128, 4e-3, 40),
    "lstm": Budget(16_000, 8, 128, 4e-3, 50),
}


@dataclass(frozen=True)
class Identify(ParallelFlags):
    """Length and mass of a pendulum from its angles, by networks and by physics."""

    seeds: Annotated[int, at_least(1)] = 2
    """How many seeds (independent replicas) to train."""
    pendulums: Annotated[int, at_least(1_000)] = 200_000
    """Simulated pendulums that the MLP trains on; the recurrent networks take a tenth."""
    hidden: Annotated[int, at_least(1)] = 64
    """Units of the recurrent networks."""
    tests: Annotated[int, at_least(10)] = 2_000
    """Test pendulums."""
    limit_tests: Annotated[int, at_least(2)] = 200
    """The first of them: for these, least-squares fit and posterior are computed."""

    @property
    def share(self) -> float:
        """Share of the pendulums and epochs in BUDGETS."""
        return (0.3 if self.quick else 1.0) * self.pendulums / 200_000

    @property
    def limit_tests_to_run(self) -> int:
        return min(self.limit_tests, 40) if self.quick else self.limit_tests


@dataclass(frozen=True)
class Performance:
    """Root mean square errors of length and mass of one network, and where they come from."""

    parameters: int
    seconds: float  # of training, all seeds
    full: np.ndarray  # (S, 2), from all 100 steps
    unequal: np.ndarray | None  # (S, 2), from a random number of steps of each pendulum; None if all are needed
    by_length: dict[int, np.ndarray]  # number of steps -> (S, 2)
    estimate: np.ndarray  # (S, n, 2), from all 100 steps
    gradient: dict[str, np.ndarray]  # "before" and "after" training: (T,), norm of d loss / d x_t
    gates: np.ndarray | None  # (3, T, hidden), of an LSTM on the widest swing: input, forget, output


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    networks: dict[str, Performance]
    undamped: np.ndarray  # (2,), error without damping, where the mass has no effect on the angles
    angles: np.ndarray  # (n, T), measured
    truth: np.ndarray  # (n, 2), length and mass
    fits: np.ndarray  # (limit tests, 4), least-squares fits
    limit: np.ndarray  # (2,), error that the posterior mean has on average
    posterior_error: np.ndarray  # (2,), error that it has here
    effective_samples: float  # of the posterior, least of the pendulums
    bound: np.ndarray  # (T, 2), Cramer-Rao bound after each step

    @property
    def fit_error(self) -> np.ndarray:
        """Root mean square error of the least-squares fits, (2,)."""
        return np.sqrt(((self.fits[:, :2] - self.truth[: len(self.fits)]) ** 2).mean(0))

    @property
    def times_limit(self) -> dict[str, np.ndarray]:
        """Error of each network divided by the limit, (2,), on the pendulums that the limit was computed for."""
        count = len(self.fits)
        return {
            name: np.sqrt(((network.estimate[:, :count] - self.truth[:count]) ** 2).mean((0, 1))) / self.limit
            for name, network in self.networks.items()
        }


# Data


def pendulums(count: int, seed: int, damping: float) -> tuple[Tensor, Tensor]:
    """Angles (count, T) without noise, and length and mass (count, 2) in units of the prior's half range."""
    angles, parameters = datasets.swings(count, STEPS, seed=seed, damping=damping)
    target = (np.stack([parameters[name] for name in TARGETS], 1) - MIDDLE) / HALF
    return as_tensor(angles), as_tensor(target)


def measured(angles: Tensor, seed: int) -> Tensor:
    """The angles with the noise of the instrument."""
    return angles + NOISE * as_tensor(np.random.default_rng([seed, 1]).standard_normal(angles.shape))


def as_tensor(x: np.ndarray) -> Tensor:
    return torch.tensor(x, dtype=torch.get_default_dtype())


def random_lengths(count: int, seed: int) -> Tensor:
    """Numbers of steps (count,), from SHORTEST to STEPS."""
    return torch.from_numpy(np.random.default_rng(seed).integers(SHORTEST, STEPS + 1, count))


# Networks


class AnyLength(nn.Module):
    """An MLP for sequences of unequal lengths: missing angles are zero, and a mask (S, B, T) marks the others."""

    def __init__(self, num_steps: int, hidden: Sequence[int], out_features: int, *, seeds: Any):
        super().__init__()
        self.mlp = MLP(2 * num_steps, hidden, out_features, seeds=seeds)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        mask = (torch.arange(x.shape[-1]) < lengths[..., None]).to(x.dtype)  # (S, B, T)
        return self.mlp(torch.cat([x * mask, mask], -1))


def build(name: str, hidden: int, seeds: Sequence[int]) -> nn.Module:
    if name == FLAT:
        return MLP(STEPS, (256, 256, 256), 2, seeds=seeds)
    if name == ANY_LENGTH:
        return AnyLength(STEPS, (256, 256, 256), 2, seeds=seeds)
    trunk = RECURRENT[name](1, hidden, seeds=seeds)
    return Readout(trunk, 2, every_step=True, seeds=[seed + 1000 for seed in seeds])


def every_step_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of the answers after all steps, (S,); later steps have larger weights."""
    error = (output - target[:, :, None]).square().mean(-1)  # (S, B, T)
    weight = torch.linspace(0, 1, error.shape[-1]) ** 2
    return (error * (weight / weight.sum())).sum(-1).mean(1)


def last_step_loss(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean((1, 2))


def train(job: Job, report: Callable[[float], None]) -> Performance:
    """Train one network with all its seeds and test it, in a process of its own."""
    flags, name, damping, share = job.settings
    angles, truth = pendulums(flags.tests, TEST_SEED, damping)
    angles = measured(angles, TEST_SEED)
    network = build(name, flags.hidden, job.seeds)
    gradient = {"before": gradient_norm(network, angles[:200], truth[:200])} if name in RECURRENT else {}
    seconds = train_network(network, name, damping, share, job, report)
    if name in RECURRENT:
        gradient["after"] = gradient_norm(network, angles[:200], truth[:200])
    by_length, estimate = errors_by_length(name, network, angles, truth)
    unequal = None
    if name != FLAT:
        unequal = rmse(estimates(name, network, angles, random_lengths(flags.tests, TEST_SEED)), truth)
    return Performance(
        parameters=sum(parameter[0].numel() for parameter in network.parameters()),
        seconds=seconds,
        full=by_length[STEPS],
        unequal=unequal,
        by_length=by_length,
        estimate=estimate,
        gradient=gradient,
        gates=gates(network, angles),
    )


def train_network(
    network: nn.Module, name: str, damping: float, share: float, job: Job, report: Callable[[float], None]
) -> float:
    """Train on noisy swings, with new noise in every minibatch; the processor seconds that it took."""
    budget, recurrent, first_seed = BUDGETS[name], name in RECURRENT, job.seeds[0]
    count, epochs = round(budget.pendulums * share), max(2, round(budget.epochs * share))
    angles, target = pendulums(count, first_seed + 1, damping)
    inputs = (angles, random_lengths(count, first_seed)) if name == ANY_LENGTH else (angles,)
    generator = torch.Generator().manual_seed(first_seed)

    def noisy(x: Tensor, epoch: float) -> Tensor:
        x = x + NOISE * torch.randn(x.shape, generator=generator)
        return x[..., None] if recurrent else x

    return fit(
        network,
        TensorDataset(*inputs, target),
        every_step_loss if recurrent else last_step_loss,
        seeds=job.seeds,
        epochs=epochs,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        optimizer=partial(Adam, max_grad_norm=1.0) if recurrent else Adam,
        schedule=triangle(epochs, 0.1),
        augment=noisy,
        callback=lambda *_: report(job.cost / epochs),
    ).seconds


# Test


def rmse(estimate: Tensor, truth: Tensor) -> np.ndarray:
    """Root mean square error of length (m) and mass (kg), (S, 2)."""
    return (estimate - truth).square().mean(1).sqrt().numpy() * HALF


def estimates(name: str, network: nn.Module, angles: Tensor, lengths: Tensor) -> Tensor:
    """Each seed's estimates from the first `lengths` (n,) steps of the angles (n, T); (S, n, 2)."""
    seeds = len(next(network.parameters()))
    with torch.no_grad():
        x = angles.expand(seeds, -1, -1)
        if name == FLAT:
            return network(x)
        if name == ANY_LENGTH:
            return network(x, lengths.expand(seeds, -1))
        return network(x[..., None])[:, torch.arange(len(angles)), lengths - 1]


def errors_by_length(
    name: str, network: nn.Module, angles: Tensor, truth: Tensor
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Errors (S, 2) after 10, 20, ... steps, and the estimates (S, n, 2) after all."""
    errors, estimate = {}, torch.zeros(0)
    for steps in [STEPS] if name == FLAT else range(10, STEPS + 1, 10):
        estimate = estimates(name, network, angles, torch.full((len(angles),), steps))
        errors[steps] = rmse(estimate, truth)
    return errors, estimate.numpy() * HALF + MIDDLE


def gradient_norm(network: nn.Module, angles: Tensor, truth: Tensor) -> np.ndarray:
    """How much the last answer of the first seed depends on the input of each step: norm of d loss / d x_t, (T,)."""
    x = angles[None, ..., None].clone().requires_grad_()
    loss = last_step_loss(replica(network, 0)(x)[:, :, -1], truth[None])
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return gradient[0, ..., 0].norm(dim=0).numpy()


def gates(network: nn.Module, angles: Tensor) -> np.ndarray | None:
    """Gates of an LSTM's first seed during the widest swing, (3, T, hidden); None for other networks."""
    if not (isinstance(network, Readout) and isinstance(network.trunk, LSTM)):
        return None
    seeds = len(next(network.parameters()))
    with torch.no_grad():
        x = angles[angles[:, 0].abs().argmax()][None, :, None].expand(seeds, -1, -1, -1)
        return np.stack([gate[0, 0].numpy() for gate in network.trunk.gates(x, network.trunk(x)[0])])


# The lesson


def plan(flags: Identify) -> list[Job]:
    """The networks, the most expensive first, and last the one that learns from undamped pendulums."""

    def job(name: str, damping: float, share: float) -> Job:
        cost = BUDGETS[name].seconds * share**2 * (0.5 + 0.5 * flags.seeds)
        return Job(name, tuple(flags.all_seeds), cost, (flags, name, damping, share))

    jobs = sorted((job(name, DAMPING, flags.share) for name in BUDGETS), key=lambda job: -job.cost)
    return [*jobs, job(ANY_LENGTH, 0.0, 0.25 * flags.share)]


def check(flags: Identify) -> None:
    if flags.limit_tests > flags.tests:
        raise UsageError(f"--limit-tests: found {flags.limit_tests}, expected at most --tests, {flags.tests}")


def measure(flags: Identify) -> Findings:
    jobs = plan(flags)
    *performances, undamped = run_parallel(train, jobs, flags.processes)
    by_name = {job.name: performance for job, performance in zip(jobs, performances, strict=False)}
    angles, target = pendulums(flags.tests, TEST_SEED, DAMPING)
    truth, angles = target.numpy() * HALF + MIDDLE, measured(angles, TEST_SEED).numpy()
    count = flags.limit_tests_to_run
    observed = angles.astype(np.float64)[:count]
    with ProgressBar(count, "least-squares fits") as progress:
        fits = least_squares_fit(observed, advance=progress.advance)
    mean, std, effective_samples = posterior(observed, fits)
    swings, parameters = datasets.swings(2_000, STEPS, seed=TEST_SEED + 1)
    unknown = np.stack([parameters["length"], parameters["mass"], swings[:, 0], parameters["speed"]], 1)
    return Findings(
        seeds=flags.all_seeds,
        networks={name: by_name[name] for name in BUDGETS},
        undamped=undamped.full.mean(0),
        angles=angles,
        truth=truth,
        fits=fits,
        limit=np.sqrt((std**2).mean(0)),
        posterior_error=np.sqrt(((mean - truth[:count]) ** 2).mean(0)),
        effective_samples=float(effective_samples.min()),
        bound=cramer_rao(unknown, STEPS),
    )


def forecast(flags: Identify) -> str:
    processes = flags.processes
    seconds = sum(job.cost for job in plan(flags)) / processes + 10 + flags.limit_tests_to_run / 6
    return f"about {duration(seconds)}, {processes} processes"


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, network in findings.networks.items():
        for index, target in enumerate(TARGETS):
            yield STEPS, f"{name}/rmse_{target}", network.full[:, index], findings.seeds


def named(values: np.ndarray) -> dict[str, float]:
    """A number for each target, rounded."""
    return {name: round(float(value), 5) for name, value in zip(TARGETS, values, strict=True)}


def result(findings: Findings) -> dict[str, Any]:
    networks = findings.networks
    unequal = {name: network.unequal for name, network in networks.items() if network.unequal is not None}
    return {
        "rmse": {name: named(network.full.mean(0)) for name, network in networks.items()},
        "rmse_unequal_lengths": {name: named(error.mean(0)) for name, error in unequal.items()},
        "limit": named(findings.limit),
        "times_limit": {name: named(ratio) for name, ratio in findings.times_limit.items()},
        "posterior_mean": named(findings.posterior_error),
        "least_squares": named(findings.fit_error),
        "cramer_rao": named(findings.bound[-1]),
        "prior": named(PRIOR_STD[:2]),
        "undamped": named(findings.undamped),
        "effective_draws": round(findings.effective_samples, 1),
        "parameters": {name: network.parameters for name, network in networks.items()},
        "train_seconds": {name: round(network.seconds, 1) for name, network in networks.items()},
    }


def table(findings: Findings) -> Table:
    columns = "estimator", "parameters", "seconds", "length, m", "x limit", "mass, kg", "x limit", "unequal lengths"
    table = Table(*columns)

    def add(name: str, error: np.ndarray, parameters: str, seconds: str, unequal: str, times: np.ndarray) -> None:
        length, mass = [f"{error[0]:.4f}", f"{times[0]:.2f}"], [f"{error[1]:.3f}", f"{times[1]:.2f}"]
        table.add_row(name, parameters, seconds, *length, *mass, unequal)

    for name, network in findings.networks.items():
        unequal = "-"
        if network.unequal is not None:
            length, mass = network.unequal.mean(0)
            unequal = f"{length:.3f} m, {mass:.3f} kg"
        size, seconds = f"{network.parameters:,}", f"{network.seconds:.0f}"
        add(name, network.full.mean(0), size, seconds, unequal, findings.times_limit[name])
    add("least squares", findings.fit_error, "4", "", "-", findings.fit_error / findings.limit)
    add("limit (posterior mean)", findings.limit, "", "", "-", np.ones(2))
    add("prior (without angles)", PRIOR_STD, "", "", "-", PRIOR_STD[:2] / findings.limit)
    table.caption = (
        f"Without damping and torque the angles do not depend on the mass: the error is {findings.undamped[1]:.3f} kg, "
        f"the standard deviation of the prior {PRIOR_STD[1]:.3f} kg."
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "networks": plot_networks(findings),
        "lengths": plot_lengths(findings),
        "memory": plot_memory(findings),
        "estimates": plot_estimates(findings),
    }


def plot_networks(findings: Findings) -> Figure:
    """Error against training time; the number of parameters beside each network's name."""
    figure, panels = plotting.new(2, width=7.5, height=5.5)
    for index, panel in enumerate(panels):
        for name, network in findings.networks.items():
            color, marker = LOOKS[name]
            error = network.full[:, index]
            seconds = network.seconds / len(error)
            label = f"{name} ({network.parameters:,})"
            panel.plot([seconds] * len(error), error, marker, color=color, markersize=11, label=label)
        levels = (
            ("prior", PRIOR_STD[index], ":"),
            ("least squares", findings.fit_error[index], "-."),
            ("limit", findings.limit[index], "--"),
        )
        for name, level, style in levels:
            panel.axhline(level, color="black", linestyle=style, linewidth=1.8, label=name)
        panel.set(xscale="log", yscale="log", xlabel="training, processor seconds per seed")
        panel.set_ylabel(f"error of the {TARGETS[index]}, {UNITS[index]} (RMS)")
        best = min(findings.networks, key=lambda name: findings.networks[name].full[:, index].mean())
        ratio = findings.times_limit[best][index]
        panel.set_title(f"{TARGETS[index]}: {best} is best, {ratio:.1f} times the limit")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def plot_lengths(findings: Findings) -> Figure:
    """Error against the number of angles, above the Cramer-Rao bound."""
    figure, panels = plotting.new(2, width=7.5, height=5.5)
    for index, panel in enumerate(panels):
        for name, network in findings.networks.items():
            color, marker = LOOKS[name]
            lengths = list(network.by_length)
            errors = np.stack([error[:, index] for error in network.by_length.values()])  # (lengths, S)
            style = {"marker": marker, "markersize": 9, "color": color}
            panel.plot(lengths, errors.mean(1), label=f"{name}, all steps only" if name == FLAT else name, **style)
        steps = np.arange(5, STEPS + 1)
        panel.plot(steps, findings.bound[steps - 1, index], "k--", label="Cramer-Rao")
        panel.axhline(PRIOR_STD[index], color="black", linestyle=":", label="prior")
        panel.set(
            yscale="log",
            xlabel="number of angles (0.05 s each)",
            title=f"{TARGETS[index]} from sequences of any length",
        )
        panel.set_ylabel(f"error of the {TARGETS[index]}, {UNITS[index]} (RMS)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def plot_memory(findings: Findings) -> Figure:
    """How far back the gradient of each recurrent network reaches, and the LSTM's gates during a swing."""
    figure, panels = plotting.new(2, width=7.5, height=5.5)
    for name in ("elman", "lstm"):
        for when, style in (("before", ":"), ("after", "-")):
            norm = findings.networks[name].gradient[when]
            panels[0].plot(norm, style, color=LOOKS[name][0], label=f"{name}, {when} training")
    panels[0].set(yscale="log", xlabel="step t", ylabel="norm of d loss / d x_t")
    early = findings.networks["elman"].gradient["before"]
    panels[0].set_title(f"gradient: half way back, Elman's is {early[STEPS // 2] / early[-1]:.0e} at first")
    panels[0].legend()
    lstm_gates = findings.networks["lstm"].gates
    assert lstm_gates is not None
    for gate, name, color in zip(lstm_gates, ("input", "forget", "output"), plotting.COLORS, strict=False):
        plotting.quantile_band(panels[1], range(STEPS), gate, f"{name} gate", color, (0.1, 0.5, 0.9))
    swing = panels[1].twinx()
    widest = findings.angles[np.abs(findings.angles[:, 0]).argmax()]
    swing.plot(widest, color=plotting.GRAY, linewidth=1.5, linestyle="--")
    swing.set_ylabel("angle, rad")
    swing.grid(visible=False)
    panels[1].set(xlabel="step t", ylabel="openness: median, 10 to 90 % of units", ylim=(0, 1))
    panels[1].set_title("LSTM gates over one swing (dashed)")
    panels[1].legend(loc="lower right", ncols=3)
    return figure


def plot_estimates(findings: Findings) -> Figure:
    """Estimates against truth: the best network and the least-squares fit."""
    networks, truth, fits = findings.networks, findings.truth, findings.fits
    best = min(networks, key=lambda name: (networks[name].full.mean(0) / PRIOR_STD[:2]).sum())
    figure, panels = plotting.new(2, width=6.5, height=5.8)
    for index, panel in enumerate(panels):
        panel.plot([LOW[index], HIGH[index]], [LOW[index], HIGH[index]], "k-", lw=1)
        panel.plot(truth[:500, index], networks[best].estimate[0, :500, index], ".", color=plotting.BLUE, label=best)
        panel.plot(truth[: len(fits), index], fits[:, index], "x", color=plotting.ORANGE, label="least squares")
        panel.set(
            xlabel=f"true {TARGETS[index]}, {UNITS[index]}", ylabel=f"estimate, {UNITS[index]}", title=TARGETS[index]
        )
    panels[0].legend()
    return figure


LESSON = Lesson(
    flags=Identify,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier forecast, which predicts the same pendulums",
    metrics=metrics,
    check=check,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("identify", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
