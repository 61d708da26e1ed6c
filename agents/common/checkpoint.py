"""One file that holds a whole agent: safetensors, with JSON in its metadata and a digest over every byte.

Nothing in it can execute code, and a file that was cut, emptied or altered is refused.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

import balancier

FORMAT = 2
KEY, BLANK = b'"sha256":"', b"0" * 64  # the digest is computed over the file with this in its place


class CheckpointError(ValueError):
    """A file that is no checkpoint, or no longer the one that was written."""


def save(path: str | os.PathLike, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write arrays and JSON-able `meta`, all of it or nothing: a file is there only once it is complete."""
    text = json.dumps({"format": FORMAT, **meta})
    blank = save_tensors(
        {name: np.asarray(array, order="C") for name, array in arrays.items()},
        metadata={"balancier": text, "sha256": BLANK.decode()},
    )
    digest = hashlib.sha256(blank).hexdigest().encode()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    balancier.write_file(path, blank.replace(KEY + BLANK, KEY + digest, 1))


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save` wrote, in this format or the first: the arrays and `meta`.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is not a complete, unaltered checkpoint of a known format.
    """
    data = Path(path).read_bytes()
    start = data.find(KEY) + len(KEY)
    digest, blank = data[start : start + 64], data[:start] + BLANK + data[start + 64 :]
    if KEY not in data[: 8 + int.from_bytes(data[:8], "little")]:
        hint = " (agents.sb3.from_sb3 reads SB3's files)" if data.startswith(b"PK") else ""
        raise CheckpointError(f"{path}: found {len(data)} bytes that are no checkpoint, expected one of save{hint}")
    if hashlib.sha256(blank).hexdigest().encode() != digest:
        raise CheckpointError(f"{path}: the checkpoint is damaged (its SHA-256 does not match); expected it unaltered")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta, arrays = json.loads(header["__metadata__"]["balancier"]), load_tensors(data)
    if meta["format"] == 1:
        return upgrade(arrays, meta), meta
    if meta["format"] != FORMAT:
        raise CheckpointError(f"{path}: found checkpoint format {meta['format']}, expected {FORMAT} or 1")
    return arrays, meta


# Names of format 1 and what they are called now, in the order in which they are applied.
RENAMED = {
    r"optimiser\.": "optimizer.",
    r"(optimizer)\.mean$": r"\1.exp_avg",
    r"(optimizer)\.square$": r"\1.exp_avg_sq",
    r"\.body\.": ".trunk.",
    r"encoder\.memory\.": "encoder.recurrent.",
    r"encoder\.eyes\.": "encoder.cnn.",
    r"^(returns|discounted)": r"reward_scaling.\1",
    r"^worlds\.": "vec_env.",
}


def upgrade(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint of format 1, which kept `terminated` where transitions carry their discount now."""
    upgraded = {}
    for name, array in arrays.items():
        for old, new in RENAMED.items():
            name = re.sub(old, new, name)
        upgraded[name] = array
    for name in ("replay.numbers", "rollout.numbers"):
        if name in upgraded:
            gamma = np.broadcast_to(np.asarray(meta["config"]["gamma"]), len(meta["seeds"]))[:, None]
            numbers = upgraded[name].copy()  # (S, C, A + 3): action, reward, terminated, done
            numbers[..., -2] = gamma.astype(numbers.dtype) * (1 - numbers[..., -2])
            upgraded[name] = numbers
    return upgraded | {"num_timesteps": np.array(meta["num_timesteps"])}
