from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.common.statistics import (
    confidence_interval,
    first_crossing,
    interquartile_mean,
    performance_profile,
    permutation_p_value,
    probability_of_improvement,
)

# Weights of the values in rising order, worked out by hand: a quarter of the weight goes from each end.
F = Fraction
WEIGHTS = {
    1: [F(1)],
    2: [F(1, 2), F(1, 2)],
    3: [F(1, 6), F(2, 3), F(1, 6)],
    4: [0, F(1, 2), F(1, 2), 0],
    5: [0, F(3, 10), F(4, 10), F(3, 10), 0],
    6: [0, F(1, 6), F(1, 3), F(1, 3), F(1, 6), 0],
    7: [0, F(1, 14), F(4, 14), F(4, 14), F(4, 14), F(1, 14), 0],
    8: [0, 0, F(1, 4), F(1, 4), F(1, 4), F(1, 4), 0, 0],
    9: [0, 0, F(3, 18), F(4, 18), F(4, 18), F(4, 18), F(3, 18), 0, 0],
    10: [0, 0, F(1, 10), F(1, 5), F(1, 5), F(1, 5), F(1, 5), F(1, 10), 0, 0],
    11: [0, 0, F(1, 22), F(4, 22), F(4, 22), F(4, 22), F(4, 22), F(4, 22), F(1, 22), 0, 0],
    12: [0, 0, 0, F(1, 6), F(1, 6), F(1, 6), F(1, 6), F(1, 6), F(1, 6), 0, 0, 0],
}
SQUARES = {
    1: 1.0, 2: 2.5, 3: 13 / 3, 4: 6.5, 5: 9.6, 6: 79 / 6, 7: 240 / 14, 8: 21.5, 9: 482 / 18, 10: 32.5,
    11: 850 / 22, 12: 271 / 6,
}  # fmt: skip
numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
seeds = st.lists(numbers, min_size=1, max_size=30).map(np.array)


@pytest.mark.parametrize("n", WEIGHTS)
def test_interquartile_mean_by_hand(n):
    """Every weight, from a value of one among zeros, and the squares of 1 to n as one number."""
    assert sum(WEIGHTS[n]) == 1
    squares = np.arange(1.0, n + 1) ** 2
    assert interquartile_mean(squares[::-1]) == pytest.approx(SQUARES[n], rel=1e-12)
    for i, weight in enumerate(WEIGHTS[n]):
        # Steps 0, 0, 1, 1 add up the weights from i on; their differences are the weights.
        step = (np.arange(n) >= i).astype(float)
        assert interquartile_mean(step) == pytest.approx(float(sum(WEIGHTS[n][i:])), abs=1e-12), (i, weight)


def test_three_seeds_are_not_their_mean():
    assert interquartile_mean(np.array([-600.0, -150.0, -120.0])) == pytest.approx(-220.0)
    assert interquartile_mean(np.array([-1000.0, 1, 2, 3, 4, 5, 6, 1000])) == 3.5
    assert interquartile_mean(np.array([7.0])) == 7.0


@given(seeds)
def test_interquartile_mean_lies_among_the_values_and_has_no_order(values):
    iqm = interquartile_mean(values)
    assert values.min() <= iqm <= values.max()
    assert iqm == interquartile_mean(values[::-1]) == interquartile_mean(np.roll(values, 7))


@given(numbers, st.integers(1, 30))
def test_interquartile_mean_of_equal_values_is_their_mean_exactly(value, n):
    assert interquartile_mean(np.full(n, value)) == value


@given(seeds, st.floats(-100, 100), numbers)
def test_interquartile_mean_keeps_scale_and_shift(values, scale, shift):
    moved = interquartile_mean(scale * values + shift)
    size = np.abs(scale * values).max() + abs(shift)
    assert moved == pytest.approx(scale * interquartile_mean(values) + shift, abs=1e-12 * size + 1e-12)


@given(st.integers(1, 8).flatmap(lambda k: st.lists(numbers, min_size=4 * k, max_size=4 * k)).map(np.array))
def test_multiples_of_four_give_the_trimmed_mean_of_others(values):
    """rliable and SciPy trim whole numbers of values, which is the same there."""
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), rel=1e-9, abs=1e-6)


@given(seeds)
def test_every_value_four_times_gives_the_trimmed_mean(values):
    """What a fraction of a value means: each is cut into four equal parts, and whole parts are trimmed."""
    expected = stats.trim_mean(values.repeat(4), 0.25)
    assert interquartile_mean(values) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_interquartile_means_along_an_axis():
    values = np.random.default_rng(0).normal(size=(4, 3, 10))
    for axis in (0, 1, 2, -1):
        expected = np.apply_along_axis(interquartile_mean, axis, values)
        np.testing.assert_allclose(interquartile_mean(values, axis), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="values: found none, expected at least one"):
        interquartile_mean(np.array([]))


def test_a_seed_that_failed_is_not_left_out():
    """Trimming would drop it as if it were the best."""
    values = np.array([np.nan, *np.arange(9.0)])
    assert np.isnan(interquartile_mean(values))
    assert np.isnan(confidence_interval(values)).all()
    assert np.isnan(permutation_p_value(values, np.arange(3.0)))


def test_intervals_hold_the_mean_and_shrink_with_more_seeds():
    sample = np.random.default_rng(0).normal(size=100)
    few, many = confidence_interval(sample[:10]), confidence_interval(sample)
    assert few[0] < interquartile_mean(sample[:10]) < few[1]
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])
    # The interquartile mean of a normal sample has a standard error of about 1.09 / sqrt(n).
    assert many[1] - many[0] == pytest.approx(2 * 1.96 * 1.09 / 10, rel=0.25)
    assert confidence_interval(np.array([3.0])) == (3.0, 3.0)
    assert confidence_interval(np.array([3.0, 3.0])) == (3.0, 3.0)


def test_an_interval_has_the_estimator_of_the_table():
    """Of three seeds 0, 0, 6 all 27 samples by hand: the IQM is 0 with none or one 6 in a third, 1, 5 or 6 else."""
    low, high = confidence_interval(np.array([0.0, 0.0, 6.0]), 0.9)
    # P(no 6) = 8/27, P(one) = 12/27 -> 1, P(two) = 6/27 -> 5, P(three) = 1/27 -> 6; 5 % and 95 % lie at 0 and 5.
    assert (low, high) == pytest.approx((0.0, 5.0))


def test_probability_of_improvement():
    ours, theirs = np.array([1.0, 3.0, 5.0]), np.array([2.0, 3.0])
    assert probability_of_improvement(ours, theirs) == pytest.approx((0 + 0 + 1 + 0.5 + 1 + 1) / 6)


def test_p_values_by_counting():
    """All ways to choose three of 13, of which two are as extreme; all ways of two of four, of which all are."""
    assert permutation_p_value(np.arange(10.0) + 5, np.arange(3.0)) == pytest.approx(2 / 286)
    assert permutation_p_value(np.arange(3.0), np.arange(10.0) + 5) == pytest.approx(2 / 286)
    assert permutation_p_value(np.array([1.0, 4.0]), np.array([2.0, 3.0])) == 1.0
    assert permutation_p_value(np.full(10, 500.0), np.full(3, 500.0)) == 1.0
    assert np.isnan(permutation_p_value(np.arange(10.0), np.array([-1.0])))  # one seed decides nothing


def test_three_evaluations_in_a_row():
    curve = np.array([[5, 1, 1, 9, 9], [5, 9, 1, 1, 9], [5, 9, 9, 9, 1], [0, 9, 9, 9, 9], [0, 1, 9, 9, 9]], float)
    assert first_crossing(curve, 5).tolist() == [0, 1, 2, 2, -1]
    assert first_crossing(curve[:2], 5).tolist() == [-1] * 5


def test_a_performance_profile_by_hand():
    thresholds, shares = performance_profile([np.array([0.0, 50.0, 100.0, np.nan]), np.array([30.0])])
    assert (thresholds[0], thresholds[-1], len(thresholds)) == (0.0, 100.0, 101)
    assert [shares[i].tolist() for i in (0, 1, 50, 51, 100)] == [[0.75, 1], [0.5, 1], [0.5, 0], [0.25, 0], [0.25, 0]]
    assert performance_profile([np.array([np.nan])])[1].max() == 0
