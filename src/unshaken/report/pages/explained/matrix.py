"""A heat map of numbers between named things."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unshaken.report.blocks import Cell, Column, Table, TableRow


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
        cells = [_cell(value, largest, digits, f"{name}, {other}") for other, value in zip(names, row, strict=True)]
        rows.append((name, *cells))
    return Table(caption, (Column("", number=False), *(Column(n) for n in names)), tuple(rows), "matrix")


def _cell(value: float, largest: float, digits: int, title: str) -> Cell:
    if math.isnan(value):
        return Cell("")
    if math.isinf(value):
        return Cell("∞", heat=1.0, title=f"{title}: infinite")
    text = f"{value:.{digits}f}"
    return Cell(text, heat=max(0.0, value / largest), title=f"{title}: {text}")
