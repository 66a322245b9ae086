"""Masks in bits: eight pixels a byte, row by row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def pack(masks: Tensor) -> Tensor:
    """Masks, bool `[..., H, W]`, as uint8 `[..., bytes]`; the last byte is filled up with zeros.

    >>> pack(torch.tensor([[[True, False], [False, True]]])).tolist()
    [[144]]
    """
    return torch.from_numpy(np.packbits(masks.flatten(-2).cpu().numpy(), axis=-1))


def unpack(packed: Tensor, size: tuple[int, int]) -> Tensor:
    """What `pack` made of masks of this height and width, bool `[..., H, W]`."""
    flat = np.unpackbits(packed.cpu().numpy(), axis=-1, count=size[0] * size[1])
    return torch.from_numpy(flat).bool().reshape(*packed.shape[:-1], *size)
