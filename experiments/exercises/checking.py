"""What the checks of the exercises share: a step, a value that is not right yet, and comparisons that say why.

A check calls a function of the student's file on inputs that the file does not show. It accepts arrays, tensors, lists
and numbers, wherever the step does not need one of them. Every difference ends as `Wrong`: found, expected, and the
call after which it was found.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from balancier import _

SMALL = 12  # numbers of an array that a message shows completely


@dataclass(frozen=True)
class Step:
    """One step of an exercise.

    Args:
        name: the function or class of the student's file.
        check: is given the student's module, and raises Wrong or what the student's code raises.
        returns: the expected result in words, for everything that is no value.
        hint: what helps a student who is stuck.
    """

    name: str
    check: Callable[[Any], None]
    returns: str
    hint: str


class Wrong(Exception):
    """A result that is not the expected one, in words."""

    def __init__(self, found: str, expected: str, call: str = ""):
        super().__init__(found)
        self.found, self.expected, self.call = found, expected, call


def words(value: Any, most: int = SMALL) -> str:
    """A value in a message: arrays of up to `most` numbers completely, larger ones by their shape; one line."""
    if value is None:
        return _("None: does the function return its result?")
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray) and value.ndim:
        if value.size <= most and value.dtype.kind in "fiub":
            return list_words(value.tolist())
        return _("an array of shape {shape}", shape=shape_words(value.shape))
    if isinstance(value, tuple | list):
        inner = ", ".join(words(each, most) for each in value[:SMALL])
        return f"[{inner}{', ...' if len(value) > SMALL else ''}]"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    text = " ".join(repr(value.item() if isinstance(value, np.generic) else value).split())
    return text if len(text) <= 100 else f"{text[:80]} ... {text[-10:]}"


def typed_words(value: Any) -> str:
    return words(None) if value is None else _("{value}, of type {type}", value=words(value), type=type(value).__name__)


def list_words(values: Any) -> str:
    """Nested lists of numbers, four digits each."""
    if isinstance(values, list):
        return f"[{', '.join(map(list_words, values))}]"
    return f"{values:.4g}" if isinstance(values, float) else str(values)


def shape_words(shape: Sequence[int]) -> str:
    return str(tuple(shape))


def call_words(name: str, *arguments: Any) -> str:
    return f"{name}({', '.join(words(each, 6) for each in arguments)})"


def to_array(value: Any, expected: str, call: str) -> np.ndarray:
    """The numbers of an array, tensor, list or number; Wrong for anything else."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, tuple | list) and any(isinstance(each, torch.Tensor) for each in value):
        value = [to_array(each, expected, call) for each in value]
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        raise Wrong(_("lists of unequal lengths"), expected, call) from None
    if value is None or array.dtype.kind not in "fiub":
        raise Wrong(typed_words(value), expected, call)
    return array


def compare(call: str, found: Any, expected: Any, tolerance: float = 1e-4) -> None:
    """Wrong unless the numbers and the shape are the expected ones; a number may also be an array of one."""
    right = to_array(expected, "", "")
    array = to_array(found, words(right if right.ndim else right.item()), call)
    if array.shape != right.shape and not (right.ndim == 0 and array.size == 1):
        raise Wrong(
            _("the shape {shape}", shape=shape_words(array.shape)),
            _("the shape {shape}", shape=shape_words(right.shape)),
            call,
        )
    array = array.reshape(right.shape).astype(np.float64)
    near = np.abs(array - right) <= tolerance * (1 + np.abs(right))  # False where one is NaN
    if near.all():
        return
    if right.size <= SMALL:
        raise Wrong(words(array if right.ndim else array.item()), words(right if right.ndim else right.item()), call)
    place = tuple(int(index) for index in np.argwhere(~near)[0])
    raise Wrong(
        _("{value} at index {index}", value=words(array[place]), index=list(place)),
        _("{value} at index {index}", value=words(right[place]), index=list(place)),
        call,
    )


def results(student: Any, name: str, *arguments: Any) -> tuple[str, Any]:
    """Call a function of the student's file on copies of the arguments: the call in words, and its result."""
    return call_words(name, *arguments), getattr(student, name)(*copy.deepcopy(arguments))


def check_call(student: Any, name: str, arguments: Sequence[Any], expected: Any, tolerance: float = 1e-4) -> Any:
    """Compare what a call returns with what is expected; the result."""
    call, found = results(student, name, *arguments)
    compare(call, found, expected, tolerance)
    return found


def check_pair(student: Any, name: str, arguments: Sequence[Any], expected: Sequence[Any], returns: str) -> None:
    """The same for a function that returns several things."""
    call, found = results(student, name, *arguments)
    for value, right in zip(several(call, found, len(expected), returns), expected, strict=True):
        compare(call, value, right)


def several(call: str, found: Any, count: int, returns: str) -> Any:
    """The things that a call returned; Wrong if they are not so many."""
    if not isinstance(found, tuple | list | np.ndarray | torch.Tensor) or len(found) != count:
        raise Wrong(words(found), returns, call)
    return found


def as_tensor(call: str, found: Any, returns: str) -> torch.Tensor:
    """The result where PyTorch has to go on with it; Wrong if it is no tensor."""
    if not isinstance(found, torch.Tensor):
        raise Wrong(typed_words(found), returns, call)
    return found


def check_share(call: str, what: str, found: float, expected: float, margin: float) -> None:
    """A number measured on many random values, which may differ by `margin`; `what` names it."""
    if not abs(found - expected) <= margin:
        text = _("{name} {value:.3f}", name=what, value=found)
        raise Wrong(text, _("{name} {value:.3f}", name=what, value=expected), call)


def check_module(call: str, value: Any) -> torch.nn.Module:
    if not isinstance(value, torch.nn.Module):
        raise Wrong(words(value), _("a torch.nn.Module: the class inherits from it and calls super().__init__()"), call)
    return value


def check_shapes(call: str, network: torch.nn.Module, expected: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The parameters in the order of the expected shapes; Wrong if the network has others."""
    left = list(network.parameters())
    ordered: list[torch.Tensor] = []
    for shape in expected:
        same = [each for each in left if tuple(each.shape) == tuple(shape)]
        if not same:
            break
        ordered.append(same[0])
        left = [each for each in left if each is not same[0]]
    if left or len(ordered) < len(expected):
        found = ", ".join(shape_words(each.shape) for each in network.parameters()) or _("none")
        wanted = ", ".join(shape_words(shape) for shape in expected)
        text = _("parameters of the shapes {shapes}", shapes=found)
        raise Wrong(text, _("parameters of the shapes {shapes}", shapes=wanted), call)
    return ordered
