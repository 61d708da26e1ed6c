import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.common.prioritized import Priorities
from agents.common.replay import Replay, Transitions


def fill(replay, count, num_envs):
    """Transition k of seed s has reward 1000 s + k, and so on."""
    for t in range(0, count, num_envs):
        reward = torch.arange(t, t + num_envs) + 1000.0 * torch.arange(2)[:, None]
        obs = reward[..., None].expand(2, num_envs, 3)
        replay.add(t, obs, reward[..., None] + 0.5, reward, reward % 2 == 0, reward % 3 == 0, obs + 1)


@given(capacity=st.integers(1, 12), num_envs=st.integers(1, 5), steps=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_newest_transitions_are_kept_and_their_parts_stay_together(capacity, num_envs, steps, seed):
    if num_envs > capacity:
        return
    replay, count = Replay(2, capacity, 3, 1), steps * num_envs
    fill(replay, count, num_envs)
    noise = torch.rand(2, 200, generator=torch.Generator().manual_seed(seed))
    batch = Transitions(*(field.squeeze(2) for field in replay.sample(count, noise)))
    number = batch.reward - torch.tensor([[0.0], [1000.0]])
    assert number.min() >= max(0, count - capacity)
    assert number.max() < count
    torch.testing.assert_close(batch.obs, batch.reward[..., None].expand(2, 200, 3))
    torch.testing.assert_close(batch.next_obs, batch.obs + 1)
    torch.testing.assert_close(batch.action[..., 0], batch.reward + 0.5)
    torch.testing.assert_close(batch.terminated, (batch.reward % 2 == 0).float())
    torch.testing.assert_close(batch.done, (batch.reward % 3 == 0).float())


def test_every_stored_transition_can_be_drawn():
    replay = Replay(2, 10, 3, 1)
    fill(replay, 7, 1)
    edges = torch.tensor([(k + 0.5) / 7 for k in range(7)] + [1 - 1e-9], dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(replay.sample(7, edges).reward[0, :, 0], torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 6]))


@given(capacity=st.integers(4, 14), num_envs=st.integers(1, 2), steps=st.integers(3, 12), length=st.integers(1, 2))
def test_windows_are_consecutive_steps_of_one_environment(capacity, num_envs, steps, length):
    replay, count = Replay(2, capacity, 3, 1), steps * num_envs
    fill(replay, count, num_envs)
    noise = torch.rand(2, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batch = replay.sample(count, noise, length, num_envs)
    assert batch.obs.shape == (2, 100, length, 3)
    number = batch.reward - torch.tensor([0.0, 1000.0])[:, None, None]
    assert (number[..., 1:] - number[..., :-1] == num_envs).all()
    assert number.min() >= max(0, count - capacity)
    assert number.max() < count


def priorities(capacity, length=1):
    """Four transitions of one environment, seen with the errors 1, 0, 3 and 4 by the first of two seeds."""
    ring = Priorities(2, capacity, exponent=0.5)
    for t in range(4):
        ring.add(t, 1, length)
    ring.update(torch.tensor([[0, 1, 2, 3]] * 2), torch.tensor([[1.0, 0.0, 9.0, 16.0], [1.0] * 4]))
    return ring


def test_a_transition_is_drawn_as_often_as_the_root_of_its_error_says():
    """Square roots 1, 0, 3, 4 of 8 in all: shares 1/8, 0, 3/8, 4/8; alike errors, alike shares."""
    noise = ((torch.arange(8000) + 0.5) / 8000).expand(2, 8000)
    row, weight = priorities(6).draw(4, noise, 1.0)
    counts = torch.stack([one.bincount(minlength=4) for one in row])
    expected = torch.tensor([[1000, 0, 3000, 4000], [2000] * 4])
    assert (counts - expected).abs().max() <= 12  # (0 + 1e-6) ** 0.5 of 8 is not quite nothing
    # Importance: 1 / (4 share), over the largest of those drawn, that of the vanishing one where it is drawn at all.
    torch.testing.assert_close(weight[1], torch.ones(8000))
    ratio = weight[0, row[0] == 2].max() / weight[0, row[0] == 3].max()
    torch.testing.assert_close(ratio, torch.tensor(4 / 3), rtol=1e-3, atol=0)


def test_rows_that_are_still_empty_change_nothing():
    noise = torch.rand(2, 50, generator=torch.Generator().manual_seed(3))
    for length in (1, 3):
        full, roomy = (priorities(capacity, length).draw(4, noise, 0.4) for capacity in (4, 1000))
        assert torch.equal(full[0], roomy[0])
        assert torch.equal(full[1], roomy[1])


def test_no_stretch_begins_where_it_would_run_out_of_the_ring():
    """Stretches of 3 in a ring of 5 after 7 transitions (rows 0, 1 are the newest): only 2, 3 and 4 can begin one."""
    ring = Priorities(1, 5, exponent=0.6)
    for t in range(7):
        ring.add(t, 1, 3)
    row, _ = ring.draw(7, torch.linspace(0, 0.999, 100)[None], 0.4)
    assert row.unique().tolist() == [2, 3, 4]
