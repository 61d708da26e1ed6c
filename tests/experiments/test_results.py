import json

import numpy as np
import pytest
from PIL import Image

from agents.evaluation import TEST_SEED, evaluate
from experiments import __main__ as cli
from experiments import results
from experiments.common import training
from experiments.common.hyperparams import tuned
from experiments.common.training import Training, make
from experiments.results import ROWS, Findings, Results, Row, plan, selected

PENDULUM = "balancier/Pendulum-v0"


@pytest.mark.slow
def test_the_table_of_results(tmp_path):
    """One line, really learned: CartPole by PPO reaches the return that SB3's zoo publishes."""
    command = ["results", "--quick", "--seeds", "3", "--eval-episodes", "20", "--jobs", "1"]
    assert cli.main([*command, "--out", str(tmp_path / "run")]) == 0
    (line,) = json.loads((tmp_path / "run" / "result.json").read_text())["lines"]
    assert line["name"] == "PPO on CartPole-v1"
    assert line["iqm"] >= 475
    assert line["regret"] is None
    page = (tmp_path / "run" / "results.md").read_text()
    assert "| PPO on CartPole-v1 | 3 | " in page
    assert "| 500.0 ± 0.0 in 100,000 |" in page
    assert Image.open(tmp_path / "run" / "results.png").size[0] > 400


def test_a_line_is_trained_with_what_was_tuned_for_it(tmp_path, monkeypatch):
    row = Row("sac", PENDULUM, "gru", "angle", steps=40)
    monkeypatch.setattr(results, "ROWS", [row])
    monkeypatch.setattr(training, "EVALUATIONS", 1)
    small = ["--seeds", "2", "--eval-episodes", "2", "--jobs", "1", "--out", str(tmp_path / "run")]
    assert results.main(small) == 0
    (line,) = json.loads((tmp_path / "run" / "result.json").read_text())["lines"]
    keywords = tuned("sac", PENDULUM, "gru") | {"env_kwargs": {"observation": "angle"}}
    agent = make("sac", PENDULUM, [0, 1], keywords).learn(40)
    starts = range(TEST_SEED, TEST_SEED + 2)
    returns = evaluate(agent, PENDULUM, starts, agent.env_kwargs).mean(1)
    assert line["name"] == "SAC on Pendulum-v0 (gru, angle)"
    assert line["returns"] == pytest.approx(returns, rel=1e-6)
    assert line["regret"] > 0
    assert "| SAC on Pendulum-v0 (gru, angle) | 2 | 40 |" in (tmp_path / "run" / "results.md").read_text()


def test_lines_are_selected_by_any_of_their_names():
    assert selected(Results()) == ROWS
    assert selected(Results(only=("SAC on Pendulum-v0",))) == [ROWS[0]]
    assert {row.agent for row in selected(Results(only=("td3", "a2c")))} == {"td3", "a2c"}
    assert {row.network for row in selected(Results(only=("lstm", "pixels")))} == {"lstm", "cnn"}
    assert [row.name for row in selected(Results(quick=True))] == ["PPO on CartPole-v1"]


def test_a_line_has_its_own_steps_or_the_tuned_ones_and_its_own_number_of_seeds():
    jobs = {job.name: job for job in plan(Results(seeds=5, seed=3, only=("dqn",)))}
    assert jobs["DQN on PendulumDiscrete-v0 (cnn, pixels)"].seeds == (3, 4, 5)
    assert jobs["DQN on CartPole-v1"].seeds == (3, 4, 5, 6, 7)
    assert jobs["DQN on CartPole-v1"].settings[0].budget == 50_000
    assert jobs["DQN on PendulumDiscrete-v0"].settings[0].budget == 15_000
    assert all(row.budget > 0 for row in ROWS)


def test_an_environment_that_is_not_installed_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(results, "is_installed", lambda env: env != "CartPole-v1")
    results.check(Results(only=("ppo",)))
    assert "CartPole-v1 is left out, it needs" in capsys.readouterr().out
    assert "PPO on CartPole-v1" not in {job.name for job in plan(Results(only=("ppo",)))}
    with pytest.raises(results.UsageError, match="--only: found nothing that is installed"):
        results.check(Results(only=("CartPole-v1",)))


def test_cells_by_hand():
    curve = np.array([[-3.0, -1.0]])
    training = Training(np.array([7_000]), np.array([1.0]), curve, curve.T, 2.4)
    row = Row("ppo", "CartPole-v1", published=(500.0, 0.0, 100_000))
    (line,) = Findings(Results(seeds=2), {row: training}).lines
    assert results.cells(line)[:4] == ["PPO on CartPole-v1", "2", "7,000", "2"]
    assert results.cells(line)[5:] == ["-3.0", "-", "500.0 ± 0.0 in 100,000"]
