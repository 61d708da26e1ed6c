"""Frames written one after the other into a GIF or an MP4: no more than one frame is in memory.

The file is written beside its target and is there only once it is complete. GIF needs nothing more; MP4 needs
imageio-ffmpeg, the extra [video].
"""

import contextlib
import io
import os
import secrets
from collections.abc import Generator
from itertools import count
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from PIL import Image, ImageChops

from balancier import naming_file

COLORS, EXACT = 128, 16  # of a GIF's palette; those of them that are an image's most frequent ones
SHORTEST = 2  # hundredths of a second: viewers show a GIF's frame of less as 10
STRANGE = 32, 5e-4  # of 255: a pixel that is farther from its color; share of such pixels that asks for new colors


class Writer(Protocol):
    """One format: frames go in, and `finish` completes the file."""

    def add(self, frame: np.ndarray) -> None: ...

    def finish(self) -> None: ...

    def abandon(self) -> None: ...


class Video:
    """A video that is being written; `with Video(path, fps) as video` completes it, or leaves nothing after an error.

    Args:
        path: ends in .gif or .mp4.
        fps: frames per second.

    Raises:
        ValueError: for another ending, and for MP4 without imageio-ffmpeg.
        OSError: if the file cannot be written there.
    """

    def __init__(self, path: str | os.PathLike, fps: float):
        check_path(path)
        target = Path(os.path.realpath(path))
        self.path, self.fps, self.frames = target, fps, 0
        self.beside = target.with_name(f".{target.stem[:150]}.{secrets.token_hex(4)}{target.suffix}")
        with naming_file(target), open(self.beside, "xb"):
            pass
        self.writer: Writer | None = None  # from the first frame on, which has the size
        self.size: tuple[int, int] = (0, 0)

    def add(self, frame: np.ndarray) -> None:
        """One more frame, (height, width, 3) uint8, all of one size; ValueError for any other."""
        height, width = self.size if self.writer else np.shape(frame)[:2]
        if np.shape(frame) != (height, width, 3) or frame.dtype != np.uint8:
            found = f"shape {np.shape(frame)} of {getattr(frame, 'dtype', type(frame).__name__)}"
            raise ValueError(f"frame: found {found}, expected ({height}, {width}, 3) of uint8")
        if self.writer is None:
            self.size = height, width
            kind = Gif if self.path.suffix.lower() == ".gif" else Mp4
            self.writer = kind(self.beside, (width, height), self.fps)
        self.writer.add(np.ascontiguousarray(frame))
        self.frames += 1

    def close(self) -> None:
        """Complete the file; ValueError if there was no frame."""
        if self.writer is None:
            self.discard()
            raise ValueError(f"{self.path}: found no frame, expected at least one")
        try:
            with naming_file(self.path):
                self.writer.finish()
                os.chmod(self.beside, usual_mode())
                os.replace(self.beside, self.path)
        finally:
            self.beside.unlink(missing_ok=True)

    def discard(self) -> None:
        """Leave nothing; what was there before stays."""
        if self.writer is not None:
            with contextlib.suppress(Exception):
                self.writer.abandon()
        self.beside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.discard() if kind else self.close()


def check_path(path: str | os.PathLike) -> None:
    """Raise ValueError, in one line, for a path that no video can be written to."""
    target = Path(path)
    if target.suffix.lower() not in (".gif", ".mp4"):
        raise ValueError(f"found {target}, expected a name that ends in .gif or .mp4")
    if target.is_dir() or not target.resolve().parent.is_dir():
        kind = "the folder" if target.is_dir() else "no folder"
        place = target if target.is_dir() else target.resolve().parent
        raise ValueError(f"found {kind} {place}, expected a file in a folder that exists")
    if target.suffix.lower() == ".mp4":
        ffmpeg()


def ffmpeg() -> Any:
    """The module imageio_ffmpeg; ValueError, in one line, where it is missing or has no program."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        expected = "it installed for MP4 (python -m pip install imageio-ffmpeg), or a name that ends in .gif"
        raise ValueError(f"found no imageio-ffmpeg, expected {expected}") from None
    return imageio_ffmpeg


def usual_mode() -> int:
    """The mode of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


class Mp4:
    """H.264 in an MP4, encoded by ffmpeg in a process of its own."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float):
        self.path, (width, height) = path, size
        self.padding = (0, height % 2), (0, width % 2), (0, 0)  # the format wants even sizes
        even = width + width % 2, height + height % 2
        options = ["-movflags", "+faststart"]  # browsers play it from the first bytes on
        make = ffmpeg().write_frames
        self.process: Generator[None, Any, None] = make(
            str(path), even, fps=fps, macro_block_size=1, quality=8, ffmpeg_log_level="error", output_params=options
        )
        self.process.send(None)

    def add(self, frame: np.ndarray) -> None:
        try:
            self.process.send(np.ascontiguousarray(np.pad(frame, self.padding, "edge")))
        except OSError as error:  # its words are ffmpeg's whole log
            raise OSError(error.errno or 5, "ffmpeg stopped writing", str(self.path)) from None

    def finish(self) -> None:
        self.process.close()
        if not self.path.stat().st_size:
            raise OSError(5, "ffmpeg wrote nothing", str(self.path))

    def abandon(self) -> None:
        self.process.close()


class Gif:
    """An endless GIF: of each frame only the rectangle that changed, in colors that stay while they are good enough."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float):
        self.file, self.fps = open(path, "wb"), fps  # noqa: SIM115  closed by finish and abandon
        self.before: Image.Image | None = None
        self.palette: Image.Image | None = None
        self.count, self.due = 0, 0  # frames so far; time of the next one that is written, 1/100 s
        width, height = (number.to_bytes(2, "little") for number in size)
        self.file.write(b"GIF89a" + width + height + b"\x00\x00\x00")
        self.file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # repeat for ever

    def add(self, frame: np.ndarray) -> None:
        time, self.count = self.time(self.count), self.count + 1
        if time < self.due:  # more frames than a GIF can show
            return
        self.due = next(then for n in count(self.count) if (then := self.time(n)) >= time + SHORTEST)
        wait = min(self.due - time, 2**16 - 1).to_bytes(2, "little")
        image = self.quantized(Image.fromarray(frame))
        colors = image.convert("RGB")
        box = (0, 0, *image.size) if self.before is None else ImageChops.difference(colors, self.before).getbbox()
        left, top, right, bottom = box or (0, 0, 1, 1)
        table, data = gif_parts(image.crop((left, top, right, bottom)))
        place = b"".join(number.to_bytes(2, "little") for number in (left, top, right - left, bottom - top))
        size_of_table = (len(table) // 3).bit_length() - 2  # the table has 2^(this + 1) colors
        self.file.write(b"\x21\xf9\x04\x04" + wait + b"\x00\x00")  # 4: the frame stays below the next one
        self.file.write(b"\x2c" + place + bytes([0x80 | size_of_table]) + table + data)
        self.before = colors

    def time(self, frame: int) -> int:
        return round(100 * frame / self.fps)

    def quantized(self, image: Image.Image) -> Image.Image:
        """The image in the colors of the frames before; in new ones where those do not show it well."""
        distance, share = STRANGE
        if self.palette is not None:
            same = image.quantize(palette=self.palette, dither=Image.Dither.NONE)
            error = np.asarray(ImageChops.difference(image, same.convert("RGB"))).max(-1)
            if (error > distance).mean() <= share:
                return same
        self.palette = palette_of(image)
        return image.quantize(palette=self.palette, dither=Image.Dither.NONE)

    def finish(self) -> None:
        with self.file:
            self.file.write(b"\x3b")
            self.file.flush()
            os.fsync(self.file.fileno())

    def abandon(self) -> None:
        self.file.close()


def palette_of(image: Image.Image) -> Image.Image:
    """An image whose palette shows this one well: its most frequent colors exactly, the others about."""
    frequent: list[Any] = sorted(image.getcolors(image.width * image.height) or [], reverse=True)[:EXACT]
    others = image.quantize(COLORS - len(frequent), method=Image.Quantize.MEDIANCUT).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette(([value for _, color in frequent for value in color] + others)[: 3 * COLORS])
    return palette


def gif_parts(image: Image.Image) -> tuple[bytes, bytes]:
    """The color table and the compressed pixels of an image with a palette, from a GIF that Pillow writes of it."""
    content = io.BytesIO()
    image.save(content, "GIF", optimize=False, interlace=0)
    data = content.getvalue()
    colors = 3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0
    table, place = data[13 : 13 + colors], 13 + colors
    while data[place] == 0x21:  # an extension: two bytes, then blocks that begin with their length, up to one of 0
        place += 2
        while data[place]:
            place += data[place] + 1
        place += 1
    local = 3 * 2 ** ((data[place + 9] & 7) + 1) if data[place + 9] & 0x80 else 0
    table = data[place + 10 : place + 10 + local] or table
    return table, data[place + 10 + local : -1]
