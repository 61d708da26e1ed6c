"""Reading the state of a pendulum off its pixels: by a network, and by a table of all pictures.

An observation is two frames, one step apart, as `observation="pixels"` of the pendulum shows them. A reader is a
function from observations (S, n, 6, H, W) to cosine, sine and speed (S, n, 3).

S seed, n pairs of frames, B minibatch, H and W height and width of a frame.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from envs.physics import Pendulum, transition, wrap
from envs.raster import ANGLES, SIZE, frames
from experiments.common.hyperparams import NETWORKS

PENDULUM = Pendulum()
UNITS = np.array([1.0, 1.0, PENDULUM.max_speed], np.float32)  # a CNN answers with cos, sin and speed / max_speed


def random_pairs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles one step apart (n, 2), rad, and cos, sin and speed (rad/s) after the step (n, 3).

    Angle, speed and torque before the step are uniform over all that the pendulum can have.
    """
    generator = np.random.default_rng(seed)
    limits = np.pi, float(PENDULUM.max_speed), float(PENDULUM.max_torque)  # type: ignore[arg-type]
    angle, speed, torque = (generator.uniform(-limit, limit, count) for limit in limits)
    after, speed = transition(angle, speed, torque, PENDULUM)
    return np.stack([angle, after], -1), np.stack([np.cos(after), np.sin(after), speed], -1)


def draw(angles: Tensor) -> Tensor:
    """Frames (..., 6, H, W) uint8 of angles (..., 2), as the environment draws them."""
    return torch.from_numpy(frames(angles.numpy()))


class Reader(nn.Module):
    """S CNNs that read two frames: (S, B, 6, H, W) uint8 -> (S, B, 3), cos, sin and speed in UNITS.

    White becomes 0, as the padding. The network is made as the end-to-end agent's.
    """

    def __init__(self, *, seeds: Sequence[int] | int):
        super().__init__()
        _kind, make_network = NETWORKS["cnn"]
        self.cnn = make_network((6, SIZE, SIZE), 3, seeds=seeds)

    def forward(self, x: Tensor) -> Tensor:
        return self.cnn(1 - x.to(torch.get_default_dtype()) / 255)

    def read(self, obs: np.ndarray, chunk: int = 250) -> np.ndarray:
        """Cos, sin and speed in rad/s, (S, n, 3) float32, of observations (S, n, 6, H, W); one CNN may serve all."""
        pairs = torch.from_numpy(obs.reshape(len(next(self.parameters())), -1, *obs.shape[2:]))
        with torch.no_grad():
            answers = torch.cat([self(part) for part in pairs.split(chunk, 1)], 1).numpy()
        answers = answers.reshape(*obs.shape[:2], 3)
        cos_sin = answers[..., :2] / np.linalg.norm(answers[..., :2], axis=-1, keepdims=True).clip(1e-6)
        return np.concatenate([cos_sin, UNITS[2] * answers[..., 2:].clip(-1, 1)], -1)


@cache
def pictures() -> dict[bytes, int]:
    """Every picture that there is, and the number of its angle."""
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    return {picture.tobytes(): number for number, picture in enumerate(frames(angles[:, None]))}


def read_table(obs: np.ndarray) -> np.ndarray:
    """As `Reader.read`, from the table of all pictures: the angle of each frame, and their difference over the step."""
    each = obs.reshape(-1, 3, *obs.shape[-2:])
    number = np.array([pictures()[picture.tobytes()] for picture in each]).reshape(*obs.shape[:-3], 2)
    before, after = np.moveaxis(number * (2 * np.pi / ANGLES), -1, 0)
    return np.stack([np.cos(after), np.sin(after), wrap(after - before) / PENDULUM.dt], -1).astype(np.float32)


def errors(reading: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Errors (..., 2) of angle (rad) and speed (rad/s) of readings (..., 3)."""
    angle = np.arctan2(reading[..., 1], reading[..., 0]) - np.arctan2(truth[..., 1], truth[..., 0])
    return np.stack([wrap(angle), reading[..., 2] - truth[..., 2]], -1)


class Seeing:
    """An agent on the state that gets pixels: a reader says what the state is. It acts like an agent (`predict`)."""

    def __init__(self, agent: Any, read: Callable[[np.ndarray], np.ndarray]):
        self.agent, self.read = agent, read

    def __len__(self) -> int:
        return len(self.agent)

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """Each seed's actions (S, n) in observations (S, n, 6, H, W), as an agent's `predict`."""
        return self.agent.predict(self.read(obs), state, episode_start, deterministic)
