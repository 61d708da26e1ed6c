"""Downloads: files from the network, kept in a cache folder and used only if their SHA-256 is the known one."""

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pooch
import requests

from experiments.common.flags import UsageError

TIMEOUT = 10.0  # seconds without an answer after which a download fails


def cache_folder() -> Path:
    """The folder of downloads: the environment variable BALANCIER_CACHE, or the system's folder for caches."""
    return Path(os.environ.get("BALANCIER_CACHE") or pooch.os_cache("balancier")).expanduser()


def fetch(url: str, sha256: str, name: str, instead: str = "--data PATH", timeout: float = TIMEOUT) -> Path:
    """The file `name` in the cache; it is downloaded first if it is absent or has the wrong checksum.

    pooch writes a download under a temporary name, checks it, and only then renames it, which is atomic within a
    folder. So no process ever sees half a file, and two downloads at the same time do not disturb each other.

    Raises:
        UsageError: in one line, if the download or its checksum fails; `instead` names what the user can do.
    """
    folder = cache_folder()
    pooch.get_logger().setLevel(logging.WARNING)  # the lessons print where their data come from
    try:
        downloader: Any = pooch.HTTPDownloader(timeout=timeout)
        return Path(pooch.retrieve(url, f"sha256:{sha256}", fname=name, path=folder, downloader=downloader))
    except requests.exceptions.RequestException as error:
        problem = f"no download of {name} ({reason(error)} from {urlsplit(url).netloc})"
    except ValueError:
        problem = f"a {name} at {url} that fails its SHA-256 (nothing was kept)"
    except OSError as error:
        problem = f"no place for {name} in the cache {folder} ({error.strerror or error})"
    raise UsageError(f"--data: found {problem}, expected {instead}")


def reason(error: requests.exceptions.RequestException) -> str:
    """The reason why a request failed, in a few words."""
    if error.response is not None:
        return f"status {error.response.status_code}"
    if isinstance(error, requests.exceptions.Timeout | requests.exceptions.ConnectionError):
        return "no answer"
    return type(error).__name__
