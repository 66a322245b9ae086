"""`Dataset`: entries that are known without decoding an image, and the pixels of one entry at a time."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.boxes import OBJECT, stack_boxes
from unshaken.core.classifier import View
from unshaken.core.errors import DataError, UnshakenError
from unshaken.core.ids import Ids
from unshaken.core.masks import IGNORED
from unshaken.data.decode import BadImage, Pixels, Source, form_of, open_image, pixels_of, place_photo
from unshaken.data.decoded import DecodedImages
from unshaken.data.spec import Options

LONGEST_ID = 4096
"""Characters of a sample's id."""
MOST_COUNTED = 10_000
"""Images whose headers are read to find the common size."""


class BadSample(UnshakenError):
    """A sample that cannot be used. Raised by `Dataset.read`, handed out as a record by `stream`.

    Args:
        id: the sample's id.
        reason: one line that says why.
    """

    def __init__(self, id: str, reason: str) -> None:
        super().__init__(f"{id}: {reason}")
        self.id, self.reason = id, reason

    @override
    def __reduce__(self) -> tuple[type[BadSample], tuple[str, str]]:
        return type(self), (self.id, self.reason)


@dataclass(frozen=True, slots=True)
class CommonForm:
    """The mode and size that most images of a data set have.

    Args:
        mode: `L` or `RGB`.
        size: (width, height) in pixels.
        images: number of images that have this size.
        counted: number of images that were looked at.
        sizes: number of different sizes among them.
    """

    mode: str
    size: tuple[int, int]
    images: int
    counted: int
    sizes: int


class Dataset(ABC):
    """Samples with ids and, mostly, labels.

    Attributes:
        ids: one string a sample, unique: a tuple in its behaviour, whose strings are made when they are asked for.
        labels: int64 `[N]`, -1 where the label is bad; None when the data has no labels.
        classes: names in label order; empty when unknown.
        bad: for samples known to be bad without decoding, the reason by index.
        root: the folder or file the data comes from, or a name when there is none.
        options: those of the SPEC.
        true_labels: int64 `[N]`, -1 where unknown, for data whose labels are known to be wrong in part, such as by the
            option `noise`; None otherwise.
        labels_version: name of labels that were corrected, by the option `labels` or in the file; None otherwise.
        boxes: of the objects in the images; None where not known.
        photo_sizes: upright width and height in pixels of photos that were looked at, by index.
        decoded: images that were decoded already; None where each is decoded whenever it is wanted.
    """

    true_labels: NDArray[np.int64] | None = None
    labels_version: str | None = None
    boxes: BoxTable | None = None
    decoded: DecodedImages | None = None

    def __init__(
        self,
        *,
        ids: Iterable[str],
        labels: NDArray[np.int64] | None,
        classes: Sequence[str],
        root: str,
        options: Options,
        bad: Mapping[int, str] | None = None,
    ) -> None:
        self.ids, self.labels, self.classes = Ids.of(ids), labels, tuple(classes)
        _check_ids(self.ids, options.spec)
        self.root, self.options, self.bad = root, options, dict(bad or {})
        self.photo_sizes: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @override
    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.options.spec!r}: {len(self)} samples, {len(self.classes)} classes>"

    @abstractmethod
    def fetch(self, index: int) -> Source:
        """Fetch the input of `decode` for one entry: cheap, called by one thread at a time, in the order wanted.

        Raises:
            BadImage: there is nothing to decode.
        """

    def resources(self, view: View | None, device: str) -> Mapping[type[Any], Any]:
        """Resources that this kind of data offers to methods beyond its images, by type, such as `Renderer`.

        Args:
            view: how the model looks at photos; None for as they are.
            device: of the model.
        """
        return {}

    @abstractmethod
    def content(self) -> Iterable[object]:
        """Whatever changes when the content changes: names, sizes, times or hashes."""

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that change when the content or the options change."""
        options = self.options
        settings = options.split, options.size, options.mode, self.classes
        return digest_all(chain([type(self).__name__], self.content(), settings))

    def read(self, index: int) -> Pixels:
        """The pixels of one sample, uint8 `[H, W, C]`, upright, with the SPEC's own `size` and `mode`.

        Args:
            index: from 0 to N-1.

        Raises:
            BadSample: the sample cannot be used.
        """
        if index in self.bad:
            raise BadSample(self.ids[index], self.bad[index])
        try:
            return pixels_of(open_image(self.fetch(index)), size=self.options.size, mode=self.options.mode)
        except BadImage as error:
            raise BadSample(self.ids[index], error.reason) from error

    @cached_property
    def common_form(self) -> CommonForm | None:
        """The mode and size that most images have; None when no image can be read.

        Where nothing else says what one batch shall hold, this does, whatever subset or order is asked for. It is
        counted over all images, by their headers; of more than `MOST_COUNTED` over those whose ids have the lowest
        hashes, so that the order does not matter either. Of equally frequent ones the larger is common, and RGB.
        """
        rows: Sequence[int] = [i for i in range(len(self)) if i not in self.bad]
        if len(rows) > MOST_COUNTED:
            rows = sorted(sorted(rows, key=lambda i: digest(self.ids[i]))[:MOST_COUNTED])
        modes, sizes = Counter[str](), Counter[tuple[int, int]]()
        for index in rows:
            try:
                source = self.fetch(index)
                mode, size = form_of(source)
            except BadImage:  # it becomes a record when it is streamed
                continue
            modes[mode] += 1
            sizes[size] += 1
            if isinstance(source, np.ndarray):  # pixels of one array have one form
                break
        if not sizes:
            return None
        size = max(sizes, key=lambda s: (sizes[s], s[0] * s[1], s))
        mode = max(modes, key=lambda m: (modes[m], m))
        return CommonForm(mode, size, sizes[size], sizes.total(), len(sizes))

    def columns(self) -> dict[str, list[Any]]:
        """Columns that the data have of their samples beside the labels, such as a camera or the number of objects.

        Returns:
            Strings, bools or numbers, one a sample; None where a sample has none.

        Raises:
            DataError: they cannot be read.
        """
        return {} if self.boxes is None else self.boxes.columns(self.ids)

    @property
    def realised_noise(self) -> float | None:
        """The share of labels that are wrong; None where the true ones are not known."""
        if self.true_labels is None or self.labels is None:
            return None
        known = (self.labels >= 0) & (self.true_labels >= 0)
        return float(np.mean(self.labels[known] != self.true_labels[known])) if known.any() else 0.0

    def relabelled(self, labels: NDArray[np.int64]) -> Self:
        """The same data with labels that are wrong in part; `true_labels` has those that it had.

        Args:
            labels: int64 `[N]`, -1 where bad.
        """
        fingerprint, other = digest(self.fingerprint, labels.tobytes()), copy.copy(self)
        other.labels, other.true_labels = labels, self.labels
        other.__dict__["fingerprint"] = fingerprint
        return other

    def overlaid(self, labels: NDArray[np.int64], bad: Mapping[int, str], version: str) -> Self:
        """The same data with other labels, such as those of a review; `labels_version` has their name.

        Args:
            labels: int64 `[N]`, -1 where bad.
            bad: for samples known to be bad, the reason by index.
            version: name of the labels.
        """
        fingerprint, other = digest(self.fingerprint, labels.tobytes(), sorted(bad)), copy.copy(self)
        other.labels, other.bad, other.labels_version = labels, dict(bad), version
        other.__dict__["fingerprint"] = fingerprint
        return other

    def with_boxes(self, boxes: BoxTable) -> Self:
        """The same data with boxes of the objects in its images.

        Args:
            boxes: whose ids are samples' ids.
        """
        parts = (boxes.boxes, boxes.classes, boxes.crowd, boxes.areas)
        content = [b"" if part is None else part.tobytes() for part in parts]
        fingerprint, other = digest(self.fingerprint, list(boxes.ids), *content), copy.copy(self)
        other.boxes = boxes
        other.__dict__["fingerprint"] = fingerprint
        return other

    def with_decoded(self, most: int) -> Self:
        """The same data, whose images `stream` decodes once for all views, as far as there is room for them.

        Args:
            most: bytes of pixels that are held at most.
        """
        fingerprint, other = self.fingerprint, copy.copy(self)
        other.decoded = DecodedImages(most)
        other.__dict__["fingerprint"] = fingerprint
        return other

    def corrupted(self, name: str, severity: int) -> Dataset | None:
        """The same samples under a corruption, from files that come with the data; None where there are none.

        Args:
            name: of the corruption.
            severity: from 1 to 5.
        """
        return None

    def renumbered(self, labels: NDArray[np.int64], classes: Sequence[str]) -> Self:
        """The same data, with the same fingerprint, whose labels number other classes; boxes lose theirs.

        Args:
            labels: int64 `[N]`, -1 where bad.
            classes: names in label order.
        """
        fingerprint, other = self.fingerprint, copy.copy(self)
        other.labels, other.classes = labels, tuple(classes)
        if self.boxes is not None and other.classes != self.classes:
            other.boxes = replace(self.boxes, classes=None)  # they number the classes that were
        other.__dict__["fingerprint"] = fingerprint  # of the content, which is what it was
        return other

    def renumbered_boxes(self, labels: NDArray[np.int64], classes: Sequence[str]) -> Self:
        """The same data, with the same fingerprint, whose boxes number other classes, and whose images have none.

        Args:
            labels: int64, one a box.
            classes: names in label order.
        """
        if self.boxes is None:
            raise DataError(f"data {self.options.spec!r} has no boxes")
        fingerprint, other = self.fingerprint, copy.copy(self)
        other.boxes, other.labels, other.classes = replace(self.boxes, classes=labels), None, tuple(classes)
        other.__dict__["fingerprint"] = fingerprint
        return other

    def unlabelled(self) -> Self:
        """The same data without its labels, such as of classes that a model does not know."""
        other = copy.copy(self)
        other.labels, other.classes = None, ()
        return other

    def within(self, classes: int) -> Self:
        """The same data, in which a label is bad that a model with `classes` classes cannot predict.

        Args:
            classes: number of the model's outputs.
        """
        other = copy.copy(self)
        if self.labels is not None:
            masks = self.labels.ndim > 1
            over = (self.labels >= classes) & ~(masks & (self.labels == IGNORED))
            rows = np.flatnonzero(over.any((1, 2)) if masks else over)
            what = "its mask: class" if masks else "label"
            labels = {int(i): self.labels[i][over[i]].max() if masks else self.labels[i] for i in rows}
            found = {i: f"{what} {k} is out of range: the model has {classes} classes" for i, k in labels.items()}
            other.bad = {**found, **self.bad}
        return other


def _check_ids(ids: Ids, spec: str) -> None:
    if not ids:
        raise DataError(f"data {spec!r} holds no samples")
    hashes = np.sort(ids.hashes())
    if len(suspect := set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())):  # else all differ
        name, times = Counter(name for name in ids if hash(name) in suspect).most_common(1)[0]
        if times > 1:
            raise DataError(
                f"data {spec!r}: id {name[:LONGEST_ID]!r} occurs {times} times; give every sample an id of its own"
            )
    for name in ids:
        if len(name) > LONGEST_ID:
            raise DataError(
                f"data {spec!r}: an id has {len(name):,} characters, it begins with {name[:20]!r}; {LONGEST_ID:,} are "
                "the most"
            )
        if not name or (".." in name and ".." in name.replace("\\", "/").split("/")):
            raise DataError(f"data {spec!r}: id {name!r} is not allowed: an id is not empty and has no part '..'")


def digest(*parts: object) -> str:
    """32 hexadecimal digits from bytes and whatever else has a stable text form; ids count as their tuple."""
    return digest_all(parts)


def digest_all(parts: Iterable[object]) -> str:
    """The same of parts that come one by one, and are not held together."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Ids):  # whose text may be large
            state.update(sum(map(len, _pieces(part))).to_bytes(8, "little"))
            for piece in _pieces(part):
                state.update(piece)
            continue
        data = part if isinstance(part, bytes) else repr(part).encode("utf-8", "backslashreplace")
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()


def _pieces(ids: Ids) -> Iterator[bytes]:
    return (piece.encode("utf-8", "backslashreplace") for piece in ids.repr_pieces())


def file_mark(path: Path, limit: int = 256 << 20) -> tuple[object, ...]:
    """Name and content hash of a file; beyond `limit` bytes its size, time and the hash of both ends instead."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= limit:
            return path.name, size, hashlib.file_digest(file, "blake2b").hexdigest()
        ends = file.read(1 << 20)
        file.seek(-(1 << 20), 2)
        return path.name, size, path.stat().st_mtime_ns, digest(ends, file.read())


def content_mark(path: Path) -> str:
    """Digits that change with the content of a file, or with any file below a folder: its name there or its content.

    Args:
        path: a file or a folder that exists.
    """
    if not path.is_dir():
        return str(file_mark(path)[-1])
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest(*((file.relative_to(path).as_posix(), *file_mark(file)[1:]) for file in files))


@dataclass(frozen=True, slots=True, eq=False)
class BoxTable:
    """Boxes of objects in photos, in the form of YOLO: centre and size, divided by the photo's width and height.

    Args:
        ids: sample of each box.
        boxes: float64 `[n, 4]` as (x, y, w, h).
        classes: int64 `[n]`; None where the file has none.
        crowd: bool `[n]`: regions of many objects; None for none.
        areas: float64 `[n]`: of the objects in pixels of the photo; None for those of the boxes.
    """

    ids: Sequence[str]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64] | None = None
    crowd: NDArray[np.bool_] | None = None
    areas: NDArray[np.float64] | None = None
    rows: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.ids):
            rows.setdefault(name, []).append(row)
        object.__setattr__(self, "rows", rows)

    def in_view(
        self, dataset: Dataset, indices: Sequence[int], view: View | None, *, labels: Sequence[int] | None = None
    ) -> list[Tensor]:
        """The boxes of samples, in pixels of what the model sees: resized and cut as the photos are.

        Args:
            dataset: whose photos the boxes are in.
            indices: which of its samples.
            view: how the model looks at photos; None for as they are.
            labels: keep the boxes of the sample's class only, where classes are those of the model.

        Returns:
            For each sample float32 `[n, 4]` as (left, top, right, bottom), the right and lower end excluded; what the
            view cuts off is gone, and so are boxes of which nothing is left.

        Raises:
            DataError: no id of the table is a sample of the data, or labels were given and the boxes have no class.
        """
        self.check(dataset)
        if labels is not None and self.classes is None:
            raise DataError("the table of boxes has no column class, so that boxes of one class cannot be chosen")
        found = []
        for i, index in enumerate(indices):
            own = self.rows.get(dataset.ids[index], [])
            if labels is not None and self.classes is not None:
                own = [row for row in own if self.classes[row] == labels[i]]
            corners, kept = _placed(self.boxes[own], *photo_size(dataset, index), seen_as(dataset, view))
            found.append(torch.from_numpy(corners[kept].astype(np.float32)))
        return found

    def objects(self, dataset: Dataset, indices: Sequence[int], view: View | None) -> Tensor:
        """The objects of samples as `Batch` holds them, float32 `[N, M, 7]`, in pixels of what the model sees.

        Args:
            dataset: whose photos the boxes are in.
            indices: which of its samples.
            view: how the model looks at photos; None for as they are.
        """
        found = []
        for index in indices:
            own = self.rows.get(dataset.ids[index], [])
            width, height = photo_size(dataset, index)
            corners, kept = _placed(self.boxes[own], width, height, seen_as(dataset, view))
            areas = self.boxes[own, 2] * width * self.boxes[own, 3] * height if self.areas is None else self.areas[own]
            crowd = np.zeros(len(own)) if self.crowd is None else self.crowd[own]
            classes = np.zeros(len(own)) if self.classes is None else self.classes[own]
            rows = np.concatenate([corners, np.stack([classes, crowd, areas], 1)], 1)[kept]
            found.append(torch.from_numpy(rows.astype(np.float32)))
        return stack_boxes(found, OBJECT)

    def columns(self, ids: Sequence[str]) -> dict[str, list[Any]]:
        """The number of objects in each photo and the share that the largest box covers, regions of many left out.

        Args:
            ids: of samples.
        """
        areas = self.boxes[:, 2:].prod(1) if self.crowd is None else np.where(self.crowd, -1, self.boxes[:, 2:].prod(1))
        own = [areas[self.rows.get(name, [])] for name in ids]
        found = [one[one >= 0] for one in own]
        return {
            "objects": list(map(len, found)),
            "object_area": [float(one.max()) if len(one) else None for one in found],
        }

    def check(self, dataset: Dataset) -> None:
        """Refuse a table of other data.

        Raises:
            DataError: no id of the table is a sample of the data, or a class has no name in the data.
        """
        if not self.rows.keys() & set(dataset.ids):
            raise DataError(
                f"none of the boxes' ids, such as {self.ids[0]!r}, is a sample of {dataset.options.spec!r}, whose ids "
                f"are like {dataset.ids[0]!r}"
                if self.ids
                else "the table of boxes is empty"
            )
        if self.classes is None or not dataset.classes:
            return
        over = np.flatnonzero(self.classes >= len(dataset.classes))
        if len(over):
            raise DataError(
                f"a box of {self.ids[over[0]]!r} is of class {self.classes[over[0]]}, and data "
                f"{dataset.options.spec!r} has {len(dataset.classes)} classes, numbered from 0"
            )


def seen_as(dataset: Dataset, view: View | None) -> View | None:
    """The view that holds for a data set, whose SPEC may set a size; None for photos as they are."""
    size = dataset.options.size
    return view if size is None else View(size, size, size)


def photo_size(dataset: Dataset, index: int) -> tuple[int, int]:
    """Width and height of a photo; of one that cannot be read 1 and 1, for it is not explained either."""
    if index not in dataset.photo_sizes:
        try:
            dataset.photo_sizes[index] = form_of(dataset.fetch(index))[1]
        except BadImage:
            return 1, 1
    return dataset.photo_sizes[index]


def _placed(
    boxes: NDArray[np.float64], width: int, height: int, view: View | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes of one photo in pixels of the view, as (left, top, right, bottom), and of which something is left."""
    x, y, w, h = boxes.T
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
    if view is None:
        moved, limits = corners * [width, height, width, height], [width, height]
    else:
        place, limits = place_photo(width, height, view), [view.width, view.height]
        moved = corners * ([place.width, place.height] * 2) - ([place.left, place.top] * 2)
    inside = np.clip(moved, 0, limits * 2)
    return inside, (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
