"""Updates of an agent that are recorded once and then replayed, which saves a quarter to a half of their time."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from models.optim import FlatParameters
from models.recording import Recordings


def record(agent: Any) -> None:
    """Let the methods that `agent.pure` names be recorded, where that pays: not for CNNs and recurrent networks.

    The results are the same bits, so a run may go on with `agent.recorded = False`, or the other way round.
    """
    parts = [module for module in agent.modules() if isinstance(module, FlatParameters)]
    recordings = Recordings()

    def run(update: Callable[..., dict[str, Tensor]], *inputs: Any) -> dict[str, Tensor]:
        if not agent.recorded or agent.encoder.learns:
            return update(*inputs)
        return recordings(update, *inputs, depends=[part.places() for part in parts])

    for name in agent.pure:
        setattr(agent, name, partial(run, getattr(agent, name)))
