"""One replica as a Stable-Baselines3 model, and such a model as an agent: only networks are copied.

Both sides must share them: MLPs of equal hidden layers, without a recurrent network and without normalization. What
only one side has is refused, so that actions and their distributions are always the same. SB3 is loaded when a function
needs it.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
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
from agents.common.make_env import Maker, make_env
from agents.common.spaces import num_choices
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
                if copied is not None and layer is policy[-1]:
                    weight, bias = weight.double() @ copied.there.T, copied.there @ bias.double() + copied.offset
                layer.weight.copy_(weight.T)
                layer.bias.copy_(bias)
        if hasattr(agent.policy, "log_std"):
            model.policy.log_std.copy_(agent.policy.log_std[replica.index] + scale_of(agent.action_space)[1].log())
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


def load_model(path: str | os.PathLike) -> Any:
    """The SB3 model in a file, of the class that saved it; ValueError if it is of none that we have, too."""
    import stable_baselines3 as sb3
    from stable_baselines3.common.save_util import load_from_zip_file

    expected = f"an SB3 model of {', '.join(FILES)}"
    try:
        data = load_from_zip_file(Path(path), device="cpu")[0] or {}
        name = next((name for name, key in FILES.items() if key in data and "cg_max_steps" not in data), None)
        if name is None:
            raise ValueError("one of another class")
        less = {"buffer_size": 1} if "buffer_size" in data else {}
        return getattr(sb3, name).load(path, device="cpu", **less)
    except FileNotFoundError:
        raise
    except Exception as error:  # SB3 raises whatever the file of another class happens to break
        raise ValueError(
            f"{path}: found no SB3 model that can be read ({one_line(error)}), expected {expected}"
        ) from error


def from_sb3(
    path: str | os.PathLike, env: str | Maker, *, seeds: int | Sequence[int] = 1, **hyperparameters: Any
) -> Agent:
    """An agent with the networks of a saved SB3 model (DQN, PPO, A2C, SAC or TD3, "MlpPolicy").

    Args:
        env: what it acts in, which no file of SB3's holds.
        seeds: how many agents, or their seeds; all begin with the same networks.
        hyperparameters: of our class: only networks are copied.

    Raises:
        ValueError: for a file of no such model, for a network that ours are not, and for other spaces.
    """
    model = load_model(path)
    if other := {"network", "normalize_obs", "dueling"} & hyperparameters.keys():
        raise ValueError(f"{min(other)}: found it beside a file, expected the networks that the file holds")
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
