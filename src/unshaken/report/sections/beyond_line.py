"""Effective robustness of detectors side by side: a picture with the line, and a table for each group of changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Group, Heading, Prose, Table, TableRow, Text
from unshaken.report.drawings import Plot, Plots, Point
from unshaken.report.effective import MapLine, RobustnessGroup
from unshaken.report.figures import plots


def robustness_blocks(groups: Sequence[RobustnessGroup]) -> Sequence[Block]:
    """What detectors have beyond a line; nothing without groups."""
    if not groups:
        return ()
    line = groups[0].line
    if line.models:
        text = f"The line of each group goes through {line.models} baseline detectors by least squares"
    else:
        text = (
            f"The line is {line.slope:g} of the clean mAP; 0.45 is that of detectors trained on COCO alone under the "
            "shifts of COCO-O, and no other"
        )
    prose = Prose(
        f"Effective robustness is the mean mAP under changes less what a line foretells of the clean mAP. {text}; its "
        "own uncertainty is not in the intervals, which come from halves of the images."
    )
    return (
        Heading("Effective robustness", "effective", "Effective robustness"),
        prose,
        _picture(groups),
        _table(groups),
    )


def _table(groups: Sequence[RobustnessGroup]) -> Table:
    heads = cells.columns(
        "detector", "mAP, unchanged", "mean under changes", "relative drop", "effective robustness", "to the first"
    )
    rows: list[TableRow] = []
    for group in groups:
        rows.append(Group(f"{group.name}: {cells.counted(len(group.conditions), 'condition')}, {formula(group.line)}"))
        for row in group.rows:
            values: tuple[Cell | Text, ...] = (
                row.name,
                cells.share(row.clean.to_json()),
                cells.share(row.shifts.mean.to_json()),
                cells.share(row.shifts.relative_drop.to_json()),
                cells.points(row.shifts.effective_robustness.to_json()),
                cells.points(row.difference.to_json() if row.difference else None),
            )
            rows.append(values)
    caption = (
        "mAP in per cent; effective robustness, and its difference to the first detector on the same images, in points."
    )
    return Table(caption, heads, tuple(rows), brief=True)


def formula(line: MapLine) -> str:
    """A line as a formula.

    >>> formula(MapLine(0.45)), formula(MapLine(0.5, -0.01, 4))
    ('line 0.45 x', 'line 0.5 x - 1 points')
    """
    if not line.intercept:
        return f"line {line.slope:.3g} x"
    sign = "-" if line.intercept < 0 else "+"
    return f"line {line.slope:.3g} x {sign} {100 * abs(line.intercept):.3g} points"


def _picture(groups: Sequence[RobustnessGroup]) -> Plots:
    """Mean mAP under each group of changes against the clean one, with the line; all on one scale."""
    clean = [x for g in groups for x in (*(row.clean.value for row in g.rows), *(x for x, _ in g.family))]
    widest = max(*clean, 0.05) * 1.2
    means = [y for g in groups for y in (*(row.shifts.mean.high for row in g.rows), *(y for _, y in g.family))]
    means += [float(g.line(np.array([widest]))[0]) for g in groups]
    along, ticks = plots.linear_axis(100 * widest)
    height, rows = plots.value_axis(0.0, 100 * max(*means, 0.05))
    drawn = []

    def mark(x: float, y: float, text: str, ends: tuple[float, float] | None = None) -> Point:
        low, high = ends or (y, y)
        return Point(round(along(100 * x), 2), height(100 * y), height(100 * low), height(100 * high), text)

    for group in groups:
        ends = [(x, float(group.line(np.array([x]))[0])) for x in (_first(group.line), widest)]
        traces = [plots.curve("line", 0, [mark(x, y, "line") for x, y in ends], marked=False)]
        if group.family:
            points = [mark(x, y, f"baseline: {wording.percent(y)}") for x, y in group.family]
            traces.append(replace(plots.curve("family", 1, points), line=""))
        for style, row in enumerate(group.rows, 2):
            mean = row.shifts.mean
            point = mark(
                row.clean.value, mean.value, f"{row.name}: {wording.percent(mean.value)}", (mean.low, mean.high)
            )
            traces.append(replace(plots.curve(row.name, style, [point]), whiskers=True))
        text = f"Mean mAP under {group.name} against the clean mAP, in per cent."
        drawn.append(Plot(f"{group.name}, %", "clean mAP, %", ticks, tuple(traces), None, text, rows))
    return Plots(tuple(drawn), "half")


def _first(line: MapLine) -> float:
    """The clean mAP from which a rising line is drawn: where it is 0, or 0."""
    return max(0.0, -line.intercept / line.slope) if line.slope > 0 else 0.0
