"""A command line: flags, their bounds, and how a run ends."""

import contextlib
import io
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
import tyro


class UsageError(ValueError):
    """Input that a run cannot start from; its one line is shown and the exit status is 2."""


@dataclass(frozen=True)
class Flags:
    """Flags that every experiment has."""

    seeds: int = 10
    """How many seeds (independent replicas) to train."""
    seed: int = 0
    """The first of them; the others follow."""
    out: Path | None = None
    """Folder of the run, used as given (default: runs/NAME/TIME)."""
    threads: int = 1
    """Processor threads of one process; small networks are fastest with one."""
    quick: bool = False
    """A minute at most, for class: smaller, shorter, rougher."""
    format: Literal["png", "svg", "pdf"] = "png"
    """Format of the figures."""

    @property
    def all_seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + self.seeds))


FlagsType = TypeVar("FlagsType")


def check_flags(flags: Flags) -> None:
    """Raise UsageError for shared flags out of their range."""
    for name, least in (("seeds", 1), ("seed", 0), ("threads", 1)):
        if (value := getattr(flags, name)) < least:
            raise UsageError(f"--{name}: found {value}, expected at least {least}")
    if flags.out is not None and flags.out.exists() and not flags.out.is_dir():
        raise UsageError(f"--out: found the file {flags.out}, expected a folder, or a name not yet taken")


@contextlib.contextmanager
def waiting_interrupts() -> Iterator[list[int]]:
    """A list of the interrupts (SIGINT, SIGTERM) that came: who sees one in it ends at a good moment.

    A second Ctrl-C does not wait: it raises KeyboardInterrupt where it finds the program. A second SIGTERM does: some
    send it to a process and to its group, so that it comes twice.
    """
    came: list[int] = []

    def note(number: int, frame: object) -> None:
        if number == signal.SIGINT and came:
            raise KeyboardInterrupt
        came.append(number)

    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launch(
    name: str,
    flags_class: type[FlagsType],
    experiment: Callable[[FlagsType], None],
    argv: Sequence[str] | None,
    description: str | None,
) -> int:
    """Parse the command line, run, and say how it ended: 0, 2 for bad input, 130 when interrupted or told to end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the processes of a run would outlive it
    try:
        flags = parse(name, flags_class, argv, description)
        if isinstance(flags, Flags):
            check_flags(flags)
            torch.set_num_threads(flags.threads)
        experiment(flags)
    except UsageError as error:
        print(f"balancier {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"balancier {name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def parse(name: str, flags_class: type[FlagsType], argv: Sequence[str] | None, description: str | None) -> FlagsType:
    """The flags; UsageError, in one line, for a command line that makes no sense."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(
                flags_class,
                args=sys.argv[1:] if argv is None else argv,
                prog=f"balancier {name}",
                description=(description or "").partition("\n\n")[0],
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as end:
        if end.code in (0, None):
            raise
        words = re.sub(r"[╭╮╰╯│─]+", " ", told.getvalue())
        words = re.sub(r"\s+", " ", words).replace("Parsing error", "").replace("Unrecognized options", "").strip()
        raise UsageError(words.partition(" For full helptext")[0]) from None
