"""What stands around the formulas, held by numbers that were worked out by hand.

Each test fails when the line that it is about is taken out or turned around.
"""

import math
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

import agents.ppo
import agents.td3
from agents import A2C, DQN, PPO, REINFORCE, SAC, TD3
from agents.common import on_policy
from agents.common.normalization import RewardScaling
from agents.common.off_policy import Batch
from agents.common.replay import Transitions
from agents.common.vec_env import VecEnv
from models import MLP
from models.streams import stream_seed
from tests.agents.probes import ACTIONS, One, maker

LOG2 = math.log(2)
SMALL = partial(MLP, hidden=(4,))


class Counter(gym.Env):
    """The observation counts the steps of the episode, the reward too; it ends after `length` steps."""

    observation_space = Box(0.0, 100.0, (1,), np.float32)

    def __init__(self, actions="discrete", length=3, truncates=False):
        self.action_space, self.length, self.truncates = ACTIONS[actions], length, truncates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        ended = self.t == self.length
        return (
            np.full(1, self.t, np.float32),
            float(self.t),
            ended and not self.truncates,
            ended and self.truncates,
            {},
        )


def make(kind, env=None, **more):
    env = env or partial(Counter, "discrete" if kind is DQN else "continuous")
    return kind(env, **({"seeds": [3, 11], "network": SMALL} | more))


def count_calls(monkeypatch, owner, name):
    """The arguments of every call of a method, which still does what it did."""
    calls, original = [], getattr(owner, name)

    def record(*arguments, **keywords):
        calls.append(arguments)
        return original(*arguments, **keywords)

    monkeypatch.setattr(owner, name, record)
    return calls


# Environments.


@pytest.mark.parametrize("truncates", [False, True])
def test_an_action_leads_to_the_last_frame_and_the_next_acts_on_the_first(truncates):
    vec_env = VecEnv(partial(Counter, truncates=truncates), {}, [3, 11], 2)
    assert vec_env.reset().flatten().tolist() == [0.0] * 4
    for t in range(1, 8):
        step = vec_env.step(torch.zeros(2, 2, 1, dtype=torch.int64))
        assert step.reward.tolist() == step.next_obs.squeeze(-1).tolist() == [[(t - 1) % 3 + 1.0] * 2] * 2
        assert step.obs.flatten().tolist() == [float(t % 3)] * 4
        assert step.done.tolist() == [[float(t % 3 == 0)] * 2] * 2
        assert step.terminated.tolist() == [[t % 3 == 0 and not truncates] * 2] * 2
        # The return of the newest complete episode: 1 + 2 + 3.
        np.testing.assert_array_equal(vec_env.mean_return(), [np.nan if t < 3 else 6.0] * 2)


def test_a_native_batch_leads_to_the_last_frame_too():
    vec_env, scalar = VecEnv("envs:balancier/Pendulum-v0", {}, [3], 1), gym.make("balancier/Pendulum-v0")
    vec_env.reset()
    scalar.reset(seed=stream_seed(3, 0, 0))
    for t in range(200):
        step = vec_env.step(torch.full((1, 1, 1), 0.3))
        obs, *_ = scalar.step(np.array([0.6], np.float32))
        np.testing.assert_allclose(step.next_obs[0, 0], obs, atol=1e-6)
        assert step.obs.equal(step.next_obs) is (t < 199)


def test_the_return_of_an_episode_is_the_mean_over_environments():
    """Environments of three and of two steps in turn: returns 6 and 3."""
    lengths = iter([3, 2, 3, 2])
    vec_env = VecEnv(lambda: Counter(length=next(lengths)), {}, [3, 11], 2)
    vec_env.reset()
    for _ in range(7):
        vec_env.step(torch.zeros(2, 2, 1, dtype=torch.int64))
    np.testing.assert_array_equal(vec_env.mean_return(), [4.5, 4.5])


def test_rewards_are_scaled_by_the_spread_of_a_return_that_begins_anew_with_each_episode(float64):
    """gamma 0.5, rewards 1, 2 (the end), 4: the returns so far are 1, 2.5 and 4, not 5.25."""
    scaling, seen = RewardScaling(torch.tensor([[0.5]]), 1), []
    for reward, done, expected in ((1.0, 0.0, 1.0), (2.0, 1.0, 2.5), (4.0, 0.0, 4.0)):
        scaled = scaling(torch.tensor([[reward]]), torch.tensor([[done]]))
        seen.append(expected)
        n = len(seen) + 1e-4  # the statistics start from a ten-thousandth of a number, mean 0, variance 1
        mean = sum(seen) / n
        var = (sum(x**2 for x in seen) + 1e-4) / n - mean**2
        assert scaled.item() == pytest.approx(min(10.0, reward / math.sqrt(var + 1e-8)), rel=1e-9)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_scaled_reward_is_what_is_learned_from(normalize, monkeypatch):
    agent = make(PPO, maker(One, "discrete"), num_steps=4, normalize_reward=normalize)
    if normalize:
        monkeypatch.setattr(agent.reward_scaling, "forward", lambda reward, done: reward * 7)
    rollouts = count_calls(monkeypatch, agent, "update")
    agent.learn(4)
    assert rollouts[0][0].reward.unique().tolist() == [7.0 if normalize else 1.0]


# Off-policy agents.


@pytest.mark.parametrize("kind", [DQN, SAC, TD3])
def test_the_first_update_comes_after_learning_starts_and_each_has_samples_of_its_own(kind, monkeypatch):
    agent = make(kind, learning_starts=10, train_every=2, num_updates=3, batch_size=8)
    updates = count_calls(monkeypatch, agent, "update")
    agent.learn(10)
    assert not updates
    agent.learn(1)
    assert len(updates) == 3
    agent.learn(4)
    assert len(updates) == 9
    indices = [batch.index for batch, _ in updates]
    assert [number for _, number in updates] == [0, 1, 2] * 3
    for i, index in enumerate(indices):
        assert not index[0].equal(index[1])
        assert not any(index.equal(other) for other in indices[:i])


def constant(values):
    """A network of values whose outputs are its biases alone."""
    with torch.no_grad():
        values.head.weight.zero_()

    def set_to(*numbers):
        with torch.no_grad():
            values.head.bias[:] = torch.tensor(numbers)

    return set_to


def samples(action, reward, discount):
    """One sample of one seed, with any observations."""
    obs = torch.zeros(1, 1, 1, 1)
    index = torch.zeros(1, 1, dtype=torch.int64)
    reward, discount = torch.tensor([[reward]]), torch.tensor([[discount]])
    return Batch(obs, torch.tensor([[[action]]]), reward, discount, obs, None, index, None)


@pytest.mark.parametrize(("double", "target"), [(False, 1 + 0.5 * 5), (True, 1 + 0.5 * 3)])
def test_double_q_learning_takes_the_value_of_the_action_that_the_other_network_prefers(double, target):
    """Q = (0, 1), Q' = (5, 3), reward 1, discount 0.5; the error is larger than 1, so Huber's loss is |error| - 0.5."""
    agent = make(DQN, seeds=1, double=double)
    constant(agent.policy.values)(0.0, 1.0)
    constant(agent.target_values)(5.0, 3.0)
    losses = agent.update(samples(0.0, 1.0, 0.5), 0)
    assert losses["loss"].item() == pytest.approx(target - 0.5)
    agent = make(DQN, seeds=1, double=double)
    constant(agent.policy.values)(0.0, 1.0)
    losses = agent.update(samples(1.0, 3.0, 0.0), 0)  # a termination: nothing of Q'
    assert losses["loss"].item() == pytest.approx(3 - 1 - 0.5)


def test_dqns_target_moves_by_tau_every_so_many_steps():
    agent = make(DQN, tau=0.25, target_every=3, learning_starts=1000)
    start = agent.targets.flat.clone()
    agent.optimizer.flat.add_(1.0)
    for iteration, share in ((1, 0.0), (2, 0.0), (3, 0.25), (4, 0.25), (6, 1 - 0.75**2)):
        agent.num_timesteps = iteration
        agent.update_targets()
        torch.testing.assert_close(agent.targets.flat, start + share)


def test_dqn_moves_its_target_while_it_learns():
    agent = make(DQN, tau=1.0, target_every=4, train_every=1, learning_starts=0, batch_size=4, learning_rate=1e-2)
    agent.learn(5)  # steps 0 to 4: the target was copied in the last
    assert agent.targets.flat.equal(agent.optimizer.flat)
    before = agent.targets.flat.clone()
    agent.learn(3)
    assert agent.targets.flat.equal(before)
    assert not agent.optimizer.flat.equal(before)
    agent.learn(1)
    assert agent.targets.flat.equal(agent.optimizer.flat)


def test_epsilon_falls_linearly():
    agent = make(DQN, exploration_steps=100, final_epsilon=0.1)
    for steps, expected in ((0, 1.0), (50, 0.55), (100, 0.1), (1000, 0.1)):
        agent.num_timesteps = steps
        agent.act(agent.obs)
        torch.testing.assert_close(agent.policy.epsilon, torch.full((2, 1), expected))


@pytest.mark.parametrize(("kind", "every"), [(SAC, 1), (TD3, 1), (TD3, 2), (TD3, 3)])
def test_targets_and_the_policy_move_as_often_as_the_paper_says(kind, every, monkeypatch):
    more = {"policy_delay": every} if kind is TD3 else {}
    agent = make(kind, learning_starts=0, num_updates=2, batch_size=4, tau=0.25, **more)
    agent.recorded = False
    steps = count_calls(monkeypatch, agent.policy_optimizer, "step")
    moves = count_calls(monkeypatch, agents.sac if kind is SAC else agents.td3, "soft_update")
    agent.learn(9)
    assert len(steps) == 18 // every
    assert len(moves) == 18 // every * (2 if kind is TD3 else 1)  # TD3's policy has a target, too
    assert {tau for *_, tau in moves} == {0.25}


@pytest.mark.parametrize("kind", [SAC, TD3])
def test_tau_is_the_share_of_the_critics_that_their_target_takes(kind):
    agent = make(kind, learning_starts=0, batch_size=4, tau=0.25, **({"policy_delay": 1} if kind is TD3 else {}))
    before = agent.targets.flat.clone()
    agent.learn(1)
    expected = before + 0.25 * (agent.critics_optimizer.flat - before)
    torch.testing.assert_close(agent.targets.flat, expected)
    assert not agent.targets.flat.equal(before)


def test_the_noise_of_td3s_targets_is_clipped(monkeypatch):
    """Normal numbers 10, 1 and -10 times 0.2, within 0.5: 0.5, 0.2 and -0.5 around the target policy's 0."""
    agent = make(TD3, seeds=1, target_noise_std=0.2, target_noise_clip=0.5)
    constant(agent.target_policy.raw)(0.0)
    monkeypatch.setattr(agents.td3, "twin_q", lambda critics, features, action: action.squeeze(-1).expand(2, 1, -1))
    value = agent.next_value(torch.zeros(1, 3, 1), torch.tensor([[[10.0], [1.0], [-10.0]]]))
    torch.testing.assert_close(value, torch.tensor([[0.5, 0.2, -0.5]]))


@pytest.mark.parametrize("truncates", [False, True])
@pytest.mark.parametrize("kind", [DQN, SAC, TD3])
def test_n_steps_of_reward(kind, truncates):
    """Episodes of 4 steps with rewards 1, 2, 3, 4; gamma 0.5, n = 3."""
    env = partial(Counter, "discrete" if kind is DQN else "continuous", 4, truncates)
    agent = make(kind, env, gamma=0.5, n_step=3, learning_starts=1000, batch_size=10)
    agent.learn(12)
    batch = agent.sample_batch(12, (torch.arange(10) / 10 + 0.01).expand(2, 10))
    assert batch.index[0].tolist() == list(range(10))
    returns = [1 + 1 + 0.75, 2 + 1.5 + 1, 3 + 2, 4]
    discounts = [0.125, *([0.125, 0.25, 0.5] if truncates else [0.0, 0.0, 0.0])]
    for seed in range(2):
        assert batch.reward[seed].tolist() == [returns[i % 4] for i in range(10)]
        assert batch.discount[seed].tolist() == [discounts[i % 4] for i in range(10)]
        assert agent.features(batch)[seed, :, 0].tolist() == [i % 4 for i in range(10)]
        assert agent.next_features(batch)[seed, :, 0].tolist() == [[3, 4, 4, 4][i % 4] for i in range(10)]


# On-policy agents.


def test_each_epoch_of_ppo_takes_every_step_once_in_an_order_of_its_own(monkeypatch):
    agent = make(PPO, num_steps=10, batch_size=4, num_epochs=3)
    calls = count_calls(monkeypatch, on_policy, "gather_samples")
    agent.recorded = False
    steps = count_calls(monkeypatch, agent.optimizer, "step")
    agent.learn(20)
    assert [index.shape[1] for index, *_ in calls] == [4, 4, 2] * 6
    assert len(steps) == 18
    epochs = [torch.cat([index for index, *_ in calls[i : i + 3]], 1) for i in range(0, 18, 3)]  # (S, 10) each
    for i, epoch in enumerate(epochs):
        for seed in range(2):
            assert sorted(epoch[seed].tolist()) == list(range(10))
        assert not epoch[0].equal(epoch[1])
        assert not any(epoch.equal(other) for other in epochs[:i])


def test_the_fields_of_a_minibatch_belong_to_its_steps():
    agent = make(PPO, num_steps=6, num_envs=2, batch_size=5, num_epochs=2)
    number = torch.arange(24.0).reshape(2, 6, 2)
    obs, action = number[..., None], torch.stack([number + 100, number + 200], -1)
    for seen, *fields in agent.minibatches(2, 5, obs, action, number + 300, number + 400):
        seen = seen.flatten(1)
        torch.testing.assert_close(fields[0], torch.stack([seen + 100, seen + 200], -1))
        torch.testing.assert_close(fields[1:], [seen + 300, seen + 400])


@pytest.mark.parametrize(("steps", "share"), [(0, 1.0), (50, 0.5), (1000, 0.05)])
def test_ppos_clip_range_falls_with_the_learning_rate(steps, share, monkeypatch):
    agent = make(PPO, num_steps=4, clip_range=0.3, anneal_steps=100, learning_rate=1e-2)
    calls = count_calls(monkeypatch, agents.ppo, "clipped_surrogate")
    agent.num_timesteps = steps
    agent.learn(4)
    assert calls[0][-1] == pytest.approx(share * 0.3, abs=0.3 * 0.04)  # the last step of the rollout counts
    assert agent.optimizer.learning_rate[0] == pytest.approx(calls[0][-1] / 30)


@pytest.mark.parametrize("kind", [A2C, PPO, REINFORCE])
def test_entropy_is_rewarded(kind):
    """The first loss of a policy without preferences is less by the weight times log 2."""
    losses = []
    for weight in (0.0, 0.5):
        more = {"num_epochs": 1} if kind is PPO else {}
        agent = make(kind, maker(One, "discrete"), num_steps=8, num_envs=1, entropy_weight=weight, **more)
        constant(agent.policy.logits)(0.0, 0.0)
        agent.learn(8)
        losses.append(agent.losses["loss"])
    torch.testing.assert_close(losses[1] - losses[0], torch.full((2,), -0.5 * LOG2))


def rollout(reward, done):
    """A rollout of one seed and one environment in which the first of two actions was taken."""
    reward, done = torch.tensor(reward).reshape(1, -1, 1), torch.tensor(done).reshape(1, -1, 1)
    obs = torch.zeros(*reward.shape, 1)
    return Transitions(obs, torch.zeros_like(obs), reward, 0.5 * (1 - done), done, obs)


@pytest.mark.parametrize(("baseline", "expected"), [(False, 2 * LOG2), (True, -LOG2 + 0.5)])
def test_reinforce_learns_from_episodes_whose_end_it_saw(baseline, expected):
    """Rewards 1, 2, then 100 and 100 of an episode that goes on: gamma 0.5 makes returns 2 and 2, both known.

    The policy is even: -log pi = log 2. Without a baseline the loss is log 2 (2 + 2) / 2. A critic that says 3 makes it
    log 2 (2 - 3), and its own squared error is 1, of weight a half.
    """
    agent = make(REINFORCE, maker(One, "discrete"), seeds=1, num_steps=4, num_envs=1, baseline=baseline)
    constant(agent.policy.logits)(0.0, 0.0)
    constant(agent.critic)(3.0)
    losses = agent.update(rollout([1.0, 2.0, 100.0, 100.0], [0.0, 1.0, 0.0, 0.0]))
    assert losses["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_reinforce_learns_nothing_where_no_end_was_seen():
    agent = make(REINFORCE, maker(One, "discrete"), seeds=1, num_steps=4, num_envs=1)
    before = agent.optimizer.flat.clone()
    agent.update(rollout([1.0] * 4, [0.0] * 4))
    torch.testing.assert_close(agent.optimizer.flat, before)


# The state of an agent.


def test_a_state_of_another_agent_is_refused_by_name():
    agent, other = make(SAC).learn(20), make(SAC, network=partial(MLP, hidden=(5,))).learn(20)
    state = agent.get_state()
    assert state["replay.obs"].shape[1] == 20  # of a million places only the filled ones
    missing = {name: array for name, array in state.items() if name != "log_temperature"}
    with pytest.raises(ValueError, match="found no array 'log_temperature'"):
        agent.set_state(missing)
    with pytest.raises(ValueError, match=r"found an unknown array 'more'"):
        agent.set_state(state | {"more": np.zeros(3)})
    before = other.get_state()
    with pytest.raises(ValueError, match=r"[a-z_.0-9]+: found shape .*, expected"):
        other.set_state(state)
    for name, array in other.get_state().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    make(SAC).set_state(state)
