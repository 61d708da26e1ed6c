"""What leaves the package: one replica as an agent of its own, as a plain PyTorch module, and as an ONNX file.

S seed, n observations to act on, O observation, K numbers of a memory's state, A action components.
"""

import contextlib
import copy
import dataclasses
import importlib.util
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from agents.common.config import Numbers
from agents.evaluation import evaluate

if TYPE_CHECKING:
    from agents.common.acting import Replica
    from agents.common.agent import Agent

CHOICE = 30_000  # the best replica is chosen from reset(seed=CHOICE + i): neither judged nor watched while it trained
INSTALL = "python -m pip install 'balancier[onnx]'"


def choose(agent: "Agent", starts: Sequence[int] = range(CHOICE, CHOICE + 100)) -> tuple[int, np.ndarray]:
    """Which replica has the highest mean return over these starts, and the mean returns (S,) of all.

    The best of many was lucky too: what it is worth, only other starts tell.

    Raises:
        ValueError: for an agent made with a function, which no start of an id leads to.
    """
    if agent.env_id is None:
        raise ValueError("choose: found an agent whose environment came from a function, expected one made with an id")
    returns = evaluate(agent, agent.env_id, starts, agent.env_kwargs).mean(1)
    return int(returns.argmax()), returns


def alone(agent: "Agent", index: int) -> "Agent":
    """An agent of one seed in the state of replica `index`, with a copy of all that it has: it can go on learning."""
    index, count, rows = range(len(agent))[index], len(agent), agent.config.num_envs
    per_seed = [field.name for field in dataclasses.fields(agent.config) if field.type == Numbers]
    config = dataclasses.asdict(agent.config)
    config |= {name: config[name][index] for name in per_seed if isinstance(config[name], Sequence)}
    one = type(agent)(
        agent.env, seeds=[agent.seeds[index]], network=agent.network, env_kwargs=agent.env_kwargs, **config
    )
    # The first axis is S, or 2 S where twins stand one after the other.
    one.load_state_dict({name: x.unflatten(0, (-1, count))[:, index] for name, x in agent.state_dict().items()})
    worlds = agent.vec_env.get_state()
    own = slice(index * rows, (index + 1) * rows)
    if "lengths" in worlds:  # the actions of all running episodes, row after row
        actions = np.split(worlds["actions"], np.cumsum(worlds["lengths"])[:-1])
        one.vec_env.set_state({name: x[own] for name, x in worlds.items()} | {"actions": np.concatenate(actions[own])})
    else:
        one.vec_env.set_state({name: x[own] for name, x in worlds.items()})
    one.num_timesteps = agent.num_timesteps
    return one


class Actor(nn.Module):
    """What a replica does, without the seed axis: observations (n, *obs shape) to actions in the world's own units.

    Actions are (n,) of a Discrete space, else (n, *action shape): `predict`'s, drawn by no chance. With a memory,
    (obs, state) gives (action, state), both states (n, K); an episode begins with zeros, or with None. It shares
    nothing with the agent: what that learns later, it does not know.
    """

    low: Tensor
    high: Tensor
    start: Tensor

    def __init__(self, replica: "Replica"):
        super().__init__()
        self.encoder, self.policy = copy.deepcopy(replica.encoder), copy.deepcopy(replica.policy)
        for module in self.modules():  # a view copies the memory behind it, which is that of all replicas
            module._buffers = {name: None if x is None else x.clone() for name, x in module._buffers.items()}
        self.dtype = next(self.policy.parameters()).dtype
        self.is_uint8 = replica.agent.vec_env.is_uint8
        self.state_size = self.encoder.state_size  # K
        space = replica.action_space
        self.action_shape, self.action_dtype = space.shape or (), getattr(torch, str(space.dtype))
        self.continuous = isinstance(space, Box)
        if isinstance(space, Box):
            self.register_buffer("low", torch.tensor(space.low))
            self.register_buffer("high", torch.tensor(space.high))
        else:
            self.register_buffer("start", torch.tensor(space.start))  # type: ignore[attr-defined]
        self.eval()

    def forward(self, obs: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        rows = obs.reshape(1, obs.shape[0], -1)  # (1, n, O)
        rows = rows if self.is_uint8 else rows.to(self.dtype)
        features = self.encoder(self.encoder.pack(rows, 0.0, None if state is None else state[None]))
        action = self.to_env(self.policy(features).mode[0])
        return (action, features[0, :, : self.state_size]) if self.state_size else action

    def to_env(self, action: Tensor) -> Tensor:
        """The world's own actions for (n, A), as `Worlds.to_env` makes them."""
        action = action.reshape(action.shape[0], *self.action_shape)
        if self.continuous:
            return (self.low + (action.clamp(-1, 1) + 1) / 2 * (self.high - self.low)).to(self.action_dtype)
        return (action + self.start).to(self.action_dtype)


def check_packages(names: Sequence[str], who: str) -> None:
    """Raise ImportError, saying what to install, unless these packages are there."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{who}: found no package {' and no '.join(missing)}, expected it installed by {INSTALL}")


def to_onnx(replica: "Replica", path: str | os.PathLike) -> None:
    """Write `Actor` as one ONNX file, all of it or nothing.

    Its input is `obs` (n, *obs shape) of the space's own type, its output `action`; with a memory further `state` and
    `next_state`, both (n, K). n is any.

    Raises:
        ImportError: without the packages that write such files.
    """
    check_packages(["onnx", "onnxscript"], "to_onnx")
    actor, space = Actor(replica), replica.observation_space
    # Two of everything: an axis of one would be taken for fixed.
    inputs = {"obs": torch.zeros(2, *(space.shape or ()), dtype=getattr(torch, str(space.dtype)))}
    outputs = ["action"]
    if actor.state_size:
        inputs["state"] = torch.zeros(2, actor.state_size, dtype=actor.dtype)
        outputs.append("next_state")
    with _quiet():
        program = torch.onnx.export(
            actor,
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            dynamic_shapes={name: {0: torch.export.Dim("n")} for name in inputs},
            input_names=list(inputs),
            output_names=outputs,
        )
    assert program is not None
    _write(Path(path), program.model_proto.SerializeToString())


class OnnxModel:
    """A file of `to_onnx` with the face of an SB3 model, run by onnxruntime on one thread.

    Raises:
        ImportError: without onnxruntime.
    """

    def __init__(self, path: str | os.PathLike):
        check_packages(["onnxruntime"], "OnnxModel")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        obs, *state = self.session.get_inputs()
        self.obs_dims: int = len(obs.shape)
        self.obs_type = _numpy_type(obs.type)
        self.state = (state[0].shape[1], _numpy_type(state[0].type)) if state else None  # K and its type

    def predict(
        self, obs: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """What to do in one observation, or in n of them (n, *obs shape), and the state (n, K); as `Replica.predict`.

        Raises:
            ValueError: if asked for an action drawn at random.
        """
        if not deterministic:
            raise ValueError("deterministic: found False, expected True: the file holds no randomness")
        obs = np.asarray(obs, self.obs_type)
        single = obs.ndim < self.obs_dims
        inputs = {"obs": obs[None] if single else obs}
        if self.state is not None:
            n, (size, dtype) = len(inputs["obs"]), self.state
            state = np.zeros((n, size), dtype) if state is None else np.asarray(state, dtype).reshape(n, size)
            begins = np.zeros(n) if episode_start is None else np.asarray(episode_start).reshape(n)
            inputs["state"] = np.where(begins[:, None] > 0, 0, state).astype(dtype)
        action, *after = self.session.run(None, inputs)
        return (action[0] if single else action), (after[0] if after else None)  # type: ignore[index]


def _numpy_type(onnx_type: str) -> Any:
    """NumPy's type for `tensor(float)` and the like."""
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64", "float16": "float16"}.get(name, name))


def _write(path: Path, data: bytes) -> None:
    """A file that is there only once it is complete."""
    handle, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.resolve().parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what the exporter says about itself: packages it could use, and how it will change."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
