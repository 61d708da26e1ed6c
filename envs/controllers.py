"""Classical controllers of a pendulum that need no plan: LQR, energy shaping, and the two together.

Each acts like an agent: `predict` maps observations to torques. Angles are in rad, 0 upright.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.linalg import LinAlgError, solve_discrete_are
from torch import Tensor

from envs.physics import Pendulum, clip, energy, transition, wrap

WEIGHTS = (1.0, 0.1, 0.001)  # of angle^2, speed^2 and torque^2 in the cost of a step, as `physics.reward` has them
FASTER = 2.5  # the linear controller's second rate over its first, which is that of the free fall from the top
NEAR = 0.5  # cosine of the largest angle at which it balances
PUMP = 10.0  # largest torque where this times the missing share of energy is 1
SETTLED = 0.05, 0.1  # rad and rad/s: less than this is rest at the top
SETTLING, MOST_STEPS = 5.0, 2_000  # s, and steps, within which a controller brings the pendulum there
CELLS = 160  # of the table of LQR's region, along the angle and along the speed


def angle_and_speed(obs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Angles and speeds (...) in observations (3,) or (n, 3) of cos, sin and speed; ValueError for any other."""
    obs = np.asarray(obs)
    if obs.ndim not in (1, 2) or obs.shape[-1] != 3:
        raise ValueError(f"obs: found shape {obs.shape}, expected (3,) or (n, 3): a controller needs the speed")
    obs = obs.astype(float)
    return np.arctan2(obs[..., 1], obs[..., 0]), obs[..., 2]


def actions(torque: np.ndarray, torques: np.ndarray | None) -> np.ndarray:
    """The actions of torques (...): (..., 1) float32, or the indices (...) of the nearest of the given `torques`."""
    if torques is not None:
        return np.array(np.abs(torques - np.asarray(torque)[..., None]).argmin(-1))
    return np.asarray(torque)[..., None].astype(np.float32)


def derivatives(angle: Tensor, speed: Tensor, torque: Tensor, pendulum: Pendulum) -> Tensor:
    """How the next angle and speed change with angle, speed and torque (...): (..., 2, 3), by back-propagation."""
    with torch.enable_grad():
        now = angle, speed, torque = [x.detach().requires_grad_() for x in (angle, speed, torque)]
        ahead = transition(angle, speed, torque, pendulum)
        rows = [torch.autograd.grad(x.sum(), now, retain_graph=True) for x in ahead]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


class Controller:
    """A law `act(angle, speed)` without memory, with the interface of an agent."""

    pendulum: Pendulum
    torques: np.ndarray | None  # (U,), N m, to choose from; None for any torque up to the largest

    def act(self, angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
        """Torques (...) in N m at angles and speeds (...)."""
        raise NotImplementedError

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """The actions in observations (3,) or (n, 3), as SB3's `predict`; ValueError for any other."""
        return actions(self.act(*angle_and_speed(obs)), self.torques), None


@dataclass(frozen=True)
class LQR(Controller):
    """The linear-quadratic regulator: the best controller of the pendulum's equations linearized at the top.

    With x = (angle, speed) and the step x' = A x + B u, the cost from x on is x'P x. P solves the Riccati equation

        P = Q + A'P A - A'P B (R + B'P B)^-1 B'P A,    u = -K x,    K = (R + B'P B)^-1 B'P A

    Q and R are the weights of the environment's own cost. The torque is clipped, and the linear step is right near the
    top alone, so from most states it never arrives there (`attraction`).
    """

    pendulum: Pendulum
    torques: np.ndarray | None = None

    @cached_property
    def step(self) -> tuple[np.ndarray, np.ndarray]:
        """A (2, 2) and B (2, 1) of a step near rest at the top."""
        zero = torch.zeros((), dtype=torch.float64)
        both = derivatives(zero, zero, zero, self.pendulum).numpy()
        return both[:, :2], both[:, 2:]

    @cached_property
    def cost(self) -> np.ndarray:
        """P (2, 2), of the cost from a state near the top until the end of time."""
        try:
            return solve_discrete_are(*self.step, np.diag(WEIGHTS[:2]), np.array([WEIGHTS[2:]]))
        except (LinAlgError, ValueError) as error:
            raise ValueError(f"pendulum: found one that no linear controller balances ({error})") from None

    @cached_property
    def gains(self) -> np.ndarray:
        """K (2,), torque per angle (N m/rad) and per speed (N m s/rad)."""
        (A, B), P = self.step, self.cost
        return (B.T @ P @ A / (WEIGHTS[2] + B.T @ P @ B))[0]

    def act(self, angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
        return clip(-(self.gains[0] * wrap(angle) + self.gains[1] * speed), self.pendulum.max_torque)


def attraction(controller: Controller, angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Whether (...) the controller brings the pendulum from these angles (-pi to pi) and speeds to rest at the top.

    It has five seconds for it, and must not pass through the bottom, where it would arrive by luck alone.
    """
    angle, speed = np.broadcast_arrays(np.asarray(angle, float), np.asarray(speed, float))
    passed = np.zeros(angle.shape, np.bool_)
    pendulum = controller.pendulum
    for _ in range(min(math.ceil(SETTLING / float(pendulum.dt)), MOST_STEPS)):  # type: ignore[arg-type]
        angle, speed = transition(angle, speed, controller.act(angle, speed), pendulum)
        passed = passed | (np.abs(angle) > np.pi)
    return ~passed & (np.abs(angle) < SETTLED[0]) & (np.abs(speed) < SETTLED[1])


def pump(angle: np.ndarray, speed: np.ndarray, pendulum: Pendulum) -> np.ndarray:
    """The torque that gives the pendulum the energy of rest at the top (Astrom and Furuta).

    It pulls with the motion while the energy is less than that, against it while it is more, and weakly where little
    is missing.
    """
    missing = 1 - energy(angle, speed, pendulum) / pendulum.weight_torque
    return pendulum.max_torque * (PUMP * missing).clip(-1, 1) * np.where(speed >= 0, 1.0, -1.0)


@dataclass(frozen=True)
class EnergyLQR(Controller):
    """Energy shaping away from the top, and LQR wherever that reaches the top (`attraction`).

    The region is looked up in a table of the phase plane, in which LQR is tried once. A cell belongs to the region if
    LQR succeeds from its four corners.
    """

    pendulum: Pendulum
    torques: np.ndarray | None = None

    @cached_property
    def lqr(self) -> LQR:
        return LQR(self.pendulum)

    @cached_property
    def region(self) -> np.ndarray:
        """Which cells (angles, speeds) belong to LQR's region; the angles go from -pi to pi."""
        angle = np.linspace(-np.pi, np.pi, CELLS + 1)[:, None]
        speed = np.linspace(-1, 1, CELLS + 1) * self.pendulum.max_speed
        inside = attraction(self.lqr, angle, speed)
        return inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:] & inside[:-1, :-1]

    def balances(self, angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
        """Whether (...) LQR has these states."""
        shares = (wrap(angle) / (2 * np.pi) + 0.5, speed / (2 * self.pendulum.max_speed) + 0.5)
        return self.region[tuple((share * CELLS).astype(np.int64).clip(0, CELLS - 1) for share in shares)]

    def act(self, angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
        angle, speed = np.asarray(angle, float), np.asarray(speed, float)
        return np.where(self.balances(angle, speed), self.lqr.act(angle, speed), pump(angle, speed, self.pendulum))


@dataclass(frozen=True)
class Energy(Controller):
    """Swing-up by energy (Astrom and Furuta, doi:10.1016/S0005-1098(99)00140-5), then a linear controller.

    Away from the top the torque pulls with the motion while the energy is less than that of rest at the top, and
    against it while it is more. Near the top a spring and a damper take the place of gravity, wherever the motor is
    strong enough for that. A rod that comes up with the energy of rest at the top then needs no torque at all. It acts
    like an agent (`predict`).
    """

    pendulum: Pendulum
    torques: np.ndarray | None = None  # (U,), N m, to choose from; None for any torque up to the largest

    def torque(self, angle: float, speed: float) -> float:
        """The torque at an angle (rad, 0 upright) and a speed (rad/s), counter-clockwise positive."""
        most, weight = float(self.pendulum.max_torque), float(self.pendulum.weight_torque)  # type: ignore[arg-type]
        angle = float(wrap(np.float64(angle)))
        inertia = float(self.pendulum.moment_of_inertia)  # type: ignore[arg-type]
        slow = math.sqrt(weight / inertia)  # 1/s, of both rates at which the rod comes to rest at the top
        fast = FASTER * slow
        balancing = -weight * math.sin(angle) - inertia * (slow * fast * angle + (slow + fast) * speed)
        if math.cos(angle) > NEAR and abs(balancing) <= most:
            return balancing
        missing = 1 - float(energy(angle, speed, self.pendulum)) / weight  # share of what rest at the top has
        return most * float(np.clip(PUMP * missing, -1, 1)) * (1 if speed >= 0 else -1)

    def act(self, angle: np.ndarray, speed: np.ndarray) -> np.ndarray:
        angle, speed = np.broadcast_arrays(angle, speed)
        torques = [self.torque(*now) for now in zip(angle.ravel().tolist(), speed.ravel().tolist(), strict=True)]
        return np.reshape(torques, angle.shape)

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """The actions in observations (3,) or (n, 3), as SB3's `predict`; ValueError for any other.

        One observation after the other: a batch has the numbers of single observations, to the last digit.
        """
        speed = angle_and_speed(obs)[1]
        angle = [math.atan2(sine, cosine) for cosine, sine, _ in np.reshape(obs, (-1, 3))]
        return actions(self.act(np.reshape(angle, speed.shape), speed), self.torques), None
