"""Reinforcement learning over the seed axis: `learn` trains all seeds of an agent at once."""

import os
from typing import Any

import balancier

balancier.check_packages()

from agents.a2c import A2C
from agents.common import checkpoint
from agents.common.acting import Replica
from agents.common.agent import Agent
from agents.common.checkpoint import CheckpointError
from agents.dqn import DQN
from agents.ppo import PPO
from agents.reinforce import REINFORCE
from agents.sac import SAC
from agents.td3 import TD3

AGENTS: dict[str, type[Agent]] = {"dqn": DQN, "reinforce": REINFORCE, "a2c": A2C, "ppo": PPO, "sac": SAC, "td3": TD3}

__all__ = ["A2C", "AGENTS", "DQN", "PPO", "REINFORCE", "SAC", "TD3", "Agent", "CheckpointError", "Replica", "load"]


def load(path: str | os.PathLike, **given: Any) -> Agent:
    """The agent in a checkpoint, whichever kind it is; keywords and errors as `Agent.load`."""
    kind = checkpoint.load(path)[1]["agent"]
    return AGENTS[kind.lower()].load(path, **given)
