import numpy as np
import pytest
import torch

from models import resolve_seeds
from models.streams import Noise, gumbel, normal, permutations, stream, stream_seed, uniform

SEEDS = [3, 11, 12]


def test_streams_are_functions_of_seed_and_path():
    draws = {path: stream(*path).random() for path in [(0,), (1,), (0, 1), (0, 0, 1), (1, 0), (0, 1, 1)]}
    assert len(set(draws.values())) == len(draws)
    assert stream(5, 2).random() == stream(5, 2).random()
    assert stream_seed(5, 2) != stream_seed(5, 3)
    assert 0 <= stream_seed(5, 2) < 2**64


@pytest.mark.parametrize("draw", [normal, uniform, gumbel])
def test_noise_of_a_step_depends_only_on_the_step(draw):
    noise = Noise(draw, SEEDS, (4,), (2, 3))
    forwards = [noise(t).clone() for t in range(140)]  # over the ends of blocks
    again = Noise(draw, [11], (4,), (2, 3))
    for t in reversed(range(140)):
        torch.testing.assert_close(again(t)[0], forwards[t][1], rtol=0, atol=0)
    assert len({step.flatten()[0].item() for step in forwards}) == 140


def test_permutations():
    orders = permutations(SEEDS, (1, 2), 4, 9)
    assert orders.shape == (3, 4, 9)
    np.testing.assert_array_equal(orders.sort(-1).values, np.broadcast_to(np.arange(9), (3, 4, 9)))
    assert len(torch.unique(orders.flatten(0, 1), dim=0)) == 12
    torch.testing.assert_close(permutations([11], (1, 2), 4, 9)[0], orders[1])


def test_seeds_by_number_and_by_list():
    assert resolve_seeds(3) == (0, 1, 2)
    assert resolve_seeds([11, 3]) == (11, 3)
    assert resolve_seeds(range(2, 4)) == (2, 3)


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [0.5], 0])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(ValueError, match="^seeds: found"):
        resolve_seeds(seeds)
