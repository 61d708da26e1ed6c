"""The zoo's numbers are the published ones, SB3's agents carry them, and ours of `--settings zoo` the same."""

import dataclasses
import inspect
import json
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3

from agents import AGENTS
from agents.common.config import check_config
from experiments.common import baselines
from experiments.common.baselines import (
    DEFAULTS,
    NEAREST,
    SB3_COST,
    SB3_DEFAULTS,
    TRANSLATIONS,
    ZOO,
    ZOO_DEFAULTS,
    NormalizedModel,
    check_baseline,
    left_out,
    make_baseline,
    policy_for,
    zoo_for_ours,
    zoo_settings,
)
from experiments.common.flags import UsageError

# What hyperparams/*.yml of the zoo hold, with file, commit and date, read by a YAML parser.
PUBLISHED = json.loads((Path(__file__).parents[2] / "data" / "zoo.json").read_text())
CLASSIC = [key for key in ZOO if key[1] in ("Pendulum-v1", "CartPole-v1") or key == ("dqn", "Acrobot-v1")]
COMMON = {"normalize_obs": False, "normalize_reward": False, "sequence_length": None, "num_envs": 1, "gamma": 0.99}
OFF_POLICY = COMMON | {
    "anneal_steps": None, "batch_size": 256, "buffer_size": 100_000, "learning_starts": 100, "train_every": 1,
    "num_updates": 1, "noise_every": 1, "n_step": 1, "tau": 0.005,
}  # fmt: skip
DQN = OFF_POLICY | {
    "tau": 1.0, "max_grad_norm": 10.0, "double": False, "dueling": False, "prioritized": False,
    "priority_exponent": 0.6, "importance_exponent": 0.4, "network": {"hidden": (256, 256)},
}  # fmt: skip
ON_POLICY = COMMON | {
    "entropy_weight": 0.0, "value_weight": 0.5, "max_grad_norm": 0.5, "log_std_init": 0.0,
    "network": {"hidden": (64, 64), "activation": "tanh"},
}  # fmt: skip
# All hyper-parameters of `--settings zoo` for a thousand steps, by hand.
BY_HAND = {
    ("dqn", "CartPole-v1"): DQN | {
        "learning_rate": 2.3e-3, "batch_size": 64, "learning_starts": 1000, "train_every": 256, "num_updates": 128,
        "target_every": 10, "exploration_steps": 160, "final_epsilon": 0.04,
    },
    ("dqn", "Acrobot-v1"): DQN | {
        "learning_rate": 6.3e-4, "batch_size": 128, "buffer_size": 50_000, "learning_starts": 0, "train_every": 4,
        "num_updates": 4, "target_every": 250, "exploration_steps": 120, "final_epsilon": 0.1,
    },
    ("ppo", "CartPole-v1"): ON_POLICY | {
        "num_envs": 8, "num_steps": 32, "learning_rate": 1e-3, "gamma": 0.98, "anneal_steps": 1000, "num_epochs": 20,
        "batch_size": 256, "gae_lambda": 0.8, "clip_range": 0.2,
    },
    ("ppo", "Pendulum-v1"): ON_POLICY | {
        "num_envs": 4, "num_steps": 1024, "learning_rate": 1e-3, "gamma": 0.9, "anneal_steps": None, "num_epochs": 10,
        "batch_size": 64, "gae_lambda": 0.95, "clip_range": 0.2,
    },
    ("sac", "Pendulum-v1"): OFF_POLICY | {"learning_rate": 1e-3, "network": {"hidden": (256, 256)}},
    ("td3", "Pendulum-v1"): OFF_POLICY | {
        "learning_rate": 1e-3, "gamma": 0.98, "learning_starts": 10_000, "noise_std": 0.1, "target_noise_std": 0.2,
        "target_noise_clip": 0.5, "policy_delay": 2, "network": {"hidden": (400, 300)},
    },
    ("a2c", "CartPole-v1"): ON_POLICY | {
        "num_envs": 8, "num_steps": 5, "learning_rate": 7e-4, "anneal_steps": None, "gae_lambda": 1.0,
    },
    ("a2c", "Pendulum-v1"): ON_POLICY | {
        "normalize_obs": True, "normalize_reward": True, "num_envs": 8, "num_steps": 8, "learning_rate": 7e-4,
        "gamma": 0.9, "value_weight": 0.4, "anneal_steps": 1000, "gae_lambda": 0.9,
    },
}  # fmt: skip


def test_the_table_is_what_the_zoo_publishes():
    """Every number of every entry, and no entry of our own; the file, the commit and the date stand above the table."""
    published = {
        (agent, env): {key: value for key, value in settings.items() if key != "policy"}
        for agent, source in PUBLISHED.items()
        for env, settings in source["settings"].items()
        if env != "default"
    }
    assert published == ZOO
    for agent, source in PUBLISHED.items():
        assert source["file"] == f"hyperparams/{agent}.yml"
        assert f"commit {source['commit'][:8]} of\n{source['date']}" in (baselines.__doc__ or "")
        defaults = {"policy": "MlpPolicy", "n_timesteps": 1_000_000} | ZOO_DEFAULTS.get(agent, {})
        assert defaults == source["settings"]["default"]


@pytest.mark.parametrize("agent", SB3_COST)
def test_what_the_zoo_leaves_open_are_the_defaults_of_the_installed_sb3(agent):
    """By our names, so that `--settings zoo` does not depend on the defaults of ours."""
    algorithm, defaults = getattr(stable_baselines3, agent.upper()), SB3_DEFAULTS[agent]
    values = {name: parameter.default for name, parameter in inspect.signature(algorithm).parameters.items()}
    buffer = {"buffer_size": 10} if "buffer_size" in values else {}
    if buffer:
        assert values.pop("n_steps") == defaults["n_step"]  # of the return; on-policy it is the rollout's length
    values = {key: value for key, value in values.items() if key in TRANSLATIONS and value not in (None, "auto")}
    values.pop("exploration_fraction", None)  # a share of the run
    if agent == "sac":
        assert values.pop("target_update_interval") == 1  # as our SAC, which has no such number
    assert len(values) >= 7
    for key, value in values.items():
        for name, translated in TRANSLATIONS[key](value, {}, 1000).items():
            assert defaults[name] == translated, name
    model = algorithm("MlpPolicy", "CartPole-v1" if agent == "dqn" else "Pendulum-v1", device="cpu", **buffer)
    net = {"dqn": "q_net.q_net", "sac": "actor.latent_pi", "td3": "actor.mu"}.get(agent, "mlp_extractor.policy_net")
    layers = [layer for layer in model.policy.get_submodule(net) if hasattr(layer, "out_features")]
    assert tuple(layer.out_features for layer in layers)[:2] == defaults["network"].keywords["hidden"]


@pytest.mark.parametrize(("agent", "env"), [key for key in ZOO if "Lander" not in key[1] and "Inverted" not in key[1]])
def test_sb3s_models_carry_the_zoos_numbers(agent, env):
    """Every key of an entry is found again in the model, or in its environments and networks."""
    model, zoo = make_baseline(agent, env, 0), dict(ZOO[agent, env])
    assert model.n_envs == zoo.pop("n_envs", 1)
    vec_normalize, gamma = model.get_vec_normalize_env(), zoo.get("gamma", 0.99)
    assert (vec_normalize is not None) == zoo.pop("normalize", False)
    assert model.gamma == gamma
    if vec_normalize is not None:
        assert (vec_normalize.gamma, vec_normalize.norm_obs, vec_normalize.norm_reward) == (gamma, True, True)
    noise_type, noise_std = zoo.pop("noise_type", None), zoo.pop("noise_std", None)
    if noise_type:
        name = {"normal": "NormalActionNoise", "ornstein-uhlenbeck": "OrnsteinUhlenbeckActionNoise"}[noise_type]
        assert type(model.action_noise).__name__ == name
        assert float(model.action_noise._sigma[0]) == noise_std
    for key, value in (zoo.pop("policy_kwargs", None) or {}).items():
        assert model.policy_kwargs[key] == value
    zoo.pop("n_timesteps")
    if zoo.pop("use_rms_prop", False):
        assert "RMSprop" in type(model.policy.optimizer).__name__
    rate = zoo.pop("learning_rate", None)
    for scheduled, value in (
        (model.lr_schedule, rate),
        (getattr(model, "clip_range", None), zoo.pop("clip_range", None)),
    ):
        if value is not None:
            start = float(str(value).removeprefix("lin_"))
            assert scheduled(1.0) == start
            assert scheduled(0.5) == (start / 2 if isinstance(value, str) else start)
    if "train_freq" in zoo:
        assert model.train_freq.frequency == zoo.pop("train_freq")
    for key, value in zoo.items():
        assert getattr(model, key) == value, key


@pytest.mark.parametrize(("agent", "env"), [*CLASSIC, *(key for key in NEAREST if key[1] == "balancier/Pendulum-v0")])
def test_the_zoos_settings_for_ours(agent, env):
    """Every hyper-parameter is named, so that no default of an agent decides."""
    ours = zoo_for_ours(agent, env, 1000)
    assert ours.keys() == {"network", *(field.name for field in dataclasses.fields(AGENTS[agent].Config))}
    assert ours | {"network": ours["network"].keywords} == BY_HAND[agent, NEAREST.get((agent, env), env)]


@pytest.mark.parametrize(("agent", "env"), [*ZOO, *NEAREST])
def test_ours_of_every_entry_can_be_made(agent, env):
    """With every hyper-parameter of the agent named, each in its bounds; networks and environments are not built."""
    ours = zoo_for_ours(agent, env, 1_000_000)
    config = AGENTS[agent].Config
    assert ours.keys() == {"network", *(field.name for field in dataclasses.fields(config))}
    check_config(config(**{key: value for key, value in ours.items() if key != "network"}), 1)


def test_what_ours_leave_out_is_named():
    assert left_out("sac", "Pendulum-v1") == left_out("dqn", "CartPole-v1") == []
    assert left_out("ppo", "balancier/Pendulum-v0") == ["use_sde", "sde_sample_freq"]
    assert left_out("ppo", "CartPole-v1") == ["the last twentieth of linear schedules"]
    assert left_out("sac", "MountainCarContinuous-v0") == ["use_sde", "ent_coef 0.1", "log_std_init"]
    assert left_out("td3", "MountainCarContinuous-v0") == ["noise_type ornstein-uhlenbeck"]


def test_sb3s_defaults_serve_where_the_zoo_has_no_settings():
    assert zoo_settings("ppo", "FrozenLake-v1") == (DEFAULTS, {})
    assert make_baseline("ppo", "Taxi-v4", 0).n_steps == 2048
    with pytest.raises(UsageError, match="no ppo settings for FrozenLake-v1"):
        zoo_for_ours("ppo", "FrozenLake-v1", 1000)
    td3 = make_baseline("td3", "envs:balancier/Sequence-v0", 0)
    assert td3.action_noise._sigma.tolist() == [0.1]  # the zoo's, which SB3's own defaults do not have


def test_a_pendulum_with_discrete_torques_has_no_gsde():
    """It needs continuous actions."""
    zoo_settings("a2c", "Pendulum-v1")[1]["policy_kwargs"]["use_sde"] = True  # as SB3 writes into it
    name, settings = zoo_settings("a2c", "envs:balancier/PendulumDiscrete-v0")
    assert name == "Pendulum-v1"
    assert "use_sde" not in settings
    assert settings["gamma"] == 0.9
    assert settings["policy_kwargs"] == {"log_std_init": -2, "ortho_init": False}
    assert ZOO["a2c", "Pendulum-v1"]["use_sde"]  # the table itself stays as it is


def test_the_policy_that_takes_the_observations():
    box, image = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(0, 255, (84, 84, 3), np.uint8)
    policies = [policy_for(space) for space in (box, gym.spaces.Discrete(4), image, gym.spaces.Dict({"a": box}))]
    assert policies == ["MlpPolicy", "MlpPolicy", "CnnPolicy", "MultiInputPolicy"]


def test_what_sb3_cannot_train_on_is_one_line():
    check_baseline("ppo", "CartPole-v1")
    with pytest.raises(
        UsageError, match="--env: SB3's sac cannot train on CartPole-v1 (.*); --baseline-seeds 0"
    ) as info:
        check_baseline("sac", "CartPole-v1")
    assert "\n" not in str(info.value)


def test_a_model_of_normalized_observations_is_tested_on_normalized_observations():
    def predict(obs, *, deterministic):
        return obs, deterministic

    half = SimpleNamespace(normalize_obs=lambda obs: obs / 2)
    for env, factor in ((None, 1.0), (half, 0.5)):
        model = NormalizedModel(SimpleNamespace(get_vec_normalize_env=lambda env=env: env, predict=predict))
        obs, deterministic = model.predict(np.array([2.0, 4.0]), deterministic=True)
        np.testing.assert_array_equal(obs, factor * np.array([2.0, 4.0]))
        assert deterministic
