"""Pixelation."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import LevelCorruption, Severities

Variant = Literal["hendrycks", "bethge"]


def pixelate(images: Tensor, ratio: float, variant: Variant = "hendrycks") -> Tensor:
    """Shrink to `int(side * ratio)` by box averages, and enlarge again so that each average becomes a block.

    Equal to Pillow's 8-bit `Image.BOX` on 8-bit images: averages along rows, rounded to 8 bits, then along columns. On
    the way back `hendrycks` uses `BOX` and `bethge` `NEAREST`: the same at 32, 64 and 224 px; elsewhere a block may end
    a pixel sooner or later.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        ratio: share of each side that is kept, in (0, 1].
        variant: how it is enlarged.

    Returns:
        The same shape, on 8-bit levels in [0, 1].
    """
    channels, height, width = images.shape[1:]
    to_rows = _blocks(int(height * ratio), height, variant).to(images.device)
    to_columns = _blocks(int(width * ratio), width, variant).to(images.device)
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    # many small images at once, as calls cost more than their pixels; large ones by channels, which fit into a cache
    area = height * width
    step = channels * max(1, 2**16 // (channels * area)) if area <= 2**16 else 1
    parts = (torch.split(planes.flatten(0, 1), step) for planes in (images, result))
    for planes, target in zip(*parts, strict=True):
        # rows of memory are whole lines that are picked and added: hence the turns
        rows = _shrink(planes.mT.contiguous(), int(width * ratio), 255).mT.contiguous()
        small = _shrink(rows, int(height * ratio), 1).div_(255)
        wide = small.mT.contiguous().index_select(1, to_columns).mT.contiguous()
        torch.index_select(wide, 1, to_rows, out=target)
    return result


def pixelate_pixels(pixels: NDArray[np.uint8], ratio: float, variant: Variant = "hendrycks") -> NDArray[np.uint8]:
    """`pixelate` of one 8-bit picture `[H, W, C]`, C 1 or 3, by Pillow; the same shape."""
    height, width = pixels.shape[:2]
    columns, rows = int(width * ratio), int(height * ratio)
    small = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).resize(
        (columns, rows), Image.Resampling.BOX
    )
    nearest = variant == "bethge" or (_alike(rows, height) and _alike(columns, width))
    back = Image.Resampling.NEAREST if nearest else Image.Resampling.BOX
    return np.array(small.resize((width, height), back)).reshape(pixels.shape)


@lru_cache(maxsize=64)
def _alike(size: int, length: int) -> bool:
    """Whether both ways of enlarging give the same blocks, so that the faster one will do."""
    return torch.equal(_blocks(size, length, "hendrycks"), _blocks(size, length, "bethge"))


def _shrink(lines: Tensor, size: int, scale: float) -> Tensor:
    """Average `[C, L, M]` over boxes of its middle dimension: `[C, size, M]`, times a scale, rounded."""
    taps, counts, half = _boxes(lines.shape[1], size)
    first, *others = taps
    total = lines.index_select(1, first[1].to(lines.device))
    for boxes, pixels in others:
        rows = lines.index_select(1, pixels.to(lines.device))
        total = total.add_(rows) if len(boxes) == size else total.index_add_(1, boxes.to(lines.device), rows)
    return total.mul_(scale).div_(counts.to(lines.device)).add_(half.to(lines.device)).floor_()


@lru_cache(maxsize=64)
def _boxes(length: int, size: int) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
    """The boxes that Pillow averages: for each tap the boxes and their pixels, the taps of a box, what rounding adds.

    A pixel counts when its centre is above the box's lower edge and not above its upper edge. Pillow's weights are
    `1 / taps` in 22 binary digits; they decide where a tie goes: down where the weight was cut.
    """
    scale = length / size
    reach = max(scale, 1.0)
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    first = (centres - reach / 2 + 0.5).long().clamp_(min=0)
    last = (centres + reach / 2 + 0.5).long().clamp_(max=length)
    pixels = first + torch.arange(int((last - first).max()))[:, None]
    offsets = (pixels - centres + 0.5) * (1 / reach)
    inside = (offsets > -0.5) & (offsets <= 0.5) & (pixels < last)
    order = inside.int().argsort(stable=True, dim=0, descending=True)
    pixels, inside = pixels.gather(0, order), inside.gather(0, order)
    counts = inside.sum(0)
    cut = ((1 << 22) / widen(counts) + 0.5).floor().long() * counts < 1 << 22
    taps = [(chosen.nonzero().flatten(), places[chosen]) for places, chosen in zip(pixels, inside, strict=True)]
    return [tap for tap in taps if len(tap[0])], counts.float()[:, None], torch.where(cut, 0.499, 0.501)[:, None]


@lru_cache(maxsize=64)
def _blocks(size: int, length: int, variant: str) -> Tensor:
    """For each of `length` pixels, the one of `size` blocks it lies in."""
    if variant == "hendrycks":
        return _boxes(size, length)[0][0][1]
    steps = np.full(length, size / length)
    steps[0] /= 2
    return torch.from_numpy(
        np.add.accumulate(steps).astype(np.int64)
    )  # Pillow adds the steps up, so errors decide ties


@register("pixelate", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="digital")
class Pixelate(LevelCorruption):
    """Shrink and enlarge again, into visible blocks."""

    strengths = Severities(
        imagenet=(0.6, 0.5, 0.4, 0.3, 0.25), cifar=(0.95, 0.9, 0.85, 0.75, 0.65), tiny=(0.9, 0.8, 0.7, 0.6, 0.5)
    )

    variant: Variant = Field(
        default="hendrycks", description="enlarge as the authors do (box), or as the Bethge lab (nearest)"
    )

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return pixelate(images, c, self.variant)

    @override
    def corrupt_pixels(self, pixels: NDArray[np.uint8], c: float) -> NDArray[np.uint8]:
        return pixelate_pixels(pixels, c, self.variant)
