"""The newest transitions of each seed: a replay buffer, or a rollout where it is just full.

S seed, N environments of one seed, B minibatch, L steps of a sequence, C capacity, O and A components.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


def gather_rows(index: Tensor, *tables: Tensor) -> list[Tensor]:
    """Rows of each seed's own tables (S, C, ...) at indices (S, ...): (S, ..., ...) of each table."""
    first = torch.arange(len(index)).view(-1, *[1] * (index.dim() - 1)) * tables[0].shape[1]
    flat = (index + first).flatten()
    return [table.flatten(0, 1).index_select(0, flat).view(*index.shape, *table.shape[2:]) for table in tables]


class Transitions(NamedTuple):
    """What happened in B stretches of L consecutive steps of each seed."""

    obs: Tensor  # (S, B, L, O)
    action: Tensor  # (S, B, L, A)
    reward: Tensor  # (S, B, L)
    terminated: Tensor  # (S, B, L), 1 where the world ended: what follows is worth nothing
    done: Tensor  # (S, B, L), 1 where the episode ended, by the world or by a time limit
    next_obs: Tensor  # (S, B, L, O), what the action led to, never a reset frame


class Replay(nn.Module):
    """A ring of `capacity` transitions a seed. A module, so that it is part of an agent's `state_dict`.

    Args:
        dtype: of observations; bytes stay bytes.
    """

    obs: Tensor  # (S, C, O)
    next_obs: Tensor  # (S, C, O)
    numbers: Tensor  # (S, C, A + 3)

    def __init__(self, seeds: int, capacity: int, obs_size: int, action_size: int, dtype: torch.dtype | None = None):
        super().__init__()
        self.capacity, self.action_size = capacity, action_size
        for name in ("obs", "next_obs"):
            self.register_buffer(name, torch.zeros(seeds, capacity, obs_size, dtype=dtype))
        self.register_buffer("numbers", torch.zeros(seeds, capacity, action_size + 3))

    def add(
        self, t: int, obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, done: Tensor, next_obs: Tensor
    ):
        """Store the N transitions (S, N, ...) that follow the first t of each seed."""
        ends = torch.stack([reward, terminated.to(reward), done.to(reward)], -1)  # (S, N, 3)
        numbers = torch.cat([action.to(reward), ends], -1)  # (S, N, A + 3)
        start, count = t % self.capacity, obs.shape[1]
        whole = start + count <= self.capacity
        where = slice(start, start + count) if whole else torch.arange(t, t + count) % self.capacity
        for table, rows in (self.obs, obs), (self.next_obs, next_obs), (self.numbers, numbers):
            table[:, where] = rows

    def starts(self, t: int, length: int, num_envs: int) -> tuple[int, int]:
        """The oldest of the stretches of `length` steps among the first t transitions, and how many there are."""
        stored = min(t, self.capacity)
        return (t % self.capacity if t > self.capacity else 0), stored - (length - 1) * num_envs

    def sample(self, t: int, noise: Tensor, length: int = 1, num_envs: int = 1) -> Transitions:
        """B stretches of `length` steps of one environment, with replacement, from the first t of each seed.

        `noise` (S, B) is uniform in [0, 1).
        """
        oldest, count = self.starts(t, length, num_envs)
        return self.stretches(oldest + (noise * count).long(), length, num_envs)

    def stretches(self, start: Tensor, length: int = 1, num_envs: int = 1) -> Transitions:
        """The transitions in rows start, start + N, ... of each seed; `start` is (S, B)."""
        index = (start[..., None] + num_envs * torch.arange(length)) % self.capacity  # (S, B, L)
        return self.split(*gather_rows(index, *self.tables()))

    def all(self, num_envs: int) -> Transitions:
        """Every transition of a ring that is just full, as steps of its environments: fields (S, T, N, ...)."""
        return self.split(*(x.unflatten(1, (-1, num_envs)) for x in self.tables()))

    def tables(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.obs, self.numbers, self.next_obs

    def split(self, obs: Tensor, numbers: Tensor, next_obs: Tensor) -> Transitions:
        action, ends = numbers.split([self.action_size, 3], -1)
        return Transitions(obs, action, ends[..., 0], ends[..., 1], ends[..., 2], next_obs)
