"""Centre point: a control that always points at the middle."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.attribution import Control


@register("centre-point", reference="Zhang et al. 2018, arXiv:1608.00507")
class CentrePoint(Control):
    """Centre point: a map that falls from 1 at the image's middle to 0 at its corners; photos have objects there."""

    @override
    def draw(self, images: Tensor, rng: SampleRng) -> Tensor:
        """`1 - |p - m| / |corner - m|` at pixel centres p, with the middle m."""
        down, across = (torch.arange(n, device=images.device) - (n - 1) / 2 for n in images.shape[2:])
        distance = (down.square()[:, None] + across.square()).sqrt()
        return (1 - distance / distance.amax().clamp(min=1)).to(images).expand(len(images), -1, -1).clone()
