"""What a user gives that cannot be: one line that names it, says what was found and what was expected, at once."""

import dataclasses
import fractions
import re
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from torch import nn

import envs  # noqa: F401  registers the pendulum
import models
from agents import AGENTS, DQN, PPO, SAC, tabular
from agents.common.config import hyperparameter, make_config
from agents.evaluation import evaluate, select_best
from agents.export import to_module
from envs.grid import pendulum_grid
from models import CNN, GRU, MLP, Linear

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"
NAN, INF = float("nan"), float("inf")


def refused(name, call):
    """The call ends in one line that begins with this name."""
    with pytest.raises(ValueError, match=f"^{re.escape(name)}: ") as error:
        call()
    line = str(error.value)
    assert "\n" not in line
    assert "found" in line
    assert "expected" in line
    assert len(line) < 700


FIELDS = [(agent, field.name) for agent, kind in AGENTS.items() for field in dataclasses.fields(kind.Config)]
NEVER = [
    "1", "", b"12", NAN, INF, -INF, 1j, 1 + 0j, [[0.5, 0.5]], [], {}, {0.5, 0.6}, object(), print, 10**400, -(10**400),
    1e300, range(2), fractions.Fraction(1, 2), np.full(3, 0.5), np.full((2, 2), 0.5), [True, False], ["a", "b"],
    [0.5, NAN], [None, None],
]  # fmt: skip


@pytest.mark.parametrize(("agent", "name"), FIELDS)
def test_every_hyper_parameter_refuses_what_it_cannot_be(agent, name):
    kind = AGENTS[agent].Config
    optional, per_seed, bound = hyperparameter(kind, name)
    switch, whole = bound.words == "True or False", "whole" in bound.words
    never = [*NEVER, *([] if optional else [None]), *([0, 1, 0.5, "no", "True"] if switch else [True, np.bool_(True)])]
    never += [] if per_seed else [[0.5, 0.5]]
    never += [0.5, 1.0, -1] if whole else [] if name == "log_std_init" else [-1]
    for value in never:
        refused(name, lambda value=value: make_config(kind, 2, {name: value}))


@pytest.mark.parametrize(("agent", "name"), FIELDS)
def test_numbers_of_numpy_are_taken_as_pythons(agent, name):
    kind = AGENTS[agent].Config
    _, per_seed, bound = hyperparameter(kind, name)
    value = True if bound.holds(True) else 1
    several = [[np.float32(1)] * 2, (1, 1), torch.ones(2), np.ones(2, np.int64)] if per_seed else []
    for given in (np.array(value)[()], np.array(value), *several):
        found = getattr(make_config(kind, 2, {name: given}), name)
        assert found == value or list(found) == [1, 1]
        assert not isinstance(found, np.generic | np.ndarray)


GRU4 = partial(GRU, hidden_size=4)


@pytest.mark.parametrize(("name", "kind", "more"), [
    ("buffer_size", SAC, {"buffer_size": 3, "num_envs": 4}),
    ("buffer_size", SAC, {"buffer_size": 3, "n_step": 4}),
    ("buffer_size", SAC, {"buffer_size": 15, "network": GRU4}),
    ("buffer_size", SAC, {"buffer_size": 63, "network": GRU4, "num_envs": 4, "sequence_length": 16}),
    ("buffer_size", SAC, {"buffer_size": 2**52}),
    ("batch_size", SAC, {"batch_size": 2**52}),
    ("num_steps", PPO, {"num_steps": 2**52}),
    ("num_envs", PPO, {"num_envs": 10**9}),
    ("num_epochs", PPO, {"num_epochs": 10**9}),
    ("sequence_length", PPO, {"num_steps": 16, "network": GRU4, "sequence_length": 5}),
    ("sequence_length", PPO, {"num_steps": 16, "network": GRU4, "sequence_length": 16, "batch_size": 8}),
    ("env_kwargs", PPO, {"env_kwargs": [("length", 1)]}),
    ("max_episode_steps", PPO, {"env_kwargs": {"max_episode_steps": 1.5}}),
    ("max_episode_steps", PPO, {"env_kwargs": {"max_episode_steps": -5}}),
    ("length", PPO, {"env_kwargs": {"length": 1e300}}),
])  # fmt: skip
def test_what_does_not_fit_together_is_refused(name, kind, more):
    refused(name, lambda: kind(PENDULUM, **({"seeds": 2} | more)))


@pytest.mark.parametrize("seeds", [
    True, 0, -1, [], (), [1, 1], [-1], [0.5], [True], 1.5, 1.0, 10**12, 10**400, "10", "", b"12", None, {}, {1, 2}, NAN,
    np.array([0.5]), np.array([[1, 2]]), np.array([1, 1]), [2**64], [None], ["1"], iter([1]), np.bool_(True),
])  # fmt: skip
def test_seeds_are_a_number_or_different_whole_numbers(seeds):
    refused("seeds", lambda: PPO(PENDULUM, seeds=seeds))
    assert models.resolve_seeds(np.array([3, 1])) == models.resolve_seeds(torch.tensor([3, 1])) == (3, 1)
    assert models.resolve_seeds(np.int64(2)) == models.resolve_seeds(range(2)) == (0, 1)


@pytest.fixture(scope="module")
def agent():
    return PPO(PENDULUM, seeds=[3, 8], num_steps=16, batch_size=16)


@pytest.mark.parametrize("steps", [-5, -1, 1.5, NAN, INF, True, "10", None, [1], 1j, 10**400, np.array([3])])
def test_learn_takes_whole_numbers_alone(steps, agent):
    before = agent.num_timesteps
    refused("total_timesteps", lambda: agent.learn(steps))
    assert agent.num_timesteps == before


@pytest.mark.parametrize(("steps", "expected"), [(0, 0), (2, 2), (np.int8(2), 2), (np.uint64(2), 2), (2e0, 2)])
def test_learn_takes_any_whole_number(steps, expected, agent):
    before = agent.num_timesteps
    assert agent.learn(steps).num_timesteps == before + expected
    assert type(agent.num_timesteps) is int


class Narrow(nn.Module):
    """A network that says another width than it has."""

    out_features = 5

    def __init__(self, in_features, seeds):
        super().__init__()
        self.layer = Linear(in_features, 3, seeds=seeds)

    def forward(self, x):
        return self.layer(x)


class Silent(Narrow):
    out_features = None  # type: ignore[assignment]


class Broken(Narrow):
    def forward(self, x):
        raise RuntimeError("two\nlines")


@pytest.mark.parametrize("network", [
    "mlp", "", 0, False, [], {}, dict, nn.Linear, nn.Identity, MLP(3, (4,)), lambda i, seeds: None, lambda i: MLP(i),
    lambda: 1, Narrow, Silent, Broken, partial(MLP, hiden=(3,)), GRU, lambda i, seeds: MLP(i, (4,), seeds=5),
])  # fmt: skip
@pytest.mark.parametrize(("kind", "env"), [(PPO, PENDULUM), (SAC, PENDULUM), (DQN, DISCRETE)])
def test_what_makes_no_network_is_refused(kind, env, network):
    refused("network", lambda: kind(env, seeds=2, network=network))


@pytest.mark.parametrize(("name", "network"), [
    ("hidden", partial(MLP, hidden=(0,))), ("hidden", partial(MLP, hidden=64)), ("hidden", partial(MLP, hidden="64")),
    ("activation", partial(MLP, activation="swish")), ("in_shape", CNN), ("hidden_size", partial(GRU, hidden_size=0)),
    ("network", partial(MLP, hidden=(10**6, 10**6))),
])  # fmt: skip
def test_a_network_of_the_zoo_names_its_keyword(name, network):
    refused(name, lambda: PPO(PENDULUM, seeds=2, network=network))


@pytest.mark.parametrize("env", [
    None, "", " ", 3, [], "Nowhere-v0", "CartPole", "CartPole-v9", "CartPole-v1 ", ":", ":CartPole-v1", "math:",
    "nomodule:CartPole-v1", "a:b:c", "x" * 300, "\0", b"CartPole-v1", gym.Env,
])  # fmt: skip
def test_what_is_no_environment_is_refused(env):
    refused("env", lambda: PPO(env, seeds=1))
    if isinstance(env, str | None):
        refused("env", lambda: evaluate(PPO(PENDULUM, seeds=1, num_steps=8), env, [1]))  # type: ignore[arg-type]


class Room(gym.Env):
    """Any observation space."""

    action_space = Discrete(2)

    def __init__(self, space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}


SPACES = {
    "box": Box(-1, 1, (3,)),
    "float64": Box(-1, 1, (3,), np.float64),
    "scalar": Box(-1, 1, ()),
    "image": Box(0, 255, (3, 8, 8), np.uint8),
    "discrete": Discrete(4, start=2),
    "multidiscrete": MultiDiscrete([3, 4]),
    "binary": MultiBinary(3),
}


@pytest.mark.parametrize("space", SPACES)
def test_observations_that_cannot_be_are_refused(space):
    made = PPO(partial(Room, SPACES[space]), seeds=2, num_steps=8, batch_size=8)
    shape, start = SPACES[space].shape, 2.0 if space == "discrete" else 0.0
    assert made[0].predict(np.full((4, *shape), start))[0].shape == (4,)
    outside = [99, -7, 0.5] if space in ("discrete", "multidiscrete", "binary") else []
    for value in [NAN, INF, -INF, 1e300, 1j, *outside, *([-7, 0.5] if space == "image" else [])]:
        obs = np.full((2, 4, *shape), start, complex if value == 1j else float)
        obs[-1, -1] = value
        refused("obs", lambda obs=obs: made.predict(obs))
        refused("obs", lambda obs=obs: made[1].predict(obs[1]))
        refused("obs", lambda obs=obs: made[1].predict(obs[1, 3]))
    for value in [None, "a", [], {}, ["a"], object(), [[1], [1, 2]], np.zeros((2,) * 9), torch.tensor([1j])]:
        refused("obs", lambda value=value: made.predict(value))


@pytest.mark.parametrize("network", [MLP, GRU4])
def test_states_that_cannot_be_are_refused(network):
    made, obs = PPO(PENDULUM, seeds=2, num_steps=16, batch_size=16, network=network), np.zeros((2, 3, 3))
    size = made.encoder.state_size
    wrong = ["a", 1.5, np.zeros((3, 2)), np.zeros((2, 3, size + 1)), np.full((2, 3, size or 1), NAN), {}, 1j]
    for value in wrong:
        refused("state", lambda value=value: made.predict(obs, value))
        refused("state", lambda value=value: made[0].predict(obs[0], value))
        refused("episode_start", lambda value=value: made.predict(obs, None, value))
        refused("episode_start", lambda value=value: made[0].predict(obs[0], None, value))
    for value in ("no", None, 1, NAN):
        refused("deterministic", lambda value=value: made.predict(obs, deterministic=value))
    made.predict(obs, np.zeros((2, 3, size)), np.zeros((2, 3), bool), deterministic=np.bool_(False))


@pytest.mark.parametrize("index", [1.5, "0", None, slice(0, 1), True, [0], NAN, (0,)])
def test_an_index_is_a_whole_number(index, agent):
    refused("index", lambda: agent[index])
    refused("index", lambda: agent.extract(index))
    assert (agent[-1].seed, agent[np.int64(0)].seed) == (8, 3)
    with pytest.raises(IndexError, match="^index: found 2, expected -2 to 1$"):
        agent[2]


@pytest.mark.parametrize("starts", [[], 3, None, "12", [-1], [1.5], ["a"], [True], [2**32], {}, range(0)])
def test_starts_are_seeds_of_reset(starts, agent):
    refused("starts", lambda: evaluate(agent, PENDULUM, starts))
    refused("starts", lambda: select_best(agent, starts))


def test_what_does_not_predict_is_not_evaluated(agent):
    class Model:
        def __init__(self, answer):
            self.answer = answer

        def predict(self, *_, **__):
            return self.answer

    for model in (None, 3, "ppo", PPO, agent.policy, [agent]):
        refused("model", lambda model=model: evaluate(model, PENDULUM, [1]))
        refused("agent", lambda model=model: select_best(model, [1]))
        refused("replica", lambda model=model: to_module(model))
    for answer in (None, 3, ("a", None), (np.zeros(7), None), (np.zeros((1, 1)),)):
        refused("model", lambda answer=answer: evaluate(Model(answer), PENDULUM, [1]))
    for steps in (0, -1, 1.5, True, "a"):
        refused("max_steps", lambda steps=steps: evaluate(agent, PENDULUM, [1], max_steps=steps))


PROCESS, EVEN = pendulum_grid(4, 3, 2).process, np.ones(12)


@pytest.mark.parametrize(("name", "values"), [
    ("learning_rate", (-1, 2, NAN, "a", None, [0.1, 0.2, 0.3])), ("decay", (-1, NAN)), ("gamma", (-1, 2, NAN)),
    ("epsilon", (2, np.array([0.1, NAN]))), ("num_envs", (0, 1.5, True, 10**9)), ("num_steps", (0, "a")),
    ("seeds", ([], 3, None, [1.5], [-1], "12")), ("starts", (None, 3, EVEN[:3], -EVEN, EVEN * 0, EVEN * NAN)),
    ("process", (None, 3, (1, 2), PROCESS[:2], (PROCESS[0] * NAN, *PROCESS[1:]), (*PROCESS[:2], 2 * PROCESS[2]),
                 (PROCESS[0], PROCESS[1] + 99, PROCESS[2]))),
])  # fmt: skip
def test_a_table_is_learned_from_what_can_be(name, values):
    for value in values:
        keywords = {"process": PROCESS, "starts": EVEN, "seeds": [1, 2]} | {name: value}
        refused(name, lambda keywords=keywords: next(tabular.q_learning(**keywords)))
        if name == "process":
            refused(name, lambda value=value: next(tabular.value_iteration(value, 0.9)))
    for tolerance in (0, -1, NAN, "a"):
        refused("tolerance", lambda tolerance=tolerance: next(tabular.value_iteration(PROCESS, 0.9, tolerance)))
