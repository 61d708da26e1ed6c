"""Recordings of a real pendulum: from a file of the user, from a download, or, without a network, simulated.

A recording is a table with a column of times, one of angles and one of torques. Files of many kinds are read: other
delimiters, decimal commas, degrees, milliseconds, UTF-16, rows in any order, rows without a number, gaps.

n samples.
"""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from balancier import N_, _
from envs.controllers import Energy
from envs.identification import gaps, mean_torque
from envs.pendulum import PendulumEnv
from envs.physics import Pendulum
from experiments.common.downloads import fetch
from experiments.common.flags import UsageError

# Columns and the names by which they are found; the first name is the one in messages.
NAMES = {
    "time": ("time", "t", "meas_time", "timestamp"),
    "angle": ("angle", "position", "pos", "meas_pos", "theta"),
    "torque": ("torque", "tau", "meas_tau"),
}
DEGREE = math.pi / 180
# What a unit behind a name, as in "angle (deg)" or "time_ms", is in s, rad and N m.
UNITS = {
    "time": {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "angle": {"rad": 1.0, "radians": 1.0, "deg": DEGREE, "degree": DEGREE, "degrees": DEGREE, "°": DEGREE},
    "torque": {"nm": 1.0, "mnm": 1e-3, "ncm": 1e-2},
}
MISSING = ("", "nan", "na", "n/a", "none", "null", "-", "inf", "-inf", "+inf", "infinity", "-infinity")
MOST_HEADERS = 30  # lines in which a header is looked for
FEWEST, SHORTEST, COARSEST, LEAST_MOTION = 50, 1.5, 0.06, 0.2  # rows, s in all, s of a step, rad
FASTEST = 60.0  # rad/s: ten turns a second; what seems faster is in degrees


@dataclass(frozen=True, eq=False)
class Recording:
    """What was measured, in the order of time and without gaps in the numbers."""

    time: np.ndarray  # (n,), s, from 0; the steps may differ
    angle: np.ndarray  # (n,), rad, 0 upright, positive counter-clockwise, not wrapped
    torque: np.ndarray  # (n,), N m
    name: str
    notes: list[str] = field(default_factory=list)  # for the user: what was mended or made up
    truth: Pendulum | None = None  # of a simulated recording

    @property
    def label(self) -> str:
        """The name as readers see it."""
        return self.name if self.truth is None else _(self.name)

    @property
    def seconds(self) -> float:
        return float(self.time[-1])

    def part(self, first: float, last: float) -> "Recording":
        """The samples between two times, s; its time begins with 0."""
        inside = (self.time >= first) & (self.time <= last)
        time = self.time[inside]
        return Recording(time - time[0], self.angle[inside], self.torque[inside], self.name, self.notes, self.truth)


class Part(NamedTuple):
    """A part of a recording without a gap, at even times."""

    first: float  # s, time of its first angle
    angle: np.ndarray  # (T + 1,), rad
    torque: np.ndarray  # (T,), N m, its mean over each step


def grid(recording: Recording, step: float) -> list[Part]:
    """The parts between the gaps of a recording, at steps of `step` seconds."""
    parts = []
    for index in np.split(np.arange(len(recording.time)), gaps(recording.time)):
        time = recording.time[index]
        if len(time) > 3 and time[-1] - time[0] > 2 * step:
            even = np.arange(time[0], time[-1], step)
            angle = PchipInterpolator(time, recording.angle[index])(even)
            parts.append(Part(float(time[0]), angle, mean_torque(time, recording.torque[index], even)))
    return parts


# Reading


def read(
    path: Path, columns: Sequence[str] = (), degrees: bool = False, upright: bool = False, flag: str = "--data"
) -> Recording:
    """A recording from a file.

    Args:
        columns: names of the columns of time, angle and torque, or their numbers from 1; none to find them by NAMES.
        degrees: whether angles are in degrees, where their name does not say so.
        upright: whether the angle is 0 upright; otherwise it is 0 where the pendulum hangs.
        flag: named in errors.

    Raises:
        UsageError: one line with the file, and the line in it, what was found and what was expected.
    """
    where = f"{flag}: {path}"
    lines = read_lines(path, flag)
    try:
        found = find_columns(lines, columns)
        numbers = read_numbers(lines[found.first :], found.positions, found.delimiter)
        return clean(numbers * np.array(found.scales), path.name, degrees, upright)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def read_lines(path: Path, flag: str) -> list[tuple[int, str]]:
    """Number and text of each line that is not empty."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(0, "a folder or a pipe")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise UsageError(f"{flag}: found no file {path} ({reason}), expected a table of time, angle, torque") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: tuple[str, ...] = ("utf-16",)
    elif b"\0" in content[:4]:
        encodings = ("utf-16-le",) if content[1:2] == b"\0" else ("utf-16-be",)
    else:
        encodings = "utf-8-sig", "cp1252"
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if re.search(r"[\0-\x08\x0e-\x1f]", text):
            break
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip(" \t,;#")]
        if not lines:
            raise UsageError(f"{flag}: found nothing in {path}, expected a table of time, angle and torque")
        return lines
    raise UsageError(f"{flag}: found {path}, which is no text, expected a table of time, angle and torque")


def split_cells(line: str, delimiter: str | None) -> list[str]:
    """The cells of a line; None as the delimiter stands for any white space."""
    cells = line.split() if delimiter is None else next(csv.reader([line], delimiter=delimiter))
    return [cell.strip(" \t\"'") for cell in cells]


def delimiter_of(line: str) -> str | None:
    """The sign that separates the cells of a line; None for white space. A comma may be a decimal one."""
    return next((sign for sign in (";", "\t", "|", ",") if sign in line.strip()), None)


def name_and_unit(cell: str, column: str) -> tuple[str, float | None]:
    """The name in a header's cell, and its unit in s, rad or N m: of "meas_pos (deg)", "time_ms", "Torque [Nm]".

    None for a unit that is not known.
    """
    text = re.sub(r"\s+", " ", cell.strip(" \t#").lower())
    bracketed = re.fullmatch(r"(.*?) ?[\[(/] ?([^\])]*)[\])]?", text)
    if bracketed:
        unit = re.sub(r"[ .*·⋅]", "", bracketed[2])
        return bracketed[1].replace(" ", "_"), UNITS[column].get(unit, None if unit else 1.0)
    head, low_line, tail = text.replace(" ", "_").rpartition("_")
    if low_line and tail in UNITS[column]:
        return head, UNITS[column][tail]
    return text.replace(" ", "_"), 1.0


class Columns(NamedTuple):
    """Where the numbers stand in a file."""

    first: int  # index of the first line of numbers
    positions: list[int]  # of time, angle and torque
    scales: list[float]  # of a number in s, rad and N m
    delimiter: str | None


def find_columns(lines: Sequence[tuple[int, str]], columns: Sequence[str]) -> Columns:
    """The columns by their names, in a header that may follow comments; or by their numbers, without any header."""
    headers = [re.sub(r"\s+([\[(])", r"\1", line.strip(" \t#")) for _number, line in lines[:MOST_HEADERS]]
    if columns and all(name.isdecimal() for name in columns):
        return numbered_columns(lines, headers, [int(name) - 1 for name in columns])
    names = dict(zip(NAMES, ([name.lower()] for name in columns), strict=True)) if columns else NAMES
    for index, line in enumerate(headers):
        cells = split_cells(line, delimiter_of(line))
        found = {column: matches(cells, column, names[column]) for column in NAMES}
        if not all(found.values()):
            continue
        for column, places in found.items():
            if len(places) > 1:
                both = " and ".join(cells[place] for place in places)
                raise ValueError(f"found the columns {both}, expected one {column}, or --columns TIME ANGLE TORQUE")
        positions = [places[0] for places in found.values()]
        return Columns(index + 1, positions, units(cells, positions), delimiter_of(line))
    shown = ", ".join(split_cells(headers[0], delimiter_of(headers[0])))[:80]
    expected = "; ".join(f"{column} ({', '.join(names[column])})" for column in NAMES)
    hint = "" if columns else ", or --columns TIME ANGLE TORQUE"
    raise ValueError(f"line {lines[0][0]}: found the columns {shown}, expected {expected}{hint}")


def numbered_columns(lines: Sequence[tuple[int, str]], headers: Sequence[str], positions: list[int]) -> Columns:
    """The columns at these places; the first line that has numbers there is the first one."""
    for index, (_number, line) in enumerate(lines[: len(headers)]):
        cells = split_cells(line, delimiter_of(line))
        if 0 <= min(positions) <= max(positions) < len(cells) and all(is_cell(cells[place]) for place in positions):
            above = split_cells(headers[index - 1], delimiter_of(line)) if index else []
            scales = units(above, positions) if len(above) == len(cells) else [1.0, 1.0, 1.0]
            return Columns(index, positions, scales, delimiter_of(line))
    expected = f"numbers in columns {', '.join(str(place + 1) for place in positions)}, counted from 1"
    raise ValueError(f"line {lines[0][0]}: found {lines[0][1].strip()[:60]!r}, expected {expected}")


def units(cells: Sequence[str], positions: Sequence[int]) -> list[float]:
    """What the units in a header's cells are in s, rad and N m; ValueError for one that is not known."""
    scales = []
    for position, column in zip(positions, NAMES, strict=True):
        scale = name_and_unit(cells[position], column)[1]
        if scale is None:
            expected = f"a unit of {column} ({', '.join(UNITS[column])})"
            raise ValueError(f"found the column {cells[position]!r}, expected {expected}")
        scales.append(scale)
    return scales


def matches(cells: Sequence[str], column: str, names: Sequence[str]) -> list[int]:
    """The places of the cells with one of these names, with or without a unit."""
    both = [{name_and_unit(cell, column)[0], cell.lower()} for cell in cells]
    return [place for place, texts in enumerate(both) if texts & set(names)]


def is_cell(text: str) -> bool:
    """Whether it is a number, or stands for a missing one."""
    try:
        float(text.replace(",", "."))
    except ValueError:
        return text.lower() in MISSING
    return True


def read_numbers(lines: Sequence[tuple[int, str]], positions: Sequence[int], delimiter: str | None) -> np.ndarray:
    """The numbers of the three columns (n, 3); NaN where there is none. A last line that breaks off is left out."""
    rows = []
    for number, line in lines:
        if line.lstrip().startswith("#"):
            continue
        cells = split_cells(line, delimiter)
        if len(cells) <= max(positions):
            if number == lines[-1][0]:
                break
            raise ValueError(f"line {number}: found {len(cells)} columns, expected at least {max(positions) + 1}")
        row = []
        for column, position in zip(NAMES, positions, strict=True):
            text = cells[position] if delimiter == "," else cells[position].replace(",", ".")
            try:
                row.append(math.nan if text.lower() in MISSING else float(text))
            except ValueError:
                raise ValueError(f"line {number}: found {column} {text[:40]!r}, expected a number") from None
        rows.append(row)
    return np.array(rows, float).reshape(-1, 3)


def clean(numbers: np.ndarray, name: str, degrees: bool, upright: bool) -> Recording:
    """A recording from rows (n, 3) of time, angle and torque: sorted, without NaN, the angle unwrapped, 0 upright."""
    notes = []
    finite = np.isfinite(numbers).all(1)
    if not finite.all():
        notes.append(_("{name}: {count} rows without a number are left out", name=name, count=int((~finite).sum())))
    numbers = numbers[finite]
    if (np.diff(numbers[:, 0]) < 0).any():
        notes.append(_("{name}: rows were not in the order of time; they are sorted", name=name))
        numbers = numbers[np.argsort(numbers[:, 0], kind="stable")]
    again = np.diff(numbers[:, 0], prepend=-np.inf) <= 0
    if again.any():
        words = _("{name}: {count} rows with the time of another are left out", name=name, count=int(again.sum()))
        notes.append(words)
        numbers = numbers[~again]
    if len(numbers) < FEWEST:
        raise ValueError(f"found {len(numbers)} rows with three numbers, expected at least {FEWEST}")
    time, angle, torque = numbers.T
    time = time - time[0]
    step = float(np.median(np.diff(time)))
    if step > COARSEST:
        hint = "of a time in milliseconds, the name is time_ms"
        raise ValueError(f"found steps of {step:.3g} s, expected at most {COARSEST} s ({hint})")
    if time[-1] < SHORTEST:
        raise ValueError(f"found {time[-1]:.3g} s of a recording, expected at least {SHORTEST} s")
    angle = np.unwrap(angle * (DEGREE if degrees else 1.0))
    jump = max(1, round(0.02 / step))  # noise of single samples is no speed
    speed = float(np.quantile(np.abs(angle[jump:] - angle[:-jump]) / (time[jump:] - time[:-jump]), 0.95))
    if speed > FASTEST:
        expected = "radians, or --degrees" if not degrees else "degrees, as --degrees says"
        raise ValueError(f"found angles that change by {speed:.0f} in a second, expected {expected}")
    if np.ptp(angle) < LEAST_MOTION:
        raise ValueError(f"found angles within {np.ptp(angle):.3g} rad, expected a pendulum that swings")
    if count := len(gaps(time)):
        notes.append(_("{name}: {count} gaps; nothing is fitted across them", name=name, count=count))
    return Recording(time, angle if upright else angle + np.pi, torque, name, notes)


# Where recordings come from


# Recordings of the torque-limited simple pendulum of DFKI's Underactuated Lab (doi:10.21105/joss.03884, BSD 3-Clause).
REPOSITORY = "dfki-ric-underactuated-lab/torque_limited_simple_pendulum"
COMMIT = "ed17ea2d32a35ad944944ca03ef57693e2986732"
SITE = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/results"
PUBLIC = {  # name -> (folder, SHA-256 of its data_measured.csv)
    "direct_collocation": (
        "control_method_direct_collocation",
        "c3f990980169815b93ab37078780e13803327dcb6fc9e019f2d261b988cdaf8f",
    ),
    "sac": ("control_method_sac", "e2bfed62046a1bfdbfc8ff5322afd54acbf10521a683668c30ee39b241ea20d9"),
}
DEFAULT = "direct_collocation", "sac"  # the recording that is fitted, and the one that is forecast
INSTEAD = _("--data FILE with columns time, angle and torque, or --data simulated")
STEP = 0.005  # s, of a simulated recording
NOISE = 0.3  # N m, standard deviation of a measured torque
TRUTH = Pendulum(
    length=0.5,
    mass=0.6,
    gravity=9.81,
    damping=0.02,
    friction=0.12,
    max_torque=1.6,
    max_speed=30.0,
    dt=STEP,
    delay=0.005,
    angle_noise=0.001,
    inertia="point",
    integrator="rk4",
)


@lru_cache(maxsize=4)
def load(
    data: str, other: str | None = None, columns: tuple[str, ...] = (), degrees: bool = False, upright: bool = False
) -> tuple[Recording, Recording | None]:
    """The recordings of the flags: one to learn from, and another one to forecast, None where there is no other.

    The last answers are kept, so that a lesson may ask again at no cost.

    Raises:
        UsageError: if a file or a download cannot be used.
    """
    if data in ("auto", "download"):
        try:
            first, second = (replace(read(download(name)), name=name) for name in DEFAULT)
        except UsageError as error:
            if data == "download":
                raise
            first, second = simulate(0), simulate(1)
            first.notes[:0] = [str(error), _("Going on with simulated recordings; the table and every figure say so.")]
    elif data == "simulated":
        first, second = simulate(0), simulate(1)
    else:
        first, second = read(Path(data), columns, degrees, upright), None
    return first, second if other is None else read(Path(other), columns, degrees, upright, "--other")


def download(name: str) -> Path:
    """The file of a public recording, from the cache or the network."""
    folder, sha256 = PUBLIC[name]
    return fetch(f"{SITE}/{folder}/data_measured.csv", sha256, f"pendulum-{name}.csv", INSTEAD)


def simulate(number: int) -> Recording:
    """A recording of the pendulum TRUTH: 0, a swing-up by energy; 1, a motor that follows two sine waves."""
    env = PendulumEnv(**asdict(TRUTH))
    obs, __ = env.reset(seed=number, options={"state": (np.pi, 0.0)})
    controller, generator = Energy(replace(TRUTH, friction=0.0)), np.random.default_rng(number)
    num_steps, most = (1_200, 2_400)[number], float(TRUTH.max_torque)  # type: ignore[arg-type]
    observations, torques = [obs], []
    for t in np.arange(num_steps) * STEP:
        torque = 1.2 * np.sin(5.1 * t) + 0.8 * np.sin(2.3 * t)
        if number == 0:
            torque = controller.predict(obs)[0][0]
        obs = env.step(np.array([torque], np.float32))[0]
        observations.append(obs)
        torques.append(np.clip(torque, -most, most))
    obs = np.array(observations, float)
    measured = np.append(torques, torques[-1]) + NOISE * generator.standard_normal(num_steps + 1)
    angle = np.unwrap(np.arctan2(obs[:, 1], obs[:, 0]))
    name = (N_("simulated: energy"), N_("simulated: sine waves"))[number]
    return Recording(np.arange(num_steps + 1) * STEP, angle, measured, name, truth=TRUTH)
