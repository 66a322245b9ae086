"""`Frame`: the outcomes of a run as matrices, one row a sample and one column a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.core.errors import RunError
from unshaken.core.part import CLEAN, Condition
from unshaken.report.read.methods import UNKNOWN, read_methods
from unshaken.store.config import RunConfig
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir

_META = ["method", "severity", "eps", "norm"]
_READ = ["id", "label", "prediction", "confidence", "correct", "forwards", "backwards", "seconds", "error", *_META]
ABSENT = -2
"""The prediction of a sample under a condition for which it has no row."""
UNCERTIFIED = -3
"""The prediction of a sample under a certificate that does not reach as far as its condition asks."""


def series_of(condition: Condition) -> str:
    """A condition's line of the plan: its id without the strength, such as `fog`, `pgd+2` or `pgd-linf`."""
    if condition.severity is not None:
        return condition.id.removesuffix(f"-{condition.severity}")
    if condition.eps is not None:
        return condition.id.removesuffix(f"-{condition.eps:.6g}")
    return condition.id


def label_of(condition: Condition) -> str:
    """The name that a plan's line has: `fog`, `pgd+2`."""
    series = series_of(condition)
    return series.removesuffix(f"-{condition.norm}") if condition.norm else series


def is_nearest(condition: Condition) -> bool:
    """Whether it holds the nearest example at any distance: a norm, and no budget. Accuracy under it says nothing."""
    return condition.norm is not None and condition.eps is None


def by_plan(conditions: Iterable[Condition], config: RunConfig) -> list[Condition]:
    """Conditions in the order of the plan; of one line by strength, the nearest example last."""
    place: dict[str, int] = {}
    for i, entry in enumerate(config.plan):
        place.setdefault(entry.method, i)

    def key(c: Condition) -> tuple[int, int, str, str, bool, float]:
        label = label_of(c)
        return place.get(c.method, len(place)), len(label), label, c.norm or "", is_nearest(c), c.severity or c.eps or 0

    return sorted(conditions, key=key)


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample, or one condition of it, that could not be used, with the reason in one line."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Spent:
    """Passes and seconds of a condition, summed over its samples."""

    forwards: int
    backwards: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Everything that figures are made of, without logits: 9 bytes a sample and condition.

    Args:
        ids: samples with a clean outcome, in the order of `run.json`.
        labels: int64 `[N]`, -1 where a sample has none.
        conditions: `clean` first, then in the order of the plan.
        prediction: int32 `[N, C]`, `NO_CLASS` where the model gave none, `ABSENT` where there is no row, `UNCERTIFIED`
            where a certificate abstained or has a smaller radius than its condition.
        confidence: float32 `[N, C]`, NaN where there is no row.
        right: int8 `[N, C]`: 1 right, 0 wrong, -1 no row or no label. Under a certificate, right means right and
            certified at the radius of the condition (at the image itself where the condition has none).
        spent: condition id to what it cost.
        bad: samples left out, with reasons.
        unfinished: samples of `run.json` that have no clean row yet.
        refused: condition id to the number of good samples that could not be used under it; their reasons are in `bad`.
        attacked: ids of the conditions that an attack made: those with a norm, or with rows of `turns`.
        apart: group of each condition that evaluates another predictor than the model, or perhaps does.
        certified: ids of the conditions that hold certificates.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    conditions: tuple[Condition, ...]
    prediction: NDArray[np.int32]
    confidence: NDArray[np.float32]
    right: NDArray[np.int8]
    spent: dict[str, Spent]
    bad: tuple[BadSample, ...]
    unfinished: int
    attacked: frozenset[str]
    apart: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    certified: frozenset[str] = frozenset()

    @property
    def aside(self) -> list[int]:
        """Places of the conditions that hold answers of something else than the model."""
        return [j for j, c in enumerate(self.conditions) if c.id in self.apart]

    @property
    def natural(self) -> list[int]:
        """Places of the conditions that need no attacker, without `clean`."""
        return [j for j, c in enumerate(self.conditions) if j and c.id not in self.attacked | self.apart.keys()]

    @property
    def attacks(self) -> list[int]:
        """Places of the conditions that an attack made, without those that hold nearest examples."""
        return [
            j for j, c in enumerate(self.conditions) if c.id in self.attacked - self.apart.keys() and not is_nearest(c)
        ]

    @property
    def nearest(self) -> list[int]:
        """Places of the conditions that hold nearest examples at any distance."""
        return [j for j, c in enumerate(self.conditions) if is_nearest(c) and c.id not in self.apart]

    @property
    def labelled(self) -> bool:
        """Whether any sample has a label."""
        return bool((self.labels >= 0).any())

    def column(self, condition: str) -> int:
        """Find the column of a condition.

        Raises:
            KeyError: there is none of that id.
        """
        for place, one in enumerate(self.conditions):
            if one.id == condition:
                return place
        raise KeyError(condition)

    def lacking(self) -> dict[str, int]:
        """Conditions that lack rows of good samples, and how many; a row with a reason is none that lacks."""
        counts = zip(self.conditions, (self.prediction == ABSENT).sum(0), strict=True)
        left = {c.id: int(k) - self.refused.get(c.id, 0) for c, k in counts}
        return {name: k for name, k in left.items() if k > 0}


def read_frame(run: RunDir, config: RunConfig) -> Frame:
    """The outcomes of a run. Files are read one condition at a time, and only the columns needed.

    Raises:
        RunError: there are no clean rows, a file is damaged, or a row stands twice.
    """
    shards = _shards(run, "outcomes")
    if CLEAN.id not in shards:
        raise RunError(f"{run}: no outcomes of the unchanged images; run it first, or finish it with --resume")
    clean = read_outcomes(run, CLEAN.id, shards.pop(CLEAN.id), _READ)
    good = clean.filter(pc.is_null(clean["error"]))
    ids = _in_order(good["id"].to_pylist(), config.ids)
    known, inside = pa.array(ids, pa.string()), set(ids)
    columns = {CLEAN.id: _column(run, CLEAN, clean, known)}
    bad, refused = _bad(CLEAN.id, clean, inside), dict[str, int]()
    for name, files in shards.items():
        table = read_outcomes(run, name, files, _READ)
        if (condition := _condition(name, table)) is not None:
            columns[name] = _column(run, condition, table, known)
            broken = _bad(name, table, inside)
            refused[name] = len({sample.id for sample in broken})
            bad += broken
    certified = _shards(run, "certificates")
    for name in columns.keys() & certified.keys():
        columns[name] = _within_certificates(run, columns[name], certified[name], known)
    methods = read_methods(config)
    turned = {name for name, _ in run.finished("turns")}
    conditions = (CLEAN, *by_plan([c.condition for n, c in columns.items() if n != CLEAN.id], config))
    ordered = [columns[c.id] for c in conditions]
    attacked = frozenset(c.id for c in conditions if c.norm is not None or c.id in turned)
    apart = {c.id: group for c in conditions if (group := methods.apart(c.method))}
    apart |= {c.id: UNKNOWN for c in conditions if c.method in methods.unknown and c.id not in attacked}
    return Frame(
        ids=ids,
        labels=_placed(good, "label", np.arange(len(good)), _index(good, known), len(ids), np.int64, -1),
        conditions=conditions,
        prediction=np.stack([c.prediction for c in ordered], 1),
        confidence=np.stack([c.confidence for c in ordered], 1),
        right=np.stack([c.right for c in ordered], 1),
        spent={c.condition.id: c.spent for c in ordered},
        bad=tuple(bad),
        unfinished=len(set(config.ids) - set(clean["id"].to_pylist())),
        attacked=attacked,
        apart=apart,
        refused=refused,
        certified=frozenset(columns.keys() & certified.keys()),
    )


def _shards(run: RunDir, table: str) -> dict[str, list[int]]:
    """The finished shards of each condition."""
    found: dict[str, list[int]] = {}
    for name, shard in sorted(run.finished(table)):
        found.setdefault(name, []).append(shard)
    return found


def _within_certificates(run: RunDir, column: _Column, shards: Sequence[int], known: pa.Array) -> _Column:
    """The answers that are certified as far as their condition asks; others are not right, and no prediction."""
    table = read_outcomes(
        run, column.condition.id, shards, ["id", "radius", "abstained", "error"], table="certificates"
    )
    size = column.condition.eps or column.condition.severity or 0
    reached = pc.and_not(pc.greater_equal(table["radius"], float(size)), pc.fill_null(table["abstained"], False))
    ids = table["id"].filter(pc.and_(pc.is_null(table["error"]), pc.fill_null(reached, False)))
    held = np.asarray(pc.is_in(known, value_set=ids.combine_chunks()).to_numpy(zero_copy_only=False), bool)
    return replace(
        column,
        prediction=np.where(held | (column.prediction < 0), column.prediction, UNCERTIFIED).astype(np.int32),
        right=np.where(held | (column.right < 0), column.right, 0).astype(np.int8),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """One condition's part of a frame."""

    condition: Condition
    prediction: NDArray[np.int32]
    confidence: NDArray[np.float32]
    right: NDArray[np.int8]
    spent: Spent


def _column(run: RunDir, condition: Condition, table: pa.Table, known: pa.Array) -> _Column:
    table = table.filter(pc.is_null(table["error"]))
    at, n = _index(table, known), len(known)
    _once(run, condition.id, table["id"], at, n)
    rows, at = np.flatnonzero(at >= 0), at[at >= 0]
    return _Column(
        condition=condition,
        prediction=_placed(table, "prediction", rows, at, n, np.int32, ABSENT),
        confidence=_placed(table, "confidence", rows, at, n, np.float32, np.nan),
        right=_placed(table, "correct", rows, at, n, np.int8, -1),
        spent=Spent(*(pc.sum(table[k]).as_py() or 0 for k in ("forwards", "backwards", "seconds"))),
    )


def _index(table: pa.Table, known: pa.Array) -> NDArray[np.int64]:
    """Each row's place among the samples, -1 for none."""
    return np.asarray(pc.index_in(table["id"], value_set=known).fill_null(-1).to_numpy(), np.int64)


def _placed(
    table: pa.Table, name: str, rows: NDArray[np.int64], at: NDArray[np.int64], n: int, kind: Any, absent: float
) -> NDArray[Any]:
    """A column of rows, put where its samples stand; nulls and absent rows get the value for it."""
    column = table[name].cast(pa.int8()) if pa.types.is_boolean(table[name].type) else table[name]
    out = np.full(n, absent, kind)
    out[at] = column.fill_null(pa.scalar(absent).cast(column.type)).to_numpy()[rows]
    return out


def read_outcomes(
    run: RunDir, condition: str, shards: Iterable[int], columns: list[str], *, table: str = "outcomes"
) -> pa.Table:
    """Some columns of one condition's rows, read from any file system without fetching the others.

    Raises:
        RunError: a file is damaged, named.
    """
    parts = []
    for shard in shards:
        name = f"{condition}-{shard:05d}.parquet"
        try:
            run.check_file("rows", table, name)
            with run.fs.open(run.at("rows", table, name), "rb") as file:
                parts.append(parse_rows(file, table, name, str(run), columns, run=run.identity))
        except OSError as error:
            raise RunError(f"{run}: cannot read rows/{table}/{name} ({error.strerror or error})") from None
    return pa.concat_tables(parts)


def shards_of(run: RunDir, condition: str) -> list[int]:
    """The finished shards of a condition."""
    return sorted(s for c, s in run.finished() if c == condition)


def _in_order(good: list[str], order: Sequence[str]) -> tuple[str, ...]:
    present, known = set(good), set(order)
    return tuple([i for i in order if i in present] + [i for i in good if i not in known])


def _condition(name: str, table: pa.Table) -> Condition | None:
    """The condition from its own rows; None when it has none."""
    if not len(table):
        return None
    first: dict[str, Any] = table.select(_META).slice(0, 1).to_pylist()[0]
    return Condition(name, first["method"] or name, first["severity"], first["eps"], first["norm"])


def _bad(condition: str, table: pa.Table, good: set[str]) -> list[BadSample]:
    broken = table.filter(pc.is_valid(table["error"]))
    names, reasons = broken["id"].to_pylist(), broken["error"].to_pylist()
    if condition == CLEAN.id:
        return [BadSample(i, r) for i, r in zip(names, reasons, strict=True)]
    return [BadSample(i, f"{condition}: {r}") for i, r in zip(names, reasons, strict=True) if i in good]


def _once(run: RunDir, condition: str, ids: pa.ChunkedArray, at: NDArray[np.int64], n: int) -> None:
    counts = np.bincount(at[at >= 0], minlength=n)
    if (counts > 1).any():
        twice = ids[int(np.flatnonzero(at == int(counts.argmax()))[0])].as_py()
        raise RunError(f"{run}: sample {twice!r} stands more than once in {condition}: merge shards without overlap")
