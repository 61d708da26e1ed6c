import torch

from agents.common.prioritized import Priorities


def priorities(capacity, length=1, importance=1.0):
    """Four transitions of one environment, seen with the errors 1, 0, 3 and 4 by the first of two seeds."""
    ring = Priorities(2, capacity, 0.5, importance)
    for t in range(4):
        ring.add(t, 1, length)
    ring.update(torch.tensor([[0, 1, 2, 3]] * 2), torch.tensor([[1.0, 0.0, 9.0, 16.0], [1.0] * 4]))
    return ring


def test_a_transition_is_sampled_as_often_as_the_root_of_its_error_says():
    """Square roots 1, 0, 3, 4 of 8 in all: shares 1/8, 0, 3/8, 4/8; alike errors, alike shares."""
    noise = ((torch.arange(8000) + 0.5) / 8000).expand(2, 8000)
    index, weight = priorities(6).sample(4, noise)
    counts = torch.stack([one.bincount(minlength=4) for one in index])
    expected = torch.tensor([[1000, 0, 3000, 4000], [2000] * 4])
    assert (counts - expected).abs().max() <= 12  # (0 + 1e-6) ** 0.5 of 8 is not quite nothing
    # Importance: 1 / (4 share), over the largest of those sampled (the vanishing one's, if it is among them).
    torch.testing.assert_close(weight[1], torch.ones(8000))
    ratio = weight[0, index[0] == 2].max() / weight[0, index[0] == 3].max()
    torch.testing.assert_close(ratio, torch.tensor(4 / 3), rtol=1e-3, atol=0)


def test_places_that_are_still_empty_change_nothing():
    noise = torch.rand(2, 50, generator=torch.Generator().manual_seed(3))
    for length in (1, 3):
        full, roomy = (priorities(capacity, length, 0.4).sample(4, noise) for capacity in (4, 1000))
        assert torch.equal(full[0], roomy[0])
        assert torch.equal(full[1], roomy[1])


def test_no_sequence_begins_where_it_would_run_out_of_the_ring():
    """Sequences of 3 in a ring of 5 after 7 transitions (0 and 1 are the newest): only 2, 3 and 4 can begin one."""
    ring = Priorities(1, 5, 0.6, 0.4)
    for t in range(7):
        ring.add(t, 1, 3)
    index, _ = ring.sample(7, torch.linspace(0, 0.999, 100)[None])
    assert index.unique().tolist() == [2, 3, 4]
