"""What a training costs, measured, and what follows for thousands and millions of seeds: python docs/scale.py

Writes scale.json and scale.png beside itself. The measurement takes some minutes on one core; `--again` computes and
draws from the scale.json that is there.

S seeds, N environments of a seed, B minibatch.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from agents import PPO
from experiments.common import plotting
from experiments.common.cluster import CLUSTER, connected
from experiments.common.hyperparams import tuned
from experiments.common.parallel import Job, run_all
from experiments.common.parts import save_part
from experiments.common.training import Training
from models import MLP

HERE = Path(__file__).parent
ENV = "balancier/Pendulum-v0"
USUAL = {"seeds": 10, "num_envs": 16, "batch_size": 256, "width": 64}
VARIED = {
    "seeds": (1, 3, 10, 30, 100),
    "num_envs": (4, 16, 64),
    "batch_size": (64, 256, 1024),
    "width": (16, 64, 256),
}
STEPS = 40_000  # of each seed, of a training as it is tuned
JOBS = 200  # that do nothing, for the overhead of a job

# Assumptions, to be replaced by those of your own machines.
CORES, PRICE = 16, 0.04  # of a machine; dollars for a core and an hour
BANDWIDTH = 1e8  # bytes a second into the machine that gathers results
FILES = 200  # files a second on a shared file system
START = 8.0  # seconds until a worker has imported everything, once
BLOCKS = 10, 100, 1000  # seeds of a job


def measure_one(seeds: int, num_envs: int, batch_size: int, width: int) -> dict[str, float]:
    """In a process of its own: microseconds of a step of a seed, megabytes, and the size of a checkpoint."""
    torch.set_num_threads(1)
    keywords = tuned("ppo", ENV) | {"num_envs": num_envs, "batch_size": batch_size}
    keywords |= {"network": partial(MLP, hidden=(width, width)), "num_steps": max(64, batch_size // num_envs)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    agent = PPO(ENV, seeds=seeds, **keywords)
    rollout = num_envs * keywords["num_steps"]
    agent.learn(2 * rollout)  # the first update is recorded, which costs once
    began, steps = time.process_time(), 0
    while time.process_time() - began < 3:
        agent.learn(rollout)
        steps += rollout
    seconds = time.process_time() - began
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    with tempfile.TemporaryDirectory() as folder:
        agent.save(Path(folder) / "a")
        size = (Path(folder) / "a").stat().st_size
    return {"step": 1e6 * seconds / steps, "memory": memory, "checkpoint": size / 1e6}


def nothing(job: Job, report: object) -> int:
    return 0


def overhead(scheduler: str | None) -> float:
    """Seconds of a job that does nothing: of processes here, or of a cluster (give its address)."""
    jobs = [Job(str(number), (), 1.0) for number in range(JOBS)]
    with connected(scheduler or "local", None):
        run_all(nothing, jobs[:4], 2)
        began = time.perf_counter()
        run_all(nothing, jobs, 2)
        assert scheduler is None or CLUSTER.get() is not None
        return (time.perf_counter() - began) / JOBS


def measure(scheduler: str | None) -> dict[str, object]:
    context = multiprocessing.get_context("spawn")
    rows = []
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for name, values in VARIED.items():
            for value in values:
                setting = USUAL | {name: value}
                rows.append({"varied": name, **setting, **pool.submit(measure_one, **setting).result()})
                print(rows[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(np.arange(20), np.zeros(20), np.zeros((20, 10)), np.zeros((10, 100)), 0.0)
        save_part(Path(folder) / "a", training, [Training])
        result = (Path(folder) / "a").stat().st_size
    return {"rows": rows, "result_bytes": result, "job_seconds": overhead(scheduler), "scheduler": scheduler or "local"}


def extrapolate(measured: dict, seeds: int, machines: int, block: int) -> dict[str, float]:
    """Seconds of each part of a sweep, and its price; the parts overlap, so the largest decides."""
    of_seeds = [row for row in measured["rows"] if row["varied"] == "seeds"]
    slope, constant = np.polyfit([row["seeds"] for row in of_seeds], [row["step"] for row in of_seeds], 1)
    jobs = -(-seeds // block)
    training = STEPS * (max(constant, 0) + slope * block) / 1e6
    workers = machines * CORES
    parts = {
        "training": START + training * -(-jobs // workers),
        "scheduler": jobs * measured["job_seconds"],
        "gathering": jobs * measured["result_bytes"] * block / 10 / BANDWIDTH,
        "files": jobs / FILES,
    }
    hours = max(parts.values()) / 3600 * workers
    return {"seeds": seeds, "machines": machines, "block": block, "jobs": jobs, **parts, "dollars": hours * PRICE}


def draw(measured: dict, plans: list[dict]) -> None:
    figure, axes = plotting.new(3, 2, width=5.2, height=4.6)
    for panel, name in zip(axes, VARIED, strict=False):
        rows = [row for row in measured["rows"] if row["varied"] == name]
        x = [row[name] for row in rows]
        panel.loglog(x, [row["step"] for row in rows], "o-", color=plotting.BLUE, label="microseconds")
        panel.loglog(x, [row["memory"] for row in rows], "s--", color=plotting.ORANGE, label="megabytes")
        panel.set(xlabel=name.replace("_", " "), xticks=x, xticklabels=x)
        panel.minorticks_off()
        panel.legend(fontsize=11)
    axes[0].set_ylabel("a step of all seeds; memory")
    figure.suptitle("A step costs the less for each seed, the more seeds train together; below: what a sweep waits for")
    for panel, seeds in zip(axes[4:], (10_000, 1_000_000), strict=True):
        chosen = [plan for plan in plans if plan["seeds"] == seeds]
        for name, color in zip(("training", "scheduler", "gathering", "files"), plotting.COLORS, strict=False):
            panel.loglog(BLOCKS, [plan[name] for plan in chosen], "o-", color=color, label=name)
        panel.set(xlabel="seeds of a job", ylabel="seconds")
        panel.set_title(f"{seeds:,} seeds, 100 machines", fontsize=15)
        panel.legend(fontsize=11)
    figure.savefig(HERE / "scale.png", dpi=90)


def main(arguments: list[str]) -> None:
    path = HERE / "scale.json"
    if "--again" in arguments:
        measured = json.loads(path.read_text())["measured"]
    else:
        measured = measure(arguments[0] if arguments else None)
    plans = [extrapolate(measured, seeds, 100, block) for seeds in (10_000, 1_000_000) for block in BLOCKS]
    path.write_text(json.dumps({"measured": measured, "plans": plans}, indent=1) + "\n")
    draw(measured, plans)
    for plan in plans:
        print({name: float(f"{value:.3g}") for name, value in plan.items()})


if __name__ == "__main__":
    main(sys.argv[1:])
