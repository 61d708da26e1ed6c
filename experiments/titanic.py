"""Titanic (3.4): predict who survived from cabin class, sex and fare. A network with one hidden layer is trained on
random splits of the passengers, and its validation accuracy is compared with simple guesses. The figures show the
columns and their correlations, the effect of standardization, how far the network's confidence can be trusted, and
why a passenger's number must not be an input.

A seed is a split: it decides which fifth of the passengers is the validation set, and the initial weights of the
network. All splits train side by side. Each split standardizes its inputs by its own training set.

S seed (split), n passengers, F features, E epochs.
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
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from envs.datasets import Standardize
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from experiments.common.titanic_data import CLASSES, COLUMNS, Passengers, load
from models import MLP, fit
from models.fitting import accuracy, cross_entropy, evaluate
from models.streams import stream

VALIDATION_SHARE = 0.2  # of the passengers
SPLIT = 340  # random stream
SUSPECT = 0.83  # a higher accuracy from these three features deserves a second look

# The inputs, by the names that result.json and metrics.csv have.
MAIN = "one-hot class, standardized"
RAW = "one-hot class, as it is"
NUMBER = "class as a number, standardized"
SEX = "sex alone"
NAME = "p_id alone, one-hot"
NAME_AS_NUMBER = "p_id alone, as a number"


@dataclass(frozen=True)
class Titanic(Flags):
    """Predict who survived the Titanic from cabin class, sex and fare."""

    data: str = "auto"
    """A FILE with the course's columns, "download", "reconstructed" (from published counts), or "auto": the download,
    or without a network the reconstruction."""
    hidden: Annotated[int, at_least(1)] = 32
    """Units of the hidden layer."""
    epochs: Annotated[int, at_least(1)] = 100
    """Passes over the training set."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Learning rate of Adam."""
    batch_size: Annotated[int, at_least(1)] = 32
    """Passengers in a minibatch."""

    @property
    def epochs_to_run(self) -> int:
        return min(self.epochs, 40) if self.quick else self.epochs


@dataclass(frozen=True)
class Training:
    """Loss and accuracy before training and after each epoch, (E + 1, S), and the last answers on validation data."""

    train: dict[str, np.ndarray]
    validation: dict[str, np.ndarray]
    confidence: np.ndarray  # (S, validation passengers): probability of the predicted outcome
    correct: np.ndarray  # (S, validation passengers): whether the prediction is right

    @property
    def final(self) -> tuple[np.ndarray, np.ndarray]:
        """Training and validation accuracy after the last epoch, (S,) each."""
        return self.train["accuracy"][-1], self.validation["accuracy"][-1]


@dataclass(frozen=True)
class Findings:
    passengers: Passengers
    seeds: list[int]
    properties: dict[str, float]  # of Pearson's r: largest deviation of each
    trainings: dict[str, Training]  # one for each input


# Correlation


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r, the mean product of two standardized columns (n,)."""
    return float(np.mean((a - a.mean()) / a.std() * ((b - b.mean()) / b.std())))


def correlations(table: np.ndarray) -> np.ndarray:
    """Pearson's r of every pair of columns: (n, F) -> (F, F)."""
    return np.array([[pearson(a, b) for b in table.T] for a in table.T])


def pearson_properties(table: np.ndarray) -> dict[str, float]:
    """Properties that Pearson's r has for any table, and their largest deviation in this one: zero up to rounding."""
    r, units = correlations(table), np.array([3.0, 0.1, 7.0, 2.0, 100.0])
    return {
        "symmetric": float(abs(r - r.T).max()),
        "1 with itself": float(abs(np.diag(r) - 1).max()),
        "within [-1, 1]": float(np.clip(abs(r) - 1, 0, None).max()),
        "blind to units and origin": float(abs(correlations(table * units + 5) - r).max()),
        "sign turns with a column": float(abs(correlations(table * [1, 1, 1, 1, -1])[4, :4] + r[4, :4]).max()),
    }


# Training


def one_hot(column: np.ndarray) -> np.ndarray:
    """A column of 0 and 1 for each different value: (n,) -> (n, values)."""
    return (column[:, None] == np.unique(column)).astype(np.float64)


def splits(count: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the validation set, (S, 0.8 n) and (S, 0.2 n), a random split for each seed."""
    num_validation = round(count * VALIDATION_SHARE)
    order = torch.from_numpy(np.stack([stream(seed, SPLIT).permutation(count) for seed in seeds]))
    return order[:, num_validation:], order[:, :num_validation]


def standardizer(x: Tensor, indices: Tensor) -> Standardize:
    """Mean and standard deviation, (S, 1, F), of each split's own training set: x (n, F) at indices (S, training)."""
    training_set = x[indices]  # (S, training, F)
    std = training_set.std(1, keepdim=True, correction=0)
    return Standardize(training_set.mean(1, keepdim=True), torch.where(std > 0, std, 1.0))


class OnStandardized(nn.Module):
    """S networks, each of which sees its input (S, B, F) standardized."""

    def __init__(self, network: nn.Module, standardize: Standardize):
        super().__init__()
        self.network, self.standardize = network, standardize

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.standardize.apply(x))


def inputs(passengers: Passengers) -> dict[str, tuple[np.ndarray, bool]]:
    """Inputs to compare: name -> (features (n, F), whether they are standardized)."""
    sex, fare, cabin_class = passengers.female[:, None], passengers.fare[:, None], passengers.cabin_class[:, None]
    features = np.concatenate([one_hot(passengers.cabin_class), sex, fare], 1)
    return {
        MAIN: (features, True),
        RAW: (features, False),
        NUMBER: (np.concatenate([cabin_class, sex, fare], 1), True),
        SEX: (sex, True),
        NAME: (one_hot(passengers.p_id), False),
        NAME_AS_NUMBER: (passengers.p_id[:, None], True),
    }


def train_splits(
    features: np.ndarray, standardize: bool, survived: np.ndarray, flags: Titanic, advance: Callable[[], None]
) -> Training:
    """Train one network for each split on features (n, F); `advance` is called after each epoch."""
    x = torch.tensor(features, dtype=torch.get_default_dtype())
    data = TensorDataset(x, torch.tensor(survived))
    parts = dict(zip(("train", "validation"), splits(len(x), flags.all_seeds), strict=True))
    network: nn.Module = MLP(x.shape[1], (flags.hidden,), 2, seeds=flags.all_seeds)
    network = OnStandardized(network, standardizer(x, parts["train"])) if standardize else network
    metrics = {"loss": cross_entropy, "accuracy": accuracy}
    records: dict[str, list[dict[str, Tensor]]] = {part: [] for part in parts}

    def record() -> None:
        for part, indices in parts.items():
            records[part].append(evaluate(network, data, metrics, indices))

    def after_epoch(*_: Any) -> None:
        record()
        advance()

    record()
    fit(
        network,
        data,
        cross_entropy,
        seeds=flags.all_seeds,
        epochs=flags.epochs_to_run,
        batch_size=flags.batch_size,
        learning_rate=flags.learning_rate,
        indices=parts["train"],
        callback=after_epoch,
    )
    curves = {
        part: {name: np.stack([epoch[name].numpy() for epoch in epochs]) for name in metrics}
        for part, epochs in records.items()
    }
    with torch.no_grad():
        confidence, prediction = F.softmax(network(x[parts["validation"]]), -1).max(-1)
    correct = prediction == data.tensors[1][parts["validation"]]
    return Training(curves["train"], curves["validation"], confidence.numpy(), correct.numpy())


def measure(flags: Titanic) -> Findings:
    passengers = load(flags.data)
    trainings = {}
    with ProgressBar(len(inputs(passengers)) * flags.epochs_to_run, "training") as progress:
        for name, (features, standardize) in inputs(passengers).items():
            trainings[name] = train_splits(features, standardize, passengers.survived, flags, progress.advance)
    return Findings(passengers, flags.all_seeds, pearson_properties(passengers.table), trainings)


# Output


def forecast(flags: Titanic) -> str:
    seconds = duration(3 + 0.005 * flags.epochs_to_run * (5 + flags.seeds))
    return "\n".join([f"{flags.seeds} splits, about {seconds}", *load(flags.data).notes])


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, training in findings.trainings.items():
        for epoch in range(len(training.train["accuracy"])):
            yield epoch, f"train accuracy, {name}", training.train["accuracy"][epoch], findings.seeds
            yield epoch, f"validation accuracy, {name}", training.validation["accuracy"][epoch], findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    main, (name_train, name_validation) = findings.trainings[MAIN], findings.trainings[NAME].final
    final = main.final[1]
    return {
        "data": findings.passengers.source,
        "valid_accuracy": [round(float(value), 4) for value in final],
        "valid_accuracy_mean": round(float(final.mean()), 4),
        "start_accuracy": round(float(main.validation["accuracy"][0].mean()), 4),
        "majority": round(findings.passengers.majority, 4),
        "pid_train_accuracy": round(float(name_train.mean()), 4),
        "pid_valid_accuracy": round(float(name_validation.mean()), 4),
        "valid_accuracy_by_input": {
            name: round(float(training.final[1].mean()), 4) for name, training in findings.trainings.items()
        },
        "pearson_deviation": findings.properties,
    }


def columns_table(passengers: Passengers) -> Table:
    """Type, number of different values and statistics of each column."""
    table = Table("column", "type", "different", "min", "max", "mean", "std", title=f"{len(passengers)} passengers")
    for name in COLUMNS:
        column = getattr(passengers, name)
        numbers = column.min(), column.max(), column.mean(), column.std()
        kind = "number" if column.dtype.kind == "f" else "whole number"
        table.add_row(name, kind, str(len(np.unique(column))), *(f"{number:.6g}" for number in numbers))
    return table


def table(findings: Findings) -> Table:
    """The columns, and the accuracy for each input."""
    passengers, final = findings.passengers, findings.trainings[MAIN].final[1]
    accuracies = Table("input", "training accuracy", "validation accuracy (range of splits)")
    for name, training in findings.trainings.items():
        train, validation = training.final
        spread = f"{validation.min():.3f} to {validation.max():.3f}"
        accuracies.add_row(name, f"{train.mean():.3f}", f"{validation.mean():.3f} ({spread})")
    stacked = Table.grid()
    stacked.add_row(columns_table(passengers))
    survivors = f"Survivors: {passengers.survived.sum()} of {len(passengers)}"
    stacked.add_row(f"{survivors}; always guessing the majority: {passengers.majority:.3f}")
    stacked.add_row(accuracies)
    if final.mean() > SUSPECT:
        stacked.add_row(f"More than {SUSPECT} from class, sex and fare is suspect: is the validation set trained on?")
    return stacked


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    passengers, trainings = findings.passengers, findings.trainings
    drawn = {
        "columns": plot_columns(passengers),
        "correlation": plot_correlation(passengers, findings.properties),
        "learning": plot_learning(trainings, passengers.majority),
        "confidence": plot_confidence(trainings[MAIN]),
        "p_id": plot_p_id(trainings, passengers.majority),
    }
    if passengers.source == "reconstructed":
        notice = "RECONSTRUCTED DATA: published counts of class, sex and survival; fares drawn at random"
        for figure in drawn.values():
            figure.suptitle(notice, color=plotting.RED, fontsize=15)
    return drawn


def plot_columns(passengers: Passengers) -> Figure:
    """A column that is only a name, one that is a category, and the survivors."""
    figure, panels = plotting.new(3, width=6.2)
    values = np.unique(passengers.p_id)
    panels[0].plot(np.arange(1, len(values) + 1), values, color=plotting.BLUE)
    panels[0].set(title=f"p_id: {len(values)} values, each once", xlabel="different values, in order", ylabel="p_id")
    for survived, (outcome, color) in enumerate((("died", plotting.GRAY), ("survived", plotting.GREEN))):
        counts = [((passengers.cabin_class == k) & (passengers.survived == survived)).sum() for k in CLASSES]
        below = [((passengers.cabin_class == k) & (passengers.survived < survived)).sum() for k in CLASSES]
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


def plot_correlation(passengers: Passengers, properties: dict[str, float]) -> Figure:
    """Pearson's r of all pairs of columns, and the properties that it always has."""
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
    axes.set_title(f"survived is correlated most with {COLUMNS[strongest]}: r = {r[1, strongest]:.2f}")
    words.axis("off")
    words.set_title("Properties that Pearson's r has for any columns,\nand the largest deviation here")
    for row, (name, deviation) in enumerate(properties.items()):
        height = 0.85 - 0.17 * row
        words.text(0.0, height, name, fontsize=17, transform=words.transAxes)
        words.text(1.0, height, f"{deviation:.0e}" if deviation else "0", ha="right", transform=words.transAxes)
    return figure


def curve(axes: Axes, values: np.ndarray, label: str, color: str) -> None:
    """Mean and range over the splits of values (E + 1, S), against epochs."""
    plotting.mean_band(axes, range(len(values)), values, label, color)


def plot_learning(trainings: dict[str, Training], majority: float) -> Figure:
    """Loss and accuracy against epochs, and the effect of standardization."""
    figure, panels = plotting.new(3, width=6.2)
    main = trainings[MAIN]
    for panel, name in zip(panels, ("loss", "accuracy"), strict=False):
        curve(panel, main.train[name], "training", plotting.BLUE)
        curve(panel, main.validation[name], "validation", plotting.ORANGE)
    loss, start, end = main.validation["loss"], *main.validation["accuracy"][[0, -1]].mean(1)
    panels[0].set(title=f"loss, {loss.shape[1]} splits: {loss[0].mean():.2f} to {loss[-1].mean():.2f}")
    panels[0].set(ylabel="cross-entropy (mean, range)")
    panels[1].set(title=f"accuracy: {start:.2f} (a coin: 0.50) to {end:.3f}", ylabel="accuracy (mean, range)")
    labels = "standardized", "as it is", "class as a number"
    colors = plotting.ORANGE, plotting.GRAY, plotting.GREEN
    for name, label, color in zip((MAIN, RAW, NUMBER), labels, colors, strict=True):
        curve(panels[2], trainings[name].validation["accuracy"], label, color)
    raw = trainings[RAW].validation["accuracy"][-1].mean()
    panels[2].set(title=f"raw columns: {raw:.3f} instead of {end:.3f}", ylabel="validation accuracy")
    sex = trainings[SEX].validation["accuracy"][-1].mean()
    for panel in panels[1:]:
        panel.axhline(sex, color="black", linestyle=":", linewidth=1.5, label=f"sex alone {sex:.3f}")
        panel.axhline(majority, color="black", linestyle="--", linewidth=1.5, label=f"majority {majority:.3f}")
        panel.set_ylim(0.2, 0.9)
    for panel in panels:
        panel.set_xlabel("epochs")
        panel.legend(loc="best" if panel is panels[0] else "lower right")
    return figure


def plot_confidence(main: Training) -> Figure:
    """Loss against error, and the confidence of right and of wrong predictions."""
    figure, panels = plotting.new(3, width=6.2)
    for part, color, name in (
        (main.train, plotting.BLUE, "training"),
        (main.validation, plotting.ORANGE, "validation"),
    ):
        loss, error = part["loss"].mean(1), 1 - part["accuracy"].mean(1)
        panels[0].plot(loss, error, ".-", color=color, label=name, linewidth=1.2, markersize=7)
    loss, error = main.validation["loss"].mean(1), 1 - main.validation["accuracy"].mean(1)
    late = len(loss) // 10  # the first epochs have much larger values
    inset = panels[0].inset_axes((0.14, 0.47, 0.42, 0.4))
    inset.plot(loss[late:], error[late:], ".-", color=plotting.ORANGE, linewidth=1, markersize=5)
    inset.set_title(f"validation from epoch {late} on", fontsize=13)
    inset.tick_params(labelsize=11)
    inset.locator_params(nbins=3)
    panels[0].set(title=f"least loss after epoch {loss.argmin()}, least error after {error.argmin()}")
    panels[0].set(xlabel="cross-entropy (minimized)", ylabel="error (the goal), mean")
    panels[0].legend(loc="lower right")
    confidence, correct = main.confidence, main.correct
    edges = np.linspace(0.5, 1, 11)
    groups, colors = [confidence[~correct], confidence[correct]], [plotting.RED, plotting.GREEN]
    labels = [f"{name}: {len(group)}" for name, group in zip(("wrong", "right"), groups, strict=True)]
    panels[1].hist(groups, edges, color=colors, label=labels, stacked=True)  # type: ignore[arg-type]
    confident = confidence > 0.9
    wrong = f"{(~correct[confident]).mean():.0%} of them wrong" if confident.any() else "none"
    panels[1].set(title=f"confidence above 0.9: {confident.mean():.0%}, {wrong}")
    panels[1].set(xlabel="probability of the predicted outcome", ylabel="validation passengers, all splits")
    panels[1].legend(loc="upper left")
    bin_index = np.clip(np.digitize(confidence, edges) - 1, 0, 9)
    filled = [k for k in range(10) if (bin_index == k).sum() >= 20]  # the share among fewer is too uncertain
    predicted, actual = ([values[bin_index == k].mean() for k in filled] for values in (confidence, correct))
    panels[2].plot([0.5, 1], [0.5, 1], color="black", linestyle="--", label="confidence = accuracy")
    panels[2].plot(predicted, actual, "o-", color=plotting.BLUE, label="network")
    gap = confidence.mean() - correct.mean()
    panels[2].set(title=f"confidence minus accuracy: {gap:+.3f}", xlabel="confidence (mean of a bin)")
    panels[2].set(ylabel="share that is right", ylim=(0.3, 1.03))
    panels[2].legend(loc="lower right")
    return figure


def plot_p_id(trainings: dict[str, Training], majority: float) -> Figure:
    """A passenger's number as the only input: memorized in training, worthless for new passengers."""
    figure, panels = plotting.new(2, width=8)
    for panel, name, kind in zip(panels, (NAME, NAME_AS_NUMBER), ("one-hot", "as a number"), strict=True):
        training = trainings[name]
        curve(panel, training.train["accuracy"], "training", plotting.BLUE)
        curve(panel, training.validation["accuracy"], "validation", plotting.ORANGE)
        panel.axhline(majority, color="black", linestyle="--", linewidth=1.5, label=f"majority {majority:.3f}")
        train, new = (values.mean() for values in training.final)
        panel.set(title=f"p_id alone, {kind}: training {train:.2f}, new {new:.2f}")
        panel.set(xlabel="epochs", ylabel="accuracy (mean, range of splits)", ylim=(0.2, 1.03))
        panel.legend(loc="lower right")
    return figure


LESSON = Lesson(
    flags=Titanic,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier titanic --hidden 500 --epochs 500, and see whether more is better",
    metrics=metrics,
    check=lambda flags: load(flags.data),
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("titanic", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
