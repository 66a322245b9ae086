"""`solids:N`: objects of eight classes made of simple bodies, N a class, of random shape and colour.

A body is given by its signed distance, so that marching along rays renders it exactly (`render`); a cloud of points on
its surface, drawn into a depth buffer, gives thousands of small pictures a second (`splat`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import parse_whole
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.data.spec import Options
from unshaken.data.viewpoint.object_set import ObjectSet, Rendering, camera_to_world, light, pixel_rays

DistanceField = Callable[[Tensor], Tensor]
"""From points `[..., 3]` to the distance to the nearest surface `[...]`, negative inside."""


def sphere(radius: float, centre: Sequence[float] = (0.0, 0.0, 0.0)) -> DistanceField:
    """The signed distance to a sphere."""

    def distance(points: Tensor) -> Tensor:
        from_centre: Tensor = (points - points.new_tensor(centre)).norm(dim=-1)
        return from_centre - radius

    return distance


def box(half: Sequence[float], centre: Sequence[float] = (0.0, 0.0, 0.0)) -> DistanceField:
    """The signed distance to a box with edges along the axes; `half` are half of their lengths."""

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
        views: `[N, 6]`, see `unshaken.data.viewpoint.object_set.ViewBox`.
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


SHELL = 0.04
"""Distance from the surface within which points are drawn, before they are moved onto it."""
DEPTH = 0.12
"""How far behind the nearest point of a pixel another still belongs to the same surface."""


class Surface(State):
    """Points of an object's surface, with normals and colours.

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
        views: `[N, 6]`, see `unshaken.data.viewpoint.object_set.ViewBox`.
        side: of the pictures in pixels; too large a one for the number of points shows holes.
        angle: see `unshaken.data.viewpoint.object_set.pixel_rays`.
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


POINTS = 3000
"""Points of an object's surface: no holes in pictures of 32 pixels."""
SMALL, LARGE = 32, 96
"""Side of the pictures in pixels where the SPEC names none, and the largest without holes that matter."""
MOST = 1000
"""Objects of a class."""
Shape = Sequence[float]
Centre = Sequence[float]


def cylinder(radius: float, half: float, centre: Centre = (0.0, 0.0, 0.0), axis: int = 2) -> DistanceField:
    """The signed distance to a cylinder along an axis; `half` is half of its length."""

    def distance(points: Tensor) -> Tensor:
        local = points - points.new_tensor(centre)
        others = [i for i in range(3) if i != axis]
        beyond = torch.stack([local[..., others].norm(dim=-1) - radius, local[..., axis].abs() - half], -1)
        outside: Tensor = beyond.clamp(min=0).norm(dim=-1)
        return outside + beyond.amax(-1).clamp(max=0)

    return distance


def torus(radius: float, thickness: float, centre: Centre = (0.0, 0.0, 0.0), axis: int = 1) -> DistanceField:
    """A ring around an axis: circles of radius `thickness` along a circle of radius `radius`."""

    def distance(points: Tensor) -> Tensor:
        local = points - points.new_tensor(centre)
        others = [i for i in range(3) if i != axis]
        ring = local[..., others].norm(dim=-1) - radius
        found: Tensor = torch.stack([ring, local[..., axis]], -1).norm(dim=-1)
        return found - thickness

    return distance


def _mug(s: Shape) -> list[DistanceField]:
    radius, half = 0.5 + 0.25 * s[0], 0.6 + 0.25 * s[1]
    outer, inner = cylinder(radius, half), cylinder(radius - 0.1, half, (0, 0, 0.12))
    return [
        lambda points: torch.maximum(outer(points), -inner(points)),
        torus(0.25 + 0.15 * s[2], 0.07 + 0.04 * s[3], (radius + 0.15, 0, 0)),
    ]


def _legs(x: float, y: float, top: float, width: float) -> list[DistanceField]:
    return [box((width, width, (top + 1) / 2), (i * x, j * y, (top - 1) / 2)) for i in (-1, 1) for j in (-1, 1)]


def _table(s: Shape) -> list[DistanceField]:
    x, y, top = 0.8 + 0.3 * s[0], 0.5 + 0.3 * s[1], 0.1 + 0.4 * s[2]
    return [box((x, y, 0.06), (0, 0, top)), *_legs(x - 0.1, y - 0.1, top, 0.06 + 0.03 * s[3])]


def _chair(s: Shape) -> list[DistanceField]:
    x, y, top, high = 0.5 + 0.15 * s[0], 0.45 + 0.15 * s[1], -0.3 + 0.3 * s[2], 0.45 + 0.2 * s[3]
    back = box((x, 0.06, high), (0, y - 0.06, top + high))
    return [box((x, y, 0.07), (0, 0, top)), back, *_legs(x - 0.08, y - 0.08, top, 0.06)]


def _bottle(s: Shape) -> list[DistanceField]:
    radius, half = 0.3 + 0.2 * s[0], 0.55 + 0.2 * s[1]
    neck = cylinder(0.1 + 0.05 * s[2], 0.25 + 0.1 * s[3], (0, 0, half + 0.15))
    return [cylinder(radius, half, (0, 0, -0.2)), neck]


def _lamp(s: Shape) -> list[DistanceField]:
    width, high = 0.45 + 0.25 * s[0], 0.2 + 0.15 * s[1]
    base = cylinder(0.3 + 0.2 * s[2], 0.06, (0, 0, -1.0))
    return [base, cylinder(0.05 + 0.03 * s[3], 0.8, (0, 0, -0.2)), cylinder(width, high, (0, 0, 0.75))]


def _car(s: Shape) -> list[DistanceField]:
    x, y, z, wheel = 0.9 + 0.25 * s[0], 0.4 + 0.15 * s[1], 0.2 + 0.1 * s[2], 0.2 + 0.08 * s[3]
    cabin = box((0.5 * x, 0.85 * y, 0.2), (-0.1, 0, z + 0.2))
    wheels = [cylinder(wheel, 0.08, (i * 0.6 * x, j * y, -z), axis=1) for i in (-1, 1) for j in (-1, 1)]
    return [box((x, y, z)), cabin, *wheels]


def _dumbbell(s: Shape) -> list[DistanceField]:
    reach, one, other = 0.6 + 0.3 * s[0], 0.3 + 0.15 * s[1], 0.3 + 0.15 * s[2]
    return [cylinder(0.08 + 0.05 * s[3], reach, axis=0), sphere(one, (reach, 0, 0)), sphere(other, (-reach, 0, 0))]


def _ring(s: Shape) -> list[DistanceField]:
    radius, thickness = 0.45 + 0.2 * s[0], 0.07 + 0.06 * s[1]
    pole = cylinder(0.06, 0.35, (0, 0, -0.6))
    return [torus(radius, thickness, (0, 0, 0.3 + 0.1 * s[2])), pole, cylinder(0.3 + 0.2 * s[3], 0.06, (0, 0, -1.0))]


CLASSES: dict[str, Callable[[Shape], list[DistanceField]]] = {
    "bottle": _bottle,
    "car": _car,
    "chair": _chair,
    "dumbbell": _dumbbell,
    "lamp": _lamp,
    "mug": _mug,
    "ring": _ring,
    "table": _table,
}


class Solids(ObjectSet):
    """Objects of simple bodies; four numbers of each shape, and the colours, are drawn by seed and id.

    Args:
        count: objects of each class.
        seed: decides shapes and colours.
        options: of the SPEC; `split` is part of the ids, so that the splits hold other objects.
    """

    def __init__(self, count: int, seed: int, options: Options) -> None:
        split = options.split or "train"
        self._count, self._seed = count, seed
        super().__init__(
            ids=[f"{name}/{split}-{i:03d}" for name in CLASSES for i in range(count)],
            labels=np.repeat(np.arange(len(CLASSES)), count),
            classes=list(CLASSES),
            root="solids",
            options=replace(options, size=options.size or SMALL),
        )

    @cached_property
    def _surfaces(self) -> dict[int, Surface]:
        return {}

    def parts(self, index: int) -> list[Part]:
        """The coloured bodies of an object."""
        draws = SampleRng.of(self._seed, "solids", [self.ids[index]]).fresh(10)[0].tolist()
        bodies = list(CLASSES.values())[index // self._count](draws[:4])
        first, second = (tuple(0.15 + 0.7 * c for c in draws[i : i + 3]) for i in (4, 7))
        return [Part(body, first if i == 0 else second) for i, body in enumerate(bodies)]

    def surface(self, index: int) -> Surface:
        """Points of an object's surface; the same whenever they are asked for."""
        if index not in self._surfaces:
            key = int(SampleRng.of(self._seed, "surface", [self.ids[index]]).keys[0])
            generator = torch.Generator().manual_seed(key & (2**62 - 1))
            self._surfaces[index] = sample_surface(self.parts(index), POINTS, generator)
        return self._surfaces[index]

    @override
    def render(self, index: int, views: Tensor) -> Tensor:
        return self._drawn(self.surface(index), views)

    @override
    def render_each(self, indices: Sequence[int], views: Tensor) -> Tensor:
        surfaces = [self.surface(i) for i in indices]
        stacked = (torch.stack([getattr(s, name) for s in surfaces]) for name in ("points", "normals", "colours"))
        return self._drawn(Surface(*stacked), views)

    def _drawn(self, surface: Surface, views: Tensor) -> Tensor:
        images = splat(surface, views, self.options.size or SMALL).images
        return images.permute(0, 2, 3, 1).mul(255).round().to(torch.uint8).contiguous()

    @override
    def content(self) -> Iterable[object]:
        return [self._count, self._seed, self.fetch(0).tobytes()]


def open_solids(target: str, options: Options) -> Solids:
    """Objects of eight classes: `N` or `N:SEED` a class; `split` names others of the same kind.

    Raises:
        DataError: the target is no such number, or the size is larger than the points allow.
    """
    number, colon, seed = target.partition(":")
    try:
        count, chosen = parse_whole(number), parse_whole(seed) if colon else 0
    except ParameterError:
        count, chosen = 0, 0
    if not (1 <= count <= MOST and chosen >= 0):
        raise DataError(f"data {options.spec!r}: write solids:N or solids:N:SEED with N from 1 to {MOST}")
    if options.split not in (None, "train", "test"):
        raise DataError(f"data {options.spec!r}: split={options.split} must be train or test")
    if (options.size or 0) > LARGE:
        raise DataError(f"data {options.spec!r}: size={options.size} is more than {LARGE}, where points leave holes")
    return Solids(count, chosen, options)
