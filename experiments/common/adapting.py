"""Pieces of the lesson `adapt`: episodes on pendulums of unknown length and mass, the network that identifies them, and
the agent that is told its estimates.

S seed, n pendulums, B minibatch, T steps of an episode, O observation components, F features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from agents import Agent
from envs.adaptation import ADAPTATION, Shows, from_unit
from models import GRU, MLP, Adam, Readout
from models.recurrent import State
from models.streams import permutations, stream, stream_seed, uniform

STEPS = 200  # of an episode
SPEED, TORQUE = 8.0, 2.0  # rad/s and N m: the largest
FEATURES = 5  # of a step: cos, sin, speed, torque, change of the speed
ROLE = 211  # of the random streams of the identification
HOLD = 10  # steps for which a random torque is held
EPOCHS, BATCH, RATE = 10, 32, 5e-3  # of the identification network
KEEP = 2.0  # first bias of the gate that keeps the GRU's state
MOST_RANDOM = 0.5  # share of random torques in an episode of the data, at most


# Episodes


@dataclass(frozen=True)
class Episodes:
    """What happened in the episodes of S replicas on n pendulums each."""

    obs: np.ndarray  # (S, n, T + 1, O)
    torque: np.ndarray  # (S, n, T), N m
    reward: np.ndarray  # (S, n, T)

    @property
    def returns(self) -> np.ndarray:
        return self.reward.sum(-1)

    @property
    def angle(self) -> np.ndarray:
        """(S, n, T + 1), rad, 0 upright."""
        return np.arctan2(self.obs[..., 1], self.obs[..., 0])


def play(model: Any, starts: Any, shows: Shows = "nothing") -> Episodes:
    """An episode of each replica from each `reset(seed=start)`; starts (n,), or (S, n) for replicas of their own."""
    starts = np.broadcast_to(np.asarray(starts), (len(model), np.shape(starts)[-1]))
    batch = gym.make_vec(ADAPTATION, starts.size, vectorization_mode="vector_entry_point", shows=shows)
    obs, state = batch.reset(seed=starts.ravel().tolist())[0], None  # type: ignore[arg-type]
    seen, torques, rewards = [obs], [], []
    for step in range(STEPS):
        first = np.full(starts.shape, step == 0)
        action, state = model.predict(obs.reshape(*starts.shape, -1), state, first, deterministic=True)
        obs, reward, *_ends = batch.step(action.reshape(-1, 1))
        seen.append(obs)
        torques.append(action[..., 0])
        rewards.append(reward)
    batch.close()
    stacked = np.stack(seen, 1), np.stack(rewards, 1)
    return Episodes(
        stacked[0].reshape(*starts.shape, STEPS + 1, -1), np.stack(torques, -1), stacked[1].reshape(*starts.shape, -1)
    )


def pendulums(starts: Sequence[int]) -> np.ndarray:
    """Length (m) and mass (kg) of the pendulums from `reset(seed=start)`, (n, 2)."""
    batch = gym.make_vec(ADAPTATION, len(starts), vectorization_mode="vector_entry_point", shows="parameters")
    obs, _info = batch.reset(seed=list(starts))  # type: ignore[arg-type]
    return from_unit(obs[:, 3:])


# The network


def features(before: Tensor, torque: Tensor, after: Tensor) -> Tensor:
    """Inputs (..., F) of a step from observations (..., 3) before and after it, and its torque (...) in N m.

    The change of the speed is an input of its own: a raw speed hides it, which is ten times smaller.
    """
    speed, change = before[..., 2:] / SPEED, after[..., 2:] - before[..., 2:]
    return torch.cat([before[..., :2], speed, torque[..., None] / TORQUE, change], -1)


class Identifier(nn.Module):
    """An MLP and a GRU that estimate length and mass, as shares of their range, after every step.

    The MLP makes products of the features of one step, and the GRU gathers them. Its update gate starts open, so that
    what it has gathered lasts. Maps features (S, B, T, F) to estimates (S, B, T, 2).
    """

    def __init__(self, hidden: int, *, seeds: Sequence[int]):
        super().__init__()
        streams = [stream(seed, ROLE) for seed in seeds]
        self.inputs = MLP(FEATURES, (hidden,), hidden, activation="tanh", seeds=streams)
        trunk = GRU(hidden, hidden, seeds=streams)
        with torch.no_grad():
            trunk.hidden_bias[:, hidden : 2 * hidden] += KEEP  # of the update gate
        self.readout = Readout(trunk, 2, every_step=True, seeds=streams)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.inputs(x.flatten(1, 2)).unflatten(1, x.shape[1:3]))

    def step(self, x: Tensor, memory: State | None) -> tuple[Tensor, State]:
        """Estimates (S, n, 2) within the range after one more step, features (S, n, F), and the new memory."""
        outputs, after = self.readout.trunk(self.inputs(x)[:, :, None], memory)
        return self.readout.head(outputs[:, :, 0]).clamp(-1, 1), after

    def running(self, episodes: Episodes) -> np.ndarray:
        """Estimates (S, n, T + 1, 2) in m and kg, before the first step (the middle of the range) and after each."""
        obs, torque = torch.from_numpy(episodes.obs[..., :3]), torch.from_numpy(episodes.torque)
        with torch.no_grad():
            estimate = self(features(obs[:, :, :-1], torque, obs[:, :, 1:])).clamp(-1, 1)
        return from_unit(nn.functional.pad(estimate, (0, 0, 1, 0)).numpy())


class Told:
    """An agent that knows, told estimates instead of the truth. It sees cos, sin and speed, and acts like an agent.

    Without a network it is always told the middle of both ranges.
    """

    def __init__(self, agent: Any, identifier: Identifier | None):
        self.agent, self.identifier = agent, identifier

    def __len__(self) -> int:
        return len(self.agent)

    @torch.no_grad()
    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """Each seed's actions (S, n, 1) in observations (S, n, 3), as an agent's `predict`.

        The state is the last observation, the last torque and the network's memory; None before the first step.
        """
        now, estimate, memory = torch.as_tensor(obs), torch.zeros(*obs.shape[:2], 2), None
        if state is not None and self.identifier is not None:
            before, torque, memory = state
            estimate, memory = self.identifier.step(features(before, torque, now), memory)
        if episode_start is not None and memory is not None:
            begun = torch.as_tensor(episode_start)[..., None]
            estimate, memory = estimate.masked_fill(begun, 0.0), tuple(part.masked_fill(begun, 0.0) for part in memory)
        action, _none = self.agent.predict(torch.cat([now, estimate], -1), deterministic=deterministic)
        return action, (now, torch.from_numpy(action[..., 0]), memory)


class Explorer:
    """The agent that knows, for data: in half of the episodes it is told wrong values, and torques are random at times.

    Args:
        agent: it sees cos, sin, speed, length and mass.
        count: n, episodes.
    """

    def __init__(self, agent: Agent, count: int):
        self.agent, parts = agent, STEPS // HOLD
        numbers = uniform(agent.seeds, (ROLE, 0), (count, 4 + 2 * parts)).numpy()
        self.is_wrong, self.wrong = numbers[..., :1] < 0.5, 2 * numbers[..., 1:3] - 1
        self.random = numbers[..., 4 : 4 + parts] < MOST_RANDOM * numbers[..., 3:4]
        self.torque = TORQUE * (2 * numbers[..., 4 + parts :] - 1)

    def __len__(self) -> int:
        return len(self.agent)

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, int]:
        """Each seed's actions (S, n, 1) in observations (S, n, 5); the state is the number of steps."""
        step = state or 0
        values = np.where(self.is_wrong, self.wrong, obs[..., 3:])
        action, _none = self.agent.predict(np.concatenate([obs[..., :3], values], -1), deterministic=deterministic)
        random, torque = (x[..., step // HOLD, None] for x in (self.random, self.torque))
        return np.where(random, torque, action).astype(np.float32), step + 1


def identify(agent: Agent, hidden: int, count: int, report: Callable[[float], None]) -> Identifier:
    """Train a network of `hidden` units for each replica, on `count` episodes of its own agent.

    `report` takes the share that is done.
    """
    seeds = agent.seeds
    starts = np.array([[stream_seed(seed, ROLE, 1, index) for index in range(count)] for seed in seeds], np.uint64)
    episodes = play(Explorer(agent, count), starts, "parameters")
    obs, torque = torch.from_numpy(episodes.obs), torch.from_numpy(episodes.torque)
    x, target = features(obs[:, :, :-1, :3], torque, obs[:, :, 1:, :3]), obs[:, :, :1, 3:]  # (S, n, T, F), (S, n, 1, 2)
    identifier = Identifier(hidden, seeds=seeds)
    optimizer = Adam(identifier.parameters(), RATE, max_grad_norm=1.0)
    rows = torch.arange(len(seeds))[:, None]
    for epoch, order in enumerate(permutations(seeds, (ROLE, 2), EPOCHS, count).unbind(1)):
        for number, index in enumerate(order.split(BATCH, 1)):  # (S, B)
            optimizer.learning_rate[:] = RATE * (1 - (epoch + number * BATCH / count) / EPOCHS)
            error = identifier(x[rows, index]) - target[rows, index]
            optimizer.step(error.square().mean((1, 2, 3)))
        report(1 / EPOCHS)
    return identifier
