"""Layers with a leading seed axis: S replicas, one tensor program.

S seed, B batch (any number of axes); of images C channels, H height, W width.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from balancier import SWITCH, Bound, check, number, whole
from models.streams import Seeds, generators, stack

# Bounds of what networks are made of. A trunk of no inputs is a constant.
SIZE, WIDTH = whole(0, 10**8), whole(1, 10**6)
WIDTHS = Bound(lambda x: isinstance(x, list | tuple) and all(map(WIDTH.holds, x)), "widths of at least 1, as (64, 64)")
ModuleType = TypeVar("ModuleType", bound=nn.Module)


def uniform_parameter(seeds: Sequence[np.random.Generator], bound: float, shape: Sequence[int]) -> nn.Parameter:
    """A parameter (S, *shape), uniform in [-bound, bound]; each replica draws from its own stream.

    Raises ValueError for one that memory cannot hold.
    """
    try:
        return nn.Parameter(stack([generator.uniform(-bound, bound, shape) for generator in seeds]))
    except (MemoryError, ValueError) as error:
        found = f"a layer of {' x '.join(map(str, shape))} numbers for each of {len(seeds)} seeds"
        raise ValueError(f"network: found {found}, expected a smaller one ({error})") from None


class Linear(nn.Module):
    """S affine maps, x W + b, one for each seed: (S, ..., in_features) -> (S, ..., out_features).

    `weight` is (S, in_features, out_features), the transpose of the weight of `torch.nn.Linear`: the gradient of the
    batched product then has the layout of the parameter. `bias` is (S, out_features). Both are uniform in
    +-1/sqrt(in_features), PyTorch's default, from each seed's stream.

    Args:
        seeds: how many replicas, or their seeds, or one NumPy generator each, from which several layers can draw in
            turn.
    """

    def __init__(self, in_features: int, out_features: int, *, seeds: Seeds | Sequence[np.random.Generator] = 1):
        super().__init__()
        check(in_features=(in_features, SIZE), out_features=(out_features, WIDTH))
        self.in_features, self.out_features = in_features, out_features
        streams = generators(seeds)
        bound = in_features**-0.5 if in_features else 0.0
        self.weight = uniform_parameter(streams, bound, (in_features, out_features))  # (S, in, out)
        self.bias = uniform_parameter(streams, bound, (out_features,))  # (S, out)

    def forward(self, x: Tensor) -> Tensor:
        flat, weight, bias = x.flatten(1, -2), self.weight, self.bias[:, None]  # (S, B, in), (S, in, out), (S, 1, out)
        # A batched product of one column takes twice the time of a plain sum.
        out = (flat * weight.mT).sum(-1, True) + bias if self.out_features == 1 else torch.baddbmm(bias, flat, weight)
        return out if x.dim() == 3 else out.unflatten(1, x.shape[1:-1])

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, seeds={len(self.weight)}"


def orthogonal_(head: nn.Module, gain: float, seeds: Sequence[np.random.Generator]) -> None:
    """Give the linear layers of a head orthogonal weights (arXiv:1312.6120) and no bias: `gain` times in its last one.

    The gain of the others is sqrt(2). Small gains make the first outputs of a head nearly 0, whatever its input.
    """
    layers = [module for module in head.modules() if isinstance(module, Linear)]
    for layer in layers:
        for weight, stream in zip(layer.weight.data, seeds, strict=True):
            generator = torch.Generator().manual_seed(int(stream.integers(2**63)))
            # On the CPU, so that all devices get the same numbers.
            weight.copy_(nn.init.orthogonal_(weight.cpu(), gain if layer is layers[-1] else 2**0.5, generator))
        nn.init.zeros_(layer.bias)


def each_seed(function: Callable[..., Tensor], x: Tensor, *arguments: Tensor) -> Tensor:
    """`function` of each replica's images (B, C, H, W), stacked; a convolution of one seed already fills the processor.

    The channels of the images stay innermost in memory, the faster layout on a CPU.
    """
    # Views are taken in that layout too; otherwise their gradients have the other layout, which takes twice the time.
    if len(x) == 1:
        return function(x.squeeze(0), *(argument.squeeze(0) for argument in arguments))[None]
    images = [image.permute(0, 3, 1, 2) for image in x.permute(0, 1, 3, 4, 2).unbind(0)]
    outputs = [function(*inputs) for inputs in zip(images, *arguments, strict=True)]
    return torch.stack([output.permute(0, 2, 3, 1) for output in outputs]).permute(0, 1, 4, 2, 3)


def channels_last(x: Tensor) -> Tensor:
    """The same images (S, B, C, H, W) with the channels innermost in memory."""
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


PADDING = Bound(lambda x: SIZE.holds(x) or (isinstance(x, str) and x in ("same", "valid")), "a number or 'same'")


class Conv2d(nn.Module):
    """S two-dimensional convolutions: (S, B, in_channels, H, W) -> (S, B, out_channels, H', W'); as `nn.Conv2d`.

    `weight` is (S, out_channels, in_channels, k, k), `bias` (S, out_channels); uniform in +-1/sqrt(in_channels k^2).
    `padding` is PyTorch's: a number of zeros on each side, or "same".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int | str = 0,
        bias: bool = True,
        seeds: Seeds | Sequence[np.random.Generator] = 1,
    ):
        super().__init__()
        check(in_channels=(in_channels, WIDTH), out_channels=(out_channels, WIDTH), kernel_size=(kernel_size, WIDTH))
        check(stride=(stride, WIDTH))
        check(padding=(padding, PADDING if stride == 1 else SIZE), bias=(bias, SWITCH))
        streams, bound = generators(seeds), (in_channels * kernel_size**2) ** -0.5
        self.stride, self.padding = stride, padding
        self.weight = uniform_parameter(streams, bound, (out_channels, in_channels, kernel_size, kernel_size))
        self.bias = uniform_parameter(streams, bound, (out_channels,)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        options: dict[str, Any] = {"stride": self.stride, "padding": self.padding}
        if self.bias is None:
            return each_seed(lambda x, weight: F.conv2d(x, weight, **options), x, self.weight)
        return each_seed(lambda x, weight, bias: F.conv2d(x, weight, bias, **options), x, self.weight, self.bias)

    def extra_repr(self) -> str:
        seeds, out_channels, in_channels, size, _ = self.weight.shape
        return f"{in_channels}, {out_channels}, {size}, seeds={seeds}"


class BatchNorm2d(nn.Module):
    """Batch normalization (arXiv:1502.03167) of (S, B, C, H, W) with statistics per seed; as `nn.BatchNorm2d`.

    `scale` False leaves out the factor and keeps the bias.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5, scale: bool = True, seeds: int = 1):
        super().__init__()
        check(channels=(channels, WIDTH), momentum=(momentum, number(0, 1)), eps=(eps, number(0)))
        check(scale=(scale, SWITCH), seeds=(seeds, WIDTH))
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(seeds, channels), requires_grad=scale)
        self.bias = nn.Parameter(torch.zeros(seeds, channels))
        self.register_buffer("running_mean", torch.zeros(seeds, channels))
        self.register_buffer("running_var", torch.ones(seeds, channels))

    def forward(self, x: Tensor) -> Tensor:
        def normalize(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.eps)

        return each_seed(normalize, x, self.running_mean, self.running_var, self.weight, self.bias)


def max_pool(x: Tensor, size: int) -> Tensor:
    """The largest value of each `size` x `size` square: (S, B, C, H, W) -> (S, B, C, H // size, W // size)."""
    return F.max_pool2d(x.flatten(0, 1), size).unflatten(0, x.shape[:2])


def replica(module: ModuleType, index: int) -> ModuleType:
    """A copy of the module that holds only replica `index` (S = 1) and shares its memory with the original."""
    if sizes := [len(tensor) for tensor in (*module.parameters(), *module.buffers())]:
        check(index=(index, whole(0, min(sizes) - 1)))
    single = copy.copy(module)
    single._parameters = {
        name: None if p is None else nn.Parameter(p.data[index : index + 1], requires_grad=p.requires_grad)
        for name, p in module._parameters.items()
    }
    single._buffers = {name: None if b is None else b[index : index + 1] for name, b in module._buffers.items()}
    single._modules = {name: None if m is None else replica(m, index) for name, m in module._modules.items()}
    return single
