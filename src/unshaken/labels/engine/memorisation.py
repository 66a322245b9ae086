"""Memorisation: what becomes of wrong labels while a network learns from them."""

from __future__ import annotations

from dataclasses import dataclass

from unshaken.measure.statistics.columns import Flags, Indices


@dataclass(frozen=True, slots=True)
class Memorisation:
    """Predictions of training samples, as shares; the first three sum to 1, and are NaN where no label is wrong.

    Args:
        memorised: of samples with a wrong label, those predicted as labelled.
        corrected: of these, those predicted as their true class.
        neither: of these, all others.
        fitted: of samples with a right label, those predicted right.
    """

    memorised: float
    corrected: float
    neither: float
    fitted: float


def memorisation(predicted: Indices, given: Indices, truth: Indices) -> Memorisation:
    """How far a network has memorised wrong labels.

    Args:
        predicted: classes of the training samples, int `[N]`.
        given: their labels, `[N]`.
        truth: their true classes, `[N]`.

    Source: Liu et al. 2020, arXiv:2007.00151, figure 1.

    >>> import numpy as np
    >>> memorisation(np.array([1, 0, 2, 3]), np.array([1, 1, 1, 3]), np.array([0, 0, 0, 3]))
    Memorisation(memorised=0.333..., corrected=0.333..., neither=0.333..., fitted=1.0)
    """
    wrong = given != truth
    memorised, corrected = _share((predicted == given)[wrong]), _share((predicted == truth)[wrong])
    return Memorisation(memorised, corrected, 1 - memorised - corrected, _share((predicted == given)[~wrong]))


def _share(hits: Flags) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
