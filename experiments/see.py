"""An agent that was trained on the state drives from pixels (5.2, 6.1): a convolutional network (CNN) reads cosine,
sine and speed off two frames, and the agent takes the reading for the state. Beside it stands an agent that was trained
end to end, from pixels to values of actions, with a CNN of the same size.

Every agent is DQN on `balancier/PendulumDiscrete-v0`, with five torques and the same number of steps. A picture shows
the nearest of 4,096 angles. So no reader can be exact: the lesson also drives from a table of all pictures, which reads
as much as the pixels hold. The CNN learns from pairs of frames whose true angle and speed are known; the end-to-end
agent needs no such labels.

The end-to-end agent takes minutes for each seed. It comes with the package, with the steps and the processor seconds of
its training; `balancier see --train-pixels --keep experiments/networks` made it. With `--quick` the CNN is one that
comes with the package, too. A seed is one independent training of an agent and its CNN. The regret is the best mean
return that is possible from the same starts, minus the mean return.

S seed, n pairs of frames or starts, B minibatch, E evaluations, H and W height and width of a frame.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from rich.table import Table
from torch import Tensor
from torch.utils.data import TensorDataset

import agents
from agents import Agent
from agents.common import checkpoint
from agents.evaluation import TEST_SEED, VALIDATION_SEED, evaluate
from balancier import N_, _, numeral
from envs.raster import ANGLES, SIZE, frames
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import DISCRETE, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.readers import UNITS, Reader, Seeing, draw, errors, random_pairs, read_table
from experiments.common.runs import Metric
from experiments.common.sequences import SHIPPED, keep, load_shipped
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import EVALUATIONS, STARTS, Training, make, mean_optimum, summary, train_agent
from experiments.common.training import forecast as training_seconds
from models import fit
from models.fitting import triangle

PIXELS: dict[str, Any] = {"observation": "pixels"}
BATCH, LEARNING_RATE = 32, 3e-3
GROUP = 5  # seeds of one job, on any number of processes: rounding, and so a result, depends on the group
PIXEL_SEEDS = 3  # that --train-pixels trains
TEST_PAIRS = 3_000
BINS = 24  # of the circle, for errors
READER_SECONDS = 1.8e-4  # of the processor, for one pair; for the forecast alone, as the next one
DRIVE_SECONDS = 1e-4  # for one step from pixels
STATE, TABLE, READER, END = "state", "table", "cnn", "end_to_end"
NAMES = {
    STATE: N_("state"),
    TABLE: N_("pixels, read from a table"),
    READER: N_("pixels, read by the CNN"),
    END: N_("pixels, end to end"),
}
COLORS = {STATE: plotting.BLUE, TABLE: "black", READER: plotting.PURPLE, END: plotting.ORANGE}


@dataclass(frozen=True)
class See(ParallelFlags):
    """An agent drives from what a convolutional network reads off pixels."""

    steps: Annotated[int, at_least(EVALUATIONS)] = 15_000
    """Steps of each seed of an agent (at most 8,000 with --quick)."""
    pairs: Annotated[int, at_least(BATCH)] = 10_000
    """Pairs of frames in a pass of the CNN's training."""
    epochs: Annotated[int, at_least(1)] = 4
    """Passes over the pairs."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each seed (at most 20 with --quick)."""
    train_pixels: bool = False
    """Train three end-to-end agents (5 min of the processor each) instead of those that come with the package."""
    keep: Path | None = None
    """Folder for the CNN of the first seed and, with --train-pixels, for the end-to-end agents."""

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: 5 if self.quick else None]

    @property
    def steps_to_train(self) -> int:
        return min(self.steps, 8_000) if self.quick else self.steps

    @property
    def starts(self) -> range:
        count = min(self.eval_episodes, 20) if self.quick else self.eval_episodes
        return range(TEST_SEED, TEST_SEED + count)

    @property
    def pixel_seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + PIXEL_SEEDS))


@dataclass(frozen=True)
class Sight:
    """What came of some seeds of the agent on the state, each with its CNN."""

    training: Training
    driven: dict[str, np.ndarray]  # "table" and "cnn" -> (S, n), return from each test start
    reading: np.ndarray  # (S, n, 3), of the test pairs: cos, sin, speed (rad/s)
    seconds: float  # of the processor, for the CNN of one seed
    weights: dict[str, Tensor]  # of the first seed's CNN


@dataclass(frozen=True)
class EndToEnd:
    """An agent of one seed that was trained from pixels."""

    seed: int
    num_steps: int
    seconds: float  # of the processor, for its training
    curve: np.ndarray  # (E, 3): steps, processor seconds, mean return from the validation starts
    test_returns: np.ndarray  # (n,)


@dataclass(frozen=True)
class Findings:
    flags: See
    training: Training  # of the agent on the state; its seconds are those of all seeds
    returns: dict[str, np.ndarray]  # name of an agent -> (S, n), return from each test start
    end: list[EndToEnd]
    angles: np.ndarray  # (n, 2), true, one step apart
    truth: np.ndarray  # (n, 3), cos, sin, speed
    readings: dict[str, np.ndarray]  # "table" (1, n, 3) and "cnn" (S, n, 3)
    reader_seconds: float  # of the processor, for one CNN
    optimum: float
    validation_optimum: float

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """Errors of each reader, (S, n, 2): angle (rad) and speed (rad/s)."""
        return {name: errors(reading, self.truth) for name, reading in self.readings.items()}

    @property
    def regrets(self) -> dict[str, np.ndarray]:
        """Mean regret of each seed of each agent, (S,)."""
        return {name: self.optimum - returns.mean(1) for name, returns in self.returns.items()}

    @property
    def seconds(self) -> dict[str, float]:
        """Processor seconds that one seed takes to learn, the CNN with it."""
        state = self.training.train_seconds / len(self.flags.all_seeds)
        end = float(np.mean([agent.seconds for agent in self.end]))
        return {STATE: state, TABLE: state, READER: state + self.reader_seconds, END: end}

    @property
    def extra_regret(self) -> float:
        """Regret of driving through the CNN over that of driving from the state."""
        return interquartile_mean(self.regrets[READER]) - interquartile_mean(self.regrets[STATE])


# Training


def train_reader(flags: See, seeds: Sequence[int], report: Callable[[float], None]) -> tuple[Reader, float]:
    """The CNNs of these seeds, and the processor seconds for one; `report` takes the share that is done.

    With --quick it is the one that comes with the package, for all seeds.
    """
    if flags.quick:
        weights, notes = load_shipped("see_cnn")
        reader = Reader(seeds=1)
        reader.load_state_dict(weights)
        return reader, notes["seconds"]
    reader = Reader(seeds=list(seeds))
    angles, truth = random_pairs(flags.pairs, flags.seed)
    history = fit(
        reader,
        TensorDataset(*(torch.tensor(x, dtype=torch.get_default_dtype()) for x in (angles, truth / UNITS))),
        seeds=list(seeds),
        epochs=flags.epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        schedule=triangle(flags.epochs, 0.1),
        augment=lambda angles, epoch: draw(angles),
        callback=lambda *__: report(1 / flags.epochs),
    )
    return reader, history.seconds / len(seeds)


def train_sight(job: Job, report: Callable[[float], None]) -> Sight:
    """Train some seeds of the agent on the state, and their CNNs; drive from pixels with both."""
    flags, steps = job.settings, job.settings.steps_to_train
    share = training_seconds("dqn", steps, len(job.seeds))  # of the job's cost, for the agent
    agent = make("dqn", DISCRETE, job.seeds, tuned("dqn", DISCRETE))
    advance = lambda done, __: report(share * done / steps)  # noqa: E731
    training = train_agent(agent, DISCRETE, steps, len(flags.starts), advance)
    reader, seconds = train_reader(flags, job.seeds, lambda part: report((job.cost - share) * part))
    angles, _truth = random_pairs(TEST_PAIRS, TEST_SEED)
    obs = np.repeat(frames(angles)[None], 1 if flags.quick else len(job.seeds), 0)
    return Sight(
        training=training,
        driven={TABLE: drive(agent, read_table, flags.starts), READER: drive(agent, reader.read, flags.starts)},
        reading=reader.read(obs),
        seconds=seconds,
        weights={name: tensor[:1].clone() for name, tensor in reader.state_dict().items()},
    )


def drive(agent: Agent, read: Callable[[np.ndarray], np.ndarray], starts: range) -> np.ndarray:
    """Returns (S, n) of an agent on the state that sees pixels through a reader."""
    return evaluate(Seeing(agent, read), DISCRETE, starts, PIXELS)


def train_end_to_end(job: Job, report: Callable[[float], None]) -> EndToEnd:
    """Train one seed from pixels, and keep it as a file if --keep says so."""
    flags, (seed,) = job.settings, job.seeds
    agent = make("dqn", DISCRETE, [seed], tuned("dqn", DISCRETE, "cnn") | {"env_kwargs": PIXELS})
    advance = lambda done, __: report(job.cost * done / flags.steps)  # noqa: E731
    training = train_agent(agent, DISCRETE, flags.steps, len(flags.starts), advance)
    curve = np.stack([training.steps, training.seconds, training.curve[:, 0]], 1)
    if flags.keep is not None:
        notes = {"seconds": round(training.train_seconds, 1), "curve": curve.round(2).tolist()}
        agent.save(flags.keep / f"see_pixels_{seed}.safetensors", policy_only=True, notes=notes)
    return EndToEnd(seed, flags.steps, training.train_seconds, curve, training.test_returns[0])


def shipped_files() -> list[Path]:
    """The end-to-end agents that come with the package, one seed each."""
    return sorted(SHIPPED.glob("see_pixels_*.safetensors"))


def load_end_to_end(job: Job, report: Callable[[float], None]) -> EndToEnd:
    """Test an end-to-end agent that comes with the package."""
    path = shipped_files()[job.seeds[0]]
    agent, notes = agents.load(path), checkpoint.load(path)[1]["notes"]
    returns = evaluate(agent, DISCRETE, job.settings.starts, PIXELS)[0]
    report(job.cost)
    return EndToEnd(agent.seeds[0], agent.num_timesteps, notes["seconds"], np.array(notes["curve"]), returns)


WORK = {"sight": train_sight, "end to end": train_end_to_end, "end to end, shipped": load_end_to_end}


def work(job: Job, report: Callable[[float], None]) -> Sight | EndToEnd:
    """One job, in a process of its own."""
    return WORK[job.name](job, report)


# The lesson


def plan(flags: See) -> list[Job]:
    """Groups of seeds of the agent on the state, and the end-to-end agents."""
    seeds = flags.all_seeds
    groups = [tuple(seeds[start : start + GROUP]) for start in range(0, len(seeds), GROUP)]
    driving = DRIVE_SECONDS * len(flags.starts) * 200  # seconds of one seed
    reading = driving + (0 if flags.quick else READER_SECONDS * flags.pairs * flags.epochs)
    agent_seconds = {group: training_seconds("dqn", flags.steps_to_train, len(group)) for group in groups}
    jobs = [Job("sight", group, agent_seconds[group] + reading * len(group), flags) for group in groups]
    if flags.train_pixels:
        cost = training_seconds("dqn", flags.steps, 1, "cnn")
        return jobs + [Job("end to end", (seed,), cost, flags) for seed in flags.pixel_seeds]
    return jobs + [Job("end to end, shipped", (index,), driving, flags) for index in range(len(shipped_files()))]


def check(flags: See) -> None:
    for name, given in ("--keep", flags.keep), ("--train-pixels", flags.train_pixels):
        if flags.quick and given:
            raise UsageError(f"{name}: found {given} with --quick, expected a run that trains")
    for name in ("pairs", "epochs"):
        if flags.quick and (found := getattr(flags, name)) != (default := getattr(See, name)):
            reason = "as for the CNN that comes with the package"
            raise UsageError(f"--{name}: found {found} with --quick, expected {default}, {reason}")
    if not flags.train_pixels and not shipped_files():
        raise UsageError(f"--train-pixels: found no see_pixels_*.safetensors in {SHIPPED}, expected the flag")


def forecast(flags: See) -> str:
    time = duration(wall_seconds(plan(flags), 1 if flags.quick else flags.processes))
    counts = {"seeds": len(flags.all_seeds), "steps": flags.steps_to_train, "time": time}
    if flags.quick:
        return _("{seeds} seeds of DQN, {steps:,} steps; the CNN comes with the package, about {time}", **counts)
    if flags.train_pixels:
        return _("{seeds} seeds of DQN and its CNN, then agents from pixels, about {time}", **counts)
    return _("{seeds} seeds of DQN, {steps:,} steps, each with its CNN, about {time}", **counts)


def measure(flags: See) -> Findings:
    jobs = plan(flags)
    results = run_parallel(work, jobs, 1 if flags.quick else flags.processes, kinds=[Sight, EndToEnd, Training])
    sights = [result for result in results if isinstance(result, Sight)]
    end = [result for result in results if isinstance(result, EndToEnd)]
    training = joined([sight.training for sight in sights])
    returns = {name: np.concatenate([sight.driven[name] for sight in sights]) for name in (TABLE, READER)}
    angles, truth = random_pairs(TEST_PAIRS, TEST_SEED)
    seconds = float(np.average([sight.seconds for sight in sights], weights=[len(s.reading) for s in sights]))
    if flags.keep is not None:
        keep(flags.keep, "see_cnn", sights[0].weights, {"seconds": round(seconds, 1)})
    optimum = mean_optimum(DISCRETE, flags.starts)
    validation_optimum = mean_optimum(DISCRETE, range(VALIDATION_SEED, VALIDATION_SEED + STARTS))
    assert optimum is not None
    assert validation_optimum is not None
    return Findings(
        flags=flags,
        training=training,
        returns={STATE: training.test_returns, **returns, END: np.stack([agent.test_returns for agent in end])},
        end=end,
        angles=angles,
        truth=truth,
        readings={TABLE: read_table(frames(angles))[None], READER: np.concatenate([x.reading for x in sights])},
        reader_seconds=seconds,
        optimum=optimum,
        validation_optimum=validation_optimum,
    )


def joined(trainings: Sequence[Training]) -> Training:
    """Trainings of several groups of seeds as one, whose seconds are those of all."""
    return Training(
        steps=trainings[0].steps,
        seconds=np.sum([training.seconds for training in trainings], 0),
        curve=np.concatenate([training.curve for training in trainings], 1),
        test_returns=np.concatenate([training.test_returns for training in trainings]),
        train_seconds=sum(training.train_seconds for training in trainings),
    )


def rms(error: np.ndarray) -> np.ndarray:
    """Root mean square errors of angle (degrees) and speed (rad/s) of each seed, (S, 2), of errors (S, n, 2)."""
    angle, speed = np.sqrt(np.square(error).mean(1)).T
    return np.stack([np.rad2deg(angle), speed], 1)


# Output


def rows(findings: Findings) -> dict[str, dict[str, Any]]:
    """Figures of merit of each way to drive: return, regret, and what one seed took to learn."""
    seeds = {END: [agent.seed for agent in findings.end]}
    steps = {END: findings.end[0].num_steps}
    return {
        name: {"seeds": seeds.get(name, findings.flags.all_seeds)}
        | summary(returns.mean(1), findings.optimum)
        | {"steps": steps.get(name, findings.flags.steps_to_train), "seconds": round(findings.seconds[name], 1)}
        for name, returns in findings.returns.items()
    }


def metrics(findings: Findings) -> Iterable[Metric]:
    for step, returns in zip(findings.training.steps, findings.training.curve, strict=True):
        yield int(step), f"{STATE}/return", returns, findings.flags.all_seeds
    for agent in findings.end:
        for step, _seconds, value in agent.curve:
            yield int(step), f"{END}/return", [value], [agent.seed]


def result(findings: Findings) -> dict[str, Any]:
    flags = findings.flags
    middle = {name: np.median(rms(error), 0) for name, error in findings.errors.items()}
    return {
        "env": DISCRETE,
        "optimum": findings.optimum,
        "agents": rows(findings),
        "extra_regret": findings.extra_regret,
        "extra_regret_ci95": confidence_interval(findings.regrets[READER] - findings.regrets[STATE]),
        "rms": {name: {"angle_degrees": angle, "speed": speed} for name, (angle, speed) in middle.items()},
        "labeled_pairs": flags.pairs,
        "reader_seconds": round(findings.reader_seconds, 1),
        "reader": "shipped" if flags.quick else "trained",
        "end_to_end": "trained" if flags.train_pixels else "shipped",
    }


def name_of(name: str, findings: Findings) -> str:
    """The name of a way to drive; what comes with the package is named so."""
    shipped = (name == END and not findings.flags.train_pixels) or (name == READER and findings.flags.quick)
    return _("{name} (shipped)", name=_(NAMES[name])) if shipped else _(NAMES[name])


def table(findings: Findings) -> Table:
    table = Table(
        _("the agent gets"),
        title=_("DQN on {env}, {count} test starts each", env=DISCRETE, count=len(findings.flags.starts)),
        caption=_(
            "RMS errors: the CNN {angle:.2f} degrees and {speed:.3f} rad/s, the table of all pictures {least:.3f} "
            "degrees and {slowest:.3f} rad/s.\nSeconds are those of the processor; the training of the CNN, on "
            "{pairs:,} labeled pairs of frames, is in them.",
            pairs=findings.flags.pairs,
            **error_words(findings),
        ),
    )
    for heading in (_("seeds"), _("steps"), _("s per seed"), _("IQM [95 %]"), _("worst seed"), _("regret")):
        table.add_column(heading, justify="right")
    for name, row in rows(findings).items():
        (low, high), seconds = row["ci95"], f"{row['seconds']:.1f}"
        numbers = str(len(row["seeds"])), numeral(row["steps"]), seconds, f"{row['iqm']:.1f} [{low:.1f}, {high:.1f}]"
        table.add_row(name_of(name, findings), *numbers, f"{min(row['returns']):.1f}", f"{row['regret']:.1f}")
    return table


def error_words(findings: Findings) -> dict[str, float]:
    """RMS errors of the CNN (median of the seeds) and of the table, for texts."""
    cnn, least = (np.median(rms(findings.errors[name]), 0) for name in (READER, TABLE))
    return {"angle": cnn[0], "speed": cnn[1], "least": least[0], "slowest": least[1]}


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"pixels": plot_pixels(findings), "errors": plot_errors(findings), "regret": plot_regret(findings)}


def plot_pixels(findings: Findings, count: int = 4) -> Figure:
    """Some pairs of frames, with the true and the read angle and speed of the first seed."""
    figure, panels = plotting.slide(
        _(
            "From two pictures of {size} x {size} pixels the CNN reads the angle to {angle:.1f} degrees\n"
            "and the speed to {speed:.2f} rad/s (RMS)",
            size=SIZE,
            **error_words(findings),
        ),
        count,
        2,
    )
    around = np.argsort(true_angles(findings))[len(findings.truth) // (2 * count) :: len(findings.truth) // count]
    pairs = frames(findings.angles[around]).reshape(count, 2, 3, SIZE, SIZE).transpose(1, 0, 3, 4, 2)
    for panel, picture in zip(panels, pairs.reshape(-1, SIZE, SIZE, 3), strict=True):
        panel.imshow(picture, extent=(-1, 1, -1, 1))
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(True)
        panel.grid(visible=False)
    panels[0].set_ylabel(_("one step ago"))
    panels[count].set_ylabel(_("now"))
    numbers = findings.truth[around], findings.readings[READER][0, around]
    for panel, truth, reading in zip(panels[count:], *numbers, strict=True):
        cos, sin, _speed = reading
        panel.plot([0, -0.95 * sin], [0, 0.95 * cos], "--", color=plotting.BLUE, linewidth=2)
        words = (state_words(word, x) for word, x in ((_("true"), truth), (_("read"), reading)))
        panel.set_xlabel("\n".join(words), fontsize=15)
    return figure


def state_words(word: str, state: np.ndarray) -> str:
    """Angle in degrees and speed of cos, sin and speed (3,)."""
    angle = np.rad2deg(np.arctan2(state[1], state[0]))
    return _("{word}: {angle:.1f}°, {speed:.2f} rad/s", word=word, angle=angle, speed=state[2])


def true_angles(findings: Findings) -> np.ndarray:
    """Of the test pairs, degrees, (n,)."""
    return np.rad2deg(np.arctan2(findings.truth[:, 1], findings.truth[:, 0]))


def plot_errors(findings: Findings) -> Figure:
    """RMS error of angle and speed in sectors of the circle, of the CNN of every seed and of the table."""
    words = error_words(findings)
    figure, panels = plotting.slide(
        _(
            "The CNN errs by {angle:.2f} degrees and {speed:.3f} rad/s (RMS); the pixels hold more:\n"
            "a table of all {count:,} pictures errs by {least:.3f} degrees and {slowest:.3f} rad/s",
            count=ANGLES,
            **words,
        ),
        2,
    )
    edges = np.linspace(-180, 180, BINS + 1)
    sectors = np.digitize(true_angles(findings), edges) - 1
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    cnn = _("CNN, median and range of {count} seeds", count=len(findings.readings[READER]))
    labels = {READER: _("CNN (shipped)") if findings.flags.quick else cnn, TABLE: _("table of all pictures")}
    for name, line in ((READER, "-"), (TABLE, "--")):
        error = findings.errors[name]
        binned = np.stack([rms(error[:, sectors == sector]) for sector in range(BINS)])  # (BINS, S, 2)
        for panel, values in zip(panels, np.moveaxis(binned, -1, 0), strict=True):
            plotting.quantile_band(panel, middles, values, labels[name], COLORS[name], linestyle=line)
    quantities = _("error of the angle, degrees (RMS)"), _("error of the speed, rad/s (RMS)")
    for panel, quantity in zip(panels, quantities, strict=True):
        panel.set(yscale="log", xlabel=_("angle, degrees: 0 upright, 90 to the left"), ylabel=quantity)
        panel.set_xticks(range(-180, 181, 90))
        plain_log(panel.yaxis)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def plain_log(axis: Any, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Marks at these multiples of the powers of ten, written as plain numbers."""
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def plot_regret(findings: Findings) -> Figure:
    """The regret of every seed, and how it falls with the seconds of the training."""
    regrets, seconds = findings.regrets, findings.seconds
    middle = {name: interquartile_mean(values) for name, values in regrets.items()}
    figure, (finals, curves) = plotting.slide(
        _(
            "Regret: {state:.1f} from the state, {cnn:.1f} from what the CNN reads, {end_to_end:.1f} end to end "
            "(seeds: {count}),\nwhich takes {ratio:.0f} times the processor time of agent and CNN",
            **middle,
            count=len(findings.end),
            ratio=seconds[END] / seconds[READER],
        ),
        2,
    )
    plot_finals(finals, findings)
    training, colors = findings.training, COLORS
    time = (training.seconds / len(findings.flags.all_seeds)).tolist()
    plotting.iqm_band(curves, time, findings.validation_optimum - training.curve, _(NAMES[STATE]), colors[STATE])
    end = np.stack([agent.curve for agent in findings.end], 1)  # (E, S, 3)
    regret = findings.validation_optimum - end[..., 2]
    plotting.iqm_band(curves, end[..., 1].mean(1).tolist(), regret, name_of(END, findings), colors[END])
    label = _("{name}: agent and CNN, test starts", name=name_of(READER, findings))
    curves.plot(seconds[READER], middle[READER], "s", color=colors[READER], markersize=12, label=label)
    curves.set(xscale="log", yscale="log", xlabel=_("processor seconds of one seed"), ylabel=_("regret"))
    curves.set_title(_("while they learn ({count} validation starts)", count=STARTS))
    plain_log(curves.xaxis, (1,))
    plain_log(curves.yaxis)
    explanation = _("line, square: interquartile mean      band, bar: its 95 % interval      dots: seeds")
    handles, labels = curves.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, title=explanation, title_fontsize=13)
    return figure


def plot_finals(axes: Axes, findings: Findings) -> None:
    """Every way to drive a row: seeds as dots, the interquartile mean and its 95 % interval."""
    labels = []
    for place, (name, values) in enumerate(findings.regrets.items()):
        middle, (low, high), color = interquartile_mean(values), confidence_interval(values), COLORS[name]
        axes.plot(values, [place + 0.2] * len(values), "o", color=color, alpha=0.4, markersize=7)
        axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="s", color=color, capsize=6)
        axes.annotate(f"{middle:.1f}", (middle, place - 0.12), ha="center", va="bottom", fontsize=13, color=color)
        row = rows(findings)[name]
        numbers = {"count": len(row["seeds"]), "steps": row["steps"], "seconds": row["seconds"]}
        cost = _("seeds: {count}, each {steps:,} steps, {seconds:.0f} s", **numbers)
        pairs = _("{pairs:,} labeled pairs", pairs=findings.flags.pairs)
        labels.append("\n".join([name_of(name, findings), cost, *[pairs] * (name == READER)]))
    axes.set_yticks(range(len(labels)), labels, fontsize=13)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(_("regret: optimum - mean return"))
    axes.set_title(_("{count} test starts", count=len(findings.flags.starts)))
    axes.grid(axis="y", visible=False)


PAGE = Page(
    question=_("Can an agent that learned from the state drive from pixels, if a CNN reads the state off them?"),
    formula=(
        _(r"of pictures $p$ the CNN reads $(\cos \vartheta_t, \sin \vartheta_t, \dot{\vartheta}_t) = f(p_{t-1}, p_t)$"),
        _(r"the agent acts: $a_t = \arg\max_a Q(\cos \vartheta_t, \sin \vartheta_t, \dot{\vartheta}_t, a)$"),
        _(r"end to end: $a_t = \arg\max_a Q(p_{t-1}, p_t, a)$"),
        _(r"angles $q = 2 \pi / 4096$ apart: RMS errors of at least $q / \sqrt{12}$ and $q / (\sqrt{6} \, dt)$"),
    ),
    captions={
        "pixels": _(
            "Each column is one observation: the frame of the last step and that of this one. The dashed line points "
            "where the CNN of the first seed says that the rod points; the speed is in the difference of the frames."
        ),
        "errors": _(
            "The axes are logarithmic. A picture shows the nearest of 4,096 angles, so even a table of all pictures "
            "has an error, and the difference of two angles over a short step makes it large in the speed."
        ),
        "regret": _(
            "Left, the test of every seed, with the steps in the environment and the processor seconds of one seed. "
            "Right, the same against time: CNN and agent together learn long before the agent that learns both at once."
        ),
    },
    what_if=(
        ("balancier see --epochs 1", _("how good must the reading be? Compare both errors and the regret")),
        ("balancier see --pairs 1000 --epochs 40", _("few pictures, seen often: the CNN learns them by heart")),
        ("balancier see --train-pixels", _("train the end-to-end agents yourself, minutes for each seed")),
    ),
)

LESSON = Lesson(
    flags=See,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier see --epochs 1",
    metrics=metrics,
    check=check,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("see", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
