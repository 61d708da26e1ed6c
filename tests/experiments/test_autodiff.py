"""The gradient in three ways, the errors of finite differences, and gradient descent into the nearest minimum."""

import json

import numpy as np
import pytest
import torch

from experiments import autodiff as lesson

SEEDS = [3, 11, 12]


def test_the_course_examples():
    assert lesson.square_gradient() == pytest.approx(6.2, abs=1e-6)
    assert lesson.product_gradient() == pytest.approx([5.5, 7.7], abs=1e-6)


def test_cost_of_one_hidden_unit_and_one_point():
    parameters = torch.tensor([[0.5, -0.2, 3.0]])  # w, b, v
    cost = lesson.cost(parameters, torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    assert cost.item() == pytest.approx((3 * np.tanh(0.8) - 1) ** 2, rel=1e-6)


@pytest.mark.parametrize("hidden", [1, 4])
def test_the_three_ways_give_the_same_gradient(hidden):
    numbers = lesson.problem(SEEDS, hidden)
    by_hand = lesson.gradient_by_hand(*numbers)
    assert by_hand.shape == (3, 3 * hidden)
    assert by_hand.norm(dim=1).min() > 1e-3
    torch.testing.assert_close(lesson.gradient_by_autograd(*numbers), by_hand, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(lesson.gradient_by_differences(*numbers, 1e-5, central=True), by_hand, rtol=0, atol=1e-8)
    torch.testing.assert_close(lesson.gradient_by_differences(*numbers, 1e-8), by_hand, rtol=0, atol=1e-5)


def test_a_seed_among_others_equals_the_seed_alone():
    together, single = lesson.problem(SEEDS, 4), lesson.problem([11], 4)
    for a, b in zip(together, single, strict=True):
        torch.testing.assert_close(a[1], b[0], rtol=0, atol=0)


def test_the_error_is_proportional_to_the_step_or_to_its_square():
    numbers = lesson.problem(SEEDS, 4)
    by_hand = lesson.gradient_by_hand(*numbers)

    def error(epsilon, central):
        return lesson.relative_error(lesson.gradient_by_differences(*numbers, epsilon, central), by_hand)

    np.testing.assert_allclose(error(1e-3, False) / error(1e-4, False), 10, rtol=0.05)
    np.testing.assert_allclose(error(1e-2, True) / error(1e-3, True), 100, rtol=0.05)


def test_the_slope_is_zero_at_the_minima():
    x = lesson.minima(lesson.grid())
    assert len(x) == 5
    np.testing.assert_allclose(x / 5 + 3 * np.cos(3 * x), 0, atol=0.02)
    assert (0.2 - 9 * np.sin(3 * x) > 0).all()


def test_descent_ends_in_the_minimum_near_its_start():
    starts = torch.tensor([-2.2, -0.4, 0.1, 1.4], dtype=torch.float64)
    path = lesson.descend(starts, 0.02, 200).numpy()
    heights = lesson.wave(path)
    assert (np.diff(heights, axis=0) <= 1e-12).all()
    assert lesson.ends(path).tolist() == [1, 2, 2, 3]
    # Above 2 / 9.2, with the second derivative 9.2 at the minimum, gradient descent cannot converge.
    assert lesson.ends(lesson.descend(starts, 0.3, 200).numpy()).tolist() == [-1] * 4


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Autodiff(quick=True, seeds=2, hidden=4))


def test_each_way_has_its_error_and_its_time(findings):
    result = lesson.result(findings)
    assert result["square_gradient"] == pytest.approx(6.2)
    assert result["product_gradient"] == pytest.approx([5.5, 7.7])
    assert 1e-9 < result["best_step"]["forward, float64"] < 1e-6
    assert 1e-6 < result["best_step"]["central, float64"] < 1e-3
    errors = result["best_relative_error"]
    assert 1e-15 < errors["central, float64"] < errors["forward, float64"] < 1e-6 < errors["forward, float32"]
    assert result["autograd_relative_error"] < 1e-14
    seconds = result["seconds_per_gradient"]
    assert seconds["finite differences"]["300"] > 5 * seconds["autograd"]["300"]


def test_five_of_seventeen_starts_reach_the_global_minimum(findings):
    result = lesson.result(findings)
    assert sum(result["starts_ending_in"]) == 17
    assert result["share_of_global_minimum"] == pytest.approx(5 / 17)


def test_the_lesson_writes_its_files(tmp_path, capsys):
    flags = ["--quick", "--seeds", "2", "--hidden", "4", "--starts", "3", "--iterations", "5", "--out", str(tmp_path)]
    assert lesson.main(flags) == 0
    output = capsys.readouterr().out
    assert "x.grad = 6.2" in output
    assert "x.grad = (5.5, 7.7)" in output
    names = {"gradients.png", "local_minima.png", "config.json", "result.json", "metrics.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert json.loads((tmp_path / "result.json").read_text())["square_gradient"] == pytest.approx(6.2)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--hidden", "0"], "--hidden: found 0, expected at least 1"),
        (["--starts", "0"], "--starts: found 0, expected at least 1"),
        (["--learning-rate", "nan"], "--learning-rate: found nan"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
    assert not (tmp_path / "run").exists()
