"""`meshes:DIR`: a folder of meshes, in a folder a class, as objects that can be seen from any viewpoint.

A mesh file is read strictly: nothing from outside its folder, nothing absent. It is rendered by rays on the CPU
(Embree): no OpenGL, no window, the same pixels on every machine of one kind.
"""

from __future__ import annotations

import io
import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.imports import need
from unshaken.data.decode import BadImage, check_bytes, open_image
from unshaken.data.spec import Options, check_split, existing, reason_of
from unshaken.data.viewpoint.object_set import SIDE, ObjectSet, Rendering, camera_to_world, light, pixel_rays

SUFFIXES = (".obj", ".off", ".ply", ".stl")
"""Formats whose colours and textures are files that can be checked one by one."""
MOST_FACES = 500_000
"""Faces of a mesh."""
GREY = 0.7
"""Grey of faces without a colour."""
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tga", ".tif", ".tiff", ".webp")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles with colours.

    Args:
        vertices: float32 `[V, 3]`, the z axis up.
        faces: int32 `[F, 3]`.
        colours: float32 `[F, 3, 3]`: red, green and blue in [0, 1] at each corner.
        corners: float32 `[F, 3, 2]`: the corners' place in the texture, from 0 to 1, from the lower left.
        texture: int32 `[F]`: which texture a face has; -1 for none.
        textures: uint8 `[H, W, 3]` each.
    """

    vertices: Floats
    faces: NDArray[np.int32]
    colours: Floats
    corners: Floats
    texture: NDArray[np.int32]
    textures: tuple[NDArray[np.uint8], ...] = ()

    @classmethod
    def plain(cls, vertices: NDArray[Any], faces: NDArray[Any], colour: tuple[float, float, float]) -> Mesh:
        """Make a mesh of one colour from vertices `[V, 3]` and faces `[F, 3]`."""
        n = len(faces)
        colours = np.broadcast_to(np.asarray(colour, np.float32), (n, 3, 3)).copy()
        corners, none = np.zeros((n, 3, 2), np.float32), np.full(n, -1, np.int32)
        return cls(vertices.astype(np.float32), faces.astype(np.int32), colours, corners, none)


def read_mesh(path: Path, *, up: str = "y") -> Mesh:
    """Read a mesh, centred at the origin, its longest edge of length 2.5, so that it fills most of a picture.

    Args:
        path: of a file whose name ends as one of `SUFFIXES`.
        up: the axis of the file that points up, `y` or `z`; the front looks along -z or -y.

    Raises:
        BadImage: it cannot be read, has no faces or too many, or a material or texture is absent; one line says which.
        MissingExtra: trimesh is not installed.
    """
    trimesh = need("trimesh", "trimesh", "meshes", "reading meshes")
    assets = _Assets(path.parent)
    try:
        size = path.stat().st_size
        check_bytes(size)
        data = path.read_bytes()
        if path.suffix.lower() == ".obj" and data.count(b"\nf ") > MOST_FACES:  # before minutes of parsing
            raise BadImage(_too_many(data.count(b"\nf ")))
        logger = logging.getLogger("trimesh")
        before, logger.disabled = logger.disabled, True  # what it would warn of is in `assets`
        try:
            scene = trimesh.load_scene(io.BytesIO(data), file_type=path.suffix[1:].lower(), resolver=assets)
        finally:
            logger.disabled = before
        parts = [part for part in scene.dump() if len(getattr(part, "faces", ()))]
    except BadImage:
        raise
    except Exception as error:  # as Pillow's, its readers raise almost anything on a damaged file
        raise BadImage(f"the mesh cannot be read: {reason_of(error)}") from error
    if assets.bad:
        raise BadImage(assets.bad[0])
    if not parts:
        raise BadImage("the mesh has no faces")
    if (faces := sum(len(part.faces) for part in parts)) > MOST_FACES:
        raise BadImage(_too_many(faces))
    return _normalised(_joined(parts), up)


def _too_many(faces: int) -> str:
    return f"the mesh has {faces:,} faces; {MOST_FACES:,} are the most: simplify it, as in Blender with Decimate"


class _Assets:
    """Gives trimesh the materials and textures of a mesh: files of its own folder alone.

    Args:
        folder: of the mesh.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.bad = folder.resolve(), list[str]()

    def get(self, name: str) -> bytes:
        """The bytes of a file; a picture is decoded here, by the readers that are trusted, and handed on as PNG."""
        what = "texture" if Path(name).suffix.lower() in PICTURES else "material file"
        try:
            path = (self.folder / name.strip().replace("\\", "/")).resolve()
            if not path.is_relative_to(self.folder):
                raise BadImage(f"its {what} {name!r} lies outside of the mesh's folder")
            if not path.is_file():
                raise BadImage(f"its {what} {name!r} is absent")
            check_bytes(path.stat().st_size)
            if what != "texture":
                return path.read_bytes()
            packed = io.BytesIO()
            open_image(path).convert("RGB").save(packed, "PNG", compress_level=0)
            return packed.getvalue()
        except BadImage as error:
            reason = error.reason if what in error.reason else f"its {what} {name!r} cannot be used: {error.reason}"
            self.bad.append(reason)
            raise FileNotFoundError(reason) from error

    def __getitem__(self, name: str) -> bytes:
        return self.get(name)

    def __contains__(self, name: str) -> bool:
        return True  # asked for all the same, so that what is absent is noted

    def keys(self) -> Iterable[str]:
        return ()

    def namespaced(self, namespace: str) -> _Assets:
        return self


def _joined(parts: Iterable[Any]) -> Mesh:
    """The parts of a scene as one mesh."""
    vertices, faces, colours, corners, texture = [], [], [], [], []
    textures: list[NDArray[np.uint8]] = []
    first = 0
    for part in parts:
        n, visual = len(part.faces), part.visual
        colour = np.full((n, 3, 3), GREY, np.float32)
        place, number = np.zeros((n, 3, 2), np.float32), -1
        material = getattr(visual, "material", None)
        picture, uv = getattr(material, "image", None), getattr(visual, "uv", None)
        if material is not None and (diffuse := getattr(material, "diffuse", None)) is not None:
            colour[:] = np.asarray(diffuse, np.float32)[:3] / 255
        elif getattr(visual, "kind", None) == "vertex":
            colour = (np.asarray(visual.vertex_colors)[part.faces][..., :3] / 255).astype(np.float32)
        elif getattr(visual, "kind", None) == "face":
            colour[:] = (np.asarray(visual.face_colors)[:, None, :3] / 255).astype(np.float32)
        if picture is not None and uv is not None and len(uv) == len(part.vertices):
            number, place = len(textures), np.nan_to_num(uv[part.faces]).astype(np.float32)
            textures.append(np.asarray(picture.convert("RGB")))
        vertices.append(np.asarray(part.vertices, np.float32))
        faces.append(np.asarray(part.faces, np.int32) + first)
        first += len(part.vertices)
        colours.append(colour)
        corners.append(place)
        texture.append(np.full(n, number, np.int32))
    return Mesh(
        np.concatenate(vertices),
        np.concatenate(faces),
        np.concatenate(colours),
        np.concatenate(corners),
        np.concatenate(texture),
        tuple(textures),
    )


def _normalised(mesh: Mesh, up: str) -> Mesh:
    """The mesh with z up, centred, of the usual size."""
    used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
    low, high = used.min(0), used.max(0)
    extent = float((high - low).max())
    if not (np.isfinite(low).all() and np.isfinite(high).all() and extent > 0):
        raise BadImage("the mesh has no extent, or a vertex that is no number")
    placed = (mesh.vertices.astype(np.float64) - (low + high) / 2) * (2.5 / extent)
    if up == "y":
        placed = np.stack([placed[:, 0], -placed[:, 2], placed[:, 1]], 1)
    rest = mesh.faces, mesh.colours, mesh.corners, mesh.texture, mesh.textures
    return Mesh(placed.astype(np.float32), *rest)


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
            views: `[N, 6]`, see `unshaken.data.viewpoint.object_set.ViewBox`.
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


KEPT_FACES = 4_000_000
"""Faces of the renderers that are kept at once."""


class MeshFolder(ObjectSet):
    """Mesh files below a folder; an id is the path relative to it, with `/` between its parts.

    Args:
        root: the folder.
        files: of meshes.
        classes: folders in label order; empty where meshes are loose.
        options: of the SPEC.
    """

    def __init__(self, root: Path, files: Sequence[Path], classes: Sequence[str], options: Options) -> None:
        ids = [path.relative_to(root).as_posix() for path in files]
        place = {name: i for i, name in enumerate(classes)}
        super().__init__(
            ids=ids,
            labels=np.array([place[name.partition("/")[0]] for name in ids], np.int64) if classes else None,
            classes=classes,
            root=str(root),
            options=replace(options, size=options.size or SIDE),
        )
        self._files = tuple(files)
        self._renderers: OrderedDict[int, RayRenderer | str] = OrderedDict()

    @override
    def render(self, index: int, views: Tensor) -> Tensor:
        images = self._renderer(index).render(views, self.options.size or SIDE).images
        return images.permute(0, 2, 3, 1).mul(255).round().to(torch.uint8).contiguous()

    @override
    def content(self) -> Iterable[object]:
        siblings = sorted({p for f in self._files for p in f.parent.iterdir() if p.is_file()})
        return [(p.relative_to(self.root).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in siblings]

    def _renderer(self, index: int) -> RayRenderer:
        if index not in self._renderers:
            try:
                self._renderers[index] = RayRenderer(read_mesh(self._files[index]))
            except BadImage as error:
                self._renderers[index] = error.reason
        self._renderers.move_to_end(index)
        while (
            len(self._renderers) > 1
            and sum(len(held.mesh.faces) for held in self._renderers.values() if isinstance(held, RayRenderer))
            > KEPT_FACES
        ):
            self._renderers.popitem(last=False)
        found = self._renderers[index]
        if isinstance(found, str):
            raise BadImage(found)
        return found


def open_meshes(target: str, options: Options) -> MeshFolder:
    """List a folder of meshes: a folder for each class, with mesh files in it or in folders below; or loose meshes.

    Files point up with their y axis, as most are exported. A mesh that cannot be used is a bad sample.

    Raises:
        DataError: there are no meshes, one is a symbolic link, or loose ones stand beside class folders.
        MissingExtra: trimesh or embreex is not installed.
    """
    need("trimesh", "trimesh", "meshes", f"data {options.spec!r}")
    need("embreex", "embreex", "meshes", f"data {options.spec!r}")
    root = existing(target, options.spec, folder=True)
    if options.split is not None:
        check_split(options, target)
        root = existing(str(root / options.split), options.spec, folder=True)
    files = []
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        if path.is_symlink() or not path.resolve().is_relative_to(root):
            raise DataError(
                f"data {options.spec!r}: {str(path.relative_to(root))!r} is behind a symbolic link, which is not "
                "followed: put the file itself there"
            )
        if path.is_file():
            files.append(path)
    if not files:
        raise DataError(f"data {options.spec!r}: no meshes in {target!r}; looked for {' '.join(SUFFIXES)}")
    loose = [p for p in files if p.parent == root]
    if loose and len(loose) < len(files):
        raise DataError(
            f"data {options.spec!r}: {len(loose)} loose meshes such as {loose[0].name!r} stand beside folders; put "
            "every mesh into a class folder, or all of them loose"
        )
    classes = [] if loose else sorted({p.relative_to(root).parts[0] for p in files})
    return MeshFolder(root, files, classes, options)
