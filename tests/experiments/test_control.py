"""The lesson on classical controllers, and the same controllers in compare and watch."""

import json

import numpy as np
import pytest
from rich.console import Console

from experiments import compare, watch
from experiments import control as lesson
from experiments.common import training
from experiments.common.flags import UsageError
from experiments.common.players import CONTROLLERS, controller
from experiments.compare import Compare
from experiments.control import Control, Performance, mean_interval, row, seconds_to_top


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(Control(quick=True, seeds=2, jobs=1))


def test_everybody_is_tested_from_the_same_starts(findings):
    assert list(findings.performances) == [*CONTROLLERS, "sac", "ppo"]
    assert [performance.returns.shape for performance in findings.performances.values()] == [(1, 10)] * 7 + [
        (2, 10)
    ] * 2
    assert findings.flags.starts == range(10_000, 10_010)


def test_planning_comes_close_to_the_optimum_and_lqr_alone_does_not(findings):
    regret = {name: row["regret"] for name, row in findings.rows.items()}
    assert abs(regret["optimum"]) < 0.1
    assert -1 < regret["mpc"] < 3
    assert -1 < regret["ilqr"] < 3
    assert -1 < regret["mpc-cem"] < 15
    assert max(regret["mpc"], regret["ilqr"]) < regret["lqr-energy"] < 60
    assert regret["lqr-energy"] < regret["energy"] < 120
    assert regret["lqr"] > 300
    assert regret["sac"] < 60


def test_only_lqr_alone_stays_below(findings):
    rows = findings.rows
    assert rows["lqr"]["seconds_to_top"] is None
    assert all(rows[name]["seconds_to_top"] < 8 for name in rows if name not in ("lqr", "ppo"))
    assert rows["ilqr"]["seconds_to_top"] <= rows["lqr-energy"]["seconds_to_top"] <= rows["energy"]["seconds_to_top"]


def test_planning_costs_time_but_less_than_a_step_of_the_pendulum(findings):
    rows = findings.rows
    assert rows["lqr"]["milliseconds"] < rows["mpc"]["milliseconds"] < 200  # 50 ms on a free processor
    assert rows["ilqr"]["first_milliseconds"] > 10 * rows["ilqr"]["milliseconds"]  # its plan is made once


def test_the_region_of_lqr_is_a_band(findings):
    assert 0.1 < findings.attracted.mean() < 0.5
    assert np.rad2deg(findings.rest_angle) == pytest.approx(np.rad2deg(np.arcsin(0.4)), abs=6.5)  # two points
    assert (findings.attracted != findings.attracted[::-1, ::-1]).mean() < 0.01  # the mirror image


def test_every_figure_has_a_caption_and_says_numbers_that_were_found(findings):
    figures = lesson.figures(findings)
    assert list(figures) == list(lesson.PAGE.captions)
    assert f"{findings.attracted.mean():.0%}" in figures["region"].get_suptitle()
    assert f"MPC by iLQR {lesson.rounded(findings.rows['mpc']['regret'])}" in figures["regret"].get_suptitle()
    assert "iLQR" in figures["swing_up"].get_suptitle()
    for figure in figures.values():
        figure.draw_without_rendering()
    assert lesson.table(findings).row_count == 9


# By hand


def performed(returns, training=None):
    states = np.array([[np.pi, 0.0], [0.05, 0.0], [0.2, 0.0], [2 * np.pi + 0.01, 0.0], [2 * np.pi, 0.0]])
    return Performance(
        np.array(returns), np.full((4, 2), -1.5), states, np.zeros(4), -9.0, np.array([0.5, 1e-3, 3e-3]), training
    )


def test_a_row_by_hand():
    numbers = row(performed([[-3.0, -6.0]]), np.array([-2.0, -1.0]))
    assert numbers["regret"] == 3.0
    assert numbers["worst"] == 5.0
    assert numbers["effort"] == pytest.approx(4 * 1.5 * 0.05)
    assert numbers["milliseconds"] == pytest.approx(2.0)
    assert numbers["first_milliseconds"] == pytest.approx(500.0)
    assert numbers["over"] == "starts"
    assert numbers["ci95"] == (1.0, 5.0)
    assert numbers["seconds_to_top"] == pytest.approx(3 * 0.05)
    assert numbers["train_seconds"] is None


def test_an_agent_has_the_interval_of_its_seeds():
    trained = training.Training(np.array([1]), np.array([1.0]), np.zeros((1, 2)), np.zeros((2, 2)), 7.0)
    numbers = row(performed([[-3.0, -6.0], [-1.0, -2.0]], trained), np.array([-1.0, -1.0]))
    assert numbers["regrets"].tolist() == [3.5, 0.5]
    assert numbers["regret"] == 2.0
    assert numbers["over"] == "seeds"
    assert numbers["train_seconds"] == 7.0


def test_who_leaves_the_top_again_was_not_there_to_stay():
    assert seconds_to_top(np.array([[0.0, 0], [0.0, 0], [1.0, 0]])) is None
    assert seconds_to_top(np.array([[0.0, 0], [0.0, 0]])) == 0.0


def test_the_interval_of_a_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = mean_interval(values)
    assert low == pytest.approx(values.mean() - 1.96 * 0.1, abs=0.03)
    assert high == pytest.approx(values.mean() + 1.96 * 0.1, abs=0.03)
    assert mean_interval(np.full(3, 2.0)) == (2.0, 2.0)


def test_quick_is_smaller():
    flags = Control(quick=True)
    assert (len(flags.all_seeds), len(flags.starts), flags.points_to_try) == (2, 10, 61)
    assert (flags.steps_of("sac"), flags.steps_of("ppo")) == (4_000, 20_000)
    assert (Control().steps_of("sac"), Control().steps_of("ppo")) == (5_500, 35_000)


@pytest.mark.slow
def test_the_files_of_a_run(tmp_path):
    assert lesson.main(["--quick", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path)]) == 0
    names = {"region.png", "swing_up.png", "regret.png", "metrics.csv", "config.json", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result) == ["seconds", "starts", "optimum", "agents", "attracted_share", "attracted_at_rest"]
    assert result["agents"]["mpc"]["regret"] < 5


@pytest.mark.parametrize(("flags", "words"), [
    (["--eval-episodes", "1"], "--eval-episodes: found 1, expected at least 2"),
    (["--points", "5"], "--points: found 5, expected at least 11"),
    (["--seeds", "0"], "--seeds: found 0, expected at least 1"),
])  # fmt: skip
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


# compare --with, and watch


def test_compare_shows_controllers_beside_the_agents(monkeypatch):
    monkeypatch.setattr(compare, "EVALUATIONS", 4)
    monkeypatch.setattr(training, "STARTS", 2)
    monkeypatch.setattr(compare, "run_all", lambda work, jobs, *_: {job: work(job, lambda _: None) for job in jobs})
    names = "optimum", "lqr-energy", "ilqr"
    flags = Compare(agents=("ppo",), steps=2_048, seeds=2, baseline_seeds=0, eval_episodes=3, controllers=names)
    compare.check(flags)
    findings = compare.measure(flags)
    assert [reference.name for reference in findings.references] == list(names)
    regrets = [values["regret"] for values in compare.result(findings)["controllers"]]
    assert regrets[0] == pytest.approx(0, abs=0.1)
    assert -1 < regrets[2] < 5
    assert regrets[2] < regrets[1] < 60
    table = compare.table(findings)
    assert table.row_count == 4
    assert list(table.columns[0].cells)[1:] == ["optimum", "energy + LQR", "iLQR"]
    with (console := Console(width=130)).capture() as shown:
        console.print(table)
    assert "iLQR" in shown.get()
    ticks = [text.get_text() for text in compare.figures(findings)["returns"].axes[0].get_xticklabels()]
    assert [tick.split("\n")[0] for tick in ticks] == ["ours", "optimum", "energy + LQR", "iLQR"]


def test_without_controllers_a_comparison_has_none():
    assert compare.references(Compare()) == {}


@pytest.mark.parametrize(("command", "words"), [
    (["--with", "lqg"], "--with: found lqg, expected different ones of energy, lqr, lqr-energy, ilqr, mpc, mpc-cem"),
    (["--with", "mpc", "mpc"], "--with: found mpc mpc, expected different ones of"),
    (["--with", "mpc", "--env", "CartPole-v1", "--agents", "ppo"], "--with: found mpc in CartPole-v1, expected"),
])  # fmt: skip
def test_compare_refuses_what_is_no_controller(command, words, capsys, tmp_path):
    assert compare.main([*command, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_watch_shows_controllers(tmp_path, capsys):
    gif = tmp_path / "a.gif"
    assert watch.main(["optimum", "lqr-energy", "ilqr", "--gif", str(gif), "--size", "100"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    returns = [
        float(words.split(f"{name} -")[1].split(",")[0].split()[0]) for name in ("optimum", "energy + LQR", "iLQR")
    ]
    assert returns[2] < returns[0] + 1 < returns[1]  # costs
    assert gif.stat().st_size > 10_000


def test_a_controller_knows_the_pendulum_and_the_length_of_the_episode():
    player = controller("ilqr", "Pendulum-v1", {"g": 9.0, "max_episode_steps": 50})
    assert player.label == "iLQR"
    assert player.model.pendulum.gravity == 9.0
    assert player.model.horizon == 50
    with pytest.raises(UsageError, match="run: found mpc with the range of length, expected one number each"):
        controller("mpc", "balancier/Pendulum-v0", {"length": [0.5, 1.0]})
