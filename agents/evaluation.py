"""Judging: the same starts for everyone, and statistics over seeds that small samples can bear.

S seed, n starts, E evaluations.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from scipy import stats

from agents.worlds import native_rows

JUDGED = 10_000  # the final judgement starts from reset(seed=JUDGED + i)
WATCHED = 20_000  # evaluations during training from reset(seed=WATCHED + i)


def evaluate(model: Any, env: str, starts: Sequence[int], env_kwargs: dict[str, Any] | None = None) -> np.ndarray:
    """Returns (S, n) of complete episodes from `reset(seed=start)`, the same starts for every seed.

    Args:
        model: an agent of this package (S replicas), or anything with SB3's `predict` (then S = 1).
        env: a Gymnasium id.
        starts: n seeds of `reset`.
        env_kwargs: keywords of `gymnasium.make`.
    """
    replicas = len(model) if hasattr(model, "__len__") else None
    rows, n = (replicas or 1) * len(starts), len(starts)
    worlds = _Rows(env, rows, env_kwargs or {})
    obs = worlds.reset([start for _ in range(replicas or 1) for start in starts])
    returns, going = np.zeros(rows), np.ones(rows, np.bool_)
    state, first = None, np.ones(rows, np.bool_)
    while going.any():
        shaped = (replicas, n) if replicas else (n,)
        action, state = model.predict(
            obs.reshape(*shaped, *obs.shape[1:]), state, first.reshape(shaped), deterministic=True
        )
        obs, reward, done = worlds.step(action.reshape(rows, *action.shape[len(shaped) :]), going)
        returns[going] += reward[going]
        going &= ~done
        first = np.zeros(rows, np.bool_)
    worlds.close()
    return returns.reshape(-1, n)


class _Rows:
    """As many environments as episodes: a native batch where the world has one, else one by one."""

    def __init__(self, env: str, rows: int, env_kwargs: dict[str, Any]):
        self.batch = native_rows(env, rows, env_kwargs)
        if self.batch is None:
            self.worlds = [gym.make(env, disable_env_checker=True, **env_kwargs) for _ in range(rows)]

    def reset(self, seeds: list[int]) -> np.ndarray:
        if self.batch is not None:
            return self.batch.reset(seed=seeds)[0]  # type: ignore[arg-type]
        self.obs = np.stack([world.reset(seed=seed)[0] for world, seed in zip(self.worlds, seeds, strict=True)])
        return self.obs

    def step(self, actions: np.ndarray, going: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step at least the rows still `going`; observations, rewards and ends, meaningless in the others."""
        if self.batch is not None:
            obs, reward, terminated, truncated, _ = self.batch.step(actions)
            return obs, reward, terminated | truncated
        reward, done = np.zeros(len(going)), np.zeros(len(going), np.bool_)
        for i in np.flatnonzero(going):
            self.obs[i], reward[i], terminated, truncated, _ = self.worlds[i].step(actions[i])
            done[i] = terminated or truncated
        return self.obs, reward, done

    def close(self) -> None:
        for world in self.worlds if self.batch is None else [self.batch]:
            world.close()


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
