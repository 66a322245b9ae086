"""Figures across models: robust lines of families, effective robustness, and groups by the factors of design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.measure import EffectiveRobustness, RobustnessLine, effective_robustness, fit_line
from unshaken.measure.statistics.columns import Numbers
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot.aspects import JUDGED_HALF, model_figures
from unshaken.tasks.zero_shot.model_factors import FACTORS, UNKNOWN, matched_difference
from unshaken.tasks.zero_shot.record import HolisticRecord

LEAST = 3
"""Models that a line is drawn through at least: two always lie on one."""
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class FamilyLine:
    """The line through the accuracies of one family of models.

    Args:
        line: Huber's, of accuracies as they are.
        correlation: of both accuracies over the models; None where one of them does not vary.
        models: names.
    """

    line: RobustnessLine
    correlation: float | None
    models: tuple[str, ...]


def family_lines(
    overall: Mapping[str, float], shifted: Mapping[str, float], families: Mapping[str, str]
) -> dict[str, FamilyLine]:
    """A robust line for each family with three models or more of different overall accuracy.

    Args:
        overall: model to accuracy on all images.
        shifted: model to accuracy on the factor's images, or under a shift.
        families: model to family.
    """
    found = {}
    for family in dict.fromkeys(families[m] for m in overall if m in shifted):
        models = tuple(m for m in overall if m in shifted and families[m] == family)
        x, y = _values(overall, models), _values(shifted, models)
        if len(models) >= LEAST and np.ptp(x) > 0:
            r = float(np.corrcoef(x, y)[0, 1]) if np.ptp(y) > 0 else None
            found[family] = FamilyLine(fit_line(x, y, transform="linear", fit="huber"), r, models)
    return found


def robustness_beyond(
    overall: Mapping[str, float], shifted: Mapping[str, float], families: Mapping[str, str], baseline: str = ""
) -> dict[str, EffectiveRobustness]:
    """Effective robustness of each model: its accuracy less what a line of baseline models foretells.

    Args:
        overall: model to accuracy on all images.
        shifted: model to accuracy on the factor's images, or under a shift.
        families: model to family.
        baseline: the family of the baselines; empty for all models. The model itself is never one of its baselines.

    Returns:
        By model; those whose baselines are fewer than three, or all of one accuracy, have no entry.

    Raises:
        ParameterError: there is no such family.
    """
    if baseline and baseline not in families.values():
        known = did_you_mean(baseline, set(families.values()))
        raise ParameterError(f"no model is of the family {baseline!r}; {known}")
    found = {}
    for model in overall:
        others = [m for m in overall if m != model and m in shifted and (not baseline or families[m] == baseline)]
        x = _values(overall, others)
        if model in shifted and len(others) >= LEAST and np.ptp(x) > 0:
            y = _values(shifted, others)
            found[model] = effective_robustness(
                overall[model], shifted[model], x, y, transform="linear", fit="huber", resamples=RESAMPLES
            )
    return found


def _values(of: Mapping[str, float], models: Sequence[str]) -> Numbers:
    return np.array([of[m] for m in models], np.float64)


Found = dict[str, Any]
FIGURES = "figures.json"


def read_figures(run: RunDir) -> Found:
    """All figures of a comparison, from rows.

    Args:
        run: as `holistic` leaves it.

    Returns:
        JSON: `models` (name to aspect to figures), `shifted` (a factor or a set to accuracy by model, effective
        robustness and the lines of families) and `groups` (differences at the same accuracy).

    Raises:
        RunError: there is no comparison, or a run beneath is damaged.
    """
    record = HolisticRecord.read(run)
    models = {m.name: model_figures(run, record, m) for m in record.models if m.done}
    families = {m.name: m.factors.line for m in record.models}
    values = _shifted(models, record.shifts)
    shifted = {name: _line(models, own, families, record.baseline) for name, own in values.items()}
    return {"models": models, "shifted": shifted, "groups": _groups(record, models)}


def _shifted(models: Mapping[str, Found], shifts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Accuracy by model on each factor's images, under corruptions and on each further set."""
    found: dict[str, dict[str, float]] = {}
    for name, figures in models.items():
        for factor, own in figures.get("visual", {}).items():
            found.setdefault(factor, {})[name] = own["accuracy"]["value"]
        for severity, figure in figures.get("corruptions", {}).items():
            found.setdefault(f"corruptions, severity {severity}", {})[name] = figure["value"]
        for key, own in figures.get("calibration", {}).get("sets", {}).items():
            if key in shifts:
                found.setdefault(key, {})[name] = own["accuracy"]["value"]
    return found


def _line(
    models: Mapping[str, Found], values: Mapping[str, float], families: Mapping[str, str], baseline: str
) -> Found:
    overall = {name: models[name]["accuracy"]["value"] for name in values}
    beyond = robustness_beyond(overall, values, families, baseline)
    lines = family_lines(overall, values, families)
    return {
        "accuracy": dict(values),
        "effective": {name: {"rho": e.rho.to_json(), "predicted": e.predicted} for name, e in beyond.items()},
        "lines": {
            family: {
                "slope": f.line.slope, "intercept": f.line.intercept, "correlation": f.correlation,
                "models": list(f.models),
            }
            for family, f in lines.items()
        },
    }  # fmt: skip


def scalars(figures: Found) -> dict[str, float]:
    """One number an aspect, by which groups of models are compared."""
    found = {}
    visual = [own["accuracy"]["value"] for own in figures.get("visual", {}).values()]
    found["accuracy on factors"] = float(np.mean(visual)) if visual else None
    found["shape bias"] = figures["shape"].get("bias", {}).get("value")
    areas = [own["auroc"]["value"] for own in figures["abnormal"].values()]
    found["AUROC of abnormal images"] = float(np.mean(areas)) if areas else None
    sets = figures.get("calibration", {}).get("sets", {})
    found["ECE"] = sets.get(JUDGED_HALF, {}).get("ece", {}).get("value")
    first = [own["recall_1"]["value"] for own in figures["retrieval"].values()]
    found["recall at 1"] = float(np.mean(first)) if first else None
    hits = [figure["value"] for figure in figures.get("corruptions", {}).values()]
    found["accuracy under corruptions"] = float(np.mean(hits)) if hits else None
    return {name: value for name, value in found.items() if value is not None}


def _groups(record: HolisticRecord, models: Mapping[str, Found]) -> list[Found]:
    """Differences between the groups of each factor, at the same accuracy."""
    found = []
    factors = {m.name: m.factors for m in record.models}
    numbers = {name: scalars(figures) for name, figures in models.items() if "accuracy" in figures}
    for factor in FACTORS:
        groups = {name: factors[name].value(factor) for name in numbers}
        values = sorted({g for g in groups.values() if g != UNKNOWN})
        for figure in dict.fromkeys(key for own in numbers.values() for key in own):
            names = [n for n in numbers if figure in numbers[n]]
            for one, other in combinations(values, 2):
                difference = matched_difference(
                    [numbers[n][figure] for n in names], [models[n]["accuracy"]["value"] for n in names],
                    [groups[n] for n in names], one, other,
                )  # fmt: skip
                if difference is not None:
                    named = {"factor": factor, "one": one, "other": other, "figure": figure}
                    found.append({**named, "difference": difference.to_json()})
    return found
