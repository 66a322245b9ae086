"""`write_report` and `write_comparison`: the files, each whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unshaken.report.compare import Comparisons
from unshaken.report.gates import Gate, GateResult, check_gates
from unshaken.report.html import render_compare, render_report
from unshaken.report.junit import junit
from unshaken.report.markdown import render_compare_markdown, render_markdown
from unshaken.report.summary import NAME, build
from unshaken.run import RunDir


def write_report(
    run: RunDir, *, baseline: RunDir | None = None, gates: Sequence[str | Gate] = ()
) -> tuple[dict[str, Any], list[GateResult]]:
    """Make `summary.json`, `report.html`, `report.md`, and with gates `junit.xml`, from the rows of a run.

    Args:
        run: where the rows are and the files go.
        baseline: a run on the same samples to compare with.
        gates: conditions on the figures.

    Returns:
        What `summary.json` holds, and what became of each gate.

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
        _pages(run, summary, baseline, [])
        raise
    _pages(run, summary, baseline, results)
    if results:
        run.write(junit(results, name=summary.config.model_name), "junit.xml")
    return summary.data, results


def write_comparison(out: RunDir, comparisons: Comparisons) -> None:
    """Make `compare.json`, `compare.html` and `compare.md`.

    Args:
        out: where they go.
        comparisons: of runs.

    Raises:
        RunError: they cannot be written.
    """
    out.write_json(comparisons.to_json(), "compare.json")
    out.write(render_compare(comparisons).encode(), "compare.html")
    out.write(render_compare_markdown(comparisons).encode(), "compare.md")


def _pages(run: RunDir, summary: Any, baseline: RunDir | None, results: Sequence[GateResult]) -> None:
    run.write(render_markdown(summary, results).encode(), "report.md")
    run.write(render_report(run, summary, baseline=baseline, gates=results).encode(), "report.html")
