"""Hyper-parameters: what each may be, and networks as something that can be written down."""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any

from torch import nn

import models

Numbers = float | Sequence[float]  # one for all seeds, or one a seed
MakeNetwork = Callable[..., nn.Module]  # called with (in_features, seeds=...), gives a trunk with `out_features`


class Role(IntEnum):
    """What a seed's random streams are for."""

    ENVS, NETWORKS, ACTING, REPLAY, UPDATE, PREDICT = range(6)


@dataclass(frozen=True)
class Bound:
    """What a number may be: a test, and the same in words."""

    holds: Callable[[Any], bool]
    words: str


@dataclass(frozen=True)
class AgentConfig:
    """Hyper-parameters that every agent has."""

    normalize_obs: bool = False  # by running mean and variance of each component
    normalize_reward: bool = False  # by the running spread of the discounted return
    sequence_length: int | None = None  # L, steps that a memory unrolls in an update; None: up to 16


# What each hyper-parameter may be, whichever agent has it: a test, and the same in words.
COUNT = (lambda x: isinstance(x, int) and x >= 1, "a whole number of at least 1")
COUNT_OR_ZERO = (lambda x: isinstance(x, int) and x >= 0, "a whole number of at least 0")
SHARE = (lambda x: 0 <= x <= 1, "a number from 0 to 1")
POSITIVE = (lambda x: 0 < x < math.inf, "a number above 0")
NOT_NEGATIVE = (lambda x: 0 <= x < math.inf, "a number of at least 0")
LIMITS = {
    "num_envs": COUNT,
    "num_steps": COUNT,
    "num_epochs": COUNT,
    "batch_size": COUNT,
    "buffer_size": COUNT,
    "train_every": COUNT,
    "num_updates": COUNT,
    "target_every": COUNT,
    "noise_every": COUNT,
    "exploration_steps": COUNT,
    "anneal_steps": COUNT,
    "n_step": COUNT,
    "sequence_length": COUNT,
    "policy_delay": COUNT,
    "learning_starts": COUNT_OR_ZERO,
    "gamma": SHARE,
    "gae_lambda": SHARE,
    "tau": SHARE,
    "final_epsilon": SHARE,
    "priority_exponent": SHARE,
    "importance_exponent": SHARE,
    "learning_rate": POSITIVE,
    "clip_range": POSITIVE,
    "max_grad_norm": POSITIVE,
    "entropy_weight": NOT_NEGATIVE,
    "noise_std": NOT_NEGATIVE,
    "target_noise_std": NOT_NEGATIVE,
    "target_noise_clip": NOT_NEGATIVE,
    "value_weight": NOT_NEGATIVE,
}


def check_config(config: Any, num_seeds: int) -> None:
    """Raise ValueError for a hyper-parameter out of its range, or one per seed (where allowed) of the wrong length."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        optional = "None" in str(field.type)
        if (optional and value is None) or field.name not in LIMITS:
            continue
        fits, words = LIMITS[field.name]
        if field.type == Numbers and isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) != num_seeds:
                raise ValueError(f"{field.name}: found {len(value)} numbers, expected one, or {num_seeds} (one a seed)")
            values = value
        else:
            values = [value]
        for number in values:
            if isinstance(number, bool) or not isinstance(number, int | float) or not fits(number):
                raise ValueError(f"{field.name}: found {number!r}, expected {words}")


def make_config(config_class: type, num_seeds: int, hyperparameters: dict[str, Any]) -> Any:
    """A checked config; raises ValueError for an unknown name too."""
    known = [field.name for field in dataclasses.fields(config_class)]
    for name in hyperparameters:
        if name not in known:
            raise ValueError(f"{name}: no hyper-parameter of this agent, which has {', '.join(known)}")
    config = config_class(**hyperparameters)
    check_config(config, num_seeds)
    return config


def describe_network(network: MakeNetwork) -> dict[str, Any] | None:
    """The name and keywords of a network of the zoo, as JSON can hold them; None for any other."""
    made, keywords = (network.func, network.keywords) if isinstance(network, partial) else (network, {})
    name = getattr(made, "__name__", "")
    if getattr(models, name, None) is not made or (isinstance(network, partial) and network.args):
        return None
    try:
        return {"name": name, "keywords": json.loads(json.dumps(keywords))}
    except TypeError:
        return None


def restore_network(description: dict[str, Any]) -> MakeNetwork:
    """The inverse of `describe_network`."""
    made = getattr(models, description["name"], None)
    if not (inspect.isclass(made) and issubclass(made, nn.Module)):
        raise ValueError(f"network: found {description['name']!r}, expected a network of the zoo")
    return partial(made, **description["keywords"])
