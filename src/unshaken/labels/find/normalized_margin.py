"""Normalised margin: the probability of the given label against the best of the others."""

from __future__ import annotations

from pydantic import Field

from unshaken.core.registry import register
from unshaken.labels.engine.adjusted import adjusted_summary
from unshaken.labels.engine.evidence import Evidence
from unshaken.labels.engine.finder import Finder, LabelScores


@register("normalized-margin", reference="Northcutt, Jiang & Chuang 2021, arXiv:1911.00068")
class NormalizedMargin(Finder):
    """Rank labels by their probability less that of the best other class."""

    adjust: bool = Field(False, description="subtract each class's mean first, for classes of unequal size")

    def find(self, evidence: Evidence) -> LabelScores:
        """`score = (p[given] - max(p[other]) + 1) / 2`, in [0, 1]."""
        summary = adjusted_summary(evidence) if self.adjust else evidence.summary()
        return LabelScores((summary.margin + 1) / 2, evidence.summary().best)
