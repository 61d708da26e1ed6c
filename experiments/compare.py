"""Our agents and Stable-Baselines3's (SB3's) in the same environments, tested on the same starts. The figures show the
return while they learn, the returns of the test, and the processor time.

A seed is one independent training. Ours train all their seeds at once, in one process; SB3 trains one seed a process.
SB3 has the settings that its zoo publishes (SB3's defaults where the zoo has none), and trains as long as the zoo says
for this environment, and never for fewer steps than ours; --steps gives both the same number. Both are evaluated forty
times during training on the same 20 validation starts, and in the end on the same test starts. An agent has reached the
threshold when three evaluations in a row are at or above it.

The interquartile mean (IQM) is the mean of the middle half of the seeds. A quarter of the weight goes from each end,
whatever the number of seeds: of three seeds the weights are 1/6, 2/3 and 1/6. The regret is its distance from the
return of the optimal controller, where that is known. Seconds are those of the processor, of the training process, on
one thread, without evaluations.

S seed, E evaluations, n test starts.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS, Agent
from agents.common.make_env import find_spec
from agents.evaluation import TEST_SEED
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.baselines import (
    DEFAULTS,
    SB3_COST,
    NormalizedModel,
    check_baseline,
    left_out,
    make_baseline,
    zoo_for_ours,
    zoo_settings,
)
from experiments.common.command import Lesson, launch
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import setting, tuned
from experiments.common.parallel import INTERRUPTED, Failure, Job, duration, run_all, wall_seconds
from experiments.common.runs import Metric, machine
from experiments.common.statistics import (
    first_crossing,
    interquartile_mean,
    permutation_p_value,
    probability_of_improvement,
)
from experiments.common.training import (
    EvaluationCallback,
    Training,
    budget,
    default_env,
    make,
    summary,
    train_agent,
)
from experiments.common.training import forecast as training_seconds

EVALUATIONS = 40  # of each training
SIGNIFICANT = 0.05  # p-value below which one library is said to have the higher return
THRESHOLDS = {"balancier/Pendulum-v0": -200.0, "balancier/PendulumDiscrete-v0": -200.0, "Pendulum-v1": -200.0}
LIBRARIES = {"balancier": "Balancier", "sb3": "Stable-Baselines3"}
COLORS = {"balancier": plotting.BLUE, "sb3": plotting.ORANGE}


@dataclass(frozen=True)
class Compare(ParallelFlags):
    """Our agents and Stable-Baselines3's in the same environments, tested on the same starts."""

    agents: Annotated[
        tuple[str, ...],
        tyro.conf.arg(help=f"all, or some of {', '.join(AGENTS)}; an agent that SB3 lacks stands alone."),
    ] = ("sac", "ppo", "dqn")
    env: str | None = None
    """A Gymnasium id for all of them (default: the pendulum; for dqn the one with discrete torques)."""
    steps: Annotated[int, at_least(EVALUATIONS)] | None = None
    """Steps of each seed, the same for both (default: ours as tuned, SB3 as long as its zoo says and never shorter)."""
    baseline_seeds: Annotated[int, at_least(0)] = 3
    """Seeds of Stable-Baselines3; 0 leaves it out."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each seed."""
    settings: Literal["own", "zoo"] = "own"
    """Hyper-parameters and steps of our agents: our own, or those of SB3's zoo, as far as ours have them."""

    @property
    def names(self) -> list[str]:
        """The agents to compare, as they were asked for."""
        return list(AGENTS) if self.agents == ("all",) else list(self.agents)

    @property
    def seeds_of_sb3(self) -> list[int]:
        count = min(self.baseline_seeds, 1) if self.quick else self.baseline_seeds
        return [self.seed + i for i in range(count)]


@dataclass(frozen=True)
class Entry:
    """An agent of one library in one environment, with its budget."""

    package: Literal["balancier", "sb3"]
    agent: str
    env: str
    steps: int  # of each seed
    settings: Literal["own", "zoo"]  # hyper-parameters of ours
    episodes: int  # of the test

    @property
    def starts(self) -> range:
        return range(TEST_SEED, TEST_SEED + self.episodes)

    @property
    def env_name(self) -> str:
        return self.env.rpartition(":")[2].removeprefix("balancier/")

    @property
    def threshold(self) -> float | None:
        """The return that counts as solved: -200 on the pendulum, elsewhere Gymnasium's reward threshold."""
        return THRESHOLDS.get(self.env.rpartition(":")[2], find_spec(self.env).reward_threshold)


@dataclass(frozen=True)
class Row:
    """All seeds of an entry: a row of the table."""

    entry: Entry
    trainings: dict[tuple[int, ...], Training]  # those seeds trained in one process
    optimal: np.ndarray | None  # (n,), return of the optimal controller from each test start; None where not known

    @property
    def seeds(self) -> list[int]:
        return [seed for seeds in self.trainings for seed in seeds]

    @property
    def test_returns(self) -> np.ndarray:
        """(S, n)."""
        return np.concatenate([training.test_returns for training in self.trainings.values()])

    @property
    def returns(self) -> np.ndarray:
        """Mean test return of each seed, (S,)."""
        return self.test_returns.mean(1)

    @property
    def optimum(self) -> float | None:
        return None if self.optimal is None else float(self.optimal.mean())

    @property
    def curves(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps (E,), mean seconds (E,) and returns (E, S) of the evaluations that all seeds had."""
        trainings = list(self.trainings.values())
        length = min(len(training.steps) for training in trainings)
        seconds = np.mean([training.seconds[:length] for training in trainings], 0)
        return trainings[0].steps[:length], seconds, np.concatenate([t.curve[:length] for t in trainings], 1)

    def to_threshold(self, unit: Literal["steps", "seconds"]) -> list[Any]:
        """Steps or seconds until each seed reached the threshold; None where it never did."""
        if self.entry.threshold is None:
            return [None] * len(self.seeds)
        values = []
        for training in self.trainings.values():
            axis = getattr(training, unit)
            indices = first_crossing(training.curve, self.entry.threshold)
            values += [None if index < 0 else axis[index] for index in indices]
        return values

    @property
    def train_seconds(self) -> list[float]:
        """Of each process: of all seeds together (ours), or of each (SB3)."""
        return [training.train_seconds for training in self.trainings.values()]

    @property
    def seconds_per_seed(self) -> float:
        return sum(self.train_seconds) / len(self.seeds)

    def result(self) -> dict[str, Any]:
        entry, ours = self.entry, self.entry.package == "balancier"
        return {
            "library": entry.package,
            "agent": entry.agent,
            "env": entry.env,
            "seeds": len(self.seeds),
            "steps": entry.steps,
            "train_seconds": self.train_seconds[0] if ours else self.train_seconds,
            **summary(self.returns, self.optimum),
            "optimum": self.optimum,
            "threshold": entry.threshold,
            "steps_to_threshold": self.to_threshold("steps"),
            "seconds_to_threshold": self.to_threshold("seconds"),
        }


@dataclass(frozen=True)
class Findings:
    """One row for each agent and library: agent by agent, ours first. Trainings that failed are in no row."""

    rows: list[Row]
    failures: dict[Job, Failure] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        return any(failure.message == INTERRUPTED for failure in self.failures.values())

    @property
    def agents(self) -> list[str]:
        return list(dict.fromkeys(row.entry.agent for row in self.rows))

    def rows_of(self, agent: str) -> list[Row]:
        return [row for row in self.rows if row.entry.agent == agent]

    @property
    def pairs(self) -> list[dict[str, Any]]:
        """Ours beside SB3's, for each agent that both have."""
        return [pair(*rows) for rows in map(self.rows_of, self.agents) if len(rows) == 2]


def pair(ours: Row, theirs: Row) -> dict[str, Any]:
    """How much faster a seed of ours trains for as many steps, and who has the higher return in the end.

    The speed-up is the ratio of the processor seconds that a step of a seed costs, SB3's over ours. "undecided" is the
    return that is higher if chance alone would set the seeds as far apart in one of twenty cases, or more often.
    """
    improvement = probability_of_improvement(ours.returns, theirs.returns)
    p_value = permutation_p_value(ours.returns, theirs.returns)
    better = "balancier" if improvement > 0.5 else "sb3"
    return {
        "agent": ours.entry.agent,
        "speedup": (theirs.seconds_per_seed / theirs.entry.steps) / (ours.seconds_per_seed / ours.entry.steps),
        "probability_of_improvement": improvement,
        "p_value": p_value,
        "higher_return": better if p_value < SIGNIFICANT else "undecided",
    }


# Training


def make_ours(entry: Entry, seeds: Sequence[int]) -> Agent:
    """An agent of ours; UsageError if it cannot be made."""
    zoo = entry.settings == "zoo"
    keywords = zoo_for_ours(entry.agent, entry.env, entry.steps) if zoo else tuned(entry.agent, entry.env)
    return make(entry.agent, entry.env, seeds, keywords)


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test the agent of one job: ours with all its seeds, or SB3's with one."""
    entry: Entry = job.settings

    def advance(steps: int, _: np.ndarray) -> None:
        report(job.cost * steps / entry.steps)

    if entry.package == "balancier":
        agent = make_ours(entry, job.seeds)
        return train_agent(agent, entry.env, entry.steps, entry.episodes, advance, EVALUATIONS)
    model = make_baseline(entry.agent, entry.env, job.seeds[0])
    tested = NormalizedModel(model)
    callback = EvaluationCallback(entry.env, entry.steps, advance, EVALUATIONS)

    def after_step(*_: Any) -> bool:
        callback(tested, model.num_timesteps)
        return True

    model.learn(entry.steps, callback=after_step)
    return callback.finish(tested, entry.episodes)


def budgets(agent: str, env: str, flags: Compare) -> tuple[int, int]:
    """Steps of each seed, of ours and of SB3's: as tuned, as the zoo says, and for SB3 never fewer than for ours."""
    published = zoo_settings(agent, env)[1].get("n_timesteps", 0)
    if flags.steps or flags.quick:
        steps = budget(agent, env, flags.steps, flags.quick)
        return steps, steps
    ours = (setting(agent, env).steps if flags.settings == "own" else 0) or published
    ours = ours or budget(agent, env, None, quick=False)
    return ours, max(ours, published)


def baseline_cost(entry: Entry) -> float:
    """Processor seconds that training one seed of SB3's will take, roughly."""
    idle = zoo_settings(entry.agent, entry.env)[1].get("learning_starts", 0)
    return SB3_COST[entry.agent] * max(entry.steps - idle, entry.steps / 20) / 1000


def plan(flags: Compare) -> list[Job]:
    """The jobs, the most expensive first; UsageError for agents that cannot be compared."""
    names = flags.names
    if not names or len(set(names)) < len(names) or not set(names) <= set(AGENTS):
        message = f"found {' '.join(flags.agents) or 'none'}, expected all, or different ones of {', '.join(AGENTS)}"
        raise UsageError(f"--agents: {message}")
    episodes = 20 if flags.quick else flags.eval_episodes
    jobs = []
    for agent in names:
        env = flags.env or default_env(agent)
        ours, theirs = budgets(agent, env, flags)
        entry = Entry("balancier", agent, env, ours, flags.settings, episodes)
        jobs.append(Job(f"{agent}, ours", tuple(flags.all_seeds), training_seconds(agent, ours, flags.seeds), entry))
        if agent in SB3_COST:
            entry = Entry("sb3", agent, env, theirs, flags.settings, episodes)
            jobs += [Job(f"{agent}, SB3's", (seed,), baseline_cost(entry), entry) for seed in flags.seeds_of_sb3]
    return sorted(jobs, key=lambda job: -job.cost)


def check(flags: Compare) -> None:
    """Make every agent of both libraries, with one seed."""
    entries = dict.fromkeys(job.settings for job in plan(flags))
    for entry in sorted(entries, key=lambda entry: (entry.package, flags.names.index(entry.agent))):  # ours first
        if entry.package == "balancier":
            make_ours(entry, (0,))
        else:
            check_baseline(entry.agent, entry.env)


def measure(flags: Compare) -> Findings:
    jobs = plan(flags)
    done = run_all(train, jobs, flags.processes)
    failures = {job: result for job, result in done.items() if isinstance(result, Failure)}
    rows = []
    for name in flags.names:
        for library in LIBRARIES:
            chosen = [job for job in jobs if (job.settings.agent, job.settings.package) == (name, library)]
            trainings = {job.seeds: done[job] for job in sorted(chosen, key=lambda job: job.seeds)}
            trainings = {seeds: result for seeds, result in trainings.items() if isinstance(result, Training)}
            if trainings:
                entry = chosen[0].settings
                rows.append(Row(entry, trainings, optimal_returns(entry.env, entry.starts)))
    if not rows:
        raise RuntimeError("; ".join(f"{job.name}: {failure.message}" for job, failure in failures.items()))
    return Findings(rows, failures)


# Output


def forecast(flags: Compare) -> str:
    return f"about {duration(wall_seconds(plan(flags), flags.processes))} with {flags.processes} processes"


def metrics(findings: Findings) -> Iterable[Metric]:
    for row in findings.rows:
        for seeds, training in row.trainings.items():
            for step, returns in zip(training.steps, training.curve, strict=True):
                yield int(step), f"{row.entry.package}/{row.entry.agent}/return", returns, seeds


def result(findings: Findings) -> dict[str, Any]:
    return {
        "machine": machine(),
        "rows": [row.result() for row in findings.rows],
        "pairs": findings.pairs,
        "notes": notes(findings),
    }


def median(values: list[Any]) -> float | None:
    """The median, with "never" (None) above every number."""
    middle = float(np.median([np.inf if value is None else value for value in values]))
    return middle if np.isfinite(middle) else None


def notes(findings: Findings) -> list[str]:
    """What the table does not say: SB3's settings, who has the higher return, and trainings that failed."""
    lines = []
    for agent in findings.agents:
        rows = {row.entry.package: row for row in findings.rows_of(agent)}
        head = f"{agent} on {next(iter(rows.values())).entry.env_name}: "
        if len(rows) == 2:
            lines.append(head + f"{settings_in_words(rows['sb3'].entry)}. {verdict(pair(*rows.values()))}.")
        elif "balancier" in rows:
            lines.append(head + ("no seeds of SB3's" if agent in SB3_COST else "SB3 has no such agent") + ".")
        else:
            lines.append(head + f"{settings_in_words(rows['sb3'].entry)}. No seeds of ours.")
        ours = rows.get("balancier")
        if ours and ours.entry.settings == "zoo" and left_out(agent, ours.entry.env):
            lines.append(head + f"ours have the zoo's settings without {', '.join(left_out(agent, ours.entry.env))}.")
    for job, failure in findings.failures.items():
        first, last = min(job.seeds), max(job.seeds)
        seeds = f"seed {first}" if first == last else f"seeds {first} to {last}"
        lines.append(f"{job.name}, {seeds}: in no row, because it did not finish ({failure.message}).")
    return lines


def settings_in_words(entry: Entry) -> str:
    """Where SB3's settings come from, and whether the steps are those that they were published with."""
    name, settings = zoo_settings(entry.agent, entry.env)
    if name == DEFAULTS:
        return "SB3 has its defaults, because the zoo has no settings here" + (
            ", and the zoo's noise" if settings else ""
        )
    published = settings.get("n_timesteps")
    if not published:
        return f"SB3 has the settings of {name}, the nearest environment of its zoo, and as many steps as ours"
    words = f"SB3 has its zoo's settings of {name}, made for {published:,} steps"
    words += " as here" if entry.steps == published else f"; here it has {entry.steps:,}"
    if settings.get("learning_starts", 0) >= entry.steps:
        words += f", and it does not learn before step {settings['learning_starts']:,}"
    return words


def verdict(pair: dict[str, Any]) -> str:
    """Who has the higher return, in words."""
    numbers = f"P(ours higher) {pair['probability_of_improvement']:.2f}, p {pair['p_value']:.3f}"
    if np.isnan(pair["p_value"]):
        return "One seed does not decide who has the higher return"
    words = {"balancier": "Ours have the higher return", "sb3": "SB3 has the higher return"}
    return f"{words.get(pair['higher_return'], 'The seeds do not decide who has the higher return')} ({numbers})"


def iqm_in_words(values: dict[str, Any]) -> str:
    """The IQM with its interval, which a single seed does not have."""
    low, high = values["ci95"]
    return f"{values['iqm']:.1f}" + (f" [{low:.1f}, {high:.1f}]" if values["seeds"] > 1 else "")


def table(findings: Findings) -> Table:
    caption = [
        *notes(findings),
        "Seconds: processor time of training all seeds, one thread, without evaluations. To threshold: the median",
        "seed; the seconds of ours are those of all seeds together until then, SB3's those of one seed. Last column:",
        "processor seconds that a step of a seed costs, SB3's divided by ours.",
    ]
    table = Table(title="Tested on the same starts", caption="\n".join(caption), caption_justify="left", box=box.SIMPLE)
    table.padding = (0, 0)  # a line of 130 characters has room for every number
    names = ("agent", "library", "seeds", "steps", "seconds", "IQM [95 %]", "worst\nseed", "regret")
    for name in (*names, "steps to\nthreshold", "seconds to\nthreshold", "SB3's cost\n/ ours"):
        left = name in ("agent", "library")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    speedups = {pair["agent"]: f"{pair['speedup']:.1f}" for pair in findings.pairs}
    for row in findings.rows:
        entry, values = row.entry, row.result()
        steps, seconds = median(values["steps_to_threshold"]), median(values["seconds_to_threshold"])
        never = "-" if entry.threshold is None else "never"
        failed = sum(len(job.seeds) for job in findings.failures if job.settings == entry)
        table.add_row(
            entry.agent,
            entry.package,
            f"{len(row.seeds)} of {len(row.seeds) + failed}" if failed else str(len(row.seeds)),
            f"{entry.steps:,}",
            f"{sum(row.train_seconds):.1f}",
            iqm_in_words(values),
            f"{row.returns.min():.1f}",
            "-" if values["regret"] is None else f"{values['regret']:.1f}",
            never if steps is None else f"{steps:,.0f}",
            never if seconds is None else f"{seconds:.1f}",
            speedups.get(entry.agent, "") if entry.package == "balancier" else "",
        )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "learning_curves": plot_curves(findings),
        "returns": plot_returns(findings),
        "times": plot_times(findings),
    }


def label(row: Row) -> str:
    seeds = f"{len(row.seeds)} seed" + ("s" if len(row.seeds) > 1 else "")
    return f"{LIBRARIES[row.entry.package]} ({seeds})"


def plot_curves(findings: Findings) -> Figure:
    """Return against steps and processor seconds: interquartile mean with 95 % interval, and seeds as thin lines."""
    count = len(findings.agents)
    figure, axes = plotting.new(count, 2, width=6.5, height=4.4)
    for column, agent in enumerate(findings.agents):
        panels = axes[column], axes[count + column]
        rows = findings.rows_of(agent)
        for row in rows:
            steps, seconds, curve = row.curves
            for panel, x in zip(panels, (steps, seconds), strict=True):
                color = COLORS[row.entry.package]
                plotting.iqm_band(panel, x.tolist(), curve, LIBRARIES[row.entry.package], color)
                panel.plot(x, curve, color=color, linewidth=0.8, alpha=0.5)
        for panel, name in zip(panels, ("steps of each seed", "processor seconds"), strict=True):
            plot_references(panel, rows)
            panel.set_xlabel(name)
        panels[0].set_title(f"{agent.upper()} on {rows[0].entry.env_name}")
        panels[1].set_xscale("log")
    axes[0].set_ylabel("mean validation return")
    axes[count].set_ylabel("mean validation return")
    axes[count].set_title("all seeds of ours together, one seed of SB3's", fontsize=13, color=plotting.GRAY)
    handles: dict[str, Any] = {}
    for panel in axes:
        handles |= {text: handle for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    figure.supxlabel(
        "thick: interquartile mean    band: its 95 % interval    thin: seeds", fontsize=13, color=plotting.GRAY
    )
    return figure


def plot_references(panel: Axes, rows: list[Row]) -> None:
    """The threshold and the optimum as lines."""
    if rows[0].entry.threshold is not None:
        panel.axhline(rows[0].entry.threshold, color=plotting.GRAY, linestyle=":", linewidth=1.8, label="threshold")
    if rows[0].optimum is not None:
        panel.axhline(rows[0].optimum, color=plotting.GREEN, linestyle="--", linewidth=1.8, label="optimum")


def plot_violin(panel: Axes, returns: np.ndarray, middle: float, place: int, color: str) -> None:
    """The distribution of returns, and a bar across it."""
    finite = returns[np.isfinite(returns)]  # a seed that diverged has no dot, and its library no bar
    if len(finite):
        bodies: Any = panel.violinplot([finite], [place], widths=0.8, showextrema=False)["bodies"]
        bodies[0].set(facecolor=color, alpha=0.25)
    panel.plot([place - 0.3, place + 0.3], [middle] * 2, color="black")


def plot_returns(findings: Findings) -> Figure:
    """The returns of the test: a dot for each seed, a shape for all episodes, and the optimum beside them."""
    figure, axes = plotting.new(len(findings.agents), width=6.5, height=5.2)
    for panel, agent in zip(axes, findings.agents, strict=True):
        rows = findings.rows_of(agent)
        ticks = [f"{label(row).replace(' (', chr(10) + '(')}\n{row.entry.steps:,} steps" for row in rows]
        for place, row in enumerate(rows):
            color = COLORS[row.entry.package]
            plot_violin(panel, row.test_returns.ravel(), interquartile_mean(row.returns), place, color)
            spread = np.linspace(-0.12, 0.12, len(row.seeds)) if len(row.seeds) > 1 else np.zeros(1)
            panel.plot(place + spread, row.returns, "o", color=color, markersize=9)
        optimal = rows[0].optimal
        if optimal is not None:
            plot_violin(panel, optimal, optimal.mean(), len(rows), plotting.GREEN)
            panel.axhline(optimal.mean(), color=plotting.GREEN, linestyle="--", linewidth=1.8)
            ticks.append("optimum\n(exact)")
        panel.set_xticks(range(len(ticks)), ticks)
        panel.set_title(f"{agent.upper()} on {rows[0].entry.env_name}")
        panel.grid(axis="x", visible=False)
    axes[0].set_ylabel("return of test episodes")
    figure.supxlabel("dots: seeds    bar: interquartile mean    shape: all episodes", fontsize=13, color=plotting.GRAY)
    return figure


def plot_times(findings: Findings) -> Figure:
    """Processor seconds: of a step of a seed, and until the threshold."""
    figure, (whole, until) = plotting.new(2, width=7.5, height=5.2)
    for row in findings.rows:
        ours, color = row.entry.package == "balancier", COLORS[row.entry.package]
        place = findings.agents.index(row.entry.agent) + (-0.2 if ours else 0.2)
        cost = row.seconds_per_seed / row.entry.steps * 1000
        whole.bar(place, cost, 0.38, color=color, label=LIBRARIES[row.entry.package])
        whole.text(place, cost, f"{cost:.2g}", ha="center", va="bottom", fontsize=13)
        seconds = [np.inf if value is None else value for value in row.to_threshold("seconds")]
        # The smallest time at which nine of ten seeds, or half of them, are there: no share of them is rounded away.
        height = float(np.quantile(seconds, 0.9 if ours else 0.5, method="inverted_cdf"))
        if np.isfinite(height):
            until.bar(place, height, 0.38, color=color, alpha=0.6)
            until.text(place, height, f"{height:.1f}", ha="center", va="bottom", fontsize=13)
        else:
            until.text(place, 0, "never", ha="center", va="bottom", fontsize=13, rotation=90, color=color)
        spread = place + np.linspace(-0.12, 0.12, len(seconds)) if len(seconds) > 1 else [place]
        until.plot(spread, np.where(np.isfinite(seconds), seconds, np.nan), "o", color="black", markersize=4)
    whole.set_title("training one seed for a thousand steps", fontsize=15)
    until.set_title(
        "until the threshold: ours, nine of ten seeds;\nSB3, its median seed alone (dots: seeds)", fontsize=15
    )
    for axes in (whole, until):
        axes.set_xticks(range(len(findings.agents)), [agent.upper() for agent in findings.agents])
        axes.set_xlim(-0.5, len(findings.agents) - 0.5)
        axes.set_ylim(bottom=0)
        axes.grid(axis="x", visible=False)
    whole.set_ylabel("processor seconds")
    handles, labels = whole.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=len(unique))
    return figure


LESSON = Lesson(
    flags=Compare,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier train, then watch it; balancier compare --help for more",
    metrics=metrics,
    check=check,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("compare", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
