"""The checks of exercise 3.b."""

import copy
from typing import Any

import numpy as np
import torch

from balancier import _
from experiments.exercises.checking import (
    Step,
    Wrong,
    as_tensor,
    call_words,
    check_call,
    check_module,
    check_pair,
    check_shapes,
    check_share,
    compare,
    results,
    several,
    to_array,
    words,
)

MANY = 20_000


def check_data(student: Any) -> None:
    returns = _("two tensors of shape (count, 2)")
    for count, std in ((50, 0.1), (MANY, 0.0), (MANY, 0.3)):
        call, found = results(student, "make_data", count, std)
        parts = [as_tensor(call, part, returns) for part in several(call, found, 2, returns)]
        for part in parts:
            compare(call, torch.zeros_like(part, dtype=torch.float32), np.zeros((count, 2)))
        x, y = (part.double().numpy() for part in parts)
        for column, low, high in ((0, -1, 1), (1, 1, 4)):
            values = x[:, column]
            if values.min() < low or values.max() > high:
                limits = {"low": values.min(), "high": values.max()}
                raise Wrong(
                    _("x{number} from {low:.3f} to {high:.3f}", number=column + 1, **limits),
                    _("x{number} from {low} to {high}", number=column + 1, low=low, high=high),
                    call,
                )
            if count == MANY:
                name = _("x{number} with a standard deviation of", number=column + 1)
                check_share(call, name, float(values.std()), (high - low) / 12**0.5, 0.03)
                name = _("x{number} with a mean of", number=column + 1)
                check_share(call, name, float(values.mean()), (high + low) / 2, 0.05)
        noise = y - np.stack([np.sqrt(x[:, 0] + x[:, 1]), x[:, 1] ** 3], 1)
        if std == 0:
            compare(call, noise + 1, np.ones_like(noise), 1e-3)
        elif count == MANY:
            for column in (0, 1):
                name = _("noise in y{number} with a standard deviation of", number=column + 1)
                check_share(call, name, float(noise[:, column].std()), std, 0.02)
                name = _("noise in y{number} with a mean of", number=column + 1)
                check_share(call, name, float(noise[:, column].mean()), 0, 0.02)
            together = float(np.corrcoef(noise.T)[0, 1])
            check_share(call, _("noise with a correlation between y1 and y2 of"), together, 0, 0.06)
    if torch.equal(student.make_data(5, 0.1)[0], student.make_data(5, 0.1)[0]):
        raise Wrong(_("the same points in two calls"), _("new points in every call"), "make_data(5, 0.1)")


def check_mlp(student: Any) -> None:
    for n_in, hidden, n_out in ((3, 7, 2), (5, 4, 6)):
        call = call_words("MLP", n_in, hidden, n_out)
        model = check_module(call, student.MLP(n_in, hidden, n_out))
        shapes = (hidden, n_in), (hidden,), (n_out, hidden), (n_out,)
        w1, b1, w2, b2 = (each.detach() for each in check_shapes(call, model, shapes))
        x = torch.randn(9, n_in)
        found = model(x)
        call = f"{call}(x)"
        compare(call, found, torch.relu(x @ w1.T + b1) @ w2.T + b2)
        if not as_tensor(call, found, _("a tensor of shape (B, n_out)")).requires_grad:
            raise Wrong(_("a tensor without a gradient"), _("a tensor that PyTorch can differentiate"), call)
    one, other = (student.MLP(3, 7, 2)(torch.ones(1, 3)).detach() for _network in range(2))
    if torch.equal(one, other):
        raise Wrong(_("the same outputs of two networks"), _("random parameters in every network"), "MLP(3, 7, 2)")


def check_biases(student: Any) -> None:
    returns = _("two whole numbers, the sizes of b1 and b2")
    for n_in, hidden, n_out in ((3, 32, 2), (10, 5, 7)):
        check_pair(student, "bias_sizes", (n_in, hidden, n_out), (hidden, n_out), returns)


def check_minibatches(student: Any) -> None:
    returns = _("a list of tensors of whole numbers")
    for count, size in ((10, 3), (12, 4), (5, 8)):
        call, found = results(student, "minibatches", count, size)
        if not isinstance(found, tuple | list | np.ndarray | torch.Tensor):
            raise Wrong(words(found), returns, call)
        parts = [to_array(part, returns, call) for part in found]
        sizes = [size] * (count // size) + ([count % size] if count % size else [])
        found_sizes = [len(np.atleast_1d(part)) for part in parts]
        if sorted(found_sizes) != sorted(sizes):
            text = _("minibatches of the sizes {sizes}", sizes=found_sizes)
            raise Wrong(text, _("minibatches of the sizes {sizes}", sizes=sizes), call)
        together = sorted(float(index) for part in parts for index in part)
        if together != list(range(count)):
            raise Wrong(_("the indices {indices}", indices=together), _("every index exactly once"), call)
    call = call_words("minibatches", 200, 20)
    one, other = (
        np.concatenate([to_array(part, returns, call) for part in student.minibatches(200, 20)]) for _i in "12"
    )
    if np.array_equal(one, np.arange(200)) or np.array_equal(one, other):
        raise Wrong(
            _("the same order in two calls, or that of the indices"), _("a new random order in every call"), call
        )


class Counted(torch.optim.SGD):
    """Counts its updates."""

    updates = 0

    def step(self, closure: Any = None) -> Any:
        self.updates += 1
        return super().step(closure)


def check_epoch(student: Any) -> None:
    x, y = torch.randn(30, 3), torch.randn(30, 2)
    for size, updates in ((30, 1), (8, 4), (10, 3)):
        model = torch.nn.Linear(3, 2)
        right = copy.deepcopy(model)
        optimizer, exact = Counted(model.parameters(), 0.05), torch.optim.SGD(right.parameters(), 0.05)
        call = _("train_epoch with 30 points and batch_size {size}", size=size)
        for _epoch in range(2):
            optimizer.updates = 0
            student.train_epoch(model, optimizer, x, y, size)
            if optimizer.updates != updates:
                text = _("{count} updates in one epoch", count=optimizer.updates)
                raise Wrong(text, _("{count} updates in one epoch", count=updates), call)
            for batch in torch.arange(30).split(size) if size == 30 else ():
                exact.zero_grad()
                (right(x[batch]) - y[batch]).square().mean().backward()
                exact.step()
        if size == 30:
            compare(_("the weights of a linear model after {call}", call=call), model.weight, right.weight)
    check_every_point(student)


def check_every_point(student: Any) -> None:
    """Each point has its own input component, so an epoch moves every weight once, by a known step."""
    model, count, rate = torch.nn.Linear(12, 1, bias=False), 12, 0.3
    torch.nn.init.zeros_(model.weight)
    y = torch.arange(1.0, count + 1)[:, None]
    student.train_epoch(model, Counted(model.parameters(), rate), torch.eye(count), y, 4)
    call = _("the weights of a linear model after train_epoch on 12 points of one component each, batch_size 4")
    compare(call, model.weight, rate * 2 / 4 * y.T)


def check_rate(student: Any) -> None:
    for epoch, rate in ((0, 1e-3), (120, 1e-3), (349, 1e-3), (350, 2e-4), (499, 2e-4)):
        check_call(student, "learning_rate", (epoch,), rate, 1e-8)


def check_smallest(student: Any) -> None:
    for std in (0.1, 0.5, 2.0):
        check_call(student, "smallest_loss", (std,), std**2)


STEPS = (
    Step(
        "make_data",
        check_data,
        _("two tensors of shape (count, 2)"),
        _("torch.rand is uniform in [0, 1): stretch and move it. torch.randn is normal. torch.stack makes columns."),
    ),
    Step(
        "MLP",
        check_mlp,
        _("a torch.nn.Module with the parameters W1, b1, W2 and b2"),
        _("Make two torch.nn.Linear in __init__; in forward, torch.relu stands between them and not behind them."),
    ),
    Step(
        "bias_sizes",
        check_biases,
        _("two whole numbers"),
        _("Print the shapes: for p in MLP(3, 32, 2).parameters(): print(p.shape)."),
    ),
    Step(
        "minibatches",
        check_minibatches,
        _("a list of tensors that hold every index exactly once"),
        _("torch.randperm(count) is a random order; its method split cuts it."),
    ),
    Step(
        "train_epoch",
        check_epoch,
        _("one update of the parameters for each minibatch"),
        _("For each minibatch: compute the loss, then zero_grad(), backward() and step(), in this order."),
    ),
    Step(
        "learning_rate",
        check_rate,
        _("1e-3 or 2e-4"),
        _("An if is enough; the epochs 0 to 349 are the first 350."),
    ),
    Step(
        "smallest_loss",
        check_smallest,
        _("a float"),
        _("The error of such a network is the noise itself. What is the mean of its square?"),
    ),
)
