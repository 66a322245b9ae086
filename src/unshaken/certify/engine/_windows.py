"""What slides a window over an image, as exact layers: convolutions, pooling, the mean over places."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from unshaken.certify.engine.layers import Conv, Layer, MaxPool, Reshape, Shape
from unshaken.core.errors import ModelError

Held = Callable[[Tensor], Tensor]
"""A constant as float64 where the chain lies."""


def refused(name: str, what: str) -> ModelError:
    """A known layer in a form that is not known."""
    return ModelError(f"certify: layer {name!r} is {what}, which bounds do not know")


def conv(name: str, shape: Shape, module: nn.Conv2d, held: Held) -> list[Layer]:
    """A convolution."""
    if module.padding_mode != "zeros":
        raise refused(name, f"a Conv2d with padding_mode {module.padding_mode!r}")
    weight = held(module.weight)
    bias = weight.new_zeros(len(weight)) if module.bias is None else held(module.bias)
    if isinstance(module.padding, str):
        reach = [
            0 if module.padding == "valid" else d * (k - 1)
            for d, k in zip(module.dilation, module.kernel_size, strict=True)
        ]
        if any(r % 2 for r in reach):
            raise refused(name, "a Conv2d with more padding on one side than on the other")
        padding = pair(tuple(r // 2 for r in reach))
    else:
        padding = pair(module.padding)
    return [convolution(name, shape, weight, bias, pair(module.stride), padding, pair(module.dilation), module.groups)]


def convolution(
    name: str,
    shape: Shape,
    weight: Tensor,
    bias: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> Conv:
    """A layer that looks through windows, with the shape of its output.

    Raises:
        ModelError: the inputs have no height and width.
    """
    if len(shape) != 3:
        raise refused(name, f"a window over inputs of shape {shape}")
    sides = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(shape[1:], padding, dilation, weight.shape[2:], stride, strict=True)
    ]
    wide = bias.view(-1, 1, 1)
    terms = weight[0].numel() + 2
    target = (len(weight), *sides)
    return Conv(name, shape, target, wide, wide.abs(), terms, weight, stride, padding, dilation, groups)


def average(
    name: str,
    shape: Shape,
    held: Held,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int] = (0, 0),
    divisor: int | None = None,
) -> Layer:
    """The average of each window, a convolution of each channel by itself."""
    weight = held(torch.full((shape[0], 1, *kernel), 1 / (divisor or math.prod(kernel)), dtype=torch.float64))
    return convolution(name, shape, weight, weight.new_zeros(shape[0]), stride, padding, (1, 1), shape[0])


def avg_pool(
    name: str,
    shape: Shape,
    held: Held,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> list[Layer]:
    """Average pooling."""
    if ceil_mode or (not count_include_pad and max(pair(padding)) > 0):
        raise refused(name, "an average pooling with windows of several sizes")
    kernel = pair(kernel_size)
    return [average(name, shape, held, kernel, pair(stride or kernel), pair(padding), divisor_override)]


def adaptive_avg_pool(name: str, shape: Shape, held: Held, x: Any, output_size: Any) -> list[Layer]:
    """Average pooling to a size that divides the input's."""
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(shape) != 3:
        raise refused(name, f"a window over inputs of shape {shape}")
    sides = tuple(n if s is None else int(s) for n, s in zip(shape[1:], wanted, strict=True))
    if any(n % s for n, s in zip(shape[1:], sides, strict=True)):
        raise refused(name, f"an adaptive pooling of {shape} to {sides}, with windows of several sizes")
    kernel = pair(tuple(n // s for n, s in zip(shape[1:], sides, strict=True)))
    return [average(name, shape, held, kernel, kernel)]


def max_pool(
    name: str,
    shape: Shape,
    held: Held,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> list[Layer]:
    """Max pooling."""
    if ceil_mode or return_indices or len(shape) != 3:
        raise refused(name, "a max pooling with ceil_mode, indices or flat inputs")
    kernel, step, edge, gap = pair(kernel_size), pair(stride or kernel_size), pair(padding), pair(dilation)
    sides = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(shape[1:], edge, gap, kernel, step, strict=True)
    ]
    return [MaxPool(name, shape, (shape[0], *sides), kernel, step, edge, gap)]


def mean(name: str, shape: Shape, held: Held, x: Any, dim: Any = None, keepdim: bool = False) -> list[Layer]:
    """The mean over places."""
    if len(shape) != 3 or not isinstance(dim, tuple) or sorted(d % 4 for d in dim) != [2, 3]:
        raise TypeError
    sides = pair(shape[1:])
    pooled = average(name, shape, held, sides, sides)
    return [pooled] if keepdim else [pooled, Reshape(name, pooled.target, shape[:1])]


def pair(value: Any) -> tuple[int, int]:
    """Both sides of a window."""
    down, across = value if isinstance(value, tuple | list) else (value, value)
    return int(down), int(across)
