"""The folder of a run and its files: config.json, result.json, metrics.csv, figures, and the page that shows them."""

import contextlib
import csv
import io
import json
import os
import platform
import sys
import time
import webbrowser
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.console import Console, RenderableType

import balancier
from experiments.common.flags import Flags, UsageError
from experiments.common.page import Page, document, section

Metric = tuple[int, str, Iterable[float], Iterable[int]]  # step, name, one value a seed, those seeds

console = Console(width=None if sys.stdout.isatty() else 130)  # files and pipes have room for a table


class Run:
    """The folder of one run and everything that is written into it."""

    def __init__(self, name: str, flags: Flags, command: str = ""):
        self.name, self.flags, self.began = name, flags, time.monotonic()
        self.command = command or f"balancier {name}"
        self.folder = make_folder(name, flags.out)
        self.machine = machine()
        config = {"experiment": name, "command": self.command, "flags": asdict(flags)}
        config |= {"versions": versions(), "machine": self.machine}
        write_json(self.folder / "config.json", config)
        self.metrics: list[tuple[int, int, str, float]] = []
        self.figures: dict[str, Path] = {}
        self.images: dict[str, bytes] = {}  # the same, as PNG for the page

    def log(self, step: int, metric: str, values: Iterable[float], seeds: Iterable[int] | None = None) -> None:
        """Remember one number per seed for metrics.csv."""
        for seed, value in zip(seeds or self.flags.all_seeds, values, strict=True):
            self.metrics.append((step, seed, metric, float(value)))

    def figure(self, figure: Figure, name: str) -> Path:
        """Save a figure in the format asked for; the page takes it as PNG."""
        path = self.folder / f"{name}.{self.flags.format}"
        content = {kind: image(figure, kind) for kind in {self.flags.format, "png"}}
        balancier.write_file(path, content[self.flags.format])
        self.figures[name], self.images[name] = path, content["png"]
        return path

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json and metrics.csv."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([["step", "seed", "metric", "value"], *self.metrics])
        balancier.write_file(self.folder / "metrics.csv", text.getvalue())
        write_json(self.folder / "result.json", {"seconds": round(time.monotonic() - self.began, 1)} | result)

    def close(self, table: RenderableType | None, next_command: str, words: Page | None = None) -> None:
        """Write the page; print the table, where the files are, and what to try next."""
        body = section(self.name, self.command, words, self.images, table)
        page = publish(self.name, self.folder, body, latest=self.flags.out is None)
        if table is not None:
            console.print(table)
        names = ", ".join(path.name for path in self.figures.values()) or "none"
        console.print(f"\nPage: [bold]{page}[/bold]", highlight=False, soft_wrap=True)
        console.print(f"Figures: {names}; numbers: result.json, metrics.csv", highlight=False, soft_wrap=True)
        console.print(f"Next: {next_command}", highlight=False)
        if self.flags.show:
            show(page)


def make_folder(name: str, out: Path | None) -> Path:
    """The folder of a run: the one asked for, or runs/NAME/TIME."""
    folder = out or Path("runs") / name / datetime.now().strftime("%Y-%m-%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: cannot make the folder {folder} ({error.strerror})") from None
    return folder


def publish(name: str, folder: Path, body: str, latest: bool) -> Path:
    """Write the page of a run, and let runs/NAME/latest point to the run unless its folder was chosen."""
    page = folder / "index.html"
    balancier.write_file(page, document(f"balancier {name}", f"<main>\n{body}\n</main>"))
    if latest:
        link_latest(folder)
    return page


def image(figure: Figure, kind: str) -> bytes:
    """A figure as a file of this kind; the same figure gives the same bytes."""
    content = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context({"svg.hashsalt": "balancier"}):
        figure.savefig(content, format=kind, metadata=metadata)
    return content.getvalue()


LATEST = "latest"


def link_latest(folder: Path) -> None:
    """Let `latest`, beside a run's folder, point to it: a link, or where there are none a file with its name."""
    link = folder.parent / LATEST
    beside = folder.parent / f".{folder.name}"
    try:
        beside.unlink(missing_ok=True)
        beside.symlink_to(folder.name, target_is_directory=True)
        os.replace(beside, link)  # no moment without a link
    except OSError:  # Windows allows links to some users only
        balancier.write_file(link, folder.name + "\n")


def find_latest(path: Path) -> Path:
    """The folder that a path names: where `latest` is a file, the folder that it names."""
    return path.parent / path.read_text().strip() if path.name == LATEST and path.is_file() else path


def show(page: Path) -> None:
    """Open a page in the browser, or say that there is none."""
    if not webbrowser.open(page.resolve().as_uri()):
        console.print(f"found no browser; open {page.resolve()}", highlight=False, soft_wrap=True)


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
