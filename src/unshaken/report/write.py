"""`write_report` and `write_comparison`: the files of a report, each whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from unshaken.core.errors import ParameterError, UnshakenError
from unshaken.core.options import COMPARE_RECORDS
from unshaken.report.blocks import Page
from unshaken.report.compare import Comparisons
from unshaken.report.gates.check import check_finite, check_gate
from unshaken.report.gates.grammar import NO_REGRESSION, Gate, asked_radii
from unshaken.report.gates.kept import Baseline, GateResult, KeptGates, read_gates
from unshaken.report.summary import NAME, Summary, build
from unshaken.run.local import labels_not_run
from unshaken.store.output import check_folder
from unshaken.store.run_dir import RunDir, consistent


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """A report that was written: its figures, gates and page.

    Args:
        summary: what `summary.json` holds.
        gates: what became of each gate.
        page: what `report.html` and `report.md` show; None where they were not wanted.
    """

    summary: dict[str, Any]
    gates: list[GateResult]
    page: Page | None


def make_report(
    run: RunDir, *, baseline: RunDir | None = None, gates: Sequence[str | Gate] = (), pages: bool = True
) -> ReportFiles:
    """Make `summary.json`, `report.html`, `report.md`, and with gates `gates.json` and `junit.xml`, from a run's rows.

    Args:
        run: where the rows are and the files go.
        baseline: a run on the same samples to compare with; None for that of before, if it still lies there.
        gates: conditions on the figures, in the place of those of before; empty to decide those again.
        pages: False to write no `report.html` and no `report.md`.

    Raises:
        ParameterError: a gate is not understood, or it names no figure (all files are written all the same, and it
            stays undecided); the baseline cannot be compared.
        RunError: there is no run, it or its `gates.json` is damaged, or the files cannot be written.
    """
    asked = [g if isinstance(g, Gate) else Gate.parse(g) for g in gates]
    kept = KeptGates() if asked else read_gates(run)
    record = kept.baseline if baseline is None else Baseline.of(baseline)
    radii = asked_radii([*asked, *kept.asked])
    if baseline is None and record is not None:
        summary = _build_again(run, record, radii)
    else:
        summary = build(run, baseline=baseline, radii=radii)
    results, error = _decide(summary, asked, kept)
    summary.data["gates"] = [r.to_json() for r in results]
    run.write_json(summary.data, NAME)
    page = _write_pages(run, summary, results) if pages else None
    if results or record:  # last: until here they are undecided
        KeptGates(tuple(results), record).write(run, summary.config.model_name)
    if asked and error is not None:
        raise error
    return ReportFiles(summary.data, results, page)


def _write_pages(run: RunDir, summary: Summary, results: list[GateResult]) -> Page:
    from unshaken.report.pages.page_kind import write_page  # with the templates, which a call without pages needs not
    from unshaken.report.pages.runs import report_page

    with consistent(run):
        page = report_page(summary, results)
    write_page(run, page)
    return page


def make_page(run: RunDir) -> Page:
    """Make what `report.html` of a run shows, and write nothing.

    Raises:
        RunError: there is no run, or it is damaged.
    """
    from unshaken.report.pages.runs import report_page

    kept = read_gates(run)
    radii = asked_radii(kept.asked)
    summary = build(run, radii=radii) if kept.baseline is None else _build_again(run, kept.baseline, radii)
    summary.data["gates"] = [r.to_json() for r in kept.results]
    with consistent(run):
        return report_page(summary, list(kept.results))


def _build_again(run: RunDir, baseline: Baseline, radii: Sequence[float]) -> Summary:
    """The summary of a run, compared with the baseline of before where that can still be read."""
    there = baseline.open()
    try:
        return build(run, baseline=there, radii=radii)
    except UnshakenError:
        if there is None:
            raise
        return build(run, radii=radii)


def _decide(summary: Summary, asked: Sequence[Gate], kept: KeptGates) -> tuple[list[GateResult], ParameterError | None]:
    """The results of the gates that are asked, or of those of before, and the first reason why one is undecided."""
    results, read, first, why = list[GateResult](), list[Gate](), None, _unfinished(summary)
    before = {r.text: r for r in kept.results}
    for text in [g.text for g in asked] or kept.asked:
        try:
            gate = Gate.parse(text)
            read.append(gate)
            if why:
                raise ParameterError(why)
            old = before.get(text)
            if gate.name == NO_REGRESSION and summary.comparison is None and old is not None and old.held is not None:
                note = f"; as it was decided: the baseline {kept.baseline and kept.baseline.place} cannot be read now"
                results.append(replace(old, detail=f"{old.detail.removesuffix(note)}{note}"))
            else:
                results.append(check_gate(gate, summary.data, summary.comparison))
        except ParameterError as error:
            first = first or error
            results.append(GateResult(text, None, math.nan, str(error)))
    return results + check_finite(read, summary.data), None if why else first


def _unfinished(summary: Summary) -> str:
    """Why no gate of a run can be decided: rows that its plan asked for are not there; empty where all are."""
    frame, run = summary.frame, summary.source.run
    there = {c.id for c in frame.conditions}
    absent = [c for step in summary.config.steps for c in step.conditions if c not in there]
    if absent:  # some can never be: those of methods that do not fit the model or the data
        skipped = labels_not_run(run.rows("flags", ["name", "detail"]))
        absent = [c for c in absent if not any(c == label or c.startswith(f"{label}-") for label in skipped)]
    if frame.unfinished or frame.lacking() or absent or not summary.data["complete"]:
        return "the run is not complete; finish it with --resume"
    return ""


def write_report(
    run: RunDir, *, baseline: RunDir | None = None, gates: Sequence[str | Gate] = ()
) -> tuple[dict[str, Any], list[GateResult]]:
    """Write a report, as `make_report` does, without returning its page.

    Returns:
        What `summary.json` holds, and what became of each gate.
    """
    written = make_report(run, baseline=baseline, gates=gates)
    return written.summary, written.gates


def write_comparison(out: RunDir, comparisons: Comparisons) -> Page:
    """Make `compare.json`, `compare.html` and `compare.md`.

    Args:
        out: where they go.
        comparisons: of runs.

    Raises:
        ParameterError: the folder holds other files.
        RunError: they cannot be written.
    """
    from unshaken.report.pages.page_kind import write_page
    from unshaken.report.pages.runs import comparison_page

    check_folder(out.root if out.local else str(out), "out", COMPARE_RECORDS)
    out.write_json(comparisons.to_json(), "compare.json")
    page = comparison_page(comparisons)
    write_page(out, page, "compare")
    return page
