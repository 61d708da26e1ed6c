"""The lesson on gradients: three ways to one gradient, the errors of finite differences, and local minima."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import autodiff as lesson

SEEDS = [3, 11, 12]


def test_the_course_examples():
    assert lesson.square_gradient().tolist() == pytest.approx([6.2], abs=1e-6)
    assert lesson.product_gradient().tolist() == pytest.approx([5.5, 7.7], abs=1e-6)


def test_cost_of_one_hidden_unit_and_one_point():
    parameters = torch.tensor([[0.5, -0.2, 3.0]])  # w, b, v
    cost = lesson.cost(parameters, torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    assert cost.item() == pytest.approx((3 * np.tanh(0.8) - 1) ** 2, rel=1e-6)


@pytest.mark.parametrize("hidden", [1, 4])
def test_three_ways_to_one_gradient(hidden):
    numbers = lesson.problem(SEEDS, hidden)
    by_hand = lesson.gradient_by_hand(*numbers)
    assert by_hand.shape == (3, 3 * hidden)
    assert by_hand.norm(dim=1).min() > 1e-3
    torch.testing.assert_close(lesson.gradient_by_autograd(*numbers), by_hand, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(lesson.gradient_by_differences(*numbers, 1e-5, central=True), by_hand, rtol=0, atol=1e-8)
    torch.testing.assert_close(lesson.gradient_by_differences(*numbers, 1e-8), by_hand, rtol=0, atol=1e-5)


def test_a_single_seed_equals_that_seed_among_others():
    among, single = lesson.problem(SEEDS, 4), lesson.problem([11], 4)
    for a, b in zip(among, single, strict=True):
        torch.testing.assert_close(a[1], b[0], rtol=0, atol=0)


def test_differences_err_by_the_step_and_by_its_square():
    numbers = lesson.problem(SEEDS, 4)
    by_hand = lesson.gradient_by_hand(*numbers)

    def error(epsilon, central):
        return lesson.relative_error(lesson.gradient_by_differences(*numbers, epsilon, central), by_hand)

    np.testing.assert_allclose(error(1e-3, False) / error(1e-4, False), 10, rtol=0.05)
    np.testing.assert_allclose(error(1e-2, True) / error(1e-3, True), 100, rtol=0.05)


def test_the_best_step_has_the_smallest_median():
    assert lesson.best_step(np.array([[3.0, 3.0, 3.0], [2.0, 0.0, 9.0], [1.0, 9.0, 9.0]])) == (1, 2.0)


def test_minima_are_where_the_slope_vanishes():
    minima = lesson.minima(lesson.LINE)
    assert len(minima) == 5
    np.testing.assert_allclose(minima / 5 + 3 * np.cos(3 * minima), 0, atol=0.02)
    assert (0.2 - 9 * np.sin(3 * minima) > 0).all()


def test_descent_ends_in_the_minimum_near_its_start():
    starts = torch.tensor([-2.2, -0.4, 0.1, 1.4], dtype=torch.float64)
    path = lesson.gradient_descent(starts, 0.02, 200).numpy()
    heights = lesson.wavy(path)
    assert (np.diff(heights, axis=0) <= 1e-12).all()
    assert lesson.nearest_minimum(path[-1]).tolist() == [1, 2, 2, 3]
    # With a rate above the bound 2/K, K = 9.2 at the minimum, descent cannot converge there.
    assert lesson.nearest_minimum(lesson.gradient_descent(starts, 0.3, 200).numpy()[-1]).tolist() == [-1] * 4


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Autodiff(quick=True, seeds=2, hidden=4))


def test_the_lesson(findings):
    result = lesson.result(findings)
    assert result["square_gradient"] == pytest.approx(6.2)
    assert result["product_gradient"] == pytest.approx([5.5, 7.7])
    assert 1e-9 < result["best_step"]["forward, float64"] < 1e-6
    assert 1e-6 < result["best_step"]["central, float64"] < 1e-3
    errors = result["best_relative_error"]
    assert 1e-15 < errors["central, float64"] < errors["forward, float64"] < 1e-6 < errors["forward, float32"]
    assert result["autograd_relative_error"] < 1e-14
    for size in lesson.SIZES:
        assert result["evaluations"]["forward differences"][size] == size + 1
        assert result["evaluations"]["central differences"][size] == 2 * size
        assert result["evaluations"]["autograd"][size] == 1
    passes = {"forward differences": 0, "central differences": 0, "autograd": 1}
    assert result["backward_passes"] == passes
    assert len(result["minima"]) == 5
    assert sum(result["starts_ending_in"]) == 17
    assert result["share_of_global_minimum"] == pytest.approx(5 / 17)


def test_the_end_of_the_progress_bar_is_the_number_of_evaluations(capsys, monkeypatch):
    monkeypatch.setattr(lesson, "SIZES", (3, 6))
    assert lesson.measure(lesson.Autodiff(seeds=1, hidden=2, starts=1)).parameters == 6
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("gradients: 100%") for line in lines] == [False] * 9 + [True]


def test_the_files_of_a_run(findings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lesson, "LESSON", replace(lesson.LESSON, measure=lambda flags: findings))
    assert lesson.main(["--quick", "--seeds", "2", "--hidden", "4", "--out", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    for code in ("torch.tensor([3.1], requires_grad=True)", "torch.tensor([3.1, 2.0], requires_grad=True)"):
        assert code in output
    assert "tensor([6.2000])" in output
    assert "tensor([5.5000, 7.7000])" in output
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result["evaluations"]["autograd"]) == {str(size) for size in lesson.SIZES}
    names = {"gradients.png", "evaluations.png", "local_minima.png", "config.json", "result.json", "metrics.csv"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    assert list(lesson.figures(findings)) == list(lesson.PAGE.captions)
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 5 * 2
    assert lines[-1].startswith("0,1,relative_error autograd,")


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
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
