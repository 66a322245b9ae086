"""Labels that replace those of the data: `?labels=FILE`, a table of ids and labels such as a review exports."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten
from unshaken.data.dataset import Dataset
from unshaken.data.labels import labels_from
from unshaken.data.parquet_check import check_parquet
from unshaken.data.spec import existing, reason_of

VERSION = b"unshaken.labels"
"""Key of the version's name in the metadata of a parquet file."""
REMOVED = "the review of its label found no single class"
LARGEST = 1 << 30
"""Bytes of a CSV file of labels."""


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Ids and labels from a file.

    Args:
        ids: of the samples that have a row.
        labels: pyarrow array of class names or label numbers; null where the sample has no single label.
        version: name of the labels.
        given: label numbers that these take the place of, or None where the file does not say.
        digits: texts of a CSV file that were read as numbers, and might be names of classes.
    """

    ids: list[str]
    labels: pa.Array
    version: str
    given: list[int | None] | None = None
    digits: frozenset[str] = frozenset()


def with_labels(dataset: Dataset, file: str) -> Dataset:
    """The data with some labels replaced; a sample whose row has no label becomes a bad sample.

    Args:
        dataset: labelled.
        file: a parquet or CSV file with the columns `id` and `label` (class name or label number).

    Raises:
        DataError: the file cannot be read, names an id twice, a sample that the data does not have, or an unknown
            class; or the data has no labels.
    """
    spec = dataset.options.spec
    if dataset.labels is None:
        raise DataError(f"data {spec!r} has no labels to replace")
    table = read_labels(existing(file, spec, folder=False), spec)
    place = {id: i for i, id in enumerate(dataset.ids)}
    unknown = [id for id in table.ids if id not in place]
    if unknown:
        raise DataError(
            f"data {spec!r}: {len(unknown):,} of {len(table.ids):,} ids in {file!r} are no samples of it, such as "
            f"{shorten(unknown[0])}; give the labels of this data"
        )
    if len(set(table.ids)) < len(table.ids):
        raise DataError(f"data {spec!r}: {file!r} has an id twice; give each sample one label")
    _check_digits(table, dataset.classes, f"data {spec!r}: {file!r}")
    labels, bad = dataset.labels.copy(), dict(dataset.bad)
    rows = np.array([place[id] for id in table.ids], np.int64)
    found, _, wrong = labels_from(table.labels, dataset.classes, spec)
    new = np.full(len(rows), -1, np.int64) if found is None else found
    for i in wrong:
        if table.labels[i].is_valid:
            raise DataError(f"data {spec!r}: {file!r}: sample {shorten(table.ids[i])}: {wrong[i]}")
    for row, label in zip(rows.tolist(), new.tolist(), strict=True):
        if label < 0:
            bad.setdefault(row, REMOVED)
        elif labels[row] < 0:
            bad.pop(row, None)  # its label was what was bad
    labels[rows] = new
    return dataset.overlaid(labels, bad, table.version)


def _check_digits(table: LabelTable, classes: Sequence[str], where: str) -> None:
    """Refuse numbers that name other classes, such as 2 where the folders 0, 1, 10 and 2 are sorted as texts."""
    place = {name: label for label, name in enumerate(classes)}
    twofold = sorted(text for text in table.digits if place.get(text, int(text)) != int(text))
    if twofold:
        number, label = twofold[0], place[twofold[0]]
        raise DataError(
            f"{where}: label {number} may be the class named {number!r}, whose number is {label}, or the class of that "
            "number: write the file as parquet, names as texts and numbers as integers"
        )


def read_labels(path: Path, spec: str) -> LabelTable:
    """A table of labels; the version's name is in the file, or else is the file's name.

    Args:
        path: `.csv`, or a parquet file.
        spec: what to call the data in messages.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    try:
        if path.suffix.lower() == ".csv":
            return _from_csv(path)
        names = ["id", "label", *({"given"} & set(pq.read_schema(path).names))]
        check_parquet(path, names, spec)
        table = pq.read_table(path, columns=names, memory_map=False)
        table.validate(full=True)
        metadata = pq.read_schema(path).metadata or {}
        ids = [str(id) for id in table["id"].to_pylist()]
        version = metadata.get(VERSION, path.name.encode()).decode("utf-8", "replace")
        given = table["given"].cast(pa.int64()).to_pylist() if "given" in names else None
        return LabelTable(ids, table["label"].combine_chunks(), version, given)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException, KeyError, ValueError) as error:
        raise DataError(f"data {spec!r}: labels in {str(path)!r} cannot be read: {reason_of(error)}") from error


def _from_csv(path: Path) -> LabelTable:
    if path.stat().st_size > LARGEST:
        raise ValueError("the file is too large: write it as parquet")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"id", "label"} <= rows[0].keys():
        raise ValueError("needs a first line with the columns id and label")
    texts = [row["label"] or None for row in rows]
    numbers = all(text is None or (text.isascii() and text.isdigit() and len(text) < 10) for text in texts)
    labels = pa.array([None if x is None else int(x) for x in texts], pa.int64()) if numbers else pa.array(texts)
    exported = "label_name" in rows[0]  # beside the number, in a file that a review wrote
    digits = frozenset(filter(None, texts)) if numbers and not exported else frozenset[str]()
    return LabelTable([row["id"] or "" for row in rows], labels, path.name, digits=digits)
