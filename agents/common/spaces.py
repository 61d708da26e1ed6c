"""From an agent's actions to an environment's: the one mapping, for stepping, predicting and exporting.

n environments, A action components.
"""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from torch import Tensor, nn


def check_spaces(observation_space: gym.Space, action_space: gym.Space) -> None:
    """Raise ValueError for spaces that no agent knows."""
    if not isinstance(observation_space, Box):
        raise ValueError(f"env: found observation space {observation_space}, expected a Box")
    if isinstance(action_space, Box):
        if not action_space.is_bounded():
            raise ValueError(f"env: found action space {action_space}, expected a Box with finite bounds")
    elif not isinstance(action_space, Discrete | MultiDiscrete) or len(action_space.shape or ()) > 1:
        raise ValueError(f"env: found action space {action_space}, expected Discrete, MultiDiscrete or Box")


def num_choices(space: gym.Space) -> list[int] | None:
    """How many discrete actions there are, of each choice that is made at once; None where actions are numbers."""
    if isinstance(space, MultiDiscrete):
        return space.nvec.tolist()
    return [int(space.n)] if isinstance(space, Discrete) else None


class ActionMap(nn.Module):
    """Actions (n, A) of a policy to those of a space: (n,) of a Discrete one, else (n, *action shape).

    Indices start where the space starts; numbers in [-1, 1] (clipped) are spread over the bounds of a Box.
    """

    low: Tensor  # of a Box, or the first index
    high: Tensor  # of a Box
    width: Tensor  # of a Box

    def __init__(self, space: gym.Space):
        super().__init__()
        self.shape, self.dtype = space.shape or (), getattr(torch, str(space.dtype))
        self.continuous = isinstance(space, Box)
        low, high = (space.low, space.high) if isinstance(space, Box) else (space.start, space.start)  # type: ignore
        for name, bound in ("low", low), ("high", high), ("width", high - low):
            self.register_buffer(name, torch.tensor(np.asarray(bound)), persistent=False)

    def forward(self, action: Tensor) -> Tensor:
        action = action.reshape(action.shape[0], *self.shape)
        if self.continuous:
            action = (action.clamp(-1, 1) + 1) / 2 * self.width
            return torch.minimum(self.low + action, self.high).to(self.dtype)  # rounding may lead above it
        return (self.low + action).to(self.dtype)
