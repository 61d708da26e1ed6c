"""Frames into a file."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from balancier import write_file


class Recorder:
    """Takes frames (height, width, 3) uint8 and makes an animated GIF of them, which is there once it is closed."""

    def __init__(self, path: Path, fps: float = 25.0):
        self.path, self.fps = path, fps
        self.images: list[Image.Image] = []

    def add(self, frame: np.ndarray) -> None:
        image = Image.fromarray(frame)
        image.thumbnail((640, 640))
        self.images.append(image.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE))

    def close(self) -> None:
        if not self.images:
            return
        content = io.BytesIO()
        wait = max(20, round(1000 / self.fps))  # viewers show less than 20 ms as 100
        self.images[0].save(content, "GIF", save_all=True, append_images=self.images[1:], duration=wait, loop=0)
        write_file(self.path, content.getvalue())
