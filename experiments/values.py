"""The value of every state (6.1), as three methods learn it: DQN and PPO from steps, value iteration from the equations
of the pendulum. The figures show their values as surfaces over angle and speed, side by side, as cuts through them, and
their errors during training. values.gif, in the folder of the run, shows the surfaces grow.

The value V(s) is the discounted return from state s on: r + gamma r' + gamma^2 r'' + ... without end. Value iteration
on a fine grid gives that of the best policy; this is the optimum here. The controller of envs.optimum, which the
regrets refer to, maximizes something else, the sum of 200 rewards without discount. So its values cannot be compared
with those of agents; all three methods here have the same discount and no end. DQN's V is max_a Q(s, a), an estimate of
the optimum. PPO's critic estimates the value of PPO's own policy, with its random actions; it comes near the optimum as
the policy does. Its rewards were divided by a running standard deviation, which its values are multiplied with.

A seed is one independent training. The interquartile mean (IQM) is the mean over the middle half of the seeds. The
regret is the return of the optimum minus the return of the policy, from the same starts.

S seed, E snapshots, P points (M of a map, then V visited by the optimum).
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from rich.table import Table
from torch import Tensor

from agents import DQN, PPO, Agent, tabular
from agents.evaluation import evaluate
from balancier import N_, Bound, _, numeral
from envs.grid import Grid, pendulum_grid
from envs.video import Video
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, at_least
from experiments.common.hyperparams import DISCRETE, PENDULUM, setting, tuned
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.statistics import interquartile_mean
from experiments.common.training import forecast, mean_optimum, summary
from experiments.distill import best_torque, starts, visited
from experiments.q_learning import FINE, TEST_SEEDS, TORQUES, greedy_returns

SHAPE = (61, 41)  # angles x speeds of the map
ANGLES, SPEEDS = np.linspace(-np.pi, np.pi, SHAPE[0]), np.linspace(-8, 8, SHAPE[1])
MAP = np.stack(np.meshgrid(ANGLES, SPEEDS, indexing="ij"), -1).reshape(-1, 2)  # (M, 2), angle and speed
EPISODES, EVERY = 50, 10  # of the optimum; every tenth of the states that they visit is a point
EVALUATED = N_("the whole plane"), N_("states that the optimum visits")
OPTIMUM = N_("optimum")
AGENTS: dict[str, tuple[type[Agent], str]] = {"DQN": (DQN, DISCRETE), "PPO": (PPO, PENDULUM)}
COLORS = {"DQN": plotting.BLUE, "PPO": plotting.ORANGE, OPTIMUM: "black"}
QUICK_SEEDS, QUICK_SNAPSHOTS = 5, 10
SHOWN = (0.1, 0.3, 1.0)  # shares of a training that the cuts show
FPS, STILL = 4, 6  # frames of the animation in a second, and how often the last one is repeated
TURNED = 20.0  # degrees, of the surfaces during the animation


@dataclass(frozen=True)
class Values(ParallelFlags):
    """The values of DQN, PPO and the optimum as surfaces over angle and speed, while they are learned."""

    gamma: Annotated[float, Bound(lambda value: 0 < value <= 0.99, "above 0 and at most 0.99")] = 0.98
    """Discount per step, of all three."""
    snapshots: Annotated[int, at_least(2)] = 20
    """Snapshots of a training, which are the frames of the animation (at most 10 with --quick)."""
    dqn_steps: Annotated[int, at_least(100)] | None = None
    """Steps of each seed of DQN (default: 15,000; with --quick 6,000)."""
    ppo_steps: Annotated[int, at_least(100)] | None = None
    """Steps of each seed of PPO (default: 40,000; 20,000 with --quick)."""

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: QUICK_SEEDS if self.quick else None]

    @property
    def frames(self) -> int:
        return min(self.snapshots, QUICK_SNAPSHOTS) if self.quick else self.snapshots

    def steps_of(self, name: str) -> int:
        """Steps of each seed of an agent."""
        usual = setting(name.lower(), AGENTS[name][1])
        return getattr(self, f"{name.lower()}_steps") or (usual.quick_steps if self.quick else usual.steps)


@dataclass(frozen=True)
class Learned:
    """The values of one method while it learns."""

    steps: np.ndarray  # (E + 1,), of each seed, or sweeps of value iteration; the first is 0
    values: np.ndarray  # (E + 1, S, P) float32
    returns: np.ndarray  # (S,), mean test returns in the end
    seconds: float  # of the processor


@dataclass(frozen=True)
class Findings:
    flags: Values
    best: float  # mean return of envs.optimum from the test starts
    methods: dict[str, Learned]

    @property
    def reference(self) -> np.ndarray:
        """V of the optimum, (P,)."""
        return self.methods[OPTIMUM].values[-1, 0]

    def errors(self, name: str) -> dict[str, np.ndarray]:
        """RMS errors of V during the training, (E + 1, S): on the map and on the visited states."""
        error = np.split(self.methods[name].values - self.reference, [len(MAP)], -1)
        return {where: np.sqrt((part**2).mean(-1)) for where, part in zip(EVALUATED, error, strict=True)}

    def bias(self, name: str) -> np.ndarray:
        """Mean error on the visited states in the end, (S,); below 0, V is too low."""
        return (self.methods[name].values[-1] - self.reference)[:, len(MAP) :].mean(-1)

    def median_seed(self, name: str) -> int:
        """Index of the seed with the median error on the map in the end."""
        error = self.errors(name)[EVALUATED[0]][-1]
        return int(error.argsort()[(len(error) - 1) // 2])

    def surface(self, name: str, snapshot: int) -> np.ndarray:
        """V of the median seed on the map, (angles, speeds)."""
        return self.methods[name].values[snapshot, self.median_seed(name), : len(MAP)].reshape(SHAPE)


# Values


def observations(state: np.ndarray) -> np.ndarray:
    """(..., 3) of cos, sin and speed from angles and speeds (..., 2)."""
    angle, speed = np.moveaxis(state, -1, 0)
    return np.stack([np.cos(angle), np.sin(angle), speed], -1)


def points() -> np.ndarray:
    """Observations (P, 3) of the map, then of states that the optimum visits from starts of its own."""
    seen = visited(best_torque, starts([0], 0, EPISODES)[0])[:, ::EVERY]
    return np.concatenate([observations(MAP), seen.reshape(-1, 3)])


def value_of(agent: Agent, obs: Tensor) -> Tensor:
    """V (S, P) of an agent in observations (S, P, 3), in the units of the rewards."""
    with torch.no_grad():
        features = agent.encoder(obs)
        if isinstance(agent, DQN):
            return agent.policy.values(features).amax(-1)
        assert isinstance(agent, PPO)
        value = agent.critic(features)
        if agent.reward_scaling is None:
            return value
        return value * (agent.reward_scaling.returns.var + 1e-8).sqrt().to(value)  # (S, 1)


def at(grid: Grid, value: np.ndarray, obs: np.ndarray) -> np.ndarray:
    """V (P,) in observations (P, 3), between the points of a grid that has V (X,)."""
    point, weight = grid.locate(obs)
    return (value[point] * weight).sum(-1)


def iterate_values(flags: Values, obs: np.ndarray) -> Learned:
    """Value iteration on the fine grid, with snapshots that are close together in the beginning."""
    began, grid = time.process_time(), pendulum_grid(*FINE, TORQUES)
    sweeps, q = [np.zeros(len(obs))], np.zeros(0)
    for q, __ in tabular.value_iteration(grid.process, flags.gamma, 1e-2):
        sweeps.append(at(grid, q.max(1), obs))
    steps = ((len(sweeps) - 1) * np.linspace(0, 1, flags.frames + 1) ** 2).round().astype(int)
    values = np.stack([sweeps[step] for step in steps])[:, None].astype(np.float32)
    seconds = time.process_time() - began
    return Learned(steps, values, greedy_returns(grid, q[None]), seconds)


def train(job: Job, report: Callable[[float], None]) -> Learned:
    """Train an agent with snapshots of its values; its test is not part of its seconds."""
    flags, obs = job.settings
    kind, env = AGENTS[job.name]
    began, total = time.process_time(), flags.steps_of(job.name)
    agent = kind(env, seeds=job.seeds, **tuned(job.name.lower(), env) | {"gamma": flags.gamma})
    each = torch.as_tensor(obs, dtype=torch.get_default_dtype()).expand(len(agent), -1, -1)
    steps, values = [], []

    def callback(agent: Agent) -> None:
        if agent.num_timesteps * flags.frames >= total * len(steps):
            steps.append(agent.num_timesteps)
            values.append(value_of(agent, each).numpy())
            report(job.cost / (flags.frames + 1))

    callback(agent)
    agent.learn(total, callback)
    seconds = time.process_time() - began
    return Learned(np.array(steps), np.stack(values), evaluate(agent, env, TEST_SEEDS).mean(1), seconds)


def work(job: Job, report: Callable[[float], None]) -> Learned:
    return train(job, report) if job.name in AGENTS else iterate_values(*job.settings)


# The lesson


def plan(flags: Values, obs: np.ndarray) -> list[Job]:
    """Both agents and value iteration."""
    seeds = tuple(flags.all_seeds)
    costs = {name: forecast(name.lower(), flags.steps_of(name), len(seeds)) for name in AGENTS}
    costs[OPTIMUM] = 0.02 / (1.001 - flags.gamma) + 2
    return [Job(name, seeds, cost, (flags, obs)) for name, cost in costs.items()]


def measure(flags: Values) -> Findings:
    jobs = plan(flags, points())
    results = run_parallel(work, jobs, flags.processes, _("learning"), kinds=[Learned])
    best = mean_optimum(PENDULUM, TEST_SEEDS)
    assert best is not None
    return Findings(flags, best, dict(zip([job.name for job in jobs], results, strict=True)))


def expected_time(flags: Values) -> str:
    jobs = plan(flags, np.empty((0, 3)))
    return _(
        "DQN and PPO, {seeds} seeds, and the optimum; about {time}",
        seeds=len(flags.all_seeds),
        time=duration(wall_seconds(jobs, flags.processes) + 0.6 * flags.frames),
    )


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name in AGENTS:
        for where, errors in findings.errors(name).items():
            for step, error in zip(findings.methods[name].steps, errors, strict=True):
                yield int(step), f"{name}/error, {where}", error, findings.flags.all_seeds


def result(findings: Findings) -> dict[str, Any]:
    methods = {}
    for name, learned in findings.methods.items():
        plane, seen = (errors[-1] for errors in findings.errors(name).values())
        numbers = {"steps": int(learned.steps[-1]), "seconds": learned.seconds} | summary(
            learned.returns, findings.best
        )
        errors = {"error": interquartile_mean(plane), "error_visited": interquartile_mean(seen)}
        methods[name] = numbers | errors | {"bias_visited": interquartile_mean(findings.bias(name))}
    return {"gamma": findings.flags.gamma, "optimum": findings.best, "methods": methods}


def table(findings: Findings) -> Table:
    title = _(
        "{seeds} seeds, discount {gamma:g}; errors of V are RMS errors, IQM over the seeds",
        seeds=len(findings.flags.all_seeds),
        gamma=findings.flags.gamma,
    )
    table = Table(_("method"), title=title)
    for column in (_("steps or sweeps"), _("seconds"), _("regret [95 %]"), *map(_, EVALUATED), _("bias there")):
        table.add_column(column, justify="right")
    for name, row in result(findings)["methods"].items():
        low, high = (findings.best - end for end in row["ci95"][::-1])
        errors = [f"{row['error']:.1f}", f"{row['error_visited']:.1f}", f"{row['bias_visited']:+.1f}"]
        errors = errors if name in AGENTS else ["-"] * 3
        cells = numeral(row["steps"]), f"{row['seconds']:.1f}", f"{row['regret']:.1f} [{low:.1f}, {high:.1f}]"
        table.add_row(_(name), *cells, *errors)
    table.caption = _(
        "The optimum here is that of discounted returns, on a grid, with {count} torques. The regrets refer to the sum "
        "of rewards without discount.",
        count=TORQUES,
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"surfaces": plot_surfaces(findings), "cuts": plot_cuts(findings), "errors": plot_errors(findings)}


def in_words(numbers: dict[str, float]) -> str:
    """A number of each agent."""
    rounded = {name: round(number) for name, number in numbers.items()}  # no -0
    return _(" and ").join(_("{number:,} ({name})", number=number, name=name) for name, number in rounded.items())


def last_errors(findings: Findings, where: str) -> str:
    """The errors of both agents in the end, in words."""
    return in_words({name: interquartile_mean(findings.errors(name)[where][-1]) for name in AGENTS})


def plot_surface(findings: Findings, axes: Any, name: str, snapshot: int, turned: float = 0.0) -> None:
    """One surface at a snapshot, in perspective; `turned` by some degrees."""
    low, learned = float(findings.reference.min()), findings.methods[name]
    value = findings.surface(name, snapshot).clip(1.1 * low, -0.1 * low)
    angle, speed = np.meshgrid(np.degrees(ANGLES), SPEEDS, indexing="ij")
    style = {"cmap": "viridis", "vmin": low, "vmax": 0, "rcount": SHAPE[0], "ccount": SHAPE[1], "linewidth": 0}
    axes.plot_surface(angle, speed, value, antialiased=False, **style)
    axes.set_zlim(1.1 * low, 0)
    axes.set_xticks([-180, 0, 180], ["-180", _("top"), "180"])
    axes.set_yticks([-8, 0, 8])
    axes.tick_params(labelsize=12, pad=0)
    for set_label, words in (
        (axes.set_xlabel, _("angle (°)")),
        (axes.set_ylabel, _("speed (rad/s)")),
        (axes.set_zlabel, _("V")),
    ):
        set_label(words, fontsize=13)
    axes.view_init(elev=32, azim=-62 + turned)
    axes.set_box_aspect((4, 4, 3), zoom=0.86)
    count = learned.steps[snapshot]
    words = _("{name}, {count:,} steps", name=name, count=count)
    axes.set_title(words if name in AGENTS else _("optimum, sweep {count:,}", count=count), fontsize=15)


def snapshot_at(findings: Findings, share: float) -> int:
    """Index of the snapshot after this share of the training, not the first."""
    return max(1, round(share * findings.flags.frames))


def plot_surfaces(findings: Findings) -> Figure:
    """The surfaces of all three early in their training, and in the end."""
    title = _(
        "One surface, learned in three ways: V of the optimum lies between {low:.0f} and 0;\n"
        "in the end the agents are wrong by {errors} (RMS)",
        low=findings.reference.min(),
        errors=last_errors(findings, EVALUATED[0]),
    )
    figure, panels = plotting.slide(title, 3, 2, subplot_kw={"projection": "3d"})
    places = [(name, snapshot) for snapshot in (snapshot_at(findings, SHOWN[1]), -1) for name in findings.methods]
    for panel, (name, snapshot) in zip(panels, places, strict=True):
        plot_surface(findings, panel, name, snapshot)
    return figure


def pictures(findings: Findings) -> Iterator[np.ndarray]:
    """The frames (height, width, 3) of the animation: the three surfaces at each snapshot, and the last one again."""
    for snapshot in range(findings.flags.frames + 1):
        figure, panels = plotting.new(3, width=4.2, height=4.4, subplot_kw={"projection": "3d"})
        for panel, name in zip(panels, findings.methods, strict=True):
            plot_surface(findings, panel, name, snapshot, TURNED * snapshot / findings.flags.frames)
        figure.suptitle(_("Values while they are learned: the discounted return from every angle and speed"))
        plotting.localize(figure)
        figure.set_dpi(76)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        yield picture
    yield from [picture] * STILL


def animation(findings: Findings) -> bytes:
    """The content of values.gif."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values.gif"
        with Video(path, FPS) as video:
            for picture in pictures(findings):
                video.add(picture)
        return path.read_bytes()


def plot_cuts(findings: Findings) -> Figure:
    """V at speed 0 against the angle: each agent at three times, the IQM over its seeds, beside the optimum."""
    middle = SHAPE[1] // 2
    best = findings.surface(OPTIMUM, -1)[:, middle]
    cuts = {
        name: findings.methods[name]
        .values[..., : len(MAP)]
        .reshape(-1, len(findings.flags.all_seeds), *SHAPE)[..., middle]
        for name in AGENTS
    }  # (E + 1, S, angles)
    top, early = SHAPE[0] // 2, snapshot_at(findings, SHOWN[1])
    before, after = (
        in_words({name: interquartile_mean(cut[k, :, top]) for name, cut in cuts.items()}) for k in (early, -1)
    )
    figure, panels = plotting.slide(
        _(
            "DQN estimates what the best policy is worth, PPO what its own is worth: at rest at the top, V is\n"
            "{before} after {share:.0%} of the steps, and {after} in the end",
            before=before,
            after=after,
            share=early / findings.flags.frames,
        ),
        2,
        sharey=True,
    )
    colors = plotting.SKY, plotting.YELLOW, plotting.BLUE
    for panel, (name, cut) in zip(panels, cuts.items(), strict=True):
        for share, color in zip(SHOWN, colors, strict=True):
            snapshot = snapshot_at(findings, share)
            label = _("after {share:.0%} of the steps", share=snapshot / findings.flags.frames)
            plotting.iqm_band(panel, np.degrees(ANGLES).tolist(), cut[snapshot].T, label, color)
        panel.plot(np.degrees(ANGLES), best, color="black", linestyle="--", label=_("optimum"))
        panel.set_xticks([-180, -90, 0, 90, 180], ["-180", "-90", _("top"), "90", "180"])
        steps = findings.methods[name].steps[-1]
        panel.set(xlabel=_("angle (degrees)"), title=_("{name}, {count:,} steps", name=name, count=steps))
    panels[0].set_ylabel(_("V at speed 0 (discounted return)"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def plot_errors(findings: Findings) -> Figure:
    """RMS error of V during the training, on the whole plane and where the optimum goes."""
    figure, panels = plotting.slide(
        _(
            "Good actions need no exact values: where the optimum goes, V is wrong by {seen},\n"
            "on the whole plane by {plane} (RMS); the regrets are {regrets}",
            seen=last_errors(findings, EVALUATED[1]),
            plane=last_errors(findings, EVALUATED[0]),
            regrets=in_words(
                {name: findings.best - interquartile_mean(findings.methods[name].returns) for name in AGENTS}
            ),
        ),
        2,
        sharey=True,
    )
    share = np.linspace(0, 100, findings.flags.frames + 1).tolist()
    for panel, where in zip(panels, EVALUATED, strict=True):
        for name in AGENTS:
            text = _("{name}, {count:,} steps", name=name, count=findings.methods[name].steps[-1])
            plotting.iqm_band(panel, share, findings.errors(name)[where], text, COLORS[name])
        panel.set(yscale="log", xlabel=_("share of the training (%)"), title=_(where))
        panel.yaxis.set_major_locator(FixedLocator([2, 5, 10, 20, 50, 100, 200, 500]))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel(_("RMS error of V, IQM and 95 % interval"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


PAGE = Page(
    question=_("What is each state worth, and how do agents come to know it?"),
    formula=(
        r"$V(s) = E\left[r_0 + \gamma r_1 + \gamma^2 r_2 + \ldots \; | \; s_0 = s\right]$",
        _(r"optimum: $V(s) = \max_a \, r(s, a) + \gamma V(s')$;  DQN: $V(s) = \max_a Q(s, a)$"),
        _(r"PPO's critic: $V_\pi(s) = E_{a \sim \pi}\left[r(s, a) + \gamma V_\pi(s')\right]$, of its own policy"),
    ),
    captions={
        "surfaces": _(
            "The ridge leads up to the top at rest, where no reward is lost; the valleys are states from which the "
            "pendulum has to swing first. values.gif in the folder of this run shows the surfaces grow."
        ),
        "cuts": _(
            "Both begin near 0. DQN's values sink slowly, one step of the future after another; PPO's fall at once to "
            "those of a policy that never gets up, and rise as it learns. Bands: 95 % intervals of the IQM."
        ),
        "errors": _(
            "Both are judged by the same optimum. An agent needs only the order of actions, which can be right while "
            "the values are not; corners of the plane, fast and far from the top, are hardly ever visited."
        ),
    },
    what_if=(
        ("balancier values --gamma 0.9", _("a short horizon: which states are worth more now?")),
        ("balancier values --dqn-steps 60000", _("does DQN's error on the whole plane go on falling?")),
        ("balancier q_learning", _("the same values, in tables")),
    ),
)

LESSON = Lesson(
    flags=Values,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=expected_time,
    next_command="balancier values --gamma 0.9",
    metrics=metrics,
    files=lambda findings: {"values.gif": animation(findings)},
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("values", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
