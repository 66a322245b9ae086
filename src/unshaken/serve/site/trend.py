"""`read_figures` and `trend_plot`: the figures of runs of a model, and one of them against time or a setting."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unshaken.core.errors import UnshakenError
from unshaken.core.numbers import show_budget
from unshaken.report import wording
from unshaken.report.drawings import SHARES, Plot, Point
from unshaken.report.figures import plots
from unshaken.serve.site.listing import ListedRun
from unshaken.serve.site.records import SUMMARY, clip
from unshaken.store.run_dir import RunDir

PARTS = ("clean", "aggregates", "conditions", "objects", "segmentation", "certified", "detection", "minimal_norms")
"""Parts of a summary whose figures are shown."""
PREFERRED = ("worst_case", "worst_natural", "clean", "held_robust", "held_accuracy")
"""Figures that are shown first where none is chosen."""
MOST_FIGURES = 2000
DEEPEST = 5
COMMIT = "commit"
"""Setting that is a text: the commit of the code."""
FAR = 50
"""How many times the smallest value of a setting the largest is where the axis is logarithmic."""
CLEAR = 18.0, 30.0
"""Per cent of the plot's width between two ticks, for the labels of numbers and of texts."""
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
    """A run with the figure that is shown of it.

    Args:
        run: of the list.
        figure: of the run.
        at: its value of the setting on the horizontal axis; None where that is time.
    """

    run: ListedRun
    figure: TrendFigure
    at: float | str | None = None


def read_figures(place: str) -> dict[str, TrendFigure]:
    """Read all figures of a run's summary by name, such as `clean`, `worst_case` or `fog-3 accuracy`.

    Those of a training are in its record. A run without a summary, or with a damaged one, has none.

    Args:
        place: of the run, which may come from a stranger.
    """
    run = RunDir(place)
    try:
        record = next((run.read_json(name) for name in (SUMMARY, "harden.json") if run.exists(name)), None)
    except UnshakenError:
        return {}
    found = dict[str, TrendFigure]()
    if not isinstance(record, dict):
        return found
    result = record.get("result")
    held_out = result.get("figures") if isinstance(result, dict) else None
    for part, value in (*((part, record.get(part)) for part in PARTS), ("", held_out)):
        names = (part,) if part == "clean" else ()
        for name, figure in _figures(value, names):
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


def trend_plot(name: str, points: Sequence[TrendPoint], baseline: TrendPoint | None, setting: str = "") -> Plot:
    """A figure of runs against time or a setting, a series for each plan, with the baseline's interval.

    The points of a series are joined where no two of them are at the same place.

    Args:
        name: of the figure.
        points: runs on the same data, at least one; all with a value `at` of the setting, if there is one.
        baseline: run that the others are held against; None for none.
        setting: on the horizontal axis, numbers or texts; empty for the time of the runs' last change.
    """
    ordered = sorted(points, key=lambda one: (one.run.modified, one.run.id))
    places, ticks, words_at = _across(ordered, setting)
    shown = [one.figure for one in (*ordered, *([baseline] if baseline else ()))]
    ends = [end for one in shown for end in (one.value, one.low, one.high) if end is not None]
    share = 0 <= min(ends) <= max(ends) <= 1
    share &= all(wording.is_share(name.rpartition(" ")[2], one.model_dump()) for one in shown)
    most = max(max(ends), 1e-9 if min(ends) > -1e-9 else 0.0)
    height, rows = (plots.down, SHARES) if share else plots.value_axis(min(ends), most)

    def mark(x: float, one: TrendPoint, at: str = "") -> Point:
        figure = one.figure
        low, high = (figure.value if end is None else end for end in (figure.low, figure.high))
        words = f"{one.run.name}{at and ', '}{at}: {figure.text(name)}"
        return Point(x, height(figure.value), height(low), height(high), words)

    by_plan = dict[str, list[Point]]()
    for x, at, one in sorted(zip(places, words_at, ordered, strict=True), key=lambda entry: entry[0]):
        series = f"{setting} " if setting else ""
        by_plan.setdefault(one.run.plan or one.run.kind, []).append(mark(x, one, f"{series}{at}"))
    traces = [replace(plots.curve(plan, i, own), whiskers=True) for i, (plan, own) in enumerate(by_plan.items())]
    if setting:
        traces = [t if len({p.x for p in t.points}) == len(t.points) else replace(t, line="") for t in traces]
    if baseline is not None:
        level = [mark(x, baseline) for x in (0.0, 100.0)]
        traces.append(plots.curve(f"baseline {baseline.run.name}", len(by_plan), level, band=True, marked=False))
    words = "; ".join(f"{one.run.name}: {one.figure.text(name)}" for one in ordered)
    unit = ", %" if share else ""
    axis = {"": "last change of the run, UTC", COMMIT: "commit of unshaken, in the order of its first run"}
    return Plot(f"{name}{unit}", axis.get(setting, setting), ticks, tuple(traces), None, words, rows)


Ticks = tuple[tuple[float, str], ...]


def _across(ordered: Sequence[TrendPoint], setting: str) -> tuple[list[float], Ticks, list[str]]:
    """The place of each point in per cent of the width, ticks, and what each point's place means in words.

    Numbers are on a linear axis, or where all are positive and far apart on a logarithmic one; texts stand beside each
    other in the order in which they first occur.
    """
    values: list[float]
    marks: Sequence[float]
    if any(isinstance(one.at, str) for one in ordered):
        names = list(dict.fromkeys(str(one.at) for one in ordered))
        values, marks = [float(names.index(str(one.at))) for one in ordered], range(len(names))
        texts = {float(i): show_setting(name) for i, name in enumerate(names)}
    elif all(isinstance(one.at, float | int) for one in ordered):
        values = [float(one.at or 0.0) for one in ordered]
        marks = sorted({*values})
        texts = {value: show_setting(value, setting) for value in marks}
    else:
        values = [one.run.modified for one in ordered]
        first, last = min(values), max(values)
        marks = sorted({first, (first + last) / 2, last})
        texts = {value: _moment(value, first, last) for value in (*marks, *values)}
    first, last = min(values), max(values)
    far = isinstance(ordered[0].at, float | int) and first > 0 and last / first > FAR
    spread: Callable[[float], float] = math.log if far else float

    def place(value: float) -> float:
        if last <= first:
            return 50.0
        return EDGE + (100 - 2 * EDGE) * (spread(value) - spread(first)) / (spread(last) - spread(first))

    ticks = list[tuple[float, str]]()
    for value in marks:
        if not ticks or place(value) - ticks[-1][0] >= CLEAR[isinstance(ordered[0].at, str)]:
            ticks.append((place(value), texts[value]))
    return [place(value) for value in values], tuple(ticks), [texts[value] for value in values]


def show_setting(value: float | str, setting: str = "") -> str:
    """A value of a setting: a number in few digits, a commit by its first nine and whether files differed from it.

    >>> show_setting(0.1), show_setting("c55bc709f266b0e8d3691b4715be0ec5a174c96f-dirty")
    ('0.1', 'c55bc709f-dirty')
    >>> show_setting(8 / 255, "pgd eps")
    '8/255'
    """
    if not isinstance(value, str):
        return show_budget(value) if setting.endswith("eps") else f"{value:.6g}"
    name, mark, state = value.partition("-")
    return f"{name[:9]}{mark}{state}"


def _moment(moment: float, first: float, last: float) -> str:
    """A time in UTC: the day, or where all are within two days the hour as well."""
    form = "%Y-%m-%d" if last - first > 2 * 86400 else "%m-%d %H:%M"
    return time.strftime(form, time.gmtime(moment)) if math.isfinite(moment) and 0 <= moment < 2**40 else "–"
