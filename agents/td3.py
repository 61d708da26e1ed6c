"""Twin delayed deep deterministic policy gradient (arXiv:1802.09477): off-policy, continuous actions.

The step from SAC (letters as there): the policy is deterministic; noise is only added to explore and to smooth the
actions of the target.
"""

import copy
from dataclasses import dataclass

from torch import Tensor, nn

from agents.common.actor_critic import ActorCritic, twin_q
from agents.common.config import Count, NotNegative, PositivePerSeed
from agents.common.off_policy import Batch, OffPolicyConfig, soft_update
from models import DeterministicPolicy
from models.optim import FlatParameters


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Hyper-parameters; the defaults are SB3's, the last four the paper's too."""

    learning_rate: PositivePerSeed = 1e-3  # of Adam, for policy and critics
    noise_std: NotNegative = 0.1
    """Of exploration, in halves of the action's range, usually 0.1 to 0.3: more explores farther, and acts worse."""
    target_noise_std: NotNegative = 0.2
    """Of the smoothing of target actions (section 5.3), usually 0.1 to 0.3: more flattens narrow peaks of Q."""
    target_noise_clip: NotNegative = 0.5
    """Bound of that noise, usually 0.5."""
    policy_delay: Count = 2
    """Updates of the critics to one of the policy (section 5.2), usually 2: more is steadier and slower."""


class TD3(ActorCritic[TD3Config]):
    Config = TD3Config
    pure = "learn_critics", "learn_all"

    def make_policy(self, trunk: nn.Module) -> DeterministicPolicy:
        return DeterministicPolicy(trunk, self.vec_env.action_size, self.config.noise_std, seeds=self.streams)

    def build(self) -> None:
        super().build()
        self.target_policy = copy.deepcopy(self.policy)
        self.policy_targets = FlatParameters(self.target_policy.parameters())

    def next_value(self, features: Tensor, noise: Tensor) -> Tensor:
        """The smaller Q' of the target policy's action, smoothed by clipped noise (section 5.3)."""
        clip = self.config.target_noise_clip
        smoothing = (self.config.target_noise_std * noise).clamp(-clip, clip)
        action = (self.target_policy(features).mode + smoothing).clamp(-1, 1)
        return twin_q(self.target_critics, features, action).amin(0)

    def update(self, batch: Batch, update_index: int) -> dict[str, Tensor]:
        """One step of the critics, and every so often one of the policy and the targets (the paper's algorithm 1)."""
        updates = self.iteration // self.config.train_every * self.config.num_updates + update_index
        learn = self.learn_critics if (updates + 1) % self.config.policy_delay else self.learn_all
        return self.losses | learn(batch, *self.sample_noise(update_index))

    def learn_critics(self, batch: Batch, noise: Tensor) -> dict[str, Tensor]:
        """One step of the critics, with noise (S, B, A) of the target actions."""
        return {"critics_loss": self.update_critics(batch, noise, 1.0)[0]}

    def learn_all(self, batch: Batch, noise: Tensor) -> dict[str, Tensor]:
        """One step of the critics, then of the policy and the targets."""
        critics_loss, features = self.update_critics(batch, noise, 1.0)
        value = twin_q(self.critics, features, self.policy(features).mode)[0].mean(1)  # (S,)
        self.policy_optimizer.step(-value)
        tau = self.config.tau
        soft_update(self.policy_targets.flat, self.policy_optimizer.flat, tau)
        soft_update(self.targets.flat, self.critics_optimizer.flat, tau)
        return {"critics_loss": critics_loss, "policy_loss": -value}
