"""Convolutions, batch statistics and the networks made of them, against PyTorch's modules."""

import pytest
import torch
from torch import nn

from models import CNN, BatchNorm2d, Conv2d, FastCNN, replica
from models.layers import channels_last, max_pool
from models.networks import Polynomial


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("stride", "padding", "bias"), [(1, "same", True), (2, 1, True), (1, 0, False)])
def test_a_convolution_is_pytorchs(float64, seeds, stride, padding, bias):
    ours = Conv2d(3, 5, 3, stride=stride, padding=padding, bias=bias, seeds=seeds)
    x = torch.randn(seeds, 4, 3, 9, 8, requires_grad=True)
    found = ours(channels_last(x))
    gradient = torch.autograd.grad(found.square().sum(), [x, ours.weight])
    for index in range(seeds):
        theirs = nn.Conv2d(3, 5, 3, stride=stride, padding=padding, bias=bias)
        theirs.weight.data = ours.weight.data[index]
        if ours.bias is not None:
            theirs.bias.data = ours.bias.data[index]
        one = x.detach()[index].requires_grad_()
        expected = theirs(one)
        torch.testing.assert_close(found[index], expected)
        others = torch.autograd.grad(expected.square().sum(), [one, theirs.weight])
        torch.testing.assert_close(gradient[0][index], others[0])
        torch.testing.assert_close(gradient[1][index], others[1])


@pytest.mark.parametrize("seeds", [1, 3])
def test_batch_statistics_are_pytorchs_and_per_seed(float64, seeds):
    ours, theirs = BatchNorm2d(4, seeds=seeds), [nn.BatchNorm2d(4) for _ in range(seeds)]
    for _ in range(3):
        x = torch.randn(seeds, 6, 4, 5, 5) * torch.arange(1, seeds + 1).reshape(-1, 1, 1, 1, 1)
        found = ours(channels_last(x))
        for index, module in enumerate(theirs):
            torch.testing.assert_close(found[index], module(x[index]))
    ours.eval()
    for index, module in enumerate(theirs):
        torch.testing.assert_close(ours.running_var[index], module.running_var)
        torch.testing.assert_close(ours(x)[index], module.eval()(x[index]))
    alone = replica(ours, seeds - 1)
    torch.testing.assert_close(alone(x[-1:]), ours(x)[-1:])


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


def test_the_cnn_takes_images_as_numbers_bytes_and_rows():
    network = CNN((3, 16, 16), 10, channels=(4, 6), hidden=8, seeds=2)
    images = torch.randint(256, (2, 5, 3, 16, 16), dtype=torch.uint8)
    found = network(images)
    assert found.shape == (2, 5, 10)
    torch.testing.assert_close(network(images / 255), found)
    torch.testing.assert_close(network((images / 255).flatten(2)), found)
    assert [tuple(maps.shape[2:]) for maps in network.feature_maps(images)] == [(4, 8, 8), (6, 4, 4)]
    with pytest.raises(ValueError, match="^in_shape: found 768"):
        CNN(768)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^channels: found 5 poolings"):
        CNN((3, 16, 16), channels=(4,) * 5)


def test_whitened_patches_have_unit_variance_and_no_correlation(float64):
    network = FastCNN(seeds=2)
    images = torch.randn(400, 3, 6, 6).cumsum(2).cumsum(3)  # neighbors are alike, as in pictures
    network.whiten(images, eps=0.0)
    out = network.whitening(images.expand(2, -1, -1, -1, -1))[:, :, :12]  # (S, B, 12, 5, 5)
    rows = out.permute(0, 1, 3, 4, 2).flatten(1, 3)
    second = rows.mT @ rows / rows.shape[1]
    torch.testing.assert_close(second, torch.eye(12).expand(2, -1, -1), atol=1e-6, rtol=0)


def test_polynomials_of_several_orders_are_one_network():
    network = Polynomial(3, orders=[1, 3], seeds=2)
    network.weight.data.fill_(1.0)
    x = torch.tensor([[2.0], [3.0]]).expand(2, -1, -1)
    torch.testing.assert_close(network(x)[..., 0], torch.tensor([[3.0, 4.0], [15.0, 40.0]]))
    gradient = torch.autograd.grad(network(x).sum(), network.weight)[0]
    assert gradient[0, 2:].tolist() == [0, 0]
