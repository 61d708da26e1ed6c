"""One file that holds a whole agent: safetensors, with JSON in its metadata and a digest over every byte.

Nothing in it can execute code, and a file that was cut, emptied or altered is refused. Copies and pickles of an agent
are made of the same state.
"""

import dataclasses
import hashlib
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from torch import Tensor

import balancier
from agents.common.config import make_config
from agents.common.make_env import import_path
from models.optim import Optimizer

FORMAT = 2
KEY, BLANK = b'"sha256":"', b"0" * 64  # the digest is computed over the file with this in its place


class CheckpointError(ValueError):
    """A file that is no checkpoint, or no longer the one that was written."""


def save(path: str | os.PathLike, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write arrays and JSON-able `meta`, all of it or nothing: a file is there only once it is complete."""
    text = json.dumps({"format": FORMAT, **meta})
    blank = save_tensors(
        {name: np.asarray(array, order="C") for name, array in arrays.items()},
        metadata={"balancier": text, "sha256": BLANK.decode()},
    )
    digest = hashlib.sha256(blank).hexdigest().encode()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    balancier.write_file(path, blank.replace(KEY + BLANK, KEY + digest, 1))


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save` wrote, in this format or the first: the arrays and `meta`.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is not a complete, unaltered checkpoint of a known format.
    """
    data = Path(path).read_bytes()
    start = data.find(KEY) + len(KEY)
    digest, blank = data[start : start + 64], data[:start] + BLANK + data[start + 64 :]
    if KEY not in data[: 8 + int.from_bytes(data[:8], "little")]:
        hint = " (agents.sb3.from_sb3 reads SB3's files)" if data.startswith(b"PK") else ""
        raise CheckpointError(f"{path}: found {len(data)} bytes that are no checkpoint, expected one of save{hint}")
    if hashlib.sha256(blank).hexdigest().encode() != digest:
        raise CheckpointError(f"{path}: the checkpoint is damaged (its SHA-256 does not match); expected it unaltered")
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    meta, arrays = json.loads(header["__metadata__"]["balancier"]), load_tensors(data)
    if meta["format"] == 1:
        return upgrade(arrays, meta), meta
    if meta["format"] != FORMAT:
        raise CheckpointError(f"{path}: found checkpoint format {meta['format']}, expected {FORMAT} or 1")
    return arrays, meta


# Names of format 1 and what they are called now, in the order in which they are applied.
RENAMED = {
    r"optimiser\.": "optimizer.",
    r"(optimizer)\.mean$": r"\1.exp_avg",
    r"(optimizer)\.square$": r"\1.exp_avg_sq",
    r"\.body\.": ".trunk.",
    r"encoder\.memory\.": "encoder.recurrent.",
    r"encoder\.eyes\.": "encoder.cnn.",
    r"^(returns|discounted)": r"reward_scaling.\1",
    r"^worlds\.": "vec_env.",
}


def upgrade(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint of format 1, which kept `terminated` where transitions carry their discount now."""
    upgraded = {}
    for name, array in arrays.items():
        for old, new in RENAMED.items():
            name = re.sub(old, new, name)
        upgraded[name] = array
    for name in ("replay.numbers", "rollout.numbers"):
        if name in upgraded:
            gamma = np.broadcast_to(np.asarray(meta["config"]["gamma"]), len(meta["seeds"]))[:, None]
            numbers = upgraded[name].copy()  # (S, C, A + 3): action, reward, terminated, done
            numbers[..., -2] = gamma.astype(numbers.dtype) * (1 - numbers[..., -2])
            upgraded[name] = numbers
    return upgraded | {"num_timesteps": np.array(meta["num_timesteps"])}


# The file of a policy alone.

Arrays = TypeVar("Arrays", bound=dict[str, Any])
# What only learning needs is made this small for a policy alone, where an agent has it.
SMALLEST = {"num_envs": 1, "num_steps": 1, "sequence_length": 1, "n_step": 1, "buffer_size": 1}


def policy_part(state: Arrays) -> Arrays:
    """Of an agent's state what `predict` needs: the encoder with its statistics, the policy, and the steps so far."""
    needed = ("encoder.", "policy.", "num_timesteps")
    return {name: value for name, value in state.items() if name.startswith(needed)}  # type: ignore[return-value]


def take_losses(state: dict[str, np.ndarray], count: int) -> dict[str, Tensor]:
    """Take the newest losses, (S,) each, out of a state, which may have none; ValueError for another shape."""
    names = [name for name in state if name.startswith("losses.")]
    for name in names:
        if state[name].shape != (count,):
            raise ValueError(f"{name}: found shape {state[name].shape}, expected {(count,)}")
    return {name.removeprefix("losses."): torch.from_numpy(state.pop(name).copy()) for name in names}


def incomplete(what: str, expected: str) -> str:
    """Why a policy alone cannot do what a whole agent can."""
    return f"{what}: found a policy alone, which was saved with policy_only=True, expected {expected}"


def check_notes(notes: Any) -> dict[str, Any]:
    """Notes as JSON holds them; ValueError for what it cannot hold."""
    if notes is not None and not isinstance(notes, dict):
        raise ValueError(f"notes: found a {type(notes).__name__}, expected a dictionary")
    try:
        return json.loads(json.dumps(notes or {}))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"notes: found what JSON cannot hold ({error}), expected texts, numbers and lists") from None


def make_agent(kind: type, env: Any, keywords: dict[str, Any], state: dict[str, np.ndarray], policy_only: bool) -> Any:
    """An agent in this state; of a policy alone the parts that only learning needs are as small as they can be."""
    if not policy_only:
        agent = kind(env, **keywords)
    else:
        fields = {field.name for field in dataclasses.fields(kind.Config)}  # type: ignore[attr-defined]
        agent = kind(env, **keywords | {name: size for name, size in SMALLEST.items() if name in fields})
        given = {name: value for name, value in keywords.items() if name in fields}
        agent.config, agent.policy_only = make_config(type(agent.config), len(agent), given), True
    agent.set_state(state)
    return agent


# Copies.


def agent_parts(agent: Any) -> tuple[type, dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    """What `rebuild` makes a copy of an agent of: its class, the constructor's keywords, the state, and the rest."""
    env = import_path(agent.env) if isinstance(agent.env, str) else agent.env
    keywords = {"env": env, "seeds": agent.seeds, "network": agent.network, "env_kwargs": agent.env_kwargs}
    keywords |= {field.name: getattr(agent.config, field.name) for field in dataclasses.fields(agent.config)}
    rest = {
        "env": agent.env,
        "policy_only": agent.policy_only,
        "dtype": next(agent.policy.parameters()).dtype,
        "num_predictions": agent.num_predictions,
        "training": [module.training for module in agent.modules()],
        "requires_grad": [parameter.requires_grad for parameter in agent.parameters()],
        "learning_rates": [list(optimizer.learning_rate) for optimizer in optimizers(agent)],
    }
    return type(agent), keywords, agent.get_state(), rest


def optimizers(agent: Any) -> list[Optimizer]:
    return [module for module in agent.children() if isinstance(module, Optimizer)]


def rebuild(kind: type, keywords: dict[str, Any], state: dict[str, np.ndarray], rest: dict[str, Any]) -> Any:
    """An agent that goes on bit for bit as the one that `agent_parts` was given, and shares nothing with it.

    Raises ValueError if the default dtype is another than that of its numbers.
    """
    if rest["dtype"] != torch.get_default_dtype():
        raise ValueError(
            f"agent: found numbers of {rest['dtype']}, expected the default dtype, {torch.get_default_dtype()}"
        )
    others = {name: value for name, value in keywords.items() if name != "env"}
    agent = make_agent(kind, keywords["env"], others, state, rest["policy_only"])
    agent.env, agent.num_predictions = rest["env"], rest["num_predictions"]
    for module, training in zip(agent.modules(), rest["training"], strict=True):
        module.training = training
    for parameter, requires_grad in zip(agent.parameters(), rest["requires_grad"], strict=True):
        parameter.requires_grad_(requires_grad)
    for optimizer, learning_rate in zip(optimizers(agent), rest["learning_rates"], strict=True):
        optimizer.learning_rate = list(learning_rate)
    return agent


def check_picklable(agent: Any) -> None:
    """Raise ValueError if an agent was made with a function that pickle cannot find by its name."""
    for name in "env", "network":
        try:
            pickle.dumps(getattr(agent, name))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            expected = "an id, or a function or class at the top level of a module"
            raise ValueError(f"{name}: found what pickle cannot hold ({error}), expected {expected}") from None


def conversion(agent: Any, convert: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A conversion (`to`, `float`, `share_memory`, ...) that keeps types: statistics are float64 in any agent.

    Raises ValueError if it changes the type or the device of what the agent learns with.
    """
    found = next(agent.policy.parameters())
    converted = convert(found.detach()[:0])
    if (converted.dtype, converted.device) != (found.dtype, found.device):
        to, of = f"{converted.dtype} on {converted.device}", f"{found.dtype} on {found.device}"
        expected = f"{of}, as its environments give (torch.set_default_dtype before it is made)"
        raise ValueError(f"agent: found a conversion to {to}, expected {expected}")
    return lambda tensor: convert(tensor) if convert(tensor.flatten()[:0]).dtype == tensor.dtype else tensor
