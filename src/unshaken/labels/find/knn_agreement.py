"""Nearest neighbours: how many of the samples that look alike bear the same label."""

from __future__ import annotations

import numpy as np
from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores
from unshaken.labels.engine.noise_detection import nearest


@register("knn-agreement", reference="Zhu, Dong & Liu 2022, ICML, arXiv:2110.06283")
class KNNAgreement(Finder):
    """Rank labels by the votes of the nearest samples in feature space."""

    needs = frozenset({"features"})
    k: PositiveInt = Field(default=10, description="neighbours of each sample, itself left out")

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        """`score`: the share of the k nearest samples, by cosine, that bear the label, each weighed by its similarity.

        Flagged is a label that another class outvotes.
        """
        votes = np.zeros((len(evidence), evidence.classes))
        near, similarity = nearest(evidence.known(evidence.features), min(self.k, len(evidence) - 1))
        weights = np.maximum(similarity, 0) + 1e-12
        rows = np.repeat(np.arange(len(evidence)), near.shape[1])
        np.add.at(votes, (rows, evidence.labels[near.ravel()]), weights.ravel())
        votes /= votes.sum(1, keepdims=True)
        own = votes[np.arange(len(votes)), evidence.labels]
        return LabelScores(own, votes.argmax(1), votes.max(1) > own)
