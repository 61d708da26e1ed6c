import os
import time

import pytest
import torch

from experiments.common.parallel import (
    AFTERWARDS,
    INTERRUPTED,
    Failure,
    Job,
    ProgressBar,
    Schedule,
    duration,
    run_all,
    run_parallel,
    wall_seconds,
)


def work(job, report):
    report(job.cost)
    if job.settings == "fail":
        raise ValueError("as asked for")
    return job.name, job.seeds, torch.get_num_threads(), os.getpid()


JOBS = [Job("short", (1,), 1.0), Job("long", (2, 3), 3.0)]


def test_a_single_process_is_this_one_with_one_thread(capsys):
    torch.set_num_threads(2)
    results = run_parallel(work, JOBS, 1, "working")
    assert torch.get_num_threads() == 2
    assert results == [("short", (1,), 1, os.getpid()), ("long", (2, 3), 1, os.getpid())]
    assert "working: 100% after 0 s" in capsys.readouterr().out


def test_a_failure_ends_the_run_and_gives_the_threads_back():
    torch.set_num_threads(2)
    with pytest.raises(ValueError, match="as asked for"):
        run_parallel(work, [*JOBS, Job("bad", (), 1.0, "fail")], 1)
    assert torch.get_num_threads() == 2


@pytest.mark.slow
def test_processes_give_their_results_in_the_order_of_the_jobs(capsys):
    results = run_parallel(work, JOBS, 2, "working")
    assert [result[:3] for result in results] == [("short", (1,), 1), ("long", (2, 3), 1)]
    assert os.getpid() not in {result[3] for result in results}
    assert "working: 100%" in capsys.readouterr().out
    with pytest.raises(ValueError, match="as asked for"):
        run_parallel(work, [*JOBS, Job("bad", (), 9.0, "fail")], 2)


def test_progress_is_printed_at_every_tenth(capsys):
    with ProgressBar(20, "training") as progress:
        for _ in range(20):
            progress.advance(1.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("training:  10% after 0 s")
    assert lines[-1].startswith("training: 100% after 0 s")


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self):
        return self.now


def left(line):
    """The seconds of "..., about 30 s left", and of minutes."""
    _, number, unit, _ = line.rsplit(maxsplit=3)
    return float(number) * {"s": 1, "min": 60}[unit]


def test_the_remaining_time_is_that_of_the_pace_so_far(capsys):
    clock = Clock()
    with ProgressBar(100, "training", clock=clock) as progress:
        for _ in range(100):
            clock.now += 3.0  # a unit takes 3 s
            progress.advance()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "training:  10% after 30 s, about 4 min left"  # 90 units of 3 s are 4.5 minutes
    assert lines[8] == "training:  90% after 270 s, about 30 s left"
    assert lines[9] == "training: 100% after 300 s"


def test_a_slow_start_is_no_part_of_the_pace(capsys):
    """Ten seconds of starting processes, then a second a unit: at a tenth 90 s are left, not 180."""
    clock = Clock()
    with ProgressBar(100, "training", afterwards=2.0, clock=clock) as progress:
        clock.now += 10.0
        for _ in range(100):
            clock.now += 1.0
            progress.advance()
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("training:  10% after 20 s, about ")
    assert left(first) == pytest.approx(92, abs=31)  # rounded to minutes


def test_what_comes_after_the_bar_counts(capsys):
    clock = Clock()
    token = AFTERWARDS.set(7.0)
    with ProgressBar(4, "training", clock=clock) as progress:
        clock.now = 1.0
        progress.advance()
    AFTERWARDS.reset(token)
    assert capsys.readouterr().out == "training:  25% after 1 s, about 10 s left\n"


def test_the_remaining_time_of_jobs_is_that_of_the_process_that_ends_last():
    clock = Clock()
    long, short, last = Job("long", (), 40.0), Job("short", (), 10.0), Job("last", (), 5.0)
    schedule = Schedule([last, short, long], 2, ProgressBar(55, "training", clock=clock))
    schedule.start(long)
    schedule.start(short)
    clock.now = 8.0
    schedule.advance(long, 4.0)  # twice as slow as expected: 36 * 2 s are left
    schedule.advance(short, 8.0)  # as expected: 2 s are left, then `last` at the mean pace, (4 * 2 + 8 * 1) / 12
    assert schedule.left() == 72.0
    clock.now = 10.0
    schedule.advance(long, 36.0)  # it is done; its last 36 took 2 s
    # `short`, with 2 s left, has said nothing for 2 s
    assert schedule.left() == pytest.approx(5 * (40 * 2 / 36 + 8 * 1) / 48)
    schedule.finish(short)
    schedule.start(last)
    clock.now = 11.0
    assert schedule.left() == pytest.approx(5 * (40 * 2 / 36 + 10 * 1) / 50 - 1)


def test_forecasts_of_jobs_here_are_corrected(capsys):
    """Jobs that say nothing of their own still move the bar when they end."""
    run_parallel(lambda job, report: None, [Job(str(n), (), 1.0) for n in range(5)], 1, "working")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "working:  20% after 0 s, about 0 s left"
    assert lines[-1] == "working: 100% after 0 s"


def test_forecasts_by_hand():
    jobs = [Job("a", (), 80.0), Job("b", (), 20.0)]
    assert wall_seconds(jobs, 1) == 100 * 1.25 + 15
    assert wall_seconds(jobs, 2) == 80 + 15  # the longest job decides
    assert [duration(seconds) for seconds in (4.4, 89, 90, 3600)] == ["4 s", "89 s", "2 min", "60 min"]


def interrupted(job, report):
    if job.settings == "interrupt":
        raise KeyboardInterrupt
    return work(job, report)


def test_what_is_finished_is_kept(capsys):
    """When another job fails, when the run is interrupted, and when its process dies."""
    bad = Job("bad", (), 1.0, "fail")
    done = run_all(work, [bad, *JOBS], 1)
    assert list(done) == [bad, *JOBS]
    assert done[bad] == Failure("ValueError: as asked for")
    assert [done[job][:2] for job in JOBS] == [("short", (1,)), ("long", (2, 3))]
    assert "as asked for" in capsys.readouterr().err  # with its traceback
    stop = Job("stop", (), 0.5, "interrupt")
    done = run_all(interrupted, [JOBS[0], stop, JOBS[1]], 1)
    assert done[JOBS[0]][:2] == ("short", (1,))
    assert done[stop] == done[JOBS[1]] == Failure(INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        run_all(interrupted, [stop, *JOBS], 1)


def dying(job, report):
    if job.settings == "die":
        time.sleep(0.7)
        os._exit(1)
    return work(job, report)


@pytest.mark.slow
def test_what_other_processes_finished_is_kept(capsys):
    bad, late = Job("bad", (), 9.0, "fail"), Job("late", (), 0.5, "die")
    done = run_all(dying, [*JOBS, bad, late], 2)
    assert [done[job][:2] for job in JOBS] == [("short", (1,)), ("long", (2, 3))]
    assert done[bad] == Failure("ValueError: as asked for")
    assert done[late] == Failure("a process of the run died")
