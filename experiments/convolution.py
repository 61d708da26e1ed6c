"""Convolution (5.1, 5.2): convolutions by hand, with stride, padding and pooling. A convolutional and a dense network
then classify pictures of pendulums. The figures show the result of each kernel, the sizes after stride, padding and
pooling, the feature maps of the trained network, and the number of parameters with the accuracy. The last figure shows
the effect of a shift of the picture: feature maps shift with it (they are equivariant), those of a dense layer do not.

A seed is a network. All networks see the same pictures, each with its own initial weights and its own order.

S seed, n pictures, C channels, H height, W width, k kernel size.
"""

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
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from envs.raster import SIZE, draw, labeled_frames
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models import CNN, MLP, fit
from models.fitting import History, accuracy, cross_entropy, evaluate
from models.streams import stream

CHANNELS = (8, 16, 32)  # of the convolutions; a pooling follows each
HIDDEN = 64
CLASSES = 10  # sectors of the pendulum's angle
NUM_TEST = 1_000  # test pictures
LARGE = 128  # side of the picture that kernels are shown on, pixels
WIDEST = 8  # largest shift, pixels
TRAINING, TEST, DENSE = 380, 381, 382  # random streams

KERNELS = {
    "box blur": np.full((5, 5), 1 / 25),
    "Laplace": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "Sobel, to the right": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "Sobel, downwards": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
}


@dataclass(frozen=True)
class Convolution(Flags):
    """Convolutions by hand, feature maps, parameters, and the effect of a shift of the picture."""

    seeds: Annotated[int, at_least(1)] = 5
    """How many seeds (independent networks) to train."""
    threads: Annotated[int, at_least(1)] = 2
    """Processor threads; convolutions use more than one."""
    frames: Annotated[int, at_least(1)] = 4_000
    """Training pictures."""
    epochs: Annotated[int, at_least(1)] = 10
    """Passes over them."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Learning rate of Adam."""

    @property
    def frames_to_use(self) -> int:
        return min(self.frames, 2_000) if self.quick else self.frames

    @property
    def epochs_to_run(self) -> int:
        return min(self.epochs, 4) if self.quick else self.epochs


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    cnn: CNN  # trained
    test: TensorDataset  # test pictures and their sectors
    histories: dict[str, History]  # of each network
    errors: dict[str, list[float]]  # equivariance error of each layer for shifts by 0, 1, ... pixels
    shifted: dict[str, np.ndarray]  # network -> accuracy on shifted pictures, (shifts, S)
    parameters: dict[str, int]  # of each network

    @property
    def final(self) -> dict[str, np.ndarray]:
        """Test accuracy after the last epoch, (S,), of each network."""
        return {name: history.validation["accuracy"][-1] for name, history in self.histories.items()}


# By hand


def convolve(picture: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Convolution as in deep learning: at each place, the sum of the kernel's weights times the pixels under them.

    (H, W) -> (H', W'), with H' = (H + 2 padding - k) // stride + 1. It is computed as a sum of k x k shifted pictures.
    """
    k = len(kernel)
    padded = np.pad(picture, padding)
    height, width = (side - k + 1 for side in padded.shape)
    places = [(i, j) for i in range(k) for j in range(k)]
    return np.sum([kernel[i, j] * padded[i : i + height : stride, j : j + width : stride] for i, j in places], 0)


def pool(picture: np.ndarray, size: int, function: Callable[..., np.ndarray]) -> np.ndarray:
    """`function` (np.max, np.mean) of each square of `size` x `size` pixels: (H, W) -> (H // size, W // size)."""
    height, width = (side // size for side in picture.shape)
    squares = picture[: height * size, : width * size].reshape(height, size, width, size)
    return function(squares, axis=(1, 3))


def example_picture(size: int = LARGE) -> np.ndarray:
    """A picture of a pendulum in gray, (size, size), from 0 (black) to 1 (white)."""
    return draw(np.array([2.5]), size=size, length=0.75, width=0.25)[0].mean(0) / 255


# Trained networks


def labeled_pictures(seed: int, purpose: int, count: int) -> TensorDataset:
    """Pictures (n, 3 * 32 * 32) in [-0.5, 0.5], and their sectors (n,). Gray is 0, as the padding is."""
    frames, label = labeled_frames(stream(seed, purpose), count)
    return TensorDataset(
        torch.from_numpy(frames).flatten(1).to(torch.get_default_dtype()) / 255 - 0.5, torch.tensor(label)
    )


def layer_parameters(channels: Sequence[int] = CHANNELS, kernel_size: int = 3) -> dict[str, tuple[int, int]]:
    """Number of parameters of each layer as a convolution, and as a dense layer with the same inputs and outputs."""
    counts, side = {}, SIZE
    for layer, (a, b) in enumerate(zip((3, *channels), channels, strict=False), 1):
        pixels = side**2
        counts[f"layer {layer}: {a} to {b} maps, {side} x {side}"] = (
            b * (a * kernel_size**2 + 1),
            b * pixels * (a * pixels + 1),
        )
        side //= 2
    return counts


def count_parameters(network: nn.Module) -> int:
    """Number of parameters of one replica."""
    return sum(parameter[0].numel() for parameter in network.parameters())


def feature_maps(network: CNN, pictures: Tensor) -> list[Tensor]:
    """Maps of every layer, (S, n, channels, H / 2, W / 2) and so on, for pictures (n, 3, H, W) of any size.

    Only the dense layers depend on the size of the picture. The convolutions can therefore be used in a network for
    another size.
    """
    shape = pictures.shape[1], pictures.shape[2], pictures.shape[3]
    seeds = len(network.convolutions[0].weight)  # type: ignore[arg-type]
    resized = CNN(shape, channels=CHANNELS, hidden=1, seeds=seeds)
    resized.convolutions = network.convolutions
    with torch.no_grad():
        return resized.feature_maps(pictures.expand(seeds, *pictures.shape))


def train(
    network: nn.Module, data: TensorDataset, test: TensorDataset, flags: Convolution, advance: Callable[[], None]
) -> History:
    """Train a network; `advance` is called after each epoch."""
    return fit(
        network,
        data,
        cross_entropy,
        seeds=flags.all_seeds,
        epochs=flags.epochs_to_run,
        learning_rate=flags.learning_rate,
        validation=test,
        metrics={"accuracy": accuracy},
        callback=lambda *_: advance(),
    )


# Shifted pictures


def equivariance_error(maps: np.ndarray, shifted: np.ndarray, cells: int, border: int) -> float:
    """Difference between the maps of a shifted picture and the shifted maps, relative to the variation within a map.

    Maps are (..., H, W). `shifted` are those of the picture shifted to the left by `cells` cells of a map. A `border`
    of cells is left out, because they depend on the edge of the picture. 0 is perfect equivariance; unrelated maps give
    about the square root of 2.
    """
    height, width = maps.shape[-2:]
    rows, columns = slice(border, height - border), slice(border, width - border - cells)
    difference = maps[..., rows, cells:][..., columns] - shifted[..., rows, columns]
    spread = maps - maps.mean((-2, -1), keepdims=True)
    return float(np.sqrt(np.mean(difference**2) / np.mean(spread**2)))


def measure_equivariance(network: CNN, seed: int) -> dict[str, list[float]]:
    """Equivariance error of each layer for pictures shifted by 0, 1, ... pixels."""
    size, shifts = LARGE + WIDEST, range(WIDEST + 1)
    generator = stream(seed, DENSE)
    angles = generator.uniform(0, 2 * np.pi, 4)
    wide = torch.from_numpy(draw(angles, size=size, length=0.7, width=0.2) / np.float32(255) - 0.5)
    pictures = [wide[..., shift : shift + LARGE] for shift in shifts]
    with torch.no_grad():
        first = network.convolutions[0]
        maps = [first(x.expand(len(first.weight), *x.shape)).numpy() for x in pictures]  # type: ignore[arg-type]
    errors = {"one convolution": [equivariance_error(maps[0], maps[s], s, 2) for s in shifts]}
    layers = list(zip(*([maps.numpy() for maps in feature_maps(network, x)] for x in pictures), strict=True))
    for layer, maps in enumerate(layers, 1):
        cells = [round(s / 2**layer) for s in shifts]
        errors[f"layer {layer}, pooled to 1/{2**layer}"] = [
            equivariance_error(maps[0], maps[s], cells[s], 2) for s in shifts
        ]
    weight = generator.uniform(-1, 1, (SIZE, SIZE, SIZE, SIZE)) / SIZE  # output row, column; input row, column
    gray = [x[:, :, 48 : 48 + SIZE, 48 : 48 + SIZE].numpy().mean(1) for x in pictures]
    dense = [np.einsum("ijkl,nkl->nij", weight, x) for x in gray]
    errors["dense layer"] = [equivariance_error(dense[0], dense[s], s, 2) for s in shifts]
    return errors


def shift_left(pictures: Tensor, shift: int) -> Tensor:
    """Flat pictures (n, 3 * 32 * 32) shifted to the left by `shift` pixels; the last column is repeated at the edge."""
    images = pictures.unflatten(1, (3, SIZE, SIZE))
    return F.pad(images, (0, shift, 0, 0), mode="replicate")[..., shift:].flatten(1)


def accuracy_by_shift(network: nn.Module, data: TensorDataset, seeds: int) -> np.ndarray:
    """Accuracy on pictures shifted by 0, 1, ... pixels, (shifts, S)."""
    pictures, label = data.tensors
    indices = torch.arange(len(pictures)).expand(seeds, -1)
    sets = [TensorDataset(shift_left(pictures, shift), label) for shift in range(WIDEST + 1)]
    measured = [evaluate(network, shifted, {"accuracy": accuracy}, indices) for shifted in sets]
    return np.stack([metrics["accuracy"].numpy() for metrics in measured])


# The lesson


def measure(flags: Convolution) -> Findings:
    data = labeled_pictures(flags.seed, TRAINING, flags.frames_to_use)
    test = labeled_pictures(flags.seed, TEST, NUM_TEST)
    cnn = CNN((3, SIZE, SIZE), CLASSES, channels=CHANNELS, hidden=HIDDEN, seeds=flags.all_seeds)
    networks = {"convolutional": cnn, "dense": MLP(3 * SIZE**2, (HIDDEN,), CLASSES, seeds=flags.all_seeds)}
    histories = {}
    with ProgressBar(len(networks) * flags.epochs_to_run, "training") as progress:
        for name, network in networks.items():
            histories[name] = train(network, data, test, flags, partial(progress.advance, what=name))
    return Findings(
        seeds=flags.all_seeds,
        cnn=cnn,
        test=test,
        histories=histories,
        errors=measure_equivariance(cnn, flags.seed),
        shifted={name: accuracy_by_shift(network, test, flags.seeds) for name, network in networks.items()},
        parameters={name: count_parameters(network) for name, network in networks.items()},
    )


# Output


def forecast(flags: Convolution) -> str:
    seconds = 8 + 1.8e-4 * flags.seeds * flags.frames_to_use * flags.epochs_to_run
    return f"{flags.seeds} seeds, about {duration(seconds)}"


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, history in findings.histories.items():
        for epoch, (train, test) in enumerate(
            zip(history.train["accuracy"], history.validation["accuracy"], strict=True), 1
        ):
            yield epoch, f"{name} accuracy", train, findings.seeds
            yield epoch, f"{name} validation_accuracy", test, findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    return {
        "test_accuracy": {name: [round(float(v), 4) for v in values] for name, values in findings.final.items()},
        "parameters": findings.parameters,
        "layer_parameters": {name: {"convolution": a, "dense": b} for name, (a, b) in layer_parameters().items()},
        "equivariance_error": {name: [round(error, 6) for error in values] for name, values in findings.errors.items()},
        "accuracy_by_shift": {
            name: np.round(values.mean(1, dtype=np.float64), 4).tolist() for name, values in findings.shifted.items()
        },
    }


def table(findings: Findings) -> Table:
    networks = Table("network", "parameters", "test accuracy (range of seeds)", f"shifted by {WIDEST} pixels")
    for name, values in findings.final.items():
        accuracies = f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
        shifted = f"{findings.shifted[name][-1].mean():.3f}"
        networks.add_row(name, f"{findings.parameters[name]:,}", accuracies, shifted)
    return networks


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "kernels": plot_kernels(example_picture()),
        "stride_padding_pooling": plot_sizes(example_picture(SIZE)),
        "feature_maps": plot_feature_maps(findings),
        "parameters": plot_parameters(findings),
        "shifts": plot_shifts(findings),
    }


def show(axes: Axes, picture: np.ndarray, title: str, signed: bool = False, note: str = "") -> None:
    """A picture in gray, or in red and blue around zero."""
    most = float(abs(picture).max()) or 1.0
    limits = {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if signed else {"cmap": "gray"}
    axes.imshow(picture, interpolation="nearest", **limits)  # type: ignore[arg-type]
    axes.set(title=title, xticks=[], yticks=[])
    axes.set_xlabel(note, family="monospace", fontsize=14)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)


def kernel_text(kernel: np.ndarray) -> str:
    """The weights of a small kernel, a line for each row."""
    return "\n".join(" ".join(f"{weight:2.0f}" for weight in row) for row in kernel)


def plot_kernels(picture: np.ndarray) -> Figure:
    """One picture, and its convolutions with kernels by hand."""
    figure, panels = plotting.new(3, 2, width=5, height=5.6)
    show(panels[0], picture, f"a picture, {len(picture)} x {len(picture)} pixels", note="0 black ... 1 white")
    blurred = convolve(picture, KERNELS["box blur"], padding=2)
    show(panels[1], blurred[2:-2, 2:-2], "blur: the mean of 5 x 5 pixels", note="25 weights of 1/25")
    edges = {name: convolve(picture, KERNELS[name]) for name in list(KERNELS)[1:]}
    for panel, (name, convolved) in zip(panels[2:5], edges.items(), strict=True):
        show(panel, convolved, name, signed=True, note=kernel_text(KERNELS[name]))
    magnitude = np.hypot(edges["Sobel, to the right"], edges["Sobel, downwards"])
    show(panels[5], magnitude, "edges: both Sobels combined", note="sqrt(right^2 + down^2)")
    return figure


def plot_sizes(picture: np.ndarray) -> Figure:
    """The size of the result with padding, stride and pooling."""
    figure, panels = plotting.new(3, 2, width=5, height=5.2)
    kernel, n = KERNELS["Sobel, downwards"], len(picture)
    settings = {"no padding": (1, 0), "padding 1: size is kept": (1, 1), "stride 2": (2, 1), "stride 4": (4, 1)}
    for panel, (name, (stride, padding)) in zip(panels, settings.items(), strict=False):
        convolved = convolve(picture, kernel, stride, padding)
        side = len(convolved)
        rule = f"({n} + {2 * padding} - 3) // {stride} + 1 = {side}"
        show(panel, convolved, f"{name}: {side} x {side}", signed=True, note=rule)
    for panel, size, function, name in zip(panels[4:], (4, 4), (np.max, np.mean), ("largest", "mean"), strict=True):
        pooled = pool(1 - picture, size, function)
        rule = f"of the negative: {n} // {size} = {len(pooled)}"
        show(panel, pooled, f"pooling, {name} of {size} x {size}", note=rule)
    return figure


def tiles(maps: np.ndarray, columns: int) -> np.ndarray:
    """Maps (C, H, W), each scaled to 0 ... 1, side by side with gaps."""
    most = maps.max((1, 2), keepdims=True)
    scaled = np.pad(maps / np.where(most > 0, most, 1), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    rows = [np.concatenate(list(row), 1) for row in np.split(scaled, len(scaled) // columns)]
    return np.concatenate(rows)


def plot_feature_maps(findings: Findings) -> Figure:
    """Feature maps of the first seed's network for one picture."""
    picture = findings.test.tensors[0][:1].unflatten(1, (3, SIZE, SIZE))
    figure, panels = plotting.new(2, 2, width=7.5, height=5.6)
    show(panels[0], picture[0].permute(1, 2, 0).numpy() + 0.5, f"a picture, 3 x {SIZE} x {SIZE}")
    for layer, (panel, maps) in enumerate(zip(panels[1:], feature_maps(findings.cnn, picture), strict=True), 1):
        first = maps[0, 0].numpy()  # (C, H, W)
        active = int((first.max((1, 2)) > 0).sum())
        count, height, width = first.shape
        show(panel, tiles(first, columns={8: 4, 16: 4, 32: 8}[count]), "")
        panel.set_title(f"layer {layer}: {count} maps, {height} x {width}, {active} active")
    return figure


def plot_parameters(findings: Findings) -> Figure:
    """Number of parameters of convolutions and of dense layers, and the test accuracy of both networks."""
    figure, panels = plotting.new(2, width=8.2)
    counts, histories = layer_parameters(), findings.histories
    places = np.arange(len(counts))
    for offset, column, color, name in ((-0.2, 0, plotting.BLUE, "convolution"), (0.2, 1, plotting.ORANGE, "dense")):
        values = [pair[column] for pair in counts.values()]
        bars = panels[0].bar(places + offset, values, 0.38, color=color, label=name)
        panels[0].bar_label(bars, [f"{value:,}" for value in values], fontsize=12)
    panels[0].set_xticks(places, [name.replace(": ", "\n").replace(", ", "\n") for name in counts])
    ratio = max(b / a for a, b in counts.values())
    panels[0].set(yscale="log", ylabel="parameters", title=f"a dense layer has up to {ratio:,.0f} times as many")
    panels[0].set_ylim(10, 3e9)
    panels[0].legend(loc="upper right", ncols=2)
    for (name, history), color in zip(histories.items(), (plotting.BLUE, plotting.ORANGE), strict=True):
        test_accuracy = history.validation["accuracy"]
        epochs = list(range(1, len(test_accuracy) + 1))
        label = f"{name}, {findings.parameters[name]:,} parameters"
        plotting.mean_band(panels[1], epochs, test_accuracy, label, color, marker="o")
    ends = [f"{name} {values.mean():.2f}" for name, values in findings.final.items()]
    panels[1].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label="chance")
    panels[1].set(title="whole networks: " + ", ".join(ends), xlabel="epochs", ylim=(0, 1.03))
    panels[1].set_ylabel("accuracy, test pictures")
    panels[1].legend(loc="lower right", bbox_to_anchor=(1, 0.11))
    return figure


def plot_shifts(findings: Findings) -> Figure:
    """Equivariance error and accuracy against the shift of the picture."""
    figure, panels = plotting.new(2, width=8.2, height=5.6)
    errors, shifted = findings.errors, findings.shifted
    shifts = list(range(WIDEST + 1))
    colors = (plotting.BLUE, plotting.SKY, plotting.GREEN, plotting.PURPLE, plotting.ORANGE)
    for (name, values), color, marker in zip(errors.items(), colors, "os^Dv", strict=True):
        panels[0].plot(shifts, values, color=color, marker=marker, label=name)
    best, worst = (max(errors[name]) for name in ("one convolution", "dense layer"))
    title = f"equivariant: a convolution (error {best:.1g}), not a dense layer ({worst:.1f})"
    panels[0].set(title=title, xlabel="shift of the picture, pixels", ylabel="equivariance error (0: perfect)")
    panels[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    for (name, values), color in zip(shifted.items(), (plotting.BLUE, plotting.ORANGE), strict=True):
        plotting.mean_band(panels[1], shifts, values, name, color, marker="o")
    losses = [f"{name} {values[0].mean() - values[-1].mean():.2f}" for name, values in shifted.items()]
    panels[1].set(title=f"accuracy lost by a shift of {WIDEST}: " + ", ".join(losses), ylim=(0, 1.03))
    panels[1].set(xlabel="shift of the picture, pixels", ylabel="accuracy, test pictures")
    panels[1].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label="chance")
    panels[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return figure


LESSON = Lesson(
    flags=Convolution,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier convolution --frames 500, and see which network needs more pictures",
    metrics=metrics,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("convolution", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
