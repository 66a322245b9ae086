"""`parquet:FILE`: images as file bytes in a table, read by row group and never as a whole."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from typing_extensions import override

from unshaken.core.errors import DataError, did_you_mean
from unshaken.core.ids import CHUNK
from unshaken.data._read_through import bytes_of_images, rows_at_once
from unshaken.data.dataset import Dataset, file_mark
from unshaken.data.decode import BadImage, check_bytes, looks_like
from unshaken.data.label_overlay import VERSION
from unshaken.data.labels import labels_from, labels_from_lists, read_classes
from unshaken.data.parquet_check import check_parquet
from unshaken.data.sample_metadata import read_columns
from unshaken.data.spec import Options, existing, is_bomb, reason_of

T = TypeVar("T")


class Forward(Generic[T]):
    """Items by position, read forwards and one at a time; going back starts again.

    In rising order every item is read once and one is held at a time. In random order an access costs a pass from the
    start: give positions sorted.

    Args:
        start: gives a fresh iterator over all items.
    """

    def __init__(self, start: Callable[[], Iterator[T]]) -> None:
        self._start = start
        self._items: Iterator[T] | None = None
        self._held: tuple[int, T] | None = None

    def at(self, position: int) -> T:
        """The item at a position.

        Raises:
            IndexError: there are fewer items.
        """
        if self._items is None or self._held is None or position < self._held[0]:
            self._items, self._held = self._start(), None
        while self._held is None or self._held[0] < position:
            following = 0 if self._held is None else self._held[0] + 1
            try:
                self._held = following, next(self._items)
            except StopIteration:
                raise IndexError(f"position {position} lies behind the last item, {following - 1}") from None
        return self._held[1]


SMALL = 64 << 20
"""Uncompressed bytes up to which a row group is held whole."""

KEPT = 3
"""Row groups held at once."""


class ImageColumn:
    """The column `image` of a parquet file, by row, in bounded memory.

    A row group of up to `SMALL` bytes is read whole, and the last `KEPT` are held, so that rows in any order are cheap.
    A larger one is read forwards, a few rows at a time: give rows in rising order.
    """

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
        groups = [self._file.metadata.row_group(g) for g in range(self._file.metadata.num_row_groups)]
        self._first = np.cumsum([0] + [g.num_rows for g in groups])
        self._bytes = [bytes_of_images(g) for g in groups]
        self._rows: list[int] = [g.num_rows for g in groups]
        self._held: OrderedDict[int, list[bytes | None] | Forward[bytes | None]] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, row: int) -> bytes | None:
        """The bytes of one row, or None where it is null."""
        group = int(np.searchsorted(self._first, row, side="right")) - 1
        place = row - int(self._first[group])
        with self._lock:
            if group not in self._held:
                self._held[group] = self._whole(group) or Forward(partial(self._run, group))
                if len(self._held) > KEPT:
                    self._held.popitem(last=False)
            self._held.move_to_end(group)
            held = self._held[group]
            return held.at(place) if isinstance(held, Forward) else held[place]

    def _whole(self, group: int) -> list[bytes | None] | None:
        """All images of a row group, or None when they are more than `SMALL` bytes, packed or unpacked."""
        if self._bytes[group] > SMALL:
            return None
        images, size = [], 0
        for image in self._run(group):
            images.append(image)
            size += len(image or b"")
            if size > SMALL:
                return None
        return images

    def _run(self, group: int) -> Iterator[bytes | None]:
        rows = rows_at_once(self._rows[group], self._bytes[group], SMALL // 8)
        for batch in self._file.iter_batches(rows, row_groups=[group], columns=["image"], use_threads=False):
            batch.validate(full=True)
            for value in _plain(batch.column(0)):
                yield value.as_py()


OWN = ("image", "label", "id")
"""Columns that are no metadata of samples."""


class ParquetDataset(Dataset):
    """Rows of a parquet file; an id is the column `id`, or else the row's number in the file."""

    def __init__(self, path: Path, rows: NDArray[np.int64], images: ImageColumn, **entries: Any) -> None:
        super().__init__(root=str(path), **entries)
        self._path, self._rows, self._images = path, rows, images

    @override
    def fetch(self, index: int) -> bytes:
        try:
            data = self._images.at(int(self._rows[index]))
        except (OSError, pa.ArrowException, ValueError, LookupError) as error:
            raise BadImage(f"its row of the parquet file cannot be read: {reason_of(error)}") from error
        if data is None:
            raise BadImage("the image is null")
        check_bytes(len(data))
        return data

    @override
    def columns(self) -> dict[str, list[Any]]:
        found = read_columns(self._path, OWN)
        return {name: [values[row] for row in self._rows] for name, values in found.items()}

    @override
    def content(self) -> Iterable[object]:
        yield from file_mark(self._path)
        if self._path.stat().st_size > 256 << 20:  # of which the mark reads the ends alone
            yield from self.ids


def open_parquet(
    target: str,
    options: Options,
    *,
    split_column: str = "split",
    classes: tuple[str, ...] = (),
    trusted: bool = False,
) -> ParquetDataset:
    """Open a table with the columns `image` (bytes of PNG, JPEG, ...), and maybe `label`, `id` and `split`.

    Only the small columns are read here. Class names come from the option `classes`, or else from a file
    `classes.txt` in the same folder, or else from the labels themselves when they are strings. The version of corrected
    labels, where the file has one, comes along.

    Args:
        target: the file.
        options: `split` takes the rows that have this value in the split column.
        split_column: which column that is.
        classes: class names where no file has them.
        trusted: it is this package's own file, which needs no `check_parquet`.

    Raises:
        DataError: the file is no parquet file or lacks a column, a column has the wrong type, or reading it is unsafe.
    """
    path = existing(target, options.spec, folder=False)
    if not trusted:
        check_parquet(path, ["image", "id", "label", split_column], options.spec)
    try:
        schema = pq.read_schema(path)
        names = [n for n in ("id", "label", split_column) if n in schema.names]
        _check(schema, options, split_column)
        _refuse_bomb(path, options.spec)
        table = pq.read_table(path, columns=names, memory_map=False) if names else None
        if table is not None:
            table.validate(full=True)  # else a damaged index is met where a value is looked at
        images = ImageColumn(path)
        count = pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        with path.open("rb") as file:
            what = looks_like(file.read(512)) or f"no readable parquet file: {reason_of(error)}"
        raise DataError(f"data {options.spec!r}: {target!r} is {what}") from error
    try:
        found = _dataset(path, options, table, names, images, count, split_column, classes)
        version = (schema.metadata or {}).get(VERSION)
        found.labels_version = None if version is None else version.decode()
        return found
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"data {options.spec!r}: {target!r} is damaged: {reason_of(error)}") from error


def _dataset(
    path: Path,
    options: Options,
    table: Any,
    names: list[str],
    images: ImageColumn,
    count: int,
    split_column: str,
    classes: tuple[str, ...],
) -> ParquetDataset:
    """The data set of a table's small columns."""
    rows = np.arange(count)
    if options.split is not None and table is not None:
        rows = _rows_of(table.column(split_column), options)
        table = table.take(rows)
    ids: Iterable[str] = map(str, rows.tolist())
    if "id" in names and table is not None:
        ids = ids_from(table.column("id"), options.spec)
    names_file = path.with_name("classes.txt")
    if options.classes or names_file.is_file():
        classes = read_classes(Path(options.classes or names_file), options.spec)
    labels: NDArray[np.int64] | None = None
    bad: dict[int, str] = {}
    several = "label" in names and table is not None and pa.types.is_list(table.schema.field("label").type)
    if "label" in names and table is not None:
        read = labels_from_lists if several else labels_from
        labels, classes, bad = read(table.column("label"), classes, options.spec)
    found = ParquetDataset(path, rows, images, ids=ids, labels=labels, classes=classes, options=options, bad=bad)
    found.several_answers = several
    return found


def ids_from(column: Any, spec: str) -> Iterator[str]:
    """Read a column of ids as strings, a batch at a time.

    Raises:
        DataError: one is null.
    """
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise DataError(f"data {spec!r}: the id of row {row} is null; give every sample an id of its own")
    parts = (column.slice(first, CHUNK).to_pylist() for first in range(0, len(column), CHUNK))
    return (value if isinstance(value, str) else str(value) for part in parts for value in part)


def _check(schema: Any, options: Options, split_column: str) -> None:
    if "image" not in schema.names:
        raise DataError(
            f"data {options.spec!r} has no column 'image'; its columns: {', '.join(schema.names) or 'none'}"
        )
    kind = schema.field("image").type
    if pa.types.is_struct(kind) and any(kind.field(i).name == "bytes" for i in range(kind.num_fields)):
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or str(kind) == "binary_view"):
        raise DataError(f"data {options.spec!r}: column 'image' is {kind}; it must hold the bytes of image files")
    if options.split is not None and split_column not in schema.names:
        raise DataError(
            f"data {options.spec!r} has no column {split_column!r} for split={options.split}; "
            f"its columns: {', '.join(schema.names)}"
        )


def _rows_of(column: Any, options: Options) -> NDArray[np.int64]:
    values = [str(v) for v in column.to_pylist()]
    rows = np.flatnonzero(np.array([v == options.split for v in values], bool))
    if not len(rows):
        raise DataError(
            f"data {options.spec!r} has no rows of split {options.split!r}; "
            f"{did_you_mean(options.split or '', set(values))}"
        )
    return rows


def _refuse_bomb(path: Path, spec: str) -> None:
    """Refuse a row group that is far larger unpacked than images are, before it is read."""
    metadata = pq.read_metadata(path)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(c) for c in range(group.num_columns)]
        size = max((c.total_uncompressed_size for c in columns), default=0)
        if is_bomb(size, path.stat().st_size):
            raise DataError(
                f"data {spec!r}: {path.name} claims {size:,} bytes in a file of {path.stat().st_size:,}, which no "
                "images make: get it again"
            )


def _plain(column: Any) -> Any:
    """The bytes, also of a struct of bytes and path as the `datasets` library writes it."""
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column
