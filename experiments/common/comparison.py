"""What a comparison of our agents with Stable-Baselines3's (SB3's) has found: rows of a table, and pairs of them.

S seed, E evaluations, n test starts.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from agents.common.make_env import find_spec
from agents.evaluation import TEST_SEED
from experiments.common.parallel import INTERRUPTED, Failure, Job
from experiments.common.runs import as_csv
from experiments.common.statistics import (
    first_crossing,
    performance_profile,
    permutation_p_value,
    probability_of_improvement,
)
from experiments.common.training import Training, summary

SIGNIFICANT = 0.05  # p-value below which one library is said to have the higher return
THRESHOLDS = {"balancier/Pendulum-v0": -200.0, "balancier/PendulumDiscrete-v0": -200.0, "Pendulum-v1": -200.0}
IMPROVEMENT = "agent", "speedup", "probability_of_improvement", "p_value", "higher_return"  # of a pair
LIBRARIES = {"balancier": "Balancier", "sb3": "Stable-Baselines3"}


@dataclass(frozen=True)
class Entry:
    """An agent of one library in one environment, with its budget."""

    package: Literal["balancier", "sb3"]
    agent: str
    env: str
    steps: int  # of each seed
    settings: Literal["own", "zoo"]  # hyper-parameters of ours
    episodes: int  # of the test

    @property
    def starts(self) -> range:
        return range(TEST_SEED, TEST_SEED + self.episodes)

    @property
    def env_name(self) -> str:
        return self.env.rpartition(":")[2].removeprefix("balancier/")

    @property
    def threshold(self) -> float | None:
        """The return that counts as solved: -200 on the pendulum, elsewhere Gymnasium's reward threshold."""
        return THRESHOLDS.get(self.env.rpartition(":")[2], find_spec(self.env).reward_threshold)


@dataclass(frozen=True)
class Row:
    """All seeds of an entry: a row of the table."""

    entry: Entry
    trainings: dict[tuple[int, ...], Training]  # those seeds trained in one process
    optimal: np.ndarray | None  # (n,), return of the optimal controller from each test start; None where not known

    @property
    def seeds(self) -> list[int]:
        return [seed for seeds in self.trainings for seed in seeds]

    @property
    def test_returns(self) -> np.ndarray:
        """(S, n)."""
        return np.concatenate([training.test_returns for training in self.trainings.values()])

    @property
    def returns(self) -> np.ndarray:
        """Mean test return of each seed, (S,)."""
        return self.test_returns.mean(1)

    @property
    def optimum(self) -> float | None:
        return None if self.optimal is None else float(self.optimal.mean())

    @property
    def curves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps (E,), mean seconds (E,) and returns (E, S) of the evaluations that all seeds had."""
        trainings = list(self.trainings.values())
        length = min(len(training.steps) for training in trainings)
        seconds = np.mean([training.seconds[:length] for training in trainings], 0)
        return trainings[0].steps[:length], seconds, np.concatenate([t.curve[:length] for t in trainings], 1)

    def to_threshold(self, unit: Literal["steps", "seconds"]) -> list[Any]:
        """Steps or seconds until each seed reached the threshold; None where it never did."""
        if self.entry.threshold is None:
            return [None] * len(self.seeds)
        values = []
        for training in self.trainings.values():
            axis = getattr(training, unit)
            indices = first_crossing(training.curve, self.entry.threshold)
            values += [None if index < 0 else axis[index] for index in indices]
        return values

    @property
    def train_seconds(self) -> list[float]:
        """Of each process: of all seeds together (ours), or of each (SB3)."""
        return [training.train_seconds for training in self.trainings.values()]

    @property
    def seconds_per_seed(self) -> float:
        return sum(self.train_seconds) / len(self.seeds)

    def result(self) -> dict[str, Any]:
        entry, ours = self.entry, self.entry.package == "balancier"
        return {
            "library": entry.package,
            "agent": entry.agent,
            "env": entry.env,
            "seeds": len(self.seeds),
            "steps": entry.steps,
            "train_seconds": self.train_seconds[0] if ours else self.train_seconds,
            **summary(self.returns, self.optimum),
            "optimum": self.optimum,
            "threshold": entry.threshold,
            "steps_to_threshold": self.to_threshold("steps"),
            "seconds_to_threshold": self.to_threshold("seconds"),
        }


@dataclass(frozen=True)
class Reference:
    """A classical controller, or the optimum, in one environment: it learns nothing, and is tested as all others."""

    name: str
    env: str
    returns: np.ndarray  # (n,), from each test start
    optimal: np.ndarray | None  # (n,), of the optimal controller; None where not known

    def result(self) -> dict[str, Any]:
        mean = float(self.returns.mean())
        regret = None if self.optimal is None else float(self.optimal.mean()) - mean
        return {"controller": self.name, "env": self.env, "return": mean, "regret": regret}


@dataclass(frozen=True)
class Findings:
    """One row for each agent and library: agent by agent, ours first. Trainings that failed are in no row."""

    rows: list[Row]
    failures: dict[Job, Failure] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        return any(failure.message == INTERRUPTED for failure in self.failures.values())

    @property
    def agents(self) -> list[str]:
        return list(dict.fromkeys(row.entry.agent for row in self.rows))

    def references_in(self, env: str) -> list[Reference]:
        return [reference for reference in self.references if reference.env == env]

    def rows_of(self, agent: str) -> list[Row]:
        return [row for row in self.rows if row.entry.agent == agent]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """Ours beside SB3's, for each agent that both have."""
        return [pair(*rows) for rows in map(self.rows_of, self.agents) if len(rows) == 2]


def files(findings: Findings) -> dict[str, str]:
    """The numbers of the table and of the figures as CSV; those of the learning curves are in metrics.csv."""
    rows: list[list[Any]] = []
    profiles: list[list[Any]] = []
    for agent in findings.agents:
        both = findings.rows_of(agent)
        thresholds, shares = performance_profile([row.returns for row in both])
        for row, share in zip(both, shares.T, strict=True):
            numbers, name = row.result(), (row.entry.agent, row.entry.package)
            of_all = numbers["iqm"], *numbers["ci95"], numbers["regret"]
            each = zip(row.seeds, row.returns, row.to_threshold("steps"), row.to_threshold("seconds"), strict=True)
            rows += [[*name, row.entry.env, *values, *of_all] for values in each]
            profiles += [[*name, *point] for point in zip(thresholds, share, strict=True)]
    names = ["agent", "library", "env", "seed", "return", "steps_to_threshold", "seconds_to_threshold"]
    pairs = [[pair[name] for name in IMPROVEMENT] for pair in findings.pairs]
    return {
        "rows.csv": as_csv([*names, "iqm", "low", "high", "regret"], rows),
        "profiles.csv": as_csv(["agent", "library", "threshold", "share"], profiles),
        "improvement.csv": as_csv(IMPROVEMENT, pairs),
    }


def pair(ours: Row, theirs: Row) -> dict[str, Any]:
    """How much faster a seed of ours trains for as many steps, and who has the higher return in the end.

    The speed-up is the ratio of the processor seconds that a step of a seed costs, SB3's over ours. "undecided" is the
    return that is higher if chance alone would set the seeds as far apart in one of twenty cases, or more often.
    """
    improvement = probability_of_improvement(ours.returns, theirs.returns)
    p_value = permutation_p_value(ours.returns, theirs.returns)
    better = "balancier" if improvement > 0.5 else "sb3"
    return {
        "agent": ours.entry.agent,
        "speedup": (theirs.seconds_per_seed / theirs.entry.steps) / (ours.seconds_per_seed / ours.entry.steps),
        "probability_of_improvement": improvement,
        "p_value": p_value,
        "higher_return": better if p_value < SIGNIFICANT else "undecided",
    }


def median(values: list[Any]) -> float | None:
    """The median, with "never" (None) above every number."""
    middle = float(np.median([np.inf if value is None else value for value in values]))
    return middle if np.isfinite(middle) else None
