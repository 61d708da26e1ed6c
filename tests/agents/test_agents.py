"""What every agent owes: independent seeds, exact resuming, SB3's interface, clear errors."""

import subprocess
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy

import agents
from agents import AGENTS, DQN, PPO, SAC, TD3, CheckpointError
from agents.common import checkpoint
from models import MLP
from tests.agents.probes import One

PENDULUM = dict.fromkeys(AGENTS, "balancier/Pendulum-v0") | {"dqn": "balancier/PendulumDiscrete-v0"}
OFF_POLICY = {"learning_starts": 20, "batch_size": 8, "buffer_size": 300}
SMALL = {
    "dqn": OFF_POLICY | {"exploration_steps": 200, "num_envs": 2, "train_every": 1, "target_every": 1, "tau": 0.01},
    "reinforce": {"num_envs": 2, "num_steps": 100, "normalize_obs": True, "normalize_reward": True},
    "a2c": {"num_envs": 2, "normalize_obs": True, "normalize_reward": True},
    "ppo": {"num_envs": 2, "num_steps": 16, "num_epochs": 2, "batch_size": 8},
    "sac": OFF_POLICY,
    "td3": OFF_POLICY,
}
NETWORK = partial(MLP, hidden=(16, 16))


def make(name, env=None, **more):
    return AGENTS[name](f"envs:{env or PENDULUM[name]}", **({"network": NETWORK} | SMALL[name] | more))


def foreign(name):
    """An environment with neither a native batch nor a way to read its state."""
    return "Pendulum-v1" if name in ("sac", "td3") else "CartPole-v1"


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("env_of", [PENDULUM.get, foreign])
def test_seeds_together_are_seeds_alone(name, env_of, float64):
    together, alone = (AGENTS[name](f"envs:{env_of(name)}", seeds=seeds, network=NETWORK, **SMALL[name])
                       for seeds in ([3, 11, 12], [11]))  # fmt: skip
    before = {key: parameter.clone() for key, parameter in alone.named_parameters()}
    for agent in together, alone:
        agent.learn(500)  # past the first ends of episodes
    for key, parameter in alone.named_parameters():
        assert not torch.equal(parameter, before[key]), f"{key} did not move"
        torch.testing.assert_close(together.get_parameter(key)[_rows(together, key)], parameter, atol=1e-9, rtol=0.0)
        assert not torch.equal(together.get_parameter(key)[0], parameter[0]), f"{key} is the same for two seeds"
    np.testing.assert_allclose(together.metrics["return"][1], alone.metrics["return"][0], atol=1e-9)


def _rows(agent, key):
    """Where seed number 1 of three lies in a parameter: once, or as each of the twin critics."""
    return [1, 4] if len(agent.get_parameter(key)) == 6 else [1]


RESUME = """
import sys, torch
import agents
torch.set_num_threads(1)
agent = agents.load(sys.argv[1])
agent.learn(int(sys.argv[3]))
agent.save(sys.argv[2])
"""


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("env_of", [PENDULUM.get, foreign])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(name, env_of, tmp_path):
    """Stopped in mid-episode and mid-rollout (230 = 3 * 64 + 38), resumed by another process."""
    straight, half, whole = (tmp_path / part for part in ("straight", "half", "whole"))
    AGENTS[name](f"envs:{env_of(name)}", seeds=[3, 11], network=NETWORK, **SMALL[name]).learn(450).save(straight)
    agent = AGENTS[name](f"envs:{env_of(name)}", seeds=[3, 11], network=NETWORK, **SMALL[name]).learn(230)
    agent.save(half)
    subprocess.run([sys.executable, "-c", RESUME, half, whole, "220"], check=True)
    (expected, meta), (found, found_meta) = checkpoint.load(straight), checkpoint.load(whole)
    assert meta == found_meta
    assert expected.keys() == found.keys()
    moved = checkpoint.load(half)[0]
    assert any(not np.array_equal(moved[key], expected[key]) for key in expected if key.startswith("policy"))
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)


@pytest.mark.parametrize("name", AGENTS)
def test_loading_gives_the_same_predictions(name, tmp_path):
    agent = make(name, seeds=[3, 11]).learn(100)
    agent.save(tmp_path / "agent")
    loaded = AGENTS[name].load(tmp_path / "agent")
    obs = np.random.default_rng(0).normal(size=(2, 50, 3)).astype(np.float32)
    for deterministic in True, False:
        expected, _ = agent.predict(obs, deterministic=deterministic)
        found, _ = loaded.predict(obs, deterministic=deterministic)
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("name", AGENTS)
def test_one_replica_is_what_sb3_calls_a_model(name):
    agent = make(name, seeds=[3, 11]).learn(100)
    one = agent[1]
    obs = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    together, _ = agent.predict(obs)
    np.testing.assert_allclose(one.predict(obs[1])[0], together[1], atol=1e-6)
    action, state = one.predict(obs[1, 0])
    assert state is None
    assert one.action_space.contains(action if name != "dqn" else int(action))
    env = gym.make(f"envs:{PENDULUM[name]}")
    env.reset(seed=1)
    mean, spread = evaluate_policy(one, env, n_eval_episodes=3, warn=False)
    assert -2200 < mean < 0
    assert spread > 0


@pytest.mark.parametrize(("agent_class", "actions", "more"), [
    (SAC, "continuous", {}), (TD3, "continuous", {}), (DQN, "discrete", {"exploration_steps": 10**9}),
])  # fmt: skip
def test_noise_is_held_for_the_steps_asked_for(agent_class, actions, more):
    hyper = {"num_envs": 16, "noise_every": 3, "learning_starts": 1_000} | more
    agent = agent_class(partial(One, actions), seeds=[3, 11], **hyper)
    taken, step = [], agent.vec_env.step
    agent.vec_env.step = lambda action: taken.append(action) or step(action)
    agent.learn(9 * 16)
    held = torch.stack(taken, 1).unflatten(1, (3, 3))  # (S, 3, 3, N, A); the observation is always the same
    assert held.equal(held[:, :, :1].expand_as(held))
    changed = held[:, 1:] != held[:, :-1]
    assert changed.flatten(2).any(2).all() if agent_class is DQN else changed.all()  # DQN has two actions to take


@pytest.mark.parametrize("name", AGENTS)
def test_learning_stops_at_the_step_asked_for(name):
    agent = make(name, seeds=1)
    num_envs = agent.config.num_envs
    assert agent.learn(7).num_timesteps == -(-7 // num_envs) * num_envs
    assert agent.learn(4).num_timesteps == -(-7 // num_envs) * num_envs + 4
    seen = []
    agent.learn(100, lambda agent: seen.append(agent.num_timesteps) or len(seen) < 3)
    assert len(seen) == 3
    assert agent.num_timesteps == seen[-1]


@pytest.mark.parametrize("name", AGENTS)
def test_every_learning_rate_falls_to_a_twentieth(name):
    agent = make(name, seeds=[3, 11], learning_rate=[1e-3, 1e-2], anneal_steps=200)
    optimizers = [child for child in agent.children() if hasattr(child, "learning_rate")]
    assert len(optimizers) == {"sac": 3, "td3": 2}.get(name, 1)

    def expect(left):
        for optimizer in optimizers:
            twins = len(optimizer.flat) // 2
            np.testing.assert_allclose(optimizer.learning_rate, [left * 1e-3, left * 1e-2] * twins, rtol=1e-6)

    for steps, left in ((1_000, 0.05), (50, 0.75), (0, 1.0)):
        agent.num_timesteps = steps
        agent.anneal()
        expect(left)
    agent.learn(600)
    expect(0.05)


@pytest.mark.parametrize("name", AGENTS)
def test_a_hyper_parameter_may_differ_from_seed_to_seed(name, float64):
    together = make(name, seeds=[3, 11], learning_rate=[1e-3, 1e-2], gamma=[0.9, 0.99]).learn(300)
    alone = make(name, seeds=[11], learning_rate=1e-2, gamma=0.99).learn(300)
    for key, parameter in alone.policy.named_parameters():
        torch.testing.assert_close(together.policy.get_parameter(key)[1:], parameter, atol=1e-9, rtol=0.0)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gamma", 1.5, "from 0 to 1"),
        ("gamma", float("nan"), "from 0 to 1"),
        ("gamma", [0.9, 0.9, 0.9], "one for each|one a seed"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", "fast", "above 0"),
        ("num_envs", 0, "whole number"),
        ("num_envs", 2.5, "whole number"),
        ("num_envs", True, "whole number"),
        ("speed", 3, "no hyper-parameter"),
    ],
)
@pytest.mark.parametrize("agent", AGENTS)
def test_hyper_parameters_out_of_range_are_refused(agent, name, value, words):
    with pytest.raises(ValueError, match=f"^{name}: .*({words})"):
        make(agent, seeds=2, **{name: value})


@pytest.mark.parametrize("answer", [False, np.bool_(False), torch.tensor(False), 0])
def test_whatever_is_false_but_none_ends_the_learning(answer):
    agent = make("ppo", seeds=1)
    assert agent.learn(100, lambda agent: None).num_timesteps == 100
    assert agent.learn(100, lambda agent: answer).num_timesteps == 102


def test_an_environment_instead_of_its_id_is_refused():
    with pytest.raises(ValueError, match="env: found TimeLimit, expected an id, or a function that makes an environ"):
        PPO(gym.make("CartPole-v1"))


def test_a_minibatch_of_one_step_keeps_the_weights_finite():
    agent = make("ppo", seeds=2, num_steps=9, num_envs=1, batch_size=4).learn(18)  # minibatches of 4, 4 and 1
    assert torch.isfinite(agent.optimizer.flat).all()
    assert torch.isfinite(agent.losses["loss"]).all()


@pytest.mark.parametrize(("size", "more", "words"), [
    (10**12, {}, "expected fewer .Unable to allocate"),
    (3, {"n_step": 4}, "expected at least 4, the steps of one sample in each environment"),
])  # fmt: skip
def test_a_buffer_that_cannot_be_is_refused(size, more, words):
    with pytest.raises(ValueError, match=f"^buffer_size: found {size}, {words}"):
        make("sac", seeds=2, **({"buffer_size": size} | more))


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [-3], [0.5]])
def test_bad_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match=r"^seeds: "):
        make("ppo", seeds=seeds)


@pytest.mark.parametrize(("kind", "env", "words"), [
    (DQN, "Pendulum-v1", "expected a Discrete"),
    (SAC, "CartPole-v1", "expected a Box"),
    (PPO, "Blackjack-v1", "observation space"),
])  # fmt: skip
def test_environments_that_do_not_fit_are_refused(kind, env, words):
    with pytest.raises(ValueError, match=words):
        kind(env, seeds=1)


def test_an_unknown_environment_is_named():
    with pytest.raises(gym.error.Error, match="Nowhere"):
        PPO("Nowhere-v0")


def test_observations_of_the_wrong_shape_are_refused():
    agent = make("ppo", seeds=2)
    with pytest.raises(ValueError, match=r"found shape \(2, 3\), expected \(2, n, 3"):
        agent.predict(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"found shape \(4,\), expected \(3,\)"):
        agent[0].predict(np.zeros(4))
    with pytest.raises(IndexError):
        agent[2]


def test_a_checkpoint_of_another_agent_is_refused(tmp_path):
    make("ppo", seeds=1).save(tmp_path / "agent")
    with pytest.raises(ValueError, match="found an agent of class PPO, expected SAC"):
        SAC.load(tmp_path / "agent")
    with pytest.raises(FileNotFoundError):
        agents.load(tmp_path / "none")
    (tmp_path / "agent").write_bytes(b"")
    with pytest.raises(CheckpointError):
        agents.load(tmp_path / "agent")


def test_what_no_file_can_hold_is_asked_for(tmp_path):
    def maker():
        return gym.make("CartPole-v1")

    agent = PPO(maker, seeds=1, network=lambda in_features, seeds: MLP(in_features, (8,), seeds=seeds))
    agent.save(tmp_path / "agent")
    with pytest.raises(ValueError, match="expected that again as env="):
        agents.load(tmp_path / "agent")
    with pytest.raises(ValueError, match="expected it again as network="):
        agents.load(tmp_path / "agent", env=maker)
    loaded = agents.load(tmp_path / "agent", env=maker, network=agent.network)
    obs = np.ones((1, 1, 4), np.float32)
    np.testing.assert_array_equal(loaded.predict(obs)[0], agent.predict(obs)[0])
