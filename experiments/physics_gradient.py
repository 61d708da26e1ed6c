"""Gradient through physics (6.1): a simulator made of differentiable functions gives the gradient of the return by
back-propagation. This gradient improves torque sequences and policies. The figures compare such a policy with PPO and
SAC at equal steps and at equal seconds, and show where the gradient explodes and what helps.

A torque sequence is a plan for one start: nothing corrects it. At the top each step multiplies an error, so the
gradient of a long sequence explodes. What helps is a short window that moves along the episode. A policy sees the state
and corrects errors, so its gradient does not explode. The policy here learns as in SHAC (short-horizon actor-critic,
arXiv:2204.07137): the gradient goes through a short window, and a learned value stands for all that comes after it.

PPO and SAC know no equations. They estimate the gradient from rewards alone, or from a learned value. The equations
give an exact gradient. A simulator can also begin in any state, and here this matters as much: a policy that learns
through physics from its own episodes alone stays far behind, because the gradient sees only what is near.

A seed is one independent training. The interquartile mean (IQM) is the mean of the middle half of the seeds. The regret
is the best mean return that is possible from the same starts, minus the mean return.

S seed, N pendulums of one seed, h steps of a window, n starts, R restarts, T steps of an episode, E evaluations,
H horizons.
"""

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MultipleLocator, NullLocator
from rich.console import Group
from rich.table import Table
from torch import Tensor

from agents import AGENTS
from agents.evaluation import TEST_SEED, evaluate
from balancier import N_, Bound, _, numeral
from envs.optimum import Optimum, optimum
from envs.pendulum import PendulumVectorEnv
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.hyperparams import PENDULUM, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.through_physics import (
    BATCH,
    EPISODE,
    FIXED,
    LOOP,
    PHYSICS,
    RANDOM,
    PhysicsPolicy,
    Plans,
    Recipe,
    Slopes,
    growth,
    measure_slopes,
    motion,
    optimize,
    simulate,
    top_growth,
)
from experiments.common.training import forecast as training_seconds

SLOPE_STARTS = 20
POLICY, OWN = N_("physics, any state"), N_("physics, own episodes")
METHODS = {POLICY: plotting.BLUE, OWN: plotting.SKY, "PPO": plotting.ORANGE, "SAC": plotting.PURPLE}
WINDOWS, QUICK_WINDOWS = (1, 2, 4, 8, 16, 32), (8,)  # steps that the gradient of a policy goes through
RECIPES = {
    N_("plain"): Recipe(),
    N_("clipped"): Recipe(1.0),
    N_("clipped, growing horizon"): Recipe(1.0, first_horizon=20),
    N_("clipped, moving window"): Recipe(1.0, window=30, keep=10),
}
QUICK_RECIPES = "plain", "clipped, moving window"
QUICK = {"steps": 20_000, "iterations": 30, "starts": 5, "eval_episodes": 30}  # at most
MOTIONS = {RANDOM: plotting.GRAY, FIXED: plotting.ORANGE, LOOP: plotting.BLUE}


@dataclass(frozen=True)
class PhysicsGradient(ParallelFlags):
    """Torque sequences and a policy by the gradient through the simulator, beside PPO and SAC."""

    steps: Annotated[int, at_least(2_000)] = 40_000
    """Steps of each seed (of SAC a quarter; with --quick at most 20,000)."""
    window: Annotated[int, Bound(lambda steps: 1 <= steps <= 100, "1 to 100")] = 2
    """Steps that a gradient of the policy goes through."""
    iterations: Annotated[int, at_least(8)] = 200
    """Steps of gradient descent for a torque sequence (at most 30 with --quick)."""
    starts: Annotated[int, at_least(1)] = 10
    """Test starts that torque sequences are optimized for (at most 5 with --quick)."""
    restarts: Annotated[int, at_least(1)] = 8
    """Random torque sequences that gradient descent begins with, for each start and seed; the best result counts."""
    eval_episodes: Annotated[int, at_least(1)] = 100
    """Test starts of a policy (at most 30 with --quick)."""

    @property
    def reduced(self) -> "PhysicsGradient":
        """The flags as they are run: smaller with --quick."""
        return replace(self, **{name: min(most, getattr(self, name)) for name, most in QUICK.items() if self.quick})

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: 5 if self.quick else None]

    @property
    def evaluations(self) -> int:
        return 8 if self.quick else 20

    @property
    def other_windows(self) -> list[int]:
        """Windows that are compared with `window`."""
        return [window for window in (QUICK_WINDOWS if self.quick else WINDOWS) if window != self.window]

    @property
    def recipes(self) -> dict[str, Recipe]:
        return {name: recipe for name, recipe in RECIPES.items() if not self.quick or name in QUICK_RECIPES}

    def steps_of(self, method: str) -> int:
        return self.steps // (5 if self.quick else 4) if method == "SAC" else self.steps


@dataclass(frozen=True)
class Learning:
    """What came of the training of a policy."""

    steps: np.ndarray  # (E,)
    seconds: np.ndarray  # (E,), of the processor until then, without the evaluations
    returns: np.ndarray  # (E, S), mean return over the test starts
    weights: dict[str, Tensor]  # of the policy through physics, else empty


@dataclass(frozen=True)
class Findings:
    flags: PhysicsGradient  # as they were run
    optimum: np.ndarray  # (n,), best returns from the test starts
    trainings: dict[str, Learning]
    windows: dict[int, Learning]  # the policy through physics with other windows
    plans: dict[str, Plans]
    start: np.ndarray  # (2,), angle and speed of the start whose plans are drawn
    best_torques: np.ndarray  # (T,), of the optimum from there
    slopes: Slopes

    @property
    def best(self) -> float:
        """The best mean return of a policy."""
        return float(self.optimum[: self.flags.eval_episodes].mean())

    @property
    def equal_steps(self) -> int:
        """Steps that every method has made."""
        return int(min(training.steps[-1] for training in self.trainings.values()))

    @property
    def equal_seconds(self) -> float:
        """Processor seconds that every method has had."""
        return float(min(training.seconds[-1] for training in self.trainings.values()))

    def regret(self, name: str, steps: float = math.inf, seconds: float = math.inf) -> np.ndarray:
        """Regret of each seed (S,) after so many steps or seconds, between evaluations as the figure's lines."""
        training = self.trainings[name]
        x, place = (training.steps, steps) if steps < math.inf else (training.seconds, seconds)
        logs = np.log((self.best - training.returns).clip(1e-3))  # (E, S)
        place = min(place, float(x[-1]))
        return np.exp([np.interp(np.log(place), np.log(x), values) for values in logs.T])

    @property
    def window_regrets(self) -> dict[int, np.ndarray]:
        """Window -> regret (S,) at the end, after equal steps."""
        every = self.windows | {self.flags.window: self.trainings[POLICY]}
        return {window: self.best - every[window].returns[-1] for window in sorted(every)}

    def plan_regrets(self, name: str) -> np.ndarray:
        """Regret (S, n, R) of each torque sequence."""
        return self.optimum[: self.flags.starts, None] - self.plans[name].returns


# Training and testing


def test_starts(count: int) -> np.ndarray:
    """Angle and speed (n, 2) of the test starts."""
    batch = PendulumVectorEnv(count)
    batch.reset(seed=[TEST_SEED + i for i in range(count)])
    return np.stack([batch.angle, batch.speed], 1)


def learn(model: Any, total: int, episodes: int, evaluations: int, report: Callable[[float], object]) -> Learning:
    """Train a model with `learn` and `predict`, and test it at even parts of its budget; tests cost it no time."""
    starts = range(TEST_SEED, TEST_SEED + episodes)
    steps: list[int] = []
    seconds: list[float] = []
    returns: list[np.ndarray] = []
    used, since = 0.0, time.process_time()

    def test(model: Any) -> bool:
        nonlocal used, since
        if model.num_timesteps >= total * (len(steps) + 1) // evaluations:
            used += time.process_time() - since
            report(1 / evaluations)
            steps.append(model.num_timesteps)
            seconds.append(used)
            returns.append(evaluate(model, PENDULUM, starts).mean(1))
            since = time.process_time()
        return True

    model.learn(total, test)
    weights = dict(model.policy.state_dict()) if isinstance(model, PhysicsPolicy) else {}
    return Learning(np.array(steps), np.array(seconds), np.array(returns), weights)


# The lesson


def work(job: Job, report: Callable[[float], None]) -> Learning | Plans:
    """One training or optimization with all its seeds, in a process of its own."""
    flags, window = job.settings
    tell = lambda share: report(job.cost * share)  # noqa: E731
    if job.name in RECIPES:
        numbers = flags.restarts, flags.iterations
        return optimize(RECIPES[job.name], job.seeds, test_starts(flags.starts), *numbers, tell)
    steps, evaluations = flags.steps_of(job.name), flags.evaluations if job.name in METHODS else 1
    if job.name in ("PPO", "SAC"):
        agent, hyperparameters = job.name.lower(), tuned(job.name.lower(), PENDULUM)
        if hyperparameters["anneal_steps"]:
            hyperparameters["anneal_steps"] = max(steps, hyperparameters["anneal_steps"])
        model: Any = AGENTS[agent](PENDULUM, seeds=job.seeds, **hyperparameters)
    else:
        model = PhysicsPolicy(job.seeds, window, steps, own_episodes=job.name == OWN)
    return learn(model, steps, flags.eval_episodes, evaluations, tell)


def plan(flags: PhysicsGradient) -> list[Job]:
    """Policies by each method, policies through physics with other windows, and torque sequences."""
    seeds = tuple(flags.all_seeds)
    tests = 2e-4 * len(seeds) * flags.eval_episodes

    def job(name: str, cost: float, window: int = flags.window) -> Job:
        return Job(name, seeds, cost, (flags, window))

    def cost(window: int) -> float:
        return flags.steps / BATCH * (2e-3 + 3e-4 * window) * (0.5 + 0.05 * len(seeds))

    jobs = [job(name, cost(flags.window) + flags.evaluations * tests) for name in (POLICY, OWN)]
    for name in ("PPO", "SAC"):
        seconds = training_seconds(name.lower(), flags.steps_of(name), len(seeds))
        jobs.append(job(name, seconds + flags.evaluations * tests))
    jobs += [job(f"window {window}", cost(window) + tests, window) for window in flags.other_windows]
    sequences = len(seeds) * flags.starts * flags.restarts
    for name, recipe in flags.recipes.items():
        share = 1.0 if recipe.window == EPISODE else 0.3
        jobs.append(job(name, share * flags.iterations * (0.04 + 8e-5 * sequences)))
    return sorted(jobs, key=lambda job: -job.cost)


def forecast(flags: PhysicsGradient) -> str:
    flags = flags.reduced
    words = {"steps": flags.steps, "seeds": len(flags.all_seeds)}
    time = duration(wall_seconds(plan(flags), flags.processes))
    return _("{steps:,} steps, {seeds} seeds each, about {time}", time=time, **words)


def measure(flags: PhysicsGradient) -> Findings:
    flags = flags.reduced
    best = optimum()  # computed once, then read from the cache
    starts = test_starts(max(flags.eval_episodes, flags.starts))
    jobs = plan(flags)
    done = run_parallel(work, jobs, flags.processes, kinds=[Learning, Plans])
    results: dict[str, Any] = {job.name: result for job, result in zip(jobs, done, strict=True)}
    drawn = starts[np.abs(starts[: flags.starts, 0]).argmax()]  # the start nearest to hanging
    return Findings(
        flags=flags,
        optimum=best.returns(starts),
        trainings={name: results[name] for name in METHODS},
        windows={window: results[f"window {window}"] for window in flags.other_windows},
        plans={name: results[name] for name in flags.recipes},
        start=drawn,
        best_torques=torques_of(best, drawn),
        slopes=measure_slopes(median_policy(results[POLICY]), starts[:SLOPE_STARTS]),
    )


def median_policy(training: Learning) -> PhysicsPolicy:
    """The policy of the seed with the median return at the end, in float64."""
    ranks = training.returns[-1].argsort()
    seed = int(ranks[(len(ranks) - 1) // 2])
    policy = PhysicsPolicy([0], 1, 1)
    policy.policy.load_state_dict({name: weight[seed : seed + 1] for name, weight in training.weights.items()})
    policy.policy.double()
    return policy


def torques_of(best: Optimum, start: np.ndarray) -> np.ndarray:
    """Torques (T,) of the optimum from an angle and a speed."""
    torques: list[Tensor] = []

    def torque(t: int, angle: Tensor, speed: Tensor) -> Tensor:
        torques.append(torch.tensor(best.torques[best.choose(angle.numpy(), speed.numpy(), EPISODE - t)]))
        return torques[-1]

    first_angle, first_speed = torch.tensor(start)
    simulate(first_angle, first_speed, torque, EPISODE)
    return torch.stack(torques).numpy()


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    seeds = findings.flags.all_seeds
    for name, training in findings.trainings.items():
        for step, returns in zip(training.steps, training.returns, strict=True):
            yield int(step), f"{name}/return", returns, seeds
    for window, values in findings.window_regrets.items():
        yield findings.flags.steps, f"window {window}/regret", values, seeds
    for name in findings.plans:
        yield findings.flags.iterations, f"{name}/regret", findings.plan_regrets(name).min(-1).mean(1), seeds


def merit(values: np.ndarray) -> dict[str, Any]:
    """Interquartile mean, and its 95 % interval, of the regrets (S,)."""
    return {"regret": interquartile_mean(values), "ci95": confidence_interval(values), "per_seed": values}


def result(findings: Findings) -> dict[str, Any]:
    steps, seconds, policies, torques = findings.equal_steps, findings.equal_seconds, {}, {}
    for name, training in findings.trainings.items():
        policies[name] = {
            **{"steps": int(training.steps[-1]), "seconds": float(training.seconds[-1])},
            **merit(findings.regret(name)),
            "at_equal_steps": merit(findings.regret(name, steps=steps)),
            "at_equal_seconds": merit(findings.regret(name, seconds=seconds)),
        }
    for name, plans in findings.plans.items():
        regrets = findings.plan_regrets(name)
        numbers = {"seconds": plans.seconds, "longest_gradient": plans.longest}
        torques[name] = numbers | merit(regrets.min(-1).mean(1)) | {"one_restart": merit(regrets.mean((1, 2)))}
    return {
        **{"optimum": findings.best, "equal_steps": steps, "equal_seconds": seconds},
        **{"policies": policies, "torques": torques},
        "windows": {str(window): merit(values) for window, values in findings.window_regrets.items()},
        "growth": {"theory": top_growth(), "measured": growth(findings.slopes)},
        "gradient": {name: float(np.median(norms[-1])) for name, norms in findings.slopes.norms.items()},
    }


def interval(numbers: dict[str, Any]) -> str:
    low, high = numbers["ci95"]
    return f"{numbers['regret']:.1f} [{low:.1f}, {high:.1f}]"


def table(findings: Findings) -> Group:
    numbers, flags = result(findings), findings.flags
    policies = Table(title=_("Policies: regret from {count} test starts", count=flags.eval_episodes))
    torques = Table(title=_("Torque sequences: regret from {count} test starts", count=flags.starts))
    heads = {
        policies: (
            _("policy"),
            _("IQM [95 %] after {steps:,} steps", steps=numbers["equal_steps"]),
            _("after {seconds:.1f} s", seconds=numbers["equal_seconds"]),
            *(_("at the end"), _("steps"), _("processor seconds")),
        ),
        torques: (
            _("gradient"),
            _("IQM [95 %], best of {count} restarts", count=flags.restarts),
            *(_("mean restart"), _("longest gradient"), _("processor seconds")),
        ),
    }
    for each, names in heads.items():
        for index, name in enumerate(names):
            each.add_column(name, justify="right" if index else "left")
    for name, row in numbers["policies"].items():
        cells = [interval(row[key]) for key in ("at_equal_steps", "at_equal_seconds")]
        policies.add_row(_(name), *cells, interval(row), numeral(row["steps"]), f"{row['seconds']:.1f}")
    for name, row in numbers["torques"].items():
        cells = interval(row), interval(row["one_restart"]), f"{row['longest_gradient']:.1e}"
        torques.add_row(_(name), *cells, f"{row['seconds']:.1f}")
    return Group(policies, torques)


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "learning": plot_learning(findings),
        "windows": plot_windows(findings),
        "gradients": plot_gradients(findings),
        "torques": plot_torques(findings),
        "recipes": plot_recipes(findings),
    }


def plot_learning(findings: Findings) -> Figure:
    """Regret against steps and against processor seconds."""
    numbers, count = result(findings), len(findings.flags.all_seeds)
    marks = {"at_equal_steps": numbers["equal_steps"], "at_equal_seconds": numbers["equal_seconds"]}
    regrets = {
        f"{short}_{key}": numbers["policies"][name][f"at_equal_{key}"]["regret"]
        for short, name in (("physics", POLICY), ("ppo", "PPO"), ("sac", "SAC"))
        for key in ("steps", "seconds")
    }
    figure, panels = plotting.slide(
        _(
            "Regret after {steps:,} steps: {physics_steps:,.0f} through physics, {ppo_steps:,.0f} PPO, "
            "{sac_steps:,.0f} SAC;\nafter {seconds:.1f} s of the processor: {physics_seconds:,.0f} through physics, "
            "{ppo_seconds:,.0f} PPO, {sac_seconds:,.0f} SAC",
            steps=numbers["equal_steps"],
            seconds=numbers["equal_seconds"],
            **regrets,
        ),
        2,
        sharey=True,
    )
    for name, training in findings.trainings.items():
        for panel, x in zip(panels, (training.steps, training.seconds), strict=True):
            plotting.iqm_band(panel, x.tolist(), findings.best - training.returns, _(name), METHODS[name])
    for panel, mark in zip(panels, marks.values(), strict=True):
        panel.axvline(mark, color="black", linestyle=":", linewidth=1.5)
        panel.set(xscale="log", yscale="log")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(lambda x, _place: numeral(x, ",g"))
            axis.set_minor_locator(NullLocator())
    panels[0].set(xlabel=_("steps of each seed"), ylabel=_("regret: optimum - mean return"))
    panels[1].set_xlabel(_("processor seconds of {count} seeds", count=count))
    words = _("line: IQM of {count} seeds   band: its 95 % interval   dotted: equal steps, equal seconds", count=count)
    lines = panels[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=4, title=words, title_fontsize=13)
    return figure


def plot_windows(findings: Findings) -> Figure:
    """Regret at the end against the steps that a gradient goes through."""
    regrets = findings.window_regrets
    middle = {window: interquartile_mean(values) for window, values in regrets.items()}
    best, longest = min(middle, key=lambda window: middle[window]), max(middle)
    figure, (axes,) = plotting.slide(
        _(
            "After {steps:,} steps, the regret is {best_regret:.1f} with window {best} "
            "and {longest_regret:.1f} with window {longest}",
            **{"steps": findings.flags.steps, "best": best, "longest": longest},
            **{"best_regret": middle[best], "longest_regret": middle[longest]},
        )
    )
    for window, values in regrets.items():
        axes.plot([window] * len(values), values, "o", color=plotting.BLUE, alpha=0.4, markersize=8)
        place: Any = {"xytext": (10, -22), "textcoords": "offset points"}
        axes.annotate(f"{middle[window]:.3g}", (window, middle[window]), color=plotting.BLUE, **place)
    values = np.array(list(regrets.values()))
    label = _("IQM of {count} seeds and its 95 % interval (dots: seeds)", count=values.shape[1])
    plotting.iqm_band(axes, list(regrets), values, label, plotting.BLUE, marker="s")
    axes.set(xscale="log", yscale="log", ylabel=_("regret: optimum - mean return"))
    axes.set_xlabel(_("window: steps that the gradient goes through, before the learned value"))
    axes.set_xticks(list(regrets), [str(window) for window in regrets])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    figure.legend(loc="outside lower center")
    return figure


def plot_gradients(findings: Findings) -> Figure:
    """The length of the gradient against the horizon, and the return against the first torque."""
    slopes, theory = findings.slopes, top_growth()
    fixed, loop = (float(np.median(slopes.norms[name][-1])) for name in (FIXED, LOOP))
    figure, (left, right) = plotting.slide(
        _(
            "Fixed torques: the gradient grows by {factor:.2f} in each step at the top (theory: {theory:.2f}), "
            "to {fixed:.0e};\nthe same motion with the policy in the loop: {loop:.2g}",
            **{"factor": growth(slopes), "theory": theory, "fixed": fixed, "loop": loop},
        ),
        2,
    )
    for name, norms in slopes.norms.items():
        plotting.quantile_band(
            left, slopes.horizons.tolist(), norms, _(name), MOTIONS[name], (0.25, 0.5, 0.75), marker="o"
        )
    late = slopes.horizons[slopes.horizons >= EPISODE // 2]
    line = 30 * np.median(slopes.norms[FIXED], 1)[-len(late)] * theory ** (late - late[0])
    left.plot(late, line, "--", color="black", label=_("slope: {theory:.2f} per step", theory=theory))
    left.set(yscale="log", xlabel=_("horizon (steps)"), ylabel=_("length of the gradient of the return (1 / N m)"))
    left.set_title(_("median and middle half of {count} starts", count=slopes.norms[LOOP].shape[1]))
    for name, returns in slopes.landscape.items():
        right.plot(slopes.changes, returns, color=MOTIONS[name], linewidth=2)
    right.set(xlabel=_("change of the first torque (N m)"), ylabel=_("return of the episode"))
    right.set_title(_("the start nearest to hanging"))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def best_recipe(findings: Findings) -> str:
    return min(findings.plans, key=lambda name: findings.plan_regrets(name).min(-1).mean())


def plot_torques(findings: Findings) -> Figure:
    """Angle and torque of one start, before and after gradient descent, beside the optimum."""
    plans = findings.plans[best_recipe(findings)]
    torques = {N_("before"): plans.before, N_("after"): plans.after, N_("optimum"): findings.best_torques}
    styles = {"before": (plotting.GRAY, "-"), "after": (plotting.BLUE, "-"), "optimum": ("black", "--")}
    motions = {line: motion(findings.start, values) for line, values in torques.items()}
    figure, (top, bottom) = plotting.slide(
        _(
            "Gradient descent on 200 torques ({recipe}):\n"
            "the return rises from {before:.0f} to {after:.0f}; the optimum has {optimum:.0f}",
            recipe=_(best_recipe(findings)),
            **{line: total for line, (_angles, total) in motions.items()},
        ),
        rows=2,
        sharex=True,
    )
    seconds = np.arange(EPISODE) * float(PHYSICS.dt)  # type: ignore[arg-type]
    for line, (color, style) in styles.items():
        top.plot(seconds, np.degrees(motions[line][0]), style, color=color, label=_(line))
        bottom.plot(seconds, torques[line], style, color=color)
    top.set(ylabel=_("angle (degrees)"), title=_("the start nearest to hanging; upright: a multiple of 360 degrees"))
    top.yaxis.set_major_locator(MultipleLocator(180))
    bottom.set(xlabel=_("time (s)"), ylabel=_("torque (N m)"))
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def plot_recipes(findings: Findings) -> Figure:
    """Regret of torque sequences: of a mean restart, and of the best one."""
    rows, name = result(findings)["torques"], best_recipe(findings)
    figure, (axes,) = plotting.slide(
        _(
            "Torque sequences: plain gradients end at a regret of {plain:.0f};\n{recipe}: {one:.0f}, "
            "and {best:.1f} for the best of {count} restarts",
            **{"plain": rows["plain"]["one_restart"]["regret"], "one": rows[name]["one_restart"]["regret"]},
            **{"best": rows[name]["regret"], "count": findings.flags.restarts, "recipe": _(name)},
        )
    )
    labels = _("mean restart"), _("best of {count} restarts", count=findings.flags.restarts)
    for place, row in enumerate(rows.values()):
        for numbers, label, color, shift in zip(
            (row["one_restart"], row), labels, (plotting.GRAY, plotting.BLUE), (-0.15, 0.15), strict=True
        ):
            middle, (low, high), seeds = numbers["regret"], numbers["ci95"], numbers["per_seed"]
            bar: Any = {"xerr": [[middle - low], [high - middle]], "fmt": "s", "capsize": 6}
            axes.plot(seeds, [place + shift] * len(seeds), "o", color=color, alpha=0.3)
            axes.errorbar(middle, place + shift, color=color, label=None if place else label, **bar)
            axes.annotate(f"{middle:.1f}", (middle, place + shift - 0.07), ha="center", va="bottom", color=color)
    axes.set_yticks(range(len(rows)), [_(name) for name in rows])
    axes.set_xscale("symlog", linthresh=10)  # a regret may be below 0: the optimum chooses among 41 torques
    axes.set_xlim(min(0.0, *(1.3 * min(row["per_seed"]) for row in rows.values())), 2_000)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(_("regret: optimum - mean return of {count} starts", count=findings.flags.starts))
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.grid(axis="y", visible=False)
    words = _("square, bar: IQM of {count} seeds and its 95 % interval   dots: seeds", count=len(seeds))
    figure.legend(loc="outside lower center", ncols=2, title=words, title_fontsize=13)
    return figure


PAGE = Page(
    question=_("How much faster does an agent learn that has the equations, and where do their gradients explode?"),
    formula=(
        r"$s_{t+1} = f(s_t, a_t), \quad a_t = \pi_\theta(s_t), \quad "
        r"J = \sum_{t < h} \gamma^t r(s_t, a_t) + \gamma^h V(s_h)$",
        r"$\frac{d s_{t+1}}{d s_t} = \frac{\partial f}{\partial s} + "
        r"\frac{\partial f}{\partial a} \frac{\partial \pi}{\partial s}$",
    ),
    captions={
        "learning": _(
            "The gradient through physics begins its windows in any state, which only a simulator allows; from its own "
            "episodes alone it stays far behind. PPO and SAC need no equations and see only their episodes."
        ),
        "windows": _(
            "All windows have as many steps in all: a longer one means fewer windows, and fewer different states, for "
            "each step of the policy. The learned value takes the place of the steps that the window leaves out."
        ),
        "gradients": _(
            "With fixed torques nobody corrects an error, so the return is rough in the first torque, and its gradient "
            "of no use. The jumps come from the angle of the reward, which is wrapped at the bottom, and from falls."
        ),
        "torques": _(
            "The sequence swings the pendulum up, though nothing tells it how. It may be a little better than the "
            "optimum, which chooses among 41 torques on a grid."
        ),
        "recipes": _(
            "Clipping leaves the direction of a gradient wrong; a growing horizon ends with 200 steps. A window "
            "that moves on keeps the horizon short. Several random beginnings help: each may end in another optimum."
        ),
    },
    what_if=(
        ("balancier physics_gradient --window 50", _("what happens when the gradient goes through 50 steps?")),
        ("balancier physics_gradient --restarts 1", _("how good are torque sequences without a choice?")),
        ("balancier physics_gradient --steps 100000", _("does the policy come nearer to the optimum with more steps?")),
    ),
)

LESSON = Lesson(
    flags=PhysicsGradient,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier physics_gradient --window 50",
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("physics_gradient", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
