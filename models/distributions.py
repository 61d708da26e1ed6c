"""Distributions over actions. The caller gives `sample` its noise, so that every seed has its own.

S seed, B batch (any number of axes), A action components or discrete actions, C choices made at once.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Categorical:
    """C independent choices given by unnormalized log-probabilities, `logits` (S, B, C, n); actions are (S, B, C)."""

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
    """The action of highest value, or with probability `epsilon` a random one; `values` (S, B, A), `epsilon` (S, 1)."""

    values: Tensor
    epsilon: Tensor

    @property
    def mode(self) -> Tensor:
        return self.values.argmax(-1, keepdim=True)

    def sample(self, noise: Tensor) -> Tensor:
        """`noise` (S, B, 2) is uniform in [0, 1): one for whether to explore, one for the random action (S, B, 1)."""
        explore, choice = noise.split(1, -1)
        return torch.where(explore < self.epsilon[..., None], (choice * self.values.shape[-1]).long(), self.mode)


@dataclass(frozen=True)
class Deterministic:
    """One action in [-1, 1], `mode` (S, B, A), with normal noise of standard deviation `std` to explore."""

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
        return -(0.5 * ((action - self.mean) * (-self.log_std).exp()) ** 2 + self.log_std + HALF_LOG_2PI).sum(-1)

    @property
    def entropy(self) -> Tensor:
        return (self.log_std + HALF_LOG_2PI + 0.5).sum(-1).expand(self.mean.shape[:-1])


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
        raw = Gaussian(self.mean, self.log_std).sample(noise)
        # The noise is what `Gaussian.log_prob` would find again: (raw - mean) / std.
        log_prob = -(0.5 * noise**2 + HALF_LOG_2PI) - self.log_std
        # log(1 - tanh(x)^2), in a form without overflow or cancellation.
        log_slope = 2 * (math.log(2) - raw - F.softplus(-2 * raw))
        return raw.tanh(), (log_prob - log_slope).sum(-1)
