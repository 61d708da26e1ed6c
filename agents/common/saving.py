"""An agent as one checkpoint, and back."""

import dataclasses
import os
from typing import TYPE_CHECKING, TypeVar

import torch

from agents.common import checkpoint
from agents.common.config import MakeNetwork, describe_network, restore_network
from agents.common.make_env import Maker, import_path

if TYPE_CHECKING:
    from agents.common.agent import Agent

AgentType = TypeVar("AgentType", bound="Agent")


def save_agent(agent: "Agent", path: str | os.PathLike) -> None:
    """Write everything that the next step depends on."""
    arrays = {name: tensor.numpy(force=True) for name, tensor in agent.state_dict().items()}
    arrays |= {f"vec_env.{name}": array for name, array in agent.vec_env.get_state().items()}
    meta = {
        "agent": type(agent).__name__,
        "env": import_path(agent.env) if isinstance(agent.env, str) else None,
        "env_kwargs": agent.env_kwargs,
        "seeds": agent.seeds,
        "network": describe_network(agent.network),
        "config": dataclasses.asdict(agent.config),
        "dtype": str(next(agent.policy.parameters()).dtype),
        "num_timesteps": agent.num_timesteps,
    }
    checkpoint.save(path, arrays, meta)


def load_agent(
    cls: type[AgentType], path: str | os.PathLike, env: str | Maker | None, network: MakeNetwork | None
) -> AgentType:
    """The agent that `save_agent` wrote; see `Agent.load` for arguments and errors."""
    arrays, meta = checkpoint.load(path)
    env, dtype = env or meta["env"], str(torch.get_default_dtype())
    if meta["agent"] != cls.__name__:
        raise ValueError(f"{path}: found an agent of class {meta['agent']}, expected {cls.__name__}")
    if meta["dtype"] != dtype:
        raise ValueError(f"{path}: found numbers of {meta['dtype']}, expected the default dtype, {dtype}")
    if env is None:
        raise ValueError(f"{path}: its environment came from a function; expected that again as env=")
    if network is None:
        if meta["network"] is None:
            raise ValueError(f"{path}: its network is not one of the zoo; expected it again as network=")
        network = restore_network(meta["network"])
    agent = cls(env, seeds=meta["seeds"], network=network, env_kwargs=meta["env_kwargs"], **meta["config"])
    worlds = {name.removeprefix("vec_env."): arrays.pop(name) for name in list(arrays) if name.startswith("vec_env.")}
    agent.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    agent.vec_env.set_state(worlds)
    agent.num_timesteps = meta["num_timesteps"]
    return agent
