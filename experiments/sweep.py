"""A grid of hyper-parameters, trained as replicas of one run (6.1). Give several values of one or two hyper-parameters,
such as --learning-rate 0.0003 0.001 0.003: each combination of the values is a point of the grid, with --seeds seeds.
Without any, the learning rate is varied around the tuned one. The figure shows the learning curve and the test returns
of every point. With a file, balancier sweep FILE.toml trains several agents in several environments, as jobs on all
cores or on a cluster; docs/sweeps.md describes the file.

A seed is one independent training. Seeds are one axis of every tensor, and a learning rate or a discount may be one
number a seed, so all points times all seeds are a single agent. No two points share a seed, and each replica learns
exactly as it would in a run of its own.

The interquartile mean (IQM) is the mean of the middle half of the seeds: neither the luckiest nor the unluckiest seed
decides. The regret is the best mean return that is possible from the same starts, minus the IQM.

E evaluations, V values of the first hyper-parameter, W values of the second (1 where only one differs), S seeds of a
point.
"""

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from agents import AGENTS
from agents.common.config import hyperparameter
from experiments.common.command import launch
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.parallel import duration, wall_seconds
from experiments.common.training import (
    EVALUATIONS,
    AgentName,
    Training,
    default_env,
    summary,
)

FACTORS = 0.1, 1.0, 10.0  # of the tuned learning rate, where no values are given
Point = dict[str, float]  # one value of each hyper-parameter given
Grid = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Sweep(ParallelFlags):
    """A grid of hyper-parameters as replicas of one run; give several values of one or two of them, or none."""

    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.toml")] = None
    """A sweep in TOML: agents, environments, settings and seeds, as jobs (docs/sweeps.md)."""
    seeds: Annotated[int, at_least(1)] = 5
    """Seeds of every point of the grid; no two points share one."""
    agent: AgentName = "sac"
    """Which algorithm."""
    env: str | None = None
    """A Gymnasium id (default: the pendulum; for dqn the one with discrete torques)."""
    steps: Annotated[int, at_least(EVALUATIONS)] | None = None
    """Steps of each replica (default: tuned for the environment)."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each replica."""

    @property
    def env_id(self) -> str:
        return self.env or default_env(self.agent)


@dataclass(frozen=True)
class Findings:
    """Numbers of an agent whose replicas are the points of the grid, times the seeds."""

    agent: str
    env: str
    grid: Grid
    seeds: tuple[int, ...]  # of all replicas; the seeds of a point are neighbors
    training: Training
    optimum: float | None  # best mean return from the test seeds; None where it is not known
    validation_optimum: float | None  # from the validation seeds

    @property
    def parts(self) -> list[tuple[Point, slice]]:
        """Every point of the grid, and its replicas."""
        points = points_of(self.grid)
        count = len(self.seeds) // len(points)
        return [(point, slice(i * count, (i + 1) * count)) for i, point in enumerate(points)]

    @property
    def rows(self) -> list[dict[str, Any]]:
        returns = self.training.returns
        return [
            {**point, "seeds": self.seeds[part], **summary(returns[part], self.optimum)} for point, part in self.parts
        ]


# The grid


def varied() -> dict[str, list[str]]:
    """The hyper-parameters that may differ from seed to seed, and the agents that have each of them."""
    agents: dict[str, list[str]] = {}
    for name, agent in AGENTS.items():
        for field in dataclasses.fields(agent.Config):
            if hyperparameter(agent.Config, field.name)[1]:
                agents.setdefault(field.name, []).append(name)
    return agents


def with_grid() -> type[Sweep]:
    """The flags above and one more for every hyper-parameter that may differ from seed to seed."""
    fields = []
    for name, agents in varied().items():
        text = f"Values of {name.replace('_', ' ')} to try, a number or several ({', '.join(agents)})."
        kind = (
            f"workers of {flags.scheduler}" if flags.scheduler != "local" else "processes" if workers > 1 else "process"
        )
    return f"{size}, about {duration(wall_seconds(jobs, workers))} with {workers} {kind}"


def main(argv: Sequence[str] | None = None) -> int:
    return launch("sweep", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
