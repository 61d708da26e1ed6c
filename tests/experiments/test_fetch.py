"""All data sets ahead: where they lie, or in one line each why not."""

import pytest
import requests

from experiments import __main__ as cli
from experiments import fetch
from experiments.common import cifar_data, downloads, recordings


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "cache"))


def test_every_data_set_says_where_it_lies_and_its_size(tmp_path, monkeypatch, capsys):
    (tmp_path / "titanic.csv").write_bytes(b"x" * 60_302)
    (tmp_path / "cifar").mkdir()
    for name in ("a.bin", "b.bin"):
        (tmp_path / "cifar" / name).write_bytes(b"x" * 1_500_000)
    monkeypatch.setattr(downloads, "fetch", lambda url, sha256, name: tmp_path / name)
    both = {"titanic": fetch.DATA["titanic"], "cifar": ("170 MB", lambda: tmp_path / "cifar")}
    monkeypatch.setattr(fetch, "DATA", both)
    assert cli.main(["fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"fetch: titanic (60 kB), cifar (170 MB) into {tmp_path / 'cache'}"
    assert lines[1:] == [f"titanic: {tmp_path / 'titanic.csv'}, 0.1 MB", f"cifar: {tmp_path / 'cifar'}, 3.0 MB"]


def test_without_a_network_each_data_set_fails_in_one_line(monkeypatch, capsys):
    def refuse(*_, **__):
        raise requests.exceptions.ConnectionError

    monkeypatch.setattr(requests, "get", refuse)
    assert cli.main(["fetch"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"balancier fetch: {name}: found no download of {file} (no answer from {host}), "
        "expected a network and a folder to write to"
        for name, file, host in (
            ("titanic", "titanic.csv", "raw.githubusercontent.com"),
            ("cifar", cifar_data.ARCHIVE, "www.cs.toronto.edu"),
            *((name, f"pendulum-{name}.csv", "raw.githubusercontent.com") for name in recordings.PUBLIC),
        )
    ]


def test_without_a_home_folder_each_data_set_fails_in_one_line(monkeypatch, capsys):
    monkeypatch.delenv("BALANCIER_CACHE")
    monkeypatch.setenv("HOME", "/nowhere")
    assert cli.main(["fetch"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("balancier fetch: titanic: found no place for titanic.csv (there is no home folder)")
    assert len(lines) == len(fetch.DATA) == 4


def test_what_was_downloaded_is_found_by_the_lessons(tmp_path, capsys, monkeypatch):
    """The folder of CIFAR-10 is looked for where the lesson looks; nothing is downloaded again."""
    folder = tmp_path / "cache" / cifar_data.FOLDER
    folder.mkdir(parents=True)
    for name in (*cifar_data.TRAIN_FILES, cifar_data.TEST_FILE):
        (folder / name).write_bytes(b"x" * 10)
    (folder / cifar_data.SUMS).write_text(cifar_data.checksums(folder))
    monkeypatch.setattr(downloads, "fetch", lambda url, sha256, name: folder / "test_batch.bin")
    monkeypatch.setattr(recordings, "fetch", lambda url, sha256, name, instead: folder / "test_batch.bin")
    assert cli.main(["fetch"]) == 0
    assert f"cifar: {folder}, 0.0 MB" in capsys.readouterr().out
