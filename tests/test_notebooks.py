"""The notebooks: each is the pair of its source, runs from an empty folder, and shows its figures."""

import shutil
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

HOME = Path(__file__).parents[1]
SOURCES = sorted((HOME / "docs" / "notebooks").glob("*.py"))


def cells(notebook):
    return [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]]


def test_every_section_of_the_course_has_its_notebook():
    assert {path.name[0] for path in SOURCES} == set("123456")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_the_pair_of_its_source(source):
    notebook = jupytext.read(source.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(source)), "jupytext --sync docs/notebooks/*.py"
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    assert "exercise.main" in notebook["cells"][-1]["source"]
    assert f"notebooks/{source.stem}.ipynb" in (HOME / "docs" / "notebooks.md").read_text(encoding="utf-8")


@pytest.mark.long
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_runs_in_its_short_form(source, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYTHONPATH", str(HOME))
    notebook = jupytext.read(shutil.copy(source.with_suffix(".ipynb"), tmp_path))
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = shown = 0
    for cell in notebook["cells"]:
        shows = cell["cell_type"] == "code" and cell["source"].startswith(('figures["', "Image("))
        pictures += shows
        outputs = cell.get("outputs", []) if shows else []
        shown += any("image/png" in output.get("data", {}) for output in outputs)
    assert pictures == shown > 0
    assert list(tmp_path.glob("exercise_*.ipynb"))
