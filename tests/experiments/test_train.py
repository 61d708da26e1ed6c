"""Training: what is written, resuming, interrupts, and networks for an angle or for pictures."""

import csv
import json
import signal

import numpy as np
import pytest
import torch

import agents
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from experiments import train
from experiments.common import training
from experiments.common.command import flags_of_run
from experiments.common.hyperparams import tuned

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"


@pytest.fixture(autouse=True)
def _few_evaluations(monkeypatch):
    monkeypatch.setattr(train, "EVALUATIONS", 2)
    monkeypatch.setattr(training, "STARTS", 2)


def test_numbers_files_and_resuming(tmp_path, capsys):
    run, second = tmp_path / "run", tmp_path / "second"
    small = ["--seeds", "2", "--seed", "5", "--steps", "300", "--eval-episodes", "2"]
    assert train.main(["--agent", "ppo", "--out", str(run), *small]) == 0
    out = capsys.readouterr().out
    assert out.startswith("train: ppo on balancier/Pendulum-v0, 2 seeds, about ")
    assert f"balancier watch {run}" in out.replace("\n", "")
    assert {path.name for path in run.iterdir()} == {
        "agent.safetensors", "agent-before.safetensors", "policy-000.safetensors", "policy-010.safetensors",
        "policy-030.safetensors", "policy-100.safetensors",
        "config.json", "index.html", "learning_curve.png", "metrics.csv", "result.json",
    }  # fmt: skip
    assert list(train.PAGE.captions) == [path.stem for path in run.glob("*.png")]
    assert f"balancier train --agent ppo --out {run} --seeds 2" in (run / "index.html").read_text()
    result = json.loads((run / "result.json").read_text())
    agent = agents.PPO(PENDULUM, seeds=[5, 6], **tuned("ppo", PENDULUM)).learn(304)
    assert (result["steps"], result["seeds"], result["network"]) == (304, [5, 6], "MLP")
    assert result["returns"] == pytest.approx(evaluate(agent, PENDULUM, range(TEST_SEED, TEST_SEED + 2)).mean(1))
    assert result["regret"] == pytest.approx(result["optimum"] - result["iqm"], abs=1e-4)
    with open(run / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "evaluation"]
    assert [(row["step"], row["seed"]) for row in rows] == [("160", "5"), ("160", "6"), ("304", "5"), ("304", "6")]
    validation = evaluate(agent, PENDULUM, range(VALIDATION_SEED, VALIDATION_SEED + 2)).mean(1)
    np.testing.assert_allclose([float(row["value"]) for row in rows[2:]], validation)

    assert train.main(["--resume", str(run), "--out", str(second), *small]) == 0
    assert json.loads((second / "result.json").read_text())["steps"] == 608
    agent.learn(304)
    for name, value in agents.load(second / "agent.safetensors").state_dict().items():
        assert value.equal(agent.state_dict()[name]), name


def test_an_interrupt_waits_until_a_step_is_done(tmp_path, monkeypatch):
    learn = agents.PPO.update

    def update(self, rollout):
        signal.raise_signal(signal.SIGTERM)
        return learn(self, rollout)

    monkeypatch.setattr(agents.PPO, "update", update)
    flags = ["--agent", "ppo", "--seeds", "2", "--steps", "4000", "--out", str(tmp_path)]
    assert train.main(flags) == 143
    monkeypatch.undo()
    stopped = agents.load(tmp_path / "agent.safetensors")
    once = agents.PPO(PENDULUM, seeds=2, **tuned("ppo", PENDULUM)).learn(stopped.num_timesteps)
    assert stopped.num_timesteps == 1024  # one rollout
    for name, value in once.state_dict().items():
        assert value.equal(stopped.state_dict()[name]), name


@pytest.mark.parametrize(("flags", "network", "observation"), [
    (["--network", "lstm", "--observation", "angle"], "LSTM", "angle"),
    (["--agent", "dqn", "--observation", "pixels"], "CNN", "pixels"),
])  # fmt: skip
def test_training_on_angles_or_pictures(flags, network, observation, tmp_path):
    small = ["--seeds", "2", "--steps", "205", "--eval-episodes", "2"]
    assert train.main([*flags, *small, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["network"], result["observation"]) == (network, observation)
    assert len(result["returns"]) == 2
    assert result["regret"] > 0


@pytest.mark.parametrize(("command", "words"), [
    (["--resume", "nowhere"], "--resume: found no checkpoint at nowhere"),
    (["--agent", "td4"], "--agent: found td4, expected one of a2c, dqn"),
    (["--steps", "0"], "--steps: found 0, expected at least 1"),
    (["--eval-episodes", "0"], "--eval-episodes: found 0, expected at least 1"),
    (["--observation", "angle", "--env", "CartPole-v1"], "--observation: found angle for CartPole-v1"),
    (["--network", "cnn"], "--network: found cnn, with which sac cannot train on balancier/Pendulum-v0"),
    (["--observation", "pixels", "--network", "gru"], "it reads vectors, not images"),
])  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(tmp_path.iterdir()) == []


def test_a_file_at_the_place_of_the_run_is_left_alone(tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    assert train.main(["--out", str(tmp_path / "taken")]) == 2
    assert "--out: found the file" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(("env", "returns", "optimum", "expected"), [
    (PENDULUM, [-150.2, -138.4], -133.6, "SAC on Pendulum-v0:\n2 seeds end between -150 and -138; the optimum is -134"),
    ("CartPole-v1", [499.6], None, "SAC on CartPole-v1:\none seed ends at 500"),
])  # fmt: skip
def test_the_title_says_where_the_seeds_end(env, returns, optimum, expected):
    assert train.title("sac", env, np.array(returns), optimum) == expected


def test_the_quick_form_trains_three_seeds_for_all_steps():
    session = train.start(train.Train(quick=True, agent="ppo"))
    assert (len(session.agent), session.flags.seeds) == (3, 3)
    assert len(train.start(train.Train(quick=True, agent="ppo", seeds=2)).agent) == 2


@pytest.mark.slow
def test_every_seed_of_the_quick_form_comes_close_to_the_optimum(tmp_path):
    """The lesson's claim."""
    assert train.main(["--quick", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["returns"]) == 3
    assert min(result["returns"]) > result["optimum"] - 20


def test_short_runs_in_environments_of_other_people_are_evaluated_less_often(monkeypatch):
    monkeypatch.setattr(train, "EVALUATIONS", training.EVALUATIONS)
    assert [train.num_evaluations("Acrobot-v1", steps) for steps in (8, 2_000, 50_000)] == [2, 4, 20]
    assert train.num_evaluations("balancier/Pendulum-v0", 8) == train.num_evaluations("CartPole-v1", 8) == 20


def test_a_device_that_is_not_there_is_refused_in_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert train.main(["--device", "cuda"]) == 2
    expected = "balancier train: --device: found cuda, expected cpu: PyTorch sees no CUDA device here\n"
    assert capsys.readouterr().err == expected
    assert list(tmp_path.iterdir()) == []


def test_the_device_is_passed_on_and_a_run_may_go_on_elsewhere(monkeypatch, tmp_path):
    found, run = [], tmp_path / "run"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)  # which is not so: the agents stay on the CPU
    monkeypatch.setattr("agents.common.devices.find_device", lambda x: found.append(str(x)) or torch.device("cpu"))
    small = ["--eval-episodes", "1", "--steps", "8"]
    new = ["--agent", "ppo", "--env", "CartPole-v1", "--seeds", "1", "--out", str(run)]
    assert train.main([*new, *small, "--device", "cuda"]) == 0
    assert found == ["cuda"]
    assert train.main(["--resume", str(run), *small]) == 0
    assert set(found[1:]) == {"cpu"}
    assert flags_of_run("train", train.Train, {"device": "auto"}, run)[1].device == "auto"
