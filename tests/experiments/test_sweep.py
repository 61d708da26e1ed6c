"""Sweeps and the ablation of DQN: what is refused, which numbers a replica gets, and that they are what it learns.

S seed, E evaluations.
"""

import csv
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from agents import AGENTS, DQN, SAC
from agents.common.config import LIMITS
from agents.evaluation import TEST_SEED, evaluate
from experiments import ablation, sweep
from experiments.common import training
from experiments.common.flags import UsageError
from experiments.common.hyperparams import settings
from experiments.common.training import Learned, learn, make
from experiments.sweep import axis_scale, grid_of, per_replica, points_of, with_grid

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
            if field.name not in LIMITS or isinstance(value, int) or value is None:
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
    ([], "--learning-rate: found nothing to vary, expected two or more values of --learning-rate or --gamma"),
    (["--gamma", "0.9"], "found nothing to vary"),
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


def test_the_figure_shows_every_judged_seed_and_the_right_number_in_every_cell():
    grid = {"learning_rate": (1e-4, 1e-3, 1e-2), "gamma": (0.9, 0.98)}
    judged = -100.0 * np.arange(1, 7).repeat(2)  # two seeds each, alike, in the order of the points
    learned = Learned(np.arange(1, 21), np.tile(judged, (20, 1)), judged, 1.0)
    curves, finals, cells = sweep.draw("sac", PENDULUM, grid, learned, (-90.0, -95.0)).axes[:3]
    low, high = finals.get_ylim()
    assert low < -600 < -95 < high
    dots = [line for line in finals.lines if line.get_alpha() == 0.35]
    shown = sorted(zip(*np.concatenate([line.get_xydata() for line in dots]).T, strict=True))
    assert [y for _, y in shown[::2]] == [-100, -200, -300, -400, -500, -600]
    assert all(finals.get_xlim()[0] < x < finals.get_xlim()[1] for x, _ in shown)
    assert len(curves.lines) == 7  # six points and the optimum
    assert [text.get_text() for text in cells.texts] == ["-100", "-300", "-500", "-200", "-400", "-600"]


# What is learned and told.


def test_learning_is_watched_at_every_twentieth_and_stops_at_the_step_asked_for():
    agent = DQN(DISCRETE, seeds=2, learning_starts=1_000)
    told = []
    learned = learn(agent, DISCRETE, 50, 3, lambda done, returns: told.append((done, returns.shape)))
    assert learned.steps.tolist() == [50 * number // 20 for number in range(1, 21)]
    assert sum(done for done, _ in told) == 50
    assert {shape for _, shape in told} == {(2,)}
    assert learned.curve.shape == (20, 2)
    assert (learned.curve == learned.curve[0]).all()  # no update yet: the same policy on the same starts
    np.testing.assert_array_equal(learned.judged, evaluate(agent, DISCRETE, range(TEST_SEED, TEST_SEED + 3)).mean(1))


def test_a_sweep_writes_one_figure_and_every_number(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training, "EVALUATIONS", 3)
    command = ["--agent", "dqn", "--learning-rate", "1e-3", "1e-4", "--gamma", "0.9", "0.98", "--seeds", "2"]
    small = ["--seed", "4", "--steps", "240", "--eval-episodes", "4", "--out", str(tmp_path / "run")]
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
    assert len(rows) == 3 * 8
    assert {row["seed"] for row in rows if row["metric"] == "learning rate 0.001, gamma 0.9/return"} == {"8", "9"}
    assert [path.name for path in (tmp_path / "run").glob("*.png")] == ["sweep.png"]


# The ablation.


def variant_of(env, name, seeds=(0,)):
    return make("dqn", env, seeds, settings("dqn", env) | ablation.PLAIN | ablation.VARIANTS[name])


@pytest.mark.parametrize("env", [DISCRETE, "CartPole-v1"])
def test_a_variant_differs_from_the_plain_agent_by_its_switch_alone(env):
    switches = {"double": "double", "dueling": "dueling", "3 steps": "n_step", "prioritized": "prioritized"}
    plain = dataclasses.asdict(variant_of(env, "plain").config)
    assert [plain[name] for name in ("double", "dueling", "n_step", "prioritized")] == [False, False, 1, False]
    for name, value in settings("dqn", env).items():
        assert name in ("network", "double", "n_step") or plain[name] == value
    for variant, switch in switches.items():
        config = dataclasses.asdict(variant_of(env, variant).config)
        assert {name for name in plain if config[name] != plain[name]} == {switch}
    config = dataclasses.asdict(variant_of(env, "all four").config)
    assert [config[name] for name in ("double", "dueling", "n_step", "prioritized")] == [True, True, 3, True]


def test_rows_of_the_ablation_by_hand():
    """Returns -3, -1 against the plain agent's -4, -2: better in three of four pairs; the optimum is -1."""
    steps, curve = np.array([1]), np.zeros((1, 2))
    plain, better = (Learned(steps, curve, np.array(judged), 2.5) for judged in ([-4.0, -2.0], [-3.0, -1.0]))
    row = ablation.row(better, plain, -1.0)
    assert row["returns"] == [-3.0, -1.0]
    assert (row["iqm"], row["regret"], row["seconds"], row["probability_of_improvement"]) == (-2.0, 1.0, 2.5, 0.75)
    assert ablation.row(plain, plain, None)["probability_of_improvement"] == 0.5
    assert ablation.row(plain, plain, None)["regret"] is None


def test_the_ablation_plans_all_variants_with_the_same_seeds_and_steps():
    tasks = ablation.plan(ablation.Ablation(seeds=3, seed=5))
    assert sorted(task.variant for task in tasks) == sorted(ablation.VARIANTS)
    assert {(task.env, task.seeds, task.steps) for task in tasks} == {(DISCRETE, (5, 6, 7), 15_000)}


@pytest.mark.parametrize(("given", "words"), [
    ({"env": PENDULUM}, "--env: dqn cannot train on balancier/Pendulum-v0"),
    ({"env": "Nowhere-v0"}, "--env: dqn cannot train on Nowhere-v0"),
    ({"steps": 3}, "--steps: found 3, expected at least 20"),
    ({"jobs": 0}, "--jobs: found 0, expected at least 1"),
])  # fmt: skip
def test_what_cannot_be_ablated_is_refused(given, words):
    with pytest.raises(UsageError, match=words):
        ablation.plan(ablation.Ablation(**given))


def test_the_ablation_writes_one_figure_and_every_number(tmp_path, monkeypatch, capsys):
    """The processes' work done here, one task after the other."""
    one_by_one = lambda work, tasks, *_: [work(task, lambda done: None) for task in tasks]  # noqa: E731
    monkeypatch.setattr(ablation, "run_parallel", one_by_one)
    monkeypatch.setattr(training, "EVALUATIONS", 2)
    small = ["--steps", "230", "--seeds", "2", "--eval-episodes", "3", "--out", str(tmp_path / "run")]
    assert ablation.main(small) == 0
    assert "6 variants x 2 seeds, about" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert list(result["variants"]) == ["plain", "double", "dueling", "3 steps", "prioritized", "all four"]
    for name, row in result["variants"].items():
        agent = variant_of(DISCRETE, name, (0, 1)).learn(230)
        judged = evaluate(agent, DISCRETE, range(TEST_SEED, TEST_SEED + 3)).mean(1)
        assert row["returns"] == pytest.approx(judged, rel=1e-3)  # each row is its own variant's
    assert len({tuple(row["returns"]) for row in result["variants"].values()}) > 3
    assert [path.name for path in (tmp_path / "run").glob("*.png")] == ["ablation.png"]
