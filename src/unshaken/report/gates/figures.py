"""Which figures of a summary a gate is about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import show_budget
from unshaken.core.part import TARGETED
from unshaken.report.gates.grammar import (
    NEAREST,
    OF_ATTACKS,
    OF_SETS,
    OF_SLICES,
    OF_TASKS,
    TASK_SLICES,
    Gate,
    shown_gate,
)
from unshaken.report.wording import label_of, series_of

_CHOSEN_BY_METRIC = {
    **dict.fromkeys(OF_SETS, ("group", "set")),
    **dict.fromkeys(OF_ATTACKS, ("norm", "eps")),
    "mean_auroc": ("group",),
    "accepted": (),
}
TASKS = {"objects": "detector of objects", "segmentation": "model that gives a class for each pixel"}
"""Which model has them."""
_SIZES = 8
"""Radii that a message names."""
FEW_BROKEN = "fewer than half of the samples were broken, or none was right when unchanged"
Row = dict[str, Any]
Named = list[tuple[str, Row]]


def figures_of(gate: Gate, summary: dict[str, Any]) -> Named:
    """The figures that a gate is about, each with its name.

    Raises:
        ParameterError: there are none.
    """
    shown, aggregates = shown_gate(gate.text), summary["aggregates"]
    for part, metrics in OF_TASKS.items():
        if summary.get(part) or gate.metric in metrics:
            return _of_task(part, gate, shown, summary)
    if gate.name in ("clean", *aggregates) and (gate.selection or gate.metric != "accuracy"):
        raise ParameterError(f"gate {shown}: {gate.name!r} has no severity, eps, norm or consistency to choose by")
    if gate.name == "clean":
        return [("clean", _there(shown, "clean", summary["clean"], gate.end, summary["notes"].get("accuracy")))]
    if gate.name in aggregates:
        note = summary["notes"].get(gate.name) or summary["notes"].get("calibration")
        return [(gate.name, _there(shown, gate.name, aggregates[gate.name], gate.end, note))]
    nearest = gate.metric in NEAREST
    every = summary["minimal_norms" if nearest else "conditions"]
    others = summary["conditions" if nearest else "minimal_norms"]
    if not any(gate.name in _names(c) for c in every) and any(gate.name in _names(c) for c in others):
        instead = f"{gate.name}.accuracy" if nearest else f"{gate.name}.median"
        what = "has budgets and no nearest examples" if nearest else "holds nearest examples, which have no accuracy"
        raise ParameterError(f"gate {shown}: {gate.name!r} {what}; use {instead!r}")
    chosen = _chosen(gate, shown, every, ("clean", *aggregates))
    if proven := [c for c in chosen if c["condition"] in {one["condition"] for one in summary["certified"]}]:
        size = show_budget(proven[0].get("eps") or proven[0].get("severity") or 0.0, 6)
        instead = f"{gate.name}[radius={size}].certified_{'accuracy' if gate.metric == 'accuracy' else 'share'}"
        raise ParameterError(f"gate {shown}: {gate.name!r} is a certificate and changes no image; use {instead!r}")
    note = FEW_BROKEN if nearest else summary["notes"].get("accuracy")
    return [
        (f"{c['condition']} {gate.metric}", _there(shown, c["condition"], _figure(c, gate.metric), gate.end, note))
        for c in chosen
    ]


def _of_task(part: str, gate: Gate, shown: str, summary: dict[str, Any]) -> Named:
    """A figure such as mAP or mIoU of unchanged images, or of conditions."""
    found, metrics = summary.get(part), OF_TASKS[part]
    if not found:
        raise ParameterError(f"gate {shown}: this run is none of a {TASKS[part]}, so it has no {gate.metric!r}")
    if gate.metric not in metrics:
        raise ParameterError(f"gate {shown}: a {TASKS[part]} has no {gate.metric}; use '{gate.name}.{metrics[0]}'")
    clean = {"condition": "clean", "method": "clean", "norm": None, **{m: found[m] for m in metrics}}
    every = [clean, *summary["conditions"]]
    return [
        (f"{c['condition']} {gate.metric}", _there(shown, c["condition"], c[gate.metric], gate.end, None))
        for c in _chosen(gate, shown, every)
    ]


def _chosen(gate: Gate, shown: str, every: Sequence[Row], others: Sequence[str] = ()) -> list[Row]:
    """The conditions of a gate's name that have the values of its selection; `others` are further known names."""
    conditions = [c for c in every if gate.name in _names(c)]
    if not conditions:
        known = {*others, *(n for c in every for n in _names(c))}
        raise ParameterError(f"gate {shown}: this run has no {gate.name!r}; {did_you_mean(gate.name, known)}")
    chosen = [c for c in conditions if all(matches(c.get(k), v) for k, v in gate.selection)]
    if not chosen:
        have = ", ".join(c["condition"] for c in conditions)
        raise ParameterError(f"gate {shown}: no condition of {gate.name!r} has these values; this run has {have}")
    return chosen


def _figure(condition: dict[str, Any], metric: str) -> dict[str, Any] | None:
    """A condition's figure; a median that is beyond every distance found is infinite."""
    figure: dict[str, Any] | None = condition[metric]
    if metric == "median" and figure is None and condition["success"] is not None:
        return {"value": math.inf, "low": None, "high": None, "n": condition["success"]["n"], "interval": ""}
    return figure


def _there(shown: str, name: str, figure: dict[str, Any] | None, end: str, note: str | None) -> dict[str, Any]:
    if figure is None or figure[end] is None:
        raise ParameterError(f"gate {shown}: this run has no figure for {name!r} ({note or 'it has no finite value'})")
    return figure


def _names(condition: Row) -> Sequence[str]:
    """All that a condition may be called: its id, its method, and its line of the plan with and without the norm.

    A targeted attack is not called by its method alone: a gate on that is about the accuracy under the untargeted one.
    """
    method = () if condition.get("group") == TARGETED else (condition["method"],)
    return condition["condition"], *method, series_of(condition), label_of(condition)


def matches(value: Any, wanted: str | float) -> bool:
    """Whether a record has the value that a gate chose: a word, or a number but for rounding."""
    if isinstance(wanted, str) or not isinstance(value, int | float):
        return bool(value == wanted)
    return math.isclose(value, wanted, rel_tol=1e-5, abs_tol=1e-12)


# Figures of certificates.


def figures_of_certificates(gate: Gate, summary: dict[str, Any]) -> Named:
    """The figures of certificates at the radius that a gate is about, each with its name.

    Of the conditions of a line, those answer that were run at just this radius, where there are any.

    Raises:
        ParameterError: there are none.
    """
    shown, rows = shown_gate(gate.text), {c["condition"]: c for c in summary["conditions"]}
    at = [(rows.get(one["condition"], one), one) for one in summary["certified"]]
    named = [(row, one) for row, one in at if gate.name in _names(row)]
    if not named:
        known = {name for row, _ in at for name in _names(row)}
        have = did_you_mean(gate.name, known) if known else "it has none at all"
        raise ParameterError(f"gate {shown}: this run has no certificates {gate.name!r}; {have}")
    sizes = dict.fromkeys(show_budget(r["radius"], 6) for _, one in named for r in one["radii"])
    listed = f"{', '.join(list(sizes)[:_SIZES])}{' and others' if len(sizes) > _SIZES else ''}"
    wanted = dict(gate.selection).get("radius")
    if wanted is None:
        raise ParameterError(
            f"gate {shown}: a certificate has this figure at a radius: write '{gate.name}[radius=...].{gate.metric}', "
            f"with one of {listed}"
        )
    own = [(row, one) for row, one in named if matches(row.get("eps", row.get("severity")), wanted)] or named
    found = [
        (f"{one['condition']} {gate.metric} at radius {show_budget(r['radius'])}", r[gate.metric])
        for _, one in own
        for r in one["radii"]
        if matches(r["radius"], wanted)
    ]
    if not found:
        raise ParameterError(
            f"gate {shown}: this run has no figure of {gate.name!r} at this radius, but at {listed}; certify it there, "
            "with --radius or in the plan"
        )
    note = summary["notes"].get("accuracy")
    return [(name, _there(shown, name, figure, gate.end, note)) for name, figure in found]


# Figures of detectors.


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
    keys = _CHOSEN_BY_METRIC[gate.metric]
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


# Figures of slices.


def figures_of_slices(gate: Gate, summary: dict[str, Any]) -> Named:
    """The figure of the slice that a gate is about, under its condition; unchanged where it names none.

    Raises:
        ParameterError: there is none.
    """
    shown, rows = shown_gate(gate.text), summary["slices"]
    if not rows:
        raise ParameterError(f"gate {shown}: this run has no slices; make them with --slices or 'unshaken slices'")
    chosen = [(key, str(value)) for key, value in gate.selection if key != "condition"]
    condition = dict(gate.selection).get("condition", "clean")
    orders = (chosen, chosen[::-1])
    wanted = [("*".join(key for key, _ in one), "*".join(part for _, part in one)) for one in orders]
    own = [r for r in rows if r["slicing"] in {name for name, _ in wanted}]
    if not own:
        known = {r["slicing"] for r in rows}
        raise ParameterError(f"gate {shown}: no slices by {wanted[0][0]!r}; {did_you_mean(wanted[0][0], known)}")
    own = [r for r in own if (r["slicing"], r["part"]) in wanted] or _lacking(shown, "part", wanted[0][1], own)
    own = [r for r in own if r["condition"] == condition] or _lacking(shown, "condition", str(condition), own)
    found, metrics = [], ("accuracy", *TASK_SLICES)
    for row in own:
        name = f"{row['slicing']} {row['part']} {row['condition']} {gate.metric}"
        have = next(m for m in metrics if row.get(m))
        if gate.metric != have and not (have == "accuracy" and gate.metric in OF_SLICES):
            raise ParameterError(
                f"gate {shown}: slices of this run have {have}, not {gate.metric}: write slice[...].{have}"
            )
        figure = row[have] if gate.metric == have else (row["confidence"] or {}).get(gate.metric)
        found.append((name, _there(shown, name, figure, gate.end, "no sample of it has a label and a confidence")))
    return found


def _lacking(shown: str, key: str, value: str, rows: Sequence[Row]) -> list[Row]:
    """Refuse a value that no row of a slice has."""
    raise ParameterError(f"gate {shown}: no {key} {value!r} there; {did_you_mean(value, {r[key] for r in rows})}")
