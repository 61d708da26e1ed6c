"""The shell that our batches of environments share: seeds, `reset_mask`, the autoreset modes, errors of wrong use.

n environments of a batch.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from balancier import Bound, check, is_number, one_of, shown, whole

ENDLESS = 2**62  # steps, of an episode without a limit
LIMIT = Bound(lambda x: whole(-1).holds(x) and x != 0, "at least 1, or -1 for no limit")
MODES = [mode.value for mode in AutoresetMode]
AUTORESET = Bound(lambda x: isinstance(x, AutoresetMode) or one_of(MODES).holds(x), f"one of {', '.join(MODES)}")
Seed = int | Sequence[int | None] | None


def resolve_env_seeds(seed: Seed, num_envs: int) -> list[int | None]:
    """One seed for each environment from the seed of the first one, from a list, or from None (no seeds).

    Raises:
        ValueError: for a list of another length, and for what is no seed.
    """
    if seed is None:
        return [None] * num_envs
    if is_number(seed, Integral):
        return [int(seed) + index for index in range(num_envs)]
    if not isinstance(seed, list | tuple | np.ndarray):
        raise ValueError(f"seed: found {shown(seed)}, expected a whole number or a list of {num_envs}")
    if len(seed) != num_envs:
        raise ValueError(f"seed: found {len(seed)} seeds, expected {num_envs}, one for each environment")
    return list(seed)


def check_seed(seed: Any) -> int | None:
    """The seed as Python's number; ValueError if no environment takes it."""
    if seed is not None and not whole(0, 2**64 - 1).holds(seed):
        raise ValueError(f"seed: found {shown(seed)}, expected a whole number from 0 to 2**64 - 1")
    return None if seed is None else int(seed)


def check_options(options: Any, known: Sequence[str] | None = None) -> dict[str, Any]:
    """A copy of the options of `reset`, {} for None; ValueError for others than are known (None: any are)."""
    if options is not None and not isinstance(options, dict):
        raise ValueError(f"options: found {shown(options)}, expected a dictionary, or None")
    for name in options or {}:
        if known is not None and name not in known:
            expected = f"any of {', '.join(known)}" if known else "none: this environment has no options"
            raise ValueError(f"options: found {shown(name)}, expected {expected}")
    return dict(options or {})


def check_array(name: str, value: Any) -> np.ndarray:
    """The value as an array; ValueError for what is none, as rows of different lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name}: found {shown(value)}, expected an array of numbers") from None


def check_render_mode(render_mode: str | None, metadata: dict[str, Any]) -> None:
    """Raise ValueError for a mode that is not among the environment's `render_modes`."""
    modes = [*metadata.get("render_modes", ()), None]
    if render_mode not in modes:
        raise ValueError(f"render_mode: found {shown(render_mode)}, expected {' or '.join(map(repr, modes))}")


def check_drawable(render_mode: str | None, closed: bool, started: bool, modes: str) -> None:
    """Raise the error of a picture that cannot be drawn."""
    if closed:
        raise ClosedEnvironmentError("the environment was closed; make a new one")
    if render_mode is None:
        raise ValueError(f"render_mode: found None, expected {modes} (a keyword of gymnasium.make)")
    if not started:
        raise ResetNeeded("there is no picture yet; call reset before render")


class IndependentVectorEnv(VectorEnv):
    """A batch of n environments whose episodes all last `max_episode_steps`; each depends on its own seed alone.

    Without a limit, which Gymnasium writes as -1, they go on for ever.

    A subclass says how one of its streams of episodes begins (`begin_stream`), how its next episode begins
    (`begin_episodes`), what a step does (`advance`) and shows (`observe`), and how it goes on from a saved state
    (`restore_episodes`). It names the arrays that the next step depends on in `state_names`.

    Raises:
        ValueError: for a number of environments below 1, and for seeds or a `reset_mask` of another length.
        gymnasium.error.ResetNeeded: for a step before the first reset, or after an episode's end without autoreset.
        gymnasium.error.ClosedEnvironmentError: for a step or reset after `close`.
    """

    independent_streams = True  # for those who need that environment i is the scalar environment with the same seed
    terminates = False  # whether the last step of an episode terminates it
    truncates = True  # and whether it truncates it
    state_names: tuple[str, ...] = ("seeds", "steps")
    seeds: np.ndarray | None = None  # (n,) uint64, None before the first reset

    def __init__(
        self,
        num_envs: int,
        observation_space: gym.Space,
        action_space: gym.Space,
        max_episode_steps: int,
        autoreset_mode: AutoresetMode | str,
        render_mode: str | None,
    ):
        check(num_envs=(num_envs, whole(1, 10**8)), max_episode_steps=(max_episode_steps, LIMIT))
        check(autoreset_mode=(autoreset_mode, AUTORESET))
        # As Gymnasium's batch of CartPoles, where "rgb_array_list" means the list of one frame for each environment.
        check_render_mode("rgb_array" if render_mode == "rgb_array_list" else render_mode, self.metadata)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.max_episode_steps = ENDLESS if max_episode_steps == -1 else max_episode_steps
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = self.metadata | {"autoreset_mode": self.autoreset_mode}
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.observation_space = batch_space(observation_space, num_envs)
        self.action_space = batch_space(action_space, num_envs)
        self.clock, self.began = 0, np.zeros(num_envs, np.int64)  # steps so far; when the current episodes began
        self.most_steps = 0  # of an episode now
        self.no_ends = np.zeros(num_envs, np.bool_)

    @property
    def steps(self) -> np.ndarray:
        """Steps of each current episode, (n,)."""
        return self.clock - self.began

    @steps.setter
    def steps(self, value: np.ndarray) -> None:
        self.began = self.clock - value

    def begin_stream(self, index: int) -> None:
        """Environment `index` has a new seed; its next episode is the first of that seed."""
        raise NotImplementedError

    def begin_episodes(self, indices: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        """Begin the next episode of these environments; the info of their reset."""
        raise NotImplementedError

    def advance(self, actions: Any) -> np.ndarray:
        """One step of all environments; the rewards. Bad actions raise ValueError and change nothing."""
        raise NotImplementedError

    def observe(self) -> np.ndarray:
        """The observations now."""
        raise NotImplementedError

    def restore_episodes(self, state: dict[str, np.ndarray]) -> None:
        """The arrays of `state_names` are set; set all else that depends on them and on the rest of the state."""
        raise NotImplementedError

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None):
        """As Gymnasium's; the option `reset_mask` (n,) selects the environments that are reset, and seeded."""
        if self.closed:
            raise ClosedEnvironmentError("the environments were closed; make new ones")
        options = check_options(options)
        indices = self._selected(options.pop("reset_mask", None))
        self._seed(seed, indices)
        if is_number(seed, Integral):
            super().reset(seed=int(seed))  # `np_random` and `np_random_seed`, of which our streams make no use
        elif seed is not None:
            assert self.seeds is not None
            self._np_random, self._np_random_seed = np.random.default_rng(self.seeds), tuple(seed)  # type: ignore[assignment]
        return self._begin(indices, options)

    def step(self, actions: Any):
        if self.seeds is None or self.closed:
            if self.closed:
                raise ClosedEnvironmentError("the environments were closed; make new ones")
            raise ResetNeeded("the environments have no state yet; call reset before step")
        if self.most_steps + 1 >= self.max_episode_steps:
            return self._step_with_ends(actions)
        rewards = self.advance(actions)  # the usual step: no episode can end
        self.clock += 1
        self.most_steps += 1
        return self.observe(), rewards, self.no_ends.copy(), self.no_ends.copy(), {}

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, random streams included."""
        if self.seeds is None:
            raise ResetNeeded("the environments have no state yet; call reset first")
        return {name: np.array(getattr(self, name)) for name in self.state_names}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `get_state` returned, in another process too."""
        self._seed([int(seed) for seed in state["seeds"]], np.arange(self.num_envs))
        for name in self.state_names:
            setattr(self, name, np.array(state[name]))
        self.most_steps = int(self.steps.max())
        self.restore_episodes(state)

    def _selected(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.arange(self.num_envs)
        mask = check_array("options: reset_mask", mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            found = f"options: found reset_mask {shown(mask)}"
            raise ValueError(f"{found}, expected {self.num_envs} booleans, not all false")
        return np.flatnonzero(mask)

    def _seed(self, seed: Seed, indices: np.ndarray) -> None:
        """New random streams for those of `indices` that get a seed; at the first reset for every environment."""
        first = self.seeds is None
        if seed is None and not first:
            return
        seeds = resolve_env_seeds(seed, self.num_envs)
        for index in range(self.num_envs):
            check_seed(seeds[index])
        if self.seeds is None:
            self.seeds = np.random.SeedSequence().generate_state(self.num_envs, np.uint64)
        for index in range(self.num_envs) if first else indices:
            if (given := seeds[index]) is not None:
                self.seeds[index] = given
            if first or given is not None:
                self.begin_stream(index)

    def _begin(self, indices: np.ndarray, options: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes; the observations of all environments and the info of those that begin."""
        info = self.begin_episodes(indices, options)
        self.began[indices] = self.clock
        self.most_steps = 0 if len(indices) == self.num_envs else int(self.steps.max())
        return self.observe(), info

    def _step_with_ends(self, actions: Any):
        """A step in which episodes end or, afterwards, begin: here the autoreset modes differ."""
        over = self.steps >= self.max_episode_steps  # ended one step ago
        restart = over.any()
        if restart and self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded('an episode has ended; reset it with options={"reset_mask": ...}, autoreset is disabled')
        rewards, info = self.advance(actions), {}
        self.clock += 1
        self.most_steps += 1
        obs = None
        if restart:  # AutoresetMode.NEXT_STEP: this step only begins their next episode
            obs, info = self._begin(np.flatnonzero(over), {})
            rewards = np.where(over, 0.0, rewards)
        ended = self.steps >= self.max_episode_steps
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            final = {"final_obs": self.observe(), "_final_obs": ended, "final_info": {}, "_final_info": ended}
            obs, info = self._begin(np.flatnonzero(ended), {})
            info = final | info
        obs = self.observe() if obs is None else obs
        return obs, rewards, ended & self.terminates, ended & self.truncates, info
