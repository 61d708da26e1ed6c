"""Statistics over seeds.

A seed is one independent training, and there are few of them, mostly ten. So the numbers here are robust: one lucky or
unlucky seed does not decide (arXiv:2108.13264).

S seed, E evaluations.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def interquartile_mean(values: np.ndarray, axis: int = -1) -> Any:
    """The interquartile mean (IQM): the mean of the middle half of the values along one axis.

    A quarter of the weight is taken from each end, whatever the number of values: where n is no multiple of four, the
    values at the edges of the middle half count in part. So of three values the weights are 1/6, 2/3, 1/6; of one or
    two, the IQM is their mean. NaN if a value is NaN or infinite: a seed that failed is not left out.

    Args:
        values: (..., S) for the last axis; at least one value along the axis.

    Returns:
        A number for values (S,), else an array of the other axes.

    Raises:
        ValueError: if there is no value along the axis.
    """
    ordered = np.sort(np.moveaxis(np.asarray(values, float), axis, -1), -1)
    count = ordered.shape[-1]
    if not count:
        raise ValueError("values: found none, expected at least one")
    edges = np.arange(count + 1).clip(count / 4, 3 * count / 4)  # value i covers the interval from i to i + 1
    with np.errstate(invalid="ignore"):  # 0 times infinity
        mean = ordered @ (np.diff(edges) / (count / 2))
    mean = np.clip(mean, ordered[..., 0], ordered[..., -1])  # rounding does not lift the mean above the values
    return mean if mean.ndim else float(mean)


def confidence_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """An interval that holds the interquartile mean of all possible seeds with the probability `level`.

    It is a percentile bootstrap: seeds are drawn from `values` (S,) with replacement, 2000 times, and the interval
    holds the middle 95 % of their interquartile means. For a single seed, or equal values, it is a point; NaN if a
    value is NaN or infinite.
    """
    if len(values) < 2 or np.ptp(values) == 0 or not np.isfinite(values).all():
        return interquartile_mean(values), interquartile_mean(values)
    from scipy import stats  # here, because it takes a second

    result = stats.bootstrap(
        (values,),
        interquartile_mean,
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
    from scipy import stats

    return float(stats.mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs)))


def performance_profile(groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What share of the seeds of each group is at or above a threshold: a run-score distribution (arXiv:2108.13264).

    Args:
        groups: returns of seeds, (S,) each, with S of its own.

    Returns:
        101 thresholds from the lowest to the highest finite return of all groups, and the shares (101, groups).
    """
    together = np.concatenate(groups)
    finite = together[np.isfinite(together)]
    thresholds = np.linspace(*((finite.min(), finite.max()) if len(finite) else (0.0, 1.0)), 101)
    return thresholds, np.stack([(returns >= thresholds[:, None]).mean(1) for returns in groups], 1)


def permutation_p_value(ours: np.ndarray, theirs: np.ndarray) -> float:
    """How often chance alone would set two groups of seeds apart at least as far: the two-sided p-value of the
    probability of improvement, over all ways to deal the seeds out (or 9,999 random ways, where there are more).

    Ten seeds against three reach 0.007 at best. NaN if a value is NaN or a group has a single seed, which says nothing.
    """
    from scipy import stats

    ranks = stats.rankdata(np.concatenate([ours, theirs]))
    if np.isnan(ranks).any() or min(len(ours), len(theirs)) < 2:
        return np.nan
    result = stats.permutation_test(
        (ranks[: len(ours)], ranks[len(ours) :]),
        lambda first, second, axis: first.mean(axis) - second.mean(axis),
        vectorized=True,
        n_resamples=9_999,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


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
