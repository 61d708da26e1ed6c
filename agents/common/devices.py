"""Where an agent computes: on the CPU, or on a GPU."""

import weakref
from functools import partial
from typing import Any

import torch

from balancier import shown
from models.recording import map_tensors

Device = str | torch.device


def find_device(device: Device) -> torch.device:
    """The device of this name, "auto" being a GPU where there is one; ValueError for one that is not there."""
    try:
        found = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(f"device: found {shown(device)}, expected cpu, cuda or auto") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device: found {found}, expected cpu: PyTorch sees no CUDA device here")
    known = ["cpu"] if found.type == "cpu" else ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if str(found) not in ("cuda", *known):
        raise ValueError(f"device: found {found}, expected {' or '.join(known)}")
    return found


def place(agent: Any, device: Device) -> None:
    """Let an agent compute on a device: its tensors are made there, and those that its methods are given are moved.

    On the CPU an agent needs nothing of this.
    """
    agent.device = find_device(device)
    if agent.device.type == "cpu":
        return
    agent.computing = agent.device  # which is a context for that
    itself = weakref.ref(agent)  # an agent that held itself would keep its memory until the garbage collector comes

    def run(name: str, *inputs: Any) -> Any:
        agent: Any = itself()
        with agent.computing:
            return getattr(type(agent), name)(agent, *map_tensors(lambda x: x.to(agent.device), inputs))

    for name in "act", "normalize", "observe":
        setattr(agent, name, partial(run, name))
