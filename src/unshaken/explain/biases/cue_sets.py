"""Images with two cues: outlines with gratings, and outlines filled with the tiles of another image."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.measure.statistics.columns import Indices
from unshaken.stress.cues.scramble import scramble_inside


def gratings(classes: int, height: int, width: int, *, period: float = 4.0) -> Tensor:
    """A sine grating for each class, turned by `180 / K` degrees from one to the next.

    Args:
        classes: K.
        height: in pixels.
        width: in pixels.
        period: of the wave, in pixels, above 2.

    Returns:
        Float32 `[K, 1, H, W]` in [-1, 1].

    Raises:
        ParameterError: the period is 2 pixels or less, which no grid of pixels can show.
    """
    if not (period > 2 and math.isfinite(period)):
        raise ParameterError(f"a grating of period {period} px cannot be shown: choose one above 2 px")
    angles = torch.arange(classes, dtype=torch.float64) * math.pi / classes
    rows, columns = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    along = columns * angles.cos()[:, None, None] + rows[:, None] * angles.sin()[:, None, None]
    return torch.sin(2 * math.pi * along / period).float()[:, None]


def textured_outlines(
    outlines: Tensor, textures: Tensor, *, amplitude: float, ground: float = 0.5, rise: float = 0.25
) -> Tensor:
    """Objects of one grey on a plain ground, with a faint texture inside.

    Args:
        outlines: bool `[N, 1, H, W]`, true inside the object.
        textures: in [-1, 1], `[N, C, H, W]`.
        amplitude: of the texture, in [0, 1] pixel units.
        ground: grey outside.
        rise: what the inside is brighter by.

    Returns:
        Float32 `[N, C, H, W]`, clipped to [0, 1].
    """
    inside = outlines.to(textures.dtype)
    return (ground + inside * (rise + amplitude * textures)).clamp(0, 1)


def filled_outlines(outlines: Tensor, fillings: Tensor, *, tiles: int = 4, ground: float = 0.5) -> Tensor:
    """Objects filled with the scrambled tiles of other images, on a plain ground.

    Args:
        outlines: bool `[N, 1, H, W]`, true inside the object.
        fillings: images `[N, C, H, W]` in [0, 1]; their tiles keep colour and texture, and lose shape.
        tiles: along each side.
        ground: grey outside.

    Raises:
        ParameterError: the images are smaller than the tiles.
    """
    inside = scramble_inside(fillings, tiles)
    return torch.where(outlines, inside, torch.full_like(inside, ground))


def close_ups(images: Tensor, outlines: Tensor) -> Tensor:
    """Each object enlarged to the whole image, so that little of its ground is left.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        outlines: bool `[N, 1, H, W]`, true inside the object; an image without one stays as it is.
    """
    found = images.clone()
    for image, outline, result in zip(images, outlines[:, 0], found, strict=True):
        if bool(outline.any()):
            rows, columns = outline.any(1).nonzero().flatten(), outline.any(0).nonzero().flatten()
            part = image[:, int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
            result.copy_(F.interpolate(part[None], image.shape[1:], mode="bilinear", align_corners=False)[0])
    return found


def other_classes(labels: Tensor, classes: int, rng: SampleRng) -> Tensor:
    """For each sample another class, at random.

    Args:
        labels: int64 `[N]`, from 0 to K-1.
        classes: K, two at least.
        rng: the samples' streams.

    Raises:
        DataError: there is one class only.
    """
    if classes < 2:
        raise DataError(f"cues conflict where their classes differ, and there are {classes} classes: give two at least")
    return (labels + rng.integers(1, classes).to(labels)) % classes


def partners(labels: Indices, seed: int, *, same: bool = False) -> Indices:
    """For each sample the place of one of another class, each taken about as often as any.

    Args:
        labels: int `[N]`; samples of -1 are nobody's partner.
        seed: of the draw.
        same: of the same class instead; a sample alone in its class is its own partner.

    Raises:
        DataError: all samples are of one class.
    """
    known = labels >= 0
    if not same and len(np.unique(labels[known])) < 2:
        raise DataError("all images are of one class, so that none has a partner of another: give two classes at least")
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels))
    found = np.arange(len(labels))
    for c in np.unique(labels[known]):
        own = order[labels[order] == c]
        if same:
            found[own] = np.roll(own, -1)
        else:
            others = order[(labels[order] != c) & known[order]]
            found[own] = others[place[own] % len(others)]
    return found
