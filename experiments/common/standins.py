"""Help without the heavy packages: stand-ins for torch and others, which have every name and do nothing.

`balancier train --help` needs the text of a lesson and its flags, not what it computes with. So where only help is
asked for, a lesson is imported with stand-ins, which takes a fifth of the time. (Sphinx imports modules that it
documents in the same way.) A test compares the help with what the real packages give.
"""

import contextlib
import importlib.abc
import importlib.machinery
import sys
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import balancier

HEAVY = ("torch", "scipy", "matplotlib", "safetensors", "stable_baselines3", "pygame", "PIL", "pooch", "requests")


class Anything(ABCMeta):
    """The class of stand-in classes: each has every attribute, and takes any index."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (StandIn,), {})

    def __getitem__(cls, index: object) -> Any:
        return cls


class StandIn(metaclass=Anything):
    """Stands for a class to inherit from or to name in a type, for a function, a decorator, or a number."""

    def __init__(self, *_: object, **__: object):
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(StandIn, name)

    def __call__(self, *_: object, **__: object) -> Any:
        return self


class StandInModule(ModuleType):
    __path__: Sequence[str] = ()  # a package, so that its modules can be imported

    def __getattr__(self, name: str) -> Any:
        return getattr(StandIn, name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for every module of a heavy package."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        heavy = fullname.partition(".")[0] in HEAVY
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if heavy else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextlib.contextmanager
def stand_ins() -> Iterator[None]:
    """Imports in this block find stand-ins; after it, these and our modules that took them are forgotten."""
    before, finder = set(sys.modules), Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in (*HEAVY, *balancier.PACKAGES):
                del sys.modules[name]
