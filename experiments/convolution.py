"""Convolution (5.1, 5.2): kernels by hand, stride, padding, pooling; feature maps, parameters, and shifted pictures.

A seed is a network: every one sees the same pictures of pendulums, in an order and from a start of its own.

S seed, n pictures, C channels, H height, W width, k kernel size.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from models import CNN, MLP, fit
from models.fitting import History, accuracy, cross_entropy, evaluate
from models.streams import stream

CHANNELS = (8, 16, 32)  # of the convolutions, each followed by a pooling
HIDDEN = 64
TEST = 1_000  # pictures that nobody trains on
LARGE = 128  # side of the picture that kernels are shown on, pixels
WIDEST = 8  # largest shift, pixels
TRAINED, FRESH, DENSE = 380, 381, 382  # random streams

KERNELS = {
    "box blur": np.full((5, 5), 1 / 25),
    "Laplace": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "Sobel, to the right": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "Sobel, downwards": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
}


@dataclass(frozen=True)
class Convolution(Flags):
    """Kernels by hand, stride, padding, pooling; feature maps, parameters, and shifted pictures."""

    seeds: int = 5
    """How many seeds (independent networks) to train."""
    threads: int = 2
    """Processor threads; convolutions use more than one."""
    frames: int = 4_000
    """Pictures to train on."""
    epochs: int = 10
    """Passes over them."""
    learning_rate: float = 1e-3
    """Of Adam."""


# By hand


def convolve(picture: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """What deep learning calls a convolution: the kernel's weights times the pixels under it, summed at each place.

    (H, W) -> (H', W'), H' = (H + 2 padding - k) // stride + 1; written as a sum of k x k shifted pictures.
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


def portrait(size: int = LARGE) -> np.ndarray:
    """One pendulum in gray, (size, size), 0 black to 1 white."""
    return draw(np.array([2.5]), size=size, length=0.75, width=0.25)[0].mean(0) / 255


# Learned


def labeled(seed: int, role: int, count: int) -> TensorDataset:
    """Pictures (n, 3 * 32 * 32) in [-0.5, 0.5], so that gray is 0 as in the padding, and their sectors (n,)."""
    frames, label = labeled_frames(stream(seed, role), count)
    return TensorDataset(
        torch.from_numpy(frames).flatten(1).to(torch.get_default_dtype()) / 255 - 0.5, torch.tensor(label)
    )


def layer_parameters(channels: Sequence[int] = CHANNELS, kernel_size: int = 3) -> dict[str, tuple[int, int]]:
    """Parameters of each layer as a convolution, and as a dense layer between the same two sets of numbers."""
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
    """Learned numbers of one replica."""
    return sum(parameter[0].numel() for parameter in network.parameters())


def feature_maps(network: CNN, pictures: Tensor) -> list[Tensor]:
    """Maps of every layer, (S, B, channels, H / 2, W / 2) and so on, for pictures (B, 3, H, W) of any size.

    Only a dense layer must know the size of the picture: the convolutions move into a network for another one.
    """
    shape = pictures.shape[1], pictures.shape[2], pictures.shape[3]
    seeds = len(network.convolutions[0].weight)  # type: ignore[arg-type]
    resized = CNN(shape, channels=CHANNELS, hidden=1, seeds=seeds)
    resized.convolutions = network.convolutions
    with torch.no_grad():
        return resized.feature_maps(pictures.expand(seeds, *pictures.shape))


def equivariance_error(maps: np.ndarray, moved: np.ndarray, cells: int, border: int) -> float:
    """How far the maps of a moved picture are from the moved maps, relative to how much maps vary from place to place.

    Maps are (..., H, W); the picture moved to the left by as much as `cells` of theirs. A `border` of cells, which see
    the picture's edge, is left out. 0 is perfect equivariance; unrelated maps give about the square root of 2.
    """
    height, width = maps.shape[-2:]
    rows, columns = slice(border, height - border), slice(border, width - border - cells)
    difference = maps[..., rows, cells:][..., columns] - moved[..., rows, columns]
    spread = maps - maps.mean((-2, -1), keepdims=True)
    return float(np.sqrt(np.mean(difference**2) / np.mean(spread**2)))


def measure_equivariance(network: CNN, seed: int) -> dict[str, list[float]]:
    """Error of each layer for pictures that move by 0, 1, ... pixels."""
    size, shifts = LARGE + WIDEST, range(WIDEST + 1)
    generator = stream(seed, DENSE)
    options = {"size": size, "length": 0.7, "width": 0.2}
    wide = torch.from_numpy(draw(generator.uniform(0, 2 * np.pi, 4), **options) / np.float32(255) - 0.5)
    seen = [wide[..., shift : shift + LARGE] for shift in shifts]
    with torch.no_grad():
        first = network.convolutions[0]
        alone = [first(x.expand(len(first.weight), *x.shape)).numpy() for x in seen]  # type: ignore[arg-type]
    errors = {"one convolution": [equivariance_error(alone[0], alone[s], s, 2) for s in shifts]}
    layers = list(zip(*([maps.numpy() for maps in feature_maps(network, x)] for x in seen), strict=True))
    for layer, maps in enumerate(layers, 1):
        cells = [round(s / 2**layer) for s in shifts]
        errors[f"layer {layer}, pooled to 1/{2**layer}"] = [
            equivariance_error(maps[0], maps[s], cells[s], 2) for s in shifts
        ]
    weight = generator.uniform(-1, 1, (SIZE, SIZE, SIZE, SIZE)) / SIZE  # output row, column; input row, column
    gray = [x[:, :, 48 : 48 + SIZE, 48 : 48 + SIZE].numpy().mean(1) for x in seen]
    dense = [np.einsum("ijkl,nkl->nij", weight, x) for x in gray]
    errors["dense layer"] = [equivariance_error(dense[0], dense[s], s, 2) for s in shifts]
    return errors


def moved_aside(pictures: Tensor, shift: int) -> Tensor:
    """Flat pictures (n, 3 * 32 * 32) moved to the left by `shift` pixels; the column at the edge fills the gap."""
    images = pictures.unflatten(1, (3, SIZE, SIZE))
    return F.pad(images, (0, shift, 0, 0), mode="replicate")[..., shift:].flatten(1)


def accuracy_by_shift(network: torch.nn.Module, data: TensorDataset, seeds: int) -> np.ndarray:
    """Accuracy on pictures moved by 0, 1, ... pixels, (shifts, S)."""
    pictures, label = data.tensors
    rows = torch.arange(len(pictures)).expand(seeds, -1)
    return np.stack(
        [
            evaluate(network, TensorDataset(moved_aside(pictures, shift), label), {"it": accuracy}, rows)["it"].numpy()
            for shift in range(WIDEST + 1)
        ]
    )


def convolution(flags: Convolution) -> None:
    for name, least in (("frames", 1), ("epochs", 1)):
        if (value := getattr(flags, name)) < least:
            raise UsageError(f"--{name}: found {value}, expected at least {least}")
    if not flags.learning_rate > 0:
        raise UsageError(f"--learning-rate: found {flags.learning_rate}, expected a number above 0")
    frames, epochs = (min(flags.frames, 2_000), min(flags.epochs, 4)) if flags.quick else (flags.frames, flags.epochs)
    run = Run("convolution", flags)
    seconds = 8 + 1.8e-4 * flags.seeds * frames * epochs
    console.print(f"convolution: {flags.seeds} seeds, about {duration(seconds)}", highlight=False)
    run.figure(draw_kernels(portrait()), "kernels")
    run.figure(draw_sizes(portrait(SIZE)), "stride_padding_pooling")
    data, fresh = labeled(flags.seed, TRAINED, frames), labeled(flags.seed, FRESH, TEST)
    networks = {
        "convolutional": CNN((3, SIZE, SIZE), 10, channels=CHANNELS, hidden=HIDDEN, seeds=flags.all_seeds),
        "dense": MLP(3 * SIZE**2, (HIDDEN,), 10, seeds=flags.all_seeds),
    }
    histories: dict[str, History] = {}
    with ProgressBar(len(networks) * epochs, "training") as progress:
        for name, network in networks.items():

            def watch(epoch: int, numbers: dict[str, Any], name: str = name) -> None:
                for part in ("accuracy", "validation_accuracy"):
                    run.log(epoch + 1, f"{name} {part}", numbers[part])
                progress.advance(1.0, name)

            histories[name] = fit(
                network,
                data,
                cross_entropy,
                seeds=flags.all_seeds,
                epochs=epochs,
                learning_rate=flags.learning_rate,
                validation=fresh,
                metrics={"accuracy": accuracy},
                callback=watch,
            )
    cnn = networks["convolutional"]
    assert isinstance(cnn, CNN)
    counts = layer_parameters()
    sizes = {name: parameters(network) for name, network in networks.items()}
    errors = measure_equivariance(cnn, flags.seed)
    moved = {name: accuracy_by_shift(network, fresh, flags.seeds) for name, network in networks.items()}
    run.figure(draw_feature_maps(cnn, fresh), "feature_maps")
    run.figure(draw_parameters(counts, histories, sizes), "parameters")
    run.figure(draw_shifts(errors, moved), "shifts")
    tested = {name: history.validation["accuracy"][-1] for name, history in histories.items()}
    result = {
        "test_accuracy": {name: [round(float(v), 4) for v in values] for name, values in tested.items()},
        "parameters": sizes,
        "layer_parameters": {name: {"convolution": a, "dense": b} for name, (a, b) in counts.items()},
        "equivariance_error": {name: [round(error, 6) for error in values] for name, values in errors.items()},
        "accuracy_by_shift": {
            name: np.round(values.mean(1, dtype=np.float64), 4).tolist() for name, values in moved.items()
        },
    }
    run.finish(result)
    table = Table("network", "parameters", "test accuracy (range of seeds)", f"moved by {WIDEST} pixels")
    for name, values in tested.items():
        found = f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"
        table.add_row(name, f"{sizes[name]:,}", found, f"{moved[name][-1].mean():.3f}")
    run.close(table, "balancier convolution --frames 500, and see which network needs more pictures")


# Figures


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


def written(kernel: np.ndarray) -> str:
    """A small kernel, row by row."""
    return "\n".join(" ".join(f"{weight:2.0f}" for weight in row) for row in kernel)


def draw_kernels(picture: np.ndarray) -> Figure:
    """One picture under kernels made by hand."""
    figure, panels = plotting.new(3, 2, width=5, height=5.6)
    show(panels[0], picture, f"a picture, {len(picture)} x {len(picture)} pixels", note="0 black ... 1 white")
    blurred = convolve(picture, KERNELS["box blur"], padding=2)
    show(panels[1], blurred[2:-2, 2:-2], "blur: the mean of 5 x 5 pixels", note="25 weights of 1/25")
    edges = {name: convolve(picture, KERNELS[name]) for name in list(KERNELS)[1:]}
    for panel, (name, found) in zip(panels[2:5], edges.items(), strict=True):
        show(panel, found, name, signed=True, note=written(KERNELS[name]))
    magnitude = np.hypot(edges["Sobel, to the right"], edges["Sobel, downwards"])
    show(panels[5], magnitude, "edges: length of both Sobels", note="sqrt(right^2 + down^2)")
    return figure


def draw_sizes(picture: np.ndarray) -> Figure:
    """What padding, stride and pooling do to the size."""
    figure, panels = plotting.new(3, 2, width=5, height=5.2)
    kernel, n = KERNELS["Sobel, downwards"], len(picture)
    settings = {"no padding": (1, 0), "padding 1: size is kept": (1, 1), "stride 2": (2, 1), "stride 4": (4, 1)}
    for panel, (name, (stride, padding)) in zip(panels, settings.items(), strict=False):
        found = convolve(picture, kernel, stride, padding)
        rule = f"({n} + {2 * padding} - 3) // {stride} + 1 = {len(found)}"
        show(panel, found, f"{name}: {len(found)} x {len(found)}", signed=True, note=rule)
    for panel, size, function, name in zip(panels[4:], (4, 4), (np.max, np.mean), ("largest", "mean"), strict=True):
        found = pool(1 - picture, size, function)
        show(panel, found, f"pooling, {name} of {size} x {size}", note=f"of the negative: {n} // {size} = {len(found)}")
    return figure


def tiles(maps: np.ndarray, columns: int) -> np.ndarray:
    """Maps (n, H, W), each scaled to 0 ... 1, side by side with gaps."""
    most = maps.max((1, 2), keepdims=True)
    scaled = np.pad(maps / np.where(most > 0, most, 1), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    rows = [np.concatenate(list(row), 1) for row in np.split(scaled, len(scaled) // columns)]
    return np.concatenate(rows)


def draw_feature_maps(network: CNN, data: TensorDataset) -> Figure:
    """What the first network's layers see in one picture."""
    picture = data.tensors[0][:1].unflatten(1, (3, SIZE, SIZE))
    figure, panels = plotting.new(2, 2, width=7.5, height=5.6)
    show(panels[0], picture[0].permute(1, 2, 0).numpy() + 0.5, f"a picture, 3 x {SIZE} x {SIZE}")
    for layer, (panel, maps) in enumerate(zip(panels[1:], feature_maps(network, picture), strict=True), 1):
        found = maps[0, 0].numpy()
        active = int((found.max((1, 2)) > 0).sum())
        count, height, width = found.shape
        show(panel, tiles(found, columns={8: 4, 16: 4, 32: 8}[count]), "")
        panel.set_title(f"layer {layer}: {count} maps, {height} x {width}, {active} active")
    return figure


def draw_parameters(counts: dict[str, tuple[int, int]], histories: dict[str, History], sizes: dict[str, int]) -> Figure:
    """Parameters of convolutions and of dense layers, and what they buy."""
    figure, panels = plotting.new(2, width=8.2)
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
        found = history.validation["accuracy"]
        epochs = list(range(1, len(found) + 1))
        label = f"{name}, {sizes[name]:,} parameters"
        plotting.band(panels[1], epochs, found.min(1), found.mean(1), found.max(1), label, color, marker="o")
    ends = [f"{name} {history.validation['accuracy'][-1].mean():.2f}" for name, history in histories.items()]
    panels[1].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label="chance")
    panels[1].set(title="whole networks: " + ", ".join(ends), xlabel="epochs", ylim=(0, 1.03))
    panels[1].set_ylabel("accuracy, new pictures")
    panels[1].legend(loc="lower right", bbox_to_anchor=(1, 0.11))
    return figure


def draw_shifts(errors: dict[str, list[float]], moved: dict[str, np.ndarray]) -> Figure:
    """Shift the picture: do the maps shift along, and is the answer the same?"""
    figure, panels = plotting.new(2, width=8.2, height=5.6)
    shifts = list(range(WIDEST + 1))
    colors = (plotting.BLUE, plotting.SKY, plotting.GREEN, plotting.PURPLE, plotting.ORANGE)
    for (name, values), color, marker in zip(errors.items(), colors, "os^Dv", strict=True):
        panels[0].plot(shifts, values, color=color, marker=marker, label=name)
    best, worst = (max(errors[name]) for name in ("one convolution", "dense layer"))
    title = f"a convolution moves along (error {best:.1g}), a dense layer not ({worst:.1f})"
    panels[0].set(title=title, xlabel="shift of the picture, pixels", ylabel="equivariance error (0: perfect)")
    panels[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    for (name, values), color in zip(moved.items(), (plotting.BLUE, plotting.ORANGE), strict=True):
        plotting.band(panels[1], shifts, values.min(1), values.mean(1), values.max(1), name, color, marker="o")
    losses = [f"{name} {values[0].mean() - values[-1].mean():.2f}" for name, values in moved.items()]
    panels[1].set(title=f"accuracy lost by {WIDEST} pixels: " + ", ".join(losses), ylim=(0, 1.03))
    panels[1].set(xlabel="shift of the picture, pixels", ylabel="accuracy, new pictures")
    panels[1].axhline(0.1, color="black", linestyle="--", linewidth=1.5, label="chance")
    panels[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("convolution", Convolution, convolution, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
