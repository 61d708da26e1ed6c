"""The optimal controller of a pendulum, by finite-horizon dynamic programming.

    V_0 = 0,  V_k(s) = max_u r(s, u) + V_{k-1}(f(s, u))     (Bellman's equation, k steps left, no discount)

V_k is the value with k steps left. f and r are the environment's own equations. V is held on a grid of angle x speed
and is bilinear in between. The grid is refined until the mean return of the controller over the start distribution no
longer changes.

K steps left, G grid points, U torques, n starts.
"""

import contextlib
import hashlib
import importlib
import io
import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

import balancier
from envs.cache import cache_folder
from envs.grid import bilinear
from envs.pendulum import START_RANGE, PendulumBase, PendulumVectorEnv
from envs.physics import HIDING, Pendulum, fixed, reward, transition

NUM_TORQUES = 41  # of a pendulum whose torque is continuous; 5 torques already come within 0.2 of it
GRIDS = ((100, 61), (200, 121), (400, 241), (800, 481))  # angles x speeds; the next one while the value changes
TOLERANCE = 0.5  # by at least this much, or by half a per cent of it
FINEST = 0.0151  # rad/s: the smallest torque changes the speed of a step by no more
SETTLED = 1e-3  # if one more step changes no value by more, V is taken as that of an endless horizon
VERSION = 3  # of the files in the cache; another one whenever the equations change, in the last digit too
DIGITS = 64  # of the SHA-256 that ends a file


@dataclass(frozen=True)
class Optimum:
    """The optimal controller of one pendulum for `num_steps` steps; it acts like an agent (`predict`)."""

    pendulum: Pendulum
    torques: np.ndarray  # (U,), N m, to choose from
    num_steps: int
    tables: np.ndarray  # (K, angles + 1, speeds) float32, V_0, V_1, ...; the last holds for all further steps
    discrete: bool  # whether actions are indices of torques
    settled: bool = True  # whether finer grids gave the same value to a per cent; if not, there may be something better

    def choose(self, angle: np.ndarray, speed: np.ndarray, steps_left: int) -> np.ndarray:
        """Index (...) into `torques` of the best torque: the highest reward plus value of the next state."""
        now = (
            torch.from_numpy(np.asarray(angle, float)[..., None]),
            torch.from_numpy(np.asarray(speed, float)[..., None]),
        )
        torques = torch.from_numpy(self.torques)
        next_angle, next_speed = transition(*now, torques, self.pendulum)
        table = torch.from_numpy(self.tables[min(max(steps_left - 1, 0), len(self.tables) - 1)])
        value = interpolate(table, *corners(next_angle, next_speed, table.shape, self.pendulum))
        return (reward(*now, torques) + value).argmax(-1).numpy()

    def value(self, angle: np.ndarray, speed: np.ndarray, steps_left: int | None = None) -> np.ndarray:
        """The return from these angles and speeds, by default with the whole horizon left, (...).

        The controller is run on the exact equations: the values in the table have an error from interpolation.
        """
        angle, speed = np.broadcast_arrays(np.asarray(angle, float), np.asarray(speed, float))
        total = np.zeros(angle.shape)
        for remaining in range(self.num_steps if steps_left is None else steps_left, 0, -1):
            torque = self.torques[self.choose(angle, speed, remaining)]
            total += reward(angle, speed, torque)
            angle, speed = transition(angle, speed, torque, self.pendulum)
        return total

    def returns(self, starts: np.ndarray) -> np.ndarray:
        """Returns (n,) of the controller from starts (n, 2) of angle and speed."""
        return self.value(*np.asarray(starts, float).T)

    def predict(
        self,
        obs: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions for observations (3,) or (n, 3) of cos, sin and speed, as SB3's `predict`.

        `state` counts the steps of each episode; it starts anew where `episode_start` is true.

        Raises:
            ValueError: if the observation does not hold the speed.
        """
        obs = np.asarray(obs, float)
        if obs.shape[-1] != 3:
            raise ValueError(f"obs: found shape {obs.shape}, expected (n, 3): the optimum needs the speed")
        step = np.zeros(obs.shape[:-1], np.int64) if state is None else np.asarray(state)
        if episode_start is not None:
            step = np.where(np.reshape(episode_start, step.shape), 0, step)
        angle, speed = np.arctan2(obs[..., 1], obs[..., 0]), obs[..., 2]
        choice = np.zeros(step.shape, np.int64)
        for t in np.unique(step):
            now = step == t
            choice[now] = self.choose(angle[now], speed[now], self.num_steps - int(t))
        if self.discrete:
            return choice, step + 1
        return self.torques[choice][..., None].astype(np.float32), step + 1


def corners(angle: Tensor, speed: Tensor, shape: Any, pendulum: Pendulum) -> tuple[Tensor, Tensor]:
    """Index (...) of the table's cell that holds each angle and speed, and the weights (..., 4) of its corners."""
    angles, speeds = shape[0] - 1, shape[1]  # the values at the angle pi repeat those at -pi
    x = (angle / (2 * np.pi) + 0.5) * angles
    x = (x - torch.floor(x / angles) * angles).clamp(0, angles * (1 - 1e-7))
    y = (speed / float(pendulum.max_speed) + 1) * ((speeds - 1) / 2)  # type: ignore[arg-type]
    y = y.clamp(0, (speeds - 1) * (1 - 1e-7))
    i, j, weight = bilinear(x, y, speeds - 1, "float32")
    return i.long() * (speeds - 1) + j.long(), weight


def interpolate(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """The table (angles + 1, speeds) between its points."""
    cells = torch.stack([table[:-1, :-1], table[:-1, 1:], table[1:, :-1], table[1:, 1:]], -1).view(-1, 4)
    return (cells.index_select(0, index.flatten()) * weight.view(-1, 4)).sum(-1).view(index.shape)


def solve(pendulum: Pendulum, torques: np.ndarray, num_steps: int, grid: tuple[int, int]) -> np.ndarray:
    """V_0, V_1, ... on one grid, (K, angles + 1, speeds) float32, until they have settled."""
    angles, speeds = grid
    angle = torch.linspace(-np.pi, np.pi, angles + 1, dtype=torch.float64)[:, None]
    speed = torch.linspace(-1, 1, speeds, dtype=torch.float64)[None] * pendulum.max_speed
    angle, speed = torch.broadcast_tensors(angle, speed)
    steps = []
    for torque in torques.tolist():
        torque = torch.full_like(angle, torque)
        gain = reward(angle, speed, torque).float()
        steps.append((gain, *corners(*transition(angle, speed, torque, pendulum), angle.shape, pendulum)))
    values = [torch.zeros(angle.shape)]
    for _ in range(num_steps):
        table = values[-1]
        best = torch.full_like(table, -torch.inf)
        for gain, index, weight in steps:
            best = torch.maximum(best, gain + interpolate(table, index, weight))
        values.append(best)
        if (best - table).abs().max() < SETTLED:
            break
    return torch.stack(values).numpy()


def start_value(optimum: Optimum) -> float:
    """Mean return over the start distribution, on an even lattice of 32 angles and 8 speeds."""
    angle, speed = (limit * ((np.arange(n) + 0.5) / n * 2 - 1) for limit, n in zip(START_RANGE, (32, 8), strict=True))
    return float(optimum.value(angle[:, None], speed).mean())


def even_torques(pendulum: Pendulum, count: int) -> np.ndarray:
    return np.linspace(-1, 1, count) * float(pendulum.max_torque)  # type: ignore[arg-type]


def spread_torques(pendulum: Pendulum) -> np.ndarray:
    """Torques in place of all: evenly spaced, and around 0 smaller and smaller ones, which balance a light pendulum."""
    torques = even_torques(pendulum, NUM_TORQUES)
    smallest = float(torques[-1] - torques[-2])
    halvings = max(0, math.ceil(math.log2(smallest * float(pendulum.gains[1] * pendulum.dt) / FINEST)))  # type: ignore[operator]
    smaller = smallest / 2.0 ** np.arange(1, halvings + 1)
    return np.sort(np.concatenate([torques, smaller, -smaller]))


def optimum(*, num_torques: int | None = None, num_steps: int = 200, **parameters: Any) -> Optimum:
    """The optimal controller of a fixed pendulum, computed once and then read from the cache.

    The cache is in the user's cache folder, or in the folder that the environment variable BALANCIER_CACHE names. What
    is there but not as it was written is computed again; without a folder nothing is kept.

    Args:
        num_torques: number of evenly spaced torques to choose from; None for a continuous torque.
        num_steps: length of an episode.
        parameters: fields of `Pendulum`.

    Raises:
        TypeError: for parameters that no pendulum has.
        ValueError: for values that no pendulum has, or that are ranges, and for a delay or noise.
    """
    pendulum = fixed(PendulumBase("state", num_torques, parameters).pendulum)
    torques = even_torques(pendulum, num_torques) if num_torques else spread_torques(pendulum)
    key = json.dumps([VERSION, asdict(pendulum), len(torques), num_steps, GRIDS, TOLERANCE, SETTLED], sort_keys=True)
    folder = cache_folder()
    path = folder / f"optimum-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz" if folder else None
    if path and (cached := read_cache(path, key)) is not None:
        return Optimum(pendulum, torques, num_steps, cached[0], num_torques is not None, cached[1])
    best, values = None, []
    for grid in GRIDS:
        tables = solve(pendulum, torques, num_steps, grid)
        finer = Optimum(pendulum, torques, num_steps, tables, num_torques is not None)
        values.append(start_value(finer))
        tolerance = min(TOLERANCE, 0.005 * abs(values[-1]))
        if best is None or values[-1] > max(values) - tolerance:  # a finer grid may have bad luck
            best = finer
        if len(values) > 1 and abs(values[-1] - values[-2]) < tolerance:
            break
    assert best is not None
    best = replace(best, settled=max(values) - min(values[-2:]) <= 0.01 * abs(max(values)))
    if path:
        write_cache(path, key, best)
    return best


def read_cache(path: Path, key: str) -> tuple[np.ndarray, bool] | None:
    """Tables, and whether they settled; None if the file is absent, not as it was written, or of other parameters."""
    try:
        data = memoryview(path.read_bytes() if path.is_file() else b"")  # a folder or a pipe is no file
    except (OSError, MemoryError):
        return None
    if digest(data[:-DIGITS]) != data[-DIGITS:]:
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return (file["tables"], bool(file["settled"])) if str(file["key"]) == key else None


def write_cache(path: Path, key: str, best: Optimum) -> None:
    """Keep the tables if the folder can be written to: an archive of NumPy's, with the digest of all as its comment."""
    buffer = io.BytesIO()
    np.savez(buffer, tables=best.tables, key=np.array(key), settled=np.array(best.settled))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = bytes(DIGITS)
    content = buffer.getvalue()[:-DIGITS]
    with contextlib.suppress(OSError, RuntimeError):  # without the cache the next call only takes longer
        path.parent.mkdir(parents=True, exist_ok=True)
        balancier.write_file(path, content + digest(content))


def digest(content: bytes | memoryview) -> bytes:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest().encode()


PENDULUM_V1 = "gymnasium.envs.classic_control.pendulum:PendulumEnv"  # Gymnasium's own entry point, whatever the id


def optimal_returns(env_id: str, seeds: Sequence[int], **env_kwargs: Any) -> np.ndarray | None:
    """Returns (n,) of the optimum from `reset(seed=seed)` for each seed; None where no optimum is known.

    Known are our pendulums with fixed parameters and a time limit, without delay and noise, and Gymnasium's
    `Pendulum-v1`, unless the finest grid is too coarse for the parameters. The id says nothing: another environment may
    have one of these names, and a pendulum may be registered under another.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        importlib.import_module(module)
    spec = gym.spec(name)
    keywords = {**spec.kwargs, **env_kwargs}
    num_steps = keywords.pop("max_episode_steps", spec.max_episode_steps)
    if spec.entry_point == PENDULUM_V1 and keywords.keys() <= {"g", "render_mode"}:
        keywords = {"gravity": keywords.get("g", 10.0)}
    elif spec.entry_point != "envs.pendulum:PendulumEnv":
        return None
    if spec.additional_wrappers or not num_steps or num_steps < 0:
        return None
    batch = PendulumVectorEnv(len(seeds), max_episode_steps=num_steps, **keywords)
    if batch.pendulum.ranges or any(getattr(batch.pendulum, name) for name in HIDING):
        return None
    batch.reset(seed=list(seeds))
    best = optimum(num_torques=batch.num_torques, num_steps=num_steps, **asdict(batch.pendulum))
    return best.returns(np.stack([batch.angle, batch.speed], 1)) if best.settled else None
