"""What a checkpoint says of its agent, checked before anything is made of it.

Nothing is imported but what is there already, is ours, or is named by the caller. Classes come from fixed tables. No
memory is taken that the file's own arrays do not need.

S seed, N environments of one seed, T steps of a rollout.
"""

import importlib
import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np

from agents.common import checkpoint, habits
from agents.common.checkpoint import CheckpointError
from agents.common.config import ZOO, MakeNetwork, describe_network, restore_network
from agents.common.guard import DATA
from agents.common.make_env import Maker, is_registered, keywords_from_json, package_of
from agents.common.spaces import num_choices
from balancier import is_number

Arrays = dict[str, np.ndarray]


def is_text(x: Any) -> bool:
    """Whether x is a name that fits on a line."""
    return isinstance(x, str) and 0 < len(x) <= 300 and x.isprintable()


def is_seeds(x: Any) -> bool:
    whole = isinstance(x, list) and all(is_number(seed, int) and seed >= 0 for seed in x)
    return whole and 0 < len(x) == len(set(x))


def is_network(x: Any) -> bool:
    known = isinstance(x, dict) and x.keys() == {"name", "keywords"}
    return x is None or (known and is_text(x["name"]) and isinstance(x["keywords"], dict))


def is_spaces(x: Any) -> bool:
    return isinstance(x, dict) and all(isinstance(space, dict) for space in x.values())


# What the JSON of a file says of its agent: what each may be, the same in words, and whether it may be left out.
FIELDS: dict[str, tuple[Callable[[Any], bool], str, bool]] = {
    "agent": (is_text, "the name of an agent", False),
    "env": (lambda x: x is None or is_text(x), "the id of an environment, or null", False),
    "env_module": (lambda x: x is None or is_text(x), "the name of a module, or null", True),
    "env_kwargs": (lambda x: isinstance(x, dict), "a dictionary", False),
    "spaces": (is_spaces, "a dictionary of two spaces", True),
    "seeds": (is_seeds, "a list of different whole numbers of at least 0", False),
    "network": (is_network, "null, or a name and keywords", False),
    "config": (lambda x: isinstance(x, dict), "a dictionary", False),
    "dtype": (is_text, "the name of a type", False),
    "num_timesteps": (lambda x: is_number(x, int) and x >= 0, "a whole number of at least 0", False),
    "policy_only": (lambda x: isinstance(x, bool), "true or false", True),
    "notes": (lambda x: isinstance(x, dict), "a dictionary", True),
}


def read(path: str | os.PathLike) -> tuple[Arrays, dict[str, Any]]:
    """The arrays of an agent's checkpoint, and what it says of the agent, every field of it there and of its kind.

    Raises:
        FileNotFoundError, CheckpointError: if there is no sound checkpoint of an agent.
    """
    arrays, meta = checkpoint.load(path)
    for name, (holds, expected, optional) in FIELDS.items():
        if name not in meta and not optional:
            raise CheckpointError(f"{path}: found no {name!r}, expected {expected}: it is no checkpoint of an agent")
        if name in meta and not holds(meta[name]):
            raise CheckpointError(f"{path}: {name}: found {shortened(meta[name])}, expected {expected}")
    if unknown := sorted(meta.keys() - FIELDS.keys() - {"format"}):
        expected = f"none but {', '.join(FIELDS)} (a later version of Balancier may have written it)"
        raise CheckpointError(f"{path}: found the field {shortened(unknown[0])}, expected {expected}")
    check_sizes(path, meta, arrays)
    return arrays, meta


def shortened(value: Any, most: int = 80) -> str:
    """A value of a file on one line that is not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[:most]}..."


@contextmanager
def naming(prefix: object) -> Iterator[None]:
    """Any error as a ValueError of one line that begins with the file (or whatever else is at fault)."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        kind = "" if isinstance(error, ValueError) and words else f"{type(error).__name__}: "
        raise CheckpointError(f"{prefix}: {kind}{words}") from error


# Sizes.

WIDTHS = {"hidden", "channels", "widths", "hidden_size", "order", "out_features", "kernel_size"}


def check_sizes(path: str | os.PathLike, meta: dict[str, Any], arrays: Arrays) -> None:
    """Raise CheckpointError for sizes in the JSON that the arrays do not have; they would take memory."""

    def check(name: str, found: Any, expected: Any, array: str) -> None:
        if found != expected:
            found = shortened(found)
            raise CheckpointError(f"{path}: {name}: found {found}, expected {expected}, as its array {array!r} has")

    count, config = len(meta["seeds"]), meta["config"]
    is_policy = meta.get("policy_only", False)
    name = next((name for name in arrays if name.startswith("policy.")), "policy") if is_policy else "obs"
    if name not in arrays:
        raise CheckpointError(f"{path}: found no array {name!r}, expected that of an agent")
    shape = *arrays[name].shape, -1, -1  # (S, N, O)
    check("seeds", count, shape[0], name)
    if not is_policy:
        num_envs = config.get("num_envs", 1)
        check("config: num_envs", num_envs, shape[1], "obs")
        rollout = "rollout.numbers"
        if "num_steps" in config and rollout in arrays:  # (S, T N, A + 3)
            length = arrays[rollout].shape[1] if arrays[rollout].ndim > 1 else 0
            check("config: num_steps", config["num_steps"], length // max(num_envs, 1), rollout)
    if "num_timesteps" in arrays and arrays["num_timesteps"].shape == ():
        check("num_timesteps", meta["num_timesteps"], arrays["num_timesteps"].item(), "num_timesteps")
    if meta["network"] is not None and meta["network"]["name"] in ZOO:
        check_widths(f"{path}: network", meta["network"]["keywords"], count, arrays)


def check_widths(prefix: str, keywords: dict[str, Any], count: int, arrays: Arrays) -> None:
    """Raise CheckpointError for a network that has more numbers than the file, one of each of `count` seeds."""
    numbers = sum(array.size for array in arrays.values())
    longest = max((size for array in arrays.values() for size in array.shape), default=0)
    for name in WIDTHS & keywords.keys():
        value = keywords[name]
        widths = value if isinstance(value, list) else [value]
        if any(is_number(width) and width > longest for width in widths) or len(widths) > len(arrays):
            expected = f"widths of at most {longest}, the longest axis of its arrays"
            raise CheckpointError(f"{prefix}: {name}: found {shortened(value)}, expected {expected}")
        if all(is_number(width, int) for width in widths):
            between = pairwise(widths) if name != "hidden_size" else [(width, width) for width in widths]
            needed = count * sum(a * b for a, b in between)
            if needed > numbers:
                expected = f"a network of at most the {numbers} numbers of the file"
                raise CheckpointError(f"{prefix}: {name}: found {shortened(value)}, expected {expected}")


# Environments and networks.

# Gymnasium's adapters of environments of old Gym, whose keywords name an environment and its module, which they import.
ADAPTERS = "GymV21Environment-v0", "GymV26Environment-v0"


def resolve_env(path: str | os.PathLike, meta: dict[str, Any], env: str | Maker | None) -> str | Maker:
    """What to make the environments of: `env` where it is given, else the file's id, which nothing is imported for.

    Raises ValueError for an id that is not the file's, and for one of the file that nothing has registered.
    """
    stored = meta["env"]
    if env is not None:
        if not isinstance(env, str) and not callable(env):
            raise ValueError(habits.explain_env(env))
        if isinstance(env, str) and stored is not None and env.rpartition(":")[2] != stored.rpartition(":")[2]:
            raise ValueError(f"env: found {env}, expected {stored}, the environment of {path}")
        return env
    if stored is None:
        raise ValueError(f"{path}: its environment came from a function; expected that again as env=")
    module, _, env_id = stored.rpartition(":")
    known = module or meta.get("env_module") or ""
    if known.partition(".")[0] == "envs":
        importlib.import_module("envs")  # which is ours: balancier.check_packages has seen to that
    if is_registered(stored) and env_id not in ADAPTERS:
        return stored
    if known == "__main__" or not all(part.isidentifier() for part in known.split(".")):
        known = ""
    full = f"{known or 'module'}:{env_id}"
    first = f"`import {known}` first" if known else "the module that registers it imported first"
    found = f"found the environment {stored}, which nothing has registered yet (loading imports nothing)"
    raise ValueError(f"{path}: {found}, expected {first}, or env={full!r} (on the command line --env {full})")


def describe_spaces(observation_space: gym.Space, action_space: gym.Space) -> dict[str, Any]:
    """Both spaces as JSON can hold them."""
    return {"observation space": describe_space(observation_space), "action space": describe_space(action_space)}


def describe_space(space: gym.Space) -> dict[str, Any]:
    described = {"kind": type(space).__name__, "shape": list(space.shape or ()), "dtype": str(space.dtype)}
    if isinstance(space, gym.spaces.Box):
        few = space.low.size <= 100
        low, high = (space.low, space.high) if few else (space.low.min(), space.high.max())
        return described | {"low": np.ravel(low).tolist(), "high": np.ravel(high).tolist()}
    return described | {"choices": num_choices(space), "start": np.ravel(getattr(space, "start", 0)).tolist()}


def check_spaces(path: str | os.PathLike, meta: dict[str, Any], env: Any, spaces: dict[str, Any]) -> None:
    """Raise ValueError where an environment has other spaces than the one that the file's agent was made with."""
    for name, found in spaces.items():
        stored = meta.get("spaces", {}).get(name, found)
        if stored != found:
            names = env if isinstance(env, str) else "of a function"
            of_file = f"that of {meta['env'] or 'the function'} in {path}"
            differing = [key for key in found | stored if stored.get(key) != found.get(key)]
            ours, theirs = ({key: x[key] for key in differing if key in x} for x in (found, stored))
            raise ValueError(
                f"env: found {names} with the {name} {shortened(ours)}, expected {shortened(theirs)}, {of_file}"
            )


def check_maker(path: str | os.PathLike, meta: dict[str, Any], arrays: Arrays, batch: dict[str, Any]) -> None:
    """Raise ValueError if a function's environments are stepped alone, and those of the file's id as one `batch`."""
    if meta["env"] is not None and ("vec_env.actions" in arrays) != ("actions" in batch):
        expected = f"{meta['env']}, the environment of {path}, whose batch has another state"
        raise ValueError(f"env: found a function, expected {expected}")


def resolve_network(path: str | os.PathLike, meta: dict[str, Any], network: MakeNetwork | None) -> MakeNetwork:
    """What to make the networks of: `network` where it is given, which must be the file's, else that.

    Raises ValueError for another network, and where the file's is not one of the zoo.
    """
    stored = meta["network"]
    if network is None:
        if stored is None:
            raise ValueError(f"{path}: its network is not one of the zoo; expected it again as network=")
        with naming(f"{path}: network"):
            return restore_network(stored)
    given = describe_network(network) if callable(network) else None
    if given is not None and stored is not None and with_defaults(given) != with_defaults(stored):
        raise ValueError(f"network: found {in_words(given)}, expected {in_words(stored)}, the network of {path}")
    return network


def with_defaults(description: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and all keywords of a described network, those that were left out, too."""
    parameters = inspect.signature(ZOO[description["name"]]).parameters if description["name"] in ZOO else {}
    usual = {name: parameter.default for name, parameter in parameters.items() if name != "seeds"}
    keywords = usual | description["keywords"]
    return description["name"], {
        name: list(value) if isinstance(value, tuple) else value for name, value in keywords.items()
    }


def in_words(description: dict[str, Any]) -> str:
    """A described network as in "MLP(hidden=[8])"."""
    keywords = ", ".join(f"{name}={shortened(value)}" for name, value in description["keywords"].items())
    return f"{description['name']}({keywords})"


def restore_keywords(path: str | os.PathLike, meta: dict[str, Any]) -> dict[str, Any]:
    """The keywords of the environment."""
    with naming(f"{path}: env_kwargs"):
        return keywords_from_json(meta["env_kwargs"])


def check_fields(path: str | os.PathLike, meta: dict[str, Any], usual: dict[str, Any]) -> None:
    """Raise CheckpointError for hyper-parameters that this version does not have; warn of those that it has since."""
    fields = usual.keys()
    if unknown := sorted(meta["config"].keys() - fields):
        expected = f"none but those of {meta['agent']} (a later version of Balancier may have written it)"
        raise CheckpointError(f"{path}: config: found {shortened(unknown[0])}, expected {expected}")
    if meta["format"] > 1:
        for name in sorted(fields - meta["config"].keys()):
            warnings.warn(f"{path}: config: found no {name!r}, which is taken as {usual[name]}", stacklevel=4)


def describe_env(env: Any) -> dict[str, Any]:
    """An agent's environment for a file: the id as it was given, and for one without a module where it comes from."""
    if not isinstance(env, str):
        return {"env": None}
    return {"env": env} if ":" in env else {"env": env, "env_module": package_of(env)}


def diverged_seeds(seeds: list[int], arrays: Arrays) -> dict[int, str]:
    """Seeds of which an array that learns has NaN or infinity, with the first one's name.

    Left out are seeds that are known to have stopped.
    """
    found: dict[int, str] = {}
    stopped = np.isfinite(arrays.get("diverged", np.full(len(seeds), np.nan)))  # (S,)
    for name, array in arrays.items():
        learns = not name.startswith(("vec_env.", "losses.", "diverged", "num_timesteps", *DATA))
        if learns and array.dtype.kind == "f" and array.ndim and len(array) % len(seeds) == 0:
            twins = len(array) // len(seeds)  # (S, ...), or (2 S, ...)
            finite = np.isfinite(array).reshape(twins, len(seeds), -1).all((0, 2))  # (S,)
            for index in np.flatnonzero(~finite & ~stopped):
                found.setdefault(seeds[index], name)
    return found
