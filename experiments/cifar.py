"""Pictures in ten classes (5.3, 6.2): CIFAR-10, learned by the course's convolutional network or by a fast one. The
figures show the curves of training, which classes are confused, the feature maps that the layers compute, and the
mistakes that the network is most confident about. Without the data and without a network connection, the lesson takes
pictures of pendulums; their classes are ten sectors of the angle.

The first batches tell how fast this machine is. From that follow the number format, the forecast, and how many epochs
(and for the fast network, which width) fit into --minutes.

The fast network follows the recipe of arXiv:2404.00498: whitened patches, a high learning rate, label smoothing, flips
and shifts, slow weights (Lookahead), and several views of each test picture. Its first epochs see smaller pictures,
which cost half as much.

S seed, n pictures, B minibatch, E epochs, H height, W width.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from balancier import N_, _, numeral
from envs.datasets import Standardize
from experiments.common import plotting
from experiments.common.cifar_data import Images, load
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, above, at_least
from experiments.common.parallel import Job, ProgressBar, duration, run_parallel
from experiments.common.parts import once
from experiments.common.runs import Metric
from models import CNN, SGD, Adam, FastCNN, cross_entropy, fit
from models.fitting import accuracy, evaluate, triangle

NETWORKS = {"course": N_("course"), "fast": N_("fast")}
SHIFT = 2  # pixels: the largest shift of training pictures
BATCH = {"course": 128, "fast": 1024}
EPOCHS = {"course": 10, "fast": 16}  # at most, unless the flag says otherwise
MINUTES = {"course": 6.0, "fast": 52.0}
WIDTHS = ((64, 256, 256), (64, 128, 256), (32, 128, 128))  # of the fast network, the best first
LEAST_EPOCHS = 8  # with fewer, a narrower network is better
SMALL, SMALL_EPOCHS = 24, 0.6  # pixels a side of the pictures in the first epochs of the fast network; their share
MEASURED = 2_000  # training and test pictures, as they are, whose accuracy is measured after each epoch
VIEWS = {"course": 1, "fast": 6}  # of each test picture


@dataclass(frozen=True)
class Cifar(ParallelFlags):
    """Pictures in ten classes, learned by the course's convolutional network or by a fast one."""

    seeds: Annotated[int, at_least(1)] = 1
    """How many seeds (independent replicas) to train."""
    threads: Annotated[int, at_least(1)] = 2
    """Processor threads; convolutions use them well."""
    jobs: Annotated[int, at_least(1)] | None = None
    """Processes at the same time, each for one seed on one thread (default: one process for all, with --threads); with
    slurm, the jobs to submit."""
    network: Literal["course", "fast"] = "course"
    """The course's network, or the recipe for 90 %."""
    data: str = "auto"
    """Folder of CIFAR-10's binary version; "pendulum"; "download"; "auto": the cache or a download, else pendulums."""
    epochs: Annotated[int, at_least(1)] | None = None
    """Passes over the training pictures (default: what fits into --minutes, at most 10, for the fast network 16)."""
    minutes: Annotated[float, above(0)] | None = None
    """Time for the training here, from which epochs and width follow (default: 6, for the fast network 52)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of convolutions; auto takes the one that is faster here."""

    @property
    def apart(self) -> bool:
        """Whether each seed is a job of its own."""
        return self.jobs is not None or self.scheduler != "local"


class Plan(NamedTuple):
    """What fits into the time on this machine."""

    dtype: str  # of the convolutions, as torch names it
    widths: tuple[int, ...]  # of the fast network
    epochs: int
    seconds: float  # expected, for training and test


class Trained(NamedTuple):
    """What is kept of the training of some seeds."""

    train: dict[str, np.ndarray]  # loss and accuracy on training pictures as they are, before and after each epoch:
    # (E + 1, S)
    test: dict[str, np.ndarray]  # the same on test pictures
    probabilities: Tensor  # (S, n, classes) of the test pictures
    parameters: int  # of one seed
    layers: str  # the network as PyTorch prints it
    feature_maps: list[np.ndarray]  # of the first seed: of each block, (n, C, H, W)


@dataclass(frozen=True)
class Findings:
    images: Images
    seeds: list[int]
    network: str
    plan: Plan
    train: dict[str, np.ndarray]  # this and the next ones as in `Trained`, of all seeds
    test: dict[str, np.ndarray]
    probabilities: Tensor
    parameters: int
    layers: str
    feature_maps: list[np.ndarray]
    examples: np.ndarray  # test pictures (n, 3, H, W) whose feature maps are drawn
    seconds: float

    @property
    def test_accuracy(self) -> np.ndarray:
        """Share of the test pictures that is classified correctly, (S,)."""
        labels = torch.from_numpy(self.images.test_labels)
        return (self.probabilities.argmax(-1) == labels).float().mean(1).numpy()

    @property
    def accuracy_of_one_view(self) -> float:
        """The same from one view of each picture, the mean of the seeds."""
        return float(self.test["accuracy"][-1].mean())


# The network


class OnBytes(nn.Module):
    """A network on bytes: each color gets mean 0 and standard deviation 1 over the training pictures.

    The network sees pictures of `size` x `size` pixels, smaller than they are, unless it is None.
    """

    def __init__(self, network: nn.Module, train: Tensor, dtype: torch.dtype):
        super().__init__()
        pixels = train[:10_000].float().flatten(2) / 255  # (n, 3, H W)
        self.network, self.dtype = network, dtype
        self.size: int | None = None
        self.standardize = Standardize(*(x.reshape(3, 1, 1) for x in (pixels.mean((0, 2)), pixels.std((0, 2)))))

    def standardized(self, images: Tensor) -> Tensor:
        return self.standardize.apply(images.float() / 255)

    def resized(self, images: Tensor) -> Tensor:
        if self.size is None:
            return images
        small = F.interpolate(images.flatten(0, 1), (self.size, self.size), mode="bilinear", antialias=True)
        return small.unflatten(0, images.shape[:2])

    def forward(self, images: Tensor) -> Tensor:
        return self.apply_to(self.network, images)

    def apply_to(self, function: Callable[[Tensor], Any], images: Tensor) -> Any:
        """A function of standardized pictures, such as the network, in the number format of this one."""
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            output = function(self.standardized(self.resized(images)))
        return output.float() if isinstance(output, Tensor) else [part.float() for part in output]


def build(flags: Cifar, classes: int, train: Tensor, dtype: torch.dtype, widths: Sequence[int]) -> OnBytes:
    if flags.network == "course":
        return OnBytes(CNN((3, 32, 32), classes, seeds=flags.all_seeds), train, dtype)
    fast = FastCNN(classes, widths=widths, seeds=flags.all_seeds)
    network = OnBytes(fast, train, dtype)
    fast.whiten(network.standardized(train[:5_000]))
    return network


class Lookahead(SGD):
    """SGD whose parameters become, after every five steps, an average of themselves over time (arXiv:1907.08610).

    The average has a longer memory towards the end of the `total` steps, and is the result.
    """

    def __init__(self, *arguments: Any, total: int, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.total, self.count, self.slow = total, 0, self.flat.clone()

    def step(self, loss: Tensor, active: Sequence[bool] | None = None) -> None:
        super().step(loss, active)
        self.count += 1
        if self.count % 5 == 0 or self.count == self.total:
            decay = 0.95**5 * (self.count / self.total) ** 3
            self.slow.lerp_(self.flat, 0.0 if self.count == self.total else 1 - decay)
            self.flat.copy_(self.slow)


def recipe(flags: Cifar, network: OnBytes, steps: int) -> tuple[Any, float, Any]:
    """Optimizer, learning rate and loss."""
    if flags.network == "course":
        return Adam, 2e-3, cross_entropy
    # The recipe sums over a batch of 1,024; this is the same with means: rate 11.5 / (1 + 1 / 0.15), and so on.
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    factors = [64.0 if "norms" in name else 1.0 for name in names]
    sgd = partial(Lookahead, momentum=0.85, weight_decay=1.33e-3, factors=factors, total=steps)
    return sgd, 1.5, partial(cross_entropy, label_smoothing=0.2)


# Changed copies of pictures


class Augment:
    """Flips and random shifts of pictures (S, B, 3, H, W), as tensor operations; the border is mirrored.

    A picture is flipped in every other epoch, half of all pictures in each: a picture's own bytes tell which half it
    belongs to. So two epochs show each picture in both ways, which random flips do for half of them only.
    """

    def __init__(self, seeds: Sequence[int], flip: bool):
        self.generators, self.flip = [torch.Generator().manual_seed(seed) for seed in seeds], flip

    def __call__(self, images: Tensor, epoch: float) -> Tensor:
        seeds, count = images.shape[:2]
        flat = images.flatten(0, 1)  # (S B, 3, H, W)
        if self.flip:  # a mirrored truck is a truck; a mirrored pendulum has another angle
            flips = (flat.flatten(1).sum(1) + int(epoch)) % 2 == 0
            flat = torch.where(flips[:, None, None, None], flat.flip(-1), flat)
        draws = [torch.randint(2 * SHIFT + 1, (2, count), generator=generator) for generator in self.generators]
        return shifted(flat, torch.cat(draws, 1), SHIFT).unflatten(0, (seeds, count))


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


# How fast this machine is


def seconds_of_a_picture(network: OnBytes, images: Tensor, labels: Tensor) -> float:
    """Seconds for a step with pictures (S, B, 3, H, W), divided by B: the shortest of six, as others disturb some."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    seconds = []
    for __ in range(6):
        began = time.monotonic()
        torch.autograd.grad(cross_entropy(network(images), labels).sum(), parameters)
        seconds.append(time.monotonic() - began)
    return min(seconds) / images.shape[1]


def measure_speed(
    flags: Cifar, images: Images, widths: Sequence[int], formats: Sequence[torch.dtype]
) -> tuple[torch.dtype, float, float]:
    """The fastest number format, and seconds for a training picture as it is and for one of the first epochs."""
    train, labels = (torch.from_numpy(np.ascontiguousarray(part[:256])) for part in images[:2])
    batch = train.expand(flags.seeds, -1, -1, -1, -1), labels.expand(flags.seeds, -1)
    networks = [build(flags, len(images.classes), train, dtype, widths) for dtype in formats]
    seconds = [seconds_of_a_picture(network, *batch) for network in networks]
    best = int(np.argmin(seconds))
    if flags.network == "course":
        return formats[best], seconds[best], seconds[best]
    networks[best].size = SMALL
    return formats[best], seconds[best], seconds_of_a_picture(networks[best], *batch)


@lru_cache(maxsize=1)
def plan(flags: Cifar) -> Plan:
    """The faster number format, and the widest network and the most epochs that fit; the last answer is kept.

    Of seeds that are trained apart, it is the plan of one alone, on one thread.
    """
    if flags.apart:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return plan.__wrapped__(replace(flags, seeds=1, jobs=None, scheduler="local"))
        finally:
            torch.set_num_threads(threads)
    images, most = load(flags.data, flags.quick), flags.epochs or (3 if flags.quick else EPOCHS[flags.network])
    formats = [torch.float32, torch.bfloat16] if flags.precision == "auto" else [getattr(torch, flags.precision)]
    minutes, found = flags.minutes or MINUTES[flags.network], None
    for widths in WIDTHS if flags.network == "fast" else WIDTHS[:1]:
        dtype, cost, small = measure_speed(flags, images, widths, formats)
        formats = [dtype]
        mean = SMALL_EPOCHS * small + (1 - SMALL_EPOCHS) * cost
        # A tenth goes to shifts and flips. An evaluation is the forward part of a step, about a third of its time.
        each = 1.1 * mean * len(images.train) + mean * 2 * MEASURED / 3
        last = cost * (1 + VIEWS[flags.network]) * len(images.test) / 3
        epochs = most if flags.epochs else min(most, max(1, int((60 * minutes - last) / each)))
        found = Plan(str(dtype).removeprefix("torch."), widths, epochs, epochs * each + last + 3)
        if epochs >= min(most, LEAST_EPOCHS):
            break
    assert found is not None
    return found


# Training and test


def train_network(
    flags: Cifar,
    epochs: int,
    network: OnBytes,
    train: TensorDataset,
    test: TensorDataset,
    augment: Augment,
    advance: Callable[[float, str], None],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Loss and accuracy on training and on test pictures before training and after each epoch, (E + 1, S) each.

    `advance(share, description)` hears what share of the training is done since it was called last.

    Both are measured on pictures as they are, so they can be compared: shifted and flipped ones are harder. They are
    the first of each set, after the last epoch all test pictures.
    """
    batch_size = min(BATCH[flags.network], len(train) // 8)
    steps = -(-len(train) // batch_size)
    optimizer, learning_rate, loss = recipe(flags, network, epochs * steps)
    functions = {"loss": loss, "accuracy": accuracy}
    records: list[list[dict[str, Tensor]]] = [[], []]

    def record(count: int) -> None:
        for part, data, most in zip(records, (train, test), (MEASURED, count), strict=True):
            indices = torch.arange(min(most, len(data))).expand(flags.seeds, -1)
            part.append(evaluate(network, data, functions, indices))

    def after_epoch(epoch: int, _: Any) -> None:
        record(len(test) if epoch == epochs - 1 else MEASURED)

    record(MEASURED)
    small_epochs = int(SMALL_EPOCHS * epochs) if flags.network == "fast" else 0
    cost = SMALL**2 / 32**2  # of a small picture
    work = steps * (epochs - (1 - cost) * small_epochs)

    def change_and_count(batch: Tensor, epoch: float) -> Tensor:
        network.size = SMALL if epoch < small_epochs else None
        description = _("epoch {number} of {count}", number=int(epoch) + 1, count=epochs)
        advance((cost if network.size else 1.0) / work, description)
        return augment(batch, epoch)

    fit(
        network,
        train,
        loss,
        seeds=flags.all_seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=triangle(epochs, 0.23, 0.07, 0.2),
        augment=change_and_count,
        callback=after_epoch,
    )
    curves = [{name: np.stack([epoch[name].numpy() for epoch in part]) for name in functions} for part in records]
    return curves[0], curves[1]


def probabilities(network: OnBytes, images: Tensor, views: bool, flip: bool) -> Tensor:
    """Of the classes, (S, n, classes), from each picture; with `views` also from its shifted (and flipped) copies."""
    parts = []
    seeds = len(next(network.parameters()))
    with torch.no_grad():
        for part in images.split(1024):
            center = torch.ones(2, len(part), dtype=torch.int64)
            copies = [(part, 1.0)]
            if views:
                copies += [(shifted(part, center * 0, 1), 0.5), (shifted(part, center * 2, 1), 0.5)]
            if views and flip:
                copies += [(copy.flip(-1), weight) for copy, weight in copies]
            logits = sum(weight * network(copy.expand(seeds, *copy.shape)) for copy, weight in copies)
            parts.append((logits / sum(weight for _, weight in copies)).softmax(-1))  # type: ignore[union-attr]
    return torch.cat(parts, 1)


def examples(images: Images, count: int = 3) -> np.ndarray:
    """Indices of the first test pictures of different classes, (count,)."""
    first = np.unique(images.test_labels, return_index=True)[1]
    return np.sort(first)[:count]


def learn(flags: Cifar, planned: Plan, advance: Callable[[float, str], None]) -> Trained:
    """Train and test the seeds of `flags` together."""
    images = load(flags.data, flags.quick)
    train, labels, test, test_labels = (torch.from_numpy(np.ascontiguousarray(part)) for part in images[:4])
    flip = images.name == "CIFAR-10"
    network = build(flags, len(images.classes), train, getattr(torch, planned.dtype), planned.widths)
    data = TensorDataset(train, labels), TensorDataset(test, test_labels)
    curves = train_network(flags, planned.epochs, network, *data, Augment(flags.all_seeds, flip), advance)
    network.eval()
    shown = test[examples(images)]
    with torch.no_grad():
        maps = network.apply_to(network.network.feature_maps, shown.expand(flags.seeds, *shown.shape))  # type: ignore[arg-type]
    return Trained(
        train=curves[0],
        test=curves[1],
        probabilities=probabilities(network, test, flags.network == "fast", flip),
        parameters=sum(parameter[0].numel() for parameter in network.parameters()),
        layers=str(network.network),
        feature_maps=[part[0].numpy() for part in maps],
    )


def train_seed(job: Job, report: Callable[[float], None]) -> Trained:
    """Train and test the one seed of a job."""
    flags, planned = job.settings
    return learn(flags, planned, lambda share, description: report(share * job.cost))


def joined(parts: Sequence[Trained]) -> Trained:
    """The seeds of several trainings as those of one."""

    def side_by_side(curves: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([each[name] for each in curves], 1) for name in curves[0]}

    return parts[0]._replace(
        train=side_by_side([part.train for part in parts]),
        test=side_by_side([part.test for part in parts]),
        probabilities=torch.cat([part.probabilities for part in parts]),
    )


def measure(flags: Cifar) -> Findings:
    began, images = time.monotonic(), load(flags.data, flags.quick)
    if flags.apart:
        planned = once(f"{flags.network} plan", flags.all_seeds, lambda: plan(flags), [Plan])
        alone = [replace(flags, seed=seed, seeds=1) for seed in flags.all_seeds]
        jobs = [Job(flags.network, (one.seed,), planned.seconds, (one, planned)) for one in alone]
        trained = joined(run_parallel(train_seed, jobs, flags.processes, kinds=[Trained]))
    else:

        def learn_here() -> Any:
            planned = plan(flags)
            with ProgressBar(1.0, _("training")) as progress:
                return planned, learn(flags, planned, progress.advance)

        planned, trained = once(flags.network, flags.all_seeds, learn_here, [Plan, Trained])
    return Findings(
        images=images,
        seeds=flags.all_seeds,
        network=flags.network,
        plan=planned,
        examples=images.test[examples(images)],
        seconds=time.monotonic() - began,
        **trained._asdict(),
    )


# Output


def forecast(flags: Cifar) -> str:
    images, planned = load(flags.data, flags.quick), plan(flags)
    seconds = planned.seconds * (-(-flags.seeds // flags.processes) if flags.apart else 1)
    if flags.network == "fast":
        network = _("fast network of widths {widths}", widths=planned.widths)
    else:
        network = _("course network")
    text = _(
        "{network}, {count:,} pictures of {data}, {epochs} epochs in {dtype}, about {time}",
        network=network,
        count=len(images.train),
        data=_(images.name),
        epochs=planned.epochs,
        dtype=planned.dtype,
        time=duration(seconds),
    )
    return "\n".join([text, *images.notes])


def metrics(findings: Findings) -> Iterable[Metric]:
    for part, curves in (("train", findings.train), ("test", findings.test)):
        for name, values in curves.items():
            for epoch, value in enumerate(values):
                yield epoch, f"{part}_{name}", value, findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    return {
        "data": findings.images.name,
        "network": findings.network,
        "epochs": findings.plan.epochs,
        "precision": f"torch.{findings.plan.dtype}",
        "widths": findings.plan.widths if findings.network == "fast" else None,
        "forecast_seconds": findings.plan.seconds,
        "train_accuracy": round(float(findings.train["accuracy"][-1].mean()), 4),
        "start_accuracy": round(float(findings.test["accuracy"][0].mean()), 4),
        "test_accuracy": round(float(findings.test_accuracy.mean()), 4),
        "test_accuracy_per_seed": [round(float(value), 4) for value in findings.test_accuracy],
        "test_accuracy_one_view": round(findings.accuracy_of_one_view, 4),
        "parameters": findings.parameters,
    }


def table(findings: Findings) -> Table:
    """The network as PyTorch prints it, and what it reached."""
    parts = _("training accuracy"), _("test, one view"), _("test, all views")
    numbers = Table(_("network"), _("data"), _("parameters"), _("epochs"), _("seconds"), *parts)
    accuracies = findings.train["accuracy"][-1].mean(), findings.accuracy_of_one_view, findings.test_accuracy.mean()
    size, seconds = numeral(findings.parameters), f"{findings.seconds:.0f}"
    cells = _(NETWORKS[findings.network]), _(findings.images.name), size, str(findings.plan.epochs), seconds
    numbers.add_row(*cells, *(f"{accuracy:.1%}" for accuracy in accuracies))
    stacked = Table.grid()
    stacked.add_row(Text(f"print(network)\n{findings.layers}\n"))
    stacked.add_row(numbers)
    return stacked


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "curves": plot_curves(findings),
        "confusion": plot_confusion(findings.probabilities[0], findings.images),
        "feature_maps": plot_feature_maps(findings),
        "mistakes": plot_mistakes(findings.probabilities[0], findings.images),
    }


def plot_curves(findings: Findings) -> Figure:
    """Accuracy and loss against epochs, on training and test pictures."""
    figure, panels = plotting.new(2, width=6.8, height=6.8)
    epochs = range(findings.plan.epochs + 1)
    for panel, name in zip(panels, (N_("accuracy"), N_("loss")), strict=True):
        for curves, label, color in (
            (findings.train, _("training pictures"), plotting.BLUE),
            (findings.test, _("test pictures"), plotting.ORANGE),
        ):
            plotting.quantile_band(panel, epochs, curves[name], label, color, marker="o")
        panel.set(xlabel=_("epoch"), ylabel=_(name))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    start, end = findings.test["accuracy"][0].mean(), findings.accuracy_of_one_view
    train = findings.train["accuracy"][-1].mean()
    panels[0].set_title(_("test: {start:.0%} before training (a guess: 10 %)", start=start))
    panels[1].set_title(_("cross-entropy"))
    panels[0].legend(loc="lower right")
    title = _(
        "{data}, {network} network: right for {train:.1%} of training pictures, {end:.1%} of test pictures",
        data=_(findings.images.name),
        network=_(NETWORKS[findings.network]),
        train=train,
        end=end,
    )
    figure.suptitle(title)
    return figure


def plot_confusion(probabilities: Tensor, images: Images) -> Figure:
    """How often each class is predicted for each true class, in percent of the true class."""
    classes = len(images.classes)
    percent = np.zeros((classes, classes))
    np.add.at(percent, (images.test_labels, probabilities.argmax(-1).numpy()), 1)
    percent *= 100 / np.maximum(percent.sum(1, keepdims=True), 1)
    figure, (panel,) = plotting.new(width=12, height=8.1)
    image = panel.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for (true, predicted), value in np.ndenumerate(percent):
        if value >= 0.5:
            color = "white" if value > 60 else "black"
            panel.text(predicted, true, f"{value:.0f}", ha="center", va="center", color=color)
    panel.set_xticks(range(classes), images.classes, rotation=45, ha="right")
    panel.set_yticks(range(classes), images.classes)
    panel.set(xlabel=_("predicted class"), ylabel=_("true class"))
    mistakes = percent - np.diag(np.diag(percent))
    true, predicted = (images.classes[index] for index in np.unravel_index(mistakes.argmax(), mistakes.shape))
    title = _(
        "Most confused: {true} taken for {predicted} ({percent:.0f} % of them)",
        true=true,
        predicted=predicted,
        percent=mistakes.max(),
    )
    panel.set_title(title)
    figure.colorbar(image, ax=panel, label=_("percent of the true class"))
    panel.grid(visible=False)
    return figure


def strongest(maps: np.ndarray, count: int) -> np.ndarray:
    """The channels of maps (n, C, H, W) that vary most over the pictures, (count,)."""
    return np.argsort(-maps.std((2, 3)).mean(0))[:count]


def plot_feature_maps(findings: Findings, each: int = 2) -> Figure:
    """Test pictures, and what the kernels of each block of layers make of them."""
    columns = 1 + each * len(findings.feature_maps)
    rows = len(findings.examples)
    figure, panels = plotting.new(columns, rows, width=14.4 / columns, height=8.1 / rows)
    for panel in panels:
        panel.axis("off")
    for row, picture in enumerate(findings.examples):
        panels[row * columns].imshow(picture.transpose(1, 2, 0))
        column = 1
        for block, maps in enumerate(findings.feature_maps):
            for channel in strongest(maps, each):
                panel = panels[row * columns + column]
                panel.imshow(maps[row, channel], cmap="gray", vmin=maps[:, channel].min(), vmax=maps[:, channel].max())
                if row == 0:
                    height, width = maps.shape[2:]
                    title = _("block {number}\n{height} x {width}", number=block + 1, height=height, width=width)
                    panel.set_title(title, fontsize=15)
                column += 1
    panels[0].set_title(_("picture\n32 x 32"), fontsize=15)
    title = _(
        "From edges to parts: feature maps shrink from {first} to {last} pixels a side (bright: the kernel fits)",
        first=findings.feature_maps[0].shape[2],
        last=findings.feature_maps[-1].shape[2],
    )
    figure.suptitle(title)
    return figure


def plot_mistakes(probabilities: Tensor, images: Images, count: int = 15) -> Figure:
    """The wrong predictions on test pictures with the highest confidence."""
    confidence, predicted = probabilities.max(-1)
    wrong = predicted.numpy() != images.test_labels
    order = np.argsort(np.where(wrong, confidence.numpy(), -1.0))[::-1][: min(count, int(wrong.sum()))]
    figure, panels = plotting.new(5, 3, width=2.88, height=2.7)
    for panel in panels:
        panel.axis("off")
    for panel, index in zip(panels, order, strict=False):
        panel.imshow(images.test[index].transpose(1, 2, 0))
        prediction, truth = images.classes[int(predicted[index])], images.classes[images.test_labels[index]]
        share = float(confidence[index])
        title = _("{predicted} {share:.0%}\nis {truth}", predicted=prediction, share=share, truth=truth)
        panel.set_title(title, fontsize=14)
    title = _(
        "{wrong:,} mistakes among {count:,} test pictures; the network is surest of these",
        wrong=wrong.sum(),
        count=len(wrong),
    )
    figure.suptitle(title)
    return figure


PAGE = Page(
    question=_("How does a convolutional network tell ten kinds of pictures apart, and what does it see on the way?"),
    formula=(
        _(r"$s_{c}[i, j] = \sigma(b_c + \sum_{d, k, l} W_{c, d}[k, l] \, e_d[i + k, j + l])$ (convolution)"),
        r"$\hat P(i|x) = \exp(\hat y_i) / \sum_c \exp(\hat y_c)$, $L = -\log \hat P(c|x)$",
    ),
    captions={
        "curves": _(
            "Before training, the network is right for about one picture in ten, as a guess would be. "
            "Training and test pictures are both measured as they are; the gap between them is overfitting."
        ),
        "confusion": _(
            "Each row is a true class, and its numbers add up to 100. "
            "Off the diagonal stand the mistakes: classes that look alike are confused most."
        ),
        "feature_maps": _(
            "Each column is one kernel's output for three pictures. "
            "The first block marks edges and colors where they are; later blocks respond to larger parts."
        ),
        "mistakes": _(
            "These wrong predictions have the highest confidence. "
            "Some are hard for people, too; others show what the network has not learned."
        ),
    },
    what_if=(
        ("balancier cifar --network fast", _("how much do depth, batch normalization and the better recipe add?")),
        ("balancier cifar --epochs 30", _("when do the curves of training and test pictures part?")),
        ("balancier cifar --minutes 2", _("how much is learned in the first minutes?")),
    ),
)

LESSON = Lesson(
    flags=Cifar,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier cifar --network fast, and compare it with --network course"),
    metrics=metrics,
    check=lambda flags: load(flags.data, flags.quick),
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("cifar", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
