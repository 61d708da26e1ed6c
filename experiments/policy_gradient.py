"""Policy gradients as one family (6.1): REINFORCE without and with a baseline, A2C, PPO, and why each step was taken.

All follow grad log pi(a | s) times how good the action was; they differ in how they tell how good it was, and in how
often they use what they saw. The first figure shows what that is worth in learning, the second in variance: one policy,
many independent rollouts, and the gradient that each estimator makes of each of them.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS, REINFORCE
from agents.common.replay import Transitions
from agents.common.returns import gae
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import duration, run_parallel
from experiments.common.runs import Run, console
from experiments.common.statistics import confidence_interval, interquartile_mean

ENV = "balancier/Pendulum-v0"
EVALUATIONS = 20
# name -> (agent, hyper-parameters, share of --steps that it is given, color)
FAMILY: dict[str, tuple[str, dict[str, Any], float, str]] = {
    "REINFORCE": ("reinforce", {"baseline": False}, 1.0, plotting.ORANGE),
    "with baseline": ("reinforce", {}, 1.0, plotting.RED),
    "A2C": ("a2c", {}, 1.0, plotting.GREEN),
    "PPO": ("ppo", {}, 0.25, plotting.BLUE),
}


@dataclass(frozen=True)
class PolicyGradient(Flags):
    """Policy gradients as one family: REINFORCE without and with a baseline, A2C, PPO."""

    steps: int = 400_000
    """Steps of each seed (of PPO a quarter)."""
    rollouts: int = 64
    """Independent rollouts whose gradients are compared."""
    jobs: int = 2
    """Processes side by side, each on one thread."""


@dataclass(frozen=True)
class Task:
    """One member of the family, all its seeds."""

    name: str
    seeds: tuple[int, ...]
    steps: int


def train(task: Task, report: Callable[[float], None]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Steps (E,), curve (E, S), judged returns (S,), and processor seconds without evaluations."""
    kind, given, _, _ = FAMILY[task.name]
    hyper: dict[str, Any] = dict(given)
    if kind in ("a2c", "ppo"):
        hyper["anneal_steps"] = task.steps
    agent = AGENTS[kind](ENV, seeds=task.seeds, **hyper)
    steps, curve, seconds = [], [], 0.0
    for _ in range(EVALUATIONS):
        began = time.process_time()
        agent.learn(task.steps // EVALUATIONS)
        seconds += time.process_time() - began
        steps.append(agent.num_timesteps)
        curve.append(evaluate(agent, ENV, range(VALIDATION_SEED, VALIDATION_SEED + 20)).mean(1))
        report(task.steps / EVALUATIONS)
    return np.array(steps), np.array(curve), evaluate(agent, ENV, range(TEST_SEED, TEST_SEED + 100)).mean(1), seconds


def clones(agent: REINFORCE, count: int) -> REINFORCE:
    """`count` replicas that all hold the one agent's networks and statistics, in environments of their own."""
    many = REINFORCE(ENV, seeds=count, num_envs=1)
    learned = agent.state_dict()
    with torch.no_grad():
        for name, mine in many.state_dict().items():
            if name.startswith(("policy.", "critic.", "encoder.", "returns.")):
                mine.copy_(learned[name].expand_as(mine))
    return many


def gradients(agent: REINFORCE) -> dict[str, Tensor]:
    """What each estimator makes of one episode of every replica: gradients (S, P) of the policy's parameters."""
    found: dict[str, Tensor] = {}

    def keep(rollout: Transitions) -> None:
        zeros = torch.zeros_like(rollout.reward)
        estimates = {
            "return": gae(rollout.reward, zeros, zeros, rollout.terminated, rollout.done, agent.gamma, 1.0),
            "return - V": agent.advantages(rollout, 1.0)[0],
            "GAE, lambda 0.95": agent.advantages(rollout, 0.95)[0],
            "GAE, lambda 0": agent.advantages(rollout, 0.0)[0],
        }
        log_prob = agent.policy(agent.features(rollout.obs)).log_prob(rollout.action)  # (S, T, N)
        parameters = list(agent.policy.parameters())
        for name, advantage in estimates.items():
            loss = (log_prob * advantage).mean((1, 2)).sum()
            parts = torch.autograd.grad(loss, parameters, retain_graph=True)
            found[name] = torch.cat([part.flatten(1) for part in parts], 1)

    agent.update = keep  # type: ignore[method-assign]
    agent.learn(agent.config.num_steps)
    return found


def noise_to_signal(gradient: Tensor) -> float:
    """Total variance of independent gradients (R, P) over the square of their mean's length, less its own noise."""
    variance = gradient.var(0).sum()
    signal = (gradient.mean(0) ** 2).sum() - variance / len(gradient)
    return float(variance / signal.clamp(min=1e-3 * variance))


def policy_gradient(flags: PolicyGradient) -> None:
    for name, least in (("steps", 20_000), ("rollouts", 2), ("jobs", 1)):
        if getattr(flags, name) < least:
            raise UsageError(f"--{name}: found {getattr(flags, name)}, expected at least {least}")
    steps = min(flags.steps, 100_000) if flags.quick else flags.steps
    run = Run("policy_gradient", flags)
    forecast = steps * (1.2e-4 + 1.4e-5 * flags.seeds) / min(flags.jobs, 2) + 12
    console.print(f"policy_gradient: {flags.seeds} seeds each, about {duration(forecast)}", highlight=False)
    tasks = [Task(name, tuple(flags.all_seeds), int(steps * share)) for name, (_, _, share, _) in FAMILY.items()]
    tasks.sort(key=lambda task: task.name != "A2C")  # the longest first
    trained = dict(
        zip(
            [task.name for task in tasks],
            run_parallel(train, tasks, flags.jobs, sum(task.steps for task in tasks), "training"),
            strict=True,
        )
    )
    for name, (at, curve, _, _) in trained.items():
        for step, returns in zip(at, curve, strict=True):
            run.log(int(step), f"{name}/return", returns, flags.all_seeds)
    agent = REINFORCE(ENV, seeds=[flags.seed]).learn(steps // 4)  # a policy and a critic that know something
    assert isinstance(agent, REINFORCE)
    found = gradients(clones(agent, flags.rollouts))
    variances = {name: float(one.var(0).sum() / found["return"].var(0).sum()) for name, one in found.items()}
    ratios = {name: noise_to_signal(one) for name, one in found.items()}
    best = optimal_returns(ENV, range(TEST_SEED, TEST_SEED + 100))
    optimum = None if best is None else float(best.mean())
    run.figure(draw_curves(trained, optimum), "learning_curves")
    run.figure(draw_variance(variances, ratios, flags.rollouts), "variance")
    rows = {}
    table = Table("agent", "steps", "seconds", "IQM [95 %]", "regret")
    for name in FAMILY:
        at, _, returns, seconds = trained[name]
        iqm, (low, high) = interquartile_mean(returns), confidence_interval(returns)
        regret = None if optimum is None else round(optimum - iqm, 2)
        rows[name] = {"steps": int(at[-1]), "seconds": round(seconds, 2), "returns": returns.round(2).tolist()}
        rows[name] |= {"iqm": round(iqm, 2), "ci95": [round(low, 2), round(high, 2)], "regret": regret}
        table.add_row(name, f"{at[-1]:,}", f"{seconds:.1f}", f"{iqm:.0f} [{low:.0f}, {high:.0f}]", str(regret))
    noise = {"variance": variances, "noise_to_signal": ratios}
    told = {kind: {name: round(value, 4) for name, value in one.items()} for kind, one in noise.items()}
    run.finish({"optimum": optimum, "agents": rows, **told})
    run.close(table, "balancier compare --agents ppo a2c")


def draw_curves(trained: dict[str, Any], optimum: float | None) -> Figure:
    """Return against steps, the middle of the seeds and their 95 % interval."""
    figure, (axes,) = plotting.new(width=10, height=6)
    for name, (_, _, _, color) in FAMILY.items():
        steps, curve = trained[name][:2]
        bounds = np.array([confidence_interval(row) for row in curve]).T
        plotting.band(axes, steps, bounds[0], [interquartile_mean(row) for row in curve], bounds[1], name, color)
    if optimum is not None:
        axes.axhline(optimum, color="black", linestyle="--", label="optimum")
    axes.set_xlabel("steps of each seed")
    axes.set_ylabel("mean return of 20 episodes")
    seeds = len(next(iter(trained.values()))[2])
    axes.set_title(f"Four policy gradients on the pendulum, {seeds} seeds each")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def draw_variance(variances: dict[str, float], ratios: dict[str, float], rollouts: int) -> Figure:
    """How noisy the gradient of one episode is, estimator by estimator: as such, and beside what it points to."""
    figure, panels = plotting.new(2, width=8, height=5)
    colors = [plotting.ORANGE, plotting.RED, plotting.BLUE, plotting.GREEN]
    labels = ["variance, the return's = 1", "variance / squared length of the mean gradient"]
    for axes, values, label in zip(panels, (variances, ratios), labels, strict=True):
        bars = axes.barh(list(values), list(values.values()), color=colors)
        axes.bar_label(bars, fmt="{:,.3g}", padding=4)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.grid(axis="y", visible=False)
    panels[1].set_yticklabels([])
    figure.suptitle(f"Noise in the gradient of one episode (one policy, {rollouts} episodes)")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("policy_gradient", PolicyGradient, policy_gradient, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
