"""Work side by side in processes, with a progress bar."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Any, TypeVar

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from experiments.common.runs import console

ResultType = TypeVar("ResultType")


class ProgressBar:
    """A bar with the time left on a terminal, a line now and then elsewhere."""

    def __init__(self, total: float, what: str):
        self.total, self.what, self.done, self.told, self.began = total, what, 0.0, 0.0, time.monotonic()
        self.bar = None
        if console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
            self.bar = Progress(*columns, console=console, transient=True)
            self.task = self.bar.add_task(what, total=total)

    def __enter__(self) -> "ProgressBar":
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, amount: float = 1.0, what: str | None = None) -> None:
        self.done += amount
        if self.bar is not None:
            self.bar.update(self.task, advance=amount, description=what or self.what)
        elif self.done - self.told >= self.total / 10 or self.done >= self.total > self.told:
            self.told = self.done
            seconds = time.monotonic() - self.began
            console.print(f"{what or self.what}: {self.done / self.total:4.0%} after {seconds:.0f} s", highlight=False)


def run_parallel(
    work: Callable[[Any, Callable[[float], None]], ResultType], tasks: Sequence[Any], jobs: int, total: float, what: str
) -> list[ResultType]:
    """`work(task, report)` for every task, in `jobs` processes of one thread each; the results in the tasks' order.

    `report(amount)` moves the progress bar, whose end is `total`. Tasks begin in their order: put long ones first.
    """
    context = multiprocessing.get_context("spawn")
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with (
        context.Manager() as manager,
        ProgressBar(total, what) as progress,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        queue = manager.Queue()
        futures = [pool.submit(_call, work, task, queue) for task in tasks]
        waiting: set[Future] = set(futures)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()  # a failure ends the run at once
                while not queue.empty():
                    progress.advance(queue.get())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return [future.result() for future in futures]


def _call(work: Callable[[Any, Callable[[float], None]], ResultType], task: Any, queue: Any) -> ResultType:
    return work(task, queue.put)


def duration(seconds: float) -> str:
    """A time as people say it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
