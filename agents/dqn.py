"""Deep Q-learning (Nature 518:529) with double estimation (arXiv:1509.06461) and Huber loss: off-policy, discrete.

S seed, N environments of one seed, B minibatch, O observation, A actions to choose from.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from agents.agent import Agent, Role
from agents.config import Numbers
from agents.replay import Replay
from agents.returns import n_step_return
from agents.worlds import Step
from models import Adam, EpsilonGreedyPolicy
from models.optim import flatten_parameters
from models.streams import uniform


@dataclass(frozen=True)
class DQNConfig:
    """Hyper-parameters; the defaults are tuned for the pendulum."""

    num_envs: int = 1  # N, environments of one seed
    learning_rate: Numbers = 1e-3  # of Adam
    gamma: Numbers = 0.99  # discount per step
    batch_size: int = 64  # B
    buffer_size: int = 50_000  # transitions kept of each seed
    learning_starts: int = 200  # steps of each seed before the first update
    train_every: int = 1  # steps of each environment between updates
    num_updates: int = 1  # updates each time
    target_every: int = 1  # steps of each environment between updates of the target network
    tau: float = 0.01  # share by which the target network follows; 1 copies
    exploration_steps: int = 2_000  # of each seed, over which epsilon falls from 1 to its final value
    final_epsilon: float = 0.05
    max_grad_norm: float | None = 10.0
    n_step: int = 1  # steps of reward before the target network's value
    anneal_steps: int | None = None  # steps of each seed over which the learning rate falls to a twentieth
    double: bool = True  # let the learning network choose the action that the target network judges


class DQN(Agent):
    Config = DQNConfig
    policy: EpsilonGreedyPolicy

    def build(self) -> None:
        config, seeds = self.config, len(self)
        self.policy = EpsilonGreedyPolicy(self.body(), self.worlds.action_size("Discrete"), seeds=self.streams)
        self.target_values = copy.deepcopy(self.policy.values)
        self.flat_target = flatten_parameters(self.target_values.parameters())
        self.optimiser = Adam(
            self.policy.parameters(), self.per_seed(config.learning_rate).flatten(), max_grad_norm=config.max_grad_norm
        )
        self.gamma = self.per_seed(config.gamma)
        self.replay = Replay(seeds, config.buffer_size, self.worlds.obs_size, 1)
        self.which = self.noises(uniform, Role.REPLAY, (config.num_updates, config.batch_size))

    def act(self, obs: Tensor) -> Tensor:
        progress = min(1.0, self.num_timesteps / self.config.exploration_steps)
        self.policy.epsilon.fill_(1 - progress * (1 - self.config.final_epsilon))
        return super().act(obs)

    def observe(self, action: Tensor, step: Step) -> None:
        self.replay.add(
            self.num_timesteps, self.obs, action[..., None], step.reward, step.terminated, step.done, step.next_obs
        )
        seen = self.num_timesteps + self.config.num_envs
        if seen <= max(self.config.learning_starts, (self.config.n_step - 1) * self.config.num_envs):
            return
        if self.iteration % self.config.train_every == 0:
            for which in self.which(self.iteration).unbind(1):
                self.update(seen, which)
        if self.iteration % self.config.target_every == 0:
            self.flat_target.lerp_(self.optimiser.flat, self.config.tau)

    def update(self, seen: int, which: Tensor) -> None:
        """One step towards r + gamma Q'(s', argmax_a Q(s', a)) (double), or r + gamma max_a Q'(s', a).

        With n steps, r is their discounted sum and gamma its power.
        """
        batch = self.replay.sample_windows(seen, which, self.config.n_step, self.config.num_envs)
        reward, discount, last = n_step_return(batch.reward, batch.terminated, batch.done, self.gamma)
        next_obs = batch.next_obs.take_along_dim(last[..., None, None], 2).squeeze(2)  # (S, B, O)
        with torch.no_grad():
            next_values = self.target_values(next_obs)  # (S, B, A)
            chooser = self.policy.values(next_obs) if self.config.double else next_values
            next_value = next_values.gather(-1, chooser.argmax(-1, keepdim=True)).squeeze(-1)  # (S, B)
            target = reward + discount * next_value
        value = self.policy.values(batch.obs[:, :, 0]).gather(-1, batch.action[:, :, 0].long()).squeeze(-1)  # (S, B)
        loss = F.smooth_l1_loss(value, target, reduction="none").mean(1)  # (S,)
        self.optimiser.learning_rate = self.annealed(self.config.learning_rate)
        self.optimiser.step(loss)
        self.losses = {"loss": loss, "value": value.mean(1)}
