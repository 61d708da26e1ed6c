"""From Bellman's equation to DQN (6.1): value iteration, tabular Q-learning and DQN on one pendulum, and the optimum.

All three look for the Q that solves Q(s, a) = r + gamma max_a' Q(s', a'). Value iteration knows the world and sweeps
over a grid of angle x speed. Q-learning knows nothing: it walks on the same grid and keeps the same table. DQN walks in
the real world, and a network takes the table's place. No state ends an episode, so V = max_a Q is the discounted return
of an endless future.

S seed, M points of a map, A actions, X points of the grid, P settings, E evaluations.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from envs.grid import Grid, pendulum_grid
from envs.optimum import optimum
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import duration, run_parallel
from experiments.common.runs import Run, console
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import check_budget, forecast, learn, mean_optimum, summary

ENV, TORQUES, STARTS = "balancier/PendulumDiscrete-v0", 5, 100
FINE = (200, 121)  # angles x speeds of the grid that tells the right values; one of 240 x 161 moves them by 1.4 (RMS)
MAP = (121, 81)  # angles x speeds at which methods are drawn and compared
ANGLE, SPEED = np.pi * np.linspace(-1, 1, MAP[0]).repeat(MAP[1]), np.tile(np.linspace(-8, 8, MAP[1]), MAP[0])  # (M,)
OBS = np.stack([np.cos(ANGLE), np.sin(ANGLE), SPEED], -1)  # (M, 3)
WALKERS, EPISODE = 128, 20  # of each seed of Q-learning, side by side; steps
SWEEPS = (1, 5, 20, 60)  # of value iteration that are shown, before the last
PER_SECOND = 8.2e6  # steps of Q-learning in a processor second, for the forecast alone
COLORS = {"value iteration": plotting.GRAY, "Q-learning": plotting.GREEN, "DQN": plotting.BLUE}


@dataclass(frozen=True)
class QLearning(Flags):
    """Value iteration, tabular Q-learning and DQN on one pendulum, beside the optimum."""

    steps: int = 15_000
    """Steps of each seed of DQN."""
    episodes: int = 250_000
    """Episodes of each seed of Q-learning, of 20 steps each."""
    angles: int = 30
    """Angles of the grid."""
    speeds: int = 21
    """Speeds of the grid."""
    gamma: float = 0.99
    """Discount per step."""
    jobs: int = 2
    """Processes side by side, each on one thread."""


@dataclass(frozen=True)
class Setting:
    """Q-learning's hyper-parameters; the defaults are those it is compared with the other methods at."""

    gamma: float
    learning_rate: float = 1.0
    decay: float = 0.55
    epsilon: float = 0.3


@dataclass(frozen=True)
class Task:
    """What one process does: Q-learning with these settings, or DQN if there are none."""

    flags: QLearning
    settings: tuple[Setting, ...]
    cost: float  # processor seconds, about


@dataclass(frozen=True)
class Learned:
    """What became of one method."""

    q: np.ndarray  # (S, M, A)
    returns: np.ndarray  # (S,), judged
    steps: int  # of each seed
    seconds: float  # of the processor

    @property
    def middle(self) -> int:
        """Index of the seed in the middle of the judged returns."""
        return int(self.returns.argsort()[(len(self.returns) - 1) // 2])


def panels(gamma: float) -> dict[str, dict[str, Setting]]:
    """What is varied -> name -> setting; the first of each panel is the one that all share."""
    base = Setting(gamma)
    return {
        "learning rate, nth visit": {
            f"1 / n^{base.decay:g}": base,
            "1 / n": replace(base, decay=1.0),
            "always 0.1": replace(base, learning_rate=0.1, decay=0.0),
            "always 1": replace(base, decay=0.0),
        },
        "exploration": {f"epsilon {e:g}": replace(base, epsilon=e) for e in (base.epsilon, 1.0, 0.0)},
        "discount": {f"gamma {g:g}": replace(base, gamma=g) for g in (gamma, 0.97, 0.9)},
    }


def solve(grid: Grid, gamma: float) -> tuple[dict[int, np.ndarray], list[float]]:
    """Q (X, A) after some sweeps of value iteration, the last among them, and the residual of every sweep."""
    kept, residual, q = {}, [], np.zeros(0)
    for q, moved in tabular.value_iteration(grid.process, gamma, 1e-2):
        residual.append(moved)
        if len(residual) in SWEEPS:
            kept[len(residual)] = q
    return kept | {len(residual): q}, residual


def solution(grid: Grid, gamma: float) -> np.ndarray:
    """Q (X, A) of value iteration."""
    return list(solve(grid, gamma)[0].values())[-1]


def rms(error: np.ndarray) -> np.ndarray:
    """Root mean square over the last axis."""
    return np.sqrt((error**2).mean(-1))


def on_map(grid: Grid, q: np.ndarray) -> np.ndarray:
    """Tables (S, X, A) at the map's points, (S, M, A)."""
    return tabular.Greedy(q, grid.look).values(np.broadcast_to(OBS, (len(q), *OBS.shape)))


def judge(grid: Grid, q: np.ndarray) -> np.ndarray:
    """Mean returns (S,) of the greedy policies of tables (S, X, A) in the real world."""
    return evaluate(tabular.Greedy(q, grid.look), ENV, range(TEST_SEED, TEST_SEED + STARTS)).mean(1)


def walk(task: Task, report: Callable[[float], None]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Q-learning, every setting and seed: steps (E,), errors (E, P, S), Q (P, S, X, A), processor seconds of a setting.

    The error is that of V against value iteration with the same discount on the same grid. Episodes start anywhere: few
    walkers from the world's own starts would come by the grid's fast corners.
    """
    flags, settings, began = task.flags, task.settings, time.process_time()
    grid, rounds = pendulum_grid(flags.angles, flags.speeds, TORQUES), flags.episodes // WALKERS
    right = np.stack([solution(grid, setting.gamma).max(1) for setting in settings])  # (P, X)
    given = {name: np.repeat([vars(one)[name] for one in settings], flags.seeds) for name in vars(settings[0])}
    anywhere, seeds = np.ones(len(grid.reward)), flags.all_seeds * len(settings)
    run = tabular.q_learning(grid.process, anywhere, seeds, num_envs=WALKERS, num_steps=EPISODE, **given)
    marks = np.unique(np.geomspace(1, rounds, 30).round().astype(int))
    errors = []
    for number in range(1, rounds + 1):
        q = next(run).reshape(len(settings), flags.seeds, *grid.reward.shape)
        report(task.cost / rounds)
        if number in marks:
            errors.append(rms(q.max(-1) - right[:, None]))
    return marks * WALKERS * EPISODE, np.array(errors), q, (time.process_time() - began) / len(settings)


def deep(task: Task, report: Callable[[float], None]) -> tuple[np.ndarray, np.ndarray, Learned]:
    """DQN: steps (E,), returns while it learned (E, S), and what became of it."""
    agent = DQN(ENV, seeds=task.flags.all_seeds, gamma=task.flags.gamma)
    found = learn(agent, ENV, task.flags.steps, STARTS, lambda done, _: report(task.cost * done / task.flags.steps))
    with torch.no_grad():
        obs = torch.as_tensor(OBS, dtype=torch.get_default_dtype()).expand(len(agent), -1, -1)
        q = agent.policy.values(agent.encoder(obs)).numpy()
    return found.steps, found.curve, Learned(q, found.judged, agent.num_timesteps, found.seconds)


def work(task: Task, report: Callable[[float], None]) -> Any:
    return (walk if task.settings else deep)(task, report)


def check(flags: QLearning) -> None:
    """Raise UsageError for flags out of their range."""
    check_budget(flags.steps, STARTS)
    for name, least, most in (("angles", 4, FINE[0]), ("speeds", 3, FINE[1])):  # the reference has to be the finer one
        if not least <= (value := getattr(flags, name)) <= most:
            raise UsageError(f"--{name}: found {value}, expected {least} to {most}")
    for name, least in (("episodes", WALKERS), ("jobs", 1)):
        if (value := getattr(flags, name)) < least:
            raise UsageError(f"--{name}: found {value}, expected at least {least}")
    if not 0 < flags.gamma <= 0.999:
        raise UsageError(f"--gamma: found {flags.gamma}, expected above 0 and at most 0.999")


def q_learning(flags: QLearning) -> None:
    check(flags)
    run = Run("q_learning", flags)
    if flags.quick:
        less = {"steps": 6_000, "episodes": 75_000, "angles": 20, "speeds": 17}
        flags = replace(flags, **{name: min(value, getattr(flags, name)) for name, value in less.items()})
    varied = panels(flags.gamma)
    settings = tuple(dict.fromkeys(setting for panel in varied.values() for setting in panel.values()))
    walking = flags.episodes * EPISODE * len(settings) * flags.seeds / PER_SECOND
    tasks = [Task(flags, settings, walking), Task(flags, (), forecast("dqn", flags.steps, flags.seeds))]
    costs = [task.cost for task in tasks]
    told = f"{flags.seeds} seeds, about {duration((max(costs) if flags.jobs > 1 else sum(costs)) + 12)}"
    console.print(f"q_learning: three methods, {len(settings)} settings of Q-learning, {told}", highlight=False)
    (at, errors, tables, seconds), (dqn_at, curve, dqn) = run_parallel(work, tasks, flags.jobs, sum(costs), "learning")
    for i, setting in enumerate(settings):
        name = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in vars(setting).items())
        for step, error in zip(at, errors[:, i], strict=True):
            run.log(int(step), f"Q-learning, {name}/error", error)
    for step, returns in zip(dqn_at, curve, strict=True):
        run.log(int(step), "DQN/return", returns)

    fine, grid = pendulum_grid(*FINE, TORQUES), pendulum_grid(flags.angles, flags.speeds, TORQUES)
    truth = on_map(fine, solution(fine, flags.gamma)[None])[0]
    began = time.process_time()
    solved = solution(grid, flags.gamma)[None]
    took = time.process_time() - began
    judged = judge(grid, tables.reshape(-1, *grid.reward.shape)).reshape(len(settings), -1)
    methods = {
        "value iteration": Learned(on_map(grid, solved), judge(grid, solved), 0, took),
        "Q-learning": Learned(on_map(grid, tables[0]), judged[0], int(at[-1]), seconds),
        "DQN": dqn,
    }
    best = mean_optimum(ENV, range(TEST_SEED, TEST_SEED + STARTS))
    assert best is not None
    off = {name: rms(one.q.max(-1) - truth.max(-1)) for name, one in methods.items()}
    residuals = {gamma: solve(grid, gamma)[1] for gamma in sorted({0.9, 0.97, flags.gamma})}
    sweeps = {number: on_map(grid, q[None])[0].max(-1) for number, q in solve(grid, flags.gamma)[0].items()}
    run.figure(draw_sweeps(sweeps, residuals), "value_iteration")
    shown = {f"{name}, seed {flags.all_seeds[one.middle]}": one.q[one.middle] for name, one in methods.items()}
    shown = {f"value iteration on {flags.angles} x {flags.speeds}": shown.pop(next(iter(shown))), **shown}
    values = {name: q.max(-1) for name, q in {f"value iteration on {FINE[0]} x {FINE[1]}": truth, **shown}.items()}
    style = {"cmap": "viridis", "vmin": truth.max(-1).min(), "vmax": 0}
    title = f"What a state is worth, gamma {flags.gamma:g}"
    run.figure(draw_maps(values, title, "V: discounted return", {"extend": "both"}, **style), "values")
    controller = optimum(num_torques=TORQUES)
    torques, optimal = controller.torques, controller.choose(ANGLE, SPEED, controller.num_steps)
    chosen = {"optimal controller": torques[optimal]} | {name: torques[q.argmax(-1)] for name, q in shown.items()}
    style = {"cmap": ListedColormap(matplotlib.colormaps["PuOr"](np.linspace(0.05, 0.95, TORQUES)))}
    style |= {"vmin": torques[0] - 0.5, "vmax": torques[-1] + 0.5}
    run.figure(draw_maps(chosen, "What the policies do", "torque (N m)", {"ticks": torques}, **style), "policies")
    run.figure(draw_errors(methods, best, off, errors[-1, 0]), "errors")
    curves = {setting: errors[:, i] for i, setting in enumerate(settings)}
    regret = {setting: best - interquartile_mean(judged[i]) for i, setting in enumerate(settings)}
    run.figure(draw_replicas(varied, at, curves, regret), "replicas")

    rows: dict[str, Any] = {}
    title = f"{flags.seeds} seeds, judged on {STARTS} starts; seconds of the processor, for all seeds"
    table = Table("method", "steps", "seconds", "IQM [95 %]", "regret", "error of V", "on its own grid", title=title)
    own = {"value iteration": 0.0, "Q-learning": interquartile_mean(errors[-1, 0]), "DQN": None}
    for name, one in methods.items():
        row = {"steps": one.steps, "seconds": round(one.seconds, 2)} | summary(one.returns, best)
        rows[name] = row | {"error": round(interquartile_mean(off[name]), 2), "error_on_grid": own[name]}
        (low, high), on_grid = row["ci95"], "-" if own[name] is None else f"{own[name]:.1f}"
        numbers = f"{row['iqm']:.1f} [{low:.1f}, {high:.1f}]", f"{row['regret']:.1f}", f"{rows[name]['error']:.1f}"
        table.add_row(name, f"{one.steps:,}" if one.steps else "-", f"{one.seconds:.1f}", *numbers, on_grid)
    table.add_row("optimum", "-", "-", f"{best:.1f}", "0.0", "-", "-")
    replicas = [
        vars(setting) | {"regret": round(regret[setting], 2), "error_on_grid": interquartile_mean(curves[setting][-1])}
        for setting in settings
    ]
    found = {"grid": [flags.angles, flags.speeds], "gamma": flags.gamma, "sweeps": max(sweeps), "optimum": best}
    run.finish(found | {"methods": rows, "replicas": replicas})
    run.close(table, "--angles 40 --speeds 25 --episodes 1000000, a finer grid; balancier ablation")


def show(axes: Axes, values: np.ndarray, title: str, **style: Any) -> Any:
    """A map of values (M,)."""
    place = {"origin": "lower", "aspect": "auto", "extent": (-180, 180, -8, 8), "interpolation": "none"}
    image = axes.imshow(values.reshape(MAP).T, **place, **style)
    axes.set_xticks([-180, -90, 0, 90, 180], ["-180", "-90", "top", "90", ""])
    axes.set_xlabel("angle (degrees)")
    axes.set_ylabel("speed (rad/s)")
    axes.grid(visible=False)
    axes.set_title(title)
    axes.label_outer()
    return image


def draw_sweeps(sweeps: dict[int, np.ndarray], residuals: dict[float, list[float]]) -> Figure:
    """V (M,) after some sweeps, and how far each sweep still moves it."""
    figure, axes = plotting.new(3, 2, width=5.4, height=4.4)
    lowest = sweeps[max(sweeps)].min()
    for panel, (k, value) in zip(axes[:5], sweeps.items(), strict=False):
        image = show(panel, value, f"V after {k} sweep{'s' * (k > 1)}", cmap="viridis", vmin=lowest, vmax=0)
    for panel in axes[len(sweeps) : 5]:  # it has ended sooner
        panel.set_visible(False)
    figure.colorbar(image, ax=axes[2], label="discounted return")
    for (gamma, residual), color in zip(residuals.items(), plotting.COLORS, strict=False):
        k = np.arange(len(residual))
        axes[5].semilogy(k + 1, residual, color=color, label=f"gamma {gamma:g}")
        axes[5].semilogy(k + 1, residual[0] * gamma**k, color=color, linestyle=":", linewidth=2)
    axes[5].set_ylim(1e-2, 2e3)
    axes[5].set_xlabel("sweeps")
    axes[5].set_ylabel("V's largest change")
    axes[5].set_title("Dotted: falling like gamma^k")
    axes[5].legend(loc="upper right")
    figure.suptitle("Value iteration: news of the goal spreads over the grid")
    return figure


def draw_maps(maps: dict[str, np.ndarray], title: str, label: str, bar: dict[str, Any], **style: Any) -> Figure:
    """Four maps (M,) in the same colors."""
    figure, axes = plotting.new(2, 2, width=6.4, height=4.6)
    for panel, (name, values) in zip(axes, maps.items(), strict=True):
        image = show(panel, values, name, **style)
    figure.colorbar(image, ax=axes, label=label, **bar)
    figure.suptitle(title)
    return figure


def spots(axes: Axes, row: float, seeds: np.ndarray, color: str) -> None:
    """Seeds (S,) as dots in one row, and below them their interquartile mean with its interval."""
    (low, high), middle = confidence_interval(seeds), interquartile_mean(seeds)
    axes.plot(seeds, [row - 0.12] * len(seeds), "o", color=color, alpha=0.45, markersize=9)
    axes.errorbar(middle, row + 0.08, xerr=[[middle - low], [high - middle]], fmt="s", color=color, markersize=10)


def draw_errors(methods: dict[str, Learned], best: float, off: dict[str, np.ndarray], own: np.ndarray) -> Figure:
    """How far each method is from the optimum, in returns and in values; `own`: Q-learning's error on its own grid."""
    figure, axes = plotting.new(2, width=7.5, height=5)
    for row, (name, one) in enumerate(methods.items()):
        spots(axes[0], row, best - one.returns, COLORS[name])
        spots(axes[1], row, off[name], COLORS[name])
    spots(axes[1], 1.38, own, plotting.ORANGE)
    style = {"color": plotting.ORANGE, "fontsize": 14, "va": "center"}
    axes[1].annotate("  against value iteration on the same grid", (own.max(), 1.38), **style)
    told = [
        f"{name}\n{one.steps:,} steps" if one.steps else f"{name}\nknows the world" for name, one in methods.items()
    ]
    for panel, labels in zip(axes, (told, [""] * len(told)), strict=True):
        panel.set_yticks(range(len(told)), labels)
        panel.set_ylim(len(told) - 0.5, -0.5)
        panel.set_xlim(left=0)
    axes[0].set_xlabel("regret: the optimum's return less its own")
    axes[0].set_title("The policy, in the real world")
    axes[1].set_xlabel("RMS error of V over the map, states seen or not")
    axes[1].set_title(f"The values, against a grid of {FINE[0]} x {FINE[1]}")
    figure.suptitle("Dots: seeds. Squares: their interquartile mean and its 95 % interval")
    return figure


def draw_replicas(varied: dict[str, dict[str, Setting]], steps: Any, curves: dict, regret: dict) -> Figure:
    """Q-learning's error (E, S) of every setting while it learns; beside its name, what its policy loses in the end."""
    figure, axes = plotting.new(3, width=6, height=5.6, sharey=True)
    for panel, (what, named) in zip(axes, varied.items(), strict=True):
        for (name, setting), color in zip(named.items(), ["black", *plotting.COLORS], strict=False):
            low, high = np.array([confidence_interval(row) for row in curves[setting]]).T
            middle = [interquartile_mean(row) for row in curves[setting]]
            plotting.band(panel, steps, low, middle, high, f"{name} (regret {regret[setting]:.0f})", color)
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("steps of each replica")
        panel.set_title(what)
        panel.legend(loc="lower left")
    axes[0].set_ylabel("RMS error of V on its own grid")
    figure.suptitle("Tabular Q-learning: all settings and seeds are replicas of one run")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("q_learning", QLearning, q_learning, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
