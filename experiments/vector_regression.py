"""Two outputs from two inputs with a multilayer perceptron (exercise 3.b), and how far down its loss can go.

y = [sqrt(x1 + x2), x2^3] + N(0, 0.1), x1 in [-1, 1], x2 in [1, 4]; Adam at 1e-3, then 2e-4. Nobody can predict noise,
 so the mean squared error of the best possible network is 0.01 in each output: the noise floor.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from models import MLP, fit
from models.fitting import drop

NOISE = 0.1
OUTPUTS = ("square root", "cube")


@dataclass(frozen=True)
class VectorRegression(Flags):
    """Two outputs from two inputs: loss curves down to the noise floor."""

    points: int = 2_000
    """Training points."""
    validation_points: int = 500
    """Points to validate on."""
    epochs: int = 500
    """Passes over the training points."""
    drop_at: int = 350
    """Epoch at which the learning rate falls from 1e-3 to 2e-4."""
    hidden: tuple[int, ...] = (64, 64)
    """Sizes of the hidden layers."""


def truth(x: np.ndarray) -> np.ndarray:
    """Both outputs without noise: (n, 2) -> (n, 2)."""
    return np.stack([np.sqrt(x[:, 0] + x[:, 1]), x[:, 1] ** 3], 1)


def sample(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and noisy outputs, (count, 2) each."""
    x = np.stack([generator.uniform(-1, 1, count), generator.uniform(1, 4, count)], 1)
    return x, truth(x) + NOISE * generator.standard_normal((count, 2))


class Scaled(nn.Module):
    """A network that sees inputs and gives outputs in the units of the problem, and works in those of its training."""

    def __init__(self, network: nn.Module, x: Tensor, y: Tensor):
        super().__init__()
        self.network = network
        self.x, self.y = ((part.mean(0), part.std(0)) for part in (x, y))

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.x[0]) / self.x[1]) * self.y[1] + self.y[0]


def one_output(index: int):
    """The mean squared error of one output, (S,)."""
    return lambda output, target: (output[..., index] - target[..., index]).square().mean(1)


def vector_regression(flags: VectorRegression) -> None:
    for name in ("points", "validation_points", "epochs"):
        if getattr(flags, name) < 2:
            raise UsageError(f"--{name.replace('_', '-')}: found {getattr(flags, name)}, expected at least 2")
    epochs, drop_at = (150, 105) if flags.quick else (flags.epochs, flags.drop_at)
    if not 0 < drop_at <= epochs:
        raise UsageError(f"--drop-at: found {drop_at}, expected 1 to {epochs}, the number of epochs")
    run = Run("vector_regression", flags)
    cost = 4e-5 * epochs * flags.points / 32 * (5 + flags.seeds)
    console.print(f"vector_regression: {flags.seeds} seeds, {epochs} epochs, about {duration(cost)}", highlight=False)
    generator = np.random.default_rng(flags.seed)
    data, validation, fresh = (
        TensorDataset(*(torch.tensor(part, dtype=torch.get_default_dtype()) for part in sample(generator, count)))
        for count in (flags.points, flags.validation_points, 20_000)
    )
    network = Scaled(MLP(2, flags.hidden, 2, seeds=flags.all_seeds), *data.tensors)
    metrics = {name: one_output(index) for index, name in enumerate(OUTPUTS)}
    with ProgressBar(epochs, "training") as progress:
        history = fit(
            network,
            data,
            seeds=flags.all_seeds,
            epochs=epochs,
            schedule=drop({drop_at: 0.2}),
            validation=validation,
            metrics=metrics,
            callback=lambda epoch, _: progress.advance(),
        )
    for name, values in {**history.train, **{f"validation {k}": v for k, v in history.validation.items()}}.items():
        for epoch, row in enumerate(values):
            run.log(epoch + 1, name, row)
    x, y = fresh.tensors
    with torch.no_grad():
        error = (network(x.expand(flags.seeds, -1, -1)) - y).square().mean(1)  # (S, 2)
    ratio = (error / NOISE**2).numpy()
    run.figure(draw_losses(history, drop_at), "loss")
    run.figure(draw_fit(network, flags.seeds), "fit")
    run.finish({"mse_over_noise": [round(float(v), 4) for v in ratio.mean(0)], "per_seed": ratio.round(4).tolist()})
    table = Table("output", "MSE / noise (20,000 new points)", "best seed", "worst seed")
    for index, name in enumerate(OUTPUTS):
        column = ratio[:, index]
        table.add_row(name, f"{column.mean():.3f}", f"{column.min():.3f}", f"{column.max():.3f}")
    run.close(table, "balancier vector_regression --points 200, and see the gap open between the curves")


def draw_losses(history: Any, drop_at: int) -> Any:
    """Mean squared error of each output against epochs, on training and new points, above the noise floor."""
    figure, panels = plotting.new(2, width=7.5)
    for panel, name in zip(panels, OUTPUTS, strict=True):
        for part, color in (("train", plotting.BLUE), ("validation", plotting.ORANGE)):
            rows = getattr(history, part)[name]
            low, middle, high = np.quantile(rows, [0, 0.5, 1], 1)
            plotting.band(panel, range(1, len(rows) + 1), low, middle, high, part, color, linewidth=1.8)
        panel.axhline(NOISE**2, color="black", linestyle="--", label="noise floor")
        panel.axvline(drop_at, color=plotting.GRAY, linestyle=":", label="rate 1e-3 to 2e-4")
        panel.set_yscale("log")
        panel.set_xlabel("epoch")
        final = np.median(history.validation[name][-1]) / NOISE**2
        panel.set_title(f"{name}: ends at {final:.2f} times the noise")
    panels[0].set_ylabel("mean squared error")
    panels[1].legend()
    return figure


def draw_fit(network: nn.Module, seeds: int) -> Any:
    """The two functions along one input, truth and all seeds."""
    figure, panels = plotting.new(2, width=7.5)
    line = np.linspace(1, 4, 200)
    for panel, index, name in zip(panels, (0, 1), ("sqrt(x1 + x2) at x1 = 0", "cube of x2 at x1 = 0"), strict=True):
        x = np.stack([np.zeros_like(line), line], 1)
        with torch.no_grad():
            found = network(torch.tensor(x, dtype=torch.get_default_dtype()).expand(seeds, -1, -1))[..., index].numpy()
        panel.plot(line, found.T, color=plotting.BLUE, alpha=0.5, linewidth=1.5)
        panel.plot([], [], color=plotting.BLUE, label=f"{seeds} networks")
        panel.plot(line, truth(x)[:, index], color="black", linestyle="--", label="truth")
        panel.set_xlabel("x2")
        panel.set_title(name)
    panels[0].legend()
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("vector_regression", VectorRegression, vector_regression, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
