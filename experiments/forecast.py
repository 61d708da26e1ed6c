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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn

from balancier import N_, _, numeral
from envs import datasets
from experiments.common import plotting, sequence_figures, sequences
from experiments.common.command import Lesson, Page, launch
from experiments.common.estimators import NOISE, least_squares_fit, simulate
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.parallel import Job, run_parallel
from experiments.common.runs import Metric
from experiments.common.sequence_figures import draw_curves, legend_below, lengths_title, log_error_axis, looks
from experiments.common.sequences import (
    CHANGE,
    FLAT,
    GROUP,
    Budget,
    Flat,
    as_tensor,
    check_shipped,
    flat_over_best,
    forecast_words,
    groups,
    keep,
    load_shipped,
    network_sizes,
    num_parameters,
    random_counts,
    recurrent,
)
from models import Linear
from models.recurrent import RECURRENT

PAST, FUTURE, LONGER, SHORTEST = 50, 50, 100, 10  # angles: read in training, predicted, read at most, at least
UNROLLED = 20  # predicted angles in the training loss
AHEAD = 20  # angles ahead, 1 s, where errors are compared
FIRST_STARTS = 80  # training windows begin up to this number of angles after the release
QUANTITY = _("error {count} steps ahead", count=AHEAD)
SHORTER = 0.25  # share of the training's pasts that have SHORTEST to PAST angles; the others have PAST
EVERY_STEP = 0.3  # weight of the errors of the next group after every group read
LARGER = (128, 128, 128)  # hidden layers of a flat network with more parameters
PHYSICS = N_("physics")
REFERENCES = {N_("persistence"): (plotting.GRAY, ":"), PHYSICS: ("black", "-.")}
PANELS = 3  # pendulums whose futures are drawn
TEST_SEED = 20_000  # seed of the test pendulums


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
    def ahead(self) -> dict[str, dict[str, np.ndarray]]:
        """Equal, unequal or longer pasts -> network -> error AHEAD (S,)."""
        cases = {"equal": self.error, "unequal": self.unequal, "longer": self.longer}
        return {case: {name: errors[name][:, AHEAD - 1] for name in self.networks} for case, errors in cases.items()}

    @property
    def ratios(self) -> dict[str, float]:
        """Equal, unequal or longer -> the error of the flat network over that of the best recurrent one."""
        return {case: flat_over_best(errors) for case, errors in self.ahead.items()}

    @property
    def best(self) -> str:
        return min(self.networks, key=lambda name: self.ahead["equal"][name].mean())


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
    """Units of each network's layers."""
    return network_sizes(flags.hidden, PAST // GROUP, GROUP, [LARGER])


def build(name: str, layers: Sequence[int], seeds: Sequence[int]) -> nn.Module:
    if name in RECURRENT:
        return RecurrentForecaster(name, layers[0], seeds=seeds)
    return WindowMLP(layers, seeds=seeds)


def budget_of(name: str) -> Budget:
    return BUDGETS.get(name, BUDGETS["larger"])


def unseen_pendulums(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Measured pasts (count, LONGER) since the release, and true futures (count, FUTURE)."""
    angles, _ = datasets.swings(count, LONGER + FUTURE, seed=TEST_SEED)
    noise = NOISE * np.random.default_rng(TEST_SEED).standard_normal((count, LONGER))
    return angles[:, :LONGER] + noise, angles[:, LONGER:]


def work(job: Job, report: Callable[[float], None]) -> "Performance | np.ndarray":
    """One job, in a process of its own: fit the physics, or train and test one network with all its seeds."""
    flags: Forecast = job.settings
    past, truth = unseen_pendulums(flags.tests)
    if job.name == PHYSICS:
        past = past[: flags.physics_tests_to_run]
        return least_squares_fit(past, advance=lambda: report(job.cost / len(past)))
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
        unequal=rmse(futures(job.name, network, past, random_counts(len(past), TEST_SEED, SHORTEST, PAST)), truth),
        future=futures(job.name, network, past, PAST // GROUP)[0],
        weights={key: tensor[:1].clone() for key, tensor in network.state_dict().items()},
    )


def train(
    network: nn.Module, job: Job, report: Callable[[float], None], past: np.ndarray, truth: np.ndarray
) -> tuple[float, np.ndarray]:
    """Train on noisy pasts; processor seconds for one seed, and the curve of the errors for the test pendulums."""
    flags, name, first_seed, budget = job.settings, job.name, job.seeds[0], budget_of(job.name)
    count = round(budget.sequences * flags.share)
    angles, _ = datasets.swings(count, FIRST_STARTS + PAST + UNROLLED, seed=first_seed + 1)
    starts = np.random.default_rng(first_seed).integers(0, FIRST_STARTS + 1, (count, 1))
    series = as_tensor(np.take_along_axis(angles, starts + np.arange(PAST + UNROLLED), 1))
    counts = random_counts(count, first_seed, SHORTEST, PAST)
    counts[round(SHORTER * count) :] = PAST // GROUP
    generator = torch.Generator().manual_seed(first_seed)

    def noisy(x: Tensor, _: float) -> Tensor:
        x = x + NOISE * torch.randn(x.shape, generator=generator)
        # A quarter of the pasts is shorter for all networks; the recurrent ones get them in minibatches of one length.
        if name in RECURRENT and torch.rand((), generator=generator) < SHORTER:
            count = torch.randint(SHORTEST // GROUP, PAST // GROUP + 1, (), generator=generator)
            x = x[..., -int(count) * GROUP :]
        return x

    recurrent = name in RECURRENT
    seconds, history = sequences.train(
        network,
        [series[:, :PAST], series[:, GROUP:]] if recurrent else [series[:, :PAST], counts, series[:, PAST:]],
        every_step_loss if recurrent else future_loss,
        budget,
        job.seeds,
        augment=noisy,
        test=lambda: rmse(futures(name, network, past, PAST // GROUP), truth)[:, AHEAD - 1],
        report=lambda share: report(job.cost * share),
    )
    return seconds, np.array([[then, *errors] for then, errors in history])


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
    """One job for each network, and the fits of the physics; the most expensive first."""

    def cost(name: str) -> float:
        testing = 0.5 if name in RECURRENT else 0.2
        return testing + (0 if flags.quick else budget_of(name).seconds * flags.share * flags.seeds)

    jobs = [Job(name, tuple(flags.trained_seeds), cost(name), flags) for name in sizes(flags)]
    jobs.append(Job(PHYSICS, (), 0.1 * flags.physics_tests_to_run, flags))
    return sorted(jobs, key=lambda job: -job.cost)


def check(flags: Forecast) -> None:
    if flags.physics_tests > flags.tests:
        raise UsageError(f"--physics-tests: found {flags.physics_tests}, expected at most --tests, {flags.tests}")
    check_shipped(flags)


def measure(flags: Forecast) -> Findings:
    jobs = plan(flags)
    results = run_parallel(work, jobs, 1 if flags.quick else flags.processes, kinds=[Performance])
    by_name: dict[str, Any] = {job.name: result for job, result in zip(jobs, results, strict=True)}
    past, truth = unseen_pendulums(flags.tests)
    fits = by_name.pop(PHYSICS)
    references = {
        "persistence": np.broadcast_to(past[:, -1:], truth.shape),
        PHYSICS: simulate(fits, LONGER + FUTURE)[:, LONGER:],
    }
    networks: dict[str, Performance] = {name: by_name[name] for name in sizes(flags)}
    if flags.keep is not None:
        for name, network in networks.items():
            notes = {"seconds": round(network.seconds, 1), "curve": np.round(network.curve[:, :2], 4).tolist()}
            keep(flags.keep, f"forecast_{name}", network.weights, notes)
    return Findings(flags.trained_seeds, flags.quick, networks, references, past, truth)


def forecast(flags: Forecast) -> str:
    return forecast_words(flags, plan(flags), afterwards=6)


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name in findings.networks:
        for horizon in (1, 5, 10, 20, 50):
            yield horizon, f"{name}/error", findings.error[name][:, horizon - 1], findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    error, best = findings.error, findings.best

    def at(errors: dict[str, np.ndarray], horizon: int) -> dict[str, float]:
        return {name: round(float(e[:, horizon - 1].mean()), 5) for name, e in errors.items()}

    return {
        "error_at_1": at(error, 1),
        "error_at_20": at(error, AHEAD),
        "error_at_50": at(error, 50),
        "unequal_error_at_20": at(findings.unequal, AHEAD),
        "longer_error_at_20": at(findings.longer, AHEAD),
        "flat_over_best_recurrent": {case: round(ratio, 3) for case, ratio in findings.ratios.items()},
        "best": best,
        "best_over_persistence_at_20": round(at(error, AHEAD)[best] / at(error, AHEAD)["persistence"], 4),
        "parameters": {name: network.parameters for name, network in findings.networks.items()},
        "train_seconds": {name: round(network.seconds, 1) for name, network in findings.networks.items()},
        "networks": "shipped" if findings.shipped else "trained",
    }


def table(findings: Findings) -> Table:
    title = _("Networks that come with the package (one seed)") if findings.shipped else None
    table = Table(_("forecast"), _("parameters"), _("s per seed"), title=title)
    horizons = _("1 step"), _("20 steps (1 s)"), _("50 steps")
    for column in (*horizons, _("20, unequal"), _("20, past 100"), _("20, seeds")):
        table.add_column(column, justify="right")
    for name, error in findings.error.items():
        cells = [f"{error[:, h - 1].mean():.4f}" for h in (1, AHEAD, 50)]
        if name in findings.networks:
            network, at = findings.networks[name], error[:, AHEAD - 1]
            cells += [f"{errors[name][:, AHEAD - 1].mean():.4f}" for errors in (findings.unequal, findings.longer)]
            cells = [numeral(network.parameters), f"{network.seconds:.0f}", *cells, f"{at.min():.3f}-{at.max():.3f}"]
        else:
            cells = ["", "", *cells]
        table.add_row(_(name), *cells)
    table.caption = _(
        "Errors in rad. {ahead} steps ahead, the error of mlp over that of the best recurrent network is {equal:.2f} "
        "from {past} angles, {unequal:.2f} from {shortest} to {past}, {longer:.2f} from {more}, of which mlp reads the "
        "last {past}.",
        **findings.ratios,
        ahead=AHEAD,
        past=PAST,
        shortest=SHORTEST,
        more=LONGER,
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    cases = dict(zip(sequence_figures.cases(SHORTEST, PAST, LONGER), findings.ahead.values(), strict=True))
    parameters = {name: network.parameters for name, network in findings.networks.items()}
    return {
        "futures": plot_futures(findings),
        "error_against_horizon": plot_errors(findings),
        "lengths": plot_lengths(findings),
        "networks": sequence_figures.plot_networks(cases, parameters, QUANTITY, "rad", findings.shipped),
        "training": plot_training(findings),
    }


def plot_errors(findings: Findings) -> Figure:
    """Error against horizon, mean and range of the seeds."""
    error, best, horizons = findings.error, findings.best, range(1, FUTURE + 1)
    at = {name: error[name][:, AHEAD - 1].mean() for name in (best, *REFERENCES)}
    title = _(
        "{ahead} steps (1 s) ahead, {best} errs by {error:.3f} rad: {share:.1%} of what\n"
        "persistence does. A fit of the physics errs by {physics:.3f} rad",
        ahead=AHEAD,
        best=best,
        error=at[best],
        share=at[best] / at["persistence"],
        physics=at[PHYSICS],
    )
    figure, [panel] = plotting.slide(title)
    draw_curves(panel, {name: (horizons, error[name].T) for name in findings.networks}, marked=False)
    for name, (color, style) in REFERENCES.items():
        panel.plot(horizons, error[name][0], style, color=color, label=_(name))
    panel.axvspan(UNROLLED, FUTURE, color=plotting.GRAY, alpha=0.12)
    panel.set(xlabel=_("steps ahead, 0.05 s each (gray: farther than in training)"))
    log_error_axis(panel, _("error, rad (RMS)"))
    legend_below(figure, findings.shipped)
    return figure


def plot_lengths(findings: Findings) -> Figure:
    """Error against the number of angles seen, beyond the training's, too."""
    errors, networks = findings.ahead["longer"], findings.networks
    curves = {
        name: (list(network.by_length), np.stack([error[:, AHEAD - 1] for error in network.by_length.values()]))
        for name, network in networks.items()
    }
    figure, [panel] = sequence_figures.plot_lengths(
        lengths_title(errors, LONGER, PAST, "rad"),
        {f"{QUANTITY}, rad (RMS)": curves},
        PAST,
    )
    persistence = findings.error["persistence"][0, AHEAD - 1]
    panel.axhline(persistence, color=plotting.GRAY, linestyle=":", label=_("persistence"))
    legend_below(figure, findings.shipped)
    return figure


def plot_training(findings: Findings) -> Figure:
    """Error against the processor seconds of training."""
    curves = {name: (network.curve[:, 0].tolist(), network.curve[:, 1:]) for name, network in findings.networks.items()}
    figure, __ = sequence_figures.plot_training({f"{QUANTITY}, rad (RMS)": curves}, PAST, "rad")
    legend_below(figure, findings.shipped)
    return figure


def plot_futures(findings: Findings) -> Figure:
    """The measured past, the true future, and those that LSTM and MLP predict, of three pendulums."""
    figure, panels = plotting.new(PANELS, 2, width=5.0, height=4.4, sharex=True, sharey=True)
    before, after = np.arange(-PAST, 0) * 0.05, np.arange(FUTURE) * 0.05
    drawn = [name for name in ("lstm", FLAT) for __ in range(PANELS)]
    for index, (panel, name) in enumerate(zip(panels, drawn, strict=True)):
        pendulum, (color, __) = index % PANELS, looks(findings.networks)[name]
        panel.plot(before, findings.past[pendulum, -PAST:], ".", color=plotting.GRAY, markersize=4, label=_("measured"))
        panel.plot(after, findings.truth[pendulum], color="black", linewidth=5, alpha=0.3, label=_("truth"))
        panel.plot(after, findings.networks[name].future[pendulum], color=color, label=name)
        panel.axvline(0, color="black", linewidth=1)
        error = np.sqrt(((findings.networks[name].future - findings.truth)[pendulum] ** 2).mean())
        title = _("{name}, pendulum {number}: {error:.3f} rad", name=name, number=pendulum + 1, error=error)
        panel.set_title(title)
    for panel in panels[PANELS:]:
        panel.set_xlabel(_("time, s"))
    for panel in panels[::PANELS]:
        panel.set_ylabel(_("angle, rad"))
    named = {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    lstm, flat = (findings.ahead["equal"][name].mean() for name in ("lstm", FLAT))
    title = _("1 s ahead, lstm errs by {lstm:.3f} rad and mlp by {flat:.3f} rad", lstm=lstm, flat=flat)
    figure.suptitle(title, fontsize=18)
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4)
    return figure


PAGE = Page(
    question=_("Which network predicts a pendulum's next angles best, a flat or a recurrent one?"),
    formula=(
        _(r"sequence in, sequence out: $y_{t+1} = f_2(h_t, x_t)$, $h_{t+1} = f_1(h_t, x_t)$"),
        _(r"each prediction is the next input: $x_{t+1} = \hat{y}_{t+1}$"),
        _(r"flat: $\hat{y}_{t+1} = f(x_{t-49}, \ldots, x_t)$"),
        _(r"Elman: $h_t = \tanh(W_x x_t + W_h h_{t-1} + b_h)$, $\hat{y}_t = W h_t + b_y$"),
    ),
    captions={
        "futures": _(
            "The gray line is the true future, the dots are the measured past. LSTM (above) and flat network "
            "(below) follow it for about a second and drift off later, because each prediction is the next input."
        ),
        "error_against_horizon": _(
            "All networks err far less than persistence, and most beyond the training's 20 "
            "steps. The fit of the physics, which knows the equation, stays below all of them."
        ),
        "lengths": _(
            "The flat networks (dashed) read the last 50 angles and leave out older ones, so their lines end "
            "level. They win: the last 50 tell nearly all about the next second, and a recurrent network, which was "
            "never trained to read on, gets worse."
        ),
        "networks": _(
            "From 50 angles or fewer, a recurrent network and the flat one of its size are equally good. From "
            "100 angles the flat one is better, and a larger flat one is best everywhere."
        ),
        "training": _(
            "A flat network reaches the same error in less processor time. Each point is an epoch, "
            "and the band is the range of the seeds."
        ),
    },
    what_if=(
        ("balancier forecast --sequences 4000", _("with a tenth of the data, which network loses most?")),
        ("balancier forecast --hidden 16", _("small networks: how far ahead do they still beat persistence?")),
        ("balancier identify", _("the same pendulums, but the network tells their length and mass")),
    ),
)

LESSON = Lesson(
    flags=Forecast,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier identify, which estimates length and mass of the same pendulums"),
    metrics=metrics,
    check=check,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("forecast", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
