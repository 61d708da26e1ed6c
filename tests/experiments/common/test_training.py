"""The evaluation callback, budgets and forecasts of the experiments about agents."""

import time

import numpy as np
import pytest
from matplotlib.figure import Figure

import agents
from agents import DQN, PPO
from agents.common.on_policy import OnPolicy, OnPolicyConfig
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from experiments import __main__ as cli
from experiments.common import hyperparams, training
from experiments.common.flags import Flags
from experiments.common.hyperparams import tuned
from experiments.common.runs import Run
from experiments.common.training import (
    EVALUATIONS,
    EvaluationCallback,
    budget,
    default_env,
    forecast,
    mean_optimum,
    network_kind,
    summary,
    train_agent,
)

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"


def test_evaluations_at_even_parts_and_training_stops_at_the_step_asked_for():
    agent = DQN(DISCRETE, seeds=2, learning_starts=1_000)
    reports = []
    training = train_agent(agent, DISCRETE, 50, 3, lambda done, returns: reports.append((done, returns.shape)), 4)
    assert EVALUATIONS == 20  # where no other number is given
    assert training.steps.tolist() == [12, 25, 37, 50]
    assert sum(done for done, _ in reports) == 50
    assert {shape for _, shape in reports} == {(2,)}
    assert training.curve.shape == (4, 2)
    assert (training.curve == training.curve[0]).all()  # no update yet: the same policy on the same starts
    expected = evaluate(agent, DISCRETE, range(VALIDATION_SEED, VALIDATION_SEED + 20)).mean(1)
    np.testing.assert_array_equal(training.curve[0], expected)
    test_returns = evaluate(agent, DISCRETE, range(TEST_SEED, TEST_SEED + 3))
    np.testing.assert_array_equal(training.test_returns, test_returns)
    np.testing.assert_array_equal(training.returns, test_returns.mean(1))


def test_evaluating_changes_no_training():
    keywords = tuned("ppo", PENDULUM)
    agent = PPO(PENDULUM, seeds=2, **keywords)
    train_agent(agent, PENDULUM, 1_100, 1, lambda *_: None, evaluations=3)
    once = PPO(PENDULUM, seeds=2, **keywords).learn(1_100)
    for name, value in once.state_dict().items():
        assert value.equal(agent.state_dict()[name]), name


def test_time_of_evaluations_is_no_training_time(monkeypatch):
    """A clock that only moves where the test says: 1 s in each step of training, 100 s in each evaluation."""
    clock = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: clock[0])

    def slow_evaluate(model, env, starts, env_kwargs):
        clock[0] += 100
        return np.zeros((1, len(starts)))

    monkeypatch.setattr(training, "evaluate", slow_evaluate)
    callback = EvaluationCallback(PENDULUM, 10, evaluations=4, start=30, since=0.0)
    for step in range(31, 41):
        clock[0] += 1
        callback(None, step)
    clock[0] += 1  # after the last evaluation
    result = callback.finish(None, 5)
    assert result.steps.tolist() == [32, 35, 37, 40]  # quarters of 10, after the 30 before
    assert result.seconds.tolist() == [2, 5, 7, 10]
    assert result.train_seconds == 11
    assert result.test_returns.shape == (1, 5)


def test_figures_of_merit_by_hand():
    numbers = summary(np.array([-3.0, -1.0]), -1.0)
    assert numbers["iqm"] == -2
    assert numbers["regret"] == 1
    assert numbers["returns"].tolist() == [-3, -1]
    assert summary(np.array([-3.0, -1.0]), None)["regret"] is None
    assert mean_optimum("CartPole-v1", [0]) is None


def test_budgets_and_networks():
    assert budget("ppo", PENDULUM, 123, quick=True) == 123
    assert budget("ppo", PENDULUM, None, quick=False) == 40_000
    assert budget("ppo", PENDULUM, None, quick=True) == 20_000
    assert budget("ppo", "CartPole-v1", None, quick=False) == 50_000
    assert budget("sac", PENDULUM, None, quick=False, kind="recurrent") == 15_000
    assert forecast("sac", 1_000, 10) == pytest.approx(2.4)
    for network, kind in (("mlp", "mlp"), ("lstm", "recurrent")):
        assert network_kind(PPO(PENDULUM, seeds=1, **tuned("ppo", PENDULUM, network))) == kind


class Guess(OnPolicy[OnPolicyConfig]):
    """An agent that learns nothing: one new page, which the experiments know nothing about."""

    Config = OnPolicyConfig

    def update(self, rollout):
        pass


class GuessDiscrete(DQN):
    """The same for discrete actions only."""


def test_a_new_agent_needs_no_entry(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(agents.AGENTS, "guess", Guess)
    monkeypatch.setitem(agents.AGENTS, "guessdiscrete", GuessDiscrete)
    assert default_env("guess") == PENDULUM
    assert default_env("guessdiscrete") == DISCRETE
    assert budget("guess", PENDULUM, None, quick=False) > 0
    assert budget("guess", PENDULUM, None, quick=True) > 0
    assert forecast("guess", 1_000, 1) > 0
    assert hyperparams.tuned("guess", PENDULUM).keys() <= {"network"}
    small = ["--steps", "2", "--seeds", "1", "--eval-episodes", "1", "--out", str(tmp_path / "run")]
    assert cli.main(["train", "--agent", "guess", *small]) == 0
    assert "guess on balancier/Pendulum-v0" in capsys.readouterr().out


def test_a_notebook_shows_agents_trainings_and_runs(tmp_path):
    """Tables, bars and curves that need no other file."""
    agent = PPO(PENDULUM, seeds=[4, 7], num_steps=64)
    training = train_agent(agent, PENDULUM, 400, 2, lambda steps, returns: None, evaluations=2)
    page = agent._repr_html_()
    assert all(words in page for words in ("PPO: 2 seeds", PENDULUM, "4, 7", "learning_rate=0.0003", "hidden=[64, 64]"))
    assert [f"{value:.1f}" in page for value in agent.vec_env.mean_return()] == [True, True]
    assert "PPO, one seed of 2" in agent[1]._repr_html_()
    page = training._repr_html_()
    assert page.count("<polyline") == 3  # two seeds and their IQM
    assert all(f"{value:.1f}" in page for value in training.returns)
    assert "none yet" in PPO(PENDULUM, seeds=1)._repr_html_()
    run = Run("name", Flags(out=tmp_path))
    run.figure(Figure(), "curve")
    page = run._repr_html_()
    assert "Run of balancier name" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")
