"""Policy gradients as one family (6.1): REINFORCE without and with a baseline, A2C and PPO. One figure compares their
learning curves. The other compares the variance of their gradients: one policy plays many independent rollouts (steps
of the current policy), and each estimator gives a gradient for each of them.

All four follow grad log pi(a | s) times an estimate of how good the action was. They differ in the estimate, and in how
often they use each rollout.

A seed is one independent training. The interquartile mean (IQM) is the mean of the middle half of the seeds: neither
the luckiest nor the unluckiest seed decides. The regret is the best mean return that is possible from the same starts,
minus the IQM.

S seed, P parameters of the policy, T steps of a rollout, N environments of one seed.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from agents import AGENTS, REINFORCE
from agents.common.replay import Transitions
from agents.common.returns import gae
from agents.evaluation import TEST_SEED
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.hyperparams import tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.training import STARTS, Training, mean_optimum, summary, train_agent
from experiments.common.training import forecast as training_seconds

ENV = "balancier/Pendulum-v0"
TEST_EPISODES = 100
QUICK_STEPS = 100_000


class Member(NamedTuple):
    """One algorithm of the family."""

    agent: str
    hyperparameters: dict[str, Any]  # those that differ from the tuned ones
    share: float  # of --steps
    color: str


FAMILY = {
    "REINFORCE": Member("reinforce", {"baseline": False}, 1.0, plotting.ORANGE),
    "with baseline": Member("reinforce", {}, 1.0, plotting.RED),
    "A2C": Member("a2c", {}, 1.0, plotting.GREEN),
    "PPO": Member("ppo", {}, 0.25, plotting.BLUE),
}


@dataclass(frozen=True)
class PolicyGradient(ParallelFlags):
    """Policy gradients as one family: REINFORCE without and with a baseline, A2C, PPO."""

    steps: Annotated[int, at_least(20_000)] = 400_000
    """Steps of each seed (of PPO a quarter)."""
    rollouts: Annotated[int, at_least(2)] = 64
    """Independent rollouts whose gradients are compared."""

    @property
    def steps_to_train(self) -> int:
        return min(self.steps, QUICK_STEPS) if self.quick else self.steps


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    rollouts: int
    trainings: dict[str, Training]  # by member of the family
    optimum: float | None  # best mean return from the test seeds
    variance: dict[str, float]  # by estimator: of its gradients, in units of that of the return
    noise_to_signal: dict[str, float]  # by estimator


# Learning


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test one member of the family, all its seeds."""
    member, steps = FAMILY[job.name], job.settings
    hyperparameters = tuned(member.agent, ENV) | member.hyperparameters
    if hyperparameters["anneal_steps"]:
        hyperparameters["anneal_steps"] = steps
    agent = AGENTS[member.agent](ENV, seeds=job.seeds, **hyperparameters)
    return train_agent(agent, ENV, steps, TEST_EPISODES, lambda done, _: report(job.cost * done / steps))


def plan(flags: PolicyGradient) -> list[Job]:
    jobs = []
    for name, member in FAMILY.items():
        steps = int(flags.steps_to_train * member.share)
        jobs.append(Job(name, tuple(flags.all_seeds), training_seconds(member.agent, steps, flags.seeds), steps))
    return jobs


# Gradients


def clones(agent: REINFORCE, count: int) -> REINFORCE:
    """`count` replicas that all hold the one agent's networks and statistics, in environments of their own."""
    many = REINFORCE(ENV, seeds=count, **{**tuned("reinforce", ENV), "num_envs": 1})
    trained = agent.state_dict()
    with torch.no_grad():
        for name, tensor in many.state_dict().items():
            if name.startswith(("policy.", "critic.", "encoder.", "reward_scaling.returns.")):
                tensor.copy_(trained[name].expand_as(tensor))
    return many


def estimates(agent: REINFORCE, rollout: Transitions) -> dict[str, Tensor]:
    """How good each action of a rollout was, by every estimator: (S, T, N)."""
    zeros = torch.zeros_like(rollout.reward)
    return {
        "return": gae(rollout.reward, rollout.discount, rollout.done, zeros, zeros, 1.0),
        "return - V": agent.advantages(rollout, 1.0)[0],
        "GAE, lambda 0.95": agent.advantages(rollout, 0.95)[0],
        "GAE, lambda 0": agent.advantages(rollout, 0.0)[0],
    }


def gradients(agent: REINFORCE) -> dict[str, Tensor]:
    """Gradients (S, P) of the policy's parameters by every estimator, from one episode of every replica."""
    by_estimator: dict[str, Tensor] = {}

    def keep(rollout: Transitions) -> None:
        log_prob = agent.policy(agent.features(rollout.obs)).log_prob(rollout.action)  # (S, T, N)
        parameters = list(agent.policy.parameters())
        for name, advantage in estimates(agent, rollout).items():
            loss = (log_prob * advantage).mean((1, 2)).sum()
            parts = torch.autograd.grad(loss, parameters, retain_graph=True)
            by_estimator[name] = torch.cat([part.flatten(1) for part in parts], 1)

    agent.update = keep  # type: ignore[method-assign]
    agent.learn(agent.config.num_steps)
    return by_estimator


def noise_to_signal(gradient: Tensor) -> float:
    """Total variance of independent gradients (S, P) over the squared length of their mean without its own noise."""
    variance = gradient.var(0).sum()
    signal = (gradient.mean(0) ** 2).sum() - variance / len(gradient)
    return float(variance / signal.clamp(min=1e-3 * variance))


# The lesson


def forecast(flags: PolicyGradient) -> str:
    return f"{flags.seeds} seeds each, about {duration(wall_seconds(plan(flags), flags.processes))}"


def measure(flags: PolicyGradient) -> Findings:
    jobs = plan(flags)
    trainings = dict(zip(FAMILY, run_parallel(train, jobs, flags.processes), strict=True))
    agent = REINFORCE(ENV, seeds=[flags.seed], **tuned("reinforce", ENV))
    agent.learn(flags.steps_to_train // 4)  # a policy and a critic that have learned something
    by_estimator = gradients(clones(agent, flags.rollouts))
    total = {name: gradient.var(0).sum() for name, gradient in by_estimator.items()}
    variance = {name: float(value / total["return"]) for name, value in total.items()}
    ratios = {name: noise_to_signal(gradient) for name, gradient in by_estimator.items()}
    optimum = mean_optimum(ENV, range(TEST_SEED, TEST_SEED + TEST_EPISODES))
    return Findings(flags.all_seeds, flags.rollouts, trainings, optimum, variance, ratios)


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, training in findings.trainings.items():
        for step, returns in zip(training.steps, training.curve, strict=True):
            yield int(step), f"{name}/return", returns, findings.seeds


def row(training: Training, optimum: float | None) -> dict[str, Any]:
    return {
        "steps": int(training.steps[-1]),
        "seconds": training.train_seconds,
        **summary(training.returns, optimum),
    }


def result(findings: Findings) -> dict[str, Any]:
    return {
        "optimum": findings.optimum,
        "agents": {name: row(training, findings.optimum) for name, training in findings.trainings.items()},
        "variance": findings.variance,
        "noise_to_signal": findings.noise_to_signal,
    }


def table(findings: Findings) -> Table:
    table = Table("agent", "steps", "seconds", "IQM [95 %]", "regret")
    for name, training in findings.trainings.items():
        numbers = row(training, findings.optimum)
        (low, high), regret = numbers["ci95"], numbers["regret"]
        iqm = f"{numbers['iqm']:.0f} [{low:.0f}, {high:.0f}]"
        regret = "-" if regret is None else f"{regret:.1f}"
        table.add_row(name, f"{numbers['steps']:,}", f"{numbers['seconds']:.1f}", iqm, regret)
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"learning_curves": plot_curves(findings), "variance": plot_variance(findings)}


def plot_curves(findings: Findings) -> Figure:
    """Return against steps, the interquartile mean of the seeds with its 95 % interval."""
    figure, (axes,) = plotting.new(width=10, height=6)
    for name, training in findings.trainings.items():
        plotting.iqm_band(axes, training.steps.tolist(), training.curve, name, FAMILY[name].color)
    if findings.optimum is not None:
        axes.axhline(findings.optimum, color="black", linestyle="--", label="optimum")
    axes.set_xlabel("steps of each seed")
    axes.set_ylabel(f"mean return of {STARTS} validation episodes")
    axes.set_title(f"Four policy gradients on the pendulum, {len(findings.seeds)} seeds each")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def plot_variance(findings: Findings) -> Figure:
    """The noise in the gradient of one episode by estimator: its variance, and its ratio to the mean gradient."""
    figure, panels = plotting.new(2, width=8, height=5)
    colors = [plotting.ORANGE, plotting.RED, plotting.BLUE, plotting.GREEN]
    labels = ["variance, the return's = 1", "variance / squared length of the mean gradient"]
    for axes, values, label in zip(panels, (findings.variance, findings.noise_to_signal), labels, strict=True):
        bars = axes.barh(list(values), list(values.values()), color=colors)
        axes.bar_label(bars, fmt="{:,.3g}", padding=4)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.grid(axis="y", visible=False)
    panels[1].set_yticklabels([])
    figure.suptitle(f"Noise in the gradient of one episode (one policy, {findings.rollouts} episodes)")
    return figure


LESSON = Lesson(
    flags=PolicyGradient,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier compare --agents ppo a2c",
    metrics=metrics,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("policy_gradient", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
