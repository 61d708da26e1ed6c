"""Episodes of pendulums that are disturbed in one way each: what can happen to one, who plays, and how well.

S seed, C conditions, n starts, m observations of a seed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from agents import Agent
from agents.evaluation import TEST_SEED
from balancier import N_
from envs.disturbances import VectorPushes, VectorTorqueNoise
from envs.optimum import even_torques
from envs.physics import Pendulum, clip
from envs.planning import controller
from experiments.common.hyperparams import PENDULUM, tuned
from experiments.common.training import default_env, make

STEPS, DT = 200, 0.05  # of an episode; s
UPRIGHT = 0.9  # cosine of the largest angle that counts as upright
LATEST = (STEPS - 20) * DT  # s: from here on a success is upright
PUSHED = 100  # steps from the start to the one push
TORQUES = even_torques(Pendulum(), 5)  # N m, of DQN's actions

RANGES: dict[str, Any] = {  # of random pendulums, one draw an episode
    "mass": (0.6, 1.5),
    "length": (0.6, 1.5),
    "angle_noise": (0.0, 0.05),
    "speed_noise": (0.0, 0.25),
    "delay": (0.0, 0.2),
}
HORIZON = 20  # steps that MPC plans: the torques of a longer plan miss the top where the model is wrong
INFORMED = "informed"  # energy shaping with LQR that is told the true mass and length


@dataclass(frozen=True)
class Disturbance:
    label: str
    axis: str  # name and unit of its size
    worst: float  # in that unit
    both_sides: bool = False  # whether it may be as large below zero

    def sizes(self, levels: int) -> list[float]:
        """All sizes but 0, evenly spaced and rising."""
        above = [self.worst * level / levels for level in range(1, levels + 1)]
        return [-size for size in reversed(above)] + above if self.both_sides else above


DISTURBANCES = {
    "mass": Disturbance(N_("mass"), N_("mass off by, %"), 50, both_sides=True),
    "length": Disturbance(N_("length"), N_("length off by, %"), 50, both_sides=True),
    "noise": Disturbance(N_("measurement noise"), N_("noise of the angle, rad (speed: 5 times)"), 0.1),
    "torque": Disturbance(N_("torque noise"), N_("noise of the torque, N m"), 2.0),
    "delay": Disturbance(N_("delay"), N_("delay of the torque, s"), 0.16),
    "pushes": Disturbance(N_("pushes"), N_("push after 5 s, rad/s"), 6.0),
}
Condition = tuple[str, float]  # a disturbance and its size
NOMINAL: Condition = ("nominal", 0.0)


@dataclass(frozen=True)
class Outcome:
    """What a player has done in each condition: means over the starts, (S, C)."""

    success: np.ndarray  # share of the episodes
    seconds: np.ndarray  # to upright, s
    energy: np.ndarray  # work of the motor and against it, J
    roughness: np.ndarray  # root of the mean square change of the torque from step to step, N m
    returns: np.ndarray


def off_by(condition: Condition) -> dict[str, Any]:
    """Mass (kg) or length (m), where that is what a condition changes."""
    name, percent = condition
    return {name: 1 + percent / 100} if name in ("mass", "length") else {}


def make_batch(condition: Condition, count: int) -> VectorEnv:
    """So many pendulums of one condition."""
    name, size = condition
    parameters: dict[str, Any] = {
        "noise": {"angle_noise": size, "speed_noise": 5 * size},
        "delay": {"delay": size},
    }.get(name, {})
    env = gym.make_vec(PENDULUM, count, vectorization_mode="vector_entry_point", **parameters, **off_by(condition))
    if name == "torque":
        return VectorTorqueNoise(env, size)
    return VectorPushes(env, size, PUSHED) if name == "pushes" else env


def start_seeds(seeds: Sequence[int], starts: int) -> list[int]:
    """Seeds of `reset`: those of the first seed, those of the next, ... (S n,)."""
    return [TEST_SEED + (seed * starts + i) % 10_000 for seed in seeds for i in range(starts)]


class Informed:
    """A controller that is told mass and length of every condition: who knows them can do so much."""

    def __init__(self, name: str, conditions: Sequence[Condition]):
        self.controllers = [controller(name, **off_by(condition)) for condition in conditions]

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Torques (S, C n) for observations (S, C n, 3)."""
        parts = np.split(obs, len(self.controllers), 1)
        torques = [one.predict(x.reshape(-1, 3))[0] for one, x in zip(self.controllers, parts, strict=True)]
        return np.concatenate([np.reshape(x, (len(obs), -1)) for x in torques], 1)


def ask(model: Any, obs: np.ndarray, state: Any, first: np.ndarray) -> tuple[np.ndarray, Any]:
    """Torques (S, m), N m, for observations (S, m, 3): of an agent's seeds, or of one controller."""
    if isinstance(model, Informed):
        torque = model.act(obs)
    elif isinstance(model, Agent):
        action, state = model.predict(obs, state, first, deterministic=True)
        torque = TORQUES[action] if action.ndim == 2 else action[..., 0]
    else:
        action, state = model.predict(obs.reshape(-1, 3), state, first.ravel(), deterministic=True)
        torque = action.reshape(first.shape)
    return clip(torque, 2.0), state


def play(
    model: Any,
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    starts: int,
    report: Callable[[float], object] = lambda share: None,
) -> Outcome:
    """All episodes at the same time: of every seed, in every condition, from every start."""
    shape = len(seeds), len(conditions), starts
    batches = [make_batch(condition, len(seeds) * starts) for condition in conditions]

    def gather(values: Iterable[Any]) -> np.ndarray:
        """One array (S n, ...) of each batch -> (S, C, n, ...)."""
        arrays = [np.reshape(x, (len(seeds), starts, *np.shape(x)[1:])) for x in values]
        return np.stack(arrays, 1)

    obs = gather(batch.reset(seed=start_seeds(seeds, starts))[0] for batch in batches)  # type: ignore[arg-type]
    state, torque, first = None, None, np.ones((shape[0], shape[1] * shape[2]), np.bool_)
    seconds, energy, changes, returns = np.zeros((4, *shape))
    for step in range(STEPS + 1):
        angle = gather(batch.unwrapped.angle for batch in batches)  # type: ignore[attr-defined]
        seconds = np.where(np.cos(angle) > UPRIGHT, seconds, DT * (step + 1))
        if step == STEPS:
            break
        before = torque
        flat, state = ask(model, obs.reshape(*first.shape, 3), state, first)
        torque, first = flat.reshape(shape), np.zeros_like(first)
        changes += 0.0 if before is None else (torque - before) ** 2
        actions = torque.swapaxes(0, 1).reshape(shape[1], -1, 1).astype(np.float32)  # (C, S n, 1)
        answers = [batch.step(action) for batch, action in zip(batches, actions, strict=True)]
        obs = gather(answer[0] for answer in answers)
        returns += gather(answer[1] for answer in answers)
        work = (batch.unwrapped.last_torque * batch.unwrapped.speed for batch in batches)  # type: ignore[attr-defined]
        energy += DT * np.abs(gather(work))
        report(1 / STEPS)
    seconds = np.minimum(seconds, STEPS * DT)
    roughness = np.sqrt(changes / (STEPS - 1))
    return Outcome(*(x.mean(2) for x in ((seconds <= LATEST) * 1.0, seconds, energy, roughness, returns)))


# Players


def train(name: str, seeds: Sequence[int], steps: int, report: Callable[[float], object]) -> Agent:
    """An agent trained on the nominal pendulum or, with "-random" in its name, on random ones.

    Where the learning rate falls in training, it reaches its end with the last step.
    """
    kind = name.removesuffix("-random")
    env = default_env(kind)
    keywords = tuned(kind, env) | ({"env_kwargs": RANGES} if kind != name else {})
    keywords |= {"anneal_steps": steps} if keywords["anneal_steps"] else {}
    agent, done = make(kind, env, seeds, keywords), 0

    def callback(agent: Agent) -> None:
        nonlocal done
        report((agent.num_timesteps - done) / steps)
        done = agent.num_timesteps

    return agent.learn(steps, callback)


def make_controller(name: str, conditions: Sequence[Condition]) -> Any:
    """A classical controller of the nominal pendulum, or with INFORMED one that is told the true ones."""
    if name == INFORMED:
        return Informed("lqr-energy", conditions)
    return replace(controller(name), horizon=HORIZON) if name.startswith("mpc") else controller(name)
