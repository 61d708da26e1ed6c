"""The keys and the mouse of a window, as events, on a screen that only pygame knows."""

import time
from dataclasses import replace

import numpy as np
import pygame
import pytest
from PIL import Image

from envs.scene import Scene, Track
from envs.viewer import Commands, Window
from envs.viewer.window import key_codes, pump


@pytest.fixture
def shown(tmp_path):
    window = Window(size=(760, 500), folder=tmp_path)
    window.show([Scene(np.pi)])
    yield window
    window.close()
    pygame.quit()


def press(window: Window, *keys: str) -> None:
    for key in keys:
        code = pygame.key.key_code(key) if len(key) > 1 else ord(key)
        unicode = key if len(key) == 1 else ""
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code, unicode=unicode, window=window.window))


def release(window: Window, key: str) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.key.key_code(key), window=window.window))


def mouse(window: Window, kind: int, place: tuple[float, float]) -> None:
    pygame.event.post(pygame.event.Event(kind, button=1, pos=place, window=window.window))


def step(window: Window, angle: float = np.pi, seconds: float = 0.01) -> Commands:
    return window.show([Scene(angle)], seconds)


def test_a_pause_holds_until_space_and_a_period_is_one_step(shown, monkeypatch):
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 5:
            press(shown, "space")

    press(shown, "space")
    monkeypatch.setattr(time, "sleep", nap)
    start = time.perf_counter()
    step(shown)
    assert not shown.paused
    assert len(naps) >= 5
    press(shown, ".")
    naps[:] = [0.0] * 10
    step(shown)  # goes on at once, and stays in a pause
    assert shown.paused
    assert not shown.single
    assert time.perf_counter() - start < 5


def test_arrows_and_letters_are_held_until_they_are_released(shown):
    press(shown, "right", "up", "a")
    asked = step(shown)
    assert (asked.push, asked.turn) == ((1.0, 1.0), 1.0)
    release(shown, "up")
    assert step(shown).push == (1.0, 0.0)
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST, window=shown.window))
    asked = step(shown)
    assert (asked.push, asked.turn) == ((0.0, 0.0), 0.0)


@pytest.mark.parametrize(("key", "asked"), [("r", Commands(restart=True)), ("h", Commands(hanging=True))])
def test_a_new_start_is_asked_for_once_and_ends_a_pause_of_the_owner(key, asked, shown):
    press(shown, "space", key)
    assert step(shown) == asked
    press(shown, "space")
    assert step(shown) == Commands()


def test_speed_theme_panels_and_help(shown):
    def corner():
        return shown.surface.get_at((1, 1))[0]

    press(shown, "+", "+", "=")
    step(shown)
    assert shown.speed == 8
    press(shown, *"-----")
    step(shown, seconds=0.001)
    assert shown.speed == 1 / 4
    press(shown, *"+++++++++++")
    step(shown)
    assert shown.speed == 16
    light = corner()
    press(shown, "t")
    step(shown, seconds=0.0)
    assert corner() < 60 < light
    press(shown, "2")
    step(shown, seconds=0.0)
    assert shown.panels == ("phase",)
    press(shown, "p")
    step(shown, seconds=0.0)
    assert shown.panels == ()
    press(shown, "p", "1")
    step(shown, seconds=0.0)
    assert shown.panels == ("motion", "phase")
    before = pygame.surfarray.array3d(shown.surface)
    press(shown, "?")
    step(shown, seconds=0.0)
    assert (pygame.surfarray.array3d(shown.surface) != before).any(-1).mean() > 0.2


def test_a_picture_and_a_recording_are_files(shown, tmp_path):
    press(shown, "s", "v")
    for angle in np.linspace(0, 3, 20):
        step(shown, angle, 0.03)
    press(shown, "v", "s")
    step(shown, 0.0)
    pictures, recordings = sorted(tmp_path.glob("*.png")), list(tmp_path.glob("*.gif"))
    assert len(pictures) == 2
    assert (Image.open(pictures[0]).size, Image.open(pictures[0]).mode) == ((760, 500), "RGB")
    assert Image.open(recordings[0]).n_frames > 5
    shown.folder = tmp_path / "nowhere"
    press(shown, "s")
    step(shown, 0.0)
    assert shown.toast.startswith("cannot write")


def test_the_mouse_holds_a_bob_and_gives_a_scene_the_panels(shown):
    two = [Scene(np.pi, episode=1), Scene(0.0, episode=1)]
    shown.show(two)
    mouse(shown, pygame.MOUSEBUTTONDOWN, (570 + 100, 250))
    asked = shown.show(two, 5.0)  # at once
    assert asked.drag == (1, pytest.approx(-np.pi / 2))
    assert shown.focus == 1
    mouse(shown, pygame.MOUSEMOTION, (570, 350))
    assert shown.show(two, 0.03).drag == (1, pytest.approx(np.pi))
    mouse(shown, pygame.MOUSEMOTION, (190, 350))  # over the other one
    assert shown.show(two, 0.03).drag[0] == 1
    mouse(shown, pygame.MOUSEBUTTONUP, (190, 350))
    assert shown.show(two, 0.03).drag is None


def test_full_screen_and_back(shown):
    before = tuple(shown.window.size)
    press(shown, "f")
    step(shown)
    assert shown.place is not None
    press(shown, "f")
    step(shown)
    assert shown.place is None
    assert tuple(shown.window.size) == before


@pytest.mark.parametrize("end", ["q", "escape", "close", "quit"])
def test_every_way_to_end(end, shown):
    kinds = {"close": pygame.WINDOWCLOSE, "quit": pygame.QUIT}
    if end in kinds:
        pygame.event.post(pygame.event.Event(kinds[end], window=shown.window))
    else:
        press(shown, end)
    assert step(shown).closed
    assert shown.closed
    assert step(shown).closed  # and again


def test_events_of_other_windows_stay_theirs(shown):
    other = Window(size=(300, 200))
    press(other, "space")
    step(shown)
    assert not shown.paused
    step(other, seconds=0.0)
    assert other.paused
    other.close()
    assert not shown.closed
    pygame.display.set_mode((100, 100))
    pygame.event.clear()
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q, unicode="q"))
    pump()
    assert [event.key for event in pygame.event.get(pygame.KEYDOWN)] == [pygame.K_q]


def test_keys_that_the_owner_took_or_does_not_handle():
    window = Window(size=(300, 200), handles=("push",), taken=key_codes(("q", "l")))
    window.show([Scene()])
    press(window, "q", "r", "a")
    asked = window.show([Scene()], 0.01)
    assert not asked.closed
    assert not asked.restart
    assert asked.turn == 0
    assert window.held == {ord("q")}
    window.close()


def test_keys_in_gymnasiums_words():
    assert key_codes(("a", "d")) == {ord("a"), ord("d")}
    assert key_codes((275, 276)) == {pygame.K_RIGHT, pygame.K_LEFT}
    assert key_codes("w") == {ord("w")}
    assert key_codes(()) == frozenset()


def test_panels_wait_for_the_next_step_and_the_pendulum_does_not(shown):
    shown.panels = ("motion",)
    track = Track()
    for angle in (3.0, 3.1, 3.2):
        track.add(angle, 0.0, reward=-1.0)
    first = Scene(3.2, track=track)
    shown.show([first])
    before = pygame.surfarray.array3d(shown.surface)
    track.add(2.0, 5.0, reward=-2.0)
    shown.paint([replace(first, angle=2.0)])  # between two steps
    between = pygame.surfarray.array3d(shown.surface)
    assert (between[:420] != before[:420]).any()
    assert (between[430:] == before[430:]).all()
    shown.show([replace(first, angle=2.0)])
    assert (pygame.surfarray.array3d(shown.surface)[430:] != before[430:]).any()
