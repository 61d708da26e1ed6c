"""Who can be watched: trained agents of ours and of SB3, the optimum, controllers, and the forecasts of a lesson.

S seed.
"""

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from agents import Agent
from agents.common import checkpoint
from agents.common.make_env import has_native_batch
from agents.evaluation import VALIDATION_SEED, evaluate
from agents.sb3 import from_sb3
from balancier import N_, _
from envs import planning
from envs.optimum import PENDULUM_V1, Optimum, optimum
from experiments.common.environments import find_env, import_module, in_a_line, is_pendulum
from experiments.common.flags import UsageError
from experiments.common.hyperparams import DISCRETE, PENDULUM
from experiments.common.runs import CHECKPOINTS, console, newest_checkpoint
from experiments.common.training import STARTS

OPTIMUM = N_("optimum")
CONTROLLERS = {
    "energy": N_("energy controller"),
    "lqr": N_("LQR alone"),
    "lqr-energy": N_("energy + LQR"),
    "ilqr": "iLQR",
    "mpc": N_("MPC by iLQR"),
    "mpc-cem": N_("MPC by CEM"),
    OPTIMUM: OPTIMUM,
}  # words of the command line for players that need no file, and their labels
FEW_STARTS = 3  # validation starts of an environment that is slow, where a checkpoint does not say which seed is best


@dataclass(frozen=True)
class Player:
    """Somebody who acts in an environment.

    Args:
        label: a short name, drawn above the picture.
        model: anything with SB3's `predict`.
        env, env_kwargs: the environment, made with `gymnasium.make`.
        forecast: angles measured so far (T,), rad from the bottom -> those that come next, where the player predicts.
    """

    label: str
    model: Any
    env: str
    env_kwargs: dict[str, Any]
    forecast: Callable[[np.ndarray], np.ndarray] | None = None


class Function:
    """A function from an observation to an action, with the interface of a model."""

    def __init__(self, act: Callable[[Any], Any]):
        self.act = act

    def predict(self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True) -> tuple:
        return self.act(obs), None


def our_pendulum(env: str, env_kwargs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The same environment as one of ours where it is Gymnasium's pendulum, step for step the same."""
    spec = find_env(env, "run")
    keywords = {"g": 10.0, "max_episode_steps": spec.max_episode_steps or -1} | spec.kwargs | env_kwargs
    if spec.entry_point != PENDULUM_V1 or spec.additional_wrappers or len(keywords) > 2:
        return env, env_kwargs
    return PENDULUM, {"gravity": keywords["g"], "max_episode_steps": keywords["max_episode_steps"]}


def newest_run(folder: Path = Path("runs")) -> Path:
    """The folder of the run whose checkpoint is the newest; UsageError if there is none."""
    found = [path for name in CHECKPOINTS for path in folder.glob(f"*/*/{name}")]
    if not found:
        expected = "expected one (balancier train makes it), or a run's folder: balancier watch RUN"
        raise UsageError(f"run: found no trained agent in {folder.resolve()}, {expected}")
    return max(found, key=lambda path: path.stat().st_mtime).parent.resolve()


def validation_returns(agent: Agent, path: Path) -> np.ndarray:
    """Mean returns (S,) from the validation starts: those that the training noted last, else new ones."""
    notes = checkpoint.load(path)[1].get("notes")
    state = notes.get("evaluation") if isinstance(notes, dict) else None
    curve = state.get("curve") if isinstance(state, dict) else None
    if isinstance(curve, list) and curve and np.shape(curve[-1]) == (len(agent),):
        return np.array(curve[-1], float)
    assert agent.env_id is not None
    count = STARTS if has_native_batch(find_env(agent.env_id, "run")) else FEW_STARTS
    starts = range(VALIDATION_SEED, VALIDATION_SEED + count)
    try:
        return evaluate(agent, agent.env_id, starts, agent.env_kwargs).mean(1)
    except Exception as error:
        raise UsageError(f"run: {agent.env_id} failed ({in_a_line(error)})") from None


def best_of(returns: np.ndarray) -> int:
    """The index of the highest return (S,); a seed that failed is never the best."""
    return int(np.where(np.isnan(returns), -np.inf, returns).argmax())


def replicas(agent: Agent, label: str, indices: Sequence[int]) -> list[Player]:
    """Some replicas of an agent as players; the label says which, where there are several."""
    assert agent.env_id is not None
    env, env_kwargs = our_pendulum(agent.env_id, agent.env_kwargs)
    names = [_("{label} seed {seed}", label=label, seed=agent.seeds[index]).strip() for index in indices]
    return [Player(name, agent[index], env, env_kwargs) for name, index in zip(names, indices, strict=True)]


def snapshots(run: Path, index: int, load: Callable[[Path], Agent]) -> list[Player]:
    """One replica as it was after 0, 10, 30 and 100 % of the training."""
    paths = sorted(run.glob("policy-*.safetensors")) if run.is_dir() else []
    if len(paths) < 2:
        expected = "the policies that balancier train keeps after 0, 10, 30 and 100 % of a training"
        raise UsageError(f"--before-after: found {len(paths)} in {run}, expected {expected}")
    players = []
    for path in paths:
        share, agent = int(path.stem.rpartition("-")[2]), load(path)
        (player,) = replicas(agent, "", [index])
        label = _("after {share} % ({steps:,} steps)", share=share, steps=agent.num_timesteps)
        players.append(replace(player, label=_("before training") if share == 0 else label))
    return players


def sb3_agent(path: Path, env: str, env_kwargs: dict[str, Any]) -> Player:
    """A model that SB3 saved, with its networks copied into an agent of ours."""
    spec = find_env(env, "--env")
    for candidate in dict.fromkeys((env, DISCRETE if is_pendulum(env) else env)):
        try:
            given: dict[str, Any] = {"env_kwargs": env_kwargs} if env_kwargs else {}
            agent = from_sb3(path, candidate, **given)
            return replace(replicas(agent, "", [0])[0], label=f"SB3 {type(agent).__name__} {path.stem}")
        except (ValueError, OSError, gym.error.Error) as error:
            words = " ".join(str(error).split())
    words = words if str(path) in words else f"{path}: {words}"
    raise UsageError(f"run: {words} (its environment is taken as {spec.id}; --env ID says another)") from None


def controller(word: str, env: str, env_kwargs: dict[str, Any], flag: str = "run") -> Player:
    """The optimum, or a classical controller, of a pendulum with these keywords."""
    env, env_kwargs = our_pendulum(env, env_kwargs)
    if not is_pendulum(env):
        raise UsageError(f"{flag}: found {word} in {env}, expected it with a pendulum alone")
    seen = {name: value for name, value in env_kwargs.items() if name not in ("observation", "size")}
    single: Any = gym.make(env, **seen)
    pendulum, num_torques = single.unwrapped.pendulum, single.unwrapped.num_torques
    if pendulum.ranges:
        expected = "one number each: it knows its pendulum"
        raise UsageError(f"{flag}: found {word} with the range of {next(iter(pendulum.ranges))}, expected {expected}")
    limit = single.spec.max_episode_steps or -1
    num_steps = limit if limit > 0 else planning.STEPS
    try:
        if word == OPTIMUM:
            return Player(_(OPTIMUM), optimum_of(single), env, seen)
        model = planning.controller(word, pendulum, num_torques=num_torques, num_steps=num_steps)
    except ValueError as error:
        raise UsageError(f"{flag}: found {word} in {env}, expected a pendulum that has one ({error})") from None
    return Player(_(CONTROLLERS[word]), model, env, seen)


def optimum_of(env: gym.Env) -> Optimum:
    """The optimum of one of our pendulums; ValueError, which says why, where it is not known."""
    single: Any = env.unwrapped
    steps = env.spec.max_episode_steps if env.spec is not None else None
    if single.pendulum.ranges:
        raise ValueError(N_("every episode has another pendulum"))
    if not steps or steps < 0:
        raise ValueError(N_("an episode has no end"))
    console.print(_("looking for the optimum of this pendulum (once; up to a minute) ..."), highlight=False)
    best = optimum(num_torques=single.num_torques, num_steps=steps, **asdict(single.pendulum))
    if not best.settled:
        raise ValueError(N_("the finest grid is too coarse for it"))
    return best


def function(word: str, env: str, env_kwargs: dict[str, Any]) -> Player:
    """A user's own controller, module:function, which makes an action of an observation."""
    module, __, name = word.partition(":")
    import_module(module, "run")
    act = getattr(importlib.import_module(module), name, None)
    if not callable(act):
        raise UsageError(f"run: found {word}, expected module:function, a function from an observation to an action")
    env, env_kwargs = our_pendulum(env, env_kwargs)
    return Player(name, act if hasattr(act, "predict") else Function(act), env, env_kwargs)


def is_function(word: str) -> bool:
    """Whether a word of the command line names a function, module:name, and no file."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", word) is not None and not Path(word).exists()


def path_of(word: str) -> Path:
    """The checkpoint that a word names: a file, or the newest in a run's folder."""
    return newest_checkpoint(Path(word)) if Path(word).is_dir() else Path(word)


def is_drawn_as_pendulum(env: str) -> bool:
    """Whether our viewer draws this environment itself."""
    return is_pendulum(env, "run") and not find_env(env, "run").additional_wrappers
