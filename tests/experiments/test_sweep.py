"""Sweeps: which values are refused, and which of them each replica gets and learns with.

S seed, E evaluations.
"""

import csv
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from agents import AGENTS, SAC
from experiments import sweep
from experiments.common import training
from experiments.common.hyperparams import tuned
from experiments.common.training import Training, make
from experiments.sweep import Findings, axis_scale, grid_of, per_replica, points_of, with_grid

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"


def flags(**given):
    return with_grid()(**given)


# Which hyper-parameters are flags.


def test_flags_are_exactly_the_hyper_parameters_that_take_one_number_a_seed():
    """Tried out, without looking at types: a pair is accepted for two seeds where it may differ, and nowhere else."""
    for name, agent in AGENTS.items():
        config = agent.Config()
        taken = set()
        for field in dataclasses.fields(agent.Config):
            value = getattr(config, field.name)
            if isinstance(value, int) or value is None:
                continue
            env = DISCRETE if name == "dqn" else PENDULUM
            keywords: dict[str, Any] = {field.name: [value, value]}
            try:
                agent(env, seeds=2, **keywords)
            except ValueError:
                continue
            taken.add(field.name)
        assert taken == {flag for flag, having in sweep.varied().items() if name in having}, name


def test_every_flag_is_shown_with_the_agents_that_have_it(capsys):
    with pytest.raises(SystemExit) as end:
        sweep.main(["--help"])
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for flag in ("--learning-rate", "--gamma", "--entropy-weight", "--gae-lambda"):
        assert flag in shown
    assert "Values of gae lambda to try, a number or several (a2c, ppo)" in shown


# From flags to replicas.


def test_the_grid_is_the_product_of_the_values_and_seeds_of_a_point_are_neighbors():
    grid = grid_of(flags(learning_rate=(1e-3, 1e-4), gamma=(0.98, 0.9, 0.95)))
    assert list(grid.items()) == [("gamma", (0.9, 0.95, 0.98)), ("learning_rate", (1e-4, 1e-3))]
    points = points_of(grid)
    assert len(points) == 6
    assert points[:3] == [
        {"gamma": 0.9, "learning_rate": 1e-4},
        {"gamma": 0.9, "learning_rate": 1e-3},
        {"gamma": 0.95, "learning_rate": 1e-4},
    ]
    assert per_replica(points[:2], 3) == {"gamma": [0.9] * 6, "learning_rate": [1e-4] * 3 + [1e-3] * 3}


def test_without_values_the_learning_rate_is_varied_around_the_tuned_one():
    rate = tuned("sac", PENDULUM)["learning_rate"]
    assert grid_of(flags())["learning_rate"] == pytest.approx([0.1 * rate, rate, 10 * rate])
    default = AGENTS["ppo"].Config().learning_rate
    assert grid_of(flags(agent="ppo", env="Acrobot-v1"))["learning_rate"][1] == default


@pytest.mark.slow
def test_the_quick_form_shows_that_the_learning_rate_matters():
    """With a tenth of the tuned rate no seed learns in time; with a higher one the pendulum is swung up."""
    points = sweep.result(sweep.measure(flags(quick=True)))["points"]
    assert max(points[0]["returns"]) < -500
    assert min(point["regret"] for point in points) < 100


def test_a_single_value_is_held_for_all():
    points = points_of(grid_of(flags(learning_rate=(2e-3,), gamma=(0.9, 0.98))))
    assert points == [{"gamma": 0.9, "learning_rate": 2e-3}, {"gamma": 0.98, "learning_rate": 2e-3}]


def test_a_point_of_the_grid_learns_as_in_a_run_of_its_own(float64):
    """Two discounts of two seeds each; the second point's replicas are seeds 9 and 10 alone, and unlike the first's."""
    points = points_of(grid_of(flags(learning_rate=(1e-3,), gamma=(0.9, 0.98))))
    agent = make("sac", PENDULUM, range(7, 7 + 2 * len(points)), per_replica(points, 2)).learn(130)
    alone = SAC(PENDULUM, seeds=[9, 10], learning_rate=1e-3, gamma=0.98)
    start = torch.cat([parameter.detach().flatten(1) for parameter in alone.policy.parameters()], 1)
    alone.learn(130)
    assert agent.seeds == (7, 8, 9, 10)
    learned, expected = (
        torch.cat([parameter.detach().flatten(1) for parameter in one.policy.parameters()], 1) for one in (agent, alone)
    )
    assert (expected - start).abs().max() > 1e-3  # they did learn
    torch.testing.assert_close(learned[2:], expected, rtol=0, atol=1e-9)
    other = SAC(PENDULUM, seeds=[9, 10], learning_rate=1e-3, gamma=0.9).learn(130)
    found = torch.cat([parameter.detach().flatten(1) for parameter in other.policy.parameters()], 1)
    assert (learned[2:] - found).abs().max() > 1e-6  # and the discount made a difference


@pytest.mark.parametrize(("command", "words"), [
    (["--gamma", "0.9"],
     "--learning-rate: found nothing to vary, expected two or more values of --learning-rate or --gamma"),
    (["--gae-lambda", "0.9", "0.95"], "--gae-lambda: found it with --agent sac, expected --learning-rate or --gamma"),
    (["--gamma", "0.9", "1.5"], "--gamma: found 1.5, expected a number from 0 to 1"),
    (["--learning-rate", "0.001", "nan"], "--learning-rate: found nan, expected a number above 0"),
    (["--gamma", "0.9", "0.9"], "--gamma: found 0.9 0.9, expected different values"),
    (["--gamma", "0.9", "high"], "--gamma"),
    (["--n-step", "1", "3"], "--n-step"),
    (["--agent", "ppo", "--gamma", "0.9", "0.95", "--learning-rate", "1e-3", "1e-4", "--gae-lambda", "0.8", "0.9"],
     "--gae-lambda: found 3 flags with several values, expected one or two"),
    (["--gamma", "0.9", "0.98", "--env", "CartPole-v1"], "--env: sac cannot train on CartPole-v1"),
    (["--gamma", "0.9", "0.98", "--steps", "19"], "--steps: found 19, expected at least 20"),
    (["--gamma", "0.9", "0.98", "--eval-episodes", "0"], "--eval-episodes: found 0, expected at least 1"),
])  # fmt: skip
def test_what_makes_no_grid_is_refused_in_one_line(command, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sweep.main(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "values", "expected"), [
    ("learning_rate", (1e-4, 1e-3), ("log", {})),
    ("gamma", (0.9, 0.99), ("logit", {})),
    ("gamma", (0.9, 1.0), ("log", {})),
    ("entropy_weight", (0.0, 1e-3, 1e-2), ("symlog", {"linthresh": 1e-3})),
])  # fmt: skip
def test_scales_on_which_values_can_be_drawn(name, values, expected):
    assert axis_scale(name, values) == expected


def test_the_figure_shows_every_seed_and_the_right_number_in_every_cell():
    grid = {"learning_rate": (1e-4, 1e-3, 1e-2), "gamma": (0.9, 0.98)}
    returns = -100.0 * np.arange(1, 7).repeat(2)  # two seeds each, alike, in the order of the points
    training = Training(np.arange(1, 21), np.ones(20), np.tile(returns, (20, 1)), returns[:, None], 1.0)
    findings = Findings("sac", PENDULUM, grid, tuple(range(12)), training, -95.0, -90.0)
    curves, finals, cells = sweep.figures(findings)["sweep"].axes[:3]
    low, high = finals.get_ylim()
    assert low < -600 < -95 < high
    dots = [line for line in finals.lines if line.get_alpha() == 0.35]
    shown = sorted(zip(*np.concatenate([line.get_xydata() for line in dots]).T, strict=True))
    assert [y for _, y in shown[::2]] == [-100, -200, -300, -400, -500, -600]
    assert all(finals.get_xlim()[0] < x < finals.get_xlim()[1] for x, _ in shown)
    assert len(curves.lines) == 7  # six points and the optimum
    assert [text.get_text() for text in cells.texts] == ["-100", "-300", "-500", "-200", "-400", "-600"]


# The lesson.


def test_a_sweep_writes_one_figure_and_every_number(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training, "EVALUATIONS", 2)
    command = ["--agent", "dqn", "--learning-rate", "1e-3", "1e-4", "--gamma", "0.9", "0.98", "--seeds", "2"]
    small = ["--seed", "4", "--steps", "210", "--eval-episodes", "4", "--out", str(tmp_path / "run")]
    assert sweep.main(command + small) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"sweep: dqn on {DISCRETE}, 4 points x 2 seeds = 8 replicas of one agent, about ")
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [(point["learning_rate"], point["gamma"]) for point in result["points"]] == [
        (1e-4, 0.9), (1e-4, 0.98), (1e-3, 0.9), (1e-3, 0.98)
    ]  # fmt: skip
    assert [point["seeds"] for point in result["points"]] == [[4, 5], [6, 7], [8, 9], [10, 11]]
    for point in result["points"]:
        assert point["iqm"] == pytest.approx(np.mean(point["returns"]), abs=2e-3)  # of two seeds, the mean
        assert point["regret"] == pytest.approx(result["optimum"] - point["iqm"], abs=2e-3)
        assert point["regret"] > 0
    with open(tmp_path / "run" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 8
    assert {row["seed"] for row in rows if row["metric"] == "learning rate 0.001, gamma 0.9/return"} == {"8", "9"}
    assert [path.name for path in (tmp_path / "run").glob("*.png")] == ["sweep.png"]
    assert sweep.PAGE.captions.keys() == {"sweep"}
