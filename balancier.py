"""What the four packages stand on: complete files, bounds of what a user gives, a check of their generic names, and the
language of the texts that a user reads.

This module alone has a name that no other project takes, so the console script starts here.
"""

import contextlib
import ctypes
import errno
import gettext
import importlib.metadata
import importlib.util
import inspect
import locale
import os
import re
import secrets
import string
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Rational, Real
from pathlib import Path
from typing import Any, TypeGuard

PACKAGES = ("envs", "models", "agents", "experiments")
HOME = Path(__file__).resolve().parent
MOST = 2**53  # the largest whole number that is taken: float64 holds every one up to it
LARGEST = 1e38  # of other numbers: float32 holds no more
KEPT = 2**30  # bytes that the allocator keeps


@dataclass(frozen=True)
class Bound:
    """What a value may be: a test, and the same in words, which follow "expected" in an error.

    The largest number is only spoken of where a value is larger.
    """

    holds: Callable[[Any], bool]
    words: str
    most: float = LARGEST


def is_number(value: Any, kind: type = Real) -> TypeGuard[Any]:
    """Whether it is a number, Python's or NumPy's; True and False are none, nor are fractions."""
    fraction = isinstance(value, Rational) and not isinstance(value, Integral)
    return isinstance(value, kind) and not isinstance(value, bool) and not fraction


def whole(least: int, most: int = MOST) -> Bound:
    """Whole numbers from `least` to `most`."""
    words = f"a whole number of at least {least}"
    return Bound(lambda value: is_number(value, Integral) and least <= value <= most, words, most)


def number(least: float, most: float = LARGEST, above: bool = False) -> Bound:
    """Numbers from `least` (or with `above` larger ones) to `most`."""
    words = f"above {least:g}" if above else f"of at least {least:g}"
    words = f"a number {words if most == LARGEST else f'from {least:g} to {most:g}'}"
    return Bound(lambda value: is_number(value) and least <= value <= most and not (above and value == least), words)


def one_of(choices: Collection[str]) -> Bound:
    return Bound(lambda value: isinstance(value, str) and value in choices, f"one of {', '.join(choices)}")


def function(count: int, words: str) -> Bound:
    """Functions that can be called with so many arguments."""

    def holds(value: Any) -> bool:
        try:
            return callable(value) and inspect.signature(value).bind(*range(count)) is not None
        except TypeError:
            return False
        except ValueError:  # a function without a signature
            return True

    return Bound(holds, f"a function of {words}")


def optional(bound: Bound) -> Bound:
    return Bound(lambda value: value is None or bound.holds(value), f"{bound.words}, or None", bound.most)


SWITCH = Bound(lambda value: isinstance(value, bool), "True or False")


def check(**given: tuple[Any, Bound]) -> None:
    """Raise ValueError, in one line, for the first value out of its bound; each is given as name=(value, bound)."""
    for name, (value, bound) in given.items():
        if not bound.holds(value):
            raise ValueError(out_of_bound(name, value, bound))


def check_steps(name: str, value: Any) -> int:
    """A number of steps as Python's whole number, for which 1e6 is one, too; ValueError for others."""
    steps = int(value) if isinstance(value, float) and value.is_integer() else value
    check(**{name: (steps, whole(0))})
    return int(steps)


def out_of_bound(name: str, value: Any, bound: Bound) -> str:
    """That a value is out of its bound, in one line."""
    beyond = is_number(value) and value > bound.most and " to " not in bound.words
    return f"{name}: found {shown(value)}, expected {bound.words}{f', and at most {bound.most:,}' if beyond else ''}"


@contextlib.contextmanager
def enough_memory(name: str, value: int) -> Iterator[None]:
    """ValueError that names what was given, where there is no memory for what it asks for."""
    try:
        yield
    except (MemoryError, ValueError) as error:  # the latter for arrays of more than 2**63 bytes
        raise ValueError(f"{name}: found {value}, expected fewer ({error})") from None


def one_line(text: Any) -> str:
    """A text, or an error's, on one line, and shortened."""
    words = " ".join(str(text).split())
    return words if len(words) <= 200 else f"{words[:180]} ... {words[-10:]}"


def shown(value: Any) -> str:
    """A value in a message: on one line, and shortened."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a number of too many digits, or an object whose repr fails
        text = f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:80]} ... {text[-10:]}"


@contextlib.contextmanager
def naming_file(path: str | os.PathLike) -> Iterator[None]:
    """An OSError that names this file, whatever other file the system was at; ValueError for a name that is none."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r}: {error}") from None
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise error if error.filename else OSError(f"{path}: {error}") from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_file(path: str | os.PathLike, data: bytes | str) -> None:
    """Write a file that is there only once it is complete: beside its target first, flushed, then renamed.

    A symbolic link is written through; text is UTF-8; the mode is the one that the user's umask gives.

    Raises:
        OSError: if it cannot be written, or is a folder, a pipe or a device. It names the file; nothing is left behind,
            and what was there before is as it was.
    """
    with naming_file(path):
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "found a folder, expected a file")
        if target.is_symlink():  # of links that lead to one another
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "found a pipe or a device, expected a file")
        name = os.fsdecode(os.fsencode(target.name)[:200])  # which leaves room for what follows
        beside = target.with_name(f".{name}.{secrets.token_hex(4)}")
        try:
            with open(beside, "xb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, target)
        except BaseException:
            with contextlib.suppress(OSError):
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


LANGUAGES = ("en", "fr")
LANG = "BALANCIER_LANG"  # environment variable
CATALOGS = HOME / "experiments" / "locale"  # gettext's folders
NARROW = "\u202f"  # the space within a French number
PSEUDO = "pseudo"  # a language for tests: every text of the catalog, in brackets


def language() -> str:
    """The language of texts: that of BALANCIER_LANG, else of the system where it is one of ours, else English.

    It does not change while a program runs: many texts are chosen when their module is imported.
    """
    names = LANG, "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"
    wanted = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not wanted and sys.platform == "win32":
        wanted = locale.getlocale()[0] or ""
    return PSEUDO if wanted == PSEUDO else next((code for code in LANGUAGES if wanted.lower().startswith(code)), "en")


def take_language(argv: Sequence[str]) -> list[str]:
    """The arguments without --lang, whose value is the language from now on, in processes started by this one too.

    Raises:
        ValueError: for a language that there is not.
    """
    rest, given = list(argv), os.environ.get(LANG)
    flag = LANG
    for index, word in enumerate(argv):
        if word == "--lang" or word.startswith("--lang="):
            end = index + (1 if "=" in word else 2)
            flag, given = "--lang", word.partition("=")[2] or " ".join(argv[index + 1 : end])
            rest[index:end] = []
            break
    if given and given not in (*LANGUAGES, PSEUDO):
        raise ValueError(f"{flag}: found {given}, expected {' or '.join(LANGUAGES)}")
    if flag == "--lang" and not given:
        raise ValueError(f"--lang: found nothing, expected {' or '.join(LANGUAGES)}")
    if given:
        os.environ[LANG] = given
    return rest


class Unknown(gettext.NullTranslations):
    """Answers nothing for a text that a catalog does not have."""

    def gettext(self, message: str) -> Any:
        return None


@cache
def catalog(code: str) -> gettext.NullTranslations:
    found = gettext.translation("balancier", CATALOGS, [code])
    found.add_fallback(Unknown())
    return found


def _(text: str, /, **values: Any) -> str:
    """A text in the user's language, with its {fields} filled in as by `str.format`, numbers as that language writes
    them: 1,234.5 is 1 234,5 in French.
    """
    code = language()
    known = catalog("fr" if code == PSEUDO else code).gettext(text) if code != "en" and text else None
    if code == PSEUDO and known is None:
        code = "en"  # a text that is not in the catalog is shown as it is
    text = f"⟦{text}⟧" if code == PSEUDO else known or text
    return FORMATTERS[code]().vformat(text, (), values) if values else text


def N_(text: str) -> str:
    """Marks a text for the catalog that `_` translates where it is shown."""
    return text


class FrenchFormatter(string.Formatter):
    """Fills in numbers as French writes them."""

    def format_field(self, value: Any, format_spec: str) -> str:
        text = super().format_field(value, format_spec)
        return french(text) if isinstance(value, Real) else text


class PseudoFormatter(string.Formatter):
    """Leaves what is filled in outside of the brackets, unless it was translated itself."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return f"⟧{super().format_field(value, format_spec)}⟦"


FORMATTERS = {"en": string.Formatter, "fr": FrenchFormatter, PSEUDO: PseudoFormatter}


def french(number: str) -> str:
    """A number as French writes it."""
    return number.translate({ord(","): NARROW, ord("."): ","}).replace("%", f"{NARROW}%")


def numeral(value: float, format_spec: str = ",") -> str:
    """A number as the user's language writes it: 1,234 is 1 234 in French."""
    text = format(value, format_spec)
    return french(text) if language() == "fr" else text


INTERVAL = re.compile(r"\[(-?[\d.]+), (-?[\d.]+)\]")
DECIMAL = re.compile(r"(?<![\w.,])\d+(?:\.\d+)?%?(?!\w*\.\d)")


def decimals(text: str) -> str:
    """A text whose decimals and percentages are written as the user's language writes them; for cells of tables and
    marks at axes. Thousands are left to `numeral`: 1,234 may be French already."""
    if language() != "fr":
        return text
    parts = DECIMAL.sub(lambda found: french(found[0]), INTERVAL.sub(r"[\1 ; \2]", text)).split("$")
    parts[1:-1:2] = [re.sub(r"(\d),(\d)", r"\1{,}\2", formula) for formula in parts[1:-1:2]]  # no space after the comma
    return "$".join(parts)


def keep_memory() -> None:
    """Keep what was freed for the next tensors of this process and of those that it starts.

    Linux's allocator gives every large block back at once, and each page of the next one has to be cleared again: a
    tenth of the time of lessons with large batches. The user's own settings of the allocator stay.
    """
    names = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}  # and the numbers that `mallopt` has for them
    if (
        sys.platform != "linux"
        or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
        or names.keys() & os.environ.keys()
    ):
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library has none
        mallopt = ctypes.CDLL(None).mallopt
        for name, number in names.items():
            mallopt(number, KEPT)
            os.environ[name] = str(KEPT)


def main() -> int:
    """The command `balancier`."""
    keep_memory()
    try:
        check_packages()
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    from experiments.__main__ import main as run  # not before the check: it may be the package that is hidden

    return run()
