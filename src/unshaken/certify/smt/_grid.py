"""Grids over a region: looked at point by point, and where a Lipschitz bound reaches from point to point, a proof."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from unshaken.certify.bounds.interval import Bounds, rounding
from unshaken.certify.bounds.linear import BUDGET, LinearBounds
from unshaken.certify.engine.layers import Affine, Chain
from unshaken.certify.smt._region import Finding, Region, first_confirmed, margins_of
from unshaken.core.oracle import Oracle


def lattice(region: Region, steps: int) -> list[Tensor]:
    """Values of each free pixel: `x + i s` for i from -m to m with `s = span / m`, cut with its bounds; each once.

    The span is the longer way from the pixel to a bound, so that both bounds are among the values.

    Args:
        region: the box.
        steps: m, at least 1.
    """
    found = []
    for value, low, high in zip(
        region.image.flatten()[region.free].double(), region.lower.double(), region.upper.double(), strict=True
    ):
        span = torch.maximum(high - value, value - low)
        values = value + torch.arange(-steps, steps + 1, device=value.device) * (span / steps)
        found.append(values.clamp(float(low), float(high)).float().unique())
    return found


def corners(region: Region) -> list[Tensor]:
    """Both bounds of each free pixel."""
    return [a[None] if a == b else torch.stack([a, b]) for a, b in zip(region.lower, region.upper, strict=True)]


def size(axes: list[Tensor]) -> int:
    """Points of the grid."""
    return math.prod(len(a) for a in axes)


def points(axes: list[Tensor], at: Tensor) -> Tensor:
    """The points of the numbers `at` `[P]` in the grid's order, the last axis fastest: `[P, D]`."""
    values, rest = [], at
    for axis in reversed(axes):
        values.append(axis[rest % len(axis)])
        rest = rest // len(axis)
    return torch.stack(values[::-1], 1)


def classify_grid(
    chain: Chain, oracle: Oracle, region: Region, axes: list[Tensor], most: int, name: str = "grid"
) -> Finding:
    """Every point of a grid is classified.

    Margins are computed in float64 from the first linear layer on, of which only the free pixels' columns are needed
    again; whatever lies within float32's rounding of a tie is classified by the model itself.

    Args:
        chain: the model's layers.
        oracle: runs the model and counts its passes.
        region: the box.
        axes: values of each free pixel.
        most: points at most; a larger grid is not begun.
        name: what the finding calls the grid.
    """
    began, count = time.perf_counter(), size(axes)
    if count > most:
        return Finding("unknown", f"{name}: {count} points are more than max_points={most}; nothing was looked at")
    slack = margin_rounding(chain, region)
    least, seen = math.inf, 0
    for values, logits in propagate_points(chain, region, axes):
        margin = margins_of(logits, region.label)
        seen += len(values)
        least = min(least, float(margin.min()))
        near = margin <= slack
        if bool(near.any()):
            doubtful = values[near][margin[near].argsort()].to(region.lower.device)
            for piece in torch.split(doubtful, oracle.limit):  # the likeliest first
                found = first_confirmed(oracle, region, piece)
                if found is not None:
                    detail, seconds = f"{name}: a point of {count}", time.perf_counter() - began
                    return Finding("adversarial", detail, *found, seen, 0, seconds)
    return Finding(
        "safe_on_grid",
        f"{name}: none of {count} points has another class; nothing is said of what lies between",
        None,
        least,
        seen,
        0,
        time.perf_counter() - began,
        {"grid": count, "least_margin": least},
    )


def propagate_points(chain: Chain, region: Region, axes: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Points and their logits in float64, chunk by chunk: base + columns * offsets, then the layers left."""
    first = next((i for i, v in enumerate(chain.layers) if not isinstance(v, Affine)), len(chain.layers))
    base = region.filled(region.lower[None]).to(chain.device, torch.float64)
    columns = torch.eye(region.image.numel(), dtype=torch.float64, device=chain.device)[region.free.to(chain.device)]
    columns = columns.view(-1, *region.image.shape)
    for layer in chain.layers[:first]:
        base, columns = layer.forward(base), layer.map(columns)  # type: ignore[attr-defined]
    count, chunk = size(axes), max(1, BUDGET // chain.largest)
    for start in range(0, count, chunk):
        at = torch.arange(start, min(start + chunk, count), device=region.lower.device)
        values = points(axes, at)
        offsets = (values.double() - region.lower.double()).to(chain.device)
        x = base + (offsets @ columns.flatten(1)).view(-1, *base.shape[1:])
        for layer in chain.layers[first:]:
            x = layer.forward(x)
        yield values.to(chain.device), x


def margin_rounding(chain: Chain, region: Region) -> float:
    """How far a margin in float32 may be from the exact one, anywhere in the region."""
    bounds = LinearBounds(chain, on(region.box, chain), refine=False).bounds
    off = rounding(chain, bounds)[0]
    return float(off[region.label] + off.max())


def on(bounds: Bounds, chain: Chain) -> Bounds:
    """Bounds where the chain lies."""
    return bounds[0].to(chain.device), bounds[1].to(chain.device)
