import warnings

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

import envs  # noqa: F401  registers the pendulum
from agents import PPO
from agents.evaluation import evaluate
from experiments.common.statistics import (
    confidence_interval,
    first_crossing,
    interquartile_mean,
    probability_of_improvement,
)


class Reseeded(gym.Wrapper):
    """Restarts from given seeds one after the other, as the judge does."""

    def __init__(self, env, seeds):
        super().__init__(env)
        self.seeds = iter(seeds)

    def reset(self, **_):
        return self.env.reset(seed=next(self.seeds))


@pytest.mark.parametrize("env", ["balancier/Pendulum-v0", "CartPole-v1"])
def test_the_judge_and_sb3s_evaluation_agree(env):
    agent = PPO(f"envs:{env}", seeds=[3, 11])
    starts = range(10_000, 10_004)
    found = evaluate(agent, env, starts)
    assert found.shape == (2, 4)
    for index in range(2):
        world = Reseeded(gym.make(env), [*starts, 0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, _ = evaluate_policy(agent[index], world, n_eval_episodes=4, return_episode_rewards=True)
        np.testing.assert_allclose(found[index], expected, atol=1e-3)
        np.testing.assert_allclose(evaluate(agent[index], env, starts), [expected], atol=1e-3)


class RecurrentEncoder:
    """Acts by a state that counts steps since the episode began: 0, 1, 0, 1, ..."""

    def predict(self, obs, state=None, episode_start=None, deterministic=True):
        step = np.zeros(len(obs), int) if state is None else state
        step = np.where(episode_start, 0, step)
        return step % 2, step + 1


def test_state_is_passed_on():
    alternating = evaluate(RecurrentEncoder(), "CartPole-v1", [0, 1])[0]
    world = gym.make("CartPole-v1")
    for seed, expected in enumerate(alternating):
        world.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            _, reward, terminated, truncated, _ = world.step(int(total) % 2)
            total, done = total + reward, terminated or truncated
        assert total == expected


def test_interquartile_mean():
    assert interquartile_mean(np.array([-1000.0, 1, 2, 3, 4, 5, 6, 1000])) == 3.5
    assert interquartile_mean(np.array([7.0])) == 7.0


def test_intervals_hold_the_mean_and_shrink_with_more_seeds():
    sample = np.random.default_rng(0).normal(size=100)
    few, many = confidence_interval(sample[:10]), confidence_interval(sample)
    assert few[0] < interquartile_mean(sample[:10]) < few[1]
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])
    # The interquartile mean of a normal sample has a standard error of about 1.09 / sqrt(n).
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * 1.09 / 10, rel=0.25)
    assert confidence_interval(np.array([3.0])) == (3.0, 3.0)
    assert confidence_interval(np.array([3.0, 3.0])) == (3.0, 3.0)


def test_probability_of_improvement():
    ours, theirs = np.array([1.0, 3.0, 5.0]), np.array([2.0, 3.0])
    assert probability_of_improvement(ours, theirs) == pytest.approx((0 + 0 + 1 + 0.5 + 1 + 1) / 6)


def test_three_evaluations_in_a_row():
    curve = np.array([[5, 1, 1, 9, 9], [5, 9, 1, 1, 9], [5, 9, 9, 9, 1], [0, 9, 9, 9, 9], [0, 1, 9, 9, 9]], float)
    assert first_crossing(curve, 5).tolist() == [0, 1, 2, 2, -1]
    assert first_crossing(curve[:2], 5).tolist() == [-1] * 5
