"""REINFORCE (Williams 1992, doi:10.1007/BF00992696), with or without a learned baseline: on-policy, any actions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.common.config import Count, Few, PositivePerSeed, Switch
from agents.common.on_policy import OnPolicy, OnPolicyConfig
from agents.common.replay import Transitions
from agents.common.returns import gae


@dataclass(frozen=True)
class REINFORCEConfig(OnPolicyConfig):
    """Hyper-parameters; the defaults are those of Spinning Up's vanilla policy gradient, 4,000 steps a rollout."""

    num_envs: Few = 8
    num_steps: Count = 500  # at least an episode: steps whose end is not seen teach nothing
    learning_rate: PositivePerSeed = 3e-4  # of Adam
    baseline: Switch = True
    """Subtract the critic's value: less variance, the same mean."""


class REINFORCE(OnPolicy[REINFORCEConfig]):
    Config = REINFORCEConfig
    pure = ("update",)

    def update(self, rollout: Transitions) -> dict[str, Tensor]:
        """One step up log pi(a | s) (G - b(s)), G the discounted return from there on."""
        zeros = torch.zeros_like(rollout.reward)
        # With lambda 1 and no values, the advantage is the return itself, to the episode's end.
        returns = gae(rollout.reward, rollout.discount, rollout.done, zeros, zeros, 1.0)
        # The rest of an episode after the rollout is unknown, so its steps do not count.
        known = rollout.done.flip(1).cummax(1).values.flip(1)  # (S, T, N), 1 where the end was seen

        obs, action, returns, known = self.batch(rollout.obs, rollout.action, returns, known)
        value, log_prob, bonus = self.evaluate_actions(obs, action)
        advantage = returns - self.config.baseline * value.detach()  # (S, B)
        loss = -log_prob * advantage - bonus
        loss = loss + self.config.baseline * self.config.value_weight * (returns - value) ** 2
        loss = (known * loss).sum(1) / known.sum(1).clamp(min=1)
        self.optimizer.step(loss)
        return {"loss": loss}
