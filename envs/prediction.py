"""Data sets as environments: the world shows x, the action is the guess, the reward is minus the loss.

n environments of a batch, T steps of an episode: one for points and images, the sequence's length for sequences. The
guess at step t is scored before the truth of step t is shown. A guess of numbers costs its squared error, a guess of a
class costs 1 if it is wrong. The episode terminates after its last guess.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs import raster
from envs.physics import Pendulum, transition, wrap
from envs.seeding import row_seeds

BLOCK = 32  # episodes drawn at once


@dataclass(frozen=True)
class Source:
    """Where episodes come from: `draw(generator, count)` gives what is shown (count, T, ...) and the truths."""

    observation_space: Box
    action_space: Box | Discrete
    num_steps: int  # T
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]

    def block(self, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The `number`th BLOCK of episodes of a seed: a function of the two alone, so nothing needs to be kept."""
        return self.draw(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,))), BLOCK)

    def loss(self, guess: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """Of guesses (n, ...) about truths (n, ...), (n,) float64; ValueError for guesses that are none."""
        space = self.action_space
        if guess.shape != truth.shape:
            raise ValueError(f"action: found shape {guess.shape}, expected {truth.shape}")
        if isinstance(space, Discrete):
            if not np.issubdtype(guess.dtype, np.integer) or (guess < 0).any() or (guess >= space.n).any():
                raise ValueError(f"action: found {guess!r}, expected whole numbers from 0 to {space.n - 1}")
            return (guess != truth).astype(np.float64)
        if not np.issubdtype(guess.dtype, np.number) or not np.isfinite(guess).all():
            raise ValueError(f"action: found {guess!r}, expected finite numbers")
        return np.square(np.clip(guess, space.low, space.high) - truth, dtype=np.float64).reshape(len(guess), -1).sum(1)


def points(x: np.ndarray, y: np.ndarray) -> Source:
    """A data set of points or images x (N, ...) with targets y: numbers (N, A), or whole numbers (N,) for classes."""
    if len(x) != len(y) or not len(x):
        raise ValueError(f"x and y: found {len(x)} and {len(y)} rows, expected as many of each, and at least one")
    classes = y.ndim == 1 and np.issubdtype(y.dtype, np.integer)
    low, high = (0, 255) if x.dtype == np.uint8 else (float(x.min()), float(x.max()))

    def draw(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        rows = generator.integers(len(x), size=(count, 1))
        return x[rows], y[rows]

    observation_space = Box(low, high, x.shape[1:], x.dtype.type)  # type: ignore[arg-type]
    action_space = Discrete(int(y.max()) + 1) if classes else _symmetric(np.abs(y).max(), y.shape[1:])
    return Source(observation_space, action_space, 1, draw)


def curve(noise: float = 0.1) -> Source:
    """y = sin(2 pi x) + noise, x uniform in [0, 1]: the course's first regression."""

    def draw(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        x = generator.random((count, 1, 1))
        y = np.sin(2 * np.pi * x) + noise * generator.standard_normal((count, 1, 1))
        return x.astype(np.float32), y

    return Source(Box(0, 1, (1,), np.float32), _symmetric(1.5, (1,)), 1, draw)


# A pendulum to identify: hanging down, its length and mass hidden, swinging freely from START_RANGE of its rest.
SWINGING: dict[str, Any] = {
    "length": (0.5, 2.0),
    "mass": (0.5, 2.0),
    "damping": 0.2,
    "inertia": "point",
    "integrator": "rk4",
}
SWING_RANGE = (1.5, 1.0)  # rad from the bottom and rad/s


def swing_starts(uniform: np.ndarray) -> np.ndarray:
    """Angle (0 upright) and speed of hanging pendulums from numbers (..., 2) in [0, 1)."""
    return np.array([np.pi, 0.0]) + np.array(SWING_RANGE) * (2 * uniform - 1)


def sequence(num_steps: int = 50, **parameters: Any) -> Source:
    """The angle of a pendulum hanging down, whose length and mass are hidden; the guess is the next angle, in rad.

    Parameters are those of `envs.physics.Pendulum`; by default a point mass of 0.5 to 2 kg on 0.5 to 2 m, damped by
    0.2 N m s and integrated by RK4. Angles are measured from the bottom, starts lie within 1.5 rad and 1 rad/s.
    """
    pendulum = Pendulum(**(SWINGING | parameters))

    def draw(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        uniform = generator.random((count, 2 + len(pendulum.ranges)))
        own = pendulum.draw(uniform[:, 2:]) if pendulum.ranges else pendulum
        angle, speed = swing_starts(uniform[:, :2]).T
        angles = [angle]
        for _ in range(num_steps):
            angle, speed = transition(angle, speed, 0.0, own)
            angles.append(angle)
        series = wrap(np.stack(angles, 1) - np.pi)[..., None]  # (count, T + 1, 1), 0 at the bottom
        return series[:, :-1].astype(np.float32), series[:, 1:]

    return Source(_symmetric(np.pi, (1,)), _symmetric(np.pi, (1,)), num_steps, draw)


def recall(delay: int = 20, cues: int = 2) -> Source:
    """A memory task: a cue is shown at the first step only, then a blank; `delay` steps later, asked, answer with it.

    The observation is the cue, one-hot, and a last component that is 1 when the answer is due. Guesses before that
    are free.
    """
    if delay < 1 or cues < 2:
        raise ValueError(f"delay, cues: found {delay}, {cues}, expected at least 1 and 2")

    def draw(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        cue = generator.integers(cues, size=count)
        shown = np.zeros((count, delay + 1, cues + 1), np.float32)
        shown[np.arange(count), 0, cue] = 1.0
        shown[:, -1, -1] = 1.0
        truth = np.full((count, delay + 1), FREE)
        truth[:, -1] = cue
        return shown, truth

    return Source(Box(0, 1, (cues + 1,), np.float32), Discrete(cues), delay + 1, draw)


FREE = -1  # a truth that every guess meets


def frames(images: np.ndarray | None = None, labels: np.ndarray | None = None) -> Source:
    """Images (N, C, H, W) in ten classes; by default pictures of the pendulum, the class being where it points."""
    if (images is None) != (labels is None):
        raise ValueError("images, labels: found one of them, expected both or none")
    if images is None or labels is None:
        images, labels = _pendulum_frames()
    return points(images, labels.astype(np.int64))


@cache
def _pendulum_frames() -> tuple[np.ndarray, np.ndarray]:
    return raster.labelled_frames(np.random.default_rng(0), 5_000)


SOURCES: dict[str, Callable[..., Source]] = {"curve": curve, "sequence": sequence, "recall": recall, "frames": frames}


def _symmetric(limit: float, shape: tuple[int, ...]) -> Box:
    return Box(-float(limit), float(limit), shape, np.float32)


def _source(source: Source | str, options: dict[str, Any]) -> Source:
    if isinstance(source, Source):
        return source
    if source not in SOURCES:
        raise ValueError(f"source: found {source!r}, expected a Source or one of {', '.join(SOURCES)}")
    return SOURCES[source](**options)


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
