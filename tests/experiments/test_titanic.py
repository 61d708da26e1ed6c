"""The Titanic lesson: correlations, splits, standardization, and the accuracies that it reports."""

import json

import numpy as np
import pytest
import torch

from experiments import titanic
from experiments.common import titanic_data
from models import MLP


@pytest.fixture(scope="module")
def findings():
    return titanic.measure(titanic.Titanic(quick=True, seeds=4, epochs=25, data="reconstructed"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--epochs", "0"], "--epochs: found 0, expected at least 1"),
        (["--batch-size", "0"], "--batch-size: found 0"),
        (["--learning-rate", "nan"], "--learning-rate: found nan"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert titanic.main([*flags, "--data", "reconstructed", "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_pearsons_r_is_numpys_and_has_its_properties():
    table = titanic_data.reconstruct().table
    assert np.allclose(titanic.correlations(table), np.corrcoef(table.T), atol=1e-12)
    assert max(titanic.pearson_properties(table).values()) < 1e-12


def test_splits_are_each_seeds_own():
    train, validation = titanic.splits(891, [3, 11, 12])
    assert train.shape == (3, 713)
    assert validation.shape == (3, 178)
    for indices, other in zip(train, validation, strict=True):
        assert sorted([*indices.tolist(), *other.tolist()]) == list(range(891))
    assert torch.equal(titanic.splits(891, [11])[0][0], train[1])
    assert not torch.equal(validation[0].sort()[0], validation[1].sort()[0])


def test_each_split_is_standardized_by_its_own_training_set():
    x = torch.randn(50, 3) * torch.tensor([1.0, 50.0, 0.0]) + 7
    train, validation = titanic.splits(50, [3, 11])
    standardize = titanic.standardizer(x, train)
    standardized = standardize.apply(x[train])
    assert torch.allclose(standardized.mean(1), torch.zeros(2, 3), atol=1e-4)
    assert torch.allclose(standardized.std(1, correction=0), torch.tensor([1.0, 1.0, 0.0]).expand(2, 3), atol=1e-4)
    mlp = MLP(3, (4,), 2, seeds=2)
    network = titanic.OnStandardized(mlp, standardize)
    assert network(x[validation]).shape == (2, 10, 2)
    assert torch.equal(network(x[train]), mlp(standardized))


def test_the_lesson_learns(findings):
    result = titanic.result(findings)
    assert result["data"] == "reconstructed"
    assert len(result["valid_accuracy"]) == 4
    assert 0.74 < result["valid_accuracy_mean"] < 0.83
    assert result["majority"] == pytest.approx(549 / 891, abs=1e-4)
    assert result["pid_train_accuracy"] >= 0.99
    assert abs(result["pid_valid_accuracy"] - result["majority"]) < 0.06


def test_confidence_belongs_to_the_last_epoch(findings):
    main = findings.trainings[titanic.MAIN]
    assert main.confidence.shape == main.correct.shape == (4, 178)
    assert np.allclose(main.correct.mean(1), main.validation["accuracy"][-1], atol=1e-6)
    assert main.confidence.min() >= 0.5


def test_metrics_hold_every_epoch_of_every_input(findings):
    lines = list(titanic.metrics(findings))
    assert len(lines) == 6 * 26 * 2
    step, metric, values, seeds = lines[-1]
    assert (step, metric, list(seeds)) == (25, f"validation accuracy, {titanic.NAME_AS_NUMBER}", [0, 1, 2, 3])
    assert np.array_equal(values, findings.trainings[titanic.NAME_AS_NUMBER].final[1])


def test_the_run_writes_its_files_and_names_its_reconstructed_data(tmp_path, monkeypatch, capsys):
    titanic_data.load.cache_clear()
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(titanic_data, "URL", "http://127.0.0.1:9/titanic.csv")  # nobody listens there
    assert titanic.main(["--seeds", "2", "--epochs", "2", "--format", "svg", "--out", str(tmp_path / "run")]) == 0
    assert "reconstructed data" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"] == "reconstructed"
    assert result["seconds"] > 0
    drawn = sorted((tmp_path / "run").glob("*.svg"))
    assert [path.stem for path in drawn] == ["columns", "confidence", "correlation", "learning", "p_id"]
    assert all("RECONSTRUCTED DATA" in path.read_text() for path in drawn)
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == 1 + 6 * 3 * 2 * 2
