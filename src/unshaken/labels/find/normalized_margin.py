"""Normalised margin: the probability of the given label against the best of the others."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveFloat, model_validator

from unshaken.core.registry import register
from unshaken.labels.engine.adjusted import adjusted_summary, tempered_summary
from unshaken.labels.engine.evidence import Evidence
from unshaken.labels.engine.finder import Finder, LabelScores


@register("normalized-margin", reference="Northcutt, Jiang & Chuang 2021, arXiv:1911.00068")
class NormalizedMargin(Finder):
    """Rank labels by their probability less that of the best other class."""

    adjust: bool = Field(False, description="subtract each class's mean first, for classes of unequal size")
    temperature: PositiveFloat = Field(1.0, description="temperature of the probabilities; above 1 for a sure model")

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if self.adjust and self.temperature != 1:
            raise ValueError("adjust and temperature do not go together")
        return self

    def find(self, evidence: Evidence) -> LabelScores:
        """`score = (p[given] - max(p[other]) + 1) / 2`, in [0, 1]."""
        summary = evidence.summary()
        if self.adjust:
            summary = adjusted_summary(evidence)
        elif self.temperature != 1:
            summary = tempered_summary(evidence, self.temperature)
        return LabelScores((summary.margin + 1) / 2, evidence.summary().best)
