"""Run all lessons in their short form and put them on one page, index.html, with a section for each lesson. The table
says which numbers moved since the last run on this machine: a change to the code that changes what a lesson teaches is
seen here.

balancier course --only polynomial mlp

Each lesson is a process of its own; as many run at the same time as there are cores. A lesson that fails does not stop
the others; the exit status is then 1.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table

from balancier import _
from experiments.common.catalog import EXPERIMENTS, LESSONS, duration
from experiments.common.command import command_line, run_command
from experiments.common.flags import JOBS, at_least, one_of
from experiments.common.page import block, localize_table
from experiments.common.parallel import Job, ProgressBar, Schedule
from experiments.common.runs import console, make_folder, publish, show, write_json

TOLERANCE = 1e-3  # relative change from which a number has moved
NOT_COMPARED = re.compile("second|time|memory|speed|per_s")  # keys of what depends on how busy the machine is
MOST_SHOWN = 3  # moved numbers of a lesson in the table


@dataclass(frozen=True)
class Course:
    only: Annotated[tuple[str, ...], one_of(LESSONS)] = ()
    """Names of the lessons to run (default: all)."""
    out: Path | None = None
    """Folder of the run, new or empty (default: runs/course/TIME)."""
    overwrite: bool = False
    """Replace the run that --out holds."""
    jobs: Annotated[int, at_least(1)] | None = None
    """Lessons at the same time (default: the number of cores)."""
    show: bool = False
    """Open the page of the run, index.html, in the browser."""

    @property
    def lessons(self) -> list[str]:
        return [name for name in LESSONS if name in self.only or not self.only]

    @property
    def processes(self) -> int:
        return self.jobs or os.cpu_count() or 1


@dataclass(frozen=True)
class Outcome:
    """How a lesson ended."""

    name: str
    status: int  # exit status of its process
    seconds: float
    message: str  # last line that it printed
    moved: dict[str, tuple[Any, Any]] | None  # number -> before and now; None at the first run


def course(flags: Course, command: str) -> int:
    jobs = [Job(name, (), cost(name)) for name in flags.lessons]
    before = {name: last_result(name, flags.out) for name in flags.lessons}  # which this run may overwrite
    folder = make_folder("course", flags.out, flags.overwrite)
    seconds = sum(job.cost for job in jobs) / min(len(jobs), flags.processes)
    words = {"count": len(jobs), "time": duration(seconds)}
    console.print(_("course: {count} lessons in their short form, about {time}", **words), highlight=False)
    outcomes = []
    for name, status, seconds in run_lessons(jobs, flags.processes, folder):
        after = read_result(folder / name / "result.json") if status == 0 else None
        moved = None if before[name] is None or after is None else changes(before[name], after)
        outcomes.append(Outcome(name, status, seconds, last_line(folder / name / "log.txt"), moved))
    outcomes.sort(key=lambda outcome: LESSONS.index(outcome.name))
    shown = table(outcomes)
    write_json(folder / "result.json", {outcome.name: vars(outcome) for outcome in outcomes})
    page = publish("course", folder, body(outcomes, folder, shown, command), latest=flags.out is None)
    console.print(shown)
    console.print("\n" + _("Page: {path}", path=f"[bold]{page}[/bold]"), highlight=False, soft_wrap=True)
    if flags.show:
        show(page)
    return int(any(outcome.status for outcome in outcomes))


def cost(name: str) -> float:
    """Processor seconds of a lesson's short form, roughly."""
    return (EXPERIMENTS[name].quick or 0.0) * EXPERIMENTS[name].cores


def run_lessons(jobs: Sequence[Job], processes: int, folder: Path) -> Iterator[tuple[str, int, float]]:
    """Name, exit status and seconds of each lesson, as it ends; costly ones begin first."""
    waiting, running = sorted(jobs, key=lambda job: job.cost), {}
    environment = os.environ | {JOBS: "1", "OMP_NUM_THREADS": "1"}  # one core for each lesson
    with ProgressBar(sum(job.cost for job in jobs), _("lessons")) as progress:
        schedule = Schedule(jobs, processes, progress)
        try:
            while waiting or running:
                while waiting and len(running) < processes:
                    job = waiting.pop()
                    running[job] = start(job.name, folder / job.name, environment), time.monotonic()
                    schedule.start(job)
                for job, (process, began) in list(running.items()):
                    if process.poll() is not None:
                        del running[job]
                        schedule.finish(job)
                        yield job.name, process.returncode, time.monotonic() - began
                time.sleep(0.05)
        finally:
            for process, __ in running.values():
                process.terminate()
            for process, __ in running.values():
                process.wait()


def start(name: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    """The process of a lesson, which prints into log.txt."""
    folder.mkdir(exist_ok=True)
    flags = ["--quick", "--threads", "1", "--overwrite", "--out", str(folder)]
    command = [sys.executable, "-m", "experiments", name, *flags]
    with open(folder / "log.txt", "w") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def last_result(name: str, out: Path | None) -> dict[str, Any] | None:
    """What result.json of a lesson held after the last course; None if there is none."""
    paths = [*Path("runs/course").glob(f"*/{name}/result.json"), *([out / name / "result.json"] if out else [])]
    found = [path for path in paths if path.is_file()]
    return read_result(max(found, key=lambda path: path.stat().st_mtime)) if found else None


def read_result(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def changes(before: Any, after: Any) -> dict[str, tuple[Any, Any]]:
    """The numbers that are not what they were, those that are new (before: None) and those that are gone."""
    old, new = dict(numbers(before)), dict(numbers(after))
    return {key: (old.get(key), new.get(key)) for key in old | new if moved(old.get(key), new.get(key))}


def numbers(content: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of a JSON document, each with its path: "errors.3.0"."""
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, int | float) and not NOT_COMPARED.search(path):
        yield path, content


def moved(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    same = before == after or (before != before and after != after)  # NaN stays NaN
    return not same and not abs(after - before) <= TOLERANCE * max(abs(before), abs(after))


def table(outcomes: Sequence[Outcome]) -> Table:
    head = _("numbers that moved by more than {share:.1%} since the last run here", share=TOLERANCE)
    shown = Table(_("lesson"), _("seconds"), head)
    for outcome in outcomes:
        shown.add_row(outcome.name, f"{outcome.seconds:.0f}", news(outcome))
    localize_table(shown)
    return shown


def news(outcome: Outcome) -> str:
    if outcome.status:
        return _("failed with exit status {status}: {message}", status=outcome.status, message=outcome.message)
    if outcome.moved is None:
        return _("first run")
    listed = [f"{key} {word(old)} -> {word(new)}" for key, (old, new) in list(outcome.moved.items())[:MOST_SHOWN]]
    more = len(outcome.moved) - len(listed)
    return _("; ").join([*listed, *([_("and {count} more", count=more)] if more else [])]) or _("none")


def word(number: float | None) -> str:
    return _("none") if number is None else f"{number:.4g}"


def body(outcomes: Sequence[Outcome], folder: Path, shown: Table, command: str) -> str:
    """The page: links to the lessons, the table, and what is on the page of each lesson."""
    entries = [(outcome.name, EXPERIMENTS[outcome.name]) for outcome in outcomes]
    links = [
        _("{lesson}: {text}", lesson=f'<a href="#{name}">{entry.section} {name}</a>', text=escape(_(entry.text)))
        for name, entry in entries
    ]
    made = _("Made by {command}", command=f"<code>{escape(command)}</code>")
    parts = [
        f"<section>\n<h1>{_('The course in its short form')}</h1>",
        "<ul>\n" + "\n".join(f"<li>{link}</li>" for link in links) + "\n</ul>",
        f'<div class="wide">\n{block(shown)}\n</div>',
        f'<p class="command">{made}</p>\n</section>',
    ]
    return "\n".join([*parts, *(lesson_section(outcome, folder) for outcome in outcomes)])


def lesson_section(outcome: Outcome, folder: Path) -> str:
    """The section on a lesson's own page; for a lesson that failed, the end of what it printed."""
    if outcome.status == 0:
        page = (folder / outcome.name / "index.html").read_text()
        return re.search("<main>\n(.*)\n</main>", page, re.DOTALL)[1]  # type: ignore[index]
    log = (folder / outcome.name / "log.txt").read_text(errors="replace")[-2000:]
    failed = _("{name} failed", name=outcome.name)
    return f'<section id="{outcome.name}">\n<h1>{failed}</h1>\n<pre>{escape(log)}</pre>\n</section>'


def main(argv: Sequence[str] | None = None) -> int:
    command = command_line("course", argv)
    return run_command("course", Course, lambda flags: course(flags, command), argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
