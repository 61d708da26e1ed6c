"""Jobs that run at the same time in several processes, with a progress bar."""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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


class ProgressBar:
    """A bar with the remaining time on a terminal; elsewhere, a line after every tenth of the work."""

    def __init__(self, total: float, description: str):
        self.total, self.description, self.began = total, description, time.monotonic()
        self.done, self.printed = 0.0, 0.0
        self.bar = None
        if console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
            self.bar = Progress(*columns, console=console, transient=True)
            self.task = self.bar.add_task(description, total=total)

    def __enter__(self) -> "ProgressBar":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, amount: float = 1.0, description: str | None = None) -> None:
        self.done += amount
        if self.bar is not None:
            self.bar.update(self.task, advance=amount, description=description or self.description)
        elif self.done - self.printed >= self.total / 10 or self.done >= self.total * (1 - 1e-9) > self.printed:
            self.printed = self.done
            seconds = time.monotonic() - self.began
            console.print(
                f"{description or self.description}: {self.done / self.total:4.0%} after {seconds:.0f} s",
                highlight=False,
            )


def run_parallel(
    work: Callable[[Job, Callable[[float], None]], ResultType],
    jobs: Sequence[Job],
    processes: int | None = None,
    description: str = "training",
    finished: dict[Job, ResultType] | None = None,
) -> list[ResultType]:
    """`work(job, report)` for every job, in processes of one thread each; the results in the order of the jobs.

    `report(amount)` moves the progress bar, whose end is the cost of all jobs, in processor seconds. Costly jobs begin
    first. `processes` is the number of cores unless given; a single one is this process. `finished` takes each result
    as it comes, so that the caller has those of a run that does not reach its end.
    """
    finished = {} if finished is None else finished
    processes = processes or os.cpu_count() or 1
    total = sum(job.cost for job in jobs)
    if processes == 1:
        return run_one_by_one(work, jobs, total, description, finished)
    context = multiprocessing.get_context("spawn")
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with (
        context.Manager() as manager,
        ProgressBar(total, description) as progress,
        ProcessPoolExecutor(processes, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        queue = manager.Queue()
        ordered = sorted(jobs, key=lambda job: -job.cost)
        futures: dict[Future, Job] = {pool.submit(_call, work, job, queue): job for job in ordered}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    finished[futures[future]] = future.result()  # a failure ends the run at once
                while not queue.empty():
                    progress.advance(queue.get())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return [finished[job] for job in jobs]


def run_one_by_one(
    work: Callable[[Job, Callable[[float], None]], ResultType],
    jobs: Sequence[Job],
    total: float,
    description: str,
    finished: dict[Job, ResultType],
) -> list[ResultType]:
    """The same in this process, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ProgressBar(total, description) as progress:
            for job in jobs:
                finished[job] = work(job, progress.advance)
            return [finished[job] for job in jobs]
    finally:
        torch.set_num_threads(threads)


def _call(work: Callable[[Job, Callable[[float], None]], ResultType], job: Job, queue: Any) -> ResultType:
    return work(job, queue.put)


def run_all(
    work: Callable[[Job, Callable[[float], None]], ResultType], jobs: Sequence[Job], processes: int | None = None
) -> "dict[Job, ResultType | Failure]":
    """As `run_parallel`, for long runs whose jobs do not need each other: what is finished is never lost.

    A job that raises an exception is a Failure, and its traceback goes to the standard error; so is a job that an
    interrupt (Ctrl-C, SIGTERM) or the end of its process stops. An interrupt before any job has finished is raised.
    """
    finished: dict[Job, ResultType | Failure] = {}
    stopped = ""
    try:
        run_parallel(partial(_attempt, work), jobs, processes, finished=finished)
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


def duration(seconds: float) -> str:
    """A time in seconds or minutes, as in "about 40 s"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
