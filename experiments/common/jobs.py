"""Work for the pool of processes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """One piece of work for the pool of processes."""

    name: str
    seeds: tuple[int, ...]
    cost: float  # expected processor seconds
    settings: Any = None  # whatever else the work needs
