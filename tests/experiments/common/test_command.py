"""How a run ends: by itself, by bad input, and when it is interrupted."""

import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest

import agents
from experiments.common.command import Lesson, launch, run_command, waiting_interrupts
from experiments.common.flags import Flags, UsageError, at_least


@dataclass(frozen=True)
class Numbers(Flags):
    count: Annotated[int, at_least(2)] = 3


def check(flags):
    if flags.count == 13:
        raise UsageError("--count: found 13, expected another number")


LESSON = Lesson(
    flags=Numbers,
    measure=lambda flags: list(range(flags.count)),
    figures=lambda findings: {},
    table=lambda findings: None,
    result=lambda findings: {"sum": sum(findings)},
    forecast=lambda flags: f"{flags.count} numbers, about 0 s",
    next_command="count further",
    metrics=lambda findings: [(number, "number", [number], [0]) for number in findings],
    check=check,
    files=lambda findings: {"page.md": f"# {len(findings)} numbers"},
)


def test_a_lesson_is_checked_measured_and_written(tmp_path, capsys):
    assert launch("numbers", LESSON, ["--count", "4", "--out", str(tmp_path / "run")], "Numbers.") == 0
    out = capsys.readouterr().out
    assert out.startswith("numbers: 4 numbers, about 0 s\n")
    assert "Next: count further" in out
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "config.json", "index.html", "metrics.csv", "page.md", "result.json"
    }  # fmt: skip
    assert '"sum": 6' in (tmp_path / "run" / "result.json").read_text()
    assert (tmp_path / "run" / "metrics.csv").read_text().splitlines()[-1] == "3,0,number,3.0"
    assert (tmp_path / "run" / "page.md").read_text() == "# 4 numbers"


@pytest.mark.parametrize(("argv", "message"), [
    (["--count", "1"], "balancier numbers: --count: found 1, expected at least 2\n"),
    (["--count", "13"], "balancier numbers: --count: found 13, expected another number\n"),
])  # fmt: skip
def test_bad_input_leaves_nothing(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert launch("numbers", LESSON, argv, "Numbers.") == 2
    assert capsys.readouterr().err == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["--count", "many"], ["--frobnicate"], ["--format", "bmp"]])
def test_a_command_line_without_a_meaning_is_one_line(argv, capsys):
    assert launch("numbers", LESSON, argv, "Numbers.") == 2
    error = capsys.readouterr().err
    assert error.startswith("balancier numbers: ")
    assert argv[0] in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (BrokenPipeError, 0)])
def test_other_ends(error, status):
    def run(flags):
        raise error

    before = signal.getsignal(signal.SIGTERM)
    assert run_command("numbers", Numbers, run, [], None) == status
    assert signal.getsignal(signal.SIGTERM) == before


def terminated(command, until, seconds):
    """The stderr of a run that gets SIGTERM at its first line with `until` in it, and has `seconds` to end."""
    command = [sys.executable, "-u", "-m", "experiments", *command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        next(line for line in run.stdout if until in line)
        run.send_signal(signal.SIGTERM)  # SIGINT would be ignored where the tests run in the background
        error = run.communicate(timeout=seconds)[1]
    assert run.returncode == 143
    return error


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process there cannot be asked to end, only ended")
def test_a_terminated_run_leaves_a_checkpoint(tmp_path):
    flags = ["--agent", "ppo", "--seeds", "1", "--steps", "40000", "--out", str(tmp_path)]
    assert terminated(["train", *flags], "10%", 60) == "balancier train: terminated\n"
    assert 4_000 <= agents.load(tmp_path / "agent.safetensors").num_timesteps < 40_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process there cannot be asked to end, only ended")
def test_a_terminated_run_takes_its_processes_with_it(tmp_path):
    flags = [
        "--agents",
        "ppo",
        "a2c",
        "--steps",
        "40000",
        "--baseline-seeds",
        "0",
        "--jobs",
        "2",
        "--out",
        str(tmp_path),
    ]
    terminated(["compare", *flags], "% after", 20)  # a process left behind would hold the pipe open for longer


def test_a_second_ctrl_c_does_not_wait_except_for_a_checkpoint():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with waiting_interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.number == signal.SIGTERM
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    try:
        with waiting_interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert interrupts.number == signal.SIGINT
            with interrupts.held():
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before[0])
    assert signal.getsignal(signal.SIGTERM) == before[1]
