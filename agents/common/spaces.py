"""Between an environment's spaces and an agent's numbers, for stepping, predicting and exporting.

n observations or actions, O and A components.
"""

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from torch import Tensor, nn

KINDS = Box, Discrete, MultiDiscrete, MultiBinary
MAX_VALUES = 100_000  # of discrete observations, which become as many numbers


def check_spaces(observation_space: gym.Space, action_space: gym.Space) -> None:
    """Raise ValueError for spaces that no agent knows."""
    for name, space in ("observation", observation_space), ("action", action_space):
        unbounded = name == "action" and isinstance(space, Box) and not space.is_bounded()
        if not isinstance(space, KINDS) or 0 in (space.shape or ()) or unbounded:
            raise refused(name, space)


def in_words(space: gym.Space) -> str:
    """A space on one line."""
    return " ".join(str(space).split())


def refused(name: str, space: gym.Space) -> ValueError:
    """The error for a space of the environment that no agent knows."""
    expected = "Discrete, MultiDiscrete, MultiBinary or Box"
    if isinstance(space, KINDS):
        expected = "at least one number" if 0 in (space.shape or ()) else "finite bounds"
    elif name == "observation" and isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        before = "" if is_flattenable(space) else "FilterObservation leaves out what are no numbers, then "
        expected += f"; of gymnasium.wrappers {before}FlattenObservation makes a Box"
    return ValueError(f"env: found {name} space {in_words(space)}, expected {expected}")


def is_flattenable(space: gym.Space) -> bool:
    try:
        return space.is_np_flattenable
    except NotImplementedError:  # of a space that has no word on it
        return False


def num_choices(space: gym.Space) -> list[int] | None:
    """How many discrete actions there are, of each choice that is made at once; None where actions are numbers."""
    if isinstance(space, Discrete | MultiDiscrete):
        return np.ravel(space.nvec if isinstance(space, MultiDiscrete) else space.n).tolist()
    return [2] * int(np.prod(space.shape)) if isinstance(space, MultiBinary) else None


def is_image(space: gym.Space) -> bool:
    """Whether observations of a Box are images of bytes, by SB3's rule: three axes, and the bounds 0 and 255.

    They are kept as bytes, and networks see numbers in [0, 1]; all other bytes are numbers like any.
    """
    return isinstance(space, Box) and len(space.shape) == 3 and not space.low.any() and bool((space.high == 255).all())


class OneHot(nn.Module):
    """Observations (..., *shape) of a Discrete or MultiDiscrete space to (..., O), 0 or 1 for each value of each.

    Raises ValueError for a space of more than 100,000 values.
    """

    component: Tensor  # (O,)
    value: Tensor  # (O,)

    def __init__(self, space: Discrete | MultiDiscrete):
        super().__init__()
        sizes, starts = np.array(num_choices(space)), np.ravel(space.start)
        self.space, self.out_features = space, int(sum(sizes.tolist()))
        if self.out_features > MAX_VALUES:
            found = f"observation space {in_words(space)} of {self.out_features} values"
            raise ValueError(f"env: found {found}, expected at most {MAX_VALUES}")
        component = np.repeat(np.arange(len(sizes)), sizes)
        value = np.concatenate([start + np.arange(size) for start, size in zip(starts, sizes, strict=True)])
        self.register_buffer("component", torch.tensor(component), persistent=False)
        self.register_buffer("value", torch.tensor(value), persistent=False)

    def forward(self, obs: Tensor) -> Tensor:
        leading = obs.shape[: obs.dim() - len(self.space.shape or ())]
        return (obs.reshape(*leading, -1)[..., self.component] == self.value).to(torch.get_default_dtype())

    def check(self, obs: np.ndarray | Tensor) -> Tensor:
        """As `forward`; raises ValueError for an observation that is not in the space."""
        obs = torch.as_tensor(obs)
        one_hot = self(obs)
        outside = one_hot.sum(-1) != self.component[-1] + 1
        if outside.any():
            raise ValueError(f"obs: found {obs[outside][0].tolist()}, expected a value of {in_words(self.space)}")
        return one_hot


class ActionMap(nn.Module):
    """Actions (n, A) of a policy to those of a space: (n,) of a Discrete one, else (n, *action shape).

    Indices start where the space starts; numbers in [-1, 1] (clipped; NaN, of a seed that diverges, is 0) are spread
    over the bounds of a Box, and rounded if it is one of whole numbers.
    """

    low: Tensor  # of a Box, or the first index
    high: Tensor  # of a Box
    width: Tensor  # of a Box

    def __init__(self, space: gym.Space):
        super().__init__()
        self.shape, self.dtype = space.shape or (), getattr(torch, str(space.dtype))
        self.continuous = isinstance(space, Box)
        low, high = float_bounds(space) if isinstance(space, Box) else [np.atleast_1d(getattr(space, "start", 0))] * 2
        for name, bound in ("low", low), ("high", high), ("width", high - low):
            self.register_buffer(name, torch.tensor(bound), persistent=False)

    def forward(self, action: Tensor) -> Tensor:
        action = action.reshape(action.shape[0], *self.shape)
        if self.continuous:  # the smaller of the two, where rounding has led above the bound
            action = torch.minimum(self.low + (action.nan_to_num().clamp(-1, 1) + 1) / 2 * self.width, self.high)
            return (action if self.dtype.is_floating_point else action.round()).to(self.dtype)
        return (self.low + action).to(self.dtype)


def float_bounds(space: Box) -> tuple[np.ndarray, ...]:
    """The bounds of a Box in the precision that its actions are computed in."""
    usual = space.dtype == np.float32 and np.abs([space.low, space.high]).max() < 1e38
    return np.atleast_1d(*((space.low, space.high) if usual else wide_bounds(space)))


def wide_bounds(space: Box) -> list[np.ndarray]:
    """The bounds in float64, or the nearest numbers within them, which matters above 2**53.

    Raises ValueError where their difference is no finite number.
    """
    bounds = []
    for bound, inwards in (space.low, np.inf), (space.high, -np.inf):
        rounded = bound.astype(np.float64)
        exact = rounded.astype(object), bound.astype(object)  # Python compares any whole number with any other exactly
        outside = np.asarray(exact[0] < exact[1] if inwards > 0 else exact[0] > exact[1], np.bool_)
        bounds.append(np.where(outside, np.nextafter(rounded, inwards), rounded))
    with np.errstate(over="ignore"):
        if not np.isfinite(bounds[1] - bounds[0]).all():
            raise ValueError(f"env: found action space {in_words(space)}, expected bounds whose difference is finite")
    return bounds
