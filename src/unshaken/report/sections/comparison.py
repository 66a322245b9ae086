"""The first picture, accuracy under each change, and runs side by side with this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from typing_extensions import override

from unshaken.core.part import CLEAN
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Heading, Prose, Span, Table, Tile
from unshaken.report.compare import ConditionComparison, RunComparison, compare_frames
from unshaken.report.drawings import Strips
from unshaken.report.figures import plots
from unshaken.report.read.frame import read_frame
from unshaken.report.sections import Report, Section, SectionFigures, Source
from unshaken.report.sections import _strengths as strengths
from unshaken.report.sections.outcomes import measured
from unshaken.store.config import read_config


class Comparisons(Section):
    """Strips of this run and of others; differences by pairs."""

    name = "comparison"
    order = 5

    @override
    def figures(self, source: Source) -> SectionFigures:
        if source.baseline is None:
            return SectionFigures({"comparison": None})
        config = read_config(source.baseline)
        before = source.baseline, config, read_frame(source.baseline, config)
        comparison = compare_frames(*before, source.run, source.config, source.frame)
        return SectionFigures({"comparison": comparison.to_json()}, kept=comparison)

    @override
    def blocks(self, report: Report) -> Sequence[Block]:
        what = measured(report)
        drawn, found = strengths.strips(report, what), list[Block]()
        if drawn:
            found += [Heading(f"{what} under each change", "picture", open=True), drawn]
        own = report.source.config.model_name
        for other in report.others:
            if other.note:
                found.append(Prose(f"{other.name} {other.note}", "small"))
            if other.comparison:
                title = f"{own} against {other.name}, condition by condition"
                found.append(Details(title, comparison_blocks(other.comparison)))
        return found


def comparison_blocks(comparison: RunComparison, *, brief: bool = False) -> tuple[Block, ...]:
    """The table of a comparison, and its notes; `brief` where it is what a page is about."""
    first, second = comparison.baseline_name, comparison.candidate_name
    caption = (
        f"{second} against {first}, on the same {cells.counted(comparison.n, 'image')}. Difference of the "
        f"{comparison.measure} in percentage points; all intervals of the comparison hold together at 95 %, and a "
        f"verdict says on which side of 0 an interval lies. p by {comparison.test}, multiplied by the number of "
        "differences."
    )
    heads = cells.columns(
        "condition", first, second, "difference", cells.aside("lost / gained"), "p (adjusted)", "verdict"
    )
    rows = tuple(
        (
            wording.name_of(c.condition),
            wording.percent(c.baseline.value),
            wording.percent(c.candidate.value),
            cells.points(c.paired.difference.to_json()),
            f"{c.paired.lost} / {c.paired.gained}",
            f"{c.paired.p_adjusted:.2g}",
            VERDICTS.get(c.verdict) or Span(c.verdict, "soft"),
        )
        for c in comparison.conditions
    )
    notes = [
        f"only {name} has: {', '.join(names)}"
        for name, names in ((first, comparison.only_baseline), (second, comparison.only_candidate))
        if names
    ]
    table = Table(caption, heads, rows, brief=brief)
    noted = (Prose(f"Note: {n}.", "small", brief=brief) for n in (*comparison.notes, *notes))
    return (table, *noted, *_slice_blocks(comparison, brief=brief))


def _slice_blocks(comparison: RunComparison, *, brief: bool) -> list[Block]:
    """How many slices became better or worse, and those that changed most."""
    if not comparison.slices:
        return []
    counts = Counter(c.verdict for c in comparison.slices)
    text = (
        f"By slice and condition: {counts['worse']} worse and {counts['better']} better of "
        f"{len(comparison.slices):,} differences."
    )
    largest = sorted(comparison.slices, key=lambda c: (c.verdict not in VERDICTS, -abs(c.paired.difference.value)))
    shown = sorted(largest[:SLICES], key=lambda c: c.paired.difference.value)
    heads = cells.columns(
        "slice",
        "condition",
        comparison.baseline_name,
        comparison.candidate_name,
        "difference",
        cells.aside("p (adjusted)"),
        "images",
        "verdict",
    )
    rows = tuple(
        (
            wording.slice_name(c.slicing, c.part),
            wording.name_of(c.condition),
            wording.percent(c.baseline.value),
            wording.percent(c.candidate.value),
            cells.points(c.paired.difference.to_json()),
            f"{c.paired.p_adjusted:.2g}",
            str(c.paired.n),
            VERDICTS.get(c.verdict) or Span(c.verdict, "soft"),
        )
        for c in shown
    )
    caption = (
        f"The {len(shown)} largest differences by slice of {len(comparison.slices):,}, in points; those that "
        "are better or worse come before others. The intervals of all slices and conditions hold together at 95 %."
    )
    return [Prose(text, brief=brief), Table(caption, heads, rows, brief=brief)]


SLICES = 10
"""Differences by slice in a table."""
VERDICTS = {"better": Span("▲ better", "good"), "worse": Span("▼ worse", "bad")}


def answer(comparison: RunComparison) -> str:
    """Whether the candidate is better than the baseline and under what the most, in words that follow its name.

    Only differences whose whole interval lies on one side of 0 are named; the intervals are those of `comparison`.
    """
    parts = list[str]()
    for verdict in VERDICTS:
        shown = [c for c in comparison.conditions if c.verdict == verdict]
        if shown:
            most = max(shown, key=lambda c: abs(c.paired.difference.value))
            change = most.paired.difference
            low, high = sorted((abs(change.low), abs(change.high)))
            name = wording.name_of(most.condition)
            than = "" if parts else f" than {comparison.baseline_name}"
            where = f"on {name}" if most.condition.id == CLEAN.id else f"under {name}"
            size = f"{100 * abs(change.value):.1f} points {where} ({100 * low:.1f} to {100 * high:.1f})"
            parts.append(f"{verdict}{than} by {size}")
    return f"is {' and '.join(parts)}" if parts else f"cannot be told apart from {comparison.baseline_name}"


def change_tiles(comparison: RunComparison) -> tuple[Tile, ...]:
    """Large numbers: unchanged images, and the changes with the greatest gain and the greatest loss."""
    clean = [("unchanged images", c) for c in comparison.conditions if c.condition.id == CLEAN.id]
    changes = sorted(
        (c for c in comparison.conditions if c.condition.id != CLEAN.id), key=lambda c: c.paired.difference.value
    )
    gained = [("greatest gain", c) for c in changes[-1:] if c.paired.difference.value > 0]
    lost = [("greatest loss", c) for c in changes[:1] if c.paired.difference.value < 0]
    return tuple(_change_tile(title, one) for title, one in (*clean, *gained, *lost))


def _change_tile(title: str, one: ConditionComparison) -> Tile:
    change = cells.points(one.paired.difference.to_json())
    name = "" if one.condition.id == CLEAN.id else f"{wording.name_of(one.condition)}: "
    under = f"{name}{change.text} points ({change.interval}), {one.verdict}"
    return Tile(title, show_change(one), under, bad=one.verdict == "worse")


def show_change(one: ConditionComparison) -> str:
    """The figure before and after: `96.7 to 84.7 %`."""
    return f"{100 * one.baseline.value:.1f} to {wording.percent(one.candidate.value)}"


def difference_strips(comparison: RunComparison) -> Strips:
    """Each condition's difference on an axis that holds the largest."""
    rows = []
    for one in comparison.conditions:
        tone = one.verdict if one.verdict in VERDICTS else "level"
        rows.append((wording.name_of(one.condition), "", one.paired.difference.to_json(), tone, (one.verdict,)))
    caption = (
        f"Change of the {comparison.measure} in percentage points; to the right is better. The intervals hold together "
        "at 95 %. A filled dot is better or worse, its interval beside 0; a hollow dot is not shown to be either."
    )
    return plots.difference_strips(caption, "condition", rows)


section = Comparisons()
