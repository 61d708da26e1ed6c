"""The table of results: which lines are made, and the numbers in them."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import __main__ as cli
from experiments import results
from experiments.common.parallel import Job
from experiments.common.training import Training
from experiments.results import ROWS, Findings, Results, Row, chosen, forecast, plan, train


@pytest.mark.parametrize(("command", "words"), [
    (["--only", "MountainCra-v0"], "--only: found 'MountainCra-v0', expected a line's whole name or"),
    (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
    (["--eval-episodes", "0"], "--eval-episodes: found 0, expected at least 1"),
])  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["results", *command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_table_of_results(tmp_path, capsys):
    """One line, really learned: CartPole by PPO reaches what SB3's zoo publishes."""
    command = ["results", "--quick", "--seeds", "3", "--eval-episodes", "20", "--out", str(tmp_path / "run")]
    assert cli.main(command) == 0
    (line,) = json.loads((tmp_path / "run" / "result.json").read_text())["lines"]
    assert line["name"] == "PPO on CartPole-v1"
    assert line["iqm"] >= 475
    assert line["regret"] is None
    page = (tmp_path / "run" / "results.md").read_text()
    assert "| PPO on CartPole-v1 | 3 | " in page
    assert "| 500.0 ± 0.0 in 100,000 |" in page
    assert Image.open(tmp_path / "run" / "results.png").size[0] > 400


def test_lines_are_chosen_by_any_of_their_names():
    assert chosen(Results()) == ROWS
    assert [row.name for row in chosen(Results(quick=True))] == ["PPO on CartPole-v1"]
    assert [row.name for row in chosen(Results(only=("PPO on Recall-v0 (gru)", "angle")))] == [
        "SAC on Pendulum-v0 (gru, angle)",
        "PPO on Recall-v0 (gru)",
    ]
    assert {row.env for row in chosen(Results(only=("Pendulum-v0",)))} == {"balancier/Pendulum-v0"}


def test_every_line_has_a_budget_and_a_name_of_its_own():
    assert all(row.budget > 0 for row in ROWS)
    assert len({row.name for row in ROWS}) == len(ROWS)
    (pixels,) = plan(Results(only=("pixels",), seed=4))
    assert pixels.seeds == (4, 5, 6)


def test_an_environment_that_is_not_installed_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(results, "is_installed", lambda env: env != "LunarLander-v3")
    assert "LunarLander-v3 is left out, it needs: python -m pip install box2d" in forecast(Results(only=("dqn",)))
    assert all(job.settings[0].env != "LunarLander-v3" for job in plan(Results(only=("dqn",))))
    assert cli.main(["results", "--only", "LunarLander-v3"]) == 2
    assert "LunarLander-v3 is left out, it needs: python -m pip install box2d" in capsys.readouterr().err


def test_a_job_trains_its_line():
    """With its network and its observation: the return of a recurrent network that sees only the angle."""
    row = Row("ppo", "balancier/Pendulum-v0", "gru", "angle", steps=160)
    done: list[float] = []
    training = train(Job(row.name, (0, 1), 3.0, (row, 2)), done.append)
    assert training.steps[-1] == 160
    assert training.test_returns.shape == (2, 2)
    assert sum(done) == pytest.approx(3.0)


def findings(optimum):
    """A line of two seeds, by hand."""
    row = Row("sac", "balancier/Pendulum-v0", published=(-150.0, 80.0, 20_000))
    curve = np.array([[-900.0, -800.0], [-170.0, -150.0]])
    test_returns = np.array([[-180.0, -160.0], [-150.0, -150.0]])
    training = Training(np.array([500, 1000]), np.array([1.0, 2.0]), curve, test_returns, 2.25)
    return Findings(
        Results(seeds=2, only=("sac", "PPO on CartPole-v1"), eval_episodes=2), {row: training}, {row.env: optimum}
    )


def test_the_numbers_of_a_line_by_hand():
    (line,) = results.result(findings(-140.0))["lines"]
    assert line["returns"].tolist() == [-170.0, -150.0]
    assert {key: line[key] for key in ("name", "steps", "seconds", "published", "iqm", "regret")} == {
        "name": "SAC on Pendulum-v0", "steps": 1000, "seconds": 2.25, "published": (-150.0, 80.0, 20_000),
        "iqm": -160.0, "regret": 20.0,
    }  # fmt: skip
    assert results.cells(line)[:4] == ["SAC on Pendulum-v0", "2", "1,000", "2"]
    assert results.cells(line)[5:] == ["-170.0", "20.0", "-150.0 ± 80.0 in 20,000"]
    assert results.result(findings(None))["lines"][0]["regret"] is None
    logged = [(step, name, list(values), seeds) for step, name, values, seeds in results.metrics(findings(None))]
    assert logged[1] == (1000, "SAC on Pendulum-v0/return", [-170.0, -150.0], [0, 1])


def test_the_page_holds_the_table_and_the_command():
    page = results.page(findings(-140.0))
    assert "`balancier results --only sac 'PPO on CartPole-v1'`" in page
    assert "| SAC on Pendulum-v0 | 2 | 1,000 | 2 | -160.0 [" in page
    assert "| -170.0 | 20.0 | -150.0 ± 80.0 in 20,000 |" in page
    assert results.table(findings(-140.0)).row_count == 1
    figures = results.figures(findings(-140.0))
    assert list(figures) == ["results"]
    figures["results"].draw_without_rendering()
