"""What the lessons on sequences share: inputs, sizes, networks."""

import torch

from experiments.common import sequences
from models.recurrent import RECURRENT


def test_groups_hold_the_last_angle_and_all_changes():
    angles = torch.arange(10.0)[None] ** 2
    x = sequences.groups(angles)
    assert x.shape == (1, 2, 6)
    torch.testing.assert_close(x[0, :, 0] * sequences.ANGLE, torch.tensor([16.0, 81.0]))
    changes = torch.tensor([[0.0, 1, 3, 5, 7], [9, 11, 13, 15, 17]])
    torch.testing.assert_close(x[0, :, 1:] * sequences.CHANGE, changes)


def test_groups_of_a_part_are_the_part_of_the_groups():
    angles = torch.randn(2, 3, 20)
    whole, part = sequences.groups(angles), sequences.groups(angles[..., 10:], angles[..., 9:10])
    torch.testing.assert_close(part, whole[..., 2:, :])


def test_numbers_of_parameters_are_those_of_the_networks():
    for name in RECURRENT:
        trunk = sequences.recurrent(name, 7, seeds=[0, 1])
        head = (7 + 1) * 2
        assert sequences.num_parameters(trunk) + head == sequences.recurrent_parameters(name, 7, 2)
    flat = sequences.Flat(4, (5, 6), 3, seeds=2)
    assert sequences.num_parameters(flat) == sequences.flat_parameters(4, (5, 6), 3)
    assert sequences.same_size(lambda size: size**2, 50) == 7


def test_gates_that_keep_the_state_start_open():
    for name in ("gru", "lstm"):
        bias = sequences.recurrent(name, 16, seeds=[0]).hidden_bias.detach().unflatten(1, (-1, 16))[0]
        assert (bias[1] > 0.7).all()
        assert (bias[0].abs() < 0.3).all()


def test_noise_on_the_state_is_in_training_only():
    trunk = sequences.recurrent("lstm", 8, seeds=[0])
    x = torch.randn(1, 4, 6, 6)
    assert not torch.equal(trunk(x)[0], trunk(x)[0])
    trunk.eval()
    assert torch.equal(trunk(x)[0], trunk(x)[0])
