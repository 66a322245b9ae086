"""A describer that chooses from a bank of phrases, by a model that scores images against text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import ModelError
from unshaken.explain.units.describer import Describer, Phrase, darkened, mean_cosine


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
