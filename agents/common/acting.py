"""Acting with what was learned: all seeds at once, or one of them as what SB3 calls a model.

S seed, n observations to act on, F features, K numbers of a recurrent network's state.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from numbers import Integral
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

import models
from agents.common import habits, pages
from agents.common.config import Role
from agents.common.encoder import Encoder
from agents.common.vec_env import VecEnv
from balancier import Bound, check, is_number

SWITCH = Bound(lambda x: isinstance(x, bool | np.bool_), "True or False")
INDEX = Bound(lambda x: is_number(x, Integral), "a whole number, the place of one of the seeds")


class ActingAgent(Protocol):
    """What acting needs of an agent."""

    seeds: tuple[int, ...]
    vec_env: VecEnv
    encoder: Encoder
    policy: models.Policy
    num_timesteps: int
    num_predictions: int
    device: torch.device
    computing: AbstractContextManager


def predict(
    agent: ActingAgent,
    encoder: Encoder,
    policy: models.Policy,
    seeds: Sequence[int],
    obs: np.ndarray | Tensor,
    state: Any,
    episode_start: Any,
    deterministic: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Actions of some of the replicas in observations (S, n, *obs shape), and the state (S, n, K) afterwards."""
    flat = agent.vec_env.to_tensor(obs)
    flat = flat.reshape(*flat.shape[:2], math.prod(flat.shape[2:]))  # (S, n, O)
    check_observed(flat, agent.vec_env.observation_space)
    check(deterministic=(deterministic, SWITCH))
    shape = tuple(flat.shape[:2])
    state = None if state is None else to_numbers("state", state, (*shape, encoder.state_size))
    first = torch.zeros(shape) if episode_start is None else to_numbers("episode_start", episode_start, shape)
    first = torch.ones(shape) if state is None else first
    if agent.device.type != "cpu":
        flat, first = flat.to(agent.device), first.to(agent.device)
        state = None if state is None else state.to(agent.device)
    with torch.no_grad(), agent.computing:
        features = encoder(encoder.pack(flat, first, state))
        distribution = policy(features)
        if deterministic:
            action = distribution.mode
        else:
            path = Role.PREDICT, agent.num_timesteps, agent.num_predictions
            action = distribution.sample(policy.noise(seeds, path, flat.shape[1:2]))
            agent.num_predictions += 1
    action = agent.vec_env.to_env(action.flatten(0, 1).cpu()).unflatten(0, action.shape[:2]).numpy(force=True)
    return action, features[..., : encoder.state_size].numpy(force=True) if encoder.state_size else None


def to_array(value: Any, is_uint8: bool = False, name: str = "obs") -> np.ndarray:
    """An array, from whatever holds numbers; `name` is what a user calls it.

    Raises:
        ValueError: for what is no array of numbers, and for fractions where the environment has bytes.
    """
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], dict):
        raise ValueError(f"{name}: found the tuple (obs, info), expected obs alone (mixing Gym API and SB3's)")
    try:
        array = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        kind = f" of {array.dtype}" if isinstance(value, np.ndarray | Tensor) else ""
        raise ValueError(f"{name}: found a {type(value).__name__}{kind} that is no array of numbers, expected one")
    if is_uint8 and array.dtype != np.uint8:
        with np.errstate(invalid="ignore"):  # NaN becomes another number, too
            if (array != array.astype(np.uint8)).any():
                raise ValueError(f"{name}: found numbers of {array.dtype} that are no bytes, expected uint8")
    return array


def to_numbers(name: str, value: Any, shape: tuple[int, ...]) -> Tensor:
    """Finite numbers of this shape; ValueError for anything else."""
    array = to_array(value, name=name)
    if array.shape != shape or not np.isfinite(array).all():
        found = "numbers that are not finite" if array.shape == shape else f"shape {array.shape}"
        raise ValueError(f"{name}: found {found}, expected finite numbers of shape {shape}")
    return torch.as_tensor(array, dtype=torch.get_default_dtype())


def check_observed(obs: Tensor, space: gym.Space) -> None:
    """Raise ValueError for observations (S, n, O) that are not finite, or neither 0 nor 1 where they are binary."""
    binary = isinstance(space, gym.spaces.MultiBinary)
    wrong = (obs != 0) & (obs != 1) if binary else ~obs.isfinite()
    if wrong.any():
        expected = "0 or 1" if binary else "finite numbers"
        raise ValueError(f"obs: found {obs[wrong][0].item():g}, expected {expected}")


def find_index(index: Any, count: int) -> int:
    """The index of one of so many replicas, from 0 on.

    Raises IndexError for one beyond them, by which loops end, and ValueError for what is no whole number.
    """
    check(index=(index, INDEX))
    if not -count <= index < count:
        raise IndexError(f"index: found {index}, expected {-count} to {count - 1}")
    return int(index) % count


class Replica:
    """The agent of one seed with the interface of an SB3 model. It shares memory: what the agent learns, it learns."""

    def __init__(self, agent: ActingAgent, index: int):
        self.agent, self.index, self.seed = agent, index, agent.seeds[index]
        self.encoder, self.policy = models.replica(agent.encoder, index), models.replica(agent.policy, index)
        self.observation_space, self.action_space = agent.vec_env.observation_space, agent.vec_env.action_space

    def __reduce__(self) -> tuple:  # a copy is a replica of a copy of the agent
        return Replica, (self.agent, self.index)

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """The action in one observation, or in n of them (n, *obs shape), and the state; as in SB3.

        Raises ValueError for observations of another shape, and for what is no array of numbers.
        """
        shape = self.observation_space.shape or ()
        obs = to_array(obs, self.agent.vec_env.is_uint8)
        if obs.shape != shape and (obs.shape[1:] != shape or obs.ndim != len(shape) + 1):
            raise ValueError(f"obs: found shape {obs.shape}, expected {shape} or {(-1, *shape)}".replace("-1", "n"))
        batch = obs.reshape(1, 1 if obs.shape == shape else len(obs), *shape)
        for name, value, size in ("state", state, self.encoder.state_size), ("episode_start", episode_start, 1):
            if value is not None and np.size(value) != len(batch[0]) * size:
                expected = f"{size} for each of {len(batch[0])} observations"
                raise ValueError(f"{name}: found {np.size(value)} numbers, expected {expected}")
        state = None if state is None else np.asarray(state).reshape(1, len(batch[0]), self.encoder.state_size)
        first = None if episode_start is None else np.asarray(episode_start).reshape(1, len(batch[0]))
        action, state = predict(
            self.agent, self.encoder, self.policy, [self.seed], batch, state, first, deterministic
        )  # (1, n, ...)
        return (action[0, 0, ...] if obs.shape == shape else action[0]), None if state is None else state[0]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        known = {"seed": self.seed, "steps": f"{self.agent.num_timesteps:,}", "observations": self.observation_space}
        return pages.facts(
            f"{type(self.agent).__name__}, one seed of {len(self.agent.seeds)}", known | {"actions": self.action_space}
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(habits.explain_attribute(vars(self).get("agent"), name))
