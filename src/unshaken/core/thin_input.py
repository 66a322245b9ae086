"""The input gradient of a first convolution, computed by tiles.

A convolution over images has 1 or 3 input channels, so its input gradient is a convolution with 1 or 3 *output*
channels: of a vector unit's 8 or 16 lanes most stand idle. Written for a tile of t x t pixels at once it has t^2 times
as many output channels, of the same numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

LANES = 16
"""Output channels that one vector unit fills."""


class Tiling(NamedTuple):
    """How a tile's pixels hang on the outputs, along one side.

    Args:
        tile: t, pixels a tile.
        taps: 0 or 1 `[t, R, K]`: pixel a of a tile takes output r through the kernel's entry k.
        first: the output that r = 0 means, relative to the tile's first.
        hop: outputs from one tile to the next.
    """

    tile: int
    taps: Tensor
    first: int
    hop: int


def tiling(tile: int, kernel: int, stride: int, padding: int) -> Tiling:
    """The pixel `j` of an input takes the output `(j + padding - k) / stride`, for every k where that is whole.

    Args:
        tile: pixels a tile, a multiple of the stride.
        kernel: size K.
        stride: of the convolution.
        padding: as `stride`.
    """
    pairs = [
        (a, (a + padding - k) // stride, k)
        for a in range(tile)
        for k in range(kernel)
        if (a + padding - k) % stride == 0
    ]
    first = min(r for _, r, _ in pairs)
    taps = torch.zeros(tile, max(r for _, r, _ in pairs) - first + 1, kernel)
    for a, r, k in pairs:
        taps[a, r - first, k] = 1
    return Tiling(tile, taps, first, tile // stride)


def tiled_kernel(weight: Tensor, along: Tiling) -> Tensor:
    """The kernel `[C t t, O, R, R]` that gives all pixels of a tile from the outputs around it."""
    taps = along.taps.to(weight)
    kernel = torch.einsum("ark,bsl,ockl->cabors", taps, taps, weight)
    return kernel.flatten(0, 2).contiguous(memory_format=torch.channels_last)


def _spread(upstream: Tensor, kernel: Tensor, along: Tiling, size: tuple[int, int]) -> Tensor:
    reach = kernel.shape[2]
    pads = []
    for length, there in zip(reversed(size), reversed(upstream.shape[2:]), strict=True):
        last = along.hop * (length // along.tile - 1) + along.first + reach - 1
        pads += [-along.first, last - (there - 1)]
    if pads[0] == pads[1] == pads[2] == pads[3] and pads[0] >= 0:
        return torch.conv2d(upstream, kernel, None, along.hop, pads[0])
    return torch.conv2d(F.pad(upstream, pads), kernel, None, along.hop)


class _Thin(torch.autograd.Function):
    """A convolution whose input gradient is computed by tiles; its weights are not learned from."""

    @staticmethod
    @override
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, layer: ThinConv2d) -> Tensor:
        ctx.layer, ctx.size, ctx.dtype = layer, (images.shape[2], images.shape[3]), weight.dtype
        conv = layer.conv
        return torch.conv2d(images, weight, bias, conv.stride, conv.padding)

    @staticmethod
    @override
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        layer: ThinConv2d = ctx.layer
        kernel, along = layer.kernel(ctx.dtype), layer.along
        return F.pixel_shuffle(_spread(upstream, kernel, along, ctx.size), along.tile), None, None, None


class ThinConv2d(nn.Module):
    """A first convolution for searches: forward as it is, its input gradient by tiles.

    Args:
        conv: a layer that `is_thin` accepts; its weights stay its own.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        stride, channels = conv.stride[0], conv.in_channels
        tile = stride
        while channels * (2 * tile) ** 2 <= LANES:
            tile *= 2
        self.along = tiling(tile, conv.kernel_size[0], stride, int(conv.padding[0]))
        self._kernel: tuple[tuple[int, int, torch.dtype], Tensor] | None = None

    def kernel(self, dtype: torch.dtype) -> Tensor:
        """The tiled kernel of the weights as they are now."""
        weight = self.conv.weight
        key = (weight.data_ptr(), weight._version, dtype)
        if self._kernel is None or self._kernel[0] != key:
            self._kernel = key, tiled_kernel(weight.detach(), self.along).to(dtype)
        return self._kernel[1]

    @override
    def forward(self, images: Tensor) -> Tensor:
        fits = images.shape[2] % self.along.tile == 0 == images.shape[3] % self.along.tile
        if not (images.requires_grad and fits and torch.is_grad_enabled()):
            found: Tensor = self.conv(images)
            return found
        weight, bias = self.conv.weight, self.conv.bias
        if torch.is_autocast_enabled(images.device.type):
            dtype = torch.get_autocast_dtype(images.device.type)
            images, weight = images.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        thin: Tensor = _Thin.apply(images, weight, bias, self)  # type: ignore[no-untyped-call]
        return thin


def is_thin(conv: nn.Module) -> bool:
    """Whether a layer is a square convolution over so few channels that tiles pay."""
    return (
        type(conv) is nn.Conv2d  # a subclass may do more in its forward than its numbers say
        and conv.in_channels * max(conv.stride) ** 2 <= LANES
        and conv.in_channels <= 3
        and conv.groups == 1
        and conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and len({*conv.kernel_size}) == len({*conv.stride}) == len({*conv.padding}) == 1
        and conv.kernel_size[0] >= conv.stride[0]
    )


def thin_inputs(net: nn.Module) -> None:
    """Put every layer that `is_thin` accepts into a `ThinConv2d`, in place."""
    for name, module in list(net.named_modules()):
        if name and is_thin(module):
            net.set_submodule(name, ThinConv2d(module))
