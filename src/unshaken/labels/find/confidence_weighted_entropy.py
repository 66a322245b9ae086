"""Confidence-weighted entropy: how undecided the model is, over the probability of the given label."""

from __future__ import annotations

import numpy as np
from scipy import special
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores

_LEAST = 1e-6


@register("confidence-weighted-entropy", reference="Kuan & Mueller 2022, ICML DataPerf workshop")
class ConfidenceWeightedEntropy(Finder):
    """Rank labels by the model's entropy over their own probability."""

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        """`e = H(p) / ln K / p[given]`, and `score = ln(1 + e) / e`, in [0, 1], with its limit 1 where `e` is 0.

        cleanlab gives 0, its worst score, where the model is certain of the given label.
        """
        summary, entropy = evidence.summary(), np.empty(len(evidence))
        for part, p in evidence.need_probabilities().blocks():
            entropy[part] = special.entr(p).sum(1) / np.log(evidence.classes)
        weighted = entropy / np.maximum(summary.own, _LEAST)
        score = np.ones(len(weighted))
        np.divide(np.log1p(weighted), weighted, out=score, where=weighted > 0)
        return LabelScores(score, summary.best)
