"""What a user gives that cannot be: one line that names it, says what was found and what was expected, at once."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import models
from models import (
    CNN,
    GRU,
    LSTM,
    MLP,
    SGD,
    Adam,
    BatchNorm2d,
    CategoricalPolicy,
    Conv2d,
    DeterministicPolicy,
    Elman,
    EpsilonGreedyPolicy,
    FastCNN,
    GaussianPolicy,
    Linear,
    Polynomial,
    Readout,
    RMSprop,
    Value,
    cross_entropy,
    fit,
    squared_error,
)

NAN, INF = float("nan"), float("inf")
WIDTHS = (0, -1, 1.5, NAN, "3", True, [3], 10**12, 1j, np.float32(2), {})
SWITCHES = (1, 0, "no", None, "", NAN)
NUMBERS = (-1, NAN, INF, "a", None, True, [1], 1j, 10**400)
SEEDS = (0, -1, 1.5, "3", None, True, [], [1, 1], NAN, [0.5], {}, 10**12)
LISTS = ((0,), 4, "44", (1.5,), None, (-1,), (True,), {3})


def refused(call, name=""):
    with pytest.raises(ValueError, match=f"^{name}") as error:
        call()
    line = str(error.value)
    assert "\n" not in line
    assert "found" in line
    assert "expected" in line


RECURRENT = {"input_size": WIDTHS, "hidden_size": WIDTHS, "seeds": SEEDS}
CONSTRUCTORS = {
    Linear: ({"in_features": 3, "out_features": 2}, {"out_features": WIDTHS, "seeds": SEEDS}),
    Conv2d: ({"in_channels": 3, "out_channels": 2, "kernel_size": 3}, {
        "in_channels": WIDTHS, "out_channels": WIDTHS, "kernel_size": WIDTHS, "stride": WIDTHS, "bias": SWITCHES,
        "padding": (-1, 1.5, "x", None, True, (1, 1))}),
    BatchNorm2d: ({"channels": 3}, {"channels": WIDTHS, "momentum": NUMBERS, "eps": NUMBERS, "scale": SWITCHES}),
    Polynomial: ({"order": 2}, {"order": WIDTHS[1:], "orders": (3, "12", [], [3], [-1], [1.5], ["a"], True)}),
    MLP: ({"in_features": 3}, {"hidden": LISTS, "out_features": WIDTHS, "activation": ("x", None, 3, [], torch.relu),
                               "in_features": (-1, 1.5, "3", None, True, (0,), (3, -1))}),
    CNN: ({"in_shape": (3, 16, 16)}, {
        "channels": (*LISTS, (), (2,) * 9), "hidden": WIDTHS, "kernel_size": WIDTHS, "out_features": WIDTHS,
        "in_shape": (3, None, "abc", (3, 16), (0, 16, 16), (3, 1.5, 16), (3, 16, 16, 1), [])}),
    FastCNN: ({}, {"out_features": WIDTHS, "widths": (*LISTS, ())}),
    Elman: ({"input_size": 3, "hidden_size": 4}, RECURRENT),
    GRU: ({"input_size": 3, "hidden_size": 4}, RECURRENT),
    LSTM: ({"input_size": 3, "hidden_size": 4}, RECURRENT),
    Readout: ({"trunk": GRU(2, 3), "out_features": 1}, {
        "trunk": (None, "gru", MLP(3), GRU), "out_features": WIDTHS, "every_step": SWITCHES}),
    Value: ({"trunk": MLP(3), "seeds": 1}, {"trunk": (None, "mlp", MLP, nn.Identity()), "out_features": WIDTHS}),
    CategoricalPolicy: ({"trunk": MLP(3), "num_actions": [2], "seeds": 1}, {"num_actions": (*LISTS, [])}),
    EpsilonGreedyPolicy: ({"trunk": MLP(3), "num_actions": 2, "seeds": 1}, {
        "num_actions": WIDTHS, "dueling": SWITCHES}),
    DeterministicPolicy: ({"trunk": MLP(3), "action_size": 2, "std": 0.1, "seeds": 1}, {
        "action_size": WIDTHS, "std": NUMBERS}),
    GaussianPolicy: ({"trunk": MLP(3), "action_size": 2, "seeds": 1}, {"log_std_init": (*NUMBERS[1:], 1000)}),
}  # fmt: skip
KEYWORDS = [(kind, name) for kind, (_, wrong) in CONSTRUCTORS.items() for name in wrong]


@pytest.mark.parametrize(("kind", "name"), KEYWORDS)
def test_every_constructor_names_the_keyword_that_cannot_be(kind, name):
    right, wrong = CONSTRUCTORS[kind]
    kind(**right)
    for value in wrong[name]:
        refused(lambda value=value: kind(**(right | {name: value})), f"{name}: ")


def test_a_layer_that_memory_cannot_hold_is_refused():
    refused(lambda: Linear(10**6, 10**6), "network: ")


@pytest.mark.parametrize(("name", "optimizers"), [
    ("learning_rate", [partial(kind, learning_rate=rate) for kind in (Adam, SGD, RMSprop)
                       for rate in (-1, NAN, INF, "a", None, [1e-3] * 3, [], [1, NAN], True, 1j, 10**400)]),
    ("betas", [partial(Adam, learning_rate=1, betas=betas) for betas in (3, (1, 2), (0.9,), (0.9, NAN), "ab")]),
    ("eps", [partial(kind, learning_rate=1, eps=eps) for kind in (Adam, RMSprop) for eps in NUMBERS]),
    ("max_grad_norm", [partial(kind, learning_rate=1, max_grad_norm=norm) for kind in (Adam, RMSprop)
                       for norm in (0, -1, NAN, "a", True)]),
    ("momentum", [partial(SGD, learning_rate=1, momentum=number) for number in NUMBERS]),
    ("weight_decay", [partial(SGD, learning_rate=1, weight_decay=number) for number in NUMBERS]),
    ("factors", [partial(SGD, learning_rate=1, factors=factors) for factors in ([1], ["a"] * 4, [NAN] * 4)]),
    ("alpha", [partial(RMSprop, learning_rate=1, alpha=alpha) for alpha in (*NUMBERS, 2)]),
])  # fmt: skip
def test_an_optimizer_names_the_keyword_that_cannot_be(name, optimizers):
    for optimizer in optimizers:
        refused(lambda optimizer=optimizer: optimizer(MLP(1, (4,), 1, seeds=2).parameters()), f"{name}: ")


@pytest.mark.parametrize("parameters", [None, "a", 3, [], [3], [torch.zeros(3)]])
def test_an_optimizer_is_given_parameters(parameters):
    refused(lambda: Adam(parameters, 1e-3), "parameters: ")


def test_a_replica_has_a_place():
    for index in (-1, 5, 1.5, "a", None, True):
        refused(lambda index=index: models.replica(MLP(1, seeds=2), index), "index: ")


X = torch.linspace(-1, 1, 20)[:, None]
PAIR = TensorDataset(X, X)
COUNTS = (0, -1, 1.5, NAN, "3", True, [1])
INDICES = (3, [[0, 1]] * 2, torch.zeros(2, 0).long(), torch.zeros(3, 4).long(), torch.zeros(2, 4),
           torch.full((2, 4), 99), torch.full((2, 4), -1), torch.zeros(2, 4, dtype=torch.bool))  # fmt: skip
WRONG = {
    "epochs": (*COUNTS, None),
    "batch_size": COUNTS,
    "patience": COUNTS,
    "learning_rate": (-1, NAN, INF, "a", None, [1e-3] * 3, [], [1e-3, NAN], True),
    "seeds": (0, None, "2", True, 1.5, [1, 1]),
    "network": (None, "mlp", MLP, 3, nn.Identity(), nn.Linear(1, 1), MLP(1, (4,), 1, seeds=3)),
    "data": (None, 3, "abc", TensorDataset(X * NAN, X), TensorDataset(X * INF, X), TensorDataset(X, X * INF),
             TensorDataset(X, X * NAN), TensorDataset(X + 0j, X), TensorDataset(X[:0], X[:0])),
    "validation": (3, "a", (X, X), TensorDataset(X[:0], X[:0]), TensorDataset(X * NAN, X)),
    "indices": INDICES,
    "validation_indices": INDICES,
    "loss": (None, "mse", 3, lambda o: o, lambda o, t: 3, lambda o, t: (o - t)[:, 0, 0] * NAN),
    "metrics": (3, "a", [squared_error], {"loss": squared_error}, {"a": 3}, {"a": lambda o: o}),
    "optimizer": (None, "adam", 3, torch.optim.Adam, partial(Adam, lr=3), lambda p, r: None),
    "schedule": (None, "a", 3, lambda e: NAN, lambda e: -1, lambda e: "a", lambda e: None, lambda: 1.0),
    "augment": (3, "a", lambda x: x, lambda x, e: None),
    "callback": (3, "a", [print], lambda: 1, lambda e: 1),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_fit_names_the_argument_that_cannot_be(name):
    for value in WRONG[name]:
        right = {"network": MLP(1, (4,), 1, seeds=2), "data": PAIR, "seeds": 2, "epochs": 1}
        right |= {"validation": PAIR} if name == "patience" else {}
        before = [parameter.clone() for parameter in right["network"].parameters()]
        refused(lambda given=right | {name: value}: fit(**given), f"{name}: ")
        assert all(map(torch.equal, before, right["network"].parameters()))


def test_targets_that_are_padding_are_taken():
    padded = torch.where(X > 0, X, NAN)
    assert np.isfinite(fit(MLP(1, (4,), 1, seeds=2), TensorDataset(X, padded), seeds=2, epochs=1).train["loss"]).all()
    labels = torch.randint(3, (20,))
    for smoothing in (3, NAN, -1, "a"):
        loss = partial(cross_entropy, label_smoothing=smoothing)
        given = MLP(1, (4,), 3, seeds=2), TensorDataset(X, labels), loss
        refused(lambda given=given: fit(*given, seeds=2, epochs=1), "label_smoothing: ")
