"""What all experiments share: flags, the run's folder and what is written into it, progress, and how a run ends."""

import contextlib
import csv
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments.common.flags import Flags, UsageError

Metric = tuple[int, str, Iterable[float], Iterable[int]]  # step, name, one value a seed, those seeds

console = Console(width=None if sys.stdout.isatty() else 130)  # files and pipes have room for a table


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
