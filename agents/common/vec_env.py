"""S x N environments stepped as one batch, a random stream to each row.

S seed, N environments of one seed, O observation, A action components.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import SyncVectorEnv
from torch import Tensor

from agents.common.make_env import Maker, Replayable, make_rows
from models.streams import stream_seed


class Step(NamedTuple):
    """What one step of all environments brought. A time limit truncates; only `terminated` ends the world."""

    reward: Tensor  # (S, N)
    terminated: Tensor  # (S, N), bool
    truncated: Tensor  # (S, N), bool
    next_obs: Tensor  # (S, N, O), what the action led to, never a reset frame
    obs: Tensor  # (S, N, O), what to act on next: the first frame of a new episode where one ended

    @property
    def done(self) -> Tensor:
        return self.terminated | self.truncated


class VecEnv:
    """The environments of an agent: `num_envs` for each seed.

    Args:
        env: a Gymnasium id, or a function that makes an environment.
        path: of the random stream; environment i of a seed starts from `stream_seed(seed, *path, i)`.

    Raises:
        ValueError: for an observation space that is no Box, or an action space that is neither Discrete nor
            MultiDiscrete (of one axis) nor a Box with finite bounds.
    """

    def __init__(
        self, env: str | Maker, env_kwargs: dict[str, Any], seeds: Sequence[int], num_envs: int, path: Sequence[int]
    ):
        if not isinstance(env, str) and env_kwargs:
            raise ValueError("env_kwargs: given beside a maker; expected an environment id (bind them to the maker)")
        self.seeds, self.num_envs, self.path = seeds, num_envs, path
        self.rows = make_rows(env, len(seeds) * num_envs, env_kwargs)
        self.observation_space, self.action_space = self.rows.single_observation_space, self.rows.single_action_space
        if not isinstance(self.observation_space, Box):
            raise ValueError(f"env: found observation space {self.observation_space}, expected a Box")
        if isinstance(self.action_space, Box):
            if not self.action_space.is_bounded():
                raise ValueError(f"env: found action space {self.action_space}, expected a Box with finite bounds")
        elif not isinstance(self.action_space, Discrete | MultiDiscrete) or len(self.action_space.shape or ()) > 1:
            raise ValueError(f"env: found action space {self.action_space}, expected Discrete, MultiDiscrete or Box")
        self.returns = np.zeros(self.rows.num_envs)  # of the running episodes
        self.finished = np.full(self.rows.num_envs, np.nan)  # return of each row's newest complete episode

    @property
    def obs_size(self) -> int:
        """O: components of an observation, flattened."""
        return int(np.prod(self.observation_space.shape))  # type: ignore[arg-type]

    @property
    def in_features(self) -> int | tuple[int, ...]:
        """What a network is made for: the shape of an image, the size of anything else."""
        shape = self.observation_space.shape or ()
        return shape if len(shape) == 3 else self.obs_size

    @property
    def is_uint8(self) -> bool:
        return self.observation_space.dtype == np.uint8

    @property
    def choices(self) -> list[int] | None:
        """How many discrete actions there are, of each choice that is made at once; None where actions are numbers."""
        space = self.action_space
        if isinstance(space, MultiDiscrete):
            return space.nvec.tolist()
        return [int(space.n)] if isinstance(space, Discrete) else None

    @property
    def action_size(self) -> int:
        """A: components of an action."""
        return int(np.prod(self.action_space.shape))  # type: ignore[arg-type]

    def expect_actions(self, kind: type[gym.Space]) -> None:
        """Raise ValueError unless actions are of this kind."""
        if not isinstance(self.action_space, kind):
            raise ValueError(f"env: found action space {self.action_space}, expected a {kind.__name__}")

    def reset(self) -> Tensor:
        """Start the first episodes; observations (S, N, O)."""
        seeds = [stream_seed(seed, *self.path, index) for seed in self.seeds for index in range(self.num_envs)]
        obs, _ = self.rows.reset(seed=seeds)  # type: ignore[arg-type]
        return self._obs(obs)

    def step(self, action: Tensor) -> Step:
        """One step of all: `action` (S, N, A) of indices, or in [-1, 1] (clipped) over the world's bounds."""
        obs, reward, terminated, truncated, info = self.rows.step(self.to_env(action.flatten(0, 1)))
        obs_tensor = next_obs = self._obs(obs)
        self.returns += reward
        done = terminated | truncated
        if done.any():
            next_obs = obs_tensor.clone()
            final = np.stack(list(info["final_obs"][done])).reshape(done.sum(), -1)
            next_obs.view(len(done), -1)[done] = self.to_network(final)
            self.finished[done] = self.returns[done]
            self.returns[done] = 0.0
        reward, terminated, truncated = (self._by_seed(x).squeeze(-1) for x in (reward, terminated, truncated))
        return Step(reward, terminated, truncated, next_obs, obs_tensor)

    def to_env(self, action: Tensor) -> np.ndarray:
        """The world's own actions for (..., A): indices, or [-1, 1] (clipped) mapped to the bounds of the Box."""
        space, array = self.action_space, action.numpy(force=True)
        if isinstance(space, Discrete):
            return array[..., 0] + int(space.start)
        if isinstance(space, MultiDiscrete):
            return (array + space.start).astype(space.dtype)
        array = array.reshape(*array.shape[:-1], *space.shape).clip(-1, 1)  # type: ignore[misc]
        return (space.low + (array + 1) / 2 * (space.high - space.low)).astype(space.dtype)  # type: ignore[union-attr]

    def to_network(self, obs: np.ndarray | Tensor) -> Tensor:
        """Observations as agents hold them: bytes stay bytes, all else is of the default dtype."""
        return torch.as_tensor(obs, dtype=torch.uint8 if self.is_uint8 else torch.get_default_dtype())

    def mean_return(self) -> np.ndarray:
        """Mean of the newest complete episode of each environment, (S,); NaN before the first."""
        finished = self.finished.reshape(len(self.seeds), self.num_envs)
        count = np.isfinite(finished).sum(1)
        return np.where(count > 0, np.nansum(finished, 1) / np.maximum(count, 1), np.nan)

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, as arrays."""
        state = {"returns": self.returns.copy(), "finished": self.finished.copy()}
        if not isinstance(self.rows, SyncVectorEnv):
            return state | self.rows.get_state()  # type: ignore[attr-defined]
        worlds = [world for world in self.rows.envs if isinstance(world, Replayable)]
        actions = [np.asarray(action) for world in worlds for action in world.actions]
        state["actions"] = np.stack(actions) if actions else np.zeros(0)
        state["lengths"] = np.array([len(world.actions) for world in worlds])
        state["seeds"] = np.array([world.seed for world in worlds], np.uint64)
        state["episodes"] = np.array([world.episode for world in worlds])
        return state

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `get_state` returned."""
        state = dict(state)
        self.returns, self.finished = state.pop("returns").copy(), state.pop("finished").copy()
        if not isinstance(self.rows, SyncVectorEnv):
            self.rows.set_state(state)  # type: ignore[attr-defined]
            return
        actions = np.split(state["actions"], np.cumsum(state["lengths"])[:-1])
        for world, *told in zip(self.rows.envs, state["seeds"], state["episodes"], actions, strict=True):
            world.restore(int(told[0]), int(told[1]), told[2])  # type: ignore[attr-defined]

    def close(self) -> None:
        self.rows.close()

    def _obs(self, rows: np.ndarray) -> Tensor:
        # A copy: the worlds write their next observations into the same memory.
        return self.to_network(rows).clone().reshape(len(self.seeds), self.num_envs, -1)

    def _by_seed(self, rows: np.ndarray) -> Tensor:
        """(S * N, ...) -> (S, N, everything else flattened)."""
        tensor = torch.tensor(rows, dtype=torch.bool if rows.dtype == bool else torch.get_default_dtype())
        return tensor.reshape(len(self.seeds), self.num_envs, -1)
