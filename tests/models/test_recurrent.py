import pytest
import torch
from torch import nn

from models import GRU, LSTM, Elman, Readout, RecurrentEncoder, squared_error
from models.recurrent import LARGE_BATCH

PAIRS = [(Elman, nn.RNN), (GRU, nn.GRU), (LSTM, nn.LSTM)]


def twin(ours, theirs_class, index):
    """PyTorch's module with one replica's weights."""
    theirs = theirs_class(ours.input_size, ours.hidden_size, batch_first=True)
    theirs.weight_ih_l0.data, theirs.weight_hh_l0.data = (
        weight[index].T.clone() for weight in (ours.input_weight.data, ours.hidden_weight.data)
    )
    theirs.bias_ih_l0.data, theirs.bias_hh_l0.data = ours.input_bias.data[index], ours.hidden_bias.data[index]
    return theirs


@pytest.mark.parametrize("batch", [3, LARGE_BATCH])
@pytest.mark.parametrize(("kind", "theirs_class"), PAIRS)
def test_a_replica_is_pytorchs_module(kind, theirs_class, batch):
    ours = kind(2, 5, seeds=[3, 11, 12])
    x = torch.randn(3, batch, 7, 2)
    outputs, state = ours(x)
    assert outputs.shape == (3, batch, 7, 5)
    for index in range(3):
        theirs = twin(ours, theirs_class, index)
        expected, last = theirs(x[index])
        torch.testing.assert_close(outputs[index], expected, atol=1e-5, rtol=0)
        last = last if isinstance(last, tuple) else (last,)
        for mine, other in zip(state, last, strict=True):
            torch.testing.assert_close(mine[index], other[0], atol=1e-5, rtol=0)
        expected.square().sum().backward()
        gradient = torch.autograd.grad(ours(x)[0].square().sum(), ours.hidden_weight)[0]
        torch.testing.assert_close(gradient[index].T, theirs.weight_hh_l0.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "_"), PAIRS)
def test_padding_after_a_sequence_changes_nothing(float64, kind, _):
    network = Readout(kind(2, 5, seeds=2), 3, seeds=2)
    x, lengths = torch.randn(2, 4, 9, 2), torch.tensor([[3, 9, 1, 5], [2, 2, 9, 4]])
    y = torch.randn(2, 4, 3)
    actual = network(x, lengths)
    for seed in range(2):
        for index in range(4):
            single = network(x[:, index : index + 1, : lengths[seed, index]])[seed, 0]
            torch.testing.assert_close(actual[seed, index], single)
    other = x.clone()
    for seed in range(2):
        for index in range(4):
            other[seed, index, lengths[seed, index] :] = 1e3
    loss, other_loss = squared_error(actual, y), squared_error(network(other, lengths), y)
    torch.testing.assert_close(loss, other_loss, rtol=0, atol=0)
    gradients, others = (torch.autograd.grad(value.sum(), list(network.parameters())) for value in (loss, other_loss))
    for gradient, same in zip(gradients, others, strict=True):
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(gradient, same)


@pytest.mark.parametrize(("kind", "_"), PAIRS)
def test_a_state_carries_over(float64, kind, _):
    network, x = kind(2, 5, seeds=2), torch.randn(2, 4, 9, 2)
    outputs, _ = network(x)
    first, state = network(x[:, :, :4])
    second, _ = network(x[:, :, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 2), outputs)


def test_the_gates_are_those_of_the_equations(float64):
    network, x = LSTM(2, 5, seeds=2), torch.randn(2, 4, 9, 2)
    outputs, (_, cell) = network(x)
    i, f, o = network.gates(x, outputs)
    assert i.shape == f.shape == o.shape == outputs.shape
    torch.testing.assert_close(o[:, :, -1] * cell.tanh(), outputs[:, :, -1])


def test_padding_does_not_change_the_loss():
    output, target = torch.zeros(2, 3, 4, 1), torch.full((2, 3, 4, 1), 2.0)
    target[1, :, 1:] = torch.nan
    torch.testing.assert_close(squared_error(output, target), torch.tensor([4.0, 4.0]))


@pytest.mark.parametrize(("kind", "_"), PAIRS)
def test_packed_observations_carry_the_state_until_an_episode_starts(float64, kind, _):
    """Two episodes in one sequence: steps 0 to 2 go on from a given state, a new episode starts with step 3."""
    trunk = kind(2, 5, seeds=2)
    encoder = RecurrentEncoder(trunk)
    size = encoder.out_features
    assert size == trunk.num_states * 5
    x, first = torch.randn(2, 4, 6, 2), torch.zeros(2, 4, 6)
    first[:, :, 3] = 1.0
    start, stale = torch.randn(2, 4, size), torch.full((2, 4, 6, size), 99.0)
    stale[:, :, 0] = start
    packed = encoder.pack(x, first, stale)
    assert packed.shape == (2, 4, 6, 2 + 1 + size)
    assert (packed[:, :, 3, 3:] == 0).all()
    states = encoder(packed)  # (S, B, T, K)
    outputs, last = trunk(x[:, :, :3], start.split(5, -1))
    torch.testing.assert_close(states[:, :, :3, :5], outputs)
    torch.testing.assert_close(states[:, :, 2], torch.cat(last, -1))
    outputs, last = trunk(x[:, :, 3:])
    torch.testing.assert_close(states[:, :, 3:, :5], outputs)
    torch.testing.assert_close(states[:, :, 5], torch.cat(last, -1))
    torch.testing.assert_close(encoder(packed[:, :, 0]), states[:, :, 0])  # one step
    torch.testing.assert_close(encoder(encoder.pack(x[:, :, 0], 1.0, start)), trunk_from_zeros(trunk, x[:, :, :1]))


def trunk_from_zeros(trunk, x):
    return torch.cat(trunk(x)[1], -1)


def test_images_are_refused():
    with pytest.raises(ValueError, match=r"^input_size: found \(3, 8, 8\), expected a number"):
        GRU((3, 8, 8), 5)  # type: ignore[arg-type]
