"""`build`: the summary of a run, from its rows and `run.json` alone. It is `summary.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from unshaken.measure import Figure, WorstCase
from unshaken.report import bookkeeping, budgets, figures, nearest
from unshaken.report.certified import certified
from unshaken.report.compare import RunComparison, compare_frames
from unshaken.report.detected import detected
from unshaken.report.detection_rows import Screened, read_scores
from unshaken.report.frame import Frame, read_frame
from unshaken.report.turns import attacks
from unshaken.run import Condition, RunConfig, RunDir, read_config

NAME = "summary.json"
CLASSWISE = ("worst_natural", "worst_case")
"""The worst cases that are given for each class too."""


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """A run in figures.

    Args:
        data: what `summary.json` holds; its JSON schema is `schema()`.
        config: of the run.
        frame: the outcomes that the figures are made of.
        comparison: with the baseline, if there is one.
        screened: the scores of detectors.
    """

    data: dict[str, Any]
    config: RunConfig
    frame: Frame
    comparison: RunComparison | None
    screened: Screened = field(default_factory=Screened)


def schema() -> dict[str, Any]:
    """The JSON schema of `summary.json`."""
    text = files("unshaken.report").joinpath("summary.schema.json").read_text(encoding="utf-8")
    result: dict[str, Any] = json.loads(text)
    return result


def build(run: RunDir, *, baseline: RunDir | None = None) -> Summary:
    """The figures of a run, with intervals; nothing is computed that rows do not say.

    Args:
        run: a finished run, or one that was stopped: what lacks is then said in `notes` and `complete` is false.
        baseline: a run on the same samples, to compare with by pairs.

    Raises:
        RunError: there is no run, or its rows are damaged.
        ParameterError: the baseline is not on the same samples, or one of the two has no labels.
    """
    config = read_config(run)
    frame = read_frame(run, config)
    notes: dict[str, str] = {}
    error, brier, classes, note = figures.calibration(frame, run)
    if note:
        notes["calibration"] = note
    clean, groups = figures.right_under(frame, 0), figures.method_groups()
    far = nearest.distances(frame, run)
    worst = _worst_cases(frame)
    least = worst["worst_case"]
    if least is None:
        notes["worst_case"] = "no labels" if not frame.labelled else "no sample has a row in every condition"
    elif len(least.ids) < len(frame.ids):
        notes["worst_case"] = f"{len(frame.ids) - len(least.ids)} samples that lack a condition are left out"
    aggregates, more = figures.corruption_figures(frame, config, classes, groups)
    if frame.labelled:
        absent = {"worst_natural": "no change was run that needs no attacker", "worst_attack": "no attack was run"}
        notes |= {name: reason for name, reason in absent.items() if worst[name] is None}
    aggregates |= {name: found and found.accuracy for name, found in worst.items()}
    aggregates |= {"ece": error and error.ece, "brier": brier}
    screened = read_scores(run, config)
    notes |= more | _gaps(frame) | screened.notes
    comparison = None
    if baseline is not None:
        other = read_config(baseline)
        comparison = compare_frames(str(baseline), other, read_frame(baseline, other), str(run), config, frame)
    data = {
        "schema": 1,
        "complete": screened.whole and not frame.unfinished and not frame.lacking() and not _unrun(frame, config),
        "clean": _json(clean),
        "conditions": [_condition(frame, j, groups) for j in sorted(frame.natural + frame.attacks + frame.aside)],
        "aggregates": {name: _json(figure) for name, figure in aggregates.items()},
        "notes": notes,
        "worst_case": _worst(least),
        "robust": budgets.robust_by_budget(frame) if frame.labelled else [],
        "budgets": budgets.attacks_by_budget(frame) if frame.labelled else [],
        "attacks": attacks(frame, run),
        "minimal_norms": nearest.minimal_norms(frame, run, far),
        "norms": nearest.together(frame, far),
        "calibration": _calibration(error),
        "classes": figures.by_class(frame, config.classes, {k: worst[k] for k in CLASSWISE}),
        "certified": certified(run, config, frame),
        "detection": detected(screened),
        "flags": _flags(screened.doubted),
        "bad_samples": [{"id": b.id, "reason": b.reason} for b in frame.bad],
        "cost": bookkeeping.cost(run, frame),
        "provenance": bookkeeping.provenance(config, frame, classes),
        "comparison": comparison and comparison.to_json(),
    }
    return Summary(finite(data), config, frame, comparison, screened)


def finite(value: Any) -> Any:
    """The same JSON with null in the place of numbers that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def _flags(places: Sequence[RunDir]) -> list[dict[str, Any]]:
    """The flags of a run and of those inside it; one that says the same stands once."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for flag in (f for run in places for f in bookkeeping.flags(run)):
        known = merged.setdefault((flag["name"], flag["detail"]), {**flag, "ids": []})
        known["ids"] = list(dict.fromkeys([*known["ids"], *flag["ids"]]))
    return list(merged.values())


def _worst_cases(frame: Frame) -> dict[str, WorstCase | None]:
    """The worst of all conditions, of those that need no attacker, and of the attacks; clean images always count in.

    Nearest examples at any distance are in none of them.
    """
    kinds = {"worst_case": frame.natural + frame.attacks, "worst_natural": frame.natural, "worst_attack": frame.attacks}
    return {
        name: figures.worst_case(frame, [0, *sorted(columns)]) if columns and frame.labelled else None
        for name, columns in kinds.items()
    }


def _json(figure: Figure | None) -> dict[str, Any] | None:
    return None if figure is None else figure.to_json()


def _condition(frame: Frame, place: int, groups: Mapping[str, str]) -> dict[str, Any]:
    one = frame.conditions[place]
    strength: dict[str, Any] = {} if one.severity is None else {"severity": one.severity}
    if one.eps is not None:
        strength["eps"] = one.eps
    spent = frame.spent[one.id]
    return {
        "condition": one.id,
        "method": one.method,
        **strength,
        "norm": one.norm,
        "group": _group(frame, one, groups),
        "accuracy": _json(figures.right_under(frame, place)),
        "consistency": _json(figures.consistent_under(frame, place)),
        "forwards": spent.forwards,
        "backwards": spent.backwards,
        "seconds": spent.seconds,
    }


def _group(frame: Frame, one: Condition, groups: Mapping[str, str]) -> str:
    if one.id in frame.apart:
        return frame.apart[one.id]
    return "attack" if one.id in frame.attacked else groups.get(one.method) or "other"


def _gaps(frame: Frame) -> dict[str, str]:
    notes = {c: f"{k} of {len(frame.ids)} samples have no row yet" for c, k in frame.lacking().items()}
    if frame.unfinished:
        notes["clean"] = f"{frame.unfinished} samples have no row yet: finish the run with --resume"
    unlabelled = int((frame.labels < 0).sum())
    if frame.labelled and unlabelled:
        notes["labels"] = f"{unlabelled} of {len(frame.ids)} samples have no label and are left out of accuracies"
    if not frame.labelled:
        notes["accuracy"] = "no labels: consistency with the clean prediction is given instead"
    return notes


def _unrun(frame: Frame, config: RunConfig) -> set[str]:
    return {e.method for e in config.plan} - {c.method for c in frame.conditions}


def _worst(worst: Any) -> dict[str, Any] | None:
    if worst is None:
        return None
    names, counts = worst.conditions, dict.fromkeys(worst.conditions, 0)
    for name in worst.first_breaker:
        if name is not None:
            counts[name] += 1
    return {
        "conditions": list(names),
        "first_broken": counts,
        "broken_by_this_alone": worst.only,
        "after": {name: figure.to_json() for name, figure in worst.after.items()},
    }


def _calibration(error: Any) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "ece": error.ece.to_json(),
        "bias": error.bias,
        "p_calibrated": error.p_calibrated,
        "signed_gap": error.signed_gap,
        "max_gap": error.max_gap,
        "binning": error.binning,
        "bins": [
            {"low": b.low, "high": b.high, "confidence": b.confidence, "accuracy": b.accuracy.to_json()}
            for b in error.bins
        ],
    }
