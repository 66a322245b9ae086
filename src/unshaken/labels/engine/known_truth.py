"""Where the true labels are known: how well a finder tells wrong ones, and how far a network has memorised them."""

from __future__ import annotations

from dataclasses import dataclass

from unshaken.labels.engine.confident_joint import lowest
from unshaken.labels.engine.finder import LabelScores
from unshaken.measure.detection.detection import aupr
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.columns import Flags, Indices
from unshaken.measure.statistics.intervals import Figure, share

RESAMPLES = 400
"""Of the bootstrap of average precision."""


def judge_scores(found: LabelScores, labels: Indices, true: Indices) -> dict[str, Figure]:
    """Judge a finder by labels whose truth is known.

    Args:
        found: its scores of all samples.
        labels: as given, int `[N]`.
        true: int `[N]`; a sample whose true label is not known, -1, is left out.

    Returns:
        `auroc`: chance that a wrong label is more suspect than a right one. `average_precision`: of the ranking; one
        that knows nothing has the share of wrong labels. `precision_at_wrong`: share of wrong labels among as many of
        the most suspect as are wrong in truth. Where it flags: `precision` and `recall` of the flags, and `corrected`,
        the share of wrong labels for which it suggests the true one. A figure of no sample is absent; all are where no
        label is wrong, or all are.
    """
    known = true >= 0
    score, wrong = found.score[known], (labels != true)[known]
    right_suggestion = (found.suggested == true)[known]
    count = int(wrong.sum())
    if count in (0, len(wrong)):
        return {}
    suspicion = -score
    figures = {
        "auroc": auroc(suspicion[~wrong], suspicion[wrong]),
        "average_precision": aupr(suspicion[~wrong], suspicion[wrong], resamples=RESAMPLES).figure,
        "precision_at_wrong": share(int(wrong[lowest(score, count)].sum()), count),
    }
    if found.flagged is not None:
        flagged = found.flagged[known]
        hits = int((flagged & wrong).sum())
        if flagged.any():
            figures["precision"] = share(hits, int(flagged.sum()))
        figures["recall"] = share(hits, count)
        figures["corrected"] = share(int(right_suggestion[wrong].sum()), count)
    return figures


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
