"""The lesson on a pendulum's future: its claims in the short form, its networks, its training, its files."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import forecast
from models.recurrent import RECURRENT


@pytest.fixture(scope="module")
def findings():
    return forecast.measure(forecast.Forecast(quick=True))


@pytest.fixture(scope="module")
def trained():
    """A training of seconds, too short for the claims."""
    flags = forecast.Forecast(seeds=2, sequences=1_000, tests=50, hidden=16, jobs=1)
    jobs = [job for job in forecast.plan(flags) if job.name in ("mlp", "gru")]
    return {job.name: forecast.work(pickle.loads(pickle.dumps(job)), lambda amount: None) for job in jobs}


def test_a_flat_and_a_recurrent_network_predict_a_second_equally_well(findings):
    result = forecast.result(findings)
    error = result["error_at_20"]
    best = min(RECURRENT, key=error.__getitem__)
    assert 0.8 < error["mlp"] / error[best] < 1.25
    assert abs(result["parameters"]["mlp"] / result["parameters"][best] - 1) < 0.1


def test_a_larger_flat_network_is_best(findings):
    assert forecast.result(findings)["best"] == "mlp_42757"


def test_unequal_pasts_make_no_difference_and_long_ones_are_for_the_flat_network(findings):
    result = forecast.result(findings)
    unequal, longer = result["unequal_error_at_20"], result["longer_error_at_20"]
    assert 0.8 < unequal["mlp"] / min(unequal[name] for name in RECURRENT) < 1.25
    assert longer["mlp"] < 0.9 * min(longer[name] for name in RECURRENT)
    assert longer["mlp"] == result["error_at_20"]["mlp"]  # it reads the last 50 angles
    for case, errors in (("unequal", unequal), ("longer", longer)):
        quotient = errors["mlp"] / min(errors[name] for name in RECURRENT)
        assert result["flat_over_best_recurrent"][case] == pytest.approx(quotient, abs=2e-3)


def test_the_flat_network_asks_for_less_training(findings):
    seconds = forecast.result(findings)["train_seconds"]
    assert all(seconds["mlp"] < seconds[name] for name in RECURRENT)


def test_every_network_that_is_drawn_has_learned_and_physics_beats_them(findings):
    result = forecast.result(findings)
    error = result["error_at_20"]
    assert set(error) == {"mlp", "mlp_42757", "elman", "gru", "lstm", "persistence", "physics"}
    networks = set(error) - {"persistence", "physics"}
    for errors in (error, result["unequal_error_at_20"], result["longer_error_at_20"]):
        assert max(errors[name] for name in networks) < 0.2 * error["persistence"]
    assert error["physics"] < min(error[name] for name in networks)


def test_persistence_repeats_the_last_angle(findings):
    expected = np.sqrt(((findings.past[:, -1] - findings.truth[:, 4]) ** 2).mean())
    assert findings.error["persistence"][0, 4] == pytest.approx(expected)


def test_one_number_for_one_thing(findings):
    for network in findings.networks.values():
        expected = np.sqrt(((network.future - findings.truth) ** 2).mean(0))
        np.testing.assert_allclose(network.by_length[50][0], expected)
        np.testing.assert_allclose(network.curve[-1, 1], expected[19], atol=1e-4)  # of the training, four digits


def test_training_is_recorded(trained):
    for name, network in trained.items():
        assert network.curve.shape == (forecast.BUDGETS[name].epochs, 1 + 2)
        assert (np.diff(network.curve[:, 0]) > 0).all()
        np.testing.assert_allclose(network.curve[-1, 1:], network.by_length[50][:, 19])
        assert network.curve[-1, 1:].mean() < 0.5 * network.curve[0, 1:].mean()


def test_the_run_writes_its_files(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(forecast, "LESSON", replace(forecast.LESSON, measure=lambda flags: findings))
    assert forecast.main(["--quick", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.pop("seconds") >= 0
    assert result == forecast.result(findings)
    assert {path.stem for path in tmp_path.glob("*.png")} == set(forecast.PAGE.captions)
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 5 * 5
    assert result["networks"] == "shipped"


@pytest.mark.parametrize("name", ["mlp", "gru"])
def test_a_prediction_is_the_next_input(name):
    network = forecast.build(name, (8,), [0, 1]).eval()
    past = torch.randn(2, 3, forecast.PAST)
    network.horizon, angles = 5, past
    for _ in range(3):
        angles = torch.cat([angles, network(angles)], -1)
    network.horizon = 15
    torch.testing.assert_close(network(past), angles[..., forecast.PAST :])


def test_the_flat_network_reads_the_newest_groups_alone():
    network, counts = forecast.build("mlp", (8,), [0]).eval(), torch.tensor([[4, 10, 2]])
    past = torch.randn(1, 3, forecast.PAST)
    old = torch.arange(forecast.PAST) < forecast.PAST - 5 * counts[..., None]
    output = network(past, counts)
    assert torch.equal(output, network(torch.where(old, 9.0, past), counts))
    assert not torch.equal(output, network(past))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--physics-tests", "6", "--jobs", "0"], "--jobs: found 0"),
        (["--physics-tests", "60", "--tests", "50"], "--physics-tests: found 60, expected at most --tests, 50"),
        (["--physics-tests", "2"], "--physics-tests: found 2, expected at least 3"),
        (["--quick", "--hidden", "8"], "--hidden: found 8 with --quick, expected 64"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert forecast.main([*flags, "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
