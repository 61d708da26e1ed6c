"""Between worlds and heads: what an agent makes of its observations.

S seed, N environments of one seed, B batch, L steps of a sequence, O observation, F features.
"""

from functools import partial

import torch
from torch import Tensor, nn

from agents.config import MakeNetwork
from models import CNN, FastCNN, Memory, Recurrent


class Running(nn.Module):
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

    def standardise(self, x: Tensor) -> Tensor:
        """x (S, ..., F) in standard deviations from the mean, within +-10."""
        shape = len(x), *[1] * (x.dim() - 2), -1
        mean, std = self.mean.to(x).view(shape), (self.var + 1e-8).sqrt().to(x).view(shape)
        return ((x - mean) / std).clamp(-10, 10)


def is_encoder(network: MakeNetwork) -> bool:
    """Whether a network of the zoo is eyes or a memory, on which the heads' own networks stand."""
    made = network.func if isinstance(network, partial) else network
    return isinstance(made, type) and issubclass(made, Recurrent | CNN | FastCNN)


class Encoder(nn.Module):
    """What the heads see of observations: (S, B, O) -> (S, B, F), or of sequences (S, B, L, O) -> (S, B, L, F).

    Bytes become numbers in [0, 1], unless the agent normalises observations by running statistics. Then come, where it
    has them, eyes (a convolutional network) or a memory (a recurrent one). With a memory, observations are held as
    `Memory.rows`, each with the state before it: O is then larger than what the world shows. The features are then the
    memory's state and, beside it, what was seen last: a head need not learn to pass the present through the memory.
    """

    def __init__(self, network: nn.Module | None, obs_size: int, seeds: int, normalize: bool, bytes_: bool):
        super().__init__()
        self.memory = Memory(network) if isinstance(network, Recurrent) else None
        self.eyes = None if self.memory else network
        self.statistics: nn.Module | None = Running(seeds, obs_size) if normalize else None
        self.obs_size, self.scale = obs_size, 1 / 255 if bytes_ else 1.0
        made = self.memory or self.eyes
        self.state_size = 0 if self.memory is None else self.memory.out_features  # K
        self.out_features: int = obs_size if made is None else made.out_features  # type: ignore[assignment]
        self.row_size = obs_size
        if self.memory is not None:
            self.out_features += obs_size
            self.row_size += 1 + self.state_size

    def forward(self, obs: Tensor) -> Tensor:
        if self.scale != 1 or self.statistics:
            seen = obs[..., : self.obs_size].to(torch.get_default_dtype())
            seen = self.statistics.standardise(seen) if isinstance(self.statistics, Running) else seen * self.scale
            obs = seen if self.memory is None else torch.cat([seen, obs[..., self.obs_size :]], -1)
        if self.memory is not None:
            return torch.cat([self.memory(obs), obs[..., : self.obs_size]], -1)
        if self.eyes is None:
            return obs
        return self.eyes(obs.flatten(1, -2)).unflatten(1, obs.shape[1:-1])

    @property
    def learns(self) -> bool:
        """Whether there are eyes or a memory."""
        return next(self.parameters(), None) is not None

    def after(self, obs: Tensor, next_obs: Tensor) -> Tensor:
        """Features (S, B, L, F) of what each step of a sequence led to.

        A memory comes there from the steps before: the states in `next_obs` are an older network's.
        """
        if self.memory is None:
            return self(next_obs)
        state, seen = self(obs)[..., : self.state_size], next_obs[..., : self.obs_size]
        return self(self.memory.rows(seen, 0.0, state).flatten(1, 2)).unflatten(1, state.shape[1:3])

    def rows(self, obs: Tensor, first: Tensor | float, features: Tensor | None) -> Tensor:
        """Observations of a world (S, N, ...) as this encoder takes them.

        Args:
            first: (S, N), 1 where an episode begins.
            features: (S, N, F) of the observations before; None where all begin.
        """
        if self.memory is None:
            return obs
        if features is None:
            features = self.memory.body.hidden_weight.new_zeros(*obs.shape[:2], self.state_size)
        return self.memory.rows(obs, first, features[..., : self.state_size])
