"""Bands over the seeds."""

import numpy as np
import pytest

from experiments.common import plotting
from experiments.common.statistics import confidence_interval


def drawn(draw, values, **keywords):
    """Line and lower and upper edge of the band that `draw` makes of values (T, S)."""
    _, (axes,) = plotting.new()
    draw(axes, range(len(values)), values, "label", plotting.BLUE, **keywords)
    corners = axes.collections[0].get_paths()[0].vertices
    edges = [corners[corners[:, 0] == x, 1] for x in range(len(values))]
    return axes.lines[0].get_ydata(), [edge.min() for edge in edges], [edge.max() for edge in edges]


VALUES = np.array([[0.0, 1.0, 5.0], [2.0, 2.0, 2.0]])  # (T, S)


def test_a_mean_lies_between_the_smallest_and_the_largest():
    line, low, high = drawn(plotting.mean_band, VALUES)
    assert list(line) == [2.0, 2.0]
    assert (low, high) == ([0.0, 2.0], [5.0, 2.0])


def test_quantiles_are_over_the_seeds_and_leave_nan_out():
    line, low, high = drawn(plotting.quantile_band, np.append(VALUES, [[np.nan], [np.nan]], axis=1))
    assert list(line) == [1.0, 2.0]
    assert (low, high) == ([0.0, 2.0], [5.0, 2.0])
    line, low, high = drawn(plotting.quantile_band, VALUES, quantiles=(0.25, 0.5, 0.75))
    assert list(line) == [1.0, 2.0]
    assert (low, high) == ([0.5, 2.0], [3.0, 2.0])


def test_an_interquartile_mean_lies_in_its_interval():
    values = np.array([[0.0, 1.0, 2.0, 3.0, 100.0], [4.0, 4.0, 4.0, 4.0, 4.0]])
    line, low, high = drawn(plotting.iqm_band, values)
    assert list(line) == [2.0, 4.0]  # the largest and the smallest do not count
    assert (low[0], high[0]) == pytest.approx(confidence_interval(values[0]))
    assert low[1] == high[1] == 4.0
