"""Other people's environments, played by hand: their own frames, and the keys that they name."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from agents.evaluation import VALIDATION_SEED
from balancier import _
from envs.scene import Scene, Track
from envs.viewer import Window
from envs.viewer.window import key_codes
from experiments.common.environments import find_env, in_a_line
from experiments.common.flags import UsageError
from experiments.common.players import Player
from experiments.common.recording import Frames, frames_per_second
from experiments.common.runs import console
from experiments.common.stage import render_modes

KEY_WORDS = {"restart": _("the next episode")}


def open_foreign(env_id: str, kwargs: dict[str, Any], flag: str) -> tuple[gym.Env, dict[frozenset[int], Any]]:
    """The environment, and the action of each combination of keys; UsageError if it lacks frames or keys."""
    spec = find_env(env_id, flag)
    try:
        modes = render_modes(Player(env_id, None, env_id, kwargs))
        if "rgb_array" not in modes:
            found = f"found {env_id}, which draws no frames (render_modes: {', '.join(modes) or 'none'})"
            raise UsageError(f"{flag}: {found}, expected an environment with rgb_array")
        env = gym.make(spec, disable_env_checker=True, render_mode="rgb_array", **kwargs)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{flag}: {env_id} cannot be drawn here ({in_a_line(error)})") from None
    if not callable(keys_of := getattr(env.unwrapped, "get_keys_to_action", None)):
        expected = "a pendulum, or an environment that names its keys (get_keys_to_action)"
        raise UsageError(f"{flag}: found {env_id}, which names no keys, expected {expected}")
    named: Any = keys_of()
    return Frames(env, flag), {key_codes(keys): action for keys, action in named.items()}


def play_foreign(
    env: gym.Env,
    actions: dict[frozenset[int], Any],
    *,
    title: str,
    returns: Callable[[int], str],
    speed: float,
    seed: int,
    episodes: int | None,
) -> None:
    """Play until the window is closed. `returns` says what others reached from `reset(seed)`, or nothing."""
    seconds = 1 / frames_per_second(env)
    taken = frozenset().union(*actions)
    window = Window(_("Balancier: {title}", title=title), (760, 560), handles=KEY_WORDS, taken=taken, speed=speed)
    try:
        episode = 0
        while (episodes is None or episode < episodes) and not window.closed:
            start = VALIDATION_SEED + seed + episode
            total = play_episode(env, title, actions, window, seconds, start, episode)
            if total is not None:
                words = _("episode {number}: you {total:.1f}", number=episode + 1, total=total) + returns(start)
                console.print(words, highlight=False)
            episode += 1
    finally:
        window.close()
        env.close()


def play_episode(
    env: gym.Env,
    title: str,
    actions: dict[frozenset[int], Any],
    window: Window,
    seconds: float,
    seed: int,
    episode: int,
) -> float | None:
    """The return of an episode; None if it was not played to its end."""
    env.reset(seed=seed)
    track, over = Track(seconds), False
    track.add(0.0, 0.0)
    while not over:
        picture: Any = env.render()
        note = _("you {total:.0f}", total=track.total)
        scene = Scene(picture=picture, title=title, track=track, episode=episode + 1, note=note)
        commands = window.show([scene], seconds if track.steps else 0.0)
        if commands.closed or commands.restart:
            return None
        __, reward, terminated, truncated, __ = env.step(action_of(env, actions, window.held))
        track.add(0.0, 0.0, reward=float(reward))
        over = terminated or truncated
    return track.total


def action_of(env: gym.Env, actions: dict[frozenset[int], Any], held: set[int]) -> Any:
    """The action of the keys that are held down; of several that fit, the one of most keys."""
    fitting = [keys for keys in actions if keys <= held]
    if fitting:
        return actions[max(fitting, key=len)]
    space = env.action_space
    return np.zeros(space.shape, space.dtype) if isinstance(space, gym.spaces.Box) else 0
