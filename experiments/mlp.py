"""Multilayer perceptrons (3.3): the parts of a network, and regression of a wavy curve from noisy points. The figures
show how the error depends on the width, on the learning rate and on the minibatches, and how networks with different
activations extrapolate outside the range of the data.

The truth is y = sin(1.5 pi x) + 0.5 x, with x in [-1, 1]. The noise is normal with standard deviation 0.1. So even the
best possible network has a mean squared error of 0.1^2 = 0.01 on new points: this is the noise floor.

A seed decides the initial weights of one network and the order of its training points. The networks of all seeds train
side by side on the same points. The networks of all learning rates do, too, because each network has its own rate.

S seed, E epochs.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor
from torch.utils.data import TensorDataset

from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models import MLP, SGD, fit, squared_error
from models.networks import ACTIVATIONS

NOISE = 0.1
FORMULAS = {"sigmoid": "1 / (1 + exp(-a))", "tanh": "tanh(a)", "relu": "max(0, a)"}
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
WIDTH = 32  # where widths are not compared
RATES = (1e-4, 1e-3, 1e-2, 1e-1)
TEST_POINTS = 1_000
WIDE = np.linspace(-1.5, 1.5, 300)  # x where the activations are compared
LINE = np.linspace(-1, 1, 300)  # x where the widths are compared
SHOWN = {1: plotting.PURPLE, 2: plotting.YELLOW, 4: plotting.GREEN, 32: plotting.BLUE}  # widths whose fits are drawn


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
    """Networks of all seeds after one training."""

    network: MLP
    error: np.ndarray  # (E, S), mean squared error on test points after each epoch

    @property
    def final(self) -> np.ndarray:
        """Error after the last epoch, (S,)."""
        return self.error[-1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Outputs (S, B) at x (B,)."""
        inputs = as_tensor(x)[:, None].expand(self.error.shape[1], -1, -1)
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
    optimizers: dict[str, Training]  # SGD with smaller and larger minibatches

    @property
    def error_by_rate(self) -> dict[float, np.ndarray]:
        """(E, S) for each learning rate."""
        return dict(zip(RATES, np.split(self.rates.error, len(RATES), 1), strict=True))

    @property
    def error_by_batches(self) -> dict[str, np.ndarray]:
        """(E, S) for each optimizer and size of the minibatches."""
        everything = "all 200 at once" if len(self.x) == 200 else "all at once"
        names = "SGD, batches of 10", "SGD, batches of 50", f"gradient descent, {everything}"
        errors = {name: training.error for name, training in zip(names, self.optimizers.values(), strict=True)}
        return {"Adam, batches of 50": self.widths[WIDTH].error, **errors}


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
    test: TensorDataset,
    advance: Callable[..., None],
    seeds: list[int],
    width: int = WIDTH,
    activation: Any = "tanh",
    **settings: Any,
) -> Training:
    """Train one network for each seed; `settings` are those of `fit`, and `advance` is called after each epoch."""
    network = MLP(1, (width,), 1, activation=activation, seeds=seeds)
    settings = {"batch_size": 50, **settings}
    history = fit(network, data, squared_error, seeds=seeds, validation=test, callback=lambda *_: advance(), **settings)
    return Training(network, history.validation["loss"])


def measure(flags: Mlp) -> Findings:
    generator = np.random.default_rng(flags.seed)
    data, test = sample(generator, flags.points), sample(generator, TEST_POINTS)
    seeds, rate_seeds = flags.all_seeds, list(range(flags.seed, flags.seed + flags.seeds * len(RATES)))
    num_trainings = len(WIDTHS) + 1 + len(FORMULAS) + 3
    with ProgressBar(num_trainings * flags.epochs_to_run, "training") as progress:

        def run(name: str, seeds: list[int] = seeds, **settings: Any) -> Training:
            settings = {"learning_rate": flags.learning_rate, "epochs": flags.epochs_to_run, **settings}
            return train(data, test, lambda: progress.advance(1.0, name), seeds, **settings)

        widths = {width: run(f"width {width}", width=width) for width in WIDTHS}
        rates = run("rates", rate_seeds, learning_rate=np.repeat(RATES, flags.seeds))
        activations = {name: run(name, activation=name) for name in FORMULAS}
        optimizers = {
            name: run(name, optimizer=SGD, learning_rate=0.1, batch_size=batch_size)
            for name, batch_size in (("SGD 10", 10), ("SGD 50", 50), ("all", None))
        }
    x, y = (tensor[:, 0].numpy() for tensor in data.tensors)
    return Findings(seeds, x, y, widths, rates, rate_seeds, activations, optimizers)


# Output


def forecast(flags: Mlp) -> str:
    return f"{flags.seeds} seeds, about {duration(0.014 * flags.epochs_to_run * (6 + flags.seeds))}"


def metrics(findings: Findings) -> Iterable[Metric]:
    trainings = {f"width {width}": training for width, training in findings.widths.items()}
    trainings |= {"rates": findings.rates, **findings.activations, **findings.optimizers}
    for name, training in trainings.items():
        seeds = findings.rate_seeds if name == "rates" else findings.seeds
        yield len(training.error), name, training.final, seeds


def result(findings: Findings) -> dict[str, Any]:
    def median(error: np.ndarray) -> float:
        """Over the seeds, of errors (E, S) after the last epoch."""
        return round(float(np.median(error[-1])), 5)

    return {
        "mse_by_width": {str(width): median(training.error) for width, training in findings.widths.items()},
        "mse_by_rate": {f"{rate:g}": median(error) for rate, error in findings.error_by_rate.items()},
        "mse_by_activation": {name: median(training.error) for name, training in findings.activations.items()},
        "mse_by_batches": {name: median(error) for name, error in findings.error_by_batches.items()},
        "noise": NOISE**2,
    }


def parameters_table(network: MLP) -> Table:
    """Shapes and numbers of the parameters in each layer, for one seed."""
    table = Table("layer", "weights", "biases", "parameters")
    for name, layer in (("hidden", network.hidden[0]), ("output", network.out)):
        weight, bias = layer.weight[0], layer.bias[0]  # type: ignore[union-attr,index]
        table.add_row(name, f"{tuple(weight.T.shape)}", f"{tuple(bias.shape)}", str(weight.numel() + bias.numel()))
    return table


def table(findings: Findings) -> Table:
    """The parts of a network, and the error for each width."""
    errors = Table("width", "parameters", "MSE on test points, over the noise floor of 0.01 (median, worst seed)")
    for width, training in findings.widths.items():
        ratio = training.final / NOISE**2
        errors.add_row(str(width), str(3 * width + 1), f"{np.median(ratio):.2f}, {ratio.max():.2f}")
    stacked = Table.grid()
    stacked.add_row("The 3-32-2 network: y = W2 tanh(W1 x + b1) + b2")
    stacked.add_row(parameters_table(MLP(3, (32,), 2, activation="tanh", seeds=1)))
    stacked.add_row("Activations: " + ", ".join(f"{name}(a) = {formula}" for name, formula in FORMULAS.items()))
    stacked.add_row(errors)
    return stacked


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "widths": plot_widths(findings),
        "rates_and_batches": plot_curves(findings),
        "activations": plot_activations(findings),
    }


def plot_widths(findings: Findings) -> Figure:
    """The functions that networks of several widths learn, and their error against the width."""
    figure, panels = plotting.new(2, width=7.5)
    count = len(findings.x)
    panels[0].plot(findings.x, findings.y, ".", color=plotting.GRAY, alpha=0.5, label=f"{count} points")
    for width, color in SHOWN.items():
        prediction = findings.widths[width].predict(LINE)
        panels[0].plot(LINE, np.median(prediction, 0), color=color, label=f"{width} hidden")
    panels[0].set(title="more units, finer curves", xlabel="x", ylabel="y (median network)")
    panels[0].legend(ncols=2)
    error = np.stack([training.final for training in findings.widths.values()])  # (widths, S)
    plotting.quantile_band(panels[1], WIDTHS, error, "median, range of seeds", plotting.BLUE, marker="o")
    panels[1].axhline(NOISE**2, color="black", linestyle="--", label="noise floor")
    panels[1].set_xscale("log", base=2)
    panels[1].set_yscale("log")
    panels[1].set_xticks(WIDTHS, [str(width) for width in WIDTHS])
    panels[1].set(xlabel="hidden units", ylabel="mean squared error, test points")
    panels[1].set_title("error against width")
    panels[1].legend()
    return figure


def plot_curves(findings: Findings) -> Figure:
    """Error against epochs for several learning rates, and for several sizes of the minibatches."""
    figure, panels = plotting.new(2, width=7.5)
    groups = {f"{rate:g}": error for rate, error in findings.error_by_rate.items()}, findings.error_by_batches
    for panel, group, title in zip(panels, groups, ("learning rate of Adam", "minibatches"), strict=True):
        for (name, error), color in zip(group.items(), plotting.COLORS, strict=False):
            epochs = range(1, len(error) + 1)
            plotting.quantile_band(panel, epochs, error, name, color, (0.1, 0.5, 0.9), linewidth=1.8)
        panel.axhline(NOISE**2, color="black", linestyle="--", linewidth=1.5)
        panel.set(xlabel="epoch", title=title, yscale="log", xscale="log")
        panel.legend()
    panels[0].set_ylabel("mean squared error, test points")
    return figure


def plot_activations(findings: Findings) -> Figure:
    """The three activations with their formulas, and the functions that networks with them learn."""
    figure, panels = plotting.new(2, width=7.5)
    a = torch.linspace(-4, 4, 200)
    for (name, training), color in zip(findings.activations.items(), plotting.COLORS, strict=False):
        panels[0].plot(a, ACTIVATIONS[name](a), color=color, label=f"{name}: {FORMULAS[name]}")
        plotting.quantile_band(panels[1], WIDE.tolist(), training.predict(WIDE).T, name, color, (0.1, 0.5, 0.9))
    panels[1].plot(WIDE, truth(WIDE), color="black", linestyle="--", label="truth")
    panels[1].axvspan(-1, 1, color=plotting.GRAY, alpha=0.12)
    panels[0].set(xlabel="a", title="activations", ylim=(-1.2, 3.2))
    panels[1].set(xlabel="x (gray: range of the data)", title="fits, and how they extrapolate", ylim=(-3, 3))
    for panel in panels:
        panel.legend()
    return figure


LESSON = Lesson(
    flags=Mlp,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier mlp --points 30, and see which widths overfit",
    metrics=metrics,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("mlp", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
