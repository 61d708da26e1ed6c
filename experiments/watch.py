"""See agents act: in a window, or as a GIF or MP4 where there is no screen. Without a name the newest run acts, the
seed with the best validation return; --all shows every seed, and --before-after what one had learned after 0, 10, 30
and 100 % of its training. Several names act side by side on the same start. Each episode prints its returns.

balancier watch

balancier watch runs/train/latest optimum lqr-energy ilqr

balancier watch runs/train/latest --before-after --gif learning.gif

A name is the folder of a run, a checkpoint, a model of Stable-Baselines3 (model.zip), `optimum`, a controller of the
lesson control (`energy`, `lqr`, `lqr-energy`, `ilqr`, `mpc`, `mpc-cem`), `forecast_gru` and the other networks of the
lesson forecast, which draw the pendulum's future as ghosts, or module:function, a function of your own from an
observation to an action. In a notebook, `show` plays the same:
`from experiments.watch import show`, then `show(agent[3], start="hanging")`.
"""

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro

from agents import Agent, Replica
from agents.evaluation import VALIDATION_SEED
from balancier import _, numeral
from envs.sources import SWINGING
from envs.viewer import Window
from experiments import forecast
from experiments.common.command import run_command
from experiments.common.flags import UsageError, at_least
from experiments.common.hyperparams import PENDULUM
from experiments.common.pictures import Animation, animation, frame_rate, frames, window_size
from experiments.common.players import (
    CONTROLLERS,
    Function,
    Player,
    best_of,
    controller,
    function,
    is_drawn_as_pendulum,
    is_function,
    newest_run,
    path_of,
    replicas,
    sb3_agent,
    snapshots,
    validation_returns,
)
from experiments.common.recording import RecordingFlags, check_recordings, need_display, recordings
from experiments.common.runs import console, find_latest
from experiments.common.sequences import GROUP, SHIPPED, load_shipped
from experiments.common.stage import Stage, render_modes
from experiments.common.trained import load
from experiments.train import shown

MOST_SHOWN = 25  # players in one picture
LONG = {"length": (0.8, 1.0), "mass": (1.2, 2.0)}  # pendulums of the lesson that swing for the whole episode
FORECASTERS = sorted(path.stem for path in SHIPPED.glob("forecast_*.safetensors"))


@dataclass(frozen=True)
class Watch(RecordingFlags):
    """See trained agents act: in a window, as a GIF, or as an MP4."""

    run: Annotated[tuple[str, ...], tyro.conf.Positional, shown("[RUN ...]")] = ()
    """Who acts: folders of runs, checkpoints, model.zip, optimum, energy, lqr-energy, ilqr, mpc, forecast_gru,
    module:function. (default: the newest run)"""
    env: Annotated[str | None, shown("ID")] = None
    """module:Id of an environment of your own that the agent was trained in; the module is imported. Of a player that
    has no environment, the one it acts in. (default: the agent's id, if it is known without)"""
    replica: Annotated[int | None, shown("INT")] = None
    """Index of the seed that acts; 0 is the first. (default: the one with the best validation return)"""
    all: bool = False
    """Every seed acts, side by side."""
    before_after: bool = False
    """The seed as it was after 0, 10, 30 and 100 % of its training, side by side."""
    start: Annotated[Literal["hanging", "upright", "random"] | None, shown("hanging|upright|random")] = None
    """Where the rod is first. (default: hanging in the first episode, then random; in other environments random)"""
    seed: Annotated[int, at_least(0)] = 0
    """Which random start, among the validation starts; the others follow."""
    episodes: Annotated[Annotated[int, at_least(1)] | None, shown("INT")] = None
    """How many episodes. (default: 3; of a recording 1)"""
    theme: Literal["light", "dark"] = "light"
    """Colors."""


def watch(flags: Watch) -> None:
    check_recordings(flags)
    if flags.all and (flags.before_after or flags.replica is not None):
        other = "--before-after" if flags.before_after else "--replica"
        raise UsageError(f"--all: found {other} with it, expected one of the two")
    if not flags.recorded:
        need_display()
    stage = make_stage(players(flags), flags)
    if not stage.is_pendulum and flags.start in ("hanging", "upright"):
        env = stage.acts[0].player.env
        raise UsageError(f"--start: found {flags.start} for {env}, expected it with a pendulum alone")
    try:
        record(stage, flags) if flags.recorded else show_window(stage, flags)
    finally:
        stage.close()


def make_stage(acting: Sequence[Player], flags: Watch) -> Stage:
    """The players on a stage; UsageError, in one line, for an environment that cannot be drawn as asked for."""
    if not flags.recorded and len(acting) == 1 and not is_drawn_as_pendulum(acting[0].env):
        modes = render_modes(acting[0])
        if "rgb_array" not in modes and "human" in modes:
            return Stage(acting, own_window=True)
    try:
        return Stage(acting)
    except UsageError as error:
        words = str(error)
        if "draws no frames" not in words:
            raise
        flag = "--gif" if flags.gif else "--video"
        words = words.replace("run:", f"{flag}:", 1) if flags.recorded else f"{words} or human"
        raise UsageError(words) from None


# Who acts.


def players(flags: Watch) -> list[Player]:
    """Everybody whom the command line names; UsageError, in one line, for what is none."""
    words = flags.run or (str(Path.cwd() if path_of(".").is_file() else newest_run()),)
    files = [word for word in words if not is_named(word) and not word.endswith(".zip")]
    agents = {word: load(Path(word), "run", flags.env) for word in files}
    first = next(iter(agents.values()), None)
    env = flags.env or (first.env_id if first is not None else None) or PENDULUM
    env_kwargs = first.env_kwargs if first is not None else {}
    found: list[Player] = []
    for word in words:
        if word in agents:
            label = Path(word).resolve().name if len(agents) > 1 else ""
            found += agent_players(agents[word], find_latest(Path(word)), label, flags)
        elif word in FORECASTERS:
            found.append(forecaster(word))
        elif word in CONTROLLERS:
            found.append(controller(word, env, env_kwargs))
        elif word.endswith(".zip"):
            found.append(sb3_agent(Path(word), env, env_kwargs))
        else:
            found.append(function(word, env, env_kwargs))
    if len(found) > MOST_SHOWN:
        words = _("{most} of {count} are shown: more nobody can tell apart", most=MOST_SHOWN, count=len(found))
        console.print(words, highlight=False)
    return found[:MOST_SHOWN]


def is_named(word: str) -> bool:
    """Whether a word of the command line is a player that needs no file of ours."""
    is_file = Path(word).exists()
    return not is_file and (word in (*CONTROLLERS, *FORECASTERS) or is_function(word))


def agent_players(agent: Agent, run: Path, label: str, flags: Watch) -> list[Player]:
    """The replicas of an agent that the flags ask for."""
    if flags.replica is not None and not 0 <= flags.replica < len(agent):
        raise UsageError(f"--replica: found {flags.replica}, expected 0 to {len(agent) - 1}")
    if flags.all:
        return replicas(agent, label, range(len(agent)))
    index = flags.replica
    if index is None and len(agent) == 1:
        index = 0
    if index is None:
        returns = validation_returns(agent, path_of(str(run)))
        index = best_of(returns)
        words = _(
            "seed {seed} acts, the best of {count} by its validation return, {value:.0f}",
            seed=agent.seeds[index],
            count=len(agent),
            value=returns[index],
        )
        console.print(_("{name}: {words}", name=label, words=words) if label else words, highlight=False)
    if flags.before_after:
        return snapshots(run, index, lambda path: load(path, "run", flags.env))
    return replicas(agent, label or type(agent).__name__, [index])


def forecaster(word: str) -> Player:
    """A network of the lesson forecast, which draws the future of a pendulum that swings freely as ghosts."""
    name = word.partition("_")[2]
    network = forecast.build(name, forecast.sizes(forecast.Forecast())[name], [0])
    network.load_state_dict(load_shipped(word)[0])

    def future(angles: np.ndarray) -> np.ndarray:
        count = min(len(angles), forecast.PAST) // GROUP
        if count < forecast.SHORTEST // GROUP:
            return np.empty(0)
        past = angles[None, -count * GROUP :]
        past = np.pad(past, ((0, 0), (forecast.PAST - past.shape[1], 0)), "edge")  # of these, `count` groups are read
        return forecast.futures(name, network, past, torch.tensor([count]))[0, 0]

    label = _("forecast of the flat network") if "mlp" in name else _("forecast of {name}", name=name.upper())
    return Player(label, Function(lambda obs: np.zeros(1, np.float32)), PENDULUM, SWINGING | LONG, future)


# How it is shown.


def starts(flags: Watch, stage: Stage, episodes: int) -> Iterator[tuple[int, str]]:
    """Seed and start of each episode."""
    usual = itertools.chain(["hanging" if stage.is_pendulum else "random"], itertools.repeat("random"))
    for number, start in zip(range(episodes), usual, strict=False):
        yield VALIDATION_SEED + flags.seed + number, flags.start or start


def say(number: int, stage: Stage) -> None:
    """The returns of an episode that has ended."""
    if stage.acts[0].player.forecast is not None:
        return
    if len(stage.acts) == 1:
        words = _("episode {number}: return {value:.1f}", number=number, value=stage.acts[0].total)
    else:
        returns = ", ".join(f"{act.player.label} {numeral(act.total, '.1f')}" for act in stage.acts)
        words = _("episode {number}: {returns}", number=number, returns=returns)
    console.print(words, highlight=False)


def show_window(stage: Stage, flags: Watch) -> None:
    """Episodes in a window, in real time, until the last one ends or a person closes it."""
    if stage.own_window:
        for number, (seed, start) in enumerate(starts(flags, stage, flags.episodes or 3)):
            stage.reset(seed, start)
            while not stage.ended:
                stage.step()
            say(number, stage)
        return
    episodes = list(starts(flags, stage, flags.episodes or 3))
    stage.reset(*episodes[0])
    window = Window("balancier watch", window_size(stage.scenes()), theme=flags.theme, handles=handles(stage))
    try:
        for number, (seed, start) in enumerate(episodes):
            while not window.closed and (again := act_out(stage, window, seed, start)):
                start = again
            if window.closed:
                return
            say(number, stage)
    finally:
        window.close()


def handles(stage: Stage) -> tuple[str, ...]:
    """The commands of a window that make sense here."""
    return ("restart", "hanging", "push", "turn", "drag") if stage.is_pendulum else ("restart",)


def act_out(stage: Stage, window: Window, seed: int, start: str) -> str | None:
    """One episode in a window; the start of the one that a person asks for instead, None at its end."""
    for scenes in stage.episode(seed, start):
        commands = window.show(scenes, stage.seconds if scenes[0].track.steps else 0.0)
        while commands.drag is not None and not window.closed:
            stage.hold(*commands.drag)
            commands = window.show(stage.scenes(), 1 / 30)
        if window.closed:
            return None
        if commands.restart or commands.hanging:
            return "hanging" if commands.hanging else start
        stage.push(commands)
    return None


def record(stage: Stage, flags: Watch) -> None:
    """Episodes into files, as fast as they can be drawn."""
    smooth = flags.video is not None and stage.is_pendulum
    with recordings(flags, frame_rate(stage.seconds, smooth)[0]) as videos:
        for number, (seed, start) in enumerate(starts(flags, stage, flags.episodes or 1)):
            for picture in frames(stage, seed, start, flags.size, flags.theme, smooth):
                for video in videos:
                    video.add(picture)
            say(number, stage)
    for video in videos:
        name, size = video.path.name, video.path.stat().st_size / 1024
        words = _("{name}: {frames} frames, {size:.0f} KiB", name=name, frames=video.frames, size=size)
        console.print(words, highlight=False, soft_wrap=True)


# In a notebook.


def show(
    *models: Any,
    env: str | None = None,
    env_kwargs: dict[str, Any] | None = None,
    start: str | None = None,
    seed: int = 0,
    size: int | None = None,
    theme: str = "light",
) -> Animation:
    """One episode of each model, side by side on the same start, as an animation that a notebook plays.

    Args:
        models: agents (all their seeds act), replicas (`agent[3]`), anything with SB3's `predict`, or what
            `balancier watch` takes: the folder of a run, "optimum", "energy", "ilqr", "forecast_gru", "model.zip".
        env, env_kwargs: the environment of a model that has none of its own. (default: the pendulum)
        start: "hanging" (as without), "upright" or "random"; other environments have "random" alone.
        seed: which random start, among the validation starts.
        size: pixels of the longer side.
        theme: "light" or "dark".

    Raises:
        ValueError: for what cannot act, or an environment that draws no frames.
    """
    if not models:
        raise ValueError("models: found none, expected at least one agent")
    own = next((agent for model in models if (agent := agent_of(model)) is not None), None)
    env = env or (own.env_id if own is not None else None) or PENDULUM
    keywords = env_kwargs if env_kwargs is not None else own.env_kwargs if own is not None else {}
    acting: list[Player] = []
    for model in models:
        agent = agent_of(model)
        if isinstance(model, str | Path):
            acting += players(Watch(run=(str(model),), env=env if is_named(str(model)) else None))
        elif agent is not None and agent.env_id is None:
            raise ValueError("models: found an agent whose environment came from a function, expected one with an id")
        elif agent is not None:
            indices = range(len(agent)) if isinstance(model, Agent) else [model.index]
            acting += replicas(agent, type(agent).__name__ if len(indices) == 1 else "", list(indices)[:MOST_SHOWN])
        elif callable(getattr(model, "predict", None)):
            acting.append(Player(type(model).__name__, model, env, keywords))
        else:
            raise ValueError(f"models: found a {type(model).__name__}, expected an agent, or anything with predict")
    stage = Stage(acting)
    start = start or ("hanging" if stage.is_pendulum else "random")
    if start not in (("hanging", "upright", "random") if stage.is_pendulum else ("random",)):
        expected = "hanging, upright or random" if stage.is_pendulum else "random, as everywhere but in a pendulum"
        raise ValueError(f"start: found {start!r}, expected {expected}")
    try:
        return animation(stage, VALIDATION_SEED + seed, start, size, theme)
    finally:
        stage.close()


def agent_of(model: Any) -> Agent | None:
    """Our agent behind a model; None behind any other."""
    agent: Any = model.agent if isinstance(model, Replica) else model
    return agent if isinstance(agent, Agent) else None


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("watch", Watch, watch, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
