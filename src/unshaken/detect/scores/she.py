"""SHE: inner product with the pattern that is stored for the class."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.kept import Kept
from unshaken.detect.engine.look import Look


def patterns(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """S_c: of each class, the mean features of the samples that are rightly given to it.

    Args:
        features: f, `[M, d]`.
        logits: z, `[M, K]`.
        labels: int64 `[M]`.

    Returns:
        float64 `[K, d]`; 0 for a class that no sample is rightly given to.
    """
    predicted = logits.argmax(1)
    right = F.one_hot(predicted, logits.shape[1]).double() * (predicted == labels)[:, None]
    return right.T @ features.double() / right.sum(0).clamp_min(1)[:, None]


@register("she", reference="Zhang et al. 2023, https://openreview.net/forum?id=KkazG4lgKL", needs=("features",))
class SHE(Detector):
    """Minus the inner product of the penultimate features with the pattern of the predicted class: `-f . S_c`."""

    labelled = True
    fits = True

    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        """The penultimate one."""
        return (anatomy.penultimate,)

    def rows(self, look: Look) -> Mapping[str, Tensor]:
        """Its values, and the logits."""
        return {"penultimate": look.penultimate, "logits": look.logits}

    def fit(self, kept: Kept) -> Bank:
        """See `patterns`.

        Raises:
            DataError: no sample is classified rightly.
        """
        logits, labels = kept.rows["logits"], kept.rows["labels"]
        if not bool((logits.argmax(1) == labels).any()):
            raise DataError(
                f"she: none of {len(labels)} samples is classified rightly: do labels and model fit together?"
            )
        return {"patterns": patterns(kept.rows["penultimate"], logits, labels)}

    def score(self, look: Look, bank: Bank) -> Tensor:
        """The class is the predicted one."""
        return -(look.penultimate.double() * bank["patterns"][look.predictions]).sum(1)
