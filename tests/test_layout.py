"""The plan of the house: which package knows which, and that no two files need each other."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
PACKAGES = ("envs", "models", "agents", "experiments")
FILES = [HOME / "balancier.py", *(path for package in PACKAGES for path in (HOME / package).rglob("*.py"))]
KNOWS = {"envs": set(), "models": set(), "agents": {"models"}, "experiments": {"agents", "models", "envs"}}
# Optional or heavy packages, which a function may import when it needs them.
HEAVY = {"pygame", "onnx", "onnxruntime", "onnxscript", "stable_baselines3", "matplotlib", "rich", "imageio_ffmpeg"}
HEAVY |= {"distributed", "dask", "dask_jobqueue", "optuna", "scipy"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path, node: ast.AST) -> set[str]:
    """Modules of ours that an import statement names."""
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
        names = {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    else:
        return set()
    found = {name for name in names if name in MODULES}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)} - {module_of(path)}


TREES = {path: ast.parse(path.read_text()) for path in FILES}
ARROWS = {module_of(path): {m for node in tree.body for m in imports(path, node)} for path, tree in TREES.items()}


def test_no_package_knows_one_above_it():
    for module, others in ARROWS.items():
        package = module.partition(".")[0]
        for other in others - {"balancier"}:
            allowed = KNOWS.get(package, set()) | {package}
            assert other.partition(".")[0] in allowed, f"{module} imports {other}"


def test_what_is_shared_knows_no_page_that_shares_it():
    for module, others in ARROWS.items():
        package, *rest = module.split(".")
        if "common" in rest:
            front = {other for other in others if other.startswith(f"{package}.") and ".common" not in other}
            assert not front, f"{module} imports {front}"


def test_no_two_modules_need_each_other():
    """A depth-first walk along the imports never comes back to a module that it is still in."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for other in ARROWS[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in ARROWS:
        visit(module, ())


def test_imports_stand_at_the_head_of_a_file():
    for path, tree in TREES.items():
        assert "TYPE_CHECKING" not in path.read_text(), path
        head = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in head:
                name = getattr(node, "module", None) or node.names[0].name
                lazy = name.partition(".")[0] in HEAVY or (path.name, name) in LAZY
                assert lazy, f"{path}:{node.lineno} imports {name} inside a function"


# A module that itself imports a heavy package, the check of names that has to come before `experiments`, and a module
# that not every system has.
LAZY = {
    ("runs.py", "fcntl"),
    ("pendulum.py", "envs.viewer"),
    ("balancier.py", "experiments.__main__"),
    ("board.py", "torch.utils.tensorboard"),
}


def test_front_rows_hold_algorithms_and_lessons_alone():
    agents = {path.name for path in (HOME / "agents").iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert len(agents) <= 12
    from experiments.__main__ import EXPERIMENTS

    scripts = {path.stem for path in (HOME / "experiments").glob("*.py")} - {"__init__", "__main__"}
    assert scripts == set(EXPERIMENTS)


def run(code: str, folder: Path) -> subprocess.CompletedProcess:
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.run([sys.executable, script.name], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "imported"), [("models", "agents"), ("agents", "envs"), ("experiments", "models")])
def test_a_file_in_the_way_of_a_package_is_named_at_the_first_import(name, imported, tmp_path):
    (tmp_path / f"{name}.py").write_text("x = 1\n")
    last = run(f"import {imported}\n", tmp_path).stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: balancier: found {(tmp_path / name).resolve()}.py for the package {name!r}")
    assert "(a file of your own), expected Balancier's own" in last
    assert last.endswith("or start from another folder")
    (tmp_path / f"{name}.py").unlink()
    assert run(f"import {imported}\n", tmp_path).returncode == 0


def test_a_distribution_that_overwrote_a_package_is_named(monkeypatch, tmp_path):
    """What `pip install openai-agents` does: `agents/__init__.py` is another's, in the same place."""
    import balancier

    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("balancier.check_packages()\n" if name != "agents" else "x = 1\n")
    (tmp_path / "balancier.py").write_text((HOME / "balancier.py").read_text())
    done = run("import sys\nimport balancier\nsys.exit(balancier.main())\n", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert re.match(r"balancier: found .*agents.__init__\.py for the package 'agents'", done.stderr)
    found = {"agents": ["balancier", "openai-agents"]}
    monkeypatch.setattr(balancier.importlib.metadata, "packages_distributions", lambda: found)
    installed = Path("/usr/lib/python3/site-packages/agents/__init__.py")
    assert balancier.owner("agents", installed) == " (of openai-agents)"
    assert "uninstall the other" in balancier.advice("agents", installed)


FAULTS = """
import resource, sys
import balancier
if "keep" in sys.argv:
    balancier.keep_memory()
one = b"x"
sum(len(one * 64_000_000) for _ in range(2))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
one * 64_000_000  # bytes: 16,000 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator of Linux")
def test_the_command_keeps_freed_memory_and_an_import_does_not(monkeypatch):
    def page_faults(*arguments: str) -> int:
        command = [sys.executable, "-c", FAULTS, *arguments]
        return int(subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True).stdout)

    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if page_faults() < 10_000:
        pytest.skip("this allocator keeps memory anyway")
    assert page_faults("keep") < 1_000
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "100000")  # the user's own setting stays
    assert page_faults("keep") > 10_000


def test_a_file_is_there_only_once_it_is_complete(tmp_path, monkeypatch):
    import balancier

    path = tmp_path / "file"
    balancier.write_file(path, "abc")
    assert path.read_text() == "abc"
    (tmp_path / "link").symlink_to(path)
    balancier.write_file(tmp_path / "link", b"def")
    assert (tmp_path / "link").is_symlink()
    assert path.read_bytes() == b"def"

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(balancier.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        balancier.write_file(path, "ghi")
    assert path.read_bytes() == b"def"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "link"]
