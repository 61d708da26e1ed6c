"""`name=value` on a command line: hyper-parameters, keywords of environments, widths of networks."""

import ast
import dataclasses
import difflib
from collections.abc import Sequence
from functools import partial
from typing import Any

import balancier
from agents import AGENTS
from agents.common.config import MakeNetwork, explain_hyperparameters, hyperparameter, make_config
from agents.common.make_env import plain_keywords
from experiments.common.flags import UsageError
from experiments.common.hyperparams import NETWORKS

WORDS = {"true": True, "false": False, "none": None}


def literal(text: str) -> Any:
    """A number, True, False, None, a list of them ("1,2"), or, where it is none of these, the text itself."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def assignments(flag: str, texts: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The values in `name=value`, by name; UsageError for anything else, and for a name given twice."""
    values: dict[str, Any] = {}
    for text in (text for group in texts for text in group or ("",)):
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name.isidentifier() or not value.strip():
            raise UsageError(f"{flag}: found {text!r}, expected name=value, without spaces")
        if name in values:
            raise UsageError(f"{flag}: found {name} twice, expected it once")
        values[name] = literal(value.strip())
    return values


def env_keywords(texts: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Keywords of an environment from --env-kwargs, as a checkpoint holds them."""
    values = assignments("--env-kwargs", texts)
    if "render_mode" in values:
        raise UsageError("--env-kwargs: found render_mode, expected none while training: balancier watch draws")
    try:
        balancier.check(**{"--env-kwargs: max_episode_steps": (values.get("max_episode_steps", 1), balancier.whole(1))})
        return plain_keywords(values, "--env-kwargs")
    except ValueError as error:
        raise UsageError(str(error)) from None


def hyperparameters(agent: str, texts: Sequence[Sequence[str]], num_seeds: int) -> dict[str, Any]:
    """Hyper-parameters of an agent from --set; UsageError for an unknown name or a value out of its range."""
    config_class = AGENTS[agent].Config
    known = [field.name for field in dataclasses.fields(config_class)]
    values = assignments("--set", texts)
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"--set: {unknown(agent, name, known)}")
        _, per_seed, bound = hyperparameter(config_class, name)
        if isinstance(value, tuple | list):
            values[name] = value = list(value)
            if not per_seed:
                raise UsageError(f"--set: {name}: found {value}, expected {bound.words} (the same for all seeds)")
        elif isinstance(value, float) and value.is_integer() and not bound.holds(value) and bound.holds(int(value)):
            values[name] = int(value)  # 1e6 where a whole number belongs
        try:
            make_config(config_class, num_seeds, {name: values[name]})
        except ValueError as error:
            raise UsageError(f"--set: {error}") from None
    return values


def unknown(agent: str, name: str, known: Sequence[str]) -> str:
    """What to say about a name that is no hyper-parameter of this agent."""
    close = difflib.get_close_matches(name, known, 3)
    if close:
        return f"found {name}, expected {' or '.join(close)}"
    having = [
        other for other, kind in AGENTS.items() if name in [field.name for field in dataclasses.fields(kind.Config)]
    ]
    if having:
        return f"found {name} for {agent}, expected it with {' or '.join(having)}"
    return explain_hyperparameters(AGENTS[agent].Config, {name: None})


WIDTHS = {"hidden": ("mlp", "cnn"), "hidden_size": ("elman", "gru", "lstm"), "channels": ("cnn",)}


def with_widths(name: str, network: MakeNetwork, widths: dict[str, Any]) -> MakeNetwork:
    """A network of the zoo with other widths; UsageError for a width that such a network does not have."""
    for width, having in WIDTHS.items():
        if widths.get(width) is not None and name not in having:
            flag = f"--{width.replace('_', '-')}"
            raise UsageError(f"{flag}: found it with --network {name}, expected {' or '.join(having)}")
        if widths.get(width) == ():
            raise UsageError(f"--{width.replace('_', '-')}: found nothing, expected one number or several")
    given = {width: value for width, value in widths.items() if value is not None}
    if name == "cnn" and "hidden" in given:
        if len(given["hidden"]) != 1:
            raise UsageError(f"--hidden: found {len(given['hidden'])} numbers, expected one: a cnn has one such layer")
        given["hidden"] = given["hidden"][0]
    if not given:
        return network
    constructor, keywords = (network.func, network.keywords) if isinstance(network, partial) else (network, {})
    return partial(constructor, **(keywords | given))


def network_name(network: MakeNetwork) -> str | None:
    """The name in NETWORKS of a network of the zoo."""
    constructor = network.func if isinstance(network, partial) else network
    names = [name for name, (_, known) in NETWORKS.items() if getattr(known, "func", known) is constructor]
    return names[0] if names else None
