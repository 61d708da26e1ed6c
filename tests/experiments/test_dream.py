"""The lesson on planning in a learned model: its claims, its pieces, its files, and the flags that it refuses."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from envs.pendulum import PendulumVectorEnv
from envs.physics import Pendulum, reward, transition
from experiments import dream as lesson
from experiments.common import dreaming
from experiments.common.dreaming import CHANGE, DECISION, HOLD, STEPS, Dynamics, Planner


class TrueDynamics(nn.Module):
    """The equations of the pendulum in place of networks, as an ensemble of one."""

    def __init__(self):
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(1, 1))

    def forward(self, state, torque):
        now = state.unbind(-1)
        for _step in range(HOLD):
            now = transition(*now, torque, Pendulum())
        return (torch.stack(now, -1) - state) / CHANGE


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Dream(quick=True, jobs=1))


def test_dreams_need_fewer_real_steps_than_sac(findings):
    rows, steps = findings.rows, findings.flags.steps
    assert rows["dream"]["steps"] == rows["sac"]["steps"] == steps <= 1_000
    assert rows["dream"]["regret"] <= 30
    assert rows["sac"]["regret"] > 5 * rows["dream"]["regret"]
    assert rows["sac_late"]["regret"] > rows["dream"]["regret"]
    assert findings.sac_needs is None


def test_the_dreamed_future_comes_true(findings):
    """The error after all episodes is far below that after the first, and grows with the horizon; so is the spread."""
    first, last = findings.errors.mean(0)
    second = round(1 / DECISION) - 1
    assert last[second] < first[second] / 2
    assert last[0] < last[second] < last[-1]
    first_spread, last_spread = findings.spreads.mean(0)
    assert last_spread[second] < first_spread[second] / 2
    assert last_spread[0] < last_spread[second] < last_spread[-1]
    assert (last_spread < last).all()  # the networks have errors in common, too


def test_every_decision_of_a_dream_costs_time(findings):
    rows = findings.rows
    assert rows["dream"]["decision_ms"] > 3 * rows["sac"]["decision_ms"]
    assert rows["dream"]["decision_ms"] < 1000 * DECISION  # and yet it is fast enough for the pendulum


def test_the_rod_of_the_figure_comes_up(findings):
    up = lesson.up_after(findings.dreamers[0].truth)
    assert up is not None
    assert 1 < up < 6


def test_every_figure_has_a_caption(findings):
    assert list(lesson.figures(findings)) == list(lesson.PAGE.captions)


def test_a_dream_is_the_sum_of_predicted_changes():
    """With the true equations as the model, a dream is what the environment does with held torques."""
    env = PendulumVectorEnv(4)
    generator = np.random.default_rng(0)
    episodes = dreaming.play(env, dreaming.random_torques(generator), [5, 6, 7, 8])
    states = dreaming.unwrapped(episodes.states)
    dreamed = dreaming.dream(TrueDynamics(), states[:, 0], episodes.torques[:, :10])  # type: ignore[arg-type]
    assert dreamed.shape == (1, 10, 4, 2)
    torch.testing.assert_close(dreamed[0].movedim(0, 1), states[:, 1:11], rtol=0, atol=2e-3)
    total = sum(
        reward(states[:, i, 0], states[:, i, 1], episodes.torques[:, min(i, STEPS // HOLD - 1)]) for i in range(101)
    )
    assert np.abs(episodes.returns - HOLD * total.numpy()).max() < 0.1 * np.abs(episodes.returns).max()


def test_the_cost_of_a_dream_by_hand():
    """Two networks that move the rod by +0.4 and -0.8 rad a decision, from upright, without speed."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.parameter = nn.Parameter(torch.zeros(2, 1))

        def forward(self, state, torque):
            change = torch.zeros_like(state)
            change[0, ..., 0], change[1, ..., 0] = 1.0, -2.0
            return change

    torques = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]])  # (K, n, H)
    cost = dreaming.dreamed_cost(Two(), torch.zeros(1, 2), torques)  # type: ignore[arg-type]
    angles = ((0.4**2 + 0.8**2) + (0.8**2 + 1.6**2)) / 2
    expected = torch.tensor([[HOLD * (angles + 0.001 * 5)], [HOLD * angles]])
    torch.testing.assert_close(cost, expected)


def test_changes_take_the_shorter_way():
    states = torch.tensor([[[3.1, 0.0], [-3.1, 1.0], [3.0, -1.0]]])
    changes = dreaming.changes(states)
    turn = 2 * math.pi
    torch.testing.assert_close(changes, torch.tensor([[[turn - 6.2, 1.0], [6.1 - turn, -2.0]]]))
    torch.testing.assert_close(dreaming.unwrapped(states)[0, :, 0], torch.tensor([3.1, turn - 3.1, 3.0]))


def test_planning_on_the_true_equations_balances_the_rod():
    """From near the top, 2.4 s: the planner keeps the rod up, and its first torque pushes against the fall."""
    planner = Planner(TrueDynamics(), 12, 40, seed=0)  # type: ignore[arg-type]
    torque = planner(torch.tensor([[0.3, 0.0], [-0.3, 0.0]]))
    assert torque[0] < -1 < 1 < torque[1]
    assert planner.plan is not None
    assert planner.plan.shape == (2, 12)


def test_training_finds_the_dynamics():
    """From 3 random episodes, networks predict a decision to a twentieth of its usual change."""
    env = PendulumVectorEnv(3)
    episodes = [dreaming.play(env, dreaming.random_torques(np.random.default_rng(1)), [1, 2, 3])]
    dynamics = Dynamics((32, 32), seeds=[0, 1])
    dreaming.train(dynamics, episodes, [0, 1])
    states, torques = episodes[0].states[:, :-1].flatten(0, 1), episodes[0].torques.flatten()
    with torch.no_grad():
        predicted = dynamics(states.expand(2, -1, -1), torques.expand(2, -1))
    error = predicted - (dreaming.changes(episodes[0].states) / CHANGE).flatten(0, 1)
    assert error.square().mean().sqrt() < 0.05


def test_an_agent_depends_on_its_seed_alone(monkeypatch):
    monkeypatch.setattr(dreaming, "UPDATES", 20)
    settings = dreaming.Settings(2, [2], 2, 2, (8,), 3, 8)
    report = []
    first, again, other = (dreaming.learn(seed, settings, report.append) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.returns, again.returns)
    np.testing.assert_array_equal(first.dreams, again.dreams)
    assert (first.returns != other.returns).all()
    assert first.returns.shape == (1, 2)
    assert first.error.shape == first.spread.shape == (2, dreaming.FAR)
    assert first.plans.shape == (STEPS // HOLD, 3, 2)


def test_up_after():
    angles = np.array([3.0, 0.1, 0.5, 6.2, 6.3])
    states = np.stack([angles, np.zeros(5)], 1)
    assert lesson.up_after(states) == pytest.approx(3 * DECISION)
    assert lesson.up_after(states[:3]) is None


def test_the_files_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(dreaming, "UPDATES", 20)
    monkeypatch.setitem(lesson.SAC, "num_updates", 1)
    flags = ["--seeds", "1", "--episodes", "2", "--members", "2", "--hidden", "8", "--horizon", "3", "--samples", "8"]
    assert (
        lesson.main([*flags, "--jobs", "1", "--sac-steps", "900", "--eval-episodes", "3", "--out", str(tmp_path)]) == 0
    )
    names = {"regret.png", "dream.png", "plan.png", "metrics.csv", "config.json", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["agents"]) == ["dream", "sac", "sac_late"]
    assert result["agents"]["dream"]["steps"] == 400
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 + 3  # dreams after 200 and 400 steps, SAC after 400, 500 and 900


@pytest.mark.slow
def test_the_regret_from_1000_real_steps():
    findings = lesson.measure(lesson.Dream(seeds=4, sac_steps=1_500))
    assert findings.flags.steps == 1_000
    assert findings.rows["dream"]["regret"] <= 30


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--episodes", "1"], "--episodes: found 1, expected at least 2"),
        (["--samples", "4"], "--samples: found 4, expected at least 8"),
        (["--hidden", "0"], "--hidden: found 0, expected at least 1"),
        (["--sac-steps", "1000"], "--sac-steps: found 1000, expected at least 1500"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
