"""The at most ten figures that the page of a paper shows, as its result names them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from unshaken.papers.paper import Headline
from unshaken.papers.result import PaperResult

MOST, FEW = 10, 6
"""Figures a page shows at most; and of a result that names none."""


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


def shown_figures(result: PaperResult) -> list[PageFigure]:
    """The figures that a result names under `headline`, as far as they were measured.

    Of a result that names none: those something was expected of, then those with an interval, then the shortest names.

    Returns:
        At most ten; the first is the one on which the claim rests.
    """
    measured = {name: value for name, value in result.measured.items() if _is_number(value)}
    named = result.headline or [Headline(name, name, "") for name in _most_telling(measured, result.expected)[:FEW]]
    found = [_shown(h, measured, result.expected) for h in named]
    return [figure for figure in found if figure is not None][:MOST]


def _shown(headline: Headline, measured: Mapping[str, Any], expected: Mapping[str, Any]) -> PageFigure | None:
    """The figure of a name; of a name with `*` the mean over the seeds, with the outermost ends of their intervals."""
    pattern = re.compile(re.escape(headline.name).replace(r"\*", r"[^.]+"))
    names = [name for name in measured if pattern.fullmatch(name)]
    if not names:
        return None
    words = ", ".join(dict.fromkeys(_text(expected[name]) for name in names if name in expected))
    if len(names) > 1:
        every = [_whole(measured[name]) for name in names]
        bounded = all(figure["low"] is not None and figure["high"] is not None for figure in every)
        kind = f"{'outermost ends of the intervals' if bounded else 'range'} of {len(every)} seeds"
        low, high = (end(f[key if bounded else "value"] for f in every) for end, key in ((min, "low"), (max, "high")))
        mean = sum(figure["value"] for figure in every) / len(every)
        return PageFigure(headline.title, headline.unit, mean, low, high, len(every), kind, words)
    figure = _whole(measured[names[0]])
    return PageFigure(headline.title, headline.unit, **figure, expected=words)


def _most_telling(measured: Mapping[str, Any], expected: Mapping[str, Any]) -> Sequence[str]:
    bounded = sorted((name for name, value in measured.items() if isinstance(value, Mapping)), key=len)
    return list(dict.fromkeys([*(n for n in measured if n in expected), *bounded, *sorted(measured, key=len)]))


def _text(expected: Any) -> str:
    return f"{expected:.4g}" if isinstance(expected, float) else str(expected)


def _is_number(value: Any) -> bool:
    whole = value.get("value") if isinstance(value, Mapping) else value
    return isinstance(whole, int | float) and not isinstance(whole, bool)


def _whole(figure: Any) -> dict[str, Any]:
    """A figure or a plain number, by the names of a figure."""
    plain = {"value": figure, "low": None, "high": None, "n": None, "interval": ""}
    return {**figure} if isinstance(figure, Mapping) else plain
