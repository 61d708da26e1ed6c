"""A pendulum's parameters from a recording: those with which the equations of `envs.physics` repeat what was measured.

The recording is cut into windows. In each of them the pendulum is simulated under the recorded torque, from a start of
its own; the parameters and all starts together make the squared differences to the recorded angles small. Nothing is
differentiated: a measured angle has noise, and two derivatives of it have a thousand times as much.

Only the ratio of inertia and weight is free of the torque's unit. So the length, 9.81 I / (m g l) of a point mass, is
as good as the angles and times are, and the mass only as good as the scale of the torque.

W windows, T samples of a window, P parameters, K variants.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import Polynomial
from scipy.ndimage import uniform_filter1d
from scipy.optimize import least_squares
from scipy.stats import t as student

from envs.physics import FRICTION_SPEED, Pendulum, transition

GRAVITY = 9.81  # m/s^2
SECONDS = 0.6  # of a window: long enough for gravity to act, short enough for errors not to grow
FEWEST_WINDOWS, MOST_WINDOWS = 4, 60  # those in which the pendulum moves most
STILL = 0.1  # rad: windows in which the angle moves less tell of nothing but friction
SHORTEST_STEP = 0.005  # s: of faster recordings, samples are left out
GAP, LEAST_GAP = 4.0, 0.04  # times the usual step, and s: no window reaches across
SCALE = 0.02  # rad: of larger differences the loss grows no longer with the square, but in proportion
OUTLYING = 4.0  # times the usual error of a window: there somebody pushed, or held
NAMES = ("length", "mass", "damping", "friction")
LEAST, MOST = (0.02, 1e-4, 0.0, 0.0), (20.0, 1e4, 100.0, 100.0)  # of the parameters, in the order of NAMES
LENGTHS = (0.15, 0.3, 0.6, 1.2)  # m, first guesses beside those that the recording gives
STEP = 1e-5  # of central differences


class Windows(NamedTuple):
    """Parts of a recording, all with as many samples."""

    time: np.ndarray  # (W, T), s
    angle: np.ndarray  # (W, T), rad, 0 upright
    torque: np.ndarray  # (W, T - 1), N m, its mean over each step

    @property
    def dt(self) -> np.ndarray:
        """(W, T - 1), s; the steps may differ."""
        return np.diff(self.time)


@dataclass(frozen=True)
class Fit:
    """The pendulum that repeats a recording best."""

    pendulum: Pendulum
    interval: dict[str, tuple[float, float]]  # 95 %, of each parameter in NAMES that was fitted
    windows: Windows
    start: np.ndarray  # (W, 2), angle and speed at the start of each window
    angle: np.ndarray  # (W, T), simulated
    left_out: int  # windows that no pendulum repeats: somebody pushed it there, or held it

    @property
    def values(self) -> dict[str, float]:
        """The parameters in NAMES."""
        return {name: float(getattr(self.pendulum, name)) for name in NAMES}

    @property
    def inertia(self) -> float:
        """kg m^2 about the pivot."""
        return self.values["mass"] * self.values["length"] ** 2

    @property
    def weight_torque(self) -> float:
        """N m, of the horizontal pendulum."""
        return self.values["mass"] * GRAVITY * self.values["length"]

    @property
    def rms(self) -> float:
        """Root mean square difference between simulated and recorded angles, rad."""
        return float(np.sqrt(((self.angle - self.windows.angle) ** 2).mean()))


def gaps(time: np.ndarray) -> np.ndarray:
    """Indices of the samples that follow a gap."""
    step = np.diff(time)
    return np.flatnonzero(step > max(LEAST_GAP, GAP * float(np.median(step)))) + 1


def mean_torque(time: np.ndarray, torque: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The mean of a torque over the time between neighboring `ends` (..., n), (..., n - 1); linear between samples."""
    integral = np.concatenate([[0.0], np.cumsum(np.diff(time) * (torque[1:] + torque[:-1]) / 2)])
    return np.diff(np.interp(ends, time, integral)) / np.diff(ends)


def cut(
    time: np.ndarray, angle: np.ndarray, torque: np.ndarray, seconds: float = SECONDS, most: int = MOST_WINDOWS
) -> Windows:
    """Windows of a recording (n,) between its gaps, each half over the next; at most `most`, where the angle moves.

    Raises:
        ValueError: if no part without a gap is as long as a window.
    """
    thinned = max(1, int(SHORTEST_STEP / np.median(np.diff(time))))
    parts = [part[::thinned] for part in np.split(np.arange(len(time)), gaps(time))]
    length = round(seconds / (float(np.median(np.diff(time))) * thinned)) + 1
    indices: list[np.ndarray] = []
    for part in parts:
        if len(part) >= length:
            count = max(1, round(2 * (len(part) - length) / length) + 1)
            starts = np.linspace(0, len(part) - length, count).astype(int)
            indices.extend(part[start : start + length] for start in starts)
    if not indices:
        longest = max(time[part[-1]] - time[part[0]] for part in parts)
        raise ValueError(f"found at most {longest:.2f} s without a gap, expected at least {seconds:g} s")
    index = np.array(indices)  # (W, T)
    moved = np.ptp(angle[index], axis=1)
    count = min(most, max(FEWEST_WINDOWS, int((moved > STILL).sum())))
    index = index[np.sort(np.argsort(-moved, kind="stable")[:count])]
    return Windows(time[index], angle[index], mean_torque(time, torque, time[index]))


def point(values: np.ndarray) -> Pendulum:
    """The pendulum with parameters (..., P) in the order of NAMES: a point mass, as equations see it."""
    pendulum = Pendulum(gravity=GRAVITY, max_speed=1e3, max_torque=1e3, inertia="point", integrator="rk4")
    return pendulum.at(dict(zip(NAMES, np.moveaxis(values, -1, 0), strict=True)))


def simulate(pendulum: Pendulum, windows: Windows, start: np.ndarray) -> np.ndarray:
    """Angles (..., W, T) under the recorded torques, from starts (..., W, 2) of angle and speed."""
    angle, speed = np.moveaxis(start, -1, 0)
    angles, dt = [angle], windows.dt
    for step in range(dt.shape[1]):
        angle, speed = transition(angle, speed, windows.torque[:, step], pendulum.at({"dt": dt[:, step]}))
        angles.append(angle)
    return np.stack(np.broadcast_arrays(*angles), -1)


def slopes(values: np.ndarray, start: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of the angles by each parameter (W, T, P) and by each window's own start (W, T, 2).

    The first two parameters count by their logarithms. Central differences, all in one simulation.
    """
    count = len(values)
    shift = np.concatenate([np.eye(count + 2), -np.eye(count + 2)]) * STEP  # (K, P + 2)
    shifted = values + shift[:, :count] * np.where(np.arange(count) < 2, values, 1.0)
    pendulum = point(shifted[:, None])
    angles = simulate(pendulum, windows, start + shift[:, None, count:])  # (K, W, T)
    slope = np.moveaxis(angles[: count + 2] - angles[count + 2 :], 0, -1) / (2 * STEP)
    return slope[..., :count], slope[..., count:]


def first_starts(windows: Windows) -> np.ndarray:
    """Angle and speed (W, 2) at the start of each window, from a parabola through its first tenth of a second."""
    count = max(4, int(np.searchsorted(windows.time[0] - windows.time[0, 0], 0.1)))
    each = zip(windows.time[:, :count], windows.angle[:, :count], strict=True)
    return np.array([np.polyfit(time - time[0], angle, 2)[:0:-1] for time, angle in each])


def fit_starts(pendulum: Pendulum, windows: Windows, iterations: int = 6) -> np.ndarray:
    """The start (W, 2) of each window from which this pendulum repeats it best (Gauss-Newton, each window alone)."""
    values, start = np.array([getattr(pendulum, name) for name in NAMES]), first_starts(windows)
    for _ in range(iterations):
        error = windows.angle - simulate(point(values), windows, start)
        slope = slopes(values, start, windows)[1]  # (W, T, 2)
        normal, right = np.einsum("wti,wtj->wij", slope, slope), np.einsum("wti,wt->wi", slope, error)
        start = start + np.linalg.solve(normal, right[..., None])[..., 0]
    return start


def weak_form(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Linear equations rows @ (inertia, damping, friction, weight) = right, (2 W, 4) and (2 W,), without derivatives.

    The equation of motion is multiplied by a smooth function that is zero, with its slope, at both ends of the window,
    and integrated. Integration by parts then moves the derivatives from the angle to that function.
    """
    duration = np.ptp(windows.time, 1)[:, None]
    s = (windows.time - windows.time[:, :1]) / duration
    angle = windows.angle - windows.angle.mean(1, keepdims=True)  # whose integral with a second derivative is zero
    speed = np.stack([np.gradient(a, t) for a, t in zip(angle, windows.time, strict=True)])
    sense = np.tanh(uniform_filter1d(speed, 9, axis=1) / FRICTION_SPEED)
    rows, right = [], []
    for tilt in (Polynomial([1.0]), Polynomial([-1.0, 2.0])):
        shape = Polynomial([0, 0, 0, 1.0]) * Polynomial([1.0, -1.0]) ** 3 * tilt
        value, first, second = shape(s), shape.deriv()(s) / duration, shape.deriv(2)(s) / duration**2
        terms = second * angle, -first * angle, value * sense, -value * np.sin(windows.angle)
        rows.append(np.stack([np.trapezoid(term, windows.time) for term in terms], 1))
        right.append((windows.torque * windows.dt * (value[:, 1:] + value[:, :-1]) / 2).sum(1))
    return np.concatenate(rows), np.concatenate(right)


def least_median(rows: np.ndarray, right: np.ndarray, trials: int = 300) -> np.ndarray:
    """A solution of linear equations, of which almost half may be wrong (Rousseeuw, doi:10.2307/2288718).

    Of many solutions, each of a few random equations, the one with the smallest median of all errors says which
    equations are right; least squares on these is the answer.
    """
    generator, count = np.random.default_rng(0), rows.shape[1] + 1
    best, least = np.zeros(rows.shape[1]), np.inf
    for _ in range(trials):
        some = generator.permutation(len(rows))[:count]
        solution = np.linalg.lstsq(rows[some], right[some])[0]
        median = np.median(np.abs(rows @ solution - right))
        if median < least:
            best, least = solution, median
    good = np.abs(rows @ best - right) <= OUTLYING * least
    return np.linalg.lstsq(rows[good], right[good])[0]


def guesses(windows: Windows) -> list[np.ndarray]:
    """First guesses of the parameters (P,); the mass of a pendulum without any torque is taken as 1.

    Raises:
        ValueError: if the weight comes out below zero, by all equations and by most of them: then angle or torque are
            counted from another place or in another sense.
    """
    rows, right = weak_form(windows)
    driven, found = bool(windows.torque.any()), []
    for solve in (least_median, lambda rows, right: np.linalg.lstsq(rows, right)[0]):
        found.append(solve(rows, right) if driven else np.array([1.0, *solve(rows[:, 1:], -rows[:, 0])]))
    if all(solution[3] <= 0 for solution in found):
        turned = all(solution[0] <= 0 for solution in found)
        what = "a torque that is positive in the sense of the angle" if turned else "an angle of 0 at the other end"
        raise ValueError(f"found a weight torque of {found[0][3]:.3g} N m, expected it above 0 ({what})")
    for length in LENGTHS if driven else ():
        mixed = np.column_stack([rows[:, 3] + rows[:, 0] * length / GRAVITY, rows[:, 1:3]])
        weight, damping, friction = least_median(mixed, right)
        found.append(np.array([weight * length / GRAVITY, damping, friction, weight]))
    found = [solution for solution in found if solution[0] > 0 and solution[3] > 0]
    values = []
    for inertia, damping, friction, weight in found:
        length = GRAVITY * inertia / weight
        values.append(np.clip([length, inertia / length**2 if driven else 1.0, damping, friction], LEAST, MOST))
    return values


def errors_of(values: np.ndarray, windows: Windows) -> np.ndarray:
    """Root mean square error (W,) of each window, from its own best start."""
    with np.errstate(all="ignore"):
        error = simulate(point(values), windows, fit_starts(point(values), windows)) - windows.angle
    return np.nan_to_num(np.sqrt((error**2).mean(1)), nan=np.inf)


def repeated(values: np.ndarray, windows: Windows) -> np.ndarray:
    """Whether (W,) a pendulum repeats a window about as well as most others."""
    error = errors_of(values, windows)
    return error <= max(SCALE, OUTLYING * float(np.median(error)))


def fit(windows: Windows) -> Fit:
    """The parameters that repeat the windows best, by nonlinear least squares with a robust (soft L1) loss.

    Windows that no pendulum repeats are left out. The mass of a pendulum that no torque moves cannot be seen in its
    angles; it stays 1 and has no interval.

    Raises:
        ValueError: as `guesses`.
    """
    values = min(guesses(windows), key=lambda guess: float(np.median(errors_of(guess, windows))))
    before = kept = repeated(values, windows)
    for _ in range(3):
        used = Windows(windows.time[kept], windows.angle[kept], windows.torque[kept])
        values, start, fitted = minimize(values, used)
        before, kept = kept, repeated(values, windows)
        if (before == kept).all():
            break
    width = half_widths(values, start, used, fitted)
    low, high = values - width, values + width
    low[:2], high[:2] = values[:2] * np.exp(-width[:2]), values[:2] * np.exp(np.minimum(width[:2], 10.0))
    low, high = np.clip(low, LEAST, MOST), np.clip(high, LEAST, MOST)
    interval = {name: (float(low[i]), float(high[i])) for i, name in enumerate(NAMES) if fitted[i]}
    return Fit(point(values), interval, used, start, simulate(point(values), used, start), int((~before).sum()))


def minimize(first: np.ndarray, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters (P,), starts (W, 2), and which parameters were fitted (P,); the first two by their logarithms."""
    fitted = np.array([name != "mass" or bool(windows.torque.any()) for name in NAMES])
    logs, count, (num_windows, num_samples) = np.arange(len(NAMES)) < 2, int(fitted.sum()), windows.angle.shape
    least, most = (np.log(np.maximum(x, 1e-9), where=logs, out=np.array(x))[fitted] for x in (LEAST, MOST))

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = first.copy()
        values[fitted] = np.where(logs[fitted], np.exp(np.where(logs[fitted], x[:count], 0.0)), x[:count])
        return values, x[count:].reshape(-1, 2)

    def residuals(x: np.ndarray) -> np.ndarray:
        values, start = unpack(x)
        return ((simulate(point(values), windows, start) - windows.angle) / SCALE).ravel()

    def jacobian(x: np.ndarray) -> np.ndarray:
        shared, own = slopes(*unpack(x), windows)
        full = np.zeros((num_windows, num_samples, count + 2 * num_windows))
        full[..., :count] = shared[..., fitted]
        for window in range(num_windows):
            full[window, :, count + 2 * window : count + 2 * window + 2] = own[window]
        return full.reshape(-1, full.shape[-1]) / SCALE

    begin = np.log(first, where=logs, out=first.copy())[fitted]
    begin = np.clip(begin, least + 1e-9, most - 1e-9)
    free = np.full(2 * num_windows, np.inf)
    bounds = np.concatenate([least, -free]), np.concatenate([most, free])
    x = np.concatenate([begin, fit_starts(point(first), windows).ravel()])
    found: Any = least_squares(
        residuals,
        x,
        jacobian,  # type: ignore[arg-type]
        bounds,
        x_scale="jac",
        loss="soft_l1",
        max_nfev=60,
    )
    return *unpack(found.x), fitted


def half_widths(values: np.ndarray, start: np.ndarray, windows: Windows, fitted: np.ndarray) -> np.ndarray:
    """Half the 95 % interval of each parameter (P,), of the logarithm for the first two; 0 for one that is not fitted.

    The samples of a window are wrong together, not each by itself: what the equations leave out lasts. So a window is
    one observation, and the spread of the windows' pulls on a parameter says how uncertain it is (the sandwich
    estimate; neighbors, which share half of their samples, count together, doi:10.2307/1913610). A parameter at its
    bound 0 counts as known.
    """
    free = fitted & (values > np.array(LEAST) + 1e-6)
    shared, own = slopes(values, start, windows)
    error = simulate(point(values), windows, start) - windows.angle
    weight = 1 / np.sqrt(1 + (error / SCALE) ** 2)  # derivative of the loss by the squared difference
    shared = shared[..., free]
    normal = np.einsum("wti,wt,wtj->wij", own, weight, own)
    mixed = np.einsum("wti,wt,wtj->wij", own, weight, shared)
    shared = shared - own @ np.linalg.solve(normal, mixed)  # without what the starts can make up for
    inverse = np.linalg.inv(np.einsum("wti,wt,wtj->ij", shared, weight, shared))
    pull = np.einsum("wti,wt,wt->wi", shared, weight, error)  # (W, P)
    both = pull[1:].T @ pull[:-1]
    count = max(2.0, len(pull) / 2)  # of windows that would lie beside each other
    covariance = inverse @ (pull.T @ pull + (both + both.T) / 2) @ inverse * count / (count - 1)
    width = np.zeros(len(values))
    width[free] = student.ppf(0.975, count - 1) * np.sqrt(np.diag(covariance))
    return width


def by_derivatives(time: np.ndarray, angle: np.ndarray, torque: np.ndarray, width: int = 1) -> dict[str, float]:
    """What two derivatives and linear least squares make of a recording (n,): a method that fails.

    Angle and torque are first averaged over `width` samples. The noise of the acceleration, a regressor, makes its
    coefficient, the inertia, too small (attenuation, as of every regressor with noise).

    Returns:
        inertia (kg m^2), weight (N m), length (m), and the standard deviation of the acceleration (rad/s^2).
    """
    angle, torque = (uniform_filter1d(x, width) for x in (angle, torque))
    speed = np.gradient(angle, time)
    acceleration = np.gradient(speed, time)
    columns = np.stack([acceleration, -np.sin(angle), speed, np.tanh(speed / FRICTION_SPEED)], 1)
    inertia, weight = (float(x) for x in np.linalg.lstsq(columns, torque)[0][:2])
    spread = float(acceleration.std())
    return {"inertia": inertia, "weight": weight, "length": GRAVITY * inertia / weight, "spread": spread}
