"""Figures of a detector of objects: mAP under every condition, by size, by class, and what is left under shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.core.part import CLEAN
from unshaken.measure.object_detection.average_precision import average_precision, precision_recall_curve
from unshaken.measure.object_detection.errors import Errors, cost_figures
from unshaken.measure.object_detection.map_figures import Maps, map_difference, map_figure, resampled_map, shifted_map
from unshaken.measure.object_detection.matching import AREAS, Matches
from unshaken.report.cells import Row
from unshaken.report.figures.means import mean_there

RESAMPLES = 200
"""Halves of the images behind an interval."""
AP50, AP75 = 0, 5
"""Places of two thresholds."""


def figure_of(matches: Matches, **chosen: Any) -> Row | None:
    """MAP of some thresholds or areas; None where there is no such object."""
    try:
        return map_figure(resampled_map(matches, resamples=RESAMPLES, **chosen)).to_json()
    except ParameterError:
        return None


def of_clean(matches: Matches) -> Row:
    """mAP, AP50, AP75 and mAP by size."""
    found = {
        "map": figure_of(matches),
        "ap50": figure_of(matches, threshold=AP50),
        "ap75": figure_of(matches, threshold=AP75),
    }
    return found | {area: figure_of(matches, area=area) for area in AREAS if area != "all"}


def of_condition(clean: Maps, own: Maps, matches: Matches) -> Row:
    """The figures of a changed condition, and the paired difference to the unchanged images where these are as many."""
    same = clean.images == own.images
    return {
        "map": map_figure(own).to_json(),
        "ap50": figure_of(matches, threshold=AP50),
        "difference": map_difference(clean, own).to_json() if same else None,
    }


def of_errors(errors: Errors) -> Row | None:
    """How many errors there are of each kind, and the AP at an overlap of 0.5 that each costs; None without objects."""
    try:
        costs = cost_figures(errors, resamples=RESAMPLES)
    except ParameterError:
        return None
    return {"counts": errors.counts(), "costs": {name: one and one.to_json() for name, one in costs.items()}}


def of_shifts(clean: Maps, changed: Sequence[Maps]) -> Row | None:
    """The mean over all changes, the relative drop, and effective robustness by COCO-O's line."""
    if not changed or clean.value == 0:
        return None
    found = shifted_map(clean, changed)
    return {
        "mean": found.mean.to_json(),
        "relative_drop": found.relative_drop.to_json(),
        "effective_robustness": found.effective_robustness.to_json(),
    }


def by_class(matches: Mapping[str, Matches], names: Sequence[str]) -> list[Row]:
    """Average precision of each class that has objects, unchanged and the mean over all changes; the weakest first."""
    values = {name: average_precision(one).mean(0) for name, one in matches.items()}
    others = [v for name, v in values.items() if name != CLEAN.id]
    counts = np.bincount(matches[CLEAN.id].object_label, minlength=len(names))
    found = [
        {
            "class": k,
            "name": names[k] if k < len(names) else str(k),
            "objects": int(counts[k]),
            "ap": float(value),
            "ap_changed": mean_there([float(v[k]) for v in others]),
        }
        for k, value in enumerate(values[CLEAN.id])
        if not np.isnan(value)
    ]
    return sorted(found, key=lambda row: (row["ap"], row["class"]))


def mean_curve(matches: Matches) -> list[float]:
    """Precision at 101 recalls and an overlap of 0.5, the mean over classes that have objects."""
    labels = np.unique(matches.object_label[~matches.object_ignored[0]])
    return [float(p) for p in np.mean([precision_recall_curve(matches, int(k)) for k in labels], 0)]
