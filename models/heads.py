"""Heads: what turns a network's features into values or into a distribution over actions.

S seed, B batch (any number of axes), A action components or discrete actions, C choices made at once.

A policy maps observations to a distribution; the distribution samples from noise that it is handed, so that the
caller can draw the noise of many steps at once and each seed has its own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import streams
from models.layers import Linear


@dataclass(frozen=True)
class Categorical:
    """C independent choices given by unnormalised log-probabilities, `logits` (S, B, C, n); actions are (S, B, C)."""

    logits: Tensor

    @property
    def mode(self) -> Tensor:
        return self.logits.argmax(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """The Gumbel-max trick: `noise` (S, B, C, n) is standard Gumbel."""
        return (self.logits + noise).argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.logits.log_softmax(-1).gather(-1, action[..., None].long()).squeeze(-1).sum(-1)

    @property
    def entropy(self) -> Tensor:
        log_prob = self.logits.log_softmax(-1)
        return -(log_prob.exp() * log_prob).sum((-2, -1))


@dataclass(frozen=True)
class EpsilonGreedy:
    """The best action by its value, or with probability `epsilon` any; `values` (S, B, A), `epsilon` (S, 1)."""

    values: Tensor
    epsilon: Tensor

    @property
    def mode(self) -> Tensor:
        return self.values.argmax(-1, keepdim=True)

    def sample(self, noise: Tensor) -> Tensor:
        """`noise` (S, B, 2) is uniform in [0, 1): explore or not, and where to; the action is (S, B, 1)."""
        explore, where = noise.split(1, -1)
        return torch.where(explore < self.epsilon[..., None], (where * self.values.shape[-1]).long(), self.mode)


@dataclass(frozen=True)
class Deterministic:
    """One action in [-1, 1], and around it normal noise of standard deviation `std` to explore; `mode` (S, B, A)."""

    mode: Tensor
    std: float

    def sample(self, noise: Tensor) -> Tensor:
        """`noise` (S, B, A) is standard normal."""
        return (self.mode + self.std * noise).clamp(-1, 1)


@dataclass(frozen=True)
class Gaussian:
    """Independent normal components; `mean` and `log_std` (S, B, A)."""

    mean: Tensor
    log_std: Tensor

    @property
    def mode(self) -> Tensor:
        return self.mean

    def sample(self, noise: Tensor) -> Tensor:
        """`noise` (S, B, A) is standard normal."""
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, action: Tensor) -> Tensor:
        standard = (action - self.mean) * (-self.log_std).exp()
        return -(0.5 * standard**2 + self.log_std + 0.5 * math.log(2 * math.pi)).sum(-1)

    @property
    def entropy(self) -> Tensor:
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1).expand(self.mean.shape[:-1])


@dataclass(frozen=True)
class SquashedGaussian:
    """tanh of a normal variable, so that actions lie in [-1, 1] (arXiv:1801.01290, appendix C)."""

    mean: Tensor
    log_std: Tensor

    @property
    def mode(self) -> Tensor:
        return self.mean.tanh()

    def sample(self, noise: Tensor) -> Tensor:
        return Gaussian(self.mean, self.log_std).sample(noise).tanh()

    def sample_with_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """An action (S, B, A) and its log-probability (S, B), both differentiable; `noise` is standard normal."""
        gaussian = Gaussian(self.mean, self.log_std)
        raw = gaussian.sample(noise)
        # log(1 - tanh(x)^2), written so that it neither overflows nor cancels.
        log_slope = 2 * (math.log(2) - raw - F.softplus(-2 * raw))
        return raw.tanh(), gaussian.log_prob(raw) - log_slope.sum(-1)


class Value(nn.Module):
    """Values of a network's features: (S, B, O) -> (S, B), or (S, B, A) with `out_features` = A."""

    def __init__(self, body: nn.Module, out_features: int | None = None, *, seeds):
        super().__init__()
        self.body, self.squeeze = body, out_features is None
        self.head = Linear(body.out_features, out_features or 1, seeds=seeds)  # type: ignore[arg-type]

    def forward(self, obs: Tensor) -> Tensor:
        value = self.head(self.body(obs))
        return value.squeeze(-1) if self.squeeze else value


class DuelingValue(nn.Module):
    """Q = V + A - mean A (arXiv:1511.06581, eq. 9), both linear in the features: (S, B, O) -> (S, B, A)."""

    def __init__(self, body: nn.Module, out_features: int, *, seeds):
        super().__init__()
        self.body = body
        self.head = Linear(body.out_features, 1 + out_features, seeds=seeds)  # type: ignore[arg-type]

    def forward(self, obs: Tensor) -> Tensor:
        both = self.head(self.body(obs))  # (S, B, 1 + A)
        value, advantage = both[..., :1], both[..., 1:]
        return value + advantage - advantage.mean(-1, keepdim=True)


class Policy(nn.Module):
    """Observations (S, B, O) to a distribution over actions, and the noise that it samples from."""

    __call__: Callable[[Tensor], Any]

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        """What `sample` needs for a batch of `shape`: (S, *shape, numbers of one action)."""
        raise NotImplementedError


class CategoricalPolicy(Policy):
    """Distributions over discrete actions: `num_actions` of each of C choices that are made at once.

    Where one choice has fewer actions than another, the missing ones have probability 0.
    """

    def __init__(self, body: nn.Module, num_actions: Sequence[int], *, seeds):
        super().__init__()
        self.shape = len(num_actions), max(num_actions)  # C, n
        self.logits = Value(body, math.prod(self.shape), seeds=seeds)
        # (C, n): -1e9 where there is no such action; finite, so that 0 log 0 stays 0.
        absent = torch.arange(max(num_actions)) >= torch.tensor(num_actions)[:, None]
        self.mask = absent * -1e9 if len(set(num_actions)) > 1 else None

    def forward(self, obs: Tensor) -> Categorical:
        logits = self.logits(obs).unflatten(-1, self.shape)
        return Categorical(logits if self.mask is None else logits + self.mask)

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.gumbel(seeds, path, (*shape, *self.shape))


class EpsilonGreedyPolicy(Policy):
    """Greedy in the values of `num_actions` actions, but for a share `epsilon` (S, 1) of random actions."""

    epsilon: Tensor

    def __init__(self, body: nn.Module, num_actions: int, *, dueling: bool = False, seeds):
        super().__init__()
        self.values = (DuelingValue if dueling else Value)(body, num_actions, seeds=seeds)
        self.register_buffer("epsilon", torch.zeros(len(self.values.head.weight), 1))

    def forward(self, obs: Tensor) -> EpsilonGreedy:
        return EpsilonGreedy(self.values(obs), self.epsilon)  # type: ignore[arg-type]

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.uniform(seeds, path, (*shape, 2))


class DeterministicPolicy(Policy):
    """One action for each observation, in [-1, 1], with normal noise of standard deviation `std` to explore."""

    def __init__(self, body: nn.Module, action_size: int, std: float, *, seeds):
        super().__init__()
        self.action_size, self.std = action_size, std
        self.raw = Value(body, action_size, seeds=seeds)

    def forward(self, obs: Tensor) -> Deterministic:
        return Deterministic(self.raw(obs).tanh(), self.std)

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.normal(seeds, path, (*shape, self.action_size))


class GaussianPolicy(Policy):
    """Normal actions whose standard deviation is a parameter of its own, `log_std` (S, A), not of the observation."""

    def __init__(self, body: nn.Module, action_size: int, *, seeds):
        super().__init__()
        self.action_size = action_size
        self.mean = Value(body, action_size, seeds=seeds)
        self.log_std = nn.Parameter(torch.zeros(len(self.mean.head.weight), action_size))

    def forward(self, obs: Tensor) -> Gaussian:
        mean = self.mean(obs)  # (S, B, A)
        return Gaussian(mean, self.log_std.reshape(len(mean), *[1] * (mean.dim() - 2), -1))

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.normal(seeds, path, (*shape, self.action_size))


class SquashedGaussianPolicy(Policy):
    """tanh-squashed normal actions; mean and standard deviation both depend on the observation."""

    LOG_STD_RANGE = (-20.0, 2.0)  # the clamp of the paper's code: exp of it neither vanishes nor explodes

    def __init__(self, body: nn.Module, action_size: int, *, seeds):
        super().__init__()
        self.action_size = action_size
        self.mean_and_log_std = Value(body, 2 * action_size, seeds=seeds)

    def forward(self, obs: Tensor) -> SquashedGaussian:
        mean, log_std = self.mean_and_log_std(obs).chunk(2, -1)
        return SquashedGaussian(mean, log_std.clamp(*self.LOG_STD_RANGE))

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.normal(seeds, path, (*shape, self.action_size))
