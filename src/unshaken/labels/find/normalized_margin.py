"""Normalised margin: the probability of the given label against the best of the others."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveFloat, model_validator
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.labels.engine.finder import (
    Evidence,
    Finder,
    LabelScores,
    adjusted_summary,
    likeliest_temperature,
    tempered_summary,
)


@register("normalized-margin", reference="Northcutt, Jiang & Chuang 2021, arXiv:1911.00068")
class NormalizedMargin(Finder):
    """Rank labels by their probability less that of the best other class."""

    adjust: bool = Field(default=False, description="subtract each class's mean first, for classes of unequal size")
    temperature: PositiveFloat = Field(
        default=1.0, description="temperature of the probabilities; above 1 for a sure model"
    )
    calibrate: bool = Field(default=False, description="choose the temperature at which the given labels are likeliest")

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        if self.adjust + self.calibrate + (self.temperature != 1) > 1:
            raise ValueError("adjust, temperature and calibrate do not go together: choose one")
        return self

    @override
    def find(self, evidence: Evidence) -> LabelScores:
        """`score = (p[given] - max(p[other]) + 1) / 2`, in [0, 1]; the temperature that was fitted is a figure."""
        summary, figures = evidence.summary(), {}
        if self.adjust:
            summary = adjusted_summary(evidence)
        elif self.calibrate or self.temperature != 1:
            temperature = likeliest_temperature(evidence) if self.calibrate else self.temperature
            summary, figures = tempered_summary(evidence, temperature), {"temperature": temperature}
        return LabelScores((summary.margin + 1) / 2, evidence.summary().best, figures=figures)
