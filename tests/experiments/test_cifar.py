"""The CIFAR lesson: changed copies of pictures, and what both networks learn."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import cifar
from experiments.cifar import Augment, mirrored, shifted
from experiments.common import cifar_data
from models import SGD, FastCNN


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
    changed = Augment([0, 1], flip)(images, 0.0)
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


def test_a_picture_is_flipped_in_every_other_epoch():
    images = torch.randint(256, (1, 60, 3, 8, 8), dtype=torch.uint8)
    augment = Augment([0], True)
    changed = []
    for epoch in range(3):
        augment.generators[0].manual_seed(0)  # the same shifts in every epoch
        changed.append(augment(images, epoch))
    assert torch.equal(changed[0], changed[2])
    flipped = (changed[0] != changed[1]).flatten(2).any(2)
    assert flipped.all()
    share = (Augment([0], False)(images, 0) == changed[0]).flatten(2).all(2).float().mean()
    assert 0.3 < share < 0.7  # half of the pictures are as they were


def test_the_shifts_of_a_seed_do_not_depend_on_the_others():
    images = torch.randint(256, (1, 30, 3, 8, 8), dtype=torch.uint8)
    together = Augment([5, 6], True)(images.expand(2, -1, -1, -1, -1), 0.0)
    assert torch.equal(together[1], Augment([6], True)(images, 0.0)[0])
    assert not torch.equal(together[0], together[1])


def test_lookahead_ends_with_an_average_of_its_steps(float64):
    """Gradient 1, rate 1: SGD would stand at -1, -2, ...; the average after 5 of 7 steps and the end, by hand."""
    parameter = torch.nn.Parameter(torch.zeros(1, 1))
    plain = torch.nn.Parameter(torch.zeros(1, 1))
    optimizer, other = cifar.Lookahead([parameter], 1.0, total=7), SGD([plain], 1.0)
    for _ in range(7):
        for weights, each in ((parameter, optimizer), (plain, other)):
            each.step(weights.sum((1,)))
    decay = 0.95**5 * (5 / 7) ** 3
    after_five = -5 * (1 - decay)
    assert plain.item() == pytest.approx(-7)
    assert parameter.item() == pytest.approx(after_five)  # the last step keeps the average


class SmallFastCNN(FastCNN):
    """The fast network with fewer channels."""

    def __init__(self, out_features, *, widths, seeds):
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
    assert set(findings.train) == set(findings.test) == {"loss", "accuracy"}
    assert {curve.shape for curve in findings.train.values()} == {(3, 1)}
    if network == "course":  # it sees each test picture once
        assert result["test_accuracy"] == result["test_accuracy_one_view"]
    drawn = cifar.figures(findings)
    assert drawn.keys() == cifar.PAGE.captions.keys()
    assert all(figure.get_size_inches()[0] <= 2.2 * figure.get_size_inches()[1] for figure in drawn.values())
    assert [maps.shape[0] for maps in findings.feature_maps] == [3, 3, 3]


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("network", ["course", "fast"])
def test_seeds_apart_learn_what_they_learn_together(network):
    flags = cifar.Cifar(data="pendulum", network=network, epochs=1, threads=1, precision="float32", seeds=2, seed=3)
    together, apart = cifar.measure(flags), cifar.measure(replace(flags, jobs=1))
    for name, curve in together.test.items():
        assert curve.shape == (2, 2)
        np.testing.assert_allclose(apart.test[name], curve, rtol=1e-4)
    torch.testing.assert_close(apart.probabilities, together.probabilities, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(together.probabilities[0], together.probabilities[1])
    assert (apart.seeds, apart.parameters) == ([3, 4], together.parameters)
    for maps, others in zip(apart.feature_maps, together.feature_maps, strict=True):
        np.testing.assert_allclose(maps, others, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_quick_form_learns_and_measures_training_above_test():
    cifar_data.load.cache_clear()
    findings = cifar.measure(cifar.Cifar(quick=True, data="pendulum", threads=1, precision="float32"))
    result = cifar.result(findings)
    assert result["start_accuracy"] < 0.2
    assert result["test_accuracy"] > 0.85
    assert result["train_accuracy"] >= result["test_accuracy"]
    assert (np.diff(findings.test["loss"][:, 0]) < 0).all()


def test_epochs_and_width_follow_from_the_time(monkeypatch):
    """10,000 training and 2,000 test pictures of 60 ms: an epoch takes 740 s, by hand below."""
    frames, labels = np.zeros((12_000, 3, 32, 32), np.uint8), np.zeros(12_000, np.int64)
    frames[:300] = np.random.default_rng(0).integers(256, size=(300, 3, 32, 32))
    parts = frames[:10_000], labels[:10_000], frames[:2_000], labels[:2_000]
    images = cifar_data.Images(*parts, tuple("abcdefghij"), "zeros")
    monkeypatch.setattr(cifar, "load", lambda data, quick: images)
    monkeypatch.setattr(cifar, "WIDTHS", ((8, 8, 8), (4, 8, 8), (4, 4, 8)))
    times = {}
    monkeypatch.setattr(
        cifar, "seconds_of_a_picture", lambda network, *_: times[sum(w.numel() for w in network.parameters())]
    )

    def plan(network, seconds, **flags):
        cifar.plan.cache_clear()
        for widths, second in zip(cifar.WIDTHS, seconds, strict=False):
            built = cifar.build(cifar.Cifar(network=network), 10, torch.from_numpy(frames[:256]), torch.float32, widths)
            times[sum(w.numel() for w in built.parameters())] = second
        return cifar.plan(cifar.Cifar(network=network, data="pendulum", precision="float32", **flags))

    assert plan("course", [0.001]).epochs == 10  # all that are wanted
    slow = plan("course", [0.06], minutes=60)
    each, last = 0.06 * (1.1 * 10_000 + 2 * 2_000 / 3), 0.06 * 2 * 2_000 / 3
    assert slow.epochs == int((3600 - last) / each) == 4
    assert slow.seconds == pytest.approx(4 * each + last + 3)
    assert plan("course", [0.06], minutes=60, epochs=7).epochs == 7  # the flag wins
    assert plan("course", [9.0], minutes=1).epochs == 1
    fast = plan("fast", [0.06, 0.02, 0.001], minutes=60)
    assert (fast.widths, fast.epochs) == (cifar.WIDTHS[1], 14)  # the widest would have time for 4 epochs only
    assert plan("fast", [0.001, 0.001, 0.001]).widths == cifar.WIDTHS[0]
    cifar.plan.cache_clear()


@pytest.mark.usefixtures("_small")
def test_the_run_writes_its_files(tmp_path):
    flags = ["--data", "pendulum", "--epochs", "1", "--threads", "1", "--precision", "float32"]
    assert cifar.main([*flags, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["network"] == "course"
    assert len(result["test_accuracy_per_seed"]) == 1
    assert {path.stem for path in tmp_path.glob("*.png")} == {"curves", "confusion", "feature_maps", "mistakes"}
    assert (tmp_path / "metrics.csv").read_text().count("\n") == 1 + 2 * 2 * 2


def test_pictures_are_standardized_by_color():
    images = torch.randint(256, (64, 3, 32, 32), dtype=torch.uint8) // torch.tensor([1, 2, 4])[:, None, None]
    network = cifar.OnBytes(torch.nn.Identity(), images, torch.float32)
    colors = network.standardized(images)
    np.testing.assert_allclose(colors.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(colors.std((0, 2, 3)), 1, atol=1e-5)


def test_impossible_flags_are_refused(tmp_path, capsys):
    for flags, words in (
        (["--epochs", "0"], "--epochs: found 0"),
        (["--minutes", "0"], "--minutes: found 0.0, expected a number above 0"),
        (["--data", str(tmp_path / "x")], "found no folder"),
    ):
        assert cifar.main([*flags, "--out", str(tmp_path / "run")]) == 2
        message = capsys.readouterr().err
        assert words in message
        assert message.count("\n") == 1
    assert not (tmp_path / "run").exists()
