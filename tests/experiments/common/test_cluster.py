"""Jobs on a cluster: a scheduler and workers of Dask's, started here on the loopback, some of which are killed."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import sweep
from experiments.common.cluster import connected, quiet, refusal, version_finder
from experiments.common.flags import UsageError
from experiments.common.parallel import Job, run_all, run_parallel

distributed = pytest.importorskip("distributed")
HOME = Path(__file__).parents[3]
SWEEP = """
agents = ["ppo", "dqn"]
envs = ["CartPole-v1"]
steps = 600
seeds = 3
seed_block = 2
eval_episodes = 3
evaluations = 3
[grid]
learning_rate = [1e-3, 3e-3]
"""


class Servers:
    """A scheduler and workers, as their commands start them."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler = self.start_scheduler()

    def start(self, *words, path=""):
        command = [str(Path(sys.executable).with_name("dask")), *words]
        paths = os.pathsep.join([path, str(HOME)] if path else [str(HOME)])
        env = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        with open(self.folder / f"log-{len(self.processes)}", "w") as log:
            process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def start_scheduler(self):
        return self.start(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", "127.0.0.1:0"
        )

    def start_worker(self, path="", threads="1"):
        words = "--nthreads", threads, "--nworkers", "1", "--local-directory", str(self.folder)
        return self.start("worker", self.address, *words, path=path)

    def wait_for(self, workers):
        with distributed.Client(self.address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)

    def kill(self, process):
        os.killpg(process.pid, signal.SIGKILL)  # the worker with the nanny that would start it again

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)
            process.wait()


@pytest.fixture
def servers(tmp_path):
    made = Servers(tmp_path)
    yield made
    made.stop()


def work(job, report):
    """Sleeps a second in ten parts, says so, and writes down that it was done."""
    ticks, folder = job.settings
    for _ in range(ticks):
        time.sleep(0.1)
        report(job.cost / ticks)
    if job.name == "bad":
        raise ValueError("as asked for")
    (Path(folder) / f"{job.name}-{os.getpid()}").touch()
    return job.seeds[0] ** 2


def rows_of(folder):
    content = json.loads((folder / "result.json").read_text())
    return {name: value for name, value in content.items() if name != "seconds"}


@pytest.mark.slow
def test_a_sweep_is_the_same_serially_by_processes_and_on_a_cluster(servers, tmp_path, monkeypatch, capsys):
    """Bit for bit. On the way, a worker of another version is refused, and gets no job."""
    other = tmp_path / "other" / "balancier-0.0.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: balancier\nVersion: 0.0.9\n")
    servers.start_worker(path=str(other.parent))
    servers.wait_for(1)
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(SWEEP)
    on_cluster = ["a.toml", "--scheduler", servers.address]
    assert sweep.main([*on_cluster, "--out", "none"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "found balancier 0.0.9, expected balancier 0.1.0" in error
    assert not Path("none").exists()
    servers.start_worker()
    servers.start_worker(threads="2")
    servers.wait_for(3)
    assert sweep.main([*on_cluster, "--out", "cluster"]) == 0
    output = capsys.readouterr().out
    assert output.count("found balancier 0.0.9, expected balancier 0.1.0, as here; it gets no job") == 1
    assert f" with 2 workers of {servers.address}" in output
    assert sweep.main(["a.toml", "--jobs", "1", "--out", "serial"]) == 0
    assert sweep.main(["a.toml", "--jobs", "2", "--out", "pool"]) == 0
    expected = rows_of(tmp_path / "serial")
    assert [len(row["returns"]) for row in expected["rows"]] == [3] * 4
    assert rows_of(tmp_path / "cluster") == rows_of(tmp_path / "pool") == expected
    replicas = ["--agent", "ppo", "--env", "CartPole-v1", "--gamma", "0.9", "0.99", "--seeds", "2", "--steps", "200"]
    replicas += ["--eval-episodes", "2"]
    assert sweep.main([*replicas, "--scheduler", servers.address, "--out", "replicas"]) == 0
    assert sweep.main([*replicas, "--out", "here"]) == 0
    found, expected = (rows_of(tmp_path / name)["points"] for name in ("replicas", "here"))
    assert found == expected
    metrics = {(tmp_path / name / "metrics.csv").read_text() for name in ("serial", "pool", "cluster")}
    assert len(metrics) == 1


@pytest.mark.slow
def test_a_worker_is_killed_another_joins_and_a_job_fails(servers, tmp_path, capsys):
    first = servers.start_worker()
    servers.wait_for(1)
    jobs = [Job(f"job {i}", (i,), 1.0, (5, str(tmp_path))) for i in range(8)] + [Job("bad", (9,), 2.0, (1, "x"))]
    killed = []

    class Watching(dict):
        """The finished jobs: at the second one its worker dies, and others come."""

        def __setitem__(self, job, result):
            super().__setitem__(job, result)
            if len(self) == 2 and not killed:
                killed.append(servers.kill(first))
                servers.start_worker(), servers.start_worker()

    finished = Watching()
    with connected(servers.address, None), pytest.raises(ValueError, match="as asked for"):
        run_parallel(work, jobs, finished=finished)
    assert killed
    assert {job.name: finished[job] for job in jobs[:8]} == {f"job {i}": i**2 for i in range(8)}
    assert finished[jobs[8]].message == "ValueError: as asked for"
    assert len({path.name.rpartition("-")[2] for path in tmp_path.glob("job *")}) == 3  # all three have worked
    error = capsys.readouterr().err
    assert error.startswith("bad, seeds 9 to 9, settings (1, 'x') failed\nTraceback")


@pytest.mark.slow
def test_the_scheduler_is_killed_and_a_new_one_finishes(servers, tmp_path, monkeypatch):
    servers.start_worker()
    servers.wait_for(1)
    (tmp_path / "a.toml").write_text(SWEEP)
    command = [sys.executable, "-m", "experiments", "sweep"]
    env = os.environ | {"PYTHONPATH": str(HOME)}
    given = ["a.toml", "--scheduler", servers.address, "--out", "run"]
    run = subprocess.Popen([*command, *given], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/parts/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    servers.kill(servers.scheduler)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 2
    assert error.count("\n") == 1
    assert f"--scheduler: found no answer from {servers.address} any more" in error
    assert not (tmp_path / "run" / "result.json").exists()
    monkeypatch.chdir(tmp_path)
    servers.start_scheduler()
    servers.start_worker()
    servers.wait_for(1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("run/parts/*")}
    assert before
    assert sweep.main(["--resume", "run", "--scheduler", servers.address]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sweep.main(["a.toml", "--jobs", "1", "--out", "whole"]) == 0
    assert rows_of(tmp_path / "run") == rows_of(tmp_path / "whole")


@pytest.mark.slow
def test_an_interrupt_leaves_no_job_on_the_cluster(servers, tmp_path):
    servers.start_worker()
    servers.wait_for(1)
    jobs = [Job(f"job {i}", (i,), 1.0, (600, str(tmp_path))) for i in range(3)]  # of a minute each
    alarm = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.alarm(8)
    try:
        with connected(servers.address, None), pytest.raises(KeyboardInterrupt):
            run_all(work, jobs)
    finally:
        signal.signal(signal.SIGALRM, alarm)
    with distributed.Client(servers.address, timeout=30, set_as_default=False) as client:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            busy = client.run(lambda dask_worker: dask_worker.state.executing_count)
            time.sleep(0.2)
        assert set(busy.values()) == {0}
        assert client.run(lambda: None)  # the worker is still there
        assert client.submit(os.getpid).result(timeout=10)  # and takes jobs
    assert not list(tmp_path.glob("job *"))


def test_what_is_no_cluster_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.toml").write_text(SWEEP)
    monkeypatch.setattr("experiments.common.cluster.PATIENCE", 1.0)
    for address, words in (
        ("tcp://127.0.0.1:1", "found no answer at tcp://127.0.0.1:1, expected the address of a Dask scheduler"),
        ("nowhere", "found nowhere, expected local, slurm, or the address of a Dask scheduler, as tcp://HOST:8786"),
        ("slurm", "found slurm, but no command sbatch"),
    ):
        assert sweep.main(["a.toml", "--scheduler", address]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert words in error
    assert not Path("runs").exists()
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match=r"found slurm without Dask, .*install 'balancier\[cluster\]'"),
        connected("slurm", 1),
    ):
        pass


def test_a_worker_is_quiet_while_a_job_runs():
    """What Dask's workers do every few milliseconds is done once a second, also where the job fails."""
    usual = {"tick": 20.0, "profile": 10.0, "memory_monitor": 100.0, "heartbeat": 500.0, "find-missing": 5_000.0}

    def now():
        return {name: callback.callback_time for name, callback in callbacks.items()}

    for times in usual, {"tick": 2_000.0, "profile": 10.0}:  # as another version of Dask may have it
        callbacks = {name: SimpleNamespace(callback_time=value) for name, value in times.items()}
        seen = {}
        with contextlib.suppress(ZeroDivisionError), quiet(SimpleNamespace(periodic_callbacks=callbacks)):
            seen = now()
            raise ZeroDivisionError
        assert now() == times
        changed = {
            name: max(value, 1_000.0) for name, value in times.items() if name in ("tick", "profile", "memory_monitor")
        }
        assert seen == times | changed
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        worker = cluster.workers[0]
        assert {"tick", "profile", "memory_monitor"} <= worker.periodic_callbacks.keys()


def test_versions_that_differ_are_named():
    ours = version_finder()()
    assert ours.keys() == {"balancier", "torch", "code"}
    line = refusal("tcp://a:1", ours | {"torch": "1.0"}, ours)
    assert line == f"worker tcp://a:1: found torch 1.0, expected torch {ours['torch']}, as here"
    line = refusal("tcp://a:1", ours | {"code": "abc"}, ours)
    assert line.startswith(f"worker tcp://a:1: found balancier {ours['balancier']} with the code abc, expected")
    assert "no module" in refusal("tcp://a:1", ImportError("no module"), ours)


# Slurm, too, keeps a copy of the script, which is deleted as soon as this ends.
SBATCH = """#!/bin/sh
cp "$1" "job-$$"
setsid sh "job-$$" > /dev/null 2>&1 &
echo "Submitted batch job $!"
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")
def test_slurm_starts_the_workers_and_ends_them(tmp_path, monkeypatch):
    """Commands of the same names as Slurm's start a job as a process, and end it."""
    pytest.importorskip("dask_jobqueue")
    for name, text in (("sbatch", SBATCH), ("scancel", "#!/bin/sh\ntouch canceled-$1\nkill -- -$1\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(HOME))
    monkeypatch.chdir(tmp_path)
    with connected("slurm", 2):
        done = run_all(work, [Job(f"job {i}", (i,), 1.0, (5, str(tmp_path))) for i in range(6)])
    assert [done[job] for job in done] == [i**2 for i in range(6)]
    canceled = [int(path.name.partition("-")[2]) for path in tmp_path.glob("canceled-*")]
    assert len(canceled) == 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in canceled) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in canceled)


@pytest.mark.long
def test_two_workers_keep_busy(servers, tmp_path):
    """A thousand jobs of one second take at most a tenth more on two workers than 500 s, and eight 0.6 of the sum."""
    servers.start_worker()
    servers.start_worker()
    servers.wait_for(2)
    seconds = {}
    with connected(servers.address, None):
        run_all(work, [Job(f"warm {i}", (i,), 1.0, (1, str(tmp_path))) for i in range(4)])
        for count in (8, 1000):
            began = time.monotonic()
            run_all(work, [Job(f"job {i}", (i,), 1.0, (10, str(tmp_path))) for i in range(count)])
            seconds[count] = time.monotonic() - began
    print(seconds)
    assert seconds[8] < 0.6 * 8
    assert seconds[1000] < 550
