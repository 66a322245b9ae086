"""Write corrupted images in the layouts of CIFAR-C and ImageNet-C, a few at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset
from unshaken.data.decode import Pixels
from unshaken.data.folder import FolderDataset
from unshaken.data.published.cifar_c import LABELS
from unshaken.data.published.imagenet_c import key_of
from unshaken.data.published.samples import SEVERITIES

QUALITY = 85
"""JPEG quality of ImageNet-C's files."""
_PART = ".part"


class Writer(ABC):
    """Writes images of some samples, one corruption and severity after another.

    Args:
        root: the folder, new or empty.
        dataset: where the samples come from.
        rows: which of them, int64 `[N]`.

    Raises:
        DataError: a sample has no label, the data has boxes, or the folder is not empty.
    """

    def __init__(self, root: Path, dataset: Dataset, rows: NDArray[np.int64]) -> None:
        labels = dataset.labels
        if labels is None:
            raise DataError(f"data {dataset.options.spec!r} has no labels, and the layout has a class for each image")
        if dataset.boxes is not None:
            raise DataError(
                f"data {dataset.options.spec!r} has boxes of objects, which the layout does not hold: leave the option "
                "boxes out, or audit the data itself"
            )
        bad = next((int(i) for i in rows if int(i) in dataset.bad), None)
        if bad is not None:
            raise DataError(
                f"data {dataset.options.spec!r}: sample {dataset.ids[bad]}: {dataset.bad[bad]}; leave it out"
            )
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise DataError(f"folder {str(root)!r} is not empty: choose another --out")
        root.mkdir(parents=True, exist_ok=True)
        self.root, self.dataset, self.rows = root, dataset, rows
        self.labels: NDArray[np.int64] = labels[rows]

    @abstractmethod
    def put(self, name: str, severity: int, first: int, images: NDArray[np.uint8]) -> None:
        """Write some images under a corruption.

        Args:
            name: of the corruption.
            severity: from 1 to 5.
            first: place of the first among all samples.
            images: uint8 `[n, H, W, C]`, C 1 or 3.
        """

    def finish(self) -> None:  # noqa: B027 - files need nothing
        """Write what says that all is there."""


class CifarCWriter(Writer):
    """Arrays `<corruption>.npy` of uint8 `[5 N, H, W, 3]`, and `labels.npy` at the end."""

    def __init__(self, root: Path, dataset: Dataset, rows: NDArray[np.int64]) -> None:
        super().__init__(root, dataset, rows)
        self._arrays: dict[str, Any] = {}

    @override
    def put(self, name: str, severity: int, first: int, images: NDArray[np.uint8]) -> None:
        n, file = len(self.rows), self.root / f"{name}.npy{_PART}"
        if name not in self._arrays:
            shape = (len(SEVERITIES) * n, *images.shape[1:3], 3)
            self._arrays[name] = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        start = (severity - 1) * n + first
        self._arrays[name][start : start + len(images)] = images  # grey ones into all three channels

    @override
    def finish(self) -> None:
        for name, array in self._arrays.items():
            array.flush()
            os.replace(self.root / f"{name}.npy{_PART}", self.root / f"{name}.npy")
        self._arrays.clear()
        np.save(self.root / LABELS, np.tile(self.labels, len(SEVERITIES)))


class ImageNetCWriter(Writer):
    """Files `<corruption>/<severity>/<class>/<sample>.JPEG` of quality 85.

    A sample of a folder of classes keeps its class folder and its name. Of other data, classes are called as they are
    named, with their number in front where that keeps their order.

    Args:
        root: the folder.
        dataset: where the samples come from.
        rows: which of them, int64 `[N]`.
        folders: names of the class folders in label order; empty for the classes' own.

    Raises:
        DataError: two samples would have one file.
    """

    def __init__(self, root: Path, dataset: Dataset, rows: NDArray[np.int64], folders: Sequence[str] = ()) -> None:
        super().__init__(root, dataset, rows)
        names = [_quoted(name) for name in folders or dataset.classes]
        in_order, most = names == sorted(set(names)), max(len(names), int(self.labels.max(initial=0)) + 1)
        self._digits = max(4, len(str(most - 1)))
        self._folders = names if in_order else [f"{self._number(label)}_{name}" for label, name in enumerate(names)]
        self.paths = [self._path(int(row), keeps_own=not folders) for row in rows]
        path, times = Counter(self.paths).most_common(1)[0]
        if times > 1:
            raise DataError(f"data {dataset.options.spec!r}: {times} samples would have the file {path!r}")

    @override
    def put(self, name: str, severity: int, first: int, images: NDArray[np.uint8]) -> None:
        for path, image in zip(self.paths[first : first + len(images)], images, strict=True):
            file = self.root / name / str(severity) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            _picture(image).save(file, "JPEG", quality=QUALITY, optimize=True)

    def _path(self, row: int, *, keeps_own: bool) -> str:
        own = self.dataset.ids[row]
        folder, _, name = own.partition("/") if isinstance(self.dataset, FolderDataset) else ("", "", own)
        if not (keeps_own and folder):
            label = int(self.dataset.labels[row]) if self.dataset.labels is not None else 0
            folder = self._folders[label] if label < len(self._folders) else self._number(label)
        return f"{folder}/{_quoted(key_of(name))}.JPEG"

    def _number(self, label: int) -> str:
        """With as many digits as all numbers need, so that texts sort as numbers do."""
        return f"{label:0{self._digits}}"


def _quoted(name: str) -> str:
    """A name that is safe as that of a file."""
    return quote(name, safe=" ,'()+=-_.").lstrip(".") or "_"


def _picture(image: Pixels) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert("RGB")
