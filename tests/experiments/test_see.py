"""The lesson on driving from pixels: its claims in the short form, what reads pixels, its training, its files."""

import json
import pickle

import gymnasium as gym
import numpy as np
import pytest

import agents
from agents.common import checkpoint
from agents.evaluation import evaluate
from envs.raster import ANGLES, frames
from experiments import see
from experiments.common import readers, training
from experiments.common.hyperparams import DISCRETE
from experiments.common.runs import plain
from experiments.common.statistics import interquartile_mean

STEP = 2 * np.pi / ANGLES  # rad, between two pictures


@pytest.fixture(scope="module")
def findings():
    return see.measure(see.See(quick=True, seeds=3, jobs=1))


@pytest.fixture(scope="module")
def trained():
    """A training of seconds, too short for the claims."""
    flags = see.See(seeds=2, steps=400, pairs=2_000, epochs=3, eval_episodes=2, jobs=1)
    (job,) = [job for job in see.plan(flags) if job.name == "sight"]
    return see.work(pickle.loads(pickle.dumps(job)), lambda amount: None)


# Claims


def test_the_agent_drives_from_what_the_cnn_reads(findings):
    result = see.result(findings)
    regret = {name: row["regret"] for name, row in result["agents"].items()}
    assert result["extra_regret"] == pytest.approx(regret["cnn"] - regret["state"])
    assert result["extra_regret"] < 25
    assert regret["state"] < 60
    assert result["reader"] == result["end_to_end"] == "shipped"


def test_the_end_to_end_agent_has_learned_and_takes_longer(findings):
    rows = see.result(findings)["agents"]
    assert rows["end_to_end"]["regret"] < 150  # an agent that does nothing has about 1,000
    assert rows["end_to_end"]["steps"] == 15_000
    assert rows["end_to_end"]["seconds"] > 3 * rows["cnn"]["seconds"]
    assert rows["cnn"]["seconds"] == pytest.approx(rows["state"]["seconds"] + findings.reader_seconds, abs=0.11)


def test_the_cnn_reads_well_but_not_as_much_as_the_pixels_hold(findings):
    rms = see.result(findings)["rms"]
    assert rms["table"]["angle_degrees"] < rms["cnn"]["angle_degrees"] < 3
    assert rms["table"]["speed"] < rms["cnn"]["speed"] < 0.5
    assert rms["table"]["angle_degrees"] == pytest.approx(np.rad2deg(STEP) / 12**0.5, rel=0.05)
    assert rms["table"]["speed"] == pytest.approx(STEP / 6**0.5 / 0.05, rel=0.05)


def test_every_figure_has_a_caption(findings):
    assert list(see.figures(findings)) == list(see.PAGE.captions)
    assert see.table(findings).row_count == 4


# What reads pixels


def test_every_picture_is_different():
    assert len(readers.pictures()) == ANGLES


def test_pairs_are_what_the_environment_shows():
    """A step of the environment, from the state of the first frame, with any torque, ends in the second."""
    angles, truth = readers.random_pairs(200, 5)
    np.testing.assert_allclose(np.diff(angles)[:, 0] / 0.05, truth[:, 2], atol=1e-9)
    np.testing.assert_allclose(truth[:, :2], np.stack([np.cos(angles[:, 1]), np.sin(angles[:, 1])], 1))
    assert np.abs(truth[:, 2]).max() == 8  # speeds are clipped, as in the environment
    env = gym.make(DISCRETE, observation="pixels")
    env.reset(options={"state": (0.3, 2.0)})
    obs, *_ = env.step(4)
    speed = 2.0 + 0.05 * (15 * np.sin(0.3) + 3 * 2.0)
    np.testing.assert_array_equal(obs, frames(np.array([0.3, 0.3 + 0.05 * speed])))
    reading = readers.read_table(obs[None, None])[0, 0]
    np.testing.assert_allclose(reading, [np.cos(0.3 + 0.05 * speed), np.sin(0.3 + 0.05 * speed), speed], atol=0.04)


def test_the_table_reads_exactly_what_a_picture_shows():
    numbers = np.array([[0, 10], [4_095, 3], [1_000, 900]])
    cos, sin, speed = readers.read_table(frames(numbers * STEP)[None])[0].T
    np.testing.assert_allclose(np.arctan2(sin, cos) % (2 * np.pi), numbers[:, 1] * STEP, atol=1e-6)
    np.testing.assert_allclose(speed, np.array([10, 4, -100]) * STEP / 0.05, rtol=1e-6)


def test_errors_are_the_shorter_way_round():
    truth = np.array([[np.cos(3.1), np.sin(3.1), 1.0]])
    reading = np.array([[np.cos(-3.1), np.sin(-3.1), 1.5]])
    np.testing.assert_allclose(readers.errors(reading, truth), [[2 * np.pi - 6.2, 0.5]])
    np.testing.assert_allclose(see.rms(np.array([[[0.0, 3.0], [np.pi / 2, 4.0]]])), [[90 / 2**0.5, 12.5**0.5]])


def test_one_cnn_reads_for_all_seeds():
    obs = frames(readers.random_pairs(6, 1)[0])[None]
    reader = readers.Reader(seeds=1)
    alone = reader.read(obs)
    assert alone.shape == (1, 6, 3)
    np.testing.assert_allclose(np.hypot(alone[..., 0], alone[..., 1]), 1, rtol=1e-5)
    assert np.abs(alone[..., 2]).max() <= 8
    np.testing.assert_allclose(
        reader.read(obs.reshape(2, 3, *obs.shape[2:]), chunk=4), alone.reshape(2, 3, 3), atol=1e-5
    )


class Recorder:
    """An agent of one seed that always pulls to the left, and keeps what it was given."""

    def __init__(self):
        self.given = []

    def __len__(self):
        return 1

    def predict(self, obs, state=None, episode_start=None, deterministic=True):
        self.given.append(obs[0])
        return np.full(obs.shape[:2], 4), state


def test_an_agent_is_given_the_state_that_the_pixels_show():
    starts, on_state, on_pixels = range(10_000, 10_005), Recorder(), Recorder()
    returns = evaluate(on_state, DISCRETE, starts)
    np.testing.assert_allclose(
        evaluate(readers.Seeing(on_pixels, readers.read_table), DISCRETE, starts, see.PIXELS), returns
    )
    state, seen = np.array(on_state.given), np.array(on_pixels.given)  # (200, 5, 3)
    error = readers.errors(seen, state)
    assert np.abs(error[..., 0]).max() < 0.5001 * STEP
    assert np.abs(error[1:, :, 1]).max() < 1.001 * STEP / 0.05
    assert (seen[0, :, 2] == 0).all()  # at the start there is only one picture


# Training


def test_the_cnns_learn_from_their_own_seeds(trained):
    _, truth = readers.random_pairs(see.TEST_PAIRS, 10_000)
    rms = see.rms(readers.errors(trained.reading, truth))  # (2, 2)
    assert (rms[:, 0] < 30).all()  # degrees; a reader of nothing has 104
    assert (rms[:, 1] < 3).all()  # rad/s; a reader of nothing has 4.6
    assert rms[0, 0] != rms[1, 0]
    assert trained.training.returns.shape == (2,)
    assert {name: returns.shape for name, returns in trained.driven.items()} == {"table": (2, 2), "cnn": (2, 2)}
    assert trained.seconds > 0
    assert all(len(tensor) == 1 for tensor in trained.weights.values())


def test_an_end_to_end_agent_is_kept_with_its_steps_and_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STARTS", 1)
    flags = see.See(steps=40, eval_episodes=1, train_pixels=True, keep=tmp_path, seed=5)
    job = next(job for job in see.plan(flags) if job.name == "end to end")
    agent = see.train_end_to_end(job, lambda amount: None)
    assert (agent.seed, agent.num_steps) == (5, 40)
    path = tmp_path / "see_pixels_5.safetensors"
    notes = checkpoint.load(path)[1]["notes"]
    assert notes["seconds"] == pytest.approx(agent.seconds, abs=0.06)
    np.testing.assert_allclose(notes["curve"], agent.curve, atol=0.01)
    again = evaluate(agents.load(path), DISCRETE, flags.starts, see.PIXELS)[0]
    np.testing.assert_allclose(again, agent.test_returns, rtol=1e-5)


def test_shipped_files_are_small_and_say_what_they_took():
    files = see.shipped_files()
    assert files
    for path in files:
        notes = checkpoint.load(path)[1]["notes"]
        assert path.stat().st_size < 300_000
        assert notes["seconds"] > 60
        assert notes["curve"][-1][:2] == pytest.approx([15_000, notes["seconds"]], rel=0.05)


def test_groups_of_seeds_do_not_depend_on_the_number_of_processes():
    groups = [[job.seeds for job in see.plan(see.See(seeds=12, jobs=jobs)) if job.name == "sight"] for jobs in (1, 8)]
    assert groups[0] == groups[1] == [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (10, 11)]


def test_groups_are_joined_by_seed(findings):
    one = findings.training
    both = see.joined([one, one])
    assert both.curve.shape == (20, 6)
    assert both.train_seconds == pytest.approx(2 * one.train_seconds)
    np.testing.assert_allclose(both.seconds, 2 * one.seconds)
    np.testing.assert_array_equal(both.test_returns[3:], one.test_returns)
    assert interquartile_mean(findings.regrets["state"]) == pytest.approx(
        findings.optimum - interquartile_mean(one.returns)
    )


# Files and flags


def test_the_files_of_a_run(tmp_path):
    flags = "--quick", "--seeds", "1", "--steps", "200", "--eval-episodes", "1", "--jobs", "1", "--out", str(tmp_path)
    assert see.main(flags) == 0
    assert {path.name for path in tmp_path.iterdir()} >= {"pixels.png", "errors.png", "regret.png", "index.html"}
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["agents"]) == ["state", "table", "cnn", "end_to_end"]
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 20 + 20 * len(see.shipped_files())
    assert lines[1].startswith("12,0,state/return,")
    assert plain(result) == result


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pairs", "10"], "--pairs: found 10, expected at least 32"),
        (["--epochs", "0"], "--epochs: found 0, expected at least 1"),
        (["--steps", "5"], "--steps: found 5, expected at least 20"),
        (["--quick", "--train-pixels"], "--train-pixels: found True with --quick, expected a run that trains"),
        (["--quick", "--epochs", "2"], "--epochs: found 2 with --quick, expected 4, as for the CNN"),
        (["--quick", "--keep", "there"], "--keep: found there with --quick, expected a run that trains"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert see.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_without_the_files_the_flag_is_asked_for(monkeypatch):
    monkeypatch.setattr(see, "shipped_files", list)
    with pytest.raises(see.UsageError, match="--train-pixels: found no see_pixels"):
        see.check(see.See())
    see.check(see.See(train_pixels=True))
