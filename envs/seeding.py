"""Which seed each row of a batch gets."""

from collections.abc import Sequence

import numpy as np


def row_seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """One seed a row, None where a row has no say: from nothing, from the first row's seed, or given one by one.

    Raises ValueError unless there are as many as rows.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        return [int(seed) + row for row in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(f"seed: found {len(seed)} seeds, expected {num_envs}, one for each environment")
    return list(seed)
