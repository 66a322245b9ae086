"""Gates: conditions on figures, read by a small grammar and never evaluated as code.

gate      = "no-regression" | reference comparison number
reference = name [ "[" key "=" value { "," key "=" value } "]" ] { "." word }
name      = "clean" | "slice" | an aggregate | a method | a line of the plan | a condition
key       = "severity" | "eps" | "norm" | "radius" | "group" | "set" | of slices: a column | "condition"
word      = "accuracy" | "consistency" | a figure of certificates, of nearest examples or of a detector | end
end       = "value" | "low" | "high"
comparison = ">=" | "<=" | ">" | "<" | "=="
number    = a number or a fraction such as 8/255
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unshaken.attack.engine.attack_run import UNFINISHED, name_search
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import parse_number
from unshaken.report.cells import counted
from unshaken.report.gates.figures import (
    CERTIFIED,
    CHOSEN_BY,
    DETECTOR,
    NEAREST,
    NON_FINITE,
    OF_TASKS,
    SLICE,
    figures_of,
    figures_of_certificates,
    figures_of_detectors,
    figures_of_slices,
    shown_gate,
)
from unshaken.report.gates.kept import GateResult

if TYPE_CHECKING:
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
_METRICS = (
    "accuracy",
    "consistency",
    *(m for names in OF_TASKS.values() for m in names),
    *CERTIFIED,
    *NEAREST,
    *DETECTOR,
)
_ENDS = ("value", "low", "high")
_KEYS = ("severity", "eps", "norm")
_WORDS = ("norm", "group", "set")
"""The keys whose values are words."""
_LONGEST = 300
_GATE = re.compile(
    r"\s*(?P<left>[^<>=\[\]]+(?:\[[^\[\]<>]*\])?[^<>=\[\]]*?)\s*(?P<sign>>=|<=|==|>|<)\s*(?P<number>\S+)\s*"
)
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_+-]*(?:\.\d+)?)(?:\[(?P<selection>[^\]]*)\])?(?P<words>(?:\.[A-Za-z_0-9]+)*)"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a figure of a summary.

    Args:
        text: as written.
        name: what it is about; `no-regression` for the comparison with a baseline.
        selection: `severity`, `eps` and `norm` that a condition must have, `radius` of a certificate, `group` and
            `set` of abnormal images.
        metric: `accuracy`, `consistency`, of a detector of objects `map` or `ap50`, of pixels `miou` or
            `boundary_iou`, of certificates `certified_accuracy` or `certified_share`, of nearest examples `median`,
            `median_of_broken`, `mean_of_broken` or `success`, or of a detector one of `DETECTOR`.
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
        """Read a gate from its text.

        Raises:
            ParameterError: it does not follow the grammar.
        """
        shown = shown_gate(text)
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
        number = parse_number(whole["number"], f"gate {shown}")
        if not math.isfinite(number):
            raise ParameterError(f"gate {shown}: {whole['number']} is no finite number")
        if (parts["name"] == "clean" or ".accuracy" in parts["words"] or metric in CERTIFIED) and not 0 <= number <= 1:
            raise ParameterError(
                f"gate {shown}: {whole['number']} is no share, so the gate could never decide anything: write a number "
                "from 0 to 1"
            )
        if parts["name"] == SLICE:
            chosen = _slice(shown, parts["selection"] or "", metric)
        else:
            chosen = _selection(shown, parts["selection"], _keys_of(metric))
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
        of = figures_of_detectors if self.metric in DETECTOR else figures_of
        of = figures_of_slices if self.name == SLICE else of
        found = (figures_of_certificates if self.metric in CERTIFIED else of)(self, summary)
        where, figure = self._worst(found)
        value = float(figure[self.end])
        held = _COMPARE[self.sign](value, self.number)
        among = f", the worst of {len(found)}" if len(found) > 1 else ""
        low, high = (math.inf if figure[e] is None else figure[e] for e in ("low", "high"))
        span = f" ({low:.4g} to {high:.4g}, n = {figure['n']})" if math.isfinite(low) else ""
        end = "" if self.end == "value" else f"{self.end} end of "
        doubt = _unfinished(self.name, where, summary)
        return GateResult(self.text, held, value, f"{end}{where}{among}: {float(figure[self.end]):.4g}{span}{doubt}")

    def _worst(self, found: list[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
        keys: dict[str, Callable[[float], float]] = {
            ">": float,
            "<": operator.neg,
            "=": lambda v: -abs(v - self.number),
        }
        key = keys[self.sign[0]]
        return min(found, key=lambda pair: key(float(pair[1][self.end])))


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
    return [g.check(summary, comparison) for g in read] + check_finite(read, summary)


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


def asked_radii(gates: Sequence[str | Gate]) -> list[float]:
    """The sizes at which gates ask for figures of certificates; gates that are not understood ask for none."""
    found = list[float]()
    for one in gates:
        with suppress(ParameterError):
            gate = one if isinstance(one, Gate) else Gate.parse(one)
            found += [
                v for k, v in gate.selection if k == "radius" and isinstance(v, float | int) and 0 <= v < math.inf
            ]
    return found


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


def _keys_of(metric: str) -> tuple[str, ...]:
    """What the figures of a metric are chosen by."""
    if metric in CERTIFIED:
        return ("radius",)
    return CHOSEN_BY if metric in DETECTOR else _KEYS


def _selection(shown: str, text: str | None, keys: tuple[str, ...]) -> tuple[tuple[str, str | float], ...]:
    chosen: list[tuple[str, str | float]] = []
    for part in (text or "").split(",") if text is not None else ():
        key, equals, value = (p.strip() for p in part.partition("="))
        if key not in keys or not equals or not value:
            known = f"none of {'=, '.join(keys[:-1])}= and {keys[-1]}=" if keys[1:] else f"not {keys[0]}="
            hint = did_you_mean(key, keys)  # all names stand in the message already
            near = f"; {hint}" if key not in keys and hint.startswith("did you mean") else ""
            raise ParameterError(f"gate {shown}: {part.strip()!r} is {known} with a value{near}")
        chosen.append((key, value if key in _WORDS else parse_number(value, f"gate {shown}")))
    return tuple(chosen)


def _slice(shown: str, text: str, metric: str) -> tuple[tuple[str, str], ...]:
    """Columns of a slice and their parts, and maybe the condition: all words."""
    chosen = [tuple(p.strip() for p in part.partition("=")[::2]) for part in text.split(",")]
    columns = [key for key, _ in chosen if key != "condition"]
    if metric != "accuracy" or not all(key and value for key, value in chosen) or not 1 <= len(columns) <= 2:
        raise ParameterError(
            f"gate {shown} is not understood: write slice[COLUMN=PART].accuracy, with one or two columns and maybe a "
            "condition, such as 'slice[weather=night,condition=fog-3].accuracy >= 0.8'"
        )
    return tuple((key, value) for key, value in chosen)


def _no_regression(gate: Gate, comparison: RunComparison | None) -> GateResult:
    if comparison is None:
        raise ParameterError(f"gate {NO_REGRESSION!r} needs a run to compare with: give --baseline DIR")
    worse = [c for c in comparison.conditions if c.verdict == "worse"]
    few = f"{counted(len(comparison.conditions), 'condition')} on {counted(comparison.n, 'sample')}"
    lacking = f"; not compared, absent here: {', '.join(comparison.only_baseline)}" if comparison.only_baseline else ""
    if not worse:
        return GateResult(gate.text, True, 0.0, f"no condition is shown to be worse ({few}){lacking}")
    words = "; ".join(
        f"{c.condition.id}: {c.baseline.value:.4g} to {c.candidate.value:.4g}, a difference of "
        f"{c.paired.difference.low:.3g} to {c.paired.difference.high:.3g}"
        for c in worse
    )
    return GateResult(gate.text, False, float(len(worse)), f"worse: {words} ({few}){lacking}")
