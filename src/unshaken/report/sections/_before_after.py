"""Before and after a repair: accuracy on unchanged images and under each condition of the audit, paired."""

from __future__ import annotations

from unshaken.core.part import CLEAN
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Details, Heading, Tile, Tiles
from unshaken.report.comparisons import ConditionComparison, RunComparison
from unshaken.report.sections.comparison import comparison_blocks, difference_strips


def sentence(comparison: RunComparison) -> str:
    """What the repair changed, in a sentence."""
    clean = [c for c in comparison.conditions if c.condition.id == CLEAN.id]
    at = f", from {_change(clean[0])} on unchanged images" if clean else ""
    return f"Before and after, on the same {comparison.n} images{at}: {comparison.verdicts}."


def before_after(comparison: RunComparison, *, kept: bool = True) -> list[Block]:
    """Large numbers, the difference under each condition, and all figures as a table.

    Args:
        comparison: of the audits before and after.
        kept: whether the repaired weights are those of the run now.
    """
    title = "Before and after" if kept else "Before and after, of the repaired weights that were not kept"
    return [
        Heading(title, "before-after", "Before and after"),
        Tiles(tuple(_tile(title, one) for title, one in _chosen(comparison))),
        difference_strips(comparison),
        Details("All figures before and after", comparison_blocks(comparison)),
    ]


def _chosen(comparison: RunComparison) -> list[tuple[str, ConditionComparison]]:
    """Unchanged images, and of the changes the one with the greatest gain and the one with the greatest loss."""
    clean = [("unchanged images", c) for c in comparison.conditions if c.condition.id == CLEAN.id]
    changes = sorted(
        (c for c in comparison.conditions if c.condition.id != CLEAN.id), key=lambda c: c.paired.difference.value
    )
    gained = [("greatest gain", c) for c in changes[-1:] if c.paired.difference.value > 0]
    lost = [("greatest loss", c) for c in changes[:1] if c.paired.difference.value < 0]
    return [*clean, *gained, *lost]


def _tile(title: str, one: ConditionComparison) -> Tile:
    change = cells.points(one.paired.difference.to_json())
    name = "" if one.condition.id == CLEAN.id else f"{wording.name_of(one.condition)}: "
    under = f"{name}{change.text} points ({change.interval}), {one.verdict}"
    return Tile(title, _change(one), under, bad=one.verdict == "worse")


def _change(one: ConditionComparison) -> str:
    return f"{100 * one.baseline.value:.1f} to {wording.percent(one.candidate.value)}"
