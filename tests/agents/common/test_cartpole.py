"""The batch of CartPole is Gymnasium's scalar one, environment by environment, bit for bit."""

import gymnasium as gym
import numpy as np
import pytest

from agents.common.cartpole import BLOCK, CartPoleBatch
from agents.common.make_env import make_native_batch
from agents.evaluation import evaluate

SEEDS = [3, 11, 2**63 + 5]


class Upright:
    """Pushes towards where the pole leans, and now and then at random: long episodes and short ones."""

    def predict(self, obs, state=None, episode_start=None, deterministic=True):
        return (obs[..., 2] + 0.5 * obs[..., 3] > 0).astype(np.int64), None


def test_each_is_the_scalar_env_over_its_episodes():
    batch, generator = make_native_batch("CartPole-v1", len(SEEDS), {}), np.random.default_rng(0)
    envs = [gym.make("CartPole-v1") for _ in SEEDS]
    assert isinstance(batch, CartPoleBatch)
    episodes = np.zeros(len(SEEDS), int)
    obs, _ = batch.reset(seed=SEEDS)
    np.testing.assert_array_equal(obs, [env.reset(seed=seed)[0] for env, seed in zip(envs, SEEDS, strict=True)])
    truncations = 0
    for _ in range(3000):
        action, _ = Upright().predict(obs)
        action = np.where(generator.random(len(SEEDS)) < [0.0, 0.02, 0.5], 1 - action, action)
        obs, reward, terminated, truncated, info = batch.step(action)
        for i, env in enumerate(envs):
            own, *others, _ = env.step(action[i])
            assert others == [reward[i], terminated[i], truncated[i]]
            truncations += others[2]
            if others[1] or others[2]:
                np.testing.assert_array_equal(info["final_obs"][i], own)
                episodes[i] += 1
                own, _ = env.reset()
            np.testing.assert_array_equal(obs[i], own)
    assert truncations >= 3
    assert episodes[2] > 50


def test_a_state_restored_goes_on_as_the_other():
    first, second = (make_native_batch("CartPole-v1", 3, {}) for _ in range(2))
    assert isinstance(first, CartPoleBatch)
    assert isinstance(second, CartPoleBatch)
    first.reset(seed=SEEDS)
    second.reset(seed=[0, 0, 0])
    action = np.random.default_rng(1).integers(0, 2, (4000, 3))
    for some in action[:2000]:
        first.step(some)
    second.set_state(first.get_state())
    for some in action[2000:]:
        np.testing.assert_array_equal(first.step(some)[0], second.step(some)[0])
    assert (first.episodes == second.episodes).all()
    assert first.episodes.min() > 2 * BLOCK


@pytest.mark.parametrize("env_kwargs", [{}, {"sutton_barto_reward": True}])
def test_a_batch_gives_the_returns_that_single_environments_give(env_kwargs):
    starts = range(100, 110)
    returns = evaluate(Upright(), "CartPole-v1", starts, env_kwargs)
    for start, found in zip(starts, returns[0], strict=True):
        env, total, done = gym.make("CartPole-v1", **env_kwargs), 0.0, False
        obs, _ = env.reset(seed=start)
        while not done:
            obs, reward, terminated, truncated, _ = env.step(Upright().predict(obs)[0])
            total, done = total + float(reward), terminated or truncated
        assert found == total
