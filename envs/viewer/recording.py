"""Frames of a window into a file."""

import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from envs.video import Video

LONGEST = 640  # pixels: larger frames take so long that the window would not keep its pace
MOST = 50  # frames that stand for one that took long


class Recorder:
    """Takes frames (height, width, 3) uint8 for a GIF or an MP4, which is there once it is closed.

    Frames of another size, after the window was resized, get borders in the color of their corner. The video runs in
    real time: where frames come late, those before are shown longer.
    """

    def __init__(self, path: Path, fps: float = 25.0):
        self.path, self.fps, self.video = path, fps, Video(path, fps)
        self.began = time.perf_counter()

    def add(self, frame: np.ndarray) -> None:
        image = Image.fromarray(frame)
        if self.video.frames:
            height, width = self.video.size
            corner: tuple[int, ...] = tuple(frame[0, 0].tolist())
            image = ImageOps.pad(image, (width, height), color=corner)
        else:
            image.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
            self.began = time.perf_counter()
        late = round((time.perf_counter() - self.began) * self.fps) - self.video.frames
        for _ in range(min(max(late, 0), MOST)):
            self.video.add(self.last)
        self.last = np.asarray(image)
        self.video.add(self.last)

    def close(self) -> None:
        """Complete the file; without a frame there is none."""
        self.video.close() if self.video.frames else self.video.discard()
