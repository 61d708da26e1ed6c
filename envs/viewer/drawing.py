"""Pictures of pendulums: one or a grid of them, with panels beside, into a surface or an array. No window."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pygame

from envs.scene import PAST, Ghost, Scene
from envs.viewer import panels as panel_module
from envs.viewer.brush import Point, box, ready, smooth, words
from envs.viewer.themes import THEMES, Theme, mix

PANELS = panel_module.PANELS
ROD = 0.36  # of the picture's side: the longest rod that the scale has room for
TURN = 2 * math.pi
BINS = 1440  # directions of the trace: a quarter of a degree each


def draw(
    scenes: Sequence[Scene],
    size: tuple[int, int],
    *,
    theme: str = "light",
    panels: Sequence[str] = (),
    focus: int = 0,
    surface: pygame.Surface | None = None,
) -> pygame.Surface:
    """The scenes in a grid and, beside them, the panels (any of PANELS) of the scene with the index `focus`.

    `size` is width and height in pixels. A surface of this size, where one is given, is drawn on and returned.
    """
    ready()
    colors = THEMES[theme]
    surface = surface or pygame.Surface(size)
    surface.fill(colors.paper)
    room, beside = split(pygame.Rect(0, 0, *size), len(scenes), bool(panels))
    span = scale([scene.longest or scene.length for scene in scenes])
    for index, (scene, cell) in enumerate(zip(scenes, cells(room, len(scenes)), strict=True)):
        draw_scene(surface, scene, cell, span, colors, marked=bool(panels) and len(scenes) > 1 and index == focus)
    if panels:
        panel_module.draw_panels(surface, scenes[min(focus, len(scenes) - 1)], beside, panels, colors)
    return surface


def frame(scenes: Sequence[Scene], size: tuple[int, int], **options) -> np.ndarray:
    """The picture as (height, width, 3) uint8; options as of `draw`."""
    return to_array(draw(scenes, size, **options))


def to_array(surface: pygame.Surface) -> np.ndarray:
    """The pixels (height, width, 3) uint8 of a surface, a copy."""
    pixels = pygame.surfarray.pixels3d(surface)  # (width, height, 3)
    array = np.empty((pixels.shape[1], pixels.shape[0], 3), np.uint8)
    for channel in range(3):  # takes a third of the time of one copy
        array[:, :, channel] = pixels[:, :, channel].T
    return array


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
    """The places of a grid's scenes, row by row: as many columns as make them largest."""
    columns = max(range(1, count + 1), key=lambda n: min(room.w / n, room.h / math.ceil(count / n)))
    rows = math.ceil(count / columns)
    xs, ys = (np.linspace(0, length, n + 1).round().astype(int) for length, n in ((room.w, columns), (room.h, rows)))
    return [
        pygame.Rect(room.x + xs[i % columns], room.y + ys[i // columns], *_steps(xs, ys, i % columns, i // columns))
        for i in range(count)
    ]


def _steps(xs: np.ndarray, ys: np.ndarray, column: int, row: int) -> tuple[int, int]:
    return int(xs[column + 1] - xs[column]), int(ys[row + 1] - ys[row])


def scale(lengths: Sequence[float]) -> float:
    """The length (m) that the scale has room for: 1 m or, for other lengths, the next of ..., 0.1, 0.3, 3, 10, ..."""
    longest = max([length for length in lengths if length > 0], default=1.0)
    steps = [base * 10.0**power for power in range(-7, 8) for base in (1.0, 3.0)]
    return next((step for step in steps if step >= longest * (1 - 1e-9)), longest)


def pivot(cell: pygame.Rect) -> tuple[Point, float]:
    """The place of the pivot in a scene's cell, and the side of the square that the scene is drawn in."""
    side = min(cell.w, cell.h)
    return (cell.x + cell.w / 2, cell.y + cell.h / 2), side


def pointed(scenes: Sequence[Scene], size: tuple[int, int], panels: bool, place: Point) -> tuple[int, float] | None:
    """The scene at a place of the picture, and the angle (rad) at which the place lies around its pivot."""
    room, _ = split(pygame.Rect(0, 0, *size), len(scenes), panels)
    for index, cell in enumerate(cells(room, len(scenes))):
        if cell.collidepoint(place):
            (x, y), _ = pivot(cell)
            return index, math.atan2(x - place[0], y - place[1])
    return None


def draw_scene(
    surface: pygame.Surface, scene: Scene, cell: pygame.Rect, span: float, colors: Theme, marked: bool = False
) -> None:
    """One scene in its cell; `span` (m) is the length that the scale has room for."""
    center, side = pivot(cell)
    unit = side / 500
    if scene.picture is not None:
        draw_picture(surface, scene.picture, cell)
    else:
        draw_pendulum(surface, scene, center, unit, span, colors)
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


def draw_pendulum(
    surface: pygame.Surface, scene: Scene, center: Point, unit: float, span: float, colors: Theme
) -> None:
    meter = ROD * 500 * unit / span  # pixels
    rod, bob = meter * scene.length, bob_radius(scene.mass) * unit
    middle = dial_middle(rod, bob, unit)
    surface.blit(dial(rod, bob, unit, colors), (round(center[0]) - middle, round(center[1]) - middle))
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


def dial_middle(rod: float, bob: float, unit: float) -> int:
    return math.ceil(rod + bob + 10 * unit)


@lru_cache(maxsize=64)
def dial(rod: float, bob: float, unit: float, colors: Theme) -> pygame.Surface:
    """What stands still: the circle that the bob moves on, and the mark of the goal at its top."""
    middle = dial_middle(rod, bob, unit)
    surface = pygame.Surface((2 * middle + 1, 2 * middle + 1))
    surface.fill(colors.paper)
    center = (middle, middle)
    with smooth(surface, surface.get_rect(), 4) as brush:
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
    """The pixels (x, y) of a ring, the direction (bin) of each and its distance from the ring's middle line."""
    edge = radius + half + 1
    x0, x1 = max(0, math.floor(center[0] - edge)), min(size[0], math.ceil(center[0] + edge) + 1)
    y0, y1 = max(0, math.floor(center[1] - edge)), min(size[1], math.ceil(center[1] + edge) + 1)
    x, y = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1), indexing="ij")
    right, up = x - center[0], center[1] - y
    distance = np.abs(np.hypot(right, up) - radius).astype(np.float32)
    near = distance < half + 1
    bins = (np.arctan2(-right[near], up[near]) * (BINS / TURN)).round().astype(np.int64) % BINS
    return x[near], y[near], bins, distance[near]


def draw_trace(
    surface: pygame.Surface, angles: Sequence[float], center: Point, rod: float, width: float, colors: Theme
) -> None:
    """The bob's way of the last steps, ending now: a band that is thinner and fainter where it is older."""
    if len(angles) < 2 or rod < 2:
        return
    way = np.unwrap(np.asarray(angles[-PAST - 1 :], np.float64))
    fine = 1 + int(min(np.abs(np.diff(way)).max(), math.pi) * (BINS / TURN) * 1.5)  # points of a step
    steps = np.arange(0, len(way) - 1, 1 / (fine + 1))
    fresh = np.zeros(BINS, np.float32)  # 1 now, 0 long ago
    bins = (np.interp(steps, np.arange(len(way)), way) * (BINS / TURN)).round().astype(np.int64) % BINS
    fresh[bins] = 1 - (len(way) - 1 - steps) / PAST  # where the bob was twice, the later time stays
    x, y, bins, distance = ring(center, round(rod, 2), width / 2, surface.get_size())
    share = fresh[bins]
    cover = np.clip(width / 2 * (0.25 + 0.75 * share) - distance + 0.5, 0, 1) * share * 0.9
    seen = cover > 0.004
    x, y, cover = x[seen], y[seen], cover[seen][:, None]
    pixels = pygame.surfarray.pixels3d(surface)
    before = pixels[x, y]
    pixels[x, y] = (before + cover * (np.array(colors.bob, np.float32) - before)).astype(np.uint8)


def draw_words(
    surface: pygame.Surface, scene: Scene, cell: pygame.Rect, unit: float, span: float, colors: Theme
) -> None:
    """Title, the state in numbers, the names of the ghosts, the note, and the scale."""
    small, edge = max(20 * unit, 11), 14 * unit
    small_cell = min(cell.w, cell.h) < 240
    y = cell.y + edge
    if scene.title:
        y = words(surface, scene.title, (cell.x + edge, y), small * 1.15, colors.ink, limit=cell.w - 2 * edge).bottom
    if scene.picture is None and not small_cell:
        degrees = math.degrees(math.remainder(scene.angle, TURN))
        numbers = (
            (f"angle {degrees:+.0f}°", colors.ink),
            (f"speed {scene.speed:+.1f} rad/s", colors.ink),
            (f"torque {scene.torque:+.2f} N m", colors.torque),
        )
        for text, color in numbers:
            y = words(surface, text, (cell.x + edge, y + 2 * unit), small, color).bottom
    for ghost in scene.ghosts:
        color = mix(colors.ghosts[ghost.color % len(colors.ghosts)], colors.ink, 0.25)
        if ghost.name:
            y = words(surface, ghost.name, (cell.x + edge, y + 2 * unit), small, color, limit=cell.w / 2).bottom
    bottom = cell.bottom - edge - small
    if scene.note:
        place = (cell.centerx, bottom) if small_cell else (cell.right - edge, bottom)
        align = "middle" if small_cell else "right"
        words(surface, scene.note, place, small, colors.ink, align, limit=cell.w * (0.95 if small_cell else 0.62))
    if scene.picture is None and not small_cell:
        draw_scale(surface, (cell.x + edge, bottom), small, unit, span, colors)


def draw_scale(surface: pygame.Surface, place: Point, size: float, unit: float, span: float, colors: Theme) -> None:
    """A bar with its length in meters."""
    length = span / 2 if span < 2 else span / 3
    x, y = place[0], place[1] + size / 2
    end = x + ROD * 500 * unit * length / span
    width = max(1, round(1.5 * unit))
    pygame.draw.line(surface, colors.soft, (x, y), (end, y), width)
    for mark in (x, end):
        pygame.draw.line(surface, colors.soft, (mark, y - 5 * unit), (mark, y + 5 * unit), width)
    words(surface, f"{length:g} m", (end + 8 * unit, place[1]), size * 0.9, colors.soft)
