"""Stable-Baselines3's agents at the settings that its own zoo publishes, and those settings for ours.

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
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecNormalize

from experiments.common.flags import UsageError
from models import MLP

CLASSES: dict[str, type[BaseAlgorithm]] = {"dqn": DQN, "a2c": A2C, "ppo": PPO, "sac": SAC, "td3": TD3}

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
# The zoo has no DQN for a pendulum; the classic-control world that its settings for Acrobot swing up is the nearest.
NEAREST = {
    ("dqn", "balancier/PendulumDiscrete-v0"): "Acrobot-v1",
    ("ppo", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("sac", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("td3", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("a2c", "balancier/Pendulum-v0"): "Pendulum-v1",
    ("ppo", "balancier/PendulumDiscrete-v0"): "CartPole-v1",
}


def zoo_settings(agent: str, env: str) -> tuple[str, dict[str, Any]]:
    """The zoo's world whose settings serve here, and the settings; SB3's defaults where the zoo has none."""
    env = env.rpartition(":")[2]
    world = NEAREST.get((agent, env), env)
    return (world, ZOO[agent, world]) if (agent, world) in ZOO else ("SB3's defaults", {})


def schedule(value: Any) -> Any:
    """The zoo's "lin_x": x times the share of the run that is left."""
    if isinstance(value, str) and value.startswith("lin_"):
        start = float(value.removeprefix("lin_"))
        return lambda left: start * left
    return value


def make_baseline(agent: str, env: str, seed: int) -> BaseAlgorithm:
    """SB3's agent, untrained, on one thread."""
    settings = dict(zoo_settings(agent, env)[1])
    settings.pop("n_timesteps", None)
    num_envs, normalize = settings.pop("n_envs", 1), settings.pop("normalize", False)
    noise_std = settings.pop("noise_std", None)
    torch.set_num_threads(1)
    world = make_vec_env(partial(gym.make, env), n_envs=num_envs, seed=seed)
    keywords = {name: schedule(value) for name, value in settings.items()}
    if normalize:
        world = VecNormalize(world, gamma=settings["gamma"])
    if noise_std is not None:
        size = world.action_space.shape[0]  # type: ignore[index]
        keywords["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, noise_std))
    return CLASSES[agent]("MlpPolicy", world, seed=seed, device="cpu", **keywords)


class Judged:
    """An SB3 model as it is judged: where it was trained on normalized observations, by the statistics of that time."""

    def __init__(self, model: BaseAlgorithm):
        self.model, self.world = model, model.get_vec_normalize_env()

    def predict(self, obs: np.ndarray, *others: Any, **more: Any) -> tuple:
        return self.model.predict(obs if self.world is None else self.world.normalize_obs(obs), *others, **more)  # type: ignore[arg-type]


def zoo_for_ours(agent: str, env: str, steps: int) -> dict[str, Any]:
    """The same settings in our words; what ours does not have (gSDE, copying the target within a batch) is left out.

    Raises:
        UsageError: where the zoo has none.
    """
    zoo = zoo_settings(agent, env)[1]
    if not zoo:
        raise UsageError(f"--settings: found zoo, but the zoo has no {agent} settings for {env}; expected own")
    made: dict[str, Any] = {"anneal_steps": None}
    for name, value in zoo.items():
        if name in RENAMED:
            made |= RENAMED[name](value, zoo, steps)
    if agent == "ppo":
        made = {"num_envs": 1, "batch_size": 64, "max_grad_norm": 0.5} | made
        made["network"] = partial(MLP, hidden=(64, 64), activation="tanh")
    elif agent == "a2c":
        made = {"num_envs": 1, "num_steps": 5, "learning_rate": 7e-4, "gamma": 0.99, "gae_lambda": 1.0} | made
        made = {"value_weight": 0.5, "max_grad_norm": 0.5} | made
        made = {"normalize_obs": False, "normalize_reward": False} | made
        made["network"] = partial(MLP, hidden=(64, 64), activation="tanh")
    elif agent == "td3":
        common = {"learning_rate": 1e-3, "gamma": 0.99, "tau": 0.005, "batch_size": 256, "buffer_size": 100_000}
        made = common | {"network": partial(MLP, hidden=(400, 300))} | made
    elif agent == "sac":
        common = {"gamma": 0.99, "tau": 0.005, "batch_size": 256, "learning_starts": 100, "buffer_size": 100_000}
        made = common | {"network": partial(MLP, hidden=(256, 256))} | made
    else:
        made |= {"double": False, "tau": 1.0}
    return made


def _same(name: str) -> Callable:
    return lambda value, *_: {name: value}


def _annealed(name: str) -> Callable:
    def translate(value: Any, _: dict, steps: int) -> dict[str, Any]:
        if isinstance(value, str):
            return {name: float(value.removeprefix("lin_")), "anneal_steps": steps}
        return {name: value}

    return translate


RENAMED: dict[str, Callable[[Any, dict[str, Any], int], dict[str, Any]]] = {
    "n_envs": _same("num_envs"),
    "n_steps": _same("num_steps"),
    "n_epochs": _same("num_epochs"),
    "batch_size": _same("batch_size"),
    "buffer_size": _same("buffer_size"),
    "learning_starts": _same("learning_starts"),
    "gamma": _same("gamma"),
    "gae_lambda": _same("gae_lambda"),
    "ent_coef": _same("entropy_weight"),
    "target_update_interval": _same("target_every"),
    "train_freq": _same("train_every"),
    "gradient_steps": lambda value, zoo, _: {"num_updates": zoo["train_freq"] if value == -1 else value},
    "exploration_fraction": lambda value, zoo, steps: {"exploration_steps": max(1, round(value * steps))},
    "exploration_final_eps": _same("final_epsilon"),
    "vf_coef": _same("value_weight"),
    "max_grad_norm": _same("max_grad_norm"),
    "noise_std": _same("noise_std"),
    "normalize": lambda value, *_: {"normalize_obs": value, "normalize_reward": value},
    "learning_rate": _annealed("learning_rate"),
    "clip_range": _annealed("clip_range"),
    "policy_kwargs": lambda value, *_: (
        {"network": partial(MLP, hidden=tuple(value["net_arch"]))} if "net_arch" in value else {}
    ),
}
