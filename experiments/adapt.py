"""An agent adapts to a pendulum that it does not know (4.1 and 6.1): a network identifies length and mass and tells
them to the agent. Every episode draws both anew, each from 0.5 to 1.5 (m and kg). Four agents swing the pendulum up:
one knows both values, one is told what the network estimates, one has only a memory, and one has neither.

The agents are trained by PPO with the same number of steps. The agent that is told is the one that knows. It was never
trained on estimates: the network's estimate takes the place of the truth. The network is an MLP and a GRU. After each
step it gets the state before the step, the torque and the change of the speed, and it estimates both values anew.

A gap between two agents may come from the training alone. So the agent that knows is also tried with a fixed answer,
the middle of both ranges. The lesson compares five kinds of pendulums on validation pendulums. It chooses the kind on
which knowing most surely beats both, neither and the fixed answer, and judges on test pendulums.

`--quick` trains nothing: it tests the agents and the network that come with the package. They were trained and kept by
`balancier adapt --keep experiments/networks`. A seed is one independent training. The interquartile mean (IQM) is the
mean of the middle half of the seeds.

S seed, n pendulums, B minibatch, T steps of an episode, F features.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.table import Table
from scipy.stats import binned_statistic_2d

import agents
from agents import Agent
from agents.common import checkpoint
from agents.evaluation import TEST_SEED, VALIDATION_SEED
from balancier import N_, _
from envs.adaptation import ADAPTATION, HIGH, LOW, MIDDLE, UNKNOWN, Shows
from envs.physics import wrap
from experiments.common import plotting
from experiments.common.adapting import BATCH, STEPS, Identifier, Told, identify, pendulums, play
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import PENDULUM, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.sequences import SHIPPED, check_shipped, keep, load_shipped
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import make

DT = 0.05  # s, one step
GROUP = 5  # seeds of one job, on any number of processes: rounding, and so a result, depends on the group
DRAWS = 2_000  # of the bootstrap
CELLS = 4  # of the map of gaps, along each side
PENDULUMS = 400  # validation pendulums
SEQUENCE = 32  # steps that the memory unrolls in an update
SECONDS = {"memory": 78.0, "knows": 25.0, "neither": 22.0}  # of the processor, for five seeds; for the forecast alone
EARLY, SHOWN_STEPS, SHOWN = 5, (5, 20, 200), 3.0  # steps and s whose estimates are shown
SHIPPED_NAME = "adapt_identifier"  # the network of the package; the agents are adapt_knows and so on
KNOWS, TOLD, FIXED, MEMORY, NEITHER = "knows", "told", "fixed", "memory", "neither"
NAMES = {
    NEITHER: N_("neither"),
    FIXED: N_("told 1 m, 1 kg"),
    MEMORY: N_("memory only"),
    TOLD: N_("told the estimate"),
    KNOWS: N_("knows"),
}
COLORS = {
    NEITHER: plotting.GRAY,
    FIXED: plotting.SKY,
    MEMORY: plotting.YELLOW,
    TOLD: plotting.PURPLE,
    KNOWS: plotting.BLUE,
}
SHOWS: dict[str, Shows] = {KNOWS: "parameters", NEITHER: "nothing", MEMORY: "torque"}
KINDS = {  # signs of length - 1 and mass - 1; 0 for any
    N_("any"): (0, 0),
    N_("short and light"): (-1, -1),
    N_("short and heavy"): (-1, 1),
    N_("long and light"): (1, -1),
    N_("long and heavy"): (1, 1),
}


@dataclass(frozen=True)
class Adapt(ParallelFlags):
    """The identification network feeds the controller: pendulums of unknown length and mass."""

    steps: Annotated[int, at_least(1_000)] = 200_000
    """Steps of each seed of each agent."""
    pendulums: Annotated[int, at_least(BATCH)] = 1_000
    """Episodes that each identification network learns from."""
    hidden: Annotated[int, at_least(1)] = 32
    """Units of the identification network."""
    tests: Annotated[int, at_least(50)] = 400
    """Test pendulums, each with one episode."""
    keep: Path | None = None
    """Folder for the agents of the first five seeds, and for the identification network of the first."""

    @property
    def all_seeds(self) -> list[int]:
        return list(range(GROUP)) if self.quick else super().all_seeds


@dataclass(frozen=True)
class Trained:
    """What came of some seeds of one agent. The one that knows is also told estimates, or a fixed answer."""

    steps: int  # of each seed
    seconds: np.ndarray  # (2,), of the processor for one seed: of the agent, and of its network
    validation: dict[str, np.ndarray]  # name -> (S, n), return from each validation pendulum
    angle: dict[str, np.ndarray]  # name -> (S, n, T + 1), rad, from each test pendulum
    reward: dict[str, np.ndarray]  # name -> (S, n, T)
    estimate: np.ndarray  # (S, n, T + 1, 2), m and kg, of the test pendulums; else empty


# Comparison


def chosen(kind: str, pendulums: np.ndarray) -> np.ndarray:
    """Which pendulums (n, 2) of length (m) and mass (kg) are of this kind, (n,)."""
    return np.all(np.array(KINDS[kind]) * (pendulums - MIDDLE) >= 0, 1)


Interval = tuple[float, float, float]  # a value with its 95 % interval


def interval(statistic: Callable[..., Any], *groups: np.ndarray) -> Interval:
    """A statistic of interquartile means over seeds, with its bootstrap interval.

    Each group (S, k) holds k numbers of each seed, whose seeds are drawn together: the same agent in k situations. The
    statistic gets the k means of each group, one array (...) each.
    """
    generator = np.random.default_rng(0)
    value, draws = [], []
    for group in groups:
        index = generator.integers(len(group), size=(DRAWS, len(group)))
        value += list(interquartile_mean(group, 0))
        draws += list(interquartile_mean(group[index], 1).T)
    low, high = np.quantile(statistic(*draws), [0.025, 0.975])
    return float(statistic(*value)), float(low), float(high)


def gap_of(knows: np.ndarray, neither: np.ndarray) -> Interval:
    """How much larger the return of the agent that knows is, from the returns (S,) of both."""
    return interval(lambda high, low: high - low, knows[:, None], neither[:, None])


@dataclass(frozen=True)
class Findings:
    flags: Adapt
    trained: dict[str, Trained]  # knows, memory, neither
    validation_pendulums: np.ndarray  # (n, 2), m and kg
    pendulums: np.ndarray  # (n, 2), of the test

    @cached_property
    def validation_gaps(self) -> dict[str, dict[str, Interval]]:
        """For each kind of validation pendulums, what knowing is worth beside neither, and beside a fixed answer."""
        returns = self.merged("validation")
        masks = {kind: chosen(kind, self.validation_pendulums) for kind in KINDS}
        return {
            kind: {
                name: gap_of(*(returns[agent][:, mask].mean(1) for agent in (KNOWS, name))) for name in (NEITHER, FIXED)
            }
            for kind, mask in masks.items()
        }

    def merged(self, field: str) -> dict[str, np.ndarray]:
        """A field of all agents, by their names."""
        values = {name: value for trained in self.trained.values() for name, value in getattr(trained, field).items()}
        return {name: values[name] for name in NAMES if name in values}

    @property
    def kind(self) -> str:
        """The kind of pendulums on which knowing most surely beats both: its lower interval begins highest."""
        return max(KINDS, key=lambda kind: min(gap[1] for gap in self.validation_gaps[kind].values()))

    @cached_property
    def test(self) -> dict[str, np.ndarray]:
        """Name -> return (S, n) from each test pendulum."""
        return {name: reward.sum(-1) for name, reward in self.merged("reward").items()}

    @property
    def returns(self) -> dict[str, np.ndarray]:
        """Name -> mean return (S,) from the test pendulums of the kind."""
        mask = chosen(self.kind, self.pendulums)
        return {name: values[:, mask].mean(1) for name, values in self.test.items()}

    @cached_property
    def gap(self) -> Interval:
        return gap_of(self.returns[KNOWS], self.returns[NEITHER])

    @cached_property
    def closed(self) -> dict[str, Interval]:
        """Share of the gap that the estimate closes, that a fixed answer does, and that a memory does."""
        returns, neither = self.returns, self.returns[NEITHER][:, None]
        share = lambda knows, other, neither: (other - neither) / (knows - neither)  # noqa: E731
        same = {name: np.stack([returns[KNOWS], returns[name]], 1) for name in (TOLD, FIXED)}  # agents, told otherwise
        closed = {name: interval(share, pair, neither) for name, pair in same.items()}
        return closed | {MEMORY: interval(share, returns[KNOWS][:, None], returns[MEMORY][:, None], neither)}

    @property
    def error(self) -> np.ndarray:
        """Root mean square error of the running estimates of length (m) and mass (kg), (T + 1, 2)."""
        estimate = self.trained[KNOWS].estimate  # (S, n, T + 1, 2)
        return np.sqrt(((estimate - self.pendulums[:, None]) ** 2).mean((0, 1)))


# The lesson


def keywords(name: str, flags: Adapt) -> dict[str, Any]:
    """Keywords of PPO for an agent of this name; the values were tuned on the pendulum that does not change."""
    network = tuned("ppo", PENDULUM, "gru" if name == MEMORY else "mlp")
    lengths = {"sequence_length": SEQUENCE} if name == MEMORY else {}
    return network | lengths | {"anneal_steps": flags.steps, "env_kwargs": {"shows": SHOWS[name]}}


def starts(first: int, count: int) -> range:
    return range(first, first + count)


def work(job: Job, report: Callable[[float], None]) -> Trained:
    """Train (or load) and test some seeds of one agent, in a process of its own."""
    flags, name = job.settings, job.name
    share = job.cost - identify_seconds(flags, job)
    agent, seconds = (
        load_agent(name) if flags.quick else train(name, flags, job.seeds, lambda part: report(share * part))
    )
    shows = SHOWS[name]
    models: dict[str, tuple[Any, Shows]] = {name: (agent, shows)}
    identifier, identify_time = None, 0.0
    if name == KNOWS:
        load_or_train = load_identifier if flags.quick else identify
        began = time.process_time()
        identifier = load_or_train(agent, flags.hidden, flags.pendulums, lambda part: report((job.cost - share) * part))
        identify_time = (time.process_time() - began) / len(job.seeds)
        models |= {TOLD: (Told(agent, identifier), "nothing"), FIXED: (Told(agent, None), "nothing")}
    if flags.keep is not None and flags.seed in job.seeds:
        agent.save(flags.keep / f"adapt_{name}.safetensors", policy_only=True, notes={"seconds": round(seconds, 1)})
        if identifier is not None:
            weights = {key: tensor[:1].clone() for key, tensor in identifier.state_dict().items()}
            keep(flags.keep, SHIPPED_NAME, weights, {"seconds": round(identify_time, 1)})
    validation = starts(VALIDATION_SEED, PENDULUMS)
    played = {key: play(model, starts(TEST_SEED, flags.tests), sees) for key, (model, sees) in models.items()}
    return Trained(
        steps=agent.num_timesteps,
        seconds=np.array([seconds, identify_time]),
        validation={k: play(model, validation, sees).returns for k, (model, sees) in models.items() if k != TOLD},
        angle={key: episodes.angle for key, episodes in played.items()},
        reward={key: episodes.reward.astype(np.float32) for key, episodes in played.items()},
        estimate=np.zeros(0) if identifier is None else identifier.running(played[TOLD]),
    )


def train(name: str, flags: Adapt, seeds: Sequence[int], report: Callable[[float], None]) -> tuple[Agent, float]:
    """A trained agent, and the processor seconds for one seed; `report` takes the share that is done."""
    agent, began = make("ppo", ADAPTATION, seeds, keywords(name, flags)), time.process_time()
    agent.learn(flags.steps, lambda agent: report(agent.config.num_envs / flags.steps))
    return agent, (time.process_time() - began) / len(seeds)


def load_agent(name: str) -> tuple[Agent, float]:
    """The agent of this name that comes with the package, and the seconds of its training."""
    path = SHIPPED / f"adapt_{name}.safetensors"
    return agents.load(path), checkpoint.load(path)[1]["notes"]["seconds"]


def load_identifier(agent: Agent, hidden: int, count: int, report: Callable[[float], None]) -> Identifier:
    """The network that comes with the package, for all replicas of the agent; arguments as of `identify`."""
    identifier, (weights, _notes) = Identifier(hidden, seeds=agent.seeds), load_shipped(SHIPPED_NAME)
    identifier.load_state_dict({key: tensor.expand(len(agent), *tensor.shape[1:]) for key, tensor in weights.items()})
    return identifier


def identify_seconds(flags: Adapt, job: Job) -> float:
    """Processor seconds of the networks of a job, roughly."""
    return 0.0 if flags.quick or job.name != KNOWS else 0.005 * flags.pendulums * len(job.seeds)


def plan(flags: Adapt) -> list[Job]:
    """Groups of seeds of each agent."""
    seeds, jobs = flags.all_seeds, []
    for start in range(0, len(seeds), GROUP):
        group = tuple(seeds[start : start + GROUP])
        for name in SHOWS:
            cost = SECONDS[name] * flags.steps / 200_000 * (0.4 + 0.12 * len(group))
            job = Job(name, group, 2.0 if flags.quick else cost, flags)
            jobs.append(replace(job, cost=job.cost + identify_seconds(flags, job)))
    return jobs


def check(flags: Adapt) -> None:
    check_shipped(flags)
    for name in ("steps", "pendulums", "seeds", "seed"):
        if flags.quick and (found := getattr(flags, name)) != (expected := getattr(Adapt, name)):
            raise UsageError(f"--{name}: found {found} with --quick, which trains nothing, expected {expected}")


def forecast(flags: Adapt) -> str:
    time = duration(wall_seconds(plan(flags), 1 if flags.quick else flags.processes))
    if flags.quick:
        return _("agents and a network that come with the package, about {time}", time=time)
    counts = {"seeds": len(flags.all_seeds), "steps": flags.steps}
    return _("three agents of {seeds} seeds, {steps:,} steps each, about {time}", **counts, time=time)


def joined(parts: Sequence[Trained]) -> Trained:
    """All seeds of one agent, out of groups of them."""

    def both(field: str) -> dict[str, np.ndarray]:
        first = getattr(parts[0], field)
        return {name: np.concatenate([getattr(part, field)[name] for part in parts]) for name in first}

    counts = [len(next(iter(part.reward.values()))) for part in parts]
    seconds = np.average([part.seconds for part in parts], 0, counts)
    estimate = np.concatenate([part.estimate for part in parts])
    return Trained(parts[0].steps, seconds, both("validation"), both("angle"), both("reward"), estimate)


def measure(flags: Adapt) -> Findings:
    jobs = plan(flags)
    results = run_parallel(work, jobs, 1 if flags.quick else flags.processes, kinds=[Trained])
    groups = {name: [part for job, part in zip(jobs, results, strict=True) if job.name == name] for name in SHOWS}
    known = (pendulums(starts(first, n)) for first, n in ((VALIDATION_SEED, PENDULUMS), (TEST_SEED, flags.tests)))
    return Findings(flags, {name: joined(parts) for name, parts in groups.items()}, *known)


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, returns in findings.returns.items():
        yield findings.trained[KNOWS].steps, f"{name}/return", returns, findings.flags.all_seeds


def result(findings: Findings) -> dict[str, Any]:
    returns = {
        name: {"returns": values, "iqm": interquartile_mean(values), "ci95": confidence_interval(values)}
        for name, values in findings.returns.items()
    }
    error = findings.error
    return {
        "pendulums": findings.kind,
        "tests": int(chosen(findings.kind, findings.pendulums).sum()),
        "gap": findings.gap[0],
        "gap_ci95": findings.gap[1:],
        "closed": {name: closed[0] for name, closed in findings.closed.items()},
        "closed_ci95": {name: closed[1:] for name, closed in findings.closed.items()},
        "agents": returns,
        "validation_gaps": findings.validation_gaps,
        "rms_error": {f"{step * DT:g} s": dict(zip(UNKNOWN, error[step], strict=True)) for step in SHOWN_STEPS},
        "seconds_per_seed": {name: trained.seconds for name, trained in findings.trained.items()},
        "agents_are": "shipped" if findings.flags.quick else "trained",
    }


def interval_words(values: Interval) -> str:
    return "{:.1f} [{:.1f}, {:.1f}]".format(*values)


def share_words(closed: Interval) -> str:
    """A share of the gap with its interval, in per cent."""
    share, low, high = (100 * part for part in closed)
    return _("{share:.0f} % [{low:.0f}, {high:.0f}]", share=share, low=low, high=high)


def table(findings: Findings) -> Table:
    mask = chosen(findings.kind, findings.pendulums)
    title = _(
        "{kind}: {count} test pendulums, {seeds} seeds of {steps:,} steps each",
        kind=_(findings.kind),
        count=int(mask.sum()),
        seeds=len(findings.flags.all_seeds),
        steps=findings.trained[KNOWS].steps,
    )
    table = Table(_("agent"), title=title)
    for heading in (_("return, IQM [95 %]"), _("worst seed"), _("share of the gap closed [95 %]"), _("all pendulums")):
        table.add_column(heading, justify="right")
    for name, values in findings.returns.items():
        low, high = confidence_interval(values)
        numbers = interval_words((interquartile_mean(values), low, high)), f"{values.min():.1f}"
        closed = share_words(findings.closed[name]) if name in findings.closed else ""
        table.add_row(_(NAMES[name]), *numbers, closed, f"{interquartile_mean(findings.test[name].mean(1)):.1f}")
    second, error = round(1 / DT), findings.error
    table.caption = _(
        "Knowing is worth {gap} here. After 1 s the network is wrong by {length:.3f} m and {mass:.3f} kg (RMS, all "
        "test pendulums), at the end by {last_length:.3f} m and {last_mass:.3f} kg.",
        gap=interval_words(findings.gap),
        length=error[second, 0],
        mass=error[second, 1],
        last_length=error[-1, 0],
        last_mass=error[-1, 1],
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "gap": plot_gap(findings),
        "where": plot_where(findings),
        "estimate": plot_estimate(findings),
        "episode": plot_episode(findings),
    }


def gap_title(findings: Findings) -> str:
    """The share that the estimate closes; that there is no gap, where its interval holds 0."""
    words = {"gap": interval_words(findings.gap), "kind": _(findings.kind)}
    if findings.gap[1] <= 0:
        return _(
            "Knowing is worth {gap} on the test pendulums ({kind}):\nno sure gap that an estimate could close", **words
        )
    return _(
        "Told what the network estimates, the agent closes {share} of the gap\n"
        "between neither and knows, which is {gap} ({kind} pendulums)",
        share=share_words(findings.closed[TOLD]),
        **words,
    )


def plot_gap(findings: Findings) -> Figure:
    """Mean return of every agent on the test pendulums of the kind: bars from the agent with neither, and seeds."""
    returns = findings.returns
    figure, (axes,) = plotting.slide(gap_title(findings))
    base = interquartile_mean(returns[NEITHER])
    for place, (name, values) in enumerate(returns.items()):
        middle, (low, high) = interquartile_mean(values), confidence_interval(values)
        axes.bar(place, middle - base, bottom=base, width=0.6, color=COLORS[name], alpha=0.45)
        axes.errorbar(place, middle, yerr=[[middle - low], [high - middle]], fmt="s", color=COLORS[name], capsize=8)
        axes.plot(place + 0.2 + 0.012 * np.arange(len(values)), values, "o", color=COLORS[name], alpha=0.6)
    for name, style in ((NEITHER, ":"), (KNOWS, "--")):
        label = _("IQM of {agent}", agent=_(NAMES[name]))
        axes.axhline(interquartile_mean(returns[name]), color=COLORS[name], linestyle=style, linewidth=1.8, label=label)
    shares = {name: share_words(closed) for name, closed in findings.closed.items()}
    axes.set_xticks(range(len(returns)), ["\n".join([_(NAMES[name]), shares.get(name, "")]) for name in returns])
    axes.set_ylabel(_("mean return from the test pendulums"))
    axes.grid(axis="x", visible=False)
    title = _("square, bar: interquartile mean and its 95 % interval      dots: seeds      per cent: share of the gap")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, title=title, title_fontsize=13
    )
    return figure


def plot_where(findings: Findings) -> Figure:
    """What knowing is worth, over length and mass."""
    gap = findings.test[KNOWS].mean(0) - findings.test[NEITHER].mean(0)  # (n,)
    edges, square = np.linspace(LOW, HIGH, CELLS + 1), [[LOW, HIGH], [LOW, HIGH]]
    length, mass = findings.pendulums.T
    means = binned_statistic_2d(length, mass, gap, "mean", CELLS, square).statistic  # (length, mass)
    best = findings.kind
    gaps = {name: interval_words(gap) for name, gap in findings.validation_gaps[best].items()}
    figure, (axes,) = plotting.slide(
        _(
            "Knowing is most surely worth something on these pendulums: {kind}.\n"
            "Validation: {neither} better than neither, {fixed} better than told 1 m, 1 kg",
            kind=_(best),
            **gaps,
        )
    )
    most = np.nanmax(np.abs(means))
    mesh = axes.pcolormesh(edges, edges, means.T, cmap="PuOr", vmin=-most, vmax=most)
    middles = (edges[1:] + edges[:-1]) / 2
    for i, length in enumerate(middles):
        for j, mass in enumerate(middles):
            color = "white" if abs(means[i, j]) > most / 2 else "black"
            axes.text(length, mass, f"{means[i, j]:+.0f}", ha="center", va="center", fontsize=16, color=color)
    sides = [(LOW if sign <= 0 else MIDDLE, HIGH if sign >= 0 else MIDDLE) for sign in KINDS[best]]
    (left, right), (bottom, top) = sides
    axes.add_patch(Rectangle((left, bottom), right - left, top - bottom, fill=False, linewidth=4, label=_(best)))
    axes.set(xlabel=_("length, m"), ylabel=_("mass, kg"))
    axes.grid(visible=False)
    figure.colorbar(mesh, ax=axes, label=_("return of knows - return of neither"))
    figure.legend(loc="outside lower center")
    return figure


def plot_estimate(findings: Findings) -> Figure:
    """The first seed's running estimates on three pendulums, and the error over all of them."""
    error, second, time = findings.error, round(1 / DT), DT * np.arange(STEPS + 1)
    figure, panels = plotting.slide(
        _(
            "After {early:.2f} s the network is wrong by {early_length:.2f} m and {early_mass:.2f} kg, after 1 s by "
            "{length:.3f} m and {mass:.3f} kg\n(RMS over {count} pendulums that it has never met)",
            early=EARLY * DT,
            early_length=error[EARLY, 0],
            early_mass=error[EARLY, 1],
            length=error[second, 0],
            mass=error[second, 1],
            count=len(findings.pendulums),
        ),
        2,
    )
    weight = findings.pendulums.prod(1)
    examples = [int(np.abs(weight - wanted).argmin()) for wanted in np.quantile(weight, [0.1, 0.6, 1.0])]
    for index, (panel, label) in enumerate(zip(panels, (_("length, m"), _("mass, kg")), strict=True)):
        for place, color in zip(examples, (plotting.YELLOW, plotting.PURPLE, plotting.BLUE), strict=True):
            length, mass = findings.pendulums[place]
            name = _("{length:.2f} m, {mass:.2f} kg", length=length, mass=mass)
            panel.plot(time, findings.trained[KNOWS].estimate[0, place, :, index], color=color, label=name)
            panel.axhline(findings.pendulums[place, index], color=color, linestyle="--", linewidth=1.5)
        panel.set(xlabel=_("time, s"), ylabel=label, xlim=(0, SHOWN), ylim=(LOW - 0.05, HIGH + 0.05))
    panels[0].plot([], [], color="black", linestyle="--", linewidth=1.5, label=_("truth"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def plot_episode(findings: Findings) -> Figure:
    """The agents on a test pendulum whose gap is typical of the kind: distance from the top, and the cost so far."""
    known = findings.pendulums
    knows, neither = (np.median(findings.test[name], 0) for name in (KNOWS, NEITHER))
    off = np.abs(knows - neither - findings.gap[0])
    place = int(np.where(chosen(findings.kind, known), off, np.inf).argmin())
    length, mass = known[place]
    angles, rewards = (
        {name: x[:, place] for name, x in findings.merged(field).items()} for field in ("angle", "reward")
    )
    costs = {name: -rewards[name].cumsum(1) for name in NAMES}
    middle = {name: float(np.median(cost[:, -1])) for name, cost in costs.items()}
    figure, (left, right) = plotting.slide(
        _(
            "On a pendulum whose gap is typical ({length:.2f} m, {mass:.2f} kg) an episode costs (median)\n"
            "who knows {knows:.0f}, told the estimate {told:.0f}, memory only {memory:.0f}, neither {neither:.0f}",
            length=length,
            mass=mass,
            knows=middle[KNOWS],
            told=middle[TOLD],
            memory=middle[MEMORY],
            neither=middle[NEITHER],
        ),
        2,
    )
    time = DT * np.arange(STEPS + 1)
    for name in (NEITHER, MEMORY, TOLD, KNOWS):
        typical = int(np.abs(costs[name][:, -1] - middle[name]).argmin())
        left.plot(time, np.degrees(np.abs(wrap(angles[name][typical]))), color=COLORS[name], label=_(NAMES[name]))
        right.plot(time[1:], costs[name][typical], color=COLORS[name])
    left.set(xlabel=_("time, s"), ylabel=_("angle from the top, degrees"), yticks=range(0, 181, 45))
    right.set(xlabel=_("time, s"), ylabel=_("cost so far (negative rewards)"))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


PAGE = Page(
    question=_("How much of the value of knowing a pendulum does a network's estimate bring back?"),
    formula=(
        _(r"pendulum: $\dot\omega = \frac{3 g}{2 l} \sin\theta + \frac{3}{m l^2} u$, with $l, m \in [0.5, 1.5]$"),
        _(
            r"estimate: $(\hat l_t, \hat m_t) = f(x_1, \ldots, x_t)$, "
            r"$x_t = (\cos\theta, \sin\theta, \omega, u, \Delta\omega)$"
        ),
        _(r"knows: $u = \pi(\theta, \omega, l, m)$; told the estimate: $u = \pi(\theta, \omega, \hat l_t, \hat m_t)$"),
        _(r"share closed $= (R_{told} - R_{neither}) / (R_{knows} - R_{neither})$"),
    ),
    captions={
        "gap": _(
            "All agents swing up the same test pendulums from the same starts. The agent that is told is the one that "
            "knows, with the network's estimate, or a fixed answer, in place of the truth. A share of the gap that the "
            "fixed answer closes comes from the training, not from the estimate."
        ),
        "where": _(
            "Each cell is the mean difference over its test pendulums and all seeds. The frame is the kind of pendulum "
            "that was chosen on the validation pendulums alone."
        ),
        "estimate": _(
            "Lines are the estimates of the first seed's network while it drives, dashed lines the truth. Before the "
            "first step it knows nothing, and says the middle of the range."
        ),
        "episode": _(
            "Each line is the seed whose cost is nearest the median of its agent, on the test pendulum whose gap is "
            "nearest that of its kind. An agent that misjudges the last swing has to swing once more."
        ),
    },
    what_if=(
        ("balancier adapt --hidden 4", _("a network of four units: how much of the gap does it still close?")),
        ("balancier adapt --pendulums 100", _("few pendulums to learn from: the estimates get worse")),
        ("balancier adapt --steps 20000", _("agents that have learned little: is the gap still there?")),
    ),
)

LESSON = Lesson(
    flags=Adapt,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier adapt --hidden 4, and see the estimates and the gap"),
    metrics=metrics,
    check=check,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("adapt", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
