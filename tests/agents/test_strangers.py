"""Environments, numbers and habits of people who did not write this project."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from stable_baselines3 import PPO as SB3PPO

from agents import DQN, PPO, SAC, TD3
from agents.common.spaces import ActionMap
from agents.evaluation import evaluate
from agents.sb3 import from_sb3
from envs import datasets
from models import CNN


class Simple(gym.Env):
    """One number to see, two actions, episodes of five steps."""

    observation_space, action_space = Box(-1, 1, (1,), np.float32), Discrete(2)
    length = 5

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(1, np.float32), 1.0, self.t == self.length, False, self.info()

    def info(self):
        return {}


class Talkative(Simple):
    """Infos whose names and types change from step to step."""

    def info(self):
        return [{"a": 1}, {"a": None}, {"a": "text", "b": np.zeros(3)}, {}, {"a": {"c": 2}}][self.t - 1]


class Endless(Simple):
    length = 10**9


class Legacy(Simple):
    """Seeds NumPy's legacy generator, as many simulators do, which takes numbers below 2**32 alone."""

    def reset(self, *, seed=None, options=None):
        np.random.RandomState(seed)
        return super().reset(seed=seed)


def test_environments_get_seeds_that_a_simulator_takes():
    agent = PPO(Legacy, seeds=2, num_steps=20).learn(40)  # some episodes
    assert agent.metrics["return"].tolist() == [5.0, 5.0]
    starts = [env.seed for env in agent.vec_env.env.envs]
    assert len(set(starts)) == 2


def test_infos_of_any_kind_do_not_stop_a_training():
    agent = PPO(Talkative, seeds=2, num_steps=20).learn(40)
    assert agent.metrics["return"].tolist() == [5.0, 5.0]


def test_a_function_that_returns_one_environment_again_is_refused():
    env = Simple()
    with pytest.raises(ValueError, match="env: found a function that returns the same environment again"):
        PPO(lambda: env, seeds=2)


def test_an_episode_without_end_is_named():
    with pytest.raises(ValueError, match="found an episode of more than 50 steps, expected an end or a time limit"):
        evaluate(PPO(Endless, seeds=1, num_steps=4), Endless, [0], max_steps=50)


@pytest.mark.parametrize("bounds", [(-0.1, 0.1), (0.3, 0.7), (-1e6, 3e-7)])
def test_a_mapped_action_lies_within_the_bounds(bounds):
    space = Box(*bounds, (1,), np.float32)
    action = ActionMap(space)(torch.linspace(-1, 1, 10_001)[:, None]).numpy()
    assert all(space.contains(one) for one in action)
    assert action[0] == space.low


@pytest.mark.parametrize(("agent", "env"), [(PPO, Simple), (DQN, Simple), (SAC, "Pendulum-v1"), (TD3, "Pendulum-v1")])
def test_random_predictions_are_drawn_anew_and_again_from_the_seed(agent, env):
    obs = np.zeros((2, 50, 1 if env is Simple else 3), np.float32)
    more = {"exploration_steps": 1000} if agent is DQN else {}
    first, second = (agent(env, seeds=[3, 11], **more).learn(8) for _ in range(2))
    before = first.get_state()
    draws = [first.predict(obs, deterministic=False)[0] for _ in range(3)]
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[1], draws[2])
    for draw in draws:
        np.testing.assert_array_equal(second.predict(obs, deterministic=False)[0], draw)
    for name, array in first.get_state().items():
        np.testing.assert_array_equal(array, before[name])


def test_numbers_of_numpy_are_numbers():
    rates = np.array([1e-3, 2e-3, 3e-3])
    agent = PPO(Simple, seeds=3, learning_rate=rates, num_steps=np.int64(8), gamma=np.float32(0.5))
    assert agent.config.learning_rate == [1e-3, 2e-3, 3e-3]
    assert (agent.config.num_steps, agent.config.gamma) == (8, 0.5)
    with pytest.raises(ValueError, match="num_steps: found 8.5, expected a whole number of at least 1"):
        PPO(Simple, seeds=1, num_steps=np.float64(8.5))


def test_images_with_the_channels_last_are_named():
    with pytest.raises(ValueError, match=r"found \(96, 96, 3\) with the channels last, expected \(channels, height"):
        CNN((96, 96, 3))


@pytest.mark.parametrize("policy", [datasets.idle, datasets.random])
@pytest.mark.parametrize("space", [
    Discrete(3, start=5), MultiDiscrete([3, 4], start=[2, -7]), Box(0.5, 2.0, (2,), np.float32), Box(-1.0, 1.0, (1,)),
])  # fmt: skip
def test_policies_of_data_sets_act_within_any_space(space, policy):
    act = policy(space, 50)
    assert all(space.contains(action) for t in range(5) for action in act(np.zeros((50, 1)), t))


@pytest.mark.parametrize("more", [{"activation_fn": torch.nn.ELU}, {"net_arch": {"pi": [8], "vf": [16]}}])
def test_networks_that_ours_have_not_are_refused(more, tmp_path):
    SB3PPO("MlpPolicy", "CartPole-v1", policy_kwargs=more, device="cpu").save(tmp_path / "model.zip")
    with pytest.raises(ValueError, match="expected ReLU, Tanh or Sigmoid and equal networks"):
        from_sb3(tmp_path / "model.zip", "CartPole-v1")


def test_sigmoid_is_an_activation_that_both_have(tmp_path):
    more = {"activation_fn": torch.nn.Sigmoid}
    model = SB3PPO("MlpPolicy", "CartPole-v1", policy_kwargs=more, device="cpu")
    model.save(tmp_path / "model.zip")
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    ours = from_sb3(tmp_path / "model.zip", "CartPole-v1")[0].predict(obs)[0]
    np.testing.assert_array_equal(ours, model.predict(obs, deterministic=True)[0])


def test_the_state_of_a_pendulum_can_be_read_and_set():
    ours, theirs = (gym.make(name).unwrapped for name in ("envs:balancier/Pendulum-v0", "Pendulum-v1"))
    assert ours.state is None
    for env in (ours, theirs):
        env.reset(seed=0)
    np.testing.assert_allclose(ours.state, theirs.state)
    ours.state = theirs.state = np.array([0.1, -0.2])
    np.testing.assert_allclose(*(env.step(np.array([0.5]))[0] for env in (ours, theirs)), atol=1e-6)
