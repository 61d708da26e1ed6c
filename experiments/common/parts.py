"""Results of finished jobs as files, so that a run that was killed does not do them again.

A part is a file of the same format as a checkpoint: arrays, JSON, and a digest over every byte. Nothing in it can
execute code, and a part that was cut or altered counts as not done.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, from_numpy

from agents.common import checkpoint

PARTS: ContextVar[Path | None] = ContextVar("PARTS", default=None)  # folder that keeps the finished parts of a run
ResultType = TypeVar("ResultType")
MISSING = object()  # None is a result: some environments have no optimum


def once(
    name: str, seeds: Sequence[int], compute: Callable[[], ResultType], kinds: Collection[type] = ()
) -> ResultType:
    """The result of a part of a run: computed, or what is kept of an earlier run into the same folder."""
    folder = PARTS.get()
    path = None if folder is None else part_path(folder, name, seeds)
    result: Any = MISSING if path is None else load_part(path, kinds)
    if result is MISSING:
        result = compute()
        if path is not None:
            save_part(path, result, kinds)
    return result


def part_path(folder: Path, name: str, seeds: Collection[int]) -> Path:
    """Where the result of a job is kept, by its name and seeds."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return folder / f"{words}-{'-'.join(map(str, (min(seeds), max(seeds)) if seeds else ()))}.safetensors"


def save_part(path: Path, result: Any, kinds: Collection[type]) -> None:
    """Write a result: numbers, texts, arrays, tensors, containers of them, and dataclasses or named tuples of `kinds`.

    Raises TypeError for anything else.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = encode(result, arrays, {kind.__name__ for kind in kinds})
    checkpoint.save(path, arrays, {"part": tree})


def load_part(path: Path, kinds: Collection[type]) -> Any:
    """What `save_part` wrote; MISSING if there is no sound file."""
    try:
        arrays, meta = checkpoint.load(path)
        return decode(meta["part"], arrays, {kind.__name__: kind for kind in kinds})
    except (OSError, ValueError, KeyError, TypeError):
        return MISSING


def encode(value: Any, arrays: dict[str, np.ndarray], kinds: Collection[str]) -> Any:
    """A value as JSON: one pair (what it is, its content) for each; arrays go into `arrays`."""
    kind, fields = type(value).__name__, getattr(value, "_fields", None)
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        return ["plain", value.item() if isinstance(value, np.generic) else value]
    if isinstance(value, np.ndarray | Tensor):
        name = str(len(arrays))
        arrays[name] = value if isinstance(value, np.ndarray) else value.numpy(force=True)
        return ["array" if isinstance(value, np.ndarray) else "tensor", name]
    if kind in kinds and (dataclasses.is_dataclass(value) or fields):
        names = fields or [field.name for field in dataclasses.fields(value)]
        return [kind, {name: encode(getattr(value, name), arrays, kinds) for name in names}]
    if isinstance(value, dict):
        return ["dict", [[encode(x, arrays, kinds) for x in item] for item in value.items()]]
    if type(value) in (list, tuple):
        return [kind, [encode(part, arrays, kinds) for part in value]]
    raise TypeError(f"result: found {kind}, expected one of {', '.join(sorted(kinds))}, or numbers and containers")


def decode(tree: Any, arrays: dict[str, np.ndarray], kinds: dict[str, type]) -> Any:
    """The inverse of `encode`."""
    kind, content = tree
    if kind == "plain":
        return content
    if kind in ("array", "tensor"):
        return arrays[content] if kind == "array" else from_numpy(arrays[content])
    if kind == "dict":
        return {decode(key, arrays, kinds): decode(value, arrays, kinds) for key, value in content}
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](decode(part, arrays, kinds) for part in content)
    return kinds[kind](**{name: decode(value, arrays, kinds) for name, value in content.items()})
