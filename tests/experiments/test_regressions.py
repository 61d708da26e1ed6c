"""The lessons that fit curves with networks, in small."""

import json

import pytest

from experiments import mlp, vector_regression


def run(module, folder, *flags):
    assert module.main([*flags, "--out", str(folder)]) == 0
    return json.loads((folder / "result.json").read_text())


def test_vector_regression_comes_near_the_noise(tmp_path):
    result = run(vector_regression, tmp_path, "--quick", "--seeds", "2", "--points", "1000")
    root, cube = result["mse_over_noise"]
    assert 0.95 < root < 1.3  # no network can be below 1, but for the luck of 20,000 points
    assert 0.95 < cube < 20
    assert {path.name for path in tmp_path.iterdir()} >= {"loss.png", "fit.png", "metrics.csv", "config.json"}


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
        (vector_regression, ["--points", "0"], "--points: found 0"),
        (vector_regression, ["--drop-at", "900"], "--drop-at: found 900, expected 1 to 500"),
        (mlp, ["--learning-rate", "-1"], "--learning-rate: found -1.0"),
    ],
)
def test_impossible_flags_are_refused(module, flags, words, tmp_path, capsys):
    assert module.main([*flags, "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()
