"""One replica as a Stable-Baselines3 model, and such a model as an agent of one seed: only networks are copied.

Both sides must share them: an MLP, without a recurrent network and without normalization. SB3 is loaded when a function
needs it.
"""

import os
from functools import partial
from typing import Any

import gymnasium as gym
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from agents import AGENTS
from agents.common.acting import Replica
from agents.common.agent import Agent
from agents.common.make_env import Maker
from models import MLP

ACTIVATIONS: dict[Any, Any] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
SHARED = ("DQN", "PPO", "A2C", "SAC", "TD3")  # agents that SB3 has too
Pair = tuple[Tensor, Tensor]  # a layer's weight (in, out) and bias (out)


def affine(trunk: nn.Module, *heads: nn.Module, index: int = 0) -> list[Pair]:
    """Weights of replica `index`: of an MLP's layers, then of the heads on it."""
    layers = [*trunk.hidden, *heads]  # type: ignore[misc]
    return [(layer.weight.data[index], layer.bias.data[index]) for layer in layers]


def linears(*modules: nn.Module) -> list[nn.Linear]:
    """PyTorch's linear layers in their order."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Linear)]


def pairs(agent: Any, index: int, model: Any) -> list[tuple[list[Pair], list[nn.Linear]]]:
    """Corresponding layers of a replica and of an SB3 model, network by network."""
    name, policy, theirs = type(agent).__name__, agent.policy, model.policy
    if name == "DQN":
        networks = [(policy.values, theirs.q_net), (agent.target_values, theirs.q_net_target)]
        return [(affine(ours.trunk, ours.head, index=index), linears(other)) for ours, other in networks]
    if name in ("PPO", "A2C"):
        head = policy.mean if hasattr(policy, "mean") else policy.logits
        actor = linears(theirs.mlp_extractor.policy_net, theirs.action_net)
        critic = linears(theirs.mlp_extractor.value_net, theirs.value_net)
        ours = affine(head.trunk, head.head, index=index), affine(agent.critic.trunk, agent.critic.head, index=index)
        return list(zip(ours, (actor, critic), strict=True))
    layers = []
    if name == "SAC":
        (*hidden, (weight, bias)) = affine(policy.mean_and_log_std.trunk, policy.mean_and_log_std.head, index=index)
        halves = list(zip(weight.chunk(2, 1), bias.chunk(2), strict=True))
        layers.append(([*hidden, *halves], linears(theirs.actor.latent_pi, theirs.actor.mu, theirs.actor.log_std)))
    else:
        for ours, other in (policy, theirs.actor), (agent.target_policy, theirs.actor_target):
            layers.append((affine(ours.raw.trunk, ours.raw.head, index=index), linears(other.mu)))
    for ours, other in (agent.critics, theirs.critic), (agent.target_critics, theirs.critic_target):
        for twin, network in enumerate((other.qf0, other.qf1)):
            layers.append((affine(ours.trunk, ours.head, index=index + twin * len(agent)), linears(network)))
    return layers


def scale_of(agent: Any) -> tuple[Tensor, Tensor] | None:
    """Middle and half width (A,) of the actions where SB3's policy acts in the environment's units; else None."""
    space = agent.vec_env.action_space
    if type(agent).__name__ not in ("PPO", "A2C") or not isinstance(space, Box):
        return None
    low, high = (
        torch.as_tensor(bound.reshape(-1), dtype=torch.get_default_dtype()) for bound in (space.low, space.high)
    )
    return (low + high) / 2, (high - low) / 2


def to_sb3(replica: Replica, **keywords: Any) -> Any:
    """An SB3 model that predicts what this replica predicts, and that can go on learning there.

    Args:
        keywords: further ones of the SB3 class, its learning rate for example: only networks are copied.

    Raises:
        ValueError: where SB3 has no such agent or network.
    """
    import stable_baselines3 as sb3

    agent: Any = replica.agent
    index = replica.index
    name, network = type(agent).__name__, agent.network
    if name not in SHARED:
        raise ValueError(f"to_sb3: found a {name}, expected an agent that SB3 has")
    constructor = network.func if isinstance(network, partial) else network
    if constructor is not MLP or agent.encoder.statistics is not None or getattr(agent.config, "dueling", False):
        raise ValueError(
            "to_sb3: found a network that SB3 does not have, expected an MLP without normalization or dueling"
        )
    chosen: dict[str, Any] = network.keywords if isinstance(network, partial) else {}
    activation = {name: kind for kind, name in ACTIVATIONS.items()}[chosen.get("activation", "relu")]
    env = agent.env() if callable(agent.env) else gym.make(agent.env, **agent.env_kwargs)
    policy_kwargs = {"net_arch": list(chosen.get("hidden", (64, 64))), "activation_fn": activation}
    policy_kwargs |= keywords.pop("policy_kwargs", {})
    model = getattr(sb3, name)("MlpPolicy", env, policy_kwargs=policy_kwargs, device="cpu", **keywords)
    scale = scale_of(agent)
    with torch.no_grad():
        for network_index, (ours, theirs) in enumerate(pairs(agent, index, model)):
            for (weight, bias), layer in zip(ours, theirs, strict=True):
                layer.weight.copy_(weight.T)
                layer.bias.copy_(bias)
            if scale is not None and network_index == 0:
                theirs[-1].weight.mul_(scale[1][:, None])
                theirs[-1].bias.mul_(scale[1]).add_(scale[0])
        if scale is not None:
            model.policy.log_std.copy_(agent.policy.log_std[index] + scale[1].log())  # type: ignore[index,operator]
        if name == "SAC" and hasattr(model, "log_ent_coef"):
            model.log_ent_coef.copy_(agent.log_temperature[index])  # type: ignore[index]
    return model


def from_sb3(path: str | os.PathLike, env: str | Maker, **hyperparameters: Any) -> Agent:
    """An agent of one seed with the networks of a saved SB3 model (DQN, PPO, A2C, SAC or TD3, "MlpPolicy").

    Args:
        env: what it acts in, which no file of SB3's holds.
        hyperparameters: of our class: only networks are copied.

    Raises:
        ValueError: for a file of no such model.
    """
    import stable_baselines3 as sb3

    model, reasons = None, []
    for name in SHARED:
        try:
            model = getattr(sb3, name).load(path, device="cpu")
            linear_layers = linears(model.policy)
            break
        except FileNotFoundError:
            raise
        except Exception as error:  # SB3 raises whatever the file of another class happens to break
            reasons.append(f"{name}: {error}")
    if model is None:
        raise ValueError(f"{path}: found no SB3 model of DQN, PPO, A2C, SAC or TD3 ({'; '.join(reasons)})")
    name = type(model).__name__
    if not linear_layers:
        raise ValueError(f"{path}: found a policy without linear layers, expected an MlpPolicy")
    arch = model.policy.net_arch
    hidden = arch if isinstance(arch, list) else arch.get("pi", ())
    activation = ACTIVATIONS.get(model.policy.activation_fn)
    if activation is None or (isinstance(arch, dict) and len({tuple(sizes) for sizes in arch.values()}) > 1):
        found = f"the activation {model.policy.activation_fn.__name__} and the architecture {arch}"
        raise ValueError(f"{path}: found {found}, expected ReLU, Tanh or Sigmoid and equal networks")
    network = partial(MLP, hidden=tuple(hidden), activation=activation)
    agent = AGENTS[name.lower()](env, seeds=1, network=network, **hyperparameters)
    scale = scale_of(agent)
    with torch.no_grad():
        for network_index, (ours, theirs) in enumerate(pairs(agent, 0, model)):
            for at, ((weight, bias), layer) in enumerate(zip(ours, theirs, strict=True)):
                last = scale is not None and network_index == 0 and at == len(ours) - 1
                middle, half = scale if last and scale is not None else (torch.zeros(()), torch.ones(()))
                weight.copy_((layer.weight / half.reshape(-1, 1) if last else layer.weight).T)
                bias.copy_((layer.bias - middle) / half)
        if scale is not None:
            agent.policy.log_std[0] = model.policy.log_std - scale[1].log()  # type: ignore[index,operator]
    return agent
