"""A grid of hyper-parameters as replicas of one run: learning curves and judged returns of every point of the grid.

Seeds are one axis of every tensor, and a learning rate or a discount may be one number a seed. So the product of the
values given, times `--seeds`, is the width of a single agent. Every replica has a seed of its own: two points of the
grid share no random numbers, and each learns exactly as it would in a run of its own.
"""

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import matplotlib
import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS
from agents.common.config import LIMITS, SHARE, Numbers, check_config
from agents.evaluation import TEST_SEED, VALIDATION_SEED
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.hyperparams import settings
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import (
    DEFAULTS,
    STARTS,
    Learned,
    budget,
    check_budget,
    forecast,
    learn,
    make,
    mean_optimum,
    summary,
)

Point = dict[str, float]  # one value of each hyper-parameter given


@dataclass(frozen=True)
class Sweep(Flags):
    """A grid of hyper-parameters as replicas of one run; give several values of one or two of them."""

    seeds: int = 5
    """Seeds of every point of the grid; no two points share one."""
    agent: Literal["sac", "ppo", "dqn", "td3", "a2c", "reinforce"] = "sac"
    """Which algorithm."""
    env: str | None = None
    """A Gymnasium id (default: the pendulum; for dqn the one with discrete torques)."""
    steps: int | None = None
    """Steps of each replica (default: chosen for the agent)."""
    eval_episodes: int = 100
    """Judged starts."""


def varied() -> dict[str, list[str]]:
    """The hyper-parameters that may differ from seed to seed, and the agents that have each of them."""
    found: dict[str, list[str]] = {}
    for name, agent in AGENTS.items():
        for field in dataclasses.fields(agent.Config):
            if field.type == Numbers:
                found.setdefault(field.name, []).append(name)
    return found


def with_grid() -> type[Sweep]:
    """The flags above and one more for every hyper-parameter that may differ from seed to seed."""
    added = []
    for name, having in varied().items():
        told = f"Values of {name.replace('_', ' ')} to try, a number or several ({', '.join(having)})."
        kind = Annotated[tuple[float, ...], tyro.conf.arg(help=told)]
        added.append((name, kind, dataclasses.field(default=())))
    made = dataclasses.make_dataclass("Sweep", added, bases=(Sweep,), frozen=True)
    made.__doc__ = Sweep.__doc__
    return made


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def grid_of(flags: Sweep) -> dict[str, tuple[float, ...]]:
    """The values given of each hyper-parameter, in rising order, those with the most values first.

    Raises:
        UsageError: for a hyper-parameter that the agent lacks, a value out of range or given twice, or a grid that is
            a single point or has more than two sides.
    """
    grid: dict[str, tuple[float, ...]] = {}
    own = [flag(name) for name, having in varied().items() if flags.agent in having]
    for name, having in varied().items():
        values: tuple[float, ...] = getattr(flags, name, ())
        if not values:
            continue
        if flags.agent not in having:
            raise UsageError(f"{flag(name)}: found it with --agent {flags.agent}, expected {' or '.join(own)}")
        if len(set(values)) < len(values):
            raise UsageError(f"{flag(name)}: found {' '.join(map(str, values))}, expected different values")
        try:
            check_config(AGENTS[flags.agent].Config(**{name: values}), len(values))
        except ValueError as error:
            raise UsageError(f"{flag(name)}{str(error).removeprefix(name)}") from None
        grid[name] = tuple(sorted(values))
    sides = [flag(name) for name, values in grid.items() if len(values) > 1]
    if not sides:
        raise UsageError(f"{own[0]}: found nothing to vary, expected two or more values of {' or '.join(own)}")
    if len(sides) > 2:
        raise UsageError(f"{sides[2]}: found {len(sides)} flags with several values, expected one or two")
    return dict(sorted(grid.items(), key=lambda item: -len(item[1])))


def points_of(grid: dict[str, tuple[float, ...]]) -> list[Point]:
    """All combinations of the values; the last hyper-parameter changes fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def per_replica(points: Sequence[Point], seeds: int) -> dict[str, Any]:
    """Keywords for one agent of `len(points) * seeds` replicas: the seeds of a point are neighbors."""
    return {name: [point[name] for point in points for _ in range(seeds)] for name in points[0]}


def in_words(point: Point) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in point.items())


def sweep(flags: Sweep) -> None:
    check_budget(flags.steps, flags.eval_episodes)
    grid = grid_of(flags)
    points = points_of(grid)
    env = flags.env or DEFAULTS[flags.agent][0]
    steps = budget(flags.agent, env, flags.steps, flags.quick)
    seeds = range(flags.seed, flags.seed + flags.seeds * len(points))
    agent = make(flags.agent, env, seeds, settings(flags.agent, env) | per_replica(points, flags.seeds))
    run = Run("sweep", flags)
    told = duration(forecast(flags.agent, steps, len(agent)) + 5)
    size = f"{len(points)} points x {flags.seeds} seeds = {len(agent)} replicas of one agent"
    console.print(
        f"sweep: {flags.agent} on {env}, {size}, about {told}",
        highlight=False,
    )
    with ProgressBar(steps, "training") as progress:
        learned = learn(
            agent, env, steps, flags.eval_episodes,
            lambda done, returns: progress.advance(done, f"best return {returns.max():.0f}"),
        )  # fmt: skip
    parts = [slice(i * flags.seeds, (i + 1) * flags.seeds) for i in range(len(points))]
    for point, part in zip(points, parts, strict=True):
        for step, returns in zip(learned.steps, learned.curve, strict=True):
            run.log(int(step), f"{in_words(point)}/return", returns[part], agent.seeds[part])
    optimum = mean_optimum(env, range(TEST_SEED, TEST_SEED + flags.eval_episodes))
    rows: list[dict[str, Any]] = [
        {**point, "seeds": list(agent.seeds[part]), **summary(learned.judged[part], optimum)}
        for point, part in zip(points, parts, strict=True)
    ]
    watched = mean_optimum(env, range(VALIDATION_SEED, VALIDATION_SEED + STARTS))
    run.figure(draw(flags.agent, env, grid, learned, (watched, optimum)), "sweep")
    result = {"agent": flags.agent, "env": env, "steps": agent.num_timesteps, "optimum": optimum}
    run.finish(result | {"train_seconds": round(learned.seconds, 2), "points": rows})
    title = f"{flags.agent} on {env}, {agent.num_timesteps:,} steps, {learned.seconds:.1f} processor seconds in all"
    table = Table(*(name.replace("_", " ") for name in grid), "IQM [95 %]", "worst seed", "regret", title=title)
    for row in sorted(rows, key=lambda row: -row["iqm"]):
        (low, high), regret = row["ci95"], row["regret"]
        numbers = [f"{row['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{min(row['returns']):.1f}"]
        table.add_row(*(f"{row[name]:g}" for name in grid), *numbers, "-" if regret is None else f"{regret:.1f}")
    run.close(table, f"more values around the best, or more --seeds; balancier compare --agents {flags.agent}")


def axis_scale(name: str, values: Sequence[float]) -> tuple[str, dict[str, Any]]:
    """A scale on which usual values are about evenly spaced, and its keywords.

    Rates are compared by their ratios; of a discount or a share close to 1 the distance from 1 is what counts.
    """
    if LIMITS[name] is SHARE and min(values) > 0 and max(values) < 1:
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


def draw(
    agent: str,
    env: str,
    grid: dict[str, tuple[float, ...]],
    learned: Learned,
    optima: tuple[float | None, float | None],
) -> Figure:
    """Learning curves and final returns of every point; with two sides, also a map of the grid."""
    name, *others = (name for name, values in grid.items() if len(values) > 1)
    other = others[0] if others else None
    sides = len(grid[name]), len(grid[other]) if other else 1
    curve = learned.curve.reshape(len(learned.steps), *sides, -1)
    judged = learned.judged.reshape(*sides, -1)
    figure, panels = plotting.new(3 if other else 2, width=5.8 if other else 6.6, height=6.2)
    draw_curves(panels[0], learned.steps, curve, colors_of(grid[name]))
    draw_finals(panels[1], name, grid[name], judged)
    if other:
        draw_map(figure, panels[2], grid, (name, other), judged)
    for panel, optimum in zip(panels, optima, strict=False):  # of the starts that the panel shows; the map needs none
        if optimum is not None:
            panel.axhline(optimum, color=plotting.ORANGE, linestyle=":")
    add_legend(figure, grid, (name, other), None not in optima)
    panels[0].set_title(f"{STARTS} episodes during training")
    panels[1].set_title("Judged after training")
    size = f"{sides[0] * sides[1]} points x {judged.shape[2]} seeds"
    figure.suptitle(f"{agent.upper()} on {env.removeprefix('balancier/')}: {size}")
    return figure


def draw_curves(axes: Axes, steps: np.ndarray, curve: np.ndarray, colors: Sequence[Any]) -> None:
    """Interquartile means of curves (E, V, W, S) and, where the grid has one side (W = 1), their 95 % intervals."""
    for i, color in enumerate(colors):
        for j in range(curve.shape[2]):
            returns = curve[:, i, j]
            axes.plot(steps, [interquartile_mean(row) for row in returns], color=color, linestyle=dashes(j))
            if curve.shape[2] == 1:
                low, high = np.array([confidence_interval(row) for row in returns]).T
                axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set_xlabel("steps of each replica")
    axes.set_ylabel("mean return")


def draw_finals(axes: Axes, name: str, values: Sequence[float], judged: np.ndarray) -> None:
    """Judged returns (V, W, S) against the first hyper-parameter: seeds as dots, their IQM with its 95 % interval."""
    scale, keywords = axis_scale(name, values)
    axes.set_xscale(scale, **keywords)
    onto = axes.xaxis.get_transform()
    at = onto.transform(np.array(values))
    colors = colors_of(values)
    for j in range(judged.shape[1]):
        aside = 0.03 * (at[-1] - at[0]) * (j - (judged.shape[1] - 1) / 2)  # the second side's values next to each other
        places = onto.inverted().transform(at + aside)
        iqm = np.array([interquartile_mean(returns) for returns in judged[:, j]])
        axes.plot(places, iqm, color=plotting.GRAY, linestyle=dashes(j), zorder=1)
        for place, middle, returns, color in zip(places, iqm, judged[:, j], colors, strict=True):
            low, high = confidence_interval(returns)
            axes.errorbar(place, middle, [[middle - low], [high - middle]], fmt="s", color=color, markersize=8)
            axes.plot([place] * len(returns), returns, "o", color=color, alpha=0.35, markersize=6)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.margins(x=0.1)
    axes.set_xlabel(name.replace("_", " "))
    axes.set_ylabel("mean return")


def draw_map(
    figure: Figure, axes: Axes, grid: dict[str, tuple[float, ...]], names: tuple[str, str], judged: np.ndarray
) -> None:
    """The interquartile mean of every point, as color and as number."""
    iqm = np.apply_along_axis(interquartile_mean, 2, judged).T  # (W, V)
    image = axes.imshow(iqm, cmap="cividis", origin="lower", aspect="auto")
    middle = (iqm.min() + iqm.max()) / 2
    for (row, column), value in np.ndenumerate(iqm):
        color = "black" if value > middle else "white"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, fontsize=16)
    for name, axis in zip(names, (axes.xaxis, axes.yaxis), strict=True):
        axis.set_ticks(range(len(grid[name])), labels=[f"{value:g}" for value in grid[name]])
        axis.set_label_text(name.replace("_", " "))
    axes.grid(visible=False)
    axes.set_title("Interquartile mean, judged")
    figure.colorbar(image, ax=axes)


def add_legend(
    figure: Figure, grid: dict[str, tuple[float, ...]], names: tuple[str, str | None], optimum: bool
) -> None:
    """Below all panels: colors are values of the first hyper-parameter, dashes of the second."""
    name, other = names
    handles = [
        Line2D([], [], color=color, marker="s", label=in_words({name: value}))
        for value, color in zip(grid[name], colors_of(grid[name]), strict=True)
    ]
    for j, value in enumerate(grid[other] if other else ()):
        handles.append(Line2D([], [], color=plotting.GRAY, linestyle=dashes(j), label=in_words({str(other): value})))
    if optimum:
        handles.append(Line2D([], [], color=plotting.ORANGE, linestyle=":", label="optimum"))
    told = "line, square: interquartile mean      band, bar: its 95 % interval      dots: seeds"
    columns = min(len(handles), 6 if other else 5)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, title=told, title_fontsize=13)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("sweep", with_grid(), sweep, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
