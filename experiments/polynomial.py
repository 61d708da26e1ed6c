"""Polynomials (3.1, 3.2): fits of a noisy sine by least squares and by gradient descent. The figures show underfitting
and overfitting, the effect of the number of points, the learning rates at which gradient descent converges, and the
fits outside the range of the data.

A polynomial of order M has M + 1 weights. Gradient descent on its mean squared error converges if the learning rate is
below 2/K, where K is the largest eigenvalue of the Hessian. The lesson takes three learning rates for all orders, and
two more for each order: one just below and one just above its bound 2/K.

A seed is a data set: it decides the points and their noise. Gradient descent runs once for all data sets, learning
rates and orders side by side. One combination of the three is called a replica.

S seed, N points, R learning rates, M orders (0 to 9), W weights of a polynomial (lowest power first), T records.
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from agents.common.config import NOT_NEGATIVE
from envs.sources import curve
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models.streams import stream

ORDERS = range(10)
SHOWN = (0, 1, 3, 9)  # orders whose fits are drawn
MARGINS = (0.99, 1.01)  # of the bound 2/K: just below and just above
SIZES = (15, 30, 100, 1000)  # numbers of points that the largest order is fitted to
FEW = 10  # points: as many as the largest order has weights
TEST_POINTS = 1_000
NODES = (4, 7, 10)  # numbers of points for Lagrange's polynomials
DIVERGED = 1e6  # training error at which a replica has diverged and is not updated any more
TRAIN, TEST, NODE = 310, 311, 312  # random streams
LINE = np.linspace(0, 1, 400)
WIDE = np.linspace(-0.5, 1.5, 801)  # half of it outside the range of the data
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Polynomial(Flags):
    """Polynomials: least squares, gradient descent and its largest rate, under- and overfitting, extrapolation."""

    points: Annotated[int, at_least(FEW)] = 30
    """Training points N, at least as many as the largest order has weights."""
    noise: Annotated[float, NOT_NEGATIVE] = 0.1
    """Standard deviation of the noise on y = sin(2 pi x)."""
    iterations: Annotated[int, at_least(100)] = 100_000
    """Steps of gradient descent."""
    learning_rates: Annotated[tuple[float, float, float], above(0)] = (0.01, 0.5, 2.0)
    """A small, a good and a too large learning rate; the second is compared with least squares."""

    @property
    def iterations_to_run(self) -> int:
        return min(self.iterations, 60_000) if self.quick else self.iterations


@dataclass(frozen=True)
class Points:
    """A data set of one size for each seed."""

    x: Tensor  # (S, N)
    y: Tensor  # (S, N)

    @property
    def powers(self) -> Tensor:
        return powers(self.x)


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    noise: float
    train: dict[int, Points]  # by number of points; gradient descent runs on one of them
    test: Points
    fits: dict[int, Tensor]  # (S, M, W), least squares on each of them
    points: int  # N, of gradient descent
    rates: tuple[float, float, float]
    iterations: list[int]  # (T,), at which the training error was recorded
    weight: Tensor  # (S, R, M, W), gradient descent; the rates are the three and those beside the bound
    history: Tensor  # (T, S, R, M), its training error
    curvature: Tensor  # (S, M, 2), smallest and largest eigenvalue of the Hessian
    nodes: dict[int, tuple[np.ndarray, np.ndarray]]  # x and y of equidistant points, by their number

    @property
    def fit(self) -> Tensor:
        """Least squares on the points of gradient descent, (S, M, W)."""
        return self.fits[self.points]

    @property
    def bound(self) -> np.ndarray:
        """2/K, the largest learning rate that converges, (S, M)."""
        return (2 / self.curvature[..., 1]).numpy()

    @property
    def condition(self) -> np.ndarray:
        """Condition number of the Hessian, (S, M)."""
        return (self.curvature[..., 1] / self.curvature[..., 0]).numpy()

    @cached_property
    def least(self) -> Tensor:
        """Training error of least squares, (S, M)."""
        return errors(self.fit, self.train[self.points])

    @property
    def ratio(self) -> np.ndarray:
        """Training error of gradient descent over that of least squares, (T, S, R, M)."""
        return (self.history / self.least[:, None]).numpy()

    @property
    def diverged(self) -> np.ndarray:
        """Whether the training error reached DIVERGED, (S, R, M)."""
        return (self.history[-1] >= DIVERGED).numpy()

    @property
    def descended(self) -> np.ndarray:
        """Whether the training error ended below its first value, (S, R, M)."""
        return (self.history[-1] < self.history[0]).numpy()

    @property
    def descent(self) -> Tensor:
        """Weights at the second rate, or just below the bound where the second rate diverged, (S, M, W)."""
        diverged = torch.as_tensor(self.diverged[:, 1])[..., None]
        return torch.where(diverged, self.weight[:, 3], self.weight[:, 1])

    @property
    def converged_below(self) -> np.ndarray:
        """Whether the training error sank at a rate just below the bound, (S, M)."""
        return ~self.diverged[:, 3] & self.descended[:, 3]

    @property
    def distance(self) -> np.ndarray:
        """RMS distance over the seeds between least squares and the truth, (M, points of WIDE)."""
        return np.sqrt(np.square(values(self.fit, WIDE) - truth(WIDE)).mean(0))

    def errors_with(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """RMS training and test errors of least squares on `count` points, (S, M) each."""
        return rms(self.fits[count], self.train[count]), rms(self.fits[count], self.test)

    def largest_order(self, part: int) -> np.ndarray:
        """RMS errors of the largest order for each of SIZES: training (0) or test (1), (SIZES, S)."""
        return np.stack([self.errors_with(count)[part][:, -1] for count in SIZES])

    def arrival(self, seed: int) -> int | None:
        """First recorded iteration at which order 3, at the second rate, is within 1 % of least squares."""
        near = np.flatnonzero(self.ratio[:, seed, 1, 3] <= 1.01)
        return self.iterations[near[0]] if len(near) else None


# Data, fits and errors


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x)


def sample(seeds: Sequence[int], role: int, count: int, noise: float) -> Points:
    """`count` points of the course's curve for each seed, from the random stream `role`."""
    sets = [curve(noise).draw(stream(seed, role, count), count) for seed in seeds]
    x, y = (torch.tensor(np.stack(part), dtype=torch.float64).flatten(1) for part in zip(*sets, strict=True))
    return Points(x, y)


def powers(x: Tensor) -> Tensor:
    """x^0, x^1, ..., x^9: (...) -> (..., W), the design matrix; order M uses its first M + 1 columns."""
    return x[..., None] ** torch.arange(len(ORDERS))


def errors(weight: Tensor, points: Points) -> Tensor:
    """Mean squared errors of polynomials (S, ..., W) on the points of their seed, (S, ...)."""
    flat = weight.flatten(1, -2)
    return (flat @ points.powers.mT - points.y[:, None]).square().mean(-1).reshape(weight.shape[:-1])


def least_squares(points: Points) -> Tensor:
    """The polynomial of each order with the smallest training error, (S, M, W)."""
    weight = torch.zeros(len(points.x), len(ORDERS), len(ORDERS), dtype=points.x.dtype)
    for order in ORDERS:
        solved = torch.linalg.lstsq(points.powers[..., : order + 1], points.y[..., None], driver="gelsd")
        weight[:, order, : order + 1] = solved.solution[..., 0]
    return weight


def curvatures(points: Points) -> Tensor:
    """Smallest and largest eigenvalue of the Hessian 2 X'X / N of the mean squared error, (S, M, 2).

    They come from the singular values of X, because rounding could make the smallest eigenvalue negative.
    """
    singular = [torch.linalg.svdvals(points.powers[..., : order + 1])[:, [-1, 0]] for order in ORDERS]
    return 2 / points.x.shape[1] * torch.stack(singular, 1).square()


def record_steps(iterations: int, per_decade: int = 40) -> list[int]:
    """Iterations at which errors are recorded: 0, 1, 2, ..., then at growing intervals, and the last."""
    count = math.ceil(per_decade * math.log10(iterations)) + 1
    return [0, *sorted({round(step) for step in np.geomspace(1, iterations, count)})]


def joint_step(
    points: Points, rates: Tensor, steps: Sequence[int], callback: Callable[[int], None] = lambda count: None
) -> tuple[Tensor, Tensor]:
    """Gradient descent on the mean squared error from zero weights, every order at every rate (S, R, M).

    Returns the last weights (S, R, M, W) and the training errors (T, S, R, M) after each of the `steps`. The result is
    that of `models.Polynomial` and `models.SGD`; here the powers of x are computed only once.
    """
    used = torch.ones(len(ORDERS), len(ORDERS), dtype=rates.dtype).tril()  # (M, W), the weights that an order has
    step = (-rates[..., None] * used).flatten(1, 2)  # (S, R M, W)
    design, target = points.powers.mT.contiguous(), -points.y[:, None]  # (S, W, N), (S, 1, N)
    weight = torch.zeros_like(step, requires_grad=True)
    history = [errors(weight.detach(), points)]
    for start, end in pairwise(steps):
        for _ in range(end - start):
            loss = torch.baddbmm(target, weight, design).square().mean(-1)  # (S, R M)
            (gradient,) = torch.autograd.grad(loss.sum(), weight)
            with torch.no_grad():
                active = (loss < DIVERGED).to(loss.dtype)  # diverged replicas stop before their numbers overflow
                weight.addcmul_(gradient.mul_(active[..., None]), step)
        history.append(errors(weight.detach(), points))
        callback(end - start)
    shape = rates.shape
    return weight.detach().unflatten(1, shape[1:]), torch.stack(history).unflatten(2, shape[1:])


def lagrange(nodes: np.ndarray, values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Lagrange's polynomial of order n - 1 through n points (n,), at x (B,).

    The sum of values_i times the product over j != i of (x - nodes_j) / (nodes_i - nodes_j).
    """
    same = np.eye(len(nodes), dtype=bool)  # i = j
    factors = np.where(same, 1.0, x[:, None, None] - nodes) / np.where(same, 1.0, nodes[:, None] - nodes)  # (B, n, n)
    return factors.prod(-1) @ values


def noisy_nodes(flags: Polynomial, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Equidistant points with the noise of the first seed, x and y (count,)."""
    x = np.linspace(0, 1, count)
    return x, truth(x) + flags.noise * stream(flags.seed, NODE, count).standard_normal(count)


def rms(weight: Tensor, points: Points) -> np.ndarray:
    """Root mean squared errors (RMS) of polynomials (S, ..., W), (S, ...)."""
    return errors(weight, points).sqrt().numpy()


def values(weight: Tensor, x: np.ndarray) -> np.ndarray:
    """Values (..., B) of polynomials (..., W) at x (B,)."""
    return (weight @ powers(torch.tensor(x)).mT).numpy()


def learning_rates(flags: Polynomial, curvature: Tensor) -> Tensor:
    """The three rates of the flags, and rates just below and just above the bound of each order, (S, R, M)."""
    bound = 2 / curvature[..., 1]  # (S, M)
    chosen = torch.tensor(flags.learning_rates, dtype=bound.dtype)[:, None].expand(len(bound), -1, len(ORDERS))
    return torch.cat([chosen, bound[:, None] * torch.tensor(MARGINS, dtype=bound.dtype)[:, None]], 1)


def measure(flags: Polynomial) -> Findings:
    seeds = flags.all_seeds
    train = {count: sample(seeds, TRAIN, count, flags.noise) for count in sorted({flags.points, FEW, *SIZES})}
    points = train[flags.points]
    curvature = curvatures(points)
    rates, steps = learning_rates(flags, curvature), record_steps(flags.iterations_to_run)
    with ProgressBar(flags.iterations_to_run, f"gradient descent, {rates.numel()} replicas") as progress:
        weight, history = joint_step(points, rates, steps, progress.advance)
    return Findings(
        seeds=seeds,
        noise=flags.noise,
        train=train,
        test=sample(seeds, TEST, TEST_POINTS, flags.noise),
        fits={count: least_squares(part) for count, part in train.items()},
        points=flags.points,
        rates=flags.learning_rates,
        iterations=steps,
        weight=weight,
        history=history,
        curvature=curvature,
        nodes={count: noisy_nodes(flags, count) for count in NODES},
    )


# Output


def forecast(flags: Polynomial) -> str:
    seconds = flags.iterations_to_run * (60e-6 + 8e-6 * flags.seeds) + 4
    return f"{flags.seeds} data sets, about {duration(seconds)}"


def metrics(findings: Findings) -> Iterable[Metric]:
    names = [*(f"rate={rate:g}" for rate in findings.rates), *(f"rate={margin}*2/K" for margin in MARGINS)]
    for rate, name in enumerate(names):
        for step, error in zip(findings.iterations, findings.history[:, :, rate, 3], strict=True):
            yield step, f"train_mse M=3 {name}", error.tolist(), findings.seeds
    for order in ORDERS:
        yield 0, f"least_squares_train_mse M={order}", findings.least[:, order].tolist(), findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    ratio, diverged = findings.ratio[-1, :, 1, 3], findings.diverged
    (train, test), (few_train, few_test) = findings.errors_with(findings.points), findings.errors_with(FEW)
    shares = zip(findings.rates, diverged[:, :3].mean((0, 2)), strict=True)
    sizes = zip(SIZES, findings.largest_order(1), strict=True)
    nodes = findings.nodes.items()
    return {
        "gd_over_ls": rounded(np.median(ratio)),
        "gd_over_ls_by_seed": [rounded(value) for value in ratio],
        "gd_iterations_to_1_percent": [findings.arrival(seed) for seed in range(len(findings.seeds))],
        "condition_number": rounded(np.median(findings.condition[:, 3])),
        "rate_bound": rounded(np.median(findings.bound[:, 3])),
        "converged_below_bound": rounded(findings.converged_below.mean()),
        "diverged_above_bound": rounded(diverged[:, 4].mean()),
        "diverged_by_rate": {f"{rate:g}": rounded(share) for rate, share in shares},
        "train_rms_by_order": by_order(train),
        "test_rms_by_order": by_order(test),
        "gd_test_rms_by_order": by_order(rms(findings.descent, findings.test)),
        "few_points": {
            "points": FEW,
            "train_mse_by_order": by_order(few_train**2),
            "train_rms_by_order": by_order(few_train),
            "test_rms_by_order": by_order(few_test),
        },
        "test_rms_by_points": {str(count): rounded(np.median(error)) for count, error in sizes},
        "lagrange_miss": {str(count): float(np.abs(lagrange(x, y, x) - y).max()) for count, (x, y) in nodes},
        "extrapolation_rms": {str(order): rounded(findings.distance[order, -1]) for order in SHOWN[1:]},
    }


def table(findings: Findings) -> Table:
    small, good, large = (f"{rate:g}" for rate in findings.rates)
    columns = ("M", "condition", "2/K", f"GD/LS at {small}", f"GD/LS at {good}", f"diverged at {large}")
    columns += ("LS train RMS", "LS test RMS", "GD test RMS")
    table = Table(*columns, title="Medians over the data sets; GD: gradient descent, LS: least squares")
    rms_errors = *findings.errors_with(findings.points), rms(findings.descent, findings.test)
    for order in ORDERS:
        ratios = np.median(findings.ratio[-1, :, :2, order], 0)
        cells = [f"{np.median(findings.condition[:, order]):.2g}", f"{np.median(findings.bound[:, order]):.3f}"]
        cells += [f"{ratio:.3g}" for ratio in ratios] + [f"{findings.diverged[:, 2, order].mean():.0%}"]
        cells += [f"{np.median(error[:, order]):.3f}" for error in rms_errors]
        table.add_row(str(order), *cells)
    return table


def rounded(value: Any) -> float:
    """Six significant digits."""
    return float(f"{float(value):.6g}")


def to_hundred(value: float) -> str:
    """A large number for a title, to the nearest hundred."""
    return f"{round(float(value), -2):,.0f}"


def power_of_ten(value: float) -> str:
    """A number for a title: 0.24, 1.95, 18.5, and powers of ten below 0.01 and from 1000 on."""
    if 0.01 <= abs(value) < 1000 or value == 0:
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa}\cdot 10^{{{int(exponent)}}}$"


def by_order(values: np.ndarray) -> dict[str, float]:
    """Medians over the seeds of (S, M)."""
    return {str(order): rounded(value) for order, value in enumerate(np.median(values, 0))}


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "fits": plot_fits(findings, findings.points, with_descent=True),
        f"fits_{FEW}_points": plot_fits(findings, FEW, with_descent=False),
        "learning_rates": plot_learning_rates(findings),
        "errors": plot_errors(findings),
        "points": plot_sizes(findings),
        "outside": plot_outside(findings),
    }


def plot_fits(findings: Findings, count: int, with_descent: bool) -> Figure:
    """Fits of a few orders to the first data set of `count` points."""
    figure, panels = plotting.new(2, 2, height=4.6, sharex=True, sharey=True)
    x, y = findings.train[count].x[0], findings.train[count].y[0]
    train, test = (error[0] for error in findings.errors_with(count))
    for panel, order in zip(panels, SHOWN, strict=True):
        panel.plot(LINE, truth(LINE), color=plotting.GREEN, label="sin 2πx")
        panel.plot(LINE, values(findings.fits[count][0, order], LINE), color=plotting.BLUE, label="least squares")
        if with_descent:
            descent = values(findings.descent[0, order], LINE)
            panel.plot(LINE, descent, color=plotting.ORANGE, linestyle="--", label="gradient descent")
        if with_descent and findings.diverged[0, 1, order]:
            rate = MARGINS[0] * findings.bound[0, order]
            note = f"descent at {MARGINS[0]:g} · 2/K = {rate:.3f}:\nit diverges at {findings.rates[1]:g}"
            panel.text(0.02, 0.04, note, transform=panel.transAxes, fontsize=13)
        panel.plot(x, y, "o", color="black", markersize=5, label=f"{len(x)} points")
        panel.set_title(f"M = {order}: RMS {power_of_ten(train[order])}, on new points {power_of_ten(test[order])}")
    finish_panels(figure, panels)
    return figure


def finish_panels(figure: Figure, panels: Sequence[Axes]) -> None:
    """Limits, labels and one legend for the four panels of a figure."""
    for panel in panels:
        panel.set_ylim(-1.7, 1.7)
    for panel in panels[2:]:
        panel.set_xlabel("x")
    for panel in panels[::2]:
        panel.set_ylabel("y")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


def plot_learning_rates(findings: Findings) -> Figure:
    """Learning curves of order 3 at the three rates and beside the bound, and the last training error of all orders."""
    figure, panels = plotting.new(3, width=6.8, height=5.8)
    _, good, large = findings.rates
    ratio = np.where(findings.history >= DIVERGED, np.nan, findings.ratio)  # a curve ends where its replica diverged
    colors = (plotting.BLUE, plotting.GREEN, plotting.ORANGE, plotting.BLUE, plotting.ORANGE)
    labels = [f"rate {rate:g}" for rate in findings.rates] + [f"{margin:g} · 2/K" for margin in MARGINS]
    for panel, shown in zip(panels, ((0, 1, 2), (3, 4)), strict=False):
        for rate in shown:
            panel.plot(findings.iterations[1:], ratio[1:, :, rate, 3], color=colors[rate], alpha=0.5, linewidth=1.5)
            panel.plot([], [], color=colors[rate], label=labels[rate])
        panel.axhline(1, color="black", linestyle="--", linewidth=1.5, label="least squares")
        panel.set(xscale="log", yscale="log", ylim=(0.7, 1e5), xlabel="iteration")
        panel.legend(loc="upper right")
    panels[0].set_ylabel("training error over least squares")
    times = [step for step in map(findings.arrival, range(len(findings.seeds))) if step is not None]
    arrival = "1 % not reached"
    if times:
        arrival = f"1 % reached after {to_hundred(np.median(times))} (worst {to_hundred(max(times))})"
    condition = to_hundred(np.median(findings.condition[:, 3]))
    panels[0].set_title(f"M = 3, condition {condition}. At rate {good:g},\n{arrival}")
    below, above = findings.converged_below.mean(), findings.diverged[:, 4].mean()
    panels[1].set_title(
        f"M = 3, bound 2/K = {np.median(findings.bound[:, 3]):.2f}. Of all orders,\n"
        f"{below:.0%} converge below, {above:.0%} diverge above"
    )
    for rate in (0, 1):
        last = ratio[-1, :, rate].T  # (M, S)
        if np.isfinite(last).any(1).all():
            plotting.quantile_band(panels[2], ORDERS, last, labels[rate], colors[rate], QUANTILES, marker="o")
    panels[2].axhline(1, color="black", linestyle="--", linewidth=1.5, label="least squares")
    panels[2].set(xlabel="order M", xticks=list(ORDERS), yscale="log", ylabel="training error over least squares")
    diverged, last_iteration = findings.diverged[:, 2].mean(), findings.iterations[-1]
    panels[2].set_title(f"all orders after {last_iteration:,} iterations\n(at rate {large:g}, {diverged:.0%} diverged)")
    panels[2].legend(loc="upper left")
    return figure


def plot_errors(findings: Findings) -> Figure:
    """Errors on training and test points against the order, for many and for few points, and against their number."""
    figure, panels = plotting.new(3, width=6.8, height=5.6)
    train, test = findings.errors_with(findings.points)
    few_train, few_test = findings.errors_with(FEW)
    descent = rms(findings.descent, findings.test)
    for panel, x, error, label, color in (
        (panels[0], ORDERS, train.T, "training", plotting.BLUE),
        (panels[0], ORDERS, test.T, "new points", plotting.ORANGE),
        (panels[0], ORDERS, descent.T, "new points, by descent", plotting.GREEN),
        (panels[1], ORDERS, few_train.T, "training", plotting.BLUE),
        (panels[1], ORDERS, few_test.T, "new points", plotting.ORANGE),
        (panels[2], SIZES, findings.largest_order(0), "training", plotting.BLUE),
        (panels[2], SIZES, findings.largest_order(1), "new points", plotting.ORANGE),
    ):
        plotting.quantile_band(panel, x, error, label, color, QUANTILES, marker="o")
    for panel in panels:
        if findings.noise > 0:
            panel.axhline(findings.noise, color="black", linestyle="--", linewidth=1.5, label="noise")
        panel.set(yscale="log", xlabel="order M", xticks=list(ORDERS))
        panel.legend()
    panels[0].set_ylabel("RMS error (median, 10 to 90 %)")
    panels[0].set_ylim(top=panels[0].get_ylim()[1] * 3)  # room for the legend
    median = np.median(test, 0)
    best = f"{median.min():.2f} (M = {median.argmin()})"
    panels[0].set_title(f"N = {findings.points}: on new points\n{best} becomes {median[-1]:.2f} (M = 9)")
    train_median, median = np.median(few_train, 0), np.median(few_test, 0)
    best = f"{median.min():.2f} (M = {median.argmin()})"
    panels[1].set_title(
        f"N = {FEW}: {best} becomes {power_of_ten(median[-1])},\nthe training error {power_of_ten(train_median[-1])}"
    )
    panels[2].set_xscale("log")
    panels[2].set_xticks(SIZES, [str(size) for size in SIZES])
    panels[2].minorticks_off()
    first, *_, last = np.median(findings.largest_order(1), 1)
    panels[2].set(xlabel="points N")
    panels[2].set_title(f"M = 9, new points: {first:.2f} with {SIZES[0]},\n{last:.2f} with {SIZES[-1]} training points")
    return figure


def plot_sizes(findings: Findings) -> Figure:
    """The largest order on more and more points: one fit, and the range of the fits to the other data sets."""
    figure, panels = plotting.new(2, 2, height=4.6, sharex=True, sharey=True)
    test = np.median(findings.largest_order(1), 1)
    for panel, count, error in zip(panels, SIZES, test, strict=True):
        fits = values(findings.fits[count][:, -1], LINE)  # (S, B)
        low, high = np.quantile(fits, [0.1, 0.9], 0)
        panel.fill_between(LINE, low, high, color=plotting.SKY, alpha=0.4, linewidth=0, label="data sets, 10 to 90 %")
        x, y = findings.train[count].x[0], findings.train[count].y[0]
        panel.plot(x, y, ".", color="black", markersize=8 if count <= 100 else 3, label="one data set")
        panel.plot(LINE, truth(LINE), color=plotting.GREEN, label="sin 2πx")
        panel.plot(LINE, fits[0], color=plotting.BLUE, label="its fit")
        panel.set_title(f"M = 9, N = {count}: RMS on new points {error:.3g}")
    finish_panels(figure, panels)
    return figure


def plot_outside(findings: Findings) -> Figure:
    """Lagrange's polynomials through all points, and fits outside the range of their data."""
    figure, panels = plotting.new(3, width=6.8, height=5.6)
    colors = dict(zip(SHOWN[1:], (plotting.PURPLE, plotting.BLUE, plotting.ORANGE), strict=True))
    for (count, (x, y)), color in zip(findings.nodes.items(), colors.values(), strict=True):
        panels[0].plot(LINE, lagrange(x, y, LINE), color=color, label=f"{count} points, order {count - 1}")
        panels[0].plot(x, y, "o", color=color, markersize=8)
    x, y = findings.nodes[NODES[-1]]
    largest = np.abs(lagrange(x, y, LINE) - truth(LINE)).max()
    panels[0].set_title(
        f"Lagrange: order n-1 passes through n points;\norder {len(x) - 1} strays by {largest:.1f} between them"
    )
    for order, color in colors.items():
        panels[1].plot(WIDE, values(findings.fit[:, order], WIDE).T, color=color, linewidth=1.2, alpha=0.6)
        panels[1].plot([], [], color=color, label=f"M = {order}")
        panels[2].plot(WIDE, findings.distance[order], color=color, label=f"M = {order}")
    panels[1].set_ylim(-4, 4)
    panels[1].set_title(f"fits to {findings.points} points, {len(findings.seeds)} data sets:\nno data, no agreement")
    panels[2].set(yscale="log", ylabel="RMS distance from sin 2πx")
    ends = ", ".join(f"{power_of_ten(findings.distance[order, -1])} (M = {order})" for order in colors)
    panels[2].set_title(f"distance at x = {WIDE[-1]:g}:\n{ends}")
    for panel in panels[:2]:
        panel.plot(WIDE, truth(WIDE), color="black", linestyle="--", linewidth=1.5, label="sin 2πx")
        panel.set(xlabel="x", ylabel="y")
    panels[0].set_xlim(-0.05, 1.05)
    for panel in panels[1:]:
        panel.axvspan(0, 1, color=plotting.GRAY, alpha=0.15, linewidth=0)
        panel.set(xlabel="x (gray: range of the data)", xticks=np.linspace(-0.5, 1.5, 5))
    for panel in panels:
        panel.legend()
    return figure


LESSON = Lesson(
    flags=Polynomial,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier polynomial --points 10, and see which orders overfit",
    metrics=metrics,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("polynomial", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
