"""What REINFORCE, A2C and PPO share: a policy, a critic, and a rollout of T steps to learn from once it is full.

S seed, N environments of one seed, T steps of a rollout, L steps of a sequence, C sequences, F features.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.common.agent import SEQUENCE_LENGTH, Agent
from agents.common.config import AgentConfig, Numbers
from agents.common.replay import Replay, Transitions
from agents.common.returns import gae
from agents.common.vec_env import Step
from models import Adam, CategoricalPolicy, GaussianPolicy, RMSprop, Value


@dataclass(frozen=True)
class OnPolicyConfig(AgentConfig):
    """Hyper-parameters of all three."""

    normalize_obs: bool = True
    normalize_reward: bool = True
    num_envs: int = 8  # N, environments of one seed
    num_steps: int = 128  # T, length of one rollout
    learning_rate: Numbers = 1e-3
    gamma: Numbers = 0.98  # discount per step
    entropy_weight: Numbers = 0.0  # of the bonus for staying undecided
    value_weight: float = 0.5  # of the critic's squared error
    max_grad_norm: float | None = None
    anneal_steps: int | None = None  # steps over which the learning rate falls to a twentieth


class OnPolicy(Agent):
    optimizer_class: Any = Adam

    def build(self) -> None:
        config, worlds = self.config, self.vec_env
        if config.num_steps % self.sequence_length:
            raise ValueError(
                f"sequence_length: found {self.sequence_length}, expected a divisor of num_steps, {config.num_steps}"
            )
        if worlds.choices is None:
            self.policy = GaussianPolicy(self.make_trunk(), worlds.action_size, seeds=self.streams)
        else:
            self.policy = CategoricalPolicy(self.make_trunk(), worlds.choices, seeds=self.streams)
        self.critic = Value(self.make_trunk(), seeds=self.streams)
        self.optimizer: Adam | RMSprop = self.optimizer_class(
            [*self.encoder.parameters(), *self.policy.parameters(), *self.critic.parameters()],
            self.per_seed(config.learning_rate).flatten(),
            max_grad_norm=config.max_grad_norm,
        )
        self.gamma = self.per_seed(config.gamma)[..., None]  # (S, 1, 1)
        self.entropy_weight = self.per_seed(config.entropy_weight)[..., None]
        size = config.num_steps * config.num_envs
        self.rollout = Replay(len(self), size, self.encoder.packed_size, worlds.action_size, self.obs.dtype)

    @property
    def default_sequence_length(self) -> int:
        steps = self.config.num_steps
        return max(length for length in range(1, SEQUENCE_LENGTH + 1) if steps % length == 0)

    def observe(self, action: Tensor, step: Step) -> None:
        self.rollout.add(self.num_timesteps, self.obs, action, step.reward, step.terminated, step.done, step.next_obs)
        if (self.iteration + 1) % self.config.num_steps == 0:
            self.anneal()
            self.update(self.rollout.all(self.config.num_envs))

    def update(self, rollout: Transitions) -> None:
        """Learn from a rollout, fields (S, T, N, ...)."""
        raise NotImplementedError

    def features(self, obs: Tensor) -> Tensor:
        """Of every step alone: (S, T, N, O) -> (S, T, N, F)."""
        return self.encoder(obs.flatten(1, 2)).unflatten(1, obs.shape[1:3])

    @torch.no_grad()
    def advantages(self, rollout: Transitions, gae_lambda: Numbers) -> tuple[Tensor, Tensor]:
        """How much better each action was than the critic thought, and the return that it should have thought.

        Both (S, T, N): generalized advantages, and their sums with the critic's values.
        """
        value, next_value = (self.critic(self.features(obs)) for obs in (rollout.obs, rollout.next_obs))
        decay = self.per_seed(gae_lambda)[..., None]
        advantage = gae(rollout.reward, value, next_value, rollout.terminated, rollout.done, self.gamma, decay)
        return advantage, advantage + value

    def in_sequences(self, *fields: Tensor) -> list[Tensor]:
        """Steps of environments cut into stretches: (S, T, N, ...) -> (S, C, L, ...) with C = T / L N."""
        return [x.unflatten(1, (-1, self.sequence_length)).transpose(2, 3).flatten(1, 2) for x in fields]

    def evaluate_actions(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of sequences (S, C, L, ...): the critic's value, log pi(a | s), and the policy's entropy; all (S, C, L)."""
        features = self.encoder(obs)  # (S, C, L, F)
        distribution = self.policy(features)
        return self.critic(features), distribution.log_prob(action), distribution.entropy
