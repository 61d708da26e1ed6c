"""The file of a policy alone acts as the agent that saved it, and says that it can do nothing else; notes in a file."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch

import agents
from agents import AGENTS, DQN, PPO
from agents.common import checkpoint
from agents.evaluation import evaluate, select_best
from agents.export import to_module
from agents.sb3 import FILES, to_sb3
from models import GRU, MLP

PENDULUM = dict.fromkeys(AGENTS, "envs:balancier/Pendulum-v0") | {"dqn": "envs:balancier/PendulumDiscrete-v0"}
REPLAY = {"learning_starts": 8, "batch_size": 4, "buffer_size": 50}
LONG = {"num_envs": 2, "num_steps": 8}
SETTINGS = {name: LONG if hasattr(AGENTS[name].Config, "num_steps") else REPLAY for name in AGENTS}
MORE = {
    "plain": {"network": partial(MLP, hidden=(8,))},
    "normalized": {"network": partial(MLP, hidden=(8,)), "normalize_obs": True, "normalize_reward": True},
    "recurrent": {"network": partial(GRU, hidden_size=5), "normalize_obs": True},
}


def trained(name, more="plain", steps=40):
    return AGENTS[name](PENDULUM[name], seeds=[3, 11], **SETTINGS[name], **MORE[more]).learn(steps)


def kept(agent, path):
    agent.save(path, policy_only=True)
    return agents.load(path)


def predictions(agent):
    """Two actions that are the most likely ones and two that are drawn, the second ones after a memory of the first."""
    obs, actions = np.random.default_rng(0).normal(size=(2, len(agent), 7, 3)).astype(np.float32), []
    for deterministic in (True, False):
        first, state = agent.predict(obs[0], deterministic=deterministic)
        second, _ = agent.predict(obs[1], state, np.zeros((len(agent), 7)), deterministic=deterministic)
        actions += [first, second]
    return np.stack(actions)


@pytest.mark.parametrize("more", MORE)
@pytest.mark.parametrize("name", AGENTS)
def test_it_acts_as_the_agent_that_saved_it(name, more, tmp_path):
    agent = trained(name, more)
    alone = kept(agent, tmp_path / "policy")
    agent = copy.deepcopy(agent)  # whose number of predictions is that of a new agent
    copies = [copy.deepcopy(alone), pickle.loads(pickle.dumps(alone)), kept(alone, tmp_path / "again")]
    expected, single = predictions(agent), predictions(agent.extract(1))
    assert len(np.unique(expected)) > 2
    for each in (alone, *copies):
        np.testing.assert_array_equal(predictions(each), expected)
        assert (each.num_timesteps, each.seeds, each.config) == (agent.num_timesteps, agent.seeds, agent.config)
        np.testing.assert_array_equal(predictions(each.extract(1)), single)


def test_it_is_small_and_needs_no_replay_buffer(tmp_path):
    agent = DQN(PENDULUM["dqn"], seeds=2, buffer_size=1_000_000, num_envs=3, network=partial(MLP, hidden=(8,)))
    alone = kept(agent, tmp_path / "policy")
    arrays, meta = checkpoint.load(tmp_path / "policy")
    assert {name.partition(".")[0] for name in arrays} == {"policy", "num_timesteps"}
    assert meta["policy_only"] is True
    assert (alone.replay.capacity, alone.vec_env.shape) == (1, (2, 1))
    assert alone.config.buffer_size == 1_000_000


@pytest.mark.parametrize(("act", "words"), [
    (lambda agent, path: agent.learn(8), "learn: found a policy alone, which was saved with policy_only=True, exp"),
    (lambda agent, path: agent.extract(0).learn(8), "learn: found a policy alone"),
    (lambda agent, path: copy.deepcopy(agent).learn(8), "learn: found a policy alone"),
    (lambda agent, path: pickle.loads(pickle.dumps(agent)).learn(8), "learn: found a policy alone"),
    (lambda agent, path: agent.save(path), "save: found a policy alone, .* expected save.path, policy_only=True."),
    (lambda agent, path: trained("ppo").set_state(agent.get_state()), "state: found no array 'critic"),
    (lambda agent, path: agent.set_state(trained("ppo").get_state()), "state: found an unknown array 'critic"),
])  # fmt: skip
def test_what_it_cannot_do_is_said_in_one_line(act, words, tmp_path):
    alone = kept(trained("ppo"), tmp_path / "policy")
    with pytest.raises(ValueError, match=words) as error:
        act(alone, tmp_path / "whole")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "whole").exists()


def test_it_is_evaluated_and_exported(tmp_path):
    agent = trained("ppo", "normalized")
    alone, starts = kept(agent, tmp_path / "policy"), range(3)
    expected = evaluate(agent, PENDULUM["ppo"], starts)
    np.testing.assert_array_equal(evaluate(alone, PENDULUM["ppo"], starts), expected)
    assert select_best(alone, starts)[0] == expected.mean(1).argmax()
    obs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(to_module(alone[1])(torch.tensor(obs)).detach(), agent[1].predict(obs)[0])


@pytest.mark.parametrize("name", [name.lower() for name in FILES])
def test_it_becomes_a_model_of_sb3_that_acts_the_same(name, tmp_path):
    agent, small = trained(name), {} if name in ("ppo", "a2c") else {"buffer_size": 50}
    alone = kept(agent, tmp_path / "policy")
    with pytest.warns(UserWarning, match="to_sb3: found a policy alone"):
        model = to_sb3(alone[1], **small)
    obs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found, _ = model.predict(obs, deterministic=True)
    np.testing.assert_array_equal(found, to_sb3(agent[1], **small).predict(obs, deterministic=True)[0])


NOTES = {"curve": [[0, -1200.5], [100, None]], "command": "balancier train", "Zoë": {"empty": {}}}


@pytest.mark.parametrize("policy_only", [False, True])
def test_notes_are_kept_in_the_file(policy_only, tmp_path):
    agent = PPO("CartPole-v1", seeds=1, num_steps=8)
    agent.save(tmp_path / "agent", policy_only=policy_only, notes=NOTES)
    assert checkpoint.load(tmp_path / "agent")[1]["notes"] == NOTES
    assert agents.load(tmp_path / "agent").policy_only == policy_only


@pytest.mark.parametrize("notes", [{"agent": object()}, {(1, 2): 3}, {"array": np.zeros(2)}, [1], "text"])
def test_notes_that_json_cannot_hold_are_refused(notes, tmp_path):
    with pytest.raises(ValueError, match="^notes: found .*, expected ") as error:
        PPO("CartPole-v1", seeds=1, num_steps=8).save(tmp_path / "agent", notes=notes)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
