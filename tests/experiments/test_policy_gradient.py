import pytest
import torch

from agents import REINFORCE
from experiments import __main__ as cli
from experiments.common import training
from experiments.common.hyperparams import tuned
from experiments.policy_gradient import (
    ENV,
    FAMILY,
    PolicyGradient,
    clones,
    figures,
    gradients,
    measure,
    metrics,
    noise_to_signal,
    plan,
    result,
    table,
    train,
)


def test_noise_to_signal_of_known_gradients():
    """Mean (3, 4), of length 5, and a variance of 2 in each component."""
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    gradient = torch.tensor([3.0, 4.0]) + 2**0.5 * noise
    assert noise_to_signal(gradient) == pytest.approx(4 / 25, rel=0.02)


def test_clones_hold_one_policy_in_environments_of_their_own():
    agent = REINFORCE(ENV, seeds=[3], **tuned("reinforce", ENV)).learn(2_000)
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
    assert figures(findings).keys() == {"learning_curves", "variance"}


def test_a_budget_too_small_is_refused(tmp_path, capsys):
    assert cli.main(["policy_gradient", "--steps", "10", "--out", str(tmp_path / "run")]) == 2
    assert "--steps: found 10, expected at least 20000" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_learning_rates_fall_over_the_budget_of_the_member(monkeypatch):
    monkeypatch.setattr(training, "EVALUATIONS", 1)
    agents = {}

    def keep(agent, env, steps, episodes, report):
        agents[job.name] = agent.config
        assert steps == job.settings

    monkeypatch.setattr("experiments.policy_gradient.train_agent", keep)
    for job in plan(PolicyGradient(seeds=2, seed=5, quick=True)):
        assert job.seeds == (5, 6)
        train(job, lambda done: None)
    assert {name: config.anneal_steps for name, config in agents.items()} == {
        "REINFORCE": None, "with baseline": None, "A2C": 100_000, "PPO": 25_000
    }  # fmt: skip
    assert [agents[name].baseline for name in ("REINFORCE", "with baseline")] == [False, True]
    assert list(agents) == list(FAMILY)
