"""Soft actor-critic (arXiv:1812.05905): off-policy, continuous actions, twin critics, learned temperature.

S seed, B minibatch, F features, A action components.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents.common.actor_critic import ActorCritic, twin_q
from agents.common.off_policy import Batch, OffPolicyConfig, soft_update
from models import Adam, SquashedGaussianPolicy


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Hyper-parameters: those that off-policy agents share; the learning rate is the temperature's too."""


class SAC(ActorCritic[SACConfig]):
    Config = SACConfig
    pure = ("learn_from",)
    noises_per_update = 2  # in the observations, and in those that followed

    def make_policy(self, trunk: nn.Module) -> SquashedGaussianPolicy:
        return SquashedGaussianPolicy(trunk, self.vec_env.action_size, seeds=self.streams)

    def build(self) -> None:
        super().build()
        self.log_temperature = nn.Parameter(torch.zeros(len(self), 1))
        self.temperature_optimizer = Adam([self.log_temperature], self.per_seed(self.config.learning_rate).flatten())
        self.target_entropy = -float(self.vec_env.action_size)

    @property
    def temperature(self) -> Tensor:
        """alpha, the weight of the entropy, (S, 1)."""
        return self.log_temperature.detach().exp()

    def next_value(self, features: Tensor, noise: Tensor) -> Tensor:
        """The soft value: the smaller Q' of an action of the policy, less alpha times its log-probability (eq. 3)."""
        action, log_prob = self.policy(features).sample_with_log_prob(noise)
        return twin_q(self.target_critics, features, action).amin(0) - self.temperature * log_prob

    def update(self, batch: Batch, update_index: int) -> dict[str, Tensor]:
        return self.learn_from(batch, *self.sample_noise(update_index))

    def learn_from(self, batch: Batch, noise: Tensor, next_noise: Tensor) -> dict[str, Tensor]:
        """One step of critics, policy and temperature (the paper's algorithm 1, equations 5 to 7 and 18).

        Of noise (S, B, A) for actions in the observations, and in those that followed.
        """
        critics_loss, features = self.update_critics(batch, next_noise, 0.5)

        temperature = self.temperature
        action, log_prob = self.policy(features).sample_with_log_prob(noise)
        q = twin_q(self.critics, features, action).amin(0)
        policy_loss = (temperature * log_prob - q).mean(1)  # (S,)
        self.policy_optimizer.step(policy_loss)

        entropy_gap = -(log_prob.detach() + self.target_entropy).mean(1)  # (S,)
        self.temperature_optimizer.step(self.log_temperature.squeeze(1) * entropy_gap)

        soft_update(self.targets.flat, self.critics_optimizer.flat, self.config.tau)
        return {"critics_loss": critics_loss, "policy_loss": policy_loss, "temperature": temperature.flatten()}
