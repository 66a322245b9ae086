"""SHE: inner product with the pattern that is stored for the class."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass


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
class SHE(PenultimateDetector):
    """SHE: negative inner product of the penultimate features and the predicted class's stored pattern, `-f . S_c`."""

    labelled = True

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"penultimate": forward.penultimate, "logits": forward.logits}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        logits, labels = fit_data.rows["logits"], fit_data.rows["labels"]
        if not bool((logits.argmax(1) == labels).any()):
            raise DataError(
                f"she: none of {len(labels)} samples is classified rightly: do labels and model fit together?"
            )
        return {"patterns": patterns(fit_data.rows["penultimate"], logits, labels)}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return -(forward.penultimate.double() * bank["patterns"][forward.predictions]).sum(1)
