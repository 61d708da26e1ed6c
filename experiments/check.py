"""Check the file of an exercise: for every step, whether it is right, and if not, what was found, what was expected,
and a hint. The file runs in a process of its own, which is ended where it takes too long.

balancier check 3.a

balancier check 3.a my_file.py

Each function is called with inputs that the file does not show, while the other steps are taken from a solution: so a
mistake is told at its own step. The exit status is 0 when every step is right, and 1 when one is not yet.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from balancier import _
from experiments.common.command import run_command
from experiments.common.runs import console
from experiments.exercises.runner import Outcome, check_file
from experiments.exercises.sources import Id, choose, find, read_program


@dataclass(frozen=True)
class Check:
    """Check the file of an exercise, step by step."""

    id: Id = ""
    """The exercise, such as 3.a."""
    file: Annotated[Path | None, tyro.conf.Positional] = None
    """Your program or notebook (default: exercise_ID.py or exercise_ID.ipynb in the current folder)."""


def check(flags: Check) -> int:
    exercise = find(flags.id)
    path = choose(flags.file, exercise)
    read_program(path)  # what cannot be read is told before anything starts
    say(_("check {id}: {path}", id=exercise.name, path=path))
    outcomes = check_file(exercise, path)
    for number, outcome in enumerate(outcomes, 1):
        for line in lines(number, outcome):
            say(line)
    right = sum(outcome.problem is None for outcome in outcomes)
    say(_("{right} of {count} steps are right", right=right, count=len(outcomes)))
    done = right == len(outcomes)
    say(_("Next: balancier exercise lists the others") if done else _("Next: correct the file and check it again"))
    return 0 if done else 1


def say(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def lines(number: int, outcome: Outcome) -> list[str]:
    """What is said about a step, in lines."""
    step, problem = outcome.step, outcome.problem
    if problem is None:
        return [_("step {number}, {name}: right", number=number, name=step.name)]
    lines = [_("step {number}, {name}: not yet", number=number, name=step.name)]
    if problem.get("whole"):
        lines.append(_("    the file does not run, so no step can be checked"))
    if problem.get("call"):
        lines.append(_("    call: {call}", call=problem["call"]))
    lines.append(_("    found: {found}", found=problem["found"]))
    lines.append(_("    expected: {expected}", expected=problem["expected"] or step.returns))
    lines.append(_("    hint: {hint}", hint=step.hint))
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("check", Check, check, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
