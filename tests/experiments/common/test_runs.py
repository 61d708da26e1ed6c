import json

import numpy as np
import pytest

from experiments.common.flags import Flags
from experiments.common.plotting import new
from experiments.common.runs import Run, plain, write_json


def test_json_takes_arrays_numbers_and_paths(tmp_path):
    content = {"array": np.arange(4).reshape(2, 2), "number": np.float32(0.5), "path": tmp_path, "flag": np.bool_(True)}
    write_json(tmp_path / "x.json", content)
    expected = {"array": [[0, 1], [2, 3]], "number": 0.5, "path": str(tmp_path), "flag": True}
    assert json.loads((tmp_path / "x.json").read_text()) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(("value", "expected"), [
    (1.23456789, 1.234568),
    (1.23456789e-4, 1.234568e-4),
    (123456.789, 123456.8),
    (0.0, 0.0),
    (np.float32(0.1), 0.1),
    (7, 7),
    (True, True),
    (None, None),
    ("text", "text"),
    (np.array([1.00000061, 2.0]), [1.000001, 2.0]),
    ({"a": [1.23456789, 2], "b": (np.int64(3), None)}, {"a": [1.234568, 2], "b": [3, None]}),
])  # fmt: skip
def test_rounding(value, expected):
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)
    assert json.loads(json.dumps(result)) == expected  # plain Python throughout


def test_a_run_writes_its_numbers_and_figures(tmp_path):
    run = Run("name", Flags(seeds=2, seed=5, out=tmp_path / "run", format="svg"))
    run.log(10, "loss", [0.5, 0.25])
    run.figure(new()[0], "curve")
    run.finish({"mean": np.float64(0.375)})
    assert {path.name for path in run.folder.iterdir()} == {"config.json", "curve.svg", "metrics.csv", "result.json"}
    assert (run.folder / "metrics.csv").read_text() == "step,seed,metric,value\n10,5,loss,0.5\n10,6,loss,0.25\n"
    assert json.loads((run.folder / "result.json").read_text())["mean"] == 0.375
    assert (run.folder / "curve.svg").read_text().startswith("<?xml")
