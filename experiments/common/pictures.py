"""Pictures of a stage: their size, their rate, and an animation that a page holds."""

import base64
import importlib.util
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from balancier import _
from envs.scene import Scene, between
from envs.video import Video
from envs.viewer import frame
from experiments.common.stage import Stage

ONE, SEVERAL = 480, 960  # pixels of a recording's longer side, where one or several act
WINDOW = 1280, 720  # pixels: the largest window
SMOOTH = 60  # frames per second of an MP4, and most of any recording


def picture_size(scenes: Sequence[Scene], longer: int) -> tuple[int, int]:
    """Width and height of a picture of these scenes in a grid, whose longer side has so many pixels."""
    picture = scenes[0].picture
    aspect = 1.0 if picture is None else picture.shape[1] / picture.shape[0]  # of one scene

    def fit(columns: int) -> float:
        rows = math.ceil(len(scenes) / columns)
        shape = aspect * columns / rows
        return len(scenes) / (columns * rows) / max(shape / (16 / 9), 16 / 9 / shape)

    columns = max(range(1, len(scenes) + 1), key=fit)
    shape = aspect * columns / math.ceil(len(scenes) / columns)
    width, height = (longer, longer / shape) if shape >= 1 else (longer * shape, longer)
    return max(1, round(width)), max(1, round(height))


def window_size(scenes: Sequence[Scene]) -> tuple[int, int]:
    """Of a window that every screen and projector has room for."""
    width, height = picture_size(scenes, WINDOW[0])
    share = min(1.0, WINDOW[1] / height)
    return round(share * width), round(share * height)


def frame_rate(seconds: float, smooth: bool) -> tuple[float, int, int]:
    """Frames per second of a recording, steps of a frame, and frames of a step; one of the last two is 1."""
    steps = max(1, round(1 / (SMOOTH * seconds)))
    parts = max(1, round(SMOOTH * seconds)) if smooth and steps == 1 else 1
    return parts / (steps * seconds), steps, parts


def frames(
    stage: Stage, seed: int, start: str, size: int | None, theme: str = "light", smooth: bool = False
) -> Iterator[np.ndarray]:
    """The pictures (height, width, 3) uint8 of an episode, one at a time."""
    if len(stage.acts) == 1 and not stage.is_pendulum:
        yield from own_frames(stage, seed, start, size or ONE)
        return
    __, steps, parts = frame_rate(stage.seconds, smooth)
    before: list[Scene] | None = None
    longer = size or (ONE if len(stage.acts) == 1 else SEVERAL)
    for number, scenes in enumerate(stage.episode(seed, start)):
        if number == 0:
            shape = picture_size(scenes, longer)
        elif number % steps == 0:
            assert before is not None
            for part in range(1, parts + 1):
                pairs = zip(before, scenes, strict=True)
                yield frame([between(old, new, part / parts) for old, new in pairs], shape, theme=theme)
        before = scenes


def own_frames(stage: Stage, seed: int, start: str, size: int) -> Iterator[np.ndarray]:
    """Of one player elsewhere than in a pendulum: the environment's frames alone, made smaller where they are large."""
    (act,) = stage.acts
    stage.reset(seed, start)
    steps = frame_rate(stage.seconds, False)[1]
    while not stage.ended:
        stage.step()
        if (act.track.steps - 1) % steps == 0:
            image = Image.fromarray(act.picture())
            image.thumbnail((size, size), Image.Resampling.LANCZOS)
            yield np.asarray(image)


class Animation:
    """A short video inside a page: what a notebook shows of it needs no other file and no network.

    Args:
        content: of an MP4 or a GIF.
        returns: of the players, in their order.
    """

    def __init__(self, content: bytes, kind: str, returns: Sequence[float]):
        self.content, self.kind, self.returns = content, kind, list(returns)

    def __repr__(self) -> str:
        size, returns = len(self.content) // 1024, np.round(self.returns, 1).tolist()
        return _("Animation({size} KiB of {kind}, returns {returns})", size=size, kind=self.kind, returns=returns)

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.content).decode()
        if self.kind == "gif":
            return f'<img src="data:image/gif;base64,{data}" style="max-width: 100%">'
        source = f'<source type="video/mp4" src="data:video/mp4;base64,{data}">'
        return f'<video controls autoplay loop muted playsinline style="max-width: 100%">{source}</video>'


def animation(stage: Stage, seed: int, start: str, size: int | None = None, theme: str = "light") -> Animation:
    """An episode as an animation: an MP4 where imageio-ffmpeg is installed, else a GIF."""
    kind = "mp4" if importlib.util.find_spec("imageio_ffmpeg") else "gif"
    smooth = kind == "mp4" and stage.is_pendulum
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"show.{kind}"
        with Video(path, frame_rate(stage.seconds, smooth)[0]) as video:
            for picture in frames(stage, seed, start, size, theme, smooth):
                video.add(picture)
        return Animation(path.read_bytes(), kind, [act.total for act in stage.acts])
