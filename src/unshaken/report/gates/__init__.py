"""Gates: conditions on figures, that a run's exit code tells; the grammar alone imports no library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of

if TYPE_CHECKING:
    from unshaken.report.gates.check import check_gates
    from unshaken.report.gates.grammar import NO_REGRESSION, Gate

__all__ = ["NO_REGRESSION", "Gate", "check_gates"]

_HOMES = {
    "Gate": "unshaken.report.gates.grammar",
    "NO_REGRESSION": "unshaken.report.gates.grammar",
    "check_gates": "unshaken.report.gates.check",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)
