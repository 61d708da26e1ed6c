"""Gymnasium's CartPole as one batch, with a random stream to each environment.

n environments, each the scalar one reset with its seed, episode after episode.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode

from models.streams import stream_seed


def episode_seed(seed: int, episode: int) -> int:
    """What the scalar environment's `reset` is given: its own seed at first, then one of the seed's stream."""
    return stream_seed(seed, episode) if episode else seed


class CartPoleBatch(CartPoleVectorEnv):
    """Gymnasium's batch of CartPole; each depends on its own seed alone, and an ended one restarts at once."""

    metadata = CartPoleVectorEnv.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(self, *, seed: Sequence[int], options: dict[str, Any] | None = None):  # type: ignore[override]
        super().reset(seed=0, options=options)  # its own draws are never used
        self.seeds, self.episodes = np.array(seed, np.uint64), np.zeros(self.num_envs, np.int64)
        self._start(np.arange(self.num_envs))
        return self._obs(), {}

    def step(self, action: Any):
        obs, reward, terminated, truncated, info = super().step(action)
        done = terminated | truncated
        if done.any():
            info = {"final_obs": obs, "_final_obs": done}
            indices = np.flatnonzero(done)
            self.episodes[indices] += 1
            self._start(indices)
            obs = self._obs()
        return obs, reward, terminated, truncated, info

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on; the first axis of each array counts environments."""
        assert self.state is not None
        names = ("steps", "seeds", "episodes")
        return {"state": self.state.T.copy()} | {name: getattr(self, name).copy() for name in names}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `get_state` returned."""
        for name, value in state.items():
            setattr(self, name, np.array(value.T if name == "state" else value, order="C"))

    def _start(self, indices: np.ndarray) -> None:
        assert self.state is not None
        for i in indices:
            generator, _ = np_random(episode_seed(int(self.seeds[i]), int(self.episodes[i])))
            self.state[:, i] = generator.uniform(self.low, self.high, 4)
        self.steps[indices] = 0
        self.prev_done[:] = False  # so that the next step starts none a second time

    def _obs(self) -> np.ndarray:
        assert self.state is not None
        return self.state.T.astype(np.float32)
