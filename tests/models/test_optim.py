import pytest
import torch

from models import MLP, SGD, Adam, RMSprop, joint_step
from models.optim import FlatParameters, clip_gradient_norm_

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


def test_no_moment_becomes_subnormal():
    weight = torch.nn.Parameter(torch.ones(1, 2))
    optimizer = Adam([weight])
    optimizer.step(weight.sum(1))
    for _ in range(500):  # the first weight has no gradient any more
        optimizer.step(weight[:, 1])
    assert optimizer.exp_avg[0, 0].item() == pytest.approx(0.1 * 0.9**500, rel=1e-3)
    for _ in range(400):  # 0.1 * 0.9**900 is 7e-43, which float32 has as a subnormal number
        optimizer.step(weight[:, 1])
    assert optimizer.exp_avg[0, 0] == 0
    assert optimizer.exp_avg[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_moments_of_other_types_keep_their_small_numbers(dtype):
    weight = torch.nn.Parameter(torch.ones(1, 2, dtype=dtype))
    optimizer = Adam([weight])
    optimizer.step(1e-3 * weight.sum(1))
    assert optimizer.exp_avg[0].tolist() == pytest.approx([1e-4, 1e-4], rel=1e-2)


def test_parameters_become_views_of_one_tensor():
    network = MLP(2, (3,), 1, seeds=2)
    values = [parameter.clone() for parameter in network.parameters()]
    flat = FlatParameters(network.parameters()).flat
    assert flat.shape == (2, 2 * 3 + 3 + 3 + 1)
    for parameter, value in zip(network.parameters(), values, strict=True):
        torch.testing.assert_close(parameter.data, value)
    flat.zero_()
    assert all((parameter == 0).all() for parameter in network.parameters())


def test_clipping_is_per_seed():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    clip_gradient_norm_(gradient, 1.0)
    torch.testing.assert_close(gradient, torch.tensor([[0.6, 0.8], [0.3, 0.4]]), atol=1e-6, rtol=0)


def test_sgd_is_pytorchs(float64):
    ours, theirs = MLP(1, (4,), 1, seeds=2), [p.detach().clone() for p in MLP(1, (4,), 1, seeds=2).parameters()]
    plain = [parameter[1].clone().requires_grad_() for parameter in theirs]
    x, y = X[0].double(), Y[:, None].double()
    mine = SGD(ours.parameters(), [0.01, 0.02], momentum=0.9, weight_decay=0.1)
    other = torch.optim.SGD(plain, 0.02, momentum=0.9, weight_decay=0.1, nesterov=True)
    for _ in range(10):
        mine.step((ours(x.expand(2, -1, -1)) - y).square().mean((1, 2)))
        w1, b1, w2, b2 = plain
        other.zero_grad()
        (torch.relu(x @ w1 + b1) @ w2 + b2 - y).square().mean().backward()
        other.step()
    for actual, expected in zip(ours.parameters(), plain, strict=True):
        torch.testing.assert_close(actual[1], expected)


@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_a_rate_per_seed_is_that_rate_alone(float64, optimizer):
    together = MLP(1, (4,), 1, seeds=2)
    single = MLP(1, (4,), 1, seeds=[1])
    first, second = optimizer(together.parameters(), [0.3, 0.01]), optimizer(single.parameters(), 0.01)
    for _ in range(5):
        first.step(losses(together))
        second.step(losses(single))
    torch.testing.assert_close(first.flat[1], second.flat[0], atol=1e-12, rtol=0)


def test_factors_change_the_rate_and_not_the_decay(float64):
    """By hand: w = 2, gradient 3, decay 0.1: w - 0.01 (4 * 3 + 0.1 * 2)."""
    weight = torch.nn.Parameter(torch.tensor([[2.0]]))
    optimizer = SGD([weight], 0.01, weight_decay=0.1, factors=[4.0])
    optimizer.step(3 * weight[:, 0])
    assert weight.item() == pytest.approx(2.0 - 0.01 * (4 * 3 + 0.1 * 2))


def test_a_stopped_replica_keeps_its_velocity(float64):
    network = MLP(1, (4,), 1, seeds=2)
    optimizer = SGD(network.parameters(), 0.01, momentum=0.9)
    optimizer.step(losses(network))
    before = optimizer.flat[0].clone(), optimizer.velocity[0].clone()
    optimizer.step(losses(network), active=[False, True])
    torch.testing.assert_close(optimizer.flat[0], before[0], atol=0, rtol=0)
    torch.testing.assert_close(optimizer.velocity[0], before[1], atol=0, rtol=0)
    assert not torch.equal(optimizer.velocity[1], torch.zeros_like(optimizer.velocity[1]))


@pytest.mark.parametrize("clip", [None, 0.1])
def test_rmsprop_is_pytorchs(float64, clip):
    """Step for step, from the first: PyTorch's mean square starts at 0, and its eps is outside the root."""
    ours, theirs = MLP(1, (8,), 1, seeds=2), [p.detach().clone() for p in MLP(1, (8,), 1, seeds=2).parameters()]
    plain = [[parameter[seed].clone().requires_grad_() for parameter in theirs] for seed in range(2)]
    mine = RMSprop(ours.parameters(), [0.01, 0.02], max_grad_norm=clip)
    others = [
        torch.optim.RMSprop(parameters, rate, alpha=0.99, eps=1e-5)
        for parameters, rate in zip(plain, (0.01, 0.02), strict=True)
    ]
    for _ in range(10):
        mine.step(losses(ours))
        for (w1, b1, w2, b2), other in zip(plain, others, strict=True):
            other.zero_grad()
            ((torch.relu(X[0].double() @ w1 + b1) @ w2 + b2)[:, 0] - Y).square().mean().backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_([w1, b1, w2, b2], clip)
            other.step()
        for seed in range(2):
            for actual, expected in zip(ours.parameters(), plain[seed], strict=True):
                torch.testing.assert_close(actual[seed], expected, atol=1e-12, rtol=1e-9)


def test_the_first_step_of_rmsprop_by_hand():
    """v = 0.01 g^2, so the step is 0.001 g / (0.1 |g| + 1e-5): ten learning rates, for any gradient but a tiny one."""
    weight = torch.nn.Parameter(torch.tensor([[2.0], [-3.0]]))
    RMSprop([weight], 1e-3).step(weight[:, 0] ** 2)
    assert weight[0].item() == pytest.approx(2.0 - 1e-3 * 4 / (0.4 + 1e-5), rel=1e-6)
    assert weight[1].item() == pytest.approx(-3.0 + 1e-3 * 6 / (0.6 + 1e-5), rel=1e-6)


def test_a_joint_step_is_one_step_of_each(float64):
    networks = [MLP(1, (4,), 1, seeds=seeds) for seeds in ([0, 1], [2, 3])]
    optimizers = [Adam(networks[0].parameters(), 0.01), Adam(networks[1].parameters(), 0.1)]
    expected = [MLP(1, (4,), 1, seeds=seeds) for seeds in ([0, 1], [2, 3])]
    for network, rate in zip(expected, (0.01, 0.1), strict=True):
        Adam(network.parameters(), rate).step(losses(network))
    joint_step(losses(networks[0]) + losses(networks[1]), *optimizers)
    for network, other in zip(networks, expected, strict=True):
        for parameter, same in zip(network.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(parameter, same)
