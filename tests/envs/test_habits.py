"""What users of Gymnasium expect of an environment, on all our ids, alone and in native batches."""

import copy
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import envs  # noqa: F401  registers the ids

PENDULUM = "balancier/Pendulum-v0"
IDS = [
    PENDULUM,
    "balancier/PendulumDiscrete-v0",
    *(f"balancier/{name}-v0" for name in ("Curve", "Sequence", "Recall", "Frames")),
]
PICTURED = [IDS[0], IDS[1], IDS[5]]
VARIANTS = [(env_id, {}) for env_id in IDS] + [
    (PENDULUM, {"length": (0.5, 2.0)}),
    (PENDULUM, {"observation": "pixels", "size": 40}),
    (PENDULUM, {"render_mode": "rgb_array"}),
]


def make_batch(env_id, num_envs=3, **kwargs) -> Any:
    return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **kwargs)


def by_pickle(env):
    return pickle.loads(pickle.dumps(env))


def play(env, steps):
    """Results of the steps, with resets in between where a single environment needs them."""
    seen, single = [], isinstance(env, gym.Env)
    env.action_space.seed(steps)
    for _ in range(steps):
        seen.append(env.step(env.action_space.sample()))
        if single and (seen[-1][2] or seen[-1][3]):
            seen.append(env.reset())
    return [*seen, env.reset()]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
@pytest.mark.parametrize(("env_id", "kwargs"), VARIANTS)
@pytest.mark.parametrize("make", [gym.make, make_batch])
def test_a_copy_goes_on_as_the_original(make, env_id, kwargs, duplicate):
    env = make(env_id, **kwargs)
    twin = duplicate(env)
    assert data_equivalence(env.reset(seed=5), twin.reset(seed=5), exact=True)
    play(env, 30)
    if kwargs.get("render_mode"):
        env.render()  # opens what cannot be copied
    twin = duplicate(env)
    assert data_equivalence(play(env, 230), play(twin, 230), exact=True)
    if kwargs.get("render_mode"):
        np.testing.assert_array_equal(env.render(), twin.render())


@pytest.mark.parametrize("env_id", PICTURED)
def test_a_batch_renders_what_its_environments_render(env_id):
    batch = make_batch(env_id, render_mode="rgb_array", autoreset_mode=AutoresetMode.SAME_STEP)
    theirs = gym.make_vec(env_id, 3, vectorization_mode="sync", render_mode="rgb_array",
                          vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP})  # fmt: skip
    batch.reset(seed=5)
    theirs.reset(seed=5)
    batch.action_space.seed(0)
    for _ in range(3):
        frames, expected = batch.render(), theirs.render()
        assert isinstance(frames, list)  # as that of `make_vec("CartPole-v1")`
        assert [frame.dtype for frame in frames] == [np.uint8] * 3
        np.testing.assert_array_equal(frames, expected)
        action = batch.action_space.sample()
        batch.step(action)
        theirs.step(action)
    assert batch.metadata["render_modes"] == ["rgb_array"]
    assert batch.metadata["render_fps"] > 0


def test_frames_show_the_picture_that_is_observed():
    env = gym.make(IDS[5], render_mode="rgb_array")
    obs, _ = env.reset(seed=3)
    frame = env.render()
    assert frame.shape == (256, 256, 3)
    np.testing.assert_array_equal(frame[::8, ::8], obs.transpose(1, 2, 0))


@pytest.mark.filterwarnings("ignore:.*render_mode")
@pytest.mark.parametrize("env_id", IDS)
def test_other_pictures_are_refused(env_id):
    makers = [(make_batch, "human"), (make_batch, "ansi"), (gym.make, "ansi")]
    for make, mode in makers + [(gym.make, "rgb_array")] * (env_id not in PICTURED):
        with pytest.raises(ValueError, match=f"^render_mode: found '{mode}', expected "):
            make(env_id, render_mode=mode)
    with pytest.raises(ValueError, match="^render_mode: found None"):
        make_batch(env_id).render()
    if env_id in PICTURED:
        batch = make_batch(env_id, render_mode="rgb_array")
        with pytest.raises(ResetNeeded):
            batch.render()
        batch.close()
        with pytest.raises(ClosedEnvironmentError):
            batch.render()


@pytest.mark.parametrize("env_id", IDS)
def test_the_seed_and_its_generator_can_be_asked_for(env_id):
    env, batch = gym.make(env_id).unwrapped, make_batch(env_id)
    env.reset(seed=7)
    batch.reset(seed=7)
    assert env.np_random_seed == batch.np_random_seed == 7
    assert batch.np_random.random() == gym.utils.seeding.np_random(7)[0].random()
    batch.reset(seed=[3, 4, 5])
    assert isinstance(batch.np_random, np.random.Generator)
    assert batch.np_random_seed == (3, 4, 5)
    first = []
    for _ in range(2):  # a generator that somebody sets is used
        env.np_random = np.random.default_rng(8)
        first.append(env.reset()[0])
    np.testing.assert_array_equal(*first)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "a", [1, 2, None, 3], [1, 2, 3.0]])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match="^seed: found .*, expected "):
        make_batch(PENDULUM).reset(seed=seed)


def test_the_state_of_a_batch_can_be_read_and_set():
    batch, single = make_batch(PENDULUM), gym.make(PENDULUM)
    with pytest.raises(ResetNeeded):
        batch.state = np.zeros((3, 2))
    batch.reset(seed=5)
    single.reset(seed=6)
    np.testing.assert_array_equal(batch.state[1], single.unwrapped.state)
    batch.state = [(0.0, 0.0), (0.3, -1.0), (3.0, 2.0)]
    single.unwrapped.state = (0.3, -1.0)
    np.testing.assert_array_equal(batch.step(np.ones((3, 1), np.float32))[0][1], single.step(np.ones(1, np.float32))[0])
    for env, state in (batch, np.zeros((2, 2))), (batch, np.full((3, 2), np.nan)), (single.unwrapped, [1.0]):
        with pytest.raises(ValueError, match="^state: found "):
            env.state = state
    fresh = gym.make(PENDULUM).unwrapped
    fresh.state = np.array([0.3, -1.0])  # before the first reset, as that of Pendulum-v1
    np.testing.assert_array_equal(fresh.step(np.ones(1, np.float32))[0], batch.observe()[1])


@pytest.mark.parametrize("env_id", IDS)
def test_an_unknown_keyword_is_a_type_error_in_pythons_words(env_id):
    """TorchRL and others try `frameskip` and look for these words."""
    for make in gym.make, make_batch:
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'frameskip'"):
            make(env_id, frameskip=4)


@pytest.mark.parametrize("env_id", IDS)
def test_all_checkers_pass_and_rewards_are_gymnasiums(env_id):
    kwargs = {"size": 36} if "Frames" in env_id else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # SB3 prefers actions in [-1, 1]; Gymnasium's pendulum, and so ours, is driven by torques.
        warnings.filterwarnings("ignore", message=".*normalized action.*|.*symmetric and normalized.*")
        check_env(gym.make(env_id, **kwargs).unwrapped)
        check_env_sb3(gym.make(env_id, **kwargs))
        env = gym.make(env_id)
        env.reset(seed=0)
        assert type(env.step(env.action_space.sample())[1]) is np.float64


@pytest.mark.parametrize(("steps", "expected"), [(4, (False, True)), (21, (True, True)), (30, (True, False))])
def test_a_limit_of_steps_truncates_a_batch_as_it_truncates_its_environments(steps, expected):
    """An episode of Recall has 21 steps, after which it terminates."""
    batch, single = make_batch(IDS[4], max_episode_steps=steps), gym.make(IDS[4], max_episode_steps=steps)
    batch.reset(seed=0)
    single.reset(seed=0)
    for _ in range(min(steps, 21)):
        _, _, terminated, truncated, _ = batch.step(np.zeros(3, int))
        assert single.step(0)[2:4] == (terminated[0], truncated[0])
    assert (terminated[0], truncated[0]) == expected


def test_a_batch_without_a_limit_goes_on():
    batch = make_batch(PENDULUM, max_episode_steps=-1)
    batch.reset(seed=0)
    for _ in range(300):
        assert not batch.step(np.zeros((3, 1), np.float32))[3].any()
    with pytest.raises(ValueError, match="^max_episode_steps: found 0, expected at least 1"):
        make_batch(PENDULUM, max_episode_steps=0)


@pytest.mark.parametrize("size", [15, 129, 36.0, True, "large"])
def test_pictures_of_another_size_are_refused(size):
    for make in gym.make, make_batch:
        for env_id, kwargs in (PENDULUM, {"observation": "pixels"}), (IDS[5], {}):
            with pytest.raises(ValueError, match=f"^size: found {size!r}, expected a whole number from 16 to 128"):
                make(env_id, size=size, **kwargs)
    with pytest.raises(ValueError, match="^size: found 36, expected None"):
        gym.make(PENDULUM, size=36)


@pytest.mark.parametrize("size", [16, 64])
def test_larger_pictures_show_the_same(size):
    obs, _ = make_batch(PENDULUM, observation="pixels", size=size).reset(seed=2)
    single, _ = gym.make(PENDULUM, observation="pixels", size=size).reset(seed=3)
    assert obs.shape == (3, 6, size, size)
    np.testing.assert_array_equal(obs[1], single)
    usual, _ = make_batch(PENDULUM, observation="pixels").reset(seed=2)
    assert abs(obs.mean((2, 3)) - usual.mean((2, 3))).max() < 2  # as much ink, of 255


def test_sb3s_cnn_policy_takes_the_pixels():
    agent = PPO("CnnPolicy", gym.make(PENDULUM, observation="pixels", size=36), n_steps=8, batch_size=8, n_epochs=1)
    assert agent.learn(8).num_timesteps == 8
    assert agent.observation_space.shape == (6, 36, 36)


def test_play_finds_keys():
    for env_id, expected in (IDS[0], {("a",): [2.0], ("d",): [-2.0]}), (IDS[1], {("a",): 4, ("d",): 0}):
        env = gym.make(env_id)
        keys = env.get_wrapper_attr("get_keys_to_action")()
        assert keys == expected
        assert all(action in env.action_space for action in keys.values())


@pytest.mark.parametrize("make", [gym.make, make_batch])
def test_parameters_can_be_read_by_both_names_and_are_not_set_in_vain(make):
    env = make(PENDULUM, gravity=9.81, length=(0.5, 2.0))
    assert env.unwrapped.length == (0.5, 2.0)  # until an episode draws its own
    _, info = env.reset(seed=1)
    np.testing.assert_array_equal(env.unwrapped.length, info["length"])
    assert (env.unwrapped.g, env.unwrapped.gravity, env.unwrapped.m, env.unwrapped.dt) == (9.81, 9.81, 1.0, 0.05)
    for name in "g", "m", "l", "dt", "max_speed", "max_torque":
        assert getattr(gym.make(PENDULUM).unwrapped, name) == getattr(gym.make("Pendulum-v1").unwrapped, name)
    for name, keyword in ("g", "gravity"), ("gravity", "gravity"), ("max_torque", "max_torque"):
        with pytest.raises(AttributeError, match=rf"^{name}: an environment keeps its parameters, .*, {keyword}=...\)"):
            setattr(env.unwrapped, name, 5.0)
    assert gym.make_vec(PENDULUM, 2, vectorization_mode="sync").call("gravity") == (10.0, 10.0)
