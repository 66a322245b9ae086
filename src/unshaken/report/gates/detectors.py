"""Which figures of detectors a gate is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import show_budget
from unshaken.report.gates.figures import matches, shown_gate

if TYPE_CHECKING:
    from unshaken.report.gates import Gate

OF_SETS = ("auroc", "fpr95_id_accept", "fpr95_ood_recall", "detection_accuracy", "flagged")
OF_ATTACKS = ("naive", "adaptive")
_OF_ALL = ("accepted", "mean_auroc")
DETECTOR = (*OF_SETS, *OF_ATTACKS, *_OF_ALL)
"""Figures of detectors: of each set of abnormal images, of each attack, and of the detector as a whole."""

CHOSEN_BY = ("group", "set", "norm", "eps")
"""What figures of detectors are chosen by: sets by `group` and `set`, attacks by `norm` and `eps`."""

_KEYS = {
    **dict.fromkeys(OF_SETS, ("group", "set")),
    **dict.fromkeys(OF_ATTACKS, ("norm", "eps")),
    "mean_auroc": ("group",),
    "accepted": (),
}

Named = list[tuple[str, dict[str, Any]]]


def figures_of_detectors(gate: Gate, summary: dict[str, Any]) -> Named:
    """The figures of a detector that a gate is about, each with its name.

    Raises:
        ParameterError: there are none.
    """
    shown = shown_gate(gate.text)
    known = {d["condition"]: d for d in summary["detection"]}
    if gate.name not in known:
        have = did_you_mean(gate.name, known) if known else "it has none at all"
        raise ParameterError(f"gate {shown}: this run has no detector {gate.name!r}; {have}")
    keys = _KEYS[gate.metric]
    for key, _ in gate.selection:
        if key not in keys:
            chosen = f"chosen by {' and '.join(keys)}" if keys else "of the detector as a whole"
            raise ParameterError(f"gate {shown}: {gate.metric} is {chosen}, not by {key}")
    every = _every(gate, known[gate.name])
    found = [
        (f"{gate.name} {gate.metric} {name}".rstrip(), figure)
        for name, record, figure in every
        if all(matches(record.get(key), value) for key, value in gate.selection)
    ]
    if not found:
        have = f"it has {', '.join(name for name, _, _ in every)}" if every else "nothing such was run"
        raise ParameterError(f"gate {shown}: {gate.name} has no {gate.metric} with these values; {have}")
    for name, figure in found:
        if figure is None or figure[gate.end] is None:
            raise ParameterError(f"gate {shown}: this run has no figure for {name!r} (no score is a number)")
    return [(name, figure) for name, figure in found if figure is not None]


def _every(gate: Gate, detector: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """All figures of the gate's kind: name, what it is chosen by, figure."""
    metric = gate.metric
    if metric == "accepted":
        return [("", {}, detector["accepted"])]
    if metric == "mean_auroc" and not gate.selection:
        return [("", {}, detector["auroc"])]
    if metric == "mean_auroc":
        return [(m["group"], m, m["auroc"]) for m in detector["means"]]
    if metric in OF_ATTACKS:
        return [
            (f"{a['norm']} {show_budget(a['eps'])}", a, a[metric] and a[metric]["past"]) for a in detector["attacked"]
        ]
    return [
        (f"{g['group']}/{g['name']}".rstrip("/"), {"group": g["group"], "set": g["name"]}, g[metric])
        for g in detector["groups"]
    ]
