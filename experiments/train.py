"""Train one agent, all its seeds at once, and keep it: a checkpoint, its learning curve and its test returns.

A seed is one independent training: its networks, environments and random numbers are its own. While the seeds train,
they are evaluated on validation starts; in the end they are tested on other starts. The table shows their interquartile
mean (IQM), the mean of the middle half of the seeds.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import agents
from agents import Agent
from agents.evaluation import TEST_SEED
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.command import run_command, waiting_interrupts
from experiments.common.flags import Flags, UsageError, at_least
from experiments.common.hyperparams import tuned
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import (
    EVALUATIONS,
    AgentName,
    EvaluationCallback,
    Training,
    budget,
    default_env,
    forecast,
    make,
    network_kind,
    summary,
)

CHECKPOINT = "agent.safetensors"


@dataclass(frozen=True)
class Train(Flags):
    """Train one agent, all its seeds at once, and keep it."""

    agent: AgentName = "sac"
    """Which algorithm."""
    env: str | None = None
    """A Gymnasium id (default: the pendulum; for dqn the one with discrete torques)."""
    network: Literal["mlp", "elman", "gru", "lstm", "cnn"] | None = None
    """A network of the zoo; a recurrent one remembers, a CNN sees pictures (default: mlp; cnn for pixels)."""
    observation: Literal["state", "angle", "pixels"] = "state"
    """What the pendulum shows: angle and speed, the angle without the speed, or its last two pictures."""
    steps: Annotated[int, at_least(1)] | None = None
    """Steps of each seed (default: tuned for the environment; with --resume, that many more)."""
    resume: Path | None = None
    """Continue the agent of this run or checkpoint; --agent, --env and --seeds are then the file's."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each seed."""


def load(run: Path, flag: str) -> Agent:
    """The agent of a run's folder, or of a checkpoint; UsageError, in one line, if there is no sound one."""
    path = run / CHECKPOINT if run.is_dir() else run
    if not path.is_file():
        raise UsageError(f"{flag}: found no checkpoint at {path}, expected the folder of a run of balancier train")
    try:
        return agents.load(path)
    except (agents.CheckpointError, ValueError, gym.error.Error) as error:
        raise UsageError(f"{flag}: {error}") from None


def start(flags: Train) -> Agent:
    """A new agent, or the one to resume; UsageError before the first step for one that cannot be trained."""
    if flags.resume is not None:
        return load(flags.resume, "--resume")
    env = flags.env or default_env(flags.agent)
    network = flags.network or ("cnn" if flags.observation == "pixels" else "mlp")
    keywords = tuned(flags.agent, env, network)
    if flags.observation != "state":
        if not env.rpartition(":")[2].startswith("balancier/Pendulum"):
            message = f"found {flags.observation} for {env}, expected state (others: the pendulum's)"
            raise UsageError(f"--observation: {message}")
        keywords |= {"env_kwargs": {"observation": flags.observation}}
    return make(flags.agent, env, flags.all_seeds, keywords, network)


@dataclass(frozen=True)
class Findings:
    """A trained agent, and how its training and its test went."""

    name: str  # of the algorithm
    env: str
    agent: Agent
    training: Training
    logs: list[tuple[int, str, np.ndarray]]  # step, metric, values (S,)
    seconds: float  # of the processor, evaluations included
    optimal: np.ndarray | None  # (n,), return of the optimum from each test start; None where it is not known


def train(flags: Train) -> None:
    """Train, save, test, and write what was found; an interrupt saves a checkpoint between two steps."""
    agent = start(flags)
    name, env, kind = type(agent).__name__.lower(), agent.env_id, network_kind(agent)
    assert env is not None
    steps = budget(name, env, flags.steps, flags.quick, kind)
    run = Run("train", flags)
    seconds = duration(forecast(name, steps, len(agent), kind) + 5)
    console.print(f"train: {name} on {env}, {len(agent)} seeds, about {seconds}", highlight=False)
    logs: list[tuple[int, str, np.ndarray]] = []
    began = time.process_time()
    with ProgressBar(steps, "training") as progress, waiting_interrupts() as interrupts:

        def report(more: int, returns: np.ndarray) -> None:
            logs.extend((agent.num_timesteps, *log) for log in ({"evaluation": returns} | agent.metrics).items())
            progress.advance(more, f"return {np.median(returns):.0f}")

        callback = EvaluationCallback(env, steps, report, EVALUATIONS, agent.env_kwargs, agent.num_timesteps)

        def evaluate_or_stop(agent: Agent) -> bool:
            callback(agent, agent.num_timesteps)
            return not interrupts

        agent.learn(steps, evaluate_or_stop)
    seconds = time.process_time() - began
    agent.save(run.folder / CHECKPOINT)
    if interrupts:
        console.print(f"\nStopped at step {agent.num_timesteps:,}; balancier train --resume {run.folder} continues")
        raise KeyboardInterrupt
    optimal = optimal_returns(env, range(TEST_SEED, TEST_SEED + flags.eval_episodes), **agent.env_kwargs)
    write(run, Findings(name, env, agent, callback.finish(agent, flags.eval_episodes), logs, seconds, optimal))


def write(run: Run, findings: Findings) -> None:
    for step, metric, values in findings.logs:
        run.log(step, metric, values, findings.agent.seeds)
    run.figure(learning_curve(findings), "learning_curve")
    run.finish(result(findings))
    run.close(table(findings), f"balancier watch {run.folder}")


def mean_or_none(returns: np.ndarray | None) -> float | None:
    return None if returns is None else float(returns.mean())


def result(findings: Findings) -> dict[str, Any]:
    agent, optimum = findings.agent, mean_or_none(findings.optimal)
    return {
        "agent": findings.name,
        "env": findings.env,
        "network": getattr(agent.network, "func", agent.network).__name__,
        "observation": agent.env_kwargs.get("observation", "state"),
        "seeds": agent.seeds,
        "steps": agent.num_timesteps,
        "train_seconds": round(findings.seconds, 2),
        "optimum": optimum,
        **summary(findings.training.returns, optimum),
    }


def table(findings: Findings) -> Table:
    numbers = result(findings)
    (low, high), optimum = numbers["ci95"], numbers["optimum"]
    shown = Table("agent", "env", "seeds", "steps", "seconds", "IQM [95 %]", "worst seed", "optimum")
    shown.add_row(
        findings.name,
        findings.env,
        str(len(findings.agent)),
        f"{findings.agent.num_timesteps:,}",
        f"{findings.seconds:.1f}",
        f"{numbers['iqm']:.1f} [{low:.1f}, {high:.1f}]",
        f"{numbers['returns'].min():.1f}",
        "-" if optimum is None else f"{optimum:.1f}",
    )
    return shown


def learning_curve(findings: Findings) -> Figure:
    """Every seed as a thin line, their interquartile mean as a thick one."""
    figure, (axes,) = plotting.new(width=9, height=5.5)
    steps, returns = findings.training.steps, findings.training.curve
    axes.plot(steps, returns, color=plotting.BLUE, alpha=0.3, linewidth=1.2)
    low, high = np.array([confidence_interval(values) for values in returns]).T
    iqm = [interquartile_mean(values) for values in returns]
    label = f"interquartile mean of {returns.shape[1]} seeds"
    plotting.band(axes, steps.tolist(), low, iqm, high, label, plotting.BLUE)
    if findings.optimal is not None:
        axes.axhline(findings.optimal.mean(), color=plotting.GREEN, linestyle="--", label="optimum")
    axes.set_xlabel("steps of each seed")
    axes.set_ylabel("mean return of 20 episodes")
    axes.set_title(f"{findings.name.upper()} on {findings.env.removeprefix('balancier/')}")
    axes.legend(loc="lower right")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("train", Train, train, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
