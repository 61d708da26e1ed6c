"""Take the best seed of a trained agent with you: as one checkpoint, and as an ONNX file that needs no Balancier.

The best is chosen on starts that are neither those it is judged on nor those it was watched on while it trained. The
table shows both returns of every seed: the chosen one was lucky on the starts that it was chosen on, and the judged
return is what it is worth.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from rich.table import Table

import agents
import envs  # noqa: F401  registers the pendulum
from agents.common.make_env import find_spec, native_entry_point
from agents.evaluation import TEST_SEED, evaluate
from agents.export import CHOICE, OnnxModel, check_packages, choose
from experiments.common.command import run_command
from experiments.common.flags import UsageError
from experiments.common.parallel import duration
from experiments.common.runs import console, write_json
from experiments.train import load

CHECKPOINT, ONNX = "replica.safetensors", "policy.onnx"


@dataclass(frozen=True)
class Export:
    """Take the best seed of a trained agent with you: as one checkpoint, and as an ONNX file."""

    run: Annotated[Path, tyro.conf.Positional] = Path(".")
    """Folder of a run of balancier train, or a checkpoint."""
    out: Path | None = None
    """Folder of what is written (default: export, in the run's folder)."""
    episodes: int = 100
    """Starts that the best is chosen on, and as many others that all are judged on."""
    seed: int = 0
    """Where the first of the starts to choose on is; the others follow."""
    skip_onnx: bool = False
    """Leave out the ONNX file, which needs the packages of balancier[onnx]."""
    threads: int = 1
    """Processor threads."""


def check(flags: Export) -> Path:
    """The folder to write into; UsageError for flags that no export can come of."""
    for name, least in (("episodes", 1), ("seed", 0), ("threads", 1)):
        if (value := getattr(flags, name)) < least:
            raise UsageError(f"--{name}: found {value}, expected at least {least}")
    out = flags.out or (flags.run if flags.run.is_dir() else flags.run.parent) / "export"
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out: found the file {out}, expected a folder, or a name not yet taken")
    if not flags.skip_onnx:
        try:
            check_packages(["onnx", "onnxscript", "onnxruntime"], "policy.onnx")
        except ImportError as error:
            raise UsageError(f"{error} (or --skip-onnx)") from None
    return out


def forecast(agent: agents.Agent, episodes: int) -> float:
    """Processor seconds of judging all seeds once, roughly: what acting costs is measured."""
    assert agent.env_id is not None
    spec, space = find_spec(agent.env_id), agent.vec_env.observation_space
    obs = np.zeros((len(agent), episodes, *(space.shape or ())), space.dtype)
    agent.predict(obs)  # the first call costs more than the others
    began = time.process_time()
    agent.predict(obs)
    acting = time.process_time() - began
    stepping = len(agent) * episodes * (3e-7 if native_entry_point(spec) else 2e-5)
    return (spec.max_episode_steps or 1000) * (acting + stepping)


def export(flags: Export) -> None:
    out = check(flags)
    torch.set_num_threads(flags.threads)
    agent = load(flags.run, "run")
    name, env = type(agent).__name__.lower(), agent.env_id
    assert env is not None
    expected = duration(2 * forecast(agent, flags.episodes) + (1 if flags.skip_onnx else 4))
    console.print(f"export: the best of {len(agent)} seeds of {name} on {env}, about {expected}", highlight=False)
    judged_starts = range(TEST_SEED, TEST_SEED + flags.episodes)
    first = CHOICE + flags.seed
    best, returns = choose(agent, range(first, first + flags.episodes))
    judged = evaluate(agent, env, judged_starts, agent.env_kwargs).mean(1)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: cannot make the folder {out} ({error.strerror})") from None
    replica = agent[best]
    replica.save(out / CHECKPOINT)
    result: dict[str, Any] = {
        "agent": name,
        "env": env,
        "seeds": list(agent.seeds),
        "steps": agent.num_timesteps,
        "returns_to_choose": returns.round(3).tolist(),
        "returns": judged.round(3).tolist(),
        "chosen": replica.seed,
        "return_of_onnx": None,
    }
    if not flags.skip_onnx:
        replica.to_onnx(out / ONNX)
        onnx_return = float(evaluate(OnnxModel(out / ONNX), env, judged_starts, agent.env_kwargs).mean())
        result["return_of_onnx"] = round(onnx_return, 3)
    write_json(out / "result.json", result)
    console.print(table(agent.seeds, returns, judged, best))
    console.print(f"\n{out / CHECKPOINT}: seed {replica.seed} alone; agents.load reads it", highlight=False)
    if not flags.skip_onnx:
        told = f"onnxruntime runs it: mean judged return {result['return_of_onnx']:.1f}"
        console.print(f"{out / ONNX}: what it does, without randomness; {told}", highlight=False)
    console.print(f"Next: balancier watch {out / CHECKPOINT}", highlight=False)


def table(seeds: Sequence[int], returns: np.ndarray, judged: np.ndarray, best: int) -> Table:
    """Both mean returns of every seed, the chosen one marked."""
    shown = Table("seed", "return on the starts to choose on", "return on the judged starts", "")
    for index, seed in enumerate(seeds):
        row = str(seed), f"{returns[index]:.1f}", f"{judged[index]:.1f}", "chosen" if index == best else ""
        shown.add_row(*row, style="bold" if index == best else None)
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("export", Export, export, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
