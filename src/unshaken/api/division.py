"""Columns of a run's samples, from its data and from a file of metadata, and the slices that they make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unshaken.core.consent import refuse_code
from unshaken.core.errors import DataError, ParameterError, did_you_mean
from unshaken.core.numbers import parse_number, shorten
from unshaken.core.options import Options
from unshaken.core.part import CLEAN, Condition
from unshaken.core.progress import track
from unshaken.data import BadSample, Dataset, DataSource, as_dataset
from unshaken.data.decode import BadImage, exif_of, exif_tags
from unshaken.data.properties import find_property, measure_image, property_names
from unshaken.data.sample_metadata import CLASS, read_metadata
from unshaken.measure.slices import Slicing, cross_slices, cut_column
from unshaken.report.gates.grammar import OF_SLICES
from unshaken.report.read.slices import SLICES
from unshaken.report.read.tasks import TASK_FIGURES
from unshaken.run.local import one_by_one
from unshaken.store.config import RunConfig
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import schema_of

EXIF = "exif."
"""Begins the column of a tag that the camera wrote into the files."""
ALL = "all"
"""Stands for every column."""
WORK = "slices"
"""The lease of the work that writes the slices of a shared run."""


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """The samples of a run, divided by columns.

    Args:
        slicings: one for each column, or two crossed.
        table: their rows, as the table `slices` of a run directory holds them.
        task: of the run.
    """

    slicings: tuple[Slicing, ...]
    table: pa.Table
    task: str = "classification"

    def write(self, run: RunDir) -> None:
        """Write the rows, in the place of those of an earlier division."""
        run.write_rows(self.table, "slices", "all", 0)

    def planned(self, conditions: Iterable[Condition]) -> list[dict[str, Any]]:
        """The part `slices` of `summary.json` as it will be, with made-up figures."""
        some = {"value": 0.5, "low": 0.5, "high": 0.5, "n": 1, "interval": ""}
        names = [CLEAN.id, *(c.id for c in conditions)]
        metric = TASK_FIGURES[self.task].metric if self.task in TASK_FIGURES else "accuracy"
        return [
            {
                "slicing": one.name,
                "part": one.parts[k],
                "condition": name,
                "accuracy": None,
                metric: some,
                "drop": None,
                "confidence": dict.fromkeys(OF_SLICES, some) if name == CLEAN.id and metric == "accuracy" else None,
            }
            for one in self.slicings
            for k in np.unique(one.codes[one.codes >= 0]).tolist()
            for name in names
        ]


def divide(
    run: RunDir,
    config: RunConfig,
    data: DataSource | None,
    by: str | Sequence[str],
    *,
    meta: str | Path | None = None,
    download: bool = False,
) -> Division:
    """Divide the samples of a run by columns of its data and of a file.

    Args:
        run: its directory.
        config: of the run.
        data: its data; None for what its record names.
        by: columns, as of `unshaken.api.slices`.
        meta: a table with a column `id`.
        download: allow the data to be fetched from their own source.

    Raises:
        ParameterError: the run is of a task without slices, or a column is not known or cannot be cut.
        DataError: the data or the metadata cannot be read, or lack samples of the run.
    """
    classified = config.task == "classification"
    if not classified and config.task not in TASK_FIGURES:
        raise ParameterError(
            f"slices are of runs of classification, {' and '.join(TASK_FIGURES)}, not of {config.task}"
        )
    ids = list(config.ids)

    @cache
    def source() -> _Source:
        return _Source(*open_run_data(run, config, data, download=download))

    known = {} if meta is None else read_metadata(meta, ids, classes=lambda: source().classes())
    asked = _parse(by)
    if not asked or any(name not in known for one in asked for name, _ in one):
        try:
            own = source().columns()
        except DataError:
            for name, _ in chain.from_iterable(asked):
                _find(name, known)  # a name that is none is the clearer error
            raise
        if not asked:
            kept = {name: values for name, values in own.items() if name in known or _divides(name, values)}
            more = [CLASS] if classified else []
            asked = [[(name, [])] for name in dict.fromkeys((*known, *kept, *property_names(), *more))]
        known = {**own, **known}
        asked = [[(_find(name, known), borders) for name, borders in one] for one in asked]
        if not classified and CLASS not in known and any(name == CLASS for one in asked for name, _ in one):
            raise ParameterError(
                f"slices by {CLASS!r}: an image of {config.task} has objects of several classes; the report has the "
                "figure of each class, and slices are by columns of the data, properties and --meta"
            )
        known |= source().measure({name for one in asked for name, _ in one} - known.keys())
    for i, one in enumerate(asked):
        if len(one) == 2 and one[0][0] == one[1][0]:
            raise ParameterError(f"slices by {one[0][0]!r}: a column does not cross itself")
        if one in asked[:i]:
            raise ParameterError(f"slices by {'*'.join(name for name, _ in one)!r} are asked for twice")
    found = []
    for one in asked:
        parts = [cut_column(name, known[name], borders) for name, borders in one]
        found.append(parts[0] if len(parts) == 1 else cross_slices(*parts))
    return Division(tuple(found), _table(ids, found, known), config.task)


def open_run_data(
    run: RunDir, config: RunConfig, data: DataSource | None, *, download: bool
) -> tuple[Dataset, list[int]]:
    """Open the data of a run.

    Args:
        run: its directory.
        config: of the run.
        data: its data; None for what its record names.
        download: allow the data to be fetched from their own source.

    Returns:
        The data, and the row in them of each sample of the run.

    Raises:
        DataError: the data cannot be opened, or lack a sample of the run.
    """
    if data is None:
        refuse_code(config.data, str(run))
        if config.data.startswith("<"):
            raise DataError(f"{run}: its data was an object of Python; give it again as data")
    dataset = as_dataset(config.data if data is None else data, download=download)
    rows = {name: row for row, name in enumerate(dataset.ids)}
    missing = [name for name in config.ids if name not in rows]
    if missing:
        raise DataError(
            f"{dataset.options.spec} lacks {len(missing):,} of the run's {len(config.ids):,} samples, such as "
            f"{shorten(missing[0])}: is it the same data?"
        )
    return dataset, [rows[name] for name in config.ids]


def asked_division(run: RunDir, config: RunConfig, data: DataSource, options: Options) -> Division | None:
    """The division that the options of a run ask for; None where they ask for none.

    Raises:
        ParameterError, DataError: as of `divide`.
    """
    if not options["slices"] and options["meta"] is None:
        return None
    return divide(run, config, data, options["slices"], meta=options["meta"], download=options["download"])


def write_division(run: RunDir, division: Division | None, *, shared: bool) -> None:
    """Write the division of a run that has all its rows.

    Args:
        run: its directory.
        division: None for none; an earlier one stays.
        shared: whether other processes work on the run.
    """
    if division is not None:
        with one_by_one(run, WORK) if shared else locked(run):
            division.write(run)


def _parse(by: str | Sequence[str]) -> list[list[tuple[str, list[float]]]]:
    """Each slicing's one or two columns with their borders; empty for all columns."""
    texts = [text.strip() for given in ([by] if isinstance(by, str) else by) for text in given.split(",")]
    if texts in ([], [ALL]):
        return []
    found = []
    for text in filter(None, texts):
        parts = text.split("*")
        if len(parts) > 2:
            raise ParameterError(f"slices by {text!r}: two columns may cross, not {len(parts)}")
        one = []
        for part in parts:
            name, _, borders = (p.strip() for p in part.partition(":"))
            one.append((name, [parse_number(b, f"slices by {text!r}") for b in filter(None, borders.split("+"))]))
        found.append(one)
    if not found:
        raise ParameterError(f"slices by {by!r}: name a column, or {ALL!r}")
    return found


def _find(name: str, known: Collection[str]) -> str:
    """The name of a column as it is written; words of a property may be joined by `-`."""
    every = [*known, *(other for other in (*property_names(), CLASS) if other not in known)]
    if name.startswith(EXIF):
        tags = [EXIF + tag for tag in exif_tags()]
        if name not in tags:
            raise ParameterError(f"slices by {name!r}: no tag of EXIF; {did_you_mean(name, tags)}")
        return name
    for spelling in (name, name.replace("-", "_")):
        if spelling in every:
            return spelling
    raise ParameterError(f"slices: no column {name!r}; {did_you_mean(name, every)}")


def _divides(name: str, values: Sequence[Any]) -> bool:
    """Whether a column cuts the samples into parts: not one for all, nor one for each."""
    try:
        return len(cut_column(name, values).parts) > 1
    except ParameterError:
        return False


class _Source:
    """What the data of a run say of its samples.

    Args:
        dataset: the data.
        rows: of the samples, in the data.
    """

    def __init__(self, dataset: Dataset, rows: Sequence[int]) -> None:
        self._dataset, self._rows = dataset, rows

    def columns(self) -> dict[str, list[Any]]:
        """The data's own columns."""
        return {name: [values[row] for row in self._rows] for name, values in self._dataset.columns().items()}

    def classes(self) -> list[str | None]:
        """The name of each sample's class; None where it has none."""
        labels, names = self._dataset.labels, self._dataset.classes
        if labels is None or labels.ndim != 1:
            return [None] * len(self._rows)
        own = [int(labels[row]) for row in self._rows]
        return [None if label < 0 else names[label] if label < len(names) else str(label) for label in own]

    def measure(self, names: Collection[str]) -> dict[str, list[Any]]:
        """Classes, tags of EXIF and properties of the images; None where one cannot be read."""
        found: dict[str, list[Any]] = {CLASS: self.classes()}
        properties = [find_property(name) for name in names if name != CLASS and not name.startswith(EXIF)]
        tags = [name for name in names if name.startswith(EXIF)]
        found |= {name: [] for name in (*tags, *(one.name for one in properties))}
        if not properties and not tags:
            return found
        with track("properties of images", len(self._rows)) as task:
            for row in self._rows:
                values: dict[str, Any] = {}
                with suppress(BadSample, BadImage):
                    if properties:
                        values = measure_image(self._dataset.read(row), properties)
                    if tags:
                        written = exif_of(self._dataset.fetch(row))
                        values |= {name: written.get(name.removeprefix(EXIF)) for name in tags}
                for name in found.keys() - {CLASS}:
                    found[name].append(values.get(name))
                task.advance(1)
        return found


def _table(ids: Sequence[str], found: Sequence[Slicing], known: dict[str, list[Any]]) -> pa.Table:
    """The rows of all slicings; a sample without a value has none."""
    columns: dict[str, list[Any]] = {name: [] for name in SLICES}
    for one in found:
        values = known.get(one.name, ())
        for row in np.flatnonzero(one.codes >= 0).tolist():
            value = values[row] if values else None
            place = int(one.codes[row])
            number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
            for name, cell in zip(SLICES, (ids[row], one.name, one.parts[place], place, number), strict=True):
                columns[name].append(cell)
    return pa.table(columns, schema=schema_of("slices"))
