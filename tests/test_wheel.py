"""A wheel, installed in an empty environment and used from another folder: everything that is needed is in it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
LEFT_OUT = (".*", "tests", "build", "dist", "runs", "*.egg-info", "__pycache__", "docs", "site")
pytestmark = pytest.mark.skipif(
    int(version("setuptools").partition(".")[0]) < 77, reason="needs setuptools 77 or later"
)


def run(command, folder, status=0):
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def environment():
    """The same as a user's, who has no copy of the project."""
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return settings | {"MPLBACKEND": "Agg", "SDL_VIDEODRIVER": "dummy", "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without a network from a copy, so that nothing is left in the project."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(HOME, folder / "copy", ignore=shutil.ignore_patterns(*LEFT_OUT))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "dist",
        "./copy",
    ]
    run(build, folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.mark.slow
def test_a_wheel_holds_the_packages_and_their_data(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("envs", "models", "agents", "experiments"):
        sources = {path.relative_to(HOME).as_posix() for path in (HOME / package).rglob("*.py")}
        assert sources - names == {"experiments/locale/update.py"} & sources  # a tool of those who write the texts
        assert f"{package}/py.typed" in names
    networks = {path.relative_to(HOME).as_posix() for path in (HOME / "experiments" / "networks").glob("*.safetensors")}
    assert networks
    assert networks - names == set()
    assert "experiments/locale/fr/LC_MESSAGES/balancier.mo" in names
    assert not [name for name in names if name.startswith(("tests", "docs"))]


@pytest.mark.long
def test_an_installed_wheel_does_what_the_project_does(wheel, tmp_path):
    """Its dependencies are those of this environment, which a file makes known to the new one; the project is not."""
    home = tmp_path / "another folder é"
    home.mkdir()
    venv.create(tmp_path / "env", with_pip=True)
    scripts = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    python, balancier = str(scripts / "python"), str(scripts / "balancier")
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], home)
    packages = run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], home).strip()
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(packages) / "others.pth").write_text("".join(f"{path}\n" for path in sorted(others)), encoding="utf-8")
    where = run([python, "-c", "import balancier, experiments; print(balancier.HOME, experiments.__file__)"], home)
    assert where.startswith(packages)
    assert str(HOME) not in where
    assert "balancier compare" in run([balancier], home)
    assert "moindres carrés" in run([balancier, "--lang", "fr"], home)
    assert "autodiff" in run([balancier, "autodiff", "--quick"], home)
    assert (home / "runs" / "autodiff" / "latest").exists()
    run([balancier, "identify", "--quick"], home)  # with the networks that come with the package
    run([balancier, "exercise", "3.a"], home)
    assert "0 of 3 steps are right" in run([balancier, "check", "3.a"], home, status=1)
    run([balancier, "solution", "3.a", "--out", "right.py"], home)
    assert "3 of 3 steps are right" in run([balancier, "check", "3.a", "right.py"], home)
    assert "result.json" in run([balancier, "compare", "--quick"], home)
