"""Proximal policy optimisation (arXiv:1707.06347): on-policy, any actions.

The step from A2C: a rollout is used several times, and the clipped ratio keeps the policy near the one that made it.

S seed, N environments of one seed, T steps of a rollout, L steps of a sequence, C sequences, B minibatch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from agents.config import Numbers, Role
from agents.on_policy import OnPolicy, OnPolicyConfig, in_sequences
from agents.replay import Transitions, gather_rows
from agents.returns import gae
from models import Value
from models.heads import Policy
from models.streams import permutations


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    num_epochs: int = 10  # passes over each rollout
    batch_size: int = 128  # steps of a minibatch
    learning_rate: Numbers = 1e-3  # of Adam
    gae_lambda: Numbers = 0.95
    clip_range: float = 0.2  # epsilon in eq. 7
    anneal_steps: int | None = 100_000  # steps over which learning rate and clip range fall to a twentieth


def ppo_loss(
    policy: Policy,
    critic: Value,
    features: Tensor,
    action: Tensor,
    numbers: Tensor,
    clip_range: float,
    value_weight: float,
    entropy_weight: Tensor,
) -> Tensor:
    """Clipped surrogate, squared value error and entropy bonus (eq. 7 and 9); (S, B, L, ...) -> (S,)."""
    old_log_prob, advantage, target = numbers.unbind(-1)
    advantage = (advantage - advantage.mean((1, 2), True)) / (advantage.std((1, 2), keepdim=True) + 1e-8)
    distribution = policy(features)
    ratio = (distribution.log_prob(action) - old_log_prob).exp()  # (S, B, L)
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage)
    error = (critic(features) - target) ** 2
    return (value_weight * error - surrogate - entropy_weight * distribution.entropy).mean((1, 2))


class PPO(OnPolicy):
    Config = PPOConfig

    def update(self, rollout: Transitions) -> None:
        """Several epochs of minibatches of sequences."""
        config, length = self.config, self.sequence_length
        value, next_value = self.values(rollout)  # (S, T, N)
        gae_lambda = self.per_seed(config.gae_lambda)[..., None]
        advantage = gae(rollout.reward, value, next_value, rollout.terminated, rollout.done, self.gamma, gae_lambda)
        with torch.no_grad():
            log_prob = self.policy(self.features(rollout.obs)).log_prob(rollout.action)
        numbers = torch.stack([log_prob, advantage, advantage + value], -1)
        obs = in_sequences(rollout.obs, length)  # (S, C, L, O)
        rows = in_sequences(torch.cat([rollout.action, numbers], -1), length)  # (S, C, L, A + 3)

        orders = permutations(self.seeds, (Role.UPDATE, self.iteration), config.num_epochs, rows.shape[1])
        for order in orders.unbind(1):  # (S, C)
            for index in order.split(max(1, config.batch_size // length), 1):
                seen, some = gather_rows(index, obs, rows)
                action, numbers = some.split([rollout.action.shape[-1], 3], -1)
                loss = ppo_loss(
                    self.policy,
                    self.critic,
                    self.encoder(seen),
                    action,
                    numbers,
                    self.left * config.clip_range,
                    config.value_weight,
                    self.entropy_weight,
                )
                self.optimiser.step(loss)
        self.losses = {"loss": loss}
