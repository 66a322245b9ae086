"""The at most ten figures that the page of a paper shows, chosen by rule from the result's JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

MOST, LEAST = 10, 6
"""Figures a page shows at most; and up to how many it is filled with figures that no part of the rule quotes."""

_VERDICT = re.compile(r"(Did not hold|Held): (.*?)\.(?= |$)")
_NUMBER = re.compile(r"(?<![\w.])([+-]?)(\d+\.\d+)(?![\w.]*\d)")
_SETTING = re.compile(r"(eps|at|weight|sigma|ratio|T =) $")
_BOUND = re.compile(r" (\w+ )?(allowed|needed|wanted)")
_SEED = re.compile(r"(^|\.)(seed\d+|s\d+$)")
_EFFECT = re.compile(r"minus|gain|change|difference|above|drop|advantage|lift|speed_up|recovered|gap")


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as a page shows it.

    Args:
        name: dotted, its key in the JSON.
        value: measured.
        low: lower end of the interval, if it has one.
        high: upper end.
        n: samples or seeds.
        interval: what kind of interval.
        expected: what was expected before the run, as text; empty if nothing was.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    interval: str
    expected: str

    @property
    def expected_value(self) -> float | None:
        """The number at the start of what was expected.

        >>> Shown("rate", 0.5, None, None, None, "", "0.63 (pilot)").expected_value
        0.63
        """
        found = re.match(r"[+-]?\d+(\.\d+)?(?= |$)", self.expected)
        return float(found.group()) if found else None


def checks_of(note: str) -> tuple[list[tuple[bool, str]], str]:
    """Split a result's note into the parts of its rule and the remarks.

    Args:
        note: as `run_paper` writes it.

    Returns:
        Whether each part held, with its words; and what follows.

    >>> checks_of("Did not hold: a 0.1. Held: b; c. The rest.")
    ([(False, 'a 0.1'), (True, 'b'), (True, 'c')], 'The rest.')
    """
    checks, end = [], 0
    while found := _VERDICT.match(note, end):
        checks += [(found[1] == "Held", words) for words in found[2].split("; ")]
        end = found.end() + 1
    return checks, note[end:].strip()


def choose_figures(result: Mapping[str, Any]) -> list[Shown]:
    """Choose what the page shows.

    First the figures that the result names itself under `headline`; without these the figures whose numbers stand in
    the parts of the rule, a few of each part; then those something was expected of; then those with an interval, the
    shortest names first. Of figures that differ by the seed alone the first is shown.

    Args:
        result: the JSON of a result.

    Returns:
        At most ten figures.
    """
    measured = result["measured"]
    numeric = {name: value for name, value in measured.items() if _is_number(value)}
    names = [name for name in result.get("headline", ()) if name in numeric]
    if not names:
        checks, _ = checks_of(result["note"])
        quoted = _quoted(numeric, [words for _, words in checks])
        rest = _others(numeric, result["expected"])
        names = quoted if len(quoted) >= LEAST else _one_seed([*quoted, *rest])[:LEAST]
    return [_shown(name, numeric[name], result["expected"].get(name)) for name in names[:MOST]]


def effect_of(figures: Sequence[Shown]) -> Shown | None:
    """The figure that stands for a paper in the table of all.

    Args:
        figures: those of the page, in its order.

    Returns:
        The first whose name says that it compares, one with an interval if there is; else the first with an interval;
        else the first.
    """
    ranks = ((_EFFECT.search(f.name) is None, f.low is None, i) for i, f in enumerate(figures))
    return figures[min(ranks)[-1]] if figures else None


def _is_number(value: Any) -> bool:
    value = value.get("value") if isinstance(value, Mapping) else value
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(figure: Any) -> float:
    return float(figure["value"] if isinstance(figure, Mapping) else figure)


def _one_seed(names: Sequence[str]) -> list[str]:
    """Of names that differ by the seed alone, the first."""
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(_SEED.sub(r"\1seed", name), name)
    return list(kept.values())


def _quoted(measured: Mapping[str, Any], checks: Sequence[str]) -> list[str]:
    """Figures whose values the parts of the rule quote, in their order: one of each part, then a second of each."""
    found = [list(_quoted_by(measured, words)) for words in checks]
    by_turns = [name for turn in zip_longest(*found) for name in turn if name is not None]
    chosen = _one_seed(by_turns)[:MOST]
    return [name for name in dict.fromkeys(name for names in found for name in names) if name in chosen]


def _quoted_by(measured: Mapping[str, Any], words: str) -> Iterator[str]:
    """The figures that one part of a rule quotes: their value as it is written there, and a name that fits best."""
    said = set(re.findall(r"[a-z]+|\d+(?:\.\d+)?", words.lower()))
    scales = (1, 100) if "%" in words or "points" in words else (1,)
    for number in _NUMBER.finditer(words):
        sign, written = number.groups()
        is_setting = not sign and _SETTING.search(words[: number.start()])
        decimals = len(written.partition(".")[2])
        is_coarse = decimals < 3 and len(written.replace(".", "").lstrip("0")) < 2
        if is_setting or is_coarse or _BOUND.match(words[number.end() :]):
            continue
        fits = [
            (_SEED.search(name) is not None and "seed" not in words, -_overlap(name, said), len(name), name)
            for name, figure in measured.items()
            if not isinstance(figure, int)
            and any(abs(abs(_value(figure)) * s - float(written)) <= 0.501 * 10.0**-decimals for s in scales)
        ]
        if fits and min(fits)[1] < 0:
            yield min(fits)[-1]


def _overlap(name: str, said: set[str]) -> float:
    """The share of a name's words that a text says, in whole or in their first four letters, and of its numbers."""
    starts = {word[:4] for word in said if len(word) > 3}
    rest, numbers = name.lower(), 0
    for word in sorted((word for word in said if word[0].isdigit()), key=lambda word: (-len(word), word)):
        rest, found = re.subn(rf"(?<!\d){re.escape(word)}(?!\d)", " ", rest, count=1)
        numbers += found
    parts = re.findall(r"[a-z]+|\d+", rest)
    matched = sum(part in said or (len(part) > 3 and part[:4] in starts) for part in parts)
    return (matched + numbers) / (len(parts) + numbers)


def _others(measured: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Figures that the rule quotes nowhere, the most telling first."""
    awaited = [name for name in measured if name in expected]
    bounded = sorted((n for n, value in measured.items() if isinstance(value, Mapping)), key=len)
    return [*awaited, *bounded, *sorted(measured, key=len)]


def _shown(name: str, figure: Any, expected: Any) -> Shown:
    said = "" if expected is None else f"{expected:.4g}" if isinstance(expected, float) else str(expected)
    if not isinstance(figure, Mapping):
        return Shown(name, float(figure), None, None, None, "", said)
    return Shown(name, float(figure["value"]), figure["low"], figure["high"], figure["n"], figure["interval"], said)
