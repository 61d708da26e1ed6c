"""Ten classes of small pictures (5.3, 6.2): CIFAR-10 by the course's convolutional network or by a fast one.

The fast network follows the recipe of arXiv:2404.00498: whitened patches, a high learning rate, label smoothing, flips
and shifts, and six views of each test picture. Without the data and without a network connection the pictures are
pendulums, the classes ten sectors of the angle, so that the lesson always runs.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from experiments.common import plotting
from experiments.common.cifar_data import Images, download, pendulums, read_folder
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from models import CNN, SGD, Adam, FastCNN, History, cross_entropy, fit, replica
from models.fitting import accuracy, triangle

SHIFT = 2  # pixels, at most, by which training pictures are moved
EPOCHS = {"course": 10, "fast": 16}
BATCH = {"course": 128, "fast": 1024}
# Processor seconds for a thousand pictures, forward and backward, of one seed.
COST = {"course": 0.8, "fast": 3.0}


@dataclass(frozen=True)
class Cifar(Flags):
    """Ten classes of small pictures, by the course's convolutional network or by a fast one."""

    seeds: int = 1
    """How many seeds (independent replicas) to train."""
    threads: int = 2
    """Processor threads; convolutions use them well."""
    network: Literal["course", "fast"] = "course"
    """The course's network, or the recipe for 90 %."""
    data: str = "auto"
    """Folder of CIFAR-10's binary version; "pendulum"; "download"; "auto": the cache or a download, else pendulums."""
    epochs: int | None = None
    """Passes over the training pictures (default: 10, for the fast network 12)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of convolutions; auto takes the one that is faster here."""


def load(flags: Cifar) -> Images:
    """The pictures that --data means; fewer with --quick."""
    if flags.data == "auto":
        try:
            images = read_folder(download())
        except UsageError as error:
            console.print(f"{error}\nGoing on with --data pendulum.", highlight=False)
            images = None
    elif flags.data == "download":
        images = read_folder(download())
    elif flags.data != "pendulum":
        images = read_folder(Path(flags.data))
    else:
        images = None
    if images is None:
        return pendulums(4_000 if flags.quick else 10_000, 2_000)
    if flags.quick:
        return images._replace(
            train=images.train[:8_000],
            train_labels=images.train_labels[:8_000],
            test=images.test[:2_000],
            test_labels=images.test_labels[:2_000],
        )
    return images


class Normalize(nn.Module):
    """A network on bytes: each color gets mean 0 and standard deviation 1 over the training pictures."""

    def __init__(self, network: nn.Module, train: Tensor, dtype: torch.dtype):
        super().__init__()
        pixels = train[:10_000].float().flatten(2) / 255
        self.network, self.dtype = network, dtype
        self.mean, self.std = (x.reshape(3, 1, 1) for x in (pixels.mean((0, 2)), pixels.std((0, 2))))

    def scaled(self, images: Tensor) -> Tensor:
        return (images.float() / 255 - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            return self.network(self.scaled(images)).float()


class Augment:
    """Random flips and shifts of pictures (S, B, 3, 32, 32), as tensor operations; the border is mirrored."""

    def __init__(self, seed: int, flip: bool):
        self.generator, self.flip = torch.Generator().manual_seed(seed), flip

    def __call__(self, images: Tensor, epoch: float) -> Tensor:
        seeds, count = images.shape[:2]
        flat = images.flatten(0, 1)  # (S B, 3, 32, 32)
        if self.flip:  # a mirrored truck is a truck; a mirrored pendulum points elsewhere
            flips = torch.rand(len(flat), generator=self.generator) < 0.5
            flat = torch.where(flips[:, None, None, None], flat.flip(-1), flat)
        return shifted(flat, torch.randint(2 * SHIFT + 1, (2, len(flat)), generator=self.generator), SHIFT).unflatten(
            0, (seeds, count)
        )


def shifted(images: Tensor, offset: Tensor, border: int) -> Tensor:
    """Windows of pictures (n, 3, H, W) that were mirrored at their border; `offset` (2, n) is in 0 to 2 border."""
    height, width = images.shape[-2:]
    rows = mirrored(torch.arange(height) + offset[0][:, None] - border, height)  # (n, H)
    columns = mirrored(torch.arange(width) + offset[1][:, None] - border, width)
    everywhere = torch.arange(len(images))[:, None, None, None], torch.arange(images.shape[1])[None, :, None, None]
    return images[(*everywhere, rows[:, None, :, None], columns[:, None, None, :])]


def mirrored(index: Tensor, size: int) -> Tensor:
    """Positions beyond 0 to size - 1 reflected at the border, without repeating it."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def build(flags: Cifar, images: Images, train: Tensor, dtype: torch.dtype) -> Normalize:
    if flags.network == "course":
        return Normalize(CNN((3, 32, 32), len(images.classes), seeds=flags.all_seeds), train, dtype)
    network = FastCNN(len(images.classes), seeds=flags.all_seeds)
    whole = Normalize(network, train, dtype)
    network.whiten(whole.scaled(train[:5_000]))
    return whole


def optimizer_of(flags: Cifar, network: Normalize) -> tuple[Any, float, Any]:
    """What trains the network: an optimizer, its rate, and the loss."""
    if flags.network == "course":
        return Adam, 2e-3, cross_entropy
    # The recipe's numbers, turned from sums over a batch of 1,024 into means: rate 11.5 / (1 + 1 / 0.15) and so on.
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    factors = [64.0 if "norms" in name else 1.0 for name in names]
    sgd = partial(SGD, momentum=0.85, weight_decay=1.33e-3, factors=factors)
    return sgd, 1.5, partial(cross_entropy, label_smoothing=0.2)


def faster(flags: Cifar, images: Images, train: Tensor, labels: Tensor) -> torch.dtype:
    """The precision in which a training step takes less time on this processor."""
    if flags.precision != "auto":
        return getattr(torch, flags.precision)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        network = build(flags, images, train, dtype)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        batch = train[:256].expand(flags.seeds, -1, -1, -1, -1), labels[:256].expand(flags.seeds, -1)
        for _ in range(2):  # the first one makes plans
            began = time.perf_counter()
            torch.autograd.grad(cross_entropy(network(batch[0]), batch[1]).sum(), parameters)
            seconds[dtype] = time.perf_counter() - began
    return min(seconds, key=lambda dtype: seconds[dtype])


def probabilities(network: Normalize, images: Tensor, views: bool, flip: bool) -> Tensor:
    """Of the classes, (S, n, classes), from each picture alone or from its shifted (and flipped) copies too."""
    found = []
    seeds = len(next(network.parameters()))
    with torch.no_grad():
        for part in images.split(500):
            center = torch.ones(2, len(part), dtype=torch.int64)
            copies = [(part, 1.0)]
            if views:
                copies += [(shifted(part, center * 0, 1), 0.5), (shifted(part, center * 2, 1), 0.5)]
            if views and flip:
                copies += [(copy.flip(-1), weight) for copy, weight in copies]
            logits = sum(weight * network(copy.expand(seeds, *copy.shape)) for copy, weight in copies)
            found.append((logits / sum(weight for _, weight in copies)).softmax(-1))  # type: ignore[union-attr]
    return torch.cat(found, 1)


def cifar(flags: Cifar) -> None:
    if flags.epochs is not None and flags.epochs < 1:
        raise UsageError(f"--epochs: found {flags.epochs}, expected at least 1")
    images = load(flags)
    run = Run("cifar", flags)
    flip = images.name == "CIFAR-10"
    epochs = flags.epochs or (3 if flags.quick else EPOCHS[flags.network])
    train, labels, test, test_labels = (torch.from_numpy(np.ascontiguousarray(part)) for part in images[:4])
    dtype = faster(flags, images, train, labels)
    speed = 0.5 if dtype == torch.bfloat16 else 1.0
    forecast = COST[flags.network] * speed * epochs * len(train) / 1000 * flags.seeds / min(flags.threads, 2) * 1.15
    console.print(
        f"cifar: {flags.network} network, {len(train):,} pictures of {images.name}, {epochs} epochs in {dtype}, "
        f"about {duration(forecast + 10)}",
        highlight=False,
    )
    network = build(flags, images, train, dtype)
    optimizer, rate, loss = optimizer_of(flags, network)
    batch_size = min(BATCH[flags.network], len(train) // 8)
    with ProgressBar(epochs * -(-len(train) // batch_size), "training") as progress:
        augment = Augment(flags.seed, flip)

        def counted(batch: Tensor, epoch: float) -> Tensor:
            progress.advance(what=f"epoch {int(epoch) + 1}")
            return augment(batch, epoch)

        history = fit(
            network,
            TensorDataset(train, labels),
            loss,
            seeds=flags.all_seeds,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=rate,
            optimizer=optimizer,
            schedule=triangle(epochs, 0.23, 0.07, 0.2),
            validation=TensorDataset(test, test_labels),
            metrics={"accuracy": accuracy},
            augment=counted,
        )
    for part, rows in (("train", history.train), ("test", history.validation)):
        for name, values in rows.items():
            for epoch, row in enumerate(values):
                run.log(epoch + 1, f"{part}_{name}", row)
    network.eval()
    chances = probabilities(network, test, flags.network == "fast", flip)
    right = (chances.argmax(-1) == test_labels).float().mean(1)
    plain = history.validation["accuracy"][-1]
    run.figure(draw_curves(history, images, right.numpy()), "curves")
    run.figure(draw_confusion(chances[0], test_labels, images), "confusion")
    run.figure(draw_filters(network.network, images), "filters")
    run.figure(draw_mistakes(chances[0], images), "mistakes")
    run.finish(
        {
            "data": images.name,
            "network": flags.network,
            "epochs": epochs,
            "precision": str(dtype),
            "test_accuracy": round(float(right.mean()), 4),
            "test_accuracy_per_seed": [round(float(value), 4) for value in right],
            "test_accuracy_one_view": round(float(plain.mean()), 4),
            "parameters": sum(parameter[0].numel() for parameter in network.parameters()),
        }
    )
    table = Table("network", "data", "parameters", "seconds", "test accuracy", "from one view")
    count = sum(parameter[0].numel() for parameter in network.parameters())
    accuracies = f"{right.mean():.1%}", f"{plain.mean():.1%}"
    table.add_row(flags.network, images.name, f"{count:,}", f"{time.monotonic() - run.began:.0f}", *accuracies)
    other = "fast" if flags.network == "course" else "course"
    run.close(table, f"balancier cifar --network {other}")


def draw_curves(history: History, images: Images, final: np.ndarray) -> Any:
    """Accuracy and loss against epochs, on training and test pictures."""
    figure, panels = plotting.new(2, width=7.5)
    epochs = range(1, len(history.train["loss"]) + 1)
    for panel, name in zip(panels, ("accuracy", "loss"), strict=True):
        for part, rows, color in (
            ("training, moved about", history.train, plotting.BLUE),
            ("test", history.validation, plotting.ORANGE),
        ):
            low, middle, high = np.quantile(rows[name], [0, 0.5, 1], 1)
            plotting.band(panel, epochs, low, middle, high, part, color, marker="o")
        panel.set(xlabel="epoch", ylabel=name)
    panels[0].set_title(f"{images.name}: {final.mean():.1%} of the test pictures right")
    panels[1].set_title("cross-entropy")
    panels[0].legend(loc="lower right")
    return figure


def draw_confusion(chances: Tensor, labels: Tensor, images: Images) -> Any:
    """How often each class is taken for each other, in percent of the class."""
    classes = len(images.classes)
    table = np.zeros((classes, classes))
    np.add.at(table, (labels.numpy(), chances.argmax(-1).numpy()), 1)
    table *= 100 / np.maximum(table.sum(1, keepdims=True), 1)
    figure, (panel,) = plotting.new(width=10, height=8.5)
    panel.imshow(table, cmap="Blues", vmin=0, vmax=100)
    for row in range(classes):
        for column in range(classes):
            if table[row, column] >= 0.5:
                color = "white" if table[row, column] > 60 else "black"
                panel.text(column, row, f"{table[row, column]:.0f}", ha="center", va="center", color=color)
    panel.set_xticks(range(classes), images.classes, rotation=45, ha="right")
    panel.set_yticks(range(classes), images.classes)
    panel.set(xlabel="taken for", ylabel="is")
    away = table - np.diag(np.diag(table))
    worst = np.unravel_index(away.argmax(), away.shape)
    names = images.classes[worst[0]], images.classes[worst[1]]
    panel.set_title(f"percent of each class; most confused: {names[0]} as {names[1]}")
    panel.grid(visible=False)
    return figure


def draw_filters(network: nn.Module, images: Images) -> Any:
    """The first layer's kernels as pictures."""
    first = network.whitening if isinstance(network, FastCNN) else network.convolutions[0]  # type: ignore[union-attr,index]
    kernels = replica(first, 0).weight.detach()[0].numpy()  # type: ignore[union-attr]
    columns = 8
    figure, panels = plotting.new(columns, -(-len(kernels) // columns), width=1.6, height=1.7)
    for panel in panels:
        panel.axis("off")
    for panel, kernel in zip(panels, kernels, strict=False):
        low, high = kernel.min(), kernel.max()
        panel.imshow(((kernel - low) / (high - low)).transpose(1, 2, 0))
    made = "computed from the patches of the pictures" if isinstance(network, FastCNN) else "learned"
    figure.suptitle(f"{len(kernels)} kernels of the first layer, {made} ({images.name})")
    return figure


def draw_mistakes(chances: Tensor, images: Images, count: int = 15) -> Any:
    """The test pictures that the network is surest about and wrong."""
    sure, guess = chances.max(-1)
    wrong = guess.numpy() != images.test_labels
    order = np.argsort(np.where(wrong, sure.numpy(), -1.0))[::-1][: min(count, int(wrong.sum()))]
    figure, panels = plotting.new(5, 3, width=2.9, height=3.0)
    for panel in panels:
        panel.axis("off")
    for panel, row in zip(panels, order, strict=False):
        panel.imshow(images.test[row].transpose(1, 2, 0))
        told, truth = images.classes[int(guess[row])], images.classes[images.test_labels[row]]
        panel.set_title(f"{told} {sure[row]:.0%}\nis {truth}", fontsize=13)
    figure.suptitle(f"the most confident of {wrong.sum():,} mistakes among {len(wrong):,} test pictures")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("cifar", Cifar, cifar, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
