"""Where the frames of a command go: windows, GIF and MP4; and frames of environments made alike."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import tyro
from PIL import Image, ImageOps

from envs.video import Video, check_path
from envs.viewer import NoDisplay
from envs.viewer.window import check_display
from experiments.common.environments import in_a_line
from experiments.common.flags import UsageError, at_least

ENDINGS = {"gif": ".gif", "video": ".mp4"}


@dataclass(frozen=True)
class RecordingFlags:
    """Flags of a command that draws."""

    gif: Path | None = None
    """Record into this GIF instead of opening a window; it needs no display."""
    video: Path | None = None
    """The same as an MP4 (python -m pip install imageio-ffmpeg)."""
    size: Annotated[Annotated[int, at_least(1)] | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")] = None
    """Pixels of the recording's longer side. (default: 480, or 960 where several act)"""

    @property
    def recorded(self) -> bool:
        return self.gif is not None or self.video is not None


def check_recordings(flags: RecordingFlags) -> None:
    """Raise UsageError, in one line, for a file that cannot be recorded into."""
    for name, ending in ENDINGS.items():
        path = getattr(flags, name)
        try:
            if path is not None:
                check_path(path.with_suffix(ending) if path.suffix == "" else path)
                if path.suffix.lower() not in ("", ending):
                    raise ValueError(f"found {path}, expected a name that ends in {ending}")
        except ValueError as error:
            raise UsageError(f"--{name}: {error}") from None


def need_display() -> None:
    """Raise UsageError, in one line, where no window can be opened."""
    try:
        check_display()
    except NoDisplay as error:
        raise UsageError(str(error)) from None


@contextlib.contextmanager
def recordings(flags: RecordingFlags, fps: float) -> Iterator[list[Video]]:
    """The videos that the flags ask for; complete at the end of the block, or nothing after an error."""
    with contextlib.ExitStack() as stack:
        videos = []
        for name, ending in ENDINGS.items():
            path = getattr(flags, name)
            if path is not None:
                videos.append(stack.enter_context(Video(path if path.suffix else path.with_suffix(ending), fps)))
        yield videos


class Frames(gym.Wrapper):
    """An environment whose frames are all (height, width, 3) bytes of the first one's size, with black borders.

    UsageError, which begins with `flag`, for frames that cannot be drawn.
    """

    def __init__(self, env: gym.Env, flag: str = "run"):
        super().__init__(env)
        self.flag = flag
        self.size: tuple[int, int] | None = None  # width and height

    def render(self) -> Any:
        try:
            frame = self.env.render()
        except Exception as error:
            found = f"found an environment that cannot draw ({in_a_line(error)})"
            raise UsageError(f"{self.flag}: {found}, expected frames") from None
        array = np.asarray(frame)
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        bytes_only = array.dtype == np.uint8 and array.size > 0 and array.ndim in (2, 3)
        if not bytes_only or array.shape[2:] not in ((), (3,), (4,)):
            found = type(frame).__name__ if array.dtype == object else f"shape {array.shape} of {array.dtype}"
            raise UsageError(f"{self.flag}: found a frame that is {found}, expected (height, width, 3) of uint8")
        image = Image.fromarray(array).convert("RGB")
        self.size = self.size or image.size
        return np.asarray(image if image.size == self.size else ImageOps.pad(image, self.size))


def frames_per_second(env: gym.Env) -> float:
    """What the environment says, if it says a number; else 30, as Gymnasium's recorder takes it."""
    fps = env.metadata.get("render_fps")
    return float(fps) if isinstance(fps, int | float) and fps > 0 else 30.0
