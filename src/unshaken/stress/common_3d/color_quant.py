"""Few levels of colour."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE
from unshaken.stress.engine.base import Corruption, Severities

BITS = (5, 4, 3, 2, 1)


def color_quant(images: Tensor, bits: int) -> Tensor:
    """Keep the highest bits of every 8-bit level.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1], cut to 8 bits first.
        bits: 1 to 8.

    Returns:
        The same shape, on 8-bit levels in [0, 1].
    """
    step = 2 ** (8 - bits)
    return (images * 255).add_(1e-4).div_(step).floor_().mul_(step / 255)


@register("color_quant", reference=REFERENCE, group="3dcc")
class ColorQuant(Corruption):
    """Reduce the number of levels a channel to 32, 16, 8, 4 or 2."""

    strengths = Severities(imagenet=BITS, cifar=BITS, tiny=BITS)

    @override
    def corrupt(self, images: Tensor, c: int, rng: SampleRng) -> Tensor:
        return color_quant(images, c)
