"""See a trained agent act: in a window, or as a GIF where there is no screen. Each episode prints its return. The
first seed of the agent acts; --replica N takes another.

balancier watch runs/train/latest

balancier watch runs/train/latest --gif swing-up.gif --replica 3
"""

import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import pygame
import tyro
from gymnasium.wrappers import HumanRendering
from PIL import Image, ImageOps

import balancier
from agents.evaluation import VALIDATION_SEED
from experiments.common.command import run_command
from experiments.common.environments import find_env, in_a_line
from experiments.common.flags import UsageError, at_least
from experiments.common.runs import console
from experiments.train import load, shown

ADVICE = "where there is no screen, --gif FILE writes the frames"
MAX_FRAMES = 2_000  # of a GIF


@dataclass(frozen=True)
class Watch:
    """See a trained agent act: in a window, or as a GIF."""

    run: Annotated[Path, tyro.conf.Positional] = Path(".")
    """Folder of a run of balancier train, or a checkpoint."""
    env: Annotated[str | None, shown("ID")] = None
    """module:Id of an environment of your own that the agent was trained in; the module is imported. (default: the
    agent's id, if it is known without)"""
    replica: int = 0
    """Index of the seed that acts; 0 is the first."""
    seed: Annotated[int, at_least(0)] = 0
    """Where the first episode starts, among the validation starts; the others follow."""
    episodes: Annotated[int, at_least(1)] = 3
    """How many episodes; with --gif, 1."""
    gif: Path | None = None
    """Write this file instead of opening a window."""
    size: Annotated[int, at_least(1)] = 320
    """Pixels of the GIF's longer side."""


def watch(flags: Watch) -> None:
    if flags.gif is not None and (flags.gif.is_dir() or not flags.gif.resolve().parent.is_dir()):
        kind = "the folder" if flags.gif.is_dir() else "no folder"
        place = flags.gif if flags.gif.is_dir() else flags.gif.resolve().parent
        raise UsageError(f"--gif: found {kind} {place}, expected a file in a folder that exists")
    agent = load(flags.run, "run", flags.env)
    if not 0 <= flags.replica < len(agent):
        raise UsageError(f"--replica: found {flags.replica}, expected 0 to {len(agent) - 1}")
    assert agent.env_id is not None
    env = drawn_env(agent.env_id, agent.env_kwargs, window=flags.gif is None)
    images: list[Image.Image] = []
    for episode in range(1 if flags.gif else flags.episodes):
        total, steps = 0.0, 0
        try:
            for reward, frame in play(agent[flags.replica], env, VALIDATION_SEED + flags.seed + episode):
                total, steps = total + reward, steps + 1
                if flags.gif is not None and len(images) < MAX_FRAMES:
                    images.append(gif_image(frame, flags.size))
        except (pygame.error, gym.error.DependencyNotInstalled) as error:
            raise UsageError(f"run: {agent.env_id} cannot be drawn here ({in_a_line(error)}); {ADVICE}") from None
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"run: {agent.env_id} failed ({in_a_line(error)})") from None
        console.print(f"episode {episode}: return {total:.1f}", highlight=False)
    fps = frames_per_second(env)
    env.close()
    if flags.gif is not None:
        save_gif(images, flags.gif, fps)
        shown = f"{len(images)} frames" + (f" of {steps}" if len(images) < steps else "")
        console.print(f"{flags.gif}: {shown}, {flags.gif.stat().st_size / 1024:.0f} KiB", highlight=False)


def drawn_env(env_id: str, env_kwargs: dict[str, Any], window: bool) -> gym.Env:
    """The environment with frames as arrays, or in a window; UsageError for one that has none.

    An environment that only makes arrays is shown in a window by Gymnasium's wrapper; without a screen any that makes
    some, because other windows end the process (MuJoCo's).
    """
    spec = find_env(env_id, "run")
    plain = gym.make(spec, disable_env_checker=True, **env_kwargs)
    modes = list(plain.metadata.get("render_modes") or [])
    plain.close()
    mode = "human" if window and "human" in modes and (has_screen() or "rgb_array" not in modes) else "rgb_array"
    if mode not in modes:
        expected = "rgb_array or human" if window else "rgb_array"
        found = f"found {env_id}, which draws no frames (render_modes: {', '.join(map(str, modes)) or 'none'})"
        raise UsageError(f"{'run' if window else '--gif'}: {found}, expected an environment with {expected}")
    try:
        env = gym.make(spec, disable_env_checker=True, render_mode=mode, **env_kwargs)
    except Exception as error:
        raise UsageError(f"run: {env_id} cannot be drawn ({in_a_line(error)}); {ADVICE}") from None
    if mode == "human":
        return env
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": frames_per_second(env)}
    return HumanRendering(Frames(env)) if window else Frames(env)


def has_screen() -> bool:
    """Whether there is a place for windows; elsewhere than on Linux nobody knows."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Frames(gym.Wrapper):
    """An environment whose frames are all (height, width, 3) bytes of the first one's size, with black borders."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self.size: tuple[int, int] | None = None  # width and height

    def render(self) -> Any:
        try:
            frame = self.env.render()
        except Exception as error:
            raise UsageError(
                f"run: found an environment that cannot draw ({in_a_line(error)}), expected frames"
            ) from None
        array = np.asarray(frame)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        bytes_only = array.dtype == np.uint8 and array.size > 0 and array.ndim in (2, 3)
        if not bytes_only or array.shape[2:] not in ((), (3,), (4,)):
            found = type(frame).__name__ if array.dtype == object else f"shape {array.shape} of {array.dtype}"
            raise UsageError(f"run: found a frame that is {found}, expected (height, width, 3) of uint8")
        image = Image.fromarray(array).convert("RGB")
        self.size = self.size or image.size
        return np.asarray(image if image.size == self.size else ImageOps.pad(image, self.size))


def frames_per_second(env: gym.Env) -> float:
    """What the environment says, if it says a number; else 30, as Gymnasium's recorder takes it."""
    fps = env.metadata.get("render_fps")
    return float(fps) if isinstance(fps, int | float) and fps > 0 else 30.0


def play(model: Any, env: gym.Env, seed: int, max_steps: int = 100_000) -> Iterator[tuple[float, Any]]:
    """One episode from `reset(seed)`: yields each reward with the frame after it.

    Raises UsageError for an episode that is longer than `max_steps`, as `agents.evaluation.evaluate` does.
    """
    obs, _ = env.reset(seed=seed)
    state, first = None, np.ones(1, np.bool_)
    for _ in range(max_steps):
        action, state = model.predict(obs, state, first)
        obs, reward, terminated, truncated, _ = env.step(action)
        first = np.zeros(1, np.bool_)
        yield float(reward), env.render() if env.render_mode == "rgb_array" else None
        if terminated or truncated:
            return
    raise UsageError(f"run: found an episode of more than {max_steps} steps, expected an end or a time limit")


def gif_image(frame: np.ndarray, size: int) -> Image.Image:
    """A frame of at most `size` pixels, in few colors, so that the file stays small."""
    image = Image.fromarray(frame)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return image.quantize(48, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def save_gif(images: list[Image.Image], path: Path, fps: float) -> None:
    """An endless GIF; the file is there only once it is complete."""
    content, wait = io.BytesIO(), max(20, round(1000 / fps))  # viewers show less than 20 ms as 100
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=wait, loop=0, optimize=True)
    try:
        balancier.write_file(path, content.getvalue())
    except OSError as error:
        raise UsageError(f"--gif: cannot write {path} ({error.strerror})") from None


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("watch", Watch, watch, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
