"""Heads: modules that turn a network's features into values or into a distribution over actions (a policy).

S seed, B batch (any number of axes), A action components or discrete actions, C choices made at once.

A policy maps observations to one of the distributions of `models.distributions`. The caller draws the noise that the
distribution samples from (`Policy.noise`): for many steps at once, and for each seed from its own stream.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from balancier import SWITCH, Bound, check, number, shown
from models import streams
from models.distributions import Categorical, Deterministic, EpsilonGreedy, Gaussian, SquashedGaussian
from models.layers import WIDTH, WIDTHS, Linear


def check_trunk(trunk: Any) -> None:
    """Raise ValueError for what is no network with `out_features`."""
    if not isinstance(trunk, nn.Module) or not WIDTH.holds(getattr(trunk, "out_features", None)):
        raise ValueError(f"trunk: found {shown(trunk)}, expected a network with out_features")


class Value(nn.Module):
    """Values of a network's features: (S, B, O) -> (S, B), or (S, B, A) with `out_features` = A."""

    def __init__(self, trunk: nn.Module, out_features: int | None = None, *, seeds):
        super().__init__()
        check_trunk(trunk)
        self.trunk, self.squeeze = trunk, out_features is None
        self.head = Linear(trunk.out_features, 1 if self.squeeze else out_features, seeds=seeds)  # type: ignore[arg-type]

    def forward(self, obs: Tensor) -> Tensor:
        value = self.head(self.trunk(obs))
        return value.squeeze(-1) if self.squeeze else value


class DuelingValue(nn.Module):
    """Q = V + A - mean A (arXiv:1511.06581, eq. 9), both linear in the features: (S, B, O) -> (S, B, A)."""

    def __init__(self, trunk: nn.Module, out_features: int, *, seeds):
        super().__init__()
        check_trunk(trunk)
        check(out_features=(out_features, WIDTH))
        self.trunk = trunk
        self.head = Linear(trunk.out_features, 1 + out_features, seeds=seeds)  # type: ignore[arg-type]

    def forward(self, obs: Tensor) -> Tensor:
        output = self.head(self.trunk(obs))  # (S, B, 1 + A)
        value, advantage = output[..., :1], output[..., 1:]
        return value + advantage - advantage.mean(-1, keepdim=True)


class Policy(nn.Module):
    """Maps observations (S, B, O) to a distribution over actions, and draws the noise that it samples from."""

    __call__: Callable[[Tensor], Any]

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        """The noise that `sample` needs for a batch of `shape`: (S, *shape, numbers for one action)."""
        raise NotImplementedError


CHOICES = Bound(lambda x: WIDTHS.holds(x) and len(x) > 0, "the number of actions of each choice, as [2]")


class CategoricalPolicy(Policy):
    """Distributions over discrete actions: `num_actions` of each of C choices that are made at once.

    Where one choice has fewer actions than another, the missing ones have probability 0.
    """

    def __init__(self, trunk: nn.Module, num_actions: Sequence[int], *, seeds):
        super().__init__()
        check(num_actions=(num_actions, CHOICES))
        self.shape = len(num_actions), max(num_actions)  # C, n
        self.logits = Value(trunk, math.prod(self.shape), seeds=seeds)
        # (C, n), where there is no such action; its logit is finite, so that 0 log 0 stays 0.
        absent = torch.arange(max(num_actions)) >= torch.tensor(num_actions)[:, None]
        self.absent = absent if len(set(num_actions)) > 1 else None

    def forward(self, obs: Tensor) -> Categorical:
        logits = self.logits(obs).unflatten(-1, self.shape)
        return Categorical(logits if self.absent is None else logits.masked_fill(self.absent, -1e9))

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.gumbel(seeds, path, (*shape, *self.shape))


class EpsilonGreedyPolicy(Policy):
    """The action of highest value, except for a share `epsilon` (S, 1) of random actions."""

    epsilon: Tensor

    def __init__(self, trunk: nn.Module, num_actions: int, *, dueling: bool = False, seeds):
        super().__init__()
        check(num_actions=(num_actions, WIDTH), dueling=(dueling, SWITCH))
        self.values = (DuelingValue if dueling else Value)(trunk, num_actions, seeds=seeds)
        self.register_buffer("epsilon", torch.zeros(len(self.values.head.weight), 1))

    def forward(self, obs: Tensor) -> EpsilonGreedy:
        return EpsilonGreedy(self.values(obs), self.epsilon)  # type: ignore[arg-type]

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.uniform(seeds, path, (*shape, 2))


class DeterministicPolicy(Policy):
    """One action for each observation, in [-1, 1], with normal noise of standard deviation `std` to explore."""

    def __init__(self, trunk: nn.Module, action_size: int, std: float, *, seeds):
        super().__init__()
        check(action_size=(action_size, WIDTH), std=(std, number(0)))
        self.action_size, self.std = action_size, std
        self.raw = Value(trunk, action_size, seeds=seeds)

    def forward(self, obs: Tensor) -> Deterministic:
        return Deterministic(self.raw(obs).tanh(), self.std)

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.normal(seeds, path, (*shape, self.action_size))


class GaussianPolicy(Policy):
    """Normal actions; the standard deviation is a parameter, `log_std` (S, A), not a function of the observation."""

    def __init__(self, trunk: nn.Module, action_size: int, log_std_init: float = 0.0, *, seeds):
        super().__init__()
        check(action_size=(action_size, WIDTH), log_std_init=(log_std_init, number(-20, 20)))
        self.action_size = action_size
        self.mean = Value(trunk, action_size, seeds=seeds)
        self.log_std = nn.Parameter(torch.full((len(self.mean.head.weight), action_size), float(log_std_init)))

    def forward(self, obs: Tensor) -> Gaussian:
        mean = self.mean(obs)  # (S, B, A)
        return Gaussian(mean, self.log_std.reshape(len(mean), *[1] * (mean.dim() - 2), -1))

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.normal(seeds, path, (*shape, self.action_size))


class SquashedGaussianPolicy(Policy):
    """tanh-squashed normal actions; mean and standard deviation both depend on the observation."""

    LOG_STD_RANGE = (-20.0, 2.0)  # the clamp of the paper's code

    def __init__(self, trunk: nn.Module, action_size: int, *, seeds):
        super().__init__()
        check(action_size=(action_size, WIDTH))
        self.action_size = action_size
        self.mean_and_log_std = Value(trunk, 2 * action_size, seeds=seeds)

    def forward(self, obs: Tensor) -> SquashedGaussian:
        mean, log_std = self.mean_and_log_std(obs).chunk(2, -1)
        return SquashedGaussian(mean, log_std.clamp(*self.LOG_STD_RANGE))

    def noise(self, seeds: Sequence[int], path: Sequence[int], shape: Sequence[int]) -> Tensor:
        return streams.normal(seeds, path, (*shape, self.action_size))
