"""One file that holds a whole agent: safetensors, with JSON in its metadata and a digest over every byte.

Nothing in it can execute code, and a file that was cut, emptied or altered is refused.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

FORMAT = 1
KEY, BLANK = b'"sha256":"', b"0" * 64  # the digest is computed over the file with this in its place


class CheckpointError(ValueError):
    """A file that is no checkpoint, or no longer the one that was written."""


def save(path: str | os.PathLike, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write arrays and JSON-able `meta`, all of it or nothing: a file is there only once it is complete."""
    path = Path(path)
    text = json.dumps({"format": FORMAT, **meta})
    blank = save_tensors(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        metadata={"balancier": text, "sha256": BLANK.decode()},
    )
    digest = hashlib.sha256(blank).hexdigest().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(blank.replace(KEY + BLANK, KEY + digest, 1))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save` wrote: the arrays and `meta`.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is not a complete, unaltered checkpoint of this format.
    """
    data = Path(path).read_bytes()
    start = data.find(KEY) + len(KEY)
    digest, blank = data[start : start + 64], data[:start] + BLANK + data[start + 64 :]
    if KEY not in data[: 8 + int.from_bytes(data[:8], "little")]:
        raise CheckpointError(f"{path}: found {len(data)} bytes that are no checkpoint, expected one written by save")
    if hashlib.sha256(blank).hexdigest().encode() != digest:
        raise CheckpointError(f"{path}: the checkpoint is damaged (its SHA-256 does not match); expected it unaltered")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta = json.loads(header["__metadata__"]["balancier"])
    if meta["format"] != FORMAT:
        raise CheckpointError(f"{path}: found checkpoint format {meta['format']}, expected {FORMAT}")
    return load_tensors(data), meta
