"""Advantage actor-critic (arXiv:1602.01783, synchronous): on-policy, any actions.

The step from REINFORCE: the critic's value stands for what comes after the rollout, so a few steps are enough.
"""

from dataclasses import dataclass

from torch import Tensor

from agents.common.config import Count, PositivePerSeed, SharePerSeed
from agents.common.on_policy import OnPolicy, OnPolicyConfig
from agents.common.replay import Transitions
from models import RMSprop


@dataclass(frozen=True)
class A2CConfig(OnPolicyConfig):
    """Hyper-parameters; the defaults are SB3's.

    The paper runs 16 environments at once (`num_envs`).
    """

    num_steps: Count = 5
    learning_rate: PositivePerSeed = 7e-4  # of RMSprop
    gae_lambda: SharePerSeed = 1.0
    """Lambda of the advantage, usually 0.9 to 1: lower trusts the critic more, and varies less."""


class A2C(OnPolicy[A2CConfig]):
    Config = A2CConfig
    pure = ("update",)
    optimizer_class = RMSprop

    def update(self, rollout: Transitions) -> dict[str, Tensor]:
        """One step up log pi(a | s) A, A the advantage over the critic's value, and towards the returns."""
        advantage, target = self.advantages(rollout, self.config.gae_lambda)  # (S, T, N)
        obs, action, advantage, target = self.batch(rollout.obs, rollout.action, advantage, target)
        value, log_prob, bonus = self.evaluate_actions(obs, action)  # (S, B)
        error = (target - value) ** 2
        loss = (-log_prob * advantage - bonus + self.config.value_weight * error).mean(1)
        self.optimizer.step(loss)  # (S,)
        return {"loss": loss}
