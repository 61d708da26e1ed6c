"""Check a student's file in a process of its own, which is ended where it takes too long."""

import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import balancier
from balancier import _
from experiments.exercises.checking import Step
from experiments.exercises.sources import Exercise
from experiments.exercises.worker import no_end

LIMITS = (8.0, 3.0)  # seconds of the first step that does not end, and of those after it
LATER = 2.0  # seconds after which a process is ended that could not be interrupted
STARTING = 60.0  # seconds in which the process has to begin, on a machine that is busy
CODE = """
import sys
sys.path[:] = {path!r}
from experiments.exercises.worker import main
main({name!r}, {file!r}, {first}, {limits})
"""


@dataclass(frozen=True)
class Outcome:
    """What the check of a step found; `problem` is None where it is right."""

    step: Step
    problem: dict[str, Any] | None


def check_file(exercise: Exercise, path: Path) -> list[Outcome]:
    """The outcome of each step, in their order."""
    steps, problems, slow = exercise.steps, [], 0
    while len(problems) < len(steps):
        process = Checker(exercise, path, len(problems), LIMITS[1:] * 2 if slow else LIMITS)
        try:
            problems += process.problems()
        finally:
            process.end()
        slow += process.late
    return [Outcome(step, problem) for step, problem in zip(steps, problems, strict=True)]


class Checker:
    """A process that checks the steps from number `first` on; the limits are those of `worker.main`."""

    def __init__(self, exercise: Exercise, path: Path, first: int, limits: tuple[float, ...]):
        path = path.resolve()
        search = [str(balancier.HOME), *(entry for entry in sys.path if entry)]
        code = CODE.format(path=search, name=exercise.name, file=str(path), first=first, limits=limits)
        settings = os.environ | {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=path.parent,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=read_lines, args=(self.process.stdout, self.lines), daemon=True).start()
        self.count, self.limit = len(exercise.steps) - first, limits[0]
        self.over = self.late = False

    def problems(self) -> list[dict | None]:
        """The problem of each step that it came to; of all steps, where the file itself cannot be run."""
        if not self.lines.get(timeout=STARTING):
            told = self.process.stderr.read().decode(errors="replace") if self.process.stderr else ""
            raise RuntimeError(f"the process of the check has ended at its start: {told}")
        whole = self.answer()
        if whole is not None:
            return [whole | {"whole": True}] * self.count
        found: list[dict | None] = []
        while len(found) < self.count and not self.over:
            found.append(self.answer())
        return found

    def answer(self) -> dict | None:
        """The next line of the process, or what became of it."""
        try:
            line = self.lines.get(timeout=self.limit + LATER)
        except queue.Empty:
            self.over = self.late = True
            return no_end(self.limit)
        if line:
            return json.loads(line)
        self.over = True
        found = _("the program ended its process, with status {status}", status=self.process.wait())
        return {"found": found, "expected": _("a program without os._exit(), and not more memory than there is")}

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def read_lines(stream: Any, lines: "queue.Queue[bytes]") -> None:
    """Pass the lines on as they come, and nothing at their end."""
    for line in stream:
        lines.put(line)
    lines.put(b"")
