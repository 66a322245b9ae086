"""Gradient-weighted attention: attention that raises the score of a class, layer by layer."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.registry import register
from unshaken.explain.engine.attention_map import AttentionMap
from unshaken.explain.engine.attribution import Score


@register("gradient-attention", reference="Chefer et al. 2021, arXiv:2103.15679")
class GradientAttention(AttentionMap):
    """Gradient-weighted attention: the row of `(I + B_L) ... (I + B_1)` that the head reads.

    `B_l` is the mean over heads of `ReLU(A_l * d z_c / d A_l)`. Unlike rollout it is of a class. The gradient by the
    attention is `G V'` from the gradient G by the heads' outputs, so fused attention serves, too.
    """

    score: Score = Field(default="logit", description="score that is explained: logit, probability or log-probability")

    @property
    @override
    def gradient_of(self) -> Score:
        return self.score

    @override
    def follow(self, relevance: Tensor, attention: Tensor, gradient: Tensor | None) -> Tensor:
        """`r + r B`."""
        weighted: Tensor = (attention * required(gradient)).relu().mean(1)
        return relevance + (relevance[:, None] @ weighted)[:, 0]
