"""One replica outside of the package: as a plain PyTorch module, and as an ONNX file.

S seed, n observations to act on, O observation, K numbers of a recurrent network's state, A action components.
"""

import contextlib
import copy
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import balancier
from agents.common.acting import Replica
from agents.common.spaces import ActionMap
from balancier import shown

INSTALL = "python -m pip install 'balancier[onnx]'"


class Actor(nn.Module):
    """What a replica does, without the seed axis: observations (n, *obs shape) to actions in the environment's units.

    Actions are (n,) of a Discrete space, else (n, *action shape): those of a deterministic `predict`. With a recurrent
    network, (obs, state) gives (action, state), both states (n, K); an episode begins with zeros, or with None. It
    is on the CPU, and shares nothing with the agent, which may learn on.
    """

    def __init__(self, replica: Replica):
        super().__init__()
        if not isinstance(replica, Replica):
            raise ValueError(f"replica: found {shown(replica)}, expected one seed of an agent, agent[i]")
        self.encoder, self.policy = copy.deepcopy(replica.encoder), copy.deepcopy(replica.policy)
        for module in self.modules():  # a view copies the memory behind it, which is that of all replicas
            module._buffers = {name: None if x is None else x.clone() for name, x in module._buffers.items()}
        self.to_env = ActionMap(replica.action_space)
        self.one_hot = replica.agent.vec_env.one_hot
        self.dtype = torch.uint8 if replica.agent.vec_env.is_uint8 else next(self.policy.parameters()).dtype
        self.state_dtype = next(self.policy.parameters()).dtype
        self.state_size = self.encoder.state_size  # K
        self.eval().cpu()

    def forward(self, obs: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        numbers = self.one_hot(obs) if self.one_hot is not None else obs
        flat = numbers.reshape(1, obs.shape[0], -1).to(self.dtype)  # (1, n, O)
        features = self.encoder(self.encoder.pack(flat, 0.0, None if state is None else state[None]))
        action = self.to_env(self.policy(features).mode[0])
        return (action, features[0, :, : self.state_size]) if self.state_size else action


def to_module(replica: Replica) -> Actor:
    """A copy of this replica as a plain PyTorch module, observations to actions."""
    return Actor(replica)


def check_packages(names: Sequence[str], who: str) -> None:
    """Raise ImportError, saying what to install, unless these packages are there."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{who}: found no package {' and no '.join(missing)}, expected it installed by {INSTALL}")


def to_onnx(replica: Replica, path: str | os.PathLike) -> None:
    """Write `Actor` as one ONNX file, all of it or nothing.

    Its input is `obs` (n, *obs shape) of the space's own type, its output `action`; with a recurrent network further
    `state` and `next_state`, both (n, K). n is any.

    Raises:
        ImportError: without the packages that write such files.
    """
    check_packages(["onnx", "onnxscript"], "to_onnx")
    actor, space = Actor(replica), replica.observation_space
    # Two of everything: an axis of one would be taken for fixed.
    inputs = {"obs": torch.zeros(2, *(space.shape or ()), dtype=getattr(torch, str(space.dtype)))}
    outputs = ["action"]
    if actor.state_size:
        inputs["state"] = torch.zeros(2, actor.state_size, dtype=actor.state_dtype)
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
    balancier.write_file(path, program.model_proto.SerializeToString())


class OnnxModel:
    """A file of `to_onnx` with the interface of an SB3 model, run by onnxruntime on one thread.

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
        """The action in one observation, or in n of them (n, *obs shape), and the state (n, K); as `Replica.predict`.

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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about itself: packages it could use, and how it will change."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
