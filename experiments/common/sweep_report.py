"""What a sweep of a file shows: its table, its figures, and the same numbers as CSV.

S seed, E evaluations.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from balancier import _
from experiments.common import plotting
from experiments.common.page import Page
from experiments.common.runs import Metric, as_csv, plain
from experiments.common.statistics import (
    confidence_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from experiments.common.sweep_file import ENV
from experiments.common.sweep_jobs import Findings, Row, value_words

SHOWN = 6  # rows of a figure of curves, those with the best validation returns
TASKS = 6  # that have figures
MOST_ROWS = 30  # of the figure of intervals


def result(findings: Findings) -> dict[str, Any]:
    plan = findings.plan
    return {
        "method": plan.method,
        "rows": [row.result() for row in findings.rows],
        "best": [
            {"task": task, "row": findings.rows.index(row)} for task in findings.tasks for row in findings.best(task, 1)
        ],
        "improvement": improvement(findings),
        "failures": [
            {
                "job": job.name,
                "seeds": job.seeds,
                "settings": job.settings.plan.fixed | job.settings.setting,
                "message": failure.message,
                "traceback": failure.traceback,
            }
            for job, failure in findings.failures.items()
        ],
    }


def improvement(findings: Findings) -> list[dict[str, Any]]:
    """The probability that a seed of the best setting is better than one of each of the next best ones."""
    pairs = []
    for task in findings.tasks:
        rows = findings.best(task, SHOWN)
        for other in rows[1:]:
            numbers = {"row": findings.rows.index(rows[0]), "than": findings.rows.index(other)}
            pairs.append(numbers | {"probability": probability_of_improvement(rows[0].returns, other.returns)})
    return pairs


def metrics(findings: Findings) -> Iterable[Metric]:
    for number, row in enumerate(findings.rows):
        for step, returns in zip(*row.curve, strict=True):
            yield int(step), f"row {number}/return", returns, row.seeds


def table(findings: Findings) -> Table:
    """Every row, the best of each task first."""
    plan = findings.plan
    names = list(plan.spaces)
    counts = {"count": len(findings.rows), "seeds": plan.seeds}
    title = _("{file}: {count} settings, {seeds} seeds each", file=plan.name, **counts)
    columns = _("row"), _("env"), _("agent"), *names, _("seeds"), _("IQM [95 %]"), _("worst seed"), _("regret"), ""
    table = Table(*columns, title=title)
    table.caption, table.caption_justify = "\n".join(notes(findings)) or None, "left"
    for task in findings.tasks:
        for row in sorted(findings.rows_of(task), key=lambda row: -row.validation):
            low, high = confidence_interval(row.returns)
            iqm, regret = interquartile_mean(row.returns), row.optimum
            numbers = [f"{iqm:.1f} [{low:.1f}, {high:.1f}]", f"{row.returns.min():.1f}"]
            numbers.append("-" if regret is None else f"{regret - iqm:.1f}")
            settings = [value_words(row.trial.setting[name]) for name in names]
            place = str(findings.rows.index(row)), row.trial.env.removeprefix("balancier/"), row.trial.agent
            table.add_row(*place, *settings, str(len(row.seeds)), *numbers, _("pruned") if row.pruned else "")
    return table


def notes(findings: Findings) -> list[str]:
    lines = [
        _("Best first, by the interquartile mean (IQM) of the last validation; the numbers are those of the test.")
    ]
    for job, failure in findings.failures.items():
        words = {"job": job.name, "first": min(job.seeds), "last": max(job.seeds), "message": _(failure.message)}
        lines.append(_("{job}, seeds {first} to {last}: did not finish ({message}).", **words))
    return lines


# CSV


def files(findings: Findings) -> dict[str, str]:
    """The numbers of the table and of each figure."""
    names = list(findings.plan.spaces)
    rows, profiles, sensitivity = [], [], []
    for number, row in enumerate(findings.rows):
        numbers = plain(row.result())
        low, high = numbers["ci95"] or (None, None)
        settings = [row.trial.setting[name] for name in names]
        for seed, value in zip(numbers["seeds"], numbers["returns"], strict=True):
            rows.append([number, row.trial.env, row.trial.agent, *settings, seed, value, numbers["iqm"], low, high])
        for name, value in row.trial.setting.items():
            sensitivity.append([row.trial.task, row.trial.agent, name, value, numbers["iqm"], low, high])
    for task in findings.tasks:
        best = findings.best(task, SHOWN)
        for row, *points in profile(best) if best else ():
            numbers = zip(*points, strict=True)
            profiles += [[task, findings.rows.index(row), threshold, share] for threshold, share in numbers]
    pairs = [[pair["row"], pair["than"], pair["probability"]] for pair in improvement(findings)]
    heads = ["row", "env", "agent", *names, "seed", "return", "iqm", "low", "high"]
    return {
        "rows.csv": as_csv(heads, rows),
        "profiles.csv": as_csv(["task", "row", "threshold", "share"], profiles),
        "improvement.csv": as_csv(["row", "than", "probability"], pairs),
        "sensitivity.csv": as_csv(["task", "agent", "field", "value", "iqm", "low", "high"], sensitivity),
    }


def profile(rows: Sequence[Row]) -> Iterable[tuple[Row, np.ndarray, np.ndarray]]:
    """Each row with thresholds, and the share of its seeds at or above each."""
    thresholds, shares = performance_profile([row.returns for row in rows])
    return [(row, thresholds, share) for row, share in zip(rows, shares.T, strict=True)]


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    """Five figures for each task; those of the second one end in _2. Of many tasks (`TASKS`), the first ones."""
    drawn: dict[str, Figure] = {}
    for number, name in enumerate(findings.tasks[:TASKS]):
        suffix = f"_{number + 1}" if number else ""
        if rows := findings.rows_of(name):
            best = findings.best(name, SHOWN)
            drawn[f"intervals{suffix}"] = plot_intervals(rows, name)
            drawn[f"profiles{suffix}"] = plot_profiles(best, name)
            drawn[f"efficiency{suffix}"] = plot_curves(best, name)
            drawn[f"sensitivity{suffix}"] = plot_sensitivity(findings, rows, name)
            if len(best) > 1:
                drawn[f"improvement{suffix}"] = plot_improvement(best, name)
    return drawn


def plot_intervals(rows: list[Row], env: str) -> Figure:
    """The IQM of each row with its interval, and the seeds as dots; the best at the top."""
    shown = sorted(rows, key=lambda row: -row.validation)[:MOST_ROWS]
    figure, (axes,) = plotting.new(width=13, height=max(6.0, 1.5 + 0.45 * len(shown)))
    for place, row in enumerate(shown):
        low, high = confidence_interval(row.returns)
        iqm = interquartile_mean(row.returns)
        axes.plot(row.returns, [place] * len(row.returns), "o", color=plotting.SKY, markersize=6)
        axes.errorbar(
            iqm, place, xerr=[[iqm - low], [high - iqm]], fmt="s", color=plotting.BLUE, markersize=9, capsize=4
        )
    axes.set_yticks(range(len(shown)), [row.label for row in shown], fontsize=14 if len(shown) < 15 else 10)
    axes.invert_yaxis()
    axes.set_xlabel(_("mean test return (square: interquartile mean, bar: 95 % interval, dots: seeds)"))
    first = {"env": env, "row": shown[0].label, "iqm": interquartile_mean(shown[0].returns)}
    title = _("{env}: best in validation is {row},\nwith {iqm:.1f}", **first)
    if len(rows) > len(shown):
        title = _("{title}, the best {shown} of {all}", title=title, shown=len(shown), all=len(rows))
    axes.set_title(title)
    return figure


def plot_profiles(best: list[Row], env: str) -> Figure:
    """The share of the seeds at or above each return."""
    figure, (axes,) = plotting.new(width=12, height=7)
    for (row, thresholds, share), color in zip(profile(best), plotting.COLORS, strict=False):
        plotting.profile(axes, thresholds, share, row.label, color)
    axes.set(xlabel=_("return"), ylabel=_("share of seeds with at least this return"), ylim=(-0.03, 1.03))
    axes.set_title(_("{env}: a line that lies further to the right is better", env=env))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def plot_curves(best: list[Row], env: str) -> Figure:
    figure, (axes,) = plotting.new(width=12, height=7)
    for row, color in zip(best, plotting.COLORS, strict=False):
        steps, curve = row.curve
        plotting.iqm_band(axes, steps.tolist(), curve, row.label, color)
    axes.set(xlabel=_("steps of each seed"), ylabel=_("validation return"))
    axes.set_title(_("{env}: interquartile mean while learning, with its 95 % interval", env=env))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def plot_improvement(best: list[Row], env: str) -> Figure:
    """The probability that a seed of the row is better than one of the column."""
    values = np.array([[probability_of_improvement(a.returns, b.returns) for b in best] for a in best])
    figure, (axes,) = plotting.new(width=12, height=7)
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.5 else "white")
    letters = "ABCDEF"[: len(best)]
    labels = [_("{letter}: {row}", letter=letter, row=row.label) for letter, row in zip(letters, best, strict=True)]
    axes.set_yticks(range(len(best)), labels)
    axes.set_xticks(range(len(best)), list(letters))
    axes.grid(visible=False)
    axes.set_title(_("{env}: how often a seed of the line\nis better than one of the column", env=env))
    figure.colorbar(image, ax=axes)
    return figure


def plot_sensitivity(findings: Findings, rows: list[Row], env: str) -> Figure:
    """For each field that is tried, the IQM of every setting against its value; a line joins the best of each value."""
    spaces = {name: space for name, space in findings.plan.spaces.items() if not name.startswith(ENV)}
    spaces = spaces or findings.plan.spaces
    columns = min(3, len(spaces))
    count = -(-len(spaces) // columns)
    figure, panels = plotting.new(columns, count, width=14 / columns, height=max(5.5, 7.9 / count))
    for panel in panels[len(spaces) :]:
        panel.axis("off")
    for panel, (name, space) in zip(panels, spaces.items(), strict=False):
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in space.examples)
        values = sorted(space.values) if numbers else list(space.values)
        for agent, color in zip(findings.plan.agents, plotting.COLORS * 2, strict=False):
            chosen = [row for row in rows if row.trial.agent == agent]
            iqm = np.array([interquartile_mean(row.returns) for row in chosen])
            given = [row.trial.setting[name] for row in chosen]
            x = np.array(given if numbers else [values.index(value) for value in given])
            panel.plot(x, iqm, "o", color=color, alpha=0.6, label=agent)
            if space.values:
                panel.plot(np.unique(x), [iqm[x == place].max() for place in np.unique(x)], color=color)
        wide = numbers and bool(values) and values[0] > 0 and values[-1] > 3 * values[0]
        if space.log or wide:
            panel.set_xscale("log")
        if space.values:
            panel.minorticks_off()
            panel.set_xticks(values if numbers else range(len(values)), [value_words(value) for value in values])
        panel.set_xlabel(name)
    panels[0].set_ylabel(_("interquartile mean of test returns"))
    title = _("{env}: what each setting reaches (line: the best of each value)", env=env)
    figure.suptitle(title, fontsize=18)
    if len(findings.plan.agents) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure


CAPTIONS = {
    "intervals": _(
        "Each line is a setting: its seeds are dots, and the square is the mean of the middle half of them. "
        "Where two bars overlap widely, more seeds are needed to tell the settings apart."
    ),
    "profiles": _(
        "A curve shows which share of the seeds reaches at least a return. "
        "It shows more than a mean: a few seeds that failed are a step at the left."
    ),
    "efficiency": _(
        "The best settings while they learn, on the validation starts. "
        "The steeper a line rises, the fewer steps are needed."
    ),
    "improvement": _(
        "A number above one half says that the setting of the line is better more often than not. 0.50 is a draw."
    ),
    "sensitivity": _(
        "Every dot is a setting. "
        "A flat line says that this field matters little; a peak says that it has to be chosen well."
    ),
}

PAGE = Page(
    question=_("Which setting is best, and how sure is that?"),
    formula=(_("$P(X > Y)$: how often a seed of one setting is better than a seed of another"),),
    captions=CAPTIONS,
    what_if=(
        (
            "balancier sweep FILE.toml --jobs 8",
            _("the same numbers in less time: they do not depend on where jobs run"),
        ),
        ("balancier sweep --resume RUN", _("a run that was stopped goes on; what is finished is not done again")),
        ("balancier sweep FILE.toml --scheduler tcp://HOST:8786", _("the same on the workers of a Dask cluster")),
    ),
)
