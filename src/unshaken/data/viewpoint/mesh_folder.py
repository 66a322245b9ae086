"""`meshes:DIR`: a folder of meshes, in a folder a class, as objects that can be seen from any viewpoint."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.extras import need
from unshaken.data.decode import BadImage
from unshaken.data.spec import Options, existing
from unshaken.data.viewpoint.mesh import SUFFIXES, read_mesh
from unshaken.data.viewpoint.object_set import SIDE, ObjectSet
from unshaken.data.viewpoint.ray_renderer import RayRenderer

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
        beside = sorted({p for f in self._files for p in f.parent.iterdir() if p.is_file()})
        return [(p.relative_to(self.root).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in beside]

    def _renderer(self, index: int) -> RayRenderer:
        if index not in self._renderers:
            try:
                self._renderers[index] = RayRenderer(read_mesh(self._files[index]))
            except BadImage as error:
                self._renderers[index] = error.reason
        self._renderers.move_to_end(index)
        while len(self._renderers) > 1 and sum(map(_faces, self._renderers.values())) > KEPT_FACES:
            self._renderers.popitem(last=False)
        found = self._renderers[index]
        if isinstance(found, str):
            raise BadImage(found)
        return found


def _faces(kept: RayRenderer | str) -> int:
    return 0 if isinstance(kept, str) else len(kept.mesh.faces)


def open_meshes(target: str, options: Options) -> MeshFolder:
    """List a folder of meshes: a folder for each class, with mesh files in it or in folders below; or loose meshes.

    Files point up with their y axis, as most are exported. A mesh that cannot be used is a bad sample.

    Raises:
        DataError: there are no meshes, or loose ones stand beside class folders.
        MissingExtra: trimesh or embreex is not installed.
    """
    need("trimesh", "trimesh", "meshes", f"data {options.spec!r}")
    need("embreex", "embreex", "meshes", f"data {options.spec!r}")
    root = existing(target, options.spec, folder=True)
    if options.split is not None:
        if options.split in (".", "..") or "/" in options.split or "\\" in options.split:
            raise DataError(f"data {options.spec!r}: split={options.split} must be the name of a folder in {target!r}")
        root = existing(str(root / options.split), options.spec, folder=True)
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and _is_usual(p, root))
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


def _is_usual(path: Path, root: Path) -> bool:
    """Whether it is a file, neither hidden nor behind a symbolic link."""
    parts = path.relative_to(root).parts
    inside = path.resolve().is_relative_to(root)
    return inside and path.is_file() and not path.is_symlink() and not any(p.startswith(".") for p in parts)
