"""The best policy made small (3.1, 3.3, 6.1): polynomials and MLPs of falling size learn the torques of the optimum.
The figures show the regret against the number of parameters, what makes a student good, and the smallest controller
with a regret below 20, which is a formula.

The teacher is the optimum, a table of values. A student learns its torques by regression from cos, sin and speed, as in
lesson 3, with two changes. First, the errors of a student lead it to states that the teacher never visits, where it has
learned nothing. DAgger (arXiv:1011.0686) lets the student act, asks the teacher for its torques in the student's
states, and adds them to the data, round after round. Second, not all errors cost the same. Each sample's squared error
is weighted by its importance: the value of the best torque there minus that of the worst one (arXiv:1805.08328).

Torques are clipped to 2 N m. Where the teacher's torque is at this limit, a larger one of the student is no error. In a
mirror the pendulum is the same: opposite angle and speed need the opposite torque. So the odd terms, half of a
polynomial, are enough. A search fits all combinations of few odd terms. It chooses by the return from other starts than
the test's, with the rounded coefficients that are printed.

A seed decides the starts that the data come from, and the first weights of an MLP. The interquartile mean (IQM) is the
mean over the middle half of the seeds. The regret is the return of the optimum minus the return of the student, from
the same starts.

S seed, n samples, K terms, R rounds, C candidates, M points of a map, U torques.
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from rich.table import Table
from torch import Tensor
from torch.utils.data import TensorDataset

from agents.evaluation import SELECTION_SEED, TEST_SEED, evaluate
from balancier import N_, _, numeral
from envs.formulas import Formula, Formulas, Term, all_terms, fit_torques, odd_terms, products
from envs.optimum import Optimum, corners, interpolate, optimum
from envs.pendulum import START_RANGE
from envs.physics import Pendulum, reward, transition
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import ParallelFlags, above, at_least
from experiments.common.hyperparams import PENDULUM
from experiments.common.parallel import Job, duration, run_parallel, wall_seconds
from experiments.common.runs import Metric
from experiments.common.sequences import as_tensor, num_parameters
from experiments.common.statistics import confidence_interval, interquartile_mean
from experiments.common.training import mean_optimum
from experiments.q_learning import OBS, plot_map
from models import MLP, fit
from models.fitting import triangle
from models.streams import stream

LIMIT = 2.0  # N m
STEPS = 200  # of an episode
TEST_STARTS, TERM_STARTS = range(TEST_SEED, TEST_SEED + 100), range(SELECTION_SEED, SELECTION_SEED + 50)
SEARCHED, MOST_TERMS = odd_terms(3), 5  # what the search tries
SHARED = 4  # episodes of each of these formulas in a round
DIGITS = 2  # of a formula's coefficients
SWING_UP = np.array([3.0, 0.0])  # rad, rad/s: where the drawn episode starts, near the bottom
STARTS = 700  # random stream
FULL, ODD, FEW, NETWORK = N_("polynomial"), N_("odd polynomial"), N_("few odd terms"), N_("MLP")
COLORS = {FULL: plotting.SKY, ODD: plotting.PURPLE, FEW: plotting.ORANGE, NETWORK: plotting.BLUE}
MARKERS = {FULL: "s", ODD: "D", FEW: "o", NETWORK: "^"}
# Degree of the polynomials and layers of the MLPs; with --quick, and those that learn without importance, too.
SIZES: dict[str, tuple[tuple[int, ...], ...]] = {
    FULL: ((1,), (2,), (3,), (4,), (5,)),
    ODD: ((1,), (2,), (3,), (4,), (5,)),
    NETWORK: ((32, 32), (16,), (8,), (4,), (2,), (1,)),
}
QUICK_SIZES: dict[str, tuple[tuple[int, ...], ...]] = {FULL: ((2,), (3,)), ODD: ((2,), (3,)), NETWORK: ((16,), (4,))}
COMPARED = {ODD: (3,), NETWORK: (4,)}
SECONDS = {FULL: 6e-6, ODD: 4e-6, NETWORK: 1.5e-5, FEW: 3e-5}  # of the processor for a sample, for the forecast alone


@dataclass(frozen=True)
class Distill(ParallelFlags):
    """The best policy, learned by ever smaller controllers."""

    rounds: Annotated[int, at_least(0)] = 7
    """Rounds of DAgger after the first regression (at most 5 with --quick)."""
    episodes: Annotated[int, at_least(1)] = 10
    """Episodes of each seed that a round adds to the data."""
    epochs: Annotated[int, at_least(1)] = 10
    """Passes of the MLPs over the data in each round."""
    below: Annotated[float, above(0)] = 20.0
    """The regret that the smallest controller has to be below."""

    @property
    def all_seeds(self) -> list[int]:
        return super().all_seeds[: 3 if self.quick else None]

    @property
    def rounds_to_run(self) -> int:
        return min(self.rounds, 5) if self.quick else self.rounds

    @property
    def sizes(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        return QUICK_SIZES if self.quick else SIZES


@dataclass(frozen=True)
class Student:
    """The students of one kind and size."""

    kind: str
    size: tuple[int, ...]  # degree, number of terms, or hidden layers
    weighted: bool  # whether samples have an importance
    parameters: int
    returns: np.ndarray  # (R + 1, S), mean test returns after each round


@dataclass(frozen=True)
class Found:
    """The best formula of each number of terms, with rounded coefficients."""

    formulas: list[Formula]
    returns: np.ndarray  # (MOST_TERMS,), mean returns from the starts that chose them


@dataclass(frozen=True)
class Findings:
    flags: Distill
    optimum: float  # mean return from the test starts
    table_size: int  # numbers in the optimum's table
    students: list[Student]
    formulas: list[Formula]
    regret_of_choice: np.ndarray  # (MOST_TERMS,), from the starts that chose each formula
    formula_regret: np.ndarray  # (MOST_TERMS,), from the test starts
    torques: list[np.ndarray]  # of the optimum and of the smallest formula on the map, (M,)
    paths: list[np.ndarray]  # observations (STEPS, 3) of a swing-up by both

    @property
    def smallest(self) -> tuple[Formula, float]:
        """The smallest formula with a regret that is low enough, and its test regret as it is printed."""
        index = smallest(self.regret_of_choice, self.flags.below)
        return self.formulas[index], float(self.formula_regret[index])

    def regrets(self, student: Student) -> np.ndarray:
        """(R + 1, S)."""
        return self.optimum - student.returns


def smallest(regret: np.ndarray, below: float) -> int:
    """Index of the first regret that is low enough, or else of the lowest."""
    low = np.flatnonzero(regret < below)
    return int(low[0] if len(low) else regret.argmin())


# Teacher, data, regression


@cache
def teacher() -> Optimum:
    return optimum()


def label(obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The optimum's torques (...) for observations (..., 3), and the importance of choosing them: max - min of Q."""
    best, cos, sin, speed = teacher(), *torch.from_numpy(obs)[..., None].unbind(-2)
    torques, table = torch.from_numpy(best.torques), torch.from_numpy(best.tables[-1])
    angle = torch.atan2(sin, cos)
    following = transition(angle, speed, torques, best.pendulum)
    q = reward(angle, speed, torques) + interpolate(table, *corners(*following, table.shape, best.pendulum))  # (..., U)
    return best.torques[q.argmax(-1).numpy()], (q.amax(-1) - q.amin(-1)).numpy()


def best_torque(obs: np.ndarray) -> np.ndarray:
    return label(obs)[0]


def starts(seeds: Sequence[int], number: int, episodes: int) -> np.ndarray:
    """Angles and speeds (S, episodes, 2) that the data of a round start from, distributed as the environment's."""
    return np.stack([stream(seed, STARTS, number).uniform(-1, 1, (episodes, 2)) * START_RANGE for seed in seeds])


def visited(torque: Callable[[np.ndarray], np.ndarray], begin: np.ndarray) -> np.ndarray:
    """Observations (..., STEPS, 3) of episodes of a controller from angles and speeds (..., 2)."""
    (angle, speed), pendulum, seen = np.moveaxis(begin, -1, 0), Pendulum(), []
    for __ in range(STEPS):
        seen.append(np.stack([np.cos(angle), np.sin(angle), speed], -1))
        angle, speed = transition(angle, speed, torque(seen[-1]), pendulum)
    return np.stack(seen, -2)


Regress = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]


def dagger(regress: Regress, begin: Sequence[np.ndarray]) -> Iterator[Any]:
    """S students after 0, 1, 2, ... rounds of DAgger (arXiv:1011.0686, algorithm 3.1, whose beta is 1, then 0).

    `regress` makes students from observations (S, n, 3), torques (S, n) and importances (S, n). Each round has angles
    and speeds (S, episodes, 2) to begin its episodes.
    """
    act, data = best_torque, []
    for states in begin:
        seen = visited(act, states).reshape(len(states), -1, 3)
        data.append((seen, *label(seen)))
        students = regress(*(np.concatenate(part, 1) for part in zip(*data, strict=True)))
        yield students
        act = students.torque


def regress_terms(
    terms: tuple[Term, ...], weighted: bool, obs: np.ndarray, torque: np.ndarray, importance: np.ndarray
) -> Formulas:
    """One formula of these terms for each seed."""
    data = zip(products(obs, terms), torque, importance if weighted else np.ones_like(torque), strict=True)
    return Formulas(terms, np.stack([fit_torques(*each, LIMIT) for each in data]))


class Networks:
    """MLPs side by side, whose last tanh keeps the torque within the limit; they act like an agent."""

    def __init__(self, layers: Sequence[int], weighted: bool, epochs: int, seeds: Sequence[int]):
        self.network, self.seeds = MLP(3, layers, 1, activation="tanh", seeds=seeds), seeds
        self.weighted, self.epochs = weighted, epochs

    def regress(self, obs: np.ndarray, torque: np.ndarray, importance: np.ndarray) -> "Networks":
        """Train further, each on the samples of its own seed."""
        importance = importance / importance.mean() if self.weighted else np.ones_like(torque)
        target = as_tensor(np.stack([torque, importance], -1))
        fit(
            self.network,
            TensorDataset(as_tensor(obs).flatten(0, 1), target.flatten(0, 1)),
            weighted_error,
            seeds=self.seeds,
            epochs=self.epochs,
            batch_size=256,
            learning_rate=3e-2,
            schedule=triangle(self.epochs, 0.1),
            indices=torch.arange(torque.size).reshape(torque.shape),
        )
        return self

    def torque(self, obs: np.ndarray) -> np.ndarray:
        """(S, n, 3) -> (S, n)."""
        with torch.no_grad():
            return LIMIT * self.network(as_tensor(obs))[..., 0].tanh().double().numpy()

    def predict(self, obs: np.ndarray, *__: Any, deterministic: bool = True) -> tuple[np.ndarray, None]:
        return self.torque(obs)[..., None], None

    def __len__(self) -> int:
        return len(self.seeds)


def weighted_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the torques, (S,); targets are torques and importances (S, B, 2)."""
    return (target[..., 1] * (LIMIT * output[..., 0].tanh() - target[..., 0]).square()).mean(1)


def search(begin: Sequence[np.ndarray], report: Callable[[float], None]) -> Found:
    """The best formula of each number of terms, by its return with rounded coefficients.

    Every combination of few terms is fitted to the same data. In each round of DAgger the best of each number act.
    """
    sizes = range(1, MOST_TERMS + 1)
    chosen = [list(some) for size in sizes for some in itertools.combinations(range(len(SEARCHED)), size)]
    count, best = np.array([len(some) for some in chosen]), Found([], np.empty(0))  # (C,)

    def regress(*data: np.ndarray) -> Formulas:
        nonlocal best
        obs, torque, importance = (part.reshape(-1, *part.shape[2:]) for part in data)  # of all formulas together
        x, weight = products(obs, SEARCHED), np.zeros((len(chosen), len(SEARCHED)))
        for row, some in zip(weight, chosen, strict=True):
            row[some] = [float(f"{w:.{DIGITS}g}") for w in fit_torques(x[:, some], torque, importance, LIMIT)]
        returns = evaluate(Formulas(SEARCHED, weight), PENDULUM, TERM_STARTS).mean(1)  # (C,)
        first = [int(np.where(count == size, returns, -np.inf).argmax()) for size in sizes]
        formulas = [Formula(tuple(SEARCHED[i] for i in chosen[k]), weight[k, chosen[k]], LIMIT) for k in first]
        best = Found(formulas, returns[first])
        report(1 / len(begin))
        return Formulas(SEARCHED, weight[first])

    for __ in dagger(regress, begin):
        pass
    return best


# The lesson


def test_returns(model: Any) -> np.ndarray:
    """Mean test returns (S,)."""
    return evaluate(model, PENDULUM, TEST_STARTS).mean(1)


def work(job: Job, report: Callable[[float], None]) -> tuple[list[Student], Found | None]:
    """All students of one kind and size; or the search, with students that fit its terms to the data of each seed."""
    flags, kind, size, weighted = job.settings
    rounds = range(flags.rounds_to_run + 1)

    def learn(size: tuple[int, ...], parameters: int, regress: Regress) -> Student:
        begin = [starts(job.seeds, number, flags.episodes) for number in rounds]
        returns = np.array([test_returns(students) for students in dagger(regress, begin)])
        return Student(kind, size, weighted, parameters, returns)

    if kind == NETWORK:
        networks = Networks(size, weighted, flags.epochs, job.seeds)
        return [learn(size, num_parameters(networks.network), networks.regress)], None
    if kind == FEW:
        shared = [starts(job.seeds[:1], number, MOST_TERMS * SHARED)[0] for number in rounds]
        found = search([part.reshape(MOST_TERMS, -1, 2) for part in shared], lambda part: report(job.cost * part))
        terms = [formula.terms for formula in found.formulas]
        return [learn((len(some),), len(some), partial(regress_terms, some, True)) for some in terms], found
    terms = (odd_terms if kind == ODD else all_terms)(*size)
    return [learn(size, len(terms), partial(regress_terms, terms, weighted))], None


def plan(flags: Distill) -> list[Job]:
    """Students of each kind and size, two of them without importance, too; and the search."""
    seeds, rounds = tuple(flags.all_seeds), flags.rounds_to_run + 1
    samples = len(seeds) * flags.episodes * STEPS * rounds * (rounds + 1) / 2  # of all regressions

    def job(kind: str, size: tuple[int, ...], weighted: bool = True) -> Job:
        cost = 0.5 + SECONDS[kind] * samples * (flags.epochs / 10 if kind == NETWORK else 1.0)
        return Job(name_of(kind, size, weighted), seeds, cost, (flags, kind, size, weighted))

    jobs = [job(kind, size) for kind, sizes in flags.sizes.items() for size in sizes]
    jobs += [job(kind, size, False) for kind, size in COMPARED.items()]
    return [*jobs, job(FEW, (MOST_TERMS,))]


def name_of(kind: str, size: tuple[int, ...], weighted: bool) -> str:
    return f"{kind} {'-'.join(map(str, size))}{'' if weighted else ', unweighted'}"


def measure(flags: Distill) -> Findings:
    best, best_of_terms = (mean_optimum(PENDULUM, each) for each in (TEST_STARTS, TERM_STARTS))
    assert best is not None
    assert best_of_terms is not None
    kinds = [Student, Found, Formula, Term]
    results = run_parallel(work, plan(flags), flags.processes, _("regression"), kinds=kinds)
    [found] = [found for __, found in results if found is not None]
    regret_of_choice = best_of_terms - found.returns
    formula = found.formulas[smallest(regret_of_choice, flags.below)]
    drawn = best_torque, formula.torque
    return Findings(
        flags=flags,
        optimum=best,
        table_size=teacher().tables[-1].size,
        students=[student for students, __ in results for student in students],
        formulas=found.formulas,
        regret_of_choice=regret_of_choice,
        formula_regret=best - np.concatenate([test_returns(formula) for formula in found.formulas]),
        torques=[torque(OBS) for torque in drawn],
        paths=[visited(torque, SWING_UP) for torque in drawn],
    )


def expected_time(flags: Distill) -> str:
    jobs = plan(flags)
    return _(
        "{count} sizes of students x {seeds} seeds, {rounds} rounds of DAgger, about {time}",
        count=len(jobs) - len(COMPARED) + MOST_TERMS - 1,
        seeds=len(flags.all_seeds),
        rounds=flags.rounds_to_run,
        time=duration(wall_seconds(jobs, flags.processes)),
    )


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for student in findings.students:
        name = name_of(student.kind, student.size, student.weighted)
        for number, regret in enumerate(findings.regrets(student)):
            yield number, f"{name}/regret", regret, findings.flags.all_seeds


def result(findings: Findings) -> dict[str, Any]:
    formula, regret = findings.smallest
    students = []
    for student in findings.students:
        regrets = findings.regrets(student)
        names = {"name": name_of(student.kind, student.size, student.weighted), "parameters": student.parameters}
        last = {"regret": interquartile_mean(regrets[-1]), "ci95": confidence_interval(regrets[-1])}
        students.append(names | last | {"after_rounds": interquartile_mean(regrets), "per_seed": regrets[-1]})
    each = zip(findings.formulas, findings.formula_regret, findings.regret_of_choice, strict=True)
    return {
        "optimum": findings.optimum,
        "formula": formula.plain,
        "formula_parameters": len(formula.weight),
        "formula_regret": regret,
        "formulas": [{"formula": x.plain, "regret": tested, "regret_of_choice": other} for x, tested, other in each],
        "students": students,
    }


def title_of(student: Student) -> str:
    """A student's name for people."""
    if student.kind == NETWORK:
        return _("MLP, {layers}", layers="-".join(map(str, student.size)))
    if student.kind == FEW:
        return _("few odd terms, fitted by each seed")
    if student.kind == ODD:
        return _("odd polynomial, degree {degree}", degree=student.size[0])
    return _("polynomial, degree {degree}", degree=student.size[0])


def table(findings: Findings) -> Table:
    (formula, regret), rounds = findings.smallest, findings.flags.rounds_to_run
    seeds, starts = len(findings.flags.all_seeds), len(TEST_STARTS)
    table = Table(title=_("Regret of {seeds} seeds from {starts} test starts", seeds=seeds, starts=starts))
    table.add_column(_("student"))
    for column in (_("parameters"), _("states of the teacher alone"), _("after {rounds} rounds [95 %]", rounds=rounds)):
        table.add_column(column, justify="right")
    for student in findings.students:
        regrets, words = findings.regrets(student), title_of(student)
        low, high = confidence_interval(regrets[-1])
        cells = (
            f"{interquartile_mean(regrets[0]):.1f}",
            f"{interquartile_mean(regrets[-1]):.1f} [{low:.1f}, {high:.1f}]",
        )
        name = words if student.weighted else _("{name}, all samples alike", name=words)
        table.add_row(name, numeral(student.parameters), *cells)
    table.caption = _(
        "The smallest controller has a regret of {regret:.1f} (angle 0 is upright; rad/s, N m):\n{formula}",
        regret=regret,
        formula=formula.plain,
    )
    return table


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"sizes": plot_sizes(findings), "rounds": plot_rounds(findings), "formula": plot_formula(findings)}


def regret_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator([5, 10, 20, 50, 100, 200, 500, 1000]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel(_("regret (return below the optimum)"))


def plot_sizes(findings: Findings) -> Figure:
    """Regret of every student against its number of parameters."""
    flags, (formula, regret) = findings.flags, findings.smallest
    known = {"count": len(formula.weight), "regret": regret, "below": flags.below}
    title = _(
        "No formula of up to {most} terms has a regret below {below:g}: {count} terms have {regret:.1f}",
        most=MOST_TERMS,
        **known,
    )
    if regret < flags.below:
        title = _(
            "{count} numbers do for a table of {all:,}: the smallest controller with a regret below {below:g}\n"
            "is a formula of {count} terms; its regret is {regret:.1f}",
            all=findings.table_size,
            **known,
        )
    figure, [axes] = plotting.slide(title)
    for kind, color in COLORS.items():
        some = [student for student in findings.students if student.kind == kind and student.weighted]
        some.sort(key=lambda student: student.parameters)
        sizes, last = [student.parameters for student in some], [findings.regrets(student)[-1] for student in some]
        middle = [interquartile_mean(regrets) for regrets in last]
        axes.plot(sizes, middle, color=color, marker=MARKERS[kind], markersize=10, label=_(kind))
        axes.vlines(sizes, *np.array([confidence_interval(regrets) for regrets in last]).T, color=color, linewidth=2)
    smallest = _("the smallest, {digits} digits", digits=DIGITS)
    axes.plot(len(formula.weight), regret, "o", color="black", fillstyle="none", markersize=20, label=smallest)
    axes.axhline(flags.below, color="black", linestyle="--", linewidth=1.5, label=_("limit, {x:g}", x=flags.below))
    axes.set(xscale="log", xlabel=_("number of parameters"))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title(_("IQM and its 95 % interval, {seeds} seeds", seeds=len(flags.all_seeds)))
    regret_axis(axes)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def plot_rounds(findings: Findings) -> Figure:
    """Regret after each round of DAgger, with and without importance, of a polynomial and of an MLP."""
    drawn = [student for student in findings.students if COMPARED.get(student.kind) == student.size]
    after = {(student.kind, student.weighted): interquartile_mean(findings.regrets(student)) for student in drawn}
    (plain, weighted), network = (after[ODD, each][-1] for each in (False, True)), after[NETWORK, True]
    figure, [axes] = plotting.slide(
        _(
            "The student's own states take the MLP from a regret of {first:.0f} to {last:.0f};\n"
            "the importance of samples takes the polynomial from {plain:.0f} to {weighted:.0f}",
            first=network[0],
            last=network[-1],
            plain=plain,
            weighted=weighted,
        )
    )
    for student in drawn:
        regrets, words = findings.regrets(student), title_of(student)
        name = words if student.weighted else _("{name}, all samples alike", name=words)
        style = {"linestyle": "-" if student.weighted else "--", "marker": MARKERS[student.kind], "markersize": 10}
        plotting.iqm_band(axes, range(len(regrets)), regrets, name, COLORS[student.kind], **style)
    axes.set(xlabel=_("rounds of DAgger"), xticks=range(findings.flags.rounds_to_run + 1))
    axes.set_title(_("IQM and its 95 % interval, {seeds} seeds", seeds=len(findings.flags.all_seeds)))
    regret_axis(axes)
    figure.legend(loc="outside lower center", ncols=2, handlelength=4)
    return figure


def plot_formula(findings: Findings) -> Figure:
    """The torques of the optimum and of the smallest formula, and a swing-up by both."""
    formula, regret = findings.smallest
    words = _("The whole controller, with a regret of {regret:.1f} (angle 0 is upright):", regret=regret)
    figure, panels = plotting.slide(f"{words}\n{formula.mathtext}", 2, sharey=True)
    for panel, title, torque, path in zip(
        panels, (_("optimum"), _("formula")), findings.torques, findings.paths, strict=True
    ):
        image = plot_map(panel, torque, title, cmap="PuOr", vmin=-LIMIT, vmax=LIMIT)
        angle = np.degrees(np.arctan2(path[:, 1], path[:, 0]))
        panel.plot(angle, path[:, 2], "o", color="black", markersize=5, label=_("a swing-up, one dot a step"))
    figure.colorbar(image, ax=panels, label=_("torque (N m)"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center")
    return figure


PAGE = Page(
    question=_("How few numbers control the pendulum almost as well as the best policy?"),
    formula=(
        _(r"regression: $\min_w \sum_i g_i \, (u_i - \hat{u}(x_i, w))^2$, where $u_i$ are the optimum's torques"),
        r"$g = \max_u Q(x, u) - \min_u Q(x, u)$",
        _(r"polynomial: $\hat{u} = \sum_k w_k \, \cos^a\theta \, \sin^b\theta \; \omega^c$, clipped to 2 N m"),
        _(r"in a mirror: $u(-\theta, -\omega) = -u(\theta, \omega)$, so $b + c$ is odd"),
    ),
    captions={
        "sizes": _(
            "Fewer parameters cost little, down to the few that the task needs; below, the regret jumps. The odd terms "
            "are half of a polynomial and do not need more of them; a few terms, well chosen, need fewest."
        ),
        "rounds": _(
            "At first all data are states of the optimum, mostly upright: they do not say what to do after an error. "
            "Dashed lines count all samples alike; solid ones more where a wrong torque costs more."
        ),
        "formula": _(
            "Colors are torques. At the bottom (left and right edge) both pull with the motion, at the top (middle) "
            "both balance. The black dots are a swing-up; they lie far apart where the pendulum is fast."
        ),
    },
    what_if=(
        ("balancier distill --rounds 0", _("without the student's own states: which students still succeed?")),
        ("balancier distill --below 40", _("fewer terms, and what do they mean?")),
        ("balancier distill --epochs 40", _("does longer training save the smallest MLPs?")),
    ),
)

LESSON = Lesson(
    flags=Distill,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=expected_time,
    next_command="balancier distill --below 40",
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("distill", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
