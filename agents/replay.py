"""The newest transitions of each seed: a replay buffer, or a rollout where it is just full.

S seed, N environments of one seed, B minibatch, C capacity, F numbers of one transition, O and A components.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


def gather_rows(rows: Tensor, index: Tensor) -> Tensor:
    """Rows of each seed's own table: (S, C, F) and indices (S, B) -> (S, B, F)."""
    first = torch.arange(len(rows))[:, None] * rows.shape[1]
    return rows.flatten(0, 1).index_select(0, (index + first).flatten()).unflatten(0, index.shape)


class Transitions(NamedTuple):
    """What happened in B steps of each seed."""

    obs: Tensor  # (S, B, O)
    action: Tensor  # (S, B, A)
    reward: Tensor  # (S, B)
    terminated: Tensor  # (S, B), 1 where the world ended: what follows is worth nothing
    done: Tensor  # (S, B), 1 where the episode ended, by the world or by a time limit
    next_obs: Tensor  # (S, B, O), what the action led to, never a reset frame


class Replay(nn.Module):
    """A ring of `capacity` transitions a seed.

    A transition is one row of numbers, so that a minibatch is one gather. A module, so that it is part of an agent's
    `state_dict`.
    """

    rows: Tensor  # (S, C, F)

    def __init__(self, seeds: int, capacity: int, obs_size: int, action_size: int):
        super().__init__()
        self.sizes = (obs_size, action_size, 1, 1, 1, obs_size)
        self.register_buffer("rows", torch.zeros(seeds, capacity, sum(self.sizes)))

    def add(
        self, t: int, obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor, done: Tensor, next_obs: Tensor
    ):
        """Store the N transitions (S, N, ...) that follow the first t of each seed."""
        numbers = torch.stack([reward, terminated.to(reward), done.to(reward)], -1)  # (S, N, 3)
        rows = torch.cat([obs, action, numbers, next_obs], -1)  # (S, N, F)
        capacity = self.rows.shape[1]
        if (start := t % capacity) + rows.shape[1] <= capacity:
            self.rows[:, start : start + rows.shape[1]] = rows
        else:
            self.rows[:, torch.arange(t, t + rows.shape[1]) % capacity] = rows

    def sample(self, t: int, noise: Tensor) -> Transitions:
        """B of the first t transitions of each seed, with replacement; `noise` (S, B) is uniform in [0, 1)."""
        index = (noise * min(t, self.rows.shape[1])).long()  # (S, B)
        return self.split(gather_rows(self.rows, index))

    def sample_windows(self, t: int, noise: Tensor, length: int, num_envs: int) -> Transitions:
        """Likewise B stretches of `length` consecutive steps of one environment; every field is (S, B, length, ...)."""
        capacity = self.rows.shape[1]
        oldest, stored = (t % capacity, capacity) if t > capacity else (0, t)
        start = oldest + (noise * (stored - (length - 1) * num_envs)).long()  # (S, B)
        index = (start[..., None] + num_envs * torch.arange(length)) % capacity  # (S, B, length)
        return self.split(gather_rows(self.rows, index.flatten(1)).unflatten(1, index.shape[1:]))

    def split(self, rows: Tensor) -> Transitions:
        """Name the parts of rows (S, B, F)."""
        obs, action, reward, terminated, done, next_obs = rows.split(self.sizes, -1)
        return Transitions(obs, action, reward.squeeze(-1), terminated.squeeze(-1), done.squeeze(-1), next_obs)
