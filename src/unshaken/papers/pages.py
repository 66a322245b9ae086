"""The pages of papers: one table of all, and a page for each with its figures and a picture, from results alone."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from typing_extensions import override

from unshaken.papers.claim import Check, Outcome
from unshaken.papers.folders import find_row, row_folders
from unshaken.papers.paper import Headline, Scale
from unshaken.papers.record import sessions_in_words
from unshaken.papers.result import RESULT, PaperResult, own_parameters
from unshaken.store.run_dir import RunDir

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


WIDTH, MARGIN, ROW, TOP, FOOT = 520, 16, 36, 34, 46

_STYLE = """<style>
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
        _STYLE,
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom + FOOT - 1}" rx="6"/>',
        *_legend(figures),
    ]
    for tick in _ticks(low, high):
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


def _ticks(low: float, high: float) -> list[float]:
    """Round values from low to high, about four steps apart."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw)
    return [round(i * step, 10) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


MARK = "<!-- Written by `unshaken papers table` from result.json. -->"
PAGE, PICTURE = "README.md", "picture.svg"

OUTDATED = "This result is of an earlier form of the row, whose figures it does not have: it is to be made again."

HEAD = """# Papers

Each row is a published claim, tried by a small experiment of this package. A claim has parts, each with a rule that
decides by intervals: a part is *shown*, *contradicted*, *not visible at this scale*, or *not tried*. A row is
reproduced if all parts are shown that the title's claim rests on. That a part does not show here does not say that it
is wrong.
Each row has its page, with the parts and their rules, a picture, the main figures and what differs from the paper.
`unshaken papers run ROW` tries the same parts at the quick scale, about ten minutes on two cores or less;
`--scale full` tries them on more images and seeds. A verdict of another scale than the full one says which.
`unshaken papers new NAME` writes [a row of your own](rows.md), and `unshaken papers run ./NAME` runs it.
"""


def write_pages(results: Sequence[PaperResult], folder: Path, out: Path, *, outdated: Set[str] = frozenset()) -> str:
    """Write the table, and a page and a picture beside each result.

    Args:
        results: in the order of the table.
        folder: holds a folder for each row, with its `result.json`.
        out: file of the table.
        outdated: slugs of results whose figures do not fit the rules of now.

    Returns:
        The table, Markdown.
    """
    for result in results:
        place = RunDir(folder / result.folder)
        figures = shown_figures(result)
        if figures:
            place.write(draw_figures(drawable(figures)).encode(), PICTURE)
        else:
            (folder / result.folder / PICTURE).unlink(missing_ok=True)
        place.write(page_of(result, figures, outdated=result.slug in outdated).encode(), PAGE)
    text = table_of(results, Path(os.path.relpath(folder, out.parent)).as_posix(), outdated=outdated)
    RunDir(out.parent).write(text.encode(), out.name)
    return text


def table_of(results: Sequence[PaperResult], folder: str, *, outdated: Set[str] = frozenset()) -> str:
    """The table of all results.

    Args:
        results: in the order of the table.
        folder: that holds the rows' folders, relative to the table.
        outdated: slugs of results whose figures do not fit the rules of now; they do not count.
    """
    now = [result for result in results if result.slug not in outdated]
    count = f"{sum(result.reproduced for result in now)} of {len(now)} are reproduced."
    if outdated:
        count += f" {len(outdated)} more are of an earlier form of their row, and are to be made again."
    lines = [
        HEAD,
        count,
        "",
        "| row | claim | verdict | parts shown | effect | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        effect = next(iter(shown_figures(result)), None)
        cells = [
            f"[{result.slug}]({folder}/{result.folder}/{PAGE})",
            result.summary or result.claim,
            f"{_verdict(result)}, by earlier rules" if result.slug in outdated else _verdict(result),
            _shares(result),
            f"{effect.title}: {effect}" if effect else "",
            f"{result.seconds / 60:.0f}" if result.seconds >= 60 else "under 1",
        ]
        lines.append(_row(cells))
    lines += [
        "",
        "The effect is the figure on which the claim rests, with its interval if it has one (the page says which).",
        "",
        "```{toctree}",
        ":hidden:",
        ":glob:",
        "",
        "papers/*",
        "```",
        "",
    ]
    return "\n".join(lines)


def page_of(result: PaperResult, figures: Sequence[PageFigure], *, outdated: bool = False) -> str:
    """The page of one result.

    Args:
        result: of a paper.
        figures: those that the page shows.
        outdated: whether the row's rules have changed so that these figures cannot be judged by them.
    """
    verdict = f"**Verdict: {_verdict(result)}.**"
    if len(result.parts) > 1:
        verdict += f" {_counted(result)}."
    if figures:
        verdict += f" {figures[0].title}: {figures[0]}."
    lines = [
        f"# {result.title}",
        "",
        MARK,
        "",
        *([f"![Measured figures with their intervals]({PICTURE})", ""] if figures else []),
        verdict,
        "",
        f"**Claim.** {result.claim}",
        "",
        *(text for sentence in result.seen_in_training for text in (f"**Seen in training.** {sentence}", "")),
        *([OUTDATED, ""] if outdated else []),
        *_parts(result),
        *_figures(figures),
        "## What differs from the paper",
        "",
        f"- Here: data `{result.data}`, model `{result.model}`, seed {result.seed}, {_scale(result)}.",
    ]
    if "published" in result.expected:
        lines.append(f"- Published: {result.expected['published']}.")
    lines += [f"- {sentence}" for sentence in result.differs]
    if result.remark:
        lines += ["", "## Remarks", "", result.remark]
    kept = result.provenance.get("parameters") if result.slug in row_folders() and not outdated else None
    own = ",".join(own_parameters(find_row(result.slug)(**kept))) if kept and not result.scale else ""
    again = shlex.quote(f"{result.slug}:{own}") if own else result.slug
    again += f" --scale {result.scale}" if result.scale else ""
    again += f" --seed {result.seed}" if result.seed else ""
    lines += [
        "",
        "## Run it again",
        "",
        "```sh",
        f"unshaken papers run {again}",
        "```",
        "",
        f"It took {result.seconds / 60:.1f} minutes. All {len(result.measured)} figures: [{RESULT}]({RESULT}).",
        *sessions_in_words(result.provenance),
        "",
    ]
    return "\n".join(lines)


def _shares(result: PaperResult) -> str:
    """How many of the parts are shown, and which are contradicted or were not tried."""
    names: dict[Outcome, list[str]] = {}
    for part in result.parts:
        names.setdefault(part.outcome, []).append(part.name)
    shown = f"{len(names.get(Outcome.SHOWN, []))} of {len(result.parts)}" if result.parts else ""
    rest = [f"{outcome}: {', '.join(names[outcome])}" for outcome in list(Outcome)[1:] if outcome in names]
    return "; ".join([shown, *rest]) if len(result.parts) > 1 else shown


def _counted(result: PaperResult) -> str:
    """How many parts of the claim have each outcome.

    A part that the title's claim does not rest on counts too.
    """
    found = Counter(part.outcome for part in result.parts)
    counts = ", ".join(f"{found[outcome]} {outcome}" for outcome in Outcome if found[outcome])
    return f"Of {len(result.parts)} parts of the claim: {counts}"


def _parts(result: PaperResult) -> list[str]:
    """Each part of the claim with its outcome, and folded away its rule and what was met; of old results the rule."""
    if not result.parts:
        rule = f"**Rule**, written before the run. {result.expected.get('rule', 'None was stated.')}"
        return [rule, "", *(f"- {_met(check)}: {check.words}" for check in result.checks), ""]
    lines: list[str] = []
    for number, part in enumerate(result.parts, 1):
        note = "" if part.central else " (beside the title's claim)"
        lines.append(f"{number}. {part.statement} **{str(part.outcome).capitalize()}**{note}.")
        if part.untried:
            inner = [f"Not tried: {part.untried}", ""]
        else:
            own = [check for check in result.checks if check.part == part.name]
            power = f"A value of {short(part.smallest or 0)} would have been shown in four of five repetitions."
            inner = [
                *("", "<details><summary>The rule, and what was met</summary>", "", f"Rule: {part.rule}"),
                *([power] if part.smallest is not None else []),
                *("", *(f"- {_met(check)}: {check.words}" for check in own), "", "</details>", ""),
            ]
        lines += [f"{' ' * len(f'{number}. ')}{line}".rstrip() for line in inner]
    when = {
        True: "Parts, rules and settings are as they stood before the first row.",
        False: "Parts or rules were written anew after the run; its figures are as they were.",
    }
    return [*lines, when[bool(result.frozen) and result.frozen == result.judged], ""]


def _met(check: Check) -> str:
    return "held" if check.holds else "**shows the opposite**" if check.opposed else "did not hold"


def _figures(figures: Sequence[PageFigure]) -> list[str]:
    if not figures:
        return []
    lines = [
        "## Figures",
        "",
        "| figure | measured | interval | n | unit | expected |",
        "|---|---|---|---|---|---|",
    ]
    for f in figures:
        lines.append(_row([f.title, short(f.value), f.ends, "" if f.n is None else str(f.n), f.unit, f.expected]))
    kinds = sorted({f.interval for f in figures if f.interval})
    notes = [f"Intervals: {'; '.join(kinds)}."] if kinds else []
    if any("(pilot" in f.expected for f in figures):
        notes.append("Pilot: a smaller run, made before the rule was written.")
    drawn = drawable(figures)
    if len(drawn) < len(figures):
        notes.append(f"The picture has those in the most common unit, {drawn[0].unit}.")
    return [*lines, "", *([" ".join(notes), ""] if notes else [])]


def _scale(result: PaperResult) -> str:
    return f"{result.scale} scale" if result.scale else "parameters of its own"


def _verdict(result: PaperResult) -> str:
    words = "reproduced" if result.reproduced else "not reproduced"
    return words if result.scale is Scale.FULL else f"{words} ({_scale(result)})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
