"""Stable-Baselines3's (SB3's) agents with the hyper-parameters that its zoo publishes, and the same for ours.

The numbers are those of DLR-RM/rl-baselines3-zoo, hyperparams/{a2c,dqn,ppo,sac,td3}.yml, each as of commit eec15dc2 of
2026-04-01: number of environments, policy keywords, generalized state-dependent exploration (gSDE), normalization and
schedules included. They cover classic control and LunarLander; the zoo has more environments, which SB3's defaults
serve here. Whatever the zoo leaves open is the default of the SB3 that is installed.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents import AGENTS
from balancier import N_
from experiments.common.flags import UsageError
from models import MLP

# Rough processor seconds for a thousand steps of one seed, for the forecast alone; SB3 has these agents and no others.
SB3_COST = {"sac": 13.0, "ppo": 0.4, "dqn": 2.7, "td3": 10.0, "a2c": 0.15}

# The zoo's keys and values: "lin_" marks what falls linearly to zero over the run; n_timesteps is the zoo's budget.
DQN_LANDER: dict[str, Any] = {
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
}
PPO_LANDER: dict[str, Any] = {
    "n_timesteps": 1_000_000,
    "n_envs": 16,
    "n_steps": 1024,
    "batch_size": 64,
    "gae_lambda": 0.98,
    "gamma": 0.999,
    "n_epochs": 4,
    "ent_coef": 0.01,
}
A2C_SDE: dict[str, Any] = {
    "normalize": True,
    "ent_coef": 0.0,
    "max_grad_norm": 0.5,
    "n_steps": 8,
    "gae_lambda": 0.9,
    "vf_coef": 0.4,
    "use_rms_prop": True,
    "normalize_advantage": False,
    "learning_rate": "lin_7e-4",
    "use_sde": True,
    "policy_kwargs": {"log_std_init": -2, "ortho_init": False},
}
TD3_NOISE: dict[str, Any] = {"train_freq": 1, "gradient_steps": 1, "noise_type": "normal", "noise_std": 0.1}
TD3_TUNED = TD3_NOISE | {
    "gamma": 0.98,
    "buffer_size": 200_000,
    "learning_starts": 10_000,
    "learning_rate": 1e-3,
    "policy_kwargs": {"net_arch": [400, 300]},
}
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
    ("dqn", "Acrobot-v1"): DQN_LANDER,
    ("dqn", "LunarLander-v3"): DQN_LANDER,
    ("dqn", "MountainCar-v0"): {
        "n_timesteps": 120_000,
        "learning_rate": 4e-3,
        "batch_size": 128,
        "buffer_size": 10_000,
        "learning_starts": 1000,
        "gamma": 0.98,
        "target_update_interval": 600,
        "train_freq": 16,
        "gradient_steps": 8,
        "exploration_fraction": 0.2,
        "exploration_final_eps": 0.07,
        "policy_kwargs": {"net_arch": [256, 256]},
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
    ("ppo", "Acrobot-v1"): {
        "n_timesteps": 1_000_000,
        "normalize": True,
        "n_envs": 16,
        "n_steps": 256,
        "gae_lambda": 0.94,
        "gamma": 0.99,
        "n_epochs": 4,
        "ent_coef": 0.0,
    },
    ("ppo", "MountainCar-v0"): {
        "n_timesteps": 1_000_000,
        "normalize": True,
        "n_envs": 16,
        "n_steps": 16,
        "gae_lambda": 0.98,
        "gamma": 0.99,
        "n_epochs": 4,
        "ent_coef": 0.0,
    },
    ("ppo", "MountainCarContinuous-v0"): {
        "n_timesteps": 20_000,
        "normalize": True,
        "n_envs": 1,
        "n_steps": 8,
        "batch_size": 256,
        "gae_lambda": 0.9,
        "gamma": 0.9999,
        "n_epochs": 10,
        "ent_coef": 0.00429,
        "learning_rate": 7.77e-5,
        "clip_range": 0.1,
        "max_grad_norm": 5,
        "vf_coef": 0.19,
        "use_sde": True,
        "policy_kwargs": {"log_std_init": -3.29, "ortho_init": False},
    },
    ("ppo", "LunarLander-v3"): PPO_LANDER,
    ("ppo", "LunarLanderContinuous-v3"): PPO_LANDER,
    ("ppo", "InvertedPendulum-v2"): {
        "n_timesteps": 1_000_000,
        "normalize": True,
        "n_envs": 1,
        "n_steps": 32,
        "batch_size": 64,
        "gae_lambda": 0.9,
        "gamma": 0.999,
        "n_epochs": 5,
        "ent_coef": 1.37976e-7,
        "learning_rate": 2.22425e-4,
        "clip_range": 0.4,
        "max_grad_norm": 0.3,
        "vf_coef": 0.19816,
    },
    ("sac", "Pendulum-v1"): {"n_timesteps": 20_000, "learning_rate": 1e-3},
    ("sac", "MountainCarContinuous-v0"): {
        "n_timesteps": 50_000,
        "learning_rate": 3e-4,
        "buffer_size": 50_000,
        "batch_size": 512,
        "ent_coef": 0.1,
        "train_freq": 32,
        "gradient_steps": 32,
        "gamma": 0.9999,
        "tau": 0.01,
        "learning_starts": 0,
        "use_sde": True,
        "policy_kwargs": {"log_std_init": -3.67, "net_arch": [64, 64]},
    },
    ("sac", "LunarLanderContinuous-v3"): {
        "n_timesteps": 500_000,
        "learning_rate": "lin_7.3e-4",
        "buffer_size": 1_000_000,
        "batch_size": 256,
        "ent_coef": "auto",
        "train_freq": 1,
        "gradient_steps": 1,
        "gamma": 0.99,
        "tau": 0.01,
        "learning_starts": 10_000,
        "policy_kwargs": {"net_arch": [400, 300]},
    },
    ("td3", "Pendulum-v1"): TD3_TUNED | {"n_timesteps": 20_000},
    ("td3", "LunarLanderContinuous-v3"): TD3_TUNED | {"n_timesteps": 300_000},
    ("td3", "MountainCarContinuous-v0"): {
        "n_timesteps": 300_000,
        "noise_type": "ornstein-uhlenbeck",
        "noise_std": 0.5,
        "train_freq": 1,
        "gradient_steps": 1,
        "learning_rate": 1e-3,
        "batch_size": 256,
        "policy_kwargs": {"net_arch": [400, 300]},
    },
    ("a2c", "Pendulum-v1"): A2C_SDE | {"n_timesteps": 1_000_000, "n_envs": 8, "gamma": 0.9},
    ("a2c", "LunarLanderContinuous-v3"): A2C_SDE | {"n_timesteps": 5_000_000, "n_envs": 4, "gamma": 0.99},
    ("a2c", "CartPole-v1"): {"n_timesteps": 500_000, "n_envs": 8, "ent_coef": 0.0},
    ("a2c", "Acrobot-v1"): {"n_timesteps": 500_000, "normalize": True, "n_envs": 16, "ent_coef": 0.0},
    ("a2c", "MountainCar-v0"): {"n_timesteps": 1_000_000, "normalize": True, "n_envs": 16, "ent_coef": 0.0},
    ("a2c", "MountainCarContinuous-v0"): {
        "n_timesteps": 100_000,
        "normalize": True,
        "n_envs": 4,
        "n_steps": 100,
        "ent_coef": 0.0,
        "use_sde": True,
        "sde_sample_freq": 16,
        "policy_kwargs": {"log_std_init": 0.0, "ortho_init": False},
    },
    ("a2c", "LunarLander-v3"): {
        "n_timesteps": 200_000,
        "n_envs": 8,
        "n_steps": 5,
        "gamma": 0.995,
        "ent_coef": 1e-5,
        "learning_rate": "lin_0.00083",
    },
}
# Where the zoo has no settings it takes SB3's defaults, and for TD3 noise, which SB3's TD3 leaves to the user.
DEFAULTS = "SB3's defaults"
ZOO_DEFAULTS: dict[str, dict[str, Any]] = {"td3": TD3_NOISE}
# Environments that have the settings of another. The zoo has no agent for a pendulum with discrete torques: Acrobot,
# which is swung up as well, is the nearest for DQN, and the pendulum without gSDE for the others; a budget for it was
# not published.
NEAREST = {
    ("dqn", "balancier/PendulumDiscrete-v0"): "Acrobot-v1",
    ("ppo", "balancier/PendulumDiscrete-v0"): "Pendulum-v1",
    ("a2c", "balancier/PendulumDiscrete-v0"): "Pendulum-v1",
    ("ppo", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("sac", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("td3", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("a2c", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("ppo", "InvertedPendulum-v5"): "InvertedPendulum-v2",
}
NOT_FOR_DISCRETE = {"use_sde", "sde_sample_freq", "n_timesteps"}  # gSDE needs continuous actions


def zoo_settings(agent: str, env: str) -> tuple[str, dict[str, Any]]:
    """The zoo's environment whose settings serve here, and the settings; SB3's defaults where there are none.

    Only settings that were published for this environment have a budget, `n_timesteps`.
    """
    env = env.rpartition(":")[2]
    nearest = NEAREST.get((agent, env), env)
    if (agent, nearest) not in ZOO:
        return DEFAULTS, deepcopy(ZOO_DEFAULTS.get(agent, {}))
    settings = deepcopy(ZOO[agent, nearest])  # SB3 writes into the policy's keywords
    if env == "balancier/PendulumDiscrete-v0":
        settings = {name: value for name, value in settings.items() if name not in NOT_FOR_DISCRETE}
    return nearest, settings


def schedule(value: Any) -> Any:
    """The zoo's "lin_x": x times the share of the run that is left."""
    if isinstance(value, str) and value.startswith("lin_"):
        start = float(value.removeprefix("lin_"))
        return lambda progress_remaining: start * progress_remaining
    return value


def policy_for(space: gym.Space) -> str:
    """SB3's name for the policy that takes these observations."""
    from stable_baselines3.common.preprocessing import is_image_space

    if isinstance(space, gym.spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(space) else "MlpPolicy"


def make_baseline(agent: str, env: str, seed: int) -> Any:
    """SB3's agent, untrained, on one thread."""
    import stable_baselines3
    from stable_baselines3.common import noise
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    settings = zoo_settings(agent, env)[1]
    settings.pop("n_timesteps", None)
    num_envs, normalize = settings.pop("n_envs", 1), settings.pop("normalize", False)
    noise_type, noise_std = settings.pop("noise_type", None), settings.pop("noise_std", None)
    torch.set_num_threads(1)
    vec_env: Any = make_vec_env(partial(gym.make, env), n_envs=num_envs, seed=seed)
    keywords = {name: schedule(value) for name, value in settings.items()}
    if normalize:  # as the zoo: the returns are discounted as the agent's
        vec_env = VecNormalize(vec_env, **({"gamma": settings["gamma"]} if "gamma" in settings else {}))
    if noise_type and isinstance(vec_env.action_space, gym.spaces.Box):
        kinds = {"normal": noise.NormalActionNoise, "ornstein-uhlenbeck": noise.OrnsteinUhlenbeckActionNoise}
        size = vec_env.action_space.shape[0]
        keywords["action_noise"] = kinds[noise_type](np.zeros(size), np.full(size, noise_std))
    algorithm = getattr(stable_baselines3, agent.upper())
    return algorithm(policy_for(vec_env.observation_space), vec_env, seed=seed, device="cpu", **keywords)


def check_baseline(agent: str, env: str) -> None:
    """UsageError, in one line, if SB3's agent cannot be made for this environment."""
    try:
        make_baseline(agent, env, 0).get_env().close()
    except (AssertionError, ValueError, TypeError, NotImplementedError, gym.error.Error, ImportError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"--env: SB3's {agent} cannot train on {env} ({reason}); --baseline-seeds 0 leaves SB3 out"
        ) from None


class NormalizedModel:
    """An SB3 model that takes observations as they are, and normalizes them if it was trained on normalized ones."""

    def __init__(self, model: Any):
        self.model, self.vec_normalize = model, model.get_vec_normalize_env()

    def predict(self, obs: np.ndarray, *arguments: Any, **keywords: Any) -> tuple:
        obs = obs if self.vec_normalize is None else self.vec_normalize.normalize_obs(obs)
        return self.model.predict(obs, *arguments, **keywords)


# SB3's defaults by the names of our hyper-parameters: all that the zoo leaves open. A buffer holds a million steps, or
# the whole run if that is shorter.
SB3_BUFFER = 1_000_000
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
    "buffer_size": SB3_BUFFER,
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
    "log_std_init": 0.0,
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
    """The zoo's settings by the names of our hyper-parameters, every one of the agent's; see also `left_out`.

    Raises:
        UsageError: where the zoo has none.
    """
    name, zoo = zoo_settings(agent, env)
    if name == DEFAULTS:
        raise UsageError(f"--settings: found zoo, but the zoo has no {agent} settings for {env}; expected own")
    hyperparams = dict(SB3_DEFAULTS[agent])
    for key, value in zoo.items():
        if key in TRANSLATIONS:
            hyperparams |= TRANSLATIONS[key](value, zoo, steps)
    if "buffer_size" in hyperparams:  # a larger one would never be full
        hyperparams["buffer_size"] = min(hyperparams["buffer_size"], max(steps, 100_000))
    known = {"network", *AGENTS[agent].Config.__dataclass_fields__}
    return {key: value for key, value in hyperparams.items() if key in known}


def left_out(agent: str, env: str) -> list[str]:
    """The zoo's settings that our agent does not have, so that `zoo_for_ours` lacks them."""
    zoo = zoo_settings(agent, env)[1]
    names = [key for key in ("use_sde", "sde_sample_freq") if zoo.get(key)]
    if agent == "sac" and zoo.get("ent_coef", "auto") != "auto":
        names.append(f"ent_coef {zoo['ent_coef']}")
    if zoo.get("noise_type", "normal") != "normal":
        names.append(f"noise_type {zoo['noise_type']}")
    names += [key for key in zoo.get("policy_kwargs", {}) if key != "net_arch"]
    if any(isinstance(value, str) and value.startswith("lin_") for value in zoo.values()):
        names.append(N_("the last twentieth of linear schedules"))
    return names


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
    # SB3's PPO takes what a rollout has, if a minibatch is larger.
    "batch_size": lambda value, zoo, _: {"batch_size": min(value, zoo.get("n_envs", 1) * zoo.get("n_steps", value))},
    "buffer_size": renamed("buffer_size"),
    "learning_starts": renamed("learning_starts"),
    "gamma": renamed("gamma"),
    "tau": renamed("tau"),
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
