"""A window that shows scenes in real time, with its keys. Several windows live side by side."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pygame
from PIL import Image
from pygame._sdl2 import video

from balancier import _
from envs.scene import Scene, between, continues
from envs.viewer.brush import ready, smooth, words
from envs.viewer.drawing import PANELS, canvas, draw, pointed, split, to_array
from envs.viewer.gamepad import stick
from envs.viewer.recording import Recorder
from envs.viewer.themes import THEMES, mix

# pygame-ce, which other packages bring in pygame's place, has another word for it.
HIGH_DPI: dict[str, Any] = {"allow_high_dpi" if hasattr(pygame, "IS_CE") else "allow_highdpi": True}

FPS = 60
SPEEDS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)
LATE = 0.25  # s: a program that is further behind does not catch up
MOST_OTHERS = 64  # events of windows that are not ours; nobody may ask for them
SLOWEST = 1 / 20  # s from one picture to the next, also where the program is behind
ARROWS = {
    pygame.K_LEFT: (-1.0, 0.0),
    pygame.K_RIGHT: (1.0, 0.0),
    pygame.K_UP: (0.0, 1.0),
    pygame.K_DOWN: (0.0, -1.0),
}
TURNS = {pygame.K_a: 1.0, pygame.K_d: -1.0}
HELP = (  # keys, meaning, and what the owner of the window has to handle for them
    (_("space"), _("pause, and go on"), None),
    (".", _("one step"), None),
    ("+  -", _("faster, slower"), None),
    ("R", _("restart"), "restart"),
    ("H", _("hanging start"), "hanging"),
    (_("arrows"), _("push the bob"), "push"),
    ("A  D", _("turn left, turn right"), "turn"),
    (_("mouse"), _("drag the bob"), "drag"),
    (_("P  1 to 4"), _("panels"), None),
    ("T", _("light or dark"), None),
    ("F", _("full screen"), None),
    ("S", _("save a picture"), None),
    ("V", _("record, and stop"), None),
    ("?", _("this help"), None),
    (_("Q  Esc"), _("quit"), None),
)
HANDLED = tuple(name for *__, name in HELP if name)


class NoDisplay(RuntimeError):
    """There is no screen to open a window on."""


@dataclass
class Commands:
    """What a person asked for since the last call of `show`, or holds down now."""

    closed: bool = False
    restart: bool = False
    hanging: bool = False
    push: tuple[float, float] = (0.0, 0.0)  # to the right and up, each from -1 to 1
    turn: float = 0.0  # counter-clockwise, from -1 to 1
    drag: tuple[int, float] | None = None  # index of the scene, and the angle (rad) at which the pointer is

    def torque_share(self, angle: float) -> float:
        """The torque of push and turn, from -1 to 1 (counter-clockwise), on a bob at this angle.

        A push is a force on the bob; it turns the pendulum wherever it does not pull along the rod.
        """
        along = -self.push[0] * math.cos(angle) - self.push[1] * math.sin(angle)
        strength = min(math.hypot(*self.push), 1.0)
        pushed = math.copysign(strength, along) if abs(along) > 1e-3 else 0.0
        return min(max(pushed + self.turn, -1.0), 1.0)


def check_display() -> None:
    """Start pygame's display; NoDisplay, in one line, where windows would open nowhere.

    SDL falls back to a driver without a screen in silence. A user who names one means it (SDL_VIDEODRIVER=dummy).
    """
    expected = "expected a screen; without one, balancier watch RUN --gif FILE writes the frames"
    named = os.environ.get("SDL_VIDEODRIVER")
    screen = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not named and not screen:
        raise NoDisplay(f"display: found none (DISPLAY is not set), {expected}")
    try:
        pygame.display.init()
    except pygame.error as error:
        raise NoDisplay(f"display: found none ({error}), {expected}") from None
    if not named and pygame.display.get_driver() in ("dummy", "offscreen"):
        pygame.display.quit()
        raise NoDisplay(f"display: found none that opens (DISPLAY={os.environ.get('DISPLAY', '')}), {expected}")


OLD_ARROWS = {273: pygame.K_UP, 274: pygame.K_DOWN, 275: pygame.K_RIGHT, 276: pygame.K_LEFT}  # of pygame 1


def key_codes(keys: Any) -> frozenset[int]:
    """The codes of keys that are held together, as `get_keys_to_action` names them: letters, or codes."""
    keys = keys if isinstance(keys, tuple | list | str) else (keys,)
    codes = (ord(key) if isinstance(key, str) else int(key) for key in keys)
    return frozenset(OLD_ARROWS.get(code, code) for code in codes)


WINDOWS: "list[Window]" = []  # that are open
GONE: list[Any] = []  # pygame's objects of windows that no longer exist, see `let_go`


def let_go() -> None:
    """Forget the windows that went with pygame's display, which another part of the program ended.

    pygame's objects keep the address of what SDL has freed, and destroy what lies there when they are collected: by
    then that may be a new window. So they are kept for ever, and this comes before every new window.
    """
    for window in WINDOWS:
        if window.window is not None and not window.exists():
            GONE.append((window.texture, window.renderer, window.window))
            window.window = window.renderer = window.texture = window.surface = None
            window.inbox.clear()


class Window:
    """Shows scenes, and listens to its keys.

    Args:
        title: of the window.
        size: at first, width and height; a person may change it.
        theme: "light" or "dark".
        panels: that are shown, any of PANELS.
        handles: the commands that its owner obeys (of HANDLED), or their names with other words for the help; keys of
            commands that are not named do nothing.
        taken: keys that have no meaning for the window; those that are held down are in `held`.
        gamepad: whether the stick of a gamepad pushes, too.
        speed: how many seconds of the pendulum pass in a second.
        folder: where pictures and recordings go; by default the current one.

    Raises:
        NoDisplay: where there is no screen.
    """

    def __init__(
        self,
        title: str = "Balancier",
        size: tuple[int, int] = (960, 540),
        *,
        theme: str = "light",
        panels: Sequence[str] = (),
        handles: Collection[str] | Mapping[str, str] = HANDLED,
        taken: Collection[int] = (),
        gamepad: bool = False,
        speed: float = 1.0,
        folder: Path | None = None,
    ):
        self.title, self.size, self.theme, self.handles, self.speed = title, size, theme, handles, speed
        self.taken, self.gamepad = set(taken), gamepad
        self.panels, self.hidden = tuple(panels), tuple(panels) or tuple(PANELS)
        self.folder = folder or Path()
        self.focus, self.paused, self.single, self.help = 0, False, False, False
        self.place: tuple[Any, Any] | None = None  # position and size of a window that fills the screen now
        self.closed = False
        self.commands = Commands()
        self.held: set[int] = set()
        self.inbox: list[Any] = []
        self.dragged: int | None = None  # the scene whose bob is held
        self.recorder: Recorder | None = None
        self.toast, self.toast_until = "", 0.0
        self.last: Sequence[Scene] = ()
        self.shown: Sequence[Scene] = ()
        self.look: tuple[Any, ...] = ()  # of the last picture
        self.step_shown = False  # whether the last picture has the panels of the newest step
        self.due = self.drawn = self.captured = 0.0  # times: next state, last picture, last recorded frame
        self.open()

    def open(self) -> None:
        # Linux's shared memory takes a fifth of the time that OpenGL takes without a graphics card.
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        let_go()
        check_display()
        self.window: Any = video.Window(self.title, size=self.size, resizable=True, **HIGH_DPI)
        self.id = self.window.id
        self.renderer: Any = video.Renderer(self.window, accelerated=0 if sys.platform == "linux" else -1)
        self.texture: Any = None
        self.surface: pygame.Surface | None = None
        if self not in WINDOWS:
            WINDOWS.append(self)

    def exists(self) -> bool:
        """Whether SDL still knows this window.

        After another part of the program ended pygame's display and began it anew, SDL counts windows from 1 again, and
        another window may have this one's number and address; it hardly has its title, too.
        """
        if self.window is None or not pygame.display.get_init():
            return False
        return bool(self.window.id == self.id and self.window.title == self.title)

    def rename(self, title: str) -> None:
        if self.exists():
            self.window.title = title
        self.title = title

    def show(self, scenes: Sequence[Scene], seconds: float = 0.0) -> Commands:
        """Show the scenes `seconds` after those of the last call, with pictures in between, and wait so long.

        While it is paused it waits. It comes back at once where a person restarts, drags or closes: the owner looks at
        the commands first. Where the program is too slow for real time, pictures are left out, not physics.
        """
        before = self.last if self.last and seconds > 0 and continues(self.last, scenes) else scenes
        self.step_shown = False
        self.last, start, held = scenes, time.perf_counter(), self.commands.drag is not None
        self.due = max(self.due, start - LATE) + seconds / self.speed if seconds > 0 else start
        speed = self.speed
        while not self.closed:
            self.listen()
            if self.closed or self.commands.restart or self.commands.hanging:
                break
            now = time.perf_counter()
            waits = self.paused and not self.single and not held and seconds > 0
            if waits:
                self.due += now - start
            if speed != self.speed:  # the rest of this step at the new speed
                self.due, speed = now + (self.due - now) * speed / self.speed, self.speed
            start, late = now, now >= self.due
            if not late or now - self.drawn > SLOWEST or seconds == 0:
                share = 1 - (self.due - now) * speed / seconds if seconds > 0 else 1.0
                self.paint([between(a, b, min(max(share, 0.0), 1.0)) for a, b in zip(before, scenes, strict=True)])
            if (late and not waits) or seconds == 0 or (self.commands.drag is not None and not held):
                self.single = self.single and seconds == 0
                break
            following = now + 1 / FPS
            time.sleep(max(0.0, (following if waits else min(following, self.due)) - time.perf_counter()))
        asked, self.commands = self.commands, Commands(drag=self.commands.drag)
        return replace(asked, closed=self.closed, push=self.push(), turn=self.turn())

    def push(self) -> tuple[float, float]:
        """To the right and up, from arrows and stick."""
        x, y = stick() if self.gamepad and "push" in self.handles else (0.0, 0.0)
        for key in self.held - self.taken:
            x, y = x + ARROWS.get(key, (0, 0))[0], y + ARROWS.get(key, (0, 0))[1]
        return min(max(x, -1.0), 1.0), min(max(y, -1.0), 1.0)

    def turn(self) -> float:
        return sum(TURNS[key] for key in self.held - self.taken if key in TURNS)

    def say(self, text: str) -> None:
        """Show a line for two seconds."""
        self.toast, self.toast_until = text, time.perf_counter() + 2.0

    def paint(self, scenes: Sequence[Scene]) -> None:
        self.shown = scenes
        if not self.exists():
            self.open()
        width, height = self.renderer.get_viewport().size  # in pixels, of which a high-density screen has more
        size = (width, height)
        if self.surface is None or self.surface.get_size() != size:
            self.surface = canvas(size)
            self.texture = video.Texture(self.renderer, size, streaming=True)
        look = (size, self.theme, self.panels, self.focus, self.help)
        # Panels change with the steps, not between them.
        self.draw(scenes, self.surface, keep_panels=self.step_shown and look == self.look and not self.help)
        self.look, self.step_shown = look, True
        now = time.perf_counter()
        if self.recorder is not None and now - self.captured >= 1 / self.recorder.fps:
            self.recorder.add(to_array(self.surface))
            self.captured = max(self.captured + 1 / self.recorder.fps, now - LATE)
        self.overlay(self.surface)
        self.texture.update(self.surface)
        self.texture.draw()
        self.renderer.present()
        self.drawn = time.perf_counter()

    def draw(self, scenes: Sequence[Scene], surface: pygame.Surface, keep_panels: bool = False) -> None:
        draw(
            scenes,
            surface.get_size(),
            theme=self.theme,
            panels=self.panels,
            focus=self.focus,
            surface=surface,
            keep_panels=keep_panels,
        )

    def overlay(self, surface: pygame.Surface) -> None:
        """What is for the person at the keys alone: pause, speed, recording, messages, help."""
        colors, (width, height) = THEMES[self.theme], surface.get_size()
        text = max(12.0, min(width, height) / 28)
        signs = [
            _("recording") if self.recorder is not None else "",
            _("pause") if self.paused else "",
            _("speed x {speed:g}", speed=self.speed) if self.speed != 1 else "",
        ]
        line = "   ".join(sign for sign in signs if sign)
        if time.perf_counter() < self.toast_until:
            line = self.toast
        if line:
            room, __ = split(surface.get_rect(), len(self.shown), bool(self.panels))
            place = (room.centerx, room.bottom - 1.5 * text)
            words(surface, line, place, text, mix(colors.ink, colors.bob, 0.4), "middle", limit=0.9 * room.w)
        if self.help:
            rows = [(keys, meaning, name) for keys, meaning, name in HELP if name is None or name in self.handles]
            own = self.handles if isinstance(self.handles, Mapping) else {}
            draw_help(surface, [(keys, own.get(name or "", meaning)) for keys, meaning, name in rows], self.theme)

    def listen(self) -> None:
        pump()
        inbox, self.inbox = self.inbox, []
        for event in inbox:
            self.obey(event)

    def obey(self, event: Any) -> None:
        if event.type in (pygame.WINDOWCLOSE, pygame.QUIT):
            self.close()
        elif event.type == pygame.KEYDOWN:
            self.press(event)
        elif event.type == pygame.KEYUP:
            self.held.discard(event.key)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.held.clear()
            self.dragged = self.commands.drag = None
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION, pygame.MOUSEBUTTONUP):
            self.point(event)

    def press(self, event: Any) -> None:
        key, character = event.key, event.unicode
        if key in self.taken:
            self.held.add(key)
        elif key in ARROWS or key in TURNS:
            if ("push" if key in ARROWS else "turn") in self.handles:
                self.held.add(key)
        elif key in (pygame.K_q, pygame.K_ESCAPE):
            self.close()
        elif key == pygame.K_SPACE:
            self.paused, self.single = not self.paused, False
        elif key == pygame.K_PERIOD:
            self.paused = self.single = True
        elif key == pygame.K_r and "restart" in self.handles:
            self.commands.restart = True
        elif key == pygame.K_h and "hanging" in self.handles:
            self.commands.hanging = True
        elif character == "?" or key == pygame.K_F1:
            self.help = not self.help
        elif character in ("+", "=") or key in (pygame.K_PLUS, pygame.K_KP_PLUS):
            self.speed = min((speed for speed in SPEEDS if speed > self.speed), default=self.speed)
        elif character == "-" or key in (pygame.K_MINUS, pygame.K_KP_MINUS):
            self.speed = max((speed for speed in SPEEDS if speed < self.speed), default=self.speed)
        elif key == pygame.K_p:
            self.hidden, self.panels = (self.panels, ()) if self.panels else (self.hidden, self.hidden)
        elif character in [str(i + 1) for i in range(len(PANELS))]:
            name = list(PANELS)[int(character) - 1]
            wanted = set(self.panels) ^ {name}
            self.panels = tuple(panel for panel in PANELS if panel in wanted)
        elif key == pygame.K_t:
            self.theme = "light" if self.theme == "dark" else "dark"
        elif key == pygame.K_f:
            self.fill_screen()
        elif key == pygame.K_s:
            self.screenshot()
        elif key == pygame.K_v:
            self.record()

    def fill_screen(self) -> None:
        """Full screen, or back. On the first screen of X11 by hand, because SDL needs a window manager for it."""
        window = self.window
        by_hand = pygame.display.get_driver() == "x11" and getattr(window, "display_index", 0) == 0
        if self.place is None:
            self.place = window.position, window.size
            if by_hand:
                window.borderless, window.position, window.size = True, (0, 0), pygame.display.get_desktop_sizes()[0]
            else:
                window.set_fullscreen(desktop=True)
        else:
            (position, size), self.place = self.place, None
            if by_hand:
                window.borderless = False
            else:
                window.set_windowed()
            window.size, window.position = size, position

    def point(self, event: Any) -> None:
        """The mouse takes the bob, drags it, lets go; a click on one of several scenes gives it the panels."""
        if event.type == pygame.MOUSEBUTTONUP:
            if event.button == 1:
                self.dragged = self.commands.drag = None
            return
        if self.surface is None or (event.type == pygame.MOUSEBUTTONDOWN and event.button != 1):
            return
        width, height = self.window.size
        size = self.surface.get_size()
        place = event.pos[0] * size[0] / width, event.pos[1] * size[1] / height
        found = pointed(self.last, size, bool(self.panels), place)
        if event.type == pygame.MOUSEBUTTONDOWN and found is not None:
            self.focus = self.dragged = found[0]
        if self.dragged is not None and found is not None and found[0] == self.dragged and "drag" in self.handles:
            self.commands.drag = found

    def name(self, ending: str) -> Path:
        """A new file's path, with the time as its name."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        names = (f"balancier-{stamp}{extra}.{ending}" for extra in ("", *(f"-{i}" for i in range(2, 1000))))
        return next(path for path in map(self.folder.joinpath, names) if not path.exists())

    def screenshot(self) -> None:
        if self.surface is None:
            return
        self.draw(self.shown, self.surface)  # without what lies over it
        path = self.name("png")
        try:
            Image.fromarray(to_array(self.surface)).save(path)  # pygame would keep an alpha channel that means nothing
        except OSError as error:
            return self.say(_("cannot write {path} ({error})", path=path, error=error))
        self.say(_("saved {name}", name=path.name))

    def record(self) -> None:
        """Begin to record, or end it: the file is there then."""
        if self.recorder is None:
            path, self.captured = self.name("gif"), 0.0
            try:
                self.recorder = Recorder(path)
            except (OSError, ValueError) as error:
                self.say(_("cannot write {path} ({error})", path=path, error=error))
            return
        recorder, self.recorder = self.recorder, None
        try:
            recorder.close()
        except OSError as error:
            return self.say(_("cannot write {path} ({error})", path=recorder.path, error=error.strerror))
        self.say(_("saved {name}", name=recorder.path.name))

    def close(self) -> None:
        if self.closed:
            return
        if self.recorder is not None:
            self.record()
        self.closed = True
        let_go()
        WINDOWS.remove(self)
        self.texture = self.renderer = None  # before the window, whose parts they are
        if self.window is not None:
            self.window.destroy()
        if not WINDOWS and pygame.display.get_init() and pygame.display.get_surface() is None:
            pygame.display.quit()


def pump() -> None:
    """Hand every event to the window that it belongs to; those of a window that is not ours go back."""
    if not pygame.display.get_init():
        return
    foreign, others = pygame.display.get_surface() is not None, []
    for event in pygame.event.get():
        if event.type == pygame.QUIT and not foreign:
            for window in WINDOWS:
                window.inbox.append(event)
        named = getattr(event, "window", None)
        owner = next((window for window in WINDOWS if named is not None and named is window.window), None)
        if owner is not None:
            owner.inbox.append(event)
        elif foreign:
            others.append(event)
    for event in others[-MOST_OTHERS:]:
        with contextlib.suppress(pygame.error):
            pygame.event.post(event)


def draw_help(surface: pygame.Surface, rows: Sequence[tuple[str, str]], theme: str) -> None:
    """The list of keys, in the middle of the picture."""
    ready()
    colors, (width, height) = THEMES[theme], surface.get_size()
    text = min(height / (1.6 * len(rows) + 3), width / 26)
    room = pygame.Rect(0, 0, min(width * 0.94, 24 * text), 1.5 * text * len(rows) + 2 * text)
    room.center = (width // 2, height // 2)
    with smooth(surface, room) as brush:
        place = pygame.Rect(0, 0, room.w * brush.factor, room.h * brush.factor)
        pygame.draw.rect(brush.surface, colors.card, place, border_radius=round(text * brush.factor))
        pygame.draw.rect(brush.surface, colors.soft, place, 2 * brush.factor, border_radius=round(text * brush.factor))
    for line, (keys, meaning) in enumerate(rows):
        y = room.y + text + 1.5 * text * line
        words(surface, keys, (room.x + 8.5 * text, y), text, colors.torque, "right")
        words(surface, meaning, (room.x + 10 * text, y), text, colors.ink, limit=room.w - 10.5 * text)
