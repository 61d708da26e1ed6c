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
from envs.vector import IndependentVectorEnv, check_array, check_drawable, check_options, check_seed


class PredictionVectorEnv(IndependentVectorEnv):
    """A batch of `PredictionEnv` stepped as arrays; number i is the scalar environment with its seed.

    Keywords as `PredictionEnv`, and `autoreset_mode` and `max_episode_steps` as in Gymnasium.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012
    state_names = ("seeds", "episodes", "steps")

    def __init__(
        self,
        num_envs: int = 1,
        *,
        source: Source | str,
        max_episode_steps: int = -1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ):
        self.source = make_source(source, options)
        obs_space, act_space = self.source.observation_space, self.source.action_space
        if not self.source.pictures:
            self.metadata = {"render_modes": []}
        super().__init__(num_envs, obs_space, act_space, max_episode_steps, autoreset_mode, render_mode)
        last, limit = self.source.num_steps, self.max_episode_steps
        self.max_episode_steps, self.terminates, self.truncates = min(last, limit), last <= limit, limit <= last
        self.index, self.episodes = np.arange(num_envs), np.full(num_envs, -1)
        self.shown = self.target = np.zeros(0)  # (n, BLOCK, T, ...) each, from the first episode on

    def begin_stream(self, index: int) -> None:
        self.episodes[index] = -1

    def begin_episodes(self, indices: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        check_options(options, ())
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
        loss = self.source.loss(check_array("action", actions), target)
        return -np.where(target == FREE, 0.0, loss) if isinstance(self.source.action_space, Discrete) else -loss

    def render(self) -> list[np.ndarray]:  # type: ignore[override]
        """n frames (H, W, 3) uint8 of the pictures that are shown; small ones are enlarged to about 256 pixels."""
        check_drawable(self.render_mode, self.closed, self.seeds is not None, '"rgb_array"')
        pictures = np.moveaxis(self.observe(), 1, -1)  # (n, H, W, C)
        times = max(1, 256 // max(pictures.shape[1:3]))
        pictures = pictures.repeat(times, 1).repeat(times, 2)
        return list(np.broadcast_to(pictures, (*pictures.shape[:3], 3)).copy())

    def restore_episodes(self, state: dict[str, np.ndarray]) -> None:
        for index in np.flatnonzero(self.episodes >= 0):
            self.draw_block(index)


class PredictionEnv(gym.Env):
    """One data set as an environment: a batch of one; see the module.

    Args:
        source: a `Source`, or the name of one of those in `envs.sources`, followed by its keywords.

    Raises:
        TypeError: for an unknown keyword.
        ValueError: for a `render_mode` of a data set without pictures, and for predictions of another shape, not
            finite, or no class.
    """

    metadata: dict[str, Any] = PredictionVectorEnv.metadata

    def __init__(self, source: Source | str, *, render_mode: str | None = None, **options: Any):
        self.batch = PredictionVectorEnv(
            source=source, autoreset_mode=AutoresetMode.DISABLED, render_mode=render_mode, **options
        )
        self.source, self.render_mode = self.batch.source, render_mode
        self.metadata = {name: value for name, value in self.batch.metadata.items() if name != "autoreset_mode"}
        self.generator: np.random.Generator | None = None  # the one whose seed the batch has
        self.observation_space, self.action_space = self.source.observation_space, self.source.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        seed = check_seed(seed)
        super().reset(seed=seed)
        check_options(options, ())
        start = None
        if self.generator is not self.np_random or seed is not None:  # at first, and where somebody has set another one
            known = self.np_random_seed is not None and self.np_random_seed >= 0
            start = self.np_random_seed % 2**64 if known else int(self.np_random.integers(2**63))
            self.generator = self.np_random
        obs, info = self.batch.reset(seed=start)
        return obs[0], info

    def step(self, action: Any):
        obs, reward, terminated, truncated, info = self.batch.step(check_array("action", action)[None])
        return obs[0], reward[0], bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> np.ndarray:  # type: ignore[override]
        """The frame (H, W, 3) uint8, where the data set is one of pictures."""
        return self.batch.render()[0]

    def close(self):
        self.batch.close()
