"""LQR, energy shaping and both: the Riccati equation, the region of attraction, and batches.

n observations.
"""

import math

import numpy as np
import pytest
import torch

from envs.controllers import LQR, WEIGHTS, Energy, EnergyLQR, attraction, derivatives, pump
from envs.physics import Pendulum, energy, reward, transition

PENDULUM = Pendulum()
STATES = np.random.default_rng(0).uniform((-math.pi, -8), (math.pi, 8), (50, 2))


def observe(angle, speed):
    return np.stack([np.cos(angle), np.sin(angle), speed], -1).astype(np.float32)


def test_the_weights_are_those_of_the_environments_cost():
    for index, values in enumerate(0.5 * np.eye(3)):
        assert -reward(*values) == pytest.approx(WEIGHTS[index] / 4)


@pytest.mark.parametrize("pendulum", [PENDULUM, Pendulum(damping=0.2, friction=0.1, torque_gain=0.8, integrator="rk4")])
def test_derivatives_are_quotients_of_differences(pendulum):
    small, now = 1e-6, torch.tensor([[0.3, -1.2, 0.7], [2.0, 3.0, -1.5]], dtype=torch.float64)
    exact = derivatives(*now.unbind(-1), pendulum)
    for index in range(3):
        shift = small * torch.eye(3, dtype=torch.float64)[index]
        ends = [torch.stack(transition(*(now + sign * shift).unbind(-1), pendulum), -1) for sign in (1, -1)]
        torch.testing.assert_close(exact[..., index], (ends[0] - ends[1]) / (2 * small), rtol=1e-6, atol=1e-7)


def test_the_linear_step_by_hand():
    """Semi-implicit Euler: the speed grows by 15 dt per rad and by 3 dt per N m, the angle by dt times the speed."""
    A, B = LQR(PENDULUM).step
    np.testing.assert_allclose(A, [[1 + 0.05 * 0.75, 0.05], [0.75, 1]])
    np.testing.assert_allclose(B, [[0.05 * 0.15], [0.15]])


def test_lqr_solves_the_riccati_equation_and_its_cost_is_that_of_an_episode():
    lqr = LQR(PENDULUM)
    (A, B), P = lqr.step, lqr.cost
    K = lqr.gains[None]
    np.testing.assert_allclose(P, np.diag(WEIGHTS[:2]) + A.T @ P @ A - A.T @ P @ B @ K, rtol=1e-9)
    assert np.abs(np.linalg.eigvals(A - B @ K)).max() < 1
    x, total = np.array([0.01, 0.02]), 0.0
    start = x
    for _ in range(400):
        torque = lqr.act(*x)
        total -= reward(*x, torque)
        x = np.array(transition(*x, torque, PENDULUM))
    assert total == pytest.approx(start @ P @ start, rel=1e-3)  # the sine is nearly linear here


def test_lqr_holds_the_rod_as_far_as_the_motor_is_strong_enough():
    """At rest, 5 sin(angle) N m pull at it, and the motor has 2: up to 0.41 rad. From beyond it falls."""
    lqr = LQR(PENDULUM)
    angle = np.array([-0.39, 0.0, 0.39, 0.44, 2.0])
    assert attraction(lqr, angle, np.zeros(5)).tolist() == [True, True, True, False, False]
    assert attraction(lqr, np.array([1.0]), np.array([-4.2])).item()  # it comes up by itself


def test_attraction_counts_no_arrival_through_the_bottom():
    """Energy shaping swings through the bottom from these angles, and comes up on either side."""
    law, angle = EnergyLQR(PENDULUM), np.linspace(2.2, 3.1, 40)
    assert not attraction(law, angle, np.zeros(40)).any()
    for start in angle:
        states = [(start, 0.0)]
        for _ in range(100):
            states.append(transition(*states[-1], law.act(*states[-1]), PENDULUM))
        if abs(states[-1][0]) < 0.05:  # not a turn away
            return
    pytest.fail("expected an arrival at the angle 0")


def test_the_pump_pulls_with_the_motion_until_the_energy_is_that_of_the_top():
    assert pump(np.pi, 1.0, PENDULUM) == 2.0
    assert pump(np.pi, -1.0, PENDULUM) == -2.0
    assert pump(0.0, 3.0, PENDULUM) == pytest.approx(-2.0)  # too much: 1.5 J more than the top's 5 J
    assert pump(0.0, 0.0, PENDULUM) == 0.0
    speed = math.sqrt(2 * 5 * (0.95 - math.cos(2.0)) * 3)  # 5 % of the energy are missing
    assert pump(2.0, speed, PENDULUM) == pytest.approx(2 * 10 * (1 - energy(2.0, speed, PENDULUM) / 5))


def test_energy_with_lqr_comes_up_from_everywhere_and_stays():
    controller = EnergyLQR(PENDULUM)
    angle, speed = STATES.T
    for _ in range(200):
        angle, speed = transition(angle, speed, controller.act(angle, speed), PENDULUM)
    assert np.cos(angle).min() > 0.999
    assert np.abs(speed).max() < 0.05


def test_lqr_takes_over_inside_its_region_alone():
    controller = EnergyLQR(PENDULUM)
    angle, speed = STATES.T
    inside = controller.balances(angle, speed)
    assert 0 < inside.sum() < len(STATES)
    torque, lqr = controller.act(angle, speed), LQR(PENDULUM)
    np.testing.assert_array_equal(torque[inside], lqr.act(angle, speed)[inside])
    np.testing.assert_array_equal(torque[~inside], pump(angle, speed, PENDULUM)[~inside])
    assert attraction(lqr, angle[inside], speed[inside]).all()


@pytest.mark.parametrize("kind", [Energy, LQR, EnergyLQR])
def test_a_batch_has_the_actions_of_single_observations(kind):
    obs = observe(*STATES.T)
    for torques in (None, np.linspace(-2, 2, 5)):
        controller = kind(PENDULUM, torques)
        actions, state = controller.predict(obs)
        assert state is None
        assert actions.shape == ((50, 1) if torques is None else (50,))
        assert actions.dtype == (np.float32 if torques is None else np.int64)
        for index in range(0, 50, 7):
            np.testing.assert_array_equal(actions[index], controller.predict(obs[index])[0])


def test_energy_has_the_torques_that_it_always_had():
    """Those of its equation, one observation at a time, with Python's own functions."""
    controller = Energy(PENDULUM)
    for angle, speed in STATES:
        obs = observe(angle, speed)
        action, _ = controller.predict(obs)
        torque = controller.torque(math.atan2(obs[1], obs[0]), float(obs[2]))
        assert action.shape == (1,)
        assert action[0] == np.float32(torque)


@pytest.mark.parametrize("kind", [Energy, LQR, EnergyLQR])
@pytest.mark.parametrize("shape", [(2,), (4, 2), (2, 3, 3), ()])
def test_an_observation_without_speed_is_refused(kind, shape):
    with pytest.raises(ValueError, match=r"obs: found shape .*, expected \(3,\) or \(n, 3\)"):
        kind(PENDULUM).predict(np.zeros(shape))
