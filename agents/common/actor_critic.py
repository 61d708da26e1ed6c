"""What SAC and TD3 share: twin critics of continuous actions, which learn for the eyes or the memory too.

S seed, B minibatch, L steps of a sequence, F features, A action components.
"""

import copy

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from agents.common.config import Role
from agents.common.off_policy import OffPolicy
from agents.common.replay import Transitions
from models import Adam, Policy, Value, joint_step
from models.optim import flatten_parameters


def twin_q(critics: nn.Module, features: Tensor, action: Tensor) -> Tensor:
    """Both critics' values of actions (S, ..., A), (2, S, ...): the twins are replicas like any other, 2S of them."""
    both = torch.cat([features, action], -1)
    return critics(both.repeat(2, *[1] * (both.dim() - 1))).unflatten(0, (2, -1))


class ActorCritic(OffPolicy):
    draws_of_update = 1  # actions drawn for each step of a minibatch

    def make_policy(self, trunk: nn.Module) -> Policy:
        """A policy for actions in [-1, 1]."""
        raise NotImplementedError

    def build(self) -> None:
        self.vec_env.expect_actions(Box)
        self.policy = self.make_policy(self.make_trunk())
        self.critics = Value(self.make_trunk(self.vec_env.action_size, copies=2), seeds=self.streams * 2)
        self.target_critics = copy.deepcopy(self.critics)
        self.flat_target_critics = flatten_parameters(self.target_critics.parameters())
        rate = self.per_seed(self.config.learning_rate).flatten()  # (S,)
        self.policy_optimizer = Adam(self.policy.parameters(), rate)
        self.critics_optimizer = Adam(self.critics.parameters(), rate.repeat(2))
        self.encoder_optimizer = Adam(self.encoder.parameters(), rate) if self.encoder.learns else None
        self.window = self.sequence_length
        self.make_replay()
        shape = (self.config.num_updates, self.draws_of_update, self.config.batch_size, self.window)
        self.draws = self.noise_stream(self.policy.noise, Role.UPDATE, shape)

    def next_value(self, features: Tensor, noise: Tensor) -> Tensor:
        """What the states that steps led to are worth, (S, B, L), by features (S, B, L, F) and noise (S, B, L, A)."""
        raise NotImplementedError

    def update_critics(self, batch: Transitions, noise: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """One step of both critics towards r + gamma V(s'), V by `next_value`.

        Returns `weight` times their squared error, (S,), and the features of `batch.obs`, without gradients: what is
        worth seeing, the critics decide.
        """
        features = self.encoder(batch.obs)  # (S, B, L, F)
        with torch.no_grad():
            next_value = self.next_value(self.encoder.after(batch.obs, batch.next_obs), noise)
            target = batch.reward + self.gamma * (1 - batch.terminated) * next_value
        loss = weight * (twin_q(self.critics, features, batch.action) - target) ** 2  # (2, S, B, L)
        learners = [self.critics_optimizer, self.encoder_optimizer]
        joint_step(loss.mean((2, 3)), *(learner for learner in learners if learner is not None))
        return loss.mean((0, 2, 3)), features.detach()
