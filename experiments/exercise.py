"""Write the file of an exercise into the current folder: a program with gaps for you to fill, in plain NumPy and
PyTorch. Without an id, list the exercises. `balancier check` then says, step by step, what is right.

balancier exercise 3.a

balancier exercise 3.a --notebook
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.table import Table

import balancier
from balancier import _
from experiments.common.command import run_command
from experiments.common.flags import UsageError
from experiments.common.runs import console
from experiments.exercises.sources import EXERCISES, Id, find, to_notebook, with_gaps


@dataclass(frozen=True)
class Exercise:
    """Write the file of an exercise, with gaps to fill."""

    id: Id = ""
    """The exercise, such as 3.a; without it, all exercises are listed."""
    out: Path | None = None
    """File to write (default: exercise_ID.py in the current folder)."""
    notebook: bool = False
    """Write a Jupyter notebook instead of a program."""
    overwrite: bool = False
    """Replace a file that exists, with what you wrote into it."""
    out_is_file: ClassVar[bool] = True


def exercise(flags: Exercise) -> None:
    if not flags.id:
        if flags.out or flags.notebook or flags.overwrite:
            raise UsageError(f"id: found nothing, expected one of {', '.join(EXERCISES)}")
        console.print(table())
        console.print(_("Next: balancier exercise 3.a"), highlight=False)
        return
    chosen = find(flags.id)
    path = flags.out or Path(chosen.file_name + (".ipynb" if flags.notebook else ".py"))
    write(path, with_gaps(chosen), flags.notebook, flags.overwrite)
    count = len(chosen.steps)
    names = {"path": path, "id": chosen.name, "title": chosen.title}
    words = _("{path}: exercise {id}, {title}, in {count} steps", count=count, **names)
    console.print(words, highlight=False, soft_wrap=True)
    shown = chosen.name + ("" if flags.out is None else f" {path}")
    console.print(_("Next: fill the gaps, then balancier check {command}", command=shown), highlight=False)


def write(path: Path, program: str, notebook: bool, overwrite: bool) -> None:
    """Write a program, as a notebook where that is asked for or the name of the file says so; over no file untold."""
    notebook = notebook or path.suffix == ".ipynb"
    if notebook and path.suffix != ".ipynb":
        raise UsageError(f"--out: found {path} with --notebook, expected a name that ends with .ipynb")
    if path.is_dir():
        raise UsageError(f"--out: found the folder {path}, expected the name of a file")
    if path.exists() and not overwrite:
        raise UsageError(f"--out: found the file {path}, expected a name not yet taken, or --overwrite")
    balancier.write_file(path, to_notebook(program) if notebook else program)


def table() -> Table:
    """The exercises in the order of the course."""
    steps = _("steps ").strip()  # not those of time, for which other languages have another word
    shown = Table(_("id"), _("section"), _("exercise"), steps)
    for each in EXERCISES.values():
        shown.add_row(each.name, each.section, each.title, str(len(each.steps)))
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("exercise", Exercise, exercise, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
