"""Hyper-parameters by world, and by what an agent sees it with; the defaults of each agent are the pendulum's."""

from functools import partial
from typing import Any, Literal, NamedTuple

from agents.common.agent import DEFAULT_NETWORK
from agents.common.config import MakeNetwork
from models import CNN, GRU, LSTM, MLP, Elman

Sense = Literal["plain", "memory", "eyes"]
NETWORKS: dict[str, tuple[Sense, MakeNetwork]] = {
    "mlp": ("plain", DEFAULT_NETWORK),
    "elman": ("memory", partial(Elman, hidden_size=32)),
    "gru": ("memory", partial(GRU, hidden_size=32)),
    "lstm": ("memory", partial(LSTM, hidden_size=32)),
    "cnn": ("eyes", partial(CNN, channels=(8, 16, 16), hidden=64)),
}


class Setting(NamedTuple):
    """Steps of each seed that are enough, and keywords for the agent's constructor."""

    steps: int
    keywords: dict[str, Any]


RECALL = {
    "num_envs": 8,
    "num_steps": 42,
    "batch_size": 168,
    "gamma": 0.98,
    "entropy_weight": 0.02,
    "anneal_steps": None,
}

# Common to the worlds of Gymnasium that are swung up or driven out of a valley.
SWING = {
    "num_envs": 4,
    "train_every": 4,
    "num_updates": 8,
    "learning_starts": 1_000,
    "double": True,
}

# The best of what was tried here.
SETTINGS: dict[tuple[str, str, Sense], Setting] = {
    ("sac", "balancier/Pendulum-v0", "memory"): Setting(15_000, {"sequence_length": 8, "gamma": 0.98, "tau": 0.02}),
    ("a2c", "CartPole-v1", "plain"): Setting(
        300_000,
        {
            "num_envs": 8,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "anneal_steps": 300_000,
        },
    ),
    ("dqn", "CartPole-v1", "plain"): Setting(
        50_000,
        {
            "num_envs": 4,
            "learning_rate": 4e-3,
            "anneal_steps": 50_000,
            "gamma": 0.995,
            "n_step": 5,
            "normalize_reward": True,
            "exploration_steps": 5_000,
            "final_epsilon": 0.1,
        },
    ),
    ("dqn", "Acrobot-v1", "plain"): Setting(
        100_000,
        SWING
        | {
            "network": partial(MLP, hidden=(128, 128)),
            "learning_rate": 1e-3,
            "batch_size": 256,
            "anneal_steps": 100_000,
            "n_step": 3,
            "tau": 0.01,
            "exploration_steps": 12_000,
            "final_epsilon": 0.02,
            "prioritized": True,  # of long episodes there are few, and what they show matters most
        },
    ),
    ("dqn", "LunarLander-v3", "plain"): Setting(
        100_000,
        SWING
        | {
            "network": partial(MLP, hidden=(128, 128)),
            "learning_rate": 1e-3,
            "anneal_steps": 100_000,
            "gamma": 0.995,
            "normalize_reward": True,
            "prioritized": True,
            "num_updates": 4,
            "n_step": 3,
            "tau": 0.005,
            "exploration_steps": 12_000,
        },
    ),
    ("sac", "InvertedPendulum-v5", "plain"): Setting(15_000, {"gamma": 0.98, "tau": 0.02}),
    ("sac", "MountainCarContinuous-v0", "plain"): Setting(
        50_000,
        {
            "num_envs": 4,
            "train_every": 4,
            "num_updates": 4,
            "noise_every": 16,  # noise of single steps shakes the car, and does not drive it out of the valley
            "learning_starts": 5_000,
            "learning_rate": 1e-3,
            "batch_size": 256,
            "buffer_size": 50_000,
            "gamma": 0.999,
            "tau": 0.01,
            "normalize_obs": True,
            "normalize_reward": True,
        },
    ),
    ("dqn", "MountainCar-v0", "plain"): Setting(
        100_000,
        SWING
        | {
            "learning_rate": 2e-3,
            "anneal_steps": 120_000,
            "n_step": 5,
            "tau": 0.005,
            "exploration_steps": 24_000,
            "final_epsilon": 0.07,
            "normalize_obs": True,
        },
    ),
    ("ppo", "CartPole-v1", "plain"): Setting(
        50_000,
        {
            "num_envs": 8,
            "num_steps": 64,
            "num_epochs": 4,
            "batch_size": 64,
            "learning_rate": 2e-3,
            "gamma": 0.99,
            "gae_lambda": 0.98,
            "anneal_steps": 50_000,
        },
    ),
    ("dqn", "balancier/PendulumDiscrete-v0", "eyes"): Setting(
        15_000,
        {
            "learning_rate": 1e-3,
            "batch_size": 64,
            "buffer_size": 15_000,
            "anneal_steps": 15_000,
            "exploration_steps": 4_000,
            "normalize_obs": True,
            "normalize_reward": True,
        },
    ),
    ("ppo", "balancier/Recall-v0", "plain"): Setting(60_000, RECALL),
    ("ppo", "balancier/Recall-v0", "memory"): Setting(60_000, RECALL | {"sequence_length": 21}),
}


def setting(agent: str, env_id: str, sense: Sense = "plain") -> Setting | None:
    """What this agent has been tuned to in this world; None where its defaults have to serve."""
    return SETTINGS.get((agent, env_id.rpartition(":")[2], sense))


def settings(agent: str, env_id: str, network: str = "mlp") -> dict[str, Any]:
    """Keywords for the agent's constructor in this world, with the network of that name."""
    sense, made = NETWORKS[network]
    tuned = setting(agent, env_id, sense)
    return {"network": made} | (tuned.keywords if tuned else {})
