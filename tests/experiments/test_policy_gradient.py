from typing import Any

import pytest
import torch

from agents import REINFORCE
from experiments import __main__ as cli
from experiments.common import training
from experiments.policy_gradient import (
    CARTPOLE,
    FAMILY,
    PAGE,
    PENDULUM,
    PolicyGradient,
    clones,
    figures,
    gradients,
    measure,
    metrics,
    noise_to_signal,
    plan,
    result,
    settings,
    table,
    train,
)


def test_noise_to_signal_of_known_gradients():
    """Mean (3, 4), of length 5, and a variance of 2 in each component."""
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    gradient = torch.tensor([3.0, 4.0]) + 2**0.5 * noise
    assert noise_to_signal(gradient) == pytest.approx(4 / 25, rel=0.02)


def test_clones_hold_one_policy_in_environments_of_their_own():
    agent = REINFORCE(PENDULUM, seeds=[3], **settings("reinforce", PENDULUM)).learn(2_000)
    many = clones(agent, 3)
    for mine, theirs in zip(many.policy.parameters(), agent.policy.parameters(), strict=True):
        assert (mine == theirs).all()
    assert not torch.equal(many.obs[0], many.obs[1])
    assert many.encoder.statistics
    assert agent.encoder.statistics
    assert torch.equal(many.encoder.statistics.mean[0], agent.encoder.statistics.mean[0])
    assert many.reward_scaling
    assert agent.reward_scaling
    assert torch.equal(many.reward_scaling.returns.var[2], agent.reward_scaling.returns.var[0])
    by_estimator = gradients(many)
    assert by_estimator["return"].shape == by_estimator["return - V"].shape
    assert not torch.equal(by_estimator["return"][0], by_estimator["return"][1])


def test_numbers_and_figures_of_a_small_lesson(monkeypatch):
    monkeypatch.setattr(training, "EVALUATIONS", 1)
    findings = measure(PolicyGradient(steps=3_200, seeds=2, rollouts=8, jobs=1))  # too few to learn from
    numbers = result(findings)
    assert list(numbers["agents"]) == ["REINFORCE", "with baseline", "A2C", "PPO"]
    assert all(len(row["returns"]) == 2 for row in numbers["agents"].values())
    assert [row["steps"] for row in numbers["agents"].values()] == [3_200, 3_200, 3_200, 800]
    assert all(value > 0 for value in numbers["noise_to_signal"].values())
    assert numbers["variance"]["return"] == 1
    assert numbers["variance"].keys() == numbers["noise_to_signal"].keys()
    for row in numbers["agents"].values():
        assert row["regret"] == pytest.approx(numbers["optimum"] - row["iqm"])
    assert {metric for _, metric, _, _ in metrics(findings)} == {f"{name}/return" for name in FAMILY}
    assert table(findings).row_count == 4
    drawn = figures(findings)
    assert drawn.keys() == PAGE.captions.keys()
    assert all(figure.get_size_inches()[0] <= 2.2 * figure.get_size_inches()[1] for figure in drawn.values())


@pytest.mark.slow
def test_the_quick_form_shows_what_the_lesson_claims():
    """All four learn CartPole, A2C and PPO (with half the steps) best; a critic makes the gradient less noisy."""
    numbers = result(measure(PolicyGradient(quick=True, jobs=1)))
    assert numbers["env"] == CARTPOLE
    assert numbers["optimum"] == 500
    agents, variance = numbers["agents"], numbers["variance"]
    assert all(row["iqm"] > 150 for row in agents.values())  # random actions reach 22
    for name in ("REINFORCE", "with baseline"):
        assert agents["A2C"]["iqm"] > 1.2 * agents[name]["iqm"]
    assert min(agents["A2C"]["iqm"], agents["PPO"]["iqm"]) > 450
    assert agents["PPO"]["steps"] == agents["A2C"]["steps"] / 2
    assert 1 > variance["return - V"] > variance["GAE, lambda 0.95"] > variance["GAE, lambda 0"]
    assert numbers["noise_to_signal"]["return - V"] < numbers["noise_to_signal"]["return"]


def test_steps_without_a_known_return_do_not_count():
    """CartPole for 3 steps: no episode ends, so no gradient."""
    hyperparameters: dict[str, Any] = {**settings("reinforce", CARTPOLE), "num_steps": 3}
    agent = REINFORCE(CARTPOLE, seeds=2, **hyperparameters)
    assert all((gradient == 0).all() for gradient in gradients(agent).values())


def test_a_budget_too_small_is_refused(tmp_path, capsys):
    assert cli.main(["policy_gradient", "--steps", "10", "--out", str(tmp_path / "run")]) == 2
    assert "--steps: found 10, expected at least 20000" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_learning_rates_fall_over_the_budget_of_the_member(monkeypatch):
    monkeypatch.setattr(training, "EVALUATIONS", 1)
    agents = {}

    def keep(agent, env, steps, episodes, report, evaluations):
        agents[job.name] = agent.config
        assert (env, steps) == (CARTPOLE, job.settings.steps_of(job.name))

    monkeypatch.setattr("experiments.policy_gradient.train_agent", keep)
    for job in plan(PolicyGradient(seeds=2, seed=5, quick=True)):
        assert job.seeds == (5, 6)
        train(job, lambda done: None)
    assert {name: config.anneal_steps for name, config in agents.items()} == {
        "REINFORCE": None, "with baseline": None, "A2C": 40_000, "PPO": 20_000
    }  # fmt: skip
    assert [agents[name].baseline for name in ("REINFORCE", "with baseline")] == [False, True]
    assert list(agents) == list(FAMILY)
