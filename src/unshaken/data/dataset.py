"""`Dataset`: entries that are known without decoding an image, and the pixels of one entry at a time."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.classifier import View
from unshaken.core.errors import DataError, UnshakenError
from unshaken.core.ids import Ids
from unshaken.core.masks import IGNORED
from unshaken.data.decode import BadImage, Pixels, Source, form_of, open_image, pixels_of
from unshaken.data.decoded import DecodedImages
from unshaken.data.spec import Options

if TYPE_CHECKING:
    from unshaken.data.box_table import BoxTable

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
        several_answers: whether a class of the data is a set of valid classes, which may be in other sets too.
        boxes: of the objects in the images; None where not known.
        photo_sizes: upright width and height in pixels of photos that were looked at, by index.
        decoded: images that were decoded already; None where each is decoded whenever it is wanted.
    """

    true_labels: NDArray[np.int64] | None = None
    labels_version: str | None = None
    several_answers: bool = False
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
