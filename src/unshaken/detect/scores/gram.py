"""Gram matrices: correlations between a layer's channels that no normal image of the predicted class has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.core.values import text_of
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.layerwise import named_layers

SMALL = 1e-3
"""A bound is taken to be no smaller than this share of the mean bound: a dead channel must not decide all."""


def gram_rows(values: Tensor, power: int, width: int) -> Tensor:
    """Row sums of the Gram matrix of order p: `s(r)|r|^{1/p}` with `r_i = sum_j (F^p F^pT)_ij`.

    They are `F_i^p . sum_j F_j^p`, so no matrix of all channels is made. F is divided by its largest value first and
    the result multiplied by its square, so that no power overflows.

    Args:
        values: F, `[N, C, P]`: channels at places.
        power: p, 1 or more.
        width: rows at most, evenly chosen among the C.

    Returns:
        Float64 `[N, min(C, width)]`.
    """
    channels = values.shape[1]
    largest = values.abs().amax((1, 2)).clamp(min=torch.finfo(values.dtype).tiny)[:, None, None]
    raised = _power(values / largest, power)
    chosen = torch.linspace(0, channels - 1, min(channels, width), device=values.device).round().long()
    sums = torch.einsum("ncp,np->nc", raised[:, chosen], raised.sum(1)).double()
    some = sums != 0
    root = torch.where(some, sums.abs(), 1.0) ** (1 / power) * sums.sign() * some
    return root * largest[:, :, 0].double() ** 2


def _power(values: Tensor, power: int) -> Tensor:
    """`values ** power` by squaring, which is several times as fast."""
    half = values if power < 2 else _power(values, power // 2)
    even = half if power < 2 else half * half
    return even * values if power > 1 and power % 2 else even


def deviation(rows: Tensor, low: Tensor, high: Tensor, scale_low: Tensor, scale_high: Tensor) -> Tensor:
    """How far values lie outside their bounds, relative to the bound that is crossed.

    Args:
        rows: `[N, R]`.
        low: least normal values `[N, R]`.
        high: largest normal values `[N, R]`.
        scale_low: what stands for |low|, above 0.
        scale_high: what stands for |high|, above 0.

    Returns:
        `[N, R]`, 0 inside.
    """
    return (low - rows).clamp(min=0) / scale_low + (rows - high).clamp(min=0) / scale_high


Order = Annotated[int, Field(ge=1, le=32)]


@register("gram", reference="Sastry & Oore 2020, arXiv:1912.12510", needs=("logits", "features"))
class Gram(Detector):
    """Gram matrices: deviation of feature correlations from their range for the predicted class.

    A fit keeps `width` numbers a layer and power of each sample of its bank.
    """

    layer: tuple[str, ...] = Field(
        default=("stages",), description="stages, penultimate, or the names of layers", min_length=1
    )
    powers: tuple[Order, ...] = Field(
        default=(1, 2, 4, 8), description="orders p; the paper takes 1 to 10", min_length=1
    )
    width: PositiveInt = Field(default=64, description="maximum number of rows of each Gram matrix")

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        return named_layers(anatomy, self.layer)

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        found = {self._key(name): self._gram(forward, name).float() for name in self.layers(forward.anatomy)}
        return {**found, "predictions": forward.predictions}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        """Bounds of each predicted class, their scales, and the expected deviation of each layer.

        A class that is never predicted has the bounds of all together.
        """
        classes, labels = fit_data.anatomy.classes, fit_data.rows["predictions"]
        bank: Bank = {}
        for number, name in enumerate(self.layers(fit_data.anatomy)):
            rows = fit_data.rows[self._key(name)]
            index = labels[:, None].expand_as(rows)
            for key, end in (("low", "amin"), ("high", "amax")):
                whole = (rows.amin(0) if end == "amin" else rows.amax(0)).expand(classes, -1)
                own = whole.scatter_reduce(0, index, rows, end, include_self=False)
                bank[f"{number}.{key}"] = own
        expected = self._layer_scores(fit_data.held_out, bank).mean(0)
        expected = torch.maximum(expected, SMALL * expected.max())
        return {**bank, "expected": torch.where(expected > 0, expected, 1.0)}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        """`sum_l delta_l / E[delta_l]`."""
        return (self._layer_scores(forward, bank) / bank["expected"]).sum(1)

    def _layer_scores(self, forward: ForwardPass, bank: Bank) -> Tensor:
        """Total deviation in each layer, `[N, L]`."""
        found = []
        for number, name in enumerate(self.layers(forward.anatomy)):
            ends = [bank[f"{number}.{key}"] for key in ("low", "high")]
            sizes = [torch.maximum(e.abs(), SMALL * e.abs().mean()).clamp(min=1e-30).double() for e in ends]
            low, high, *scales = (t[forward.predictions] for t in (*(e.double() for e in ends), *sizes))
            found.append(deviation(self._gram(forward, name).float().double(), low, high, *scales).sum(1))
        return torch.stack(found, 1)

    def _gram(self, forward: ForwardPass, name: str) -> Tensor:
        """Row sums of all orders, `[N, R]`."""
        values = places(forward.values(name), name)
        return torch.cat([gram_rows(values, p, self.width) for p in self.powers], 1)

    def _key(self, name: str) -> str:
        return f"gram/{text_of(self.powers)}/{self.width}/{name}"


def places(values: Tensor, layer: str) -> Tensor:
    """Values as channels at places, `[N, C, P]`.

    Args:
        values: maps `[N, C, H, W]`, tokens `[N, T, C]`, or vectors `[N, C]`, whose one place is all.
        layer: for the message.

    Raises:
        ModelError: another shape.
    """
    if values.ndim == 4:
        return values.flatten(2)
    if values.ndim == 3:
        return values.transpose(1, 2)
    if values.ndim == 2:
        return values[:, :, None]
    raise ModelError(f"layer {layer!r} gives values of shape {tuple(values.shape)}, of which no Gram matrix is made")
