"""`ObjectSet`: a data set of objects that can be rendered from any viewpoint, and the camera as six numbers."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import View
from unshaken.core.context import Renderer
from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset
from unshaken.data.decode import open_image, pixels_of


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
    """Cast a ray through each pixel of a square picture.

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
    camera_rays = torch.stack([across, -down, -torch.ones_like(down)], -1)
    directions = torch.nn.functional.normalize(torch.einsum("nij,hwj->nhwi", poses[:, :3, :3], camera_rays), dim=-1)
    return poses[:, None, None, :3, 3].expand_as(directions), directions


FRONT = (0.0, 30.0, 70.0, 4.0, 0.0, 0.0)
"""The viewpoint of a sample's own image: from the front, 30 degrees to the side and 20 degrees above the horizon."""
SIDE = 224
"""Side of the pictures in pixels, where the SPEC names none."""
AMBIENT = 0.4
"""Share of the light that comes from everywhere; the rest comes from the camera."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """Rendered pictures of an object, with the depth of each pixel.

    Args:
        images: `[N, 3, H, W]` in [0, 1].
        depth: distance along each ray `[N, H, W]`; infinite where the ray meets nothing.
    """

    images: Tensor
    depth: Tensor


def light(cosine: Tensor) -> Tensor:
    """Brightness of a surface that is lit from the camera, in [0, 1].

    Args:
        cosine: of the angle between the surface's normal and the ray; its sign plays no part.
    """
    return AMBIENT + (1 - AMBIENT) * cosine.abs()


class ObjectSet(Dataset):
    """Objects that can be seen from any viewpoint; a sample's image is the object seen from `FRONT`.

    A subclass gives `render`, such as of a mesh, a signed distance or a radiance field.
    """

    @abstractmethod
    def render(self, index: int, views: Tensor) -> Tensor:
        """Pictures of an object, uint8 `[n, H, W, 3]`.

        Args:
            index: of the object, from 0.
            views: `[n, 6]`, see `unshaken.data.viewpoint.object_set.ViewBox`.

        Raises:
            BadImage: the object cannot be used; the reason is one line.
        """

    def render_each(self, indices: Sequence[int], views: Tensor) -> Tensor:
        """One picture of each of several objects, uint8 `[n, H, W, 3]`.

        Args:
            indices: of the objects; one may stand twice.
            views: `[n, 6]`, one for each.

        Raises:
            BadImage: an object cannot be used.
        """
        return torch.cat([self.render(i, views[j, None]) for j, i in enumerate(indices)])

    @override
    def fetch(self, index: int) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = self.render(index, torch.tensor([FRONT]))[0].numpy()
        return found

    def images(self, index: int, views: Tensor, view: View | None = None) -> Tensor:
        """Pictures of an object as `stream` would give them to a model, float32 `[n, C, H, W]` in [0, 1].

        Args:
            index: of the object, from 0.
            views: `[n, 6]`.
            view: how the model looks at photos.

        Raises:
            BadImage: the object cannot be used.
        """
        return self._shown(self.render(index, views.detach().cpu()), view)

    def images_each(self, indices: Sequence[int], views: Tensor, view: View | None = None) -> Tensor:
        """One picture of each of several objects, as `images` has them.

        Args:
            indices: of the objects.
            views: `[n, 6]`, one for each.
            view: how the model looks at photos.

        Raises:
            BadImage: an object cannot be used.
        """
        return self._shown(self.render_each(indices, views.detach().cpu()), view)

    @override
    def resources(self, view: View | None, device: str) -> Mapping[type[Any], Any]:
        places = cache(lambda: {name: place for place, name in enumerate(self.ids)})

        def render(sample: str, views: Tensor) -> Tensor:
            return self.images(places()[sample], views, view).to(device)

        return {Renderer: render}

    def _shown(self, pixels: Tensor, view: View | None) -> Tensor:
        size, mode = self.options.size, self.options.mode
        frames = [pixels_of(open_image(one), view=view, size=size, mode=mode) for one in pixels.numpy()]
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous().float().div_(255)


def require_objects(dataset: Dataset, what: str) -> ObjectSet:
    """The data set, whose samples must be objects.

    Args:
        dataset: any.
        what: needs objects, as the start of the message.

    Raises:
        DataError: its samples are pictures.
    """
    if not isinstance(dataset, ObjectSet):
        raise DataError(
            f"{what} needs objects that can be seen from other viewpoints, and data {dataset.options.spec!r} holds "
            "pictures: use meshes:DIR or solids:N"
        )
    return dataset
