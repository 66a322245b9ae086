"""Focus on what is near."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE, DepthCorruption
from unshaken.stress.corruptions.gaussian_blur import correlate_along
from unshaken.stress.engine.base import Severities

LAYERS = 8


def depth_layers(depth: Tensor) -> Tensor:
    """The borders of 8 layers that hold as many pixels each: quantiles of the depth, float64 `[9]`."""
    shares = torch.linspace(0, 1, LAYERS + 1, dtype=depth.dtype, device=depth.device)
    borders = torch.quantile(depth.flatten(), shares)
    borders[0], borders[-1] = max(float(borders[0]) - 1e-4, 1e-6), borders[-1] + 1e-4
    return borders


def refocus(image: Tensor, depth: Tensor, borders: Tensor, focus: float, aperture: float) -> Tensor:
    """Blur each pixel by the circle of confusion of its depth: `A |d - f| / d` pixels in an image of 224.

    The image is blurred once for each border of the layers; a pixel is a mixture of the two that enclose its depth,
    with weights `1 - s^2` and `1 - (1 - s)^2` at the share s of the way between them.

    Args:
        image: float64 `[C, H, W]`.
        depth: `[H, W]`, above 0.
        borders: see `depth_layers`.
        focus: depth f that is sharp.
        aperture: A.

    Returns:
        The same shape.
    """
    right = torch.searchsorted(borders, depth.contiguous()).clamp(1, LAYERS)
    left = right - 1
    share = (depth - borders[left]) / (borders[right] - borders[left])
    near, far = 1 - share**2, 1 - (1 - share) ** 2
    side = min(image.shape[1:])
    result = torch.zeros_like(image)
    for k, border in enumerate(borders.tolist()):
        weight = near * (left == k) + far * (right == k)
        if bool(weight.any()):
            radius = min(aperture * abs(border - focus) / border * side / 224, side)
            result += weight * blur(image, radius)
    return result / (near + far)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur cut at 1.5 sigma, the border repeated; below a tenth of a pixel nothing changes.

    Args:
        image: float64 `[C, H, W]`.
        sigma: in pixels.
    """
    if sigma < 0.1:
        return image
    reach = int(3 * sigma) // 2
    taps = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(-reach, reach + 1)]
    kernel = [tap / math.fsum(taps) for tap in taps]
    return correlate_along(correlate_along(image[None], kernel, 3), kernel, 2)[0]


APERTURE = (3, 4, 5, 6, 7)


@register("near_focus", reference=REFERENCE, group="3dcc", comparable="with depth")
class NearFocus(DepthCorruption):
    """Keep the nearest things sharp and blur the others."""

    strengths = Severities(imagenet=APERTURE, cifar=APERTURE, tiny=APERTURE)

    @override
    def corrupt_one(self, image: Tensor, depth: Tensor, c: float, rng: SampleRng) -> Tensor:
        borders = depth_layers(depth)
        return refocus(image, depth, borders, float(borders[0]), c)
