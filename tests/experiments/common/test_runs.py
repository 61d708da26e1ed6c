import json

import numpy as np
import pytest

from experiments.common import runs
from experiments.common.flags import Flags, UsageError
from experiments.common.plotting import new
from experiments.common.runs import Run, find_latest, plain, write_json


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


def test_the_last_lines_of_a_run_name_its_page_and_figures(tmp_path, capsys):
    run = Run("name", Flags(out=tmp_path / "run", format="pdf"), "balancier name --format pdf")
    run.figure(new()[0], "curve")
    run.finish({})
    run.close(None, "balancier other")
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert lines[0] == f"Page: {run.folder / 'index.html'}"
    assert lines[1] == "Figures: curve.pdf; numbers: result.json, metrics.csv"
    assert lines[2] == "Next: balancier other"
    text = (run.folder / "index.html").read_text()
    assert text.count("data:image/png;base64,") == 1  # browsers draw no PDF within a page
    assert "balancier name --format pdf" in text
    assert json.loads((run.folder / "config.json").read_text())["command"] == "balancier name --format pdf"


@pytest.mark.parametrize("links", [True, False])
def test_latest_is_the_last_run_that_ended(links, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def refuse(*_, **__):
        raise OSError("a required privilege is not held by the client")

    if not links:
        monkeypatch.setattr(runs.Path, "symlink_to", refuse)
    monkeypatch.setattr(runs, "datetime", FixedTime)
    for FixedTime.now_is in ("first", "second", "third"):
        run = Run("name", Flags())
        if FixedTime.now_is != "third":  # which is still under way
            run.finish({})
            run.close(None, "")
    assert find_latest(runs.Path("runs/name/latest")).resolve() == (tmp_path / "runs" / "name" / "second").resolve()
    assert sorted(path.name for path in (tmp_path / "runs" / "name").iterdir()) == [
        "first", "latest", "second", "third"
    ]  # fmt: skip


class FixedTime:
    now_is = ""

    @classmethod
    def now(cls):
        return cls

    @classmethod
    def strftime(cls, _):
        return cls.now_is


def test_show_opens_the_page_or_says_where_it_is(tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(runs.webbrowser, "open", lambda address: bool(opened.append(address)) or len(opened) == 1)
    run = Run("name", Flags(out=tmp_path, show=True))
    page = tmp_path / "index.html"
    run.close(None, "")
    assert opened == [page.resolve().as_uri()]
    assert "no browser" not in capsys.readouterr().out
    run.close(None, "")
    assert f"found no browser; open {page.resolve()}" in capsys.readouterr().out.replace("\n", "")


def test_files_that_no_run_wrote_stay_and_a_table_of_metrics_is_never_continued_by_another_run(tmp_path):
    (tmp_path / "policy-of-mine.safetensors").write_text("mine")
    Run("name", Flags(out=tmp_path)).close(None, "balancier")
    assert (tmp_path / "policy-of-mine.safetensors").read_text() == "mine"
    only_metrics = tmp_path / "other"
    only_metrics.mkdir()
    (only_metrics / "metrics.csv").write_text("step,seed,metric,value\n1,0,loss,2.0\n")
    with pytest.raises(UsageError, match="found a run in"):
        Run("name", Flags(out=only_metrics))
