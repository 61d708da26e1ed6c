"""The passengers of the Titanic: from a file, from a download, or reconstructed from published counts and moments.

n passengers.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.stats import beta

from balancier import _
from experiments.common.downloads import fetch
from experiments.common.flags import UsageError
from models.streams import stream

# A public copy of the passenger list, at one commit: the newest version of the file has additional rows.
URL = "https://raw.githubusercontent.com/datasciencedojo/datasets/f0ccab6a7ceafdff780052166fb6fab3311398eb/titanic.csv"
SHA256 = "4a437fde05fe5264e1701a7387ac6fb75393772ba38bb2c9c566405af5af4bd7"
HERE = Path("titanic.csv")  # in the current folder
INSTEAD = _("a titanic.csv in the current folder, or --data FILE (the course's columns), or --data reconstructed")

PASSENGERS = 891
COLUMNS = ("p_id", "survived", "cabin_class", "female", "fare")
PUBLIC_COLUMNS = ("PassengerId", "Survived", "Pclass", "Sex", "Fare")  # the same columns in the public copy
CLASSES = (1, 2, 3)

# Published aggregates, from which the reconstruction is made: (cabin class, female, survived) -> (passengers, and of
# their fares in pounds: mean, standard deviation, minimum, maximum).
FARES = {
    (1, 1, 1): (91, 105.9781, 74.3272, 25.929, 512.329),
    (1, 1, 0): (3, 110.6040, 57.9064, 28.712, 151.550),
    (1, 0, 1): (45, 74.6373, 99.9623, 26.288, 512.329),
    (1, 0, 0): (77, 62.8949, 59.6613, 0.0, 263.0),
    (2, 1, 1): (70, 22.2890, 11.0611, 10.5, 65.0),
    (2, 1, 0): (6, 18.2500, 6.3623, 10.5, 26.0),
    (2, 0, 1): (17, 21.0951, 9.5389, 10.5, 39.0),
    (2, 0, 0): (91, 19.4890, 15.6339, 0.0, 73.5),
    (3, 1, 1): (72, 12.4644, 5.9430, 7.225, 31.387),
    (3, 1, 0): (72, 19.7731, 14.4707, 6.750, 69.550),
    (3, 0, 1): (47, 15.5797, 15.0695, 0.0, 56.496),
    (3, 0, 0): (300, 12.2045, 10.9666, 0.0, 69.550),
}
FARE, ORDER = 341, 18106  # random stream of the passengers' order; p_id's correlations are then the published ones

# column -> (the allowed values in words, test of a finite number)
ALLOWED: dict[str, tuple[str, Callable[[float], bool]]] = {
    "p_id": ("a whole number from 0 to 1000000", lambda x: 0 <= x <= 1e6 and x == int(x)),
    "survived": ("0 or 1", lambda x: x in (0, 1)),
    "cabin_class": ("1, 2 or 3", lambda x: x in CLASSES),
    "female": ("0 or 1", lambda x: x in (0, 1)),
    "fare": ("a number from 0 to 1000", lambda x: 0 <= x <= 1e3),
}


@dataclass(frozen=True)
class Passengers:
    """The columns, (n,) each, and where they come from."""

    p_id: np.ndarray
    survived: np.ndarray
    cabin_class: np.ndarray
    female: np.ndarray
    fare: np.ndarray  # pounds
    source: str = ""  # "download", "reconstructed", or the name of the file
    notes: list[str] = field(default_factory=list)  # for the user: why the data were reconstructed

    def __len__(self) -> int:
        return len(self.p_id)

    @property
    def table(self) -> np.ndarray:
        """All columns, (n, 5)."""
        return np.stack([getattr(self, name) for name in COLUMNS], 1).astype(np.float64)

    @property
    def majority(self) -> float:
        """Accuracy of a guess that is always the more frequent outcome."""
        return float(max(self.survived.mean(), 1 - self.survived.mean()))

    @property
    def best_by_sex(self) -> float:
        """Accuracy of a guess that is always the more frequent outcome among passengers of the same sex."""
        groups = [self.survived[self.female == sex] for sex in (0, 1)]
        right = [max(group.sum(), len(group) - group.sum()) for group in groups]
        return float(sum(right) / len(self))


@lru_cache(maxsize=1)
def load(data: str) -> Passengers:
    """The passengers of the flag --data. The last answer is kept, so a lesson may ask again at no cost.

    Raises:
        UsageError: if the file or the download cannot be used.
    """
    if data == "reconstructed":
        return reconstruct()
    if data not in ("auto", "download"):
        return read(Path(data))
    if data == "auto" and HERE.is_file():
        return read(HERE)
    try:
        return read(fetch(URL, SHA256, "titanic.csv", INSTEAD), "download")
    except UsageError as error:
        if data == "download":
            raise
        return reconstruct([str(error), _("Going on with reconstructed data; the table and every figure say so.")])


def read(path: Path, source: str | None = None) -> Passengers:
    """Passengers from a file with the course's columns, or with those of the public copy.

    Raises:
        UsageError: one line with the file, the line in it, the value that was found and the expected one.
    """
    rows = read_rows(path)
    header = [name.strip(" \t#") for name in rows[0][1]] if rows else []
    names = COLUMNS if set(COLUMNS) <= set(header) else PUBLIC_COLUMNS
    if [header.count(name) for name in names] != [1] * len(names):
        found = repr(", ".join(header)[:60])[1:-1] or "nothing"  # without control characters
        expected = f"the columns {', '.join(COLUMNS)}, once each, with commas between them"
        raise UsageError(f"--data: {path}, line {rows[0][0] if rows else 1}: found {found}, expected {expected}")
    positions, passengers = [header.index(name) for name in names], []
    for number, row in rows[1:]:
        try:
            if len(row) != len(header):
                raise ValueError(f"found {len(row)} columns, expected {len(header)}")
            passengers.append(parse([row[position].strip() for position in positions]))
        except ValueError as error:
            raise UsageError(f"--data: {path}, line {number}: {error}") from None
    columns = np.array(passengers).T
    check_columns(columns, len(passengers), path, names)
    p_id, survived, cabin_class, female = columns[:4].astype(np.int64)
    return Passengers(p_id, survived, cabin_class, female, columns[4], source or path.name)


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Number and fields of each line that is not empty; UsageError if there is no table to be had."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(0, "a folder or a pipe")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [(number, row) for number, row in enumerate(csv.reader(lines), 1) if row]
    except (UnicodeDecodeError, csv.Error):
        raise UsageError(f"--data: found {path}, which is no text, expected a table of {', '.join(COLUMNS)}") from None
    except OSError as error:
        reason = error.strerror or "unreadable"
        expected = "a file, or download, reconstructed or auto"
        raise UsageError(f"--data: found no file {path} ({reason}), expected {expected}") from None


def parse(row: Sequence[str]) -> list[float]:
    """The five numbers of a passenger; ValueError if a value is not allowed in its column."""
    numbers = []
    for text, (name, (expected, is_allowed)) in zip(row, ALLOWED.items(), strict=True):
        try:
            number = float({"male": "0", "female": "1"}.get(text, text) if name == "female" else text)
        except ValueError:
            number = float("nan")
        if not (np.isfinite(number) and is_allowed(number)):
            raise ValueError(f"found {name} {text[:60]!r}, expected {expected}")
        numbers.append(number)
    return numbers


def check_columns(columns: np.ndarray, count: int, path: Path, names: Sequence[str]) -> None:
    """Raise UsageError if columns (5, n) cannot be those of all passengers."""
    if count != PASSENGERS:
        raise UsageError(f"--data: {path}: found {count} passengers, expected {PASSENGERS}")
    values, counts = np.unique(columns[0], return_counts=True)
    if counts.max() > 1:
        twice = f"{names[0]} {values[counts.argmax()]:.0f} twice"
        raise UsageError(f"--data: {path}: found {twice}, expected a different one for each passenger")
    if len(np.unique(columns[1])) < 2:
        raise UsageError(f"--data: {path}: found {names[1]} the same for all, expected survivors and others")


def reconstruct(notes: Sequence[str] = ()) -> Passengers:
    """Passengers with the published counts and moments, in random order; the same at every call.

    In each group of the same class, sex and outcome, the fares have the published mean, standard deviation, minimum and
    maximum. So these moments and all correlations of the columns are the published ones. The single fares are not.
    """
    groups = [np.tile(group, (count, 1)) for group, (count, *_) in FARES.items()]
    fares = np.concatenate([fares_of(*moments) for moments in FARES.values()])
    order = stream(ORDER, FARE).permutation(len(fares))
    cabin_class, female, survived = np.concatenate(groups)[order].T
    fare = fares[order].round(3)
    return Passengers(np.arange(len(fare)), survived, cabin_class, female, fare, "reconstructed", list(notes))


def fares_of(count: int, mean: float, std: float, low: float, high: float) -> np.ndarray:
    """Fares (count,) with this mean, standard deviation, minimum and maximum.

    All but the lowest and the highest are quantiles of the beta distribution between these two, moved and stretched so
    that the moments of the whole group come out.
    """
    inner, span = count - 2, high - low
    m = ((count * mean - low - high) / inner - low) / span  # mean and variance of the inner ones, in units of the span
    variance = ((count * (std**2 + (mean - low) ** 2) - span**2) / inner) / span**2 - m**2
    if inner == 1:
        return np.array([low, low + m * span, high])
    concentration = m * (1 - m) / variance - 1
    share = beta.ppf((np.arange(inner) + 0.5) / inner, m * concentration, (1 - m) * concentration)
    for __ in range(50):  # the clipping changes the moments a little, and less every time
        share = np.clip(m + (share - share.mean()) / share.std() * variance**0.5, 0, 1)
    return low + span * np.concatenate([[0], share, [1]])
