"""The newest transitions of each seed: a replay buffer, or a rollout where it is just full.

S seed, N environments of one seed, B minibatch, L steps of a sequence, C capacity, O and A components.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class Transitions(NamedTuple):
    """Steps of each seed; the axes "..." are (N,) for one step, (T, N) for a rollout, (B, L) for samples."""

    obs: Tensor  # (S, ..., O)
    action: Tensor  # (S, ..., A)
    reward: Tensor  # (S, ...)
    discount: Tensor  # (S, ...), gamma, or 0 where the task ended: the value after it does not count
    done: Tensor  # (S, ...), 1 where the episode ended, by the task or by a time limit
    next_obs: Tensor  # (S, ..., O), where the action led to, never a reset frame


def gather_samples(index: Tensor, *tables: Tensor) -> list[Tensor]:
    """Samples of each seed's own tables (S, C, ...) at indices (S, ...): (S, ..., ...) of each table."""
    first = torch.arange(len(index)).view(-1, *[1] * (index.dim() - 1)) * tables[0].shape[1]
    flat = (index + first).flatten()
    return [table.flatten(0, 1).index_select(0, flat).view(*index.shape, *table.shape[2:]) for table in tables]


class Replay(nn.Module):
    """A ring of `capacity` transitions a seed. A module, so that it is part of an agent's `state_dict`.

    On the CPU, memory is taken as the ring fills up.

    Args:
        dtype: of observations; bytes stay bytes.
    """

    obs: Tensor  # (S, C, O)
    next_obs: Tensor  # (S, C, O)
    numbers: Tensor  # (S, C, A + 3)

    def __init__(self, seeds: int, capacity: int, obs_size: int, action_size: int, dtype: torch.dtype):
        super().__init__()
        self.capacity, self.action_size, numbers = capacity, action_size, (action_size + 3, torch.get_default_dtype())
        for name, size, kind in ("obs", obs_size, dtype), ("next_obs", obs_size, dtype), ("numbers", *numbers):
            zeros = np.zeros((seeds, capacity, size), str(kind).removeprefix("torch."))  # memory comes at first writing
            self.register_buffer(name, torch.from_numpy(zeros).to(torch.get_default_device()))

    def add(self, t: int, new: Transitions) -> None:
        """Store the N transitions (S, N, ...) that follow the first t of each seed."""
        numbers = torch.cat([new.action.to(new.reward), torch.stack(new[2:5], -1)], -1)  # (S, N, A + 3)
        start, end = t % self.capacity, t % self.capacity + new.reward.shape[1]
        where = slice(start, end) if end <= self.capacity else torch.arange(start, end) % self.capacity
        self.obs[:, where], self.next_obs[:, where], self.numbers[:, where] = new.obs, new.next_obs, numbers

    def end_episodes(self, t: int, ended: Tensor) -> None:
        """The episodes of the environments `ended` (S, N) bool are cut off, as by a time limit, after the first t."""
        num_envs = ended.shape[1]
        if t:
            last = (torch.arange(t - num_envs, t) % self.capacity).expand(ended.shape)
            self.numbers[ended.nonzero()[:, 0], last[ended], -1] = 1.0

    def num_sequences(self, t: int, length: int, num_envs: int) -> tuple[int, int]:
        """The oldest sequence of `length` steps of one environment among the first t transitions, and their number."""
        return (t % self.capacity if t > self.capacity else 0), min(t, self.capacity) - (length - 1) * num_envs

    def sequences(self, start: Tensor, length: int = 1, num_envs: int = 1) -> Transitions:
        """The transitions at indices start, start + N, ... of each seed, (S, B, L, ...); `start` is (S, B)."""
        index = (start[..., None] + num_envs * torch.arange(length)) % self.capacity  # (S, B, L)
        return self.split(*gather_samples(index, self.obs, self.numbers, self.next_obs))

    def rollout(self, num_envs: int) -> Transitions:
        """Every transition of a ring that is just full, as steps of its environments: fields (S, T, N, ...)."""
        return self.split(*(x.unflatten(1, (-1, num_envs)) for x in (self.obs, self.numbers, self.next_obs)))

    def split(self, obs: Tensor, numbers: Tensor, next_obs: Tensor) -> Transitions:
        action, numbers = numbers.split([self.action_size, 3], -1)
        return Transitions(obs, action, *numbers.unbind(-1), next_obs)  # type: ignore
