"""Hyper-parameters: what each may be, and networks as something that can be written down."""

import dataclasses
import inspect
import json
import math
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Annotated, Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

import models
from agents.common import habits
from balancier import SWITCH, Bound, number, one_line, out_of_bound, shown, whole

# The networks that a file may name.
ZOO = {name: kind for name, kind in vars(models).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
MakeNetwork = Callable[..., nn.Module]  # called with (in_features, seeds=...), gives a trunk with `out_features`


class Role(IntEnum):
    """What a seed's random streams are for."""

    ENVS, NETWORKS, ACTING, REPLAY, UPDATE, PREDICT = range(6)


# The type of a field says what it may be, and whether it may be one number a seed.
PerSeed = float | Sequence[float]
SHARE, POSITIVE, NOT_NEGATIVE = number(0, 1), number(0, above=True), number(0)
Count = Annotated[int, whole(1)]
CountOrZero = Annotated[int, whole(0)]
Few = Annotated[int, whole(1, 100_000)]  # of which each takes time or memory at once
Switch = Annotated[bool, SWITCH]
LogStd = Annotated[float, number(-20, 20)]
Share = Annotated[float, SHARE]
SharePerSeed = Annotated[PerSeed, SHARE]
Positive = Annotated[float, POSITIVE]
PositivePerSeed = Annotated[PerSeed, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
NotNegativePerSeed = Annotated[PerSeed, NOT_NEGATIVE]


@dataclass(frozen=True)
class AgentConfig:
    """Hyper-parameters that every agent has."""

    normalize_obs: Switch = False
    """By running mean and variance of each component; for observations of very different sizes."""
    normalize_reward: Switch = False
    """By the running spread of the discounted return; for returns far from 1, which a critic learns slowly."""
    sequence_length: Count | None = None
    """L, steps that a recurrent network unrolls in an update, usually 8 to 64: more remember longer and cost more.
    None: up to 16."""
    num_envs: Few = 1
    """N, environments of one seed, usually 1 to 16: more give less correlated data, and fewer updates a step."""
    learning_rate: PositivePerSeed = 1e-3
    """Of the optimizer, usually 1e-4 to 3e-3: higher learns faster, until it no longer learns."""
    gamma: SharePerSeed = 0.99
    """Discount per step, usually 0.9 to 0.999: higher looks farther ahead, and learns slower."""
    anneal_steps: Count | None = None
    """Steps of each seed over which the learning rate falls to a twentieth, usually the whole run; None: constant."""


def hyperparameter(config_class: type, name: str) -> tuple[bool, bool, Bound]:
    """Whether a field may be None, whether it may be one number a seed, and its bound."""
    hint = typing.get_type_hints(config_class, include_extras=True)[name]
    parts = [hint, *get_args(hint)]
    (bounded,) = (part for part in parts if hasattr(part, "__metadata__"))  # a field without a bound is a mistake
    return type(None) in parts, get_args(bounded)[0] == PerSeed, bounded.__metadata__[0]


def check_config(config: Any, num_seeds: int) -> Any:
    """The config; ValueError for a hyper-parameter out of its range, or one per seed (where allowed) of wrong size."""
    for field in dataclasses.fields(config):
        value, (optional, per_seed, bound) = getattr(config, field.name), hyperparameter(type(config), field.name)
        values = value if per_seed and isinstance(value, list | tuple) else [value]
        if values is value and len(value) != num_seeds:
            raise ValueError(f"{field.name}: found {len(value)} numbers, expected one, or {num_seeds} (one a seed)")
        for one in () if optional and value is None else values:
            if not bound.holds(one):
                hint = " (instead of a schedule, anneal_steps lets it fall linearly)" if callable(one) else ""
                raise ValueError(out_of_bound(field.name, one, bound) + hint)
    return config


def make_config(config_class: type, num_seeds: int, hyperparameters: dict[str, Any]) -> Any:
    """A checked config, NumPy's numbers and arrays as Python's; raises ValueError for an unknown name, too."""
    if hyperparameters.keys() - {field.name for field in dataclasses.fields(config_class)}:
        raise ValueError(explain_hyperparameters(config_class, hyperparameters))
    plain = {name: plain_numbers(value) for name, value in hyperparameters.items()}
    return check_config(config_class(**plain), num_seeds)


def plain_numbers(value: Any) -> Any:
    """NumPy's and PyTorch's numbers and arrays as Python's, in a list too; all else as it is."""
    if isinstance(value, list | tuple):
        return type(value)(map(plain_numbers, value))
    return value.tolist() if isinstance(value, np.ndarray | np.generic | Tensor) else value


def explain_hyperparameters(config_class: type, given: dict[str, Any]) -> str:
    """Why these are not all hyper-parameters: our names of those that SB3's users know, else the names of all."""
    fields = [field.name for field in dataclasses.fields(config_class)]
    return habits.explain_hyperparameters(config_class.__name__.removesuffix("Config"), fields, given)


NETWORK = "a class of the zoo, as partial(MLP, hidden=(64, 64)), or a function of (in_features, seeds=) that makes one"


@torch.no_grad()
def make_network(network: Any, in_features: int | Sequence[int], streams: Sequence[np.random.Generator]) -> nn.Module:
    """A new network, one replica for each stream; ValueError for what makes none that takes (S, B, in_features)."""
    try:
        made = network(in_features, seeds=streams)
        if not isinstance(made, models.Recurrent):  # which takes sequences
            x, training = torch.zeros(len(streams), 1, math.prod(np.atleast_1d(in_features))), made.training
            found, expected = tuple(made.eval()(x).shape), (len(streams), 1, made.out_features)
            made.train(training)
            if found != expected:
                raise TypeError(f"gives shape {found}, where its out_features says {expected}")
    except (TypeError, AttributeError, RuntimeError, IndexError) as error:
        raise ValueError(f"network: found {shown(network)} ({one_line(error)}), expected {NETWORK}") from error
    return made


def describe_network(network: MakeNetwork) -> dict[str, Any] | None:
    """The name and keywords of a network of the zoo, as JSON can hold them; None for any other."""
    constructor, keywords = (network.func, network.keywords) if isinstance(network, partial) else (network, {})
    name = getattr(constructor, "__name__", "")
    if ZOO.get(name) is not constructor or (isinstance(network, partial) and network.args):
        return None
    try:
        return {"name": name, "keywords": json.loads(json.dumps(keywords, default=lambda number: number.tolist()))}
    except (TypeError, AttributeError):
        return None


def restore_network(description: dict[str, Any]) -> MakeNetwork:
    """The inverse of `describe_network`."""
    if description["name"] not in ZOO:
        raise ValueError(f"found {description['name']!r}, expected a network of the zoo, or it again as network=")
    return partial(ZOO[description["name"]], **description["keywords"])
