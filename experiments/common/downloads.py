"""Downloads: files from the network, kept in a cache folder and used only if their SHA-256 is the known one."""

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from balancier import _
from envs.cache import cache_folder
from experiments.common.flags import UsageError

TIMEOUT = 10.0  # seconds without an answer after which a download fails


def fetch(
    url: str, sha256: str, name: str, instead: str = "--data PATH", timeout: float = TIMEOUT, purpose: str = ""
) -> Path:
    """The file `name` in the cache; it is downloaded first if it is absent or has the wrong checksum.

    A download gets its name, which is atomic within a folder, once it is complete and checked. So no process ever sees
    half a file, and two downloads at the same time do not disturb each other.

    Raises:
        UsageError: in one line, if the download or its checksum fails; `instead` names what the user can do, and
            `purpose` may say what the file is wanted for.
    """
    folder = cache_folder()
    if folder is None:
        expected = f"BALANCIER_CACHE to name a folder, or {instead}"
        raise UsageError(f"--data: found no place for {name} (there is no home folder), expected {expected}")
    path = folder / name
    if digest(path) == sha256:
        return path
    if os.path.lexists(path):
        purpose = f" in place of the damaged {path}"
    beside = beside_of(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside.touch()  # a folder that cannot be written to is found out before the network is asked
        pooch.HTTPDownloader(timeout=timeout)(url, str(beside), None)  # type: ignore[arg-type]
        if digest(beside) == sha256:
            os.replace(beside, path)
            return path
        problem = f"a {name} at {url} that fails its SHA-256 (nothing was kept)"
    except requests.exceptions.RequestException as error:
        why, host = reason(error), urlsplit(url).netloc
        problem = _(
            "no download of {name} ({why} from {host}){purpose}", name=name, why=why, host=host, purpose=purpose
        )
        instead = _("a network (`balancier fetch` downloads all data ahead), or {instead}", instead=instead)
    except OSError as error:
        problem = f"no place for {name} in the cache {folder} ({error.strerror or error})"
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()
    raise UsageError(_("--data: found {problem}, expected {instead}", problem=problem, instead=instead))


def beside_of(path: Path) -> Path:
    """A new name in the same folder, for what gets its own name once it is complete (envs/cache.py removes it else)."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def digest(path: Path) -> str:
    """SHA-256 of a file; empty if there is no file that can be read."""
    try:
        if path.is_file():  # a folder or a pipe is none
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        pass
    return ""


def reason(error: requests.exceptions.RequestException) -> str:
    """The reason why a request failed, in a few words."""
    if error.response is not None:
        return _("status {code}", code=error.response.status_code)
    if isinstance(error, requests.exceptions.Timeout | requests.exceptions.ConnectionError):
        return _("no answer")
    return type(error).__name__
