"""Pages and figures from rows: summary, report, comparison, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.report.compare import Comparisons, ConditionComparison, RunComparison, compare_runs
    from unshaken.report.gates import Gate, check_gates
    from unshaken.report.gates.kept import GateResult
    from unshaken.report.summary import Summary, build, schema
    from unshaken.report.write import write_comparison, write_report

__all__ = [
    "Comparisons",
    "ConditionComparison",
    "Gate",
    "GateResult",
    "RunComparison",
    "Summary",
    "build",
    "check_gates",
    "compare_runs",
    "schema",
    "write_comparison",
    "write_report",
]

_HOMES = {
    "Comparisons": "unshaken.report.compare",
    "ConditionComparison": "unshaken.report.compare",
    "Gate": "unshaken.report.gates",
    "GateResult": "unshaken.report.gates.kept",
    "RunComparison": "unshaken.report.compare",
    "Summary": "unshaken.report.summary",
    "build": "unshaken.report.summary",
    "check_gates": "unshaken.report.gates",
    "compare_runs": "unshaken.report.compare",
    "schema": "unshaken.report.summary",
    "write_comparison": "unshaken.report.write",
    "write_report": "unshaken.report.write",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)
