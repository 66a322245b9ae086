"""`idx:DIR`: the files of MNIST (LeCun et al. 1998), gzip-packed or not."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError, did_you_mean
from unshaken.data.dataset import Dataset, file_mark
from unshaken.data.decode import Pixels, looks_like
from unshaken.data.labels import labels_from
from unshaken.data.spec import SMALL, Options, existing, is_bomb, reason_of

PREFIXES = {"test": "t10k", "t10k": "t10k", "train": "train"}
_LIMIT = 4 << 30


class IdxDataset(Dataset):
    """Grayscale images of one size; an id is the place in the file."""

    def __init__(self, root: Path, files: list[Path], classes: tuple[str, ...], options: Options) -> None:
        self._files = files
        self._pixels = read_idx(files[0], 3, options.spec)
        count = len(self._pixels)
        values = pa.nulls(count)
        if len(files) > 1:
            values = pa.array(read_idx(files[1], 1, options.spec))
            if len(values) != count:
                raise DataError(
                    f"data {options.spec!r}: {files[0].name} holds {count} images, but {files[1].name} {len(values)} "
                    "labels; they do not belong together"
                )
        labels, classes, bad = labels_from(values, classes, options.spec)
        super().__init__(
            ids=map(str, range(count)), labels=labels, classes=classes, root=str(root), options=options, bad=bad
        )

    @override
    def fetch(self, index: int) -> Pixels:
        pixels: Pixels = self._pixels[index]
        return pixels

    @override
    def content(self) -> Iterable[object]:
        return (part for file in self._files for part in file_mark(file))


def open_idx(target: str, options: Options, classes: tuple[str, ...] = ()) -> IdxDataset:
    """Open the images and, when there are any, the labels of one split: `test` (also `t10k`; the default) or `train`.

    Raises:
        DataError: a file is absent, is not what it should be, or the two do not belong together.
    """
    root = existing(target, options.spec, folder=True)
    split = options.split or "test"
    if split not in PREFIXES:
        raise DataError(f"data {options.spec!r} has no split {split!r}; {did_you_mean(split, PREFIXES)}")
    images = find(root, f"{PREFIXES[split]}-images-idx3-ubyte")
    if images is None:
        raise DataError(
            f"data {options.spec!r}: {target!r} holds no file {PREFIXES[split]}-images-idx3-ubyte, with or without .gz"
        )
    labels = find(root, f"{PREFIXES[split]}-labels-idx1-ubyte")
    return IdxDataset(root, [images] if labels is None else [images, labels], classes, options)


def find(root: Path, name: str) -> Path | None:
    """The file of this name, unpacked or with `.gz`; None when there is none."""
    return next((path for path in (root / name, root / f"{name}.gz") if path.is_file()), None)


def read_idx(path: Path, dimensions: int, spec: str) -> NDArray[np.uint8]:
    """An array of bytes from an IDX file: two zero bytes, type 8, the number of dimensions, their sizes, the values.

    Args:
        path: the file; packed when its name ends in `.gz`.
        dimensions: 3 for images, 1 for labels.
        spec: the SPEC, for messages.

    Raises:
        DataError: the header or the length is not right.
    """
    try:
        packed, there = path.suffix == ".gz", path.stat().st_size
        with cast("IO[bytes]", gzip.open(path) if packed else path.open("rb")) as file:
            header = file.read(4 + 4 * dimensions)
            shape = _shape(header, dimensions, path, spec)
            size = math.prod(shape)
            if packed and is_bomb(size, there):
                raise DataError(
                    f"data {spec!r}: {path.name} claims {size:,} bytes in a packed file of {there:,}, which no images "
                    "make: get it again"
                )
            if not packed and there == len(header) + size > SMALL:
                return np.memmap(path, np.uint8, "r", len(header), shape)
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        try:
            what = looks_like(path.read_bytes()[:512])
        except OSError:
            what = None
        why = f"is {what}" if what else f"cannot be read: {reason_of(error)}"
        raise DataError(f"data {spec!r}: {path.name} {why}") from error
    if len(data) != size:
        met = f"only {len(data)}" if len(data) < size else "more"
        raise DataError(f"data {spec!r}: {path.name} should hold {size} bytes after its header, but holds {met}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(header: bytes, dimensions: int, path: Path, spec: str) -> tuple[int, ...]:
    if header[:4] != bytes([0, 0, 8, dimensions]) or len(header) < 4 + 4 * dimensions:
        what = looks_like(header)
        raise DataError(
            f"data {spec!r}: {path.name} is {what or 'not an IDX file of bytes'}: "
            f"it begins with {header[:4].hex(' ')!r}, not with '00 00 08 0{dimensions}'"
        )
    shape = tuple(int.from_bytes(header[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions))
    if math.prod(shape) > _LIMIT or 0 in shape:
        raise DataError(f"data {spec!r}: {path.name} claims the shape {shape}, which is empty or beyond {_LIMIT} bytes")
    return shape
