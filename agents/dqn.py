"""Deep Q-learning (Nature 518:529) and its refinements as switches (arXiv:1710.02298): off-policy, discrete actions."""

import copy
from dataclasses import dataclass

import torch
from gymnasium.spaces import Discrete
from torch import Tensor, nn
from torch.nn import functional as F

from agents.common.config import Count, Positive, PositivePerSeed, Share, Switch
from agents.common.off_policy import Batch, OffPolicy, OffPolicyConfig, soft_update
from agents.common.prioritized import Priorities
from models import Adam, EpsilonGreedyPolicy
from models.optim import FlatParameters


@dataclass(frozen=True)
class DQNConfig(OffPolicyConfig):
    """Hyper-parameters; the defaults are SB3's, and no refinement is on."""

    learning_rate: PositivePerSeed = 1e-4
    batch_size: Count = 32
    train_every: Count = 4
    tau: Share = 1.0
    target_every: Count = 10_000
    """Steps of each environment between updates of the target network: 10,000 with tau 1, else 1."""
    exploration_steps: Count = 10_000
    """Of each seed, over which epsilon falls from 1, usually a tenth of the run: more explores longer."""
    final_epsilon: Share = 0.05
    """Share of random actions in the end, usually 0.01 to 0.1."""
    max_grad_norm: Positive | None = 10.0
    """Longer gradients are shortened to this norm, usually 10; None: no limit."""
    double: Switch = False
    """Let the learning network choose the action, the target network its value: less optimism (arXiv:1509.06461)."""
    dueling: Switch = False
    """Values as V + A: helps where many actions are alike (arXiv:1511.06581)."""
    prioritized: Switch = False
    """Sample transitions by their last error: helps where few matter (arXiv:1511.05952)."""
    priority_exponent: Share = 0.6  # alpha of eq. 1 there: 0 samples uniformly, 1 most unevenly
    importance_exponent: Share = 0.4  # beta, usually 0.4 to 1: 1 undoes the bias of the sampling in full


class DQN(OffPolicy[DQNConfig]):
    Config = DQNConfig
    pure = ("update",)  # whatever `update_index`
    policy: EpsilonGreedyPolicy

    def build(self) -> None:
        config = self.config
        self.vec_env.expect_actions(Discrete)
        num_actions, dueling = int(self.vec_env.action_space.n), config.dueling  # type: ignore[attr-defined]
        self.policy = EpsilonGreedyPolicy(self.trunk(), num_actions, dueling=dueling, seeds=self.streams)
        self.target_encoder, self.target_values = copy.deepcopy(self.encoder), copy.deepcopy(self.policy.values)
        self.target_encoder.statistics = self.encoder.statistics  # both see observations alike
        targets = nn.ModuleList([self.target_encoder, self.target_values])
        self.targets = FlatParameters(targets.parameters())
        rate = self.per_seed(config.learning_rate).flatten()
        learning = nn.ModuleList([self.encoder, self.policy.values])
        self.optimizer = Adam(learning.parameters(), rate, max_grad_norm=config.max_grad_norm)
        self.build_replay()
        if config.prioritized:
            exponents = config.priority_exponent, config.importance_exponent
            self.priorities = Priorities(len(self), config.buffer_size, *exponents)

    def act(self, features: Tensor) -> Tensor:
        progress = min(1.0, self.num_timesteps / self.config.exploration_steps)
        self.policy.epsilon.fill_(1 - progress * (1 - self.config.final_epsilon))
        return super().act(features)

    def update(self, batch: Batch, update_index: int) -> dict[str, Tensor]:
        """One step towards r + discount max_a Q'(s', a); with `double` Q'(s', argmax_a Q(s', a)) instead."""
        with torch.no_grad():
            next_values = self.target_values(self.next_features(batch, self.target_encoder))  # (S, B, A)
            choice = self.policy.values(self.next_features(batch)).argmax(-1, True) if self.config.double else None
            next_value = next_values.amax(-1) if choice is None else next_values.gather(-1, choice).squeeze(-1)
            target = batch.reward + batch.discount * next_value
        values = self.policy.values(self.features(batch))
        value = values.gather(-1, batch.action.long()).squeeze(-1)  # (S, B)
        loss = F.smooth_l1_loss(value, target, reduction="none")
        if self.priorities is not None:
            self.priorities.update(batch.index, (value - target).detach().abs())
            loss = batch.weight * loss  # type: ignore[operator]
        self.optimizer.step(loss.mean(1))
        return {"loss": loss.mean(1), "value": value.mean(1)}

    def update_targets(self) -> None:
        if self.iteration % self.config.target_every == 0:
            soft_update(self.targets.flat, self.optimizer.flat, self.config.tau)
