"""See a trained agent act: in a window, or as a GIF."""

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import tyro
from PIL import Image

import balancier
import envs  # noqa: F401  registers the pendulum
from agents.common.make_env import find_spec
from agents.evaluation import VALIDATION_SEED
from experiments.common.command import run_command
from experiments.common.flags import UsageError, at_least
from experiments.common.runs import console
from experiments.train import load


@dataclass(frozen=True)
class Watch:
    """See a trained agent act: in a window, or as a GIF."""

    run: Annotated[Path, tyro.conf.Positional] = Path(".")
    """Folder of a run of balancier train, or a checkpoint."""
    replica: int = 0
    """Index of the seed that acts; 0 is the first."""
    seed: int = 0
    """Where the first episode starts, among the validation starts; the others follow."""
    episodes: Annotated[int, at_least(1)] = 3
    """How many episodes; with --gif, 1."""
    gif: Path | None = None
    """Write this file instead of opening a window."""
    size: Annotated[int, at_least(1)] = 320
    """Pixels of the GIF's longer side."""


def watch(flags: Watch) -> None:
    if flags.gif is not None and not flags.gif.resolve().parent.is_dir():
        raise UsageError(f"--gif: found no folder {flags.gif.resolve().parent}, expected it to exist")
    agent = load(flags.run, "run")
    if not 0 <= flags.replica < len(agent):
        raise UsageError(f"--replica: found {flags.replica}, expected 0 to {len(agent) - 1}")
    assert agent.env_id is not None
    mode = "human" if flags.gif is None else "rgb_array"
    env = gym.make(find_spec(agent.env_id), render_mode=mode, **agent.env_kwargs)
    frames: list[np.ndarray] = []
    for episode in range(1 if flags.gif else flags.episodes):
        total = 0.0
        for reward, frame in play(agent[flags.replica], env, VALIDATION_SEED + flags.seed + episode):
            total += reward
            if frame is not None:
                frames.append(frame)
        console.print(f"episode {episode}: return {total:.1f}", highlight=False)
    fps = env.metadata["render_fps"]
    env.close()
    if flags.gif is not None:
        save_gif(frames, flags.gif, fps, flags.size)
        console.print(f"{flags.gif}: {len(frames)} frames, {flags.gif.stat().st_size / 1024:.0f} KiB", highlight=False)


def play(model: Any, env: gym.Env, seed: int) -> Iterator[tuple[float, Any]]:
    """One episode from `reset(seed)`: yields each reward with the frame after it."""
    obs, _ = env.reset(seed=seed)
    state, first, done = None, np.ones(1, np.bool_), False
    while not done:
        action, state = model.predict(obs, state, first)
        obs, reward, terminated, truncated, _ = env.step(action)
        first, done = np.zeros(1, np.bool_), terminated or truncated
        yield float(reward), env.render() if env.render_mode == "rgb_array" else None


def save_gif(frames: list[np.ndarray], path: Path, fps: float, size: int) -> None:
    """An endless GIF of few colors, so that it stays small; the file is there only once it is complete."""
    images = []
    for frame in frames:
        image = Image.fromarray(frame)
        image.thumbnail((size, size), Image.Resampling.LANCZOS)
        images.append(image.quantize(48, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))
    content, wait = io.BytesIO(), round(1000 / fps)
    images[0].save(content, "GIF", save_all=True, append_images=images[1:], duration=wait, loop=0, optimize=True)
    balancier.write_file(path, content.getvalue())


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("watch", Watch, watch, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
