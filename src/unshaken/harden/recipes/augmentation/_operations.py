"""Image operations of AugMix and PixMix on whole batches of 8-bit images, each sample at a strength of its own.

They are Pillow's operations, level for level: truncated where Pillow truncates, black outside of the image where it is
black. All take uint8 `[N, C, H, W]`, C 1 or 3, and a strength `[N]`, and give the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.device import widen, widest_float

SLACK = 1e-4
"""Part of a level that interpolation may lose to rounding without falling to the level below."""
TURN_SLACK = 1e-3
"""The same of a turn."""


def autocontrast(images: Tensor, amount: Tensor | None = None) -> Tensor:
    """Stretch each channel to run from 0 to 255; a channel of one level stays as it is. `amount` is not looked at."""
    planes = images.flatten(2)
    low, high = widen(planes.amin(2, keepdim=True)), widen(planes.amax(2, keepdim=True))
    scale = torch.full_like(low, 255) / (high - low)  # these steps in double precision: Pillow truncates what they give
    table = (_levels(images) * scale - low * scale).clamp_(0, 255)
    return _look_up(images, torch.where(high > low, table, _levels(images)).to(torch.uint8))


def equalize(images: Tensor, amount: Tensor | None = None) -> Tensor:
    """Flatten the histogram of each channel, with Pillow's whole-number step. `amount` is not looked at."""
    n, channels, height, width = images.shape
    first = torch.arange(n * channels, device=images.device).mul_(256).view(n, channels, 1)
    bins = torch.bincount((images.flatten(2) + first).flatten(), minlength=n * channels * 256).view(n, channels, 256)
    last = 255 - (bins > 0).flip(2).int().argmax(2, keepdim=True)
    step = (height * width - bins.gather(2, last)) // 255
    before = bins.cumsum(2) - bins
    table = ((step // 2 + before) // step.clamp(min=1)).clamp_(max=255)
    return _look_up(images, torch.where(step > 0, table, _levels(images).long()).to(torch.uint8))


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper `bits` (0 to 8) of each level."""
    return images & _each(256 - 2 ** (8 - bits.int())).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Turn levels at or above a threshold (0 to 256) over: `255 - v`."""
    over = images >= _each(threshold.to(torch.int16))
    return images ^ over.to(torch.uint8).mul_(255)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn about the centre, counter-clockwise, bilinear, black outside."""
    n, _, height, width = images.shape
    angle = widen(degrees) * (math.pi / 180)
    cos, sin = angle.cos().float()[:, None, None], angle.sin().float()[:, None, None]
    y = (torch.arange(height, device=images.device) + (0.5 - height / 2))[:, None]
    x = torch.arange(width, device=images.device) + (0.5 - width / 2)
    grid = torch.empty(n, height, width, 2, device=images.device)  # -1 to 1 over the image
    column = torch.mul(cos * x - sin * y, 2 / width, out=grid[..., 0])
    row = torch.mul(sin * x + cos * y, 2 / height, out=grid[..., 1])
    turned = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    turned = _within(turned.add_(TURN_SLACK).to(torch.uint8), (column.abs() <= 1) & (row.abs() <= 1))
    return torch.where(_each(degrees == 0), images, turned)


def shear_x(images: Tensor, amount: Tensor) -> Tensor:
    """Pixel `(y, x)` becomes that of `(y, x + amount y)`, bilinear, black outside."""
    return _slide(images, amount, 3)


def shear_y(images: Tensor, amount: Tensor) -> Tensor:
    """Pixel `(y, x)` becomes that of `(y + amount x, x)`, bilinear, black outside."""
    return _slide(images, amount, 2)


def translate_x(images: Tensor, pixels: Tensor) -> Tensor:
    """Move the content to the left by whole pixels, black outside."""
    return _move(images, pixels, 3)


def translate_y(images: Tensor, pixels: Tensor) -> Tensor:
    """Move the content up by whole pixels, black outside."""
    return _move(images, pixels, 2)


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image's own grey: 0 gives grey, 1 the image. One channel stays as it is."""
    return images if images.shape[1] == 1 else _blend(_grey(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean of the image's grey: 0 gives one level, 1 the image."""
    mean = (widen(_grey(images).flatten(1)).mean(1) + 0.5).floor_()
    return _blend(_each(mean.float()), images, factor)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black: 0 gives black, 1 the image."""
    return _blend(images.new_zeros(1, dtype=torch.float32), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image smoothed over 3 x 3 pixels (the middle counts 5, its eight neighbours 1); borders stay."""
    planes = images.float()
    smooth = planes.clone()
    rows = planes[:, :, :-2] + planes[:, :, 1:-1] + planes[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    total.add_(planes[:, :, 1:-1, 1:-1], alpha=4).div_(13).add_(0.5).floor_()
    smooth[:, :, 1:-1, 1:-1] = total
    return _blend(smooth, images, factor)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation, and what a level means to it.

    Args:
        apply: from uint8 images `[N, C, H, W]` and strengths `[N]` to uint8 images.
        most: the strength at level 10; for `translate`, a share of the side.
        kind: how a level between 0 and 10 becomes a strength: `none` has none, `down` counts down from `most` in whole
            steps, `signed` is either way, `whole` is that cut to whole steps, `pixels` is whole pixels either way, and
            `factor` is added to 0.1.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    most: float = 0.0
    kind: Literal["none", "down", "signed", "whole", "pixels", "factor"] = "none"

    def strength(self, level: Tensor, sign: Tensor, side: int) -> Tensor:
        """The strengths that `apply` takes.

        Args:
            level: float32 `[N]` in [0, 10].
            sign: 1 or -1, `[N]`.
            side: of the images in pixels, along a translation.
        """
        size = level * (self.most * (side if self.kind == "pixels" else 1) / 10)
        if self.kind == "down":
            return self.most - size.floor()
        if self.kind == "factor":
            return size + 0.1
        return sign * (size if self.kind == "signed" else size.floor())


OPERATIONS: dict[str, Operation] = {
    "autocontrast": Operation(autocontrast),
    "equalize": Operation(equalize),
    "posterize": Operation(posterize, 4, "down"),
    "rotate": Operation(rotate, 30, "whole"),
    "solarize": Operation(solarize, 256, "down"),
    "shear_x": Operation(shear_x, 0.3, "signed"),
    "shear_y": Operation(shear_y, 0.3, "signed"),
    "translate_x": Operation(translate_x, 1 / 3, "pixels"),
    "translate_y": Operation(translate_y, 1 / 3, "pixels"),
    "color": Operation(color, 1.8, "factor"),
    "contrast": Operation(contrast, 1.8, "factor"),
    "brightness": Operation(brightness, 1.8, "factor"),
    "sharpness": Operation(sharpness, 1.8, "factor"),
}
"""By name; the last four are close to test corruptions and stay out unless asked for."""

APART = 9
"""How many of them are far from the test corruptions."""


def operate(images: Tensor, which: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Each image under the operation that it drew; an operation runs once, on all images that drew it.

    Args:
        images: uint8 `[N, C, H, W]`.
        which: int64 `[N]`, a place in `OPERATIONS`; -1 leaves an image as it is.
        level: float32 `[N]` in [0, 10].
        sign: 1 or -1, `[N]`: the direction of the geometric ones.

    Returns:
        The same shape; the images themselves stay as they are.
    """
    order = which.argsort(stable=True)
    counts = torch.bincount(which + 1, minlength=len(OPERATIONS) + 1).tolist()
    parts = torch.split(images.index_select(0, order), counts)
    levels, signs = torch.split(level[order], counts), torch.split(sign[order], counts)
    results = [parts[0]]
    for i, (name, operation) in enumerate(OPERATIONS.items(), 1):
        if counts[i]:
            side = images.shape[2 if name.endswith("_y") else 3]
            results.append(operation.apply(parts[i], operation.strength(levels[i], signs[i], side)))
    return torch.cat(results).index_select(0, order.argsort())


def to_levels(images: Tensor) -> Tensor:
    """Images in [0, 1] as the nearest of 256 levels, uint8."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _each(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _levels(images: Tensor) -> Tensor:
    return torch.arange(256, device=images.device, dtype=widest_float(images.device))


def _look_up(images: Tensor, table: Tensor) -> Tensor:
    """Levels through a table `[N, C, 256]` of their channel."""
    return table.gather(2, images.flatten(2).long()).view_as(images)


def _within(images: Tensor, inside: Tensor) -> Tensor:
    """Black where `inside`, bool `[N, H, W]`, does not hold."""
    return images.mul_(inside.to(torch.uint8)[:, None])


def _slide(images: Tensor, amount: Tensor, dim: int) -> Tensor:
    """Each line along `dim` moved by `amount` times its place: a whole move, and two neighbours mixed."""
    length, across = images.shape[dim], 5 - dim
    place = widen(torch.arange(images.shape[across], device=images.device)) + 0.5
    move = widen(amount)[:, None] * place
    whole = move.floor()
    share = (move - whole).float()
    source = whole.long()[:, :, None] + torch.arange(length + 1, device=images.device)
    met = torch.arange(length, device=images.device) + 0.5 + move[:, :, None]
    inside = (met >= 0) & (met < length)
    source.clamp_(0, length - 1)
    if dim == 2:
        source, inside = source.transpose(1, 2), inside.transpose(1, 2)
        share = share[:, None, None, :]
    else:
        share = share[:, None, :, None]
    found = images.float().gather(dim, source[:, None].expand(-1, images.shape[1], -1, -1))
    near, far = found.narrow(dim, 0, length), found.narrow(dim, 1, length)
    return _within(torch.lerp(near, far, share).add_(SLACK).to(torch.uint8), inside)


def _move(images: Tensor, pixels: Tensor, dim: int) -> Tensor:
    length = images.shape[dim]
    source = pixels.long()[:, None] + torch.arange(length, device=images.device)
    inside = (source >= 0) & (source < length)
    shape = (-1, 1, length, 1) if dim == 2 else (-1, 1, 1, length)
    index = source.clamp_(0, length - 1).view(shape).expand(images.shape)
    return images.gather(dim, index).mul_(inside.to(torch.uint8).view(shape))


def _grey(images: Tensor) -> Tensor:
    """Pillow's 8-bit grey (ITU-R BT.601 in 16 binary digits), float32 `[N, 1, H, W]`."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.int().unbind(1)
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[:, None].float()


def _blend(zero: Tensor, one: Tensor, factor: Tensor) -> Tensor:
    """`zero + factor (one - zero)`, cut to 8 bits towards zero."""
    return (zero + _each(factor) * (one - zero)).clamp_(0, 255).to(torch.uint8)
