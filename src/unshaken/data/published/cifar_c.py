"""`cifar-c:DIR`: an array of 8-bit images for each corruption, five blocks by severity, and `labels.npy`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset, file_mark
from unshaken.data.decode import Pixels
from unshaken.data.labels import labels_from, read_classes
from unshaken.data.named import open_named
from unshaken.data.published.samples import SEVERITIES, Files, PublishedDataset, named_as, one_cell, without_clean
from unshaken.data.spec import Options, existing, reason_of

LABELS = "labels.npy"
NAMED = "cifar10"
"""The set whose test images the published CIFAR-10-C was made of, taken where its labels are the same."""


class CifarC(Files):
    """The arrays of a folder; none is held in memory.

    Args:
        root: the folder.
        options: of the SPEC.

    Raises:
        DataError: `labels.npy` is absent, or an array has another type, shape or length.
    """

    def __init__(self, root: Path, options: Options) -> None:
        self.root, self.options = root, options
        if not (root / LABELS).is_file():
            raise DataError(f"data {options.spec!r}: {str(root)!r} holds no {LABELS}: get it with the images")
        labels = self._open(LABELS)
        if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or len(labels) % len(SEVERITIES):
            raise DataError(
                f"data {options.spec!r}: {LABELS} is {labels.dtype} of shape {labels.shape}, not whole numbers in five "
                "blocks of one length, one for each severity"
            )
        blocks = np.array(labels).reshape(len(SEVERITIES), -1)
        if (blocks != blocks[0]).any():
            severity = int((blocks != blocks[0]).any(1).argmax()) + 1
            raise DataError(
                f"data {options.spec!r}: the labels of severity {severity} in {LABELS} are not those of severity 1, so "
                "the blocks are not of the same samples"
            )
        self.labels: NDArray[np.int64] = blocks[0].astype(np.int64)
        self.classes = read_classes(Path(options.classes), options.spec) if options.classes else ()
        self.names = tuple(sorted(f.stem for f in root.glob("*.npy") if f.name != LABELS))
        if not self.names:
            raise DataError(f"data {options.spec!r}: {str(root)!r} holds no array such as fog.npy beside {LABELS}")
        for name in self.names:
            self._check(name)

    @override
    def at(self, name: str, severity: int) -> Dataset:
        n = len(self.labels)
        file = self.root / f"{name}.npy"
        return Block(self._open(file.name)[(severity - 1) * n : severity * n], file, severity, self)

    @override
    def marks(self) -> Iterable[object]:
        return [part for file in (LABELS, *(f"{n}.npy" for n in self.names)) for part in file_mark(self.root / file)]

    def _open(self, file: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.root / file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"data {self.options.spec!r}: {file} cannot be read as an array: {reason_of(error)}"
            ) from None
        return array

    def _check(self, name: str) -> None:
        images, n = self._open(f"{name}.npy"), len(SEVERITIES) * len(self.labels)
        colours = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
        if images.dtype != np.uint8 or not colours or 0 in images.shape:
            raise DataError(
                f"data {self.options.spec!r}: {name}.npy is {images.dtype} of shape {images.shape}, not uint8 images "
                "[N, H, W, 3]"
            )
        if len(images) != n:
            raise DataError(
                f"data {self.options.spec!r}: {name}.npy holds {len(images)} images, but {LABELS} {n} labels; they do "
                "not belong together"
            )


class Block(Dataset):
    """Images of one severity; ids are their indices in it.

    Args:
        images: uint8 `[N, H, W, C]` or `[N, H, W]`, in the file.
        file: which file.
        severity: which part of it.
        files: the file's folder.
    """

    def __init__(self, images: NDArray[Any], file: Path, severity: int, files: CifarC) -> None:
        labels, classes, bad = labels_from(pa.array(files.labels), files.classes, files.options.spec)
        ids = [str(i) for i in range(len(images))]
        super().__init__(ids=ids, labels=labels, classes=classes, root=str(files.root), options=files.options, bad=bad)
        self._images, self._file, self._severity = images, file, severity

    @override
    def fetch(self, index: int) -> Pixels:
        return np.array(self._images[index])

    @override
    def content(self) -> Iterable[object]:
        return *file_mark(self._file), self._severity


def open_cifar_c(target: str, options: Options, clean: Dataset | None) -> Dataset:
    """Open the arrays of a folder, with the clean samples that they were made of.

    Args:
        target: the folder.
        options: of the SPEC.
        clean: the samples, in the same order; None for the test images of the named set `cifar10`, where their labels
            are the same.

    Raises:
        DataError: see `CifarC`; or the clean samples are absent, or others.
    """
    root = existing(target, options.spec, folder=True)
    files = CifarC(root, options)
    clean = _named(files.labels) if clean is None else clean
    every = np.arange(len(files.labels))
    if clean is not None:
        _check_clean(clean, files.labels, options.spec)
    if (cell := one_cell(files, (options.corruption, options.severity), options.spec)) is not None:
        alone = files.at(*cell)
        return alone if clean is None else named_as(clean, every, alone)
    if clean is None:
        raise without_clean(options.spec, NAMED)
    return PublishedDataset(clean, every, files, options)


def _named(labels: NDArray[np.int64]) -> Dataset | None:
    """The test images of CIFAR-10, where they are installed and have these labels."""
    try:
        found = open_named(NAMED, Options(spec=NAMED, split="test"))
    except DataError:
        return None
    same = found.labels is not None and np.array_equal(found.labels, labels)
    return found if same else None


def _check_clean(clean: Dataset, labels: NDArray[np.int64], spec: str) -> None:
    name = clean.options.spec
    if clean.labels is None or len(clean) != len(labels):
        known = "no labels" if clean.labels is None else f"{len(clean)} samples"
        raise DataError(
            f"data {spec!r}: the clean data {name!r} has {known}, and each severity has {len(labels)} labelled images; "
            "name the data that they were made of"
        )
    differing = np.flatnonzero(clean.labels != labels)
    if len(differing):
        first = int(differing[0])
        raise DataError(
            f"data {spec!r}: {len(differing)} of {len(labels)} labels differ from those of the clean data {name!r}, "
            f"first that of sample {first} ({labels[first]}, clean {clean.labels[first]}); they are not the same "
            "samples in the same order"
        )
