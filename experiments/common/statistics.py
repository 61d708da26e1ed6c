"""Statistics over seeds that small samples can bear.

S seed, E evaluations.
"""

import numpy as np
from scipy import stats


def interquartile_mean(values: np.ndarray) -> float:
    """Mean of the middle half (arXiv:2108.13264): neither the luckiest nor the unluckiest seed decides."""
    return float(stats.trim_mean(values, 0.25))


def confidence_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the interquartile mean over seeds; a single seed gives a point."""
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
    """P(a seed of ours is better than one of theirs), ties counted half: Mann and Whitney's U over all pairs."""
    return float(stats.mannwhitneyu(ours, theirs).statistic / (len(ours) * len(theirs)))


def first_crossing(curve: np.ndarray, threshold: float, in_a_row: int = 3) -> np.ndarray:
    """Index (S,) of the first of three evaluations in a row at or above the threshold, -1 where there is none.

    `curve` (E, S) holds each evaluation's mean return. A single crossing is noise: agents have crossed once and ended
    far below.
    """
    above = curve >= threshold
    if len(above) < in_a_row:
        return np.full(curve.shape[1], -1)
    runs = np.lib.stride_tricks.sliding_window_view(above, in_a_row, axis=0).all(-1)  # (E - 2, S)
    return np.where(runs.any(0), runs.argmax(0), -1)
