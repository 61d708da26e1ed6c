"""A training that is watched: a window in a process of its own, which acts with the newest policy of every seed.

The training copies its policy into a file that both processes have in memory, twice a second. It waits for nobody: the
window may be slow, or closed. Nothing of the training depends on it.

S seed.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from agents import Agent
from agents.common.checkpoint import policy_part
from balancier import _
from envs.scene import Scene
from envs.viewer import NoDisplay, Window
from envs.viewer.window import check_display
from experiments.common.flags import UsageError
from experiments.common.pictures import window_size
from experiments.common.players import Player, replicas
from experiments.common.runs import console
from experiments.common.stage import Stage
from experiments.common.trained import load

EVERY = 0.5  # seconds between two policies at least
SHARE = 0.02  # of the training's processor time that they may take
MOST = 16  # seeds that are shown
# Finds modules where the training does.
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from experiments.common import live; live.main()"
NICE = 10  # the window's process gives way to the training


class Newest:
    """The newest policy in a file that two processes share: one writes, the other reads, nobody waits.

    A reader sees either the whole of a policy or nothing: the number of the version is odd while it is written, and
    read again after the rest.
    """

    def __init__(self, path: Path, tensors: Mapping[str, torch.Tensor], seeds: int):
        self.tensors = dict(tensors)
        sizes = [tensor.numel() * tensor.element_size() for tensor in self.tensors.values()]
        head = 8 * (2 + seeds)
        if not path.exists():
            path.write_bytes(bytes(head + sum(sizes)))
        content = np.memmap(path, np.uint8, "r+")
        self.numbers = content[:16].view(np.int64)  # version, steps of each seed
        self.returns = content[16:head].view(np.float64)  # (S,), of the training's newest episodes
        places = np.cumsum([head, *sizes])
        self.parts = [content[start:end] for start, end in itertools.pairwise(places)]
        self.steps, self.newest_returns = 0, np.full(seeds, np.nan)  # as they were read last

    def write(self, steps: int, returns: np.ndarray) -> None:
        self.numbers[0] += 1
        self.numbers[1], self.returns[:] = steps, returns
        for part, tensor in zip(self.parts, self.tensors.values(), strict=True):
            part[:] = np.ascontiguousarray(tensor.numpy(force=True)).reshape(-1).view(np.uint8)
        self.numbers[0] += 1

    def read(self, before: int) -> int:
        """Fill the tensors with a policy that is newer than a version; its version, or the one before."""
        version = int(self.numbers[0])
        if version == before or version % 2:
            return before
        copies = [part.copy() for part in self.parts]
        self.steps, self.newest_returns = int(self.numbers[1]), self.returns.copy()
        if int(self.numbers[0]) != version:
            return before
        for copied, tensor in zip(copies, self.tensors.values(), strict=True):
            values = torch.from_numpy(copied.view(tensor.numpy(force=True).dtype).reshape(tensor.shape))
            if not values.is_floating_point() or bool(values.isfinite().all()):  # of a seed that diverges
                tensor.copy_(values)
        return version


def shared(agent: Agent) -> dict[str, torch.Tensor]:
    """The tensors of an agent that acting needs; they change in place."""
    return {name: tensor for name, tensor in policy_part(agent.state_dict()).items() if tensor.numel()}  # type: ignore[arg-type]


class Broadcast:
    """The training's side: call it after every step. `close` ends the window."""

    def __init__(self, agent: Agent):
        self.folder = tempfile.TemporaryDirectory(prefix="balancier-live-")
        folder = Path(self.folder.name)
        agent.save(folder / "policy.safetensors", policy_only=True)
        self.newest = Newest(folder / "newest", shared(agent), len(agent))
        self.due, self.every = 0.0, EVERY
        self.process: subprocess.Popen | None = start_window(folder, str(agent.env))

    def __call__(self, agent: Agent) -> None:
        if time.monotonic() < self.due:
            return
        if self.process is not None and self.process.poll() is not None:
            words = _("the window was closed; the training goes on")
            words = _("the window failed; the training goes on") if self.process.returncode else words
            console.print(words, highlight=False)
            self.process, self.every = None, float("inf")
        began = time.process_time()
        if self.process is not None:
            self.newest.write(agent.num_timesteps, agent.vec_env.mean_return())
        self.due = time.monotonic() + max(self.every, (time.process_time() - began) / SHARE)

    def close(self) -> None:
        """End the window, if it is still open."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
        del self.newest
        with contextlib.suppress(OSError):
            self.folder.cleanup()


def start_window(folder: Path, env: str) -> subprocess.Popen:
    command = [sys.executable, "-c", START, json.dumps(sys.path), str(folder), env]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def check_live(agent: Agent) -> None:
    """Raise UsageError, in one line, where there is no screen, and for an environment that draws no frames."""
    try:
        check_display()
    except NoDisplay as error:
        found = str(error).partition(", expected")[0].removeprefix("display: found none ")
        way_out = "without --live the training is the same, and balancier watch RUN --gif FILE shows it afterwards"
        raise UsageError(f"--live: found no display {found}, expected one ({way_out})") from None
    try:
        Stage(actors(agent)[:1]).close()
    except UsageError as error:
        raise UsageError(str(error).replace("run:", "--live:", 1)) from None


def actors(agent: Agent) -> list[Player]:
    """The seeds that are shown."""
    return replicas(agent, "", range(min(len(agent), MOST)))


def main() -> None:
    """The window's process: the policies act, each in its environment, until a person or the training ends it."""
    folder, env = Path(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to both; the training ends this process
    threading.Thread(target=follow_training, args=(folder,), daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICE)
    try:
        act(folder, env)
    except (UsageError, NoDisplay) as error:
        print(f"--live: {error}", file=sys.stderr)
        sys.exit(1)


def follow_training(folder: Path) -> None:
    """End this process when that of the training is gone, however it ended: then nobody holds the pipe's other end."""
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def act(folder: Path, env: str) -> None:
    agent = load(folder / "policy.safetensors", "--live", env if ":" in env else None)
    newest, version = Newest(folder / "newest", shared(agent), len(agent)), 0
    stage, name, window, due = Stage(actors(agent)), type(agent).__name__, None, 0.0
    for number in itertools.count():
        for scenes in stage.episode(number, "hanging" if stage.is_pendulum else "random"):
            version = newest.read(version)
            scenes = labeled(scenes, newest)
            if window is None:
                window = Window("", window_size(scenes), handles=("restart",))
            window.rename(_("{name} is learning: step {step:,} of each seed", name=name, step=newest.steps))
            commands = window.show(scenes)  # none in between: they would take processor time of the training
            if window.closed:
                return
            if commands.restart:
                break
            due = max(due, time.perf_counter() - stage.seconds) + stage.seconds / window.speed
            time.sleep(max(0.0, due - time.perf_counter()))


def labeled(scenes: Sequence[Scene], newest: Newest) -> list[Scene]:
    """Each with the return of the seed's newest episodes in training; the first also with the step."""
    shown = []
    for index, (scene, value) in enumerate(zip(scenes, newest.newest_returns, strict=False)):
        title = scene.title if index else _("{title}, step {step:,}", title=scene.title, step=newest.steps)
        note = _("return {value:.0f}", value=value) if np.isfinite(value) else _("no episode yet")
        shown.append(dataclasses.replace(scene, title=title, note=note))
    return shown
