"""Players side by side on the same start: each in an environment of its own, all drawn in one picture.

T angles.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from balancier import _
from envs.scene import Ghost, Scene, Track, scene_of
from envs.sources import SWING_RANGE
from experiments.common.environments import find_env, in_a_line
from experiments.common.flags import UsageError
from experiments.common.players import Player, is_drawn_as_pendulum
from experiments.common.recording import Frames, frames_per_second

HANGING = (np.pi, 0.0)  # angle and speed
UPRIGHT = (0.0, 0.0)
STARTS = {"hanging": HANGING, "upright": UPRIGHT}
MAX_STEPS = 100_000  # of an episode, as `agents.evaluation.evaluate` waits
AHEAD = {5: _("in 0.25 s"), 10: _("in 0.5 s"), 20: _("in 1 s")}  # steps that forecasts are drawn ahead


class Act:
    """One player in its environment.

    Raises UsageError, in one line, for an environment that cannot be made or draws no frames.
    """

    def __init__(self, player: Player, own_window: bool = False):
        self.player, self.is_pendulum = player, is_drawn_as_pendulum(player.env)
        if own_window:
            self.env = drawing_env(player, "human")
        else:
            self.env = plain_env(player) if self.is_pendulum else framed_env(player)
        self.track = Track(dt=self.seconds)
        self.episode, self.ended, self.ghosts, self.note = 0, False, (), ""

    @property
    def seconds(self) -> float:
        """Real time of a step."""
        if not self.is_pendulum:
            return 1 / frames_per_second(self.env)
        dt = np.max(self.env.unwrapped.pendulum.dt)  # type: ignore[attr-defined]
        return float(dt)

    def reset(self, seed: int, options: dict[str, Any] | None) -> None:
        self.obs, __ = self.calling(lambda: self.env.reset(seed=seed, options=options))
        self.state, self.first = None, np.ones(1, np.bool_)
        self.track.clear()
        self.episode, self.ended, self.ghosts, self.note = self.episode + 1, False, (), ""
        if self.is_pendulum:
            self.track.add(*self.pendulum_state())

    def pendulum_state(self) -> tuple[float, float]:
        env: Any = self.env.unwrapped
        return float(env.angle), float(env.speed)

    def step(self) -> None:
        """One step; none after the end of the episode."""
        if self.ended:
            return
        action, self.state = self.calling(
            lambda: self.player.model.predict(self.obs, self.state, self.first, deterministic=True)
        )
        if isinstance(action, np.ndarray):
            action = action[()]  # a discrete action as a number: environments look it up in dictionaries
        self.obs, reward, terminated, truncated, __ = self.calling(lambda: self.env.step(action))
        self.first = np.zeros(1, np.bool_)
        if self.is_pendulum:
            env: Any = self.env.unwrapped
            self.track.add(*self.pendulum_state(), env.last_torque, float(reward))
        else:
            self.track.add(0.0, 0.0, 0.0, float(reward))
        self.ended = bool(terminated or truncated)
        if self.track.steps >= MAX_STEPS and not self.ended:
            found = f"found an episode of more than {MAX_STEPS} steps"
            raise UsageError(f"run: {found}, expected an end or a time limit")
        if self.player.forecast is not None:
            self.ghosts = forecasts(self.player.forecast, np.array(self.track.angles))

    def calling(self, call: Callable[[], Any]) -> Any:
        """The answer of foreign code; its errors become one line."""
        try:
            return call()
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"run: {self.player.label} in {self.player.env} failed ({in_a_line(error)})") from None

    @property
    def total(self) -> float:
        return self.track.total

    def scene(self) -> Scene:
        """What is drawn now."""
        note = self.note or (_("return {value:.0f}", value=self.total) if self.player.forecast is None else "")
        others: dict[str, Any] = {
            "title": self.player.label,
            "note": note,
            "episode": self.episode,
            "ghosts": self.ghosts,
        }
        if self.is_pendulum:
            scene = scene_of(self.env.unwrapped, self.track, **others)
            return scene if self.player.forecast is None else dataclasses.replace(scene, longest=scene.length)
        return Scene(picture=self.picture(), track=self.track, **others)

    def picture(self) -> np.ndarray:
        """The environment's own frame, (height, width, 3) uint8."""
        frame: Any = self.env.render()
        return frame


def forecasts(forecast: Callable[[np.ndarray], np.ndarray], angles: np.ndarray) -> tuple[Ghost, ...]:
    """The angles to come as ghosts, drawn ahead of the rod, once enough of them have been measured."""
    future = forecast(np.unwrap(angles) - np.pi)
    if not len(future):
        return ()
    return tuple(
        Ghost(float(future[ahead - 1]) + np.pi, name, color=index)
        for index, (ahead, name) in enumerate(AHEAD.items())
        if ahead <= len(future)
    )


def plain_env(player: Player) -> gym.Env:
    """The environment of a pendulum, which our viewer draws."""
    return gym.make(find_env(player.env, "run"), disable_env_checker=True, **player.env_kwargs)


def framed_env(player: Player) -> gym.Env:
    """An environment of other people with its own frames as arrays; UsageError for one that has none."""
    modes = render_modes(player)
    if "rgb_array" not in modes:
        found = f"found {player.env}, which draws no frames (render_modes: {', '.join(modes) or 'none'})"
        raise UsageError(f"run: {found}, expected an environment with rgb_array")
    return Frames(drawing_env(player, "rgb_array"))


def render_modes(player: Player) -> list[str]:
    """How an environment can be drawn."""
    plain = plain_env(player)
    plain.close()
    return list(map(str, plain.metadata.get("render_modes") or []))


def drawing_env(player: Player, mode: str) -> gym.Env:
    try:
        return gym.make(find_env(player.env, "run"), disable_env_checker=True, render_mode=mode, **player.env_kwargs)
    except Exception as error:
        raise UsageError(f"run: {player.env} cannot be drawn ({in_a_line(error)})") from None


class Stage:
    """Several acts on the same start; with `own_window`, one whose environment opens a window of its own."""

    def __init__(self, players: Sequence[Player], own_window: bool = False):
        self.own_window = own_window
        self.acts = [Act(player, own_window) for player in players]
        if len({act.is_pendulum for act in self.acts}) > 1 or len({find_env(p.env).id for p in foreign(players)}) > 1:
            names = ", ".join(dict.fromkeys(player.env for player in players))
            raise UsageError(f"run: found players of {names}, expected one environment for all")

    @property
    def is_pendulum(self) -> bool:
        return self.acts[0].is_pendulum

    @property
    def seconds(self) -> float:
        """Real time of a step."""
        return self.acts[0].seconds

    @property
    def ended(self) -> bool:
        return all(act.ended for act in self.acts)

    def reset(self, seed: int, start: str) -> None:
        """Begin an episode: the first player's start is everybody's."""
        options = {"state": STARTS[start]} if start in STARTS else None
        if self.acts[0].player.forecast is not None:
            options = {"state": swing(seed)}
        for act in self.acts:
            act.reset(seed, options)
            if self.is_pendulum:
                options = {"state": self.acts[0].pendulum_state()}

    def step(self) -> None:
        for act in self.acts:
            act.step()

    def push(self, commands: Any) -> None:
        """A person's push, the same for everybody."""
        for act in self.acts if self.is_pendulum else ():
            env: Any = act.env.unwrapped
            if share := commands.torque_share(env.angle):
                env.push(share)
                act.obs = env.observe()

    def hold(self, index: int, angle: float) -> None:
        """A person holds a bob at an angle."""
        env: Any = self.acts[index].env.unwrapped
        env.state = (angle, 0.0)
        self.acts[index].obs = env.observe()

    def scenes(self) -> list[Scene]:
        return [act.scene() for act in self.acts]

    def episode(self, seed: int, start: str) -> Iterator[list[Scene]]:
        """The scenes of an episode, the start's first."""
        self.reset(seed, start)
        yield self.scenes()
        while not self.ended:
            self.step()
            yield self.scenes()

    def close(self) -> None:
        for act in self.acts:
            act.env.close()


def foreign(players: Sequence[Player]) -> list[Player]:
    return [player for player in players if not is_drawn_as_pendulum(player.env)]


def swing(seed: int) -> tuple[float, float]:
    """A wide swing within those of the lessons on sequences: angle and speed at its start."""
    generator = np.random.default_rng(seed)
    angle = generator.choice([-1, 1]) * generator.uniform(0.7, 1) * SWING_RANGE[0]
    return np.pi + angle, generator.uniform(-1, 1) * SWING_RANGE[1]
