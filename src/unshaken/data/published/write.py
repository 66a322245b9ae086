"""Write corrupted images in the layouts of CIFAR-C and ImageNet-C, a few at a time."""

from __future__ import annotations

import io
import os
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO
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
        self._is_new = not root.exists()
        root.mkdir(parents=True, exist_ok=True)
        self.root, self.dataset, self.rows = root, dataset, rows
        self._made: set[Path] = set()
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

    def discard(self) -> None:
        """Delete what was written, after a failure: half of the files would read as a smaller data set."""
        for path in self._made:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if self._is_new and not any(self.root.iterdir()):
            self.root.rmdir()


class CifarCWriter(Writer):
    """Arrays `<corruption>.npy` of uint8 `[5 N, H, W, 3]`, and `labels.npy` at the end."""

    def __init__(self, root: Path, dataset: Dataset, rows: NDArray[np.int64]) -> None:
        super().__init__(root, dataset, rows)
        self._files: dict[str, IO[bytes]] = {}
        self._begin = 0

    @override
    def put(self, name: str, severity: int, first: int, images: NDArray[np.uint8]) -> None:
        n = len(self.rows)
        pixels = np.broadcast_to(images, (*images.shape[:3], 3))  # grey ones into all three channels
        if name not in self._files:
            place = self.root / f"{name}.npy{_PART}"
            self._made |= {place, self.root / f"{name}.npy"}
            self._files[name] = place.open("wb")
            shape = (len(SEVERITIES) * n, *pixels.shape[1:])
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._files[name], header)
            self._begin = self._files[name].tell()
        file = self._files[name]  # not mapped into memory, where a full disk ends the process
        file.seek(self._begin + ((severity - 1) * n + first) * pixels[0].size)
        file.write(pixels.tobytes())

    @override
    def finish(self) -> None:
        self._made.add(self.root / LABELS)
        np.save(self.root / LABELS, np.tile(self.labels, len(SEVERITIES)))
        for name, file in self._files.items():
            file.close()
            os.replace(self.root / f"{name}.npy{_PART}", self.root / f"{name}.npy")
        self._files.clear()

    @override
    def discard(self) -> None:
        for file in self._files.values():
            with suppress(OSError):  # of a full disk once more
                file.close()
        super().discard()


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
        self._made.add(self.root / name)
        for path, image in zip(self.paths[first : first + len(images)], images, strict=True):
            file = self.root / name / str(severity) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()  # Pillow does not notice that a file took a part of what it wrote
            _picture(image).save(buffer, "JPEG", quality=QUALITY, optimize=True)
            file.write_bytes(buffer.getvalue())

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
