"""Proximal policy optimization (arXiv:1707.06347): on-policy, any actions.

The step from A2C: a rollout is used several times, and the clipped ratio keeps the policy near the one that made it.

S seed, T steps of a rollout, N environments of one seed, B minibatch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.common.config import Count, Few, Positive, PositivePerSeed, SharePerSeed
from agents.common.on_policy import OnPolicy, OnPolicyConfig
from agents.common.replay import Transitions


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Hyper-parameters; the defaults are the paper's for MuJoCo, and SB3's."""

    learning_rate: PositivePerSeed = 3e-4  # of Adam
    num_epochs: Few = 10
    """Passes over each rollout, usually 3 to 20: more learn more from it, until the policy has moved too far."""
    batch_size: Count = 64
    """Steps of a minibatch, usually 32 to 256: larger is steadier and slower."""
    gae_lambda: SharePerSeed = 0.95
    """Lambda of the advantage, usually 0.9 to 1: higher trusts the critic less, at the price of variance."""
    clip_range: Positive = 0.2
    """Epsilon in eq. 7, usually 0.1 to 0.3: higher lets the policy move farther. It falls with the learning rate."""


def clipped_surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: Tensor) -> Tensor:
    """The policy's gain, as far as it stays near the old one; advantages are normalized; all (S, B).

    It is min(r A, (1 + epsilon) A) for A > 0, and min(r A, (1 - epsilon) A) else, which is eq. 7.
    """
    if advantage.shape[1] > 1:  # one number has no spread
        advantage = (advantage - advantage.mean(1, True)) / (advantage.std(1, keepdim=True) + 1e-8)
    ratio = (log_prob - old_log_prob).exp()
    return (ratio * advantage).clamp(max=advantage + clip_range * advantage.abs())


class PPO(OnPolicy[PPOConfig]):
    Config = PPOConfig
    pure = ("learn_from",)

    def update(self, rollout: Transitions) -> dict[str, Tensor]:
        """Several epochs of minibatches, one step with each."""
        config, clip_range = self.config, torch.tensor(self.progress_remaining * self.config.clip_range)
        advantage, target = self.advantages(rollout, config.gae_lambda)  # (S, T, N)
        with torch.no_grad():
            log_prob = self.policy(self.features(rollout.obs)).log_prob(rollout.action)
        fields = rollout.obs, rollout.action, log_prob, advantage, target
        minibatches = self.minibatches(config.num_epochs, config.batch_size, *fields)
        for minibatch in minibatches:
            losses = self.learn_from(*minibatch, clip_range)  # type: ignore[call-arg]
        return losses

    def learn_from(self, obs, action, old_log_prob, advantage, target, clip_range) -> dict[str, Tensor]:
        """One step down eq. 9, from observations (S, C, L, O) and other tensors (S, B, ...) of a minibatch."""
        value, log_prob, bonus = self.evaluate_actions(obs, action)
        surrogate = clipped_surrogate(log_prob, old_log_prob, advantage, clip_range)  # (S, B)
        error = (value - target) ** 2
        mean_loss = (self.config.value_weight * error - surrogate - bonus).mean(1)  # (S,)
        self.optimizer.step(mean_loss)
        return {"loss": mean_loss}
