"""Deep Q-learning (Nature 518:529) and its refinements as switches (arXiv:1710.02298): off-policy, discrete actions.

S seed, N environments of one seed, B minibatch, L steps of a sequence, F features, A actions to choose from.
"""

import copy
from dataclasses import dataclass

import torch
from gymnasium.spaces import Discrete
from torch import Tensor, nn
from torch.nn import functional as F

from agents.common.config import Numbers
from agents.common.off_policy import OffPolicy, OffPolicyConfig
from agents.common.prioritized import Priorities
from agents.common.replay import Transitions
from agents.common.returns import n_step_return
from agents.common.vec_env import Step
from models import Adam, EpsilonGreedyPolicy
from models.optim import flatten_parameters


@dataclass(frozen=True)
class DQNConfig(OffPolicyConfig):
    """Hyper-parameters, tuned for the pendulum with five torques; no refinement is on."""

    gamma: Numbers = 0.99
    learning_rate: Numbers = 4e-3
    batch_size: int = 128
    buffer_size: int = 50_000
    learning_starts: int = 200
    target_every: int = 1  # steps of each environment between updates of the target network
    anneal_steps: int | None = 15_000  # steps of each seed over which the learning rate falls to a twentieth
    exploration_steps: int = 6_000  # of each seed, over which epsilon falls from 1 to its final value
    final_epsilon: float = 0.05
    max_grad_norm: float | None = 10.0
    n_step: int = 1  # steps of reward before the target network's value
    double: bool = False  # let the learning network choose the action that the target network judges
    dueling: bool = False  # values as V + A (arXiv:1511.06581)
    prioritized: bool = False  # draw transitions by how surprising they were (arXiv:1511.05952)
    priority_exponent: float = 0.6  # alpha of eq. 1 there
    importance_exponent: float = 0.4  # beta: how far weights undo what the drawing distorts


class DQN(OffPolicy):
    Config = DQNConfig
    policy: EpsilonGreedyPolicy

    def build(self) -> None:
        config = self.config
        self.vec_env.expect_actions(Discrete)
        (num_actions,) = self.vec_env.choices or []
        self.policy = EpsilonGreedyPolicy(self.make_trunk(), num_actions, dueling=config.dueling, seeds=self.streams)
        learning = nn.ModuleList([self.encoder, self.policy.values])
        self.target_encoder, self.target_values = copy.deepcopy(self.encoder), copy.deepcopy(self.policy.values)
        if self.encoder.statistics is not None:
            self.target_encoder.statistics = self.encoder.statistics  # what is normal, both know alike
        followers = nn.ModuleList([self.target_encoder, self.target_values])
        self.flat_target = flatten_parameters(followers.parameters())
        rate = self.per_seed(config.learning_rate).flatten()
        self.optimizer = Adam(learning.parameters(), rate, max_grad_norm=config.max_grad_norm)
        self.window = self.sequence_length + config.n_step - 1
        self.make_replay()
        if config.prioritized:
            self.priorities = Priorities(len(self), config.buffer_size, config.priority_exponent)

    def act(self, features: Tensor) -> Tensor:
        progress = min(1.0, self.num_timesteps / self.config.exploration_steps)
        self.policy.epsilon.fill_(1 - progress * (1 - self.config.final_epsilon))
        return super().act(features)

    def observe(self, action: Tensor, step: Step) -> None:
        if self.config.prioritized:
            self.priorities.add(self.num_timesteps, self.config.num_envs, self.window)
        super().observe(action, step)

    def draw(self, seen: int, which: Tensor) -> Transitions:
        if not self.config.prioritized:
            return super().draw(seen, which)
        self.drawn, self.weight = self.priorities.draw(seen, which, self.config.importance_exponent)
        return self.replay.stretches(self.drawn, self.window, self.config.num_envs)

    def update(self, batch: Transitions, number: int) -> None:
        """One step towards r + gamma Q'(s', argmax_a Q(s', a)) (double), or r + gamma max_a Q'(s', a).

        With n steps, r is their discounted sum and gamma its power.
        """
        config, length = self.config, self.sequence_length
        # The n steps that follow each of the L: (S, B, L + n - 1) -> (S, B, L, n).
        reward, terminated, done = (x.unfold(2, config.n_step, 1) for x in (batch.reward, batch.terminated, batch.done))
        reward, discount, last = n_step_return(reward, terminated, done, self.gamma)  # (S, B, L)
        last = (last + torch.arange(length))[..., None]
        with torch.no_grad():
            next_features = self.target_encoder.after(batch.obs, batch.next_obs).take_along_dim(last, 2)
            next_values = self.target_values(next_features)
            chooser = next_values  # (S, B, L, A)
            if config.double:
                chooser = self.policy.values(self.encoder.after(batch.obs, batch.next_obs).take_along_dim(last, 2))
            next_value = next_values.gather(-1, chooser.argmax(-1, keepdim=True)).squeeze(-1)
            target = reward + discount * next_value
        values = self.policy.values(self.encoder(batch.obs[:, :, :length]))
        value = values.gather(-1, batch.action[:, :, :length].long()).squeeze(-1)
        loss = F.smooth_l1_loss(value, target, reduction="none").mean(2)  # (S, B)
        if config.prioritized:
            self.priorities.update(self.drawn, (value - target).detach().abs().mean(2))
            loss = self.weight * loss
        self.optimizer.step(loss.mean(1))
        self.losses = {"loss": loss.mean(1), "value": value.mean((1, 2))}

    def follow(self) -> None:
        if self.iteration % self.config.target_every == 0:
            self.flat_target.lerp_(self.optimizer.flat, self.config.tau)
