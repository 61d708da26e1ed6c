import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import envs  # noqa: F401  registers the environments
from agents import SAC
from envs import datasets
from envs.physics import Pendulum, transition


def test_ten_thousand_swings_take_the_time_of_a_few():
    def seconds(count):
        began = time.process_time()
        datasets.swings(count, 100, seed=3)
        return time.process_time() - began

    single, many = (min(seconds(count) for _ in range(5)) for count in (1, 10_000))
    assert many < 12 * single  # 4 times: 47 ms, where one takes 12
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
        np.testing.assert_allclose(angle - np.pi, angles[:, t], atol=1e-12)
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


def test_policies_of_discrete_actions():
    still = datasets.roll_out("balancier/PendulumDiscrete-v0", 2, 5)
    assert (still.action == 2).all()  # the middle one of five torques
    actions = datasets.roll_out("balancier/PendulumDiscrete-v0", 40, 50, datasets.random).action
    assert np.bincount(actions.flatten(), minlength=5).min() > 300  # of 2,000 / 5


def test_an_agent_can_be_the_policy():
    agent = SAC("balancier/Pendulum-v0", seeds=2)
    rollout = datasets.roll_out("balancier/Pendulum-v0", 4, 20, datasets.trained(agent[1]))
    expected, _ = agent[1].predict(rollout.obs[:, 10])
    np.testing.assert_allclose(rollout.action[:, 10], expected, atol=1e-6)


def test_an_episode_that_ends_early_is_refused():
    with pytest.raises(ValueError, match="^num_steps: found 201, expected at most 200"):
        datasets.roll_out("balancier/Pendulum-v0", 2, 201)


@given(steps=st.integers(1, 12), length=st.integers(1, 12), stride=st.integers(1, 5))
def test_windows_are_slices(steps, length, stride):
    series = np.arange(2 * steps * 3).reshape(2, steps, 3)
    if length > steps:
        with pytest.raises(ValueError, match="^length: "):
            datasets.windows(series, length, stride)
        return
    actual = datasets.windows(series, length, stride)
    expected = [episode[first : first + length] for episode in series for first in range(0, steps - length + 1, stride)]
    np.testing.assert_array_equal(actual, np.stack(expected))


def test_scales_come_from_the_training_part_only():
    x = np.random.default_rng(0).normal(5, 3, (100, 7, 2))
    train, held_out, (scale, _) = datasets.datasets(x, x[:, 0], validation=0.25)
    assert (len(train), len(held_out)) == (75, 25)
    torch.testing.assert_close(train.tensors[0].mean((0, 1)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.tensors[0].std((0, 1), correction=0), torch.ones(2))
    assert held_out.tensors[0].mean((0, 1)).abs().max() > 1e-3
    samples = torch.cat([scale.undo(part.tensors[0]) for part in (train, held_out)])
    torch.testing.assert_close(samples.flatten().sort().values, torch.tensor(x).float().flatten().sort().values)
    with pytest.raises(ValueError, match="^validation: "):
        datasets.split(10, 1.0)


def test_without_normalization_the_numbers_stay():
    x = np.random.default_rng(0).normal(5, 3, (10, 2))
    train, held_out, scales = datasets.datasets(x, x[:, :1], validation=0.3, normalize=False)
    training, validation = datasets.split(10, 0.3)
    torch.testing.assert_close(train.tensors[0], torch.tensor(x[training]).float(), rtol=0, atol=0)
    torch.testing.assert_close(held_out.tensors[1], torch.tensor(x[validation, :1]).float(), rtol=0, atol=0)
    assert [(scale.mean.tolist(), scale.std.tolist()) for scale in scales] == [([0, 0], [1, 1]), ([0], [1])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_component_keeps_its_unit(dtype):
    """Also if rounding gives equal numbers a standard deviation of 1e-17."""
    for count in (7, 77, 1000):
        assert datasets.scale_of(torch.full((count, 1), 0.1, dtype=dtype)).std == 1
    x = torch.tensor([0.0, 0.1, -1e5 / 3, 0.0], dtype=dtype).repeat(7, 11, 1)
    x[..., 3] = torch.arange(11)
    scale = datasets.scale_of(x)
    assert scale.mean.dtype == scale.std.dtype == dtype
    torch.testing.assert_close(scale.std, torch.tensor([1.0, 1.0, 1.0, 10**0.5], dtype=dtype))
    torch.testing.assert_close(scale.undo(scale.apply(x)), x)
    torch.testing.assert_close(scale.apply(x)[..., 3].square().mean(), torch.ones((), dtype=dtype))
