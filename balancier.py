"""What the four packages stand on: complete files, and a check that nothing else answers to their generic names.

This module alone has a name that no other project takes, so the console script starts here.
"""

import importlib.metadata
import importlib.util
import os
import secrets
import sys
from functools import cache
from pathlib import Path

PACKAGES = ("envs", "models", "agents", "experiments")
HOME = Path(__file__).resolve().parent


def write_file(path: str | os.PathLike, data: bytes | str) -> None:
    """Write a file that is there only once it is complete: beside its target first, flushed, then renamed.

    A symbolic link is written through; text is UTF-8; the mode is the one that the user's umask gives.

    Raises:
        OSError: if the folder cannot be written to; nothing is left behind.
    """
    path = Path(path).resolve()
    beside = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
    try:
        with open(beside, "xb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@cache
def check_packages() -> None:
    """Raise ImportError, in one line, if something else stands where `import envs` and the others should find ours.

    That is a user's own `models.py` beside a script, or another distribution with a package of that name, which may
    even have overwritten files of ours (openai-agents installs a package `agents`).
    """
    for name in PACKAGES:
        expected = HOME / name / "__init__.py"
        module = sys.modules.get(name)
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin == expected and "balancier.check_packages" in expected.read_text():
            continue
        raise ImportError(refusal(name, origin))


def check_folder(folder: Path) -> None:
    """Raise ImportError, in one line, for a module in this folder that has the name of one of our packages.

    A module beside it that imports that name gets one of the two, and expects the other.
    """
    for name in PACKAGES:
        for origin in (folder / name / "__init__.py", folder / f"{name}.py"):
            if origin.is_file() and origin.resolve() != HOME / name / "__init__.py":
                raise ImportError(refusal(name, origin))


def refusal(name: str, origin: Path | None) -> str:
    """The one line about a file that is in the way of one of our packages."""
    return (
        f"balancier: found {origin or 'nothing'} for the package {name!r}{owner(name, origin)}, "
        f"expected Balancier's own at {HOME / name / '__init__.py'}; {advice(name, origin)}"
    )


def owner(name: str, origin: Path | None) -> str:
    """Whose the file in the way is, where an installed distribution says that it is its own."""
    others = set(importlib.metadata.packages_distributions().get(name, [])) - {"balancier"}
    installed = origin is not None and "site-packages" in origin.parts
    if others and installed:
        return f" (of {', '.join(sorted(others))})"
    return "" if origin is None or installed else " (a file of your own)"


def advice(name: str, origin: Path | None) -> str:
    if origin is None:
        return "install Balancier again"
    if "site-packages" in origin.parts:
        return "uninstall the other, then install Balancier again (or give it an environment of its own)"
    return f"rename {origin.parent if origin.name == '__init__.py' else origin}, or start from another folder"


def main() -> int:
    """The command `balancier`."""
    try:
        check_packages()
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    from experiments.__main__ import main as run  # not before the check: it may be the package that is hidden

    return run()
