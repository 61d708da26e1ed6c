"""S x N environments stepped as one batch, with a random stream to each.

S seed, N environments of one seed, O observation, A action components.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.vector import SyncVectorEnv
from torch import Tensor

from agents.common.config import Role
from agents.common.make_env import Maker, Replayable, make_batch
from agents.common.spaces import ActionMap, OneHot, check_spaces, in_words, is_image
from models.streams import stream_seed


class Step(NamedTuple):
    """What one step of all environments brought. A time limit truncates; only `terminated` ends the task."""

    reward: Tensor  # (S, N)
    terminated: Tensor  # (S, N), bool
    done: Tensor  # (S, N), 1 where the episode ended, terminated or truncated, else 0
    next_obs: Tensor  # (S, N, O), where the action led to, never a reset frame
    obs: Tensor  # (S, N, O), what to act on next: the first frame of a new episode where one ended


class VecEnv:
    """The environments of an agent: `num_envs` for each seed.

    Args:
        env: a Gymnasium id, or a function that makes an environment.
        env_kwargs: keywords of `gymnasium.make`, where `env` is an id.
        seeds: environment i of a seed starts from `stream_seed(seed, Role.ENVS, i)`.

    Raises:
        ValueError: for a space that is neither Box nor Discrete, MultiDiscrete or MultiBinary, or that has no numbers;
            for actions without finite bounds.
    """

    def __init__(self, env: str | Maker, env_kwargs: dict[str, Any], seeds: Sequence[int], num_envs: int):
        self.env = make_batch(env, len(seeds) * num_envs, env_kwargs)
        self.observation_space, self.action_space = self.env.single_observation_space, self.env.single_action_space
        check_spaces(self.observation_space, self.action_space)
        self.shape = len(seeds), num_envs
        self.env_seeds = [stream_seed(seed, Role.ENVS, index) for seed in seeds for index in range(num_envs)]
        self.to_env = ActionMap(self.action_space)
        self.one_hot = OneHot(space) if isinstance(space := self.observation_space, Discrete | MultiDiscrete) else None
        obs_shape = (self.one_hot.out_features,) if self.one_hot is not None else self.observation_space.shape or ()
        self.is_uint8 = self.observation_space.dtype == np.uint8 and is_image(self.observation_space)
        self.obs_size = int(np.prod(obs_shape))
        self.in_features = obs_shape if len(obs_shape) == 3 else self.obs_size  # of an image, or of O numbers
        self.action_size = int(np.prod(self.action_space.shape))  # type: ignore[arg-type]
        # Returns of the episodes that are under way, and of each environment's newest complete one.
        self.returns, self.finished = np.zeros(self.env.num_envs), np.full(self.env.num_envs, np.nan)

    def expect_actions(self, kind: type[gym.Space]) -> None:
        """Raise ValueError unless actions are of this kind."""
        if not isinstance(self.action_space, kind):
            raise ValueError(f"env: found action space {in_words(self.action_space)}, expected a {kind.__name__}")

    def reset(self) -> Tensor:
        """Start the first episodes; observations (S, N, O)."""
        return self.to_tensor(self.env.reset(seed=self.env_seeds)[0]).clone().view(*self.shape, -1)  # type: ignore

    def step(self, action: Tensor) -> Step:
        """One step of all: `action` (S, N, A) of indices, or in [-1, 1] (clipped) over the bounds of the space."""
        obs, reward, terminated, truncated, info = self.env.step(self.to_env(action.flatten(0, 1)).numpy())
        done, self.returns = terminated | truncated, self.returns + reward
        obs = next_obs = self.to_tensor(obs).clone().view(*self.shape, -1)  # environments reuse their memory
        if done.any():
            next_obs = self.to_tensor(info["final_obs"]).view(obs.shape)  # of all, also where none ended
            self.finished[done], self.returns[done] = self.returns[done], 0.0
        reward, done = (torch.tensor(x, dtype=torch.get_default_dtype()).view(self.shape) for x in (reward, done))
        return Step(reward, torch.tensor(terminated).view(self.shape), done, next_obs, obs)

    def to_tensor(self, obs: np.ndarray | Tensor) -> Tensor:
        """Observations as agents hold them: one-hot where they are discrete, images of bytes as bytes, else numbers."""
        obs = obs if self.one_hot is None else self.one_hot.check(obs)
        return torch.as_tensor(obs, dtype=torch.uint8 if self.is_uint8 else torch.get_default_dtype())

    def mean_return(self) -> np.ndarray:
        """Mean of the newest complete episode of each environment, (S,); NaN before the first."""
        finished = self.finished.reshape(self.shape)
        count = np.isfinite(finished).sum(1)
        return np.where(count > 0, np.nansum(finished, 1) / np.maximum(count, 1), np.nan)

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step depends on, as arrays."""
        state = {"returns": self.returns.copy(), "finished": self.finished.copy()}
        if not isinstance(self.env, SyncVectorEnv):
            return state | self.env.get_state()  # type: ignore[attr-defined]
        envs = [env for env in self.env.envs if isinstance(env, Replayable)]
        actions = [np.asarray(action) for env in envs for action in env.actions]
        state["actions"] = np.stack(actions) if actions else np.zeros(0)
        state["lengths"] = np.array([len(env.actions) for env in envs])
        state["seeds"] = np.array([env.seed for env in envs], np.uint64)
        state["episodes"] = np.array([env.episode for env in envs])
        return state

    def set_state(self, state: dict[str, np.ndarray], obs: Tensor) -> None:
        """Go on from what `get_state` returned; warn if that does not lead to observations (S, N, O, ...)."""
        state = dict(state)
        self.returns, self.finished = state.pop("returns").copy(), state.pop("finished").copy()
        if not isinstance(self.env, SyncVectorEnv):
            self.env.set_state(state)  # type: ignore[attr-defined]
            return
        episodes = zip(state["seeds"], state["episodes"], episode_actions(state), strict=True)
        replayed = [
            env.restore(int(seed), int(episode), actions)  # type: ignore[attr-defined]
            for env, (seed, episode, actions) in zip(self.env.envs, episodes, strict=True)
        ]
        found = self.to_tensor(np.stack(replayed)).view(*self.shape, -1)
        if not torch.equal(found, obs[..., : self.obs_size]):
            reason = "its state outlasts episodes or does not depend on the seed alone"
            warnings.warn(
                f"env: found another observation after the same actions, expected the same: {reason}", stacklevel=3
            )

    def close(self) -> None:
        self.env.close()


def episode_actions(state: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The actions of each environment's episode so far; a state holds them one after the other."""
    return np.split(state["actions"], np.cumsum(state["lengths"])[:-1])


def extract_state(state: dict[str, np.ndarray], index: int, num_envs: int) -> dict[str, np.ndarray]:
    """The state of the environments of one seed, out of that of all."""
    of_seed = slice(index * num_envs, (index + 1) * num_envs)
    extracted = {name: array[of_seed] for name, array in state.items() if name != "actions"}
    if "actions" in state:
        extracted["actions"] = np.concatenate(episode_actions(state)[of_seed])
    return extracted
