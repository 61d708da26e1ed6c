"""Updates that are recorded once and then replayed: the same operations on the same memory, without autograd.

A small network's update is hundreds of small operations, and half of its time goes into what surrounds them: Python,
the graph of gradients, new memory for each result. All of that is the same at every update. So the first call of a
function is executed as it stands, while its operations are listed, those of its gradients too. Each later call copies
new inputs over the old ones and executes the list. The results are those of the function, bit for bit.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


def map_tensors(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """The same tuples, lists and dictionaries with `function` of each tensor; all else stays."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {name: map_tensors(function, part) for name, part in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [map_tensors(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)  # type: ignore[call-arg]
    return tree


def tensors_of(*trees: Any) -> list[Tensor]:
    """All tensors in tuples, lists and dictionaries."""
    found: list[Tensor] = []
    map_tensors(found.append, trees)
    return found


def copy_of(tensor: Tensor) -> Tensor:
    """The same numbers in memory of the same order, in which sums have the same rounding."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor)


def memory(tensor: Tensor) -> int:
    """The address of the memory that a tensor is a view of."""
    return tensor.untyped_storage().data_ptr()


@cache
def into_memory(operation: OpOverload) -> tuple[OpOverload, list[str]] | None:
    """The variant of an operation that writes its results where it is told, and their names; None if there is none."""
    fixed = {"dtype", "layout", "device", "pin_memory"}  # the given memory has these already
    wanted = [(x.name, str(x.type)) for x in operation._schema.arguments]
    for takes in (wanted, [argument for argument in wanted if argument[0] not in fixed]):
        for name in operation._overloadpacket.overloads():
            variant = getattr(operation._overloadpacket, name)
            results = [x.name for x in variant._schema.arguments if x.is_out]
            if results and takes == [(x.name, str(x.type)) for x in variant._schema.arguments if not x.is_out]:
                return variant, results
    return None


aten: Any = torch.ops.aten
# PyTorch writes these results into given memory by way of new memory. Others give the same bits without it.
DIRECT: dict[OpOverload, Callable[..., tuple[OpOverload, Sequence[Any], dict[str, Any]]]] = {
    aten.relu.default: lambda made, x: (aten.clamp_min.out, (x, 0), {"out": made}),
    aten.clone.default: lambda made, x: (aten.copy_.default, (made, x), {}),
    aten._to_copy.default: lambda made, x: (aten.copy_.default, (made, x), {}),
    aten.ones_like.default: lambda made, x: (aten.fill_.Scalar, (made, 1), {}),
    aten.new_zeros.default: lambda made, x, size: (aten.zero_.default, (made,), {}),
}


class Call(NamedTuple):
    """One operation, and the tensors that it makes."""

    operation: Callable
    arguments: Sequence[Any]
    keywords: dict[str, Any]
    made: list[Tensor]


class Recorder(TorchDispatchMode):
    """Lists the operations that are executed while it is active; `calls` is None if they cannot be replayed."""

    calls: list[Call] | None

    def __init__(self):
        super().__init__()
        self.calls = []
        self.kept: list[Any] = []  # tensors that are alive have different memory

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise PyTorch loads its compiler at the first operation, which takes a second

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.kept.append((args, kwargs, result))
        made, given = tensors_of(result), {memory(tensor) for tensor in tensors_of(args, kwargs)}
        if self.calls is None:
            return result
        if func._schema.is_mutable:
            self.calls.append(Call(func._op, args, kwargs, []))  # the operation itself, without a wrapper in Python
        elif made and all(memory(tensor) in given for tensor in made):
            pass  # a view: it needs no second call
        elif func._schema.name.startswith(("aten::empty", "aten::new_empty")) or (made and not any(map(memory, made))):
            pass  # memory that another operation fills, or nothing
        elif func in DIRECT:
            operation, arguments, keywords = DIRECT[func](result, *args)
            self.calls.append(Call(operation._op, arguments, keywords, made))
        elif not made or (variant := into_memory(func)) is None:
            self.calls = None  # a number that Python may decide on, or results in memory of their own
        else:
            takes = {x.name for x in variant[0]._schema.arguments}
            keywords = {name: value for name, value in kwargs.items() if name in takes}
            self.calls.append(Call(variant[0]._op, args, keywords | dict(zip(variant[1], made, strict=True)), made))
        return result


def share_memory(calls: Sequence[Call], results: Sequence[Tensor]) -> None:
    """Let results that are never needed at the same time lie in the same memory, which then stays in the cache."""
    last: dict[int, int] = {}
    views: dict[int, Tensor] = {}
    for number, call in enumerate([*calls, Call(len, results, {}, [])]):
        for tensor in tensors_of(call.arguments, call.keywords):
            last[memory(tensor)], views[id(tensor)] = number, tensor
    free: defaultdict[int, list[Any]] = defaultdict(list)  # size -> memory that is not needed any more
    places: dict[int, Any] = {}
    for number, call in enumerate(calls):
        for tensor in call.made:
            size = tensor.untyped_storage().nbytes()
            new = free[size].pop() if free[size] else torch.empty(size, dtype=torch.uint8).untyped_storage()
            places[memory(tensor)] = new
        for place in {memory(tensor) for tensor in tensors_of(call.arguments, call.keywords)} & places.keys():
            if last[place] == number:
                free[places[place].nbytes()].append(places[place])
    moved = [(view, places[memory(view)]) for view in views.values() if memory(view) in places]
    for view, place in moved:
        view.set_(place, view.storage_offset(), view.size(), view.stride())


class Recording:
    """One call of a function, `result`, which can be replayed with other inputs of the same shapes and types."""

    def __init__(self, function: Callable, inputs: Sequence[Any]):
        kept = map_tensors(copy_of, inputs)
        self.inputs = tensors_of(kept)
        with Recorder() as recorder:
            outputs = map_tensors(Tensor.detach, function(*kept))
        self.result = map_tensors(torch.clone, outputs)
        self.outputs, self.calls = outputs, recorder.calls
        if self.calls is not None:
            with torch.no_grad():
                share_memory(self.calls, tensors_of(outputs))

    @torch.no_grad()
    def replay(self, inputs: Sequence[Any]) -> Any:
        for kept, new in zip(self.inputs, tensors_of(inputs), strict=True):
            kept.copy_(new)
        for operation, arguments, keywords, _ in self.calls or ():
            operation(*arguments, **keywords)
        return map_tensors(torch.clone, self.outputs)


class Recordings:
    """Functions that are recorded at their first call. A copy of an agent, or of this, begins without any."""

    def __init__(self):
        self.table: dict[Hashable, Recording] = {}
        self.depends: Any = None

    def __call__(self, function: Callable, *inputs: Any, depends: Any = None) -> Any:
        """function(*inputs), a function of tensors that may change others in place, and returns some.

        Its Python decides on no number in a tensor, and uses no others that change from call to call. Where `depends`
        is another than at the last call, all functions are recorded anew.
        """
        if depends != self.depends:
            self.table.clear()
            self.depends = depends
        key = function.__name__, *((x.shape, x.stride(), x.dtype) for x in tensors_of(inputs))
        recording = self.table.get(key)
        if recording is None:
            recording = self.table[key] = Recording(function, inputs)
            return recording.result
        return function(*inputs) if recording.calls is None else recording.replay(inputs)

    def __deepcopy__(self, memo: Any) -> "Recordings":
        return Recordings()

    def __reduce__(self):
        return Recordings, ()
