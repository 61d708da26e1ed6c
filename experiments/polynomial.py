"""Polynomials (3.1, 3.2, 3.a): fits of a noisy sine by least squares and by gradient descent. The figures show under-
and overfitting, the effect of the number of points, Lagrange's polynomials, fits outside the range of the data, the
orders and learning rates of the exercise, and the largest rate at which gradient descent converges.

A polynomial of order M has M + 1 weights, and L is its mean squared error. Gradient descent converges if the learning
rate is below 2/K. K is the largest curvature of L: the largest eigenvalue of its Hessian.

There are two kinds of points. The figures of under- and overfitting have evenly spaced points with more noise, as the
book's do (Bishop 2006). The exercise has N random points, and gradient descent runs on them: at three learning rates
for all orders, and at two more for each order, just below and just above its bound 2/K.

A seed is a data set: it decides the points and their noise. Gradient descent runs once for all data sets, learning
rates and orders side by side. One combination of the three is called a replica. Numbers in titles and tables are
medians over the data sets; the data set that is drawn is the one whose error is nearest to the median.

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
from balancier import _, numeral
from envs.sources import curve
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models.streams import normal, stream

ORDERS = range(10)
SHOWN = (0, 1, 3, 9)  # orders that under- and overfitting are shown with
EXERCISE = (1, 2, 3, 8)  # orders of the exercise
MARGINS = (0.99, 1.01)  # of the bound 2/K: just below and just above
FEW = 10  # points: as many as the largest order has weights
SIZES = (FEW, 15, 100, 1000)  # numbers of evenly spaced points that the largest order is fitted to
NODES = (4, 7, 10)  # numbers of points for Lagrange's polynomials
NEW_POINTS = 1_000  # in a validation or test set
DIVERGED = 1e6  # training error at which a replica has diverged and is not updated any more
TRAIN, TEST, EVEN, VALIDATION = 310, 311, 312, 313  # random streams
LINE = np.linspace(0, 1, 400)
WIDE = np.linspace(-0.5, 1.5, 801)  # half of it outside the range of the data
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Polynomial(Flags):
    """Polynomials: under- and overfitting, least squares, gradient descent and its largest rate, extrapolation."""

    points: Annotated[int, at_least(2)] = 30
    """Random points N of the exercise, which gradient descent runs on."""
    noise: Annotated[float, NOT_NEGATIVE] = 0.1
    """Standard deviation of the noise on y = sin(2 pi x), for the exercise's points."""
    few_noise: Annotated[float, NOT_NEGATIVE] = 0.3
    """The same for the evenly spaced points, which show under- and overfitting."""
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
    noise: float  # of the exercise's points
    few_noise: float  # of the evenly spaced points
    even: dict[int, Points]  # evenly spaced points, by their number
    validation: Points  # new points with the noise of these
    fits: dict[int, Tensor]  # (S, M, W), least squares on each of them
    train: Points  # the exercise's
    test: Points
    fit: Tensor  # (S, M, W), least squares on the exercise's points
    rates: tuple[float, float, float]
    iterations: list[int]  # (T,), at which the training error was recorded
    weight: Tensor  # (S, R, M, W), gradient descent; the rates are the three and those beside the bound
    history: Tensor  # (T, S, R, M), its training error
    curvature: Tensor  # (S, M, 2), smallest and largest eigenvalue of the Hessian

    @property
    def points(self) -> int:
        """N, of the exercise."""
        return self.train.x.shape[1]

    @property
    def nodes(self) -> list[int]:
        """Numbers of points for Lagrange's polynomials; N is one of them unless it is large."""
        return sorted({*NODES, *([self.points] if self.points in self.even else [])})

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
        return errors(self.fit, self.train)

    @property
    def exact(self) -> np.ndarray:
        """Whether polynomials of each order pass through all points of the exercise, (M,)."""
        return np.array(ORDERS) >= self.points - 1

    @property
    def ratio(self) -> np.ndarray:
        """Training error of gradient descent over that of least squares, (T, S, R, M); NaN where the latter is 0."""
        return np.where(self.exact, np.nan, (self.history / self.least[:, None]).numpy())

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
        """RMS distance over the seeds between the exercise's least squares and the truth, (M, points of WIDE)."""
        return np.sqrt(np.square(values(self.fit, WIDE) - truth(WIDE)).mean(0))

    def errors_with(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """RMS training and validation errors of least squares on `count` evenly spaced points, (S, M) each."""
        return rms(self.fits[count], self.even[count]), rms(self.fits[count], self.validation)

    def largest_order(self, part: int) -> np.ndarray:
        """RMS errors of the largest order for each of SIZES: training (0) or validation (1), (SIZES, S)."""
        return np.stack([self.errors_with(count)[part][:, -1] for count in SIZES])

    def arrival(self, seed: int) -> int | None:
        """First recorded iteration at which order 3, at the second rate, is within 1 % of least squares."""
        near = np.flatnonzero(self.ratio[:, seed, 1, 3] <= 1.01)
        return self.iterations[near[0]] if len(near) else None

    def missed(self, count: int) -> float:
        """Largest distance between Lagrange's polynomials and the `count` points that they pass through."""
        points = zip(self.even[count].x.numpy(), self.even[count].y.numpy(), strict=True)
        return max(float(np.abs(lagrange(x, y, x) - y).max()) for x, y in points)


# Data, fits and errors


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x)


def sample(seeds: Sequence[int], role: int, count: int, noise: float) -> Points:
    """`count` points of the course's curve for each seed, from the random stream `role`."""
    sets = [curve(noise).draw(stream(seed, role, count), count) for seed in seeds]
    x, y = (torch.tensor(np.stack(part), dtype=torch.float64).flatten(1) for part in zip(*sets, strict=True))
    return Points(x, y)


def evenly_spaced(seeds: Sequence[int], count: int, noise: float) -> Points:
    """`count` points at equal distances for each seed, from 0 to 1."""
    x = torch.linspace(0, 1, count, dtype=torch.float64).expand(len(seeds), -1)
    return Points(x, torch.from_numpy(truth(x.numpy())) + noise * normal(seeds, (EVEN, count), (count,)).double())


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

    They come from the singular values of X, because rounding could make the smallest eigenvalue negative. Where there
    are fewer points than weights, the smallest is that of the directions in which the error changes at all.
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
        for __ in range(end - start):
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
    counts = {*SIZES, *NODES, *([flags.points] if flags.points < len(ORDERS) else [])}
    even = {count: evenly_spaced(seeds, count, flags.few_noise) for count in sorted(counts)}
    train = sample(seeds, TRAIN, flags.points, flags.noise)
    curvature = curvatures(train)
    rates, steps = learning_rates(flags, curvature), record_steps(flags.iterations_to_run)
    description = _("gradient descent, {count} replicas", count=rates.numel())
    with ProgressBar(flags.iterations_to_run, description) as progress:
        weight, history = joint_step(train, rates, steps, progress.advance)
    return Findings(
        seeds=seeds,
        noise=flags.noise,
        few_noise=flags.few_noise,
        even=even,
        validation=sample(seeds, VALIDATION, NEW_POINTS, flags.few_noise),
        fits={count: least_squares(part) for count, part in even.items()},
        train=train,
        test=sample(seeds, TEST, NEW_POINTS, flags.noise),
        fit=least_squares(train),
        rates=flags.learning_rates,
        iterations=steps,
        weight=weight,
        history=history,
        curvature=curvature,
    )


# Output


def forecast(flags: Polynomial) -> str:
    seconds = flags.iterations_to_run * (60e-6 + 18e-6 * flags.seeds) + 5
    return _("{seeds} data sets, about {time}", seeds=flags.seeds, time=duration(seconds))


def metrics(findings: Findings) -> Iterable[Metric]:
    names = [*(f"rate={rate:g}" for rate in findings.rates), *(f"rate={margin}*2/K" for margin in MARGINS)]
    for rate, name in enumerate(names):
        for step, error in zip(findings.iterations, findings.history[:, :, rate, 3], strict=True):
            yield step, f"train_mse M=3 {name}", error.tolist(), findings.seeds
    for order in ORDERS:
        yield 0, f"least_squares_train_mse M={order}", findings.least[:, order].tolist(), findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    ratio, diverged = findings.ratio[-1, :, 1, 3], findings.diverged
    few_train, few_validation = findings.errors_with(FEW)
    shares = zip(findings.rates, diverged[:, :3].mean((0, 2)), strict=True)
    last = zip(findings.rates, np.swapaxes(findings.history[-1, :, :3].numpy(), 0, 1), strict=True)
    return {
        "gd_over_ls": rounded(np.median(ratio)),
        "gd_over_ls_by_seed": [rounded(value) for value in ratio],
        "gd_iterations_to_1_percent": [findings.arrival(seed) for seed in range(len(findings.seeds))],
        "condition_number": rounded(np.median(findings.condition[:, 3])),
        "largest_curvature_by_order": {
            str(order): rounded(2 / np.median(findings.bound[:, order])) for order in ORDERS
        },
        "rate_bound": rounded(np.median(findings.bound[:, 3])),
        "rate_bound_by_order": by_order(findings.bound),
        "converged_below_bound": rounded(findings.converged_below.mean()),
        "diverged_above_bound": rounded(diverged[:, 4].mean()),
        "diverged_by_rate": {f"{rate:g}": rounded(share) for rate, share in shares},
        "train_mse_by_rate_and_order": {f"{rate:g}": by_order(error) for rate, error in last},
        "train_rms_by_order": by_order(rms(findings.fit, findings.train)),
        "test_rms_by_order": by_order(rms(findings.fit, findings.test)),
        "gd_test_rms_by_order": by_order(rms(findings.descent, findings.test)),
        "few_points": {
            "points": FEW,
            "train_mse_by_order": by_order(few_train**2),
            "train_rms_by_order": by_order(few_train),
            "test_rms_by_order": by_order(few_validation),
        },
        "test_rms_by_points": {
            str(count): rounded(np.median(error)) for count, error in zip(SIZES, findings.largest_order(1), strict=True)
        },
        "lagrange_miss": {str(count): findings.missed(count) for count in findings.nodes},
        "extrapolation_rms": {str(order): rounded(findings.distance[order, -1]) for order in SHOWN[1:]},
    }


def table(findings: Findings) -> Table:
    both = Table.grid()
    both.add_row(few_points_table(findings))
    both.add_row(exercise_table(findings))
    return both


def few_points_table(findings: Findings) -> Table:
    """Training and validation errors of least squares on few points."""
    title = _(
        "{points} evenly spaced points, noise {noise:g}: RMS errors of least squares",
        points=FEW,
        noise=findings.few_noise,
    )
    table = Table("M", *map(str, ORDERS), title=title)
    for name, error in zip((_("training"), _("validation")), findings.errors_with(FEW), strict=True):
        table.add_row(name, *(f"{value:.2f}" for value in np.median(error, 0)))
    return table


def exercise_table(findings: Findings) -> Table:
    """Gradient descent beside least squares, for every order."""
    small, good, large = findings.rates
    columns = ["M", "K", "2/K", _("condition"), _("L, least squares")]
    columns += [_("L at {rate:g}", rate=small), _("L at {rate:g}", rate=good), _("diverged at {rate:g}", rate=large)]
    title = _(
        "{points} random points, noise {noise:g}: L is the training error (mean squared)",
        points=findings.points,
        noise=findings.noise,
    )
    table = Table(*columns, _("test RMS, LS"), _("test RMS, GD"), title=title)
    tested = rms(findings.fit, findings.test), rms(findings.descent, findings.test)
    last = findings.history[-1].median(0).values  # (R, M)
    for order in ORDERS:
        bound = np.median(findings.bound[:, order])
        cells = [f"{2 / bound:.2f}", f"{bound:.3f}", f"{np.median(findings.condition[:, order]):.1e}"]
        cells += [f"{findings.least[:, order].median():.4f}"]
        cells += [f"{error:.4f}" if error < DIVERGED else _("diverged") for error in last[:2, order].tolist()]
        cells += [f"{findings.diverged[:, 2, order].mean():.0%}"]
        table.add_row(str(order), *cells, *(f"{np.median(error[:, order]):.3f}" for error in tested))
    return table


def rounded(value: Any) -> float | None:
    """Six significant digits; None for NaN."""
    return None if np.isnan(value) else float(f"{float(value):.6g}")


def power_of_ten(value: float) -> str:
    """A number for a title: 0.24, 1.95, 18.5, and powers of ten from 1000 on."""
    if abs(value) < 1000:
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa}\cdot 10^{{{int(exponent)}}}$"


def by_order(values: np.ndarray) -> dict[str, float | None]:
    """Medians over the seeds of (S, M)."""
    return {str(order): rounded(value) for order, value in enumerate(np.median(values, 0))}


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "fits": plot_fits(findings),
        "errors": plot_errors(findings),
        "points": plot_sizes(findings),
        "generalization": plot_generalization(findings),
        "exercise": plot_exercise(findings),
        "test_set": plot_test_set(findings),
        "descent": plot_descent(findings),
        "bound": plot_bound(findings),
    }


def typical(error: np.ndarray) -> int:
    """The data set whose error (S,) is nearest to the median."""
    return int(np.abs(error - np.median(error)).argmin())


def draw_points(panel: Axes, points: Points, seed: int, label: str = "") -> None:
    size = 7 if points.x.shape[1] <= 100 else 2
    label = label or _("{count} points", count=points.x.shape[1])
    panel.plot(points.x[seed], points.y[seed], "o", color="black", markersize=size, label=label)


def finish_panels(figure: Figure, panels: Sequence[Axes], limit: float) -> None:
    """Limits, labels and one legend for the four panels of a figure."""
    for panel in panels:
        panel.set_ylim(-limit, limit)
    for panel in panels[2:]:
        panel.set_xlabel("x")
    for panel in panels[::2]:
        panel.set_ylabel("y")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


def limit_of(curves: Iterable[np.ndarray]) -> float:
    """How far an axis reaches so that the curves stay on it, up to 4."""
    return min(1.08 * max(1.5, *(float(np.abs(curve).max()) for curve in curves)), 4.0)


def plot_fits(findings: Findings) -> Figure:
    """Fits of a few orders to few points, one of which passes through all of them."""
    train, validation = (np.median(error, 0) for error in findings.errors_with(FEW))
    best = validation.argmin()
    lesson = _(
        "{points} points: order {best} has the least error on new points ({error:.2f});\nlower orders underfit",
        points=FEW,
        best=best,
        error=validation[best],
    )
    if best < ORDERS[-1]:
        lesson += _(", order 9 meets every point and overfits ({error:.2f})", error=validation[-1])
    figure, panels = plotting.slide(lesson, 2, 2, sharex=True, sharey=True)
    seed = typical(findings.errors_with(FEW)[1][:, -1])
    curves = values(findings.fits[FEW][seed], LINE)  # (M, B)
    for panel, order in zip(panels, SHOWN, strict=True):
        panel.plot(LINE, truth(LINE), color=plotting.GREEN, label=_("truth, sin 2πx"))
        panel.plot(LINE, curves[order], color=plotting.BLUE, label=_("polynomial of order M"))
        draw_points(panel, findings.even[FEW], seed)
        found = f"M = {order}"
        if validation[order] > validation[best]:
            found = _("M = {order} underfits", order=order) if order < best else _("M = {order} overfits", order=order)
        panel.set_title(
            _(
                "{found}: training {training:.2f}, validation {validation:.2f}",
                found=found,
                training=train[order],
                validation=validation[order],
            )
        )
    finish_panels(figure, panels, limit_of(curves[list(SHOWN)]))
    return figure


def plot_errors(findings: Findings) -> Figure:
    """Errors on training and validation points against the order, and of the largest order against their number."""
    train, validation = findings.errors_with(FEW)
    middle, sizes = np.median(validation, 0), np.median(findings.largest_order(1), 1)
    figure, panels = plotting.slide(
        _(
            "The training error falls with M; the validation error is least\n"
            "at M = {best} ({least:.2f}). At M = 9 it is {last:.2f}, and {many:.2f} with {points:,} points",
            best=middle.argmin(),
            least=middle.min(),
            last=middle[-1],
            many=sizes[-1],
            points=SIZES[-1],
        ),
        2,
        1,
        sharey=True,
    )
    for panel, x, first, second in (
        (panels[0], ORDERS, train.T, validation.T),
        (panels[1], SIZES, findings.largest_order(0), findings.largest_order(1)),
    ):
        plotting.quantile_band(panel, x, first, _("training"), plotting.BLUE, QUANTILES, marker="o")
        plotting.quantile_band(panel, x, second, _("validation"), plotting.ORANGE, QUANTILES, marker="s")
        panel.axhline(findings.few_noise, color="black", linestyle="--", linewidth=1.5, label=_("noise of the data"))
    panels[0].set(xlabel=_("order M"), xticks=list(ORDERS), title=_("N = {count} points", count=FEW))
    panels[0].set_ylabel(_("RMS error (median, 10 to 90 % of data sets)"))
    panels[0].set_ylim(0, 1.15 * float(np.quantile(validation, 0.9, 0).max()))
    panels[1].set(xscale="log", xlabel=_("number of points N"), title=_("order M = 9"))
    panels[1].set_xticks(SIZES, [numeral(size) for size in SIZES])
    panels[1].minorticks_off()
    panels[1].legend(loc="upper right")
    return figure


def plot_sizes(findings: Findings) -> Figure:
    """The largest order on more and more points: one fit, and the range of the fits to the other data sets."""
    error = np.median(findings.largest_order(1), 1)
    figure, panels = plotting.slide(
        _(
            "Big data reduce overfitting: the validation error of M = 9 falls\n"
            "from {first:.2f} with {few} points to {last:.2f} with {many:,}",
            first=error[0],
            few=FEW,
            last=error[-1],
            many=SIZES[-1],
        ),
        2,
        2,
        sharex=True,
        sharey=True,
    )
    drawn = []
    for panel, count, validation in zip(panels, SIZES, error, strict=True):
        fits = values(findings.fits[count][:, -1], LINE)  # (S, B)
        low, high = np.quantile(fits, [0.1, 0.9], 0)
        seed = typical(findings.errors_with(count)[1][:, -1])
        drawn.append(fits[seed])
        label = _("10 to 90 % of data sets")
        panel.fill_between(LINE, low, high, color=plotting.SKY, alpha=0.4, linewidth=0, label=label)
        draw_points(panel, findings.even[count], seed, _("one data set"))
        panel.plot(LINE, truth(LINE), color=plotting.GREEN, label=_("truth, sin 2πx"))
        panel.plot(LINE, drawn[-1], color=plotting.BLUE, label=_("its polynomial, M = 9"))
        panel.set_title(_("N = {count:,}: validation {error:.2f}", count=count, error=validation))
    finish_panels(figure, panels, limit_of(drawn))
    return figure


def plot_generalization(findings: Findings) -> Figure:
    """Lagrange's polynomials through all points, and fits outside the range of their data."""
    ends = ", ".join(f"{power_of_ten(findings.distance[order, -1])} (M = {order})" for order in SHOWN[1:])
    figure, panels = plotting.slide(
        _(
            "Difficulty 3, generalization: a polynomial can pass through all points and fail between them;\n"
            "outside the data, at x = {x:g}, it is wrong by {errors}",
            x=WIDE[-1],
            errors=ends,
        ),
        2,
        1,
    )
    colors = (plotting.PURPLE, plotting.SKY, plotting.ORANGE, "black")
    seed = typical(findings.errors_with(FEW)[1][:, -1])
    for count, color, marker in zip(findings.nodes, colors, "os^D", strict=False):
        x, y = findings.even[count].x[seed].numpy(), findings.even[count].y[seed].numpy()
        label = _("{count} points, order {order}", count=count, order=count - 1)
        panels[0].plot(LINE, lagrange(x, y, LINE), color=color, label=label, linewidth=2)
        panels[0].plot(x, y, marker, color=color, markersize=9)
    panels[0].set(xlabel="x", ylabel="y", title=_("Lagrange: order n - 1 passes through all n points"))
    for order, color in zip(SHOWN[1:], (plotting.PURPLE, plotting.BLUE, plotting.ORANGE), strict=True):
        panels[1].plot(WIDE, values(findings.fit[:, order], WIDE).T, color=color, linewidth=1.2, alpha=0.6)
        label = _("M = {order}, {count} data sets", order=order, count=len(findings.seeds))
        panels[1].plot([], [], color=color, label=label)
    panels[1].axvspan(0, 1, color=plotting.GRAY, alpha=0.15, linewidth=0)
    panels[1].set(xlabel=_("x (gray: range of the {count} points)", count=findings.points), ylim=(-4, 4))
    panels[1].set_title(_("outside the data the fits disagree"))
    for panel in panels:
        panel.plot(WIDE, truth(WIDE), color="black", linestyle="--", linewidth=1.5, label=_("truth, sin 2πx"))
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    panels[0].set_xlim(-0.05, 1.05)
    return figure


def plot_exercise(findings: Findings) -> Figure:
    """The exercise's points with the polynomials of its orders, by least squares and by gradient descent."""
    train, test = (np.median(rms(findings.descent, part), 0) for part in (findings.train, findings.test))
    ends = ", ".join(f"{test[order]:.2f} (M = {order})" for order in EXERCISE)
    lesson = _(
        "With {count} points no order follows the sine;\ndescent has test errors of {errors}",
        count=findings.points,
        errors=ends,
    )
    if test[3] < test[1] / 2:
        lesson = _(
            "Difficulty 1, expressivity: orders 1 and 2 cannot follow a sine, orders 3 and 8 can;\n"
            "gradient descent has test errors of {errors}",
            errors=ends,
        )
    figure, panels = plotting.slide(lesson, 2, 2, sharex=True, sharey=True)
    seed, curves = typical(rms(findings.descent, findings.test)[:, 3]), []
    for panel, order in zip(panels, EXERCISE, strict=True):
        curves += [values(weight[seed, order], LINE) for weight in (findings.fit, findings.descent)]
        panel.plot(LINE, truth(LINE), color=plotting.SKY, label=_("truth, sin 2πx"))
        panel.plot(LINE, curves[-2], color=plotting.BLUE, label=_("least squares"))
        panel.plot(LINE, curves[-1], color=plotting.ORANGE, linestyle="--", label=_("gradient descent"))
        draw_points(panel, findings.train, seed)
        title = _(
            "M = {order}: descent has training {training:.2f}, test {test:.2f}",
            order=order,
            training=train[order],
            test=test[order],
        )
        if findings.exact[order]:
            title = _("M = {order}: least squares meets all {count} points", order=order, count=findings.points)
        panel.set_title(title)
        if findings.diverged[seed, 1, order]:
            note = _(
                "descent at {margin:g} · 2/K = {rate:.3f}: it diverges at {good:g}",
                margin=MARGINS[0],
                rate=MARGINS[0] * findings.bound[seed, order],
                good=findings.rates[1],
            )
            panel.text(0.02, 0.04, note, transform=panel.transAxes, fontsize=13)
    finish_panels(figure, panels, limit_of(curves))
    return figure


def plot_test_set(findings: Findings) -> Figure:
    """Training and test errors of the exercise's polynomials against their order."""
    test = np.median(rms(findings.descent, findings.test), 0)
    figure, [panel] = plotting.slide(
        _(
            "A test set of {points:,} points chooses the order: gradient descent has {first:.2f} with M = 1,\n"
            "and {least:.2f} at best, with M = {best} (noise {noise:g})",
            points=NEW_POINTS,
            first=test[1],
            least=test.min(),
            best=test.argmin(),
            noise=findings.noise,
        ),
        1,
        1,
    )
    for name, weight, color in (
        (_("least squares"), findings.fit, plotting.BLUE),
        (_("gradient descent"), findings.descent, plotting.ORANGE),
    ):
        for part, points, style in ((_("training"), findings.train, "--"), (_("test"), findings.test, "-")):
            error = np.median(rms(weight, points), 0)
            panel.plot(ORDERS, error, style, color=color, marker="o", label=f"{name}, {part}")
    panel.axhline(findings.noise, color="black", linestyle=":", linewidth=1.5, label=_("noise of the data"))
    panel.set(xlabel=_("order M"), xticks=list(ORDERS), ylabel=_("RMS error (median of the data sets)"))
    panel.set_title(_("N = {count} training points", count=findings.points))
    panel.set_ylim(0, min(1.05 * panel.get_ylim()[1], 2.0))
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def descent_curves(findings: Findings, panel: Axes, order: int, shown: Sequence[int], names: Sequence[str]) -> None:
    """Training errors of all data sets at some of the rates; a curve ends where its replica diverged."""
    colors = plotting.PURPLE, plotting.BLUE, plotting.ORANGE, plotting.BLUE, plotting.ORANGE
    history = np.where(findings.history >= DIVERGED, np.nan, findings.history)
    for rate in shown:
        curves = history[1:, :, rate, order]
        panel.plot(findings.iterations[1:], curves, color=colors[rate], alpha=0.5, linewidth=1.5)
        panel.plot([], [], color=colors[rate], label=names[rate])
    least = float(findings.least[:, order].median())
    if not findings.exact[order]:
        panel.axhline(least, color="black", linestyle="--", linewidth=1.5, label=_("least squares"))
    panel.set(xscale="log", yscale="log", ylim=(3e-3, 1e3), xlim=(1, findings.iterations[-1]))


def plot_descent(findings: Findings) -> Figure:
    """Training error against the iteration, for the exercise's orders and learning rates."""
    small, good, large = findings.rates
    slow = float(np.median(findings.ratio[-1, :, 0, 3]))
    known = {"small": small, "large": large, "share": findings.diverged[:, 2].mean()}
    lesson = _(
        "Difficulty 2, training: at rate {small:g} descent is slow,\n"
        "at rate {large:g}, {share:.0%} of all runs diverge",
        **known,
    )
    if np.isfinite(slow):
        lesson = _(
            "Difficulty 2, training: at rate {small:g} descent is slow ({slow:.0f} times the least error at M = 3),\n"
            "at rate {large:g}, {share:.0%} of all runs diverge",
            slow=slow,
            **known,
        )
    figure, panels = plotting.slide(lesson, 2, 2, sharex=True, sharey=True)
    for panel, order in zip(panels, EXERCISE, strict=True):
        names = [_("rate {rate:g}", rate=rate) for rate in findings.rates]
        descent_curves(findings, panel, order, (0, 1, 2), names)
        bound, diverged = np.median(findings.bound[:, order]), int(findings.diverged[:, 1, order].sum())
        title = _("M = {order}: 2/K = {bound:.2f}", order=order, bound=bound)
        if diverged:
            count = len(findings.seeds)
            title += _(", {rate:g} diverges for {diverged} of {count}", rate=good, diverged=diverged, count=count)
        panel.set_title(title)
    for panel in panels[2:]:
        panel.set_xlabel(_("iteration"))
    for panel in panels[::2]:
        panel.set_ylabel(_("training error L"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def plot_bound(findings: Findings) -> Figure:
    """Descent just below and just above the bound, and the bound of every order beside the three rates."""
    below, above = findings.converged_below.mean(), findings.diverged[:, 4].mean()
    bound = np.median(findings.bound[:, 3])
    figure, panels = plotting.slide(
        _(
            "Descent converges below 2/K, where K is the largest curvature of L:\n"
            "{below:.0%} of all runs converge at 0.99 · 2/K, {above:.0%} diverge at 1.01 · 2/K",
            below=below,
            above=above,
        ),
        2,
        1,
    )
    names = [_("rate {margin:g} · 2/K = {rate:.3f}", margin=margin, rate=margin * bound) for margin in MARGINS]
    descent_curves(findings, panels[0], 3, (3, 4), [""] * 3 + names)
    panels[0].set(xlabel=_("iteration"), ylabel=_("training error L"))
    panels[0].set_title(_("M = 3: K = {curvature:.2f}, 2/K = {bound:.2f}", curvature=2 / bound, bound=bound))
    plotting.quantile_band(panels[1], ORDERS, findings.bound.T, _("2/K, range of data sets"), "black", marker="o")
    for rate, color in zip(findings.rates, (plotting.PURPLE, plotting.BLUE, plotting.ORANGE), strict=True):
        panels[1].axhline(rate, color=color, linestyle="--", label=_("rate {rate:g}", rate=rate))
    panels[1].set(xlabel=_("order M"), xticks=list(ORDERS), yscale="log", ylabel=_("learning rate"))
    panels[1].set_title(_("rates below the black line converge"))
    for panel in panels:
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure


PAGE = Page(
    question=_("Which order M should a polynomial have, and which learning rate finds its weights?"),
    formula=(
        r"$\hat{t} = h(x, \theta) = \theta_0 + \theta_1 x + \theta_2 x^2 + \ldots + \theta_M x^M$",
        r"$L(\theta) = \frac{1}{N} \sum_{i=1}^{N} (t_i - \hat{t}_i)^2, \qquad \min_\theta L(\theta)$",
        r"$\theta^{k+1} = \theta^k - \eta \nabla_\theta L(\theta^k), \qquad 0 < \eta < 2 / K$",
        _(r"$K$ is the largest eigenvalue of the Hessian of $L$, its largest curvature"),
    ),
    captions={
        "fits": _(
            "Orders 0 and 1 are too simple: they miss the points and the truth (underfitting). Order 9 passes "
            "through every point and swings between them: no training error, a large validation error (overfitting)."
        ),
        "errors": _(
            "The training error falls with every order, so it cannot choose one. The validation error rises "
            "again: that is overfitting, and more points remove it."
        ),
        "points": _(
            "The polynomial has order 9 in all four panels, and only the number of points changes. With more "
            "points the fits to different data sets agree with each other and with the truth."
        ),
        "generalization": _(
            "Left: through n points passes exactly one polynomial of order n - 1; it says little about "
            "what lies between them. Right: outside the gray range there are no data, and the fits go apart."
        ),
        "exercise": _(
            "The exercise's points with the orders 1, 2, 3 and 8. Orders 1 and 2 cannot follow the sine, "
            "however long they train; for order 3, gradient descent ends where least squares does."
        ),
        "test_set": _(
            "The training error falls with the order, the test error does not. Gradient descent that has not "
            "yet reached least squares can be better on new points: fewer steps mean less overfitting."
        ),
        "descent": _(
            "Each thin line is one data set. The small rate needs many more steps for order 3 and 8, and at the "
            "large rate every curve leaves the figure at the top."
        ),
        "bound": _(
            "Two rates that differ by 2 %: just below 2/K descent converges, just above it diverges. On the "
            "right, a rate below the black line converges at that order."
        ),
    },
    what_if=(
        (
            "balancier polynomial --points 4",
            _("order 3 passes exactly through 4 points (Lagrange), and order 8 does, too"),
        ),
        ("balancier polynomial --few-noise 0.1", _("with less noise, order 9 overfits less, but still does")),
        ("balancier polynomial --learning-rates 0.01 0.5 0.7", _("0.7 is below 2/K for some orders only")),
    ),
)

LESSON = Lesson(
    flags=Polynomial,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier polynomial --points 4: order 3 passes exactly through 4 points (Lagrange)"),
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("polynomial", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
