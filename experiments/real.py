"""Identify, forecast and control a real pendulum from recordings (4.1 with measured data). The pendulum's equations are
fitted to windows of a recording, and a recurrent network that has seen only simulated pendulums reads the length off
the same recording. Both then forecast another recording, and an agent learns on the pendulum that was identified. The
figures show the fit, why two derivatives fail, the estimates of the networks, the errors of the forecasts, the agent's
swing-up, and the recorded torque replayed in the simulator.

The recordings are public, of a motor-driven pendulum of DFKI (doi:10.21105/joss.03884, results/.../data_measured.csv in
github.com/dfki-ric-underactuated-lab/torque_limited_simple_pendulum): a point mass at 0.5 m, whose motor measures angle
and torque every few milliseconds. Without a network simulated recordings take their place, and are named as such.
`--data FILE` reads a recording of yours: columns of time (s), angle (rad, 0 hangs down) and torque (N m).

The network is an LSTM. Length, mass, friction, delay, noise and controllers of its 20,000 simulated pendulums are drawn
at random. `--quick` loads networks that come with the package, kept by `balancier real --keep experiments/networks`.

S seed, n pendulums, B minibatch, T steps of 0.02 s, G groups of 5 steps, W windows, H steps ahead.
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Group
from rich.table import Table
from torch import Tensor

from agents.evaluation import TEST_SEED
from balancier import N_, _
from envs.identification import Fit, Windows, by_derivatives, cut, fit, fit_starts, simulate
from envs.pendulum import PendulumVectorEnv
from envs.physics import Pendulum, wrap
from experiments.common import plotting
from experiments.common import real_networks as networks
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, UsageError, at_least
from experiments.common.hyperparams import PENDULUM, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.real_networks import FUTURE, GROUP, PAST, READ, STEP, Reader, windows_of
from experiments.common.recordings import Recording, grid, load
from experiments.common.runs import Metric
from experiments.common.sequences import keep, load_shipped
from experiments.common.training import Training, budget, make, mean_optimum, summary, train_agent
from experiments.common.training import forecast as training_seconds

ALONE = 0.6  # share of a recording that is learned from where there is no other one
STEADY = 15  # steps before a forecast to which the physics fits its start
SHIPPED = 5  # networks that come with the package
QUICK_SEEDS, QUICK_STEPS = 3, 4_000  # of the agent
NETWORKS, AGENT = "networks", "agent"
WIDTHS = (1, 3, 5, 9, 15, 25, 41, 65)  # samples that are averaged before derivatives are taken
SPAN = 0.05  # s, of the agent's step
NOTICE = _("SIMULATED RECORDINGS: there was no real one")
PERSISTENCE, PHYSICS, LSTM_ = N_("persistence"), N_("physics"), N_("lstm")


@dataclass(frozen=True)
class Real(ParallelFlags):
    """Identify, forecast and control a real pendulum from recordings."""

    data: str = "auto"
    """A FILE with time, angle and torque, "download", "simulated", or "auto": the download, or without a network the
    simulation."""
    other: str | None = None
    """A FILE with another recording, to forecast (default: the last part of FILE, which then is not learned from)."""
    columns: tuple[str, ...] = ()
    """Names of the columns of time, angle and torque in FILE, or their numbers from 1."""
    degrees: bool = False
    """The angles of FILE are in degrees (a name such as angle_deg says so, too)."""
    upright: bool = False
    """The angle of FILE is 0 upright; otherwise it is 0 where the pendulum hangs."""
    pendulums: Annotated[int, at_least(1_000)] = 20_000
    """Simulated pendulums that the networks are trained on."""
    hidden: Annotated[int, at_least(1)] = 32
    """Units of the LSTM."""
    steps: Annotated[int, at_least(1_000)] | None = None
    """Steps of each seed of the agent (default: 10,000; with --quick 4,000)."""
    keep: Path | None = None
    """Folder for the trained networks of the first five seeds."""

    @property
    def recordings(self) -> tuple[Recording, Recording | None]:
        return load(self.data, self.other, self.columns, self.degrees, self.upright)

    @property
    def network_seeds(self) -> list[int]:
        return self.all_seeds[:SHIPPED] if self.quick else self.all_seeds

    @property
    def agent_seeds(self) -> list[int]:
        return self.all_seeds[: QUICK_SEEDS if self.quick else None]

    @property
    def steps_to_train(self) -> int:
        return self.steps or (QUICK_STEPS if self.quick else budget("sac", PENDULUM, None, False))


@dataclass(frozen=True)
class Reading:
    """What trained networks make of the recordings."""

    length: np.ndarray  # (S,), m
    running: np.ndarray  # (S, G), m, after each group of the first seconds
    simulated: np.ndarray  # (S, n), m, of simulated pendulums that they were not trained on
    truth: np.ndarray  # (n,)
    forecast: np.ndarray  # (S, W, H), rad
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Control:
    """The agent on the identified pendulum."""

    training: Training
    swing_up: np.ndarray  # (S, steps), rad, from rest at the bottom, 0 upright


@dataclass(frozen=True)
class Findings:
    flags: Real
    recording: Recording  # that was fitted
    tested: Recording  # that is forecast
    fit: Fit
    reading: Reading
    past: Windows  # (W, PAST + FUTURE + 1), of the tested recording
    physics: np.ndarray  # (W, H), forecasts
    control: Control
    optimum: float | None  # best mean return from the test seeds; --quick does not compute it
    derivatives: list[dict[str, float]]  # for each of WIDTHS
    replay: np.ndarray  # (n,), rad: the tested recording's torque in the simulator

    @property
    def forecast(self) -> dict[str, np.ndarray]:
        """Method -> root mean square error (S, H) of its forecasts, rad."""
        truth = self.past.angle[:, -FUTURE:]
        last = np.broadcast_to(self.past.angle[:, [PAST]], truth.shape)
        methods = {PERSISTENCE: last[None], PHYSICS: self.physics[None], LSTM_: self.reading.forecast}
        return {name: np.sqrt(((value - truth) ** 2).mean(1)) for name, value in methods.items()}


# Work


def read_recordings(job: Job, report: Callable[[float], None]) -> Reading:
    """Train the networks of some seeds on simulations, or load them; then let them read and forecast."""
    flags, recording, learned, past = job.settings
    network = Reader(flags.hidden, seeds=job.seeds)
    if flags.quick:
        weights, __ = load_shipped("real_lstm")
        network.load_state_dict({key: tensor[: len(job.seeds)] for key, tensor in weights.items()})
    else:
        networks.train_on_simulations(network, flags.pendulums, job.seeds, lambda share: report(0.9 * job.cost * share))
    network.eval()
    *tests, truth = networks.pendulums(networks.TESTS, networks.TEST_SEED)
    length, running = networks.estimate(network, recording)
    return Reading(
        length=length,
        running=running,
        simulated=np.exp(network.lengths(*tests)[0][..., -1]),
        truth=np.exp(truth[:, 0].numpy()),
        forecast=networks.forecasts(network, learned, past, job.seeds),
        weights={key: tensor.clone() for key, tensor in network.state_dict().items()},
    )


def env_kwargs(flags: Real, found: Fit, recording: Recording) -> dict[str, Any]:
    """The identified pendulum as keywords of an environment; its motor is as strong as in the recording."""
    torque = np.concatenate([part.torque for part in grid(recording, SPAN)])
    numbers = {name: found.values[name] for name in ("length", "mass", "damping", "friction")}
    weight = found.weight_torque
    strongest = max(float(np.quantile(np.abs(torque), 0.95)), 0.3 * weight)
    settings = {"gravity": 9.81, "max_speed": 12.0, "dt": SPAN, "inertia": "point"}
    return numbers | settings | {"max_torque": strongest}


def learn_control(job: Job, report: Callable[[float], None]) -> Control:
    """Train SAC on the identified pendulum; test it, and let it swing up from rest."""
    flags, keywords = job.settings
    steps = flags.steps_to_train
    agent = make("sac", PENDULUM, job.seeds, tuned("sac", PENDULUM) | {"env_kwargs": keywords})
    training = train_agent(agent, PENDULUM, steps, 100, lambda done, __: report(job.cost * done / steps), 10)
    env = PendulumVectorEnv(len(job.seeds), **keywords)
    obs, __ = env.reset(seed=0, options={"state": (np.pi, 0.0)})
    angles = []
    for ___ in range(200):
        angles.append(env.angle)
        obs = env.step(agent.predict(obs[:, None])[0][:, 0])[0]
    return Control(training, wrap(np.stack(angles, 1)))


# The lesson


def parts(flags: Real) -> tuple[Recording, Recording, Recording, float]:
    """The recording to fit, the one to learn to forecast from, the one to forecast, and from which second on."""
    first, second = flags.recordings
    if second is not None:
        return first, first, second, 0.0
    return first, first.part(0.0, ALONE * first.seconds), first, ALONE * first.seconds


@lru_cache(maxsize=4)
def fitted(recording: Recording) -> Fit:
    """The fit of a recording; UsageError where the recording is none of a pendulum."""
    try:
        return fit(cut(recording.time, recording.angle, recording.torque))
    except ValueError as error:
        words = str(error).replace("at the other end", "at the other end, as --upright says or does not say")
        raise UsageError(f"--data: {recording.name}: {words}") from None


def plan(flags: Real, recordings: Sequence[Any] = (), keywords: Any = None) -> list[Job]:
    """The networks, in two jobs, and the agent."""
    seeds, agent_seeds = flags.network_seeds, flags.agent_seeds
    middle = len(seeds) if flags.quick else math.ceil(len(seeds) / 2)
    jobs = []
    for some in filter(None, (seeds[:middle], seeds[middle:])):
        cost = 2.0 + len(some) * (0.3 if flags.quick else 12.0 * flags.pendulums / 20_000)
        jobs.append(Job(NETWORKS, tuple(some), cost, (flags, *recordings)))
    cost = training_seconds("sac", flags.steps_to_train, len(agent_seeds)) + 3
    return [*jobs, Job(AGENT, tuple(agent_seeds), cost, (flags, keywords))]


def work(job: Job, report: Callable[[float], None]) -> Reading | Control:
    return (read_recordings if job.name == NETWORKS else learn_control)(job, report)


def measure(flags: Real) -> Findings:
    recording, learned, tested, since = parts(flags)
    whole = fitted(recording)
    known = whole if learned is recording else fitted(learned)
    past = windows_of(tested, since)
    keywords = env_kwargs(flags, whole, recording)
    jobs = plan(flags, (recording, learned, past), keywords)
    *readings, control = run_parallel(
        work, jobs, 1 if flags.quick else flags.processes, kinds=[Reading, Control, Training]
    )
    reading = joined(readings)  # type: ignore[arg-type]
    if flags.keep is not None:
        weights = {key: tensor[:SHIPPED] for key, tensor in reading.weights.items()}
        keep(flags.keep, "real_lstm", weights, {"pendulums": flags.pendulums})
    assert isinstance(control, Control)
    return Findings(
        flags,
        recording,
        tested,
        whole,
        reading,
        past,
        ahead(known.pendulum, past),
        control,
        None if flags.quick else mean_optimum(PENDULUM, range(TEST_SEED, TEST_SEED + 100), **keywords),
        [by_derivatives(recording.time, recording.angle, recording.torque, width) for width in WIDTHS],
        replayed(whole.pendulum, tested),
    )


def joined(readings: Sequence[Reading]) -> Reading:
    """The readings of several groups of seeds as one."""
    arrays = {
        name: np.concatenate([getattr(reading, name) for reading in readings])
        for name in ("length", "running", "simulated", "forecast")
    }
    weights = {key: torch.cat([reading.weights[key] for reading in readings]) for key in readings[0].weights}
    return Reading(**arrays, truth=readings[0].truth, weights=weights)


def ahead(pendulum: Pendulum, past: Windows) -> np.ndarray:
    """Forecasts (W, H) of the equations: a start is fitted to the last 0.3 s, and goes on under the torque."""
    first = PAST - STEADY
    seen = Windows(past.time[:, first : PAST + 1], past.angle[:, first : PAST + 1], past.torque[:, first:PAST])
    whole = Windows(past.time[:, first:], past.angle[:, first:], past.torque[:, first:])
    return simulate(pendulum, whole, fit_starts(pendulum, seen))[:, -FUTURE:]


def replayed(pendulum: Pendulum, recording: Recording) -> np.ndarray:
    """The angle (n,) of the identified pendulum under a recorded torque, from the recorded start alone."""
    time, angle = recording.time[None], recording.angle[None]
    torque = (recording.torque[1:] + recording.torque[:-1])[None] / 2
    first = slice(0, max(10, int(np.searchsorted(recording.time, 0.1))))
    start = fit_starts(pendulum, Windows(time[:, first], angle[:, first], torque[:, first][:, :-1]))
    return simulate(pendulum, Windows(time, angle, torque), start)[0]


def check(flags: Real) -> None:
    if flags.columns and len(flags.columns) != 3:
        expected = "three: those of time, angle and torque"
        raise UsageError(f"--columns: found {len(flags.columns)} names, expected {expected}")
    if flags.quick and flags.hidden != Real.hidden:
        reason = "as in the networks that come with the package"
        raise UsageError(f"--hidden: found {flags.hidden} with --quick, expected {Real.hidden}, {reason}")
    if flags.quick and flags.keep is not None:
        raise UsageError(f"--keep: found {flags.keep} with --quick, expected a run that trains")
    recording, learned, tested, since = parts(flags)
    for each in (recording, learned):
        fitted(each)
        windows_of(each)
    windows_of(tested, since)


def forecast(flags: Real) -> str:
    first, second = flags.recordings
    jobs = plan(flags)
    seconds = sum(job.cost for job in jobs) + 5 if flags.quick else wall_seconds(jobs, flags.processes)
    line = _(
        "{name} ({seconds:.1f} s), {networks} networks, {agents} agents, about {time}",
        name=first.label if second is None else f"{first.label}, {second.label}",
        seconds=first.seconds,
        networks=len(flags.network_seeds),
        agents=len(flags.agent_seeds),
        time=duration(seconds),
    )
    return "\n".join([line, *first.notes, *(second.notes if second is not None else [])])


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    flags, training = findings.flags, findings.control.training
    yield READ, "network_length", findings.reading.length, flags.network_seeds
    for step, errors in enumerate(findings.forecast[LSTM_].T, 1):
        yield step, "lstm/error", errors, flags.network_seeds
    for step, returns in zip(training.steps, training.curve, strict=True):
        yield int(step), "agent/return", returns, flags.agent_seeds


def spread_of_simulated(findings: Findings) -> float:
    """Median relative error of the lengths that networks read off simulated pendulums."""
    return float(np.median(np.abs(findings.reading.simulated / findings.reading.truth - 1)))


def replay_error(findings: Findings) -> np.ndarray:
    return np.abs(findings.replay - findings.tested.angle)


def replay_seconds(findings: Findings) -> float:
    """How long the replay stays within 0.3 rad of the recording, s."""
    far = np.flatnonzero(replay_error(findings) > 0.3)
    return float(findings.tested.time[far[0]] if len(far) else findings.tested.seconds)


def result(findings: Findings) -> dict[str, Any]:
    found = findings.fit
    seen = findings.recording.torque.any()
    truth = findings.recording.truth
    return {
        "recording": findings.recording.name,
        "tested": findings.tested.name,
        "simulated": truth is not None,
        "length": found.values["length"],
        "length_ci95": found.interval["length"],
        "rms": found.rms,
        "mass": found.values["mass"] if seen else None,
        "mass_ci95": found.interval.get("mass"),
        "damping": found.values["damping"],
        "damping_ci95": found.interval["damping"],
        "friction": found.values["friction"],
        "friction_ci95": found.interval["friction"],
        "inertia": found.inertia,
        "weight_torque": found.weight_torque,
        "length_by_derivatives": {str(w): d["length"] for w, d in zip(WIDTHS, findings.derivatives, strict=True)},
        "true_length": truth.length if truth else None,
        "network_length": findings.reading.length,
        "network_length_median": float(np.median(findings.reading.length)),
        "network_error_simulated": spread_of_simulated(findings),
        "forecast": {name: float(errors[:, -1].mean()) for name, errors in findings.forecast.items()},
        "forecast_windows": len(findings.past.angle),
        "lstm_forecast": findings.forecast[LSTM_][:, -1],
        "agent": summary(findings.control.training.returns, findings.optimum) | {"optimum": findings.optimum},
        "swing_up": float((np.abs(findings.control.swing_up[:, -20:]).max(1) < 0.3).mean()),
        "replay_seconds": replay_seconds(findings),
    }


def table(findings: Findings) -> Group:
    numbers, units = result(findings), {"length": "m", "mass": "kg", "damping": "N m s", "friction": "N m"}
    words = {
        "length": _("length (of a point mass)"),
        "mass": _("mass"),
        "damping": _("viscous damping"),
        "friction": _("Coulomb friction"),
    }
    first = Table(_("parameter"), _("fit of windows"), _("95 % interval"), title=findings.recording.label)
    for name, unit in units.items():
        interval = findings.fit.interval.get(name)
        value = f"{numbers[name]:.3f} {unit}" if interval else _("not to be seen without a torque")
        first.add_row(words[name], value, f"{interval[0]:.3f} - {interval[1]:.3f}" if interval else "")
    low, middle, high = np.quantile(findings.reading.length, (0, 0.5, 1))
    first.add_row(_("length by the LSTM"), f"{middle:.3f} m", _("seeds: {low:.3f} - {high:.3f}", low=low, high=high))
    raw = findings.derivatives[0]["length"]
    first.add_row(_("length by two derivatives"), f"{raw:.3f} m", _("see the figure derivatives"))
    regret = numbers["agent"]["regret"]
    first.caption = _(
        "Residual {rms:.4f} rad. On {count} simulated pendulums the LSTM's length is off by {error:.1%} (median).\n"
        "SAC on the identified pendulum: mean return {iqm:.1f} (IQM), regret {regret}; from rest, {share:.0%} of the "
        "seeds end upright.\n"
        "The torque of {name}, replayed in the simulator, stays within 0.3 rad for {seconds:.1f} s.",
        rms=findings.fit.rms,
        count=networks.TESTS,
        error=numbers["network_error_simulated"],
        iqm=numbers["agent"]["iqm"],
        regret=_("not computed") if regret is None else f"{regret:.1f}",
        share=numbers["swing_up"],
        name=findings.tested.label,
        seconds=numbers["replay_seconds"],
    )
    title = _("Forecast of {name}, {count} windows", name=findings.tested.label, count=len(findings.past.angle))
    second = Table(_("method"), _("error after 0.1 s, rad"), _("after 0.5 s"), _("share of persistence"), title=title)
    least = findings.forecast[PERSISTENCE][:, -1].mean()
    for name, errors in findings.forecast.items():
        near, far = errors[:, GROUP - 1].mean(), errors[:, -1].mean()
        second.add_row(_(name), f"{near:.3f}", f"{far:.3f}", f"{far / least:.2f}")
    return Group(*([NOTICE] if findings.recording.truth else []), first, second)


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    drawn = {
        "fit": plot_fit(findings),
        "derivatives": plot_derivatives(findings),
        "networks": plot_networks(findings),
        "forecast": plot_forecast(findings),
        "control": plot_control(findings),
        "replay": plot_replay(findings),
    }
    if findings.recording.truth is not None:
        for figure in drawn.values():
            figure.supxlabel(NOTICE, color=plotting.RED, fontsize=14, fontweight="bold")
    return drawn


def plot_fit(findings: Findings) -> Figure:
    """The recorded angle with the simulated windows, and their difference."""
    found, recording = findings.fit, findings.recording
    low, high = found.interval["length"]
    figure, (angles, errors) = plotting.slide(
        _(
            "The equations repeat the recording to {rms:.3f} rad:\n"
            "a length of {length:.3f} m (95 % interval {low:.3f} to {high:.3f})",
            rms=found.rms,
            length=findings.fit.values["length"],
            low=low,
            high=high,
        ),
        1,
        2,
        sharex=True,
        height_ratios=(3, 1.4),
    )
    angles.plot(recording.time, recording.angle - np.pi, color=plotting.SKY, linewidth=6, label=_("recorded"))
    shown = found.windows.time, found.angle, found.angle - found.windows.angle
    for index, (time, angle, error) in enumerate(zip(*shown, strict=True)):
        label = _("simulated, {count} windows", count=len(found.angle)) if index == 0 else None
        angles.plot(time, angle - np.pi, color="black", linewidth=1.8, label=label)
        angles.plot(time[0], angle[0] - np.pi, "o", color="black", markersize=5)
        errors.plot(time, error, color=plotting.BLUE, linewidth=1.8)
    angles.set_ylabel(_("angle, rad (0 hangs)"))
    angles.legend(loc="upper left")
    errors.set(xlabel=_("time, s"), ylabel=_("difference, rad"))
    return figure


def plot_derivatives(findings: Findings) -> Figure:
    """Noise of the acceleration, and the inertia that follows from it, against the filter before the derivatives."""
    recording, inertias = findings.recording, [numbers["inertia"] for numbers in findings.derivatives]
    step = 1000 * float(np.median(np.diff(recording.time)))
    inertia = findings.fit.inertia
    figure, (noise, panel) = plotting.slide(
        _(
            "Two derivatives and least squares: an inertia of {raw:.3f} kg m² from raw angles,\n"
            "{last:.3f} through the widest filter; the fit of windows needs no filter: {fit:.3f}",
            raw=inertias[0],
            last=inertias[-1],
            fit=inertia,
        ),
        2,
    )
    widths = step * np.array(WIDTHS)
    spread = [numbers["spread"] for numbers in findings.derivatives]
    noise.plot(widths, spread, "o-", color=plotting.ORANGE, label=_("acceleration by two derivatives"))
    torque = mean_acceleration(findings)
    noise.axhline(torque, color="black", linestyle="--", label=_("acceleration in the fitted windows"))
    noise.set(xscale="log", xlabel=_("average over, ms"), ylim=(0, None))
    noise.set_ylabel(_("standard deviation, rad/s²"))
    panel.plot(widths, inertias, "o-", color=plotting.ORANGE, label=_("two derivatives, least squares"))
    panel.axhline(inertia, color=plotting.BLUE, label=_("fit of windows"))
    panel.set(xscale="log", xlabel=_("average over, ms"), ylabel=_("inertia, kg m²"))
    panel.set_ylim(min(0.0, *inertias), 1.3 * max(inertia, *inertias))
    for axes in (noise, panel):
        axes.legend(loc="upper right" if axes is noise else "upper left")
    return figure


def mean_acceleration(findings: Findings) -> float:
    """Standard deviation of the acceleration of the simulated windows, rad/s^2; their angles have no noise."""
    windows = findings.fit.windows
    slopes = [np.gradient(np.gradient(a, t), t) for a, t in zip(findings.fit.angle, windows.time, strict=True)]
    return float(np.concatenate(slopes).std())


def plot_networks(findings: Findings) -> Figure:
    """Lengths read off simulated pendulums, and off the recording second by second."""
    reading, length = findings.reading, findings.fit.values["length"]
    middle = float(np.median(reading.length))
    figure, (simulated, real) = plotting.slide(
        _(
            "From simulation to reality: an LSTM that saw no real pendulum reads {middle:.3f} m\n"
            "(median of {count} seeds), {off:.1%} from the fit's {length:.3f} m",
            middle=middle,
            count=len(reading.length),
            off=abs(middle / length - 1),
            length=length,
        ),
        2,
    )
    label = _("pendulums, median error {error:.1%}", error=spread_of_simulated(findings))
    estimates = np.median(reading.simulated, 0)
    simulated.plot(reading.truth, estimates, "o", color=plotting.SKY, alpha=0.5, markersize=5, label=label)
    simulated.plot([0.2, 1.5], [0.2, 1.5], color="black", linestyle="--", label=_("exact"))
    simulated.set(xlabel=_("true length, m"), ylabel=_("estimate, m"), title=_("simulated pendulums"))
    simulated.legend(loc="upper left")
    seconds = np.arange(1, reading.running.shape[1] + 1) * GROUP * STEP
    real.plot(seconds, reading.running.T, color=plotting.GRAY, linewidth=1, alpha=0.6)
    real.plot(seconds, np.median(reading.running, 0), color=plotting.BLUE, label=_("LSTM: seeds (gray), median"))
    real.axhline(length, color="black", linestyle="--", label=_("fit of windows"))
    title = _("the recording, read from its start")
    real.set(xlabel=_("time read, s"), ylabel=_("estimate, m"), title=title, ylim=(0, 1.5))
    real.legend(loc="upper right")
    return figure


def plot_forecast(findings: Findings) -> Figure:
    """Error against the time ahead, and the window whose error by persistence is the median."""
    errors = findings.forecast
    shares = {name: errors[name][:, -1].mean() / errors[PERSISTENCE][:, -1].mean() for name in (PHYSICS, LSTM_)}
    figure, (panel, example) = plotting.slide(
        _(
            "Half a second ahead, physics is off by {physics:.0%} and the LSTM by {lstm:.0%} of what persistence is,\n"
            "on {name}, from which neither has learned",
            physics=shares[PHYSICS],
            lstm=shares[LSTM_],
            name=findings.tested.label if findings.tested is not findings.recording else _("the recording's last part"),
        ),
        2,
    )
    seconds = np.arange(1, FUTURE + 1) * STEP
    panel.plot(seconds, errors[PERSISTENCE][0], color=plotting.GRAY, linestyle=":", label=_(PERSISTENCE))
    panel.plot(seconds, errors[PHYSICS][0], color="black", linestyle="-.", label=_(PHYSICS))
    plotting.quantile_band(panel, list(seconds), errors[LSTM_].T, _("lstm (median and range)"), plotting.BLUE)
    panel.set(yscale="log", xlabel=_("time ahead, s"), ylabel=_("error, rad (RMS)"))
    windows = findings.past
    change = np.abs(windows.angle[:, -1] - windows.angle[:, PAST])
    index = int(np.argsort(change)[len(change) // 2])
    time = np.arange(-PAST, FUTURE + 1) * STEP
    turn = 2 * np.pi * np.round((windows.angle[index, PAST] - np.pi) / (2 * np.pi)) + np.pi
    example.plot(time, windows.angle[index] - turn, color=plotting.SKY, linewidth=6, label=_("recorded"))
    example.plot(seconds, np.full(FUTURE, windows.angle[index, PAST] - turn), color=plotting.GRAY, linestyle=":")
    example.plot(seconds, findings.physics[index] - turn, color="black", linestyle="-.")
    example.plot(seconds, np.median(findings.reading.forecast[:, index], 0) - turn, color=plotting.BLUE)
    example.axvline(0, color="black", linewidth=1)
    example.set(xlabel=_("time from now, s"), ylabel=_("angle, rad (0 hangs)"), title=_("one window, median motion"))
    handles, labels = panel.get_legend_handles_labels()
    more = example.get_legend_handles_labels()
    figure.legend([*handles, *more[0]], [*labels, *more[1]], loc="outside lower center", ncols=4)
    return figure


def plot_control(findings: Findings) -> Figure:
    """Learning curve of the agent on the identified pendulum, and its swing-up from rest."""
    control, optimum = findings.control, findings.optimum
    numbers, count = summary(control.training.returns, optimum), len(findings.flags.agent_seeds)
    figure, (curve, swing) = plotting.slide(
        _(
            "SAC, trained on the identified pendulum: mean return {iqm:.0f} (IQM; best possible {optimum});\n"
            "from rest, {share:.0%} of {count} seeds end upright",
            iqm=numbers["iqm"],
            optimum=_("not computed") if optimum is None else f"{optimum:.0f}",
            share=result(findings)["swing_up"],
            count=count,
        ),
        2,
    )
    plotting.iqm_band(
        curve, list(control.training.steps), control.training.curve, _("SAC: IQM and interval"), plotting.BLUE
    )
    if optimum is not None:
        curve.axhline(optimum, color="black", linestyle="--", label=_("optimum"))
    curve.set(xlabel=_("steps of each seed"), ylabel=_("mean return"), title=_("20 validation episodes"))
    curve.legend(loc="lower right")
    seconds = np.arange(control.swing_up.shape[1]) * SPAN
    swing.plot(seconds, np.abs(control.swing_up).T, color=plotting.BLUE, alpha=0.5, linewidth=1.5)
    swing.plot([], [], color=plotting.BLUE, label=_("{count} seeds", count=count))
    swing.axhline(0, color="black", linestyle="--", label=_("upright"))
    swing.set(xlabel=_("time, s"), ylabel=_("distance from upright, rad"), title=_("from rest at the bottom"))
    swing.legend(loc="upper right")
    return figure


def plot_replay(findings: Findings) -> Figure:
    """The recorded angle, and the simulator's under the recorded torque."""
    tested, seconds = findings.tested, replay_seconds(findings)
    figure, (panel,) = plotting.slide(
        _(
            "The recorded torque of {name}, replayed without feedback,\nholds the simulator at the recording for "
            "{seconds:.1f} s; near the top small errors grow, so control needs feedback",
            name=tested.label,
            seconds=seconds,
        )
    )
    shown = tested.time <= min(tested.seconds, max(4.0, 2.0 * seconds))
    panel.plot(tested.time[shown], tested.angle[shown] - np.pi, color=plotting.SKY, linewidth=6, label=_("recorded"))
    panel.plot(tested.time[shown], findings.replay[shown] - np.pi, color="black", label=_("replayed"))
    panel.axvline(seconds, color=plotting.ORANGE, linestyle=":", label=_("0.3 rad apart"))
    low, high = np.min(tested.angle[shown]) - np.pi, np.max(tested.angle[shown]) - np.pi
    panel.set(xlabel=_("time, s"), ylabel=_("angle, rad (0 hangs)"), ylim=(low - 2, high + 2))
    panel.legend(loc="best")
    return figure


PAGE = Page(
    question=_("What can be learned from recordings of a real pendulum: its parameters, its future, its control?"),
    formula=(
        r"$I \, \ddot\theta = m g l \, \sin\theta + \tau - b \, \dot\theta - c \, \mathrm{sign} \, \dot\theta$",
        r"$\mathrm{min}_{I, b, c, mgl, \, starts} \; \sum_{windows} \sum_t \; \rho(\theta_t - \hat\theta_t), "
        r"\quad l = 9.81 \, I / (m g l)$",
    ),
    captions={
        "fit": _(
            "Each window of 0.6 s starts from a state of its own (dots), so that errors cannot grow. The length "
            "is a ratio of inertia and weight, in which the unknown scale of the torque cancels; the mass is not."
        ),
        "derivatives": _(
            "Left: each derivative multiplies the noise of the angle, until it hides the acceleration. Right: a "
            "regressor with noise gets too small a coefficient, here the inertia. A filter trades this for other "
            "errors."
        ),
        "networks": _(
            "The LSTM learned from simulated pendulums alone, whose friction, delay, noise and torque were drawn at "
            "random. Right: its estimate settles while it reads. At first it says the middle of all lengths."
        ),
        "forecast": _(
            "All methods see one second; physics and LSTM also know the torque to come. Physics was fitted to another "
            "recording; the LSTM learned from simulations, then from that recording. Forecasts begin while it moves."
        ),
        "control": _(
            "The agent never sees the real pendulum: it learns on the identified one, with the torque that the "
            "recorded motor reaches. Right: distance from upright while it swings up, one line a seed."
        ),
        "replay": _(
            "The simulator gets the recorded torque and the first angle, nothing else. Where it leaves the recording, "
            "its equations are not wrong by much: upright, a distance grows fourfold in a third of a second."
        ),
    },
    what_if=(
        (
            "balancier real --data FILE --other FILE2",
            _("a recording of yours; which parameter has the widest interval?"),
        ),
        ("balancier real --pendulums 2000", _("with fewer simulations: does the LSTM still find the real length?")),
        ("balancier identify", _("the same question on simulated swings, with its best possible error")),
    ),
)

LESSON = Lesson(
    flags=Real,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier real --data FILE, with a recording of your own pendulum"),
    metrics=metrics,
    check=check,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("real", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
