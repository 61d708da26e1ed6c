import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import envs  # noqa: F401  registers the ids


def frames(**options):
    env = gym.make("balancier/Pendulum-v0", render_mode="rgb_array", **options)
    env.reset(seed=0, options={"state": (np.pi / 2, 0.0)})
    return env


def center(frame, color, tolerance=30):
    """Mean place (x to the right, y upwards, from the middle) of the pixels of a color, and their number."""
    rows, columns = np.nonzero((abs(frame.astype(int) - color) < tolerance).all(-1))
    return columns.mean() - frame.shape[1] / 2, frame.shape[0] / 2 - rows.mean(), len(rows)


def test_the_bob_is_where_the_angle_says():
    """A quarter turn counter-clockwise from upright is to the left."""
    x, y, pixels = center(frames().render(), (213, 94, 0))
    assert x == pytest.approx(-180, abs=3)
    assert y == pytest.approx(0, abs=3)
    assert pixels > 500


def test_the_arrow_points_where_the_torque_pulls_and_is_as_long_as_it_is_large():
    seen = {}
    for torque in (-2.0, -1.0, 1.0, 2.0):
        env = frames()
        env.step(np.array([torque], np.float32))
        frame = env.render()
        frame[:110] = 255  # the numbers have the same color
        seen[torque] = center(frame, (0, 114, 178))
    for torque, (x, _, pixels) in seen.items():
        assert np.sign(x) == -np.sign(torque)  # above the pivot, counter-clockwise is to the left
        assert (pixels > 1.2 * seen[torque / 2][2]) if abs(torque) == 2 else pixels > 50


def test_frames_are_bytes_and_a_new_episode_has_no_trace():
    env = frames()
    first = env.render()
    assert first.shape == (500, 500, 3)
    assert first.dtype == np.uint8
    for _ in range(10):
        env.step(np.zeros(1, np.float32))
        env.render()
    env.reset(options={"state": (np.pi / 2, 0.0)})
    np.testing.assert_array_equal(env.render(), first)


def test_rendering_without_mode_or_episode_is_refused():
    with pytest.raises(ValueError, match="^render_mode: found None"):
        gym.make("balancier/Pendulum-v0").unwrapped.render()
    with pytest.raises(ResetNeeded):
        gym.make("balancier/Pendulum-v0", render_mode="rgb_array").unwrapped.render()


def test_a_window_opens_without_a_screen():
    env = gym.make("balancier/Pendulum-v0", render_mode="human")
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    assert env.render() is None
    env.close()
