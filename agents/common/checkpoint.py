"""One file that holds a whole agent: safetensors, with JSON in its metadata and a digest over every byte.

Nothing in it can execute code (`loading` sees to that), and a file that was cut, emptied or altered is refused. Copies
and pickles of an agent are made of the same state.
"""

import dataclasses
import hashlib
import json
import os
import pickle
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from torch import Tensor

import balancier
from agents.common import vec_env
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
    with balancier.naming_file(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    balancier.write_file(path, blank.replace(KEY + BLANK, KEY + digest, 1))


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save` wrote, in this format or the first: the arrays and `meta`.

    Raises:
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is not a complete, unaltered checkpoint of a known format.
    """
    data = read_file(path)
    start = data.find(KEY) + len(KEY)
    digest, blank = data[start : start + 64], data[:start] + BLANK + data[start + 64 :]
    if KEY not in data[: 8 + int.from_bytes(data[:8], "little")]:
        hint = " (agents.sb3.from_sb3 reads SB3's files)" if data.startswith(b"PK") else ""
        raise CheckpointError(f"{path}: found {len(data)} bytes that are no checkpoint, expected one of save{hint}")
    if hashlib.sha256(blank).hexdigest().encode() != digest:
        raise CheckpointError(f"{path}: the checkpoint is damaged (its SHA-256 does not match); expected it unaltered")
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        meta, arrays = json.loads(header["__metadata__"]["balancier"]), load_tensors(data)
    except Exception as error:  # whatever a file that nobody saved with `save` breaks
        words = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise CheckpointError(f"{path}: found a header that cannot be read ({words}), expected one of save") from None
    found = meta.get("format") if isinstance(meta, dict) else meta
    if type(found) is not int or found not in (1, FORMAT):
        raise CheckpointError(f"{path}: found checkpoint format {str(found)[:80]!r}, expected {FORMAT} or 1")
    if found == FORMAT:
        return arrays, meta
    try:
        return upgrade(arrays, meta), meta
    except (LookupError, TypeError, ValueError) as error:
        words = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise CheckpointError(
            f"{path}: found a file of format 1 without what that holds ({words}), expected it"
        ) from None


def read_file(path: str | os.PathLike) -> bytes:
    """The bytes of a file; CheckpointError for a folder, a pipe or a device, which may have no end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        kind = "a folder" if os.path.isdir(path) else "a pipe or a device"
        raise CheckpointError(f"{path}: found {kind}, expected the file of a checkpoint")
    return Path(path).read_bytes()


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
        if state[name].dtype.kind != "f":
            raise ValueError(f"{name}: found an array of {state[name].dtype}, expected float32 or float64")
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


def make_agent(kind: type, env: Any, keywords: dict[str, Any], policy_only: bool) -> Any:
    """A new agent; of a policy alone the parts that only learning needs are as small as they can be."""
    if not policy_only:
        return kind(env, **keywords)
    fields = {field.name for field in dataclasses.fields(kind.Config)}  # type: ignore[attr-defined]
    agent = kind(env, **keywords | {name: size for name, size in SMALLEST.items() if name in fields})
    given = {name: value for name, value in keywords.items() if name in fields}
    agent.config, agent.policy_only = make_config(type(agent.config), len(agent), given), True
    return agent


# The state of an agent.


def steps_of(state: dict[str, np.ndarray], num_envs: int) -> int:
    """Take the steps of each seed out of a state; ValueError for no whole number of steps of all environments."""
    steps = np.asarray(state.pop("num_timesteps", None))
    if steps.shape != () or steps.dtype.kind not in "iu" or steps < 0 or steps % num_envs:
        found = steps.item() if steps.shape == () else f"shape {steps.shape}"
        raise ValueError(f"num_timesteps: found {found}, expected a multiple of num_envs, {num_envs}, of at least 0")
    return int(steps)


RAGGED = {f"vec_env.{name}": f"vec_env.{lengths}" for name, lengths in vec_env.RAGGED.items()}
OPTIONAL = {"vec_env.inner", "vec_env.inner_lengths", "vec_env.inexact"}


def check_state(state: dict[str, np.ndarray], expected: dict[str, Any]) -> None:
    """Raise ValueError unless the state has the arrays of `expected` (arrays or tensors), in their shapes and types.

    Of environments the parts of all of them may stand one after the other, whatever the length of each is.
    """
    for name in sorted(expected.keys() | state.keys()):
        if (name in expected) != (name in state) and name not in OPTIONAL:
            kind = "no array" if name in expected else "an unknown array"
            raise ValueError(f"state: found {kind} {name!r}, expected that of an agent made alike")
    for name in expected.keys() & state.keys() - RAGGED.keys():
        found, shape = state[name], tuple(expected[name].shape)
        kinds = found.dtype.name, str(expected[name].dtype).removeprefix("torch.")
        if found.shape != shape:
            raise ValueError(f"{name}: found shape {found.shape}, expected {shape}")
        if kinds[0] != kinds[1]:
            raise ValueError(f"{name}: found an array of {kinds[0]}, expected {kinds[1]}")
    for name in RAGGED.keys() & state.keys():
        lengths = state.get(RAGGED[name], np.zeros(0, np.int64))
        if lengths.dtype.kind not in "iu" or (lengths < 0).any() or lengths.sum() != len(np.atleast_1d(state[name])):
            expected_length = f"as many as {RAGGED[name]!r} says, {lengths.sum()}"
            raise ValueError(f"{name}: found {len(np.atleast_1d(state[name]))} entries, expected {expected_length}")


# Copies.


def agent_parts(agent: Any) -> tuple[type, dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    """What `rebuild` makes a copy of an agent of: its class, the constructor's keywords, the state, and the rest."""
    env = import_path(agent.env) if isinstance(agent.env, str) else agent.env
    keywords = {"env": env, "seeds": agent.seeds, "network": agent.network, "env_kwargs": agent.env_kwargs}
    keywords |= {field.name: getattr(agent.config, field.name) for field in dataclasses.fields(agent.config)}
    keywords |= {"device": agent.device}
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
    agent = make_agent(kind, keywords["env"], others, rest["policy_only"])
    agent.set_state(state)
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
