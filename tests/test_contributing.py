"""The recipes of CONTRIBUTING.md, followed word by word in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
PAGE = (HOME / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"^### (An? [a-z]+)\n(.*?)(?=^##)", PAGE, flags=re.MULTILINE | re.DOTALL))
# After which line of a file its new line comes; at the end where none is named.
PLACES = {
    "agents/__init__.py": "from agents.td3 import TD3 as TD3\n",
    "models/__init__.py": "balancier.check_packages()\n",
    "experiments/common/catalog.py": "EXPERIMENTS = {\n",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works_as_it_is_written(recipe, tmp_path):
    for name in ("envs", "models", "agents", "experiments"):
        shutil.copytree(HOME / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOME / "balancier.py", tmp_path)
    blocks = re.findall(r"```(\w+)\n(.*?)```", RECIPES[recipe], flags=re.DOTALL)
    for _, text in (block for block in blocks if block[0] == "python"):
        name, content = re.match(r"# (\S+)\n(.*)", text, flags=re.DOTALL).groups()
        path = tmp_path / name
        if path.exists():
            before, place, after = path.read_text().partition(PLACES.get(name, "no such line"))
            content = before + place + content + after if place else path.read_text() + content
        path.write_text(content)
    (commands,) = (text.splitlines() for kind, text in blocks if kind == "console")
    for command in commands:
        program, *arguments = shlex.split(command)
        program = [sys.executable, *(["-m", "experiments"] if program == "balancier" else [])]
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "MPLBACKEND": "Agg"}
        done = subprocess.run(
            [*program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_numbers_of_lines_are_those_that_are_tested():
    from tests.agents.test_pages import LIMITS

    rows = re.findall(r"^\| ([A-Z0-9]+) \| (\d+) \| (\d+) \|$", PAGE, flags=re.MULTILINE)
    assert {name.lower(): (int(total), int(learn)) for name, total, learn in rows} == LIMITS


def test_there_is_a_recipe_for_everything():
    assert list(RECIPES) == ["An agent", "An environment", "A network", "A lesson"]
