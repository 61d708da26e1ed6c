import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.env_match import check_environments_match
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import envs

IDS = ["balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"]
RANGES = {"length": (0.5, 2.0), "damping": (0.0, 0.5), "mass": (1, 3)}
REAL = {
    "friction": (0.0, 0.3),
    "torque_gain": (0.8, 1.2),
    "delay": (0.0, 0.13),
    "angle_noise": 0.05,
    "speed_noise": (0, 1),
}


def make_batch(env_id, num_envs, **kwargs):
    return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **kwargs)


@pytest.mark.parametrize("seed", range(5))
def test_gymnasiums_own_comparison_finds_no_difference(seed):
    """Observations, rewards and their types, to the last bit, over five episodes."""
    check_environments_match(gym.make("Pendulum-v1"), gym.make(IDS[0]), 1000, seed=seed)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_batch_is_gymnasiums_to_the_last_bit(mode):
    """Against Gymnasium's SyncVectorEnv of its own pendulums, actions beyond the limits included."""
    episodes = 300  # so many that arrays take the way of large ones
    actions = np.random.default_rng(0).uniform(-2.5, 2.5, (250, episodes, 1)).astype(np.float32)
    ours = make_batch(IDS[0], episodes, autoreset_mode=mode)
    theirs = gym.make_vec("Pendulum-v1", episodes, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode})
    np.testing.assert_array_equal(ours.reset(seed=7)[0], theirs.reset(seed=7)[0])
    for action in actions:
        expected = theirs.step(action)
        for actual, value in zip(ours.step(action)[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(actual, value)
            assert actual.dtype == value.dtype
        if expected[3].any() and mode is AutoresetMode.DISABLED:
            mask = {"reset_mask": expected[3].copy()}
            np.testing.assert_array_equal(ours.reset(options=dict(mask))[0], theirs.reset(options=dict(mask))[0])


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("parameters", [{}, RANGES, REAL], ids=["fixed", "ranges", "real"])
def test_a_batch_is_its_scalar_environments(env_id, mode, parameters):
    """Gymnasium's own SyncVectorEnv over our scalar environment says what each mode means."""
    seeds, steps = [5, 2**63 + 1, 7], 95
    ours = make_batch(env_id, 3, autoreset_mode=mode, max_episode_steps=30, **parameters)
    theirs = gym.make_vec(env_id, 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode},
                          max_episode_steps=30, **parameters)  # fmt: skip
    np.testing.assert_array_equal(ours.reset(seed=seeds)[0], theirs.reset(seed=seeds)[0])
    theirs.action_space.seed(0)
    for _ in range(steps):
        action = theirs.action_space.sample()
        actual, expected = ours.step(action), theirs.step(action)
        for a, b in zip(actual[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        infos = actual[4], expected[4]
        done = expected[3]
        if done.any() and mode is AutoresetMode.SAME_STEP:
            np.testing.assert_array_equal(infos[0]["_final_obs"], infos[1]["_final_obs"])
            np.testing.assert_array_equal(infos[0]["final_obs"][done], np.stack(infos[1]["final_obs"][done]))
        for name in parameters:
            assert (name in infos[0]) == (name in infos[1])
            if name in infos[0]:
                np.testing.assert_array_equal(infos[0][name], infos[1][name])
                np.testing.assert_array_equal(infos[0][f"_{name}"], infos[1][f"_{name}"])
        if done.any() and mode is AutoresetMode.DISABLED:
            mask = {"reset_mask": done.copy()}
            np.testing.assert_array_equal(ours.reset(options=dict(mask))[0], theirs.reset(options=dict(mask))[0])


def test_many_episodes_of_a_batch_are_those_of_the_scalar_environment():
    """More episodes than an environment draws numbers for at once."""
    batch = make_batch(IDS[0], 2, max_episode_steps=1, autoreset_mode=AutoresetMode.SAME_STEP, **RANGES)
    single = gym.make(IDS[0], max_episode_steps=1, **RANGES)
    obs, _ = batch.reset(seed=[3, 4])
    expected, _ = single.reset(seed=4)
    for _ in range(150):
        np.testing.assert_array_equal(obs[1], expected)
        obs, *_ = batch.step(np.zeros((2, 1), np.float32))
        expected, _ = single.reset()


@pytest.mark.parametrize("parameters", [RANGES, REAL], ids=["ranges", "real"])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_restored_batch_goes_on_as_if_nothing_had_happened(mode, parameters):
    def make():
        return make_batch(IDS[0], 3, max_episode_steps=7, autoreset_mode=mode, **parameters)

    def go(batch, steps):
        seen = []
        for action in np.random.default_rng(steps[0]).uniform(-2, 2, (len(steps), 3, 1)):
            obs, reward, _, truncated, _ = batch.step(action)
            seen.append((obs, reward[:, None], truncated[:, None]))
            if mode is AutoresetMode.DISABLED and truncated.any():
                batch.reset(options={"reset_mask": truncated})
        return np.concatenate([np.concatenate(s, 1) for s in seen])

    single = make()
    single.reset(seed=[1, 2, 9])
    go(single, range(0, 500))
    state = single.get_state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    other = make()
    other.reset(seed=0)
    other.set_state(state)
    np.testing.assert_array_equal(go(single, range(500, 1000)), go(other, range(500, 1000)))


def test_a_late_torque_acts_as_one_that_was_told_later():
    """0.13 s are 2.6 steps: 0.4 of the torque two steps ago and 0.6 of that three steps ago."""
    late, prompt = gym.make(IDS[0], delay=0.13), gym.make(IDS[0])
    options = {"state": np.array([2.0, -1.0])}
    late.reset(options=options)
    prompt.reset(options=options)
    told = np.random.default_rng(0).uniform(-2, 2, 20)
    acts = 0.4 * np.concatenate([[0, 0], told])[:20] + 0.6 * np.concatenate([[0, 0, 0], told])[:20]
    for one, other in zip(told, acts, strict=True):
        obs, reward, *_ = late.step(np.array([one]))
        angle, speed = prompt.unwrapped.state
        assert reward == pytest.approx(
            -(((angle + np.pi) % (2 * np.pi) - np.pi) ** 2 + 0.1 * speed**2 + 0.001 * one**2)
        )
        np.testing.assert_allclose(obs, prompt.step(np.array([other]))[0], atol=1e-6)
        assert late.unwrapped.last_torque == pytest.approx(other)
    late.reset(options=options)  # nothing of the last episode acts in this one
    late.step(np.array([2.0]))
    assert late.unwrapped.last_torque == 0


def test_a_state_can_be_set_before_the_first_reset_of_a_pendulum_with_delay_and_noise():
    env = gym.make(IDS[0], delay=0.1, angle_noise=0.1).unwrapped
    env.state = np.array([1.0, 0.0])
    assert env.observation_space.contains(env.step(np.ones(1, np.float32))[0])
    assert env.last_torque == 0


def test_noise_has_the_deviations_asked_for_and_changes_nothing_else():
    exact = make_batch(IDS[0], 500)
    noisy = make_batch(IDS[0], 500, angle_noise=0.02, speed_noise=0.3)
    exact.reset(seed=3)
    noisy.reset(seed=3)
    errors = []
    for _ in range(100):
        obs, reward, *_ = noisy.step(np.zeros((500, 1), np.float32))
        truth, expected, *_ = exact.step(np.zeros((500, 1), np.float32))
        np.testing.assert_array_equal(reward, expected)
        np.testing.assert_array_equal(noisy.unwrapped.state, exact.unwrapped.state)
        turned = np.arctan2(obs[:, 1] * truth[:, 0] - obs[:, 0] * truth[:, 1], (obs[:, :2] * truth[:, :2]).sum(1))
        errors.append(np.stack([turned, obs[:, 2] - truth[:, 2]]))
    angle, speed = np.concatenate(errors, 1)
    for error, deviation in ((angle, 0.02), (speed, 0.3)):
        assert error.std() == pytest.approx(deviation, rel=0.02)
        assert abs(error.mean()) < 4 * deviation / np.sqrt(len(error))
        assert (np.abs(error) < deviation).mean() == pytest.approx(0.6827, abs=0.01)  # normal
    assert abs(np.corrcoef(angle, speed)[0, 1]) < 0.02


def test_a_picture_of_a_noisy_pendulum_does_not_move_its_noise():
    env, other = (gym.make(IDS[0], angle_noise=0.1, render_mode="rgb_array") for _ in range(2))
    env.reset(seed=1)
    other.reset(seed=1)
    env.render()
    np.testing.assert_array_equal(env.unwrapped.observe(), env.unwrapped.observe())
    np.testing.assert_array_equal(env.step(np.ones(1))[0], other.step(np.ones(1))[0])


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("observation", ["state", "angle"])
def test_both_checkers_pass(env_id, observation):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # SB3 prefers actions in [-1, 1]; Gymnasium's pendulum, and so ours, is driven by torques.
        warnings.filterwarnings("ignore", message=".*normalized action.*|.*symmetric and normalized.*")
        check_env(gym.make(env_id, observation=observation).unwrapped, skip_render_check=True)
        check_env_sb3(gym.make(env_id, observation=observation))


def test_the_discrete_torques_are_evenly_spaced():
    single = gym.make(IDS[1], num_torques=3, max_torque=4.0).unwrapped
    assert single.action_space.n == 3
    single.reset(seed=0)
    for action, torque in enumerate([-4.0, 0.0, 4.0]):
        single.step(action)
        assert single.last_torque == torque


def test_hidden_speed():
    single = gym.make(IDS[0], observation="angle")
    obs, _ = single.reset(seed=1)
    assert obs.shape == (2,)
    assert single.observation_space.shape == (2,)
    np.testing.assert_allclose(np.hypot(*obs), 1.0, atol=1e-6)


def test_drawn_parameters_stay_in_their_ranges_and_are_in_info():
    single = gym.make(IDS[0], **RANGES)
    drawn = []
    for seed in range(50):
        _, info = single.reset(seed=seed)
        assert info.keys() == RANGES.keys()
        assert all(low <= info[name] <= high for name, (low, high) in RANGES.items())
        drawn.append(list(info.values()))
    assert np.std(drawn, 0).min() > 0.1
    assert gym.make(IDS[0]).reset(seed=0)[1] == {}


def test_starts_can_be_chosen():
    single = gym.make(IDS[0]).unwrapped
    single.reset(seed=0, options={"state": (0.5, -2.0)})
    assert (single.angle, single.speed) == (0.5, -2.0)
    for seed in range(20):
        single.reset(seed=seed, options={"x_init": 0.1, "y_init": 0.01})
        assert abs(single.angle) <= 0.1
        assert abs(single.speed) <= 0.01
    batch = make_batch(IDS[0], 2)
    batch.reset(seed=0, options={"state": [(0.1, 0.2), (0.3, 0.4)]})
    np.testing.assert_array_equal([batch.angle, batch.speed], [[0.1, 0.3], [0.2, 0.4]])


@pytest.mark.parametrize("action", [[np.nan], [np.inf], [-np.inf], [1.0, 2.0], 1.0, [[1.0]], ["left"], None])
def test_actions_that_are_none_are_refused_and_change_nothing(action):
    single, batch = gym.make(IDS[0]).unwrapped, make_batch(IDS[0], 2)
    single.reset(seed=0)
    batch.reset(seed=0)
    before = single.angle, single.speed
    with pytest.raises(ValueError, match="^action: found"):
        single.step(np.array(action) if action is not None else None)
    assert (single.angle, single.speed) == before
    with pytest.raises(ValueError, match="^action: found"):
        batch.step(np.array([action, action]))
    assert np.isfinite([batch.angle, batch.speed]).all()


@pytest.mark.parametrize("action", [5, -1, 1.5, [1], None, "left"])
def test_indices_of_no_torque_are_refused(action):
    single = gym.make(IDS[1]).unwrapped
    single.reset(seed=0)
    with pytest.raises(ValueError, match="^action: found"):
        single.step(action)


@pytest.mark.parametrize("keywords", [
    {"length": 0}, {"mass": -1}, {"dt": float("nan")}, {"gravity": "low"}, {"damping": (1, 0)},
    {"observation": "all"}, {"num_torques": 1}, {"num_torques": 2.5}, {"render_mode": "ascii"}, {"integrator": "heun"},
])  # fmt: skip
def test_bad_keywords_are_named(keywords):
    name = next(iter(keywords))
    with pytest.raises(ValueError, match=f"^{name}: "):
        envs.pendulum.PendulumEnv(**keywords)
    with pytest.raises(ValueError, match=f"^{name}: "):
        envs.pendulum.PendulumVectorEnv(2, **keywords)


@pytest.mark.parametrize("env_id", IDS)
def test_an_unknown_keyword_is_a_type_error_in_pythons_words(env_id):
    """TorchRL and others try `frameskip` and look for these words."""
    for make in gym.make, make_batch:
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'frameskip'"):
            make(env_id, **({"frameskip": 1} if make is gym.make else {"frameskip": 1, "num_envs": 2}))


@pytest.mark.parametrize("options", [{"angle": 1}, {"state": (np.nan, 0)}, {"state": 1}, {"x_init": "far"}])
def test_bad_options_are_named(options):
    single = gym.make(IDS[0]).unwrapped
    with pytest.raises(ValueError, match="^options: "):
        single.reset(options=options)


def test_life_begins_with_reset_and_ends_with_close():
    for env in gym.make(IDS[0], disable_env_checker=True).unwrapped, make_batch(IDS[0], 1):
        with pytest.raises(ResetNeeded):
            env.step(np.zeros(env.action_space.shape, np.float32))
        env.reset(seed=0)
        env.close()
        env.close()
        with pytest.raises(ClosedEnvironmentError):
            env.step(np.zeros(env.action_space.shape, np.float32))
        with pytest.raises(ClosedEnvironmentError):
            env.reset()


def test_seeds_of_a_batch():
    batch = make_batch(IDS[0], 3)
    np.testing.assert_array_equal(batch.reset(seed=5)[0], batch.reset(seed=[5, 6, 7])[0])
    assert not np.array_equal(batch.reset()[0], batch.reset()[0])
    with pytest.raises(ValueError, match="^seed: found 2 seeds, expected 3"):
        batch.reset(seed=[1, 2])
