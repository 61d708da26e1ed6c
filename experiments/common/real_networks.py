"""Recurrent networks that read a pendulum's length, and forecast it, after a training on simulated pendulums alone.

Length, mass, friction, delay, noise and controllers of the simulated pendulums are drawn at random, so widely that a
real pendulum is one of them (domain randomization, arXiv:1703.06907).

S seed, n pendulums, B minibatch, T steps of 0.02 s, G groups of 5 steps, W windows.
"""

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from envs import datasets
from envs.identification import Windows
from experiments.common.flags import UsageError
from experiments.common.hyperparams import PENDULUM
from experiments.common.recordings import Recording, grid
from experiments.common.sequences import as_tensor
from models import LSTM, Adam, Linear
from models import fit as train
from models.fitting import triangle

STEP, GROUP = 0.02, 5  # s of a step of the networks; steps that they read at a time
READ, PAST, FUTURE = 150, 50, 25  # steps of a sequence; steps read before a forecast; steps ahead
LOW, HIGH = math.log(0.2), math.log(1.5)  # of the length's logarithm in simulations
MIDDLE, HALF = (HIGH + LOW) / 2, (HIGH - LOW) / 2
CHANGE, TORQUE = 0.1, 2.0  # rad and N m: usual size of the inputs
INPUTS = 2 + 3 * GROUP
RANDOM: dict[str, Any] = {  # the pendulums of the simulations; a range is drawn anew for each
    "length": (0.2, 1.5),
    "mass": (0.3, 1.2),
    "gravity": 9.81,
    "damping": (0.0, 0.1),
    "friction": (0.0, 0.15),
    "torque_gain": (0.8, 1.2),
    "delay": (0.0, 0.03),
    "angle_noise": (0.0, 0.003),
    "max_torque": 4.0,
    "max_speed": 40.0,
    "dt": STEP,
    "inertia": "point",
    "integrator": "rk4",
}
MOST_NOISE = 0.3  # N m, standard deviation of a simulated torque's measurement
TESTS, TRAIN_SEED, TEST_SEED = 500, 1_000_000, 500_000  # simulated test pendulums; first seeds of their resets
EPOCHS, BATCH, RATE = 10, 128, 4e-3
MOVING = 0.5  # rad/s: forecasts begin where the pendulum moves at least as fast


# Simulated pendulums


class Controllers:
    """A random controller for each of n pendulums: torques (n, 1) from observations (n, 3) and the step.

    A third of them adds two sine waves, a third pulls with the motion, as a swing-up does, and a third holds the
    pendulum at an angle that may move. All have limits of their own.
    """

    def __init__(self, count: int, generator: np.random.Generator):
        self.kind = generator.integers(0, 3, count)
        self.limit = np.exp(generator.uniform(math.log(0.1), math.log(4.0), count))  # N m
        self.rate, self.phase = generator.uniform(0.5, 9.0, (2, count)), generator.uniform(0, 2 * np.pi, (2, count))
        self.target, self.sweep = generator.uniform(-np.pi, np.pi, count), generator.uniform(0, 2.0, count)
        self.target[::2] = 0.0  # upright
        self.stiffness, self.damper = generator.uniform(0.5, 8.0, count), generator.uniform(0.0, 1.0, count)
        self.disturbance = generator.uniform(0.0, 0.5, count)

    def __call__(self, obs: np.ndarray, t: int) -> np.ndarray:
        first, second = np.sin(self.rate * (t * STEP) + self.phase)
        cos, sin, speed = obs.astype(np.float64).T
        target = self.target + self.sweep * first
        hold = self.stiffness * (np.sin(target) * cos - np.cos(target) * sin) - self.damper * speed
        share = np.choose(self.kind, [first, np.tanh(2 * speed), hold]) + self.disturbance * second
        return (np.clip(share, -1, 1) * self.limit)[:, None].astype(np.float32)


def pendulums(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Measured angles (count, T + 1), torques (count, T) and logarithms of the length (count, 1)."""
    generator = np.random.default_rng([seed, 2])
    policy = Controllers(count, generator)
    episodes = datasets.roll_out(PENDULUM, count, READ, policy, seed=seed, **RANDOM)
    torque = episodes.action[..., 0] + generator.uniform(0, MOST_NOISE, (count, 1)) * generator.standard_normal(
        (count, READ)
    )
    length = np.log(episodes.info["length"])[:, None]
    return as_tensor(datasets.angles(episodes.obs)), as_tensor(torque), as_tensor(length)


# Networks


class Reader(nn.Module):
    """An LSTM that reads angles (S, B, T + 1) and torques (S, B, T), group after group.

    After each group it says the length's logarithm, as mean and logarithm of a standard deviation, and how the angle
    changes in the next group under the torque that comes. `origin` is the group after which `forward` forecasts.
    """

    def __init__(self, hidden: int, *, seeds: Sequence[int], origin: int | None = None):
        super().__init__()
        self.trunk, self.origin = LSTM(INPUTS, hidden, seeds=seeds), origin
        with torch.no_grad():
            self.trunk.hidden_bias[:, hidden : 2 * hidden] += 1.0  # the forget gate starts open
        self.length = Linear(hidden, 2, seeds=[seed + 1000 for seed in seeds])
        self.change = Linear(hidden, GROUP, seeds=[seed + 2000 for seed in seeds])

    def inputs(self, angles: Tensor, torques: Tensor) -> Tensor:
        """(S, B, G, INPUTS) from the angles of G groups and of one step before, and the torques of G groups or more."""
        count = (angles.shape[-1] - 1) // GROUP
        ends, changes = angles[..., GROUP::GROUP], torch.diff(angles).unflatten(-1, (-1, GROUP))
        torques = nn.functional.pad(torques, (0, GROUP)).unflatten(-1, (-1, GROUP)) / TORQUE
        parts = ends.sin()[..., None], ends.cos()[..., None], changes / CHANGE
        return torch.cat([*parts, torques[..., :count, :], torques[..., 1 : count + 1, :]], -1)

    def forecast(self, angles: Tensor, torques: Tensor) -> Tensor:
        """The FUTURE angles after those given, under the torques of then: (S, B, P + 1), (S, B, P + FUTURE)."""
        outputs, state = self.trunk(self.inputs(angles, torques))
        return self.unroll(angles[..., -GROUP - 1 :], outputs[:, :, -1], state, torques[..., angles.shape[-1] - 1 :])

    def unroll(self, angles: Tensor, output: Tensor, state: Any, torques: Tensor) -> Tensor:
        predicted = []
        for group in range(FUTURE // GROUP):
            if group:
                outputs, state = self.trunk(self.inputs(angles, torques[..., (group - 1) * GROUP :]), state)
                output = outputs[:, :, -1]
            change = angles[..., -1:] - angles[..., -2:-1] + CHANGE * self.change(output)  # from the last change on
            angles = torch.cat([angles[..., -1:], angles[..., -1:] + torch.cumsum(change, -1)], -1)
            predicted.append(angles[..., 1:])
        return torch.cat(predicted, -1)

    def forward(self, angles: Tensor, torques: Tensor) -> Tensor:
        """Errors of a forecast (S, B, FUTURE), then mean and logarithm of deviation after each group (2 G)."""
        x, count = self.inputs(angles, torques), torques.shape[-1] // GROUP
        origin = self.origin or int(torch.randint(4, count - FUTURE // GROUP + 1, ()))
        outputs, state = self.trunk(x[:, :, :origin])
        rest, __ = self.trunk(x[:, :, origin:], state)
        at = origin * GROUP
        future = self.unroll(angles[..., at - GROUP : at + 1], outputs[:, :, -1], state, torques[..., at:])
        error = future - angles[..., at + 1 : at + 1 + FUTURE]
        return torch.cat([error, self.length(torch.cat([outputs, rest], 2)).flatten(-2)], -1)

    def lengths(self, angles: Tensor, torques: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Logarithm of the length and of its deviation after each group, (S, n, G) each, of sequences (n, ...)."""
        with torch.no_grad():
            seeds = len(self.trunk.input_weight)
            x = self.inputs(angles, torques).expand(seeds, -1, -1, -1)
            mean, deviation = self.length(self.trunk(x)[0]).unbind(-1)
        return (MIDDLE + HALF * mean).numpy(), deviation.clamp(-4, 1).numpy()


def forecast_loss(output: Tensor, target: Tensor) -> Tensor:
    """Errors of a forecast, (S,): squares of small ones, sizes of large ones."""
    error = output[..., :FUTURE]
    return nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none").mean((1, 2))


def reading_loss(output: Tensor, target: Tensor) -> Tensor:
    """Negative log likelihood of the length after every group, later ones with larger weights, and the forecast's."""
    mean, deviation = output[..., FUTURE:].unflatten(-1, (-1, 2)).unbind(-1)  # (S, B, G)
    deviation = deviation.clamp(-4, 1)
    each = deviation + ((target - MIDDLE) / HALF - mean).square() / (2 * (2 * deviation).exp())
    weight = torch.arange(1.0, each.shape[-1] + 1)
    return (each * (weight / weight.sum())).sum(-1).mean(1) + 10 * forecast_loss(output, target)


def train_on_simulations(network: Reader, count: int, seeds: Sequence[int], report: Callable[[float], None]) -> None:
    """Train all seeds on `count` simulated pendulums; `report` takes the share that is done."""
    torch.manual_seed(seeds[0])  # of the groups after which forecasts begin
    train(
        network,
        TensorDataset(*pendulums(count, TRAIN_SEED)),
        reading_loss,
        seeds=seeds,
        epochs=EPOCHS,
        batch_size=BATCH,
        learning_rate=RATE,
        optimizer=partial(Adam, max_grad_norm=1.0),
        schedule=triangle(EPOCHS, 0.1),
        callback=lambda *__: report(1 / EPOCHS),
    )


def estimate(network: Reader, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Length (S,) of a recording, and the running estimate (S, G) from its first part.

    A long recording is read in parts. Each has a weight by the deviation that the network states.
    """
    means, deviations, running = [], [], None
    for __, angle, torque in grid(recording, STEP):
        steps = min(READ, len(torque) // GROUP * GROUP)
        if steps < 4 * GROUP:
            continue
        starts = np.linspace(0, len(torque) - steps, math.ceil(len(torque) / steps)).astype(int)
        angles = as_tensor(np.stack([angle[start : start + steps + 1] for start in starts]))
        mean, deviation = network.lengths(angles, as_tensor(np.stack([torque[s : s + steps] for s in starts])))
        means.append(mean[..., -1])
        deviations.append(deviation[..., -1])
        running = np.exp(mean[:, 0]) if running is None else running
    weight = np.exp(-2 * np.concatenate(deviations, 1))
    assert running is not None
    return np.exp((weight * np.concatenate(means, 1)).sum(1) / weight.sum(1)), running


def windows_of(recording: Recording, first: float = 0.0, stride: int = 2) -> Windows:
    """Windows of PAST + FUTURE steps whose future begins after `first` seconds, where the pendulum moves."""
    times, angles, torques = [], [], []
    for begin, angle, torque in grid(recording, STEP):
        for start in range(0, len(torque) - PAST - FUTURE + 1, stride):
            at = start + PAST
            moves = abs(angle[at] - angle[at - GROUP]) > MOVING * GROUP * STEP
            if begin + at * STEP >= first and moves:
                angles.append(angle[start : at + FUTURE + 1])
                torques.append(torque[start : at + FUTURE])
                times.append(begin + np.arange(start, at + FUTURE + 1) * STEP)
    if not angles:
        raise UsageError(f"--data: found no part of {recording.name} that moves for 1.5 s, expected one to forecast")
    return Windows(np.array(times), np.array(angles), np.array(torques))


def forecasts(network: Reader, learned: Recording, past: Windows, seeds: Sequence[int]) -> np.ndarray:
    """Forecasts (S, W, H) of networks that were trained on simulations, and go on training on one recording."""
    network = copy.deepcopy(network)
    network.origin = PAST // GROUP
    own = windows_of(learned)
    angles, torques = (as_tensor(np.concatenate([x, -x])) for x in (own.angle, own.torque))  # and its mirror image
    train(network, TensorDataset(angles, torques, angles[:, :1]), forecast_loss, seeds=seeds, epochs=5, batch_size=32)
    angles, torques = as_tensor(past.angle[:, : PAST + 1]), as_tensor(past.torque)
    with torch.no_grad():
        both = (x.expand(len(seeds), -1, -1) for x in (angles, torques))
        return network.eval().forecast(*both).double().numpy()
