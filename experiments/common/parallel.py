"""Jobs that run at the same time in several processes, with a progress bar that says how long they still take."""

import contextlib
import heapq
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.common.catalog import duration as duration  # lessons take it from here
from experiments.common.parts import PARTS, load_part, part_path, save_part
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
    """What is left of a job that did not finish: why, in one line."""

    message: str


INTERRUPTED = "interrupted"
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
        words = "" if ended else f"about {duration(left + self.afterwards)} left"
        if self.bar is not None:
            self.bar.update(self.task, advance=amount, description=description or self.description, left=words)
        due = done - self.printed >= self.total / 10 or (ended and self.printed < self.total * (1 - 1e-9))
        if due and (self.bar is None or (self.printed == 0 and not ended)):
            self.printed = done
            line = f"{description or self.description}: {done / self.total:4.0%} after {now - self.pace.began:.0f} s"
            console.print(f"{line}, {words}" if words else line, highlight=False)


class Schedule:
    """The remaining seconds of jobs: each at its own pace, those that wait at the mean pace of the others."""

    def __init__(self, jobs: Sequence[Job], processes: int, progress: ProgressBar):
        self.processes, self.progress = processes, progress
        self.jobs = {job: Pace(progress.pace.clock) for job in sorted(jobs, key=lambda job: -job.cost)}
        self.started: set[Job] = set()

    def start(self, job: Job) -> None:
        self.started.add(job)
        self.jobs = {job: Pace(self.progress.pace.clock)} | {other: p for other, p in self.jobs.items() if other != job}

    def advance(self, job: Job, amount: float) -> None:
        self.jobs[job].advance(amount)
        self.progress.advance(amount, left=self.left())

    def finish(self, job: Job) -> None:
        """All of a job is done, whether or not it said so."""
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


def run_parallel(
    work: Callable[[Job, Callable[[float], None]], ResultType],
    jobs: Sequence[Job],
    processes: int | None = None,
    description: str = "training",
    finished: dict[Job, ResultType] | None = None,
    kinds: Collection[type] = (),
) -> list[ResultType]:
    """`work(job, report)` for every job, in processes of one thread each; the results in the order of the jobs.

    `report(amount)` moves the progress bar, whose end is the cost of all jobs, in processor seconds. Costly jobs begin
    first. `processes` is the number of cores unless given; a single one is this process. `finished` takes each result
    as it comes, so that the caller has those of a run that does not reach its end.

    In a run that keeps its parts (`PARTS`), each result is written as it comes, and a job whose result is there already
    is not done again. `kinds` are the dataclasses and named tuples that results consist of.
    """
    finished = {} if finished is None else finished
    processes, folder = processes or os.cpu_count() or 1, PARTS.get()

    paths = {job: part_path(folder, job.name, job.seeds) for job in jobs} if folder is not None else {}

    def keep(job: Job, result: ResultType) -> None:
        finished[job] = result
        if paths and not isinstance(result, Failure):
            save_part(paths[job], result, kinds)

    for job, path in paths.items():
        if (result := load_part(path, kinds)) is not None:
            finished[job] = result
    if finished:
        console.print(f"{len(finished)} of {len(jobs)} parts are done already", highlight=False)
    waiting = [job for job in jobs if job not in finished]
    if waiting:
        with ProgressBar(sum(job.cost for job in waiting), description) as progress:
            schedule = Schedule(waiting, processes, progress)
            (run_here if processes == 1 else run_in_processes)(work, waiting, schedule, keep)
    return [finished[job] for job in jobs]


def run_in_processes(
    work: Callable[[Job, Callable[[float], None]], ResultType],
    jobs: Sequence[Job],
    schedule: Schedule,
    keep: Callable[[Job, ResultType], None],
) -> None:
    context = multiprocessing.get_context("spawn")
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    reports = context.Queue()
    with ProcessPoolExecutor(schedule.processes, mp_context=context, initializer=_begin, initargs=(reports,)) as pool:
        ordered = sorted(jobs, key=lambda job: -job.cost)
        futures: dict[Future, Job] = {pool.submit(_call, work, job, n): job for n, job in enumerate(ordered)}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    keep(futures[future], future.result())  # a failure ends the run at once
                for number, amount in drain(reports):
                    if amount is None:
                        schedule.start(ordered[number])
                    else:
                        schedule.advance(ordered[number], amount)
                for future in done:
                    schedule.finish(futures[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def drain(reports: Any) -> Iterator[Any]:
    """What is in a queue now."""
    with contextlib.suppress(queue.Empty):
        while True:
            yield reports.get_nowait()


REPORTS: Any = None  # of a process of the pool: the queue that its jobs report to


def _begin(reports: Any) -> None:
    """The start of a process of the pool: one thread, no Ctrl-C of its own, and an end when the run's process dies."""
    global REPORTS
    REPORTS = reports
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the run's process ends the others
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _call(work: Callable[[Job, Callable[[float], None]], ResultType], job: Job, number: int) -> ResultType:
    REPORTS.put((number, None))
    return work(job, lambda amount: REPORTS.put((number, amount)))


def run_here(
    work: Callable[[Job, Callable[[float], None]], ResultType],
    jobs: Sequence[Job],
    schedule: Schedule,
    keep: Callable[[Job, ResultType], None],
) -> None:
    """The same in this process, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for job in jobs:
            schedule.start(job)
            keep(job, work(job, partial(schedule.advance, job)))
            schedule.finish(job)
    finally:
        torch.set_num_threads(threads)


def run_all(
    work: Callable[[Job, Callable[[float], None]], ResultType],
    jobs: Sequence[Job],
    processes: int | None = None,
    kinds: Collection[type] = (),
) -> "dict[Job, ResultType | Failure]":
    """As `run_parallel`, for long runs whose jobs do not need each other: what is finished is never lost.

    A job that raises an exception is a Failure, and its traceback goes to the standard error; so is a job that an
    interrupt (Ctrl-C, SIGTERM) or the end of its process stops. An interrupt before any job has finished is raised.
    """
    finished: dict[Job, ResultType | Failure] = {}
    stopped = ""
    try:
        run_parallel(partial(_attempt, work), jobs, processes, finished=finished, kinds=kinds)
    except (KeyboardInterrupt, BrokenProcessPool) as stop:
        if not finished:
            raise
        stopped = INTERRUPTED if isinstance(stop, KeyboardInterrupt) else "a process of the run died"
    return {job: finished.get(job, Failure(stopped)) for job in jobs}


def _attempt(
    work: Callable[[Job, Callable[[float], None]], ResultType], job: Job, report: Callable[[float], None]
) -> "ResultType | Failure":
    try:
        return work(job, report)
    except Exception as error:
        traceback.print_exc()
        return Failure(" ".join(f"{type(error).__name__}: {error}".split()))


def wall_seconds(jobs: Sequence[Job], processes: int | None = None) -> float:
    """Seconds that `run_parallel` will take, roughly, with the start of its processes."""
    costs = [job.cost for job in jobs]
    return max(sum(costs) * 1.25 / (processes or os.cpu_count() or 1), max(costs)) + 15
