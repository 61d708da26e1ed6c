"""Multilayer perceptrons (3.3): their parts, and one-dimensional regression over widths, epochs, rates and batches.

The seeds of a width train side by side, and so do all learning rates: a rate is a number of its replica.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch.utils.data import TensorDataset

from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from models import MLP, SGD, fit, squared_error
from models.networks import ACTIVATIONS

NOISE = 0.1
FORMULAS = {"sigmoid": "1 / (1 + exp(-a))", "tanh": "tanh(a)", "relu": "max(0, a)"}
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
RATES = (1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True)
class Mlp(Flags):
    """The parts of a multilayer perceptron, and what width, epochs, rate and batches do."""

    points: int = 200
    """Training points."""
    epochs: int = 600
    """Passes over the training points."""
    learning_rate: float = 1e-2
    """Of Adam, where rates are not compared."""


def truth(x: np.ndarray) -> np.ndarray:
    """One and a half waves on a slope, x in [-1, 1]."""
    return np.sin(1.5 * np.pi * x) + 0.5 * x


def sample(generator: np.random.Generator, count: int) -> TensorDataset:
    x = generator.uniform(-1, 1, (count, 1))
    y = truth(x) + NOISE * generator.standard_normal((count, 1))
    return TensorDataset(*(torch.tensor(part, dtype=torch.get_default_dtype()) for part in (x, y)))


def shapes_of(network: MLP) -> Table:
    """The network's parameters, layer by layer, as one replica holds them."""
    table = Table("layer", "weights", "biases", "parameters", title="The 3-32-2 network: y = W2 tanh(W1 x + b1) + b2")
    for name, layer in (("hidden", network.hidden[0]), ("output", network.out)):
        weight, bias = layer.weight[0], layer.bias[0]  # type: ignore[union-attr,index]
        table.add_row(name, f"{tuple(weight.T.shape)}", f"{tuple(bias.shape)}", str(weight.numel() + bias.numel()))
    return table


def mlp(flags: Mlp) -> None:
    if flags.points < 2 or flags.epochs < 2:
        raise UsageError(f"--points, --epochs: found {flags.points}, {flags.epochs}, expected at least 2 of each")
    if not flags.learning_rate > 0:
        raise UsageError(f"--learning-rate: found {flags.learning_rate}, expected a number above 0")
    epochs = min(flags.epochs, 150) if flags.quick else flags.epochs
    run = Run("mlp", flags)
    console.print(f"mlp: {flags.seeds} seeds, about {duration(0.014 * epochs * (6 + flags.seeds))}", highlight=False)
    console.print(shapes_of(MLP(3, (32,), 2, activation="tanh", seeds=1)))
    console.print("Activations: " + ", ".join(f"{name}(a) = {formula}" for name, formula in FORMULAS.items()))
    generator = np.random.default_rng(flags.seed)
    data, fresh = sample(generator, flags.points), sample(generator, 1_000)
    runs = len(WIDTHS) + 1 + len(FORMULAS) + 3
    grid = list(range(flags.seed, flags.seed + flags.seeds * len(RATES)))  # replicas: the seeds of each rate in turn

    with ProgressBar(runs * epochs, "training") as progress:

        def train(
            what: str, width: int = 32, activation: Any = "tanh", seeds: list[int] | None = None, **options: Any
        ) -> tuple[MLP, np.ndarray]:
            """One network of every seed; its validation error after each epoch, (E, S)."""
            seeds = seeds or flags.all_seeds
            network = MLP(1, (width,), 1, activation=activation, seeds=seeds)
            settings = {"learning_rate": flags.learning_rate, "epochs": epochs, "batch_size": 50, **options}
            history = fit(
                network,
                data,
                squared_error,
                seeds=seeds,
                validation=fresh,
                callback=lambda *_: progress.advance(what=what),
                **settings,
            )
            error = history.validation["loss"]
            run.log(epochs, what, error[-1], seeds)
            return network, error

        widths = {width: train(f"width {width}", width) for width in WIDTHS}
        columns = np.split(train("rates", seeds=grid, learning_rate=np.repeat(RATES, flags.seeds))[1], len(RATES), 1)
        rates = dict(zip(RATES, columns, strict=True))
        kinds = {name: train(name, activation=name) for name in FORMULAS}
        batches = {
            "Adam, batches of 50": widths[32][1],
            "SGD, batches of 10": train("SGD 10", optimizer=SGD, learning_rate=0.1, batch_size=10)[1],
            "SGD, batches of 50": train("SGD 50", optimizer=SGD, learning_rate=0.1)[1],
            "gradient descent, all 200 at once" if flags.points == 200 else "gradient descent, all at once": train(
                "all", optimizer=SGD, learning_rate=0.1, batch_size=None
            )[1],
        }

    run.figure(draw_widths(widths, data, flags.seeds), "widths")
    run.figure(draw_curves(rates, batches), "rates_and_batches")
    run.figure(draw_activations(kinds), "activations")
    mse = {width: error[-1] for width, (_, error) in widths.items()}
    result = {
        "mse_by_width": {str(width): round(float(np.median(value)), 5) for width, value in mse.items()},
        "mse_by_rate": {f"{rate:g}": round(float(np.median(error[-1])), 5) for rate, error in rates.items()},
        "mse_by_activation": {name: round(float(np.median(error[-1])), 5) for name, (_, error) in kinds.items()},
        "mse_by_batches": {name: round(float(np.median(error[-1])), 5) for name, error in batches.items()},
        "noise": NOISE**2,
    }
    run.finish(result)
    table = Table("width", "parameters", "MSE on new points, over the noise's 0.01 (median, worst seed)")
    for width, value in mse.items():
        table.add_row(str(width), str(3 * width + 1), f"{np.median(value) / 0.01:.2f}, {value.max() / 0.01:.2f}")
    run.close(table, "balancier mlp --points 30, and see which widths overfit")


def draw_widths(widths: dict[int, tuple[MLP, np.ndarray]], data: TensorDataset, seeds: int) -> Any:
    """What networks of several widths learn, and their error against the width."""
    figure, panels = plotting.new(2, width=7.5)
    x, y = (tensor[:, 0].numpy() for tensor in data.tensors)
    panels[0].plot(x, y, ".", color=plotting.GRAY, alpha=0.5, label=f"{len(x)} points")
    line = torch.linspace(-1, 1, 300)[:, None]
    for width, color in zip(
        (1, 2, 4, 32), (plotting.PURPLE, plotting.YELLOW, plotting.GREEN, plotting.BLUE), strict=True
    ):
        with torch.no_grad():
            found = widths[width][0](line.expand(seeds, -1, -1))[..., 0].numpy()
        panels[0].plot(line[:, 0], np.median(found, 0), color=color, label=f"{width} hidden")
    panels[0].set(title="more units, finer curves", xlabel="x", ylabel="y (median network)")
    panels[0].legend(ncols=2)
    error = np.stack([value[-1] for _, value in widths.values()])  # (widths, S)
    low, middle, high = np.quantile(error, [0, 0.5, 1], 1)
    plotting.band(panels[1], list(widths), low, middle, high, "median, range of seeds", plotting.BLUE, marker="o")
    panels[1].axhline(NOISE**2, color="black", linestyle="--", label="noise floor")
    panels[1].set_xscale("log", base=2)
    panels[1].set_yscale("log")
    panels[1].set_xticks(list(widths), [str(width) for width in widths])
    panels[1].set(xlabel="hidden units", ylabel="mean squared error, new points")
    panels[1].set_title("error against width")
    panels[1].legend()
    return figure


def draw_curves(rates: dict[float, np.ndarray], batches: dict[str, np.ndarray]) -> Any:
    """Validation error against epochs for learning rates and for ways to cut the data."""
    figure, panels = plotting.new(2, width=7.5)
    groups = {f"{rate:g}": error for rate, error in rates.items()}, batches
    for panel, group, title in zip(panels, groups, ("learning rate of Adam", "minibatches"), strict=True):
        for (name, error), color in zip(group.items(), plotting.COLORS, strict=False):
            low, middle, high = np.quantile(error, [0.1, 0.5, 0.9], 1)
            plotting.band(panel, range(1, len(error) + 1), low, middle, high, name, color, linewidth=1.8)
        panel.axhline(NOISE**2, color="black", linestyle="--", linewidth=1.5)
        panel.set(xlabel="epoch", title=title, yscale="log", xscale="log")
        panel.legend()
    panels[0].set_ylabel("mean squared error, new points")
    return figure


def draw_activations(kinds: dict[str, tuple[MLP, np.ndarray]]) -> Any:
    """The three activations with their formulas, and what a network of each learns."""
    figure, panels = plotting.new(2, width=7.5)
    a, line = torch.linspace(-4, 4, 200), torch.linspace(-1.5, 1.5, 300)[:, None]
    for name, color in zip(FORMULAS, plotting.COLORS, strict=False):
        panels[0].plot(a, ACTIVATIONS[name](a), color=color, label=f"{name}: {FORMULAS[name]}")
        network = kinds[name][0]
        with torch.no_grad():
            found = network(line.expand(len(network.hidden[0].weight), -1, -1))[..., 0].numpy()  # type: ignore[arg-type]
        low, middle, high = np.quantile(found, [0.1, 0.5, 0.9], 0)
        plotting.band(panels[1], line[:, 0].tolist(), low, middle, high, name, color)
    panels[1].plot(line[:, 0], truth(line[:, 0].numpy()), color="black", linestyle="--", label="truth")
    panels[1].axvspan(-1, 1, color=plotting.GRAY, alpha=0.12)
    panels[0].set(xlabel="a", title="activations", ylim=(-1.2, 3.2))
    panels[1].set(xlabel="x (gray: where there were data)", title="fits, and how each one extrapolates", ylim=(-3, 3))
    for panel in panels:
        panel.legend()
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("mlp", Mlp, mlp, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
