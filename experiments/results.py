"""Every agent in the worlds it has settings for, beside what Stable-Baselines3 publishes: the table of results.

Ours are ten seeds of each, judged after training on starts that training never saw. The published numbers are those of
the zoo's benchmark.md (DLR-RM/rl-baselines3-zoo at commit 0088472b): one trained agent each, mean and standard
deviation over its episodes. Nobody published one for a pendulum's angle alone, its pictures, or `Recall-v0`.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents.evaluation import TEST_SEED
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.hyperparams import NETWORKS, setting, settings
from experiments.common.parallel import duration, run_parallel
from experiments.common.runs import Run, atomic, console
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import Learned, forecast, learn, make, mean_optimum, summary

PENDULUM, TORQUES = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"


@dataclass(frozen=True)
class Row:
    """One line of the table; `steps` where they are not those of the agent's settings."""

    agent: str
    env: str
    network: str = "mlp"
    observation: str | None = None
    steps: int | None = None
    most_seeds: int = 1000
    published: tuple[float, float, int] | None = None  # SB3's mean return, its standard deviation, and steps

    @property
    def name(self) -> str:
        seen = "" if self.network == "mlp" else f" ({self.network}, {self.observation or 'memory'})"
        return f"{self.agent.upper()} on {self.env.removeprefix('balancier/')}{seen}"

    @property
    def budget(self) -> int:
        tuned = setting(self.agent, self.env, NETWORKS[self.network][0])
        return self.steps or (tuned.steps if tuned else 0)


ROWS = [
    Row("sac", PENDULUM, steps=10_000, published=(-156.995, 88.714, 20_000)),
    Row("td3", PENDULUM, steps=10_000, published=(-151.855, 90.227, 20_000)),
    Row("ppo", PENDULUM, steps=100_000, published=(-172.225, 104.159, 100_000)),
    Row("a2c", PENDULUM, steps=1_000_000, published=(-162.965, 103.210, 1_000_000)),
    Row("reinforce", PENDULUM, steps=500_000),
    Row("dqn", TORQUES, steps=15_000),
    Row("sac", PENDULUM, "gru", "angle"),
    Row("dqn", TORQUES, "cnn", "pixels", most_seeds=3),
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
    """Every agent in the worlds it has settings for, beside what Stable-Baselines3 publishes."""

    only: tuple[str, ...] = ()
    """Lines whose agent, world, network, observation or whole name ("SAC on Pendulum-v0") is one of these
    (default: all; --quick: ppo CartPole-v1)."""
    eval_episodes: int = 200
    """Judged starts."""
    jobs: int | None = None
    """Processes side by side, each on one thread (default: the number of cores)."""


@dataclass(frozen=True)
class Task:
    """One line, all its seeds."""

    row: Row
    seeds: tuple[int, ...]
    episodes: int

    @property
    def cost(self) -> float:
        return forecast(self.row.agent, self.row.budget, len(self.seeds), NETWORKS[self.row.network][0])


def train(task: Task, report: Callable[[float], None]) -> Learned:
    """Work through one line, in a process of its own."""
    row = task.row
    keywords = settings(row.agent, row.env, row.network)
    if row.observation:
        keywords |= {"env_kwargs": {"observation": row.observation}}
    agent = make(row.agent, row.env, task.seeds, keywords)
    return learn(
        agent, row.env, row.budget, task.episodes, lambda done, _: report(task.cost * done / row.budget)
    )  # fmt: skip


def chosen(flags: Results) -> list[Row]:
    """The lines asked for; UsageError where a name of `--only` fits none of them."""
    names = [
        {row.name, row.agent, row.env, row.env.removeprefix("balancier/"), row.network, row.observation} for row in ROWS
    ]
    for one in flags.only:
        if not any(one in having for having in names):
            every = {name for having in names for name in having if name}
            short = sorted(every - {PENDULUM, TORQUES, *(row.name for row in ROWS)})
            raise UsageError(f"--only: found {one!r}, expected a line's whole name or some of {', '.join(short)}")
    if flags.quick and not flags.only:
        return [row for row in ROWS if (row.agent, row.env) == ("ppo", "CartPole-v1")]
    return [row for row, having in zip(ROWS, names, strict=True) if not flags.only or having.intersection(flags.only)]


def can_be_made(env: str) -> bool:
    """Whether what a world needs is installed."""
    try:
        gym.make(env).close()
    except (ImportError, gym.error.DependencyNotInstalled):
        return False
    return True


def results(flags: Results) -> None:
    if flags.eval_episodes < 1:
        raise UsageError(f"--eval-episodes: found {flags.eval_episodes}, expected at least 1")
    if flags.jobs is not None and flags.jobs < 1:
        raise UsageError(f"--jobs: found {flags.jobs}, expected at least 1")
    rows = chosen(flags)
    for env in sorted({row.env for row in rows if not can_be_made(row.env)}):
        console.print(f"results: {env} is left out, it needs: python -m pip install {NEEDED.get(env, 'more')}")
        rows = [row for row in rows if row.env != env]
    if not rows:
        raise UsageError("--only: found nothing that is installed, expected at least one world")
    run = Run("results", flags)
    seeds = flags.all_seeds
    tasks = [Task(row, tuple(seeds[: row.most_seeds]), flags.eval_episodes) for row in rows]
    tasks.sort(key=lambda task: -task.cost)
    total, jobs = sum(task.cost for task in tasks), flags.jobs or os.cpu_count() or 1
    longest = max(task.cost for task in tasks)
    told = duration(max(longest, total / jobs) * 1.3 + 15)
    console.print(f"results: {len(tasks)} lines, about {told} with {jobs} processes", highlight=False)
    found = dict(zip([task.row for task in tasks], run_parallel(train, tasks, jobs, total, "training"), strict=True))
    learned = {row: found[row] for row in rows}
    for row, one in learned.items():
        for step, returns in zip(one.steps, one.curve, strict=True):
            run.log(int(step), f"{row.name}/return", returns, seeds[: row.most_seeds])
    lines = [line(row, one, flags.eval_episodes) for row, one in learned.items()]
    run.figure(draw(learned), "results")
    command = shlex.join(["balancier", "results", *(["--only", *flags.only] if flags.only else [])])
    page = run.folder / "results.md"
    with atomic(page) as file:
        file.write(markdown(lines, command, run.machine["processor"], flags.eval_episodes))
    run.finish({"lines": lines})
    table = Table("agent and world", "seeds", "steps", "seconds", "IQM [95 %]", "worst seed", "regret", "SB3 published")
    for one in lines:
        table.add_row(*cells(one))
    run.close(table, f"the same table as a page: {page}")


def line(row: Row, one: Learned, episodes: int) -> dict[str, Any]:
    """What the table tells about one line; regret only where the optimum is that of an agent that sees all."""
    optimum = mean_optimum(row.env, range(TEST_SEED, TEST_SEED + episodes))
    return {
        "name": row.name,
        "steps": int(one.steps[-1]),
        "seconds": round(one.seconds, 1),
        "published": row.published,
        **summary(one.judged, optimum),
    }


def cells(one: dict[str, Any]) -> list[str]:
    """A line of the table in words."""
    low, high = one["ci95"]
    regret = "-" if one["regret"] is None else f"{one['regret']:.1f}"
    published = "-"
    if one["published"]:
        mean, std, steps = one["published"]
        published = f"{mean:.1f} ± {std:.1f} in {steps:,}"
    judged = [f"{one['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{min(one['returns']):.1f}", regret, published]
    return [one["name"], str(len(one["returns"])), f"{one['steps']:,}", f"{one['seconds']:.0f}", *judged]


def markdown(lines: list[dict[str, Any]], command: str, processor: str, episodes: int) -> str:
    """The table as a page of its own."""
    heads = ["agent and world", "seeds", "steps of each", "seconds, all seeds", f"IQM of {episodes} starts [95 %]"]
    heads += ["worst seed", "regret", "SB3's zoo publishes"]
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 1), *map(cells, lines)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"""# Results

Made by `{command}` on one thread a line of {processor}. Seconds are the processor's, for training all seeds of a line.
IQM is the interquartile mean over seeds of the mean return from the judged starts, with its bootstrapped 95 % interval;
regret is its distance from the optimum, where dynamic programming knows that. What the zoo publishes is one trained
agent each, mean and standard deviation over its episodes, from starts of its own.

{table}
"""


def draw(learned: dict[Row, Learned]) -> Figure:
    """Learning curves, a panel each: every seed a thin line, their interquartile mean, and what the zoo publishes."""
    columns = min(4, len(learned))
    figure, panels = plotting.new(columns, -(-len(learned) // columns), width=5.2, height=3.9)
    for axes, (row, one) in zip(panels, learned.items(), strict=False):
        axes.plot(one.steps, one.curve, color=plotting.BLUE, alpha=0.3, linewidth=1)
        low, high = np.array([confidence_interval(returns) for returns in one.curve]).T
        plotting.band(
            axes,
            one.steps.tolist(),
            low,
            [interquartile_mean(x) for x in one.curve],
            high,
            "IQM of seeds",
            plotting.BLUE,
        )
        if row.published:
            axes.axhline(row.published[0], color=plotting.ORANGE, linestyle="--", label="SB3, published")
        axes.set_title(row.name, fontsize=13)
        axes.ticklabel_format(axis="x", scilimits=(3, 3), useMathText=True)
    for axes in panels[len(learned) :]:
        axes.set_visible(False)
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    figure.supxlabel("steps of each seed")
    figure.supylabel("mean return of 20 episodes")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("results", Results, results, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
