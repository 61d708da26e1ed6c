"""Train one agent, all its seeds at once, and keep it: a checkpoint, its learning curve and its judged returns."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from rich.table import Table

import agents
import envs  # noqa: F401  registers the pendulum
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.command import run_command, waiting_interrupts
from experiments.common.flags import Flags, UsageError
from experiments.common.hyperparams import settings
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import DEFAULTS, EVALUATIONS, STARTS, budget, forecast, make, sense_of, summary

CHECKPOINT = "agent.safetensors"


@dataclass(frozen=True)
class Train(Flags):
    """Train one agent, all its seeds at once, and keep it."""

    agent: Literal["sac", "ppo", "dqn", "td3", "a2c", "reinforce"] = "sac"
    """Which algorithm."""
    env: str | None = None
    """A Gymnasium id (default: the pendulum; for dqn the one with discrete torques)."""
    network: Literal["mlp", "elman", "gru", "lstm", "cnn"] | None = None
    """A network of the zoo: a recurrent one is a memory, a CNN eyes (default: mlp; cnn for pixels)."""
    observation: Literal["state", "angle", "pixels"] = "state"
    """What the pendulum shows: angle and speed, the angle alone, or its last two pictures."""
    steps: int | None = None
    """Steps of each seed (default: chosen for the agent; with --resume, that many more)."""
    resume: Path | None = None
    """Go on with the agent of this run or checkpoint; --agent, --env and --seeds are then the file's."""
    eval_episodes: int = 100
    """Judged starts."""


def checkpoint_of(run: Path, flag: str) -> Path:
    """The checkpoint meant by a run's folder or by the file itself; UsageError if there is none."""
    path = run / CHECKPOINT if run.is_dir() else run
    if not path.is_file():
        raise UsageError(f"{flag}: found no checkpoint at {path}, expected the folder of a run of balancier train")
    return path


def load(run: Path, flag: str) -> agents.Agent:
    """The agent in a run's folder; UsageError, in one line, if the file is not what it should be."""
    path = checkpoint_of(run, flag)
    try:
        return agents.load(path)
    except (agents.CheckpointError, ValueError, gym.error.Error) as error:
        raise UsageError(f"{flag}: {error}") from None


def start(flags: Train) -> agents.Agent:
    """A new agent, or the one to resume; UsageError before the first step for what cannot be trained."""
    for name in ("steps", "eval_episodes"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')}: found {value}, expected at least 1")
    if flags.resume is not None:
        return load(flags.resume, "--resume")
    env = flags.env or DEFAULTS[flags.agent][0]
    network = flags.network or ("cnn" if flags.observation == "pixels" else "mlp")
    keywords = settings(flags.agent, env, network)
    if flags.observation != "state":
        if not env.rpartition(":")[2].startswith("balancier/Pendulum"):
            told = f"found {flags.observation} for {env}, expected state (others: the pendulum's)"
            raise UsageError(f"--observation: {told}")
        keywords |= {"env_kwargs": {"observation": flags.observation}}
    return make(flags.agent, env, flags.all_seeds, keywords, network)


def train(flags: Train) -> None:
    agent = start(flags)
    name, env, sense = type(agent).__name__.lower(), agent.env_id, sense_of(agent)
    assert env is not None
    steps = budget(name, env, flags.steps, flags.quick, sense)
    run = Run("train", flags)
    told = duration(forecast(name, steps, len(agent), sense) + 5)
    console.print(f"train: {name} on {env}, {len(agent)} seeds, about {told}", highlight=False)
    curve: list[tuple[int, np.ndarray]] = []
    began, every = time.process_time(), max(1, steps // EVALUATIONS)
    first = seen = agent.num_timesteps

    def watch(agent: agents.Agent) -> bool:
        nonlocal seen
        if agent.num_timesteps - seen >= every or agent.num_timesteps >= first + steps:
            returns = evaluate(agent, env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS), agent.env_kwargs).mean(1)
            curve.append((agent.num_timesteps, returns))
            for metric, values in {"evaluation": returns, **agent.metrics}.items():
                run.log(agent.num_timesteps, metric, values, agent.seeds)
            progress.advance(agent.num_timesteps - seen, f"return {np.median(returns):.0f}")
            seen = agent.num_timesteps
        return not interrupts

    with ProgressBar(steps, "training") as progress, waiting_interrupts() as interrupts:
        agent.learn(steps, watch)
    seconds = time.process_time() - began
    agent.save(run.folder / CHECKPOINT)
    if interrupts:
        console.print(f"\nStopped at step {agent.num_timesteps:,}; balancier train --resume {run.folder} goes on")
        raise KeyboardInterrupt
    starts = range(TEST_SEED, TEST_SEED + flags.eval_episodes)
    returns, best = evaluate(agent, env, starts, agent.env_kwargs).mean(1), optimal_returns(env, starts)
    run.figure(draw(curve, name, env, best), "learning_curve")
    optimum = None if best is None else float(best.mean())
    result: dict[str, Any] = {
        "agent": name,
        "env": env,
        "network": getattr(agent.network, "func", agent.network).__name__,
        "observation": agent.env_kwargs.get("observation", "state"),
        "seeds": list(agent.seeds),
        "steps": agent.num_timesteps,
        "train_seconds": round(seconds, 2),
        "optimum": optimum,
        **summary(returns, optimum),
    }
    run.finish(result)
    table = Table("agent", "env", "seeds", "steps", "seconds", "IQM [95 %]", "worst seed", "optimum")
    low, high = result["ci95"]
    judged = f"{result['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{returns.min():.1f}"
    numbers = f"{agent.num_timesteps:,}", f"{seconds:.1f}", *judged
    table.add_row(name, env, str(len(agent)), *numbers, "-" if optimum is None else f"{optimum:.1f}")
    run.close(table, f"balancier watch {run.folder}")


def draw(curve: list[tuple[int, np.ndarray]], name: str, env: str, best: np.ndarray | None) -> Any:
    """Every seed a thin line, their interquartile mean a thick one."""
    figure, (axes,) = plotting.new(width=9, height=5.5)
    steps, returns = [step for step, _ in curve], np.array([values for _, values in curve])
    axes.plot(steps, returns, color=plotting.BLUE, alpha=0.3, linewidth=1.2)
    bounds = np.array([confidence_interval(values) for values in returns]).T
    iqm = [interquartile_mean(values) for values in returns]
    label = f"interquartile mean of {returns.shape[1]} seeds"
    plotting.band(axes, steps, bounds[0], iqm, bounds[1], label, plotting.BLUE)
    if best is not None:
        axes.axhline(best.mean(), color=plotting.GREEN, linestyle="--", label="optimum")
    axes.set_xlabel("steps of each seed")
    axes.set_ylabel("mean return of 20 episodes")
    axes.set_title(f"{name.upper()} on {env.removeprefix('balancier/')}")
    axes.legend(loc="lower right")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("train", Train, train, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
