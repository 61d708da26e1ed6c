"""CIFAR-10 as memory-mapped bytes, in its published binary layout: no copy, no pickle, no worker processes.

A record is 1 byte of label and 3,072 bytes of pixels: 32 x 32 of red, then of green, then of blue, row by row.
"""

import contextlib
import os
import shutil
import tarfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from balancier import N_, _
from envs import raster
from envs.cache import cache_folder
from experiments.common.downloads import beside_of, digest, fetch
from experiments.common.flags import UsageError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
ARCHIVE, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
SUMS = "SHA256SUMS"  # of these files, beside them in the cache: what was unpacked from an archive that had its own
INSTEAD = _("--data DIR with the unpacked binary version, or --data pendulum")
RECORDS = 10_000  # in each file
SHAPE = (3, 32, 32)
CLASSES = (
    *(_("airplane"), _("automobile"), _("bird"), _("cat"), _("deer")),
    *(_("dog"), _("frog"), _("horse"), _("ship"), _("truck")),
)


class Images(NamedTuple):
    """Pictures (n, 3, 32, 32) uint8 and their classes (n,) int64, to train on and to test on."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]  # in the user's language
    name: str  # of the data
    notes: tuple[str, ...] = ()  # for the user: why these are not CIFAR-10's


@lru_cache(maxsize=1)
def load(data: str, quick: bool = False) -> Images:
    """The pictures of the flag --data, fewer with --quick. The last answer is kept, so a lesson may ask again.

    Raises:
        UsageError: if the folder or the download cannot be used.
    """
    if data == "pendulum":
        return pendulums(4_000 if quick else 10_000, 2_000)
    try:
        images = read_folder(download() if data in ("auto", "download") else Path(data))
    except UsageError as error:
        if data != "auto":
            raise
        return load("pendulum", quick)._replace(notes=(str(error), _("Going on with --data pendulum.")))
    if not quick:
        return images
    train, train_labels, test, test_labels = images[:4]
    return images._replace(
        train=train[:8_000], train_labels=train_labels[:8_000], test=test[:2_000], test_labels=test_labels[:2_000]
    )


def read_file(path: Path, records: int = RECORDS) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of one file, still on disk; UsageError, in one line, if the file is wrong."""
    try:
        size = path.stat().st_size if path.is_file() else None
        content = np.memmap(path, np.uint8, mode="r", shape=(records, 3073)) if size == records * 3073 else None
    except OSError as error:
        raise UsageError(f"--data: found {path}, which cannot be read ({error.strerror}), expected a file") from None
    if size is None:
        raise UsageError(f"--data: found no file {path}, expected the binary version of CIFAR-10")
    if content is None:
        raise UsageError(
            f"--data: found {size:,} bytes in {path}, expected {records * 3073:,}; it is incomplete or another file"
        )
    labels = content[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        bad = int(labels.argmax())
        raise UsageError(f"--data: found label {labels[bad]} in {path}, record {bad}, expected 0 to {len(CLASSES) - 1}")
    return content[:, 1:].reshape(records, *SHAPE), labels


def read_folder(folder: Path, records: int = RECORDS) -> Images:
    """All of CIFAR-10 from the folder of its files, or from the folder above."""
    if (folder / FOLDER).is_dir():
        folder = folder / FOLDER
    if not folder.is_dir():
        raise UsageError(f"--data: found no folder {folder}, expected one with {TRAIN_FILES[0]} and the other files")
    parts = [read_file(folder / name, records) for name in TRAIN_FILES]
    test, test_labels = read_file(folder / TEST_FILE, records)
    train, train_labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Images(train, train_labels, test, test_labels, CLASSES, "CIFAR-10")


def download() -> Path:
    """The folder of CIFAR-10 in the cache, downloaded and unpacked if it is not there yet, or no longer as it was.

    The archive is unpacked in a temporary folder, which is then renamed: the folder is complete or absent.

    Raises:
        UsageError: in one line, if there is no archive, or no room to unpack it.
    """
    cache, purpose = cache_folder(), ""
    if cache and is_whole(cache / FOLDER):
        return cache / FOLDER
    if cache and os.path.lexists(cache / FOLDER):
        purpose = f" in place of {cache / FOLDER}, which is not as it was unpacked"
    archive = fetch(URL, SHA256, ARCHIVE, INSTEAD, purpose=purpose)
    folder = archive.with_name(FOLDER)
    beside = beside_of(folder)
    try:
        beside.mkdir()
        with tarfile.open(archive) as tar:
            tar.extractall(beside, filter="data")
        (beside / FOLDER / SUMS).write_text(checksums(beside / FOLDER))
        if not is_whole(folder):  # else another process was first
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder, beside / "damaged")
            os.rename(beside / FOLDER, folder)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if not is_whole(folder):
            found = f"{archive}, which cannot be unpacked ({getattr(error, 'strerror', None) or error})"
            raise UsageError(f"--data: found {found}, expected 200 MB of room beside it, or {INSTEAD}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether the files are still those that were unpacked. All 184 MB are read, which takes 0.3 s."""
    try:
        return (folder / SUMS).read_text() == checksums(folder)
    except (OSError, ValueError):
        return False


def checksums(folder: Path) -> str:
    """One line a file, as `sha256sum` writes them."""
    return "".join(f"{digest(folder / name)}  {name}\n" for name in (*TRAIN_FILES, TEST_FILE))


def pendulums(train: int, test: int, seed: int = 0) -> Images:
    """Pictures of pendulums in ten classes of angle: for the same lesson without other data."""
    parts = [raster.labeled_frames(np.random.default_rng([seed, part]), n) for part, n in enumerate((train, test))]
    classes = tuple(_("{angle} deg", angle=sector * 36) for sector in range(10))
    return Images(*parts[0], *parts[1], classes, N_("pendulums"))
