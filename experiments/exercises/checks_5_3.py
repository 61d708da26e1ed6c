"""The checks of exercise 5.3. PyTorch's own layers give the expected values."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from balancier import _
from experiments.exercises.checking import (
    Step,
    Wrong,
    as_tensor,
    call_words,
    check_call,
    check_module,
    check_shapes,
    compare,
)

RNG = np.random.default_rng(53)


def check_convolve(student: Any) -> None:
    for height, width, k in ((3, 3, 2), (6, 5, 3), (4, 9, 1)):
        picture, kernel = RNG.normal(0, 1, (height, width)), RNG.normal(0, 1, (k, k))
        right = F.conv2d(torch.tensor(picture)[None, None], torch.tensor(kernel)[None, None])[0, 0]
        check_call(student, "convolve", (picture, kernel), right)


def check_size(student: Any) -> None:
    for size, kernel, stride, padding in ((32, 3, 1, 0), (32, 3, 1, 1), (32, 5, 2, 0), (11, 4, 3, 2), (28, 2, 2, 0)):
        layer = torch.nn.Conv1d(1, 1, kernel, stride, padding)
        right = layer(torch.zeros(1, 1, size)).shape[-1]
        check_call(student, "output_size", (size, kernel, stride, padding), right, 0)


def check_pool(student: Any) -> None:
    for height, width, size in ((4, 4, 2), (6, 9, 3), (5, 7, 2)):
        picture = RNG.normal(-3, 1, (height, width))
        check_call(student, "max_pool", (picture, size), F.max_pool2d(torch.tensor(picture)[None], size)[0])


def check_convolution(student: Any) -> None:
    for before, after, kernel in ((3, 16, 3), (1, 8, 5), (16, 32, 3)):
        layer = torch.nn.Conv2d(before, after, kernel)
        right = sum(each.numel() for each in layer.parameters())
        check_call(student, "convolution_parameters", (before, after, kernel), right, 0)


def check_dense(student: Any) -> None:
    for height, width, channels, units in ((32, 32, 3, 16), (5, 7, 1, 2)):
        layer = torch.nn.Linear(height * width * channels, units)
        right = sum(each.numel() for each in layer.parameters())
        check_call(student, "dense_parameters", (height, width, channels, units), right, 0)


def check_cnn(student: Any) -> None:
    for channels, classes in ((3, 10), (1, 4)):
        call = call_words("CNN", channels, classes)
        model = check_module(call, student.CNN(channels, classes)).eval()
        shapes = (16, channels, 3, 3), (16,), (32, 16, 3, 3), (32,), (classes, 2048), (classes,)
        k1, b1, k2, b2, w, b = (each.detach() for each in check_shapes(call, model, shapes))
        x = torch.randn(5, channels, 32, 32)
        right = F.max_pool2d(torch.relu(F.conv2d(x, k1, b1, padding=1)), 2)
        right = F.max_pool2d(torch.relu(F.conv2d(right, k2, b2, padding=1)), 2)
        call = f"{call}(x)"
        found = model(x)
        compare(call, found, right.flatten(1) @ w.T + b, 1e-3)
        if not as_tensor(call, found, _("a tensor of shape (B, classes)")).requires_grad:
            raise Wrong(_("a tensor without a gradient"), _("a tensor that PyTorch can differentiate"), call)


def check_shift(student: Any) -> None:
    picture = RNG.uniform(1, 2, (3, 6))
    for pixels in (2, 0, 5, 6):
        right = np.pad(picture, ((0, 0), (pixels, 0)))[:, :6]
        check_call(student, "shift", (picture, pixels), right)


STEPS = (
    Step(
        "convolve",
        check_convolve,
        _("an array of shape (H - k + 1, W - k + 1)"),
        _("Two loops over the places; picture[i : i + k, j : j + k] is what lies under the kernel."),
    ),
    Step(
        "output_size",
        check_size,
        _("a whole number"),
        _("Draw a side of 5 pixels and a kernel of 3. Then add padding, and last skip places; // rounds down."),
    ),
    Step(
        "max_pool",
        check_pool,
        _("an array of shape (H // size, W // size)"),
        _("Loop over the squares picture[i * size : (i + 1) * size, ...] and take the max of each."),
    ),
    Step(
        "convolution_parameters",
        check_convolution,
        _("a whole number"),
        _("Every output channel has a bias, and a kernel with k x k weights for each input channel."),
    ),
    Step(
        "dense_parameters",
        check_dense,
        _("a whole number"),
        _("Every unit has a weight for each of the height * width * channels_in pixels, and one bias."),
    ),
    Step(
        "CNN",
        check_cnn,
        _("a torch.nn.Module that answers with a tensor of shape (B, classes)"),
        _("torch.nn.Conv2d(..., padding=1), torch.relu, torch.nn.functional.max_pool2d(x, 2), x.flatten(1)."),
    ),
    Step(
        "shift",
        check_shift,
        _("an array of shape (H, W)"),
        _("Start with zeros, and write the columns of the picture that stay into them; pixels may be 0."),
    ),
)
