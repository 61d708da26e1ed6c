"""The pendulum's equations, written once for every environment, data set, optimum and picture of a pendulum.

Pure functions of NumPy arrays or torch tensors of any leading shape: never in place, differentiable, on any device.
The angle is in rad, 0 upright, and grows counter-clockwise. Speed is its rate in rad/s. Torque is in N m, positive
counter-clockwise.
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch

from balancier import MOST, is_number, shown

Range = tuple[float, float]
Array = Any  # a NumPy array, a torch tensor, or a number
Inertia = Literal["rod", "point"]
Integrator = Literal["euler", "rk4"]


@dataclass(frozen=True)
class Pendulum:
    """Parameters in SI units; the defaults are those of Gymnasium's `Pendulum-v1`.

    A number may also be a range `(low, high)`, from which every episode draws its own value, or an array of values.
    Delay and noise are the environments' part: the equations below know neither.

    Raises:
        ValueError: for a value that no pendulum has, and for a range whose lower end is not the first.
    """

    length: float | Range = 1.0  # m
    mass: float | Range = 1.0  # kg
    gravity: float | Range = 10.0  # m/s^2
    damping: float | Range = 0.0  # viscous, N m s
    friction: float | Range = 0.0  # Coulomb's, N m: against the motion, and as large at every speed
    max_torque: float | Range = 2.0  # N m, torques are clipped to it
    max_speed: float | Range = 8.0  # rad/s, speeds are clipped to it
    dt: float | Range = 0.05  # s, one step
    torque_gain: float | Range = 1.0  # torque of the motor over the torque that it is told
    delay: float | Range = 0.0  # s, from a torque that is told to its effect; at most 100 steps
    angle_noise: float | Range = 0.0  # rad, standard deviation of a measurement
    speed_noise: float | Range = 0.0  # rad/s, the same
    inertia: Inertia = "rod"  # of a uniform rod, m l^2 / 3 with its weight at l / 2, or of a point mass, m l^2
    integrator: Integrator = "euler"  # semi-implicit Euler (Gymnasium's) or the classical Runge-Kutta method

    def __post_init__(self):
        for name in NUMBERS:
            _check_number(name, getattr(self, name))
        for name, choices in (("inertia", get_args(Inertia)), ("integrator", get_args(Integrator))):
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name}: found {value!r}, expected {' or '.join(map(repr, choices))}")
        if self.delayed_steps > MOST_DELAYED:
            raise ValueError(f"delay: found {shown(self.delay)}, expected at most {MOST_DELAYED} steps of dt")

    @property
    def ranges(self) -> dict[str, Range]:
        """The parameters that every episode draws anew."""
        values = {name: getattr(self, name) for name in NUMBERS}
        return {name: value for name, value in values.items() if isinstance(value, tuple | list)}  # type: ignore[misc]

    @property
    def delayed_steps(self) -> float:
        """The longest delay over the shortest step."""
        return float(np.asarray(self.delay).max() / np.asarray(self.dt).min())

    @property
    def noisy(self) -> bool:
        """Whether measurements have an error."""
        return bool(np.asarray(self.angle_noise).any() or np.asarray(self.speed_noise).any())

    def draw(self, uniform: Array) -> "Pendulum":
        """The pendulum whose ranges are replaced by values; `uniform` (..., number of ranges) lies in [0, 1)."""
        ranges = enumerate(self.ranges.items())
        return self.at({name: low + (high - low) * uniform[..., i] for i, (name, (low, high)) in ranges})

    def at(self, values: dict[str, Array]) -> "Pendulum":
        """The pendulum with these values, taken as they are."""
        pendulum = object.__new__(Pendulum)
        for field in fields(self):
            object.__setattr__(pendulum, field.name, values.get(field.name, getattr(self, field.name)))
        return pendulum

    @property
    def moment_of_inertia(self) -> Array:
        """kg m^2 about the pivot."""
        return self.mass * self.length**2 / (3 if self.inertia == "rod" else 1)  # type: ignore[operator]

    @property
    def weight_torque(self) -> Array:
        """N m: torque of the weight when the pendulum is horizontal."""
        return self.mass * self.gravity * self.length / (2 if self.inertia == "rod" else 1)  # type: ignore[operator]

    @cached_property
    def is_ideal(self) -> bool:
        """Whether there is neither damping nor friction, and the motor is exact."""
        names = ("torque_gain", 1), ("damping", 0), ("friction", 0)
        return all(is_number_of(getattr(self, name), off) for name, off in names)

    @property
    def gains(self) -> tuple[Array, Array]:
        """Acceleration per sine of the angle (1/s^2) and per torque (1/(kg m^2)).

        Quotients of the two properties above, written in Gymnasium's order of operations: near the unstable top a
        difference in the last digit grows a hundred million times within an episode. So lengths that were drawn are
        multiplied: `**` rounds an array otherwise than a number.
        """
        length = self.length
        squared = length**2 if type(length) in (float, int) else length * length  # type: ignore[operator]
        if self.inertia == "rod":
            return 3 * self.gravity / (2 * self.length), 3 / (self.mass * squared)  # type: ignore[operator]
        return self.gravity / self.length, 1 / (self.mass * squared)  # type: ignore[operator]


NUMBERS = [field.name for field in fields(Pendulum) if field.name not in ("inertia", "integrator")]
OFF = "damping", "friction", "delay", "angle_noise", "speed_noise"  # which may be 0
HIDING = "delay", "angle_noise", "speed_noise"
FRICTION_SPEED = 0.1  # rad/s: at this speed friction has three quarters of its size; at rest there is none
MOST_DELAYED = 100  # steps that a torque may be late
EXTREME = 1e6  # the largest parameter, in its unit
TURN = 2 * math.pi
TURN_PARTS = float(np.float32(TURN)), TURN - float(np.float32(TURN))
MOST_TURNS = 2**25  # whose multiples of the parts have no rounding errors
FEW = 24  # numbers: up to here Python's arithmetic takes less time than NumPy's calls
MANY = 256  # numbers: from here on the work in an array takes longer than the calls
EXACT = 1024  # numbers: from here on the last digits of squares would take as long as all else in a step
SERIAL = 2048  # numbers that torch leaves to one of its threads: to wake the others takes longer than the work
# For `square`. Digits behind the last one count in 2^-64 of it: from LOWEST on, WIDTH of them are near the middle.
LOWEST, WIDTH = np.array(2**63 - 3 * 2**56, np.uint64), np.array(6 * 2**56, np.uint64)
BITS = {number: np.array(number, np.uint64) for number in (1, 11, 35, 52)}  # NumPy takes arrays sooner than numbers


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, np.ndarray | torch.Tensor):
        return  # drawn from a range that was checked
    ends = tuple(value) if isinstance(value, tuple | list) else (value, value)
    zero_allowed = name in OFF
    expected = "a number of at least 0" if zero_allowed else "a number above 0"
    numbers = all(map(is_number, ends))
    if len(ends) != 2 or not numbers or not all(-MOST <= end <= MOST for end in ends):
        raise ValueError(f"{name}: found {shown(value)}, expected {expected}, or a range (low, high)")
    if min(ends) < 0 or (min(ends) == 0 and not zero_allowed):
        raise ValueError(f"{name}: found {value!r}, expected {expected}, or a range (low, high)")
    if ends[0] > ends[1]:
        raise ValueError(f"{name}: found the range {value!r}, expected its lower end first")
    least = 1 / EXTREME if name in ("length", "mass") else 0  # which stand below a fraction line
    if not least <= ends[0] <= ends[1] <= EXTREME:
        expected = f"{least:g} to {EXTREME:g}, with which every step is finite"
        raise ValueError(f"{name}: found {value!r}, expected {expected}")


def namespace(x: Array) -> Any:
    """The library whose functions take x."""
    return torch if isinstance(x, torch.Tensor) else np


def sin(x: Array) -> Array:
    """Sine. NumPy's and torch's differ in the last digit now and then; x says whose it is."""
    return namespace(x).sin(x)


def clip(x: Array, limit: Array) -> Array:
    """x, or +-limit beyond it."""
    return x.clip(-limit, limit)


def wrap(angle: Array) -> Array:
    """The same direction in [-pi, pi), in Gymnasium's order of operations; -pi is pi where rounding makes it so."""
    shifted = angle + math.pi
    if not isinstance(angle, np.ndarray) or angle.size < MANY:
        return shifted % TURN - math.pi
    # NumPy's remainder divides digit by digit. Multiples of two parts of a turn have no rounding errors, so that two
    # subtractions give the same number.
    turns = np.floor(shifted / TURN)
    rest = (shifted - turns * TURN_PARTS[0]) - turns * TURN_PARTS[1]
    known = np.vdot(turns, turns) < MOST_TURNS**2 and rest.min() >= 0  # below 0 where the quotient was rounded up
    return (rest if known else shifted % TURN) - math.pi


def cos_sin(angle: Array) -> tuple[Array, Array]:
    """Cosine and sine, right to float32: once in 10^11 numbers an array's may be rounded otherwise than a number's."""
    if isinstance(angle, np.ndarray) and angle.size >= MANY:  # torch computes several at once
        if angle.size <= SERIAL or torch.get_num_threads() == 1:
            tensor = torch.from_numpy(angle)
            return tensor.cos().numpy(), tensor.sin().numpy()
        parts = torch.from_numpy(angle.ravel()).split(SERIAL)
        both = (np.concatenate([function(x).numpy() for x in parts]) for function in (torch.cos, torch.sin))
        return tuple(x.reshape(angle.shape) for x in both)  # type: ignore[return-value]
    library = namespace(angle)
    return library.cos(angle), library.sin(angle)


def square(x: Array) -> Array:
    """x^2, each number of an array rounded as `**` rounds it alone; from `EXACT` numbers on, as a product.

    For single numbers Python and NumPy call the C library's `pow`. Its error is half a unit in the last digit and a
    hundredth more. So it differs from the product x x only where the exact square lies almost in the middle between two
    numbers. The exact digits behind the last one show where this is so, and there `pow` decides. In larger arrays
    a last digit may differ: of float64 or, of a torque, of float32.
    """
    if isinstance(x, torch.Tensor) or np.size(x) >= EXACT:
        return x * x
    if not isinstance(x, np.ndarray) or x.ndim == 0:
        return x[()] ** 2 if isinstance(x, np.ndarray) else x**2
    numbers, single = x.ravel(), x.dtype == np.float32
    if single:
        exact = numbers.astype(np.float64)
        exact *= exact
        result, digits = exact.astype(np.float32), exact.view(np.uint64) << BITS[35]  # float32 has 29 digits less
    else:
        numbers = numbers.astype(np.float64, copy=False)
        result, bits = numbers * numbers, numbers.view(np.uint64)
        digits = (bits << BITS[11]) * bits  # 53 last digits of the product of the mantissas; all above them are lost
        digits <<= (result.view(np.uint64) >> BITS[52]) & BITS[1]  # a product below 2 leaves out only 52 of them
    digits -= LOWEST
    (unclear,) = (digits < WIDTH).nonzero()
    if len(unclear):
        numbers = numbers[unclear]
        result[unclear] = [number**2 for number in (numbers if single else numbers.tolist())]
    return result.reshape(x.shape)


def acceleration(angle: Array, speed: Array, torque: Array, pendulum: Pendulum) -> Array:
    """Angular acceleration, rad/s^2.

        I a = (weight) sin(angle) + torque_gain torque - damping speed - friction tanh(speed / FRICTION_SPEED)

    The hyperbolic tangent stands for the sign of the speed, which jumps where the pendulum turns around.
    """
    per_sine, per_torque = pendulum.gains
    if pendulum.is_ideal:  # what is off spares large batches its passes over memory
        return per_sine * sin(angle) + per_torque * torque
    result = per_sine * sin(angle) + per_torque * (pendulum.torque_gain * torque)
    if not is_number_of(pendulum.damping, 0):
        result = result - (per_torque * pendulum.damping) * speed
    if not is_number_of(pendulum.friction, 0):
        result = result - (per_torque * pendulum.friction) * namespace(speed).tanh(speed / FRICTION_SPEED)
    return result


def is_number_of(value: Any, number: float) -> bool:
    """Whether a parameter is this one number, and no array."""
    return isinstance(value, int | float) and value == number


def transition(angle: Array, speed: Array, torque: Array, pendulum: Pendulum) -> tuple[Array, Array]:
    """Angle and speed one step later; the torque, already clipped, is held over the step.

    The angle is not wrapped. The speed is clipped to the maximal speed at the end of the step, and with semi-implicit
    Euler the angle moves with the speed so clipped, as in Gymnasium.
    """
    dt = pendulum.dt
    if pendulum.integrator == "euler":
        speed = clip(speed + acceleration(angle, speed, torque, pendulum) * dt, pendulum.max_speed)
        return angle + speed * dt, speed
    half = dt / 2  # type: ignore[operator]
    a1 = acceleration(angle, speed, torque, pendulum)
    v2 = speed + half * a1
    a2 = acceleration(angle + half * speed, v2, torque, pendulum)
    v3 = speed + half * a2
    a3 = acceleration(angle + half * v2, v3, torque, pendulum)
    v4 = speed + dt * a3
    a4 = acceleration(angle + dt * v3, v4, torque, pendulum)
    new_angle = angle + (dt / 6) * (speed + 2 * v2 + 2 * v3 + v4)  # type: ignore[operator]
    new_speed = speed + (dt / 6) * (a1 + 2 * a2 + 2 * a3 + a4)  # type: ignore[operator]
    return new_angle, clip(new_speed, pendulum.max_speed)


def reward(angle: Array, speed: Array, torque: Array) -> Array:
    """The negative cost of a step that starts here: angle^2 + 0.1 speed^2 + 0.001 torque^2, the angle wrapped."""
    arrays = type(angle) is type(speed) is type(torque) is np.ndarray and angle.dtype == speed.dtype == np.float64
    if arrays and angle.ndim == 1 and angle.size <= FEW and angle.shape == speed.shape == torque.shape:
        pairs, turn, half = zip(angle.tolist(), speed.tolist(), strict=True), TURN, math.pi
        of_state = np.array([((x + half) % turn - half) ** 2 + 0.1 * v**2 for x, v in pairs])
        return -(of_state + 0.001 * np.array([number**2 for number in torque]))
    upright = wrap(angle)
    if isinstance(upright, np.ndarray) and upright.shape == np.shape(speed) and 2 * upright.size < EXACT:
        of_angle, of_speed = square(np.array((upright, speed)))  # one call takes less time than two
    else:
        of_angle, of_speed = square(upright), square(speed)
    return -(of_angle + 0.1 * of_speed + 0.001 * square(torque))


def energy(angle: Array, speed: Array, pendulum: Pendulum) -> Array:
    """Kinetic and potential energy, J; zero at rest and horizontal."""
    return 0.5 * pendulum.moment_of_inertia * speed**2 + pendulum.weight_torque * namespace(angle).cos(angle)


def fixed(pendulum: Pendulum) -> Pendulum:
    """The same pendulum; ValueError if a parameter is a range, or if there is a delay or noise.

    With a delay or noise, angle and speed as they are observed do not say what comes next.
    """
    if pendulum.ranges:
        name, value = next(iter(pendulum.ranges.items()))
        raise ValueError(f"{name}: found the range {value!r}, expected one number (a fixed pendulum)")
    for name in HIDING:
        if value := getattr(pendulum, name):
            raise ValueError(f"{name}: found {value:g}, expected 0: this takes neither delay nor noise into account")
    return replace(pendulum)
