"""Covering: where a Lipschitz bound reaches from each point of a grid halfway to the next, the whole region is safe."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch
from torch import Tensor

from unshaken.certify.bounds.interval import Bounds
from unshaken.certify.bounds.linear import LinearBounds
from unshaken.certify.engine.layers import Affine, Chain, MaxPool, ReLU
from unshaken.certify.smt._grid import classify_grid, margin_rounding, on, size
from unshaken.certify.smt._region import Finding, Region
from unshaken.core.oracle import Oracle


def covering(
    chain: Chain, oracle: Oracle, region: Region, axes: list[Tensor], most: int, lipschitz: float | None = None
) -> Finding:
    """The whole region is safe when every point of a grid of spacing t has a margin above `L t / 2`.

    Args:
        chain: the model's layers.
        oracle: runs the model and counts its passes.
        region: the box.
        axes: values of each free pixel, both of its bounds among them.
        most: points at most.
        lipschitz: L, a bound of how fast a margin changes in the max norm over the region; None for the one that
            intervals of the gradient give.
    """
    began = time.perf_counter()
    found = classify_grid(chain, oracle, region, axes, most, "covering")
    if found.verdict != "safe_on_grid" or found.margin is None:
        return found
    steepest = lipschitz_bound(chain, region) if lipschitz is None else lipschitz
    spacing = max((float(a.double().diff().max()) if len(a) > 1 else 0.0) for a in axes)
    need = steepest * spacing / 2 + margin_rounding(chain, region)
    data = {"grid": size(axes), "spacing": spacing, "lipschitz": steepest, "least_margin": found.margin}
    words = f"margin {found.margin:.4g}, L t / 2 + rounding = {need:.4g} at L = {steepest:.4g}, t = {spacing:.4g}"
    if found.margin > need:
        detail = f"covering: every point reaches halfway to the next: {words}"
        return replace(found, verdict="safe_general", detail=detail, data=data, seconds=time.perf_counter() - began)
    detail = f"covering: safe at {size(axes)} points, but they do not reach halfway to the next: {words}"
    return replace(found, verdict="unknown", detail=detail, data=data, seconds=time.perf_counter() - began)


def lipschitz_bound(chain: Chain, region: Region) -> float:
    """L: the largest l1 norm, over the free pixels, of a margin's gradient anywhere in the region, by intervals.

    Each unit's slope is 1 where it is on, 0 where it is off and in [0, 1] elsewhere; a window of a pooling may take any
    of its members.
    """
    linear = LinearBounds(chain, on(region.box, chain))
    one_hot = torch.eye(chain.classes, dtype=torch.float64, device=chain.device)
    rows = (one_hot[region.label] - one_hot, one_hot[region.label] - one_hot)
    for layer, inside in reversed(list(zip(chain.layers, linear.bounds, strict=False))):
        low, high = rows
        if isinstance(layer, Affine):
            middle, wide = layer.pull((low + high) / 2), layer.pull((high - low) / 2, size=True)
            rows = middle - wide, middle + wide
        elif isinstance(layer, ReLU):
            rows = _switched(rows, inside)
        elif isinstance(layer, MaxPool):
            rows = _shared(layer, low.clamp_max(0)), _shared(layer, high.clamp_min(0))
        else:
            rows = low.reshape(-1, *layer.source), high.reshape(-1, *layer.source)
    free = region.free.to(chain.device)
    steep = torch.maximum(rows[0].abs(), rows[1].abs()).flatten(1)[:, free].sum(1)
    return float(steep.max()) * (1 + 1e-9)


def _switched(rows: Bounds, inside: Bounds) -> Bounds:
    """Intervals of a gradient carried through ReLU."""
    on_, off = inside[0] >= 0, inside[1] <= 0
    low, high = rows[0].where(on_, rows[0].clamp_max(0)), rows[1].where(on_, rows[1].clamp_min(0))
    return low.masked_fill(off, 0), high.masked_fill(off, 0)


def _shared(layer: MaxPool, rows: Tensor) -> Tensor:
    """Every member of a window gets what the window has."""
    members = layer.members().to(rows.device)
    inside = members.clamp_min(0).flatten()
    flat = rows.new_zeros(len(rows), math.prod(layer.source))
    parts = (rows[..., None] * (members >= 0)).flatten(1)
    return flat.index_add(1, inside, parts).view(-1, *layer.source)
