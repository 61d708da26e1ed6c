"""Pictures of pendulums: one or a grid of them, with panels beside, into a surface or an array. No window."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pygame

from balancier import _, numeral
from envs.scene import PAST, Ghost, Scene
from envs.viewer import panels as panel_module
from envs.viewer.brush import Point, box, ready, smooth, words
from envs.viewer.themes import THEMES, Theme, mix

PANELS = panel_module.PANELS
ROD = 0.36  # of the picture's side: the longest rod that the scale has room for
TURN = 2 * math.pi
RGB = (0xFF, 0xFF00, 0xFF0000, 0)  # where a pixel's colors are
BINS = 1440  # directions of the trace: a quarter of a degree each


def draw(
    scenes: Sequence[Scene],
    size: tuple[int, int],
    *,
    theme: str = "light",
    panels: Sequence[str] = (),
    focus: int = 0,
    surface: pygame.Surface | None = None,
    keep_panels: bool = False,
) -> pygame.Surface:
    """The scenes in a grid and, beside them, the panels (any of PANELS) of the scene with the index `focus`.

    `size` is width and height in pixels. A surface of this size, where one is given, is drawn on and returned; with
    `keep_panels` its panels stay as they are.
    """
    ready()
    colors = THEMES[theme]
    surface = surface or canvas(size)
    room, beside = split(pygame.Rect(0, 0, *size), len(scenes), bool(panels))
    places = cells(room, len(scenes))
    for empty in places[len(scenes) :]:
        surface.fill(colors.paper, empty)
    span = scale([scene.longest or scene.length for scene in scenes])
    for index, (scene, cell) in enumerate(zip(scenes, places, strict=False)):
        draw_scene(surface, scene, cell, span, colors, marked=bool(panels) and len(scenes) > 1 and index == focus)
    if panels and not keep_panels:
        surface.fill(colors.paper, beside)
        panel_module.draw_panels(surface, scenes[min(focus, len(scenes) - 1)], beside, panels, colors)
    return surface


def canvas(size: tuple[int, int]) -> pygame.Surface:
    """A surface in the format of textures, which a window takes without a conversion; the trace needs its 32 bits."""
    return pygame.Surface(size, 0, 32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000))


def frame(scenes: Sequence[Scene], size: tuple[int, int], **options) -> np.ndarray:
    """The picture as (height, width, 3) uint8; options as of `draw`."""
    return to_array(draw(scenes, size, **options))


def to_array(surface: pygame.Surface) -> np.ndarray:
    """The pixels (height, width, 3) uint8 of a surface, a copy."""
    size = surface.get_size()
    if surface.get_masks() != RGB:  # the copy of a surface takes less time than that of an array with steps
        surface, before = rgb(size), surface
        surface.blit(before, (0, 0))
    buffer: Any = surface.get_buffer()
    lines = np.frombuffer(buffer, np.uint8).reshape(size[1], -1)
    return lines[:, : 3 * size[0]].reshape(size[1], size[0], 3).copy()


@lru_cache(maxsize=4)
def rgb(size: tuple[int, int]) -> pygame.Surface:
    """A surface whose bytes are red, green and blue, one after the other."""
    return pygame.Surface(size, 0, 24, RGB)


def split(whole: pygame.Rect, count: int, panels: bool) -> tuple[pygame.Rect, pygame.Rect]:
    """The room of the pendulums and that of the panels: beside it in a wide picture, below in a high one."""
    if not panels:
        return whole, pygame.Rect(0, 0, 0, 0)
    wide = whole.w >= whole.h
    long, short = (whole.w, whole.h) if wide else (whole.h, whole.w)
    first = round(min(short, 0.56 * long) if count == 1 else 0.6 * long)
    if wide:
        return pygame.Rect(0, 0, first, whole.h), pygame.Rect(first, 0, whole.w - first, whole.h)
    return pygame.Rect(0, 0, whole.w, first), pygame.Rect(0, first, whole.w, whole.h - first)


def cells(room: pygame.Rect, count: int) -> list[pygame.Rect]:
    """The places of a grid for so many scenes, row by row; at the end there may be more than scenes.

    There are as many columns as make them largest.
    """
    columns = max(range(1, count + 1), key=lambda n: min(room.w / n, room.h / math.ceil(count / n)))
    rows = math.ceil(count / columns)
    xs, ys = (np.linspace(0, length, n + 1).round().astype(int) for length, n in ((room.w, columns), (room.h, rows)))
    return [
        pygame.Rect(room.x + left, room.y + top, right - left, bottom - top)
        for top, bottom in pairwise(ys.tolist())
        for left, right in pairwise(xs.tolist())
    ]


def scale(lengths: Sequence[float]) -> float:
    """The length (m) that the scale has room for: 1 m or, for other lengths, the next of ..., 0.1, 0.3, 3, 10, ..."""
    longest = max([length for length in lengths if length > 0], default=1.0)
    steps = [float(f"{base}e{power}") for power in range(-7, 8) for base in (1, 3)]
    return next((step for step in steps if step >= longest * (1 - 1e-9)), longest)


def pivot(cell: pygame.Rect) -> tuple[Point, float]:
    """The place of the pivot in a scene's cell, and the side of the square that the scene is drawn in."""
    side = min(cell.w, cell.h)
    return (cell.x + cell.w / 2, cell.y + cell.h / 2), side


def pointed(scenes: Sequence[Scene], size: tuple[int, int], panels: bool, place: Point) -> tuple[int, float] | None:
    """The scene at a place of the picture, and the angle (rad) at which the place lies around its pivot."""
    room, __ = split(pygame.Rect(0, 0, *size), len(scenes), panels)
    for index, cell in enumerate(cells(room, len(scenes))[: len(scenes)]):
        if cell.collidepoint(place):
            (x, y), __ = pivot(cell)
            return index, math.atan2(x - place[0], y - place[1])
    return None


def draw_scene(
    surface: pygame.Surface, scene: Scene, cell: pygame.Rect, span: float, colors: Theme, marked: bool = False
) -> None:
    """One scene in its cell; `span` (m) is the length that the scale has room for."""
    unit = min(cell.size) / 500
    if scene.picture is not None:
        surface.fill(colors.paper, cell)
        rim = round(1.5 * text_size(surface, cell)) + 14 * unit  # for the words
        draw_picture(surface, scene.picture, cell.inflate(0, -2 * rim) if scene.title or scene.note else cell)
    else:
        draw_pendulum(surface, scene, cell, span, colors)
    draw_words(surface, scene, cell, unit, span, colors)
    if marked:
        pygame.draw.rect(surface, colors.torque, cell.inflate(-4, -4), max(2, round(2 * unit)), border_radius=6)


def draw_picture(surface: pygame.Surface, picture: np.ndarray, cell: pygame.Rect) -> None:
    """An environment's own frame, as large as the cell has room for."""
    image = pygame.surfarray.make_surface(np.asarray(picture).transpose(1, 0, 2))
    share = min(cell.w / image.get_width(), cell.h / image.get_height())
    width, height = max(1, round(image.get_width() * share)), max(1, round(image.get_height() * share))
    change = pygame.transform.smoothscale if share < 3 else pygame.transform.scale
    surface.blit(change(image, (width, height)), (cell.centerx - width // 2, cell.centery - height // 2))


def draw_pendulum(surface: pygame.Surface, scene: Scene, cell: pygame.Rect, span: float, colors: Theme) -> None:
    center, side = pivot(cell)
    unit = side / 500
    meter = ROD * 500 * unit / span  # pixels
    rod, bob = meter * scene.length, bob_radius(scene.mass) * unit
    surface.blit(backdrop(cell.size, rod, bob, unit, colors), cell)
    draw_trace(surface, [*scene.track.angles[-PAST:], scene.angle], center, rod, 8 * unit, colors)
    for ghost in scene.ghosts:
        draw_ghost(surface, ghost, center, meter * (ghost.length or scene.length), bob, unit, colors)
    draw_rod(surface, scene.angle, center, rod, bob, unit, colors)
    draw_torque(surface, scene.torque / scene.max_torque, center, unit, colors)


def bob_radius(mass: float) -> float:
    """Of a picture of 500 pixels: the disk's area is in proportion to the mass, 1 kg has 19 pixels."""
    return min(max(19 * math.sqrt(mass), 7), 48)


def around(center: Point, radius: float, angle: float) -> Point:
    """The point at an angle on a circle; the picture's y axis points down."""
    return center[0] - radius * math.sin(angle), center[1] - radius * math.cos(angle)


@lru_cache(maxsize=12)
def backdrop(size: tuple[int, int], rod: float, bob: float, unit: float, colors: Theme) -> pygame.Surface:
    """What stands still in a cell: the circle that the bob moves on, and the mark of the goal at its top."""
    surface = canvas(size)
    surface.fill(colors.paper)
    center = (size[0] / 2, size[1] / 2)
    with smooth(surface, box([center], rod + bob + 10 * unit), 4) as brush:
        brush.disk(center, rod + unit / 2, colors.faint, max(1.0, unit))
        goal = around(center, rod, 0)
        brush.disk(goal, bob + 6 * unit, colors.paper)
        brush.disk(goal, bob + 6 * unit, mix(colors.paper, colors.ink, 0.45), 2.5 * unit)
    return surface


def draw_rod(
    surface: pygame.Surface, angle: float, center: Point, rod: float, bob: float, unit: float, colors: Theme
) -> None:
    tip = around(center, rod, angle)
    with smooth(surface, box([center, tip], bob + unit)) as brush:
        brush.bar(center, tip, 9 * unit, colors.ink)
        brush.disk(tip, bob, colors.bob)
        brush.disk(center, 9 * unit, colors.ink)


def draw_ghost(
    surface: pygame.Surface, ghost: Ghost, center: Point, rod: float, bob: float, unit: float, colors: Theme
) -> None:
    """A thin rod with a ring at its end."""
    color, tip = colors.ghosts[ghost.color % len(colors.ghosts)], around(center, rod, ghost.angle)
    with smooth(surface, box([center, tip], bob + unit)) as brush:
        brush.bar(center, around(center, rod - bob, ghost.angle), 4 * unit, color)
        brush.disk(tip, bob, color, 4 * unit)


def draw_torque(surface: pygame.Surface, share: float, center: Point, unit: float, colors: Theme) -> None:
    """An arc from above the pivot, counter-clockwise where the torque is positive; 135 degrees are the largest."""
    if not abs(share) >= 0.01:
        return
    radius, sweep = 46 * unit, min(max(share, -1), 1) * math.radians(135)
    turns = np.linspace(0.0, sweep, 24)
    inside, outside = ([around(center, radius + side * 3 * unit, a) for a in turns] for side in (-1, 1))
    head = [around(center, radius + side * 13 * unit, sweep) for side in (-1, 1)]
    head.append(around(center, radius, sweep + math.copysign(0.4, share)))
    with smooth(surface, box([*outside, *head], 2)) as brush:
        brush.polygon([*inside, *reversed(outside)], colors.torque)
        brush.polygon(head, colors.torque)


@lru_cache(maxsize=32)
def ring(center: Point, radius: float, half: float, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """The pixels of a ring: the index of each, its direction (bin), and its distance from the ring's middle line."""
    edge = radius + half + 1
    x0, x1 = max(0, math.floor(center[0] - edge)), min(size[0], math.ceil(center[0] + edge) + 1)
    y0, y1 = max(0, math.floor(center[1] - edge)), min(size[1], math.ceil(center[1] + edge) + 1)
    x, y = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
    right, up = x - center[0], center[1] - y
    distance = np.abs(np.hypot(right, up) - radius).astype(np.float32)
    near = distance < half + 1
    bins = (np.arctan2(-right[near], up[near]) * (BINS / TURN)).round().astype(np.int64) % BINS
    return (y * size[0] + x)[near], bins, distance[near]


def draw_trace(
    surface: pygame.Surface, angles: Sequence[float], center: Point, rod: float, width: float, colors: Theme
) -> None:
    """The bob's way of the last steps, ending now: a band that is thinner and fainter where it is older."""
    if len(angles) < 2 or rod < 2:
        return
    way = np.array(angles[-PAST - 1 :])
    jumps = np.abs(np.diff(way)).max()
    if jumps > math.pi:  # an angle that was wrapped
        way = np.unwrap(way)
    if jumps == 0.0:
        return
    fine = 2 + int(min(jumps, math.pi) * (BINS / TURN) * 1.5)  # points of a step
    steps = np.arange(0, len(way) - 1, 1 / fine)
    fresh = np.zeros(BINS, np.float32)  # 1 now, 0 long ago
    bins = (np.interp(steps, np.arange(len(way)), way) * (BINS / TURN)).round().astype(np.int64) % BINS
    fresh[bins] = 1 - (len(way) - 1 - steps) / PAST  # where the bob was twice, the later time stays
    index, bins, distance = ring(center, round(rod, 2), width / 2, surface.get_size())
    share = fresh.take(bins)
    cover = (width / 8 + 0.5) + (width * 0.375) * share - distance
    seen = ((cover > 0) & (share > 0)).nonzero()[0]
    share, index = share.take(seen), index.take(seen)
    cover = (np.minimum(cover.take(seen), 1) * share * 0.9)[:, None]
    pixels = pygame.surfarray.pixels2d(surface).T.reshape(-1).view(np.uint8).reshape(-1, 4)  # blue, green, red, 0
    before = pixels.take(index, 0)
    pixels[index] = (before + cover * (np.array((*colors.bob[::-1], 0), np.float32) - before)).astype(np.uint8)


def draw_words(
    surface: pygame.Surface, scene: Scene, cell: pygame.Rect, unit: float, span: float, colors: Theme
) -> None:
    """Title, the state in numbers, the names of the ghosts, the note, and the scale; in a grid, only the words."""
    size, edge = text_size(surface, cell), 14 * unit
    single = scene.picture is None and 1.6 * min(cell.size) >= min(surface.get_size())
    lines = [(scene.title, colors.ink, 1.15)]
    if single:
        lines += [
            (_("angle {angle:+.0f}°", angle=math.degrees(math.remainder(scene.angle, TURN))), colors.ink, 1),
            (_("speed {speed:+.1f} rad/s", speed=scene.speed), colors.ink, 1),
            (_("torque {torque:+.2f} N m", torque=scene.torque), colors.torque, 1),
        ]
    for ghost in scene.ghosts:
        lines.append((ghost.name, mix(colors.ghosts[ghost.color % len(colors.ghosts)], colors.ink, 0.25), 1))
    y = cell.y + edge
    for text, color, larger in lines:
        if text:
            y = words(surface, text, (cell.x + edge, y), size * larger, color, limit=cell.w - 2 * edge).bottom + 1
    bottom = cell.bottom - edge - size
    if scene.note:
        limit = cell.w * 0.62 if single else cell.w - 2 * edge
        words(surface, scene.note, (cell.right - edge, bottom), size, colors.ink, "right", limit=limit)
    if single:
        draw_scale(surface, (cell.x + edge, bottom), size, unit, span, colors)


def text_size(surface: pygame.Surface, cell: pygame.Rect) -> float:
    """The height of a line: a twenty-fifth of the cell, and not less than a forty-fifth of the whole picture."""
    return max(min(cell.size) / 25, min(surface.get_size()) / 42, 11)


def draw_scale(surface: pygame.Surface, place: Point, size: float, unit: float, span: float, colors: Theme) -> None:
    """A bar with its length in meters."""
    length = span / 2 if span < 2 else span / 3
    x, y = place[0], place[1] + size / 2
    end = x + ROD * 500 * unit * length / span
    width = max(1, round(1.5 * unit))
    pygame.draw.line(surface, colors.soft, (x, y), (end, y), width)
    for mark in (x, end):
        pygame.draw.line(surface, colors.soft, (mark, y - 5 * unit), (mark, y + 5 * unit), width)
    words(surface, f"{numeral(length, 'g')} m", (end + 8 * unit, place[1]), size * 0.9, colors.soft)
