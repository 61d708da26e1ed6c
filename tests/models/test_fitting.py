from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from models import (
    CNN,
    GRU,
    LSTM,
    MLP,
    SGD,
    Elman,
    FastCNN,
    Polynomial,
    Readout,
    RMSprop,
    cross_entropy,
    fit,
    replica,
    squared_error,
)
from models.fitting import accuracy, drop, evaluate, triangle

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
def test_a_seed_among_others_learns_as_on_its_own(float64, name):
    make, shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(40, *shape, generator=generator), torch.randint(3, (40,), generator=generator))
    together, single = make(seeds=SEEDS), make(seeds=[11])
    before = [parameter.clone() for parameter in single.parameters()]
    options = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01}
    fit(together, data, cross_entropy, seeds=SEEDS, **options)
    fit(single, data, cross_entropy, seeds=[11], **options)
    moved = [not torch.equal(old, new) for old, new in zip(before, single.parameters(), strict=True)]
    assert sum(moved) >= len(moved) - 1 - 6 * (name == "fast")
    for mine, other in zip(replica(together, 1).state_dict().values(), single.state_dict().values(), strict=True):
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


class Squares(Dataset):
    """A map-style data set that is no TensorDataset."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return torch.tensor([float(index) / 20]), torch.tensor([(index / 20) ** 2])


def test_any_map_style_data_set_will_do(float64):
    tensors = TensorDataset(*(torch.stack(part) for part in zip(*(Squares()[i] for i in range(20)), strict=True)))
    actual = [fit(Polynomial(2, seeds=2), data, seeds=2, epochs=5, batch_size=8).train for data in (Squares(), tensors)]
    np.testing.assert_allclose(actual[0]["loss"], actual[1]["loss"], rtol=1e-6)


def test_replicas_can_differ_in_rate_and_data():
    network = Polynomial(1, seeds=3)
    indices = torch.tensor([[0, 1], [0, 1], [62, 63]])
    history = fit(
        network, line(), seeds=3, epochs=1, learning_rate=[0.0, 0.1, 0.1], indices=indices, validation_indices=indices
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


def count_up(output, target):
    """A training loss whose gradient is -1: plain gradient descent at rate 1 adds 1 to the weight in each epoch.

    A validation target holds losses instead: that of epoch number weight - 1.
    """
    weight = output[:, 0, 0]
    if target.shape[-1] == 1:
        return -weight
    return target[:, 0].gather(1, weight.long()[:, None] - 1)[:, 0]


def run_count_up(losses, patience):
    """Train one weight a seed, with validation losses (S, E) given by hand; the history and the weight by epoch."""
    seeds, epochs = len(losses), len(losses[0])
    ones, script = torch.ones(seeds, 1), torch.tensor(losses)
    network, weights = Polynomial(0, seeds=seeds), []
    history = fit(
        network,
        TensorDataset(ones[:1], torch.zeros(1, 1)),
        count_up,
        seeds=seeds,
        epochs=epochs,
        learning_rate=1.0,
        optimizer=SGD,
        validation=TensorDataset(ones, script),
        validation_indices=torch.arange(seeds)[:, None],
        patience=patience,
        callback=lambda *_: weights.append(network.weight.detach().flatten().tolist()),
    )
    return history, network.weight.detach().flatten().tolist(), weights


def test_patience_by_hand():
    """Patience 3. Improvements in epochs 0, 1, 4 and 7; epochs 8, 9, 10 bring none, so epoch 11 is not trained.

    A patience of 2 would stop after epoch 3, one of 4 would reach the best loss of epoch 11; a count that goes on after
    the improvement of epoch 4 would stop after epoch 5. The second seed improves in every epoch and is never stopped.
    """
    losses = [[5.0, 4.0, 4.0, 6.0, 3.0, 9.0, 9.0, 2.0, 9.0, 9.0, 2.0, 0.0], [float(12 - epoch) for epoch in range(12)]]
    history, final, weights = run_count_up(losses, 3)
    assert history.best_epoch is not None
    assert history.best_epoch.tolist() == [7, 11]
    assert final == [8.0, 12.0]
    assert [first for first, _ in weights] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11]
    np.testing.assert_array_equal(history.validation["loss"][:11], np.transpose(losses)[:11])


def test_the_training_ends_when_every_replica_has_stopped():
    history, final, weights = run_count_up([[1.0, 2.0, 2.0, 0.0, 0.0], [1.0, 0.5, 2.0, 2.0, 0.0]], 2)
    assert len(weights) == len(history.train["loss"]) == 4
    assert history.best_epoch is not None
    assert history.best_epoch.tolist() == [0, 1]
    assert final == [1.0, 2.0]


def test_a_callback_sees_the_numbers_of_its_epoch_and_can_end_the_training():
    calls = []

    def callback(epoch, numbers):
        calls.append((epoch, numbers))
        return epoch < 2

    options = {"validation": line(7), "metrics": {"twice": lambda output, target: 2 * squared_error(output, target)}}
    history = fit(Polynomial(1, seeds=2), line(), seeds=2, epochs=9, callback=callback, **options)
    assert [epoch for epoch, _ in calls] == [0, 1, 2]
    assert calls[1][1].keys() == {"loss", "twice", "validation_loss", "validation_twice"}
    np.testing.assert_array_equal(calls[1][1]["validation_loss"], history.validation["loss"][1])
    np.testing.assert_array_equal(calls[2][1]["twice"], history.train["twice"][2])
    np.testing.assert_allclose(history.validation["twice"], 2 * history.validation["loss"], rtol=1e-6)
    assert history.best_epoch is None


def test_augmentation_changes_the_training_input_only():
    """With x replaced by 0 the slope gets no gradient; validation takes the true x."""
    epochs, network = [], Polynomial(1, seeds=1)

    def blank(x, epoch):
        epochs.append(epoch)
        return 0 * x

    history = fit(network, line(), seeds=1, epochs=2, batch_size=40, augment=blank, validation=line())
    assert epochs == [0, 0, 1, 1]
    assert network.weight[0, 1] == 0
    expected = (line().tensors[1] - network.weight.detach()[0, 0]).square().mean()
    assert history.validation["loss"][1, 0] == pytest.approx(float(expected), rel=1e-5)


def test_numbers_of_an_epoch_are_means_over_its_samples():
    """Minibatches of 4, 4 and 2 of ten samples, in any order: the mean of 0, 1, ..., 9 is 4.5, that of squares 28.5."""
    data = TensorDataset(torch.zeros(10, 1), torch.arange(10.0)[:, None])
    options = {"batch_size": 4, "learning_rate": 0.0, "metrics": {"mean": lambda output, target: target.mean((1, 2))}}
    history = fit(Polynomial(0, seeds=2), data, seeds=2, epochs=1, validation=data, **options)
    for part in (history.train, history.validation):
        np.testing.assert_allclose(part["loss"], [[28.5, 28.5]], rtol=1e-6)
        np.testing.assert_allclose(part["mean"], [[4.5, 4.5]], rtol=1e-6)
    whole = torch.arange(10).expand(2, -1)
    scores = evaluate(Polynomial(0, seeds=2), data, {"loss": squared_error}, whole, batch_size=4)
    torch.testing.assert_close(scores["loss"], torch.tensor([28.5, 28.5]))


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_is_in_evaluation_mode_and_restores_the_mode(training):
    modes = []

    class Recorder(Polynomial):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    network = Recorder(0, seeds=1).train(training)
    evaluate(network, line(), {"loss": squared_error}, torch.arange(4)[None])
    assert modes == [False]
    assert network.training == training


def test_every_epoch_takes_every_sample_once_in_a_new_order():
    orders = []

    class Recorder(Polynomial):
        def forward(self, x):
            if self.training:
                orders.append(x[..., 0])
            return super().forward(x)

    data = TensorDataset(torch.arange(10.0)[:, None], torch.zeros(10, 1))
    fit(Recorder(0, seeds=2), data, seeds=2, epochs=3, batch_size=4)
    assert [order.shape[1] for order in orders] == [4, 4, 2] * 3
    epochs = torch.stack([torch.cat(orders[i : i + 3], 1) for i in (0, 3, 6)])  # (E, S, 10)
    torch.testing.assert_close(epochs.sort(-1).values, torch.arange(10.0).expand(3, 2, -1))
    assert len({tuple(order) for order in epochs.flatten(0, 1).tolist()}) == 6


def test_the_schedule_sets_the_rate_of_each_step(float64):
    """A loss with gradient -1 adds the rate to the weight: 0.1 (1 + 1.5 + 2 + 2.5) for two epochs of two steps."""
    network = Polynomial(0, seeds=2)
    data = TensorDataset(torch.ones(4, 1), torch.zeros(4, 1))
    options = {"optimizer": SGD, "schedule": lambda epoch: 1 + epoch, "learning_rate": [0.1, 0.2]}
    fit(network, data, lambda output, target: -output[:, 0, 0], seeds=2, epochs=2, batch_size=2, **options)
    torch.testing.assert_close(network.weight.detach().flatten(), torch.tensor([0.7, 1.4]))


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


def test_targets_of_another_shape_are_refused_with_both_shapes():
    x = torch.linspace(-1, 1, 20)[:, None]
    with pytest.raises(ValueError, match=r"target: found shape \(2, 8\), expected \(2, 8, 1\)"):
        fit(MLP(1, (4,), 1, seeds=2), TensorDataset(x, x[:, 0]), seeds=2, epochs=1, batch_size=8)


@pytest.mark.parametrize(("answer", "epochs"), [(None, 5), (True, 5), (False, 1), (np.bool_(False), 1), (0, 1)])
def test_whatever_is_false_but_none_ends_the_training(answer, epochs):
    x = torch.linspace(-1, 1, 20)[:, None]
    network = MLP(1, (4,), 1, seeds=2)
    history = fit(network, TensorDataset(x, x), seeds=2, epochs=5, callback=lambda *_: answer)
    assert len(history.train["loss"]) == epochs


X = torch.linspace(-1, 1, 40)[:, None]
CLASSES = (X[:, 0] > 0).long()
PAIR = TensorDataset(X, X**2)
LATE = torch.cat([CLASSES[:39], torch.tensor([7])])  # the last sample alone is wrong
FLOAT = "found torch.float64, expected torch.float32, as the output"
REGRESSION = {
    "target (N,)": (TensorDataset(X, X[:, 0]), r"target: found shape \(2, 8\), expected \(2, 8, 1\), as the output"),
    "float64 target": (TensorDataset(X, X.double()), f"target: {FLOAT}"),
    "whole target": (
        TensorDataset(X, CLASSES[:, None]),
        "target: found torch.int64, expected torch.float32, as the out",
    ),
    "float64 inputs": (TensorDataset(X.double(), X), "data: found inputs of torch.float64, expected torch.float32"),
    "inputs (N,)": (TensorDataset(X[:, 0], X), r"data: found inputs \(2, 8\), expected some that the network takes"),
    "inputs (N, 2)": (
        TensorDataset(X.repeat(1, 2), X),
        r"data: found inputs \(2, 8, 2\), expected some that the network",
    ),
    "loader": (DataLoader(PAIR, batch_size=8), r"data: found a DataLoader, expected .*loader.dataset, batch_size=8"),
    "tensors": ((X, X), "data: found a tuple, expected a data set"),
    "arrays": ([X.numpy(), X.numpy()], "data: found a list, expected a data set"),
    "tensor": (X, "data: found a Tensor, expected a data set"),
    "iterator": (iter([(X[0], X[0])]), "data: found a list_iterator, expected a data set"),
    "inputs alone": (TensorDataset(X), r"data: found samples \(Tensor\), expected \(input, ..., target\)"),
    "lists": ([([0.1], [0.2])], r"data: found samples \(list, list\), expected"),
    "empty": (TensorDataset(X[:0], X[:0]), "data: found an empty data set"),
}
CLASSIFICATION = {
    "float target": (CLASSES.float(), r"target: found torch.float32, expected torch.int64, class indices for logits"),
    "target (N, 1)": (
        CLASSES[:, None],
        r"target: found shape \(2, 8, 1\), expected \(2, 8\), class indices for logits",
    ),
    "one-hot": (F.one_hot(CLASSES), r"target: found shape \(2, 8, 2\), expected \(2, 8\), class indices"),
    "late class": (LATE, "target: found classes 0 to 7, expected 0 to 1, for 2 logits"),
    "negative class": (CLASSES - 1, "target: found classes -1 to 0, expected 0 to 1"),
    "PyTorch's -100": (CLASSES - 100, "target: found classes -100 to -99, expected 0 to 1"),
}
REQUESTS = {
    "rates": ({"learning_rate": [0.1] * 3}, "learning_rate: found 3 numbers, expected one, or 2"),
    "batch": ({"batch_size": 0}, "batch_size: found 0, expected a whole number of at least 1"),
    "optimizer": ({"optimizer": torch.optim.Adam}, "optimizer: found torch's Adam, expected Adam, SGD or RMSprop"),
    "loss": ({"loss": F.mse_loss}, r"loss: found a value of shape \(\), expected \(2,\), one number a seed"),
    "metric": ({"metrics": {"mae": F.l1_loss}}, r"mae: found a value of shape \(\), expected \(2,\)"),
    "accuracy": ({"metrics": {"accuracy": accuracy}}, r"target: found shape \(2, 8, 1\), expected \(2, 8\), class"),
    "validation": ({"validation": TensorDataset(X, X[:, 0])}, r"target: found shape \(2, 8\), expected \(2, 8, 1\)"),
    "validation inputs": ({"validation": TensorDataset(X.double(), X)}, "validation: found inputs of torch.float64"),
    "no validation": ({"validation": TensorDataset(X[:0], X[:0])}, "validation: found an empty data set"),
    "indices": ({"indices": torch.arange(4)}, r"indices: found shape \(4,\) of torch.int64, expected \(2, n\)"),
    "range": ({"indices": torch.tensor([[0], [40]])}, "indices: found 0 to 40, expected indices from 0 to 39"),
    "none": ({"validation_indices": torch.zeros(2, 0, dtype=torch.int64)}, r"validation_indices: found shape \(2, 0\)"),
    "seeds": ({"seeds": 3}, r"network: found its .* of shape \(2, .*, expected \(3, ...\), one replica for each"),
}


def refused(network, data, words, loss=squared_error, **more):
    before = [parameter.clone() for parameter in network.parameters()]
    with pytest.raises(ValueError, match=f"^{words}") as caught:
        fit(network, data, **({"loss": loss, "seeds": 2, "epochs": 1, "batch_size": 8} | more))
    assert "\n" not in str(caught.value)
    assert all(map(torch.equal, network.parameters(), before))  # not one step


@pytest.mark.parametrize("case", REGRESSION)
def test_data_that_do_not_fit_are_refused_before_the_first_step(case):
    data, words = REGRESSION[case]
    refused(MLP(1, (4,), 1, seeds=2), data, words)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("case", CLASSIFICATION)
def test_targets_that_are_no_classes_are_refused(case, smoothing):
    target, words = CLASSIFICATION[case]
    loss = partial(cross_entropy, label_smoothing=smoothing)
    refused(MLP(1, (4,), 2, seeds=2), TensorDataset(X, target), words, loss)


@pytest.mark.parametrize("case", REQUESTS)
def test_requests_that_do_not_fit_are_refused_before_the_first_step(case):
    more, words = REQUESTS[case]
    refused(MLP(1, (4,), 1, seeds=2), PAIR, words, **more)


def sequences(x, epoch):
    """Numbers (S, B) as sequences (S, B, 5, 1), which are what the network takes."""
    return x[..., None, None] + torch.zeros(5, 1)


def test_an_augmentation_may_make_what_the_network_takes_and_is_called_once_a_minibatch():
    calls = []
    network = Readout(GRU(1, 4, seeds=2), 1, seeds=2)
    history = fit(network, TensorDataset(X[:, 0], X), seeds=2, epochs=2, batch_size=20,
                  augment=lambda x, epoch: calls.append(epoch) or sequences(x, epoch))  # fmt: skip
    assert calls == [0, 0, 1, 1]
    assert (history.train["loss"][1] < history.train["loss"][0]).all()
    more = {"augment": sequences, "batch_size": 8}
    data = TensorDataset(X[:, 0], X[:, 0])
    refused(network, data, r"target: found shape \(2, 8\), expected \(2, 8, 1\), as the output", **more)
    data = TensorDataset(X[:, 0], X)
    refused(network, data, r"loss: found a value of shape \(\), expected \(2,\)", F.mse_loss, **more)
    refused(network, data, r"mae: found a value of shape \(\)", metrics={"mae": F.l1_loss}, **more)


@pytest.mark.parametrize("network", [nn.Linear(1, 2), nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))])
def test_a_network_without_seed_axis_is_named(network):
    refused(network, PAIR, "network: found a torch.nn.Linear, expected layers of models, with a seed axis")


def test_frozen_networks_and_lengths_of_another_shape_are_named():
    refused(MLP(1, (4,), 1, seeds=2).requires_grad_(False), PAIR, "parameters: found none, expected some that learn")
    data = TensorDataset(torch.rand(9, 7, 2), torch.full((9, 1), 3), torch.rand(9, 3))
    refused(recurrent(GRU, 2), data, r"lengths: found shape \(2, 8, 1\), expected \(2, 8\), as sequences")


def test_classes_of_any_whole_type_and_lists_of_samples_are_taken():
    losses = [
        fit(MLP(1, (4,), 2, seeds=2), data, cross_entropy, seeds=2, epochs=2, batch_size=8).train["loss"]
        for data in (TensorDataset(X, CLASSES), TensorDataset(X, CLASSES.int()), list(zip(X, CLASSES, strict=True)))
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(losses[0], losses[2])


def test_rmsprop_trains_in_fit_and_stops_early():
    network = MLP(1, (4,), 1, seeds=2)
    options = {"optimizer": RMSprop, "validation": PAIR, "patience": 3, "learning_rate": [0.01, 10.0]}
    history = fit(network, PAIR, seeds=2, epochs=20, **options)
    assert history.best_epoch is not None
    assert history.train["loss"][-1, 0] < 0.5 * history.train["loss"][0, 0]
