"""Environments from an id or a function, as one batch with a random stream to each."""

import copy
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import NormalizeObservation, NormalizeReward

from agents.common import habits
from agents.common.cartpole import CartPoleBatch
from agents.common.spaces import check_spaces, in_words
from models.streams import stream_seed

Maker = Callable[[], gym.Env]
CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"  # its own entry point, whatever the id

NATIVE: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "autoreset_mode": AutoresetMode.SAME_STEP}
MAX_REWARD = float(np.finfo(np.float32).max)


def episode_seed(seed: int, episode: int) -> int:
    """What `reset` is given: an environment's own seed at first, then one of the seed's stream."""
    return stream_seed(seed, episode) if episode else seed


class Replayable(gym.Wrapper):
    """An environment whose state is its seed, the number of its episode and the actions since that began.

    Every episode starts from a seed of its own (`episode_seed`), so an environment that offers no way to read or set
    its state can be brought back to it, in another process too, by acting the episode out again.

    Whatever the environment returns, observations are arrays of its space's shape and type (which it may overwrite),
    rewards are finite numbers, and infos are empty. ValueError says where that is impossible.
    """

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.seed, self.episode, self.actions = 0, 0, []
        self.shape, self.dtype = self.observation_space.shape or (), self.observation_space.dtype
        self.discrete = isinstance(self.action_space, gym.spaces.Discrete)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.seed, self.episode = (self.seed, self.episode + 1) if seed is None else (seed, 0)
        self.actions = []
        try:
            obs, _ = start = self.env.reset(seed=self.start_seed(), **({} if options is None else {"options": options}))
        except (TypeError, ValueError) as error:
            raise self.of_old_gym(error) from error
        if not isinstance(start, tuple):
            raise self.error(f"{type(start).__name__} from reset", "a tuple of observation and info")
        return self.to_observation(obs), {}

    def step(self, action):
        self.actions.append(action)
        try:
            obs, reward, terminated, truncated, _ = self.act(action)
        except ValueError as error:
            raise self.of_old_gym(error) from error
        if not isinstance(reward, float) or not -MAX_REWARD < reward < MAX_REWARD:
            reward = self.to_reward(reward)
        return self.to_observation(obs), reward, terminated, truncated, {}

    def act(self, action):
        """Step with a copy of the action, which the environment may change."""
        return self.env.step(action if self.discrete else np.array(action))

    def to_observation(self, obs: Any) -> np.ndarray:
        if type(obs) is np.ndarray and obs.dtype == self.dtype and obs.shape == self.shape:
            return obs
        array = np.asarray(obs)
        if array.dtype.kind in "biuf" and array.shape == self.shape:
            converted = array.astype(self.dtype)
            if converted.dtype.kind == "f" or (converted == array).all():
                return converted
        raise self.error(f"observation {obs!r}", f"one of {in_words(self.observation_space)}")

    def to_reward(self, reward: Any) -> float:
        array = np.asarray(reward)
        if array.dtype.kind in "biuf" and array.size == 1 and -MAX_REWARD < array.item() < MAX_REWARD:
            return float(array.item())
        raise self.error(f"reward {reward!r}", "a finite number")

    def error(self, found: str, expected: str) -> ValueError:
        """That the environment has just returned something else."""
        where = f"step {len(self.actions)} of the episode from reset(seed={self.start_seed()})"
        return ValueError(f"env: found {' '.join(found.split())} in {where}, expected {expected}")

    def of_old_gym(self, error: Exception) -> Exception:
        """The error in our words where it comes from the interface that environments had before Gymnasium."""
        if "values to unpack" in str(error) or "unexpected keyword argument" in str(error):
            expected = "Gymnasium's: reset(seed=, options=) gives (obs, info); step five values"
            return self.error(f"another interface ({error})", expected)
        return error

    def start_seed(self) -> int:
        """The seed of the episode: below 2**32, as every simulator takes; larger ones are of the first edition."""
        seed = episode_seed(self.seed, self.episode)
        return seed if self.seed >= 2**32 else seed % 2**32

    def restore(self, seed: int, episode: int, actions: Sequence) -> np.ndarray:
        """Act an episode out again; the observation that it led to."""
        self.seed, self.episode, self.actions = seed, episode, list(actions)
        obs, _ = self.env.reset(seed=self.start_seed())
        for action in actions:
            obs = self.act(action)[0]
        return np.array(self.to_observation(obs))


def find_spec(env: str) -> EnvSpec:
    """The specification of an id; of `module:Id` after importing the module."""
    module, _, env_id = env.rpartition(":")
    if module:
        importlib.import_module(module)
    return gym.spec(env_id)


def import_path(env: str) -> str:
    """The id as a new process finds it: `module:Id` as given, else with the package of its class, if not Gymnasium."""
    if ":" in env:
        return env
    spec = find_spec(env)
    entry_point = spec.entry_point
    module = entry_point if isinstance(entry_point, str) else getattr(entry_point, "__module__", "gymnasium")
    package = module.partition(":")[0].partition(".")[0]
    return spec.id if package == "gymnasium" else f"{package}:{spec.id}"


def has_native_batch(spec: EnvSpec) -> bool:
    """Whether there is a native batch in which each environment depends on its own seed alone."""
    entry_point = spec.vector_entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return getattr(creator, "independent_streams", False)


def make_native_batch(env: str, count: int, env_kwargs: dict[str, Any]) -> VectorEnv | None:
    """A native batch in which each environment depends on its own seed alone; None where there is none."""
    spec = find_spec(env)
    keywords: dict[str, Any] = {"max_episode_steps": spec.max_episode_steps} | spec.kwargs | env_kwargs
    plain = (keywords["max_episode_steps"] or 0) > 0 and not spec.additional_wrappers
    if plain and spec.entry_point == CARTPOLE and set(keywords) <= {"sutton_barto_reward", "max_episode_steps"}:
        return CartPoleBatch(count, **keywords)
    if not plain or not has_native_batch(spec):
        return None
    return gym.make_vec(env, count, **NATIVE, **env_kwargs)


def make_env(env: str | Maker, env_kwargs: dict[str, Any]) -> gym.Env:
    """One environment, from an id or a function; ValueError for anything else."""
    if not callable(env) and not isinstance(env, str):
        raise ValueError(habits.explain_env(env))
    if not isinstance(env, str) and env_kwargs:
        expected = "an environment id (bind them to the function)"
        raise ValueError(f"env_kwargs: found them for a function that makes an environment, expected {expected}")
    if isinstance(env, str) and find_spec(env).entry_point is None:
        raise ValueError(f"env: found {env}, which exists as a batch alone, expected one that gymnasium.make can make")
    keywords = {"disable_env_checker": True} | copy.deepcopy(env_kwargs)  # an environment may change what it is given
    try:
        made = gym.make(env, **keywords) if isinstance(env, str) else env()
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        name = env if isinstance(env, str) else "an environment"
        raise ValueError(f"env: found no package that {name} needs ({error}), expected it installed") from error
    if not isinstance(made, gym.Env):
        raise ValueError(habits.explain_env(made, "a function that returns "))
    check_wrappers(made)
    return made


def check_wrappers(env: gym.Env) -> None:
    """Raise ValueError for a wrapper with running statistics, which no seed and no actions bring back."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, NormalizeObservation | NormalizeReward) and env.update_running_mean:
            found = f"the wrapper {type(env).__name__}, whose statistics differ from environment to environment"
            expected = "none (normalize_obs and normalize_reward of the agent do that)"
            raise ValueError(f"env: found {found}, expected {expected}")
        env = env.env


def make_envs(env: str | Maker, count: int, env_kwargs: dict[str, Any]) -> list[Replayable]:
    """`count` single environments.

    Raises ValueError for keywords if `env` is a function, and for a function that returns the same environment again.
    """
    envs = [Replayable(make_env(env, env_kwargs)) for _ in range(count)]
    if len({id(single.unwrapped) for single in envs}) < count:
        raise ValueError("env: found a function that returns the same environment again, expected a new one each time")
    return envs


def make_batch(env: str | Maker, count: int, env_kwargs: dict[str, Any]) -> VectorEnv:
    """`count` environments as one batch that restarts an ended episode within the same step."""
    native = make_native_batch(env, count, env_kwargs) if isinstance(env, str) else None
    return native or make_sync_batch(env, count, env_kwargs)


class SyncBatch(SyncVectorEnv):
    """Gymnasium's batch of environments, in which each may reuse its arrays; infos hold only the last observations.

    Observations are checked: ValueError names the environment's episode and step where one is not finite.
    """

    def reset(self, *, seed: Sequence[int], options: dict[str, Any] | None = None):  # type: ignore[override]
        for i, env in enumerate(self.envs):
            self._observations[i] = env.reset(seed=seed[i] % 2**32, options=options)[0]
        size = self._observations.size if self._observations.dtype.kind == "f" else 0
        self.zeros = np.zeros(size, self._observations.dtype)
        self.check_finite()
        return self._observations, {}

    def step(self, actions: np.ndarray):
        for i, env in enumerate(self.envs):
            self._observations[i], self._rewards[i], self._terminations[i], self._truncations[i], _ = env.step(
                actions[i]
            )
        done, info = self._terminations | self._truncations, {}
        self.check_finite()
        if done.any():
            info = {"final_obs": self._observations.copy(), "_final_obs": done}
            for i in np.flatnonzero(done):
                self._observations[i] = self.envs[i].reset()[0]
            self.check_finite()
        return self._observations, self._rewards.copy(), self._terminations.copy(), self._truncations.copy(), info

    def check_finite(self) -> None:
        if self.zeros.size and np.isnan(self._observations.ravel() @ self.zeros):  # 0 times infinity is NaN
            first = int(np.isfinite(self._observations.reshape(self.num_envs, -1)).all(1).argmin())
            raise self.envs[first].error(  # type: ignore[attr-defined]
                f"observation {self._observations[first]!r}", "finite numbers"
            )


def make_sync_batch(env: str | Maker, count: int, env_kwargs: dict[str, Any]) -> SyncBatch:
    """The environments of `make_envs`, stepped one after the other."""
    envs = make_envs(env, count, env_kwargs)
    check_spaces(envs[0].observation_space, envs[0].action_space)  # Gymnasium compares spaces, which not all can
    makers = [lambda single=single: single for single in envs]
    return SyncBatch(makers, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)


TUPLE, ARRAY = "__tuple__", "__array__"  # marks of what JSON has not


def plain_keywords(value: Any, name: str = "env_kwargs") -> Any:
    """A copy of what a file can hold, with NumPy's numbers as Python's; ValueError for anything else."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        return type(value)(plain_keywords(part, f"{name}[{i}]") for i, part in enumerate(value))
    if type(value) is dict and all(type(key) is str and key not in (TUPLE, ARRAY) for key in value):
        return {key: plain_keywords(part, f"{name}[{key!r}]") for key, part in value.items()}
    if type(value) is np.ndarray and value.dtype.kind in "biufU":
        return value.copy()
    expected = "numbers, texts, arrays, and lists, tuples and dictionaries (keys: texts) of them, which a file can hold"
    raise ValueError(f"{name}: found {' '.join(repr(value).split())}, expected {expected}; or env as a function")


def keywords_to_json(value: Any) -> Any:
    """Plain keywords as JSON can hold them."""
    if isinstance(value, np.ndarray):
        return {ARRAY: value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, dict):
        return {key: keywords_to_json(part) for key, part in value.items()}
    parts = [keywords_to_json(part) for part in value] if isinstance(value, list | tuple) else value
    return {TUPLE: parts} if isinstance(value, tuple) else parts


def keywords_from_json(value: Any) -> Any:
    """The inverse of `keywords_to_json`."""
    if isinstance(value, list):
        return [keywords_from_json(part) for part in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return np.array(value[ARRAY], value["dtype"])
    if TUPLE in value:
        return tuple(keywords_from_json(value[TUPLE]))
    return {key: keywords_from_json(part) for key, part in value.items()}
