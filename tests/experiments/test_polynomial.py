"""Polynomials: gradient descent equals that of `models`, the bound is that of the Hessian, and the lesson's claims."""

import json

import numpy as np
import pytest
import torch

from experiments import polynomial as lesson
from models import SGD, Polynomial, squared_error

SEEDS = [3, 11, 12]


@pytest.fixture
def points():
    return lesson.sample(SEEDS, lesson.TRAIN, 30, 0.1)


def test_descent_equals_that_of_models(points, float64):
    order, rate, steps = 3, 0.5, 200
    rates = torch.full((len(SEEDS), 1, len(lesson.ORDERS)), rate)
    weight, history = lesson.joint_step(points, rates, [0, 1, steps])
    network = Polynomial(len(lesson.ORDERS) - 1, orders=[order] * len(SEEDS), seeds=SEEDS)
    optimizer = SGD(network.parameters(), rate)
    for _ in range(steps):
        optimizer.step(squared_error(network(points.x[..., None]), points.y[..., None]))
    assert weight[:, 0, order, : order + 1].abs().min() > 1e-3  # they moved
    torch.testing.assert_close(weight[:, 0, order], network.weight.detach(), rtol=0, atol=1e-12)
    assert (weight[:, 0, order, order + 1 :] == 0).all()
    assert history.shape == (3, len(SEEDS), 1, len(lesson.ORDERS))
    assert (history[2, :, 0, order] < history[1, :, 0, order]).all()


def test_a_single_seed_equals_that_seed_among_others(points):
    single_points = lesson.sample([11], lesson.TRAIN, 30, 0.1)
    rates = torch.full((3, 1, 10), 0.5, dtype=torch.float64)
    among, _ = lesson.joint_step(points, rates, [0, 300])
    single, _ = lesson.joint_step(single_points, rates[:1], [0, 300])
    assert among.abs().max() > 0.1
    torch.testing.assert_close(among[1], single[0], rtol=0, atol=1e-10)


def test_curvature_is_that_of_the_hessian(points):
    for seed in range(len(SEEDS)):
        x, y = points.x[seed], points.y[seed]
        zero = torch.zeros(4, dtype=torch.float64)
        cost = lambda weight, x=x, y=y: (lesson.powers(x)[:, :4] @ weight - y).square().mean()  # noqa: E731
        values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(cost, zero))
        torch.testing.assert_close(lesson.curvatures(points)[seed, 3], values[[0, -1]], rtol=1e-9, atol=1e-12)


def test_the_bound_separates_convergence_from_divergence(points):
    bound = 2 / lesson.curvatures(points)[..., 1]
    rates = bound[:, None] * torch.tensor([0.99, 1.01], dtype=torch.float64)[:, None]
    weight, history = lesson.joint_step(points, rates, [0, 2_000])
    assert (history[-1, :, 0] < history[0, :, 0]).all()
    assert (history[-1, :, 1] >= lesson.DIVERGED).all()
    assert weight.isfinite().all()


def test_least_squares_finds_a_polynomial(float64):
    x = torch.linspace(0, 1, 20).expand(2, -1)
    truth = torch.tensor([0.5, -1.0, 2.0])
    weight = lesson.least_squares(lesson.Points(x, lesson.powers(x)[..., :3] @ truth))
    torch.testing.assert_close(weight[:, 2, :3], truth.expand(2, -1))
    torch.testing.assert_close(weight[:, 5, :3], truth.expand(2, -1), rtol=1e-8, atol=1e-8)
    assert (weight[:, 1, 2:] == 0).all()


def test_lagrange_is_least_squares_of_order_one_below_the_points():
    x = np.linspace(0, 1, 5)
    y = np.array([0.3, -1.0, 2.0, 0.5, 1.0])
    np.testing.assert_allclose(lesson.lagrange(x, y, x), y, atol=1e-12)
    fit = lesson.least_squares(lesson.Points(torch.tensor(x)[None], torch.tensor(y)[None]))[0, 4]
    np.testing.assert_allclose(lesson.lagrange(x, y, lesson.LINE), lesson.values(fit, lesson.LINE), atol=1e-9)
    parabola = lesson.lagrange(np.array([0.0, 1, 2]), np.array([0.0, 1, 4]), np.array([3.0, -2]))
    np.testing.assert_allclose(parabola, [9, 4])


def test_records_start_at_zero_and_end_with_the_last_step():
    steps = lesson.record_steps(12_345)
    assert steps[:3] == [0, 1, 2]
    assert steps[-1] == 12_345
    assert steps == sorted(set(steps))


@pytest.mark.slow
def test_the_lesson():
    result = lesson.result(lesson.measure(lesson.Polynomial(quick=True, seed=7, seeds=2, iterations=45_000)))
    assert 1 <= result["gd_over_ls"] <= 1.01
    assert 5e3 < result["condition_number"] < 5e4
    assert result["converged_below_bound"] == result["diverged_above_bound"] == 1
    assert result["diverged_by_rate"]["2"] == 1
    assert result["diverged_by_rate"]["0.01"] == 0
    test = result["test_rms_by_order"]
    assert list(test) == [str(order) for order in range(10)]
    assert 0.1 < test["3"] < 0.2 < 0.4 < test["1"] < test["0"]
    few = result["few_points"]
    assert few["train_mse_by_order"]["9"] < 1e-3
    assert few["test_rms_by_order"]["9"] > 3 * few["test_rms_by_order"]["3"]
    sizes = result["test_rms_by_points"]
    assert sizes["15"] > sizes["100"] > 0.09
    assert sizes["1000"] == pytest.approx(0.1, abs=0.01)
    assert max(result["lagrange_miss"].values()) < 1e-12
    assert result["extrapolation_rms"]["9"] > 10 * result["extrapolation_rms"]["3"]


def test_the_files_of_a_run(tmp_path):
    assert lesson.main(["--seeds", "2", "--seed", "3", "--iterations", "200", "--out", str(tmp_path)]) == 0
    figures = {"fits.png", "fits_10_points.png", "learning_rates.png", "errors.png", "points.png", "outside.png"}
    assert {path.name for path in tmp_path.iterdir()} >= figures | {"config.json", "result.json", "metrics.csv"}
    assert json.loads((tmp_path / "result.json").read_text())["gd_iterations_to_1_percent"] == [None, None]
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + (5 * len(lesson.record_steps(200)) + 10) * 2
    assert lines[1].startswith("0,3,train_mse M=3 rate=0.01,")
    assert lines[-1].startswith("0,4,least_squares_train_mse M=9,")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--points", "9"], "--points: found 9, expected at least 10"),
        (["--iterations", "0"], "--iterations: found 0, expected at least 100"),
        (["--noise", "-0.1"], "--noise: found -0.1, expected a number of at least 0"),
        (["--learning-rates", "0.01", "0", "2"], "--learning-rates: found 0.0, expected a number above 0"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
