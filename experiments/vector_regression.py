"""Two outputs from two inputs (exercise 3.b): a multilayer perceptron learns y = [sqrt(x1 + x2), x2^3] from noisy
points. The figures show the loss of both outputs against the epochs, down to the noise floor, and the learned
functions beside the true ones.

The inputs are uniform, x1 in [-1, 1] and x2 in [1, 4], and each output has normal noise with standard deviation 0.1.
Nobody can predict noise. So even the best possible network has a mean squared error of 0.1^2 = 0.01 in each output:
this is the noise floor. Adam starts with a learning rate of 1e-3 and ends with 2e-4. The activation is
tanh: the functions are smooth, and networks with ReLU are made of straight pieces and need more epochs for the cube.

A seed decides the initial weights of one network and the order of its training points. The networks of all seeds train
side by side on the same points.

S seed, n points, E epochs.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from balancier import N_, _
from envs.datasets import Standardize
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, UsageError, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models import MLP, History, fit
from models.fitting import drop

NOISE = 0.1
OUTPUTS = (N_("square root"), N_("cube"))
TEST_POINTS = 20_000
LINE = np.linspace(1, 4, 200)  # x2 where the learned functions are drawn; x1 is 0


@dataclass(frozen=True)
class VectorRegression(Flags):
    """Two outputs from two inputs: loss curves down to the noise floor."""

    points: Annotated[int, at_least(2)] = 2_000
    """Training points."""
    validation_points: Annotated[int, at_least(2)] = 500
    """Validation points."""
    epochs: Annotated[int, at_least(2)] = 500
    """Passes over the training points."""
    drop_at: int = 350
    """Epoch at which the learning rate falls from 1e-3 to 2e-4."""
    hidden: Annotated[tuple[int, ...], at_least(1)] = (64, 64)
    """Sizes of the hidden layers."""

    @property
    def epochs_to_run(self) -> int:
        return min(self.epochs, 150) if self.quick else self.epochs

    @property
    def drop_epoch(self) -> int:
        return self.drop_at * self.epochs_to_run // self.epochs


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    drop_epoch: int
    history: History
    ratio: np.ndarray  # (S, 2), mean squared error on test points over the noise floor
    prediction: np.ndarray  # (S, points of LINE, 2)


# Data and network


def truth(x: np.ndarray) -> np.ndarray:
    """Both outputs without noise: (n, 2) -> (n, 2)."""
    return np.stack([np.sqrt(x[:, 0] + x[:, 1]), x[:, 1] ** 3], 1)


def sample(generator: np.random.Generator, count: int) -> TensorDataset:
    """Inputs and noisy outputs, (count, 2) each."""
    x = np.stack([generator.uniform(-1, 1, count), generator.uniform(1, 4, count)], 1)
    y = truth(x) + NOISE * generator.standard_normal((count, 2))
    return TensorDataset(as_tensor(x), as_tensor(y))


def as_tensor(x: np.ndarray) -> Tensor:
    return torch.tensor(x, dtype=torch.get_default_dtype())


def line_inputs() -> np.ndarray:
    return np.stack([np.zeros_like(LINE), LINE], 1)


def standardizer(x: Tensor) -> Standardize:
    """Mean and standard deviation of each column, x (n, F)."""
    return Standardize(x.mean(0), x.std(0))


class OnStandardized(nn.Module):
    """S networks that compute with standardized inputs and outputs; callers pass and get the original units."""

    def __init__(self, network: nn.Module, inputs: Standardize, outputs: Standardize):
        super().__init__()
        self.network, self.inputs, self.outputs = network, inputs, outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs.undo(self.network(self.inputs.apply(x)))


def error_of(index: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A metric: the mean squared error of one output, (S,)."""
    return lambda output, target: (output[..., index] - target[..., index]).square().mean(1)


def measure(flags: VectorRegression) -> Findings:
    generator = np.random.default_rng(flags.seed)
    data, validation, test = (sample(generator, n) for n in (flags.points, flags.validation_points, TEST_POINTS))
    network = MLP(2, flags.hidden, 2, activation="tanh", seeds=flags.all_seeds)
    network = OnStandardized(network, *(standardizer(tensor) for tensor in data.tensors))
    with ProgressBar(flags.epochs_to_run, _("training")) as progress:
        history = fit(
            network,
            data,
            seeds=flags.all_seeds,
            epochs=flags.epochs_to_run,
            schedule=drop({flags.drop_epoch: 0.2}),
            validation=validation,
            metrics={name: error_of(index) for index, name in enumerate(OUTPUTS)},
            callback=lambda *__: progress.advance(),
        )
    x, y = test.tensors
    with torch.no_grad():
        error = (network(x.expand(flags.seeds, -1, -1)) - y).square().mean(1)  # (S, 2)
        prediction = network(as_tensor(line_inputs()).expand(flags.seeds, -1, -1))
    return Findings(flags.all_seeds, flags.drop_epoch, history, (error / NOISE**2).numpy(), prediction.numpy())


# Output


def check(flags: VectorRegression) -> None:
    if not 0 < flags.drop_at <= flags.epochs:
        expected = f"1 to {flags.epochs}, the number of epochs"
        raise UsageError(f"--drop-at: found {flags.drop_at}, expected {expected}")


def forecast(flags: VectorRegression) -> str:
    seconds = 2 + 8e-5 * flags.epochs_to_run * flags.points / 32 * (5 + flags.seeds)
    return _(
        "{seeds} seeds, {epochs} epochs, about {time}",
        seeds=flags.seeds,
        epochs=flags.epochs_to_run,
        time=duration(seconds),
    )


def metrics(findings: Findings) -> Iterable[Metric]:
    history = findings.history
    for name, curve in {**history.train, **{f"validation {k}": v for k, v in history.validation.items()}}.items():
        for epoch, values in enumerate(curve):
            yield epoch + 1, name, values, findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    return {
        "mse_over_noise": [round(float(ratio), 4) for ratio in findings.ratio.mean(0)],
        "per_seed": findings.ratio.round(4).tolist(),
    }


def table(findings: Findings) -> Table:
    columns = _("MSE / noise floor ({count:,} test points)", count=TEST_POINTS), _("best seed"), _("worst seed")
    table = Table(_("output"), *columns)
    for name, ratio in zip(OUTPUTS, findings.ratio.T, strict=True):
        table.add_row(_(name), f"{ratio.mean():.3f}", f"{ratio.min():.3f}", f"{ratio.max():.3f}")
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"loss": plot_losses(findings), "fit": plot_fit(findings)}


def plot_losses(findings: Findings) -> Figure:
    """Mean squared error of each output against epochs, on training and validation points, above the noise floor."""
    root, cube = findings.ratio.mean(0)
    figure, panels = plotting.slide(
        _(
            "Errors end at {root:.2f} (square root) and {cube:.2f} (cube) times the noise floor (test points);\n"
            "after the drop of the learning rate they shake less",
            root=root,
            cube=cube,
        ),
        2,
    )
    history = findings.history
    for panel, name in zip(panels, OUTPUTS, strict=True):
        for label, curves, color in (
            (_("training"), history.train, plotting.BLUE),
            (_("validation"), history.validation, plotting.ORANGE),
        ):
            epochs = range(1, len(curves[name]) + 1)
            plotting.quantile_band(panel, epochs, curves[name], label, color, linewidth=1.8)
        panel.axhline(NOISE**2, color="black", linestyle="--", label=_("noise floor, {error:g}", error=NOISE**2))
        label = _("learning rate 1e-3 to 2e-4")
        panel.axvline(findings.drop_epoch, color=plotting.GRAY, linestyle=":", label=label)
        title = _("{output} (median and range of {seeds} seeds)", output=_(name), seeds=len(findings.seeds))
        panel.set(yscale="log", xlabel=_("epoch"), title=title)
    panels[0].set_ylabel(_("mean squared error"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def plot_fit(findings: Findings) -> Figure:
    """Both functions of x2 at x1 = 0: the truth and the networks of all seeds."""
    distance = np.abs(findings.prediction - truth(line_inputs())).max((0, 1))  # (2,)
    figure, panels = plotting.slide(
        _(
            "One network learns both outputs: on this line, the {count} networks are wrong\n"
            "by {root:.2f} (square root) and {cube:.2f} (cube) at most",
            count=len(findings.seeds),
            root=distance[0],
            cube=distance[1],
        ),
        2,
    )
    titles = _("y1 = sqrt(x1 + x2), at x1 = 0"), _("y2 = x2 cubed, at x1 = 0")
    for index, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        panel.plot(LINE, findings.prediction[..., index].T, color=plotting.BLUE, alpha=0.5, linewidth=1.5)
        panel.plot([], [], color=plotting.BLUE, label=_("{count} networks", count=len(findings.seeds)))
        panel.plot(LINE, truth(line_inputs())[:, index], color="black", linestyle="--", label=_("truth"))
        panel.set(xlabel="x2", ylabel=f"y{index + 1}", title=title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


PAGE = Page(
    question=_("Can one network learn two functions of two inputs, as well as the noise of its data allows?"),
    formula=(
        r"$x \in \mathbb{R}^2, \quad x_1 \in [-1, 1], \quad x_2 \in [1, 4]$",
        r"$y = \left[\sqrt{x_1 + x_2}, \; x_2^3\right] + \mathcal{N}(0, 0.1)$",
    ),
    captions={
        "loss": _(
            "The axis is logarithmic (semilog), so that the last small steps toward the noise floor can be seen. "
            "Where the learning rate falls, the bands become narrow: smaller steps stay near the minimum."
        ),
        "fit": _(
            "The learned cubes lie on the true one. The roots, small numbers beside the cubes, are off by a few "
            "hundredths, less than the noise of 0.1 in a single point."
        ),
    },
    what_if=(
        ("balancier vector_regression --points 200", _("the gap between training and validation error grows")),
        ("balancier vector_regression --drop-at 500", _("without the drop of the rate, errors shake until the end")),
        ("balancier vector_regression --hidden 8", _("eight hidden units in one layer are too few for the cube")),
    ),
)

LESSON = Lesson(
    flags=VectorRegression,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier vector_regression --points 200, and see the gap between the curves grow"),
    metrics=metrics,
    check=check,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("vector_regression", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
