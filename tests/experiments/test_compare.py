"""Ours beside SB3's: what is refused, who is trained, that both are evaluated alike, and the numbers of the table.

S seed, E evaluations.
"""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from agents import AGENTS, PPO
from experiments import __main__ as cli
from experiments import compare
from experiments.common import training
from experiments.common.flags import UsageError
from experiments.common.training import Training
from experiments.compare import Compare, Entry, Findings, Row, check, measure, median, pair, plan, train

ROW_KEYS = {
    "library", "agent", "env", "seeds", "steps", "train_seconds", "returns", "iqm", "ci95", "optimum", "regret",
    "threshold", "steps_to_threshold", "seconds_to_threshold",
}  # fmt: skip


@pytest.fixture
def in_this_process(monkeypatch):
    """Four evaluations of each training on two starts, and no processes."""
    monkeypatch.setattr(compare, "EVALUATIONS", 4)
    monkeypatch.setattr(training, "STARTS", 2)
    monkeypatch.setattr(compare, "run_parallel", lambda work, jobs, _: [work(job, lambda _: None) for job in jobs])


@pytest.mark.parametrize(("command", "words"), [
    (["--steps", "many"], "--steps"),
    (["--frobnicate"], "--frobnicate"),
    (["--agents", "td4"], "--agents: found td4, expected all, or different ones of a2c, dqn, ppo, reinforce, sac, td3"),
    (["--agents", "sac", "sac"], "--agents: found sac sac, expected all, or different ones of"),
    (["--agents", "sac", "all"], "--agents: found sac all, expected all, or different ones of"),
    (["--agents"], "--agents: found none, expected all, or different ones of"),
    (["--steps", "3"], "--steps: found 3, expected at least 40"),
    (["--env", "Nowhere-v0"], "--env: found 'Nowhere-v0', expected an id that Gymnasium knows"),
    (["--env", "CartPole-v1", "--agents", "sac"], "--env: sac cannot train on CartPole-v1"),
    (["--jobs", "0"], "--jobs: found 0"),
    (["--baseline-seeds", "-1"], "--baseline-seeds: found -1"),
    (["--eval-episodes", "0"], "--eval-episodes: found 0, expected at least 1"),
    (["--env", "Acrobot-v1", "--agents", "ppo", "--settings", "zoo"], "no ppo settings for Acrobot-v1"),
    (["--agents", "reinforce", "--settings", "zoo"], "no reinforce settings for balancier/Pendulum-v0"),
])  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", *command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_small_comparison(tmp_path):
    """Everything that the main job writes, on budgets too small to learn from."""
    command = ["compare", "--agents", "ppo", "--steps", "400", "--seeds", "3", "--seed", "5", "--baseline-seeds", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *command, "--eval-episodes", "4", "--out", str(tmp_path / "run")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "100%" in done.stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    ours, theirs = result["rows"]
    assert ours.keys() == theirs.keys() == ROW_KEYS
    assert (ours["library"], theirs["library"]) == ("balancier", "sb3")
    assert (ours["seeds"], theirs["seeds"], ours["steps"]) == (3, 2, 400)
    assert len(ours["returns"]) == len(ours["steps_to_threshold"]) == 3
    assert isinstance(ours["train_seconds"], float)
    assert len(theirs["train_seconds"]) == 2
    assert ours["regret"] == pytest.approx(ours["optimum"] - ours["iqm"], abs=0.01)
    assert ours["optimum"] == theirs["optimum"]
    assert ours["seconds_to_threshold"] == [None] * 3
    assert [p["agent"] for p in result["pairs"]] == ["ppo"]
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"step", "seed", "metric", "value"}
    assert {row["seed"] for row in rows} == {"5", "6", "7"}
    assert len(rows) == 40 * (3 + 2)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["flags"]["steps"] == 400
    assert "torch" in config["versions"]
    for name in "learning_curves", "returns", "times":
        assert Image.open(tmp_path / "run" / f"{name}.png").size[0] > 500


# Who is trained.


def test_one_start_for_all_and_longest_first():
    jobs = plan(Compare(seeds=4, eval_episodes=7))
    assert {job.settings.starts for job in jobs} == {range(10_000, 10_007)}
    assert [job.cost for job in jobs] == sorted((job.cost for job in jobs), reverse=True)
    assert {job.seeds for job in jobs if job.settings.package == "balancier"} == {(0, 1, 2, 3)}
    assert {job.seeds for job in jobs if job.settings.package == "sb3"} == {(0,), (1,), (2,)}
    with pytest.raises(UsageError, match="--agents"):
        plan(Compare(agents=()))


def test_an_agent_that_sb3_lacks_stands_alone(monkeypatch):
    """Also one that was added to `AGENTS` and to nothing else."""
    monkeypatch.setitem(AGENTS, "mine", type("Mine", (PPO,), {}))
    flags = Compare(agents=("all",), baseline_seeds=1)
    entries = [(job.settings.agent, job.settings.package) for job in plan(flags)]
    assert sorted(name for name, library in entries if library == "balancier") == sorted(AGENTS)
    assert sorted(name for name, library in entries if library == "sb3") == ["a2c", "dqn", "ppo", "sac", "td3"]
    check(flags)


def test_quick_is_one_seed_of_sb3s_and_twenty_starts():
    (ours, theirs) = plan(Compare(agents=("dqn",), quick=True, seed=3))
    if ours.settings.package == "sb3":
        ours, theirs = theirs, ours
    assert (ours.seeds, theirs.seeds) == (tuple(range(3, 13)), (3,))
    assert ours.settings.env == theirs.settings.env == "balancier/PendulumDiscrete-v0"
    assert ours.settings.steps == theirs.settings.steps == 4_000
    assert len(ours.settings.starts) == len(theirs.settings.starts) == 20
    assert {job.settings.package for job in plan(Compare(agents=("dqn",), baseline_seeds=0))} == {"balancier"}


def test_ours_and_sb3s_are_evaluated_by_the_same_callback(in_this_process):
    """After the first step at or beyond each quarter of 80 steps, 8 at a time, which both count over all their envs."""
    jobs = plan(Compare(agents=("ppo",), env="CartPole-v1", steps=80, seeds=2, baseline_seeds=1, eval_episodes=3))
    for job in jobs:
        done: list[float] = []
        trained = train(job, done.append)
        assert trained.steps.tolist() == [24, 40, 64, 80]
        assert trained.curve.shape == (4, len(job.seeds))
        assert trained.test_returns.shape == (len(job.seeds), 3)
        assert 0 < trained.seconds[0] < trained.seconds[-1] <= trained.train_seconds
        np.testing.assert_allclose(done, np.array([24, 16, 24, 16]) / 80 * job.cost)


def test_an_environment_that_nothing_is_tuned_for(in_this_process):
    flags = Compare(agents=("ppo", "reinforce"), env="Acrobot-v1", steps=40, seeds=2, baseline_seeds=1, eval_episodes=1)
    check(flags)
    findings = measure(flags)
    rows = [(row.entry.agent, row.entry.package, row.seeds) for row in findings.rows]
    assert rows == [("ppo", "balancier", [0, 1]), ("ppo", "sb3", [0]), ("reinforce", "balancier", [0, 1])]
    assert all(row.entry.threshold == -100 and row.optimum is None for row in findings.rows)
    values = compare.result(findings)["rows"]
    assert all(row.keys() == ROW_KEYS and row["regret"] is None for row in values)
    assert compare.table(findings).row_count == 3
    steps = [(step, name) for step, name, _, _ in compare.metrics(findings)]
    assert steps[-1] == (40, "balancier/reinforce/return")
    assert [pair["agent"] for pair in findings.pairs] == ["ppo"]


# The numbers, worked out by hand.


def row(library, parts):
    """A row of trainings that were evaluated at 10, 20, 30, 40: (seeds, seconds, curve (4, S)) of each."""
    entry = Entry(library, "sac", "balancier/Pendulum-v0", 40, "own", 2)
    steps, trainings = np.array([10, 20, 30, 40]), {}
    for seeds, seconds, values in parts:
        curve = np.array(values, float)
        trainings[tuple(seeds)] = Training(steps, seconds * steps / 40, curve, curve[-1:].T.repeat(2, 1), seconds)
    return Row(entry, trainings, np.array([-120.0, -140.0]))


OURS = row("balancier", [([0, 1], 8.0, [[-300, -150], [-150, -150], [-150, -150], [-150, -250]])])
THEIRS = row("sb3", [([0], 20.0, [[-300], [-300], [-150], [-140]])])


def test_thresholds_and_pairs_by_hand():
    assert OURS.to_threshold("steps") == [20, 10]
    assert OURS.to_threshold("seconds") == [4.0, 2.0]
    assert THEIRS.to_threshold("steps") == [None]
    assert OURS.result()["regret"] == pytest.approx(-130 - -200)
    assert pair(OURS, THEIRS) == {"agent": "sac", "speedup_per_seed": 5.0, "probability_of_improvement": 0.0}


def test_a_row_of_several_trainings_by_hand():
    two = row("sb3", [([0], 20.0, [[-300], [-300], [-150], [-140]]), ([1], 10.0, [[-150], [-150], [-150], [-130]])])
    assert two.seeds == [0, 1]
    assert two.returns.tolist() == [-140, -130]
    assert two.to_threshold("seconds") == [None, 2.5]
    assert two.result()["train_seconds"] == [20.0, 10.0]
    assert two.seconds_per_seed == 15.0
    assert OURS.result()["train_seconds"] == 8.0
    assert OURS.seconds_per_seed == 4.0
    steps, seconds, curve = two.curves
    assert steps.tolist() == [10, 20, 30, 40]
    assert seconds.tolist() == [3.75, 7.5, 11.25, 15.0]
    assert curve[0].tolist() == [-300, -150]


def test_the_median_counts_never_above_every_number():
    assert median([None, 1.0, 3.0]) == 3.0
    assert median([None, None, 3.0]) is None
    assert median([2.0, 4.0]) == 3.0


def test_figures_and_table_of_given_numbers():
    findings = Findings([OURS, THEIRS])
    figures = compare.figures(findings)
    assert list(figures) == ["learning_curves", "returns", "times"]
    labels = figures["learning_curves"].axes[0].get_legend_handles_labels()[1]
    assert labels == ["Balancier (2 seeds)", "Stable-Baselines3 (1 seed)", "threshold", "optimum"]
    for figure in figures.values():
        figure.draw_without_rendering()
    cells = [list(column.cells) for column in compare.table(findings).columns]
    assert [cell[0] for cell in cells][:5] == ["sac", "balancier", "2", "40", "8.0"]
    assert [cell[1] for cell in cells][6:] == ["10.0", "never", "never", ""]
    assert [cell[0] for cell in cells][6:] == ["70.0", "15", "3.0", "5.0"]
