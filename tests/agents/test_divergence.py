"""A seed that diverges stops alone: the others stay what they would have been, to the bit."""

import copy
import warnings
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, MultiDiscrete

import agents
import envs  # noqa: F401  registers the pendulum
from agents import A2C, AGENTS, DQN, PPO, REINFORCE, SAC, TD3
from agents.common.guard import learned
from models import CNN, GRU, MLP, CategoricalPolicy

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"
REPLAY = {"learning_starts": 20, "batch_size": 8, "train_every": 1, "buffer_size": 500}
STOPPED = "stopped seed 2 at step .* expected finite ones; lower learning_rate.*; the others go on"


class Several(gym.Env):
    """Choices with different numbers of actions, episodes of 11 steps; an action outside of its space is an error."""

    observation_space, action_space = Box(-1, 1, (3,), np.float32), MultiDiscrete([2, 5])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.t += 1
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), float(action.sum()), self.t == 11, False, {}


class Images(Several):
    observation_space, action_space = Box(0, 255, (1, 8, 8), np.uint8), gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.integers(0, 256, (1, 8, 8), np.uint8), {}

    def step(self, action):
        _, reward, *rest = super().step(np.int64(action))
        return self.np_random.integers(0, 256, (1, 8, 8), np.uint8), reward, *rest


REFINED = {"double": True, "dueling": True, "prioritized": True, "n_step": 3}
SMALL_GRU, SMALL_CNN = partial(GRU, hidden_size=4), partial(CNN, channels=(4,), hidden=8)
# Agent, environment, hyper-parameters, and steps after which it has learned and before which it is poisoned.
RUNS: dict[str, tuple[type[agents.Agent], Any, dict[str, Any], int]] = {
    "ppo": (PPO, "CartPole-v1", {"num_steps": 16, "num_epochs": 2, "batch_size": 8}, 48),
    "ppo of numbers": (PPO, PENDULUM, {"num_steps": 16, "num_envs": 2, "normalize_reward": True}, 64),
    "ppo of choices": (PPO, Several, {"num_steps": 16, "num_epochs": 2, "normalize_obs": True}, 48),
    "ppo recurrent": (PPO, "CartPole-v1", {"num_steps": 16, "network": SMALL_GRU}, 48),
    "ppo cnn": (PPO, Images, {"num_steps": 16, "num_epochs": 2, "network": SMALL_CNN}, 48),
    "a2c": (A2C, "CartPole-v1", {}, 48),
    "reinforce": (REINFORCE, "CartPole-v1", {"num_steps": 32, "num_envs": 2}, 128),
    "dqn": (DQN, DISCRETE, REPLAY, 48),
    "dqn refined": (DQN, DISCRETE, REPLAY | REFINED, 48),
    "dqn recurrent": (DQN, DISCRETE, REPLAY | {"network": SMALL_GRU, "learning_starts": 30}, 48),
    "sac": (SAC, PENDULUM, REPLAY, 48),
    "sac recurrent": (SAC, PENDULUM, REPLAY | {"network": SMALL_GRU, "learning_starts": 30}, 48),
    "td3": (TD3, PENDULUM, REPLAY | {"num_envs": 2}, 64),
}


def of_seeds(agent, seeds):
    """The state of some seeds: the first axis is S, or 2 S of twins, or S N of environments."""
    state = {name: x for name, x in agent.get_state().items() if name not in ("diverged", "num_timesteps")}
    state = {name: x for name, x in state.items() if name not in ("vec_env.actions", "vec_env.lengths")}
    of_envs = {name: x.reshape(len(agent), -1)[seeds] for name, x in state.items() if name.startswith("vec_env.")}
    return {name: x.reshape(-1, len(agent), x[0].size)[:, seeds] for name, x in state.items()} | of_envs


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_array_equal(found[name], x, err_msg=name)


def poison(agent, index):
    """NaN in one weight of each part of a seed that learns, as after a step that overflowed."""
    with torch.no_grad():
        for optimizer in agent.children():
            if hasattr(optimizer, "params"):
                optimizer.flat.unflatten(0, (-1, len(agent)))[:, index, -1] = torch.nan


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", RUNS)
def test_a_seed_that_diverges_stops_alone(name, recorded, tmp_path):
    kind, env, more, steps = RUNS[name]
    if not recorded and name in ("ppo recurrent", "ppo cnn", "dqn recurrent", "sac recurrent"):
        pytest.skip("their updates are never recorded")
    whole, agent = (kind(env, seeds=4, **more) for _ in range(2))
    whole.recorded = agent.recorded = recorded
    whole.learn(steps).learn(steps)
    agent.learn(steps)
    good = [x.clone() for x in learned(agent)]
    calls = []

    def callback(agent):
        if not calls:
            poison(agent, 2)
        calls.append(agent.num_timesteps)

    with pytest.warns(UserWarning, match=STOPPED) as caught:
        agent.learn(steps, callback)
    assert len(caught) == 1
    assert agent.num_timesteps == 2 * steps
    # The others are what they would have been; the one that stopped has what it had before.
    same(of_seeds(agent, [0, 1, 3]), of_seeds(whole, [0, 1, 3]))
    for x, before in zip(learned(agent), good, strict=True):
        torch.testing.assert_close(x.unflatten(0, (-1, 4))[:, 2], before.unflatten(0, (-1, 4))[:, 2], rtol=0, atol=0)
    assert agent.obs.isfinite().all()  # it has the state of a recurrent network in it
    stopped = agent.metrics["diverged"]
    assert np.isnan(stopped[[0, 1, 3]]).all()
    assert steps < stopped[2] <= 2 * steps
    for key, value in agent.metrics.items():
        if key not in ("return", "diverged"):
            np.testing.assert_array_equal(value[[0, 1, 3]], whole.metrics[key][[0, 1, 3]])
            assert np.isnan(value[2])
    assert "diverged" not in whole.metrics
    # What has stopped stays so in files and copies.
    agent.save(tmp_path / "agent")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copies = [copy.deepcopy(agent), kind.load(tmp_path / "agent", env=None if isinstance(env, str) else env)]
        agent.learn(steps)
        for copied in copies:
            copied.recorded = recorded
            np.testing.assert_array_equal(copied.metrics["diverged"], stopped)
            same(copied.learn(steps).get_state(), agent.get_state())
    assert np.isnan(agent.extract(1).learn(16).divergence.stopped_at).all()
    with pytest.raises(agents.DivergenceError, match=r"^stopped seed 2 at step \d+, in its last good state: found"):
        agent.extract(2).learn(8)


@pytest.mark.parametrize("name", AGENTS)
def test_a_learning_rate_far_too_high_stops_its_seed(name):
    kind, env, more, steps = RUNS[name]
    calm = kind(env, seeds=3, **more, learning_rate=1e-3).learn(4 * steps)
    agent = kind(env, seeds=3, **more, learning_rate=[1e-3, 1e30, 1e-3])
    start = [x.clone() for x in learned(agent)]
    with pytest.warns(UserWarning, match=r"stopped seed 1 at step \d+.*with learning_rate 1e\+30, expected"):
        agent.learn(4 * steps)
    same(of_seeds(agent, [0, 2]), of_seeds(calm, [0, 2]))
    for x, before in zip(learned(agent), start, strict=True):
        assert torch.equal(x.unflatten(0, (-1, 3))[:, 1], before.unflatten(0, (-1, 3))[:, 1])


@pytest.mark.parametrize("name", AGENTS)
def test_learning_ends_where_every_seed_has_stopped(name, tmp_path):
    kind, env, more, steps = RUNS[name]
    agent = kind(env, seeds=[5, 9], **more, learning_rate=1e30)
    start = [x.clone() for x in learned(agent)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(agents.DivergenceError, match=r"seed 5 at step \d+, seed 9 at step \d+.*expected"):
            agent.learn(10**6)
    for x, before in zip(learned(agent), start, strict=True):
        assert torch.equal(x, before)
    agent.save(tmp_path / "agent")
    loaded = kind.load(tmp_path / "agent", env=None if isinstance(env, str) else env)
    same(loaded.get_state(), agent.get_state())
    steps = loaded.num_timesteps
    with pytest.raises(agents.DivergenceError, match="seed 5 at step"):
        loaded.learn(10)
    assert loaded.num_timesteps == steps


def test_what_a_callback_saves_is_finite(tmp_path):
    """A step that overflows leaves finite losses behind; the next update, or a save, finds it."""
    agent = SAC(PENDULUM, seeds=2, learning_starts=20, batch_size=8).learn(40)
    poison(agent, 1)
    with pytest.warns(UserWarning, match="stopped seed 1 at step 40"):
        agent.save(tmp_path / "agent")
    assert SAC.load(tmp_path / "agent").metrics["diverged"].tolist()[1] == 40
    assert all(
        np.isfinite(x).all()
        for name, x in agent.get_state().items()
        if name not in ("diverged", "vec_env.finished") and not name.startswith("losses.")
    )


def test_the_guard_changes_nothing_where_all_is_finite():
    for name in ("ppo", "sac"):
        kind, env, more, steps = RUNS[name]
        with_guard, without = (kind(env, seeds=2, **more) for _ in range(2))
        without.guard = False
        same(with_guard.learn(6 * steps).get_state(), without.learn(6 * steps).get_state())
        assert not without.divergence.good


def test_a_choice_that_there_is_not_is_never_taken():
    """Whatever number its logit is, as while a seed diverges."""
    policy = CategoricalPolicy(MLP(1, hidden=(4,), seeds=2), [2, 5], seeds=2)
    obs, noise = torch.zeros(2, 9, 1), policy.noise([0, 1], (0,), (9,))
    for value in torch.nan, torch.inf, 1e30:
        with torch.no_grad():
            policy.logits.head.bias.unflatten(-1, (2, 5))[..., 0, 2:] = value
        for action in policy(obs).sample(noise), policy(obs).mode:
            assert action[..., 0].max() < 2
