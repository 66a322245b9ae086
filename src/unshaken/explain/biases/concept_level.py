"""Concept level: how many units of each model detect colours, textures and objects, at one threshold for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.units.concepts import MADE
from unshaken.explain.units.netdissect import NetDissect
from unshaken.measure import Figure, share

LOW = ("colour", "texture")
"""Categories of low level."""


def low_level_share(counts: Mapping[str, int]) -> Figure | None:
    """The share of colours and textures among detectors, with its interval; None where there is no detector.

    Args:
        counts: category to number of detectors.

    >>> low_level_share({"colour": 1, "texture": 2, "object": 1}).value
    0.75
    """
    total = sum(counts.values())
    return share(sum(counts.get(name, 0) for name in LOW), total) if total else None


@register("concept-level", reference="Chen et al. 2020, arXiv:2006.09373")
class ConceptLevel(Analysis):
    """Concept level: detectors by category and layer, by Network Dissection, of several models at one threshold.

    Another threshold for one of the models would manufacture a difference.
    """

    table: ClassVar[str] = "geometry"
    group: ClassVar[str] = "biases"
    needs: ClassVar[frozenset[str]] = frozenset({"model"})
    several: ClassVar[bool] = True

    layers: tuple[str, ...] = Field(default=(), description="layers, or patterns; empty for the end of each stage")
    concepts: str = Field(default=MADE, description="concept set: 'made', or a folder")
    images: PositiveInt = Field(default=400, description="number of images of the concept set 'made'")
    quantile: float = Field(default=0.995, description="threshold of a unit: quantile of its activations", gt=0, lt=1)
    least: float = Field(default=0.04, description="IoU above which a unit is a detector, in every model", ge=0, lt=1)

    @override
    def find(self, subject: Subject) -> Findings:
        values = {name: getattr(self, name) for name in ("layers", "concepts", "images", "quantile", "least")}
        dissect = NetDissect(**values)
        rows: list[dict[str, Any]] = []
        figures: dict[str, Figure] = {}
        detectors: dict[str, dict[str, dict[str, int]]] = {}
        remarks: list[str] = []
        categories: list[str] = []
        passes = 0
        for model, classifier in subject.models.items():
            found = dissect.find(replace(subject, models={model: classifier}))
            categories, passes = found.extra["categories"], passes + found.forwards
            counted = {layer: dict(counts) for layer, counts in found.extra["detectors"].items()}
            units = dict.fromkeys(found.rows["layer"])
            detectors[model] = {
                layer: {category: counted.get(layer, {}).get(category, 0) for category in categories} for layer in units
            }
            for place, (layer, counts) in enumerate(detectors[model].items()):
                if (figure := low_level_share(counts)) is not None:
                    figures[f"low_level.{model}.{layer}"] = figure
                n = list(found.rows["layer"]).count(layer)
                where = {"model": model, "layer": layer, "depth": place / max(1, len(units) - 1), "n": n}
                rows += [
                    {**where, "quantity": f"detectors of {category}", "value": float(count)}
                    for category, count in counts.items()
                ]
            remarks += [r for r in found.remarks if r not in remarks]
        remarks.append(f"A unit is a detector above an IoU of {self.least:g} in every model.")
        extra = {"models": list(detectors), "detectors": detectors, "categories": categories, "least": self.least}
        columns = {name: [row[name] for row in rows] for name in ("model", "layer", "depth", "quantity", "value", "n")}
        return Findings(columns, figures, tuple(remarks), extra=extra, forwards=passes)
