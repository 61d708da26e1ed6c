"""Testing agents: the same starts for everyone.

S seed, n starts.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.common.agent import KEYWORDS, Agent
from agents.common.make_env import Maker, make_envs, make_native_batch
from balancier import Bound, check, shown, whole

TEST_SEED = 10_000  # test returns are those from reset(seed=TEST_SEED + i)
VALIDATION_SEED = 20_000  # evaluations during training start from reset(seed=VALIDATION_SEED + i)
SELECTION_SEED = 30_000  # the best replica is selected from reset(seed=SELECTION_SEED + i)


def evaluate(
    model: Any,
    env: str | Maker,
    starts: Sequence[int],
    env_kwargs: dict[str, Any] | None = None,
    max_steps: int = 100_000,
) -> np.ndarray:
    """Returns (S, n) of complete episodes from `reset(seed=start)`, the same starts for every seed.

    Args:
        model: an agent of this package (S replicas), or anything with SB3's `predict` (then S = 1).
        env: a Gymnasium id, or a function that makes an environment.
        starts: n seeds of `reset`.
        env_kwargs: keywords of `gymnasium.make`.
        max_steps: longest episode that is waited for.

    Raises:
        ValueError: for an episode that is longer.
    """
    check(starts=(starts, STARTS), max_steps=(max_steps, whole(1)), env_kwargs=(env_kwargs, KEYWORDS))
    if not callable(getattr(model, "predict", None)) or isinstance(model, type):
        raise ValueError(f"model: found {shown(model)}, expected an agent, or anything with SB3's predict")
    replicas = len(model) if hasattr(model, "__len__") else None
    count, n = (replicas or 1) * len(starts), len(starts)
    envs = _Envs(env, count, env_kwargs or {})
    obs = envs.reset([start for _ in range(replicas or 1) for start in starts])
    returns, active = np.zeros(count), np.ones(count, np.bool_)
    state, first = None, np.ones(count, np.bool_)
    for _ in range(max_steps):
        shape = (replicas, n) if replicas else (n,)
        answer = model.predict(obs.reshape(*shape, *obs.shape[1:]), state, first.reshape(shape), deterministic=True)
        action, state = check_answer(answer, shape)
        obs, reward, done = envs.step(action.reshape(count, *action.shape[len(shape) :]), active)
        returns[active] += reward[active]
        active &= ~done
        first = np.zeros(count, np.bool_)
        if not active.any():
            envs.close()
            return returns.reshape(-1, n)
    raise ValueError(f"env: found an episode of more than {max_steps} steps, expected an end or a time limit")


def check_answer(answer: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, Any]:
    """The actions (*shape, ...) and the state that `predict` returned; ValueError for anything else."""
    if not isinstance(answer, tuple) or len(answer) != 2 or np.shape(answer[0])[: len(shape)] != shape:
        expected = f"actions of shape {(*shape, '...')} and a state".replace("'", "")
        raise ValueError(f"model: found a predict that returns {shown(answer)}, expected {expected}")
    return np.asarray(answer[0]), answer[1]


START = whole(0, 2**32 - 1)
STARTS = Bound(
    lambda x: isinstance(x, list | tuple | range | np.ndarray) and 0 < len(x) <= 10**6 and all(map(START.holds, x)),
    "at least one seed of reset, whole numbers from 0 to 2**32 - 1",
)


class _Envs:
    """As many environments as episodes: a native batch where there is one, else one by one."""

    def __init__(self, env: str | Maker, count: int, env_kwargs: dict[str, Any]):
        self.batch = make_native_batch(env, count, env_kwargs) if isinstance(env, str) else None
        if self.batch is None:
            self.envs = make_envs(env, count, env_kwargs)

    def reset(self, seeds: list[int]) -> np.ndarray:
        if self.batch is not None:
            return self.batch.reset(seed=seeds)[0]  # type: ignore[arg-type]
        self.obs = np.stack([env.reset(seed=seed)[0] for env, seed in zip(self.envs, seeds, strict=True)])
        return self.obs

    def step(self, actions: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step at least the `active` environments; observations, rewards and ends, meaningless in the others."""
        if self.batch is not None:
            obs, reward, terminated, truncated, _ = self.batch.step(actions)
            return obs, reward, terminated | truncated
        reward, done = np.zeros(len(active)), np.zeros(len(active), np.bool_)
        for i in np.flatnonzero(active):
            self.obs[i], reward[i], terminated, truncated, _ = self.envs[i].step(actions[i])
            done[i] = terminated or truncated
        return self.obs, reward, done

    def close(self) -> None:
        for env in self.envs if self.batch is None else [self.batch]:
            env.close()


def select_best(
    agent: Agent, starts: Sequence[int] = range(SELECTION_SEED, SELECTION_SEED + 100)
) -> tuple[int, np.ndarray]:
    """Which replica has the highest mean return over these starts, and the mean returns (S,) of all.

    The best of many was lucky, too: test it on other starts.

    Raises:
        ValueError: for an agent made with a function, which no start of an id leads to.
    """
    if not isinstance(agent, Agent):
        raise ValueError(f"agent: found {shown(agent)}, expected an agent")
    if agent.env_id is None:
        expected = "expected one made with an id"
        raise ValueError(f"select_best: found an agent whose environment came from a function, {expected}")
    returns = evaluate(agent, agent.env_id, starts, agent.env_kwargs).mean(1)
    return int(np.where(np.isnan(returns), -np.inf, returns).argmax()), returns
