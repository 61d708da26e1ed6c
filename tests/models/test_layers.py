"""Layers against PyTorch's modules."""

from functools import partial

import pytest
import torch
from torch import nn

from models import MLP, BatchNorm2d, Conv2d, Linear, Value, replica
from models.layers import channels_last, max_pool, orthogonal_
from models.streams import generators

SEEDS = [3, 11, 12]


def test_more_axes_between_seed_and_features(float64):
    ours = MLP(4, (8,), 2, seeds=2)
    x = torch.randn(2, 5, 3, 7, 4)
    torch.testing.assert_close(ours(x), ours(x.reshape(2, -1, 4)).reshape(2, 5, 3, 7, 2))


@pytest.mark.parametrize("make", [partial(Linear, 5, 3), partial(MLP, 5, (4, 4), 2)])
def test_a_seed_among_others_is_that_seed_alone(make):
    together, single = make(seeds=SEEDS), make(seeds=[11])
    for name, parameter in single.named_parameters():
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


def test_an_orthogonal_start(float64):
    """W^T W is the square of the gain times 1, sqrt(2) of hidden layers and 0.5 of the last; a seed is itself alone."""
    heads = [Value(MLP(5, (8, 3), seeds=seeds), 2, seeds=seeds) for seeds in ([4, 9], [9])]
    for head, seeds in zip(heads, ([4, 9], [9]), strict=True):
        orthogonal_(head, 0.5, generators(seeds))
    for layer, gain in zip((*heads[0].trunk.hidden, heads[0].head), (2**0.5, 2**0.5, 0.5), strict=True):
        weight = layer.weight.detach()
        square = weight.mT @ weight if weight.shape[1] >= weight.shape[2] else weight @ weight.mT
        torch.testing.assert_close(square, gain**2 * torch.eye(square.shape[1]).expand_as(square))
        assert not layer.bias.any()
    for both, alone in zip(heads[0].parameters(), heads[1].parameters(), strict=True):
        torch.testing.assert_close(both[1:], alone, rtol=0, atol=0)


def test_networks_can_share_a_stream_without_sharing_numbers():
    streams = generators([7])
    first, second = Linear(3, 3, seeds=streams), Linear(3, 3, seeds=streams)
    assert not torch.equal(first.weight, second.weight)
    torch.testing.assert_close(Linear(3, 3, seeds=[7]).weight, first.weight)


def test_a_replica_shares_memory():
    ours = MLP(4, (8,), 1, seeds=3)
    single, x = replica(ours, 2), torch.randn(3, 5, 4)
    torch.testing.assert_close(single(x[2:]), ours(x)[2:])
    with torch.no_grad():
        ours.hidden[0].bias += 1.0
    torch.testing.assert_close(single(x[2:]), ours(x)[2:])


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("stride", "padding", "bias"), [(1, "same", True), (2, 1, True), (1, 0, False)])
def test_a_convolution_is_pytorchs(float64, seeds, stride, padding, bias):
    ours = Conv2d(3, 5, 3, stride=stride, padding=padding, bias=bias, seeds=seeds)
    x = torch.randn(seeds, 4, 3, 9, 8, requires_grad=True)
    actual = ours(channels_last(x))
    gradient = torch.autograd.grad(actual.square().sum(), [x, ours.weight])
    for index in range(seeds):
        theirs = nn.Conv2d(3, 5, 3, stride=stride, padding=padding, bias=bias)
        theirs.weight.data = ours.weight.data[index]
        if ours.bias is not None:
            theirs.bias.data = ours.bias.data[index]
        single = x.detach()[index].requires_grad_()
        expected = theirs(single)
        torch.testing.assert_close(actual[index], expected)
        others = torch.autograd.grad(expected.square().sum(), [single, theirs.weight])
        torch.testing.assert_close(gradient[0][index], others[0])
        torch.testing.assert_close(gradient[1][index], others[1])


@pytest.mark.parametrize("seeds", [1, 3])
def test_batch_statistics_are_pytorchs_and_per_seed(float64, seeds):
    ours, theirs = BatchNorm2d(4, seeds=seeds), [nn.BatchNorm2d(4) for _ in range(seeds)]
    for _ in range(3):
        x = torch.randn(seeds, 6, 4, 5, 5) * torch.arange(1, seeds + 1).reshape(-1, 1, 1, 1, 1)
        actual = ours(channels_last(x))
        for index, module in enumerate(theirs):
            torch.testing.assert_close(actual[index], module(x[index]))
    ours.eval()
    for index, module in enumerate(theirs):
        torch.testing.assert_close(ours.running_var[index], module.running_var)
        torch.testing.assert_close(ours(x)[index], module.eval()(x[index]))
    single = replica(ours, seeds - 1)
    torch.testing.assert_close(single(x[-1:]), ours(x)[-1:])


def test_images_keep_their_layout():
    """Channels stay innermost through every layer and its gradient; the other layout costs twice the time."""
    x = channels_last(torch.randn(2, 4, 3, 8, 8)).requires_grad_()
    layers = [Conv2d(3, 5, 3, padding="same", seeds=2), BatchNorm2d(5, seeds=2), lambda x: max_pool(x, 2)]
    for layer in layers:
        before, x = x, layer(x)
        (gradient,) = torch.autograd.grad(x.sum(), before, retain_graph=True)
        for images in (x, gradient):
            assert images.permute(0, 1, 3, 4, 2).is_contiguous()


def test_pooling():
    x = torch.arange(32.0).reshape(1, 2, 1, 4, 4)
    assert max_pool(x, 2).flatten().tolist() == [5, 7, 13, 15, 21, 23, 29, 31]
