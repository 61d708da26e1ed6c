"""Gymnasium's CartPole as one batch, with a random stream to each environment.

n environments, each the scalar one after `reset(seed=seed)`, then `reset()` for every further episode.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode

from balancier import SWITCH, check

BLOCK = 64  # starts of an environment that are drawn at once: a new generator costs more than all of them


class CartPoleBatch(CartPoleVectorEnv):
    """Gymnasium's batch of CartPole; each depends on its own seed alone, and an ended one restarts at once."""

    metadata = CartPoleVectorEnv.metadata | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int, *, sutton_barto_reward: bool = False, **keywords: Any):
        check(sutton_barto_reward=(sutton_barto_reward, SWITCH))
        super().__init__(num_envs, sutton_barto_reward=sutton_barto_reward, **keywords)

    def reset(self, *, seed: Sequence[int], options: dict[str, Any] | None = None):  # type: ignore[override]
        super().reset(seed=0, options=options)  # its own draws are never used
        self.seeds, self.episodes = np.array(seed, np.uint64), np.zeros(self.num_envs, np.int64)
        self.starts = np.zeros((self.num_envs, BLOCK, 4))
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
        for i in range(self.num_envs):
            self._draw(i)

    def _start(self, indices: np.ndarray) -> None:
        assert self.state is not None
        place = self.episodes[indices] % BLOCK
        for i in indices[place == 0]:
            self._draw(i)
        self.state[:, indices] = self.starts[indices, place].T
        self.steps[indices] = 0
        self.prev_done[:] = False  # so that the next step starts none a second time

    def _draw(self, i: int) -> None:
        """The starts of an environment's present block, as the scalar one's `reset()` draws them one by one."""
        generator, _ = np_random(int(self.seeds[i]))
        generator.bit_generator.advance(4 * (int(self.episodes[i]) // BLOCK * BLOCK))  # type: ignore[attr-defined]
        self.starts[i] = generator.uniform(self.low, self.high, (BLOCK, 4))

    def _obs(self) -> np.ndarray:
        assert self.state is not None
        return self.state.T.astype(np.float32)
