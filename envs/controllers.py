"""A classical controller of the pendulum: it pumps energy until the rod comes up, then balances it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.physics import Pendulum, energy, wrap

FASTER = 2.5  # the linear controller's second rate over its first, which is that of the free fall from the top
NEAR = 0.5  # cosine of the largest angle at which it balances
PUMP = 10.0  # largest torque where this times the missing share of energy is 1


@dataclass(frozen=True)
class Energy:
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

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """The action in an observation (3,) of cos, sin and speed, as SB3's `predict`; ValueError for any other."""
        if np.shape(obs) != (3,):
            raise ValueError(f"obs: found shape {np.shape(obs)}, expected (3,): a controller needs the speed")
        torque = self.torque(math.atan2(obs[1], obs[0]), float(obs[2]))
        if self.torques is not None:
            return np.array(np.abs(self.torques - torque).argmin()), None
        return np.array([torque], np.float32), None
