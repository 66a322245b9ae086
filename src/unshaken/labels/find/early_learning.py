"""Early-learning agreement: at how many epochs of a training the network predicted the given label."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores, mean_over_epochs


@register("early-learning", reference="Shwartz, Stern & Weinshall 2022, arXiv:2210.00583")
class EarlyLearning(Finder):
    """Rank labels by how often networks predicted them while they were trained; right ones are learned first.

    A wrong label is memorised late or never. The mean is over all epochs and over all networks that had the sample,
    the ensemble learning pace of the paper. Labels that were predicted equally often are ranked by their mean margin.
    """

    needs = frozenset({"margins"})

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        margins = evidence.known(evidence.margins)
        agreed = mean_over_epochs(np.where(np.isnan(margins), np.nan, margins > 0))
        depth = np.argsort(np.argsort(mean_over_epochs(margins), kind="stable"), kind="stable") / len(evidence)
        score = agreed + depth / (len(margins) + 1)  # a rank below 1 never bridges the step of one epoch
        return LabelScores(score, evidence.suggestion(), agreed < 0.5)
