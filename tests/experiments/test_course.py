"""All lessons in their short form: one page, and the numbers that moved."""

import json
import re
import sys

import pytest

from experiments import __main__ as cli
from experiments import course
from experiments.common.catalog import EXPERIMENTS, LESSONS

# What stands for a lesson: it writes what the files `value` and `status` in the current folder say.
FAKE = """
import pathlib, sys, time
name, out = sys.argv[1], pathlib.Path(sys.argv[2])
assert pathlib.Path("status").read_text() != name, name + " is broken"
value = pathlib.Path("value").read_text()
(out / "result.json").write_text('{"seconds": %f, "error": {"3": [%s, 1]}}' % (time.time(), value))
section = f'<section id="{name}">\\n<h1>{name}?</h1>\\n</section>'
(out / "index.html").write_text(f"<main>\\n{section}\\n</main>")
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Lessons that end at once, in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    real = course.subprocess.Popen

    def popen(command, **options):
        name, out = command[3], command[-1]
        assert command[1:3] == ["-m", "experiments"]
        assert "--quick" in command
        assert options["env"]["BALANCIER_JOBS"] == "1"
        return real([sys.executable, "-c", FAKE, name, out], **options)

    monkeypatch.setattr(course.subprocess, "Popen", popen)
    (tmp_path / "value").write_text("0.5")
    (tmp_path / "status").write_text("")
    return tmp_path


def result(folder):
    return json.loads((folder / "result.json").read_text())


def test_numbers_that_moved_are_told(fake, capsys):
    only = ["course", "--only", "mlp", "polynomial"]
    assert cli.main(only) == 0
    assert capsys.readouterr().out.count("first run") == 2
    assert cli.main([*only, "--out", "second"]) == 0
    assert capsys.readouterr().out.count("none") == 2
    (fake / "value").write_text("0.6")
    assert cli.main([*only, "--out", "second"]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert cli.main([*only, "--out", "second", "--overwrite"]) == 0
    assert "error.3.0 0.5 -> 0.6" in capsys.readouterr().out
    assert result(fake / "second")["mlp"]["moved"] == {"error.3.0": [0.5, 0.6]}
    page = (fake / "second" / "index.html").read_text()
    assert page.index("polynomial?") < page.index("mlp?")  # the course's order
    assert re.findall('href="(.*?)"', page) == ["#polynomial", "#mlp"]
    assert "error.3.0 0.5 -&gt; 0.6" in page
    assert (fake / "runs" / "course" / "latest" / "index.html").is_file()


def test_a_lesson_that_fails_does_not_lose_the_others(fake, capsys):
    (fake / "status").write_text("mlp")
    assert cli.main(["course", "--only", "polynomial", "mlp", "autodiff", "--jobs", "2", "--out", "run"]) == 1
    out = capsys.readouterr().out
    assert "failed with exit status 1: AssertionError: mlp is broken" in " ".join(out.replace("│", " ").split())
    page = (fake / "run" / "index.html").read_text()
    assert "polynomial?" in page
    assert "autodiff?" in page
    assert "mlp failed" in page
    assert result(fake / "run")["mlp"]["status"] == 1


def test_an_unknown_lesson_is_named(fake, capsys):
    assert cli.main(["course", "--only", "mpl"]) == 2
    expected = f"balancier course: --only: found mpl, expected one of {', '.join(LESSONS)}\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(("before", "after", "expected"), [
    ({"a": 1.0}, {"a": 1.0009}, {}),
    ({"a": 1.0}, {"a": 1.002}, {"a": (1.0, 1.002)}),
    ({"a": 0.0}, {"a": 1e-9}, {"a": (0.0, 1e-9)}),
    ({"a": -1.0}, {"a": 1.0}, {"a": (-1.0, 1.0)}),
    ({"a": [1, {"b": None}]}, {"a": [1, {"b": 2}]}, {"a.1.b": (None, 2)}),
    ({"train_seconds": 1.0, "a": "x"}, {"train_seconds": 2.0, "a": "y"}, {}),
    ({"a": float("nan")}, {"a": float("nan")}, {}),
    ({"a": 1.0}, {"a": float("nan")}, {"a": (1.0, pytest.approx(float("nan"), nan_ok=True))}),
    ({"a": 1}, {}, {"a": (1, None)}),
])  # fmt: skip
def test_what_counts_as_moved(before, after, expected):
    assert course.changes(before, after) == expected


def test_the_course_is_all_lessons_and_ends_in_fifteen_minutes():
    assert course.Course().lessons == LESSONS
    assert len(LESSONS) == 24
    quick = [EXPERIMENTS[name].quick for name in LESSONS]
    assert max(quick) <= 60
    assert sum(map(course.cost, LESSONS)) / 2 <= 15 * 60


@pytest.mark.slow
def test_real_lessons_make_one_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["course", "--only", "autodiff", "mlp", "--out", "run"]) == 0
    page = (tmp_path / "run" / "index.html").read_text()
    figures = [path for name in ("autodiff", "mlp") for path in (tmp_path / "run" / name).glob("*.png")]
    assert page.count("data:image/png;base64,") == len(figures)
