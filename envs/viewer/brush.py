"""Smooth shapes and words on pygame surfaces."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import pygame

Point = tuple[float, float]
# Shapes are drawn larger by this factor and shrunk, which smooths their edges. Pygame shrinks without an error by
# factors of 2 and 4 only.
FACTOR = 2


class Brush:
    """Draws on a surface that is `factor` times as large as the rectangle it stands for; all numbers are that
    rectangle's."""

    def __init__(self, surface: pygame.Surface, origin: Point = (0, 0), factor: int = 1):
        self.surface, self.origin, self.factor = surface, origin, factor

    def place(self, point: Point) -> Point:
        (x, y), (left, top) = point, self.origin
        return (x - left) * self.factor, (y - top) * self.factor

    def disk(self, center: Point, radius: float, color: Any, width: float = 0) -> None:
        """A full circle, or its rim of a width."""
        rim = max(1, round(width * self.factor)) if width else 0
        pygame.draw.circle(self.surface, color, self.place(center), radius * self.factor, rim)

    def polygon(self, points: Sequence[Point], color: Any) -> None:
        pygame.draw.polygon(self.surface, color, [self.place(point) for point in points])

    def lines(self, points: Sequence[Point], color: Any, width: float) -> None:
        if len(points) > 1:
            places = [self.place(point) for point in points]
            pygame.draw.lines(self.surface, color, False, places, max(1, round(width * self.factor)))

    def bar(self, start: Point, end: Point, width: float, color: Any) -> None:
        """A straight line with square ends."""
        (x, y), (u, v) = start, end
        far = math.hypot(u - x, v - y) or 1.0
        a, b = -(v - y) / far * width / 2, (u - x) / far * width / 2
        self.polygon([(x + a, y + b), (u + a, v + b), (u - a, v - b), (x - a, y - b)], color)


@contextlib.contextmanager
def smooth(surface: pygame.Surface, area: pygame.Rect, factor: int = FACTOR) -> Iterator[Brush]:
    """A brush for a part of a surface; at the end, what was drawn there is shrunk, which smooths the edges.

    Pixels that nothing was drawn on keep their color. It takes time in proportion to the area.
    """
    area = area.clip(surface.get_rect())
    if area.w <= 0 or area.h <= 0:
        yield Brush(pygame.Surface((1, 1)))
        return
    part = surface.subsurface(area)
    large = pygame.transform.scale(part, (area.w * factor, area.h * factor))
    yield Brush(large, area.topleft, factor)
    surface.blit(pygame.transform.smoothscale(large, area.size), area)


def box(points: Sequence[Point], margin: float) -> pygame.Rect:
    """The rectangle of whole pixels around points."""
    xs, ys = zip(*points, strict=True)
    left, top = math.floor(min(xs) - margin), math.floor(min(ys) - margin)
    return pygame.Rect(left, top, math.ceil(max(xs) + margin) - left + 1, math.ceil(max(ys) + margin) - top + 1)


@lru_cache(maxsize=64)
def font(size: int) -> pygame.font.Font:
    return pygame.font.Font(None, size)


@lru_cache(maxsize=1024)
def rendered(text: str, size: int, color: Any) -> pygame.Surface:
    """Text, drawn at twice its size and shrunk: letters then stand at half pixels, which keeps their spaces even."""
    large = font(2 * size).render(text, True, color)
    return pygame.transform.smoothscale(large, (max(1, large.get_width() // 2), max(1, large.get_height() // 2)))


def forget_fonts() -> None:
    font.cache_clear()
    rendered.cache_clear()


def ready() -> None:
    """Fonts for this picture; after `pygame.quit`, which others may call, they are loaded anew."""
    if not pygame.font.get_init():
        pygame.font.init()
        forget_fonts()
        pygame.register_quit(forget_fonts)


def words(
    surface: pygame.Surface, text: str, place: Point, size: float, color: Any, align: str = "left", limit: float = 1e9
) -> pygame.Rect:
    """A line of text whose upper corner (left or right) or upper middle is at a place, not wider than the limit.

    `size` is about the height of the line in pixels.
    """
    size = max(8, round(size * 1.25))
    picture = rendered(text, size, color)
    if picture.get_width() > limit:
        picture = rendered(text, max(8, int(size * limit / picture.get_width())), color)
    x, y = place
    left = x - {"left": 0, "middle": picture.get_width() / 2, "right": picture.get_width()}[align]
    return surface.blit(picture, (round(left), round(y)))
