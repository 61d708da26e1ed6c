"""What all experiments share: flags, the run's folder and what is written into it, progress, and how a run ends."""

import contextlib
import csv
import io
import json
import multiprocessing
import os
import platform
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

console = Console(width=None if sys.stdout.isatty() else 130)  # files and pipes have room for a table


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
ResultType = TypeVar("ResultType")


def check_flags(flags: Flags) -> None:
    """Raise UsageError for shared flags out of their range."""
    for name, least in (("seeds", 1), ("seed", 0), ("threads", 1)):
        if (value := getattr(flags, name)) < least:
            raise UsageError(f"--{name}: found {value}, expected at least {least}")
    if flags.out is not None and flags.out.exists() and not flags.out.is_dir():
        raise UsageError(f"--out: found the file {flags.out}, expected a folder, or a name not yet taken")


class Run:
    """The folder of one run and everything that is written into it."""

    def __init__(self, name: str, flags: Flags):
        self.name, self.flags, self.began = name, flags, time.monotonic()
        self.folder = flags.out or Path("runs") / name / datetime.now().strftime("%Y-%m-%d-%H%M%S")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out: cannot make the folder {self.folder} ({error.strerror})") from None
        self.machine = machine()
        config = {"experiment": name, "flags": asdict(flags), "versions": versions(), "machine": self.machine}
        write_json(self.folder / "config.json", config)
        self.metrics: list[tuple[int, int, str, float]] = []

    def log(self, step: int, metric: str, values: Iterable[float], seeds: Iterable[int] | None = None) -> None:
        """Remember one number per seed for metrics.csv."""
        for seed, value in zip(seeds or self.flags.all_seeds, values, strict=True):
            self.metrics.append((step, seed, metric, float(value)))

    def figure(self, figure: Figure, name: str) -> Path:
        """Save a figure in the format asked for."""
        path = self.folder / f"{name}.{self.flags.format}"
        figure.savefig(path)
        return path

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json and metrics.csv."""
        with atomic(self.folder / "metrics.csv") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["step", "seed", "metric", "value"])
            writer.writerows(self.metrics)
        write_json(self.folder / "result.json", {"seconds": round(time.monotonic() - self.began, 1)} | result)

    def close(self, table: Table | None, then: str) -> None:
        """The last words: a table, where everything is, and what to try next."""
        if table is not None:
            console.print(table)
        console.print(f"\nFigures, result.json and metrics.csv are in [bold]{self.folder}[/bold]")
        console.print(f"Next: {then}", highlight=False)


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Any]:
    """A text file that is there only once it is complete."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def write_json(path: Path, content: Any) -> None:
    with atomic(path) as file:
        json.dump(content, file, indent=1, default=str)
        file.write("\n")


def versions() -> dict[str, str]:
    packages = ("balancier", "gymnasium", "matplotlib", "numpy", "stable-baselines3", "torch")
    return {"python": platform.python_version()} | {package: version(package) for package in packages}


def machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


class Progressing:
    """A bar with the time left on a terminal, a line now and then elsewhere."""

    def __init__(self, total: float, what: str):
        self.total, self.what, self.done, self.told, self.began = total, what, 0.0, 0.0, time.monotonic()
        self.bar = None
        if console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
            self.bar = Progress(*columns, console=console, transient=True)
            self.task = self.bar.add_task(what, total=total)

    def __enter__(self) -> "Progressing":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, amount: float = 1.0, what: str | None = None) -> None:
        self.done += amount
        if self.bar is not None:
            self.bar.update(self.task, advance=amount, description=what or self.what)
        elif self.done - self.told >= self.total / 10 or self.done >= self.total > self.told:
            self.told = self.done
            seconds = time.monotonic() - self.began
            console.print(f"{what or self.what}: {self.done / self.total:4.0%} after {seconds:.0f} s", highlight=False)


def side_by_side(
    work: Callable[[Any, Callable[[float], None]], ResultType], tasks: Sequence[Any], jobs: int, total: float, what: str
) -> list[ResultType]:
    """`work(task, report)` for every task, in `jobs` processes of one thread each; the results in the tasks' order.

    `report(amount)` moves the progress bar, whose end is `total`. Tasks begin in their order: put long ones first.
    """
    context = multiprocessing.get_context("spawn")
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with (
        context.Manager() as manager,
        Progressing(total, what) as progress,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        queue = manager.Queue()
        futures = [pool.submit(_call, work, task, queue) for task in tasks]
        waiting: set[Future] = set(futures)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()  # a failure ends the run at once
                while not queue.empty():
                    progress.advance(queue.get())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return [future.result() for future in futures]


def _call(work: Callable[[Any, Callable[[float], None]], ResultType], task: Any, queue: Any) -> ResultType:
    return work(task, queue.put)


def duration(seconds: float) -> str:
    """A time as people say it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


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
