"""The network zoo: every network is S replicas of itself.

S seed, B batch; of images C channels, H height, W width.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from balancier import Bound, check, one_of, optional, shown, whole
from models.layers import SIZE, WIDTH, WIDTHS, BatchNorm2d, Conv2d, Linear, channels_last, max_pool
from models.streams import Seeds, generators

Activation = Literal["relu", "tanh", "sigmoid"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


class Polynomial(nn.Module):
    """S polynomials of one variable, w_0 + w_1 x + ... + w_M x^M: (S, ..., 1) -> (S, ..., 1).

    `weight` (S, M + 1) starts at zero. `orders` (S,) gives each replica its order, at most M; the weights above
    it get no gradient and stay zero.
    """

    powers: Tensor
    used: Tensor

    def __init__(self, order: int, *, orders: Sequence[int] | None = None, seeds: Seeds = 1):
        super().__init__()
        check(order=(order, whole(0, 1000)))
        if orders is not None:
            limits = Bound(lambda x: len(x) > 0 and all(map(whole(0, order).holds, x)), f"numbers from 0 to {order}")
            orders = list(orders) if isinstance(orders, Iterable) else []
            check(orders=(orders, limits))
        each = torch.as_tensor([order] * len(generators(seeds)) if orders is None else orders)
        self.weight = nn.Parameter(torch.zeros(len(each), order + 1))
        self.register_buffer("powers", torch.arange(order + 1).repeat(len(each), 1))  # (S, M + 1), as every buffer
        self.register_buffer("used", (self.powers <= each[:, None]).to(self.weight.dtype))  # (S, M + 1)

    def forward(self, x: Tensor) -> Tensor:
        shape = (len(self.weight), *[1] * (x.dim() - 2), -1)
        return (x ** self.powers.reshape(shape) * (self.weight * self.used).reshape(shape)).sum(-1, keepdim=True)


FEATURES = Bound(lambda x: SIZE.holds(x) or WIDTHS.holds(x), "a number of inputs, or a shape")
OPTIONAL_WIDTH = optional(WIDTH)


class MLP(nn.Module):
    """S multilayer perceptrons: (S, ..., in_features) -> (S, ..., out_features).

    Args:
        in_features: size of the input, or a shape of that size.
        hidden: sizes of the hidden layers; the activation follows each of them.
        out_features: size of a last layer without activation. None leaves that layer out: the network is then a trunk
            for the heads of agents, and its `out_features` is the last hidden size.
        activation: "relu", "tanh" or "sigmoid".
        seeds: how many replicas, or their seeds, or one NumPy generator each.
    """

    def __init__(
        self,
        in_features: int | Sequence[int],
        hidden: Sequence[int] = (64, 64),
        out_features: int | None = None,
        *,
        activation: Activation = "relu",
        seeds: Seeds | Sequence[np.random.Generator] = 1,
    ):
        super().__init__()
        check(activation=(activation, one_of(ACTIVATIONS)), in_features=(in_features, FEATURES))
        check(hidden=(hidden, WIDTHS), out_features=(out_features, OPTIONAL_WIDTH))
        streams = generators(seeds)
        sizes = [math.prod(in_features) if isinstance(in_features, list | tuple) else in_features, *hidden]
        self.activation = ACTIVATIONS[activation]
        self.hidden = nn.ModuleList([Linear(a, b, seeds=streams) for a, b in pairwise(sizes)])
        self.out = None if out_features is None else Linear(sizes[-1], out_features, seeds=streams)
        self.out_features = sizes[-1] if out_features is None else out_features

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = self.activation(layer(x))
        return x if self.out is None else self.out(x)


Shape = tuple[int, int, int]  # C, H, W


class CNN(nn.Module):
    """S convolutional networks as in the course: blocks of convolution, activation and pooling, then dense layers.

    Images (S, B, C, H, W), or flattened (S, B, C H W) as agents hold them, to (S, B, out_features). Bytes become
    numbers in [0, 1].

    Args:
        in_shape: C, H, W of an image. H, W, C is recognized, too, and transposed: the last is the smallest, and is 1, 3
            or 4, or the image is a square.
        out_features: size of the last layer; None leaves it out (a trunk for the heads of agents).
        channels: of each convolution; each keeps the size of the image, and the pooling halves it.
        hidden: width of the dense layer.
        seeds: how many replicas, or their seeds, or one NumPy generator each.
    """

    def __init__(
        self,
        in_shape: Shape,
        out_features: int | None = None,
        *,
        channels: Sequence[int] = (32, 64, 64),
        hidden: int = 128,
        kernel_size: int = 3,
        seeds: Seeds | Sequence[np.random.Generator] = 1,
    ):
        super().__init__()
        if not WIDTHS.holds(in_shape) or len(in_shape) != 3:
            raise ValueError(f"in_shape: found {shown(in_shape)}, expected an image (channels, height, width)")
        check(out_features=(out_features, OPTIONAL_WIDTH), channels=(channels, WIDTHS), hidden=(hidden, WIDTH))
        check(kernel_size=(kernel_size, WIDTH))
        smaller = in_shape[2] < min(in_shape[:2])
        self.channels_last = smaller and (in_shape[2] in (1, 3, 4) or in_shape[0] == in_shape[1])
        if self.channels_last:
            in_shape = in_shape[2], in_shape[0], in_shape[1]
        streams, self.in_shape = generators(seeds), in_shape
        most = min(in_shape[1:]).bit_length() - 1  # each convolution halves the image
        if not 1 <= len(channels) <= most:
            expected = f"1 to {most}, for images of {in_shape[1:]}"
            raise ValueError(f"channels: found {len(channels)} convolutions, each with a pooling, expected {expected}")
        sizes = pairwise([in_shape[0], *channels])
        self.convolutions = nn.ModuleList([Conv2d(a, b, kernel_size, padding="same", seeds=streams) for a, b in sizes])
        height, width = (size >> len(channels) for size in in_shape[1:])
        self.dense = MLP(channels[-1] * height * width, (hidden,), out_features, seeds=streams)
        self.out_features = self.dense.out_features

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.feature_maps(x)[-1].flatten(2))

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """The output of each convolution after its pooling, (S, B, channels, H / 2, W / 2) and so on."""
        if self.channels_last:
            channels, height, width = self.in_shape
            x = x.reshape(*x.shape[:2], height, width, channels).movedim(-1, 2)
        x, maps = as_images(x, self.in_shape), []
        for convolution in self.convolutions:
            x = max_pool(torch.relu(convolution(x)), 2)
            maps.append(x)
        return maps


class FastCNN(nn.Module):
    """A small VGG-like network for images of about 32 x 32 with ten classes, that trains in minutes.

    After the recipe of arXiv:2404.00498: a fixed first layer that whitens 2 x 2 patches, three groups of two
    convolutions with batch normalization and GELU, filters that start as the identity, and a scaled linear layer.

    Args:
        out_features: number of classes.
        widths: channels of the three groups.
        seeds: how many replicas, or their seeds, or one NumPy generator each.
    """

    SCALE = 1 / 9  # of the logits

    def __init__(
        self,
        out_features: int = 10,
        *,
        widths: Sequence[int] = (64, 256, 256),
        seeds: Seeds | Sequence[np.random.Generator] = 1,
    ):
        super().__init__()
        check(out_features=(out_features, WIDTH))
        check(widths=(widths, Bound(lambda x: WIDTHS.holds(x) and len(x) > 0, WIDTHS.words)))
        streams = generators(seeds)
        self.whitening = Conv2d(3, 24, 2, seeds=streams)
        self.whitening.weight.requires_grad_(False)
        nn.init.zeros_(self.whitening.bias)  # type: ignore[arg-type]
        convolutions, norms = [], []
        for a, b in pairwise([24, *widths]):
            for inner in (a, b):
                convolution = Conv2d(inner, b, 3, padding="same", bias=False, seeds=streams)
                for weight in convolution.weight.data:  # the first filters start as the identity
                    nn.init.dirac_(weight[: weight.shape[1]])
                convolutions.append(convolution)
                norms.append(BatchNorm2d(b, momentum=0.4, eps=1e-12, scale=False, seeds=len(streams)))
        self.convolutions, self.norms = nn.ModuleList(convolutions), nn.ModuleList(norms)
        self.out = Linear(widths[-1], out_features, seeds=streams)
        nn.init.zeros_(self.out.bias)
        self.out_features = out_features

    @torch.no_grad()
    def whiten(self, images: Tensor, eps: float = 5e-4) -> None:
        """Set the first layer from images (B, 3, H, W).

        Its filters are the scaled eigenvectors of the covariance of their patches, and the negatives of these. Its
        outputs have unit variance and no correlation.
        """
        patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1).double()  # (patches, 12)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        kernels = (vectors / (values + eps).sqrt()).T.reshape(12, 3, 2, 2)
        self.whitening.weight.copy_(torch.cat([kernels, -kernels]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.feature_maps(x)[-1]
        x = max_pool(x, min(x.shape[-2:])).flatten(2)  # (S, B, widths[-1])
        return self.out(x) * self.SCALE

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """The output of each group, (S, B, widths[0], 15, 15) and so on for images of 32 x 32."""
        x, maps = F.gelu(self.whitening(as_images(x, (3, x.shape[-2], x.shape[-1])))), []
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = convolution(x)
            if index % 2 == 0:
                x = max_pool(x, 2)
            x = F.gelu(norm(x))
            if index % 2 == 1:
                maps.append(x)
        return maps


def as_images(x: Tensor, shape: Shape) -> Tensor:
    """Images (S, B, C, H, W), bytes as numbers in [0, 1], the channels innermost in memory."""
    if x.dtype == torch.uint8:
        x = x.to(torch.get_default_dtype()) / 255
    return channels_last(x.reshape(*x.shape[:2], *shape))
