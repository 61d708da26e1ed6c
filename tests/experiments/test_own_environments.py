"""The command line with environments, parameters and hyper-parameters of people who did not write this project."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import agents
from envs.optimum import optimal_returns
from envs.physics import NUMBERS
from experiments import export, train, watch
from experiments.common import training
from experiments.common.environments import PendulumFlags
from experiments.common.recording import Frames

MODULE = """
import gymnasium as gym
import numpy as np


class Reach(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Box(-9, 9, (4,), np.float32)
    action_space = gym.spaces.Box(np.array([-1, -2]), np.array([1, 3]), (2,), np.float32)

    def __init__(self, size=1, render_mode=None):
        self.size, self.render_mode = size, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.goal, self.t = np.zeros(2), self.size * self.np_random.uniform(-1, 1, 2), 0
        return np.concatenate([self.place, self.goal]).astype(np.float32), {}

    def step(self, action):
        self.place, self.t = np.clip(self.place + 0.1 * action, -9, 9), self.t + 1
        obs = np.concatenate([self.place, self.goal]).astype(np.float32)
        return obs, -float(np.linalg.norm(self.place - self.goal)), self.t == 20, False, {}

    def render(self):
        return np.full((40 + self.t, 60, 3), 5 * self.t, np.uint8)


class Blind(Reach):
    metadata = {}

    def __init__(self):
        super().__init__()


class Broken(Reach):
    def step(self, action):
        return unknown_name


for kind in (Reach, Blind, Broken):
    gym.register(id=f"{kind.__name__}-v0", entry_point=kind)
"""
SMALL = ["--seeds", "2", "--steps", "60", "--eval-episodes", "2"]


@pytest.fixture(autouse=True)
def _stranger(monkeypatch, tmp_path):
    """An empty folder with a module in it, and a Python that forgets the module afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.setattr(train, "EVALUATIONS", 2)
    monkeypatch.setattr(training, "STARTS", 2)
    Path("my_env.py").write_text(MODULE)
    before = set(gym.registry)
    yield
    sys.modules.pop("my_env", None)
    for name in set(gym.registry) - before:
        del gym.registry[name]


def result(folder):
    return json.loads((Path(folder) / "result.json").read_text())


def refused(main, command, capsys, *words):
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for word in words:
        assert word in error
    return error


def test_an_environment_of_the_current_folder_from_training_to_export(tmp_path, capsys):
    flags = ["--env", "my_env:Reach-v0", "--env-kwargs", "size=2", "--hidden", "16", "--set", "learning_starts=20"]
    assert train.main([*SMALL, *flags, "--set", "learning_rate=1e-3,2e-3", "--out", "run"]) == 0
    assert sys.path[-1] == str(tmp_path)
    numbers = result("run")
    assert numbers["env_kwargs"] == {"size": 2}
    assert numbers["widths"] == {"hidden": [16]}
    assert numbers["hyperparameters"]["learning_rate"] == [1e-3, 2e-3]
    assert (numbers["optimum"], numbers["regret"]) == (None, None)
    assert train.main(["--resume", "run", *SMALL, "--out", "more"]) == 0
    assert (result("more")["steps"], result("more")["env_kwargs"]) == (120, {"size": 2})
    assert watch.main(["more", "--gif", "more.gif"]) == 0
    picture = Image.open("more.gif")
    assert (picture.size, picture.n_frames) == ((60, 41), 20)  # the frames grow, and render_fps is not given
    assert picture.info["duration"] == 30  # a thirtieth of a second, in hundredths
    assert export.main(["more", "--episodes", "2", "--skip-onnx"]) == 0
    assert "balancier watch more/export/replica.safetensors --env my_env:Reach-v0" in capsys.readouterr().out


def forget(name):
    """As if a module had never been imported."""
    sys.modules.pop(name, None)
    for spec in list(gym.registry.values()):
        if getattr(spec.entry_point, "__module__", "") == name:
            del gym.registry[spec.id]


COMMANDS = {
    "watch": (watch.main, ["run", "--gif", "a.gif"], "run"),
    "export": (export.main, ["run", "--episodes", "2", "--skip-onnx"], "run"),
    "train": (train.main, ["--resume", "run", *SMALL, "--out", "more"], "--resume"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_loads_an_agent_imports_a_module_only_if_it_is_named(command, capsys):
    main, flags, name = COMMANDS[command]
    assert train.main([*SMALL, "--env", "my_env:Reach-v0", "--agent", "ppo", "--out", "run"]) == 0
    assert "balancier watch run --env my_env:Reach-v0" in capsys.readouterr().out
    forget("my_env")
    before = set(Path().rglob("*")) - {Path("a.gif")}
    found = "found the environment my_env:Reach-v0, which nothing has registered yet"
    ask = "expected `import my_env` first, or env='my_env:Reach-v0' (on the command line --env my_env:Reach-v0)"
    refused(main, flags, capsys, f"{name}: run/agent.safetensors: {found}", ask)
    other = refused(main, [*flags, "--env", "my_env:Blind-v0"], capsys, "--env: found my_env:Blind-v0")
    assert "expected my_env:Reach-v0, as in the run" in other
    assert "my_env" not in sys.modules
    refused(main, [*flags, "--env", "my_envs:Reach-v0"], capsys, "--env: found no module my_envs (looked in ")
    assert set(Path().rglob("*")) == before
    assert main([*flags, "--env", "my_env:Reach-v0"]) == 0
    if command == "export":
        forget("my_env")
        refused(main, ["run/export/replica.safetensors"], capsys, "expected `import my_env` first")


def test_the_file_of_a_policy_alone_is_watched_and_exported_but_not_resumed(capsys):
    assert train.main([*SMALL, "--env", "my_env:Reach-v0", "--agent", "ppo", "--out", "run"]) == 0
    agents.load("run/agent.safetensors").save("policy", policy_only=True)
    assert watch.main(["policy", "--gif", "a.gif"]) == 0
    assert export.main(["policy", "--episodes", "2", "--skip-onnx", "--out", "out"]) == 0
    assert agents.load("out/replica.safetensors").policy_only
    capsys.readouterr()
    refused(train.main, ["--resume", "policy"], capsys, "--resume: found a policy alone in policy, expected the ch")


@pytest.mark.slow
def test_the_console_script_and_its_processes_find_the_module(tmp_path):
    """The script does not look into the current folder, nor do the processes that it starts."""
    start = "import sys; sys.path.pop(0); from balancier import main; sys.exit(main())"
    flags = ["--env", "my_env:Reach-v0", "--steps", "40", "--seeds", "2", "--eval-episodes", "2", "--out", "run"]
    command = ["compare", "--agents", "sac", "--baseline-seeds", "1", "--jobs", "2", *flags]
    paths = {"PYTHONPATH": str(Path(train.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", start, *command], env=os.environ | paths, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [row["library"] for row in result("run")["rows"]] == ["balancier", "sb3"]


@pytest.mark.parametrize(("env", "words"), [
    ("my_envs:Reach-v0", "--env: found no module my_envs (looked in "),
    ("my_env:Reach-v1", "--env: found my_env:Reach-v1, expected one of Reach-v0, "),
    ("my_env.py:Reach-v0", "--env: found module 'my_env.py', expected my_env:Id"),
    ("CartPol-v1", "Did you mean: `CartPole`?"),
    ("fails:X-v0", "--env: found module fails, which fails to be imported (ZeroDivisionError: division by zero, "),
    ("silent:X-v0", "expected a module that registers it ("),
    ("my_env:Broken-v0", "cannot make a step (NameError: name 'unknown_name' is not defined, "),
])  # fmt: skip
def test_an_environment_that_is_not_there_or_fails(env, words, capsys):
    Path("fails.py").write_text("1 / 0")
    Path("silent.py").write_text("")
    before = set(Path().iterdir())
    refused(train.main, ["--env", env], capsys, words)
    assert set(Path().iterdir()) - before <= {Path("__pycache__")}


def test_a_module_with_one_of_our_names_is_in_the_way(capsys):
    Path("models").mkdir()  # a folder of checkpoints is no module
    refused(train.main, ["--env", "my_env:Broken-v0"], capsys, "unknown_name")
    Path("models.py").write_text("")
    refused(train.main, ["--env", "my_env:Reach-v0"], capsys, "models.py for the package 'models' (a file of your own)")


def test_what_cannot_be_drawn_is_refused(capsys):
    assert train.main([*SMALL, "--env", "my_env:Blind-v0", "--out", "run"]) == 0
    capsys.readouterr()
    refused(watch.main, ["run", "--gif", "a.gif"], capsys, "draws no frames (render_modes: none), expected")
    refused(watch.main, ["run"], capsys, "expected an environment with rgb_array or human")
    agents.PPO(lambda: gym.make("CartPole-v1"), seeds=1, num_steps=8).save("function")
    for main in (watch.main, export.main):
        refused(main, ["function"], capsys, "run: found an agent whose environment came from a function, expected")


def test_frames_that_are_none():
    class Odd(gym.Env):
        def render(self):
            return self.frame

    env = Odd()
    frames = Frames(env)
    env.frame = np.zeros((4, 6, 1), np.uint8)
    assert frames.render().shape == (4, 6, 3)
    env.frame = np.full((8, 8), 255, np.uint8)
    assert frames.render().shape == (4, 6, 3)
    for frame, words in ((None, "NoneType"), (np.zeros((4, 6, 3)), "float64"), ([], "float64")):
        env.frame = frame
        with pytest.raises(ValueError, match=rf"found a frame that is .*{words}, expected \(height, width, 3\)"):
            frames.render()


@pytest.mark.parametrize(("flags", "words"), [
    (["--set", "gama=0.9"], "--set: found gama, expected gamma\n"),
    (["--set", "gamma=2"], "--set: gamma: found 2, expected a number from 0 to 1"),
    (["--set", "gamma"], "--set: found 'gamma', expected name=value"),
    (["--set", "gamma=0.9", "--set", "gamma=0.8"], "--set: found gamma twice"),
    (["--set", "batch_size=3.5"], "--set: batch_size: found 3.5, expected a whole number of at least 1"),
    (["--set", "batch_size=3,5"], "--set: batch_size: found [3, 5], expected a whole number of at least 1"),
    (["--set", "learning_rate=1,2,3", "--seeds", "2"], "found 3 numbers, expected one, or 2 (one a seed)"),
    (["--set", "clip_range=0.1"], "--set: found clip_range for sac, expected it with ppo"),
    (["--hidden", "0"], "--hidden: found 0, expected at least 1"),
    (["--hidden"], "--hidden: found nothing"),
    (["--hidden-size", "8"], "--hidden-size: found it with --network mlp, expected elman or gru or lstm"),
    (["--length", "x"], "--length: found x, expected numbers"),
    (["--length", "2", "1"], "--length: found the range [2.0, 1.0], expected its lower end first"),
    (["--length", "1", "2", "3"], "--length: found 1 2 3, expected a number, or a range: low high"),
    (["--mass", "0"], "--mass: found 0.0, expected a number above 0"),
    (["--integrator", "rk5"], "--integrator: found rk5, expected euler or rk4"),
    (["--num-torques", "1"], "--num-torques: found 1, expected at least 2"),
    (["--length", "2", "--env", "CartPole-v1"], "--length: found 2.0 for CartPole-v1, expected it with a pendulum"),
    (["--length", "2", "--env-kwargs", "length=1"], "--env-kwargs: found length, which --length gives already"),
    (["--env-kwargs", "render_mode=human"], "--env-kwargs: found render_mode"),
    (["--env-kwargs", "max_episode_steps=-1"], "max_episode_steps: found -1, expected a whole number of at least 1"),
    (["--env-kwargs", "lenght=1"], "lenght"),
    (["--seeds"], "--seeds: found nothing, expected a value"),
    (["--nonsense", "3"], "found --nonsense 3, expected the flags that --help lists"),
])  # fmt: skip
def test_nonsense_is_one_line_and_leaves_nothing(flags, words, capsys):
    refused(train.main, flags, capsys, words)
    assert {path.name for path in Path().iterdir()} == {"my_env.py"}


def test_the_optimum_is_that_of_the_parameters(monkeypatch):
    monkeypatch.setattr("envs.optimum.GRIDS", ((40, 31),))
    monkeypatch.setenv("BALANCIER_CACHE", "cache")
    small = ["--agent", "ppo", "--seeds", "1", "--steps", "8", "--eval-episodes", "3"]
    flags = ["--length", "0.7", "--damping", "0.1", "--env-kwargs", "max_episode_steps=30"]
    assert train.main([*small, *flags, "--out", "run"]) == 0
    keywords = {"length": 0.7, "damping": 0.1, "max_episode_steps": 30}
    starts = range(10_000, 10_003)
    expected = optimal_returns("balancier/Pendulum-v0", starts, **keywords).mean()
    others = [optimal_returns("balancier/Pendulum-v0", starts, **keywords | other).mean()
              for other in ({"length": 1.0}, {"damping": 0.0}, {"max_episode_steps": 200})]  # fmt: skip
    assert result("run")["env_kwargs"] == keywords
    assert result("run")["optimum"] == pytest.approx(expected, abs=1e-3)
    assert min(abs(expected - other) for other in others) > 0.01
    assert train.main(["--resume", "run", *small, "--out", "more"]) == 0
    assert result("more")["optimum"] == result("run")["optimum"]
    assert train.main([*small, "--length", "0.5", "2", "--out", "range"]) == 0
    assert (result("range")["optimum"], result("range")["regret"]) == (None, None)


def test_the_optimum_asks_the_environment_and_not_its_name(monkeypatch):
    monkeypatch.setattr("envs.optimum.GRIDS", ((40, 31),))
    monkeypatch.setenv("BALANCIER_CACHE", "cache")
    ours = "envs.pendulum:PendulumEnv"
    gym.register(id="Short-v0", entry_point=ours, max_episode_steps=50, kwargs={"length": 0.7})
    gym.register(id="Endless-v0", entry_point=ours)
    expected = optimal_returns("balancier/Pendulum-v0", [3], length=0.7, max_episode_steps=50)
    np.testing.assert_array_equal(optimal_returns("Short-v0", [3]), expected)
    assert optimal_returns("Endless-v0", [3]) is None
    lighter = optimal_returns("balancier/Pendulum-v0", [3], gravity=5.0)
    np.testing.assert_array_equal(optimal_returns("Pendulum-v1", [3], g=5.0), lighter)
    monkeypatch.setitem(gym.registry, "Pendulum-v1", gym.spec("CartPole-v1"))
    assert optimal_returns("Pendulum-v1", [3]) is None


def test_every_parameter_of_the_pendulum_has_a_flag():
    assert set(PendulumFlags.__dataclass_fields__) == {*NUMBERS, "inertia", "integrator", "num_torques"}


def test_resuming_applies_what_may_change_and_refuses_the_rest(capsys, monkeypatch):
    monkeypatch.setattr("envs.optimum.GRIDS", ((40, 31),))
    monkeypatch.setenv("BALANCIER_CACHE", "cache")
    run = ["--agent", "ppo", "--length", "0.7", *SMALL]
    assert train.main([*run, "--out", "run"]) == 0
    capsys.readouterr()
    for flags, words in (
        (["--agent", "sac"], "--agent: found sac with --resume, expected ppo, as in the run"),
        (["--seeds", "3"], "--seeds: found 3 with --resume, expected 2"),
        (["--seed", "1"], "--seed: found 1 with --resume, expected 0"),
        (["--env", "CartPole-v1"], "--env: found CartPole-v1 with --resume, expected balancier/Pendulum-v0"),
        (["--network", "gru"], "--network: found gru with --resume, expected mlp"),
        (["--hidden", "8"], "--hidden: found 8 with --resume, expected 64 64"),
        (["--length", "1"], "--length: found 1.0 with --resume, expected 0.7"),
        (["--observation", "angle"], "--observation: found angle with --resume, expected state"),
        (["--env-kwargs", "max_episode_steps=5"], "--env-kwargs: max_episode_steps: found 5 with --resume"),
        (["--set", "gamma=0.5"], "--set: gamma: found 0.5 with --resume, expected 0.97, as in the run, or any of "),
    ):
        refused(train.main, ["--resume", "run", *flags], capsys, words)
    assert train.main(["--resume", "run", *run, "--out", "same"]) == 0
    changes = ["--set", "learning_rate=0.01", "anneal_steps=none", "entropy_weight=0.1,0.2"]
    assert train.main(["--resume", "run", *run, *changes, "--out", "changed"]) == 0
    assert result("changed")["hyperparameters"]["learning_rate"] == 0.01
    before, changed = agents.load("run/agent.safetensors"), agents.load("changed/agent.safetensors")
    assert changed.config.entropy_weight == [0.1, 0.2]
    faster = train.with_hyperparameters(before, {"learning_rate": 0.5, "anneal_steps": None})
    np.testing.assert_allclose(faster.optimizer.learning_rate, 0.5)
    same = train.with_hyperparameters(before, {"batch_size": before.config.batch_size}).learn(1200)
    before.learn(1200)
    for name, array in before.get_state().items():
        np.testing.assert_array_equal(same.get_state()[name], array)
