"""The checks of exercise 4.1, problem 1. PyTorch's own recurrent network gives the expected values."""

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
    compare,
    results,
    shape_words,
    words,
)

SIZES = (4, 3, 5), (1, 6, 2)  # sequences, inputs, numbers in the state


def parameters(inputs: int, hidden: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(hidden, inputs), torch.randn(hidden, hidden) / 2, torch.randn(hidden)


def states(x: torch.Tensor, w_x: torch.Tensor, w_h: torch.Tensor, b: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """The states (B, T, H) of PyTorch's Elman network with these parameters."""
    network = torch.nn.RNN(x.shape[-1], len(b), batch_first=True)
    values = {"weight_ih_l0": w_x, "weight_hh_l0": w_h, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
    network.load_state_dict(values)
    with torch.no_grad():
        return network(x, h[None])[0]


def check_elman_step(student: Any) -> None:
    for count, inputs, hidden in SIZES:
        x, h, weights = torch.randn(count, inputs), torch.randn(count, hidden), parameters(inputs, hidden)
        call, found = results(student, "elman_step", x, h, *weights)
        compare(call, found, states(x[:, None], *weights, h)[:, 0])
        as_tensor(call, found, _("a tensor of shape (B, H)"))


def check_sequence(student: Any) -> None:
    for steps in (1, 4, 9):
        for count, inputs, hidden in SIZES:
            x, weights = torch.randn(count, steps, inputs), parameters(inputs, hidden)
            right = states(x, *weights, torch.zeros(count, hidden))[:, -1]
            check_call(student, "read_sequence", (x, *weights), right)


def check_network(student: Any) -> None:
    for inputs, hidden, outputs in ((3, 6, 2), (5, 4, 1)):
        call = call_words("Elman", inputs, hidden, outputs)
        model = check_module(call, student.Elman(inputs, hidden, outputs)).eval()
        count = sum(each.numel() for each in model.parameters())
        right = (inputs + hidden + 1) * hidden + (hidden + 1) * outputs
        if count not in (right, right + hidden):
            both = _("{one} or, with two bias vectors, {two}", one=right, two=right + hidden)
            raise Wrong(_("{count} parameters", count=count), _("{count} parameters", count=both), call)
        for steps in (6, 11):
            x = torch.randn(4, steps, inputs, requires_grad=True)
            check_reader(call, model, x, outputs)
        check_bounded(call, model, inputs)
        check_last(call, student.Elman(inputs, hidden, outputs).eval(), inputs, hidden)


def check_reader(call: str, model: torch.nn.Module, x: torch.Tensor, outputs: int) -> None:
    call = _("{network} of x with the shape {shape}", network=call, shape=shape_words(x.shape))
    found = as_tensor(call, model(x), _("a tensor of shape (B, n_out)"))
    compare(call, torch.zeros_like(found), torch.zeros(len(x), outputs))
    alone = torch.cat([model(each[None]) for each in x])
    compare(_("{call}, a sequence among others and alone", call=call), found, alone)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    if (gradient.abs().amax((0, 2)) == 0).any():
        step = int((gradient.abs().amax((0, 2)) == 0).nonzero()[0])
        text = _("an answer that does not depend on x[:, {t}]", t=step)
        raise Wrong(text, _("an answer that depends on every step"), call)
    if torch.allclose(found, model(x.flip(1)), atol=1e-6):
        raise Wrong(_("the same answer to a sequence in reverse"), _("an answer that depends on the order"), call)


def check_bounded(call: str, model: torch.nn.Module, inputs: int) -> None:
    """With tanh, no number of the state leaves [-1, 1], however large the parameters are."""
    with torch.no_grad():
        for each in model.parameters():
            each *= 100
        largest = float(model(torch.randn(3, 8, inputs)).abs().max())
    if not largest <= sum(each.abs().sum().item() for each in model.parameters()):
        raise Wrong(_("a state that leaves [-1, 1]"), _("a state that tanh keeps in [-1, 1]"), call)


def check_last(call: str, model: torch.nn.Module, inputs: int, hidden: int) -> None:
    """Where W_h is 0, the last state is that of the last step alone, and so is an answer that only it decides."""
    recurrent = [each for each in model.parameters() if each.shape == (hidden, hidden)]
    x = torch.randn(3, 5, inputs)
    with torch.no_grad():
        for each in recurrent:
            each.zero_()
        other = torch.cat([x[:, :-1] + 1, x[:, -1:]], 1)
        if recurrent and not torch.allclose(model(x), model(other), atol=1e-6):
            found = _("an answer that depends on more than the last state")
            raise Wrong(found, _("an answer W h_T + b_y from the last state alone"), call)


def check_flat(student: Any) -> None:
    for steps, inputs, hidden, outputs in ((20, 5, 32, 2), (7, 1, 3, 4)):
        right = steps * inputs * hidden + hidden + hidden * outputs + outputs
        check_call(student, "flat_parameters", (steps, inputs, hidden, outputs), right, 0)


def check_elman(student: Any) -> None:
    for steps, inputs, hidden, outputs in ((20, 5, 32, 2), (7, 1, 3, 4)):
        right = inputs * hidden + hidden * hidden + hidden + hidden * outputs + outputs
        check_call(student, "elman_parameters", (steps, inputs, hidden, outputs), right, 0)


def check_error(student: Any) -> None:
    for count in (2, 15):
        estimate, truth = torch.randn(count, 2), torch.randn(count, 2)
        right = ((estimate - truth) ** 2).double().mean(0) ** 0.5
        check_call(student, "rms_error", (estimate, truth), right)


def check_mass(student: Any) -> None:
    for damping in (0.0, 0.2, 0.05):
        call, found = results(student, "mass_shows", damping)
        if not isinstance(found, bool | np.bool_) or found != (damping > 0):
            raise Wrong(words(found), words(damping > 0), call)


STEPS = (
    Step(
        "elman_step",
        check_elman_step,
        _("a tensor of shape (B, H)"),
        _("The sequences are rows, so W_x x becomes x @ W_x.T; torch.tanh works on whole tensors."),
    ),
    Step(
        "read_sequence",
        check_sequence,
        _("a tensor of shape (B, H)"),
        _("Start with torch.zeros(B, H), and call elman_step with x[:, t] for every t."),
    ),
    Step(
        "Elman",
        check_network,
        _("a torch.nn.Module that answers with a tensor of shape (B, n_out)"),
        _("With torch.nn.RNN, mind batch_first=True, and take the last step of its first result."),
    ),
    Step(
        "flat_parameters",
        check_flat,
        _("a whole number"),
        _("The flat vector has steps * n_in numbers; a layer from a to b has a * b weights and b biases."),
    ),
    Step(
        "elman_parameters",
        check_elman,
        _("a whole number"),
        _("Add up the sizes of W_x, W_h, b, W and b_y. Which of them depends on the number of steps?"),
    ),
    Step(
        "rms_error",
        check_error,
        _("a tensor of shape (2,)"),
        _("Square, take the mean over the pendulums (dim=0), then the square root."),
    ),
    Step(
        "mass_shows",
        check_mass,
        _("True or False"),
        _("Write down the equation of motion with and without friction: where does the mass cancel out?"),
    ),
)
