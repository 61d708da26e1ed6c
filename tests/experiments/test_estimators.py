"""Identifying and forecasting pendulums: the physics beside the networks."""

import json

import numpy as np
import pytest

from envs import datasets
from experiments import forecast, identify
from experiments.common.estimators import (
    NOISE,
    PRIOR_STD,
    cramer_rao,
    information,
    least_squares_fit,
    posterior,
    simulate,
)


def pendulums(count, seed=0):
    angles, drawn = datasets.swings(count, 60, seed=seed)
    return angles, np.stack([drawn["length"], drawn["mass"], angles[:, 0], drawn["speed"]], 1)


def test_the_model_is_the_world():
    angles, unknown = pendulums(10)
    np.testing.assert_allclose(simulate(unknown, 60), angles, atol=3e-6)


def test_a_fit_without_noise_is_exact():
    angles, unknown = pendulums(4, seed=3)
    np.testing.assert_allclose(least_squares_fit(angles)[:, 0], unknown[:, 0], atol=1e-3)


def test_the_posterior_is_as_wide_as_fisher_says_where_angles_say_much():
    unknown = np.array([[1.0, 1.0, 1.4, 0.5], [0.8, 0.9, -1.4, 0.0]])
    observed = simulate(unknown, 200) + NOISE * np.random.default_rng(1).standard_normal((2, 200))
    mean, std, draws = posterior(observed, least_squares_fit(observed))
    expected = np.sqrt(np.diagonal(np.linalg.inv(information(unknown, 200)[:, -1]), axis1=1, axis2=2)[:, :2])
    np.testing.assert_allclose(std, expected, rtol=0.1)
    assert (np.abs(mean - unknown[:, :2]) < 4 * std).all()
    assert draws.min() > 1000


def test_without_damping_nothing_is_known_of_the_mass():
    unknown = np.array([[1.0, 1.3, 1.2, 0.0]])
    angles = simulate(unknown, 60, damping=0.0)
    np.testing.assert_array_equal(angles, simulate(unknown * [1, 0.5, 1, 1], 60, damping=0.0))


def test_the_bound_falls_from_the_prior():
    _, unknown = pendulums(50)
    bound = cramer_rao(unknown, 60)
    np.testing.assert_allclose(bound[0], PRIOR_STD[:2], rtol=1e-3)
    assert (np.diff(bound, axis=0) < 1e-9).all()


SMALL = ["--quick", "--seeds", "1", "--tests", "50", "--jobs", "2"]


def run(module, folder, *flags):
    assert module.main([*SMALL, *flags, "--out", str(folder)]) == 0
    return json.loads((folder / "result.json").read_text())


def test_identify(tmp_path):
    result = run(identify, tmp_path, "--pendulums", "40000", "--hidden", "8", "--limit-tests", "5")
    assert set(result["rmse"]) == {"mlp", "mlp, any length", "elman", "gru", "lstm"}
    assert result["rmse"]["mlp"]["length"] < 0.3 < result["prior"]["length"]
    assert 0 < result["limit"]["length"] < 0.02
    assert result["undamped"]["mass"] > 0.8 * result["prior"]["mass"]
    assert {path.stem for path in tmp_path.glob("*.png")} == {"networks", "lengths", "memory", "estimates"}


def test_forecast(tmp_path):
    result = run(forecast, tmp_path, "--sequences", "6000", "--hidden", "16", "--physics-tests", "6")
    error = result["error_at_20"]
    assert set(error) == {"mlp", "elman", "gru", "lstm", "persistence", "physics"}
    assert error["physics"] < 0.02
    assert error[result["best"]] < 0.8 * error["persistence"]
    assert {path.stem for path in tmp_path.glob("*.png")} == {"error_against_horizon", "futures"}


@pytest.mark.parametrize(
    ("module", "flags", "words"),
    [
        (identify, ["--limit-tests", "60"], "--limit-tests: found 60, expected at most --tests, 50"),
        (identify, ["--pendulums", "3"], "--pendulums: found 3"),
        (forecast, ["--physics-tests", "6", "--jobs", "0"], "--jobs: found 0"),
    ],
)
def test_impossible_flags_are_refused(module, flags, words, tmp_path, capsys):
    assert module.main([*SMALL, *flags, "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
