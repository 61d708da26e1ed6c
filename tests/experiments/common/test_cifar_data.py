"""CIFAR-10's binary files, its download, and the pendulums that take its place."""

import shutil
import tarfile

import numpy as np
import pytest

from experiments.common import cifar_data
from experiments.common.cifar_data import FOLDER, TEST_FILE, TRAIN_FILES, read_folder
from experiments.common.flags import UsageError

RECORDS = 20


def write(folder, records=RECORDS):
    """Files in the published layout; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, written = np.random.default_rng(0), {}
    for name in (*TRAIN_FILES, TEST_FILE):
        content = generator.integers(256, size=(records, 3073), dtype=np.uint8)
        content[:, 0] = np.arange(records) % 10
        content.tofile(folder / name)
        written[name] = content
    return written


def test_the_binary_layout(tmp_path):
    written = write(tmp_path / "cifar-10-batches-bin")
    images = read_folder(tmp_path, RECORDS)
    assert images.train.shape == (5 * RECORDS, 3, 32, 32)
    record = written[TRAIN_FILES[2]][7]
    assert images.train_labels[2 * RECORDS + 7] == record[0] == 7
    np.testing.assert_array_equal(images.train[2 * RECORDS + 7, 1, 3], record[1 + 1024 + 96 : 1 + 1024 + 128])
    assert isinstance(images.test.base if images.test.base is not None else images.test, np.memmap)


def test_wrong_files_are_named(tmp_path):
    write(tmp_path)
    path = tmp_path / TRAIN_FILES[3]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UsageError, match=f"found 61,459 bytes in .*{TRAIN_FILES[3]}, expected 61,460"):
        read_folder(tmp_path, RECORDS)
    path.write_bytes(bytes([11]) + whole[1:])
    with pytest.raises(UsageError, match=f"found label 11 in .*{TRAIN_FILES[3]}, record 0"):
        read_folder(tmp_path, RECORDS)
    path.unlink()
    with pytest.raises(UsageError, match=f"found no file .*{TRAIN_FILES[3]}"):
        read_folder(tmp_path, RECORDS)
    with pytest.raises(UsageError, match="found no folder"):
        read_folder(tmp_path / "nowhere")


def test_a_download_is_unpacked_once_and_whole(tmp_path, monkeypatch):
    write(tmp_path / "made" / FOLDER)
    archive = tmp_path / "made" / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / FOLDER, FOLDER)
    cache, calls = tmp_path / "cache", []
    cache.mkdir()
    shutil.copy(archive, cache / archive.name)

    def fetched(*arguments):
        calls.append(arguments)
        return cache / archive.name

    monkeypatch.setenv("BALANCIER_CACHE", str(cache))
    monkeypatch.setattr(cifar_data, "fetch", fetched)
    for _ in range(2):
        folder = cifar_data.download()
        assert read_folder(folder, RECORDS).train.shape == (5 * RECORDS, 3, 32, 32)
    assert len(calls) == 1
    assert {path.name for path in cache.iterdir()} == {archive.name, FOLDER}
    shutil.rmtree(folder)
    (cache / archive.name).write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(UsageError, match="cannot unpack"):
        cifar_data.download()
    assert {path.name for path in cache.iterdir()} == {archive.name}


def test_without_a_network_the_pictures_are_pendulums(tmp_path, monkeypatch):
    small = cifar_data.pendulums(40, 20)
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    monkeypatch.setattr(cifar_data, "URL", "http://127.0.0.1:9/absent")  # nobody listens there
    monkeypatch.setattr(cifar_data, "pendulums", lambda train, test: small)
    cifar_data.load.cache_clear()
    images = cifar_data.load("auto")
    assert images.name == "pendulums"
    assert "expected --data DIR" in images.notes[0]
    with pytest.raises(UsageError, match="no answer from 127.0.0.1"):
        cifar_data.load("download")
    cifar_data.load.cache_clear()
