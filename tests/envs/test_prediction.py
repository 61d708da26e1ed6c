import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import envs  # noqa: F401  registers the environments
from agents import DQN, PPO
from agents.evaluation import evaluate
from envs.prediction import PredictionEnv, PredictionVectorEnv
from envs.sources import BLOCK, points
from models import CNN, GRU, LSTM, Elman

IDS = ["balancier/Curve-v0", "balancier/Sequence-v0", "balancier/Recall-v0", "balancier/Frames-v0"]
MODES = list(AutoresetMode)


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_finds_nothing_to_complain_about(env_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(render|symmetric and normalized).*")
        check_env(gym.make(env_id).unwrapped)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("env_id", IDS)
def test_an_environment_of_the_batch_is_the_scalar_one(env_id, mode):
    options = {"delay": 3} if "Recall" in env_id else {"num_steps": 4} if "Sequence" in env_id else {}
    batch = gym.make_vec(env_id, 2, vectorization_mode="vector_entry_point", autoreset_mode=mode, **options)
    singles = [gym.make(env_id, **options) for _ in range(2)]
    seeds = [5, 1234]
    obs, _ = batch.reset(seed=seeds)
    mine = [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)]
    batch.action_space.seed(0)
    over = np.zeros(2, bool)
    for _ in range(2 * BLOCK + 5):  # into a third block where an episode lasts one step
        np.testing.assert_array_equal(obs, np.stack(mine))
        if over.any() and mode is not AutoresetMode.SAME_STEP:
            mine = [env.reset()[0] for env in singles]
            if mode is AutoresetMode.DISABLED:
                obs, _ = batch.reset(options={"reset_mask": over})
            else:
                obs, reward, terminated, _, _ = batch.step(batch.action_space.sample())
                assert (reward == 0).all()
                assert not terminated.any()
            over[:] = False
            continue
        action = batch.action_space.sample()
        obs, reward, over, truncated, info = batch.step(action)
        steps = [env.step(a) for env, a in zip(singles, action, strict=True)]
        np.testing.assert_array_equal(reward, [step[1] for step in steps])
        np.testing.assert_array_equal(over, [step[2] for step in steps])
        assert not truncated.any()
        mine = [step[0] for step in steps]
        if over.any() and mode is AutoresetMode.SAME_STEP:
            np.testing.assert_array_equal(info["final_obs"], np.stack(mine))
            mine = [env.reset()[0] for env in singles]


def test_the_reward_is_the_negative_squared_error():
    env = PredictionEnv(points(np.array([[0.5]], np.float32), np.array([[0.25, -1.0]])))
    env.reset(seed=0)
    _, reward, terminated, truncated, _ = env.step(np.array([0.5, 0.5], np.float32))
    assert reward == pytest.approx(-(0.25**2 + 1.5**2))
    assert terminated
    assert not truncated


def test_a_wrong_class_costs_one():
    env = PredictionEnv(points(np.zeros((4, 2), np.float32), np.array([2, 2, 2, 2])))
    for action, expected in ((2, 0.0), (1, -1.0)):
        env.reset(seed=0)
        assert env.step(action)[1] == expected


def test_a_batch_goes_on_from_its_state():
    batches = [PredictionVectorEnv(3, source="recall", delay=2, autoreset_mode="SameStep") for _ in range(2)]
    batches[0].reset(seed=4)
    for _ in range(200):
        batches[0].step(np.zeros(3, int))
    batches[1].set_state(batches[0].get_state())
    for _ in range(200):
        mine, other = (batch.step(np.ones(3, int)) for batch in batches)
        for part, same in zip(mine[:4], other[:4], strict=True):
            np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("action", [np.array([np.nan]), np.array([0.1, 0.2]), "left"])
def test_actions_that_predict_nothing_are_refused(action):
    env = gym.make("balancier/Curve-v0", disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="^action: found"):
        env.step(action)


def test_no_step_without_an_episode():
    env = PredictionEnv("curve")
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, np.float32))
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(1, np.float32))
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        env.reset()


def test_an_agent_learns_the_curve():
    """PPO's mean action becomes the regression function."""
    agent = PPO(
        "balancier/Curve-v0", seeds=2, num_envs=64, num_steps=16, batch_size=256, learning_rate=3e-3, gamma=0.0,
        anneal_steps=100_000, max_grad_norm=None,
    )  # fmt: skip
    agent.learn(16_000)
    x = np.linspace(0.05, 0.95, 40, dtype=np.float32)[:, None]
    guess = agent.predict(np.stack([x, x]))[0][..., 0]
    assert np.sqrt(((guess - np.sin(2 * np.pi * x[:, 0])) ** 2).mean(1)).max() < 0.2


@pytest.mark.slow
def test_an_agent_with_a_cnn_learns_frames():
    """DQN with a convolutional network tells where the pendulum points, far above the one in ten of chance."""

    network = partial(CNN, channels=(8, 16), hidden=32)
    agent = DQN(
        "balancier/Frames-v0", seeds=1, network=network, num_envs=8, gamma=0.0, exploration_steps=2_000, tau=0.01,
        learning_rate=4e-3, batch_size=128, learning_starts=200, train_every=1, target_every=1, anneal_steps=15_000,
        buffer_size=50_000,
    )  # fmt: skip
    agent.learn(5_000)
    env = gym.make_vec("balancier/Frames-v0", 200)
    obs, _ = env.reset(seed=99)
    reward = env.step(agent[0].predict(obs.reshape(200, 3, 32, 32))[0])[1]
    assert 1 + reward.mean() > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Elman, GRU, LSTM])
def test_agents_recall_with_recurrent_networks(kind):
    env_id, env_kwargs = "balancier/Recall-v0", {"delay": 3}
    agent = PPO(
        env_id,
        env_kwargs=env_kwargs,
        seeds=2,
        network=partial(kind, hidden_size=16),
        num_envs=16,
        num_steps=32,
        sequence_length=32,
        num_epochs=4,
        learning_rate=2e-3,
        entropy_weight=0.01,
        max_grad_norm=0.5,
        anneal_steps=10_000,
    )
    agent.learn(10_000)
    assert evaluate(agent, env_id, range(100), env_kwargs).mean(1).min() > -0.05  # chance is -0.5
