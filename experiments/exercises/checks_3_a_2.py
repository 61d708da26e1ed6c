"""The checks of exercise 3.a, continued. NumPy's polynomials and normal equations give the expected values."""

from typing import Any

import numpy as np
import torch

from balancier import _
from experiments.exercises.checking import Step, Wrong, as_tensor, check_call, compare, results


def data(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, count)
    y = np.sin(2 * np.pi * x) + rng.normal(0, 0.1, count)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


def descent(x: torch.Tensor, y: torch.Tensor, order: int, rate: float, iterations: int) -> np.ndarray:
    """The weights after gradient descent, in float64, by the formula of the gradient."""
    powers = x.double().numpy()[:, None] ** np.arange(order + 1)
    theta = np.zeros(order + 1)
    for _iteration in range(iterations):
        theta = theta - rate * 2 / len(x) * powers.T @ (powers @ theta - y.double().numpy())
    return theta


def values(x: torch.Tensor, theta: np.ndarray) -> np.ndarray:
    return np.polyval(theta[::-1], x.double().numpy())


def check_predict(student: Any) -> None:
    for theta in ([2.0, -1.0, 0.5], [0.3], [0.5, 1.0, -2.0, 0.7, 1.5, -0.2]):
        x = torch.tensor([0.0, 0.5, 2.0, -1.5])
        weights = torch.tensor(theta, requires_grad=True)
        call, found = results(student, "predict", x, weights)
        compare(call, found, values(x, np.array(theta)))
        differentiable(call, found)


def differentiable(call: str, found: Any) -> None:
    if not as_tensor(call, found, _("a tensor")).requires_grad:
        raise Wrong(_("a tensor without a gradient"), _("a tensor that PyTorch can differentiate"), call)


def check_loss(student: Any) -> None:
    rng = np.random.default_rng(1)
    for count in (3, 40):
        y_hat, y = (torch.tensor(rng.normal(0, 2, count), dtype=torch.float32) for _side in range(2))
        call, found = results(student, "get_loss", y_hat.requires_grad_(), y)
        compare(call, found, ((y_hat - y) ** 2).mean())
        differentiable(call, found)


def check_gradient(student: Any) -> None:
    for order, seed in ((1, 2), (4, 3)):
        x, y = data(9, seed)
        theta = torch.linspace(-1, 1, order + 1).requires_grad_()
        powers = x.double().numpy()[:, None] ** np.arange(order + 1)
        error = powers @ theta.detach().double().numpy() - y.double().numpy()
        check_call(student, "gradient", (x, y, theta), 2 / len(x) * powers.T @ error)


def check_descend(student: Any) -> None:
    x, y = data(25, 4)
    for order, rate, iterations in ((2, 0.3, 1), (3, 0.5, 60), (6, 0.05, 25)):
        check_call(student, "descend", (x, y, order, rate, iterations), descent(x, y, order, rate, iterations), 2e-3)


def check_rate(student: Any) -> None:
    check_call(student, "too_large_rate", (), 2)


def check_test_losses(student: Any) -> None:
    x, y = data(20, 5)
    x_test, y_test = data(33, 6)
    for orders in ([1, 3, 5], [2]):
        thetas = [descent(x, y, order, 0.4, 80) for order in orders]
        expected = [np.mean((values(x_test, theta) - y_test.double().numpy()) ** 2) for theta in thetas]
        check_call(student, "test_losses", (x, y, x_test, y_test, orders, 0.4, 80), np.array(expected), 1e-3)


def check_order(student: Any) -> None:
    check_call(student, "best_order", ([1, 2, 3, 8, 9], [0.3, 0.31, 0.012, 0.02, 0.05]), 3)
    check_call(student, "best_order", ([4, 7, 2], [0.5, 0.4, 0.1]), 2)
    check_call(student, "best_order", ([1, 2, 3, 6], [0.5, 0.4, 0.2, 0.1]), 6)


STEPS = (
    Step(
        "predict",
        check_predict,
        _("a tensor of shape (N,)"),
        _("Add up theta[i] * x ** i for i from 0 to len(theta) - 1, starting from a tensor of zeros."),
    ),
    Step(
        "get_loss",
        check_loss,
        _("a tensor with one number"),
        _("Square the differences, then take the mean; .item() and .detach() would cut off the gradient."),
    ),
    Step(
        "gradient",
        check_gradient,
        _("a tensor of shape (M + 1,)"),
        _("torch.autograd.grad(loss, theta) returns a tuple; its first entry is the gradient."),
    ),
    Step(
        "descend",
        check_descend,
        _("a tensor of shape (M + 1,)"),
        _("Start at torch.zeros(order + 1, requires_grad=True), and subtract learning_rate * gradient in a loop."),
    ),
    Step(
        "too_large_rate",
        check_rate,
        _("one of 0.01, 0.5 and 2"),
        _("Print the loss after 2000 iterations with each of them; one loss grows until it is no number any more."),
    ),
    Step(
        "test_losses",
        check_test_losses,
        _("a list of floats, one for each order"),
        _("Call descend with the training data and get_loss with the test data, for each order."),
    ),
    Step(
        "best_order",
        check_order,
        _("one of the orders"),
        _("What counts is the loss on data that were not used for training; take the order where it is smallest."),
    ),
)
