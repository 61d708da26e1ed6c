"""The lesson on convolution: its convolution by hand equals PyTorch's; its numbers, its files, its flags."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from experiments import convolution
from models import CNN


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 1), (4, 1), (3, 2)])
def test_convolution_by_hand_is_pytorchs(stride, padding):
    generator = np.random.default_rng(0)
    picture, kernel = generator.normal(size=(13, 18)), generator.normal(size=(3, 3))
    output = convolution.convolve(picture, kernel, stride, padding)
    theirs = F.conv2d(torch.tensor(picture)[None, None], torch.tensor(kernel)[None, None], None, stride, padding)
    assert output.shape == ((13 + 2 * padding - 3) // stride + 1, (18 + 2 * padding - 3) // stride + 1)
    assert np.allclose(output, theirs[0, 0].numpy(), atol=1e-12)


def test_pooling_by_hand_is_pytorchs():
    picture = np.random.default_rng(0).normal(size=(9, 14))
    for function, theirs in ((np.max, F.max_pool2d), (np.mean, F.avg_pool2d)):
        expected = theirs(torch.tensor(picture)[None], 4)[0].numpy()
        assert np.allclose(convolution.pool(picture, 4, function), expected, atol=1e-12)


def test_kernels_find_what_they_are_for():
    slope = np.outer(np.ones(8), np.arange(8.0))  # brighter to the right, by 1 a pixel
    assert np.allclose(convolution.convolve(slope, convolution.KERNELS["Sobel, to the right"]), 8)
    assert np.allclose(convolution.convolve(slope, convolution.KERNELS["Sobel, downwards"]), 0)
    assert np.allclose(convolution.convolve(slope, convolution.KERNELS["Laplace"]), 0)
    assert np.allclose(convolution.convolve(slope, convolution.KERNELS["box blur"]), slope[2:-2, 2:-2])


def test_parameters_are_those_of_the_layers():
    network = CNN((3, 32, 32), 10, channels=convolution.CHANNELS, hidden=64, seeds=2)
    counts = [pair[0] for pair in convolution.layer_parameters().values()]
    assert counts == [convolution.parameters(layer) for layer in network.convolutions] == [224, 1168, 4640]
    dense = [pair[1] for pair in convolution.layer_parameters().values()]
    assert dense[0] == 8 * 32 * 32 * (3 * 32 * 32 + 1)  # every output pixel has a weight for every input, and a bias


def test_feature_maps_of_any_size_are_the_networks_own():
    network = CNN((3, 32, 32), 10, channels=convolution.CHANNELS, hidden=64, seeds=2)
    pictures = torch.rand(4, 3, 32, 32)
    resized = convolution.feature_maps(network, pictures)
    theirs = network.feature_maps(pictures.expand(2, -1, -1, -1, -1))
    assert [maps.shape[2:] for maps in resized] == [(8, 16, 16), (16, 8, 8), (32, 4, 4)]
    assert all(torch.equal(a, b) for a, b in zip(resized, theirs, strict=True))
    assert convolution.feature_maps(network, torch.rand(1, 3, 64, 48))[0].shape == (2, 1, 8, 32, 24)


def test_equivariance_error_tells_shifts_from_noise():
    generator = np.random.default_rng(0)
    wide = generator.normal(size=(2, 40, 48))
    assert convolution.equivariance_error(wide[..., :40], wide[..., 3:43], 3, 2) == 0
    error = convolution.equivariance_error(wide[..., :40], generator.normal(size=(2, 40, 40)), 3, 2)
    assert error == pytest.approx(2**0.5, rel=0.1)


def test_maps_shift_with_the_picture_by_whole_cells_only():
    network = CNN((3, 32, 32), 10, channels=convolution.CHANNELS, hidden=64, seeds=1)
    errors = list(convolution.equivariance_errors(network, 0).values())
    for stride, by_shift in zip((1, 2, 4, 8), errors, strict=False):
        assert max(by_shift[::stride]) < 1e-5
        assert all(error > 1e-2 for shift, error in enumerate(by_shift) if shift % stride)
    assert min(errors[4][1:]) > 1  # the dense layer's


def test_a_shifted_picture_is_filled_from_its_edge():
    row = torch.arange(32.0).expand(3, 32, 32).flatten()[None]
    moved = convolution.shift_left(row, 5).reshape(3, 32, 32)[0, 0]
    assert moved.tolist() == [*range(5, 32), *[31] * 5]


def test_shuffled_pixels_are_the_same_pixels():
    order = np.array([3, 0, 2, 1])
    data = torch.utils.data.TensorDataset(torch.arange(12.0)[None], torch.zeros(1))
    assert convolution.shuffled(data, order).tensors[0].tolist() == [[3, 0, 2, 1, 7, 4, 6, 5, 11, 8, 10, 9]]


@pytest.fixture(scope="module")
def findings():
    return convolution.measure(convolution.Convolution(quick=True, seeds=1))


@pytest.fixture(scope="module")
def result(findings):
    return convolution.result(findings)


def test_the_convolutional_network_is_better(result):
    tested = {name: np.mean(values) for name, values in result["test_accuracy"].items()}
    assert tested["convolutional"] > 1.4 * tested["dense"]
    assert tested["dense"] > 0.3
    assert result["parameters"] == {"convolutional": 39_514, "dense": 197_322}
    for name, values in result["accuracy_by_shift"].items():
        assert values[0] == pytest.approx(tested[name], abs=1e-3)


def test_more_is_left_to_the_convolutional_network_after_a_shift(result):
    left = {name: values[-1] for name, values in result["accuracy_by_shift"].items()}
    assert left["convolutional"] > 1.5 * left["dense"]
    assert max(result["equivariance_error"]["one convolution"]) < 1e-5
    assert min(result["equivariance_error"]["dense layer"][1:]) > 1


def test_shuffled_pixels_harm_the_convolutional_network_alone(result):
    tested, mixed = result["test_accuracy"], result["shuffled_accuracy"]
    assert mixed["convolutional"][0] < 0.5 * tested["convolutional"][0]
    assert mixed["dense"][0] == pytest.approx(tested["dense"][0], abs=0.06)


def test_a_dense_layer_needs_many_times_the_parameters(result):
    for counts in result["layer_parameters"].values():
        assert counts["dense"] > 400 * counts["convolution"]


def test_feature_maps_are_those_of_one_picture(findings):
    assert findings.picture.shape == (3, 32, 32)
    assert [maps.shape for maps in findings.feature_maps] == [(8, 16, 16), (16, 8, 8), (32, 4, 4)]


def test_the_padding_of_the_drawn_picture_makes_no_border(findings):
    """The background of the picture is 0, as the padding, so that no edge is found where there is none."""
    panel = convolution.figures(findings)["stride_padding_pooling"].axes[1]
    output = np.asarray(panel.images[0].get_array())
    border = np.concatenate([output[0], output[-1], output[:, 0], output[:, -1]])
    assert np.abs(border).max() < 1e-6 < 1 < np.abs(output).max()


def test_the_files_of_a_run(findings, tmp_path, monkeypatch):
    monkeypatch.setattr(convolution, "LESSON", replace(convolution.LESSON, measure=lambda flags: findings))
    assert convolution.main(["--quick", "--seeds", "1", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["seconds"] > 0
    assert next(iter(result["equivariance_error"])) == "one convolution"
    names = {path.name for path in tmp_path.glob("*.png")}
    assert names == {f"{name}.png" for name in convolution.PAGE.captions}
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 4 * 2  # networks, epochs, training and test
    assert lines[1].startswith("1,0,convolutional accuracy,")
    assert lines[-1].startswith("4,0,dense validation_accuracy,")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--frames", "0"], "--frames: found 0, expected at least 1"),
        (["--epochs", "-1"], "--epochs: found -1"),
        (["--learning-rate", "0"], "--learning-rate: found 0.0, expected a number above 0"),
    ],
)
def test_impossible_flags_are_refused(flags, words, tmp_path, capsys):
    assert convolution.main([*flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
