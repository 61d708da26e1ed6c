import json
import signal
import subprocess
import sys

import pytest
from PIL import Image

import agents
from experiments import __main__ as cli
from experiments.common.command import waiting_interrupts


def test_the_list_names_every_experiment(capsys):
    assert cli.main([]) == 0
    listed = capsys.readouterr().out
    for name in cli.EXPERIMENTS:
        assert f"balancier {name}" in listed


@pytest.mark.parametrize("name", cli.EXPERIMENTS)
def test_every_experiment_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    assert "--seed" in capsys.readouterr().out


def test_three_ways_in_are_one():
    outputs = []
    for command in (["-m", "experiments.train"], ["experiments/train.py"], ["-m", "experiments", "train"]):
        done = subprocess.run([sys.executable, *command, "--seeds", "0"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        outputs.append(done.stderr)
    assert outputs[0] == outputs[1] == outputs[2] == "balancier train: --seeds: found 0, expected at least 1\n"


def told_to_end(command, until, seconds):
    """What a run says on stderr that gets SIGTERM at its first line with `until` in it, and has `seconds` to end."""
    command = [sys.executable, "-u", "-m", "experiments", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        next(line for line in run.stdout if until in line)
        run.send_signal(signal.SIGTERM)  # SIGINT would be ignored where the tests run in the background
        told = run.communicate(timeout=seconds)[1]
    assert run.returncode == 130
    return told


@pytest.mark.skipif(sys.platform == "win32", reason="a process there cannot be asked to end, only ended")
def test_a_run_told_to_end_leaves_a_checkpoint(tmp_path):
    flags = ["--agent", "ppo", "--seeds", "1", "--steps", "40000", "--out", str(tmp_path)]
    assert told_to_end(["train", *flags], "10%", 60) == "balancier train: interrupted\n"
    assert 4_000 <= agents.load(tmp_path / "agent.safetensors").num_timesteps < 40_000


@pytest.mark.skipif(sys.platform == "win32", reason="a process there cannot be asked to end, only ended")
def test_a_run_told_to_end_takes_its_processes_with_it(tmp_path):
    flags = ["--agents", "ppo", "--steps", "60000", "--jobs", "2", "--out", str(tmp_path)]
    told_to_end(["compare", *flags], "% after", 20)  # a process left behind would hold the pipe open for longer


def test_an_interrupt_waits_until_a_step_is_done(tmp_path, monkeypatch):
    learn = agents.PPO.update

    def update(self, rollout):
        signal.raise_signal(signal.SIGTERM)
        learn(self, rollout)

    monkeypatch.setattr(agents.PPO, "update", update)
    flags = ["--agent", "ppo", "--seeds", "2", "--steps", "4000", "--out", str(tmp_path)]
    assert cli.main(["train", *flags]) == 130
    monkeypatch.undo()
    stopped = agents.load(tmp_path / "agent.safetensors")
    once = agents.PPO("balancier/Pendulum-v0", seeds=2).learn(stopped.num_timesteps)
    assert stopped.num_timesteps == 1024  # one rollout
    for name, value in once.state_dict().items():
        assert value.equal(stopped.state_dict()[name]), name


def test_a_second_ctrl_c_does_not_wait():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with waiting_interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts == [signal.SIGTERM, signal.SIGTERM]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    try:
        with waiting_interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert interrupts == [signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before[0])
    assert signal.getsignal(signal.SIGTERM) == before[1]


@pytest.mark.parametrize(("command", "words"), [
    (["nonsense"], "found 'nonsense', expected one of"),
    (["train", "--resume", "nowhere"], "--resume: found no checkpoint at nowhere"),
    (["train", "--observation", "angle", "--env", "CartPole-v1"], "--observation: found angle for CartPole-v1"),
    (["train", "--network", "cnn"], "--network: found cnn, with which sac cannot train on balancier/Pendulum-v0"),
    (["train", "--observation", "pixels", "--network", "gru"], "it reads vectors, not pictures"),
    (["watch", "nowhere"], "run: found no checkpoint at nowhere"),
    (["bench", "--format", "bmp"], "--format"),
])  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_runs_place_is_left_alone(tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    assert cli.main(["train", "--out", str(tmp_path / "taken")]) == 2
    assert "--out: found the file" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "mine"


def test_train_resume_watch(tmp_path, capsys):
    run = str(tmp_path / "run")
    small = ["--seeds", "2", "--steps", "300", "--eval-episodes", "2"]
    assert cli.main(["train", "--agent", "ppo", "--out", run, *small]) == 0
    assert f"balancier watch {run}" in capsys.readouterr().out.replace("\n", "")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 304
    assert cli.main(["train", "--resume", run, "--out", run + "2", *small]) == 0
    assert json.loads((tmp_path / "run2" / "result.json").read_text())["steps"] == 608
    gif = tmp_path / "swing.gif"
    assert cli.main(["watch", run, "--gif", str(gif), "--size", "100"]) == 0
    picture = Image.open(gif)
    assert picture.size == (100, 100)
    assert picture.n_frames > 100
    (tmp_path / "run" / "agent.safetensors").write_bytes(b"nothing")
    assert cli.main(["watch", run]) == 2
    assert "is no checkpoint" in capsys.readouterr().err.replace("that are", "is")


@pytest.mark.parametrize(("flags", "network", "seen"), [
    (["--network", "lstm", "--observation", "angle"], "LSTM", "angle"),
    (["--agent", "dqn", "--observation", "pixels"], "CNN", "pixels"),
])  # fmt: skip
def test_training_with_a_memory_or_with_eyes(flags, network, seen, tmp_path):
    run = str(tmp_path / "run")
    small = ["--seeds", "2", "--steps", "230", "--eval-episodes", "2"]
    assert cli.main(["train", *flags, *small, "--out", run]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["network"], result["observation"]) == (network, seen)
    assert len(result["returns"]) == 2
    assert result["regret"] > 0
    assert cli.main(["watch", run, "--gif", str(tmp_path / "swing.gif"), "--size", "60"]) == 0
