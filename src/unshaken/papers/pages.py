"""The pages of papers: one table of all, and a page for each with its figures and a picture, from results alone."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from unshaken.papers.claim import Check, Outcome
from unshaken.papers.folders import find_row, row_folders
from unshaken.papers.paper import Headline, Scale
from unshaken.papers.pictures import PageFigure, draw_figures, drawable, short
from unshaken.papers.record import sessions_in_words
from unshaken.papers.result import RESULT, PaperResult, own_parameters
from unshaken.papers.trend import Curve, Trend, read_trends
from unshaken.papers.trend_pages import draw_curve, open_curves, trend_lines
from unshaken.store.run_dir import RunDir

MOST, FEW = 10, 6
"""Figures a page shows at most; and of a result that names none."""


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


MARK = "<!-- Written by `unshaken papers table` from result.json. -->"
PAGE, PICTURE = "README.md", "picture.svg"

OUTDATED = "This result is of an earlier form of the row, whose figures it does not have: it is to be made again."

HEAD = """# Papers

Each row is a published claim, tried by a small experiment of this package. A claim has parts, each with a rule that
decides by intervals: a part is *shown*, *contradicted* (its opposite shows), *short of its rule* (the whole interval
lies below what the rule asks), *not visible at this scale* (the interval is too wide to say), or *not tried*. A row is
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
        for old in (folder / result.folder).glob("trend-*.svg"):
            old.unlink()
        curves = list(open_curves(result, read_trends(folder / result.folder)))
        for name, trend, curve in curves:
            place.write(draw_curve(trend, curve, _axis(result, trend)).encode(), name)
        place.write(page_of(result, figures, curves=curves, outdated=result.slug in outdated).encode(), PAGE)
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
        more = "1 more is" if len(outdated) == 1 else f"{len(outdated)} more are"
        count += f" {more} of an earlier form of their row, to be made again."
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
            _verdict(result, outdated=result.slug in outdated),
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


def _axis(result: PaperResult, trend: Trend) -> str:
    """The words for the axis of a trend: the title of the figure, where the page has one."""
    return next((h.title for h in result.headline if h.name == trend.along), trend.along.replace("_", " "))


def page_of(
    result: PaperResult,
    figures: Sequence[PageFigure],
    *,
    curves: Sequence[tuple[str, Trend, Curve]] = (),
    outdated: bool = False,
) -> str:
    """The page of one result.

    Args:
        result: of a paper.
        figures: those that the page shows.
        curves: of parts that are not shown, along a parameter; see `open_curves`.
        outdated: whether the row's rules have changed so that these figures cannot be judged by them.
    """
    verdict = f"**Verdict: {_verdict(result, outdated=outdated)}.**"
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
        *_parts(result, curves),
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


def _parts(result: PaperResult, curves: Sequence[tuple[str, Trend, Curve]]) -> list[str]:
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
        for picture, trend, curve in curves:
            if curve.part == part.name:
                inner += trend_lines(picture, trend, curve, _axis(result, trend))
        lines += [f"{' ' * len(f'{number}. ')}{line}".rstrip() for line in inner]
    when = {
        True: "Parts, rules and settings are as they stood before the first row.",
        False: "Parts or rules were written anew after the run; its figures are as they were.",
    }
    return [*lines, when[bool(result.frozen) and result.frozen == result.judged], ""]


def _met(check: Check) -> str:
    if check.opposed:
        return "**shows the opposite**"
    return "held" if check.holds else "lies below what the rule asks" if check.short else "did not hold"


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


def _verdict(result: PaperResult, *, outdated: bool) -> str:
    words = "reproduced" if result.reproduced else "not reproduced"
    words += "" if result.scale is Scale.FULL else f" ({_scale(result)})"
    return f"{words}, by earlier rules" if outdated else words


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
