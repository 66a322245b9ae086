"""Cells and sentences that several sections share, made of parts of `summary.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.core.part import CERTIFICATE, DETECTOR, TARGETED
from unshaken.report import wording
from unshaken.report.blocks import Cell, Column, Span, Table, TableRow, Text
from unshaken.report.read.methods import UNKNOWN

Row = dict[str, Any]
COIN = 0.5
"""The AUROC of a detector that tosses a coin."""


def share(figure: Row | None, *, bar: bool = False, bad: bool = False) -> Cell:
    """A share with its interval; a dash for none."""
    if figure is None:
        return Cell("")
    value = wording.percent(figure["value"])
    return Cell(value, wording.span(figure), bar=figure["value"] if bar else None, bad=bad)


def auroc(figure: Row | None) -> Cell:
    """An AUROC with its interval, as a number from 0 to 1, marked as bad below the 0.5 of a coin."""
    if figure is None:
        return Cell("")
    text = f"{figure['value']:.3f}"
    interval = f"{figure['low']:.3f} to {figure['high']:.3f}"
    return Cell(Span(text, "bad") if figure["value"] < COIN else text, interval)


def value(figure: Row | None) -> Cell:
    """A number with its interval, such as a distance; an end that is unbounded is infinite."""
    if figure is None:
        return Cell("")
    low, high = (end if figure[k] is None else wording.number(figure[k]) for k, end in (("low", "-∞"), ("high", "∞")))
    return Cell(wording.number(figure["value"]), f"{low} to {high}")


def points(figure: Row | None) -> Cell:
    """A difference of shares in percentage points, with its interval."""
    if figure is None:
        return Cell("")
    value, low, high = (f"{100 * figure[k]:+.1f}" for k in ("value", "low", "high"))
    return Cell(value, f"{low} to {high}")


def line(*values: Cell | Text) -> tuple[Cell | Text, ...]:
    """Make a row of a table from its cells."""
    return values


def columns(first: str, *others: str | Column | None) -> tuple[Column, ...]:
    """Columns of numbers behind a first one of names; None stands for one that is left out."""
    return (Column(first, number=False), *(Column(o) if isinstance(o, str) else o for o in others if o is not None))


def aside(title: str, note: str = "") -> Column:
    """A column of numbers that is left out where there is little room."""
    return Column(title, note, brief=False)


def metric(row: Mapping[str, Any]) -> Row | None:
    """The figure that pages show: mAP or mIoU, accuracy, or without labels consistency with the prediction."""
    figure: Row | None = row.get("map") or row.get("miou") or row.get("accuracy") or row.get("consistency")
    return figure


def is_attack(row: Mapping[str, Any]) -> bool:
    """Whether a condition takes an attacker."""
    return bool(row.get("group", "attack") == "attack")


def changes_of(data: Mapping[str, Any]) -> list[Row]:
    """The conditions that evaluate the model itself; certificates, detectors and chosen targets have their sections."""
    return [row for row in data["conditions"] if row.get("group") not in (CERTIFICATE, DETECTOR, TARGETED, UNKNOWN)]


def worst_of(rows: Sequence[Row]) -> Row | None:
    """The condition with the lowest figure."""
    return min((r for r in rows if metric(r)), key=lambda r: float((metric(r) or {})["value"]), default=None)


def counted(n: int, noun: str) -> str:
    """A number with its noun: `1 sample`, `2 samples`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def heat_matrix(caption: str, names: Sequence[str], values: Sequence[Sequence[float]], *, digits: int = 2) -> Table:
    """A square table coloured by its values, from 0 to the largest.

    Args:
        caption: of the table.
        names: of its rows and columns.
        values: `[n, n]`; NaN for none, infinity where a value has no bound.
        digits: behind the point.
    """
    largest = max((v for row in values for v in row if math.isfinite(v)), default=0.0) or 1.0
    rows: list[TableRow] = []
    for name, row in zip(names, values, strict=True):
        cells = [
            _heat_cell(value, largest, digits, f"{name}, {other}") for other, value in zip(names, row, strict=True)
        ]
        rows.append((name, *cells))
    return Table(caption, (Column("", number=False), *(Column(n) for n in names)), tuple(rows), "matrix")


def _heat_cell(value: float, largest: float, digits: int, title: str) -> Cell:
    if math.isnan(value):
        return Cell("")
    if math.isinf(value):
        return Cell("∞", heat=1.0, title=f"{title}: infinite")
    text = f"{value:.{digits}f}"
    return Cell(text, heat=max(0.0, value / largest), title=f"{title}: {text}")
