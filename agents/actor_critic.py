"""What SAC and TD3 share: twin critics of continuous actions, which learn for the eyes or the memory too.

S seed, B minibatch, L steps of a sequence, F features, A action components.
"""

import copy

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from agents.off_policy import OffPolicy
from agents.replay import Transitions
from models import Adam, Policy, Value, descend


def twin_q(critics: nn.Module, features: Tensor, action: Tensor) -> Tensor:
    """Both critics' values of actions (S, ..., A), (2, S, ...): the twins are replicas like any other, 2S of them."""
    both = torch.cat([features, action], -1)
    return critics(both.repeat(2, *[1] * (both.dim() - 1))).unflatten(0, (2, -1))


class ActorCritic(OffPolicy):
    def make_policy(self, body: nn.Module) -> Policy:
        """A policy for actions in [-1, 1]."""
        raise NotImplementedError

    def build(self) -> None:
        self.worlds.expect_actions(Box)
        self.policy = self.make_policy(self.body())
        self.critics = Value(self.body(self.worlds.action_size, copies=2), seeds=self.streams * 2)
        self.target_critics = copy.deepcopy(self.critics)
        rate = self.per_seed(self.config.learning_rate).flatten()  # (S,)
        self.policy_optimiser = Adam(self.policy.parameters(), rate)
        self.critics_optimiser = Adam(self.critics.parameters(), rate.repeat(2))
        self.encoder_optimiser = Adam(self.encoder.parameters(), rate) if self.encoder.learns else None
        self.window = self.sequence_length
        self.make_replay()

    def improve_critics(self, batch: Transitions, features: Tensor, next_value: Tensor, weight: float) -> Tensor:
        """One step of both critics towards r + gamma next_value (S, B, L); `weight` times their squared error, (S,)."""
        target = batch.reward + self.gamma * (1 - batch.terminated) * next_value
        loss = weight * (twin_q(self.critics, features, batch.action) - target) ** 2  # (2, S, B, L)
        learners = [self.critics_optimiser, self.encoder_optimiser]
        descend(loss.mean((2, 3)), *(learner for learner in learners if learner is not None))
        return loss.mean((0, 2, 3))
