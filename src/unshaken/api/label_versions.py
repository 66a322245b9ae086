"""`compare_labels`: models under the labels before and after a review, from the rows of their runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from unshaken.core.errors import DataError, RunError
from unshaken.core.numbers import shorten
from unshaken.data.label_overlay import LabelTable, read_labels
from unshaken.measure.classification.label_versions import VersionChange, compare_versions
from unshaken.measure.statistics.columns import Indices
from unshaken.run import RunDir

CLEAN = "clean"


def compare_labels(labels: str | Path, *runs: str | Path | RunDir) -> VersionChange:
    """Compare models under the labels of their runs and under other ones. No model is run again.

    Args:
        labels: a file of labels as `labels export --format overlay` writes it; samples without a row keep their label.
        runs: directories of audits of the same data; their unchanged images count.

    Raises:
        DataError: the file cannot be read, or is of other data.
        RunError: a run has no rows of unchanged images, or two runs have other samples.
    """
    table = read_labels(Path(labels), str(labels))
    folders = [one if isinstance(one, RunDir) else RunDir(one) for one in runs]
    predictions: dict[str, Indices] = {}
    ids: list[str] = []
    before = np.zeros(0, np.int64)
    for run in folders:
        own, label, prediction = _rows(run)
        if not predictions:
            ids, before = own, label
        elif own != ids or (label != before).any():
            raise RunError(f"{run}: its samples or labels are not those of {folders[0]}; compare runs of the same data")
        predictions[_name(run, folders)] = prediction
    return compare_versions(predictions, before, _after(table, ids, before, str(labels)))


def _name(run: RunDir, runs: Sequence[RunDir]) -> str:
    """The last part of a run's path, or all of it where another run has the same."""
    short = [str(one).rstrip("/").rpartition("/")[2] for one in runs]
    own = str(run).rstrip("/").rpartition("/")[2]
    return own if short.count(own) == 1 else str(run)


def _rows(run: RunDir) -> tuple[list[str], Indices, Indices]:
    """Ids, labels and predictions of the unchanged images, in the order of the ids."""
    if not run.exists("rows", "outcomes"):
        raise RunError(f"{run}: has no rows of predictions; run 'unshaken audit' there first")
    table = run.rows("outcomes", ["id", "condition", "label", "prediction"])
    table = table.filter(pa.array(np.array(table["condition"].to_pylist(), object) == CLEAN)).sort_by("id")
    if not table.num_rows:
        raise RunError(f"{run}: has no rows of unchanged images; run 'unshaken audit' there first")
    label, prediction = (table[name].fill_null(-1).to_numpy().astype(np.int64) for name in ("label", "prediction"))
    return table["id"].to_pylist(), label, prediction


def _after(table: LabelTable, ids: Sequence[str], before: Indices, source: str) -> Indices:
    if not pa.types.is_integer(table.labels.type) and not pa.types.is_null(table.labels.type):
        raise DataError(f"{source}: labels are of type {table.labels.type}; give label numbers")
    place, after = {id: i for i, id in enumerate(ids)}, before.copy()
    known = [(row, place[id]) for row, id in enumerate(table.ids) if id in place]
    if not known:
        raise DataError(f"{source}: none of its {len(table.ids):,} samples is in the runs; give labels of them")
    for row, i in known:
        if table.given is not None and table.given[row] != before[i]:
            raise DataError(
                f"{source}: sample {shorten(ids[i])} had the label {table.given[row]} before, and {before[i]} in the "
                "runs; give runs on the labels that were reviewed"
            )
        label = table.labels[row].as_py()
        after[i] = -1 if label is None else label
    return after
