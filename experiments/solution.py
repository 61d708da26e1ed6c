"""Show a solution of an exercise: its program with all gaps filled and all questions answered. There are other right
ones; `balancier check` accepts what computes the same.

balancier solution 3.a
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.syntax import Syntax

from experiments.common.command import run_command
from experiments.common.runs import console
from experiments.exercise import write
from experiments.exercises.sources import Id, find
from experiments.exercises.sources import solution as solved


@dataclass(frozen=True)
class Solution:
    """Show a solution of an exercise."""

    id: Id = ""
    """The exercise, such as 3.a."""
    out: Path | None = None
    """File to write instead; with a name that ends with .ipynb, as a notebook."""
    overwrite: bool = False
    """Replace a file that exists."""
    out_is_file: ClassVar[bool] = True


def solution(flags: Solution) -> None:
    program = solved(find(flags.id))
    if flags.out is not None:
        write(flags.out, program, False, flags.overwrite)
        console.print(f"{flags.out}", highlight=False, soft_wrap=True)
    elif console.is_terminal:
        console.print(Syntax(program, "python", background_color="default"))
    else:
        print(program, end="")


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("solution", Solution, solution, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
