"""Brightness."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.filters import value


def brightness(images: Tensor, c: float) -> Tensor:
    """Raise the value of HSV: `V' = min(V + c, 1)`, hue and saturation kept.

    With `V = max(R, G, B)` the way through HSV and back is `x V' / V`; black, which has no hue, becomes the grey `c`.
    An image of one channel is its own value.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1], C 1 or 3.
        c: added value in [0, 1]; 0 changes nothing.

    Returns:
        The same shape, in [0, 1].
    """
    if images.shape[1] == 1:
        return (images + c).clamp_(max=1)
    v = value(images)
    black = v == 0
    result = images * ((v + c).clamp_(max=1) / v.masked_fill(black, 1))
    if bool(black.any()):
        result += black.to(images.dtype) * min(c, 1.0)
    return result


@register("brightness", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="weather")
class Brightness(Corruption):
    """Raise the value of each pixel in HSV."""

    strengths = Severities(
        imagenet=(0.1, 0.2, 0.3, 0.4, 0.5), cifar=(0.05, 0.1, 0.15, 0.2, 0.3), tiny=(0.1, 0.2, 0.3, 0.4, 0.5)
    )

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return brightness(images, c)
