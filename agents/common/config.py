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

from torch import nn

import models
from agents.common import habits

MakeNetwork = Callable[..., nn.Module]  # called with (in_features, seeds=...), gives a trunk with `out_features`


class Role(IntEnum):
    """What a seed's random streams are for."""

    ENVS, NETWORKS, ACTING, REPLAY, UPDATE, PREDICT = range(6)


@dataclass(frozen=True)
class Bound:
    """What a number may be: a test, and the same in words."""

    holds: Callable[[Any], bool]
    words: str


def is_number(x: Any, kinds: Any = int | float) -> bool:
    """Whether x is such a number; True and False are none."""
    return isinstance(x, kinds) and not isinstance(x, bool)


# The type of a field says what it may be, and whether it may be one number a seed.
PerSeed = float | Sequence[float]
SHARE = Bound(lambda x: is_number(x) and 0 <= x <= 1, "a number from 0 to 1")
POSITIVE = Bound(lambda x: is_number(x) and 0 < x < math.inf, "a number above 0")
NOT_NEGATIVE = Bound(lambda x: is_number(x) and 0 <= x < math.inf, "a number of at least 0")
Count = Annotated[int, Bound(lambda x: is_number(x, int) and x >= 1, "a whole number of at least 1")]
CountOrZero = Annotated[int, Bound(lambda x: is_number(x, int) and x >= 0, "a whole number of at least 0")]
Switch = Annotated[bool, Bound(lambda x: isinstance(x, bool), "True or False")]
Number = Annotated[float, Bound(lambda x: is_number(x) and -math.inf < x < math.inf, "a finite number")]
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
    num_envs: Count = 1
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
        values = value if per_seed and isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if values is value and len(value) != num_seeds:
            raise ValueError(f"{field.name}: found {len(value)} numbers, expected one, or {num_seeds} (one a seed)")
        for number in () if optional and value is None else values:
            if not bound.holds(number):
                raise ValueError(habits.out_of_range(field.name, number, bound.words))
    return config


def make_config(config_class: type, num_seeds: int, hyperparameters: dict[str, Any]) -> Any:
    """A checked config, NumPy's numbers and arrays as Python's; raises ValueError for an unknown name, too."""
    if hyperparameters.keys() - {field.name for field in dataclasses.fields(config_class)}:
        raise ValueError(explain_hyperparameters(config_class, hyperparameters))
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in hyperparameters.items()}
    return check_config(config_class(**plain), num_seeds)


def explain_hyperparameters(config_class: type, given: dict[str, Any]) -> str:
    """Why these are not all hyper-parameters: our names of those that SB3's users know, else the names of all."""
    fields = [field.name for field in dataclasses.fields(config_class)]
    return habits.explain_hyperparameters(config_class.__name__.removesuffix("Config"), fields, given)


def describe_network(network: MakeNetwork) -> dict[str, Any] | None:
    """The name and keywords of a network of the zoo, as JSON can hold them; None for any other."""
    constructor, keywords = (network.func, network.keywords) if isinstance(network, partial) else (network, {})
    name = getattr(constructor, "__name__", "")
    if getattr(models, name, None) is not constructor or (isinstance(network, partial) and network.args):
        return None
    try:
        return {"name": name, "keywords": json.loads(json.dumps(keywords, default=lambda number: number.tolist()))}
    except (TypeError, AttributeError):
        return None


def restore_network(description: dict[str, Any]) -> MakeNetwork:
    """The inverse of `describe_network`."""
    constructor = getattr(models, description["name"], None)
    if not (inspect.isclass(constructor) and issubclass(constructor, nn.Module)):
        raise ValueError(f"network: found {description['name']!r}, expected a network of the zoo")
    return partial(constructor, **description["keywords"])
