import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.common import checkpoint
from agents.common.checkpoint import CheckpointError

ARRAYS = {
    "a": np.arange(6.0).reshape(2, 3),
    "empty": np.zeros((0, 4), np.float32),
    "flag": np.array(True),
    "big": np.array([2**64 - 1], np.uint64),
}
META = {"name": "Zoë", "numbers": [1, 2.5, None], "fake": '"sha256":"' + "0" * 64 + '"'}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "agent.safetensors"
    checkpoint.save(path, ARRAYS, META)
    return path


def test_what_is_loaded_is_what_was_saved(path):
    arrays, meta = checkpoint.load(path)
    assert {key: meta[key] for key in META} == META
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_it_is_plain_safetensors(path):
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        assert set(file.keys()) == ARRAYS.keys()


@given(data=st.data())
@settings(max_examples=200)
def test_no_altered_file_is_read(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    checkpoint.save(path, ARRAYS, META)
    whole = path.read_bytes()
    position = data.draw(st.integers(0, 8 * len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position // 8] ^= 1 << position % 8
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="flipped"):
        checkpoint.load(path)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointError, match="flipped"):
        checkpoint.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError, match="flipped"):
        checkpoint.load(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"PK\x03\x04 a zip", b"\xff" * 100])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert "other" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        checkpoint.save(path, {"a": np.zeros(3)}, {})
    assert os.listdir(path.parent) == [path.name]
    np.testing.assert_array_equal(checkpoint.load(path)[0]["a"], ARRAYS["a"])
