"""Pendulums of unknown length and mass: what an observation shows besides, alone and in batches."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.adaptation import ADAPTATION, AdaptationEnv, AdaptationVectorEnv, from_unit, to_unit

WORDS = "nothing", "parameters", "torque"


def batch(count=4, **keywords) -> Any:
    return gym.make_vec(ADAPTATION, count, vectorization_mode="vector_entry_point", **keywords)


def test_a_share_of_the_range_and_back():
    np.testing.assert_allclose(to_unit(np.array([0.5, 1.0, 1.25])), [-1, 0, 0.5])
    np.testing.assert_allclose(from_unit(np.array([-1, 0, 0.5])), [0.5, 1, 1.25])


@pytest.mark.parametrize("shows", WORDS)
def test_gymnasium_accepts_it(shows):
    check_env(gym.make(ADAPTATION, shows=shows).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("shows", WORDS)
def test_a_batch_is_its_environments_one_by_one(shows):
    """Over two episodes of five steps each, to the last digit."""
    envs = [gym.make(ADAPTATION, shows=shows, max_episode_steps=5) for _ in range(3)]
    together = batch(3, shows=shows, max_episode_steps=5, autoreset_mode="SameStep")
    obs, info = together.reset(seed=[7, 8, 9])
    alone, infos = zip(*(env.reset(seed=seed) for env, seed in zip(envs, (7, 8, 9), strict=True)), strict=True)
    np.testing.assert_array_equal(obs, np.stack(alone))
    np.testing.assert_array_equal(info["mass"], [one["mass"] for one in infos])
    assert obs.dtype == np.float32
    for step in range(10):
        action = np.sin(np.arange(3) + step)[:, None].astype(np.float32)
        obs, reward, *_ends, info = together.step(action)
        for i, env in enumerate(envs):
            one, gain, _, truncated, _ = env.step(action[i])
            assert gain == reward[i]
            if truncated:
                np.testing.assert_array_equal(info["final_obs"][i], one)
                one, _ = env.reset()
            np.testing.assert_array_equal(obs[i], one)
            assert together.single_observation_space.contains(obs[i])


def test_the_parameters_are_those_of_the_episode():
    obs, info = batch(200, shows="parameters").reset(seed=0)
    np.testing.assert_allclose(obs[:, 3], 2 * info["length"] - 2, atol=1e-6)
    np.testing.assert_allclose(obs[:, 4], 2 * info["mass"] - 2, atol=1e-6)
    assert obs[:, 3:].min() < -0.9  # all of the range occurs
    assert obs[:, 3:].max() > 0.9


def test_the_torque_is_that_of_the_last_step_and_zero_at_a_start():
    env = gym.make(ADAPTATION, shows="torque")
    assert env.reset(seed=0)[0][3] == 0
    for torque, share in ((1.0, 0.5), (-2.0, -1.0), (0.5, 0.25)):
        obs, *_ = env.step(np.array([torque], np.float32))
        assert obs[3] == share
    assert env.reset()[0][3] == 0


def test_what_is_shown_changes_neither_pendulums_nor_starts():
    observations = [batch(5, shows=shows).reset(seed=3)[0][:, :3] for shows in WORDS]
    infos = [batch(5, shows=shows).reset(seed=3)[1] for shows in WORDS]
    for obs, info in zip(observations, infos, strict=True):
        np.testing.assert_array_equal(obs, observations[0])
        np.testing.assert_array_equal(info["length"], infos[0]["length"])


def test_shares_keep_their_meaning_with_another_range():
    env = gym.make(ADAPTATION, shows="parameters", length=(1.75, 2.0), mass=1.25)
    obs, info = env.reset(seed=1)
    assert obs[3] == pytest.approx(2 * info["length"] - 2)
    assert obs[4] == pytest.approx(0.5)
    assert env.observation_space.contains(obs)


@pytest.mark.parametrize("make", [AdaptationEnv, AdaptationVectorEnv])
def test_another_word_is_refused(make):
    words = "shows: found 'mass', expected 'nothing' or 'parameters' or 'torque'"
    with pytest.raises(ValueError, match=words):
        make(shows="mass")
    with pytest.raises(TypeError, match="unexpected keyword argument 'show'"):
        make(show="torque")


def test_a_saved_batch_goes_on_alike():
    first, second = batch(3, shows="parameters"), batch(3, shows="parameters")
    first.reset(seed=5)
    action = np.ones((3, 1), np.float32)
    first.step(action)
    second.reset(seed=77)
    second.set_state(first.get_state())
    for _ in range(3):
        np.testing.assert_array_equal(first.step(action)[0], second.step(action)[0])


@pytest.mark.parametrize("make", [AdaptationEnv, AdaptationVectorEnv])
def test_numbers_do_not_stand_beside_pixels(make):
    with pytest.raises(ValueError, match="^observation: found 'pixels', expected 'state' or 'angle'"):
        make(observation="pixels", shows="torque")
