"""Reinforcement learning over the seed axis: `learn` trains all seeds of an agent at once."""

import os
from typing import Any

import balancier

balancier.check_packages()

from agents.a2c import A2C as A2C
from agents.common import checkpoint as checkpoint
from agents.common import loading
from agents.common.acting import Replica as Replica
from agents.common.agent import Agent as Agent
from agents.common.checkpoint import CheckpointError as CheckpointError
from agents.common.make_env import EnvError as EnvError
from agents.dqn import DQN as DQN
from agents.ppo import PPO as PPO
from agents.reinforce import REINFORCE as REINFORCE
from agents.sac import SAC as SAC
from agents.td3 import TD3 as TD3
from models.finite import DivergenceError as DivergenceError

# Every agent that is imported above, by its name in lower case: the one list of them.
AGENTS: dict[str, type[Agent]] = {
    name.lower(): value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Agent) and value is not Agent
}


def load(path: str | os.PathLike, **given: Any) -> Agent:
    """The agent in a checkpoint, whichever kind it is; keywords and errors as `Agent.load`."""
    state, meta = loading.read(path)
    kinds = {kind.__name__: kind for kind in AGENTS.values()}
    if meta["agent"] not in kinds:
        expected = f"one of {', '.join(kinds)} (an agent of your own: the load of its class)"
        raise CheckpointError(f"{path}: agent: found {meta['agent']!r}, expected {expected}")
    return kinds[meta["agent"]].restore(path, state, meta, **given)
