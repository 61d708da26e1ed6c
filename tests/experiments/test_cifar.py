"""The CIFAR lesson: changed copies of pictures, and what both networks learn."""

import json

import numpy as np
import pytest
import torch

from experiments import cifar
from experiments.cifar import Augment, mirrored, shifted
from experiments.common import cifar_data
from models import FastCNN


def test_shifts_mirror_the_border():
    assert mirrored(torch.arange(-2, 7), 5).tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]
    images = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    padded = torch.nn.functional.pad(images, (1,) * 4, mode="reflect")
    changed = shifted(images, torch.tensor([[0, 2], [1, 0]]), 1)
    torch.testing.assert_close(changed[0], padded[0, :, 0:4, 1:6])
    torch.testing.assert_close(changed[1], padded[1, :, 2:6, 0:5])


@pytest.mark.parametrize("flip", [True, False])
def test_augmented_pictures_are_shifted_or_flipped_copies(flip):
    images = torch.randint(256, (2, 30, 3, 8, 8), dtype=torch.uint8)
    changed = Augment(0, flip)(images, 0.0)
    assert changed.shape == images.shape
    assert changed.dtype == torch.uint8
    copies = [images] + ([images.flip(-1)] if flip else [])
    kinds = set()
    for kind, copy in enumerate(copies):
        for dy in range(5):
            for dx in range(5):
                offset = torch.tensor([[dy], [dx]]).expand(2, 60)
                same = (shifted(copy.flatten(0, 1), offset, 2) == changed.flatten(0, 1)).flatten(1).all(1)
                kinds |= {(kind, int(index)) for index in same.nonzero()}
    assert {index for _, index in kinds} == set(range(60))
    assert (sum(kind for kind, _ in kinds) > 15) == flip


class SmallFastCNN(FastCNN):
    """The fast network with fewer channels."""

    def __init__(self, out_features, *, seeds):
        super().__init__(out_features, widths=(16, 32, 32), seeds=seeds)


@pytest.fixture
def _small(monkeypatch):
    images = cifar_data.pendulums(2_000, 300)
    monkeypatch.setattr(cifar_data, "pendulums", lambda train, test: images)
    monkeypatch.setattr(cifar, "FastCNN", SmallFastCNN)
    cifar_data.load.cache_clear()
    yield
    cifar_data.load.cache_clear()


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("network", ["course", "fast"])
def test_pendulums_are_classified(network):
    flags = cifar.Cifar(data="pendulum", network=network, epochs=2, threads=1, precision="float32")
    findings = cifar.measure(flags)
    result = cifar.result(findings)
    assert result["data"] == "pendulums"
    assert result["test_accuracy"] > 0.2
    assert findings.probabilities.shape == (1, 300, 10)
    torch.testing.assert_close(findings.probabilities.sum(-1), torch.ones(1, 300))
    assert set(findings.history.train) == set(findings.history.validation) == {"loss", "accuracy"}
    if network == "course":  # it sees each test picture once
        assert result["test_accuracy"] == result["test_accuracy_one_view"]
    assert set(cifar.figures(findings)) == {"curves", "confusion", "filters", "mistakes"}


@pytest.mark.usefixtures("_small")
def test_the_run_writes_its_files(tmp_path):
    flags = ["--data", "pendulum", "--epochs", "1", "--threads", "1", "--precision", "float32"]
    assert cifar.main([*flags, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["network"] == "course"
    assert len(result["test_accuracy_per_seed"]) == 1
    assert {path.stem for path in tmp_path.glob("*.png")} == {"curves", "confusion", "filters", "mistakes"}
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 2 * 2


def test_pictures_are_standardized_by_color():
    images = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8) // torch.tensor([1, 2, 4])[:, None, None]
    network = cifar.OnBytes(torch.nn.Identity(), images, torch.float32)
    colors = network.standardized(images)
    np.testing.assert_allclose(colors.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(colors.std((0, 2, 3)), 1, atol=1e-5)


def test_impossible_flags_are_refused(tmp_path, capsys):
    for flags, words in (
        (["--epochs", "0"], "--epochs: found 0"),
        (["--data", str(tmp_path / "x")], "found no folder"),
    ):
        assert cifar.main([*flags, "--out", str(tmp_path / "run")]) == 2
        message = capsys.readouterr().err
        assert words in message
        assert message.count("\n") == 1
    assert not (tmp_path / "run").exists()
