"""Twin delayed deterministic policy gradient (arXiv:1802.09477): off-policy, continuous actions.

S seed, B minibatch, L steps of a sequence, F features, A action components.
"""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from agents.actor_critic import ActorCritic, twin_q
from agents.config import Numbers, Role
from agents.off_policy import OffPolicyConfig
from agents.replay import Transitions
from models import DeterministicPolicy
from models.optim import flatten_parameters


@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    learning_rate: Numbers = 2e-3  # of Adam, for policy and critics
    tau: float = 0.02
    noise_std: float = 0.3  # of exploration, in halves of the action's range
    target_noise_std: float = 0.2  # of the smoothing of target actions (section 5.3)
    target_noise_clip: float = 0.5
    policy_delay: int = 2  # updates of the critics to one of the policy (section 5.2)


class TD3(ActorCritic):
    Config = TD3Config

    def make_policy(self, body: nn.Module) -> DeterministicPolicy:
        return DeterministicPolicy(body, self.worlds.action_size, self.config.noise_std, seeds=self.streams)

    def build(self) -> None:
        super().build()
        self.target_policy = copy.deepcopy(self.policy)
        self.flat_targets = [flatten_parameters(net.parameters()) for net in (self.target_policy, self.target_critics)]
        shape = (self.config.num_updates, self.config.batch_size, self.window)
        self.draws = self.noises(self.policy.noise, Role.UPDATE, shape)

    def update(self, batch: Transitions, number: int) -> None:
        """One step of the critics, and every so often one of the policy and the targets (the paper's algorithm 1)."""
        config = self.config
        noise = self.draws(self.iteration)[:, number] * config.target_noise_std  # (S, B, L, A)

        features = self.encoder(batch.obs)  # (S, B, L, F)
        with torch.no_grad():
            next_features = self.encoder.after(batch.obs, batch.next_obs)
            smoothing = noise.clamp(-config.target_noise_clip, config.target_noise_clip)
            next_action = (self.target_policy(next_features).mode + smoothing).clamp(-1, 1)
            next_value = twin_q(self.target_critics, next_features, next_action).amin(0)  # (S, B, L)
        critics_loss = self.improve_critics(batch, features, next_value, 1.0)
        self.losses = self.losses | {"critics_loss": critics_loss}

        updates = self.iteration // config.train_every * config.num_updates + number
        if (updates + 1) % config.policy_delay:
            return
        features = features.detach()
        policy_loss = -twin_q(self.critics, features, self.policy(features).mode)[0].mean((1, 2))  # (S,)
        self.policy_optimiser.step(policy_loss)
        learned = self.policy_optimiser.flat, self.critics_optimiser.flat
        for flat_target, flat in zip(self.flat_targets, learned, strict=True):
            flat_target.lerp_(flat, config.tau)
        self.losses = self.losses | {"policy_loss": policy_loss}
