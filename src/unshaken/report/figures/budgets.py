"""Attacks against the budgets that were run: each by itself, and those that share a budget taken together."""

from __future__ import annotations

from typing import Any

import numpy as np

from unshaken import measure
from unshaken.core.part import Condition
from unshaken.report.figures.outcomes import complete, worst_case
from unshaken.report.read.conditions import label_of, series_of
from unshaken.report.read.frame import Frame


def attacks_by_budget(frame: Frame) -> list[dict[str, Any]]:
    """For each attack and norm: robust accuracy against eps, and the median of the least eps that broke a sample.

    A sample broken within a smaller budget is broken within a larger one too.
    """
    series: dict[str, list[int]] = {}
    for j, c in enumerate(frame.conditions):
        if c.eps is not None:
            series.setdefault(series_of(c), []).append(j)
    found = []
    for name, columns in series.items():
        rows = complete(frame, [0, *columns])
        if not len(rows):
            continue
        eps = np.array([frame.conditions[j].eps for j in columns], float)
        broken = frame.right[np.ix_(rows, np.asarray(columns))] == 0
        least = np.where(broken, eps, np.inf).min(1)
        clean = frame.right[rows, 0] == 1
        curve, norm = measure.success_curve(least, clean, eps), measure.minimal_norm(least, clean)
        first: Condition = frame.conditions[columns[0]]
        found.append(
            {
                "attack": label_of(first),
                "series": name,
                "method": first.method,
                "norm": first.norm,
                "eps": eps.tolist(),
                "robust_accuracy": [f.to_json() for f in curve.robust_accuracy],
                "success": [f and f.to_json() for f in curve.success],
                "median_eps": norm.median and norm.median.to_json(),
            }
        )
    return found


def robust_by_budget(frame: Frame) -> list[dict[str, Any]]:
    """For each norm and eps that several attacks share: accuracy under the worst of them, sample by sample."""
    budgets: dict[tuple[str, float], list[int]] = {}
    for j, c in enumerate(frame.conditions):
        if c.eps is not None:
            budgets.setdefault((c.norm or "", round(c.eps, 12)), []).append(j)
    found = []
    for (norm, eps), columns in sorted(budgets.items()):
        worst = worst_case(frame, [0, *columns]) if len(columns) > 1 else None
        if worst is not None:
            names = [label_of(frame.conditions[j]) for j in columns]
            found.append({"norm": norm, "eps": eps, "attacks": names, "accuracy": worst.accuracy.to_json()})
    return found
