"""`write_report` and `write_comparison`: the files of a report, each whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unshaken.report.blocks import Page
from unshaken.report.compare import Comparisons
from unshaken.report.gates import Gate, GateResult, check_gates, junit
from unshaken.report.pages.page_kind import write_page
from unshaken.report.pages.runs import comparison_page, report_page
from unshaken.report.summary import NAME, build
from unshaken.store.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """A report that was written: its figures, gates and page.

    Args:
        summary: what `summary.json` holds.
        gates: what became of each gate.
        page: what `report.html` and `report.md` show.
    """

    summary: dict[str, Any]
    gates: list[GateResult]
    page: Page


def make_report(run: RunDir, *, baseline: RunDir | None = None, gates: Sequence[str | Gate] = ()) -> ReportFiles:
    """Make `summary.json`, `report.html`, `report.md`, and with gates `junit.xml`, from the rows of a run.

    Args:
        run: where the rows are and the files go.
        baseline: a run on the same samples to compare with.
        gates: conditions on the figures.

    Raises:
        ParameterError: a gate is not understood or names no figure (the files without it are written all the same);
            the baseline cannot be compared.
        RunError: there is no run, it is damaged, or the files cannot be written.
    """
    read = [g if isinstance(g, Gate) else Gate.parse(g) for g in gates]
    summary = build(run, baseline=baseline)
    run.write_json(summary.data, NAME)
    run.remove("junit.xml")
    try:
        results = check_gates(read, summary.data, summary.comparison)
    except Exception:
        write_page(run, report_page(summary))
        raise
    page = report_page(summary, results)
    write_page(run, page)
    if results:
        run.write(junit(results, name=summary.config.model_name), "junit.xml")
    return ReportFiles(summary.data, results, page)


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
        RunError: they cannot be written.
    """
    out.write_json(comparisons.to_json(), "compare.json")
    page = comparison_page(comparisons)
    write_page(out, page, "compare")
    return page
