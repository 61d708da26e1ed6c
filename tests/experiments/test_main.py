"""The list of lessons and commands, and the three ways into each of them."""

import re
import subprocess
import sys

import pytest

from experiments import __main__ as cli
from experiments.common.catalog import EXPERIMENTS, LESSONS


def test_the_list_names_every_experiment(capsys):
    assert cli.main([]) == 0
    listed = capsys.readouterr().out
    for name in EXPERIMENTS:
        assert f"balancier {name}" in listed


def help_of(name):
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_explains_itself(name, capsys):
    help_of(name)
    text = capsys.readouterr().out
    assert f"\nbalancier {name}" in text  # an example
    assert "(default: None)" not in text
    assert "{None}" not in text
    assert "(default: False)" not in text
    for flag in text.partition("options ──")[2].split("│ --"):
        assert " ".join(flag.split()).count("(default") <= 1, flag
    if name in LESSONS:
        assert re.search(r"\nTime: about \d+ (s|min) on two cores; with --quick \d+ (s|min)\.\n", text)


ALL_HELP = """
import contextlib, io, sys
from experiments.__main__ import main
from experiments.common.catalog import EXPERIMENTS
for name in EXPERIMENTS:
    with contextlib.suppress(SystemExit):
        main([name, "--help"])
    heavy = {"torch", "scipy", "matplotlib"} & set(sys.modules)
    assert not heavy, (name, heavy)
"""


def test_help_without_the_heavy_packages_is_the_same(capsys):
    """A new process imports none of them; here torch is loaded, so `main` takes what is real."""
    done = subprocess.run([sys.executable, "-c", ALL_HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in EXPERIMENTS:
        help_of(name)
    assert letters(done.stdout) == letters(capsys.readouterr().out)


def letters(text):
    """Without frames and spaces, which depend on the terminal: where it ends, a line breaks, even within 20,000."""
    return re.sub(r"[^!-~]|-{3,}", "", text)


def test_a_lesson_that_computes_at_its_import_still_has_its_help(tmp_path):
    """Stand-ins cannot add up; then the real packages are imported."""
    code = (
        "import sys, experiments.__main__ as cli, experiments.common.catalog as catalog\n"
        "catalog.EXPERIMENTS['coins'] = None\n"
        f"import experiments; experiments.__path__.append({str(tmp_path)!r})\n"
        "cli.main(['coins', '--help'])\n"
    )
    lesson = "import torch\nTWO = int(torch.ones(2).sum())\ndef main(argv):\n    print(argv, TWO)\n"
    (tmp_path / "coins.py").write_text(lesson)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "['--help'] 2\n", done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
@pytest.mark.parametrize(("command", "limit"), [(["--help"], 0.5), (["train", "--help"], 1.0)])
def test_help_comes_at_once(command, limit):
    """Processor seconds, the least of three: other programs may run, too."""
    code = (
        "import resource, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-m', 'experiments', *{command}], stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < limit


@pytest.mark.slow
def test_three_ways_in_are_one():
    outputs = []
    for command in (["-m", "experiments.train"], ["experiments/train.py"], ["-m", "experiments", "train"]):
        done = subprocess.run([sys.executable, *command, "--seeds", "0"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        outputs.append(done.stderr)
    assert outputs[0] == outputs[1] == outputs[2] == "balancier train: --seeds: found 0, expected at least 1\n"


@pytest.mark.parametrize(("name", "words"), [
    ("nonsense", "balancier: found 'nonsense', expected one of polynomial, "),
    ("population", "balancier: found 'population', expected its new name: balancier sweep"),
    ("worlds", "balancier: found 'worlds', expected its new name: balancier results"),
])  # fmt: skip
def test_an_unknown_or_an_old_name_is_answered_in_one_line(name, words, capsys):
    assert cli.main([name, "--quick"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(words)
