"""Data sets of endless episodes: points, a noisy curve, swinging pendulums, a memory task, pictures.

A `Source` holds the spaces of one data set and draws its episodes. `envs.prediction` makes an environment of it, and
the lessons on regression draw from it directly.

n episodes, T steps of an episode.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from balancier import Bound, check, number, one_of, shown, whole
from envs import raster
from envs.physics import Pendulum, transition, wrap

BLOCK = 32  # episodes drawn at once
FREE = -1  # a target that every prediction meets
STEPS = whole(1, 100_000)  # of an episode, of which a block is drawn at once

# A pendulum to identify: length and mass are hidden. It swings freely from a start within SWING_RANGE of its rest.
SWINGING: dict[str, Any] = {
    "length": (0.5, 2.0),
    "mass": (0.5, 2.0),
    "damping": 0.2,
    "inertia": "point",
    "integrator": "rk4",
}
SWING_RANGE = (1.5, 1.0)  # rad from the bottom and rad/s


@dataclass(frozen=True)
class Source:
    """Where episodes come from: `draw(generator, count)` gives observations (count, T, ...) and their targets."""

    observation_space: Box
    action_space: Box | Discrete
    num_steps: int  # T
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]

    @property
    def pictures(self) -> bool:
        """Whether observations are images, (C, H, W) bytes of gray or of red, green and blue."""
        space = self.observation_space
        return space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[0] in (1, 3)

    def block(self, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The `number`th BLOCK of episodes of a seed: a function of the two alone, so nothing needs to be kept."""
        return self.draw(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,))), BLOCK)

    def loss(self, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Loss (n,) float64 of predictions (n, ...) for targets (n, ...).

        Raises:
            ValueError: for predictions of another shape, not finite, or no class.
        """
        space = self.action_space
        if prediction.shape != target.shape:
            raise ValueError(f"action: found shape {prediction.shape}, expected {target.shape}")
        if isinstance(space, Discrete):
            if not np.issubdtype(prediction.dtype, np.integer) or ((prediction < 0) | (prediction >= space.n)).any():
                raise ValueError(f"action: found {shown(prediction)}, expected whole numbers from 0 to {space.n - 1}")
            return (prediction != target).astype(np.float64)
        if prediction.dtype.kind not in "fiu" or not np.isfinite(prediction).all():
            raise ValueError(f"action: found {shown(prediction)}, expected finite numbers")
        error = np.clip(prediction, space.low, space.high) - target
        return np.square(error, dtype=np.float64).reshape(len(error), -1).sum(1)


def points(x: np.ndarray, y: np.ndarray) -> Source:
    """A data set of points or images x (N, ...) with targets y: numbers (N, A), or whole numbers (N,) for classes."""
    for name, array in ("x", x), ("y", y):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim == 0:
            raise ValueError(f"{name}: found {shown(array)}, expected an array of numbers")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: found numbers that are not finite, expected finite ones")
    if len(x) != len(y) or not len(x):
        raise ValueError(f"x and y: found {len(x)} and {len(y)} samples, expected as many of each, and at least one")
    classes = y.ndim == 1 and np.issubdtype(y.dtype, np.integer)
    if y.ndim == 1 and (not classes or y.min() < 0):
        raise ValueError(f"y: found {shown(y)}, expected classes from 0 on (N,), or numbers (N, A)")
    low, high = (0, 255) if x.dtype == np.uint8 else (float(x.min()), float(x.max()))
    observation_space = Box(low, high, x.shape[1:], x.dtype.type)  # type: ignore[arg-type]
    action_space = Discrete(int(y.max()) + 1) if classes else _symmetric(np.abs(y).max(), y.shape[1:])
    return Source(observation_space, action_space, 1, partial(_draw_points, x, y))


def _draw_points(x: np.ndarray, y: np.ndarray, generator: np.random.Generator, count: int):
    indices = generator.integers(len(x), size=(count, 1))
    return x[indices], y[indices]


def curve(noise: float = 0.1) -> Source:
    """y = sin(2 pi x) + noise, x uniform in [0, 1]: the course's first regression."""
    check(noise=(noise, number(0)))
    return Source(Box(0, 1, (1,), np.float32), _symmetric(1.5, (1,)), 1, partial(_draw_curve, noise))


def _draw_curve(noise: float, generator: np.random.Generator, count: int):
    x = generator.random((count, 1, 1))
    y = np.sin(2 * np.pi * x) + noise * generator.standard_normal((count, 1, 1))
    return x.astype(np.float32), y


def swing_starts(uniform: np.ndarray) -> np.ndarray:
    """Angle (0 upright) and speed of hanging pendulums from numbers (..., 2) in [0, 1)."""
    return np.array([np.pi, 0.0]) + np.array(SWING_RANGE) * (2 * uniform - 1)


def sequence(num_steps: int = 50, **parameters: Any) -> Source:
    """The angle of a hanging pendulum whose length and mass are hidden; the target is the next angle, in rad.

    Parameters are those of `envs.physics.Pendulum`. The default is a point mass of 0.5 to 2 kg on 0.5 to 2 m, damped by
    0.2 N m s and integrated by RK4. Angles are measured from the bottom; starts lie within 1.5 rad and 1 rad/s of rest.
    """
    check(num_steps=(num_steps, STEPS))
    draw = partial(_draw_sequence, Pendulum(**(SWINGING | parameters)), num_steps)
    return Source(_symmetric(np.pi, (1,)), _symmetric(np.pi, (1,)), num_steps, draw)


def draw_swings(pendulum: Pendulum, num_steps: int, generator: np.random.Generator, count: int):
    """Angles (count, num_steps), rad from the bottom, of pendulums that swing freely.

    They are measured, with the pendulum's noise. Returns them, and the first speeds (rad/s) and the parameters that
    were drawn by their names, (count,) each.
    """
    uniform = torch.from_numpy(generator.random((count, 2 + len(pendulum.ranges))))  # torch's sine is the fastest
    drawn = pendulum.draw(uniform[:, 2:]) if pendulum.ranges else pendulum
    angle, first_speed = torch.from_numpy(swing_starts(uniform[:, :2].numpy())).T.contiguous()
    angles, speed = [angle], first_speed
    for _ in range(num_steps - 1):
        angle, speed = transition(angle, speed, 0.0, drawn)
        angles.append(angle)
    parameters = {name: getattr(drawn, name).numpy() for name in pendulum.ranges}
    series = (torch.stack(angles, 1) - np.pi).numpy()
    if pendulum.noisy:
        noise = torch.from_numpy(generator.standard_normal((num_steps, count)))
        series = series + (drawn.angle_noise * noise).numpy().T  # type: ignore[operator]
    return series, {"speed": first_speed.numpy()} | parameters


def _draw_sequence(pendulum: Pendulum, num_steps: int, generator: np.random.Generator, count: int):
    series = wrap(draw_swings(pendulum, num_steps + 1, generator, count)[0])[..., None]  # (count, T + 1, 1)
    return series[:, :-1].astype(np.float32), series[:, 1:]


def recall(delay: int = 20, cues: int = 2) -> Source:
    """A memory task: the first observation shows a cue, the next ones are blank; the answer is due after `delay` steps.

    The observation is the cue, one-hot, and a last component that is 1 when the answer is due. The answer is the cue;
    predictions before it cost nothing.
    """
    check(delay=(delay, STEPS), cues=(cues, whole(2, 10_000)))
    return Source(Box(0, 1, (cues + 1,), np.float32), Discrete(cues), delay + 1, partial(_draw_recall, delay, cues))


def _draw_recall(delay: int, cues: int, generator: np.random.Generator, count: int):
    cue = generator.integers(cues, size=count)
    shown = np.zeros((count, delay + 1, cues + 1), np.float32)
    shown[np.arange(count), 0, cue] = 1.0
    shown[:, -1, -1] = 1.0
    target = np.full((count, delay + 1), FREE)
    target[:, -1] = cue
    return shown, target


def frames(images: np.ndarray | None = None, labels: np.ndarray | None = None, *, size: int | None = None) -> Source:
    """Images (N, C, H, W) with the labels of their classes; by default ten classes of pictures of the pendulum.

    The class of such a picture is the sector that the pendulum points into (`envs.raster.labeled_frames`). They have
    32 x 32 pixels, or `size` x `size`: SB3's `CnnPolicy` needs 36.
    """
    if (images is None) != (labels is None):
        raise ValueError("images, labels: found one of them, expected both or none")
    if images is None or labels is None:
        size = raster.check_size(size)
        return replace(points(*_pendulum_frames(size)), draw=partial(_draw_frames, size))
    if size is not None:
        raise ValueError(f"size: found {size!r} and images, which have a size of their own, expected one of them")
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ValueError(f"labels: found {shown(labels)}, expected an array (N,) of whole numbers")
    return points(images, labels.astype(np.int64))


def _draw_frames(size: int, generator: np.random.Generator, count: int):
    """From the pictures of the pendulum, which a pickled environment does not hold but draws anew."""
    return _draw_points(*_pendulum_frames(size), generator, count)


SOURCES: dict[str, Callable[..., Source]] = {"curve": curve, "sequence": sequence, "recall": recall, "frames": frames}


def make_source(source: Source | str, options: dict[str, Any]) -> Source:
    """The source itself, or the one of that name in SOURCES made with these keywords.

    Raises:
        TypeError: for a keyword that it does not have.
        ValueError: for a name that is not in SOURCES.
    """
    if isinstance(source, Source):
        for name in options:
            raise TypeError(f"a Source that is already made got an unexpected keyword argument {name!r}")
        return source
    check(source=(source, Bound(one_of(SOURCES).holds, f"a Source or one of {', '.join(SOURCES)}")))
    return SOURCES[source](**options)


@cache
def _pendulum_frames(size: int) -> tuple[np.ndarray, np.ndarray]:
    return raster.labeled_frames(np.random.default_rng(0), 5_000, size=size)


def _symmetric(limit: float, shape: tuple[int, ...]) -> Box:
    return Box(-float(limit), float(limit), shape, np.float32)
