import pytest
import torch

from models import MLP, Adam
from models.optim import clip_gradient_norm_, flatten_parameters

X, Y = torch.linspace(-1, 1, 24).reshape(1, -1, 1), torch.linspace(0, 2, 24)


def losses(network):
    x = X.to(network.out.weight).expand(len(network.out.weight), -1, -1)
    return (network(x)[..., 0] - Y).square().mean(1)


def adam_of_pytorch(network, rate, steps, clip=None, index=0):
    """The same training of one replica with PyTorch's Adam."""
    parameters = [parameter.detach()[index].clone().requires_grad_() for parameter in network.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=rate)
    for _ in range(steps):
        w1, b1, w2, b2 = parameters
        loss = ((torch.relu(X[0].to(w1) @ w1 + b1) @ w2 + b2)[:, 0] - Y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
    return parameters


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("rates", [0.01, [0.001, 0.01, 0.1]])
def test_each_replica_is_trained_as_pytorchs_adam_would(float64, rates, clip):
    network = MLP(1, (8,), 1, seeds=[3, 11, 12])
    before = [parameter.clone() for parameter in network.parameters()]
    each = rates if isinstance(rates, list) else [rates] * 3
    expected = [adam_of_pytorch(network, rate, 30, clip, index) for index, rate in enumerate(each)]
    optimizer = Adam(network.parameters(), rates, max_grad_norm=clip)
    for _ in range(30):
        optimizer.step(losses(network))
    for index in range(3):
        for parameter, old, other in zip(network.parameters(), before, expected[index], strict=True):
            assert not torch.equal(parameter[index], old[index])
            torch.testing.assert_close(parameter[index], other, atol=1e-12, rtol=1e-9)


def test_a_stopped_replica_keeps_parameters_and_moments(float64):
    network = MLP(1, (8,), 1, seeds=2)
    optimizer = Adam(network.parameters(), 0.01)
    for _ in range(5):
        optimizer.step(losses(network))
    frozen = {name: value[0].clone() for name, value in optimizer.state_dict().items()}
    parameters = optimizer.flat.clone()
    expected = adam_of_pytorch(MLP(1, (8,), 1, seeds=2), 0.01, 10, index=1)
    for _ in range(5):
        optimizer.step(losses(network), active=[False, True])
    torch.testing.assert_close(optimizer.flat[0], parameters[0], atol=0, rtol=0)
    for name, value in optimizer.state_dict().items():
        torch.testing.assert_close(value[0], frozen[name], atol=0, rtol=0)
    for parameter, other in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter[1], other)


def test_parameters_become_views_of_one_tensor():
    network = MLP(2, (3,), 1, seeds=2)
    values = [parameter.clone() for parameter in network.parameters()]
    flat = flatten_parameters(network.parameters())
    assert flat.shape == (2, 2 * 3 + 3 + 3 + 1)
    for parameter, value in zip(network.parameters(), values, strict=True):
        torch.testing.assert_close(parameter.data, value)
    flat.zero_()
    assert all((parameter == 0).all() for parameter in network.parameters())


def test_clipping_is_per_seed():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    clip_gradient_norm_(gradient, 1.0)
    torch.testing.assert_close(gradient, torch.tensor([[0.6, 0.8], [0.3, 0.4]]), atol=1e-6, rtol=0)
