"""Jobs that run at the same time in several processes, with a progress bar that says how long they still take."""

import contextlib
import heapq
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from balancier import N_, _, one_line
from experiments.common.catalog import duration as duration  # lessons take it from here
from experiments.common.cluster import CLUSTER, address_here
from experiments.common.flags import UsageError
from experiments.common.parts import MISSING, PARTS, load_part, part_path, save_part
from experiments.common.runs import console

ResultType = TypeVar("ResultType")


@dataclass(frozen=True, eq=False)
class Job:
    """One piece of work for the pool of processes."""

    name: str
    seeds: tuple[int, ...]
    cost: float  # expected processor seconds
    settings: Any = None  # whatever else the work needs


@dataclass(frozen=True)
class Failure:
    """What is left of a job that did not finish: why, in one line, with the traceback as Python prints it."""

    message: str
    traceback: str = field(default="", compare=False)
    where: str = field(default="", compare=False)  # the worker
    error: Exception | None = field(default=None, compare=False)  # None for one that cannot go to another process


INTERRUPTED, DIED = N_("interrupted"), N_("a process of the run died")
AFTERWARDS: ContextVar[float] = ContextVar("AFTERWARDS", default=0.0)  # seconds of a run after its last bar


class Pace:
    """Seconds that a unit of work takes, measured on the second half of what is done.

    The first half is left out because it pays for what comes once: processes that start, buffers that fill.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.marks = [(0.0, clock())]  # work that was done, when

    @property
    def done(self) -> float:
        return self.marks[-1][0]

    @property
    def began(self) -> float:
        return self.marks[0][1]

    def advance(self, amount: float) -> None:
        self.marks.append((self.done + amount, self.clock()))

    def seconds(self) -> float:
        """Of a unit; 0 before anything is done."""
        done, now = self.marks[-1]
        before, then = self.marks[max(0, bisect_right(self.marks, done / 2, key=lambda mark: mark[0]) - 1)]
        return (now - then) / (done - before) if done > before else 0.0


class ProgressBar:
    """A bar on a terminal; elsewhere, a line after every tenth of the work. Both say about how long is left.

    The remaining time is that of the run's own pace. One line says it on a terminal too, once a tenth is done.

    Args:
        total: the work, in any unit.
        description: what is done.
        afterwards: seconds of the run after this bar, roughly; not given, those that `launch` knows of.
        clock: seconds that pass; tests have their own.
    """

    def __init__(
        self,
        total: float,
        description: str,
        afterwards: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.total, self.description, self.pace = total, description, Pace(clock)
        self.afterwards = AFTERWARDS.get() if afterwards is None else afterwards
        self.printed = 0.0
        self.bar = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
            )
            self.bar = Progress(*columns, console=console, transient=True)
            self.task = self.bar.add_task(description, total=total, left="")

    def __enter__(self) -> "ProgressBar":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, amount: float = 1.0, description: str | None = None, left: float | None = None) -> None:
        """`amount` more is done. `left` are the remaining seconds, where they are known better than from the pace."""
        self.pace.advance(amount)
        done, now = self.pace.marks[-1]
        left = (self.total - done) * self.pace.seconds() if left is None else left
        ended = done >= self.total * (1 - 1e-9)
        due = done - self.printed >= self.total / 10 or (ended and self.printed < self.total * (1 - 1e-9))
        is_printed = due and (self.bar is None or (self.printed == 0 and not ended))
        if self.bar is None and not is_printed:
            return
        words = "" if ended else _("about {time} left", time=duration(left + self.afterwards))
        if self.bar is not None:
            self.bar.update(self.task, advance=amount, description=description or self.description, left=words)
        if is_printed:
            self.printed = done
            what, share, seconds = description or self.description, done / self.total, now - self.pace.began
            line = _("{what}: {share:4.0%} after {seconds:.0f} s", what=what, share=share, seconds=seconds)
            console.print(f"{line}, {words}" if words else line, highlight=False)


class Schedule:
    """The remaining seconds of jobs: each at its own pace, those that wait at the mean pace of the others."""

    def __init__(self, jobs: Sequence[Job], processes: int, progress: ProgressBar):
        self.processes, self.progress = processes, progress
        self.jobs = {job: Pace(progress.pace.clock) for job in sorted(jobs, key=lambda job: -job.cost)}
        self.started: set[Job] = set()

    def start(self, job: Job) -> None:
        if job in self.started:  # tried again, from its beginning (what it had done stays on the bar), or ended
            return
        self.started.add(job)
        self.jobs = {job: Pace(self.progress.pace.clock)} | {other: p for other, p in self.jobs.items() if other != job}

    def advance(self, job: Job, amount: float) -> None:
        amount = min(amount, job.cost - self.jobs[job].done)
        if amount <= 0:
            return
        self.jobs[job].advance(amount)
        self.progress.advance(amount, left=self.left())

    def finish(self, job: Job) -> None:
        """All of a job is done, whether or not it said so."""
        self.started.add(job)
        if job.cost > self.jobs[job].done:
            self.advance(job, job.cost - self.jobs[job].done)

    def left(self) -> float:
        """Running jobs go on; a process that becomes free takes the costliest job that waits."""
        done = sum(pace.done for pace in self.jobs.values()) or 1.0
        mean = sum(pace.done * pace.seconds() for pace in self.jobs.values()) / done
        ends, now = [0.0] * self.processes, self.progress.pace.clock()
        for job, pace in self.jobs.items():
            seconds = (job.cost - pace.done) * (pace.seconds() or mean)
            unsaid = now - pace.marks[-1][1] if job in self.started else 0.0  # seconds since it last said something
            heapq.heapreplace(ends, ends[0] + max(0.0, seconds - unsaid))
        return max(ends)


Work = Callable[[Job, Callable[[float], None]], ResultType]


def run_parallel(
    work: Work[ResultType],
    jobs: Sequence[Job],
    processes: int | None = None,
    description: str = _("training"),
    finished: "dict[Job, ResultType | Failure] | None" = None,
    kinds: Collection[type] = (),
) -> list[ResultType]:
    """`work(job, report)` for every job, in processes of one thread each; the results in the order of the jobs.

    `report(amount)` moves the progress bar, whose end is the cost of all jobs, in processor seconds. Costly jobs begin
    first. `processes` is the number of cores unless given; a single one is this process. Where the run is connected to
    a cluster (`CLUSTER`), its workers do the jobs. `finished` takes each result as it comes, so that the caller has
    those of a run that does not reach its end.

    A job that fails is tried again in another process, or by another worker. If it fails there, too, its settings and
    its traceback go to the standard error, the other jobs are done, and its exception is raised then.

    In a run that keeps its parts (`PARTS`), each result is written as it comes, and a job whose result is there already
    is not done again. `kinds` are the dataclasses and named tuples that results consist of.
    """
    finished = {} if finished is None else finished
    run_jobs(work, jobs, processes, description, finished, kinds)
    for job in jobs:
        if isinstance(result := finished[job], Failure):
            raise result.error or RuntimeError(f"{job.name}: {result.message}")
    return [finished[job] for job in jobs]  # type: ignore[misc]


def run_jobs(
    work: Work[ResultType],
    jobs: Sequence[Job],
    processes: int | None,
    description: str,
    finished: "dict[Job, ResultType | Failure]",
    kinds: Collection[type],
) -> None:
    """As `run_parallel`; a job that failed is a Failure in `finished`."""
    processes, folder, cluster = processes or os.cpu_count() or 1, PARTS.get(), CLUSTER.get()
    paths = {job: part_path(folder, job.name, job.seeds) for job in jobs} if folder is not None else {}

    def keep(job: Job, result: "ResultType | Failure") -> None:
        finished[job] = result
        if paths and not isinstance(result, Failure):
            save_part(paths[job], result, kinds)

    for job, path in paths.items():
        if (result := load_part(path, kinds)) is not MISSING:
            finished[job] = result
    if finished:
        line = _("{done} of {all} parts are done already", done=len(finished), all=len(jobs))
        console.print(line, highlight=False)
    waiting = [job for job in jobs if job not in finished]
    if waiting:
        with ProgressBar(sum(job.cost for job in waiting), description) as progress:
            schedule = Schedule(waiting, processes, progress)
            workers = cluster or (Here(schedule, waiting) if processes == 1 else Processes(processes))
            submit_all(work, waiting, workers, schedule, keep)


class Workers(Protocol):
    """Where jobs run, and what `submit_all` needs to know of it."""

    every: float  # seconds between two reports of a job, at least
    retries: bool  # whether a job that failed may succeed elsewhere
    heard: Any  # a deque of (number of a job, amount that is done), as it is reported

    @property
    def good(self) -> Collection[Any]:
        """The workers."""
        ...

    @property
    def room(self) -> int:
        """Jobs that may be submitted at a time."""
        ...

    @property
    def channel(self) -> Callable[[int, float | None], None]:
        """Where a job reports to; it goes to the worker with the job."""
        ...

    def look(self) -> None: ...
    def submit(self, function: Callable, /, *arguments: Any, avoid: str = "") -> Future: ...
    def lost(self, running: Sequence[Future]) -> list[Future]: ...
    def end(self, now: bool = False) -> None: ...


def submit_all(
    work: Work[ResultType],
    jobs: Sequence[Job],
    workers: Workers,
    schedule: Schedule,
    keep: Callable[[Job, Any], None],
) -> None:
    """Every job, done by an executor: the costly ones first, and never more at a time than keep all workers busy."""
    numbers = {job: number for number, job in enumerate(jobs)}
    waiting = deque(jobs if workers.room == 1 else sorted(jobs, key=lambda job: -job.cost))
    running: dict[Future, Job] = {}
    failures: dict[Job, Failure] = {}  # of jobs that are tried again
    suspects: set[Job] = set()  # one of them ended its process; each is tried again alone
    try:
        while waiting or running:
            workers.look()
            schedule.processes = max(1, len(workers.good))
            for future in workers.lost(list(running)):
                waiting.appendleft(running.pop(future))
                future.cancel()
            while waiting and len(running) < (1 if suspects else workers.room):
                job = waiting.popleft()
                arguments = call, work, job, numbers[job], workers.channel, workers.every
                running[workers.submit(*arguments, avoid=failures[job].where if job in failures else "")] = job
            done = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)[0] if running else time.sleep(0.2) or ()
            ended = []
            for future, job in [(future, running.pop(future)) for future in done]:
                if future.cancelled():  # with the connection to the scheduler: it is asked again
                    waiting.appendleft(job)
                    continue
                result = outcome(future)
                suspects.discard(job)
                if isinstance(result, Failure) and workers.retries and job not in failures and not is_usage(result):
                    failures[job] = result
                    if result.message == DIED:
                        suspects.add(job)
                    waiting.appendleft(job) if job in suspects else waiting.append(job)
                    words = {"name": job.name, "message": _(result.message), "where": result.where}
                    line = _("{name}: {message}; tried again", **words)
                    line = _("{name}: {message} on {where}; tried again", **words) if result.where else line
                    console.print(line, highlight=False, soft_wrap=True)
                    continue
                if isinstance(result, Failure) and not is_usage(result):
                    tell(job, result)
                keep(job, result)
                ended.append(job)
            while workers.heard:
                number, amount = workers.heard.popleft()
                schedule.start(jobs[number]) if amount is None else schedule.advance(jobs[number], amount)
            for job in ended:
                schedule.finish(job)
    except BaseException:
        workers.end(now=True)
        raise
    workers.end()


def outcome(future: Future) -> Any:
    """The result of a job, or its Failure."""
    try:
        return future.result()
    except BrokenExecutor:
        return Failure(DIED)
    except Exception as error:  # of the executor: a worker that died with the job again and again, a result too large
        return failure_of(error)


def call(
    work: Work[ResultType], job: Job, number: int, channel: Callable[[int, float | None], None], every: float
) -> Any:
    """Of a worker: a job, on one thread, which tells its progress at most once in `every` seconds."""
    torch.set_num_threads(1)
    channel(number, None)
    untold, told = 0.0, time.monotonic()

    def report(amount: float) -> None:
        nonlocal untold, told
        untold += amount
        if time.monotonic() - told >= every:
            channel(number, untold)
            untold, told = 0.0, time.monotonic()

    try:
        return work(job, report)
    except Exception as error:
        return failure_of(error)


def failure_of(error: Exception) -> Failure:
    """What is known of an error, in a form that goes from process to process."""
    kept: Exception | None = error
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception with a constructor of its own
        kept = None
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return Failure(words, "".join(traceback.format_exception(error)), address_here(), kept)


def is_usage(failure: Failure) -> bool:
    """Whether it is the user's input, which stays wrong, and whose one line is enough."""
    return isinstance(failure.error, UsageError)


def tell(job: Job, failure: Failure) -> None:
    """Report a job that failed, with its settings and traceback."""
    seeds = f", seeds {min(job.seeds)} to {max(job.seeds)}" if job.seeds else ""
    settings = "" if job.settings is None else f", settings {one_line(job.settings)}"
    print(f"{job.name}{seeds}{settings} failed\n{failure.traceback or failure.message}", file=sys.stderr)


class Here(Executor):
    """This process as the only worker: a job is done while it is submitted, on one thread, and tells its progress."""

    good, room, heard, every, retries = (0,), 1, (), 0.0, False

    def __init__(self, schedule: Schedule, jobs: Sequence[Job]):
        self.schedule, self.jobs, self.threads = schedule, jobs, torch.get_num_threads()

    def channel(self, number: int, amount: float | None) -> None:
        job = self.jobs[number]
        self.schedule.start(job) if amount is None else self.schedule.advance(job, amount)

    def look(self) -> None:
        pass

    def submit(self, function: Callable, /, *arguments: Any, avoid: str = "") -> Future:
        future: Future = Future()
        future.set_result(function(*arguments))
        return future

    def lost(self, running: Sequence[Future]) -> list[Future]:
        return []

    def end(self, now: bool = False) -> None:
        torch.set_num_threads(self.threads)


class Processes:
    """Processes of this machine; where one dies, new ones go on."""

    every, retries = 0.0, True

    def __init__(self, count: int):
        self.good, self.room, self.channel = range(count), 2 * count, to_queue
        self.heard: deque[Any] = deque()
        os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.context = multiprocessing.get_context("spawn")
        self.start()

    def start(self) -> None:
        self.reports = self.context.Queue()  # a process that dies may leave the one before it locked
        arguments = len(self.good), self.context, begin, (self.reports,)
        self.executor = ProcessPoolExecutor(*arguments)

    def look(self) -> None:
        self.heard.extend(drain(self.reports))

    def submit(self, function: Callable, /, *arguments: Any, avoid: str = "") -> Future:
        try:
            return self.executor.submit(function, *arguments)
        except BrokenExecutor:
            self.start()
            return self.executor.submit(function, *arguments)

    def lost(self, running: Sequence[Future]) -> list[Future]:
        return []

    def end(self, now: bool = False) -> None:
        self.executor.shutdown(wait=not now, cancel_futures=now)
        for process in multiprocessing.active_children() if now else ():
            process.terminate()


def drain(reports: Any) -> Iterator[Any]:
    """What is in a queue now."""
    with contextlib.suppress(queue.Empty):
        while True:
            yield reports.get_nowait()


REPORTS: Any = None  # of a process of the pool: the queue that its jobs report to


def begin(reports: Any) -> None:
    """The start of a process of the pool: one thread, no Ctrl-C of its own, and an end when the run's process dies."""
    global REPORTS
    REPORTS = reports
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the run's process ends the others
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def to_queue(number: int, amount: float | None) -> None:
    REPORTS.put((number, amount))


def run_all(
    work: Work[ResultType],
    jobs: Sequence[Job],
    processes: int | None = None,
    kinds: Collection[type] = (),
) -> "dict[Job, ResultType | Failure]":
    """As `run_parallel`, for long runs whose jobs do not need each other: what is finished is never lost.

    A job that fails twice is a Failure, and so is a job that an interrupt (Ctrl-C, SIGTERM) or the end of its process
    stops. An interrupt before any job has finished is raised.
    """
    finished: dict[Job, ResultType | Failure] = {}
    try:
        run_jobs(work, jobs, processes, _("training"), finished, kinds)
    except KeyboardInterrupt:
        if not finished:
            raise
    return {job: finished.get(job, Failure(INTERRUPTED)) for job in jobs}


def without_results(failures: Iterable[tuple[Job, Failure]]) -> BaseException:
    """What a run raises none of whose jobs has finished."""
    failures = list(failures)
    if any(failure.message == INTERRUPTED for _, failure in failures):
        return KeyboardInterrupt()
    return RuntimeError("; ".join(f"{job.name}: {failure.message}" for job, failure in failures))


def wall_seconds(jobs: Sequence[Job], processes: int | None = None) -> float:
    """Seconds that `run_parallel` will take, roughly, with the start of its processes."""
    costs = [job.cost for job in jobs]
    return max(sum(costs) * 1.25 / (processes or os.cpu_count() or 1), max(costs)) + 15
