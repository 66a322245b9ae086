"""The page of models under the labels before and after a review."""

from __future__ import annotations

from unshaken.measure.classification.label_versions import VersionChange
from unshaken.measure.statistics.figure import Figure
from unshaken.report import cells, wording
from unshaken.report.blocks import Block, Column, Heading, Headline, Page, Prose, Table

TITLE = "Models before and after correcting labels"
MOST = 20


def label_versions_page(found: VersionChange) -> Page:
    """The page.

    Args:
        found: by `compare_versions`.
    """
    share = wording.percent(found.changed / found.samples)
    lead = [
        f"{found.changed:,} of {found.samples:,} labels changed ({share}); {found.removed:,} have none after.",
        f"{len(found.swaps)} pairs of models change their order." if found.swaps else "The order of the models stays.",
    ]
    rows = tuple(
        cells.line(name, _interval(m.before), f"{m.rank_before:g}", _interval(m.after), f"{m.rank_after:g}",
                   _signed(m.change.difference), f"{m.change.p_holm:.2g}")
        for name, m in found.models.items()
    )  # fmt: skip
    heads = cells.columns("model", "accuracy before", "rank", "after", "rank", "difference", "p (Holm)")
    text = "Each model is compared with itself on the same samples; the test is McNemar's, corrected for all models."
    blocks: list[Block] = [Headline(TITLE, tuple(lead), brief=True)]
    blocks += [Table("Accuracy under both versions of the labels.", heads, rows, brief=True), Prose(text, "small")]
    if found.swaps:
        swaps = tuple(
            cells.line(" over ".join(one.models[::-1]), _signed(one.before.difference), _signed(one.after.difference))
            for one in found.swaps[:MOST]
        )
        columns = cells.columns("models", "before", "after")
        blocks += [Heading("Whose order changes", level=2), Table("Difference in accuracy.", columns, swaps)]
    if found.moves:
        moves = tuple(cells.line(str(a), str(b), f"{n:,}") for a, b, n in found.moves[:MOST])
        columns = (Column("label before", number=False), Column("after", number=False), Column("samples"))
        blocks += [Heading("Which labels changed", level=2), Table("The most frequent changes.", columns, moves)]
    return Page(TITLE, tuple(blocks), "Made by unshaken from the rows of the runs and a file of labels.")


def _interval(figure: Figure) -> str:
    return f"{wording.percent(figure.value)} ({wording.percent(figure.low)} to {wording.percent(figure.high)})"


def _signed(figure: Figure) -> str:
    return f"{100 * figure.value:+.1f} ({100 * figure.low:+.1f} to {100 * figure.high:+.1f}) points"
