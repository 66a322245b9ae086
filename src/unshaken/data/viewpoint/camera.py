"""The camera's viewpoint as six numbers, its box, its place in the world and the rays of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ViewBox:
    """The box of viewpoints `(psi, theta, phi, r, dx, dy)`: `v = a tanh(u) + b` in each coordinate.

    psi tilts, theta goes around, phi is the polar angle (0 looks straight down, 90 is horizontal), in degrees; r is the
    distance, dx and dy shift the camera across its line of sight.

    Args:
        a: half of each side.
        b: the centre.
    """

    a: tuple[float, ...] = (30, 180, 70, 1, 0.5, 0.5)
    b: tuple[float, ...] = (0, 0, 0, 4, 0, 0)

    def view(self, u: Tensor) -> Tensor:
        """Viewpoints of unbounded numbers, both `[..., 6]`."""
        return u.tanh() * u.new_tensor(self.a) + u.new_tensor(self.b)

    def unbounded(self, views: Tensor) -> Tensor:
        """The numbers whose `view` it is; views on the border of the box give infinite ones."""
        return ((views - views.new_tensor(self.b)) / views.new_tensor(self.a)).atanh()


def camera_to_world(views: Tensor) -> Tensor:
    """Poses `R_z(theta) G(psi) R_x(phi) Trans(dx, dy, r)` of cameras that look along their own -z.

    Args:
        views: `[N, 6]`, see `ViewBox`.

    Returns:
        `[N, 4, 4]`, from the camera's coordinates to the world's, whose z points up.
    """
    psi, theta, phi = (views[:, i] * (math.pi / 180) for i in range(3))
    zero, one = torch.zeros_like(psi), torch.ones_like(psi)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, 1).view(-1, 4, 4)

    def turn(rows: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        return matrix(*(entry for row in rows for entry in (*row, zero)), zero, zero, zero, one)

    around = turn([(theta.cos(), -theta.sin(), zero), (theta.sin(), theta.cos(), zero), (zero, zero, one)])
    tilt = turn([(psi.cos(), zero, -psi.sin()), (zero, one, zero), (psi.sin(), zero, psi.cos())])
    polar = turn([(one, zero, zero), (zero, phi.cos(), -phi.sin()), (zero, phi.sin(), phi.cos())])
    r, dx, dy = views[:, 3], views[:, 4], views[:, 5]
    shift = matrix(one, zero, zero, dx, zero, one, zero, dy, zero, zero, one, r, zero, zero, zero, one)
    return around @ tilt @ polar @ shift


def pixel_rays(poses: Tensor, side: int, angle: float = 45.0) -> tuple[Tensor, Tensor]:
    """Where the rays of a square picture start and which way they go.

    Args:
        poses: `[N, 4, 4]`, see `camera_to_world`.
        side: of the picture in pixels.
        angle: that the picture sees, in degrees, from side to side.

    Returns:
        Starts and directions of length 1, each `[N, side, side, 3]`.
    """
    place = (torch.arange(side, dtype=poses.dtype, device=poses.device) + 0.5) * (2 / side) - 1
    place = place * math.tan(math.radians(angle) / 2)
    down, across = torch.meshgrid(place, place, indexing="ij")
    seen = torch.stack([across, -down, -torch.ones_like(down)], -1)
    directions = torch.nn.functional.normalize(torch.einsum("nij,hwj->nhwi", poses[:, :3, :3], seen), dim=-1)
    return poses[:, None, None, :3, 3].expand_as(directions), directions
