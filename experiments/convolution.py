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

from balancier import N_, _, numeral
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
COLORS = {N_("convolutional"): plotting.BLUE, N_("dense"): plotting.ORANGE}

KERNELS = {
    N_("box blur"): np.full((5, 5), 1 / 25),
    N_("Laplace"): np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    N_("Sobel, to the right"): np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    N_("Sobel, downwards"): np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
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


def layer_sizes(channels: Sequence[int] = CHANNELS) -> list[dict[str, int]]:
    """Of each convolution: its number, how many maps go in (a) and come out (b), and their side in pixels."""
    pairs = zip((3, *channels), channels, strict=False)
    return [{"layer": layer + 1, "a": a, "b": b, "side": SIZE // 2**layer} for layer, (a, b) in enumerate(pairs)]


def layer_parameters(channels: Sequence[int] = CHANNELS, kernel_size: int = 3) -> dict[str, tuple[int, int]]:
    """Parameters of each convolution, and of a dense layer with the same inputs and outputs."""
    counts = {}
    for sizes in layer_sizes(channels):
        a, b, pixels = sizes["a"], sizes["b"], sizes["side"] ** 2
        name = "layer {layer}: {a} to {b} maps, {side} x {side}".format(**sizes)
        counts[name] = b * (a * kernel_size**2 + 1), b * pixels * (a * pixels + 1)
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
    with ProgressBar(2 * sum(shares.values()) * flags.epochs_to_run, _("training")) as progress:

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
                callback=lambda *__: progress.advance(shares[name], _(name)),
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
    return _("{seeds} seeds, about {time}", seeds=flags.seeds, time=duration(seconds))


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
    columns = _("parameters"), _("test accuracy (range of seeds)"), _("shifted by {count} pixels", count=WIDEST)
    table = Table(_("network"), *columns, _("with shuffled pixels"))
    for name, values in findings.test_accuracy.items():
        mean, low, high = values.mean(), values.min(), values.max()
        tested = _("{mean:.3f} ({low:.3f} to {high:.3f})", mean=mean, low=low, high=high)
        shifted = findings.accuracy_by_shift[name][-1].mean()
        mixed = findings.shuffled_accuracy[name].mean()
        table.add_row(_(name), numeral(findings.parameters[name]), tested, f"{shifted:.3f}", f"{mixed:.3f}")
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
    title = _(
        "A flat vector loses which pixels are neighbors: with shuffled pixels the convolutional network\n"
        "falls from {before:.2f} to {after:.2f}, the dense one does not notice ({dense:.2f} and {shuffled:.2f})",
        before=before["convolutional"],
        after=after["convolutional"],
        dense=before["dense"],
        shuffled=after["dense"],
    )
    figure, panels = plotting.slide(title, 3, 2)
    title, note = _("a picture, 3 x {side} x {side}", side=SIZE), _("flat: {count:,} numbers", count=picture.size)
    plot_picture(panels[0], picture.transpose(1, 2, 0), title, note=note)
    titles = _("its red matrix"), _("its green matrix"), _("its blue matrix")
    for panel, title, matrix in zip(panels[1:4], titles, picture, strict=True):
        row, column = SIZE - 10, 10  # a pixel of the rod
        value = matrix[row, column]
        note = _("row {row}, column {column}: {value:.2f}", row=row, column=column, value=value)
        plot_picture(panel, matrix, title, note=note)
    mixed = picture.reshape(3, -1)[:, findings.order].reshape(picture.shape)
    title, note = _("the same pixels, shuffled"), _("flat: the same numbers")
    plot_picture(panels[4], mixed.transpose(1, 2, 0), title, note=note)
    places = np.arange(len(before))
    for offset, values, color, label in (
        (-0.2, before, plotting.BLUE, _("pictures")),
        (0.2, after, plotting.ORANGE, _("shuffled")),
    ):
        bars = panels[5].bar(places + offset, list(values.values()), 0.38, color=color, label=label)
        panels[5].bar_label(bars, [f"{value:.2f}" for value in values.values()], fontsize=14)
    panels[5].set_xticks(places, [_(name) for name in before])
    panels[5].set(ylim=(0, 1.25), ylabel=_("test accuracy"))
    panels[5].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label=_("chance"))
    panels[5].grid(False)
    panels[5].legend(loc="upper right", ncols=3, columnspacing=0.8, handlelength=1.2)
    return figure


def plot_kernels(picture: np.ndarray) -> Figure:
    """One picture, and the outputs of kernels that are written by hand."""
    title = _(
        "A kernel is a small matrix of weights: these four blur a picture or find its edges\n"
        "(red above zero, blue below, white zero)"
    )
    figure, panels = plotting.slide(title, 3, 2)
    title = _("a picture, {side} x {side} pixels", side=len(picture))
    plot_picture(panels[0], picture, title, note=_("0 black ... 1 white"))
    blurred = convolve(picture, KERNELS["box blur"], padding=2)
    plot_picture(panels[1], blurred[2:-2, 2:-2], _("box blur: mean of 5 x 5"), note=_("25 weights of 1/25"))
    edges = {name: convolve(picture, KERNELS[name]) for name in list(KERNELS)[1:]}
    for panel, (name, output) in zip(panels[2:5], edges.items(), strict=True):
        plot_picture(panel, output, _(name), signed=True, note=kernel_text(KERNELS[name]))
    magnitude = np.hypot(edges["Sobel, to the right"], edges["Sobel, downwards"])
    plot_picture(panels[5], magnitude, _("length of both Sobels"), note=_("sqrt(right^2 + down^2)"))
    return figure


def plot_sizes(picture: np.ndarray) -> Figure:
    """The size of the output with padding, stride and pooling; the background of the picture is 0, as the padding."""
    kernel, n = "Sobel, downwards", len(picture)
    title = _(
        "{n} x {n} pixels: padding 1 keeps the size, stride 2 halves it, pooling over 4 x 4 leaves {pooled}\n"
        "(kernel of the first four: {kernel}, 3 x 3; red above zero, blue below)",
        n=n,
        pooled=n // 4,
        kernel=_(kernel),
    )
    figure, panels = plotting.slide(title, 3, 2)
    settings = (
        (N_("no padding: {side} x {side}"), 1, 0),
        (N_("padding 1: {side} x {side}"), 1, 1),
        (N_("padding 1, stride 2: {side} x {side}"), 2, 1),
        (N_("padding 1, stride 4: {side} x {side}"), 4, 1),
    )
    for panel, (title, stride, padding) in zip(panels, settings, strict=False):
        output = convolve(picture, KERNELS[kernel], stride, padding)
        rule = f"({n} + {2 * padding} - 3) // {stride} + 1 = {len(output)}"
        plot_picture(panel, output, _(title, side=len(output)), signed=True, note=rule)
    poolings = (
        (N_("pooling, largest of 4 x 4: {side} x {side}"), np.max),
        (N_("pooling, mean of 4 x 4: {side} x {side}"), np.mean),
    )
    for panel, (title, function) in zip(panels[4:], poolings, strict=True):
        output = pool(picture, 4, function)
        plot_picture(panel, output, _(title, side=len(output)), note=f"{n} // 4 = {len(output)}")
    return figure


def tiles(maps: np.ndarray, columns: int) -> np.ndarray:
    """Maps (n, H, W), each scaled to 0 ... 1, side by side with gaps."""
    most = maps.max((1, 2), keepdims=True)
    scaled = np.pad(maps / np.where(most > 0, most, 1), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    rows = [np.concatenate(list(row), 1) for row in np.split(scaled, len(scaled) // columns)]
    return np.concatenate(rows)


def plot_feature_maps(findings: Findings) -> Figure:
    """Feature maps of every layer of the first seed's network, for one picture."""
    sizes = [dict(zip(("count", "height", "width"), maps.shape, strict=True)) for maps in findings.feature_maps]
    steps = _(", then ").join(_("{count} maps of {height} x {width}", **size) for size in sizes)
    title = _("Deeper layers have more maps and fewer pixels:")
    figure, panels = plotting.slide(f"{title}\n{steps}", 2, 2)
    title = _("a test picture, 3 x {side} x {side}", side=SIZE)
    plot_picture(panels[0], findings.picture.transpose(1, 2, 0) + 0.5, title)
    for layer, (panel, maps) in enumerate(zip(panels[1:], findings.feature_maps, strict=True), 1):
        active = int((maps.max((1, 2)) > 0).sum())
        plot_picture(panel, tiles(maps, columns={8: 4, 16: 8, 32: 8}[len(maps)]), "")
        title = _("layer {layer}: {count} maps, {active} of them not zero", layer=layer, count=len(maps), active=active)
        panel.set_title(title)
    return figure


def plot_parameters(findings: Findings) -> Figure:
    """Parameters of convolutions and of dense layers, and the accuracy of both networks."""
    counts = layer_parameters()
    ratio = max(b / a for a, b in counts.values())
    tested = {name: values.mean() for name, values in findings.test_accuracy.items()}
    title = _(
        "A convolution needs up to {ratio:,.0f} times fewer parameters than a dense layer,\n"
        "and its network is right more often: {convolutional:.2f} against {dense:.2f}",
        ratio=ratio,
        **tested,
    )
    figure, panels = plotting.slide(title, 2)
    places = np.arange(len(counts))
    for offset, column, color, name in (
        (-0.2, 0, plotting.BLUE, _("convolution")),
        (0.2, 1, plotting.ORANGE, _("dense")),
    ):
        values = [pair[column] for pair in counts.values()]
        bars = panels[0].bar(places + offset, values, 0.38, color=color, label=name)
        panels[0].bar_label(bars, [numeral(value) for value in values], fontsize=13)
    labels = [_("layer {layer}\n{a} to {b} maps\n{side} x {side}", **sizes) for sizes in layer_sizes()]
    panels[0].set_xticks(places, labels)
    panels[0].set(yscale="log", ylabel=_("parameters"), title=_("layers with the same inputs and outputs"))
    panels[0].set_ylim(10, 3e9)
    panels[0].grid(False)
    panels[0].legend(loc="upper right", ncols=2)
    for name, history in findings.histories.items():
        values = history.validation["accuracy"]
        label = _("{network}, {count:,} parameters", network=_(name), count=findings.parameters[name])
        plotting.mean_band(panels[1], range(1, len(values) + 1), values, label, COLORS[name], marker="o")
    panels[1].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label=_("chance"))
    panels[1].set(title=_("whole networks (mean and range of seeds)"), xlabel=_("epochs"), ylim=(0, 1.03))
    panels[1].set_ylabel(_("accuracy, test pictures"))
    panels[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.12))
    return figure


def plot_shifts(findings: Findings) -> Figure:
    """The accuracy of both networks and the equivariance error of each layer, against the shift of the picture."""
    errors, accuracies = findings.equivariance_errors, findings.accuracy_by_shift
    left = {name: values[-1].mean() for name, values in accuracies.items()}
    title = _(
        "Shifted by {count} pixels, the convolutional network is still right for {convolutional:.2f} "
        "of the pictures,\nthe dense one for {dense:.2f}; chance is 0.10",
        count=WIDEST,
        **left,
    )
    figure, panels = plotting.slide(title, 2)
    for name, values in accuracies.items():
        plotting.mean_band(panels[0], SHIFTS, values, _(name), COLORS[name], marker="o")
        panels[0].annotate(f"{left[name]:.2f}", (WIDEST, left[name]), (0, 12), textcoords="offset points", ha="center")
    panels[0].set(xlabel=_("shift of the picture, pixels"), ylabel=_("accuracy, test pictures"), ylim=(0, 1.03))
    panels[0].set_title(_("whole networks (mean and range of seeds)"))
    panels[0].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label=_("chance"))
    colors = (plotting.BLUE, plotting.SKY, plotting.PURPLE, plotting.GRAY, plotting.ORANGE)
    layers = range(1, len(CHANNELS) + 1)
    pooled = [_("layer {layer}, pooled to 1/{parts}", layer=layer, parts=2**layer) for layer in layers]
    labels = [_("one convolution"), *pooled, _("dense layer")]
    for label, values, color, marker in zip(labels, errors.values(), colors, "os^Dv", strict=True):
        panels[1].plot(SHIFTS, values, color=color, marker=marker, label=label)
    best, worst = (max(errors[name]) for name in ("one convolution", "dense layer"))
    panels[1].set_title(_("convolution: error {best:.1g}, dense layer: {worst:.1f}", best=best, worst=worst))
    panels[1].set(xlabel=_("shift of the picture, pixels"), ylabel=_("equivariance error (0: perfect)"))
    for panel in panels:
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure


PAGE = Page(
    question=_("Why do networks for pictures use convolutions, and not dense layers on a flat vector?"),
    formula=(
        _(r"$s_{ij} = b + \sum_{c, u, v} w_{cuv} \; x_{c, \, i + u, \, j + v}$ (channels $c$, kernel $u, v$)"),
        _(r"size of the output: $\lfloor (n + 2 \, \mathrm{padding} - k) / \mathrm{stride} \rfloor + 1$"),
        _(
            r"parameters: $C_{out} (C_{in} k^2 + 1)$ for a convolution, "
            r"$C_{out} n^2 (C_{in} n^2 + 1)$ for a dense layer"
        ),
    ),
    captions={
        "rgb": _(
            "A color picture is three matrices, one for red, green and blue; the rod is darkest in green and blue. "
            "Shuffling parts the neighbors: the convolutional network loses accuracy, the dense one learns as before."
        ),
        "kernels": _(
            "Each output pixel is the sum of kernel weights times the pixels under them. Blur averages, Laplace "
            "marks all edges, and each Sobel marks the edges of one direction."
        ),
        "stride_padding_pooling": _(
            "The line below each picture computes its size. Stride and pooling keep the shape of "
            "the rod with far fewer pixels."
        ),
        "feature_maps": _(
            "Each layer halves the picture and makes more maps of it. The maps of the first layer still "
            "look like the picture, those of the last say which features are in which of 16 places."
        ),
        "parameters": _(
            "Left, with a logarithmic axis: a convolution shares its weights between all places of the "
            "picture. Right: with a fifth of the parameters, the convolutional network learns more from each epoch."
        ),
        "shifts": _(
            "Left: compare what is left at the right end, not what was lost; the convolutional network stays ahead. "
            "Right: shifting the input of a convolution only shifts its output; pooling keeps that for whole cells."
        ),
    },
    what_if=(
        ("balancier convolution --frames 500", _("from 500 pictures, the convolutional network still learns more")),
        ("balancier convolution --epochs 20", _("more epochs: how far does the dense network get?")),
        (
            "balancier convolution --quick --learning-rate 0.01",
            _("a rate ten times as large helps one of the networks"),
        ),
    ),
)

LESSON = Lesson(
    flags=Convolution,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier convolution --frames 500, and see which network needs more pictures"),
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("convolution", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
