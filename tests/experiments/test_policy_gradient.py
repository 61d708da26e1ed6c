import json

import pytest
import torch

from agents import REINFORCE
from experiments import __main__ as cli
from experiments.policy_gradient import ENV, clones, gradients, noise_to_signal


def test_noise_to_signal_of_known_gradients():
    """Mean (3, 4), of length 5, and a variance of 2 in each component."""
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    gradient = torch.tensor([3.0, 4.0]) + 2**0.5 * noise
    assert noise_to_signal(gradient) == pytest.approx(4 / 25, rel=0.02)


def test_clones_hold_one_policy_in_worlds_of_their_own():
    agent = REINFORCE(ENV, seeds=[3]).learn(2_000)
    many = clones(agent, 3)
    for mine, theirs in zip(many.policy.parameters(), agent.policy.parameters(), strict=True):
        assert (mine == theirs).all()
    assert not torch.equal(many.obs[0], many.obs[1])
    found = gradients(many)
    assert found["return"].shape == found["return - V"].shape
    assert not torch.equal(found["return"][0], found["return"][1])


def test_the_lesson_writes_what_it_measured(tmp_path):
    small = ["--quick", "--steps", "20000", "--seeds", "2", "--rollouts", "8", "--jobs", "1"]
    assert cli.main(["policy_gradient", *small, "--out", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert list(result["agents"]) == ["REINFORCE", "with baseline", "A2C", "PPO"]
    assert all(len(row["returns"]) == 2 for row in result["agents"].values())
    assert all(value > 0 for value in result["noise_to_signal"].values())
    assert {path.name for path in (tmp_path / "run").glob("*.png")} == {"learning_curves.png", "variance.png"}


def test_a_budget_too_small_is_refused(tmp_path, capsys):
    assert cli.main(["policy_gradient", "--steps", "10", "--out", str(tmp_path / "run")]) == 2
    assert "--steps: found 10, expected at least 20000" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
