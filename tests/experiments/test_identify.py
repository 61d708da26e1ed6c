"""The lesson on length and mass of a pendulum: its claims in the short form, its networks, its training, its files."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import identify
from experiments.common.runs import plain
from models.recurrent import RECURRENT


@pytest.fixture(scope="module")
def findings():
    return identify.measure(identify.Identify(quick=True))


@pytest.fixture(scope="module")
def trained():
    """A training of seconds, too short for the claims."""
    flags = identify.Identify(seeds=2, pendulums=1_000, tests=10, hidden=16, jobs=1)
    jobs = [job for job in identify.plan(flags) if job.name in ("mlp", "lstm")]
    return {job.name: identify.work(pickle.loads(pickle.dumps(job)), lambda amount: None) for job in jobs}


def test_a_larger_flat_network_is_best_at_the_length_of_the_training(findings):
    rmse = identify.result(findings)["rmse"]
    assert min(rmse, key=lambda name: rmse[name]["length"]) == "mlp_46202"
    assert rmse["mlp"]["length"] < 1.1 * min(rmse[name]["length"] for name in RECURRENT)


def test_a_recurrent_network_carries_on_beyond_the_training(findings):
    result = identify.result(findings)
    longer = {name: error["length"] for name, error in result["longer_rmse"].items()}
    best = min(RECURRENT, key=longer.__getitem__)
    assert longer["mlp"] > 1.5 * longer[best]
    assert result["flat_over_best_recurrent"]["longer"] == pytest.approx(longer["mlp"] / longer[best], abs=1e-2)
    assert longer["mlp_46202"] > longer[best]  # which has a third of the parameters
    assert abs(result["parameters"]["mlp"] / result["parameters"][best] - 1) < 0.1


def test_the_flat_network_asks_for_less_training(findings):
    seconds = identify.result(findings)["train_seconds"]
    assert all(seconds["mlp"] < seconds[name] for name in RECURRENT)


def test_every_network_that_is_drawn_has_learned(findings):
    result = identify.result(findings)
    for errors in (result["rmse"], result["unequal_rmse"], result["longer_rmse"]):
        assert set(errors) == {"elman", "gru", "lstm", "mlp", "mlp_46202"}
        for error in errors.values():
            assert error["length"] < 0.2 * result["prior"]["length"]
            assert error["mass"] < 0.9 * result["prior"]["mass"]


def test_no_estimator_is_better_than_the_limit_and_quotients_fit_their_rows(findings):
    result = identify.result(findings)
    assert 0.002 < result["limit"]["length"] < 0.01
    for target in ("length", "mass"):
        assert 1 <= result["least_squares"][target] / result["limit"][target] < 1.2
        for name, error in result["rmse"].items():
            assert result["times_limit"][name][target] >= 1
            quotient = error[target] / result["limit"][target]
            assert result["times_limit"][name][target] == pytest.approx(quotient, rel=0.01)


def test_undamped_angles_do_not_tell_the_mass(findings):
    result = identify.result(findings)
    assert result["undamped"]["mass"] > 0.8 * result["prior"]["mass"]
    assert result["undamped"]["length"] < 0.2 * result["prior"]["length"]


def test_the_gradient_of_an_untrained_elman_network_vanishes(findings):
    ratio = identify.result(findings)["first_gradient_over_last"]
    assert ratio["elman"] < 1e-6 < 1e-5 < ratio["lstm"]
    after = findings.networks["elman"].gradient["after"]
    assert after[0] / after[-1] > 1e-2  # what it learned, reaches back


def test_one_number_for_one_thing(findings):
    for name, network in findings.networks.items():
        np.testing.assert_array_equal(network.by_length[100], findings.rmse[name])
        assert set(network.by_length) == set(identify.COUNTS)


def test_errors_are_those_of_the_estimates(trained):
    for network in trained.values():
        angles, truth = identify.unseen_pendulums(10)
        estimate = (truth.numpy() * identify.HALF + identify.MIDDLE)[None]
        error = np.sqrt(((network.estimate - estimate) ** 2).mean(1))
        np.testing.assert_allclose(network.by_length[100], error, rtol=1e-4)
        assert network.estimate.shape == (2, 10, 2)
        assert len(angles) == 10


def test_training_goes_on_and_is_recorded(trained):
    for name, network in trained.items():
        assert len(network.history) == identify.BUDGETS[name].epochs
        seconds = [seconds for seconds, _ in network.history]
        assert seconds == sorted(seconds)
        np.testing.assert_array_equal(network.history[-1][1], network.estimate)
    assert trained["mlp"].by_length[100][:, 0].mean() < 0.3


def test_the_run_writes_its_files(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(identify, "LESSON", replace(identify.LESSON, measure=lambda flags: findings))
    assert identify.main(["--quick", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result.pop("seconds") >= 0
    assert result == plain(identify.result(findings))
    assert {path.stem for path in tmp_path.glob("*.png")} == set(identify.PAGE.captions)
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 5 * 2 * 2
    assert result["networks"] == "shipped"


def test_kept_networks_are_those_that_quick_loads(tmp_path, monkeypatch):
    flags = identify.Identify(quick=True, tests=10)
    networks = {name: identify.build(name, layers, [0]) for name, layers in identify.sizes(flags).items()}
    for name, network in networks.items():
        weights = {key: tensor[:1] for key, tensor in network.state_dict().items()}
        identify.keep(tmp_path, f"identify_{name}", weights, {"seconds": 1.0, "curve": [[1.0, 0.1, 0.2]]})
    monkeypatch.setattr("experiments.common.sequences.SHIPPED", tmp_path)
    for name, network in networks.items():
        weights, notes = identify.load_shipped(f"identify_{name}")
        assert notes["seconds"] == 1.0
        for key, tensor in network.state_dict().items():
            torch.testing.assert_close(weights[key], tensor)


def test_angles_after_the_given_number_of_groups_do_not_count():
    network = identify.MaskedMLP((8,), seeds=2)
    x, counts = torch.randn(2, 3, 100), torch.tensor([[4, 20, 7]] * 2)
    changed = x + 5.0 * (torch.arange(100) >= 5 * counts[..., None])
    torch.testing.assert_close(network(x, counts), network(changed, counts))
    assert not torch.equal(network(x, counts), network(x, counts - 1))


def test_a_flat_network_reads_the_last_groups_of_a_longer_sequence():
    network, angles = identify.MaskedMLP((8,), seeds=1).eval(), torch.randn(4, 200)
    expected = identify.estimates("mlp", network, angles[:, 100:], 20)
    torch.testing.assert_close(identify.estimates("mlp", network, angles, 40), expected)


def test_later_steps_have_larger_weights():
    target = torch.zeros(1, 1, 2)
    early, late = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, 2)
    early[0, 0, 1], late[0, 0, 2] = 1.0, 1.0
    assert identify.every_step_loss(early, target).item() == pytest.approx(2 / 6)  # weights 1, 2 and 3, over 6
    assert identify.every_step_loss(late, target).item() == pytest.approx(3 / 6)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pendulums", "3"], "--pendulums: found 3, expected at least 1000"),
        (["--seeds", "0"], "--seeds: found 0"),
        (["--jobs", "0"], "--jobs: found 0"),
        (["--quick", "--hidden", "8"], "--hidden: found 8 with --quick, expected 64"),
        (["--quick", "--keep", "networks"], "--keep: found networks with --quick, expected a run that trains"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert identify.main([*flags, "--out", str(tmp_path / "run")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
