"""The wrappers that disturb a pendulum: their numbers, and a batch beside single environments."""

import pickle

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401  registers the ids
from envs.disturbances import Pushes, TorqueNoise, VectorPushes, VectorTorqueNoise, uniform
from envs.physics import transition

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"


def make_batch(count, **kwargs):
    return gym.make_vec(PENDULUM, count, vectorization_mode="vector_entry_point", **kwargs)


def moment(seeds, episode=1, step=0):
    seeds = np.asarray(seeds, np.uint64)
    return seeds, np.full(len(seeds), episode), np.full(len(seeds), step)


def test_random_numbers_are_uniform_and_independent():
    """Of neighboring seeds, of neighboring steps, of neighboring purposes."""
    by_seed = uniform(moment(range(100_000)), 1)
    by_step = np.array([uniform(moment([7], step=step), 1)[0] for step in range(5_000)])
    for values in (by_seed, by_step):
        assert values.min() >= 0
        assert values.max() < 1
        bins = np.histogram(values, 10, (0, 1))[0] / len(values)
        np.testing.assert_allclose(bins, 0.1, atol=5 * np.sqrt(0.09 / len(values)))
        assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5 / np.sqrt(len(values))
    assert abs(np.corrcoef(by_seed, uniform(moment(range(100_000)), 2))[0, 1]) < 0.016
    assert abs(np.corrcoef(by_seed, uniform(moment(range(100_000), episode=2), 1))[0, 1]) < 0.016
    np.testing.assert_array_equal(by_seed, uniform(moment(range(100_000)), 1))


def test_torque_noise_adds_an_error_of_the_given_size():
    env = VectorTorqueNoise(make_batch(4_000), std=0.3)
    env.reset(seed=0)
    errors = []
    for _ in range(3):
        env.step(np.full((4_000, 1), 0.5, np.float32))
        errors.append(env.unwrapped.last_torque - 0.5)
    errors = np.array(errors)
    assert abs(errors.mean()) < 0.02
    assert errors.std() == pytest.approx(0.3, rel=0.03)
    assert abs(np.corrcoef(errors[0], errors[1])[0, 1]) < 0.08  # new in every step
    env.step(np.full((4_000, 1), 9, np.float32))  # a torque of 2 with an error, clipped as any torque
    assert env.unwrapped.last_torque.max() == 2
    assert (env.unwrapped.last_torque < 2).mean() == pytest.approx(0.5, abs=0.05)


def test_a_push_changes_the_speed_once_in_so_many_steps():
    env, still = VectorPushes(make_batch(400), speed=1.5, every=3), make_batch(400)
    env.reset(seed=0)
    still.reset(seed=0)
    for step in range(7):
        before = np.array(env.unwrapped.speed)
        still.unwrapped.state = env.unwrapped.state
        env.step(np.zeros((400, 1), np.float32))
        if step in (3, 6):  # three steps are over, and six
            side = np.sign(env.unwrapped.speed - still_after(still))
            assert set(side) == {-1.0, 1.0}
            assert 150 < (side > 0).sum() < 250
            still.unwrapped.state = np.stack([still.unwrapped.angle, (before + 1.5 * side).clip(-8, 8)], 1)
        still.step(np.zeros((400, 1), np.float32))
        np.testing.assert_allclose(env.unwrapped.state, still.unwrapped.state, atol=1e-12)


def still_after(env):
    """Speeds after a step without torque, which leaves the environment as it was."""
    return transition(env.unwrapped.angle, env.unwrapped.speed, np.zeros(400), env.unwrapped.pendulum)[1]


@pytest.mark.parametrize(
    ("single", "batch"),
    [
        (lambda env: TorqueNoise(env, 0.4), lambda env: VectorTorqueNoise(env, 0.4)),
        (lambda env: Pushes(env, 2.0, 2), lambda env: VectorPushes(env, 2.0, 2)),
        (
            lambda env: Pushes(TorqueNoise(env, 1.0), 1.0, 3),
            lambda env: VectorPushes(VectorTorqueNoise(env, 1.0), 1.0, 3),
        ),
    ],
)
def test_number_i_of_a_batch_is_the_single_environment_with_its_seed(single, batch):
    """Over two episodes, with pendulums that differ and errors of measurement."""
    kwargs = {"max_episode_steps": 5, "max_torque": (1.0, 3.0), "angle_noise": 0.1}
    many = batch(make_batch(3, **kwargs))
    ones = [single(gym.make(PENDULUM, **kwargs)) for _ in range(3)]
    obs = many.reset(seed=[5, 2**63, 9])[0]
    np.testing.assert_array_equal(obs, [one.reset(seed=seed)[0] for one, seed in zip(ones, [5, 2**63, 9], strict=True)])
    actions = np.random.default_rng(0).uniform(-3, 3, (12, 3, 1)).astype(np.float32)
    for step, action in enumerate(actions):
        obs, rewards, _, truncated, _ = many.step(action)
        if step == 5:  # the batch begins its next episodes
            np.testing.assert_array_equal(obs, [one.reset()[0] for one in ones])
            continue
        if step == 11:
            break
        answers = [one.step(x) for one, x in zip(ones, action, strict=True)]
        np.testing.assert_array_equal(obs, [answer[0] for answer in answers])
        np.testing.assert_allclose(rewards, [answer[1] for answer in answers], rtol=1e-12)
        np.testing.assert_array_equal(truncated, [answer[3] for answer in answers])


def test_starts_are_those_without_disturbances_and_a_seed_repeats():
    env = Pushes(TorqueNoise(gym.make(PENDULUM), 0.5), 2.0, 2)

    def run():
        first = env.reset(seed=3)[0]
        return np.array([first, *(env.step(np.zeros(1, np.float32))[0] for _ in range(6))])

    episode = run()
    np.testing.assert_array_equal(episode[0], gym.make(PENDULUM).reset(seed=3)[0])
    np.testing.assert_array_equal(run(), episode)


def test_a_batch_goes_on_from_a_saved_state():
    def fresh():
        return VectorPushes(VectorTorqueNoise(make_batch(2), 0.5), 1.0, 4)

    first, second = fresh(), fresh()
    first.reset(seed=1)
    second.reset(seed=8)
    zeros = np.zeros((2, 1), np.float32)
    for _ in range(3):
        first.step(zeros)
    second.unwrapped.set_state(first.unwrapped.get_state())
    for _ in range(6):
        np.testing.assert_array_equal(first.step(zeros)[0], second.step(zeros)[0])


def test_wrapped_environments_are_in_the_spec_and_can_be_pickled():
    env = Pushes(TorqueNoise(gym.make(PENDULUM), std=0.5), speed=2.0)
    env.reset(seed=0)
    copy = pickle.loads(pickle.dumps(env))
    remade = gym.make(env.spec)
    remade.reset(seed=0)
    for _ in range(80):
        obs = env.step(np.zeros(1, np.float32))[0]
        np.testing.assert_array_equal(obs, copy.step(np.zeros(1, np.float32))[0])
        np.testing.assert_array_equal(obs, remade.step(np.zeros(1, np.float32))[0])
    assert remade.get_wrapper_attr("std") == 0.5
    assert remade.every == 70


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TorqueNoise(gym.make(PENDULUM), -1.0), "std: found -1.0, expected a number from 0 to"),
        (lambda: Pushes(gym.make(PENDULUM), 1.0, 0), "every: found 0, expected a whole number of at least 1"),
        (lambda: VectorPushes(make_batch(2), np.nan), "speed: found nan, expected a number from 0 to"),
        (lambda: Pushes(gym.make("CartPole-v1"), 1.0), "expected a pendulum of Balancier's"),
        (lambda: TorqueNoise(gym.make(DISCRETE), 1.0), "with 5 torques, expected one that takes any torque"),
        (lambda: TorqueNoise(make_batch(2), 1.0), "expected a pendulum of Balancier's"),
        (lambda: VectorTorqueNoise(gym.make(PENDULUM), 1.0), "expected a batch of pendulums of Balancier's"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(make, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("action", [np.zeros(2, np.float32), np.array([np.inf]), np.array(["a"]), 0.5])
def test_bad_actions_are_the_environments_to_refuse(action):
    env = TorqueNoise(gym.make(PENDULUM, disable_env_checker=True), 0.5)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="action: found"):
        env.step(action)
