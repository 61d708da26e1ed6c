"""CIFAR-10 as memory-mapped bytes, in its published binary layout: no copy, no pickle, no worker processes.

A record is 1 byte of label and 3,072 bytes of pixels: 32 x 32 of red, then of green, then of blue, row by row.
"""

import os
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs import raster
from experiments.common.downloads import cache_folder, fetch
from experiments.common.flags import UsageError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
ARCHIVE, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
RECORDS = 10_000  # in each file
SHAPE = (3, 32, 32)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Images(NamedTuple):
    """Pictures (n, 3, 32, 32) uint8 and their classes (n,) int64, to train on and to test on."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]
    name: str  # of the data, for the figures


def read_file(path: Path, records: int = RECORDS) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of one file, still on disk; UsageError, in one line, if it is not what it should be."""
    try:
        size = path.stat().st_size
    except OSError:
        raise UsageError(f"--data: found no file {path}, expected the binary version of CIFAR-10") from None
    if size != records * 3073:
        raise UsageError(
            f"--data: found {size:,} bytes in {path}, expected {records * 3073:,}; it is cut off or another"
        )
    rows = np.memmap(path, np.uint8, mode="r", shape=(records, 3073))
    labels = rows[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        row = int(labels.argmax())
        raise UsageError(f"--data: found label {labels[row]} in {path}, record {row}, expected 0 to {len(CLASSES) - 1}")
    return rows[:, 1:].reshape(records, *SHAPE), labels


def read_folder(folder: Path, records: int = RECORDS) -> Images:
    """All of CIFAR-10 from the folder that holds its files, or from the one above."""
    if (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    if not folder.is_dir():
        raise UsageError(f"--data: found no folder {folder}, expected one with {TRAIN_FILES[0]} and its fellows")
    parts = [read_file(folder / name, records) for name in TRAIN_FILES]
    test, test_labels = read_file(folder / TEST_FILE, records)
    train, train_labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Images(train, train_labels, test, test_labels, CLASSES, "CIFAR-10")


def download() -> Path:
    """The folder of CIFAR-10 in the cache, downloaded and unpacked if it is not there yet.

    It is unpacked beside its place and then renamed, so that it is there whole or not at all.
    """
    folder = cache_folder() / FOLDER
    if folder.is_dir():
        return folder
    archive = fetch(URL, SHA256, ARCHIVE, "--data DIR with the unpacked binary version, or --data pendulum")
    with tempfile.TemporaryDirectory(dir=archive.parent) as beside:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(beside, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UsageError(f"--data: cannot unpack {archive} ({error}); remove it and try again") from None
        try:
            os.rename(Path(beside) / FOLDER, folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise
    return folder


def pendulums(train: int, test: int, seed: int = 0) -> Images:
    """Pictures of pendulums in ten classes of angle: the same lesson where there is no other data."""
    parts = [raster.labeled_frames(np.random.default_rng([seed, which]), n) for which, n in enumerate((train, test))]
    classes = tuple(f"{sector * 36} deg" for sector in range(10))
    return Images(*parts[0], *parts[1], classes, "pendulums")
