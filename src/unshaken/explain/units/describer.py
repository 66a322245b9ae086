"""`Describer`: from the exemplars of a unit to phrases of a concept set or a bank, and the choice among them by PMI."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, View, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import ModelError
from unshaken.explain.units.concepts import ConceptSet

DARK = 0.25
"""Brightness outside of a mask, as a share of what it was."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A candidate description of a unit.

    Args:
        text: in words.
        log_p_given: `log p(d | E)`, how likely it is for these exemplars; a sum over its words.
        log_p: `log p(d)`, how likely it is for any unit.
        category: of the concept it names; empty for free text.
    """

    text: str
    log_p_given: float
    log_p: float
    category: str = ""

    def pmi(self, strength: float) -> float:
        """`log p(d | E) - lambda log p(d)`.

        Args:
            strength: lambda; 0 for the likeliest phrase, larger for a more specific one.

        >>> round(Phrase("a", -4, -3).pmi(0.2), 9), round(Phrase("b", -4.5, -9).pmi(0.2), 9)
        (-3.4, -2.7)
        """
        return self.log_p_given - strength * self.log_p


class Describer(ABC):
    """Says what exemplars have in common.

    Attributes:
        needs_images: whether `keys` looks at the images; else it is given none of them.
    """

    needs_images = True

    @abstractmethod
    def keys(self, images: Tensor, masks: Tensor, ids: Sequence[str]) -> Tensor:
        """Encode each exemplar for the describer, `[n, F]`.

        Args:
            images: `[n, C, H, W]` in [0, 1].
            masks: where the unit is above its threshold, bool `[n, H, W]`.
            ids: of the images.
        """

    @abstractmethod
    def phrases(self, keys: Tensor) -> list[Phrase]:
        """Candidates for a unit with these exemplars.

        Args:
            keys: `[n, F]`.
        """

    def agreement(self, keys: Tensor) -> float | None:
        """How alike the exemplars are: the mean cosine of two of them; None for fewer than two.

        Args:
            keys: `[n, F]`.
        """
        return mean_cosine(keys)


def best_phrase(phrases: Sequence[Phrase], strength: float) -> Phrase | None:
    """The phrase of the highest pointwise mutual information, the first of equals; None without any.

    Args:
        phrases: candidates.
        strength: lambda.
    """
    return max(phrases, key=lambda p: p.pmi(strength), default=None)


def mean_cosine(vectors: Tensor) -> float | None:
    """The mean cosine of two different rows of `[n, F]`; None for fewer than two. A row of zeros is like no other.

    >>> import torch
    >>> mean_cosine(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
    0.3333333333333333
    """
    n = len(vectors)
    if n < 2:
        return None
    unit = F.normalize(widen(vectors), dim=1)
    alike = unit @ unit.T
    return float((alike.sum() - alike.diagonal().sum()) / (n * (n - 1)))


def darkened(images: Tensor, masks: Tensor) -> Tensor:
    """Images whose outside of the mask has `DARK` of its brightness, `[n, C, H, W]`.

    Args:
        images: `[n, C, H, W]`.
        masks: bool `[n, H, W]`.
    """
    inside = masks[:, None].to(images)
    return images * (DARK + (1 - DARK) * inside)


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


class RetrievalDescriber(Describer):
    """`p(d | E)` is the softmax over phrases of their mean score on the exemplars, `p(d)` their mean share over images.

    Exemplars are shown with the outside of the mask darkened.

    Args:
        scorer: a zero-shot classifier whose classes are the phrases, such as `openclip:ARCH/FILE?classes=PHRASES`.
        background: images of any content, `[N, C, H, W]` in [0, 1], for `p(d)`; None for equal shares.

    Raises:
        ModelError: the scorer does not say what its classes are.
    """

    def __init__(self, scorer: Classifier, background: Tensor | None = None) -> None:
        if not scorer.classes:
            raise ModelError(f"model {scorer.name!r} does not name its classes: the phrases to choose from")
        self.scorer = scorer
        if background is None:
            self.log_p = torch.zeros(len(scorer.classes), dtype=torch.float64).log_softmax(0)
        else:
            self.log_p = self._scores(background).softmax(1).mean(0).clamp(min=1e-12).log()

    def _scores(self, images: Tensor) -> Tensor:
        """The score of each phrase, `[n, K]`."""
        if self.scorer.input_size is not None and tuple(images.shape[2:]) != self.scorer.input_size:
            images = F.interpolate(images, self.scorer.input_size, mode="bicubic", antialias=True).clamp(0, 1)
        if self.scorer.view is not None and self.scorer.view.channels == 3:
            images = images.expand(-1, 3, -1, -1)
        with evaluating(self.scorer), torch.no_grad():
            found: Tensor = widen(self.scorer(images))
        return found

    @override
    def keys(self, images: Tensor, masks: Tensor, ids: Sequence[str]) -> Tensor:
        return self._scores(darkened(images, masks))

    @override
    def phrases(self, keys: Tensor) -> list[Phrase]:
        given = keys.mean(0).log_softmax(0).tolist()
        return [Phrase(t, g, p) for t, g, p in zip(self.scorer.classes, given, self.log_p.tolist(), strict=True)]

    @override
    def agreement(self, keys: Tensor) -> float | None:
        return mean_cosine(keys.softmax(1))
