import json
import shutil
import tarfile

import numpy as np
import pytest
import torch

from experiments import cifar
from experiments.cifar import Augment, mirrored, shifted
from experiments.common import cifar_data
from experiments.common.cifar_data import FOLDER, TEST_FILE, TRAIN_FILES, read_folder
from experiments.common.flags import UsageError
from models import FastCNN

RECORDS = 20


def write(folder, records=RECORDS):
    """Files in the published layout; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    generator, written = np.random.default_rng(0), {}
    for name in (*TRAIN_FILES, TEST_FILE):
        rows = generator.integers(256, size=(records, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(records) % 10
        rows.tofile(folder / name)
        written[name] = rows
    return written


def test_the_binary_layout(tmp_path):
    written = write(tmp_path / "cifar-10-batches-bin")
    images = read_folder(tmp_path, RECORDS)
    assert images.train.shape == (5 * RECORDS, 3, 32, 32)
    row = written[TRAIN_FILES[2]][7]
    assert images.train_labels[2 * RECORDS + 7] == row[0] == 7
    np.testing.assert_array_equal(images.train[2 * RECORDS + 7, 1, 3], row[1 + 1024 + 96 : 1 + 1024 + 128])
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

    def fetched(*told):
        calls.append(told)
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


def test_shifts_mirror_the_border():
    assert mirrored(torch.arange(-2, 7), 5).tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]
    images = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    padded = torch.nn.functional.pad(images, (1,) * 4, mode="reflect")
    found = shifted(images, torch.tensor([[0, 2], [1, 0]]), 1)
    torch.testing.assert_close(found[0], padded[0, :, 0:4, 1:6])
    torch.testing.assert_close(found[1], padded[1, :, 2:6, 0:5])


@pytest.mark.parametrize("flip", [True, False])
def test_augmented_pictures_are_shifted_or_flipped_copies(flip):
    images = torch.randint(256, (2, 30, 3, 8, 8), dtype=torch.uint8)
    found = Augment(0, flip)(images, 0.0)
    assert found.shape == images.shape
    assert found.dtype == torch.uint8
    copies = [images] + ([images.flip(-1)] if flip else [])
    kinds = set()
    for which, copy in enumerate(copies):
        for dy in range(5):
            for dx in range(5):
                offset = torch.tensor([[dy], [dx]]).expand(2, 60)
                same = (shifted(copy.flatten(0, 1), offset, 2) == found.flatten(0, 1)).flatten(1).all(1)
                kinds |= {(which, int(row)) for row in same.nonzero()}
    assert {row for _, row in kinds} == set(range(60))
    assert (sum(which for which, _ in kinds) > 15) == flip


@pytest.mark.parametrize("network", ["course", "fast"])
def test_pendulums_are_classified(network, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "pendulums", lambda train, test: cifar_data.pendulums(2_000, 300))
    flags = ["--data", "pendulum", "--network", network, "--epochs", "2", "--threads", "1", "--precision", "float32"]
    monkeypatch.setattr(cifar, "FastCNN", Small)
    assert cifar.main([*flags, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["data"] == "pendulums"
    assert result["test_accuracy"] > 0.2
    assert {path.stem for path in tmp_path.glob("*.png")} == {"curves", "confusion", "filters", "mistakes"}


class Small(FastCNN):
    """The fast network with fewer channels."""

    def __init__(self, out_features, *, seeds):
        super().__init__(out_features, widths=(16, 32, 32), seeds=seeds)


def test_impossible_flags_are_refused(tmp_path, capsys):
    for flags, words in (
        (["--epochs", "0"], "--epochs: found 0"),
        (["--data", str(tmp_path / "x")], "found no folder"),
    ):
        assert cifar.main([*flags, "--out", str(tmp_path / "run")]) == 2
        told = capsys.readouterr().err
        assert words in told
        assert told.count("\n") == 1
    assert not (tmp_path / "run").exists()
