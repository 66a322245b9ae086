"""Circular motion blur."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, severities

TURNS = 21


def circular_motion_blur(image: Tensor, degrees: float) -> Tensor:
    """The mean of an image turned by 21 angles, the weight of the share t of the largest `exp(-2 t^2)`.

    Turned images are read with cubic splines; black enters from outside.

    Args:
        image: float64 `[C, H, W]` in [0, 1].
        degrees: the largest angle, both ways.

    Returns:
        The same shape, not clipped.
    """
    result = np.zeros(image.shape)
    weights = [math.exp(-2 * t**2) for t in np.linspace(-1, 1, TURNS)]
    centre = (np.array(image.shape[1:]) - 1) / 2
    for plane, target in zip(image.cpu().numpy(), result, strict=True):
        splines = ndimage.spline_filter(plane, mode="constant")  # once, not for each angle
        for t, weight in zip(np.linspace(-1, 1, TURNS), weights, strict=True):
            sine, cosine = math.sin(math.radians(t * degrees)), math.cos(math.radians(t * degrees))
            turn = np.array([[cosine, sine], [-sine, cosine]])
            moved = ndimage.affine_transform(splines, turn, centre - turn @ centre, prefilter=False)
            target += weight / sum(weights) * moved
    return torch.from_numpy(result).to(image)


@register("circular_motion_blur", reference=REFERENCE, group="c-bar")
class CircularMotionBlur(PatternCorruption):
    """Blur as by a camera that turns around its line of sight."""

    strengths = severities(cifar=(2.8, 3.6, 4.4, 5.2, 6))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        return circular_motion_blur(image, 1.5 * v)
