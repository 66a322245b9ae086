"""The page of a run, with the runs beside it, and the page of a comparison of runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unshaken.core.errors import UnshakenError
from unshaken.report.blocks import Block, Details, Facts, Heading, Headline, Items, Page, Prose, Span, Text, Tiles
from unshaken.report.cells import changes_of, counted, is_attack, metric
from unshaken.report.compare import Comparisons, RunComparison, companion_runs, compare_frames
from unshaken.report.effective import robustness_blocks
from unshaken.report.figures.outcomes import consistent_under, right_under
from unshaken.report.pages.page_kind import compose
from unshaken.report.read.frame import read_frame
from unshaken.report.sections import Other
from unshaken.report.sections.comparison import answer, change_tiles, comparison_blocks, difference_strips
from unshaken.report.summary import Summary, build
from unshaken.run import read_config
from unshaken.store.run_dir import RunDir
from unshaken.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from unshaken.report.gates.kept import GateResult
    from unshaken.report.sections import Report, Section

MADE = (
    "Made by unshaken from the rows of this run alone; ",
    Span("unshaken report DIR", "code"),
    " makes it again. Intervals are 95 %: Clopper–Pearson for shares, resampled images for all else.",
)


def report_page(summary: Summary, gates: Sequence[GateResult] = ()) -> Page:
    """Make the report of a run.

    Args:
        summary: of the run.
        gates: results to show.
    """
    sections = summary.sections

    def head(report: Report) -> list[Block]:
        lead = tuple(text for section in sections for text in section.lead(report))
        lines = tuple(text for section in sections for text in section.lines(report))
        notices = tuple(notice for section in sections for notice in section.notices(report))
        steps: list[Text] = [section.following(report) for section in sections]
        following = next((text for text in steps if text), "")
        return [Headline(_title(report, sections), lead, notices, lines, following, brief=True)]

    def tiles(report: Report) -> list[Block]:
        found = tuple(tile for section in sections for tile in section.tiles(report))
        return [Tiles(found)] if found else []

    report = summary.report(others=read_others(summary), gates=gates)
    title = f"{summary.config.model_name}: robustness report"
    return compose(title, report, (head, _incomplete, tiles, *(section.blocks for section in sections)), MADE)


def _title(report: Report, sections: Sequence[Section]) -> str:
    """The question that a run answers: of the model under changes, or of certificates or detectors alone."""
    natural = any(not is_attack(row) for row in changes_of(report.data))
    asked = "" if natural else next(filter(None, (section.question(report) for section in sections)), "")
    return asked or f"Robustness of {report.source.config.model_name}"


def _incomplete(report: Report) -> list[Block]:
    """The notice of a run that is not complete: why, and how to get the rest."""
    config = report.source.config
    if report.data["complete"]:
        return []
    head, text = "The run is not complete.", " Figures are of what is there; finish it with --resume."
    if config.part is not None:
        head = f"This is part {config.part} of a run."
        text = " Figures are of its samples alone; join all parts with unshaken merge."
    return [Prose((Span(head, "strong"), text), "bad", brief=True)]


def comparison_page(comparisons: Comparisons) -> Page:
    """Make the page of several runs, each compared with the first.

    Args:
        comparisons: of the runs.
    """
    title = f"Comparison with {comparisons.runs[0].baseline_name}"
    footer = (
        "Made by unshaken. Differences are paired on the sample ids; the intervals of all conditions and runs hold "
        "together at 95 %."
    )

    def head(source: Comparisons) -> list[Block]:
        lead = (
            (Span(c.candidate_name, "strong"), f" {answer(c)}; on the same {counted(c.n, 'image')} it is {c.verdicts}.")
            for c in source.runs
        )
        names = [c.candidate_name for c in source.runs]
        asked = f"Is {names[0]} better than" if len(names) == 1 else "Which is better than"
        hold = (Span("unshaken audit --baseline DIR --gate no-regression", "code"), " fails where a model got worse.")
        return [Headline(f"{asked} {source.runs[0].baseline_name}?", tuple(lead), following=hold, brief=True)]

    def tiles(source: Comparisons) -> list[Block]:
        return [Tiles(change_tiles(source.runs[0]))] if len(source.runs) == 1 else []

    return compose(
        title, comparisons, (head, tiles, _gates, _differences, lambda c: robustness_blocks(c.robustness)), footer
    )


_VERDICTS: dict[str, str | Span] = {
    "held": Span("gates held", "good"),
    "failed": Span("gates FAILED", "bad"),
    "undecided": Span("gates not decided", "bad"),
    "none": "no gates",
}


def _gates(comparisons: Comparisons) -> list[Block]:
    """The verdict of each run's gates, where a run has any."""
    if all(kept.verdict == "none" for _, kept in comparisons.gates):
        return []
    items: list[Text] = []
    for place, kept in comparisons.gates:
        why = [r for r in kept.results if r.state == kept.verdict and not r.held]
        texts = [part for r in why for part in ("; ", Span(r.text, "code"), f" ({r.detail})")]
        items.append((Span(place, "code"), ": ", _VERDICTS[kept.verdict], *texts))
    return [Heading("Gates of each run", "gates", "Gates"), Items(tuple(items), brief=True)]


def _differences(comparisons: Comparisons) -> list[Block]:
    """A part for each run: its differences from the first as strips, and as tables."""
    found: list[Block] = []
    for number, one in enumerate(comparisons.runs, 1):
        places = (("baseline", Span(one.baseline, "code")), ("candidate", Span(one.candidate, "code")))
        found += [
            Heading(one.candidate_name, f"run-{number}", one.candidate_name, open=number == 1),
            difference_strips(one),
            Details("All figures of this comparison", comparison_blocks(one, brief=True)),
            Facts(places),
        ]
    return found


# Runs shown side by side with the one that a report is about.


def read_others(summary: Summary) -> list[Other]:
    """The baseline first, then the runs that `run.json` names; the note of one that cannot be read says so."""
    run, baseline = summary.source.run, summary.source.baseline
    others = [] if baseline is None else [_read_other(run, summary, baseline, summary.comparison)]
    known = {str(baseline)}
    for place in companion_runs(run, summary.config):
        if str(place) not in known:
            known.add(str(place))
            others.append(_read_other(run, summary, place, None))
    return others


def _read_other(run: RunDir, summary: Summary, place: RunDir, comparison: RunComparison | None) -> Other:
    try:
        config = read_config(place)
        frame = read_frame(place, config)
    except UnshakenError as error:
        return Other(str(place), str(place), {}, None, f"cannot be shown: {error}")
    note = ""
    if comparison is None:
        try:
            comparison = compare_frames(place, config, frame, run, summary.config, summary.frame)
        except UnshakenError as error:
            note = f"not compared by pairs: {error}"
    figures = {}
    if config.task != CLASSIFICATION.name:
        data = build(place).data
        figures = {row["condition"]: metric(row) or {} for row in data["conditions"]}
        return Other(config.model_name, str(place), figures | {"clean": data["clean"]}, comparison, note)
    for j in (0, *frame.natural, *frame.attacks, *frame.aside):
        figure = right_under(frame, j) if summary.frame.labelled else consistent_under(frame, j)
        if figure is not None:
            figures[frame.conditions[j].id] = figure.to_json()
    return Other(config.model_name, str(place), figures, comparison, note)
