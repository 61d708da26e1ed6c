"""One process that makes, trains, tests, saves and loads agents again and again keeps neither memory nor files.

`BALANCIER_SOAK=1200 pytest tests/agents/test_soak.py -m slow -n 0` does that for twenty minutes.
"""

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import agents
import models
from agents.evaluation import evaluate

PENDULUM = "envs:balancier/Pendulum-v0"
KINDS = [
    (agents.PPO, "CartPole-v1", {"num_steps": 64, "batch_size": 32}),
    (agents.A2C, PENDULUM, {"network": models.MLP}),
    (agents.SAC, PENDULUM, {"learning_starts": 20, "batch_size": 16}),
    (agents.TD3, PENDULUM, {"learning_starts": 20, "batch_size": 16, "n_step": 2}),
    (agents.DQN, "CartPole-v1", {"learning_starts": 20, "batch_size": 16, "prioritized": True}),
    (agents.PPO, PENDULUM, {"network": partial(models.GRU, hidden_size=8), "num_steps": 32, "batch_size": 32}),
]


def resident_megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def cycle(folder):
    for number, (kind, env, keywords) in enumerate(KINDS):
        path = folder / f"{number}.safetensors"
        kind(env, seeds=2, **keywords).learn(100).save(path)
        agent = agents.load(path).learn(40)
        assert evaluate(agent[0], env, range(2)).shape == (1, 2)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says how much memory is used")
def test_memory_and_open_files_stay_the_same(tmp_path):
    memory, files, ends = [], [], time.monotonic() + float(os.environ.get("BALANCIER_SOAK", "20"))
    while len(memory) < 12 or time.monotonic() < ends:
        cycle(tmp_path)
        memory.append(resident_megabytes())
        files.append(len(os.listdir("/proc/self/fd")))
    assert len(set(files[1:])) == 1
    late, early = np.median(memory[-len(memory) // 4 :]), np.median(memory[len(memory) // 4 : len(memory) // 2])
    assert late - early < 10, memory  # megabytes; the first cycles load libraries
