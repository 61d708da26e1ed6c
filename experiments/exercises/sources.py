"""From one source to the student's file, to a notebook, and to the solution.

A program has cells, which begin with `# %%`, and gaps. A gap is what stands between `# GAP n` and `# END`; step n fills
it. The solution is the program without these marks. So a student's file and its solution cannot differ elsewhere.
"""

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from balancier import _
from experiments.common.flags import UsageError
from experiments.exercises.checking import Step

HERE = Path(__file__).parent
Id = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ID", help_behavior_hint="")]  # of an exercise


class Exercise(NamedTuple):
    name: str  # as it is typed
    section: str  # of the course
    title: str

    @property
    def stem(self) -> str:
        return re.sub(r"\W", "_", self.name)

    @property
    def file_name(self) -> str:
        """The student's file, without its ending."""
        return f"exercise_{self.stem}"

    @property
    def source(self) -> Path:
        return HERE / f"program_{self.stem}.py"

    @property
    def steps(self) -> tuple[Step, ...]:
        return importlib.import_module(f"experiments.exercises.checks_{self.stem}").STEPS


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise("3.a", "3.1", _("a data set of noisy points")),
        Exercise("3.a-2", "3.2", _("gradient descent for a polynomial; which order?")),
        Exercise("3.b", "3.3", _("a multilayer perceptron for vectors")),
        Exercise("3.4", "3.4", _("who survived the Titanic")),
        Exercise("4.1", "4.1", _("problem 1: length and mass of a pendulum, by an Elman network")),
        Exercise("4.1-2", "4.1", _("problem 2: the future of a pendulum, by an LSTM")),
        Exercise("5.3", "5.3", _("a convolutional network for pictures")),
        Exercise("6.1", "6.1", _("value iteration and Q-learning")),
    )
}


def find(name: str) -> Exercise:
    """The exercise of this id; UsageError if there is none."""
    try:
        return EXERCISES[name.lower()]
    except KeyError:
        raise UsageError(f"id: found {name or 'nothing'}, expected one of {', '.join(EXERCISES)}") from None


GAP = re.compile(r"^( *)# GAP (\d+)\n(.*?)^ *# END\n", re.MULTILINE | re.DOTALL)


def with_gaps(exercise: Exercise) -> str:
    """The student's program."""

    def gap(found: re.Match[str]) -> str:
        indent, number = found[1], found[2]
        instead = _("Step {number}: write your code here, instead of the next line.", number=number)
        return f'{indent}# {instead}\n{indent}raise NotImplementedError("{_("step {number}", number=number)}")\n'

    lines = _(
        "Fill the gaps: replace each `raise NotImplementedError`.\nThen `balancier check {id}` says what is right.",
        id=exercise.name,
    )
    head = "".join(f"# {line}\n" for line in lines.splitlines())
    return GAP.sub(gap, translated(read_source(exercise))).replace("\n\n# %%\n", f"\n#\n{head}\n# %%\n", 1)


def solution(exercise: Exercise) -> str:
    """The program with every gap filled."""
    return translated(GAP.sub(lambda found: found[3], read_source(exercise)))


def read_source(exercise: Exercise) -> str:
    return exercise.source.read_text(encoding="utf-8")


COMMENT = re.compile(r"(?:^ *#(?! (?:%%|GAP|END)).*\n)+", re.MULTILINE)
INLINE = re.compile(r"^(.*\S)  # (.*)$", re.MULTILINE)
TEXT = re.compile(r'"""(.*?)"""|(?<=[(\[ =])"([^"\n]*[^\W\d_]{2}[^"\n]*)"', re.DOTALL)
SHOWN = re.compile(r"\b(?:print|label|xlabel|ylabel)[=(]")


def translated(program: str, translate: Callable[[str], str] = _) -> str:
    """A program whose comments, docstrings and other texts went through `translate`, without indents and marks.

    A string that is a single word may be the name of a column, or of a setting. It is a text where it is shown.
    """

    def comment(found: re.Match[str]) -> str:
        indent = re.match(" *", found[0])[0]  # type: ignore[index]
        text = translate(re.sub(r"^ *# ?", "", found[0], flags=re.MULTILINE).removesuffix("\n"))
        return "".join(f"{indent}# {line}".rstrip() + "\n" for line in text.split("\n"))

    def string(found: re.Match[str]) -> str:
        start = program.rfind("\n", 0, found.start()) + 1
        if found[2] is not None:
            is_text = not found[2].isidentifier() or SHOWN.search(program, start, found.start())
            return f'"{translate(found[2])}"' if is_text else found[0]
        indent = " " * (found.start() - start)
        text, end, rest = found[1].rpartition(f"\n{indent}") if found[1].endswith(f"\n{indent}") else (found[1], "", "")
        lines = translate(re.sub(f"^{indent}", "", text, flags=re.MULTILINE)).split("\n")
        indented = [lines[0], *(indent + line if line else "" for line in lines[1:])]
        return '"""' + "\n".join(indented) + end + rest + '"""'

    program = INLINE.sub(lambda found: f"{found[1]}  # {translate(found[2])}", program)
    program = COMMENT.sub(comment, program)
    return TEXT.sub(string, program)


def texts(program: str) -> list[str]:
    """The texts of a program that can be translated."""
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    translated(program, keep)
    return found


def to_notebook(program: str) -> str:
    """A program in cells as a Jupyter notebook, format 4.5."""
    cells = []
    for number, (kind, text) in enumerate(
        re.findall(r"^# %%( \[markdown\])?\n(.*?)(?=^# %%|\Z)", program, re.M | re.S)
    ):
        cell: dict[str, Any] = {"cell_type": "markdown" if kind else "code", "id": f"cell-{number}", "metadata": {}}
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE) if kind else text
        cell["source"] = text.strip("\n").splitlines(keepends=True)
        cells.append(cell if kind else cell | {"execution_count": None, "outputs": []})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def read_program(path: Path) -> bytes:
    """The Python program of a student's file: its bytes, or the code cells of a notebook.

    Raises:
        UsageError: if it is no file, or a file with the ending of a notebook that holds none.
    """
    if not path.is_file():
        raise UsageError(f"file: found {'a folder' if path.is_dir() else 'nothing'} at {path}, expected a program")
    if path.suffix != ".ipynb":
        return path.read_bytes()
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, LookupError, TypeError):
        raise UsageError(f"file: found {path}, which is no notebook, expected one") from None
    # What only a notebook understands, such as %matplotlib inline, is left out.
    lines = [re.sub(r"^(\s*)[%!]", r"\1pass  # \g<0>", line) for text in code for line in [*text.splitlines(), ""]]
    return "\n".join(lines).encode()


def choose(path: Path | None, exercise: Exercise) -> Path:
    """The file to check: the one given, or the exercise's file in the current folder."""
    if path is not None:
        return path
    found = [file for ending in (".py", ".ipynb") if (file := Path(exercise.file_name + ending)).is_file()]
    if len(found) == 1:
        return found[0]
    words = " and ".join(map(str, found)) or f"no {exercise.file_name}.py"
    expected = "the one to check after the id" if found else f"it here (balancier exercise {exercise.name}), or a FILE"
    raise UsageError(f"file: found {words}, expected {expected}")
