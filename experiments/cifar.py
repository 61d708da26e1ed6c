"""Pictures in ten classes (5.3, 6.2): CIFAR-10, learned by the course's convolutional network or by a fast one. The
figures show the curves of training, which classes are confused, the kernels of the first layer, and the mistakes that
the network is most confident about. Without the data and without a network connection, the lesson takes pictures of
pendulums; their classes are ten sectors of the angle.

The fast network follows the recipe of arXiv:2404.00498: whitened patches, a high learning rate, label smoothing, flips
and shifts, and several views of each test picture.

S seed, n pictures, B minibatch, E epochs, H height, W width.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from envs.datasets import Standardize
from experiments.common import plotting
from experiments.common.cifar_data import Images, load
from experiments.common.command import Lesson, launch
from experiments.common.flags import Flags, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models import CNN, SGD, Adam, FastCNN, History, cross_entropy, fit, replica
from models.fitting import accuracy, triangle

SHIFT = 2  # pixels: the largest shift of training pictures
EPOCHS = {"course": 10, "fast": 16}
BATCH = {"course": 128, "fast": 1024}
# Processor seconds for a thousand pictures, forward and backward, of one seed.
COST = {"course": 0.8, "fast": 3.0}


@dataclass(frozen=True)
class Cifar(Flags):
    """Pictures in ten classes, learned by the course's convolutional network or by a fast one."""

    seeds: Annotated[int, at_least(1)] = 1
    """How many seeds (independent replicas) to train."""
    threads: Annotated[int, at_least(1)] = 2
    """Processor threads; convolutions use them well."""
    network: Literal["course", "fast"] = "course"
    """The course's network, or the recipe for 90 %."""
    data: str = "auto"
    """Folder of CIFAR-10's binary version; "pendulum"; "download"; "auto": the cache or a download, else pendulums."""
    epochs: Annotated[int, at_least(1)] | None = None
    """Passes over the training pictures (default: 10, for the fast network 16)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of convolutions; auto takes the one that is faster here."""

    @property
    def epochs_to_run(self) -> int:
        return self.epochs or (3 if self.quick else EPOCHS[self.network])


@dataclass(frozen=True)
class Findings:
    images: Images
    seeds: list[int]
    network: str
    epochs: int
    precision: str
    history: History
    probabilities: Tensor  # (S, n, classes) of the test pictures
    parameters: int  # of one seed
    kernels: np.ndarray  # of the first layer of the first seed, (kernels, 3, height, width)
    seconds: float

    @property
    def test_accuracy(self) -> np.ndarray:
        """Share of the test pictures that is classified correctly, (S,)."""
        labels = torch.from_numpy(self.images.test_labels)
        return (self.probabilities.argmax(-1) == labels).float().mean(1).numpy()

    @property
    def accuracy_of_one_view(self) -> float:
        """The same from one view of each picture, the mean of the seeds."""
        return float(self.history.validation["accuracy"][-1].mean())


# The network


class OnBytes(nn.Module):
    """A network on bytes: each color gets mean 0 and standard deviation 1 over the training pictures."""

    def __init__(self, network: nn.Module, train: Tensor, dtype: torch.dtype):
        super().__init__()
        pixels = train[:10_000].float().flatten(2) / 255  # (n, 3, H W)
        self.network, self.dtype = network, dtype
        self.standardize = Standardize(*(x.reshape(3, 1, 1) for x in (pixels.mean((0, 2)), pixels.std((0, 2)))))

    def standardized(self, images: Tensor) -> Tensor:
        return self.standardize.apply(images.float() / 255)

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            return self.network(self.standardized(images)).float()


def build(flags: Cifar, classes: int, train: Tensor, dtype: torch.dtype) -> OnBytes:
    if flags.network == "course":
        return OnBytes(CNN((3, 32, 32), classes, seeds=flags.all_seeds), train, dtype)
    fast = FastCNN(classes, seeds=flags.all_seeds)
    network = OnBytes(fast, train, dtype)
    fast.whiten(network.standardized(train[:5_000]))
    return network


def first_kernels(network: OnBytes) -> np.ndarray:
    """The kernels of the first layer of the first seed, (kernels, 3, height, width)."""
    inner = network.network
    first = inner.whitening if isinstance(inner, FastCNN) else inner.convolutions[0]  # type: ignore[union-attr,index]
    return replica(first, 0).weight.detach()[0].numpy()  # type: ignore[union-attr,arg-type]


def recipe(flags: Cifar, network: OnBytes) -> tuple[Any, float, Any]:
    """Optimizer, learning rate and loss."""
    if flags.network == "course":
        return Adam, 2e-3, cross_entropy
    # The recipe sums over a batch of 1,024; this is the same with means: rate 11.5 / (1 + 1 / 0.15), and so on.
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    factors = [64.0 if "norms" in name else 1.0 for name in names]
    sgd = partial(SGD, momentum=0.85, weight_decay=1.33e-3, factors=factors)
    return sgd, 1.5, partial(cross_entropy, label_smoothing=0.2)


# Changed copies of pictures


class Augment:
    """Random flips and shifts of pictures (S, B, 3, H, W), as tensor operations; the border is mirrored."""

    def __init__(self, seed: int, flip: bool):
        self.generator, self.flip = torch.Generator().manual_seed(seed), flip

    def __call__(self, images: Tensor, epoch: float) -> Tensor:
        seeds, count = images.shape[:2]
        flat = images.flatten(0, 1)  # (S B, 3, H, W)
        if self.flip:  # a mirrored truck is a truck; a mirrored pendulum has another angle
            flips = torch.rand(len(flat), generator=self.generator) < 0.5
            flat = torch.where(flips[:, None, None, None], flat.flip(-1), flat)
        offset = torch.randint(2 * SHIFT + 1, (2, len(flat)), generator=self.generator)
        return shifted(flat, offset, SHIFT).unflatten(0, (seeds, count))


def shifted(images: Tensor, offset: Tensor, border: int) -> Tensor:
    """Shifted pictures: windows of pictures (n, 3, H, W) with a mirrored border; `offset` (2, n) is 0 to 2 border."""
    height, width = images.shape[-2:]
    rows = mirrored(torch.arange(height) + offset[0][:, None] - border, height)  # (n, H)
    columns = mirrored(torch.arange(width) + offset[1][:, None] - border, width)
    every_color = torch.arange(len(images))[:, None, None, None], torch.arange(images.shape[1])[None, :, None, None]
    return images[(*every_color, rows[:, None, :, None], columns[:, None, None, :])]


def mirrored(index: Tensor, size: int) -> Tensor:
    """Positions outside of 0 to size - 1, reflected at the border, which is not repeated."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


# Training and test


@lru_cache(maxsize=1)
def faster_precision(flags: Cifar) -> torch.dtype:
    """The number format in which a training step takes less time on this processor; the last answer is kept."""
    if flags.precision != "auto":
        return getattr(torch, flags.precision)
    images = load(flags.data, flags.quick)
    train, labels = (torch.from_numpy(np.ascontiguousarray(part)) for part in images[:2])
    batch = train[:256].expand(flags.seeds, -1, -1, -1, -1), labels[:256].expand(flags.seeds, -1)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        network = build(flags, len(images.classes), train, dtype)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for _ in range(2):  # the first step also prepares; the second is timed
            began = time.perf_counter()
            torch.autograd.grad(cross_entropy(network(batch[0]), batch[1]).sum(), parameters)
            seconds[dtype] = time.perf_counter() - began
    return min(seconds, key=lambda dtype: seconds[dtype])


def train_network(
    flags: Cifar, network: OnBytes, train: TensorDataset, test: TensorDataset, augment: Callable[..., Tensor]
) -> History:
    optimizer, learning_rate, loss = recipe(flags, network)
    batch_size = min(BATCH[flags.network], len(train) // 8)
    with ProgressBar(flags.epochs_to_run * -(-len(train) // batch_size), "training") as progress:

        def augment_and_count(batch: Tensor, epoch: float) -> Tensor:
            progress.advance(1.0, f"epoch {int(epoch) + 1}")
            return augment(batch, epoch)

        return fit(
            network,
            train,
            loss,
            seeds=flags.all_seeds,
            epochs=flags.epochs_to_run,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            schedule=triangle(flags.epochs_to_run, 0.23, 0.07, 0.2),
            validation=test,
            metrics={"accuracy": accuracy},
            augment=augment_and_count,
        )


def probabilities(network: OnBytes, images: Tensor, views: bool, flip: bool) -> Tensor:
    """Of the classes, (S, n, classes), from each picture; with `views` also from its shifted (and flipped) copies."""
    parts = []
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
            parts.append((logits / sum(weight for _, weight in copies)).softmax(-1))  # type: ignore[union-attr]
    return torch.cat(parts, 1)


def measure(flags: Cifar) -> Findings:
    began, images, dtype = time.monotonic(), load(flags.data, flags.quick), faster_precision(flags)
    train, labels, test, test_labels = (torch.from_numpy(np.ascontiguousarray(part)) for part in images[:4])
    flip = images.name == "CIFAR-10"
    network = build(flags, len(images.classes), train, dtype)
    train_set, test_set = TensorDataset(train, labels), TensorDataset(test, test_labels)
    history = train_network(flags, network, train_set, test_set, Augment(flags.seed, flip))
    network.eval()
    return Findings(
        images=images,
        seeds=flags.all_seeds,
        network=flags.network,
        epochs=flags.epochs_to_run,
        precision=str(dtype),
        history=history,
        probabilities=probabilities(network, test, flags.network == "fast", flip),
        parameters=sum(parameter[0].numel() for parameter in network.parameters()),
        kernels=first_kernels(network),
        seconds=time.monotonic() - began,
    )


# Output


def forecast(flags: Cifar) -> str:
    images, dtype = load(flags.data, flags.quick), faster_precision(flags)
    speed = 0.5 if dtype == torch.bfloat16 else 1.0
    thousands = flags.epochs_to_run * len(images.train) / 1000 * flags.seeds
    seconds = COST[flags.network] * speed * thousands / min(flags.threads, 2) * 1.15
    size = f"{len(images.train):,} pictures of {images.name}, {flags.epochs_to_run} epochs in {dtype}"
    return "\n".join([f"{flags.network} network, {size}, about {duration(seconds + 10)}", *images.notes])


def metrics(findings: Findings) -> Iterable[Metric]:
    for part, curves in (("train", findings.history.train), ("test", findings.history.validation)):
        for name, values in curves.items():
            for epoch, value in enumerate(values):
                yield epoch + 1, f"{part}_{name}", value, findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    return {
        "data": findings.images.name,
        "network": findings.network,
        "epochs": findings.epochs,
        "precision": findings.precision,
        "test_accuracy": round(float(findings.test_accuracy.mean()), 4),
        "test_accuracy_per_seed": [round(float(value), 4) for value in findings.test_accuracy],
        "test_accuracy_one_view": round(findings.accuracy_of_one_view, 4),
        "parameters": findings.parameters,
    }


def table(findings: Findings) -> Table:
    table = Table("network", "data", "parameters", "seconds", "test accuracy", "from one view")
    accuracies = f"{findings.test_accuracy.mean():.1%}", f"{findings.accuracy_of_one_view:.1%}"
    size, seconds = f"{findings.parameters:,}", f"{findings.seconds:.0f}"
    table.add_row(findings.network, findings.images.name, size, seconds, *accuracies)
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "curves": plot_curves(findings),
        "confusion": plot_confusion(findings.probabilities[0], findings.images),
        "filters": plot_filters(findings),
        "mistakes": plot_mistakes(findings.probabilities[0], findings.images),
    }


def plot_curves(findings: Findings) -> Figure:
    """Accuracy and loss against epochs, on training and test pictures."""
    figure, panels = plotting.new(2, width=7.5)
    history = findings.history
    epochs = range(1, findings.epochs + 1)
    for panel, name in zip(panels, ("accuracy", "loss"), strict=True):
        training, test = history.train[name], history.validation[name]
        plotting.quantile_band(panel, epochs, training, "training, shifted pictures", plotting.BLUE, marker="o")
        plotting.quantile_band(panel, epochs, test, "test", plotting.ORANGE, marker="o")
        panel.set(xlabel="epoch", ylabel=name)
    panels[0].set_title(f"{findings.images.name}: {findings.test_accuracy.mean():.1%} of the test pictures right")
    panels[1].set_title("cross-entropy")
    panels[0].legend(loc="lower right")
    return figure


def plot_confusion(probabilities: Tensor, images: Images) -> Figure:
    """How often each class is predicted for each true class, in percent of the true class."""
    classes = len(images.classes)
    percent = np.zeros((classes, classes))
    np.add.at(percent, (images.test_labels, probabilities.argmax(-1).numpy()), 1)
    percent *= 100 / np.maximum(percent.sum(1, keepdims=True), 1)
    figure, (panel,) = plotting.new(width=10, height=8.5)
    panel.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (true, predicted), value in np.ndenumerate(percent):
        if value >= 0.5:
            color = "white" if value > 60 else "black"
            panel.text(predicted, true, f"{value:.0f}", ha="center", va="center", color=color)
    panel.set_xticks(range(classes), images.classes, rotation=45, ha="right")
    panel.set_yticks(range(classes), images.classes)
    panel.set(xlabel="predicted class", ylabel="true class")
    mistakes = percent - np.diag(np.diag(percent))
    true, predicted = (images.classes[index] for index in np.unravel_index(mistakes.argmax(), mistakes.shape))
    panel.set_title(f"percent of each class; most confused: {true} as {predicted}")
    panel.grid(visible=False)
    return figure


def plot_filters(findings: Findings) -> Figure:
    """The first layer's kernels as pictures."""
    columns, kernels = 8, findings.kernels
    figure, panels = plotting.new(columns, -(-len(kernels) // columns), width=1.6, height=1.7)
    for panel in panels:
        panel.axis("off")
    for panel, kernel in zip(panels, kernels, strict=False):
        low, high = kernel.min(), kernel.max()
        panel.imshow(((kernel - low) / (high - low)).transpose(1, 2, 0))
    origin = "computed from the patches of the pictures" if findings.network == "fast" else "learned"
    figure.suptitle(f"{len(kernels)} kernels of the first layer, {origin} ({findings.images.name})")
    return figure


def plot_mistakes(probabilities: Tensor, images: Images, count: int = 15) -> Figure:
    """The wrong predictions on test pictures with the highest confidence."""
    confidence, predicted = probabilities.max(-1)
    wrong = predicted.numpy() != images.test_labels
    order = np.argsort(np.where(wrong, confidence.numpy(), -1.0))[::-1][: min(count, int(wrong.sum()))]
    figure, panels = plotting.new(5, 3, width=2.9, height=3.0)
    for panel in panels:
        panel.axis("off")
    for panel, index in zip(panels, order, strict=False):
        panel.imshow(images.test[index].transpose(1, 2, 0))
        prediction, truth = images.classes[int(predicted[index])], images.classes[images.test_labels[index]]
        panel.set_title(f"{prediction} {confidence[index]:.0%}\nis {truth}", fontsize=13)
    figure.suptitle(f"the most confident of {wrong.sum():,} mistakes among {len(wrong):,} test pictures")
    return figure


LESSON = Lesson(
    flags=Cifar,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier cifar --network fast, and compare it with --network course",
    metrics=metrics,
    check=lambda flags: load(flags.data, flags.quick),
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("cifar", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
