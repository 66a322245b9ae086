"""A describer that names concepts, by which of them lie in the masks of a unit's exemplars."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import View
from unshaken.core.device import widen
from unshaken.explain.units.concept_set import ConceptSet
from unshaken.explain.units.describer import Describer, Phrase

PRIOR = 1.0
"""Pixels that are added to what was counted, divided among the concepts as they are in the whole set."""


class ConceptDescriber(Describer):
    """`p(c | E)` is the concept's share of the labelled pixels in the masks, `p(c)` its share of those of the set.

    Args:
        concepts: the images that were probed, with what they show.
        view: how they were cut.
    """

    needs_images = False

    def __init__(self, concepts: ConceptSet, view: View | None = None) -> None:
        self.concepts, self.view = concepts, view
        pixels = torch.zeros(len(concepts.concepts), dtype=torch.float64)
        for name in concepts.dataset.ids:
            pixels += concepts.found([name], view)[0][0].sum((1, 2))
        self.frequency = pixels / pixels.sum()

    @override
    def keys(self, images: Tensor, masks: Tensor, ids: Sequence[str]) -> Tensor:
        found = self.concepts.found(ids, self.view, (masks.shape[1], masks.shape[2]))[0]
        return widen((found & masks[:, None].cpu()).sum((2, 3)))

    @override
    def phrases(self, keys: Tensor) -> list[Phrase]:
        counts = keys.sum(0) + PRIOR * self.frequency
        given = (counts / counts.sum()).log().tolist()
        before = self.frequency.log().tolist()
        return [
            Phrase(c.name, given[i], before[i], c.category)
            for i, c in enumerate(self.concepts.concepts)
            if self.frequency[i] > 0
        ]
