"""Running statistics of observations and rewards, one set a seed.

S seed, N environments of one seed, B batch, F features.
"""

import torch
from torch import Tensor, nn


class RunningMeanStd(nn.Module):
    """Mean and variance of all numbers seen so far, (S, F), updated batch by batch (Chan, Golub and LeVeque 1979)."""

    count: Tensor
    mean: Tensor
    var: Tensor

    def __init__(self, seeds: int, features: int):
        super().__init__()
        self.register_buffer("count", torch.full((seeds, 1), 1e-4, dtype=torch.float64))  # SB3's start
        self.register_buffer("mean", torch.zeros(seeds, features, dtype=torch.float64))
        self.register_buffer("var", torch.ones(seeds, features, dtype=torch.float64))

    def update(self, x: Tensor) -> None:
        """Take in x (S, B, F)."""
        x, n = x.double(), x.shape[1]
        mean, var, total = x.mean(1), x.var(1, correction=0), self.count + n
        delta = mean - self.mean
        square = self.var * self.count + var * n + delta**2 * self.count * n / total
        self.mean += delta * n / total
        self.var.copy_(square / total)
        self.count.copy_(total)

    def standardize(self, x: Tensor) -> Tensor:
        """x (S, ..., F) in standard deviations from the mean, within +-10."""
        shape = len(x), *[1] * (x.dim() - 2), -1
        mean, std = self.mean.to(x).view(shape), (self.var + 1e-8).sqrt().to(x).view(shape)
        return ((x - mean) / std).clamp(-10, 10)


class RewardScaling(nn.Module):
    """Rewards divided by the running standard deviation of the discounted return, as in SB3's VecNormalize."""

    discounted: Tensor  # (S, N), the return of each episode so far

    def __init__(self, gamma: Tensor, num_envs: int):
        super().__init__()
        self.gamma = gamma  # (S, 1)
        self.returns = RunningMeanStd(len(gamma), 1)
        self.register_buffer("discounted", torch.zeros(len(gamma), num_envs))

    def forward(self, reward: Tensor, done: Tensor) -> Tensor:
        """Rewards (S, N), scaled and within +-10; an episode that is `done` begins a new return."""
        self.discounted = self.discounted * self.gamma + reward
        self.returns.update(self.discounted[..., None])
        self.discounted = self.discounted * (1 - done)
        return (reward / (self.returns.var + 1e-8).sqrt().to(reward)).clamp(-10, 10)
