"""What leaves the package acts as it did inside: as an agent of one seed, as a module, as an ONNX file."""

import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
from agents import DQN, PPO, SAC, TD3
from agents.evaluation import SELECTION_SEED, TEST_SEED, evaluate, select_best
from agents.export import OnnxModel, to_module, to_onnx
from models import CNN, GRU, LSTM, MLP

PENDULUM, DISCRETE = "envs:balancier/Pendulum-v0", "envs:balancier/PendulumDiscrete-v0"
ANGLE, PIXELS = {"observation": "angle"}, {"observation": "pixels"}
SEEDS = [3, 11]


class Odd(gym.Env):
    """Observations of two axes and double precision; three choices at once, of 2, 5 and 3, none of them from 0 on."""

    observation_space = gym.spaces.Box(-3, 3, (2, 3), np.float64)
    action_space: gym.Space = gym.spaces.MultiDiscrete([2, 5, 3], start=[1, -4, 7])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros((2, 3)), {}

    def step(self, action):
        self.t += 1
        return self.np_random.normal(size=(2, 3)), float(action.flat[0]), False, self.t == 5, {}


class Lopsided(Odd):
    """Actions are a matrix, each component with bounds of its own."""

    action_space = gym.spaces.Box(
        np.array([[-1, 0], [2, -3]], np.float32), np.array([[1, 5], [9, 3]], np.float32), (2, 2)
    )


CASES = {
    "ppo": partial(PPO, PENDULUM),
    "ppo, normalized": partial(PPO, PENDULUM, normalize_obs=True, num_steps=32),
    "ppo, one of two actions": partial(PPO, "CartPole-v1"),
    "ppo, three choices": partial(PPO, Odd),
    "ppo, a matrix": partial(PPO, Lopsided),
    "sac": partial(SAC, PENDULUM),
    "td3": partial(TD3, PENDULUM, network=partial(MLP, hidden=(16,), activation="tanh")),
    "dqn": partial(DQN, DISCRETE, dueling=True),
    "dqn, pixels": partial(
        DQN, DISCRETE, env_kwargs=PIXELS, network=partial(CNN, channels=(4, 8), hidden=16), buffer_size=300
    ),
}


def make(name):
    """An agent that does not do the same everywhere, and 200 observations."""
    agent = CASES[name](seeds=SEEDS).learn(130)
    generator, space = np.random.default_rng(0), agent.vec_env.observation_space
    if space.dtype == np.uint8:  # pictures of different brightness
        obs = generator.integers(0, 256, (200, *space.shape)) * generator.random((200, 1, 1, 1))
    else:
        obs = generator.normal(0, 2, (200, *space.shape))
    obs = obs.astype(space.dtype)
    if isinstance(agent, DQN):  # no action is the best on average
        with torch.no_grad():
            flat = agent.vec_env.to_tensor(obs).flatten(1).expand(2, 200, -1)
            agent.policy.values.head.bias[:, -5:] -= agent.policy(agent.encoder(flat)).values.mean(1)
    return agent, obs


@pytest.mark.parametrize("name", CASES)
def test_module_and_file_act_like_the_replica(name, tmp_path):
    agent, obs = make(name)
    expected, _ = agent[1].predict(obs)
    assert len(np.unique(expected, axis=0)) > 1
    assert not np.array_equal(expected, agent[0].predict(obs)[0])
    to_onnx(agent[1], tmp_path / "policy.onnx")
    model = OnnxModel(tmp_path / "policy.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["policy.onnx"]
    tolerance = 0.0 if expected.dtype == np.int64 else 1e-5
    for found in (to_module(agent[1])(torch.from_numpy(obs)).numpy(force=True), model.predict(obs)[0]):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)
    # Any number of observations, a single one too.
    np.testing.assert_allclose(model.predict(obs[7])[0], expected[7], atol=tolerance, rtol=0)
    np.testing.assert_allclose(model.predict(obs[:1])[0], expected[:1], atol=tolerance, rtol=0)


def test_a_choice_that_is_missing_is_never_made(tmp_path):
    """The logits of three choices form a table of 3 x 5: where 5 are not there, the largest number means nothing."""
    agent = PPO(Odd, seeds=SEEDS)
    with torch.no_grad():
        agent.policy.logits.head.bias[:] = torch.arange(15.0)
    to_onnx(agent[1], tmp_path / "policy.onnx")
    obs = np.zeros((1, 2, 3))
    highest = [[1 + 1, -4 + 4, 7 + 2]]
    np.testing.assert_array_equal(to_module(agent[1])(torch.from_numpy(obs)).numpy(), highest)
    np.testing.assert_array_equal(OnnxModel(tmp_path / "policy.onnx").predict(obs)[0], highest)


@pytest.mark.parametrize("make", [
    partial(PPO, network=partial(GRU, hidden_size=8), num_steps=32, normalize_obs=True),
    partial(SAC, network=partial(LSTM, hidden_size=8), batch_size=8),
])  # fmt: skip
def test_a_recurrent_state_lasts_through_an_episode(make, tmp_path):
    agent = make(PENDULUM, env_kwargs=ANGLE, seeds=SEEDS).learn(130)
    replica, module = agent[1], to_module(agent[1])
    to_onnx(replica, tmp_path / "policy.onnx")
    model, env = OnnxModel(tmp_path / "policy.onnx"), gym.make("balancier/Pendulum-v0", **ANGLE)
    obs, _ = env.reset(seed=1)
    state = of_module = of_file = None
    forgetful = 0.0
    for step in range(200):
        expected, state = replica.predict(obs, state, [step == 0])
        with torch.no_grad():
            action, of_module = module(torch.from_numpy(obs)[None], of_module)
        np.testing.assert_allclose(action[0].numpy(), expected, atol=1e-5)
        action, of_file = model.predict(obs, of_file, [step == 0])
        np.testing.assert_allclose(action, expected, atol=1e-5)
        forgetful = max(forgetful, abs(model.predict(obs)[0] - expected).max())
        obs, *_ = env.step(expected)
    assert forgetful > 1e-3
    np.testing.assert_allclose(of_file, state, atol=1e-4)
    np.testing.assert_allclose(model.predict(obs, of_file, [True])[0], replica.predict(obs)[0], atol=1e-5)
    with pytest.raises(ValueError, match="deterministic: found False"):
        model.predict(obs, deterministic=False)
    tested = [evaluate(one, PENDULUM, range(3), ANGLE) for one in (replica, model)]
    np.testing.assert_allclose(tested[0], tested[1], rtol=1e-3)


def test_a_module_shares_nothing_with_the_agent():
    agent = PPO(PENDULUM, seeds=SEEDS, normalize_obs=True, num_steps=32).learn(256)
    obs = torch.randn(20, 3)
    module, before = to_module(agent[1]), agent[1].predict(obs.numpy())[0]
    agent.learn(512)
    assert abs(agent[1].predict(obs.numpy())[0] - before).max() > 1e-4
    np.testing.assert_array_equal(module(obs).numpy(force=True), before)
    for name, tensor in module.state_dict().items():  # nor does it carry the other replicas along
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size(), name
    (gradient,) = torch.autograd.grad(module(obs).sum(), module.policy.mean.head.weight)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("make", [
    partial(PPO, PENDULUM, num_envs=2, num_steps=32, normalize_obs=True, normalize_reward=True),
    partial(PPO, PENDULUM, env_kwargs=ANGLE, network=partial(GRU, hidden_size=4), num_envs=2, num_steps=32),
    partial(SAC, PENDULUM, learning_starts=60),
    partial(TD3, Lopsided, learning_starts=60),
    partial(DQN, "CartPole-v1", num_envs=2, learning_starts=60, prioritized=True, n_step=3, train_every=1),
])  # fmt: skip
def test_an_extracted_replica_goes_on_as_if_it_had_been_alone(make, float64):
    """In mid-rollout and mid-episode, and with a learning rate of its own."""
    together = make(seeds=[3, 11, 12], learning_rate=[1e-3, 3e-3, 1e-4]).learn(90)
    one, never = together.extract(1), make(seeds=[11], learning_rate=3e-3)
    begun = {key: value.clone() for key, value in one.policy.state_dict().items()}
    together.learn(20)
    one.learn(60)
    never.learn(150)
    assert any(not torch.equal(one.policy.state_dict()[key], value) for key, value in begun.items())
    assert one.num_timesteps == never.num_timesteps
    for key, value in never.state_dict().items():
        torch.testing.assert_close(one.state_dict()[key], value, atol=1e-9, rtol=1e-9, msg=key)


def test_one_file_holds_one_replica(tmp_path):
    agent = SAC(PENDULUM, seeds=SEEDS).learn(150)
    agent.extract(1).save(tmp_path / "replica.safetensors")
    loaded = agents.load(tmp_path / "replica.safetensors")
    assert loaded.seeds == (11,)
    obs = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    for deterministic in (True, False):
        expected, _ = agent[1].predict(obs, deterministic=deterministic)
        np.testing.assert_array_equal(loaded[0].predict(obs, deterministic=deterministic)[0], expected)


class Aim(gym.Env):
    """One step, whose reward is minus the distance to 0.5, or to -0.5 on the test starts."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.target = -0.5 if TEST_SEED <= seed < SELECTION_SEED else 0.5
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), -abs(float(action[0]) - self.target), True, False, {}


@pytest.fixture
def aim():
    gym.register("Aim-v0", Aim)
    yield "Aim-v0"
    gym.registry.pop("Aim-v0")


def test_the_best_is_selected_on_starts_that_no_test_uses(aim):
    agent = PPO(aim, seeds=[5, 6, 7, 8])
    with torch.no_grad():
        agent.policy.mean.head.weight.zero_()
        agent.policy.mean.head.bias[:, 0] = torch.tensor([-0.5, 0.0, 0.4, 0.9])
    best, returns = select_best(agent)
    np.testing.assert_allclose(returns, [-1.0, -0.5, -0.1, -0.4], atol=1e-6)
    assert best == 2
    assert evaluate(agent, aim, range(TEST_SEED, TEST_SEED + 3)).mean(1).argmax() == 0
    with pytest.raises(ValueError, match="came from a function"):
        select_best(PPO(Aim, seeds=2))


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_what_is_not_installed_is_named(missing, tmp_path, monkeypatch):
    replica = PPO(PENDULUM, seeds=1)[0]
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"found no package {missing}, .*balancier\[onnx\]"):
        to_onnx(replica, tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []
