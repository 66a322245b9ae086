"""Gates: conditions on figures, read by a small grammar and never evaluated as code.

gate      = "no-regression" | reference comparison number
reference = name [ "[" key "=" value { "," key "=" value } "]" ] { "." word }
name      = "clean" | an aggregate | a method | a line of the plan | a condition
key       = "severity" | "eps" | "norm"
word      = "accuracy" | "consistency" | "value" | "low" | "high"
comparison = ">=" | "<=" | ">" | "<" | "=="
number    = a number or a fraction such as 8/255
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.registry import parse_number
from unshaken.report.compare import RunComparison

NO_REGRESSION = "no-regression"


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
_METRICS = ("accuracy", "consistency")
_ENDS = ("value", "low", "high")
_KEYS = ("severity", "eps", "norm")
_LONGEST = 300
_GATE = re.compile(
    r"\s*(?P<left>[^<>=\[\]]+(?:\[[^\[\]<>]*\])?[^<>=\[\]]*?)\s*(?P<sign>>=|<=|==|>|<)\s*(?P<number>\S+)\s*"
)
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_+-]*(?:\.\d+)?)(?:\[(?P<selection>[^\]]*)\])?(?P<words>(?:\.[A-Za-z_0-9]+)*)"
)


@dataclass(frozen=True, slots=True)
class GateResult:
    """What became of a gate.

    Args:
        text: the gate as written.
        held: whether it held.
        value: the figure met; for `no-regression` the number of conditions that became worse.
        detail: one line for a person.
    """

    text: str
    held: bool
    value: float
    detail: str


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a figure.

    Args:
        text: as written.
        name: what it is about; `no-regression` for the comparison with a baseline.
        selection: `severity`, `eps` and `norm` that a condition must have.
        metric: `accuracy` or `consistency`.
        end: `value`, or the interval's `low` or `high`.
        sign: `>=`, `<=`, `>`, `<` or `==`.
        number: what to compare with.
    """

    text: str
    name: str
    selection: tuple[tuple[str, str | float], ...] = ()
    metric: str = "accuracy"
    end: str = "value"
    sign: str = ">="
    number: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a gate.

        Raises:
            ParameterError: it does not follow the grammar.
        """
        shown = _shown(text)
        if text.strip() == NO_REGRESSION:
            return cls(text.strip(), NO_REGRESSION)
        whole = _GATE.fullmatch(text) if len(text) <= _LONGEST else None
        parts = whole and _REFERENCE.fullmatch(whole["left"].strip())
        if whole is None or parts is None:
            raise ParameterError(
                f"gate {shown} is not understood: write NAME[key=value].accuracy >= NUMBER, such as "
                f"'clean.accuracy >= 0.90' or 'pgd[eps=8/255].accuracy.low >= 0.3', or {NO_REGRESSION!r}"
            )
        metric, end = _words(shown, parts["words"])
        number = parse_number(whole["number"])
        if not math.isfinite(number):
            raise ParameterError(f"gate {shown}: {whole['number']} is no finite number")
        chosen = _selection(shown, parts["selection"])
        return cls(" ".join(text.split()), parts["name"], chosen, metric, end, whole["sign"], number)

    def check(self, summary: dict[str, Any], comparison: RunComparison | None = None) -> GateResult:
        """Hold the gate against a summary.

        Args:
            summary: what `summary.json` holds.
            comparison: with the baseline, for `no-regression`.

        Returns:
            The result. Where several conditions are meant, the one that is nearest to breaking the gate decides.

        Raises:
            ParameterError: there is no such figure; a gate on it can neither hold nor fail.
        """
        if self.name == NO_REGRESSION:
            return _no_regression(self, comparison)
        found = _figures(self, summary)
        where, figure = self._worst(found)
        value = float(figure[self.end])
        held = _COMPARE[self.sign](value, self.number)
        among = f", the worst of {len(found)}" if len(found) > 1 else ""
        span = f" ({figure['low']:.4g} to {figure['high']:.4g}, n = {figure['n']})" if figure["low"] is not None else ""
        end = "" if self.end == "value" else f"{self.end} end of "
        return GateResult(self.text, held, value, f"{end}{where}{among}: {float(figure[self.end]):.4g}{span}")

    def _worst(self, found: list[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
        keys: dict[str, Callable[[float], float]] = {
            ">": float,
            "<": operator.neg,
            "=": lambda v: -abs(v - self.number),
        }
        key = keys[self.sign[0]]
        return min(found, key=lambda pair: key(float(pair[1][self.end])))


def check_gates(
    gates: Iterable[str | Gate], summary: dict[str, Any], comparison: RunComparison | None = None
) -> list[GateResult]:
    """Hold gates against a summary; all are read before the first is held.

    Raises:
        ParameterError: a gate is not understood, or names a figure that is not there.
    """
    read = [g if isinstance(g, Gate) else Gate.parse(g) for g in gates]
    return [g.check(summary, comparison) for g in read]


def _figures(gate: Gate, summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The figures that a gate is about, each with its name."""
    shown, aggregates = _shown(gate.text), summary["aggregates"]
    if gate.name in ("clean", *aggregates) and (gate.selection or gate.metric != "accuracy"):
        raise ParameterError(f"gate {shown}: {gate.name!r} has no severity, eps, norm or consistency to choose by")
    if gate.name == "clean":
        return [("clean", _there(shown, "clean", summary["clean"], gate.end, summary["notes"].get("accuracy")))]
    if gate.name in aggregates:
        note = summary["notes"].get(gate.name) or summary["notes"].get("calibration")
        return [(gate.name, _there(shown, gate.name, aggregates[gate.name], gate.end, note))]
    conditions = [c for c in summary["conditions"] if gate.name in _names(c)]
    if not conditions:
        known = {"clean", *aggregates, *(n for c in summary["conditions"] for n in _names(c))}
        raise ParameterError(f"gate {shown}: this run has no {gate.name!r}; {did_you_mean(gate.name, known)}")
    chosen = [c for c in conditions if all(_matches(c.get(k), v) for k, v in gate.selection)]
    if not chosen:
        have = ", ".join(c["condition"] for c in conditions)
        raise ParameterError(f"gate {shown}: no condition of {gate.name!r} has these values; this run has {have}")
    note = summary["notes"].get("accuracy")
    return [
        (f"{c['condition']} {gate.metric}", _there(shown, c["condition"], c[gate.metric], gate.end, note))
        for c in chosen
    ]


def _there(shown: str, name: str, figure: dict[str, Any] | None, end: str, note: str | None) -> dict[str, Any]:
    if figure is None or figure[end] is None:
        raise ParameterError(f"gate {shown}: this run has no figure for {name!r} ({note or 'it has no finite value'})")
    return figure


def _names(condition: dict[str, Any]) -> Sequence[str]:
    """All that a condition may be called: its id, its method, and its line of the plan."""
    name, method = condition["condition"], condition["method"]
    for key in ("severity", "eps"):
        if condition.get(key) is not None:
            name = name.removesuffix(f"-{condition[key]:.6g}")
    label = name.removesuffix(f"-{condition['norm']}") if condition["norm"] else name
    return condition["condition"], method, name, label


def _matches(value: Any, wanted: str | float) -> bool:
    if isinstance(wanted, str) or not isinstance(value, int | float):
        return bool(value == wanted)
    return math.isclose(value, wanted, rel_tol=1e-5, abs_tol=1e-12)


def _words(shown: str, text: str) -> tuple[str, str]:
    metric, end = "accuracy", "value"
    words = text.split(".")[1:]
    for i, word in enumerate(words):
        if word in _METRICS and i == 0:
            metric = word
        elif word in _ENDS and i == len(words) - 1:
            end = word
        else:
            raise ParameterError(f"gate {shown}: no figure {word!r} there; {did_you_mean(word, (*_METRICS, *_ENDS))}")
    return metric, end


def _selection(shown: str, text: str | None) -> tuple[tuple[str, str | float], ...]:
    chosen: list[tuple[str, str | float]] = []
    for part in (text or "").split(",") if text is not None else ():
        key, equals, value = (p.strip() for p in part.partition("="))
        if key not in _KEYS or not equals or not value:
            raise ParameterError(f"gate {shown}: {part.strip()!r} is none of severity=, eps= and norm= with a value")
        chosen.append((key, value if key == "norm" else parse_number(value)))
    return tuple(chosen)


def _no_regression(gate: Gate, comparison: RunComparison | None) -> GateResult:
    if comparison is None:
        raise ParameterError(f"gate {NO_REGRESSION!r} needs a run to compare with: give --baseline DIR")
    worse = [c for c in comparison.conditions if c.verdict == "worse"]
    few = f"{len(comparison.conditions)} conditions on {comparison.n} samples"
    lacking = f"; not compared, absent here: {', '.join(comparison.only_baseline)}" if comparison.only_baseline else ""
    if not worse:
        return GateResult(gate.text, True, 0.0, f"no condition is significantly worse ({few}){lacking}")
    told = "; ".join(
        f"{c.condition.id}: {c.baseline.value:.4g} to {c.candidate.value:.4g} (p = {c.paired.p_holm:.2g} after Holm)"
        for c in worse
    )
    return GateResult(gate.text, False, float(len(worse)), f"worse: {told} ({few}){lacking}")


def _shown(text: str) -> str:
    """The gate in one short line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(line if len(line) <= 80 else line[:77] + "...")
