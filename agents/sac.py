"""Soft actor-critic (arXiv:1812.05905): off-policy, continuous actions, twin critics, learned temperature.

S seed, B minibatch, L steps of a sequence, F features, A action components.
"""

from dataclasses import dataclass

import torch
from torch import nn

from agents.actor_critic import ActorCritic, twin_q
from agents.config import Numbers, Role
from agents.off_policy import OffPolicyConfig
from agents.replay import Transitions
from models import Adam, SquashedGaussianPolicy
from models.optim import flatten_parameters


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    learning_rate: Numbers = 2e-3  # of Adam, for policy, critics and temperature
    gamma: Numbers = 0.985


class SAC(ActorCritic):
    Config = SACConfig

    def make_policy(self, body: nn.Module) -> SquashedGaussianPolicy:
        return SquashedGaussianPolicy(body, self.worlds.action_size, seeds=self.streams)

    def build(self) -> None:
        super().build()
        config = self.config
        self.flat_targets = flatten_parameters(self.target_critics.parameters())
        self.log_temperature = nn.Parameter(torch.zeros(len(self), 1))
        self.target_entropy = -float(self.worlds.action_size)
        rate = self.per_seed(config.learning_rate).flatten()
        self.temperature_optimiser = Adam([self.log_temperature], rate)
        shape = (config.num_updates, 2, config.batch_size, self.window)
        self.draws = self.noises(self.policy.noise, Role.UPDATE, shape)

    def update(self, batch: Transitions, number: int) -> None:
        """One step of critics, policy and temperature (the paper's algorithm 1, equations 5 to 7 and 18)."""
        noise, next_noise = self.draws(self.iteration)[:, number].unbind(1)  # (S, B, L, A)
        temperature = self.log_temperature.detach().exp()[..., None]  # (S, 1, 1)

        features = self.encoder(batch.obs)  # (S, B, L, F)
        with torch.no_grad():
            next_features = self.encoder.after(batch.obs, batch.next_obs)
            next_action, next_log_prob = self.policy(next_features).sample_with_log_prob(next_noise)
            next_value = twin_q(self.target_critics, next_features, next_action).amin(0)  # (S, B, L)
            soft_value = next_value - temperature * next_log_prob
        critics_loss = self.improve_critics(batch, features, soft_value, 0.5)

        features = features.detach()  # what is worth seeing, the critics decide
        action, log_prob = self.policy(features).sample_with_log_prob(noise)
        q = twin_q(self.critics, features, action).amin(0)
        policy_loss = (temperature * log_prob - q).mean((1, 2))  # (S,)
        self.policy_optimiser.step(policy_loss)

        surplus = -(log_prob.detach() + self.target_entropy).mean((1, 2))  # (S,)
        self.temperature_optimiser.step(self.log_temperature.squeeze(1) * surplus)

        self.flat_targets.lerp_(self.critics_optimiser.flat, self.config.tau)
        self.losses = {
            "critics_loss": critics_loss,
            "policy_loss": policy_loss,
            "temperature": temperature.flatten(),
        }
