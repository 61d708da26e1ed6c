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
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib
import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from rich.table import Table

from agents import AGENTS
from agents.common.config import SHARE, check_config, hyperparameter
from agents.evaluation import TEST_SEED, VALIDATION_SEED
from balancier import N_, Bound, _
from experiments.common import plotting, sweep_report
from experiments.common.cluster import CLUSTER
from experiments.common.command import FREE, Lesson, Page, launch, words_of
from experiments.common.flags import ParallelFlags, UsageError, at_least, flag_name
from experiments.common.hyperparams import tuned
from experiments.common.parallel import Job, ProgressBar, duration, run_parallel, wall_seconds
from experiments.common.parts import once
from experiments.common.runs import Metric, find_latest
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.sweep_file import Plan, read
from experiments.common.sweep_jobs import Trial, import_optuna, jobs_of
from experiments.common.sweep_jobs import measure as measure_file
from experiments.common.training import (
    EVALUATIONS,
    STARTS,
    AgentName,
    Training,
    budget,
    default_env,
    make,
    mean_optimum,
    summary,
    train_agent,
)
from experiments.common.training import forecast as training_seconds

FACTORS = 0.1, 1.0, 10.0  # of the tuned learning rate, where no values are given
# For the catalog: the words of the hyper-parameters that may differ from seed to seed.
SHOWN = N_("learning rate"), N_("gamma"), N_("entropy weight"), N_("gae lambda")
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
        words = {"name": _(name.replace("_", " ")), "agents": ", ".join(agents)}
        text = _("Values of {name} to try, a number or several ({agents}).", **words)
        kind = Annotated[tuple[float, ...], tyro.conf.arg(help=text)]
        fields.append((name, kind, dataclasses.field(default=())))
    flags = dataclasses.make_dataclass("Sweep", fields, bases=(Sweep,), frozen=True)
    flags.__doc__ = Sweep.__doc__
    return flags


def check_values(agent: str, name: str, values: tuple[float, ...]) -> None:
    """Raise UsageError for a hyper-parameter that the agent lacks, or a value out of range or given twice."""
    agents = varied()
    flag, others = flag_name(name), [flag_name(other) for other, having in agents.items() if agent in having]
    if agent not in agents[name]:
        raise UsageError(f"{flag}: found it with --agent {agent}, expected {' or '.join(others)}")
    if len(set(values)) < len(values):
        raise UsageError(f"{flag}: found {' '.join(map(str, values))}, expected different values")
    try:
        check_config(AGENTS[agent].Config(**{name: values}), len(values))
    except ValueError as error:
        raise UsageError(f"{flag}{str(error).removeprefix(name)}") from None


def usual_grid(flags: Sweep) -> Grid:
    """Learning rates around the tuned one, or around the agent's default where none was tuned."""
    rate = tuned(flags.agent, flags.env_id).get("learning_rate", AGENTS[flags.agent].Config().learning_rate)
    return {"learning_rate": tuple(float(f"{factor * rate:g}") for factor in FACTORS)}


def grid_of(flags: Sweep) -> Grid:
    """The values given of each hyper-parameter, in rising order, those with the most values first.

    Where none is given, learning rates around the tuned one.

    Raises:
        UsageError: for a hyper-parameter that the agent lacks, a value out of range or given twice, or a grid that is
            a single point or has more than two sides.
    """
    given = {name: getattr(flags, name, ()) for name in varied()}
    if not any(given.values()):
        return usual_grid(flags)
    grid = {name: tuple(sorted(values)) for name, values in given.items() if values}
    for name in grid:
        check_values(flags.agent, name, given[name])
    sides = [flag_name(name) for name, values in grid.items() if len(values) > 1]
    if not sides:
        choices = [flag_name(name) for name, agents in varied().items() if flags.agent in agents]
        raise UsageError(f"{choices[0]}: found nothing to vary, expected two or more values of {' or '.join(choices)}")
    if len(sides) > 2:
        raise UsageError(f"{sides[2]}: found {len(sides)} flags with several values, expected one or two")
    return dict(sorted(grid.items(), key=lambda item: -len(item[1])))


def points_of(grid: Grid) -> list[Point]:
    """All combinations of the values; the last hyper-parameter changes fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def per_replica(points: Sequence[Point], seeds: int) -> dict[str, Any]:
    """Keywords for one agent of `len(points) * seeds` replicas: the seeds of a point are neighbors."""
    return {name: [point[name] for point in points for __ in range(seeds)] for name in points[0]}


def in_words(point: Point, say: Callable[..., str] = str.format) -> str:
    """A point as in "learning rate 0.001, gamma 0.9"; in the user's language where `say` is `_`."""
    names = {name: say(name.replace("_", " ")) for name in point}
    return say(N_(", ")).join(say(N_("{name} {value:g}"), name=names[name], value=point[name]) for name in point)


# The lesson


def make_replicas(flags: Sweep) -> Any:
    """The agent of all points and seeds, untrained; UsageError for a grid or environment that cannot be."""
    points = points_of(grid_of(flags))
    seeds = range(flags.seed, flags.seed + flags.seeds * len(points))
    return make(flags.agent, flags.env_id, seeds, tuned(flags.agent, flags.env_id) | per_replica(points, flags.seeds))


def forecast(flags: Sweep) -> str:
    points = len(points_of(grid_of(flags)))
    replicas = points * flags.seeds
    steps = budget(flags.agent, flags.env_id, flags.steps, flags.quick)
    return _(
        "{agent} on {env}, {points} points x {seeds} seeds = {replicas} replicas of one agent, about {time}",
        agent=flags.agent,
        env=flags.env_id,
        points=points,
        seeds=flags.seeds,
        replicas=replicas,
        time=duration(training_seconds(flags.agent, steps, replicas) + 5),
    )


def train_replicas(job: Job, report: Callable[[float], None]) -> Training:
    """Of a worker: the agent of all points and seeds."""
    name, env, keywords, steps, episodes = job.settings
    agent = make(name, env, job.seeds, keywords)
    return train_agent(agent, env, steps, episodes, lambda done, __: report(job.cost * done / steps))


def measure(flags: Sweep) -> Findings:
    agent, env = make_replicas(flags), flags.env_id
    steps = budget(flags.agent, env, flags.steps, flags.quick)

    def train() -> Training:
        with ProgressBar(steps, _("training")) as progress:

            def advance(done: float, returns: np.ndarray) -> None:
                progress.advance(done, _("best return {value:.0f}", value=returns.max()))

            return train_agent(agent, env, steps, flags.eval_episodes, advance)

    if CLUSTER.get() is None:
        training = once("sweep", agent.seeds, train, [Training])
    else:  # the whole agent is one job
        keywords = tuned(flags.agent, env) | per_replica(points_of(grid_of(flags)), flags.seeds)
        settings = flags.agent, env, keywords, steps, flags.eval_episodes
        job = Job("sweep", agent.seeds, training_seconds(flags.agent, steps, len(agent)), settings)
        (training,) = run_parallel(train_replicas, [job], kinds=[Training])
    optimum = mean_optimum(env, range(TEST_SEED, TEST_SEED + flags.eval_episodes))
    validation_optimum = mean_optimum(env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS))
    return Findings(flags.agent, env, grid_of(flags), agent.seeds, training, optimum, validation_optimum)


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    training = findings.training
    for point, part in findings.parts:
        for step, returns in zip(training.steps, training.curve, strict=True):
            yield int(step), f"{in_words(point)}/return", returns[part], findings.seeds[part]


def result(findings: Findings) -> dict[str, Any]:
    return {
        "agent": findings.agent,
        "env": findings.env,
        "steps": int(findings.training.steps[-1]),
        "optimum": findings.optimum,
        "train_seconds": findings.training.train_seconds,
        "points": findings.rows,
    }


def table(findings: Findings) -> Table:
    """Every point of the grid, the best first."""
    title = _(
        "{agent} on {env}, {steps:,} steps, {seconds:.1f} processor seconds in all",
        agent=findings.agent,
        env=findings.env,
        steps=int(findings.training.steps[-1]),
        seconds=findings.training.train_seconds,
    )
    columns = [_(name.replace("_", " ")) for name in findings.grid]
    table = Table(*columns, _("IQM [95 %]"), _("worst seed"), _("regret"), title=title)
    for row in sorted(findings.rows, key=lambda row: -row["iqm"]):
        (low, high), regret = row["ci95"], row["regret"]
        numbers = [f"{row['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{min(row['returns']):.1f}"]
        values = [f"{row[name]:g}" for name in findings.grid]
        table.add_row(*values, *numbers, "-" if regret is None else f"{regret:.1f}")
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"sweep": plot_sweep(findings)}


def bound_of(name: str) -> Bound:
    """The bound of a hyper-parameter, which is the same for all agents that have it."""
    return hyperparameter(AGENTS[varied()[name][0]].Config, name)[2]


def axis_scale(name: str, values: Sequence[float]) -> tuple[str, dict[str, Any]]:
    """A scale on which usual values are about evenly spaced, and its keywords.

    Rates are compared by their ratios, discounts and shares close to 1 by the ratios of their distances from 1.
    """
    if bound_of(name) is SHARE and min(values) > 0 and max(values) < 1:
        return "logit", {}
    if min(values) > 0:
        return "log", {}
    positive = [value for value in values if value > 0]
    return "symlog", {"linthresh": min(positive)} if positive else {}


def colors_of(values: Sequence[float]) -> list[Any]:
    """Colors in the values' order, from dark to light."""
    return [matplotlib.colormaps["viridis"](place) for place in np.linspace(0, 0.85, len(values))]


def dashes(number: int) -> Any:
    """The solid line, then dashes ever shorter."""
    return (0, (6 / 2 ** (number - 1), 1.5)) if number else "-"


def plot_sweep(findings: Findings) -> Figure:
    """Learning curves and test returns of every point; with two sides, also a map of the grid."""
    grid, training = findings.grid, findings.training
    name, *others = (name for name, values in grid.items() if len(values) > 1)
    other = others[0] if others else None
    sides = len(grid[name]), len(grid[other]) if other else 1
    curve = training.curve.reshape(len(training.steps), *sides, -1)
    returns = training.returns.reshape(*sides, -1)
    figure, panels = plotting.new(3 if other else 2, width=5.0 if other else 7.0, height=7.0)
    plot_curves(panels[0], training.steps, curve, colors_of(grid[name]))
    plot_finals(panels[1], name, grid[name], returns)
    if other:
        plot_map(figure, panels[2], grid, (name, other), returns)
    optima = findings.validation_optimum, findings.optimum
    for panel, optimum in zip(panels, optima, strict=False):  # each of its own starts; the map needs none
        if optimum is not None:
            panel.axhline(optimum, color="black", linestyle=":")
    add_legend(figure, grid, (name, other), None not in optima)
    panels[0].set_title(_("{count} validation episodes", count=STARTS))
    panels[1].set_title(_("{count} test episodes", count=training.test_returns.shape[1]))
    best, worst = (find(findings.rows, key=lambda row: row["iqm"]) for find in (max, min))
    varied_names = [name for name, values in grid.items() if len(values) > 1]
    points = [in_words({key: row[key] for key in varied_names}, _) for row in (best, worst)]
    figure.suptitle(
        _(
            "Best: {best} returns {most:.0f}; worst: {worst} returns {least:.0f}\n"
            "({agent} on {env}, {points} points x {seeds} seeds)",
            best=points[0],
            most=best["iqm"],
            worst=points[1],
            least=worst["iqm"],
            agent=findings.agent.upper(),
            env=findings.env.removeprefix("balancier/"),
            points=sides[0] * sides[1],
            seeds=returns.shape[2],
        )
    )
    return figure


def plot_curves(axes: Axes, steps: np.ndarray, curve: np.ndarray, colors: Sequence[Any]) -> None:
    """Interquartile means of curves (E, V, W, S) and, where the grid has one side (W = 1), their 95 % intervals."""
    for i, color in enumerate(colors):
        for j in range(curve.shape[2]):
            returns = curve[:, i, j]
            axes.plot(steps, [interquartile_mean(row) for row in returns], color=color, linestyle=dashes(j))
            if curve.shape[2] == 1:
                low, high = np.array([confidence_interval(row) for row in returns]).T
                axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set_xlabel(_("steps of each replica"))
    axes.set_ylabel(_("mean return"))


def plot_finals(axes: Axes, name: str, values: Sequence[float], returns: np.ndarray) -> None:
    """Test returns (V, W, S) against the first hyper-parameter: seeds as dots, their IQM with its 95 % interval."""
    scale, keywords = axis_scale(name, values)
    axes.set_xscale(scale, **keywords)
    transform = axes.xaxis.get_transform()
    positions = transform.transform(np.array(values))
    colors = colors_of(values)
    for j in range(returns.shape[1]):
        # Values of the second hyper-parameter stand next to each other.
        shift = 0.03 * (positions[-1] - positions[0]) * (j - (returns.shape[1] - 1) / 2)
        places = transform.inverted().transform(positions + shift)
        iqm = np.array([interquartile_mean(of_point) for of_point in returns[:, j]])
        axes.plot(places, iqm, color=plotting.GRAY, linestyle=dashes(j), zorder=1)
        for place, middle, of_point, color in zip(places, iqm, returns[:, j], colors, strict=True):
            low, high = confidence_interval(of_point)
            axes.errorbar(place, middle, [[middle - low], [high - middle]], fmt="s", color=color, markersize=8)
            axes.plot([place] * len(of_point), of_point, "o", color=color, alpha=0.35, markersize=6)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.margins(x=0.1)
    axes.set_xlabel(_(name.replace("_", " ")))
    axes.set_ylabel(_("mean return"))


def plot_map(figure: Figure, axes: Axes, grid: Grid, names: tuple[str, str], returns: np.ndarray) -> None:
    """The interquartile mean of every point, as color and as number."""
    iqm = np.apply_along_axis(interquartile_mean, 2, returns).T  # (W, V)
    image = axes.imshow(iqm, cmap="cividis", origin="lower", aspect="auto")
    middle = (iqm.min() + iqm.max()) / 2
    for (row, column), value in np.ndenumerate(iqm):
        color = "black" if value > middle else "white"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, fontsize=16)
    for name, axis in zip(names, (axes.xaxis, axes.yaxis), strict=True):
        axis.set_ticks(range(len(grid[name])), labels=[f"{value:g}" for value in grid[name]])
        axis.set_label_text(_(name.replace("_", " ")))
    axes.grid(visible=False)
    axes.set_title(_("Interquartile mean of test returns"))
    figure.colorbar(image, ax=axes)


def add_legend(figure: Figure, grid: Grid, names: tuple[str, str | None], optimum: bool) -> None:
    """Below all panels: colors are values of the first hyper-parameter, dashes of the second."""
    name, other = names
    handles = [
        Line2D([], [], color=color, marker="s", label=in_words({name: value}, _))
        for value, color in zip(grid[name], colors_of(grid[name]), strict=True)
    ]
    for j, value in enumerate(grid[other] if other else ()):
        label = in_words({str(other): value}, _)
        handles.append(Line2D([], [], color=plotting.GRAY, linestyle=dashes(j), label=label))
    if optimum:
        handles.append(Line2D([], [], color="black", linestyle=":", label=_("optimum")))
    explanation = _("line, square: interquartile mean      band, bar: its 95 % interval      dots: seeds")
    columns = min(len(handles), 6 if other else 5)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, title=explanation, title_fontsize=13)


PAGE = Page(
    question=_("How much do the hyper-parameters of an agent matter, and how sure can we be with a few seeds?"),
    formula=(
        _(r"$\theta^{k+1} = \theta^k - \eta \, \nabla_\theta L$: the learning rate $\eta$"),
        _(r"$G = \sum_k \gamma^k r_{t+k}$: the discount $\gamma$"),
    ),
    captions={
        "sweep": _(
            "Every point of the grid is a group of seeds of one agent, so all points learn in one run. "
            "Too low a learning rate is too slow for the budget; where the dots of a point lie far apart, "
            "one seed would not tell."
        ),
    },
    what_if=(
        ("balancier sweep --gamma 0.5 0.9 0.985", _("the discount: which one looks far enough ahead?")),
        ("balancier sweep --agent ppo --learning-rate 0.0001 0.001 0.01", _("is PPO less sensitive to the rate?")),
        ("balancier sweep --learning-rate 0.001 0.01 --gamma 0.9 0.98", _("two at once: a map of the grid")),
    ),
)

LESSON = Lesson(
    flags=with_grid(),
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("more values around the best, or more --seeds; then balancier compare"),
    metrics=metrics,
    check=make_replicas,
    page=PAGE,
    variant=lambda flags: of_file(flags),
)


# The same command with a file

PLAN = "sweep.toml"  # the file, as the run keeps it
WITH_FILE = {*FREE, "file", "threads"}  # flags that go with a file


def plan_of(flags: Sweep) -> Plan | None:
    """The plan of the file given, or of the run that goes on; None where there is none.

    Raises UsageError for a file that holds none, and for flags whose place is in the file.
    """
    kept = None if flags.resume is None else find_latest(flags.resume) / PLAN
    if kept is None or not kept.exists():
        if kept is not None and flags.file is not None:
            raise UsageError(f"{flags.file}: found with the run of a command line, expected no file")
        kept = None
    path = kept or flags.file
    if path is None:
        return None
    for field in dataclasses.fields(flags):
        if field.name not in WITH_FILE and (value := getattr(flags, field.name)) != field.default:
            raise UsageError(f"{flag_name(field.name)}: found {words_of(value)} with {path}, expected it in the file")
    plan = read(path)
    if kept is not None and flags.file is not None and read(flags.file).text != plan.text:
        raise UsageError(f"{flags.file}: found another sweep than that of the run, expected the same, or no file")
    if plan.method == "optuna":
        import_optuna()
    return plan


def of_file(flags: Sweep) -> Lesson | None:
    """The lesson of a file, where there is one."""
    plan = plan_of(flags)
    return plan and Lesson(
        flags=LESSON.flags,
        measure=lambda flags: measure_file(plan, flags.processes),
        figures=sweep_report.figures,
        table=sweep_report.table,
        result=sweep_report.result,
        forecast=lambda flags: forecast_of_file(plan, flags),
        next_command=_("more values around the best, or more seeds"),
        metrics=sweep_report.metrics,
        files=sweep_report.files,
        inputs=lambda flags: {PLAN: plan.text},
        page=sweep_report.PAGE,
        report=True,
    )


def forecast_of_file(plan: Plan, flags: Sweep) -> str:
    trials = [Trial(i, agent, env, {}) for env in plan.envs for agent in plan.agents for i in range(plan.count)]
    jobs = [job for trial in trials for job in jobs_of(plan, trial, ())]
    size = _("1 setting x {seeds} seeds = {jobs} jobs", seeds=plan.seeds, jobs=len(jobs))
    if len(trials) > 1:
        counts = {"settings": len(trials), "seeds": plan.seeds, "jobs": len(jobs)}
        size = _("{settings} settings x {seeds} seeds = {jobs} jobs", **counts)
    cluster = CLUSTER.get()
    there = len(cluster.good) if cluster and flags.scheduler != "slurm" else flags.jobs  # Slurm's begin later
    workers = there or 1 if cluster else flags.processes
    words = {"size": size, "time": duration(wall_seconds(jobs, workers))}
    if cluster:
        words |= {"scheduler": flags.scheduler}
        if workers == 1:
            return _("{size}, about {time} with 1 worker of {scheduler}", **words)
        return _("{size}, about {time} with {workers} workers of {scheduler}", workers=workers, **words)
    if workers == 1:
        return _("{size}, about {time} with 1 process", **words)
    return _("{size}, about {time} with {workers} processes", workers=workers, **words)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("sweep", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
