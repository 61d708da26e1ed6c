"""An algorithm is one page: what a reader of the code is promised of its size."""

import ast
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from agents import AGENTS

FOLDER = Path(__file__).parents[2] / "agents"


def lines(name: str) -> list[str]:
    """The lines of a file that say something, without its imports."""
    text = (FOLDER / f"{name}.py").read_text()
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    skipped = {number for node in imports for number in range(node.lineno, (node.end_lineno or 0) + 1)}
    stripped = (line.strip() for number, line in enumerate(text.splitlines(), 1) if number not in skipped)
    return [line for line in stripped if line]


@pytest.mark.parametrize(("one", "other"), list(combinations(AGENTS, 2)))
def test_no_two_agents_share_more_than_a_sixth_of_their_lines(one, other):
    both = Counter(lines(one)) & Counter(lines(other))
    assert both.total() <= min(len(lines(one)), len(lines(other))) / 6, list(both)


def test_three_files_and_250_lines_are_enough_for_ppo():
    names = "ppo", "common/on_policy", "common/returns"
    assert sum(len((FOLDER / f"{name}.py").read_text().splitlines()) for name in names) <= 250
