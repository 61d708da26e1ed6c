"""Our agents and Stable-Baselines3's (SB3's) in the same environments, tested on the same starts. The figures show the
return while they learn, the returns of the test, and the processor time.

A seed is one independent training. Ours train all their seeds at once, in one process; SB3 trains one seed a process.
SB3 has the settings that its zoo publishes (SB3's defaults where the zoo has none). Both train for as many steps as
every seed of ours needs. With --budget full ours train as long as they were tuned for, and SB3 as long as its zoo says,
and never for fewer steps than ours; --steps gives both the same number. Both are evaluated twenty-five
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
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich import box
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import AGENTS
from agents.evaluation import evaluate
from balancier import N_, _, numeral
from envs.optimum import optimal_returns
from experiments.common.baselines import (
    DEFAULTS,
    SB3_COST,
    check_baseline,
    left_out,
    zoo_settings,
)
from experiments.common.command import Lesson, Page, launch
from experiments.common.comparison import LIBRARIES, Entry, Findings, Reference, Row, files, median, pair
from experiments.common.comparison_figures import figures
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import setting
from experiments.common.parallel import Failure, Job, duration, run_all, wall_seconds, without_results
from experiments.common.players import CONTROLLERS, Player, controller
from experiments.common.race import learn, make_ours
from experiments.common.runs import Metric, machine
from experiments.common.training import (
    EvaluationCallback,
    Training,
    budget,
    default_env,
)
from experiments.common.training import forecast as training_seconds

EVALUATIONS = 25  # of each training
OPTIMUM = 8.0  # processor seconds to compute an optimum that is not kept from before


@dataclass(frozen=True)
class Compare(ParallelFlags):
    """Our agents and Stable-Baselines3's in the same environments, tested on the same starts."""

    agents: Annotated[
        tuple[str, ...] | None,
        tyro.conf.arg(
            help=_(
                "all, or some of {agents}; an agent that SB3 lacks stands alone (default: sac ppo dqn; "
                "with --quick ppo dqn, because SB3's sac alone takes a minute).",
                agents=", ".join(AGENTS),
            )
        ),
    ] = None
    env: str | None = None
    """A Gymnasium id for all of them (default: the pendulum; for dqn the one with discrete torques)."""
    budget: Literal["short", "full"] = "short"
    """Steps: short, the same for both, until every seed of ours has learned; full, as tuned and as the zoo says."""
    steps: Annotated[int, at_least(EVALUATIONS)] | None = None
    """Steps of each seed, the same for both, instead of a budget."""
    baseline_seeds: Annotated[int, at_least(0)] = 3
    """Seeds of Stable-Baselines3; 0 leaves it out."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each seed."""
    controllers: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            name="with", metavar="|".join(CONTROLLERS), help=_("Classical controllers beside them, on a pendulum.")
        ),
    ] = ()
    settings: Literal["own", "zoo"] = "own"
    """Hyper-parameters and steps of our agents: our own, or those of SB3's zoo, as far as ours have them."""

    @property
    def names(self) -> list[str]:
        """The agents to compare, as they were asked for."""
        if self.agents is None:
            return ["ppo", "dqn"] if self.quick else ["sac", "ppo", "dqn"]
        return list(AGENTS) if self.agents == ("all",) else list(self.agents)

    @property
    def seeds_of_sb3(self) -> list[int]:
        count = min(self.baseline_seeds, 1) if self.quick else self.baseline_seeds
        return [self.seed + i for i in range(count)]


setattr(Compare, "with", property(lambda flags: flags.controllers))  # --resume looks for it under its name


# Training


def work(job: Job, report: Callable[[float], None]) -> Any:
    """A training, or the optimal returns (n,) of an environment from the test starts, None where they are not known."""
    return train(job, report) if isinstance(job.settings, Entry) else optimal_returns(*job.settings)


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test the agent of one job: ours with all its seeds, or SB3's with one."""
    entry: Entry = job.settings

    def advance(steps: int, returns: np.ndarray) -> None:
        report(job.cost * steps / entry.steps)

    callback = EvaluationCallback(entry.env, entry.steps, advance, EVALUATIONS)
    return callback.finish(learn(entry, job.seeds, callback), entry.episodes)


def budgets(agent: str, env: str, flags: Compare) -> tuple[int, int]:
    """Steps of each seed, of ours and of SB3's: as `Compare.budget` and `Compare.steps` say."""
    published, chosen = zoo_settings(agent, env)[1], setting(agent, env)
    if flags.steps or flags.quick:
        steps = budget(agent, env, flags.steps, flags.quick)
        return steps, steps
    ours = (chosen.steps if flags.settings == "own" else 0) or published.get("n_timesteps", 0)
    ours = ours or budget(agent, env, None, quick=False)
    if flags.budget == "full":
        return ours, max(ours, published.get("n_timesteps", 0))
    ours = (chosen.solved_steps if flags.settings == "own" else 0) or ours
    return ours, max(ours, 2 * published.get("learning_starts", 0))  # SB3 learns for half of its steps at least


def baseline_cost(entry: Entry) -> float:
    """Processor seconds that training one seed of SB3's will take, roughly."""
    idle = zoo_settings(entry.agent, entry.env)[1].get("learning_starts", 0)
    return SB3_COST[entry.agent] * max(entry.steps - idle, entry.steps / 20) / 1000


def plan(flags: Compare) -> list[Job]:
    """The jobs, the most expensive first; UsageError for agents that cannot be compared."""
    names = flags.names
    if not names or len(set(names)) < len(names) or not set(names) <= set(AGENTS):
        message = f"found {' '.join(names) or 'none'}, expected all, or different ones of {', '.join(AGENTS)}"
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


def references(flags: Compare) -> dict[tuple[str, str], Player]:
    """The controllers beside the agents, by name and environment; UsageError where there is none of this name."""
    names = flags.controllers
    if len(set(names)) < len(names) or not set(names) <= set(CONTROLLERS):
        raise UsageError(f"--with: found {' '.join(names)}, expected different ones of {', '.join(CONTROLLERS)}")
    env_ids = dict.fromkeys(job.settings.env for job in plan(flags)) if names else {}
    return {(name, env): controller(name, env, {}, "--with") for env in env_ids for name in names}


def check(flags: Compare) -> None:
    """Make every controller, and every agent of both libraries, with one seed."""
    references(flags)
    entries = dict.fromkeys(job.settings for job in plan(flags))
    for entry in sorted(entries, key=lambda entry: (entry.package, flags.names.index(entry.agent))):  # ours first
        if entry.package == "balancier":
            make_ours(entry, (0,))
        else:
            check_baseline(entry.agent, entry.env)


def measure(flags: Compare) -> Findings:
    jobs = plan(flags)
    starts = {job.settings.env: job.settings.starts for job in jobs}
    optima = {env: Job("optimum", (number,), OPTIMUM, (env, starts[env])) for number, env in enumerate(starts)}
    done = run_all(work, [*jobs, *optima.values()], flags.processes, [Training])
    failures = {job: done[job] for job in jobs if isinstance(done[job], Failure)}
    rows = []
    for name in flags.names:
        for library in LIBRARIES:
            chosen = [job for job in jobs if (job.settings.agent, job.settings.package) == (name, library)]
            trainings = {job.seeds: done[job] for job in sorted(chosen, key=lambda job: job.seeds)}
            trainings = {seeds: result for seeds, result in trainings.items() if isinstance(result, Training)}
            if trainings:
                entry = chosen[0].settings
                optimal = done[optima[entry.env]]
                rows.append(Row(entry, trainings, None if isinstance(optimal, Failure) else optimal))
    if not rows:
        raise without_results(failures.items())
    beside: list[Reference] = []
    for (name, env), player in references(flags).items():
        returns = evaluate(player.model, player.env, starts[env], player.env_kwargs)[0]
        optimal = done[optima[env]]
        beside.append(Reference(name, env, returns, None if isinstance(optimal, Failure) else optimal))
    return Findings(rows, failures, beside)


# Output


def forecast(flags: Compare) -> str:
    time = duration(wall_seconds(plan(flags), flags.processes))
    return _("about {time} with {count} processes", time=time, count=flags.processes)


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
        "notes": notes(findings, str.format),
    } | ({"controllers": [reference.result() for reference in findings.references]} if findings.references else {})


def notes(findings: Findings, say: Callable[..., str] = _) -> list[str]:
    """What the table does not say: SB3's settings, who has the higher return, and trainings that failed.

    In the user's language; in English, for files, where `say` is `str.format`.
    """
    lines = []
    for agent in findings.agents:
        rows = {row.entry.package: row for row in findings.rows_of(agent)}
        ours, theirs = rows.get("balancier"), rows.get("sb3")
        head = say(N_("{agent} on {env}"), agent=agent, env=next(iter(rows.values())).entry.env_name)
        settings = settings_in_words(theirs.entry, say) if theirs else ""
        if ours and theirs:
            known = {"head": head, "settings": settings, "verdict": verdict(pair(ours, theirs), say)}
            lines.append(say(N_("{head}: {settings}. {verdict}."), **known))
        elif theirs:
            lines.append(say(N_("{head}: {settings}. No seeds of ours."), head=head, settings=settings))
        elif agent in SB3_COST:
            lines.append(say(N_("{head}: no seeds of SB3's."), head=head))
        else:
            lines.append(say(N_("{head}: SB3 has no such agent."), head=head))
        if ours and ours.entry.settings == "zoo" and (left := left_out(agent, ours.entry.env)):
            names = ", ".join(map(say, left))
            lines.append(say(N_("{head}: ours have the zoo's settings without {names}."), head=head, names=names))
    for job, failure in findings.failures.items():
        name = N_("{agent}, ours") if job.settings.package == "balancier" else N_("{agent}, SB3's")
        first, last = min(job.seeds), max(job.seeds)
        seeds = N_("seed {first}") if first == last else N_("seeds {first} to {last}")
        known = {"name": say(name, agent=job.settings.agent), "seeds": say(seeds, first=first, last=last)}
        known |= {"message": failure.message}
        lines.append(say(N_("{name}, {seeds}: in no row, because it did not finish ({message})."), **known))
    return lines


def settings_in_words(entry: Entry, say: Callable[..., str] = _) -> str:
    """Where SB3's settings come from, and whether the steps are those that they were published with."""
    name, settings = zoo_settings(entry.agent, entry.env)
    if name == DEFAULTS and settings:
        return say(N_("SB3 has its defaults, because the zoo has no settings here, and the zoo's noise"))
    if name == DEFAULTS:
        return say(N_("SB3 has its defaults, because the zoo has no settings here"))
    published, starts = settings.get("n_timesteps"), settings.get("learning_starts", 0)
    if not published:
        borrowed = N_("SB3 has the settings of {name}, the nearest environment of its zoo, and as many steps as ours")
        return say(borrowed, name=name)
    same = N_("SB3 has its zoo's settings of {name}, made for {published:,} steps as here")
    other = N_("SB3 has its zoo's settings of {name}, made for {published:,} steps; here it has {steps:,}")
    words = say(same if entry.steps == published else other, name=name, published=published, steps=entry.steps)
    late = N_("{words}, and it does not learn before step {starts:,}")
    return say(late, words=words, starts=starts) if starts >= entry.steps else words


def verdict(pair: dict[str, Any], say: Callable[..., str] = _) -> str:
    """Who has the higher return, in words."""
    if np.isnan(pair["p_value"]):
        return say(N_("One seed does not decide who has the higher return"))
    words = {
        "balancier": N_("Ours have the higher return ({numbers})"),
        "sb3": N_("SB3 has the higher return ({numbers})"),
        "undecided": N_("The seeds do not decide who has the higher return ({numbers})"),
    }
    share, p_value = pair["probability_of_improvement"], pair["p_value"]
    numbers = say(N_("P(ours higher) {share:.2f}, p {p_value:.3f}"), share=share, p_value=p_value)
    return say(words[pair["higher_return"]], numbers=numbers)


def iqm_in_words(values: dict[str, Any]) -> str:
    """The IQM with its interval, which a single seed does not have."""
    low, high = values["ci95"]
    return f"{values['iqm']:.1f}" + (f" [{low:.1f}, {high:.1f}]" if values["seeds"] > 1 else "")


def table(findings: Findings) -> Table:
    caption = [
        *notes(findings),
        _(
            "Seconds: processor time of training all seeds, one thread, without evaluations. To threshold: the median\n"
            "seed; the seconds of ours are those of all seeds together until then, SB3's those of one seed. Last "
            "column:\nprocessor seconds that a step of a seed costs, SB3's divided by ours."
        ),
    ]
    title = _("Tested on the same starts")
    table = Table(title=title, caption="\n".join(caption), caption_justify="left", box=box.SIMPLE)
    table.padding = (0, 0)  # a line of 130 characters has room for every number
    names = [_("agent"), _("library"), _("seeds"), _("steps"), _("seconds"), _("IQM [95 %]"), _("worst\nseed")]
    names += [_("regret"), _("steps to\nthreshold"), _("seconds to\nthreshold"), _("SB3's cost\n/ ours")]
    for index, name in enumerate(names):
        table.add_column(name, justify="left" if index < 2 else "right", no_wrap=True)
    speedups = {pair["agent"]: f"{pair['speedup']:.1f}" for pair in findings.pairs}
    for row in findings.rows:
        entry, values = row.entry, row.result()
        steps, seconds = median(values["steps_to_threshold"]), median(values["seconds_to_threshold"])
        never = "-" if entry.threshold is None else _("never")
        failed = sum(len(job.seeds) for job in findings.failures if job.settings == entry)
        table.add_row(
            entry.agent,
            entry.package,
            _("{count} of {all}", count=len(row.seeds), all=len(row.seeds) + failed) if failed else str(len(row.seeds)),
            numeral(entry.steps),
            f"{sum(row.train_seconds):.1f}",
            iqm_in_words(values),
            f"{row.returns.min():.1f}",
            "-" if values["regret"] is None else f"{values['regret']:.1f}",
            never if steps is None else numeral(steps, ",.0f"),
            never if seconds is None else f"{seconds:.1f}",
            speedups.get(entry.agent, "") if entry.package == "balancier" else "",
        )
    for reference in findings.references:
        values, label = reference.result(), _(CONTROLLERS[reference.name])
        several = len({row.entry.env for row in findings.rows}) > 1
        env_name = reference.env.rpartition(":")[2].removeprefix("balancier/")
        name = _("{agent} on {env}", agent=label, env=env_name) if several else label
        regret = "-" if values["regret"] is None else f"{values['regret']:.1f}"
        table.add_row(name, _("none"), "-", "-", "-", f"{values['return']:.1f}", "-", regret, "-", "-", "")
    return table


PAGE = Page(
    question=_("Which agents learn better and faster: ours, ten seeds at once, or those of Stable-Baselines3?"),
    formula=(
        _("IQM: the mean of the middle half of the seeds"),
        _("regret $=$ return of the optimum $-$ IQM, from the same starts"),
    ),
    captions={
        "learning_curves": _(
            "Above stands the return against the steps of each seed, below against processor seconds, in which ten "
            "seeds of ours train together and one of SB3's alone. The agent is faster whose curve reaches the "
            "threshold farther left."
        ),
        "returns": _(
            "Each dot is the mean return of one seed in the test, from the same starts for both. A seed far below the "
            "others has not learned the task."
        ),
        "profiles": _(
            "A curve shows which share of the seeds reaches at least a return; further to the right is better. "
            "A seed that failed is a step at the left, which a mean would hide."
        ),
        "times": _(
            "On the left is what a thousand steps of one seed cost. On the right is how long nine of ten seeds of ours "
            "need to the threshold, and the median seed of SB3's."
        ),
    },
    what_if=(
        ("balancier compare --agents all", _("which agent needs the fewest steps, and which the fewest seconds?")),
        ("balancier compare --agents ppo --env CartPole-v1", _("who wins in another environment?")),
        ("balancier compare --settings zoo", _("what remains if ours have the settings of SB3's zoo?")),
    ),
)

LESSON = Lesson(
    flags=Compare,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier train, then watch it; balancier compare --help for more"),
    metrics=metrics,
    check=check,
    files=files,
    page=PAGE,
    report=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("compare", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
