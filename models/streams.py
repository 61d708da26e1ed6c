"""Random streams: one for each seed and purpose, a pure function of the two.

Every random number of the project comes from a NumPy generator seeded by `SeedSequence(seed, spawn_key=path)`. The
path, a few whole numbers, says the purpose. Neighboring seeds therefore share nothing, seed 3 among ten gets the same
numbers as seed 3 alone, and all devices get the same numbers. A stream is never saved: seed and path give it again.

S seed.
"""

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from balancier import is_number, shown, whole

Seeds = int | Sequence[int]
SEED, MOST_SEEDS = whole(0, 2**64 - 1), 100_000


def resolve_seeds(seeds: Seeds) -> tuple[int, ...]:
    """Seeds from their number (10 is 0, 1, ..., 9) or from a list.

    Raises ValueError unless there is at least one, none is negative and none occurs twice.
    """
    listed = seeds.tolist() if isinstance(seeds, np.ndarray | Tensor) else seeds
    if is_number(listed, Integral):
        listed = range(min(listed, MOST_SEEDS + 1))  # type: ignore[type-var]
    if not isinstance(listed, list | tuple | range) or not all(map(SEED.holds, listed)):
        listed = []
    if len(set(listed)) < len(listed) or not 1 <= len(listed) <= MOST_SEEDS:
        expected = f"1 to {MOST_SEEDS:,}, or a list of so many different whole numbers from 0 on"
        raise ValueError(f"seeds: found {shown(seeds)}, expected {expected}")
    return tuple(int(seed) for seed in listed)


def stream(seed: int, *path: int) -> np.random.Generator:
    """The generator of this seed and path."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=path))


def stream_seed(seed: int, *path: int) -> int:
    """A whole number below 2**64 from this seed and path, to seed software that takes one number."""
    return int(np.random.SeedSequence(seed, spawn_key=path).generate_state(1, np.uint64)[0])


def normal(seeds: Iterable[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal numbers (S, *shape), each seed's from its own stream."""
    return stack([stream(seed, *path).standard_normal(shape) for seed in seeds])


def uniform(seeds: Iterable[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1), float64, (S, *shape), each seed's from its own stream."""
    return stack([stream(seed, *path).random(shape) for seed in seeds], torch.float64)


def gumbel(seeds: Iterable[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard Gumbel numbers (S, *shape), each seed's from its own stream."""
    return stack([stream(seed, *path).gumbel(size=shape) for seed in seeds])


def permutations(seeds: Iterable[int], path: Sequence[int], count: int, length: int) -> Tensor:
    """`count` random orders of 0 .. length - 1, (S, count, length) int64, each seed's from its own stream."""
    streams = (stream(seed, *path) for seed in seeds)
    return stack([np.stack([x.permutation(length) for _ in range(count)]) for x in streams], torch.int64)


class Noise:
    """The random numbers of step t = 0, 1, 2, ..., drawn many steps at once.

    `sample(seeds, path, shape) -> (S, *shape)` is one of the functions above. The index of a block is part of its path,
    so the numbers of step t depend on t alone: a resumed run gets the same ones, and nothing is saved.
    """

    block_size = 64  # steps that are drawn at once

    def __init__(self, sample: Callable[..., Tensor], seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]):
        self.sample, self.seeds, self.path, self.shape = sample, seeds, tuple(path), (self.block_size, *shape)
        self.block: tuple[int, Tensor] | None = None

    def __call__(self, t: int) -> Tensor:
        """The numbers of step t, (S, *shape)."""
        index, offset = divmod(t, self.block_size)
        if self.block is None or self.block[0] != index:
            self.block = index, self.sample(self.seeds, (*self.path, index), self.shape)
        return self.block[1][:, offset]


def generators(seeds: Seeds | Sequence[np.random.Generator]) -> list[np.random.Generator]:
    """One generator for each replica: the given ones, or new ones from seeds."""
    if isinstance(seeds, list | tuple) and seeds and all(isinstance(seed, np.random.Generator) for seed in seeds):
        return list(seeds)  # type: ignore[return-value]
    return [stream(seed) for seed in resolve_seeds(seeds)]  # type: ignore[arg-type]


def stack(arrays: list[np.ndarray], dtype: torch.dtype | None = None) -> Tensor:
    """One array of each seed as a tensor (S, ...), of the default type if none is given."""
    return torch.tensor(np.stack(arrays), dtype=dtype or torch.get_default_dtype())
