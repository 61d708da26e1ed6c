"""The lesson on value iteration, Q-learning and DQN: its numbers, its files, and the flags that it refuses."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from envs.grid import pendulum_grid
from experiments import q_learning as lesson
from experiments.common.parallel import Job
from experiments.common.training import mean_optimum


def in_this_process(work, jobs, *_, **__):
    """The jobs one after the other, as they would arrive in another process."""
    return [work(pickle.loads(pickle.dumps(job)), lambda amount: None) for job in jobs]


@pytest.fixture(scope="module")
def findings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson, "run_parallel", in_this_process)  # tests/experiments/test_forecast.py has processes
        return lesson.measure(lesson.QLearning(steps=220, episodes=1280, angles=8, speeds=7, seeds=2))


def test_the_numbers_of_the_lesson(findings):
    result = lesson.result(findings)
    assert list(result["methods"]) == ["value iteration", "Q-learning", "DQN"]
    assert [len(row["returns"]) for row in result["methods"].values()] == [1, 2, 2]
    assert all(result["optimum"] > max(row["returns"]) for row in result["methods"].values())
    assert result["optimum"] == pytest.approx(-126.3, abs=0.5)
    assert result["methods"]["Q-learning"]["steps"] == 1280 * 20
    assert result["methods"]["value iteration"]["error_on_grid"] == 0
    assert result["methods"]["DQN"]["error_on_grid"] is None
    assert len(result["replicas"]) == 8
    metrics = list(lesson.metrics(findings))
    assert {tuple(seeds) for *_, seeds in metrics} == {(0, 1)}
    last = [values for step, name, values, _ in metrics if name.startswith("Q-learning") and step == 25_600]
    assert len(last) == 8
    assert np.mean(last[0]) == pytest.approx(result["methods"]["Q-learning"]["error_on_grid"], abs=1e-6)


def test_the_files_of_a_run(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "LESSON", replace(lesson.LESSON, measure=lambda flags: findings))
    assert lesson.main(["--seeds", "2", "--out", str(tmp_path)]) == 0
    figures = {"value_iteration.png", "values.png", "policies.png", "errors.png", "replicas.png"}
    assert {path.name for path in tmp_path.iterdir()} >= figures | {"config.json", "result.json", "metrics.csv"}
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result) == ["seconds", "grid", "gamma", "sweeps", "optimum", "methods", "grid_errors", "replicas"]
    assert result["grid"] == [8, 7]
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + (8 * len(findings.steps) + 20) * 2  # settings of Q-learning, evaluations of DQN, seeds
    assert lines[1].startswith('2560,0,"Q-learning, gamma 0.99, learning rate 1, decay 0.55, epsilon 0.3/error",')
    assert lines[-1].startswith("220,1,DQN/return,")


@pytest.mark.parametrize(("flags", "words"), [
    (["--steps", "3"], "--steps: found 3, expected at least 20"),
    (["--episodes", "5"], "--episodes: found 5, expected at least 128"),
    (["--angles", "3"], "--angles: found 3, expected 4 to 200"),
    (["--speeds", "500"], "--speeds: found 500, expected 3 to 121"),
    (["--gamma", "1"], "--gamma: found 1.0, expected above 0 and at most 0.999"),
    (["--gamma", "nan"], "--gamma: found nan"),
    (["--jobs", "0"], "--jobs: found 0, expected at least 1"),
])  # fmt: skip
def test_bad_flags_are_refused_before_the_first_step(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_quick_only_makes_numbers_smaller():
    assert lesson.QLearning(quick=True, steps=100).reduced == lesson.QLearning(
        quick=True, steps=100, episodes=75_000, angles=20, speeds=17
    )
    assert lesson.QLearning().reduced == lesson.QLearning()


def test_more_episodes_come_nearer_to_value_iteration():
    flags = lesson.QLearning(episodes=20_480, angles=12, speeds=9)
    job = Job("Q-learning", (0, 1), 1.0, (flags, (lesson.Setting(0.99), lesson.Setting(0.9))))
    steps, errors, q, _ = lesson.learn_tables(job, lambda _: None)
    assert steps[-1] == 20_480 * 20
    assert errors.shape == (len(steps), 2, 2)
    assert (errors[-1, 0] < 0.5 * errors[0, 0]).all()
    assert (errors[-1, 1] < 0.03 * errors[0, 1]).all()
    assert (np.diff(errors[::3], axis=0) < 0).all()
    solved = lesson.solution(pendulum_grid(12, 9, lesson.TORQUES), 0.99).max(1)
    np.testing.assert_allclose(errors[-1, 0], np.sqrt(((q[0].max(-1) - solved) ** 2).mean(-1)))


def test_the_policy_of_the_grid_is_good_in_the_environment():
    """Measured: a regret of 6.8 on the default grid and of 3 on one four times as fine."""
    best = mean_optimum(lesson.ENV, lesson.TEST_SEEDS)
    assert best is not None
    grids = pendulum_grid(30, 21, lesson.TORQUES), pendulum_grid(120, 81, lesson.TORQUES)
    regret = [best - lesson.greedy_returns(grid, lesson.solution(grid, 0.99)[None]).item() for grid in grids]
    assert 4 < regret[0] < 9
    assert 0 < regret[1] < 4.5


def test_all_panels_share_one_setting():
    for gamma, count in ((0.99, 8), (0.9, 7)):
        assert {next(iter(panel.values())) for panel in lesson.panels(gamma).values()} == {lesson.Setting(gamma)}
        assert len(lesson.all_settings(gamma)) == len(set(lesson.all_settings(gamma))) == count


def test_the_median_seed_has_the_median_return():
    zeros = np.zeros(4)
    method = lesson.Method(zeros, zeros, zeros, None, np.array([-30.0, -10.0, -40.0, -20.0]), 1, 0.0)
    assert method.median_seed == 0  # the lower one of the two in the middle


def test_captions_belong_to_the_figures(findings):
    drawn = lesson.figures(findings)
    assert drawn.keys() == lesson.PAGE.captions.keys()
    assert all(figure.get_size_inches()[0] <= 2.2 * figure.get_size_inches()[1] for figure in drawn.values())


@pytest.fixture(scope="module")
def quick():
    """The numbers of the quick form."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson, "run_parallel", in_this_process)
        findings = lesson.measure(lesson.QLearning(quick=True))
    return findings, lesson.result(findings)


@pytest.mark.slow
def test_all_three_methods_control_the_pendulum_in_the_quick_form(quick):
    methods = quick[1]["methods"]
    assert all(row["regret"] < 25 for row in methods.values())  # doing nothing: above 1,000
    assert methods["DQN"]["steps"] * 100 < methods["Q-learning"]["steps"]


@pytest.mark.slow
def test_the_coarse_grid_makes_the_error_of_the_method_that_knows_the_model(quick):
    """Its V is exact on the grid and too low in the pendulum; Q-learning comes down to it from above."""
    result, methods = quick[1], quick[1]["methods"]
    errors = [row["error"] for row in result["grid_errors"]]
    assert errors[0] == pytest.approx(methods["value iteration"]["error"])
    assert len(errors) == 3
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]
    assert methods["value iteration"]["error_on_grid"] == 0
    assert methods["Q-learning"]["error_on_grid"] < 0.5 * errors[0]
    assert methods["value iteration"]["bias"] < methods["Q-learning"]["bias"] < 0


@pytest.mark.slow
def test_settings_of_q_learning_matter_as_the_figure_says(quick):
    findings = quick[0]
    panels = lesson.panels(0.99)
    base, too_fast, _, always = (findings.regret[s] for s in panels["learning rate, nth visit"].values())
    assert 10 * base < min(too_fast, always)
    base, near, nearer = (findings.regret[s] for s in panels["discount"].values())
    assert nearer > 1.5 * max(base, near)
    errors = [findings.errors[s][-1].mean() for s in panels["discount"].values()]
    assert errors[0] > errors[1] > errors[2]
    for gamma, residual in findings.residuals.items():
        assert (np.array(residual) <= residual[0] * gamma ** np.arange(len(residual)) * 1.0001).all()
