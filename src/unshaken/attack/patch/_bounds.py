"""What a patch may become: any pixels, or pixels near those of the image in linf or l2."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import TOLERANCE, Ball, distance
from unshaken.core.device import widen
from unshaken.core.rng import SampleRng


class SmallPatch(Ball):
    """Pixels under a mask are free as long as the change of the image is of bounded l2 norm, `eps`."""

    @override
    def contains(self, x: Tensor) -> Tensor:
        return super().contains(x) & (distance(x, self.clean, "l2") <= widen(self.eps) * (1 + TOLERANCE))

    @override
    def project(self, x: Tensor) -> Tensor:
        x = super().project(x)
        length = distance(x, self.clean, "l2").to(x)
        share = (self.eps * (1 - TOLERANCE) / length.clamp_min(1e-30)).clamp_max(1).view(-1, 1, 1, 1)
        return super().project(torch.where(share < 1, self.clean + share * (x - self.clean), x))

    @override
    def random_point(self, rng: SampleRng) -> Tensor:
        return self.project(super().random_point(rng))


def patch_ball(clean: Tensor, mask: Tensor, *, linf: float = 0.0, l2: float = 0.0) -> Ball:
    """The images that differ from a clean one under a mask alone.

    Args:
        clean: `[N, C, H, W]` in [0, 1].
        mask: bool `[N, 1, H, W]`.
        linf: largest change of a pixel; 0 for any.
        l2: largest l2 norm of the change; 0 for any.
    """
    free = Ball.region(clean, mask)
    if linf:
        near = Ball.of(clean, clean.new_full((len(clean),), linf), "linf")
        return free.replace(lower=torch.where(mask, near.lower, clean), upper=torch.where(mask, near.upper, clean))
    if l2:
        return SmallPatch(clean, clean.new_full((len(clean),), l2), free.lower, free.upper, "region")
    return free
