"""How well a finder tells wrong labels from right ones, where the true labels are known."""

from __future__ import annotations

from unshaken.labels.engine.finder import LabelScores
from unshaken.labels.engine.pruning import lowest
from unshaken.measure.detection.detection import aupr
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.columns import Indices
from unshaken.measure.statistics.intervals import Figure, share

RESAMPLES = 400
"""Of the bootstrap of average precision."""


def judge_scores(found: LabelScores, labels: Indices, true: Indices) -> dict[str, Figure]:
    """Figures of a finder.

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
