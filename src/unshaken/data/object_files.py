"""Image files with boxes of their objects: what `coco:` and `yolo:` have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.box_files import check_spread, faults_of
from unshaken.data.box_table import BoxTable
from unshaken.data.dataset import Dataset
from unshaken.data.decode import BadImage, form_of
from unshaken.data.folder import ImageFile
from unshaken.data.spec import Options


@dataclass(frozen=True, slots=True, eq=False)
class FoundObjects:
    """Objects as annotation files have them, those that cannot be used among them.

    Args:
        owners: the image of each, int64 `[n]`.
        boxes: float64 `[n, 4]` as in `BoxTable`.
        classes: int64 `[n]`; -1 where unknown.
        place: where an object stands in its file, for messages, by its number.
        unknown: the class of an object that is unknown, for messages, by its number.
        crowd: as in `BoxTable`.
        areas: as in `BoxTable`.
    """

    owners: NDArray[np.int64]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    place: Callable[[int], str]
    unknown: Callable[[int], str]
    crowd: NDArray[np.bool_] | None = None
    areas: NDArray[np.float64] | None = None


class ObjectFiles(Dataset):
    """Image files without labels; an id is the file's name below the folder.

    Args:
        root: the folder.
        files: in it.
        classes: names of the objects' classes.
        options: of the SPEC.
        bad: for samples that cannot be used, the reason by index.
        sizes: width and height that the annotations name, int64 `[N, 2]`; None where they name none.
    """

    def __init__(
        self, root: Path, files: Sequence[ImageFile], classes: Sequence[str], options: Options,
        bad: Mapping[int, str], sizes: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        ids = [f.id for f in files]
        super().__init__(ids=ids, labels=None, classes=classes, root=str(root), options=options, bad=bad)
        self._files, self._sizes = files, sizes

    @override
    def fetch(self, index: int) -> Path:
        path = Path(self._files[index].path)
        if self._sizes is not None and index not in self.photo_sizes:
            width, height = form_of(path)[1]
            wide, high = self._sizes[index].tolist()
            if (width, height) != (wide, high):
                raise BadImage(
                    f"it has {width} x {height} pixels (EXIF orientation applied), and its annotations are for "
                    f"{wide} x {high}: its boxes do not fit"
                )
            self.photo_sizes[index] = width, height
        return path

    @override
    def content(self) -> Iterable[object]:
        return ((f.id, f.mark) for f in self._files)


def with_objects(images: ObjectFiles, found: FoundObjects, form: str) -> ObjectFiles:
    """The images with their objects; an image of which an object cannot be used is a bad sample.

    Args:
        images: all of the set, with or without objects.
        found: their objects.
        form: of a box in these files, for messages.

    Raises:
        DataError: there are no objects, none of the images with objects can be used, or most boxes leave their photos.
    """
    spec, bad = images.options.spec, dict(images.bad)
    if not len(found.owners) and not bad:
        raise DataError(f"data {spec!r} has no objects: nothing says what is in its {len(images):,} images")
    check_spread(found.boxes, f"data {spec!r}", form)
    for row, why in faults_of(found.boxes).items():
        bad.setdefault(int(found.owners[row]), f"{found.place(row)}: its box {why}; write {form}")
    for row in np.flatnonzero(found.classes < 0).tolist():
        bad.setdefault(int(found.owners[row]), f"{found.place(row)}: {found.unknown(row)}")
    usable = ~np.isin(found.owners, np.fromiter(bad, np.int64, len(bad)))
    if bad and not usable.any():
        first = min(bad)
        raise DataError(
            f"data {spec!r}: none of its images with objects can be used; {images.ids[first]}: {bad[first]}"
        )
    table = BoxTable(
        [images.ids[i] for i in found.owners[usable].tolist()],
        found.boxes[usable],
        found.classes[usable],
        None if found.crowd is None else found.crowd[usable],
        None if found.areas is None else found.areas[usable],
    )
    images.bad = bad
    return images.with_boxes(table)
