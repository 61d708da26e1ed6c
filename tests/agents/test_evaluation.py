import warnings

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

import envs  # noqa: F401  registers the pendulum
from agents import PPO
from agents.evaluation import evaluate


class Reseeded(gym.Wrapper):
    """Restarts from given seeds one after the other, as `evaluate` does."""

    def __init__(self, env, seeds):
        super().__init__(env)
        self.seeds = iter(seeds)

    def reset(self, **_):
        return self.env.reset(seed=next(self.seeds))


@pytest.mark.parametrize("env", ["balancier/Pendulum-v0", "CartPole-v1"])
def test_ours_and_sb3s_evaluation_agree(env):
    agent = PPO(f"envs:{env}", seeds=[3, 11])
    starts = range(10_000, 10_004)
    found = evaluate(agent, env, starts)
    assert found.shape == (2, 4)
    for index in range(2):
        reseeded = Reseeded(gym.make(env), [*starts, 0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, _ = evaluate_policy(agent[index], reseeded, n_eval_episodes=4, return_episode_rewards=True)
        np.testing.assert_allclose(found[index], expected, atol=1e-3)
        np.testing.assert_allclose(evaluate(agent[index], env, starts), [expected], atol=1e-3)


class Alternating:
    """Acts by a state that counts steps since the episode began: 0, 1, 0, 1, ..."""

    def predict(self, obs, state=None, episode_start=None, deterministic=True):
        step = np.zeros(len(obs), int) if state is None else state
        step = np.where(episode_start, 0, step)
        return step % 2, step + 1


def test_state_is_passed_on():
    alternating = evaluate(Alternating(), "CartPole-v1", [0, 1])[0]
    env = gym.make("CartPole-v1")
    for seed, expected in enumerate(alternating):
        env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            _, reward, terminated, truncated, _ = env.step(int(total) % 2)
            total, done = total + reward, terminated or truncated
        assert total == expected


class Costly(gym.Env):
    """Ten steps of reward -7, under an id that looks like Gymnasium's."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (4,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(4, np.float32), -7.0, self.t == 10, False, {}


def test_an_id_that_looks_like_gymnasiums_is_the_users_environment():
    gym.register("CartPole-Costly-v0", Costly)
    try:
        agent = PPO("CartPole-Costly-v0", seeds=2, num_steps=20).learn(20)
        assert agent.metrics["return"].tolist() == [-70.0, -70.0]
        assert evaluate(agent, "CartPole-Costly-v0", [0, 1]).tolist() == [[-70.0] * 2] * 2
    finally:
        gym.registry.pop("CartPole-Costly-v0")


def test_an_environment_of_a_function_is_evaluated_like_any_other():
    agent = PPO(Costly, seeds=2, num_steps=20)
    assert evaluate(agent, Costly, [0, 1, 2]).tolist() == [[-70.0] * 3] * 2
    assert evaluate(agent[0], Costly, [0]).tolist() == [[-70.0]]
