from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from models import MLP, Linear, replica, resolve_seeds
from models.streams import Noise, generators, gumbel, normal, permutations, stream, stream_seed, uniform

SEEDS = [3, 11, 12]


def torch_twin(mlp: MLP, index: int, activation: type[nn.Module]) -> nn.Sequential:
    """A plain PyTorch network with one replica's weights."""
    layers = []
    for ours in [*mlp.hidden, *([mlp.out] if mlp.out is not None else [])]:
        theirs = nn.Linear(ours.in_features, ours.out_features)
        theirs.weight.data, theirs.bias.data = ours.weight.data[index].T.clone(), ours.bias.data[index].clone()
        layers += [theirs, activation()]
    return nn.Sequential(*layers[:-1] if mlp.out is not None else layers)


@pytest.mark.parametrize(("name", "activation"), [("relu", nn.ReLU), ("tanh", nn.Tanh), ("sigmoid", nn.Sigmoid)])
@pytest.mark.parametrize("out_features", [None, 1, 2])
def test_a_replica_is_a_plain_network(float64, name, activation, out_features):
    ours = MLP(4, (8, 6), out_features, activation=name, seeds=SEEDS)
    x = torch.randn(3, 20, 4)
    found = ours(x)
    assert found.shape == (3, 20, ours.out_features)
    for index in range(3):
        theirs = torch_twin(ours, index, activation)
        torch.testing.assert_close(found[index], theirs(x[index]))
        weight = torch.autograd.grad(theirs(x[index]).square().sum(), theirs[0].weight)[0]
        ours_weight = torch.autograd.grad(ours(x).square().sum(), ours.hidden[0].weight)[0]
        torch.testing.assert_close(ours_weight[index].T, weight)


def test_more_axes_between_seed_and_features(float64):
    ours = MLP(4, (8,), 2, seeds=2)
    x = torch.randn(2, 5, 3, 7, 4)
    torch.testing.assert_close(ours(x), ours(x.reshape(2, -1, 4)).reshape(2, 5, 3, 7, 2))


@pytest.mark.parametrize("make", [partial(Linear, 5, 3), partial(MLP, 5, (4, 4), 2)])
def test_a_seed_among_others_is_that_seed_alone(make):
    together, alone = make(seeds=SEEDS), make(seeds=[11])
    for name, parameter in alone.named_parameters():
        torch.testing.assert_close(together.get_parameter(name)[1:2], parameter, rtol=0, atol=0)
        assert not torch.equal(together.get_parameter(name)[0], parameter[0])


def test_initial_weights_have_pytorchs_distribution():
    ours, theirs = Linear(50, 400, seeds=20), nn.Linear(50, 400)
    bound = 50**-0.5
    pairs = (ours.weight, theirs.weight), (ours.bias, theirs.bias)
    for mine, other in [(mine.detach(), other.detach()) for mine, other in pairs]:
        assert mine.abs().max() <= bound
        assert mine.abs().max() == pytest.approx(bound, rel=0.01)
        assert mine.std() == pytest.approx(bound / 3**0.5, rel=0.02)
        assert other.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_networks_can_share_a_stream_without_sharing_numbers():
    streams = generators([7])
    first, second = Linear(3, 3, seeds=streams), Linear(3, 3, seeds=streams)
    assert not torch.equal(first.weight, second.weight)
    torch.testing.assert_close(Linear(3, 3, seeds=[7]).weight, first.weight)


def test_a_replica_shares_memory():
    ours = MLP(4, (8,), 1, seeds=3)
    one, x = replica(ours, 2), torch.randn(3, 5, 4)
    torch.testing.assert_close(one(x[2:]), ours(x)[2:])
    with torch.no_grad():
        ours.hidden[0].bias += 1.0
    torch.testing.assert_close(one(x[2:]), ours(x)[2:])


def test_unknown_activations_are_named():
    with pytest.raises(ValueError, match="^activation: found 'relu6', expected one of relu"):
        MLP(2, (3,), activation="relu6")


def test_streams_are_functions_of_their_address():
    draws = {path: stream(*path).random() for path in [(0,), (1,), (0, 1), (0, 0, 1), (1, 0), (0, 1, 1)]}
    assert len(set(draws.values())) == len(draws)
    assert stream(5, 2).random() == stream(5, 2).random()
    assert stream_seed(5, 2) != stream_seed(5, 3)
    assert 0 <= stream_seed(5, 2) < 2**64


@pytest.mark.parametrize("draw", [normal, uniform, gumbel])
def test_noise_of_a_step_depends_on_the_step_alone(draw):
    noise = Noise(draw, SEEDS, (4,), (2, 3), block_size=5)
    forwards = [noise(t).clone() for t in range(12)]
    again = Noise(draw, [11], (4,), (2, 3), block_size=5)
    for t in reversed(range(12)):
        torch.testing.assert_close(again(t)[0], forwards[t][1], rtol=0, atol=0)
    assert len({step.flatten()[0].item() for step in forwards}) == 12


def test_permutations():
    orders = permutations(SEEDS, (1, 2), 4, 9)
    assert orders.shape == (3, 4, 9)
    np.testing.assert_array_equal(orders.sort(-1).values, np.broadcast_to(np.arange(9), (3, 4, 9)))
    assert len(torch.unique(orders.flatten(0, 1), dim=0)) == 12
    torch.testing.assert_close(permutations([11], (1, 2), 4, 9)[0], orders[1])


def test_seeds_by_number_and_by_name():
    assert resolve_seeds(3) == (0, 1, 2)
    assert resolve_seeds([11, 3]) == (11, 3)
    assert resolve_seeds(range(2, 4)) == (2, 3)
