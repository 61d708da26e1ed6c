"""The lesson on length and mass of a pendulum: its networks, its numbers, its files."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import identify
from experiments.common.runs import plain

FLAGS = identify.Identify(quick=True, seeds=1, tests=50, pendulums=40_000, hidden=8, limit_tests=5)


def in_this_process(work, jobs, *_):
    """The jobs one after the other, as they would arrive in another process."""
    return [work(pickle.loads(pickle.dumps(job)), lambda amount: None) for job in jobs]


@pytest.fixture(scope="module")
def findings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identify, "run_parallel", in_this_process)  # tests/experiments/test_forecast.py has processes
        return identify.measure(FLAGS)


def test_networks_learn_and_stay_above_the_limit(findings):
    result = identify.result(findings)
    assert set(result["rmse"]) == {"mlp", "mlp, any length", "elman", "gru", "lstm"}
    assert result["rmse"]["mlp"]["length"] < 0.3 < result["prior"]["length"]
    assert 0 < result["limit"]["length"] < 0.02
    assert result["undamped"]["mass"] > 0.8 * result["prior"]["mass"]
    assert min(ratio["length"] for ratio in result["times_limit"].values()) > 1


def test_errors_are_those_of_the_estimates(findings):
    network = findings.networks["gru"]
    error = np.sqrt(((network.estimate - findings.truth) ** 2).mean(1))
    np.testing.assert_allclose(network.full, error, rtol=1e-4)
    assert set(network.by_length) == set(range(10, 101, 10))
    assert list(findings.networks["mlp"].by_length) == [100]
    assert findings.networks["mlp"].unequal is None


def test_the_run_writes_its_files(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(identify, "LESSON", replace(identify.LESSON, measure=lambda flags: findings))
    assert identify.main(["--seeds", "1", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.pop("seconds") >= 0
    assert result == plain(identify.result(findings))
    assert {path.stem for path in tmp_path.glob("*.png")} == {"networks", "lengths", "memory", "estimates"}
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 5 * 2


def test_angles_after_the_given_length_do_not_count():
    network = identify.AnyLength(10, (8,), 2, seeds=2)
    x, lengths = torch.randn(2, 3, 10), torch.tensor([[4, 10, 7]] * 2)
    changed = x + 5.0 * (torch.arange(10) >= lengths[..., None])
    torch.testing.assert_close(network(x, lengths), network(changed, lengths))
    assert not torch.equal(network(x, lengths), network(x, lengths - 1))


def test_later_steps_have_larger_weights():
    target = torch.zeros(1, 1, 2)
    early, late = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2)
    early[0, 0, 1], late[0, 0, 2] = 1.0, 1.0
    assert identify.every_step_loss(early, target).item() == pytest.approx(0.2)  # weights 0, 1/4 and 1, over 5/4
    assert identify.every_step_loss(late, target).item() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tests", "50", "--limit-tests", "60"], "--limit-tests: found 60, expected at most --tests, 50"),
        (["--pendulums", "3"], "--pendulums: found 3, expected at least 1000"),
        (["--seeds", "0"], "--seeds: found 0"),
        (["--jobs", "0"], "--jobs: found 0"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert identify.main([*flags, "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
