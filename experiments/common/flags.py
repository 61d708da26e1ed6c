"""Flags that every experiment has, and bounds that stand at a flag: `points: Annotated[int, at_least(2)] = 200`."""

import dataclasses
import os
import typing
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from agents.common.config import Bound

JOBS = "BALANCIER_JOBS"  # environment variable: processes of a run where --jobs is not given


class UsageError(ValueError):
    """Input that a run cannot start from; its one line is shown and the exit status is 2."""


def at_least(least: float) -> Bound:
    return Bound(lambda value: value >= least, f"at least {least}")


def above(limit: float) -> Bound:
    return Bound(lambda value: limit < value < float("inf"), f"a number above {limit}")


def one_of(choices: Collection[str]) -> Bound:
    return Bound(lambda value: value in choices, f"one of {', '.join(choices)}")


@dataclass(frozen=True)
class Flags:
    """Flags that every experiment has."""

    seeds: Annotated[int, at_least(1)] = 10
    """How many seeds (independent replicas) to train."""
    seed: Annotated[int, at_least(0)] = 0
    """The first of them; the others follow."""
    out: Path | None = None
    """Folder of the run, new or empty (default: runs/NAME/TIME)."""
    overwrite: bool = False
    """Replace the run that --out holds."""
    threads: Annotated[int, at_least(1)] = 1
    """Processor threads of one process; small networks are fastest with one."""
    quick: bool = False
    """A minute at most, for class: smaller, shorter, rougher."""
    format: Literal["png", "svg", "pdf"] = "png"
    """Format of the figures."""
    show: bool = False
    """Open the page of the run, index.html, in the browser."""

    @property
    def all_seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + self.seeds))


@dataclass(frozen=True)
class ParallelFlags(Flags):
    """Flags of the experiments whose jobs run in several processes."""

    jobs: Annotated[int, at_least(1)] | None = None
    """Processes at the same time, each on one thread (default: the number of cores)."""
    resume: Path | None = None
    """Continue the run in this folder, with its flags; what it has finished is not done again."""

    @property
    def processes(self) -> int:
        return self.jobs or int(os.environ.get(JOBS, 0)) or os.cpu_count() or 1


def flag_name(field: str) -> str:
    """`eval_episodes` as it is typed: `--eval-episodes`."""
    return "--" + field.replace("_", "-")


def bounds(flags_class: type) -> dict[str, list[Bound]]:
    """The bounds that stand at each flag."""
    return {name: bounds_in(hint) for name, hint in typing.get_type_hints(flags_class, include_extras=True).items()}


def bounds_in(hint: Any) -> list[Bound]:
    """The bounds in a type; Annotated[int, ...] | None keeps them inside."""
    here = [note for note in getattr(hint, "__metadata__", ()) if isinstance(note, Bound)]
    return here + [bound for part in typing.get_args(hint) for bound in bounds_in(part)]


def check_flags(flags: Any) -> None:
    """Raise UsageError for a flag that is out of its bounds, or an --out that is no folder."""
    limits = bounds(type(flags))
    for field in dataclasses.fields(flags):
        value = getattr(flags, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            for bound in limits[field.name]:
                if number is not None and not bound.holds(number):
                    raise UsageError(f"{flag_name(field.name)}: found {number}, expected {bound.words}")
    out = getattr(flags, "out", None)
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"--out: found the file {out}, expected a folder, or a name not yet taken")
