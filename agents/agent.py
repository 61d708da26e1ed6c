"""What all agents share: S x N environments, the learning loop, the face that SB3's users know, and the state.

S seed, N environments of one seed, n observations to act on, O observation, A action components.
"""

import dataclasses
import os
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

import models
from agents import checkpoint
from agents.config import MakeNetwork, Numbers, describe_network, make_config, restore_network
from agents.worlds import Maker, Step, Worlds, import_path
from models.streams import Noise, Seeds, resolve_seeds, stream

DEFAULT_NETWORK = partial(models.MLP, hidden=(64, 64))


class Role(IntEnum):
    """What a seed's random streams are for."""

    WORLDS, NETWORKS, ACTING, REPLAY, UPDATE, PREDICT = range(6)


class Agent(nn.Module):
    """S agents that learn side by side, each from its own seed; the subclasses are the algorithms.

    A module: `state_dict()` is all that learns. What else changes is in `worlds` and `num_timesteps`.

    Args:
        env: a Gymnasium id (`"module:Id"` imports the module first), or a function that makes an environment.
        seeds: how many agents, or their seeds.
        network: makes the body of each network, called with (in_features, seeds=...).
        env_kwargs: keywords of `gymnasium.make`, where `env` is an id.
        hyperparameters: fields of the class's `Config`.

    Raises:
        ValueError: for a hyper-parameter out of range, or a world that the agent cannot act in.
    """

    Config: ClassVar[type]
    obs: Tensor  # (S, N, O), what to act on next
    policy: models.Policy  # observations (S, B, O) -> a distribution over actions

    def __init__(
        self,
        env: str | Maker,
        *,
        seeds: Seeds = 10,
        network: MakeNetwork = DEFAULT_NETWORK,
        env_kwargs: dict[str, Any] | None = None,
        **hyperparameters: Any,
    ):
        super().__init__()
        self.seeds, self.network = resolve_seeds(seeds), network
        self.env: str | Maker = env
        self.env_kwargs: dict[str, Any] = dict(env_kwargs or {})
        self.config = make_config(self.Config, len(self.seeds), hyperparameters)
        self.worlds = Worlds(env, self.env_kwargs, self.seeds, self.config.num_envs, [Role.WORLDS])
        self.register_buffer("obs", self.worlds.reset())  # (S, N, O)
        self.streams = [stream(seed, Role.NETWORKS) for seed in self.seeds]
        self.num_timesteps = 0  # steps of each seed
        self.losses: dict[str, Tensor] = {}  # newest of each kind, (S,)
        self.build()
        self.noise = self.noises(self.policy.noise, Role.ACTING, (self.config.num_envs,))

    # What an algorithm adds.

    def build(self) -> None:
        """Make `policy` and whatever else learns."""
        raise NotImplementedError

    def observe(self, action: Tensor, step: Step) -> None:
        """Take in what `action` in `self.obs` led to, and learn when it is time to."""
        raise NotImplementedError

    def act(self, obs: Tensor) -> Tensor:
        """Sample the next action of every environment."""
        return self.policy(obs).sample(self.noise(self.iteration))

    # What all have.

    def learn(self, total_timesteps: int, callback: Callable[[Self], bool | None] | None = None) -> Self:
        """Learn for `total_timesteps` more steps of each seed (rounded up to a multiple of N).

        `callback(agent)` is called after every step of all environments; it ends the learning by returning False.
        """
        target = self.num_timesteps + total_timesteps
        while self.num_timesteps < target:
            with torch.no_grad():
                action = self.act(self.obs)
            step = self.worlds.step(action)
            self.observe(action, step)
            self.obs = step.obs
            self.num_timesteps += self.config.num_envs
            if callback is not None and callback(self) is False:
                break
        return self

    @property
    def env_id(self) -> str | None:
        """The environment's id; None where the agent was made with a function."""
        return self.env if isinstance(self.env, str) else None

    @property
    def iteration(self) -> int:
        """Steps of each environment so far."""
        return self.num_timesteps // self.config.num_envs

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """The newest losses, and the mean return of the newest complete episodes (NaN before the first); all (S,)."""
        losses = {name: value.detach().numpy(force=True) for name, value in self.losses.items()}
        return {"return": self.worlds.mean_return()} | losses

    def predict(
        self, obs: np.ndarray | Tensor, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """What each seed does in its own observations: (S, n, *obs shape) -> (S, n) or (S, n, A), and the state.

        An action drawn at random depends on the seed, the steps learned and the number of observations alone.
        """
        shape = self.worlds.observation_space.shape
        if tuple(obs.shape[2:]) != shape or len(obs) != len(self):
            raise ValueError(f"obs: found shape {tuple(obs.shape)}, expected ({len(self)}, n, {str(shape)[1:]}")
        return self._predict(self.policy, self.seeds, obs, deterministic), state

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> "Replica":
        return Replica(self, range(len(self))[index])

    def _predict(self, policy: models.Policy, seeds: Sequence[int], obs: Any, deterministic: bool) -> np.ndarray:
        obs = self.worlds.to_network(obs).to(self.obs).flatten(2)  # (S, n, O)
        with torch.no_grad():
            distribution = policy(obs)
            if deterministic:
                return self.worlds.to_env(distribution.mode)
            noise = policy.noise(seeds, (Role.PREDICT, self.num_timesteps), obs.shape[1:2])
            return self.worlds.to_env(distribution.sample(noise))

    # Pieces for the algorithms.

    def body(self, in_features: int | None = None, copies: int = 1) -> nn.Module:
        """A new network of the zoo for observations, or for `in_features` inputs; `copies` times S replicas."""
        return self.network(in_features or self.worlds.in_features, seeds=self.streams * copies)

    def noises(self, draw: Callable, role: Role, shape: Sequence[int]) -> Noise:
        """A stream of random numbers (S, *shape) of this agent's seeds, addressed by step."""
        return Noise(draw, self.seeds, (role,), shape)

    def per_seed(self, value: Numbers) -> Tensor:
        """A hyper-parameter as (S, 1)."""
        return torch.as_tensor(value, dtype=torch.get_default_dtype()).expand(len(self))[:, None]

    @property
    def left(self) -> float:
        """What is left of what falls linearly over `anneal_steps`, to a twentieth: a run that goes on still learns."""
        steps = self.config.anneal_steps
        return max(0.05, 1 - self.num_timesteps / steps) if steps else 1.0

    def annealed(self, learning_rate: Numbers) -> list[float]:
        """The learning rate of each seed now."""
        return (self.left * self.per_seed(learning_rate)).flatten().tolist()

    # The state.

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to one file: a run that loads it goes on as if it had never stopped."""
        arrays = {name: tensor.numpy(force=True) for name, tensor in self.state_dict().items()}
        arrays |= {f"worlds.{name}": array for name, array in self.worlds.get_state().items()}
        meta = {
            "agent": type(self).__name__,
            "env": import_path(self.env) if isinstance(self.env, str) else None,
            "env_kwargs": self.env_kwargs,
            "seeds": self.seeds,
            "network": describe_network(self.network),
            "config": dataclasses.asdict(self.config),
            "dtype": str(self.obs.dtype),
            "num_timesteps": self.num_timesteps,
        }
        checkpoint.save(path, arrays, meta)

    @classmethod
    def load(cls, path: str | os.PathLike, env: str | Maker | None = None, network: MakeNetwork | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            env: needed where the agent was made with a function, which no file holds.
            network: likewise where the network is not one of the zoo.

        Raises:
            FileNotFoundError, agents.CheckpointError: if there is no sound checkpoint.
            ValueError: if it holds another kind of agent, or what it needs is missing.
        """
        arrays, meta = checkpoint.load(path)
        env, dtype = env or meta["env"], str(torch.get_default_dtype())
        if meta["agent"] != cls.__name__:
            raise ValueError(f"{path}: found an agent of class {meta['agent']}, expected {cls.__name__}")
        if meta["dtype"] != dtype:
            raise ValueError(f"{path}: found numbers of {meta['dtype']}, expected the default dtype, {dtype}")
        if env is None:
            raise ValueError(f"{path}: its environment came from a function; expected that again as env=")
        if network is None:
            if meta["network"] is None:
                raise ValueError(f"{path}: its network is not one of the zoo; expected it again as network=")
            network = restore_network(meta["network"])
        agent = cls(env, seeds=meta["seeds"], network=network, env_kwargs=meta["env_kwargs"], **meta["config"])
        worlds = {name.removeprefix("worlds."): arrays.pop(name) for name in list(arrays) if name.startswith("worlds.")}
        agent.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        agent.worlds.set_state(worlds)
        agent.num_timesteps = meta["num_timesteps"]
        return agent


class Replica:
    """One seed's agent with the face of an SB3 model. It shares memory with it: what that learns later, it knows."""

    def __init__(self, agent: Agent, index: int):
        self.agent, self.policy, self.seed = agent, models.replica(agent.policy, index), agent.seeds[index]
        self.observation_space, self.action_space = agent.worlds.observation_space, agent.worlds.action_space

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """What to do in one observation, or in n of them (n, *obs shape), and the state; as in SB3."""
        shape = self.observation_space.shape or ()
        obs = np.asarray(obs)
        if obs.shape != shape and obs.shape[1:] != shape:
            raise ValueError(f"obs: found shape {obs.shape}, expected {shape} or (n, {str(shape)[1:]}")
        action = self.agent._predict(self.policy, [self.seed], obs.reshape(1, -1, *shape), deterministic)[0]  # (n, ...)
        return (action[0] if obs.shape == shape else action), state
