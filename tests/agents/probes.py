"""Environments so small that all values in them are known."""

from functools import partial

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

ACTIONS = {"discrete": Discrete(2), "continuous": Box(-1.0, 1.0, (1,), np.float32)}


class Probe(gym.Env):
    """Base: one observation component, episodes of `length` steps, terminated, or truncated by a time limit."""

    length, truncates = 1, False

    def __init__(self, actions: str):
        self.observation_space = Box(-3.0, 3.0, (1,), np.float32)
        self.action_space = ACTIONS[actions]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.seen = self.look()
        return self.seen, {}

    def step(self, action):
        reward = self.reward(float(np.asarray(action).reshape(-1)[0]))
        self.t += 1
        self.seen = self.look()
        ended = self.t >= self.length
        return self.seen, reward, ended and not self.truncates, ended and self.truncates, {}

    def look(self) -> np.ndarray:
        return np.zeros(1, np.float32)

    def reward(self, action: float) -> float:
        return 1.0


class One(Probe):
    """Always 1, then the end: the value is 1."""


class Seen(Probe):
    """The reward is the observation, +1 or -1: so is the value."""

    def look(self):
        return np.array([self.np_random.choice([-1.0, 1.0])], np.float32)

    def reward(self, action):
        return float(self.seen[0])


class Later(Probe):
    """Two steps, the reward at the second: the first observation is worth exactly gamma."""

    length = 2

    def look(self):
        return np.array([float(self.t)], np.float32)

    def reward(self, action):
        return float(self.t == 1)


class Match(Probe):
    """The better action depends on the observation: values are those of the best action."""

    def look(self):
        return np.array([self.np_random.choice([-1.0, 1.0])], np.float32)

    def reward(self, action):
        if isinstance(self.action_space, Discrete):
            return 1.0 if (action > 0.5) == (self.seen[0] > 0) else -1.0
        return 1.0 - (action - 0.5 * float(self.seen[0])) ** 2


class Forever(Probe):
    """Always 1, cut by a time limit after five steps: the value is 1 / (1 - gamma)."""

    length, truncates = 5, True


class Mortal(Probe):
    """Forever's twin, terminated where the other is truncated: the value is a finite sum, and less."""

    length, truncates = 5, False

    def look(self):
        return np.array([self.t - 2.0], np.float32)


def maker(probe: type[Probe], actions: str):
    return partial(probe, actions)
