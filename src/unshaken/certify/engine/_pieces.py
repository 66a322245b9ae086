"""Exact layers for each known module, function and method of a traced network, windows over images included."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unshaken.certify.engine.layers import Affine, Conv, Dense, Layer, MaxPool, ReLU, Reshape, Scale, Shape
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
    """Max pooling as layers."""
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


class Size:
    """Stands for a shape, or the number of images in it."""


class Images:
    """Stands for the one tensor that goes through the network."""


X = Images()


def normalise(shape: Shape, mean: Tensor, std: Tensor) -> Scale:
    """`(x - mean) / std`."""
    bias = -mean / std
    return Scale("normalisation", shape, shape, bias, bias.abs(), 4, 1 / std)


def fold(before: Layer, layer: Layer) -> Affine | None:
    """One layer for a linear one and a factor an entry after it, or None where there is none."""
    if not isinstance(layer, Scale) or not isinstance(before, Dense | Conv | Scale):
        return None
    factor = layer.factor
    if isinstance(before, Scale):
        changed: dict[str, Tensor] = {"factor": before.factor * factor}
    else:
        if factor.numel() > 1 and factor.shape[:1] + (1,) * (factor.ndim - 1) != factor.shape:
            return None  # it differs from place to place
        wide = factor.reshape(-1, *(1,) * (before.weight.ndim - 1))
        if len(wide) not in (1, len(before.weight)):
            return None
        changed = {"weight": before.weight * wide}
    return dataclasses.replace(
        before,
        bias=factor * before.bias + layer.bias,
        size=factor.abs() * before.size + layer.size,
        terms=before.terms + layer.terms,
        **changed,  # type: ignore[arg-type]
    )


def dense(name: str, shape: Shape, module: nn.Linear, held: Held) -> list[Layer]:
    """A linear layer on flat inputs."""
    if len(shape) != 1:
        raise refused(name, f"a Linear on inputs of shape {shape}")
    weight = held(module.weight)
    bias = weight.new_zeros(len(weight)) if module.bias is None else held(module.bias)
    return [Dense(name, shape, (len(weight),), bias, bias.abs(), weight.shape[1] + 2, weight)]


def batch_norm(name: str, shape: Shape, module: nn.BatchNorm1d | nn.BatchNorm2d, held: Held) -> list[Layer]:
    """A batch norm with the statistics that it has learned."""
    if module.running_mean is None or module.running_var is None:
        raise refused(name, f"a {type(module).__name__} without running statistics")
    mean, deviation = held(module.running_mean), (held(module.running_var) + module.eps).sqrt()
    factor = 1 / deviation if module.weight is None else held(module.weight) / deviation
    shift = torch.zeros_like(mean) if module.bias is None else held(module.bias)
    wide = (-1, *(1,) * (len(shape) - 1))
    bias, size = shift - mean * factor, shift.abs() + (mean * factor).abs()
    return [Scale(name, shape, shape, bias.view(wide), size.view(wide), 9, factor.view(wide))]


def relu(name: str, shape: Shape, held: Held, x: Any, inplace: bool = False) -> list[Layer]:
    """A ReLU as a layer."""
    return [ReLU(name, shape, shape)]


def same(name: str, shape: Shape, held: Held, x: Any) -> list[Layer]:
    """No layers, for what changes nothing."""
    return []


def dropout(
    name: str, shape: Shape, held: Held, x: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> list[Layer]:
    """Nothing, unless it drops even in evaluation mode."""
    if training:
        raise refused(name, "a dropout that works in evaluation mode too")
    return []


def flatten(name: str, shape: Shape, held: Held, x: Any, start_dim: int = 0, end_dim: int = -1) -> list[Layer]:
    """All values of a sample in one dimension."""
    if start_dim != 1 or end_dim not in (-1, len(shape)):
        raise TypeError
    return [Reshape(name, shape, (math.prod(shape),))]


def view(name: str, shape: Shape, held: Held, x: Any, *sizes: Any) -> list[Layer]:
    """Flattening by `view(n, -1)` or `reshape(-1, values)`."""
    wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple) else sizes
    total = math.prod(shape)
    if len(wanted) != 2 or not (isinstance(wanted[0], Size) or wanted[0] == -1) or wanted[1] not in (-1, total):
        raise TypeError
    return [Reshape(name, shape, (total,))]


def arithmetic(sign: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[..., list[Layer]]:
    """A sum or product with a constant; `sign` gives factor and shift from the two operands, of which one is `X`."""

    def make(name: str, shape: Shape, held: Held, a: Any, b: Any) -> list[Layer]:
        constant = b if a is X else a
        if isinstance(constant, int | float):
            constant = torch.tensor(float(constant))
        if not isinstance(constant, Tensor):
            raise TypeError
        value = held(constant)
        while value.ndim > len(shape) and value.shape[0] == 1:
            value = value[0]
        if torch.broadcast_shapes(value.shape, shape) != shape:  # type: ignore[no-untyped-call]
            raise TypeError
        value = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
        factor, shift = sign(1.0 if a is X else value, 1.0 if b is X else value)
        one = torch.ones_like(value)
        return [Scale(name, shape, shape, shift * one, (shift * one).abs(), 3, factor * one)]

    return make


def _module(make: Callable[..., list[Layer]], *names: str) -> Callable[..., list[Layer]]:
    """A module as the function of the same name, by its attributes."""

    def made(name: str, shape: Shape, module: nn.Module, held: Held) -> list[Layer]:
        return make(name, shape, held, X, **{n: getattr(module, n) for n in names})

    return made


POOL = ("kernel_size", "stride", "padding", "ceil_mode")
MODULES: Mapping[type, Callable[..., list[Layer]]] = {
    nn.Linear: dense,
    nn.Conv2d: conv,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.ReLU: _module(relu),
    nn.MaxPool2d: _module(max_pool, *POOL, "dilation", "return_indices"),
    nn.AvgPool2d: _module(avg_pool, *POOL, "count_include_pad", "divisor_override"),
    nn.AdaptiveAvgPool2d: _module(adaptive_avg_pool, "output_size"),
    nn.Flatten: _module(flatten, "start_dim", "end_dim"),
    nn.Identity: _module(same),
    **{kind: _module(same) for kind in (nn.Dropout, nn.Dropout1d, nn.Dropout2d)},
}
_plus = arithmetic(lambda a, b: (1.0, b if isinstance(a, float) else a))
_minus = arithmetic(lambda a, b: (1.0, -b) if isinstance(a, float) else (-1.0, a))
_times = arithmetic(lambda a, b: (b if isinstance(a, float) else a, 0.0))


def _over(name: str, shape: Shape, held: Held, a: Any, b: Any) -> list[Layer]:
    """A quotient by a constant."""
    if a is not X:
        raise TypeError
    return arithmetic(lambda _, divisor: (1 / divisor, 0.0))(name, shape, held, a, b)


CALLS: Mapping[Any, Callable[..., list[Layer]]] = {
    **dict.fromkeys((torch.relu, torch.relu_, F.relu, "relu", "relu_"), relu),
    **dict.fromkeys((torch.flatten, "flatten"), flatten),
    **dict.fromkeys(("view", "reshape", torch.reshape), view),
    **dict.fromkeys((torch.mean, "mean"), mean),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), max_pool),
    F.avg_pool2d: avg_pool,
    F.adaptive_avg_pool2d: adaptive_avg_pool,
    F.dropout: dropout,
    "contiguous": same,
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add"), _plus),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub"), _minus),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul"), _times),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div"), _over),
}
"""Functions and names of methods; each takes name, shape, `held` and the call's arguments, and raises TypeError where
it does not know a form."""
