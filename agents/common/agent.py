"""The learning loop that all agents share, over S x N environments, and the interface that SB3's users know.

S seed, N environments of one seed, n observations to act on, O observation, F features, A action components.
"""

import dataclasses
import os
import warnings
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, ClassVar, Generic, Self, TypeVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

import models
from agents.common import checkpoint, habits, loading, pages
from agents.common.acting import Replica, find_index, predict, to_array
from agents.common.config import (
    AgentConfig,
    MakeNetwork,
    PerSeed,
    Role,
    describe_network,
    hyperparameter,
    make_config,
    make_network,
)
from agents.common.devices import Device, find_device, place
from agents.common.encoder import is_encoder, make_encoder
from agents.common.guard import Guard
from agents.common.make_env import Maker, keywords_to_json, plain_keywords
from agents.common.normalization import RewardScaling
from agents.common.recorded import record
from agents.common.replay import Replay, Transitions
from agents.common.vec_env import Step, VecEnv, extract_state
from balancier import Bound, check
from models.streams import Noise, Seeds, resolve_seeds, stream

SEQUENCE_LENGTH = 16
KEYWORDS = Bound(lambda x: x is None or isinstance(x, dict), "a dictionary of keywords")
ConfigType = TypeVar("ConfigType", bound=AgentConfig)


class Agent(nn.Module, Generic[ConfigType]):
    """S agents that learn side by side, each from its own seed; the subclasses are the algorithms.

    A module: `state_dict()` is all that learns. `get_state()` adds what else changes, in the environments too.

    Args:
        env: a Gymnasium id (`"module:Id"` imports the module first), or a function that makes an environment.
        seeds: how many agents, or their seeds.
        network: a network of the zoo, or a function that makes one from (in_features, seeds=...). A CNN or a recurrent
            network is shared by all heads, each with an MLP of its own on top. Any other network is the trunk of each
            head. Without one it is an MLP of two hidden layers of 64; with ReLU for agents with a replay buffer and
            with tanh for the others, as in SB3.
        env_kwargs: keywords of `gymnasium.make`, where `env` is an id.
        device: where it computes: "cpu", "cuda" (a GPU), "cuda:1" (the second one), or "auto" (a GPU if there is one).
            Its environments step on the CPU, where small networks are faster, too.
        hyperparameters: fields of the class's `Config`.

    Raises:
        ValueError: for a hyper-parameter out of range, for a device that is not there, or for an environment that the
            agent cannot act in.
    """

    Config: ClassVar[type]
    default_network: ClassVar[MakeNetwork] = partial(models.MLP, hidden=(64, 64))
    filling: ClassVar[Sequence[str]] = ()  # names of state whose second axis is filled as transitions come
    pure: ClassVar[Sequence[str]] = ()  # methods that can be recorded: functions of tensors that return losses (S,)
    policy_only = False  # True for one that was loaded from the file of a policy alone: it acts, and cannot learn
    recorded = True  # on the CPU, replay updates, which gives the same bits in less time (models/recording.py)
    guard = True  # stop a seed whose numbers are no longer finite, and let the others go on
    device = torch.device("cpu")  # where it computes
    computing: AbstractContextManager = nullcontext()  # in it, new tensors are made on that device
    config: ConfigType
    losses: dict[str, Tensor]  # newest of each kind, (S,)
    obs: Tensor  # (S, N, O), what to act on next
    policy: models.Policy  # features (S, B, F) -> a distribution over actions

    def __new__(cls, *arguments: Any, **keywords: Any):
        if len(arguments) > 1 or (arguments and "env" in keywords):
            raise ValueError(habits.explain_arguments(cls.__name__, arguments, keywords))
        return super().__new__(cls)

    def __init__(
        self,
        env: str | Maker,
        *,
        seeds: Seeds = 10,
        network: MakeNetwork | None = None,
        env_kwargs: dict[str, Any] | None = None,
        device: Device = "cpu",
        **hyperparameters: Any,
    ):
        super().__init__()
        place(self, device) if device != "cpu" else None
        check(env_kwargs=(env_kwargs, KEYWORDS))
        self.seeds, self.env = resolve_seeds(seeds), env
        self.network = self.default_network if network is None else network
        self.env_kwargs = plain_keywords(env_kwargs) if env_kwargs else {}
        self.config = config = make_config(self.Config, len(self.seeds), hyperparameters)
        self.vec_env = vec_env = VecEnv(env, self.env_kwargs, self.seeds, config.num_envs)
        # A cycle of references would keep the memory of an agent that is gone.
        vec_env.steps_so_far = partial(getattr, weakref.proxy(self), "num_timesteps")
        self.streams = [stream(seed, Role.NETWORKS) for seed in self.seeds]
        self.num_timesteps = self.num_predictions = 0  # steps of each seed, and actions that `predict` drew at random
        self.losses, self.divergence, obs = {}, Guard(np.full(len(self), np.nan)), vec_env.reset().to(self.device)
        with self.computing:
            shared = make_network(self.network, vec_env.in_features, self.streams) if is_encoder(self.network) else None
            self.head_network = self.network if shared is None else self.default_network
            self.encoder = make_encoder(shared, vec_env.obs_size, vec_env.is_uint8, len(self) * config.normalize_obs)
            self.gamma, recurrent = self.per_seed(config.gamma), self.encoder.state_size > 0  # (S, 1)
            self.sequence_length = (config.sequence_length or self.default_sequence_length) if recurrent else 1  # L
            self.register_buffer("obs", self.encoder.pack(obs, 1.0, None))
            self.reward_scaling = RewardScaling(self.gamma, config.num_envs) if config.normalize_reward else None
            self.build()
        self.noise = self.noise_stream(self.policy.noise, Role.ACTING, (config.num_envs,))
        record(self) if self.recorded and self.device.type == "cpu" else None

    # What an algorithm adds.

    def build(self) -> None:
        """Make `policy` and whatever else learns."""
        raise NotImplementedError

    def observe(self, step: Transitions) -> None:
        """Take in one step of all environments, fields (S, N, ...), and learn when it is time to."""
        raise NotImplementedError

    def act(self, features: Tensor) -> Tensor:
        """Sample the next action (S, N, A) of every environment."""
        return self.policy(features).sample(self.noise(self.iteration))

    # What all have.

    def learn(self, total_timesteps: int, callback: Callable[[Self], bool | None] | None = None, **sb3: Any) -> Self:
        """Learn for `total_timesteps` more steps of each seed (rounded up to a multiple of N).

            learn: act -> vec_env.step -> normalize -> observe
                   on-policy:  store; every T steps compute advantages and update
                   off-policy: store; sample_batch -> update -> update_targets

        `callback(agent)` is called after every step of all environments. It ends the learning by returning False, or
        anything else that is false but None.

        A seed whose numbers an update makes infinite or NaN stops in its last good state, with a warning and
        `metrics["diverged"]`, (S,): the step of each at which it stopped, NaN for those that go on.

        Raises:
            ValueError: for steps that are no whole number of at least 0, for a callback that is no such function, and
                for SB3's keywords, which have no place here.
            EnvError: for what an environment must not return or raise; the agent is as it was before that step.
            DivergenceError: where every seed has stopped.
        """
        target = self.num_timesteps + habits.check_learn(self, total_timesteps, callback, sb3)
        self.restore_envs(self.vec_env.get_state()) if self.vec_env.is_stale else None
        self.divergence.check(self, keep=True) if self.guard else None
        while self.num_timesteps < target:
            with torch.no_grad():
                features = self.encoder(self.obs)
                action = self.act(features)
                reward, terminated, done, next_obs, obs = self.normalize(self.vec_env.step(action), features)
            self.observe(Transitions(self.obs, action, reward, self.gamma * ~terminated, done, next_obs))
            self.obs, self.num_timesteps = obs, self.num_timesteps + self.config.num_envs
            self.divergence.after_step(self) if self.guard else None
            if callback is not None and (proceed := callback(self)) is not None and not proceed:
                break
        self.divergence.check(self) if self.guard else None
        return self

    def normalize(self, step: Step, features: Tensor) -> Step:
        """Statistics taken, the reward scaled, and observations packed with the state (S, N, F) that they follow."""
        if self.encoder.statistics is not None:
            self.encoder.statistics.update(step.obs)
        if self.reward_scaling is not None:
            step = step._replace(reward=self.reward_scaling(step.reward, step.done))
        pack = self.encoder.pack
        return step._replace(obs=pack(step.obs, step.done, features), next_obs=pack(step.next_obs, 0.0, features))

    @property
    def observation_space(self) -> gym.Space:
        """Of one environment, as `action_space`."""
        return self.vec_env.observation_space

    @property
    def action_space(self) -> gym.Space:
        return self.vec_env.action_space

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
        """The newest losses, and the mean return of the newest complete episodes (NaN before the first); all (S,).

        Where a seed has stopped, "diverged" says at which step, NaN for those that go on.
        """
        stopped = {"diverged": self.divergence.stopped_at.copy()} if self.divergence.any_stopped else {}
        losses = {name: value.detach().numpy(force=True) for name, value in self.losses.items()}
        return {"return": self.vec_env.mean_return()} | losses | stopped

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """Each seed's actions in its own observations: (S, n, *obs shape) -> (S, n) or (S, n, A), and the state.

        `state` is that of a recurrent network, (S, n, K): the one returned last, or None to begin; `episode_start`
        (S, n) says where it begins anew. A random action is drawn anew at every call. It depends on the seed, the steps
        learned and the number of such calls since the agent was made.
        """
        shape, obs = self.vec_env.observation_space.shape or (), to_array(obs, self.vec_env.is_uint8)
        if obs.shape[2:] != shape or obs.shape[:1] != (len(self),) or obs.ndim != len(shape) + 2:
            expected = f"{(len(self), -1, *shape)} (agent[i].predict takes those of one seed)".replace("-1", "n")
            raise ValueError(f"obs: found shape {obs.shape}, expected {expected}")
        return predict(self, self.encoder, self.policy, self.seeds, obs, state, episode_start, deterministic)

    def __getattr__(self, name: str) -> Any:  # of SB3's names, and of modules
        return habits.look_up(super().__getattr__, self, name) if name in habits.ABSENT else super().__getattr__(name)

    def _repr_html_(self) -> str:
        """What a notebook shows: what the agent is, and the newest return of each seed."""
        name, network = type(self).__name__, describe_network(self.network)
        known = {"environment": self.env_id or "of a function", "seeds": ", ".join(map(str, self.seeds))}
        known |= {
            "steps of each": f"{self.num_timesteps:,}",
            "network": loading.in_words(network) if network else "own",
        }
        changed = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)}
        known |= {"hyper-parameters": ", ".join(f"{key}={value}" for key, value in changed.items())}
        returns = pages.bars("return of the newest episodes in training", self.seeds, self.vec_env.mean_return())
        return pages.facts(f"{name}: {len(self)} seeds", known) + returns

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> Replica:
        return Replica(self, find_index(index, len(self)))

    # Pieces for the algorithms.

    def trunk(self, more: int = 0, copies: int = 1) -> nn.Module:
        """A new network for a head that sees the features and `more` numbers; `copies` times S replicas."""
        plain = self.head_network is self.network and not more
        in_features = self.vec_env.in_features if plain else self.encoder.out_features + more
        return make_network(self.head_network, in_features, self.streams * copies)

    def noise_stream(self, sample: Callable, role: Role, shape: Sequence[int]) -> Noise:
        """A stream of random numbers (S, *shape) of this agent's seeds, addressed by step."""
        return Noise(sample, self.seeds, (role,), shape)

    def per_seed(self, value: PerSeed) -> Tensor:
        """A hyper-parameter as (S, 1)."""
        return torch.as_tensor(value, dtype=torch.get_default_dtype()).expand(len(self))[:, None]

    @property
    def default_sequence_length(self) -> int:
        """Steps that a recurrent network unrolls in an update, where none are given."""
        return SEQUENCE_LENGTH

    @property
    def progress_remaining(self) -> float:
        """From 1 to a twentieth, linearly over `anneal_steps`: a run that goes on still learns."""
        return max(0.05, 1 - self.num_timesteps / self.config.anneal_steps) if self.config.anneal_steps else 1.0

    def anneal(self) -> None:
        """Give every optimizer the learning rate of each seed now."""
        rates = self.progress_remaining * np.asarray(self.config.learning_rate)  # one, or (S,)
        for optimizer in self.children():
            if isinstance(optimizer, models.Adam | models.RMSprop):
                optimizer.learning_rate.reshape(-1, len(self))[:] = rates  # twins are 2S replicas

    # The whole state, and files.

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next step and `metrics` depend on, as arrays; of a buffer only what is filled."""
        if self.guard and self.divergence.good:
            self.divergence.inspect(self)
        state = {name: tensor.numpy(force=True) for name, tensor in self.state_dict().items()}
        state |= {"diverged": self.divergence.stopped_at.copy()} if self.divergence.any_stopped else {}
        state |= {name: state[name][:, : self.num_timesteps] for name in self.filling if name in state}
        state |= {f"vec_env.{name}": array for name, array in self.vec_env.get_state().items()}
        state |= {f"losses.{name}": loss.numpy(force=True) for name, loss in self.losses.items()}
        state |= {"num_timesteps": np.array(self.num_timesteps)}
        return checkpoint.policy_part(state) if self.policy_only else state

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `get_state` returned.

        Raises ValueError if an array is missing, unknown or of another shape.
        """
        tensors, state = self.state_dict(), dict(state)
        losses = {name: loss.to(self.device) for name, loss in checkpoint.take_losses(state, len(self)).items()}
        steps = checkpoint.steps_of(state, self.config.num_envs)
        for name in self.filling:
            if name in tensors:
                tensors[name] = tensors[name][:, :steps]
        envs = {} if self.policy_only else {f"vec_env.{name}": x for name, x in self.vec_env.get_state().items()}
        tensors = checkpoint.policy_part(tensors) if self.policy_only else tensors
        none = np.full(len(self), np.nan)
        diverged = state.setdefault("diverged", none)
        checkpoint.check_state(state, tensors | envs | {"diverged": none})
        for name, tensor in tensors.items():  # all or nothing
            tensor.copy_(torch.from_numpy(np.asarray(state[name]).copy()))
        self.num_timesteps, self.losses, self.divergence = steps, losses, Guard(np.array(diverged))
        if not self.policy_only:
            envs = {name: x for name, x in state.items() if name.startswith("vec_env.")}
            self.restore_envs({name.removeprefix("vec_env."): x for name, x in envs.items()})

    def restore_envs(self, state: dict[str, np.ndarray]) -> None:
        """Bring the environments where `state` says; those that cannot be brought there begin a new episode."""
        restarted, obs = self.vec_env.set_state(state, self.obs.cpu())  # (S, N) bool, (S, N, O)
        if not restarted.any():
            return
        restarted, obs = restarted.to(self.device), obs.to(self.device)
        with self.computing:
            self.obs[restarted] = self.encoder.pack(obs, 1.0, None)[restarted]
            if self.reward_scaling is not None:
                self.reward_scaling.discounted[restarted] = 0.0
            for part in self.children():
                if isinstance(part, Replay):
                    part.end_episodes(self.num_timesteps, restarted)

    def extract(self, index: int) -> Self:
        """An agent of one seed in the state of replica `index`; it shares nothing with this one and can go on."""
        index, count = find_index(index, len(self)), len(self)
        config = dataclasses.asdict(self.config)
        for name, value in config.items():
            if hyperparameter(type(self.config), name)[1] and isinstance(value, Sequence):
                config[name] = value[index]
        keywords = {"seeds": [self.seeds[index]], "network": self.network, "env_kwargs": self.env_kwargs} | config
        keywords |= {"device": self.device}
        state = self.get_state()
        envs = {name: state.pop(name) for name in list(state) if name.startswith("vec_env.")}
        steps = state.pop("num_timesteps")
        # The first axis is S, or 2 S where twins stand one after the other.
        extracted = {name: x.reshape(-1, count, *x.shape[1:])[:, index] for name, x in state.items()}
        envs = {name.removeprefix("vec_env."): x for name, x in envs.items()}
        envs = extract_state(envs, index, config["num_envs"]) if envs else {}
        extracted |= {f"vec_env.{name}": x for name, x in envs.items()} | {"num_timesteps": steps}
        agent = checkpoint.make_agent(type(self), self.env, keywords, self.policy_only)
        agent.set_state(extracted)
        return agent

    def save(
        self,
        path: str | os.PathLike,
        *,
        policy_only: bool = False,
        notes: dict[str, Any] | None = None,
        **sb3: Any,
    ) -> None:
        """Write everything to one file: a run that loads it goes on as if it had never stopped.

        Args:
            policy_only: write only what `predict` needs: the file is small, and the agent that it gives acts the same,
                but cannot learn.
            notes: anything that JSON can hold, kept beside the agent; `agents.checkpoint.load(path)[1]["notes"]` has
                it again.

        Raises:
            OSError: if the file cannot be written; what was there before is still there.
            ValueError: for notes that JSON cannot hold, and for an agent that is itself a policy alone.
        """
        habits.refuse_keywords("save", habits.FILES, sb3)
        if self.policy_only and not policy_only:
            raise ValueError(checkpoint.incomplete("save", "save(path, policy_only=True)"))
        self.vec_env.try_replay() if not policy_only else None
        meta = {
            "agent": type(self).__name__,
            **loading.describe_env(self.env),
            "spaces": loading.describe_spaces(self.observation_space, self.action_space),
            "env_kwargs": keywords_to_json(self.env_kwargs),
            "seeds": self.seeds,
            "network": describe_network(self.network),
            "config": dataclasses.asdict(self.config),
            "dtype": str(next(self.policy.parameters()).dtype),
            "num_timesteps": self.num_timesteps,
            "policy_only": policy_only,
            "notes": checkpoint.check_notes(notes),
        }
        state = self.get_state()
        checkpoint.save(path, checkpoint.policy_part(state) if policy_only else state, meta)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        env: str | Maker | None = None,
        network: MakeNetwork | None = None,
        device: Device = "cpu",
        **sb3: Any,
    ) -> Self:
        """Read what `save` wrote. Nothing in a file is executed, and loading imports no module that the file names.

        Args:
            env: needed where the agent was made with a function, which no file holds, or with an id whose module has
                not been imported. An id must be the file's, and any other environment must have its spaces.
            network: likewise where the network is not one of the zoo.
            device: where the agent computes from now on, wherever it was before.

        Raises:
            FileNotFoundError, agents.CheckpointError: if there is no sound checkpoint.
            ValueError: if it holds another kind of agent, or what it needs is missing, or is not what it was.
        """
        return cls.restore(path, *loading.read(path), env, network, device, **sb3)

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike,
        state: dict[str, np.ndarray],
        meta: dict[str, Any],
        env: str | Maker | None = None,
        network: MakeNetwork | None = None,
        device: Device = "cpu",
        **sb3: Any,
    ) -> Self:
        """The agent of a file that `loading.read` has read; arguments and errors as of `load`."""
        habits.refuse_keywords("load", habits.FILES, sb3)
        dtype = str(torch.get_default_dtype())
        if meta["agent"] != cls.__name__:
            raise ValueError(f"{path}: found an agent of class {meta['agent']}, expected {cls.__name__}")
        if meta["dtype"] != dtype:
            raise ValueError(f"{path}: found numbers of {meta['dtype']}, expected the default dtype, {dtype}")
        env, network = loading.resolve_env(path, meta, env), loading.resolve_network(path, meta, network)
        loading.check_fields(path, meta, {field.name: field.default for field in dataclasses.fields(cls.Config)})
        env_kwargs = loading.restore_keywords(path, meta)
        keywords = {"seeds": meta["seeds"], "network": network, "env_kwargs": env_kwargs, **meta["config"]}
        keywords |= {"device": find_device(device)}
        with loading.naming(path):
            agent = checkpoint.make_agent(cls, env, keywords, meta.get("policy_only", False))
        spaces = loading.describe_spaces(agent.observation_space, agent.action_space)
        loading.check_spaces(path, meta, env, spaces)
        if not isinstance(env, str) and not agent.policy_only:
            loading.check_maker(path, meta, state, agent.vec_env.get_state())
        with loading.naming(path):
            agent.set_state(state)
        for seed, name in loading.diverged_seeds(meta["seeds"], state).items():
            found = f"found NaN or infinity in {name} of seed {seed}, expected finite numbers"
            warnings.warn(f"{path}: {found}: its training may have diverged", stacklevel=3)
        return agent

    # Copies: agents made alike in the same state, which share nothing; conversions, as far as there are any.

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = copied = checkpoint.rebuild(*checkpoint.agent_parts(self))
        return copied

    def __copy__(self) -> Self:
        return self.__deepcopy__({})

    def __reduce__(self) -> tuple[Callable, tuple]:
        checkpoint.check_picklable(self)
        return checkpoint.rebuild, checkpoint.agent_parts(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(checkpoint.conversion(self, fn), recurse)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        if assign:
            raise ValueError("assign: found True, expected False: an agent's optimizers hold its parameters")
        return super().load_state_dict(state_dict, strict)
