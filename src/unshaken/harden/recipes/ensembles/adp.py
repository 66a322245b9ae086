"""ADP: members whose predictions of the wrong classes differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.ensemble import Members, alike, summed_cross_entropy
from unshaken.harden.engine.recipe import Step

RIDGE = 1e-6


def adp_entropy(probabilities: Tensor) -> Tensor:
    """`H(mean_i p_i)`, a mean over the batch, in nats.

    Args:
        probabilities: `[N, B, K]`.
    """
    mean = probabilities.mean(0)
    logs = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()  # of 0 it has no gradient
    return -(mean * logs).sum(1).mean()


def adp_log_diversity(probabilities: Tensor, labels: Tensor) -> Tensor:
    """`log det(M M^T + 1e-6 I)`, M the members' probabilities without the true class, rows of length 1; a batch mean.

    Args:
        probabilities: `[N, B, K]`.
        labels: int64 `[B]`.
    """
    n, b, k = probabilities.shape
    wrong = F.one_hot(labels, k) == 0
    rows = probabilities.permute(1, 0, 2)[wrong[:, None].expand(b, n, k)].view(b, n, k - 1)
    rows = F.normalize(rows, dim=2)
    eye = torch.eye(n, dtype=rows.dtype, device=rows.device)
    diversity: Tensor = torch.logdet(rows @ rows.transpose(1, 2) + RIDGE * eye).mean()
    return diversity


@register("adp", reference="Pang et al. 2019, arXiv:1901.08846")
class ADP(Members):
    """ADP: trains an ensemble with diverse predictions on the wrong classes.

    Published with Adam at a rate of 1e-3 and weight decay 1e-4.
    """

    refuses: ClassVar[Mapping[str, str]] = {"targets": "it needs a true class; leave one of the two out"}

    alpha: NonNegativeFloat = Field(default=2.0, description="weight of the entropy of the mean prediction")
    beta: NonNegativeFloat = Field(default=0.5, description="weight of the logarithm of the diversity")

    @override
    def loss(self, step: Step) -> Tensor:
        logits = alike(step, step.shown)
        probabilities = logits.softmax(2)
        more = self.alpha * adp_entropy(probabilities) + self.beta * adp_log_diversity(probabilities, step.labels)
        return summed_cross_entropy(logits, step.labels) - more
