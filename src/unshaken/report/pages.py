"""Pages from blocks: of a run, of a comparison, of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unshaken.report.blocks import Block, Details, Facts, Heading, Headline, Page, Prose, Span, Text, Tiles
from unshaken.report.read.others import read_others
from unshaken.report.sections.beyond_line import robustness_blocks
from unshaken.report.sections.comparison import comparison_blocks, difference_strips

if TYPE_CHECKING:
    from unshaken.report.comparisons import Comparisons
    from unshaken.report.gates import GateResult
    from unshaken.report.summary import Summary
    from unshaken.store.config import RunConfig

MADE = (
    "Made by unshaken from the rows of this run alone; ",
    Span("unshaken report DIR", "code"),
    " makes it again. Intervals are 95 %: Clopper–Pearson for shares, resampled images for all else.",
)


def report_page(summary: Summary, gates: Sequence[GateResult] = ()) -> Page:
    """The report of a run.

    Args:
        summary: of the run.
        gates: results to show.
    """
    report, name = summary.report(others=read_others(summary), gates=gates), summary.config.model_name
    lead = tuple(text for section in summary.sections for text in section.lead(report))
    notices = tuple(notice for section in summary.sections for notice in section.notices(report))
    found: list[Block] = [Headline(f"Robustness of {name}", lead, notices, brief=True)]
    if not summary.data["complete"]:
        found.append(_incomplete(summary.config))
    tiles = tuple(tile for section in summary.sections for tile in section.tiles(report))
    found += [Tiles(tiles)] if tiles else []
    found += [block for section in summary.sections for block in section.blocks(report)]
    return Page(f"{name}: robustness report", tuple(found), MADE)


def _incomplete(config: RunConfig) -> Prose:
    """The notice of a run that is not complete: why, and how to get the rest."""
    head, text = "The run is not complete.", " Figures are of what is there; finish it with --resume."
    if config.part is not None:
        head = f"This is part {config.part} of a run."
        text = " Figures are of its samples alone; join all parts with unshaken merge."
    return Prose((Span(head, "strong"), text), "bad", brief=True)


def comparison_page(comparisons: Comparisons) -> Page:
    """Several runs, each against the first."""
    first = comparisons.runs[0].baseline_name
    lead: list[Text] = [
        (Span(c.candidate_name, "strong"), f", on the same {c.n} images: {c.verdicts}.") for c in comparisons.runs
    ]
    found: list[Block] = [Headline(f"Comparison with {first}", tuple(lead), brief=True)]
    for number, one in enumerate(comparisons.runs, 1):
        places = (("baseline", Span(one.baseline, "code")), ("candidate", Span(one.candidate, "code")))
        found += [
            Heading(one.candidate_name, f"run-{number}", one.candidate_name),
            difference_strips(one),
            Details("All figures of this comparison", comparison_blocks(one, brief=True)),
            Facts(places),
        ]
    found += robustness_blocks(comparisons.robustness)
    footer = (
        "Made by unshaken. Differences are paired on the sample ids; the p-values of all conditions and runs are "
        "corrected together."
    )
    return Page(f"Comparison with {first}", tuple(found), footer)
