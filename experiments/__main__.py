"""`balancier`: the list of experiments, and the way into each of them."""

import contextlib
import importlib
import sys
from collections.abc import Sequence

import balancier
from balancier import _
from experiments.common.catalog import EXPERIMENTS, RENAMED, duration
from experiments.common.standins import stand_ins


def main(argv: Sequence[str] | None = None) -> int:
    """Run `balancier NAME ...`; without a name, list the experiments. --lang chooses the language of all of it."""
    try:
        name, *rest = balancier.take_language(sys.argv[1:] if argv is None else argv) or [""]
    except ValueError as error:
        print(f"balancier: {error}", file=sys.stderr)
        return 2
    if name in EXPERIMENTS:
        return run(name, rest)
    if name in RENAMED:
        print(f"balancier: found {name!r}, expected its new name: balancier {RENAMED[name]}", file=sys.stderr)
        return 2
    if name in ("", "-h", "--help"):
        show()
        return 0
    print(f"balancier: found {name!r}, expected one of {', '.join(EXPERIMENTS)}", file=sys.stderr)
    return 2


def run(name: str, argv: list[str]) -> int:
    """A lesson's `main`; where only its help is asked for, without the packages that take seconds to import."""
    if {"-h", "--help"} & set(argv) and "torch" not in sys.modules:
        with contextlib.suppress(Exception), stand_ins():  # a lesson that computes at its import gets the real ones
            return importlib.import_module(f"experiments.{name}").main(argv)
    return importlib.import_module(f"experiments.{name}").main(argv)


def show() -> None:
    """Print the experiments in the order of the course."""
    from rich.console import Console
    from rich.table import Table

    heads = _("section"), _("command"), _("description"), _("time")
    table = Table(*heads, title=_("Balancier: experiments by section of the course"))
    for name, entry in EXPERIMENTS.items():
        table.add_row(
            _(entry.section), f"balancier {name}", _(entry.text), duration(entry.seconds) if entry.seconds else ""
        )
    Console().print(table)
    print(_("balancier NAME --help explains one of them; --quick is its short form, for class."))
    print(_("The language is the system's; --lang en and --lang fr choose it, or BALANCIER_LANG=fr for every command."))


if __name__ == "__main__":
    sys.exit(main())
