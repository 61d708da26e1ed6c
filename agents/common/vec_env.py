"""S x N environments stepped as one batch, with a random stream to each.

S seed, N environments of one seed, O observation, A action components.
"""

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Discrete, MultiDiscrete
from torch import Tensor

from agents.common.config import Role
from agents.common.make_env import EnvError, Maker, Replayable, SyncBatch, make_batch, make_env
from agents.common.spaces import ActionMap, OneHot, check_spaces, in_words, is_image
from models.streams import stream_seed


class Step(NamedTuple):
    """What one step of all environments brought. A time limit truncates; only `terminated` ends the task."""

    reward: Tensor  # (S, N)
    terminated: Tensor  # (S, N), bool
    done: Tensor  # (S, N), 1 where the episode ended, terminated or truncated, else 0
    next_obs: Tensor  # (S, N, O), where the action led to, never a reset frame
    obs: Tensor  # (S, N, O), what to act on next: the first frame of a new episode where one ended


# Arrays of a state that hold something of every environment, one after the other: where their lengths are.
RAGGED = {"actions": "lengths", "inner": "inner_lengths"}
MOST_REPLAYED = 10_000  # steps, to see whether an environment can be brought back
EXACT = "get_state and set_state of the environment would make it exact"


class VecEnv:
    """The environments of an agent: `num_envs` for each seed. They, and all tensors here, are on the CPU.

    Args:
        env: a Gymnasium id, or a function that makes an environment.
        env_kwargs: keywords of `gymnasium.make`, where `env` is an id.
        seeds: environment i of a seed starts from `stream_seed(seed, Role.ENVS, i)`.

    Raises:
        ValueError: for a space that is neither Box nor Discrete, MultiDiscrete or MultiBinary, or that has no numbers;
            for actions without finite bounds.
    """

    def __init__(self, env: str | Maker, env_kwargs: dict[str, Any], seeds: Sequence[int], num_envs: int):
        self.env, self.made_of = make_batch(env, len(seeds) * num_envs, env_kwargs), (env, env_kwargs)
        self.seeds = seeds
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
        self.steps_so_far: Callable[[], int] = lambda: 0  # of each seed, which the agent knows
        self.is_stale = False  # whether a step failed, so that the environments are to be restored from their episodes
        self.exact: bool | None = None  # whether acting an episode out again brings it back; None if not known yet

    def expect_actions(self, kind: type[gym.Space]) -> None:
        """Raise ValueError unless actions are of this kind."""
        if not isinstance(self.action_space, kind):
            raise ValueError(f"env: found action space {in_words(self.action_space)}, expected a {kind.__name__}")

    def reset(self) -> Tensor:
        """Start the first episodes; observations (S, N, O)."""
        try:
            obs, _ = self.env.reset(seed=self.env_seeds)  # type: ignore[arg-type]
        except EnvError as error:
            raise self.failed(error)  # noqa: B904
        self.is_stale = False
        return self.to_tensor(obs).clone().view(*self.shape, -1)

    def step(self, action: Tensor) -> Step:
        """One step of all: `action` (S, N, A) of indices, or in [-1, 1] (clipped) over the bounds of the space.

        Raises EnvError, which names the seed, the environment and the step. All is then as it was before.
        """
        try:
            obs, reward, terminated, truncated, info = self.env.step(self.to_env(action.flatten(0, 1).cpu()).numpy())
        except BaseException as error:
            raise self.failed(error)  # noqa: B904  it is the same error
        done, self.returns = terminated | truncated, self.returns + reward
        obs = next_obs = self.to_tensor(obs).clone().view(*self.shape, -1)  # environments reuse their memory
        if done.any():
            next_obs = self.to_tensor(info["final_obs"]).view(obs.shape)  # of all, also where none ended
            self.finished[done], self.returns[done] = self.returns[done], 0.0
        reward, done = (torch.tensor(x, dtype=torch.get_default_dtype()).view(self.shape) for x in (reward, done))
        return Step(reward, torch.tensor(terminated).view(self.shape), done, next_obs, obs)

    def failed(self, error: BaseException) -> BaseException:
        """The error of a step; EnvError names the seed, the number of the environment and the seed's steps so far."""
        self.is_stale = True
        if isinstance(error, EnvError) and error.index is not None:
            seed, number = divmod(error.index, self.shape[1])
            place = f"env {number} of seed {self.seeds[seed]} after {self.steps_so_far()} steps"
            error.args, error.index = (error.args[0].replace("env", place, 1),), None
        return error

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
        if not isinstance(self.env, SyncBatch):
            return state | self.env.get_state()  # type: ignore[attr-defined]
        envs = self.env.envs
        actions = [np.asarray(action) for env in envs for action in env.actions]
        state["actions"] = np.stack(actions) if actions else np.zeros(0)
        state["lengths"] = np.array([len(env.actions) for env in envs])
        state["seeds"] = np.array([env.seed for env in envs], np.uint64)
        state["episodes"] = np.array([env.episode for env in envs])
        if self.exact is False:
            state["inexact"] = np.ones(len(envs), np.bool_)
        texts = [None if self.is_stale else env.get_inner() for env in envs]
        if any(text is not None for text in texts):
            encoded = [np.frombuffer((text or "").encode(), np.uint8) for text in texts]
            state |= {"inner": np.concatenate(encoded), "inner_lengths": np.array([len(part) for part in encoded])}
        return state

    def set_state(self, state: dict[str, np.ndarray], obs: Tensor) -> tuple[Tensor, Tensor]:
        """Go on from what `get_state` returned, at observations (S, N, O, ...).

        Environments that cannot be brought there begin a new episode, with a warning. Returns which ones do, (S, N)
        bool, and the observations of all, (S, N, O).
        """
        state, restarted = dict(state), np.zeros(self.env.num_envs, np.bool_)
        self.returns, self.finished = state.pop("returns").copy(), state.pop("finished").copy()
        if not isinstance(self.env, SyncBatch):
            self.env.set_state(state)  # type: ignore[attr-defined]
            return torch.from_numpy(restarted).view(self.shape), obs[..., : self.obs_size]
        expected, now = obs[..., : self.obs_size].flatten(0, 1), []
        inner = parts_of(state, "inner") if "inner" in state else [np.zeros(0, np.uint8)] * len(restarted)
        inexact = bool(state.get("inexact", np.zeros(1)).any())
        reason = "another observation or return after the same actions, so it keeps something from episode to episode"
        for i, (env, actions) in enumerate(zip(self.env.envs, parts_of(state, "actions"), strict=True)):
            seed, episode, text = int(state["seeds"][i]), int(state["episodes"][i]), inner[i].tobytes().decode()
            try:
                found, total = env.restore(seed, episode, list(actions))
                same = torch.equal(self.to_tensor(found).flatten(), expected[i]) and total == self.returns[i]
                restarted[i] = inexact or not (env.set_inner(text) if text else same)
            except EnvError as error:
                restarted[i], reason = True, error.args[0].removeprefix("env: found ").partition(", expected")[0]
            if restarted[i]:
                env.episode, self.returns[i] = episode, 0.0
                try:
                    found = env.reset()[0]
                except EnvError as error:
                    raise self.failed(error)  # noqa: B904
            self.env._observations[i] = found
            now.append(self.to_tensor(found).flatten().clone() if restarted[i] else expected[i])
        self.is_stale = False
        if restarted.any():
            self.exact = False
            begun = (
                f"expected the same as before; {restarted.sum()} of {len(restarted)} environments begin a new episode"
            )
            warnings.warn(f"env: found {reason}, {begun} ({EXACT})", stacklevel=4)
        return torch.from_numpy(restarted).view(self.shape), torch.stack(now).view(*self.shape, -1)

    def try_replay(self) -> None:
        """See whether a new environment that acts the first one's newest episodes out again comes to the same.

        Where it does not, warn once. Nothing is known before an episode is complete, and of very long ones.
        """
        if self.exact is not None or not isinstance(self.env, SyncBatch) or self.is_stale:
            return
        env = self.env.envs[0]
        episodes = [(env.episode, env.actions, self.env._observations[0], self.returns[0])]
        if env.last is not None:
            episodes.insert(0, (*env.last, self.finished[0]))
        if not 0 < sum(len(episode[1]) for episode in episodes) <= MOST_REPLAYED or env.get_inner() is not None:
            return
        same = replays(env.seed, episodes, self.made_of)
        if same is False:
            self.exact = False
            found = "an environment that keeps something from episode to episode, or depends on more than its seed"
            expected = f"one that acts an episode out alike; a run that loads this begins new episodes ({EXACT})"
            warnings.warn(f"env: found {found}, expected {expected}", stacklevel=3)
        elif env.last is not None:
            self.exact = same

    def close(self) -> None:
        self.env.close()


def replays(seed: int, episodes: list, made_of: tuple) -> bool | None:
    """Whether a new environment comes to the same when it acts these episodes out; None if there is no new one.

    An episode is its number, its actions, the observation that they led to, and their rewards' sum.
    """
    with random_numbers_kept():
        try:
            env = Replayable(make_env(*made_of))
        except Exception:  # there can be only so many, for example
            return None
        try:
            restored = [(env.restore(seed, episode, actions), obs, total) for episode, actions, obs, total in episodes]
        except Exception:
            return False
        finally:
            env.close()
    return all(total == expected and np.array_equal(found, obs) for (found, total), obs, expected in restored)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Python's, NumPy's and PyTorch's global generators go on afterwards as if nothing had been drawn."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def parts_of(state: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    """The part of each environment of an array that holds them one after the other, such as its episode's actions."""
    return np.split(state[name], np.cumsum(state[RAGGED[name]])[:-1])


def extract_state(state: dict[str, np.ndarray], index: int, num_envs: int) -> dict[str, np.ndarray]:
    """The state of the environments of one seed, out of that of all."""
    of_seed = slice(index * num_envs, (index + 1) * num_envs)
    extracted = {name: array[of_seed] for name, array in state.items() if name not in RAGGED}
    for name in RAGGED.keys() & state.keys():
        extracted[name] = np.concatenate(parts_of(state, name)[of_seed])
    return extracted
