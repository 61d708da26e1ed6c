"""Planning on a pendulum's true equations: iLQR, the cross-entropy method, and controllers that plan while they act.

A plan is a sequence of torques. Both planners take batches: n plans take hardly longer than one. A state is the angle
(rad, 0 upright) and the speed (rad/s). The cost of a step is the environment's.

H steps ahead, n observations.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from balancier import shown
from envs.controllers import LQR, WEIGHTS, Energy, EnergyLQR, actions, angle_and_speed, derivatives
from envs.optimum import even_torques, optimum
from envs.physics import TURN, Pendulum, clip, fixed, reward, transition, wrap

STEPS = 200  # of an episode, if nobody says otherwise
SHARES = (1.0, 0.5, 0.25, 0.1, 0.02)  # of iLQR's step that its line search tries
LEAST, FACTOR, MOST = 1e-4, 8.0, 1e4  # of the damping: smallest, by what it changes, and where a plan counts as found
PUSHES = (0, 1, 2), (0, 2, 4)  # lengths of the pushes of first guesses, in 1 / (rate of the fall from the top)
GUESSES = 6  # that are kept
FAR = 0.3, 1.2  # rad and rad/s: a state this far from its plan is not on it


class Plan(NamedTuple):
    """Sequences of torques, and where they lead."""

    states: Tensor  # (..., H + 1, 2), angle (not wrapped) and speed; the first is the start
    torques: Tensor  # (..., H), N m
    cost: Tensor  # (...), of the H steps, and of the last state where that has one


class Feedback(NamedTuple):
    """How the torques of a plan change: by `steps` in any case, and by `gains` times the distance from its states."""

    steps: Tensor  # (..., H), N m
    gains: Tensor  # (..., H, 2), N m/rad and N m s/rad


# The cross-entropy method


def cem(
    cost: Callable[[Tensor], Tensor],
    mean: Tensor,
    std: Tensor,
    *,
    limit: float,
    samples: int,
    elites: int,
    iterations: int,
    generator: torch.Generator,
) -> Tensor:
    """The cross-entropy method (doi:10.1023/A:1010091220143): sample, keep the best, sample around those again.

    Args:
        cost: from sequences of torques (samples, ..., H) to their costs (samples, ...), on the device of `mean`.
        mean, std: (..., H), of the normal distribution that the first samples come from, N m.
        limit: largest torque, N m; samples are clipped to it.
        samples: sequences in each iteration; the first of them is the mean itself.
        elites: how many of the best give the mean and the standard deviation of the next iteration.
        generator: source of the random numbers.

    Returns:
        The mean (..., H) of the last elites.

    Raises:
        ValueError: for more elites than samples.
    """
    if not 1 <= elites <= samples:
        raise ValueError(f"elites: found {elites}, expected 1 to {samples}, the number of samples")
    for _ in range(iterations):
        noise = torch.randn(samples, *mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        noise[0] = 0
        torques = clip(mean + std * noise, limit)  # (samples, ..., H)
        best = cost(torques).topk(elites, 0, largest=False).indices  # (elites, ...)
        chosen = torques.gather(0, best[..., None].expand(elites, *mean.shape))
        mean, std = chosen.mean(0), chosen.std(0, correction=0)
    return mean


# iLQR


def rollout(
    start: Tensor,
    torques: Tensor,
    pendulum: Pendulum,
    *,
    final: Tensor | None = None,
    around: Tensor | None = None,
    gains: Tensor | None = None,
) -> Plan:
    """What torques (..., H), clipped, lead to from a start (..., 2).

    Args:
        final: P (2, 2), with which the last state x costs x'P x; None if it costs nothing.
        around, gains: states (..., H + 1, 2) and gains (..., H, 2); the torque of each step also changes by its gains
            times the distance from its state.
    """
    angle, speed = (x.expand(torques.shape[:-1]) for x in start.unbind(-1))
    states, applied = [(angle, speed)], []
    for t, torque in enumerate(torques.unbind(-1)):
        if around is not None and gains is not None:
            center, gain = around[..., t, :], gains[..., t, :]
            torque = torque + gain[..., 0] * (angle - center[..., 0]) + gain[..., 1] * (speed - center[..., 1])
        applied.append(clip(torque, pendulum.max_torque))
        angle, speed = transition(angle, speed, applied[-1], pendulum)
        states.append((angle, speed))
    reached = torch.stack([torch.stack(side, -1) for side in zip(*states, strict=True)], -1)
    torques = torch.stack(applied, -1)
    cost = -reward(reached[..., :-1, 0], reached[..., :-1, 1], torques).sum(-1)
    return Plan(reached, torques, cost if final is None else cost + final_cost(reached[..., -1, :], final))


def final_cost(state: Tensor, final: Tensor) -> Tensor:
    """x'P x of states (..., 2) with the angle wrapped, (...)."""
    x = torch.stack([wrap(state[..., 0]), state[..., 1]], -1)
    return ((x @ final) * x).sum(-1)


def improve(plan: Plan, pendulum: Pendulum, damping: Tensor, final: Tensor | None = None) -> Feedback:
    """The best change of each plan for equations linearized along it (Bellman's equation, from the end backward).

    With z = (angle, speed, torque) as distances from the plan, and F the derivative of a step, the cost from a step on
    is q'z + z'Q z / 2, with Q = L + F'V F and q = l + F'v. Its best torque, as far as the motor has it, is
    step + gains (angle, speed). Put into q and Q, that gives v and V of the step before. As the torque is one number,
    the quadratic program of control-limited DDP (doi:10.1109/ICRA.2014.6907001) is to clip it; at a limit it has no
    gains.

    Args:
        damping: (...), added to the curvature of the torque, so that steps become smaller.
        final: P of the last state's cost, as in `rollout`.
    """
    (angle, speed), torques = plan.states[..., :-1, :].unbind(-1), plan.torques
    weights = 2 * torch.tensor(WEIGHTS, dtype=torques.dtype)
    F = derivatives(angle, speed, torques, pendulum)  # (..., H, 2, 3)
    slope = weights * torch.stack([wrap(angle), speed, torques], -1)  # (..., H, 3)
    most = float(pendulum.max_torque)  # type: ignore[arg-type]
    room = most - torques, -most - torques
    V = torch.zeros(*torques.shape[:-1], 2, 2, dtype=torques.dtype)
    v = torch.zeros_like(V[..., 0])
    if final is not None:
        last = plan.states[..., -1, :]
        V, v = V + 2 * final, 2 * torch.stack([wrap(last[..., 0]), last[..., 1]], -1) @ final
    same = torch.eye(2, dtype=V.dtype).expand_as(V)
    steps, gains = [], []
    for t in reversed(range(torques.shape[-1])):
        f = F[..., t, :, :]
        q = slope[..., t, :] + (v[..., None, :] @ f)[..., 0, :]
        Q = torch.diag(weights) + f.mT @ V @ f
        curvature = Q[..., 2, 2] + damping
        best = -q[..., 2] / curvature
        step = best.minimum(room[0][..., t]).maximum(room[1][..., t])
        gain = -Q[..., 2, :2] / curvature[..., None] * (step == best)[..., None]
        T = torch.cat([same, gain[..., None, :]], -2)  # (..., 3, 2), from (angle, speed) to z, but for the step
        v = ((q + Q[..., 2] * step[..., None])[..., None, :] @ T)[..., 0, :]
        V = T.mT @ Q @ T
        steps.append(step)
        gains.append(gain)
    return Feedback(torch.stack(steps[::-1], -1), torch.stack(gains[::-1], -2))


def ilqr(
    start: Tensor,
    torques: Tensor,
    pendulum: Pendulum,
    *,
    iterations: int = 50,
    tolerance: float = 1e-3,
    final: Tensor | None = None,
    around: Tensor | None = None,
    gains: Tensor | None = None,
) -> Plan:
    """The iterative linear-quadratic regulator: improve plans until they cannot be improved.

    Each iteration linearizes the equations along the plan (`improve`), tries shares of the best change, and keeps the
    cheapest. Where none is cheaper, the next change is damped more. No plan ever becomes worse. The result is a local
    optimum: it has as many swings as the first guess.

    Args:
        start: (..., 2), angle and speed.
        torques: (..., H), the first guess, N m.
        iterations: at most so many.
        tolerance: an iteration that gains less in every plan, without more damping, is the last.
        final, around, gains: as in `rollout`; the last two are for the first guess.
    """
    plan = rollout(start, torques, pendulum, final=final, around=around, gains=gains)
    damping = torch.full_like(plan.cost, LEAST)
    shares = torch.tensor(SHARES, dtype=torques.dtype)
    for _ in range(iterations):
        change = improve(plan, pendulum, damping, final)
        tried = plan.torques + shares.view(-1, *[1] * torques.ndim) * change.steps  # (shares, ..., H)
        candidates = rollout(start, tried, pendulum, final=final, around=plan.states, gains=change.gains)
        everything = Plan(*(torch.cat([old[None], new]) for old, new in zip(plan, candidates, strict=True)))
        best = everything.cost.argmin(0)  # 0 where the old plan is the cheapest
        gain = plan.cost - everything.cost.min(0).values
        plan = Plan(*(select(values, best) for values in everything))
        failed = best == 0
        damping = torch.where(failed, damping * FACTOR, (damping / FACTOR).clip(LEAST))
        if ((gain < tolerance) & (~failed | (damping > MOST))).all():
            break
    return plan


def select(values: Tensor, index: Tensor) -> Tensor:
    """values (k, ..., *rest) at an index (...) into axis 0: (..., *rest)."""
    index = index.view(1, *index.shape, *[1] * (values.ndim - 1 - index.ndim))
    return values.gather(0, index.expand(1, *values.shape[1:]))[0]


def guesses(start: Tensor, pendulum: Pendulum, horizon: int) -> Tensor:
    """First guesses (GUESSES, n, H) for starts (n, 2): two pushes, to one side and back, then energy shaping with LQR.

    Of pushes of several lengths to both sides, the cheapest are kept. They differ in the number of swings, which iLQR
    itself does not change.
    """
    law, most = EnergyLQR(pendulum), float(pendulum.max_torque)  # type: ignore[arg-type]
    unit = 1 / math.sqrt(pendulum.gains[0]) / float(pendulum.dt)  # type: ignore[arg-type]
    pushes = np.array([(sign, *both) for sign in (1, -1) for both in itertools.product(*PUSHES)])
    side = most * pushes[:, :1]
    back, end = np.round(unit * pushes[:, 1:].cumsum(1)).T[..., None]  # steps at which the pushes end
    angle, speed = (np.broadcast_to(x, (len(pushes), len(start))) for x in start.numpy().T)
    torques = []
    for t in range(horizon):
        torques.append(np.where(t < back, side, np.where(t < end, -side, law.act(angle, speed))))
        angle, speed = transition(angle, speed, torques[-1], pendulum)
    tried = torch.from_numpy(np.stack(torques, -1))  # (pushes, n, H)
    best = rollout(start, tried, pendulum).cost.topk(GUESSES, 0, largest=False).indices
    return tried.gather(0, best[..., None].expand(*best.shape, horizon))


def best_plan(start: Tensor, pendulum: Pendulum, horizon: int, iterations: int, final: Tensor | None = None) -> Plan:
    """The cheapest of the plans that iLQR makes of all first guesses, for starts (n, 2)."""
    plans = ilqr(start, guesses(start, pendulum, horizon), pendulum, iterations=iterations, final=final)
    best = plans.cost.argmin(0)
    return Plan(*(select(values, best) for values in plans))


# Controllers


class Planner:
    """What controllers share that keep a plan for each observation: the plan, from this step on, is their `state`.

    A plan is an array (H, 5): angle, speed, torque and its two gains in each step; NaN after its end.
    """

    pendulum: Pendulum
    torques: np.ndarray | None  # (U,), N m, to choose from; None for any torque up to the largest
    horizon: int  # steps of a plan

    def plan(self, start: np.ndarray) -> np.ndarray:
        """New plans (n, H, 5) from states (n, 2)."""
        raise NotImplementedError

    def refine(self, start: np.ndarray, plans: np.ndarray) -> np.ndarray:
        """Better plans (n, H, 5) from states (n, 2), given those of the step before, which have NaN in the end."""
        return plans

    def predict(
        self, obs: Any, state: np.ndarray | None = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """The actions in observations (3,) or (n, 3), as SB3's `predict`; ValueError for any other.

        A new plan is made where an episode begins, where the plan is used up, and where the state is far from the plan,
        say after a push.
        """
        angle, speed = angle_and_speed(obs)
        now = np.stack([np.atleast_1d(angle), np.atleast_1d(speed)], -1)  # (n, 2)
        plans = np.full((len(now), self.horizon, 5), np.nan) if state is None else state.copy()
        if episode_start is not None:
            plans[np.reshape(episode_start, -1).astype(bool)] = np.nan
        away = away_from(now, plans)
        new = ~((np.abs(away) < FAR).all(-1))  # NaN is new, too
        if new.any():
            plans[new] = self.plan(now[new])
        if not new.all():
            plans[~new] = self.refine(plans[~new, 0, :2] + away[~new], plans[~new])
        torque = plans[:, 0, 2] + (plans[:, 0, 3:] * away_from(now, plans)).sum(-1)
        torque = clip(torque, self.pendulum.max_torque).reshape(angle.shape)
        return actions(torque, self.torques), np.concatenate([plans[:, 1:], np.full_like(plans[:, :1], np.nan)], 1)


def away_from(now: np.ndarray, plans: np.ndarray) -> np.ndarray:
    """From the first states of plans (n, H, 5) to the states now (n, 2), the shorter way around."""
    away = now - plans[:, 0, :2]
    return np.stack([wrap(away[:, 0]), away[:, 1]], -1)


def as_array(plan: Plan, gains: Tensor) -> np.ndarray:
    """Plans with gains (n, H, 2) as an array (n, H, 5)."""
    return torch.cat([plan.states[:, :-1], plan.torques[..., None], gains], -1).numpy()


@dataclass(frozen=True)
class ILQR(Planner):
    """One plan of the whole episode by iLQR, made at its start, and followed with iLQR's gains."""

    pendulum: Pendulum
    torques: np.ndarray | None = None
    horizon: int = STEPS
    iterations: int = 20

    def plan(self, start: np.ndarray) -> np.ndarray:
        plan = best_plan(torch.from_numpy(start), self.pendulum, self.horizon, self.iterations)
        return as_array(plan, improve(plan, self.pendulum, torch.zeros_like(plan.cost)).gains)


@dataclass(frozen=True)
class MPC(Planner):
    """Model predictive control by iLQR: in each step, plan some seconds ahead and apply the first torque of the plan.

    The first plan of an episode is the best of several. Each later one is the plan before, followed with its gains and
    with LQR in its last step, and improved. The state at the end of a plan costs what LQR would need from there, so
    that even short plans lead to the top.
    """

    pendulum: Pendulum
    torques: np.ndarray | None = None
    horizon: int = 60
    iterations: int = 1  # in each step
    first_iterations: int = 20  # for a new plan

    @cached_property
    def lqr(self) -> LQR:
        return LQR(self.pendulum)

    @cached_property
    def final(self) -> Tensor:
        """P of the last state's cost."""
        return torch.from_numpy(self.lqr.cost)

    def with_gains(self, plan: Plan) -> np.ndarray:
        return as_array(plan, improve(plan, self.pendulum, torch.zeros_like(plan.cost), self.final).gains)

    def plan(self, start: np.ndarray) -> np.ndarray:
        now = torch.from_numpy(start)
        return self.with_gains(best_plan(now, self.pendulum, self.horizon, self.first_iterations, self.final))

    def refine(self, start: np.ndarray, plans: np.ndarray) -> np.ndarray:
        plans[:, -1] = 0
        plans[:, -1, 0] = TURN * np.round(plans[:, -2, 0] / TURN)  # upright, as near as the plan has come to it
        plans[:, -1, 3:] = -self.lqr.gains
        before, now = torch.from_numpy(plans), torch.from_numpy(start)
        options: dict[str, Any] = {"final": self.final, "around": before[..., :2], "gains": before[..., 3:]}
        return self.with_gains(ilqr(now, before[..., 2], self.pendulum, iterations=self.iterations, **options))


@dataclass(frozen=True)
class SampledMPC(Planner):
    """Model predictive control by the cross-entropy method, which needs no derivatives.

    Sampled torques are held for a few steps: so fewer numbers are searched for, and they swing the pendulum farther.
    """

    pendulum: Pendulum
    torques: np.ndarray | None = None
    horizon: int = 24  # a multiple of `hold`
    hold: int = 2  # steps
    iterations: int = 2  # in each step
    first_iterations: int = 10  # for a new plan
    samples: int = 100
    elites: int = 10
    std: float = 0.3  # of the first samples in a step, as a share of the largest torque; of a new plan, 1
    seed: int = 0  # of the random numbers, which begin anew with every new plan

    @cached_property
    def generator(self) -> torch.Generator:
        return torch.Generator()

    def plan(self, start: np.ndarray) -> np.ndarray:
        self.generator.manual_seed(self.seed)
        return self.sample(start, np.zeros((len(start), self.horizon)), 1.0, self.first_iterations)

    def refine(self, start: np.ndarray, plans: np.ndarray) -> np.ndarray:
        return self.sample(start, np.nan_to_num(plans[..., 2]), self.std, self.iterations)

    def sample(self, start: np.ndarray, mean: np.ndarray, std: float, iterations: int) -> np.ndarray:
        now, most = torch.from_numpy(start), float(self.pendulum.max_torque)  # type: ignore[arg-type]
        held = torch.from_numpy(mean).unflatten(-1, (-1, self.hold)).mean(-1)
        torques = cem(
            lambda tried: rollout(now, tried.repeat_interleave(self.hold, -1), self.pendulum).cost,
            held,
            torch.full_like(held, std * most),
            limit=most,
            samples=self.samples,
            elites=self.elites,
            iterations=iterations,
            generator=self.generator,
        ).repeat_interleave(self.hold, -1)
        return as_array(rollout(now, torques, self.pendulum), torch.zeros(*mean.shape, 2, dtype=now.dtype))


# All of them by name

CONTROLLERS = ("energy", "lqr-energy", "ilqr", "mpc", "optimum")  # those that swing up, the simplest first
NAMES = ("lqr", *CONTROLLERS, "mpc-cem")


def controller(
    name: str,
    env: str | Pendulum = "balancier/Pendulum-v0",
    *,
    num_torques: int | None = None,
    num_steps: int = STEPS,
    **env_kwargs: Any,
) -> Any:
    """A classical controller, or the optimum, with SB3's `predict`.

    It knows the pendulum's equations, but neither delay nor noise: it takes every observation as exact.

    Args:
        name: one of NAMES.
        env: the pendulum, or the id of a pendulum, with which the next two arguments need not be given.
        num_torques: number of evenly spaced torques to choose from; None for any torque up to the largest.
        num_steps: length of an episode.
        env_kwargs: keywords of `gymnasium.make`, beside an id.

    Raises:
        ValueError: for another name, an environment that is no pendulum of ours, a pendulum with ranges and, with
            "optimum", with delay or noise.
    """
    if name not in NAMES:
        raise ValueError(f"name: found {shown(name)}, expected one of {', '.join(NAMES)}")
    if isinstance(env, str):
        made: Any = gym.make(env, disable_env_checker=True, **env_kwargs)
        limit = made.spec.max_episode_steps
        num_steps = limit if limit and limit > 0 else num_steps
        num_torques, env = getattr(made.unwrapped, "num_torques", None), getattr(made.unwrapped, "pendulum", env)
        made.close()
    if not isinstance(env, Pendulum):
        raise ValueError(f"env: found {shown(env)}, expected a pendulum of Balancier's")
    pendulum = fixed(env)
    if name == "optimum":
        return optimum(num_torques=num_torques, num_steps=num_steps, **asdict(pendulum))
    torques = None if num_torques is None else even_torques(pendulum, num_torques)
    kinds = {
        "energy": Energy,
        "lqr": LQR,
        "lqr-energy": EnergyLQR,
        "ilqr": partial(ILQR, horizon=num_steps),
        "mpc": MPC,
        "mpc-cem": SampledMPC,
    }
    return kinds[name](pendulum, torques)
