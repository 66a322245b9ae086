"""Trends on a row's page: a picture of an effect along a parameter, and whether it rises."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from unshaken.papers.claim import Outcome
from unshaken.papers.pictures import MARGIN, STYLE, WIDTH, short, ticks
from unshaken.papers.result import PaperResult
from unshaken.papers.trend import Curve, Trend, TrendPoint

HEIGHT, TOP, FOOT, LEFT = 240, 44, 44, 64
"""Of a picture: its height, the space above and below the points, and the place of the axis."""


def open_curves(result: PaperResult, trends: Sequence[Trend]) -> Iterator[tuple[str, Trend, Curve]]:
    """The curves of parts that are not shown, each with the name of its picture.

    Args:
        result: of the row.
        trends: that are kept beside it.
    """
    left = {part.name for part in result.parts if part.outcome != Outcome.SHOWN}
    for trend in trends:
        numbers: dict[str, int] = {}
        for curve in trend.curves:
            numbers[curve.part] = number = numbers.get(curve.part, 0) + 1
            if curve.part in left:
                yield f"trend-{trend.parameter}-{curve.part}{f'-{number}' if number > 1 else ''}.svg", trend, curve


def trend_lines(picture: str, trend: Trend, curve: Curve, along: str) -> list[str]:
    """What the page of a row says of one trend, with its picture.

    Args:
        picture: its file.
        trend: that the curve is of.
        curve: of one check.
        along: the words for the axis.
    """
    first, last, slope = curve.points[0], curve.points[-1], curve.slope()
    text = (
        f"Trend ({trend.scale} scale, seed {trend.seed}): {curve.words}: {_figure(first)} where {along} is {first.at:g}"
    )
    text += f", {_figure(last)} where it is {last.at:g}"
    if slope is not None:
        kind = (
            "It rises" if slope["low"] > 0 else "It falls" if slope["high"] < 0 else "Neither rise nor fall is visible"
        )
        ends = f"{slope['value']:+.3g} ({slope['low']:+.3g} to {slope['high']:+.3g})"
        text += f". {kind}: {ends} with each doubling"
    return [f"![{curve.words}, along {along}]({picture})", "", f"{text}.", ""]


def _figure(point: TrendPoint) -> str:
    ends = "" if point.low is None or point.high is None else f" ({short(point.low)} to {short(point.high)})"
    return f"{short(point.value)}{ends}"


def draw_curve(trend: Trend, curve: Curve, along: str) -> str:
    """An SVG document: a dot for each run with a line for its interval, along an axis of doublings where places allow.

    Args:
        trend: that the curve is of.
        curve: two points at least.
        along: the words below the axis.
    """
    doublings = min(p.at for p in curve.points) > 0
    places = [math.log2(p.at) if doublings else p.at for p in curve.points]
    ends = [end for p in curve.points for end in (p.value, p.low, p.high) if end is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    high = high if high > low else low + 1
    first, reach = places[0], (places[-1] - places[0]) or 1

    def across(place: float) -> float:
        return round(LEFT + 12 + (place - first) / reach * (WIDTH - LEFT - 12 - 2 * MARGIN), 1)

    def up(value: float) -> float:
        return round(HEIGHT - FOOT - (value - low) / (high - low) * (HEIGHT - FOOT - TOP), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(curve.words)}, along {escape(along)}</title>",
        STYLE,
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>',
        f'<text class="label" x="{MARGIN}" y="22">{escape(_cut(curve.words))}</text>',
    ]
    for tick in ticks(low, high):
        kind = "grid" if tick else "zero"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - MARGIN}" y1="{up(tick)}" y2="{up(tick)}"/>')
        parts.append(f'<text class="small" x="{LEFT - 6}" y="{up(tick) + 4}" text-anchor="end">{tick:.4g}</text>')
    for point, place in zip(curve.points, places, strict=True):
        x = across(place)
        if point.low is not None and point.high is not None:
            parts.append(f'<line class="bar" x1="{x}" x2="{x}" y1="{up(point.low)}" y2="{up(point.high)}"/>')
        parts.append(f'<circle class="dot" cx="{x}" cy="{up(point.value)}" r="4.5"/>')
        parts.append(f'<text class="small" x="{x}" y="{HEIGHT - 26}" text-anchor="middle">{point.at:.4g}</text>')
    middle = (LEFT + WIDTH - MARGIN) / 2
    parts.append(f'<text class="small" x="{middle:g}" y="{HEIGHT - 9}" text-anchor="middle">{escape(along)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _cut(words: str, most: int = 76) -> str:
    return words if len(words) <= most else f"{words[: most - 3].rstrip()}..."
