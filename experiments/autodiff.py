"""Automatic differentiation (3.2): the course's two gradients, three ways to a gradient, and descent into local minima.

The cost whose gradient is wanted is the mean squared error of a small tanh network, y = v . tanh(w x + b), whose
H hidden units give it P = 3 H parameters. A seed is a draw of points and parameters.

S seed, N points, H hidden units, P parameters, E step sizes, K starts, T iterations.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from models.streams import normal, stream

POINTS = 30
SIZES = (3, 12, 30, 120, 300, 1_200, 3_000)  # parameters whose gradient is timed
EPSILONS = np.logspace(-15, 0, 61)
TRAIN, WEIGHTS = 320, 321  # random streams
RANGE = (-4.0, 4.0)  # of the starts on the non-convex curve


@dataclass(frozen=True)
class Autodiff(Flags):
    """Automatic differentiation: three ways to a gradient, and descent into local minima."""

    hidden: int = 10
    """Hidden units of the network whose gradient is checked; it has three parameters for each."""
    starts: int = 17
    """Starts of gradient descent on the non-convex curve, equidistant from -4 to 4."""
    learning_rate: float = 0.02
    """Of that gradient descent."""
    iterations: int = 100
    """Of that gradient descent."""


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
    """One backward pass, whatever the number of parameters, (S, P)."""
    parameters = parameters.detach().requires_grad_()
    return torch.autograd.grad(cost(parameters, x, y).sum(), parameters)[0]


def gradient_by_differences(parameters: Tensor, x: Tensor, y: Tensor, epsilon: float, central: bool = False) -> Tensor:
    """(C(p + e) - C(p)) / epsilon, or (C(p + e) - C(p - e)) / (2 epsilon), one parameter after another; (S, P)."""
    columns, here = [], cost(parameters, x, y)
    for index in range(parameters.shape[-1]):
        ahead, behind = parameters.clone(), parameters.clone()
        ahead[..., index] += epsilon
        behind[..., index] -= epsilon
        if central:
            columns.append((cost(ahead, x, y) - cost(behind, x, y)) / (2 * epsilon))
        else:
            columns.append((cost(ahead, x, y) - here) / epsilon)
    return torch.stack(columns, -1)


def relative_error(gradient: Tensor, reference: Tensor) -> np.ndarray:
    """Length of the difference over that of the reference, (S,)."""
    return ((gradient.double() - reference).norm(dim=-1) / reference.norm(dim=-1)).numpy()


def problem(seeds: Sequence[int], hidden: int) -> tuple[Tensor, Tensor, Tensor]:
    """Parameters (S, P), and points x and y (S, N) of the course's curve; float64."""
    sets = [curve().draw(stream(seed, TRAIN), POINTS) for seed in seeds]
    x, y = (torch.tensor(np.stack(part), dtype=torch.float64).flatten(1) for part in zip(*sets, strict=True))
    parameters = normal(seeds, (WEIGHTS, hidden), (3, hidden)).double()
    parameters[:, 2] /= math.sqrt(hidden)  # outputs of order one, whatever the width
    return parameters.flatten(1), x, y


def difference_errors(parameters: Tensor, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """Relative error of finite differences against the step size, (E, S), by kind and precision."""
    reference, found = gradient_by_hand(parameters, x, y), {}
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        numbers = parameters.to(dtype), x.to(dtype), y.to(dtype)
        for kind, central in (("forward", False), ("central", True)):
            rows = [gradient_by_differences(*numbers, float(epsilon), central) for epsilon in EPSILONS]
            found[f"{kind}, {precision}"] = np.stack([relative_error(row, reference) for row in rows])
    return found


METHODS: dict[str, Callable[..., Tensor]] = {
    "cost": cost,
    "finite differences": lambda parameters, x, y: gradient_by_differences(parameters, x, y, 1e-6, central=True),
    "autograd": gradient_by_autograd,
    "by hand": gradient_by_hand,
}


def seconds_of(function: Callable[[], Any], least: float = 0.05) -> float:
    """Shortest time of a call, over repetitions of at least `least` seconds together."""
    function()
    shortest, spent = math.inf, 0.0
    while spent < least:
        began = time.perf_counter()
        function()
        lasted = time.perf_counter() - began
        shortest, spent = min(shortest, lasted), spent + lasted
    return shortest


def timings(seed: int, sizes: Sequence[int], callback: Callable[[], None]) -> dict[str, dict[int, float]]:
    """Seconds of one gradient of one seed: method -> number of parameters -> seconds; with "cost", of the cost."""
    found: dict[str, dict[int, float]] = {name: {} for name in METHODS}
    for size in sizes:
        numbers = problem([seed], size // 3)
        for name, method in METHODS.items():
            found[name][size] = seconds_of(lambda method=method, numbers=numbers: method(*numbers))
        callback()
    return found


# Gradient descent on a curve with several valleys


def valleys(x: Any) -> Any:
    """x^2 / 10 + sin(3 x), of NumPy or torch numbers."""
    return x**2 / 10 + (torch.sin(3 * x) if isinstance(x, Tensor) else np.sin(3 * x))


def minima(x: np.ndarray) -> np.ndarray:
    """Local minima of the curve between the first and the last x, by the sign of its slope on the grid."""
    slope = np.sign(np.diff(valleys(x)))
    return x[1:-1][(slope[:-1] < 0) & (slope[1:] > 0)]


def roll(starts: Tensor, learning_rate: float, iterations: int) -> Tensor:
    """Gradient descent on the curve from all starts (K,) at once; where each was, (T + 1, K)."""
    x, path = starts.clone().requires_grad_(), [starts]
    for _ in range(iterations):
        (gradient,) = torch.autograd.grad(valleys(x).sum(), x)
        with torch.no_grad():
            x -= learning_rate * gradient
        path.append(x.detach().clone())
    return torch.stack(path)


def check(flags: Autodiff) -> None:
    for name in ("hidden", "starts", "iterations"):
        if (value := getattr(flags, name)) < 1:
            raise UsageError(f"--{name}: found {value}, expected at least 1")
    if not 0 < flags.learning_rate < math.inf:
        raise UsageError(f"--learning-rate: found {flags.learning_rate}, expected a number above 0")


def autodiff(flags: Autodiff) -> None:
    check(flags)
    run = Run("autodiff", flags)
    sizes = SIZES[:-2] if flags.quick else SIZES
    console.print(f"autodiff: {flags.seeds} seeds, about {duration(4 if flags.quick else 8)}", highlight=False)
    square, product = square_gradient(), product_gradient()
    lines = (
        f"x = 3.1, y = x**2, y.backward(): x.grad = {square:.1f}",
        f"a = (5.5, 7.7), x = (1, 2), y = a @ x, y.backward(): x.grad = ({product[0]:.1f}, {product[1]:.1f})",
    )
    for line in lines:
        console.print(line, highlight=False)

    parameters, x, y = problem(flags.all_seeds, flags.hidden)
    automatic = relative_error(gradient_by_autograd(parameters, x, y), gradient_by_hand(parameters, x, y))
    with ProgressBar(1 + len(sizes), "gradients") as progress:
        errors = difference_errors(parameters, x, y)
        progress.advance()
        seconds = timings(flags.seed, sizes, progress.advance)
    starts = torch.linspace(*RANGE, flags.starts, dtype=torch.float64)
    path = roll(starts, flags.learning_rate, flags.iterations).numpy()  # (T + 1, K)

    smallest = {name: best(error) for name, error in errors.items()}
    for name, (step, _) in smallest.items():
        row = int(np.argmin(np.abs(EPSILONS - step)))
        run.log(0, f"relative_error {name}, best step", errors[name][row], flags.all_seeds)
    run.log(0, "relative_error autograd", automatic, flags.all_seeds)
    run.figure(draw_gradients(errors, automatic, seconds, flags.hidden), "gradients")
    run.figure(draw_valleys(path, flags.learning_rate), "local_minima")
    bottoms, reached = minima(grid()), ends(path)
    result: dict[str, Any] = {
        "square_gradient": round(square, 6),
        "product_gradient": [round(value, 6) for value in product],
        "best_step": {name: step for name, (step, _) in smallest.items()},
        "best_relative_error": {name: error for name, (_, error) in smallest.items()},
        "autograd_relative_error": float(np.median(automatic)),
        "seconds_per_gradient": {
            name: {str(size): float(f"{value:.3g}") for size, value in times.items()} for name, times in seconds.items()
        },
        "minima": [round(float(value), 3) for value in bottoms],
        "starts_ending_in": [int((reached == index).sum()) for index in range(len(bottoms))],
        "share_of_global_minimum": float((reached == np.argmin(valleys(bottoms))).mean()),
    }
    run.finish(result)
    told = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
    table = Table("way to the gradient", "relative error (median)", "at step size", *(f"P = {size:,}" for size in told))
    for name, label in (("forward, float64", None), ("central, float64", "finite differences")):
        step, error = smallest[name]
        table.add_row(f"differences, {name}", f"{error:.0e}", f"{step:.0e}", *times_of(seconds, label, told))
    table.add_row("autograd", f"{np.median(automatic):.0e}", "-", *times_of(seconds, "autograd", told))
    table.add_row("by hand", "reference", "-", *times_of(seconds, "by hand", told))
    run.close(table, "balancier autodiff --learning-rate 0.25, above the bound: which starts still come to rest?")


def times_of(seconds: dict[str, dict[int, float]], name: str | None, sizes: Sequence[int]) -> list[str]:
    return [f"{1e3 * seconds[name][size]:,.2f} ms" if name else "" for size in sizes]


def best(errors: np.ndarray) -> tuple[float, float]:
    """The step size with the smallest median error, and that error; errors are (E, S)."""
    median = np.median(errors, 1)
    return float(f"{EPSILONS[median.argmin()]:.3g}"), float(f"{median.min():.3g}")


def grid() -> np.ndarray:
    low, high = RANGE
    return np.linspace(1.25 * low, 1.25 * high, 4_001)


def ends(path: np.ndarray) -> np.ndarray:
    """Index of the minimum at which each start ended, (K,); -1 for those that came to no rest."""
    distance = np.abs(path[-1][:, None] - minima(grid()))  # (K, minima)
    return np.where(distance.min(1) < 0.01, distance.argmin(1), -1)


def draw_gradients(
    errors: dict[str, np.ndarray], automatic: np.ndarray, seconds: dict[str, dict[int, float]], hidden: int
) -> Any:
    """Error of finite differences against their step; time of a gradient against the number of parameters."""
    figure, panels = plotting.new(2, width=8.5, height=6)
    colors = dict(zip(errors, (plotting.BLUE, plotting.GREEN, plotting.SKY, plotting.YELLOW), strict=True))
    for name, error in errors.items():
        shown = np.where(error > 0, error, np.nan)
        low, middle, high = np.nanquantile(shown, [0.1, 0.5, 0.9], 1)
        style = "--" if name.endswith("32") else "-"
        plotting.band(panels[0], EPSILONS.tolist(), low, middle, high, name, colors[name], linestyle=style)
    level = max(float(np.median(automatic)), 1e-17)
    panels[0].axhline(level, color=plotting.ORANGE, label="autograd, float64")
    panels[0].set(
        xscale="log", yscale="log", ylim=(1e-17, 1e2), xlabel="step size ε", ylabel="relative error of the gradient"
    )
    forward, central = best(errors["forward, float64"]), best(errors["central, float64"])
    panels[0].set_title(
        f"{3 * hidden} parameters: best steps {forward[0]:.0e} and {central[0]:.0e}\n"
        f"err by {forward[1]:.0e} and {central[1]:.0e}, autograd by {np.median(automatic):.0e}"
    )
    panels[0].text(1e-15, 4, "float32: p + ε = p", fontsize=13)
    panels[0].legend(loc="lower left", ncols=2)
    for (name, times), color in zip(
        seconds.items(), ("black", plotting.BLUE, plotting.ORANGE, plotting.GREEN), strict=True
    ):
        style, label = ("--", "the cost alone") if name == "cost" else ("-", name)
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


def draw_valleys(path: np.ndarray, learning_rate: float) -> Any:
    """The curve with starts and ends, and the way from the one to the other."""
    figure, panels = plotting.new(2, width=8.5, height=6)
    line, bottoms, reached = grid(), minima(grid()), ends(path)
    lowest = int(np.argmin(valleys(bottoms)))
    colors = [plotting.GREEN if end == lowest else plotting.ORANGE if end >= 0 else plotting.GRAY for end in reached]
    panels[0].plot(line, valleys(line), color=plotting.GRAY)
    for start, end, color in zip(path[0], path[-1], colors, strict=True):
        panels[0].plot(
            start, valleys(start), "o", color=color, markersize=9, markerfacecolor="white", markeredgewidth=2
        )
        panels[0].plot(end, valleys(end), "v", color=color, markersize=13)
    panels[0].plot([], [], "o", color="black", markerfacecolor="white", markeredgewidth=2, label="start")
    panels[0].plot([], [], "v", color="black", markersize=11, label="end")
    height = valleys(line)
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
    count, restless = (reached == lowest).sum(), (reached < 0).sum()
    title = f"rate {learning_rate:g}: {count} of {len(reached)} starts reach the lowest"
    panels[1].set_title(title + (f", {restless} do not rest" if restless else ""))
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    return run_command("autodiff", Autodiff, autodiff, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
