"""The checks of exercise 3.4. NumPy and PyTorch give the expected values."""

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
    check_pair,
    compare,
    results,
    words,
)

RNG = np.random.default_rng(34)


def check_survivors(student: Any) -> None:
    for survived in (np.array([0, 1, 1, 0, 1]), np.zeros(4, int), RNG.integers(0, 2, 50)):
        check_call(student, "count_survivors", (survived,), int(survived.sum()))


def check_statistics(student: Any) -> None:
    returns = _("four floats: mean, standard deviation, minimum, maximum")
    for column in (np.array([1.0, 2.0, 6.0]), RNG.normal(30, 9, 40)):
        right = column.mean(), column.std(), column.min(), column.max()
        check_pair(student, "statistics", (column,), right, returns)


def check_pearson(student: Any) -> None:
    x = RNG.normal(3, 2, 30)
    pairs = (x, RNG.normal(0, 1, 30)), (x, -0.5 * x + 1), (x, x), (np.array([1.0, 2.0, 4.0]), np.array([3.0, 1.0, 7.0]))
    for a, b in pairs:
        check_call(student, "pearson", (a, b), np.corrcoef(a, b)[0, 1])


def check_matrix(student: Any) -> None:
    for k in (2, 4):
        table = RNG.normal(0, 1, (25, k)) @ RNG.normal(0, 1, (k, k)) + 5
        check_call(student, "correlation_matrix", (table,), np.corrcoef(table.T))


def check_useless(student: Any) -> None:
    cases = (
        (["p_id", "survived", "fare"], [[1, -0.01, 0.3], [-0.01, 1, 0.26], [0.3, 0.26, 1]], "p_id"),
        (["survived", "fare", "shoes"], [[1, -0.5, 0.02], [-0.5, 1, 0.001], [0.02, 0.001, 1]], "shoes"),
        (["age", "sex", "survived"], [[1, 0.0, 0.1], [0.0, 1, -0.4], [0.1, -0.4, 1]], "age"),
    )
    for names, correlations, right in cases:
        call, found = results(student, "useless_column", names, np.array(correlations))
        if found != right:
            raise Wrong(words(found), words(right), call)


def check_normalize(student: Any) -> None:
    for column in (np.array([7.25, 71.283, 7.925, 53.1]), RNG.normal(30, 9, 40)):
        check_call(student, "normalize", (column,), (column - column.mean()) / column.std())


def check_one_hot(student: Any) -> None:
    for column, values in (([3, 1, 2, 3], [1, 2, 3]), ([0, 1], [0, 1]), ([2, 2], [1, 2, 3, 4, 5]), ([5, 9], [9, 5])):
        right = np.array([[float(each == value) for value in values] for each in column])
        check_call(student, "one_hot", (np.array(column), values), right)


def check_inputs(student: Any) -> None:
    for count in (5, 12):
        classes, female = RNG.integers(1, 4, count), RNG.integers(0, 2, count)
        fare = RNG.uniform(5, 90, count)
        columns = [(fare - fare.mean()) / fare.std(), *(classes == k for k in (1, 2, 3)), female == 0, female == 1]
        check_call(student, "make_inputs", (classes, female, fare), np.stack(columns, 1).astype(float))


def check_probabilities(student: Any) -> None:
    for shape in ((4, 2), (3, 5), (1, 3)):
        outputs = torch.randn(shape)
        check_call(student, "probabilities", (outputs,), torch.softmax(outputs, 1))


def check_cross_entropy(student: Any) -> None:
    for n, count in ((1, 2), (6, 2), (9, 4)):
        outputs, classes = torch.randn(n, count, requires_grad=True), torch.arange(n) * 7 % count
        call, found = results(student, "cross_entropy", outputs.detach().requires_grad_(), classes)
        compare(call, found, torch.nn.functional.cross_entropy(outputs, classes))
        if not as_tensor(call, found, _("a tensor with one number")).requires_grad:
            raise Wrong(_("a tensor without a gradient"), _("a tensor that PyTorch can differentiate"), call)


def check_predict(student: Any) -> None:
    returns = _("two tensors of shape (n,): classes and confidences")
    for shape in ((5, 2), (4, 3)):
        outputs = torch.randn(shape)
        confidence, right = torch.softmax(outputs, 1).max(1)
        check_pair(student, "predict", (outputs,), (right, confidence), returns)


def check_accuracy(student: Any) -> None:
    for n, count in ((8, 2), (10, 3)):
        outputs, classes = torch.randn(n, count), torch.randint(count, (n,))
        right = (outputs.argmax(1) == classes).double().mean().item()
        check_call(student, "accuracy", (outputs, classes), right)
    sure = torch.tensor([[5.0, 0.0], [0.0, 5.0]])
    compare(call_words("accuracy", sure, [0, 1]), student.accuracy(sure, torch.tensor([0, 1])), 1.0)


STEPS = (
    Step(
        "count_survivors",
        check_survivors,
        _("a whole number"),
        _("The column holds 1 for each survivor and 0 for the others: add it up."),
    ),
    Step(
        "statistics",
        check_statistics,
        _("four floats: mean, standard deviation, minimum, maximum"),
        _("A NumPy array has the methods mean, std, min and max; std divides by n."),
    ),
    Step(
        "pearson",
        check_pearson,
        _("a float between -1 and 1"),
        _("Subtract the means first. Then one sum above, and the product of two square roots below."),
    ),
    Step(
        "correlation_matrix",
        check_matrix,
        _("an array of shape (k, k)"),
        _("Two loops over the columns table[:, i] and table[:, j], with pearson for each pair."),
    ),
    Step(
        "useless_column",
        check_useless,
        _("one of the names"),
        _("Look at the row of survived. A correlation of -0.5 says as much as one of 0.5, so take absolute values."),
    ),
    Step(
        "normalize",
        check_normalize,
        _("an array of shape (n,)"),
        _("Subtract the mean of the column, then divide by its standard deviation."),
    ),
    Step(
        "one_hot",
        check_one_hot,
        _("an array of shape (n, C)"),
        _("column[:, None] == np.array(values) compares every passenger with every class."),
    ),
    Step(
        "make_inputs",
        check_inputs,
        _("an array of shape (n, 6)"),
        _("np.concatenate with axis=1 puts columns side by side; fare[:, None] makes a column of an array."),
    ),
    Step(
        "probabilities",
        check_probabilities,
        _("a tensor of shape (n, C)"),
        _("Divide by the sum over the classes of the same passenger: sum(dim=1, keepdim=True)."),
    ),
    Step(
        "cross_entropy",
        check_cross_entropy,
        _("a tensor with one number"),
        _("p[torch.arange(n), classes] picks the probability of the true class of each passenger."),
    ),
    Step(
        "predict",
        check_predict,
        _("two tensors of shape (n,): classes and confidences"),
        _("A tensor's max(dim=1) returns both, the largest values first and then their places."),
    ),
    Step(
        "accuracy",
        check_accuracy,
        _("a float from 0 to 1"),
        _("Compare the predicted with the true classes; the mean of the comparison, as floats, is the share."),
    ),
)
