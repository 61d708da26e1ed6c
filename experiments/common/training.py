"""Training an agent and judging it: what the experiments about agents have in common.

S seed, E evaluations.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS, Agent
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from envs.optimum import optimal_returns
from experiments.common.flags import UsageError
from experiments.common.hyperparams import Sense, setting
from experiments.common.statistics import confidence_interval, interquartile_mean

EVALUATIONS, STARTS = 20, 20
# Where each agent learns by default, and for how many steps of each seed; the second number is for --quick.
DEFAULTS: dict[str, tuple[str, int, int]] = {
    "sac": ("balancier/Pendulum-v0", 5_000, 2_500),
    "td3": ("balancier/Pendulum-v0", 10_000, 2_500),
    "ppo": ("balancier/Pendulum-v0", 100_000, 40_000),
    "a2c": ("balancier/Pendulum-v0", 1_000_000, 100_000),
    "reinforce": ("balancier/Pendulum-v0", 500_000, 100_000),
    "dqn": ("balancier/PendulumDiscrete-v0", 10_000, 4_000),
}
# Rough processor seconds for a thousand steps: of ten seeds of ours, of one seed of SB3's. For the forecast alone.
COST = {("balancier", "sac"): 3.5, ("balancier", "ppo"): 0.2, ("balancier", "dqn"): 1.5}
COST |= {("balancier", "td3"): 3.0, ("balancier", "a2c"): 0.1, ("balancier", "reinforce"): 0.05}
COST |= {("sb3", "sac"): 12.0, ("sb3", "ppo"): 0.25, ("sb3", "dqn"): 2.5, ("sb3", "td3"): 10.0, ("sb3", "a2c"): 0.3}
SLOWER: dict[Sense, float] = {"plain": 1.0, "memory": 8.0, "eyes": 60.0}  # than with an MLP


def sense_of(agent: Agent) -> Sense:
    """What an agent sees its world with."""
    return "memory" if agent.encoder.recurrent else "eyes" if agent.encoder.cnn else "plain"


def budget(agent: str, env: str, steps: int | None, quick: bool, sense: Sense = "plain") -> int:
    """Steps of each seed: those asked for, else those of a quick run, of the world's settings or of the agent."""
    _, full, fast = DEFAULTS[agent]
    tuned = setting(agent, env, sense)
    return steps or (fast if quick else tuned.steps if tuned else full)


def forecast(agent: str, steps: int, seeds: int, sense: Sense = "plain") -> float:
    """Processor seconds that training ours will take, roughly."""
    return COST["balancier", agent] * SLOWER[sense] * steps / 1000 * (0.3 + 0.07 * seeds)


def make(agent: str, env: str, seeds: Sequence[int], keywords: dict[str, Any], network: str = "mlp") -> Agent:
    """A new agent; UsageError, in one line, if it cannot be."""
    try:
        return AGENTS[agent](env, seeds=seeds, **keywords)
    except (ValueError, gym.error.Error, ImportError) as error:
        found = "--env:" if network == "mlp" else f"--network: found {network}, with which"
        raise UsageError(f"{found} {agent} cannot train on {env} ({error})".replace("\n", " ")) from None


@dataclass(frozen=True)
class Learned:
    """What came of an agent."""

    steps: np.ndarray  # (E,)
    curve: np.ndarray  # (E, S), mean return over the watched starts
    judged: np.ndarray  # (S,), mean return over the judged starts
    seconds: float  # of the processor, without evaluations


def learn(agent: Agent, env: str, steps: int, episodes: int, report: Callable[[float, np.ndarray], None]) -> Learned:
    """Train a new agent for `steps` steps of each replica, evaluating every twentieth of them, and judge it.

    It is judged on `episodes` starts.
    `report(steps, returns)` is called after each evaluation with the steps since the last one and the returns (S,).
    """
    at, curve, seconds = [], [], 0.0
    for number in range(1, EVALUATIONS + 1):
        before, began = agent.num_timesteps, time.process_time()
        agent.learn(steps * number // EVALUATIONS - before)
        seconds += time.process_time() - began
        at.append(agent.num_timesteps)
        curve.append(evaluate(agent, env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS), agent.env_kwargs).mean(1))
        report(agent.num_timesteps - before, curve[-1])
    judged = evaluate(agent, env, range(TEST_SEED, TEST_SEED + episodes), agent.env_kwargs).mean(1)
    return Learned(np.array(at), np.array(curve), judged, seconds)


def mean_optimum(env: str, starts: Sequence[int]) -> float | None:
    """The best mean return that is possible from these starts; None where it is not known."""
    best = optimal_returns(env, starts)
    return None if best is None else float(best.mean())


def summary(returns: np.ndarray, optimum: float | None) -> dict[str, Any]:
    """Figures of merit of seeds' judged returns (S,)."""
    iqm = interquartile_mean(returns)
    return {
        "returns": [round(float(value), 3) for value in returns],
        "iqm": round(iqm, 3),
        "ci95": [round(end, 3) for end in confidence_interval(returns)],
        "regret": None if optimum is None else round(optimum - iqm, 3),
    }


def check_budget(steps: int | None, episodes: int) -> None:
    """Raise UsageError for too few steps or judged starts."""
    if steps is not None and steps < EVALUATIONS:
        raise UsageError(f"--steps: found {steps}, expected at least {EVALUATIONS}")
    if episodes < 1:
        raise UsageError(f"--eval-episodes: found {episodes}, expected at least 1")
