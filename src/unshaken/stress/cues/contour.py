"""Contour: the edges of a picture as thin black lines on white."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.base import Stressor, to_8_bit
from unshaken.stress.engine.filters import canny, luma


def contour(images: Tensor, *, sigma: float = 0.4, low: float = 0.15, high: float = 0.4) -> Tensor:
    """Canny's edges of the grey picture, black on white.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        sigma: blur before the gradients, in pixels.
        low: share of the picture's largest gradient above which an edge goes on.
        high: share above which one begins.

    Returns:
        The same shape, of the values 0 (edge) and 1 alone; an image of one grey is white.
    """
    smooth = (gaussian_blur(luma(images), sigma) * 255).round().clamp(0, 255).byte().cpu().numpy()
    lines = []
    for picture in smooth[:, 0]:
        wide = picture.astype(np.int64)
        most = int(np.max(sum(np.abs(ndimage.sobel(wide, axis, mode="nearest")) for axis in (0, 1))))
        lines.append(canny(picture, int(low * most), int(high * most)))
    found = torch.from_numpy(~np.stack(lines))[:, None].to(images)
    return found.expand_as(images).contiguous()


@register("contour", reference="Canny 1986, doi:10.1109/TPAMI.1986.4767851", group="cues")
class Contour(Stressor):
    """Contour: fades a picture into a drawing of its edges by Canny's method; texture and colour go."""

    sigma: float = Field(default=0.4, description="blur before the gradients, in pixels", gt=0, le=20)
    low: float = Field(
        default=0.15, description="share of the largest gradient above which an edge goes on", ge=0, le=1
    )
    high: float = Field(default=0.4, description="share of the largest gradient above which an edge begins", ge=0, le=1)

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        drawn = contour(images, sigma=self.sigma, low=self.low, high=self.high)
        return to_8_bit(torch.lerp(images, drawn, severity / 5))
