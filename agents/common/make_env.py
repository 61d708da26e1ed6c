"""Environments from an id or a function, as one batch with a random stream to each."""

import copy
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import NormalizeObservation, NormalizeReward

from agents.common import habits
from agents.common.cartpole import CartPoleBatch
from agents.common.spaces import check_spaces, in_words
from balancier import Bound, check, one_line, shown, whole
from models.streams import stream_seed

Maker = Callable[[], gym.Env]
CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"  # its own entry point, whatever the id

LIMIT = Bound(lambda x: x in (None, -1) or whole(1).holds(x), "a whole number of at least 1 (or -1 for no limit)")
NATIVE: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "autoreset_mode": AutoresetMode.SAME_STEP}
MAX_REWARD = 1e30  # its square, and the sum of a long episode, are numbers of statistics, too
MOST_WORDS = 300  # characters of what an environment returned, in an error


class EnvError(ValueError):
    """What an environment returned or raised, and must not; `index` is its place in the batch, None for one alone."""

    index: int | None = None


def episode_seed(seed: int, episode: int) -> int:
    """What `reset` is given: an environment's own seed at first, then one of the seed's stream."""
    return stream_seed(seed, episode) if episode else seed


def to_numbers(value: Any) -> np.ndarray:
    """The value as an array of numbers; an empty array of objects if it is none."""
    try:
        array = np.asarray(value)
    except Exception:  # rows of different lengths, or an object's own error
        return np.empty(0, object)
    return array if array.dtype.kind in "biuf" else np.empty(0, object)


class Replayable(gym.Wrapper):
    """An environment whose state is its seed, the number of its episode and the actions since that began.

    Every episode starts from a seed of its own (`episode_seed`), so an environment that offers no way to read or set
    its state can be brought back to it, in another process too, by acting the episode out again.

    Whatever the environment returns, observations are arrays of its space's shape and type (which it may overwrite),
    rewards are finite numbers, ends are True or False, and infos are empty. EnvError says where that is impossible, and
    what the environment raised.
    """

    def __init__(self, env: gym.Env, index: int | None = None):
        super().__init__(env)
        self.index, self.seed, self.episode, self.actions = index, 0, 0, []
        self.last: tuple[int, list, np.ndarray] | None = None  # newest complete episode: number, actions, end
        self.shape, self.dtype = self.observation_space.shape or (), self.observation_space.dtype
        self.discrete = isinstance(self.action_space, gym.spaces.Discrete)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.seed, self.episode = (self.seed, self.episode + 1) if seed is None else (seed, 0)
        self.actions = []
        try:
            start = self.env.reset(seed=self.start_seed(), **({} if options is None else {"options": options}))
        except Exception as error:
            raise self.of_old_gym(error) if "unexpected keyword" in str(error) else self.raised(error) from error
        if not isinstance(start, tuple) or len(start) != 2:
            raise self.of_old_gym(f"{type(start).__name__} from reset")
        return self.to_observation(start[0]), {}

    def step(self, action):
        self.actions.append(action)
        try:
            # A copy of the action, which the environment may change.
            result = self.env.step(action if self.discrete else np.array(action))
        except Exception as error:
            raise self.raised(error) from error
        if not isinstance(result, tuple | list) or len(result) != 5:
            count = f" of {len(result)}" if isinstance(result, tuple | list) else ""
            raise self.of_old_gym(f"a {type(result).__name__}{count} from step")
        obs, reward, terminated, truncated, _ = result
        if not isinstance(reward, float) or not -MAX_REWARD < reward < MAX_REWARD:
            reward = self.to_reward(reward)
        if terminated.__class__ is not bool or truncated.__class__ is not bool:
            terminated, truncated = self.to_bool("terminated", terminated), self.to_bool("truncated", truncated)
        return self.to_observation(obs), reward, terminated, truncated, {}

    def to_observation(self, obs: Any) -> np.ndarray:
        if type(obs) is np.ndarray and obs.dtype == self.dtype and obs.shape == self.shape:
            return obs
        array = to_numbers(obs)
        if array.dtype.kind in "biuf" and array.shape == self.shape:
            with np.errstate(all="ignore"):  # what does not fit is named
                converted = array.astype(self.dtype)
            if converted.dtype.kind == "f" or (converted == array).all():
                return converted
        raise self.returned("observation", obs, f"one of {in_words(self.observation_space)}")

    def to_reward(self, reward: Any) -> float:
        array = to_numbers(reward)
        if array.size == 1 and -MAX_REWARD < array.item() < MAX_REWARD:
            return float(array.item())
        size = f" from {-MAX_REWARD:g} to {MAX_REWARD:g}" if array.size == 1 and np.isfinite(array).all() else ""
        raise self.returned("reward", reward, f"a finite number{size}")

    def to_bool(self, name: str, value: Any) -> bool:
        array = to_numbers(value)
        if array.size == 1 and array.dtype.kind in "biu" and array.item() in (0, 1):
            return bool(array.item())
        raise self.returned(name, value, "True or False")

    def returned(self, name: str, value: Any, expected: str) -> EnvError:
        """That the environment has just returned something else."""
        words = " ".join(repr(value).split())
        return self.error(f"{name} {words if len(words) <= MOST_WORDS else words[:MOST_WORDS] + '...'}", expected)

    def raised(self, error: Exception) -> EnvError:
        """That the environment has just raised an error, in one line."""
        return self.error(" ".join(f"{type(error).__name__}: {error}".split())[:MOST_WORDS], "no error")

    def of_old_gym(self, found: Any) -> EnvError:
        """That the environment has the interface from before Gymnasium, or none of the two."""
        expected = "Gymnasium's: reset(seed=, options=) gives (obs, info); step five values"
        return self.error(f"another interface ({found})", expected)

    def error(self, found: str, expected: str) -> EnvError:
        where = f"step {len(self.actions)} of the episode from reset(seed={self.start_seed()})"
        error = EnvError(f"env: found {found} in {where}, expected {expected}")
        error.index = self.index
        return error

    def start_seed(self) -> int:
        """The seed of the episode: below 2**32, as every simulator takes; larger ones are of the first edition."""
        seed = episode_seed(self.seed, self.episode)
        return seed if self.seed >= 2**32 else seed % 2**32

    def restore(self, seed: int, episode: int, actions: Sequence) -> tuple[np.ndarray, float]:
        """Act an episode out again; the observation that it led to, and its return.

        Raises EnvError as `step`.
        """
        self.seed, self.episode, self.actions, self.last, total = seed, episode - 1, [], None, 0.0
        obs = self.reset(seed=seed)[0] if episode == 0 else self.reset()[0]
        for action in actions:
            obs, reward, *_ = self.step(action)
            total += reward
        return np.array(obs), total

    def get_inner(self) -> str | None:
        """What the environment's own `get_state` says, as JSON; None where it has none with a `set_state`, or where a
        file cannot hold its state."""
        try:
            state, _ = (self.env.get_wrapper_attr(name) for name in ("get_state", "set_state"))
            return json.dumps(keywords_to_json(plain_keywords(state(), "get_state")))
        except Exception:  # methods of the same names may mean something else
            return None

    def set_inner(self, state: str) -> bool:
        """Give the environment back what `get_inner` returned; whether it is in that state now."""
        try:
            self.env.get_wrapper_attr("set_state")(keywords_from_json(json.loads(state)))
        except Exception:
            return False
        return self.get_inner() == state


class UnknownEnv(ValueError, gym.error.UnregisteredEnv):
    """An id that nothing registers; Gymnasium's users may wait for its error, ours for a ValueError."""


def find_spec(env: str) -> EnvSpec:
    """The specification of an id; of `module:Id` after importing the module, where that is not registered already.

    Raises UnknownEnv, in one line, for a module that cannot be imported and for an id that nothing registers.
    """
    module, colon, env_id = env.rpartition(":")
    reason: Any = "no module before the colon"
    try:
        if module or not colon:
            importlib.import_module(module) if module and not is_registered(env) else None
            return gym.spec(env_id)
    except (gym.error.Error, ImportError) as error:
        reason = error
    expected = "an id that Gymnasium knows, or module:Id, where the module registers it"
    raise UnknownEnv(f"env: found {shown(env)}, expected {expected} ({one_line(reason)})")


def is_registered(env: str) -> bool:
    """Whether an id is registered; of `module:Id`, whether the module is imported, or has the environment's class."""
    module, _, env_id = env.rpartition(":")
    place = f"{module_of(env_id)}."
    return env_id in gym.registry and (not module or module in sys.modules or place.startswith(f"{module}."))


def module_of(env_id: str) -> str:
    """The module of a registered environment's class; empty where that is not known."""
    entry_point = gym.registry[env_id].entry_point if env_id in gym.registry else None
    module = entry_point if isinstance(entry_point, str) else getattr(entry_point, "__module__", None)
    return (module or "").partition(":")[0]


def package_of(env_id: str) -> str | None:
    """The package of a registered environment's class; None where that is Gymnasium, or not known."""
    package = module_of(env_id).partition(".")[0]
    return None if package in ("", "gymnasium") else package


def import_path(env: str) -> str:
    """The id as a new process finds it: `module:Id` as given, else with the package of its class, if not Gymnasium."""
    package = None if ":" in env else package_of(env)
    return env if package is None else f"{package}:{env}"


def has_native_batch(spec: EnvSpec) -> bool:
    """Whether there is a native batch in which each environment depends on its own seed alone."""
    entry_point = spec.vector_entry_point
    creator = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return getattr(creator, "independent_streams", False)


def make_native_batch(env: str, count: int, env_kwargs: dict[str, Any]) -> VectorEnv | None:
    """A native batch in which each environment depends on its own seed alone; None where there is none."""
    spec = find_spec(env)
    keywords: dict[str, Any] = {"max_episode_steps": spec.max_episode_steps} | spec.kwargs | env_kwargs
    check(max_episode_steps=(keywords["max_episode_steps"], LIMIT))
    plain = (keywords["max_episode_steps"] or 0) > 0 and not spec.additional_wrappers
    if plain and spec.entry_point == CARTPOLE and set(keywords) <= {"sutton_barto_reward", "max_episode_steps"}:
        return CartPoleBatch(count, **keywords)
    if not plain or not has_native_batch(spec):
        return None
    return gym.make_vec(spec, count, **NATIVE, **env_kwargs)


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
        made = gym.make(find_spec(env), **keywords) if isinstance(env, str) else env()
    except (gym.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        name = env if isinstance(env, str) else "an environment"
        raise ValueError(f"env: found no package that {name} needs ({error}), expected it installed") from error
    if not isinstance(made, gym.Env):
        raise ValueError(habits.explain_env(made, "a function that returns "))
    for name in ("observation_space", "action_space"):
        if not isinstance(space := getattr(made, name, None), gym.Space):
            raise ValueError(f"env: found {type(made).__name__} whose {name} is {shown(space)}, expected a space")
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
    envs = [Replayable(make_env(env, env_kwargs), index) for index in range(count)]
    if len({id(single.unwrapped) for single in envs}) < count:
        raise ValueError("env: found a function that returns the same environment again, expected a new one each time")
    return envs


def make_batch(env: str | Maker, count: int, env_kwargs: dict[str, Any]) -> VectorEnv:
    """`count` environments as one batch that restarts an ended episode within the same step."""
    native = make_native_batch(env, count, env_kwargs) if isinstance(env, str) else None
    return native or make_sync_batch(env, count, env_kwargs)


class SyncBatch(SyncVectorEnv):
    """Gymnasium's batch of environments, in which each may reuse its arrays; infos hold only the last observations.

    A step that fails, or is interrupted, leaves the episodes as they were before it: EnvError names the environment,
    its episode and step. The environments themselves may have made a part of it, and are to be restored from there.
    """

    envs: Sequence[Replayable]  # type: ignore[assignment]

    def reset(self, *, seed: Sequence[int], options: dict[str, Any] | None = None):  # type: ignore[override]
        space, count = self.single_observation_space, len(self.envs)
        for i, env in enumerate(self.envs):
            self._observations[i] = env.reset(seed=seed[i] % 2**32, options=options)[0]
        size = self._observations.size if self._observations.dtype.kind == "f" else 0
        self.zeros = np.zeros(size, str(torch.get_default_dtype()).removeprefix("torch."))  # as agents see it
        sizes = getattr(space, "nvec", getattr(space, "n", None))  # of a MultiBinary, too
        self.values = None
        if sizes is not None and not isinstance(space, gym.spaces.MultiBinary):
            first = np.broadcast_to(space.start, (count, *space.shape))  # type: ignore[attr-defined]
            self.values = first, first + sizes - 1
        self.check_values()
        return self._observations, {}

    def step(self, actions: np.ndarray):
        before = [(env.episode, env.actions, len(env.actions), env.last) for env in self.envs]
        try:
            return self.step_all(actions)
        except BaseException:
            for env, (episode, done, count, last) in zip(self.envs, before, strict=True):
                env.episode, env.actions, env.last = episode, done, last
                del env.actions[count:]
            raise

    def step_all(self, actions: np.ndarray):
        for i, env in enumerate(self.envs):
            self._observations[i], self._rewards[i], self._terminations[i], self._truncations[i], _ = env.step(
                actions[i]
            )
        done, info = self._terminations | self._truncations, {}
        self.check_values()
        if done.any():
            info = {"final_obs": self._observations.copy(), "_final_obs": done}
            for i in np.flatnonzero(done).tolist():
                env = self.envs[i]
                env.last = env.episode, env.actions, info["final_obs"][i]
                self._observations[i] = env.reset()[0]
            self.check_values()
        return self._observations, self._rewards.copy(), self._terminations.copy(), self._truncations.copy(), info

    def check_values(self) -> None:
        """Raise EnvError unless observations are finite in the agent's precision, and indices in their space."""
        obs = self._observations
        if self.zeros.size:
            with np.errstate(over="ignore", invalid="ignore"):
                values = obs.ravel().astype(self.zeros.dtype, copy=False)
                wrong = np.isnan(values @ self.zeros)  # 0 times infinity is NaN
            if wrong:
                self.refuse(~np.isfinite(values), f"finite numbers of {self.zeros.dtype}")
        elif self.values is not None and (wrong := (obs < self.values[0]) | (obs > self.values[1])).any():
            self.refuse(wrong, f"one of {in_words(self.single_observation_space)}")

    def refuse(self, wrong: np.ndarray, expected: str) -> None:
        first = int(wrong.reshape(self.num_envs, -1).any(1).argmax())
        raise self.envs[first].returned("observation", self._observations[first], expected)


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
    raise ValueError(f"{name}: found {shown(value)}, expected {expected}; or env as a function")


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
        return array_from_json(value[ARRAY], np.dtype(value["dtype"]))
    if TUPLE in value:
        return tuple(keywords_from_json(value[TUPLE]))
    return {key: keywords_from_json(part) for key, part in value.items()}


def array_from_json(numbers: Any, dtype: np.dtype) -> np.ndarray:
    """An array of numbers or texts; ValueError for a type of anything else, or of texts longer than there are."""
    texts = np.array(numbers, "U").itemsize if dtype.kind == "U" else dtype.itemsize
    if dtype.kind not in "biufU" or dtype.itemsize > max(texts, 1000):
        raise ValueError(f"found an array of {dtype}, expected one of numbers or of texts")
    return np.array(numbers, dtype)
