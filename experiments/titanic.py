"""Titanic (3.4): who survived, learned from class, sex and fare over random splits; columns, scales, a name as input.

A seed is a split: which fifth of the passengers is held out, and where its network starts. All splits train side by
side; each measures its scale on its own training rows.

S seed (split), n passengers, F features, E epochs.
"""

import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.downloads import fetch
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from models import MLP, fit
from models.fitting import accuracy, cross_entropy, evaluate
from models.streams import stream

# A public copy of the passenger list, at one commit: the file's newest state has had rows added to it.
URL = "https://raw.githubusercontent.com/datasciencedojo/datasets/f0ccab6a7ceafdff780052166fb6fab3311398eb/titanic.csv"
SHA256 = "4a437fde05fe5264e1701a7387ac6fb75393772ba38bb2c9c566405af5af4bd7"
INSTEAD = "a network, or --data FILE (the course's columns), or --data reconstructed"

PASSENGERS = 891
COLUMNS = ("p_id", "survived", "cabin_class", "female", "fare")
PUBLIC = ("PassengerId", "Survived", "Pclass", "Sex", "Fare")  # the same columns in the public copy
CLASSES = (1, 2, 3)

# Published counts: (cabin class, female) -> (survived, died).
COUNTS = {(1, 1): (91, 3), (1, 0): (45, 77), (2, 1): (70, 6), (2, 0): (17, 91), (3, 1): (72, 72), (3, 0): (47, 300)}
# Lowest and highest fare that was paid in each class, pounds.
FARES = {1: (5.0, 512.329), 2: (10.5, 73.5), 3: (4.013, 69.55)}

HELD_OUT = 0.2  # share of the passengers that a split validates on
SPLIT, FARE = 340, 341  # random streams
SUSPECT = 0.83  # a higher accuracy from these three features deserves a second look


@dataclass(frozen=True)
class Titanic(Flags):
    """Who survived the Titanic, learned from class, sex and fare; columns, scales, and a name as input."""

    data: str = "auto"
    """A FILE in the course's columns, "download", "reconstructed" (from published counts), or "auto": the download,
    and without a network the reconstruction."""
    hidden: int = 32
    """Units of the hidden layer."""
    epochs: int = 100
    """Passes over the training passengers."""
    learning_rate: float = 1e-3
    """Of Adam."""
    batch_size: int = 32
    """Passengers of a minibatch."""


@dataclass(frozen=True)
class Passengers:
    """The columns, (n,) each, and where they come from."""

    p_id: np.ndarray
    survived: np.ndarray
    cabin_class: np.ndarray
    female: np.ndarray
    fare: np.ndarray  # pounds
    source: str = ""
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.p_id)

    @property
    def table(self) -> np.ndarray:
        """All columns, (n, 5)."""
        return np.stack([getattr(self, name) for name in COLUMNS], 1).astype(np.float64)

    @property
    def majority(self) -> float:
        """Accuracy of whoever always guesses the more frequent outcome."""
        return float(max(self.survived.mean(), 1 - self.survived.mean()))


def load(data: str) -> Passengers:
    """The passengers that --data asks for; UsageError if they are not to be had."""
    if data == "reconstructed":
        return reconstruct()
    if data not in ("auto", "download"):
        return read(Path(data), "--data")
    try:
        return read(fetch(URL, SHA256, "titanic.csv", INSTEAD), "--data", "download")
    except UsageError as error:
        if data == "download":
            raise
        return reconstruct([str(error), "Going on with reconstructed data, which every figure names as such."])


def read(path: Path, flag: str, source: str | None = None) -> Passengers:
    """Passengers from a file in the course's columns, or in those of the public copy.

    Raises:
        UsageError: in one line, with the file, the line, what was found and what was expected.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"{flag}: found {path}, which is no text, expected a table of {', '.join(COLUMNS)}") from None
    except OSError as error:
        reason = error.strerror or "unreadable"
        expected = "a file, or download, reconstructed or auto"
        raise UsageError(f"{flag}: found no file {path} ({reason}), expected {expected}") from None
    rows = [(number, row) for number, row in enumerate(csv.reader(lines), 1) if row]
    header = [name.strip(" #") for name in rows[0][1]] if rows else []
    names = COLUMNS if set(COLUMNS) <= set(header) else PUBLIC
    if not set(names) <= set(header):
        found = ", ".join(header)[:60] or "nothing"
        raise UsageError(f"{flag}: {path}, line 1: found {found}, expected the columns {', '.join(COLUMNS)}")
    places, values = [header.index(name) for name in names], []
    for number, row in rows[1:]:
        try:
            if len(row) != len(header):
                raise ValueError(f"found {len(row)} columns, expected {len(header)}")
            values.append(parse([row[place].strip() for place in places]))
        except ValueError as error:
            raise UsageError(f"{flag}: {path}, line {number}: {error}") from None
    if len(values) != PASSENGERS:
        raise UsageError(f"{flag}: {path}: found {len(values)} passengers, expected {PASSENGERS}")
    columns = np.array(values).T
    if len(np.unique(columns[0])) < len(values):
        raise UsageError(f"{flag}: {path}: found a {names[0]} twice, expected a different one for each passenger")
    if len(np.unique(columns[1])) < 2:
        raise UsageError(f"{flag}: {path}: found {names[1]} the same for all, expected survivors and others")
    p_id, survived, cabin_class, female = columns[:4].astype(np.int64)
    return Passengers(p_id, survived, cabin_class, female, columns[4], source or path.name)


def parse(row: Sequence[str]) -> list[float]:
    """The five numbers of a passenger; ValueError if one is out of its range."""
    words = [{"male": "0", "female": "1"}.get(word, word) for word in row]
    allowed: dict[str, tuple[str, Callable[[float], bool]]] = {
        "p_id": ("a whole number, 0 or more", lambda x: x >= 0 and x == int(x)),
        "survived": ("0 or 1", lambda x: x in (0, 1)),
        "cabin_class": ("1, 2 or 3", lambda x: x in CLASSES),
        "female": ("0 or 1", lambda x: x in (0, 1)),
        "fare": ("a number, 0 or more", lambda x: x >= 0),
    }
    numbers = []
    for word, (name, (what, right)) in zip(words, allowed.items(), strict=True):
        try:
            number = float(word)
        except ValueError:
            number = float("nan")
        if not (np.isfinite(number) and right(number)):
            raise ValueError(f"found {name} {word!r}, expected {what}")
        numbers.append(number)
    return numbers


def reconstruct(notes: Sequence[str] = ()) -> Passengers:
    """As many passengers of each class, sex and fate as were published, in random order; always the same ones.

    Fares are drawn log-uniformly between the lowest and the highest of the class, so they say of a passenger's fate no
    more than the class does.
    """
    generator = stream(0, FARE)
    kinds = [
        (survived, cabin_class, female)
        for (cabin_class, female), counts in COUNTS.items()
        for survived, count in zip((1, 0), counts, strict=True)
        for _ in range(count)
    ]
    survived, cabin_class, female = generator.permutation(np.array(kinds)).T
    low, high = np.log(np.array([FARES[number] for number in cabin_class])).T
    fare = np.exp(generator.uniform(low, high)).round(3)
    return Passengers(np.arange(len(kinds)), survived, cabin_class, female, fare, "reconstructed", list(notes))


# What the columns say


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r, the mean product of two standardized columns (n,)."""
    return float(np.mean((a - a.mean()) / a.std() * ((b - b.mean()) / b.std())))


def correlations(table: np.ndarray) -> np.ndarray:
    """Pearson's r of every pair of columns: (n, F) -> (F, F)."""
    return np.array([[pearson(a, b) for b in table.T] for a in table.T])


def pearson_properties(table: np.ndarray) -> dict[str, float]:
    """How far the correlations of a table are from what holds for any: all zero, but for rounding."""
    r, units = correlations(table), np.array([3.0, 0.1, 7.0, 2.0, 100.0])
    return {
        "symmetric": float(abs(r - r.T).max()),
        "1 with itself": float(abs(np.diag(r) - 1).max()),
        "within [-1, 1]": float(np.clip(abs(r) - 1, 0, None).max()),
        "blind to units and origin": float(abs(correlations(table * units + 5) - r).max()),
        "sign turns with a column": float(abs(correlations(table * [1, 1, 1, 1, -1])[4, :4] + r[4, :4]).max()),
    }


def columns_table(passengers: Passengers) -> Table:
    """Type, different values and statistics of each column."""
    table = Table("column", "type", "different", "min", "max", "mean", "std", title=f"{len(passengers)} passengers")
    for name in COLUMNS:
        column = getattr(passengers, name)
        numbers = column.min(), column.max(), column.mean(), column.std()
        kind = "number" if column.dtype.kind == "f" else "whole number"
        table.add_row(name, kind, str(len(np.unique(column))), *(f"{number:.6g}" for number in numbers))
    return table


# What a network sees


def one_hot(column: np.ndarray) -> np.ndarray:
    """A column of 0 and 1 for each different value: (n,) -> (n, values)."""
    return (column[:, None] == np.unique(column)).astype(np.float64)


def splits(count: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows to validate on, (S, 0.8 n) and (S, 0.2 n), a random split for each seed."""
    held = round(count * HELD_OUT)
    order = torch.from_numpy(np.stack([stream(seed, SPLIT).permutation(count) for seed in seeds]))
    return order[:, held:], order[:, :held]


class Standardized(nn.Module):
    """S networks behind S scales: each subtracts the mean and divides by the deviation of its own training rows."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, x: Tensor, rows: Tensor):
        super().__init__()
        own = x[rows]  # (S, rows, F)
        std = own.std(1, keepdim=True, correction=0)
        self.network = network
        self.register_buffer("mean", own.mean(1, keepdim=True))
        self.register_buffer("std", torch.where(std > 0, std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.mean) / self.std)


@dataclass
class Trained:
    """A network over all splits, what it learned from, and how it went."""

    network: nn.Module
    data: TensorDataset
    held: Tensor  # (S, rows) to validate on
    train: dict[str, np.ndarray]  # loss and accuracy, (E + 1, S): before training and after every epoch
    validation: dict[str, np.ndarray]

    @property
    def confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each held-out passenger: the probability of the predicted outcome, and whether it was right; (S, rows)."""
        x, y = self.data.tensors
        with torch.no_grad():
            chance, guess = F.softmax(self.network(x[self.held]), -1).max(-1)
        return chance.numpy(), (guess == y[self.held]).numpy()


def learn(
    features: np.ndarray, survived: np.ndarray, flags: Titanic, epochs: int, tick: Callable[[], None], scale: bool
) -> Trained:
    """Train one network a split on features (n, F), standardized if `scale`."""
    x = torch.tensor(features, dtype=torch.get_default_dtype())
    data = TensorDataset(x, torch.tensor(survived))
    rows, held = splits(len(x), flags.all_seeds)
    network: nn.Module = MLP(x.shape[1], (flags.hidden,), 2, seeds=flags.all_seeds)
    network = Standardized(network, x, rows) if scale else network
    parts = {"train": rows, "validation": held}
    seen: dict[str, list[dict[str, Tensor]]] = {part: [] for part in parts}

    def look(*_: Any) -> None:
        for part, index in parts.items():
            seen[part].append(evaluate(network, data, {"loss": cross_entropy, "accuracy": accuracy}, index))

    def watch(*_: Any) -> None:
        look()
        tick()

    look()
    fit(
        network,
        data,
        cross_entropy,
        seeds=flags.all_seeds,
        epochs=epochs,
        batch_size=flags.batch_size,
        learning_rate=flags.learning_rate,
        indices=rows,
        callback=watch,
    )
    curves = {
        part: {name: np.stack([epoch[name].numpy() for epoch in found]) for name in ("loss", "accuracy")}
        for part, found in seen.items()
    }
    return Trained(network, data, held, curves["train"], curves["validation"])


def inputs(passengers: Passengers) -> dict[str, tuple[np.ndarray, bool]]:
    """What the networks are given, name -> (features (n, F), whether they are standardized)."""
    sex, fare, cabin_class = passengers.female[:, None], passengers.fare[:, None], passengers.cabin_class[:, None]
    hot = np.concatenate([one_hot(passengers.cabin_class), sex, fare], 1)
    return {
        "one-hot class, standardized": (hot, True),
        "one-hot class, as it is": (hot, False),
        "class as a number, standardized": (np.concatenate([cabin_class, sex, fare], 1), True),
        "sex alone": (sex, True),
        "p_id alone, one-hot": (one_hot(passengers.p_id), False),
        "p_id alone, as a number": (passengers.p_id[:, None], True),
    }


MAIN, RAW, NUMBER, SEX, NAME, COUNT = range(6)  # of the inputs


def titanic(flags: Titanic) -> None:
    for name, least in (("hidden", 1), ("epochs", 1), ("batch_size", 1)):
        if (value := getattr(flags, name)) < least:
            raise UsageError(f"--{name.replace('_', '-')}: found {value}, expected at least {least}")
    if not flags.learning_rate > 0:
        raise UsageError(f"--learning-rate: found {flags.learning_rate}, expected a number above 0")
    passengers = load(flags.data)
    epochs = min(flags.epochs, 40) if flags.quick else flags.epochs
    run = Run("titanic", flags)
    console.print(f"titanic: {flags.seeds} splits, about {duration(3 + 0.005 * epochs * (5 + flags.seeds))}")
    for note in passengers.notes:
        console.print(note, highlight=False, soft_wrap=True)
    console.print(columns_table(passengers))
    survivors = int(passengers.survived.sum())
    console.print(
        f"Survivors: {survivors} of {len(passengers)}; always guessing the majority: {passengers.majority:.3f}"
    )
    variants = inputs(passengers)
    with ProgressBar(len(variants) * epochs, "training") as progress:
        trained = [
            learn(x, passengers.survived, flags, epochs, progress.advance, scale) for x, scale in variants.values()
        ]
    named = dict(zip(variants, trained, strict=True))
    for name, found in named.items():
        for epoch in range(epochs + 1):
            run.log(epoch, f"train accuracy, {name}", found.train["accuracy"][epoch])
            run.log(epoch, f"validation accuracy, {name}", found.validation["accuracy"][epoch])
    properties = pearson_properties(passengers.table)
    drawn = {
        "columns": draw_columns(passengers),
        "correlation": draw_correlation(passengers, properties),
        "learning": draw_learning(trained, passengers.majority),
        "confidence": draw_confidence(trained[MAIN]),
        "p_id": draw_p_id(trained, passengers.majority),
    }
    for name, figure in drawn.items():
        run.figure(marked(figure, passengers), name)
    final = trained[MAIN].validation["accuracy"][-1]
    result = {
        "data": passengers.source,
        "valid_accuracy": [round(float(value), 4) for value in final],
        "valid_accuracy_mean": round(float(final.mean()), 4),
        "start_accuracy": round(float(trained[MAIN].validation["accuracy"][0].mean()), 4),
        "majority": round(passengers.majority, 4),
        "pid_train_accuracy": round(float(trained[NAME].train["accuracy"][-1].mean()), 4),
        "pid_valid_accuracy": round(float(trained[NAME].validation["accuracy"][-1].mean()), 4),
        "valid_accuracy_by_input": {
            name: round(float(found.validation["accuracy"][-1].mean()), 4) for name, found in named.items()
        },
        "pearson_deviation": properties,
    }
    run.finish(result)
    table = Table("input", "training accuracy", "validation accuracy (range of splits)")
    for name, found in named.items():
        train, new = (part["accuracy"][-1] for part in (found.train, found.validation))
        table.add_row(name, f"{train.mean():.3f}", f"{new.mean():.3f} ({new.min():.3f} to {new.max():.3f})")
    if final.mean() > SUSPECT:
        console.print(f"More than {SUSPECT} from class, sex and fare is suspect: do training rows leak?")
    run.close(table, "balancier titanic --hidden 500 --epochs 500, and see whether more is better")


# Figures


def marked(figure: Figure, passengers: Passengers) -> Figure:
    """The figure, with a word on reconstructed data where they are."""
    if passengers.source == "reconstructed":
        what = "RECONSTRUCTED DATA: published counts of class, sex and survival; fares drawn at random"
        figure.suptitle(what, color=plotting.RED, fontsize=15)
    return figure


def draw_columns(passengers: Passengers) -> Figure:
    """A column that is a name, one that is a category, and who survived."""
    figure, panels = plotting.new(3, width=6.2)
    values = np.unique(passengers.p_id)
    panels[0].plot(np.arange(1, len(values) + 1), values, color=plotting.BLUE)
    panels[0].set(title=f"p_id: {len(values)} values, each once", xlabel="different values, in order", ylabel="p_id")
    for row, (outcome, color) in enumerate((("died", plotting.GRAY), ("survived", plotting.GREEN))):
        counts = [((passengers.cabin_class == k) & (passengers.survived == row)).sum() for k in CLASSES]
        below = [((passengers.cabin_class == k) & (passengers.survived < row)).sum() for k in CLASSES]
        bars = panels[1].bar(CLASSES, counts, bottom=below, color=color, label=outcome, width=0.7)
        panels[1].bar_label(bars, label_type="center", color="white")
    share = passengers.survived.mean()
    panels[1].set(title=f"cabin_class: 3 values; {share:.1%} survived", xlabel="cabin class", ylabel="passengers")
    panels[1].set_xticks(CLASSES)
    panels[1].legend(loc="upper left")
    for offset, female, color, label in ((-0.2, 1, plotting.PURPLE, "female"), (0.2, 0, plotting.SKY, "male")):
        groups = [passengers.survived[(passengers.cabin_class == k) & (passengers.female == female)] for k in CLASSES]
        shares = [group.mean() if len(group) else 0.0 for group in groups]
        bars = panels[2].bar(np.array(CLASSES) + offset, shares, 0.38, color=color, label=label)
        panels[2].bar_label(bars, [f"{share:.2f}" for share in shares])
    women, men = (passengers.survived[passengers.female == female].mean() for female in (1, 0))
    panels[2].set(title=f"survived: women {women:.0%}, men {men:.0%}")
    panels[2].set(xlabel="cabin class", ylabel="share that survived", ylim=(0, 1.1))
    panels[2].set_xticks(CLASSES)
    panels[2].legend(loc="upper right")
    return figure


def draw_correlation(passengers: Passengers, properties: dict[str, float]) -> Figure:
    """Pearson's r of all pairs of columns, and what always holds for it."""
    figure, (axes, words) = plotting.new(2, width=7.5, height=6.2, width_ratios=(1.2, 1))
    r = correlations(passengers.table)
    image = axes.imshow(r, cmap="RdBu_r", vmin=-1, vmax=1)
    for i, j in np.ndindex(r.shape):
        axes.text(j, i, f"{r[i, j]:.2f}", ha="center", va="center", color="white" if abs(r[i, j]) > 0.6 else "black")
    axes.set_xticks(range(len(COLUMNS)), COLUMNS, rotation=30, ha="right")
    axes.set_yticks(range(len(COLUMNS)), COLUMNS)
    axes.grid(False)
    figure.colorbar(image, ax=axes, label="Pearson's r", shrink=0.85)
    strongest = max(range(len(COLUMNS)), key=lambda column: abs(r[1, column]) * (column != 1))
    axes.set_title(f"survived goes with {COLUMNS[strongest]} most: r = {r[1, strongest]:.2f}")
    words.axis("off")
    words.set_title("Pearson's r: what holds for any columns,\nand the largest deviation here")
    for row, (name, deviation) in enumerate(properties.items()):
        height = 0.85 - 0.17 * row
        words.text(0.0, height, name, fontsize=17, transform=words.transAxes)
        words.text(1.0, height, f"{deviation:.0e}" if deviation else "0", ha="right", transform=words.transAxes)
    return figure


def curve(axes: Axes, values: np.ndarray, label: str, color: str, **style: Any) -> None:
    """Mean over splits of values (E, S) with their range, against the epoch."""
    epochs = list(range(len(values)))
    plotting.band(axes, epochs, values.min(1), values.mean(1), values.max(1), label, color, **style)


def draw_learning(trained: Sequence[Trained], majority: float) -> Figure:
    """Loss and accuracy over the epochs, and what normalization does."""
    figure, panels = plotting.new(3, width=6.2)
    main = trained[MAIN]
    for panel, name in zip(panels, ("loss", "accuracy"), strict=False):
        curve(panel, main.train[name], "training", plotting.BLUE)
        curve(panel, main.validation[name], "validation", plotting.ORANGE)
    loss, start, end = main.validation["loss"], *main.validation["accuracy"][[0, -1]].mean(1)
    panels[0].set(title=f"loss, {loss.shape[1]} splits: {loss[0].mean():.2f} to {loss[-1].mean():.2f}")
    panels[0].set(ylabel="cross-entropy (mean, range)")
    panels[1].set(title=f"accuracy: {start:.2f} (a coin: 0.50) to {end:.3f}", ylabel="accuracy (mean, range)")
    labels = "standardized", "as it is", "class as a number"
    kinds = zip((MAIN, RAW, NUMBER), labels, (plotting.ORANGE, plotting.GRAY, plotting.GREEN), strict=True)
    for index, label, color in kinds:
        curve(panels[2], trained[index].validation["accuracy"], label, color)
    raw = trained[RAW].validation["accuracy"][-1].mean()
    panels[2].set(title=f"raw columns: {raw:.3f} instead of {end:.3f}", ylabel="validation accuracy")
    sex = trained[SEX].validation["accuracy"][-1].mean()
    for panel in panels[1:]:
        panel.axhline(sex, color="black", linestyle=":", linewidth=1.5, label=f"sex alone {sex:.3f}")
        panel.axhline(majority, color="black", linestyle="--", linewidth=1.5, label=f"majority {majority:.3f}")
        panel.set_ylim(0.2, 0.9)
    for panel in panels:
        panel.set_xlabel("epochs")
        panel.legend(loc="best" if panel is panels[0] else "lower right")
    return figure


def draw_confidence(main: Trained) -> Figure:
    """Loss against error, and how sure the network is when it is right and when it is wrong."""
    figure, panels = plotting.new(3, width=6.2)
    for part, color, name in (
        (main.train, plotting.BLUE, "training"),
        (main.validation, plotting.ORANGE, "validation"),
    ):
        loss, error = part["loss"].mean(1), 1 - part["accuracy"].mean(1)
        panels[0].plot(loss, error, ".-", color=color, label=name, linewidth=1.2, markersize=7)
    loss, error = main.validation["loss"].mean(1), 1 - main.validation["accuracy"].mean(1)
    late = len(loss) // 10  # the first epochs dwarf the rest
    inset = panels[0].inset_axes((0.14, 0.47, 0.42, 0.4))
    inset.plot(loss[late:], error[late:], ".-", color=plotting.ORANGE, linewidth=1, markersize=5)
    inset.set_title(f"validation from epoch {late} on", fontsize=13)
    inset.tick_params(labelsize=11)
    inset.locator_params(nbins=3)
    panels[0].set(title=f"least loss after epoch {loss.argmin()}, least error after {error.argmin()}")
    panels[0].set(xlabel="cross-entropy, which is minimized", ylabel="error, which is meant (mean)")
    panels[0].legend(loc="lower right")
    confidence, right = main.confidence
    edges = np.linspace(0.5, 1, 11)
    groups, colors = [confidence[~right], confidence[right]], [plotting.RED, plotting.GREEN]
    labels = [f"{name}: {len(group)}" for name, group in zip(("wrong", "right"), groups, strict=True)]
    panels[1].hist(groups, edges, color=colors, label=labels, stacked=True)  # type: ignore[arg-type]
    sure = confidence > 0.9
    wrong = f"{(~right[sure]).mean():.0%} of them wrong" if sure.any() else "none"
    panels[1].set(title=f"surer than 0.9: {sure.mean():.0%}, {wrong}")
    panels[1].set(xlabel="probability of the predicted outcome", ylabel="held-out passengers, all splits")
    panels[1].legend(loc="upper left")
    place = np.clip(np.digitize(confidence, edges) - 1, 0, 9)
    filled = [k for k in range(10) if (place == k).sum() >= 20]  # of fewer the share says little
    said, true = ([values[place == k].mean() for k in filled] for values in (confidence, right))
    panels[2].plot([0.5, 1], [0.5, 1], color="black", linestyle="--", label="as sure as right")
    panels[2].plot(said, true, "o-", color=plotting.BLUE, label="network")
    gap = confidence.mean() - right.mean()
    panels[2].set(title=f"confidence minus accuracy: {gap:+.3f}", xlabel="confidence (mean of a bin)")
    panels[2].set(ylabel="share that is right", ylim=(0.3, 1.03))
    panels[2].legend(loc="lower right")
    return figure


def draw_p_id(trained: Sequence[Trained], majority: float) -> Figure:
    """A passenger's number as the only input: learned by heart, worthless for others."""
    figure, panels = plotting.new(2, width=8)
    for panel, index, kind in zip(panels, (NAME, COUNT), ("one-hot", "as a number"), strict=True):
        found = trained[index]
        curve(panel, found.train["accuracy"], "training", plotting.BLUE)
        curve(panel, found.validation["accuracy"], "validation", plotting.ORANGE)
        panel.axhline(majority, color="black", linestyle="--", linewidth=1.5, label=f"majority {majority:.3f}")
        train, new = found.train["accuracy"][-1].mean(), found.validation["accuracy"][-1].mean()
        panel.set(title=f"p_id alone, {kind}: training {train:.2f}, new {new:.2f}")
        panel.set(xlabel="epochs", ylabel="accuracy (mean, range of splits)", ylim=(0.2, 1.03))
        panel.legend(loc="lower right")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("titanic", Titanic, titanic, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
