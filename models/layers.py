"""Layers with a leading seed axis: S replicas, one tensor program.

S seed, B whatever lies between the seed and the features.
"""

import copy
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.streams import Seeds, generators

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def uniform_parameter(seeds: Sequence[np.random.Generator], bound: float, shape: Sequence[int]) -> nn.Parameter:
    """A parameter (S, *shape), uniform in [-bound, bound], drawn replica by replica from its own stream."""
    rows = np.stack([generator.uniform(-bound, bound, shape) for generator in seeds])
    return nn.Parameter(torch.tensor(rows, dtype=torch.get_default_dtype()))


class Linear(nn.Module):
    """S affine maps, x W + b, one a seed: (S, ..., in_features) -> (S, ..., out_features).

    `weight` is (S, in_features, out_features), the transpose of what `torch.nn.Linear` holds (its gradient then comes
    out of the batched product in the parameter's own layout), and `bias` (S, out_features). Both are uniform in
    +-1/sqrt(in_features), PyTorch's default, from each seed's stream.

    Args:
        seeds: how many replicas, or their seeds, or one NumPy generator each (consumed in turn, so that several
            layers can draw from one stream).
    """

    def __init__(self, in_features: int, out_features: int, *, seeds: Seeds | Sequence[np.random.Generator] = 1):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        streams = generators(seeds)
        bound = in_features**-0.5 if in_features else 0.0
        self.weight = uniform_parameter(streams, bound, (in_features, out_features))  # (S, in, out)
        self.bias = uniform_parameter(streams, bound, (out_features,))  # (S, out)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1, -2)  # (S, B, in)
        if self.out_features == 1:  # a batched product of a single column takes twice the time of a plain sum
            out = (flat * self.weight.mT).sum(-1, keepdim=True) + self.bias[:, None]  # (S, B, 1)
        else:
            out = torch.baddbmm(self.bias[:, None], flat, self.weight)  # (S, B, out)
        return out if x.dim() == 3 else out.unflatten(1, x.shape[1:-1])

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, seeds={len(self.weight)}"


def replica(module: ModuleType, index: int) -> ModuleType:
    """A copy of the module that holds replica `index` alone (S = 1) and shares its memory with the original."""
    alone = copy.copy(module)
    alone._parameters = {
        name: None if p is None else nn.Parameter(p.data[index : index + 1], requires_grad=p.requires_grad)
        for name, p in module._parameters.items()
    }
    alone._buffers = {name: None if b is None else b[index : index + 1] for name, b in module._buffers.items()}
    alone._modules = {name: None if m is None else replica(m, index) for name, m in module._modules.items()}
    return alone
