"""Gates: conditions on figures, that a run's exit code tells; the grammar alone imports no library."""

from unshaken.report.gates.check import check_gates as check_gates
from unshaken.report.gates.grammar import Gate as Gate
from unshaken.report.gates.grammar import NO_REGRESSION as NO_REGRESSION
