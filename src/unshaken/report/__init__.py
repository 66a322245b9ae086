"""Pages and figures from rows: summary, report, comparison, gates."""

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
