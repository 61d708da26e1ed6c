"""The passengers of the Titanic: from a file, from a download, or reconstructed from published counts.

n passengers.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from experiments.common.downloads import fetch
from experiments.common.flags import UsageError
from models.streams import stream

# A public copy of the passenger list, at one commit: the newest version of the file has additional rows.
URL = "https://raw.githubusercontent.com/datasciencedojo/datasets/f0ccab6a7ceafdff780052166fb6fab3311398eb/titanic.csv"
SHA256 = "4a437fde05fe5264e1701a7387ac6fb75393772ba38bb2c9c566405af5af4bd7"
INSTEAD = "a network, or --data FILE (the course's columns), or --data reconstructed"

PASSENGERS = 891
COLUMNS = ("p_id", "survived", "cabin_class", "female", "fare")
PUBLIC_COLUMNS = ("PassengerId", "Survived", "Pclass", "Sex", "Fare")  # the same columns in the public copy
CLASSES = (1, 2, 3)

# Published counts: (cabin class, female) -> (survived, died).
COUNTS = {(1, 1): (91, 3), (1, 0): (45, 77), (2, 1): (70, 6), (2, 0): (17, 91), (3, 1): (72, 72), (3, 0): (47, 300)}
# Lowest and highest fare that was paid in each class, pounds.
FARES = {1: (5.0, 512.329), 2: (10.5, 73.5), 3: (4.013, 69.55)}
FARE = 341  # random stream of the reconstructed fares

# column -> (the allowed values in words, test of a finite number)
ALLOWED: dict[str, tuple[str, Callable[[float], bool]]] = {
    "p_id": ("a whole number, 0 or more", lambda x: x >= 0 and x == int(x)),
    "survived": ("0 or 1", lambda x: x in (0, 1)),
    "cabin_class": ("1, 2 or 3", lambda x: x in CLASSES),
    "female": ("0 or 1", lambda x: x in (0, 1)),
    "fare": ("a number, 0 or more", lambda x: x >= 0),
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
    try:
        return read(fetch(URL, SHA256, "titanic.csv", INSTEAD), "download")
    except UsageError as error:
        if data == "download":
            raise
        return reconstruct([str(error), "Going on with reconstructed data; every figure says so."])


def read(path: Path, source: str | None = None) -> Passengers:
    """Passengers from a file with the course's columns, or with those of the public copy.

    Raises:
        UsageError: one line with the file, the line in it, the value that was found and the expected one.
    """
    rows = [(number, row) for number, row in enumerate(csv.reader(read_lines(path)), 1) if row]
    header = [name.strip(" #") for name in rows[0][1]] if rows else []
    names = COLUMNS if set(COLUMNS) <= set(header) else PUBLIC_COLUMNS
    if not set(names) <= set(header):
        first_line = ", ".join(header)[:60] or "nothing"
        raise UsageError(f"--data: {path}, line 1: found {first_line}, expected the columns {', '.join(COLUMNS)}")
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


def read_lines(path: Path) -> list[str]:
    """The lines of a text file; UsageError if there are none to be had."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"--data: found {path}, which is no text, expected a table of {', '.join(COLUMNS)}") from None
    except OSError as error:
        reason = error.strerror or "unreadable"
        expected = "a file, or download, reconstructed or auto"
        raise UsageError(f"--data: found no file {path} ({reason}), expected {expected}") from None


def parse(row: Sequence[str]) -> list[float]:
    """The five numbers of a passenger; ValueError if a value is not allowed in its column."""
    numbers = []
    for text, (name, (expected, is_allowed)) in zip(row, ALLOWED.items(), strict=True):
        text = {"male": "0", "female": "1"}.get(text, text)
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not (np.isfinite(number) and is_allowed(number)):
            raise ValueError(f"found {name} {text!r}, expected {expected}")
        numbers.append(number)
    return numbers


def check_columns(columns: np.ndarray, count: int, path: Path, names: Sequence[str]) -> None:
    """Raise UsageError if columns (5, n) cannot be those of all passengers."""
    if count != PASSENGERS:
        raise UsageError(f"--data: {path}: found {count} passengers, expected {PASSENGERS}")
    if len(np.unique(columns[0])) < count:
        raise UsageError(f"--data: {path}: found a {names[0]} twice, expected a different one for each passenger")
    if len(np.unique(columns[1])) < 2:
        raise UsageError(f"--data: {path}: found {names[1]} the same for all, expected survivors and others")


def reconstruct(notes: Sequence[str] = ()) -> Passengers:
    """Passengers with the published counts of class, sex and survival, in random order; the same at every call.

    A fare is drawn log-uniformly between the lowest and the highest fare of the class. It therefore says no more about
    survival than the class does.
    """
    generator = stream(0, FARE)
    passengers = [
        (survived, cabin_class, female)
        for (cabin_class, female), counts in COUNTS.items()
        for survived, count in zip((1, 0), counts, strict=True)
        for _ in range(count)
    ]
    survived, cabin_class, female = generator.permutation(np.array(passengers)).T
    low, high = np.log(np.array([FARES[number] for number in cabin_class])).T
    fare = np.exp(generator.uniform(low, high)).round(3)
    return Passengers(np.arange(len(passengers)), survived, cabin_class, female, fare, "reconstructed", list(notes))
