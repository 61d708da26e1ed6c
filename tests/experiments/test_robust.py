"""The lesson on robustness: its quick form's claims, its episodes, its files, and the flags that it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from agents import DQN, PPO
from agents.evaluation import evaluate
from envs.optimum import optimal_returns
from envs.planning import controller
from experiments import robust as lesson
from experiments.common import disturbances
from experiments.common.disturbances import (
    DISTURBANCES,
    NOMINAL,
    RANGES,
    Informed,
    make_batch,
    play,
    start_seeds,
    train,
)

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"


@pytest.fixture(scope="module")
def findings():
    return lesson.measure(lesson.Robust(quick=True, jobs=1))


class Pattern:
    """Torques that alternate, whatever the observation."""

    def __init__(self, *torques):
        self.torques = torques

    def predict(self, obs, state, episode_start, deterministic=True):
        step = 0 if state is None else state
        return np.full((len(obs), 1), self.torques[step % len(self.torques)], np.float32), step + 1


# The lesson's claims


def test_training_on_random_pendulums_helps(findings):
    """With a delay clearly so: the interval of the gain lies above 0."""
    gains = findings.gains("ppo")
    assert gains["delay"]["ci95"][0] > 0.2
    assert gains["robustness"]["iqm"] > 0.03
    assert "delay" in lesson.clear(gains)[0]
    difference = findings.robustness("ppo-random").mean() - findings.robustness("ppo").mean()
    assert difference == pytest.approx(gains["robustness"]["seeds"].mean())


def test_who_knows_the_pendulum_swings_it_up(findings):
    rows = findings.rows
    for name in ("energy", "lqr-energy", "optimum"):
        assert rows[name]["success"]["iqm"] == 1
        assert rows[name]["seconds"]["iqm"] < 5
        assert rows[name]["robustness"]["ci95"][1] < 0.999
    assert rows["optimum"]["regret"]["iqm"] == pytest.approx(0, abs=0.5)
    assert all(row["regret"]["iqm"] > -0.5 for row in rows.values())


def test_the_leaderboard_is_sorted_and_robustness_is_the_mean_of_the_disturbances(findings):
    shares = [row["robustness"]["iqm"] for row in findings.rows.values()]
    assert shares == sorted(shares, reverse=True)
    assert findings.flags.conditions[0] == NOMINAL
    success = findings.outcomes["optimum"].success  # nominal, 4 of mass, 4 of length, 2 of each other
    assert success.shape == (5, 1 + 4 + 4 + 4 * 2)
    groups = [success[:, 1:5], success[:, 5:9], *(success[:, i : i + 2] for i in range(9, 17, 2))]
    expected = np.mean([group.mean(1) for group in groups], 0)
    np.testing.assert_allclose(findings.robustness("optimum"), expected)


# Episodes


def test_torques_make_energy_and_roughness():
    """Of torques 1, -1, 1, ... every change is 2; without torque there is no energy and no swing."""
    outcome = play(Pattern(1.0, -1.0), [NOMINAL], [0], 2)
    assert outcome.roughness[0, 0] == pytest.approx(2)
    assert outcome.energy[0, 0] > 1
    nothing = play(Pattern(0.0), [NOMINAL], [0], 10)
    assert nothing.roughness[0, 0] == nothing.energy[0, 0] == nothing.success[0, 0] == 0
    assert nothing.seconds[0, 0] == 10
    beyond = play(Pattern(5.0, -5.0), [NOMINAL], [0], 1)
    assert beyond.roughness[0, 0] == pytest.approx(4)  # what the motor cannot do is no change


def test_the_time_to_upright_is_that_of_the_last_arrival(monkeypatch):
    """One second upright, then away, then upright until the end: from 3 s on, or from too late on."""
    turns = {3.0: 1.0, 9.0: 1.0, 9.5: 0.0}
    for arrival, success in turns.items():
        angles = np.full(201, np.pi)
        angles[:20] = 0
        angles[round(arrival / 0.05) :] = 0.4  # rad, with a cosine of 0.92
        outcome = play_angles(angles, monkeypatch)
        assert outcome.seconds[0, 0] == pytest.approx(arrival)
        assert outcome.success[0, 0] == success


def play_angles(angles, monkeypatch):
    """An episode in which the pendulum is moved to these angles."""

    class Moved:
        def __init__(self, env):
            self.unwrapped, self.step_number = env, 0

        def reset(self, **kwargs):
            obs = self.unwrapped.reset(**kwargs)
            self.unwrapped.angle[:] = angles[0]
            return obs

        def step(self, action):
            answer = self.unwrapped.step(action)
            self.step_number += 1
            self.unwrapped.angle[:] = angles[self.step_number]
            return answer

    with monkeypatch.context() as patch:
        patch.setattr(disturbances, "make_batch", lambda condition, count: Moved(make_batch(condition, count)))
        return play(Pattern(0.0), [NOMINAL], [0], 1)


@pytest.mark.parametrize(("kind", "env"), [(PPO, PENDULUM), (DQN, DISCRETE)])
def test_every_seed_of_an_agent_plays_its_own_starts(kind, env):
    """With the returns that `evaluate` finds; DQN's actions are indices of five torques."""
    agent = kind(env, seeds=[3, 4])
    outcome = play(agent, [NOMINAL, ("mass", 50.0)], [3, 4], 3)
    for index, seed in enumerate([3, 4]):
        starts = range(10_000 + 3 * seed, 10_000 + 3 * seed + 3)
        for condition, kwargs in enumerate([{}, {"mass": 1.5}]):
            expected = evaluate(agent[index], env, starts, kwargs).mean()
            assert outcome.returns[index, condition] == pytest.approx(expected, rel=1e-4)


def test_one_seed_alone_is_that_seed_among_others():
    optimum, conditions = controller("optimum"), [NOMINAL, ("noise", 0.1), ("torque", 1.0), ("pushes", 3.0)]
    both, one = play(optimum, conditions, [0, 1], 2), play(optimum, conditions, [1], 2)
    np.testing.assert_allclose(one.returns[0], both.returns[1])
    assert one.returns[0, 0] == pytest.approx(optimal_returns(PENDULUM, start_seeds([1], 2)).mean(), rel=1e-4)
    assert len(set(one.returns[0])) == 4


def test_conditions_are_what_they_say():
    assert DISTURBANCES["mass"].sizes(2) == [-50, -25, 25, 50]
    assert DISTURBANCES["delay"].sizes(4) == pytest.approx([0.04, 0.08, 0.12, 0.16])
    assert make_batch(("mass", -50.0), 2).unwrapped.pendulum.mass == 0.5
    assert make_batch(("length", 25.0), 2).unwrapped.pendulum.length == 1.25
    noise = make_batch(("noise", 0.2), 2).unwrapped.pendulum
    assert (noise.angle_noise, noise.speed_noise) == (0.2, 1.0)
    assert make_batch(("delay", 0.1), 2).unwrapped.pendulum.delay == 0.1
    assert make_batch(("torque", 0.5), 2).std == 0.5
    assert make_batch(("pushes", 3.0), 2).speed == 3.0
    assert start_seeds([0, 2], 2) == [10_000, 10_001, 10_004, 10_005]


def test_who_is_told_the_truth_has_a_controller_for_every_condition():
    """On a long pendulum it is the controller of that pendulum, and with other disturbances that of the nominal one."""
    conditions = [NOMINAL, ("length", 50.0), ("delay", 0.1)]
    told = play(Informed("lqr-energy", conditions), conditions, [0, 1], 2)
    blind = play(controller("lqr-energy"), conditions, [0, 1], 2)
    expected = play(controller("lqr-energy", length=1.5), conditions, [0, 1], 2)
    np.testing.assert_allclose(told.returns[:, [0, 2]], blind.returns[:, [0, 2]])
    np.testing.assert_allclose(told.returns[:, 1], expected.returns[:, 1])
    assert told.success[:, 1].mean() > blind.success[:, 1].mean()


def test_randomized_training_draws_pendulums():
    seen = []
    agent = train("ppo-random", [0], 16, seen.append)
    assert agent.env_kwargs == RANGES
    assert sum(seen) == pytest.approx(1, abs=0.5)
    assert train("ppo", [0], 16, seen.append).env_kwargs == {}


# Output


def test_the_title_says_what_the_numbers_say(findings):
    outcomes = dict(findings.outcomes)
    outcomes["ppo-random"] = outcomes["ppo"]
    figure = lesson.plot_randomization(replace(findings, outcomes=outcomes))
    title = figure.axes[0].get_title()
    assert title == "PPO: +0 to +0 points (95 % interval)\nbetter: nothing; worse: nothing"
    share = round(100 * lesson.interquartile_mean(findings.robustness("ppo")))
    assert figure.get_suptitle().endswith(f"the robustness of PPO from {share} to {share} %")


def test_every_figure_has_a_caption(findings):
    assert list(lesson.figures(findings)) == list(lesson.PAGE.captions)


def test_the_files_of_a_run(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(lesson, "LESSON", replace(lesson.LESSON, measure=lambda flags: findings))
    assert lesson.main(["--quick", "--out", str(tmp_path)]) == 0
    names = {"leaderboard.png", "severity.png", "randomization.png", "config.json", "result.json", "metrics.csv"}
    assert {path.name for path in tmp_path.iterdir()} >= names
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["players"]) == list(findings.rows)
    assert len(result["conditions"]) == len(result["success"]["ppo"]) == 17
    assert result["randomization"]["ppo"]["gains"]["robustness"]["iqm"] > 0
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 6 * 17 * 5  # players, conditions, seeds


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--starts", "0"], "--starts: found 0, expected at least 1"),
        (["--levels", "0"], "--levels: found 0, expected at least 1"),
        (["--seeds", "1"], "--seeds: found 1, expected at least 2"),
        (["--also", "pid"], "--also: found pid, expected one of lqr, mpc-cem"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert lesson.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
