"""Transverse chromatic aberration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, in_channels, severities


def enlarge_channels(image: Tensor, scales: Sequence[float]) -> Tensor:
    """Enlarge each channel by a factor of its own and keep the centre, rounded to 8 bits.

    Pixels are read as the weights of cubic splines without a filter before, as the authors do: even a channel that is
    enlarged by 1 is smoothed a little.

    Args:
        image: float64 `[3, H, W]` in [0, 1].
        scales: three factors, at least 1.

    Returns:
        The same shape, on 8-bit levels in [0, 1].
    """
    result = torch.empty_like(image)
    for plane, out, scale in zip(image, result, scales, strict=True):
        down, across = (enlargement_matrix(size, scale).to(image) for size in plane.shape)
        copied = plane.clone()  # memory of its own: products of equal numbers are then equal to the bit
        out.copy_(down @ copied @ across.T)
    return result.mul_(255).add_(0.5).floor_().div_(255)


@lru_cache(maxsize=64)
def enlargement_matrix(size: int, scale: float) -> Tensor:
    """The enlargement of one side as a matrix, float64 `[size, size]`: scipy's, of each place of the side alone."""
    columns = [ndimage.zoom(unit, scale, prefilter=False) for unit in np.eye(size)]
    edge = (len(columns[0]) - size) // 2
    return torch.from_numpy(np.stack(columns, 1)[edge : edge + size].copy())


@register("transverse_chromatic_abberation", reference=REFERENCE, group="c-bar")
class TransverseChromaticAbberation(PatternCorruption):
    """Enlarge the channels unequally, as a simple lens does (the name is spelt as the authors' files are).

    A grey image is taken as three equal channels, and their luma is given back.
    """

    strengths = severities(cifar=(1, 2, 5, 9, 10))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # channels by 1, 1 + v / 40 and 1 + v / 20, in random order
        scales = [1.0, 1 + v / 40, 1 + v / 20]
        order = draw(rng, "order", 3).argsort(stable=True).tolist()
        return in_channels(enlarge_channels(image.expand(3, -1, -1), [scales[i] for i in order]), len(image))
