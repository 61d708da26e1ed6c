"""Proximal policy optimisation (arXiv:1707.06347): on-policy, discrete or continuous actions.

S seed, N environments of one seed, T steps of a rollout, B minibatch, O observation, A action components.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents.agent import Agent, Role
from agents.config import Numbers
from agents.replay import Replay, gather_rows
from agents.returns import gae
from agents.worlds import Step
from models import Adam, CategoricalPolicy, GaussianPolicy, Value
from models.streams import permutations


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    num_envs: int = 8  # N, environments of one seed
    num_steps: int = 128  # T, length of one rollout
    num_epochs: int = 10  # passes over each rollout
    batch_size: int = 128  # B
    learning_rate: Numbers = 1e-3  # of Adam
    gamma: Numbers = 0.98  # discount per step
    gae_lambda: Numbers = 0.95
    clip_range: float = 0.2  # epsilon in eq. 7
    entropy_weight: Numbers = 0.0  # c2 in eq. 9
    value_weight: float = 0.5  # c1 in eq. 9, times the squared error
    max_grad_norm: float | None = None
    anneal_steps: int | None = 100_000  # steps over which learning rate and clip range fall to a twentieth


def ppo_loss(
    policy: nn.Module,
    critic: nn.Module,
    obs: Tensor,
    action: Tensor,
    numbers: Tensor,
    clip_range: float,
    value_weight: float,
    entropy_weight: Tensor,
) -> Tensor:
    """Clipped surrogate, squared value error and entropy bonus (eq. 7 and 9); (S, B, ...) -> (S,)."""
    old_log_prob, advantage, target = numbers.unbind(-1)
    advantage = (advantage - advantage.mean(1, keepdim=True)) / (advantage.std(1, keepdim=True) + 1e-8)
    distribution = policy(obs)
    ratio = (distribution.log_prob(action) - old_log_prob).exp()  # (S, B)
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage)
    error = (critic(obs) - target) ** 2
    return (value_weight * error - surrogate - entropy_weight * distribution.entropy).mean(1)


class PPO(Agent):
    Config = PPOConfig

    def build(self) -> None:
        config, action_size = self.config, self.worlds.action_size()
        head = CategoricalPolicy if self.worlds.discrete else GaussianPolicy
        self.policy = head(self.body(), action_size, seeds=self.streams)
        self.critic = Value(self.body(), seeds=self.streams)
        self.optimiser = Adam(
            [*self.policy.parameters(), *self.critic.parameters()],
            self.per_seed(config.learning_rate).flatten(),
            max_grad_norm=config.max_grad_norm,
        )
        self.gamma, self.gae_lambda = (
            self.per_seed(config.gamma)[..., None],
            self.per_seed(config.gae_lambda)[..., None],
        )
        self.entropy_weight = self.per_seed(config.entropy_weight)
        self.length = config.num_steps * config.num_envs  # T N
        self.rollout = Replay(len(self), self.length, self.worlds.obs_size, 1 if self.worlds.discrete else action_size)

    def observe(self, action: Tensor, step: Step) -> None:
        if self.worlds.discrete:
            action = action[..., None]
        self.rollout.add(self.num_timesteps, self.obs, action, step.reward, step.terminated, step.done, step.next_obs)
        if (self.iteration + 1) % self.config.num_steps == 0:
            self.update()

    def update(self) -> None:
        """Several epochs of minibatches over the rollout that is now complete."""
        config = self.config
        self.optimiser.learning_rate = self.annealed(config.learning_rate)

        obs, action, reward, terminated, done, next_obs = self.rollout.split(self.rollout.rows)  # (S, T N, ...)
        choice = self.choice(action)
        with torch.no_grad():
            log_prob = self.policy(obs).log_prob(choice)
            value, next_value = self.critic(obs), self.critic(next_obs)
            reward, value, next_value, terminated, done = (
                x.unflatten(1, (config.num_steps, config.num_envs))  # (S, T, N)
                for x in (reward, value, next_value, terminated, done)
            )
            advantage = gae(reward, value, next_value, terminated, done, self.gamma, self.gae_lambda)
            numbers = torch.stack([log_prob, advantage.flatten(1), (advantage + value).flatten(1)], -1)
        rows = torch.cat([obs, action, numbers], -1)

        orders = permutations(self.seeds, (Role.UPDATE, self.iteration), config.num_epochs, self.length)
        for order in orders.unbind(1):  # (S, T N)
            for index in order.split(config.batch_size, 1):
                obs, action, numbers = gather_rows(rows, index).split([obs.shape[2], action.shape[2], 3], -1)
                loss = ppo_loss(
                    self.policy,
                    self.critic,
                    obs,
                    self.choice(action),
                    numbers,
                    self.left * config.clip_range,
                    config.value_weight,
                    self.entropy_weight,
                )
                self.optimiser.step(loss)
        self.losses = {"loss": loss}

    def choice(self, action: Tensor) -> Tensor:
        """A stored action as the policy knows it: an index (S, B), or components (S, B, A)."""
        return action.squeeze(-1).long() if self.worlds.discrete else action
