"""One style for all figures: large enough for a projector, readable without seeing every color."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import Formatter

from balancier import decimals, language
from experiments.common.statistics import confidence_interval, interquartile_mean

# Okabe and Ito's palette, which the color-blind can tell apart.
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, RED, GRAY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#B22222",
    "#6B6B6B",
)
COLORS = [BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY]

matplotlib.rcParams.update(
    {
        "font.size": 15,
        "axes.titlesize": 17,
        "axes.labelsize": 16,
        "legend.fontsize": 13,
        "lines.linewidth": 2.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=COLORS),
        "axes.grid": True,
        "grid.alpha": 0.25,
        "legend.frameon": False,
        "figure.dpi": 110,
        "svg.fonttype": "none",
    }
)


def new(columns: int = 1, rows: int = 1, width: float = 7.0, height: float = 5.0, **options: Any):
    """A figure and its axes as a list, row by row."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def slide(title: str, columns: int = 1, rows: int = 1, **options: Any):
    """A figure of 16:9 whose title says the lesson, and its axes as a list, row by row."""
    figure, axes = new(columns, rows, width=14 / columns, height=7.875 / rows, **options)
    figure.suptitle(title, fontsize=18)
    return figure, axes


def band(
    axes: Axes, x: Sequence[float], low: Any, middle: Any, high: Any, label: str, color: str, **style: Any
) -> None:
    """A line with the band that it lies in."""
    axes.plot(x, middle, color=color, label=label, **style)
    axes.fill_between(x, np.asarray(low), np.asarray(high), color=color, alpha=0.2, linewidth=0)


def mean_band(axes: Axes, x: Sequence[float], values: np.ndarray, label: str, color: str, **style: Any) -> None:
    """The mean over the seeds of values (T, S), with the band from the smallest to the largest."""
    band(axes, x, values.min(1), values.mean(1), values.max(1), label, color, **style)


def quantile_band(
    axes: Axes,
    x: Sequence[float],
    values: np.ndarray,
    label: str,
    color: str,
    quantiles: tuple[float, float, float] = (0.0, 0.5, 1.0),
    **style: Any,
) -> None:
    """A quantile over the seeds of values (T, S), with the band between two others: median and range, if not given.

    NaN is left out.
    """
    low, middle, high = np.nanquantile(values, quantiles, 1)
    band(axes, x, low, middle, high, label, color, **style)


def iqm_band(axes: Axes, x: Sequence[float], values: np.ndarray, label: str, color: str, **style: Any) -> None:
    """The interquartile mean over the seeds of values (T, S), with the band of its 95 % interval."""
    low, high = np.array([confidence_interval(row) for row in values]).T
    band(axes, x, low, interquartile_mean(values), high, label, color, **style)


class LocalDecimals(Formatter):
    """The marks at an axis as another formatter writes them, in the user's language."""

    def __init__(self, formatter: Formatter):
        self.formatter = formatter

    def set_axis(self, axis: Any) -> None:
        super().set_axis(axis)
        self.formatter.set_axis(axis)

    def set_locs(self, locs: Any) -> None:
        self.formatter.set_locs(locs)

    def __call__(self, x: float, pos: int | None = None) -> str:
        return decimals(self.formatter(x, pos))

    def format_ticks(self, values: Any) -> list[str]:
        return [decimals(text) for text in self.formatter.format_ticks(values)]

    def get_offset(self) -> str:
        return decimals(self.formatter.get_offset())


def profile(axes: Axes, thresholds: np.ndarray, share: np.ndarray, label: str, color: str) -> None:
    """A performance profile, down to its end: above the highest return there is no seed."""
    ends = [*thresholds, thresholds[-1]], [*share, 0.0]
    axes.plot(*ends, color=color, label=label, drawstyle="steps-post")


def localize(figure: Figure) -> None:
    """Write the numbers of a figure as the user's language writes them."""
    if language() == "en":
        return
    for text in figure.findobj(Text):
        text.set_text(decimals(text.get_text()))
    for axis in (axis for axes in figure.axes for axis in axes._axis_map.values()):
        for which in (axis.major, axis.minor):
            if which.formatter is not None and not isinstance(which.formatter, LocalDecimals):
                which.formatter = LocalDecimals(which.formatter)
