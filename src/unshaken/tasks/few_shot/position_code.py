"""Sine position code of a map: half of its channels for rows, half for columns."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 1e4


def position_code(maps: Tensor) -> Tensor:
    """`[C, h, w]`, to be added to maps: sines and cosines of row and column, each within [-1, 1].

    Positions count from 1 and are scaled so that the last one is 2 pi; frequencies fall from 1 to 1 / 10,000. The first
    half of the channels is for rows; within a half, sine and cosine alternate.

    Args:
        maps: `[B, C, h, w]`, C a multiple of 4; only its shape, type and device count.

    Source: Carion et al. 2020, arXiv:2005.12872.
    """
    channels, height, width = maps.shape[1:]
    half = channels // 2
    order = torch.arange(half, device=maps.device)
    frequency = TEMPERATURE ** (-2 * torch.div(order, 2, rounding_mode="floor") / half)
    codes = []
    for count in (height, width):
        place = torch.arange(1, count + 1, device=maps.device) / (count + 1e-6) * 2 * math.pi
        angle = frequency[:, None] * place
        codes.append(torch.where(order[:, None] % 2 == 0, angle.sin(), angle.cos()))
    rows = codes[0][:, :, None].expand(half, height, width)
    columns = codes[1][:, None].expand(half, height, width)
    return torch.cat([rows, columns]).to(maps)
