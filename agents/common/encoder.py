"""Between environments and heads: the features that an agent makes of its observations.

S seed, N environments of one seed, B batch, L steps of a sequence, n steps of reward, O observation, F features,
K numbers of a recurrent network's state.
"""

from functools import partial

import torch
from torch import Tensor, nn

from agents.common.config import MakeNetwork
from agents.common.normalization import RunningMeanStd
from models import CNN, FastCNN, Recurrent, RecurrentEncoder


def is_encoder(network: MakeNetwork) -> bool:
    """Whether a network of the zoo is a CNN or a recurrent network, which all heads share."""
    constructor = network.func if isinstance(network, partial) else network
    return isinstance(constructor, type) and issubclass(constructor, Recurrent | CNN | FastCNN)


class Encoder(nn.Module):
    """Features of observations, (S, B, O) -> (S, B, F), or of sequences, (S, B, L, O) -> (S, B, L, F).

    Bytes become numbers in [0, 1], unless the agent normalizes observations by running statistics. A CNN follows where
    the agent has one.
    """

    def __init__(self, cnn: nn.Module | None, obs_size: int, is_uint8: bool, normalized_seeds: int):
        super().__init__()
        self.cnn, self.obs_size, self.is_uint8 = cnn, obs_size, is_uint8
        self.statistics = RunningMeanStd(normalized_seeds, obs_size) if normalized_seeds else None
        self.packed_size, self.state_size = obs_size, 0
        self.out_features: int = obs_size if cnn is None else cnn.out_features  # type: ignore[assignment]

    def forward(self, obs: Tensor) -> Tensor:
        obs = self.normalize(obs)
        return obs if self.cnn is None else self.cnn(obs.flatten(1, -2)).unflatten(1, obs.shape[1:-1])

    def normalize(self, obs: Tensor) -> Tensor:
        if self.statistics is not None:
            return self.statistics.standardize(obs.to(torch.get_default_dtype()))
        return obs.to(torch.get_default_dtype()) * (1 / 255) if self.is_uint8 else obs

    def pack(self, obs: Tensor, first: Tensor | float, features: Tensor | None) -> Tensor:
        """Observations (S, N, O), together with all that the encoder needs later; here that is nothing.

        Args:
            first: (S, N), 1 where an episode begins.
            features: (S, N, F) of the observations before; None where all begin.
        """
        return obs

    def after(self, obs: Tensor, next_obs: Tensor, last: Tensor | None) -> Tensor:
        """Features (S, B, L, F) of where n steps led.

        Args:
            obs, next_obs: (S, B, L + n - 1, O), observations before and after each step.
            last: (S, B, L), index of the last of the n steps; None if n is 1.
        """
        return self(next_obs if last is None else next_obs.take_along_dim(last[..., None], 2))

    @property
    def learns(self) -> bool:
        """Whether there is a CNN or a recurrent network."""
        return next(self.parameters(), None) is not None


class SequenceEncoder(Encoder):
    """The state of a recurrent network, and the newest observation, which the state then need not store.

    Observations are packed as `RecurrentEncoder.pack` packs them, each with the state before it.
    """

    def __init__(self, network: Recurrent, obs_size: int, is_uint8: bool, normalized_seeds: int):
        super().__init__(None, obs_size, is_uint8, normalized_seeds)
        self.recurrent = RecurrentEncoder(network)
        self.state_size = self.recurrent.out_features  # K
        self.out_features, self.packed_size = self.state_size + obs_size, obs_size + 1 + self.state_size

    def forward(self, obs: Tensor) -> Tensor:
        newest = obs[..., : self.obs_size]
        normalized = self.normalize(newest)
        if normalized is not newest:
            obs = torch.cat([normalized, obs[..., self.obs_size :]], -1)
        return torch.cat([self.recurrent(obs), normalized], -1)

    def pack(self, obs: Tensor, first: Tensor | float, features: Tensor | None) -> Tensor:
        if features is None:
            features = self.recurrent.trunk.hidden_weight.new_zeros(*obs.shape[:2], self.state_size)
        return self.recurrent.pack(obs, first, features[..., : self.state_size])

    def after(self, obs: Tensor, next_obs: Tensor, last: Tensor | None) -> Tensor:
        # The state comes from the steps before: those in `next_obs` are of an older network.
        state, newest = self(obs)[..., : self.state_size], next_obs[..., : self.obs_size]
        features = self(self.recurrent.pack(newest, 0.0, state).flatten(1, 2)).unflatten(1, state.shape[1:3])
        return features if last is None else features.take_along_dim(last[..., None], 2)


def make_encoder(network: nn.Module | None, obs_size: int, is_uint8: bool, normalized_seeds: int) -> Encoder:
    """The encoder around a CNN, a recurrent network or neither; it normalizes for so many seeds, 0 for not at all."""
    kind = SequenceEncoder if isinstance(network, Recurrent) else Encoder
    return kind(network, obs_size, is_uint8, normalized_seeds)  # type: ignore[arg-type]
