"""Whatever a valid pendulum's parameters and actions are: it stays finite, and a batch is its scalar environments."""

import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import envs  # noqa: F401  registers the pendulum
from envs.physics import MOST_DELAYED, NUMBERS, OFF, wrap

IDS = ["balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"]
LEAST = {"length": 1e-6, "mass": 1e-6} | dict.fromkeys(OFF, 0.0)  # that is taken; of the others any number above 0
USUAL = {"length": (0.1, 5), "mass": (0.1, 5), "gravity": (0.1, 30), "damping": (0, 2), "max_torque": (0.1, 20),
         "max_speed": (0.1, 30), "dt": (1e-3, 0.2), "friction": (0, 0.5), "torque_gain": (0.5, 1.5), "delay": (0, 0.2),
         "angle_noise": (0, 0.1), "speed_noise": (0, 0.5)}  # fmt: skip


def parameters(usual=False):
    """Some of the parameters, each a number or a range; `usual` leaves out those that no experiment has."""

    def numbers(name):
        least, most = USUAL[name] if usual else (LEAST.get(name, 1e-300), 1e6)
        logarithms = st.floats(math.log10(max(least, 1e-300)), math.log10(most)).map(lambda x: 10**x)
        value = (st.floats(least, most) | st.sampled_from([least, most]) | logarithms).map(lambda x: min(x, most))
        value = value.map(lambda x: max(x, least))
        return value | st.tuples(value, value).map(lambda pair: tuple(sorted(pair)))

    choices = {"inertia": st.sampled_from(["rod", "point"]), "integrator": st.sampled_from(["euler", "rk4"])}
    return st.fixed_dictionaries({}, optional={name: numbers(name) for name in NUMBERS} | choices).map(in_time)


def in_time(keywords):
    """With no more delay than is taken."""
    most = MOST_DELAYED * np.min(keywords.get("dt", 0.05)) * (1 - 1e-12)
    late = keywords.get("delay", 0.0)
    late = tuple(min(end, most) for end in late) if isinstance(late, tuple) else min(late, most)
    return keywords | {"delay": late} if "delay" in keywords else keywords


def actions(env_id, count):
    """Any that are taken: finite numbers of either precision, or indices."""
    one = st.integers(0, 4) if "Discrete" in env_id else st.floats(-4, 4) | st.floats(-(2.0**126), 2.0**126, width=32)
    return st.lists(one, min_size=count, max_size=count)


def to_array(env_id, numbers, dtype, shape):
    return np.array(numbers, np.int64 if "Discrete" in env_id else dtype).reshape(shape)


@settings(max_examples=150)
@pytest.mark.parametrize("env_id", IDS)
@given(data=st.data(), keywords=parameters(), seed=st.integers(0, 2**64 - 1), dtype=st.sampled_from(["f4", "f8"]))
def test_every_step_is_finite_and_within_bounds(env_id, data, keywords, seed, dtype):
    """A reward lies between -(pi^2 + 0.1 max_speed^2 + 0.001 max_torque^2) and 0, the wrapped angle in [-pi, pi].

    It is pi where [-pi, pi) was meant for one number alone: the next below -pi, which Gymnasium rounds so, too.
    """
    env = gym.make(env_id, disable_env_checker=True, **keywords)
    obs, _ = env.reset(seed=seed)
    pendulum = env.unwrapped.drawn
    least = -(math.pi**2 + 0.1 * float(pendulum.max_speed) ** 2 + 0.001 * float(pendulum.max_torque) ** 2)
    for action in data.draw(actions(env_id, 12)):
        assert env.observation_space.contains(obs), obs
        state = env.unwrapped.state
        assert np.isfinite(state).all()
        assert abs(state[1]) <= pendulum.max_speed
        assert -math.pi <= wrap(env.unwrapped.angle) <= math.pi
        shape = () if "Discrete" in env_id else (1,)
        obs, reward, terminated, _, _ = env.step(to_array(env_id, action, dtype, shape))
        assert least * (1 + 1e-6) <= reward <= 0
        assert not terminated


@settings(max_examples=100)
@pytest.mark.parametrize("env_id", IDS)
@given(data=st.data(), keywords=parameters() | parameters(usual=True), seed=st.integers(0, 2**63),
       count=st.integers(1, 4), steps=st.integers(1, 5), dtype=st.sampled_from(["f4", "f8"]))  # fmt: skip
def test_a_batch_is_its_scalar_environments(env_id, data, keywords, seed, count, steps, dtype):
    """To the last bit, over several episodes."""
    batch = gym.make_vec(env_id, count, vectorization_mode="vector_entry_point", max_episode_steps=steps,
                         autoreset_mode=AutoresetMode.SAME_STEP, **keywords)  # fmt: skip
    single = [gym.make(env_id, disable_env_checker=True, max_episode_steps=steps, **keywords) for _ in range(count)]
    expected = [env.reset(seed=seed + index)[0] for index, env in enumerate(single)]
    np.testing.assert_array_equal(batch.reset(seed=seed)[0], expected)
    for _ in range(8):
        numbers = data.draw(actions(env_id, count))
        found = batch.step(to_array(env_id, numbers, dtype, (count, *batch.single_action_space.shape)))
        for index, env in enumerate(single):
            action = to_array(env_id, numbers[index], dtype, batch.single_action_space.shape)
            obs, reward, _, truncated, _ = env.step(action)
            last = found[4]["final_obs"] if truncated else found[0]
            np.testing.assert_array_equal(last[index], obs)
            assert found[1][index] == reward
            assert found[3][index] == truncated
            if truncated:
                np.testing.assert_array_equal(found[0][index], env.reset()[0])
