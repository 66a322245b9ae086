"""`Frame`: the outcomes of a run as matrices, one row a sample and one column a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.core.errors import RunError
from unshaken.core.ids import Ids
from unshaken.core.part import CLEAN, TARGETED, Condition
from unshaken.report.read.methods import UNKNOWN, read_methods
from unshaken.store.config import RunConfig
from unshaken.store.read_rows import parse_rows
from unshaken.store.run_dir import RunDir
from unshaken.store.sample_ids import as_column, as_strings

_META = ["method", "severity", "eps", "norm"]
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
    """Everything that figures are made of, without logits: 5 bytes a sample and condition.

    Args:
        places: the samples with a clean outcome, in the order of `run.json`, and where rows of them belong.
        labels: int64 `[N]`, -1 where a sample has none.
        conditions: `clean` first, then in the order of the plan.
        prediction: int32 `[N, C]`, `NO_CLASS` where the model gave none, `ABSENT` where there is no row, `UNCERTIFIED`
            where a certificate abstained or has a smaller radius than its condition.
        confidence: float32 `[N]`, of the predictions for the unchanged images.
        right: int8 `[N, C]`: 1 right, 0 wrong, -1 no row or no label. Under a certificate, right means right and
            certified at the radius of the condition (at the image itself where the condition has none).
        spent: condition id to what it cost.
        bad: samples left out, with reasons.
        unfinished: samples of `run.json` that have no clean row yet.
        refused: condition id to the number of good samples that could not be used under it; their reasons are in `bad`.
        attacked: ids of the conditions that an attack made: those with a norm, or with rows of `turns`.
        apart: group of each condition that evaluates another predictor than the model, or perhaps does, or whose attack
            was to reach a chosen class.
        certified: ids of the conditions that hold certificates.
    """

    places: Places
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
    def ids(self) -> Ids:
        """The samples with a clean outcome, in the order of `run.json`."""
        return self.places.ids

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


class Places:
    """Where rows of samples belong, found shard by shard: the samples of all shards are never looked through for one.

    Args:
        ids: of the samples, one a place.
        starts: place of the first sample of each shard, int64 `[S + 1]`: the samples of shard s are `ids` from
            `starts[s]` to `starts[s + 1]`, but for those of a directory that somebody changed.
    """

    def __init__(self, ids: Ids, starts: NDArray[np.int64]) -> None:
        self.ids, self._starts = ids, starts
        self._known: dict[str, int] | None = None
        self._held: tuple[int, pa.Array] = -1, pa.array([], pa.string())

    def of(self, ids: pa.ChunkedArray, shard: int) -> NDArray[np.int64]:
        """The place of each sample, int64 `[n]`, -1 for one that is not known.

        Args:
            ids: strings, of rows of one file.
            shard: of that file.
        """
        start, end = self._starts[np.minimum([shard, shard + 1], len(self._starts) - 1)].tolist()
        if self._held[0] != shard:
            self._held = shard, as_strings(self.ids[start:end])
        if ids.combine_chunks().equals(own := self._held[1]):
            return np.arange(start, end)
        at = pc.index_in(ids, value_set=own)
        if not at.null_count:
            found: NDArray[np.int64] = at.to_numpy() + np.int64(start)
            return found
        if self._known is None:
            self._known = {name: place for place, name in enumerate(self.ids)}
        return np.array([self._known.get(name, -1) for name in ids.to_pylist()], np.int64)


def read_frame(run: RunDir, config: RunConfig) -> Frame:
    """The outcomes of a run. Files are read one at a time, and only the columns needed.

    Raises:
        RunError: there are no clean rows, a file is damaged, or a row stands twice.
    """
    shards = _shards(run, "outcomes")
    if CLEAN.id not in shards:
        raise RunError(f"{run}: no outcomes of the unchanged images; run it first, or finish it with --resume")
    places, unfinished = _good_samples(run, config, shards[CLEAN.id])
    found = {CLEAN.id: CLEAN}
    found |= {name: one for name in shards if name != CLEAN.id and (one := _condition(run, name, shards[name]))}
    conditions = (CLEAN, *by_plan([c for name, c in found.items() if name != CLEAN.id], config))
    n, columns = len(places.ids), len(conditions)
    prediction = np.full((columns, n), ABSENT, np.int32)  # a condition after the other, each written at once
    right, labels, confidence = np.full((columns, n), -1, np.int8), np.full(n, -1), np.full(n, np.nan, np.float32)
    certified, at = _shards(run, "certificates"), {c.id: j for j, c in enumerate(conditions)}
    spent, bad, refused = dict[str, Spent](), list[BadSample](), dict[str, int]()
    for name in found:
        j = at[name]
        column = _Column(prediction[j], right[j], *((labels, confidence) if j == 0 else (None, None)))
        sums, broken = column.fill(run, name, shards[name], places)
        spent[name], bad = sums, bad + broken
        if j:
            refused[name] = len({sample.id for sample in broken})
        if name in certified:
            column.cut(run, conditions[j], certified[name], places)
    methods = read_methods(config)
    turned = {name for name, _ in run.finished("turns")}
    attacked = frozenset(c.id for c in conditions if c.norm is not None or c.id in turned)
    apart = {c.id: group for c in conditions if (group := methods.apart(c.method))}
    apart |= {c.id: UNKNOWN for c in conditions if c.method in methods.unknown and c.id not in attacked}
    apart |= {name: TARGETED for table in ("targets", "part_targets") for name, _ in run.finished(table)}
    return Frame(
        places=places,
        labels=labels,
        conditions=conditions,
        prediction=prediction.T,
        confidence=confidence,
        right=right.T,
        spent={c.id: spent[c.id] for c in conditions},
        bad=tuple(bad),
        unfinished=unfinished,
        attacked=attacked,
        apart=apart,
        refused=refused,
        certified=frozenset(at.keys() & certified.keys()),
    )


def _good_samples(run: RunDir, config: RunConfig, shards: Sequence[int]) -> tuple[Places, int]:
    """The samples with a clean outcome, and how many of `run.json` have no clean row at all."""
    ids = as_column(config.ids)
    starts = np.minimum(np.arange(config.shards + 1) * config.shard_size, len(ids))
    whole = Places(ids, starts)
    good, there, others = np.zeros(len(ids), np.bool_), np.zeros(len(ids), np.bool_), list[str]()
    for shard in shards:
        table = read_outcomes(run, CLEAN.id, [shard], ["id", "error"])
        at, fine = whole.of(table["id"], shard), pc.is_null(table["error"]).to_numpy()
        there[at[at >= 0]], good[at[(at >= 0) & fine]] = True, True
        if (at < 0).any():  # of a directory that somebody changed
            others += table["id"].filter(pa.array((at < 0) & fine)).to_pylist()
    if others:
        own = Ids.of(chain(ids.take(np.flatnonzero(good)), dict.fromkeys(others)))
    else:
        own = ids if good.all() else ids.take(np.flatnonzero(good))
    return Places(own, np.concatenate([[0], good.cumsum()])[starts]), int((~there).sum())


def _shards(run: RunDir, table: str) -> dict[str, list[int]]:
    """The finished shards of each condition."""
    found: dict[str, list[int]] = {}
    for name, shard in sorted(run.finished(table)):
        found.setdefault(name, []).append(shard)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """One condition's part of a frame, `[N]` each; labels and confidence of the unchanged images alone."""

    prediction: NDArray[np.int32]
    right: NDArray[np.int8]
    labels: NDArray[np.int64] | None = None
    confidence: NDArray[np.float32] | None = None

    def fill(self, run: RunDir, name: str, shards: Sequence[int], places: Places) -> tuple[Spent, list[BadSample]]:
        """Put in the rows of a condition.

        Returns:
            What they cost, and those with a reason in the place of an outcome.

        Raises:
            RunError: a file is damaged, or a sample stands twice.
        """
        bad, filled = list[BadSample](), np.zeros(len(self.right), np.bool_)
        forwards, backwards, seconds = 0, 0, 0.0
        wanted: dict[str, NDArray[Any]] = {"prediction": self.prediction, "correct": self.right}
        if self.labels is not None and self.confidence is not None:
            wanted |= {"label": self.labels, "confidence": self.confidence}
        for shard in shards:
            table = read_outcomes(run, name, [shard], ["id", "error", *wanted, "forwards", "backwards", "seconds"])
            if table["error"].null_count < len(table):
                bad += _bad(name, table.filter(pc.is_valid(table["error"])), shard, places)
                table = table.filter(pc.is_null(table["error"]))
            at = places.of(table["id"], shard)
            rows = np.flatnonzero(at >= 0)
            at = at[rows]
            if (twice := filled[at]).any():  # in one file alone none can: reading it checks that
                sample = table["id"][int(rows[twice.argmax()])].as_py()
                raise RunError(
                    f"{run}: sample {sample!r} stands more than once in {name}: merge shards without overlap"
                )
            filled[at] = True
            for column, out in wanted.items():
                values = table[column].cast(pa.int8()) if column == "correct" else table[column]
                absent = pa.scalar(out.dtype.type(_ABSENT[column])).cast(values.type)
                out[at] = values.fill_null(absent).to_numpy()[rows]
            forwards += pc.sum(table["forwards"]).as_py() or 0
            backwards += pc.sum(table["backwards"]).as_py() or 0
            seconds += pc.sum(table["seconds"]).as_py() or 0.0
        return Spent(forwards, backwards, seconds), bad

    def cut(self, run: RunDir, condition: Condition, shards: Sequence[int], places: Places) -> None:
        """Let answers that are not certified as far as their condition asks be not right, and no prediction."""
        held, size = np.zeros(len(self.right), np.bool_), float(condition.eps or condition.severity or 0)
        for shard in shards:
            columns = ["id", "radius", "abstained", "error"]
            table = read_outcomes(run, condition.id, [shard], columns, table="certificates")
            reached = pc.and_not(pc.greater_equal(table["radius"], size), pc.fill_null(table["abstained"], False))
            table = table.filter(pc.and_(pc.is_null(table["error"]), pc.fill_null(reached, False)))
            at = places.of(table["id"], shard)
            held[at[at >= 0]] = True
        self.prediction[~held & (self.prediction >= 0)] = UNCERTIFIED
        self.right[~held & (self.right >= 0)] = 0


_ABSENT = {"prediction": ABSENT, "correct": -1, "label": -1, "confidence": np.nan}
"""What stands in the place of a null."""


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


def _condition(run: RunDir, name: str, shards: Sequence[int]) -> Condition | None:
    """The condition from its own rows; None when it has none."""
    for shard in shards:
        table = read_outcomes(run, name, [shard], _META)
        if len(table):
            first: dict[str, Any] = table.slice(0, 1).to_pylist()[0]
            return Condition(name, first["method"] or name, first["severity"], first["eps"], first["norm"])
    return None


def _bad(condition: str, broken: pa.Table, shard: int, places: Places) -> list[BadSample]:
    """The samples of rows that have a reason in the place of an outcome; of changed images good ones alone."""
    names, reasons = broken["id"].to_pylist(), broken["error"].to_pylist()
    if condition == CLEAN.id:
        return [BadSample(i, r) for i, r in zip(names, reasons, strict=True)]
    known = places.of(broken["id"], shard) >= 0
    return [BadSample(i, f"{condition}: {r}") for i, r, k in zip(names, reasons, known, strict=True) if k]
