"""CIFAR-10's binary files, its download, and the pendulums that take its place."""

import errno
import hashlib
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor

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
    path.write_bytes(b"")
    with pytest.raises(UsageError, match=f"found 0 bytes in .*{TRAIN_FILES[3]}"):
        read_folder(tmp_path, RECORDS)
    path.unlink()
    for make in (lambda path: None, lambda path: path.mkdir()):
        make(path)
        with pytest.raises(UsageError, match=f"found no file .*{TRAIN_FILES[3]}"):
            read_folder(tmp_path, RECORDS)
    with pytest.raises(UsageError, match="found no folder"):
        read_folder(tmp_path / "nowhere")


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive like CIFAR-10's in an empty cache, which is never asked for by the network."""
    write(tmp_path / "made" / FOLDER)
    path = tmp_path / "cache" / cifar_data.ARCHIVE
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "made" / FOLDER, FOLDER)
    monkeypatch.setenv("BALANCIER_CACHE", str(path.parent))
    monkeypatch.setattr(cifar_data, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(cifar_data, "URL", "http://127.0.0.1:9/absent")  # nobody listens there
    return path


def test_a_download_is_unpacked_once_and_whole(archive, monkeypatch):
    calls, fetch = [], cifar_data.fetch
    monkeypatch.setattr(cifar_data, "fetch", lambda *given, **named: calls.append(given) or fetch(*given, **named))
    for _ in range(2):
        folder = cifar_data.download()
        assert read_folder(folder, RECORDS).train.shape == (5 * RECORDS, 3, 32, 32)
    assert len(calls) == 1
    assert {path.name for path in archive.parent.iterdir()} == {archive.name, FOLDER}


@pytest.mark.parametrize("spoil", [
    lambda folder: flip(folder / TRAIN_FILES[3], 5_000),
    lambda folder: (folder / TEST_FILE).write_bytes(b""),
    lambda folder: (folder / TEST_FILE).write_bytes((folder / TEST_FILE).read_bytes()[:-1]),
    lambda folder: (folder / TRAIN_FILES[0]).unlink(),
    lambda folder: (folder / TRAIN_FILES[0]).unlink() or (folder / TRAIN_FILES[0]).mkdir(),
    lambda folder: (folder / cifar_data.SUMS).unlink(),
    lambda folder: flip(folder / cifar_data.SUMS, 3),
    lambda folder: shutil.rmtree(folder) or folder.write_bytes(b"a file"),
    lambda folder: shutil.rmtree(folder) or folder.mkdir(),
])  # fmt: skip
def test_an_unpacked_folder_that_was_altered_is_unpacked_again(spoil, archive, tmp_path):
    folder = cifar_data.download()
    spoil(folder)
    assert cifar_data.download() == folder
    for name in (*TRAIN_FILES, TEST_FILE):
        assert (folder / name).read_bytes() == (tmp_path / "made" / FOLDER / name).read_bytes()
    assert {path.name for path in archive.parent.iterdir()} == {archive.name, FOLDER}
    spoil(folder)
    archive.unlink()
    with pytest.raises(UsageError, match=f"in place of {folder}, which is not as it was unpacked, expected a network"):
        cifar_data.download()


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def test_what_cannot_be_unpacked_is_named_and_leaves_nothing(archive, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    words = r"which cannot be unpacked \(No space left on device\), expected 200 MB of room"
    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extractall", full)
        with pytest.raises(UsageError, match=words):
            cifar_data.download()
    archive.write_bytes(archive.read_bytes()[:-200])
    monkeypatch.setattr(cifar_data, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    with pytest.raises(UsageError, match="which cannot be unpacked"):
        cifar_data.download()
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def test_many_at_once_unpack_the_same_folder(archive):
    """Each finds the folder absent or wrong; all get the right one, and nothing is left."""
    for _ in range(5):
        with ThreadPoolExecutor(4) as together:
            assert set(together.map(lambda _: cifar_data.download(), range(8))) == {archive.parent / FOLDER}
        assert {path.name for path in archive.parent.iterdir()} == {archive.name, FOLDER}
        assert cifar_data.is_whole(archive.parent / FOLDER)
        flip(archive.parent / FOLDER / TEST_FILE, 9)


def test_without_a_network_the_pictures_are_pendulums(tmp_path, monkeypatch):
    small = cifar_data.pendulums(40, 20)
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    monkeypatch.setattr(cifar_data, "URL", "http://127.0.0.1:9/absent")  # nobody listens there
    monkeypatch.setattr(cifar_data, "pendulums", lambda train, test: small)
    cifar_data.load.cache_clear()
    images = cifar_data.load("auto")
    assert images.name == "pendulums"
    assert "or --data DIR" in images.notes[0]
    with pytest.raises(UsageError, match="no answer from 127.0.0.1"):
        cifar_data.load("download")
    cifar_data.load.cache_clear()
