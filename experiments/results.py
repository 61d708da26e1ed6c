"""The table of results: every agent in the environments that it is tuned for, beside the returns that
Stable-Baselines3 (SB3) publishes. The figure shows how each agent learns.

A seed is one independent training; ours are ten of each. They are evaluated on validation starts during training and
tested at the end on other starts, on which nothing was tuned. The interquartile mean (IQM) is the mean of the middle
half of the seeds. The regret is its distance from the return of the optimal controller, where that is known.

The published numbers are those of the zoo's benchmark.md (DLR-RM/rl-baselines3-zoo at commit 0088472b): one trained
agent each, mean and standard deviation over its episodes. Nobody published one for a pendulum that shows only its
angle or its pictures, or for `Recall-v0`.
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

import envs  # noqa: F401  registers the pendulum
from agents.evaluation import TEST_SEED
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import DISCRETE, NETWORKS, PENDULUM, setting, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric, processor
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import Training, make, mean_optimum, summary, train_agent
from experiments.common.training import forecast as training_seconds


@dataclass(frozen=True)
class Row:
    """One line of the table; `steps` where they are not those that were tuned."""

    agent: str
    env: str
    network: str = "mlp"
    observation: str | None = None
    steps: int | None = None
    max_seeds: int = 1000
    published: tuple[float, float, int] | None = None  # SB3's mean return, its standard deviation, and steps

    @property
    def name(self) -> str:
        details = [] if self.network == "mlp" else [self.network, *filter(None, [self.observation])]
        suffix = f" ({', '.join(details)})" if details else ""
        return f"{self.agent.upper()} on {self.env.removeprefix('balancier/')}{suffix}"

    @property
    def names(self) -> set[str | None]:
        """All that `--only` takes for this line."""
        return {self.name, self.agent, self.env, self.env.removeprefix("balancier/"), self.network, self.observation}

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
    Row("dqn", DISCRETE, "cnn", "pixels", max_seeds=3),
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
# Packages that an environment needs; not Gymnasium's extras, which bring a second pygame.
NEEDED = {"LunarLander-v3": "box2d", "InvertedPendulum-v5": "mujoco imageio"}


@dataclass(frozen=True)
class Results(ParallelFlags):
    """Every agent in the environments that it is tuned for, beside the returns that Stable-Baselines3 publishes."""

    only: tuple[str, ...] = ()
    """Lines whose agent, environment, network, observation or whole name ("SAC on Pendulum-v0") is one of these
    (default: all; --quick: ppo CartPole-v1)."""
    eval_episodes: Annotated[int, at_least(1)] = 200
    """Episodes of the test of each seed."""


@dataclass(frozen=True)
class Findings:
    flags: Results
    trainings: dict[Row, Training]
    optima: dict[str, float | None]  # environment -> mean return of the optimal controller; None where not known

    @property
    def lines(self) -> list[dict[str, Any]]:
        """A line of the table for each training, as result.json has it."""
        return [line(row, training, self.optima[row.env]) for row, training in self.trainings.items()]


def line(row: Row, training: Training, optimum: float | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "steps": int(training.steps[-1]),
        "seconds": training.train_seconds,
        "published": row.published,
        **summary(training.returns, optimum),
    }


# Training


def chosen(flags: Results) -> list[Row]:
    """The lines asked for; UsageError where a name of `--only` fits none of them."""
    every = {name for row in ROWS for name in row.names if name}
    for name in flags.only:
        if name not in every:
            short = sorted(every - {PENDULUM, DISCRETE, *(row.name for row in ROWS)})
            raise UsageError(f"--only: found {name!r}, expected a line's whole name or some of {', '.join(short)}")
    if flags.quick and not flags.only:
        return [row for row in ROWS if (row.agent, row.env) == ("ppo", "CartPole-v1")]
    return [row for row in ROWS if not flags.only or row.names.intersection(flags.only)]


@cache
def is_installed(env: str) -> bool:
    """Whether the packages that an environment needs are installed."""
    try:
        gym.make(env).close()
    except (ImportError, gym.error.DependencyNotInstalled):
        return False
    return True


def plan(flags: Results) -> list[Job]:
    """A job for each line whose environment is installed, in the order of the table."""
    jobs = []
    for row in chosen(flags):
        if is_installed(row.env):
            seeds = tuple(flags.all_seeds[: row.max_seeds])
            cost = training_seconds(row.agent, row.budget, len(seeds), NETWORKS[row.network][0])
            jobs.append(Job(row.name, seeds, cost, (row, flags.eval_episodes)))
    return jobs


def missing(flags: Results) -> list[str]:
    """What the environments that are not installed need."""
    absent = sorted({row.env for row in chosen(flags) if not is_installed(row.env)})
    return [f"{env} is left out, it needs: python -m pip install {NEEDED.get(env, 'more')}" for env in absent]


def check(flags: Results) -> None:
    if not plan(flags):
        raise UsageError(
            f"--only: found nothing that is installed, expected an environment ({'; '.join(missing(flags))})"
        )


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test the agent of one line, all its seeds."""
    row, episodes = job.settings
    keywords = tuned(row.agent, row.env, row.network)
    if row.observation:
        keywords |= {"env_kwargs": {"observation": row.observation}}
    agent = make(row.agent, row.env, job.seeds, keywords)
    return train_agent(agent, row.env, row.budget, episodes, lambda steps, _: report(job.cost * steps / row.budget))


def measure(flags: Results) -> Findings:
    jobs = plan(flags)
    trainings = run_parallel(train, jobs, flags.processes)
    rows, starts = [job.settings[0] for job in jobs], range(TEST_SEED, TEST_SEED + flags.eval_episodes)
    optima = {env: mean_optimum(env, starts) for env in dict.fromkeys(row.env for row in rows)}
    return Findings(flags, dict(zip(rows, trainings, strict=True)), optima)


# Output


def forecast(flags: Results) -> str:
    jobs = plan(flags)
    seconds, lines = duration(wall_seconds(jobs, flags.processes)), f"{len(jobs)} line{'s' if len(jobs) > 1 else ''}"
    return "\n".join([f"{lines}, about {seconds} with {flags.processes} processes", *missing(flags)])


def metrics(findings: Findings) -> Iterable[Metric]:
    for row, training in findings.trainings.items():
        for step, returns in zip(training.steps, training.curve, strict=True):
            yield int(step), f"{row.name}/return", returns, findings.flags.all_seeds[: row.max_seeds]


def result(findings: Findings) -> dict[str, Any]:
    return {"lines": findings.lines}


def cells(line: dict[str, Any]) -> list[str]:
    """A line of the table in words."""
    low, high = line["ci95"]
    published = "-"
    if line["published"]:
        mean, std, steps = line["published"]
        published = f"{mean:.1f} ± {std:.1f} in {steps:,}"
    return [
        line["name"],
        str(len(line["returns"])),
        f"{line['steps']:,}",
        f"{line['seconds']:.0f}",
        f"{line['iqm']:.1f} [{low:.1f}, {high:.1f}]",
        f"{min(line['returns']):.1f}",
        "-" if line["regret"] is None else f"{line['regret']:.1f}",
        published,
    ]


def table(findings: Findings) -> Table:
    names = (
        "agent and environment",
        "seeds",
        "steps",
        "seconds",
        "IQM [95 %]",
        "worst seed",
        "regret",
        "SB3 published",
    )
    table = Table(*names)
    for line in findings.lines:
        table.add_row(*cells(line))
    return table


def page(findings: Findings) -> str:
    """The table as a page of its own, in Markdown."""
    flags = findings.flags
    command = shlex.join(["balancier", "results", *(["--only", *flags.only] if flags.only else [])])
    header = ["agent and environment", "seeds", "steps of each", "seconds, all seeds"]
    header += [f"IQM of {flags.eval_episodes} starts [95 %]", "worst seed", "regret", "SB3's zoo publishes"]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *map(cells, findings.lines)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"""# Results

`{command}` made this page, with one thread for each line, on {processor()}. Seconds are those of the processor, for
training all seeds of a line, without evaluations. A seed is one independent training. Its test return is the mean over
the test starts; nothing was tuned on them, and the evaluations during training have validation starts of their own. The
IQM is the interquartile mean of the test returns, the mean of the middle half of the seeds, with its bootstrapped 95 %
interval. The regret is its distance from the optimum of the same starts, where dynamic programming knows it. The zoo
publishes the mean and standard deviation over the episodes of one trained agent each, from other starts.

{table}
"""


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"results": plot_results(findings)}


def plot_results(findings: Findings) -> Figure:
    """Learning curves, a panel each: the seeds as thin lines, their interquartile mean, and the published return."""
    count = len(findings.trainings)
    columns = min(4, count)
    figure, panels = plotting.new(columns, -(-count // columns), width=5.2, height=3.9)
    for axes, (row, training) in zip(panels, findings.trainings.items(), strict=False):
        axes.plot(training.steps, training.curve, color=plotting.BLUE, alpha=0.3, linewidth=1)
        iqm = [interquartile_mean(returns) for returns in training.curve]
        low, high = np.array([confidence_interval(returns) for returns in training.curve]).T
        plotting.band(axes, training.steps.tolist(), low, iqm, high, "IQM of seeds", plotting.BLUE)
        if row.published:
            axes.axhline(row.published[0], color=plotting.ORANGE, linestyle="--", label="SB3, published")
        axes.set_title(row.name, fontsize=13)
        axes.ticklabel_format(axis="x", scilimits=(3, 3), useMathText=True)
    for axes in panels[count:]:
        axes.set_visible(False)
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    figure.supxlabel("steps of each seed")
    figure.supylabel("mean validation return")
    return figure


LESSON = Lesson(
    flags=Results,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="read results.md in that folder, the same table as a page",
    metrics=metrics,
    check=check,
    files=lambda findings: {"results.md": page(findings)},
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("results", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
