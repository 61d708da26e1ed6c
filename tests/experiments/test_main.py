"""The list of lessons and commands, and the three ways into each of them."""

import subprocess
import sys

import pytest

from experiments import __main__ as cli


def test_the_list_names_every_experiment(capsys):
    assert cli.main([]) == 0
    listed = capsys.readouterr().out
    for name in cli.EXPERIMENTS:
        assert f"balancier {name}" in listed


@pytest.mark.parametrize("name", cli.EXPERIMENTS)
def test_every_experiment_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    assert "--seed" in capsys.readouterr().out


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
