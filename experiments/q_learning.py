"""From Bellman's equation to DQN (6.1): value iteration, tabular Q-learning and DQN control the same pendulum. The
figures show the values and the policies that they find, their errors, and the effects of the learning rate, the
exploration and the discount of Q-learning. The optimum is the reference.

All three solve Bellman's equation Q(s, a) = r + gamma max_a' Q(s', a'), where Q(s, a) is the discounted return after
action a in state s. Value iteration knows the rewards and the transitions, and updates a table over a grid of angle x
speed. Q-learning does not know them: it learns the same table from steps on the same grid. DQN learns from steps of the
environment itself, and a network replaces the table. No state ends an episode, so V = max_a Q is the discounted return
of an endless future.

Value iteration is exact on its grid, but a coarse grid is not the pendulum: a step ends between the points, and the
average over the points around makes V too low. So its V may be further from the truth than that of
Q-learning, which starts from Q = 0, too high, and comes down. A finer grid shows it: the error falls with its cells.

A seed decides the random numbers of one training. The interquartile mean (IQM) is the mean over the middle half of the
seeds. The regret of a policy is the return of the optimum minus the return of the policy, from the same starts.

S seed, M points of a map, A actions, X points of the grid, P settings, E evaluations.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from rich.table import Table

import envs  # noqa: F401  registers the pendulum
from agents import DQN, tabular
from agents.evaluation import TEST_SEED, evaluate
from balancier import N_, Bound, _, numeral
from envs.grid import Grid, pendulum_grid
from envs.optimum import optimum
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.hyperparams import tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import EVALUATIONS, Training, forecast, mean_optimum, summary, train_agent

ENV, TORQUES = "balancier/PendulumDiscrete-v0", 5
TEST_SEEDS = range(TEST_SEED, TEST_SEED + 100)  # of `reset`
FINE = (200, 121)  # angles x speeds of the reference grid; a grid of 240 x 161 changes its values by 1.4 (RMS)
MAP = (121, 81)  # angles x speeds where the methods are drawn and compared
ANGLE, SPEED = np.pi * np.linspace(-1, 1, MAP[0]).repeat(MAP[1]), np.tile(np.linspace(-8, 8, MAP[1]), MAP[0])  # (M,)
OBS = np.stack([np.cos(ANGLE), np.sin(ANGLE), SPEED], -1)  # (M, 3)
NUM_ENVS, EPISODE = 128, 20  # of each seed of Q-learning, side by side; steps of an episode
SWEEPS = (1, 5, 20, 60)  # of value iteration that are drawn, before the last
PER_SECOND = 8.2e6  # steps of Q-learning in a processor second, only for the forecast
QUICK = {"steps": 6_000, "episodes": 75_000, "angles": 20, "speeds": 17}  # at most
FINER = (1, 2, 4)  # times as many angles and speeds, for the error of value iteration
COLORS = {N_("value iteration"): plotting.GRAY, N_("Q-learning"): plotting.ORANGE, "DQN": plotting.BLUE}
LINES = "black", plotting.BLUE, plotting.ORANGE, plotting.PURPLE


def between(least: int, most: int) -> Bound:
    return Bound(lambda value: least <= value <= most, f"{least} to {most}")


@dataclass(frozen=True)
class QLearning(ParallelFlags):
    """Value iteration, tabular Q-learning and DQN on one pendulum, beside the optimum."""

    steps: Annotated[int, at_least(EVALUATIONS)] = 15_000
    """Steps of each seed of DQN."""
    episodes: Annotated[int, at_least(NUM_ENVS)] = 250_000
    """Episodes of each seed of Q-learning, of 20 steps each."""
    angles: Annotated[int, between(4, FINE[0])] = 30
    """Angles of the grid."""
    speeds: Annotated[int, between(3, FINE[1])] = 21
    """Speeds of the grid."""
    gamma: Annotated[float, Bound(lambda value: 0 < value <= 0.999, "above 0 and at most 0.999")] = 0.99
    """Discount per step."""

    @property
    def reduced(self) -> "QLearning":
        """The flags as they are run: smaller with --quick."""
        return replace(self, **{name: min(most, getattr(self, name)) for name, most in QUICK.items() if self.quick})

    @property
    def grid(self) -> Grid:
        return pendulum_grid(self.angles, self.speeds, TORQUES)


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters of Q-learning; with the defaults it is compared with the other methods."""

    gamma: float
    learning_rate: float = 1.0
    decay: float = 0.55
    epsilon: float = 0.3


@dataclass(frozen=True)
class Method:
    """One of the three methods after its training."""

    q: np.ndarray  # (S, M, A), on the map
    error: np.ndarray  # (S,), RMS error of V on the map
    bias: np.ndarray  # (S,), mean error of V on the map; below 0, V is too low
    error_on_grid: np.ndarray | None  # (S,), RMS error of V on the method's own grid
    returns: np.ndarray  # (S,), mean test return
    steps: int  # of each seed
    seconds: float  # of the processor

    @property
    def median_seed(self) -> int:
        """Index of the seed with the median test return."""
        return int(self.returns.argsort()[(len(self.returns) - 1) // 2])


@dataclass(frozen=True)
class Findings:
    flags: QLearning  # as they were run
    optimum: float  # mean return of the optimum from the test starts
    torques: np.ndarray  # (A,)
    optimal_torque: np.ndarray  # (M,)
    reference: np.ndarray  # (M, A), Q of value iteration on the fine grid
    sweeps: dict[int, np.ndarray]  # number of sweeps of value iteration -> V (M,)
    grid_errors: dict[tuple[int, int], float]  # angles x speeds -> RMS error of V of value iteration on the map
    residuals: dict[float, list[float]]  # gamma -> largest change of V in each sweep
    methods: dict[str, Method]
    steps: np.ndarray  # (E,), of Q-learning
    errors: dict[Setting, np.ndarray]  # (E, S), RMS error of V on the grid while Q-learning learns
    regret: dict[Setting, float]  # of the IQM over the seeds, after Q-learning
    dqn: Training


# Value iteration, Q-learning, DQN


def panels(gamma: float) -> dict[str, dict[str, Setting]]:
    """Title -> label -> setting of Q-learning; the first of each panel is the same in all."""
    base = Setting(gamma)
    return {
        N_("learning rate, nth visit"): {
            f"1 / n^{base.decay:g}": base,
            "1 / n": replace(base, decay=1.0),
            _("always {rate:g}", rate=0.1): replace(base, learning_rate=0.1, decay=0.0),
            _("always {rate:g}", rate=1): replace(base, decay=0.0),
        },
        N_("exploration"): {_("epsilon {e:g}", e=e): replace(base, epsilon=e) for e in (base.epsilon, 1.0, 0.0)},
        N_("discount"): {_("gamma {gamma:g}", gamma=g): replace(base, gamma=g) for g in (gamma, 0.97, 0.9)},
    }


def all_settings(gamma: float) -> tuple[Setting, ...]:
    """The different settings of all panels."""
    return tuple(dict.fromkeys(setting for panel in panels(gamma).values() for setting in panel.values()))


def solve(grid: Grid, gamma: float) -> tuple[dict[int, np.ndarray], list[float]]:
    """Value iteration: Q (X, A) after SWEEPS and after the last sweep, and the largest change of V in every sweep."""
    after, residuals, q = {}, [], np.zeros(0)
    for q, residual in tabular.value_iteration(grid.process, gamma, 1e-2):
        residuals.append(residual)
        if len(residuals) in SWEEPS:
            after[len(residuals)] = q
    return after | {len(residuals): q}, residuals


def solution(grid: Grid, gamma: float) -> np.ndarray:
    """Q (X, A) of value iteration."""
    sweeps, residuals = solve(grid, gamma)
    return sweeps[len(residuals)]


def rms(error: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis."""
    return np.sqrt((error**2).mean(-1))


def on_map(grid: Grid, q: np.ndarray) -> np.ndarray:
    """Tables (S, X, A) at the points of the map, (S, M, A)."""
    return tabular.Greedy(q, grid.locate).values(np.broadcast_to(OBS, (len(q), *OBS.shape)))


def greedy_returns(grid: Grid, q: np.ndarray) -> np.ndarray:
    """Mean test returns (S,) of the greedy policies of tables (S, X, A) in the environment."""
    return evaluate(tabular.Greedy(q, grid.locate), ENV, TEST_SEEDS).mean(1)


def learn_tables(job: Job, report: Callable[[float], None]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Q-learning: steps (E,), errors (E, P, S), Q (P, S, X, A), processor seconds of one setting.

    All settings and seeds learn side by side. The error is that of V, against value iteration with the same discount on
    the same grid. Episodes start anywhere: from the starts of the environment, few would reach the fast corners of the
    grid.
    """
    flags, settings = job.settings
    began, num_seeds, grid, rounds = time.process_time(), len(job.seeds), flags.grid, flags.episodes // NUM_ENVS
    solved = np.stack([solution(grid, setting.gamma).max(1) for setting in settings])  # (P, X)
    hyperparams = {name: np.repeat([vars(s)[name] for s in settings], num_seeds) for name in vars(settings[0])}
    starts, seeds = np.ones(len(grid.reward)), list(job.seeds) * len(settings)
    run = tabular.q_learning(grid.process, starts, seeds, num_envs=NUM_ENVS, num_steps=EPISODE, **hyperparams)
    recorded = np.unique(np.geomspace(1, rounds, 30).round().astype(int))
    errors, q = [], np.zeros(0)
    for number in range(1, rounds + 1):
        q = next(run).reshape(len(settings), num_seeds, *grid.reward.shape)
        report(job.cost / rounds)
        if number in recorded:
            errors.append(rms(q.max(-1) - solved[:, None]))
    seconds = (time.process_time() - began) / len(settings)
    return recorded * NUM_ENVS * EPISODE, np.array(errors), q, seconds


def learn_dqn(job: Job, report: Callable[[float], None]) -> tuple[Training, np.ndarray]:
    """DQN: its training, and Q (S, M, A) on the map."""
    flags = job.settings
    agent = DQN(ENV, seeds=job.seeds, **tuned("dqn", ENV) | {"gamma": flags.gamma})
    training = train_agent(
        agent, ENV, flags.steps, len(TEST_SEEDS), lambda done, __: report(job.cost * done / flags.steps)
    )
    with torch.no_grad():
        obs = torch.as_tensor(OBS, dtype=torch.get_default_dtype()).expand(len(agent), -1, -1)
        return training, agent.policy.values(agent.encoder(obs)).numpy()


def work(job: Job, report: Callable[[float], None]) -> Any:
    return (learn_dqn if job.name == "DQN" else learn_tables)(job, report)


# The lesson


def plan(flags: QLearning) -> list[Job]:
    """Q-learning with all settings, and DQN."""
    settings, seeds = all_settings(flags.gamma), tuple(flags.all_seeds)
    cost = flags.episodes * EPISODE * len(settings) * flags.seeds / PER_SECOND
    return [
        Job("Q-learning", seeds, cost, (flags, settings)),
        Job("DQN", seeds, forecast("dqn", flags.steps, flags.seeds), flags),
    ]


def finer_grids(flags: QLearning) -> list[tuple[int, int]]:
    """Angles x speeds of the lesson's grid and of finer ones, all coarser than the reference."""
    sizes = [(k * flags.angles, k * (flags.speeds - 1) + 1) for k in FINER]
    return [size for size in sizes if size[0] < FINE[0] and size[1] < FINE[1]] or sizes[:1]


def measure(flags: QLearning) -> Findings:
    flags = flags.reduced
    results = run_parallel(work, plan(flags), flags.processes, _("learning"), kinds=[Training])
    (steps, errors, tables, seconds), (dqn, dqn_q) = results
    settings, grid, fine = all_settings(flags.gamma), flags.grid, pendulum_grid(*FINE, TORQUES)
    reference = on_map(fine, solution(fine, flags.gamma)[None])[0]

    def method(q: np.ndarray, *measured: Any) -> Method:
        error = q.max(-1) - reference.max(-1)  # (S, M)
        return Method(q, rms(error), error.mean(-1), *measured)

    began = time.process_time()
    sweeps, residuals = solve(grid, flags.gamma)
    took = time.process_time() - began
    solved = sweeps[len(residuals)][None]
    returns = greedy_returns(grid, tables.reshape(-1, *grid.reward.shape)).reshape(len(settings), -1)  # (P, S)
    finer = {(a, b): pendulum_grid(a, b, TORQUES) for a, b in finer_grids(flags)}
    maps = {size: on_map(some, solution(some, flags.gamma)[None])[0] for size, some in finer.items()}
    best, controller = mean_optimum(ENV, TEST_SEEDS), optimum(num_torques=TORQUES)
    assert best is not None
    return Findings(
        flags=flags,
        optimum=best,
        torques=controller.torques,
        optimal_torque=controller.torques[controller.choose(ANGLE, SPEED, controller.num_steps)],
        reference=reference,
        sweeps={number: on_map(grid, q[None])[0].max(-1) for number, q in sweeps.items()},
        grid_errors={size: float(rms(q.max(-1) - reference.max(-1))) for size, q in maps.items()},
        residuals={gamma: solve(grid, gamma)[1] for gamma in sorted({0.9, 0.97, flags.gamma})},
        methods={
            "value iteration": method(on_map(grid, solved), np.zeros(1), greedy_returns(grid, solved), 0, took),
            "Q-learning": method(on_map(grid, tables[0]), errors[-1, 0], returns[0], int(steps[-1]), seconds),
            "DQN": method(dqn_q, None, dqn.returns, int(dqn.steps[-1]), dqn.train_seconds),
        },
        steps=steps,
        errors={setting: errors[:, index] for index, setting in enumerate(settings)},
        regret={setting: best - interquartile_mean(row) for setting, row in zip(settings, returns, strict=True)},
        dqn=dqn,
    )


def expected_time(flags: QLearning) -> str:
    flags = flags.reduced
    return _(
        "three methods, {count} settings of Q-learning, {seeds} seeds, about {time}",
        count=len(all_settings(flags.gamma)),
        seeds=flags.seeds,
        time=duration(wall_seconds(plan(flags), flags.processes)),
    )


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    seeds = findings.flags.all_seeds
    for setting, errors in findings.errors.items():
        name = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in vars(setting).items())
        for step, error in zip(findings.steps, errors, strict=True):
            yield int(step), f"Q-learning, {name}/error", error, seeds
    for step, returns in zip(findings.dqn.steps, findings.dqn.curve, strict=True):
        yield int(step), "DQN/return", returns, seeds


def result(findings: Findings) -> dict[str, Any]:
    flags, methods = findings.flags, {}
    for name, method in findings.methods.items():
        numbers = {"steps": method.steps, "seconds": method.seconds} | summary(method.returns, findings.optimum)
        on_grid = None if method.error_on_grid is None else interquartile_mean(method.error_on_grid)
        errors = {"error": interquartile_mean(method.error), "bias": interquartile_mean(method.bias)}
        methods[name] = numbers | errors | {"error_on_grid": on_grid}
    replicas = [
        vars(setting) | {"regret": findings.regret[setting], "error_on_grid": interquartile_mean(errors[-1])}
        for setting, errors in findings.errors.items()
    ]
    numbers = {"grid": [flags.angles, flags.speeds], "gamma": flags.gamma, "sweeps": max(findings.sweeps)}
    grid_errors = [{"grid": size, "error": error} for size, error in findings.grid_errors.items()]
    numbers |= {"optimum": findings.optimum, "methods": methods, "grid_errors": grid_errors}
    return numbers | {"replicas": replicas}


def table(findings: Findings) -> Table:
    columns = (
        _("method"),
        _("steps"),
        _("seconds"),
        _("IQM of returns [95 %]"),
        _("regret"),
        _("error of V"),
        _("bias of V"),
        _("on its own grid"),
    )
    title = _(
        "{seeds} seeds, {starts} test starts; processor seconds for all seeds",
        seeds=findings.flags.seeds,
        starts=len(TEST_SEEDS),
    )
    table = Table(*columns, title=title)
    for name, row in result(findings)["methods"].items():
        (low, high), on_grid = row["ci95"], row["error_on_grid"]
        cells = numeral(row["steps"]) if row["steps"] else "-", f"{row['seconds']:.1f}"
        numbers = f"{row['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{row['regret']:.1f}"
        errors = f"{row['error']:.1f}", f"{row['bias']:+.1f}", "-" if on_grid is None else f"{on_grid:.1f}"
        table.add_row(_(name), *cells, *numbers, *errors)
    table.add_row(_("optimum"), "-", "-", f"{findings.optimum:.1f}", "0.0", "-", "-", "-")
    errors = findings.grid_errors.items()
    table.caption = _(
        "Errors of V are RMS errors against value iteration on {angles} x {speeds}. Value iteration is exact on its "
        "own grid; its error is the grid's, and falls on finer ones ({grids}).",
        angles=FINE[0],
        speeds=FINE[1],
        grids=_(", ").join(_("{a} x {b}: {error:.1f}", a=a, b=b, error=error) for (a, b), error in errors),
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "value_iteration": plot_sweeps(findings),
        "values": plot_values(findings),
        "policies": plot_policies(findings),
        "errors": plot_errors(findings),
        "replicas": plot_replicas(findings),
    }


def plot_map(axes: Axes, values: np.ndarray, title: str, **style: Any) -> Any:
    """A map of values (M,)."""
    place = {"origin": "lower", "aspect": "auto", "extent": (-180, 180, -8, 8), "interpolation": "none"}
    image = axes.imshow(values.reshape(MAP).T, **place, **style)
    axes.set_xticks([-180, -90, 0, 90, 180], ["-180", "-90", _("top"), "90", ""])
    axes.set_xlabel(_("angle (degrees)"))
    axes.set_ylabel(_("speed (rad/s)"))
    axes.grid(visible=False)
    axes.set_title(title)
    axes.label_outer()
    return image


def plot_sweeps(findings: Findings) -> Figure:
    """V after some sweeps of value iteration, and its largest change in every sweep."""
    figure, axes = plotting.new(3, 2, width=5.0, height=4.1)
    sweeps = findings.sweeps
    lowest = sweeps[max(sweeps)].min()
    for panel, (k, value) in zip(axes[:5], sweeps.items(), strict=False):
        title = _("V after {count} sweeps", count=k) if k > 1 else _("V after 1 sweep")
        image = plot_map(panel, value, title, cmap="viridis", vmin=lowest, vmax=0)
    for panel in axes[len(sweeps) : 5]:  # value iteration has ended earlier
        panel.set_visible(False)
    figure.colorbar(image, ax=axes[2], label=_("discounted return"))
    for (gamma, residual), color in zip(findings.residuals.items(), LINES[1:], strict=False):
        k = np.arange(len(residual))
        axes[5].semilogy(k + 1, residual, color=color, label=_("gamma {gamma:g}", gamma=gamma))
        axes[5].semilogy(k + 1, residual[0] * gamma**k, color=color, linestyle=":", linewidth=2)
    axes[5].set(ylim=(1e-2, 2e3), xlabel=_("sweeps"), ylabel=_("largest change of V"))
    axes[5].set_title(_("at least as fast as gamma^k (dotted)"))
    axes[5].legend(loc="upper right")
    figure.suptitle(
        _(
            "Value iteration: values spread from the goal; after {count} sweeps they stand still",
            count=max(sweeps),
        )
    )
    return figure


def plot_maps(maps: dict[str, np.ndarray], title: str, label: str, bar: dict[str, Any], **style: Any) -> Figure:
    """Four maps (M,) in the same colors."""
    figure, axes = plotting.new(2, 2, width=6.8, height=4.1)
    for panel, (name, values) in zip(axes, maps.items(), strict=True):
        image = plot_map(panel, values, name, **style)
    figure.colorbar(image, ax=axes, label=label, **bar)
    figure.suptitle(title)
    return figure


def median_seeds(findings: Findings) -> dict[str, np.ndarray]:
    """Q (M, A) of each method's median seed, with a title for its map."""
    flags, maps = findings.flags, {}
    for name, method in findings.methods.items():
        index = method.median_seed
        seed = _("seed {seed}", seed=flags.all_seeds[index])
        where = seed if method.steps else f"{flags.angles} x {flags.speeds}"
        regret = findings.optimum - method.returns[index]
        title = _("{method}, {where}: regret {regret:.1f}", method=_(name), where=where, regret=regret)
        maps[title] = method.q[index]
    return maps


def plot_values(findings: Findings) -> Figure:
    """V of the reference and of each method."""
    reference = _("value iteration on {angles} x {speeds}", angles=FINE[0], speeds=FINE[1])
    maps = {reference: findings.reference} | median_seeds(findings)
    values = {name: q.max(-1) for name, q in maps.items()}
    style = {"cmap": "viridis", "vmin": findings.reference.max(-1).min(), "vmax": 0}
    errors = ", ".join(f"{interquartile_mean(each.error):.0f} ({_(name)})" for name, each in findings.methods.items())
    title = _("Three methods approximate the same V: off by {errors} (RMS)", errors=errors)
    return plot_maps(values, title, _("V: discounted return"), {"extend": "both"}, **style)


def plot_policies(findings: Findings) -> Figure:
    """The torques that the optimum and each method choose."""
    torques = findings.torques
    chosen = {name: torques[q.argmax(-1)] for name, q in median_seeds(findings).items()}
    style = {"cmap": ListedColormap(matplotlib.colormaps["PuOr"](np.linspace(0.05, 0.95, TORQUES)))}
    style |= {"vmin": torques[0] - 0.5, "vmax": torques[-1] + 0.5}
    maps = {_("optimal controller"): findings.optimal_torque} | chosen
    worst = max(findings.optimum - method.returns[method.median_seed] for method in findings.methods.values())
    title = _("Different actions where they matter little: the regret is at most {worst:.1f}", worst=worst)
    return plot_maps(maps, title, _("torque (N m)"), {"ticks": torques}, **style)


def plot_seeds(axes: Axes, row: float, seeds: np.ndarray, color: str) -> None:
    """Seeds (S,) as dots in one row, and below them their interquartile mean with its interval."""
    (low, high), middle = confidence_interval(seeds), interquartile_mean(seeds)
    axes.plot(seeds, [row - 0.12] * len(seeds), "o", color=color, alpha=0.45, markersize=9)
    axes.errorbar(middle, row + 0.08, xerr=[[middle - low], [high - middle]], fmt="s", color=color, markersize=10)


def plot_errors(findings: Findings) -> Figure:
    """Regret of each method, and how much of the error of its values the grid makes."""
    figure, (regret, error) = plotting.new(2, width=7.2, height=7.2)
    for row, (name, method) in enumerate(findings.methods.items()):
        plot_seeds(regret, row, findings.optimum - method.returns, COLORS[name])
    labels = []
    for name, method in findings.methods.items():
        knowledge = _("{steps:,} steps", steps=method.steps) if method.steps else _("knows the model")
        labels.append(f"{_(name)}\n{knowledge}")
    regret.set_yticks(range(len(labels)), labels)
    rows = {
        f"{_('value iteration')}\n{a} x {b}": (np.array([value]), COLORS["value iteration"])
        for (a, b), value in findings.grid_errors.items()
    }
    flags, learned = findings.flags, findings.methods["Q-learning"]
    assert learned.error_on_grid is not None
    color = COLORS["Q-learning"]
    rows[f"{_('Q-learning')}\n{flags.angles} x {flags.speeds}"] = learned.error, color
    rows[_("Q-learning against\nvalue iteration\non its own grid")] = learned.error_on_grid, color
    rows[_("DQN, no grid")] = findings.methods["DQN"].error, COLORS["DQN"]
    for row, (values, color) in enumerate(rows.values()):
        plot_seeds(error, row, values, color)
    error.set_yticks(range(len(rows)), list(rows))
    for panel, count in ((regret, len(labels)), (error, len(rows))):
        panel.set_ylim(count - 0.5, -0.5)
        panel.set_xlim(left=0)
        panel.grid(axis="y", visible=False)
    regret.set_xlabel(_("regret (return below the optimum)"))
    regret.set_title(_("the policy in the environment"))
    error.set_xlabel(_("RMS error of V against {angles} x {speeds}", angles=FINE[0], speeds=FINE[1]))
    error.set_title(_("the values: finer grids are nearer"))
    first, last = (list(findings.grid_errors.values())[index] for index in (0, -1))
    figure.suptitle(
        _(
            "The coarse grid makes most of the error: with it, value iteration is off by {first:.0f}, with the finest "
            "by {last:.0f}\n(dots: seeds; squares: their interquartile mean and its 95 % interval)",
            first=first,
            last=last,
        )
    )
    return figure


def plot_replicas(findings: Findings) -> Figure:
    """The error of Q-learning with every setting while it learns, and the regret of the policy in the end."""
    figure, axes = plotting.new(3, width=4.9, height=7.2, sharey=True)
    for panel, (title, settings) in zip(axes, panels(findings.flags.gamma).items(), strict=True):
        for (name, setting), color in zip(settings.items(), LINES, strict=False):
            label = _("{setting} (regret {regret:.0f})", setting=name, regret=findings.regret[setting])
            plotting.iqm_band(panel, findings.steps.tolist(), findings.errors[setting], label, color)
        panel.set(xscale="log", yscale="log", xlabel=_("steps of each replica"), title=_(title))
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12))
    axes[0].set_ylabel(_("RMS error of V on its own grid"))
    rates = panels(findings.flags.gamma)["learning rate, nth visit"]
    regrets = (
        _("regret {regret:.0f} with {setting}", regret=findings.regret[setting], setting=label)
        for label, setting in rates.items()
    )
    figure.suptitle(
        _(
            "How far Q-learning comes in these steps depends on its learning rate:\n{regrets}",
            regrets=_(", ").join(regrets),
        )
    )
    return figure


PAGE = Page(
    question=_("How do value iteration, Q-learning and DQN find the best action in every state?"),
    formula=(
        r"$Q(s, a) = r + \gamma \, \max_{a'} Q(s', a')$ (Bellman)",
        r"Q-learning: $Q(s, a) \leftarrow Q(s, a) + \eta \, (r + \gamma \max_{a'} Q(s', a') - Q(s, a))$",
        r"DQN: $L = (r + \gamma \max_{a'} Q_{target}(s', a') - Q_\theta(s, a))^2$",
    ),
    captions={
        "value_iteration": _(
            "Each sweep carries the rewards one step further, so high values spread from the upright position along "
            "the ways that lead to it. The largest change falls at least as fast as gamma^k."
        ),
        "values": _(
            "All maps have the same bright band: the states from which the pendulum gets up at once. On the coarse "
            "grid it is blurred and too dark, because a step ends between grid points."
        ),
        "policies": _(
            "The methods agree near the upright position and along the swing. Elsewhere they differ, mostly where two "
            "actions are worth nearly the same."
        ),
        "errors": _(
            "Left, all policies are close to the optimum. Right, value iteration knows the model and still has an "
            "error: it is exact for its grid, and the grid is coarse; the error falls on finer grids."
        ),
        "replicas": _(
            "A learning rate that falls as 1 / n stops too early, and one that stays at 1 never averages. A small "
            "discount is learned sooner, but its policy looks less far ahead and has a higher regret."
        ),
    },
    what_if=(
        ("balancier q_learning --angles 40 --speeds 25 --episodes 1000000", _("a finer grid: which error falls?")),
        ("balancier q_learning --gamma 0.9", _("why are the values learned sooner, and the regret higher?")),
        ("balancier ablation", _("what do the refinements of DQN add?")),
    ),
)

LESSON = Lesson(
    flags=QLearning,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=expected_time,
    next_command=_("balancier q_learning --angles 40 --speeds 25 --episodes 1000000, a finer grid; balancier ablation"),
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("q_learning", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
