"""An algorithm is one page: the promises to a reader of the code about its size.

Counted is what is traced: the lines of every function of ours that runs from the constructor to the end of `learn`,
without docstrings, comments and blank lines. Environments are left out, updates are eager, and no guard looks for seeds
that diverge.
"""

import ast
import dataclasses
import inspect
import io
import sys
import tokenize
from collections import Counter
from functools import cache, partial
from itertools import combinations, pairwise
from pathlib import Path

import pytest

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS
from agents.common.config import hyperparameter

HOME = Path(__file__).parents[2]
FOLDER = HOME / "agents"
# Lines of all functions that run, and of those that run in `learn`: the numbers that were reached, never to be raised.
LIMITS = {
    "ppo": (505, 196),
    "a2c": (465, 162),
    "reinforce": (471, 158),
    "dqn": (500, 188),
    "sac": (530, 207),
    "td3": (521, 199),
}
REPLAY = {"learning_starts": 20, "batch_size": 8, "train_every": 1, "buffer_size": 300}
BUDGETS = {"dqn": (300, REPLAY), "sac": (300, REPLAY), "td3": (300, REPLAY)}


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


def test_dqn_with_all_refinements_is_a_page():
    assert len((FOLDER / "dqn.py").read_text().splitlines()) <= 90


@cache
def functions(path: Path) -> dict[int, int]:
    """Lines of code of each function of a file, by the number of its first line (decorators included)."""
    text, skipped, coded = path.read_text(), set(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            skipped |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty:
            coded |= set(range(token.start[0], token.end[0] + 1))
    counts = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            counts[first] = len(set(range(first, (node.end_lineno or 0) + 1)) & coded - skipped)
    return counts


def traced(run) -> tuple[object, set[tuple[Path, int]]]:
    """What `run()` returns, and the functions of `agents` and `models` that it entered."""
    entered = set()

    def enter(frame, event, _):
        if event == "call":
            entered.add(frame.f_code)

    sys.setprofile(enter)
    try:
        result = run()
    finally:
        sys.setprofile(None)
    ours = {(Path(code.co_filename), code.co_firstlineno) for code in entered}
    return result, {
        (path, line)
        for path, line in ours
        if path.is_relative_to(HOME) and path.relative_to(HOME).parts[0] in ("agents", "models")
    }


def count(entered: set[tuple[Path, int]]) -> int:
    return sum(functions(path).get(line, 0) for path, line in entered)


@pytest.mark.parametrize("name", LIMITS)
def test_what_a_reader_has_to_read(name, monkeypatch):
    """Recorded updates are the same operations, and a guard changes none of them: a reader can leave both out."""
    monkeypatch.setattr(AGENTS[name], "recorded", False)
    monkeypatch.setattr(AGENTS[name], "guard", False)
    env = "balancier/PendulumDiscrete-v0" if name == "dqn" else "balancier/Pendulum-v0"
    steps, more = BUDGETS.get(name, (4096, {}))
    agent, built = traced(partial(AGENTS[name], env, seeds=2, **more))
    _, learned = traced(partial(agent.learn, steps))
    total, in_learn = LIMITS[name]
    assert agent.losses  # it has learned
    assert count(learned) <= in_learn
    assert count(built | learned) <= total


def test_every_hyper_parameter_has_a_bound_and_says_what_it_does():
    """A bound in its type; and where the field first stands, a line below it or a comment beside it."""
    for agent in AGENTS.values():
        for field in dataclasses.fields(agent.Config):
            assert hyperparameter(agent.Config, field.name)
        for kind in agent.Config.__mro__[:-1]:
            text = inspect.getsource(kind)
            (node,) = ast.parse(text).body
            for statement, after in pairwise([*node.body, None]):
                if isinstance(statement, ast.AnnAssign):
                    name = statement.target.id
                    inherited = any(name in base.__annotations__ for base in kind.__mro__[1:-1])
                    commented = "  # " in text.splitlines()[statement.lineno - 1]
                    assert isinstance(after, ast.Expr) or commented or inherited, f"{kind.__name__}.{name}"
