"""The data of a drawing as CSV text, read back from its axes; every plot of a page goes through here."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction

from unshaken.report.blocks import Cell, Group, Table, Text, plain
from unshaken.report.drawings import SHARES, Plot, Point, Strips

Ticks = Sequence[tuple[float, str]]
_NEAR = 0.006
"""Per cent of an axis: a place as near as this to a tick is the tick's."""
_STRAIGHT = 0.5
"""Per cent of an axis that its ticks may be off a straight line and still be on one."""


def plot_csv(plot: Plot) -> str:
    """The points of a plot, one a row, in the units of its axes; lines without points are given by their corners.

    Args:
        plot: whose horizontal and vertical axes have ticks. A value is empty where the ticks do not give its scale.
    """
    across, up = axis_reader(plot.ticks), axis_reader(plot.rows)
    value = "value, %" if plot.rows == SHARES else "value"
    if not any(_number(text) for _, text in plot.rows):  # only the shape counts, as in a histogram
        value, up = "height, % of the plot", axis_reader(SHARES)
    rows = list[tuple[str, ...]]()
    for trace in plot.traces:
        rows += [(trace.name, across(p.x), up(p.y), *_interval(p, up), p.text or p.label) for p in trace.points]
        if not trace.points and trace.line:
            corners = (corner.split(",") for corner in trace.line.split())
            rows += [(trace.name, across(float(x)), up(float(y)), "", "", "") for x, y in corners]
    if plot.level is not None:
        rows.append(("unchanged images", "", up(plot.level), "", "", ""))
    if plot.marker:
        rows.append((plot.marker[1], across(plot.marker[0]), "", "", "", ""))
    return _csv((("series", plot.axis or "x", value, "low", "high", "in words"), *rows))


def strips_csv(block: Strips) -> str:
    """The dots of strips, one a row, with their interval in the units of the axis.

    Args:
        block: of one or more lanes a row.
    """
    read = axis_reader(tuple(zip((0.0, 50.0, 100.0), block.ticks, strict=True)))
    head = (block.heads[0], "note", "series", block.heads[1], "low", "high", "in words")
    rows = []
    for strip, lane in [(one, lane) for one in block.strips for lane in one.lanes]:
        for dot in lane.dots:
            ends = (read(lane.low), read(lane.high)) if dot.last or len(lane.dots) == 1 else ("", "")
            rows.append((plain(strip.name), strip.note, lane.name, read(dot.x), *ends, dot.text))
    return _csv((head, *rows))


def table_csv(table: Table) -> str:
    """The cells of a table as their text, the headings of its groups as rows of one cell."""
    rows = [(plain(r.text),) if isinstance(r, Group) else tuple(map(_cell, r)) for r in table.rows]
    return _csv((tuple(c.title for c in table.columns), *rows))


def axis_reader(ticks: Ticks) -> Callable[[float], str]:
    """How to read a place on an axis, from its ticks.

    A place is a number where the numbers of the ticks are linear in their places, or their logarithms are. Where
    neither holds, or there are too few ticks to tell, a place on a tick has the tick's text, and another is empty.

    Args:
        ticks: places in per cent, with their text.
    """
    numbers = [(place, _number(text)) for place, text in ticks if text]
    known = [(place, n) for place, n in numbers if n is not None]
    scale = _scale(known) if len(known) == len(numbers) else None

    def read(place: float) -> str:
        if scale is not None:
            return f"{scale(place):.6g}"
        return next((text for at, text in ticks if abs(at - place) <= _NEAR), "")

    return read


def _scale(numbers: Sequence[tuple[float, float]]) -> Callable[[float], float] | None:
    """The number at a place, from those at two or more ticks."""
    if len(numbers) < 2:
        return None
    positive = all(n > 0 for _, n in numbers)
    if not positive or (len(numbers) > 2 and _is_straight(numbers)):
        return _line(numbers) if _is_straight(numbers) else None
    logs = [(place, math.log(n)) for place, n in numbers]
    if len(numbers) == 2 or not _is_straight(logs):
        return None
    line = _line(logs)
    return lambda place: math.exp(line(place))


def _line(points: Sequence[tuple[float, float]]) -> Callable[[float], float]:
    (x, y), (x_end, y_end) = min(points), max(points)
    return lambda place: round(y + (y_end - y) * (place - x) / (x_end - x), 12)


def _is_straight(points: Sequence[tuple[float, float]]) -> bool:
    (x, y), (x_end, y_end) = min(points), max(points)
    if x == x_end or y == y_end:
        return False
    return all(abs(at - x - (x_end - x) * (n - y) / (y_end - y)) <= _STRAIGHT for at, n in points)


def _number(text: str) -> float | None:
    """The number that a tick says, such as `1,000`, `−5`, `100 %` or `8/255`."""
    bare = text.replace("−", "-").replace(",", "").replace("%", "").strip()
    try:
        return float(Fraction(bare)) if "/" in bare else float(bare)
    except (ValueError, ZeroDivisionError):
        return None


def _interval(p: Point, up: Callable[[float], str]) -> tuple[str, str]:
    return ("", "") if p.low == p.high else (up(p.low), up(p.high))


def _cell(value: Cell | Text) -> str:
    if isinstance(value, Cell):
        return " ".join(filter(None, (plain(value.text), f"({value.interval})" if value.interval else "", value.note)))
    return plain(value)


def _csv(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([_inert(cell) for cell in row] for row in rows)
    return file.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text[:1] in "=+-@\t\r" and text and _number(text) is None else text
