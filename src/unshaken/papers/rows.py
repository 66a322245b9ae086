"""`Rows`: what a run directory holds, as columns for figures; means and shares with intervals."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.measure import compare, share
from unshaken.measure.statistics.means import mean_figure
from unshaken.papers.effects import across_seeds
from unshaken.papers.roles import Use, check_role, is_choosing
from unshaken.papers.tables import table_name
from unshaken.store.run_dir import RunDir

_CHOOSING_IDS = " choosing ids"
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of an experiment.

    Args:
        run: where they are.
        slug: of the paper.
        seed: the run seed.
        prefix: stands before all labels; see `within`.
        chooses: table to a pattern of the conditions whose rows serve to choose by, as `Paper.chooses`.
        apart: read no other rows than those of the condition that is asked for, for who asks for few of them.
    """

    run: RunDir
    slug: str
    seed: int
    prefix: str = ""
    chooses: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False
    _halves: Use | None = None
    _tables: dict[str, pa.Table] = field(default_factory=dict)

    def within(self, name: str) -> Rows:
        """The same rows, labels beginning with `<name>.` left out of what is asked for."""
        return replace(self, prefix=f"{self.prefix}{name}.")

    def seeds(self, count: int) -> range:
        """Seeds of the experiment's repetitions: `count` for each run seed, none shared between two."""
        return seeds_of(self.seed, count)

    def repetitions(self, count: int) -> dict[str, Rows]:
        """The rows of each of the experiment's seeds under its name, as `Context.repetitions` writes them."""
        return {name: self.within(name) for name in (f"seed{seed}" for seed in self.seeds(count))}

    def halved(self) -> Rows:
        """The same outcomes, of which half of the images serve to choose by, the same ones under every condition."""
        return replace(self, _halves=Use(f"outcomes {self.prefix}*"))

    def table(self, name: str, label: str | None = None) -> pa.Table:
        """The rows of a table, of one condition or of all of them; those that may be used now, see `roles`.

        Args:
            name: `outcomes`, or one that the paper declares.
            label: of the condition, without the prefix.

        Raises:
            ParameterError: the rows of the condition serve to choose by and something is judged, or the other way
                round.
        """
        table = self._read(name) if label is None else self._condition(name, self.prefix + label)
        if self._halves is not None and name == "outcomes":
            chooses = pc.is_in(table["id"], self._once(_CHOOSING_IDS, lambda: choosing_ids(self._read(name))))
            return table.filter(chooses if self._halves.note() else pc.invert(chooses))
        if self.chooses and label is not None:
            check_role(f"{name} {self.prefix}{label}", chooses=self._chooses(name, self.prefix + label))
        elif self.chooses:
            conditions = [c for c in pc.unique(table["condition"]).to_pylist() if self._chooses(name, c)]
            chooses = pc.is_in(table["condition"], pa.array(conditions, pa.string()))
            return table.filter(chooses if is_choosing() else pc.invert(chooses))
        return table

    def _chooses(self, table: str, condition: str) -> bool:
        return table in self.chooses and fnmatchcase(condition, self.chooses[table])

    def _read(self, name: str) -> pa.Table:
        return self._once(name, lambda: self.run.rows(table_name(self.slug, name)))

    def _condition(self, name: str, condition: str) -> pa.Table:
        """The rows of one condition, whatever they serve for."""

        def find() -> pa.Table:
            if self.apart:
                return self.run.rows(table_name(self.slug, name), condition=condition)
            table = self._read(name)
            return table.filter(pc.equal(table["condition"], condition))

        return self._once(f"{name} {condition}", find)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._tables:
            self._tables[name] = make()
        return self._tables[name]

    def labels(self, table: str = "outcomes") -> list[str]:
        """Labels of the conditions that are there, whatever their rows serve for, without the prefix, sorted."""
        found = pc.unique(self._read(table)["condition"]).to_pylist()
        return sorted(c.removeprefix(self.prefix) for c in found if c.startswith(self.prefix))

    def grouped(self, table: str) -> dict[str, list[dict[str, Any]]]:
        """All rows of a table by the label of their condition, without the prefix."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.table(table).to_pylist():
            if row["condition"].startswith(self.prefix):
                found.setdefault(row["condition"].removeprefix(self.prefix), []).append(row)
        return found

    def column(self, table: str, label: str, name: str, *, by: str = "") -> NDArray[Any]:
        """A column of the rows of a condition `[N]`; see `columns`."""
        return self.columns(table, label, name, by=by)[0]

    def columns(self, table: str, label: str, *names: str, by: str = "") -> list[NDArray[Any]]:
        """Columns of the rows of a condition, each `[N]`; a number that is not there is NaN.

        Args:
            table: `outcomes`, or one that the paper declares.
            label: of the condition.
            names: of the columns.
            by: the column that orders the rows, such as `id`; by default they are in the order of writing.
        """
        rows = self.table(table, label)
        rows = rows.sort_by(by) if by else rows
        return [rows[name].to_numpy() for name in names]

    def arrays(self, table: str, *names: str) -> dict[str, dict[str, NDArray[Any]]]:
        """Columns of a table by the label of their condition, without the prefix, in the order of writing."""
        rows, places = self.table(table), dict[str, list[int]]()
        for place, condition in enumerate(rows["condition"].to_pylist()):
            if condition.startswith(self.prefix):
                places.setdefault(condition.removeprefix(self.prefix), []).append(place)
        columns = {name: rows[name].to_numpy() for name in names}
        return {label: {name: v[own] for name, v in columns.items()} for label, own in places.items()}

    def correct(self, *labels: str) -> Flags:
        """Whether each sample is classified correctly under a condition, or under all of several, in order of ids."""
        return np.asarray(np.logical_and.reduce([self._correct(label) for label in labels]))

    def shares(self, *labels: str) -> Numbers:
        """The share of some conditions under which each sample is classified correctly, in order of ids."""
        return np.asarray(np.mean([self._correct(label) for label in labels], 0), np.float64)

    def _correct(self, label: str) -> Flags:
        rows = self.table("outcomes", label)

        def find() -> Flags:
            return np.asarray(rows.sort_by("id")["correct"].to_numpy(zero_copy_only=False), bool)

        found: Flags = find() if self._halves is not None else self._once(f" correct {self.prefix}{label}", find)
        return found

    def logits(self, label: str) -> tuple[Numbers, NDArray[np.int64]]:
        """Logits `[N, K]` and labels `[N]` under a condition, in the order of writing."""
        rows = self.table("outcomes", label)
        return stacked(rows["logits"]), rows["label"].to_numpy().astype(np.int64)

    def accuracy(self, *labels: str) -> dict[str, Any]:
        """Accuracy under a condition, or under the worst of several, with its Clopper-Pearson interval."""
        return share_of(self.correct(*labels))

    def difference(self, label: str, other: str) -> dict[str, Any]:
        """Accuracy under one condition less that under another, paired by sample, with its interval."""
        return compare(self.correct(other), self.correct(label)).difference.to_json()


def choosing_ids(table: pa.Table) -> pa.Array:
    """About half of the ids of a table, by a digest of each."""
    ids = pc.unique(table["id"]).to_pylist()
    return pa.array([i for i in ids if hashlib.blake2b(i.encode(), digest_size=1).digest()[0] % 2], pa.string())


def seeds_of(seed: int, count: int) -> range:
    """Seeds of the repetitions of a run seed.

    >>> list(seeds_of(2, 3))
    [6, 7, 8]
    """
    return range(count * seed, count * (seed + 1))


def share_of(hits: Flags) -> dict[str, Any]:
    """The share of true values, with its Clopper-Pearson interval."""
    return share(int(hits.sum()), len(hits)).to_json()


def mean_of(values: Numbers, *, low: float = -math.inf, high: float = math.inf) -> dict[str, Any]:
    """The mean over samples `[N]`, with its bootstrap interval; see `unshaken.measure.statistics.means.mean_figure`.

    Args:
        values: one a sample.
        low: the least that a sample can have. Without a range the interval of values that are all alike has no end.
        high: the largest.
    """
    return mean_figure(values, low=low, high=high).to_json()


def stacked(column: pa.ChunkedArray) -> Numbers:
    """A column of lists of one length as `[N, K]`."""
    flat = np.asarray(pc.list_flatten(column), np.float64)
    return flat.reshape(len(column), -1)


def means(
    parts: Sequence[Mapping[str, Any]], *, low: float = -np.inf, high: float = np.inf,
    differences: Sequence[str] = (), influence: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Nested numbers, or columns by sample, of each seed as nested means over seeds; see `across_seeds`.

    Args:
        parts: one a seed, with the same names.
        low: lower end of the range of all figures.
        high: upper end.
        differences: names of figures, or of what holds them, that range from `-high` to `high` instead.
        influence: the columns are those of statistics that are no means.

    >>> means([{"clean": {"auroc": 0.25}}, {"clean": {"auroc": 0.75}}])["clean"]["auroc"]["value"]
    0.5
    """
    found: dict[str, Any] = {}
    for name, value in parts[0].items():
        least = -high if name in differences else low
        values = [p[name] for p in parts]
        if isinstance(value, Mapping):
            found[name] = means(values, low=least, high=high, differences=differences, influence=influence)
        else:
            found[name] = across_seeds(values, low=least, high=high, influence=influence)
    return found
