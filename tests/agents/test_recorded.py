"""Recorded updates are eager updates to the bit, for every agent."""

import numpy as np
import pytest

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS
from experiments.common.hyperparams import tuned

PENDULUM, DISCRETE = "balancier/Pendulum-v0", "balancier/PendulumDiscrete-v0"
RUNS = {
    "sac": ("sac", PENDULUM, 480, {"learning_rate": [1e-3, 3e-3, 1e-3], "anneal_steps": 1000}),
    "td3": ("td3", PENDULUM, 160, {"policy_delay": 2}),
    "dqn": ("dqn", DISCRETE, 260, {"anneal_steps": 500}),
    "dqn refined": ("dqn", DISCRETE, 260, {"double": True, "dueling": True, "prioritized": True, "n_step": 3}),
    "ppo": ("ppo", "CartPole-v1", 1100, {"batch_size": 200}),  # 512 steps: the last of three minibatches is smaller
    "ppo normal actions": ("ppo", PENDULUM, 2100, {"learning_rate": [1e-3, 2e-3, 1e-3]}),
    "a2c": ("a2c", "CartPole-v1", 300, {}),
    "reinforce": ("reinforce", PENDULUM, 3300, {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_recorded_updates_are_eager_updates(name):
    """A run that is recorded, one that is not, and one that goes from one to the other and back have the same state."""
    agent, env, steps, more = RUNS[name]
    states = []
    for recorded in ((True, True, True), (False, False, False), (True, False, True)):
        made = AGENTS[agent](env, seeds=3, **tuned(agent, env) | more)
        for choice in recorded:
            made.recorded = choice
            made.learn(steps // 3)
        states.append(made.get_state())
        assert made.losses
    for state in states[1:]:
        for key, value in states[0].items():
            np.testing.assert_array_equal(value, state[key], err_msg=key)


def test_a_resumed_run_may_be_recorded_or_not(tmp_path):
    env, keywords = DISCRETE, tuned("dqn", DISCRETE)
    whole = AGENTS["dqn"](env, seeds=2, **keywords).learn(300)
    half = AGENTS["dqn"](env, seeds=2, **keywords)
    half.recorded = False
    half.learn(252).save(tmp_path / "half.safetensors")
    resumed = AGENTS["dqn"].load(tmp_path / "half.safetensors").learn(48)
    for key, value in whole.get_state().items():
        np.testing.assert_array_equal(value, resumed.get_state()[key], err_msg=key)


def test_metrics_are_not_overwritten():
    agent = AGENTS["a2c"]("CartPole-v1", seeds=2, **tuned("a2c", "CartPole-v1"))
    losses = [agent.learn(128).metrics["loss"] for _ in range(3)]
    assert len({loss.tobytes() for loss in losses}) == 3
