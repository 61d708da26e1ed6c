import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import envs  # noqa: F401  registers the worlds
from agents import SAC
from envs import datasets, raster
from envs.physics import Pendulum, transition


def test_ten_thousand_swings_take_the_time_of_a_few():
    def seconds(count):
        began = time.process_time()
        datasets.swings(count, 100, seed=3)
        return time.process_time() - began

    one, many = (min(seconds(count) for _ in range(5)) for count in (1, 10_000))
    assert many < 35 * one  # 14 to 20 times: under half a second, where one takes 28 ms
    angles, drawn = datasets.swings(10_000, 100, seed=3)
    assert angles.shape == (10_000, 100)
    assert 0.5 <= drawn["length"].min() < 0.51 < 1.99 < drawn["length"].max() <= 2.0
    assert np.abs(angles[:, 0]).max() <= 1.5


def test_swings_obey_the_physics():
    angles, drawn = datasets.swings(20, 60, seed=1)
    pendulum = Pendulum(damping=0.2, inertia="point", integrator="rk4").at(
        {"length": drawn["length"], "mass": drawn["mass"]}
    )
    angle, speed = np.pi + angles[:, 0], drawn["speed"]
    for t in range(1, 60):
        angle, speed = transition(angle, speed, 0.0, pendulum)
        np.testing.assert_allclose(angle - np.pi, angles[:, t], atol=2e-6)  # the observation is float32
    other, _ = datasets.swings(20, 60, seed=2)
    assert not np.isin(other[:, 0], angles[:, 0]).any()


@pytest.mark.parametrize("policy", [None, datasets.idle, datasets.random, datasets.sinusoidal])
def test_rollouts_are_the_environment_stepped_by_hand(policy):
    rollout = datasets.roll_out("balancier/Pendulum-v0", 3, 50, policy, seed=7)
    assert rollout.obs.shape == (3, 51, 3)
    assert rollout.action.shape == (3, 50, 1)
    assert np.abs(rollout.action).max() == pytest.approx(0 if policy in (None, datasets.idle) else 2, abs=0.1)
    replayed = datasets.roll_out("balancier/Pendulum-v0", 3, 50, lambda obs, t: rollout.action[:, t], seed=7)
    np.testing.assert_array_equal(replayed.obs, rollout.obs)
    np.testing.assert_array_equal(replayed.reward, rollout.reward)


def test_an_agent_can_be_the_policy():
    agent = SAC("balancier/Pendulum-v0", seeds=2)
    rollout = datasets.roll_out("balancier/Pendulum-v0", 4, 20, datasets.trained(agent[1]))
    expected, _ = agent[1].predict(rollout.obs[:, 10])
    np.testing.assert_allclose(rollout.action[:, 10], expected, atol=1e-6)


def test_an_episode_that_ends_early_is_refused():
    with pytest.raises(ValueError, match="^num_steps: found 201, but an episode ended after 200"):
        datasets.roll_out("balancier/Pendulum-v0", 2, 201)


@given(steps=st.integers(1, 12), length=st.integers(1, 12), stride=st.integers(1, 5))
def test_windows_are_slices(steps, length, stride):
    series = np.arange(2 * steps * 3).reshape(2, steps, 3)
    if length > steps:
        with pytest.raises(ValueError, match="^length: "):
            datasets.windows(series, length, stride)
        return
    found = datasets.windows(series, length, stride)
    expected = [row[first : first + length] for row in series for first in range(0, steps - length + 1, stride)]
    np.testing.assert_array_equal(found, np.stack(expected))


def test_scales_come_from_the_training_part_alone():
    x = np.random.default_rng(0).normal(5, 3, (100, 7, 2))
    train, held, (scale, _) = datasets.datasets(x, x[:, 0], validation=0.25)
    assert len(train), len(held) == (75, 25)
    torch.testing.assert_close(train.tensors[0].mean((0, 1)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.tensors[0].std((0, 1), correction=0), torch.ones(2))
    assert held.tensors[0].mean((0, 1)).abs().max() > 1e-3
    rows = torch.cat([scale.undo(part.tensors[0]) for part in (train, held)])
    torch.testing.assert_close(rows.flatten().sort().values, torch.tensor(x).float().flatten().sort().values)
    with pytest.raises(ValueError, match="^validation: "):
        datasets.split(10, 1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_component_keeps_its_unit(dtype):
    """Also 0.1, whose mean over many samples is not 0.1 to the last digit."""
    x = torch.tensor([0.0, 0.1, -1e5 / 3, 0.0], dtype=dtype).repeat(7, 11, 1)
    x[..., 3] = torch.arange(11)
    scale = datasets.scale_of(x)
    assert scale.mean.dtype == scale.std.dtype == dtype
    torch.testing.assert_close(scale.std, torch.tensor([1.0, 1.0, 1.0, 10**0.5], dtype=dtype))
    torch.testing.assert_close(scale.undo(scale.apply(x)), x)
    torch.testing.assert_close(scale.apply(x)[..., 3].square().mean(), torch.ones((), dtype=dtype))


def test_pictures_show_where_the_pendulum_points():
    upright, left = raster.draw(np.array([0.0, np.pi / 2]))
    assert upright.shape == (3, 32, 32)
    dark = upright.min(0) < 128
    rows, columns = np.nonzero(dark)
    assert rows.min() < 6  # the bob at the top
    assert abs(columns.mean() - 15.5) < 0.5
    np.testing.assert_allclose(left[0], np.rot90(upright[0]), atol=2)
    white = raster.draw(np.array([0.3]), length=0.0, width=0.0)
    assert white.min() == 255


def test_sectors_and_labels():
    assert raster.sector(np.array([0.0, 0.3, -0.3, 0.7, 2 * np.pi])).tolist() == [0, 0, 0, 1, 0]
    frames, labels = raster.labeled_frames(np.random.default_rng(0), 500)
    assert frames.dtype == np.uint8
    assert np.bincount(labels, minlength=10).min() > 20
