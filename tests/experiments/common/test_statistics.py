import numpy as np
import pytest

from experiments.common.statistics import (
    confidence_interval,
    first_crossing,
    interquartile_mean,
    probability_of_improvement,
)


def test_interquartile_mean():
    assert interquartile_mean(np.array([-1000.0, 1, 2, 3, 4, 5, 6, 1000])) == 3.5
    assert interquartile_mean(np.array([7.0])) == 7.0


def test_intervals_hold_the_mean_and_shrink_with_more_seeds():
    sample = np.random.default_rng(0).normal(size=100)
    few, many = confidence_interval(sample[:10]), confidence_interval(sample)
    assert few[0] < interquartile_mean(sample[:10]) < few[1]
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])
    # The interquartile mean of a normal sample has a standard error of about 1.09 / sqrt(n).
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * 1.09 / 10, rel=0.25)
    assert confidence_interval(np.array([3.0])) == (3.0, 3.0)
    assert confidence_interval(np.array([3.0, 3.0])) == (3.0, 3.0)


def test_probability_of_improvement():
    ours, theirs = np.array([1.0, 3.0, 5.0]), np.array([2.0, 3.0])
    assert probability_of_improvement(ours, theirs) == pytest.approx((0 + 0 + 1 + 0.5 + 1 + 1) / 6)


def test_three_evaluations_in_a_row():
    curve = np.array([[5, 1, 1, 9, 9], [5, 9, 1, 1, 9], [5, 9, 9, 9, 1], [0, 9, 9, 9, 9], [0, 1, 9, 9, 9]], float)
    assert first_crossing(curve, 5).tolist() == [0, 1, 2, 2, -1]
    assert first_crossing(curve[:2], 5).tolist() == [-1] * 5
