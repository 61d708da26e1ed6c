"""Acting with what was learned: all seeds at once, or one of them as what SB3 calls a model.

S seed, n observations to act on, F features, K numbers of a recurrent network's state.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

import models
from agents.common import habits
from agents.common.config import Role
from agents.common.encoder import Encoder
from agents.common.vec_env import VecEnv


class ActingAgent(Protocol):
    """What acting needs of an agent."""

    seeds: tuple[int, ...]
    vec_env: VecEnv
    encoder: Encoder
    policy: models.Policy
    num_timesteps: int
    num_predictions: int


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
    flat = flat.reshape(*flat.shape[:2], -1)  # (S, n, O)
    first: Any = 1.0 if state is None else 0.0 if episode_start is None else np.asarray(episode_start)
    with torch.no_grad():
        first = torch.as_tensor(first, dtype=torch.get_default_dtype())
        features = encoder(encoder.pack(flat, first, None if state is None else torch.as_tensor(state)))
        distribution = policy(features)
        if deterministic:
            action = distribution.mode
        else:
            path = Role.PREDICT, agent.num_timesteps, agent.num_predictions
            action = distribution.sample(policy.noise(seeds, path, flat.shape[1:2]))
            agent.num_predictions += 1
    action = agent.vec_env.to_env(action.flatten(0, 1)).unflatten(0, action.shape[:2]).numpy(force=True)
    return action, features[..., : encoder.state_size].numpy(force=True) if encoder.state_size else None


def to_array(obs: Any, is_uint8: bool) -> np.ndarray:
    """Observations as an array, from whatever holds numbers.

    Raises:
        ValueError: for what is no array of numbers, and for fractions where the environment has bytes.
    """
    if isinstance(obs, tuple) and len(obs) == 2 and isinstance(obs[1], dict):
        raise ValueError("obs: found the tuple (obs, info), expected obs alone (mixing Gym API and SB3's)")
    try:
        array = obs.numpy(force=True) if isinstance(obs, Tensor) else np.asarray(obs)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"obs: found a {type(obs).__name__} that is no array of numbers, expected one")
    if is_uint8 and array.dtype != np.uint8:
        with np.errstate(invalid="ignore"):  # NaN becomes another number, too
            if (array != array.astype(np.uint8)).any():
                raise ValueError(f"obs: found numbers of {array.dtype} that are no bytes, expected uint8")
    return array


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
        batch = obs.reshape(1, -1, *shape)
        for name, value, size in ("state", state, self.encoder.state_size), ("episode_start", episode_start, 1):
            if value is not None and np.size(value) != len(batch[0]) * size:
                expected = f"{size} for each of {len(batch[0])} observations"
                raise ValueError(f"{name}: found {np.size(value)} numbers, expected {expected}")
        state = None if state is None else np.asarray(state).reshape(1, batch.shape[1], -1)
        first = None if episode_start is None else np.asarray(episode_start).reshape(1, -1)
        action, state = predict(
            self.agent, self.encoder, self.policy, [self.seed], batch, state, first, deterministic
        )  # (1, n, ...)
        return (action[0, 0, ...] if obs.shape == shape else action[0]), None if state is None else state[0]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(habits.explain_attribute(vars(self).get("agent"), name))
