"""`slices`: columns of a finished run's samples, which divide its report, its queries and its gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unshaken.api.audit import Audit
from unshaken.core.consent import of_arguments, refuse_code
from unshaken.core.errors import DataError, ParameterError, RunError, did_you_mean
from unshaken.core.keywords import keywords
from unshaken.core.numbers import parse_number, shorten
from unshaken.core.progress import track
from unshaken.data import BadSample, Dataset, DataSource, as_dataset
from unshaken.data.properties import find_property, measure_image, property_names
from unshaken.data.sample_metadata import read_metadata
from unshaken.measure.slices import Slicing, cross_slices, cut_column
from unshaken.report.gates import Gate
from unshaken.report.gates.kept import read_gates
from unshaken.report.read.slices import SLICES
from unshaken.report.write import make_report
from unshaken.store.config import RunConfig, read_config
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import schema_of

CLASS = "class"
"""The column of the names of the samples' classes."""


@of_arguments
@keywords()
def slices(
    run: str | Path | RunDir,
    by: Sequence[str] = (),
    *,
    meta: str | Path | None = None,
    data: DataSource | None = None,
    gates: Sequence[str] = (),
    download: bool = False,
) -> Audit:
    """Divide a run's samples by their properties and metadata, keep the slices beside its rows, and report them.

    The report then has the accuracy of each slice under every condition, and searches for weak slices of one and two
    columns. Slices of an earlier call are replaced. The model is not asked.

    Args:
        run: directory of a run of a classifier on labelled images.
        by: columns: `class`, a property of images such as `brightness`, a column of `meta`; two of them crossed, as in
            `weather*size`; numbers cut at borders, as in `size:32+96`, else at their quartiles. Default all columns of
            `meta`, all properties, and `class`.
        meta: a table with a column `id`: `.csv`, `.jsonl` or `.parquet`; its columns come before properties of the same
            name.
        data: the run's data; default what its record names.
        gates: on slices, such as `slice[weather=night].accuracy >= 0.8`, beside those that the run has.
        download: allow the data to be fetched from their own source.

    Returns:
        The run, with its new summary and page.

    Raises:
        ParameterError: a column is not known or cannot be cut, or a gate is wrong.
        DataError: the data or the metadata cannot be read, or lack samples of the run.
        RunError: there is no finished run of a classifier with labels.
    """
    place = run if isinstance(run, RunDir) else RunDir(run)
    for gate in gates:
        Gate.parse(gate)
    config = read_config(place)
    if config.task != "classification":
        raise RunError(f"{place}: slices are of runs of classifiers, and this is one of {config.task}")
    ids = list(config.ids)
    known = {} if meta is None else read_metadata(meta, ids)
    asked = _parse(by, known)
    names = list(dict.fromkeys(name for one in asked for name, _ in one))
    measured = [name for name in names if name not in known and name != CLASS]
    if measured or CLASS in names:
        known = {**_of_data(place, config, data, ids, measured, download=download), **known}
    found = []
    for one in asked:
        parts = [cut_column(name, known[name], borders) for name, borders in one]
        found.append(parts[0] if len(parts) == 1 else cross_slices(*parts))
    with locked(place):
        place.write_rows(_table(ids, found, known), "slices", "all", 0)
        kept = read_gates(place).asked
        made = make_report(place, gates=[*kept, *(g for g in gates if g not in kept)] if gates else ())
    return Audit(place, made.summary, made.gates, made.page)


def _parse(by: Sequence[str], known: dict[str, list[Any]]) -> list[list[tuple[str, list[float]]]]:
    """Each slicing's one or two columns with their borders."""
    every = [*known, *(name for name in (*property_names(), CLASS) if name not in known)]
    found = []
    for text in by or every:
        parts = text.split("*")
        if len(parts) > 2:
            raise ParameterError(f"slices by {text!r}: two columns may cross, not {len(parts)}")
        one = []
        for part in parts:
            name, _, borders = (p.strip() for p in part.partition(":"))
            if name not in every:
                name = next((s for s in every if s == name.replace("-", "_")), name)
            if name not in every:
                raise ParameterError(f"slices by {text!r}: no column {name!r}; {did_you_mean(name, every)}")
            one.append((name, [parse_number(b, f"slices by {text!r}") for b in filter(None, borders.split("+"))]))
        if len(one) == 2 and one[0][0] == one[1][0]:
            raise ParameterError(f"slices by {text!r}: a column does not cross itself")
        if one in found:
            raise ParameterError(f"slices by {text!r} are asked for twice")
        found.append(one)
    return found


def _of_data(
    run: RunDir, config: RunConfig, data: DataSource | None, ids: Sequence[str], measured: Sequence[str],
    *, download: bool,
) -> dict[str, list[Any]]:  # fmt: skip
    """Class and measured properties of the run's samples; None for those that cannot be read."""
    if data is None:
        refuse_code(config.data, str(run))
        if config.data.startswith("<"):
            raise DataError(f"{run}: its data was an object of Python; give it again as data")
    dataset: Dataset = as_dataset(config.data if data is None else data, download=download)
    rows = {name: row for row, name in enumerate(dataset.ids)}
    missing = [name for name in ids if name not in rows]
    if missing:
        raise DataError(
            f"{dataset.options.spec} lacks {len(missing):,} of the run's {len(ids):,} samples, such as "
            f"{shorten(missing[0])}: is it the same data?"
        )
    found: dict[str, list[Any]] = {name: [None] * len(ids) for name in (*measured, CLASS)}
    properties = [find_property(name) for name in measured]
    with track("properties of images", len(ids)) as task:
        for place, name in enumerate(ids):
            row = rows[name]
            if dataset.labels is not None and dataset.labels.ndim == 1 and dataset.labels[row] >= 0:
                label = int(dataset.labels[row])
                found[CLASS][place] = dataset.classes[label] if label < len(dataset.classes) else str(label)
            if properties:
                try:
                    values = measure_image(dataset.read(row), properties)
                except BadSample:
                    values = {}
                for key, value in values.items():
                    found[key][place] = value
            task.advance(1)
    return found


def _table(ids: Sequence[str], found: Sequence[Slicing], known: dict[str, list[Any]]) -> pa.Table:
    """The rows of all slicings; a sample without a value has none."""
    columns: dict[str, list[Any]] = {name: [] for name in SLICES}
    for one in found:
        values = known.get(one.name, ())
        for row in np.flatnonzero(one.codes >= 0).tolist():
            value = values[row] if values else None
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            place = int(one.codes[row])
            number = float(value) if is_number else None
            for name, cell in zip(SLICES, (ids[row], one.name, one.parts[place], place, number), strict=True):
                columns[name].append(cell)
    return pa.table(columns, schema=schema_of("slices"))
