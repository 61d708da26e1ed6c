"""Stable-Baselines3's (SB3's) agents with the hyper-parameters that its zoo publishes, and the same for ours.

Copied from DLR-RM/rl-baselines3-zoo, hyperparams/*.yml as of 2026-11 (dqn.yml at commit ce95481b, a2c.yml at 02846e4d,
td3.yml at 1337ead0, the others as in every version since `Pendulum-v1`): number of environments, policy keywords,
generalized state-dependent exploration (gSDE), normalization (of A2C's pendulum alone) and schedules included.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from experiments.common.flags import UsageError
from models import MLP

# Rough processor seconds for a thousand steps of one seed, for the forecast alone; SB3 has these agents and no others.
SB3_COST = {"sac": 12.0, "ppo": 0.25, "dqn": 2.5, "td3": 10.0, "a2c": 0.3}

# "lin_" marks what falls linearly to zero over the run, as in the zoo; n_timesteps is the zoo's budget.
ZOO: dict[tuple[str, str], dict[str, Any]] = {
    ("dqn", "CartPole-v1"): {
        "n_timesteps": 50_000,
        "learning_rate": 2.3e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1000,
        "gamma": 0.99,
        "target_update_interval": 10,
        "train_freq": 256,
        "gradient_steps": 128,
        "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04,
        "policy_kwargs": {"net_arch": [256, 256]},
    },
    ("dqn", "Acrobot-v1"): {
        "n_timesteps": 100_000,
        "learning_rate": 6.3e-4,
        "batch_size": 128,
        "buffer_size": 50_000,
        "learning_starts": 0,
        "gamma": 0.99,
        "target_update_interval": 250,
        "train_freq": 4,
        "gradient_steps": -1,
        "exploration_fraction": 0.12,
        "exploration_final_eps": 0.1,
        "policy_kwargs": {"net_arch": [256, 256]},
    },
    ("ppo", "CartPole-v1"): {
        "n_timesteps": 100_000,
        "n_envs": 8,
        "n_steps": 32,
        "batch_size": 256,
        "gae_lambda": 0.8,
        "gamma": 0.98,
        "n_epochs": 20,
        "ent_coef": 0.0,
        "learning_rate": "lin_0.001",
        "clip_range": "lin_0.2",
    },
    ("ppo", "Pendulum-v1"): {
        "n_timesteps": 100_000,
        "n_envs": 4,
        "n_steps": 1024,
        "gae_lambda": 0.95,
        "gamma": 0.9,
        "n_epochs": 10,
        "ent_coef": 0.0,
        "learning_rate": 1e-3,
        "clip_range": 0.2,
        "use_sde": True,
        "sde_sample_freq": 4,
    },
    ("sac", "Pendulum-v1"): {"n_timesteps": 20_000, "learning_rate": 1e-3},
    ("td3", "Pendulum-v1"): {"n_timesteps": 100_000, "noise_std": 0.1, "learning_starts": 1000},
    ("a2c", "CartPole-v1"): {"n_timesteps": 500_000, "n_envs": 8, "ent_coef": 0.0},
    ("a2c", "Pendulum-v1"): {
        "n_timesteps": 1_000_000,
        "normalize": True,
        "n_envs": 8,
        "ent_coef": 0.0,
        "max_grad_norm": 0.5,
        "n_steps": 8,
        "gae_lambda": 0.9,
        "vf_coef": 0.4,
        "gamma": 0.99,
        "use_rms_prop": True,
        "normalize_advantage": False,
        "learning_rate": "lin_7e-4",
        "use_sde": True,
        "policy_kwargs": {"log_std_init": -2, "ortho_init": False},
    },
}
# The zoo has no DQN for a pendulum; Acrobot, which is swung up as well, is the nearest.
NEAREST = {
    ("dqn", "balancier/PendulumDiscrete-v0"): "Acrobot-v1",
    ("ppo", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("sac", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("td3", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("a2c", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("ppo", "balancier/PendulumDiscrete-v0"): "CartPole-v1",
}


def zoo_settings(agent: str, env: str) -> tuple[str, dict[str, Any]]:
    """The zoo's environment whose settings serve here, and the settings; SB3's defaults where the zoo has none."""
    env = env.rpartition(":")[2]
    nearest = NEAREST.get((agent, env), env)
    return (nearest, ZOO[agent, nearest]) if (agent, nearest) in ZOO else ("SB3's defaults", {})


def schedule(value: Any) -> Any:
    """The zoo's "lin_x": x times the share of the run that is left."""
    if isinstance(value, str) and value.startswith("lin_"):
        start = float(value.removeprefix("lin_"))
        return lambda progress_remaining: start * progress_remaining
    return value


def make_baseline(agent: str, env: str, seed: int) -> Any:
    """SB3's agent, untrained, on one thread."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.noise import NormalActionNoise
    from stable_baselines3.common.vec_env import VecNormalize

    settings = dict(zoo_settings(agent, env)[1])
    settings.pop("n_timesteps", None)
    num_envs, normalize = settings.pop("n_envs", 1), settings.pop("normalize", False)
    noise_std = settings.pop("noise_std", None)
    torch.set_num_threads(1)
    vec_env: Any = make_vec_env(partial(gym.make, env), n_envs=num_envs, seed=seed)
    keywords = {name: schedule(value) for name, value in settings.items()}
    if normalize:
        vec_env = VecNormalize(vec_env, gamma=settings["gamma"])
    if noise_std is not None:
        size = vec_env.action_space.shape[0]
        keywords["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, noise_std))
    algorithm = getattr(stable_baselines3, agent.upper())
    return algorithm("MlpPolicy", vec_env, seed=seed, device="cpu", **keywords)


class NormalizedModel:
    """An SB3 model that takes observations as they are, and normalizes them if it was trained on normalized ones."""

    def __init__(self, model: Any):
        self.model, self.vec_normalize = model, model.get_vec_normalize_env()

    def predict(self, obs: np.ndarray, *arguments: Any, **keywords: Any) -> tuple:
        obs = obs if self.vec_normalize is None else self.vec_normalize.normalize_obs(obs)
        return self.model.predict(obs, *arguments, **keywords)


# SB3's defaults by the names of our hyper-parameters: all that the zoo leaves unsaid. The buffer is as large as the
# longest budget with a buffer, not a million steps.
COMMON: dict[str, Any] = {
    "normalize_obs": False,
    "normalize_reward": False,
    "sequence_length": None,
    "num_envs": 1,
    "gamma": 0.99,
    "anneal_steps": None,
}
OFF_POLICY = COMMON | {
    "batch_size": 256,
    "buffer_size": 100_000,
    "learning_starts": 100,
    "train_every": 1,
    "num_updates": 1,
    "noise_every": 1,
    "n_step": 1,
    "tau": 0.005,
}
ON_POLICY = COMMON | {
    "network": partial(MLP, hidden=(64, 64), activation="tanh"),
    "entropy_weight": 0.0,
    "value_weight": 0.5,
    "max_grad_norm": 0.5,
}
SB3_DEFAULTS: dict[str, dict[str, Any]] = {
    "dqn": OFF_POLICY
    | {
        "network": partial(MLP, hidden=(64, 64)),
        "learning_rate": 1e-4,
        "batch_size": 32,
        "train_every": 4,
        "tau": 1.0,
        "target_every": 10_000,
        "final_epsilon": 0.05,
        "max_grad_norm": 10.0,
        "double": False,
        "dueling": False,
        "prioritized": False,
        "priority_exponent": 0.6,
        "importance_exponent": 0.4,
    },
    "sac": OFF_POLICY | {"network": partial(MLP, hidden=(256, 256)), "learning_rate": 3e-4},
    "td3": OFF_POLICY
    | {
        "network": partial(MLP, hidden=(400, 300)),
        "learning_rate": 1e-3,
        "target_noise_std": 0.2,
        "target_noise_clip": 0.5,
        "policy_delay": 2,
    },
    "ppo": ON_POLICY
    | {
        "num_steps": 2048,
        "num_epochs": 10,
        "batch_size": 64,
        "learning_rate": 3e-4,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
    },
    "a2c": ON_POLICY | {"num_steps": 5, "learning_rate": 7e-4, "gae_lambda": 1.0},
}


def zoo_for_ours(agent: str, env: str, steps: int) -> dict[str, Any]:
    """The zoo's settings by the names of our hyper-parameters, every one of the agent's.

    gSDE and target updates within a batch are left out: our agents do not have them.

    Raises:
        UsageError: where the zoo has none.
    """
    zoo = zoo_settings(agent, env)[1]
    if not zoo:
        raise UsageError(f"--settings: found zoo, but the zoo has no {agent} settings for {env}; expected own")
    hyperparams = dict(SB3_DEFAULTS[agent])
    for name, value in zoo.items():
        if name in TRANSLATIONS:
            hyperparams |= TRANSLATIONS[name](value, zoo, steps)
    return hyperparams


def renamed(name: str) -> Callable:
    """The same value by our name."""
    return lambda value, *_: {name: value}


def annealed(name: str) -> Callable:
    """The same value by our name; "lin_x" falls over the whole run."""

    def translate(value: Any, _: dict, steps: int) -> dict[str, Any]:
        if isinstance(value, str):
            return {name: float(value.removeprefix("lin_")), "anneal_steps": steps}
        return {name: value}

    return translate


# The zoo's name -> our hyper-parameters, from (value, all settings of the zoo, steps of each seed).
TRANSLATIONS: dict[str, Callable[[Any, dict[str, Any], int], dict[str, Any]]] = {
    "n_envs": renamed("num_envs"),
    "n_steps": renamed("num_steps"),
    "n_epochs": renamed("num_epochs"),
    "batch_size": renamed("batch_size"),
    "buffer_size": renamed("buffer_size"),
    "learning_starts": renamed("learning_starts"),
    "gamma": renamed("gamma"),
    "gae_lambda": renamed("gae_lambda"),
    "ent_coef": renamed("entropy_weight"),
    "target_update_interval": renamed("target_every"),
    "train_freq": renamed("train_every"),
    "gradient_steps": lambda value, zoo, _: {"num_updates": zoo["train_freq"] if value == -1 else value},
    "exploration_fraction": lambda value, zoo, steps: {"exploration_steps": max(1, round(value * steps))},
    "exploration_final_eps": renamed("final_epsilon"),
    "vf_coef": renamed("value_weight"),
    "max_grad_norm": renamed("max_grad_norm"),
    "noise_std": renamed("noise_std"),
    "normalize": lambda value, *_: {"normalize_obs": value, "normalize_reward": value},
    "learning_rate": annealed("learning_rate"),
    "clip_range": annealed("clip_range"),
    "policy_kwargs": lambda value, *_: (
        {"network": partial(MLP, hidden=tuple(value["net_arch"]))} if "net_arch" in value else {}
    ),
}
