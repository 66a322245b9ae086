"""`read_figures` and `trend_plot`: the figures of runs of a model, and one of them against time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unshaken.core.errors import UnshakenError
from unshaken.report import wording
from unshaken.report.drawings import SHARES, Plot, Point
from unshaken.report.figures import plots
from unshaken.serve.site.listing import ListedRun
from unshaken.serve.site.records import SUMMARY, clip
from unshaken.store.run_dir import RunDir

PARTS = ("clean", "aggregates", "conditions", "objects", "segmentation", "certified", "detection", "minimal_norms")
"""Parts of a summary whose figures are shown."""
PREFERRED = ("worst_case", "worst_natural", "clean")
"""Figures that are shown first where none is chosen."""
MOST_FIGURES = 2000
DEEPEST = 5
EDGE = 12.0
"""Per cent of the plot's width that are free on both sides, for the labels of the axis."""


Number = Annotated[float, Field(ge=-1e12, le=1e12)]


class TrendFigure(BaseModel):
    """A figure of a run with its 95 % interval; None for an end that is not known."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, strict=True)
    value: Number
    low: Number | None = None
    high: Number | None = None
    interval: str = ""

    def text(self, name: str) -> str:
        """Value and interval, in the unit of pages."""
        return wording.figure_text(name.rpartition(" ")[2], self.model_dump())


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """A run with the figure that is shown of it."""

    run: ListedRun
    figure: TrendFigure


def read_figures(place: str) -> dict[str, TrendFigure]:
    """Read all figures of a run's summary by name, such as `clean`, `worst_case` or `fog-3 accuracy`.

    A run without a summary, or with a damaged one, has none.

    Args:
        place: of the run, which may come from a stranger.
    """
    run = RunDir(place)
    try:
        summary = run.read_json(SUMMARY) if run.exists(SUMMARY) else None
    except UnshakenError:
        return {}
    found = dict[str, TrendFigure]()
    if not isinstance(summary, dict):
        return found
    for part in PARTS:
        names = (part,) if part == "clean" else ()
        for name, figure in _figures(summary.get(part), names):
            if len(found) == MOST_FIGURES:
                return found
            found.setdefault(clip(name), figure)
    return found


def _figures(value: Any, names: tuple[str, ...], depth: int = 0) -> Iterator[tuple[str, TrendFigure]]:
    """The figures inside a part of a summary; an entry of a list is named by its condition, set or radius."""
    if depth > DEEPEST:
        return
    if isinstance(value, list):
        for entry in value:
            if isinstance(entry, dict) and (name := _entry_name(entry)):
                yield from _figures(entry, (*names, name), depth + 1)
    elif isinstance(value, dict) and "value" in value:
        try:
            yield " ".join(names), TrendFigure.model_validate(value)
        except ValidationError:  # no finite number
            return
    elif isinstance(value, dict):
        for key, inner in value.items():
            inside = names if isinstance(inner, list) else (*names, key)
            yield from _figures(inner, inside, depth + 1)


def _entry_name(entry: dict[str, Any]) -> str:
    if isinstance(radius := entry.get("radius"), int | float):
        return f"radius {radius:g}"
    return next((str(entry[key]) for key in ("condition", "name", "group") if entry.get(key)), "")


def trend_plot(name: str, points: Sequence[TrendPoint], baseline: TrendPoint | None) -> Plot:
    """A figure of runs against the time of their last change, a line for each plan, with the baseline's interval.

    Args:
        name: of the figure.
        points: runs on the same data, at least one.
        baseline: run that the others are held against; None for none.
    """
    ordered = sorted(points, key=lambda one: (one.run.modified, one.run.id))
    first, last = ordered[0].run.modified, ordered[-1].run.modified
    shown = [one.figure for one in (*ordered, *([baseline] if baseline else ()))]
    ends = [end for one in shown for end in (one.value, one.low, one.high) if end is not None]
    share = 0 <= min(ends) <= max(ends) <= 1
    share &= all(wording.is_share(name.rpartition(" ")[2], one.model_dump()) for one in shown)
    most = max(max(ends), 1e-9 if min(ends) > -1e-9 else 0.0)
    height, rows = (plots.down, SHARES) if share else plots.value_axis(min(ends), most)

    def place(moment: float) -> float:
        return 50.0 if last <= first else EDGE + (100 - 2 * EDGE) * (moment - first) / (last - first)

    def mark(x: float, one: TrendPoint) -> Point:
        figure = one.figure
        low, high = (figure.value if end is None else end for end in (figure.low, figure.high))
        words = f"{one.run.name}, {_moment(one.run.modified, first, last)}: {figure.text(name)}"
        return Point(x, height(figure.value), height(low), height(high), words)

    by_plan = dict[str, list[Point]]()
    for one in ordered:
        by_plan.setdefault(one.run.plan or one.run.kind, []).append(mark(place(one.run.modified), one))
    traces = [replace(plots.curve(plan, i, own), whiskers=True) for i, (plan, own) in enumerate(by_plan.items())]
    if baseline is not None:
        level = [mark(x, baseline) for x in (0.0, 100.0)]
        traces.append(plots.curve(f"baseline {baseline.run.name}", len(by_plan), level, band=True, marked=False))
    moments = (first, (first + last) / 2, last) if last > first else (first,)
    ticks = tuple((place(moment), _moment(moment, first, last)) for moment in moments)
    words = "; ".join(f"{one.run.name}: {one.figure.text(name)}" for one in ordered)
    unit = ", %" if share else ""
    return Plot(f"{name}{unit}", "last change of the run, UTC", ticks, tuple(traces), None, words, rows)


def _moment(moment: float, first: float, last: float) -> str:
    """A time in UTC: the day, or where all are within two days the hour as well."""
    form = "%Y-%m-%d" if last - first > 2 * 86400 else "%m-%d %H:%M"
    return time.strftime(form, time.gmtime(moment)) if math.isfinite(moment) and 0 <= moment < 2**40 else "–"
