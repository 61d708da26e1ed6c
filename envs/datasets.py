"""Environments as data sets: roll out, cut windows, split, normalize.

n episodes, T steps, O observation components, A action components.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from balancier import SWITCH, Bound, check, number, one_line, shown, whole
from envs.physics import Pendulum
from envs.sources import SWINGING, draw_swings

CHUNK = 10_000
SEED, COUNT = whole(0, 2**32 - 1), whole(1, 10**7)
MOST_NUMBERS = 10**9  # of a data set, which memory holds
SPACE = Bound(lambda x: isinstance(x, gym.Space), "a space of Gymnasium")
TURN = Bound(
    lambda x: isinstance(x, list | tuple) and len(x) == 2 and all(map(number(0, above=True).holds, x)) and x[0] <= x[1],
    "two numbers of steps above 0, the lower one first",
)

# (observations (n, O), step t) -> actions (n, ...)
Policy = Callable[[np.ndarray, int], np.ndarray]


class Rollout(NamedTuple):
    """Episodes side by side, cut off at T steps."""

    obs: np.ndarray  # (n, T + 1, O)
    action: np.ndarray  # (n, T, ...)
    reward: np.ndarray  # (n, T)
    info: dict[str, np.ndarray]  # of the reset: the drawn parameters, (n,) each


def idle(space: gym.Space, num: int) -> Policy:
    """No action: the action of the space that is nearest to zero, or the middle one of discrete actions."""
    check(space=(space, SPACE), num=(num, COUNT))
    if isinstance(space, gym.spaces.MultiBinary):
        return lambda obs, t: np.zeros((num, *space.shape), space.dtype)
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        middle = space.start + (space.nvec if isinstance(space, gym.spaces.MultiDiscrete) else space.n) // 2
        return lambda obs, t: np.broadcast_to(middle, (num, *(space.shape or ()))).astype(space.dtype)
    box = bounded(space)
    nearest = np.clip(np.zeros(box.shape), box.low, box.high).astype(box.dtype)
    return lambda obs, t: np.broadcast_to(nearest, (num, *box.shape)).copy()


def random(space: gym.Space, num: int, seed: int = 0) -> Policy:
    """Uniform actions."""
    check(space=(space, SPACE), num=(num, COUNT), seed=(seed, SEED))
    generator = np.random.default_rng(seed)
    if isinstance(space, gym.spaces.Discrete):
        return lambda obs, t: space.start + generator.integers(int(space.n), size=num)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return lambda obs, t: space.start + generator.integers(space.nvec, size=(num, *space.shape))
    if isinstance(space, gym.spaces.MultiBinary):
        return lambda obs, t: generator.integers(2, size=(num, *space.shape), dtype=space.dtype)
    box = bounded(space)
    low: Any = box.low
    high: Any = box.high
    shape = (num, *box.shape)
    if box.dtype.kind != "f":
        return lambda obs, t: generator.integers(low, high, shape, box.dtype, endpoint=True)
    return lambda obs, t: generator.uniform(low, high, shape).astype(box.dtype)


def sinusoidal(space: gym.Space, num: int, seed: int = 0, steps_per_turn: tuple[float, float] = (20, 100)) -> Policy:
    """Actions that swing over the whole range; each environment has a random period, in steps, and a random phase."""
    check(num=(num, COUNT), seed=(seed, SEED), steps_per_turn=(steps_per_turn, TURN))
    box = bounded(space)
    generator, column = np.random.default_rng(seed), (num, *[1] * len(box.shape))
    rate = 2 * np.pi / generator.uniform(*steps_per_turn, column)
    phase = generator.uniform(0, 2 * np.pi, column)
    low, high = (bound.astype(np.result_type(box.dtype, np.float32)) for bound in (box.low, box.high))
    middle, half = (high + low) / 2, (high - low) / 2

    def act(obs: np.ndarray, t: int) -> np.ndarray:
        action = (middle + half * np.sin(rate * t + phase)).clip(low, high)
        return (action if box.dtype.kind == "f" else action.round()).astype(box.dtype)

    return act


def bounded(space: gym.Space) -> gym.spaces.Box:
    """The space itself; ValueError unless it is a Box with finite bounds."""
    if not isinstance(space, gym.spaces.Box) or not space.is_bounded():
        raise ValueError(
            f"policy: found action space {' '.join(str(space).split())}, expected a Box with finite bounds"
        )
    return space


def trained(agent: Any, deterministic: bool = True) -> Policy:
    """The actions of one trained agent, or of any object with SB3's `predict(obs, deterministic=)`."""
    return lambda obs, t: agent.predict(obs, deterministic=deterministic)[0]


def roll_out(
    env_id: str,
    num_episodes: int,
    num_steps: int,
    policy: Callable[[gym.Space, int], Policy] | Policy | None = None,
    *,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    **env_kwargs: Any,
) -> Rollout:
    """Run `num_episodes` environments side by side for `num_steps` steps.

    Args:
        policy: `idle`, `random` or `sinusoidal`, or a function of observations and step; None for no action.
        seed: of the first environment; the others get the seeds that follow.
        options: of the reset.

    Raises:
        ValueError: if an episode ends before `num_steps`, and for other numbers, ids and policies.
    """
    check(num_episodes=(num_episodes, COUNT), num_steps=(num_steps, COUNT), seed=(seed, SEED))
    check(policy=(policy, Bound(lambda x: x is None or callable(x), "a function of observations and step, or None")))
    check(env_id=(env_id, Bound(lambda x: isinstance(x, str) and x != "", "an id that Gymnasium knows")))
    try:
        batch = gym.make_vec(env_id, num_episodes, **env_kwargs)
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise ValueError(f"env_id: found {shown(env_id)}, expected a registered id ({one_line(error)})") from None
    obs, info = batch.reset(seed=seed, options=options)
    if policy is None or policy in (idle, random, sinusoidal):
        policy = (policy or idle)(batch.single_action_space, num_episodes)  # type: ignore[operator,call-arg]
    observations, actions, rewards = [obs], [], []
    for t in range(num_steps):
        action = policy(obs, t)  # type: ignore[call-arg,arg-type]
        obs, reward, terminated, truncated, _ = batch.step(action)
        observations.append(obs.copy())
        actions.append(action)
        rewards.append(reward)
        if t < num_steps - 1 and (terminated | truncated).any():  # type: ignore[operator]
            raise ValueError(f"num_steps: found {num_steps}, expected at most {t + 1}: an episode ended then")
    batch.close()
    drawn = {name: np.array(value) for name, value in info.items() if not name.startswith("_")}
    return Rollout(np.stack(observations, 1), np.stack(actions, 1), np.stack(rewards, 1), drawn)  # type: ignore[arg-type]


def angles(obs: np.ndarray) -> np.ndarray:
    """Continuous angles (..., T), rad, from observations (..., T, O) of a pendulum; 0 upright, first in [-pi, pi]."""
    return np.unwrap(np.arctan2(obs[..., 1].astype(np.float64), obs[..., 0].astype(np.float64)))


def swings(count: int, num_steps: int, *, seed: int = 0, **parameters: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Angles (count, num_steps), rad from the bottom, of freely swinging pendulums, and the values drawn for each.

    They are the pendulums of `balancier/Sequence-v0`; `parameters` of `envs.physics.Pendulum` change them. Different
    seeds below 2**32 share no pendulum.
    """
    check(count=(count, COUNT), num_steps=(num_steps, COUNT), seed=(seed, SEED))
    if count * num_steps > MOST_NUMBERS:
        raise ValueError(f"count: found {count}, expected at most {MOST_NUMBERS // num_steps}, of so many steps")
    parts, pendulum = [], Pendulum(**(SWINGING | parameters))
    for first in range(0, count, CHUNK):  # as many at once as fit the processor's cache
        generator = np.random.default_rng([seed, first])
        angle, drawn = draw_swings(pendulum, num_steps, generator, min(CHUNK, count - first))
        parts.append({"angle": angle} | drawn)
    series = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return series.pop("angle"), series


SERIES = Bound(lambda x: isinstance(x, np.ndarray) and x.ndim >= 2, "an array (n, T, ...)")


def windows(series: np.ndarray, length: int, stride: int = 1) -> np.ndarray:
    """All windows of `length` steps: (n, T, ...) -> (n k, length, ...), k = (T - length) // stride + 1.

    Raises ValueError if the series are shorter than a window.
    """
    check(series=(series, SERIES), length=(length, COUNT), stride=(stride, COUNT))
    if not 1 <= length <= series.shape[1]:
        raise ValueError(f"length: found {length}, expected 1 to {series.shape[1]}, the steps of a series")
    views = np.lib.stride_tricks.sliding_window_view(series, length, axis=1)[:, ::stride]  # (n, k, ..., length)
    return np.moveaxis(views, -1, 2).reshape(-1, length, *series.shape[2:])


class Standardize(NamedTuple):
    """Subtract the mean and divide by the standard deviation of each component, both taken from training data."""

    mean: Tensor
    std: Tensor

    def apply(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def undo(self, x: Tensor) -> Tensor:
        return x * self.std + self.mean


def scale_of(x: Tensor) -> Standardize:
    """Mean and standard deviation over every axis but the last; a constant component is only shifted (std 1)."""
    samples = x.reshape(-1, x.shape[-1]).double()
    std = samples.std(0, correction=0).to(x.dtype)
    constant = (samples.amax(0) == samples.amin(0)) | (std == 0)  # rounding gives equal numbers a std above 0
    return Standardize(samples.mean(0).to(x.dtype), torch.where(constant, 1.0, std).to(x.dtype))


def split(count: int, validation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random training and validation indices, sorted; `validation` is the share of the second."""
    check(count=(count, COUNT), validation=(validation, number(0, 1)), seed=(seed, SEED))
    held_out = round(count * validation)
    if not 0 < held_out < count:
        raise ValueError(
            f"validation: found {validation} of {count} samples, expected at least one sample on each side"
        )
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def is_finite(x: np.ndarray) -> bool:
    return x.dtype.kind in "fiu" and bool(np.isfinite(x).all())


EPISODES = Bound(
    lambda x: isinstance(x, np.ndarray | Tensor) and x.ndim >= 2 and is_finite(np.asarray(x)),
    "an array (n, ..., components) of finite numbers",
)


def datasets(
    x: np.ndarray, y: np.ndarray, *, validation: float = 0.2, seed: int = 0, normalize: bool = True
) -> tuple[TensorDataset, TensorDataset, tuple[Standardize, Standardize]]:
    """Training and validation data from episodes x (n, ..., X) and y (n, ..., Y), and how x and y were standardized.

    An episode lies either in the training part or in the validation part. Mean and standard deviation come from the
    training part only; without `normalize` they are 0 and 1.
    """
    check(x=(x, EPISODES), y=(y, EPISODES), normalize=(normalize, SWITCH))
    if len(x) != len(y):
        raise ValueError(f"x, y: found {len(x)} and {len(y)} episodes, expected as many of each")
    both = [torch.as_tensor(part, dtype=torch.get_default_dtype()) for part in (x, y)]
    train, held_out = (torch.from_numpy(indices) for indices in split(len(x), validation, seed))
    scales = [scale_of(part[train]) for part in both]
    if not normalize:
        scales = [Standardize(torch.zeros_like(scale.mean), torch.ones_like(scale.std)) for scale in scales]
    parts = [scale.apply(part) for scale, part in zip(scales, both, strict=True)]
    return (
        TensorDataset(*(p[train] for p in parts)),
        TensorDataset(*(p[held_out] for p in parts)),
        (scales[0], scales[1]),
    )
