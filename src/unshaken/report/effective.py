"""Effective robustness of detectors: mAP under changes, beyond what a line foretells of the clean one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure import Figure, fit_line
from unshaken.measure.object_detection.map_figures import (
    SLOPE,
    Maps,
    ShiftedMap,
    beyond_line,
    map_difference,
    map_figure,
    resampled_map,
    shifted_map,
)
from unshaken.measure.statistics.columns import Numbers
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Cell, Group, Heading, Prose, Table, TableRow, Text
from unshaken.report.drawings import Plot, Plots, Point
from unshaken.report.figures import plots
from unshaken.report.read.frame import Frame, read_frame
from unshaken.report.read.methods import OTHER, read_methods
from unshaken.report.read.tasks import count_classes, match_scenes, read_scenes
from unshaken.store.config import RunConfig, read_config
from unshaken.store.run_dir import RunDir

RESAMPLES = 200
"""Halves of the images behind an interval."""
ALL = "all changes"


@dataclass(frozen=True, slots=True)
class MapLine:
    """A line from the clean mAP to that under changes, both in [0, 1].

    Args:
        slope: of it.
        intercept: its value at 0.
        models: number of runs that it was fitted to; 0 for a line that was given.
    """

    slope: float
    intercept: float = 0.0
    models: int = 0

    def __call__(self, clean: Numbers) -> Numbers:
        """The mAP under changes that it foretells."""
        return np.asarray(self.intercept + self.slope * clean)


@dataclass(frozen=True, slots=True)
class RobustnessRow:
    """Effective robustness of one run among others.

    Args:
        run: where it lies.
        name: its model.
        clean: mAP on unchanged images.
        shifts: mean over the changes, relative drop, effective robustness.
        difference: of its effective robustness, less that of the first run, paired; None for the first.
    """

    run: str
    name: str
    clean: Figure
    shifts: ShiftedMap
    difference: Figure | None


@dataclass(frozen=True, slots=True)
class RobustnessGroup:
    """Runs under one group of changes, or under all.

    Args:
        name: of the group, such as `style`.
        conditions: their ids, each with the same weight.
        line: what the clean mAP foretells.
        family: clean and mean mAP of the runs that the line was fitted to.
        rows: one a run, in order.
    """

    name: str
    conditions: tuple[str, ...]
    line: MapLine
    family: tuple[tuple[float, float], ...]
    rows: tuple[RobustnessRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the group as `compare.json` holds it."""
        return {
            "group": self.name,
            "conditions": list(self.conditions),
            "line": asdict(self.line),
            "family": [list(point) for point in self.family],
            "runs": [
                {
                    "run": row.run,
                    "name": row.name,
                    "clean": row.clean.to_json(),
                    "mean": row.shifts.mean.to_json(),
                    "relative_drop": row.shifts.relative_drop.to_json(),
                    "effective_robustness": row.shifts.effective_robustness.to_json(),
                    "difference": row.difference and row.difference.to_json(),
                }
                for row in self.rows
            ],
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Detector:
    """A run of a detector: its configuration, its outcomes, and its mAPs by condition on the samples of `ids`."""

    run: RunDir
    config: RunConfig
    frame: Frame
    ids: tuple[str, ...]
    maps: dict[str, Maps]

    @classmethod
    def read(cls, run: RunDir) -> _Detector:
        config = read_config(run)
        if config.task != "detection":
            raise ParameterError(
                f"{run} is a run of {config.task}; effective robustness is measured of detectors of objects"
            )
        frame = read_frame(run, config)
        return cls(run, config, frame, tuple(frame.ids), {})

    def of(self, condition: str) -> Maps:
        """The mAP under a condition, with draws that are those of every run on the same images."""
        if condition not in self.maps:
            scenes = read_scenes(self.run, condition, self.ids)
            self.maps[condition] = resampled_map(match_scenes(scenes, count_classes(scenes)), resamples=RESAMPLES)
        return self.maps[condition]

    def mean(self, conditions: Iterable[str]) -> tuple[float, float]:
        """Clean mAP, and the mean under some conditions."""
        return self.of(CLEAN.id).value, float(np.mean([self.of(c).value for c in conditions]))


def effective_robustness(
    runs: Sequence[RunDir],
    conditions: Sequence[str],
    *,
    family: Sequence[RunDir] = (),
    slope: float | None = None,
) -> tuple[RobustnessGroup, ...]:
    """Runs of detectors under all changes that they share, and under each group of them; attacks are left out.

    All figures are of the samples that all runs have, those of the family included.

    Args:
        runs: on the same data; the first is what the others are compared with.
        conditions: ids of those that all have, made in the same way.
        family: runs of baseline detectors on the same data and conditions, through which a line is fitted for each
            group by least squares; none for a line through 0.
        slope: of that line; None for COCO-O's 0.45.

    Raises:
        ParameterError: a run is of another task or on other data, a run of the family lacks a condition, there are both
            a family and a slope, or a line cannot be fitted.
    """
    if family and slope is not None:
        raise ParameterError("a line is given by a slope or fitted to a family of runs: give one of the two")
    own, baselines = ([_Detector.read(run) for run in some] for some in (runs, family))
    _check_family(own[0], baselines, conditions)
    shared = set.intersection(*(set(one.ids) for one in (*own, *baselines)))
    ids = tuple(i for i in own[0].ids if i in shared)
    if not ids:
        raise ParameterError(f"no sample is in all {len(own) + len(baselines)} runs, so they have no line in common")
    own, baselines = ([replace(one, ids=ids) for one in some] for some in (own, baselines))
    groups = _groups(own[0], conditions)
    found = []
    for name, members in groups.items():
        points = tuple(one.mean(members) for one in baselines)
        line = _line(points, slope)
        shifts = [shifted_map(one.of(CLEAN.id), [one.of(c) for c in members], line=line) for one in own]
        beyond = [beyond_line(one.of(CLEAN.id), [one.of(c) for c in members], line=line) for one in own]
        rows = tuple(
            RobustnessRow(
                str(one.run), one.config.model_name, map_figure(one.of(CLEAN.id)), shift,
                map_difference(beyond[0], ahead) if number else None,
            )
            for number, (one, shift, ahead) in enumerate(zip(own, shifts, beyond, strict=True))
        )  # fmt: skip
        found.append(RobustnessGroup(name, tuple(members), line, points, rows))
    return tuple(found)


def _groups(one: _Detector, conditions: Sequence[str]) -> dict[str, list[str]]:
    """Ids of all changes, and of each group of them where there are several groups."""
    methods, found = read_methods(one.config), dict[str, list[str]]()
    for condition in one.frame.conditions:
        if condition.id in conditions and condition.id != CLEAN.id and condition.id not in one.frame.attacked:
            found.setdefault(methods.family(condition.method) or OTHER, []).append(condition.id)
    every = [c for members in found.values() for c in members]
    return {ALL: every, **(found if len(found) > 1 else {})} if every else {}


def _check_family(one: _Detector, family: Sequence[_Detector], conditions: Sequence[str]) -> None:
    """Refuse runs that stand for other images or other changes."""
    made = read_methods(one.config).made_by
    for other in family:
        if other.config.data_fingerprint != one.config.data_fingerprint:
            raise ParameterError(f"{other.run} is not on the data of {one.run}: run the family on the same data")
        there, way = {c.id for c in other.frame.conditions}, read_methods(other.config).made_by
        lacking = [c for c in conditions if c not in there or (c != CLEAN.id and way(c) != made(c))]
        if lacking:
            raise ParameterError(f"{other.run} lacks {lacking[0]} as {one.run} has it: run the family on the same plan")


def _line(points: Sequence[tuple[float, float]], slope: float | None) -> MapLine:
    if not points:
        return MapLine(SLOPE if slope is None else slope)
    clean, shifted = zip(*points, strict=True)
    fitted = fit_line(clean, shifted, transform="linear")
    return MapLine(fitted.slope, fitted.intercept, len(points))


# The part of a page.


def robustness_blocks(groups: Sequence[RobustnessGroup]) -> Sequence[Block]:
    """Blocks on the robustness of detectors beyond a line; none without groups."""
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
    n = groups[0].rows[0].clean.n
    prose = Prose(
        f"On the {cells.counted(n, 'image')} of all runs. Effective robustness is the mean mAP under changes less what "
        f"a line foretells of the clean mAP. {text}; its own uncertainty is not in the intervals, which come from "
        "halves of the images."
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
    """Write a line as a formula.

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
        return Point(along(100 * x), height(100 * y), height(100 * low), height(100 * high), text)

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
