"""How units and concepts overlap: pixels above a unit's threshold, pixels of a concept, and both, counted exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.progress import track
from unshaken.explain.engine.analysis import Subject
from unshaken.explain.units.concept_set import ConceptSet
from unshaken.explain.units.enlarge import enlarge
from unshaken.explain.units.layers import read_units

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
    seen = 0

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
            seen += len(batch)
            task.advance(len(batch))
    return {n: Overlap(both[n], unit[n][:, group_of], pixels) for n in thresholds}, seen
