"""One update of ours and of SB3's from the same weights and the same batch, and weights that travel."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import ReplayBufferSamples

from agents import A2C, AGENTS, DQN, PPO, SAC, TD3
from agents.common.off_policy import Batch
from agents.common.replay import Transitions
from agents.sb3 import from_sb3, pairs, to_sb3
from models import MLP

NETWORK = partial(MLP, hidden=(16, 16), activation="tanh")
STEPS, ENVS, BATCH, GAMMA = 8, 2, 32, 0.9


class Plain(gym.Env):
    """Three numbers to see, actions in [-1, 1] or one of four: all that a batch made up for a test needs."""

    observation_space = gym.spaces.Box(-5, 5, (3,), np.float32)

    def __init__(self, discrete):
        self.action_space = gym.spaces.Discrete(4) if discrete else gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}


def random_batch(discrete, *shape):
    """Fields (1, *shape, ...) with terminations, and time limits that are none."""
    generator = torch.Generator().manual_seed(1)
    obs, next_obs = torch.randn(2, 1, *shape, 3, generator=generator)
    action = torch.randn(1, *shape, 2, generator=generator).clamp(-0.9, 0.9)
    if discrete:
        action = torch.randint(4, (1, *shape, 1), generator=generator).float()
    end = torch.rand(1, *shape, generator=generator)
    reward = torch.randn(1, *shape, generator=generator)
    return Transitions(obs, action, reward, GAMMA * (end >= 0.1).float(), (end < 0.25).float(), next_obs)


def samples_of(batch):
    """Transitions (1, B, 1, ...) as an agent samples them."""
    action, reward, discount = (x.flatten(1, 2) for x in (batch.action, batch.reward, batch.discount))
    index = torch.zeros(1, BATCH, dtype=torch.int64)
    return Batch(batch.obs, action, reward, discount, batch.next_obs, None, index, None)


def flat(batch):
    return [x.flatten(0, 2) for x in batch]


def assert_same(agent, model, before):
    moved = 0.0
    for ours, theirs in pairs(agent, 0, model):
        for (weight, bias), layer in zip(ours, theirs, strict=True):
            torch.testing.assert_close(weight.T, layer.weight, atol=1e-5, rtol=0)
            torch.testing.assert_close(bias, layer.bias, atol=1e-5, rtol=0)
    after = [parameter.detach().clone() for parameter in agent.policy.parameters()]
    moved = max((a - b).abs().max().item() for a, b in zip(after, before, strict=True))
    assert moved > 1e-4


def weights(agent):
    return [parameter.detach().clone() for parameter in agent.policy.parameters()]


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("kind", [PPO, A2C])
def test_one_update_on_policy(kind, discrete):
    """A2C with SB3's own RMSprop; SB3's PPO gets the eps of our Adam, 1e-8 as in the paper, where it has 1e-5."""
    common = {"gamma": 0.9, "gae_lambda": 0.8, "max_grad_norm": 0.5, "learning_rate": 1e-3, "value_weight": 0.5}
    more = {"anneal_steps": None, "entropy_weight": 0.01, "num_envs": ENVS, "num_steps": STEPS}
    more |= {"num_epochs": 1, "batch_size": STEPS * ENVS} if kind is PPO else {}
    agent = kind(partial(Plain, discrete), seeds=1, network=NETWORK, **common, **more)
    theirs = {"gamma": 0.9, "gae_lambda": 0.8, "max_grad_norm": 0.5, "learning_rate": 1e-3, "ent_coef": 0.01}
    theirs |= {"n_steps": STEPS, "vf_coef": 0.5}
    if kind is PPO:
        theirs |= {"n_epochs": 1, "batch_size": STEPS * ENVS, "policy_kwargs": {"optimizer_kwargs": {"eps": 1e-8}}}
    model, before = to_sb3(agent[0], **theirs), weights(agent)
    batch = random_batch(discrete, STEPS, ENVS)
    buffer_class = type(model.rollout_buffer)
    buffer = buffer_class(STEPS, model.observation_space, model.action_space, "cpu", 0.8, 0.9, ENVS)
    first = np.zeros(ENVS)
    for t in range(STEPS):
        obs, action = batch.obs[0, t], batch.action[0, t]
        with torch.no_grad():
            value, log_prob, _ = model.policy.evaluate_actions(obs, action[:, 0].long() if discrete else action)
            # What SB3's collect_rollouts does at a time limit.
            cut = batch.done[0, t] * (batch.discount[0, t] > 0)
            reward = batch.reward[0, t] + 0.9 * cut * model.policy.predict_values(batch.next_obs[0, t]).flatten()
        buffer.add(obs.numpy(), action.numpy(), reward.numpy(), first, value.flatten(), log_prob)
        first = batch.done[0, t].numpy()
    # Where an episode goes on, what the action led to is what is seen next.
    on = batch.done[0, :-1, :, None] == 0
    batch.next_obs[0, :-1] = torch.where(on, batch.obs[0, 1:], batch.next_obs[0, :-1])
    with torch.no_grad():
        buffer.compute_returns_and_advantage(model.policy.predict_values(batch.next_obs[0, -1]), first)
    model.rollout_buffer, model._logger = buffer, silent()
    model.train()
    agent.update(batch)
    assert_same(agent, model, before)
    if not discrete:
        torch.testing.assert_close(agent.policy.log_std[0], model.policy.log_std, atol=1e-5, rtol=0)


def silent():
    from stable_baselines3.common.logger import Logger

    return Logger(None, [])


class Fixed:
    """A replay buffer that always gives the same batch."""

    def __init__(self, batch):
        obs, action, reward, discount, _, next_obs = flat(batch)
        terminated = (discount == 0).float()
        self.batch = ReplayBufferSamples(obs, action, next_obs, terminated[:, None], reward[:, None])

    def sample(self, *_, **__):
        return self.batch


def test_one_update_of_dqn():
    """SB3's DQN does not estimate doubly, so neither does ours here."""
    agent = DQN(
        partial(Plain, True), seeds=1, network=NETWORK, gamma=0.9, double=False, tau=1.0, learning_rate=1e-3,
        max_grad_norm=0.1,
    )  # fmt: skip
    with torch.no_grad():
        agent.targets.flat.add_(0.1)
    model, before = to_sb3(agent[0], gamma=0.9, learning_rate=1e-3, max_grad_norm=0.1, batch_size=BATCH), weights(agent)
    batch = random_batch(True, BATCH, 1)
    samples = Fixed(batch)
    samples.batch = samples.batch._replace(actions=samples.batch.actions.long())
    model.replay_buffer, model._logger = samples, silent()
    model.train(1, BATCH)
    agent.update(samples_of(batch), 0)
    assert_same(agent, model, before)


def test_one_update_of_sac(monkeypatch):
    agent = SAC(
        partial(Plain, False), seeds=1, network=NETWORK, gamma=0.9, tau=0.05, learning_rate=1e-3, batch_size=BATCH
    )
    with torch.no_grad():
        agent.log_temperature.fill_(-1.0)
    model, before = to_sb3(agent[0], gamma=0.9, tau=0.05, learning_rate=1e-3, batch_size=BATCH), weights(agent)
    batch = random_batch(False, BATCH, 1)
    noise, next_noise = torch.randn(2, BATCH, 2)
    agent.update_noise = lambda _: torch.stack([noise, next_noise])[None, None, :, :, None]
    queue = [noise, next_noise]
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda *_, **__: queue.pop(0))
    model.replay_buffer, model._logger = Fixed(batch), silent()
    model.train(1, BATCH)
    agent.update(samples_of(batch), 0)
    assert_same(agent, model, before)
    torch.testing.assert_close(agent.log_temperature[0], model.log_ent_coef, atol=1e-5, rtol=0)


def test_one_update_of_td3(monkeypatch):
    agent = TD3(
        partial(Plain, False), seeds=1, network=NETWORK, gamma=0.9, tau=0.05, learning_rate=1e-3, batch_size=BATCH,
        policy_delay=1,
    )  # fmt: skip
    model = to_sb3(agent[0], gamma=0.9, tau=0.05, learning_rate=1e-3, batch_size=BATCH, policy_delay=1)
    before, batch, noise = weights(agent), random_batch(False, BATCH, 1), torch.randn(BATCH, 2)
    agent.update_noise = lambda _: noise[None, None, None, :, None]
    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, mean, std: self.copy_(mean + std * noise))
    model.replay_buffer, model._logger = Fixed(batch), silent()
    model.train(1, BATCH)
    agent.update(samples_of(batch), 0)
    assert_same(agent, model, before)


@pytest.mark.parametrize("name", ["dqn", "ppo", "a2c", "sac", "td3"])
def test_weights_travel_to_sb3_and_back(name, tmp_path):
    env = "balancier/PendulumDiscrete-v0" if name == "dqn" else "balancier/Pendulum-v0"
    agent = AGENTS[name](f"envs:{env}", seeds=[3, 11], network=NETWORK).learn(300)
    obs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    expected, _ = agent[1].predict(obs)
    assert len(np.unique(expected)) > 1
    model = to_sb3(agent[1])
    np.testing.assert_allclose(model.predict(obs, deterministic=True)[0], expected, atol=1e-5)
    model.save(tmp_path / "model.zip")
    back = from_sb3(tmp_path / "model.zip", f"envs:{env}")
    np.testing.assert_allclose(back[0].predict(obs)[0], expected, atol=1e-5)


def test_what_sb3_does_not_have_is_refused(tmp_path):
    agent = AGENTS["reinforce"]("CartPole-v1", seeds=1)
    with pytest.raises(ValueError, match="found a REINFORCE"):
        to_sb3(agent[0])
    agent = DQN("CartPole-v1", seeds=1, dueling=True)
    with pytest.raises(ValueError, match="expected an MLP"):
        to_sb3(agent[0])
    (tmp_path / "nonsense.zip").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"nonsense.zip: found no SB3 model"):
        from_sb3(tmp_path / "nonsense.zip", "CartPole-v1")
