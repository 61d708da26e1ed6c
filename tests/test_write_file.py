"""Files are there only once they are complete, and what cannot be written is said with the file's name."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import agents
import balancier


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_is_that_of_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        balancier.write_file(tmp_path / "new", "abc")
        agents.PPO("CartPole-v1", seeds=1, num_steps=8).save(tmp_path / "agent")
    finally:
        os.umask(before)
    for name in "new", "agent":
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("exists", [True, False])
def test_links_are_written_through(exists, tmp_path):
    (tmp_path / "to").mkdir()
    target = tmp_path / "to" / "target"
    if exists:
        target.write_text("old")
    (tmp_path / "one").symlink_to(target)
    (tmp_path / "two").symlink_to("one")
    balancier.write_file(tmp_path / "two", b"new")
    assert target.read_bytes() == b"new"
    assert [(tmp_path / name).is_symlink() for name in ("one", "two")] == [True, True]
    assert names(tmp_path) == ["one", "to", "two"]
    assert names(tmp_path / "to") == ["target"]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "鐘" * 85, " ", "a\nb"])
def test_names_of_any_length_that_the_system_takes(name, tmp_path):
    balancier.write_file(tmp_path / name, "abc")
    assert names(tmp_path) == [name]


def pipe(path):
    os.mkfifo(path)


def link_to_pipe(path):
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def loop(path):
    path.symlink_to(path)


REFUSED = {
    "folder": (Path.mkdir, "found a folder, expected a file"),
    "pipe": (pipe, "found a pipe or a device, expected a file"),
    "link to a pipe": (link_to_pipe, "found a pipe or a device, expected a file"),
    "link to a device": (lambda path: path.symlink_to("/dev/null"), "found a pipe or a device"),
    "loop": (loop, os.strerror(errno.ELOOP)),
}


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders there")
@pytest.mark.parametrize("write", [
    lambda path: balancier.write_file(path, "abc"),
    lambda path: agents.PPO("CartPole-v1", seeds=1, num_steps=8).save(path),
], ids=["write_file", "save"])  # fmt: skip
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_file_is_refused_and_untouched(kind, write, tmp_path):
    make, words = REFUSED[kind]
    path = tmp_path / "target"
    make(path)
    before = [(entry.name, entry.lstat().st_mode, entry.lstat().st_ino) for entry in sorted(tmp_path.iterdir())]
    with pytest.raises(OSError, match=words) as error:
        write(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert [(entry.name, entry.lstat().st_mode, entry.lstat().st_ino) for entry in sorted(tmp_path.iterdir())] == before


@pytest.mark.parametrize(("function", "number"), [
    ("fsync", errno.ENOSPC), ("replace", errno.EACCES), ("fsync", errno.EIO), ("fsync", None),
])  # fmt: skip
def test_a_failure_names_the_file_and_leaves_the_old_one(function, number, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    arguments = (number, os.strerror(number), str(tmp_path / "another")) if number else ("broken",)

    def fail(*_):
        raise OSError(*arguments)

    monkeypatch.setattr(balancier.os, function, fail)
    with pytest.raises(OSError, match=os.strerror(number) if number else "broken") as error:
        balancier.write_file(path, "new")
    assert str(path) in str(error.value)
    assert error.value.errno == number
    monkeypatch.undo()
    assert (names(tmp_path), path.read_text()) == (["file"], "old")


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    """The limit of a process on the size of its files stands for the disk."""
    resource = pytest.importorskip("resource")
    code = "import sys, agents; agents.PPO('CartPole-v1', seeds=1, num_steps=8).save(sys.argv[1])"
    path = tmp_path / "agent"
    subprocess.run([sys.executable, "-c", code, path], check=True)
    before = path.read_bytes()

    def limited():

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(
        [sys.executable, "-c", code, path], preexec_fn=limited, capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert last == f"OSError: [Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}: '{path}'"
    assert (names(tmp_path), path.read_bytes()) == (["agent"], before)


@pytest.mark.parametrize(("path", "words"), [
    ("x" * 300, os.strerror(errno.ENAMETOOLONG)), ("nowhere/file", os.strerror(errno.ENOENT)),
    ("taken/file", os.strerror(errno.ENOTDIR)), ("a\0b", "null"),
])  # fmt: skip
def test_places_that_are_none_are_named(path, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("mine")
    with pytest.raises((OSError, ValueError), match=words) as error:
        balancier.write_file(path, "abc")
    assert repr(path) in str(error.value)
    assert names(tmp_path) == ["taken"]


def test_an_agent_makes_the_folders_that_are_missing(tmp_path):
    agent = agents.PPO("CartPole-v1", seeds=1, num_steps=8)
    agent.save(tmp_path / "a" / "b" / "agent")
    assert agents.load(tmp_path / "a" / "b" / "agent").seeds == (0,)
    with pytest.raises(OSError, match="agent/c/d") as error:
        agent.save(tmp_path / "a" / "b" / "agent" / "c" / "d")
    assert "\n" not in str(error.value)
