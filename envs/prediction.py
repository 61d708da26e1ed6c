"""Data sets as environments: the world shows x, the action is the guess, the reward is minus the loss.

n environments of a batch, T steps of an episode: one for points and images, the sequence's length for sequences. The
guess at step t is scored before the truth of step t is shown. A guess of numbers costs its squared error, a guess of a
class costs 1 if it is wrong. The episode terminates after its last guess.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.seeding import row_seeds
from envs.sources import BLOCK, FREE, Source, _source


class PredictionEnv(gym.Env):
    """One data set as an environment; see the module.

    Args:
        source: a `Source`, or the name of one of this module's with its keywords.

    Raises:
        ValueError: for guesses of another shape, not finite, or no class.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, source: Source | str, *, render_mode: str | None = None, **options: Any):
        self.source, self.render_mode = _source(source, options), render_mode
        self.observation_space, self.action_space = self.source.observation_space, self.source.action_space
        self.rows = _Rows(self.source, 1)
        self.closed = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        if self.closed:
            raise ClosedEnvironmentError("the environment was closed; make a new one")
        fresh = seed is not None or self.rows.seeds is None
        super().reset(seed=seed)
        if fresh:
            self.rows.seed(np.array([self.np_random_seed % 2**64], np.uint64))
        self.rows.start(np.array([0]))
        return self.rows.obs()[0], {}

    def step(self, action: Any):
        if self.closed:
            raise ClosedEnvironmentError("the environment was closed; make a new one")
        if self.rows.seeds is None or self.rows.ended[0]:
            raise ResetNeeded("the episode has not begun or is over; call reset before step")
        reward = self.rows.guess(np.asarray(action)[None])
        return self.rows.obs()[0], float(reward[0]), bool(self.rows.ended[0]), False, {}

    def close(self):
        self.closed = True


class PredictionVectorEnv(VectorEnv):
    """A batch of `PredictionEnv` stepped as arrays; row i is the scalar environment with its seed.

    Keywords as `PredictionEnv`, and `autoreset_mode` as in Gymnasium.
    """

    row_streams = True

    def __init__(
        self,
        num_envs: int = 1,
        *,
        source: Source | str,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ):
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs: found {num_envs!r}, expected a whole number of at least 1")
        self.source, self.num_envs, self.render_mode = _source(source, options), num_envs, render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"render_modes": [], "autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = (
            self.source.observation_space,
            self.source.action_space,
        )
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rows = _Rows(self.source, num_envs)

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None):
        if self.closed:
            raise ClosedEnvironmentError("the environments were closed; make new ones")
        mask = (options or {}).get("reset_mask")
        if mask is not None and (np.shape(mask) != (self.num_envs,) or np.asarray(mask).dtype != np.bool_):
            raise ValueError(f"options: found reset_mask {mask!r}, expected {self.num_envs} booleans")
        if seed is not None or self.rows.seeds is None:
            seeds = row_seeds(seed, self.num_envs)
            fresh = np.random.SeedSequence().generate_state(self.num_envs, np.uint64)
            self.rows.seed(np.array([f if s is None else s for s, f in zip(seeds, fresh, strict=True)], np.uint64))
        self.rows.start(np.arange(self.num_envs) if mask is None else np.flatnonzero(mask))
        return self.rows.obs(), {}

    def step(self, actions: Any):
        if self.closed:
            raise ClosedEnvironmentError("the environments were closed; make new ones")
        if self.rows.seeds is None:
            raise ResetNeeded("the environments have no state yet; call reset before step")
        actions, info, over = np.asarray(actions), {}, self.rows.ended.copy()
        if self.autoreset_mode is AutoresetMode.DISABLED and over.any():
            raise ResetNeeded('an episode has ended; reset it with options={"reset_mask": ...}, autoreset is disabled')
        reward = self.rows.guess(actions)
        if over.any():  # ended one step ago; this step only starts them anew
            self.rows.start(np.flatnonzero(over))
        terminated = self.rows.ended.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP and terminated.any():
            info = {"final_obs": self.rows.obs(), "_final_obs": terminated.copy()}
            info |= {"final_info": {}, "_final_info": terminated.copy()}
            self.rows.start(np.flatnonzero(terminated))
        return self.rows.obs(), reward, terminated, np.zeros(self.num_envs, np.bool_), info

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on."""
        if self.rows.seeds is None:
            raise ResetNeeded("the environments have no state yet; call reset first")
        return {name: np.array(getattr(self.rows, name)) for name in ("seeds", "episodes", "steps")}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `get_state` returned, in another process too."""
        self.rows.seed(np.array(state["seeds"]))
        self.rows.episodes, self.rows.steps = np.array(state["episodes"]), np.array(state["steps"])
        for row in range(self.num_envs):
            self.rows.fetch(row)


class _Rows:
    """n streams of episodes: which one each is in, and at which step."""

    seeds: np.ndarray | None = None  # (n,) uint64

    def __init__(self, source: Source, num_rows: int):
        self.source, self.index = source, np.arange(num_rows)
        self.shown = self.truth = np.zeros(0)

    def seed(self, seeds: np.ndarray) -> None:
        self.seeds = seeds
        self.episodes = np.full(len(seeds), -1)
        self.steps = np.zeros(len(seeds), np.int64)

    def start(self, rows: np.ndarray) -> None:
        """Begin the next episode in these rows."""
        self.episodes[rows] += 1
        self.steps[rows] = 0
        for row in rows[self.episodes[rows] % BLOCK == 0]:
            self.fetch(row)

    def fetch(self, row: int) -> None:
        """Draw the block that the row's episode lies in."""
        assert self.seeds is not None
        shown, truth = self.source.block(int(self.seeds[row]), int(self.episodes[row]) // BLOCK)
        if len(self.shown) == 0:
            self.shown = np.zeros((len(self.seeds), *shown.shape), shown.dtype)
            self.truth = np.zeros((len(self.seeds), *truth.shape), truth.dtype)
        self.shown[row], self.truth[row] = shown, truth

    @property
    def ended(self) -> np.ndarray:
        return self.steps >= self.source.num_steps

    def obs(self) -> np.ndarray:
        """What is shown now; after the last guess, the last picture again."""
        step = np.minimum(self.steps, self.source.num_steps - 1)
        return self.shown[self.index, self.episodes % BLOCK, step]

    def guess(self, action: np.ndarray) -> np.ndarray:
        """The rewards of guesses, and one step on; 0 in rows that have ended."""
        step = np.minimum(self.steps, self.source.num_steps - 1)
        truth = self.truth[self.index, self.episodes % BLOCK, step]
        loss = self.source.loss(action, truth)
        if isinstance(self.source.action_space, Discrete):
            loss = np.where(truth == FREE, 0.0, loss)
        reward = np.where(self.ended, 0.0, -loss)
        self.steps += 1
        return reward
