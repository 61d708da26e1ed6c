"""Pendulums of unknown length and mass, `balancier/PendulumAdaptation-v0`: every episode draws both from 0.5 to 1.5.

What an agent is shown of them, beside cosine, sine and speed, is a keyword: nothing, the parameters themselves, or the
last torque, from which a memory can find the parameters out.

n environments of a batch, O observation components.
"""

from typing import Any, Literal, get_args

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector.utils import batch_space

from balancier import shown
from envs.pendulum import PendulumBase, PendulumEnv, PendulumVectorEnv

ADAPTATION = "balancier/PendulumAdaptation-v0"
LOW, HIGH = 0.5, 1.5  # m and kg: of length and of mass
MIDDLE, HALF = (LOW + HIGH) / 2, (HIGH - LOW) / 2
UNKNOWN = "length", "mass"
Shows = Literal["nothing", "parameters", "torque"]


def to_unit(values: Any) -> Any:
    """Lengths (m) or masses (kg) as shares of the range, -1 for 0.5 and 1 for 1.5; arrays or tensors of any shape."""
    return (values - MIDDLE) / HALF


def from_unit(values: Any) -> Any:
    """The inverse of `to_unit`, in m and kg."""
    return MIDDLE + HALF * values


class AdaptationBase(PendulumBase):
    """What the environment and its batch share: what is shown beside the state."""

    shows: Shows = "nothing"
    last_torque: Any

    def show_besides(self, shows: Shows) -> Box:
        """The space of observations with what is shown besides; ValueError for a word that says nothing."""
        if shows not in get_args(Shows):
            raise ValueError(f"shows: found {shown(shows)}, expected {' or '.join(map(repr, get_args(Shows)))}")
        if self.pixels:
            raise ValueError("observation: found 'pixels', expected 'state' or 'angle', beside which numbers can stand")
        self.shows = shows
        besides = {"nothing": [], "torque": [1.0], "parameters": [self.largest_share(name) for name in UNKNOWN]}[shows]
        high = np.concatenate([self.obs_space.high, np.array(besides, np.float32)])
        return Box(-high, high, dtype=np.float32)

    def largest_share(self, name: str) -> float:
        """Of a parameter, without its sign: 1, unless its range is another one than here."""
        return max(1.0, float(np.abs(to_unit(np.asarray(getattr(self.pendulum, name)))).max()))

    def observe(self) -> np.ndarray:
        """cos, sin, speed, and what is shown besides, in [-1, 1]: (..., O) float32."""
        obs = super().observe()
        if self.shows == "nothing":
            return obs
        if self.shows == "torque":
            besides = [self.last_torque / self.drawn.max_torque]  # type: ignore[operator]
        else:
            besides = [to_unit(getattr(self.drawn, name)) for name in UNKNOWN]
        besides = [np.broadcast_to(x, obs.shape[:-1]) for x in besides]
        return np.concatenate([obs, np.stack(besides, -1).astype(np.float32)], -1)


class AdaptationEnv(AdaptationBase, PendulumEnv):
    """A pendulum whose length and mass change from episode to episode.

    Keywords as `PendulumEnv`, whose spaces, reward and `info` it has, and `shows`, which says what an observation has
    besides:

    | `shows` | Numbers | Min | Max |
    |---|---|---|---|
    | "nothing" | | | |
    | "parameters" | length and mass as shares of their range, 0.5 to 1.5 m or kg | -1 | 1 |
    | "torque" | torque of the last step as a share of the largest; 0 at an episode's start | -1 | 1 |

    Length and mass are shares of the same range if the keywords `length` and `mass` say another one: -1 always means
    0.5, and the numbers of longer and heavier pendulums are above 1.

    Raises:
        ValueError: as `PendulumEnv`, for another word in `shows`, and for pixels.
    """

    def __init__(self, *, shows: Shows = "nothing", **keywords: Any):
        super().__init__(**keywords)
        self.observation_space = self.show_besides(shows)


class AdaptationVectorEnv(AdaptationBase, PendulumVectorEnv):
    """A batch of such pendulums: number i is `AdaptationEnv` reset with its seed, episode after episode."""

    def __init__(self, num_envs: int = 1, *, shows: Shows = "nothing", **keywords: Any):
        super().__init__(num_envs, **keywords)
        self.single_observation_space = self.show_besides(shows)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
