"""Attention rollout: how much of each patch reaches what the head reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.explain.engine.attention_map import AttentionMap

FUSE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda attention: attention.mean(1),
    "max": lambda attention: attention.amax(1),
    "min": lambda attention: attention.amin(1),
}
"""From attention `[N, heads, T, T]` to one matrix a sample."""


@register("attention-rollout", reference="Abnar & Zuidema 2020, arXiv:2005.00928")
class AttentionRollout(AttentionMap):
    """Attention rollout: the row of `A_L' ... A_1'` that the head reads, with `A_l' = (A_l + I) / 2`.

    Heads are averaged. The map is the same for every class: attention says where a model looks, and not for what.
    Without a class token it is the mean over the rows that the head reads, as a rule all patches.
    """

    heads: Literal["mean", "max", "min"] = Field(default="mean", description="how heads become one: mean, max or min")

    @override
    def follow(self, relevance: Tensor, attention: Tensor, gradient: Tensor | None) -> Tensor:
        """`r A'`, with the rows of `A + I` brought to a sum of 1."""
        fused = FUSE[self.heads](attention)
        mixed = fused + torch.eye(fused.shape[-1]).to(fused)
        return torch.einsum("nt,ntu->nu", relevance, mixed / mixed.sum(-1, keepdim=True))
