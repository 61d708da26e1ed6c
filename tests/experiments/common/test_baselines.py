"""SB3's agents carry the zoo's numbers, and ours of `--settings zoo` the same."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from agents import AGENTS
from experiments.common.baselines import NEAREST, ZOO, NormalizedModel, make_baseline, zoo_for_ours, zoo_settings
from experiments.common.flags import UsageError

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
    "entropy_weight": 0.0, "value_weight": 0.5, "max_grad_norm": 0.5,
    "network": {"hidden": (64, 64), "activation": "tanh"},
}  # fmt: skip
# All hyper-parameters of `--settings zoo` for a thousand steps, as the first edition had them.
FIRST_EDITION = {
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
        "learning_rate": 1e-3, "learning_starts": 1000, "noise_std": 0.1, "target_noise_std": 0.2,
        "target_noise_clip": 0.5, "policy_delay": 2, "network": {"hidden": (400, 300)},
    },
    ("a2c", "CartPole-v1"): ON_POLICY | {
        "num_envs": 8, "num_steps": 5, "learning_rate": 7e-4, "anneal_steps": None, "gae_lambda": 1.0,
    },
    ("a2c", "Pendulum-v1"): ON_POLICY | {
        "normalize_obs": True, "normalize_reward": True, "num_envs": 8, "num_steps": 8, "learning_rate": 7e-4,
        "value_weight": 0.4, "anneal_steps": 1000, "gae_lambda": 0.9,
    },
}  # fmt: skip


@pytest.mark.parametrize(("agent", "env"), ZOO)
def test_the_zoos_settings_are_sb3s_and_ours(agent, env):
    """SB3's models carry the numbers of the zoo, and ours of `--settings zoo` the same."""
    model, zoo = make_baseline(agent, env, 0), ZOO[agent, env]
    ours = zoo_for_ours(agent, env, 1000)
    assert model.gamma == zoo.get("gamma", 0.99) == ours["gamma"]
    assert model.n_envs == zoo.get("n_envs", 1) == ours["num_envs"]
    if agent == "a2c":
        assert model.n_steps == zoo.get("n_steps", 5) == ours["num_steps"]
        assert (model.get_vec_normalize_env() is not None) == zoo.get("normalize", False) == ours["normalize_obs"]
    else:
        assert model.batch_size == zoo.get("batch_size", model.batch_size) == ours["batch_size"]
    if agent == "td3":
        assert float(model.action_noise._sigma[0]) == zoo["noise_std"] == ours["noise_std"]
    text = str(zoo.get("learning_rate", {"a2c": 7e-4, "td3": 1e-3}.get(agent)))
    rate = float(text.removeprefix("lin_"))
    assert model.lr_schedule(1.0) == rate == ours["learning_rate"]
    assert model.lr_schedule(0.5) == (rate / 2 if "lin_" in text else rate)
    assert ours["anneal_steps"] == (1000 if "lin_" in text else None)
    if agent == "dqn":
        assert ours["network"].keywords == {"hidden": (256, 256)}
        assert [layer.out_features for layer in model.q_net.q_net if hasattr(layer, "out_features")][:2] == [256, 256]


@pytest.mark.parametrize(("agent", "env"), [*ZOO, *NEAREST])
def test_the_zoos_settings_for_ours_are_those_of_the_first_edition(agent, env):
    """Every hyper-parameter is named, so that no default of an agent decides."""
    ours = zoo_for_ours(agent, env, 1000)
    assert ours.keys() == {"network", *(field.name for field in dataclasses.fields(AGENTS[agent].Config))}
    assert ours | {"network": ours["network"].keywords} == FIRST_EDITION[agent, NEAREST.get((agent, env), env)]


def test_sb3s_defaults_serve_where_the_zoo_has_no_settings():
    assert zoo_settings("ppo", "Acrobot-v1") == ("SB3's defaults", {})
    assert make_baseline("ppo", "Acrobot-v1", 0).n_steps == 2048
    with pytest.raises(UsageError, match="no ppo settings for Acrobot-v1"):
        zoo_for_ours("ppo", "Acrobot-v1", 1000)


def test_a_model_of_normalized_observations_is_tested_on_normalized_observations():
    def predict(obs, *, deterministic):
        return obs, deterministic

    half = SimpleNamespace(normalize_obs=lambda obs: obs / 2)
    for env, factor in ((None, 1.0), (half, 0.5)):
        model = NormalizedModel(SimpleNamespace(get_vec_normalize_env=lambda env=env: env, predict=predict))
        obs, deterministic = model.predict(np.array([2.0, 4.0]), deterministic=True)
        np.testing.assert_array_equal(obs, factor * np.array([2.0, 4.0]))
        assert deterministic
