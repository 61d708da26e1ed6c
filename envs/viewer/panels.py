"""Panels beside the pendulum: the motion over time, the phase portrait, the reward, what the network sees."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pygame

from balancier import _, numeral
from envs.scene import Field, Scene
from envs.viewer.brush import smooth, words
from envs.viewer.themes import BLUE, ORANGE, YELLOW, Color, Theme, mix

SHARES = {"motion": 1.4, "phase": 1.4, "score": 1.0, "seen": 0.9}  # of the room
WIDE = 2.4  # times as wide as high: panels stand next to each other
SECONDS = 10.0  # of the panels over time: at least so much is shown


def draw_panels(surface: pygame.Surface, scene: Scene, room: pygame.Rect, names: Sequence[str], colors: Theme) -> None:
    """The panels of these names (of PANELS), one below the other or, where that is too narrow, in two columns."""
    names = [name for name in names if name != "seen" or scene.seen is not None]
    if not names or room.w < 40 or room.h < 40:
        return
    gap = max(4, round(min(surface.get_size()) / 80))
    text = max(12.0, min(surface.get_size()) / 36)
    if room.w <= WIDE * room.h:
        names = names[: max(1, int(room.h / (5.5 * text)))]  # those that have room for words
    for name, cell in zip(names, places(room, names), strict=True):
        cell = cell.inflate(-gap, -gap)
        pygame.draw.rect(surface, colors.card, cell, border_radius=gap)
        surface.set_clip(cell)
        PANELS[name](surface, scene, cell.inflate(-2 * gap, -1.6 * gap), text, colors)
        surface.set_clip(None)


def places(room: pygame.Rect, names: Sequence[str]) -> list[pygame.Rect]:
    """One panel below the other or, where the room is wide, next to each other; each as large as what it shows."""
    shares = np.array([SHARES[name] for name in names])
    if room.w > WIDE * room.h:
        ends = room.x + np.cumsum(np.append(0, shares)) / shares.sum() * room.w
        return [pygame.Rect(a, room.y, b - a, room.h) for a, b in pairwise(ends.round().astype(int).tolist())]
    ends = room.y + np.cumsum(np.append(0, shares)) / shares.sum() * room.h
    return [pygame.Rect(room.x, a, room.w, b - a) for a, b in pairwise(ends.round().astype(int).tolist())]


def axes(
    surface: pygame.Surface, room: pygame.Rect, text: float, colors: Theme, ticks: Sequence[tuple[float, str]]
) -> pygame.Rect:
    """The room of a plot, with horizontal lines at shares of its height (0 below), each with its number."""
    plot = pygame.Rect(room.x, room.y, room.w, room.h)
    left = round(2.6 * text)
    plot.x, plot.w = room.x + left, max(1, room.w - left)
    for share, label in ticks:
        y = plot.bottom - share * plot.h
        pygame.draw.line(surface, colors.faint, (plot.x, y), (plot.right, y))
        words(surface, label, (plot.x - text / 3, y - text * 0.45), text * 0.85, colors.soft, "right")
    return plot


def curve(
    surface: pygame.Surface, plot: pygame.Rect, xs: np.ndarray, ys: np.ndarray, color: Color, width: float
) -> None:
    """A line through points whose coordinates are shares of the plot; a jump of half its height breaks the line."""
    if len(xs) < 2:
        return
    xs, ys = plot.x + xs * plot.w, plot.bottom - ys * plot.h
    breaks = np.flatnonzero(np.abs(np.diff(ys)) > 0.5 * plot.h) + 1
    with smooth(surface, plot, 2) as brush:
        for part in np.split(np.stack([xs, ys], 1), breaks):
            brush.lines(part.tolist(), color, width)


def recent(scene: Scene) -> tuple[np.ndarray, int]:
    """Times as shares of the panel's width, and how many of the last steps they are."""
    track = scene.track
    count = min(len(track.angles), max(2, round(SECONDS / track.dt) + 1))
    first = max(0.0, track.steps * track.dt - SECONDS)
    times = (track.steps - np.arange(count - 1, -1, -1)) * track.dt
    return (times - first) / SECONDS, count


def motion(surface: pygame.Surface, scene: Scene, room: pygame.Rect, text: float, colors: Theme) -> None:
    """Angle and speed over the last seconds."""
    xs, count = recent(scene)
    track, fastest = scene.track, highest_speed(scene)
    upper, lower = (pygame.Rect(room.x, room.y + part * room.h / 2, room.w, room.h / 2) for part in (0, 1))
    angles = np.array([math.remainder(angle, 2 * math.pi) / math.pi for angle in track.angles[-count:]])
    speeds = np.array(track.speeds[-count:]) / fastest
    of_angle, of_speed = ("-180°", "0°", "180°"), (numeral(-fastest, "g"), "0", numeral(fastest, "g"))
    for half, name, labels, values, color in (
        (upper, _("angle"), of_angle, angles, colors.bob),
        (lower, _("speed, rad/s"), of_speed, speeds, colors.torque),
    ):
        body = pygame.Rect(half.x, half.y + 1.4 * text, half.w, half.h - 1.9 * text)
        plot = axes(surface, body, text, colors, list(zip((0, 0.5, 1), labels, strict=True)))
        words(surface, name, (plot.x, half.y), text, mix(color, colors.ink, 0.3))
        curve(surface, plot, xs, (np.clip(values, -1, 1) + 1) / 2, color, text / 5.5)


def highest_speed(scene: Scene) -> float:
    """The end of the speed's axis, rad/s."""
    if scene.field is not None:
        return scene.field.max_speed
    seen = max((abs(speed) for speed in scene.track.speeds), default=0.0)
    return next((limit for limit in (8.0, 16.0, 32.0, 64.0) if seen <= limit), 10 ** math.ceil(math.log10(seen + 1)))


def phase(surface: pygame.Surface, scene: Scene, room: pygame.Rect, text: float, colors: Theme) -> None:
    """The way through angle and speed, over the field that was handed over."""
    fastest = highest_speed(scene)
    head = round(text * 1.4)
    body = pygame.Rect(room.x, room.y + head, room.w, room.h - head - round(text * 1.2))
    plot = axes(surface, body, text, colors, [(0, numeral(-fastest, "g")), (0.5, "0"), (1, numeral(fastest, "g"))])
    words(surface, _("speed, rad/s"), (room.x, room.y), text, colors.soft)
    if scene.field is None:
        words(surface, _("phase portrait"), (room.right, room.y), text, colors.ink, "right", limit=room.w - 7 * text)
    elif plot.w > 1 and plot.h > 1:
        draw_legend(surface, scene.field, room, text, colors)
        surface.blit(field_picture(scene.field, plot.size, colors), plot)
    for share, label in ((0.0, "-180°"), (0.5, "0°"), (1.0, "180°")):
        align = {0.0: "left", 0.5: "middle", 1.0: "right"}[share]
        words(surface, label, (plot.x + share * plot.w, plot.bottom + text * 0.2), text * 0.85, colors.soft, align)
    xs = np.array([math.remainder(a, 2 * math.pi) for a in scene.track.angles[-200:]]) / (2 * math.pi) + 0.5
    ys = np.clip(np.array(scene.track.speeds[-200:]) / (2 * fastest) + 0.5, 0, 1)
    line = colors.ink if scene.field is None else (255, 255, 255)
    breaks = np.flatnonzero(np.abs(np.diff(xs)) > 0.5) + 1
    points = np.stack([plot.x + xs * plot.w, plot.bottom - ys * plot.h], 1)
    with smooth(surface, plot.inflate(text, text), 2) as brush:
        for part in np.split(points, breaks):
            if scene.field is not None:
                brush.lines(part.tolist(), (20, 20, 20), text / 4)
            brush.lines(part.tolist(), line, text / 6)
        x = plot.x + (math.remainder(scene.angle, 2 * math.pi) / (2 * math.pi) + 0.5) * plot.w
        y = plot.bottom - min(max(scene.speed / (2 * fastest) + 0.5, 0), 1) * plot.h
        brush.disk((x, y), text / 1.9, (20, 20, 20))
        brush.disk((x, y), text / 2.2, (255, 255, 255))
        brush.disk((x, y), text / 2.7, colors.bob)


@lru_cache(maxsize=8)
def field_picture(field: Field, size: tuple[int, int], colors: Theme) -> pygame.Surface:
    """The field in colors: dark to bright or, where it diverges, blue and orange around its 0."""
    values, (low, high) = np.asarray(field.values, np.float64), limits(field)
    shares = (values - low) / (high - low or 1.0)  # (speeds, angles)
    stops = field_colors(field.diverging, colors)
    channels = [np.interp(shares, np.linspace(0, 1, len(stops)), stops[:, c]) for c in range(3)]
    image = pygame.surfarray.make_surface(np.stack(channels, -1)[::-1].transpose(1, 0, 2).astype(np.uint8))
    return pygame.transform.smoothscale(image, size)


def limits(field: Field) -> tuple[float, float]:
    """The values of the first and the last color."""
    low, high = float(np.min(field.values)), float(np.max(field.values))
    largest = max(abs(low), abs(high))
    return (-largest, largest) if field.diverging else (low, high)


def draw_legend(surface: pygame.Surface, field: Field, room: pygame.Rect, text: float, colors: Theme) -> None:
    """The field's name and its extreme values, each beside its color; to the right."""
    stops, x, (low, high) = field_colors(field.diverging, colors), float(room.right), limits(field)
    for value, color in zip((high, low), (stops[-1], stops[0]), strict=True):
        label = numeral(value if abs(value) > 1e-3 * (high - low) else 0, ".3g")
        x = words(surface, label, (x, room.y), text, colors.ink, "right").x - 1.2 * text
        pygame.draw.rect(surface, color.tolist(), pygame.Rect(x, room.y, 0.9 * text, 0.9 * text))
        x -= 0.5 * text
    words(surface, field.name, (x - 0.2 * text, room.y), text, colors.ink, "right", limit=x - room.x - 7 * text)


def field_colors(diverging: bool, colors: Theme) -> np.ndarray:
    """Colors (n, 3) from the lowest to the highest value."""
    if diverging:
        ends = mix(ORANGE, colors.card, 0.2), mix(BLUE, colors.card, 0.2)
        return np.array([ends[0], mix(ends[0], colors.card, 0.5), colors.card, mix(ends[1], colors.card, 0.5), ends[1]])
    return np.array([(0, 32, 76), (60, 77, 110), (124, 123, 120), (186, 174, 103), YELLOW])


def score(surface: pygame.Surface, scene: Scene, room: pygame.Rect, text: float, colors: Theme) -> None:
    """The reward over the last seconds; the return so far, the episode and the step in numbers."""
    track = scene.track
    head = round(text * 1.6)
    words(surface, _("return {value:.1f}", value=track.total), (room.x, room.y), text * 1.15, colors.ink)
    now = _("episode {episode}  step {step}", episode=scene.episode, step=track.steps)
    now = _("step {step}", step=track.steps) if scene.episode is None else now
    words(surface, now, (room.right, room.y), text, colors.soft, "right", limit=room.w * 0.5)
    body = pygame.Rect(room.x, room.y + head + text, room.w, room.h - head - 1.6 * text)
    rewards = np.array(track.rewards) if track.rewards else np.zeros(1)
    low, high = min(0.0, float(rewards.min())), max(0.0, float(rewards.max()))
    low, high = math.floor(low) if low < -1 else low, math.ceil(high) if high > 1 else high
    low = low if high > low else -1.0
    plot = axes(surface, body, text, colors, [(0, numeral(low, ".3g")), (1, numeral(high, ".3g"))])
    words(surface, _("reward of a step"), (plot.x, body.y - text * 1.25), text, colors.soft)
    xs, count = recent(scene)
    ys = (rewards[-count:] - low) / (high - low)
    curve(surface, plot, xs[1:], ys[1:], colors.bob, text / 7)


def seen(surface: pygame.Surface, scene: Scene, room: pygame.Rect, text: float, colors: Theme) -> None:
    """The observation: pixels, enlarged, or numbers as bars between -1 and 1."""
    words(surface, _("what the network sees"), (room.x, room.y), text, colors.soft, limit=room.w)
    body = pygame.Rect(room.x, room.y + 1.5 * text, room.w, room.h - 1.5 * text)
    if isinstance(scene.seen, Mapping):
        bars(surface, scene.seen, body, text, colors)
    elif scene.seen is not None and body.w > 4 and body.h > 4:
        image = pygame.surfarray.make_surface(np.asarray(scene.seen, np.uint8).transpose(1, 0, 2))
        share = min(body.w / image.get_width(), body.h / image.get_height())
        image = pygame.transform.scale(image, (round(image.get_width() * share), round(image.get_height() * share)))
        surface.blit(image, (body.centerx - image.get_width() // 2, body.y))


def bars(surface: pygame.Surface, numbers: Mapping[str, float], room: pygame.Rect, text: float, colors: Theme) -> None:
    height = min(room.h / max(len(numbers), 1), 2.2 * text)
    left = room.x + 0.3 * room.w
    for line, (name, number) in enumerate(numbers.items()):
        y = room.y + line * height
        words(surface, name, (room.x, y + height / 2 - text / 2), text, colors.ink, limit=0.28 * room.w)
        words(surface, numeral(number, "+.2f"), (room.right, y + height / 2 - text / 2), text, colors.ink, "right")
        width = room.right - 3 * text - left
        middle = left + width / 2
        end = middle + min(max(number, -1), 1) * width / 2
        pygame.draw.line(surface, colors.faint, (middle, y), (middle, y + height))
        bar = pygame.Rect(min(middle, end), y + height * 0.25, max(1, abs(end - middle)), height * 0.5)
        pygame.draw.rect(surface, colors.torque, bar)


Panel = Callable[[pygame.Surface, Scene, pygame.Rect, float, Theme], None]
PANELS: dict[str, Panel] = {"motion": motion, "phase": phase, "score": score, "seen": seen}
