import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.common.replay import Replay, Transitions


def fill(replay, count, num_envs):
    """Transition k of seed s has reward 1000 s + k, and so on."""
    for t in range(0, count, num_envs):
        reward = torch.arange(t, t + num_envs) + 1000.0 * torch.arange(2)[:, None]
        obs = reward[..., None].expand(2, num_envs, 3)
        discount, done = (reward % 2).float(), (reward % 3 == 0).float()
        replay.add(t, Transitions(obs, reward[..., None] + 0.5, reward, discount, done, obs + 1))


def sample(replay, t, uniforms, length=1, num_envs=1):
    """Sequences that begin at random, as the off-policy agents sample them."""
    oldest, count = replay.num_sequences(t, length, num_envs)
    return replay.sequences(oldest + (uniforms * count).long(), length, num_envs)


@given(capacity=st.integers(1, 12), num_envs=st.integers(1, 5), steps=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_newest_transitions_are_kept_and_their_parts_stay_together(capacity, num_envs, steps, seed):
    if num_envs > capacity:
        return
    replay, count = Replay(2, capacity, 3, 1, torch.float32), steps * num_envs
    fill(replay, count, num_envs)
    noise = torch.rand(2, 200, generator=torch.Generator().manual_seed(seed))
    batch = Transitions(*(field.squeeze(2) for field in sample(replay, count, noise)))
    number = batch.reward - torch.tensor([[0.0], [1000.0]])
    assert number.min() >= max(0, count - capacity)
    assert number.max() < count
    torch.testing.assert_close(batch.obs, batch.reward[..., None].expand(2, 200, 3))
    torch.testing.assert_close(batch.next_obs, batch.obs + 1)
    torch.testing.assert_close(batch.action[..., 0], batch.reward + 0.5)
    torch.testing.assert_close(batch.discount, batch.reward % 2)
    torch.testing.assert_close(batch.done, (batch.reward % 3 == 0).float())


def test_every_stored_transition_can_be_sampled():
    replay = Replay(2, 10, 3, 1, torch.float32)
    fill(replay, 7, 1)
    edges = torch.tensor([(k + 0.5) / 7 for k in range(7)] + [1 - 1e-9], dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(sample(replay, 7, edges).reward[0, :, 0], torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 6]))


@given(capacity=st.integers(4, 14), num_envs=st.integers(1, 2), steps=st.integers(3, 12), length=st.integers(1, 2))
def test_sequences_are_consecutive_steps_of_one_environment(capacity, num_envs, steps, length):
    replay, count = Replay(2, capacity, 3, 1, torch.float32), steps * num_envs
    fill(replay, count, num_envs)
    noise = torch.rand(2, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batch = sample(replay, count, noise, length, num_envs)
    assert batch.obs.shape == (2, 100, length, 3)
    number = batch.reward - torch.tensor([0.0, 1000.0])[:, None, None]
    assert (number[..., 1:] - number[..., :-1] == num_envs).all()
    assert number.min() >= max(0, count - capacity)
    assert number.max() < count
