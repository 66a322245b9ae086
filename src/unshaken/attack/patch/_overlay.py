"""A patch laid over images: turned, scaled and through a mask, differentiable in the patch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.boxes import boxed
from unshaken.core.state import State

SHARPNESS = 40


class Overlay(State):
    """Where a patch lies on each image, in pixels.

    Args:
        row: `[N]`, of the centre, 0 at the upper border.
        column: `[N]`, of the centre, 0 at the left border.
        side: `[N]`, of the patch.
        angle: `[N]`, in radians.
        round: whether the mask is a disc, `1 - (u^2 + v^2)^40`, or the whole square.
    """

    row: Tensor
    column: Tensor
    side: Tensor
    angle: Tensor
    round: bool

    def coordinates(self, height: int, width: int) -> Tensor:
        """Each pixel's place (u, v) on the patch, which spans [-1, 1]: `[N, H, W, 2]`."""
        y = torch.arange(height, device=self.row.device)[None] + 0.5 - self.row[:, None]
        x = torch.arange(width, device=self.row.device)[None] + 0.5 - self.column[:, None]
        turn = 2 / self.side[:, None, None]
        cos, sin = (f(self.angle)[:, None, None] * turn for f in (torch.cos, torch.sin))
        y, x = y[:, :, None], x[:, None, :]
        return torch.stack([x * cos + y * sin, y * cos - x * sin], 3)

    def mask(self, at: Tensor) -> Tensor:
        """How much of the patch is seen, from `coordinates`, in [0, 1]: `[N, 1, H, W]`."""
        whole = (at.abs() <= 1).all(3)
        if not self.round:
            return whole[:, None].float()
        disc = (1 - at.square().sum(3).clamp(max=2) ** SHARPNESS).clamp(0, 1)
        return (disc * whole)[:, None]

    def paste(self, images: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Images with the patch, `x (1 - m) + p m`, and the mask m.

        Args:
            images: `[N, C, H, W]` in [0, 1].
            patch: `[C, S, S]` in [0, 1].

        Returns:
            The images in the same shape, unchanged to the bit where the mask is 0, and `[N, 1, H, W]`.
        """
        at = self.coordinates(*images.shape[2:])
        m = self.mask(at)
        seen = F.grid_sample(
            patch.expand(len(images), -1, -1, -1), at, mode="bilinear", padding_mode="border", align_corners=False
        )
        return boxed(images * (1 - m) + seen * m), m
