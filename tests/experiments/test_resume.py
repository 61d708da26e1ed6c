"""Runs that go on where they were stopped."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import agents
from agents.common import checkpoint
from experiments import __main__ as cli
from experiments.common import autosave, flags, runs

SMALL = ["--steps", "40", "--seeds", "2", "--eval-episodes", "2"]
LONG_LESSONS = {
    "compare": ["--agents", "ppo", "--env", "CartPole-v1", "--baseline-seeds", "1", *SMALL],
    "results": ["--quick", "--seeds", "2", "--eval-episodes", "2"],
    "ablation": ["--quick", *SMALL],
    "sweep": ["--agent", "ppo", "--env", "CartPole-v1", "--learning-rate", "1e-3", "1e-2", *SMALL],
    "policy_gradient": ["--quick", "--seeds", "2"],
    "q_learning": ["--quick", "--seeds", "2"],
    "identify": ["--quick"],
    "forecast": ["--quick"],
    "cifar": ["--quick", "--data", "pendulum"],
}


def without_times(content):
    """A result without what depends on how busy the machine is."""
    if isinstance(content, dict):
        times = "seconds", "speedup", "machine"
        return {key: without_times(value) for key, value in content.items() if not any(t in key for t in times)}
    return [without_times(value) for value in content] if isinstance(content, list) else content


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG_LESSONS)
def test_a_lesson_that_was_killed_goes_on_with_its_finished_parts(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BALANCIER_JOBS", "1")
    run = tmp_path / "run"
    assert cli.main([name, *LONG_LESSONS[name], "--out", str(run)]) == 0
    first, metrics = json.loads((run / "result.json").read_text()), (run / "metrics.csv").read_text()
    parts = {path: path.stat().st_mtime_ns for path in (run / "parts").iterdir()}
    assert parts
    (run / "result.json").unlink()
    (run / "metrics.csv").write_text(metrics[:-5])
    if len(parts) > 1:
        lost = min(parts, key=parts.__getitem__)
        lost.unlink()
        del parts[lost]
    config = (run / "config.json").read_text()
    capsys.readouterr()
    assert cli.main([name, "--resume", str(run)]) == 0
    assert without_times(json.loads((run / "result.json").read_text())) == without_times(first)
    assert (run / "metrics.csv").read_text() == metrics
    assert (run / "config.json").read_text() == config
    assert {path: path.stat().st_mtime_ns for path in parts} == parts  # not written again


@pytest.mark.parametrize(("flags", "line"), [
    (["--resume", "nowhere"], "--resume: found no run in nowhere, expected the folder of a balancier compare"),
    (["--resume", "run", "--seeds", "3"], "--seeds: found 3 with --resume, expected 2, as in the run"),
    (["--resume", "run", "--agents", "dqn"], "--agents: found dqn with --resume, expected ppo, as in the run"),
    (["--resume", "run", "--out", "b"], "--out: found b with --resume, expected none: a run goes on in its own folder"),
    (["--resume", "other"], "--resume: found a run of balancier sweep in other, expected one of compare"),
    (["--resume", "foreign"], "--resume: found the environment payload:My-v0, whose module is not imported, expected "
     "--env payload:My-v0"),
    (["--resume", "help"], "--resume: found a run of balancier compare in help, expected one of compare"),
    (["--out", "run"], "--out: found a run in run, expected a new or empty folder (--resume continues a run, "
     "--overwrite replaces it)"),
])  # fmt: skip
def test_what_a_run_that_goes_on_refuses(flags, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payload.py").write_text("raise SystemExit('executed')")
    commands = {
        "run": "balancier compare --agents ppo --env CartPole-v1 --seeds 2 --steps 40",
        "other": "balancier sweep",
        "help": "balancier compare --help",
        "foreign": "balancier compare --agents ppo --env payload:My-v0",
    }
    for name, command in commands.items():
        Path(name).mkdir()
        Path(name, "config.json").write_text(json.dumps({"command": command, "experiment": command.split()[1]}))
    assert cli.main(["compare", *flags]) == 2
    assert capsys.readouterr().err == f"balancier compare: {line}\n"


TRAIN = ["--agent", "ppo", "--env", "CartPole-v1", "--seeds", "2", "--steps", "3000", "--eval-episodes", "2"]


def arrays_of(run):
    return checkpoint.load(run / "agent.safetensors")[0]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("train") / "run"
    assert cli.main(["train", *TRAIN, "--out", str(run)]) == 0
    return run


def assert_same_run(run, other):
    ours, theirs = arrays_of(run), arrays_of(other)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)
    assert (run / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    results = [json.loads((path / "result.json").read_text()) for path in (run, other)]
    assert without_times(results[0]) == without_times(results[1])


class Stop(BaseException):
    """The end of a process that no code can prevent."""


def stop_at(monkeypatch, step):
    """Let a training end without a word at the first step from this one on."""
    monkeypatch.undo()

    def call(self, agent):
        if agent.num_timesteps >= step:
            raise Stop
        save(self, agent)

    save = autosave.Autosave.__call__
    monkeypatch.setattr(autosave.Autosave, "__call__", call)


@pytest.mark.parametrize("before", [0, 1], ids=["the newest checkpoint", "the one before"])
def test_a_training_that_was_killed_becomes_the_uninterrupted_one(before, uninterrupted, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    begin = ["train", *TRAIN, "--autosave", "1e-9", "--out", str(run)]
    for command, step in ((begin, 1), (["train", "--resume", str(run), "--autosave", "1e-9"], 1100)):
        stop_at(monkeypatch, step)
        with pytest.raises(Stop):
            cli.main(command)
    monkeypatch.undo()
    with open(run / "metrics.csv", "a") as file:
        file.write("1100,0,evalua")  # cut in the middle
    if before:
        (run / "agent.safetensors").write_bytes(b"cut")
    monkeypatch.setattr(autosave, "SHARE", 1.0)  # a busy machine says that saving is slow
    assert cli.main(["train", "--resume", str(run)]) == 0
    assert_same_run(run, uninterrupted)
    assert json.loads((run / "config.json").read_text())["command"].startswith("balancier train --agent ppo")
    policies = sorted(path.name for path in run.glob("policy-*"))
    assert policies == [f"policy-{share:03d}.safetensors" for share in (0, 10, 30, 100)]
    assert sorted(path.name for path in uninterrupted.glob("policy-*")) == policies
    for name in policies:
        first, second = (checkpoint.load(path / name) for path in (run, uninterrupted))
        assert {key: value.tobytes() for key, value in first[0].items()} == {
            key: value.tobytes() for key, value in second[0].items()
        }


def test_a_training_goes_on_elsewhere_and_beyond_its_end(uninterrupted, tmp_path):
    """In another folder the first stays as it is; the metrics of the second hold both parts, and each step once."""
    run, files = tmp_path / "more", [path for path in uninterrupted.iterdir() if path.is_file()]
    before = {path.name: path.read_bytes() for path in files}
    more = ["--steps", "1000", "--eval-episodes", "2", "--out", str(run)]
    assert cli.main(["train", "--resume", str(uninterrupted), *more]) == 0
    assert {path.name: path.read_bytes() for path in files} == before
    assert json.loads((run / "result.json").read_text())["steps"] >= 4000
    rows = (run / "metrics.csv").read_text().splitlines()
    assert rows[: len(before["metrics.csv"].splitlines())] == before["metrics.csv"].decode().splitlines()
    assert len({row.rsplit(",", 1)[0] for row in rows}) == len(rows)
    assert sum(row.startswith("step") for row in rows) == 1


def test_two_runs_do_not_share_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first, second = runs.Run("train", flags.Flags()), runs.Run("train", flags.Flags())
    assert first.folder != second.folder
    with pytest.raises(flags.UsageError, match="found a run that is still going on"):
        runs.Run("train", flags.Flags(), resumed=first.folder)
    (first.folder / "agent.safetensors").write_text("of the first run")
    first.close(None, "balancier")
    with pytest.raises(flags.UsageError, match="found a run in"):
        runs.Run("train", flags.Flags(out=first.folder))
    runs.Run("train", flags.Flags(out=first.folder, overwrite=True))
    assert not (first.folder / "agent.safetensors").exists()


def test_a_full_disk_loses_no_agent(tmp_path, monkeypatch, capsys):
    run, real = tmp_path / "run", agents.Agent.save

    def save(self, path, **keywords):
        if path.parent == run:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(self, path, **keywords)

    monkeypatch.setattr(agents.Agent, "save", save)
    assert cli.main(["train", *TRAIN, "--out", str(run)]) == 2
    output = capsys.readouterr()
    assert "no checkpoint could be written" in output.out
    line = output.err.strip()
    begin = f"balancier train: {run / 'agent.safetensors'}: No space left on device; the agent is kept as "
    assert line.startswith(begin)
    rescued = Path(line.rsplit(" ", 1)[1])
    assert agents.load(rescued).num_timesteps >= 3000
    rescued.unlink()
    rescued.parent.rmdir()


KILLS = int(os.environ.get("BALANCIER_KILLS", "20"))
SAC = ["--agent", "sac", "--seeds", "2", "--steps", str(300 * KILLS), "--eval-episodes", "2"]


@pytest.mark.skipif(sys.platform == "win32", reason="no process is killed there")
@pytest.mark.parametrize(("command", "kills"), [
    pytest.param(TRAIN, 3, marks=pytest.mark.slow), pytest.param(SAC, KILLS, marks=pytest.mark.long),
])  # fmt: skip
def test_a_training_that_is_killed_at_any_time(command, kills, tmp_path):
    """BALANCIER_KILLS is the number of kills of the long form; the last attempt may end."""
    assert cli.main(["train", *command, "--out", str(tmp_path / "whole")]) == 0
    run, rng = tmp_path / "run", np.random.default_rng(0)
    begin = [sys.executable, "-m", "experiments", "train"]
    for attempt in range(kills + 1):
        words = ["--resume", str(run)] if (run / "config.json").exists() else [*command, "--out", str(run)]
        with subprocess.Popen([*begin, *words, "--autosave", "0.05"], stdout=subprocess.DEVNULL) as process:
            try:
                assert process.wait(timeout=rng.uniform(1, 6) if attempt < kills else None) == 0
            except subprocess.TimeoutExpired:
                process.kill()
        if (run / "result.json").exists():
            break
    assert_same_run(run, tmp_path / "whole")


@pytest.mark.parametrize("change", [
    {"start": -1}, {"start": "0"}, {"total": None}, {"earlier": 9}, {"evaluation": {}}, {"seconds": [1]},
    {"evaluation": {"steps": [1], "seconds": [], "curve": [], "train_seconds": 1.0}},
    {"evaluation": {"steps": [1], "seconds": [1.0], "curve": [[1.0]], "train_seconds": 1.0}},
])  # fmt: skip
def test_notes_that_no_run_wrote_are_refused(change, tmp_path, capsys):
    agents.PPO("CartPole-v1", seeds=2).save(tmp_path / "agent.safetensors", notes={
        "start": 0, "total": 100, "earlier": 0, "seconds": 1.0,
        "evaluation": {"steps": [], "seconds": [], "curve": [], "train_seconds": 1.0},
    } | change)  # fmt: skip
    assert cli.main(["train", "--resume", str(tmp_path)]) == 2
    assert "--resume: found notes of no run in" in capsys.readouterr().err


FAULTY = """
import gymnasium as gym, numpy as np

class Faulty(gym.Env):
    observation_space, action_space, total = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.total += 1
        reward = float("nan") if self.total > LIMIT else 1.0
        return np.zeros(2, np.float32), reward, False, self.total % 10 == 0, {}

gym.register("Faulty-v0", Faulty, max_episode_steps=20)
"""


def test_an_environment_that_fails_leaves_the_agent_before_that_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "faulty_env.py").write_text(FAULTY.replace("LIMIT", "70"))
    flags = ["--agent", "dqn", "--env", "faulty_env:Faulty-v0", "--seeds", "1", "--eval-episodes", "1"]
    assert cli.main(["train", *flags, "--set", "num_envs=1", "--steps", "90", "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "env 0 of seed 0 after 70 steps: found reward nan in step " in error
    assert error.rstrip().endswith("; run keeps the agent of step 70")
    assert agents.load("run/agent.safetensors").num_timesteps == 70
