"""Statistics over seeds.

A seed is one independent training, and there are few of them, mostly ten. So the numbers here are robust: one lucky or
unlucky seed does not decide (arXiv:2108.13264).

S seed, E evaluations.
"""

import numpy as np
from scipy import stats


def interquartile_mean(values: np.ndarray) -> float:
    """The interquartile mean (IQM): the mean of the middle half of the values (S,).

    The lowest and the highest quarter are left out.
    """
    return float(stats.trim_mean(values, 0.25))


def confidence_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """An interval that holds the interquartile mean of all possible seeds with the probability `level`.

    It is a percentile bootstrap: seeds are drawn from `values` (S,) with replacement, 2000 times, and the interval
    holds the middle 95 % of their interquartile means. For a single seed, or equal values, it is a point.
    """
    if len(values) < 2 or np.ptp(values) == 0:
        return interquartile_mean(values), interquartile_mean(values)
    result = stats.bootstrap(
        (values,),
        lambda sample, axis: stats.trim_mean(sample, 0.25, axis=axis),
        n_resamples=2000,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The probability that a random seed of ours is better than a random seed of theirs; a tie counts half.

    It is the statistic U of Mann and Whitney divided by the number of pairs.
    """
    return float(stats.mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs)))


def first_crossing(curve: np.ndarray, threshold: float, in_a_row: int = 3) -> np.ndarray:
    """Index (S,) of the first of three evaluations in a row at or above the threshold, -1 where there is none.

    `curve` (E, S) holds the mean return of each evaluation. A single crossing may be noise: agents have crossed once
    and ended far below.
    """
    above = curve >= threshold
    if len(above) < in_a_row:
        return np.full(curve.shape[1], -1)
    runs = np.lib.stride_tricks.sliding_window_view(above, in_a_row, axis=0).all(-1)  # (E - 2, S)
    return np.where(runs.any(0), runs.argmax(0), -1)
