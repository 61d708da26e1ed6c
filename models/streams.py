"""Random streams: one per seed and role, each a pure function of its address.

Every random number of the project comes from a NumPy generator seeded by `SeedSequence(seed, spawn_key=path)`. Seeds
that are neighbors therefore share nothing, seed 3 among ten draws what seed 3 alone draws, the numbers are the same
on every device, and a stream needs no saving: whoever knows the path can draw it again.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

Seeds = int | Sequence[int]


def resolve_seeds(seeds: Seeds) -> tuple[int, ...]:
    """The seeds meant by a number (10 is 0, 1, ..., 9) or given one by one.

    Raises ValueError unless there is at least one, none is negative and none occurs twice.
    """
    if isinstance(seeds, int | np.integer):
        if seeds < 1:
            raise ValueError(f"seeds: found {seeds}, expected at least 1 (or a list of seeds)")
        return tuple(range(int(seeds)))
    resolved = tuple(seeds)
    whole = all(isinstance(seed, int | np.integer) and seed >= 0 for seed in resolved)
    if not resolved or not whole or len(set(resolved)) < len(resolved):
        raise ValueError(f"seeds: found {list(seeds)}, expected different whole numbers, none negative")
    return tuple(int(seed) for seed in resolved)


def stream(seed: int, *path: int) -> np.random.Generator:
    """The generator that belongs to this seed and path."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=path))


def stream_seed(seed: int, *path: int) -> int:
    """A whole number below 2**64 that belongs to this seed and path, for software that seeds itself from one number."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1, np.uint64)[0])


def normal(seeds: Iterable[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal numbers (S, *shape), each seed's from its own stream."""
    return _tensor([stream(seed, *path).standard_normal(shape) for seed in seeds])


def uniform(seeds: Iterable[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1), float64, (S, *shape), each seed's from its own stream."""
    return _tensor([stream(seed, *path).random(shape) for seed in seeds], torch.float64)


def gumbel(seeds: Iterable[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard Gumbel numbers (S, *shape), each seed's from its own stream."""
    return _tensor([stream(seed, *path).gumbel(size=shape) for seed in seeds])


def permutations(seeds: Iterable[int], path: Sequence[int], count: int, length: int) -> Tensor:
    """`count` random orders of 0 .. length - 1, (S, count, length) int64, each seed's from its own stream."""
    rows = []
    for seed in seeds:
        generator = stream(seed, *path)
        rows.append(np.stack([generator.permutation(length) for _ in range(count)]))
    return _tensor(rows, torch.int64)


class Noise:
    """The random numbers of step t = 0, 1, 2, ..., drawn many steps at once.

    `draw(seeds, path, shape) -> (S, *shape)` is one of the functions above. A block is addressed by its number, so
    what step t gets depends on t alone: a resumed run draws the same, and there is nothing to save.
    """

    def __init__(
        self,
        draw: Callable[[Iterable[int], Sequence[int], Sequence[int]], Tensor],
        seeds: Sequence[int],
        path: Sequence[int],
        shape: Sequence[int],
        block_size: int = 64,
    ):
        self.draw, self.seeds, self.path = draw, seeds, tuple(path)
        self.shape, self.block_size = (block_size, *shape), block_size
        self.block: tuple[int, Tensor] | None = None

    def __call__(self, t: int) -> Tensor:
        """What belongs to step t, (S, *shape)."""
        number, offset = divmod(t, self.block_size)
        if self.block is None or self.block[0] != number:
            self.block = number, self.draw(self.seeds, (*self.path, number), self.shape)
        return self.block[1][:, offset]


def generators(seeds: Seeds | Sequence[np.random.Generator]) -> list[np.random.Generator]:
    """One generator a replica: those given, or new ones from seeds."""
    if not isinstance(seeds, int) and all(isinstance(seed, np.random.Generator) for seed in seeds):
        return list(seeds)  # type: ignore[arg-type]
    return [stream(seed) for seed in resolve_seeds(seeds)]  # type: ignore[arg-type]


def _tensor(rows: list[np.ndarray], dtype: torch.dtype | None = None) -> Tensor:
    return torch.tensor(np.stack(rows), dtype=dtype or torch.get_default_dtype())
