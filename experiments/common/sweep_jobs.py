"""The jobs of a sweep that a file describes, and what has come of them.

A job is one block of seeds, which train together: the result of a seed does not depend on where its block trains, nor
on which blocks end first. With Optuna, settings are asked for in rounds. The trials of a round train at the same time,
and Optuna is told their results in their order, so that a sweep is the same however many workers it has.

S seed, E evaluations, n test starts.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import agents
from agents import Agent
from agents.common import checkpoint
from agents.evaluation import TEST_SEED
from experiments.common.environments import is_pendulum
from experiments.common.flags import UsageError
from experiments.common.parallel import INTERRUPTED, Failure, Job, run_all
from experiments.common.parts import PARTS, part_path
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.sweep_file import ENV, Plan, Setting, Space, keywords_of, rounded
from experiments.common.training import EvaluationCallback, Training, make, mean_optimum
from experiments.common.training import forecast as training_seconds

OPTIMA = 1  # pendulums at most whose optimum is computed, which takes a minute each
SAVE_SECONDS = 60.0  # between two checkpoints of a job
FIRST_PRUNED = 4  # trials that are complete before others are pruned


@dataclass(frozen=True, eq=False)
class Trial:
    """A setting of an agent in an environment."""

    number: int
    agent: str
    env: str
    setting: Setting

    @property
    def task(self) -> str:
        """What is to be learned: returns of different tasks are not compared."""
        words = [
            f"{name.removeprefix(ENV)} {value_words(x)}" for name, x in self.setting.items() if name.startswith(ENV)
        ]
        return ", ".join([self.env.rpartition(":")[2].removeprefix("balancier/"), *words])

    @property
    def name(self) -> str:
        return f"{self.agent} {self.env.rpartition(':')[2].removeprefix('balancier/')} {self.number:04d}"


@dataclass(frozen=True)
class Block:
    """What a worker needs to train a block of seeds."""

    plan: Plan
    agent: str
    env: str
    setting: Setting
    limits: tuple[float, ...]  # of the mean return, from the first evaluation on; below it the trial is pruned
    folder: str | None  # of the run's parts, where its checkpoint stands if the worker sees the folder

    def __repr__(self) -> str:
        return f"{self.agent} on {self.env} with {self.plan.fixed | self.setting}"


@dataclass(frozen=True)
class Row:
    """A trial, and its trainings that have finished."""

    trial: Trial
    trainings: dict[tuple[int, ...], Training]  # those seeds trained together
    steps: int  # that were planned
    optimum: float | None

    @property
    def seeds(self) -> list[int]:
        return [seed for seeds in self.trainings for seed in seeds]

    @property
    def returns(self) -> np.ndarray:
        """Mean test return of each seed, (S,)."""
        return np.concatenate([np.zeros(0), *(training.returns for training in self.trainings.values())])

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps (E,) and validation returns (E, S) of the evaluations that all seeds had."""
        trainings = list(self.trainings.values())
        length = min((len(training.steps) for training in trainings), default=0)
        steps = trainings[0].steps[:length] if trainings else np.zeros(0, int)
        return steps, np.concatenate([np.zeros((length, 0)), *(t.curve[:length] for t in trainings)], 1)

    @property
    def validation(self) -> float:
        """The interquartile mean of the last evaluation, on which settings are chosen; -inf where there is none."""
        curve = self.curve[1]
        return interquartile_mean(curve[-1]) if curve.size and np.isfinite(curve[-1]).all() else -math.inf

    @property
    def pruned(self) -> bool:
        return any(training.steps[-1] < self.steps for training in self.trainings.values())

    @property
    def label(self) -> str:
        setting = {name: x for name, x in self.trial.setting.items() if not name.startswith(ENV)}
        return ", ".join([self.trial.agent, *(f"{name} {value_words(x)}" for name, x in setting.items())])

    def result(self) -> dict[str, Any]:
        """The row as result.json has it: nothing in it depends on the machine."""
        returns, done = self.returns, len(self.seeds) > 0
        iqm = interquartile_mean(returns) if done else None
        steps, curve = self.curve
        return {
            "agent": self.trial.agent,
            "env": self.trial.env,
            "settings": self.trial.setting,
            "seeds": self.seeds,
            "returns": returns,
            "iqm": iqm,
            "ci95": confidence_interval(returns) if done else None,
            "optimum": self.optimum,
            "regret": None if self.optimum is None or iqm is None else self.optimum - iqm,
            "steps": int(steps[-1]) if len(steps) else 0,
            "validation": interquartile_mean(curve[-1]) if curve.size else None,
            "pruned": self.pruned,
        }


def value_words(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Findings:
    """A row for each trial: environment by environment, agent by agent, in the order of the settings."""

    plan: Plan
    rows: list[Row]
    failures: dict[Job, Failure]

    @property
    def interrupted(self) -> bool:
        return any(failure.message == INTERRUPTED for failure in self.failures.values())

    @property
    def tasks(self) -> list[str]:
        """Environments, each with those of its parameters that are tried."""
        return list(dict.fromkeys(row.trial.task for row in self.rows))

    def rows_of(self, task: str) -> list[Row]:
        """The rows of a task that have results."""
        return [row for row in self.rows if row.trial.task == task and row.seeds]

    def best(self, task: str, count: int) -> list[Row]:
        """The best setting of each agent, then the next best of all, by their validation returns; at most `count`."""
        ordered = sorted(self.rows_of(task), key=lambda row: -row.validation)
        first = {row.trial.agent: row for row in reversed(ordered)}
        chosen = [row for row in ordered if row is first[row.trial.agent]]
        return (chosen + [row for row in ordered if row not in chosen])[:count]


# On a worker


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test a block of seeds; where an earlier try left a checkpoint, from there."""
    block: Block = job.settings
    plan = block.plan
    network, keywords = keywords_of(plan, block.agent, block.env, block.setting)
    steps, env_kwargs = plan.steps_of(block.agent, block.env), keywords.get("env_kwargs")
    path = None if block.folder is None else part_path(Path(block.folder), f"{job.name} unfinished", job.seeds)
    folder = path.parent if path is not None and path.parent.is_dir() else None
    advance = lambda done, _: report(job.cost * done / steps)  # noqa: E731
    callback = EvaluationCallback(block.env, steps, advance, min(plan.evaluations, steps), env_kwargs)
    agent = load(path, block.env, callback) if path is not None and path.exists() else None
    agent = agent or make(block.agent, block.env, job.seeds, keywords, network)
    saved = time.monotonic()

    def step(agent: Agent) -> bool:
        nonlocal saved
        before = len(callback.curve)
        callback(agent, agent.num_timesteps)
        for index in range(before, len(callback.curve)):
            if index < len(block.limits) and not callback.curve[index].mean() >= block.limits[index]:
                return False
        if folder is not None and path is not None and time.monotonic() - saved > SAVE_SECONDS:
            agent.save(path, notes=callback.get_state())
            saved = time.monotonic()
        return True

    if agent.num_timesteps < steps:
        agent.learn(steps - agent.num_timesteps, step)
    training = callback.finish(agent, plan.eval_episodes)
    if folder is not None and path is not None:
        path.unlink(missing_ok=True)
    return training


def load(path: Path, env: str, callback: EvaluationCallback) -> Agent | None:
    """The agent that an earlier try saved, and what it had measured; None if the file is not sound."""
    try:
        agent = agents.load(path, env=env)
        callback.set_state(checkpoint.load(path)[1]["notes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return agent


# The whole


def measure(plan: Plan, processes: int) -> Findings:
    """Train every trial."""
    pairs = [(agent, env) for env in plan.envs for agent in plan.agents]
    if plan.method == "optuna":
        results, failures = search(plan, pairs, processes)
    else:
        trials = [Trial(i, *pair, setting) for pair in pairs for i, setting in enumerate(plan.settings())]
        results, failures = train_all(plan, trials, {}, processes)
    kwargs = {repr(env_kwargs(plan, trial)): env_kwargs(plan, trial) for trial in results}
    starts, rows = range(TEST_SEED, TEST_SEED + plan.eval_episodes), []
    known = {
        (env, key): mean_optimum(env, starts, **each) if is_pendulum(env) and len(kwargs) <= OPTIMA else None
        for env in plan.envs
        for key, each in kwargs.items()
    }
    for trial, trainings in results.items():
        steps, optimum = plan.steps_of(trial.agent, trial.env), known[trial.env, repr(env_kwargs(plan, trial))]
        rows.append(Row(trial, trainings, steps, optimum))
    places = {pair: i for i, pair in enumerate(pairs)}
    rows.sort(key=lambda row: (places[row.trial.agent, row.trial.env], row.trial.number))
    return Findings(plan, rows, failures)


def env_kwargs(plan: Plan, trial: Trial) -> dict[str, Any]:
    setting = plan.fixed | trial.setting
    return {name.removeprefix(ENV): value for name, value in setting.items() if name.startswith(ENV)}


def jobs_of(plan: Plan, trial: Trial, limits: tuple[float, ...]) -> list[Job]:
    """A job for each block of seeds."""
    folder = None if (parts := PARTS.get()) is None else str(parts.resolve())
    block = Block(plan, trial.agent, trial.env, trial.setting, limits, folder)
    steps = plan.steps_of(trial.agent, trial.env)
    return [
        Job(trial.name, seeds, training_seconds(trial.agent, steps, len(seeds)) + 1, block) for seeds in plan.blocks
    ]


Results = dict[Trial, dict[tuple[int, ...], Training]]


def train_all(
    plan: Plan, trials: list[Trial], limits: dict[tuple[str, str], tuple[float, ...]], processes: int
) -> tuple[Results, dict[Job, Failure]]:
    """The trainings of each trial, block by block, and the jobs that failed."""
    jobs = {trial: jobs_of(plan, trial, limits.get((trial.agent, trial.env), ())) for trial in trials}
    done = run_all(train, [job for each in jobs.values() for job in each], processes, [Training])
    results: Results = {
        trial: {job.seeds: result for job in each if isinstance(result := done[job], Training)}
        for trial, each in jobs.items()
    }
    return results, {job: result for job, result in done.items() if isinstance(result, Failure)}


def search(plan: Plan, pairs: list[tuple[str, str]], processes: int) -> tuple[Results, dict[Job, Failure]]:
    """Settings that Optuna asks for, in rounds, for each agent and environment alone.

    A trial is pruned at an evaluation where its mean return is below the median of the complete trials before its
    round. This is Optuna's MedianPruner, whose limits a worker is given with the job.
    """
    optuna = import_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed, at_once = plan.options["sampling_seed"], plan.options["trials_at_once"]
    studies = {
        pair: optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)) for pair in pairs
    }
    results: Results = {}
    failures: dict[Job, Failure] = {}
    limits: dict[tuple[str, str], tuple[float, ...]] = {}
    for first in range(0, plan.count, at_once):
        asked = {}
        for pair, study in studies.items():
            for number in range(first, min(first + at_once, plan.count)):
                trial = study.ask()
                setting = {name: suggest(trial, name, space) for name, space in plan.spaces.items()}
                asked[Trial(number, *pair, setting)] = trial
        found, failed = train_all(plan, list(asked), limits, processes)
        results, failures = results | found, failures | failed
        if any(failure.message == INTERRUPTED for failure in failed.values()):
            break
        for trial, trainings in found.items():
            row = row_of(plan, trial, trainings)
            study, state = studies[trial.agent, trial.env], optuna.trial.TrialState
            if len(trainings) < len(plan.blocks) or not np.isfinite(row.validation):
                study.tell(asked[trial], state=state.FAIL)
                continue
            for step, returns in zip(*row.curve, strict=True):
                asked[trial].report(float(returns.mean()), int(step))
            if row.pruned:
                study.tell(asked[trial], state=state.PRUNED)
            else:
                study.tell(asked[trial], row.validation)
        if plan.options["prune"]:
            limits = {
                pair: limits_of([row_of(plan, t, results[t]) for t in results if (t.agent, t.env) == pair])
                for pair in pairs
            }
    return results, failures


def row_of(plan: Plan, trial: Trial, trainings: dict[tuple[int, ...], Training]) -> Row:
    return Row(trial, trainings, plan.steps_of(trial.agent, trial.env), None)


def limits_of(rows: list[Row]) -> tuple[float, ...]:
    """The median mean return of the complete trials at each evaluation."""
    curves = [row.curve[1].mean(1) for row in rows if row.seeds and not row.pruned]
    if len(curves) < FIRST_PRUNED:
        return ()
    length = min(map(len, curves))
    return tuple(np.median([curve[:length] for curve in curves], 0).tolist())


def suggest(trial: Any, name: str, space: Space) -> Any:
    """A value of a field, as Optuna suggests it."""
    if space.values:
        return space.values[trial.suggest_categorical(name, range(len(space.values)))]
    if space.is_whole:
        return trial.suggest_int(name, int(space.low), int(space.high), log=space.log)
    return rounded(trial.suggest_float(name, space.low, space.high, log=space.log))


def import_optuna() -> Any:
    """Optuna; UsageError, in one line, where it is not installed."""
    try:
        import optuna
    except ImportError:
        expected = "expected it installed: python -m pip install 'balancier[optuna]'"
        raise UsageError(f"optuna: found a table [optuna] without the package, {expected}") from None
    return optuna
