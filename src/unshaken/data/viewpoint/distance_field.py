"""Objects given by their signed distance, rendered by marching along rays: no mesh, no library, a known answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.data.viewpoint.camera import camera_to_world, pixel_rays
from unshaken.data.viewpoint.object_set import Rendering, light

DistanceField = Callable[[Tensor], Tensor]
"""From points `[..., 3]` to the distance to the nearest surface `[...]`, negative inside."""


def sphere(radius: float, centre: Sequence[float] = (0.0, 0.0, 0.0)) -> DistanceField:
    """A sphere."""

    def distance(points: Tensor) -> Tensor:
        from_centre: Tensor = (points - points.new_tensor(centre)).norm(dim=-1)
        return from_centre - radius

    return distance


def box(half: Sequence[float], centre: Sequence[float] = (0.0, 0.0, 0.0)) -> DistanceField:
    """A box with edges along the axes; `half` are half of their lengths."""

    def distance(points: Tensor) -> Tensor:
        beyond = (points - points.new_tensor(centre)).abs() - points.new_tensor(half)
        outside: Tensor = beyond.clamp(min=0).norm(dim=-1)
        return outside + beyond.amax(-1).clamp(max=0)

    return distance


@dataclass(frozen=True, slots=True)
class Part:
    """A coloured part of an object.

    Args:
        field: its signed distance.
        colour: red, green and blue in [0, 1].
    """

    field: DistanceField
    colour: tuple[float, float, float]


def render(
    parts: Sequence[Part], views: Tensor, side: int, *, angle: float = 45.0, far: float = 20.0, steps: int = 96,
    exact: float = 1e-4, background: float = 1.0,
) -> Rendering:  # fmt: skip
    """Render an object, lit from the camera.

    Args:
        parts: of the object.
        views: `[N, 6]`, see `unshaken.data.viewpoint.camera.ViewBox`.
        side: of the pictures in pixels.
        angle: see `pixel_rays`.
        far: distance at which a ray is given up.
        steps: of each ray at most.
        exact: distance from a surface at which a ray has met it.
        background: grey of what no ray meets, in [0, 1].
    """
    start, direction = pixel_rays(camera_to_world(views), side, angle)

    def nearest(points: Tensor) -> Tensor:
        return torch.stack([part.field(points) for part in parts]).amin(0)

    depth = torch.zeros_like(start[..., 0])
    for _ in range(steps):
        distance = nearest(start + depth[..., None] * direction)
        depth = torch.where((distance > exact) & (depth < far), depth + distance, depth)
    points = start + depth[..., None] * direction
    met = nearest(points) <= exact
    offsets = torch.eye(3, dtype=points.dtype, device=points.device) * 1e-3
    normal = torch.stack([nearest(points + offset) - nearest(points - offset) for offset in offsets], -1)
    bright = light((torch.nn.functional.normalize(normal, dim=-1) * direction).sum(-1))
    part = torch.stack([part.field(points) for part in parts]).argmin(0)
    colours = points.new_tensor([part.colour for part in parts])[part] * bright[..., None]
    images = torch.where(met[..., None], colours, background).permute(0, 3, 1, 2)
    return Rendering(images.clamp(0, 1), depth.masked_fill(~met, torch.inf))
