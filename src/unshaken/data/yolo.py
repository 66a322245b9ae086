"""`yolo:DIR`: images with objects in the form of YOLO, a text file for each image."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import numpy as np

from unshaken.core.documents import read_text, read_yaml
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import LARGEST_COUNT, MAX_CLASSES, parse_number, parse_whole, shorten
from unshaken.data.folder import Links, list_images
from unshaken.data.labels import read_classes
from unshaken.data.object_files import FoundObjects, ObjectFiles, with_objects
from unshaken.data.spec import Options, check_split, existing, reason_of

IMAGES, LABELS = "images", "labels"
"""Names of the two folders."""
NAMES = ("data.yaml", "data.yml", "classes.txt")
"""Files of class names, in the order in which they are looked for."""
FORM = "lines of class, centre x, y and size w, h, the last four as shares of the photo's width and height"


def open_yolo(target: str, options: Options) -> ObjectFiles:
    """Open a folder that holds `images` and `labels`; a text file of labels is called as its image, but for the ending.

    `split` names a folder inside both, or one that holds the two. A line of a file is `class x y w h`; an image without
    a file, or with an empty one, has no objects. Class names come from the option `classes` (a file with one name a
    line), or else from `names` in `data.yaml`, or from `classes.txt` there or beside the labels; without any, classes
    are called by their numbers.

    An image of which a line cannot be used is a bad sample.

    Args:
        target: the folder.
        options: `split`, `classes` and `links`.

    Raises:
        DataError: a folder is absent; there are no images, or no files of labels; or such a file has no image.
    """
    spec = options.spec
    root = existing(target, spec, folder=True)
    images, labels = _folders(root, options)
    files = list_images(images, options)
    if not files:
        raise DataError(f"data {spec!r}: no images in {str(images)!r}")
    names = _class_names(root, labels, options)
    bad = {i: file.bad for i, file in enumerate(files) if file.bad}
    found = _Lines(len(names) or MAX_CLASSES, labels, Links.of(str(labels), options))
    texts = [path for path in sorted(labels.rglob("*.txt")) if path.name != "classes.txt"]  # tools write names there
    written = {_name(path.relative_to(labels).as_posix()): path for path in texts}
    if not written:
        raise DataError(f"data {spec!r}: no files of labels in {str(labels)!r}; write one .txt for each image")
    named: dict[str, str] = {}
    for i, file in enumerate(files):
        name = _name(file.id)
        if name in named:
            raise DataError(f"data {spec!r}: the images {named[name]!r} and {file.id!r} have one file of labels")
        named[name] = file.id
        if name in written and (why := found.read(i, written[name])):
            bad.setdefault(i, why)
    if written := {name: path for name, path in written.items() if name not in named}:
        raise DataError(
            f"data {spec!r}: {len(written):,} files of labels have no image, such as {shorten(min(written) + '.txt')}; "
            f"call a file in {LABELS!r} as its image in {IMAGES!r}, but for the ending"
        )
    objects = found.objects()
    names = names or [str(k) for k in range(int(objects.classes.max(initial=0)) + 1)]
    return with_objects(ObjectFiles(images, files, names, options, bad), objects, FORM)


class _Lines:
    """Reads the lines of label files.

    Args:
        classes: number K of classes that there are.
        folder: of the files.
        links: which of them may be links.
    """

    def __init__(self, classes: int, folder: Path, links: Links) -> None:
        self.classes, self.folder, self.links = classes, folder, links
        self._whole, self._boxes = array("q"), array("d")  # image, class, line
        self._names: dict[int, str] = {}

    def read(self, image: int, path: Path) -> str | None:
        """Read the file of an image."""
        name = self._names[image] = f"its labels {path.relative_to(self.folder).as_posix()}"
        try:
            if not self.links.allows(str(path.resolve(strict=True))):
                return f"{name} are a symbolic link out of their folder; allow it by the option links, or copy the file"
            lines = read_text(path).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            return f"{name} cannot be read: {reason_of(error)}"
        for number, line in enumerate(lines, 1):
            parts = line.split()
            if not parts:
                continue
            if len(parts) != 5:
                kind = "a polygon" if len(parts) > 6 and len(parts) % 2 else f"{len(parts)} values"
                return f"{name}, line {number}: {kind}, not the five values class, x, y, w, h"
            try:
                label = parse_whole(parts[0], least=0, most=self.classes - 1)
                box = [parse_number(part) for part in parts[1:]]
            except ParameterError as error:
                return f"{name}, line {number}: {error}"
            self._whole.extend((image, label, number))
            self._boxes.extend(box)
        if len(self._boxes) > 4 * LARGEST_COUNT:
            raise DataError(f"{name} and those before have more than {LARGEST_COUNT:,} boxes")
        return None

    def objects(self) -> FoundObjects:
        """The objects of all files."""
        image, label, line = np.array(self._whole, np.int64).reshape(-1, 3).T
        boxes = np.array(self._boxes, np.float64).reshape(-1, 4)
        return FoundObjects(
            image, boxes, label, lambda row: f"{self._names[int(image[row])]}, line {line[row]}", lambda row: "unknown"
        )


def _folders(root: Path, options: Options) -> tuple[Path, Path]:
    """The folders of images and of labels."""
    spec, split = options.spec, options.split
    check_split(options, str(root))
    if split is None:
        images = existing(str(root / IMAGES), spec, folder=True)
        inside = sorted(entry.name for entry in images.iterdir() if entry.is_dir())
        if (
            inside
            and all((root / LABELS / name).is_dir() for name in inside)
            and not any(entry.is_file() and not entry.name.startswith(".") for entry in images.iterdir())
        ):
            raise DataError(f"data {spec!r}: {IMAGES!r} holds the splits {inside}; choose one: ?split={inside[0]}")
        return images, existing(str(root / LABELS), spec, folder=True)
    apart = root / split / IMAGES
    both = (apart, root / split / LABELS) if apart.is_dir() else (root / IMAGES / split, root / LABELS / split)
    images, labels = (existing(str(path), spec, folder=True) for path in both)
    return images, labels


def _name(id: str) -> str:
    """A file's name below its folder without its ending, accents in one form."""
    return normalize("NFC", str(PurePosixPath(id).with_suffix("")))


def _class_names(root: Path, labels: Path, options: Options) -> Sequence[str]:
    """The names of classes; empty where no file has them."""
    spec = options.spec
    if options.classes:
        return read_classes(Path(options.classes), spec)
    path = next(filter(Path.is_file, [*(root / name for name in NAMES), labels / NAMES[-1]]), None)
    if path is None or path.suffix == ".txt":
        return () if path is None else read_classes(path, spec)
    value = read_yaml(path, f"data {spec!r}: {path.name}", DataError)
    names = value.get("names") if isinstance(value, dict) else None
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[k] for k in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int) for name in names):
        raise DataError(
            f"data {spec!r}: {path.name} has no names of the classes: write names as a list, or as a table 0, 1, 2, ..."
        )
    return [str(name) for name in names]
