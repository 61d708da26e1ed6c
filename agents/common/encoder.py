"""Between worlds and heads: what an agent makes of its observations.

S seed, N environments of one seed, B batch, L steps of a sequence, O observation, F features.
"""

from functools import partial

import torch
from torch import Tensor, nn

from agents.common.config import MakeNetwork
from agents.common.normalization import RunningMeanStd
from models import CNN, FastCNN, Recurrent, RecurrentEncoder


def is_encoder(network: MakeNetwork) -> bool:
    """Whether a network of the zoo is eyes or a memory, on which the heads' own networks stand."""
    made = network.func if isinstance(network, partial) else network
    return isinstance(made, type) and issubclass(made, Recurrent | CNN | FastCNN)


class Encoder(nn.Module):
    """What the heads see of observations: (S, B, O) -> (S, B, F), or of sequences (S, B, L, O) -> (S, B, L, F).

    Bytes become numbers in [0, 1], unless the agent normalizes observations by running statistics. Then come, where it
    has them, eyes (a convolutional network) or a memory (a recurrent one). With a memory, observations are held as
    `RecurrentEncoder.pack`, each with the state before it: O is then larger than the observation. The features are the
    memory's state and, beside it, what was seen last: a head need not learn to pass the present through the memory.
    """

    def __init__(self, network: nn.Module | None, obs_size: int, seeds: int, normalize: bool, bytes_: bool):
        super().__init__()
        self.recurrent = RecurrentEncoder(network) if isinstance(network, Recurrent) else None
        self.cnn = None if self.recurrent else network
        self.statistics: nn.Module | None = RunningMeanStd(seeds, obs_size) if normalize else None
        self.obs_size, self.scale = obs_size, 1 / 255 if bytes_ else 1.0
        made = self.recurrent or self.cnn
        self.state_size = 0 if self.recurrent is None else self.recurrent.out_features  # K
        self.out_features: int = obs_size if made is None else made.out_features  # type: ignore[assignment]
        self.packed_size = obs_size
        if self.recurrent is not None:
            self.out_features += obs_size
            self.packed_size += 1 + self.state_size

    def forward(self, obs: Tensor) -> Tensor:
        if self.scale != 1 or self.statistics:
            seen = obs[..., : self.obs_size].to(torch.get_default_dtype())
            seen = (
                self.statistics.standardize(seen) if isinstance(self.statistics, RunningMeanStd) else seen * self.scale
            )
            obs = seen if self.recurrent is None else torch.cat([seen, obs[..., self.obs_size :]], -1)
        if self.recurrent is not None:
            return torch.cat([self.recurrent(obs), obs[..., : self.obs_size]], -1)
        if self.cnn is None:
            return obs
        return self.cnn(obs.flatten(1, -2)).unflatten(1, obs.shape[1:-1])

    @property
    def learns(self) -> bool:
        """Whether there are eyes or a memory."""
        return next(self.parameters(), None) is not None

    def after(self, obs: Tensor, next_obs: Tensor) -> Tensor:
        """Features (S, B, L, F) of what each step of a sequence led to.

        A memory comes there from the steps before: the states in `next_obs` are an older network's.
        """
        if self.recurrent is None:
            return self(next_obs)
        state, seen = self(obs)[..., : self.state_size], next_obs[..., : self.obs_size]
        return self(self.recurrent.pack(seen, 0.0, state).flatten(1, 2)).unflatten(1, state.shape[1:3])

    def pack(self, obs: Tensor, first: Tensor | float, features: Tensor | None) -> Tensor:
        """Observations of a world (S, N, ...) as this encoder takes them.

        Args:
            first: (S, N), 1 where an episode begins.
            features: (S, N, F) of the observations before; None where all begin.
        """
        if self.recurrent is None:
            return obs
        if features is None:
            features = self.recurrent.trunk.hidden_weight.new_zeros(*obs.shape[:2], self.state_size)
        return self.recurrent.pack(obs, first, features[..., : self.state_size])
