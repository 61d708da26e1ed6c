"""The fit of a pendulum to a recording: on recordings whose truth is known, and what it refuses."""

import numpy as np
import pytest

from envs import identification
from envs.identification import Windows, by_derivatives, cut, fit, fit_starts, gaps, mean_torque, point, simulate
from envs.physics import transition

TRUE = np.array([0.7, 0.4, 0.03, 0.1])  # length, mass, damping, friction


def recording(values=TRUE, seconds=6.0, step=0.005, noise=0.001, driven=True, seed=0, push=0.0):
    """Times, noisy angles and exact torques (n,) of a pendulum; the torque is linear between its samples."""
    generator = np.random.default_rng(seed)
    time = np.arange(0, seconds, step) + 0.3 * step * generator.random(round(seconds / step))
    torque = 2.0 * np.sin(3.1 * time) + np.sin(7.3 * time + 1) if driven else np.zeros_like(time)
    pendulum, angles, (angle, speed) = point(np.array(values)), [], (2.0, 0.0)
    for now, after, one, other in zip(time[:-1], time[1:], torque[:-1], torque[1:], strict=True):
        angles.append(angle)
        hand = push if 2.0 < now < 2.3 else 0.0  # N m, which is not in the recorded torque
        angle, speed = transition(angle, speed, (one + other) / 2 + hand, pendulum.at({"dt": after - now}))
    return time, np.array([*angles, angle]) + noise * generator.standard_normal(len(time)), torque


@pytest.fixture(scope="module")
def usual():
    return fit(cut(*recording()))


def test_the_parameters_come_back_within_their_intervals(usual):
    found = usual
    for name, true in zip(identification.NAMES, TRUE, strict=True):
        low, high = found.interval[name]
        value = float(getattr(found.pendulum, name))
        assert value == pytest.approx(true, rel=0.03, abs=0.01)
        assert low <= value <= high
        assert low - 0.01 * true <= true <= high + 0.01 * true
        assert high - low < 0.2 * true + 0.03
    assert found.rms == pytest.approx(0.001, rel=0.1)
    assert found.angle.shape == found.windows.angle.shape == (19, 121)


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Over 12 recordings the 95 % interval of the length misses the truth rarely, and it is not idle."""
    fits = [fit(cut(*recording(seed=seed, noise=0.004, seconds=4.0))) for seed in range(12)]
    inside = [low <= TRUE[0] <= high for low, high in (found.interval["length"] for found in fits)]
    assert sum(inside) >= 9
    width = np.mean([np.diff(found.interval["length"]) for found in fits])
    spread = np.std([float(found.pendulum.length) for found in fits])
    assert 1.5 * spread < width < 12 * spread


def test_the_scale_of_the_torque_changes_the_mass_but_not_the_length(usual):
    time, angle, torque = recording()
    once, twice = usual, fit(cut(time, angle, 2 * torque))
    assert float(twice.pendulum.length) == pytest.approx(float(once.pendulum.length), rel=1e-3)
    assert float(twice.pendulum.mass) == pytest.approx(2 * float(once.pendulum.mass), rel=1e-3)


def test_a_free_swing_tells_the_length_but_not_the_mass():
    found = fit(cut(*recording(driven=False, noise=0.002)))
    assert float(found.pendulum.length) == pytest.approx(TRUE[0], rel=0.01)
    assert "mass" not in found.interval
    assert float(found.pendulum.mass) == 1.0


def test_a_push_that_nobody_recorded_is_left_out():
    found = fit(cut(*recording(push=8.0)))
    assert 1 <= found.left_out <= 6
    assert float(found.pendulum.length) == pytest.approx(TRUE[0], rel=0.02)


def test_outliers_do_not_decide():
    time, angle, torque = recording()
    angle[::97] += 1.0
    assert float(fit(cut(time, angle, torque)).pendulum.length) == pytest.approx(TRUE[0], rel=0.03)


def test_two_derivatives_fail_where_the_fit_does_not():
    time, angle, torque = recording(noise=0.002)
    raw = by_derivatives(time, angle, torque)
    assert raw["length"] < 0.1 * TRUE[0]  # noise in a regressor: the inertia vanishes
    assert raw["spread"] > 20
    clean = by_derivatives(*recording(noise=0.0))
    assert clean["length"] == pytest.approx(TRUE[0], rel=0.02)  # without noise the method is right
    assert float(fit(cut(time, angle, torque)).pendulum.length) == pytest.approx(TRUE[0], rel=0.02)


def test_slopes_are_those_of_finite_differences():
    windows = cut(*recording(seconds=2.0))
    start = fit_starts(point(TRUE), windows)
    shared, own = identification.slopes(TRUE, start, windows)
    base = simulate(point(TRUE), windows, start)
    for index in range(4):
        moved = TRUE.copy()
        moved[index] += 1e-4 * (TRUE[index] if index < 2 else 1.0)
        expected = (simulate(point(moved), windows, start) - base) / 1e-4
        np.testing.assert_allclose(shared[..., index], expected, rtol=0.01, atol=0.01 * np.abs(expected).max())
    moved = start + np.array([0, 1e-4])
    expected = (simulate(point(TRUE), windows, moved) - base) / 1e-4
    np.testing.assert_allclose(own[..., 1], expected, rtol=0.01, atol=1e-3)


def test_starts_are_those_of_the_recording():
    time, angle, torque = recording(noise=0.0)
    windows = cut(time, angle, torque)
    start = fit_starts(point(TRUE), windows)
    np.testing.assert_allclose(start[:, 0], windows.angle[:, 0], atol=1e-6)
    np.testing.assert_allclose(simulate(point(TRUE), windows, start), windows.angle, atol=1e-6)


def test_no_window_reaches_across_a_gap():
    time, angle, torque = recording()
    kept = (time < 2.0) | (time > 3.0)
    windows = cut(time[kept], angle[kept], torque[kept])
    assert list(gaps(time[kept])) == [int((time < 2.0).sum())]
    assert not ((windows.time[:, 0] < 2.0) & (windows.time[:, -1] > 3.0)).any()
    assert float(fit(windows).pendulum.length) == pytest.approx(TRUE[0], rel=0.03)


def test_the_windows_that_move_most_are_kept():
    time, angle, torque = recording(seconds=12.0)
    angle = np.where(time < 6.0, 3.0, angle)
    windows = cut(time, angle, torque, most=5)
    assert len(windows.angle) == 5
    assert (windows.time[:, -1] > 6.0).all()


def test_mean_torques_are_integrals_over_the_steps():
    time, torque = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 0.0])
    assert mean_torque(time, torque, np.array([0.0, 1.0, 3.0])) == pytest.approx([1.0, 1.0])
    assert mean_torque(time, torque, np.array([0.0, 3.0])) == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda time, angle, torque: (time, angle + np.pi, torque), "above 0 .an angle of 0 at the other end"),
        (lambda time, angle, torque: (time, angle, -torque), "a torque that is positive in the sense"),
        (lambda time, angle, torque: (time[:50], angle[:50], torque[:50]), "s without a gap, expected at least 0.6 s"),
    ],
)
def test_what_is_no_pendulum_is_refused(change, words):
    with pytest.raises(ValueError, match=words) as error:
        fit(cut(*change(*recording())))
    assert "\n" not in str(error.value)


def test_irregular_and_coarse_steps_are_simulated_as_they_are():
    time, angle, torque = recording(step=0.002)
    kept = np.arange(0, len(time) - 9, 10) + np.random.default_rng(1).integers(0, 9, len(time) // 10)  # 4 to 36 ms
    found = fit(cut(time[kept], angle[kept], torque[kept]))
    assert float(found.pendulum.length) == pytest.approx(TRUE[0], rel=0.05)


def test_windows_know_their_steps():
    windows = Windows(np.array([[0.0, 0.1, 0.3]]), np.zeros((1, 3)), np.zeros((1, 2)))
    assert windows.dt == pytest.approx(np.array([[0.1, 0.2]]))
