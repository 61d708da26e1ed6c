"""Proximal policy optimization (arXiv:1707.06347): on-policy, any actions.

The step from A2C: a rollout is used several times, and the clipped ratio keeps the policy near the one that made it.

S seed, N environments of one seed, T steps of a rollout, L steps of a sequence, C sequences, B of a minibatch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.common.config import Numbers, Role
from agents.common.on_policy import OnPolicy, OnPolicyConfig
from agents.common.replay import Transitions, gather_rows
from models.streams import permutations


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    normalize_obs: bool = False
    normalize_reward: bool = False
    num_epochs: int = 10  # passes over each rollout
    batch_size: int = 128  # steps of a minibatch
    learning_rate: Numbers = 1e-3  # of Adam
    gae_lambda: Numbers = 0.95
    clip_range: float = 0.2  # epsilon in eq. 7
    anneal_steps: int | None = 100_000  # steps over which learning rate and clip range fall to a twentieth


def clipped_surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """What the policy gains, as far as it stays near the old one (eq. 7); the advantages normalized; all (S, B, L)."""
    advantage = (advantage - advantage.mean((1, 2), True)) / (advantage.std((1, 2), keepdim=True) + 1e-8)
    ratio = (log_prob - old_log_prob).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage)


class PPO(OnPolicy):
    Config = PPOConfig

    def update(self, rollout: Transitions) -> None:
        """Several epochs of minibatches of sequences, one step down eq. 9 with each."""
        config = self.config
        advantage, target = self.advantages(rollout, config.gae_lambda)
        with torch.no_grad():
            old_log_prob = self.policy(self.features(rollout.obs)).log_prob(rollout.action)
        fields = torch.cat([rollout.action, torch.stack([old_log_prob, advantage, target], -1)], -1)
        rows = self.in_sequences(rollout.obs, fields)  # (S, C, L, O) and (S, C, L, A + 3)

        orders = permutations(self.seeds, (Role.UPDATE, self.iteration), config.num_epochs, rows[0].shape[1])
        for order in orders.unbind(1):  # (S, C)
            for index in order.split(max(1, config.batch_size // self.sequence_length), 1):
                obs, fields = gather_rows(index, *rows)
                action, numbers = fields.split([rollout.action.shape[-1], 3], -1)
                old_log_prob, advantage, target = numbers.unbind(-1)  # (S, B, L)
                value, log_prob, entropy = self.evaluate_actions(obs, action)
                surrogate = clipped_surrogate(
                    log_prob, old_log_prob, advantage, self.progress_remaining * config.clip_range
                )
                loss = config.value_weight * (value - target) ** 2 - surrogate - self.entropy_weight * entropy
                self.optimizer.step(loss.mean((1, 2)))
        self.losses = {"loss": loss.mean((1, 2))}
