"""The documentation site: built without a warning, complete, and without anything loaded from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

for name in ("mkdocs", "material", "mkdocstrings"):
    pytest.importorskip(name)

HOME = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    settings = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=HOME, env=settings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_what_they_link_to(site):
    pages = {path.stem for path in site.glob("*.html")}
    assert pages >= {"index", "contributing", "changelog", *(path.stem for path in (HOME / "docs").glob("*.md"))}
    assert pages >= {f"reference-{package}" for package in ("envs", "models", "agents", "experiments")}
    index = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="reference-agents.html#agents.ppo"' in index
    assert 'href="course.html"' in index
    assert "fits.png" in index
    reference = (site / "reference-agents.html").read_text(encoding="utf-8")
    for anchor in ("agents.ppo", "agents.ppo.PPO", "agents.evaluation.evaluate", "agents.sb3.to_sb3"):
        assert f'id="{anchor}"' in reference, anchor
    assert list(site.glob("notebooks/*.ipynb"))
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
def test_the_site_needs_no_network(site):
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]*\ssrc=["']?(?:https?:)?//|<link[^>]*stylesheet[^>]*href=["']?(?:https?:)?//"""
    )
    for path in site.rglob("*.html"):
        assert not loaded.search(path.read_text(encoding="utf-8")), path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", path.read_text(encoding="utf-8")), path.name
