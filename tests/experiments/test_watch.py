"""Watching: who acts, on which start, and where it is drawn."""

import importlib.util
import itertools
import os
import re

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import agents
import envs  # noqa: F401  registers the pendulum
from agents.evaluation import VALIDATION_SEED, evaluate
from envs.optimum import optimum
from experiments import watch
from experiments.common import players
from experiments.common.hyperparams import tuned
from experiments.common.stage import HANGING, Stage
from tests.screens import bob, needs_screen, new_screen, wait_for

PENDULUM = "balancier/Pendulum-v0"
# A choice and a place in one action.
HYBRID = """
import gymnasium as gym, numpy as np
class Hybrid(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}
    observation_space = gym.spaces.Box(-9, 9, (1,))
    action_space = gym.spaces.Tuple((gym.spaces.Discrete(2), gym.spaces.Box(-1, 1, (2,))))
    def __init__(self, render_mode=None):
        self.render_mode = render_mode
    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}
    def step(self, action):
        kind, place = action
        self.t += 1
        return np.zeros(1, np.float32), float(kind + place.sum()), self.t == 5, False, {}
    def render(self):
        return np.full((40, 60, 3), 5 * self.t, np.uint8)
gym.register("Hybrid-v0", Hybrid)
def act(obs):
    return 1, np.ones(2)
"""


def new_agent(seeds=(3, 11)):
    return agents.PPO(PENDULUM, seeds=list(seeds), **tuned("ppo", PENDULUM))


def notes_of(*returns):
    """What `balancier train` notes beside an agent, with the returns of one evaluation."""
    return {"evaluation": {"curve": [[0.0] * len(returns), list(returns)]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose seed 11 is the better one, with its policies at the four shares of the training."""
    folder = tmp_path_factory.mktemp("run")
    agent = new_agent()
    agent.save(folder / "agent.safetensors", notes=notes_of(-900.0, -300.0))
    for share in (0, 10, 30, 100):
        agent.save(folder / f"policy-{share:03d}.safetensors", policy_only=True)
    return folder


def printed_returns(out):
    return [float(number) for number in re.findall(r"-?\d+\.\d", out[out.index("episode 0") :].replace("\n", " "))]


def test_a_gif_of_an_episode(run, tmp_path, capsys):
    gif = tmp_path / "swing.gif"
    assert watch.main([str(run), "--gif", str(gif), "--size", "100"]) == 0
    picture = Image.open(gif)
    assert picture.size == (100, 100)
    assert picture.n_frames == 200
    assert picture.info["duration"] == 50  # real time
    assert [path.name for path in tmp_path.iterdir()] == ["swing.gif"]
    out = capsys.readouterr().out
    assert out.startswith("seed 11 acts, the best of 2 by its validation return, -300\nepisode 0: return -")
    assert "200 frames" in out


def test_a_video_has_sixty_frames_in_a_second(run, tmp_path, capsys):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    assert watch.main([str(run), "--video", str(tmp_path / "a.mp4"), "--size", "64"]) == 0
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    assert next(reader)["fps"] == 60
    assert sum(1 for _ in reader) == 600
    assert "600 frames" in capsys.readouterr().out


@pytest.mark.parametrize("flags", [
    {"network": "gru", "env_kwargs": {"observation": "angle"}},
    {"network": "cnn", "env_kwargs": {"observation": "pixels"}},
])  # fmt: skip
def test_an_agent_with_another_observation(flags, tmp_path):
    keywords = tuned("ppo", PENDULUM, flags["network"]) | {"env_kwargs": flags["env_kwargs"]}
    agents.PPO(PENDULUM, seeds=1, **keywords).save(tmp_path / "agent.safetensors")
    gif = tmp_path / "swing.gif"
    assert watch.main([str(tmp_path), "--gif", str(gif), "--size", "60"]) == 0
    assert Image.open(gif).size == (60, 60)


def test_an_episode_has_the_return_of_an_evaluation(run):
    agent = agents.load(run / "agent.safetensors")
    stage = Stage(players.replicas(agent, "", [0, 1]))
    for _ in stage.episode(VALIDATION_SEED + 7, "random"):
        pass
    returns = evaluate(agent, PENDULUM, [VALIDATION_SEED + 7])[:, 0]
    assert [act.total for act in stage.acts] == pytest.approx(returns, rel=1e-5)


def test_all_hang_at_the_same_start(run, tmp_path, capsys):
    gif = tmp_path / "a.gif"
    assert watch.main([str(run), "optimum", "energy", "--all", "--gif", str(gif), "--size", "300"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("seed 3 ", "seed 11 ", "optimum ", "energy controller "))
    returns = printed_returns(out)
    best = optimum().value(*HANGING).item()
    assert returns[2] == pytest.approx(best, abs=0.1)
    assert returns[3] == pytest.approx(-371.9, abs=0.1)  # the energy controller needs one swing more
    assert max(returns) == returns[2]
    assert Image.open(gif).size == (300, 300)


def test_before_and_after_a_training(run, tmp_path, capsys):
    assert watch.main([str(run), "--before-after", "--gif", str(tmp_path / "a.gif"), "--size", "100"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    labels = ("before training", "after 10 % (0 steps)", "after 30 % (0 steps)", "after 100 % (0 steps)")
    assert all(label in out for label in labels)
    (run / "other").mkdir(exist_ok=True)
    new_agent([3]).save(run / "other" / "agent.safetensors")
    assert watch.main([str(run / "other"), "--before-after", "--gif", str(tmp_path / "b.gif")]) == 2
    assert "--before-after: found 0 in" in capsys.readouterr().err


def test_without_a_name_the_newest_run_acts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert watch.main(["--gif", "a.gif"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "run: found no trained agent in" in error
    for age, name in enumerate(("train/new", "train/old", "mine/older")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        path = tmp_path / "runs" / name / "agent.safetensors"
        new_agent([age]).save(path)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert watch.main(["--gif", "a.gif", "--size", "64"]) == 0
    assert players.newest_run().name == "new"
    new_agent([5, 6]).save(tmp_path / "agent.safetensors", notes=notes_of(-1.0, -2.0))
    assert watch.main(["--gif", "a.gif", "--size", "64"]) == 0  # the folder itself is a run
    assert "seed 5 acts" in capsys.readouterr().out


def test_the_best_seed_is_that_of_the_validation_starts(tmp_path):
    agent = new_agent()
    path = tmp_path / "agent.safetensors"
    agent.save(path, notes=notes_of(-5.0, float("nan")))
    assert players.best_of(players.validation_returns(agent, path)) == 0
    agent.save(path)
    expected = evaluate(agent, PENDULUM, range(VALIDATION_SEED, VALIDATION_SEED + 20)).mean(1)
    np.testing.assert_allclose(players.validation_returns(agent, path), expected)


@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1"])
def test_a_model_of_sb3_beside_ours(env, tmp_path, capsys):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    model = stable_baselines3.PPO("MlpPolicy", env, seed=0)
    model.save(tmp_path / "theirs.zip")
    agents.PPO(env, seeds=1).save(tmp_path / "ours.safetensors")
    flags = [str(tmp_path / "ours.safetensors"), str(tmp_path / "theirs.zip"), "--start", "random"]
    gif = tmp_path / "a.gif"
    assert watch.main([*flags, "--gif", str(gif), "--size", "200"]) == 0
    out = capsys.readouterr().out
    assert "SB3 PPO theirs" in " ".join(out.split())
    single, total, done = gym.make(env), 0.0, False
    obs, _ = single.reset(seed=VALIDATION_SEED)
    while not done:
        obs, reward, terminated, truncated, _ = single.step(model.predict(obs, deterministic=True)[0])
        total, done = total + float(reward), terminated or truncated
    assert printed_returns(out)[1] == pytest.approx(total, abs=0.06)
    assert Image.open(gif).size[0] == 200


def test_a_function_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def act(obs):\n    return [2.0 * obs[1]]\n\nnumber = 3\n")
    assert watch.main(["mine:act", "energy", "--gif", "a.gif", "--size", "100"]) == 0
    assert "act -" in capsys.readouterr().out
    assert watch.main(["mine:number", "--gif", "a.gif"]) == 2
    assert "run: found mine:number, expected module:function" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["forecast_gru", "forecast_mlp"])
def test_a_forecast_is_drawn_as_ghosts_ahead_of_the_rod(name):
    stage = Stage(watch.players(watch.Watch(run=(name,))))
    scenes = [scenes[0] for scenes in itertools.islice(stage.episode(1, "random"), 90)]
    assert len(scenes[5].ghosts) == 0
    assert len(scenes[30].ghosts) == 3
    for index, ahead in enumerate((5, 10, 20)):
        pairs = zip(scenes[50:], scenes[50 + ahead :], strict=False)
        errors = [abs(np.exp(1j * now.ghosts[index].angle) - np.exp(1j * then.angle)) for now, then in pairs]
        assert np.mean(errors) < 0.1  # later the rod is where its ghost was


def test_environments_of_others_are_shown_side_by_side(tmp_path, capsys):
    agents.DQN("CartPole-v1", seeds=2).save(tmp_path / "agent.safetensors")
    gif = tmp_path / "a.gif"
    assert watch.main([str(tmp_path), "--all", "--gif", str(gif), "--size", "300"]) == 0
    assert Image.open(gif).size == (300, 100)  # two pictures of 600 x 400
    assert watch.main([str(tmp_path), "--start", "hanging", "--gif", str(gif)]) == 2
    assert "--start: found hanging for CartPole-v1, expected it with a pendulum" in capsys.readouterr().err
    assert watch.main([str(tmp_path), "optimum", "--gif", str(gif)]) == 2
    assert "run: found optimum in CartPole-v1, expected it with a pendulum alone" in capsys.readouterr().err


def test_an_environment_whose_table_is_a_dictionary(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    agents.DQN("FrozenLake-v1", seeds=1).save("agent.safetensors")
    assert watch.main(["agent.safetensors", "--gif", "a.gif", "--size", "100"]) == 0
    assert "episode 0: return " in capsys.readouterr().out
    assert Image.open("a.gif").size[0] == 100
    walk = "import numpy as np\n\ndef act(obs):\n    return np.array({36: 0, 35: 2}.get(int(obs), 1))\n"
    (tmp_path / "cliff.py").write_text(walk)  # up, along the cliff, and down
    assert watch.main(["cliff:act", "--env", "CliffWalking-v1", "--gif", "b.gif", "--size", "100"]) == 0
    assert "episode 0: return -13.0" in capsys.readouterr().out


def test_an_action_of_several_parts_stays_a_tuple(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hybrid.py").write_text(HYBRID)
    assert watch.main(["hybrid:act", "--env", "hybrid:Hybrid-v0", "--gif", "a.gif"]) == 0
    assert "episode 0: return 15.0" in capsys.readouterr().out


@pytest.mark.parametrize(("flags", "words"), [
    (["--replica", "2"], "--replica: found 2, expected 0 to 1"),
    (["--episodes", "0"], "--episodes: found 0, expected at least 1"),
    (["--size", "0"], "--size: found 0, expected at least 1"),
    (["--gif", "nowhere/swing.gif"], "--gif: found no folder"),
    (["--gif", "swing.mp4"], "--gif: found swing.mp4, expected a name that ends in .gif"),
    (["--video", "swing.gif"], "--video: found swing.gif, expected a name that ends in .mp4"),
    (["--all", "--replica", "0"], "--all: found --replica with it, expected one of the two"),
])  # fmt: skip
def test_bad_flags_are_refused_in_one_line(flags, words, run, capsys):
    assert watch.main([str(run), *flags]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error


def test_no_checkpoint_or_a_broken_one(tmp_path, capsys):
    assert watch.main([str(tmp_path / "nowhere")]) == 2
    assert "run: found no checkpoint at" in capsys.readouterr().err
    (tmp_path / "agent.safetensors").write_bytes(b"nothing")
    assert watch.main([str(tmp_path)]) == 2
    assert "is no checkpoint" in capsys.readouterr().err.replace("that are", "is")


def test_without_a_display_one_line_names_the_way_out(run, monkeypatch, capsys):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert watch.main([str(run)]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert "--gif FILE" in error


@pytest.mark.parametrize("installed", [True, False])
def test_a_notebook_shows_an_animation_that_needs_nothing_else(installed, monkeypatch):
    if not installed:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    else:
        pytest.importorskip("imageio_ffmpeg")
    shown = watch.show(new_agent()[1], "energy", start="hanging", size=96)
    page = shown._repr_html_()
    assert page.startswith("<video controls autoplay loop" if installed else "<img src=")
    assert f"data:{'video/mp4' if installed else 'image/gif'};base64," in page
    assert "http" not in page
    assert shown.returns[1] == pytest.approx(-371.9, abs=0.1)
    for model, words in ((3, "found a int, expected an agent"), (None, "found a NoneType")):
        with pytest.raises(ValueError, match=words):
            watch.show(model)
    with pytest.raises(ValueError, match="^start: found 'left', expected hanging, upright or random$"):
        watch.show("energy", start="left")


@needs_screen
@pytest.mark.slow
def test_a_window_obeys_keys_and_closes(run, tmp_path):
    with new_screen(tmp_path) as screen:
        program = screen.start("-m", "experiments", "watch", str(run), "energy", "--episodes", "9", folder=tmp_path)
        window = program.window()
        assert screen.geometry(window)[2:] == (1280, 640)
        left = screen.pixels(window)[:, :640]
        assert bob(left)[2] > 300  # pixels of the bob, which hangs at first
        screen.do("key", "v")
        wait_for(lambda: bob(screen.pixels(window)[:, 640:])[1] > 100, "the energy controller's bob at the top")
        screen.do("key", "h")
        wait_for(lambda: bob(screen.pixels(window)[:, 640:])[1] < -50, "it hangs again")
        screen.do("key", "v")
        gif = wait_for(lambda: next(tmp_path.glob("balancier-*.gif"), None), "a recording")
        assert Image.open(gif).n_frames > 20
        screen.ask_to_close(window)
        assert program.end() == 0


def test_a_pendulum_of_gymnasium_that_was_registered_anew_keeps_its_numbers():
    wrapper = gym.wrappers.TransformReward.wrapper_spec(func=abs)
    gym.register("Heavy-v0", "gymnasium.envs.classic_control.pendulum:PendulumEnv", kwargs={"g": 20.0})
    gym.register("Wrapped-v0", "gymnasium.envs.classic_control.pendulum:PendulumEnv", additional_wrappers=(wrapper,))
    try:
        assert players.our_pendulum("Pendulum-v1", {}) == (PENDULUM, {"gravity": 10.0, "max_episode_steps": 200})
        assert players.our_pendulum("Heavy-v0", {}) == (PENDULUM, {"gravity": 20.0, "max_episode_steps": -1})
        assert players.our_pendulum("Heavy-v0", {"g": 9.0, "max_episode_steps": 50})[1]["gravity"] == 9.0
        assert players.our_pendulum("Wrapped-v0", {}) == ("Wrapped-v0", {})
    finally:
        del gym.registry["Heavy-v0"], gym.registry["Wrapped-v0"]
