"""Speed: steps of the batched pendulum, what updates and memory cost, and the time until an agent has learned.

balancier bench --tables threshold

balancier bench --save before.json

Ours are measured beside what they should be compared with: Gymnasium's SyncVectorEnv, a bare loop of NumPy, PyTorch's
`nn.GRU`, and Stable-Baselines3 (SB3). All numbers are processor seconds on one thread; close all other programs.
`--tables` chooses what is measured. "threshold" trains SB3 too, so it takes long and has to be asked for.

`--save` keeps the numbers in a file, and `--against` compares them with such a file. So you see whether a change of the
code made something slower.

S seed, N environments of one seed, B minibatch, T steps of a rollout.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from matplotlib.figure import Figure
from rich.table import Table

from agents import AGENTS
from balancier import N_, _, numeral
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, UsageError, above, at_least
from experiments.common.hyperparams import DISCRETE, PENDULUM
from experiments.common.parallel import ProgressBar, duration
from experiments.common.race import Race, race
from experiments.common.runs import machine
from experiments.common.speed import (
    STEPPERS,
    memory_of_a_seed,
    recurrent_cost,
    steps_per_second,
    update_cost,
    variants,
)

SIZES = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536)
SYNC_SIZES = (1, 4, 16, 64, 256, 1024)  # beyond, SyncVectorEnv only takes longer to make
SEED_COUNTS = (1, 2, 5, 10, 20, 64)
VARIED = ("ppo", "sac")  # agents for which one number after the other is changed
BATCHES = (32, 256)  # of the recurrent network
RACES = (
    ("ppo", "CartPole-v1"), ("ppo", PENDULUM), ("sac", PENDULUM), ("td3", PENDULUM),
    ("dqn", "CartPole-v1"), ("dqn", DISCRETE), ("a2c", "CartPole-v1"),
)  # fmt: skip
SLOWER = 1.2  # times the saved cost: from here on a number is marked
# Processor seconds of each table, roughly, for the forecast alone; with --quick half of them.
COST = {"stepping": 33, "seeds": 27, "sizes": 13, "recurrent": 12, "memory": 1, "threshold": 1000}
TableName = Literal["stepping", "seeds", "sizes", "recurrent", "memory", "threshold"]


@dataclass(frozen=True)
class Bench(Flags):
    """Steps of the batched pendulum, what updates and memory cost, and the time until an agent has learned."""

    seeds: Annotated[int, at_least(1)] = 64
    """The largest number of seeds to train together; ten at most in the tables sizes, recurrent and threshold."""
    budget: Annotated[float, above(0)] = 1.0
    """Processor seconds for each measurement of stepping."""
    tables: tuple[TableName, ...] = ("stepping", "seeds", "sizes", "recurrent", "memory")
    """What to measure."""
    baseline_seeds: Annotated[int, at_least(1)] = 3
    """Seeds of Stable-Baselines3 in the table threshold, of which the median one counts."""
    save: Path | None = None
    """File that keeps the numbers, for --against."""
    against: Annotated[Path | None, tyro.conf.arg(help=_("File that --save wrote: numbers to compare with."))] = None

    @property
    def ten_seeds(self) -> range:
        return range(self.seed, self.seed + min(10, self.seeds))


Numbers = dict[str, dict[str, float]]  # row -> column -> number


@dataclass
class Findings:
    """The numbers of each table that was asked for; the others are empty."""

    stepping: Numbers = field(default_factory=dict)  # steps per second: "balancier", "bare" or "sync" -> environments
    seeds: Numbers = field(default_factory=dict)  # agent -> seeds -> processor milliseconds of 1000 steps of every seed
    sizes: Numbers = field(default_factory=dict)  # agent -> what was changed -> the same
    recurrent: Numbers = field(default_factory=dict)  # batch -> "ten GRUs" or "nn.GRU" -> milliseconds of a step
    memory: Numbers = field(default_factory=dict)  # "megabytes" -> part -> megabytes of a seed
    threshold: Numbers = field(default_factory=dict)  # agent and environment -> column -> number
    before: dict[str, Numbers] | None = None  # the same of another run
    save: Path | None = None  # where the numbers are kept

    @property
    def numbers(self) -> dict[str, Numbers]:
        names = ("stepping", "seeds", "sizes", "recurrent", "memory", "threshold")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    def changes(self) -> Iterator[tuple[str, float, float, float]]:
        """Every number that both runs have: its name, before, now, and how many times the cost of before it is."""
        for table, rows in (self.before or {}).items():
            for row, columns in rows.items():
                for column, before in columns.items():
                    now = self.numbers.get(table, {}).get(row, {}).get(column)
                    if now and before and np.isfinite([now, before]).all() and column != "ratio":
                        cost = before / now if table == "stepping" else now / before
                        yield f"{table}: {row}, {column}", before, now, cost


# Measuring


def check(flags: Bench) -> None:
    """Raise UsageError for no table, and for a file that cannot be read or written."""
    if not flags.tables:
        raise UsageError(f"--tables: found none, expected some of {', '.join(COST)}")
    read_numbers(flags.against)
    if flags.save is not None and not flags.save.absolute().parent.is_dir():
        raise UsageError(f"--save: found no folder {flags.save.absolute().parent}, expected the folder of a new file")


def read_numbers(path: Path | None) -> dict[str, Numbers] | None:
    """What --save wrote."""
    if path is None:
        return None
    try:
        numbers = json.loads(path.read_text())
        good = all(
            isinstance(x, float | int) for rows in numbers.values() for row in rows.values() for x in row.values()
        )
    except (OSError, ValueError, AttributeError):
        good = False
    if not good:
        raise UsageError(f"--against: found {path}, which holds no numbers of a benchmark, expected a file of --save")
    return numbers


def measure(flags: Bench) -> Findings:
    budget, findings = (
        flags.budget / 5 if flags.quick else flags.budget,
        Findings(before=read_numbers(flags.against), save=flags.save),
    )
    counts = [count for count in (SEED_COUNTS[:4] if flags.quick else SEED_COUNTS) if count <= flags.seeds]
    seeds = flags.ten_seeds
    tasks: list[tuple[str, str, str, Callable[[], float]]] = []  # table, row, column, measurement
    for name, make in STEPPERS.items():
        for n in SYNC_SIZES if name == "sync" else SIZES:
            tasks.append(("stepping", name, str(n), lambda n=n, make=make: steps_per_second(make(n), n, budget)))
    for name in AGENTS:
        for count in counts:
            together = range(flags.seed, flags.seed + count)
            tasks.append(("seeds", name, str(count), lambda a=name, s=together: update_cost(a, s)))
    for name in VARIED:
        for words, change in variants(name).items():
            tasks.append(("sizes", name, words, lambda a=name, c=change: update_cost(a, seeds, **c)))
    tasks = [task for task in tasks if task[0] in flags.tables]
    slow = [task for task in ("recurrent", "memory", "threshold") if task in flags.tables]
    weights = {name: COST[name] / max(1, sum(task[0] == name for task in tasks)) for name in COST}
    with ProgressBar(sum(COST[name] for name in set(flags.tables)), _("measuring")) as progress:
        for table, row, column, measure_one in tasks:
            getattr(findings, table).setdefault(row, {})[column] = measure_one()
            progress.advance(weights[table])
        if "recurrent" in slow:
            findings.recurrent = {str(batch): gru(batch, len(seeds), budget) for batch in BATCHES}
            progress.advance(COST["recurrent"])
        if "memory" in slow:
            findings.memory = {N_("megabytes"): memory_of_a_seed()}
            progress.advance(COST["memory"])
        if "threshold" in slow:
            for agent, env in RACES[:1] if flags.quick else RACES:
                findings.threshold[f"{agent} on {env.removeprefix('balancier/')}"] = both_races(agent, env, flags)
                progress.advance(COST["threshold"] / len(RACES))
    return findings


def gru(batch: int, seeds: int, budget: float) -> dict[str, float]:
    ours, theirs = recurrent_cost(batch, seeds, budget)
    return {f"{seeds} GRUs": ours, "nn.GRU": theirs, N_("ratio"): ours / theirs}


def both_races(agent: str, env: str, flags: Bench) -> dict[str, float]:
    """Ours and SB3's to the threshold: nine of ten seeds of ours, the median seed of SB3's."""
    ours = race(agent, env, "balancier", flags.ten_seeds)
    theirs = race(agent, env, "sb3", range(flags.seed, flags.seed + flags.baseline_seeds))
    return compared(ours, theirs)


def compared(ours: Race, theirs: Race) -> dict[str, float]:
    last = int(np.ceil(0.9 * len(ours.steps))) - 1  # nine of ten
    middle = len(theirs.steps) // 2
    seconds, their_seconds = np.sort(ours.seconds)[last], np.sort(theirs.seconds)[middle]
    return {
        N_("steps"): float(np.sort(ours.steps)[last]),
        N_("seconds"): float(seconds),
        N_("SB3's steps"): float(np.sort(theirs.steps)[middle]),
        N_("SB3's seconds"): float(their_seconds),
        "ratio": float(seconds / their_seconds) if np.isfinite(their_seconds) else float("nan"),
    }


# Output


def files(findings: Findings) -> dict[str, str]:
    return {str(findings.save.absolute()): json.dumps(findings.numbers, indent=1)} if findings.save else {}


def result(findings: Findings) -> dict[str, Any]:
    measured: dict[str, Any] = {"machine": machine()}
    if speeds := findings.stepping:
        measured |= {"steps_per_second": speeds}
        if "4096" in speeds["balancier"]:
            measured["ratio_at_4096"] = speeds["balancier"]["4096"] / max(speeds["sync"].values())
    if findings.seeds:
        measured["milliseconds_per_1000_steps"] = findings.seeds
    measured |= {name: rows for name, rows in findings.numbers.items() if name not in ("stepping", "seeds")}
    if findings.before is not None:
        measured["against"] = {name: cost for name, _, _, cost in findings.changes()}
    return measured


def figures(findings: Findings) -> dict[str, Figure]:
    plots = {"stepping": plot_stepping, "seeds": plot_seeds, "threshold": plot_threshold}
    return {name: plot(getattr(findings, name)) for name, plot in plots.items() if getattr(findings, name)}


def table(findings: Findings) -> Table:
    """All tables, one below the other."""
    makers = {
        "stepping": stepping_table, "seeds": seed_table, "sizes": size_table, "recurrent": recurrent_table,
        "memory": memory_table, "threshold": threshold_table,
    }  # fmt: skip
    together = Table.grid()
    for name, numbers in findings.numbers.items():
        together.add_row(makers[name](numbers))
    if findings.before is not None:
        together.add_row(change_table(findings))
    return together


def in_words(name: str) -> str:
    """A name in the numbers, which are English, in the user's language."""
    if found := re.fullmatch(r"(\d+) GRUs", name):
        return _("{count} GRUs", count=int(found[1]))
    if found := re.fullmatch(r"width (\d+)", name):
        return _("width {width}", width=int(found[1]))
    if found := re.fullmatch(r"(\w+) on (\S+)", name):
        return _("{agent} on {env}", agent=found[1], env=found[2])
    return ", ".join(map(in_words, name.split(", "))) if ", " in name else _(name)


def right_table(title: str, *names: str) -> Table:
    table = Table(title=title)
    for name in names:
        table.add_column(in_words(name), justify="left" if name in ("", "agent", "changed", "number") else "right")
    return table


def stepping_table(measured: Numbers) -> Table:
    best, names = max(measured["sync"].values()), (N_("environments"), "Balancier", N_("bare NumPy"), "SyncVectorEnv")
    title = _("Steps per second of the pendulum, one core, resets included")
    table = right_table(title, *names, N_("share of bare"), N_("ratio to Sync's best"))
    for n, speed in measured["balancier"].items():
        bare, theirs = measured["bare"][n], measured["sync"].get(n)
        numbers = numeral(speed, ",.0f"), numeral(bare, ",.0f"), numeral(theirs, ",.0f") if theirs else ""
        table.add_row(numeral(int(n)), *numbers, f"{speed / bare:.2f}", numeral(speed / best, ",.1f"))
    return table


def seed_table(costs: Numbers) -> Table:
    title = _("Processor milliseconds for a thousand steps of every seed (share of each)")
    table = right_table(title, N_("seeds"), *costs)
    for seeds in next(iter(costs.values())):
        shown = [(numeral(cost[seeds], ",.0f"), numeral(cost[seeds] / int(seeds), ",.0f")) for cost in costs.values()]
        cells = (f"{together} ({each})" for together, each in shown)
        table.add_row(seeds, *cells)
    return table


def size_table(costs: Numbers) -> Table:
    table = right_table(_("The same for ten seeds, with one number changed"), N_("changed"), *costs)
    for words in dict.fromkeys(words for cost in costs.values() for words in cost):
        table.add_row(
            in_words(words), *(numeral(cost[words], ",.0f") if words in cost else "" for cost in costs.values())
        )
    return table


def recurrent_table(costs: Numbers) -> Table:
    columns = next(iter(costs.values()))
    table = right_table(_("Milliseconds of a training step, 100 steps, 64 units"), N_("batch"), *columns)
    for batch, row in costs.items():
        table.add_row(batch, *(numeral(number, ",.1f") for number in row.values()))
    return table


def memory_table(sizes: Numbers) -> Table:
    table = right_table(_("Memory of one seed, full, with the tuned settings"), "", N_("megabytes"))
    for part, size in sizes["megabytes"].items():
        table.add_row(in_words(part), numeral(size, ",.2f"))
    return table


def threshold_table(rows: Numbers) -> Table:
    columns = next(iter(rows.values()))
    title = _("To the threshold: nine of ten seeds of ours, SB3's median seed")
    table = right_table(title, N_("agent"), *columns)
    for name, row in rows.items():
        cells = [_("never") if np.isinf(x) else "-" if np.isnan(x) else numeral(x, ",.2f") for x in row.values()]
        table.add_row(in_words(name), *(re.sub("[.,]00$", "", cell) for cell in cells))
    return table


def change_table(findings: Findings) -> Table:
    names = N_("number"), N_("before"), N_("now"), N_("cost now / before")
    table = right_table(_("Against the saved numbers"), *names)
    for name, before, now, cost in findings.changes():
        which, number = name.split(": ", 1)
        shown = _("{cost:.2f} slower", cost=cost) if cost > SLOWER else f"{cost:.2f}"
        shown = _("{cost:.2f} faster", cost=cost) if cost < 1 / SLOWER else shown
        name = _("{table}: {number}", table=which, number=in_words(number))
        table.add_row(name, numeral(before, ",.4g"), numeral(now, ",.4g"), shown)
    return table


def plot_stepping(measured: Numbers) -> Figure:
    best = max(measured["balancier"].values()) / max(measured["sync"].values())
    figure, (axes,) = plotting.slide(
        _("A batch steps up to {best:,.0f} times as many pendulums a second as SyncVectorEnv", best=best)
    )
    for name, label, color in (
        ("bare", _("bare NumPy, no resets"), plotting.GRAY),
        ("balancier", _("Balancier's batch"), plotting.BLUE),
        ("sync", _("Gymnasium's SyncVectorEnv"), plotting.ORANGE),
    ):
        axes.loglog([int(n) for n in measured[name]], list(measured[name].values()), "o-", color=color, label=label)
    axes.set_xlabel(_("environments"))
    axes.set_ylabel(_("steps per second, one core"))
    axes.legend()
    return figure


def plot_seeds(costs: Numbers) -> Figure:
    most = max(max(map(int, cost)) for cost in costs.values())
    words = ", ".join(f"{cost[str(most)] / cost['1']:.0f} ({name.upper()})" for name, cost in costs.items())
    title = _("{count} seeds together cost as much as {costs} alone", count=most, costs=words)
    figure, (axes,) = plotting.slide(title)
    for color, (name, cost) in zip(plotting.COLORS, costs.items(), strict=False):
        seeds = np.array([int(count) for count in cost])
        axes.loglog(seeds, np.array(list(cost.values())) / cost["1"], "o-", color=color, label=name.upper())
    axes.loglog(seeds, seeds, color=plotting.GRAY, linestyle=":", label=_("one after another"))
    axes.set_xticks(seeds, [str(s) for s in seeds])
    axes.minorticks_off()
    axes.set_xlabel(_("seeds trained together"))
    axes.set_ylabel(_("cost, one seed = 1"))
    axes.legend()
    return figure


def plot_threshold(rows: Numbers) -> Figure:
    won = sum(row["ratio"] < 1 for row in rows.values())
    lesson = _("Ten seeds of ours learn sooner than one of SB3's on {won} of {count} tasks", won=won, count=len(rows))
    figure, (axes,) = plotting.slide(lesson)
    y = np.arange(len(rows))[::-1]
    for offset, key, label, color in (
        (0.2, "seconds", _("nine of ten seeds of ours"), plotting.BLUE),
        (-0.2, "SB3's seconds", _("SB3's median seed"), plotting.ORANGE),
    ):
        seconds = np.array([row[key] for row in rows.values()])
        axes.barh(y + offset, np.where(np.isfinite(seconds), seconds, 0), 0.38, color=color, label=label)
        for at, value in zip(y + offset, seconds, strict=True):
            words = f"{value:.1f}" if np.isfinite(value) else _("never")
            axes.text(value if np.isfinite(value) else 0, at, f" {words}", va="center")
    axes.set_yticks(y, [in_words(name) for name in rows])
    axes.set_xlabel(_("processor seconds to the threshold"))
    axes.margins(x=0.12)
    axes.grid(False)
    axes.legend()
    return figure


PAGE = Page(
    question=_("How much faster is one program for many pendulums, or many seeds, than one after another?"),
    formula=(_("speed $=$ steps / processor seconds"), _("cost of $S$ seeds $=$ time together / time of one")),
    captions={
        "stepping": _(
            "A batch of pendulums is stepped by the same few array operations, however many there are. SyncVectorEnv "
            "steps one after another, so its speed hardly grows."
        ),
        "seeds": _(
            "The dotted line is the cost of one training after another. Trainings that share their operations cost far "
            "less, as long as the operations are small."
        ),
        "threshold": _(
            "Each bar ends where three evaluations in a row were at the threshold: for ours that of the ninth of ten "
            "seeds, which train together. For SB3 it is the median seed, alone."
        ),
    },
    what_if=(
        ("balancier bench --tables stepping --quick", _("are the ratios the same in a shorter run?")),
        (
            "balancier bench --tables threshold",
            _("how soon have our ten seeds learned, and how soon has one of SB3's?"),
        ),
        ("balancier train --seeds 1", _("how long does one seed take, and how long do ten?")),
    ),
)


def forecast(flags: Bench) -> str:
    seconds = sum(COST[name] for name in set(flags.tables)) / (2 if flags.quick else 1)
    return _("about {time}; close all other programs", time=duration(seconds))


LESSON = Lesson(
    flags=Bench,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier compare, where this speed is put to use"),
    check=check,
    files=files,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("bench", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
