"""The network zoo: every network is S replicas of itself.

S seed, B batch.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from models.layers import Linear
from models.streams import Seeds, generators

Activation = Literal["relu", "tanh", "sigmoid"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class MLP(nn.Module):
    """S multilayer perceptrons: (S, ..., in_features) -> (S, ..., out_features).

    Args:
        in_features: size of the input.
        hidden: sizes of the hidden layers; the activation follows each of them.
        out_features: size of a last layer without activation; None leaves that layer out, so that the network is a
            body on which others put their heads (`out_features` is then the last hidden size).
        activation: "relu", "tanh" or "sigmoid".
        seeds: how many replicas, or their seeds, or one NumPy generator each.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (64, 64),
        out_features: int | None = None,
        *,
        activation: Activation = "relu",
        seeds: Seeds | Sequence[np.random.Generator] = 1,
    ):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: found {activation!r}, expected one of {', '.join(ACTIVATIONS)}")
        streams = generators(seeds)
        sizes = [in_features, *hidden]
        self.activation = ACTIVATIONS[activation]
        self.hidden = nn.ModuleList([Linear(a, b, seeds=streams) for a, b in pairwise(sizes)])
        self.out = None if out_features is None else Linear(sizes[-1], out_features, seeds=streams)
        self.out_features = sizes[-1] if out_features is None else out_features

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = self.activation(layer(x))
        return x if self.out is None else self.out(x)
