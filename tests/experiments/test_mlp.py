"""The lesson on multilayer perceptrons, in small."""

import json

import pytest

from experiments import mlp


def run(module, folder, *flags):
    assert module.main([*flags, "--out", str(folder)]) == 0
    return json.loads((folder / "result.json").read_text())


def test_wider_networks_fit_better(tmp_path):
    result = run(mlp, tmp_path, "--quick", "--seeds", "2", "--epochs", "100", "--format", "svg")
    errors = result["mse_by_width"]
    assert errors["1"] > 10 * errors["32"]
    assert errors["32"] < 4 * result["noise"]
    assert result["mse_by_rate"]["0.01"] < result["mse_by_rate"]["0.0001"]
    assert (tmp_path / "widths.svg").exists()


@pytest.mark.parametrize(
    ("module", "flags", "words"),
    [
        (mlp, ["--learning-rate", "-1"], "--learning-rate: found -1.0"),
    ],
)
def test_impossible_flags_are_refused(module, flags, words, tmp_path, capsys):
    assert module.main([*flags, "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()
