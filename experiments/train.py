"""Train one agent, all its seeds at once, and keep it: a checkpoint, its learning curve and its test returns. Without
flags, ten SAC agents learn to swing up a pendulum and to balance it. --quick trains three seeds instead of ten.

balancier train --agent ppo --seeds 5 --length 0.7 --set gamma=0.98 batch_size=256

balancier train --env my_env:MyEnv-v0 --env-kwargs size=8 --hidden 128 128

A seed is one independent training: its networks, environments and random numbers are its own. While the seeds train,
they are evaluated on validation starts; in the end they are tested on other starts. The table shows their interquartile
mean (IQM), the mean of the middle half of the seeds, beside the optimum: the best mean return that is possible from the
same starts, where it is known.
"""

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import tyro
from matplotlib.figure import Figure
from rich.table import Table

import agents
from agents import Agent
from agents.common import checkpoint
from agents.common.devices import find_device
from agents.common.make_env import CARTPOLE, has_native_batch
from agents.evaluation import TEST_SEED, VALIDATION_SEED
from balancier import _, numeral
from envs.optimum import optimal_returns
from experiments.common import plotting
from experiments.common.assignments import env_keywords, hyperparameters, network_name, with_widths
from experiments.common.autosave import Autosave, save_last
from experiments.common.board import Board, summary_writer
from experiments.common.command import DRAWING, Page, command_line, flags_of_run, run_command, waiting_interrupts
from experiments.common.environments import (
    PendulumFlags,
    check_env,
    default_kwargs,
    env_flag,
    find_env,
    in_words,
    is_pendulum,
    pendulum_kwargs,
)
from experiments.common.flags import Flags, UsageError, above, at_least, flag_name, one_of
from experiments.common.hyperparams import NETWORKS, tuned
from experiments.common.live import Broadcast, check_live
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import (
    CONFIG,
    METRICS,
    RESULT,
    Run,
    console,
    find_latest,
    newest_checkpoint,
    read_metrics,
    restart_metrics,
)
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.trained import load
from experiments.common.training import (
    EVALUATIONS,
    STARTS,
    EvaluationCallback,
    Training,
    budget,
    default_env,
    forecast,
    make,
    network_kind,
    summary,
)

STEPS_OF_EVALUATION = 500  # at least so many lie between two evaluations, which may cost more than the training
QUICK_SEEDS = 3  # enough for the same lesson: the spread of the seeds, and where they end
IMAGE = 16  # pixels of the shorter side from which an observation is an image, which a CNN sees


def shown(metavar: str) -> Any:
    """How --help shows a flag whose text says the default."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


Assignments = tuple[tuple[str, ...], ...]  # of each time that the flag stands on the command line
ASSIGNED: dict[str, Any] = {"metavar": "NAME=VALUE ...", "help_behavior_hint": ""}


@dataclass(frozen=True)
class Train(Flags):
    """Train one agent, all its seeds at once, and keep it.

    A flag that is not given is None, so that with --resume only those given are compared with the run's.
    """

    seeds: Annotated[Annotated[int, at_least(1)] | None, shown("INT")] = None  # type: ignore[assignment]
    """How many seeds (independent replicas) to train. (default: 10; with --quick 3)"""
    seed: Annotated[Annotated[int, at_least(0)] | None, shown("INT")] = None  # type: ignore[assignment]
    """The first of them; the others follow. (default: 0)"""
    agent: Annotated[Annotated[str, one_of(agents.AGENTS)] | None, shown("|".join(agents.AGENTS))] = None
    """Which algorithm. (default: sac)"""
    env: Annotated[str | None, shown("ID")] = None
    """A Gymnasium id. For an environment of your own module:Id, where module.py is in the current folder and registers
    Id. (default: the pendulum; for dqn the one with discrete torques)"""
    env_kwargs: Annotated[Assignments, tyro.conf.UseAppendAction, tyro.conf.arg(**ASSIGNED)] = ()
    """Keywords that the environment is made with. max_episode_steps=N sets a time limit."""
    network: Annotated[Annotated[str, one_of(NETWORKS)] | None, shown("|".join(NETWORKS))] = None
    """A network of the zoo; a recurrent one (elman, gru, lstm) remembers, a CNN sees images. (default: cnn for images,
    else mlp)"""
    hidden: Annotated[Annotated[tuple[int, ...], at_least(1)] | None, shown("INT ...")] = None
    """Widths of the hidden layers of an mlp; of a cnn the width of its one dense layer. (default: 64 64)"""
    hidden_size: Annotated[Annotated[int, at_least(1)] | None, shown("INT")] = None
    """Size of the state of a recurrent network. (default: 32)"""
    channels: Annotated[Annotated[tuple[int, ...], at_least(1)] | None, shown("INT ...")] = None
    """Channels of a cnn's convolutions. (default: 8 16 16)"""
    hyperparameters: Annotated[Assignments, tyro.conf.UseAppendAction, tyro.conf.arg(name="set", **ASSIGNED)] = ()
    """Hyper-parameters, such as gamma=0.98 batch_size=256; learning_rate=1e-3,2e-3 gives each of two seeds its own.
    Their names and meanings: the documentation of each agent. (default: tuned for the environment, else the
    algorithm's)"""
    steps: Annotated[Annotated[int, at_least(1)] | None, shown("INT")] = None
    """Steps of each seed. (default: tuned for the environment; with --resume, what is left of a run that was stopped,
    else as many more)"""
    resume: Annotated[Path | None, shown("PATH")] = None
    """Continue the agent of this run, in its folder, or of this checkpoint. Its agent, environment, seeds and network
    stay as they are; --set changes hyper-parameters of what it learns from now on, such as learning_rate."""
    autosave: Annotated[float, above(0)] = 120.0
    """Seconds between two checkpoints of a training that goes on."""
    live: bool = False
    """Show all seeds in a window while they learn; closing it does not end the training."""
    tensorboard: bool = False
    """Write every number of every seed, and their IQM, for TensorBoard too (python -m pip install tensorboard)."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Episodes of the test of each seed."""
    device: Annotated[str, one_of(("cpu", "cuda", "auto"))] = "cpu"
    """Where the agent computes: cpu, cuda (a GPU), or auto, which is cuda where there is one. A GPU pays only for large
    networks or many seeds."""
    observation: Annotated[Annotated[str, one_of(("state", "angle", "pixels"))] | None, shown("state|angle|pixels")] = (
        None
    )
    """What the pendulum shows: angle and speed, the angle without the speed, or its last two pictures. (default:
    state)"""
    pendulum: Annotated[PendulumFlags, tyro.conf.OmitArgPrefixes] = field(default_factory=PendulumFlags)
    """The pendulum's parameters: for each number one value, or two: each episode then draws its own from that range.
    The optimum is that of the same parameters, where it is known; of ranges it is not."""


# With --resume these may change: they enter what comes next, and nothing that is stored was made with them.
CHANGEABLE = [
    *("learning_rate", "anneal_steps", "batch_size", "num_updates", "num_epochs", "train_every", "noise_every"),
    *("learning_starts", "tau", "target_every", "policy_delay", "clip_range", "gae_lambda", "entropy_weight"),
    *("value_weight", "max_grad_norm", "noise_std", "target_noise_std", "target_noise_clip", "exploration_steps"),
    "final_epsilon",
]


@dataclass
class Session:
    """A training that begins or goes on."""

    agent: Agent
    flags: Train  # with all that was left open
    start: int = 0  # steps of each seed before this training
    total: int = 0  # steps of it
    folder: Path | None = None  # of the run that goes on
    earlier: int = 0  # evaluations of trainings before this one
    evaluation: dict[str, Any] | None = None  # what has been measured so far
    seconds: float = 0.0  # of the processor so far


def start(flags: Train) -> Session:
    """A new agent, or the one to resume.

    Raises UsageError before the first step for an agent that cannot be trained.
    """
    try:
        find_device(flags.device)
    except ValueError as error:
        raise UsageError(f"--{error}") from None
    if flags.resume is None:
        agent, flags = begin(flags)
        return Session(agent, flags, total=steps_of(agent, flags))
    run = find_latest(flags.resume)
    path = newest_checkpoint(run) if run.is_dir() else run
    if run.is_dir() and not path.exists():  # stopped before its first checkpoint
        given = {field.name: getattr(flags, field.name) for field in dataclasses.fields(flags)}
        given = {name: value for name, value in given.items() if value != getattr(Train(), name)}
        agent, flags = begin(flags_of_run("train", Train, given, run)[1])
        return Session(agent, flags, total=steps_of(agent, flags), folder=run)
    agent, flags = resume(replace(flags, resume=path))
    now = agent.num_timesteps
    notes, folder = notes_of(path, len(agent)), run if run.is_dir() else None
    total, state, seconds = notes.get("total", 0), notes.get("evaluation"), notes.get("seconds", 0.0)
    stopped = folder is not None and state is not None and not (folder / RESULT).exists()
    ends = notes.get("start", 0) + total
    if state is not None and (stopped or now < ends) and flags.steps in (None, total):
        if folder is not None and (folder / CONFIG).exists() and flags.eval_episodes == Train.eval_episodes:
            before = flags_of_run("train", Train, {}, folder)[1]
            flags = replace(flags, eval_episodes=before.eval_episodes)
        return Session(agent, flags, notes["start"], total, folder, notes["earlier"], state, seconds)
    earlier = len(state["steps"]) if state is not None else 0
    return Session(agent, flags, now, steps_of(agent, flags), folder, earlier, state, seconds)


def notes_of(path: Path, seeds: int) -> dict[str, Any]:
    """What a run noted beside its agent; nothing where the agent was saved by other programs."""
    notes = checkpoint.load(path)[1].get("notes")
    if not isinstance(notes, dict) or notes.keys() != {"start", "total", "earlier", "seconds", "evaluation"}:
        return {}
    state = notes["evaluation"]
    try:
        counts = [notes[name] for name in ("start", "total", "earlier")]
        lengths = {len(state["steps"]), len(state["seconds"]), len(state["curve"])}
        numbers = np.array(
            [*counts, notes["seconds"], state["train_seconds"], *state["steps"], *state["seconds"]], float
        )
        sound = len(lengths) == 1 and (numbers >= 0).all() and all(isinstance(count, int) for count in counts)
        sound = sound and counts[2] <= len(state["steps"]) and np.shape(state["curve"])[1:] in ((seeds,), ())
        np.array(state["curve"], float)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise UsageError(f"--resume: found notes of no run in {path}, expected those of a run of balancier train")
    return notes


def steps_of(agent: Agent, flags: Train) -> int:
    """Steps of each seed of a training."""
    name, env, kind = type(agent).__name__.lower(), agent.env_id, network_kind(agent)
    assert env is not None
    return budget(name, env, flags.steps, quick=False, kind=kind)


def begin(flags: Train) -> tuple[Agent, Train]:
    agent, seeds = flags.agent or "sac", flags.seeds or (QUICK_SEEDS if flags.quick else 10)
    env = flags.env or default_env(agent)
    flags = replace(flags, agent=agent, env=env, seeds=seeds, seed=flags.seed or 0)
    env_kwargs = keywords_of_env(flags, env)
    given = hyperparameters(agent, flags.hyperparameters, seeds)
    check_env(env, env_kwargs)
    network = flags.network or default_network(env, env_kwargs)
    keywords = tuned(agent, env, network)
    widths = {"hidden": flags.hidden, "hidden_size": flags.hidden_size, "channels": flags.channels}
    changed = with_widths(network, keywords.get("network", NETWORKS[network][1]), widths)
    if changed is not NETWORKS[network][1]:
        keywords |= {"network": changed}
    if env_kwargs:
        keywords |= {"env_kwargs": env_kwargs}
    made = make(agent, env, flags.all_seeds, keywords | given | {"device": flags.device}, network, given)
    return made, replace(flags, network=network)


def keywords_of_env(flags: Train, env: str) -> dict[str, Any]:
    """All that the flags say about the environment; UsageError for what it does not have."""
    parameters = pendulum_kwargs(flags.pendulum)
    if flags.observation is not None:
        parameters |= {"observation": flags.observation}
    if parameters and not is_pendulum(env):
        name, value = next(iter(parameters.items()))
        expected = f"it with a pendulum alone (elsewhere --env-kwargs {name}={value})"
        raise UsageError(f"{flag_name(name)}: found {value} for {env}, expected {expected}")
    others = env_keywords(flags.env_kwargs)
    for name in others.keys() & parameters.keys():
        raise UsageError(f"--env-kwargs: found {name}, which {flag_name(name)} gives already, expected it once")
    return parameters | others


def default_network(env: str, env_kwargs: dict[str, Any]) -> str:
    """A CNN for an environment that shows images, else an MLP."""
    single = gym.make(find_env(env), disable_env_checker=True, **env_kwargs)
    shape, dtype = single.observation_space.shape or (), single.observation_space.dtype
    single.close()
    return "cnn" if dtype == np.uint8 and len(shape) == 3 and sorted(shape)[1] >= IMAGE else "mlp"


def resume(flags: Train) -> tuple[Agent, Train]:
    assert flags.resume is not None
    agent = load(flags.resume, "--resume", flags.env, flags.device)
    if agent.policy_only:
        expected = "the checkpoint of a whole agent, which can learn on"
        raise UsageError(f"--resume: found a policy alone in {flags.resume}, expected {expected}")
    check_unchanged(flags, agent)
    name = type(agent).__name__.lower()
    changes = hyperparameters(name, flags.hyperparameters, len(agent))
    for changed in changes:
        before = getattr(agent.config, changed)
        if changed not in CHANGEABLE and changes[changed] != before:
            expected = (
                f"{before}, as in the run, or any of {', '.join(n for n in CHANGEABLE if hasattr(agent.config, n))}"
            )
            raise UsageError(f"--set: {changed}: found {changes[changed]} with --resume, expected {expected}")
    if changes:
        agent = with_hyperparameters(agent, changes)
    seeds = {"agent": name, "env": agent.env_id, "seeds": len(agent), "seed": agent.seeds[0]}
    return agent, replace(flags, network=network_name(agent.network), **seeds)


def check_unchanged(flags: Train, agent: Agent) -> None:
    """Raise UsageError for a flag that says something else than the agent to resume."""
    keywords: dict[str, Any] = getattr(agent.network, "keywords", {})
    has: dict[str, Any] = {
        "agent": type(agent).__name__.lower(),
        "env": str(agent.env_id).rpartition(":")[2],
        "seeds": len(agent),
        "seed": agent.seeds[0],
        "network": network_name(agent.network),
        "hidden": keywords.get("hidden"),
        "hidden_size": keywords.get("hidden_size"),
        "channels": keywords.get("channels"),
    }
    for name, value in has.items():
        given = getattr(flags, name)
        if name == "env" and given is not None:
            given = given.rpartition(":")[2]
        if given is not None and listed(given) != listed(value):
            raise UsageError(
                f"{flag_name(name)}: found {plain(given)} with --resume, expected {plain(value)}, as in the run"
            )
    has = default_kwargs(str(agent.env_id), "--resume") | agent.env_kwargs
    given_as_flags = {name for name in has if getattr(flags.pendulum, name, getattr(flags, name, None)) is not None}
    for name, value in keywords_of_env(flags, str(agent.env_id)).items():
        if name not in has or listed(has[name]) != listed(value):
            flag = flag_name(name) if name in given_as_flags else f"--env-kwargs: {name}"
            expected = f"{plain(has[name])}, as in the run" if name in has else "it left out, as in the run"
            raise UsageError(f"{flag}: found {plain(value)} with --resume, expected {expected}")


def plain(value: Any) -> str:
    """A value as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def with_hyperparameters(agent: Agent, changes: dict[str, Any]) -> Agent:
    """The same agent in the same state, with other hyper-parameters."""
    config = dataclasses.asdict(agent.config) | changes
    assert agent.env is not None
    config |= {"network": agent.network, "env_kwargs": agent.env_kwargs, "device": agent.device}
    changed = type(agent)(agent.env, seeds=agent.seeds, **config)
    changed.set_state(agent.get_state())
    changed.anneal()
    return changed


@dataclass(frozen=True)
class Findings:
    """A trained agent, and how its training and its test went."""

    name: str  # of the algorithm
    env: str
    agent: Agent
    training: Training
    validation_optimum: float | None  # mean return of the optimum from the validation starts; None if not known
    seconds: float  # of the processor, evaluations included
    optimal: np.ndarray | None  # (n,), return of the optimum from each test start; None where it is not known

    def _repr_html_(self) -> str:
        return self.agent._repr_html_() + self.training._repr_html_()


def train(flags: Train, command: str) -> None:
    """Train, save, test, and write what was found; an interrupt saves a checkpoint between two steps."""
    session = start(flags)
    check_live(session.agent) if flags.live else None
    summary_writer() if flags.tensorboard else None
    with contextlib.ExitStack() as stack:
        train_session(session, command, stack)


def train_session(session: Session, command: str, stack: contextlib.ExitStack) -> None:
    """The same for an agent that is ready; the stack takes what is to be closed at the end."""
    agent, flags, total, now = session.agent, session.flags, session.total, session.agent.num_timesteps
    name, env, left = type(agent).__name__.lower(), agent.env_id, session.start + session.total - now
    assert env is not None
    run = folder_of_run(session, command)
    seconds = duration(forecast(name, left, len(agent), network_kind(agent)) + 5)
    place = f"{env} ({in_words(agent.env_kwargs, _)})" if agent.env_kwargs else env
    words = {"agent": name, "env": place, "count": len(agent), "time": seconds}
    if now:
        line = _("train: {agent} on {env}, {count} seeds from step {now:,}, about {time}", now=now, **words)
    else:
        line = _("train: {agent} on {env}, {count} seeds, about {time}", **words)
    console.print(line, highlight=False)
    board = stack.enter_context(closing(Board(run.folder, agent.seeds, now))) if flags.tensorboard else None
    live = stack.enter_context(closing(Broadcast(agent))) if flags.live else None
    began = time.process_time() - session.seconds

    def report(more: int, returns: np.ndarray) -> None:
        for name, values in ({"evaluation": returns} | agent.metrics).items():
            run.log(agent.num_timesteps, name, values, agent.seeds)
            board.log(agent.num_timesteps, name, values) if board is not None else None
        progress.advance(more, _("return {value:.0f}", value=np.median(returns)))

    def notes() -> dict[str, Any]:
        """What this run needs to go on, besides the agent."""
        of_session = {"start": session.start, "total": total, "earlier": session.earlier}
        return of_session | {"seconds": time.process_time() - began, "evaluation": callback.get_state()}

    evaluations = num_evaluations(env, total)
    callback = EvaluationCallback(env, total, report, evaluations, agent.env_kwargs, session.start)
    callback.earlier = session.earlier
    if session.evaluation is not None:
        callback.set_state(session.evaluation)
    autosave = Autosave(run.folder, flags.autosave, notes, session.start, total, now)
    with ProgressBar(max(left, 1), _("training"), afterwards=DRAWING) as progress, waiting_interrupts() as interrupts:

        def evaluate_and_save(agent: Agent) -> bool:
            callback(agent, agent.num_timesteps)
            with interrupts.held():
                autosave(agent)
            live(agent) if live is not None else None
            return not interrupts.number

        evaluate_and_save(agent) if now == session.start else None
        try:
            agent.learn(left, evaluate_and_save) if left > 0 else None
        except (ValueError, RuntimeError) as error:  # of the environment, or all seeds have diverged
            with interrupts.held():
                save_last(agent, run.folder, notes())
            words = f"{' '.join(str(error).split())}; {run.folder} keeps the agent of step {agent.num_timesteps:,}"
            raise UsageError(words) from error
        with interrupts.held():
            save_last(agent, run.folder, notes())
    if interrupts.number:
        again = f"balancier train --resume {run.folder}{env_flag(env)}"
        line = _("Stopped at step {step:,}; {command} continues", step=agent.num_timesteps, command=again)
        console.print(f"\n{line}")
        signal.raise_signal(interrupts.number)
    seconds = time.process_time() - began
    if agent.env_kwargs and is_pendulum(env):
        console.print(_("test, and the optimum of these parameters (about a minute when it is first computed)"))
    optimal, validation = (
        optimal_returns(env, range(first, first + count), **agent.env_kwargs)
        for first, count in ((TEST_SEED, flags.eval_episodes), (VALIDATION_SEED, STARTS))
    )
    if optimal is None and is_pendulum(env):
        console.print(_("no optimum is known of these parameters: they are ranges, or its grid is too coarse for them"))
    training = callback.finish(agent, flags.eval_episodes)
    write(run, Findings(name, env, agent, training, mean_or_none(validation), seconds, optimal))


def folder_of_run(session: Session, command: str) -> Run:
    """The folder that a run goes on in, or a new one; its metrics begin with those of the run that goes on."""
    flags, before = session.flags, session.folder
    same = before is not None and (flags.out is None or flags.out.resolve() == before.resolve())
    run = Run("train", flags, command, before if same else None)
    if before is not None:
        restart_metrics(run.metrics, session.agent.num_timesteps, read_metrics(before / METRICS))
    return run


def num_evaluations(env: str, steps: int) -> int:
    """How often a training is evaluated: less often if it is short and its environments are stepped one by one."""
    spec = find_env(env)
    native = has_native_batch(spec) or spec.entry_point == CARTPOLE
    return EVALUATIONS if native else min(EVALUATIONS, max(2, steps // STEPS_OF_EVALUATION))


def write(run: Run, findings: Findings) -> None:
    for name, figure in figures(findings).items():
        run.figure(figure, name)
    run.finish(result(findings))
    run.close(table(findings), f"balancier watch {run.folder}{env_flag(findings.env)}", PAGE)


def mean_or_none(returns: np.ndarray | None) -> float | None:
    return None if returns is None else float(returns.mean())


def result(findings: Findings) -> dict[str, Any]:
    agent, optimum = findings.agent, mean_or_none(findings.optimal)
    return {
        "agent": findings.name,
        "env": findings.env,
        "network": getattr(agent.network, "func", agent.network).__name__,
        "widths": getattr(agent.network, "keywords", {}),
        "observation": agent.env_kwargs.get("observation", "state"),
        "env_kwargs": agent.env_kwargs,
        "hyperparameters": dataclasses.asdict(agent.config),
        "seeds": agent.seeds,
        "steps": agent.num_timesteps,
        "train_seconds": round(findings.seconds, 2),
        "optimum": optimum,
        **summary(findings.training.returns, optimum),
    }


def table(findings: Findings) -> Table:
    numbers = result(findings)
    (low, high), optimum = numbers["ci95"], numbers["optimum"]
    names = _("agent"), _("env"), _("seeds"), _("steps"), _("seconds"), _("IQM [95 %]"), _("worst seed"), _("optimum")
    shown = Table(*names)
    shown.add_row(
        findings.name,
        findings.env,
        str(len(findings.agent)),
        numeral(findings.agent.num_timesteps),
        f"{findings.seconds:.1f}",
        f"{numbers['iqm']:.1f} [{low:.1f}, {high:.1f}]",
        f"{numbers['returns'].min():.1f}",
        "-" if optimum is None else f"{optimum:.1f}",
    )
    return shown


def figures(findings: Findings) -> dict[str, Figure]:
    return {"learning_curve": learning_curve(findings)}


def learning_curve(findings: Findings) -> Figure:
    """Every seed as a thin line, their interquartile mean as a thick one."""
    figure, (axes,) = plotting.new(width=10, height=6)
    steps, returns = findings.training.steps, findings.training.curve
    one_seed = axes.plot(steps, returns, color=plotting.SKY, linewidth=1.2)[0]
    one_seed.set_label(_("one seed"))
    low, high = np.array([confidence_interval(values) for values in returns]).T
    iqm = [interquartile_mean(values) for values in returns]
    label = _("interquartile mean of {count} seeds, 95 % interval", count=returns.shape[1])
    plotting.band(axes, steps.tolist(), low, iqm, high, label, plotting.BLUE)
    optimum = findings.validation_optimum
    if optimum is not None:
        axes.axhline(optimum, color="black", linestyle="--", label=_("optimum from the same starts"))
    axes.set_xlabel(_("steps of each seed"))
    axes.set_ylabel(_("mean return of {count} validation episodes", count=STARTS))
    axes.set_title(title(findings.name, findings.env, returns[-1], optimum))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def title(name: str, env: str, returns: np.ndarray, optimum: float | None) -> str:
    """Where the seeds end, in a sentence, for their last evaluation (S,)."""
    ends = _("one seed ends at {value:.0f}", value=returns[0])
    if len(returns) > 1:
        spread = {"count": len(returns), "low": returns.min(), "high": returns.max()}
        ends = _("{count} seeds end between {low:.0f} and {high:.0f}", **spread)
    known = {"agent": name.upper(), "env": env.removeprefix("balancier/"), "ends": ends}
    if optimum is None:
        return _("{agent} on {env}:\n{ends}", **known)
    return _("{agent} on {env}:\n{ends}; the optimum is {optimum:.0f}", optimum=optimum, **known)


PAGE = Page(
    question=_("Can an agent learn to swing up a pendulum by trial and error, and does every seed learn it?"),
    formula=(
        _(r"return $= \sum_{t=0}^{T-1} r_t$, what the agent learns to make large"),
        _(
            r"$r_t = -\left(\alpha_t^2 + 0.1\,\dot\alpha_t^2 + 0.001\,u_t^2\right)$, "
            r"the pendulum's reward: angle from upright, speed, torque"
        ),
    ),
    captions={
        "learning_curve": _(
            "Each thin line is one seed: the same algorithm with other random numbers. The thick line is the mean of "
            "the middle half of the seeds; the closer it comes to the dashed optimum, the less there is left to learn."
        )
    },
    what_if=(
        ("balancier watch runs/train/latest", _("the trained agent acts: it swings to and fro, then balances")),
        ("balancier train --agent ppo", _("PPO uses each step once: it needs more steps, and each of them costs less")),
        (
            "balancier train --observation angle --network gru",
            _("without the speed: a recurrent network must remember"),
        ),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    command = command_line("train", argv)
    return run_command("train", Train, lambda flags: train(flags, command), argv, __doc__, PAGE)


if __name__ == "__main__":
    sys.exit(main())
