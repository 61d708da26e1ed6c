"""Soft actor-critic (arXiv:1812.05905): off-policy, continuous actions, twin critics, learned temperature.

S seed, N environments of one seed, B minibatch, O observation, A action components.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents.agent import Agent, Role
from agents.config import Numbers
from agents.replay import Replay
from agents.worlds import Step
from models import Adam, SquashedGaussianPolicy, Value
from models.optim import flatten_parameters
from models.streams import uniform


@dataclass(frozen=True)
class SACConfig:
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    num_envs: int = 1  # N, environments of one seed
    learning_rate: Numbers = 2e-3  # of Adam, for policy, critics and temperature
    gamma: Numbers = 0.98  # discount per step
    tau: float = 0.02  # share by which the target critics follow at each update
    batch_size: int = 64  # B
    buffer_size: int = 100_000  # transitions kept of each seed
    learning_starts: int = 100  # steps of each seed before the first update
    train_every: int = 1  # steps of each environment between updates
    num_updates: int = 1  # updates each time


class SAC(Agent):
    Config = SACConfig

    def build(self) -> None:
        config, seeds = self.config, len(self)
        action_size = self.worlds.action_size("Box")
        self.policy = SquashedGaussianPolicy(self.body(), action_size, seeds=self.streams)
        # The twins are replicas like any other: 2S of them, the first S of one kind.
        both = self.body(self.worlds.obs_size + action_size, copies=2)
        self.critics = Value(both, seeds=self.streams * 2)
        self.target_critics = copy.deepcopy(self.critics)
        self.flat_targets = flatten_parameters(self.target_critics.parameters())
        self.log_temperature = nn.Parameter(torch.zeros(seeds, 1))
        self.target_entropy = -float(action_size)
        rate = self.per_seed(config.learning_rate).flatten()  # (S,)
        self.policy_optimiser = Adam(self.policy.parameters(), rate)
        self.critics_optimiser = Adam(self.critics.parameters(), rate.repeat(2))
        self.temperature_optimiser = Adam([self.log_temperature], rate)
        self.gamma = self.per_seed(config.gamma)
        self.replay = Replay(seeds, config.buffer_size, self.worlds.obs_size, action_size)
        self.which = self.noises(uniform, Role.REPLAY, (config.num_updates, config.batch_size))
        self.draws = self.noises(self.policy.noise, Role.UPDATE, (config.num_updates, 2, config.batch_size))

    def observe(self, action: Tensor, step: Step) -> None:
        self.replay.add(self.num_timesteps, self.obs, action, step.reward, step.terminated, step.done, step.next_obs)
        seen = self.num_timesteps + self.config.num_envs
        if seen > self.config.learning_starts and self.iteration % self.config.train_every == 0:
            which, draws = self.which(self.iteration), self.draws(self.iteration)
            for update in range(self.config.num_updates):
                self.update(seen, which[:, update], draws[:, update])

    def update(self, seen: int, which: Tensor, draws: Tensor) -> None:
        """One step of critics, policy and temperature (the paper's algorithm 1, equations 5 to 7 and 18)."""
        batch = self.replay.sample(seen, which)
        temperature = self.log_temperature.detach().exp()  # (S, 1)

        with torch.no_grad():
            next_action, next_log_prob = self.policy(batch.next_obs).sample_with_log_prob(draws[:, 0])
            next_value = self.q(self.target_critics, batch.next_obs, next_action).amin(0)  # (S, B)
            soft_value = next_value - temperature * next_log_prob
            target = batch.reward + self.gamma * (1 - batch.terminated) * soft_value
        critics_loss = 0.5 * (self.q(self.critics, batch.obs, batch.action) - target) ** 2  # (2, S, B)
        self.critics_optimiser.step(critics_loss.mean(2).flatten())

        action, log_prob = self.policy(batch.obs).sample_with_log_prob(draws[:, 1])
        policy_loss = (temperature * log_prob - self.q(self.critics, batch.obs, action).amin(0)).mean(1)  # (S,)
        self.policy_optimiser.step(policy_loss)

        surplus = -(log_prob.detach() + self.target_entropy).mean(1)  # (S,)
        self.temperature_optimiser.step(self.log_temperature.squeeze(1) * surplus)

        self.flat_targets.lerp_(self.critics_optimiser.flat, self.config.tau)
        self.losses = {
            "critics_loss": critics_loss.mean((0, 2)),
            "policy_loss": policy_loss,
            "temperature": temperature[:, 0],
        }

    def q(self, critics: nn.Module, obs: Tensor, action: Tensor) -> Tensor:
        """Both critics' values, (2, S, B)."""
        return critics(torch.cat([obs, action], -1).repeat(2, 1, 1)).unflatten(0, (2, -1))
