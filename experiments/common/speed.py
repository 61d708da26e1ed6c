"""What steps, updates and memory cost: the measurements of `balancier bench`, in processor seconds on one thread.

n environments of a batch, S seed, N environments of one seed, B minibatch, T steps of a rollout.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import nn

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS, Agent
from balancier import N_
from experiments.common.hyperparams import DISCRETE, PENDULUM, tuned
from experiments.common.training import default_env
from models import GRU, MLP, Adam


class BareLoop:
    """The pendulum's step and nothing else, as fast as NumPy can: a bound for batches of n pendulums.

    Every array is there before the first step. No episode ends, and nothing is checked.
    """

    def __init__(self, num_envs: int):
        self.actions = np.empty(num_envs)
        self.x, self.y, self.rewards, self.part = np.empty((4, num_envs))
        self.angle, self.speed = np.zeros((2, num_envs))
        self.small = np.empty(num_envs, np.float32)
        self.obs = np.empty((num_envs, 3), np.float32)

    def reset(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.angle[:], self.speed[:] = rng.uniform(-np.pi, np.pi, len(self.angle)), rng.uniform(-1, 1, len(self.speed))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        angle, speed, torque, x, y, rewards = self.angle, self.speed, self.actions, self.x, self.y, self.rewards
        np.clip(actions[:, 0], -2.0, 2.0, out=torque)
        np.rint(np.multiply(angle, 1 / (2 * np.pi), out=x), out=x)
        np.subtract(angle, np.multiply(x, 2 * np.pi, out=x), out=x)  # wrapped
        np.multiply(x, x, out=rewards)
        np.add(rewards, np.multiply(np.multiply(speed, speed, out=y), 0.1, out=y), out=rewards)
        np.add(rewards, np.multiply(np.multiply(torque, torque, out=y), 0.001, out=y), out=rewards)
        np.negative(rewards, out=rewards)
        np.add(speed, np.multiply(np.sin(angle, out=x), 15 * 0.05, out=x), out=speed)
        np.add(speed, np.multiply(torque, 3 * 0.05, out=y), out=speed)
        np.clip(speed, -8.0, 8.0, out=speed)
        np.add(angle, np.multiply(speed, 0.05, out=y), out=angle)
        np.copyto(self.small, angle, casting="same_kind")
        self.obs[:, 0] = np.cos(self.small)
        self.obs[:, 1] = np.sin(self.small)
        self.obs[:, 2] = speed
        return self.obs, rewards


def native(num_envs: int) -> Any:
    mode = AutoresetMode.SAME_STEP
    return gym.make_vec("balancier/Pendulum-v0", num_envs, vectorization_mode="vector_entry_point", autoreset_mode=mode)


def sync(num_envs: int) -> Any:
    keywords = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gym.make_vec("Pendulum-v1", num_envs, vectorization_mode="sync", vector_kwargs=keywords)


STEPPERS: dict[str, Callable[[int], Any]] = {"balancier": native, "bare": BareLoop, "sync": sync}


def steps_per_second(batch: Any, num_envs: int, budget: float) -> float:
    """Through the public `step`, resets included, random torques."""
    batch.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-2, 2, (20, num_envs, 1)).astype(np.float32)
    batch.step(actions[0])
    steps, began = 0, time.process_time()
    while (spent := time.process_time() - began) < budget or steps < 220:
        for action in actions:
            batch.step(action)
        steps += len(actions)
        if spent > 5 * budget:
            break
    return steps * num_envs / (time.process_time() - began)


def steps_to_time(agent: Agent) -> tuple[int, int]:
    """Steps of each seed after which further ones are typical, and steps to time: whole rollouts, or updates."""
    rollout = getattr(agent.config, "num_steps", 0) * agent.config.num_envs
    if rollout:
        return -(-512 // rollout) * rollout, -(-1024 // rollout) * rollout
    return getattr(agent.config, "learning_starts", 0) + 50 * agent.config.num_envs, 200


def update_cost(name: str, seeds: Sequence[int], **changed: Any) -> float:
    """Processor milliseconds of learning for a thousand steps of every seed, as tuned but for what is `changed`."""
    env = default_env(name)
    agent = AGENTS[name](env, seeds=seeds, **(tuned(name, env) | changed))
    warm, steps = steps_to_time(agent)
    agent.learn(warm)
    began = time.process_time()
    agent.learn(steps)
    return (time.process_time() - began) / steps * 1e6


def variants(name: str) -> dict[str, dict[str, Any]]:
    """What `update_cost` is measured against: one number changed at a time. Names are those of the table's rows."""
    changes = {f"N = {n}": {"num_envs": n} for n in (1, 4, 16, 64)}
    if name == "ppo":
        changes |= {f"T = {t}": {"num_steps": t} for t in (16, 64, 256)}
    changes |= {f"B = {b}": {"batch_size": b} for b in (32, 128, 512)}
    return changes | {f"width {w}": {"network": partial(MLP, hidden=(w, w))} for w in (32, 64, 128, 256)}


def recurrent_cost(batch: int, seeds: int, budget: float) -> tuple[float, float]:
    """Processor milliseconds of one training step on 100 steps with 64 units: our GRU's seeds, and `nn.GRU` alone."""
    ours, theirs = GRU(2, 64, seeds=seeds), nn.GRU(2, 64, batch_first=True)
    optimizer, their_optimizer = Adam(ours.parameters()), torch.optim.Adam(theirs.parameters())
    x = torch.randn(seeds, batch, 100, 2, generator=torch.Generator().manual_seed(0))

    def step() -> None:
        optimizer.step(ours(x)[0].square().mean((1, 2, 3)))

    def their_step() -> None:
        their_optimizer.zero_grad()
        theirs(x[0])[0].square().mean().backward()
        their_optimizer.step()

    return fastest(step, budget), fastest(their_step, budget)


def fastest(function: Callable[[], object], budget: float) -> float:
    """Processor milliseconds of the fastest of at least three calls."""
    times, began = [], time.process_time()
    while len(times) < 3 or time.process_time() - began < budget:
        before = time.process_time()
        function()
        times.append(time.process_time() - before)
    return min(times) * 1e3


def memory_of_a_seed() -> dict[str, float]:
    """Megabytes of one seed with the tuned settings, by part: buffers that are full, parameters and their moments."""
    agents = {
        "SAC": AGENTS["sac"](PENDULUM, seeds=1, **tuned("sac", PENDULUM)),
        "PPO": AGENTS["ppo"](PENDULUM, seeds=1, **tuned("ppo", PENDULUM)),
        "DQN on pixels": AGENTS["dqn"](
            DISCRETE, seeds=1, env_kwargs={"observation": "pixels"}, **tuned("dqn", DISCRETE, "cnn")
        ),
    }
    sizes = {}
    for name, agent in agents.items():
        parts = {N_("replay"): 0, N_("rollout"): 0, N_("networks and optimizers"): 0}
        for key, tensor in agent.state_dict().items():
            part = key.partition(".")[0]
            parts[part if part in parts else "networks and optimizers"] += tensor.nbytes
        sizes |= {f"{name}, {part}": size / 1e6 for part, size in parts.items() if size}
    return sizes
