"""A command line: flags, their bounds, and how a run ends."""

import contextlib
import dataclasses
import io
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
import tyro
from matplotlib.figure import Figure
from rich.console import RenderableType

import balancier
from agents.common.make_env import is_registered
from balancier import LANG, _, language, take_language
from experiments.common.cluster import connected
from experiments.common.flags import UsageError, check_arguments, check_flags, flag_name
from experiments.common.help import for_help, in_our_words, introduction
from experiments.common.page import Page as Page  # lessons take it from here
from experiments.common.parallel import AFTERWARDS
from experiments.common.parts import PARTS
from experiments.common.runs import PARTS_FOLDER, Metric, Run, console, find_latest

FlagsType = TypeVar("FlagsType")
Findings = TypeVar("Findings")
DRAWING = 0.6  # processor seconds of a figure and its part of the page, for the forecast alone


@dataclass(frozen=True)
class Lesson(Generic[FlagsType, Findings]):
    """A lesson in its parts; `launch` parses, checks, measures and writes.

    Args:
        flags: dataclass of the flags, bounds standing at each.
        measure: all numbers of the lesson. It knows no files; tests call it.
        figures: name -> figure, each drawn from the numbers alone.
        table: printed last; a table or several.
        result: content of result.json.
        forecast: the first line after the name: how much there is to do, and about how long it takes.
        next_command: printed as a suggestion.
        metrics: (step, metric, values, seeds) of metrics.csv, in their order; one value a seed.
        check: raises UsageError for flags that cannot be run, before anything has started.
        files: name -> text or bytes of further files of the run; a path that is absolute is taken as it is.
        inputs: the same, of files that are written before anything is measured.
        page: the words of the run's page.
        variant: another lesson, where the flags ask for it; what they say is checked first.
        report: whether the page also has all numbers of result.json, and links to the files of the run.
    """

    flags: type[FlagsType]
    measure: Callable[[FlagsType], Findings]
    figures: Callable[[Findings], dict[str, Figure]]
    table: Callable[[Findings], RenderableType | None]
    result: Callable[[Findings], dict[str, Any]]
    forecast: Callable[[FlagsType], str]
    next_command: str
    metrics: Callable[[Findings], Iterable[Metric]] = lambda findings: ()
    check: Callable[[FlagsType], object] = lambda flags: None
    files: Callable[[Findings], Mapping[str, str | bytes]] = lambda findings: {}
    inputs: Callable[[FlagsType], dict[str, str]] = lambda flags: {}
    page: Page | None = None
    report: bool = False
    variant: "Callable[[FlagsType], Lesson | None]" = lambda flags: None


def launch(name: str, launched: Lesson, argv: Sequence[str] | None, description: str | None) -> int:
    """Run a lesson from its command line; exit status as `run_command`."""

    def run(flags: Any) -> None:
        command, resumed = command_line(name, argv), None
        if getattr(flags, "resume", None) is not None:
            resumed = find_latest(flags.resume)
            named = given_flags(sys.argv[1:] if argv is None else argv)
            given = {field: getattr(flags, field) for field in named if hasattr(flags, field)}
            given |= {"file": flags.file} if getattr(flags, "file", None) else {}
            command, flags = flags_of_run(name, launched.flags, given, resumed)
        lesson = launched.variant(flags) or launched
        lesson.check(flags)
        where = getattr(flags, "scheduler", "local"), getattr(flags, "jobs", None)
        with connected(*where), contextlib.ExitStack() as after:
            forecast = lesson.forecast(flags)
            folder = Run(name, flags, command, resumed)
            for file_name, text in lesson.inputs(flags).items():
                balancier.write_file(folder.folder / file_name, text)
            console.print(_("{name}: {forecast}", name=name, forecast=forecast), highlight=False)
            drawing = DRAWING * len(lesson.page.captions if lesson.page else ())
            parts = folder.folder / PARTS_FOLDER if hasattr(flags, "resume") else None
            after.callback(AFTERWARDS.reset, AFTERWARDS.set(drawing))  # another run in this process has its own
            after.callback(PARTS.reset, PARTS.set(parts))
            findings = lesson.measure(flags)
        folder.metrics.unlink(missing_ok=True)  # those of a run that was killed while it wrote them
        for step, metric, values, seeds in lesson.metrics(findings):
            folder.log(step, metric, values, seeds)
        for figure_name, figure in lesson.figures(findings).items():
            folder.figure(figure, figure_name)
        for file_name, text in lesson.files(findings).items():
            balancier.write_file(folder.folder / file_name, text)
        folder.finish(lesson.result(findings))
        folder.close(lesson.table(findings), lesson.next_command, lesson.page, lesson.report)
        if getattr(findings, "interrupted", False):  # some lessons keep what was finished
            raise KeyboardInterrupt

    return run_command(name, launched.flags, run, argv, description, launched.page)


# Flags that change no number of a run.
FREE = {
    *("resume", "overwrite", "out", "jobs", "scheduler", "show", "format", "autosave", "live", "tensorboard"),
    "device",  # which changes their rounding alone
}


def flags_of_run(name: str, flags_class: type[FlagsType], given: dict[str, Any], folder: Path) -> tuple[str, Any]:
    """The command and the flags of the run in a folder, with those `given` now that change none of its numbers.

    UsageError, in one line, if there is no such run, or a flag given now says something else than the run's.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        command, experiment = config["command"], config["experiment"]
        words = shlex.split(str(command))[2:]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"--resume: found no run in {folder}, expected the folder of a balancier {name}") from None
    if experiment != name or {"-h", "--help"} & set(words):
        raise UsageError(f"--resume: found a run of balancier {experiment} in {folder}, expected one of {name}")
    before: Any = parse(name, flags_class, words, "")
    check_flags(before)
    for field, value in given.items():
        if field == "out" and value.resolve() != folder.resolve():
            raise UsageError(f"--out: found {value} with --resume, expected none: a run goes on in its own folder")
        if field not in FREE and not isinstance(value, Path) and value != getattr(before, field):
            expected = f"{words_of(getattr(before, field))}, as in the run"
            raise UsageError(f"{flag_name(field)}: found {words_of(value)} with --resume, expected {expected}")
    check_named_env(before, given)
    # Only the command line says where else to write.
    paths = {field: None for field, value in vars(before).items() if isinstance(value, Path)}
    free = {field: value for field, value in given.items() if field in FREE or isinstance(value, Path)}
    out = {"out": folder if before.out is not None else None}
    return command, dataclasses.replace(before, **(paths | free | out))


def check_named_env(flags: Any, given: Collection[str]) -> None:
    """Raise UsageError for an environment whose module only the run's files name: they do not say what is imported."""
    env = getattr(flags, "env", None) or ""
    if ":" in env and "env" not in given and not is_registered(env):
        raise UsageError(f"--resume: found the environment {env}, whose module is not imported, expected --env {env}")


def given_flags(argv: Sequence[str]) -> list[str]:
    """The fields that a command line names: `--eval-episodes` as eval_episodes."""
    return [word[2:].partition("=")[0].replace("-", "_") for word in argv if word.startswith("--")]


def words_of(value: Any) -> str:
    """A value as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def command_line(name: str, argv: Sequence[str] | None) -> str:
    """A run's command as it is typed."""
    return shlex.join(["balancier", name, *(sys.argv[1:] if argv is None else argv)])


class Interrupts:
    """The interrupts (SIGINT, SIGTERM) of a block of code, which ends at a good moment where it finds `number`.

    A second Ctrl-C does not wait: it raises KeyboardInterrupt where it finds the program, except while it saves. A
    second SIGTERM does wait: some programs send it to a process and to its group, so that it comes twice.
    """

    def __init__(self):
        self.number = 0  # of the first signal
        self.saving = False

    def remember(self, number: int, frame: object) -> None:
        if number == signal.SIGINT and self.number and not self.saving:
            raise KeyboardInterrupt
        self.number = self.number or number

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A block that no signal interrupts."""
        self.saving = True
        try:
            yield
        finally:
            self.saving = False


@contextlib.contextmanager
def waiting_interrupts() -> Iterator[Interrupts]:
    """Interrupts that are remembered instead of raised."""
    interrupts = Interrupts()
    handled = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupts.remember) for number in handled}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_command(
    name: str,
    flags_class: type[FlagsType],
    experiment: Callable[[FlagsType], int | None],
    argv: Sequence[str] | None,
    description: str | None,
    page: Page | None = None,
) -> int:
    """Parse the command line, run, and say how it ended: 2 for bad input or a file that cannot be written, 130 when
    interrupted (Ctrl-C), 143 when terminated (SIGTERM); else what `experiment` returns, or 0."""
    terminations: list[int] = []

    def terminate(number: int, frame: object) -> None:
        terminations.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)  # else the processes of a run would outlive it
    try:
        flags = parse(name, flags_class, argv, introduction(name, description or "", page))
        check_flags(flags)
        torch.set_num_threads(getattr(flags, "threads", 1))
        return experiment(flags) or 0
    except UsageError as error:
        print(f"balancier {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"balancier {name}: {'terminated' if terminations else 'interrupted'}", file=sys.stderr)
        return 143 if terminations else 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno is None or error.filename is None:
            raise
        print(f"balancier {name}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)


def parse(name: str, flags_class: type[FlagsType], argv: Sequence[str] | None, description: str) -> FlagsType:
    """The flags; UsageError, in one line, for a command line that has no meaning."""
    message, args = io.StringIO(), without_language(name, sys.argv[1:] if argv is None else argv)
    check_arguments(args)
    if {"-h", "--help"} & set(args):
        print(f"{description}\n")
        flags_class = for_help(flags_class)
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8") if language() != "en" else sys.stdout
    try:
        with contextlib.redirect_stderr(message), contextlib.redirect_stdout(shown):
            return tyro.cli(
                flags_class,
                args=args,
                prog=f"balancier {name}",
                description="",  # printed already, with its own lines
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as end:
        if not end.code:
            if shown is not sys.stdout:
                shown.seek(0)
                print(in_our_words(shown.read()), end="")
            raise
        words = re.sub(r"[╭╮╰╯│─]+|-{5,}", " ", message.getvalue())
        words = re.sub(r"\s+", " ", words).replace("Parsing error", "").replace("Unrecognized options", "").strip()
        raise UsageError(reworded(words.partition(" For full helptext")[0])) from None


def without_language(name: str, argv: Sequence[str]) -> list[str]:
    """The arguments without --lang; UsageError for a language that is not the one that texts were chosen in."""
    before, given = language(), os.environ.get(LANG)
    try:
        rest = take_language(argv)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if language() != before:
        found = os.environ.pop(LANG)
        os.environ |= {LANG: given} if given else {}
        raise UsageError(f"--lang: found {found} too late, expected balancier {name} --lang {found}, or {LANG}={found}")
    return rest


def reworded(words: str) -> str:
    """What tyro says about a value that it cannot read, in the form of all our messages; other words as they are."""
    flag = r"(--[\w-]+)"
    if found := re.search(rf"Error parsing {flag}: no type matching .* could be instantiated from (\[.*?\])\.", words):
        kind = "whole numbers" if re.search(r"matching \S*INT", words) else "numbers"
        return f"{found[1]}: found {' '.join(re.findall(chr(39) + '(.*?)' + chr(39), found[2]))}, expected {kind}"
    reason = "(?:invalid literal|could not convert|Could not find)"
    if found := re.search(rf"Error parsing {flag}: {reason}.*?: \[?'(.*?)'\]?", words):
        expected = "a whole number" if "int()" in words else "a number, or several"
        return f"{found[1]}: found {found[2]}, expected {expected}"
    if found := re.search(rf"[Ii]nvalid choice '(.*?)' for argument '{flag}'\. Expected one of \((.*?)\)", words):
        choices = sorted(choice for choice in re.findall(r"'(.*?)'", found[3]) if choice != "None")
        return f"{found[2]}: found {found[1]}, expected {' or '.join(choices)}"
    if found := re.search(rf"Missing value for argument '{flag}'", words):
        return f"{found[1]}: found nothing, expected a value"
    if words.startswith(": "):  # tyro's list of what it does not know
        return f"found {words[2:].replace(', ', ' ')}, expected the flags that --help lists"
    return words
