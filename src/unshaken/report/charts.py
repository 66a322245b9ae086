"""Geometry of the charts; templates draw it as inline SVG. Shares go from 0 at the bottom or left to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Figure = dict[str, Any]

WIDTH, HEIGHT = 232, 150
LEFT, RIGHT, TOP, BOTTOM = 30, 18, 12, 24


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of a chart.

    Args:
        x: place.
        y: place.
        low: place of the interval's lower end on the value's axis.
        high: place of its upper end.
        label: on the other axis.
        text: the value in words.
    """

    x: float
    y: float
    low: float
    high: float
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of marks with its band.

    Args:
        name: whose.
        marks: from left to right.
        line: as SVG points.
        band: the intervals' outline as SVG points.
    """

    name: str
    marks: tuple[Mark, ...]
    line: str
    band: str


def curve(name: str, figures: Sequence[tuple[str, Figure | None]]) -> Curve:
    """A curve over equally spaced steps; steps without a figure are left out.

    Args:
        name: whose.
        figures: label of each step and its share.
    """
    step = (WIDTH - LEFT - RIGHT) / max(1, len(figures) - 1)
    marks = tuple(
        Mark(
            x=round(LEFT + i * step, 1),
            y=height(f["value"]),
            low=height(f["low"]),
            high=height(f["high"]),
            label=label,
            text=f"{100 * f['value']:.1f} %",
        )
        for i, (label, f) in enumerate(figures)
        if f is not None
    )
    outline = [(m.x, m.high) for m in marks] + [(m.x, m.low) for m in reversed(marks)]
    return Curve(name, marks, _points([(m.x, m.y) for m in marks]), _points(outline))


def height(share: float) -> float:
    """The y of a share in a small chart."""
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def steps(labels: Sequence[str]) -> list[tuple[float, str]]:
    """The x and the text of each step of a small chart."""
    step = (WIDTH - LEFT - RIGHT) / max(1, len(labels) - 1)
    return [(round(LEFT + i * step, 1), label) for i, label in enumerate(labels)]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bin of the reliability diagram, in units of 0 to 300 with y down.

    Args:
        x: left edge.
        width: of the bin.
        y: accuracy.
        low: lower end of its interval.
        high: upper end.
        middle: mean confidence.
        weight: height of its column of samples, 0 to 44.
        text: in words.
    """

    x: float
    width: float
    y: float
    low: float
    high: float
    middle: float
    weight: float
    text: str


def reliability(bins: Sequence[dict[str, Any]]) -> list[Bar]:
    """The reliability diagram of a summary's bins."""
    most = max(b["accuracy"]["n"] for b in bins)
    return [
        Bar(
            x=round(300 * b["low"], 1),
            width=round(300 * (b["high"] - b["low"]), 1),
            y=round(300 * (1 - b["accuracy"]["value"]), 1),
            low=round(300 * (1 - b["accuracy"]["low"]), 1),
            high=round(300 * (1 - b["accuracy"]["high"]), 1),
            middle=round(300 * b["confidence"], 1),
            weight=round(44 * b["accuracy"]["n"] / most, 1),
            text=f"confidence {100 * b['low']:.0f} to {100 * b['high']:.0f} %: mean {100 * b['confidence']:.1f} %, "
            f"right {100 * b['accuracy']['value']:.1f} % of {b['accuracy']['n']}",
        )
        for b in bins
    ]


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)
