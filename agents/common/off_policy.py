"""What DQN, SAC and TD3 share: a replay buffer, and updates from random samples of it.

S seed, N environments of one seed, B minibatch, L steps of a sequence.
"""

from dataclasses import dataclass

from torch import Tensor

from agents.common.agent import Agent
from agents.common.config import AgentConfig, Numbers, Role
from agents.common.replay import Replay, Transitions
from agents.common.vec_env import Step
from models.streams import uniform


@dataclass(frozen=True)
class OffPolicyConfig(AgentConfig):
    """Hyper-parameters of all three."""

    num_envs: int = 1  # N, environments of one seed
    learning_rate: Numbers = 1e-3  # of Adam
    gamma: Numbers = 0.98  # discount per step
    batch_size: int = 64  # B
    buffer_size: int = 100_000  # transitions kept of each seed
    learning_starts: int = 100  # steps of each seed before the first update
    train_every: int = 1  # steps of each environment between updates
    num_updates: int = 1  # updates each time
    noise_every: int = 1  # steps of each environment between new noises of exploration
    tau: float = 0.01  # share by which target networks follow at each update; 1 copies
    anneal_steps: int | None = None  # steps of each seed over which the learning rate falls to a twentieth


class OffPolicy(Agent):
    window = 1  # consecutive steps that one sample needs

    def make_replay(self) -> None:
        config, encoder = self.config, self.encoder
        self.gamma = self.per_seed(config.gamma)[..., None]  # (S, 1, 1)
        self.replay = Replay(
            len(self), config.buffer_size, encoder.packed_size, self.vec_env.action_size, self.obs.dtype
        )
        self.which = self.noise_stream(uniform, Role.REPLAY, (config.num_updates, config.batch_size))

    def act(self, features: Tensor) -> Tensor:
        """Sample actions; noise that is held for some steps leads farther than new noise at each (arXiv:2005.05719)."""
        return self.policy(features).sample(self.noise(self.iteration // self.config.noise_every))

    def observe(self, action: Tensor, step: Step) -> None:
        config = self.config
        self.replay.add(self.num_timesteps, self.obs, action, step.reward, step.terminated, step.done, step.next_obs)
        seen = self.num_timesteps + config.num_envs
        if seen <= max(config.learning_starts, (self.window - 1) * config.num_envs):
            return
        if self.iteration % config.train_every == 0:
            self.anneal()
            which = self.which(self.iteration)  # (S, U, B)
            for number in range(config.num_updates):
                self.update(self.draw(seen, which[:, number]), number)
        self.follow()

    def draw(self, seen: int, which: Tensor) -> Transitions:
        """A minibatch (S, B, L, ...) of the first `seen` transitions, by uniform numbers (S, B)."""
        return self.replay.sample(seen, which, self.window, self.config.num_envs)

    def update(self, batch: Transitions, number: int) -> None:
        """Learn from a minibatch; `number` counts the updates of one step."""
        raise NotImplementedError

    def follow(self) -> None:
        """Move target networks where that does not belong to an update."""
