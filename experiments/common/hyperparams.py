"""Hyper-parameters that were tuned here, environment by environment; elsewhere the defaults of the agents serve.

    from experiments.common.hyperparams import tuned
    SAC(env, **tuned("sac", env))

A seed is one independent training. Every entry was tuned by hand on seeds 0 to 9 (the one for pictures on 0 to 2,
those of SAC and DQN on the pendulum on others up to 1079 too, 300 to 309 among them), and is complete: it does not
depend on the defaults of the agents, which are those of the papers or of SB3.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

from agents import AGENTS
from agents.common.config import MakeNetwork
from models import CNN, GRU, LSTM, MLP, Elman

Kind = Literal["mlp", "recurrent", "cnn"]
NETWORKS: dict[str, tuple[Kind, MakeNetwork]] = {
    "mlp": ("mlp", partial(MLP, hidden=(64, 64))),
    "elman": ("recurrent", partial(Elman, hidden_size=32)),
    "gru": ("recurrent", partial(GRU, hidden_size=32)),
    "lstm": ("recurrent", partial(LSTM, hidden_size=32)),
    "cnn": ("cnn", partial(CNN, channels=(8, 16, 16), hidden=64)),
}
PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"
SAME = {"Pendulum-v1": PENDULUM}  # environments that share the entries of another


class Setting(NamedTuple):
    """Steps of each seed that are enough, keywords of the agent's constructor, and steps of a run with --quick.

    `solved_steps` are those after which every seed is above the threshold, where these are fewer than `steps`.
    """

    steps: int
    keywords: dict[str, Any]
    quick_steps: int = 0
    solved_steps: int = 0


OFF_POLICY: dict[str, Any] = {
    "num_envs": 1,
    "batch_size": 64,
    "buffer_size": 100_000,
    "learning_starts": 100,
    "train_every": 1,
    "num_updates": 1,
    "noise_every": 1,
    "n_step": 1,
    "anneal_steps": None,
    "sequence_length": None,
    "normalize_obs": False,
    "normalize_reward": False,
}
SAC = OFF_POLICY | {"learning_rate": 2e-3, "gamma": 0.985, "tau": 0.01}
TD3 = OFF_POLICY | {
    "learning_rate": 2e-3,
    "gamma": 0.98,
    "tau": 0.02,
    "noise_std": 0.3,
    "target_noise_std": 0.2,
    "target_noise_clip": 0.5,
    "policy_delay": 2,
}
DQN = OFF_POLICY | {
    "learning_rate": 4e-3,
    "gamma": 0.99,
    "tau": 0.01,
    "target_every": 1,
    "batch_size": 128,
    "buffer_size": 50_000,
    "learning_starts": 200,
    "anneal_steps": 15_000,
    "exploration_steps": 6_000,
    "final_epsilon": 0.05,
    "max_grad_norm": 10.0,
    "double": False,
    "dueling": False,
    "prioritized": False,
    "priority_exponent": 0.6,
    "importance_exponent": 0.4,
}
ON_POLICY: dict[str, Any] = {
    "num_envs": 8,
    "entropy_weight": 0.0,
    "value_weight": 0.5,
    "max_grad_norm": None,
    "sequence_length": None,
    "normalize_obs": True,
    "normalize_reward": True,
    "log_std_init": 0.0,
}
PPO = ON_POLICY | {
    "num_steps": 128,
    "num_epochs": 10,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "gamma": 0.98,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "anneal_steps": 100_000,
    "normalize_obs": False,
    "normalize_reward": False,
}
# Scaled rewards spare the critic thousands of steps in which it only learns the size of the returns.
SWING = PPO | {"num_envs": 16, "num_steps": 64, "normalize_reward": True}
PPO_PENDULUM = {"num_epochs": 6, "batch_size": 256, "learning_rate": 2.5e-3, "gamma": 0.97, "anneal_steps": 40_000}
# With the values of SB3's zoo, but for learning rate and discount.
A2C = ON_POLICY | {
    "num_steps": 8,
    "learning_rate": 5e-4,
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "value_weight": 0.4,
    "max_grad_norm": 0.5,
    "anneal_steps": 1_000_000,
}
REINFORCE = ON_POLICY | {
    "num_steps": 200,
    "learning_rate": 3e-3,
    "gamma": 0.98,
    "baseline": True,
    "anneal_steps": None,
}
RECALL = PPO | {
    "num_steps": 42,
    "batch_size": 168,
    "entropy_weight": 0.02,
    "anneal_steps": None,
}
# Environments of Gymnasium that have to be swung up, or driven out of a valley.
SWING_UP = DQN | {
    "num_envs": 4,
    "train_every": 4,
    "num_updates": 8,
    "learning_starts": 1_000,
    "double": True,
}

SETTINGS: dict[tuple[str, str, Kind], Setting] = {
    ("sac", PENDULUM, "mlp"): Setting(
        10_000,
        SAC
        | {
            "num_envs": 4,
            "num_updates": 3,
            "learning_starts": 400,
            "learning_rate": 4e-3,
            "anneal_steps": 9_000,
            "gamma": 0.98,
            "tau": 0.02,
        },
        4_000,
        solved_steps=5_500,
    ),
    ("td3", PENDULUM, "mlp"): Setting(10_000, TD3, 2_500),
    ("ppo", PENDULUM, "mlp"): Setting(40_000, SWING | PPO_PENDULUM, 20_000, solved_steps=35_000),
    ("a2c", PENDULUM, "mlp"): Setting(1_000_000, A2C, 100_000, solved_steps=400_000),
    ("reinforce", PENDULUM, "mlp"): Setting(500_000, REINFORCE, 100_000),
    ("dqn", DISCRETE, "mlp"): Setting(
        15_000,
        DQN
        | {
            "num_envs": 4,
            "num_updates": 2,
            "batch_size": 96,
            "gamma": 0.98,
            "tau": 0.03,
            "exploration_steps": 5_000,
            "final_epsilon": 0.1,
            "double": True,
        },
        6_000,
        solved_steps=12_000,
    ),
    ("ppo", DISCRETE, "mlp"): Setting(100_000, SWING, 40_000),
    ("a2c", DISCRETE, "mlp"): Setting(1_000_000, A2C, 100_000),
    ("reinforce", DISCRETE, "mlp"): Setting(500_000, REINFORCE, 100_000),
    ("sac", PENDULUM, "recurrent"): Setting(15_000, SAC | {"sequence_length": 8, "gamma": 0.98, "tau": 0.02}),
    ("dqn", DISCRETE, "cnn"): Setting(
        15_000,
        DQN
        | {
            "learning_rate": 1e-3,
            "batch_size": 64,
            "buffer_size": 15_000,
            "anneal_steps": 15_000,
            "exploration_steps": 4_000,
            "normalize_obs": True,
            "normalize_reward": True,
        },
    ),
    ("ppo", "balancier/Recall-v0", "mlp"): Setting(60_000, RECALL),
    ("ppo", "balancier/Recall-v0", "recurrent"): Setting(60_000, RECALL | {"sequence_length": 21}),
    ("a2c", "CartPole-v1", "mlp"): Setting(
        300_000,
        A2C
        | {
            "network": partial(MLP, hidden=(64, 64), activation="tanh"),
            "num_steps": 16,
            "learning_rate": 2e-3,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "anneal_steps": 300_000,
        },
    ),
    ("ppo", "CartPole-v1", "mlp"): Setting(
        50_000,
        SWING
        | {
            "network": partial(MLP, hidden=(32, 32), activation="tanh"),
            "num_steps": 32,
            "num_epochs": 4,
            "batch_size": 64,
            "learning_rate": 4e-3,
            "gamma": 0.99,
            "anneal_steps": 50_000,
        },
    ),
    ("dqn", "CartPole-v1", "mlp"): Setting(
        50_000,
        DQN
        | {
            "num_envs": 4,
            "anneal_steps": 50_000,
            "gamma": 0.995,
            "n_step": 5,
            "normalize_reward": True,
            "exploration_steps": 5_000,
            "final_epsilon": 0.1,
        },
    ),
    ("dqn", "Acrobot-v1", "mlp"): Setting(
        100_000,
        SWING_UP
        | {
            "network": partial(MLP, hidden=(128, 128)),
            "learning_rate": 1e-3,
            "batch_size": 256,
            "anneal_steps": 100_000,
            "n_step": 3,
            "exploration_steps": 12_000,
            "final_epsilon": 0.02,
            "prioritized": True,  # long episodes are rare, and they matter most
        },
    ),
    ("dqn", "LunarLander-v3", "mlp"): Setting(
        100_000,
        SWING_UP
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
    ("dqn", "MountainCar-v0", "mlp"): Setting(
        100_000,
        SWING_UP
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
    ("sac", "InvertedPendulum-v5", "mlp"): Setting(15_000, SAC | {"gamma": 0.98, "tau": 0.02}),
    ("sac", "MountainCarContinuous-v0", "mlp"): Setting(
        50_000,
        SAC
        | {
            "num_envs": 4,
            "train_every": 4,
            "num_updates": 4,
            "noise_every": 16,  # noise that changes at every step does not drive the car out of the valley
            "learning_starts": 5_000,
            "learning_rate": 1e-3,
            "batch_size": 256,
            "buffer_size": 50_000,
            "gamma": 0.999,
            "normalize_obs": True,
            "normalize_reward": True,
        },
    ),
}
OTHER = Setting(0, {})  # where nothing was tuned


def setting(agent: str, env: str | Callable, kind: Kind = "mlp") -> Setting:
    """Budget and keywords of this agent in this environment; those of an MLP where no other network was tuned.

    An environment that was not tuned gets the defaults of the agent's class. Ids may carry a module ("envs:...").
    """
    env_id = env.rpartition(":")[2] if isinstance(env, str) else ""
    env_id = SAME.get(env_id, env_id)
    return SETTINGS.get((agent, env_id, kind)) or SETTINGS.get((agent, env_id, "mlp"), OTHER)


def tuned(agent: str, env: str | Callable, network: str = "mlp") -> dict[str, Any]:
    """Keywords for the constructor of an agent: the values tuned in this environment, and a network of that name.

    Where nothing was tuned, the agent's defaults stay: there are no keywords but a network other than "mlp".

    Args:
        agent: a name in `agents.AGENTS`, such as "sac".
        env: a Gymnasium id, or a function that makes an environment, for which nothing was tuned.
        network: a name in `NETWORKS`.

    Raises:
        ValueError: for an agent or a network of another name.
    """
    for name, value, known in (("agent", agent, AGENTS), ("network", network, NETWORKS)):
        if value not in known:
            raise ValueError(f"{name}: found {value!r}, expected one of {', '.join(known)}")
    kind, make_network = NETWORKS[network]
    keywords = setting(agent, env, kind).keywords
    if network == "mlp":
        return {"network": make_network} | keywords if keywords else {}
    return keywords | {"network": make_network}
