"""Data sets as environments: the observation is x, the action predicts y, the reward is the negative loss.

n environments of a batch, T steps of an episode: one for points and images, the sequence's length for sequences. The
prediction at step t is scored before the target of step t is shown. A prediction of numbers costs its squared error, a
prediction of a class costs 1 if it is wrong. The episode terminates after its last prediction.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode

from envs.sources import BLOCK, FREE, Source, make_source
from envs.vector import IndependentVectorEnv


class PredictionVectorEnv(IndependentVectorEnv):
    """A batch of `PredictionEnv` stepped as arrays; number i is the scalar environment with its seed.

    Keywords as `PredictionEnv`, and `autoreset_mode` as in Gymnasium.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    terminates = True
    state_names = ("seeds", "episodes", "steps")

    def __init__(
        self,
        num_envs: int = 1,
        *,
        source: Source | str,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ):
        self.source = make_source(source, options)
        obs_space, act_space = self.source.observation_space, self.source.action_space
        super().__init__(num_envs, obs_space, act_space, self.source.num_steps, autoreset_mode, render_mode)
        self.index, self.episodes = np.arange(num_envs), np.full(num_envs, -1)
        self.shown = self.target = np.zeros(0)  # (n, BLOCK, T, ...) each, from the first episode on

    def begin_stream(self, index: int) -> None:
        self.episodes[index] = -1

    def begin_episodes(self, indices: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        self.episodes[indices] += 1
        for index in indices[self.episodes[indices] % BLOCK == 0]:
            self.draw_block(index)
        return {}

    def draw_block(self, index: int | np.integer) -> None:
        """Draw the block of episodes that the current episode of this environment lies in."""
        assert self.seeds is not None
        shown, target = self.source.block(int(self.seeds[index]), int(self.episodes[index]) // BLOCK)
        if len(self.shown) == 0:
            self.shown = np.zeros((self.num_envs, *shown.shape), shown.dtype)
            self.target = np.zeros((self.num_envs, *target.shape), target.dtype)
        self.shown[index], self.target[index] = shown, target

    def observe(self) -> np.ndarray:
        """What is shown now; after the last prediction, the last observation again."""
        step = np.minimum(self.steps, self.source.num_steps - 1)
        return self.shown[self.index, self.episodes % BLOCK, step]

    def advance(self, actions: Any) -> np.ndarray:
        step = np.minimum(self.steps, self.source.num_steps - 1)
        target = self.target[self.index, self.episodes % BLOCK, step]
        loss = self.source.loss(np.asarray(actions), target)
        return -np.where(target == FREE, 0.0, loss) if isinstance(self.source.action_space, Discrete) else -loss

    def restore_episodes(self, state: dict[str, np.ndarray]) -> None:
        for index in np.flatnonzero(self.episodes >= 0):
            self.draw_block(index)


class PredictionEnv(gym.Env):
    """One data set as an environment: a batch of one; see the module.

    Args:
        source: a `Source`, or the name of one of those in `envs.sources`, followed by its keywords.

    Raises:
        ValueError: for predictions of another shape, not finite, or no class.
    """

    metadata: dict[str, Any] = PredictionVectorEnv.metadata

    def __init__(self, source: Source | str, *, render_mode: str | None = None, **options: Any):
        self.batch = PredictionVectorEnv(source=source, autoreset_mode=AutoresetMode.DISABLED, **options)
        self.source, self.render_mode = self.batch.source, render_mode
        self.observation_space, self.action_space = self.source.observation_space, self.source.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        fresh = seed is not None or self.batch.seeds is None
        obs, info = self.batch.reset(seed=self.np_random_seed % 2**64 if fresh else None)
        return obs[0], info

    def step(self, action: Any):
        obs, reward, terminated, truncated, info = self.batch.step(np.asarray(action)[None])
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def close(self):
        self.batch.close()
