"""Flags that every experiment has, and bounds that stand at a flag: `points: Annotated[int, at_least(2)] = 200`."""

import dataclasses
import os
import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from balancier import MOST, Bound, is_number, shown
from balancier import one_of as one_of

JOBS = "BALANCIER_JOBS"  # environment variable: processes of a run where --jobs is not given


class UsageError(ValueError):
    """Input that a run cannot start from; its one line is shown and the exit status is 2."""


def at_least(least: float) -> Bound:
    return Bound(lambda value: least <= value <= MOST, f"at least {least}")


def above(limit: float) -> Bound:
    return Bound(lambda value: limit < value <= MOST, f"a number above {limit}")


def is_scheduler(text: str) -> bool:
    return text in ("local", "slurm") or re.fullmatch(r"\w+://[^\s/]+:\d+", text) is not None


SCHEDULER = Bound(is_scheduler, "local, slurm, or the address of a Dask scheduler, as tcp://HOST:8786")

# The largest numbers for flags of these names: more would fill memory before the first step, not the time that follows.
MOST_OF = {"seeds": 10_000, "baseline_seeds": 10_000, "eval_episodes": 10**6, "episodes": 10**6}
MOST_OF |= {"threads": 1024, "jobs": 1024}


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
    """Processes at the same time, each on one thread (default: the number of cores); with slurm, the jobs to submit."""
    scheduler: Annotated[str, SCHEDULER, tyro.conf.arg(metavar="local|slurm|tcp://HOST:PORT")] = "local"
    """Where the jobs run: processes of this machine, workers of a Dask scheduler, or jobs of Slurm."""
    resume: Path | None = None
    """Continue the run in this folder, with its flags; what it has finished is not done again."""

    @property
    def processes(self) -> int:
        return self.jobs or given_jobs() or os.cpu_count() or 1


def given_jobs() -> int:
    """The number in the environment variable, 0 where there is none; UsageError for what is no number."""
    text = os.environ.get(JOBS) or "0"
    if not text.isdecimal() or not 0 <= int(text[:9]) <= MOST_OF["jobs"]:
        raise UsageError(f"{JOBS}: found {shown(text)}, expected a whole number from 1 to {MOST_OF['jobs']}")
    return int(text)


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


MOST_LETTERS, MOST_BYTES = 4096, 255  # of an argument, and of a name in a path, as file systems have them


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise UsageError for what has no meaning to any flag: nothing, None, texts that are too long or no line."""
    flag = "command"
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else ("", "=", argument)
        flag = name or flag
        if equals and (value.strip() in ("", "None") or not value.isprintable()):
            raise UsageError(f"{flag}: found {shown(value)}, expected a value; without the flag it is the default")
        if len(value) > MOST_LETTERS:
            raise UsageError(f"{flag}: found {len(value)} characters, expected at most {MOST_LETTERS}")


def check_flags(flags: Any) -> None:
    """Raise UsageError for a flag that is out of its bounds, a path that can be none, or an --out that is no folder."""
    limits = bounds(type(flags))
    for field in dataclasses.fields(flags):
        value = getattr(flags, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            for bound in limits[field.name]:
                if part is not None and not bound.holds(part):
                    found = part if isinstance(part, str) else shown(part)
                    raise UsageError(f"{flag_name(field.name)}: found {found}, expected {bound.words}")
            if is_number(part) and part > (most := MOST_OF.get(field.name, MOST)):
                raise UsageError(f"{flag_name(field.name)}: found {shown(part)}, expected at most {most:,}")
            for name in part.parts if isinstance(part, Path) else ():
                if (count := len(os.fsencode(name))) > MOST_BYTES:
                    flag = field.name if "Positional" in str(field.type) else flag_name(field.name)
                    raise UsageError(f"{flag}: found a name of {count} bytes, expected at most {MOST_BYTES}")
    out = getattr(flags, "out", None)
    is_file = getattr(flags, "out_is_file", False)
    if out is not None and out.exists() and not is_file and not out.is_dir():
        raise UsageError(f"--out: found the file {out}, expected a folder, or a name not yet taken")
