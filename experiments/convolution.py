"""Convolution (5.1, 5.2): a picture as three matrices, kernels that are written by hand, and kernels that a network
learns. The figures show what a flat vector loses of a picture, kernels on one picture, how stride, padding and pooling
change its size, the feature maps of a network, the parameters of convolutional and dense layers, and the effect of a
shift of the picture.

Two networks learn the sector that a pendulum points into from pictures of 3 x 32 x 32 pixels: a convolutional network
and a dense one (a multilayer perceptron). There are ten sectors, so chance has an accuracy of 0.1. A layer is
equivariant if a shift of its input shifts its output and changes nothing else. Both networks learn once more from
pictures whose pixels are shuffled, all in one order: a flat vector has lost which pixels are neighbors, so a dense
network does not notice.

A seed decides the initial weights of one network and the order of its training pictures. The networks of all seeds
learn from the same pictures.

S seed, n pictures, C channels, H height, W width, k kernel size, E epochs.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from envs.raster import SIZE, draw, labeled_frames
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models import CNN, MLP, fit
from models.fitting import History, accuracy, all_indices, cross_entropy, evaluate
from models.streams import stream

CHANNELS = (8, 16, 32)  # of the convolutions, each followed by a pooling
HIDDEN = 64
TEST_PICTURES = 1_000
LARGE = 128  # side of the picture that kernels are shown on, pixels
WIDEST = 8  # largest shift, pixels
SHIFTS = range(WIDEST + 1)
TRAIN, TEST, DENSE, ORDER = 380, 381, 382, 383  # random streams
COLORS = {"convolutional": plotting.BLUE, "dense": plotting.ORANGE}

KERNELS = {
    "box blur": np.full((5, 5), 1 / 25),
    "Laplace": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "Sobel, to the right": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "Sobel, downwards": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
}


@dataclass(frozen=True)
class Convolution(Flags):
    """Kernels by hand, stride, padding, pooling; feature maps, parameters, and shifted pictures."""

    seeds: Annotated[int, at_least(1)] = 3
    """How many seeds (independent networks) to train."""
    frames: Annotated[int, at_least(1)] = 4_000
    """Training pictures."""
    epochs: Annotated[int, at_least(1)] = 10
    """Passes over the training pictures."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Learning rate of Adam."""

    @property
    def frames_to_run(self) -> int:
        return min(self.frames, 2_000) if self.quick else self.frames

    @property
    def epochs_to_run(self) -> int:
        return min(self.epochs, 4) if self.quick else self.epochs


@dataclass(frozen=True)
class Findings:
    """Numbers of both networks, by "convolutional" and "dense"."""

    seeds: list[int]
    histories: dict[str, History]
    parameters: dict[str, int]
    shuffled_accuracy: dict[str, np.ndarray]  # (S,), of networks that learn from shuffled pixels
    accuracy_by_shift: dict[str, np.ndarray]  # (shifts, S), on shifted test pictures
    equivariance_errors: dict[str, list[float]]  # layer -> error for each shift
    picture: np.ndarray  # (3, H, W), the first test picture
    order: np.ndarray  # (H W,), of the shuffled pixels
    feature_maps: list[np.ndarray]  # of the first seed for this picture, (C, H, W) of each layer

    @property
    def test_accuracy(self) -> dict[str, np.ndarray]:
        """After the last epoch, (S,)."""
        return {name: history.validation["accuracy"][-1] for name, history in self.histories.items()}


# By hand


def convolve(picture: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """A convolution as in deep learning: at each place, the sum of the weights times the pixels under them.

    (H, W) -> (H', W'), H' = (H + 2 padding - k) // stride + 1. It is computed as a sum of k x k shifted pictures.
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


def color_portrait(size: int) -> np.ndarray:
    """One pendulum, (3, size, size), 0 to 1."""
    return draw(np.array([2.5]), size=size, length=0.75, width=0.25)[0] / 255


def portrait(size: int = LARGE) -> np.ndarray:
    """The same in gray, (size, size), 0 black to 1 white."""
    return color_portrait(size).mean(0)


# Networks


def labeled(seed: int, role: int, count: int) -> TensorDataset:
    """Pictures (n, 3 * 32 * 32) in [-0.5, 0.5], so that gray is 0 like the padding, and their sectors (n,)."""
    frames, label = labeled_frames(stream(seed, role), count)
    pictures = torch.from_numpy(frames).flatten(1).to(torch.get_default_dtype()) / 255 - 0.5
    return TensorDataset(pictures, torch.tensor(label))


def shuffled(data: TensorDataset, order: np.ndarray) -> TensorDataset:
    """The same pictures with all pixels in this order (H W,), in every color."""
    pictures, label = data.tensors
    return TensorDataset(pictures.unflatten(1, (3, -1))[..., order].flatten(1), label)


def networks(seeds: Sequence[int]) -> dict[str, torch.nn.Module]:
    """Both networks before training."""
    return {
        "convolutional": CNN((3, SIZE, SIZE), 10, channels=CHANNELS, hidden=HIDDEN, seeds=seeds),
        "dense": MLP(3 * SIZE**2, (HIDDEN,), 10, seeds=seeds),
    }


def layer_parameters(channels: Sequence[int] = CHANNELS, kernel_size: int = 3) -> dict[str, tuple[int, int]]:
    """Parameters of each convolution, and of a dense layer with the same inputs and outputs."""
    counts, side = {}, SIZE
    for layer, (a, b) in enumerate(zip((3, *channels), channels, strict=False), 1):
        pixels = side**2
        counts[f"layer {layer}: {a} to {b} maps, {side} x {side}"] = (
            b * (a * kernel_size**2 + 1),
            b * pixels * (a * pixels + 1),
        )
        side //= 2
    return counts


def parameters(network: torch.nn.Module) -> int:
    """Number of parameters of one replica."""
    return sum(parameter[0].numel() for parameter in network.parameters())


def feature_maps(network: CNN, pictures: Tensor) -> list[Tensor]:
    """Maps of every layer, (S, B, channels, H / 2, W / 2) and so on, for pictures (B, 3, H, W) of any size.

    Only the dense layers depend on the size of the picture. So the convolutions fit into a network for another size.
    """
    shape = pictures.shape[1], pictures.shape[2], pictures.shape[3]
    seeds = len(network.convolutions[0].weight)  # type: ignore[arg-type]
    resized = CNN(shape, channels=CHANNELS, hidden=1, seeds=seeds)
    resized.convolutions = network.convolutions
    with torch.no_grad():
        return resized.feature_maps(pictures.expand(seeds, *pictures.shape))


def equivariance_error(maps: np.ndarray, shifted: np.ndarray, cells: int, border: int) -> float:
    """Distance between the maps of a shifted picture and the shifted maps, relative to the spread of the maps.

    Both maps are (..., H, W); those of the picture that is shifted to the left are `shifted`, and the shift is `cells`
    of the maps. A `border` of cells is left out, because it depends on the edge of the picture. The error is 0 for
    perfect equivariance, and about the square root of 2 for unrelated maps.
    """
    height, width = maps.shape[-2:]
    rows, columns = slice(border, height - border), slice(border, width - border - cells)
    difference = maps[..., rows, cells:][..., columns] - shifted[..., rows, columns]
    spread = maps - maps.mean((-2, -1), keepdims=True)
    return float(np.sqrt(np.mean(difference**2) / np.mean(spread**2)))


def equivariance_errors(network: CNN, seed: int) -> dict[str, list[float]]:
    """Error of each layer for pictures that are shifted by 0, 1, ... pixels."""

    def errors(maps: list[np.ndarray], stride: int) -> list[float]:
        return [equivariance_error(maps[0], maps[shift], round(shift / stride), 2) for shift in SHIFTS]

    generator = stream(seed, DENSE)
    angle = generator.uniform(0, 2 * np.pi, 4)
    wide = torch.from_numpy(draw(angle, size=LARGE + WIDEST, length=0.7, width=0.2) / np.float32(255) - 0.5)
    pictures = [wide[..., shift : shift + LARGE] for shift in SHIFTS]
    with torch.no_grad():
        convolution = network.convolutions[0]
        seeds = len(convolution.weight)  # type: ignore[arg-type]
        first = [convolution(x.expand(seeds, *x.shape)).numpy() for x in pictures]
    by_layer = {"one convolution": errors(first, 1)}
    layers = list(zip(*([maps.numpy() for maps in feature_maps(network, x)] for x in pictures), strict=True))
    for layer, maps in enumerate(layers, 1):
        by_layer[f"layer {layer}, pooled to 1/{2**layer}"] = errors(list(maps), 2**layer)
    weight = generator.uniform(-1, 1, (SIZE, SIZE, SIZE, SIZE)) / SIZE  # output row, column; input row, column
    gray = [x[:, :, 48 : 48 + SIZE, 48 : 48 + SIZE].numpy().mean(1) for x in pictures]
    by_layer["dense layer"] = errors([np.einsum("ijkl,nkl->nij", weight, x) for x in gray], 1)
    return by_layer


def shift_left(pictures: Tensor, shift: int) -> Tensor:
    """Flat pictures (n, 3 * 32 * 32), shifted to the left by `shift` pixels; the last column fills the gap."""
    images = pictures.unflatten(1, (3, SIZE, SIZE))
    return F.pad(images, (0, shift, 0, 0), mode="replicate")[..., shift:].flatten(1)


def accuracy_by_shift(network: torch.nn.Module, data: TensorDataset, num_seeds: int) -> np.ndarray:
    """Accuracy on pictures that are shifted by 0, 1, ... pixels, (shifts, S)."""
    pictures, label = data.tensors
    shifted = [TensorDataset(shift_left(pictures, shift), label) for shift in SHIFTS]
    indices = all_indices(data, num_seeds)
    return np.stack([evaluate(network, part, {"accuracy": accuracy}, indices)["accuracy"].numpy() for part in shifted])


# The lesson


def measure(flags: Convolution) -> Findings:
    data, test = labeled(flags.seed, TRAIN, flags.frames_to_run), labeled(flags.seed, TEST, TEST_PICTURES)
    order = stream(flags.seed, ORDER).permutation(SIZE**2)
    trained, shuffled_test = networks(flags.all_seeds), shuffled(test, order)
    # An epoch of the dense network takes a tenth of one of the convolutional network.
    shares = {"convolutional": 1.0, "dense": 0.1}
    with ProgressBar(2 * sum(shares.values()) * flags.epochs_to_run, "training") as progress:

        def run(name: str, network: torch.nn.Module, data: TensorDataset, test: TensorDataset) -> History:
            return fit(
                network,
                data,
                cross_entropy,
                seeds=flags.all_seeds,
                epochs=flags.epochs_to_run,
                learning_rate=flags.learning_rate,
                validation=test,
                metrics={"accuracy": accuracy},
                callback=lambda *_: progress.advance(shares[name], name),
            )

        histories = {name: run(name, network, data, test) for name, network in trained.items()}
        shuffled_data = shuffled(data, order)
        others = {n: run(n, network, shuffled_data, shuffled_test) for n, network in networks(flags.all_seeds).items()}
    cnn = trained["convolutional"]
    assert isinstance(cnn, CNN)
    picture = test.tensors[0][0].unflatten(0, (3, SIZE, SIZE))
    return Findings(
        seeds=flags.all_seeds,
        histories=histories,
        parameters={name: parameters(network) for name, network in trained.items()},
        shuffled_accuracy={name: history.validation["accuracy"][-1] for name, history in others.items()},
        accuracy_by_shift={name: accuracy_by_shift(network, test, flags.seeds) for name, network in trained.items()},
        equivariance_errors=equivariance_errors(cnn, flags.seed),
        picture=picture.numpy(),
        order=order,
        feature_maps=[maps[0, 0].numpy() for maps in feature_maps(cnn, picture[None])],
    )


def forecast(flags: Convolution) -> str:
    seconds = 8 + 6e-4 * flags.seeds * flags.frames_to_run * flags.epochs_to_run
    return f"{flags.seeds} seeds, about {duration(seconds)}"


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, history in findings.histories.items():
        curves = {"accuracy": history.train["accuracy"], "validation_accuracy": history.validation["accuracy"]}
        for epoch in range(len(curves["accuracy"])):
            for metric, curve in curves.items():
                yield epoch + 1, f"{name} {metric}", curve[epoch], findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    return {
        "test_accuracy": findings.test_accuracy,
        "shuffled_accuracy": findings.shuffled_accuracy,
        "parameters": findings.parameters,
        "layer_parameters": {name: {"convolution": a, "dense": b} for name, (a, b) in layer_parameters().items()},
        "equivariance_error": findings.equivariance_errors,
        "accuracy_by_shift": {
            name: values.mean(1, dtype=np.float64) for name, values in findings.accuracy_by_shift.items()
        },
    }


def table(findings: Findings) -> Table:
    columns = "parameters", "test accuracy (range of seeds)", f"shifted by {WIDEST} pixels", "with shuffled pixels"
    table = Table("network", *columns)
    for name, values in findings.test_accuracy.items():
        tested = f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
        shifted = findings.accuracy_by_shift[name][-1].mean()
        mixed = findings.shuffled_accuracy[name].mean()
        table.add_row(name, f"{findings.parameters[name]:,}", tested, f"{shifted:.3f}", f"{mixed:.3f}")
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "rgb": plot_rgb(findings, color_portrait(SIZE)),
        "kernels": plot_kernels(portrait()),
        "stride_padding_pooling": plot_sizes(1 - portrait(SIZE)),
        "feature_maps": plot_feature_maps(findings),
        "parameters": plot_parameters(findings),
        "shifts": plot_shifts(findings),
    }


def plot_picture(axes: Axes, picture: np.ndarray, title: str, signed: bool = False, note: str = "") -> None:
    """A picture in gray; with signs, in red and blue around zero."""
    most = float(abs(picture).max()) or 1.0
    limits = {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if signed else {"cmap": "gray"}
    axes.imshow(picture, interpolation="nearest", **limits)  # type: ignore[arg-type]
    axes.set(title=title, xticks=[], yticks=[])
    axes.set_xlabel(note, family="monospace", fontsize=14)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)


def kernel_text(kernel: np.ndarray) -> str:
    """The weights of a small kernel."""
    return "\n".join(" ".join(f"{weight:2.0f}" for weight in row) for row in kernel)


def plot_rgb(findings: Findings, picture: np.ndarray) -> Figure:
    """A picture and its three matrices; the same pixels in another order, and what both networks make of that."""
    before = {name: values.mean() for name, values in findings.test_accuracy.items()}
    after = {name: values.mean() for name, values in findings.shuffled_accuracy.items()}
    figure, panels = plotting.slide(
        "A flat vector loses which pixels are neighbors: with shuffled pixels the convolutional network\n"
        f"falls from {before['convolutional']:.2f} to {after['convolutional']:.2f}, "
        f"the dense one does not notice ({before['dense']:.2f} and {after['dense']:.2f})",
        3,
        2,
    )
    title = f"a picture, 3 x {SIZE} x {SIZE}"
    plot_picture(panels[0], picture.transpose(1, 2, 0), title, note=f"flat: {picture.size:,} numbers")
    for panel, name, matrix in zip(panels[1:4], ("red", "green", "blue"), picture, strict=True):
        row, column = SIZE - 10, 10  # a pixel of the rod
        note = f"row {row}, column {column}: {matrix[row, column]:.2f}"
        plot_picture(panel, matrix, f"its {name} matrix", note=note)
    mixed = picture.reshape(3, -1)[:, findings.order].reshape(picture.shape)
    plot_picture(panels[4], mixed.transpose(1, 2, 0), "the same pixels, shuffled", note="flat: the same numbers")
    places = np.arange(len(before))
    for offset, values, color, label in (
        (-0.2, before, plotting.BLUE, "pictures"),
        (0.2, after, plotting.ORANGE, "shuffled"),
    ):
        bars = panels[5].bar(places + offset, list(values.values()), 0.38, color=color, label=label)
        panels[5].bar_label(bars, [f"{value:.2f}" for value in values.values()], fontsize=14)
    panels[5].set_xticks(places, list(before))
    panels[5].set(ylim=(0, 1.25), ylabel="test accuracy")
    panels[5].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label="chance")
    panels[5].grid(False)
    panels[5].legend(loc="upper right", ncols=3, columnspacing=0.8, handlelength=1.2)
    return figure


def plot_kernels(picture: np.ndarray) -> Figure:
    """One picture, and the outputs of kernels that are written by hand."""
    figure, panels = plotting.slide(
        "A kernel is a small matrix of weights: these four blur a picture or find its edges\n"
        "(red above zero, blue below, white zero)",
        3,
        2,
    )
    plot_picture(panels[0], picture, f"a picture, {len(picture)} x {len(picture)} pixels", note="0 black ... 1 white")
    blurred = convolve(picture, KERNELS["box blur"], padding=2)
    plot_picture(panels[1], blurred[2:-2, 2:-2], "box blur: mean of 5 x 5", note="25 weights of 1/25")
    edges = {name: convolve(picture, KERNELS[name]) for name in list(KERNELS)[1:]}
    for panel, (name, output) in zip(panels[2:5], edges.items(), strict=True):
        plot_picture(panel, output, name, signed=True, note=kernel_text(KERNELS[name]))
    magnitude = np.hypot(edges["Sobel, to the right"], edges["Sobel, downwards"])
    plot_picture(panels[5], magnitude, "length of both Sobels", note="sqrt(right^2 + down^2)")
    return figure


def plot_sizes(picture: np.ndarray) -> Figure:
    """The size of the output with padding, stride and pooling; the background of the picture is 0, as the padding."""
    kernel, n = "Sobel, downwards", len(picture)
    figure, panels = plotting.slide(
        f"{n} x {n} pixels: padding 1 keeps the size, stride 2 halves it, pooling over 4 x 4 leaves {n // 4}\n"
        f"(kernel of the first four: {kernel}, 3 x 3; red above zero, blue below)",
        3,
        2,
    )
    settings = {"no padding": (1, 0), "padding 1": (1, 1), "padding 1, stride 2": (2, 1), "padding 1, stride 4": (4, 1)}
    for panel, (name, (stride, padding)) in zip(panels, settings.items(), strict=False):
        output = convolve(picture, KERNELS[kernel], stride, padding)
        rule = f"({n} + {2 * padding} - 3) // {stride} + 1 = {len(output)}"
        plot_picture(panel, output, f"{name}: {len(output)} x {len(output)}", signed=True, note=rule)
    for panel, function, name in zip(panels[4:], (np.max, np.mean), ("largest", "mean"), strict=True):
        output = pool(picture, 4, function)
        title = f"pooling, {name} of 4 x 4: {len(output)} x {len(output)}"
        plot_picture(panel, output, title, note=f"{n} // 4 = {len(output)}")
    return figure


def tiles(maps: np.ndarray, columns: int) -> np.ndarray:
    """Maps (n, H, W), each scaled to 0 ... 1, side by side with gaps."""
    most = maps.max((1, 2), keepdims=True)
    scaled = np.pad(maps / np.where(most > 0, most, 1), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    rows = [np.concatenate(list(row), 1) for row in np.split(scaled, len(scaled) // columns)]
    return np.concatenate(rows)


def plot_feature_maps(findings: Findings) -> Figure:
    """Feature maps of every layer of the first seed's network, for one picture."""
    sizes = [maps.shape for maps in findings.feature_maps]
    steps = ", then ".join(f"{count} maps of {height} x {width}" for count, height, width in sizes)
    figure, panels = plotting.slide(f"Deeper layers have more maps and fewer pixels:\n{steps}", 2, 2)
    plot_picture(panels[0], findings.picture.transpose(1, 2, 0) + 0.5, f"a test picture, 3 x {SIZE} x {SIZE}")
    for layer, (panel, maps) in enumerate(zip(panels[1:], findings.feature_maps, strict=True), 1):
        active = int((maps.max((1, 2)) > 0).sum())
        plot_picture(panel, tiles(maps, columns={8: 4, 16: 8, 32: 8}[len(maps)]), "")
        panel.set_title(f"layer {layer}: {len(maps)} maps, {active} of them not zero")
    return figure


def plot_parameters(findings: Findings) -> Figure:
    """Parameters of convolutions and of dense layers, and the accuracy of both networks."""
    counts = layer_parameters()
    ratio = max(b / a for a, b in counts.values())
    tested = {name: values.mean() for name, values in findings.test_accuracy.items()}
    figure, panels = plotting.slide(
        f"A convolution needs up to {ratio:,.0f} times fewer parameters than a dense layer,\n"
        f"and its network is right more often: {tested['convolutional']:.2f} against {tested['dense']:.2f}",
        2,
    )
    places = np.arange(len(counts))
    for offset, column, color, name in ((-0.2, 0, plotting.BLUE, "convolution"), (0.2, 1, plotting.ORANGE, "dense")):
        values = [pair[column] for pair in counts.values()]
        bars = panels[0].bar(places + offset, values, 0.38, color=color, label=name)
        panels[0].bar_label(bars, [f"{value:,}" for value in values], fontsize=13)
    panels[0].set_xticks(places, [name.replace(": ", "\n").replace(", ", "\n") for name in counts])
    panels[0].set(yscale="log", ylabel="parameters", title="layers with the same inputs and outputs")
    panels[0].set_ylim(10, 3e9)
    panels[0].grid(False)
    panels[0].legend(loc="upper right", ncols=2)
    for name, history in findings.histories.items():
        values = history.validation["accuracy"]
        label = f"{name}, {findings.parameters[name]:,} parameters"
        plotting.mean_band(panels[1], range(1, len(values) + 1), values, label, COLORS[name], marker="o")
    panels[1].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label="chance")
    panels[1].set(title="whole networks (mean and range of seeds)", xlabel="epochs", ylim=(0, 1.03))
    panels[1].set_ylabel("accuracy, test pictures")
    panels[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def plot_shifts(findings: Findings) -> Figure:
    """The accuracy of both networks and the equivariance error of each layer, against the shift of the picture."""
    errors, accuracies = findings.equivariance_errors, findings.accuracy_by_shift
    left = {name: values[-1].mean() for name, values in accuracies.items()}
    figure, panels = plotting.slide(
        f"Shifted by {WIDEST} pixels, the convolutional network is still right for {left['convolutional']:.2f} "
        f"of the pictures,\nthe dense one for {left['dense']:.2f}; chance is 0.10",
        2,
    )
    for name, values in accuracies.items():
        plotting.mean_band(panels[0], SHIFTS, values, name, COLORS[name], marker="o")
        panels[0].annotate(f"{left[name]:.2f}", (WIDEST, left[name]), (0, 12), textcoords="offset points", ha="center")
    panels[0].set(xlabel="shift of the picture, pixels", ylabel="accuracy, test pictures", ylim=(0, 1.03))
    panels[0].set_title("whole networks (mean and range of seeds)")
    panels[0].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label="chance")
    colors = (plotting.BLUE, plotting.SKY, plotting.PURPLE, plotting.GRAY, plotting.ORANGE)
    for (name, values), color, marker in zip(errors.items(), colors, "os^Dv", strict=True):
        panels[1].plot(SHIFTS, values, color=color, marker=marker, label=name)
    best, worst = (max(errors[name]) for name in ("one convolution", "dense layer"))
    panels[1].set_title(f"convolution: error {best:.1g}, dense layer: {worst:.1f}")
    panels[1].set(xlabel="shift of the picture, pixels", ylabel="equivariance error (0: perfect)")
    for panel in panels:
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure


PAGE = Page(
    question="Why do networks for pictures use convolutions, and not dense layers on a flat vector?",
    formula=(
        r"$s_{ij} = b + \sum_{c, u, v} w_{cuv} \; x_{c, \, i + u, \, j + v}$ (channels $c$, kernel $u, v$)",
        r"size of the output: $\lfloor (n + 2 \, \mathrm{padding} - k) / \mathrm{stride} \rfloor + 1$",
        r"parameters: $C_{out} (C_{in} k^2 + 1)$ for a convolution, "
        r"$C_{out} n^2 (C_{in} n^2 + 1)$ for a dense layer",
    ),
    captions={
        "rgb": "A color picture is three matrices, one for red, green and blue; the rod is darkest in green and blue. "
        "Shuffling parts the neighbors: the convolutional network loses accuracy, the dense one learns as before.",
        "kernels": "Each output pixel is the sum of kernel weights times the pixels under them. Blur averages, Laplace "
        "marks all edges, and each Sobel marks the edges of one direction.",
        "stride_padding_pooling": "The line below each picture computes its size. Stride and pooling keep the shape of "
        "the rod with far fewer pixels.",
        "feature_maps": "Each layer halves the picture and makes more maps of it. The maps of the first layer still "
        "look like the picture, those of the last say which features are in which of 16 places.",
        "parameters": "Left, with a logarithmic axis: a convolution shares its weights between all places of the "
        "picture. Right: with a fifth of the parameters, the convolutional network learns more from each epoch.",
        "shifts": "Left: compare what is left at the right end, not what was lost; the convolutional network stays "
        "ahead. Right: shifting the input of a convolution only shifts its output; pooling keeps that for whole cells.",
    },
    what_if=(
        ("balancier convolution --frames 500", "from 500 pictures, the convolutional network still learns more"),
        ("balancier convolution --epochs 20", "more epochs: how far does the dense network get?"),
        ("balancier convolution --quick --learning-rate 0.01", "a rate ten times as large helps one of the networks"),
    ),
)

LESSON = Lesson(
    flags=Convolution,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier convolution --frames 500, and see which network needs more pictures",
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("convolution", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
