"""Environments from an id or a function, as one batch with a random stream to each."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from agents.common import habits
from agents.common.cartpole import CartPoleBatch, episode_seed

Maker = Callable[[], gym.Env]
CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"  # its own entry point, whatever the id


class Replayable(gym.Wrapper):
    """An environment whose state is its seed, the number of its episode and the actions since that began.

    Every episode starts from a seed of its own (`episode_seed`), so an environment that offers no way to read or set
    its state can be brought back to it, in another process too, by acting the episode out again.
    """

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.seed, self.episode, self.actions = 0, 0, []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.seed, self.episode = (self.seed, self.episode + 1) if seed is None else (seed, 0)
        self.actions = []
        return self.env.reset(seed=self.start_seed(), **({} if options is None else {"options": options}))

    def step(self, action):
        self.actions.append(action)
        return self.env.step(action)

    def start_seed(self) -> int:
        """The seed of the episode: below 2**32, as every simulator takes; larger ones are of the first edition."""
        seed = episode_seed(self.seed, self.episode)
        return seed if self.seed >= 2**32 else seed % 2**32

    def restore(self, seed: int, episode: int, actions: Sequence) -> None:
        self.seed, self.episode, self.actions = seed, episode, list(actions)
        self.env.reset(seed=self.start_seed())
        for action in actions:
            self.env.step(action)


def find_spec(env: str) -> EnvSpec:
    """The specification of an id; of `module:Id` after importing the module."""
    module, _, env_id = env.rpartition(":")
    if module:
        importlib.import_module(module)
    return gym.spec(env_id)


def import_path(env: str) -> str:
    """The id as a new process finds it: `module:Id` with the package that registers it, unless that is Gymnasium."""
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
    if spec.entry_point == CARTPOLE and set(env_kwargs) <= {"sutton_barto_reward"}:
        return CartPoleBatch(count, max_episode_steps=spec.max_episode_steps or 500, **env_kwargs)
    if not has_native_batch(spec):
        return None
    mode = AutoresetMode.SAME_STEP
    return gym.make_vec(env, count, vectorization_mode="vector_entry_point", autoreset_mode=mode, **env_kwargs)


def make_env(env: str | Maker, env_kwargs: dict[str, Any]) -> gym.Env:
    """One environment, from an id or a function; ValueError for anything else."""
    if not callable(env) and not isinstance(env, str):
        raise ValueError(habits.explain_env(env))
    made = gym.make(env, disable_env_checker=True, **env_kwargs) if isinstance(env, str) else env()
    if not isinstance(made, gym.Env):
        raise ValueError(habits.explain_env(made, "a function that makes a "))
    return made


def make_batch(env: str | Maker, count: int, env_kwargs: dict[str, Any]) -> VectorEnv:
    """`count` environments as one batch that restarts an ended episode within the same step.

    Raises ValueError for keywords if `env` is a function that makes an environment.
    """
    if isinstance(env, str) and (native := make_native_batch(env, count, env_kwargs)) is not None:
        return native
    if not isinstance(env, str) and env_kwargs:
        expected = "an environment id (bind them to the function)"
        raise ValueError(f"env_kwargs: found them for a function that makes an environment, expected {expected}")
    return make_sync_batch(env, count, env_kwargs)


class SyncBatch(SyncVectorEnv):
    """Gymnasium's batch of environments, which hands on nothing of their infos but the last frames of episodes."""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None):
        return super().reset(seed=None if seed is None else [one % 2**32 for one in seed], options=options)

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        needed = {name: value for name, value in env_info.items() if name == "final_obs"}
        return super()._add_info(vector_infos, needed, env_num)


def make_sync_batch(env: str | Maker, count: int, env_kwargs: dict[str, Any]) -> SyncBatch:
    """`count` single environments stepped one after the other.

    Raises ValueError for a function that returns the same environment again.
    """
    makers = [lambda: Replayable(make_env(env, env_kwargs))] * count
    batch = SyncBatch(makers, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    if len({id(single.unwrapped) for single in batch.envs}) < count:
        raise ValueError("env: found a function that returns the same environment again, expected a new one each time")
    return batch
