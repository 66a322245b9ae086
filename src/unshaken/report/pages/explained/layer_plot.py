"""A plot of values by depth, a line a series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unshaken.report import wording
from unshaken.report.drawings import Plot, Point
from unshaken.report.figures.plots import curve, linear_axis, value_axis

Value = tuple[float, float, float | None, float | None, str]
"""Depth in [0, 1], value, the ends of its interval (None for none or an open one), and the name of the layer."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a plot.

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
            points.append(Point(round(right(depth), 2), up(value), up(bottom), up(top), text))
        traces.append(curve(one.name, style, points, band=any(v[2] is not None for v in one.values)))
    words = "; ".join(
        f"{s.name}: {', '.join(f'{layer} {wording.number(value)}' for _, value, _, _, layer in sorted(s.values))}"
        for s in series
    )
    return Plot(name, "depth, from the input to the output", ticks, tuple(traces), None, words, lines)
