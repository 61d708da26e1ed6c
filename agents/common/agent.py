"""What all agents share: S x N environments, the learning loop, and the face that SB3's users know.

S seed, N environments of one seed, n observations to act on, O observation, F features, A action components.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

import models
from agents.common import saving
from agents.common.acting import Replica, predict
from agents.common.config import MakeNetwork, Numbers, Role, make_config
from agents.common.encoder import Encoder, is_encoder
from agents.common.make_env import Maker
from agents.common.normalization import RunningMeanStd
from agents.common.vec_env import Step, VecEnv
from models.streams import Noise, Seeds, resolve_seeds, stream

DEFAULT_NETWORK = partial(models.MLP, hidden=(64, 64))
SEQUENCE_LENGTH = 16


class Agent(nn.Module):
    """S agents that learn side by side, each from its own seed; the subclasses are the algorithms.

    A module: `state_dict()` is all that learns. What else changes is in `worlds` and `num_timesteps`.

    Args:
        env: a Gymnasium id (`"module:Id"` imports the module first), or a function that makes an environment.
        seeds: how many agents, or their seeds.
        network: a network of the zoo, or what makes one from (in_features, seeds=...). A CNN is the agent's eyes, a
            recurrent network its memory: all heads see through them, each with an MLP of its own. Any other network is
            the trunk of each head.
        env_kwargs: keywords of `gymnasium.make`, where `env` is an id.
        hyperparameters: fields of the class's `Config`.

    Raises:
        ValueError: for a hyper-parameter out of range, or a world that the agent cannot act in.
    """

    Config: ClassVar[type]
    obs: Tensor  # (S, N, O), what to act on next
    policy: models.Policy  # features (S, B, F) -> a distribution over actions

    def __init__(
        self,
        env: str | Maker,
        *,
        seeds: Seeds = 10,
        network: MakeNetwork = DEFAULT_NETWORK,
        env_kwargs: dict[str, Any] | None = None,
        **hyperparameters: Any,
    ):
        super().__init__()
        self.seeds, self.network = resolve_seeds(seeds), network
        self.env: str | Maker = env
        self.env_kwargs: dict[str, Any] = dict(env_kwargs or {})
        self.config = make_config(self.Config, len(self.seeds), hyperparameters)
        self.vec_env = VecEnv(env, self.env_kwargs, self.seeds, self.config.num_envs, [Role.ENVS])
        self.streams = [stream(seed, Role.NETWORKS) for seed in self.seeds]
        self.num_timesteps = 0  # steps of each seed
        self.losses: dict[str, Tensor] = {}  # newest of each kind, (S,)

        looking = network(self.vec_env.in_features, seeds=self.streams) if is_encoder(network) else None
        self.head_network = network if looking is None else DEFAULT_NETWORK
        self.encoder = Encoder(
            looking, self.vec_env.obs_size, len(self.seeds), self.config.normalize_obs, self.vec_env.is_uint8
        )
        self.sequence_length = self.config.sequence_length or (
            self.default_sequence_length if self.encoder.recurrent else 1
        )
        self.register_buffer("obs", self.encoder.pack(self.vec_env.reset(), 1.0, None))
        if self.config.normalize_reward:
            self.returns = RunningMeanStd(len(self.seeds), 1)
            self.register_buffer("discounted", torch.zeros(len(self.seeds), self.config.num_envs))
        self.build()
        self.noise = self.noise_stream(self.policy.noise, Role.ACTING, (self.config.num_envs,))

    # What an algorithm adds.

    def build(self) -> None:
        """Make `policy` and whatever else learns."""
        raise NotImplementedError

    def observe(self, action: Tensor, step: Step) -> None:
        """Take in what `action` in `self.obs` led to, and learn when it is time to."""
        raise NotImplementedError

    def act(self, features: Tensor) -> Tensor:
        """Sample the next action (S, N, A) of every environment."""
        return self.policy(features).sample(self.noise(self.iteration))

    # What all have.

    def learn(self, total_timesteps: int, callback: Callable[[Self], bool | None] | None = None) -> Self:
        """Learn for `total_timesteps` more steps of each seed (rounded up to a multiple of N).

        `callback(agent)` is called after every step of all environments; it ends the learning by returning False.
        """
        target = self.num_timesteps + total_timesteps
        while self.num_timesteps < target:
            with torch.no_grad():
                features = self.encoder(self.obs)
                action = self.act(features)
                step = self.prepare(self.vec_env.step(action), features)
            self.observe(action, step)
            self.obs = step.obs
            self.num_timesteps += self.config.num_envs
            if callback is not None and callback(self) is False:
                break
        return self

    def prepare(self, step: Step, features: Tensor) -> Step:
        """The step as this agent sees it: memory joined to the observations, statistics taken, the reward scaled."""
        encoder, done = self.encoder, step.done
        if isinstance(encoder.statistics, RunningMeanStd):
            encoder.statistics.update(step.obs)
        reward = step.reward
        if self.config.normalize_reward:  # by the spread of the discounted return, as in SB3's VecNormalize
            self.discounted = self.discounted * self.per_seed(self.config.gamma) + reward
            self.returns.update(self.discounted[..., None])
            reward = (reward / (self.returns.var + 1e-8).sqrt().to(reward)).clamp(-10, 10)
            self.discounted = self.discounted * ~done
        if encoder.recurrent is None:
            return step._replace(reward=reward)
        obs, next_obs = encoder.pack(step.obs, done, features), encoder.pack(step.next_obs, 0.0, features)
        return step._replace(reward=reward, obs=obs, next_obs=next_obs)

    @property
    def env_id(self) -> str | None:
        """The environment's id; None where the agent was made with a function."""
        return self.env if isinstance(self.env, str) else None

    @property
    def iteration(self) -> int:
        """Steps of each environment so far."""
        return self.num_timesteps // self.config.num_envs

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """The newest losses, and the mean return of the newest complete episodes (NaN before the first); all (S,)."""
        losses = {name: value.detach().numpy(force=True) for name, value in self.losses.items()}
        return {"return": self.vec_env.mean_return()} | losses

    def predict(
        self, obs: np.ndarray | Tensor, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """What each seed does in its own observations: (S, n, *obs shape) -> (S, n) or (S, n, A), and the state.

        `state` is what a memory remembers, (S, n, F): the one returned last, or None to begin; `episode_start` (S, n)
        says where it starts anew. An action drawn at random depends on the seed, the steps learned and the number of
        observations alone.
        """
        shape = self.vec_env.observation_space.shape
        if tuple(obs.shape[2:]) != shape or len(obs) != len(self):
            raise ValueError(f"obs: found shape {tuple(obs.shape)}, expected ({len(self)}, n, {str(shape)[1:]}")
        return predict(self, self.encoder, self.policy, self.seeds, obs, state, episode_start, deterministic)

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> "Replica":
        return Replica(self, range(len(self))[index])

    # Pieces for the algorithms.

    def make_trunk(self, more: int = 0, copies: int = 1) -> nn.Module:
        """A new network for a head that sees the features and `more` numbers; `copies` times S replicas."""
        plain = self.head_network is self.network and not more
        in_features = self.vec_env.in_features if plain else self.encoder.out_features + more
        return self.head_network(in_features, seeds=self.streams * copies)

    def noise_stream(self, draw: Callable, role: Role, shape: Sequence[int]) -> Noise:
        """A stream of random numbers (S, *shape) of this agent's seeds, addressed by step."""
        return Noise(draw, self.seeds, (role,), shape)

    def per_seed(self, value: Numbers) -> Tensor:
        """A hyper-parameter as (S, 1)."""
        return torch.as_tensor(value, dtype=torch.get_default_dtype()).expand(len(self))[:, None]

    @property
    def default_sequence_length(self) -> int:
        """Steps that a memory unrolls in an update, where none are given."""
        return SEQUENCE_LENGTH

    @property
    def progress_remaining(self) -> float:
        """What is left of what falls linearly over `anneal_steps`, to a twentieth: a run that goes on still learns."""
        steps = self.config.anneal_steps
        return max(0.05, 1 - self.num_timesteps / steps) if steps else 1.0

    def anneal(self) -> None:
        """Give every optimizer the learning rate of each seed now."""
        if self.config.anneal_steps is None:
            return
        rates = (self.progress_remaining * self.per_seed(self.config.learning_rate)).flatten().tolist()  # (S,)
        for optimizer in self.children():
            if isinstance(optimizer, models.Adam | models.RMSprop):
                optimizer.learning_rate = rates * (len(optimizer.flat) // len(rates))  # twins are 2S replicas

    # The state.

    def save(self, path: str | os.PathLike) -> None:
        """Write everything to one file: a run that loads it goes on as if it had never stopped."""
        saving.save_agent(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, env: str | Maker | None = None, network: MakeNetwork | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            env: needed where the agent was made with a function, which no file holds.
            network: likewise where the network is not one of the zoo.

        Raises:
            FileNotFoundError, agents.CheckpointError: if there is no sound checkpoint.
            ValueError: if it holds another kind of agent, or what it needs is missing.
        """
        return saving.load_agent(cls, path, env, network)
