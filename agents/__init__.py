"""Reinforcement learning over the seed axis: `learn` trains all seeds of an agent at once."""

from agents.agent import Agent, Replica
from agents.checkpoint import CheckpointError
from agents.dqn import DQN
from agents.ppo import PPO
from agents.sac import SAC

AGENTS: dict[str, type[Agent]] = {"dqn": DQN, "ppo": PPO, "sac": SAC}

__all__ = ["AGENTS", "DQN", "PPO", "SAC", "Agent", "CheckpointError", "Replica"]
