import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control.pendulum import PendulumEnv as GymnasiumPendulum
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ellipj, ellipk

from envs.physics import Pendulum, acceleration, energy, reward, square, transition, wrap

angles, speeds = st.floats(-20, 20), st.floats(-8, 8)


@given(
    angle=angles, speed=speeds, torque=st.floats(-3, 3),
    gravity=st.floats(1, 20), mass=st.floats(0.2, 5), length=st.floats(0.2, 3),
)  # fmt: skip
def test_a_step_is_gymnasiums(angle, speed, torque, gravity, mass, length):
    theirs = GymnasiumPendulum(g=gravity)
    theirs.m, theirs.l = mass, length
    theirs.state, theirs.last_u = np.array([angle, speed]), None
    _, their_reward, *_ = theirs.step(np.array([torque]))
    clipped = np.clip(torque, -2.0, 2.0)
    ours = transition(np.array(angle), np.array(speed), clipped, Pendulum(gravity=gravity, mass=mass, length=length))
    np.testing.assert_allclose(ours, theirs.state, rtol=0, atol=1e-12)
    assert reward(np.float64(angle), np.float64(speed), clipped) == their_reward


@pytest.mark.parametrize("largest", [1e-3, 2, 8, 20, 1000])
def test_arrays_are_rounded_as_single_numbers_are(largest):
    """In a few thousand numbers some squares differ from the product, which large arrays have instead."""
    x = np.random.default_rng(0).uniform(-largest, largest, (2, 3000))
    for numbers in x, x.astype(np.float32), x.T:
        expected = np.array([[number**2 for number in row] for row in numbers])
        parts = [square(part) for part in np.array_split(numbers.ravel(), 10)]
        np.testing.assert_array_equal(np.concatenate(parts), expected.ravel())
        assert parts[0].dtype == numbers.dtype
        np.testing.assert_array_equal(square(numbers), numbers * numbers)
        np.testing.assert_array_max_ulp(square(numbers), expected, 1)
        assert numbers.dtype != np.float64 or (expected != numbers * numbers).any()
    turns = np.arange(-200, 200) * (np.pi / 2)
    for angles in x, turns, np.nextafter(turns, np.inf), np.nextafter(turns, -np.inf):
        expected = [(angle + np.pi) % (2 * np.pi) - np.pi for angle in angles.ravel()]
        np.testing.assert_array_equal(wrap(angles).ravel(), expected)


@pytest.mark.parametrize("count", [1, 24, 25, 300])
def test_the_rewards_of_a_row_are_those_of_its_numbers(count):
    """Short rows are computed one by one; a row and a single number go together at any length."""
    random = np.random.default_rng(count)
    angle, speed = random.uniform(-20, 20, (2, count))
    for torque in random.uniform(-2, 2, count), random.uniform(-2, 2, count).astype(np.float32):
        expected = [reward(*numbers) for numbers in zip(angle, speed, torque, strict=True)]
        np.testing.assert_array_equal(reward(angle, speed, torque), expected)
        np.testing.assert_array_equal(reward(angle, speed[:1], torque), reward(angle, np.full(count, speed[0]), torque))


def test_what_was_drawn_together_is_what_is_drawn_one_by_one():
    """`**2` differs for one length in 1,300 between an array and its numbers."""
    pendulum, uniform = Pendulum(length=(0.5, 2), mass=(1, 3)), np.random.default_rng(0).random((20_000, 2))
    for index in range(2):
        expected = [pendulum.draw(numbers).gains[index] for numbers in uniform]
        np.testing.assert_array_equal(pendulum.draw(uniform).gains[index], expected)


@given(angle=angles)
def test_wrapping_keeps_the_direction(angle):
    wrapped = wrap(np.array(angle))
    assert -np.pi - 1e-12 <= wrapped < np.pi + 1e-12
    np.testing.assert_allclose([np.cos(wrapped), np.sin(wrapped)], [np.cos(angle), np.sin(angle)], atol=1e-12)


@given(angle=angles, speed=speeds, torque=st.floats(-2, 2), damping=st.floats(0, 1))
@pytest.mark.parametrize("integrator", ["euler", "rk4"])
def test_numpy_and_torch_agree(integrator, angle, speed, torque, damping):
    pendulum = Pendulum(damping=damping, integrator=integrator)
    state = np.array([angle, speed, torque])
    actual = transition(*torch.from_numpy(state), pendulum)
    np.testing.assert_allclose([x.item() for x in actual], transition(*state, pendulum), atol=1e-12)


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
@pytest.mark.parametrize("inertia", ["rod", "point"])
def test_the_gradient_is_that_of_finite_differences(integrator, inertia):
    pendulum = Pendulum(damping=0.3, integrator=integrator, inertia=inertia)
    state = torch.tensor([[0.3, -2.0, 2.5], [1.0, -0.5, 3.0], [0.5, 1.5, -1.0]], dtype=torch.float64)
    state.requires_grad_()
    assert torch.autograd.gradcheck(lambda *s: transition(*s, pendulum), tuple(state.unbind(0)))
    parameters = torch.tensor([1.2, 0.8], dtype=torch.float64, requires_grad=True)

    def with_parameters(values):
        return transition(*state.detach(), pendulum.at({"length": values[0], "mass": values[1]}))

    assert torch.autograd.gradcheck(with_parameters, (parameters,))


def test_nothing_is_changed_in_place():
    state = np.array([[0.3, -2.0], [1.0, -9.0], [5.0, -1.0]])
    before = state.copy()
    for integrator in "euler", "rk4":
        transition(*state, Pendulum(damping=0.1, integrator=integrator))
    reward(*state)
    np.testing.assert_array_equal(state, before)


def swing(pendulum, angle, speed, seconds):
    states = [(np.array(angle), np.array(speed))]
    for _ in range(round(seconds / pendulum.dt)):
        states.append(transition(*states[-1], np.array(0.0), pendulum))
    return np.array(states).T  # (2, T)


@pytest.mark.parametrize("inertia", ["rod", "point"])
def test_the_free_pendulum_follows_its_elliptic_functions(inertia):
    """Let go at amplitude a from hanging: sin(x / 2) = k sn(K(k) - w t), k = sin(a / 2), x the angle from hanging."""
    amplitude, pendulum = (
        2.0,
        Pendulum(integrator="rk4", dt=0.01, inertia=inertia, max_speed=100.0, length=1.3, mass=0.7),
    )
    rate = np.sqrt(pendulum.gains[0])
    m = np.sin(amplitude / 2) ** 2
    time = np.arange(1001) * pendulum.dt
    expected = 2 * np.arcsin(np.sqrt(m) * ellipj(ellipk(m) - rate * time, m)[0])
    angle, _ = swing(pendulum, np.pi + amplitude, 0.0, 10.0)
    np.testing.assert_allclose(angle - np.pi, expected, atol=2e-6)


@pytest.mark.parametrize(("integrator", "order"), [("euler", 1), ("rk4", 4)])
def test_integrators_converge_at_their_order(integrator, order):
    def end(dt):
        return swing(Pendulum(integrator=integrator, dt=dt, max_speed=100.0), 2.0, 0.5, 2.0)[:, -1]

    exact = swing(Pendulum(integrator="rk4", dt=1e-3, max_speed=100.0), 2.0, 0.5, 2.0)[:, -1]
    errors = [np.abs(end(dt) - exact).max() for dt in (0.05, 0.025)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


def test_semi_implicit_euler_keeps_energy_within_bounds_and_rk4_far_better():
    errors = {}
    for integrator in "euler", "rk4":
        pendulum = Pendulum(integrator=integrator, max_speed=100.0)
        actual = energy(*swing(pendulum, 2.0, 0.0, 10.0), pendulum)
        errors[integrator] = np.abs(actual / actual[0] - 1).max()
    assert 0.01 < errors["euler"] < 0.2
    assert errors["rk4"] < 1e-3


def test_damping_takes_out_what_friction_does():
    """Without gravity or torque the speed falls by exp(-b t / I)."""
    pendulum = Pendulum(gravity=1e-12, damping=0.4, inertia="point", mass=2.0, integrator="rk4")
    _, speed = swing(pendulum, 0.0, 3.0, 5.0)
    np.testing.assert_allclose(speed[-1], 3.0 * np.exp(-0.4 * 5.0 / 2.0), rtol=1e-7)


def test_coulomb_friction_brakes_as_much_at_every_speed():
    """Without gravity or torque the speed falls by c t / I, and then the pendulum stays where it is."""
    pendulum = Pendulum(gravity=1e-12, friction=0.5, inertia="point", mass=2.0, integrator="rk4")
    angle, speed = swing(pendulum, 0.0, 3.0, 5.0)
    np.testing.assert_allclose(speed[-1], 3.0 - 0.5 * 5.0 / 2.0, rtol=1e-6)
    np.testing.assert_allclose(angle[-1], 3.0 * 5.0 - 0.5 * 5.0**2 / 4, rtol=1e-6)
    _, speed = swing(pendulum, 0.0, 3.0, 20.0)
    assert 0 <= speed[-1] < 1e-6
    backward = swing(pendulum, 0.0, -3.0, 5.0)
    np.testing.assert_array_equal(backward, [-angle, -swing(pendulum, 0.0, 3.0, 5.0)[1]])


def test_a_motor_s_gain_multiplies_its_torque():
    state = np.array([0.3, 2.0]), np.array([1.0, -4.0]), np.array([1.5, -0.5])
    angle, speed, torque = state
    np.testing.assert_array_equal(
        transition(angle, speed, torque, Pendulum(torque_gain=0.8)), transition(angle, speed, 0.8 * torque, Pendulum())
    )


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
def test_what_is_off_leaves_every_bit(integrator):
    """The equations as they stood before friction and gain: term by term in the same order."""
    pendulum = Pendulum(damping=0.2, integrator=integrator)
    generator = np.random.default_rng(0)
    angle, speed, torque = generator.uniform(-3, 3, (3, 1000))
    per_sine, per_torque = pendulum.gains
    before = per_sine * np.sin(angle) + per_torque * torque - (per_torque * 0.2) * speed
    np.testing.assert_array_equal(acceleration(angle, speed, torque, pendulum), before)
    zeros = {name: np.zeros(1000) for name in ("friction", "delay", "angle_noise", "speed_noise")}
    other = pendulum.at(zeros | {"torque_gain": np.ones(1000)})
    np.testing.assert_array_equal(acceleration(angle, speed, torque, other), before)


@pytest.mark.parametrize("name", ["length", "mass", "gravity", "max_torque", "max_speed", "dt", "torque_gain"])
@pytest.mark.parametrize(
    "value", [0.0, -1.0, float("nan"), float("inf"), "long", None, True, (2.0, 1.0), (0.0, 1.0), (1,)]
)
def test_what_no_pendulum_has_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name}: found"):
        Pendulum(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("inertia", "disc"), ("integrator", "leapfrog"), ("damping", -0.1),
                                              ("friction", -0.1), ("delay", 5.01), ("angle_noise", -1)])  # fmt: skip
def test_so_is_what_it_cannot_be(name, value):
    with pytest.raises(ValueError, match=f"^{name}: found"):
        Pendulum(**{name: value})
    assert Pendulum(damping=0.0, length=(0.5, 2)).ranges == {"length": (0.5, 2)}
