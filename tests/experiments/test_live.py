"""A training that is watched: what it learns, and what its window shows."""

import csv
import json

import numpy as np
import pytest
import torch

import agents
from experiments import train
from experiments.common import live
from experiments.common.flags import UsageError
from tests.screens import bob, needs_screen, new_screen, wait_for

PENDULUM = "balancier/Pendulum-v0"


def test_a_policy_is_read_whole_or_not_at_all(tmp_path):
    weights = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.float64), "n": torch.zeros(1, dtype=torch.int64)}
    copies = {name: tensor.clone() for name, tensor in weights.items()}
    writer, reader = live.Newest(tmp_path / "newest", weights, 2), live.Newest(tmp_path / "newest", copies, 2)
    assert reader.read(0) == 0  # nothing was written yet
    for value, name in enumerate(weights, start=1):
        weights[name] += value
    writer.write(70, np.array([-1.0, np.nan]))
    assert reader.read(0) == 2
    assert all(copies[name].equal(weights[name]) for name in weights)
    assert reader.steps == 70
    np.testing.assert_array_equal(reader.newest_returns, [-1.0, np.nan])
    writer.numbers[0] += 1  # in the middle of a write
    assert reader.read(0) == 0
    weights["a"].fill_(float("inf"))  # of a seed that diverges
    writer.numbers[0] += 1
    writer.write(80, np.zeros(2))
    reader.read(2)
    assert copies["a"].eq(1).all()


class FakeWindow:
    """A window's process that a person closes after a while."""

    def __init__(self, folder, env):
        self.looks, self.returncode = 0, None

    def poll(self):
        self.looks += 1
        self.returncode = 0 if self.looks > 5 else None
        return self.returncode


EVERY_AGENT = [name if name == "ppo" else pytest.param(name, marks=pytest.mark.slow) for name in agents.AGENTS]


@pytest.mark.parametrize("agent", EVERY_AGENT)
def test_what_is_learned_is_the_same_bit_for_bit(agent, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(live, "EVERY", 0.0)
    monkeypatch.setattr(live, "SHARE", float("inf"))  # a policy after every step
    monkeypatch.setattr(live, "check_display", lambda: None)
    monkeypatch.setattr(live, "start_window", FakeWindow)
    flags = ["--agent", agent, "--seeds", "2", "--steps", "150", "--eval-episodes", "2"]
    for name, others in (("plain", []), ("live", ["--live"])):
        assert train.main([*flags, "--out", str(tmp_path / name), *others]) == 0
    assert "the window was closed; the training goes on" in capsys.readouterr().out
    states = [agents.load(tmp_path / name / "agent.safetensors").get_state() for name in ("plain", "live")]
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)
    plain, watched = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("plain", "live"))
    assert plain["returns"] == watched["returns"]


@pytest.mark.parametrize(("flags", "words"), [
    ([], "--live: found no display (DISPLAY is not set), expected one (without --live the training is the same, and "),
    (["--env", "balancier/Curve-v0"], "--live: found balancier/Curve-v0, which draws no frames (render_modes: none)"),
])  # fmt: skip
def test_what_cannot_be_shown_is_refused_before_the_training(flags, words, tmp_path, monkeypatch, capsys):
    if not flags:
        monkeypatch.setattr("sys.platform", "linux")
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)
    assert train.main([*flags, "--live", "--seeds", "2", "--steps", "300", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert not (tmp_path / "run").exists()


def test_numbers_are_written_while_the_training_goes_on(tmp_path, monkeypatch):
    """`metrics.csv` and the files of TensorBoard grow with every evaluation."""
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    counts, after_evaluation = [], train.Board.log

    def log(self, step, metric, values):
        after_evaluation(self, step, metric, values)
        counts.append((tmp_path / "run" / "metrics.csv").read_text().count("\n"))

    monkeypatch.setattr(train.Board, "log", log)
    flags = ["--agent", "ppo", "--seeds", "2", "--seed", "5", "--steps", "1600", "--eval-episodes", "2"]
    assert train.main([*flags, "--tensorboard", "--out", str(tmp_path / "run")]) == 0
    assert len(set(counts)) > 20
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "evaluation"]
    found = {}
    for name in ("seed-5", "seed-6", "iqm"):
        accumulator = loading.EventAccumulator(str(tmp_path / "run" / "tensorboard" / name))
        accumulator.Reload()
        found[name] = [(event.step, event.value) for event in accumulator.Scalars("evaluation")]
    for seed in ("5", "6"):
        expected = [(int(row["step"]), float(row["value"])) for row in rows if row["seed"] == seed]
        np.testing.assert_allclose(found[f"seed-{seed}"], expected, rtol=1e-5)
    means = [(step, (a + b) / 2) for (step, a), (_, b) in zip(found["seed-5"], found["seed-6"], strict=True)]
    np.testing.assert_allclose(found["iqm"], means, rtol=1e-5)


def test_without_tensorboard_one_line_says_so_before_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    assert train.main(["--tensorboard", "--steps", "300", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--tensorboard: found no package tensorboard, expected it installed (python -m pip install" in error
    assert not (tmp_path / "run").exists()


def test_environments_of_others_are_shown_if_they_draw():
    live.check_live(agents.DQN("CartPole-v1", seeds=2))
    with pytest.raises(UsageError, match="^--live: found balancier/Recall-v0, which draws no frames"):
        live.check_live(agents.PPO("balancier/Recall-v0", seeds=1))


TRAINING = """
import sys, time
from experiments import train
from experiments.common import live

spent, write = [0.0], live.Broadcast.__call__

def timed(self, agent):
    began = time.process_time()
    write(self, agent)
    spent[0] += time.process_time() - began

live.Broadcast.__call__ = timed
began = time.process_time()
status = train.main(sys.argv[1:])
print("seconds", time.process_time() - began, spent[0])
sys.exit(status)
"""


@needs_screen
@pytest.mark.slow
def test_the_window_costs_the_training_little_and_may_be_closed(tmp_path):
    """Two trainings of the same seeds side by side, one with a window."""
    flags = ["--seeds", "3", "--steps", "4000", "--eval-episodes", "5"]
    with new_screen(tmp_path) as screen:
        both = [
            screen.start("-c", TRAINING, *flags, "--out", name, *others, folder=tmp_path)
            for name, others in (("live", ["--live"]), ("plain", []))
        ]
        window = both[0].window()
        title = screen.do("getwindowname", window)
        assert "SAC is learning: step" in title
        picture = screen.pixels(window)
        assert picture.shape[:2] == (427, 1280)  # three pendulums in a row
        assert all(bob(picture[:, 427 * i : 427 * i + 426])[2] > 200 for i in range(3))
        wait_for(lambda: screen.do("getwindowname", window) != title, "a newer policy")
        wait_for(lambda: both[0].process.poll() is not None or len(both[0].lines()) > 8, "most of the training")
        screen.ask_to_close(window)
        assert [program.end() for program in both] == [0, 0]
        seconds = np.array([program.lines()[-1].split()[1:] for program in both], float)
    states = [agents.load(tmp_path / name / "agent.safetensors").get_state() for name in ("live", "plain")]
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)
    assert seconds[0, 1] < 0.02 * seconds[0, 0]
    # Processor seconds of two processes differ by a tenth where others share the machine; alone, by a hundredth.
    assert seconds[0, 0] < 1.25 * seconds[1, 0], seconds
