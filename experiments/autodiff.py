"""Automatic differentiation (3.2): autograd computes the two gradients of the course. The gradient of a small network's
cost is computed in three ways: by hand, by autograd and by finite differences. Gradient descent on a curve with several
local minima shows that the start decides which of them is found. The figures show the error of finite differences for
every step size, the time of a gradient for every number of parameters, and the paths of gradient descent.

The network is y = v . tanh(w x + b). Its H hidden units give it P = 3 H parameters. The cost is the mean squared error.
A seed decides the points and the parameters.

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
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from envs.sources import curve
from experiments.common import plotting
from experiments.common.command import Lesson, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models.streams import normal, stream

POINTS = 30
SIZES = (3, 12, 30, 120, 300, 1_200, 3_000)  # numbers of parameters; the gradient is timed for each
EPSILONS = np.logspace(-15, 0, 61)  # step sizes
POINT_STREAM, WEIGHT_STREAM = 320, 321  # random streams
RANGE = (-4.0, 4.0)  # of the starts on the curve with several minima


@dataclass(frozen=True)
class Autodiff(Flags):
    """Automatic differentiation: three ways to a gradient, and gradient descent into local minima."""

    hidden: Annotated[int, at_least(1)] = 10
    """Hidden units of the network; it has three parameters for each."""
    starts: Annotated[int, at_least(1)] = 17
    """Starts of gradient descent on the curve with several minima, equidistant from -4 to 4."""
    learning_rate: Annotated[float, above(0)] = 0.02
    """Learning rate of that gradient descent."""
    iterations: Annotated[int, at_least(1)] = 100
    """Iterations of that gradient descent."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of parameters whose gradient is timed."""
        return SIZES[:-2] if self.quick else SIZES


@dataclass(frozen=True)
class Best:
    """The best step size of finite differences."""

    epsilon: float
    error: float  # median over the seeds
    errors: np.ndarray  # (S,), relative error of each seed


@dataclass(frozen=True)
class Findings:
    seeds: list[int]
    hidden: int
    learning_rate: float
    square: float  # gradient of x^2
    product: list[float]  # gradient of a . x
    errors: dict[str, np.ndarray]  # relative error of finite differences, (E, S), by kind and precision
    autograd_error: np.ndarray  # (S,), relative error of autograd
    seconds: dict[str, dict[int, float]]  # method -> number of parameters -> seconds of one gradient
    path: np.ndarray  # (T + 1, K), x of gradient descent

    @property
    def best(self) -> dict[str, Best]:
        """The best step size of each kind of finite differences."""
        return {name: best(errors) for name, errors in self.errors.items()}


# The course's two examples


def square_gradient() -> float:
    """Gradient of x^2 at 3.1."""
    x = torch.tensor(3.1, requires_grad=True)
    y = x**2
    y.backward()
    assert x.grad is not None
    return x.grad.item()


def product_gradient() -> list[float]:
    """Gradient of the scalar product a . x with respect to x, which is a."""
    a = torch.tensor([5.5, 7.7])
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = a @ x
    y.backward()
    assert x.grad is not None
    return x.grad.tolist()


# A cost, and three ways to its gradient


def cost(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of v . tanh(w x + b) with parameters (w, b, v), (S, P), on points (S, N); (S,)."""
    w, b, v = parameters.unflatten(-1, (3, 1, -1)).unbind(-3)  # (S, 1, H) each
    hidden = torch.tanh(w * x[..., None] + b)  # (S, N, H)
    return ((v * hidden).sum(-1) - y).square().mean(-1)


def gradient_by_hand(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The gradient by the chain rule, (S, P)."""
    w, b, v = parameters.unflatten(-1, (3, 1, -1)).unbind(-3)  # (S, 1, H) each
    hidden = torch.tanh(w * x[..., None] + b)  # (S, N, H)
    residual = 2 / x.shape[-1] * ((v * hidden).sum(-1) - y)  # (S, N), d cost / d output
    inner = residual[..., None] * v * (1 - hidden.square())  # (S, N, H), d cost / d (w x + b)
    return torch.cat([(inner * x[..., None]).sum(-2), inner.sum(-2), (residual[..., None] * hidden).sum(-2)], -1)


def gradient_by_autograd(parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The gradient by one backward pass, for any number of parameters, (S, P)."""
    parameters = parameters.detach().requires_grad_()
    return torch.autograd.grad(cost(parameters, x, y).sum(), parameters)[0]


def gradient_by_differences(parameters: Tensor, x: Tensor, y: Tensor, epsilon: float, central: bool = False) -> Tensor:
    """(C(p + e) - C(p)) / epsilon, or (C(p + e) - C(p - e)) / (2 epsilon) if central, for each parameter; (S, P)."""
    columns, center = [], cost(parameters, x, y)
    for index in range(parameters.shape[-1]):
        ahead, behind = parameters.clone(), parameters.clone()
        ahead[..., index] += epsilon
        behind[..., index] -= epsilon
        if central:
            columns.append((cost(ahead, x, y) - cost(behind, x, y)) / (2 * epsilon))
        else:
            columns.append((cost(ahead, x, y) - center) / epsilon)
    return torch.stack(columns, -1)


def relative_error(gradient: Tensor, reference: Tensor) -> np.ndarray:
    """Norm of the difference divided by the norm of the reference, (S,)."""
    return ((gradient.double() - reference).norm(dim=-1) / reference.norm(dim=-1)).numpy()


def problem(seeds: Sequence[int], hidden: int) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters (S, P), and points x and y (S, N) of the course's curve; float64."""
    sets = [curve().draw(stream(seed, POINT_STREAM), POINTS) for seed in seeds]
    x, y = (torch.tensor(np.stack(part), dtype=torch.float64).flatten(1) for part in zip(*sets, strict=True))
    parameters = normal(seeds, (WEIGHT_STREAM, hidden), (3, hidden)).double()
    parameters[:, 2] /= math.sqrt(hidden)  # so that outputs are of order one for every number of units
    return parameters.flatten(1), x, y


def difference_errors(parameters: Tensor, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """Relative error of finite differences for each step size, (E, S), by kind and precision."""
    reference, errors = gradient_by_hand(parameters, x, y), {}
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        numbers = parameters.to(dtype), x.to(dtype), y.to(dtype)
        for kind, central in (("forward", False), ("central", True)):
            gradients = [gradient_by_differences(*numbers, float(epsilon), central) for epsilon in EPSILONS]
            errors[f"{kind}, {precision}"] = np.stack([relative_error(gradient, reference) for gradient in gradients])
    return errors


def best(errors: np.ndarray) -> Best:
    """The step size with the smallest median error; errors are (E, S)."""
    median = np.median(errors, 1)
    index = int(median.argmin())
    return Best(float(f"{EPSILONS[index]:.3g}"), float(f"{median[index]:.3g}"), errors[index])


METHODS: dict[str, Callable[..., Tensor]] = {
    "cost": cost,
    "finite differences": lambda parameters, x, y: gradient_by_differences(parameters, x, y, 1e-6, central=True),
    "autograd": gradient_by_autograd,
    "by hand": gradient_by_hand,
}


def seconds_of(function: Callable[[], Any], least: float = 0.05) -> float:
    """Shortest time of one call. The calls are repeated until they have taken `least` seconds together."""
    function()
    shortest, total = math.inf, 0.0
    while total < least:
        began = time.perf_counter()
        function()
        seconds = time.perf_counter() - began
        shortest, total = min(shortest, seconds), total + seconds
    return shortest


def timings(seed: int, sizes: Sequence[int], advance: Callable[[], None]) -> dict[str, dict[int, float]]:
    """Seconds of one gradient of one seed: method -> number of parameters -> seconds; under "cost", of the cost.

    `advance` is called after each number of parameters.
    """
    seconds: dict[str, dict[int, float]] = {name: {} for name in METHODS}
    for size in sizes:
        numbers = problem([seed], size // 3)
        for name, method in METHODS.items():
            seconds[name][size] = seconds_of(lambda method=method, numbers=numbers: method(*numbers))
        advance()
    return seconds


# Gradient descent on a curve with several local minima


def wave(x: Any) -> Any:
    """x^2 / 10 + sin(3 x), of NumPy or torch numbers."""
    return x**2 / 10 + (torch.sin(3 * x) if isinstance(x, Tensor) else np.sin(3 * x))


def minima(x: np.ndarray) -> np.ndarray:
    """Local minima of the curve on a grid x: its slope changes from negative to positive there."""
    slope = np.sign(np.diff(wave(x)))
    return x[1:-1][(slope[:-1] < 0) & (slope[1:] > 0)]


def descend(starts: Tensor, learning_rate: float, iterations: int) -> Tensor:
    """Gradient descent on the curve from all starts (K,): x at the start and after each iteration, (T + 1, K)."""
    x, path = starts.clone().requires_grad_(), [starts]
    for _ in range(iterations):
        (gradient,) = torch.autograd.grad(wave(x).sum(), x)
        with torch.no_grad():
            x -= learning_rate * gradient
        path.append(x.detach().clone())
    return torch.stack(path)


def grid() -> np.ndarray:
    """Values of x at which the curve is drawn and its minima are searched."""
    low, high = RANGE
    return np.linspace(1.25 * low, 1.25 * high, 4_001)


def ends(path: np.ndarray) -> np.ndarray:
    """Index of the minimum at which each start ended, (K,); -1 for a start that did not converge."""
    distance = np.abs(path[-1][:, None] - minima(grid()))  # (K, minima)
    return np.where(distance.min(1) < 0.01, distance.argmin(1), -1)


def measure(flags: Autodiff) -> Findings:
    parameters, x, y = problem(flags.all_seeds, flags.hidden)
    with ProgressBar(1 + len(flags.sizes), "gradients") as progress:
        errors = difference_errors(parameters, x, y)
        progress.advance()
        seconds = timings(flags.seed, flags.sizes, progress.advance)
    starts = torch.linspace(*RANGE, flags.starts, dtype=torch.float64)
    return Findings(
        seeds=flags.all_seeds,
        hidden=flags.hidden,
        learning_rate=flags.learning_rate,
        square=square_gradient(),
        product=product_gradient(),
        errors=errors,
        autograd_error=relative_error(gradient_by_autograd(parameters, x, y), gradient_by_hand(parameters, x, y)),
        seconds=seconds,
        path=descend(starts, flags.learning_rate, flags.iterations).numpy(),
    )


# Output


def forecast(flags: Autodiff) -> str:
    return f"{flags.seeds} seeds, about {duration(4 if flags.quick else 8)}"


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, smallest in findings.best.items():
        yield 0, f"relative_error {name}, best step", smallest.errors, findings.seeds
    yield 0, "relative_error autograd", findings.autograd_error, findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    bottoms, reached = minima(grid()), ends(findings.path)
    return {
        "square_gradient": round(findings.square, 6),
        "product_gradient": [round(value, 6) for value in findings.product],
        "best_step": {name: smallest.epsilon for name, smallest in findings.best.items()},
        "best_relative_error": {name: smallest.error for name, smallest in findings.best.items()},
        "autograd_relative_error": float(np.median(findings.autograd_error)),
        "seconds_per_gradient": {
            name: {str(size): float(f"{seconds:.3g}") for size, seconds in by_size.items()}
            for name, by_size in findings.seconds.items()
        },
        "minima": [round(float(value), 3) for value in bottoms],
        "starts_ending_in": [int((reached == index).sum()) for index in range(len(bottoms))],
        "share_of_global_minimum": float((reached == np.argmin(wave(bottoms))).mean()),
    }


def table(findings: Findings) -> Table:
    """The course's two gradients, and the error and the time of each way to a gradient."""
    square, product = findings.square, findings.product
    sizes = list(findings.seconds["cost"])
    shown = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]

    def times(name: str) -> list[str]:
        return [f"{1e3 * findings.seconds[name][size]:,.2f} ms" for size in shown]

    ways = Table("way to the gradient", "relative error (median)", "at step size", *(f"P = {size:,}" for size in shown))
    for name, cells in (("forward, float64", []), ("central, float64", times("finite differences"))):
        smallest = findings.best[name]
        ways.add_row(f"differences, {name}", f"{smallest.error:.0e}", f"{smallest.epsilon:.0e}", *cells)
    ways.add_row("autograd", f"{np.median(findings.autograd_error):.0e}", "-", *times("autograd"))
    ways.add_row("by hand", "reference", "-", *times("by hand"))
    stacked = Table.grid()
    stacked.add_row(f"x = 3.1, y = x**2, y.backward(): x.grad = {square:.1f}")
    stacked.add_row(
        f"a = (5.5, 7.7), x = (1, 2), y = a @ x, y.backward(): x.grad = ({product[0]:.1f}, {product[1]:.1f})"
    )
    stacked.add_row(ways)
    return stacked


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {"gradients": plot_gradients(findings), "local_minima": plot_minima(findings)}


def plot_gradients(findings: Findings) -> Figure:
    """Error of finite differences against their step size; time of a gradient against the number of parameters."""
    figure, panels = plotting.new(2, width=8.5, height=6)
    autograd_error, seconds = float(np.median(findings.autograd_error)), findings.seconds
    colors = (plotting.BLUE, plotting.GREEN, plotting.SKY, plotting.YELLOW)
    for (name, error), color in zip(findings.errors.items(), colors, strict=True):
        shown = np.where(error > 0, error, np.nan)
        style = "--" if name.endswith("32") else "-"
        quantiles = (0.1, 0.5, 0.9)
        plotting.quantile_band(panels[0], EPSILONS.tolist(), shown, name, color, quantiles, linestyle=style)
    panels[0].axhline(max(autograd_error, 1e-17), color=plotting.ORANGE, label="autograd, float64")
    panels[0].set(
        xscale="log", yscale="log", ylim=(1e-17, 1e2), xlabel="step size ε", ylabel="relative error of the gradient"
    )
    forward, central = findings.best["forward, float64"], findings.best["central, float64"]
    panels[0].set_title(
        f"{3 * findings.hidden} parameters: best steps {forward.epsilon:.0e} and {central.epsilon:.0e}\n"
        f"errors {forward.error:.0e} and {central.error:.0e}, of autograd {autograd_error:.0e}"
    )
    panels[0].text(1e-15, 4, "float32: p + ε = p", fontsize=13)
    panels[0].legend(loc="lower left", ncols=2)
    colors = ("black", plotting.BLUE, plotting.ORANGE, plotting.GREEN)
    for (name, times), color in zip(seconds.items(), colors, strict=True):
        style, label = ("--", "the cost") if name == "cost" else ("-", name)
        panels[1].plot(list(times), list(times.values()), color=color, marker="o", linestyle=style, label=label)
    largest = max(seconds["cost"])
    ratio = {name: times[largest] / seconds["cost"][largest] for name, times in seconds.items()}
    panels[1].set(xscale="log", yscale="log", xlabel="parameters P", ylabel="time of one gradient, s")
    panels[1].set_title(
        f"P = {largest:,}: autograd takes {ratio['autograd']:.1f} costs,\n"
        f"finite differences {ratio['finite differences']:,.0f}"
    )
    panels[1].legend(loc="upper left")
    return figure


def plot_minima(findings: Findings) -> Figure:
    """The curve with the starts and ends of gradient descent, and x after each iteration."""
    figure, panels = plotting.new(2, width=8.5, height=6)
    path = findings.path
    line, bottoms, reached = grid(), minima(grid()), ends(path)
    lowest = int(np.argmin(wave(bottoms)))
    colors = [plotting.GREEN if end == lowest else plotting.ORANGE if end >= 0 else plotting.GRAY for end in reached]
    panels[0].plot(line, wave(line), color=plotting.GRAY)
    for start, end, color in zip(path[0], path[-1], colors, strict=True):
        panels[0].plot(start, wave(start), "o", color=color, markersize=9, markerfacecolor="white", markeredgewidth=2)
        panels[0].plot(end, wave(end), "v", color=color, markersize=13)
    panels[0].plot([], [], "o", color="black", markerfacecolor="white", markeredgewidth=2, label="start")
    panels[0].plot([], [], "v", color="black", markersize=11, label="end")
    height = wave(line)
    panels[0].set(xlim=(line[0], line[-1]), ylim=(height.min() - 0.3, height.max() + 0.8))
    panels[0].set(xlabel="x", ylabel="x²/10 + sin 3x")
    panels[0].set_title(f"{len(bottoms)} local minima; the lowest at x = {bottoms[lowest]:.2f}")
    panels[0].legend(loc="upper center", ncols=2)
    for column, color in zip(path.T, colors, strict=True):
        panels[1].plot(column, color=color, linewidth=2)
    for index, bottom in enumerate(bottoms):
        color = plotting.GREEN if index == lowest else "black"
        panels[1].axhline(bottom, color=color, linestyle="--", linewidth=1.2)
    panels[1].set(xlabel="iteration", ylabel="x", xlim=(0, len(path) - 1), ylim=(line[0], line[-1]))
    count, diverging = (reached == lowest).sum(), (reached < 0).sum()
    title = f"rate {findings.learning_rate:g}: {count} of {len(reached)} starts reach the lowest"
    panels[1].set_title(title + (f", {diverging} do not converge" if diverging else ""))
    return figure


LESSON = Lesson(
    flags=Autodiff,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command="balancier autodiff --learning-rate 0.25, which is too high for some minima: which starts converge?",
    metrics=metrics,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("autodiff", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
