"""`ImageTextSet`: images with a text and a label each, and its reader of tables."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.errors import DataError
from unshaken.core.numbers import MAX_CLASSES, MAX_SIDE, in_range, shorten
from unshaken.data.decode import BadImage, open_image, pixels_of
from unshaken.data.labels import labels_from
from unshaken.data.parquet_check import check_parquet
from unshaken.data.spec import reason_of


@dataclass(frozen=True, slots=True)
class ImageTextSet:
    """Samples of an image and a text each, in memory.

    Args:
        images: uint8 `[N, C, H, W]`.
        texts: one a sample, none of them blank.
        labels: int64 `[N]`, 0 to K - 1.
        ids: one a sample, none twice.
        classes: names of the K classes.
        truncated: ids of samples whose text was cut when it was read.
        bad: id of each row that was left out when they were read, and why.

    Raises:
        DataError: shapes, types or lengths do not fit, an id comes twice, a text is blank, or a label has no class.
    """

    images: Tensor
    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    truncated: frozenset[str] = frozenset()
    bad: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                f"images must be uint8 [N, C, H, W], not {self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        counts = {
            "images": len(self.images), "texts": len(self.texts), "labels": len(self.labels), "ids": len(self.ids)
        }  # fmt: skip
        if len(set(counts.values())) > 1 or not self.ids:
            raise DataError(f"give one image, text, label and id a sample, and one sample at least, not {counts}")
        known_ids: set[str] = set()
        if twice := next((i for i in self.ids if i in known_ids or known_ids.add(i)), None):  # type: ignore[func-returns-value]
            raise DataError(f"the id {shorten(twice)} comes twice: give every sample an id of its own")
        if blank := [i for i, text in zip(self.ids, self.texts, strict=True) if not text.strip()]:
            raise DataError(f"{len(blank)} texts are blank, the first that of {shorten(blank[0])}: leave them out")
        if not np.issubdtype(self.labels.dtype, np.integer) or self.labels.ndim != 1:
            raise DataError(f"labels must be integers [N], not {self.labels.dtype} of shape {self.labels.shape}")
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise DataError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, and there are {len(self.classes)} "
                "classes: name every class"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Sequence[int] | NDArray[np.int64] | slice) -> ImageTextSet:
        """Some samples, by their indices or a slice."""
        index = np.arange(len(self))[rows]
        ids = tuple(self.ids[i] for i in index)
        return replace(
            self, images=self.images[torch.from_numpy(index)], texts=tuple(self.texts[i] for i in index),
            labels=self.labels[index], ids=ids, truncated=self.truncated & set(ids),
        )  # fmt: skip

    def with_texts(self, texts: Sequence[str]) -> ImageTextSet:
        """A set of the same samples with other texts."""
        return replace(self, texts=tuple(texts))

    def with_images(self, images: Tensor) -> ImageTextSet:
        """A set of the same samples with other images, uint8."""
        return replace(self, images=images)

    def batch(self) -> Batch:
        """Images in [0, 1] with labels and ids, for stressors and classifiers."""
        return Batch(self.images.float() / 255, torch.from_numpy(self.labels.astype(np.int64)), self.ids)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8, rounded: what a picture file holds."""
    return images.mul(255).round().clamp(0, 255).to(torch.uint8)


LONGEST_TEXT = 20_000
"""Largest number of characters of a text; no model of texts reads as many."""
LARGEST_TABLE = 2 << 30
"""Bytes of a CSV or JSONL file, which is read as a whole."""


def read_samples(
    path: str | os.PathLike[str], *, size: int, classes: Sequence[str] = (), longest: int = LONGEST_TEXT
) -> ImageTextSet:
    """Read a table with the columns `image`, `text`, `label` and, if it is there, `id`.

    A Parquet file holds the bytes of image files, a CSV or JSONL file their paths, relative to its own folder. Images
    become RGB: the short side resized to `size`, the centre cut. A row whose image cannot be read, whose text is
    missing or blank, whose label is missing or no class, or whose id is missing or was met before is left out, and its
    reason is stored in `bad` under its id, or `row N`, counted from 0, where that is missing. Texts of any script are
    read as they are.

    Args:
        path: ends in `.parquet`, `.csv` or `.jsonl`.
        size: side of the images in pixels.
        classes: names in label order; default sorted names of the labels, or their numbers.
        longest: largest number of characters of a text; what is beyond is cut, and the id is among `truncated`.

    Raises:
        DataError: the file is absent, is not of its kind, lacks a column, or has no row that can be used.
        ParameterError: size or longest is out of range.
    """
    in_range("size", size, 1, MAX_SIDE)
    in_range("longest", longest, 1, LONGEST_TEXT)
    place = Path(path)
    table = read_table(place, ("image", "text", "label"), further=("id",), texts=("image", "text", "id"))
    count, name = len(table), str(path)
    bad: dict[int, str] = {}
    ids = _ids(table, bad)
    texts, truncated = _texts(table, longest, bad)
    labels, names, wrong = labels_from(table["label"], classes, name)
    if labels is None:
        raise DataError(f"{name}: every label is missing")
    for row, why in wrong.items():
        bad.setdefault(row, why)
    images: dict[int, Tensor] = {}
    for row, source in enumerate(table["image"].to_pylist()):
        if row not in bad:
            try:
                images[row] = _image(source, place.parent, size)
            except BadImage as error:
                bad[row] = str(error)
    good = [row for row in range(count) if row not in bad]
    if not good:
        first = bad[0] if bad else "it has no rows"
        raise DataError(f"{name}: none of {count} rows can be used; the first: {first}")
    if not names and labels[good].max() >= MAX_CLASSES:
        raise DataError(f"{name}: label {labels[good].max()} is beyond {MAX_CLASSES:,} classes: number them from 0")
    known = names or tuple(str(i) for i in range(int(labels[good].max()) + 1))
    return ImageTextSet(
        torch.stack([images[row] for row in good]), tuple(texts[row] for row in good), labels[good],
        tuple(ids[row] for row in good), tuple(known), frozenset(ids[row] for row in good if row in truncated),
        {ids[row]: why for row, why in bad.items()},
    )  # fmt: skip


KINDS = (".parquet", ".csv", ".jsonl")
"""Endings of the tables that are read."""
NULLS = ["", "NaN", "nan", "NULL", "null", "NA"]
"""What a CSV file has where a value is missing."""


def read_table(path: Path, needed: Sequence[str], *, further: Sequence[str] = (), texts: Sequence[str] = ()) -> Any:
    """Read columns of a Parquet, CSV or JSONL file (an object a line), as a table of pyarrow.

    Args:
        path: its ending says its kind.
        needed: columns that must be there.
        further: columns that are read where they are there.
        texts: those of both that hold strings; in CSV and JSONL, numbers among them are read as they are written.

    Raises:
        DataError: the file is absent, is not of its kind, or lacks a needed column.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise DataError(f"{shorten(str(path))} is none of {', '.join(KINDS)}: name a table of one of these kinds")
    if not path.is_file():
        raise DataError(f"there is no file {shorten(str(path))}")
    wanted = [*needed, *further]
    try:
        if kind == ".parquet":
            check_parquet(path, wanted, str(path))
            schema = pq.read_schema(path)
            table = pq.read_table(path, columns=[c for c in wanted if c in schema.names], memory_map=False)
            table.validate(full=True)
        elif path.stat().st_size > LARGEST_TABLE:
            raise DataError(f"{path.name} has more than {LARGEST_TABLE >> 30} GiB: write it as Parquet")
        elif kind == ".csv":
            options = pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(texts, pa.string()), strings_can_be_null=True,
                quoted_strings_can_be_null=False, null_values=NULLS,
            )  # fmt: skip
            parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
            table = pyarrow.csv.read_csv(path, convert_options=options, parse_options=parsing)
        else:
            table = _from_lines(path, wanted, texts)
    except (OSError, pa.ArrowException, ValueError, KeyError, RecursionError) as error:
        raise DataError(f"{shorten(str(path))} cannot be read as {kind[1:]}: {reason_of(error)}") from error
    if missing := [c for c in needed if c not in table.column_names]:
        there = ", ".join(table.column_names) or "none"
        raise DataError(f"{path.name} has no column {missing[0]!r}; its columns: {there}")
    if twice := [c for c in wanted if table.column_names.count(c) > 1]:
        raise DataError(f"{path.name} has the column {twice[0]!r} more than once; rename all but one")
    return table


def _from_lines(path: Path, wanted: Sequence[str], texts: Sequence[str]) -> Any:
    """The wanted columns of a JSONL file; all that there are where none of them is."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f'line {number} is no object with names, such as {{"id": ..., "text": ...}}')
            rows.append(row)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in [name for name in wanted if name in names] or names:
        values = [row.get(name) for row in rows]
        if name in texts:
            values = [str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for v in values]
        columns[name] = pa.array(values, pa.string() if name in texts else None)
    return pa.table(columns)


def _ids(table: Any, bad: dict[int, str]) -> list[str]:
    """Ids as strings, or row numbers; a row whose id is missing or repeated is bad, and called `row N`."""
    if "id" not in table.column_names:
        return [str(row) for row in range(len(table))]
    found: list[str] = []
    known_ids: set[str] = set()
    for row, value in enumerate(table["id"].to_pylist()):
        text = "" if value is None else str(value)
        if not text:
            bad[row] = "the id is missing"
        elif text in known_ids:
            bad[row] = f"the id {shorten(text)} was met before"
        known_ids.add(text)
        found.append(f"row {row}" if row in bad else text)
    return found


def _texts(table: Any, longest: int, bad: dict[int, str]) -> tuple[list[str], set[int]]:
    """Texts, cut where they are too long, and the rows of those that were cut."""
    column = table["text"]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_null(column.type)):
        raise DataError(f"the column 'text' is of type {column.type}; it must hold strings")
    texts: list[str] = []
    cut: set[int] = set()
    for row, value in enumerate(column.to_pylist()):
        if value is None:
            bad.setdefault(row, "the text is missing")
        elif not value.strip():
            bad.setdefault(row, "the text is blank")
        elif len(value) > longest:
            cut.add(row)
        texts.append((value or "")[:longest])
    return texts, cut


def _image(source: Any, folder: Path, size: int) -> Tensor:
    """An image, uint8 `[3, size, size]`."""
    if isinstance(source, dict):  # as the `datasets` library writes it
        source = source.get("bytes")
    if source is None:
        raise BadImage("the image is missing")
    if isinstance(source, str):
        file = folder / source
        if not file.is_file():
            raise BadImage(f"there is no image file {shorten(source)}")
        source = file
    if not isinstance(source, bytes | Path):
        raise BadImage(f"the image is {type(source).__name__}; it must be the bytes of an image file, or its path")
    pixels = pixels_of(open_image(source), size=size, mode="RGB")
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()
