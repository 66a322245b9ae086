"""`SampleGrid`: the samples of a run under one condition, in DuckDB, page by page in any order and through filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from unshaken.core.errors import RunError
from unshaken.core.numbers import parse_whole, shorten
from unshaken.core.part import CLEAN
from unshaken.store.config import RunConfig
from unshaken.store.run_dir import RunDir

LIMIT = 60
"""Samples of a page: a number that 2, 3, 4, 5 and 6 columns fill."""
_READ = ["id", "label", "prediction", "confidence", "correct", "loss", "error"]

_MAKE = """
CREATE TABLE grid AS
WITH scored AS (
    SELECT n, id, label, prediction, confidence, correct, before, broken,
        CASE WHEN isnan(gain) OR gain IS NULL THEN 0 ELSE greatest(-1e4, least(1e4, gain)) END
            + CASE WHEN broken THEN 1e5 ELSE 0 END AS damage
    FROM (
        SELECT p.n, o.id, o.label, o.prediction, o.confidence, o.correct, c.prediction AS before,
            coalesce({broken}, false) AS broken,
            CAST({gain} AS DOUBLE) AS gain
        FROM outcomes o JOIN places p ON p.id = o.id LEFT JOIN clean c ON c.id = o.id
        WHERE o.error IS NULL
    )
)
SELECT * EXCLUDE damage,
    row_number() OVER (ORDER BY damage DESC, n)::INTEGER AS worst,
    row_number() OVER (ORDER BY confidence DESC NULLS LAST, n)::INTEGER AS confident,
    row_number() OVER (ORDER BY confidence ASC NULLS LAST, n)::INTEGER AS unsure,
    n::INTEGER + 1 AS given
FROM scored ORDER BY worst
"""
"""Damage is that of `unshaken.run.examples.damage`: first what is no longer right, then the rise of the loss."""


class GridOrder(StrEnum):
    """Orders of a grid."""

    WORST = "worst"
    CONFIDENT = "confident"
    UNSURE = "unsure"
    GIVEN = "given"


class Outcome(StrEnum):
    """Result of a sample."""

    ANY = ""
    BROKEN = "broken"
    WRONG = "wrong"
    RIGHT = "right"


_OUTCOMES = {Outcome.ANY: "true", Outcome.BROKEN: "broken", Outcome.WRONG: "NOT correct", Outcome.RIGHT: "correct"}


@dataclass(frozen=True, slots=True)
class GridFilters:
    """Filters of the grid; None filters nothing.

    Args:
        outcome: of the samples.
        label: class of their label.
        prediction: class that the model gave.
        low: least confidence, in [0, 1].
        high: largest confidence, in [0, 1].
        flag: name of a flag that names the samples.
        chosen: numbers of the samples.
    """

    outcome: Outcome = Outcome.ANY
    label: int | None = None
    prediction: int | None = None
    low: float | None = None
    high: float | None = None
    flag: str = ""
    chosen: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class GridSample:
    """A sample of a grid.

    Args:
        n: its place in the run's ids.
        id: of the sample.
        label: its class; None without one.
        prediction: the model's class under the condition.
        confidence: of the prediction; None where there is none.
        correct: whether it is right; None without a label.
        before: the model's class of the unchanged image; None where there is none.
        broken: right before, and no longer.
    """

    n: int
    id: str
    label: int | None
    prediction: int | None
    confidence: float | None
    correct: bool | None
    before: int | None
    broken: bool


@dataclass(frozen=True, slots=True)
class GridPage:
    """A page of a grid.

    Args:
        samples: in order.
        next: where the next page begins; empty on the last one.
        total: samples that fit the filters.
    """

    samples: tuple[GridSample, ...] = ()
    next: str = ""
    total: int = 0


class SampleGrid:
    """The samples of a run under one condition; pages may be asked for from several threads at once.

    Args:
        run: whose rows are read, once.
        config: of the run.
        condition: id of the condition.

    Raises:
        RunError: a file of rows is damaged, of another run, or absent.
    """

    def __init__(self, run: RunDir, config: RunConfig, condition: str) -> None:
        rows = run.rows("outcomes", _READ, condition=condition)
        if not len(rows):
            raise RunError(f"{run}: no rows of {shorten(condition)}; run it first, or finish it with --resume")
        clean = rows if condition == CLEAN.id else run.rows("outcomes", _READ, condition=CLEAN.id)
        labelled = bool(pc.any(pc.is_valid(rows["correct"])).as_py())
        alone = condition == CLEAN.id
        self.samples = len(rows)
        self._connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
        self._connection.register("outcomes", rows)
        self._connection.register("clean", clean)
        self._connection.register("places", pa.table({"id": config.ids, "n": pa.array(range(len(config.ids)))}))
        broken = "NOT o.correct" if alone else "c.correct AND NOT o.correct"
        gain = "o.loss" if alone else "o.loss - c.loss"
        if not labelled and rows["loss"].null_count == len(rows):
            broken = "false" if alone else "o.prediction <> c.prediction"
            gain = f"CASE WHEN {broken} THEN o.confidence ELSE -o.confidence END"
        self._connection.execute(_MAKE.format(broken=broken, gain=gain))
        flags = run.rows("flags", ["name", "id"])
        self._connection.register("raised", flags.filter(pc.is_valid(flags["id"])))
        self._connection.execute(
            "CREATE TABLE flagged AS SELECT DISTINCT g.n, r.name FROM raised r JOIN grid g ON g.id = r.id"
        )
        for name in ("outcomes", "clean", "places", "raised"):
            self._connection.unregister(name)
        found = self._connection.execute("SELECT DISTINCT name FROM flagged ORDER BY name LIMIT 200").fetchall()
        self.flags: tuple[str, ...] = tuple(name for (name,) in found)

    def page(
        self, filters: GridFilters, *, order: GridOrder = GridOrder.WORST, after: str = "", limit: int = LIMIT
    ) -> GridPage:
        """A page of samples.

        Args:
            filters: that they fit.
            order: of the grid.
            after: where the page before ended (its `next`); empty for the first.
            limit: samples of a page.

        Raises:
            ParameterError: `after` is no end of a page.
        """
        fits, values = _conditions(filters)
        where = " AND ".join(fits)
        cursor = self._connection.cursor()
        total = cursor.execute(f"SELECT count(*) FROM grid WHERE {where}", values).fetchone()
        rows = cursor.execute(
            f"SELECT n, id, label, prediction, confidence, correct, before, broken, {order.value} FROM grid "
            f"WHERE {where} AND {order.value} > ? ORDER BY {order.value} LIMIT ?",
            [*values, _read_place(after), limit + 1],
        ).fetchall()
        cursor.close()
        found = tuple(GridSample(*row[:-1]) for row in rows[:limit])
        return GridPage(found, str(rows[limit - 1][-1]) if len(rows) > limit else "", total[0] if total else 0)

    def close(self) -> None:
        """Give its memory back."""
        self._connection.close()


def _conditions(filters: GridFilters) -> tuple[list[str], list[Any]]:
    fits = [_OUTCOMES[filters.outcome]]
    values: list[Any] = []
    for text, value in (
        ("label = ?", filters.label),
        ("prediction = ?", filters.prediction),
        ("confidence >= ?", filters.low),
        ("confidence <= ?", filters.high),
        ("n IN (SELECT n FROM flagged WHERE name = ?)", filters.flag or None),
        ("n IN (SELECT unnest(?::INTEGER[]))", None if filters.chosen is None else list(filters.chosen)),
    ):
        if value is not None:
            fits.append(text)
            values.append(value)
    return fits, values


def _read_place(text: str) -> int:
    return parse_whole(text, least=1, most=2**31 - 1) if text else 0
