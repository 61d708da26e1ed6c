"""The lesson on a pendulum's future: its networks, its numbers, its files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import forecast

FLAGS = forecast.Forecast(quick=True, seeds=1, tests=50, jobs=1, sequences=6_000, hidden=16, physics_tests=6)


@pytest.fixture(scope="module")
def findings():
    return forecast.measure(FLAGS)


def test_the_best_network_beats_persistence_and_the_physics_beats_it(findings):
    result = forecast.result(findings)
    error = result["error_at_20"]
    assert set(error) == {"mlp", "elman", "gru", "lstm", "persistence", "physics"}
    assert error["physics"] < 0.02
    assert error[result["best"]] < 0.8 * error["persistence"]


def test_persistence_repeats_the_last_angle(findings):
    expected = np.sqrt(((findings.past[:, -1] - findings.truth[:, 4]) ** 2).mean())
    assert findings.error["persistence"][0, 4] == pytest.approx(expected)


def test_the_run_writes_its_files(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "LESSON", replace(forecast.LESSON, measure=lambda flags: findings))
    assert forecast.main(["--seeds", "1", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.pop("seconds") >= 0
    assert result == forecast.result(findings)
    assert {path.stem for path in tmp_path.glob("*.png")} == {"error_against_horizon", "futures"}
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 4 * 5


@pytest.mark.parametrize("name", ["mlp", "gru"])
def test_a_prediction_is_the_next_input(name):
    recurrent = name != "mlp"
    network = forecast.RecurrentForecaster(name, 8, seeds=[0, 1]) if recurrent else forecast.WindowMLP(seeds=[0, 1])
    past = torch.randn(2, 3, forecast.PAST)
    network.horizon = 1
    first = network(past)
    second = network(torch.cat([past, first], -1))[..., -1:]
    network.horizon = 2
    torch.testing.assert_close(network(past), torch.cat([first, second], -1))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--physics-tests", "6", "--jobs", "0"], "--jobs: found 0"),
        (["--physics-tests", "60", "--tests", "50"], "--physics-tests: found 60, expected at most --tests, 50"),
        (["--physics-tests", "5"], "--physics-tests: found 5, expected at least 6"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert forecast.main([*flags, "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
