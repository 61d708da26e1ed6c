"""Multilayer perceptrons (3.3): the parts of a network, and regression of a wavy curve from noisy points. The figures
show how the error depends on the width, on epochs and learning rate and on the minibatches, how minibatches leave local
minima, and how networks with different activations extrapolate outside the range of the data.

The truth is y = sin(1.5 pi x) + 0.5 x, with x in [-1, 1]. The noise is normal with standard deviation 0.1. So even the
best possible network has a mean squared error of 0.1^2 = 0.01 on new points: this is the noise floor. N, the number of
points, is given with the problem. The width M of the hidden layer, the epochs and the learning rate are choices of the
training (hyper-parameters).

A seed decides the initial weights of one network and the order of its training points. The networks of all seeds train
side by side on the same points. The networks of all learning rates do, too, because each network has its own rate. One
network trains in plain PyTorch as well, and becomes the same as with `models.fit`.

S seed, E epochs, B minibatch, K starts.
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from balancier import N_, _, numeral
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models import MLP, SGD, fit, squared_error
from models.fitting import ROLE
from models.networks import ACTIVATIONS
from models.streams import permutations, stream

NOISE = 0.1
FORMULAS = {"sigmoid": "1 / (1 + exp(-a))", "tanh": "2 / (1 + exp(-2 a)) - 1", "relu": "max(0, a)"}
# Names of trainings in the files of a run, with a number.
OF_WIDTH, ADAM_BATCHES = N_("width {count}"), N_("Adam, batches of {count}")
SGD_BATCHES, ALL_POINTS = N_("SGD, batches of {count}"), N_("gradient descent, all {count}")
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
WIDTH = 32  # where widths are not compared
RATES = (1e-4, 1e-3, 1e-2, 1e-1)
BATCH = 50  # points of a minibatch, where these are not compared
VALIDATION_POINTS = 1_000
PLAIN_EPOCHS = 20  # of the training in plain PyTorch
WIDE = np.linspace(-1.5, 1.5, 300)  # x where the activations are compared
LINE = np.linspace(-1, 1, 300)  # x where the widths are compared
SHOWN = {1: plotting.PURPLE, 2: plotting.YELLOW, 4: plotting.SKY, 32: plotting.BLUE}  # widths whose fits are drawn
STARTS = np.linspace(0.5, 20, 40)  # of the single weight in sin(w x)
WEIGHTS = np.linspace(0, 21, 4_201)  # where its loss is drawn and its minima are found
STEPS, STEP_SIZE = 4_000, 1.0  # of its gradient descent
BATCHES = (1, 2, 5, 10, 50)  # sizes of its minibatches; all points are the last
DATA, DESCENT = 372, 370  # random streams


@dataclass(frozen=True)
class Mlp(Flags):
    """The parts of a multilayer perceptron, and the effects of width, epochs, learning rate and minibatches."""

    points: Annotated[int, at_least(2)] = 200
    """Training points."""
    epochs: Annotated[int, at_least(2)] = 600
    """Passes over the training points."""
    learning_rate: Annotated[float, above(0)] = 1e-2
    """Learning rate of Adam, where learning rates are not compared."""

    @property
    def epochs_to_run(self) -> int:
        return min(self.epochs, 150) if self.quick else self.epochs


@dataclass(frozen=True)
class Training:
    """Networks of all seeds after one training, and mean squared errors (E, S)."""

    network: MLP
    train: np.ndarray  # on the training points, while learning
    validation: np.ndarray  # after each epoch

    @property
    def final(self) -> np.ndarray:
        """Validation error after the last epoch, (S,)."""
        return self.validation[-1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Outputs (S, B) at x (B,)."""
        inputs = as_tensor(x)[:, None].expand(self.validation.shape[1], -1, -1)
        with torch.no_grad():
            return self.network(inputs)[..., 0].numpy()


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    x: np.ndarray  # (points,)
    y: np.ndarray  # (points,)
    widths: dict[int, Training]
    rates: Training  # one network for each learning rate and seed: the seeds of the first rate, of the second, ...
    rate_seeds: list[int]  # of the networks in `rates`
    activations: dict[str, Training]
    optimizers: dict[str, Training]  # Adam, and SGD with smaller and larger minibatches
    batch_sizes: list[int]  # of these
    parabola: float  # validation error of the best parabola, in which every network with activation a^2 ends
    plain_difference: float  # largest difference between the weights of plain PyTorch and of `fit`
    ends: dict[int, np.ndarray]  # batch size -> weight of sin(w x) at the end of descent from all STARTS, (K,)

    @property
    def error_by_rate(self) -> dict[float, np.ndarray]:
        """Validation errors (E, S) for each learning rate."""
        return dict(zip(RATES, np.split(self.rates.validation, len(RATES), 1), strict=True))

    @property
    def epochs(self) -> int:
        """Of every training but the last, which has more."""
        return len(self.widths[WIDTH].train)

    @property
    def reached(self) -> dict[int, int]:
        """Batch size -> how many of the STARTS reached the lowest minimum of the loss of sin(w x)."""
        lowest = WEIGHTS[self.loss.argmin()]
        return {size: int((np.abs(ends - lowest) < 0.5).sum()) for size, ends in self.ends.items()}

    @property
    def loss(self) -> np.ndarray:
        """Loss of sin(w x) on all points at WEIGHTS."""
        return sine_loss(WEIGHTS, self.x, sine(self.x, self.y))


# The network in plain PyTorch


class PlainMLP(nn.Module):
    """One hidden layer: y = W2 relu(W1 x + b1) + b2, or another activation."""

    def __init__(self, inputs: int, width: int, outputs: int, activation: Callable[[Tensor], Tensor] = torch.relu):
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.out = nn.Linear(width, outputs)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.activation(self.hidden(x)))


class PointSet(Dataset):
    """Pairs of an input and an output."""

    def __init__(self, x: Tensor, y: Tensor):
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]


def train_plain(network: nn.Module, data: Dataset, epochs: Sequence[list[list[int]]], learning_rate: float) -> None:
    """Minibatch training; `epochs` are the batches of each, lists of indices."""
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    for batches in epochs:
        for x, y in DataLoader(data, batch_sampler=batches):
            loss = F.mse_loss(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def plain_difference(data: TensorDataset, seed: int, learning_rate: float) -> float:
    """Largest difference between the weights that `train_plain` and `fit` find from the same start; in float64."""
    x, y = (tensor.double() for tensor in data.tensors)
    ours = MLP(1, (WIDTH,), 1, activation="tanh", seeds=[seed]).double()
    plain = PlainMLP(1, WIDTH, 1, torch.tanh).double()
    layers = [(plain.hidden, ours.hidden[0]), (plain.out, ours.out)]
    for theirs, layer in layers:
        theirs.weight.data.copy_(layer.weight[0].T)  # type: ignore[union-attr,index]
        theirs.bias.data.copy_(layer.bias[0])  # type: ignore[union-attr,index]
    orders = [permutations([seed], (ROLE, epoch), 1, len(x))[0, 0] for epoch in range(PLAIN_EPOCHS)]
    if len(x) <= BATCH:
        orders = [torch.arange(len(x))] * PLAIN_EPOCHS  # all points in one minibatch are not shuffled
    train_plain(plain, PointSet(x, y), [[b.tolist() for b in order.split(BATCH)] for order in orders], learning_rate)
    settings = {"batch_size": BATCH, "learning_rate": learning_rate, "epochs": PLAIN_EPOCHS}
    fit(ours, TensorDataset(x, y), squared_error, seeds=[seed], **settings)
    pairs = [(a.weight.T, b.weight[0]) for a, b in layers] + [(a.bias, b.bias[0]) for a, b in layers]  # type: ignore[union-attr,index]
    return max(float((a - b).abs().max().detach()) for a, b in pairs)


# Data and training


def truth(x: np.ndarray) -> np.ndarray:
    """One and a half waves on a slope, x in [-1, 1]."""
    return np.sin(1.5 * np.pi * x) + 0.5 * x


def sample(generator: np.random.Generator, count: int) -> TensorDataset:
    """Inputs and noisy outputs, (count, 1) each."""
    x = generator.uniform(-1, 1, (count, 1))
    y = truth(x) + NOISE * generator.standard_normal((count, 1))
    return TensorDataset(as_tensor(x), as_tensor(y))


def as_tensor(x: np.ndarray) -> Tensor:
    return torch.tensor(x, dtype=torch.get_default_dtype())


def train(
    data: TensorDataset,
    validation: TensorDataset,
    advance: Callable[..., None],
    seeds: list[int],
    width: int = WIDTH,
    activation: Any = "tanh",
    **settings: Any,
) -> Training:
    """Train one network for each seed; `settings` are those of `fit`, and `advance` is called after each epoch."""
    network = MLP(1, (width,), 1, activation=activation, seeds=seeds)
    settings |= {"validation": validation, "callback": lambda *__: advance()}
    history = fit(network, data, squared_error, seeds=seeds, **settings)
    return Training(network, history.train["loss"], history.validation["loss"])


def best_parabola(data: TensorDataset, validation: TensorDataset) -> float:
    """Validation error of the parabola that fits the training points best."""
    (x, y), (new_x, new_y) = ([tensor[:, 0].numpy() for tensor in part.tensors] for part in (data, validation))
    return float(np.square(np.polyval(np.polyfit(x, y, min(2, len(x) - 1)), new_x) - new_y).mean())


# A single weight, whose loss has local minima


def sine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The points without their slope: noisy values of sin(1.5 pi x)."""
    return y - 0.5 * x


def sine_loss(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared error of sin(w x) for weights (K,) on points (N,), or on points (K, B) of their own."""
    return np.square(np.sin(weight[:, None] * x) - y).mean(1)


def sine_descent(x: np.ndarray, y: np.ndarray, batch_size: int, generator: np.random.Generator) -> np.ndarray:
    """Gradient descent on random minibatches, or on all points, from all STARTS; the last weights (K,)."""
    weight = STARTS.copy()
    for __ in range(STEPS):
        indices = generator.integers(len(x), size=(len(weight), batch_size)) if batch_size < len(x) else slice(None)
        inputs, targets = x[indices], y[indices]  # (K, B) or (N,)
        phase = weight[:, None] * inputs
        weight = weight - STEP_SIZE * (2 * (np.sin(phase) - targets) * np.cos(phase) * inputs).mean(1)
    return weight


# The lesson


def measure(flags: Mlp) -> Findings:
    generator = stream(flags.seed, DATA)
    data, validation = sample(generator, flags.points), sample(generator, VALIDATION_POINTS)
    x, y = (tensor[:, 0].numpy() for tensor in data.tensors)
    seeds, rate_seeds = flags.all_seeds, list(range(flags.seed, flags.seed + flags.seeds * len(RATES)))
    batches = {SGD_BATCHES.format(count=size): size for size in (10, BATCH) if size < flags.points}
    batches[ALL_POINTS.format(count=flags.points)] = flags.points
    sizes = [size for size in BATCHES if size < flags.points] + [flags.points]
    plan: dict[str, dict[str, Any]] = {OF_WIDTH.format(count=width): {"width": width} for width in WIDTHS}
    plan[N_("rates")] = {"seeds": rate_seeds, "learning_rate": np.repeat(RATES, flags.seeds)}
    plan |= {name: {"activation": name} for name in FORMULAS}
    plan |= {name: {"batch_size": size, "optimizer": SGD, "learning_rate": 0.1} for name, size in batches.items()}
    # All points at once take as many updates as the smallest minibatches.
    plan[[*batches][-1]]["epochs"] = flags.epochs_to_run * -(-flags.points // 10)
    usual = {"seeds": seeds, "learning_rate": flags.learning_rate, "epochs": flags.epochs_to_run, "batch_size": BATCH}
    plan = {name: usual | settings for name, settings in plan.items()}
    # Of an epoch: its minibatches and the validation, for each replica.
    work = {name: len(each["seeds"]) * (-(-flags.points // each["batch_size"]) + 1) for name, each in plan.items()}
    plain = plain_difference(data, flags.seed, flags.learning_rate)
    ends = {size: sine_descent(x, sine(x, y), size, stream(flags.seed, DESCENT, size)) for size in sizes}
    with ProgressBar(sum(work[name] * each["epochs"] for name, each in plan.items()), _("training")) as progress:
        trainings = {
            name: train(data, validation, partial(progress.advance, work[name], shown(name)), **settings)
            for name, settings in plan.items()
        }
    return Findings(
        seeds=seeds,
        x=x,
        y=y,
        widths={width: trainings[OF_WIDTH.format(count=width)] for width in WIDTHS},
        rates=trainings["rates"],
        rate_seeds=rate_seeds,
        activations={name: trainings[name] for name in FORMULAS},
        optimizers={ADAM_BATCHES.format(count=min(BATCH, flags.points)): trainings[OF_WIDTH.format(count=WIDTH)]}
        | {name: trainings[name] for name in batches},
        batch_sizes=[min(BATCH, flags.points), *batches.values()],
        parabola=best_parabola(data, validation),
        plain_difference=plain,
        ends=ends,
    )


# Output


def forecast(flags: Mlp) -> str:
    time = duration(3 + 0.007 * flags.epochs_to_run * (6 + flags.seeds))
    return _("{seeds} seeds, about {time}", seeds=flags.seeds, time=time)


def shown(name: str) -> str:
    """The name of a training in the user's language."""
    words, __, number = name.rpartition(" ")
    pattern = f"{words} {{count}}"
    return _(pattern, count=int(number)) if number.isdigit() else _(name)


def metrics(findings: Findings) -> Iterable[Metric]:
    trainings = {OF_WIDTH.format(count=width): training for width, training in findings.widths.items()}
    trainings |= {"rates": findings.rates, **findings.activations, **findings.optimizers}
    for name, training in trainings.items():
        seeds = findings.rate_seeds if name == "rates" else findings.seeds
        yield len(training.train), f"{name}, training", training.train[-1], seeds
        yield len(training.train), name, training.final, seeds


def result(findings: Findings) -> dict[str, Any]:
    def median(error: np.ndarray) -> float:
        """Over the seeds, of errors (E, S) after the last epoch."""
        return round(float(np.median(error[-1])), 5)

    optimizers = findings.optimizers
    return {
        "mse_by_width": {str(width): median(training.validation) for width, training in findings.widths.items()},
        "training_mse_by_width": {str(width): median(training.train) for width, training in findings.widths.items()},
        "mse_by_rate": {f"{rate:g}": median(error) for rate, error in findings.error_by_rate.items()},
        "mse_by_activation": {name: median(training.validation) for name, training in findings.activations.items()},
        "mse_by_batches": {name: median(each.validation[: findings.epochs]) for name, each in optimizers.items()},
        "mse_of_all_points_after_as_many_updates": median(list(optimizers.values())[-1].validation),
        "mse_of_a_parabola": findings.parabola,
        "starts_in_the_lowest_minimum": {"of": len(STARTS)} | findings.reached,
        "plain_pytorch_difference": findings.plain_difference,
        "noise": NOISE**2,
    }


def table(findings: Findings) -> Table:
    """The parts of a network, a question about them, the errors for each width, and the answer."""
    plain, ours = PlainMLP(3, 32, 2), MLP(3, (32,), 2, seeds=1)
    networks = Table(_("PyTorch: print(PlainMLP(3, 32, 2))"), _("ours: print(MLP(3, (32,), 2, seeds=1))"))
    networks.add_row(Text(str(plain)), Text(str(ours)))
    for name, part, layer in (("W1", plain.hidden, ours.hidden[0]), ("W2", plain.out, ours.out)):
        shapes = tuple(part.weight.shape), tuple(layer.weight.shape)  # type: ignore[union-attr,arg-type]
        networks.add_row(
            _("{weight}: {shape}, one row an output", weight=name, shape=shapes[0]),
            _("{weight}: {shape}: seeds, inputs, outputs", weight=name, shape=shapes[1]),
        )
    vector = torch.tensor([-1.0, 0.0, 2.0])
    numbers = _(", ").join(numeral(value, ".1f") for value in vector.tolist())
    head = _("of the vector [{numbers}], element by element", numbers=numbers)
    activations = Table(_("activation"), _("formula"), head)
    for name, formula in FORMULAS.items():
        outputs = _(", ").join(numeral(value, ".3f") for value in ACTIVATIONS[name](vector).tolist())
        activations.add_row(name, formula, outputs)
    columns = _("M, hidden units"), _("parameters"), _("training"), _("validation (median)")
    errors = Table(*columns, _("validation (worst seed)"))
    errors.title = _("Mean squared errors over the noise floor of {noise:g}", noise=NOISE**2)
    for width, training in findings.widths.items():
        median, ratio = np.median(training.train[-1]) / NOISE**2, training.final / NOISE**2
        errors.add_row(str(width), str(3 * width + 1), f"{median:.2f}", f"{np.median(ratio):.2f}", f"{ratio.max():.2f}")
    biases = [tuple(part.bias.shape) for part in (plain.hidden, plain.out)]
    count = sum(parameter.numel() for parameter in plain.parameters())
    stacked = Table.grid()
    stacked.add_row(_("A network 3-32-2 with ReLU: y = W2 max(0, W1 x + b1) + b2"))
    stacked.add_row(networks)
    stacked.add_row(_("Question: which sizes do the bias vectors b1 and b2 have? (The answer is below.)"))
    stacked.add_row(activations)
    stacked.add_row(errors)
    head = _("Training in plain PyTorch:")
    stacked.add_row(Text(f"\n{head}\n{inspect.getsource(train_plain)}"))
    compared = _(
        "After {epochs} epochs its weights differ from those of models.fit by {difference:.0e}.",
        epochs=PLAIN_EPOCHS,
        difference=findings.plain_difference,
    )
    stacked.add_row(f"{compared}\n")
    answer = _(
        "Answer: b1 has the shape {first} and b2 {second}, one number for each output of the layer. "
        "With them, the network has {count} parameters.",
        first=biases[0],
        second=biases[1],
        count=count,
    )
    stacked.add_row(answer)
    return stacked


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "widths": plot_widths(findings),
        "rates": plot_rates(findings),
        "minibatches": plot_minibatches(findings),
        "local_minima": plot_local_minima(findings),
        "activations": plot_activations(findings),
    }


def times_floor(error: np.ndarray) -> float:
    """The median of errors (S,), in units of the noise floor."""
    return float(np.median(error)) / NOISE**2


def draw_floor(panel: Axes) -> None:
    label = _("noise floor, {error:g}", error=NOISE**2)
    panel.axhline(NOISE**2, color="black", linestyle="--", linewidth=1.5, label=label)


def plot_widths(findings: Findings) -> Figure:
    """The functions that networks of several widths learn, and their errors against the width."""
    title = _(
        "Universal approximation: with a wider layer the validation error falls from {first:.0f} times\n"
        "the noise floor (M = {narrow}) to {last:.1f} times (M = {wide})",
        first=times_floor(findings.widths[WIDTHS[0]].final),
        narrow=WIDTHS[0],
        last=times_floor(findings.widths[WIDTHS[-1]].final),
        wide=WIDTHS[-1],
    )
    figure, panels = plotting.slide(title, 2)
    label = _("N = {count} points", count=len(findings.x))
    panels[0].plot(findings.x, findings.y, ".", color=plotting.GRAY, alpha=0.5, label=label)
    for width, color in SHOWN.items():
        prediction = findings.widths[width].predict(LINE)
        panels[0].plot(LINE, np.median(prediction, 0), color=color, label=f"M = {width}")
    panels[0].set(title=_("outputs (median of the seeds)"), xlabel="x", ylabel="y")
    for name, label, color, marker in (
        ("train", _("training"), plotting.BLUE, "o"),
        ("validation", _("validation"), plotting.ORANGE, "s"),
    ):
        error = np.stack([getattr(training, name)[-1] for training in findings.widths.values()])  # (widths, S)
        plotting.quantile_band(panels[1], WIDTHS, error, label, color, marker=marker)
    panels[1].axhline(findings.parabola, color=plotting.PURPLE, linestyle=":", label=_("activation a² (a parabola)"))
    draw_floor(panels[1])
    panels[1].set_xscale("log", base=2)
    panels[1].set_yscale("log")
    panels[1].set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    panels[1].set(xlabel=_("M, hidden units"), ylabel=_("mean squared error"))
    panels[1].set_title(_("median and range of the seeds"))
    for panel in panels:
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    return figure


def plot_rates(findings: Findings) -> Figure:
    """Training and validation error against epochs, and validation error for several learning rates."""
    ends = {rate: times_floor(error[-1]) for rate, error in findings.error_by_rate.items()}
    best = min(ends, key=lambda rate: ends[rate])
    title = _(
        "Epochs and learning rate: {best:g} ends at {least:.1f} times the noise floor,\n"
        "{slow:g} is too slow and ends at {most:.0f} times",
        best=best,
        least=ends[best],
        slow=RATES[0],
        most=ends[RATES[0]],
    )
    figure, panels = plotting.slide(title, 2, sharey=True)
    training = findings.widths[WIDTH]
    epochs, quantiles = range(1, len(training.train) + 1), (0.1, 0.5, 0.9)
    for name, error, color in (
        (_("training"), training.train, plotting.BLUE),
        (_("validation"), training.validation, plotting.ORANGE),
    ):
        plotting.quantile_band(panels[0], epochs, error, name, color, quantiles, linewidth=1.8)
    panels[0].set_title(_("M = {width}, N = {count}: both errors", width=WIDTH, count=len(findings.x)))
    colors = plotting.SKY, plotting.PURPLE, plotting.BLUE, plotting.ORANGE
    for (rate, error), color in zip(findings.error_by_rate.items(), colors, strict=True):
        label = _("rate {rate:g}", rate=rate)
        plotting.quantile_band(panels[1], epochs, error, label, color, quantiles, linewidth=1.8)
    panels[1].set_title(_("validation error by learning rate (Adam)"))
    panels[0].set_ylabel(_("mean squared error (median, 10 to 90 %)"))
    for panel in panels:
        draw_floor(panel)
        panel.set(xlabel=_("epochs"), yscale="log", xscale="log")
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    return figure


def epochs_below(curve: np.ndarray, level: float) -> str:
    """After how many epochs a curve (E,) is below the level for the first time."""
    below = np.flatnonzero(curve < level)
    return numeral(below[0] + 1) if len(below) else _("more than {count:,}", count=len(curve))


def plot_minibatches(findings: Findings) -> Figure:
    """Training error for several sizes of the minibatches, against epochs and against updates."""
    curves = {name: np.median(training.train, 1) for name, training in findings.optimizers.items()}
    __, small, *__, full = curves
    title = _(
        "Minibatches learn more from each epoch, because they update more often: three times the noise floor\n"
        "takes {few} epochs ({small}) and {many} epochs ({full})",
        few=epochs_below(curves[small], 3 * NOISE**2),
        small=shown(small),
        many=epochs_below(curves[full], 3 * NOISE**2),
        full=shown(full),
    )
    figure, panels = plotting.slide(title, 2, sharey=True)
    colors = "black", plotting.BLUE, plotting.PURPLE, plotting.ORANGE
    for (name, training), size, color in zip(findings.optimizers.items(), findings.batch_sizes, colors, strict=False):
        epochs = np.arange(1, len(training.train) + 1)
        for panel, x in zip(panels, (epochs, epochs * -(-len(findings.x) // size)), strict=True):
            style = {"linewidth": 1.8, "linestyle": ":" if name.startswith("Adam") else "-"}
            plotting.quantile_band(panel, x.tolist(), training.train, shown(name), color, (0.1, 0.5, 0.9), **style)
    for panel in panels:
        draw_floor(panel)
        panel.set(yscale="log", xscale="log")
    panels[0].set(xlabel=_("epochs"), title=_("against epochs"), ylabel=_("training error (median, 10 to 90 %)"))
    panels[1].set(xlabel=_("updates of the weights"), title=_("against updates of the weights"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def plot_local_minima(findings: Findings) -> Figure:
    """The loss of a single weight, where descent ends on it, and the starts that reach the lowest minimum."""
    reached, loss, lowest = findings.reached, findings.loss, WEIGHTS[findings.loss.argmin()]
    small, full = min(reached), max(reached)
    title = _(
        "Local minima: {reached} of {starts} starts reach the lowest one with all points in each step,\n"
        "{small_reached} of {starts} with minibatches of {small}",
        reached=reached[full],
        starts=len(STARTS),
        small_reached=reached[small],
        small=small,
    )
    figure, panels = plotting.slide(title, 2)
    panels[0].plot(WEIGHTS, loss, color=plotting.GRAY, label=_("loss of sin(w x) on all points"))
    for size, color, marker, lift in ((full, plotting.ORANGE, "v", 0.04), (small, plotting.BLUE, "o", 0.1)):
        ends = findings.ends[size]
        heights = np.interp(ends, WEIGHTS, loss) + lift
        label = _("ends, all points") if size == full else _("ends, minibatches of {size}", size=size)
        panels[0].plot(ends, heights, marker, color=color, markersize=9, label=label)
    panels[0].set(xlabel=_("weight w"), ylabel=_("loss"), xlim=(WEIGHTS[0], WEIGHTS[-1]), ylim=(0, 1.25 * loss.max()))
    panels[0].set_title(_("the lowest minimum is at w = {weight:.2f}", weight=lowest))
    panels[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    panels[1].plot(list(reached), list(reached.values()), "o-", color=plotting.BLUE, markersize=9)
    panels[1].set(xlabel=_("points in a minibatch"), xscale="log", ylim=(0, len(STARTS) + 2))
    panels[1].set_xticks(list(reached), [str(size) for size in reached])
    panels[1].minorticks_off()
    panels[1].set_ylabel(_("starts in the lowest minimum, of {starts}", starts=len(STARTS)))
    panels[1].set_title(_("{steps:,} steps at learning rate {rate:g}", steps=STEPS, rate=STEP_SIZE))
    return figure


def plot_activations(findings: Findings) -> Figure:
    """The three activations with their formulas, and the functions that networks with them learn."""
    errors = ", ".join(f"{times_floor(each.final):.1f} ({name})" for name, each in findings.activations.items())
    title = _(
        "All three activations fit the data, with {errors} times the noise floor;\n"
        "outside the data each goes on in its own way",
        errors=errors,
    )
    figure, panels = plotting.slide(title, 2)
    a = torch.linspace(-4, 4, 200)
    styles = (plotting.BLUE, "-"), (plotting.PURPLE, "--"), (plotting.YELLOW, "-.")
    for (name, training), (color, style) in zip(findings.activations.items(), styles, strict=True):
        label = _("{name}: {formula}", name=name, formula=FORMULAS[name])
        panels[0].plot(a, ACTIVATIONS[name](a), color=color, linestyle=style, label=label)
        outputs = training.predict(WIDE).T
        plotting.quantile_band(panels[1], WIDE.tolist(), outputs, name, color, (0.1, 0.5, 0.9), linestyle=style)
    panels[1].plot(WIDE, truth(WIDE), color="black", linestyle=":", label=_("truth"))
    panels[1].axvspan(-1, 1, color=plotting.GRAY, alpha=0.12)
    panels[0].set(xlabel="a", ylabel=_("activation of a"), title=_("activations"), ylim=(-1.2, 3.2))
    panels[1].set(xlabel=_("x (gray: range of the data)"), ylabel=_("y (median, 10 to 90 % of seeds)"), ylim=(-3, 3))
    panels[1].set_title(_("networks with M = {width}", width=WIDTH))
    panels[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    panels[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4)
    return figure


PAGE = Page(
    question=_(
        "What is a multilayer perceptron made of, and how do its width, epochs, learning rate and minibatches "
        "change what it learns? Which sizes do the bias vectors of a 3-32-2 network have?"
    ),
    formula=(
        _(
            r"layer $i$: $s^{(i)} = \sigma(W^{(i)} e^{(i)} + b^{(i)})$, "
            r"one neuron: $s_j^{(i)} = \sigma(w_j^{(i)} \cdot e^{(i)} + b_j^{(i)})$"
        ),
        _(r"network: $y = W^{(2)} \sigma(W^{(1)} x + b^{(1)}) + b^{(2)}$"),
        _(r"$\sigma(a) = \frac{1}{1 + e^{-a}}$ (sigmoid), $\frac{2}{1 + e^{-2a}} - 1$ (tanh), $\max(0, a)$ (ReLU)"),
    ),
    captions={
        "widths": _(
            "One hidden unit bends once, two bend twice, and from about four on the network follows the curve. A "
            "polynomial activation such as a² makes a parabola at any width (dotted line): the theorem excludes it."
        ),
        "rates": _(
            "Training and validation error fall together as long as the network does not overfit. A small "
            "learning rate needs more epochs; a large one makes the error jump."
        ),
        "minibatches": _(
            "Left: after the same number of epochs, small minibatches are far ahead. Right: after as many "
            "updates, descent on all points gets as far: this network has no bad minimum to leave; the next figure has."
        ),
        "local_minima": _(
            "The loss of this single weight has several minima, and descent on all points ends in the one "
            "next to its start. The noise of minibatches of one point throws the weight out of the bad ones."
        ),
        "activations": _(
            "Left: the three functions, each applied to every element of a vector. Right: inside the gray "
            "range the networks agree; outside, ReLU goes on straight and the others level off."
        ),
    },
    what_if=(
        ("balancier mlp --points 30", _("wide networks overfit: their training error goes below the noise floor")),
        ("balancier mlp --learning-rate 0.1", _("the errors jump from epoch to epoch")),
        ("balancier mlp --epochs 50", _("too few epochs: the widest networks are not at the noise floor yet")),
    ),
)

LESSON = Lesson(
    flags=Mlp,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier mlp --points 30, and see which widths overfit"),
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("mlp", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
