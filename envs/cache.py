"""The cache: a folder of files that can be computed or downloaded again. Every reader checks them before each use."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

import pooch

# A file or folder that was never finished: the name of what we keep there, between a dot and eight random digits.
ORPHAN = re.compile(r"\.(optimum-|titanic\.csv|cifar-10-).*\.[0-9a-f]{8}")
HOUR = 3600.0  # seconds after which nobody writes to it any more


def cache_folder() -> Path | None:
    """The folder that the environment variable BALANCIER_CACHE names, or the system's folder for caches; it may not
    exist yet. None where that would be in a home folder and there is none.

    What writers left there that were killed is removed once it is an hour old.
    """
    named = os.environ.get("BALANCIER_CACHE")
    try:
        folder = Path(named or pooch.os_cache("balancier")).expanduser().absolute()
        if not named and folder.is_relative_to(Path.home()) and not Path.home().is_dir():
            return None
    except (OSError, RuntimeError):  # pathlib's for an unknown home
        return None
    remove_orphans(folder)
    return folder


def remove_orphans(folder: Path) -> None:
    """Remove what is older than an hour and was never finished, as far as that is allowed."""
    with contextlib.suppress(OSError):
        for path in [path for path in folder.iterdir() if ORPHAN.fullmatch(path.name)]:
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > HOUR:
                    path.unlink() if path.is_symlink() or not path.is_dir() else shutil.rmtree(path)
