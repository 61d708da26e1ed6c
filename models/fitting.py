"""The one supervised loop: S replicas of a network, each with its own order of the data.

S seed, B minibatch, E epochs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset, default_collate

from models.optim import SGD, Adam
from models.streams import Seeds, permutations, resolve_seeds

Loss = Callable[[Tensor, Tensor], Tensor]  # outputs and targets (S, B, ...) -> (S, ...), averaged over all but S
ROLE = 77  # of the random streams that order the data


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Mean of (output - target)^2 over everything but the seed, (S,); targets that are NaN are padding, left out."""
    counts = ~target.isnan()
    error = torch.where(counts, output - target.nan_to_num(), 0.0).flatten(1)
    return error.square().sum(1) / counts.flatten(1).sum(1).clamp(min=1)


def cross_entropy(output: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of logits (S, B, classes) and class indices (S, B), as `F.cross_entropy`; (S,)."""
    losses = F.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="none", label_smoothing=label_smoothing)
    return losses.reshape(len(output), -1).mean(1)


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Share of examples whose largest logit is that of their class, (S,)."""
    return (output.argmax(-1) == target).flatten(1).to(output.dtype).mean(1)


@dataclass
class History:
    """What `fit` saw: every array is (E, S)."""

    train: dict[str, np.ndarray] = field(default_factory=dict)  # means over the epoch's minibatches, while learning
    validation: dict[str, np.ndarray] = field(default_factory=dict)  # after the epoch
    seconds: float = 0.0  # of the processor
    best_epoch: np.ndarray | None = None  # (S,) with early stopping: the epoch whose weights were kept

    def add(self, part: Literal["train", "validation"], numbers: Mapping[str, Tensor]) -> None:
        indices = getattr(self, part)
        for name, value in numbers.items():
            row = value.detach().numpy(force=True)[None].copy()
            indices[name] = np.concatenate([indices[name], row]) if name in indices else row


def drop(at: Mapping[float, float]) -> Callable[[float], float]:
    """A schedule that multiplies the learning rate by a factor from each given epoch on."""
    return lambda epoch: float(np.prod([factor for when, factor in at.items() if epoch >= when]))


def triangle(epochs: float, peak: float = 0.2, end: float = 0.0, start: float = 0.0) -> Callable[[float], float]:
    """A schedule that rises from `start` to 1 over the share `peak` of the epochs and falls to `end`, both linearly."""
    return lambda epoch: float(np.interp(epoch, [0.0, peak * epochs, epochs], [start, 1.0, end]))


def batch_of(data: Dataset, index: Tensor) -> list[Tensor]:
    """Rows `index` (S, B) of a map-style data set, each tensor (S, B, ...)."""
    if isinstance(data, TensorDataset):
        return [tensor[index] for tensor in data.tensors]
    wanted, where = index.unique(return_inverse=True)
    indices = default_collate([data[int(row)] for row in wanted])
    return [part[where] for part in indices]


def evaluate(
    network: nn.Module, data: Dataset, metrics: Mapping[str, Loss], indices: Tensor, batch_size: int = 1024
) -> dict[str, Tensor]:
    """Each metric of each replica over its `indices` (S, n) of the data, in evaluation mode; (S,)."""
    was, totals = network.training, {name: torch.zeros(len(indices)) for name in metrics}
    network.eval()
    with torch.no_grad():
        for index in indices.split(batch_size, 1):
            *inputs, target = batch_of(data, index)
            output = network(*inputs)
            for name, metric in metrics.items():
                totals[name] += metric(output, target) * (index.shape[1] / indices.shape[1])
    network.train(was)
    return totals


def fit(
    network: nn.Module,
    data: Dataset,
    loss: Loss = squared_error,
    *,
    seeds: Seeds,
    epochs: int,
    batch_size: int | None = 32,
    learning_rate: float | Sequence[float] | np.ndarray | Tensor = 1e-3,
    optimizer: Callable[..., Adam | SGD] = Adam,
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
        data: any map-style data set whose items are (input, ..., target); tensors are shared, never copied S times.
        loss: of outputs and targets, (S,), the mean over everything but the seed.
        seeds: those of the replicas, as many as the network has.
        batch_size: None takes all data in every step.
        learning_rate: one number, or one a replica.
        optimizer: `Adam`, `SGD`, or a `partial` of them.
        schedule: factor of the learning rate, of the epoch (fractions included).
        validation: data set to validate on after each epoch; with `validation_indices` alone, indices of `data`.
        indices, validation_indices: (S, n), which indices each replica trains and validates on; None for all, for each.
        metrics: name -> function like `loss`, reported beside it.
        augment: changes the first input (S, B, ...) of each training minibatch; called with it and the epoch.
        patience: stop a replica after so many epochs without a better validation loss, and give it its best weights
            back; the others go on.
        callback: called after each epoch with its number and {"loss": (S,), "validation_loss": (S,), ...}; ends the
            training by returning False.

    Raises:
        ValueError: for an empty data set, or patience without validation.
    """
    if len(data) == 0:  # type: ignore[arg-type]
        raise ValueError("data: found an empty data set, expected at least one row")
    seeds = resolve_seeds(seeds)
    every = torch.arange(len(data)).expand(len(seeds), -1)  # type: ignore[arg-type]
    indices = every if indices is None else indices
    if validation_indices is None and validation is not None:
        validation_indices = torch.arange(len(validation)).expand(len(seeds), -1)  # type: ignore[arg-type]
    if patience is not None and validation_indices is None:
        raise ValueError("patience: found no validation data, expected some to stop by")
    count = indices.shape[1]
    size = count if batch_size is None else min(batch_size, count)
    functions, history, began = {"loss": loss, **(metrics or {})}, History(), time.process_time()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimize = optimizer(trained, learning_rate)
    rates = torch.as_tensor(optimize.learning_rate, dtype=torch.float64)
    best, waited = torch.full((len(seeds),), torch.inf), torch.zeros(len(seeds), dtype=torch.int64)
    kept, kept_epoch = [tensor.clone() for tensor in learned(network)], torch.zeros(len(seeds), dtype=torch.int64)
    active: list[bool] | None = None

    for epoch in range(epochs):
        network.train()
        order = indices.gather(1, permutations(seeds, (ROLE, epoch), 1, count)[:, 0]) if size < count else indices
        totals = {name: torch.zeros(len(seeds)) for name in functions}
        for step, index in enumerate(order.split(size, 1)):
            factor = schedule(epoch + step * size / count)
            optimize.learning_rate = (rates * factor).tolist()
            first, *others, target = batch_of(data, index)
            if augment is not None:
                first = augment(first, epoch)
            output = network(first, *others)
            losses = loss(output, target)
            optimize.step(losses, active)
            with torch.no_grad():
                for name, function in functions.items():
                    value = losses if name == "loss" else function(output, target)
                    totals[name] += value * (index.shape[1] / count)
        history.add("train", totals)
        numbers: dict[str, Any] = {name: value.numpy() for name, value in totals.items()}
        if validation_indices is not None:
            found = evaluate(network, data if validation is None else validation, functions, validation_indices)
            history.add("validation", found)
            numbers |= {f"validation_{name}": value.numpy() for name, value in found.items()}
            if patience is not None:
                better = found["loss"] < best
                best, waited = torch.where(better, found["loss"], best), torch.where(better, 0, waited + 1)
                kept_epoch = torch.where(better, epoch, kept_epoch)
                for keep, tensor in zip(kept, learned(network), strict=True):
                    keep[better] = tensor[better]
                active = (waited < patience).tolist()
        if (callback is not None and callback(epoch, numbers) is False) or (active and not any(active)):
            break
    if patience is not None:
        for keep, tensor in zip(kept, learned(network), strict=True):
            tensor.copy_(keep)
        history.best_epoch = kept_epoch.numpy()
    history.seconds = time.process_time() - began
    return history


def learned(network: nn.Module) -> list[Tensor]:
    """All that training changes in a network, (S, ...) each."""
    return [tensor.detach() for tensor in network.state_dict().values()]
