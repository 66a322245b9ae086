"""`wilds:DIR`: iWildCam, Camelyon17, FMoW and others as WILDS publishes them, one split at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from typing_extensions import override

from unshaken.core.errors import DataError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.data.dataset import Dataset
from unshaken.data.folder import ImageFile, list_images
from unshaken.data.labels import labels_from
from unshaken.data.sample_metadata import plain_columns, read_table
from unshaken.data.spec import Options, existing, reason_of

Columns = dict[str, list[Any]]
TEST = "test"
"""The split that is opened where none is named: it is the one out of the distribution."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The images, labels, splits and columns of one of the sets.

    Args:
        files: of each row, below `images`.
        images: folder of the images, below the set's.
        labels: of each row, numbers or names of classes.
        splits: of each row, as WILDS calls them; empty for a row of none.
        columns: of the table, and those made of them, for slices.
        classes: names in label order; empty for those that the labels have.
    """

    files: Sequence[str]
    images: str
    labels: Sequence[Any]
    splits: Sequence[str]
    columns: Mapping[str, list[Any]]
    classes: Sequence[str] = ()


class WildsDataset(Dataset):
    """Images of one split; an id is the path below the folder of the images.

    Args:
        root: that folder.
        files: in the order of the table.
        columns: a value an image.
        labels: of the images.
        classes: names in label order.
        options: of the SPEC.
    """

    def __init__(
        self, root: Path, files: Sequence[ImageFile], columns: Columns, labels: Sequence[Any], classes: Sequence[str],
        options: Options,
    ) -> None:  # fmt: skip
        numbers, names, bad = labels_from(pa.array(labels), classes, options.spec)
        bad = {**bad, **{i: f.bad for i, f in enumerate(files) if f.bad}}
        ids = [f.id for f in files]
        super().__init__(ids=ids, labels=numbers, classes=names, root=str(root), options=options, bad=bad)
        self._files, self._columns, self._names = files, columns, labels

    @override
    def fetch(self, index: int) -> Path:
        return Path(self._files[index].path)

    @override
    def columns(self) -> Columns:
        return {name: list(values) for name, values in self._columns.items()}

    @override
    def content(self) -> Iterable[object]:
        return (*((f.id, f.mark) for f in self._files), self._names, sorted(self._columns.items()))


def open_wilds(target: str, options: Options) -> WildsDataset:
    """Open one split of a set in WILDS' layout.

    Known are iWildCam (version 2), Camelyon17 and FMoW, by the columns of their table, and other sets whose
    `metadata.csv` has the columns `filename` or `img_filename`, `y` and `split`, such as Waterbirds. The columns of the
    table divide the images.

    Args:
        target: the folder of the table.
        options: `split` is `test` by default; `links` as for a folder.

    Raises:
        DataError: the table is absent, damaged or of no known layout, there is no such split, or images are absent.
    """
    root = existing(target, options.spec, folder=True)
    path = next((p for name in ("rgb_metadata.csv", "metadata.csv") if (p := root / name).is_file()), None)
    if path is None:
        raise DataError(f"data {options.spec!r}: {target!r} holds neither metadata.csv nor rgb_metadata.csv")
    columns = _read(path, options.spec)
    made = [make for needs, make in LAYOUTS if needs <= columns.keys()]
    if not made:
        known = "; ".join(", ".join(sorted(needs)) for needs, _ in LAYOUTS)
        raise DataError(f"data {options.spec!r}: {path.name} has the columns of no known set; one of: {known}")
    try:
        layout = made[0](root, columns, options.spec)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"data {options.spec!r}: {path.name} is not as WILDS publishes it: {reason_of(error)}"
        ) from error
    split = options.split or TEST
    rows = [i for i, name in enumerate(layout.splits) if name == split]
    if not rows:
        there = sorted(set(layout.splits) - {""})
        raise DataError(f"data {options.spec!r} has no split {split!r}; {did_you_mean(split, there)}")
    images = existing(str(root / layout.images), options.spec, folder=True)
    found = {f.id: f for f in list_images(images, options)}
    absent = [layout.files[i] for i in rows if layout.files[i] not in found]
    if absent:
        raise DataError(
            f"data {options.spec!r}: {len(absent):,} of the split's {len(rows):,} images are not in {str(images)!r}, "
            f"such as {shorten(str(absent[0]))}: get them, or leave their rows out of {path.name}"
        )
    kept = {name: [values[i] for i in rows] for name, values in layout.columns.items() if name}
    files, labels = [found[layout.files[i]] for i in rows], [layout.labels[i] for i in rows]
    return WildsDataset(images, files, kept, labels, layout.classes, options)


def _read(path: Path, spec: str) -> Columns:
    try:
        return plain_columns(read_table(path, "patient"))  # whose zeros in front belong to it
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"data {spec!r}: {path.name} cannot be read: {reason_of(error)}") from error


def _iwildcam(root: Path, columns: Columns, spec: str) -> Layout:
    number = 1 + max(int(y) for y in columns["y"])
    names = {k: str(k) for k in range(number)}
    if (path := root / "categories.csv").is_file():
        table = _read(path, spec)
        names |= {int(y): str(name) for y, name in zip(table["y"], table["name"], strict=True) if 0 <= int(y) < number}
    others = {name: values for name, values in columns.items() if name not in ("filename", "y")}
    return Layout(columns["filename"], "train", columns["y"], columns["split"], others, tuple(names.values()))


def _camelyon17(root: Path, columns: Columns, spec: str) -> Layout:
    places = zip(*(columns[name] for name in ("patient", "node", "x_coord", "y_coord")), strict=True)
    files = [
        f"patient_{patient}_node_{node}/patch_patient_{patient}_node_{node}_x_{x}_y_{y}.png"
        for patient, node, x, y in places
    ]
    outside = {1: "val", 2: TEST}  # hospitals from which no training patch is
    splits = [
        outside.get(int(centre)) or ("train", "id_val")[int(split)]
        for centre, split in zip(columns["center"], columns["split"], strict=True)
    ]
    others = {"hospital": columns["center"], "slide": columns["slide"], "patient": columns["patient"]}
    return Layout(files, "patches", columns["tumor"], splits, {**others, "split": splits}, ("normal", "tumour"))


def _fmow(root: Path, columns: Columns, spec: str) -> Layout:
    codes = _read(existing(str(root / "country_code_mapping.csv"), spec, folder=False), spec)
    regions = dict(zip(codes["alpha-3"], codes["region"], strict=True))
    years = [int(str(time)[:4]) for time in columns["timestamp"]]
    # taken before 2013, from 2013 to 2015, and later
    names = {"train": ("train", "", ""), "val": ("id_val", "val", ""), "test": ("id_test", "", TEST)}
    splits = [
        names.get(split, ("", "", ""))[(year >= 2013) + (year >= 2016)]
        for split, year in zip(columns["split"], years, strict=True)
    ]
    others = {
        "region": [regions.get(code, "Other") for code in columns["country_code"]],
        "year": years,
        "country": columns["country_code"],
    }
    files = [f"rgb_img_{i}.png" for i in range(len(years))]
    labels = columns["category"]
    return Layout(files, "images", labels, splits, {**others, "split": splits}, sorted(set(labels)))


def _general(root: Path, columns: Columns, spec: str) -> Layout:
    file = "filename" if "filename" in columns else "img_filename"
    names = ("train", "val", TEST)
    splits = [names[one] if isinstance(one, int) else str(one) for one in columns["split"]]
    labels, others = columns["y"], {name: v for name, v in columns.items() if name not in (file, "y", "split")}
    classes = tuple(map(str, range(1 + max(labels)))) if all(isinstance(y, int) for y in labels) else ()
    return Layout(columns[file], "", labels, splits, {**others, "split": splits}, classes)


LAYOUTS: tuple[tuple[frozenset[str], Callable[[Path, Columns, str], Layout]], ...] = (
    (frozenset({"filename", "y", "split", "location_remapped"}), _iwildcam),
    (frozenset({"patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"}), _camelyon17),
    (frozenset({"category", "country_code", "timestamp", "split"}), _fmow),
    (frozenset({"filename", "y", "split"}), _general),
    (frozenset({"img_filename", "y", "split"}), _general),
)
"""Columns by which a table is known, and what reads it; the first that fits."""
