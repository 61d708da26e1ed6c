"""The checks of exercise 4.1, problem 2. PyTorch's own LSTM gives the expected values."""

from typing import Any

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
    compare,
    results,
    several,
)


def check_windows(student: Any) -> None:
    for count, length in ((5, 2), (12, 4), (6, 6), (4, 1)):
        series = torch.randn(count)
        check_call(student, "windows", (series, length), series.unfold(0, length, 1))


def check_lstm(student: Any) -> None:
    for count, inputs, hidden in ((3, 2, 4), (1, 5, 2)):
        cell = torch.nn.LSTMCell(inputs, hidden)
        torch.nn.init.zeros_(cell.bias_hh)
        x, h, c = torch.randn(count, inputs), torch.randn(count, hidden), torch.randn(count, hidden)
        weights = cell.weight_ih.detach(), cell.weight_hh.detach(), cell.bias_ih.detach()
        returns = _("two tensors of shape (B, H): the new output and the new cell state")
        check_pair(student, "lstm_step", (x, h, c, *weights), cell(x, (h, c)), returns)


def check_forecaster(student: Any) -> None:
    returns = _("(y, state), with y of shape (B, T, 1)")
    for hidden in (6, 3):
        call = call_words("Forecaster", hidden)
        model = check_module(call, student.Forecaster(hidden)).eval()
        count, right = sum(each.numel() for each in model.parameters()), 4 * hidden * (hidden + 3) + hidden + 1
        if count not in (right, right - 4 * hidden):
            raise Wrong(_("{count} parameters", count=count), _("{count} parameters", count=right), call)
        x = torch.randn(4, 9, 1)
        call = f"{call}(x)"
        y, _state = several(call, model(x), 2, returns)
        y = as_tensor(call, y, returns)
        compare(call, torch.zeros_like(y), torch.zeros(4, 9, 1))
        alone = torch.cat([model(each[None])[0] for each in x])
        compare(_("{call}, a sequence among others and alone", call=call), y, alone)
        changed = torch.cat([x[:, :5], x[:, 5:] + 1], 1)
        later = model(changed)[0]
        compare(_("y[:, :5] of {call}, where later angles are changed", call=call), later[:, :5], y[:, :5])
        if (later[:, 5:] - y[:, 5:]).abs().amax((0, 2)).min() < 1e-7:
            raise Wrong(_("predictions that do not depend on x"), _("y[:, t] that depends on x[:, t]"), call)
        _first, state = model(x[:, :4])
        call = _("model(x[:, 4:], state), the state after x[:, :4]")
        compare(call, several(call, model(x[:, 4:], state), 2, returns)[0], y[:, 4:])


def check_loss(student: Any) -> None:
    for count, steps in ((2, 3), (5, 8)):
        y, x = torch.randn(count, steps, 1), torch.randn(count, steps, 1)
        right = ((y[:, : steps - 1] - x[:, 1:]) ** 2).mean()
        call, found = results(student, "one_step_loss", y.requires_grad_(), x)
        compare(call, found, right)
        if not as_tensor(call, found, _("a tensor with one number")).requires_grad:
            raise Wrong(_("a tensor without a gradient"), _("a tensor that PyTorch can differentiate"), call)


class Adding(torch.nn.Module):
    """A model whose predictions are known: the sum of all that it has read, and a tenth."""

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        before = torch.zeros(len(x), 1, 1) if state is None else state
        total = before + x.cumsum(1)
        return total + 0.1, total[:, -1:]


def check_roll_out(student: Any) -> None:
    for past_steps, steps in ((3, 1), (3, 5), (1, 4)):
        past, model = torch.rand(2, past_steps, 1), Adding()
        total, right = past.sum(1, keepdim=True), []
        for _step in range(steps):
            right.append(total + 0.1)
            total = total + right[-1]
        call = _(
            "roll_out of a model that adds up its inputs, past of {past} steps, {steps} predicted",
            past=past_steps,
            steps=steps,
        )
        compare(call, student.roll_out(model, past.clone(), steps), torch.cat(right, 1))


def check_error(student: Any) -> None:
    for count, steps in ((3, 4), (8, 2)):
        predicted, future = torch.randn(count, steps, 1), torch.randn(count, steps, 1)
        right = ((predicted - future) ** 2).double().mean(0)[:, 0] ** 0.5
        check_call(student, "error_by_horizon", (predicted, future), right)


def check_persistence(student: Any) -> None:
    for count, past_steps, steps in ((2, 3, 4), (3, 1, 1)):
        past = torch.randn(count, past_steps, 1)
        check_call(student, "persistence", (past, steps), past[:, -1:].expand(count, steps, 1))


STEPS = (
    Step(
        "windows",
        check_windows,
        _("a tensor of shape (T - length + 1, length)"),
        _("Row i is series[i : i + length]; torch.stack makes one tensor of a list of rows."),
    ),
    Step(
        "lstm_step",
        check_lstm,
        _("two tensors of shape (B, H): the new output and the new cell state"),
        _("Compute z first; its chunk(4, dim=1) gives the four parts. The new output needs the new cell state."),
    ),
    Step(
        "Forecaster",
        check_forecaster,
        _("a torch.nn.Module that returns (y, state), with y of shape (B, T, 1)"),
        _("torch.nn.LSTM(1, hidden, batch_first=True) returns the outputs of all steps, and its state; pass both on."),
    ),
    Step(
        "one_step_loss",
        check_loss,
        _("a tensor with one number"),
        _("Leave out the last prediction, y[:, :-1], and the first angle, x[:, 1:]."),
    ),
    Step(
        "roll_out",
        check_roll_out,
        _("a tensor of shape (B, steps, 1)"),
        _("The last prediction after the past is the first answer. Pass the state on."),
    ),
    Step(
        "error_by_horizon",
        check_error,
        _("a tensor of shape (steps,)"),
        _("Square, take the mean over the sequences but not over the steps, then the square root."),
    ),
    Step(
        "persistence",
        check_persistence,
        _("a tensor of shape (B, steps, 1)"),
        _("past[:, -1:] has the shape (B, 1, 1); repeat or expand it."),
    ),
)
