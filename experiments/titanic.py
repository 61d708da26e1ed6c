"""Titanic (3.4): predict who survived from cabin class, sex and fare. A network with one hidden layer is trained on
random splits of the passengers, and its validation accuracy is compared with simple guesses. The figures show the
columns and their correlations, the effect of normalization, the curves of training, how far the network's confidence
can be trusted, and why a passenger's number must not be an input.

A seed is a split: it decides which fifth of the passengers is the validation set, and the initial weights of the
network. All splits train side by side. Each split standardizes its inputs by its own training set.

S seed (split), n passengers, F features, E epochs.
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
from rich.text import Text
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from balancier import N_, _
from envs.datasets import Standardize
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from experiments.common.titanic_data import CLASSES, COLUMNS, Passengers, load
from models import MLP, fit
from models.fitting import accuracy, cross_entropy, evaluate
from models.streams import stream

VALIDATION_SHARE = 0.2  # of the passengers
SPLIT = 340  # random stream
SUSPECT = 0.84  # a higher accuracy from these three features deserves a second look

# The inputs, by the names that result.json and metrics.csv have.
MAIN = N_("class one-hot, sex, fare, normalized")
RAW = N_("the same, not normalized")
NUMBER = N_("class as a number, sex, fare, normalized")
SEX = N_("sex alone")
P_ID = N_("p_id alone, one-hot")

# What the columns hold, in words.
TYPES = {
    "p_id": _("class, one value for each passenger"),
    "survived": _("class of two: 0 died, 1 survived"),
    "cabin_class": _("class of three"),
    "female": _("class of two: 0 male, 1 female"),
    "fare": _("number, in pounds"),
}
OUTCOMES = N_("died"), N_("survived")  # as result.json names them
NOTICE = _("RECONSTRUCTED DATA: published counts, moments and correlations; no row is a real passenger")


@dataclass(frozen=True)
class Titanic(Flags):
    """Predict who survived the Titanic from cabin class, sex and fare."""

    data: str = "auto"
    """A FILE with the course's columns, "download", "reconstructed" (from published counts and moments), or "auto": a
    titanic.csv in the current folder, else the download, or without a network the reconstruction."""
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
    first_output: np.ndarray  # (2,): output of the first seed's network for the first passenger

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
        N_("symmetric"): float(abs(r - r.T).max()),
        N_("1 with itself"): float(abs(np.diag(r) - 1).max()),
        N_("within [-1, 1]"): float(np.clip(abs(r) - 1, 0, None).max()),
        N_("blind to units and origin"): float(abs(correlations(table * units + 5) - r).max()),
        N_("sign turns with a column"): float(abs(correlations(table * [1, 1, 1, 1, -1])[4, :4] + r[4, :4]).max()),
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
        P_ID: (one_hot(passengers.p_id), False),
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
        first_output = network(x[:1].expand(flags.seeds, 1, -1))[0, 0]
    correct = prediction == data.tensors[1][parts["validation"]]
    arrays = (tensor.numpy() for tensor in (confidence, correct, first_output))
    return Training(curves["train"], curves["validation"], *arrays)


def cost(features: np.ndarray) -> float:
    """Processor seconds of an epoch, in units of one with few features, roughly; p_id has one for each passenger."""
    return 1 + features.shape[1] / 400


def measure(flags: Titanic) -> Findings:
    passengers = load(flags.data)
    trainings, to_train = {}, inputs(passengers)
    total = sum(cost(features) for features, __ in to_train.values()) * flags.epochs_to_run
    with ProgressBar(total, _("training")) as progress:
        for name, (features, standardize) in to_train.items():
            advance = partial(progress.advance, cost(features))
            trainings[name] = train_splits(features, standardize, passengers.survived, flags, advance)
    return Findings(passengers, flags.all_seeds, pearson_properties(passengers.table), trainings)


# Output


def forecast(flags: Titanic) -> str:
    time = duration(3 + 0.007 * flags.epochs_to_run * (5 + flags.seeds))
    return "\n".join([_("{count} splits, about {time}", count=flags.seeds, time=time), *load(flags.data).notes])


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, training in findings.trainings.items():
        for epoch in range(len(training.train["accuracy"])):
            yield epoch, f"train accuracy, {name}", training.train["accuracy"][epoch], findings.seeds
            yield epoch, f"validation accuracy, {name}", training.validation["accuracy"][epoch], findings.seeds


def example(findings: Findings) -> dict[str, Any]:
    """Softmax and cross-entropy of the first passenger, from the output of the first seed's network."""
    output, truth = findings.trainings[MAIN].first_output, int(findings.passengers.survived[0])
    probability = np.exp(output) / np.exp(output).sum()
    predicted = int(output.argmax())
    numbers = {"output": output, "probability": probability, "sum": float(probability.sum())}
    answer = {"predicted": OUTCOMES[predicted], "confidence": float(probability[predicted])}
    return numbers | answer | {"truth": OUTCOMES[truth], "cross_entropy": -float(np.log(probability[truth]))}


def normalized(column: np.ndarray) -> np.ndarray:
    """(x - mean) / standard deviation of a column (n,)."""
    return (column - column.mean()) / column.std()


def moments(column: np.ndarray) -> dict[str, float]:
    return {name: float(getattr(column, name)()) for name in ("min", "max", "mean", "std")}


def result(findings: Findings) -> dict[str, Any]:
    passengers, main = findings.passengers, findings.trainings[MAIN]
    (p_id_train, p_id_validation), final = findings.trainings[P_ID].final, main.final[1]
    return {
        "data": passengers.source,
        "passengers": len(passengers),
        "survivors": int(passengers.survived.sum()),
        "cabin_classes": np.unique(passengers.cabin_class),
        "fare": moments(passengers.fare),
        "fare_normalized": moments(normalized(passengers.fare)),
        "correlation": correlations(passengers.table),
        "pearson_deviation": findings.properties,
        "survival_by_class": survival_by_class(passengers),
        "valid_accuracy": [round(float(value), 4) for value in final],
        "valid_accuracy_mean": round(float(final.mean()), 4),
        "start_accuracy": round(float(main.validation["accuracy"][0].mean()), 4),
        "majority": round(passengers.majority, 4),
        "best_by_sex": round(passengers.best_by_sex, 4),
        "pid_train_accuracy": round(float(p_id_train.mean()), 4),
        "pid_valid_accuracy": round(float(p_id_validation.mean()), 4),
        "valid_accuracy_by_input": {
            name: round(float(training.final[1].mean()), 4) for name, training in findings.trainings.items()
        },
        "first_passenger": example(findings),
    }


def survival_by_class(passengers: Passengers) -> list[float]:
    """Share of the passengers of class 1, 2 and 3 that survived."""
    return [float(passengers.survived[passengers.cabin_class == number].mean()) for number in CLASSES]


# The table: what the slides print, then the accuracies


def data_lines(passengers: Passengers) -> list[str]:
    """The first rows of the file, and simple statistics."""
    fare = moments(passengers.fare)
    lines = [f"# {', '.join(COLUMNS)}"]
    lines += [f"{','.join(str(int(number)) for number in row[:4])},{row[4]:.3f}" for row in passengers.table[:9]]
    return [
        *lines,
        "",
        _("np.unique(cabin_class): {values}", values=np.unique(passengers.cabin_class)),
        _("sum(survived): {survivors} of {count}", survivors=passengers.survived.sum(), count=len(passengers)),
        _("fare: min {min:.3f} max {max:.3f} std {std:.3f}", **fare),
    ]


def preparation_lines(passengers: Passengers) -> list[str]:
    """Normalization before and after, and the first rows as the network gets them."""
    fares, rows = normalized(passengers.fare), one_hot(passengers.cabin_class)
    before, after = (
        _(
            "min {min:.3f}, max {max:.3f}, mean {mean:.3f}, std {std:.3f}",
            **{key: value + 0.0 for key, value in moments(fare).items()},
        )
        for fare in (passengers.fare, fares)
    )
    lines = ["", _("Normalization, (x - mean) / std:")]
    lines += [_("fare before: {numbers}", numbers=before), _("fare after: {numbers}", numbers=after)]
    lines += ["", _("One-hot encoding of cabin_class, then female (0 or 1 already), then the normalized fare:")]
    for index in range(3):
        p_id, number, female = (
            column[index] for column in (passengers.p_id, passengers.cabin_class, passengers.female)
        )
        text = _(
            "p_id {p_id}: class {number} -> {one_hot}, {female}, {fare:.3f}",
            p_id=p_id,
            number=number,
            one_hot=rows[index].astype(int),
            female=female,
            fare=fares[index],
        )
        lines.append(text)
    return lines


def example_lines(findings: Findings) -> list[str]:
    """Softmax, prediction, confidence and cross-entropy of the first passenger, with numbers."""
    numbers = example(findings)
    (y0, y1), (p0, p1) = numbers["output"], numbers["probability"]
    p_truth = numbers["probability"][OUTCOMES.index(numbers["truth"])]
    predicted, truth = _(numbers["predicted"]), _(numbers["truth"])
    return [
        "",
        _("The first passenger: output y = ({y0:.3f}, {y1:.3f})", y0=y0, y1=y1),
        _(
            "P(died) = exp({y0:.3f}) / (exp({y0:.3f}) + exp({y1:.3f})) = {p0:.3f}, P(survived) = {p1:.3f}; "
            "their sum: {sum:.3f}",
            y0=y0,
            y1=y1,
            p0=p0,
            p1=p1,
            sum=numbers["sum"],
        ),
        _(
            "Prediction: {predicted} (the largest output), confidence {confidence:.3f}; truth: {truth}",
            predicted=predicted,
            confidence=numbers["confidence"],
            truth=truth,
        ),
        _(
            "Cross-entropy: -log P({truth}) = -log {p:.3f} = {loss:.3f}",
            truth=truth,
            p=p_truth,
            loss=numbers["cross_entropy"],
        ),
    ]


def columns_table(passengers: Passengers) -> Table:
    """Type, number of different values and statistics of each column."""
    heads = _("column"), _("type"), _("different"), "min", "max", _("mean"), _("std")
    table = Table(*heads, title=_("{count} passengers", count=len(passengers)))
    for name in COLUMNS:
        column = getattr(passengers, name)
        numbers = (f"{number:.6g}" for number in moments(column).values())
        table.add_row(name, TYPES[name], str(len(np.unique(column))), *numbers)
    return table


def accuracies_table(findings: Findings) -> Table:
    """Training and validation accuracy for each input, and of guesses without a network."""
    passengers = findings.passengers
    heads = _("input"), _("training accuracy"), _("validation accuracy (range of splits)")
    table = Table(*heads, title=_("Accuracy"))
    for name, training in findings.trainings.items():
        train, validation = training.final
        values = {"mean": validation.mean(), "low": validation.min(), "high": validation.max()}
        table.add_row(_(name), f"{train.mean():.3f}", _("{mean:.3f} ({low:.3f} to {high:.3f})", **values))
    for rule, share in (
        (_("no network: always the majority (died)"), passengers.majority),
        (_("no network: women survive, men die"), passengers.best_by_sex),
    ):
        table.add_row(rule, _("{share:.3f}, all passengers", share=share), "")
    return table


def table(findings: Findings) -> Table:
    """What the slides print about the data, one passenger with numbers, and the accuracy for each input."""
    passengers, final = findings.passengers, findings.trainings[MAIN].final[1]
    stacked = Table.grid()
    if passengers.source == "reconstructed":
        stacked.add_row(f"[bold red]{NOTICE}[/bold red]\n")
    stacked.add_row(Text("\n".join([*data_lines(passengers), ""])))
    stacked.add_row(columns_table(passengers))
    stacked.add_row(Text("\n".join([*preparation_lines(passengers), *example_lines(findings), ""])))
    stacked.add_row(accuracies_table(findings))
    first, second, third = survival_by_class(passengers)
    text = _(
        "Class as a number is as good as one-hot here: the share of survivors ({first:.2f}, {second:.2f}, {third:.2f}) "
        "falls from class 1 to 3,\n"
        "so the order of the numbers means something. Categories without an order, such as harbors, need one-hot.",
        first=first,
        second=second,
        third=third,
    )
    stacked.add_row(text)
    if final.mean() > SUSPECT:
        text = _(
            "More than {share} from class, sex and fare is suspect: is the validation set trained on?", share=SUSPECT
        )
        stacked.add_row(text)
    return stacked


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    passengers, trainings = findings.passengers, findings.trainings
    drawn = {
        "columns": plot_columns(passengers),
        "correlation": plot_correlation(passengers, findings.properties),
        "normalization": plot_normalization(passengers, trainings),
        "learning": plot_learning(passengers, trainings),
        "confidence": plot_confidence(findings),
        "p_id": plot_p_id(trainings, passengers.majority),
    }
    if passengers.source == "reconstructed":
        for figure in drawn.values():
            figure.supxlabel(NOTICE, color=plotting.RED, fontsize=15, fontweight="bold")
    return drawn


def new(columns: int, rows: int) -> tuple[Figure, list[Axes]]:
    """A figure of 16:9 in panels."""
    return plotting.new(columns, rows, width=14.4 / columns, height=8.1 / rows)


def bars(axes: Axes, places: Any, heights: Any, **style: Any) -> Any:
    """Bars without a grid behind them."""
    axes.grid(visible=False)
    return axes.bar(places, heights, **style)


def plot_columns(passengers: Passengers) -> Figure:
    """A column that is only a name, one that is a category, the survivors, and a number."""
    figure, (names, classes, survivors, fares) = new(2, 2)
    values = np.unique(passengers.p_id)
    names.plot(np.arange(1, len(values) + 1), values, color=plotting.BLUE)
    names.set(title=_("p_id: {count} values, each once", count=len(values)))
    names.set(xlabel=_("different values, in order"), ylabel="p_id")
    for survived, (outcome, color) in enumerate(zip(OUTCOMES, (plotting.GRAY, plotting.BLUE), strict=True)):
        counts = [((passengers.cabin_class == k) & (passengers.survived == survived)).sum() for k in CLASSES]
        below = [((passengers.cabin_class == k) & (passengers.survived < survived)).sum() for k in CLASSES]
        drawn = bars(classes, CLASSES, counts, bottom=below, color=color, label=_(outcome), width=0.7)
        classes.bar_label(drawn, label_type="center", color="white")
    total, count = passengers.survived.sum(), len(passengers)
    title = _("cabin_class: 3 values; {survivors} of {count} survived", survivors=total, count=count)
    classes.set(title=title, ylabel=_("passengers"))
    classes.legend(loc="upper left")
    for offset, female, color, label in ((-0.2, 1, plotting.PURPLE, _("female")), (0.2, 0, plotting.SKY, _("male"))):
        groups = [passengers.survived[(passengers.cabin_class == k) & (passengers.female == female)] for k in CLASSES]
        shares = [group.mean() if len(group) else 0.0 for group in groups]
        drawn = bars(survivors, np.array(CLASSES) + offset, shares, width=0.38, color=color, label=label)
        survivors.bar_label(drawn, [f"{share:.2f}" for share in shares])
    women, men = (passengers.survived[passengers.female == female].mean() for female in (1, 0))
    survivors.set(title=_("survived: {women:.0%} of women, {men:.0%} of men", women=women, men=men))
    survivors.set(ylabel=_("share that survived"), ylim=(0, 1.1))
    survivors.legend(loc="upper right")
    for panel in (classes, survivors):
        panel.set_xlabel(_("cabin class"))
        panel.set_xticks(CLASSES)
    plot_fare(fares, passengers.fare, _("fare (pounds)"), _("fare"))
    figure.suptitle(_("Four columns: a name, a category, a yes or no, and a number"))
    return figure


def plot_fare(axes: Axes, values: np.ndarray, label: str, name: str) -> None:
    """A histogram of a column with its moments in the title."""
    axes.hist(values, 40, color=plotting.BLUE)
    axes.set_title(_("{name}: {min:.2f} to {max:.3f}, std {std:.3f}", name=name, **moments(values)))
    axes.set(xlabel=label, ylabel=_("passengers"), yscale="log")
    axes.grid(visible=False)


def plot_correlation(passengers: Passengers, properties: dict[str, float]) -> Figure:
    """Pearson's r of all pairs of columns, and the properties that it always has."""
    figure, (axes, words) = plotting.new(2, width=7.2, height=7.2, width_ratios=(1.35, 1))
    r = correlations(passengers.table)
    image = axes.imshow(r, cmap="RdBu_r", vmin=-1, vmax=1)
    for i, j in np.ndindex(r.shape):
        axes.text(j, i, f"{r[i, j]:.2f}", ha="center", va="center", color="white" if abs(r[i, j]) > 0.6 else "black")
    axes.set_xticks(range(len(COLUMNS)), COLUMNS, rotation=30, ha="right")
    axes.set_yticks(range(len(COLUMNS)), COLUMNS)
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label=_("Pearson's r"), shrink=0.8)
    words.axis("off")
    words.set_title(_("Pearson's r has these properties for\nany columns; largest deviation here:"))
    for row, (name, deviation) in enumerate(properties.items()):
        height = 0.85 - 0.15 * row
        words.text(0.0, height, _(name), fontsize=16, transform=words.transAxes)
        words.text(1.0, height, f"{deviation:.0e}" if deviation else "0", ha="right", transform=words.transAxes)
    p_id, __, cabin_class, female, __ = r[1]
    title = _(
        "Survival goes with sex (r = {female:.2f}) and with low class numbers (r = {cabin_class:.2f}), "
        "not with p_id ({p_id:.2f})",
        female=female,
        cabin_class=cabin_class,
        p_id=p_id + 0.0,
    )
    figure.suptitle(title)
    return figure


def curve(axes: Axes, values: np.ndarray, label: str, color: str) -> None:
    """Mean and range over the splits of values (E + 1, S), against epochs."""
    plotting.mean_band(axes, range(len(values)), values, label, color)


def plot_normalization(passengers: Passengers, trainings: dict[str, Training]) -> Figure:
    """Fares before and after, what normalization does to the training, and why class may stay a number."""
    figure, (before, after, loss, classes) = new(2, 2)
    plot_fare(before, passengers.fare, _("fare (pounds)"), _("before"))
    plot_fare(after, normalized(passengers.fare), _("normalized fare"), _("after"))
    for name, label, color in ((RAW, _("not normalized"), plotting.GRAY), (MAIN, _("normalized"), plotting.BLUE)):
        curve(loss, trainings[name].train["loss"], label, color)
    raw, main = (trainings[name].train["loss"][0].mean() for name in (RAW, MAIN))
    loss.set(title=_("loss before training: {raw:.2f} instead of {main:.2f}", raw=raw, main=main))
    loss.set(xlabel=_("epochs"), ylabel=_("training loss (mean, range)"))
    loss.legend(loc="upper right")
    shares = survival_by_class(passengers)
    drawn = bars(classes, CLASSES, shares, width=0.6, color=plotting.SKY)
    classes.bar_label(drawn, [f"{share:.2f}" for share in shares])
    number, main = (trainings[name].final[1].mean() for name in (NUMBER, MAIN))
    classes.set(title=_("class as a number: {number:.3f}; one-hot: {main:.3f}", number=number, main=main))
    classes.set(xlabel=_("cabin class: its order has a meaning"), ylabel=_("share that survived"), ylim=(0, 0.8))
    classes.set_xticks(CLASSES)
    raw = trainings[RAW].final[1].mean()
    figure.suptitle(_("Normalized inputs: validation accuracy {main:.3f} instead of {raw:.3f}", main=main, raw=raw))
    return figure


def plot_learning(passengers: Passengers, trainings: dict[str, Training]) -> Figure:
    """Loss and accuracy against epochs, on training and validation data, with the baselines."""
    figure, (losses, accuracies) = new(2, 1)
    main = trainings[MAIN]
    for panel, name in ((losses, "loss"), (accuracies, "accuracy")):
        curve(panel, main.train[name], _("training"), plotting.BLUE)
        curve(panel, main.validation[name], _("validation"), plotting.ORANGE)
        panel.set_xlabel(_("epochs"))
    loss, start, end = main.validation["loss"].mean(1), *main.validation["accuracy"][[0, -1]].mean(1)
    losses.set(title=_("loss: {start:.2f} to {end:.2f}", start=loss[0], end=loss[-1]))
    losses.set(ylabel=_("cross-entropy (mean, range of splits)"))
    accuracies.set(title=_("accuracy: {start:.2f} to {end:.3f}", start=start, end=end))
    accuracies.set(ylabel=_("accuracy (mean, range of splits)"))
    sex = trainings[SEX].final[1].mean()
    for label, value, style in (
        (_("sex alone: {value:.3f}", value=sex), sex, ":"),
        (_("always the majority: {value:.3f}", value=passengers.majority), passengers.majority, "--"),
        (_("a coin: {value:.3f}", value=0.5), 0.5, "-."),
    ):
        accuracies.axhline(value, color="black", linestyle=style, linewidth=1.5, label=label)
    accuracies.set_ylim(0.2, 0.9)
    losses.legend(loc="upper right")
    accuracies.legend(loc="lower right")
    title = _(
        "The network is right for {end:.1%} of new passengers; sex alone gives {sex:.1%}, a coin 50 %", end=end, sex=sex
    )
    figure.suptitle(title)
    return figure


def plot_confidence(findings: Findings) -> Figure:
    """One passenger's softmax, loss against error, and the confidence of right and of wrong predictions."""
    figure, (one, metric, histogram, reliability) = new(2, 2)
    main, numbers = findings.trainings[MAIN], example(findings)
    drawn = bars(
        one,
        [_(outcome) for outcome in OUTCOMES],
        numbers["probability"],
        width=0.5,
        color=[plotting.GRAY, plotting.BLUE],
    )
    one.bar_label(drawn, [f"{value:.3f}" for value in numbers["probability"]])
    y0, y1 = numbers["output"]
    one.set(title=_("first passenger: y = ({y0:.2f}, {y1:.2f})", y0=y0, y1=y1), ylabel="P = softmax(y)", ylim=(0, 1.15))
    truth, loss = _(numbers["truth"]), numbers["cross_entropy"]
    one.set_xlabel(_("truth: {truth}, so loss = -log P = {loss:.3f}", truth=truth, loss=loss))
    parts = (main.train, plotting.BLUE, _("training")), (main.validation, plotting.ORANGE, _("validation"))
    for part, color, name in parts:
        loss, error = part["loss"].mean(1)[1:], 100 * (1 - part["accuracy"].mean(1)[1:])
        metric.plot(loss, error, ".-", color=color, label=name, linewidth=1.2, markersize=7)
    metric.set_title(_("the loss is an indirect metric of the error"))
    metric.set(xlabel=_("cross-entropy (minimized), epoch 1 on"), ylabel=_("wrong predictions (%)"))
    metric.legend(loc="lower right")
    confidence, correct = main.confidence, main.correct
    edges = np.linspace(0.5, 1, 11)
    groups, colors = [confidence[~correct], confidence[correct]], [plotting.ORANGE, plotting.BLUE]
    labels = [_("wrong: {count}", count=len(groups[0])), _("right: {count}", count=len(groups[1]))]
    histogram.hist(groups, edges, color=colors, label=labels, stacked=True)  # type: ignore[arg-type]
    confident = confidence > 0.9
    below = (~correct[~confident]).mean()
    if confident.any():
        above = (~correct[confident]).mean()
        title = _("confidence above 0.9: {above:.0%} wrong; below: {below:.0%} wrong", above=above, below=below)
    else:
        title = _("confidence above 0.9: none; below: {below:.0%} wrong", below=below)
    histogram.set_title(title)
    histogram.set(xlabel=_("confidence: probability of the predicted class"), ylabel=_("predictions, all splits"))
    histogram.grid(visible=False)
    histogram.legend(loc="upper left")
    bin_index = np.clip(np.digitize(confidence, edges) - 1, 0, 9)
    filled = [k for k in range(10) if (bin_index == k).sum() >= 20]  # the share among fewer is too uncertain
    predicted, actual = ([values[bin_index == k].mean() for k in filled] for values in (confidence, correct))
    reliability.plot([0.5, 1], [0.5, 1], color="black", linestyle="--", label=_("confidence = accuracy"))
    reliability.plot(predicted, actual, "o-", color=plotting.BLUE, label=_("network"))
    gap = confidence.mean() - correct.mean()
    reliability.set(title=_("confidence minus accuracy: {gap:+.3f}", gap=gap), xlabel=_("confidence (mean of a bin)"))
    reliability.set(ylabel=_("share that is right"), ylim=(0.3, 1.03))
    reliability.legend(loc="lower right")
    title = _(
        "The network's confidence can be believed: {mean:.0%} on average, and {share:.0%} are right",
        mean=confidence.mean(),
        share=correct.mean(),
    )
    figure.suptitle(title)
    return figure


def plot_p_id(trainings: dict[str, Training], majority: float) -> Figure:
    """A passenger's number as the only input: memorized in training, worthless for new passengers."""
    figure, (panel,) = new(1, 1)
    training = trainings[P_ID]
    curve(panel, training.train["accuracy"], _("training"), plotting.BLUE)
    curve(panel, training.validation["accuracy"], _("validation: new passengers"), plotting.ORANGE)
    label = _("always the majority: {value:.3f}", value=majority)
    panel.axhline(majority, color="black", linestyle="--", linewidth=1.5, label=label)
    train, new_ones = (values.mean() for values in training.final)
    title = _(
        "p_id alone: right for {train:.0%} of the training data, {new_ones:.0%} of new passengers",
        train=train,
        new_ones=new_ones,
    )
    panel.set_title(title)
    panel.set(xlabel=_("epochs"), ylabel=_("accuracy (mean, range of splits)"), ylim=(0.2, 1.03))
    panel.legend(loc="center right", bbox_to_anchor=(1.0, 0.7))
    return figure


PAGE = Page(
    question=_("Who survived the Titanic, judged by cabin class, sex and fare alone?"),
    formula=(
        _(r"$\hat P(i|x) = \exp(\hat y_i) / \sum_c \exp(\hat y_c)$, the predicted class is $\arg\max_i \hat y_i$"),
        _(r"$L = -\log \hat P(c|x)$ for the true class $c$ (cross-entropy)"),
        r"$R(x, y) = \sum (x - \bar x)(y - \bar y) / (\sqrt{\sum (x - \bar x)^2} \sqrt{\sum (y - \bar y)^2})$",
        r"$x^{norm} = (x - \bar x) / \sigma_x$",
    ),
    captions={
        "columns": _(
            "p_id has another value for each passenger, so it is a name and no information. "
            "Sex separates survivors from victims in every class, and the fares are spread over a wide range."
        ),
        "correlation": _(
            "Pearson's r lies between -1 and 1; the matrix is symmetric and its diagonal is 1. "
            "Survival goes with sex and class, and p_id goes with nothing."
        ),
        "normalization": _(
            "Normalization moves and scales the fares; the shape of their distribution stays. "
            "The loss starts lower and falls faster, and class may stay a number because its order has a meaning."
        ),
        "learning": _(
            "The untrained network is right about as often as a coin. "
            "After training it is right more often than a guess of the majority; sex alone gives almost as much."
        ),
        "confidence": _(
            "Softmax turns the outputs into probabilities; the loss is minus the log of the true class's. "
            "Confident predictions are wrong less often, as they should be."
        ),
        "p_id": _(
            "Each passenger has an input of its own, so the network memorizes every outcome of the training data. "
            "It knows nothing about a number that it has never seen."
        ),
    },
    what_if=(
        ("balancier titanic --hidden 500 --epochs 500", _("does a larger network beat the rule by more, or overfit?")),
        ("balancier titanic --learning-rate 0.1", _("the curves of the loss: do they still fall evenly?")),
        ("balancier titanic --epochs 5", _("normalized and raw inputs: which one needs more epochs?")),
    ),
)

LESSON = Lesson(
    flags=Titanic,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier titanic --hidden 500 --epochs 500, and see whether more is better"),
    metrics=metrics,
    check=lambda flags: load(flags.data),
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("titanic", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
