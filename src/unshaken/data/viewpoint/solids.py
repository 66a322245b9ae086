"""`solids:N`: objects of eight classes made of simple bodies, N a class, of random shape and colour."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import parse_whole
from unshaken.core.rng import SampleRng
from unshaken.data.spec import Options
from unshaken.data.viewpoint.distance_field import DistanceField, Part, box, sphere
from unshaken.data.viewpoint.object_set import ObjectSet
from unshaken.data.viewpoint.splat import Surface, sample_surface, splat

POINTS = 3000
"""Points of an object's surface: no holes in pictures of 32 pixels."""
SMALL, LARGE = 32, 96
"""Side of the pictures in pixels where the SPEC names none, and the largest without holes that matter."""
MOST = 1000
"""Objects of a class."""
Shape = Sequence[float]
Centre = Sequence[float]


def cylinder(radius: float, half: float, centre: Centre = (0.0, 0.0, 0.0), axis: int = 2) -> DistanceField:
    """A cylinder along an axis; `half` is half of its length."""

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


def hollow(outer: DistanceField, inner: DistanceField) -> DistanceField:
    """The difference of two bodies: inside the outer one, outside the inner one."""
    return lambda points: torch.maximum(outer(points), -inner(points))


def _mug(s: Shape) -> list[DistanceField]:
    radius, half = 0.5 + 0.25 * s[0], 0.6 + 0.25 * s[1]
    wall = hollow(cylinder(radius, half), cylinder(radius - 0.1, half, (0, 0, 0.12)))
    return [wall, torus(0.25 + 0.15 * s[2], 0.07 + 0.04 * s[3], (radius + 0.15, 0, 0))]


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
