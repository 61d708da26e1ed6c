import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.grid import bilinear, pendulum_grid
from envs.physics import Pendulum, reward, transition, wrap

GRID = pendulum_grid(12, 9, 5)
SIZES = {"num_angles": st.integers(3, 40), "num_speeds": st.integers(2, 40)}


@given(**SIZES, angle=st.floats(-20, 20), speed=st.floats(-8, 8))
def test_the_weighted_mean_of_the_four_points_is_the_place_itself(num_angles, num_speeds, angle, speed):
    grid = pendulum_grid(num_angles, num_speeds, 2)
    point, weight = grid.around(np.array(angle), np.array(speed))
    assert weight.sum() == pytest.approx(1, abs=1e-12)
    assert (weight >= 0).all()
    assert len(set(point.tolist())) == 4
    angles, speeds = grid.angles[point // num_speeds], grid.speeds[point % num_speeds]
    assert (weight * wrap(angles - angle)).sum() == pytest.approx(0, abs=1e-9)
    assert (weight * speeds).sum() == pytest.approx(speed, abs=1e-9)
    assert (abs(wrap(angles - angle)) <= 2 * np.pi / num_angles + 1e-9).all()
    assert (abs(speeds - speed) <= 16 / (num_speeds - 1) + 1e-9).all()


@settings(max_examples=30)
@given(**SIZES, damping=st.floats(0, 0.5), length=st.floats(0.5, 2))
def test_a_torque_takes_it_where_the_equations_say_on_average(num_angles, num_speeds, damping, length):
    pendulum = Pendulum(damping=damping, length=length)
    grid = pendulum_grid(num_angles, num_speeds, 3, pendulum)
    assert grid.next_point.shape == grid.probability.shape == (num_angles * num_speeds, 3, 4)
    np.testing.assert_allclose(grid.probability.sum(-1), 1, atol=1e-12)
    angle, speed = grid.angles.repeat(num_speeds)[:, None], np.tile(grid.speeds, num_angles)[:, None]
    next_angle, next_speed = transition(angle, speed, grid.torques, pendulum)
    fallen, fast = grid.angles[grid.next_point // num_speeds], grid.speeds[grid.next_point % num_speeds]
    aside = (grid.probability * wrap(fallen - next_angle[..., None])).sum(-1)
    np.testing.assert_allclose(aside, 0, atol=1e-9)
    np.testing.assert_allclose((grid.probability * fast).sum(-1), next_speed, atol=1e-9)
    np.testing.assert_array_equal(grid.reward, reward(angle, speed, grid.torques))


def test_points_are_numbered_by_angle_and_speed():
    np.testing.assert_allclose(GRID.angles[[0, 6]], [-np.pi, 0])
    np.testing.assert_allclose(GRID.speeds, [-8, -6, -4, -2, 0, 2, 4, 6, 8])
    np.testing.assert_allclose(GRID.torques, [-2, -1, 0, 1, 2])
    assert GRID.reward[6 * 9 + 4].tolist() == pytest.approx([-0.004, -0.001, 0, -0.001, -0.004])  # upright, at rest
    point, weight = GRID.around(np.array(0.0), np.array(0.0))
    assert point[weight.argmax()] == 6 * 9 + 4
    assert weight.max() == pytest.approx(1)


def test_half_way_between_the_last_angle_and_the_first():
    """5 pi / 6 is the last, and what follows is -pi; speed 1 lies between 0 and 2."""
    point, weight = GRID.around(np.array(11 * np.pi / 12), np.array(1.0))
    assert sorted(point.tolist()) == [4, 5, 11 * 9 + 4, 11 * 9 + 5]
    np.testing.assert_allclose(weight, 0.25)


def test_speeds_beyond_count_as_the_edge():
    for far, edge in ((20.0, 8.0), (-20.0, -8.0)):
        for actual, expected in zip(GRID.around(0.3, far), GRID.around(0.3, edge), strict=True):  # type: ignore[arg-type]
            np.testing.assert_array_equal(actual, expected)


def test_observations_are_angles_and_speeds():
    angle, speed = np.array([[0.1, 3.0], [-3.1, 1.0]]), np.array([[1.0, -7.9], [0.0, 8.0]])
    actual, expected = GRID.locate(np.stack([np.cos(angle), np.sin(angle), speed], -1)), GRID.around(angle, speed)
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_allclose(actual[1], expected[1], atol=1e-12)


def test_bilinear_weights_by_hand_in_numpy_and_torch():
    x, y = np.array([0.25, -1.5, 7.0]), np.array([2.5, 0.0, 3.0])  # the last y is the upper edge
    i, j, weight = bilinear(x, y, 3)
    assert i.tolist() == [0, -2, 7]
    assert j.tolist() == [2, 0, 2]
    np.testing.assert_array_equal(weight, [[0.375, 0.375, 0.125, 0.125], [0.5, 0, 0.5, 0], [0, 1, 0, 0]])
    theirs = bilinear(torch.from_numpy(x), torch.from_numpy(y), 3, "float32")
    assert theirs[2].dtype == torch.float32
    for actual, expected in zip(theirs, (i, j, weight), strict=True):
        np.testing.assert_array_equal(actual.numpy(), expected)


@pytest.mark.parametrize(("size", "words"), [
    ((1, 9, 5), "^num_angles: found 1, expected a whole number of at least 2"),
    ((12, 0, 5), "^num_speeds: found 0, expected a whole number of at least 2"),
    ((12, 9, 1), "^num_torques: found 1, expected a whole number of at least 2"),
])  # fmt: skip
def test_a_grid_too_small_is_refused(size, words):
    with pytest.raises(ValueError, match=words):
        pendulum_grid(*size)


def test_a_pendulum_that_changes_is_refused():
    with pytest.raises(ValueError, match=r"^max_speed: found the range \(4.0, 8.0\), expected one number"):
        pendulum_grid(12, 9, 5, Pendulum(max_speed=(4.0, 8.0)))
