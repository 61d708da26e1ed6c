"""Reinforcement learning over the seed axis: `learn` trains all seeds of an agent at once."""

import os
from typing import Any

from agents import checkpoint
from agents.agent import Agent, Replica
from agents.checkpoint import CheckpointError
from agents.dqn import DQN
from agents.ppo import PPO
from agents.sac import SAC

AGENTS: dict[str, type[Agent]] = {"dqn": DQN, "ppo": PPO, "sac": SAC}

__all__ = ["AGENTS", "DQN", "PPO", "SAC", "Agent", "CheckpointError", "Replica", "load"]


def load(path: str | os.PathLike, **given: Any) -> Agent:
    """The agent in a checkpoint, whichever kind it is; keywords and errors as `Agent.load`."""
    kind = checkpoint.load(path)[1]["agent"]
    return AGENTS[kind.lower()].load(path, **given)
