"""REINFORCE (Williams 1992, doi:10.1007/BF00992696), with or without a learned baseline: on-policy, any actions."""

from dataclasses import dataclass

import torch

from agents.common.config import Numbers
from agents.common.on_policy import OnPolicy, OnPolicyConfig
from agents.common.replay import Transitions
from agents.common.returns import gae


@dataclass(frozen=True)
class REINFORCEConfig(OnPolicyConfig):
    """Hyper-parameters; the defaults are tuned for the pendulum, whose episodes last 200 steps."""

    num_steps: int = 200
    learning_rate: Numbers = 3e-3  # of Adam
    baseline: bool = True  # subtract the critic's value: less variance, the same mean


class REINFORCE(OnPolicy):
    Config = REINFORCEConfig

    def update(self, rollout: Transitions) -> None:
        """One step up log pi(a | s) (G - b(s)), G the discounted return that followed."""
        zeros = torch.zeros_like(rollout.reward)
        # With lambda 1 and no values, the advantage is the return itself, to the episode's end.
        to_go = gae(rollout.reward, zeros, zeros, rollout.terminated, rollout.done, self.gamma, 1.0)
        # What an episode still brings after the rollout is unknown, so its steps do not count.
        known = rollout.done.flip(1).cummax(1).values.flip(1)  # (S, T, N), 1 where the end was seen

        obs, action, to_go, known = self.in_sequences(rollout.obs, rollout.action, to_go, known)  # (S, C, L, ...)
        value, log_prob, entropy = self.evaluate_actions(obs, action)
        advantage = to_go - self.config.baseline * value.detach()
        loss = -log_prob * advantage - self.entropy_weight * entropy
        loss = loss + self.config.baseline * self.config.value_weight * (to_go - value) ** 2
        loss = (known * loss).sum((1, 2)) / known.sum((1, 2)).clamp(min=1)
        self.optimizer.step(loss)
        self.losses = {"loss": loss}
