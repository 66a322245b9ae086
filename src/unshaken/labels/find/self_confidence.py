"""Self-confidence: the probability of the given label."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.finder import Evidence, Finder, LabelScores, adjusted_summary


@register("self-confidence", reference="Northcutt, Jiang & Chuang 2021, arXiv:1911.00068")
class SelfConfidence(Finder):
    """Rank labels by their own probability, out of sample."""

    adjust: bool = Field(default=False, description="subtract each class's mean first, for classes of unequal size")

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        """`score = p[given]`."""
        summary = adjusted_summary(evidence) if self.adjust else evidence.summary()
        return LabelScores(summary.own, evidence.summary().best)
