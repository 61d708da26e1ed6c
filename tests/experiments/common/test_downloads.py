"""Downloads: a file in the cache is always the right one, also when two processes download it at the same time."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from experiments.common import downloads
from experiments.common.downloads import fetch
from experiments.common.flags import UsageError

CONTENT = b"p_id, survived\n" + b"0, 1\n" * 10_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT, or what a test puts in its place; `meeting` delays answers until enough requests have come."""

    def __init__(self):
        self.content, self.length, self.requests, self.meeting = CONTENT, len(CONTENT), 0, None
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data.csv"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.requests += 1
        if self.server.meeting is not None:
            self.server.meeting.wait()
        self.send_response(200 if self.path == "/data.csv" else 404)
        self.send_header("Content-Length", str(self.server.length))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server():
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def test_a_download_is_kept_and_not_repeated(server, cache):
    path = fetch(server.url, SHA256, "data.csv")
    assert path == cache / "data.csv"
    assert path.read_bytes() == CONTENT
    assert fetch(server.url, SHA256, "data.csv") == path
    assert server.requests == 1
    path.write_bytes(CONTENT[:-1])  # spoiled in the cache
    assert fetch(server.url, SHA256, "data.csv").read_bytes() == CONTENT
    assert server.requests == 2


def test_nothing_is_kept_of_another_file(server, cache):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(UsageError, match="--data: found a data.csv at .* that fails its SHA-256") as error:
        fetch(server.url, SHA256, "data.csv")
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_nothing_is_kept_of_half_a_file(server, cache):
    server.content = CONTENT[: len(CONTENT) // 2]  # the connection ends before the announced length
    with pytest.raises(UsageError, match="--data: found "):
        fetch(server.url, SHA256, "data.csv")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("ending", "words"), [("/absent", "status 404 from 127.0.0.1"), ("", "no answer from")])
def test_without_a_server_one_line_says_what_else_to_do(server, cache, ending, words):
    url = server.url.replace("/data.csv", ending) if ending else "http://127.0.0.1:9/data.csv"
    with pytest.raises(UsageError, match=r"expected a network .`balancier fetch` .* or --data FILE$") as error:
        fetch(url, SHA256, "data.csv", "--data FILE")
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_without_a_server_is_named_and_kept(cache):
    cache.mkdir()
    (cache / "data.csv").write_bytes(b"half")
    with pytest.raises(UsageError, match="found no download of data.csv .* in place of the damaged .*data.csv, expect"):
        fetch("http://127.0.0.1:9/data.csv", SHA256, "data.csv")
    assert [path.name for path in cache.iterdir()] == ["data.csv"]


def test_a_cache_that_cannot_be_made_is_named(server, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    for folder in "taken", "taken/cache":
        monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / folder))
        with pytest.raises(UsageError, match="no place for data.csv in the cache"):
            fetch(server.url, SHA256, "data.csv")
    assert server.requests == 0


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_with_the_name_of_the_file_is_not_taken_for_it(make, server, cache):
    cache.mkdir()
    make(cache / "data.csv")
    if make is os.mkfifo:
        assert fetch(server.url, SHA256, "data.csv").read_bytes() == CONTENT
    else:
        with pytest.raises(UsageError, match="no place for data.csv in the cache .*Is a directory"):
            fetch(server.url, SHA256, "data.csv")
    assert [path.name for path in cache.iterdir()] == ["data.csv"]


def test_a_full_disk_is_named_and_leaves_nothing(server, cache, monkeypatch):
    def fill(self, url, path, *_):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads.pooch.HTTPDownloader, "__call__", fill)
    with pytest.raises(UsageError, match="no place for data.csv in the cache .*No space left on device"):
        fetch(server.url, SHA256, "data.csv")
    assert list(cache.iterdir()) == []


def test_a_download_can_be_read_by_whom_the_umask_lets(server, cache):
    mask = os.umask(0o022)
    try:
        assert fetch(server.url, SHA256, "data.csv").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(mask)


def test_two_processes_at_once_do_each_other_no_harm(server, cache):
    server.meeting = threading.Barrier(2, timeout=60)  # both are in the middle of their download
    code = f"from experiments.common.downloads import fetch; print(fetch({server.url!r}, {SHA256!r}, 'data.csv'))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs == [str(cache / "data.csv")] * 2
    assert server.requests == 2
    assert [path.name for path in cache.iterdir()] == ["data.csv"]
    assert (cache / "data.csv").read_bytes() == CONTENT
