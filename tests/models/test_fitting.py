from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from models import CNN, GRU, LSTM, MLP, SGD, Elman, FastCNN, Polynomial, Readout, cross_entropy, fit, replica
from models.fitting import accuracy, drop, triangle

SEEDS = [3, 11, 12]


def recurrent(kind, seeds):
    return Readout(kind(2, 4, seeds=seeds), 3, seeds=seeds)


NETWORKS = {
    "mlp": (partial(MLP, 14, (6,), 3), (14,)),
    "elman": (partial(recurrent, Elman), (7, 2)),
    "gru": (partial(recurrent, GRU), (7, 2)),
    "lstm": (partial(recurrent, LSTM), (7, 2)),
    "cnn": (partial(CNN, (3, 8, 8), 3, channels=(4,), hidden=5), (3, 8, 8)),
    "fast": (partial(FastCNN, 3, widths=(4, 6, 5)), (3, 32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_among_others_learns_as_alone(float64, name):
    make, shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(40, *shape, generator=generator), torch.randint(3, (40,), generator=generator))
    together, alone = make(seeds=SEEDS), make(seeds=[11])
    before = [parameter.clone() for parameter in alone.parameters()]
    options = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01}
    fit(together, data, cross_entropy, seeds=SEEDS, **options)
    fit(alone, data, cross_entropy, seeds=[11], **options)
    moved = [not torch.equal(old, new) for old, new in zip(before, alone.parameters(), strict=True)]
    assert sum(moved) >= len(moved) - 1 - 6 * (name == "fast")
    for mine, other in zip(replica(together, 1).state_dict().values(), alone.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-9, rtol=1e-9)


def line(count=64):
    x = torch.linspace(-1, 1, count)[:, None]
    return TensorDataset(x, 3 * x - 1)


def test_a_line_is_learned():
    network = Polynomial(1, seeds=2)
    history = fit(network, line(), seeds=2, epochs=200, learning_rate=0.05, batch_size=16)
    expected = torch.tensor([[-1.0, 3.0]] * 2)
    torch.testing.assert_close(network.weight.detach(), expected, atol=1e-3, rtol=0)
    assert history.train["loss"].shape == (200, 2)
    assert history.train["loss"][0].min() > 0.1
    assert history.train["loss"][-1].max() < 1e-5


def test_plain_gradient_descent_is_its_formula(float64):
    network = Polynomial(1, seeds=1)
    fit(network, line(), seeds=1, epochs=2, batch_size=None, learning_rate=0.1, optimizer=SGD)
    x, y = (tensor[:, 0] for tensor in line().tensors)
    a = b = torch.zeros(())
    for _ in range(2):
        error = a + b * x - y
        a, b = a - 0.1 * 2 * error.mean(), b - 0.1 * 2 * (error * x).mean()
    torch.testing.assert_close(network.weight.detach()[0], torch.stack([a, b]))


def test_sgd_is_pytorchs(float64):
    ours, theirs = MLP(1, (4,), 1, seeds=2), [p.detach().clone() for p in MLP(1, (4,), 1, seeds=2).parameters()]
    plain = [parameter[1].clone().requires_grad_() for parameter in theirs]
    x, y = line().tensors
    mine = SGD(ours.parameters(), [0.01, 0.02], momentum=0.9, weight_decay=0.1)
    other = torch.optim.SGD(plain, 0.02, momentum=0.9, weight_decay=0.1, nesterov=True)
    for _ in range(10):
        mine.step((ours(x.expand(2, -1, -1)) - y).square().mean((1, 2)))
        w1, b1, w2, b2 = plain
        other.zero_grad()
        (torch.relu(x @ w1 + b1) @ w2 + b2 - y).square().mean().backward()
        other.step()
    for found, expected in zip(ours.parameters(), plain, strict=True):
        torch.testing.assert_close(found[1], expected)


class Squares(Dataset):
    """A map-style data set that is no TensorDataset."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return torch.tensor([float(index) / 20]), torch.tensor([(index / 20) ** 2])


def test_any_map_style_data_set_will_do(float64):
    tensors = TensorDataset(*(torch.stack(part) for part in zip(*(Squares()[i] for i in range(20)), strict=True)))
    found = [fit(Polynomial(2, seeds=2), data, seeds=2, epochs=5, batch_size=8).train for data in (Squares(), tensors)]
    np.testing.assert_allclose(found[0]["loss"], found[1]["loss"], rtol=1e-6)


def test_replicas_can_differ_in_rate_and_data():
    network = Polynomial(1, seeds=3)
    rows = torch.tensor([[0, 1], [0, 1], [62, 63]])
    history = fit(
        network, line(), seeds=3, epochs=1, learning_rate=[0.0, 0.1, 0.1], indices=rows, validation_indices=rows
    )
    assert network.weight[0].abs().sum() == 0
    assert not torch.equal(network.weight[1], network.weight[2])
    assert history.validation["loss"][0, 0] == pytest.approx(float(((line().tensors[1][:2]) ** 2).mean()), rel=1e-5)


def test_a_replica_stops_early_and_keeps_its_best_weights():
    network, weights = Polynomial(1, seeds=2), []
    options = {"validation": line(), "patience": 3, "batch_size": None, "optimizer": SGD}
    history = fit(
        network,
        line(),
        seeds=2,
        epochs=30,
        learning_rate=[0.1, 5.0],
        callback=lambda *_: weights.append(network.weight.detach().clone()),
        **options,
    )
    best = history.validation["loss"].argmin(0)
    assert history.best_epoch.tolist() == best.tolist()
    assert best[0] > 20
    assert best[1] < 5  # the rate of 5 diverges
    for seed in range(2):
        torch.testing.assert_close(network.weight[seed], weights[best[seed]][seed])
    torch.testing.assert_close(weights[-1][1], weights[best[1] + 4][1])  # frozen once it was stopped


def test_schedules():
    assert [drop({2: 0.5, 3: 0.1})(epoch) for epoch in (0, 1.9, 2, 3.5)] == pytest.approx([1, 1, 0.5, 0.05])
    assert [triangle(10, 0.2, 0.1)(epoch) for epoch in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.5, 1, 0.55, 0.1])


def test_accuracy():
    output = torch.tensor([[[0.0, 1.0], [2.0, 1.0]], [[3.0, 1.0], [2.0, 1.0]]])
    torch.testing.assert_close(accuracy(output, torch.tensor([[1, 1], [0, 0]])), torch.tensor([0.5, 1.0]))


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="^patience: "):
        fit(Polynomial(1), line(), seeds=1, epochs=1, patience=2)
    with pytest.raises(ValueError, match="^data: "):
        fit(Polynomial(1), TensorDataset(torch.zeros(0, 1)), seeds=1, epochs=1)
