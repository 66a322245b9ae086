"""Interval bounds through a chain of layers, wide enough for float32's rounding in any order of summation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.attack.engine.ball import TOLERANCE
from unshaken.certify.engine.layers import TINY, Affine, Chain, Dense, Layer, MaxPool, ReLU

Bounds = tuple[Tensor, Tensor]
"""Least and largest values, float64 `[N, ...]`."""


def box(images: Tensor, eps: Tensor | float, device: torch.device | str = "cpu") -> Bounds:
    """The linf ball of each image cut with [0, 1].

    The radius is enlarged by a millionth, the tolerance by which attacks are judged, so no attack counts outside it.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        eps: radius in pixel units, or one a sample, `[N]`.
        device: where bounds are computed.
    """
    x = images.to(device, torch.float64)
    wide = torch.as_tensor(eps, dtype=torch.float64, device=device).reshape(-1, 1, 1, 1) * (1 + TOLERANCE)
    return torch.minimum(x, (x - wide).clamp_min(0)), torch.maximum(x, (x + wide).clamp_max(1))


def step(layer: Layer, bounds: Bounds) -> Bounds:
    """Bounds of a layer's outputs from those of its inputs: centre `W c + b`, radius `|W| r`, and the rounding."""
    lower, upper = bounds
    if not isinstance(layer, Affine):
        return layer.forward(lower), layer.forward(upper)
    centre, radius = halves(bounds)
    spread = layer.spread(radius + layer.share * (centre.abs() + radius)) + layer.share * layer.size + TINY
    middle = layer.forward(centre)
    return middle - spread, middle + spread


def halves(bounds: Bounds) -> tuple[Tensor, Tensor]:
    """Centre and radius."""
    lower, upper = bounds
    return (lower + upper) / 2, (upper - lower) / 2


def reach(bounds: Bounds) -> Tensor:
    """The largest size of each value."""
    return torch.maximum(bounds[0].abs(), bounds[1].abs())


def interval_bounds(chain: Chain, bounds: Bounds) -> list[Bounds]:
    """Bounds of the input of each layer, and last of the logits."""
    found = [bounds]
    for layer in chain.layers:
        found.append(step(layer, found[-1]))
    return found


def interval_margins(chain: Chain, bounds: Bounds, labels: Tensor) -> Tensor:
    """Lower bounds of `z_y - z_j`, float64 `[N, K]`, inf at y itself.

    The margin's rows `W_y - W_j` are folded into the last layer where that is linear.

    Args:
        chain: the classifier.
        bounds: of its images.
        labels: y, int64 `[N]`.
    """
    last = chain.layers[-1]
    for layer in chain.layers[:-1]:
        bounds = step(layer, bounds)
    if isinstance(last, Dense):
        centre, radius = halves(bounds)
        weight = last.weight[labels][:, None] - last.weight  # [N, K, in]
        logits = last.forward(centre)
        middle = logits.gather(1, labels[:, None]) - logits
        slack = last.rounding(reach(bounds))
        wide = torch.einsum("nki,ni->nk", weight.abs(), radius)
        found = middle - wide - slack - slack.gather(1, labels[:, None])
    else:
        lower, upper = step(last, bounds)
        found = lower.gather(1, labels[:, None]) - upper
    return found.scatter(1, labels[:, None], torch.inf)


def rounding(chain: Chain, bounds: list[Bounds]) -> Tensor:
    """How far float32's logits may be from the exact ones over the bounds of each layer's inputs, float64 `[N, K]`."""
    off = torch.zeros_like(bounds[0][0])
    for layer, values in zip(chain.layers, bounds, strict=False):
        if isinstance(layer, Affine):
            off = layer.spread(off) + layer.rounding(reach(values))
        elif isinstance(layer, MaxPool):
            off = F.max_pool2d(off, layer.kernel, layer.stride, layer.padding, layer.dilation)
        elif not isinstance(layer, ReLU):
            off = layer.forward(off)
    return off
