"""What the two lessons on sequences share: groups of angles as inputs, flat and recurrent networks, networks that ship.

S seed, B minibatch, T angles, G groups of angles, F = GROUP + 1 numbers of a group, A answers.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from agents.common import checkpoint
from balancier import _
from experiments.common.flags import UsageError
from experiments.common.parallel import Job, duration
from models import LSTM, MLP, Adam, Readout, fit, replica
from models.fitting import triangle
from models.recurrent import RECURRENT, Recurrent, State

# A recurrent network that reads 5 angles at a time makes a fifth of the steps. It then learns in a fifth of the time,
# and its gradient has a fifth of the way to go back.
GROUP = 5
ANGLE, CHANGE = 0.7, 0.08  # rad: usual size of an angle, and of its change within 0.05 s
STATE_NOISE = 0.05  # standard deviation, in training
MOST_SHIPPED = 50_000  # parameters of a network that comes with the package
FLAT = "mlp"  # the flat network that has as many parameters as the recurrent ones
SHIPPED = Path(__file__).parents[1] / "networks"  # files of networks that come with the package


class Budget(NamedTuple):
    """The training of one network."""

    sequences: int
    epochs: int
    batch_size: int
    learning_rate: float
    seconds: float  # of the processor, for one seed


def as_tensor(x: np.ndarray) -> Tensor:
    return torch.tensor(x, dtype=torch.get_default_dtype())


def random_counts(count: int, seed: int, shortest: int, longest: int) -> Tensor:
    """Numbers of groups (count,) of sequences that have `shortest` to `longest` angles."""
    return torch.from_numpy(np.random.default_rng(seed).integers(shortest // GROUP, longest // GROUP + 1, count))


def groups(angles: Tensor, before: Tensor | None = None) -> Tensor:
    """Inputs (..., G, F) from angles (..., T): the last angle of each group, and the changes up to each of its angles.

    Both are divided by their usual sizes. Raw angles hide the changes, which are ten times smaller. `before` (..., 1)
    is the angle before the first; without it, the first change is zero.
    """
    changes = torch.diff(angles, dim=-1, prepend=angles[..., :1] if before is None else before)
    grouped = [part.unflatten(-1, (-1, GROUP)) for part in (angles / ANGLE, changes / CHANGE)]
    return torch.cat([grouped[0][..., -1:], grouped[1]], -1)


def recurrent(name: str, hidden: int, *, seeds: Sequence[int]) -> Recurrent:
    """An Elman network, GRU or LSTM that reads groups and learns to keep what it has seen.

    The gate that keeps the state, the LSTM's forget gate or the GRU's update gate, starts open, with bias 1. Otherwise
    half of the state is lost in each step, and long times are learned late (doi:10.1162/089976600300015015). Small
    noise on the state in training makes a state that errors do not leave, so that it lasts in longer sequences.
    """
    trunk = noisy(RECURRENT[name])(GROUP + 1, hidden, seeds=seeds)
    if trunk.num_gates > 1:
        with torch.no_grad():
            trunk.hidden_bias[:, hidden : 2 * hidden] += 1.0  # the second gate of both
    return trunk


@cache
def noisy(kind: type[Recurrent]) -> type[Recurrent]:
    """The same network with Gaussian noise on its state in training."""

    class Noisy(kind):
        def step(self, x: Tensor, state: State, weight: Tensor, bias: Tensor) -> State:
            if self.training:
                state = tuple(part + STATE_NOISE * torch.randn_like(part) for part in state)
            return super().step(x, state, weight, bias)

    return Noisy


def same_size(parameters: Callable[[int], int], wanted: int) -> int:
    """The size (units of a layer) whose number of parameters is closest to the one wanted."""
    return min(range(1, 2 * wanted), key=lambda size: abs(parameters(size) - wanted))


def recurrent_parameters(name: str, hidden: int, answers: int) -> int:
    """Parameters of a recurrent network that reads groups, and of its last layer."""
    return RECURRENT[name].num_gates * hidden * (GROUP + 1 + hidden + 2) + (hidden + 1) * answers


def flat_parameters(num_groups: int, hidden: Sequence[int], answers: int) -> int:
    """Parameters of a flat network."""
    return sum((a + 1) * b for a, b in pairwise([num_groups * (GROUP + 2), *hidden, answers]))


def network_sizes(
    hidden: int, num_groups: int, answers: int, larger: Iterable[tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Units of each network's layers; the larger flat networks are named after their number of parameters.

    The recurrent networks and the flat one have as many parameters as a GRU with `hidden` units.
    """
    wanted = recurrent_parameters("gru", hidden, answers)
    sizes: dict[str, tuple[int, ...]] = {
        name: (same_size(lambda size, name=name: recurrent_parameters(name, size, answers), wanted),)
        for name in RECURRENT
    }
    sizes[FLAT] = (same_size(lambda size: flat_parameters(num_groups, (size, size), answers), wanted),) * 2
    return sizes | {f"{FLAT}_{flat_parameters(num_groups, layers, answers)}": layers for layers in larger}


def best_recurrent(errors: dict[str, np.ndarray]) -> str:
    """The recurrent network with the smallest mean of its errors (S,)."""
    return min(RECURRENT, key=lambda name: errors[name].mean())


def flat_over_best(errors: dict[str, np.ndarray]) -> float:
    """Error of the flat network over that of the best recurrent one of the same size."""
    return float(errors[FLAT].mean() / errors[best_recurrent(errors)].mean())


class Flat(nn.Module):
    """An MLP that reads all groups of a sequence at once: angles (S, B, T) -> answers (S, B, A).

    Sequences of unequal lengths need a mask (S, B, G): it marks the groups that are there, the others become zeros.
    """

    def __init__(self, num_groups: int, hidden: Sequence[int], answers: int, *, seeds: Any):
        super().__init__()
        self.mlp = MLP(num_groups * (GROUP + 2), hidden, answers, seeds=seeds)

    def forward(self, angles: Tensor, mask: Tensor | None = None) -> Tensor:
        x = groups(angles)  # (S, B, G, F)
        mask = torch.ones_like(x[..., :1]) if mask is None else mask[..., None].to(x)
        return self.mlp(torch.cat([x * mask, mask], -1).flatten(-2))


def num_parameters(network: nn.Module) -> int:
    """Parameters of one replica."""
    return sum(parameter[0].numel() for parameter in network.parameters())


def gradient_norm(network: Readout, angles: Tensor, target: Tensor) -> np.ndarray:
    """How much the last answer of the first seed depends on each group: norm of d loss / d x_t, (G,)."""
    x = groups(angles[None, :200]).requires_grad_()
    answer = replica(network, 0).eval()(x)[:, :, -1]
    (gradient,) = torch.autograd.grad((answer - target[None, :200]).square().mean(), x)
    return gradient[0].norm(dim=(0, 2)).numpy()


def gates(network: LSTM, angles: Tensor) -> np.ndarray:
    """Input, forget and output gates (3, G, hidden) of an LSTM's first seed, in evaluation, for one sequence (T,)."""
    with torch.no_grad():
        x = groups(angles).expand(len(next(network.parameters())), 1, -1, -1)
        return np.stack([gate[0, 0].numpy() for gate in network.gates(x, network(x)[0])])


def train(
    network: nn.Module,
    data: Sequence[Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
    budget: Budget,
    seeds: Sequence[int],
    augment: Callable[[Tensor, float], Tensor],
    test: Callable[[], np.ndarray],
    report: Callable[[float], None],
) -> tuple[float, list[tuple[float, np.ndarray]]]:
    """Processor seconds of a training for one seed; and after each epoch those so far, and what `test` gives.

    `report` takes the share of the training that is done.
    """
    history: list[tuple[float, np.ndarray]] = []
    torch.manual_seed(seeds[0])  # of the noise on the states
    began = time.process_time()

    def after_epoch(*_: Any) -> None:
        seconds = (time.process_time() - began) / len(seeds)
        network.eval()
        history.append((seconds, test()))
        report(1 / budget.epochs)

    fitted = fit(
        network,
        TensorDataset(*data),
        loss,
        seeds=seeds,
        epochs=budget.epochs,
        batch_size=budget.batch_size,
        learning_rate=budget.learning_rate,
        optimizer=partial(Adam, max_grad_norm=1.0),
        schedule=triangle(budget.epochs, 0.1),
        augment=augment,
        callback=after_epoch,
    )
    return fitted.seconds / len(seeds), history


def keep(folder: Path, name: str, weights: dict[str, Tensor], notes: dict[str, Any]) -> None:
    """Write the weights of one network, with notes on its training, as `load_shipped` reads them."""
    arrays = {key: tensor.numpy(force=True) for key, tensor in weights.items()}
    checkpoint.save(folder / f"{name}.safetensors", arrays, notes)


def load_shipped(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a network that comes with the package (one replica), and the notes on its training."""
    arrays, notes = checkpoint.load(SHIPPED / f"{name}.safetensors")
    return {key: torch.tensor(array) for key, array in arrays.items()}, notes


def check_shipped(flags: Any) -> None:
    """Raise UsageError for flags of the training where --quick loads networks that are trained already."""
    expected = type(flags).hidden
    if flags.quick and flags.hidden != expected:
        reason = "as in the networks that come with the package"
        raise UsageError(f"--hidden: found {flags.hidden} with --quick, expected {expected}, {reason}")
    if flags.quick and flags.keep is not None:
        raise UsageError(f"--keep: found {flags.keep} with --quick, expected a run that trains")


def forecast_words(flags: Any, jobs: Sequence[Job], afterwards: float) -> str:
    """A lesson's first line: which networks, about how long, and in how many processes."""
    processes = 1 if flags.quick else flags.processes
    about = duration(sum(job.cost for job in jobs) / processes + afterwards)
    if flags.quick:
        return _("networks that come with the package, about {time}, 1 process", time=about)
    if processes == 1:
        return _("about {time}, 1 process", time=about)
    return _("about {time}, {count} processes", time=about, count=processes)
