"""`netdissect`: the concept that each unit detects best, by intersection over union."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.progress import track
from unshaken.core.registry import register
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.units.concepts import MADE, ConceptSet, open_concepts
from unshaken.explain.units.exemplars import Exemplars, enlarge, probe
from unshaken.explain.units.layers import read_units
from unshaken.explain.units.pictures import ImageReader, page_pictures
from unshaken.explain.units.sketch import OCTAVES
from unshaken.measure import Figure, share

AT_ONCE = 1 << 20
"""Pixels of enlarged maps that are compared at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Counts of pixels for the U units of a layer and C concepts, over the images that tell of a concept's category.

    Args:
        both: above the unit's threshold and of the concept, float64 `[U, C]`.
        unit: above the unit's threshold, float64 `[U, C]`.
        concept: of the concept, float64 `[C]`.
    """

    both: Tensor
    unit: Tensor
    concept: Tensor

    @property
    def iou(self) -> Tensor:
        """Intersection over union, float64 `[U, C]`; 0 where neither has a pixel."""
        return self.both / (self.unit + self.concept - self.both).clamp(min=1)


def count_overlap(
    subject: Subject, thresholds: Mapping[str, Tensor], concepts: ConceptSet, size: tuple[int, int] | None = None
) -> tuple[dict[str, Overlap], int]:
    """Overlaps of the units of some layers with all concepts in one pass; and the number of images.

    Args:
        subject: model and the images of the set.
        thresholds: layer to `[U]`.
        concepts: the set.
        size: height and width at which pixels are counted; None for that of the images.
    """
    group_of = concepts.category_of
    count, groups = len(concepts.concepts), len(concepts.categories)
    both = {n: torch.zeros(len(t), count, dtype=torch.float64) for n, t in thresholds.items()}
    unit = {n: torch.zeros(len(t), groups, dtype=torch.float64) for n, t in thresholds.items()}
    pixels = torch.zeros(count, dtype=torch.float64)
    passes = 0

    def read(layer: str, maps: Tensor) -> None:
        limits = thresholds[layer].to(maps.device)[:, None, None]
        several = max(1, AT_ONCE // (shape[0] * shape[1]))
        for i in range(len(maps)):
            for first in range(0, len(limits), several):
                units = slice(first, first + several)
                above = (enlarge(maps[i, units], shape) > limits[units]).flatten(1).float()
                both[layer][units] += (above @ hot[i].T).cpu().double()
                unit[layer][units] += above.sum(1).cpu().double()[:, None] * widen(known[i])

    with track("overlap with concepts", len(subject.indices)) as task:
        for batch in subject.batches():
            shape = size or (batch.images.shape[2], batch.images.shape[3])
            found, known = concepts.found(batch.ids, subject.model.view, shape)
            hot = found.flatten(2).float().to(subject.device)
            pixels += widen(found.sum((0, 2, 3)))
            read_units(subject.model, batch.images, list(thresholds), read)
            passes += len(batch)
            task.advance(len(batch))
    return {n: Overlap(both[n], unit[n][:, group_of], pixels) for n in thresholds}, passes


@register("netdissect", reference="Bau et al. 2017, Network Dissection, arXiv:1704.05796")
class NetDissect(Analysis):
    """Network Dissection: `IoU_c = sum |M & L_c| / sum |M | L_c|` over the images that tell of the concept's category.

    `M` is where the unit, enlarged to the image, is above its threshold, the `quantile` of all its activations. The
    label of a unit is its best concept; it is a detector if the IoU is above `least`. A concept that covers more than
    a share `1 - quantile` of all pixels cannot reach an IoU of 1: large concepts score low by design. Compare models at
    one `least`.
    """

    table: ClassVar[str] = "units"
    group: ClassVar[str] = "units"
    needs: ClassVar[frozenset[str]] = frozenset({"model"})

    layers: tuple[str, ...] = Field(default=(), description="layers, or patterns; none for the end of each stage")
    concepts: str = Field(default=MADE, description="concept set: 'made', or a folder")
    images: PositiveInt = Field(default=400, description="number of images of the concept set 'made'")
    quantile: float = Field(default=0.995, gt=0, lt=1, description="threshold of a unit: quantile of its activations")
    least: float = Field(default=0.04, ge=0, lt=1, description="IoU above which a unit is a detector")
    k: PositiveInt = Field(default=5, description="exemplars named for each unit")
    resolution: int = Field(
        default=32, description="buckets of a factor of two that thresholds are counted in: 2, 4 ... 128"
    )

    @override
    def find(self, subject: Subject) -> Findings:
        concepts = open_concepts(self.concepts, subject.model, images=self.images, seed=subject.seed)
        own = replace(subject, dataset=concepts.dataset, indices=range(len(concepts.dataset)))
        found, passes = probe(own, self.layers, quantile=self.quantile, k=self.k, resolution=self.resolution)
        overlaps, more = count_overlap(own, {n: one.thresholds for n, one in found.items()}, concepts)
        rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for layer, one in found.items():
            labels = self.labels(overlaps[layer], concepts)
            for unit, (text, category, score) in enumerate(labels):
                broken = bool(one.broken[unit])
                named = [concepts.dataset.ids[s] for s in one.samples[unit].tolist() if s >= 0]
                values = (
                    layer, unit, float(one.thresholds[unit]), named, one.values[unit, : len(named)].tolist(),
                    None if broken else text, None if broken else category, None if broken else score,
                    NOT_FINITE if broken else None,
                )  # fmt: skip
                for name, value in zip(COLUMNS, values, strict=True):
                    rows[name].append(value)
        detector_scores = [s if d else None for s, d in zip(rows["score"], rows["description"], strict=True)]
        figures, extra = summary(rows["layer"], rows["description"], rows["category"])
        remarks = exemplar_remarks(list(found.values()))
        extra |= {"least": self.least, "concepts": len(concepts.concepts), "categories": list(concepts.categories)}
        extra |= {"layers": list(found), "mask_size": list(next(iter(found.values())).size)}
        scores = {n: [s for s, at in zip(detector_scores, rows["layer"], strict=True) if at == n] for n in found}
        arrays = page_pictures(ImageReader(own), found, scores)
        return Findings(rows, figures, remarks, arrays, extra, forwards=passes + more)

    def labels(self, overlap: Overlap, concepts: ConceptSet) -> list[tuple[str | None, str | None, float]]:
        """The best concept of each unit, its category and its IoU; no concept where the unit is no detector.

        Args:
            overlap: of a layer.
            concepts: the set.
        """
        best, which = overlap.iou.max(1)
        found: list[tuple[str | None, str | None, float]] = []
        for score, number in zip(best.tolist(), which.tolist(), strict=True):
            one = concepts.concepts[number]
            found.append((one.name, one.category, score) if score > self.least else (None, None, score))
        return found


COLUMNS = ("layer", "unit", "threshold", "exemplars", "values", "description", "category", "score", "error")
NOT_FINITE = "an activation is not finite"


def summary(
    layers: list[str], descriptions: list[str | None], categories: list[str | None]
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """The share of units with a description, and their counts by layer and category.

    Args:
        layers: of each unit.
        descriptions: of each unit; None without one.
        categories: of each unit; None without one.
    """
    described = sum(d is not None for d in descriptions)
    figures = {"described": share(described, len(descriptions))}
    counts: dict[str, Counter[str]] = {layer: Counter() for layer in layers}
    for layer, text, category in zip(layers, descriptions, categories, strict=True):
        if text is not None:
            counts[layer][category or "words"] += 1
    sizes = Counter(layers)
    table = {layer: {"units": sizes[layer], **dict(sorted(found.items()))} for layer, found in counts.items()}
    return figures, {"detectors": table}


def exemplar_remarks(found: Sequence[Exemplars]) -> tuple[str, ...]:
    """Say how exact thresholds are, where they are not, and for which units no statement is possible.

    Args:
        found: the exemplars of each layer.
    """
    error = max(one.error for one in found)
    broken, units = sum(int(one.broken.sum()) for one in found), sum(len(one.broken) for one in found)
    exact = f"Thresholds are exact to within {error:.1%}, or {2.0**-OCTAVES:.1%} of the largest activation."
    finite = f"{broken:,} of {units:,} units are infinite or NaN on some image and have no description."
    return tuple(filter(None, (exact if error else "", finite if broken else "")))
