"""The lesson on multilayer perceptrons: its numbers, its files, and the flags that it refuses."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from experiments import mlp as lesson
from models.networks import ACTIVATIONS
from models.streams import stream


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Mlp(quick=True, seeds=2))


@pytest.fixture(scope="module")
def result(findings):
    return lesson.result(findings)


def test_wider_networks_fit_better(result):
    errors, noise = result["mse_by_width"], result["noise"]
    assert errors["1"] > 10 * errors["32"]
    assert errors["32"] < 2 * noise
    assert result["mse_of_a_parabola"] > 10 * errors["32"]  # a polynomial activation at any width


def test_validation_errors_are_above_training_errors(result):
    for width in ("8", "16", "32", "64"):
        assert result["mse_by_width"][width] > result["training_mse_by_width"][width]


def test_a_small_learning_rate_needs_more_epochs(result):
    errors = result["mse_by_rate"]
    assert errors["0.01"] < errors["0.001"] < errors["0.0001"]
    assert errors["0.0001"] > 20 * errors["0.01"]


def test_minibatches_learn_more_from_an_epoch_because_they_update_more_often(result):
    _, ten, fifty, everything = result["mse_by_batches"].values()
    assert everything > 10 * ten
    assert everything > 10 * fifty
    assert result["mse_of_all_points_after_as_many_updates"] < 2 * ten


def test_small_minibatches_leave_local_minima(result):
    reached = result["starts_in_the_lowest_minimum"]
    assert reached["of"] == 40
    assert reached[200] < 20
    assert reached[1] > 30
    assert reached[1] > reached[2] > reached[50] >= reached[200]


def test_the_descent_of_one_weight_follows_its_gradient():
    x, y = np.array([0.3, -0.5]), np.array([0.2, 0.1])
    weight = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    for _ in range(lesson.STEPS):
        loss = (torch.sin(weight * torch.tensor(x)) - torch.tensor(y)).square().mean()
        (gradient,) = torch.autograd.grad(loss, weight)
        weight = (weight - lesson.STEP_SIZE * gradient).detach().requires_grad_()
    ends = lesson.sine_descent(x, y, 2, np.random.default_rng(0))
    np.testing.assert_allclose(ends[lesson.STARTS.tolist().index(1.5)], weight.item(), atol=1e-6)
    assert lesson.sine_loss(np.array([weight.item()]), x, y)[0] == pytest.approx(loss.item())


@pytest.mark.parametrize("points", [200, 30])
def test_plain_pytorch_becomes_the_same_network(points):
    """PyTorch's data set, loader, optimizer and loop equal `fit` to rounding, from the same start in the same order."""
    data = lesson.sample(np.random.default_rng(0), points)
    assert lesson.plain_difference(data, seed=3, learning_rate=1e-2) < 1e-12


def test_plain_pytorch_learns():
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64)[:, None]
    network, data = lesson.PlainMLP(1, 16, 1, torch.tanh), lesson.PointSet(x, torch.sin(3 * x))
    batches = [list(range(start, 64, 4)) for start in range(4)]
    before = nn.functional.mse_loss(network(x), data.y).item()
    lesson.train_plain(network, data, [batches] * 100, 1e-2)
    assert nn.functional.mse_loss(network(x), data.y).item() < 0.05 * before


def test_formulas_are_those_of_the_activations():
    a = np.linspace(-3, 3, 13)
    names = {"a": a, "exp": np.exp, "max": np.maximum}
    for name, formula in lesson.FORMULAS.items():
        value = eval(formula.replace("2 a", "2 * a"), names)
        np.testing.assert_allclose(value, ACTIVATIONS[name](torch.tensor(a)).numpy(), atol=1e-12)


def test_the_question_about_the_biases_comes_before_its_answer(findings, capsys):
    from experiments.common.runs import console

    console.print(lesson.table(findings))
    output = capsys.readouterr().out
    for words in (
        "Linear(in_features=3, out_features=32, bias=True)",
        "W1: (1, 3, 32)",
        "W1: (32, 3)",
        "194 parameters",
    ):
        assert words in output
    assert (
        output.index("Question: which sizes")
        < output.index("validation")
        < output.index("Answer: b1 has the shape (32,)")
    )


def test_every_figure_has_a_caption(findings):
    assert list(lesson.figures(findings)) == list(lesson.PAGE.captions)


def test_every_learning_rate_has_its_own_networks(findings):
    assert findings.rate_seeds == [*range(8)]  # the seeds 4 and 5 belong to the third rate
    generator = stream(0, lesson.DATA)
    data, validation = lesson.sample(generator, 200), lesson.sample(generator, lesson.VALIDATION_POINTS)
    settings = {"learning_rate": 1e-2, "epochs": 10, "batch_size": lesson.BATCH}
    training = lesson.train(data, validation, lambda: None, [4, 5], **settings)
    assert findings.error_by_rate[1e-2].shape == (150, 2)
    np.testing.assert_allclose(findings.error_by_rate[1e-2][:10], training.validation, rtol=1e-4)


def test_the_files_of_a_run(tmp_path):
    flags = "--seeds", "2", "--seed", "3", "--points", "20", "--epochs", "3", "--format", "svg"
    assert lesson.main([*flags, "--out", str(tmp_path)]) == 0
    figures = {f"{name}.svg" for name in lesson.PAGE.captions}
    assert {path.name for path in tmp_path.iterdir()} >= figures | {"config.json", "result.json", "metrics.csv"}
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["mse_by_batches"])[-1] == "gradient descent, all 20"
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    # widths, rates, activations, and Adam, batches of 10 and all points; training and validation, two seeds
    assert len(lines) == 1 + (7 + 4 + 3 + 3) * 2 * 2
    assert lines[1].startswith('3,3,"width 1, training",')
    assert lines[-1].startswith('6,4,"gradient descent, all 20",')


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--points", "1"], "--points: found 1, expected at least 2"),
        (["--epochs", "1"], "--epochs: found 1, expected at least 2"),
        (["--learning-rate", "-1"], "--learning-rate: found -1.0, expected a number above 0"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
