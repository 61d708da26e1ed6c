"""Data from the network, kept in a cache folder and trusted only if its SHA-256 is the known one."""

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests

from experiments.common.flags import UsageError

PATIENCE = 10.0  # seconds without an answer after which the network counts as absent


def cache_folder() -> Path:
    """Where downloads are kept: BALANCIER_CACHE, or the system's folder for caches."""
    return Path(os.environ.get("BALANCIER_CACHE") or pooch.os_cache("balancier")).expanduser()


def fetch(url: str, sha256: str, name: str, instead: str = "--data PATH", patience: float = PATIENCE) -> Path:
    """The file `name` in the cache, downloaded first if it is not there or not what it should be.

    pooch writes a download under a temporary name of its own, checks it, and only then renames it, which is atomic
    within a folder. So nobody ever sees half a file, and two processes that download at once each rename a good one.

    Raises:
        UsageError: in one line, if there is no download or its checksum is another; `instead` says what else to do.
    """
    folder = cache_folder()
    pooch.get_logger().setLevel(logging.WARNING)  # the lessons say themselves where their data come from
    try:
        downloader: Any = pooch.HTTPDownloader(timeout=patience)
        return Path(pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder, downloader=downloader))
    except requests.exceptions.RequestException as error:
        found = f"no download of {name} ({reason(error)} from {urlsplit(url).netloc})"
    except ValueError:
        found = f"a {name} at {url} that fails its SHA-256 (nothing was kept)"
    except OSError as error:
        found = f"no place for {name} in the cache {folder} ({error.strerror or error})"
    raise UsageError(f"--data: found {found}, expected {instead}")


def reason(error: requests.exceptions.RequestException) -> str:
    """What went wrong with a request, in a few words."""
    if error.response is not None:
        return f"status {error.response.status_code}"
    if isinstance(error, requests.exceptions.Timeout | requests.exceptions.ConnectionError):
        return "no answer"
    return type(error).__name__
