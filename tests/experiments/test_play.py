"""`balancier play`: the game itself, and its window on a screen with synthetic keys."""

import os
import time
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import agents
import envs  # noqa: F401  registers the pendulum
from agents.evaluation import VALIDATION_SEED
from envs.optimum import optimum
from envs.viewer import Commands, Window, window
from envs.viewer.gamepad import PADS, stick
from experiments import play, watch
from experiments.common.hyperparams import tuned
from tests.screens import bob, needs_screen, new_screen, wait_for

PENDULUM = "balancier/Pendulum-v0"
# Keys in the window, and mouse keys in Gymnasium's words; a target that moves right with "l", left with "j".
MINE = """
import gymnasium as gym, numpy as np
class Track(gym.Env):
    observation_space, action_space = gym.spaces.Box(-9, 9, (1,)), gym.spaces.Discrete(3)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    def __init__(self, render_mode=None, keys=True):
        self.render_mode = render_mode
        if keys:
            self.get_keys_to_action = lambda: {("j",): 1, ("l",): 2}
    def reset(self, *, seed=None, options=None):
        self.place = 0.0
        return np.zeros(1, np.float32), {}
    def step(self, action):
        self.place += {0: 0, 1: -0.1, 2: 0.1}[int(action)]
        return np.full(1, self.place, np.float32), self.place, abs(self.place) > 2, False, {}
    def render(self):
        frame = np.full((100, 300, 3), 240, np.uint8)
        x = int(150 + 60 * self.place)
        frame[40:60, max(x - 10, 0) : x + 10] = (213, 94, 0)
        return frame
gym.register("Track-v0", Track)
gym.register("Mute-v0", Track, kwargs={"keys": False})
"""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    agents.PPO(PENDULUM, seeds=[3, 11], **tuned("ppo", PENDULUM)).save(folder / "agent.safetensors")
    return folder


@pytest.fixture
def hands(monkeypatch):
    """Commands that the window gives one after the other, and the scenes it was to show; then it is closed."""
    asked: list[Commands] = []
    scenes = []

    def show(self, shown, seconds=0.0):
        scenes.append(shown[0])
        if seconds == 0:
            return Commands()
        if not asked:
            self.close()
            return Commands(closed=True)
        return asked.pop(0)

    monkeypatch.setattr(Window, "show", show)
    monkeypatch.setattr(play, "PAUSE", 0.1)
    return SimpleNamespace(asked=asked, scenes=scenes)


def test_the_scores_are_the_returns_of_an_episode_from_the_same_start(hands, run, capsys):
    hands.asked += [Commands(), *[Commands(turn=1.0)] * 204]
    flags = ["--replica", "1", "--ghosts", "--start", "random", "--seed", "5", "--episodes", "1"]
    assert play.main([str(run), *flags]) == 0
    env = gym.make(PENDULUM)
    env.reset(seed=VALIDATION_SEED + 5)
    total = sum(env.step(np.full(1, 2.0, np.float32))[1] for _ in range(200))
    env.reset(seed=VALIDATION_SEED + 5)
    best = optimum().returns(env.unwrapped.state[None])[0]
    out = capsys.readouterr().out
    assert f"episode 1: you {total:.0f}   optimum {best:.0f}   agent " in out
    names = [ghost.name.split()[0] for ghost in hands.scenes[50].ghosts]
    assert names == ["optimum", "agent"]
    assert hands.scenes[50].note.startswith("you -")


@pytest.mark.parametrize(("push", "angle", "share"), [
    ((1, 0), np.pi, 1), ((-1, 0), np.pi, -1),  # hanging, a push to the right turns it counter-clockwise
    ((1, 0), 0.0, -1), ((-1, 0), 0.0, 1),  # upright, clockwise
    ((0, 1), -np.pi / 2, 1), ((0, 1), np.pi / 2, -1), ((0, -1), np.pi / 2, 1),
    ((0.5, 0), np.pi, 0.5), ((0, 1), np.pi, 0), ((0, 0), 1.0, 0),
])  # fmt: skip
def test_a_push_moves_the_bob_where_it_points(push, angle, share):
    assert Commands(push=push).torque_share(angle) == pytest.approx(share)


def test_the_pointer_pulls_the_short_way():
    assert play.share_of(Commands(drag=(0, -np.pi + 0.1)), np.pi - 0.1) == pytest.approx(0.4)
    assert play.share_of(Commands(drag=(0, 0.0)), 2.0) == -1


def test_discrete_torques_are_the_nearest_and_take_turns_where_none_is_zero():
    five, two = (gym.make("balancier/PendulumDiscrete-v0", num_torques=n).unwrapped for n in (5, 2))
    assert [int(play.action_of(five, share, 0)[0]) for share in (-1, -0.4, 0, 0.3, 1)] == [0, 1, 2, 3, 4]
    assert [int(play.action_of(two, share, 0)[0]) for share in (-1, -0.2, 0.2, 1)] == [0, 0, 1, 1]
    idle, seen = 0, []
    for _ in range(4):
        action, idle = play.action_of(two, 0.0, idle)
        seen.append(int(action))
    assert seen == [0, 1, 0, 1]


@pytest.mark.parametrize("flags", [
    ["--env", "balancier/PendulumDiscrete-v0"], ["--num-torques", "2"], ["--length", "0.5", "2"], ["--damping", "0.1"],
    ["--env", "Pendulum-v1"], ["--inertia", "point", "--integrator", "rk4", "--alone"],
])  # fmt: skip
def test_every_pendulum_can_be_played(flags, hands, capsys, monkeypatch):
    monkeypatch.setattr(play, "best_rival", lambda *_: [])
    hands.asked += [Commands(), *[Commands(push=(1.0, 0.0))] * 210]
    assert play.main([*flags, "--episodes", "1"]) == 0
    assert "episode 1: you -" in capsys.readouterr().out


def test_a_challenge_ends_with_a_card(hands, tmp_path, capsys):
    hands.asked += [Commands(), *[Commands(turn=-1.0)] * 201, *[Commands()] * 3] * 5
    card = tmp_path / "card.png"
    assert play.main(["--challenge", "--card", str(card), "--alone"]) == 0
    assert "start 5 of 5: you -" in (out := capsys.readouterr().out)
    assert "your mean return is -" in out
    width, height = Image.open(card).size
    assert 1.3 < width / height < 2.2
    assert list(tmp_path.iterdir()) == [card]


def test_a_challenge_that_was_left_has_no_card(hands, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hands.asked += [Commands(), *[Commands(turn=-1.0)] * 203]
    assert play.main(["--challenge", "--alone"]) == 0
    assert "ended after 1 of 5 starts: no card" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("flags", "words"), [
    (["nowhere"], "run: found no checkpoint at nowhere"),
    (["--env", "CartPole-v1"], "--env: found CartPole-v1, which names no keys, expected a pendulum"),
    (["--env", "balancier/Curve-v0"], "--env: found balancier/Curve-v0, which draws no frames (render_modes: none)"),
    (["--env", "MountainCar-v0", "--challenge"], "--challenge: found with MountainCar-v0, expected one of our"),
    (["--env", "CartPole-v1", "--length", "2"], "--length: found with CartPole-v1, expected one of our pendulums"),
    (["--replica", "1"], "--replica: found 1 without a run"),
    (["--card", "card.png"], "--card: found card.png without --challenge"),
    (["--challenge", "--card", "nowhere/card.png"], "--card: found nowhere/card.png, expected a file in a folder"),
    (["--challenge", "--episodes", "3"], "--episodes: found 3 with --challenge"),
    (["--speed", "0"], "--speed: found 0.0, expected a number above 0"),
])  # fmt: skip
def test_what_cannot_be_played_is_refused_in_one_line(flags, words, capsys):
    assert play.main(flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_an_agent_whose_environment_draws_nothing_is_refused_as_by_watch(tmp_path, capsys):
    agents.PPO("balancier/Recall-v0", seeds=1).save(tmp_path / "agent.safetensors")
    for main, flags, modes in ((play.main, ["--alone"], "rgb_array"), (watch.main, [], "rgb_array or human")):
        assert main([str(tmp_path), *flags]) == 2
        found = "run: found balancier/Recall-v0, which draws no frames (render_modes: none)"
        assert f"{found}, expected an environment with {modes}\n" in capsys.readouterr().err


def test_without_a_screen_one_line_names_the_gif(monkeypatch, capsys):
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(window.sys, "platform", "linux")
    assert play.main([]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--gif FILE" in error


def test_the_stick_of_a_gamepad(monkeypatch):
    class Pad:
        def __init__(self, index):
            self.axes = [(0.05, 0.1), (-0.7, 0.9)][index]

        def get_numaxes(self):
            return 2

        def get_axis(self, axis):
            return self.axes[axis]

    plugged = [0]
    joystick = SimpleNamespace(get_init=lambda: True, get_count=lambda: plugged[0], Joystick=Pad)
    monkeypatch.setattr("envs.viewer.gamepad.pygame", SimpleNamespace(joystick=joystick))
    PADS.clear()
    for count, expected in ((0, (0.0, 0.0)), (1, (0.0, 0.0)), (2, (-0.7, -0.9)), (1, (0.0, 0.0))):
        plugged[0] = count
        assert stick() == expected
    PADS.clear()


@needs_screen
@pytest.mark.slow
def test_a_person_plays_in_a_window(run, tmp_path):
    with new_screen(tmp_path) as screen:
        flags = ["--ghosts", "--panels", "motion", "phase", "score", "--speed", "4"]
        program = screen.start("-m", "experiments", "play", str(run), *flags, folder=tmp_path)
        shown = program.window()
        before = bob(screen.pixels(shown)[:, :537])
        assert before[1] < -100
        time.sleep(0.5)
        assert bob(screen.pixels(shown)[:, :537]) == before  # it waits for the first push
        screen.do("keydown", "Right")
        wait_for(lambda: bob(screen.pixels(shown)[:, :537])[0] > before[0] + 30, "a bob that goes right")
        screen.do("keyup", "Right")
        for key in "rh":
            screen.do("key", key)
            wait_for(lambda: bob(screen.pixels(shown)[:, :537]) == before, "the start again, where it waits")
            time.sleep(0.5)  # a push counts only after nobody pushed
            screen.do("keydown", "Left")
            wait_for(lambda: bob(screen.pixels(shown)[:, :537])[0] < before[0] - 30, "a bob that goes left")
            screen.do("keyup", "Left")
        wait_for(lambda: any(line.startswith("episode 1: you -") for line in program.lines()), "the end of an episode")
        screen.ask_to_close(shown)
        assert program.end() == 0
        line = next(line for line in program.lines() if line.startswith("episode 1"))
        assert "optimum -" in line
        assert "agent -" in line


@needs_screen
@pytest.mark.slow
def test_an_environment_of_others_is_played_with_its_own_keys(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    with new_screen(tmp_path) as screen:
        command = ["-m", "experiments", "play", "--episodes", "1", "--env"]
        program = screen.start(*command, "mine:Track-v0", folder=tmp_path)
        shown = program.window()
        assert abs(bob(screen.pixels(shown))[0]) < 10
        screen.do("keydown", "l")
        wait_for(lambda: bob(screen.pixels(shown))[0] > 50, "a block that goes right")
        wait_for(lambda: any(line.startswith("episode 1: you ") for line in program.lines()), "the end")
        assert program.end() == 0
        program = screen.start(*command, "mine:Mute-v0", folder=tmp_path)
        assert program.end() == 2
        assert program.lines()[-1].startswith("balancier play: --env: found mine:Mute-v0, which names no keys")


@needs_screen
@pytest.mark.slow
def test_a_display_that_does_not_open(tmp_path):
    with new_screen(tmp_path) as screen:
        screen.env["DISPLAY"] = ":4999"
        program = screen.start("-m", "experiments", "play", folder=tmp_path)
        assert program.end() == 2
        assert "--gif FILE" in program.lines()[-1]
        assert os.listdir(tmp_path).count("run") == 0
