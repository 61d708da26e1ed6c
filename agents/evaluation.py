"""Judging: the same starts for everyone, and statistics over seeds that small samples can bear.

S seed, n starts, E evaluations.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from agents.common.make_env import native_rows

TEST_SEED = 10_000  # the final judgment starts from reset(seed=TEST_SEED + i)
VALIDATION_SEED = 20_000  # evaluations during training from reset(seed=VALIDATION_SEED + i)


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
            self.vec_env = [gym.make(env, disable_env_checker=True, **env_kwargs) for _ in range(rows)]

    def reset(self, seeds: list[int]) -> np.ndarray:
        if self.batch is not None:
            return self.batch.reset(seed=seeds)[0]  # type: ignore[arg-type]
        self.obs = np.stack([world.reset(seed=seed)[0] for world, seed in zip(self.vec_env, seeds, strict=True)])
        return self.obs

    def step(self, actions: np.ndarray, going: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step at least the rows still `going`; observations, rewards and ends, meaningless in the others."""
        if self.batch is not None:
            obs, reward, terminated, truncated, _ = self.batch.step(actions)
            return obs, reward, terminated | truncated
        reward, done = np.zeros(len(going)), np.zeros(len(going), np.bool_)
        for i in np.flatnonzero(going):
            self.obs[i], reward[i], terminated, truncated, _ = self.vec_env[i].step(actions[i])
            done[i] = terminated or truncated
        return self.obs, reward, done

    def close(self) -> None:
        for world in self.vec_env if self.batch is None else [self.batch]:
            world.close()
