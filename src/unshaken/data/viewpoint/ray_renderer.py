"""Meshes rendered by rays on the CPU (Embree): no OpenGL, no window, the same pixels on every machine of one kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from unshaken.core.extras import need
from unshaken.data.viewpoint.camera import camera_to_world, pixel_rays
from unshaken.data.viewpoint.mesh import Mesh
from unshaken.data.viewpoint.object_set import Rendering, light

NOTHING = -1
"""Embree's number of no face."""


class RayRenderer:
    """Renders one mesh, lit from the camera, one ray a pixel.

    Args:
        mesh: with the z axis up.

    Raises:
        MissingExtra: embreex is not installed.
    """

    def __init__(self, mesh: Mesh) -> None:
        need("embreex", "embreex", "meshes", "rendering meshes")
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.mesh = mesh
        self._scene: Any = EmbreeScene()
        self._geometry = TriangleMesh(self._scene, mesh.vertices, mesh.faces)

    def render(self, views: Tensor, side: int, *, angle: float = 45.0, background: float = 1.0) -> Rendering:
        """Pictures from viewpoints.

        Args:
            views: `[N, 6]`, see `unshaken.data.viewpoint.camera.ViewBox`.
            side: of the pictures in pixels.
            angle: see `pixel_rays`.
            background: grey of what no ray meets, in [0, 1].
        """
        found = [self._one(view[None], side, angle, background) for view in views.float()]
        return Rendering(torch.stack([f[0] for f in found]), torch.stack([f[1] for f in found]))

    def _one(self, view: Tensor, side: int, angle: float, background: float) -> tuple[Tensor, Tensor]:
        start, direction = (x.view(-1, 3).contiguous() for x in pixel_rays(camera_to_world(view), side, angle))
        met = self._scene.run(start.numpy(), direction.numpy(), query="INTERSECT", output=True)
        rays = np.flatnonzero(met["primID"] != NOTHING)
        face = met["primID"][rays]
        u, v = met["u"][rays, None], met["v"][rays, None]
        weights = np.stack([1 - u - v, u, v], 1)  # of the three corners
        colours = torch.from_numpy(self._colours(face, weights.astype(np.float32)))
        normal = torch.nn.functional.normalize(torch.from_numpy(met["Ng"][rays]), dim=1)
        bright = light((normal * direction[rays]).sum(1))
        image, depth = torch.full((side * side, 3), background), torch.full((side * side,), torch.inf)
        image[rays] = (colours * bright[:, None]).clamp(0, 1)
        depth[rays] = torch.from_numpy(met["tfar"][rays])
        return image.view(side, side, 3).permute(2, 0, 1), depth.view(side, side)

    def _colours(self, face: Any, weights: Any) -> Any:
        """Colours `[n, 3]` of points on faces, by the weights `[n, 3, 1]` of the corners."""
        mesh = self.mesh
        colours = (mesh.colours[face] * weights).sum(1)
        which = mesh.texture[face]
        for number in np.unique(which[which >= 0]):
            rows = np.flatnonzero(which == number)
            picture = mesh.textures[number]
            place = (mesh.corners[face[rows]] * weights[rows]).sum(1) % 1
            y = ((1 - place[:, 1]) * (picture.shape[0] - 1)).astype(np.int64)
            x = (place[:, 0] * (picture.shape[1] - 1)).astype(np.int64)
            colours[rows] = picture[y, x].astype(np.float32) / 255
        return colours
