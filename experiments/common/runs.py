"""The folder of a run and its files: config.json, result.json, metrics.csv, figures, and the page that shows them."""

import base64
import contextlib
import csv
import io
import itertools
import json
import os
import platform
import sys
import time
import weakref
import webbrowser
from collections.abc import Iterable, Sequence
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
from agents.common import checkpoint, pages
from balancier import _
from experiments.common.flags import Flags, UsageError
from experiments.common.page import Page, document, localize_table, section
from experiments.common.plotting import localize

CONFIG, RESULT, METRICS, PARTS_FOLDER = "config.json", "result.json", "metrics.csv", "parts"
COLUMNS = ["step", "seed", "metric", "value"]  # of metrics.csv
CHECKPOINTS = "agent.safetensors", "agent-before.safetensors"  # the newest of a training, and the one before it
Metric = tuple[int, str, Iterable[float], Iterable[int]]  # step, name, one value a seed, those seeds

console = Console(width=None if sys.stdout.isatty() else 130)  # files and pipes have room for a table


class Run:
    """The folder of one run and everything that is written into it; no other run may write there meanwhile.

    With `resumed` the folder is that of a run that goes on, whose config.json stays. Metrics are written as they come.
    """

    def __init__(self, name: str, flags: Flags, command: str = "", resumed: Path | None = None):
        self.name, self.flags, self.began = name, flags, time.monotonic()
        self.command = command or f"balancier {name}"
        self.folder = resumed or make_folder(name, flags.out, flags.overwrite)
        handle = lock(self.folder)
        self.unlock = weakref.finalize(self, os.close, handle) if handle is not None else lambda: None
        self.machine = machine()
        config = {"experiment": name, "command": self.command, "flags": asdict(flags)}
        config |= {"versions": versions(), "machine": self.machine}
        if resumed is None:
            remove_run(self.folder) if flags.overwrite else None
            write_json(self.folder / CONFIG, config)
        self.metrics = self.folder / METRICS
        self.result: dict[str, Any] = {}
        self.figures: dict[str, Path] = {}
        self.images: dict[str, bytes] = {}  # the same, as PNG for the page

    def log(self, step: int, metric: str, values: Iterable[float], seeds: Iterable[int] | None = None) -> None:
        """Add one number per seed to metrics.csv."""
        rows = [(step, seed, metric, float(x)) for seed, x in zip(seeds or self.flags.all_seeds, values, strict=True)]
        append_metrics(self.metrics, rows)

    def figure(self, figure: Figure, name: str) -> Path:
        """Save a figure in the format asked for; the page takes it as PNG."""
        path = self.folder / f"{name}.{self.flags.format}"
        localize(figure)
        content = {kind: image(figure, kind) for kind in {self.flags.format, "png"}}
        balancier.write_file(path, content[self.flags.format])
        self.figures[name], self.images[name] = path, content["png"]
        return path

    def _repr_html_(self) -> str:
        """What a notebook shows: the command, the folder, and the figures so far."""
        files = ", ".join(sorted(os.listdir(self.folder)))
        known = {_("command"): self.command, _("folder"): self.folder, _("files"): files}
        pictures = (base64.b64encode(content).decode() for content in self.images.values())
        figures = (f'<img src="data:image/png;base64,{data}" style="max-width: 100%">' for data in pictures)
        return pages.facts(_("Run of balancier {name}", name=self.name), known) + "".join(figures)

    def finish(self, result: dict[str, Any]) -> None:
        """Write result.json."""
        append_metrics(self.metrics, [])
        self.result = {"seconds": round(time.monotonic() - self.began, 1)} | result
        write_json(self.folder / RESULT, self.result)

    def close(
        self, table: RenderableType | None, next_command: str, words: Page | None = None, report: bool = False
    ) -> None:
        """Write the page; print the table, where the files are, and what to try next.

        The page of a report has all numbers of result.json, and links to the files of the run.
        """
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file()) if report else ()
        files = [path.relative_to(self.folder).as_posix() for path in paths if not path.name.startswith(".")]
        # What JSON cannot hold is text there, and here.
        numbers = json.loads(json.dumps(plain(self.result), default=str)) if report else None
        localize_table(table)
        body = section(self.name, self.command, words, self.images, table, numbers, files)
        page = publish(self.name, self.folder, body, latest=self.flags.out is None)
        if table is not None:
            console.print(table)
        names = ", ".join(path.name for path in self.figures.values()) or _("none")
        console.print("\n" + _("Page: {path}", path=f"[bold]{page}[/bold]"), highlight=False, soft_wrap=True)
        line = _("Figures: {names}; numbers: result.json, metrics.csv", names=names)
        console.print(line, highlight=False, soft_wrap=True)
        console.print(_("Next: {command}", command=next_command), highlight=False)
        if self.flags.show:
            show(page)
        self.unlock()


def make_folder(name: str, out: Path | None, overwrite: bool = False) -> Path:
    """The folder of a run: the one asked for, or a new one, runs/NAME/TIME.

    Raises UsageError for a folder that holds a run, unless that is to be overwritten.
    """
    try:
        if out is None:
            return new_folder(Path("runs") / name / datetime.now().strftime("%Y-%m-%d-%H%M%S"))
        out.mkdir(parents=True, exist_ok=True)
        if holds_run(out) and not overwrite:
            expected = "a new or empty folder (--resume continues a run, --overwrite replaces it)"
            raise UsageError(f"--out: found a run in {out}, expected {expected}")
    except OSError as error:
        raise UsageError(f"--out: cannot make the folder {out or 'runs'} ({error.strerror})") from None
    return out


def new_folder(folder: Path) -> Path:
    """Make a folder of this name, or, where another run has taken it, of this name and a number."""
    for number in itertools.count(1):
        numbered = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with contextlib.suppress(FileExistsError):
            numbered.mkdir(parents=True)
            return numbered
    raise AssertionError


def holds_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in (CONFIG, RESULT, METRICS, *CHECKPOINTS))


def newest_checkpoint(folder: Path) -> Path:
    """The newest sound checkpoint in the folder of a run; where there is none, the name that it would have."""
    paths = [folder / name for name in CHECKPOINTS if (folder / name).exists()]
    for path in paths[:-1]:
        try:
            checkpoint.load(path)
            return path
        except (OSError, checkpoint.CheckpointError) as error:
            console.print(_("{error}; the one before it is used", error=error), highlight=False)
    return paths[-1] if paths else folder / CHECKPOINTS[0]


def remove_run(folder: Path) -> None:
    """Remove what a run wrote and a new one need not write again; figures and pages are overwritten."""
    for name in (*CHECKPOINTS, RESULT, METRICS, "index.html", CONFIG):
        (folder / name).unlink(missing_ok=True)
    for path in (*folder.glob("policy-*.safetensors"), *(folder / PARTS_FOLDER).glob("*.safetensors")):
        path.unlink()


def lock(folder: Path) -> int | None:
    """Take a folder for this process, until the handle returned is closed or the process ends.

    Raises UsageError if another process has it. Where there are no such locks (Windows), the handle is None.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UsageError(f"{folder}: found a run that is still going on, expected a folder of no other run") from None
    except OSError:  # a file system without locks
        pass
    return handle


def append_metrics(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Add rows to a table of metrics, which begins with its header."""
    text = io.StringIO()
    header = [] if path.exists() else [COLUMNS]
    csv.writer(text, lineterminator="\n").writerows([*header, *rows])
    with balancier.naming_file(path), open(path, "a", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())


def read_metrics(path: Path) -> list[list[str]]:
    """The complete rows of a table of metrics; a line that was cut in the middle is left out."""
    lines = path.read_text("utf-8", errors="replace").splitlines(keepends=True) if path.exists() else []
    rows = csv.reader(line for line in lines if line.endswith("\n"))
    return [row for row in rows if len(row) == len(COLUMNS) and row[0].isdigit()]


def restart_metrics(path: Path, last_step: int, rows: Iterable[Sequence[Any]]) -> None:
    """Write a table of metrics with those of `rows` that are not after a step."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *(row for row in rows if int(row[0]) <= last_step)])
    balancier.write_file(path, text.getvalue())


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
        console.print(_("found no browser; open {page}", page=page.resolve()), highlight=False, soft_wrap=True)


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


def as_csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows of plain values as a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *map(plain, rows)])
    return text.getvalue()


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
