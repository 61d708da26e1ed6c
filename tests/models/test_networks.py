import pytest
import torch
from torch import nn

from models import CNN, MLP, FastCNN, Polynomial, replica

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
    actual = ours(x)
    assert actual.shape == (3, 20, ours.out_features)
    for index in range(3):
        theirs = torch_twin(ours, index, activation)
        torch.testing.assert_close(actual[index], theirs(x[index]))
        weight = torch.autograd.grad(theirs(x[index]).square().sum(), theirs[0].weight)[0]
        ours_weight = torch.autograd.grad(ours(x).square().sum(), ours.hidden[0].weight)[0]
        torch.testing.assert_close(ours_weight[index].T, weight)


def test_unknown_activations_are_named():
    with pytest.raises(ValueError, match="^activation: found 'relu6', expected one of relu"):
        MLP(2, (3,), activation="relu6")


def test_the_cnn_takes_images_as_numbers_bytes_and_vectors():
    network = CNN((3, 16, 16), 10, channels=(4, 6), hidden=8, seeds=2)
    images = torch.randint(256, (2, 5, 3, 16, 16), dtype=torch.uint8)
    actual = network(images)
    assert actual.shape == (2, 5, 10)
    torch.testing.assert_close(network(images / 255), actual)
    torch.testing.assert_close(network((images / 255).flatten(2)), actual)
    assert [tuple(maps.shape[2:]) for maps in network.feature_maps(images)] == [(4, 8, 8), (6, 4, 4)]
    with pytest.raises(ValueError, match="^in_shape: found 768"):
        CNN(768)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^channels: found 5 convolutions"):
        CNN((3, 16, 16), channels=(4,) * 5)


def test_whitened_patches_have_unit_variance_and_no_correlation(float64):
    network = FastCNN(seeds=2)
    images = torch.randn(400, 3, 6, 6).cumsum(2).cumsum(3)  # neighbors are alike, as in pictures
    network.whiten(images, eps=0.0)
    out = network.whitening(images.expand(2, -1, -1, -1, -1))[:, :, :12]  # (S, B, 12, 5, 5)
    patches = out.permute(0, 1, 3, 4, 2).flatten(1, 3)
    second = patches.mT @ patches / patches.shape[1]
    torch.testing.assert_close(second, torch.eye(12).expand(2, -1, -1), atol=1e-6, rtol=0)


def test_polynomials_of_several_orders_are_one_network():
    network = Polynomial(3, orders=[1, 3], seeds=2)
    network.weight.data.fill_(1.0)
    x = torch.tensor([[2.0], [3.0]]).expand(2, -1, -1)
    torch.testing.assert_close(network(x)[..., 0], torch.tensor([[3.0, 4.0], [15.0, 40.0]]))
    gradient = torch.autograd.grad(network(x).sum(), network.weight)[0]
    assert gradient[0, 2:].tolist() == [0, 0]
    for index in range(2):
        torch.testing.assert_close(replica(network, index)(x[:1])[0], network(x)[index])


def test_many_small_channels_first_are_no_channels_last():
    """64 maps of 4 x 4 are what they say: their last axis is not the smallest alone."""
    network = CNN((64, 4, 4), 2, channels=(8,))
    assert network.in_shape == (64, 4, 4)
    assert network(torch.zeros(1, 3, 64, 4, 4)).shape == (1, 3, 2)
