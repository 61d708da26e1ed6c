"""Acting with what was learned: all seeds at once, or one of them as what SB3 calls a model.

S seed, n observations to act on, F features.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import models
from agents.common.config import Role
from agents.common.encoder import Encoder

if TYPE_CHECKING:
    from agents.common.agent import Agent
    from agents.export import Actor


def predict(
    agent: "Agent",
    encoder: Encoder,
    policy: models.Policy,
    seeds: Sequence[int],
    obs: Any,
    state: Any,
    first: Any,
    deterministic: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """What some of the agent's replicas do in observations (S, n, *obs shape), and what their memory then holds."""
    rows = agent.vec_env.to_network(obs).flatten(2)  # (S, n, O)
    with torch.no_grad():
        if state is None:
            first = 1.0
        elif first is None:
            first = 0.0
        first = torch.as_tensor(np.asarray(first), dtype=torch.get_default_dtype())
        features = encoder(encoder.pack(rows, first, None if state is None else torch.as_tensor(state)))
        distribution = policy(features)
        if deterministic:
            action = distribution.mode
        else:
            action = distribution.sample(policy.noise(seeds, (Role.PREDICT, agent.num_timesteps), rows.shape[1:2]))
    return agent.vec_env.to_env(action), None if encoder.recurrent is None else features[
        ..., : encoder.state_size
    ].numpy(force=True)


class Replica:
    """One seed's agent with the face of an SB3 model. It shares memory with it: what that learns later, it knows."""

    def __init__(self, agent: "Agent", index: int):
        self.agent, self.seed = agent, agent.seeds[index]
        self.encoder, self.policy = models.replica(agent.encoder, index), models.replica(agent.policy, index)
        self.observation_space, self.action_space = agent.vec_env.observation_space, agent.vec_env.action_space

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """What to do in one observation, or in n of them (n, *obs shape), and the state; as in SB3."""
        shape = self.observation_space.shape or ()
        obs = np.asarray(obs)
        if obs.shape != shape and obs.shape[1:] != shape:
            raise ValueError(f"obs: found shape {obs.shape}, expected {shape} or (n, {str(shape)[1:]}")
        many = obs.reshape(1, -1, *shape)
        state = None if state is None else np.asarray(state).reshape(1, many.shape[1], -1)
        first = None if episode_start is None else np.asarray(episode_start).reshape(1, -1)
        action, state = predict(
            self.agent, self.encoder, self.policy, [self.seed], many, state, first, deterministic
        )  # (1, n, ...)
        state = None if state is None else state[0]
        return (action[0, 0] if obs.shape == shape else action[0]), state

    def to_sb3(self, **keywords: Any) -> Any:
        """This replica as a Stable-Baselines3 model that predicts the same; see `agents.sb3.to_sb3`."""
        from agents.sb3 import to_sb3

        return to_sb3(self, **keywords)

    def alone(self) -> "Agent":
        """This replica as an agent of one seed that shares nothing with the others and can go on learning."""
        from agents.export import alone

        return alone(self.agent, self.agent.seeds.index(self.seed))

    def save(self, path: str | os.PathLike) -> None:
        """Write this replica alone to one file, a checkpoint like any other: `agents.load` reads it."""
        self.alone().save(path)

    def to_module(self) -> "Actor":
        """A copy of this replica as a plain PyTorch module, observations to actions; see `agents.export.Actor`."""
        from agents.export import Actor

        return Actor(self)

    def to_onnx(self, path: str | os.PathLike) -> None:
        """Write that module as an ONNX file; see `agents.export.to_onnx`."""
        from agents.export import to_onnx

        to_onnx(self, path)
