import math
import time

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.wrappers import HumanRendering

import envs  # noqa: F401  registers the ids
from envs.scene import Field, Ghost, Scene, Track, between, scene_of, seen_of
from envs.viewer import PANELS, NoDisplay, Window, frame, window
from envs.viewer.drawing import cells, pointed, scale

BOB, TORQUE = (213, 94, 0), (0, 114, 178)


def frames(**options):
    env = gym.make("balancier/Pendulum-v0", render_mode="rgb_array", **options)
    env.reset(seed=0, options={"state": (np.pi / 2, 0.0)})
    return env


def center(picture, color, tolerance=30):
    """Mean place (x to the right, y upwards, from the middle) of the pixels of a color, and their number."""
    rows, columns = np.nonzero((abs(picture.astype(int) - color) < tolerance).all(-1))
    return columns.mean() - picture.shape[1] / 2, picture.shape[0] / 2 - rows.mean(), len(rows)


def test_the_bob_is_where_the_angle_says():
    """A quarter turn counter-clockwise from upright is to the left."""
    x, y, pixels = center(frames().render(), BOB)
    assert x == pytest.approx(-180, abs=3)
    assert y == pytest.approx(0, abs=3)
    assert pixels > 500


def test_the_arrow_points_where_the_torque_pulls_and_is_as_long_as_it_is_large():
    seen = {}
    for torque in (-2.0, -1.0, 1.0, 2.0):
        env = frames()
        env.step(np.array([torque], np.float32))
        picture = env.render()
        picture[:110] = 255  # the numbers have the same color
        seen[torque] = center(picture, TORQUE)
    for torque, (x, _, pixels) in seen.items():
        assert np.sign(x) == -np.sign(torque)  # above the pivot, counter-clockwise is to the left
        assert (pixels > 1.2 * seen[torque / 2][2]) if abs(torque) == 2 else pixels > 50


def test_frames_are_bytes_and_a_new_episode_has_no_trace():
    env = frames()
    first = env.render()
    assert first.shape == (500, 500, 3)
    assert first.dtype == np.uint8
    for _ in range(10):
        env.step(np.zeros(1, np.float32))
        env.render()
    env.reset(options={"state": (np.pi / 2, 0.0)})
    np.testing.assert_array_equal(env.render(), first)


def test_rendering_without_mode_or_episode_is_refused():
    with pytest.raises(ValueError, match="^render_mode: found None"):
        gym.make("balancier/Pendulum-v0").unwrapped.render()
    with pytest.raises(ResetNeeded):
        gym.make("balancier/Pendulum-v0", render_mode="rgb_array").unwrapped.render()


def test_a_window_opens_without_a_screen():
    env = gym.make("balancier/Pendulum-v0", render_mode="human")
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    assert env.render() is None
    env.close()


def test_length_and_mass_are_true_to_scale():
    def place(**parameters):
        x, _, pixels = center(frames(**parameters).render(), BOB)
        return x, pixels

    whole = place()
    assert place(length=0.5)[0] == pytest.approx(whole[0] / 2, abs=1)
    assert place(length=2.0)[0] == pytest.approx(whole[0] * 2 / 3, abs=1)  # now the scale has room for 3 m
    assert place(mass=0.25)[1] == pytest.approx(whole[1] / 4, rel=0.1)
    assert [scale([length]) for length in (0.02, 0.3, 0.5, 1, 1.2, 7, 20)] == [0.03, 0.3, 1, 1, 3, 10, 30]


def test_a_trace_is_fainter_where_it_is_older_and_no_longer_than_two_seconds():
    track = Track()
    for angle in np.linspace(0.0, math.pi / 2, 60):
        track.add(angle, 0.0)
    picture = frame([Scene(math.pi / 2, track=track)], (500, 500)).astype(int)

    def ink(angle):
        y, x = round(250 - 180 * math.cos(angle)), round(250 - 180 * math.sin(angle))
        return (picture[0, 250] - picture[y, x]).max()

    inks = [ink(angle) for angle in (1.3, 1.0, 0.7)]
    assert inks[0] > inks[1] > inks[2] > 30
    assert ink(0.4) < 60  # only the circle that the bob moves on


def episode(steps: int = 30, **options):
    env = gym.make("balancier/Pendulum-v0", render_mode="rgb_array", **options).unwrapped
    obs, _ = env.reset(seed=0, options={"state": (np.pi, 0.0)})
    for _ in range(steps):
        obs, *_ = env.step(np.full(1, 2.0, np.float32))
    angles, speeds = np.linspace(-np.pi, np.pi, 41), np.linspace(-8, 8, 33)
    field = Field(-(angles**2) - 0.1 * speeds[:, None] ** 2, "value")
    return scene_of(env, env.track, episode=1, field=field, seen=seen_of(env, obs), ghosts=[Ghost(0.3, "optimum")])


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 720), (600, 900), (320, 200)])
def test_every_panel_shows_something_beside_the_pendulum_and_leaves_it_alone(theme, size):
    scene = episode()
    plain = frame([scene], size, theme=theme, panels=["score"])
    assert (plain[0, 0].mean() > 200) == (theme == "light")
    for panels in [["motion"], ["phase"], ["seen"], list(PANELS)]:
        picture = frame([scene], size, theme=theme, panels=panels)
        assert picture.shape == (size[1], size[0], 3)
        wide = size[0] > size[1]
        share = 0.55 if wide else 0.5
        first, rest = np.split(picture, [round(share * max(size))], axis=int(wide))
        assert (first == np.split(plain, [round(share * max(size))], axis=int(wide))[0]).all()
        assert rest.std() > 10


def test_panels_show_the_pixels_or_the_numbers_that_a_network_sees():
    angle = episode(observation="angle").seen
    assert list(angle) == ["cos", "sin"]
    state = episode().seen
    assert list(state) == ["cos", "sin", "speed / 8"]
    assert state["cos"] == angle["cos"]
    assert episode(observation="pixels").seen.shape == (32, 32, 3)


def test_a_grid_has_the_columns_that_make_its_scenes_largest():
    for count, columns in ((1, 1), (2, 2), (3, 3), (10, 5)):
        places = cells(pygame.Rect(0, 0, 1280, 720), count)
        assert len({place.x for place in places}) == columns
        assert len(places) >= count
    picture = frame([episode()] * 10, (1280, 720))
    assert center(picture[:360, :256], BOB, 5)[2] == center(picture[360:, 1024:], BOB, 5)[2] > 50


def test_the_pointer_means_the_scene_and_the_angle_under_it():
    index, angle = pointed([episode()] * 2, (1000, 500), False, (750 - 100, 250))
    assert index == 1
    assert angle == pytest.approx(np.pi / 2)


def test_between_two_steps_the_angle_goes_the_short_way():
    before, after = Scene(3.0, 1.0), Scene(-3.0, 3.0)
    middle = between(before, after, 0.5)
    assert middle.angle == pytest.approx(-math.pi)
    assert middle.speed == 2.0
    assert between(before, after, 1.0) is after
    assert math.remainder(between(before, after, 0.0).angle - 3.0, 2 * math.pi) == pytest.approx(0)


@pytest.mark.parametrize(("delay", "pictures"), [(0.0, 21), (0.12, 5)])
def test_the_physics_keeps_its_time_whatever_the_pictures_take(delay, pictures, monkeypatch):
    painted = []

    def slow(*args, **keywords):
        painted.append(time.perf_counter())
        time.sleep(delay)

    monkeypatch.setattr(window, "draw", slow)
    shown = Window()
    shown.show([Scene()])
    start = time.perf_counter()
    for step in range(20):
        shown.show([Scene(0.1 * step)], 0.05)
    took = time.perf_counter() - start
    shown.close()
    assert 0.8 < took < 1.9  # with 20 pictures of 0.12 s it would be 2.4
    assert len(painted) >= pictures
    assert len(painted) <= 64


def test_a_closed_window_ends_the_next_step():
    env = gym.make("balancier/Pendulum-v0", render_mode="human")
    env.reset(seed=0)
    env.unwrapped.viewer.window.close()
    for call in (lambda: env.step(np.zeros(1, np.float32)), env.reset):
        with pytest.raises(ClosedEnvironmentError, match=r"^the pendulum's window was closed by its user; make a new"):
            call()
    env.close()


def test_without_a_screen_a_window_is_refused_in_one_line(monkeypatch):
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(window.sys, "platform", "linux")
    env = gym.make("balancier/Pendulum-v0", render_mode="human")
    with pytest.raises(NoDisplay, match=r"^display: found none .*--gif FILE") as found:
        env.reset(seed=0)
    assert "\n" not in str(found.value)


def test_windows_and_frames_outlive_those_of_others():
    """Gymnasium's own window calls `pygame.quit` when it is closed."""
    human = gym.make("balancier/Pendulum-v0", render_mode="human")
    human.reset(seed=0)
    other = HumanRendering(frames())
    other.reset(seed=0)
    expected = other.unwrapped.render()
    for _ in range(2):
        other.close()
        human.step(np.zeros(1, np.float32))
        other = HumanRendering(frames())
        other.reset(seed=0)
        np.testing.assert_array_equal(other.unwrapped.render(), expected)
    other.close()
    human.step(np.zeros(1, np.float32))
    human.close()


def test_windows_neither_destroy_nor_take_over_what_others_open_after_they_ended_the_display():
    """SDL gives a new window the address and the number of one that is gone."""

    def others_end():
        pygame.display.quit()
        pygame.quit()

    def others_begin():
        pygame.display.init()
        pygame.display.set_mode((60, 60))

    ours, scene = [Window("one", (90, 80)), Window("two", (90, 80))], Scene(0.3, 0.0)
    for step in range(60):
        others_begin()
        others_end()
        if step % 2:
            others_begin()
        for shown in ours if step % 3 else reversed(ours):
            shown.show([scene])
            assert shown.renderer.get_viewport().size == (90, 80)
        assert ours[0].id != ours[1].id
        if step % 5 == 0:
            others_end()
            others_begin()
            ours[0].close()
            ours[0] = Window("one", (90, 80))
            ours[0].show([scene])
            ours[0].rename(f"one of step {step}")
        others_end()
        others_begin()
        new = Window("two", (90, 80))
        new.show([scene])
        window_of_new = new.window
        for shown in ours:
            shown.show([scene])
        new.show([scene])
        assert new.window is window_of_new is not None  # the others know that they are gone, and it is not
        assert len({new.id, *(shown.id for shown in ours)}) == 3
        new.close()
        foreign = pygame.display.get_surface()
        assert foreign is None or foreign.get_size() == (60, 60)
    for shown in ours:
        shown.close()
    others_end()


def test_a_push_is_twice_the_largest_torque_for_one_step():
    env = gym.make("balancier/Pendulum-v0", length=0.5, mass=2.0).unwrapped
    env.reset(options={"state": (0.3, 1.0)})
    env.push(-0.5)
    assert env.speed == pytest.approx(1.0 - 3 / (2 * 0.25) * 2.0 * 0.05)
    for _ in range(10):
        env.push(1.0)
    assert env.speed == 8.0


def test_frames_take_little_time():
    """A quiet core draws more than 500 a second, and drew 206 when the whole picture was shrunk."""
    env = frames()
    actions = [np.full(1, 2 * math.sin(step / 9), np.float32) for step in range(250)]
    for step, action in enumerate(actions):
        if step == 50:
            start = time.process_time()
        env.unwrapped.step(action)
        env.render()
    assert 200 / (time.process_time() - start) > 300
