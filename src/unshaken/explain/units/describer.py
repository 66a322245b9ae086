"""`Describer`: from the exemplars of a unit to phrases, and the choice among them by pointwise mutual information."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from unshaken.core.device import widen

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
        """What the describer sees in each exemplar, `[n, F]`.

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
