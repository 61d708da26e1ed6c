"""What --help says: the flags with their texts, and a short lesson before them, in the user's language."""

import ast
import contextlib
import dataclasses
import inspect
import itertools
import re
import textwrap
import typing
from pathlib import Path
from typing import Annotated, Any

import tyro

from balancier import N_, _, language
from experiments.common.catalog import time_words
from experiments.common.page import Page


def for_help(flags_class: type) -> Any:
    """The flags for --help in the user's language; of a default that is nothing, the flag's own text alone speaks.

    A flag whose type is such a class, too, is treated likewise.
    """
    hints, texts, changed = typing.get_type_hints(flags_class, include_extras=True), flag_texts(flags_class), {}
    fields = dataclasses.fields(flags_class)
    for field in fields:
        kind, *notes = typing.get_args(hints[field.name]) if is_annotated(hints[field.name]) else (hints[field.name],)
        if dataclasses.is_dataclass(kind):
            note = tyro.conf.arg(help=_(texts[field.name]))
            changed[field.name] = Annotated[(for_help(kind), *notes, note)]  # type: ignore[misc, arg-type]
            continue
        said = any(getattr(note, "help_behavior_hint", None) is not None for note in notes)
        empty = field.default is None or field.default is False or field.default == ()
        note = tyro.conf.arg(
            help=next((note.help for note in notes if getattr(note, "help", None)), None) or _(texts[field.name]),
            help_behavior_hint=None if said else "" if empty else lambda value: _("(default: {value})", value=value),
            metavar=metavar(hints[field.name], empty and not said),
        )
        changed[field.name] = Annotated[(hints[field.name], note)]  # type: ignore[misc]
    copied: dict[str, Any] = {name: getattr(flags_class, name) for name in ("__module__", "__qualname__")}
    copied |= {"__doc__": flags_class.__doc__, "__annotations__": changed}
    for field in fields:
        if field.default_factory is not dataclasses.MISSING:
            copied[field.name] = dataclasses.field(default_factory=typing.get_args(changed[field.name])[0])
    shown: Any = type(flags_class.__name__, (flags_class,), copied)
    return dataclasses.dataclass(frozen=True)(shown)


def is_annotated(hint: Any) -> bool:
    return typing.get_origin(hint) is Annotated


def flag_texts(flags_class: type) -> dict[str, str]:
    """The text that stands below each flag in the source of its class and of those that it extends."""
    texts: dict[str, str] = {}
    for kind in reversed(flags_class.__mro__):
        if dataclasses.is_dataclass(kind):
            with contextlib.suppress(OSError):  # a class that was made while the program ran
                texts |= texts_of(ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0])
    return texts


def texts_of(node: ast.AST) -> dict[str, str]:
    """The same of one class as Python parsed it."""
    return {
        flag.target.id: " ".join(str(text.value.value).split())
        for flag, text in itertools.pairwise(getattr(node, "body", []))
        if isinstance(flag, ast.AnnAssign) and isinstance(flag.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


# tyro's own words in its help.
TYRO = (
    N_("usage:"),
    N_("show this help message and exit"),
    N_("positional arguments"),
    N_("pendulum options"),
    N_("options"),
)


def in_our_words(text: str) -> str:
    """What tyro prints, with its own words in the user's language and its frames where they were."""
    for word in TYRO:
        if (new := _(word)) != word:
            line = re.compile(rf"(?<=[ ─]){re.escape(word)}(?= )(.*?)( *│| ─*╮|$)|^{re.escape(word)}", re.MULTILINE)
            text = line.sub(lambda found, new=new: replaced(found, new), text)
    return text


def replaced(found: re.Match[str], new: str) -> str:
    """A word replaced, and the filling up to the frame made longer or shorter by as much."""
    if found[2] is None:
        return new
    more = len(new) + len(found[1]) + len(found[2]) - len(found[0])
    filling, frame = found[2][:-1], found[2][-1:]
    fill = "─" if "─" in filling else " "
    return new + found[1] + (filling[: len(filling) - more] if more > 0 else filling + fill * -more) + frame


WORDS = {int: N_("INT"), float: N_("FLOAT"), str: N_("STR"), Path: N_("PATH")}  # tyro's, for the value of a flag


def metavar(hint: Any, empty: bool) -> str | None:
    """The word for the value of a flag in the user's language: INT for a whole number, optional or not, and so on.

    None where tyro's is right.
    """
    own = next((note.metavar for note in getattr(hint, "__metadata__", ()) if getattr(note, "metavar", None)), None)
    if own:
        return re.sub(rf"\b({'|'.join(WORDS.values())})\b", lambda found: _(found[0]), own)
    if "Literal" in str(hint):
        return None
    kinds = [kind for kind in WORDS if re.search(rf"\b{kind.__name__}\b", str(hint))]
    several = " ..." if "tuple[" in str(hint) else ""
    if not kinds or not (language() != "en" or (empty and (several or re.search("None|Optional", str(hint))))):
        return None
    word = _(WORDS[kinds[0]])
    fixed = len(re.findall(rf"\b{kinds[0].__name__}\b", str(hint))) if several and "..." not in str(hint) else 0
    return " ".join([word] * fixed) if fixed else word + several


def introduction(name: str, description: str, page: Page | None) -> str:
    """The first paragraph of a lesson's text and the example commands after it, its figures, and how long it takes."""
    first, *others = description.split("\n\n")
    first = _(" ".join(first.split()))
    examples = list(itertools.takewhile(lambda paragraph: paragraph.startswith("balancier "), others))
    figures = _("Figures: {names}.", names=", ".join(page.captions)) if page and page.captions else ""
    first, figures = (textwrap.fill(text, 80, break_on_hyphens=False) for text in (first, figures))
    examples = [" ".join(example.split()) for example in examples] or [f"balancier {name}"]
    return "\n\n".join(text for text in (first, *examples, figures, time_words(name)) if text)
