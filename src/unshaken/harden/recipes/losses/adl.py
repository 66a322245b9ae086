"""ADL: a penalty on tokens that all attend to the same places; and measures of how attention is spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import FirstTry, Recipe, Setup, Step
from unshaken.models.networks.attention import attention_layers, queries_and_keys

EPS = 1e-8
"""Norms below are taken for this, so that the cosine with a vector of nothing is 0."""


def attention_diversification(
    attention: Tensor, *, threshold: float = 2.0, pairwise: bool = False, reduce: bool = True
) -> Tensor:
    """Mean cosine of the rows of an attention matrix with their mean, or with one another, in [0, 1].

    Abar is the mean over heads, m its mean over queries, `tau = threshold / N`; entries up to tau are cut to 0 without
    a gradient through the comparison. It is the mean over queries i of `cos(cut(m), cut(Abar_i))`; or, pairwise, the
    mean over `i != j` of `cos(cut(Abar_i), cut(Abar_j))`.

    Args:
        attention: `[B, heads, N, N]`, rows of sum 1; worked with in float32.
        threshold: in units of even attention, 0 or more.
        pairwise: which of the two.
        reduce: whether to average over B.

    Returns:
        A scalar, or `[B]`.

    Raises:
        ParameterError: the shape is another, or the threshold is negative.

    Source: Guo et al. 2023, arXiv:2303.11126.
    """
    if attention.ndim != 4 or attention.shape[-1] != attention.shape[-2]:
        raise ParameterError(f"attention must be [B, heads, N, N], not {tuple(attention.shape)}")
    if not threshold >= 0:
        raise ParameterError(f"threshold={threshold!r} must be 0 or more, in units of even attention")
    rows = attention.float().mean(1)
    tokens = rows.shape[-1]
    cut = _unit(rows * (rows > threshold / tokens))
    if pairwise:
        if tokens < 2:
            raise ParameterError("pairwise needs 2 tokens or more")
        together = cut.sum(1).square().sum(-1) - cut.square().sum((1, 2))
        value = together / (tokens * (tokens - 1))
    else:
        mean = rows.mean(1)
        mean = _unit(mean * (mean > threshold / tokens))
        value = (cut @ mean[..., None]).mean((1, 2))
    return value.mean() if reduce else value


def surviving(maps: Tensor, *, threshold: float = 2.0) -> Tensor:
    """The share of attention entries above `threshold / N`, heads averaged: what the penalty sees.

    Args:
        maps: `[L, B, heads, N, N]`, as `attention_maps` gives them.
        threshold: in units of even attention.

    Returns:
        `[L, B]`.
    """
    rows = maps.float().mean(2)
    return (rows > threshold / rows.shape[-1]).float().mean((2, 3))


def overfocus(maps: Tensor) -> Tensor:
    """Attention to the most attended token over an even share: `N max_j m_j`, 1 (even) to N (all on one).

    Args:
        maps: `[L, B, heads, N, N]`, as `attention_maps` gives them; m is their mean over heads and queries.

    Returns:
        `[L, B]`.
    """
    most: Tensor = maps.shape[-1] * maps.float().mean((2, 3)).amax(-1)
    return most


def attention_entropy(maps: Tensor) -> Tensor:
    """The entropy of each query's attention over `ln N`, heads averaged first, mean over queries: 0 to 1 (even).

    Args:
        maps: `[L, B, heads, N, N]`, as `attention_maps` gives them.

    Returns:
        `[L, B]`.
    """
    rows = maps.float().mean(2)
    share: Tensor = torch.special.entr(rows).sum(-1).mean(-1) / math.log(rows.shape[-1])
    return share


def attention_stability(before: Tensor, after: Tensor) -> Tensor:
    """Likeness of attention on an image and on its changed version: the mean over queries of `cos(Abar_i, Abar'_i)`.

    Even attention is alike for free: read it beside `attention_entropy`.

    Args:
        before: `[L, B, heads, N, N]`, as `attention_maps` gives them.
        after: likewise, of the changed images.

    Returns:
        `[L, B]`.

    Raises:
        ParameterError: the shapes differ.
    """
    if before.shape != after.shape:
        raise ParameterError(f"attention of shape {tuple(before.shape)} came with {tuple(after.shape)}")
    return (_unit(before.float().mean(2)) * _unit(after.float().mean(2))).sum(-1).mean(-1)


@register("adl", reference="Guo et al. 2023, arXiv:2303.11126", needs=("attention",))
class ADL(Recipe):
    """Attention diversification loss (ADL): makes the tokens of a vision transformer attend to different places.

    It reads the attention of the passes that the loss makes; where attention has dropout, it is read before that.
    Attention that is even everywhere costs nothing too, so watch its entropy (`attention_entropy`); and `surviving`,
    the share of entries above the threshold, for with few of them there is nothing to learn from.
    """

    first_try: ClassVar[FirstTry] = FirstTry(arch="small-vit")

    weight: NonNegativeFloat = Field(default=1.0, description="weight of the penalty")
    threshold: NonNegativeFloat = Field(
        default=2.0, description="attention threshold, relative to uniform attention; about 1 for 16 tokens or fewer"
    )
    layers: tuple[NonNegativeInt, ...] = Field(default=(), description="attention layers, numbered from 0; default all")
    pairwise: bool = Field(default=False, description="compare rows with one another, not with their mean")

    @override
    def begin(self, setup: Setup) -> None:
        self._chosen(attention_layers(setup.model))

    @contextmanager
    @override
    def around(self, step: Step, loss: Callable[[], Tensor]) -> Iterator[None]:
        with self._gathering(step):
            yield

    @override
    def penalty(self, step: Step) -> Tensor:
        if "adl" not in step.extra:
            with self._gathering(step):
                step.model(step.shown)
        gathered = step.extra.pop("adl")
        value = gathered[0] / gathered[2]
        shown = (gathered.detach()[:2] / gathered.detach()[2]).tolist()
        step.figures |= dict(zip(("adl", "adl_surviving"), shown, strict=True))
        return self.weight * value

    @contextmanager
    def _gathering(self, step: Step) -> Iterator[None]:
        layers = self._chosen(attention_layers(step.classifier))
        with ExitStack() as hooks:
            for layer in layers:
                hooks.enter_context(layer.register_forward_pre_hook(self._reader(layer, step)))
            yield

    def _reader(self, layer: nn.Module, step: Step) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def read(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if not (layer.training and torch.is_grad_enabled()):
                return
            with torch.autocast(inputs[0].device.type, enabled=False):
                q, k = queries_and_keys(layer, inputs[0].float())
                maps = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
                value = attention_diversification(maps, threshold=self.threshold, pairwise=self.pairwise)
            share = surviving(maps.detach()[None], threshold=self.threshold).mean()
            sums = torch.stack([value, share, torch.ones_like(share)])
            step.extra["adl"] = step.extra["adl"] + sums if "adl" in step.extra else sums

        return read

    def _chosen(self, layers: list[nn.Module]) -> list[nn.Module]:
        if max(self.layers, default=0) >= len(layers):
            raise ParameterError(f"adl: layers={self.layers} but the model has attention layers 0 to {len(layers) - 1}")
        return [layers[i] for i in self.layers] if self.layers else layers


def _unit(vectors: Tensor) -> Tensor:
    """Vectors over their norms; zero vectors stay zero, and have no gradient."""
    unit: Tensor = vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True).clamp_min(EPS)
    return unit
