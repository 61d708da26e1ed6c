"""The folder of a run and its files: config.json, result.json, metrics.csv and figures."""

import contextlib
import csv
import io
import json
import os
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console, RenderableType

import balancier
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
        image = io.BytesIO()
        figure.savefig(image, format=self.flags.format)
        balancier.write_file(path, image.getvalue())
        return path

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json and metrics.csv."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([["step", "seed", "metric", "value"], *self.metrics])
        balancier.write_file(self.folder / "metrics.csv", text.getvalue())
        write_json(self.folder / "result.json", {"seconds": round(time.monotonic() - self.began, 1)} | result)

    def close(self, table: RenderableType | None, next_command: str) -> None:
        """Print the table, where the files are, and what to try next."""
        if table is not None:
            console.print(table)
        console.print(f"\nFigures, result.json and metrics.csv are in [bold]{self.folder}[/bold]")
        console.print(f"Next: {next_command}", highlight=False)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; arrays become lists, and numbers are rounded to seven digits."""
    balancier.write_file(path, json.dumps(plain(content), indent=1, default=str) + "\n")


def plain(content: Any) -> Any:
    """The same content in plain Python, rounded."""
    if isinstance(content, np.ndarray | np.generic):
        content = content.tolist()
    if isinstance(content, float):
        return float(f"{content:.7g}")
    if isinstance(content, dict):
        return {key: plain(value) for key, value in content.items()}
    return [plain(value) for value in content] if isinstance(content, list | tuple) else content


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
