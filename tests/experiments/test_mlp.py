"""The lesson on multilayer perceptrons: its numbers, its files, and the flags that it refuses."""

import json

import numpy as np
import pytest

from experiments import mlp as lesson


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Mlp(quick=True, seeds=2, epochs=100))


def test_wider_networks_fit_better(findings):
    result = lesson.result(findings)
    errors = result["mse_by_width"]
    assert errors["1"] > 10 * errors["32"]
    assert errors["32"] < 4 * result["noise"]
    assert result["mse_by_rate"]["0.01"] < result["mse_by_rate"]["0.0001"]


def test_every_learning_rate_has_its_own_networks(findings):
    assert findings.rate_seeds == [*range(8)]  # the seeds 4 and 5 belong to the third rate
    generator = np.random.default_rng(0)
    data, test = lesson.sample(generator, 200), lesson.sample(generator, lesson.TEST_POINTS)
    training = lesson.train(data, test, lambda: None, [4, 5], learning_rate=1e-2, epochs=10)
    assert findings.error_by_rate[1e-2].shape == (100, 2)
    np.testing.assert_allclose(findings.error_by_rate[1e-2][:10], training.error, rtol=1e-4)


def test_the_files_of_a_run(tmp_path):
    flags = "--seeds", "2", "--seed", "3", "--points", "20", "--epochs", "3", "--format", "svg"
    assert lesson.main([*flags, "--out", str(tmp_path)]) == 0
    figures = {"widths.svg", "rates_and_batches.svg", "activations.svg"}
    assert {path.name for path in tmp_path.iterdir()} >= figures | {"config.json", "result.json", "metrics.csv"}
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["mse_by_batches"])[-1] == "gradient descent, all at once"
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + (7 + 4 + 3 + 3) * 2  # widths, rates, activations and minibatches, each with two seeds
    assert lines[1].startswith("3,3,width 1,")
    assert lines[-1].startswith("3,4,all,")


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
