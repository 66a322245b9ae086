"""Plots of detectors: AUROC against time, densities of scores, ROC curves with bands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from unshaken.measure.detection.ranking import RocBand, roc_band
from unshaken.report import wording
from unshaken.report.cells import Row
from unshaken.report.drawings import Plot, Point, Trace
from unshaken.report.figures import plots
from unshaken.report.figures.detected import RESAMPLES, split_of
from unshaken.report.read.scores import NORMAL, Numbers, RunScores
from unshaken.report.sections._detectors import by_auroc, chosen, front, milliseconds, set_name, sets_of

Data = Mapping[str, Any]

_BINS, _TAIL, _ROOM = 36, 0.005, 1.05
_WIDE = 2.0  # times the longest time, so that there is room for its name
_FASTEST = 1e-4  # milliseconds; no clock tells less apart
_MOST = 4  # ROC plots shown
_RATES = 48
_FLOOR = 1e-3


def front_plot(data: Data) -> Plot | None:
    """Mean AUROC against the time of a sample, numbered as in the table; the front is joined. None below two."""
    rated = [d for d in by_auroc(data) if d["auroc"]]
    if len(rated) < 2:
        return None
    times = [max(d["cost"]["milliseconds"], _FASTEST) for d in rated]
    place, ticks = plots.log_axis(min(times) / _WIDE, max(times) * _WIDE)
    floor = math.floor(20 * min(d["auroc"]["low"] for d in rated)) / 20

    def down(share: float) -> float:
        return round(100 * (1 - share) / (1 - floor), 2) if floor < 1 else 0.0

    marks = []
    for one, time in zip(rated, times, strict=True):
        area = one["auroc"]
        text = f"{one['condition']}: {wording.percent(area['value'])} at {milliseconds(time)}"
        ends = down(area["value"]), down(area["low"]), down(area["high"])
        marks.append(Point(round(place(time), 2), *ends, text, one["condition"]))
    ahead = front(data)
    joined = sorted((m.x, m.y) for m, d in zip(marks, rated, strict=True) if d["condition"] in ahead)
    trace = Trace("no other is both better and faster", 0, tuple(marks), plots.outline(joined))
    rows = tuple((down(s), f"{100 * s:.0f}") for s in np.linspace(floor, 1, 5))
    words = "; ".join(m.text for m in marks)
    name, axis = (
        "Mean AUROC against time, %",
        "milliseconds a sample beyond the shared pass, logarithmic; numbers are those of the table",
    )
    return Plot(name, axis, ticks, plots.labelled([trace]), None, f"{name}. {words}", rows, numbered=True)


def densities(data: Data, scores: RunScores) -> list[Plot]:
    """How the scores of each set lie beside those of normal samples, one plot a chosen detector."""
    return [p for name in chosen(data) if (p := _density(data, scores, name)) is not None]


def _density(data: Data, scores: RunScores, name: str) -> Plot | None:
    record = next(d for d in data["detection"] if d["condition"] == name)
    sets = scores.sets[name]
    groups = [g for g in record["groups"] if len(sets[split_of(g)].values)][: plots.STYLES - 1]
    if not len(sets[NORMAL].values):
        return None
    columns = {"normal": sets[NORMAL].values} | {set_name(g): sets[split_of(g)].values for g in groups}
    low = min(float(np.quantile(v, _TAIL)) for v in columns.values())
    high = max(float(np.quantile(v, 1 - _TAIL)) for v in columns.values())
    if not low < high:
        return None
    edges = np.linspace(low, high, _BINS + 1)
    shares = {k: np.histogram(v.clip(low, high), edges)[0] / len(v) for k, v in columns.items()}
    peak = max(float(s.max()) for s in shares.values()) * _ROOM

    def place(score: float) -> float:
        return round(100 * (score - low) / (high - low), 2)

    traces = [_hills(k, i, s / peak) for i, (k, s) in enumerate(shares.items())]
    ticks = tuple((place(t), f"{t:.3g}") for t in np.linspace(low, high, 5))
    ends = [e for e in record["boundary"].values() if e is not None]
    middle = float(np.mean(ends)) if len(ends) == 2 else None
    marker = (place(middle), "threshold") if middle is not None and low <= middle <= high else None
    words = "; ".join(f"half of {k} lie below {np.median(v):.4g}" for k, v in columns.items())
    axis = "score; further right is more abnormal"
    return Plot(name, axis, ticks, tuple(traces), None, f"{name}. {words}", ((100.0, ""),), marker)


def _hills(name: str, style: int, heights: Numbers) -> Trace:
    """A histogram as an outline with steps."""
    corners, width = [(0.0, 100.0)], 100 / len(heights)
    for i, height in enumerate(heights.tolist()):
        y = round(100 * (1 - height), 2)
        corners += [(round(i * width, 2), y), (round((i + 1) * width, 2), y)]
    corners.append((100.0, 100.0))
    line = plots.outline(corners)
    return Trace(name, style, (), line, line if not style else "", marked=False)


def curves(data: Data, scores: RunScores) -> list[Plot]:
    """ROC curves with bands of the chosen detectors, one plot a set; false alarms on a logarithmic axis."""
    return [p for g in sets_of(data)[:_MOST] if (p := _curves(data, scores, g)) is not None]


def _curves(data: Data, scores: RunScores, group: Row) -> Plot | None:
    split, bands = split_of(group), dict[str, RocBand]()
    for name in chosen(data):
        sets = scores.sets[name]
        if split in sets and len(sets[NORMAL].values) and len(sets[split].values):
            floor = max(_FLOOR, 10 ** math.floor(math.log10(1 / len(sets[NORMAL].values))))
            grid = np.geomspace(min(floor, 0.01), 1, _RATES)
            bands[name] = roc_band(sets[NORMAL].values, sets[split].values, grid=grid, resamples=RESAMPLES)
    if not bands:
        return None
    least = min(float(b.false_alarm_rate[0]) for b in bands.values())
    decades = round(-math.log10(least))

    def place(rate: float) -> float:
        return round(100 * (1 + math.log10(rate) / decades), 2)

    traces = []
    for style, (name, band) in enumerate(bands.items()):
        columns = zip(band.false_alarm_rate, band.detection_rate, band.low, band.high, strict=True)
        points = [
            Point(place(float(x)), plots.down(float(y)), plots.down(float(lo)), plots.down(float(hi)), "")
            for x, y, lo, hi in columns
        ]
        traces.append(plots.curve(name, style, points, band=True, marked=False))
    ticks = tuple((place(10.0**-k), f"{100 * 10.0**-k:g}") for k in range(decades, -1, -1))
    words = "; ".join(f"{n}: {wording.percent(_at(b, 0.05))} at 5 % false alarms" for n, b in bands.items())
    name = set_name(group)
    return Plot(name, "false alarms, % of normal images", ticks, tuple(traces), None, f"{name}. {words}")


def _at(band: RocBand, rate: float) -> float:
    return float(band.detection_rate[np.searchsorted(band.false_alarm_rate, rate + 1e-9, side="right") - 1])
