"""A screen for tests: Xvfb, with synthetic keys, a synthetic mouse, and the pixels that are on it."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HOME = Path(__file__).parents[1]
PROGRAMS = ("Xvfb", "xdotool")
needs_screen = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)) or find_library("X11") is None, reason=f"needs {' and '.join(PROGRAMS)}"
)
PATIENCE = 60  # s; the tests of several processes may run at the same time


class Screen:
    """An X server of its own, in which programs are started."""

    def __init__(self, display: str, folder: Path):
        self.pixels_file, self.display, self.started = folder / "Xvfb_screen0", display, []
        self.env = {name: value for name, value in os.environ.items() if name != "SDL_VIDEODRIVER"}
        self.env |= {"DISPLAY": display, "PYTHONPATH": str(HOME), "SDL_AUDIODRIVER": "dummy", "OMP_NUM_THREADS": "1"}

    def start(self, *command: str, folder: Path) -> "Program":
        program = Program(self, [sys.executable, *command], folder)
        self.started.append(program)
        return program

    def do(self, *words: Any) -> str:
        """One call of xdotool."""
        done = subprocess.run(["xdotool", *map(str, words)], env=self.env, capture_output=True, text=True, timeout=30)
        return done.stdout

    def windows(self) -> list[int]:
        """The visible windows; the root is the only one without a class."""
        return [int(line) for line in self.do("search", "--onlyvisible", "--class", ".").split()]

    def geometry(self, window: int) -> tuple[int, int, int, int]:
        """x, y, width, height."""
        words = dict(line.split("=") for line in self.do("getwindowgeometry", "--shell", window).split())
        return int(words["X"]), int(words["Y"]), int(words["WIDTH"]), int(words["HEIGHT"])

    def pixels(self, window: int | None = None) -> np.ndarray:
        """What is on the screen, or in a window: (height, width, 3) uint8."""
        data = self.pixels_file.read_bytes()  # an XWD file: its header in 32-bit numbers, the colors' table, the pixels
        header = np.frombuffer(data[:100], ">u4")
        width, height, stride = int(header[4]), int(header[5]), int(header[12])
        first = int(header[0]) + 12 * int(header[19])
        lines = np.frombuffer(data[first : first + stride * height], np.uint8).reshape(height, -1, 4)
        picture = lines[:, :width, 2::-1]
        if window is not None:
            x, y, width, height = self.geometry(window)
            picture = picture[max(y, 0) : y + height, max(x, 0) : x + width]
        return picture

    def ask_to_close(self, window: int) -> None:
        """What a window manager sends when the close button is pressed (WM_DELETE_WINDOW)."""
        x11 = ctypes.CDLL(find_library("X11"))
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.display.encode()))
        protocols, delete = (x11.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
        event = ClientMessage(type=33, window=window, message_type=protocols, format=32)
        event.data[0] = delete
        x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
        x11.XSync(display, 0)
        x11.XCloseDisplay(display)


class ClientMessage(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("room", ctypes.c_long * 24),  # an XEvent is larger than this one
    ]


class Program:
    """A program on the screen, with what it prints."""

    def __init__(self, screen: Screen, command: list[str], folder: Path):
        self.screen, self.out = screen, folder / f"out-{len(screen.started)}.txt"
        with open(self.out, "w") as file:
            self.process = subprocess.Popen(
                command, env=screen.env, cwd=folder, stdout=file, stderr=file, start_new_session=True
            )

    def lines(self) -> list[str]:
        return self.out.read_text().splitlines()

    def window(self, count: int = 1) -> int:
        """The newest window, once there are so many."""
        wait_for(lambda: len(self.screen.windows()) >= count or self.process.poll() is not None, "a window")
        assert self.process.poll() is None, self.out.read_text()
        window = max(self.screen.windows())
        self.screen.do("windowfocus", window)
        wait_for(lambda: self.screen.pixels(window).std() > 1, "a picture")
        return window

    def end(self) -> int:
        """The exit status, when it has ended by itself."""
        status = self.process.wait(PATIENCE)
        left = subprocess.run(["pgrep", "-g", str(self.process.pid)], capture_output=True, text=True).stdout
        assert not left, f"processes left: {left}"
        return status

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def wait_for(happened: Callable[[], Any], words: str) -> Any:
    """The first true value of a function; an error, after a while."""
    end = time.monotonic() + PATIENCE
    while not (value := happened()):
        assert time.monotonic() < end, f"waited for {words}"
        time.sleep(0.05)
    return value


@contextmanager
def new_screen(folder: Path, size: str = "1400x900") -> Iterator[Screen]:
    read, write = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(write),
        "-screen",
        "0",
        f"{size}x24",
        "-fbdir",
        str(folder),
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with open(read) as file:
        number = file.readline().strip()
    screen = Screen(f":{number}", folder)
    try:
        yield screen
    finally:
        for program in screen.started:
            program.kill()
        server.terminate()
        server.wait()


def bob(picture: np.ndarray, color: tuple[int, int, int] = (213, 94, 0)) -> tuple[float, float, int]:
    """The mean place (x to the right, y upwards, from the middle) of a color's pixels, and their number."""
    rows, columns = np.nonzero((abs(picture.astype(int) - color) < 25).all(-1))
    if not len(rows):
        return 0.0, 0.0, 0
    return columns.mean() - picture.shape[1] / 2, picture.shape[0] / 2 - rows.mean(), len(rows)
