"""Which replicas have finite numbers, and copies of single replicas.

S seed. The first axis of every tensor is S, or a multiple of it: twins are 2 S replicas, one set after the other.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


class DivergenceError(RuntimeError):
    """No seed goes on: updates made the numbers of each of them infinite or NaN."""


def finite_seeds(tensors: Iterable[Tensor], count: int) -> Tensor:
    """Whether all numbers of each replica are finite, (S,) bool; `count` is S."""
    first, *others = tensors
    total = torch.zeros(count, dtype=torch.float64, device=first.device)
    for tensor in (first, *others):
        total += tensor.detach().reshape(-1, count, tensor.numel() // len(tensor)).sum((0, 2))
    return total.isfinite()


def copy_seeds(sources: Iterable[Tensor], targets: Iterable[Tensor], seeds: Tensor) -> None:
    """Copy the replicas `seeds` (S,) bool of each source into its target."""
    whole, some = bool(seeds.all()), bool(seeds.any())
    for source, target in zip(sources, targets, strict=True):
        if whole:
            target.copy_(source)
        elif some:
            target.unflatten(0, (-1, len(seeds)))[:, seeds] = source.unflatten(0, (-1, len(seeds)))[:, seeds]
