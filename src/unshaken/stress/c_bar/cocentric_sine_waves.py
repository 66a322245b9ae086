"""Concentric rings with waves."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, places, severities, side


def sine_rings(image: Tensor, centre: tuple[float, float], waves: float, amplitude: float, width: float) -> Tensor:
    """A sawtooth of the distance from a centre, the rings waved: `frac((r + a sin(w angle)) / width) - 1/2`.

    Args:
        image: gives the size.
        centre: row and column.
        waves: w, waves in a turn; a number that is not whole leaves a seam above the centre.
        amplitude: a in pixels.
        width: of a ring in pixels, above 0.

    Returns:
        Float64 `[H, W]` in [-0.5, 0.5).
    """
    rows, columns = places(image)
    dy, dx = rows - centre[0], columns - centre[1]
    waved = torch.sqrt(dx**2 + dy**2) + torch.sin(torch.atan2(dx, dy) * waves) * amplitude
    return waved.remainder(width) / width - 0.5


@register("cocentric_sine_waves", reference=REFERENCE, group="c-bar")
class CocentricSineWaves(PatternCorruption):
    """Add concentric rings that are waved (the name is spelt as the authors' files are)."""

    strengths = severities(imagenet=(3, 5, 8, 9, 10))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        row, column = (float(u * s) for u, s in zip(draw(rng, "centre", 2), image.shape[1:], strict=True))
        waves, tenth = float(draw(rng, "waves", high=10)), side(image) / 10
        width = max(float(draw(rng, "width", high=tenth)), 1e-6)
        rings = sine_rings(image, (row, column), waves, float(draw(rng, "amplitude", high=tenth)), width)
        return image + rings * (12.8 * v / 255)
