"""What the two lessons on sequences share: groups of angles as inputs, flat and recurrent networks, networks that ship.

S seed, B minibatch, T angles, G groups of angles, F = GROUP + 1 numbers of a group, A answers.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor, nn

from agents.common import checkpoint
from experiments.common import plotting
from experiments.common.flags import UsageError
from models import MLP
from models.recurrent import RECURRENT, Recurrent, State

# A recurrent network that reads 5 angles at a time makes a fifth of the steps. It then learns in a fifth of the time,
# and its gradient has a fifth of the way to go back.
GROUP = 5
ANGLE, CHANGE = 0.7, 0.08  # rad: usual size of an angle, and of its change within 0.05 s
STATE_NOISE = 0.05  # standard deviation, in training
MOST_SHIPPED = 50_000  # parameters of a network that comes with the package
SHIPPED = Path(__file__).parents[1] / "networks"  # files of networks that come with the package


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


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Color and marker of each network."""
    styles = [(plotting.PURPLE, "^"), (plotting.GREEN, "D"), (plotting.YELLOW, "v")]
    flat = [(plotting.BLUE, "o"), (plotting.SKY, "s"), (plotting.GRAY, "P")]
    return dict(zip(RECURRENT, styles, strict=True)) | dict(
        zip((name for name in names if name not in RECURRENT), flat, strict=False)
    )


def legend_below(figure: Figure, shipped: bool) -> None:
    """The legend of the first axes below all, with the origin of the networks."""
    title = "networks that come with the package (one seed)" if shipped else None
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", title=title, ncols=4)


def log_error_axis(axes: Axes) -> None:
    """A logarithmic axis of errors with plain numbers at 1, 2 and 5 times each power of ten."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
