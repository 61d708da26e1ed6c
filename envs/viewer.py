"""The pendulum drawn with pygame; no other module imports pygame.

The picture shows the rod and its bob, the bob's last positions, the torque as an arc with an arrow head
(counter-clockwise positive, its length proportional to the torque), and the state in numbers.
"""

import math
from collections import deque
from itertools import pairwise
from typing import Any

import numpy as np
import pygame

SIZE = 500  # pixels, width and height
SCALE = 2  # the picture is drawn larger by this factor and shrunk, which smooths every edge
ROD = 0.34 * SIZE  # pixels of the longest rod

PAPER, INK, FAINT = (250, 249, 246), (40, 44, 52), (198, 201, 206)
BOB, PULL = (204, 78, 55), (30, 104, 168)


class Viewer:
    """Draws pendulums, one at a time, into arrays or into a window."""

    def __init__(self, render_mode: str, fps: int):
        self.render_mode, self.fps = render_mode, fps
        pygame.font.init()
        self.font = pygame.font.Font(None, 26)
        self.canvas = pygame.Surface((SIZE * SCALE, SIZE * SCALE))
        self.small = pygame.Surface((SIZE, SIZE))
        self.window: pygame.Surface | None = None
        if render_mode == "human":
            pygame.display.init()
            pygame.display.set_caption("Balancier")
            self.window, self.clock = pygame.display.set_mode((SIZE, SIZE)), pygame.time.Clock()

    def draw(
        self, trace: deque[float], angle: float, speed: float, torque: float, max_torque: float, length: float
    ) -> Any:
        """One frame. Angle in rad, 0 upright; speed in rad/s; torque in N m; all counter-clockwise positive.

        The trace holds the angles of the episode's last frames; this one joins them.

        Returns:
            (SIZE, SIZE, 3) bytes with render_mode "rgb_array"; None with "human", which waits for the frame's time.
        """
        trace.append(angle)
        rod = SCALE * ROD * min(max(length, 0.3), 1.25)
        canvas, middle = self.canvas, SCALE * SIZE / 2
        canvas.fill(PAPER)
        pygame.draw.circle(canvas, FAINT, (middle, middle), rod, SCALE)
        self._trace(trace, rod, middle)
        tip = _point(middle, rod, angle)
        pygame.draw.line(canvas, INK, (middle, middle), tip, 9 * SCALE)
        pygame.draw.circle(canvas, BOB, tip, 19 * SCALE)
        pygame.draw.circle(canvas, INK, (middle, middle), 9 * SCALE)
        self._torque(torque / max_torque, middle)
        pygame.transform.smoothscale(canvas, (SIZE, SIZE), self.small)
        degrees = math.degrees((angle + math.pi) % (2 * math.pi) - math.pi)
        numbers = (f"angle {degrees:+5.0f}°", f"speed {speed:+5.1f} rad/s", f"torque {torque:+5.2f} N m")
        for line, (text, color) in enumerate(zip(numbers, (INK, INK, PULL), strict=True)):
            self.small.blit(self.font.render(text, True, color), (16, 14 + 24 * line))
        if self.window is None:
            return np.array(pygame.surfarray.pixels3d(self.small).transpose(1, 0, 2))
        self.window.blit(self.small, (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        self.clock.tick(self.fps)
        return None

    def close(self) -> None:
        if self.window is not None:
            pygame.display.quit()
        self.window = None

    def _trace(self, trace: deque[float], rod: float, middle: float) -> None:
        """The bob's last positions; older ones are fainter."""
        assert trace.maxlen is not None
        for age, (start, end) in enumerate(pairwise(trace)):
            share = (age + 1) / trace.maxlen
            color = [round(paper + share * (bob - paper)) for paper, bob in zip(PAPER, BOB, strict=True)]
            points = [_point(middle, rod, angle) for angle in np.linspace(start, end, 6)]
            pygame.draw.lines(self.canvas, color, False, points, round((2 + 6 * share) * SCALE))

    def _torque(self, share: float, middle: float) -> None:
        """An arc from above the pivot, counter-clockwise where the torque is positive; 135 degrees are the largest."""
        if abs(share) < 0.01:
            return
        radius, sweep = 46 * SCALE, share * math.radians(135)
        angles = np.linspace(0.0, sweep, 24)
        pygame.draw.lines(self.canvas, PULL, False, [_point(middle, radius, a) for a in angles], 6 * SCALE)
        inner, outer = _point(middle, radius - 13 * SCALE, sweep), _point(middle, radius + 13 * SCALE, sweep)
        tip = _point(middle, radius, sweep + math.copysign(0.4, share))
        pygame.draw.polygon(self.canvas, PULL, [inner, outer, tip])


def _point(middle: float, radius: float, angle: float) -> tuple[float, float]:
    """The point at an angle on a circle around the pivot; the y axis of the canvas points down."""
    return middle - radius * math.sin(angle), middle - radius * math.cos(angle)
