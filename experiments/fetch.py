"""Download all data sets ahead, for a room without a network: the passengers of the Titanic, CIFAR-10, and recordings
of a real pendulum. They go into the cache folder, where `balancier titanic`, `cifar` and `real` find them; the
environment variable BALANCIER_CACHE names another folder. A data set that is there already is not downloaded again.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from balancier import _
from envs.cache import cache_folder
from experiments.common import cifar_data, downloads, recordings, titanic_data
from experiments.common.command import run_command
from experiments.common.flags import UsageError
from experiments.common.runs import console

# name -> (size of the download, what downloads it)
DATA: dict[str, tuple[str, Callable[[], Path]]] = {
    "titanic": (_("60 kB"), lambda: downloads.fetch(titanic_data.URL, titanic_data.SHA256, "titanic.csv")),
    "cifar": (_("170 MB"), cifar_data.download),
    **{name: (_("150 kB"), partial(recordings.download, name)) for name in recordings.PUBLIC},
}


@dataclass(frozen=True)
class Fetch:
    """No flags: all data sets."""


def fetch(flags: Fetch) -> int:
    sizes = ", ".join(f"{name} ({size})" for name, (size, __) in DATA.items())
    line = _("fetch: {sizes} into {folder}", sizes=sizes, folder=cache_folder() or _("no folder"))
    console.print(line, highlight=False, soft_wrap=True)
    failed = False
    for name, (__, get) in DATA.items():
        try:
            path = get()
        except UsageError as error:
            found = str(error).removeprefix("--data: ").partition(", expected")[0]
            print(f"balancier fetch: {name}: {found}, expected a network and a folder to write to", file=sys.stderr)
            failed = True
        else:
            line = _("{name}: {path}, {size:,.1f} MB", name=name, path=path, size=size_of(path) / 1e6)
            console.print(line, highlight=False, soft_wrap=True)
    return 2 if failed else 0


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(each.stat().st_size for each in path.iterdir())


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("fetch", Fetch, fetch, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
