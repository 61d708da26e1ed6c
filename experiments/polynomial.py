"""Polynomials (3.1, 3.2): least squares, gradient descent and its largest rate, under- and overfitting, extrapolation.

A seed is a data set: its own points and its own noise. All orders and all learning rates of all data sets are replicas
of one gradient descent, and each also has rates just below and just above the bound of its own Hessian.

S seed, N points, R learning rates, M orders (0 to 9), W weights of a polynomial (lowest power first), T records.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from envs.sources import curve
from experiments.common import plotting
from experiments.common.command import run_command
from experiments.common.flags import Flags, UsageError
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Run, console
from models.streams import stream

ORDERS = range(10)
SHOWN = (0, 1, 3, 9)  # orders whose fits are drawn
MARGINS = (0.99, 1.01)  # of the bound 2/K: just below and just above
SIZES = (15, 30, 100, 1000)  # numbers of points that the largest order is fitted to
FEW = 10  # points: as many as the largest order has weights
TEST_POINTS = 1_000
DIVERGED = 1e6  # training error at which a replica counts as lost and stands still
TRAIN, TEST, NODES = 310, 311, 312  # random streams
LINE = np.linspace(0, 1, 400)
WIDE = np.linspace(-0.5, 1.5, 801)


@dataclass(frozen=True)
class Polynomial(Flags):
    """Polynomials: least squares, gradient descent and its largest rate, under- and overfitting, extrapolation."""

    points: int = 30
    """Training points N."""
    noise: float = 0.1
    """Standard deviation of the noise on y = sin(2 pi x)."""
    iterations: int = 100_000
    """Steps of gradient descent."""
    learning_rates: tuple[float, float, float] = (0.01, 0.5, 2.0)
    """A small, a good and a too large one; the second is compared with least squares."""


@dataclass(frozen=True)
class Points:
    """Data sets of one size: x and y are (S, N)."""

    x: Tensor
    y: Tensor

    @property
    def powers(self) -> Tensor:
        return powers(self.x)


def truth(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * x)


def draw(seeds: Sequence[int], role: int, count: int, noise: float) -> Points:
    """`count` points of each seed from the course's curve."""
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
    """The best polynomial of each order, (S, M, W)."""
    weight = torch.zeros(len(points.x), len(ORDERS), len(ORDERS), dtype=points.x.dtype)
    for order in ORDERS:
        columns = points.powers[..., : order + 1]
        weight[:, order, : order + 1] = torch.linalg.lstsq(columns, points.y[..., None], driver="gelsd").solution[
            ..., 0
        ]
    return weight


def curvatures(points: Points) -> Tensor:
    """Smallest and largest eigenvalue of the Hessian 2 X'X / N of the mean squared error, (S, M, 2).

    They are squares of the singular values of X, where rounding cannot turn the smallest negative.
    """
    singular = [torch.linalg.svdvals(points.powers[..., : order + 1])[:, [-1, 0]] for order in ORDERS]
    return 2 / points.x.shape[1] * torch.stack(singular, 1).square()


def marks(iterations: int, per_decade: int = 40) -> list[int]:
    """Steps at which errors are recorded: 0, 1, 2, ... ever farther apart, and the last."""
    count = math.ceil(per_decade * math.log10(iterations)) + 1
    return [0, *sorted({round(step) for step in np.geomspace(1, iterations, count)})]


def joint_step(
    points: Points, rates: Tensor, steps: Sequence[int], callback: Callable[[int], None] = lambda count: None
) -> tuple[Tensor, Tensor]:
    """Gradient descent on the mean squared error from zero weights, every order at every rate (S, R, M).

    Returns the weights (S, R, M, W) and the training errors (T, S, R, M) after each of the `steps`. It is what
    `models.Polynomial` and `models.SGD` do, with the powers of x computed once.
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
                going = (loss < DIVERGED).to(loss.dtype)  # a lost replica stands still, before its numbers overflow
                weight.addcmul_(gradient.mul_(going[..., None]), step)
        history.append(errors(weight.detach(), points))
        callback(end - start)
    shape = rates.shape
    return weight.detach().unflatten(1, shape[1:]), torch.stack(history).unflatten(2, shape[1:])


def lagrange(nodes: np.ndarray, values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Lagrange's polynomial of order n - 1 through n points (n,), at x (B,).

    The sum of values_i times the product over j != i of (x - nodes_j) / (nodes_i - nodes_j).
    """
    own = np.eye(len(nodes), dtype=bool)
    factors = np.where(own, 1.0, x[:, None, None] - nodes) / np.where(own, 1.0, nodes[:, None] - nodes)  # (B, n, n)
    return factors.prod(-1) @ values


def rms(weight: Tensor, points: Points) -> np.ndarray:
    """Root mean squared errors of polynomials (S, ..., W), (S, ...)."""
    return errors(weight, points).sqrt().numpy()


def values(weight: Tensor, x: np.ndarray) -> np.ndarray:
    """Polynomials (..., W) at x (B,), (..., B)."""
    return (weight @ powers(torch.tensor(x)).mT).numpy()


def check(flags: Polynomial) -> None:
    if flags.points < FEW:
        raise UsageError(f"--points: found {flags.points}, expected at least {FEW}, the weights of order {ORDERS[-1]}")
    if flags.iterations < 100:
        raise UsageError(f"--iterations: found {flags.iterations}, expected at least 100")
    if not 0 <= flags.noise < math.inf:
        raise UsageError(f"--noise: found {flags.noise}, expected a number that is not negative")
    if not all(0 < rate < math.inf for rate in flags.learning_rates):
        raise UsageError(f"--learning-rates: found {flags.learning_rates}, expected three numbers above 0")


@dataclass(frozen=True)
class Findings:
    """What gradient descent did, beside least squares."""

    points: Points
    test: Points
    rates: tuple[float, float, float]
    steps: list[int]  # of the records, (T,)
    exact: Tensor  # (S, M, W), least squares
    weight: Tensor  # (S, R, M, W), gradient descent; the rates are the three and those beside the bound
    history: Tensor  # (T, S, R, M), its training error
    curvature: Tensor  # (S, M, 2)

    @property
    def least(self) -> Tensor:
        """Training error of least squares, (S, M)."""
        return errors(self.exact, self.points)

    @property
    def diverged(self) -> np.ndarray:
        """(S, R, M), whether the error passed all bounds."""
        return (self.history[-1] >= DIVERGED).numpy()

    @property
    def descent(self) -> Tensor:
        """Weights at the second rate, or just below the bound where that diverged, (S, M, W)."""
        lost = torch.as_tensor(self.diverged[:, 1])[..., None]
        return torch.where(lost, self.weight[:, 3], self.weight[:, 1])

    @property
    def over(self) -> np.ndarray:
        """Training error over that of least squares, (T, S, R, M)."""
        return (self.history / self.least[:, None]).numpy()

    @property
    def condition(self) -> np.ndarray:
        """Condition number of the Hessian, (S, M)."""
        return (self.curvature[..., 1] / self.curvature[..., 0]).numpy()


def polynomial(flags: Polynomial) -> None:
    check(flags)
    iterations = min(flags.iterations, 60_000) if flags.quick else flags.iterations
    run = Run("polynomial", flags)
    cost = iterations * (60e-6 + 8e-6 * flags.seeds) + 4
    console.print(f"polynomial: {flags.seeds} data sets, about {duration(cost)}", highlight=False)
    seeds = flags.all_seeds
    sets = {count: draw(seeds, TRAIN, count, flags.noise) for count in sorted({flags.points, FEW, *SIZES})}
    points, test = sets[flags.points], draw(seeds, TEST, TEST_POINTS, flags.noise)
    curvature = curvatures(points)
    bound = 2 / curvature[..., 1]  # (S, M)
    chosen = torch.tensor(flags.learning_rates, dtype=bound.dtype)[:, None].expand(len(seeds), -1, len(ORDERS))
    rates = torch.cat([chosen, bound[:, None] * torch.tensor(MARGINS, dtype=bound.dtype)[:, None]], 1)  # (S, R, M)
    steps = marks(iterations)
    with ProgressBar(iterations, f"gradient descent, {rates.numel()} replicas") as progress:
        weight, history = joint_step(points, rates, steps, progress.advance)
    exact = {count: least_squares(part) for count, part in sets.items()}
    found = Findings(points, test, flags.learning_rates, steps, exact[flags.points], weight, history, curvature)

    names = [*(f"rate={rate:g}" for rate in flags.learning_rates), *(f"rate={margin}*2/K" for margin in MARGINS)]
    for rate, name in enumerate(names):
        for step, error in zip(steps, history[:, :, rate, 3], strict=True):
            run.log(step, f"train_mse M=3 {name}", error.tolist(), seeds)
    for order in ORDERS:
        run.log(0, f"least_squares_train_mse M={order}", found.least[:, order].tolist(), seeds)

    few_train, few_test = rms(exact[FEW], sets[FEW]), rms(exact[FEW], test)
    by_size = {count: (rms(exact[count], sets[count])[:, -1], rms(exact[count], test)[:, -1]) for count in SIZES}
    nodes = {count: noisy_nodes(flags, count) for count in (4, 7, 10)}
    off = np.sqrt(np.square(values(found.exact, WIDE) - truth(WIDE)).mean(0))  # (M, B), over the seeds

    run.figure(draw_fits(points, test, found.exact, found), "fits")
    run.figure(draw_fits(sets[FEW], test, exact[FEW]), f"fits_{FEW}_points")
    run.figure(draw_rates(found, iterations), "learning_rates")
    run.figure(draw_errors(found, few_train, few_test, by_size, flags.noise), "errors")
    run.figure(draw_sizes(sets, exact, by_size), "points")
    run.figure(draw_outside(found, nodes, off), "outside")
    over = found.over[-1, :, 1, 3]
    result: dict[str, Any] = {
        "gd_over_ls": rounded(np.median(over)),
        "gd_over_ls_by_seed": [rounded(value) for value in over],
        "gd_iterations_to_1_percent": [reached(found, seed) for seed in range(len(seeds))],
        "condition_number": rounded(np.median(found.condition[:, 3])),
        "rate_bound": rounded(np.median(bound[:, 3])),
        "converged_below_bound": rounded((~found.diverged[:, 3] & descended(found, 3)).mean()),
        "diverged_above_bound": rounded(found.diverged[:, 4].mean()),
        "diverged_by_rate": {
            f"{rate:g}": rounded(share)
            for rate, share in zip(flags.learning_rates, found.diverged[:, :3].mean((0, 2)), strict=True)
        },
        "train_rms_by_order": by_order(rms(found.exact, points)),
        "test_rms_by_order": by_order(rms(found.exact, test)),
        "gd_test_rms_by_order": by_order(rms(found.descent, test)),
        "few_points": {
            "points": FEW,
            "train_mse_by_order": by_order(few_train**2),
            "train_rms_by_order": by_order(few_train),
            "test_rms_by_order": by_order(few_test),
        },
        "test_rms_by_points": {str(count): rounded(np.median(error)) for count, (_, error) in by_size.items()},
        "lagrange_miss": {str(count): float(np.abs(lagrange(x, y, x) - y).max()) for count, (x, y) in nodes.items()},
        "extrapolation_rms": {str(order): rounded(off[order, -1]) for order in SHOWN[1:]},
    }
    run.finish(result)
    run.close(summary(found, bound.numpy()), "balancier polynomial --points 10, and see which orders overfit")


def rounded(value: Any) -> float:
    """Six significant digits."""
    return float(f"{float(value):.6g}")


def hundreds(value: float) -> str:
    """A large number for a title, to the nearest hundred."""
    return f"{round(float(value), -2):,.0f}"


def power_of_ten(value: float) -> str:
    """A number for a title: 0.24, 1.95, 18.5, and powers of ten beyond."""
    if 0.01 <= abs(value) < 1000 or value == 0:
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa}\cdot 10^{{{int(exponent)}}}$"


def by_order(values: np.ndarray) -> dict[str, float]:
    """Medians over the seeds of (S, M)."""
    return {str(order): rounded(value) for order, value in enumerate(np.median(values, 0))}


def descended(found: Findings, rate: int) -> np.ndarray:
    """(S, M), whether the training error ended below where it began."""
    return (found.history[-1, :, rate] < found.history[0, :, rate]).numpy()


def reached(found: Findings, seed: int) -> int | None:
    """The first recorded step at which order 3, at the second rate, is within 1 % of least squares."""
    near = np.flatnonzero(found.over[:, seed, 1, 3] <= 1.01)
    return found.steps[near[0]] if len(near) else None


def noisy_nodes(flags: Polynomial, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Equidistant points on the first seed's noisy curve."""
    x = np.linspace(0, 1, count)
    return x, truth(x) + flags.noise * stream(flags.seed, NODES, count).standard_normal(count)


def summary(found: Findings, bound: np.ndarray) -> Table:
    small, good, large = (f"{rate:g}" for rate in found.rates)
    columns = ("M", "condition", "2/K", f"GD/LS at {small}", f"GD/LS at {good}", f"diverged at {large}")
    table = Table(*columns, "LS train RMS", "LS test RMS", "GD test RMS", title="Medians over the data sets")
    train, test = (rms(found.exact, part) for part in (found.points, found.test))
    descent = rms(found.descent, found.test)
    for order in ORDERS:
        over = np.median(found.over[-1, :, :2, order], 0)
        cells = [f"{np.median(found.condition[:, order]):.2g}", f"{np.median(bound[:, order]):.3f}"]
        cells += [f"{ratio:.3g}" for ratio in over] + [f"{found.diverged[:, 2, order].mean():.0%}"]
        cells += [f"{np.median(part[:, order]):.3f}" for part in (train, test, descent)]
        table.add_row(str(order), *cells)
    return table


def draw_fits(points: Points, test: Points, exact: Tensor, found: Findings | None = None) -> Any:
    """Fits of a few orders to the first data set, by least squares and, where it was run, by gradient descent."""
    figure, panels = plotting.new(2, 2, height=4.6, sharex=True, sharey=True)
    x, y = points.x[0].numpy(), points.y[0].numpy()
    train, fresh = rms(exact, points)[0], rms(exact, test)[0]
    for panel, order in zip(panels, SHOWN, strict=True):
        panel.plot(LINE, truth(LINE), color=plotting.GREEN, label="sin 2πx")
        panel.plot(LINE, values(exact[0, order], LINE), color=plotting.BLUE, label="least squares")
        if found is not None:
            descent = values(found.descent[0, order], LINE)
            panel.plot(LINE, descent, color=plotting.ORANGE, linestyle="--", label="gradient descent")
            if found.diverged[0, 1, order]:
                rate = MARGINS[0] * 2 / found.curvature[0, order, 1]
                note = f"descent at {MARGINS[0]:g} · 2/K = {rate:.3f}:\nit diverges at {found.rates[1]:g}"
                panel.text(0.02, 0.04, note, transform=panel.transAxes, fontsize=13)
        panel.plot(x, y, "o", color="black", markersize=5, label=f"{len(x)} points")
        error, new = power_of_ten(train[order]), power_of_ten(fresh[order])
        panel.set_title(f"M = {order}: RMS {error}, on new points {new}")
        panel.set_ylim(-1.7, 1.7)
    for panel in panels[2:]:
        panel.set_xlabel("x")
    for panel in panels[::2]:
        panel.set_ylabel("y")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def draw_rates(found: Findings, iterations: int) -> Any:
    """Learning curves of order 3 at the three rates and beside the bound; what is left of the way for each order."""
    figure, panels = plotting.new(3, width=6.8, height=5.8)
    bound, (_, good, large) = float((2 / found.curvature[:, 3, 1]).median()), found.rates
    over = np.where(found.history >= DIVERGED, np.nan, found.over)  # a lost replica's line ends
    colors = (plotting.BLUE, plotting.GREEN, plotting.ORANGE, plotting.BLUE, plotting.ORANGE)
    labels = [f"rate {rate:g}" for rate in found.rates] + [f"{margin:g} · 2/K" for margin in MARGINS]
    for panel, shown in zip(panels, ((0, 1, 2), (3, 4)), strict=False):
        for rate in shown:
            panel.plot(found.steps[1:], over[1:, :, rate, 3], color=colors[rate], alpha=0.5, linewidth=1.5)
            panel.plot([], [], color=colors[rate], label=labels[rate])
        panel.axhline(1, color="black", linestyle="--", linewidth=1.5, label="least squares")
        panel.set(xscale="log", yscale="log", ylim=(0.7, 1e5), xlabel="iteration")
        panel.legend(loc="upper right")
    panels[0].set_ylabel("training error over least squares")
    times = [step for step in (reached(found, seed) for seed in range(len(found.least))) if step is not None]
    arrival = (
        f"1 % reached after {hundreds(np.median(times))} (worst {hundreds(max(times))})" if times else "1 % not reached"
    )
    condition = hundreds(np.median(found.condition[:, 3]))
    panels[0].set_title(f"M = 3, condition {condition}. At rate {good:g},\n{arrival}")
    below, above = (~found.diverged[:, 3] & descended(found, 3)).mean(), found.diverged[:, 4].mean()
    panels[1].set_title(
        f"M = 3, bound 2/K = {bound:.2f}. Of all orders,\n{below:.0%} converge below, {above:.0%} diverge above"
    )
    for rate, color in ((0, plotting.BLUE), (1, plotting.GREEN)):
        last = over[-1, :, rate]  # (S, M)
        if np.isfinite(last).any(0).all():
            low, middle, high = np.nanquantile(last, [0.1, 0.5, 0.9], 0)
            plotting.band(panels[2], list(ORDERS), low, middle, high, labels[rate], color, marker="o")
    panels[2].axhline(1, color="black", linestyle="--", linewidth=1.5, label="least squares")
    panels[2].set(xlabel="order M", xticks=list(ORDERS), yscale="log", ylabel="training error over least squares")
    lost = found.diverged[:, 2].mean()
    panels[2].set_title(f"all orders after {iterations:,} iterations\n(at rate {large:g}, {lost:.0%} diverged)")
    panels[2].legend(loc="upper left")
    return figure


def draw_errors(
    found: Findings,
    few_train: np.ndarray,
    few_test: np.ndarray,
    by_size: dict[int, tuple[np.ndarray, np.ndarray]],
    noise: float,
) -> Any:
    """Errors on training and on new points against the order, for many and for few points, and against their number."""
    figure, panels = plotting.new(3, width=6.8, height=5.6)
    count = found.points.x.shape[1]
    train, test = (rms(found.exact, part) for part in (found.points, found.test))
    descent = rms(found.descent, found.test)
    shown = [
        (panels[0], ORDERS, train, "training", plotting.BLUE),
        (panels[0], ORDERS, test, "new points", plotting.ORANGE),
        (panels[0], ORDERS, descent, "new points, by descent", plotting.GREEN),
        (panels[1], ORDERS, few_train, "training", plotting.BLUE),
        (panels[1], ORDERS, few_test, "new points", plotting.ORANGE),
        (panels[2], list(by_size), np.stack([part[0] for part in by_size.values()], 1), "training", plotting.BLUE),
        (panels[2], list(by_size), np.stack([part[1] for part in by_size.values()], 1), "new points", plotting.ORANGE),
    ]
    for panel, x, error, label, color in shown:
        low, middle, high = np.quantile(error, [0.1, 0.5, 0.9], 0)
        plotting.band(panel, x, low, middle, high, label, color, marker="o")
    for panel in panels:
        if noise > 0:
            panel.axhline(noise, color="black", linestyle="--", linewidth=1.5, label="noise")
        panel.set(yscale="log", xlabel="order M", xticks=list(ORDERS))
        panel.legend()
    panels[0].set_ylabel("RMS error (median, 10 to 90 %)")
    panels[0].set_ylim(top=panels[0].get_ylim()[1] * 3)  # room for the legend
    median = np.median(test, 0)
    best = f"{median.min():.2f} (M = {median.argmin()})"
    panels[0].set_title(f"N = {count}: on new points\n{best} becomes {median[-1]:.2f} (M = 9)")
    fitted, fresh = np.median(few_train, 0), np.median(few_test, 0)
    best = f"{fresh.min():.2f} (M = {fresh.argmin()})"
    panels[1].set_title(
        f"N = {FEW}: {best} becomes {power_of_ten(fresh[-1])},\nthe training error {power_of_ten(fitted[-1])}"
    )
    panels[2].set_xscale("log")
    panels[2].set_xticks(list(by_size), [str(size) for size in by_size])
    panels[2].minorticks_off()
    first, last = (np.median(by_size[size][1]) for size in (SIZES[0], SIZES[-1]))
    panels[2].set(xlabel="points N")
    panels[2].set_title(f"M = 9, new points: {first:.2f} with {SIZES[0]},\n{last:.2f} with {SIZES[-1]} training points")
    return figure


def draw_sizes(
    sets: dict[int, Points], exact: dict[int, Tensor], by_size: dict[int, tuple[np.ndarray, np.ndarray]]
) -> Any:
    """The largest order on ever more points: one fit, and where those of the other data sets lie."""
    figure, panels = plotting.new(2, 2, height=4.6, sharex=True, sharey=True)
    for panel, count in zip(panels, SIZES, strict=True):
        fits = values(exact[count][:, -1], LINE)  # (S, B)
        low, high = np.quantile(fits, [0.1, 0.9], 0)
        panel.fill_between(LINE, low, high, color=plotting.SKY, alpha=0.4, linewidth=0, label="data sets, 10 to 90 %")
        x, y = sets[count].x[0], sets[count].y[0]
        panel.plot(x, y, ".", color="black", markersize=8 if count <= 100 else 3, label="one data set")
        panel.plot(LINE, truth(LINE), color=plotting.GREEN, label="sin 2πx")
        panel.plot(LINE, fits[0], color=plotting.BLUE, label="its fit")
        panel.set_title(f"M = 9, N = {count}: RMS on new points {np.median(by_size[count][1]):.3g}")
        panel.set_ylim(-1.7, 1.7)
    for panel in panels[2:]:
        panel.set_xlabel("x")
    for panel in panels[::2]:
        panel.set_ylabel("y")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def draw_outside(found: Findings, nodes: dict[int, tuple[np.ndarray, np.ndarray]], off: np.ndarray) -> Any:
    """Lagrange's polynomials through all points, and fits outside the range of their data."""
    figure, panels = plotting.new(3, width=6.8, height=5.6)
    colors = dict(zip(SHOWN, (plotting.GRAY, plotting.PURPLE, plotting.BLUE, plotting.ORANGE), strict=True))
    for (count, (x, y)), color in zip(nodes.items(), (plotting.PURPLE, plotting.BLUE, plotting.ORANGE), strict=True):
        panels[0].plot(LINE, lagrange(x, y, LINE), color=color, label=f"{count} points, order {count - 1}")
        panels[0].plot(x, y, "o", color=color, markersize=8)
    swing = np.abs(lagrange(x, y, LINE) - truth(LINE)).max()  # of the last, the highest order
    panels[0].set_title(
        f"Lagrange: order n-1 passes through n points;\norder {len(x) - 1} strays by {swing:.1f} between them"
    )
    for order in SHOWN[1:]:
        panels[1].plot(WIDE, values(found.exact[:, order], WIDE).T, color=colors[order], linewidth=1.2, alpha=0.6)
        panels[1].plot([], [], color=colors[order], label=f"M = {order}")
        panels[2].plot(WIDE, off[order], color=colors[order], label=f"M = {order}")
    panels[1].set_ylim(-4, 4)
    panels[1].set_title(
        f"fits to {found.points.x.shape[1]} points, {len(found.exact)} data sets:\nno data, no agreement"
    )
    panels[2].set(yscale="log", ylabel="RMS distance from sin 2πx")
    ends = ", ".join(f"{power_of_ten(off[order, -1])} (M = {order})" for order in SHOWN[1:])
    panels[2].set_title(f"distance at x = {WIDE[-1]:g}:\n{ends}")
    for panel in panels[:2]:
        panel.plot(WIDE, truth(WIDE), color="black", linestyle="--", linewidth=1.5, label="sin 2πx")
        panel.set(xlabel="x", ylabel="y")
    panels[0].set_xlim(-0.05, 1.05)
    for panel in panels[1:]:
        panel.axvspan(0, 1, color=plotting.GRAY, alpha=0.15, linewidth=0)
        panel.set(xlabel="x (data in the gray part)", xticks=np.linspace(-0.5, 1.5, 5))
    for panel in panels:
        panel.legend()
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("polynomial", Polynomial, polynomial, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
