"""The lesson on a real pendulum: its numbers in quick form, on simulated recordings and, where at hand, real ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from envs.identification import Windows
from experiments import real
from experiments.common import real_networks as networks
from experiments.common.recordings import load, read, simulate
from experiments.common.runs import plain

MEASURED = Path(__file__).parents[3] / "shared" / "data" / "real-pendulum"  # of those who have the recordings
needs_recordings = pytest.mark.skipif(not MEASURED.is_dir(), reason="the recordings are not at hand")


@pytest.fixture(scope="module")
def findings():
    return real.measure(real.Real(quick=True, data="simulated", seeds=2, steps=1_000))


def test_the_fit_finds_the_pendulum_of_the_simulation(findings):
    result = real.result(findings)
    assert result["simulated"] is True
    assert result["length"] == pytest.approx(0.5, rel=0.03)
    assert result["rms"] < 0.01
    low, high = result["length_ci95"]
    assert low < result["length"] < high
    assert high - low < 0.05
    assert result["length"] == pytest.approx(9.81 * result["inertia"] / result["weight_torque"])


def test_two_derivatives_fail(findings):
    lengths = list(real.result(findings)["length_by_derivatives"].values())
    assert abs(lengths[0] / 0.5 - 1) > 0.5
    inertias = [numbers["inertia"] for numbers in findings.derivatives]
    assert inertias[0] < 0.1 * real.result(findings)["inertia"]  # noise in a regressor makes its coefficient small


def test_the_networks_read_the_length(findings):
    result = real.result(findings)
    assert len(result["network_length"]) == 2
    assert result["network_length_median"] == pytest.approx(0.5, rel=0.15)
    assert result["network_error_simulated"] < 0.06  # without reading it would be a quarter
    assert findings.reading.running.shape == (2, 30)


def test_physics_and_lstm_forecast_better_than_persistence(findings):
    forecast = real.result(findings)["forecast"]
    assert list(forecast) == ["persistence", "physics", "lstm"]
    assert forecast["physics"] < 0.5 * forecast["persistence"]
    assert forecast["lstm"] < 0.5 * forecast["persistence"]


def test_the_agent_learns_on_the_identified_pendulum(findings):
    agent = real.result(findings)["agent"]
    assert len(agent["returns"]) == 2
    assert agent["optimum"] is None  # --quick does not compute it
    assert findings.control.swing_up.shape == (2, 200)
    assert np.abs(findings.control.swing_up[:, 0]) == pytest.approx(np.pi)
    keywords = real.env_kwargs(findings.flags, findings.fit, findings.recording)
    assert keywords["length"] == pytest.approx(real.result(findings)["length"])
    assert keywords["max_torque"] == pytest.approx(1.6, rel=0.1)  # of the recorded motor


def test_every_figure_has_a_caption_and_names_simulated_recordings(findings):
    drawn = real.figures(findings)
    assert list(drawn) == list(real.PAGE.captions)
    for figure in drawn.values():
        assert figure.get_supxlabel() == real.NOTICE
    assert real.NOTICE in real.table(findings).renderables


def test_the_run_writes_its_files(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(real, "LESSON", replace(real.LESSON, measure=lambda flags: findings))
    assert real.main(["--quick", "--data", "simulated", "--out", str(tmp_path / "run")]) == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result.pop("seconds") >= 0
    assert result == plain(real.result(findings))
    assert {path.stem for path in (tmp_path / "run").glob("*.png")} == set(real.PAGE.captions)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pendulums", "10"], "--pendulums: found 10, expected at least 1000"),
        (["--columns", "time", "angle"], "--columns: found 2 names, expected three"),
        (["--quick", "--hidden", "8"], "--hidden: found 8 with --quick, expected 32"),
        (["--quick", "--keep", "nets"], "--keep: found nets with --quick, expected a run that trains"),
        (["--data", "absent.csv"], "--data: found no file absent.csv"),
        (["--other", "absent.csv"], "--other: found no file absent.csv"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    if "--data" not in flags:
        flags = [*flags, "--data", "simulated"]
    assert real.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("upright", [True, False])
def test_another_zero_of_the_angle_is_found_out(upright, tmp_path, capsys):
    """A recording whose angle is counted from the wrong end is refused: its weight would pull upward."""
    recording = simulate(0)
    angle = recording.angle - (0 if upright else np.pi)
    rows = np.stack([recording.time, angle, recording.torque], 1)
    path = tmp_path / "recording.csv"
    np.savetxt(path, rows, delimiter=",", header="time,angle,torque", comments="")
    wrong = [] if upright else ["--upright"]
    assert real.main(["--data", str(path), *wrong, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "a weight torque of -" in error
    assert "--upright" in error
    assert error.count("\n") == 1


# The pieces


def test_the_reader_sees_angles_and_the_torques_to_come():
    network = networks.Reader(4, seeds=[0, 1])
    angles, torques = torch.randn(2, 3, 16).cumsum(-1), torch.randn(2, 3, 20)
    x = network.inputs(angles, torques)
    assert x.shape == (2, 3, 3, networks.INPUTS)
    torch.testing.assert_close(x[..., 0], angles[..., 5::5].sin())
    torch.testing.assert_close(x[..., 1, 2:7], (angles[..., 6:11] - angles[..., 5:10]) / networks.CHANGE)
    torch.testing.assert_close(x[..., 1, 7:12], torques[..., 5:10] / networks.TORQUE)
    torch.testing.assert_close(x[..., 1, 12:], torques[..., 10:15] / networks.TORQUE)


def test_a_forecast_is_that_of_the_training_and_depends_on_no_later_angle():
    network = networks.Reader(4, seeds=[0, 1], origin=2).eval()
    angles, torques = torch.randn(2, 3, 46).cumsum(-1) / 10, torch.randn(2, 3, 45)
    with torch.no_grad():
        future = network.forecast(angles[..., :11], torques[..., :35])
        errors = network(angles, torques)[..., :25]
    torch.testing.assert_close(errors, future - angles[..., 11:36])


def test_an_untrained_forecast_goes_on_with_the_last_change():
    network = networks.Reader(4, seeds=[0])
    with torch.no_grad():
        for parameter in network.change.parameters():
            parameter.zero_()
    angles = 0.1 * torch.arange(11.0).expand(1, 1, -1)
    with torch.no_grad():
        future = network.forecast(angles, torch.zeros(1, 1, 35))
    torch.testing.assert_close(future[0, 0], 1.0 + 0.1 * torch.arange(1.0, 26))


def test_the_loss_of_a_length_is_a_likelihood():
    output = torch.zeros(1, 1, networks.FUTURE + 4)  # two groups: mean 0 and deviation 1 each
    target = torch.full((1, 1, 1), networks.MIDDLE + 2 * networks.HALF)
    assert float(networks.reading_loss(output, target)) == pytest.approx(2.0)
    output[..., : networks.FUTURE] = 0.2
    assert float(networks.forecast_loss(output, target)) == pytest.approx(0.02)


def test_simulated_pendulums_are_as_drawn():
    angles, torques, length = networks.pendulums(64, 7)
    assert angles.shape == (64, networks.READ + 1)
    assert torques.shape == (64, networks.READ)
    assert np.log(0.2) <= length.min() < length.max() <= np.log(1.5)
    assert torch.equal(networks.pendulums(64, 7)[0], angles)
    assert not torch.equal(networks.pendulums(64, 71)[0], angles)


@pytest.mark.slow
def test_training_on_simulations_lowers_the_error():
    network = networks.Reader(8, seeds=[0, 1])
    *tests, truth = networks.pendulums(200, networks.TEST_SEED)

    def error():
        return np.abs(network.lengths(*tests)[0][..., -1] - truth[:, 0].numpy()).mean()

    before, shares = error(), []
    networks.train_on_simulations(network, 2_000, [0, 1], shares.append)
    assert error() < 0.75 * before
    assert sum(shares) == pytest.approx(1)


def test_forecast_windows_begin_where_the_pendulum_moves():
    recording = simulate(0)
    windows = networks.windows_of(recording, 2.0)
    assert isinstance(windows, Windows)
    begin = windows.angle[:, networks.PAST]
    assert (np.abs(begin - windows.angle[:, networks.PAST - 5]) > 0.05).all()
    assert windows.time[:, networks.PAST].min() >= 2.0
    assert windows.angle.shape[1] == windows.torque.shape[1] + 1 == 76


# Real recordings


@needs_recordings
@pytest.mark.slow
@pytest.mark.parametrize("name", ["direct_collocation", "energy_shaping", "sac", "pd_system_identification"])
def test_the_length_of_the_real_pendulum(name):
    found = real.fitted(read(MEASURED / f"{name}.csv"))
    tolerance = 0.03 if name == "direct_collocation" else 0.05
    assert float(found.pendulum.length) == pytest.approx(0.5, rel=tolerance)
    assert found.rms < (0.01 if name == "direct_collocation" else 0.02)


@needs_recordings
@pytest.mark.slow
def test_the_shipped_networks_and_forecasts_on_real_recordings():
    load.cache_clear()
    data, other = (str(MEASURED / f"{name}.csv") for name in ("direct_collocation", "pd_system_identification"))
    found = real.measure(real.Real(quick=True, data=data, other=other, seeds=5, steps=1_000))
    result = real.result(found)
    assert result["network_length_median"] == pytest.approx(0.5, rel=0.08)
    assert result["forecast"]["physics"] < 0.5 * result["forecast"]["persistence"]
    assert result["forecast"]["lstm"] < 0.5 * result["forecast"]["persistence"]
    assert result["simulated"] is False
