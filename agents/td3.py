"""Twin delayed deterministic policy gradient (arXiv:1802.09477): off-policy, continuous actions.

S seed, B minibatch, L steps of a sequence, F features, A action components.
"""

import copy
from dataclasses import dataclass

from torch import Tensor, nn

from agents.common.actor_critic import ActorCritic, twin_q
from agents.common.config import Numbers
from agents.common.off_policy import OffPolicyConfig
from agents.common.replay import Transitions
from models import DeterministicPolicy
from models.optim import flatten_parameters


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Hyper-parameters: tuned for the pendulum, the last three the paper's own."""

    learning_rate: Numbers = 2e-3  # of Adam, for policy and critics
    tau: float = 0.02
    noise_std: float = 0.3  # of exploration, in halves of the action's range
    target_noise_std: float = 0.2  # of the smoothing of target actions (section 5.3)
    target_noise_clip: float = 0.5
    policy_delay: int = 2  # updates of the critics to one of the policy (section 5.2)


class TD3(ActorCritic):
    Config = TD3Config

    def make_policy(self, trunk: nn.Module) -> DeterministicPolicy:
        return DeterministicPolicy(trunk, self.vec_env.action_size, self.config.noise_std, seeds=self.streams)

    def build(self) -> None:
        super().build()
        self.target_policy = copy.deepcopy(self.policy)
        self.flat_target_policy = flatten_parameters(self.target_policy.parameters())

    def next_value(self, features: Tensor, noise: Tensor) -> Tensor:
        """The smaller Q' of the target policy's action, smoothed by clipped noise (section 5.3)."""
        clip = self.config.target_noise_clip
        smoothing = (self.config.target_noise_std * noise).clamp(-clip, clip)
        action = (self.target_policy(features).mode + smoothing).clamp(-1, 1)
        return twin_q(self.target_critics, features, action).amin(0)

    def update(self, batch: Transitions, number: int) -> None:
        """One step of the critics, and every so often one of the policy and the targets (the paper's algorithm 1)."""
        config = self.config
        (noise,) = self.draws(self.iteration)[:, number].unbind(1)  # (S, B, L, A)
        critics_loss, features = self.update_critics(batch, noise, 1.0)
        self.losses = self.losses | {"critics_loss": critics_loss}

        updates = self.iteration // config.train_every * config.num_updates + number
        if (updates + 1) % config.policy_delay:
            return
        value = twin_q(self.critics, features, self.policy(features).mode)[0].mean((1, 2))  # (S,)
        self.policy_optimizer.step(-value)
        self.flat_target_policy.lerp_(self.policy_optimizer.flat, config.tau)
        self.flat_target_critics.lerp_(self.critics_optimizer.flat, config.tau)
        self.losses = self.losses | {"policy_loss": -value}
