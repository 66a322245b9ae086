"""From the images of several sets to `Measurements`: each part is measured, written as rows, and read on a resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.core.errors import DataError, RunError
from unshaken.core.progress import Task, track
from unshaken.core.tables import declare_table
from unshaken.data.dataset import Dataset
from unshaken.inspect.engine.base import Check, Measure, Measurements, ModelUse
from unshaken.inspect.engine.measure import measure_samples
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationSubject

MEASUREMENTS = declare_table(
    "measurements",
    "id string, condition string, method string, quantity string, number double, text string, error string",
)
"""A row for each number or text of an image, and before these one without quantity: its error, if it has one."""
PART = 1000
"""Samples that are measured and written at once."""
Values = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Samples of one data set.

    Args:
        name: of the set, such as its SPEC.
        dataset: they are of.
        rows: which of them.
    """

    name: str
    dataset: Dataset
    rows: Sequence[int]

    def labels(self) -> list[str | None]:
        """The name of each sample's class; None where it has none, or a mask."""
        given, names = self.dataset.labels, self.dataset.classes
        if given is None or given.ndim > 1:
            return [None] * len(self.rows)
        numbers = [int(given[i]) for i in self.rows]
        return [None if k < 0 else names[k] if k < len(names) else str(k) for k in numbers]


def measure_sets(
    subject: EvaluationSubject,
    sets: Sequence[SampleSet],
    checks: Sequence[Measure],
    model: ModelUse | None = None,
    run: str = "",
) -> Measurements:
    """Measure all samples of all sets, part by part; parts that are there are read.

    Args:
        subject: whose run directory keeps the rows, and whose unreadable samples are noted.
        sets: the data, then others.
        checks: what is measured, such as checks.
        model: for checks that ask one.
        run: directory of a run of a model on the data; empty for none.

    Raises:
        DataError: no sample of the data can be read.
        RunError: the run has no rows of these samples.
    """
    errors, parts = list[str](), list[tuple[int, Values]]()
    with track("images", sum(len(one.rows) for one in sets)) as task:
        for number, one in enumerate(sets):
            for start in range(0, len(one.rows), PART):
                name = f"{f'against-{number}' if number else 'data'}-{start // PART:05d}"
                found, values = _part(subject, name, one.dataset, one.rows[start : start + PART], checks, task)
                errors += found
                parts.append((len(found), values))
    own = len(sets[0].rows)
    if all(errors[:own]):
        raise DataError(f"none of the {own} samples of {sets[0].dataset.options.spec!r} can be read; {errors[0]}")
    quantities = _join(parts)
    if model is not None:
        quantities |= _by_model(subject, sets[0], checks, model, len(errors))
    ids = [one.dataset.ids[i] for one in sets for i in one.rows]
    subject.bad.update({name: why for name, why in zip(ids[:own], errors[:own], strict=True) if why})
    correct = np.full(len(ids), -1, np.int8)
    if run:
        known = read_correct(run)
        correct[:own] = [known.get(name, -1) for name in ids[:own]]
        if (correct < 0).all():
            raise RunError(f"{run}: has no row of the samples of {sets[0].dataset.options.spec!r}; give a run on them")
    return Measurements(
        sets=tuple(one.name for one in sets),
        set_of=np.repeat(np.arange(len(sets)), [len(one.rows) for one in sets]),
        ids=ids,
        labels=[label for one in sets for label in one.labels()],
        errors=errors,
        quantities=quantities,
        correct=correct,
        seed=subject.seed,
    )


def read_correct(run: str) -> dict[str, int]:
    """Whether the prediction of each unchanged sample of a run is right, 1 or 0, by id.

    Args:
        run: a directory of `unshaken audit` or another command that classifies.

    Raises:
        RunError: it holds no such rows.
    """
    rows = RunDir(run).rows("outcomes", ["id", "correct"], condition="clean")
    known = rows.filter(pc.is_valid(rows["correct"]))
    if not len(known):
        raise RunError(f"{run}: has no predictions of labelled, unchanged images; give a run of 'unshaken audit'")
    return dict(zip(known["id"].to_pylist(), map(int, known["correct"].to_pylist()), strict=True))


def _part(
    subject: EvaluationSubject, name: str, dataset: Dataset, rows: Sequence[int], checks: Sequence[Measure], task: Task
) -> tuple[list[str], Values]:
    """The errors and quantities of some samples, from the part's rows, which are written where they are not there."""

    def make() -> Mapping[str, Sequence[Any]]:
        columns: dict[str, list[Any]] = {k: [] for k in ("id", "quantity", "number", "text", "error")}
        for index, quantities, error in measure_samples(dataset, rows, checks, workers=subject.workers):
            for quantity, value in {"": None, **quantities}.items():
                columns["id"].append(dataset.ids[index])
                columns["quantity"].append(quantity)
                columns["number"].append(value if isinstance(value, float) else None)
                columns["text"].append(value if isinstance(value, str) else None)
                columns["error"].append(None if quantity else error or None)
            task.advance(1)
        return columns

    table = subject.rows("measurements", name, make)
    first = table.filter(pc.equal(table["quantity"], ""))
    errors = [why or "" for why in first["error"].to_pylist()]
    readable = np.flatnonzero([not why for why in errors])
    values: Values = {}
    for quantity in pc.unique(table["quantity"]).to_pylist():
        if quantity:
            values[quantity] = _column(table.filter(pc.equal(table["quantity"], quantity)), readable, len(errors))
    return errors, values


def _column(rows: pa.Table, readable: NDArray[np.int64], count: int) -> NDArray[Any]:
    """One quantity of all samples of a part, in their order."""
    if rows["text"].null_count == len(rows):
        numbers = np.full(count, np.nan)
        numbers[readable] = rows["number"].to_numpy()
        return numbers
    texts = ["" for _ in range(count)]
    for place, text in zip(readable.tolist(), rows["text"].to_pylist(), strict=True):
        texts[place] = text
    return np.array(texts, object)  # of four bytes a character numpy's own texts are


def _join(parts: Sequence[tuple[int, Values]]) -> Values:
    """The quantities of all parts one after another; one that has none, for no sample of it is readable, is filled."""
    kinds = {name: values.dtype.kind for _, part in parts for name, values in part.items()}
    empty = {name: np.nan if kind == "f" else "" for name, kind in kinds.items()}
    return {
        name: np.concatenate([part.get(name, np.full(count, empty[name])) for count, part in parts]) for name in kinds
    }


def _by_model(
    subject: EvaluationSubject, data: SampleSet, checks: Sequence[Measure], model: ModelUse, count: int
) -> Values:
    """What checks measure with a model, kept as rows as well."""
    values: Values = {}
    for check in checks:
        if not isinstance(check, Check) or "model" not in check.needs:
            continue

        def make(check: Check = check) -> Mapping[str, Sequence[Any]]:
            found = check.measure_by_model(model, data.dataset, np.asarray(data.rows, np.int64))
            names = [data.dataset.ids[i] for i in data.rows]
            return {
                "id": names * len(found), "quantity": [name for name in found for _ in names],
                "number": [float(x) if np.isfinite(x) else None for one in found.values() for x in one],
            }  # fmt: skip

        table = subject.rows("measurements", f"model-{check.info.name}", make)
        for quantity in pc.unique(table["quantity"]).to_pylist():
            numbers = table.filter(pc.equal(table["quantity"], quantity))["number"].to_numpy()
            values[quantity] = np.concatenate([numbers.astype(np.float64), np.full(count - len(numbers), np.nan)])
    return values
