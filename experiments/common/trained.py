"""Agents that were trained: from the folder of a run, or from a checkpoint."""

from pathlib import Path

import gymnasium as gym

import agents
from agents import Agent
from agents.common import loading
from experiments.common.environments import check_env
from experiments.common.flags import UsageError
from experiments.common.runs import find_latest, newest_checkpoint


def load(run: Path, flag: str, env: str | None = None, device: str = "cpu") -> Agent:
    """The agent of a run's folder, or of a checkpoint; UsageError, in one line, if there is no sound one.

    Nothing is imported for it but the module of `env`, which --env names, and which must be the agent's own.
    """
    run = find_latest(run)
    path = newest_checkpoint(run) if run.is_dir() else run
    if not path.is_file():
        raise UsageError(f"{flag}: found no checkpoint at {path}, expected the folder of a run of balancier train")
    try:
        meta = loading.read(path)[1]
        if meta["env"] is None:
            expected = "expected one that was made with an id; in Python, agents.load(path, env=...) takes the function"
            raise UsageError(f"{flag}: found an agent whose environment came from a function, {expected}")
        if env is not None and env.rpartition(":")[2] != meta["env"].rpartition(":")[2]:
            given = f" with {flag}" if flag.startswith("--") else ""
            raise UsageError(f"--env: found {env}{given}, expected {meta['env'].removeprefix('envs:')}, as in the run")
        name = str(loading.resolve_env(path, meta, env))
        check_env(name, loading.restore_keywords(path, meta), flag if env is None else "--env")
        return agents.load(path, env=env, device=device)
    except (agents.CheckpointError, ValueError, gym.error.Error, OSError) as error:
        words = " ".join(str(error).split())
        raise UsageError(words if isinstance(error, UsageError) else f"{flag}: {words}") from None
