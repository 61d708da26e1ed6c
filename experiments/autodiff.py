"""Automatic differentiation (3.2): the two gradients of the course, three ways to compute a gradient, and gradient
descent that ends in local minima. The figures show the error of finite differences against their step size, how often
each way evaluates the cost, and the paths of gradient descent from many starts.

The gradient is that of a cost: the mean squared error of a small network, y = v . tanh(w x + b). Its H hidden units
have P = 3 H parameters. The three ways are finite differences, automatic differentiation by torch (autograd), and the
chain rule by hand.

A seed decides one set of points and parameters.

S seed, N points, H hidden units, P parameters, E step sizes, K starts, T iterations.
"""

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text
from torch import Tensor

from balancier import N_, _, numeral
from envs.sources import curve
from experiments.common import plotting
from experiments.common.command import Lesson, Page, launch
from experiments.common.flags import Flags, above, at_least
from experiments.common.parallel import ProgressBar, duration
from experiments.common.runs import Metric
from models.streams import normal, stream

POINTS = 30
SIZES = (3, 12, 30, 120, 300, 1_200, 3_000)  # parameters whose gradient's evaluations are counted
KINDS = N_("forward"), N_("central")  # finite differences
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
    square_gradient: Tensor  # (1,)
    product_gradient: Tensor  # (2,)
    difference_errors: dict[str, np.ndarray]  # kind and precision -> relative error (E, S)
    autograd_error: np.ndarray  # (S,)
    evaluations: dict[str, dict[int, int]]  # way to the gradient -> parameters -> how often the cost was computed
    backward_passes: dict[str, int]  # way to the gradient -> passes for one gradient, of any number of parameters
    path: np.ndarray  # (T + 1, K), x of gradient descent from every start

    @property
    def minimum_reached(self) -> np.ndarray:
        """Index of the minimum that each start reached, (K,), or -1."""
        return nearest_minimum(self.path[-1])


# The two examples of the course


def square_gradient() -> Tensor:
    point = torch.tensor([3.1], requires_grad=True)
    square = point**2
    return torch.autograd.grad(square, point)[0]  # 2 x


def product_gradient() -> Tensor:
    point = torch.tensor([3.1, 2.0], requires_grad=True)
    factors = torch.tensor([5.5, 7.7])
    product = factors @ point
    return torch.autograd.grad(product, point)[0]  # the factors


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


Cost = Callable[[Tensor, Tensor, Tensor], Tensor]


def gradient_by_autograd(parameters: Tensor, x: Tensor, y: Tensor, cost: Cost = cost) -> Tensor:
    """One evaluation of the cost and one backward pass for any number of parameters, (S, P)."""
    parameters = parameters.detach().requires_grad_()
    return torch.autograd.grad(cost(parameters, x, y).sum(), parameters)[0]


def gradient_by_differences(
    parameters: Tensor, x: Tensor, y: Tensor, epsilon: float, central: bool = False, cost: Cost = cost
) -> Tensor:
    """(C(p + e) - C(p)) / e, or (C(p + e) - C(p - e)) / (2 e), for one parameter after another; (S, P)."""
    steps = epsilon * torch.eye(parameters.shape[-1], dtype=parameters.dtype)  # (P, P), one row a parameter
    if central:
        columns = [(cost(parameters + e, x, y) - cost(parameters - e, x, y)) / (2 * epsilon) for e in steps]
    else:
        middle = cost(parameters, x, y)
        columns = [(cost(parameters + e, x, y) - middle) / epsilon for e in steps]
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


def difference_errors(parameters: Tensor, x: Tensor, y: Tensor, cost: Cost = cost) -> dict[str, np.ndarray]:
    """Relative error (E, S) of finite differences for every step size, by kind and precision."""
    reference, errors = gradient_by_hand(parameters, x, y), {}
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        numbers = parameters.to(dtype), x.to(dtype), y.to(dtype)
        for kind in KINDS:
            central = kind == "central"
            gradients = [gradient_by_differences(*numbers, float(epsilon), central, cost) for epsilon in EPSILONS]
            errors[f"{kind}, {precision}"] = np.stack([relative_error(row, reference) for row in gradients])
    return errors


def best_step(errors: np.ndarray) -> tuple[int, float]:
    """Index of the step size with the smallest median error, and that error; errors are (E, S)."""
    median = np.median(errors, 1)
    return int(median.argmin()), float(median.min())


WAYS: dict[str, Callable[..., Tensor]] = {
    N_("forward differences"): partial(gradient_by_differences, epsilon=1e-6),
    N_("central differences"): partial(gradient_by_differences, epsilon=1e-6, central=True),
    N_("autograd"): gradient_by_autograd,
}


class Counted:
    """The cost, which counts its evaluations and the backward passes through it; each evaluation calls `advance`."""

    def __init__(self, advance: Callable[[], object] = lambda: None):
        self.evaluations = self.backward_passes = 0
        self.advance = advance

    def __call__(self, parameters: Tensor, x: Tensor, y: Tensor) -> Tensor:
        self.evaluations += 1
        self.advance()
        value = cost(parameters, x, y)
        if value.requires_grad:
            value.register_hook(self.count_backward)
        return value

    def count_backward(self, gradient: Tensor) -> None:
        self.backward_passes += 1


def count(way: Callable[..., Tensor], seed: int, size: int, advance: Callable[[], object] = lambda: None) -> Counted:
    """What one gradient with `size` parameters takes."""
    counted = Counted(advance)
    way(*problem([seed], size // 3), cost=counted)
    return counted


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
    for __ in range(iterations):
        (gradient,) = torch.autograd.grad(wavy(x).sum(), x)
        with torch.no_grad():
            x -= learning_rate * gradient
        path.append(x.detach().clone())
    return torch.stack(path)


# The lesson


def measure(flags: Autodiff) -> Findings:
    numbers = problem(flags.all_seeds, flags.hidden)
    # One gradient of P parameters takes P + 1 and 2 P evaluations by differences, and 1 by autograd.
    checked, sizes = 2 * len(EPSILONS) * (9 * flags.hidden + 1), sum(3 * size + 2 for size in SIZES)
    with ProgressBar(checked + sizes, _("gradients")) as progress:
        errors = difference_errors(*numbers, Counted(progress.advance))
        counts = {
            name: {size: count(way, flags.seed, size, progress.advance) for size in SIZES} for name, way in WAYS.items()
        }
    starts = torch.linspace(*RANGE, flags.starts, dtype=torch.float64)
    return Findings(
        seeds=flags.all_seeds,
        parameters=3 * flags.hidden,
        learning_rate=flags.learning_rate,
        square_gradient=square_gradient(),
        product_gradient=product_gradient(),
        difference_errors=errors,
        autograd_error=relative_error(gradient_by_autograd(*numbers), gradient_by_hand(*numbers)),
        evaluations={name: {size: each.evaluations for size, each in sizes.items()} for name, sizes in counts.items()},
        backward_passes={name: sizes[SIZES[-1]].backward_passes for name, sizes in counts.items()},
        path=gradient_descent(starts, flags.learning_rate, flags.iterations).numpy(),
    )


def forecast(flags: Autodiff) -> str:
    return _("{seeds} seeds, about {time}", seeds=flags.seeds, time=duration(3 + 0.12 * flags.hidden))


# Output


def metrics(findings: Findings) -> Iterable[Metric]:
    for name, errors in findings.difference_errors.items():
        yield 0, f"relative_error {name}, best step", errors[best_step(errors)[0]], findings.seeds
    yield 0, "relative_error autograd", findings.autograd_error, findings.seeds


def result(findings: Findings) -> dict[str, Any]:
    best = {name: best_step(errors) for name, errors in findings.difference_errors.items()}
    bottoms, reached = minima(LINE), findings.minimum_reached
    return {
        "square_gradient": findings.square_gradient.item(),
        "product_gradient": findings.product_gradient.numpy(),
        "best_step": {name: EPSILONS[index] for name, (index, __) in best.items()},
        "best_relative_error": {name: error for name, (__, error) in best.items()},
        "autograd_relative_error": np.median(findings.autograd_error),
        "evaluations": findings.evaluations,
        "backward_passes": findings.backward_passes,
        "minima": bottoms,
        "starts_ending_in": [(reached == index).sum() for index in range(len(bottoms))],
        "share_of_global_minimum": (reached == np.argmin(wavy(bottoms))).mean(),
    }


def table(findings: Findings) -> Table:
    """The code of the course's gradients with their results, and below it the three ways to a gradient."""
    sizes = SIZES[0], SIZES[2], SIZES[-1]
    columns = _("way to the gradient"), _("relative error"), _("at step size")
    title = _("P parameters: evaluations of the cost for one gradient")
    ways = Table(*columns, *(_("P = {count:,}", count=size) for size in sizes), _("backward passes"), title=title)
    for kind in KINDS:
        index, error = best_step(findings.difference_errors[f"{kind}, float64"])
        name = f"{kind} differences"
        ways.add_row(_(name), f"{error:.0e}", f"{EPSILONS[index]:.0e}", *counts(findings, name, sizes))
    error = np.median(findings.autograd_error)
    ways.add_row(_("autograd"), f"{error:.0e}", "-", *counts(findings, "autograd", sizes))
    ways.add_row(_("chain rule by hand"), _("reference"), "-", *["-"] * 4)
    both = Table.grid()
    for function, gradient in (
        (square_gradient, findings.square_gradient),
        (product_gradient, findings.product_gradient),
    ):
        both.add_row(Text(inspect.getsource(function).rstrip()))
        both.add_row(Text(f">>> {function.__name__}()\n{gradient}\n"))
    both.add_row(ways)
    return both


def counts(findings: Findings, way: str, sizes: Sequence[int]) -> list[str]:
    """Evaluations of the cost for each number of parameters, and backward passes."""
    return [*(numeral(findings.evaluations[way][size]) for size in sizes), str(findings.backward_passes[way])]


# Figures


def figures(findings: Findings) -> dict[str, Figure]:
    return {
        "gradients": plot_gradients(findings),
        "evaluations": plot_evaluations(findings),
        "local_minima": plot_minima(findings),
    }


def plot_gradients(findings: Findings) -> Figure:
    """Error of finite differences against their step, beside that of autograd."""
    errors, automatic = findings.difference_errors, float(np.median(findings.autograd_error))
    (forward, forward_error), (central, central_error) = (best_step(errors[f"{k}, float64"]) for k in KINDS)
    figure, [panel] = plotting.slide(
        _(
            "Autograd is exact to rounding ({automatic:.0e}). Differences have errors of {forward:.0e} (forward)\n"
            "and {central:.0e} (central) at the best of all steps, and more at any other",
            automatic=automatic,
            forward=forward_error,
            central=central_error,
        )
    )
    colors = plotting.BLUE, plotting.PURPLE, plotting.SKY, plotting.YELLOW
    for (name, error), color in zip(errors.items(), colors, strict=True):
        shown = np.where(error > 0, error, np.nan)
        kind, precision = name.split(", ")
        label, style = f"{_(kind)}, {precision}", "--" if precision == "float32" else "-"
        plotting.quantile_band(panel, EPSILONS.tolist(), shown, label, color, (0.1, 0.5, 0.9), linestyle=style)
    for index, error, color in ((forward, forward_error, plotting.BLUE), (central, central_error, plotting.PURPLE)):
        panel.plot(EPSILONS[index], error, "o", color=color, markersize=11)
    panel.axhline(max(automatic, 1e-17), color="black", label=_("autograd, float64"))
    panel.set(xscale="log", yscale="log", ylim=(1e-17, 1e2), xlabel=_("step size ε (dots: best steps)"))
    panel.set_ylabel(_("relative error of the gradient"))
    seeds = len(findings.seeds)
    panel.set_title(_("{count} parameters, {seeds} seeds: median, 10 to 90 %", count=findings.parameters, seeds=seeds))
    panel.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def plot_evaluations(findings: Findings) -> Figure:
    """How often the cost is computed for one gradient, against the number of parameters."""
    largest = {name: sizes[SIZES[-1]] for name, sizes in findings.evaluations.items()}
    figure, [panel] = plotting.slide(
        _(
            "One gradient with {count:,} parameters: differences evaluate the cost {forward:,} or {central:,} times,\n"
            "autograd {automatic} time, with {backward} backward pass",
            count=SIZES[-1],
            forward=largest["forward differences"],
            central=largest["central differences"],
            automatic=largest["autograd"],
            backward=findings.backward_passes["autograd"],
        )
    )
    rules = {"forward differences": "P + 1", "central differences": "2 P", "autograd": _("1, and 1 backward pass")}
    colors = plotting.BLUE, plotting.PURPLE, "black"
    for (name, sizes), color, marker in zip(findings.evaluations.items(), colors, "os^", strict=True):
        label = _("{way}: {rule}", way=_(name), rule=rules[name])
        panel.plot(list(sizes), list(sizes.values()), color=color, marker=marker, markersize=9, label=label)
    panel.set(xscale="log", yscale="log", xlabel=_("parameters P"))
    panel.set_ylabel(_("evaluations of the cost for one gradient"))
    panel.legend(loc="upper left")
    return figure


def plot_minima(findings: Findings) -> Figure:
    """The curve with starts and ends, and the paths between them."""
    path, bottoms, reached = findings.path, minima(LINE), findings.minimum_reached
    lowest = int(np.argmin(wavy(bottoms)))
    number, elsewhere = (reached == lowest).sum(), (reached < 0).sum()
    lesson = _(
        "Not convex: {number} of {starts} starts reach the lowest of {minima} minima,\n{local} end in a local minimum",
        number=number,
        starts=len(reached),
        minima=len(bottoms),
        local=len(reached) - number - elsewhere,
    )
    if elsewhere:
        lesson += _(", {elsewhere} in none", elsewhere=elsewhere)
    figure, panels = plotting.slide(lesson, 2)
    names = _("ends in: lowest minimum"), _("ends in: local minimum"), _("ends in: no minimum")
    shades = plotting.BLUE, plotting.ORANGE, plotting.GRAY
    kinds = [0 if end == lowest else 1 if end >= 0 else 2 for end in reached]
    panels[0].plot(LINE, wavy(LINE), color=plotting.GRAY, label="L(x) = x²/10 + sin 3x")
    hollow = {"markersize": 9, "markerfacecolor": "white", "markeredgewidth": 2}
    for start, end, kind in zip(path[0], path[-1], kinds, strict=True):
        panels[0].plot(start, wavy(start), "o", color=shades[kind], **hollow)
        panels[0].plot(end, wavy(end), "v", color=shades[kind], markersize=13)
    panels[0].plot([], [], "o", color="black", label=_("start"), **hollow)
    panels[0].plot([], [], "v", color="black", markersize=11, label=_("end"))
    panels[0].set(xlim=(LINE[0], LINE[-1]), xlabel="x", ylabel="L(x)")
    panels[0].set_title(_("the lowest minimum is at x = {x:.2f}", x=bottoms[lowest]))
    for column, kind in zip(path.T, kinds, strict=True):
        panels[1].plot(column, color=shades[kind], linewidth=2)
    for kind in sorted(set(kinds)):
        panels[1].plot([], [], color=shades[kind], label=names[kind])
    for index, bottom in enumerate(bottoms):
        panels[1].axhline(bottom, color=shades[index != lowest], linestyle="--", linewidth=1.2)
    panels[1].set(xlabel=_("iteration"), ylabel="x", xlim=(0, len(path) - 1), ylim=(LINE[0], LINE[-1]))
    panels[1].set_title(_("learning rate {rate:g} (dashed: minima)", rate=findings.learning_rate))
    for panel in panels:
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)
    return figure


PAGE = Page(
    question=_("How does a program compute a gradient, at what cost, and where does gradient descent end?"),
    formula=(
        r"$\nabla_\theta L = \left[\frac{\partial L}{\partial \theta_0}, "
        r"\frac{\partial L}{\partial \theta_1}, \ldots\right]^T$",
        _(
            r"forward: $\frac{\partial L}{\partial \theta_i} \approx "
            r"\frac{L(\theta + \epsilon e_i) - L(\theta)}{\epsilon}$, "
            r"central: $\frac{L(\theta + \epsilon e_i) - L(\theta - \epsilon e_i)}{2 \epsilon}$"
        ),
        r"$\theta^{k+1} = \theta^k - \eta \nabla_\theta L(\theta^k)$",
    ),
    captions={
        "gradients": _(
            "With a large step the formula of finite differences is wrong, with a small step rounding is. "
            "Even at the best step (dots) they are far less exact than autograd, which has no step at all."
        ),
        "evaluations": _(
            "Finite differences compute the cost once or twice for every parameter. Autograd computes it "
            "once and goes backward through it once, for any number of parameters."
        ),
        "local_minima": _(
            "Each start goes down to the minimum on its own side of the maxima, and stays there. Only a "
            "convex cost, which has one minimum, makes the end independent of the start."
        ),
    },
    what_if=(
        ("balancier autodiff --learning-rate 0.25", _("the rate is above 2/K at the minima: descent ends in none")),
        ("balancier autodiff --learning-rate 0.001", _("100 steps are too few: most paths are still on their way")),
        ("balancier autodiff --hidden 1", _("three parameters: the errors of the three ways stay as they are")),
    ),
)

LESSON = Lesson(
    flags=Autodiff,
    measure=measure,
    figures=figures,
    table=table,
    result=result,
    forecast=forecast,
    next_command=_("balancier autodiff --learning-rate 0.25, above the bound: which starts still converge?"),
    metrics=metrics,
    page=PAGE,
)


def main(argv: Sequence[str] | None = None) -> int:
    return launch("autodiff", LESSON, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
