"""A pendulum on a grid: a decision process small enough for a table.

The state is a point of an even grid of angle x speed. A torque takes the pendulum to the place that its equations of
motion give. The next state is one of the four grid points around that place, drawn with bilinear weights as
probabilities. On average the state therefore moves exactly as the pendulum does (Munos and Moore 1999, "Barycentric
interpolators for continuous space and time reinforcement learning"). The grid adds noise; a coarser grid adds more.

X points, U torques.
"""

from dataclasses import dataclass

import numpy as np

from balancier import Bound, check, whole
from envs.physics import Array, Pendulum, fixed, namespace, reward, transition

Corners = tuple[np.ndarray, np.ndarray]  # four points, and the weight of each


@dataclass(frozen=True)
class Grid:
    """Point i * len(speeds) + j is that of angle i and speed j."""

    angles: np.ndarray  # rad, evenly from -pi; pi is the same place and not among them
    speeds: np.ndarray  # rad/s, evenly from the lowest to the highest
    torques: np.ndarray  # (U,), N m
    reward: np.ndarray  # (X, U)
    next_point: np.ndarray  # (X, U, 4), the points that may follow
    probability: np.ndarray  # (X, U, 4) of each of them

    @property
    def process(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reward (X, U), points that may follow and their probabilities (X, U, 4): all that a table is learned from."""
        return self.reward, self.next_point, self.probability

    def around(self, angle: np.ndarray, speed: np.ndarray) -> Corners:
        """The four points (..., 4) around any angles and speeds (...), and their bilinear weights (..., 4)."""
        return around(self.angles, self.speeds, angle, speed)

    def locate(self, obs: np.ndarray) -> Corners:
        """As `around`, for the pendulum's observations (..., 3) of cosine, sine and speed."""
        obs = np.asarray(obs, float)
        return self.around(np.arctan2(obs[..., 1], obs[..., 0]), obs[..., 2])


def around(angles: np.ndarray, speeds: np.ndarray, angle: np.ndarray, speed: np.ndarray) -> Corners:
    """As `Grid.around`; speeds beyond the grid count as its edge."""
    x = (np.asarray(angle, float) - angles[0]) / (2 * np.pi) * len(angles)
    y = (np.asarray(speed, float) - speeds[0]) / (speeds[1] - speeds[0])
    i, j, weight = bilinear(x, np.clip(y, 0, len(speeds) - 1), len(speeds) - 1)
    low, high = ((np.mod(i + k, len(angles)) * len(speeds) + j).astype(np.int64) for k in (0, 1))
    return np.stack([low, low + 1, high, high + 1], -1), weight


def bilinear(x: Array, y: Array, num_cells: int, dtype: str = "float64") -> tuple[Array, Array, Array]:
    """Bilinear interpolation between points with whole coordinates, for NumPy arrays or torch tensors x and y (...).

    The place (x, y) lies in the cell with the corners (i, j), (i, j + 1), (i + 1, j) and (i + 1, j + 1). y lies between
    0 and `num_cells`. x has no edge: where it is periodic, the caller wraps i and i + 1.

    Returns:
        i and j (...), whole floats, and the weights (..., 4) of the corners in that order, of type `dtype`.
    """
    library = namespace(x)
    i, j = library.floor(x), library.clip(library.floor(y), None, num_cells - 1)
    x, y = (library.asarray(part, dtype=getattr(library, dtype)) for part in (x - i, y - j))
    return i, j, library.stack([(1 - x) * (1 - y), (1 - x) * y, x * (1 - y), x * y], -1)


def pendulum_grid(num_angles: int, num_speeds: int, num_torques: int, pendulum: Pendulum | None = None) -> Grid:
    """The decision process of a fixed pendulum, by default Gymnasium's, on a grid of that size.

    Raises:
        ValueError: for fewer than two angles, speeds or torques, and for a parameter that is a range,
            a delay or noise.
    """
    points = whole(2, 10_000)
    check(num_angles=(num_angles, points), num_speeds=(num_speeds, points), num_torques=(num_torques, points))
    check(pendulum=(pendulum, Bound(lambda x: x is None or isinstance(x, Pendulum), "a Pendulum, or None")))
    pendulum = fixed(pendulum or Pendulum())
    max_speed, max_torque = float(pendulum.max_speed), float(pendulum.max_torque)  # type: ignore[arg-type]
    angles = -np.pi + 2 * np.pi * np.arange(num_angles) / num_angles
    speeds, torques = np.linspace(-max_speed, max_speed, num_speeds), np.linspace(-max_torque, max_torque, num_torques)
    angle, speed = (x.reshape(-1, 1) for x in np.meshgrid(angles, speeds, indexing="ij"))
    next_point, probability = around(angles, speeds, *transition(angle, speed, torques, pendulum))
    return Grid(angles, speeds, torques, np.asarray(reward(angle, speed, torques)), next_point, probability)
