"""Learned values against known ones, for each agent and its kinds of actions."""

from functools import partial

import pytest
import torch

from agents import A2C, DQN, PPO, REINFORCE, SAC, TD3
from agents.common.actor_critic import twin_q
from agents.common.on_policy import OnPolicy
from agents.common.spaces import num_choices
from models import MLP
from tests.agents.probes import Forever, Later, Match, Mortal, One, Seen, maker

GAMMA = 0.8
COMMON = {"seeds": [3, 11], "network": partial(MLP, hidden=(32,)), "gamma": GAMMA, "learning_rate": 3e-3}
PPO_SETTINGS = {"num_envs": 8, "num_steps": 32, "batch_size": 64, "learning_rate": 1e-3, "anneal_steps": 100_000}
TANH = {"network": partial(MLP, hidden=(32,), activation="tanh")}  # ReLU without a bias learns nothing where obs is 0
PPO_SETTINGS |= {"max_grad_norm": None} | TANH
DQN_SETTINGS = {"learning_starts": 50, "tau": 0.05, "exploration_steps": 400, "final_epsilon": 0.2}
DQN_SETTINGS |= {"batch_size": 128, "train_every": 1, "target_every": 1, "anneal_steps": 15_000}
A2C_SETTINGS = {"num_envs": 8, "num_steps": 5, "gae_lambda": 0.9, "learning_rate": 1e-2, "anneal_steps": 24_000} | TANH
AGENTS = {
    "dqn": (DQN, "discrete", DQN_SETTINGS),
    "ppo discrete": (PPO, "discrete", PPO_SETTINGS),
    "ppo continuous": (PPO, "continuous", PPO_SETTINGS),
    "a2c discrete": (A2C, "discrete", A2C_SETTINGS),
    "reinforce discrete": (
        REINFORCE,
        "discrete",
        {"num_steps": 10, "learning_rate": 1e-2, "anneal_steps": 24_000, "max_grad_norm": None} | TANH,
    ),
    "sac": (SAC, "continuous", {"learning_starts": 50, "tau": 0.05, "batch_size": 64}),
    "td3": (TD3, "continuous", {"learning_starts": 50, "tau": 0.05, "noise_std": 0.3, "batch_size": 64}),
}
STEPS = {DQN: 1500, PPO: 12_000, A2C: 24_000, REINFORCE: 24_000, SAC: 1500, TD3: 1500}


def learn(name, probe, **more):
    kind, actions, settings = AGENTS[name]
    agent = kind(maker(probe, actions), **(COMMON | settings | more))
    return agent.learn(STEPS[kind])


def value(agent, seen):
    """The value of an observation under the agent's greedy policy, (S,); SAC's entropy bonus taken out."""
    obs = torch.full((len(agent), 1, 1), seen)
    with torch.no_grad():
        if isinstance(agent, OnPolicy):
            return agent.critic(obs)[:, 0]
        if isinstance(agent, DQN):
            return agent.policy.values(obs)[:, 0].amax(-1)
        return twin_q(agent.critics, obs, agent.policy(obs).mode).amin(0)[:, 0]


def close(found, expected, tolerance=0.05):
    torch.testing.assert_close(found, torch.full_like(found, expected), atol=tolerance, rtol=0.0)


@pytest.mark.parametrize("name", AGENTS)
def test_a_constant_reward_is_its_own_value(name):
    close(value(learn(name, One), 0.0), 1.0)


SLOW = {"reinforce discrete", "sac"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in AGENTS])
def test_values_depend_on_the_observation(name):
    agent = learn(name, Seen)
    close(value(agent, 1.0), 1.0)
    close(value(agent, -1.0), -1.0)


@pytest.mark.parametrize("name", ["dqn", "ppo discrete", "ppo continuous", "a2c discrete", "td3"])
def test_a_reward_one_step_away_is_worth_gamma(name):
    agent = learn(name, Later)
    close(value(agent, 0.0), GAMMA)
    close(value(agent, 1.0), 1.0)


@pytest.mark.parametrize("name", [*AGENTS, "reinforce without a baseline"])
def test_the_better_action_is_found(name):
    name, _, without = name.partition(" without")
    agent = learn("reinforce discrete", Match, baseline=False) if without else learn(name, Match)
    for seen in (-1.0, 1.0):
        best, _ = agent.predict(torch.full((2, 1, 1), seen))
        if num_choices(agent.vec_env.action_space):
            assert (best == int(seen > 0)).all()
        else:
            assert abs(best - 0.5 * seen).max() < 0.2
    if name == "dqn":
        close(value(agent, 1.0), 1.0)


@pytest.mark.parametrize("name", ["dqn", "ppo discrete", "ppo continuous", "a2c discrete", "td3"])
def test_a_time_limit_does_not_end_the_task(name):
    """V = 1 / (1 - gamma) although every episode is cut after five steps."""
    close(value(learn(name, Forever), 0.0), 1 / (1 - GAMMA), 0.1)


def test_soft_values_see_through_a_time_limit_too():
    """SAC adds the entropy it earns for ever: V = (1 + temperature * entropy) / (1 - gamma)."""
    agent = learn("sac", Forever)
    obs = torch.zeros(2, 512, 1)
    with torch.no_grad():
        _, log_prob = agent.policy(obs).sample_with_log_prob(torch.randn(2, 512, 1))
        bonus = -agent.log_temperature.exp().squeeze(1) * log_prob.mean(1)
        expected = 1 + GAMMA * (1 + bonus) / (1 - GAMMA)
    torch.testing.assert_close(value(agent, 0.0), expected, atol=0.15, rtol=0.0)


@pytest.mark.parametrize("name", ["dqn", "ppo discrete", "ppo continuous", "a2c discrete", "td3"])
def test_a_termination_is_an_end(name):
    """What a time limit treated as an end would give: a finite sum, far below 1 / (1 - gamma)."""
    agent = learn(name, Mortal)
    close(value(agent, -2.0), sum(GAMMA**t for t in range(5)))
    close(value(agent, 2.0), 1.0)
