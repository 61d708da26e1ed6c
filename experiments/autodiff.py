"""Automatic differentiation (3.2): the two gradients of the course, three ways to compute a gradient, and gradient
descent that ends in local minima. The figures show the error of finite differences against their step size, the time of
one gradient against the number of parameters, and the paths of gradient descent from many starts.

The gradient is that of a cost: the mean squared error of a small network, y = v . tanh(w x + b). Its H hidden units
have P = 3 H parameters. The three ways are finite differences, automatic differentiation by torch (autograd), and the
chain rule by hand.

A seed decides one set of points and parameters.

S seed, N points, H hidden units, P parameters, E step sizes, K starts, T iterations.
"""

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from envs.sources import curve
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models.streams import normal, stream

POINTS = 30
SIZES = (3, 12, 30, 120, 300, 1_200, 3_000)  # parameters whose gradient is timed
KINDS = "forward", "central"  # finite differences
EPSILONS = np.logspace(-15, 0, 61)
TRAIN, WEIGHTS = 320, 321  # random streams
RANGE = (-4.0, 4.0)  # of the starts on the non-convex curve
LINE = np.linspace(1.25 * RANGE[0], 1.25 * RANGE[1], 4_001)  # x where the curve is drawn and its minima are found


@dataclass(frozen=True)
class Autodiff(Flags):
    """Automatic differentiation: three ways to a gradient, and descent into local minima."""

    hidden: Annotated[int, at_least(1)] = 10
    """Hidden units of the network whose gradient is checked; it has three parameters for each."""
    starts: Annotated[int, at_least(1)] = 17
    """Starts of gradient descent on the non-convex curve, equidistant from -4 to 4."""
    learning_rate: Annotated[float, above(0)] = 0.02
    """Learning rate of that gradient descent."""
    iterations: Annotated[int, at_least(1)] = 100
    """Steps of that gradient descent."""


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    parameters: int  # of the network whose gradient is checked
    learning_rate: float
    square_gradient: float
    product_gradient: list[float]
    difference_errors: dict[str, np.ndarray]  # kind and precision -> relative error (E, S)
    autograd_error: np.ndarray  # (S,)
    seconds: dict[str, dict[int, float]]  # way to the gradient -> parameters -> time; with "cost", of the cost
    path: np.ndarray  # (T + 1, K), x of gradient descent from every start

    @property
    def minimum_reached(self) -> np.ndarray:
        """Index of the minimum that each start reached, (K,), or -1."""
        return nearest_minimum(self.path[-1])


# The two examples of the course


def square_gradient() -> float:
    """Gradient of x^2 at 3.1."""
    x = torch.tensor(3.1, requires_grad=True)
    y = x**2
    y.backward()
    assert x.grad is not None
    return x.grad.item()


def product_gradient() -> list[float]:
    """Gradient of the scalar product a . x with respect to x; it is a."""
    a = torch.tensor([5.5, 7.7])
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = a @ x
    y.backward()
    assert x.grad is not None
    return x.grad.tolist()


# One cost, and three ways to its gradient


def cost(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of v . tanh(w x + b) with parameters (w, b, v), (S, P), on points (S, N); (S,)."""
    w, b, v = parameters.unflatten(-1, (3, 1, -1)).unbind(-3)  # (S, 1, H) each
    hidden = torch.tanh(w * x[..., None] + b)  # (S, N, H)
    return ((v * hidden).sum(-1) - y).square().mean(-1)


def gradient_by_hand(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The chain rule written out, (S, P)."""
    w, b, v = parameters.unflatten(-1, (3, 1, -1)).unbind(-3)  # (S, 1, H) each
    hidden = torch.tanh(w * x[..., None] + b)  # (S, N, H)
    residual = 2 / x.shape[-1] * ((v * hidden).sum(-1) - y)  # (S, N), d cost / d output
    inner = residual[..., None] * v * (1 - hidden.square())  # (S, N, H), d cost / d (w x + b)
    return torch.cat([(inner * x[..., None]).sum(-2), inner.sum(-2), (residual[..., None] * hidden).sum(-2)], -1)


def gradient_by_autograd(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """One backward pass for any number of parameters, (S, P)."""
    parameters = parameters.detach().requires_grad_()
    return torch.autograd.grad(cost(parameters, x, y).sum(), parameters)[0]


def gradient_by_differences(parameters: Tensor, x: Tensor, y: Tensor, epsilon: float, central: bool = False) -> Tensor:
    """(C(p + e) - C(p)) / epsilon, or (C(p + e) - C(p - e)) / (2 epsilon), for one parameter after another; (S, P)."""
    columns, middle = [], cost(parameters, x, y)
    for index in range(parameters.shape[-1]):
        upper, lower = parameters.clone(), parameters.clone()
        upper[..., index] += epsilon
        lower[..., index] -= epsilon
        if central:
            columns.append((cost(upper, x, y) - cost(lower, x, y)) / (2 * epsilon))
        else:
            columns.append((cost(upper, x, y) - middle) / epsilon)
    return torch.stack(columns, -1)


def relative_error(gradient: Tensor, reference: Tensor) -> np.ndarray:
    """Norm of the difference divided by the norm of the reference, (S,)."""
    return ((gradient.double() - reference).norm(dim=-1) / reference.norm(dim=-1)).numpy()


def problem(seeds: Sequence[int], hidden: int) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters (S, P), and points x and y (S, N) of the course's curve; float64."""
    sets = [curve().draw(stream(seed, TRAIN), POINTS) for seed in seeds]
    x, y = (torch.tensor(np.stack(part), dtype=torch.float64).flatten(1) for part in zip(*sets, strict=True))
    parameters = normal(seeds, (WEIGHTS, hidden), (3, hidden)).double()
    parameters[:, 2] /= math.sqrt(hidden)  # outputs of order one for any width
    return parameters.flatten(1), x, y


def difference_errors(parameters: Tensor, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """Relative error (E, S) of finite differences for every step size, by kind and precision."""
    reference, errors = gradient_by_hand(parameters, x, y), {}
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        numbers = parameters.to(dtype), x.to(dtype), y.to(dtype)
        for kind in KINDS:
            gradients = [gradient_by_differences(*numbers, float(epsilon), kind == "central") for epsilon in EPSILONS]
            errors[f"{kind}, {precision}"] = np.stack([relative_error(row, reference) for row in gradients])
    return errors


def best_step(errors: np.ndarray) -> tuple[int, float]:
    """Index of the step size with the smallest median error, and that error; errors are (E, S)."""
    median = np.median(errors, 1)
    return int(median.argmin()), float(median.min())


METHODS: dict[str, Callable[..., Tensor]] = {
    "cost": cost,
    "finite differences": lambda parameters, x, y: gradient_by_differences(parameters, x, y, 1e-6, central=True),
    "autograd": gradient_by_autograd,
    "by hand": gradient_by_hand,
}


def seconds_of(function: Callable[[], Any], least: float = 0.05) -> float:
    """Shortest time of a call; calls are repeated for at least `least` seconds in all."""
    function()
    shortest, total = math.inf, 0.0
    while total < least:
        began = time.perf_counter()
        function()
        seconds = time.perf_counter() - began
        shortest, total = min(shortest, seconds), total + seconds
    return shortest


def timings(seed: int, sizes: Sequence[int], callback: Callable[[], None]) -> dict[str, dict[int, float]]:
    """Seconds of one gradient of one seed: method -> number of parameters -> seconds; with "cost", of the cost."""
    seconds: dict[str, dict[int, float]] = {name: {} for name in METHODS}
    for size in sizes:
        numbers = problem([seed], size // 3)
        for name, method in METHODS.items():
            seconds[name][size] = seconds_of(lambda method=method, numbers=numbers: method(*numbers))
        callback()
    return seconds


# Gradient descent on a curve with several minima


def wavy(x: Any) -> Any:
    """x^2 / 10 + sin(3 x), of NumPy arrays or torch tensors."""
    return x**2 / 10 + (torch.sin(3 * x) if isinstance(x, Tensor) else np.sin(3 * x))


def minima(x: np.ndarray) -> np.ndarray:
    """Local minima of the curve on the grid x, where its slope changes from negative to positive."""
    slope = np.sign(np.diff(wavy(x)))
    return x[1:-1][(slope[:-1] < 0) & (slope[1:] > 0)]


def nearest_minimum(x: np.ndarray) -> np.ndarray:
    """Index of the minimum at each x (K,); -1 where there is none within 0.01."""
    distance = np.abs(x[:, None] - minima(LINE))  # (K, minima)
    return np.where(distance.min(1) < 0.01, distance.argmin(1), -1)


def gradient_descent(starts: Tensor, learning_rate: float, iterations: int) -> Tensor:
    """Gradient descent on the curve from all starts (K,) side by side; x after every step, (T + 1, K)."""
    x, path = starts.clone().requires_grad_(), [starts]
    for _ in range(iterations):
        (gradient,) = torch.autograd.grad(wavy(x).sum(), x)
        with torch.no_grad():
            x -= learning_rate * gradient
        path.append(x.detach().clone())
    return torch.stack(path)


# The lesson


def measure(flags: Autodiff) -> Findings:
    sizes = SIZES[:-2] if flags.quick else SIZES
    numbers = problem(flags.all_seeds, flags.hidden)
    with ProgressBar(1 + len(sizes), "gradients") as progress:
        errors = difference_errors(*numbers)
        progress.advance()
        seconds = timings(flags.seed, sizes, progress.advance)
    starts = torch.linspace(*RANGE, flags.starts, dtype=torch.float64)
    return Findings(
        seeds=flags.all_seeds,
        parameters=3 * flags.hidden,
        learning_rate=flags.learning_rate,
        square_gradient=square_gradient(),
        product_gradient=product_gradient(),
        difference_errors=errors,
        autograd_error=relative_error(gradient_by_autograd(*numbers), gradient_by_hand(*numbers)),
        seconds=seconds,
        path=gradient_descent(starts, flags.learning_rate, flags.iterations).numpy(),
    )


def forecast(flags: Autodiff) -> str:
    return f"{flags.seeds} seeds, about {duration(4 if flags.quick else 8)}"


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, errors in findings.difference_errors.items():
        yield 0, f"relative_error {name}, best step", errors[best_step(errors)[0]], findings.seeds
    yield 0, "relative_error autograd", findings.autograd_error, findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    best = {name: best_step(errors) for name, errors in findings.difference_errors.items()}
    bottoms, reached = minima(LINE), findings.minimum_reached
    return {
        "square_gradient": findings.square_gradient,
        "product_gradient": findings.product_gradient,
        "best_step": {name: EPSILONS[index] for name, (index, _) in best.items()},
        "best_relative_error": {name: error for name, (_, error) in best.items()},
        "autograd_relative_error": np.median(findings.autograd_error),
        "seconds_per_gradient": findings.seconds,
        "minima": bottoms,
        "starts_ending_in": [(reached == index).sum() for index in range(len(bottoms))],
        "share_of_global_minimum": (reached == np.argmin(wavy(bottoms))).mean(),
    }


def table(findings: Findings) -> Table:
    """The gradients of the course, and below them the three ways to a gradient."""
    sizes = list(findings.seconds["cost"])
    sizes = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]

    def milliseconds(name: str) -> list[str]:
        return [f"{1e3 * findings.seconds[name][size]:,.2f} ms" for size in sizes]

    columns = "way to the gradient", "relative error (median)", "at step size"
    ways = Table(*columns, *(f"P = {size:,}" for size in sizes))
    for name in ("forward, float64", "central, float64"):
        index, error = best_step(findings.difference_errors[name])
        times = milliseconds("finite differences") if name.startswith("central") else []
        ways.add_row(f"differences, {name}", f"{error:.0e}", f"{EPSILONS[index]:.0e}", *times)
    ways.add_row("autograd", f"{np.median(findings.autograd_error):.0e}", "-", *milliseconds("autograd"))
    ways.add_row("by hand", "reference", "-", *milliseconds("by hand"))
    first, second = findings.product_gradient
    both = Table.grid()
    both.add_row(f"x = 3.1, y = x**2, y.backward(): x.grad = {findings.square_gradient:.1f}")
    both.add_row(f"a = (5.5, 7.7), x = (1, 2), y = a @ x, y.backward(): x.grad = ({first:.1f}, {second:.1f})")
    both.add_row(ways)
    return both


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"gradients": plot_gradients(findings), "local_minima": plot_minima(findings)}


def plot_gradients(findings: Findings) -> Figure:
    """Error of finite differences against their step; time of a gradient against the number of parameters."""
    figure, panels = plotting.new(2, width=8.5, height=6)
    plot_errors(panels[0], findings)
    plot_times(panels[1], findings.seconds)
    return figure


def plot_errors(axes: Axes, findings: Findings) -> None:
    errors, automatic = findings.difference_errors, float(np.median(findings.autograd_error))
    colors = plotting.BLUE, plotting.GREEN, plotting.SKY, plotting.YELLOW
    for (name, error), color in zip(errors.items(), colors, strict=True):
        shown = np.where(error > 0, error, np.nan)
        style = "--" if name.endswith("32") else "-"
        plotting.quantile_band(axes, EPSILONS.tolist(), shown, name, color, (0.1, 0.5, 0.9), linestyle=style)
    axes.axhline(max(automatic, 1e-17), color=plotting.ORANGE, label="autograd, float64")
    axes.set(xscale="log", yscale="log", ylim=(1e-17, 1e2), xlabel="step size ε")
    axes.set_ylabel("relative error of the gradient")
    (forward, forward_error), (central, central_error) = (best_step(errors[f"{k}, float64"]) for k in KINDS)
    axes.set_title(
        f"{findings.parameters} parameters: best steps {EPSILONS[forward]:.0e} and {EPSILONS[central]:.0e}\n"
        f"with errors {forward_error:.0e} and {central_error:.0e}, autograd {automatic:.0e}"
    )
    axes.text(1e-15, 4, "float32: p + ε = p", fontsize=13)
    axes.legend(loc="lower left", ncols=2)


def plot_times(axes: Axes, seconds: dict[str, dict[int, float]]) -> None:
    colors = "black", plotting.BLUE, plotting.ORANGE, plotting.GREEN
    for (name, times), color in zip(seconds.items(), colors, strict=True):
        style, label = ("--", "only the cost") if name == "cost" else ("-", name)
        axes.plot(list(times), list(times.values()), color=color, marker="o", linestyle=style, label=label)
    largest = max(seconds["cost"])
    ratio = {name: times[largest] / seconds["cost"][largest] for name, times in seconds.items()}
    axes.set(xscale="log", yscale="log", xlabel="parameters P", ylabel="time of one gradient, s")
    axes.set_title(
        f"P = {largest:,}: autograd takes {ratio['autograd']:.1f} costs,\n"
        f"finite differences {ratio['finite differences']:,.0f}"
    )
    axes.legend(loc="upper left")


def plot_minima(findings: Findings) -> Figure:
    """The curve with starts and ends, and the paths between them."""
    figure, panels = plotting.new(2, width=8.5, height=6)
    path, bottoms, reached = findings.path, minima(LINE), findings.minimum_reached
    lowest = int(np.argmin(wavy(bottoms)))
    colors = [plotting.GREEN if end == lowest else plotting.ORANGE if end >= 0 else plotting.GRAY for end in reached]
    panels[0].plot(LINE, wavy(LINE), color=plotting.GRAY)
    hollow = {"markersize": 9, "markerfacecolor": "white", "markeredgewidth": 2}
    for start, end, color in zip(path[0], path[-1], colors, strict=True):
        panels[0].plot(start, wavy(start), "o", color=color, **hollow)
        panels[0].plot(end, wavy(end), "v", color=color, markersize=13)
    panels[0].plot([], [], "o", color="black", markerfacecolor="white", markeredgewidth=2, label="start")
    panels[0].plot([], [], "v", color="black", markersize=11, label="end")
    height = wavy(LINE)
    panels[0].set(xlim=(LINE[0], LINE[-1]), ylim=(height.min() - 0.3, height.max() + 0.8))
    panels[0].set(xlabel="x", ylabel="x²/10 + sin 3x")
    panels[0].set_title(f"{len(bottoms)} local minima; the lowest at x = {bottoms[lowest]:.2f}")
    panels[0].legend(loc="upper center", ncols=2)
    for column, color in zip(path.T, colors, strict=True):
        panels[1].plot(column, color=color, linewidth=2)
    for index, bottom in enumerate(bottoms):
        color = plotting.GREEN if index == lowest else "black"
        panels[1].axhline(bottom, color=color, linestyle="--", linewidth=1.2)
    panels[1].set(xlabel="iteration", ylabel="x", xlim=(0, len(path) - 1), ylim=(LINE[0], LINE[-1]))
    count, elsewhere = (reached == lowest).sum(), (reached < 0).sum()
    title = f"rate {findings.learning_rate:g}: {count} of {len(reached)} starts reach the lowest"
    panels[1].set_title(title + (f", {elsewhere} none" if elsewhere else ""))
    return figure


LESSON = Lesson(
    flags=Autodiff,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier autodiff --learning-rate 0.25, above the bound: which starts still converge?",
    metrics=metrics,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("autodiff", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
