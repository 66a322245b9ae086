"""Pictures of figures: a dot for each, a line for its interval, a diamond for what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A figure as a page shows it.

    Args:
        title: in plain words.
        unit: of the value; empty if unknown.
        value: measured, or the mean over seeds.
        low: lower end of the interval, if it has one.
        high: upper end.
        n: samples or seeds.
        interval: what kind of interval.
        expected: what was expected before the run, as text; empty if nothing was.
    """

    title: str
    unit: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    interval: str = ""
    expected: str = ""

    @property
    def ends(self) -> str:
        """The interval as text; empty if it has none."""
        return "" if self.low is None or self.high is None else f"{short(self.low)} to {short(self.high)}"

    @override
    def __str__(self) -> str:
        """The value with its interval and unit, such as `0.386 (0.344 to 0.428) accuracy`."""
        return f"{short(self.value)}{f' ({self.ends})' if self.ends else ''} {self.unit}".rstrip()

    @property
    def expected_value(self) -> float | None:
        """The number at the start of what was expected.

        >>> PageFigure("Rate", "accuracy", 0.5, expected="0.63 (pilot)").expected_value
        0.63
        """
        found = re.match(r"[+-]?\d+(\.\d+)?(?=[ ,]|$)", self.expected)
        return float(found.group()) if found else None


def short(value: float) -> str:
    """Three digits, four above 1000; five decimals at most.

    >>> short(0.38641), short(1100.0), short(-0.000042), short(-1e-9)
    ('0.386', '1100', '-0.00004', '0')
    """
    if abs(value) >= 1000:
        return f"{value:.0f}"
    decimals = f"{value:.5f}".rstrip("0").rstrip(".")
    return f"{value:.3g}" if abs(value) >= 1e-3 else "0" if decimals == "-0" else decimals


WIDTH, MARGIN, ROW, TOP, FOOT = 520, 16, 36, 34, 46

STYLE = """<style>
.card { fill: #ffffff; stroke: #d0d7de } .label { fill: #1f2328; font: 12px sans-serif }
.small { fill: #57606a; font: 11px sans-serif } .grid { stroke: #d8dee4 } .zero { stroke: #8c959f }
.bar { stroke: #0969da; stroke-width: 3; stroke-linecap: round } .dot { fill: #0969da }
.wanted { fill: none; stroke: #bc4c00; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
.card { fill: #161b22; stroke: #30363d } .label { fill: #e6edf3 } .small { fill: #9da7b3 }
.grid { stroke: #2a313a } .zero { stroke: #768390 } .bar { stroke: #58a6ff } .dot { fill: #58a6ff }
.wanted { stroke: #ffa657 } }
</style>"""


def drawable(figures: Sequence[PageFigure]) -> list[PageFigure]:
    """The figures that one axis can hold: those in the most common unit; of two equally common ones, the first.

    Args:
        figures: those of the page, at least one.
    """
    units = [f.unit for f in figures]
    common = max(units, key=units.count)
    return [f for f in figures if f.unit == common]


def draw_figures(figures: Sequence[PageFigure]) -> str:
    """Draw a dot for each figure, a line for its interval, a diamond for what was expected.

    Args:
        figures: at least one, in one unit.

    Returns:
        An SVG document 520 units wide, with a background of its own, for light and dark pages.
    """
    low = min(0.0, *(v for f in figures for v in _values(f)))
    high = max(0.0, *(v for f in figures for v in _values(f)))
    high = high if high > low else low + 1
    bottom = TOP + ROW * len(figures)

    def across(value: float) -> float:
        return round(MARGIN + (value - low) / (high - low) * (WIDTH - 2 * MARGIN), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + FOOT}" role="img">',
        "<title>Measured figures with their intervals, and what was expected</title>",
        STYLE,
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom + FOOT - 1}" rx="6"/>',
        *_legend(figures),
    ]
    for tick in ticks(low, high):
        x = across(tick)
        parts.append(f'<line class="{"grid" if tick else "zero"}" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        anchor = "start" if x < 2 * MARGIN else "end" if x > WIDTH - 2 * MARGIN else "middle"
        parts.append(f'<text class="small" x="{x}" y="{bottom + 18}" text-anchor="{anchor}">{tick:.4g}</text>')
    unit = escape(figures[0].unit)
    parts.append(f'<text class="small" x="{WIDTH / 2:g}" y="{bottom + 36}" text-anchor="middle">{unit}</text>')
    for i, figure in enumerate(figures):
        y = TOP + ROW * i
        middle = y + 26
        parts.append(f'<text class="label" x="{MARGIN}" y="{y + 14}">{escape(figure.title)}</text>')
        parts.append(
            f'<text class="label" x="{WIDTH - MARGIN}" y="{y + 14}" text-anchor="end">{short(figure.value)}</text>'
        )
        if figure.low is not None and figure.high is not None:
            ends = f'x1="{across(figure.low)}" x2="{across(figure.high)}"'
            parts.append(f'<line class="bar" {ends} y1="{middle}" y2="{middle}"/>')
        parts.append(f'<circle class="dot" cx="{across(figure.value)}" cy="{middle}" r="4.5"/>')
        if figure.expected_value is not None:
            parts.append(_diamond(across(figure.expected_value), middle))
    return "\n".join([*parts, "</svg>", ""])


def _legend(figures: Sequence[PageFigure]) -> list[str]:
    y = 18
    parts = [
        f'<line class="bar" x1="{MARGIN}" x2="{MARGIN + 24}" y1="{y}" y2="{y}"/>',
        f'<circle class="dot" cx="{MARGIN + 12}" cy="{y}" r="4.5"/>',
        f'<text class="small" x="{MARGIN + 32}" y="{y + 4}">measured, with interval</text>',
    ]
    if any(f.expected_value is not None for f in figures):
        parts += [_diamond(MARGIN + 190, y), f'<text class="small" x="{MARGIN + 202}" y="{y + 4}">expected</text>']
    return parts


def _diamond(x: float, y: float) -> str:
    return f'<path class="wanted" d="M{x} {y - 6}l6 6l-6 6l-6 -6z"/>'


def _values(figure: PageFigure) -> list[float]:
    return [v for v in (figure.value, figure.low, figure.high, figure.expected_value) if v is not None]


def ticks(low: float, high: float) -> list[float]:
    """Round values from low to high, about four steps apart."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    return [round(i * step, 10) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
