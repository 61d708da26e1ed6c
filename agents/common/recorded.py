"""Updates of an agent that are recorded once and then replayed, which saves a quarter to a half of their time."""

import weakref
from functools import partial
from typing import Any

from torch import Tensor

from models.optim import FlatParameters
from models.recording import Recordings


class Parts:
    """What an agent consists of: the modules, parameters and moments that recorded operations hold on to.

    Raises ValueError for an optimizer whose parameters are not the agent's, which would learn in vain.
    """

    def __init__(self, agent: Any):
        modules = list(agent.modules())
        tables: list[dict[str, Any]] = [table for module in modules for table in (module._modules, module._parameters)]
        self.flat = [module for module in modules if isinstance(module, FlatParameters)]
        tables += [module._buffers for module in self.flat]
        self.links = [(table, name, part) for table in tables for name, part in table.items()]
        self.parameters = list(agent.parameters())
        known = set(map(id, self.parameters))
        for name, module in agent.named_children():
            if isinstance(module, FlatParameters) and not known.issuperset(map(id, module.params)):
                expected = "the agent's (load_state_dict without assign=True gives it other values)"
                raise ValueError(f"{name}: found parameters of a copy, or of what they replaced, expected {expected}")

    def are_the_same(self) -> bool:
        """Whether no module, parameter or moment was replaced by another."""
        return all(table.get(name) is part for table, name, part in self.links)

    def places(self) -> list[Any]:
        """What decides which operations an update is made of, and where they read and write."""
        return [*(part.places() for part in self.flat), *(part.requires_grad for part in self.parameters)]


def record(agent: Any) -> None:
    """Let the methods that `agent.pure` names be recorded, where that pays: not for CNNs and recurrent networks.

    The results are the same bits, so a run may go on with `agent.recorded = False`, or the other way round.
    """
    parts, recordings = Parts(agent), Recordings()
    itself = weakref.ref(agent)  # an agent that held itself would keep its memory until the garbage collector comes

    def run(name: str, *inputs: Any) -> dict[str, Tensor]:
        nonlocal parts, recordings
        agent: Any = itself()
        update = getattr(type(agent), name).__get__(agent)
        if not parts.are_the_same():
            parts, recordings = Parts(agent), Recordings()
        if not agent.recorded or agent.encoder.learns:
            return update(*inputs)
        return recordings(update, *inputs, depends=[agent.config, *parts.places()])

    for name in agent.pure:
        setattr(agent, name, partial(run, name))
