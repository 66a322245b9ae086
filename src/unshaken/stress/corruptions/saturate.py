"""Saturation."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.filters import least, value


def saturate(images: Tensor, a: float, b: float) -> Tensor:
    """Change the saturation of HSV: `S' = clip(a S + b, 0, 1)`, hue and value kept.

    With `V = max(R, G, B)` and `S = (V - min) / V` the way through HSV and back is `V - (V - x) S' / S`. A grey pixel
    has no hue; HSV calls it red, so with `b > 0` it turns reddish: `(V, V (1 - b), V (1 - b))`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1], C 1 or 3; one channel comes back unchanged.
        a: factor, at least 0.
        b: added saturation in [0, 1].

    Returns:
        The same shape, in [0, 1].
    """
    if images.shape[1] == 1:
        return images.clone()
    v = value(images)
    spread = v - least(images)
    grey = spread == 0
    old = spread / v.masked_fill(v == 0, 1)
    new = (old * a).add_(b).clamp_(0, 1)
    ratio = new.div_(old.masked_fill_(grey, 1))
    result = (images - v).mul_(ratio).add_(v)
    if b > 0 and bool(grey.any()):
        result[:, 1:] = torch.where(grey, v * (1 - min(b, 1.0)), result[:, 1:])
    return result


@register("saturate", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="extra")
class Saturate(Corruption):
    """Lower or raise the saturation of each pixel in HSV."""

    strengths = Severities(
        imagenet=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        cifar=((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        tiny=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float], rng: SampleRng) -> Tensor:
        return saturate(images, *c)
