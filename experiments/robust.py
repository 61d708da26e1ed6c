"""Who still swings the pendulum up when it is not the one they know (6.1)? Agents and controllers that learned or were
given one pendulum meet others: mass and length off by up to 50 %, measurement noise, torque noise, delay, pushes. The
figures show a leaderboard, success against the size of each disturbance, and what training on random pendulums adds.

An episode is a success if the pendulum is upright (within 26 degrees) during its whole last second. The time to upright
is when it comes there to stay, and 10 s where it does not. Robustness is the share of successes over all disturbed
episodes, and each kind of disturbance counts the same, as on RealAIGym's leaderboard. Time, energy and roughness of the
torque are those of the undisturbed pendulum.

Domain randomization is training on random pendulums: every episode draws its own mass, length, noise and delay. Torque
noise and pushes are never trained on.

A seed decides the training of an agent, and the starts and the noise of its test; of a controller, which does not
learn, the starts and the noise alone. All players of one seed meet the same starts and the same noise. Numbers are
interquartile means (IQM, the mean of the middle half) over the seeds, with 95 % intervals.

S seed, C conditions, n starts.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from balancier import N_, _
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.disturbances import (
    DISTURBANCES,
    INFORMED,
    NOMINAL,
    Condition,
    Outcome,
    make_controller,
    play,
    start_seeds,
    train,
)
from experiments.common.flags import ParallelFlags, at_least, one_of
from experiments.common.hyperparams import PENDULUM, setting
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import default_env
from experiments.common.training import forecast as training_seconds

LONGER = {"ppo": 60_000}  # steps; random pendulums need more than the tuned budget, one pendulum gets as many
PAIRS = {"sac": "sac-random", "ppo": "ppo-random"}  # trained on one pendulum, and on random ones
LEARNED = ("sac", "td3", "ppo", "dqn", *PAIRS.values())
PLAYERS = (*LEARNED, "energy", "lqr-energy", "mpc", "optimum", INFORMED)
QUICK_PLAYERS = ("ppo", "ppo-random", "energy", "lqr-energy", "optimum", INFORMED)
MORE = ("lqr", "mpc-cem")  # controllers that --also adds
LABELS = {
    "sac": "SAC",
    "td3": "TD3",
    "ppo": "PPO",
    "dqn": "DQN",
    "sac-random": N_("SAC, randomized"),
    "ppo-random": N_("PPO, randomized"),
    "energy": N_("energy"),
    "lqr-energy": N_("energy + LQR"),
    "mpc": N_("MPC by iLQR"),
    "optimum": N_("optimum"),
    INFORMED: N_("energy + LQR, told the truth"),
    "lqr": N_("LQR alone"),
    "mpc-cem": N_("MPC by CEM"),
}
TEST_COST = {"energy": 2.0, "mpc": 15.0, "optimum": 2.0, "mpc-cem": 60.0}  # s for a thousand episodes
QUICK_SEEDS, QUICK_STARTS, QUICK_LEVELS = 5, 4, 2


@dataclass(frozen=True)
class Robust(ParallelFlags):
    """Agents and controllers on pendulums that are not the one they know."""

    starts: Annotated[int, at_least(1)] = 10
    """Episodes of each seed with each size of each disturbance (at most 4 with --quick)."""
    levels: Annotated[int, at_least(1)] = 4
    """Sizes of each disturbance, evenly spaced up to the worst (at most 2 with --quick)."""
    also: Annotated[tuple[str, ...], one_of(MORE)] = ()
    """More controllers: lqr, mpc-cem."""
    seeds: Annotated[int, at_least(2)] = 10
    """How many seeds: trainings of each agent, each with starts and noise of its own (at most 5 with --quick)."""

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: QUICK_SEEDS if self.quick else None]

    @property
    def players(self) -> list[str]:
        return list(dict.fromkeys([*(QUICK_PLAYERS if self.quick else PLAYERS), *self.also]))

    @property
    def conditions(self) -> list[Condition]:
        levels = min(self.levels, QUICK_LEVELS) if self.quick else self.levels
        return [NOMINAL] + [(name, size) for name, one in DISTURBANCES.items() for size in one.sizes(levels)]

    @property
    def starts_of_a_seed(self) -> int:
        return min(self.starts, QUICK_STARTS) if self.quick else self.starts

    def steps_of(self, agent: str) -> int:
        """Steps of each seed, on one pendulum and on random ones."""
        return LONGER.get(agent, setting(agent, default_env(agent)).steps)


@dataclass(frozen=True)
class Findings:
    flags: Robust
    outcomes: dict[str, Outcome]  # by player
    optimal: np.ndarray  # (S,), mean return of the optimum over the undisturbed starts of each seed

    def share(self, player: str, name: str) -> np.ndarray:
        """Share of successes of each seed (S,) with one disturbance, or with "nominal"."""
        of_it = [kind == name for kind, __ in self.flags.conditions]
        return self.outcomes[player].success[:, of_it].mean(1)

    def robustness(self, player: str) -> np.ndarray:
        """Share of successes of each seed (S,), the mean over the disturbances."""
        return np.mean([self.share(player, name) for name in DISTURBANCES], 0)

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The leaderboard: of each player its numbers over the seeds, the most robust first."""
        rows = {name: self.row(name) for name in self.outcomes}
        return dict(sorted(rows.items(), key=lambda item: -item[1]["robustness"]["iqm"]))

    def row(self, player: str) -> dict[str, Any]:
        outcome = self.outcomes[player]
        undisturbed = {name: getattr(outcome, name)[:, 0] for name in ("success", "seconds", "energy", "roughness")}
        numbers = {"robustness": self.robustness(player), **undisturbed, "regret": self.optimal - outcome.returns[:, 0]}
        shares = {name: of_seeds(self.share(player, name)) for name in DISTURBANCES}
        return {name: of_seeds(values) for name, values in numbers.items()} | {"shares": shares}

    def gains(self, player: str) -> dict[str, dict[str, Any]]:
        """What training on random pendulums adds to the share of successes: differences of the same seeds."""
        other = PAIRS[player]
        gains = {name: self.share(other, name) - self.share(player, name) for name in (NOMINAL[0], *DISTURBANCES)}
        gains["robustness"] = self.robustness(other) - self.robustness(player)
        return {name: of_seeds(values) for name, values in gains.items()}


def of_seeds(values: np.ndarray) -> dict[str, Any]:
    """Interquartile mean over the seeds, its 95 % interval, and the values (S,)."""
    return {"iqm": interquartile_mean(values), "ci95": confidence_interval(values), "seeds": values}


# Playing


def test(job: Job, report: Callable[[float], None]) -> Outcome:
    """Train one player, if it learns, and test it."""
    flags, training = job.settings, training_cost(job.name, job.settings)
    if job.name in LEARNED:
        steps = flags.steps_of(job.name.removesuffix("-random"))
        model = train(job.name, job.seeds, steps, lambda share: report(training * share))
    else:
        model = make_controller(job.name, flags.conditions)
    cost = job.cost - training
    return play(model, flags.conditions, job.seeds, flags.starts_of_a_seed, lambda share: report(cost * share))


def training_cost(name: str, flags: Robust) -> float:
    """Processor seconds, roughly."""
    agent = name.removesuffix("-random")
    return training_seconds(agent, flags.steps_of(agent), len(flags.all_seeds)) if name in LEARNED else 0.0


def plan(flags: Robust) -> list[Job]:
    """One job for each player."""
    thousands = len(flags.all_seeds) * len(flags.conditions) * flags.starts_of_a_seed / 1000
    return [
        Job(
            name, tuple(flags.all_seeds), training_cost(name, flags) + 0.5 + TEST_COST.get(name, 1.0) * thousands, flags
        )
        for name in flags.players
    ]


def forecast(flags: Robust) -> str:
    return _(
        "{players} players, {seeds} seeds, {conditions} conditions, about {time}",
        players=len(flags.players),
        seeds=len(flags.all_seeds),
        conditions=len(flags.conditions),
        time=duration(wall_seconds(plan(flags), flags.processes)),
    )


def measure(flags: Robust) -> Findings:
    optimal = optimal_returns(PENDULUM, start_seeds(flags.all_seeds, flags.starts_of_a_seed))
    assert optimal is not None
    jobs = plan(flags)
    outcomes = run_parallel(test, jobs, flags.processes, kinds=[Outcome])
    of_seed = optimal.reshape(len(flags.all_seeds), -1).mean(1)
    return Findings(flags, dict(zip([job.name for job in jobs], outcomes, strict=True)), of_seed)


# Output


def clear(gains: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The disturbances for which training on random pendulums clearly helps, and those for which it clearly hurts.

    The interval of the gain lies on one side of 0, by half a point at least.
    """
    helped = [name for name in DISTURBANCES if gains[name]["ci95"][0] > 0.005]
    return helped, [name for name in DISTURBANCES if gains[name]["ci95"][1] < -0.005]


def pairs(findings: Findings) -> list[str]:
    return [name for name in PAIRS if {name, PAIRS[name]} <= findings.outcomes.keys()]


def metrics(findings: Findings) -> Iterable[Metric]:
    """The step is the number of the condition."""
    for player, outcome in findings.outcomes.items():
        for index, (name, size) in enumerate(findings.flags.conditions):
            yield index, f"{player}/{name} {size:g}/success", outcome.success[:, index], findings.flags.all_seeds


def result(findings: Findings) -> dict[str, Any]:
    randomized = {}
    for name in pairs(findings):
        helped, hurt = clear(findings.gains(name))
        randomized[name] = {"gains": findings.gains(name), "clearly_helps": helped, "clearly_hurts": hurt}
    return {
        "conditions": [{"disturbance": name, "size": size} for name, size in findings.flags.conditions],
        "players": findings.rows,
        "success": {name: interquartile_mean(outcome.success, 0) for name, outcome in findings.outcomes.items()},
        "randomization": randomized,
    }


def table(findings: Findings) -> Table:
    flags = findings.flags
    title = _(
        "{seeds} seeds, {starts} starts each, {conditions} conditions",
        seeds=len(flags.all_seeds),
        starts=flags.starts_of_a_seed,
        conditions=len(flags.conditions),
    )
    table = Table(_("player"), title=title)
    headings = (
        _("robustness, %"),
        _("success, %"),
        _("to upright, s"),
        _("energy, J"),
        _("roughness, N m"),
        _("regret"),
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, row in findings.rows.items():
        cells = [cell(row[number], 100, 0) for number in ("robustness", "success")]
        cells += [cell(row["seconds"], 1, 1), cell(row["energy"], 1, 1), cell(row["roughness"], 1, 2)]
        table.add_row(_(LABELS[name]), *cells, cell(row["regret"], 1, 0))
    table.caption = _("IQM and 95 % interval over the seeds. All but robustness: the undisturbed pendulum.")
    return table


def cell(numbers: dict[str, Any], factor: float, digits: int) -> str:
    low, high = numbers["ci95"]
    middle, low, high = (f"{round(factor * x, digits) + 0.0:.{digits}f}" for x in (numbers["iqm"], low, high))  # no -0
    return f"{middle} [{low}, {high}]"


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "leaderboard": plot_leaderboard(findings),
        "severity": plot_severity(findings),
        "randomization": plot_randomization(findings),
    }


ONE, RANDOM, TOLD = plotting.BLUE, plotting.ORANGE, plotting.GRAY


def color_of(name: str) -> str:
    return RANDOM if name in PAIRS.values() else ONE if name in LEARNED else TOLD


def plot_points(axes: Axes, place: float, numbers: dict[str, Any], color: str, factor: float = 1.0) -> None:
    """Seeds as dots; the interquartile mean as a square with its interval."""
    values, middle, (low, high) = (np.multiply(numbers[key], factor) for key in ("seeds", "iqm", "ci95"))
    axes.plot(values, np.full(len(values), place + 0.22), "o", color=color, alpha=0.4, markersize=5)
    axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="s", color=color, capsize=5)


def plot_leaderboard(findings: Findings) -> Figure:
    """Every player a row: robustness; time, energy and roughness on the undisturbed pendulum."""
    rows = findings.rows
    best, single = next(iter(rows)), next(name for name in rows if name in LEARNED and name not in PAIRS.values())
    title = _(
        "Most robust: {best}, upright at the end of {share:.0f} % of the disturbed episodes.\n"
        "Best agent that was trained on one pendulum: {single}, {other:.0f} %",
        best=_(LABELS[best]),
        share=100 * rows[best]["robustness"]["iqm"],
        single=_(LABELS[single]),
        other=100 * rows[single]["robustness"]["iqm"],
    )
    figure, panels = plotting.slide(title, 4, sharey=True, gridspec_kw={"width_ratios": [2, 1, 1, 1]})
    numbers = "robustness", "seconds", "energy", "roughness"
    headings = _("robustness, % success"), _("time to upright, s"), _("energy, J"), _("roughness, N m")
    for panel, number, heading, digits in zip(panels, numbers, headings, (0, 1, 1, 2), strict=True):
        factor = 100 if number == "robustness" else 1
        for place, (name, row) in enumerate(rows.items()):
            plot_points(panel, place, row[number], color_of(name), factor)
            middle = factor * row[number]["iqm"]
            panel.annotate(f"{middle:.{digits}f}", (middle, place - 0.14), ha="center", va="bottom", fontsize=12)
        panel.set_xlabel(heading)
        panel.set_title(_("disturbed") if number == "robustness" else _("undisturbed"), fontsize=14)
        panel.grid(axis="y", visible=False)
    for panel in panels[1:]:
        panel.set_xlim(left=0)
    panels[0].set_yticks(range(len(rows)), [_(LABELS[name]) for name in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.7)
    labels = _("agent, trained on one pendulum"), _("agent, trained on random pendulums"), _("controller, told one")
    for color, label in zip((ONE, RANDOM, TOLD), labels, strict=True):
        panels[0].plot([], [], "s", color=color, label=label)
    words = _("dots: seeds      square: their interquartile mean with its 95 % interval")
    legend = {"title": words, "title_fontsize": 13}
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, **legend)
    return figure


LINES = {  # not all players: more than seven lines would hide each other
    "optimum": "black",
    "lqr-energy": TOLD,
    "mpc": plotting.PURPLE,
    "sac": plotting.SKY,
    "ppo": ONE,
    "ppo-random": RANDOM,
    INFORMED: plotting.GREEN,
}


def plot_severity(findings: Findings) -> Figure:
    """Success against the size of each disturbance."""
    flags = findings.flags
    worst = {}
    for name, one in DISTURBANCES.items():
        ends = [abs(size) == one.worst and kind == name for kind, size in flags.conditions]
        worst[name] = np.mean([interquartile_mean(x.success[:, ends].mean(1)) for x in findings.outcomes.values()])
    order = sorted(DISTURBANCES, key=lambda name: worst[name])
    title = _(
        "At its worst, {hard} leaves {low:.0f} % of the successes (mean of all players); {easy} leaves {high:.0f} %",
        hard=_(DISTURBANCES[order[0]].label),
        low=100 * worst[order[0]],
        easy=_(DISTURBANCES[order[-1]].label),
        high=100 * worst[order[-1]],
    )
    figure, panels = plotting.slide(title, 3, 2, sharey=True)
    for panel, (name, one) in zip(panels, DISTURBANCES.items(), strict=True):
        chosen = [i for i, (kind, __) in enumerate(flags.conditions) if kind in (name, NOMINAL[0])]
        chosen.sort(key=lambda i: flags.conditions[i][1])
        sizes = [flags.conditions[i][1] for i in chosen]
        width = 0.008 * (sizes[-1] - sizes[0])  # between the marks of two players
        for place, (player, color) in enumerate(LINES.items()):
            if player in findings.outcomes and (player != INFORMED or name in ("mass", "length")):
                values = 100 * findings.outcomes[player].success[:, chosen]
                middle, ends = interquartile_mean(values, 0), np.array([confidence_interval(x) for x in values.T])
                style = {"fmt": "o-", "markersize": 5, "linewidth": 1.8, "elinewidth": 1.2, "capsize": 2}
                x = np.array(sizes) + width * (place - len(LINES) // 2)
                panel.errorbar(x, middle, np.abs(ends.T - middle), color=color, label=_(LABELS[player]), **style)
        panel.set_xlabel(_(one.axis), fontsize=13)
        panel.set_title(_(one.label), fontsize=15)
    for panel in panels[::3]:
        panel.set_ylabel(_("success, %"))
    panels[0].set_ylim(-4, 104)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def plot_randomization(findings: Findings) -> Figure:
    """Agents trained on one pendulum and on random ones: success with each disturbance."""
    found = pairs(findings)
    changes = []
    for name in found:
        before, after = (100 * interquartile_mean(findings.robustness(who)) for who in (name, PAIRS[name]))
        words = {"agent": _(LABELS[name]), "before": before, "after": after}
        changes.append(_("{agent} from {before:.0f} to {after:.0f} %", **words))
    title = _("Training on random pendulums changes the robustness of {changes}", changes=", ".join(changes))
    figure, panels = plotting.slide(title, len(found), sharex=True, sharey=True)
    names = [NOMINAL[0], *DISTURBANCES, "robustness"]
    for panel, player in zip(panels, found, strict=True):
        for place, name in enumerate(names):
            for shift, who, color in ((-0.18, player, ONE), (0.18, PAIRS[player], RANDOM)):
                values = findings.robustness(who) if name == "robustness" else findings.share(who, name)
                plot_points(panel, place + shift, of_seeds(values), color, 100)
        panel.axhline(len(names) - 1.5, color=plotting.GRAY, linewidth=1)
        panel.set_xlabel(_("success, %"))
        panel.set_title(gain_words(findings, player), fontsize=15)
        panel.grid(axis="y", visible=False)
    kinds = [_(DISTURBANCES[name].label) for name in DISTURBANCES]
    panels[0].set_yticks(range(len(names)), [_("undisturbed"), *kinds, _("all disturbances")])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    for color, label in ((ONE, _("trained on one pendulum")), (RANDOM, _("trained on random pendulums"))):
        panels[0].plot([], [], "s", color=color, label=label)
    words = _("dots: seeds      square: their interquartile mean with its 95 % interval")
    legend = {"title": words, "title_fontsize": 13}
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, **legend)
    return figure


def gain_words(findings: Findings, player: str) -> str:
    """What training on random pendulums did to one agent."""
    gains = findings.gains(player)
    helped, hurt = (", ".join(_(DISTURBANCES[name].label) for name in names) for names in clear(gains))
    low, high = gains["robustness"]["ci95"]
    return _(
        "{agent}: {low:+.0f} to {high:+.0f} points (95 % interval)\nbetter: {helped}; worse: {hurt}",
        agent=_(LABELS[player]),
        low=100 * low,
        high=100 * high,
        helped=helped or _("nothing"),
        hurt=hurt or _("nothing"),
    )


PAGE = Page(
    question=_("Who still swings the pendulum up when it is not the one that they know?"),
    formula=(
        _(r"success: $\cos\theta_t > 0.9$ during the whole last second"),
        _(r"robustness $= \frac{1}{6} \sum_{d}$ share of successes with disturbance $d$, over all its sizes"),
        _(r"domain randomization: $\max_\pi \; E_{m, l, noise, delay} \left[ \sum_t r_t \right]$"),
    ),
    captions={
        "leaderboard": _(
            "The most robust player is at the top. The optimum has the highest return on the pendulum that it knows; "
            "its place says what that is worth elsewhere."
        ),
        "severity": _(
            "Each panel raises one disturbance from nothing to its worst; bars are 95 % intervals. The green line is "
            "told the true mass or length: where it stays up and others fall, it is knowledge that they lack."
        ),
        "randomization": _(
            "Each agent was trained twice, with the same steps: on one pendulum, and on random ones, drawn anew for "
            "every episode. Torque noise and pushes were in no training."
        ),
    },
    what_if=(
        ("balancier robust --also mpc-cem", _("is a planner that samples as robust as one that follows gradients?")),
        ("balancier robust --levels 8", _("where exactly does each player begin to fail?")),
        ("balancier robust --starts 40", _("how do the intervals shrink with more starts?")),
    ),
)

LESSON = Lesson(
    flags=Robust,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier robust --also mpc-cem",
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("robust", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
