"""The pages of papers: one table of all, and a page with a picture for each, from results and nothing else."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

from unshaken.papers.claim import Check, Outcome
from unshaken.papers.page_figures import PageFigure, short, shown_figures
from unshaken.papers.page_picture import draw_figures, drawable
from unshaken.papers.record import sessions_in_words
from unshaken.papers.result import RESULT, PaperResult
from unshaken.papers.scale import Scale
from unshaken.store.run_dir import RunDir

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
    again = f" --scale {result.scale}" if result.scale else ""
    again += f" --seed {result.seed}" if result.seed else ""
    lines += [
        "",
        "## Run it again",
        "",
        "```sh",
        f"unshaken papers run {result.slug}{again}",
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
        beside = "" if part.central else " (beside the title's claim)"
        lines.append(f"{number}. {part.statement} **{str(part.outcome).capitalize()}**{beside}.")
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
