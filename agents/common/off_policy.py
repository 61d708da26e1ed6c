"""What DQN, SAC and TD3 share: a replay buffer, and updates from random samples of it.

S seed, N environments of one seed, B minibatch, L steps of a sequence (1 without a recurrent network), n steps of
reward, F features, A action components.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from agents.common.agent import Agent
from agents.common.config import AgentConfig, Count, CountOrZero, Few, PositivePerSeed, Role, Share
from agents.common.encoder import Encoder
from agents.common.prioritized import Priorities
from agents.common.replay import Replay, Transitions
from agents.common.returns import n_step_return
from balancier import enough_memory
from models.streams import Noise, uniform


@dataclass(frozen=True)
class OffPolicyConfig(AgentConfig):
    """Hyper-parameters of all three; the defaults are SB3's."""

    learning_rate: PositivePerSeed = 3e-4  # of Adam
    batch_size: Count = 256
    """B, samples of an update, usually 32 to 256: larger is steadier and slower."""
    buffer_size: Count = 1_000_000
    """Transitions kept of each seed, usually all of a run: fewer forget what went wrong long ago."""
    learning_starts: CountOrZero = 100
    """Steps of each seed before the first update, usually 100 to 10,000: more begin with more varied samples."""
    train_every: Count = 1
    """Steps of each environment between updates, usually 1 to 4."""
    num_updates: Few = 1
    """Updates each time, usually 1 to 8: more learn more from each step, and may overfit to the buffer."""
    noise_every: Count = 1
    """Steps of each environment between new exploration noise, usually 1: held, it leads farther (arXiv:2005.05719)."""
    n_step: Count = 1
    """Steps of reward before a target network's value, usually 1 to 5: more spreads rewards faster, and varies more."""
    tau: Share = 0.005
    """Share of the new networks in their targets at each update, usually 0.005 to 0.02: more is faster, less steady."""


ConfigType = TypeVar("ConfigType", bound=OffPolicyConfig)


class Batch(NamedTuple):
    """Samples of each seed. A page sees B samples; of sequences, each step is one."""

    obs: Tensor  # (S, B, L + n - 1, O); `features` makes (S, B L, F) of it
    action: Tensor  # (S, B L, A)
    reward: Tensor  # (S, B L), discounted sum of n rewards
    discount: Tensor  # (S, B L), of the value after them: gamma^n, or 0 where the task ended
    next_obs: Tensor  # (S, B, L + n - 1, O)
    last: Tensor | None  # (S, B, L), index of the last of the n steps; None if n is 1
    index: Tensor  # (S, B), where the samples lie in the buffer
    weight: Tensor | None  # (S, B L), in the loss; None if all count alike


def soft_update(target: Tensor, source: Tensor, tau: float) -> None:
    """target <- (1 - tau) target + tau source, parameters (S, P) of two networks."""
    target.lerp_(source, tau)


class OffPolicy(Agent[ConfigType]):
    priorities: Priorities | None
    filling = ("replay.obs", "replay.next_obs", "replay.numbers", "priorities.priority")

    def build_replay(self) -> None:
        config = self.config
        self.priorities = None
        self.window = self.sequence_length + config.n_step - 1  # consecutive steps that one sample needs
        if config.buffer_size < self.window * config.num_envs:
            expected = f"at least {self.window * config.num_envs}, the steps of one sample in each environment"
            raise ValueError(f"buffer_size: found {config.buffer_size}, expected {expected}")
        sizes = self.encoder.packed_size, self.vec_env.action_size
        with enough_memory("buffer_size", config.buffer_size):
            self.replay = Replay(len(self), config.buffer_size, *sizes, self.obs.dtype)
        with enough_memory("batch_size", config.batch_size):
            np.empty((len(self), Noise.block_size, config.num_updates, config.batch_size, self.replay.obs.shape[2]))
        self.uniforms = self.noise_stream(uniform, Role.REPLAY, (config.num_updates, config.batch_size))

    def act(self, features: Tensor) -> Tensor:
        return self.policy(features).sample(self.noise(self.iteration // self.config.noise_every))

    def observe(self, step: Transitions) -> None:
        config, stored = self.config, self.num_timesteps + self.config.num_envs
        self.replay.add(self.num_timesteps, step)
        if self.priorities is not None:
            self.priorities.add(self.num_timesteps, config.num_envs, self.window)
        begun = stored > max(config.learning_starts, (self.window - 1) * config.num_envs)
        if begun and self.iteration % config.train_every == 0:
            if config.anneal_steps:
                self.anneal()
            for update_index, uniforms in enumerate(self.uniforms(self.iteration).unbind(1)):  # (S, B) each
                self.losses = self.update(self.sample_batch(stored, uniforms), update_index)
        self.update_targets()

    def sample_batch(self, stored: int, uniforms: Tensor) -> Batch:
        """B samples of the first `stored` transitions, by numbers (S, B) in [0, 1)."""
        config, length, weight = self.config, self.sequence_length, None
        if self.priorities is None:
            oldest, count = self.replay.num_sequences(stored, self.window, config.num_envs)
            index = oldest + (uniforms * count).long()
        else:
            index, weight = self.priorities.sample(stored, uniforms)
            weight = weight.repeat_interleave(length, 1)
        samples = self.replay.sequences(index, self.window, config.num_envs)  # (S, B, L + n - 1, ...)
        reward, discount, last = samples.reward, samples.discount, None
        if config.n_step > 1:
            windows = (x.unfold(2, config.n_step, 1) for x in (reward, discount, samples.done))  # (S, B, L, n)
            reward, discount, last = n_step_return(*windows)
            last = last + torch.arange(length)
        action, reward, discount = (x.flatten(1, 2) for x in (samples.action[:, :, :length], reward, discount))
        return Batch(samples.obs, action, reward, discount, samples.next_obs, last, index, weight)

    def features(self, batch: Batch) -> Tensor:
        """Features (S, B L, F) of the observations that were acted on."""
        return self.encoder(batch.obs[:, :, : self.sequence_length]).flatten(1, 2)

    def next_features(self, batch: Batch, encoder: Encoder | None = None) -> Tensor:
        """Features (S, B L, F) of the observations after n steps."""
        return (encoder or self.encoder).after(batch.obs, batch.next_obs, batch.last).flatten(1, 2)

    def update(self, batch: Batch, update_index: int) -> dict[str, Tensor]:
        """Learn from a minibatch; losses (S,) by name. `update_index` counts the updates of one step."""
        raise NotImplementedError

    def update_targets(self) -> None:
        """Move target networks where that does not belong to an update."""
