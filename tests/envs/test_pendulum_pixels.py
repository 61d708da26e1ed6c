"""The pendulum with observation "pixels", as one environment and in batches."""

import subprocess
import sys
import time
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_env_sb3

IDS = ["balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"]
SEEDS = [3, 2**63 + 11, 12]
RANGES = {"length": (0.5, 2.0), "mass": (1, 3)}


def make_batch(num_envs, env_id=IDS[0], **kwargs) -> Any:
    return gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", observation="pixels", **kwargs)


def darkness(frame):
    """How much of the rod each pixel of (..., 3, 32, 32) shows, in green: 0 to 223."""
    return 255 - frame[..., 1, :, :].astype(int)


def rod_direction(frame):
    """Angle of the rod's center of mass about the picture's center, rad, 0 upright, counter-clockwise."""
    ticks = np.arange(32) - 15.5
    weight = darkness(frame)
    return np.arctan2(-(weight * ticks).sum((-2, -1)), -(weight * ticks[:, None]).sum((-2, -1)))


@pytest.mark.parametrize("env_id", IDS)
def test_spaces(env_id):
    single, batch = gym.make(env_id, observation="pixels"), make_batch(3, env_id)
    for space, shape in [(single.observation_space, (6, 32, 32)), (batch.observation_space, (3, 6, 32, 32))]:
        assert (space.shape, space.dtype, space.low.min(), space.high.max()) == (shape, np.uint8, 0, 255)
    for env in single, batch:
        obs, _ = env.reset(seed=0)
        assert obs in env.observation_space
        obs, *_ = env.step(env.action_space.sample())
        assert obs in env.observation_space
        assert obs.flags.c_contiguous


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("parameters", [{}, RANGES])
def test_both_checkers_pass(env_id, parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*normalized action.*|.*symmetric and normalized.*")
        # SB3's own CNN wants larger pictures; ours is made for these.
        warnings.filterwarnings("ignore", message=".*minimal resolution.*")
        check_env(gym.make(env_id, observation="pixels", **parameters).unwrapped, skip_render_check=True)
        check_env_sb3(gym.make(env_id, observation="pixels", **parameters))


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("parameters", [{}, RANGES])
def test_a_batch_is_its_scalar_environments(env_id, mode, parameters):
    """Byte for byte, over three episodes; Gymnasium's own SyncVectorEnv says what each mode means."""
    ours = make_batch(3, env_id, autoreset_mode=mode, max_episode_steps=20, **parameters)
    theirs: Any = gym.make_vec(env_id, 3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode},
                          max_episode_steps=20, observation="pixels", **parameters)  # fmt: skip
    np.testing.assert_array_equal(ours.reset(seed=SEEDS)[0], theirs.reset(seed=SEEDS)[0])
    theirs.action_space.seed(0)
    ends = 0
    for _ in range(65):
        action = theirs.action_space.sample()
        obs, _, _, truncated, info = ours.step(action)
        expected, _, _, _, expected_info = theirs.step(action)
        np.testing.assert_array_equal(obs, expected)
        ends += truncated.all()
        if truncated.any() and mode is AutoresetMode.SAME_STEP:
            np.testing.assert_array_equal(info["final_obs"], np.stack(expected_info["final_obs"]))
        if truncated.any() and mode is AutoresetMode.DISABLED:
            mask = {"reset_mask": truncated.copy()}
            np.testing.assert_array_equal(ours.reset(options=dict(mask))[0], theirs.reset(options=dict(mask))[0])
    assert ends == 3


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_older_frame_is_the_newer_frame_of_the_step_before(mode):
    """Within an episode; its first observation shows one frame twice, and the old episode's last is not lost."""
    batch = make_batch(2, autoreset_mode=mode, max_episode_steps=10)
    before, _ = batch.reset(seed=[3, 11])
    np.testing.assert_array_equal(before[:, :3], before[:, 3:])
    starts, ended = 0, False
    for t in range(1, 34):
        obs, _, _, truncated, info = batch.step(np.zeros((2, 1), np.float32))
        if (same_step := "final_obs" in info) or ended:
            assert (obs[:, :3] == obs[:, 3:]).all()
            assert (obs[:, 3:] != before[:, 3:]).any((1, 2, 3)).all()
            starts += 1
            if same_step:
                np.testing.assert_array_equal(info["final_obs"][:, :3], before[:, 3:])
        else:
            np.testing.assert_array_equal(obs[:, :3], before[:, 3:])
            assert (obs[:, :3] != obs[:, 3:]).any((1, 2, 3)).all(), f"step {t}"
        before, ended = obs, truncated.any() and mode is AutoresetMode.NEXT_STEP
    assert starts == 3


def test_the_frames_show_the_angle_and_its_change():
    batch = make_batch(100)
    batch.reset(seed=0)
    batch.step(np.zeros((100, 1), np.float32))
    last = batch.angle
    obs, *_ = batch.step(np.ones((100, 1), np.float32))
    for frame, angle in [(obs[:, 3:], batch.angle), (obs[:, :3], last)]:
        error = rod_direction(frame) - angle
        assert abs(np.angle(np.exp(1j * error))).max() < 0.005  # rad
    change = np.angle(np.exp(1j * (rod_direction(obs[:, 3:]) - rod_direction(obs[:, :3]))))
    np.testing.assert_allclose(change / 0.05, batch.speed, atol=2 * 0.005 / 0.05)  # rad/s
    assert np.std(batch.speed) > 0.5


@pytest.mark.parametrize(("angle", "rows", "columns"), [
    (0.0, slice(0, 15), slice(15, 17)),  # upright: above the center
    (np.pi, slice(17, 32), slice(15, 17)),  # hanging: below it
    (np.pi / 2, slice(15, 17), slice(0, 15)),  # a quarter turn counter-clockwise: to the left
    (-np.pi / 2, slice(15, 17), slice(17, 32)),
    (np.pi / 2 + 6 * np.pi, slice(15, 17), slice(0, 15)),  # angles are not wrapped
])  # fmt: skip
def test_the_rod_is_where_it_should_be(angle, rows, columns):
    """By hand: the rod ends 12.8 pixels from the center; a pixel beside its axis is covered to 0.96."""
    obs, _ = gym.make(IDS[0], observation="pixels").reset(seed=0, options={"state": (angle, 0.0)})
    rod, elsewhere = obs[3:, rows, columns], obs[3:].copy()
    assert (rod == np.reshape([179, 41, 41], (3, 1, 1))).all(0).sum() == 2 * 12  # 0.96 of [176, 32, 32] on white
    elsewhere[:, rows, columns] = 255
    elsewhere[:, 15:17, 15:17] = 255  # the pivot
    assert (elsewhere == 255).all()
    assert (obs[3:, 15:17, 15:17] < 180).all()


def test_a_length_that_is_a_range_is_drawn():
    for length in 0.5, 2.0:  # one length is no range: always drawn whole
        obs, _ = gym.make(IDS[0], observation="pixels", length=length).reset(seed=0)
        np.testing.assert_array_equal(obs, gym.make(IDS[0], observation="pixels").reset(seed=0)[0])
    obs, info = make_batch(200, **RANGES).reset(seed=0)
    dark = darkness(obs[:, 3:]).sum((1, 2)) / 223
    slope = np.polyfit(info["length"], dark, 1)[0]
    assert np.corrcoef(info["length"], dark)[0, 1] > 0.99
    assert slope * 2.0 == pytest.approx(12.8 * 1.92, rel=0.1)


@pytest.mark.parametrize("parameters", [{}, RANGES])
def test_a_restored_batch_goes_on_as_if_nothing_had_happened(parameters):
    def make():
        return make_batch(3, max_episode_steps=7, autoreset_mode=AutoresetMode.SAME_STEP, **parameters)

    def go(batch, steps):
        actions = np.random.default_rng(len(steps)).uniform(-2, 2, (len(steps), 3, 1))
        return np.stack([batch.step(action)[0] for action in actions])

    single, other = make(), make()
    single.reset(seed=SEEDS)
    seen = go(single, range(500))
    state = single.get_state()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    other.set_state(state)
    np.testing.assert_array_equal(other.observe(), seen[-1])  # the frame before as well
    assert (seen[-1, :, :3] != seen[-1, :, 3:]).any()
    later = go(single, range(30))
    np.testing.assert_array_equal(later, go(other, range(30)))
    assert (later[1:] != later[:-1]).any((1, 2, 3, 4)).all()


def test_observations_are_the_users_to_change():
    for env in gym.make(IDS[0], observation="pixels"), make_batch(2):
        first, _ = env.reset(seed=3)
        kept = first.copy()
        first[:] = 0
        np.testing.assert_array_equal(env.reset(seed=3)[0], kept)


def test_an_unknown_observation_is_refused():
    with pytest.raises(ValueError, match="^observation: found 'frames', expected 'state', 'angle' or 'pixels'$"):
        gym.make(IDS[0], observation="frames")


def test_frames_need_no_pygame_and_little_time():
    code = ("import sys, gymnasium, envs\n"
            "gymnasium.make('balancier/Pendulum-v0', observation='pixels').reset(seed=0)\n"
            "assert 'pygame' not in sys.modules")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True)
    batch, action = make_batch(256), np.zeros((256, 1), np.float32)
    batch.reset(seed=0)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(20):
            batch.step(action)
        seconds.append((time.process_time() - start) / 20)
    assert 256 / min(seconds) > 100_000  # steps, of two frames each, per second
