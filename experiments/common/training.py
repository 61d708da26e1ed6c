"""Training an agent and testing it: what the experiments about agents have in common.

A seed is one independent training. Evaluations during training start from the validation seeds of `reset`, the test at
the end from others, the test seeds, which nothing was tuned or selected on.

S seed, E evaluations, n starts.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import tyro

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS, Agent
from agents.common import pages
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from balancier import _
from envs.optimum import optimal_returns
from experiments.common.environments import check_env
from experiments.common.flags import UsageError, one_of
from experiments.common.hyperparams import DISCRETE, PENDULUM, SETTINGS, Kind, setting
from experiments.common.statistics import confidence_interval, first_crossing, interquartile_mean

AgentName = Annotated[str, one_of(AGENTS), tyro.conf.arg(metavar="|".join(AGENTS))]  # the type of a flag --agent

EVALUATIONS, STARTS = 20, 20  # of a training, and validation seeds of each
# Rough processor seconds for a thousand steps of ten seeds, for the forecast alone; OTHER_COST where none is known.
COST = {"sac": 2.4, "ppo": 0.13, "dqn": 1.3, "td3": 4.0, "a2c": 0.13, "reinforce": 0.09}
OTHER_COST, OTHER_STEPS = 1.0, 20_000
SLOWER: dict[Kind, float] = {"mlp": 1.0, "recurrent": 8.0, "cnn": 60.0}  # than with an MLP


def network_kind(agent: Agent) -> Kind:
    """What kind of network an agent has."""
    return "recurrent" if agent.encoder.state_size else "cnn" if agent.encoder.cnn is not None else "mlp"


def default_env(agent: str) -> str:
    """The pendulum that an agent learns on by default: with continuous torques, where it can take them."""
    for env in (PENDULUM, DISCRETE):
        if (agent, env, "mlp") in SETTINGS:
            return env
    try:
        AGENTS[agent](PENDULUM, seeds=1)
    except ValueError:
        return DISCRETE
    return PENDULUM


def budget(agent: str, env: str, steps: int | None, quick: bool, kind: Kind = "mlp") -> int:
    """Steps of each seed: those asked for, else those tuned for this environment, or for the agent's default one."""
    tuned, usual = setting(agent, env, kind), setting(agent, default_env(agent))
    return steps or ((tuned.quick_steps or usual.quick_steps) if quick else (tuned.steps or usual.steps)) or OTHER_STEPS


def forecast(agent: str, steps: int, seeds: int, kind: Kind = "mlp") -> float:
    """Processor seconds that training ours will take, roughly."""
    return COST.get(agent, OTHER_COST) * SLOWER[kind] * steps / 1000 * (0.3 + 0.07 * seeds)


def make(
    agent: str,
    env: str,
    seeds: Sequence[int],
    keywords: dict[str, Any],
    network: str = "mlp",
    given: Collection[str] = (),
) -> Agent:
    """A new agent; UsageError, in one line, if it cannot be. `given` are the hyper-parameters that --set gave."""
    check_env(env, keywords.get("env_kwargs") or {})
    try:
        return AGENTS[agent](env, seeds=seeds, **keywords)
    except (ValueError, gym.error.Error, ImportError) as error:
        words = " ".join(str(error).split())
        if given and words.partition(":")[0] in [field.name for field in fields(AGENTS[agent].Config)]:
            raise UsageError(f"--set: {words}") from None
        flag = "--env:" if network == "mlp" else f"--network: found {network}, with which"
        raise UsageError(f"{flag} {agent} cannot train on {env} ({words})") from None


@dataclass(frozen=True)
class Training:
    """What came of the training of an agent."""

    steps: np.ndarray  # (E,)
    seconds: np.ndarray  # (E,), of the processor until then, without evaluations
    curve: np.ndarray  # (E, S), mean return over the validation seeds
    test_returns: np.ndarray  # (S, n), return from each test seed
    train_seconds: float  # in all

    @property
    def returns(self) -> np.ndarray:
        """Mean test return of each seed, (S,)."""
        return self.test_returns.mean(1)

    def _repr_html_(self) -> str:
        """What a notebook shows: the numbers, the learning curve, and the test return of each seed."""
        (low, high), iqm = confidence_interval(self.returns), interquartile_mean(self.returns)
        tested = _("IQM {iqm:.1f}, 95 % interval {low:.1f} to {high:.1f}", iqm=iqm, low=low, high=high)
        trained = _("{seconds:.1f} s of the processor", seconds=self.train_seconds)
        head = _("Training of {count} seeds", count=len(self.returns))
        facts = pages.facts(head, {_("test return"): tested, _("training"): trained})
        middle = np.array([interquartile_mean(values) for values in self.curve])
        title = _("return from the validation starts, each seed and their IQM")
        drawn = pages.curves(title, self.steps, self.curve, middle)
        return facts + drawn + pages.bars(_("mean test return of each seed"), range(len(self.returns)), self.returns)


@dataclass
class EvaluationCallback:
    """Evaluates a model at even parts of its budget and keeps the time for that out of the training's.

    Call it after every step with the model (ours, or anything with SB3's `predict`) and its number of steps.
    `report(steps, returns)` is called after each evaluation with the steps since the last one and the returns (S,).
    It returns False, which ends a training, once nine of ten seeds were at a `threshold` in three evaluations in a row.
    """

    env: str
    total: int  # steps of each seed
    report: Callable[[int, np.ndarray], object] = lambda steps, returns: None
    evaluations: int = EVALUATIONS
    env_kwargs: dict[str, Any] | None = None
    start: int = 0  # steps that the model had when training began
    threshold: float | None = None
    earlier: int = 0  # evaluations of trainings before this one
    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    curve: list[np.ndarray] = field(default_factory=list)
    train_seconds: float = 0.0
    since: float = field(default_factory=time.process_time)

    def __call__(self, model: Any, num_timesteps: int) -> bool:
        number = len(self.steps) - self.earlier
        due = self.start + self.total * (number + 1) // self.evaluations
        if num_timesteps < due or number == self.evaluations:
            return True
        self.train_seconds += time.process_time() - self.since
        before = self.steps[-1] if number else self.start
        returns = evaluate(model, self.env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS), self.env_kwargs).mean(1)
        self.steps.append(num_timesteps)
        self.seconds.append(self.train_seconds)
        self.curve.append(returns)
        self.report(num_timesteps - before, returns)
        self.since = time.process_time()
        if self.threshold is None:
            return True
        return (first_crossing(np.array(self.curve), self.threshold) >= 0).mean() < 0.9

    def get_state(self) -> dict[str, Any]:
        """What has been measured, as JSON can hold it."""
        seconds = self.train_seconds + time.process_time() - self.since
        curve = [returns.tolist() for returns in self.curve]
        return {"steps": self.steps, "seconds": self.seconds, "curve": curve, "train_seconds": seconds}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self.steps, self.seconds, self.train_seconds = state["steps"], state["seconds"], state["train_seconds"]
        self.curve, self.since = [np.array(returns) for returns in state["curve"]], time.process_time()

    def finish(self, model: Any, episodes: int) -> Training:
        """The whole training, and its test on `episodes` starts."""
        train_seconds = self.train_seconds + time.process_time() - self.since
        test_returns = evaluate(model, self.env, range(TEST_SEED, TEST_SEED + episodes), self.env_kwargs)
        curve = np.array(self.curve)
        return Training(np.array(self.steps), np.array(self.seconds), curve, test_returns, train_seconds)


def train_agent(
    agent: Agent,
    env: str,
    steps: int,
    episodes: int,
    report: Callable[[int, np.ndarray], object],
    evaluations: int | None = None,
) -> Training:
    """Train an agent for `steps` more steps of each seed, evaluating on the way, and test it on `episodes` starts."""
    number = evaluations or EVALUATIONS
    callback = EvaluationCallback(env, steps, report, number, agent.env_kwargs, agent.num_timesteps)
    agent.learn(steps, lambda agent: callback(agent, agent.num_timesteps))
    return callback.finish(agent, episodes)


def mean_optimum(env: str, starts: Sequence[int], **env_kwargs: Any) -> float | None:
    """The best mean return that is possible from these starts; None where it is not known."""
    best = optimal_returns(env, starts, **env_kwargs)
    return None if best is None else float(best.mean())


def summary(returns: np.ndarray, optimum: float | None) -> dict[str, Any]:
    """Mean test returns of seeds (S,), their interquartile mean with its 95 % interval, and its regret.

    The regret is the distance from the optimum of the very same starts.
    """
    iqm = interquartile_mean(returns)
    return {
        "returns": returns,
        "iqm": iqm,
        "ci95": confidence_interval(returns),
        "regret": None if optimum is None else optimum - iqm,
    }
