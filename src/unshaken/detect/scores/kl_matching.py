"""How far the probabilities are from those that the model usually gives."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.entropy import entropy


def templates(logits: Tensor) -> Tensor:
    """Log d_k, where d_k is the mean of the probabilities of the samples that are given to class k.

    Args:
        logits: z, `[M, K]`.

    Returns:
        Finite float64 `[k, K]`, for each of the k classes that some sample is given to.
    """
    probabilities = logits.double().softmax(1)
    given = F.one_hot(logits.argmax(1), logits.shape[1]).to(probabilities.dtype)
    given = given[:, given.any(0)]
    means = given.T @ probabilities / given.sum(0)[:, None]
    return means.clamp_min(torch.finfo(means.dtype).tiny).log()


def kl_matching(log_probabilities: Tensor, log_templates: Tensor) -> Tensor:
    """`min_k KL(p || d_k)` in nats.

    Args:
        log_probabilities: log p, finite float64 `[N, K]`.
        log_templates: log d_k, as `templates` gives them.

    Returns:
        `[N]`, 0 or more.
    """
    cross = -log_probabilities.exp() @ log_templates.T
    return (cross.amin(1) - entropy(log_probabilities)).clamp_min(0)


@register("kl-matching", reference="Hendrycks et al. 2022, arXiv:1911.11132")
class KLMatching(Detector):
    """KL matching: KL divergence of the softmax probabilities from the closest class mean."""

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"logits": forward.logits}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        return {"log_templates": templates(fit_data.rows["logits"])}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return kl_matching(forward.log_probabilities, bank["log_templates"])
