"""Geometry of wide plots, in per cent of the plot's width and height; text and marks keep their size at any width."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unshaken.report import wording
from unshaken.report.drawings import Dot, Lane, Plot, Point, Strip, Strips, Trace

Value = tuple[float, float, float | None, float | None, str]
"""Depth in [0, 1], value, the ends of its interval (None for none or an open one), and the name of the layer."""
Figure = dict[str, Any]
STYLES = 6
"""Colours and shapes of traces; further ones start over."""
WIDTH, HEIGHT = 620, 240
"""The size in pixels for which labels are placed; on narrower screens they are hidden."""
_LETTER, _LINE, _CLEAR, _MARK, _TRIES = 6.6, 14, 13, 8, 4
_FAR, _TICKS = 50, 7
"""Where the last mark is more than this many times the first, the axis is logarithmic; ticks that an axis holds."""


def down(share: float) -> float:
    """The place of a share, per cent from the top."""
    return 100 * (1 - share)


def point(x: float, figure: Figure, text: str, label: str = "") -> Point:
    """A mark of a figure with its interval."""
    return Point(x, down(figure["value"]), down(figure["low"]), down(figure["high"]), text, label)


def curve(name: str, style: int, points: Sequence[Point], *, band: bool = False, marked: bool = True) -> Trace:
    """Make a trace that joins its points."""
    ends = [(p.x, p.high) for p in points] + [(p.x, p.low) for p in reversed(points)]
    line = outline([(p.x, p.y) for p in points])
    return Trace(name, style % STYLES, tuple(points), line, outline(ends) if band else "", marked)


def stairs(name: str, style: int, start: tuple[float, float], points: Sequence[Point]) -> Trace:
    """A trace that keeps its height up to each point, and falls there.

    Args:
        name: whose.
        style: of it.
        start: where it begins, in per cent.
        points: from left to right, falling.
    """
    corners = [start]
    for p in points:
        corners += [(p.x, corners[-1][1]), (p.x, p.y)]
    return Trace(name, style % STYLES, tuple(points), outline(corners))


def passes_axis(least: float, most: float) -> tuple[Callable[[float], float], tuple[tuple[float, str], ...]]:
    """The place of a number of passes, in per cent, and ticks; logarithmic where the marks are far apart.

    Args:
        least: passes of the first mark.
        most: of the last.
    """
    if least <= 0 or most / least <= _FAR:
        return linear_axis(max(most, 1.0))
    return log_axis(least / 2, most)


def log_axis(first: float, last: float) -> tuple[Callable[[float], float], tuple[tuple[float, str], ...]]:
    """The place of a positive number on a logarithmic axis, in per cent, and at most seven ticks.

    Args:
        first: where the axis begins; what is smaller stands there.
        last: where it ends, at least 2.5 times as far, so that it has a tick.
    """

    def place(value: float) -> float:
        return 100 * math.log(max(value, first) / first) / math.log(last / first)

    decades = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    ticks = [t for k in decades for s in (1, 2, 5) if first <= (t := s * 10.0**k) <= last]
    ticks = [t for t in ticks if f"{t:e}".startswith("1")] if len(ticks) > _TICKS else ticks
    return place, tuple((place(t), f"{t:,.0f}" if t >= 1 else f"{t:g}") for t in ticks)


def linear_axis(most: float) -> tuple[Callable[[float], float], tuple[tuple[float, str], ...]]:
    """The place of a number from 0, in per cent, and at most six ticks."""
    unit = 10.0 ** math.floor(math.log10(most / 5))
    step = next(s * unit for s in (1, 2, 2.5, 5, 10) if most / (s * unit) <= 5)

    def place(value: float) -> float:
        return 100 * value / most

    ticks = (step * i for i in range(math.floor(most / step + 1e-9) + 1))
    return place, tuple((place(t), f"{t:.4g}") for t in ticks)


def value_axis(least: float, most: float) -> tuple[Callable[[float], float], tuple[tuple[float, str], ...]]:
    """The place of a value on an axis that holds 0, in per cent from the top, and its lines.

    Args:
        least: the smallest value.
        most: the largest.
    """
    low, high = min(0.0, least), max(0.0, most)
    span = high - low or 1.0
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(s * unit for s in (1, 2, 2.5, 5, 10) if span / (s * unit) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(max(high, low + span) / step - 1e-9)

    def place(value: float) -> float:
        return 100 * (last * step - value) / ((last - first) * step)

    return place, tuple((place(i * step), f"{i * step:.4g}") for i in range(last, first - 1, -1))


def labelled(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """The same with each label where no line of its trace is: above and to the right of a falling mark.

    At the right edge it is below and to the left. One that would stand on another label or mark moves away, and is
    left out where there is no room.
    """
    occupied = [(x - _MARK, x + _MARK, y) for t in traces for p in t.points for x, y in [_pixels(p)]]
    return tuple(replace(t, points=tuple(_place_label(p, occupied) for p in t.points)) for t in traces)


def _place_label(p: Point, occupied: list[tuple[float, float, float]]) -> Point:
    """A mark with its label placed, which then occupies its place."""
    (x, y), width = _pixels(p), _LETTER * len(p.label)
    right = x + _CLEAR + width <= WIDTH
    left_end = x + _CLEAR if right else x - _CLEAR - width
    sign, offset = (-1.0, -_CLEAR + 3.0) if right else (1.0, _CLEAR + 8.0)
    for _ in range(_TRIES):
        middle = y + offset - _LINE / 3
        if not any(left_end < e and s < left_end + width and abs(middle - at) < _LINE for s, e, at in occupied):
            occupied.append((left_end, left_end + width, middle))
            return replace(p, right=_CLEAR if right else -_CLEAR, down=offset)
        offset += sign * _LINE
    return replace(p, label="")


def _pixels(p: Point) -> tuple[float, float]:
    return p.x * WIDTH / 100, p.y * HEIGHT / 100


def outline(places: Sequence[tuple[float, float]]) -> str:
    """Places in per cent as SVG points."""
    return " ".join(f"{round(x, 2):g},{round(y, 2):g}" for x, y in places)


# Differences.


def difference_strips(caption: str, head: str, rows: Sequence[tuple[str, str, Figure, str, tuple[str, ...]]]) -> Strips:
    """Differences of shares as dots with intervals, on an axis that holds the largest; a level one is hollow.

    Args:
        caption: what they show.
        head: of the names.
        rows: name, note, difference in [-1, 1], `better`, `worse` or `level`, and notes on the value.
    """
    ends = [abs(figure[end]) for _, _, figure, _, _ in rows for end in ("low", "high")]
    scale = next(s for s in (0.05, 0.1, 0.2, 0.5, 1.0) if s >= max(ends) or s == 1.0)
    strips = []
    for name, note, figure, tone, value_notes in rows:
        low, value, high = (
            round(50 + 50 * max(-1.0, min(1.0, figure[k] / scale)), 2) for k in ("low", "value", "high")
        )
        text = f"{100 * figure['value']:+.1f}"
        lane = Lane("", (Dot(value, text, tone != "level"),), low, high, tone)
        strips.append(Strip(name, note, (lane,), text, value_notes))
    ticks = (f"−{100 * scale:g}", "0", f"+{100 * scale:g}")
    return Strips(caption, (head, "points"), ticks, tuple(strips), 50)


# Values of layers by depth.


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one quantity by layer, a line of a plot.

    Args:
        name: of it.
        values: from the input to the output.
    """

    name: str
    values: Sequence[Value]


def layer_plot(name: str, series: Sequence[Series], most: float | None = None) -> Plot:
    """Values of layers against their depth.

    Args:
        name: of the plot.
        series: its lines.
        most: the largest value of the axis; None for that of the values and the ends of their intervals.
    """
    ends = [e for s in series for _, value, *limits, _ in s.values for e in (value, *limits) if e is not None]
    up, lines = value_axis(0.0, most or max((e for e in ends if math.isfinite(e)), default=1.0))
    right, ticks = linear_axis(1.0)
    traces = []
    for style, one in enumerate(series):
        points = []
        for depth, value, low, high, layer in sorted(one.values):
            bottom, top = (value if e is None or math.isinf(e) else e for e in (low, high))
            text = f"{one.name}, {layer}: {wording.number(value)}"
            points.append(Point(right(depth), up(value), up(bottom), up(top), text))
        traces.append(curve(one.name, style, points, band=any(v[2] is not None for v in one.values)))
    words = "; ".join(
        f"{s.name}: {', '.join(f'{layer} {wording.number(value)}' for _, value, _, _, layer in sorted(s.values))}"
        for s in series
    )
    return Plot(name, "depth, from the input to the output", ticks, tuple(traces), None, words, lines)
