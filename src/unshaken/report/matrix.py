"""`read_matrix`: cells of a matrix of models, data and plans with their figures, ranks and pairs, from rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.texts import csv_text
from unshaken.measure import Comparison, compare, rank_bounds, simultaneous
from unshaken.report import cells
from unshaken.report.cells import Row
from unshaken.report.gates.kept import KeptGates, read_gates
from unshaken.report.read.frame import read_frame
from unshaken.report.summary import NAME as SUMMARY
from unshaken.report.transfer import TransferTable, read_transfers
from unshaken.store.config import NAME as CONFIG
from unshaken.store.config import UNFINISHED, read_config
from unshaken.store.run_dir import RunDir, consistent
from unshaken.tasks.classification import CLASSIFICATION

NAME = "matrix.json"
FAILURE = "failure.json"
"""In the folder of a cell that failed: why; gone when the cell is finished."""
FIGURES = {
    "worst_case": "correct under every change",
    "worst_natural": "correct under every change without an attacker",
    "clean": "accuracy on unchanged images",
}
"""Figures that models can be ranked by. Of a column the first one counts in which some model is right at all."""
LOWEST = "lowest"
"""The figure of a column without ranks: the lowest one under a single change."""


class MatrixRecord(BaseModel):
    """Models, data and plans of a matrix, as `matrix.json` keeps them, in order.

    Args:
        models: name to SPEC, or the type of an object.
        data: name to SPEC, or a name of an object.
        plans: name to name or file of a plan; `custom` for lines.
        options: of all runs, those that are not the default.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_: Literal[1] = Field(alias="schema", serialization_alias="schema")
    models: dict[str, str]
    data: dict[str, str]
    plans: dict[str, str]
    options: dict[str, Any]

    @classmethod
    def read(cls, run: RunDir) -> MatrixRecord:
        """The record in a folder.

        Raises:
            RunError: there is none, or it is damaged.
        """
        return validate(cls, run.read_json(NAME), f"{run}: {NAME}", RunError, "start a new matrix")


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """A run of a matrix: a model on a data set under a plan.

    Args:
        model: its name in the matrix.
        data: name of the data set.
        plan: name of the plan.
        run: its directory.
        state: `finished`, `failed`, or `unfinished` where it was not run, or not to its end.
        reason: why it failed; empty otherwise.
        summary: what its `summary.json` holds; empty unless it is finished.
        gates: what became of its gates.
        page: address of its own page, relative to that of the table; empty for none.
    """

    model: str
    data: str
    plan: str
    run: RunDir
    state: str = "unfinished"
    reason: str = ""
    summary: dict[str, Any] = field(default_factory=dict, repr=False)
    gates: KeptGates = field(default=KeptGates(), repr=False)
    page: str = ""

    @property
    def place(self) -> str:
        """Its folder in that of the matrix: `MODEL/DATA/PLAN`."""
        return f"{self.model}/{self.data}/{self.plan}"

    def figure(self, name: str) -> Row | None:
        """A figure of its summary; None where it has none.

        Args:
            name: a key of `FIGURES`, another aggregate, or `LOWEST`.
        """
        if not self.summary:
            return None
        if name == LOWEST:
            row = cells.worst_of(cells.changes_of(self.summary))
            return (row and cells.metric(row)) or self.summary["clean"]
        found: Row | None = self.summary["clean"] if name == "clean" else self.summary["aggregates"].get(name)
        return found


class Pair(NamedTuple):
    """Two models on the samples of both; the intervals of all pairs of a matrix hold together."""

    baseline: str
    candidate: str
    paired: Comparison

    @property
    def verdict(self) -> str:
        """Whether the candidate is `better` or `worse`, or neither is shown."""
        return "worse" if self.paired.regressed() else "better" if self.paired.improved() else "not shown"


@dataclass(frozen=True, slots=True)
class MatrixColumn:
    """The models of a matrix on one data set under one plan.

    Args:
        data: name of the data set.
        plan: name of the plan.
        cells: one for each model, in order.
        figure: what the models are ranked by: a key of `FIGURES`, or `LOWEST` where they are not.
        ranks: figure to model to the lowest and the highest rank that it may have, 1 for the best.
        pairs: figure to all pairs of ranked models.
        transfers: which examples of one model mislead others, where the plan makes any.
    """

    data: str
    plan: str
    cells: tuple[MatrixCell, ...]
    figure: str = LOWEST
    ranks: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)
    transfers: tuple[TransferTable, ...] = ()

    @property
    def title(self) -> str:
        """The name of the column."""
        return f"{self.data}, {self.plan}"

    def rank(self, cell: MatrixCell) -> tuple[int, int] | None:
        """The lowest and the highest rank of a cell by the column's figure; None where it is not ranked."""
        return self.ranks.get(self.figure, {}).get(cell.model)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix with its figures.

    Args:
        run: its folder.
        record: its models, data and plans.
        columns: one for each data set and plan.
        states: of the cells before their rows were compared; see `is_newest`.
    """

    run: RunDir
    record: MatrixRecord
    columns: tuple[MatrixColumn, ...]
    states: tuple[tuple[str, ...], ...]

    @property
    def cells(self) -> tuple[MatrixCell, ...]:
        """All cells: model by model, then by data, then by plan."""
        found = [cell for column in self.columns for cell in column.cells]
        order = list(self.record.models)
        return tuple(sorted(found, key=lambda cell: order.index(cell.model)))

    @property
    def family(self) -> int:
        """The number of comparisons that hold together."""
        return sum(len(pairs) for column in self.columns for pairs in column.pairs.values())

    def table(self) -> list[dict[str, Any]]:
        """A row a cell with its figures, as `matrix.csv` holds them; None where there is none."""
        at = {(column.data, column.plan): column for column in self.columns}
        return [_row(cell, at[cell.data, cell.plan]) for cell in self.cells]

    def to_json(self) -> dict[str, Any]:
        """As `matrix.json` holds it: the record, each cell, and each column with its pairs."""
        return {
            **self.record.model_dump(mode="json", by_alias=True),
            "family": self.family,
            "cells": [
                {
                    "model": cell.model,
                    "data": cell.data,
                    "plan": cell.plan,
                    "run": cell.place,
                    "state": cell.state,
                    "reason": cell.reason,
                    "figures": {name: cell.figure(name) for name in (*FIGURES, "worst_attack", LOWEST)},
                    "cost": _cost(cell),
                    "bad_samples": len(cell.summary.get("bad_samples", ())),
                    "flags": len(cell.summary.get("flags", ())),
                    "gates": cell.gates.verdict,
                }
                for cell in self.cells
            ],
            "columns": [
                {
                    "data": column.data,
                    "plan": column.plan,
                    "figure": column.figure,
                    "ranks": {name: {m: list(r) for m, r in of.items()} for name, of in column.ranks.items()},
                    "pairs": {name: [_pair(one) for one in pairs] for name, pairs in column.pairs.items()},
                }
                for column in self.columns
            ],
            "transfer": [
                {"data": column.data, "plan": column.plan, **table.to_json()}
                for column in self.columns
                for table in column.transfers
            ],
        }

    def to_csv(self) -> bytes:
        """As `matrix.csv` holds it: a line a cell."""
        rows = self.table()
        return csv_text(list(rows[0]), (row.values() for row in rows)).encode()


def _cost(cell: MatrixCell) -> dict[str, Any]:
    return {name: cell.summary.get("cost", {}).get(name) for name in ("forwards", "backwards", "seconds")}


def _row(cell: MatrixCell, column: MatrixColumn) -> dict[str, Any]:
    clean, figure = cell.figure("clean") or {}, cell.figure(column.figure) or {}
    low, high = column.rank(cell) or (None, None)
    return {
        "model": cell.model,
        "data": cell.data,
        "plan": cell.plan,
        "state": cell.state,
        "reason": cell.reason,
        "clean": clean.get("value"),
        "clean_low": clean.get("low"),
        "clean_high": clean.get("high"),
        "figure": column.figure,
        "value": figure.get("value"),
        "low": figure.get("low"),
        "high": figure.get("high"),
        "n": figure.get("n"),
        "rank_low": low,
        "rank_high": high,
        **_cost(cell),
        "bad_samples": len(cell.summary.get("bad_samples", ())),
        "gates": cell.gates.verdict,
        "run": cell.place,
    }


def _pair(one: Pair) -> dict[str, Any]:
    return {
        "baseline": one.baseline,
        "candidate": one.candidate,
        "n": one.paired.n,
        "difference": one.paired.difference.to_json(),
        "lost": one.paired.lost,
        "gained": one.paired.gained,
        "p_value": one.paired.p_value,
        "p_adjusted": one.paired.p_adjusted,
        "family": one.paired.family,
        "verdict": one.verdict,
    }


def is_finished(run: RunDir) -> bool:
    """Whether a run came to its end, its summary included."""
    if not run.exists(CONFIG) or run.exists(UNFINISHED) or not run.exists(SUMMARY):
        return False
    summary = run.read_json(SUMMARY)
    return isinstance(summary, dict) and summary.get("complete") is True


def read_matrix(run: RunDir) -> Matrix:
    """A matrix with its figures, from its record and the rows of its cells.

    Args:
        run: the folder of the matrix.

    Raises:
        RunError: there is no matrix, or a file is damaged.
    """
    record = MatrixRecord.read(run)
    columns = _read_columns(run, record)
    states = _states(columns)  # before cells whose rows turn out to be damaged take the place of finished ones
    ranked = rank_columns(columns)
    whole = [{cell.model: cell.run for cell in column.cells if cell.state == "finished"} for column in ranked]
    tables = [read_transfers(runs, record.models) for runs in whole]
    return Matrix(run, record, tuple(replace(c, transfers=t) for c, t in zip(ranked, tables, strict=True)), states)


def is_newest(matrix: Matrix) -> bool:
    """Whether no cell has changed since the matrix was read."""
    return matrix.states == _states(_read_columns(matrix.run, matrix.record))


def _states(columns: Iterable[MatrixColumn]) -> tuple[tuple[str, ...], ...]:
    """What tells whether a cell has changed, of each cell as it was read."""
    cells = [cell for column in columns for cell in column.cells]
    return tuple((cell.state, cell.reason, cell.gates.verdict, str(cell.summary)) for cell in cells)


def _read_columns(run: RunDir, record: MatrixRecord) -> list[MatrixColumn]:
    return [
        MatrixColumn(data, plan, tuple(_read_cell(run, model, data, plan) for model in record.models))
        for data in record.data
        for plan in record.plans
    ]


def _read_cell(run: RunDir, model: str, data: str, plan: str) -> MatrixCell:
    place = RunDir(f"{run.path.rstrip('/')}/{model}/{data}/{plan}")
    try:
        if place.exists(FAILURE):
            failure = place.read_json(FAILURE)
            reason = str(failure.get("reason")) if isinstance(failure, dict) else f"{FAILURE} is damaged"
            return MatrixCell(model, data, plan, place, "failed", reason)
        if not is_finished(place):
            return MatrixCell(model, data, plan, place)
        return MatrixCell(
            model, data, plan, place, "finished", summary=place.read_json(SUMMARY), gates=read_gates(place),
            page=f"{model}/{data}/{plan}/report.html",
        )  # fmt: skip
    except RunError as error:
        return MatrixCell(model, data, plan, place, "failed", str(error))


class _Right(NamedTuple):
    """Samples that are right under all of some conditions, of a model: what two models are paired by."""

    ids: NDArray[np.str_]
    right: NDArray[np.bool_]
    made: tuple[str, ...]
    """The data's fingerprint, and the conditions."""


def _read_right(run: RunDir) -> dict[str, _Right]:
    """Figure to samples; empty for a run that is no classification, or without labels."""
    config = read_config(run)
    if config.task != CLASSIFICATION.name:
        return {}
    with consistent(run):
        frame = read_frame(run, config)
        columns = {
            "clean": [0],
            "worst_natural": [0, *frame.natural],
            "worst_case": [0, *frame.natural, *frame.attacks],
        }
        found: dict[str, _Right] = {}
        for name, places in columns.items():
            if not frame.labelled or [*columns.values()].index(places) < [*columns].index(name):
                continue  # the same conditions as those of a figure before
            right = frame.right[:, places]
            whole = (right >= 0).all(1)
            made = (config.data_fingerprint, *sorted(frame.conditions[j].id for j in places))
            found[name] = _Right(np.array(frame.ids)[whole], (right[whole] == 1).all(1), made)
        return found


def rank_columns(columns: list[MatrixColumn]) -> tuple[MatrixColumn, ...]:
    """The same with ranks and pairs, whose intervals hold together for all columns and figures.

    Args:
        columns: whose cells are read; the cells of one whose rows are damaged become failed ones, with the reason.
    """
    pairs: dict[tuple[int, str, str, str], Comparison] = {}
    among: dict[tuple[int, str], list[str]] = {}
    for number, column in enumerate(columns):
        known, own_cells = dict[str, dict[str, _Right]](), list[MatrixCell]()
        for cell in column.cells:
            try:
                if cell.state == "finished":
                    known[cell.model] = _read_right(cell.run)
                own_cells.append(cell)
            except RunError as error:
                own_cells.append(replace(cell, state="failed", reason=str(error), summary={}, gates=KeptGates()))
        columns[number] = replace(column, cells=tuple(own_cells))
        for name in FIGURES:
            found = {model: of[name] for model, of in known.items() if name in of}
            counts = Counter(one.made for one in found.values())
            if not counts:
                continue
            usual = max(counts, key=lambda made: (len(made), counts[made]))
            among[number, name] = [model for model in found if found[model].made == usual]
            for one, other in combinations(among[number, name], 2):
                a, b = found[one], found[other]
                _, rows, others = np.intersect1d(a.ids, b.ids, assume_unique=True, return_indices=True)
                if len(rows):
                    pairs[number, name, one, other] = compare(a.right[rows], b.right[others])
    together = simultaneous(pairs)
    done = list[MatrixColumn]()
    for number, column in enumerate(columns):
        named = [name for name in FIGURES if (number, name) in among]
        own = {name: {k[2:]: one for k, one in together.items() if k[:2] == (number, name)} for name in named}
        done.append(
            MatrixColumn(
                column.data,
                column.plan,
                column.cells,
                _choose(column, named),
                {name: rank_bounds(among[number, name], own[name]) for name in named},
                {name: tuple(Pair(*key, one) for key, one in own[name].items()) for name in named},
            )
        )
    return tuple(done)


def _choose(column: MatrixColumn, names: Sequence[str]) -> str:
    """The first figure in which some model is right at all, whether it tells models apart or not."""
    if not names:
        return LOWEST
    figures = {name: [figure for cell in column.cells if (figure := cell.figure(name))] for name in names}
    return next((name for name, found in figures.items() if any(one["value"] > 0 for one in found)), "clean")
