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
    return titanic.measure(titanic.Titanic(quick=True, data="reconstructed"))


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


def test_the_network_beats_the_guesses_and_starts_as_one(findings):
    result = titanic.result(findings)
    assert result["data"] == "reconstructed"
    assert len(result["valid_accuracy"]) == 10
    assert result["majority"] == pytest.approx(0.616, abs=1e-3)
    assert result["best_by_sex"] == pytest.approx(0.787, abs=1e-3)
    assert 0.3 < result["start_accuracy"] < 0.65
    assert 0.77 < result["valid_accuracy_mean"] < titanic.SUSPECT
    assert result["valid_accuracy_mean"] >= result["valid_accuracy_by_input"][titanic.SEX]


def test_p_id_alone_is_memorized_and_worth_nothing_for_new_passengers(findings):
    result = titanic.result(findings)
    assert result["pid_train_accuracy"] >= 0.99
    assert abs(result["pid_valid_accuracy"] - result["majority"]) < 0.05


def test_normalization_helps_and_class_may_stay_a_number(findings):
    result = titanic.result(findings)
    by_input = result["valid_accuracy_by_input"]
    assert by_input[titanic.MAIN] > by_input[titanic.RAW]
    assert abs(by_input[titanic.MAIN] - by_input[titanic.NUMBER]) < 0.02
    first, second, third = result["survival_by_class"]
    assert first > second > third
    raw, main = (findings.trainings[name].train["loss"][0].mean() for name in (titanic.RAW, titanic.MAIN))
    assert raw > 2 * main
    assert (result["fare_normalized"]["mean"], result["fare_normalized"]["std"]) == pytest.approx((0, 1))


def test_confident_predictions_are_wrong_less_often(findings):
    main = findings.trainings[titanic.MAIN]
    assert main.confidence.shape == main.correct.shape == (10, 178)
    assert np.allclose(main.correct.mean(1), main.validation["accuracy"][-1], atol=1e-6)
    assert main.confidence.min() >= 0.5
    confident = main.confidence > 0.9
    assert 2 * (~main.correct[confident]).mean() < (~main.correct[~confident]).mean()
    assert abs(main.confidence.mean() - main.correct.mean()) < 0.03


def test_one_passenger_by_hand(findings):
    numbers = titanic.example(findings)
    first, second = (np.exp(value) for value in numbers["output"])
    assert numbers["probability"] == pytest.approx([first / (first + second), second / (first + second)])
    assert numbers["truth"] == titanic.OUTCOMES[findings.passengers.survived[0]]
    assert numbers["cross_entropy"] == pytest.approx(
        -np.log(numbers["probability"][titanic.OUTCOMES.index(numbers["truth"])])
    )
    text = "\n".join(titanic.example_lines(findings))
    assert f"-log {np.exp(-numbers['cross_entropy']):.3f} = {numbers['cross_entropy']:.3f}" in text


def test_the_table_prints_what_the_slides_print(findings):
    lines = titanic.data_lines(findings.passengers)
    assert lines[0] == "# p_id, survived, cabin_class, female, fare"
    assert lines[1].startswith("0,")
    assert "np.unique(cabin_class): [1 2 3]" in lines
    assert "sum(survived): 342 of 891" in lines
    assert "fare: min 0.000 max 512.329 std 49.666" in lines
    assert "fare after: min -0.648, max 9.667, mean 0.000, std 1.000" in titanic.preparation_lines(findings.passengers)


def test_every_figure_has_its_caption_and_names_reconstructed_data(findings):
    drawn = titanic.figures(findings)
    assert titanic.PAGE.captions.keys() == drawn.keys()
    for figure in drawn.values():
        assert figure.get_supxlabel() == titanic.NOTICE
        assert figure.get_size_inches()[0] / figure.get_size_inches()[1] <= 2.2


def test_metrics_hold_every_epoch_of_every_input(findings):
    lines = list(titanic.metrics(findings))
    assert len(lines) == 5 * 41 * 2
    step, metric, values, seeds = lines[-1]
    assert (step, metric, list(seeds)) == (40, f"validation accuracy, {titanic.P_ID}", list(range(10)))
    assert np.array_equal(values, findings.trainings[titanic.P_ID].final[1])


def test_the_run_writes_its_files_and_names_its_reconstructed_data(tmp_path, monkeypatch, capsys):
    titanic_data.load.cache_clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(titanic_data, "URL", "http://127.0.0.1:9/titanic.csv")  # nobody listens there
    assert titanic.main(["--seeds", "2", "--epochs", "2", "--format", "svg", "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "reconstructed data" in out
    assert titanic.NOTICE in out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"] == "reconstructed"
    assert result["seconds"] > 0
    drawn = sorted((tmp_path / "run").glob("*.svg"))
    assert [path.stem for path in drawn] == [
        "columns",
        "confidence",
        "correlation",
        "learning",
        "normalization",
        "p_id",
    ]
    assert all("RECONSTRUCTED DATA" in path.read_text() for path in drawn)
    assert (tmp_path / "run" / "metrics.csv").read_text().count("\n") == 1 + 5 * 3 * 2 * 2
