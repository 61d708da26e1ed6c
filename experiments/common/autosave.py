"""Checkpoints of a training while it goes on, so that no more than a few minutes of it can be lost."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents import Agent
from balancier import _
from experiments.common.parallel import duration
from experiments.common.runs import CHECKPOINTS, console

SHARE = 0.02  # of the time that saving may take
POLICIES = 0.0, 0.1, 0.3, 1.0  # parts of the training after which the policy alone is kept


class Autosave:
    """Writes a checkpoint at the start, then every `seconds`; the last two are kept. Call it after every step.

    Where a save takes more than 2 % of the time, the interval grows, and a line says so. The policy alone is kept as it
    was after 0, 10, 30 and 100 % of the training, which shows what it had learned by then.

    Args:
        folder: of the run.
        seconds: between two checkpoints.
        notes: what else the run needs to go on, as JSON can hold it.
        start, total: steps of each seed before this training, and of it.
        now: steps of each seed so far.
    """

    def __init__(
        self, folder: Path, seconds: float, notes: Callable[[], dict[str, Any]], start: int, total: int, now: int
    ):
        self.folder, self.seconds, self.notes = folder, seconds, notes
        steps = {folder / f"policy-{round(100 * share):03d}.safetensors": start + share * total for share in POLICIES}
        self.due_steps = {path: step for path, step in steps.items() if step >= now and not path.exists()}
        self.saved = -float("inf")

    def __call__(self, agent: Agent) -> None:
        """Write what is due. Where that fails, the training goes on, and a line says why."""
        try:
            for path in [path for path, step in self.due_steps.items() if step <= agent.num_timesteps]:
                del self.due_steps[path]
                agent.save(path, policy_only=True)
            if time.monotonic() - self.saved > self.seconds:
                self.save(agent)
        except OSError as error:
            self.saved = time.monotonic()
            line = _("no checkpoint could be written ({error}); the training goes on", error=error)
            console.print(line, highlight=False)

    def save(self, agent: Agent) -> None:
        began = time.monotonic()
        save_newest(agent, self.folder, self.notes())
        self.saved = time.monotonic()
        if self.saved - began > SHARE * self.seconds:
            self.seconds = (self.saved - began) / SHARE
            spent, every = self.saved - began, duration(self.seconds)
            line = _("a checkpoint takes {spent:.1f} s, so one is written every {every}", spent=spent, every=every)
            console.print(line, highlight=False)


def save_newest(agent: Agent, folder: Path, notes: dict[str, Any]) -> None:
    """Write the newest checkpoint of a run; the one before it is kept."""
    newest, before = (folder / name for name in CHECKPOINTS)
    if newest.exists():
        os.replace(newest, before)
    agent.save(newest, notes=notes)


def save_last(agent: Agent, folder: Path, notes: dict[str, Any]) -> None:
    """The same at the end of a training; where the folder cannot be written to, into the folder for temporary files.

    Raises OSError, which says where the agent is now.
    """
    try:
        save_newest(agent, folder, notes)
    except OSError as error:
        rescued = Path(tempfile.mkdtemp(prefix="balancier-")) / CHECKPOINTS[0]
        agent.save(rescued, notes=notes)
        raise OSError(error.errno, f"{error.strerror}; the agent is kept as {rescued}", error.filename) from None
