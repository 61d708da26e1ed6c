"""Small pictures of pendulums, drawn many at a time as arrays: no window, no pygame.

n pictures, F frames of one observation, C = 3 colors, H = W = size.
"""

from functools import cache
from typing import Any

import numpy as np

SIZE = 32
SIZES = (16, 128)  # the smallest and the largest
LENGTH, WIDTH = 0.8, 0.12  # of the usual rod, as shares of half the picture
ANGLES = 4096  # of the rods that `frames` shows: 0.09 degrees apart, 0.02 pixels at the tip
LENGTHS = 256  # of these rods, as shares of the usual length: 0.05 pixels apart
ROD = np.array([176, 32, 32], np.float32)
PIVOT = np.array([20, 20, 20], np.float32)
BACKGROUND = np.array([255, 255, 255], np.float32)


def check_size(size: Any) -> int:
    """The size of pictures, by default SIZE; ValueError if it is none."""
    size = SIZE if size is None else size
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if not whole or not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size: found {size!r}, expected a whole number from {SIZES[0]} to {SIZES[1]}")
    return int(size)


def draw(
    angle: np.ndarray,
    *,
    size: int = SIZE,
    length: np.ndarray | float = LENGTH,
    width: np.ndarray | float = WIDTH,
    center: np.ndarray | tuple[float, float] = (0.0, 0.0),
    rod: np.ndarray = ROD,
    background: np.ndarray = BACKGROUND,
) -> np.ndarray:
    """Anti-aliased pictures (n, 3, size, size) uint8 of rods at `angle` (n,), rad, 0 upright, counter-clockwise.

    Lengths and widths are shares of half the picture; `center` (n, 2) is where the pivot is, to the right and up, in
    the same unit; colors (n, 3) or (3,) in 0 to 255.
    """
    angle = np.asarray(angle, np.float32)[:, None, None]
    ticks = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    right, up = np.broadcast_to(np.asarray(center, np.float32), (len(angle), 2)).T[..., None, None]
    x, y = ticks[None, None, :] - right, -ticks[None, :, None] - up  # (n, 1, W), (n, H, 1)
    length, width = (np.broadcast_to(np.asarray(v, np.float32), len(angle))[:, None, None] for v in (length, width))
    along_x, along_y = -np.sin(angle), np.cos(angle)
    along = np.clip(x * along_x + y * along_y, 0, length)  # the rod's point next to each pixel
    distance = np.hypot(x - along * along_x, y - along * along_y)
    cover = np.clip((width / 2 - distance) * (size / 2) + 0.5, 0, 1)[:, None]  # (n, 1, H, W)
    hub = np.clip((width / 3 - np.hypot(x, y)) * (size / 2) + 0.5, 0, 1)[:, None]
    rod, background = (np.asarray(c, np.float32).reshape(-1, 3, 1, 1) for c in (rod, background))
    picture = background + cover * (rod - background)
    picture += hub * (PIVOT.reshape(1, 3, 1, 1) - picture)
    return (picture + 0.5).astype(np.uint8)


def frames(angle: np.ndarray, length: np.ndarray | float | None = None, size: int = SIZE) -> np.ndarray:
    """Pictures (..., F * 3, H, W) uint8 of the usual rod at angles (..., F), rad: F frames, one after the other.

    They show the nearest of `ANGLES` angles. The first picture of each is drawn and kept, the next ones are about a
    hundred times faster. Equal angles give equal bytes in every batch. `length` (...), from 0 to 1, shortens the rod to
    that share of its length, to the nearest of `LENGTHS`; its end is then straight and not round.
    """
    index, (rods, drawn) = sector(angle, ANGLES), _rods(size)
    if not drawn[index].all():
        new = np.unique(index[~drawn[index]])
        for part in np.array_split(new, -(-len(new) // 128)):  # parts fit the processor's cache
            rods[part] = draw(part * (2 * np.pi / ANGLES), size=size).reshape(len(part), 3, -1)
        drawn[new] = True
    pictures = rods.take(index, axis=0)  # (..., F, 3, H * W)
    if length is not None:
        share = np.rint(np.asarray(length) * LENGTHS).astype(np.int64)
        # White is the largest byte, so the greater of two pictures shows what is white in either.
        np.maximum(pictures, _masks(size).take(share, axis=0)[..., None, None, :], out=pictures)
    return pictures.reshape(*np.shape(angle)[:-1], -1, size, size)


@cache
def _rods(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The usual rod at all angles, (ANGLES, 3, H * W) uint8, and which of them are already drawn."""
    return np.empty((ANGLES, 3, size * size), np.uint8), np.zeros(ANGLES, np.bool_)


@cache
def _masks(size: int) -> np.ndarray:
    """For each length, white outside the rod's reach and black inside, (LENGTHS + 1, H * W) uint8."""
    ticks = (np.arange(size) + 0.5) * (2 / size) - 1
    distance = np.hypot(ticks, ticks[:, None]).reshape(-1)
    reach = np.linspace(0, LENGTH, LENGTHS + 1)[:, None] + WIDTH / 2
    return (255 * np.clip((distance - reach) * (size / 2) + 0.5, 0, 1) + 0.5).astype(np.uint8)


def sector(angle: np.ndarray, classes: int = 10) -> np.ndarray:
    """Number (int64) of the sector, of `classes` equal ones, that an angle points into; 0 is centered on upright."""
    return np.floor(np.asarray(angle) * classes / (2 * np.pi) + 0.5).astype(np.int64) % classes


def labeled_frames(
    generator: np.random.Generator, count: int, classes: int = 10, size: int = SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, 3, size, size) uint8 of pendulums that differ in place, size, color and noise, and their
    sectors.

    Angles keep a tenth of a sector away from its edges, so that the classes can be distinguished.
    """
    label = generator.integers(classes, size=count)
    angle = (label + generator.uniform(-0.4, 0.4, count)) * (2 * np.pi / classes)
    dark, light = generator.uniform(0, 120, (count, 3)), generator.uniform(150, 255, (count, 3))
    swap = generator.random((count, 1)) < 0.5
    frames = draw(
        angle,
        size=size,
        length=generator.uniform(0.5, 0.9, count),
        width=generator.uniform(0.08, 0.25, count),
        center=generator.uniform(-0.3, 0.3, (count, 2)),
        rod=np.where(swap, light, dark),
        background=np.where(swap, dark, light),
    )
    noise = generator.normal(0, 12, frames.shape).astype(np.float32)
    return (frames + noise).clip(0, 255).astype(np.uint8), label
