"""What people of PyTorch do with an agent: copies, pickles, casts, states; all agents, before and after learning."""

import copy
import dataclasses
import io
import pickle
import subprocess
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils import vector_to_parameters

import envs  # noqa: F401  registers the pendulum
from agents import A2C, DQN, PPO, REINFORCE, SAC, TD3
from agents.common.normalization import RunningMeanStd
from agents.export import to_module
from models import CNN, GRU, LSTM, MLP, fit
from tests.agents.probes import One, maker

SMALL = {"seeds": [3, 11], "network": partial(MLP, hidden=(8,))}
REPLAY = {"learning_starts": 10, "batch_size": 4, "buffer_size": 60}
RECURRENT = {"network": partial(GRU, hidden_size=4), "sequence_length": 4}


class Picture(gym.Env):
    """Images of 8 x 8 points, one of two actions."""

    observation_space = gym.spaces.Box(0, 255, (1, 8, 8), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.integers(256, size=(1, 8, 8), dtype=np.uint8), {}

    def step(self, action):
        self.t += 1
        obs = self.np_random.integers(256, size=(1, 8, 8), dtype=np.uint8)
        return obs, float(action), self.t == 7, False, {}


AGENTS = {
    "ppo": (PPO, "CartPole-v1", {"num_steps": 8, "num_epochs": 2, "batch_size": 4, "num_envs": 2}),
    "a2c": (A2C, "balancier/Pendulum-v0", {"normalize_obs": True, "normalize_reward": True, "anneal_steps": 100}),
    "reinforce": (REINFORCE, Picture, {"num_steps": 8, "num_envs": 1}),
    "dqn": (DQN, "CartPole-v1", REPLAY | {"train_every": 1, "tau": 0.1, "target_every": 2, "normalize_obs": True}),
    "sac": (SAC, "Pendulum-v1", REPLAY | {"num_updates": 2, "learning_rate": [1e-3, 2e-3]}),
    "td3": (TD3, "balancier/Pendulum-v0", REPLAY | {"n_step": 2}),
    "prioritized": (DQN, Picture, REPLAY | {"prioritized": True, "dueling": True, "double": True, "train_every": 1}
                    | {"network": partial(CNN, channels=(2,), hidden=4)}),
    "gru": (PPO, "CartPole-v1", {"num_steps": 8, "num_epochs": 1, "batch_size": 8} | RECURRENT),
    "recurrent sac": (SAC, "Pendulum-v1", REPLAY | RECURRENT | {"network": partial(LSTM, hidden_size=4)}),
}  # fmt: skip


def make(name, steps=0, **more):
    kind, env, settings = AGENTS[name]
    return kind(env, **(SMALL | settings | more)).learn(steps)


def saved_whole(x):
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda agent: pickle.loads(pickle.dumps(agent)),
    "torch.save": saved_whole,
}


def arrays(agent):
    return {name: array.copy() for name, array in agent.get_state().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def storages(agent):
    return {tensor.untyped_storage().data_ptr() for tensor in agent.state_dict().values()}


@pytest.mark.parametrize("steps", [0, 24])
@pytest.mark.parametrize("name", AGENTS)
def test_a_copy_goes_on_bit_for_bit_and_shares_nothing(name, steps):
    agent = make(name, steps)
    before = arrays(agent)
    for way, function in COPIES.items():
        copied = function(agent)
        assert not storages(copied) & storages(agent), way
        assert_same(arrays(copied), before)
        for mine, theirs in zip(copied.metrics.values(), agent.metrics.values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        copied.learn(16)
        assert_same(arrays(agent), before)
        assert copied.losses
        moved = [key for key, value in copied.named_parameters() if not np.array_equal(value.detach(), before[key])]
        assert len(moved) >= len(before) / 10, way
        later = arrays(copied)
    agent.learn(16)
    assert_same(arrays(agent), later)


@pytest.mark.parametrize("name", AGENTS)
def test_random_actions_modes_and_rates_are_copied_too(name):
    agent = make(name, 24)
    obs = np.zeros((2, 3, *agent.vec_env.observation_space.shape), agent.vec_env.observation_space.dtype)
    agent.predict(obs, deterministic=False)
    agent.eval()
    agent.policy.requires_grad_(False)
    next(child for child in agent.children() if hasattr(child, "learning_rate")).learning_rate[:] = [0.5, 0.25]
    copied = copy.deepcopy(agent)
    np.testing.assert_array_equal(copied.predict(obs, None, None, False)[0], agent.predict(obs, None, None, False)[0])
    assert not any(module.training for module in copied.modules())
    assert not any(parameter.requires_grad for parameter in copied.policy.parameters())
    assert next(child for child in copied.children() if hasattr(child, "learning_rate")).learning_rate.tolist() == [
        0.5,
        0.25,
    ]
    copied.train()
    assert all(module.training for module in copied.modules())


@pytest.mark.parametrize("name", AGENTS)
def test_a_copied_replica_learns_with_the_copy_of_its_agent(name):
    agent = make(name, 24)
    obs = np.ones((50, *agent.vec_env.observation_space.shape), agent.vec_env.observation_space.dtype)
    for function in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        replica, before = function(agent[1]), arrays(agent)
        np.testing.assert_array_equal(replica.predict(obs)[0], agent[1].predict(obs)[0])
        replica.agent.learn(16)
        for mine, whole in zip(replica.policy.parameters(), replica.agent.policy.parameters(), strict=True):
            assert torch.equal(mine[0], whole[1])
        assert_same(arrays(agent), before)


@pytest.mark.parametrize("name", AGENTS)
def test_an_exported_module_is_copied_and_pickled(name):
    agent = make(name, 24)
    module = to_module(agent[1])
    space = agent.vec_env.observation_space
    obs = torch.as_tensor(np.stack([space.sample() for _ in range(4)]))
    first = lambda answer: answer[0] if isinstance(answer, tuple) else answer  # noqa: E731
    expected = first(module(obs))
    agent.learn(16)
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), saved_whole(module)):
        assert torch.equal(first(copied(obs)), expected)


@pytest.mark.parametrize("name", AGENTS)
def test_the_state_dict_of_one_agent_goes_into_another(name):
    agent, other = make(name, 24), make(name, 8)
    references = agent.state_dict()
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    for key, value in other.state_dict().items():
        assert torch.equal(value, references[key]), key
    agent.learn(16)  # references follow
    assert all(torch.equal(value, references[key]) for key, value in agent.named_parameters())
    partly = {key: value for key, value in agent.state_dict().items() if key.startswith("policy.")}
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(partly)
    other.load_state_dict(partly, strict=False)
    for mine, theirs in zip(other.policy.parameters(), agent.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    before = {key: value.detach().clone() for key, value in other.named_parameters()}
    other.learn(24)
    assert any(not torch.equal(value, before[key]) for key, value in other.policy.named_parameters("policy"))


CHANGES = {
    "double": (lambda agent: agent.double(), "conversion to torch.float64 on cpu, expected torch.float32"),
    "half": (lambda agent: agent.half(), "conversion to torch.float16"),
    "to": (lambda agent: agent.to(torch.bfloat16), "conversion to torch.bfloat16"),
    "meta": (lambda agent: agent.to("meta"), "conversion to torch.float32 on meta, expected torch.float32 on cpu"),
    "assign": (lambda agent: agent.load_state_dict(agent.state_dict(), assign=True), "found True, expected False"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", AGENTS)
def test_what_an_agent_cannot_become_is_refused_and_changes_nothing(name, change):
    agent = make(name, 24)
    before, (function, words) = arrays(agent), CHANGES[change]
    with pytest.raises(ValueError, match=f"^(agent|assign): .*{words}"):
        function(agent)
    assert_same(arrays(agent), before)


HARMLESS = {
    "float": lambda agent: agent.float(),
    "to cpu": lambda agent: agent.to("cpu", torch.float32),
    "cpu": lambda agent: agent.cpu(),
    "share_memory": lambda agent: agent.share_memory(),
    "zero_grad": lambda agent: agent.zero_grad(),
    "eval": lambda agent: agent.eval(),
    "vector": lambda agent: vector_to_parameters(
        torch.cat([p.detach().reshape(-1) for p in agent.parameters()]), agent.parameters()
    ),
    "new data": lambda agent: [setattr(p, "data", p.data.clone()) for p in agent.parameters()],
}


@pytest.mark.parametrize("change", HARMLESS)
@pytest.mark.parametrize("name", AGENTS)
def test_what_changes_no_value_changes_no_learning(name, change):
    agent, undisturbed = make(name, 24), make(name, 24)
    replica = agent[1]
    HARMLESS[change](agent)
    for one in (agent, undisturbed):
        one.learn(16)
    assert_same(arrays(agent), arrays(undisturbed))
    for mine, whole in zip(replica.policy.parameters(), agent.policy.parameters(), strict=True):
        assert torch.equal(mine[0], whole[1])


@pytest.mark.parametrize("steps", [0, 24])
@pytest.mark.parametrize("name", AGENTS)
def test_clones_of_a_state_go_through_safetensors(name, steps, tmp_path):
    """As docs/stable-baselines3.md says: safetensors takes no tensors with gaps or shared memory."""
    agent, other = make(name, steps), make(name, 8)
    save_file({key: value.contiguous().clone() for key, value in agent.state_dict().items()}, tmp_path / "file")
    other.load_state_dict(load_file(tmp_path / "file"))
    for key, value in other.state_dict().items():
        assert torch.equal(value, agent.state_dict()[key]), key
    save_file(agent[1].policy.state_dict(), tmp_path / "file")  # one seed shares none
    for key, value in load_file(tmp_path / "file").items():
        assert torch.equal(value, agent[1].policy.state_dict()[key])


def new_parameters(module):
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            setattr(part, name, torch.nn.Parameter(parameter.detach().clone()))


def copied_optimizers(agent):
    for name, module in list(agent.named_children()):
        if hasattr(module, "learning_rate"):
            setattr(agent, name, copy.deepcopy(module))


REPLACED = {
    "assign": lambda agent: agent.policy.load_state_dict(copy.deepcopy(agent.policy.state_dict()), assign=True),
    "policy": lambda agent: setattr(agent, "policy", copy.deepcopy(agent.policy)),
    "parameters": lambda agent: new_parameters(agent.policy),
    "optimizers": copied_optimizers,
}


@pytest.mark.parametrize("steps", [0, 24])
@pytest.mark.parametrize("replace", REPLACED)
@pytest.mark.parametrize("name", AGENTS)
def test_what_an_optimizer_does_not_reach_never_learns_in_vain(name, replace, steps):
    agent = make(name, steps)
    REPLACED[replace](agent)
    with pytest.raises(ValueError, match=r"optimizer: found parameters of a copy, or .*, expected the agent's \("):
        agent.learn(24)


@pytest.mark.parametrize("name", AGENTS)
def test_frozen_parameters_are_an_error_after_learning_too(name):
    agent = make(name, 24)
    agent.policy.requires_grad_(False)
    with pytest.raises(RuntimeError, match="not? require grad"):
        agent.learn(24)


def test_another_config_is_noticed_by_a_recorded_update():
    agents = [make("ppo", 24), make("ppo", 24)]
    agents[1].recorded = False
    for agent in agents:
        agent.config = dataclasses.replace(agent.config, entropy_weight=0.5, clip_range=0.01)
        agent.learn(16)
    assert_same(*map(arrays, agents))


def test_a_policy_that_was_fitted_to_examples_learns_on():
    """Behavior cloning, then reinforcement: `fit` borrows the parameters, and gives them back."""
    agent, obs = make("sac", 24), torch.rand(20, 3)
    data = torch.utils.data.TensorDataset(obs, torch.zeros(20, 2))
    before = copy.deepcopy(agent.policy.state_dict())
    fit(agent.policy.mean_and_log_std, data, seeds=2, epochs=2)
    fitted = copy.deepcopy(agent.policy.state_dict())
    assert all(not torch.equal(fitted[key], before[key]) for key in fitted)
    assert torch.equal(agent.policy_optimizer.flat, torch.cat([x.flatten(1) for x in agent.policy.parameters()], 1))
    agent.learn(16)
    assert all(not torch.equal(value, fitted[key]) for key, value in agent.policy.state_dict().items())


def test_targets_follow_whatever_happens_to_their_memory():
    agent = make("td3", 24)
    for module in (agent.target_critics, agent.target_policy):
        for parameter in module.parameters():
            parameter.data = torch.zeros_like(parameter)
    agent.learn(8)
    assert all((parameter != 0).any() for parameter in agent.target_critics.parameters())
    assert all((parameter != 0).any() for parameter in agent.target_policy.parameters())


def test_running_statistics_are_copied():
    statistics = RunningMeanStd(2, 3)
    statistics.update(torch.randn(2, 5, 3))
    x = torch.randn(2, 4, 3)
    for copied in (copy.deepcopy(statistics), pickle.loads(pickle.dumps(statistics)), saved_whole(statistics)):
        assert torch.equal(copied.standardize(x), statistics.standardize(x))
        copied.update(x)
        assert not torch.equal(copied.mean, statistics.mean)


def test_a_function_that_pickle_cannot_find_is_named():
    agent = PPO(lambda: gym.make("CartPole-v1"), num_steps=8, **SMALL).learn(16)
    with pytest.raises(ValueError, match=r"^env: found what pickle cannot hold \(.*lambda.*\), expected an id, or a"):
        pickle.dumps(agent)
    copied = copy.deepcopy(agent)  # which needs no name
    copied.learn(16)
    agent.learn(16)
    assert_same(arrays(copied), arrays(agent))
    agent = PPO("CartPole-v1", seeds=1, network=lambda in_features, seeds: MLP(in_features, (4,), seeds=seeds))
    with pytest.raises(ValueError, match=r"^network: found what pickle cannot hold"):
        pickle.dumps(agent)
    assert pickle.loads(pickle.dumps(PPO(maker(One, "discrete"), num_steps=8, **SMALL).learn(8))).num_timesteps == 8


def test_a_copy_needs_the_default_type_of_its_agent():
    pickled = pickle.dumps(make("ppo"))
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(
            ValueError, match="^agent: found numbers of torch.float32, expected the default dtype, torch.fl"
        ):
            pickle.loads(pickled)
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_pickle_goes_on_in_a_new_process(tmp_path):
    agent = make("td3", 24)
    obs = np.ones((2, 5, 3), np.float32)
    (tmp_path / "pickle").write_bytes(pickle.dumps((agent, obs)))
    code = "import pickle, sys; agent, x = pickle.load(open(sys.argv[1], 'rb')); y = agent.learn(16).predict(x)[0]"
    command = [sys.executable, "-c", f"{code}; print(y.sum())", str(tmp_path / "pickle")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(agent.learn(16).predict(obs)[0].sum())
