"""Policy gradients as one family (6.1): REINFORCE without and with a baseline, A2C and PPO. One figure compares their
learning curves. The other compares the variance of their gradients: one policy plays many independent rollouts (steps
of the current policy), and each estimator gives a gradient for each of them.

All four follow grad log pi(a | s) times an estimate of how good the action was. They differ in the estimate, and in how
often they use each rollout. The environment is the pendulum. With --quick it is CartPole, where all four learn in
seconds; on the pendulum REINFORCE needs hundreds of thousands of steps.

A seed is one independent training. The interquartile mean (IQM) is the mean of the middle half of the seeds: neither
the luckiest nor the unluckiest seed decides. The regret is the best mean return that is possible from the same starts,
minus the IQM.

S seed, P parameters of the policy, T steps of a rollout, N environments of one seed.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import gymnasium as gym
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from rich.table import Table
from torch import Tensor

from agents import AGENTS, REINFORCE
from agents.common.replay import Transitions
from agents.common.returns import gae
from agents.evaluation import TEST_SEED, VALIDATION_SEED
from balancier import N_, _, numeral
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.hyperparams import tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.statistics import interquartile_mean
from experiments.common.training import STARTS, Training, mean_optimum, summary, train_agent
from experiments.common.training import forecast as training_seconds

PENDULUM, CARTPOLE = "balancier/Pendulum-v0", "CartPole-v1"
TEST_EPISODES = 100
QUICK_STEPS, QUICK_EVALUATIONS = 40_000, 10


class Member(NamedTuple):
    """One algorithm of the family."""

    agent: str
    hyperparameters: dict[str, Any]  # those that differ from the tuned ones
    color: str


FAMILY = {
    "REINFORCE": Member("reinforce", {"baseline": False}, plotting.ORANGE),
    N_("with baseline"): Member("reinforce", {}, plotting.SKY),
    "A2C": Member("a2c", {}, plotting.PURPLE),
    "PPO": Member("ppo", {}, plotting.BLUE),
}


@dataclass(frozen=True)
class PolicyGradient(ParallelFlags):
    """Policy gradients as one family: REINFORCE without and with a baseline, A2C, PPO."""

    steps: Annotated[int, at_least(20_000)] = 400_000
    """Steps of each seed (of PPO a quarter)."""
    rollouts: Annotated[int, at_least(2)] = 64
    """Independent rollouts whose gradients are compared."""

    @property
    def env(self) -> str:
        return CARTPOLE if self.quick else PENDULUM

    def steps_of(self, name: str) -> int:
        """Steps of each seed of a member of the family; PPO uses each of them several times, so it needs fewer."""
        steps = min(self.steps, QUICK_STEPS) if self.quick else self.steps
        return int(steps * (0.5 if self.quick else 0.25)) if name == "PPO" else steps


def settings(agent: str, env: Any) -> dict[str, Any]:
    """Tuned hyper-parameters; of REINFORCE on CartPole those of the pendulum, but for the discount."""
    return tuned(agent, env) or tuned(agent, PENDULUM) | {"gamma": 0.99}


@dataclass(frozen=True)
class Findings:
    env: str
    seeds: list[int]
    rollouts: int
    trainings: dict[str, Training]  # by member of the family
    optimum: float  # best mean return from the test seeds
    validation_optimum: float  # the same from the validation seeds
    variance: dict[str, float]  # by estimator: of its gradients, in units of that of the return
    noise_to_signal: dict[str, float]  # by estimator


# Learning


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test one member of the family, all its seeds."""
    member, flags = FAMILY[job.name], job.settings
    steps, hyperparameters = flags.steps_of(job.name), settings(member.agent, flags.env) | member.hyperparameters
    if hyperparameters["anneal_steps"]:
        hyperparameters["anneal_steps"] = steps
    agent = AGENTS[member.agent](flags.env, seeds=job.seeds, **hyperparameters)
    advance = lambda done, __: report(job.cost * done / steps)  # noqa: E731
    return train_agent(agent, flags.env, steps, TEST_EPISODES, advance, QUICK_EVALUATIONS if flags.quick else None)


def plan(flags: PolicyGradient) -> list[Job]:
    costs = {name: training_seconds(member.agent, flags.steps_of(name), flags.seeds) for name, member in FAMILY.items()}
    return [Job(name, tuple(flags.all_seeds), cost, flags) for name, cost in costs.items()]


# Gradients


def clones(agent: REINFORCE, count: int) -> REINFORCE:
    """`count` replicas that all hold the one agent's networks and statistics, in environments of their own."""
    many = REINFORCE(agent.env, seeds=count, **{**settings("reinforce", agent.env), "num_envs": 1})
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
        N_("return"): gae(rollout.reward, rollout.discount, rollout.done, zeros, zeros, 1.0),
        N_("return - V"): agent.advantages(rollout, 1.0)[0],
        N_("GAE, lambda 0.95"): agent.advantages(rollout, 0.95)[0],
        N_("GAE, lambda 0"): agent.advantages(rollout, 0.0)[0],
    }


def gradients(agent: REINFORCE) -> dict[str, Tensor]:
    """Gradients (S, P) of the policy's parameters by every estimator, from one rollout of every replica.

    As in REINFORCE, steps whose episode does not end within the rollout do not count: their return is unknown.
    """
    by_estimator: dict[str, Tensor] = {}

    def keep(rollout: Transitions) -> dict[str, Tensor]:
        log_prob = agent.policy(agent.features(rollout.obs)).log_prob(rollout.action)  # (S, T, N)
        known = rollout.done.flip(1).cummax(1).values.flip(1)  # (S, T, N)
        parameters = list(agent.policy.parameters())
        for name, advantage in estimates(agent, rollout).items():
            loss = ((known * log_prob * advantage).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)).sum()
            parts = torch.autograd.grad(loss, parameters, retain_graph=True)
            by_estimator[name] = torch.cat([part.flatten(1) for part in parts], 1)
        return {}

    agent.update = keep  # type: ignore[method-assign]
    agent.learn(agent.config.num_steps)
    return by_estimator


def noise_to_signal(gradient: Tensor) -> float:
    """Total variance of independent gradients (S, P) over the squared length of their mean without its own noise."""
    variance = gradient.var(0).sum()
    signal = (gradient.mean(0) ** 2).sum() - variance / len(gradient)
    return float(variance / signal.clamp(min=1e-3 * variance))


# The lesson


def best_return(env: str, starts: Sequence[int]) -> float:
    """The best mean return from these starts: the optimum of the pendulum; of CartPole, 1 for each step."""
    optimum = mean_optimum(env, starts)
    return float(gym.spec(env).max_episode_steps or 0) if optimum is None else optimum


def forecast(flags: PolicyGradient) -> str:
    time = duration(wall_seconds(plan(flags), flags.processes))
    return _("{env}, {seeds} seeds each, about {time}", env=flags.env, seeds=flags.seeds, time=time)


def measure(flags: PolicyGradient) -> Findings:
    jobs = plan(flags)
    trainings = dict(zip(FAMILY, run_parallel(train, jobs, flags.processes, kinds=[Training]), strict=True))
    agent = REINFORCE(flags.env, seeds=[flags.seed], **settings("reinforce", flags.env))
    agent.learn(flags.steps_of("REINFORCE") // 4)  # a policy and a critic that have learned something
    by_estimator = gradients(clones(agent, flags.rollouts))
    total = {name: gradient.var(0).sum() for name, gradient in by_estimator.items()}
    variance = {name: float(value / total["return"]) for name, value in total.items()}
    ratios = {name: noise_to_signal(gradient) for name, gradient in by_estimator.items()}
    test, validation = range(TEST_SEED, TEST_SEED + TEST_EPISODES), range(VALIDATION_SEED, VALIDATION_SEED + STARTS)
    best, validation_best = best_return(flags.env, test), best_return(flags.env, validation)
    return Findings(flags.env, flags.all_seeds, flags.rollouts, trainings, best, validation_best, variance, ratios)


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, training in findings.trainings.items():
        for step, returns in zip(training.steps, training.curve, strict=True):
            yield int(step), f"{name}/return", returns, findings.seeds


def row(training: Training, optimum: float) -> dict[str, Any]:
    return {
        "steps": int(training.steps[-1]),
        "seconds": training.train_seconds,
        "first_return": float(interquartile_mean(training.curve[0])),
        **summary(training.returns, optimum),
    }


def result(findings: Findings) -> dict[str, Any]:
    return {
        "env": findings.env,
        "optimum": findings.optimum,
        "agents": {name: row(training, findings.optimum) for name, training in findings.trainings.items()},
        "variance": findings.variance,
        "noise_to_signal": findings.noise_to_signal,
    }


def table(findings: Findings) -> Table:
    title = _(
        "{env}, {seeds} seeds, {episodes} test episodes; best possible return: {optimum:.1f}",
        env=findings.env,
        seeds=len(findings.seeds),
        episodes=TEST_EPISODES,
        optimum=findings.optimum,
    )
    table = Table(_("agent"), _("steps"), _("processor seconds"), _("IQM [95 %]"), _("regret"), title=title)
    for name, numbers in result(findings)["agents"].items():
        low, high = numbers["ci95"]
        iqm = f"{numbers['iqm']:.0f} [{low:.0f}, {high:.0f}]"
        table.add_row(_(name), numeral(numbers["steps"]), f"{numbers['seconds']:.1f}", iqm, f"{numbers['regret']:.1f}")
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"learning_curves": plot_curves(findings), "variance": plot_variance(findings)}


def plot_curves(findings: Findings) -> Figure:
    """Return against steps, the interquartile mean of the seeds with its 95 % interval."""
    figure, (axes,) = plotting.new(width=12.8, height=7.2)
    for name, training in findings.trainings.items():
        final = float(interquartile_mean(training.curve[-1]))
        label = _("{name}: {final:.0f} after {steps:,}", name=_(name), final=final, steps=training.steps[-1])
        plotting.iqm_band(axes, training.steps.tolist(), training.curve, label, FAMILY[name].color)
    best = findings.validation_optimum
    axes.axhline(best, color="black", linestyle="--", label=_("best possible: {best:.0f}", best=best))
    axes.set_xlabel(_("steps of each seed"))
    axes.set_ylabel(_("mean return of {count} validation episodes", count=STARTS))
    finals = {name: float(interquartile_mean(training.curve[-1])) for name, training in findings.trainings.items()}
    axes.set_title(
        _(
            "A critic helps: A2C reaches {a2c:.0f}, and REINFORCE with baseline {reinforce:.0f} in as many steps;\n"
            "PPO reaches {ppo:.0f} in {share:.0%} of them ({env}, {seeds} seeds; IQM and its 95 % interval)",
            a2c=finals["A2C"],
            reinforce=finals["with baseline"],
            ppo=finals["PPO"],
            share=findings.trainings["PPO"].steps[-1] / findings.trainings["A2C"].steps[-1],
            env=findings.env.removeprefix("balancier/"),
            seeds=len(findings.seeds),
        )
    )
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def plot_variance(findings: Findings) -> Figure:
    """The noise in the gradient of one rollout by estimator: its variance, and its ratio to the mean gradient."""
    figure, panels = plotting.new(2, width=6.4, height=6.4)
    colors = [plotting.ORANGE, plotting.SKY, plotting.PURPLE, plotting.BLUE]
    labels = [_("variance (of the return: 1)"), _("variance / squared mean gradient")]
    for axes, values, label in zip(panels, (findings.variance, findings.noise_to_signal), labels, strict=True):
        bars = axes.barh([_(name) for name in values], list(values.values()), color=colors)
        axes.bar_label(bars, fmt=lambda value: numeral(value, ",.3g"), padding=4)
        if max(values.values()) > 30 * min(values.values()):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.25)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.grid(visible=False)
    panels[1].set_yticklabels([])
    figure.suptitle(
        _(
            "A baseline divides the variance of the gradient by {less:.1f}\n({env}, one policy, {count} rollouts)",
            less=1 / findings.variance["return - V"],
            env=findings.env.removeprefix("balancier/"),
            count=findings.rollouts,
        )
    )
    return figure


PAGE = Page(
    question=_("How does an agent climb the gradient of its return, and how noisy is that gradient?"),
    formula=(
        r"$\nabla_\theta J = E[\nabla_\theta \log \pi_\theta(a|s) \, A(s, a)]$",
        _(r"REINFORCE: $A = G = \sum_k \gamma^k r_{t+k}$;  with a baseline: $A = G - V(s)$"),
        _(
            r"A2C, PPO: $A = \sum_k (\gamma \lambda)^k \delta_{t+k}$, "
            r"$\delta_t = r_t + \gamma V(s_{t+1}) - V(s_t)$ (GAE)"
        ),
    ),
    captions={
        "learning_curves": _(
            "All four learn by the same gradient with different estimates of how good an action was. "
            "A2C has a critic in place of the rest of the return, so it updates more often. PPO uses every step "
            "several times."
        ),
        "variance": _(
            "One fixed policy plays many independent rollouts, and each estimator gives a gradient for each. "
            "Bars show how much these gradients differ: less is better, as long as the mean gradient stays."
        ),
    },
    what_if=(
        ("balancier policy_gradient --steps 1000000", _("does REINFORCE come near the others with more steps?")),
        ("balancier policy_gradient --quick --rollouts 256", _("do the bars of the variance change?")),
        ("balancier sweep --agent a2c --gae-lambda 0.5 0.9 1", _("which lambda is best, and why not 1?")),
    ),
)

LESSON = Lesson(
    flags=PolicyGradient,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier compare --agents ppo a2c",
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("policy_gradient", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
