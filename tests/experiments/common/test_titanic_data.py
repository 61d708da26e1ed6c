"""Titanic data: the reconstruction, files, the download, and the refusal of files that are wrong."""

import hashlib
import os

import numpy as np
import pytest

from experiments import titanic
from experiments.common import titanic_data
from experiments.common.flags import UsageError

HEADER = "# p_id, survived, cabin_class, female, fare"


def rows_of(passengers):
    return [
        f"{int(p_id)},{int(survived)},{int(cabin_class)},{int(female)},{fare:.3f}"
        for p_id, survived, cabin_class, female, fare in passengers.table
    ]


@pytest.fixture(scope="module")
def rows():
    return rows_of(titanic_data.reconstruct())


@pytest.fixture(autouse=True)
def _forget_the_last_answer():
    titanic_data.load.cache_clear()


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(titanic_data, "URL", "http://127.0.0.1:9/titanic.csv")  # nobody listens there


# Published correlations of survived, cabin_class and female, and of fare with each of them.
PUBLISHED = [("survived", "cabin_class", -0.338), ("survived", "female", 0.543), ("cabin_class", "female", -0.132),
             ("fare", "survived", 0.257), ("fare", "cabin_class", -0.549), ("fare", "female", 0.182),
             ("p_id", "survived", -0.005), ("p_id", "cabin_class", -0.035), ("p_id", "female", -0.043),
             ("p_id", "fare", 0.013)]  # fmt: skip


def test_the_reconstruction_has_the_published_counts_moments_and_correlations():
    passengers = titanic_data.reconstruct()
    assert len(passengers) == 891
    assert passengers.survived.sum() == 342
    for (cabin_class, female, survived), (count, mean, std, low, high) in titanic_data.FARES.items():
        same = (passengers.cabin_class == cabin_class) & (passengers.female == female)
        fare = passengers.fare[same & (passengers.survived == survived)]
        assert len(fare) == count
        assert (fare.mean(), fare.std()) == pytest.approx((mean, std), abs=1e-2)
        assert (fare.min(), fare.max()) == (low, high)
    fare = passengers.fare
    assert (fare.min(), fare.max(), fare.std()) == pytest.approx((0, 512.329, 49.666), abs=1e-3)
    for one, other, r in PUBLISHED:
        assert titanic.pearson(getattr(passengers, one), getattr(passengers, other)) == pytest.approx(r, abs=0.01)


def test_a_titanic_csv_in_the_current_folder_is_found(tmp_path, monkeypatch, offline, rows):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "titanic.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    assert titanic_data.load("auto").source == "titanic.csv"
    (tmp_path / "titanic.csv").write_text("name,age")
    titanic_data.load.cache_clear()
    with pytest.raises(UsageError, match="titanic.csv, line 1: found name, age"):
        titanic_data.load("auto")


@pytest.mark.parametrize("encode", [
    lambda text: text.encode(),
    lambda text: text.encode("utf-8-sig"),
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: f"\n{text}\n\n".replace(",", " ,\t").encode(),
])  # fmt: skip
def test_a_file_in_the_courses_columns_is_read(encode, tmp_path, rows):
    """With a byte order mark, Windows' line ends, empty lines and spaces, too."""
    path = tmp_path / "data.csv"
    path.write_bytes(encode("\n".join([HEADER, *rows]) + "\n"))
    assert np.array_equal(titanic_data.read(path).table, titanic_data.reconstruct().table)


def test_the_public_copy_is_read_and_cached(tmp_path, monkeypatch, rows):
    lines = ["PassengerId,Survived,Pclass,Name,Sex,Fare,Cabin"]
    for row in rows:
        p_id, survived, cabin_class, female, fare = row.split(",")
        sex = "female" if female == "1" else "male"
        lines.append(f'{int(p_id) + 1},{survived},{cabin_class},"Doe, Mx. ""J""",{sex},{fare},')
    content = "\n".join(lines).encode()
    (tmp_path / "titanic.csv").write_bytes(content)
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))  # as if it had been downloaded
    monkeypatch.setattr(titanic_data, "SHA256", hashlib.sha256(content).hexdigest())
    passengers = titanic_data.load("download")
    assert passengers.source == "download"
    assert np.array_equal(passengers.table[:, 1:], titanic_data.reconstruct().table[:, 1:])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: [HEADER, *rows[:400]], "found 400 passengers, expected 891"),
        (lambda rows: [HEADER, *rows[:-1], "890,0,3"], "line 892: found 3 columns, expected 5"),
        (lambda rows: [HEADER, *rows[:-1], "890,0,3,0,"], "line 892: found fare '', expected a number from 0"),
        (lambda rows: [HEADER, "0,2,3,0,7.25", *rows[1:]], "line 2: found survived '2', expected 0 or 1"),
        (lambda rows: [HEADER, "0,1,3,0,nan", *rows[1:]], "line 2: found fare 'nan'"),
        (lambda rows: [HEADER, "0,female,3,0,7.25", *rows[1:]], "line 2: found survived 'female', expected 0 or 1"),
        (lambda rows: [HEADER, "1e300,1,3,0,7.25", *rows[1:]], "line 2: found p_id '1e300', expected a whole number"),
        (lambda rows: [HEADER, "0,1,3,0,1e308", *rows[1:]], "line 2: found fare '1e308', expected a number from 0"),
        (lambda rows: [HEADER, "x" * 200_000, *rows[1:]], "which is no text"),  # csv's limit of a field
        (lambda rows: [HEADER, rows[1], *rows[1:]], "found p_id 1 twice"),
        (lambda rows: [HEADER + ", fare", *(f"{row},1" for row in rows)], "fare, fare, expected the columns p_id"),
        (lambda rows: [line.replace(",", ";") for line in [HEADER, *rows]], "found p_id; survived; cabin_class"),
        (lambda rows: [HEADER], "found 0 passengers, expected 891"),
        (lambda rows: rows, "line 1: found 0, "),
        (lambda rows: ["name,age", "a,1"], "line 1: found name, age, expected the columns p_id, survived"),
        (lambda rows: ["\x1b[31mred,age"], r"line 1: found \x1b[31mred, age, expected"),
        (lambda rows: [], "line 1: found nothing"),
    ],
)
def test_wrong_truncated_and_partial_files_are_refused(spoil, words, tmp_path, rows, capsys):
    path = tmp_path / "data.csv"
    path.write_text("\n".join(spoil(rows)))
    assert titanic.main(["--data", str(path), "--out", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert "data.csv" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(UsageError, match="picture.png, which is no text"):
        titanic_data.load(str(tmp_path / "picture.png"))
    with pytest.raises(UsageError, match="found no file .*absent.csv"):
        titanic_data.load(str(tmp_path / "absent.csv"))
    for content in "p_id".encode("utf-16"), "Amélie".encode("latin-1"):
        (tmp_path / "picture.png").write_bytes(content)
        with pytest.raises(UsageError, match="picture.png, which is no text"):
            titanic_data.load(str(tmp_path / "picture.png"))
    os.mkfifo(tmp_path / "pipe")  # it would be read for ever
    for path in tmp_path, tmp_path / "pipe":
        with pytest.raises(UsageError, match="found no file .* .a folder or a pipe."):
            titanic_data.load(str(path))


def test_offline_a_download_is_refused_in_one_line(offline, tmp_path, capsys):
    assert titanic.main(["--data", "download", "--out", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "--data FILE" in message
    assert "--data reconstructed" in message
    assert not (tmp_path / "run").exists()


def test_offline_the_default_goes_on_and_says_with_what(offline):
    passengers = titanic_data.load("auto")
    assert passengers.source == "reconstructed"
    assert "--data FILE" in passengers.notes[0]
    assert "--data reconstructed" in passengers.notes[0]
