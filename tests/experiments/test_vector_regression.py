"""The lesson on two outputs from two inputs: its numbers, its files, and the flags that it refuses."""

import json

import pytest
import torch
from torch import nn

from experiments import vector_regression as lesson


def test_the_errors_come_near_the_noise_floor():
    findings = lesson.measure(lesson.VectorRegression(quick=True, seeds=2, points=1_000))
    root, cube = lesson.result(findings)["mse_over_noise"]
    assert 0.95 < root < 1.3  # no network can be below 1, but for the luck of 20,000 points
    assert 0.95 < cube < 20
    assert findings.history.validation["cube"].shape == (150, 2)


def test_the_network_computes_on_standardized_numbers():
    x, y = 5 + 3 * torch.randn(50, 2), 100 * torch.randn(50, 2) - 7
    seen = []

    class Identity(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x

    output = lesson.OnStandardized(Identity(), lesson.standardizer(x), lesson.standardizer(y))(x)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0].std(0), torch.ones(2))
    torch.testing.assert_close(output.mean(0), y.mean(0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(output.std(0), y.std(0))


def test_the_files_of_a_run(tmp_path):
    flags = "--seeds", "2", "--seed", "3", "--points", "64", "--epochs", "4", "--drop-at", "2"
    assert lesson.main([*flags, "--out", str(tmp_path)]) == 0
    names = {"loss.png", "fit.png", "metrics.csv", "config.json", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result) == ["seconds", "mse_over_noise", "per_seed"]
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 6 * 4 * 2  # three metrics on training and on validation points, epochs, seeds
    assert lines[1].startswith("1,3,loss,")
    assert lines[-1].startswith("4,4,validation cube,")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--points", "0"], "--points: found 0, expected at least 2"),
        (["--hidden", "8", "0"], "--hidden: found 0, expected at least 1"),
        (["--drop-at", "900"], "--drop-at: found 900, expected 1 to 500"),
        (["--epochs", "20"], "--drop-at: found 350, expected 1 to 20"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
