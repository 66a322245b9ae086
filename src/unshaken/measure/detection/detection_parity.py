"""Areas and rates as other code bases compute them, to check figures against theirs; not for new reports.

A score is an abnormality score: higher is more abnormal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.detection import Positive
from unshaken.measure.detection.operating_points import ROUNDING, levels
from unshaken.measure.statistics.columns import Numbers


def trapezoid_pr_area(normal: ArrayLike, abnormal: ArrayLike, *, positive: Positive = "abnormal") -> float:
    """Precision-recall area by trapezoids, from precision 1 at recall 0 (OpenOOD, pytorch-ood).

    It is optimistic: precision is not linear in recall between two thresholds. Prefer `detection.aupr`.

    Args:
        normal: `[n]`.
        abnormal: `[m]`.
        positive: `abnormal` for AUPR-out, `normal` for AUPR-in.

    Raises:
        ParameterError: a group is empty or has missing values; `positive` is neither.

    Source: Davis & Goadrich 2006, ICML, on why not.

    >>> round(trapezoid_pr_area([1, 2], [2, 3]), 4)
    0.9167
    """
    recall, precision = _curve(normal, abnormal, positive)
    return float(np.trapezoid(np.append(1.0, precision), np.append(0.0, recall)))


def padded_pr_area(normal: ArrayLike, abnormal: ArrayLike, *, positive: Positive = "abnormal") -> float:
    """Precision-recall area by trapezoids between the points (0, 0) and (1, 0.5) of Lee et al.: AUIN and AUOUT.

    Args, Raises as in `trapezoid_pr_area`; `normal` as positive gives AUIN, `abnormal` AUOUT. Half the first recall
    step is lost, so a perfect score of few samples stays below 1.

    Source: Lee et al. 2018, arXiv:1807.03888, in the evaluation that comes with it.

    >>> padded_pr_area([1, 2], [3, 4])
    0.75
    """
    recall, precision = _curve(normal, abnormal, positive)
    return float(np.trapezoid(np.concatenate([[0.0], precision, [0.5]]), np.concatenate([[0.0], recall, [1.0]])))


def tnr_at_nearest_tpr(normal: ArrayLike, abnormal: ArrayLike, *, at: float = 0.95) -> float:
    """Share of the abnormal flagged where the share of the normal accepted is NEAREST to `at`, below or above it.

    Of two shares equally near the lower one counts; of several thresholds with that share, the one that accepts most.
    `1 - fpr95_id_accept` keeps the promise of at least `at` instead.

    Args:
        normal: `[n]`.
        abnormal: `[m]`.
        at: in (0, 1].

    Raises:
        ParameterError: a group is empty or has missing values; at is out of range.

    Source: Lee et al. 2018, arXiv:1807.03888, in the evaluation that comes with it.

    >>> tnr_at_nearest_tpr([1, 2, 3, 5], [4, 6], at=0.8)
    0.5
    """
    if not 0 < at <= 1:
        raise ParameterError(f"at must lie in (0, 1], not {at}; 0.95 is usual")
    points = levels(normal, abnormal).points()
    n, m = points.normal[-1], points.abnormal[-1]
    away = np.abs(points.normal - at * n)
    nearest = np.flatnonzero(away <= away.min() + n * ROUNDING)
    accepted = points.normal[nearest[0]]
    cut = int(np.flatnonzero(points.normal == accepted)[-1])
    return float(1 - points.abnormal[cut] / m)


def _curve(normal: ArrayLike, abnormal: ArrayLike, positive: Positive) -> tuple[Numbers, Numbers]:
    """Recall and precision at each distinct threshold, from few retrieved to all."""
    if positive not in ("normal", "abnormal"):
        raise ParameterError(f"positive {positive!r} is not one of ['normal', 'abnormal']")
    points = levels(normal, abnormal).points()
    if positive == "abnormal":
        points = points.mirrored()
    found, wrong = points.normal[1:], points.abnormal[1:]
    return found / found[-1], found / (found + wrong)
