import gymnasium as gym
import pytest
from PIL import Image

import agents
import envs  # noqa: F401  registers the pendulum
from agents.evaluation import VALIDATION_SEED, evaluate
from experiments import watch
from experiments.common.hyperparams import tuned

PENDULUM = "balancier/Pendulum-v0"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    agents.PPO(PENDULUM, seeds=[3, 11], **tuned("ppo", PENDULUM)).save(folder / "agent.safetensors")
    return folder


def test_a_gif_of_an_episode(run, tmp_path, capsys):
    gif = tmp_path / "swing.gif"
    assert watch.main([str(run), "--gif", str(gif), "--size", "100"]) == 0
    picture = Image.open(gif)
    assert picture.size == (100, 100)
    assert picture.n_frames > 100
    assert [path.name for path in tmp_path.iterdir()] == ["swing.gif"]
    out = capsys.readouterr().out
    assert out.startswith("episode 0: return -")
    assert "200 frames" in out


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
    env = gym.make(PENDULUM)
    total = sum(reward for reward, _ in watch.play(agent[1], env, VALIDATION_SEED + 7))
    assert total == pytest.approx(evaluate(agent, PENDULUM, [VALIDATION_SEED + 7])[1, 0], rel=1e-5)


@pytest.mark.parametrize(("flags", "words"), [
    (["--replica", "2"], "--replica: found 2, expected 0 to 1"),
    (["--episodes", "0"], "--episodes: found 0, expected at least 1"),
    (["--size", "0"], "--size: found 0, expected at least 1"),
    (["--gif", "nowhere/swing.gif"], "--gif: found no folder"),
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


@pytest.mark.parametrize(("display", "window"), [("", "HumanRendering"), (":0", "OrderEnforcing")])
def test_without_a_screen_frames_are_drawn_for_the_window(display, window, monkeypatch):
    """Windows that an environment opens by other means than pygame would end the process."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    env = watch.drawn_env("CartPole-v1", {}, window=True)
    kinds = [type(env).__name__]
    while isinstance(env, gym.Wrapper):
        env = env.env
        kinds.append(type(env).__name__)
    assert ("HumanRendering" in kinds) == (window == "HumanRendering")
    assert window in kinds
