"""A network as a chain of exact layers, each of which bounds and encodings know how to pass."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

Shape = tuple[int, ...]

UNIT = 2**-24 * 1.001
"""Half the gap between 1 and the next float32, and a thousandth more for the float64 that bounds are computed in."""
TINY = 1e-30
"""More than all that underflows of float32's products."""


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """One layer of an exact chain; weights are float64.

    Args:
        name: as in the network, such as `body.2`.
        source: of its input, without the sample's dimension.
        target: of its output.
    """

    name: str
    source: Shape
    target: Shape

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """`[N, *source]` to `[N, *target]`."""


@dataclass(frozen=True, eq=False)
class Affine(Layer):
    """An affine layer `W x + b`.

    Args:
        bias: b, broadcast over `target`.
        size: bounds the sum of the sizes of all terms of an output other than those of `|W| |x|`, broadcast likewise;
            `|b|`, or more where several operations were folded into one.
        terms: roundings at most in the computation of one output.
    """

    bias: Tensor
    size: Tensor
    terms: int

    @override
    def forward(self, x: Tensor) -> Tensor:
        """An affine layer `W x + b`."""
        return self.map(x) + self.bias

    @abstractmethod
    def map(self, x: Tensor) -> Tensor:
        """The linear part `W x`."""

    @abstractmethod
    def spread(self, x: Tensor) -> Tensor:
        """The spread `|W| x` of a box."""

    @abstractmethod
    def pull(self, rows: Tensor, size: bool = False) -> Tensor:
        """`rows W`: functionals of the output, `[R, *target]`, as functionals of the input, `[R, *source]`.

        Args:
            rows: the functionals.
            size: `rows |W|` instead.
        """

    @property
    def share(self) -> float:
        """The largest relative error of a sum in float32, whatever its order: `n u / (1 - n u)`."""
        return self.terms * UNIT / (1 - self.terms * UNIT)

    def rounding(self, reach: Tensor) -> Tensor:
        """How far float32 may be from the exact outputs `[N, *target]` when inputs are of size `reach` at most."""
        return self.share * (self.spread(reach) + self.size) + TINY


@dataclass(frozen=True, eq=False)
class Dense(Affine):
    """A linear layer on flat inputs; `weight` is `[out, in]`."""

    weight: Tensor

    @override
    def map(self, x: Tensor) -> Tensor:
        return x @ self.weight.T

    @override
    def spread(self, x: Tensor) -> Tensor:
        return x @ self.weight.abs().T

    @override
    def pull(self, rows: Tensor, size: bool = False) -> Tensor:
        return rows @ (self.weight.abs() if size else self.weight)


@dataclass(frozen=True, eq=False)
class Conv(Affine):
    """A convolution with zero padding, an average over windows, or the mean over places."""

    weight: Tensor
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @override
    def map(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, None, self.stride, self.padding, self.dilation, self.groups)

    @override
    def spread(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.abs(), None, self.stride, self.padding, self.dilation, self.groups)

    @override
    def pull(self, rows: Tensor, size: bool = False) -> Tensor:
        weight = self.weight.abs() if size else self.weight
        kernel, (height, width) = self.weight.shape[2:], self.source[1:]
        used = [
            (out - 1) * s - 2 * p + d * (k - 1) + 1
            for out, s, p, d, k in zip(self.target[1:], self.stride, self.padding, self.dilation, kernel, strict=True)
        ]
        rest = (height - used[0], width - used[1])
        return F.conv_transpose2d(rows, weight, None, self.stride, self.padding, rest, self.groups, self.dilation)


@dataclass(frozen=True, eq=False)
class Scale(Affine):
    """A factor an entry, broadcast over the shape: normalisation, or a batch norm that follows no linear layer."""

    factor: Tensor

    @override
    def map(self, x: Tensor) -> Tensor:
        return x * self.factor

    @override
    def spread(self, x: Tensor) -> Tensor:
        return x * self.factor.abs()

    @override
    def pull(self, rows: Tensor, size: bool = False) -> Tensor:
        return rows * (self.factor.abs() if size else self.factor)


@dataclass(frozen=True, eq=False)
class ReLU(Layer):
    """A ReLU layer `max(x, 0)`."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_min(0)


@dataclass(frozen=True, eq=False)
class MaxPool(Layer):
    """The largest of each window."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @override
    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation)

    def members(self) -> Tensor:
        """Which inputs each window holds: places in the flat input, int64 `[*target, k]`; -1 for padding."""
        channels, height, width = self.source
        places = torch.arange(height * width, dtype=torch.float64).view(1, 1, height, width)
        (down, across) = self.padding
        padded = F.pad(places, (across, across, down, down), value=-1)
        windows = F.unfold(padded, self.kernel, self.dilation, 0, self.stride)[0].T.long()  # [h w, k]
        moved = torch.arange(channels).view(-1, 1, 1) * height * width
        every = torch.where(windows < 0, -1, windows + moved)
        return every.view(*self.target, -1)


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The same values in another shape."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.target)


@dataclass(frozen=True, eq=False)
class Chain:
    """A classifier as layers in sequence, its normalisation first, batch norms folded.

    Args:
        name: of the model.
        layers: at least one, from `[N, C, H, W]` in [0, 1] to logits `[N, K]`.
    """

    name: str
    layers: tuple[Layer, ...]

    def forward(self, images: Tensor) -> Tensor:
        """Logits in float64."""
        x = images.to(self.device, torch.float64)
        for layer in self.layers:
            x = layer.forward(x)
        return x

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return self.layers[-1].target[0]

    @property
    def largest(self) -> int:
        """Values of the largest tensor of a sample."""
        return max(math.prod(s) for layer in self.layers for s in (layer.source, layer.target))

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next((v.bias.device for v in self.layers if isinstance(v, Affine)), torch.device("cpu"))


def inner(rows: Tensor, values: Tensor) -> Tensor:
    """The product of each row with values broadcast over it, `[R]`."""
    return (rows * values).flatten(1).sum(1)
