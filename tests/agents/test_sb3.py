"""One update of ours and of SB3's from the same weights and the same batch, and weights that travel."""

import base64
import json
import pickle
import zipfile
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from stable_baselines3.common.buffers import ReplayBufferSamples
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from agents import A2C, AGENTS, DQN, PPO, SAC, TD3
from agents.common.off_policy import Batch
from agents.common.replay import Transitions
from agents.sb3 import from_sb3, pairs, to_sb3
from models import GRU, MLP

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


class Foreign(gym.Env):
    """Random observations of a space, actions of another, episodes of ten steps or so."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1.0, self.np_random.random() < 0.1, False, {}


OBS, ACTION = Box(-2, 2, (3,), np.float32), Box(-1.2, 0.1, (2,), np.float32)
SMALL = {"PPO": {"num_steps": 16}, "A2C": {"num_steps": 16}}
UNEVEN = Box(np.array([-1, 0], np.float32), np.array([5, 0.5], np.float32))


def save_sb3(path, name, obs=OBS, action=ACTION, policy="MlpPolicy", **more):
    """A model of SB3's with random weights in a file, and a function that makes its environment."""
    env, small = partial(Foreign, obs, action), {} if name in SMALL else {"buffer_size": 100}
    model = getattr(sb3, name)(policy, env(), device="cpu", **small, **more)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator))
        if isinstance(action, Box) and name in SMALL:
            model.policy.action_net.bias.add_(torch.tensor((action.low + action.high).flatten() / 2))
    model.save(path)
    return model, env


def samples(space, count=200):
    space.seed(1)
    return np.stack([space.sample() for _ in range(count)])


def distributions(model, replica, obs):
    """What describes both distributions over actions, ours in SB3's terms: (n, K) each."""
    tensor, _ = model.policy.obs_to_tensor(obs)
    features = replica.encoder(replica.agent.vec_env.to_tensor(obs[None]).flatten(2))
    ours, name = replica.policy(features), type(model).__name__
    if name == "DQN":
        return model.q_net(tensor), ours.values[0]
    if name == "TD3":
        return model.actor(tensor), ours.mode[0]
    if name == "SAC":
        mean, log_std, _ = model.actor.get_action_dist_params(tensor)
        return torch.cat([mean, log_std], 1), torch.cat([ours.mean, ours.log_std], 2)[0]
    theirs = model.policy.get_distribution(tensor).distribution
    if isinstance(theirs, list):  # one for each choice
        expected = torch.cat([one.probs for one in theirs], 1)
        probs = ours.logits[0].softmax(-1)  # (n, C, most)
        return expected, torch.cat([probs[:, i, : one.probs.shape[1]] for i, one in enumerate(theirs)], 1)
    if isinstance(replica.action_space, MultiBinary):
        return theirs.probs, ours.logits[0].softmax(-1)[..., 1]
    if hasattr(theirs, "probs"):
        return theirs.probs, ours.logits[0, :, 0].softmax(-1)
    low, high = (torch.tensor(x.flatten()) for x in (replica.action_space.low, replica.action_space.high))
    half, middle = ((high - low) / 2).float(), ((high + low) / 2).float()
    std = ours.log_std[0].exp() * half
    mean = ours.mean[0] * half + middle
    return torch.cat([theirs.mean, theirs.stddev], 1), torch.cat([mean, std.expand_as(mean)], 1)


TRAVELERS = [
    *((name, {"action": action}) for name in ("PPO", "A2C", "SAC", "TD3") for action in (
        ACTION, UNEVEN, Box(-3, 3, (2, 2), np.float64), Box(-1, 1, (), np.float32), Box(0, 100, (1,), np.float32))),
    *((name, {"action": Discrete(4)}) for name in ("PPO", "A2C", "DQN")),
    *((name, {"action": space}) for name in ("PPO", "A2C") for space in (MultiDiscrete([3, 2, 4]), MultiBinary(3))),
    *((name, {"obs": obs, "action": ACTION}) for name in ("A2C", "SAC", "TD3") for obs in (
        Discrete(5), MultiDiscrete([3, 2]), MultiBinary(4), MultiBinary((2, 3)), Box(0, 255, (5,), np.uint8))),
    *(("DQN", {"obs": obs, "action": Discrete(3)}) for obs in (Discrete(5), MultiDiscrete([3, 2]), MultiBinary(4))),
    *((name, {"obs": obs, "action": Discrete(3)}) for name in ("PPO", "DQN") for obs in (
        Box(-1, 1, (2, 2), np.float64), Box(-5, 5, (2,), np.int64), Box(0, 255, (3, 8, 8), np.uint8))),
    *((name, {"policy_kwargs": {"net_arch": sizes}}) for name in ("PPO", "SAC", "TD3") for sizes in (
        [], [7], [8, 4, 8])),
    *((name, {"policy_kwargs": {"activation_fn": kind}}) for name in ("A2C", "SAC", "TD3") for kind in (
        nn.ReLU, nn.Tanh, nn.Sigmoid)),
    ("PPO", {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [8]}, "log_std_init": -1.0, "ortho_init": False}}),
    ("SAC", {"policy_kwargs": {"net_arch": {"pi": [8], "qf": [8]}, "share_features_extractor": True}}),
    ("PPO", {"policy_kwargs": {"optimizer_class": torch.optim.SGD, "share_features_extractor": False}}),
    ("SAC", {"ent_coef": 0.2}),
    ("SAC", {"ent_coef": "auto_0.1"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more"), TRAVELERS)
def test_actions_and_distributions_are_the_same_after_each_journey(name, more, tmp_path):
    """From SB3, back to SB3, and from there once more; and both go on learning."""
    model, env = save_sb3(tmp_path / "model.zip", name, **more)
    obs = samples(env().observation_space)
    ours = from_sb3(tmp_path / "model.zip", env, seeds=[3, 8], **SMALL.get(name, {"buffer_size": 200}))
    back = to_sb3(ours[1], **({} if name in SMALL else {"buffer_size": 100}))
    expected, _ = model.predict(obs, deterministic=True)
    scale = 2e-5 * max(1, np.abs(expected).max())  # of float32, through steep networks
    for replica in (ours[0], ours[1]):
        action, _ = replica.predict(obs)
        assert (action.shape, action.dtype) == (expected.shape, replica.action_space.dtype)
        np.testing.assert_allclose(action, expected, atol=scale)
        with torch.no_grad():
            torch.testing.assert_close(*distributions(model, replica, obs), atol=1e-4, rtol=1e-5)
            torch.testing.assert_close(*distributions(back, replica, obs), atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(back.predict(obs, deterministic=True)[0], expected, atol=scale)
    assert len(np.unique(expected)) > 1 or "obs" in more
    if name == "SAC":
        coefficient = back.log_ent_coef.exp().item()
        assert coefficient == pytest.approx({0.2: 0.2, "auto_0.1": 0.1}.get(more.get("ent_coef"), 1.0))
        torch.testing.assert_close(ours.temperature, torch.full((2, 1), coefficient))
    if name in SMALL:
        ours.learn(16)
        back.n_steps = back.rollout_buffer.buffer_size = 16
        back.learn(16)


class OtherExtractor(FlattenExtractor):
    """By its name alone another one."""


class OtherPolicy(ActorCriticPolicy):
    """As far as anyone knows, anything."""


@pytest.mark.parametrize(("name", "more", "words"), [
    *(("PPO", {"policy_kwargs": {"activation_fn": kind}}, "found the activation .*, expected ReLU")
      for kind in (nn.ELU, nn.GELU, nn.LeakyReLU, partial(nn.LeakyReLU, 0.2))),
    *(("PPO", {"policy_kwargs": {"net_arch": arch}}, "expected ReLU, Tanh or Sigmoid and equal networks")
      for arch in ({"pi": [8], "vf": [16]}, {"pi": [8]}, {"vf": [8]}, {"pi": [8, 8], "vf": [8]})),
    ("SAC", {"policy_kwargs": {"net_arch": {"pi": [8], "qf": [16]}}}, "and equal networks"),
    ("SAC", {"policy_kwargs": {"n_critics": 1}}, "found n_critics 1, expected 2"),
    ("TD3", {"policy_kwargs": {"n_critics": 3}}, "found n_critics 3, expected 2"),
    ("DDPG", {}, "found n_critics 1, expected 2"),
    ("PPO", {"use_sde": True}, "found state-dependent exploration"),
    ("SAC", {"use_sde": True}, "found state-dependent exploration"),
    ("PPO", {"policy": OtherPolicy}, "found the policy OtherPolicy, expected MlpPolicy"),
    ("PPO", {"policy_kwargs": {"features_extractor_class": OtherExtractor}}, "the features extractor OtherExtractor"),
    ("PPO", {"policy": "CnnPolicy", "obs": Box(0, 255, (3, 40, 40), np.uint8)}, "the policy ActorCriticCnnPolicy"),
    ("SAC", {"policy": "MultiInputPolicy", "obs": Dict(a=OBS)}, "found the policy MultiInputPolicy"),
    ("PPO", {"obs": Box(0, 255, (8, 8, 3), np.uint8)}, "expected that of the environment"),
    ("PPO", {"obs": Box(0, 255, (3, 8, 8), np.uint8), "policy_kwargs": {"normalize_images": False}}, "found bytes"),
    ("PPO", {"obs": Box(-1, 1, (), np.float32)}, r"found observations of shape \(\)"),
    ("PPO", {"action": Box(0, 5, (2,), np.int64)}, "found actions of int64"),
    ("PPO", {"action": Box(-1e6, 3e-7, (1,), np.float32)}, "found a standard deviation of"),
    ("PPO", {"action": Discrete(3, start=5)}, "expected a start of 0"),
    ("A2C", {"action": MultiDiscrete([3, 2], start=[0, 1])}, "expected a start of 0"),
    ("PPO", {"obs": Discrete(3, start=1)}, "expected a start of 0"),
])  # fmt: skip
def test_models_that_ours_are_not_are_refused_in_one_line(name, more, words, tmp_path):
    _, env = save_sb3(tmp_path / "model.zip", name, **more)
    with pytest.raises(ValueError, match=f"model.zip: .*{words}") as error:
        from_sb3(tmp_path / "model.zip", env)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("env", "more", "words"), [
    (partial(Foreign, Box(-2, 2, (4,), np.float32), ACTION), {}, "found observation space .* expected that of the env"),
    (partial(Foreign, OBS, UNEVEN), {}, "found action space .* expected that of the environment"),
    (partial(Foreign, OBS, Discrete(2)), {}, "found action space .* expected that of the environment"),
    (Foreign(OBS, ACTION), {}, "env: found Foreign, expected an id, or a function that makes an environment"),
    (partial(Foreign, OBS, ACTION), {"network": MLP}, "network: found it beside a file"),
    (partial(Foreign, OBS, ACTION), {"normalize_obs": True}, "normalize_obs: found it beside a file"),
    (partial(Foreign, OBS, ACTION), {"n_steps": 8}, "n_steps: here num_steps"),
])  # fmt: skip
def test_what_does_not_fit_the_file_is_refused(env, more, words, tmp_path):
    save_sb3(tmp_path / "model.zip", "PPO")
    with pytest.raises(ValueError, match=words):
        from_sb3(tmp_path / "model.zip", env, **more)


@pytest.mark.parametrize("name", ["DQN", "PPO", "A2C", "SAC", "TD3"])
def test_a_file_becomes_the_agent_that_saved_it(name, tmp_path):
    _, env = save_sb3(tmp_path / "model.zip", name, action=Discrete(2) if name == "DQN" else ACTION)
    assert type(from_sb3(tmp_path / "model", env, **SMALL.get(name, {}))) is AGENTS[name.lower()]


def test_statistics_that_the_file_does_not_hold_are_named(tmp_path):
    env = partial(gym.make, "CartPole-v1")
    model = sb3.A2C("MlpPolicy", VecNormalize(DummyVecEnv([env])), device="cpu").learn(5)
    model.save(tmp_path / "model.zip")
    with pytest.raises(ValueError, match="found a model trained with VecNormalize"):
        from_sb3(tmp_path / "model.zip", "CartPole-v1")


def test_the_share_of_random_actions_travels(tmp_path):
    model = sb3.DQN("MlpPolicy", "CartPole-v1", device="cpu", buffer_size=100)
    model.exploration_rate = 0.3
    model.save(tmp_path / "model.zip")
    ours = from_sb3(tmp_path / "model.zip", "CartPole-v1")
    assert ours.policy.epsilon.item() == pytest.approx(0.3)
    assert to_sb3(ours[0], buffer_size=100).exploration_rate == pytest.approx(0.3)


@pytest.mark.parametrize(("agent", "more", "words"), [
    (lambda: PPO("CartPole-v1", seeds=1), {}, r"to_sb3: found PPO, expected one replica of an agent: agent\[i\]"),
    (lambda: PPO("CartPole-v1", seeds=1, network=partial(GRU, hidden_size=8))[0], {}, "expected an MLP"),
    (lambda: PPO("CartPole-v1", seeds=1, normalize_obs=True)[0], {}, "expected an MLP without normalization"),
    (lambda: PPO("Pendulum-v1", seeds=1)[0], {"use_sde": True}, "found state-dependent exploration"),
    (lambda: SAC("Pendulum-v1", seeds=1)[0], {"policy_kwargs": {"n_critics": 3}, "buffer_size": 10}, "n_critics 3"),
    (lambda: PPO("CartPole-v1", seeds=1)[0], {"policy_kwargs": {"net_arch": [8]}}, "policy_kwargs of another network"),
    (lambda: PPO("CartPole-v1", seeds=1)[0], {"policy_kwargs": {"activation_fn": nn.ReLU}}, "of another network"),
    (lambda: PPO("CartPole-v1", seeds=1)[0], {"policy_kwargs": {"activation_fn": nn.ELU}}, "found the activation ELU"),
    (lambda: PPO(partial(Foreign, OBS, Discrete(3, start=5)), seeds=1)[0], {}, "expected a start of 0"),
    (lambda: PPO(partial(Foreign, OBS, Box(0, 5, (2,), np.int64)), seeds=1)[0], {}, "found actions of int64"),
    (lambda: PPO(partial(Foreign, Box(0, 255, (40, 40, 3), np.uint8), Discrete(2)), seeds=1)[0], {}, "expected that"),
])  # fmt: skip
def test_replicas_that_sb3_cannot_hold_are_refused_in_one_line(agent, more, words):
    with pytest.raises(ValueError, match=words) as error:
        to_sb3(agent(), **more)
    assert "\n" not in str(error.value)


def test_keywords_of_sb3_reach_its_model():
    model = to_sb3(SAC("Pendulum-v1", seeds=1)[0], ent_coef=0.1, buffer_size=10, device="auto", seed=3)
    assert (model.ent_coef, model.buffer_size, model.seed) == (0.1, 10, 3)


class Payload:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled(value):
    return {":type:": "<class 'object'>", ":serialized:": base64.b64encode(pickle.dumps(value)).decode()}


def rewrite(path, change):
    """The same zip with `change(data)` made to its JSON, and to its other members by name."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    data = json.loads(members["data"])
    change(data, members)
    members["data"] = json.dumps(data).encode()
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


def evil(name):
    """Changes to a file that put code in it: in place of one of its entries, or of one of its members."""

    def change(data, members, payload):
        if name in data or name == "more":
            data[name] = pickled(payload) | {
                key: value for key, value in (data.get(name) or {}).items() if key != ":serialized:"
            }
        else:
            members[name] = pickle.dumps(payload)

    return change


HARMLESS = ("lr_schedule", "clip_range", "more", "rollout_buffer_class", "observation_space", "policy_kwargs")


@pytest.mark.parametrize("name", [*HARMLESS, "policy_class", "policy.pth", "pytorch_variables.pth"])
def test_no_file_of_sb3_runs_code(name, tmp_path):
    model, env = save_sb3(tmp_path / "model.zip", "PPO")
    payload = Payload(tmp_path / "executed")
    rewrite(tmp_path / "model.zip", lambda data, members: evil(name)(data, members, payload))
    if name in HARMLESS:  # JSON tells enough, and the pickle is not read
        obs = samples(OBS)
        ours = from_sb3(tmp_path / "model.zip", env, num_steps=16)
        np.testing.assert_allclose(ours[0].predict(obs)[0], model.predict(obs, deterministic=True)[0], atol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"model.zip: found .*, expected ") as error:
            from_sb3(tmp_path / "model.zip", env)
        assert "\n" not in str(error.value)
        assert ("trust=True" in str(error.value)) == (name == "policy_class")
    assert not (tmp_path / "executed").exists()


def plain(data, members):
    data["policy_class"] = pickled({"by": "value"})


CHANGES = {
    "a policy class pickled whole": (plain, "found policy_class as a pickle alone, .* trust=True reads it"),
    "an unknown keyword": (lambda data, _: data["policy_kwargs"].update(odd=1), "found policy_kwargs.'odd'. as a p"),
    "no policy class": (lambda data, _: data.pop("policy_class"), "found no SB3 model that can be read"),
    "a space without bounds": (lambda data, _: data["action_space"].pop("low"), "found low of the action space as a p"),
    "another space": (lambda data, _: data["action_space"].update(low="[-9. -9.]"), "action space Box.shape=.2., .*ow"),
    "huge": (lambda data, _: data["policy_kwargs"].update(net_arch=[10**6, 10**6]), "found the architecture"),
    "wide": (lambda data, _: data["policy_kwargs"].update(net_arch=[99, 99]), "found the architecture .* at most"),
    "odd widths": (lambda data, _: data["policy_kwargs"].update(net_arch=["a"]), "found the architecture"),
    "other widths": (lambda data, _: data["policy_kwargs"].update(net_arch=[8, 8]), "size mismatch"),
    "no parameters": (lambda _, members: members.pop("policy.pth"), "found the architecture|Missing key"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_of_sb3_that_was_changed_is_one_line(change, tmp_path):
    _, env = save_sb3(tmp_path / "model.zip", "PPO", policy_kwargs={"net_arch": [8, 4]})
    function, words = CHANGES[change]
    rewrite(tmp_path / "model.zip", function)
    with pytest.raises(ValueError, match=f"model.zip: .*{words}") as error:
        from_sb3(tmp_path / "model.zip", env)
    assert "\n" not in str(error.value)


def test_with_trust_sb3_reads_the_whole_file(tmp_path):
    model, env = save_sb3(tmp_path / "model.zip", "PPO", policy=ActorCriticPolicy)
    obs = samples(OBS)
    ours = from_sb3(tmp_path / "model.zip", env, trust=True, num_steps=16)
    np.testing.assert_allclose(ours[0].predict(obs)[0], model.predict(obs, deterministic=True)[0], atol=1e-5)
    rewrite(tmp_path / "model.zip", lambda data, members: evil("more")(data, members, Payload(tmp_path / "executed")))
    from_sb3(tmp_path / "model.zip", env, num_steps=16)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip"])
def test_what_is_no_zip_is_one_line(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    for path, words in ((tmp_path / "file", "found no SB3 model"), (tmp_path, "found a folder")):
        with pytest.raises(ValueError, match=words) as error:
            from_sb3(path, "CartPole-v1")
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        from_sb3(tmp_path / "nowhere", "CartPole-v1")
