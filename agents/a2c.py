"""Advantage actor-critic (arXiv:1602.01783, synchronous): on-policy, any actions.

The step from REINFORCE: the critic's value stands for what comes after the rollout, so a few steps are enough.

S seed, N environments of one seed, T steps of a rollout, L steps of a sequence, C sequences.
"""

from dataclasses import dataclass

from agents.config import Numbers
from agents.on_policy import OnPolicy, OnPolicyConfig, in_sequences
from agents.replay import Transitions
from agents.returns import gae
from models import RMSprop


@dataclass(frozen=True)
class A2CConfig(OnPolicyConfig):
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    num_steps: int = 8
    learning_rate: Numbers = 1e-3  # of RMSprop
    gamma: Numbers = 0.95
    gae_lambda: Numbers = 0.9
    value_weight: float = 0.4
    max_grad_norm: float | None = 0.5
    anneal_steps: int | None = 1_000_000
    normalize_obs: bool = True
    normalize_reward: bool = True


class A2C(OnPolicy):
    Config = A2CConfig
    optimiser_class = RMSprop

    def update(self, rollout: Transitions) -> None:
        """One step up log pi(a | s) A, A the advantage over the critic's value, and towards the returns."""
        value, next_value = self.values(rollout)
        gae_lambda = self.per_seed(self.config.gae_lambda)[..., None]
        advantage = gae(rollout.reward, value, next_value, rollout.terminated, rollout.done, self.gamma, gae_lambda)

        obs, action, advantage, target = (
            in_sequences(x, self.sequence_length) for x in (rollout.obs, rollout.action, advantage, advantage + value)
        )
        features = self.encoder(obs)  # (S, C, L, F)
        distribution = self.policy(features)
        loss = -distribution.log_prob(action) * advantage - self.entropy_weight * distribution.entropy
        loss = loss + self.config.value_weight * (target - self.critic(features)) ** 2
        self.optimiser.step(loss.mean((1, 2)))
        self.losses = {"loss": loss.mean((1, 2))}
