"""Flat images from black to white, and a network that looks at their mean alone: every answer is known by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from unshaken.data import DataSource


class Brightness(nn.Module):
    """Light or dark by the mean pixel, from a threshold; with as many parameters as are wanted, which do nothing."""

    def __init__(self, threshold: float, parameters: int = 0) -> None:
        super().__init__()
        self.threshold = threshold
        self.spare = nn.Parameter(torch.zeros(parameters))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3)) - self.threshold
        return torch.stack([-mean, mean], 1) * 20


def flat_images(n: int = 60) -> DataSource:
    """Images from black to white, uint8 `[n, 8, 8, 3]`, of class 1 where they are light."""
    levels = np.linspace(0, 255, n).astype(np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (n, 8, 8, 3)).copy()
    return pixels, (levels > 127).astype(int)
