"""Parquet files of labels after a review: an overlay that `load_data` lays over the data, and a whole corrected set."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.data.dataset import BadSample, Dataset
from unshaken.data.label_overlay import VERSION
from unshaken.labels.correct.outcome import Outcome, final_label
from unshaken.store.run_dir import RunDir

ROWS = 512
"""Images in a row group."""


@dataclass(slots=True)
class ExportCounts:
    """Samples of a corrected set, and those of the data that it lacks.

    Args:
        samples: number written.
        unused: number without a label to use, by the review or in the data.
        unreadable: number that cannot be read.
    """

    samples: int = 0
    unused: int = 0
    unreadable: int = 0

    @override
    def __str__(self) -> str:
        """Describe the counts in words.

        >>> str(ExportCounts(1000)), str(ExportCounts(997, unused=2, unreadable=1))
        ('1,000 samples, none left out', '997 samples, 3 left out (2 without a label to use, 1 not readable)')
        """
        reasons = {"without a label to use": self.unused, "not readable": self.unreadable}
        listed = ", ".join(f"{count:,} {why}" for why, count in reasons.items() if count)
        left = f"{self.unused + self.unreadable:,} left out ({listed})" if listed else "none left out"
        return f"{self.samples:,} samples, {left}"


def to_overlay(outcome: Outcome) -> pa.Table:
    """A table with `id`, `label` and the label `given` before, for `?labels=FILE`; null where none should be used.

    Args:
        outcome: of a review.
    """
    finals = [final_label(one) for one in outcome.labels]
    columns = {
        "id": pa.array([one.sample for one in outcome.labels], pa.string()),
        "label": pa.array(finals, pa.int64()),
        "given": pa.array([one.given for one in outcome.labels], pa.int64()),
    }
    return pa.table(columns).replace_schema_metadata({VERSION: outcome.version.encode()})


def write_corrected(dataset: Dataset, outcome: Outcome, path: Path) -> ExportCounts:
    """Write a whole data set with corrected labels as parquet: `id`, `image`, `label`, `given` and `labels_version`.

    Images are PNG files of the pixels that the data set gives. Samples that cannot be read, and those that should not
    be used, are left out and counted. A file `classes.txt` beside it names the classes.

    Args:
        dataset: the data that was reviewed.
        outcome: of the review.
        path: of the file.

    Returns:
        How many samples were written and left out.

    Raises:
        DataError: a `classes.txt` is there that names other classes.
    """
    names = "".join(f"{' '.join(name.split())}\n" for name in outcome.classes).encode()
    place = path.with_name("classes.txt")
    if not RunDir(place.parent).create(names, place.name) and names != RunDir(place.parent).read(place.name):
        raise DataError(f"{place} is there and names other classes: write the data set into another folder")
    finals = {one.sample: final_label(one) for one in outcome.labels}
    types = [("id", pa.string()), ("image", pa.binary()), ("label", pa.int64()), ("given", pa.int64())]
    schema = pa.schema([*types, ("labels_version", pa.string())], metadata={VERSION: outcome.version.encode()})
    written = ExportCounts()
    with pq.ParquetWriter(path, schema) as writer:
        for rows in _blocks(dataset, finals, written):
            columns = [*map(list, zip(*rows, strict=True)), [outcome.version] * len(rows)]
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            written.samples += len(rows)
    return written


Row = tuple[str, bytes, int, int]


def _blocks(dataset: Dataset, finals: dict[str, int | None], written: ExportCounts) -> Iterator[list[Row]]:
    """The rows in blocks; what is left out is counted."""
    labels = dataset.labels if dataset.labels is not None else np.full(len(dataset), -1)
    rows: list[Row] = []
    for i, id in enumerate(dataset.ids):
        given = int(labels[i])
        label = finals.get(id, given)
        if label is None or label < 0:
            written.unused += 1
            continue
        try:
            pixels = dataset.read(i)
        except BadSample:
            written.unreadable += 1
            continue
        file = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
        rows.append((id, file.getvalue(), label, given))
        if len(rows) == ROWS:
            yield rows
            rows = []
    if rows:
        yield rows
