"""`coco:`: images with objects in the form of COCO, one JSON file for all, read item by item."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from unicodedata import normalize

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from unshaken.core.documents import first_problem
from unshaken.core.errors import DataError
from unshaken.core.json_items import json_items
from unshaken.core.numbers import LARGEST_COUNT, MAX_CLASSES, shorten
from unshaken.data.dataset import LONGEST_ID
from unshaken.data.decode import MAX_PIXELS
from unshaken.data.folder import ImageFile, list_images
from unshaken.data.object_files import FoundObjects, ObjectFiles, with_objects
from unshaken.data.spec import Options, check_split, existing

FORM = "bbox as [left, top, width, height] in pixels of the photo"
LISTS = ("images", "annotations", "categories")
M = TypeVar("M", bound=BaseModel)
Side = Annotated[int, Field(ge=1, le=MAX_PIXELS)]


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class CocoImage(_Entry):
    """An entry of `images`."""

    id: int | str
    file_name: str = Field(min_length=1, max_length=LONGEST_ID)
    width: Side
    height: Side


class CocoCategory(_Entry):
    """An entry of `categories`."""

    id: int
    name: str = Field(min_length=1, max_length=LONGEST_ID)


class CocoObject(_Entry):
    """An entry of `annotations`, as far as it is needed for boxes."""

    image_id: int | str
    category_id: int
    bbox: list[FiniteFloat] = Field(min_length=4, max_length=4)
    area: Annotated[FiniteFloat, Field(ge=0)] | None = None
    iscrowd: Literal[0, 1] = 0


def open_coco(target: str, options: Options) -> ObjectFiles:
    """Open a folder of COCO's layout, or a file of annotations.

    Of a folder, `split` names the file `annotations/instances_<split>.json` and the folder of images `<split>`; without
    it, the only such file is taken. A folder `<split>` may also hold images and `_annotations.coco.json`. The images of
    a file lie in the folder `images` of the SPEC, or else where that layout has them, or else beside the file.

    Ids are file names. Categories become the classes 0 to K-1 in the order of their ids. An image that is absent, of
    another size than its entry says, or of which an annotation cannot be used, is a bad sample.

    Args:
        target: folder or file.
        options: `split`, `images` and `links`.

    Raises:
        DataError: the file is absent, damaged or of another form; ids stand twice; an annotation is of no image; or
            none of the images is there.
    """
    path, folder = _layout(target, options)
    found = _Annotations(path, options.spec)
    files = _files([name for name, _, _ in found.images.values()], folder, options)
    place = {key: i for i, key in enumerate(found.images)}
    bad = {i: file.bad for i, file in enumerate(files) if file.bad}
    for number, why in found.faults.items():
        bad.setdefault(place[found.keys[number]], why)
    sizes = np.array([size for _, *size in found.images.values()], np.int64).reshape(-1, 2)
    images = ObjectFiles(folder, files, [found.categories[k] for k in sorted(found.categories)], options, bad, sizes)
    return with_objects(images, found.objects(place, sizes), FORM)


class _Annotations:
    """The lists of a file of annotations.

    Args:
        path: of the file.
        spec: of the data, for messages.

    Attributes:
        images: name, width and height by the image's key.
        categories: names by id.
        keys: of the images that annotations name, in the order in which they come.
        faults: of annotations that cannot be used, the reason by the number of the image in `keys`.
    """

    def __init__(self, path: Path, spec: str) -> None:
        self.where = f"data {spec!r}: {path.name}"
        self.images: dict[int | str, tuple[str, int, int]] = {}
        self.categories: dict[int, str] = {}
        self.faults: dict[int, str] = {}
        self._numbers: dict[int | str, int] = {}
        self._kinds: dict[int, int] = {}
        self._whole, self._floats = array("q"), array("d")  # image, category, crowd, entry; box and area
        add = {"images": self._image, "annotations": self._object, "categories": self._category}
        found = set()
        for key, number, value in json_items(path, self.where, DataError):
            if key not in add:
                continue
            found.add(key)
            if number is None and value != []:
                raise DataError(f"{self.where}: {key} must be a list, not {shorten(value)}")
            if number is None:
                continue
            if number >= LARGEST_COUNT:
                raise DataError(f"{self.where}: {key} has more than {LARGEST_COUNT:,} entries")
            add[key](number, value)
        if missing := [name for name in ("images", "categories") if name not in found]:
            raise DataError(
                f"{self.where} has no {missing[0]}: needed is a table of COCO's form, with the lists {', '.join(LISTS)}"
            )
        self.keys = list(self._numbers)
        for image in self.keys:
            if image not in self.images:
                raise DataError(f"{self.where}: an annotation is of the image {shorten(image)}, which is not in images")
        if len(set(self.categories.values())) < len(self.categories):
            names = list(self.categories.values())
            raise DataError(f"{self.where}: two categories have the name {shorten(max(names, key=names.count))}")

    def _image(self, number: int, value: Any) -> None:
        one = self._checked(CocoImage, f"images, item {number}", value)
        if one.id in self.images:
            raise DataError(f"{self.where}: two images have the id {shorten(one.id)}: give each its own")
        self.images[one.id] = one.file_name, one.width, one.height

    def _category(self, number: int, value: Any) -> None:
        one = self._checked(CocoCategory, f"categories, item {number}", value)
        if one.id in self.categories:
            raise DataError(f"{self.where}: two categories have the id {shorten(one.id)}: give each its own")
        if len(self.categories) >= MAX_CLASSES:
            raise DataError(f"{self.where}: there are more than {MAX_CLASSES:,} categories")
        self.categories[one.id] = one.name

    def _object(self, number: int, value: Any) -> None:
        try:
            one = CocoObject.model_validate(value)
        except ValidationError as error:
            owner, why = value.get("image_id") if isinstance(value, dict) else None, first_problem(error)
            if not isinstance(owner, int | str):
                raise DataError(f"{self.where}: annotations, item {number}: {why}") from None
            self.faults.setdefault(self._number(owner), f"annotations, item {number}: {why}")
            return
        kind = self._kinds.setdefault(one.category_id, len(self._kinds))
        self._whole.extend((self._number(one.image_id), kind, one.iscrowd, number))
        self._floats.extend((*one.bbox, float("nan") if one.area is None else one.area))

    def _number(self, key: int | str) -> int:
        """The number of an image, whose entry may still come."""
        return self._numbers.setdefault(key, len(self._numbers))

    def _checked(self, model: type[M], place: str, value: Any) -> M:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise DataError(f"{self.where}: {place}: {first_problem(error)}") from None

    def objects(self, place: dict[int | str, int], sizes: Any) -> FoundObjects:
        """The objects of all annotations, boxes as shares of their photos.

        Args:
            place: of the images in the data set.
            sizes: their width and height, int64 `[N, 2]`.
        """
        image, kind, crowd, entry = np.array(self._whole, np.int64).reshape(-1, 4).T
        numbers = np.array(self._floats, np.float64).reshape(-1, 5)
        owners = np.array([place[key] for key in self.keys], np.int64)[image]
        order = {id: k for k, id in enumerate(sorted(self.categories))}
        kinds = list(self._kinds)
        corner, size, area, whole = numbers[:, :2], numbers[:, 2:4], numbers[:, 4], sizes[owners]
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers that no photo has
            boxes = np.concatenate([(corner + size / 2) / whole, size / whole], 1)
            areas = np.where(np.isnan(area), size.prod(1), area)
        return FoundObjects(
            owners,
            boxes,
            np.array([order.get(id, -1) for id in kinds], np.int64)[kind],
            lambda row: f"annotations, item {entry[row]}",
            lambda row: f"its category {shorten(kinds[kind[row]])} is not in categories",
            crowd > 0,
            areas,
        )


def _layout(target: str, options: Options) -> tuple[Path, Path]:
    """The file of annotations and the folder of images."""
    spec, own = options.spec, options.images
    if target.lower().endswith(".json"):
        if options.split is not None:
            raise DataError(f"data {spec!r}: split chooses a file in a folder, and {target!r} is a file; leave it out")
        path = existing(target, spec, folder=False)
        usual = path.parent.parent / path.stem.rpartition("_")[2]
        folder = usual if path.parent.name == "annotations" and usual.is_dir() else path.parent
        return path, existing(own or str(folder), spec, folder=True)
    root = existing(target, spec, folder=True)
    check_split(options, target)
    split = options.split
    if split is None:
        splits = sorted(p.stem.removeprefix("instances_") for p in root.glob("annotations/instances_*.json"))
        if len(splits) != 1:
            why = f"choose one: ?split={splits[0]}" if splits else "name a file: coco:FILE.json?images=DIR"
            raise DataError(f"data {spec!r}: {len(splits)} files annotations/instances_*.json in {target!r}; {why}")
        split = splits[0]
    path, exported = root / "annotations" / f"instances_{split}.json", root / split / "_annotations.coco.json"
    path = exported if exported.is_file() and not path.exists() else path
    return existing(str(path), spec, folder=False), existing(own or str(root / split), spec, folder=True)


def _files(names: Sequence[str], folder: Path, options: Options) -> list[ImageFile]:
    """The files of images by their names; those that are not there are bad."""
    if not names:
        raise DataError(f"data {options.spec!r}: the list images is empty")
    listed = list_images(folder, options)
    there = {normalize("NFC", f.id): f for f in listed} | {f.id: f for f in listed}  # macOS writes accents apart
    found = [there.get(name) or there.get(normalize("NFC", name)) for name in names]
    if not any(found):
        raise DataError(
            f"data {options.spec!r}: none of its {len(names):,} images, such as {shorten(names[0])}, is in "
            f"{str(folder)!r}; say where they are: ?images=DIR"
        )
    absent = f"the file is not in {str(folder)!r}"
    return [
        ImageFile(name, "", (0, 0), absent) if file is None else ImageFile(name, file.path, file.mark, file.bad)
        for name, file in zip(names, found, strict=True)
    ]
