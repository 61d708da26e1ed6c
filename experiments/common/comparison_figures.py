"""The figures of a comparison: three agents on one figure, and more on further ones.

S seed, E evaluations.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from balancier import _
from experiments.common import plotting
from experiments.common.comparison import LIBRARIES, Findings, Row
from experiments.common.players import CONTROLLERS, OPTIMUM
from experiments.common.statistics import interquartile_mean, performance_profile

COLORS = {"balancier": plotting.BLUE, "sb3": plotting.ORANGE}
ON_ONE = 3  # agents of a figure


def figures(findings: Findings) -> dict[str, Figure]:
    """Curves, returns and profiles of each three agents, and times of all.

    The second figure of a kind is called `returns_2`.
    """
    drawn: dict[str, Figure] = {}
    for first in range(0, len(findings.agents), ON_ONE):
        agents, suffix = findings.agents[first : first + ON_ONE], f"_{first // ON_ONE + 1}" if first else ""
        drawn["learning_curves" + suffix] = plot_curves(findings, agents)
        drawn["returns" + suffix] = plot_returns(findings, agents)
        drawn["profiles" + suffix] = plot_profiles(findings, agents)
    return drawn | {"times": plot_times(findings)}


def label(row: Row) -> str:
    seeds = _("{count} seeds", count=len(row.seeds)) if len(row.seeds) > 1 else _("1 seed")
    return f"{_('ours') if row.entry.package == 'balancier' else 'SB3'}\n{seeds}"


def seconds_of_most(row: Row) -> float:
    """Seconds until nine of ten seeds of ours, or the median seed of SB3's, are at the threshold; inf for never.

    The smallest time at which so many seeds are there: no share of them is rounded away.
    """
    seconds = [np.inf if value is None else value for value in row.to_threshold("seconds")]
    share = 0.9 if row.entry.package == "balancier" else 0.5
    return float(np.quantile(seconds, share, method="inverted_cdf"))


def in_words(findings: Findings, agents: list[str], number: Any, unit: str = "") -> str:
    """One number of each row in words: "SAC 9.2 s, SB3's 66 s"."""
    parts = []
    for agent in agents:
        words = []
        for row in findings.rows_of(agent):
            value = number(row)
            shown = f"{value:.0f}{unit}" if np.isfinite(value) else _("never")
            words.append(shown if row.entry.package == "balancier" else _("SB3's {number}", number=shown))
        parts.append(f"{agent.upper()} {', '.join(words)}")
    return _("; ").join(parts)


def plot_curves(findings: Findings, agents: list[str]) -> Figure:
    """Return against steps and processor seconds: interquartile mean with 95 % interval, and seeds as thin lines."""
    ends = in_words(findings, agents, lambda row: interquartile_mean(row.curves[2][-1]))
    title = _("Return while learning, at the end: {numbers}", numbers=ends)
    count = len(agents)
    figure, axes = plotting.slide(title, count, 2)
    for column, agent in enumerate(agents):
        panels = axes[column], axes[count + column]
        rows = findings.rows_of(agent)
        for row in rows:
            steps, seconds, curve = row.curves
            for panel, x in zip(panels, (steps, seconds), strict=True):
                color = COLORS[row.entry.package]
                plotting.iqm_band(panel, x.tolist(), curve, LIBRARIES[row.entry.package], color)
                panel.plot(x, curve, color=color, linewidth=0.8, alpha=0.5)
        for panel, name in zip(panels, (_("steps of each seed"), _("processor seconds")), strict=True):
            plot_references(panel, rows)
            panel.set_xlabel(name)
        panels[0].set_title(_("{agent} on {env}", agent=agent.upper(), env=rows[0].entry.env_name))
        panels[1].set_xscale("log")
        panels[1].xaxis.set_minor_formatter(NullFormatter())  # its numbers would lie on each other
    axes[0].set_ylabel(_("validation return"))
    axes[count].set_ylabel(_("validation return"))
    axes[count].set_title(_("all seeds of ours, one of SB3's"), fontsize=13, color=plotting.GRAY)
    handles: dict[str, Any] = {}
    for panel in axes:
        handles |= {text: handle for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    lines = _("thick: interquartile mean    band: its 95 % interval    thin: seeds")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), title=lines)
    return figure


def plot_references(panel: Axes, rows: list[Row]) -> None:
    """The threshold and the optimum as lines."""
    if rows[0].entry.threshold is not None:
        panel.axhline(rows[0].entry.threshold, color=plotting.GRAY, linestyle=":", linewidth=1.8, label=_("threshold"))
    if rows[0].optimum is not None:
        panel.axhline(rows[0].optimum, color="black", linestyle="--", linewidth=1.8, label=_("optimum"))


def plot_violin(panel: Axes, returns: np.ndarray, middle: float, place: int, color: str) -> None:
    """The distribution of returns, and a bar across it."""
    finite = returns[np.isfinite(returns)]  # a seed that diverged has no dot, and its library no bar
    if len(finite):
        bodies: Any = panel.violinplot([finite], [place], widths=0.8, showextrema=False)["bodies"]
        bodies[0].set(facecolor=color, alpha=0.25)
    panel.plot([place - 0.3, place + 0.3], [middle] * 2, color="black")


def plot_returns(findings: Findings, agents: list[str]) -> Figure:
    """The returns of the test: a dot for each seed, a shape for all episodes, and the optimum beside them."""
    means = in_words(findings, agents, lambda row: interquartile_mean(row.returns))
    title = _("Interquartile mean of the test: {numbers}", numbers=means)
    figure, axes = plotting.slide(title, len(agents))
    for panel, agent in zip(axes, agents, strict=True):
        rows = findings.rows_of(agent)
        ticks = [_("{label}\n{steps:,}\nsteps", label=label(row), steps=row.entry.steps) for row in rows]
        for place, row in enumerate(rows):
            color = COLORS[row.entry.package]
            plot_violin(panel, row.test_returns.ravel(), interquartile_mean(row.returns), place, color)
            spread = np.linspace(-0.12, 0.12, len(row.seeds)) if len(row.seeds) > 1 else np.zeros(1)
            panel.plot(place + spread, row.returns, "o", color=color, markersize=9)
        optimal = rows[0].optimal
        if optimal is not None:
            plot_violin(panel, optimal, optimal.mean(), len(rows), plotting.GRAY)
            panel.axhline(optimal.mean(), color="black", linestyle="--", linewidth=1.8)
            ticks.append(_("optimum\n(exact)"))
        for reference in findings.references_in(rows[0].entry.env):
            if reference.name != OPTIMUM or optimal is None:
                plot_violin(panel, reference.returns, reference.returns.mean(), len(ticks), plotting.GRAY)
                ticks.append(_("{controller}\n(learns\nnothing)", controller=_(CONTROLLERS[reference.name])))
        panel.set_xticks(range(len(ticks)), ticks, fontsize=13)
        panel.set_title(_("{agent} on {env}", agent=agent.upper(), env=rows[0].entry.env_name))
        panel.grid(axis="x", visible=False)
    axes[0].set_ylabel(_("return of test episodes"))
    legend = _("dots: seeds    bar: interquartile mean    shape: all episodes")
    figure.supxlabel(legend, fontsize=13, color=plotting.GRAY)
    return figure


def plot_profiles(findings: Findings, agents: list[str]) -> Figure:
    """The share of the seeds whose test return is at least so high, and the probability of improvement."""
    figure, axes = plotting.slide("", len(agents), sharey=True)
    better = []
    for panel, agent in zip(axes, agents, strict=True):
        rows = findings.rows_of(agent)
        thresholds, shares = performance_profile([row.returns for row in rows])
        for row, share in zip(rows, shares.T, strict=True):
            plotting.profile(panel, thresholds, share, LIBRARIES[row.entry.package], COLORS[row.entry.package])
        name = _("{agent} on {env}", agent=agent.upper(), env=rows[0].entry.env_name)
        for known in (known for known in findings.pairs if known["agent"] == agent):
            chance = known["probability_of_improvement"]
            better.append(f"{agent.upper()} {chance:.2f}")
            name = _("{name}\nP(ours higher) = {chance:.2f}", name=name, chance=chance)
        panel.set(xlabel=_("return"), ylim=(-0.03, 1.03))
        panel.set_title(name)
    axes[0].set_ylabel(_("share of seeds with at least this return"))
    title = _("How often a seed of ours has a higher return than one of SB3's: {numbers}", numbers=", ".join(better))
    figure.suptitle(title if better else _("A line that lies further to the right is better"), fontsize=18)
    handles: dict[str, Any] = {}
    for panel in axes:
        handles |= {text: handle for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return figure


def plot_times(findings: Findings) -> Figure:
    """Processor seconds: of a step of a seed, and until the threshold."""
    title = _("Seconds to the threshold: ten seeds of ours, one of SB3's")
    if len(findings.agents) <= ON_ONE:
        title += "\n" + in_words(findings, findings.agents, seconds_of_most, " s")
    figure, (whole, until) = plotting.slide(title, 2)
    for row in findings.rows:
        ours, color = row.entry.package == "balancier", COLORS[row.entry.package]
        place = findings.agents.index(row.entry.agent) + (-0.2 if ours else 0.2)
        cost, height = row.seconds_per_seed / row.entry.steps * 1000, seconds_of_most(row)
        whole.bar(place, cost, 0.38, color=color, label=LIBRARIES[row.entry.package])
        whole.text(place, cost, f"{cost:.2g}", ha="center", va="bottom", fontsize=13)
        seconds = [np.nan if value is None else value for value in row.to_threshold("seconds")]
        if np.isfinite(height):
            until.bar(place, height, 0.38, color=color, alpha=0.6)
            top = np.nanmax([height, *seconds])  # the number stands above the dots, which it would hide
            style = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 13}
            until.annotate(f"{height:.1f}", (place, top), (0, 4), **style)
        else:
            until.text(place, 0, _("never"), ha="center", va="bottom", fontsize=13, rotation=90, color=color)
        spread = place + np.linspace(-0.12, 0.12, len(seconds)) if len(seconds) > 1 else [place]
        until.plot(spread, seconds, "o", color="black", markersize=4)
    whole.set_title(_("training one seed for a thousand steps"), fontsize=15)
    until.set_title(_("ours: nine of ten seeds, all trained;\nSB3's: its median seed (dots: seeds)"), fontsize=15)
    for axes in (whole, until):
        axes.set_xticks(range(len(findings.agents)), [agent.upper() for agent in findings.agents])
        axes.set_xlim(-0.5, len(findings.agents) - 0.5)
        axes.set_ylim(bottom=0)
        axes.grid(visible=False)
    whole.set_ylabel(_("processor seconds"))
    handles, labels = whole.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=len(unique))
    return figure
