"""Recorded functions against the same functions as they stand."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch

from models import MLP, Adam
from models.recording import Recordings, into_memory, map_tensors, tensors_of


@pytest.fixture
def recordings():
    return Recordings()


def test_trees_of_tensors():
    tree = (torch.ones(2), {"a": [torch.zeros(1), 3]}, None)
    assert [len(x) for x in tensors_of(tree)] == [2, 1]
    assert map_tensors(len, tree) == (2, {"a": [1, 3]}, None)


@pytest.mark.parametrize("name", ["add.Tensor", "bmm.default", "sum.dim_IntList", "max.dim", "zeros.default"])
def test_operations_that_write_into_given_memory(name):
    packet, overload = name.split(".")
    variant, results = into_memory(getattr(getattr(torch.ops.aten, packet), overload))
    assert len(results) == (2 if packet == "max" else 1)
    assert {argument.name for argument in variant._schema.arguments if argument.is_out} == set(results)


def step(network, optimizer, x, target):
    loss = ((network(x).tanh() - target) ** 2).mean((1, 2))
    optimizer.step(loss)
    return {"loss": loss}


@pytest.mark.parametrize("rates", [1e-2, [1e-2, 3e-3, 1e-2]])
def test_replayed_steps_are_eager_steps_to_the_bit(recordings, rates):
    """Also with rates that change from step to step, and with batches of two sizes in turn."""
    networks = [MLP(4, (16,), 2, seeds=3) for _ in range(2)]
    optimizers = [Adam(network.parameters(), rates, max_grad_norm=0.1) for network in networks]

    def recorded(x, target):
        return step(networks[1], optimizers[1], x, target)

    for t in range(12):
        size = 8 if t % 3 else 5
        x, target = torch.randn(3, size, 4), torch.randn(3, size, 2)
        for optimizer in optimizers:
            optimizer.learning_rate = optimizer.learning_rate * 0.9
        eager = step(networks[0], optimizers[0], x, target)["loss"].detach()
        replayed = recordings(recorded, x, target, depends=optimizers[1].places())["loss"]
        torch.testing.assert_close(replayed, eager, rtol=0, atol=0)
        torch.testing.assert_close(optimizers[0].flat, optimizers[1].flat, rtol=0, atol=0)
    assert len(recordings.table) == 2


X = torch.tensor([[0.5, -0.0, 0.0], [-2.0, 1e-40, torch.inf]])


@pytest.mark.parametrize(
    "function",
    [
        torch.relu,
        torch.clone,
        lambda x: x.to(torch.int16),
        torch.ones_like,
        lambda x: x.new_zeros(2),
        lambda x: x.T + 1,
    ],
)
def test_operations_that_need_no_new_memory_give_the_same_bits(recordings, function):
    def results(x):
        return {"y": function(x), "z": x * 2}

    for x in (torch.full_like(X, 3.0), X):  # the second is replayed
        y, expected = recordings(results, x)["y"], function(x)
        assert (y.dtype, y.stride()) == (expected.dtype, expected.stride())
        assert y.numpy().tobytes() == expected.numpy().tobytes()


def test_strided_inputs_have_the_same_rounding(recordings):
    table = torch.randn(3, 1000, 5)

    def mean(column):
        return {"mean": column.mean(1)}

    for column in table.unbind(-1)[:3]:
        torch.testing.assert_close(recordings(mean, column)["mean"], column.mean(1), rtol=0, atol=0)


def test_results_are_not_overwritten_by_the_next_call(recordings):
    results = [recordings(lambda x: {"y": x + 1}, torch.full((2,), float(t)))["y"] for t in range(3)]
    assert torch.stack(results).tolist() == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]


def test_a_function_that_decides_on_numbers_stays_as_it_is(recordings):
    def sign(x):
        return {"y": x * 2 if x.sum().item() > 0 else x}

    assert [recordings(sign, torch.tensor([x]))["y"].item() for x in (1.0, -1.0, 3.0)] == [2.0, -1.0, 6.0]


def test_parameters_that_have_moved_are_noticed(recordings):
    network = MLP(1, (), 1, seeds=1)
    optimizer = Adam(network.parameters(), 0.1)

    def learn(x):
        return step(network, optimizer, x, torch.zeros_like(x))

    x = torch.ones(1, 4, 1)
    for _ in range(2):
        recordings(learn, x, depends=optimizer.places())
    parameter = next(network.parameters())
    parameter.data = torch.full_like(parameter, 5.0)
    recordings(learn, x, depends=optimizer.places())
    assert parameter.item() != 5.0
    assert abs(parameter.item() - 5.0) < 0.2


def test_another_bound_of_the_gradient_is_noticed(recordings):
    networks = [MLP(1, (), 1, seeds=1) for _ in range(2)]
    optimizers = [Adam(network.parameters(), 0.1, max_grad_norm=10.0) for network in networks]
    for bound in (10.0, 10.0, 1e-9):
        x = torch.ones(1, 4, 1)
        for optimizer in optimizers:
            optimizer.max_grad_norm = bound
        step(networks[0], optimizers[0], x, torch.zeros_like(x))
        recordings(
            lambda x: step(networks[1], optimizers[1], x, torch.zeros_like(x)), x, depends=optimizers[1].places()
        )
        torch.testing.assert_close(optimizers[0].flat, optimizers[1].flat, rtol=0, atol=0)


def test_a_copy_begins_without_recordings(recordings):
    recordings(lambda x: {"y": x}, torch.ones(1))
    for other in (copy.deepcopy(recordings), pickle.loads(pickle.dumps(recordings))):
        assert not other.table


def test_recording_does_not_load_the_compiler():
    """It takes a second of every training."""
    code = """
import sys, torch
from models.recording import Recordings
recordings = Recordings()
for _ in range(2):
    recordings(torch.relu, torch.ones(2))
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
