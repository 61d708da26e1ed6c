"""The table of results: which lines are made, and the numbers in them."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from experiments import __main__ as cli
from experiments import results
from experiments.common.parallel import INTERRUPTED, Failure, Job
from experiments.common.training import Training
from experiments.results import ROWS, Findings, Published, Results, Row, chosen, forecast, plan, train


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
    assert "| 500.0 ± 0.0 in 100,000 * |" in page
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


@pytest.fixture(autouse=True)
def optimum_of_all_starts(monkeypatch):
    monkeypatch.setattr(results, "optimum_of_all_starts", lambda: -138.0)


def findings(optimum):
    """A line of two seeds, by hand."""
    row = Row("sac", "balancier/Pendulum-v0", published=Published(-150.0, 80.0, 20_000, 400, "Pendulum-v1", "sac"))
    curve = np.array([[-900.0, -800.0], [-170.0, -150.0]])
    test_returns = np.array([[-180.0, -160.0], [-150.0, -150.0]])
    training = Training(np.array([500, 1000]), np.array([1.0, 2.0]), curve, test_returns, 2.25)
    flags = Results(seeds=2, only=("sac", "PPO on CartPole-v1"), eval_episodes=2)
    return Findings(flags, {row: training}, {row.env: optimum}, {row.env: optimum})


def test_the_numbers_of_a_line_by_hand():
    (line,) = results.result(findings(-140.0))["lines"]
    assert line["returns"].tolist() == [-170.0, -150.0]
    assert {key: line[key] for key in ("name", "steps", "seconds", "iqm", "regret")} == {
        "name": "SAC on Pendulum-v0", "steps": 1000, "seconds": 2.25, "iqm": -160.0, "regret": 20.0,
    }  # fmt: skip
    assert line["published"]["mean"] == -150.0
    assert line["published_regret"] == (12.0, 4.0)  # against the optimum of all starts; 80 / sqrt(400)
    assert results.cells(line)[:4] == ["SAC on Pendulum-v0", "2", "1,000", "2"]
    assert results.cells(line)[5:] == ["-170.0", "20.0", "regret 12.0 ± 4.0 in 20,000"]
    (line,) = results.result(findings(None))["lines"]
    assert line["regret"] is line["published_regret"] is None
    assert results.cells(line)[6:] == ["-", "-150.0 ± 4.0 in 20,000 *"]
    logged = [(step, name, list(values), seeds) for step, name, values, seeds in results.metrics(findings(None))]
    assert logged[1] == (1000, "SAC on Pendulum-v0/return", [-170.0, -150.0], [0, 1])


# benchmark.md of the zoo at commit 61a0d134 of 2023-04-11, read by hand: algorithm, environment, mean, standard
# deviation, steps, episodes.
BENCHMARK = """
a2c      CartPole-v1               500.000   0.000  500k  300
a2c      Pendulum-v1              -162.965 103.210  1M    750
dqn      Acrobot-v1                -76.639  11.752  100k 1932
dqn      CartPole-v1               500.000   0.000  50k   300
dqn      LunarLander-v2            154.382  79.241  100k  200
dqn      MountainCar-v0           -100.849   9.925  120k 1487
ppo      CartPole-v1               500.000   0.000  100k  300
ppo      Pendulum-v1              -172.225 104.159  100k  750
ppo_lstm PendulumNoVel-v1         -217.933 140.094  100k  750
sac      MountainCarContinuous-v0   94.679   1.134  50k  1443
sac      Pendulum-v1              -156.995  88.714  20k   750
td3      Pendulum-v1              -151.855  90.227  20k   750
"""


def test_published_numbers_are_those_of_the_zoos_benchmark():
    found = sorted(
        (row.published.agent, row.published.env, row.published.mean, row.published.std, row.published.steps,
         row.published.episodes)
        for row in ROWS if row.published
    )  # fmt: skip
    expected = []
    for agent, env, mean, std, steps, episodes in map(str.split, BENCHMARK.strip().splitlines()):
        number = int(steps.replace("k", "000").replace("M", "000000"))
        expected.append((agent, env, float(mean), float(std), number, int(episodes)))
    assert found == sorted(expected)
    assert "commit 61a0d134 of 2023-04-11" in results.__doc__


def test_published_returns_of_other_starts_stand_as_regret_or_are_marked():
    """And the zoo's environment and agent are named where they are not ours."""

    def cell(name, optimum):
        (row,) = [row for row in ROWS if row.name == name]
        training = next(iter(findings(None).trainings.values()))
        return results.published_cell(results.line(row, training, optimum))

    assert cell("SAC on Pendulum-v0", -130.0) == "regret 19.0 ± 3.2 in 20,000"
    assert cell("A2C on Pendulum-v0", -130.0) == "regret 25.0 ± 3.8 in 1,000,000"
    angle = "regret 79.9 ± 5.1 in 100,000 (ppo_lstm, PendulumNoVel-v1)"
    assert cell("SAC on Pendulum-v0 (gru, angle)", -130.0) == angle
    assert cell("DQN on LunarLander-v3", None) == "154.4 ± 5.6 in 100,000 * (LunarLander-v2)"
    assert cell("DQN on Acrobot-v1", None) == "-76.6 ± 0.3 in 100,000 *"
    assert cell("REINFORCE on Pendulum-v0", -130.0) == "-"


def test_the_optimum_of_all_starts(monkeypatch):
    monkeypatch.undo()
    assert results.optimum_of_all_starts() == pytest.approx(-138.2, abs=0.1)


def test_the_page_holds_the_table_and_the_command():
    page = results.page(findings(-140.0))
    assert "`balancier results --seeds 2 --eval-episodes 2 --only sac 'PPO on CartPole-v1'`" in page
    assert "those here begin with seed\n0. The" in page
    assert "| SAC on Pendulum-v0 | 2 | 1,000 | 2 | -160.0 [" in page
    assert "| -170.0 | 20.0 | regret 12.0 ± 4.0 in 20,000 |" in page
    assert "(-140.0 on Pendulum-v0)" in page
    assert "distribution of starts, -138.0." in page
    assert "not in the table" not in page
    assert results.table(findings(-140.0)).row_count == 1
    figures = results.figures(findings(-140.0))
    assert list(figures) == ["results"]
    (line,) = [line for line in figures["results"].axes[0].lines if line.get_linestyle() == "--"]
    assert line.get_ydata()[0] == -152.0  # the published regret below the optimum of the starts that are drawn
    figures["results"].draw_without_rendering()


@pytest.mark.parametrize(("message", "status"), [(INTERRUPTED, 130), ("ValueError: NaN", 0)])
def test_finished_lines_are_kept(message, status, monkeypatch, tmp_path, capsys):
    """When the run is interrupted, or another line fails; the page says what it lacks."""

    def run_all(work, jobs, *_):
        jobs = [dataclasses.replace(job, settings=(dataclasses.replace(job.settings[0], steps=160), 1)) for job in jobs]
        first, *others = jobs
        return {first: work(first, lambda _: None)} | dict.fromkeys(others, Failure(message))

    monkeypatch.setattr(results, "run_all", run_all)
    command = ["results", "--only", "CartPole-v1", "--seeds", "2", "--eval-episodes", "1", "--out", str(tmp_path)]
    assert cli.main(command) == status
    page = (tmp_path / "results.md").read_text()
    assert page.count("\n| PPO on CartPole-v1 | 2 |") == 1
    assert f"A2C on CartPole-v1 is not in the table: {message}." in page
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["lines"]) == 1
    assert result["failures"] == {"A2C on CartPole-v1": message, "DQN on CartPole-v1": message}
    assert "A2C on CartPole-v1 is not in the table" in capsys.readouterr().out
