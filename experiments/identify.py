"""Length and mass of a pendulum from its angles (4.1, problem 1): recurrent networks, many inputs to one output. A flat
network, an MLP, reads all angles at once; Elman network, GRU and LSTM read them group by group and answer after each.
All are trained on at most 100 angles and tested on 200, too. The figures show the error against the number of angles,
of parameters and of processor seconds, the gradients through time, and the estimates beside the best that is possible.

A hanging, damped pendulum swings freely. An angle is measured every 0.05 s with 0.01 rad of noise, and 5 angles make a
group. `--quick` trains nothing: it tests the networks that come with the package. They were
trained and kept by `balancier identify --seeds 1 --keep experiments/networks`.

S seed, n pendulums, B minibatch, T angles, G groups.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn

from balancier import _, numeral
from envs import datasets
from experiments.common import estimators, plotting, sequence_figures, sequences
from experiments.common.command import Lesson, Page, launch
from experiments.common.estimators import HIGH, LOW, NOISE, PRIOR_STD, Limit, cramer_rao
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.parallel import Job, run_parallel
from experiments.common.runs import Metric
from experiments.common.sequence_figures import Curves, legend_below, lengths_title, plot_memory
from experiments.common.sequences import (
    FLAT,
    GROUP,
    MOST_SHIPPED,
    Budget,
    Flat,
    as_tensor,
    check_shipped,
    flat_over_best,
    forecast_words,
    gates,
    gradient_norm,
    groups,
    keep,
    load_shipped,
    network_sizes,
    num_parameters,
    random_counts,
    recurrent,
)
from models import Readout
from models.recurrent import RECURRENT

STEPS, LONGER, SHORTEST = 100, 200, 20  # angles: in training, in the longer sequences, in the shortest
COUNTS = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 120, 140, 160, 180, 200)  # angles after which errors are drawn
MIDDLE, HALF = (HIGH + LOW)[:2] / 2, (HIGH - LOW)[:2] / 2  # the networks estimate values in [-1, 1]
TARGETS = ("length", "mass")
UNITS = ("m", "kg")
QUANTITIES = [_("error of the length, m (RMS)"), _("error of the mass, kg (RMS)")]
DAMPING = 0.2
TEST_SEED = 10_000  # seed of the test pendulums; training takes the first seeds
LARGER = (120, 120, 120), (256, 256, 256)  # hidden layers of flat networks with more parameters
LIMIT, UNDAMPED = "limit", "undamped"  # jobs that train no network of the comparison


BUDGETS = {
    "elman": Budget(50_000, 8, 128, 2e-3, 24),
    "gru": Budget(50_000, 8, 128, 4e-3, 31),
    "lstm": Budget(50_000, 8, 128, 4e-3, 38),
    FLAT: Budget(100_000, 20, 256, 2e-3, 11),
    "larger": Budget(200_000, 12, 512, 2e-3, 26),
}


@dataclass(frozen=True)
class Identify(ParallelFlags):
    """Length and mass of a pendulum from its angles, by networks and by physics."""

    seeds: Annotated[int, at_least(1)] = 3
    """How many seeds (independent replicas) to train; --quick has the one that ships."""
    pendulums: Annotated[int, at_least(1_000)] = 50_000
    """Simulated pendulums that the recurrent networks train on; the flat ones take two to four times as many."""
    hidden: Annotated[int, at_least(1)] = 64
    """Units of the GRU; the other networks get as many parameters."""
    tests: Annotated[int, at_least(10)] = 600
    """Test pendulums (at most 120 with --quick)."""
    keep: Path | None = None
    """Folder for the trained networks of the first seed."""

    @property
    def share(self) -> float:
        """Share of the pendulums in BUDGETS."""
        return self.pendulums / 50_000

    @property
    def trained_seeds(self) -> list[int]:
        return [0] if self.quick else self.all_seeds

    @property
    def tests_to_run(self) -> int:
        return min(self.tests, 120) if self.quick else self.tests


@dataclass(frozen=True)
class Performance:
    """Root mean square errors of length and mass of one network, and where they come from."""

    parameters: int
    seconds: float  # of the processor, for one seed
    history: list[
        tuple[float, np.ndarray]
    ]  # processor seconds for one seed, and the estimates (S, n, 2) from 100 angles
    unequal: np.ndarray  # (S, 2), from a random number of angles of each pendulum
    by_length: dict[int, np.ndarray]  # number of angles -> (S, 2)
    estimate: np.ndarray  # (S, n, 2), from 100 angles
    gradient: dict[str, np.ndarray]  # "before" and "after" training: (G,), norm of d loss / d x_t
    gates: np.ndarray  # (3, G, hidden), of an LSTM on the widest swing: input, forget, output; else empty
    weights: dict[str, Tensor]  # of the first seed


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    shipped: bool  # whether the networks are those of the package
    networks: dict[str, Performance]
    curves: dict[str, np.ndarray]  # (epochs, 1 + 2 S): processor seconds for one seed, errors of length and of mass
    angles: np.ndarray  # (n, 2 T), measured
    truth: np.ndarray  # (n, 2), length and mass
    limit: Limit  # of the first 100 angles
    bound: np.ndarray  # (2 T, 2), about the limit after each angle
    undamped: np.ndarray  # (2,), error without damping, where the mass has no effect on the angles

    @property
    def rmse(self) -> dict[str, np.ndarray]:
        """Error (S, 2) of each network from 100 angles."""
        return {name: self.limit.expected_error(network.estimate) for name, network in self.networks.items()}

    @property
    def unequal(self) -> dict[str, np.ndarray]:
        return {name: network.unequal for name, network in self.networks.items()}

    @property
    def longer(self) -> dict[str, np.ndarray]:
        return {name: network.by_length[LONGER] for name, network in self.networks.items()}

    @property
    def length_errors(self) -> dict[str, dict[str, np.ndarray]]:
        """Equal, unequal or longer sequences -> network -> error of the length (S,)."""
        cases = {"equal": self.rmse, "unequal": self.unequal, "longer": self.longer}
        return {case: {name: error[:, 0] for name, error in errors.items()} for case, errors in cases.items()}

    @property
    def ratios(self) -> dict[str, float]:
        """Equal, unequal or longer -> the error of the flat network over that of the best recurrent one."""
        return {case: flat_over_best(errors) for case, errors in self.length_errors.items()}


# Data


def pendulums(count: int, seed: int, damping: float, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """Angles (count, steps) without noise, and length and mass (count, 2) in units of the prior's half range."""
    angles, parameters = datasets.swings(count, steps, seed=seed, damping=damping)
    target = (np.stack([parameters[name] for name in TARGETS], 1) - MIDDLE) / HALF
    return as_tensor(angles), as_tensor(target)


def unseen_pendulums(count: int, damping: float = DAMPING) -> tuple[Tensor, Tensor]:
    """Angles (count, LONGER) with the noise of the instrument, and length and mass as above."""
    angles, target = pendulums(count, TEST_SEED, damping, LONGER)
    return angles + NOISE * as_tensor(np.random.default_rng([TEST_SEED, 1]).standard_normal(angles.shape)), target


# Networks


class MaskedMLP(nn.Module):
    """A flat network that reads the first `counts` (S, B) of the groups."""

    def __init__(self, hidden: Sequence[int], *, seeds: Any):
        super().__init__()
        self.flat = Flat(STEPS // GROUP, hidden, len(TARGETS), seeds=seeds)

    def forward(self, angles: Tensor, counts: Tensor) -> Tensor:
        return self.flat(angles, torch.arange(STEPS // GROUP) < counts[..., None])


class GroupReader(nn.Module):
    """A recurrent network that answers after every group: angles (S, B, T) -> answers (S, B, G, 2)."""

    def __init__(self, name: str, hidden: int, *, seeds: Sequence[int]):
        super().__init__()
        self.readout = Readout(
            recurrent(name, hidden, seeds=seeds), 2, every_step=True, seeds=[seed + 1000 for seed in seeds]
        )

    def forward(self, angles: Tensor) -> Tensor:
        return self.readout(groups(angles))


def sizes(flags: Identify) -> dict[str, tuple[int, ...]]:
    """Units of each network's layers; the largest network is too large to come with the package."""
    return network_sizes(flags.hidden, STEPS // GROUP, len(TARGETS), LARGER[:1] if flags.quick else LARGER)


def build(name: str, layers: Sequence[int], seeds: Sequence[int]) -> nn.Module:
    return GroupReader(name, layers[0], seeds=seeds) if name in RECURRENT else MaskedMLP(layers, seeds=seeds)


def every_step_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of the answers after all steps, (S,); later steps have larger weights."""
    error = (output - target[:, :, None]).square().mean(-1)  # (S, B, G)
    weight = torch.arange(1.0, error.shape[-1] + 1)
    return (error * (weight / weight.sum())).sum(-1).mean(1)


def last_step_loss(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).square().mean((1, 2))


def budget_of(name: str) -> Budget:
    return BUDGETS.get(name, BUDGETS["larger"])


def work(job: Job, report: Callable[[float], None]) -> "Performance | Limit":
    """One job, in a process of its own: estimate with the physics, or train and test a network with all its seeds."""
    flags, name, damping = job.settings
    angles, truth = unseen_pendulums(flags.tests_to_run, damping)
    if name == LIMIT:
        observed = angles[:, :STEPS].numpy().astype(np.float64)
        return estimators.limit(observed, advance=lambda: report(job.cost / len(observed)))
    network: Any = build(name, sizes(flags)[name], job.seeds)
    gradient = {"before": gradient_norm(network.readout, angles, truth)} if name in RECURRENT else {}
    history: list[tuple[float, np.ndarray]] = []
    if flags.quick:
        weights, notes = load_shipped(f"identify_{job.name}")
        network.load_state_dict(weights)
        seconds = notes["seconds"]
        report(job.cost)
    else:
        seconds, history = train(network, job, report, angles)
    network.eval()
    if name in RECURRENT:
        gradient["after"] = gradient_norm(network.readout, angles, truth)
    return Performance(
        parameters=num_parameters(network),
        seconds=seconds,
        unequal=rmse(estimates(name, network, angles, random_counts(len(angles), TEST_SEED, SHORTEST, STEPS)), truth),
        by_length={count: rmse(estimates(name, network, angles, count // GROUP), truth) for count in COUNTS},
        estimate=in_units(estimates(name, network, angles, STEPS // GROUP)),
        gradient=gradient,
        gates=gates(network.readout.trunk, angles[angles[:, 0].abs().argmax(), :STEPS])
        if name == "lstm"
        else np.zeros(0),
        history=history,
        weights={key: tensor[:1].clone() for key, tensor in network.state_dict().items()},
    )


def train(
    network: nn.Module, job: Job, report: Callable[[float], None], angles: Tensor
) -> tuple[float, list[tuple[float, np.ndarray]]]:
    """Train on noisy swings, with new noise in every minibatch; as `sequences.train`, which tests on `angles`."""
    flags, name, damping = job.settings
    budget, first_seed = budget_of(name), job.seeds[0]
    count = round(budget.sequences * flags.share)
    if job.name == UNDAMPED:
        budget = budget._replace(epochs=max(1, budget.epochs // 4))
    swings, target = pendulums(count, first_seed + 1, damping)
    counts = random_counts(count, first_seed, SHORTEST, STEPS)
    counts[np.arange(count) % 4 > 0] = STEPS // GROUP  # three quarters of the sequences have the full length
    generator = torch.Generator().manual_seed(first_seed)
    return sequences.train(
        network,
        [swings, target] if name in RECURRENT else [swings, counts, target],
        every_step_loss if name in RECURRENT else last_step_loss,
        budget,
        job.seeds,
        augment=lambda x, _: x + NOISE * torch.randn(x.shape, generator=generator),
        test=lambda: in_units(estimates(name, network, angles, STEPS // GROUP)),
        report=lambda share: report(job.cost * share),
    )


# Test


def in_units(estimate: Tensor) -> np.ndarray:
    """Estimates in m and kg, within the range that pendulums have."""
    return estimate.clamp(-1, 1).numpy() * HALF + MIDDLE


def rmse(estimate: Tensor, truth: Tensor) -> np.ndarray:
    """Root mean square error of length (m) and mass (kg), (S, 2)."""
    return (estimate.clamp(-1, 1) - truth).square().mean(1).sqrt().numpy() * HALF


def estimates(name: str, network: nn.Module, angles: Tensor, counts: Tensor | int) -> Tensor:
    """Each seed's estimates (S, n, 2) from the first `counts` (n,) groups of the angles (n, 2 T).

    A flat network that has fewer inputs reads the last of these groups.
    """
    seeds, longest = len(next(network.parameters())), STEPS // GROUP
    counts = torch.as_tensor(counts).expand(len(angles))
    with torch.no_grad():
        if name in RECURRENT:
            x = angles[:, : int(counts.max()) * GROUP].expand(seeds, -1, -1)
            return network(x)[:, torch.arange(len(angles)), counts - 1]
        first = (counts - longest).clamp(min=0)[:, None] * GROUP + torch.arange(STEPS)  # (n, T)
        x = angles.gather(1, first).expand(seeds, -1, -1)
        return network(x, counts.clamp(max=longest).expand(seeds, -1))


# The lesson


def plan(flags: Identify) -> list[Job]:
    """The networks, the most expensive first, then the limit, and last a network for undamped pendulums."""

    def job(name: str, cost: float, network: str, damping: float = DAMPING) -> Job:
        return Job(name, tuple(flags.trained_seeds), cost, (flags, network, damping))

    def cost(name: str) -> float:
        return 0.2 if flags.quick else budget_of(name).seconds * flags.share * flags.seeds

    jobs = sorted((job(name, cost(name), name) for name in sizes(flags)), key=lambda job: -job.cost)
    return [*jobs, job(LIMIT, 0.07 * flags.tests_to_run, LIMIT), job(UNDAMPED, cost(FLAT) / 4, FLAT, 0.0)]


def measure(flags: Identify) -> Findings:
    jobs = plan(flags)
    results = run_parallel(work, jobs, 1 if flags.quick else flags.processes, kinds=[Performance, Limit])
    by_name: dict[str, Any] = {job.name: result for job, result in zip(jobs, results, strict=True)}
    limit, undamped = by_name.pop(LIMIT), by_name.pop(UNDAMPED)
    networks: dict[str, Performance] = {name: by_name[name] for name in sizes(flags)}
    for network in networks.values():  # the same error as in the table
        network.by_length[STEPS] = limit.expected_error(network.estimate)
    angles, target = unseen_pendulums(flags.tests_to_run)
    swings, parameters = datasets.swings(len(angles), LONGER, seed=TEST_SEED, damping=DAMPING)
    unknown = np.stack([parameters["length"], parameters["mass"], swings[:, 0], parameters["speed"]], 1)
    if flags.quick:
        curves = {name: np.array(load_shipped(f"identify_{name}")[1]["curve"]) for name in networks}
    else:
        curves = {name: curve(network, limit) for name, network in networks.items()}
    if flags.keep is not None:
        small = {name: network for name, network in networks.items() if network.parameters < MOST_SHIPPED}
        for name, network in (small | {UNDAMPED: undamped}).items():
            first = curves[name][:, :3] if name in curves else np.zeros(0)
            notes = {"seconds": round(network.seconds, 1), "curve": np.round(first, 4).tolist()}
            keep(flags.keep, f"identify_{name}", network.weights, notes)
    return Findings(
        seeds=flags.trained_seeds,
        shipped=flags.quick,
        networks=networks,
        curves=curves,
        angles=angles.numpy(),
        truth=target.numpy() * HALF + MIDDLE,
        limit=limit,
        bound=cramer_rao(unknown, LONGER),
        undamped=undamped.by_length[STEPS].mean(0),
    )


def curve(network: Performance, limit: Limit) -> np.ndarray:
    """Processor seconds and errors after each epoch, (epochs, 1 + 2 S)."""
    return np.array([[seconds, *limit.expected_error(estimate).ravel()] for seconds, estimate in network.history])


def forecast(flags: Identify) -> str:
    return forecast_words(flags, plan(flags), afterwards=6)


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, error in findings.rmse.items():
        for index, target in enumerate(TARGETS):
            yield STEPS, f"{name}/rmse_{target}", error[:, index], findings.seeds
            yield LONGER, f"{name}/rmse_{target}", findings.longer[name][:, index], findings.seeds


def named(values: np.ndarray) -> dict[str, float]:
    """A number for each target, rounded."""
    return {name: round(float(value), 5) for name, value in zip(TARGETS, values, strict=True)}


def means(errors: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The mean over the seeds of each network's errors."""
    return {name: named(error.mean(0)) for name, error in errors.items()}


def result(findings: Findings) -> dict[str, Any]:
    networks, limit = findings.networks, findings.limit
    times_limit = {name: error / limit.error for name, error in findings.rmse.items()}
    vanished = {name: network.gradient["before"] for name, network in networks.items() if name in RECURRENT}
    return {
        "rmse": means(findings.rmse),
        "unequal_rmse": means(findings.unequal),
        "longer_rmse": means(findings.longer),
        "flat_over_best_recurrent": {case: round(ratio, 3) for case, ratio in findings.ratios.items()},
        "limit": named(limit.error),
        "times_limit": means(times_limit),
        "least_squares": named(limit.expected_error(limit.fits[:, :2])),
        "cramer_rao": named(findings.bound[STEPS - 1]),
        "prior": named(PRIOR_STD[:2]),
        "undamped": named(findings.undamped),
        "first_gradient_over_last": {name: float(norm[0] / norm[-1]) for name, norm in vanished.items()},
        "effective_draws": round(float(limit.effective_samples.min()), 1),
        "parameters": {name: network.parameters for name, network in networks.items()},
        "train_seconds": {name: round(network.seconds, 1) for name, network in networks.items()},
        "networks": "shipped" if findings.shipped else "trained",
    }


def table(findings: Findings) -> Table:
    title = _("Networks that come with the package (one seed)") if findings.shipped else None
    table = Table(_("estimator"), _("parameters"), _("s per seed"), title=title)
    limits = _("length, m"), _("x limit"), _("mass, kg"), _("x limit")
    for column in (*limits, _("length, m: unequal"), _("{count} angles", count=LONGER)):
        table.add_column(column, justify="right")
    limit = findings.limit.error

    def add(name: str, error: np.ndarray, parameters: str = "", seconds: str = "", *others: str) -> None:
        pairs = [
            text for value, least in zip(error, limit, strict=True) for text in (f"{value:.4f}", f"{value / least:.2f}")
        ]
        table.add_row(name, parameters, seconds, *pairs, *others)

    for name, network in findings.networks.items():
        others = [f"{errors[name][:, 0].mean():.4f}" for errors in (findings.unequal, findings.longer)]
        add(name, findings.rmse[name].mean(0), numeral(network.parameters), f"{network.seconds:.0f}", *others)
    add(_("least squares"), findings.limit.expected_error(findings.limit.fits[:, :2]), "4")
    add(_("limit (posterior mean)"), limit)
    add(_("prior (without angles)"), PRIOR_STD[:2])
    elman = findings.networks["elman"].gradient["before"]
    table.caption = _(
        "Error of the length, mlp over the best recurrent network: {equal:.2f} from {steps} angles, {unequal:.2f} from "
        "{shortest} to {steps} angles, {longer:.2f} from {more} angles, of which mlp reads the last {steps} (from the "
        "first {steps} alone, its error stays {flat:.3f} m).\n"
        "Vanishing gradient: in an untrained Elman network the first group of {more} angles counts {share:.0e} of what "
        "the last counts.\n"
        "Without damping and torque the angles do not depend on the mass: the error is {undamped:.3f} kg, the standard "
        "deviation of the prior {prior:.3f} kg.",
        **findings.ratios,
        steps=STEPS,
        shortest=SHORTEST,
        more=LONGER,
        flat=findings.rmse[FLAT][:, 0].mean(),
        share=elman[0] / elman[-1],
        undamped=findings.undamped[1],
        prior=PRIOR_STD[1],
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    cases = dict(zip(sequence_figures.cases(SHORTEST, STEPS, LONGER), findings.length_errors.values(), strict=True))
    parameters = {name: network.parameters for name, network in findings.networks.items()}
    return {
        "lengths": plot_lengths(findings),
        "networks": sequence_figures.plot_networks(cases, parameters, _("error of the length"), "m", findings.shipped),
        "training": plot_training(findings),
        "memory": plot_memory(
            {name: findings.networks[name].gradient for name in ("elman", "lstm")},
            findings.networks["lstm"].gates,
            findings.angles[np.abs(findings.angles[:, 0]).argmax(), :STEPS],
        ),
        "estimates": plot_estimates(findings),
    }


def plot_lengths(findings: Findings) -> Figure:
    """Error against the number of angles seen, beyond the training's, too."""
    errors, bound = findings.length_errors["longer"], findings.bound
    curves: list[Curves] = [
        {
            name: (list(network.by_length), np.stack([error[:, index] for error in network.by_length.values()]))
            for name, network in findings.networks.items()
        }
        for index in range(len(TARGETS))
    ]
    figure, panels = sequence_figures.plot_lengths(
        lengths_title(errors, LONGER, STEPS, "m"),
        dict(zip(QUANTITIES, curves, strict=True)),
        STEPS,
    )
    steps = np.arange(GROUP, LONGER + 1)
    for index, panel in enumerate(panels):
        panel.plot(steps, bound[steps - 1, index], "k-.", linewidth=1.8, label=_("limit, about"))
        panel.axhline(PRIOR_STD[index], color="black", linestyle=":", label=_("prior (knows no angle)"))
    legend_below(figure, findings.shipped)
    return figure


def plot_training(findings: Findings) -> Figure:
    """Error from 100 angles against the processor seconds of training."""
    curves: list[Curves] = [
        {name: (curve[:, 0].tolist(), curve[:, 1 + index :: 2]) for name, curve in findings.curves.items()}
        for index in range(len(TARGETS))
    ]
    figure, panels = sequence_figures.plot_training(dict(zip(QUANTITIES, curves, strict=True)), STEPS, UNITS[0])
    for panel, limit in zip(panels, findings.limit.error, strict=True):
        panel.axhline(limit, color="black", linestyle="-.", label=_("limit"))
    origin = _("noted when the networks of the package were trained: one seed, more test pendulums")
    legend_below(figure, findings.shipped, origin)
    return figure


def plot_estimates(findings: Findings) -> Figure:
    """Estimates against truth: the best network and the least-squares fit."""
    truth, fits, errors = findings.truth, findings.limit.fits[:, :2], findings.rmse
    best = min(errors, key=lambda name: (errors[name].mean(0) / PRIOR_STD[:2]).sum())
    times = errors[best].mean(0) / findings.limit.error
    fit_times = findings.limit.expected_error(fits) / findings.limit.error
    title = _(
        "{best} has {length:.1f} times the smallest possible error of the length and {mass:.1f} times\n"
        "that of the mass; a fit of the pendulum's equations has {fit_length:.2f} and {fit_mass:.2f} times",
        best=best,
        length=times[0],
        mass=times[1],
        fit_length=fit_times[0],
        fit_mass=fit_times[1],
    )
    figure, panels = plotting.slide(title, 2)
    for index, (panel, name) in enumerate(zip(panels, (_("true length, m"), _("true mass, kg")), strict=True)):
        panel.plot([LOW[index], HIGH[index]], [LOW[index], HIGH[index]], "k-", lw=1)
        panel.plot(truth[:, index], findings.networks[best].estimate[0, :, index], ".", color=plotting.BLUE, label=best)
        panel.plot(truth[:, index], fits[:, index], "x", color=plotting.ORANGE, label=_("least squares"))
        panel.set(xlabel=name, ylabel=_("estimate, {unit}", unit=UNITS[index]))
    legend_below(figure, findings.shipped)
    return figure


PAGE = Page(
    question=_("Which network tells a pendulum's length and mass best from its angles, a flat or a recurrent one?"),
    formula=(
        _(r"flat: $y = f(x_1, \ldots, x_T)$; one answer: $h_{t+1} = f_1(h_t, x_t)$, $y = f_2(h_{t+1}, x_{t+1})$"),
        _(r"Elman: $h_t = \tanh(W_x x_t + W_h h_{t-1} + b_h)$, $y_t = W h_t + b_y$"),
        _(r"LSTM gates: $i_t, f_t, o_t = \sigma(W x_t + U h_{t-1} + b)$ with $\sigma(z) = 1 / (1 + e^{-z})$"),
        _(r"LSTM state: $c_t = f_t \, c_{t-1} + i_t \tanh(W_g x_t + U_g h_{t-1} + b_g)$, $h_t = o_t \tanh(c_t)$"),
        _(r"vanishing gradient: $\partial h_T / \partial h_t = \prod_{k=t+1}^{T} \mathrm{diag}(1 - h_k^2) \, W_h$"),
    ),
    captions={
        "lengths": _(
            "Up to 100 angles, the length of the training's sequences, the errors of all networks fall. Beyond, "
            "the recurrent networks read on and lose little, while the flat ones (dashed) leave out all but the last "
            "100."
        ),
        "networks": _(
            "From as many angles as in training, a larger flat network is best. From 200 angles the best "
            "recurrent network beats the flat one of its size, and one of three times its size."
        ),
        "training": _(
            "A flat network is cheap: it reaches the error of a recurrent network in less processor time. Each "
            "point is an epoch, and the band is the range of the seeds; --quick draws what was noted in that training."
        ),
        "memory": _(
            "Left: the gradient at early inputs of an untrained Elman network is almost zero: it learns "
            "long times late; the LSTM loses less. Right: the forget gate stays open, so that the state lasts."
        ),
        "estimates": _(
            "The nearer to the line, the better the estimate. The least-squares fit knows the pendulum's "
            "equations and finds the length almost exactly; the mass shows in the damping alone and stays uncertain."
        ),
    },
    what_if=(
        ("balancier identify --hidden 16", _("all networks get worse: which one loses least?")),
        ("balancier identify --pendulums 5000", _("with few pendulums, does the flat network overfit first?")),
        ("balancier forecast", _("the same pendulums, but the network predicts their next angles")),
    ),
)

LESSON = Lesson(
    flags=Identify,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier forecast, which predicts the same pendulums"),
    metrics=metrics,
    check=check_shipped,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("identify", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
