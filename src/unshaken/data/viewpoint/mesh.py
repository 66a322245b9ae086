"""A mesh file, read strictly: faces, colours and textures, nothing from outside its folder, nothing absent."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.extras import need
from unshaken.data.decode import BadImage, check_bytes, open_image
from unshaken.data.spec import reason_of

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
        """A mesh of one colour."""
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
        """Nothing is offered that is not asked for."""
        return ()

    def namespaced(self, namespace: str) -> _Assets:
        """The same folder."""
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
    """The mesh with z up, centred, of the usual size.

    Raises:
        BadImage: it has no extent, or a coordinate is no number.
    """
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
