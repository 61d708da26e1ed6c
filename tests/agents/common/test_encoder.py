"""Encoders: a recurrent state that neither leaks nor goes stale, a CNN on bytes, running statistics."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents import A2C, DQN, PPO, REINFORCE, SAC
from agents.common.encoder import Encoder
from agents.common.normalization import RunningMeanStd
from models import CNN, GRU, LSTM, MLP, Elman, RecurrentEncoder

ANGLE = {"observation": "angle"}


@pytest.mark.parametrize("kind", [Elman, GRU, LSTM])
def test_a_sequence_is_its_steps_and_an_episode_begins_from_nothing(kind, float64):
    memory = RecurrentEncoder(kind(3, 5, seeds=2))
    x, first = torch.randn(2, 4, 6, 3), (torch.rand(2, 4, 6) < 0.3).double()
    state = torch.randn(2, 4, memory.out_features)
    stale = torch.randn(2, 4, 6, memory.out_features)
    stale[:, :, 0] = state
    after = memory(memory.pack(x, first, stale))
    for t in range(6):
        state = memory(memory.pack(x[:, :, t], first[:, :, t], state))
        torch.testing.assert_close(after[:, :, t], state)
    # From an episode's first step on, nothing before it counts.
    begin = torch.zeros(2, 4, 3)
    begin[:, :, 0] = 1
    fresh = memory(memory.pack(x[:, :, 3:], begin, torch.zeros(2, 4, 3, memory.out_features)))
    first[:, :, 3:] = begin
    torch.testing.assert_close(memory(memory.pack(x, first, stale))[:, :, 3:], fresh)


@pytest.mark.parametrize("kind", [Elman, GRU, LSTM])
def test_what_was_stored_while_acting_is_what_a_sequence_gives(kind, float64):
    """Before the first update the network has not changed: stored states and unrolled ones agree, over ends too."""
    agent = PPO(
        "envs:balancier/Pendulum-v0", env_kwargs=ANGLE, seeds=[3, 11], network=partial(kind, hidden_size=8),
        num_envs=2, num_steps=256,
    )  # fmt: skip
    agent.learn(500)  # 250 steps of each environment: an episode ends at 200
    packed = agent.rollout.obs.unflatten(1, (256, 2)).transpose(1, 2)[:, :, 150:250]  # (S, N, L, O)
    assert packed[..., 2].sum() == 4  # one first step in each environment
    after = agent.encoder(packed)[..., : agent.encoder.state_size]
    torch.testing.assert_close(after[:, :, :49], packed[:, :, 1:50, 3:])
    torch.testing.assert_close(packed[:, :, 50, 3:], torch.zeros_like(packed[:, :, 50, 3:]))
    torch.testing.assert_close(after[:, :, 50:99], packed[:, :, 51:100, 3:])
    next_packed = agent.rollout.next_obs.unflatten(1, (256, 2)).transpose(1, 2)[:, :, 150:250]
    expected = agent.encoder(next_packed.flatten(1, 2)).unflatten(1, (2, 100))
    torch.testing.assert_close(agent.encoder.after(packed, next_packed, None), expected)


@pytest.mark.parametrize("make", [
    partial(PPO, "envs:balancier/Pendulum-v0", num_steps=32, num_envs=2, batch_size=32),
    partial(SAC, "envs:balancier/Pendulum-v0", learning_starts=40, batch_size=8),
    partial(DQN, "envs:balancier/PendulumDiscrete-v0", learning_starts=40, batch_size=8, n_step=3, train_every=1),
])  # fmt: skip
def test_seeds_with_a_memory_together_are_seeds_alone(make, float64):
    network = partial(GRU, hidden_size=8)
    together, alone = (make(env_kwargs=ANGLE, seeds=seeds, network=network).learn(260) for seeds in ([3, 11], [11]))
    for key, parameter in alone.encoder.named_parameters():
        torch.testing.assert_close(together.encoder.get_parameter(key)[1:], parameter, atol=1e-9, rtol=0.0)
        untrained = make(env_kwargs=ANGLE, seeds=[11], network=network).encoder.get_parameter(key)
        assert not torch.equal(parameter, untrained), f"{key} did not move"


def test_predict_carries_the_memory_and_starts_anew():
    agent = PPO("envs:balancier/Pendulum-v0", env_kwargs=ANGLE, seeds=[3, 11], network=partial(LSTM, hidden_size=8))
    obs = np.random.default_rng(0).normal(size=(5, 2, 4, 2)).astype(np.float32)
    state, actions = None, []
    for t in range(5):
        action, state = agent.predict(obs[t], state, np.full((2, 4), t == 3))
        actions.append(action)
    again, _ = agent.predict(obs[3])
    np.testing.assert_allclose(actions[3], again, atol=1e-6)
    assert abs(actions[4] - agent.predict(obs[4])[0]).max() > 1e-4
    one, own = agent[1], None
    for t in range(5):
        action, own = one.predict(obs[t, 1], own, np.full(4, t == 3))
        np.testing.assert_allclose(action, actions[t][1], atol=1e-6)


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_running_statistics_are_those_of_all_numbers(sizes, seed):
    generator = np.random.default_rng(seed)
    batches = [generator.normal(3, 2, (2, size, 4)) for size in sizes]
    running = RunningMeanStd(2, 4)
    for batch in batches:
        running.update(torch.tensor(batch))
    everything = np.concatenate(batches, 1)
    start, n = 1e-4, everything.shape[1]  # the start is a ten-thousandth of a number: mean 0, variance 1
    mean = everything.sum(1) / (n + start)
    var = ((everything**2).sum(1) + start) / (n + start) - mean**2
    np.testing.assert_allclose(running.mean, mean, atol=1e-9)
    np.testing.assert_allclose(running.var, var, atol=1e-9)


def test_predicting_leaves_the_statistics_as_they_are():
    agent = PPO("envs:balancier/Pendulum-v0", seeds=2, normalize_obs=True, normalize_reward=True).learn(300)
    before = agent.encoder.statistics.mean.clone()
    assert before.abs().max() > 0
    agent.predict(np.full((2, 5, 3), 100.0))
    torch.testing.assert_close(agent.encoder.statistics.mean, before, atol=0, rtol=0)
    far = agent.encoder(torch.full((2, 1, 3), 1e6))
    torch.testing.assert_close(far, torch.full((2, 1, 3), 10.0))


def test_pictures_stay_bytes_until_the_cnn():
    network = partial(CNN, channels=(4, 4), hidden=16)
    agent = DQN(
        "envs:balancier/PendulumDiscrete-v0", env_kwargs={"observation": "pixels"}, seeds=2, network=network,
        learning_starts=20, batch_size=8, buffer_size=100, train_every=1,
    )  # fmt: skip
    before = [parameter.clone() for parameter in agent.encoder.parameters()]
    agent.learn(40)
    assert agent.replay.obs.dtype == agent.obs.dtype == torch.uint8
    assert all(not torch.equal(a, b) for a, b in zip(agent.encoder.parameters(), before, strict=True))
    seen = agent.encoder.cnn(agent.obs.float() / 255)
    torch.testing.assert_close(agent.encoder(agent.obs), seen)


def test_a_sequence_must_divide_the_rollout():
    memory = partial(GRU, hidden_size=8)
    with pytest.raises(ValueError, match="sequence_length: found 16, expected a divisor of num_steps, 40"):
        PPO("envs:balancier/Pendulum-v0", seeds=1, network=memory, num_steps=40, sequence_length=16)
    assert PPO("envs:balancier/Pendulum-v0", seeds=1, network=partial(MLP, hidden=(8,)), num_steps=40)


def test_bytes_are_scaled_or_normalized(float64):
    """Normalized bytes have mean 0 and spread 1 as they come; others lie in [0, 1]."""
    pictures = torch.randint(0, 256, (2, 500, 3), dtype=torch.uint8)
    torch.testing.assert_close(Encoder(None, 3, True, 0)(pictures), pictures.double() / 255)
    encoder = Encoder(None, 3, True, 2)
    assert isinstance(encoder.statistics, RunningMeanStd)
    encoder.statistics.update(pictures)
    seen = encoder(pictures)
    torch.testing.assert_close(seen.mean(1), torch.zeros(2, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(1, correction=0), torch.ones(2, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("agent", "num_steps", "expected"), [(PPO, 64, 16), (A2C, 8, 8), (REINFORCE, 200, 10)])
def test_a_memory_unrolls_what_divides_a_rollout(agent, num_steps, expected):
    made = agent("envs:balancier/Pendulum-v0", seeds=1, network=partial(GRU, hidden_size=4), num_steps=num_steps)
    assert made.sequence_length == expected
