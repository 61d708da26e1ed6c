"""What a picture shows: plain numbers. `envs.viewer` draws them.

Angles are in rad, 0 upright, and grow counter-clockwise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from balancier import _

PAST = 40  # steps of the past that the fading trace shows
STEPS = 2_000  # steps of an episode that the panels show; of longer ones the last


@dataclass(frozen=True)
class Ghost:
    """A second rod, drawn see-through: the optimum, another agent, or a forecast that runs ahead."""

    angle: float
    name: str = ""
    length: float | None = None  # m; None: as the pendulum's
    color: int = 0  # index into the theme's colors of ghosts


@dataclass(frozen=True, eq=False)
class Field:
    """A function of the state, drawn behind the phase portrait: a value, or a policy's torque.

    `values` (speeds, angles) stand on an even lattice: angles from -pi to pi, speeds from -max_speed to max_speed. A
    field whose `diverging` is true has its middle color at 0 (a torque). Whoever hands it over has computed it.
    """

    values: np.ndarray
    name: str
    max_speed: float = 8.0  # rad/s
    diverging: bool = False


@dataclass
class Track:
    """What is remembered of an episode of one pendulum, a number a step, oldest first."""

    dt: float = 0.05  # s, between two of them
    angles: list[float] = field(default_factory=list)  # rad
    speeds: list[float] = field(default_factory=list)  # rad/s
    torques: list[float] = field(default_factory=list)  # N m
    rewards: list[float] = field(default_factory=list)
    total: float = 0.0  # the return so far
    steps: int = 0

    def clear(self) -> None:
        """A new episode begins."""
        for numbers in (self.angles, self.speeds, self.torques, self.rewards):
            numbers.clear()
        self.total, self.steps = 0.0, 0

    def add(self, angle: float, speed: float, torque: float = 0.0, reward: float | None = None) -> None:
        """The state after a step and the step's reward; without a reward, the state at an episode's start."""
        every = ((self.angles, angle), (self.speeds, speed), (self.torques, torque), (self.rewards, reward or 0.0))
        for numbers, number in every:
            numbers.append(float(number))
            if len(numbers) > 2 * STEPS:  # seldom, because it moves all of them
                del numbers[:-STEPS]
        if reward is not None:
            self.total, self.steps = self.total + float(reward), self.steps + 1


@dataclass(frozen=True)
class Scene:
    """One pendulum at one moment, or a picture of an environment that is none.

    `longest` is the length (m) up to which the scale has room, for example the upper end of a range of lengths; several
    scenes of one picture share the largest scale. `seen` is what the network sees: pixels (height, width, 3) uint8, or
    names and numbers. `picture` (height, width, 3) uint8 takes the place of the pendulum.
    """

    angle: float = 0.0  # rad
    speed: float = 0.0  # rad/s
    torque: float = 0.0  # N m
    max_torque: float = 2.0  # N m
    length: float = 1.0  # m
    mass: float = 1.0  # kg
    longest: float | None = None  # m
    title: str = ""
    track: Track = field(default_factory=Track)
    ghosts: Sequence[Ghost] = ()
    field: Field | None = None
    episode: int | None = None
    note: str = ""  # a line below the picture, for example a score
    seen: np.ndarray | Mapping[str, float] | None = None
    picture: np.ndarray | None = None


def between(before: Scene, after: Scene, share: float) -> Scene:
    """The scene between two steps: `before` at share 0, `after` at 1."""
    if share >= 1:
        return after
    ghosts = after.ghosts
    if len(before.ghosts) == len(after.ghosts):
        pairs = zip(before.ghosts, after.ghosts, strict=True)
        ghosts = [replace(new, angle=mix_angles(old.angle, new.angle, share)) for old, new in pairs]
    speed = before.speed + share * (after.speed - before.speed)
    return replace(after, angle=mix_angles(before.angle, after.angle, share), speed=speed, ghosts=ghosts)


def mix_angles(before: float, after: float, share: float) -> float:
    """An angle between two; a jump of more than half a turn, where an angle was wrapped, goes the short way."""
    return after - (1 - share) * math.remainder(after - before, 2 * math.pi)


def continues(before: Sequence[Scene], after: Sequence[Scene]) -> bool:
    """Whether pictures between the two make sense: the same pendulums in the same episodes, one step later."""
    same = all(old.episode == new.episode for old, new in zip(before, after, strict=False))
    return len(before) == len(after) and same


def scene_of(env: Any, track: Track, **others: Any) -> Scene:
    """The scene of a `PendulumEnv` (unwrapped) whose steps `track` has noted; `others` are fields of `Scene`."""
    length, mass, max_torque = (float(getattr(env.drawn, name)) for name in ("length", "mass", "max_torque"))
    state = float(env.angle), float(env.speed), float(env.last_torque)
    known = {"longest": float(np.max(env.pendulum.length)), "track": track}
    return Scene(*state, max_torque, length, mass, **(known | others))


def seen_of(env: Any, obs: np.ndarray) -> np.ndarray | dict[str, float]:
    """What a network sees of a `PendulumEnv` (unwrapped): the newest picture of pixels, or numbers from -1 to 1."""
    if env.pixels:
        return obs[-3:].transpose(1, 2, 0)
    fastest = float(np.max(env.pendulum.max_speed))
    names = ("cos", "sin", _("speed / {fastest:g}", fastest=fastest))
    return {name: float(number) / scale for name, number, scale in zip(names, obs, (1, 1, fastest), strict=False)}
