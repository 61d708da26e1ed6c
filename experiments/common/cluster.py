"""Workers of a Dask cluster: who is there, who has our version, and jobs that end when nobody waits for them.

Dask is asked through the interface that Python has for such things, `concurrent.futures.Executor`, so that a lab
server, Slurm, Kubernetes and the cloud are one way. Its packages are optional, and imported where they are needed.
"""

import contextlib
import ctypes
import hashlib
import importlib
import importlib.metadata
import logging
import secrets
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from functools import partial
from typing import Any

from balancier import _, one_line
from experiments.common.flags import UsageError
from experiments.common.runs import console

SAME = "balancier", "torch"  # packages whose versions have to be ours
AHEAD = 3  # jobs that are submitted for each worker: it never waits for the next one
PATIENCE = 10.0  # seconds in which a scheduler has to answer
CLUSTER: ContextVar["Cluster | None"] = ContextVar("CLUSTER", default=None)  # that this run's jobs go to


@contextlib.contextmanager
def connected(scheduler: str, jobs: int | None) -> Iterator[None]:
    """A block whose jobs go to a cluster; with "local", to processes of this machine.

    Raises UsageError, in one line, where there is no scheduler, or where no worker has our version.
    """
    if scheduler == "local":
        yield
        return
    try:
        import distributed
    except ImportError:
        expected = "expected it installed: python -m pip install 'balancier[cluster]'"
        raise UsageError(f"--scheduler: found {scheduler} without Dask, {expected}") from None
    for name in ("distributed.client", "distributed.core", "distributed.comm", "distributed.batched", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said in our own lines
    with contextlib.ExitStack() as stack:
        address: Any = stack.enter_context(slurm(jobs or 1)) if scheduler == "slurm" else scheduler
        try:
            client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, ImportError) as error:  # TimeoutError is an OSError
            found = "no answer" if isinstance(error, OSError) else " ".join(str(error).split())
            expected = "expected the address of a Dask scheduler (the command dask scheduler starts one)"
            raise UsageError(f"--scheduler: found {found} at {scheduler}, {expected}") from None
        stack.callback(client.close, timeout=PATIENCE)
        cluster = Cluster(client, scheduler)
        cluster.look(first=True)
        token = CLUSTER.set(cluster)
        stack.callback(CLUSTER.reset, token)
        yield


@contextlib.contextmanager
def slurm(jobs: int) -> Iterator[Any]:
    """A cluster of so many Slurm jobs, each one worker; partition, account and memory stand in Dask's configuration."""
    if shutil.which("sbatch") is None:
        raise UsageError("--scheduler: found slurm, but no command sbatch, expected a machine that submits Slurm jobs")
    try:
        import dask
        import dask_jobqueue
    except ImportError:
        expected = "expected it installed: python -m pip install 'balancier[cluster]'"
        raise UsageError(f"--scheduler: found slurm without dask-jobqueue, {expected}") from None
    usual = {"cores": 1, "processes": 1, "memory": "4 GiB"}
    given = dask.config.get("jobqueue.slurm", {})
    keywords = {name: given.get(name) or value for name, value in usual.items()}
    made: Any = dask_jobqueue.SLURMCluster(**keywords)
    with made as cluster:
        cluster.scale(jobs=jobs)
        yield cluster


class Cluster:
    """The workers of a scheduler. Only those with our versions of Balancier and torch get jobs."""

    every, retries = 0.5, True

    def __init__(self, client: Any, scheduler: str):
        self.client, self.scheduler = client, scheduler
        self.executor = client.get_executor(pure=False)
        self.expected = version_finder()()
        self.good: set[str] = set()
        self.refused: dict[str, str] = {}  # address -> why
        self.told: set[str] = set()  # a worker that was away for a moment is not told of again
        self.heard: deque[Any] = deque()
        self.topic = f"balancier-{secrets.token_hex(4)}"
        client.subscribe_topic(self.topic, lambda event: self.heard.append(event[1]))
        self.looked = -float("inf")
        self.places: dict[Future, set[str]] = {}  # of a job that was submitted: the workers that may do it
        self.waits = False

    @property
    def room(self) -> int:
        return AHEAD * len(self.good)

    @property
    def channel(self) -> Callable[[int, float | None], None]:
        return partial(to_scheduler, self.topic)

    def look(self, first: bool = False) -> None:
        """Find out, once a second, who is there.

        Raises UsageError where the scheduler does not answer any more, and at the `first` time where no worker is ours.
        """
        if time.monotonic() - self.looked < 1 and self.client.status == "running":
            return
        addresses = self.ask()
        new = addresses - self.good - self.refused.keys()
        self.good &= addresses
        self.refused = {address: why for address, why in self.refused.items() if address in addresses}
        answers = self.client.run(version_finder(), workers=sorted(new), on_error="return") if new else {}
        for address, found in answers.items():
            if found == self.expected:
                self.good.add(address)
            elif not isinstance(found, OSError):  # it has gone already
                self.refused[address] = refusal(address, found, self.expected)
        if first and self.refused and not self.good:
            raise UsageError(f"--scheduler: {next(iter(self.refused.values()))}")
        for line in {self.refused[address] for address in new & self.refused.keys()} - self.told:
            console.print(_("{line}; it gets no job", line=line), highlight=False, soft_wrap=True)
            self.told.add(line)
        if not self.good and not self.waits and not self.refused:
            command = f"dask worker {self.client.scheduler.address} --nthreads 1"
            line = _("waiting for workers; {command} starts one", command=command)
            line = _("waiting for workers; Slurm starts them") if self.scheduler == "slurm" else line
            console.print(line, highlight=False, soft_wrap=True)
        self.waits = not self.good
        self.looked = time.monotonic()

    def ask(self) -> set[str]:
        """The addresses of all workers; UsageError if the scheduler has not answered for ten seconds."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            with contextlib.suppress(OSError):
                if self.client.status == "running":
                    addresses = set(self.client.scheduler_info(n_workers=-1)["workers"])
                    if self.client.status == "running":
                        return addresses
            time.sleep(0.2)
        words = "what is finished is kept, and --resume RUN --scheduler ADDRESS goes on with a new one"
        raise UsageError(f"--scheduler: found no answer from {self.scheduler} any more; {words}")

    def submit(self, function: Callable, /, *arguments: Any, avoid: str = "") -> Future:
        places = self.good - {avoid} or self.good
        future = self.executor.submit(in_turn, function, *arguments, workers=sorted(places))
        self.places[future] = places
        return future

    def lost(self, running: Sequence[Future]) -> list[Future]:
        """Jobs that no living worker may do: all that they were given to have gone."""
        self.places = {future: self.places[future] for future in running}
        return [future for future, places in self.places.items() if self.good and not places & self.good]

    def end(self, now: bool = False) -> None:
        """Take back every job; those that run end within about a second."""
        if now:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.executor.shutdown(wait=False)


def version_finder() -> Callable[[], dict[str, str]]:
    """A function that finds the versions that have to be the same, and a digest of our code.

    It is nested in this one, so that its code is what is sent: a worker that has no Balancier, or another, can run it.
    """

    def find() -> dict[str, str]:
        versions = {}
        for name in SAME:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = "none"
        try:
            ours: Any = importlib.import_module("balancier")
        except ImportError as error:
            return versions | {"balancier": "none", "code": str(error)}
        digest = hashlib.sha256()
        for package in ours.PACKAGES:
            for path in sorted((ours.HOME / package).rglob("*.py")):
                digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
        return versions | {"code": digest.hexdigest()[:12]}

    return find


def refusal(address: str, found: Any, expected: dict[str, str]) -> str:
    """Why a worker gets no job: what it has, and what the run has."""
    if not isinstance(found, dict):
        return f"worker {address}: found {one_line(found)}, expected balancier {expected['balancier']}"
    names = [name for name in SAME if found.get(name) != expected[name]]
    if names:
        ours, others = (", ".join(f"{name} {versions[name]}" for name in names) for versions in (expected, found))
        return f"worker {address}: found {others}, expected {ours}, as here"
    version = f"balancier {expected['balancier']}"
    found_code, code = found.get("code"), expected["code"]
    return f"worker {address}: found {version} with the code {found_code}, expected {version} with {code}, as here"


# On a worker


class Unwanted(BaseException):
    """Nobody waits for a job any more; it is no Exception, so that no code of the job takes it for its own."""


OFTEN = "tick", "profile", "memory_monitor"  # what Dask's workers do every 10 to 100 ms
TURN = threading.Lock()  # a worker's threads take turns: a job has a thread of torch, and global random numbers, alone


def in_turn(function: Callable, *arguments: Any) -> Any:
    """Of a worker: a job, which ends about a second after its run has ended, or has taken it back."""
    import distributed

    worker = distributed.get_worker()
    key = worker.get_current_task()
    with TURN, quiet(worker):
        ended, guard = threading.Event(), threading.Lock()
        wanted = partial(is_wanted, worker, key)
        if not wanted():
            raise Unwanted
        watcher = threading.Thread(target=watch, args=(wanted, threading.get_ident(), ended, guard), daemon=True)
        watcher.start()
        try:
            return function(*arguments)
        finally:
            with guard:
                ended.set()


@contextlib.contextmanager
def quiet(worker: Any) -> Iterator[None]:
    """A block in which a worker looks after itself once a second, not a hundred times.

    Each time it takes Python's lock from the job, which costs a job of small tensors a tenth of its time.
    """
    callbacks = [worker.periodic_callbacks[name] for name in OFTEN if name in worker.periodic_callbacks]
    before = [callback.callback_time for callback in callbacks]
    try:
        for callback in callbacks:
            callback.callback_time = max(callback.callback_time, 1000.0)  # milliseconds
        yield
    finally:
        for callback, milliseconds in zip(callbacks, before, strict=True):
            callback.callback_time = milliseconds


def is_wanted(worker: Any, key: Any) -> bool:
    """Whether a task is still to be done, as its worker knows it."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state not in ("cancelled", "released", "forgotten")


def watch(wanted: Callable[[], bool], thread: int, ended: threading.Event, guard: Any) -> None:
    """End a job, between two steps of its program, when nobody wants it any more."""
    while not ended.wait(0.5):
        if not wanted():
            with guard:
                if not ended.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Unwanted))
            return


def to_scheduler(topic: str, number: int, amount: float | None) -> None:
    """Of a worker: what a job says of its progress."""
    import distributed

    distributed.get_worker().log_event(topic, (number, amount))


def address_here() -> str:
    """The address of the worker that a job runs on; nothing where it is no worker of Dask's."""
    try:
        return sys.modules["distributed"].get_worker().address
    except (KeyError, ValueError):
        return ""
