"""The one supervised loop: S replicas of a network, each with its own order of the data.

S seed, B minibatch, E epochs.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from balancier import Bound, check, function, number, one_line, optional, shown, whole
from models.finite import DivergenceError, copy_seeds, finite_seeds
from models.optim import Adam, Optimizer
from models.streams import Seeds, permutations, resolve_seeds

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs and targets (S, B, ...) -> (S,), averaged over all but S
ROLE = 77  # of the random streams that order the data
MOST_CHECKED = 32  # samples that are tried before the first step
OPTIONAL_COUNT, LOSS = optional(whole(1)), function(2, "outputs and targets")
FACTOR = Bound(number(0).holds, "a function that returns a number of at least 0")
METRICS = Bound(
    lambda x: x is None or (isinstance(x, Mapping) and "loss" not in x and all(map(LOSS.holds, x.values()))),
    "a dictionary of functions, none of them called loss, or None",
)
NO_CLASS = -(2**31)  # PyTorch leaves out one index, -100 unless told another


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean of (output - target)^2 over everything but the seed, (S,); targets that are NaN are padding, left out.

    Raises ValueError unless targets have the shape and the type of outputs.
    """
    if output.shape != target.shape or output.dtype != target.dtype:
        raise mismatch(target, output.shape, f"{output.dtype}, as the output")
    known = ~target.isnan()
    error = torch.where(known, output - target.nan_to_num(), 0.0).flatten(1)
    return error.square().sum(1) / known.flatten(1).sum(1).clamp(min=1)


def cross_entropy(output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of logits (S, B, classes) and class indices (S, B), as `F.cross_entropy`; (S,).

    Raises ValueError unless targets are whole numbers, one for each row of logits, and classes of theirs.
    """
    check(label_smoothing=(label_smoothing, number(0, 1)))
    check_classes(output, target)
    logits, classes = output.flatten(0, -2), target.flatten().long()
    try:
        losses = F.cross_entropy(
            logits, classes, reduction="none", label_smoothing=label_smoothing, ignore_index=NO_CLASS
        )
    except IndexError:
        raise out_of_range(target, output.shape[-1]) from None
    return losses.reshape(len(output), -1).mean(1)


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of examples whose largest logit is that of their class, (S,); raises as `cross_entropy`."""
    check_classes(output, target)
    return (output.argmax(-1) == target).flatten(1).to(output.dtype).mean(1)


def check_classes(output: Tensor, target: Tensor) -> None:
    """Raise ValueError unless targets (S, B) are whole numbers, one for each row of logits (S, B, classes)."""
    if output.shape[:-1] != target.shape or target.is_floating_point():
        raise mismatch(target, output.shape[:-1], f"torch.int64, class indices for logits {tuple(output.shape)}")


def out_of_range(target: Tensor, classes: int) -> ValueError:
    """The error for class indices that have no logit."""
    found = f"{int(target.min())} to {int(target.max())}"
    return ValueError(f"target: found classes {found}, expected 0 to {classes - 1}, for {classes} logits")


def mismatch(target: Tensor, shape: torch.Size, expected: str) -> ValueError:
    """The error for targets of another shape or type than expected, which PyTorch would broadcast or convert."""
    if target.shape != shape:
        return ValueError(
            f"target: found shape {tuple(target.shape)}, expected {tuple(shape)}, {expected.partition(', ')[2]}"
        )
    return ValueError(f"target: found {target.dtype}, expected {expected}")


@dataclass
class History:
    """The numbers of a training: every array is (E, S)."""

    train: dict[str, np.ndarray] = field(default_factory=dict)  # means over the epoch's minibatches, while learning
    validation: dict[str, np.ndarray] = field(default_factory=dict)  # after the epoch
    seconds: float = 0.0  # of the processor
    best_epoch: np.ndarray | None = None  # (S,) with early stopping: the epoch whose weights were kept

    def add(self, part: Literal["train", "validation"], numbers: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Append the numbers (S,) of one epoch; returns them as a callback gets them."""
        arrays, values = getattr(self, part), {name: value.numpy(force=True) for name, value in numbers.items()}
        for name, value in values.items():
            arrays[name] = np.concatenate([arrays.get(name, np.empty((0, len(value)), value.dtype)), value[None]])
        return values if part == "train" else {f"validation_{name}": value for name, value in values.items()}


class EarlyStopping:
    """Stops each replica after `patience` epochs without a better validation loss; `active` says which ones go on.

    It keeps the weights of each replica's best epoch, `best_epoch` (S,), until `restore` puts them back.
    """

    def __init__(self, network: nn.Module, patience: int, num_seeds: int):
        self.network, self.patience = network, patience
        self.active = [True] * num_seeds
        self.best_loss = torch.full((num_seeds,), torch.inf)
        self.best_epoch = torch.zeros(num_seeds, dtype=torch.int64)
        self.best_weights = [tensor.clone() for tensor in state_tensors(network)]
        self.epochs_since_best = torch.zeros(num_seeds, dtype=torch.int64)

    def update(self, epoch: int, loss: Tensor) -> None:
        """Take the validation losses (S,) after an epoch."""
        better = loss < self.best_loss
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.best_epoch = torch.where(better, epoch, self.best_epoch)
        self.epochs_since_best = torch.where(better, 0, self.epochs_since_best + 1)
        for best, tensor in zip(self.best_weights, state_tensors(self.network), strict=True):
            best[better] = tensor[better]
        self.active = (self.epochs_since_best < self.patience).tolist()

    def restore(self) -> None:
        """Give every replica its best weights."""
        for best, tensor in zip(self.best_weights, state_tensors(self.network), strict=True):
            tensor.copy_(best)


def state_tensors(network: nn.Module) -> list[Tensor]:
    """The parameters and buffers of a network, (S, ...) each, sharing its memory."""
    return [tensor.detach() for tensor in network.state_dict().values()]


class Guard:
    """Stops a replica whose numbers are no longer finite, in the state of the last epoch after which they were.

    `active` says which ones go on.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer, seeds: Sequence[int]):
        self.network, self.optimizer, self.seeds = network, optimizer, seeds
        self.active = torch.ones(len(seeds), dtype=torch.bool)
        self.good = [tensor.clone() for tensor in self.state()]

    def state(self) -> list[Tensor]:
        """What learns, (S, ...) each."""
        buffers = [x for x in self.network.buffers() if x.shape[:1] == self.active.shape]
        return [self.optimizer.flat, *buffers]

    @torch.no_grad()
    def update(self, epoch: int) -> None:
        """To be called after an epoch. Raises DivergenceError if no replica goes on."""
        state, before = self.state(), self.active
        self.active = finite_seeds(state, len(before)) & before
        copy_seeds(state, self.good, self.active)
        copy_seeds(self.good, state, ~self.active)
        stopped = (before & ~self.active).nonzero().flatten().tolist()
        texts = [
            f"stopped seed {self.seeds[i]} in epoch {epoch}, with the weights of the one before: found numbers that "
            f"are not finite with learning_rate {self.optimizer.learning_rate[i]:g}, expected finite ones; lower "
            "learning_rate, or scale inputs and targets"
            for i in stopped
        ]
        if not self.active.any():
            raise DivergenceError("; ".join(texts))
        for text in texts:
            warnings.warn(f"{text}; the others go on", stacklevel=4)


def drop(at: Mapping[float, float]) -> Callable[[float], float]:
    """A schedule that multiplies the learning rate by each factor from its epoch on."""
    return lambda epoch: float(np.prod([factor for start, factor in at.items() if epoch >= start]))


def triangle(epochs: float, peak: float = 0.2, end: float = 0.0, start: float = 0.0) -> Callable[[float], float]:
    """A schedule that rises from `start` to 1 over the share `peak` of the epochs and falls to `end`, both linearly."""
    return lambda epoch: float(np.interp(epoch, [0.0, peak * epochs, epochs], [start, 1.0, end]))


def batch_of(data: Dataset, index: Tensor) -> list[Tensor]:
    """The samples `index` (S, B) of a map-style data set, each tensor (S, B, ...)."""
    if isinstance(data, TensorDataset):
        return [tensor[index] for tensor in data.tensors]
    different, position = index.unique(return_inverse=True)
    samples = default_collate([data[int(number)] for number in different])
    return [part[position] for part in samples]


def all_indices(data: Dataset, num_seeds: int) -> Tensor:
    """Every index of the data for every replica, (S, n)."""
    return torch.arange(len(data)).expand(num_seeds, -1)  # type: ignore[arg-type]


def evaluate(
    network: nn.Module, data: Dataset, metrics: Mapping[str, Loss], indices: Tensor, batch_size: int = 1024
) -> dict[str, Tensor]:
    """Each metric (S,) of each replica over its `indices` (S, n) of the data, in evaluation mode."""
    training, totals = network.training, {name: torch.zeros(len(indices)) for name in metrics}
    network.eval()
    with torch.no_grad():
        for index in indices.split(batch_size, 1):
            *inputs, target = batch_of(data, index)
            output = network(*inputs)
            for name, metric in metrics.items():
                totals[name] += one_a_seed(name, metric(output, target), len(indices)) * (
                    len(index[0]) / len(indices[0])
                )
    network.train(training)
    return totals


def minibatches(
    data: Dataset,
    indices: Tensor,
    batch_size: int | None,
    seeds: Sequence[int],
    augment: Callable[[Tensor, float], Tensor] | None,
    epoch: int,
) -> Iterator[tuple[float, float, list[Tensor]]]:
    """One epoch of minibatches in each seed's own random order; all data in one minibatch are not shuffled.

    Yields:
        The time in epochs, the share of the epoch's samples in this minibatch, and its tensors (S, B, ...).
    """
    count = indices.shape[1]
    size = count if batch_size is None else min(batch_size, count)
    if size < count:
        indices = indices.gather(1, permutations(seeds, (ROLE, epoch), 1, count)[:, 0])
    for step, index in enumerate(indices.split(size, 1)):
        first, *others = batch_of(data, index)
        if augment is not None:
            first, shape = augment(first, epoch), first.shape[:2]
            if not isinstance(first, Tensor) or first.shape[:2] != shape:
                found = f"shape {tuple(first.shape)}" if isinstance(first, Tensor) else shown(first)
                raise ValueError(f"augment: found {found}, expected inputs {tuple(shape)}, (S, B, ...), as those given")
        yield epoch + step * size / count, index.shape[1] / count, [first, *others]


def train_epoch(
    network: nn.Module,
    batches: Iterable[tuple[float, float, list[Tensor]]],
    functions: Mapping[str, Loss],
    optimizer: Optimizer,
    rates_at: Callable[[float], list[float]],
    active: Sequence[bool] | None,
) -> dict[str, Tensor]:
    """One step down the gradient of `functions["loss"]` for each minibatch; means (S,) of all functions.

    `rates_at` gives the learning rates (S,) at a time in epochs; replicas that are not `active` do not change.
    """
    network.train()
    totals: dict[str, Tensor] = {}
    for now, share, (*inputs, target) in batches:
        optimizer.learning_rate = rates_at(now)
        output = network(*inputs)
        losses = one_a_seed("loss", functions["loss"](output, target), len(output))
        with torch.no_grad():
            for name, function in functions.items():
                value = losses if name == "loss" else one_a_seed(name, function(output, target), len(output))
                total = totals.setdefault(name, torch.zeros(len(value)))
                total += value * share
        optimizer.step(losses, active)
    return totals


def one_a_seed(name: str, value: Tensor, num_seeds: int) -> Tensor:
    """The value of a loss or metric; ValueError unless it is (S,)."""
    if not isinstance(value, Tensor) or value.shape != (num_seeds,):
        found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)
        raise ValueError(f"{name}: found a value {found}, expected ({num_seeds},), one number a seed")
    return value


def check_data(name: str, data: Any) -> None:
    """Raise ValueError for what is no map-style data set of tuples, or has no samples."""
    if isinstance(data, DataLoader):
        expected = f"its data set, fit(network, loader.dataset, batch_size={data.batch_size}, ...)"
        raise ValueError(f"{name}: found a DataLoader, expected {expected}")
    arrays = isinstance(data, list | tuple) and any(isinstance(part, Tensor | np.ndarray) for part in data)
    if (
        arrays
        or isinstance(data, Tensor | np.ndarray)
        or not (hasattr(data, "__len__") and hasattr(data, "__getitem__"))
    ):
        expected = "a data set with a length and an index, such as TensorDataset(inputs, targets)"
        raise ValueError(f"{name}: found a {type(data).__name__}, expected {expected}")
    if len(data) == 0:
        raise ValueError(f"{name}: found an empty data set, expected at least one sample")
    sample, numbers = data[0], Tensor | np.ndarray | np.number | int | float
    if not isinstance(sample, list | tuple) or len(sample) < 2 or not all(isinstance(part, numbers) for part in sample):
        parts = sample if isinstance(sample, list | tuple) else [sample]
        found = ", ".join(type(part).__name__ for part in parts)
        raise ValueError(f"{name}: found samples ({found}), expected (input, ..., target), tensors or arrays")
    tensors: Any = data.tensors if isinstance(data, TensorDataset) else ()  # type: ignore[attr-defined]
    for tensor in tensors:
        padding = tensor.isnan() if tensor is tensors[-1] else tensor.new_zeros((), dtype=torch.bool)
        if tensor.is_complex() or padding.all() or not (tensor.isfinite() | padding).all():
            part = "targets" if tensor is tensors[-1] else "inputs"
            found = f"{part} of {tensor.dtype}" if tensor.is_complex() else f"{part} that are not finite"
            raise ValueError(f"{name}: found {found}, expected finite numbers (NaN in targets is padding)")


def sample_indices(data_name: str, data: Dataset, name: str, indices: Tensor | None, num_seeds: int) -> Tensor:
    """Each replica's samples (S, n) of the data: the given ones, or all; ValueError for what is no data, or none."""
    check_data(data_name, data)
    if indices is None:
        return all_indices(data, num_seeds)
    if not isinstance(indices, Tensor):
        raise ValueError(f"{name}: found {shown(indices)}, expected a tensor ({num_seeds}, n) of torch.int64")
    count = len(data)  # type: ignore[arg-type]
    whole = not (indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool)
    if indices.dim() != 2 or len(indices) != num_seeds or not indices.numel() or not whole:
        found = f"shape {tuple(indices.shape)} of {indices.dtype}"
        raise ValueError(f"{name}: found {found}, expected ({num_seeds}, n) of torch.int64, n at least 1")
    if indices.min() < 0 or indices.max() >= count:
        found = f"{int(indices.min())} to {int(indices.max())}"
        raise ValueError(f"{name}: found {found}, expected indices from 0 to {count - 1}, of the samples")
    return indices


def validation_samples(
    data: Dataset, validation: Dataset | None, indices: Tensor | None, num_seeds: int
) -> tuple[Dataset, Tensor] | None:
    """The data set to validate on and each replica's samples of it, (S, n); None for no validation."""
    if validation is None and indices is None:
        return None
    data = data if validation is None else validation
    return data, sample_indices("validation", data, "validation_indices", indices, num_seeds)


def check_network(network: nn.Module, num_seeds: int) -> None:
    """Raise ValueError for a network without seed axis, or with other seeds."""
    if not isinstance(network, nn.Module) or next(network.parameters(), None) is None:
        raise ValueError(f"network: found {shown(network)}, expected a network with parameters")
    for module in network.modules():
        kind = type(module)
        if kind.__module__.startswith("torch.nn") and "container" not in kind.__module__ and module._parameters:
            raise ValueError(f"network: found a torch.nn.{kind.__name__}, expected layers of models, with a seed axis")
    for name, parameter in network.named_parameters():
        if parameter.shape[:1] != (num_seeds,):
            expected = f"({num_seeds}, ...), one replica for each of the seeds"
            raise ValueError(f"network: found its {name} of shape {tuple(parameter.shape)}, expected {expected}")


def check_samples(
    network: nn.Module, name: str, samples: tuple[Dataset, Tensor], count: int, functions: Mapping[str, Loss]
) -> None:
    """Raise ValueError unless the network takes the first `count` samples, and the functions its outputs."""
    *inputs, target = batch_of(samples[0], samples[1][:, :count])
    dtype, training = next(network.parameters()).dtype, network.training
    for tensor in inputs:
        if tensor.is_floating_point() and tensor.dtype != dtype:
            raise ValueError(f"{name}: found inputs of {tensor.dtype}, expected {dtype}, as the network")
    network.eval()
    try:
        with torch.no_grad():
            output = network(*inputs)
    except (RuntimeError, IndexError, TypeError) as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs)
        reason = str(error).splitlines()[0]
        raise ValueError(f"{name}: found inputs {shapes}, expected some that the network takes ({reason})") from error
    finally:
        network.train(training)
    if cross_entropy in {getattr(f, "func", f) for f in functions.values()} and isinstance(samples[0], TensorDataset):
        classes = samples[0].tensors[-1]
        if not classes.is_floating_point() and (classes.min() < 0 or classes.max() >= output.shape[-1]):
            raise out_of_range(classes, output.shape[-1])
    with torch.no_grad():
        for key, function in functions.items():
            value = one_a_seed(key, function(output, target), len(output))
            if key == "loss" and not value.isfinite().all():
                raise ValueError(f"loss: found {shown(value.tolist())} before the first step, expected finite numbers")


def check_training(
    network: nn.Module,
    functions: Mapping[str, Loss],
    samples: tuple[Dataset, Tensor],
    held_out: tuple[Dataset, Tensor] | None,
    patience: int | None,
    batch_size: int | None,
    augmented: bool,
) -> None:
    """Raise ValueError for what cannot be trained, before the first step.

    What an augmentation makes of the samples is seen in the first minibatch alone: a trial would draw its numbers.
    """
    if patience is not None and held_out is None:
        raise ValueError("patience: found no validation data, expected some to stop by")
    check_network(network, len(samples[1]))
    count = min(batch_size or MOST_CHECKED, MOST_CHECKED)
    if not augmented:
        check_samples(network, "data", samples, count, functions)
    if held_out is not None:  # functions of others may expect that a step was made
        ours = {
            name: f
            for name, f in functions.items()
            if getattr(f, "func", f) in (squared_error, cross_entropy, accuracy)
        }
        check_samples(network, "validation", held_out, count, ours)


OPTIMIZERS = "Adam, SGD or RMSprop of models, or a partial of them"


def make_optimizer(network: nn.Module, optimizer: Callable[..., Optimizer], learning_rate: Any) -> Optimizer:
    """The optimizer of the parameters that learn; ValueError for one of PyTorch's, which knows no seeds."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    try:
        made = optimizer(learning, learning_rate)
    except TypeError as error:
        raise ValueError(f"optimizer: found {shown(optimizer)} ({one_line(error)}), expected {OPTIMIZERS}") from error
    if not isinstance(made, Optimizer):
        found = f"{type(made).__module__.partition('.')[0]}'s {type(made).__name__}"
        raise ValueError(f"optimizer: found {found}, expected {OPTIMIZERS}")
    return made


@contextmanager
def parameters_in_place(network: nn.Module) -> Iterator[None]:
    """Give the parameters back their own memory afterwards, out of that of an optimizer, with their new values."""
    places = {parameter: parameter.data for parameter in network.parameters()}
    try:
        yield
    finally:
        for parameter, place in places.items():
            if parameter.dtype == place.dtype and parameter.data_ptr() != place.data_ptr():
                parameter.data = place.copy_(parameter.data)


def checked_factor(factor: Any) -> float:
    """What a schedule returned; ValueError for what is no number of at least 0."""
    check(schedule=(factor, FACTOR))
    return float(factor)


def train_epochs(
    network: nn.Module,
    epochs: int,
    batches: Callable[[int], Iterator[tuple[float, float, list[Tensor]]]],
    functions: Mapping[str, Loss],
    optimize: Optimizer,
    schedule: Callable[[float], float],
    held_out: tuple[Dataset, Tensor] | None,
    patience: int | None,
    callback: Callable[[int, dict[str, Any]], bool | None] | None,
    seeds: Sequence[int],
) -> History:
    """The epochs of `fit`; `batches(epoch)` gives the minibatches of one."""
    began, history = time.process_time(), History()
    rates = torch.tensor(optimize.learning_rate)
    stopping = None if patience is None else EarlyStopping(network, patience, len(rates))
    guard = Guard(network, optimize, seeds)
    for epoch in range(epochs):
        active = None if guard.active.all() else guard.active.tolist()
        if stopping is not None:
            active = [goes and learns for goes, learns in zip(guard.active.tolist(), stopping.active, strict=True)]
        learning_rate = lambda t: (rates * checked_factor(schedule(t))).tolist()  # noqa: E731
        totals = train_epoch(network, batches(epoch), functions, optimize, learning_rate, active)
        guard.update(epoch)
        numbers = history.add("train", totals)
        if held_out is not None:
            scores = evaluate(network, held_out[0], functions, held_out[1])
            numbers |= history.add("validation", scores)
            if stopping is not None:
                stopping.update(epoch, scores["loss"])
        answer = None if callback is None else callback(epoch, numbers)
        if (answer is not None and not answer) or (stopping and not any(stopping.active)):
            break
    if stopping is not None:
        stopping.restore()
        history.best_epoch = stopping.best_epoch.numpy()
    history.seconds = time.process_time() - began
    return history


def fit(
    network: nn.Module,
    data: Dataset,
    loss: Loss = squared_error,
    *,
    seeds: Seeds,
    epochs: int,
    batch_size: int | None = 32,
    learning_rate: float | Sequence[float] | np.ndarray | Tensor = 1e-3,
    optimizer: Callable[..., Optimizer] = Adam,
    schedule: Callable[[float], float] = lambda epoch: 1.0,
    validation: Dataset | None = None,
    indices: Tensor | None = None,
    validation_indices: Tensor | None = None,
    metrics: Mapping[str, Loss] | None = None,
    augment: Callable[[Tensor, float], Tensor] | None = None,
    patience: int | None = None,
    callback: Callable[[int, dict[str, Any]], bool | None] | None = None,
) -> History:
    """Train S replicas of a network on the same data, each in its own random order.

    Args:
        network: called with all tensors of a minibatch (S, B, ...) but the last, which is the target.
        data: any map-style data set whose items are (input, ..., target); its tensors are shared, never copied S times.
        loss: of outputs and targets, (S,), the mean over everything but the seed.
        seeds: those of the replicas, as many as the network has.
        batch_size: samples of a minibatch; None takes all data in every step.
        learning_rate: one number, or one for each replica.
        optimizer: `Adam`, `SGD`, `RMSprop`, or a `partial` of them.
        schedule: maps the time in epochs (a fraction) to a factor of the learning rate.
        validation: data set to validate on after each epoch; None with `validation_indices` for a part of `data`.
        indices, validation_indices: (S, n), each replica's training and validation samples; None for all samples.
        metrics: name -> function like `loss`, reported beside it.
        augment: changes the first input (S, B, ...) of each training minibatch; called with it and the epoch.
        patience: stop a replica after this number of epochs without a better validation loss, and put its best weights
            back; the others go on.
        callback: called after each epoch with its number and {"loss": (S,), "validation_loss": (S,), ...}; ends the
            training by returning False, or anything else that is false but None.

    Raises:
        ValueError: before the first step, for what PyTorch would broadcast or convert, or for what is no data set.
        DivergenceError: where the numbers of no replica are finite any more. One alone stops with a warning, with the
            weights of the epoch before, and the others go on.
    """
    check(epochs=(epochs, whole(1)), batch_size=(batch_size, OPTIONAL_COUNT), patience=(patience, OPTIONAL_COUNT))
    check(loss=(loss, LOSS), optimizer=(optimizer, function(2, "parameters and rates")), metrics=(metrics, METRICS))
    check(schedule=(schedule, function(1, "the epoch")), augment=(augment, optional(function(2, "inputs and epoch"))))
    check(callback=(callback, optional(function(2, "epoch and numbers"))))
    seeds, functions = resolve_seeds(seeds), {"loss": loss, **(metrics or {})}
    indices = sample_indices("data", data, "indices", indices, len(seeds))
    held_out = validation_samples(data, validation, validation_indices, len(seeds))
    check_training(network, functions, (data, indices), held_out, patience, batch_size, augment is not None)
    batches = partial(minibatches, data, indices, batch_size, seeds, augment)
    with parameters_in_place(network):
        optimize = make_optimizer(network, optimizer, learning_rate)
        return train_epochs(
            network, epochs, batches, functions, optimize, schedule, held_out, patience, callback, seeds
        )
