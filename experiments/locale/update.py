"""Bring the catalogs of translations up to date: `python -m experiments.locale.update`, from the folder of the clone.

It collects every text that a user reads, keeps the translations that there are, drops those of texts that are gone,
compiles the catalogs, and lists what is left to translate in `fr/LC_MESSAGES/balancier.po`.
"""

import ast
import io
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from experiments.common.catalog import EXPERIMENTS
from experiments.common.help import texts_of
from experiments.exercises.sources import EXERCISES, read_source, texts

HERE = Path(__file__).resolve().parent
HOME = HERE.parents[1]
PO = HERE / "fr" / "LC_MESSAGES" / "balancier.po"


def texts_in(tree: ast.Module, is_command: bool) -> Iterator[str]:
    """The texts of a module: arguments of `_` and `N_`, what stands below flags, and what a command says first."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "N_"):
            yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))
        if isinstance(node, ast.ClassDef):
            yield from texts_of(node).values()
    if is_command:
        yield " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())


def sources() -> list[Path]:
    """The modules that may have texts; the programs of the exercises are read by themselves."""
    folders = [HOME / "envs", HOME / "experiments"]
    paths = [HOME / "balancier.py", *sorted(path for folder in folders for path in folder.rglob("*.py"))]
    return [path for path in paths if not path.name.startswith("program_") and path != Path(__file__).resolve()]


def collect() -> dict[str, list[str]]:
    """Every text that a user reads, and the files that it stands in."""
    found: dict[str, list[str]] = {}
    for path in sources():
        is_command = path.parent.name == "experiments" and path.stem in EXPERIMENTS
        for text in texts_in(ast.parse(path.read_text(encoding="utf-8")), is_command):
            found.setdefault(text, []).append(path.relative_to(HOME).as_posix())
    for exercise in EXERCISES.values():
        for text in texts(read_source(exercise)):
            found.setdefault(text, []).append(exercise.source.relative_to(HOME).as_posix())
    return {text: sorted(set(files)) for text, files in found.items() if text}


def updated() -> Catalog:
    """The catalog with the texts of today and the translations of its file."""
    with open(PO, "rb") as file:
        known = read_po(file, locale="fr")
    catalog = Catalog(locale="fr", fuzzy=False, header_comment="# French texts of Balancier.")
    for text, files in sorted(collect().items(), key=lambda item: (item[1], item[0])):
        message = known.get(text)
        catalog.add(text, message.string if message else "", [(file, 1) for file in files])
    return catalog


def as_files(catalog: Catalog) -> tuple[bytes, bytes]:
    """The file that people edit, and the compiled one. They hold no date, so the same texts give the same bytes."""
    catalog.revision_date = catalog.creation_date = datetime(2026, 1, 1, tzinfo=UTC)
    po, mo = io.BytesIO(), io.BytesIO()
    write_po(po, catalog, width=120, omit_header=True, include_lineno=False)
    write_mo(mo, catalog)
    return HEADER.encode() + po.getvalue(), mo.getvalue()


HEADER = 'msgid ""\nmsgstr ""\n"Language: fr\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n\n'


def main() -> int:
    catalog = updated()
    po, mo = as_files(catalog)
    PO.write_bytes(po)
    PO.with_suffix(".mo").write_bytes(mo)
    missing = [message for message in catalog if message.id and not message.string]
    for message in missing:
        print(f"{', '.join(file for file, _line in message.locations)}: {message.id!r}")
    print(f"{len(catalog)} texts, {len(missing)} of them without a translation")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
