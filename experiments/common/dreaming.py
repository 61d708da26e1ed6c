"""An agent that learns a model of the pendulum and plans in it (PETS, arXiv:1805.12114), for the lesson `dream`.

    model:  s' = s + f_m(s, u),  m = 1, ..., M networks
    plan:   the cross-entropy method looks for torques whose cost, as the networks dream it, is smallest
    learn:  play an episode by planning -> train the networks on all episodes -> play the next

PETS's networks predict a variance, too. The pendulum has no noise, so ours predict the next state alone.

M networks of an ensemble, n episodes, K samples of torques, H decisions ahead, D decisions of an episode.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from agents.evaluation import TEST_SEED
from envs.pendulum import PendulumVectorEnv
from envs.physics import reward, wrap
from envs.planning import cem
from models import MLP, fit
from models.streams import stream, stream_seed

WEIGHTS, TORQUES, RESETS, PLANS, TESTS = range(5)  # purposes of an agent's random streams
STEPS, HOLD = 200, 2  # of an episode; steps for which a torque is held: a decision
DECISION = HOLD * 0.05  # s
MAX_TORQUE = 2.0  # N m
SPEED = 4.0  # rad/s, usual size of a speed
CHANGE = torch.tensor([0.4, 1.0])  # rad and rad/s, usual sizes of the changes of angle and speed within a decision
UPDATES, BATCH, LEARNING_RATE = 500, 64, 4e-3  # of the networks, after each episode
ELITES, STD = 8, 1.5  # of the cross-entropy method: best plans that count; N m
ITERATIONS, FIRST_ITERATIONS = 3, 10  # of it for each plan, and for the first of an episode, which decides the most
FAR = 30  # decisions that dreams are compared with the truth


# The model


class Dynamics(nn.Module):
    """M networks that predict how a state changes within a decision, in units of CHANGE.

    States (M, ..., 2) of angle (rad, 0 upright) and speed (rad/s), torques (M, ...) in N m -> (M, ..., 2).
    """

    def __init__(self, hidden: Sequence[int], *, seeds: Sequence[int]):
        super().__init__()
        self.network = MLP(4, hidden, 2, activation="tanh", seeds=seeds)

    def forward(self, state: Tensor, torque: Tensor) -> Tensor:
        angle, speed = state.unbind(-1)
        return self.network(torch.stack([angle.cos(), angle.sin(), speed / SPEED, torque / MAX_TORQUE], -1))


@torch.no_grad()
def dream(dynamics: Dynamics, state: Tensor, torques: Tensor) -> Tensor:
    """The states (M, H, ..., 2) that each network expects after `state` (..., 2) under torques (..., H)."""
    members = len(next(dynamics.parameters()))
    now = state.expand(members, *torques.shape[:-1], 2)
    states = []
    for torque in torques.unbind(-1):
        now = now + dynamics(now, torque.expand(now.shape[:-1])) * CHANGE
        states.append(now)
    return torch.stack(states, 1)


def dreamed_cost(dynamics: Dynamics, state: Tensor, torques: Tensor) -> Tensor:
    """The cost (K, n) of torques (K, n, H) from states (n, 2), as the networks dream it: the mean of their sums.

    The cost of a state and a torque is known. That at the end of a decision counts for each of its steps.
    """
    angle, speed = dream(dynamics, state, torques).unbind(-1)  # (M, H, K, n)
    return -HOLD * reward(angle, speed, torques.movedim(-1, 0)).sum(1).mean(0)


# Planning


class Planner:
    """Model predictive control of n episodes: every decision makes a new plan, and takes its first torque.

    A plan is the mean that the cross-entropy method ends with. The search starts from the plan before, one decision on;
    before an episode, call `restart`.
    """

    plan: Tensor | None = None  # (n, H)

    def __init__(self, dynamics: Dynamics, horizon: int, samples: int, seed: int):
        self.dynamics, self.horizon, self.samples = dynamics, horizon, samples
        self.generator = torch.Generator().manual_seed(seed)

    def restart(self) -> None:
        """Forget the last plan."""
        self.plan = None

    def __call__(self, state: Tensor) -> Tensor:
        """Torques (n,) in states (n, 2)."""
        before = torch.zeros(len(state), self.horizon) if self.plan is None else self.plan
        mean = torch.cat([before[:, 1:], torch.zeros(len(state), 1)], 1)
        self.plan = cem(
            partial(dreamed_cost, self.dynamics, state),
            mean,
            torch.full_like(mean, STD),
            limit=MAX_TORQUE,
            samples=self.samples,
            elites=ELITES,
            iterations=ITERATIONS if self.plan is not None else FIRST_ITERATIONS,
            generator=self.generator,
        )
        return self.plan[:, 0]


# Real episodes, and learning from them


class Episodes(NamedTuple):
    states: Tensor  # (n, D + 1, 2), angle and speed before and after each decision
    torques: Tensor  # (n, D)
    returns: np.ndarray  # (n,)


def play(env: PendulumVectorEnv, choose: Callable[[Tensor], Tensor], starts: list[int] | None = None) -> Episodes:
    """One episode of each pendulum, in which `choose` maps states (n, 2) to torques (n,).

    `starts` are the seeds of `reset`; without them, the pendulums go on with their own streams.
    """
    states, torques, returns = [state_of(env.reset(seed=starts)[0])], [], np.zeros(env.num_envs)
    for _decision in range(STEPS // HOLD):
        torque = choose(states[-1])
        for _step in range(HOLD):
            obs, rewards, *_ends = env.step(torque.numpy()[:, None])
            returns += rewards
        states.append(state_of(obs))
        torques.append(torque)
    return Episodes(torch.stack(states, 1), torch.stack(torques, 1), returns)


def state_of(obs: np.ndarray) -> Tensor:
    """Angle and speed (n, 2) from observations (n, 3) of cos, sin and speed."""
    return torch.from_numpy(np.stack([np.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2]], 1))


def changes(states: Tensor) -> Tensor:
    """Changes (..., D, 2) of states (..., D + 1, 2), the angle's by the shorter way."""
    angle, speed = states.diff(dim=-2).unbind(-1)
    return torch.stack([wrap(angle), speed], -1)


def unwrapped(states: Tensor) -> Tensor:
    """The same states (..., D + 1, 2) with an angle that does not jump after half a turn."""
    start = states[..., :1, :]
    return torch.cat([start, start + changes(states).cumsum(-2)], -2)


def random_torques(generator: np.random.Generator) -> Callable[[Tensor], Tensor]:
    """A `choose` for `play`: uniform torques, a new one for each decision."""
    return lambda state: torch.tensor(generator.uniform(-MAX_TORQUE, MAX_TORQUE, len(state)), dtype=state.dtype)


def train(dynamics: Dynamics, episodes: Sequence[Episodes], members: Sequence[int]) -> float:
    """Train the networks, whose seeds are `members`, on all real decisions; processor seconds."""
    states, torques = (torch.cat([getattr(x, name) for x in episodes]) for name in ("states", "torques"))
    inputs, targets = states[:, :-1].flatten(0, 1), (changes(states) / CHANGE).flatten(0, 1)
    epochs = max(1, round(UPDATES * BATCH / len(inputs)))
    return fit(
        dynamics,
        TensorDataset(inputs, torques.flatten(), targets),
        seeds=members,
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        schedule=lambda epoch: 1 - 0.98 * epoch / epochs,  # small steps at the end come near the minimum
    ).seconds


# One agent


class Settings(NamedTuple):
    episodes: int  # real ones, the first with random torques
    evaluated: Sequence[int]  # after these episodes, the last among them
    tests: int  # test seeds of each evaluation
    members: int  # networks
    hidden: Sequence[int]  # sizes of their layers
    horizon: int  # decisions
    samples: int  # of each iteration of the cross-entropy method


@dataclass(frozen=True)
class Dreamer:
    """What came of one agent."""

    returns: np.ndarray  # (E, n), from each test seed, after more and more episodes
    fit_seconds: float  # of the processor: training of the networks
    plan_seconds: float  # and planning, in the real episodes
    error: np.ndarray  # (2, FAR), rad: of the dreamed angle (RMS), after the first and after all episodes
    spread: np.ndarray  # (2, FAR), rad: standard deviation of the networks' angles (RMS)
    truth: np.ndarray  # (D + 1, 2): angle and speed in the test episode that starts lowest
    dreams: np.ndarray  # (2, M, FAR, 2): what both ensembles expect of this episode, from its start and torques
    plans: np.ndarray  # (D, H, 2): what the agent expected of its plan at each decision, mean of the networks


def learn(seed: int, settings: Settings, report: Callable[[float], None]) -> Dreamer:
    """Train and test one agent; `report` takes the share of the work that is done."""
    members = [stream_seed(seed, WEIGHTS, member) for member in range(settings.members)]
    dynamics, env = Dynamics(settings.hidden, seeds=members), PendulumVectorEnv(1)
    planner = Planner(dynamics, settings.horizon, settings.samples, stream_seed(seed, PLANS))
    env.reset(seed=stream_seed(seed, RESETS))
    choose, fit_seconds, plan_seconds = random_torques(stream(seed, TORQUES)), 0.0, 0.0
    episodes: list[Episodes] = []
    ensembles: list[Dynamics] = []
    returns: list[np.ndarray] = []
    for number in range(1, settings.episodes + 1):
        began = time.process_time()
        planner.restart()
        episodes.append(play(env, choose))
        plan_seconds += time.process_time() - began
        fit_seconds += train(dynamics, episodes, members)
        choose = planner
        if number in (1, settings.episodes):
            ensembles.append(copy.deepcopy(dynamics))
        if number in settings.evaluated:
            tested, plans = test(dynamics, settings, seed)
            returns.append(tested.returns)
        report(1 / settings.episodes)
    truth = unwrapped(tested.states)  # (n, D + 1, 2)
    dreams = torch.stack([dream(ensemble, truth[:, 0], tested.torques[:, :FAR]) for ensemble in ensembles])
    angles = dreams[..., 0]  # (2, M, FAR, n)
    lowest = int(truth[:, 0, 0].abs().argmax())
    planned = dream(dynamics, truth[lowest, :-1], torch.stack(plans, 1)[lowest]).mean(0)  # (H, D, 2)
    return Dreamer(
        returns=np.stack(returns),
        fit_seconds=fit_seconds,
        plan_seconds=plan_seconds,
        error=(angles.mean(1) - truth[:, 1 : FAR + 1, 0].T).square().mean(-1).sqrt().numpy(),
        spread=angles.var(1, correction=0).mean(-1).sqrt().numpy(),
        truth=truth[lowest].numpy(),
        dreams=dreams[..., lowest, :].numpy(),
        plans=planned.movedim(0, 1).numpy(),
    )


def test(dynamics: Dynamics, settings: Settings, seed: int) -> tuple[Episodes, list[Tensor]]:
    """Episodes from the test seeds of `reset`, without learning, and the plans (n, H) of each decision."""
    planner = Planner(dynamics, settings.horizon, settings.samples, stream_seed(seed, TESTS))
    plans: list[Tensor] = []

    def choose(state: Tensor) -> Tensor:
        torque = planner(state)
        plans.append(planner.plan)  # type: ignore[arg-type]
        return torque

    starts = list(range(TEST_SEED, TEST_SEED + settings.tests))
    return play(PendulumVectorEnv(len(starts)), choose, starts), plans
