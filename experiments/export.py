"""Take the best seed of a trained agent with you: as one checkpoint, and as an ONNX file that needs no Balancier. The
table shows two returns of every seed: on the starts that the best seed is selected on, and on the test starts.

balancier export runs/train/latest

The starts to select on are neither test starts nor validation starts. The selected seed was lucky on them; its test
return tells how good it is.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.table import Table

import agents
import envs  # noqa: F401  registers the pendulum
from agents.common.make_env import find_spec, has_native_batch
from agents.evaluation import SELECTION_SEED, TEST_SEED, evaluate, select_best
from agents.export import OnnxModel, check_packages, to_onnx
from balancier import _
from experiments.common.command import run_command
from experiments.common.environments import env_flag
from experiments.common.flags import UsageError, at_least
from experiments.common.page import localize_table
from experiments.common.parallel import duration
from experiments.common.runs import console, find_latest, write_json
from experiments.common.trained import load
from experiments.train import shown

CHECKPOINT, ONNX = "replica.safetensors", "policy.onnx"


@dataclass(frozen=True)
class Export:
    """Take the best seed of a trained agent with you: as one checkpoint, and as an ONNX file."""

    run: Annotated[Path, tyro.conf.Positional] = Path(".")
    """Folder of a run of balancier train, or a checkpoint."""
    env: Annotated[str | None, shown("ID")] = None
    """module:Id of an environment of your own that the agent was trained in; the module is imported. (default: the
    agent's id, if it is known without)"""
    out: Path | None = None
    """Folder of what is written (default: export, in the run's folder)."""
    episodes: Annotated[int, at_least(1)] = 100
    """Starts to select the best seed on, and as many others to test all seeds on."""
    seed: Annotated[int, at_least(0)] = 0
    """Number of the first start to select on; the others follow."""
    skip_onnx: bool = False
    """Leave out the ONNX file, which needs the packages of balancier[onnx]."""
    threads: Annotated[int, at_least(1)] = 1
    """Processor threads."""


def check(flags: Export) -> Path:
    """The folder to write into; UsageError if it is none, or if packages are missing."""
    run = find_latest(flags.run)
    out = flags.out or (run if run.is_dir() else run.parent) / "export"
    if not flags.skip_onnx:
        try:
            check_packages(["onnx", "onnxscript", "onnxruntime"], "policy.onnx")
        except ImportError as error:
            raise UsageError(f"{error} (or --skip-onnx)") from None
    return out


def forecast(agent: agents.Agent, episodes: int) -> float:
    """Processor seconds of testing all seeds once, roughly: the cost of acting is measured."""
    assert agent.env_id is not None
    spec, space = find_spec(agent.env_id), agent.vec_env.observation_space
    obs = np.zeros((len(agent), episodes, *(space.shape or ())), space.dtype)
    agent.predict(obs)  # the first call costs more than the others
    began = time.process_time()
    agent.predict(obs)
    acting = time.process_time() - began
    stepping = len(agent) * episodes * (3e-7 if has_native_batch(spec) else 2e-5)
    return (spec.max_episode_steps or 1000) * (acting + stepping)


def export(flags: Export) -> None:
    out = check(flags)
    agent = load(flags.run, "run", flags.env)
    name, env = type(agent).__name__.lower(), agent.env_id
    assert env is not None
    expected = duration(2 * forecast(agent, flags.episodes) + (1 if flags.skip_onnx else 4))
    words = {"count": len(agent), "agent": name, "env": env, "time": expected}
    console.print(_("export: the best of {count} seeds of {agent} on {env}, about {time}", **words), highlight=False)
    test_starts = range(TEST_SEED, TEST_SEED + flags.episodes)
    first = SELECTION_SEED + flags.seed
    best, returns = select_best(agent, range(first, first + flags.episodes))
    test_returns = evaluate(agent, env, test_starts, agent.env_kwargs).mean(1)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: cannot make the folder {out} ({error.strerror})") from None
    replica = agent[best]
    agent.extract(best).save(out / CHECKPOINT, policy_only=agent.policy_only)
    result: dict[str, Any] = {
        "agent": name,
        "env": env,
        "seeds": list(agent.seeds),
        "steps": agent.num_timesteps,
        "returns_to_choose": returns,
        "returns": test_returns,
        "chosen": replica.seed,
        "return_of_onnx": None,
    }
    if not flags.skip_onnx:
        to_onnx(replica, out / ONNX)
        onnx_return = float(evaluate(OnnxModel(out / ONNX), env, test_starts, agent.env_kwargs).mean())
        result["return_of_onnx"] = onnx_return
    write_json(out / "result.json", result)
    console.print(table(agent.seeds, returns, test_returns, best))
    line = _("{path}: seed {seed} alone; agents.load reads it", path=out / CHECKPOINT, seed=replica.seed)
    console.print(f"\n{line}", highlight=False)
    if not flags.skip_onnx:
        line = _(
            "{path}: the same seed without randomness; run by onnxruntime, its mean test return is {value:.1f}",
            path=out / ONNX,
            value=result["return_of_onnx"],
        )
        console.print(line, highlight=False)
    command = f"balancier watch {out / CHECKPOINT}{env_flag(env)}"
    console.print(_("Next: {command}", command=command), highlight=False)


def table(seeds: Sequence[int], returns: np.ndarray, test_returns: np.ndarray, best: int) -> Table:
    """Both mean returns of every seed, the selected one marked."""
    shown = Table(_("seed"), _("return on the starts to select on"), _("test return"), "")
    for index, seed in enumerate(seeds):
        row = str(seed), f"{returns[index]:.1f}", f"{test_returns[index]:.1f}", _("selected") if index == best else ""
        shown.add_row(*row, style="bold" if index == best else None)
    localize_table(shown)
    return shown


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("export", Export, export, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
