"""Flash light."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE, DepthCorruption
from unshaken.stress.engine.base import Severities

SCALE = (2.4, 1.4, 0.9, 0.6, 0.4)


def shading(depth: Tensor) -> Tensor:
    """How squarely each surface faces the camera: the cosine of its normal and the direction to the lens.

    Surfaces follow from the depth by a pinhole camera whose focal length is the image's short side; slopes are
    differences of neighbours.

    Args:
        depth: along the line of sight, float64 `[H, W]`, above 0.

    Returns:
        Float64 `[H, W]` in [0, 1].
    """
    height, width = depth.shape
    focal = min(height, width)
    rows, columns = (torch.arange(s, dtype=depth.dtype, device=depth.device) - (s - 1) / 2 for s in (height, width))
    y, x = torch.meshgrid(rows / focal, columns / focal, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)]) * depth
    down, across = torch.gradient(points, dim=(1, 2))
    normals = torch.linalg.cross(across, down, dim=0)
    lengths = (normals.norm(dim=0) * points.norm(dim=0)).clamp(min=1e-12)
    cosines: Tensor = (normals * points).sum(0).abs() / lengths
    return cosines.clamp(0, 1)


def flash(image: Tensor, shade: Tensor, scale: float) -> Tensor:
    """Add light from the camera: `x + x shade / scale`.

    Args:
        image: float64 `[C, H, W]` in [0, 1].
        shade: `[H, W]` in [0, 1].
        scale: above 0; the smaller, the brighter.

    Returns:
        The same shape, not clipped.
    """
    return image + image * shade / scale


@register("flash", reference=REFERENCE, group="3dcc", comparable="with depth")
class Flash(DepthCorruption):
    """Light the scene by a flash at the camera.

    The authors give a rendered shading; here it follows from the depth (see `shading`).
    """

    strengths = Severities(imagenet=SCALE, cifar=SCALE, tiny=SCALE)

    @override
    def corrupt_one(self, image: Tensor, depth: Tensor, c: float, rng: SampleRng) -> Tensor:
        return flash(image, shading(depth), c)
