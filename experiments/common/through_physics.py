"""The gradient of the return through the simulated pendulum: of torque sequences, of a policy, and its length.

S seed, N pendulums of one seed, h steps of a window, n starts, R restarts, T steps of an episode, H horizons.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from balancier import N_
from envs.pendulum import START_RANGE
from envs.physics import Pendulum, reward, transition
from models import MLP, Adam
from models.recording import Recordings
from models.streams import stack, stream

PHYSICS, EPISODE = Pendulum(), 200  # steps of an episode
LIMIT = float(PHYSICS.max_torque)  # type: ignore[arg-type]
TORQUE_RATE, HELD = 0.1, 10  # learning rate of a torque sequence; steps that a random torque is held for
HIDDEN, BATCH = (64, 64), 32  # units of policy and value; simulated steps of an update
GAMMA, RATE, MOST_NORM = 0.98, 3e-3, 1.0  # discount, first learning rate, longest gradient of a policy
VALUE_STEPS, FOLLOW = 4, 0.05  # steps of the value per update; share by which its slow copy follows it
REWARD_SCALE = 0.1  # values of a few units are learned sooner than values of a hundred
PLAN, BEGIN, NOISE = range(21, 24)  # purposes of random streams

# Physics

Torque = Callable[[int, Tensor, Tensor], Tensor]


def simulate(angle: Tensor, speed: Tensor, torque: Torque, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards (steps, ...), and angle and speed (...) afterwards; `torque(t, angle, speed)` acts in step t.

    Everything is differentiable, but for kinks: the reward's angle jumps from pi to -pi at the bottom, and a speed at
    its limit has no gradient.
    """
    rewards = []
    for t in range(steps):
        now = torque(t, angle, speed)
        rewards.append(reward(angle, speed, now))
        angle, speed = transition(angle, speed, now, PHYSICS)
    return torch.stack(rewards), angle, speed


def observe(angle: Tensor, speed: Tensor) -> Tensor:
    """What the environment shows: (..., 3)."""
    return torch.stack([angle.cos(), angle.sin(), speed], -1)


def top_growth(pendulum: Pendulum = PHYSICS) -> float:
    """Factor by which a step multiplies a small error at the top, without torque.

    Near the top, semi-implicit Euler is (angle, speed) -> A (angle, speed) with det A = 1 and trace A = 2 + k,
    k = dt^2 (acceleration per angle). The factor is the larger eigenvalue of A.
    """
    k = float(pendulum.dt**2 * pendulum.gains[0])  # type: ignore[operator]
    return 1 + k / 2 + math.sqrt(k + k**2 / 4)


# A torque sequence


class Recipe(NamedTuple):
    """How a torque sequence is optimized."""

    max_norm: float | None = None  # longer gradients are shortened to it
    first_horizon: int = EPISODE  # steps that count at first; the horizon grows over three quarters of the iterations
    window: int = EPISODE  # steps that are optimized together
    keep: int = EPISODE  # of which so many are kept, before the window moves on by as many


@dataclass(frozen=True)
class Plans:
    """What came of the optimization of torque sequences."""

    seconds: float  # of the processor
    returns: np.ndarray  # (S, n, R)
    longest: float  # the longest gradient
    before: np.ndarray  # (T,), the first random sequence for the drawn start
    after: np.ndarray  # (T,), the best sequence of the first seed for this start


def optimize(
    recipe: Recipe,
    seeds: Sequence[int],
    starts: np.ndarray,
    restarts: int,
    iterations: int,
    report: Callable[[float], object],
) -> Plans:
    """Climb the gradient of the return by torque sequences (S, n, R, T), from random ones.

    A window that moves keeps what it has found for its further steps. The first one gets two thirds of the
    iterations, and the next ones, which know more, a sixth each. Starts (n, 2) are angles and speeds; `report` gets
    shares of the work. The sequence that is drawn belongs to the start nearest to hanging.
    """
    since, shape = time.process_time(), (len(starts), restarts, EPISODE // HELD)
    noise = torch.tensor(np.stack([stream(seed, PLAN).standard_normal(shape) for seed in seeds]))
    raw = noise.repeat_interleave(HELD, -1)  # (S, n, R, T)
    angle, speed = (torch.tensor(x)[:, None].expand(raw.shape[:-1]) for x in starts.T)
    drawn, before, longest = int(np.abs(starts[:, 0]).argmax()), LIMIT * raw.tanh(), 0.0
    total, after = torch.zeros_like(angle), torch.zeros_like(raw)
    moves = recipe.window < EPISODE
    raw[..., recipe.window :] = 0  # a window that moves on begins its new steps without torque
    for begin in range(0, EPISODE, recipe.keep):
        part = raw[..., begin : begin + recipe.window]
        count = iterations if not moves else max(1, iterations // 6 if begin else iterations * 2 // 3)
        best, norm = climb(recipe, angle, speed, part, count)
        raw[..., begin : begin + recipe.window] = best
        torques: Tensor = LIMIT * best[..., : recipe.keep].tanh()
        longest = max(longest, norm)
        after[..., begin : begin + recipe.keep] = torques
        rewards, angle, speed = simulate(angle, speed, lambda t, *_: torques[..., t], torques.shape[-1])  # noqa: B023
        total = total + rewards.sum(0)
        report(recipe.keep / EPISODE)
    first = total[0, drawn].argmax()
    sequences = before[0, drawn, 0].numpy(), after[0, drawn, first].numpy()
    return Plans(time.process_time() - since, total.numpy(), longest, *sequences)


def climb(recipe: Recipe, angle: Tensor, speed: Tensor, raw: Tensor, iterations: int) -> tuple[Tensor, float]:
    """The best sequences (..., T) that Adam found from these, before the tanh, and the longest gradient."""
    steps, raw = raw.shape[-1], raw.clone().requires_grad_()
    adam, longest = torch.optim.Adam([raw], TORQUE_RATE), 0.0
    best, most = raw.detach().clone(), torch.full(raw.shape[:-1], -torch.inf, dtype=raw.dtype)
    for iteration in range(iterations + 1):
        torques, share = LIMIT * raw.tanh(), min(1.0, iteration / (0.75 * iterations))
        horizon = min(steps, round(recipe.first_horizon + share * (EPISODE - recipe.first_horizon)))
        gain = simulate(angle, speed, lambda t, *_: torques[..., t], horizon)[0].sum(0)  # noqa: B023
        (gradient,) = torch.autograd.grad(-gain.sum(), raw)
        if horizon == steps:
            better = gain.detach() > most
            best, most = torch.where(better[..., None], raw.detach(), best), torch.where(better, gain.detach(), most)
        norm = gradient.norm(dim=-1, keepdim=True)
        longest = max(longest, float(norm.max()))
        raw.grad = gradient if recipe.max_norm is None else gradient * (recipe.max_norm / norm).clamp(max=1)
        adam.step()
    return best, longest


def motion(start: np.ndarray, torques: np.ndarray) -> tuple[np.ndarray, float]:
    """Angles (T,) and the return of torques (T,) from an angle and a speed."""
    angles: list[Tensor] = []

    def torque(t: int, angle: Tensor, speed: Tensor) -> Tensor:
        angles.append(angle)
        return torch.tensor(torques[t])

    angle, speed = torch.tensor(start)
    rewards = simulate(angle, speed, torque, len(torques))[0]
    return torch.stack(angles).numpy(), float(rewards.sum())


# A policy


class PhysicsPolicy:
    """S policies that learn by the gradient through the physics; they act as an agent (`predict`).

    Each update simulates windows of h steps of N = 32 / h pendulums and climbs the gradient of

        J = r_0 + gamma r_1 + ... + gamma^(h - 1) r_{h - 1} + gamma^h V(s_h)        (SHAC, arXiv:2204.07137)

    through all transitions and rewards. From the same steps V learns the sum from each step on; `slow_value` is the
    copy of V at the window's end, which follows it slowly. A window begins in any state, or, with `own_episodes`,
    where the last one ended; such episodes begin as the environment's.
    """

    def __init__(self, seeds: Sequence[int], window: int, total: int, own_episodes: bool = False):
        self.window, self.total, self.own_episodes, self.num_timesteps = window, total, own_episodes, 0
        self.streams = [stream(seed, BEGIN) for seed in seeds]
        self.policy = MLP(3, HIDDEN, 1, activation="tanh", seeds=self.streams)
        self.value = MLP(3, HIDDEN, 1, activation="tanh", seeds=self.streams)
        self.slow_value = copy.deepcopy(self.value)
        self.policy_adam = Adam(self.policy.parameters(), RATE, max_grad_norm=MOST_NORM)
        self.value_adam = Adam(self.value.parameters(), RATE)
        self.count = max(1, BATCH // window)
        self.speed_range = START_RANGE[1] if own_episodes else float(PHYSICS.max_speed)  # type: ignore[arg-type]
        self.angle, self.speed = self.begin()  # (S, N)
        self.age = torch.arange(self.count) * EPISODE // self.count  # steps of each episode; they end in turn
        self.recordings = Recordings()

    def __len__(self) -> int:
        return len(self.streams)

    def begin(self) -> tuple[Tensor, Tensor]:
        """New angles and speeds (S, N)."""
        uniform = stack([stream.random((2, self.count)) for stream in self.streams]) * 2 - 1
        return START_RANGE[0] * uniform[:, 0], self.speed_range * uniform[:, 1]

    def torque(self, obs: Tensor) -> Tensor:
        """(S, ..., 3) -> (S, ...), N m."""
        return LIMIT * self.policy(obs).squeeze(-1).tanh()

    def predict(self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True):
        """Actions (S, n, 1) in observations (S, n, 3), as the agents' `predict`."""
        with torch.no_grad():
            return self.torque(torch.as_tensor(obs))[..., None].numpy(), None

    def improve(self, angle: Tensor, speed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A step up the gradient of J; the states (S, N) at the end, and observations and targets (S, h, N) for V."""
        seen: list[Tensor] = []

        def torque(t: int, angle: Tensor, speed: Tensor) -> Tensor:
            seen.append(observe(angle, speed))
            return self.torque(seen[-1])

        rewards, angle, speed = simulate(angle, speed, torque, self.window)
        target = self.slow_value(observe(angle, speed)).squeeze(-1)  # (S, N)
        targets: list[Tensor] = []
        for gain in reversed(rewards.unbind(0)):
            target = REWARD_SCALE * gain + GAMMA * target
            targets.insert(0, target)
        self.policy_adam.step(-targets[0].mean(1) / self.window)
        return angle.detach(), speed.detach(), torch.stack(seen, 1).detach(), torch.stack(targets, 1).detach()

    def fit_value(self, obs: Tensor, target: Tensor) -> Tensor:
        """Some steps of V toward the targets, and one of its slow copy toward V; the last error (S,)."""
        for _step in range(VALUE_STEPS):
            error = (self.value(obs).squeeze(-1) - target).square().mean((1, 2))
            self.value_adam.step(error)
        with torch.no_grad():
            for slow, fast in zip(self.slow_value.parameters(), self.value.parameters(), strict=True):
                slow.lerp_(fast, FOLLOW)
        return error

    def learn(self, total: int, callback: Callable[["PhysicsPolicy"], object]) -> None:
        """Learn for `total` more steps of each seed; learning rates fall to 0 at the end of the budget."""
        end = self.num_timesteps + total
        while self.num_timesteps < end:
            rate = RATE * max(0.0, 1 - self.num_timesteps / self.total)
            self.policy_adam.learning_rate = self.value_adam.learning_rate = rate
            angle, speed, obs, target = self.recordings(self.improve, self.angle, self.speed)
            self.recordings(self.fit_value, obs, target)
            self.age = self.age + self.window
            new = (self.age >= EPISODE) | torch.tensor(not self.own_episodes)
            first_angle, first_speed = self.begin()
            self.angle, self.speed = torch.where(new, first_angle, angle), torch.where(new, first_speed, speed)
            self.age = torch.where(new, 0, self.age)
            self.num_timesteps += self.window * self.count
            callback(self)


# Gradients against the horizon

RANDOM, FIXED, LOOP = N_("random torques"), N_("the policy's torques, fixed"), N_("the policy in the loop")
MOTIONS = RANDOM, FIXED, LOOP
HORIZONS = np.array([2, 5, 10, 20, 30, 40, 60, 80, 100, 125, 150, 175, EPISODE])
CHANGES = np.linspace(-0.5, 0.5, 401)  # N m


@dataclass(frozen=True)
class Slopes:
    """Gradients of the return against the horizon, from the test starts."""

    horizons: np.ndarray  # (H,)
    norms: dict[str, np.ndarray]  # motion -> (H, n), length of the gradient by all torques
    changes: np.ndarray  # (m,), N m, of the first torque
    landscape: dict[str, np.ndarray]  # motion -> (m,), return of an episode


def measure_slopes(policy: PhysicsPolicy, starts: np.ndarray) -> Slopes:
    """Gradients and landscapes of the return with a policy of one seed in float64, and without, from starts (n, 2)."""
    angle, speed = torch.tensor(starts).T
    noise = torch.tensor(stream(0, NOISE).standard_normal((EPISODE, len(starts))))
    fixed: list[Tensor] = []

    def act(t: int, angle: Tensor, speed: Tensor) -> Tensor:
        return policy.torque(observe(angle, speed)[None])[0]

    def keep(t: int, angle: Tensor, speed: Tensor) -> Tensor:
        fixed.append(act(t, angle, speed))
        return fixed[-1]

    with torch.no_grad():
        simulate(angle, speed, keep, EPISODE)
    random = LIMIT * noise.tanh()  # (T, n)
    motions: dict[str, Torque] = {RANDOM: lambda t, *_: random[t], FIXED: lambda t, *_: fixed[t], LOOP: act}
    norms = {name: gradient_norms(angle, speed, torque) for name, torque in motions.items()}
    # The landscape is that of one start, the one nearest to hanging.
    i, change = int(np.abs(starts[:, 0]).argmax()), torch.tensor(CHANGES)
    still: dict[str, Torque] = {FIXED: lambda t, *_: fixed[t][i].expand(len(change)), LOOP: act}
    with torch.no_grad():
        landscape = {name: landscape_of(angle[i], speed[i], torque, change) for name, torque in still.items()}
    return Slopes(HORIZONS, norms, CHANGES, landscape)


def gradient_norms(angle: Tensor, speed: Tensor, torque: Torque) -> np.ndarray:
    """Length (H, n) of the gradient of the return until each horizon, by what is added to the torque in each step."""
    extra = torch.zeros(EPISODE, len(angle), dtype=angle.dtype, requires_grad=True)
    rewards = simulate(angle, speed, lambda t, a, s: torque(t, a, s) + extra[t], EPISODE)[0]
    sums = [rewards[:horizon].sum() for horizon in HORIZONS.tolist()]
    gradients = [torch.autograd.grad(total, extra, retain_graph=True)[0] for total in sums]  # (T, n)
    return np.array([gradient.norm(dim=0).numpy() for gradient in gradients])


def landscape_of(angle: Tensor, speed: Tensor, torque: Torque, change: Tensor) -> np.ndarray:
    """Return (m,) of the episode from one state when `change` (m,) is added to the first torque."""
    same = torch.zeros_like(change)
    first = lambda t, a, s: torque(t, a, s) + (change if t == 0 else same)  # noqa: E731
    return simulate(angle + same, speed + same, first, EPISODE)[0].sum(0).numpy()


def growth(slopes: Slopes) -> float:
    """Factor by which the gradient for fixed torques grows in each of the last hundred steps, median of the starts."""
    late = slopes.horizons >= EPISODE // 2
    logs = np.log(slopes.norms[FIXED][late])  # (H, n)
    return float(np.exp(np.median((logs[-1] - logs[0]) / np.ptp(slopes.horizons[late]))))
