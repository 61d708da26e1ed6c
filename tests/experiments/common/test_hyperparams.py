"""The tuned values are those that the published results were measured with, whatever the agents' defaults are."""

import dataclasses
from functools import partial

import gymnasium as gym
import pytest

from agents import AGENTS, SAC
from agents.common.config import make_config
from experiments.common.hyperparams import NETWORKS, SETTINGS, setting, tuned
from models import GRU, MLP

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"
TANH_64 = {"hidden": (64, 64), "activation": "tanh"}
# (agent, environment, kind of network) -> steps, keywords of the MLP (None: two layers of 64), full configuration
EXPECTED = {
    ("dqn", "balancier/PendulumDiscrete-v0", "mlp"): (15000, None, {
        "anneal_steps": 15000, "batch_size": 96, "buffer_size": 50000, "double": True, "dueling": False,
        "exploration_steps": 5000, "final_epsilon": 0.1, "gamma": 0.98, "importance_exponent": 0.4,
        "learning_rate": 0.004, "learning_starts": 200, "max_grad_norm": 10.0, "n_step": 1, "noise_every": 1,
        "normalize_obs": False, "normalize_reward": False, "num_envs": 4, "num_updates": 2, "prioritized": False,
        "priority_exponent": 0.6, "sequence_length": None, "target_every": 1, "tau": 0.03, "train_every": 1,
    }),
    ("reinforce", "balancier/Pendulum-v0", "mlp"): (500000, None, {
        "anneal_steps": None, "baseline": True, "entropy_weight": 0.0, "gamma": 0.98, "learning_rate": 0.003,
        "log_std_init": 0.0, "max_grad_norm": None, "normalize_obs": True, "normalize_reward": True, "num_envs": 8,
        "num_steps": 200,
        "sequence_length": None, "value_weight": 0.5,
    }),
    ("a2c", "balancier/Pendulum-v0", "mlp"): (1000000, None, {
        "anneal_steps": 1000000, "entropy_weight": 0.0, "gae_lambda": 0.9, "gamma": 0.95, "learning_rate": 0.0005,
        "log_std_init": 0.0, "max_grad_norm": 0.5, "normalize_obs": True, "normalize_reward": True, "num_envs": 8,
        "num_steps": 8, "sequence_length": None, "value_weight": 0.4,
    }),
    ("ppo", "balancier/Pendulum-v0", "mlp"): (40000, None, {
        "anneal_steps": 40000, "batch_size": 256, "clip_range": 0.2, "entropy_weight": 0.0, "gae_lambda": 0.95,
        "gamma": 0.97, "learning_rate": 0.0025, "log_std_init": 0.0, "max_grad_norm": None, "normalize_obs": False,
        "normalize_reward": True, "num_envs": 16, "num_epochs": 6, "num_steps": 64, "sequence_length": None,
        "value_weight": 0.5,
    }),
    ("sac", "balancier/Pendulum-v0", "mlp"): (10000, None, {
        "anneal_steps": 9000, "batch_size": 64, "buffer_size": 100000, "gamma": 0.98, "learning_rate": 0.004,
        "learning_starts": 400, "n_step": 1, "noise_every": 1, "normalize_obs": False, "normalize_reward": False,
        "num_envs": 4, "num_updates": 3, "sequence_length": None, "tau": 0.02, "train_every": 1,
    }),
    ("td3", "balancier/Pendulum-v0", "mlp"): (10000, None, {
        "anneal_steps": None, "batch_size": 64, "buffer_size": 100000, "gamma": 0.98, "learning_rate": 0.002,
        "learning_starts": 100, "n_step": 1, "noise_every": 1, "noise_std": 0.3, "normalize_obs": False,
        "normalize_reward": False, "num_envs": 1, "num_updates": 1, "policy_delay": 2, "sequence_length": None,
        "target_noise_clip": 0.5, "target_noise_std": 0.2, "tau": 0.02, "train_every": 1,
    }),
    ("sac", "balancier/Pendulum-v0", "recurrent"): (15000, None, {
        "anneal_steps": None, "batch_size": 64, "buffer_size": 100000, "gamma": 0.98, "learning_rate": 0.002,
        "learning_starts": 100, "n_step": 1, "noise_every": 1, "normalize_obs": False, "normalize_reward": False,
        "num_envs": 1, "num_updates": 1, "sequence_length": 8, "tau": 0.02, "train_every": 1,
    }),
    ("a2c", "CartPole-v1", "mlp"): (300000, TANH_64, {
        "anneal_steps": 300000, "entropy_weight": 0.0, "gae_lambda": 0.95, "gamma": 0.99, "learning_rate": 0.002,
        "log_std_init": 0.0,
        "max_grad_norm": 0.5, "normalize_obs": True, "normalize_reward": True, "num_envs": 8, "num_steps": 16,
        "sequence_length": None, "value_weight": 0.4,
    }),
    ("dqn", "CartPole-v1", "mlp"): (50000, None, {
        "anneal_steps": 50000, "batch_size": 128, "buffer_size": 50000, "double": False, "dueling": False,
        "exploration_steps": 5000, "final_epsilon": 0.1, "gamma": 0.995, "importance_exponent": 0.4,
        "learning_rate": 0.004, "learning_starts": 200, "max_grad_norm": 10.0, "n_step": 5, "noise_every": 1,
        "normalize_obs": False, "normalize_reward": True, "num_envs": 4, "num_updates": 1, "prioritized": False,
        "priority_exponent": 0.6, "sequence_length": None, "target_every": 1, "tau": 0.01, "train_every": 1,
    }),
    ("dqn", "Acrobot-v1", "mlp"): (100000, {"hidden": (128, 128)}, {
        "anneal_steps": 100000, "batch_size": 256, "buffer_size": 50000, "double": True, "dueling": False,
        "exploration_steps": 12000, "final_epsilon": 0.02, "gamma": 0.99, "importance_exponent": 0.4,
        "learning_rate": 0.001, "learning_starts": 1000, "max_grad_norm": 10.0, "n_step": 3, "noise_every": 1,
        "normalize_obs": False, "normalize_reward": False, "num_envs": 4, "num_updates": 8, "prioritized": True,
        "priority_exponent": 0.6, "sequence_length": None, "target_every": 1, "tau": 0.01, "train_every": 4,
    }),
    ("dqn", "LunarLander-v3", "mlp"): (100000, {"hidden": (128, 128)}, {
        "anneal_steps": 100000, "batch_size": 128, "buffer_size": 50000, "double": True, "dueling": False,
        "exploration_steps": 12000, "final_epsilon": 0.05, "gamma": 0.995, "importance_exponent": 0.4,
        "learning_rate": 0.001, "learning_starts": 1000, "max_grad_norm": 10.0, "n_step": 3, "noise_every": 1,
        "normalize_obs": False, "normalize_reward": True, "num_envs": 4, "num_updates": 4, "prioritized": True,
        "priority_exponent": 0.6, "sequence_length": None, "target_every": 1, "tau": 0.005, "train_every": 4,
    }),
    ("sac", "InvertedPendulum-v5", "mlp"): (15000, None, {
        "anneal_steps": None, "batch_size": 64, "buffer_size": 100000, "gamma": 0.98, "learning_rate": 0.002,
        "learning_starts": 100, "n_step": 1, "noise_every": 1, "normalize_obs": False, "normalize_reward": False,
        "num_envs": 1, "num_updates": 1, "sequence_length": None, "tau": 0.02, "train_every": 1,
    }),
    ("sac", "MountainCarContinuous-v0", "mlp"): (50000, None, {
        "anneal_steps": None, "batch_size": 256, "buffer_size": 50000, "gamma": 0.999, "learning_rate": 0.001,
        "learning_starts": 5000, "n_step": 1, "noise_every": 16, "normalize_obs": True, "normalize_reward": True,
        "num_envs": 4, "num_updates": 4, "sequence_length": None, "tau": 0.01, "train_every": 4,
    }),
    ("dqn", "MountainCar-v0", "mlp"): (100000, None, {
        "anneal_steps": 120000, "batch_size": 128, "buffer_size": 50000, "double": True, "dueling": False,
        "exploration_steps": 24000, "final_epsilon": 0.07, "gamma": 0.99, "importance_exponent": 0.4,
        "learning_rate": 0.002, "learning_starts": 1000, "max_grad_norm": 10.0, "n_step": 5, "noise_every": 1,
        "normalize_obs": True, "normalize_reward": False, "num_envs": 4, "num_updates": 8, "prioritized": False,
        "priority_exponent": 0.6, "sequence_length": None, "target_every": 1, "tau": 0.005, "train_every": 4,
    }),
    ("ppo", "CartPole-v1", "mlp"): (50000, {"hidden": (32, 32), "activation": "tanh"}, {
        "anneal_steps": 50000, "batch_size": 64, "clip_range": 0.2, "entropy_weight": 0.0, "gae_lambda": 0.95,
        "gamma": 0.99, "learning_rate": 0.004, "log_std_init": 0.0, "max_grad_norm": None, "normalize_obs": False,
        "normalize_reward": True, "num_envs": 16, "num_epochs": 4, "num_steps": 32, "sequence_length": None,
        "value_weight": 0.5,
    }),
    ("dqn", "balancier/PendulumDiscrete-v0", "cnn"): (15000, None, {
        "anneal_steps": 15000, "batch_size": 64, "buffer_size": 15000, "double": False, "dueling": False,
        "exploration_steps": 4000, "final_epsilon": 0.05, "gamma": 0.99, "importance_exponent": 0.4,
        "learning_rate": 0.001, "learning_starts": 200, "max_grad_norm": 10.0, "n_step": 1, "noise_every": 1,
        "normalize_obs": True, "normalize_reward": True, "num_envs": 1, "num_updates": 1, "prioritized": False,
        "priority_exponent": 0.6, "sequence_length": None, "target_every": 1, "tau": 0.01, "train_every": 1,
    }),
    ("ppo", "balancier/Recall-v0", "mlp"): (60000, None, {
        "anneal_steps": None, "batch_size": 168, "clip_range": 0.2, "entropy_weight": 0.02, "gae_lambda": 0.95,
        "gamma": 0.98, "learning_rate": 0.001, "log_std_init": 0.0, "max_grad_norm": None, "normalize_obs": False,
        "normalize_reward": False, "num_envs": 8, "num_epochs": 10, "num_steps": 42, "sequence_length": None,
        "value_weight": 0.5,
    }),
    ("ppo", "balancier/Recall-v0", "recurrent"): (60000, None, {
        "anneal_steps": None, "batch_size": 168, "clip_range": 0.2, "entropy_weight": 0.02, "gae_lambda": 0.95,
        "gamma": 0.98, "learning_rate": 0.001, "log_std_init": 0.0, "max_grad_norm": None, "normalize_obs": False,
        "normalize_reward": False, "num_envs": 8, "num_epochs": 10, "num_steps": 42, "sequence_length": 21,
        "value_weight": 0.5,
    }),
}  # fmt: skip


def test_every_tuned_pair_is_held():
    """With discrete torques, agents for any actions share the pendulum's entries; PPO learns more slowly there."""
    shared = {(agent, DISCRETE, "mlp") for agent in ("ppo", "a2c", "reinforce")}
    assert SETTINGS.keys() == EXPECTED.keys() | shared
    for agent, _, _ in shared:
        slower = {"anneal_steps": 100_000, "num_epochs": 10, "batch_size": 128, "learning_rate": 1e-3, "gamma": 0.98}
        more = slower if agent == "ppo" else {}
        assert SETTINGS[agent, DISCRETE, "mlp"].keywords == SETTINGS[agent, PENDULUM, "mlp"].keywords | more


@pytest.mark.parametrize(("agent", "env", "kind"), EXPECTED)
def test_a_tuned_pair_is_complete_and_has_its_published_values(agent, env, kind):
    steps, network_keywords, config = EXPECTED[agent, env, kind]
    assert setting(agent, env, kind).steps == steps
    network = {"mlp": "mlp", "recurrent": "gru", "cnn": "cnn"}[kind]
    keywords = tuned(agent, f"envs:{env}", network)
    make_network = keywords.pop("network")
    assert keywords.keys() == {field.name for field in dataclasses.fields(AGENTS[agent].Config)}  # no default is used
    assert dataclasses.asdict(make_config(AGENTS[agent].Config, 1, keywords)) == config
    if kind == "mlp":
        assert (make_network.func, make_network.keywords) == (MLP, network_keywords or {"hidden": (64, 64)})
    else:
        assert make_network is NETWORKS[network][1]


def test_keywords_make_an_agent():
    agent = SAC("envs:balancier/Pendulum-v0", seeds=2, **tuned("sac", "envs:balancier/Pendulum-v0"))
    assert (agent.config.gamma, agent.config.batch_size) == (0.98, 64)


def test_gymnasiums_pendulum_shares_the_pendulums_entries():
    assert tuned("sac", "Pendulum-v1") == tuned("sac", PENDULUM)
    assert tuned("sac", "Pendulum-v1", "lstm")["sequence_length"] == 8


def test_without_an_entry_the_defaults_stay():
    assert tuned("sac", "HalfCheetah-v5") == {}
    assert tuned("ppo", lambda: gym.make("CartPole-v1")) == {}
    assert tuned("ppo", "Acrobot-v1", "gru") == {"network": NETWORKS["gru"][1]}


def test_another_network_takes_the_entry_of_an_mlp_and_its_own_network():
    keywords = tuned("dqn", "Acrobot-v1", "gru")
    assert keywords == tuned("dqn", "Acrobot-v1") | {"network": NETWORKS["gru"][1]}
    assert isinstance(keywords["network"], partial)
    assert keywords["network"].func is GRU


@pytest.mark.parametrize(("given", "words"), [
    (("sacc", PENDULUM), "agent: found 'sacc', expected one of .*sac"),
    (("sac", PENDULUM, "rnn"), "network: found 'rnn', expected one of mlp, elman, gru, lstm, cnn"),
])  # fmt: skip
def test_other_names_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        tuned(*given)
