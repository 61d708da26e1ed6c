"""The lesson on the values of states: its quick form's claims, its pieces, its files, and the flags that it refuses."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from agents import DQN, PPO
from envs.grid import pendulum_grid
from experiments import values as lesson
from experiments.common.hyperparams import DISCRETE, PENDULUM, tuned

PLANE, SEEN = lesson.EVALUATED


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Values(quick=True, jobs=1))


def test_the_agents_learn_the_values_of_the_optimum(findings):
    """DQN's error falls; PPO's rises first, to that of a policy which never gets up, and then falls."""
    rows = lesson.result(findings)["methods"]
    errors = {name: lesson.interquartile_mean(findings.errors(name)[SEEN]) for name in lesson.AGENTS}
    assert errors["DQN"][-1] < 0.7 * errors["DQN"][0]
    assert errors["PPO"].max() > 2 * errors["PPO"][0]
    assert errors["PPO"][-1] < 0.6 * errors["PPO"].max()
    for name in lesson.AGENTS:
        assert rows[name]["error_visited"] == pytest.approx(errors[name][-1])
        assert rows[name]["regret"] < 60
    assert 0 < rows["optimum"]["regret"] < 6
    assert rows["optimum"]["error"] == rows["optimum"]["bias_visited"] == 0


def test_ppo_begins_with_the_values_of_a_bad_policy(findings):
    """At rest at the top nothing need be lost; DQN never says that much is, PPO does at first."""
    top, early = len(lesson.MAP) // 2, lesson.snapshot_at(findings, 0.3)
    np.testing.assert_allclose(lesson.MAP[top], 0, atol=1e-12)
    dqn, ppo = (lesson.interquartile_mean(findings.methods[name].values[..., top]) for name in lesson.AGENTS)
    assert dqn.min() > -60
    assert ppo[early] < -100
    assert ppo[-1] > 0.6 * ppo[early]


def test_the_optimum_solves_bellmans_equation(findings):
    """At rest at the top nothing is lost; elsewhere V is the best reward and next value, at the points of the map."""
    reference = findings.surface(lesson.OPTIMUM, -1)
    middle = lesson.SHAPE[0] // 2, lesson.SHAPE[1] // 2
    assert reference[middle] == pytest.approx(0, abs=0.5)
    assert reference.max() == reference[middle]
    np.testing.assert_allclose(reference, reference[::-1, ::-1], atol=0.5)  # the mirror
    np.testing.assert_allclose(reference[0], reference[-1], atol=1e-3)  # -pi and pi are one angle


def test_the_files_of_a_run(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "LESSON", replace(lesson.LESSON, measure=lambda flags: findings))
    monkeypatch.setattr(lesson, "pictures", lambda findings: [np.zeros((4, 6, 3), np.uint8)] * 2)
    assert lesson.main(["--quick", "--out", str(tmp_path)]) == 0
    names = {"surfaces.png", "cuts.png", "errors.png", "values.gif", "config.json", "result.json", "metrics.csv"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    assert list(json.loads((tmp_path / "result.json").read_text())["methods"]) == ["DQN", "PPO", "optimum"]
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 11 * 5  # agents, kinds of states, snapshots, seeds
    assert Image.open(io.BytesIO((tmp_path / "values.gif").read_bytes())).size == (6, 4)


def test_every_figure_has_a_caption(findings):
    assert list(lesson.figures(findings)) == list(lesson.PAGE.captions)


def test_the_animation_has_a_frame_for_each_snapshot(findings):
    few = replace(findings.flags, snapshots=2)
    short = {name: replace(x, values=x.values[::5], steps=x.steps[::5]) for name, x in findings.methods.items()}
    frames = list(lesson.pictures(replace(findings, flags=few, methods=short)))
    assert len(frames) == 3 + lesson.STILL
    assert frames[0].dtype == np.uint8
    assert (frames[0] != frames[2]).any()
    assert all((frame == frames[2]).all() for frame in frames[3:])


def test_errors_by_hand():
    """Values off by 3 on the map and by 4 at the visited states of one seed, right for the other."""
    count = len(lesson.MAP)
    reference = np.linspace(-9, 0, count + 5)
    off = np.concatenate([np.full(count, 3.0), np.full(5, -4.0)])
    agent = lesson.Learned(np.array([0]), np.stack([reference + off, reference])[None], np.zeros(2), 0.0)
    optimum = lesson.Learned(np.array([0]), reference[None, None], np.zeros(1), 0.0)
    findings = lesson.Findings(lesson.Values(), 0.0, {"DQN": agent, "PPO": agent, lesson.OPTIMUM: optimum})
    np.testing.assert_allclose(findings.errors("DQN")[PLANE], [[3, 0]])
    np.testing.assert_allclose(findings.errors("DQN")[SEEN], [[4, 0]])
    np.testing.assert_allclose(findings.bias("DQN"), [-4, 0])
    assert findings.median_seed("DQN") == 1  # the lower one of two


def test_values_are_those_of_the_networks_in_units_of_the_reward():
    obs = torch.randn(2, 4, 3)
    dqn = DQN(DISCRETE, seeds=2, **tuned("dqn", DISCRETE))
    values = lesson.value_of(dqn, obs)
    torch.testing.assert_close(values, dqn.policy.values(obs).max(-1).values.detach())
    ppo = PPO(PENDULUM, seeds=2, **tuned("ppo", PENDULUM))
    assert ppo.reward_scaling is not None
    ppo.reward_scaling.returns.var.copy_(torch.tensor([[4.0], [9.0]]))
    expected = ppo.critic(obs).detach() * torch.tensor([[2.0], [3.0]])
    torch.testing.assert_close(lesson.value_of(ppo, obs), expected)


def test_snapshots_are_taken_at_even_parts_of_the_training():
    flags = lesson.Values(seeds=2, snapshots=4, ppo_steps=160)
    obs = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    learned = lesson.train(lesson.Job("PPO", (0, 1), 1.0, (flags, obs)), lambda amount: None)
    assert learned.steps.tolist() == [0, 48, 80, 128, 160]  # the first multiples of 16 environments from 40, 80, ...
    assert learned.values.shape == (5, 2, 2)


def test_values_between_the_points_of_a_grid():
    grid = pendulum_grid(8, 5, 3)  # a speed of 4 between two points
    value = np.tile(grid.speeds, 8)  # V = speed
    obs = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 3.0], [-1.0, 0.0, -8.0]])
    np.testing.assert_allclose(lesson.at(grid, value, obs), [0, 3, -8])


@pytest.mark.parametrize(("flags", "words"), [
    (["--gamma", "1"], "--gamma: found 1.0, expected above 0 and at most 0.99"),
    (["--snapshots", "1"], "--snapshots: found 1, expected at least 2"),
    (["--dqn-steps", "5"], "--dqn-steps: found 5, expected at least 100"),
    (["--ppo-steps", "5"], "--ppo-steps: found 5, expected at least 100"),
])  # fmt: skip
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
