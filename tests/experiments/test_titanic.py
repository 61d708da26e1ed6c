"""The Titanic lesson: its data, what it measures, and how it refuses files that are not what they should be."""

import hashlib
import json

import numpy as np
import pytest
import torch

from experiments import titanic
from experiments.common.flags import UsageError
from models import MLP

HEADER = "# p_id, survived, cabin_class, female, fare"


def rows_of(passengers):
    return [
        f"{int(p_id)},{int(survived)},{int(cabin_class)},{int(female)},{fare:.3f}"
        for p_id, survived, cabin_class, female, fare in passengers.table
    ]


@pytest.fixture(scope="module")
def rows():
    return rows_of(titanic.reconstruct())


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(titanic, "URL", "http://127.0.0.1:9/titanic.csv")  # nobody listens there


def test_reconstruction_has_the_published_counts():
    found = titanic.reconstruct()
    assert len(found) == 891
    assert found.survived.sum() == 342
    for (cabin_class, female), (survived, died) in titanic.COUNTS.items():
        group = (found.cabin_class == cabin_class) & (found.female == female)
        assert (found.survived[group].sum(), (1 - found.survived[group]).sum()) == (survived, died)
    for cabin_class, (low, high) in titanic.FARES.items():
        fare = found.fare[found.cabin_class == cabin_class]
        assert low <= fare.min() < 1.2 * low
        assert 0.8 * high < fare.max() <= high
    assert abs(titanic.pearson(found.p_id, found.survived)) < 0.1  # in random order


def test_a_file_in_the_courses_columns_is_read(tmp_path, rows):
    path = tmp_path / "own.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    assert np.array_equal(titanic.read(path, "--data").table, titanic.reconstruct().table)


def test_the_public_copy_is_read_and_cached(tmp_path, monkeypatch, rows):
    lines = ["PassengerId,Survived,Pclass,Name,Sex,Fare,Cabin"]
    for row in rows:
        p_id, survived, cabin_class, female, fare = row.split(",")
        sex = "female" if female == "1" else "male"
        lines.append(f'{int(p_id) + 1},{survived},{cabin_class},"Doe, Mx. ""J""",{sex},{fare},')
    content = "\n".join(lines).encode()
    (tmp_path / "titanic.csv").write_bytes(content)
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))  # as if it had been downloaded
    monkeypatch.setattr(titanic, "SHA256", hashlib.sha256(content).hexdigest())
    found = titanic.load("download")
    assert found.source == "download"
    assert np.array_equal(found.table[:, 1:], titanic.reconstruct().table[:, 1:])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: [HEADER, *rows[:400]], "found 400 passengers, expected 891"),
        (lambda rows: [HEADER, *rows[:-1], "890,0,3"], "line 892: found 3 columns, expected 5"),
        (lambda rows: [HEADER, *rows[:-1], "890,0,3,0,"], "line 892: found fare '', expected a number, 0 or more"),
        (lambda rows: [HEADER, "0,2,3,0,7.25", *rows[1:]], "line 2: found survived '2', expected 0 or 1"),
        (lambda rows: [HEADER, "0,1,3,0,nan", *rows[1:]], "line 2: found fare 'nan'"),
        (lambda rows: [HEADER, rows[1], *rows[1:]], "found a p_id twice"),
        (lambda rows: rows, "line 1: found 0, "),
        (lambda rows: ["name,age", "a,1"], "line 1: found name, age, expected the columns p_id, survived"),
        (lambda rows: [], "line 1: found nothing"),
    ],
)
def test_wrong_truncated_and_partial_files_are_refused(spoil, words, tmp_path, rows, capsys):
    path = tmp_path / "own.csv"
    path.write_text("\n".join(spoil(rows)))
    assert titanic.main(["--data", str(path), "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "own.csv" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(UsageError, match="picture.png, which is no text"):
        titanic.load(str(tmp_path / "picture.png"))
    with pytest.raises(UsageError, match="found no file .*absent.csv"):
        titanic.load(str(tmp_path / "absent.csv"))
    with pytest.raises(UsageError, match="found no file"):
        titanic.load(str(tmp_path))


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


def test_offline_a_download_is_refused_in_one_line(offline, tmp_path, capsys):
    assert titanic.main(["--data", "download", "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "--data FILE" in told
    assert "--data reconstructed" in told
    assert not (tmp_path / "run").exists()


def test_offline_the_default_goes_on_and_says_with_what(offline):
    found = titanic.load("auto")
    assert found.source == "reconstructed"
    assert "--data FILE" in found.notes[0]
    assert "--data reconstructed" in found.notes[0]


def test_pearsons_r_is_numpys_and_has_its_properties():
    table = titanic.reconstruct().table
    assert np.allclose(titanic.correlations(table), np.corrcoef(table.T), atol=1e-12)
    assert max(titanic.pearson_properties(table).values()) < 1e-12


def test_splits_are_each_seeds_own():
    rows, held = titanic.splits(891, [3, 11, 12])
    assert rows.shape == (3, 713)
    assert held.shape == (3, 178)
    for mine, other in zip(rows, held, strict=True):
        assert sorted([*mine.tolist(), *other.tolist()]) == list(range(891))
    assert torch.equal(titanic.splits(891, [11])[0][0], rows[1])
    assert not torch.equal(held[0].sort()[0], held[1].sort()[0])


def test_each_split_is_scaled_by_its_own_training_rows():
    x = torch.randn(50, 3) * torch.tensor([1.0, 50.0, 0.0]) + 7
    rows, held = titanic.splits(50, [3, 11])
    network = titanic.Standardized(MLP(3, (4,), 2, seeds=2), x, rows)
    scaled = (x[rows] - network.mean) / network.std
    assert torch.allclose(scaled.mean(1), torch.zeros(2, 3), atol=1e-4)
    assert torch.allclose(scaled.std(1, correction=0), torch.tensor([1.0, 1.0, 0.0]).expand(2, 3), atol=1e-4)
    assert network(x[held]).shape == (2, 10, 2)


def test_the_lesson_learns_and_names_its_reconstructed_data(offline, tmp_path):
    flags = ["--quick", "--seeds", "4", "--epochs", "25", "--format", "svg", "--out", str(tmp_path / "run")]
    assert titanic.main(flags) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["data"] == "reconstructed"
    assert len(result["valid_accuracy"]) == 4
    assert 0.74 < result["valid_accuracy_mean"] < 0.83
    assert result["majority"] == pytest.approx(549 / 891, abs=1e-4)
    assert result["pid_train_accuracy"] >= 0.99
    assert abs(result["pid_valid_accuracy"] - result["majority"]) < 0.06
    assert result["seconds"] > 0
    drawn = sorted((tmp_path / "run").glob("*.svg"))
    assert [path.stem for path in drawn] == ["columns", "confidence", "correlation", "learning", "p_id"]
    assert all("RECONSTRUCTED DATA" in path.read_text() for path in drawn)
