"""`assert_robust`: an audit as one line of a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from unshaken.api import Audit
    from unshaken.data import DataSource

__all__ = ["assert_robust"]


def assert_robust(
    model: str | nn.Module,
    data: DataSource,
    *,
    gate: str | Sequence[str],
    out: str | Path,
    plan: str | Sequence[Any] = "quick",
    **options: Any,
) -> Audit:
    """Audit a model and fail unless every gate holds.

    Args:
        model: as for `unshaken.audit`.
        data: as for `unshaken.audit`.
        gate: such as `clean.accuracy >= 0.9`; one or several.
        out: the run directory.
        plan: as for `unshaken.audit`.
        options: see `unshaken.api.Options`.

    Returns:
        The audit, for further assertions on its `summary`.

    Raises:
        AssertionError: a gate failed; the message has the figure met, its interval, and where the report is.
        UnshakenError: model, data, plan or gate is wrong.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this function
    from unshaken.api import audit
    from unshaken.core.errors import ParameterError

    gates = (gate,) if isinstance(gate, str) else tuple(gate)
    if not gates:
        raise ParameterError("gate is empty, so nothing could ever fail: give one such as 'clean.accuracy >= 0.9'")
    done = audit(model, data, plan=plan, out=out, gates=gates, **options)
    failed = [g for g in done.gates if not g.held]
    if failed:
        lines = [f"{len(failed)} of {len(done.gates)} gates failed:", *(f"  {g.text}: {g.detail}" for g in failed)]
        raise AssertionError("\n".join([*lines, f"  report: {str(done.run).rstrip('/')}/report.html"]))
    return done
