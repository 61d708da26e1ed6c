"""Every agent in the environments it was tuned for, beside the returns that Stable-Baselines3 publishes.

Ours are ten seeds of each, tested after training on starts that training never saw. A seed is one independent training.
The published numbers are those of the zoo's benchmark.md (DLR-RM/rl-baselines3-zoo at commit 0088472b): one trained
agent each, mean and standard deviation over its episodes. Nobody published one for a pendulum's angle without its
speed, its pictures, or `Recall-v0`.
"""

import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from agents.evaluation import TEST_SEED
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.flags import Flags, UsageError, at_least
from experiments.common.hyperparams import DISCRETE, NETWORKS, PENDULUM, setting, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric, console, machine
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import Training, make, mean_optimum, summary, train_agent
from experiments.common.training import forecast as training_seconds


@dataclass(frozen=True)
class Row:
    """One line of the table; `steps` where they are not those of the agent's tuned settings."""

    agent: str
    env: str
    network: str = "mlp"
    observation: str | None = None
    steps: int | None = None
    most_seeds: int = 1000
    published: tuple[float, float, int] | None = None  # SB3's mean return, its standard deviation, and steps

    @property
    def name(self) -> str:
        details = "" if self.network == "mlp" else f" ({self.network}, {self.observation or 'memory'})"
        return f"{self.agent.upper()} on {self.env.removeprefix('balancier/')}{details}"

    @property
    def labels(self) -> set[str]:
        """All that `--only` finds it by."""
        labels = self.name, self.agent, self.env, self.env.removeprefix("balancier/"), self.network, self.observation
        return {label for label in labels if label}

    @property
    def budget(self) -> int:
        return self.steps or setting(self.agent, self.env, NETWORKS[self.network][0]).steps


ROWS = [
    Row("sac", PENDULUM, steps=10_000, published=(-156.995, 88.714, 20_000)),
    Row("td3", PENDULUM, steps=10_000, published=(-151.855, 90.227, 20_000)),
    Row("ppo", PENDULUM, steps=100_000, published=(-172.225, 104.159, 100_000)),
    Row("a2c", PENDULUM, steps=1_000_000, published=(-162.965, 103.210, 1_000_000)),
    Row("reinforce", PENDULUM, steps=500_000),
    Row("dqn", DISCRETE, steps=15_000),
    Row("sac", PENDULUM, "gru", "angle"),
    Row("dqn", DISCRETE, "cnn", "pixels", most_seeds=3),
    Row("ppo", "balancier/Recall-v0"),
    Row("ppo", "balancier/Recall-v0", "gru"),
    Row("ppo", "balancier/Recall-v0", "lstm"),
    Row("ppo", "CartPole-v1", published=(500.0, 0.0, 100_000)),
    Row("a2c", "CartPole-v1", published=(500.0, 0.0, 500_000)),
    Row("dqn", "CartPole-v1", published=(500.0, 0.0, 50_000)),
    Row("dqn", "Acrobot-v1", published=(-76.639, 11.752, 100_000)),
    Row("dqn", "MountainCar-v0", published=(-100.849, 9.925, 120_000)),
    Row("sac", "MountainCarContinuous-v0", published=(94.679, 1.134, 50_000)),
    Row("dqn", "LunarLander-v3", published=(154.382, 79.241, 100_000)),  # of LunarLander-v2
    Row("sac", "InvertedPendulum-v5"),
]
NEEDED = {"LunarLander-v3": "box2d", "InvertedPendulum-v5": "mujoco imageio"}  # not extras, which bring a second pygame


@dataclass(frozen=True)
class Results(Flags):
    """Every agent in the environments it was tuned for, beside the returns that Stable-Baselines3 publishes."""

    only: tuple[str, ...] = ()
    """Lines whose agent, environment, network, observation or whole name ("SAC on Pendulum-v0") is one of these
    (default: all; --quick: ppo CartPole-v1)."""
    eval_episodes: Annotated[int, at_least(1)] = 200
    """Episodes of the test of each seed."""
    jobs: Annotated[int, at_least(1)] | None = None
    """Processes at the same time, each on one thread (default: the number of cores)."""


@dataclass(frozen=True)
class Findings:
    flags: Results
    trainings: dict[Row, Training]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The numbers of every line; regret only where the optimum is that of an agent that sees all."""
        starts = range(TEST_SEED, TEST_SEED + self.flags.eval_episodes)
        return [
            {
                "name": row.name,
                "steps": int(training.steps[-1]),
                "seconds": training.train_seconds,
                "published": row.published,
                **summary(training.returns, mean_optimum(row.env, starts)),
            }
            for row, training in self.trainings.items()
        ]


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test all seeds of one line, in a process of its own."""
    row, episodes = job.settings
    keywords = tuned(row.agent, row.env, row.network)
    if row.observation:
        keywords |= {"env_kwargs": {"observation": row.observation}}
    agent = make(row.agent, row.env, job.seeds, keywords)
    return train_agent(agent, row.env, row.budget, episodes, lambda done, _: report(job.cost * done / row.budget))


def selected(flags: Results) -> list[Row]:
    """The lines asked for; UsageError where a name of `--only` fits none of them."""
    for name in flags.only:
        if not any(name in row.labels for row in ROWS):
            labels = set().union(*(row.labels for row in ROWS)) - {PENDULUM, DISCRETE, *(row.name for row in ROWS)}
            expected = f"a line's whole name or some of {', '.join(sorted(labels))}"
            raise UsageError(f"--only: found {name!r}, expected {expected}")
    if flags.quick and not flags.only:
        return [row for row in ROWS if (row.agent, row.env) == ("ppo", "CartPole-v1")]
    return [row for row in ROWS if not flags.only or row.labels.intersection(flags.only)]


@cache
def is_installed(env: str) -> bool:
    """Whether the packages that an environment needs are installed."""
    try:
        gym.make(env).close()
    except (ImportError, gym.error.DependencyNotInstalled):
        return False
    return True


def installed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if is_installed(row.env)]


def check(flags: Results) -> None:
    rows = selected(flags)
    for env in sorted({row.env for row in rows} - {row.env for row in installed(rows)}):
        console.print(f"results: {env} is left out, it needs: python -m pip install {NEEDED.get(env, 'more')}")
    if not installed(rows):
        raise UsageError("--only: found nothing that is installed, expected at least one environment")


def plan(flags: Results) -> list[Job]:
    """One job for each line."""
    jobs = []
    for row in installed(selected(flags)):
        seeds = tuple(flags.all_seeds[: row.most_seeds])
        cost = training_seconds(row.agent, row.budget, len(seeds), NETWORKS[row.network][0])
        jobs.append(Job(row.name, seeds, cost, (row, flags.eval_episodes)))
    return jobs


def forecast(flags: Results) -> str:
    jobs = plan(flags)
    return f"{len(jobs)} lines, about {duration(wall_seconds(jobs, flags.jobs))}"


def measure(flags: Results) -> Findings:
    jobs = plan(flags)
    trainings = run_parallel(train, jobs, flags.jobs)
    return Findings(flags, {job.settings[0]: training for job, training in zip(jobs, trainings, strict=True)})


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for row, training in findings.trainings.items():
        for step, returns in zip(training.steps, training.curve, strict=True):
            yield int(step), f"{row.name}/return", returns, findings.flags.all_seeds[: row.most_seeds]


def result(findings: Findings) -> dict[str, Any]:
    return {"lines": findings.lines}


def table(findings: Findings) -> Table:
    columns = "agent and environment", "seeds", "steps", "seconds", "IQM [95 %]", "worst seed", "regret"
    table = Table(*columns, "SB3 published")
    for line in findings.lines:
        table.add_row(*cells(line))
    return table


def cells(line: dict[str, Any]) -> list[str]:
    """A line of the table as text."""
    low, high = line["ci95"]
    regret = "-" if line["regret"] is None else f"{line['regret']:.1f}"
    published = "-"
    if line["published"]:
        mean, std, steps = line["published"]
        published = f"{mean:.1f} ± {std:.1f} in {steps:,}"
    numbers = [f"{line['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{min(line['returns']):.1f}", regret, published]
    return [line["name"], str(len(line["returns"])), f"{line['steps']:,}", f"{line['seconds']:.0f}", *numbers]


def pages(findings: Findings) -> dict[str, str]:
    """The table as a page of its own."""
    flags = findings.flags
    command = shlex.join(["balancier", "results", *(["--only", *flags.only] if flags.only else [])])
    header = ["agent and environment", "seeds", "steps of each", "seconds, all seeds"]
    header += [f"IQM of {flags.eval_episodes} starts [95 %]", "worst seed", "regret", "SB3's zoo publishes"]
    rows = [header, ["---"] + ["---:"] * (len(header) - 1), *map(cells, findings.lines)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    page = f"""# Results

Made by `{command}` on one thread a line of {machine()["processor"]}. Seconds are the processor's, for training all
seeds of a line. A seed is one independent training, and its test return is the mean over starts that training never
saw. IQM is the interquartile mean over seeds, the mean of their middle half, with its bootstrapped 95 % interval.
Regret is the optimum less the IQM, where dynamic programming knows the optimum. The zoo publishes one trained agent
each, mean and standard deviation over its episodes, from other starts.

{table}
"""
    return {"results.md": page}


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"results": plot_results(findings.trainings)}


def plot_results(trainings: dict[Row, Training]) -> Figure:
    """Learning curves, a panel each: the seeds as thin lines, their interquartile mean, and the zoo's return."""
    columns = min(4, len(trainings))
    figure, panels = plotting.new(columns, -(-len(trainings) // columns), width=5.2, height=3.9)
    for axes, (row, training) in zip(panels, trainings.items(), strict=False):
        steps, curve = training.steps.tolist(), training.curve
        axes.plot(steps, curve, color=plotting.BLUE, alpha=0.3, linewidth=1)
        low, high = np.array([confidence_interval(returns) for returns in curve]).T
        iqm = [interquartile_mean(returns) for returns in curve]
        plotting.band(axes, steps, low, iqm, high, "IQM of seeds", plotting.BLUE)
        if row.published:
            axes.axhline(row.published[0], color=plotting.ORANGE, linestyle="--", label="SB3, published")
        axes.set_title(row.name, fontsize=13)
        axes.ticklabel_format(axis="x", scilimits=(3, 3), useMathText=True)
    for axes in panels[len(trainings) :]:
        axes.set_visible(False)
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    figure.supxlabel("steps of each seed")
    figure.supylabel("mean return of 20 validation episodes")
    return figure


LESSON = Lesson(
    flags=Results,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="read the same table as a page: results.md in that folder",
    metrics=metrics,
    check=check,
    pages=pages,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("results", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
