"""What REINFORCE, A2C and PPO share: a policy, a critic, and a rollout of T steps to learn from once it is full.

S seed, N environments of one seed, T steps of a rollout, L steps of a sequence, C sequences, B minibatch, F features.
Sequences are for recurrent networks: elsewhere L is 1.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from agents.common.agent import SEQUENCE_LENGTH, Agent
from agents.common.config import AgentConfig, Count, LogStd, NotNegative, NotNegativePerSeed, PerSeed, Positive, Role
from agents.common.replay import Replay, Transitions, gather_samples
from agents.common.returns import gae
from agents.common.spaces import num_choices
from balancier import MOST, enough_memory
from models import MLP, Adam, CategoricalPolicy, GaussianPolicy, RMSprop, Value
from models.layers import orthogonal_
from models.streams import permutations


@dataclass(frozen=True)
class OnPolicyConfig(AgentConfig):
    """Hyper-parameters of all three."""

    num_steps: Count = 2048
    """T, steps of one rollout, usually 5 (A2C) to 2048 (PPO): more give better advantages, and fewer updates."""
    entropy_weight: NotNegativePerSeed = 0.0
    """Of the bonus for random actions, usually 0 to 0.02: higher explores longer, and ends less sure."""
    value_weight: NotNegative = 0.5
    """Of the critic's squared error, usually 0.5 to 1: matters where policy and critic share a network."""
    max_grad_norm: Positive | None = 0.5
    """Longer gradients are shortened to this norm, usually 0.5; lower makes steps safer and slower. None: no limit."""

    log_std_init: LogStd = 0.0
    """Logarithm of the first standard deviation of normal actions, in halves of their range, usually -2 to 0: higher
    explores farther."""


ConfigType = TypeVar("ConfigType", bound=OnPolicyConfig)


class OnPolicy(Agent[ConfigType]):
    optimizer_class: Callable[..., Adam | RMSprop] = Adam
    default_network = partial(MLP, hidden=(64, 64), activation="tanh")  # SB3's

    def build(self) -> None:
        config, vec_env = self.config, self.vec_env
        if config.num_steps % self.sequence_length:
            expected = f"a divisor of num_steps, {config.num_steps}"
            raise ValueError(f"sequence_length: found {self.sequence_length}, expected {expected}")
        if (config.sequence_length or 1) > (batch_size := getattr(config, "batch_size", MOST)):
            raise ValueError(
                f"sequence_length: found {config.sequence_length}, expected at most batch_size, {batch_size}"
            )
        if (choices := num_choices(vec_env.action_space)) is None:
            self.policy = GaussianPolicy(self.trunk(), vec_env.action_size, config.log_std_init, seeds=self.streams)
        else:
            self.policy = CategoricalPolicy(self.trunk(), choices, seeds=self.streams)
        self.critic = Value(self.trunk(), seeds=self.streams)
        orthogonal_(self.policy, 0.01, self.streams)  # SB3's start: all actions alike
        orthogonal_(self.critic, 1.0, self.streams)
        rate = self.per_seed(config.learning_rate).flatten()  # (S,)
        self.optimizer = self.optimizer_class(self.parameters(), rate, max_grad_norm=config.max_grad_norm)
        self.entropy_weight = self.per_seed(config.entropy_weight)  # (S, 1)
        size = config.num_steps * config.num_envs
        with enough_memory("num_steps", config.num_steps):
            self.rollout = Replay(len(self), size, self.encoder.packed_size, vec_env.action_size, self.obs.dtype)

    @property
    def default_sequence_length(self) -> int:
        steps = self.config.num_steps
        return max(length for length in range(1, SEQUENCE_LENGTH + 1) if steps % length == 0)

    def observe(self, step: Transitions) -> None:
        self.rollout.add(self.num_timesteps, step)
        if (self.iteration + 1) % self.config.num_steps == 0:
            if self.config.anneal_steps:
                self.anneal()
            self.losses = self.update(self.rollout.rollout(self.config.num_envs))

    def update(self, rollout: Transitions) -> dict[str, Tensor]:
        """Learn from a rollout, fields (S, T, N, ...); losses (S,) by name."""
        raise NotImplementedError

    def features(self, obs: Tensor) -> Tensor:
        """Of every step by itself: (S, T, N, O) -> (S, T, N, F)."""
        return self.encoder(obs.flatten(1, 2)).unflatten(1, obs.shape[1:3])

    @torch.no_grad()
    def advantages(self, rollout: Transitions, gae_lambda: PerSeed) -> tuple[Tensor, Tensor]:
        """Generalized advantages, and the returns that the critic should learn: their sums with its values; (S, T, N).

        An advantage says how much better an action was than the critic expected.
        """
        value, next_value = (self.critic(self.features(obs)) for obs in (rollout.obs, rollout.next_obs))
        decay = self.per_seed(gae_lambda)[..., None]  # (S, 1, 1)
        advantage = gae(rollout.reward, rollout.discount, rollout.done, value, next_value, decay)
        return advantage, advantage + value

    def sequences(self, *fields: Tensor) -> list[Tensor]:
        """Steps of environments cut into sequences: (S, T, N, ...) -> (S, C, L, ...) with C = T / L N."""
        return [x.unflatten(1, (-1, self.sequence_length)).transpose(2, 3).flatten(1, 2) for x in fields]

    def batch(self, obs: Tensor, *fields: Tensor) -> list[Tensor]:
        """A whole rollout as one batch: fields (S, T, N, ...) to observations (S, C, L, O) and others (S, B, ...)."""
        sequences, *others = self.sequences(obs, *fields)
        return [sequences, *(x.flatten(1, 2) for x in others)]

    def minibatches(self, num_epochs: int, batch_size: int, *fields: Tensor) -> Iterator[list[Tensor]]:
        """Random minibatches of whole sequences; each epoch has an order of its own. Fields as of `batch`."""
        obs, *others = self.sequences(*fields)  # the others are gathered as one table
        table = torch.cat([x.reshape(*x.shape[:3], -1) for x in others], -1)  # (S, C, L, all components)
        orders = permutations(self.seeds, (Role.UPDATE, self.iteration), num_epochs, obs.shape[1])
        for order in orders.unbind(1):  # (S, C)
            for index in order.split(max(1, batch_size // self.sequence_length), 1):
                first, samples = gather_samples(index, obs, table)
                parts = samples.split([math.prod(x.shape[3:]) for x in others], -1)
                yield [first, *(part.reshape(len(index), -1, *x.shape[3:]) for part, x in zip(parts, others))]  # noqa: B905

    def evaluate_actions(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        """Of observations (S, C, L, O) and actions (S, B, A): the critic's value, log pi(a | s), and the bonus for
        random actions, which is their weighted entropy; (S, B)."""
        features = self.encoder(obs).flatten(1, 2)  # (S, B, F) with B = C L
        distribution = self.policy(features)
        # Without weight the entropy would only take time.
        bonus = self.entropy_weight * distribution.entropy if np.any(self.config.entropy_weight) else 0.0
        return self.critic(features), distribution.log_prob(action), bonus
