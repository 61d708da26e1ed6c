"""What SAC and TD3 share: twin critics of continuous actions, which also train the network that all heads share.

S seed, B minibatch, F features, A action components.
"""

import copy
from typing import TypeVar

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from agents.common.config import Role
from agents.common.off_policy import Batch, OffPolicy, OffPolicyConfig
from models import Adam, Policy, Value, joint_step
from models.optim import FlatParameters

ConfigType = TypeVar("ConfigType", bound=OffPolicyConfig)


def twin_q(critics: nn.Module, features: Tensor, action: Tensor) -> Tensor:
    """Both critics' values of actions (S, B, A), (2, S, B): the twins are replicas like any other, 2S of them."""
    return critics(torch.cat([torch.cat([features, action], -1)] * 2)).unflatten(0, (2, -1))


class ActorCritic(OffPolicy[ConfigType]):
    noises_per_update = 1  # actions sampled at each step of a minibatch

    def make_policy(self, trunk: nn.Module) -> Policy:
        """A policy for actions in [-1, 1]."""
        raise NotImplementedError

    def build(self) -> None:
        config = self.config
        self.vec_env.expect_actions(Box)
        self.policy = self.make_policy(self.trunk())
        self.critics = Value(self.trunk(self.vec_env.action_size, copies=2), seeds=self.streams * 2)
        self.target_critics = copy.deepcopy(self.critics)
        self.targets = FlatParameters(self.target_critics.parameters())
        rate = self.per_seed(config.learning_rate).flatten()  # (S,)
        self.policy_optimizer = Adam(self.policy.parameters(), rate)
        self.critics_optimizer = Adam(self.critics.parameters(), rate.repeat(2))
        self.encoder_optimizer = Adam(self.encoder.parameters(), rate) if self.encoder.learns else None
        self.build_replay()
        shape = (config.num_updates, self.noises_per_update, config.batch_size, self.sequence_length)
        self.update_noise = self.noise_stream(self.policy.noise, Role.UPDATE, shape)

    def sample_noise(self, update_index: int) -> tuple[Tensor, ...]:
        """Noise (S, B, A) for each action that an update of this step samples."""
        return self.update_noise(self.iteration)[:, update_index].flatten(2, 3).unbind(1)

    def next_value(self, features: Tensor, noise: Tensor) -> Tensor:
        """The value (S, B) of the states that steps led to, by features (S, B, F) and noise (S, B, A)."""
        raise NotImplementedError

    def update_critics(self, batch: Batch, noise: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """One step of both critics towards r + discount V(s'), V by `next_value`.

        Returns `weight` times their squared error, (S,), and the features (S, B, F) of `batch.obs`, without gradients:
        the critics alone train the network that makes them.
        """
        features = self.features(batch)
        with torch.no_grad():
            target = batch.reward + batch.discount * self.next_value(self.next_features(batch), noise)
        loss = weight * (twin_q(self.critics, features, batch.action) - target) ** 2  # (2, S, B)
        optimizers = [self.critics_optimizer] + ([self.encoder_optimizer] if self.encoder_optimizer else [])
        joint_step(loss.mean(2), *optimizers)
        return loss.mean((0, 2)), features.detach()
