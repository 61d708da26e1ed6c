from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch

from experiments.common.parallel import Failure, Job, run_all, run_parallel
from experiments.common.parts import MISSING, PARTS, load_part, once, part_path, save_part


@dataclass(frozen=True)
class Curve:
    steps: np.ndarray
    notes: dict


class Pair(NamedTuple):
    first: torch.Tensor
    second: tuple


RESULT = [
    Curve(np.arange(3), {"a": 1.0 / 3, 5: [None, True, "text", float("inf")], "empty": np.zeros((0, 2))}),
    Pair(torch.tensor([0.1, 0.2]), (np.float32(0.1), np.array([True, False]))),
]


def test_a_part_is_what_was_kept_and_counts_only_where_it_is_sound(tmp_path):
    path = part_path(tmp_path, "SAC, ours", range(3, 7))
    assert path == tmp_path / "sac-ours-3-6.safetensors"
    save_part(path, RESULT, [Curve, Pair])
    curve, pair = load_part(path, [Curve, Pair])
    assert isinstance(curve, Curve)
    assert isinstance(pair, Pair)
    assert curve.steps.tolist() == [0, 1, 2]
    assert curve.notes.pop("empty").shape == (0, 2)
    assert curve.notes == {"a": 1.0 / 3, 5: [None, True, "text", float("inf")]}
    assert torch.equal(pair.first, RESULT[1].first)
    assert pair.second[0] == np.float32(0.1)
    assert load_part(path, [Curve]) is MISSING  # of a class that is not expected
    path.write_bytes(path.read_bytes()[:-1])
    assert load_part(path, [Curve, Pair]) is MISSING
    assert load_part(tmp_path / "absent", []) is MISSING
    with pytest.raises(TypeError, match="result: found set, expected one of Curve"):
        save_part(path, {1}, [Curve])


def work(job, report):
    if job.settings == "fail":
        raise ValueError("as asked for")
    report(job.cost)
    return Curve(np.array(job.seeds), {"thread": torch.get_num_threads()})


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_finished_jobs_are_not_done_again(processes, tmp_path, capsys):
    token = PARTS.set(tmp_path)
    try:
        jobs = [Job("good", (1, 2), 1.0), Job("bad", (3,), 2.0, "fail")]
        first = run_all(work, jobs, processes, [Curve])
        assert isinstance(first[jobs[1]], Failure)
        assert [path.name for path in tmp_path.iterdir()] == ["good-1-2.safetensors"]
        again = [Job("good", (1, 2), 1.0, "fail"), Job("bad", (3,), 2.0)]  # what is kept is not asked for again
        results = run_parallel(work, again, processes, kinds=[Curve])
        assert [result.steps.tolist() for result in results] == [[1, 2], [3]]
        assert "1 of 2 parts are done already" in capsys.readouterr().out
        results = run_parallel(work, jobs, processes, kinds=[Curve])
        assert [result.steps.tolist() for result in results] == [[1, 2], [3]]
        assert once("sum", [0, 9], lambda: 5.0) == 5.0
        assert once("sum", [0, 9], lambda: 6.0) == 5.0
        assert once("none", [0], lambda: None) is once("none", [0], lambda: 6.0) is None  # also a result
    finally:
        PARTS.reset(token)
    assert once("sum", [0, 9], lambda: 6.0) == 6.0  # elsewhere nothing is kept
