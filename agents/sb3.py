"""One replica as a Stable-Baselines3 model, and such a model as an agent: only networks are copied.

Both sides must share them: MLPs of equal hidden layers, without a recurrent network and without normalization. What
only one side has is refused, so that actions and their distributions are always the same. SB3 is loaded when a function
needs it.
"""

import base64
import io
import json
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from torch import Tensor, nn

from agents import AGENTS
from agents.common.acting import Replica
from agents.common.agent import Agent
from agents.common.checkpoint import CheckpointError, read_file
from agents.common.make_env import Maker, make_env
from agents.common.spaces import num_choices
from balancier import is_number
from models import MLP

ACTIVATIONS: dict[Any, Any] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
# Agents that SB3 has too, each with a name that only its files hold, in the order in which they are looked for.
FILES = {
    "DQN": "exploration_fraction",
    "SAC": "target_entropy",
    "TD3": "policy_delay",
    "PPO": "n_epochs",
    "A2C": "gae_lambda",
}
Pair = tuple[Tensor, Tensor]  # a layer's weight (in, out) and bias (out)


def affine(trunk: nn.Module, *heads: nn.Module, index: int = 0) -> list[Pair]:
    """Weights of replica `index`: of an MLP's layers, then of the heads on it."""
    layers = [*trunk.hidden, *heads]  # type: ignore[misc]
    return [(layer.weight.data[index], layer.bias.data[index]) for layer in layers]


def linears(*modules: nn.Module) -> list[nn.Linear]:
    """PyTorch's linear layers in their order."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]


def networks(model: Any) -> list[list[nn.Linear]]:
    """The layers of each network of an SB3 model, the policy's first; SAC's policy ends with two heads."""
    policy, name = model.policy, type(model).__name__
    if name == "DQN":
        return [linears(policy.q_net), linears(policy.q_net_target)]
    if name in ("PPO", "A2C"):
        extractor = policy.mlp_extractor
        return [linears(extractor.policy_net, policy.action_net), linears(extractor.value_net, policy.value_net)]
    if name == "SAC":
        actors = [linears(policy.actor.latent_pi, policy.actor.mu, policy.actor.log_std)]
    else:
        actors = [linears(policy.actor.mu), linears(policy.actor_target.mu)]
    return actors + [linears(q) for critic in (policy.critic, policy.critic_target) for q in critic.q_networks]


def replica_networks(agent: Any, index: int) -> list[list[Pair]]:
    """The layers of each network of a replica, in the order of `networks`."""
    name, policy = type(agent).__name__, agent.policy
    if name == "DQN":
        return [affine(ours.trunk, ours.head, index=index) for ours in (policy.values, agent.target_values)]
    if name in ("PPO", "A2C"):
        actor = policy.mean if hasattr(policy, "mean") else policy.logits
        return [affine(ours.trunk, ours.head, index=index) for ours in (actor, agent.critic)]
    if name == "SAC":
        (*hidden, (weight, bias)) = affine(policy.mean_and_log_std.trunk, policy.mean_and_log_std.head, index=index)
        actors = [[*hidden, *zip(weight.chunk(2, 1), bias.chunk(2), strict=True)]]
    else:
        actors = [affine(ours.raw.trunk, ours.raw.head, index=index) for ours in (policy, agent.target_policy)]
    twins = index, index + len(agent)
    critics = agent.critics, agent.target_critics
    return actors + [affine(ours.trunk, ours.head, index=twin) for ours in critics for twin in twins]


def pairs(agent: Any, index: int, model: Any) -> list[tuple[list[Pair], list[nn.Linear]]]:
    """Corresponding layers of a replica and of an SB3 model, network by network."""
    return list(zip(replica_networks(agent, index), networks(model), strict=True))


class OutputMap(NamedTuple):
    """Between a policy's outputs: SB3's are `there` @ ours + `offset`, and ours are `back` @ (SB3's - `offset`)."""

    there: Tensor  # (J, K)
    back: Tensor  # (K, J)
    offset: Tensor  # (J,)


def output_map(agent: Any) -> OutputMap | None:
    """How the last layers of a policy differ; None where they do not.

    SB3's PPO and A2C act in the environment's units, ours in [-1, 1]. For discrete choices ours has as many logits for
    each as the largest needs; of a binary choice SB3 has the difference of both logits alone.
    """
    space = agent.vec_env.action_space
    if type(agent).__name__ not in ("PPO", "A2C"):
        return None
    if isinstance(space, Box):
        middle, half = scale_of(space)
        return OutputMap(half.diag(), (1 / half).diag(), middle)
    choices: Any = num_choices(space)
    present = (torch.arange(max(choices)) < torch.tensor(choices)[:, None]).flatten()  # (C n,)
    back = torch.eye(len(present), dtype=torch.float64)[:, present]  # (C n, J)
    there = back.T
    if isinstance(space, MultiBinary):
        there, back = there[1::2] - there[::2], back[:, 1::2]
    return OutputMap(there, back, torch.zeros(len(there), dtype=torch.float64))


def scale_of(space: Box) -> Pair:
    """Middle and half width (A,) of the bounds, in float64; 1 where both bounds are one number."""
    low, high = (torch.as_tensor(bound.reshape(-1), dtype=torch.float64) for bound in (space.low, space.high))
    half = high / 2 - low / 2
    return low / 2 + high / 2, torch.where(half > 0, half, 1.0)


def mismatches(model: Any, env: gym.Env | Any) -> Iterator[str]:
    """What of an SB3 model, or between it and an environment, has no counterpart here: "found ..., expected ..."."""
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.common.preprocessing import is_image_space
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
    from stable_baselines3.dqn.policies import DQNPolicy
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.td3.policies import TD3Policy

    policy, kinds = model.policy, (ActorCriticPolicy, DQNPolicy, SACPolicy, TD3Policy)
    if type(policy) not in kinds:
        yield f"found the policy {type(policy).__name__}, expected MlpPolicy"
        return
    for module in policy.modules():
        if isinstance(module, BaseFeaturesExtractor) and type(module) is not FlattenExtractor:
            yield f"found the features extractor {type(module).__name__}, expected FlattenExtractor"
    if model.use_sde:
        yield "found state-dependent exploration (use_sde), expected none"
    if getattr(getattr(policy, "critic", None), "n_critics", 2) != 2:
        yield f"found n_critics {policy.critic.n_critics}, expected 2 (SB3's DDPG has 1)"
    if policy.activation_fn not in ACTIVATIONS:
        name = getattr(policy.activation_fn, "__name__", policy.activation_fn)
        yield f"found the activation {name}, expected ReLU, Tanh or Sigmoid and equal networks"
    if len({tuple(sizes) for sizes in hidden_sizes(model)}) > 1:
        arch = policy.net_arch
        yield f"found the architecture {arch}, expected ReLU, Tanh or Sigmoid and equal networks"
    if isinstance(policy, ActorCriticPolicy) and model._last_original_obs is not None:
        yield "found a model trained with VecNormalize, whose statistics its file does not hold, expected one without"
    for name in ("observation_space", "action_space"):
        theirs, ours, words = getattr(model, name), getattr(env, name), name.replace("_", " ")
        if theirs != ours:
            yield f"found {words} {one_line(theirs)}, expected that of the environment, {one_line(ours)}"
        if isinstance(ours, Discrete | MultiDiscrete) and np.any(ours.start):
            yield f"found {words} {one_line(ours)}, expected a start of 0, the only one of SB3"
    if isinstance(env.observation_space, Box) and env.observation_space.shape == ():
        yield "found observations of shape (), which SB3's networks do not take, expected at least one axis"
    space = env.action_space
    if isinstance(space, Box) and not np.issubdtype(space.dtype, np.floating):
        yield f"found actions of {space.dtype}, which SB3 does not round, expected a Box of float32 or float64"
    if isinstance(space, Box) and isinstance(policy, ActorCriticPolicy):
        half, std = scale_of(space)[1], policy.log_std.detach().double().exp()
        if (half * torch.finfo(torch.float32).eps > 0.01 * std).any():  # float32's steps, as shares of the range
            yield f"found a standard deviation of {std.min():.2g}, expected a wider one for the range of {space}"
    vec_env = getattr(getattr(env, "agent", env), "vec_env", None)  # of an agent or a replica; a model has none
    divided = policy.normalize_images and is_image_space(env.observation_space)
    if vec_env is not None and vec_env.is_uint8 != divided:
        yield "found bytes that one side alone divides by 255, expected images with normalize_images, or other numbers"


def hidden_sizes(model: Any) -> list[list[int]]:
    """Sizes of the hidden layers of each network of an SB3 model."""
    heads = 2 if type(model).__name__ == "SAC" else 1
    policy, *others = networks(model)
    return [[layer.out_features for layer in layers] for layers in (policy[:-heads], *(other[:-1] for other in others))]


def one_line(value: Any) -> str:
    """A value as text without line breaks, an error as its message, too."""
    return " ".join(str(value).split())


def to_sb3(replica: Replica, **keywords: Any) -> Any:
    """An SB3 model that predicts what this replica predicts, and that can go on learning there.

    Args:
        replica: of a policy alone (saved with policy_only=True) only that is copied, and a warning says so.
        keywords: further ones of the SB3 class, its learning rate for example: only networks are copied.

    Raises:
        ValueError: where SB3 has no such agent, network or space.
    """
    import stable_baselines3 as sb3

    if not isinstance(replica, Replica):
        raise ValueError(f"to_sb3: found {type(replica).__name__}, expected one replica of an agent: agent[i]")
    agent: Any = replica.agent
    name, network = type(agent).__name__, agent.network
    if name not in FILES:
        raise ValueError(f"to_sb3: found a {name}, expected an agent that SB3 has")
    constructor = network.func if isinstance(network, partial) else network
    if constructor is not MLP or agent.encoder.statistics is not None or getattr(agent.config, "dueling", False):
        raise ValueError(
            "to_sb3: found a network that SB3 does not have, expected an MLP without normalization or dueling"
        )
    sizes, activation = network_of(agent)
    policy_kwargs = {"net_arch": sizes, "activation_fn": activation} | keywords.pop("policy_kwargs", {})
    given = {"device": "cpu"} | keywords
    try:
        model = getattr(sb3, name)(
            "MlpPolicy", make_env(agent.env, agent.env_kwargs), policy_kwargs=policy_kwargs, **given
        )
    except (AssertionError, NotImplementedError, ValueError) as error:
        raise ValueError(f"to_sb3: found what SB3 refuses ({one_line(error)}), expected what both have") from error
    for mismatch in mismatches(model, replica):
        raise ValueError(f"to_sb3: {mismatch}")
    if hidden_sizes(model)[0] != sizes or model.policy.activation_fn is not activation:
        raise ValueError(f"to_sb3: found policy_kwargs of another network, expected that of the agent, {sizes}")
    copied, (policy, *_) = output_map(agent), networks(model)
    whole, travelers = not agent.policy_only, pairs(agent, replica.index, model)
    if not whole:
        warnings.warn("to_sb3: found a policy alone, so what else SB3's model learns with is new", stacklevel=2)
    with torch.no_grad():
        for ours, theirs in travelers if whole else travelers[:1]:
            for (weight, bias), layer in zip(ours, theirs, strict=True):
                weight, bias = weight.cpu(), bias.cpu()
                if copied is not None and layer is policy[-1]:
                    weight, bias = weight.double() @ copied.there.T, copied.there @ bias.double() + copied.offset
                layer.weight.copy_(weight.T)
                layer.bias.copy_(bias)
        if hasattr(agent.policy, "log_std"):
            log_std = agent.policy.log_std[replica.index].cpu()
            model.policy.log_std.copy_(log_std + scale_of(agent.action_space)[1].log())
        if getattr(model, "log_ent_coef", None) is not None and whole:
            model.log_ent_coef.copy_(agent.log_temperature[replica.index])
    if name == "DQN":
        model.exploration_rate = agent.policy.epsilon[replica.index].item()
    return model


def network_of(agent: Any) -> tuple[list[int], type[nn.Module]]:
    """Hidden sizes and PyTorch's activation of an agent's MLPs."""
    trunk = next(module for module in agent.policy.modules() if isinstance(module, MLP))
    names = {getattr(torch, name): kind for kind, name in ACTIVATIONS.items()}
    return [layer.out_features for layer in trunk.hidden], names[trunk.activation]  # type: ignore[union-attr]


class NotPlain(ValueError):
    """What a file of SB3's holds as a pickle alone, which runs code when it is read."""

    def __init__(self, name: str):
        reason = "which can run any code of whoever made the file"
        super().__init__(
            f"found {name} as a pickle alone, {reason}, expected it as JSON; trust=True reads it nevertheless"
        )


def file_name(path: str | os.PathLike) -> Path:
    """The file itself; as in SB3, its name may be given without the ending."""
    path = Path(path)
    return path if path.exists() or path.suffix else path.with_suffix(".zip")


def load_model(path: str | os.PathLike, spaces: tuple[gym.Space, gym.Space], trust: bool) -> Any:
    """The SB3 model in a file, of the class that saved it, and in these observation and action spaces.

    Pickles in the file are not read: what is needed of them SB3 writes as JSON, too. With `trust` SB3 itself reads the
    file, and runs them.

    Raises ValueError for a file of no class that we have, and for what only a pickle tells.
    """
    import stable_baselines3 as sb3

    expected = f"an SB3 model of {', '.join(FILES)}"
    try:
        with zipfile.ZipFile(io.BytesIO(read_file(file_name(path)))) as archive:
            data = json.loads(archive.read("data"))
            tables = {name: read_tensors(archive, f"{name}.pth") for name in ("policy", "pytorch_variables")}
        name = next((name for name, key in FILES.items() if key in data and "cg_max_steps" not in data), None)
        if name is None:
            raise ValueError("one of another class")
        kind = getattr(sb3, name)
        if trust:
            return kind.load(path, device="cpu", **({"buffer_size": 1} if "buffer_size" in data else {}))
        return restore_model(kind, data, tables["policy"], tables["pytorch_variables"], spaces)
    except (FileNotFoundError, CheckpointError):
        raise
    except (NotPlain, Mismatch) as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # SB3 raises whatever the file of another class happens to break
        raise ValueError(
            f"{path}: found no SB3 model that can be read ({one_line(error)}), expected {expected}"
        ) from error


def read_tensors(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    """A table of tensors in a file of SB3's; nothing but tensors is made of it."""
    if name not in archive.namelist():
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of a pickle that it then refuses
        return torch.load(io.BytesIO(archive.read(name)), map_location="cpu", weights_only=True) or {}


class Mismatch(ValueError):
    """What of a model has no counterpart here."""


def restore_model(kind: Any, data: dict[str, Any], parameters: Any, variables: Any, spaces: Any) -> Any:
    """An SB3 model of this class, made anew with the parameters of a file, and with what its JSON tells."""
    from stable_baselines3.common.policies import ActorCriticPolicy
    from stable_baselines3.dqn.policies import DQNPolicy
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.td3.policies import TD3Policy

    policy = {"DQN": DQNPolicy, "SAC": SACPolicy, "TD3": TD3Policy}.get(kind.__name__, ActorCriticPolicy)
    found = class_name(data["policy_class"], "policy_class")
    if found != f"{policy.__module__}.{policy.__name__}":
        raise Mismatch(f"found the policy {found.rpartition('.')[2]}, expected MlpPolicy")
    if data["use_sde"]:
        raise Mismatch("found state-dependent exploration (use_sde), expected none")
    keywords = policy_keywords(data["policy_kwargs"])
    arch, numbers = keywords.get("net_arch", []), sum(x.numel() for x in parameters.values())
    for sizes in arch.values() if isinstance(arch, dict) else [arch]:
        if not all(is_number(size, int) and 0 < size <= numbers for size in sizes):
            raise Mismatch(f"found the architecture {arch}, expected widths that the file has numbers for")
        if sum(a * b for a, b in pairwise(sizes)) > numbers:
            raise Mismatch(f"found the architecture {arch}, expected one of at most {numbers} numbers")
    for name, space in zip(("observation_space", "action_space"), spaces, strict=True):
        check_space(name, data[name], space)
    model = kind(policy, None, device="cpu", _init_setup_model=False)
    model.observation_space, model.action_space = spaces
    model.n_envs, model.policy_kwargs, model.buffer_size, model.target_entropy = 1, keywords, 1, 0.0
    for name in ("ent_coef", "exploration_rate", "_last_original_obs"):
        if name in data:
            if isinstance(data[name], dict) and name != "_last_original_obs":
                raise NotPlain(name)
            setattr(model, name, data[name])
    model._setup_model()
    if "exploration_rate" in data:
        model.exploration_rate = float(data["exploration_rate"])
    model.policy.load_state_dict(parameters)
    for name in variables.keys() & {"log_ent_coef", "ent_coef_tensor"}:
        if variables[name] is not None:
            getattr(model, name).data.copy_(variables[name].data)
    return model


def class_name(pickled: Any, name: str) -> str:
    """The module and name of a class that is pickled by its name; nothing of the pickle is run.

    Raises NotPlain for any other pickle.
    """
    try:
        steps = pickletools.genops(base64.b64decode(pickled[":serialized:"]))
        parts = [(step.name, value) for step, value, _ in steps if step.name not in ("PROTO", "FRAME", "MEMOIZE")]
    except Exception:
        raise NotPlain(name) from None
    *texts, (last, _), (stop, _) = parts if len(parts) == 4 else [("", "")] * 4
    if not all(kind.endswith("BINUNICODE") for kind, _ in texts) or (last, stop) != ("STACK_GLOBAL", "STOP"):
        raise NotPlain(name)
    return ".".join(str(text) for _, text in texts)


# Keywords of SB3's policies: those whose values are JSON, and those that say nothing about the networks.
PLAIN = ("net_arch", "log_std_init", "ortho_init", "full_std", "use_expln", "clip_mean", "squash_output", "n_critics")
PLAIN += ("share_features_extractor", "normalize_images", "use_sde")
IGNORED = ("optimizer_class", "optimizer_kwargs", "features_extractor_kwargs", "activation_fn", "device")


def policy_keywords(pickled: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a policy by what JSON tells of them; raises Mismatch or NotPlain where that is not enough."""
    given = {name: value for name, value in pickled.items() if name not in (":type:", ":serialized:")}
    keywords: dict[str, Any] = {}
    if "activation_fn" in given:
        text, kinds = str(given["activation_fn"]), {str(kind): kind for kind in ACTIVATIONS}
        if text not in kinds:
            name = one_line(text).removesuffix("'>").rpartition(".")[2]
            raise Mismatch(f"found the activation {name}, expected ReLU, Tanh or Sigmoid and equal networks")
        keywords["activation_fn"] = kinds[text]
    extractor = str(given.pop("features_extractor_class", "FlattenExtractor'>")).removesuffix("'>")
    if extractor.rpartition(".")[2] != "FlattenExtractor":
        raise Mismatch(f"found the features extractor {extractor.rpartition('.')[2]}, expected FlattenExtractor")
    for name, value in given.items():
        if name not in PLAIN + IGNORED or (name in PLAIN and isinstance(value, str)):
            raise NotPlain(f"policy_kwargs[{name!r}]")
        if name in PLAIN:
            old = isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict)  # of SB3 below 1.8
            keywords[name] = value[0] if old else value
    return keywords


def check_space(name: str, described: dict[str, Any], space: gym.Space) -> None:
    """Raise Mismatch unless a space of the environment is what the JSON of a file tells of its own one."""
    kind = str(described.get(":type:", "")).removesuffix("'>").rpartition(".")[2]
    parts = {part: getattr(space, part) for part in ("_shape", "dtype", "n", "nvec", "start", "low", "high")
             if hasattr(space, part)}  # fmt: skip
    usual = {"start": "0"}
    if missing := parts.keys() - described.keys() - usual.keys():
        if kind == type(space).__name__:
            raise NotPlain(f"{min(missing)} of the {name.replace('_', ' ')}")
    elif kind == type(space).__name__ and all(
        listed(described.get(part, "0")) == listed(value) or close(described.get(part, "0"), value)
        for part, value in parts.items()
    ):
        return
    known = [f"{part.strip('_')}={one_line(described[part])}" for part in parts if part in described]
    words, theirs = name.replace("_", " "), f"{kind}({', '.join(known)})"
    raise Mismatch(f"found {words} {theirs}, expected that of the environment, {one_line(space)}")


def listed(value: Any) -> str:
    """A part of a space as one text, whether it comes from JSON or from a space."""
    return one_line(re.sub(r"[\[\](),]", " ", str(value)))


def close(text: Any, value: Any) -> bool:
    """Whether both are the same numbers, as far as an array that was printed tells."""
    try:
        one, other = ([float(number) for number in listed(x).split()] for x in (text, value))
    except ValueError:
        return False
    return len(one) == len(other) and np.allclose(one, other, rtol=1e-6, atol=1e-8)


def from_sb3(
    path: str | os.PathLike,
    env: str | Maker,
    *,
    seeds: int | Sequence[int] = 1,
    trust: bool = False,
    **hyperparameters: Any,
) -> Agent:
    """An agent with the networks of a saved SB3 model (DQN, PPO, A2C, SAC or TD3, "MlpPolicy").

    Args:
        env: what it acts in, which no file of SB3's holds.
        seeds: how many agents, or their seeds; all begin with the same networks.
        trust: read the pickles in the file, too, which run code of whoever made it. Without, parameters and JSON are
            read alone, which is enough for what SB3 itself saves.
        hyperparameters: of our class: only networks are copied.

    Raises:
        ValueError: for a file of no such model, for a network that ours are not, for other spaces, and for what only a
            pickle in the file tells.
    """
    if other := {"network", "normalize_obs", "dueling"} & hyperparameters.keys():
        raise ValueError(f"{min(other)}: found it beside a file, expected the networks that the file holds")
    single = make_env(env, hyperparameters.get("env_kwargs") or {})
    spaces = single.observation_space, single.action_space
    single.close()
    model = load_model(path, spaces, trust)
    for mismatch in mismatches(model, model):
        raise ValueError(f"{path}: {mismatch}")
    network = partial(MLP, hidden=tuple(hidden_sizes(model)[0]), activation=ACTIVATIONS[model.policy.activation_fn])
    agent: Any = AGENTS[type(model).__name__.lower()](env, seeds=seeds, network=network, **hyperparameters)
    for mismatch in mismatches(model, agent):
        raise ValueError(f"{path}: {mismatch}")
    copied, (policy, *_) = output_map(agent), networks(model)
    with torch.no_grad():
        for index in range(len(agent)):
            for ours, theirs in pairs(agent, index, model):
                for (weight, bias), layer in zip(ours, theirs, strict=True):
                    new_weight, new_bias = layer.weight.double(), layer.bias.double()  # (out, in), (out,)
                    if copied is not None and layer is policy[-1]:
                        new_weight, new_bias = copied.back @ new_weight, copied.back @ (new_bias - copied.offset)
                    weight.copy_(new_weight.T)
                    bias.copy_(new_bias)
        if hasattr(agent.policy, "log_std"):
            agent.policy.log_std.copy_(model.policy.log_std - scale_of(agent.action_space)[1].log())
        if hasattr(agent, "log_temperature"):
            learned = model.log_ent_coef is not None
            agent.log_temperature.copy_(model.log_ent_coef if learned else model.ent_coef_tensor.log())
    if hasattr(agent.policy, "epsilon"):
        agent.policy.epsilon.fill_(model.exploration_rate)
    return agent
