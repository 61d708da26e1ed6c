"""Windows of environments, on a screen of their own: synthetic keys, a synthetic mouse, and the pixels they show."""

import signal
import time

import numpy as np
import pytest
from PIL import Image

from tests.screens import bob, needs_screen, new_screen, wait_for

pytestmark = [needs_screen, pytest.mark.slow]

# A user's own loop. It prints its steps, and what it catches at the end.
LOOP = """
import sys, gymnasium as gym, numpy as np, envs
env = gym.make("balancier/Pendulum-v0", render_mode="human", max_episode_steps=-1)
env.reset(options={"state": (np.pi, 0.0)})
try:
    for step in range(10**6):
        env.step(np.zeros(1, np.float32))
        print(step, *env.unwrapped.state, flush=True)
except gym.error.ClosedEnvironmentError as error:
    print("ended:", error, flush=True)
env.close()
"""


@pytest.fixture
def screen(tmp_path):
    with new_screen(tmp_path) as screen:
        yield screen


@pytest.fixture
def loop(screen, tmp_path):
    """The loop, once its window is there."""
    program = screen.start("-c", LOOP, folder=tmp_path)
    program.window()
    return program


def steps(program) -> int:
    return len(program.lines())


def state(program) -> tuple[float, float]:
    _, angle, speed = program.lines()[-1].split()
    return float(angle), float(speed)


def steady(program) -> int:
    """The number of steps, once it no longer grows."""
    before = -1
    while before != (now := steps(program)):
        before = now
        time.sleep(0.5)
    return now


def rate(program, seconds: float = 2.0) -> float:
    """Steps in a second."""
    before, start = steps(program), time.monotonic()
    time.sleep(seconds)
    return (steps(program) - before) / (time.monotonic() - start)


def test_keys_of_a_users_own_loop(screen, loop, tmp_path):
    window = loop.window()
    # It hangs: the bob is below the middle.
    x, y, _ = bob(screen.pixels(window))
    assert abs(x) < 20
    assert y < -100
    # Pushed right, it goes right.
    screen.do("keydown", "Right")
    wait_for(lambda: bob(screen.pixels(window))[0] > 30, "a bob that goes right")
    assert state(loop)[0] > np.pi  # counter-clockwise, from below
    screen.do("keyup", "Right")
    # A pause, single steps, and on.
    screen.do("key", "space")
    paused = steady(loop)
    picture = screen.pixels(window)
    screen.do("key", "period")
    wait_for(lambda: steps(loop) == paused + 1, "one step")
    assert steady(loop) == paused + 1
    assert (screen.pixels(window) != picture).any()
    screen.do("key", "space")
    wait_for(lambda: steps(loop) > paused + 3, "more steps")
    # Slower: an eighth of 20 steps a second.
    screen.do("key", "minus", "minus", "minus")
    assert rate(loop) < 6
    screen.do("key", "plus", "plus", "plus")
    # A picture, a recording, and the help, which covers the middle.
    screen.do("key", "s")
    wait_for(lambda: list(tmp_path.glob("balancier-*.png")), "a screenshot")
    screen.do("key", "v")
    time.sleep(1)
    screen.do("key", "v")
    path = wait_for(lambda: next(iter(tmp_path.glob("balancier-*.gif")), None), "a recording")
    assert Image.open(path).n_frames > 3
    saved = np.asarray(Image.open(next(iter(tmp_path.glob("balancier-*.png")))).convert("RGB"))
    assert saved.shape == (500, 760, 3)
    assert bob(saved)[2] > 500
    before = screen.pixels(window)
    screen.do("key", "question")
    wait_for(lambda: (screen.pixels(window)[250] != before[250]).any(-1).mean() > 0.4, "the help")
    screen.do("key", "question")
    # Panels, dark, full screen and back, another size: the rod grows with the window.
    screen.do("key", "p")
    wait_for(lambda: bob(screen.pixels(window)[:, :400])[2] > 0, "panels")
    screen.do("key", "p", "t")
    wait_for(lambda: screen.pixels(window)[3, -3].max() < 60, "a dark window")
    screen.do("key", "t", "f")
    wait_for(lambda: screen.geometry(screen.windows()[-1])[2:] == (1400, 900), "full screen")
    wait_for(lambda: screen.pixels()[890, 1390].min() > 230, "a full picture")
    screen.do("key", "f")
    wait_for(lambda: screen.geometry(window)[2:] == (760, 500), "the old size")
    screen.do("windowsize", window, 1300, 850)
    wait_for(lambda: bob(screen.pixels(window))[1] < -200, "a longer rod")
    # The close button: the next step says so, in one line, and the program ends well.
    screen.ask_to_close(window)
    assert loop.end() == 0
    assert loop.lines()[-1] == "ended: the pendulum's window was closed by its user; make a new environment"


def test_the_mouse_drags_the_bob_and_escape_ends(screen, loop):
    window = loop.window()
    x, y, width, height = screen.geometry(window)
    middle = x + width // 2, y + height // 2
    screen.do("mousemove", middle[0], middle[1] + 100)
    screen.do("mousedown", 1)
    screen.do("mousemove", middle[0] + 120, middle[1])
    wait_for(lambda: bob(screen.pixels(window))[0] > 150, "a bob at the pointer")
    held = steady(loop)  # the physics waits
    screen.do("mouseup", 1)
    wait_for(lambda: steps(loop) > held + 2, "a bob that was let go")
    angle = float(loop.lines()[held].split()[1])
    assert np.remainder(angle, 2 * np.pi) == pytest.approx(1.5 * np.pi, abs=0.2)
    screen.do("key", "Escape")
    assert loop.end() == 0
    assert loop.lines()[-1].startswith("ended: ")


TWO = """
import sys, time, gymnasium as gym, numpy as np, envs
both = [gym.make("balancier/Pendulum-v0", render_mode="human", max_episode_steps=-1) for _ in range(2)]
for env, angle in zip(both, (np.pi / 2, -np.pi / 2)):
    env.reset(options={"state": (angle, 0.0)})
for step in range(10**6):
    for number, env in enumerate(list(both)):
        try:
            env.step(np.zeros(1, np.float32))
        except gym.error.ClosedEnvironmentError:
            print("ended", number, flush=True)
            both.remove(env)
    print(step, flush=True)
    if not both:
        sys.exit(0)
"""


def test_two_windows_do_not_disturb_each_other(screen, tmp_path):
    program = screen.start("-c", TWO, folder=tmp_path)
    newest = program.window(count=2)
    (other,) = set(screen.windows()) - {newest}
    screen.do("windowmove", newest, 0, 0)
    screen.do("windowmove", other, 700, 400)
    wait_for(lambda: steps(program) > 10, "steps")
    screen.ask_to_close(newest)
    wait_for(lambda: any(line.startswith("ended") for line in program.lines()), "the end of one")
    assert screen.windows() == [other]
    before, picture = steps(program), screen.pixels(other)
    wait_for(lambda: steps(program) > before + 10, "steps of the other one")
    assert (screen.pixels(other) != picture).any()
    assert bob(screen.pixels(other))[2] > 200
    screen.do("windowfocus", other)
    screen.do("key", "q")
    assert program.end() == 0
    assert sum(line.startswith("ended") for line in program.lines()) == 2


FULL = """
import math, time, gymnasium as gym, numpy as np, envs
from envs.viewer import PANELS, Field, Ghost, Window, scene_of, seen_of
env = gym.make("balancier/Pendulum-v0", render_mode="rgb_array").unwrapped
obs, _ = env.reset(seed=0)
angles, speeds = np.linspace(-np.pi, np.pi, 101), np.linspace(-8, 8, 81)
field = Field(-(angles**2) - 0.1 * speeds[:, None] ** 2, "value")
window, painted = Window(size=(1280, 720), panels=tuple(PANELS)), 0
paint = window.paint
def counted(scenes):
    global painted
    painted += 1
    paint(scenes)
window.paint = counted
for step in range(60):
    if step == 20:
        start, painted = time.process_time(), 0
    obs, *_ = env.step(np.full(1, 2.0 * (env.speed > 0) - 1.0, np.float32))
    ghosts = [Ghost(env.angle + 0.3, "optimum")]
    scene = scene_of(env, env.track, field=field, ghosts=ghosts, seen=seen_of(env, obs), episode=1, note="return")
    window.show([scene], 0.05)
print(painted, time.process_time() - start, *window.surface.get_size())
window.close()
"""


def test_a_window_with_all_panels_has_time_for_60_pictures_a_second(screen, tmp_path):
    program = screen.start("-c", FULL, folder=tmp_path)
    assert program.end() == 0
    painted, seconds, width, height = map(float, program.lines()[-1].split())
    assert (width, height) == (1280, 720)
    assert painted > 20  # of 120, where other programs need the processor, too
    assert seconds / painted < 1 / 60


ENDLESS = """
import gymnasium as gym, numpy as np, envs
env = gym.make("balancier/Pendulum-v0", render_mode="human", max_episode_steps=-1)
env.reset(seed=0)
while True:
    env.step(np.zeros(1, np.float32))
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM)])
def test_signals_end_a_loop_as_they_end_any_program(number, status, screen, tmp_path):
    program = screen.start("-c", ENDLESS, folder=tmp_path)
    program.window()
    program.process.send_signal(number)
    assert program.end() in (status, 1)
