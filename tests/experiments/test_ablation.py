"""The ablation of DQN: a variant differs by its switch alone, and its numbers are those of its own training."""

import dataclasses
import json

import numpy as np
import pytest

from agents.evaluation import TEST_SEED, evaluate
from experiments import ablation
from experiments.ablation import make_variant
from experiments.common import training
from experiments.common.hyperparams import tuned
from experiments.common.training import Training

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"


@pytest.mark.parametrize("env", [DISCRETE, "CartPole-v1"])
def test_a_variant_differs_from_the_plain_agent_by_its_switch_alone(env):
    switches = {"double": "double", "dueling": "dueling", "3 steps": "n_step", "prioritized": "prioritized"}
    plain = dataclasses.asdict(make_variant("plain", env, [0]).config)
    assert [plain[name] for name in ("double", "dueling", "n_step", "prioritized")] == [False, False, 1, False]
    for name, value in tuned("dqn", env).items():
        assert name in ("network", "double", "n_step") or plain[name] == value
    for variant, switch in switches.items():
        config = dataclasses.asdict(make_variant(variant, env, [0]).config)
        assert {name for name in plain if config[name] != plain[name]} == {switch}
    config = dataclasses.asdict(make_variant("all four", env, [0]).config)
    assert [config[name] for name in ("double", "dueling", "n_step", "prioritized")] == [True, True, 3, True]


def test_rows_of_the_ablation_by_hand():
    """Returns -3, -1 against the plain agent's -4, -2: better in three of four pairs; the optimum is -1."""
    steps, seconds, curve = np.array([1]), np.array([2.5]), np.zeros((1, 2))
    plain, better = (
        Training(steps, seconds, curve, np.array(returns)[:, None], 2.5) for returns in ([-4.0, -2.0], [-3.0, -1.0])
    )
    row = ablation.row(better, plain, -1.0)
    assert row["returns"].tolist() == [-3.0, -1.0]
    assert (row["iqm"], row["regret"], row["seconds"], row["probability_of_improvement"]) == (-2.0, 1.0, 2.5, 0.75)
    assert ablation.row(plain, plain, None)["probability_of_improvement"] == 0.5
    assert ablation.row(plain, plain, None)["regret"] is None


def test_the_ablation_plans_all_variants_with_the_same_seeds_and_steps():
    jobs = ablation.plan(ablation.Ablation(seeds=3, seed=5))
    assert sorted(job.name for job in jobs) == sorted(ablation.VARIANTS)
    assert {(job.settings.env, job.seeds, job.settings.steps_to_train) for job in jobs} == {
        (DISCRETE, (5, 6, 7), 15_000)
    }
    jobs = ablation.plan(ablation.Ablation(seed=2, quick=True))
    assert {(job.seeds, job.settings.steps_to_train) for job in jobs} == {((2, 3, 4, 5, 6), 8_000)}


@pytest.mark.parametrize(("command", "words"), [
    (["--env", PENDULUM], "--env: dqn cannot train on balancier/Pendulum-v0"),
    (["--env", "Nowhere-v0"], "--env: found 'Nowhere-v0', expected an id that Gymnasium knows"),
    (["--steps", "3"], "--steps: found 3, expected at least 20"),
    (["--eval-episodes", "0"], "--eval-episodes: found 0, expected at least 1"),
    (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
])  # fmt: skip
def test_bad_input_is_refused_in_one_line(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ablation.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(tmp_path.iterdir()) == []


def test_the_ablation_writes_one_figure_and_every_number(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "EVALUATIONS", 1)
    small = ["--steps", "205", "--seeds", "2", "--eval-episodes", "3", "--jobs", "1", "--out", str(tmp_path / "run")]
    assert ablation.main(small) == 0
    assert "6 variants x 2 seeds, about" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert list(result["variants"]) == ["plain", "double", "dueling", "3 steps", "prioritized", "all four"]
    for name, row in result["variants"].items():
        agent = make_variant(name, DISCRETE, (0, 1)).learn(205)
        returns = evaluate(agent, DISCRETE, range(TEST_SEED, TEST_SEED + 3)).mean(1)
        assert row["returns"] == pytest.approx(returns, rel=1e-3)  # each row is its own variant's
    assert len({tuple(row["returns"]) for row in result["variants"].values()}) > 3
    assert [path.name for path in (tmp_path / "run").glob("*.png")] == ["ablation.png"]
    assert ablation.PAGE.captions.keys() == {"ablation"}


def test_a_variant_is_clearly_better_where_the_intervals_lie_apart():
    ends = {"plain": (-300, -135), "double": (-140, -120), "dueling": (-134, -120), "3 steps": (-900, -400)}
    assert ablation.clearly_better({name: {"ci95": interval} for name, interval in ends.items()}) == ["dueling"]


@pytest.mark.slow
def test_the_quick_form_learns_and_claims_no_more_than_its_intervals_show():
    """After 8,000 steps plain DQN is as good as the refinements."""
    result = ablation.result(ablation.measure(ablation.Ablation(quick=True, jobs=1)))
    variants = result["variants"]
    assert variants["plain"]["regret"] < 40
    assert all(row["regret"] < 250 for row in variants.values())  # doing nothing: above 1,000
    assert variants["prioritized"]["regret"] < 40
    assert result["clearly_better"] == []
