"""Advantage actor-critic (arXiv:1602.01783, synchronous): on-policy, any actions.

The step from REINFORCE: the critic's value stands for what comes after the rollout, so a few steps are enough.
"""

from dataclasses import dataclass

from agents.common.config import Numbers
from agents.common.on_policy import OnPolicy, OnPolicyConfig
from agents.common.replay import Transitions
from models import RMSprop


@dataclass(frozen=True)
class A2CConfig(OnPolicyConfig):
    """Hyper-parameters, tuned for the pendulum: a long run at a falling rate."""

    num_steps: int = 8
    learning_rate: Numbers = 1e-3  # of RMSprop
    gamma: Numbers = 0.95
    gae_lambda: Numbers = 0.9
    value_weight: float = 0.4
    max_grad_norm: float | None = 0.5
    anneal_steps: int | None = 1_000_000


class A2C(OnPolicy):
    Config = A2CConfig
    optimizer_class = RMSprop

    def update(self, rollout: Transitions) -> None:
        """One step up log pi(a | s) A, A the advantage over the critic's value, and towards the returns."""
        advantage, target = self.advantages(rollout, self.config.gae_lambda)  # (S, T, N)
        obs, action, advantage, target = self.in_sequences(rollout.obs, rollout.action, advantage, target)
        value, log_prob, entropy = self.evaluate_actions(obs, action)  # (S, C, L)
        error = (target - value) ** 2
        loss = -log_prob * advantage - self.entropy_weight * entropy + self.config.value_weight * error
        loss = loss.mean((1, 2))
        self.optimizer.step(loss)
        self.losses = {"loss": loss}
