"""The table of results: every agent in the environments that it is tuned for, beside the returns that
Stable-Baselines3 (SB3) publishes. The figure shows how each agent learns.

A seed is one independent training; ours are ten of each. They are evaluated on validation starts during training and
tested at the end on other starts, on which nothing was tuned. The interquartile mean (IQM) is the mean of the middle
half of the seeds: a quarter of the weight goes from each end, whatever the number of seeds. The regret is its distance
from the return of the optimal controller, where that is known.

The published numbers are those of the zoo's benchmark.md (DLR-RM/rl-baselines3-zoo, commit 61a0d134 of 2023-04-11): one
trained agent each, its mean return over episodes from starts of its own. Where the optimum is known, its regret is
against the optimum's mean over the whole distribution of starts.
"""

import math
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, NamedTuple

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents.evaluation import TEST_SEED, VALIDATION_SEED
from balancier import N_, _, decimals, numeral
from envs.optimum import optimum as best_controller
from envs.optimum import start_value
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import DISCRETE, NETWORKS, PENDULUM, setting, tuned
from experiments.common.parallel import INTERRUPTED, Failure, Job, duration, run_all, wall_seconds, without_results
from experiments.common.runs import Metric, processor
from experiments.common.training import STARTS, Training, make, mean_optimum, summary, train_agent
from experiments.common.training import forecast as training_seconds


class Published(NamedTuple):
    """What SB3's zoo publishes of one trained agent."""

    mean: float  # return
    std: float  # of the returns of single episodes
    steps: int
    episodes: int
    env: str  # the zoo's, which is not always the same
    agent: str

    @property
    def standard_error(self) -> float:
        """Of the mean over episodes; the spread from seed to seed, which is larger, is not published."""
        return self.std / math.sqrt(self.episodes)


@dataclass(frozen=True)
class Row:
    """One line of the table; `steps` where they are not those that were tuned."""

    agent: str
    env: str
    network: str = "mlp"
    observation: str | None = None
    steps: int | None = None
    max_seeds: int = 1000
    published: Published | None = None

    @property
    def name(self) -> str:
        details = [] if self.network == "mlp" else [self.network, *filter(None, [self.observation])]
        suffix = f" ({', '.join(details)})" if details else ""
        return f"{self.agent.upper()} on {self.env.removeprefix('balancier/')}{suffix}"

    @property
    def names(self) -> set[str | None]:
        """All that `--only` takes for this line."""
        return {self.name, self.agent, self.env, self.env.removeprefix("balancier/"), self.network, self.observation}

    @property
    def budget(self) -> int:
        return self.steps or setting(self.agent, self.env, NETWORKS[self.network][0]).steps


ROWS = [
    Row("sac", PENDULUM, steps=10_000, published=Published(-156.995, 88.714, 20_000, 750, "Pendulum-v1", "sac")),
    Row("td3", PENDULUM, steps=10_000, published=Published(-151.855, 90.227, 20_000, 750, "Pendulum-v1", "td3")),
    Row("ppo", PENDULUM, steps=100_000, published=Published(-172.225, 104.159, 100_000, 750, "Pendulum-v1", "ppo")),
    Row("a2c", PENDULUM, steps=1_000_000, published=Published(-162.965, 103.21, 1_000_000, 750, "Pendulum-v1", "a2c")),
    Row("reinforce", PENDULUM, steps=500_000),
    Row("dqn", DISCRETE, steps=15_000),
    Row(
        "sac",
        PENDULUM,
        "gru",
        "angle",
        published=Published(-217.933, 140.094, 100_000, 750, "PendulumNoVel-v1", "ppo_lstm"),
    ),
    Row("dqn", DISCRETE, "cnn", "pixels", max_seeds=3),
    Row("ppo", "balancier/Recall-v0"),
    Row("ppo", "balancier/Recall-v0", "gru"),
    Row("ppo", "balancier/Recall-v0", "lstm"),
    Row("ppo", "CartPole-v1", published=Published(500.0, 0.0, 100_000, 300, "CartPole-v1", "ppo")),
    Row("a2c", "CartPole-v1", published=Published(500.0, 0.0, 500_000, 300, "CartPole-v1", "a2c")),
    Row("dqn", "CartPole-v1", published=Published(500.0, 0.0, 50_000, 300, "CartPole-v1", "dqn")),
    Row("dqn", "Acrobot-v1", published=Published(-76.639, 11.752, 100_000, 1932, "Acrobot-v1", "dqn")),
    Row("dqn", "MountainCar-v0", published=Published(-100.849, 9.925, 120_000, 1487, "MountainCar-v0", "dqn")),
    Row(
        "sac",
        "MountainCarContinuous-v0",
        published=Published(94.679, 1.134, 50_000, 1443, "MountainCarContinuous-v0", "sac"),
    ),
    Row("dqn", "LunarLander-v3", published=Published(154.382, 79.241, 100_000, 200, "LunarLander-v2", "dqn")),
    Row("sac", "InvertedPendulum-v5"),
]
# Packages that an environment needs; not Gymnasium's extras, which bring a second pygame.
NEEDED = {"LunarLander-v3": "box2d", "InvertedPendulum-v5": "mujoco imageio"}


@dataclass(frozen=True)
class Results(ParallelFlags):
    """Every agent in the environments that it is tuned for, beside the returns that Stable-Baselines3 publishes."""

    only: tuple[str, ...] = ()
    """Lines whose agent, environment, network, observation or whole name ("SAC on Pendulum-v0") is one of these
    (default: all; --quick: ppo CartPole-v1)."""
    eval_episodes: Annotated[int, at_least(1)] = 200
    """Episodes of the test of each seed."""


@dataclass(frozen=True)
class Findings:
    flags: Results
    trainings: dict[Row, Training]
    optima: dict[str, float | None]  # environment -> mean return of the optimal controller; None where not known
    validation_optima: dict[str, float | None] = field(default_factory=dict)  # the same from the validation starts
    failures: dict[str, Failure] = field(default_factory=dict)  # by name of the line

    @property
    def interrupted(self) -> bool:
        return any(failure.message == INTERRUPTED for failure in self.failures.values())

    @property
    def lines(self) -> list[dict[str, Any]]:
        """A line of the table for each training, as result.json has it."""
        return [line(row, training, self.optima[row.env]) for row, training in self.trainings.items()]


def line(row: Row, training: Training, optimum: float | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "agent": row.agent,
        "env": row.env,
        "steps": int(training.steps[-1]),
        "seconds": training.train_seconds,
        "published": row.published and row.published._asdict(),
        "published_regret": None if optimum is None or not row.published else published_regret(row.published),
        **summary(training.returns, optimum),
    }


def in_words(name: str) -> str:
    """The name of a line, "PPO on CartPole-v1", in the user's language."""
    agent, env = name.split(" on ")
    return _("{agent} on {env}", agent=agent, env=env)


@cache
def optimum_of_all_starts() -> float:
    """The optimum's mean return over the pendulum's distribution of starts."""
    return start_value(best_controller())


def published_regret(published: Published) -> tuple[float, float]:
    """Of a published agent on the pendulum, with its standard error.

    Its starts are not known, so this is the distance from the optimum's mean over all of them.
    """
    return optimum_of_all_starts() - published.mean, published.standard_error


# Training


def chosen(flags: Results) -> list[Row]:
    """The lines asked for; UsageError where a name of `--only` fits none of them."""
    every = {name for row in ROWS for name in row.names if name}
    for name in flags.only:
        if name not in every:
            short = sorted(every - {PENDULUM, DISCRETE, *(row.name for row in ROWS)})
            raise UsageError(f"--only: found {name!r}, expected a line's whole name or some of {', '.join(short)}")
    if flags.quick and not flags.only:
        return [row for row in ROWS if (row.agent, row.env) == ("ppo", "CartPole-v1")]
    return [row for row in ROWS if not flags.only or row.names.intersection(flags.only)]


@cache
def is_installed(env: str) -> bool:
    """Whether the packages that an environment needs are installed."""
    try:
        gym.make(env).close()
    except (ImportError, gym.error.DependencyNotInstalled):
        return False
    return True


def plan(flags: Results) -> list[Job]:
    """A job for each line whose environment is installed, in the order of the table."""
    jobs = []
    for row in chosen(flags):
        if is_installed(row.env):
            seeds = tuple(flags.all_seeds[: row.max_seeds])
            cost = training_seconds(row.agent, row.budget, len(seeds), NETWORKS[row.network][0])
            jobs.append(Job(row.name, seeds, cost, (row, flags.eval_episodes)))
    return jobs


def missing(flags: Results, say: Callable[..., str] = _) -> list[str]:
    """What the environments that are not installed need; in English, for errors, where `say` is `str.format`."""
    absent = sorted({row.env for row in chosen(flags) if not is_installed(row.env)})
    line = N_("{env} is left out, it needs: python -m pip install {packages}")
    return [say(line, env=env, packages=NEEDED.get(env, "more")) for env in absent]


def check(flags: Results) -> None:
    if not plan(flags):
        absent = "; ".join(missing(flags, str.format))
        raise UsageError(f"--only: found nothing that is installed, expected an environment ({absent})")


def train(job: Job, report: Callable[[float], None]) -> Training:
    """Train and test the agent of one line, all its seeds."""
    row, episodes = job.settings
    keywords = tuned(row.agent, row.env, row.network)
    if row.observation:
        keywords |= {"env_kwargs": {"observation": row.observation}}
    agent = make(row.agent, row.env, job.seeds, keywords)
    return train_agent(
        agent, row.env, row.budget, episodes, lambda steps, returns: report(job.cost * steps / row.budget)
    )


def measure(flags: Results) -> Findings:
    done = run_all(train, plan(flags), flags.processes, [Training])
    trainings = {job.settings[0]: result for job, result in done.items() if isinstance(result, Training)}
    failed = [(job, result) for job, result in done.items() if isinstance(result, Failure)]
    if not trainings:
        raise without_results(failed)
    failures = {job.name: failure for job, failure in failed}
    starts = range(TEST_SEED, TEST_SEED + flags.eval_episodes)
    validation_starts = range(VALIDATION_SEED, VALIDATION_SEED + STARTS)
    of_envs = list(dict.fromkeys(row.env for row in trainings))
    optima = {env: mean_optimum(env, starts) for env in of_envs}
    return Findings(flags, trainings, optima, {env: mean_optimum(env, validation_starts) for env in of_envs}, failures)


# Output


def forecast(flags: Results) -> str:
    jobs = plan(flags)
    known = {"time": duration(wall_seconds(jobs, flags.processes)), "processes": flags.processes}
    line = _("1 line, about {time} with {processes} processes", **known)
    if len(jobs) > 1:
        line = _("{count} lines, about {time} with {processes} processes", count=len(jobs), **known)
    return "\n".join([line, *missing(flags)])


def metrics(findings: Findings) -> Iterable[Metric]:
    for row, training in findings.trainings.items():
        for step, returns in zip(training.steps, training.curve, strict=True):
            yield int(step), f"{row.name}/return", returns, findings.flags.all_seeds[: row.max_seeds]


def result(findings: Findings) -> dict[str, Any]:
    failures = {name: failure.message for name, failure in findings.failures.items()}
    return {"lines": findings.lines, "failures": failures}


def published_cell(line: dict[str, Any]) -> str:
    """The published number: a regret where the optimum is known, elsewhere a return with the mark of other starts."""
    if not line["published"]:
        return "-"
    published = Published(**line["published"])
    if line["published_regret"]:
        regret, error = line["published_regret"]
        number, mark = _("regret {regret:.1f} ± {error:.1f}", regret=regret, error=error), ""
    else:
        number, mark = f"{published.mean:.1f} ± {published.standard_error:.1f}", " *"
    other = [published.agent] if published.agent != line["agent"] else []
    if published.env not in (line["env"], "Pendulum-v1"):
        other.append(published.env)
    words = _("{number} in {steps:,}{mark}", number=number, steps=published.steps, mark=mark)
    return words + (f" ({', '.join(other)})" if other else "")


def cells(line: dict[str, Any]) -> list[str]:
    """A line of the table in words."""
    low, high = line["ci95"]
    return [
        in_words(line["name"]),
        str(len(line["returns"])),
        numeral(line["steps"]),
        f"{line['seconds']:.0f}",
        f"{line['iqm']:.1f} [{low:.1f}, {high:.1f}]",
        f"{np.min(line['returns']):.1f}",
        "-" if line["regret"] is None else f"{line['regret']:.1f}",
        published_cell(line),
    ]


def unfinished(findings: Findings) -> list[str]:
    return [
        _("{name} is not in the table: {message}", name=in_words(name), message=failure.message)
        for name, failure in findings.failures.items()
    ]


def table(findings: Findings) -> Table:
    names = (
        _("agent and environment"),
        _("seeds"),
        _("steps"),
        _("seconds"),
        _("IQM [95 %]"),
        _("worst seed"),
        _("regret"),
        _("SB3's zoo publishes"),
    )
    rows, caption = [cells(line) for line in findings.lines], unfinished(findings)
    if any("*" in row[-1] for row in rows):
        caption.append(_("* from other starts than ours, and no optimum is known: small differences mean nothing"))
    table = Table(*names, caption="\n".join(caption), caption_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def page(findings: Findings) -> str:
    """The table as a page of its own, in Markdown."""
    flags = findings.flags
    names = "seeds", "seed", "eval_episodes"
    changed = [(name, value) for name in names if (value := getattr(flags, name)) != getattr(Results, name)]
    others = [word for name, value in changed for word in (f"--{name.replace('_', '-')}", str(value))]
    command = shlex.join(["balancier", "results", *others, *(["--only", *flags.only] if flags.only else [])])
    header = [_("agent and environment"), _("seeds"), _("steps of each"), _("seconds, all seeds")]
    header += [_("IQM of {count} starts [95 %]", count=flags.eval_episodes), _("worst seed"), _("regret")]
    header += [_("SB3's zoo publishes")]
    rows = ([decimals(cell) for cell in cells(line)] for line in findings.lines)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    missing = "".join(f"\n{sentence}.\n" for sentence in unfinished(findings))
    compared = any(line["published_regret"] for line in findings.lines)
    mean = _(", {mean:.1f}", mean=optimum_of_all_starts()) if compared else ""
    known = {env.rpartition("/")[2]: value for env, value in findings.optima.items() if value is not None}
    optima = ", ".join(_("{value:.1f} on {env}", value=value, env=env) for env, value in known.items())
    words = _(
        RESULTS,
        command=command,
        first=flags.seed,
        processor=processor(),
        optima=optima or _("in no line here"),
        mean=mean,
    )
    return f"{words}\n\n{table}\n{missing}"


RESULTS = N_("""# Results

`{command}` made this page, with one thread for each line, on {processor}. Seconds are those of the processor, for
training all seeds of a line, without evaluations. A seed is one independent training; those here begin with seed
{first}. The settings were tuned on seeds 0 to 9, those of SAC and DQN on the pendulum on others up to 1079 too. A test
return is the mean over the test starts; nothing was tuned on them, and the evaluations during training have validation
starts of their own. The IQM is the interquartile mean of the test returns: the mean of the middle half of the seeds,
where a quarter of the weight goes from each end (of three seeds the weights are 1/6, 2/3, 1/6). The brackets hold its
bootstrapped 95 % interval. The regret is its distance from the optimum of the very same starts, where dynamic
programming knows it ({optima}).

The last column holds the numbers of the zoo's `benchmark.md` (DLR-RM/rl-baselines3-zoo, commit 61a0d134 of 2023-04-11)
and the steps of training. They are of one trained agent each, so they say nothing about the spread from seed to seed; ±
is the standard error of the mean over its episodes. Those episodes had other starts than ours. On the pendulum both
stand as regret, because a mean return depends on its starts: that of the zoo is against the optimum's mean over the
whole distribution of starts{mean}. A star marks returns for which no optimum is known: small differences to ours mean
nothing. The zoo's number for LunarLander is of version 2; ours is version 3, which mends how an episode is reset. The
zoo's agent without velocity, `ppo_lstm` on `PendulumNoVel-v1`, stands beside ours that sees only the angle. The zoo has
no number for pictures of a pendulum, discrete torques, `Recall-v0`, `InvertedPendulum-v5` and REINFORCE.""")


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"results": plot_results(findings)}


def plot_results(findings: Findings) -> Figure:
    """Learning curves, a panel each: the seeds as thin lines, their interquartile mean, and the published one."""
    count = len(findings.trainings)
    columns = min(4, count)
    figure, panels = plotting.new(columns, -(-count // columns), width=5.2, height=3.9)
    for axes, (row, training) in zip(panels, findings.trainings.items(), strict=False):
        axes.plot(training.steps, training.curve, color=plotting.BLUE, alpha=0.3, linewidth=1)
        plotting.iqm_band(axes, training.steps.tolist(), training.curve, _("IQM of seeds"), plotting.BLUE)
        optimum = findings.validation_optima.get(row.env)
        if row.published and optimum is not None:
            # The published regret, below the optimum of the starts that are drawn.
            level = optimum - published_regret(row.published)[0]
            axes.axhline(level, color=plotting.ORANGE, linestyle="--", label=_("SB3, published, by regret"))
        elif row.published:
            label = _("SB3, published, other starts")
            axes.axhline(row.published.mean, color=plotting.ORANGE, linestyle=":", label=label)
        axes.set_title(in_words(row.name), fontsize=13)
        axes.ticklabel_format(axis="x", scilimits=(3, 3), useMathText=True)
    for axes in panels[count:]:
        axes.set_visible(False)
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    figure.supxlabel(_("steps of each seed"))
    figure.supylabel(_("mean validation return"))
    return figure


PAGE = Page(
    question=_("How good is each agent in each environment, and how far is it from the optimum?"),
    formula=(
        _("IQM: the mean of the middle half of the seeds"),
        _("regret $=$ return of the optimum $-$ IQM, from the same starts"),
    ),
    captions={
        "results": _(
            "Each panel shows one agent in one environment: thin lines are seeds, the thick line is their "
            "interquartile mean. Where the zoo of Stable-Baselines3 publishes a return, a line shows it."
        ),
    },
    what_if=(
        ("balancier results --only CartPole-v1", _("which of three agents needs the fewest steps?")),
        ("balancier results --only sac --seed 100", _("are other seeds as good?")),
        ("balancier compare --agents all", _("how do agents of Stable-Baselines3 do on the same starts?")),
    ),
)

LESSON = Lesson(
    flags=Results,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("read results.md in that folder, the same table as a page"),
    metrics=metrics,
    check=check,
    files=lambda findings: {"results.md": page(findings)},
    page=PAGE,
    report=True,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("results", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
