"""Agents on another device, which is made up here: its tensors compute on the CPU, and refuse those of the CPU.

An agent there must do what it does on the CPU, bit for bit; a tensor that is made in the wrong place is an error.
"""

import copy
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from torch import Tensor
from torch.utils._device import DeviceContext, _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode

import agents
from agents import A2C, DQN, PPO, REINFORCE, SAC, TD3
from agents.common import devices
from agents.export import to_module
from agents.sb3 import to_sb3
from models import CNN, GRU, MLP

CPU, OTHER = torch.device("cpu"), torch.device("meta")  # a device that every PyTorch knows, without numbers
ACROSS = {torch.ops.aten.copy_.default}  # operations between devices
NONE = "PyTorch sees no CUDA device here"


class Elsewhere(Tensor):
    """A tensor of the other device; its numbers are in `inner`, on the CPU. It does what a GPU's tensor does."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        made = Tensor._make_wrapper_subclass(cls, inner.shape, device=OTHER, **layout)
        made.inner = inner.detach()
        return made

    @property
    def data(self):
        return Elsewhere(self.inner)

    @data.setter
    def data(self, new):
        assert isinstance(new, Elsewhere)
        self.inner = new.inner

    def __deepcopy__(self, memo):
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        copied._is_param = getattr(self, "_is_param", False)
        return memo.setdefault(id(self), copied)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is Tensor.numpy:
            assert kwargs.get("force"), "a GPU's tensor has no numpy()"
            return args[0].inner.numpy().copy()
        if func in (Tensor.data_ptr, Tensor.tolist):
            return func(args[0].inner)
        if func is Tensor.is_shared:
            return True  # as PyTorch says of a GPU's
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func}: there is no such device without its machine")


def map_tensors(function, tree):
    """The same lists and tuples with `function` of each tensor."""
    if isinstance(tree, list | tuple):
        return type(tree)(map_tensors(function, part) for part in tree)
    return function(tree) if isinstance(tree, Tensor) else tree


def inside(x):
    return x.inner if isinstance(x, Elsewhere) else x


class Operations(TorchDispatchMode):
    """What the other device does with its tensors; all others are the CPU's."""

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # otherwise PyTorch loads its compiler

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = []
        map_tensors(given.append, [args, *kwargs.values()])
        known = {id(x.inner): x for x in given if isinstance(x, Elsewhere)}
        device = kwargs.get("device") or (OTHER if known else CPU)
        if func in ACROSS:
            device = args[0].device
        else:
            foreign = [x for x in given if x.device != OTHER and x.dim()]
            assert not known or not foreign, f"{func} of tensors of two devices"
        if device == CPU and not known:
            return func(*args, **kwargs)
        named = {name: map_tensors(inside, value) for name, value in kwargs.items()}
        result = func(*map_tensors(inside, args), **named | ({"device": CPU} if "device" in kwargs else {}))
        if device == CPU:
            return args[0] if func in ACROSS else result
        # Of operations in place the given tensor, else a new one.
        return map_tensors(lambda x: known[id(x)] if id(x) in known else Elsewhere(x), result)


def made_there(context, func, types, args=(), kwargs=None):
    """In PyTorch's context of the other device, new tensors are made there, with their numbers."""
    kwargs = dict(kwargs or {})
    if func in _device_constructors() and (kwargs.pop("device", None) or OTHER) == OTHER:
        return Elsewhere(func(*map_tensors(inside, args), device=CPU, **kwargs))
    return func(*args, **kwargs)


@pytest.fixture
def other(monkeypatch):
    """A machine that has the other device."""
    find = devices.find_device
    for module in devices, agents.common.agent:
        monkeypatch.setattr(module, "find_device", lambda x: OTHER if x in ("other", OTHER) else find(x))
    monkeypatch.setattr(DeviceContext, "__torch_function__", made_there)
    with Operations():
        yield


class Steps(gym.Env):
    """Counts up and ends after ten steps; what it makes must be on the CPU."""

    action_space = MultiDiscrete([2, 3])

    def __init__(self, observation_space=None):
        self.observation_space = observation_space or Box(-20, 20, (3,), np.float32)

    def observe(self):
        assert torch.zeros(1).is_cpu
        space = self.observation_space
        return self.t % 3 if isinstance(space, Discrete) else np.full(space.shape, self.t, space.dtype)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        return self.observe(), float(action[0]), self.t == 10, False, {}


GRU8, CNN4 = partial(GRU, hidden_size=8), partial(CNN, channels=(4,), hidden=8)
SMALL = {"buffer_size": 100, "learning_starts": 20, "batch_size": 8}
ALL_SWITCHES = {"double": True, "dueling": True, "prioritized": True, "n_step": 2, "target_every": 7}
CASES = {
    "ppo": (PPO, "CartPole-v1", {"num_steps": 16, "batch_size": 8, "num_epochs": 2, "num_envs": 2}),
    "ppo normalized": (PPO, Steps, {"num_steps": 16, "normalize_obs": True, "normalize_reward": True}),
    "ppo one-hot": (PPO, partial(Steps, Discrete(3)), {"num_steps": 16, "anneal_steps": 50, "entropy_weight": 0.01}),
    "ppo gru": (PPO, "Pendulum-v1", {"num_steps": 16, "batch_size": 8, "num_epochs": 1, "network": GRU8}),
    "ppo cnn": (PPO, partial(Steps, Box(0, 255, (1, 8, 8), np.uint8)), {"num_steps": 16, "network": CNN4}),
    "a2c": (A2C, "Pendulum-v1", {"learning_rate": [1e-3, 2e-3]}),
    "reinforce": (REINFORCE, "CartPole-v1", {"num_envs": 2, "num_steps": 16}),
    "dqn": (DQN, "CartPole-v1", SMALL),
    "dqn with all switches": (DQN, "CartPole-v1", SMALL | ALL_SWITCHES),
    "dqn gru": (DQN, "CartPole-v1", SMALL | {"network": GRU8, "n_step": 2, "sequence_length": 3}),
    "sac": (SAC, "Pendulum-v1", SMALL | {"num_updates": 2, "noise_every": 2}),
    "td3": (TD3, "Pendulum-v1", SMALL | {"num_envs": 2}),
}  # fmt: skip


def make(case, **keywords):
    kind, env, given = CASES[case]
    return kind(env, **{"seeds": 2, "network": partial(MLP, hidden=(8,))} | given | keywords)


def assert_same(one, other):
    ours, theirs = one.get_state(), other.get_state()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], name)


def assert_there(agent):
    """All that learns and is learned from is on the other device, and so is what the agent acts on."""
    tensors = {**agent.state_dict(), **agent.losses, "gamma": agent.gamma}
    assert {name: x.device for name, x in tensors.items()} == dict.fromkeys(tensors, OTHER)
    assert agent.device == OTHER


@pytest.mark.parametrize("case", CASES)
def test_an_agent_learns_and_acts_there_as_on_the_cpu(case, other):
    here, there = make(case), make(case, device="other")
    assert (here.device, there.device) == (CPU, OTHER)
    assert_there(there)
    for agent in here, there:
        agent.learn(70, lambda agent: torch.zeros(1).is_cpu)  # longer than a block of noise
        assert agent.num_timesteps >= 70
    assert_there(there)
    assert there.losses
    assert_same(here, there)
    for name, values in here.metrics.items():
        np.testing.assert_array_equal(values, there.metrics[name])
    obs = np.stack([here.observation_space.sample() for _ in range(6)]).reshape(2, 3, *here.observation_space.shape)
    for deterministic in True, False:
        (ours, state), (theirs, their_state) = (x.predict(obs, deterministic=deterministic) for x in (here, there))
        np.testing.assert_array_equal(ours, theirs)
        if state is not None:
            np.testing.assert_array_equal(state, their_state)
            ours, theirs = (x[1].predict(obs[1], state[1], np.array([0, 1, 0])) for x in (here, there))
            np.testing.assert_array_equal(ours[1], theirs[1])


@pytest.mark.parametrize("case", ["ppo gru", "dqn with all switches", "sac"])
def test_an_agent_moves_between_devices_by_its_file_and_its_copies_stay(case, other, tmp_path):
    there = make(case, device="other").learn(32)
    there.save(tmp_path / "agent")
    here, again = (agents.load(tmp_path / "agent", device=device) for device in ("cpu", "other"))
    copied = copy.deepcopy(there)
    for agent in there, again, copied:
        assert_there(agent)
    assert here.obs.device.type == "cpu"
    for agent in there, here, again, copied:
        assert_same(agent.learn(16), there)
    extracted = there.extract(1).learn(4)
    assert_there(extracted)
    there.save(tmp_path / "policy", policy_only=True)
    there.predict(obs := np.zeros((2, 1, *there.observation_space.shape), np.float32))
    policy = type(there).load(tmp_path / "policy", device="other")
    np.testing.assert_array_equal(policy.predict(obs)[0], there.predict(obs)[0])


def test_environments_that_cannot_be_brought_back_begin_anew_there_too(other):
    class Forgetful(Steps):
        episodes = 0

        def reset(self, *, seed=None, options=None):
            Forgetful.episodes += 1
            super().reset()
            self.t = Forgetful.episodes % 7
            return self.observe(), {}

        def step(self, action):
            obs, reward, _, _, _ = super().step(action)
            return obs, reward, self.t >= 10, False, {}

    agent = PPO(Forgetful, seeds=2, num_steps=8, network=GRU8, normalize_reward=True, device="other")
    agent.learn(13)
    with pytest.warns(UserWarning, match="begin a new episode"):
        agent.set_state(agent.get_state())
    assert_there(agent.learn(8))


def test_a_seed_that_diverges_stops_alone_there_too(other):
    found = []
    for device in "cpu", "other":
        agent = A2C("Pendulum-v1", seeds=3, learning_rate=[1e-3, 1e30, 1e-3], num_steps=8, device=device)
        with pytest.warns(UserWarning, match="stopped seed 1"):
            agent.learn(40)
        found.append(agent)
        assert np.isnan(agent.metrics["diverged"]).tolist() == [True, False, True]
    assert_there(agent)
    assert_same(*found)


def test_what_is_made_of_one_seed_is_on_the_cpu(other):
    agent = PPO("Pendulum-v1", seeds=2, num_steps=8, batch_size=8, device="other").learn(8)
    obs = np.array([[0.3, 0.1, -2.0]], np.float32)
    action = agent[1].predict(obs)[0]
    np.testing.assert_array_equal(to_module(agent[1])(torch.tensor(obs)).detach().numpy(), action)
    np.testing.assert_allclose(to_sb3(agent[1]).predict(obs, deterministic=True)[0], action, atol=1e-5)


def test_the_cpu_is_where_agents_are_if_nothing_is_said():
    agent = PPO("CartPole-v1", seeds=2, num_steps=8, batch_size=8)
    assert agent.device == CPU
    assert not {"act", "normalize", "observe"} & vars(agent).keys()  # which then cost nothing
    assert_same(agent.learn(20), PPO("CartPole-v1", seeds=2, num_steps=8, batch_size=8, device="cpu").learn(20))


@pytest.mark.parametrize(("device", "expected"), [
    ("cuda", f"device: found cuda, expected cpu: {NONE}"),
    (torch.device("cuda", 1), f"device: found cuda:1, expected cpu: {NONE}"),
    ("mps", "device: found mps, expected cpu"),
    ("gpu", "device: found 'gpu', expected cpu, cuda or auto"),
    (None, "device: found None, expected cpu, cuda or auto"),
])  # fmt: skip
def test_a_device_that_is_not_there_is_refused_before_anything_is_made(device, expected, monkeypatch, tmp_path):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    A2C("CartPole-v1", seeds=1).save(tmp_path / "agent")
    monkeypatch.setattr("agents.common.agent.VecEnv", None)
    for use in partial(A2C, "CartPole-v1", device=device), partial(agents.load, tmp_path / "agent", device=device):
        with pytest.raises(ValueError) as error:
            use()
        assert str(error.value) == expected


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    for available, found in (False, "cpu"), (True, "cuda"):
        monkeypatch.setattr("torch.cuda.is_available", lambda available=available: available)
        monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
        assert devices.find_device("auto") == torch.device(found)
    assert devices.find_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="^device: found cuda:2, expected cpu or cuda:0 or cuda:1$"):
        devices.find_device("cuda:2")
