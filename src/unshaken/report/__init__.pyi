"""Pages and figures from rows: summary, report, comparison, gates."""

from unshaken.report.compare import Comparisons as Comparisons
from unshaken.report.compare import ConditionComparison as ConditionComparison
from unshaken.report.compare import RunComparison as RunComparison
from unshaken.report.compare import compare_runs as compare_runs
from unshaken.report.gates import Gate as Gate
from unshaken.report.gates import check_gates as check_gates
from unshaken.report.gates.kept import GateResult as GateResult
from unshaken.report.summary import Summary as Summary
from unshaken.report.summary import build as build
from unshaken.report.summary import schema as schema
from unshaken.report.write import write_comparison as write_comparison
from unshaken.report.write import write_report as write_report
