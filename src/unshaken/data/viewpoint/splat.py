"""Objects as a cloud of oriented surface points, drawn into a depth buffer: thousands of small pictures a second."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unshaken.core.state import State
from unshaken.data.viewpoint.camera import camera_to_world
from unshaken.data.viewpoint.distance_field import Part
from unshaken.data.viewpoint.object_set import Rendering, light

SHELL = 0.04
"""Distance from the surface within which points are drawn, before they are moved onto it."""
DEPTH = 0.12
"""How far behind the nearest point of a pixel another still belongs to the same surface."""


class Surface(State):
    """Points of a surface.

    Args:
        points: `[P, 3]`, or `[N, P, 3]` where each view has an object of its own.
        normals: outwards, of length 1, in the same shape.
        colours: in [0, 1], in the same shape.
    """

    points: Tensor
    normals: Tensor
    colours: Tensor


def sample_surface(parts: Sequence[Part], count: int, generator: torch.Generator, *, reach: float = 1.5) -> Surface:
    """Points drawn evenly from the surface of an object.

    They are drawn evenly from a thin shell around it, and moved onto it along the distance's gradient.

    Args:
        parts: of the object, within a cube.
        count: number P of points.
        generator: of the draws.
        reach: half of the cube's edge.
    """

    def nearest(points: Tensor) -> Tensor:
        return torch.stack([part.field(points) for part in parts]).amin(0)

    def slope(points: Tensor) -> Tensor:
        steps = torch.eye(3) * 1e-3
        found = torch.stack([nearest(points + step) - nearest(points - step) for step in steps], -1)
        return torch.nn.functional.normalize(found, dim=-1)

    found: list[Tensor] = []
    while sum(map(len, found)) < count:
        candidates = (torch.rand(20_000, 3, generator=generator) * 2 - 1) * reach
        found.append(candidates[nearest(candidates).abs() < SHELL])
    points = torch.cat(found)[:count]
    for _ in range(2):
        points = points - nearest(points)[:, None] * slope(points)
    part = torch.stack([one.field(points) for one in parts]).argmin(0)
    return Surface(points, slope(points), torch.tensor([one.colour for one in parts])[part])


def splat(surface: Surface, views: Tensor, side: int, *, angle: float = 45.0, background: float = 1.0) -> Rendering:
    """Pictures of a cloud of points, lit from the camera: a pixel is the mean of the points in front.

    Args:
        surface: the points.
        views: `[N, 6]`, see `unshaken.data.viewpoint.camera.ViewBox`.
        side: of the pictures in pixels; too large a one for the number of points shows holes.
        angle: see `unshaken.data.viewpoint.camera.pixel_rays`.
        background: grey of a pixel without points, in [0, 1].
    """
    poses = camera_to_world(views.float())
    n, pixels = len(poses), len(poses) * side * side
    from_camera = surface.points - poses[:, None, :3, 3]  # [N, P, 3]
    x, y, z = (from_camera @ poses[:, :3, :3]).unbind(-1)  # in the camera's coordinates; it looks along -z
    scale = side / (2 * math.tan(math.radians(angle) / 2)) / -z
    column, row = (x * scale + side / 2).floor().long(), (side / 2 - y * scale).floor().long()
    inside = (z < 0) & (column >= 0) & (column < side) & (row >= 0) & (row < side)
    pixel = torch.where(inside, torch.arange(n)[:, None] * side * side + row * side + column, pixels).flatten()
    depth = from_camera.norm(dim=-1)
    nearest = torch.full((pixels + 1,), torch.inf).scatter_reduce(0, pixel, depth.flatten(), "amin")
    front = (depth.flatten() <= nearest[pixel] + DEPTH).float()
    bright = light((surface.normals * from_camera).sum(-1) / depth)
    colours = (surface.colours * bright[..., None]).view(-1, 3)
    weighed = torch.cat([colours, torch.ones(len(front), 1)], 1) * front[:, None]
    total = torch.zeros(pixels + 1, 4).index_add(0, pixel, weighed)
    total, nearest = total[:-1], nearest[:-1]  # the last one is of points outside of the picture
    images = torch.where(total[:, 3:] > 0, total[:, :3] / total[:, 3:].clamp(min=1), background)
    return Rendering(images.view(n, side, side, 3).permute(0, 3, 1, 2), nearest.view(n, side, side))
