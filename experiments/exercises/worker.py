"""The process in which a student's file is checked. It writes one line of JSON for the file and one for each step.

Nothing that the file does can be mistaken for a report: the report has a pipe of its own, and what the file prints is
counted and thrown away. The process that started this one ends it where it takes too long.
"""

import _thread
import contextlib
import io
import json
import linecache
import os
import random
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

from balancier import _
from experiments.exercises import sources
from experiments.exercises.checking import Step, Wrong

MOST_PRINTED = 1_000_000  # characters of one step
NAME = "student"
SOLUTION = "solution"


class PrintedTooMuch(BaseException):
    """Not an Exception, so that `except Exception` around a print does not catch it."""


class Counter(io.BufferedIOBase):
    """Takes what is printed, and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.count += len(data)
        if self.count > MOST_PRINTED:
            raise PrintedTooMuch
        return len(data)


def new_module(name: str, program: bytes | str, path: str) -> ModuleType:
    """A module made of a program, as `import` makes one."""
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(program, path, "exec"), module.__dict__)
    return module


def no_end(limit: float) -> dict[str, str]:
    return {
        "found": _("no end after {limit:g} seconds", limit=limit),
        "expected": _("an end within a second: is there a loop that never stops?"),
    }


@contextlib.contextmanager
def interrupted_after(limit: float | None) -> Iterator[threading.Event]:
    """A KeyboardInterrupt in this block, if it takes longer; the event says that it came from here."""
    late = threading.Event()
    timer = threading.Timer(limit or 0, lambda: (late.set(), _thread.interrupt_main()))
    timer.daemon = True
    if limit:
        timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def guarded(function: Callable[[], Any], path: str, limit: float | None = None) -> tuple[dict[str, str] | None, Any]:
    """What went wrong in the student's code, in words, or None; and the result. `limit` in seconds."""
    late = threading.Event()
    counter = Counter()
    stream: Any = io.TextIOWrapper(counter, "utf-8", write_through=True)  # type: ignore[type-var]
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream), interrupted_after(limit) as late:
            return None, function()
    except Wrong as wrong:
        return {"found": wrong.found, "expected": wrong.expected, "call": wrong.call}, None
    except PrintedTooMuch:
        found = _("more than {most:,} printed characters", most=MOST_PRINTED)
        return {"found": found, "expected": _("at most a few printed lines")}, None
    except SystemExit:
        return {
            "found": _("exit(): the program ends itself"),
            "expected": _("a program without exit() and quit()"),
        }, None
    except SyntaxError as error:
        found = _("no Python in line {line}: {error}", line=error.lineno or "?", error=error.msg)
        return {"found": found, "expected": _("a program that Python understands")}, None
    except NotImplementedError as error:
        gap = re.fullmatch(r"\W*\w+ \W*\d+\W*", str(error))  # "step 1", in any language
        return {"found": _("a gap that is not filled yet") if gap else error_words(error, path), "expected": ""}, None
    except KeyboardInterrupt as error:
        problem = {"found": error_words(error, path), "expected": ""}
        return (no_end(limit) if limit and late.is_set() else problem), None
    except MemoryError:
        return {"found": _("more memory than there is"), "expected": ""}, None
    except BaseException as error:  # whatever a student's code raises
        return {"found": error_words(error, path), "expected": ""}, None


def error_words(error: BaseException, path: str) -> str:
    """The error and the student's line that it came from."""
    with contextlib.suppress(Exception):
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        kind, message = type(error).__name__, " ".join(str(error).split())[:200]
        if not frames:
            return _("{kind}: {message}", kind=kind, message=message)
        line, code = frames[-1].lineno, (frames[-1].line or "").strip()
        if not code:
            return _("{kind} in line {line}: {message}", kind=kind, line=line, message=message)
        return _("{kind} in line {line}, {code}: {message}", kind=kind, line=line, code=code, message=message)
    return _("an error that has no words")


def check_step(
    step: Step,
    number: int,
    student: ModuleType,
    solved: ModuleType,
    steps: tuple[Step, ...],
    limit: float | None = None,
) -> dict | None:
    """Check one step. The functions of all other steps are those of the solution, so one mistake is told once."""
    if not callable(getattr(student, step.name, None)):
        found = _("no function or class {name}", name=step.name)
        return {"found": found, "expected": _("its name as it was in the file of the exercise")}
    mine = {other.name: student.__dict__[other.name] for other in steps if other.name in student.__dict__}
    others = {other.name: solved.__dict__[other.name] for other in steps if other.name != step.name}
    student.__dict__.update(others)
    seed = 1000 + number
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  students use it
    torch.manual_seed(seed)
    try:
        problem, _result = guarded(lambda: step.check(student), student.__file__ or "", limit)
    finally:
        student.__dict__.update(mine)
    return problem


def main(name: str, path: str, first: int, limits: tuple[float, float]) -> None:
    """Check the steps from number `first` on; the report goes to the standard output of this process.

    A step that does not end is interrupted after the first of the limits (seconds), later ones after the second.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have turned off
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    torch.set_num_threads(1)
    exercise = sources.EXERCISES[name]
    steps = exercise.steps
    solved = new_module(SOLUTION, sources.solution(exercise), str(exercise.source))
    program = sources.read_program(sources.Path(path))
    lines = program.decode("utf-8", "replace").splitlines(keepends=True)
    sys.path.insert(0, str(sources.Path(path).parent))  # not before: files there may have any name
    linecache.cache[path] = (len(program), None, lines, path)  # so that a notebook's errors show their line, too

    def tell(problem: dict | None) -> None:
        report.write(json.dumps(problem) + "\n")
        report.flush()

    tell({})  # from here on the student's code runs
    limit, later = limits
    problem, student = guarded(lambda: new_module(NAME, program, path), path, limit)
    tell(problem)
    for number, step in enumerate(steps) if problem is None else ():
        if number >= first:
            tell(problem := check_step(step, number, student, solved, steps, limit))
            limit = later if problem in (no_end(limit), no_end(later)) else limit
    report.close()
    os._exit(0)  # whatever threads the student's code has left
