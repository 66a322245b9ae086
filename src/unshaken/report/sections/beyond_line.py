"""Effective robustness of detectors side by side: a picture with the line, and a table for each group of changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Group, Heading, Prose, Table, TableRow, Text
from unshaken.report.drawings import Plot, Plots
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
        rows.append(Group(f"{group.name}: {cells.counted(len(group.conditions), 'condition')}, {words(group.line)}"))
        for row in group.rows:
            values: tuple[Cell | Text, ...] = (
                row.name,
                cells.share(row.clean.to_json()),
                cells.share(row.shifts.mean.to_json()),
                cells.share(row.shifts.relative_drop.to_json()),
                cells.points(row.shifts.effective_robustness.to_json()),
                cells.points(row.difference and row.difference.to_json()),
            )
            rows.append(values)
    caption = (
        "mAP in per cent; effective robustness, and its difference to the first detector on the same images, in points."
    )
    return Table(caption, heads, tuple(rows), brief=True)


def words(line: MapLine) -> str:
    """A line as a formula.

    >>> words(MapLine(0.45)), words(MapLine(0.5, -0.01, 4))
    ('line 0.45 x', 'line 0.5 x - 1 points')
    """
    if not line.intercept:
        return f"line {line.slope:.3g} x"
    sign = "-" if line.intercept < 0 else "+"
    return f"line {line.slope:.3g} x {sign} {100 * abs(line.intercept):.3g} points"


def _picture(groups: Sequence[RobustnessGroup]) -> Plots:
    """Mean mAP under each group of changes against the clean one, with the line."""
    drawn = []
    for group in groups:
        ends = [row.clean.value for row in group.rows] + [x for x, _ in group.family]
        place, ticks = plots.linear_axis(100 * max(*ends, 0.1) * 1.2)
        xs = np.array([0.0, max(*ends, 0.1) * 1.2])
        heights = np.clip(group.line(xs), 0, 1)
        marks = [plots.point(place(100 * x), _flat(float(y)), "line") for x, y in zip(xs, heights, strict=True)]
        traces = [plots.curve("line", 0, marks, marked=False)]
        if group.family:
            points = [plots.point(place(100 * x), _flat(y), f"baseline: {100 * y:.1f} %") for x, y in group.family]
            traces.append(replace(plots.curve("family", 1, points), line=""))
        for style, row in enumerate(group.rows, 2):
            mean = row.shifts.mean.to_json()
            point = plots.point(place(100 * row.clean.value), mean, f"{row.name}: {wording.percent(mean['value'])}")
            traces.append(replace(plots.curve(row.name, style, [point]), whiskers=True))
        text = f"Mean mAP under {group.name} against the clean mAP, in per cent."
        drawn.append(Plot(f"{group.name}, %", "clean mAP, %", ticks, tuple(traces), None, text))
    return Plots(tuple(drawn), "half")


def _flat(value: float) -> dict[str, float]:
    return dict.fromkeys(("value", "low", "high"), value)
