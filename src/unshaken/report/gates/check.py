"""Gates held against the figures of a summary."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from unshaken.attack.engine.attack_run import UNFINISHED, name_search
from unshaken.core.errors import ParameterError
from unshaken.report.cells import counted
from unshaken.report.gates.figures import figures_of, figures_of_certificates, figures_of_detectors, figures_of_slices
from unshaken.report.gates.grammar import CERTIFIED, DETECTOR, NO_REGRESSION, NON_FINITE, SLICE, Gate
from unshaken.report.gates.kept import GateResult
from unshaken.report.wording import figure_text, is_share, percent

if TYPE_CHECKING:
    from unshaken.report.compare import RunComparison


def _same(a: float, b: float) -> bool:
    """Equal but for the rounding of a sum."""
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda a, b: a > b or _same(a, b),
    "<=": lambda a, b: a < b or _same(a, b),
    ">": lambda a, b: a > b and not _same(a, b),
    "<": lambda a, b: a < b and not _same(a, b),
    "==": _same,
}


_ASKED = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than", "==": "exactly"}


def check_gate(gate: Gate, summary: dict[str, Any], comparison: RunComparison | None = None) -> GateResult:
    """Hold a gate against a summary.

    Args:
        gate: to hold.
        summary: what `summary.json` holds.
        comparison: with the baseline, for `no-regression`.

    Returns:
        The result. Where several conditions are meant, the one that is nearest to breaking the gate decides.

    Raises:
        ParameterError: there is no such figure; a gate on it can neither hold nor fail.
    """
    if gate.name == NO_REGRESSION:
        return _no_regression(gate, comparison)
    of = figures_of_detectors if gate.metric in DETECTOR else figures_of
    of = figures_of_slices if gate.name == SLICE else of
    found = (figures_of_certificates if gate.metric in CERTIFIED else of)(gate, summary)
    where, figure = _worst(gate, found)
    value = float(figure[gate.end])
    held = _COMPARE[gate.sign](value, gate.number)
    among = f", the worst of {len(found)}" if len(found) > 1 else ""
    shown = _shown(gate, figure, summary)
    end = "" if gate.end == "value" else f"{gate.end} end of "
    doubt = _unfinished(gate.name, where, summary)
    return GateResult(gate.text, held, value, f"{end}{where}{among}: {shown}{doubt}")


def _shown(gate: Gate, figure: dict[str, Any], summary: dict[str, Any]) -> str:
    """The figure met, and what was asked where pages have another unit than gates."""
    name = gate.name if gate.name in summary["aggregates"] else gate.metric
    asked = f"; asked: {_ASKED[gate.sign]} {100 * gate.number:.6g} %" if is_share(name, figure) else ""
    count = "" if figure["low"] is None else f", n = {figure['n']}"
    return f"{figure_text(name, figure, end=gate.end)}{count}{asked}"


def _worst(gate: Gate, found: list[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    keys: dict[str, Callable[[float], float]] = {
        ">": float,
        "<": operator.neg,
        "=": lambda v: -abs(v - gate.number),
    }
    key = keys[gate.sign[0]]
    return min(found, key=lambda pair: key(float(pair[1][gate.end])))


def _unfinished(name: str, where: str, summary: dict[str, Any]) -> str:
    """What a gate's figure owes to searches that did not finish; empty where it owes them nothing."""
    texts = [f["detail"] for f in summary.get("flags", ()) if f["name"] == UNFINISHED.name]
    rows = [] if name == "clean" else [*summary["conditions"], *summary["minimal_norms"]]
    for row in rows if texts else ():
        search = name_search(row["method"], row["norm"], row.get("eps"))
        own = where.partition(" ")[0] == row["condition"] or name in summary["aggregates"]
        found = [text for text in texts if own and text.startswith(search)]
        if found:
            return f"; {found[0]}"
    return ""


def check_gates(
    gates: Iterable[str | Gate], summary: dict[str, Any], comparison: RunComparison | None = None
) -> list[GateResult]:
    """Hold gates against a summary; all are read before the first is held.

    Where gates are given and none of them is on `non_finite`, NaN and infinite outputs are allowed for no sample: the
    gate `non_finite == 0` is added if it would fail.

    Raises:
        ParameterError: a gate is not understood, or names a figure that is not there.
    """
    read = [g if isinstance(g, Gate) else Gate.parse(g) for g in gates]
    return [check_gate(g, summary, comparison) for g in read] + check_finite(read, summary)


def check_finite(gates: Sequence[Gate], summary: dict[str, Any]) -> list[GateResult]:
    """The failed gate that is added where an output was not finite and no gate is on that; see `check_gates`."""
    figure = summary["aggregates"].get(NON_FINITE)
    if not gates or figure is None or not figure["value"] or any(g.name == NON_FINITE for g in gates):
        return []
    some = round(figure["value"] * figure["n"])
    detail = (
        f"{some} of {counted(figure['n'], 'sample')} got NaN or infinite outputs, which count as wrong: repair the "
        f"model, or allow a share of them with --gate '{NON_FINITE} <= ...'"
    )
    return [GateResult(f"{NON_FINITE} == 0", False, figure["value"], detail, added=True)]


def _no_regression(gate: Gate, comparison: RunComparison | None) -> GateResult:
    if comparison is None:
        raise ParameterError(f"gate {NO_REGRESSION!r} needs a run to compare with: give --baseline DIR")
    worse = [c for c in comparison.conditions if c.verdict == "worse"]
    few = f"{counted(len(comparison.conditions), 'condition')} on {counted(comparison.n, 'sample')}"
    lacking = f"; not compared, absent here: {', '.join(comparison.only_baseline)}" if comparison.only_baseline else ""
    if not worse:
        return GateResult(gate.text, True, 0.0, f"no condition is shown to be worse ({few}){lacking}")
    words = "; ".join(
        f"{c.condition.id}: {percent(c.baseline.value)} to {percent(c.candidate.value)}, a difference of "
        f"{100 * c.paired.difference.low:.1f} to {100 * c.paired.difference.high:.1f} points"
        for c in worse
    )
    return GateResult(gate.text, False, float(len(worse)), f"worse: {words} ({few}){lacking}")
